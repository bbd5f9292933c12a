/* What is repeated of a text from outside. */

#include "lib/util/quote.h"

#include "lib/util/utf8.h"
#include "tests/test.h"

START_TEST(cut_off_after_a_whole_character) {
        static const struct {
                const char *unit; /* repeated until there are at least SIZE bytes */
                size_t size, kept;
        } rows[] = {
                { "x", 0, 0 },
                { "x", QUOTE_MAX - 1, QUOTE_MAX - 1 },
                { "x", QUOTE_MAX, QUOTE_MAX },
                { "x", QUOTE_MAX + 1, QUOTE_MAX },
                { "x", 900000, QUOTE_MAX },
                { "\u00e4", QUOTE_MAX, QUOTE_MAX },
                { "\u00e4", 1000, QUOTE_MAX },
                { "\u20ac", 1000, QUOTE_MAX / 3 * 3 },
                { "\U0001f511", 1000, QUOTE_MAX / 4 * 4 },
                { "\xff", 1000, QUOTE_MAX },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const size_t unit = strlen(rows[i].unit);
                _cleanup_(freep) char *text = calloc(1, rows[i].size + unit + 1);
                const char *got;

                ck_assert_ptr_nonnull(text);
                for (size_t size = 0; size < rows[i].size; size += unit)
                        memcpy(text + size, rows[i].unit, unit);
                got = strdupa(quoted(text));
                ck_assert_msg(strncmp(got, text, rows[i].kept) == 0, "row %zu: %s", i, got);
                ck_assert_str_eq(got + rows[i].kept, strlen(text) > rows[i].kept ? "..." : "");
        }
        ck_assert_str_eq(quoted(NULL), "?");
}
END_TEST

TEST_MAIN("quote", cut_off_after_a_whole_character)
