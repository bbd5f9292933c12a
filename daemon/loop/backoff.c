/* For dependents and exports, which are retried indefinitely: schedule_backoff() without a certificate. */

#include "daemon/loop/backoff.h"

#include <stdatomic.h>
#include <sys/random.h>

/* SplitMix64, seeded by the kernel once: each event of each certificate takes a number, to spread those that
 * wait, and nobody gains anything by guessing it. */
uint32_t random_number(void) {
        static _Atomic uint64_t state;
        uint64_t number = atomic_load(&state);

        if (number == 0 && getrandom(&number, sizeof(number), GRND_NONBLOCK) == sizeof(number))
                atomic_store(&state, number | 1);
        number = atomic_fetch_add(&state, UINT64_C(0x9e3779b97f4a7c15)) + UINT64_C(0x9e3779b97f4a7c15);
        number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
        return (uint32_t)(number ^ number >> 31);
}

usec_t backoff_for_ever(enum failure failure, unsigned n) {
        static const struct schedule_policy policy = { 0 };

        return schedule_backoff(&policy, failure, n, random_number(), 0, 0);
}
