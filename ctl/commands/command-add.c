/*
 * `rekeyctl add`: a certificate in one command, for those who do not want to write YAML. The drop-in is
 * checked with the rest of the configuration before it is written, and is gone again where rekeyd does not
 * take it.
 */

#include <stdio.h>
#include <sys/stat.h>

#include "ctl/change.h"
#include "ctl/drop-in.h"
#include "ctl/reload.h"
#include "ctl/terminal/text.h"
#include "ctl/view.h"
#include "lib/util/text-stream.h"

/* Options of the command that are options of the certificate, by their names. */
static const struct {
        const char *option, *key;
} members[] = {
        { "connector", "connector" },
        { "directory", "directory" },
        { "token-file", "token_file" },
        { "owner", "owner" },
        { "group", "group" },
        { "mode", "mode" },
        { "renew-before", "renew_before" },
};

/* JSON's strings are YAML's as well. False: it is no UTF-8, or memory is out. */
static bool put(FILE *out, const char *before, const char *value, const char *after) {
        _cleanup_(json_decrefp) json_t *string = json_string(value);
        _cleanup_(freep) char *quoted = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;

        if (quoted)
                fprintf(out, "%s%s%s", before, quoted, after);
        return quoted;
}

static int write_text(const struct ctl *ctl, FILE *out) {
        bool is_good;

        fputs(DROP_IN_MARK "certificates:\n", out);
        is_good = put(out, "  ", ctl->arguments[0], ":\n");
        for (size_t i = 0; i < ELEMENTSOF(members); i++) {
                const char *value = ctl_text(ctl, members[i].option);

                if (value) {
                        fprintf(out, "    %s: ", members[i].key);
                        is_good = put(out, "", value, "\n") && is_good;
                }
        }
        if (ctl_has(ctl, "notify-unit"))
                is_good = put(out, "    notify: [{unit: ", ctl_text(ctl, "notify-unit"), "}]\n") && is_good;
        return is_good ? 0 : -EINVAL;
}

static char *make_text(const struct ctl *ctl) {
        char *text = NULL;
        size_t size;
        FILE *out = text_stream_open(&text, &size);
        int r;

        if (!out)
                return NULL;
        r = write_text(ctl, out);
        if (fclose(out) == 0 && r == 0)
                return text;
        free(text);
        return NULL;
}

/* --- Checks --- */

static int check_text(struct ctl *ctl, const char *path, const char *text) {
        _cleanup_(config_errors_clear) struct config_errors errors = { 0 };
        _cleanup_(config_freep) struct config *config = NULL;
        int r;

        r = config_load_with(ctl_config_path(ctl), path, text, &config, &errors);
        for (size_t i = 0; i < errors.n; i++) {
                _cleanup_(freep) char *clean = text_clean(errors.items[i], ctl->term.is_utf8);

                fprintf(stderr, "%s\n", clean ? clean : "out of memory");
        }
        if (r == -ENOMEM)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        if (r < 0)
                return ctl_fail(ctl, CTL_FAILED, "%zu error%s; %s was not added", errors.n,
                                errors.n == 1 ? "" : "s", ctl->arguments[0]);
        return CTL_OK;
}

/* A relative path of rekeyd's says nothing here. */
static bool is_another_file(const char *a, const char *b) {
        struct stat x, y;

        return a[0] == '/' && stat(a, &x) == 0 && stat(b, &y) == 0 &&
               (x.st_dev != y.st_dev || x.st_ino != y.st_ino);
}

/* A rekeyd with another configuration would not read what is written here. */
static int check_rekeyd(struct ctl *ctl, bool *ret_runs) {
        _cleanup_(freep) char *sentence = NULL;
        _cleanup_(json_decrefp) json_t *version = NULL;
        const int exit = change_ask_quietly(ctl, "GET", "/v1/version", NULL, &version, &sentence);
        const char *config = view_string(version, "config");

        *ret_runs = exit == CTL_OK;
        if (exit == CTL_UNREACHABLE)
                return CTL_OK;
        if (exit != CTL_OK)
                return ctl_fail(ctl, exit, "%s", sentence ? sentence : "out of memory");
        if (config && is_another_file(config, ctl_config_path(ctl)))
                return ctl_fail(
                        ctl, CTL_FAILED,
                        "rekeyd runs with another configuration; use --config %s, or another --socket",
                        config);
        return CTL_OK;
}

/* --- Doing it --- */

/* rekeyd has refused it, which is printed: nothing stays. */
static int take_back(const struct ctl *ctl, const char *path, int exit) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        if (drop_in_remove(path, &error) < 0)
                return ctl_fail(ctl, exit, "%s; remove it by hand", error_text(&error));
        return ctl_fail(ctl, exit, "%s was not added, and %s was removed again", ctl->arguments[0], path);
}

static void print_next(const struct ctl *ctl, const char *path, bool runs) {
        const char *name = ctl->arguments[0];

        ctl_print(ctl, "%s: added in %s%s", name, path,
                  runs ? "" : "; rekeyd is not running; start it: systemctl start rekeyd");
        if (ctl_has(ctl, "token-file"))
                ctl_print(ctl, "rekeyd enrols it when there is a one-time token in %s.",
                          ctl_text(ctl, "token-file"));
        else
                ctl_print(ctl, "To enrol it with a one-time token: rekeyctl enrol %s", name);
}

static int show_result(struct ctl *ctl, const char *path, bool runs) {
        _cleanup_(json_decrefp) json_t *result = NULL;

        if (!ctl_has(ctl, "json")) {
                print_next(ctl, path, runs);
                return CTL_OK;
        }
        result = json_pack("{s:s, s:s, s:b}", "certificate", ctl->arguments[0], "file", path, "reloaded",
                           runs);
        return ctl_print_json(ctl, result);
}

static int refuse_second(const struct ctl *ctl, const char *path, const char *place) {
        const char *name = ctl->arguments[0];
        const bool is_ours = drop_in_is_ours(path) > 0;

        return ctl_fail(ctl, CTL_NOT_NOW, "%s is configured already, in %s; edit that%s%s", name, place,
                        is_ours ? ", or remove it first: rekeyctl remove " : "", is_ours ? name : "");
}

static int add(struct ctl *ctl, const char *path, const char *text, enum reload_mode mode) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *place = NULL;
        bool runs;
        int r, exit;

        place = drop_in_find(ctl, ctl->arguments[0]);
        if (place)
                return refuse_second(ctl, path, place);
        exit = check_rekeyd(ctl, &runs);
        if (exit == CTL_OK)
                exit = check_text(ctl, path, text);
        if (exit != CTL_OK)
                return exit;
        r = drop_in_write(path, text, &error);
        if (r < 0)
                return ctl_fail(ctl, r == -EACCES || r == -EPERM ? CTL_DENIED : CTL_FAILED, "%s",
                                error_text(&error));
        exit = runs ? reload_run(ctl, mode) : CTL_OK;
        if (exit == CTL_FAILED || exit == CTL_DENIED)
                return take_back(ctl, path, exit);
        return exit == CTL_OK ? show_result(ctl, path, runs) : exit;
}

static int run(struct ctl *ctl) {
        _cleanup_(freep) char *path = drop_in_path(ctl, ctl->arguments[0]), *text = NULL;

        bool is_waiting;

        if (!change_wants_wait(ctl, &is_waiting))
                return CTL_USAGE;
        if (!ctl_has(ctl, "connector") || !ctl_has(ctl, "directory"))
                return ctl_fail(ctl, CTL_USAGE, "add: both --connector and --directory are needed");
        text = make_text(ctl);
        if (!path || !text)
                return ctl_fail(ctl, CTL_FAILED, "add: an option is not valid UTF-8, or memory is out");
        return add(ctl, path, text, is_waiting ? RELOAD_QUIET : RELOAD_NO_WAIT);
}

static const struct ctl_argument arguments[] = {
        { .name = "NAME", .kind = CTL_NEW_NAME },
};

static const struct ctl_option options[] = {
        { .name = "connector",
          .kind = CTL_TEXT,
          .argument = "NAME",
          .help = "the Connector that signs it, from the configuration" },
        { .name = "directory", .kind = CTL_FILE, .argument = "DIR", .help = "where its files are to be" },
        { .name = "token-file",
          .kind = CTL_FILE,
          .argument = "FILE",
          .help = "where a one-time token appears; otherwise use rekeyctl enrol" },
        { .name = "owner", .kind = CTL_TEXT, .argument = "USER", .help = "the owner of its files" },
        { .name = "group", .kind = CTL_TEXT, .argument = "GROUP", .help = "the group of its files" },
        { .name = "mode", .kind = CTL_TEXT, .argument = "MODE", .help = "the mode of the key, such as 0640" },
        { .name = "renew-before",
          .kind = CTL_TEXT,
          .argument = "TIME",
          .help = "how long before its expiry it is renewed: 33%, or 20d" },
        { .name = "notify-unit",
          .kind = CTL_TEXT,
          .argument = "UNIT",
          .help = "the systemd unit to be reloaded after each renewal" },
        { .name = "json", .letter = 'j', .help = "print the result as JSON" },
        CHANGE_OPTIONS,
};

const struct ctl_command command_add = {
        .name = "add",
        .section = CTL_CHANGE,
        .help = "add a certificate to the configuration",
        .more = "Writes a drop-in into conf.d beside the configuration file, once it is known to be valid, "
                "and reloads rekeyd. `rekeyctl remove` deletes it again. rekeyd.yaml(5) has all options; "
                "edit the drop-in for those that are not here.",
        .arguments = arguments,
        .n_arguments = ELEMENTSOF(arguments),
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
