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
                .replace_within_usec = certificate->connector->renew_within_usec,
        };
}

usec_t config_ca_overlap(const struct config_certificate *certificate) {
        usec_t longest = 0;

        for (size_t i = 0; i < certificate->n_exports; i++)
                if (certificate->exports[i].ca_overlap_usec > longest)
                        longest = certificate->exports[i].ca_overlap_usec;
        return longest;
}

struct replacement_rule config_replacement_rule(const struct config_certificate *certificate) {
        return (struct replacement_rule) {
                .connector = certificate->connector->name,
                .distrust = (const char *const *)certificate->connector->distrust,
                .issued_before = certificate->connector->issued_before,
        };
}
