/* What reaches the operator's terminal: cleaned, measured, broken into lines; and times for the eye. */

#include "ctl/terminal/format.h"
#include "ctl/terminal/text.h"
#include "tests/test.h"

START_TEST(what_steers_a_terminal_is_shown_instead) {
        static const struct {
                const char *text, *utf8, *ascii;
        } rows[] = {
                { "", "", "" },
                { "plain text", "plain text", "plain text" },
                { "\033[31mred\033[0m", "\\x1b[31mred\\x1b[0m", "\\x1b[31mred\\x1b[0m" },
                { "a\nb\tc\r", "a\\x0ab\\x09c\\x0d", "a\\x0ab\\x09c\\x0d" },
                { "\x7f", "\\x7f", "\\x7f" },
                { "\xc2\x9b[2J", "\\xc2\\x9b[2J", "\\xc2\\x9b[2J" }, /* CSI as one character */
                { "\xe2\x80\xae"
                  "abc",
                  "\\xe2\\x80\\xae"
                  "abc",
                  "\\xe2\\x80\\xae"
                  "abc" },                                                   /* right to left */
                { "a\xe2\x80\x8b", "a\\xe2\\x80\\x8b", "a\\xe2\\x80\\x8b" }, /* of no width */
                { "\xe2\x81\xa6\xf3\xa0\x81\x81", "\\xe2\\x81\\xa6\\xf3\\xa0\\x81\\x81",
                  "\\xe2\\x81\\xa6\\xf3\\xa0\\x81\\x81" },  /* an isolate, a tag */
                { "\xff\xfe", "\\xff\\xfe", "\\xff\\xfe" }, /* no UTF-8 */
                { "\xc3", "\\xc3", "\\xc3" },               /* torn */
                { "\xc0\xaf", "\\xc0\\xaf", "\\xc0\\xaf" }, /* overlong */
                { "M\xc3\xbcller", "M\xc3\xbcller", "M\\xc3\\xbcller" },
                { "\xe8\xaf\x81", "\xe8\xaf\x81", "\\xe8\\xaf\\x81" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *utf8 = text_clean(rows[i].text, true);
                _cleanup_(freep) char *ascii = text_clean(rows[i].text, false);

                ck_assert_str_eq(utf8, rows[i].utf8);
                ck_assert_str_eq(ascii, rows[i].ascii);
        }
}
END_TEST

START_TEST(width_is_that_of_the_screen) {
        static const struct {
                const char *text;
                size_t columns, bytes, width; /* that fit */
        } rows[] = {
                { "abc", 10, 3, 3 },
                { "abc", 2, 2, 2 },
                { "abc", 0, 0, 0 },
                { "M\xc3\xbcller", 2, 3, 2 },
                { "\xe8\xaf\x81\xe4\xb9\xa6", 4, 6, 4 }, /* two columns each */
                { "\xe8\xaf\x81\xe4\xb9\xa6", 3, 3, 2 },
                { "e\xcc\x81x", 1, 3, 1 }, /* a combining accent takes no column */
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                size_t width = 99;

                ck_assert_uint_eq(text_fit(rows[i].text, rows[i].columns, &width), rows[i].bytes);
                ck_assert_uint_eq(width, rows[i].width);
        }
        ck_assert_uint_eq(text_width("\xe8\xaf\x81 M\xc3\xbcller"), 9);
}
END_TEST

START_TEST(lines_are_broken_at_blanks) {
        static const struct {
                const char *text;
                size_t columns, column, indent;
                const char *lines;
        } rows[] = {
                { "one two three", 0, 0, 2, "one two three" },
                { "one two three", 8, 0, 2, "one two\n  three" },
                { "one two three", 7, 0, 0, "one two\nthree" },
                { "one two three", 10, 4, 4, "one\n    two\n    three" },
                { "extraordinary a", 6, 0, 1, "extraordinary\n a" }, /* a word is never broken */
                { "", 6, 0, 1, "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *lines = NULL;
                size_t size;
                FILE *out = open_memstream(&lines, &size);

                text_wrap(out, rows[i].text, rows[i].columns, rows[i].column, rows[i].indent);
                fclose(out);
                ck_assert_str_eq(lines, rows[i].lines);
        }
}
END_TEST

START_TEST(spans) {
        static const struct {
                usec_t span;
                const char *text;
        } rows[] = {
                { 0, "0s" },
                { 999 * USEC_PER_MSEC, "0s" },
                { 59 * USEC_PER_SEC, "59s" },
                { 4 * USEC_PER_MINUTE + 10 * USEC_PER_SEC, "4m" },
                { 26 * USEC_PER_HOUR, "1d" },
                { 89 * USEC_PER_DAY + USEC_PER_HOUR, "89d" },
                { USEC_INFINITY, "forever" },
        };
        const usec_t now = 1795198013 * USEC_PER_SEC;
        char span[TIMESPAN_MAX], distance[DISTANCE_MAX], time[LOCAL_TIME_MAX], moment[MOMENT_MAX];

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                ck_assert_str_eq(format_short_span(span, rows[i].span), rows[i].text);

        ck_assert_str_eq(format_distance(distance, now, now), "now");
        ck_assert_str_eq(format_distance(distance, now + 90 * USEC_PER_SEC, now), "in 1m 30s");
        ck_assert_str_eq(format_distance(distance, now - 90 * USEC_PER_SEC, now), "1m 30s ago");

        setenv("TZ", "UTC", 1);
        ck_assert_str_eq(format_local_time(time, now), "2026-11-20T18:06:53Z");
        setenv("TZ", "XXX-05:45", 1); /* east, as POSIX has it */
        tzset();
        ck_assert_str_eq(format_local_time(time, now), "2026-11-20T23:51:53+05:45");
        setenv("TZ", "XXX3", 1);
        tzset();
        ck_assert_str_eq(format_local_time(time, now), "2026-11-20T15:06:53-03:00");
        setenv("TZ", "UTC", 1);
        tzset();
        ck_assert_str_eq(format_local_time(time, 0), "unknown");
        ck_assert_str_eq(format_local_time(time, USEC_INFINITY), "never");
        ck_assert_str_eq(format_moment(moment, now + 90 * USEC_PER_SEC, now),
                         "2026-11-20T18:08:23Z, in 1m 30s");
        ck_assert_str_eq(format_moment(moment, 0, now), "unknown");
        ck_assert_str_eq(format_moment(moment, USEC_INFINITY, now), "never");
}
END_TEST

START_TEST(bars) {
        char bar[3 * BAR_COLUMNS_MAX + 1];

        ck_assert_str_eq(format_bar(bar, 0, 4, false), "....");
        ck_assert_str_eq(format_bar(bar, 50, 4, false), "##..");
        ck_assert_str_eq(format_bar(bar, 100, 4, false), "####");
        ck_assert_str_eq(format_bar(bar, 1000, 4, false), "####");
        ck_assert_uint_eq(text_width(format_bar(bar, 33, 20, true)), 20);
        ck_assert_uint_eq(text_width(format_bar(bar, 33, 10000, true)), BAR_COLUMNS_MAX);
}
END_TEST

TEST_MAIN("ctl-text", what_steers_a_terminal_is_shown_instead, width_is_that_of_the_screen,
          lines_are_broken_at_blanks, spans, bars)
