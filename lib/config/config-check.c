/*
 * What no single option can know: what the options of one entry say together. A check looks at the document
 * as well as at the struct: whether an option was given, and where to point. An option that was given and is
 * wrong has its error already, so nothing here complains that it is missing.
 */

#include "lib/config/config-internal.h"

/* Each in a place of its own. */
static void check_distrust(struct yaml_run *run, const struct yaml_node *list) {
        char echo[YAML_TEXT_MAX];

        list = list ? yaml_resolve(list) : NULL;
        if (!list || list->kind != YAML_LIST)
                return;
        for (const struct yaml_node *item = list->first; item; item = item->next) {
                const struct yaml_node *node = yaml_resolve(item);
                struct issuer_id id;

                if (node->kind == YAML_SCALAR && issuer_id_parse(node->text, &id) < 0)
                        yaml_complain(
                                run, item->place,
                                "'distrust' must have SHA-256 fingerprints, of 64 hexadecimal digits, with "
                                "'spki:' before that of a key, not '%s'; rekeyctl cas lists those in use",
                                yaml_echo(node->text, echo));
        }
}

void config_check_connector(struct yaml_run *run, _unused_ void *object, const struct yaml_node *node,
                            _unused_ struct yaml_place place) {
        check_distrust(run, yaml_find(node, "distrust"));
}

/* Whether what KEY says, if anything, was understood: TEXT is what it was taken for. */
static bool is_read(const struct yaml_node *node, const char *key, const char *text) {
        const struct yaml_node *value = yaml_find(node, key);

        return !value || (yaml_resolve(value)->kind == YAML_SCALAR && streq(yaml_resolve(value)->text, text));
}

/* Whether all is known that export_validate() goes by. */
static bool is_judgeable(const struct export *export, const struct yaml_node *node) {
        return (export->path || export->secret || export->layout != EXPORT_LAYOUT_NONE) &&
               (export->secret || !yaml_find(node, "secret")) &&
               (export->layout != EXPORT_LAYOUT_NONE || !yaml_find(node, "layout")) &&
               is_read(node, "format", export_format_names[export->format]) &&
               (export->n_contents > 0 || !yaml_find(node, "contents")) &&
               (export->passphrase_file || !yaml_find(node, "passphrase_file"));
}

/* Where to point for TEXT, which begins with the option that it is about, "'mode' must ...". */
static struct yaml_place place_of_option(const struct yaml_node *node, const char *text,
                                         struct yaml_place otherwise) {
        char key[YAML_NAME_MAX];
        const struct yaml_node *value = NULL;

        if (sscanf(text, "'%63[^']'", key) == 1)
                value = yaml_find(node, key);
        return value ? value->place : otherwise;
}

/* The defaults that depend on other options, so that what config_format() writes shows them. */
static void complete_export(struct export *export) {
        static const enum export_part contents[] = { EXPORT_KEY, EXPORT_LEAF, EXPORT_CHAIN };
        bool has_key = false;

        if (export->secret)
                return;
        if (export->n_contents == 0) {
                memcpy(export->contents, contents, sizeof(contents));
                export->n_contents = ELEMENTSOF(contents);
        }
        for (size_t i = 0; i < export->n_contents; i++)
                has_key = has_key || export->contents[i] == EXPORT_KEY;
        if (export->access.mode == 0)
                export->access.mode = has_key ? 0600 : 0644;
}

void config_check_export(struct yaml_run *run, void *object, const struct yaml_node *node,
                         struct yaml_place place) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct export *export = object;

        if (!yaml_find(node, "path") && !yaml_find(node, "secret"))
                yaml_complain(run, place,
                              "the export lacks 'path', the file to write, or 'secret', the Secret to write");
        else if (!is_judgeable(export, node))
                return;
        else if (export_validate(export, &error) == 0)
                complete_export(export);
        else
                yaml_complain(run, place_of_option(node, error_text(&error), place), "%s",
                              error_text(&error));
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
                              policy->renew_before.ppm == 0 ? "when it expires" : "endlessly");
        else if ((renew_before || jitter) && both && policy->renew_before.ppm < SHARE_ONE &&
                 policy->renew_before.ppm + policy->jitter.ppm > SHARE_ONE)
                yaml_complain(run, (jitter ? jitter : renew_before)->place,
                              "'renew_before' and 'jitter' must not be more than 100%% together: a "
                              "certificate would be "
                              "renewed before it is valid");
}

static void check_store(struct yaml_run *run, const struct yaml_node *store) {
        if (store && yaml_resolve(store)->kind == YAML_MAPPING && !yaml_find(store, "secret"))
                yaml_complain(run, store->place,
                              "'store' lacks 'secret', the Secret that replicas share, such as "
                              "shop/orders-tls");
}

void config_check_certificate(struct yaml_run *run, void *object, const struct yaml_node *node,
                              _unused_ struct yaml_place place) {
        struct config_certificate *certificate = object;
        const struct yaml_node *import = yaml_find(node, "import");

        for (size_t i = 0; i < certificate->n_exports; i++)
                if (certificate->exports[i].format == EXPORT_PKCS12 && !certificate->exports[i].friendly_name)
                        certificate->exports[i].friendly_name = certificate->name;

        certificate->public_access = certificate->key_access;
        certificate->public_access.mode = 0644;

        if (import && yaml_resolve(import)->kind == YAML_MAPPING) {
                const struct yaml_node *key = yaml_find(import, "key"),
                                       *leaf = yaml_find(import, "certificate");

                if (!key || !leaf)
                        yaml_complain(run, import->place,
                                      "'import' must name both 'key' and 'certificate'; '%s' is missing",
                                      key ? "certificate" : "key");
        }

        check_store(run, yaml_find(node, "store"));
        check_policy(run, &certificate->policy, yaml_find(node, "renew_before"), yaml_find(node, "jitter"));
}

void config_check(struct yaml_run *run, const struct config *config) {
        check_policy(run, &config->defaults, yaml_run_find(run, "defaults", "renew_before"),
                     yaml_run_find(run, "defaults", "jitter"));
        config_check_paths(run, config);
        config_check_stores(run, config);
}
