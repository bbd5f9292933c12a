/*
 * What follows from an entry of the configuration for those who go by it, and must be the same for all of
 * them.
 */

#include "lib/config/config.h"

struct schedule_policy config_schedule_policy(const struct config_certificate *certificate) {
        return (struct schedule_policy) {
                .renew_before = certificate->policy.renew_before,
                .jitter = certificate->policy.jitter,
                .skew_usec = certificate->policy.clock_skew_usec,
                .ca_window_usec = certificate->connector->ca_window_usec,
        };
}
