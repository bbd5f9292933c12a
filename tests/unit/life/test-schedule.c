/* Times: exact values at the edges first, then that jitter spreads, that back-off keeps its bounds
 * and how many attempts it leaves. */

#include "lib/life/schedule.h"

#include "tests/test.h"

#define SHARE(percent) \
        { .is_share = true, .ppm = (percent)*10000 }
#define SPAN(value) \
        { .usec = (value) }

static const uint8_t machine_id[16] = { 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };

static const struct schedule_policy usual = {
        .renew_before = SHARE(33),
        .jitter = SHARE(5),
        .skew_usec = 5 * USEC_PER_MINUTE,
        .ca_window_usec = USEC_PER_MINUTE,
};

/* 2026-11-20T17:57:22Z, when a certificate of the transcripts was signed */
#define BIRTH (UINT64_C(1795197442) * USEC_PER_SEC)

START_TEST(test_share_of) {
        static const struct {
                struct share_or_usec share;
                usec_t lifetime, expected;
        } cases[] = {
                { SHARE(0), USEC_PER_DAY, 0 },
                { SHARE(100), USEC_PER_DAY, USEC_PER_DAY },
                { SHARE(33), 90 * USEC_PER_DAY, UINT64_C(2566080) * USEC_PER_SEC },
                { SHARE(33), 1, 0 },
                { SHARE(50), 3, 1 },
                { SHARE(50), 0, 0 },
                { SHARE(33), USEC_INFINITY, USEC_INFINITY },
                { SHARE(50), USEC_INFINITY - 1, USEC_INFINITY / 2 },
                { SHARE(100), USEC_INFINITY - 1, USEC_INFINITY - 1 },
                { { .is_share = true, .ppm = UINT32_MAX }, 1000, 1000 }, /* no more than all of it */
                { SPAN(7), 3, 7 },
                { SPAN(30 * USEC_PER_DAY), USEC_INFINITY, 30 * USEC_PER_DAY },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ck_assert_msg(share_of(cases[i].share, cases[i].lifetime) == cases[i].expected,
                              "case %zu: %" PRI_USEC, i, share_of(cases[i].share, cases[i].lifetime));
}
END_TEST

START_TEST(test_due) {
        static const struct {
                struct share_or_usec renew_before, jitter;
                usec_t not_before, lifetime;
                uint32_t seed;
                usec_t expected; /* after not_before */
        } cases[] = {
                /* 33% of a lifetime before its end, no jitter */
                { SHARE(33), SHARE(0), BIRTH, USEC_PER_SEC, UINT32_MAX, 670000 },
                { SHARE(33), SHARE(5), BIRTH, 20 * USEC_PER_SEC, 0, 13400000 },
                { SHARE(33), SHARE(5), BIRTH, 24 * USEC_PER_HOUR, 0, 57888 * USEC_PER_SEC },
                { SHARE(33), SHARE(5), BIRTH, 90 * USEC_PER_DAY, 0, UINT64_C(5209920) * USEC_PER_SEC },
                /* half of the jitter, and all of it but one part in 2^32 (rounded down: 1 us less brought
                   forward) */
                { SHARE(33), SHARE(5), BIRTH, 20 * USEC_PER_SEC, 0x80000000, 12900000 },
                { SHARE(33), SHARE(5), BIRTH, 20 * USEC_PER_SEC, UINT32_MAX, 12400001 },
                { SHARE(33), SHARE(5), BIRTH, 90 * USEC_PER_DAY, 0x80000000,
                  UINT64_C(5015520) * USEC_PER_SEC },
                /* durations */
                { SPAN(30 * USEC_PER_DAY), SPAN(USEC_PER_HOUR), BIRTH, 90 * USEC_PER_DAY, 0,
                  60 * USEC_PER_DAY },
                { SPAN(30 * USEC_PER_DAY), SPAN(USEC_PER_HOUR), BIRTH, 90 * USEC_PER_DAY, 0x80000000,
                  60 * USEC_PER_DAY - 30 * USEC_PER_MINUTE },
                { SPAN(0), SPAN(0), BIRTH, USEC_PER_DAY, UINT32_MAX, USEC_PER_DAY },
                /* never in the first tenth: too long by itself, exactly, with jitter, and beyond all bounds
                 */
                { SPAN(30 * USEC_PER_DAY), SHARE(5), BIRTH, USEC_PER_DAY, 0, USEC_PER_DAY / 10 },
                { SHARE(90), SHARE(0), BIRTH, USEC_PER_DAY, 0, USEC_PER_DAY / 10 },
                { SHARE(89), SHARE(0), BIRTH, 100 * USEC_PER_SEC, 0, 11 * USEC_PER_SEC },
                { SHARE(89), SHARE(5), BIRTH, 100 * USEC_PER_SEC, UINT32_MAX, 10 * USEC_PER_SEC },
                { SHARE(100), SHARE(100), BIRTH, 1000, UINT32_MAX, 100 },
                { SPAN(USEC_INFINITY), SPAN(USEC_INFINITY), BIRTH, USEC_PER_DAY, UINT32_MAX,
                  USEC_PER_DAY / 10 },
                { SPAN(USEC_INFINITY - 1), SPAN(0), 0, USEC_INFINITY - 1, 0, (USEC_INFINITY - 1) / 10 },
                /* no lifetime at all */
                { SHARE(33), SHARE(5), BIRTH, 0, UINT32_MAX, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                struct schedule_policy policy = { .renew_before = cases[i].renew_before,
                                                  .jitter = cases[i].jitter };
                usec_t due = schedule_due(&policy, cases[i].not_before,
                                          cases[i].not_before + cases[i].lifetime, cases[i].seed);

                ck_assert_msg(due == cases[i].not_before + cases[i].expected, "case %zu: %" PRI_USEC, i,
                              due - cases[i].not_before);
        }

        /* Never expires, so is never due; and an issuer that expired before the leaf was born. */
        ck_assert_uint_eq(schedule_due(&usual, BIRTH, USEC_INFINITY, 0), USEC_INFINITY);
        ck_assert_uint_eq(schedule_due(&usual, 0, USEC_INFINITY, UINT32_MAX), USEC_INFINITY);
        ck_assert_uint_eq(schedule_due(&usual, BIRTH, BIRTH - USEC_PER_DAY, 7), BIRTH);
}
END_TEST

START_TEST(test_due_before_a_short_lived_issuer) {
        usec_t ca_expiry = BIRTH + 29 * USEC_PER_DAY, now = BIRTH;
        struct schedule_policy policy = { .renew_before = SPAN(30 * USEC_PER_DAY), .jitter = SHARE(5) };
        unsigned renewals = 0;

        /* Each new certificate ends with the CA and is overdue by the policy. The first tenth keeps that from
         * becoming a storm: about log(29 d / 1 h) / log(10 / 9) of them until the last hour. */
        while (ca_expiry - now > USEC_PER_HOUR) {
                now = schedule_due(&policy, now, ca_expiry, schedule_seed(machine_id, "orders"));
                renewals++;
                ck_assert_uint_lt(renewals, 100);
        }
        ck_assert_uint_eq(renewals, 63);
}
END_TEST

START_TEST(test_clock_plausible) {
        ck_assert(schedule_clock_plausible(&usual, BIRTH, BIRTH));
        ck_assert(schedule_clock_plausible(&usual, BIRTH - 5 * USEC_PER_MINUTE, BIRTH));
        ck_assert(!schedule_clock_plausible(&usual, BIRTH - 5 * USEC_PER_MINUTE - 1, BIRTH));
        ck_assert(!schedule_clock_plausible(&usual, 0, BIRTH)); /* a host without a battery, 1970 */
        ck_assert(schedule_clock_plausible(&usual, USEC_INFINITY - 1, BIRTH));
        ck_assert(schedule_clock_plausible(&usual, 0, 0));
        ck_assert(!schedule_clock_plausible(&usual, BIRTH, USEC_INFINITY));
}
END_TEST

START_TEST(test_seed_is_stable) {
        uint8_t other[16];

        /* Fixed for ever: another value would renew a whole fleet at other times after an upgrade. */
        ck_assert_uint_eq(schedule_seed(machine_id, "orders"), schedule_seed(machine_id, "orders"));
        ck_assert_uint_eq(schedule_seed((const uint8_t[16]) { 0 }, ""), 0xa5e0dba6u);
        ck_assert_uint_eq(schedule_seed(machine_id, "orders"), 0x86938064u);

        memcpy(other, machine_id, sizeof(other));
        other[15] ^= 1;
        ck_assert_uint_ne(schedule_seed(other, "orders"), schedule_seed(machine_id, "orders"));
        ck_assert_uint_ne(schedule_seed(machine_id, "orders2"), schedule_seed(machine_id, "orders"));
        ck_assert_uint_ne(schedule_seed(machine_id, "\xff"), schedule_seed(machine_id, "\x7f"));
}
END_TEST

/* Chi-square over 100 bins: 99 degrees of freedom, so 148.2 is passed by chance once in a thousand. The names
 * and the hash are fixed, so this gives the same number each time. */
static double chi_square(const unsigned *bins, size_t n_bins, unsigned n) {
        double expected = (double)n / (double)n_bins, sum = 0;

        for (size_t i = 0; i < n_bins; i++)
                sum += ((double)bins[i] - expected) * ((double)bins[i] - expected) / expected;
        return sum;
}

START_TEST(test_jitter_spreads) {
        const unsigned n = 10000;
        const usec_t lifetime = 90 * USEC_PER_DAY, window = lifetime / 20;
        const usec_t latest = schedule_due(&usual, BIRTH, BIRTH + lifetime, 0);
        unsigned by_name[100] = { 0 }, by_machine[100] = { 0 };
        double names, machines;

        for (unsigned i = 0; i < n; i++) {
                uint8_t id[16] = { (uint8_t)(i >> 8), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
                                   (uint8_t)i };
                char name[32];
                usec_t due;

                snprintf(name, sizeof(name), "certificate-%05u", i);
                due = schedule_due(&usual, BIRTH, BIRTH + lifetime, schedule_seed(machine_id, name));
                ck_assert_uint_le(due, latest);
                ck_assert_uint_lt(latest - due, window);
                by_name[(latest - due) * 100 / window]++;

                due = schedule_due(&usual, BIRTH, BIRTH + lifetime, schedule_seed(id, "orders"));
                by_machine[(latest - due) * 100 / window]++;
        }

        names = chi_square(by_name, ELEMENTSOF(by_name), n);
        machines = chi_square(by_machine, ELEMENTSOF(by_machine), n);
        test_report("jitter: chi-square %.1f over names, %.1f over machines (99 degrees of freedom)", names,
                    machines);
        ck_assert(names < 148.2);
        ck_assert(machines < 148.2);
}
END_TEST

#define MIDDLE 0x80000000u

START_TEST(test_backoff) {
        static const struct {
                enum failure failure;
                unsigned n;
                uint32_t random;
                usec_t retry_after, time_left, expected;
        } cases[] = {
                /* the doubling, with a random number that changes nothing */
                { FAILURE_TRANSIENT, 1, MIDDLE, 0, 0, 5 * USEC_PER_SEC },
                { FAILURE_TRANSIENT, 2, MIDDLE, 0, 0, 10 * USEC_PER_SEC },
                { FAILURE_TRANSIENT, 3, MIDDLE, 0, 0, 20 * USEC_PER_SEC },
                { FAILURE_TRANSIENT, 10, MIDDLE, 0, 0, 2560 * USEC_PER_SEC },
                { FAILURE_TRANSIENT, 11, MIDDLE, 0, 0, USEC_PER_HOUR },
                { FAILURE_TRANSIENT, UINT32_MAX, MIDDLE, 0, 0, USEC_PER_HOUR },
                { FAILURE_TRANSIENT, 0, MIDDLE, 0, 0, 5 * USEC_PER_SEC },
                { FAILURE_LOCAL, 1, MIDDLE, 0, 0, 5 * USEC_PER_SEC },
                { FAILURE_LOCAL, 12, MIDDLE, 0, 0, USEC_PER_HOUR },
                { FAILURE_REFUSED, 1, MIDDLE, 0, 0, 5 * USEC_PER_MINUTE },
                { FAILURE_REFUSED, 4, MIDDLE, 0, 0, 40 * USEC_PER_MINUTE },
                { FAILURE_REFUSED, 5, MIDDLE, 0, 0, USEC_PER_HOUR },
                { FAILURE_REJECTED, 1, MIDDLE, 0, 0, 5 * USEC_PER_MINUTE },
                { FAILURE_REJECTED, 5, MIDDLE, 0, 0, USEC_PER_HOUR },
                /* +-20% */
                { FAILURE_TRANSIENT, 1, 0, 0, 0, 4 * USEC_PER_SEC },
                { FAILURE_TRANSIENT, 1, UINT32_MAX, 0, 0, 6 * USEC_PER_SEC - 1 },
                { FAILURE_TRANSIENT, 99, 0, 0, 0, 48 * USEC_PER_MINUTE },
                { FAILURE_TRANSIENT, 99, UINT32_MAX, 0, 0, 72 * USEC_PER_MINUTE - 1 },
                /* Retry-After: only where longer; never earlier, up to a fifth later */
                { FAILURE_TRANSIENT, 1, MIDDLE, 3 * USEC_PER_SEC, 0, 5 * USEC_PER_SEC },
                { FAILURE_TRANSIENT, 1, 0, 7 * USEC_PER_SEC, 0, 7 * USEC_PER_SEC },
                { FAILURE_TRANSIENT, 1, MIDDLE, 7 * USEC_PER_SEC, 0, 7700 * USEC_PER_MSEC },
                { FAILURE_TRANSIENT, 1, UINT32_MAX, 7 * USEC_PER_SEC, 0, 8400 * USEC_PER_MSEC - 1 },
                { FAILURE_TRANSIENT, 1, MIDDLE, 5 * USEC_PER_HOUR, 0, 330 * USEC_PER_MINUTE },
                /* a day at most; what is asked for beyond it is not believed, and not waited for in step */
                { FAILURE_TRANSIENT, 1, 0, 22 * USEC_PER_HOUR, 0, 22 * USEC_PER_HOUR },
                { FAILURE_TRANSIENT, 1, MIDDLE, 22 * USEC_PER_HOUR, 0, 23 * USEC_PER_HOUR },
                { FAILURE_TRANSIENT, 1, UINT32_MAX, 22 * USEC_PER_HOUR, 0, USEC_PER_DAY - 2 },
                { FAILURE_TRANSIENT, 1, 0, USEC_PER_DAY, 0, USEC_PER_DAY },
                { FAILURE_TRANSIENT, 1, UINT32_MAX, USEC_PER_DAY, 0, USEC_PER_DAY },
                { FAILURE_TRANSIENT, 1, 0, USEC_PER_DAY + 1, 0, USEC_PER_DAY / 5 * 4 },
                { FAILURE_TRANSIENT, 1, 0, 365 * USEC_PER_DAY, 0, USEC_PER_DAY / 5 * 4 },
                { FAILURE_TRANSIENT, 1, UINT32_MAX, USEC_INFINITY, 0, USEC_PER_DAY / 100 * 96 - 4 },
                /* a tenth of the time left, or up to a fifth less, both for our own wait and for Retry-After;
                   1 s at least */
                { FAILURE_TRANSIENT, 11, 0, 0, USEC_PER_HOUR, 288 * USEC_PER_SEC },
                { FAILURE_TRANSIENT, 11, MIDDLE, 0, USEC_PER_HOUR, 324 * USEC_PER_SEC },
                { FAILURE_TRANSIENT, 11, UINT32_MAX, 0, USEC_PER_HOUR, 6 * USEC_PER_MINUTE - 1 },
                { FAILURE_TRANSIENT, 1, MIDDLE, USEC_PER_HOUR, USEC_PER_HOUR, 324 * USEC_PER_SEC },
                { FAILURE_REFUSED, 9, MIDDLE, 0, 10 * USEC_PER_MINUTE, 54 * USEC_PER_SEC },
                { FAILURE_TRANSIENT, 1, MIDDLE, 0, 50 * USEC_PER_SEC, 5 * USEC_PER_SEC },
                { FAILURE_TRANSIENT, 1, MIDDLE, 0, 49 * USEC_PER_SEC, 4410 * USEC_PER_MSEC },
                { FAILURE_TRANSIENT, 1, 0, 0, 10 * USEC_PER_SEC, USEC_PER_SEC },
                { FAILURE_TRANSIENT, 1, MIDDLE, 0, 9 * USEC_PER_SEC, 1100 * USEC_PER_MSEC },
                { FAILURE_TRANSIENT, 1, UINT32_MAX, 0, 1, 1200 * USEC_PER_MSEC - 1 },
                { FAILURE_TRANSIENT, 99, MIDDLE, 0, USEC_INFINITY, USEC_PER_HOUR },
                /* a bad reply waits out the CA window whatever else holds, and up to a fifth more */
                { FAILURE_BAD_REPLY, 1, 0, 0, 0, USEC_PER_MINUTE },
                { FAILURE_BAD_REPLY, 1, MIDDLE, 0, 0, 66 * USEC_PER_SEC },
                { FAILURE_BAD_REPLY, 4, UINT32_MAX, 0, 0, 72 * USEC_PER_SEC - 1 },
                { FAILURE_BAD_REPLY, 5, MIDDLE, 0, 0, 80 * USEC_PER_SEC },
                { FAILURE_BAD_REPLY, 5, 0, 0, 0, 64 * USEC_PER_SEC },
                { FAILURE_BAD_REPLY, 1, 0, 0, 20 * USEC_PER_SEC, USEC_PER_MINUTE },
                { FAILURE_BAD_REPLY, 11, MIDDLE, 0, 0, USEC_PER_HOUR },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                usec_t wait = schedule_backoff(&usual, cases[i].failure, cases[i].n, cases[i].random,
                                               cases[i].retry_after, cases[i].time_left);

                ck_assert_msg(wait == cases[i].expected, "case %zu: %" PRI_USEC, i, wait);
        }
}
END_TEST

START_TEST(test_backoff_spreads_a_fleet) {
        /* A thousand that fail in one instant, for each thing that can decide how long they wait. */
        static const struct {
                const char *what;
                enum failure failure;
                unsigned n;
                usec_t retry_after, time_left, least, most;
        } rows[] = {
                { "the doubling", FAILURE_TRANSIENT, 11, 0, 0, 48 * USEC_PER_MINUTE, 72 * USEC_PER_MINUTE },
                { "Retry-After", FAILURE_TRANSIENT, 1, USEC_PER_HOUR, 0, USEC_PER_HOUR,
                  72 * USEC_PER_MINUTE },
                { "an absurd Retry-After", FAILURE_TRANSIENT, 1, USEC_INFINITY, 0, USEC_PER_DAY / 5 * 4,
                  USEC_PER_DAY / 100 * 96 },
                { "the time left", FAILURE_TRANSIENT, 11, 0, USEC_PER_HOUR, 288 * USEC_PER_SEC,
                  360 * USEC_PER_SEC },
                { "Retry-After and the time left", FAILURE_TRANSIENT, 1, USEC_PER_DAY, USEC_PER_HOUR,
                  288 * USEC_PER_SEC, 360 * USEC_PER_SEC },
                { "the last second", FAILURE_TRANSIENT, 1, 0, 1, USEC_PER_SEC, 1200 * USEC_PER_MSEC },
                { "the CA window", FAILURE_BAD_REPLY, 1, 0, 0, USEC_PER_MINUTE, 72 * USEC_PER_SEC },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                usec_t span = rows[i].most - rows[i].least;
                unsigned bins[10] = { 0 };

                for (uint32_t j = 0; j < 1000; j++) {
                        usec_t wait = schedule_backoff(&usual, rows[i].failure, rows[i].n, j * 2654435761u,
                                                       rows[i].retry_after, rows[i].time_left);

                        ck_assert_msg(wait >= rows[i].least && wait < rows[i].most, "%s: %" PRI_USEC,
                                      rows[i].what, wait);
                        bins[(wait - rows[i].least) * ELEMENTSOF(bins) / span]++;
                }
                for (size_t j = 0; j < ELEMENTSOF(bins); j++)
                        ck_assert_msg(bins[j] > 50 && bins[j] < 200, "%s: %u of 1000 in part %zu",
                                      rows[i].what, bins[j], j);
        }
}
END_TEST

START_TEST(test_not_longer_backoff) {
        static const struct {
                unsigned n;
                uint32_t random;
                usec_t time_left, expected;
        } cases[] = {
                { 0, MIDDLE, 0, 6 * USEC_PER_HOUR },
                { 1, MIDDLE, 0, 6 * USEC_PER_HOUR },
                { 2, MIDDLE, 0, 12 * USEC_PER_HOUR },
                { 3, MIDDLE, 0, USEC_PER_DAY },
                { UINT32_MAX, MIDDLE, 0, USEC_PER_DAY },
                { 1, 0, 0, 288 * USEC_PER_MINUTE },
                { 1, UINT32_MAX, 0, 432 * USEC_PER_MINUTE - 3 },
                /* no more than a day, and not in step */
                { 9, 0, 0, USEC_PER_DAY / 5 * 4 },
                { 9, UINT32_MAX, 0, USEC_PER_DAY - 5 },
                /* the time left, the CA window */
                { 9, 0, USEC_PER_DAY, USEC_PER_DAY / 100 * 8 },
                { 1, MIDDLE, 100 * USEC_PER_DAY, 6 * USEC_PER_HOUR },
                { 1, 0, USEC_PER_MINUTE, USEC_PER_MINUTE },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                usec_t wait =
                        schedule_not_longer_backoff(&usual, cases[i].n, cases[i].random, cases[i].time_left);

                ck_assert_msg(wait == cases[i].expected, "case %zu: %" PRI_USEC, i, wait);
        }
}
END_TEST

/* The window, in which the answer is the same; then twice as long each time. */
START_TEST(test_old_ca_backoff) {
        static const struct {
                unsigned n;
                uint32_t random;
                usec_t time_left, expected;
        } cases[] = {
                { 0, MIDDLE, 0, USEC_PER_MINUTE },
                { 1, MIDDLE, 0, USEC_PER_MINUTE },
                { 2, MIDDLE, 0, 2 * USEC_PER_MINUTE },
                { 6, MIDDLE, 0, 32 * USEC_PER_MINUTE },
                { 7, MIDDLE, 0, USEC_PER_HOUR },
                { UINT32_MAX, MIDDLE, 0, USEC_PER_HOUR },
                { 1, 0, 0, USEC_PER_MINUTE }, /* never less */
                { 7, MIDDLE, 10 * USEC_PER_MINUTE, USEC_PER_MINUTE / 10 * 11 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                usec_t wait =
                        schedule_old_ca_backoff(&usual, cases[i].n, cases[i].random, cases[i].time_left);

                ck_assert_msg(wait == cases[i].expected, "case %zu: %" PRI_USEC, i, wait);
        }
}
END_TEST

/* Spread over the time, and the same each time. */
START_TEST(test_replacement_is_spread) {
        const usec_t from = BIRTH, within = USEC_PER_HOUR;
        unsigned parts[10] = { 0 };

        ck_assert_uint_eq(schedule_replacement(from, 0, UINT32_MAX), from);
        ck_assert_uint_eq(schedule_replacement(from, within, 0), from);
        ck_assert_uint_eq(schedule_replacement(from, within, MIDDLE), from + within / 2);
        ck_assert_uint_eq(schedule_replacement(USEC_INFINITY, within, MIDDLE), USEC_INFINITY);
        for (unsigned i = 0; i < 1000; i++) {
                char name[32];
                usec_t due;

                snprintf(name, sizeof(name), "certificate-%05u", i);
                due = schedule_replacement(from, within, schedule_seed(machine_id, name));
                ck_assert_uint_ge(due, from);
                ck_assert_uint_lt(due, from + within);
                ck_assert_uint_eq(due, schedule_replacement(from, within, schedule_seed(machine_id, name)));
                parts[(due - from) * ELEMENTSOF(parts) / within]++;
        }
        for (size_t i = 0; i < ELEMENTSOF(parts); i++)
                ck_assert_msg(parts[i] > 50 && parts[i] < 200, "%u of 1000 in part %zu", parts[i], i);
}
END_TEST

START_TEST(test_key_ahead) {
        const usec_t hour = USEC_PER_HOUR, due = BIRTH + 60 * USEC_PER_DAY;
        static const uint32_t seeds[] = { 0, 1, MIDDLE, UINT32_MAX };

        ck_assert_uint_eq(schedule_key_ahead(0, BIRTH, due, MIDDLE), USEC_INFINITY);
        ck_assert_uint_eq(schedule_key_ahead(hour, BIRTH, USEC_INFINITY, MIDDLE), USEC_INFINITY);
        ck_assert_uint_eq(schedule_key_ahead(hour, BIRTH, due, 0), due - hour);
        for (size_t i = 0; i < ELEMENTSOF(seeds); i++) {
                const usec_t at = schedule_key_ahead(hour, BIRTH, due, seeds[i]);

                ck_assert_uint_ge(at, due - hour);
                ck_assert_uint_le(at, due - hour / 2);
                ck_assert_uint_eq(at, schedule_key_ahead(hour, BIRTH, due, seeds[i]));

                /* One that lives for minutes gets no key at its birth. */
                ck_assert_uint_ge(schedule_key_ahead(hour, BIRTH, BIRTH + USEC_PER_MINUTE, seeds[i]),
                                  BIRTH + USEC_PER_MINUTE / 2);
                ck_assert_uint_le(schedule_key_ahead(hour, BIRTH, BIRTH + USEC_PER_MINUTE, seeds[i]),
                                  BIRTH + 45 * USEC_PER_SEC);
                /* A due time that lies before the set, or at the beginning of time. */
                ck_assert_uint_eq(schedule_key_ahead(hour, BIRTH, BIRTH - hour, seeds[i]), BIRTH - hour);
                ck_assert_uint_eq(schedule_key_ahead(hour, 0, 0, seeds[i]), 0);
        }
}
END_TEST

/* Keys are made one after another: whatever the jitter of the renewals is, those of a fleet that was enrolled
 * at once are not made at once. */
START_TEST(test_keys_ahead_spread) {
        static const usec_t jitters[] = { 0, USEC_PER_HOUR / 4, USEC_PER_HOUR / 2, USEC_PER_HOUR };
        const usec_t ahead = USEC_PER_HOUR, expiry = BIRTH + 90 * USEC_PER_DAY;

        for (size_t i = 0; i < ELEMENTSOF(jitters); i++) {
                const struct schedule_policy policy = { .renew_before.usec = 30 * USEC_PER_DAY,
                                                        .jitter.usec = jitters[i] };
                const usec_t first = BIRTH + 60 * USEC_PER_DAY - ahead - jitters[i];
                unsigned minutes[180] = { 0 }, most = 0;

                for (unsigned k = 0; k < 6000; k++) {
                        char name[32];
                        uint32_t seed;
                        usec_t due, at;

                        snprintf(name, sizeof(name), "certificate-%05u", k);
                        seed = schedule_seed(machine_id, name);
                        due = schedule_due(&policy, BIRTH, expiry, seed);
                        at = schedule_key_ahead(ahead, BIRTH, due, seed);
                        ck_assert_uint_ge(at, first);
                        ck_assert_uint_lt((at - first) / USEC_PER_MINUTE, ELEMENTSOF(minutes));
                        minutes[(at - first) / USEC_PER_MINUTE]++;
                }
                for (size_t k = 0; k < ELEMENTSOF(minutes); k++)
                        most = minutes[k] > most ? minutes[k] : most;
                ck_assert_msg(most < 400, "jitter %" PRI_USEC ": %u of 6000 in a minute", jitters[i], most);
        }
}
END_TEST

START_TEST(test_backoff_max) {
        static const usec_t left[] = { 0, 1, USEC_PER_SEC, USEC_PER_HOUR, 90 * USEC_PER_DAY, USEC_INFINITY };
        static const usec_t asked[] = { 0, USEC_PER_HOUR, 23 * USEC_PER_HOUR, USEC_PER_DAY, USEC_INFINITY };

        for (enum failure failure = FAILURE_NONE + 1; failure < FAILURE_MAX; failure++)
                for (size_t i = 0; i < ELEMENTSOF(left); i++) {
                        usec_t max = schedule_backoff_max(&usual, failure, left[i]);
                        usec_t hourly = left[i] / 4 < USEC_PER_HOUR ? left[i] / 4 : USEC_PER_HOUR;

                        ck_assert_uint_le(max, USEC_PER_DAY);
                        if (left[i] > 0)
                                ck_assert_uint_le(max, left[i] / 10 + 72 * USEC_PER_SEC +
                                                               (failure == FAILURE_BAD_REPLY ? hourly : 0));
                        for (uint32_t j = 0; j < 1000; j++) {
                                uint32_t random = j < 999 ? j * 2654435761u : UINT32_MAX;
                                unsigned n = 1 + j % 15;

                                for (size_t k = 0; k < ELEMENTSOF(asked); k++)
                                        ck_assert_uint_le(schedule_backoff(&usual, failure, n, random,
                                                                           asked[k], left[i]),
                                                          max);
                                if (failure != FAILURE_BAD_REPLY)
                                        continue;
                                ck_assert_uint_le(schedule_not_longer_backoff(&usual, n, random, left[i]),
                                                  max);
                                ck_assert_uint_ge(schedule_not_longer_backoff(&usual, n, random, left[i]),
                                                  hourly);
                                ck_assert_uint_le(schedule_old_ca_backoff(&usual, n, random, left[i]), max);
                                ck_assert_uint_ge(schedule_old_ca_backoff(&usual, n, random, left[i]),
                                                  usual.ca_window_usec);
                        }
                }
}
END_TEST

START_TEST(test_backoff_never_wears_out_a_certificate) {
        /* An outage that begins a day before the expiry: it is tried often enough, and not too often, until
         * the end. */
        usec_t left = USEC_PER_DAY;
        unsigned n = 1;

        for (; left > 20 * USEC_PER_SEC; n++) {
                usec_t wait = schedule_backoff(&usual, FAILURE_TRANSIENT, n, n * 2654435761u, 0, left);

                ck_assert_uint_le(wait, left / 10);
                ck_assert_uint_ge(wait, USEC_PER_SEC);
                left -= wait;
        }
        test_report("outage of the last day: %u attempts until 20 s before the expiry", n);
        ck_assert_uint_gt(n, 50);
        ck_assert_uint_lt(n, 200);
}
END_TEST

/* The middle of what random numbers give: where a floor decides, a tenth on top of it. */
START_TEST(test_attempts) {
        static const struct {
                enum failure failure;
                unsigned n;
                usec_t left;
                unsigned expected;
        } cases[] = {
                { FAILURE_TRANSIENT, 0, 0, 0 },
                { FAILURE_TRANSIENT, 0, 1, 1 },
                { FAILURE_TRANSIENT, 0, USEC_PER_SEC, 1 },
                { FAILURE_TRANSIENT, 0, 2 * USEC_PER_SEC, 2 },
                { FAILURE_TRANSIENT, 0, 10 * USEC_PER_SEC, 10 },
                { FAILURE_NONE, 0, 10 * USEC_PER_SEC, 10 },
                { FAILURE_TRANSIENT, UINT32_MAX, 10 * USEC_PER_SEC, 10 },
                { FAILURE_BAD_REPLY, 0, 10 * USEC_PER_MINUTE, 10 },
                { FAILURE_TRANSIENT, 0, 1000 * USEC_PER_DAY, SCHEDULE_ATTEMPTS_MAX },
                { FAILURE_TRANSIENT, 0, USEC_INFINITY - BIRTH, SCHEDULE_ATTEMPTS_MAX },
        };
        unsigned before = 0;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                unsigned n =
                        schedule_attempts(&usual, cases[i].failure, cases[i].n, BIRTH, BIRTH + cases[i].left);

                ck_assert_msg(n == cases[i].expected, "case %zu: %u", i, n);
        }
        ck_assert_uint_eq(schedule_attempts(&usual, FAILURE_LOCAL, 0, BIRTH, BIRTH - 1), 0);

        for (usec_t left = USEC_PER_SEC; left < 30 * USEC_PER_DAY; left *= 2) {
                unsigned n = schedule_attempts(&usual, FAILURE_TRANSIENT, 0, BIRTH, BIRTH + left);

                ck_assert_uint_ge(n, before);
                ck_assert_uint_le(schedule_attempts(&usual, FAILURE_TRANSIENT, 9, BIRTH, BIRTH + left), n);
                ck_assert_uint_le(schedule_attempts(&usual, FAILURE_REFUSED, 0, BIRTH, BIRTH + left), n);
                before = n;
        }
        /* An hour apart for most of it. */
        before = schedule_attempts(&usual, FAILURE_TRANSIENT, 0, BIRTH, BIRTH + 30 * USEC_PER_DAY);
        ck_assert_msg(before > 720 && before < 900, "%u", before);
}
END_TEST

TEST_MAIN("schedule", test_share_of, test_due, test_due_before_a_short_lived_issuer, test_clock_plausible,
          test_seed_is_stable, test_jitter_spreads, test_backoff, test_backoff_spreads_a_fleet,
          test_not_longer_backoff, test_old_ca_backoff, test_replacement_is_spread, test_key_ahead,
          test_keys_ahead_spread, test_backoff_max, test_backoff_never_wears_out_a_certificate, test_attempts)
