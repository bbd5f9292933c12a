/* `rekeyctl probe`: whether the Connector accepts the certificates in use, by a call that changes nothing. */

#include "ctl/change.h"
#include "ctl/operation.h"

static int run(struct ctl *ctl) {
        return operation_run(ctl, &(struct operation) {
                                          .name = "probe",
                                          .asked = "probe requested",
                                          .try_again = "rekeyctl probe %s",
                                          .certificates = ctl->arguments,
                                          .n_certificates = ctl->n_arguments,
                                  });
}

static const struct ctl_argument arguments[] = {
        { .name = "NAME", .kind = CTL_CERTIFICATE, .repeats = true },
};

static const struct ctl_option options[] = { CHANGE_OPTIONS };

const struct ctl_command command_probe = {
        .name = "probe",
        .section = CTL_CHANGE,
        .help = "ask the Connector whether it accepts the certificates",
        .more = "Makes one call with each certificate that is in use. It costs no signature and no token. A "
                "certificate that is rejected waits for a one-time token from then on.",
        .arguments = arguments,
        .n_arguments = ELEMENTSOF(arguments),
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
