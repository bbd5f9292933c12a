/* `rekeyctl remove`: what `rekeyctl add` has written goes, and its files stay. What a person has written is
 * named, with its line, and left to that person. */

#include <fcntl.h>
#include <stdio.h>

#include "ctl/change.h"
#include "ctl/drop-in.h"
#include "ctl/reload.h"
#include "ctl/view.h"

static int refuse(const struct ctl *ctl, const char *name, const char *path) {
        _cleanup_(freep) char *place = drop_in_find(ctl, name);

        if (!place)
                return ctl_fail(ctl, CTL_NO_CERTIFICATE,
                                "there is no certificate '%s' in %s and its drop-ins", name,
                                ctl_config_path(ctl));
        return ctl_fail(ctl, CTL_NOT_NOW,
                        "%s was not written by `rekeyctl add`, so it is not removed: edit %s, then: rekeyctl "
                        "reload",
                        access(path, F_OK) == 0 ? path : name, place);
}

static char *find_directory(struct ctl *ctl, const char *name) {
        const struct config *config;

        if (ctl_config(ctl, &config) < 0)
                return NULL;
        for (size_t i = 0; i < config->n_certificates; i++)
                if (streq(config->certificates[i].name, name))
                        return strdup(config->certificates[i].directory);
        return NULL;
}

static bool is_running(struct ctl *ctl) {
        _cleanup_(freep) char *sentence = NULL;

        return change_ask_quietly(ctl, "GET", "/v1/version", NULL, NULL, &sentence) != CTL_UNREACHABLE;
}

/* It is hidden until rekeyd has taken the rest. */
static int remove_it(struct ctl *ctl, const char *path, enum reload_mode mode) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int r, exit;

        r = drop_in_hide(path, &error);
        if (r < 0)
                return ctl_fail(ctl, r == -EACCES || r == -EPERM ? CTL_DENIED : CTL_FAILED, "%s",
                                error_text(&error));
        exit = is_running(ctl) ? reload_run(ctl, mode) : CTL_OK;
        if (exit == CTL_FAILED || exit == CTL_DENIED) {
                r = drop_in_restore(path, &error);
                return ctl_fail(ctl, exit, "nothing was removed%s%s", r < 0 ? ": " : "", error_text(&error));
        }
        if (drop_in_forget(path, &error) < 0)
                return ctl_fail(ctl, CTL_FAILED, "%s", error_text(&error));
        return exit;
}

static bool has_files(const char *directory) {
        _cleanup_(freep) char *key = NULL;

        if (directory && asprintf(&key, "%s/tls.key", directory) < 0)
                key = NULL;
        return key && faccessat(AT_FDCWD, key, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int show_result(const struct ctl *ctl, const char *path, const char *directory) {
        _cleanup_(json_decrefp) json_t *result = NULL;

        if (ctl_has(ctl, "json")) {
                result = json_pack("{s:s, s:s, s:s?}", "certificate", ctl->arguments[0], "file", path,
                                   "directory", directory);
                return ctl_print_json(ctl, result);
        }
        ctl_print(ctl, "%s: removed, with %s", ctl->arguments[0], path);
        if (has_files(directory))
                ctl_print(ctl,
                          "Its key and certificate stay in %s, and the certificate is valid until it "
                          "expires. Delete them when no program uses them any more.",
                          directory);
        return CTL_OK;
}

static int run(struct ctl *ctl) {
        const char *name = ctl->arguments[0];
        _cleanup_(freep) char *path = drop_in_path(ctl, name), *directory = NULL;
        bool is_waiting;
        int r, exit;

        if (!change_wants_wait(ctl, &is_waiting))
                return CTL_USAGE;
        if (!path)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        r = drop_in_is_ours(path);
        if (r < 0)
                return ctl_fail(ctl, r == -EACCES ? CTL_DENIED : CTL_FAILED, "cannot read %s: %s", path,
                                strerrordesc_np(-r));
        if (r == 0)
                return refuse(ctl, name, path);
        directory = find_directory(ctl, name);
        exit = remove_it(ctl, path, is_waiting ? RELOAD_QUIET : RELOAD_NO_WAIT);
        return exit == CTL_OK ? show_result(ctl, path, directory) : exit;
}

static const struct ctl_argument arguments[] = {
        { .name = "NAME", .kind = CTL_CERTIFICATE },
};

static const struct ctl_option options[] = {
        { .name = "json", .letter = 'j', .help = "print the result as JSON" },
        CHANGE_OPTIONS,
};

const struct ctl_command command_remove = {
        .name = "remove",
        .section = CTL_CHANGE,
        .help = "remove a certificate that `rekeyctl add` has added",
        .more = "Deletes the drop-in and reloads rekeyd. Key and certificate remain in place. Of a "
                "certificate that is configured elsewhere, the file and line to be edited are printed.",
        .arguments = arguments,
        .n_arguments = ELEMENTSOF(arguments),
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
