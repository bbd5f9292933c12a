/*
 * `rekeyctl check-config`: every mistake in a configuration, with its line, before it is given to rekeyd; and
 * what would fail later on this machine, as far as a running rekeyd judges it with the rights of the service.
 * What nobody could judge is named.
 */

#include <stdio.h>
#include <sys/stat.h>

#include "ctl/ctl.h"
#include "ctl/terminal/text.h"
#include "ctl/view.h"
#include "lib/report/precheck.h"
#include "lib/util/files.h"

/* Without the program's name in front: editors know "file:line:column:". */
static void print_plain(const struct ctl *ctl, const char *text) {
        _cleanup_(freep) char *clean = text_clean(text, ctl->term.is_utf8);

        fprintf(stderr, "%s\n", clean ? clean : "out of memory");
}

/* --- What rekeyd judges --- */

static bool is_same_file(const char *a, const char *b) {
        struct stat one, other;

        return a && b && stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev &&
               one.st_ino == other.st_ino;
}

static size_t print_problems(const struct ctl *ctl, const json_t *answer) {
        const json_t *item;
        size_t i, n = 0;

        json_array_foreach(json_object_get(answer, "errors"), i, item) {
                print_plain(ctl, json_string_value(item) ? json_string_value(item) : "?");
                n++;
        }
        json_array_foreach(json_object_get(answer, "checks"), i, item) {
                const char *certificate = view_string(item, "certificate"), *text = view_string(item, "text");
                const char *connector = view_string(item, "connector");

                if (!text || !json_is_false(json_object_get(item, "ok")))
                        continue;
                ctl_warn(ctl, "%s%s: %s", certificate || !connector ? "" : "connector ",
                         certificate ? certificate
                         : connector ? connector
                                     : "configuration",
                         text);
                n++;
        }
        return n;
}

/* What was checked: the configuration as a text. */
static void print_summary(const struct ctl *ctl, const char *name, const struct config *config) {
        ctl_print(ctl, "%s is valid: %zu certificate%s, %zu connector%s.", name, config->n_certificates,
                  config->n_certificates == 1 ? "" : "s", config->n_connectors,
                  config->n_connectors == 1 ? "" : "s");
}

/* What needs no rights of the service; WHY the rest is not judged ends a sentence. An exit status. */
static int judge_here(const struct ctl *ctl, const char *path, const struct config *config, const char *why) {
        print_summary(ctl, path, config);
        ctl_print(ctl, "not judged: files, rights, groups and programs that it names, since %s.", why);
        for (size_t i = 0; i < config->n_unread; i++)
                ctl_warn(ctl, "configuration: " PRECHECK_UNREAD, config->unread[i]);
        return config->n_unread > 0 ? CTL_FAILED : CTL_OK;
}

/* An exit status. */
static int report(const struct ctl *ctl, const char *path, const struct config *config,
                  const json_t *answer) {
        const char *user = view_string(answer, "user");
        size_t n;

        if (!is_same_file(view_string(answer, "config"), path)) {
                _cleanup_(freep) char *why = NULL;

                if (asprintf(&why, "rekeyd runs with another configuration, %s",
                             view_string(answer, "config") ? view_string(answer, "config") : "?") < 0) {
                        why = NULL;
                        return ctl_fail(ctl, CTL_FAILED, "out of memory");
                }
                return judge_here(ctl, path, config, why);
        }
        n = print_problems(ctl, answer);
        if (n > 0)
                return ctl_fail(ctl, CTL_FAILED, "%zu problem%s, judged by rekeyd as user %s", n,
                                n == 1 ? "" : "s", user ? user : "?");
        print_summary(ctl, path, config);
        ctl_print(ctl, "rekeyd, as user %s, can use all files, groups and programs that it names.",
                  user ? user : "?");
        return CTL_OK;
}

/* A path that the command line names may be of a file that is still being written for another machine. */
static int judge(struct ctl *ctl, const char *path, const struct config *config) {
        _cleanup_(client_reply_clear) struct client_reply reply = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct client *client = ctl_client(ctl);
        int r;

        if (!client)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        r = client_call(client, "GET", "/v1/check-config", NULL, &reply, &error);
        if (r == 0 && reply.status == 200)
                return report(ctl, path, config, reply.json);
        if (r == -ENOENT || r == -ECONNREFUSED)
                return judge_here(ctl, path, config, "rekeyd is not running");
        if (r == 0 && reply.status == 404)
                return judge_here(ctl, path, config, "this rekeyd is older than rekeyctl");
        if (error.code == 0)
                error_set(&error, -EPROTO, "its answer has HTTP status %ld", (long)reply.status);
        error_prefix(&error, "rekeyd cannot be asked");
        return judge_here(ctl, path, config, error_text(&error));
}

/* --- What this process judges --- */

static int load(const char *path, struct config **ret, struct config_errors *errors, struct error *error) {
        _cleanup_(freep) char *text = NULL;
        size_t size;
        int r;

        if (!streq(path, "-"))
                return config_load(path, ret, errors);
        r = fd_read_all(STDIN_FILENO, CONFIG_SIZE_MAX, &text, &size);
        if (r < 0)
                return error_set_errno(error, r, "cannot read the configuration from standard input");
        return config_parse("<stdin>", text, size, ret, errors);
}

static int run(struct ctl *ctl) {
        _cleanup_(config_errors_clear) struct config_errors errors = { 0 };
        _cleanup_(config_freep) struct config *config = NULL;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        const char *path = ctl->n_arguments > 0 ? ctl->arguments[0] : ctl_config_path(ctl);
        int r;

        r = load(path, &config, &errors, &error);
        for (size_t i = 0; i < errors.n; i++)
                print_plain(ctl, errors.items[i]);
        if (error.code < 0)
                return ctl_fail(ctl, CTL_FAILED, "%s", error_text(&error));
        if (r == -ENOMEM)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        if (r < 0)
                return ctl_fail(ctl, CTL_FAILED, "%zu error%s; rekeyd would keep its current configuration",
                                errors.n, errors.n == 1 ? "" : "s");
        if (streq(path, "-"))
                return judge_here(ctl, "standard input", config, "it is no file that rekeyd reads");
        return judge(ctl, path, config);
}

static const struct ctl_argument arguments[] = {
        { .name = "FILE", .kind = CTL_FILE, .is_optional = true },
};

const struct ctl_command command_check_config = {
        .name = "check-config",
        .section = CTL_OTHER,
        .help = "report every error in the configuration, or in FILE",
        .more = "The drop-ins in conf.d beside the file are read as well; FILE may be - for standard input, "
                "without any. Nothing is changed. A running rekeyd is asked what would fail later: files, "
                "rights, groups and programs, as the user of the service; without one they are not judged.",
        .arguments = arguments,
        .n_arguments = ELEMENTSOF(arguments),
        .run = run,
};
