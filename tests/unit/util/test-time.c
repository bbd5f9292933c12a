/* Clocks, sums that do not wrap, and times as people read them. */

#include "lib/util/time.h"

#include "tests/test.h"

START_TEST(sums_do_not_wrap) {
        ck_assert_uint_eq(usec_add(USEC_INFINITY, 1), USEC_INFINITY);
        ck_assert_uint_eq(usec_add(USEC_INFINITY - 1, 2), USEC_INFINITY);
        ck_assert_uint_eq(usec_add(40, 2), 42);
        ck_assert_uint_eq(usec_sub(1, 2), 0);
        ck_assert_uint_eq(usec_sub(2, 2), 0);
        ck_assert_uint_eq(usec_sub(44, 2), 42);
        ck_assert_uint_eq(usec_sub(USEC_INFINITY, 5), USEC_INFINITY); /* never is never */
        ck_assert_uint_eq(usec_sub(5, USEC_INFINITY), 0);
}
END_TEST

#define WHOLE (UINT64_C(1) << 32) /* the largest */

START_TEST(a_part_is_exact_at_its_limits) {
        static const struct {
                usec_t value;
                uint64_t part, whole;
                usec_t expected;
        } rows[] = {
                { 0, 0, 1, 0 },
                { 0, WHOLE, WHOLE, 0 },
                { 1, WHOLE - 1, WHOLE, 0 }, /* rounded down */
                { 3, 1, 2, 1 },
                { UINT64_MAX, 0, WHOLE, 0 },
                { UINT64_MAX, 1, 1, UINT64_MAX },
                { UINT64_MAX, WHOLE, WHOLE, UINT64_MAX },
                { UINT64_MAX, 1, WHOLE, UINT32_MAX },
                { UINT64_MAX, WHOLE - 1, WHOLE, UINT64_MAX - UINT32_MAX - 1 },
                { UINT64_MAX, WHOLE / 2, WHOLE, UINT64_MAX / 2 },
                { UINT64_MAX, 333333, 1000000, UINT64_C(6148908542321825968) },
                { UINT64_MAX - 1, 999999, 1000000, UINT64_C(18446725626965477904) },
                { WHOLE - 1, WHOLE - 1, WHOLE, WHOLE - 2 }, /* the largest product of rest and part */
                { WHOLE, WHOLE - 1, WHOLE, WHOLE - 1 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                usec_t part = usec_part(rows[i].value, rows[i].part, rows[i].whole);

                ck_assert_msg(part == rows[i].expected, "row %zu: %" PRI_USEC, i, part);
        }
}
END_TEST

#ifdef __SIZEOF_INT128__

/* splitmix64: the same numbers each time. */
static uint64_t next_number(uint64_t *state) {
        uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

/* As many small numbers as large ones, and as many near a power of two. */
static uint64_t next_edgy_number(uint64_t *state) {
        uint64_t bits = next_number(state), number = next_number(state) >> (bits & 63);

        if (bits & 64)
                number = (UINT64_C(1) << (bits >> 7 & 63)) + (bits >> 13 & 3) - 2;
        return number;
}

START_TEST(a_part_is_what_a_product_of_128_bits_gives) {
        uint64_t state = 1;

        for (unsigned i = 0; i < 500000; i++) {
                usec_t value = next_edgy_number(&state);
                uint64_t whole = next_edgy_number(&state) % WHOLE + 1;
                uint64_t part = next_edgy_number(&state) % (whole + 1);
                usec_t expected = (usec_t)((unsigned __int128)value * part / whole);

                ck_assert_msg(usec_part(value, part, whole) == expected,
                              "%" PRIu64 " * %" PRIu64 " / %" PRIu64 " is %" PRIu64 ", not %" PRIu64, value,
                              part, whole, expected, usec_part(value, part, whole));
        }
}
END_TEST

#endif

START_TEST(timestamps) {
        static const struct {
                usec_t when;
                const char *text;
        } rows[] = {
                { 0, "1970-01-01T00:00:00Z" },
                { 999999, "1970-01-01T00:00:00Z" },
                { UINT64_C(1795198013) * USEC_PER_SEC, "2026-11-20T18:06:53Z" },
                { UINT64_C(253402300799) * USEC_PER_SEC, "9999-12-31T23:59:59Z" },
                { UINT64_C(253402300800) * USEC_PER_SEC, "10000-01-01T00:00:00Z" },
                { USEC_INFINITY, "never" },
        };
        char buffer[TIMESTAMP_MAX];

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                ck_assert_str_eq(format_timestamp(buffer, rows[i].when), rows[i].text);
                ck_assert_ptr_eq(format_timestamp(buffer, rows[i].when), buffer);
        }
        /* The last instant before never still fits. */
        ck_assert_uint_lt(strlen(format_timestamp(buffer, USEC_INFINITY - 1)), TIMESTAMP_MAX);
}
END_TEST

START_TEST(delays) {
        char buffer[TIMESPAN_MAX];

        ck_assert_str_eq(format_delay(buffer, 0), "now");
        ck_assert_str_eq(format_delay(buffer, USEC_PER_SEC - 1), "now");
        ck_assert_str_eq(format_delay(buffer, USEC_PER_SEC), "in 1s");
        ck_assert_str_eq(format_delay(buffer, 250 * USEC_PER_SEC), "in 4m 10s");
        ck_assert_uint_lt(strlen(format_delay(buffer, USEC_INFINITY - 1)), TIMESPAN_MAX);
}
END_TEST

START_TEST(timespans) {
        static const struct {
                usec_t span;
                const char *text;
        } rows[] = {
                { 0, "0s" },
                { 999, "0s" },
                { USEC_PER_MSEC, "1ms" },
                { 350 * USEC_PER_MSEC, "350ms" },
                { USEC_PER_SEC - 1, "999ms" },
                { 3 * USEC_PER_SEC + 20 * USEC_PER_MSEC, "3s" },
                { 250 * USEC_PER_SEC, "4m 10s" },
                { 240 * USEC_PER_SEC, "4m" },
                { USEC_PER_HOUR + 59 * USEC_PER_SEC, "1h" },
                { 90 * USEC_PER_DAY - 1, "89d 23h" },
                { USEC_PER_DAY + 5 * USEC_PER_MINUTE, "1d" },
                { USEC_INFINITY, "forever" },
        };
        char buffer[TIMESPAN_MAX];

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                ck_assert_str_eq(format_timespan(buffer, rows[i].span), rows[i].text);
        ck_assert_uint_lt(strlen(format_timespan(buffer, USEC_INFINITY - 1)), TIMESPAN_MAX);
}
END_TEST

START_TEST(clocks_tick) {
        usec_t a = now_usec(CLOCK_MONOTONIC), b = now_usec(CLOCK_MONOTONIC);

        ck_assert_uint_ge(b, a);
        ck_assert_uint_gt(now_usec(CLOCK_REALTIME), UINT64_C(1700000000) * USEC_PER_SEC);
        ck_assert_uint_lt(now_usec(CLOCK_BOOTTIME), UINT64_C(1000) * 365 * USEC_PER_DAY);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("time");

        TEST_CASE(suite, sums_do_not_wrap);
        TEST_CASE(suite, a_part_is_exact_at_its_limits);
#ifdef __SIZEOF_INT128__
        TEST_CASE(suite, a_part_is_what_a_product_of_128_bits_gives);
#endif
        TEST_CASE(suite, timestamps);
        TEST_CASE(suite, timespans);
        TEST_CASE(suite, delays);
        TEST_CASE(suite, clocks_tick);
        return test_run(suite);
}
