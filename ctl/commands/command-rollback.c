/* `rekeyctl rollback`: an older generation is current again. */

#include "ctl/change.h"
#include "ctl/operation.h"

static int run(struct ctl *ctl) {
        _cleanup_(json_decrefp) json_t *body =
                ctl_has(ctl, "generation")
                        ? json_pack("{s:I}", "generation", (json_int_t)ctl_number(ctl, "generation"))
                        : json_object();

        if (!body)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        return operation_run(ctl, &(struct operation) {
                                          .name = "rollback",
                                          .asked = "rollback requested",
                                          .try_again = "rekeyctl rollback %s",
                                          .body = &body,
                                          .certificates = ctl->arguments,
                                          .n_certificates = 1,
                                  });
}

static const struct ctl_argument arguments[] = {
        { .name = "NAME", .kind = CTL_CERTIFICATE },
};

static const struct ctl_option options[] = {
        { .name = "generation",
          .letter = 'g',
          .kind = CTL_GENERATION,
          .argument = "N",
          .help = "the generation; default: the newest older one that is still valid" },
        CHANGE_OPTIONS,
};

const struct ctl_command command_rollback = {
        .name = "rollback",
        .section = CTL_CHANGE,
        .help = "make an older generation the current one",
        .more = "It is copied to a new generation, and dependents are notified as for any other. `rekeyctl "
                "show` lists the generations that are kept; the option `keep` sets their number.",
        .arguments = arguments,
        .n_arguments = ELEMENTSOF(arguments),
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
