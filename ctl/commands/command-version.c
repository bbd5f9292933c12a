/* `rekeyctl version`: of rekeyctl, and of the rekeyd that runs, which may be an older one until it is
 * restarted. */

#include "ctl/ctl.h"

static int run(struct ctl *ctl) {
        _cleanup_(json_decrefp) json_t *reply = NULL;
        const char *version;
        int exit;

        if (!ctl_has(ctl, "json"))
                ctl_print(ctl, "rekeyctl " REKEYD_VERSION);
        exit = ctl_ask(ctl, "GET", "/v1/version", NULL, &reply);
        if (exit != CTL_OK)
                return exit;
        if (ctl_has(ctl, "json"))
                return ctl_print_json(ctl, reply);
        version = json_string_value(json_object_get(reply, "version"));
        ctl_print(ctl, "rekeyd %s", version ? version : "of unknown version");
        return CTL_OK;
}

static const struct ctl_option options[] = {
        { .name = "json", .letter = 'j', .help = "print rekeyd's answer as JSON" },
};

const struct ctl_command command_version = {
        .name = "version",
        .section = CTL_OTHER,
        .help = "print the versions of rekeyctl and of the running rekeyd",
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
