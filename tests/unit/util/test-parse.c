/* Numbers with units, and the guess at a mistyped word. */

#include "lib/util/parse.h"

#include <errno.h>

#include "tests/test.h"

START_TEST(durations_refused) {
        static const struct {
                const char *text;
                int code;
        } rows[] = {
                { "", -EINVAL },
                { "s", -EINVAL },
                { "90", -EINVAL }, /* of what? */
                { "00x", -EINVAL },
                { "90 s", -EINVAL },
                { " 90s", -EINVAL },
                { "90s ", -EINVAL },
                { "-1s", -EINVAL },
                { "+1s", -EINVAL },
                { "1.5h", -EINVAL },
                { "1h30m", -EINVAL },
                { "1S", -EINVAL },
                { "1w", -EINVAL },
                { "1us", -EINVAL },
                { "0x10s", -EINVAL },
                { "99999999999999999999 ", -EINVAL },
                { "99999999999999999999s", -ERANGE },
                { "213503983d", -ERANGE },
                { "18446744073709551615ms", -ERANGE },
        };
        usec_t usec = 4711;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                ck_assert_msg(parse_duration(rows[i].text, &usec) == rows[i].code, "'%s'", rows[i].text);
                ck_assert_uint_eq(usec, 4711);
        }
}
END_TEST

START_TEST(durations_read) {
        static const struct {
                const char *text;
                usec_t usec;
        } rows[] = {
                { "0", 0 },
                { "0s", 0 },
                { "500ms", 500 * USEC_PER_MSEC },
                { "90s", 90 * USEC_PER_SEC },
                { "30m", 30 * USEC_PER_MINUTE },
                { "12h", 12 * USEC_PER_HOUR },
                { "30d", 30 * USEC_PER_DAY },
                { "007s", 7 * USEC_PER_SEC },
                { "213503982d", UINT64_C(213503982) * USEC_PER_DAY }, /* the last day that fits */
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                usec_t usec = 4711;

                ck_assert_msg(parse_duration(rows[i].text, &usec) == 0, "'%s'", rows[i].text);
                ck_assert_uint_eq(usec, rows[i].usec);
        }
}
END_TEST

START_TEST(shares) {
        static const struct {
                const char *text;
                int code;
                unsigned ppm;
        } rows[] = {
                { "", -EINVAL, 1 },
                { "%", -EINVAL, 1 },
                { "33", -EINVAL, 1 },
                { "0.33", -EINVAL, 1 },
                { "33 %", -EINVAL, 1 },
                { "33%%", -EINVAL, 1 },
                { "-1%", -EINVAL, 1 },
                { ".5%", -EINVAL, 1 },
                { "5.%", -EINVAL, 1 },
                { "1.23456%", -EINVAL, 1 }, /* finer than a millionth */
                { "101%", -ERANGE, 1 },
                { "100.0001%", -ERANGE, 1 },
                { "4294967297%", -ERANGE, 1 },
                { "99999999999999999999%", -ERANGE, 1 },
                { "0%", 0, 0 },
                { "33%", 0, 330000 },
                { "12.5%", 0, 125000 },
                { "0.0001%", 0, 1 },
                { "12.3456%", 0, 123456 },
                { "100%", 0, SHARE_ONE },
                { "100.0000%", 0, SHARE_ONE },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                unsigned ppm = 1;

                ck_assert_msg(parse_share(rows[i].text, &ppm) == rows[i].code, "'%s'", rows[i].text);
                ck_assert_msg(ppm == rows[i].ppm, "'%s': %u", rows[i].text, ppm);
        }
}
END_TEST

START_TEST(unsigned_numbers) {
        static const struct {
                const char *text;
                uint64_t min, max;
                int code;
                uint64_t value;
        } rows[] = {
                { "", 0, 9, -EINVAL, 77 },
                { "x", 0, 9, -EINVAL, 77 },
                { "5x", 0, 9, -EINVAL, 77 },
                { "-1", 0, 9, -EINVAL, 77 },
                { "1e3", 0, 9999, -EINVAL, 77 },
                { "0x10", 0, 9999, -EINVAL, 77 },
                { "1_000", 0, 9999, -EINVAL, 77 },
                { "18446744073709551616x", 0, UINT64_MAX, -EINVAL, 77 },
                { "1", 2, 9, -ERANGE, 77 },
                { "10", 2, 9, -ERANGE, 77 },
                { "18446744073709551616", 0, UINT64_MAX, -ERANGE, 77 },
                { "2", 2, 9, 0, 2 },
                { "9", 2, 9, 0, 9 },
                { "010", 0, 99, 0, 10 }, /* decimal, whatever C thinks */
                { "18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                uint64_t value = 77;

                ck_assert_msg(parse_unsigned(rows[i].text, rows[i].min, rows[i].max, &value) == rows[i].code,
                              "'%s'", rows[i].text);
                ck_assert_uint_eq(value, rows[i].value);
        }
}
END_TEST

START_TEST(modes) {
        static const struct {
                const char *text;
                int code;
                unsigned mode;
        } rows[] = {
                { "", -EINVAL, 7 },
                { "0o640", -EINVAL, 7 },
                { "0648", -EINVAL, 7 },
                { "u=rw", -EINVAL, 7 },
                { "-640", -EINVAL, 7 },
                { "1000", -ERANGE, 7 },
                { "04755", -ERANGE, 7 },
                { "0", 0, 0 },
                { "640", 0, 0640 },
                { "0640", 0, 0640 },
                { "00640", 0, 0640 },
                { "777", 0, 0777 },
                { "7777777777777777777777777777777", -ERANGE, 7 },
                { "000000000000000000600", 0, 0600 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                unsigned mode = 7;

                ck_assert_msg(parse_mode(rows[i].text, &mode) == rows[i].code, "'%s'", rows[i].text);
                ck_assert_uint_eq(mode, rows[i].mode);
        }
}
END_TEST

START_TEST(bools) {
        static const char *const bad[] = { "", "1", "0", "True", "YES", "y", "true ", "enabled" };
        static const char *const yes[] = { "true", "yes", "on" };
        static const char *const no[] = { "false", "no", "off" };
        bool value;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                value = true;
                ck_assert_msg(parse_bool(bad[i], &value) == -EINVAL && value, "'%s'", bad[i]);
        }
        for (size_t i = 0; i < ELEMENTSOF(yes); i++) {
                value = false;
                ck_assert_msg(parse_bool(yes[i], &value) == 0 && value, "'%s'", yes[i]);
                ck_assert_msg(parse_bool(no[i], &value) == 0 && !value, "'%s'", no[i]);
        }
}
END_TEST

START_TEST(nearest_words) {
        static const char *const words[] = { "renew_before", "jitter", "clock_skew", "key",
                                             "keep",         "url",    NULL };
        static const struct {
                const char *word, *nearest;
        } rows[] = {
                { "renew_befor", "renew_before" },
                { "renew-before", "renew_before" },
                { "RenewBefore", "renew_before" },
                { "rnew_beofre", "renew_before" },
                { "jiter", "jitter" },
                { "jittre", "jitter" }, /* neighbours swapped: one edit */
                { "clockskew", "clock_skew" },
                { "kepe", "keep" },
                { "kee", "key" }, /* as near as "keep": the first one wins */
                { "KEY", "key" },
                { "ulr", "url" },
                { "x", NULL },
                { "", NULL },
                { "exports", NULL },
                { "token_file", NULL },
        };
        char longest[1000];

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const char *nearest = nearest_word(rows[i].word, words);

                ck_assert_msg(streq_null(nearest, rows[i].nearest), "'%s': '%s'", rows[i].word,
                              nearest ? nearest : "none");
        }

        memset(longest, 'k', sizeof(longest) - 1);
        longest[sizeof(longest) - 1] = '\0';
        ck_assert_ptr_null(nearest_word(longest, words));
        ck_assert_ptr_null(nearest_word("key", (const char *const[]) { longest, NULL }));
        ck_assert_ptr_null(nearest_word("key", (const char *const[]) { NULL }));
}
END_TEST

START_TEST(timestamps_refused) {
        static const struct {
                const char *text;
                int code;
        } rows[] = {
                { "", -EINVAL },
                { "now", -EINVAL },
                { "2026", -EINVAL },
                { "2026-11", -EINVAL },
                { "26-11-20", -EINVAL },
                { "2026-11-20 ", -EINVAL },
                { "2026-11-20T18:06", -EINVAL },
                { "2026-11-20T18:06:53", -EINVAL }, /* of which place? */
                { "2026-11-20T18:06:53.5Z", -EINVAL },
                { "2026-11-20T18:06:53Zx", -EINVAL },
                { "2026-11-20T18:06:53+1:00", -EINVAL },
                { "2026-11-20T18:06:53+24:00", -EINVAL },
                { "1969-12-31", -ERANGE },
                { "1970-01-01T00:00:00+01:00", -ERANGE },
                { "2026-13-01", -ERANGE },
                { "2026-00-01", -ERANGE },
                { "2026-11-00", -ERANGE },
                { "2026-11-31", -ERANGE },
                { "2027-02-29", -ERANGE },
                { "2026-11-20T24:00:00Z", -ERANGE },
                { "2026-11-20T18:60:00Z", -ERANGE },
                { "2026-11-20T18:06:60Z", -ERANGE },
        };
        usec_t usec = 4711;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                ck_assert_msg(parse_timestamp(rows[i].text, &usec) == rows[i].code, "'%s'", rows[i].text);
                ck_assert_uint_eq(usec, 4711);
        }
}
END_TEST

START_TEST(timestamps_read) {
        static const struct {
                const char *text;
                usec_t sec;
        } rows[] = {
                { "1970-01-01", 0 },
                { "2027-01-15T08:00:00Z", 1800000000 },
                { "2027-01-15t08:00:00z", 1800000000 },
                { "2027-01-15 08:00:00Z", 1800000000 },
                { "2027-01-15T09:30:00+01:30", 1800000000 },
                { "2027-01-14T23:00:00-09:00", 1800000000 },
                { "2027-01-15", 1800000000 - 8 * 3600 },
                { "2028-02-29", 1835395200 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                usec_t usec = 4711;

                ck_assert_msg(parse_timestamp(rows[i].text, &usec) == 0, "'%s'", rows[i].text);
                ck_assert_uint_eq(usec, rows[i].sec * USEC_PER_SEC);
        }
}
END_TEST

TEST_MAIN("parse", timestamps_refused, timestamps_read, durations_refused, durations_read, shares,
          unsigned_numbers, modes, bools, nearest_words)
