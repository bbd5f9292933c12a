/*
 * What no single option can know: what options say together, and certificates among each other. A check looks
 * at the document as well as at the struct: whether an option was given, and where to point. An option that
 * was given and is wrong has its error already, so nothing here complains that it is missing.
 */

#include "lib/config-internal.h"

void config_check_connector(struct yaml_run *run, void *object, const struct yaml_node *node,
                            struct yaml_place place) {
        const struct config_connector *connector = object;

        if (!yaml_find(node, "url") && !yaml_find(node, "enrol_url"))
                yaml_complain(run, place,
                              "connector '%s' cannot be reached: give it 'url', 'enrol_url' or both",
                              connector->name);
}

void config_check_notify(struct yaml_run *run, void *object, const struct yaml_node *node,
                         struct yaml_place place) {
        const struct yaml_node *command = yaml_find(node, "command"), *signal = yaml_find(node, "signal"),
                               *pid_file = yaml_find(node, "pid_file");
        struct config_notify *notify = object;

        notify->kind = command ? NOTIFY_COMMAND : NOTIFY_SIGNAL;
        if (notify->command && notify->command[0] && notify->command[0][0] != '/')
                yaml_complain(
                        run, yaml_resolve(command)->first->place,
                        "'command' must name its program by an absolute path, one that begins with '/'");
        if (command && signal)
                yaml_complain(run, signal->place,
                              "'signal' stands beside 'command', but an entry is one notification; make it "
                              "two entries");
        else if (signal && !pid_file)
                yaml_complain(run, signal->place,
                              "'signal' needs 'pid_file', which tells the process it is for");
        else if (pid_file && !signal)
                yaml_complain(run, pid_file->place,
                              "'pid_file' needs 'signal', such as HUP, to send to the process");
        else if (!command && !signal && !yaml_find(node, "unit") && !yaml_find(node, "http"))
                yaml_complain(run, place,
                              "the notification says nothing to do: give it 'command', or 'signal' and "
                              "'pid_file'");
}

/*
 * The defaults that depend on other options are filled in here, so that what config_format() writes shows them.
 * The name that a PKCS#12 file has by default is the certificate's, which is not known here yet.
 */
void config_check_export(struct yaml_run *run, void *object, const struct yaml_node *node,
                         struct yaml_place place) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct export *export = object;

        if (export->path && export_validate(export, &error) < 0)
                yaml_complain(run, place, "%s", error.text);
        (void)node;
}

/* Shares that leave a certificate no time to be used. NODE is NULL for the defaults themselves. */
static void check_policy(struct yaml_run *run, const struct config_policy *policy,
                         const struct yaml_node *renew_before, const struct yaml_node *jitter) {
        bool both = policy->renew_before.is_share && policy->jitter.is_share;

        if (renew_before && policy->renew_before.is_share &&
            (policy->renew_before.ppm == 0 || policy->renew_before.ppm >= SHARE_ONE))
                yaml_complain(run, renew_before->place,
                              "'renew_before' must be more than 0%% and less than 100%% of the lifetime: a "
                              "certificate "
                              "would be renewed %s",
                              policy->renew_before.ppm == 0 ? "when it expires" : "for ever");
        else if ((renew_before || jitter) && both && policy->renew_before.ppm < SHARE_ONE &&
                 policy->renew_before.ppm + policy->jitter.ppm > SHARE_ONE)
                yaml_complain(run, (jitter ? jitter : renew_before)->place,
                              "'renew_before' and 'jitter' must not be more than 100%% together: a "
                              "certificate would be "
                              "renewed before it is valid");
}

/* Whether CONNECTOR says where to enrol, rightly or not. */
static bool gives_enrol_url(struct yaml_run *run, const struct config_connector *connector) {
        const struct config *config = yaml_run_object(run);
        const struct yaml_node *name =
                yaml_run_names(run, config->connectors)[connector - config->connectors];

        return yaml_find(name->next, "enrol_url");
}

void config_check_certificate(struct yaml_run *run, void *object, const struct yaml_node *node,
                              _unused_ struct yaml_place place) {
        struct config_certificate *certificate = object;
        const struct yaml_node *import = yaml_find(node, "import"),
                               *token_file = yaml_find(node, "token_file");

        for (size_t i = 0; i < certificate->n_exports; i++)
                if (certificate->exports[i].format == EXPORT_PKCS12 && !certificate->exports[i].friendly_name)
                        certificate->exports[i].friendly_name = certificate->name;

        certificate->public_access = certificate->key_access;
        certificate->public_access.mode = 0644;

        if (token_file && certificate->connector && !gives_enrol_url(run, certificate->connector))
                yaml_complain(run, token_file->place,
                              "'token_file' is of no use: connector '%s' has no 'enrol_url' to enrol at; "
                              "give it one",
                              certificate->connector->name);

        if (import && yaml_resolve(import)->kind == YAML_MAPPING) {
                const struct yaml_node *key = yaml_find(import, "key"),
                                       *leaf = yaml_find(import, "certificate");

                if (!key || !leaf)
                        yaml_complain(run, import->place,
                                      "'import' must name both 'key' and 'certificate'; '%s' is missing",
                                      key ? "certificate" : "key");
        }

        check_policy(run, &certificate->policy, yaml_find(node, "renew_before"), yaml_find(node, "jitter"));
}

struct place_of_certificate {
        const struct config_certificate *certificate;
        const struct yaml_node *name;
};

/* Orders paths so that what lies in a directory follows it at once: '/' before everything else. */
static int compare_directories(const void *a, const void *b) {
        const struct place_of_certificate *x = a, *y = b;
        const unsigned char *p = (const unsigned char *)x->certificate->directory,
                            *q = (const unsigned char *)y->certificate->directory;

        while (*p && *p == *q)
                p++, q++;
        if (*p == *q) /* the same directory: in the order of the files */
                return x->certificate < y->certificate ? -1 : 1;
        if (!*p || !*q)
                return *p ? 1 : -1;
        return (*p == '/' ? 0 : *p) < (*q == '/' ? 0 : *q) ? -1 : 1;
}

static bool is_inside(const char *path, const char *directory) {
        size_t n = strlen(directory);

        return strncmp(path, directory, n) == 0 && (path[n] == '/' || !path[n]);
}

/* Two certificates in one directory would overwrite each other, and one inside another's is litter to it. */
static void check_directories(struct yaml_run *run, const struct config *config) {
        const struct yaml_node *const *names = yaml_run_names(run, config->certificates);
        _cleanup_(freep) struct place_of_certificate *sorted = NULL;
        size_t n = 0, outer = 0;

        sorted = calloc(config->n_certificates + 1, sizeof(*sorted));
        if (!sorted)
                return;
        for (size_t i = 0; i < config->n_certificates; i++)
                if (config->certificates[i].directory)
                        sorted[n++] = (struct place_of_certificate) { &config->certificates[i], names[i] };
        qsort(sorted, n, sizeof(*sorted), compare_directories);

        for (size_t i = 1; i < n; i++) {
                const struct place_of_certificate *inner = &sorted[i], *other = &sorted[outer];
                struct yaml_place place;

                if (!is_inside(inner->certificate->directory, other->certificate->directory)) {
                        outer = i;
                        continue;
                }
                if (yaml_run_full(run))
                        return;
                place = yaml_find(inner->name->next, "directory")->place;
                yaml_complain(
                        run, place,
                        "'directory' %s that of certificate '%s' (%s); give each certificate a directory "
                        "of its own",
                        streq(inner->certificate->directory, other->certificate->directory) ? "is the same as"
                                                                                            : "lies inside",
                        other->certificate->name, yaml_place_text(run, other->name->place, place));
        }
}

void config_check(struct yaml_run *run, const struct config *config) {
        check_policy(run, &config->defaults, yaml_run_find(run, "defaults", "renew_before"),
                     yaml_run_find(run, "defaults", "jitter"));
        if (config->n_certificates > 0)
                check_directories(run, config);
}
