/* Names of the failure classes, as logs, metrics and the manual spell them. */

#include "lib/life/failure.h"

const char *const failure_names[FAILURE_MAX] = {
        [FAILURE_NONE] = "none",         [FAILURE_TRANSIENT] = "transient", [FAILURE_REFUSED] = "refused",
        [FAILURE_REJECTED] = "rejected", [FAILURE_BAD_REPLY] = "bad-reply", [FAILURE_LOCAL] = "local",
};
