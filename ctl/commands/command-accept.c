/* `rekeyctl accept`: the certificate may have the other subject that the Connector names. */

#include "ctl/change.h"
#include "ctl/operation.h"

static int run(struct ctl *ctl) {
        return operation_run(ctl, &(struct operation) {
                                          .name = "accept",
                                          .asked = "acceptance requested",
                                          .try_again = "rekeyctl accept %s",
                                          .certificates = ctl->arguments,
                                          .n_certificates = 1,
                                  });
}

static const struct ctl_argument arguments[] = {
        { .name = "NAME", .kind = CTL_CERTIFICATE },
};

static const struct ctl_option options[] = { CHANGE_OPTIONS };

const struct ctl_command command_accept = {
        .name = "accept",
        .section = CTL_CHANGE,
        .help = "allow a certificate to change its subject",
        .more = "rekeyd refuses a new certificate for another client until an operator accepts it. `rekeyctl "
                "status` and `rekeyctl show` show both subjects. The next attempt requests the new one, and "
                "no other.",
        .arguments = arguments,
        .n_arguments = ELEMENTSOF(arguments),
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
