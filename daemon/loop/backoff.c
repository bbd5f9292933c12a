/* For dependents and exports, which are retried indefinitely: schedule_backoff() without a certificate. */

#include "daemon/loop/backoff.h"

#include <sys/random.h>

uint32_t random_number(void) {
        uint32_t number = 0;

        (void)getrandom(&number, sizeof(number), GRND_NONBLOCK);
        return number;
}

usec_t backoff_for_ever(enum failure failure, unsigned n) {
        static const struct schedule_policy policy = { 0 };

        return schedule_backoff(&policy, failure, n, random_number(), 0, 0);
}
