/* `rekeyctl export`: the exports of certificates are checked, and written where they are not as they should
 * be. */

#include "ctl/change.h"
#include "ctl/operation.h"

static int run(struct ctl *ctl) {
        return operation_run(ctl, &(struct operation) {
                                          .name = "export",
                                          .asked = "export requested",
                                          .try_again = "rekeyctl export %s",
                                          .certificates = ctl->arguments,
                                          .n_certificates = ctl->n_arguments,
                                  });
}

static const struct ctl_argument arguments[] = {
        { .name = "NAME", .kind = CTL_CERTIFICATE, .repeats = true },
};

static const struct ctl_option options[] = { CHANGE_OPTIONS };

const struct ctl_command command_export = {
        .name = "export",
        .section = CTL_CHANGE,
        .help = "write the exports now",
        .more = "Writes every export that is missing, was changed or is of an older certificate, and ignores "
                "the back-off after a failure. Dependents are notified if anything was written.",
        .arguments = arguments,
        .n_arguments = ELEMENTSOF(arguments),
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
