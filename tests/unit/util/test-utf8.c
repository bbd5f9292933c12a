/* UTF-8 against its definition: each code point has one encoding, and nothing else is a character. */

#include "lib/util/utf8.h"

#include <stdint.h>

#include "tests/test.h"

static size_t encode(uint32_t c, char *text) {
        static const uint8_t leads[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
        const size_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

        for (size_t i = size; i-- > 1; c >>= 6)
                text[i] = (char)(0x80 | (c & 0x3f));
        text[0] = (char)(leads[size] | c);
        return size;
}

START_TEST(each_code_point) {
        for (uint32_t c = 0; c <= 0x1fffff; c++) {
                const bool is_valid = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
                char text[] = "\0\0\0\0\xbf";
                size_t size = encode(c, text);

                if (utf8_size(text, UTF8_STRING) != (is_valid ? size : 0) || utf8_size(text, size - 1) != 0)
                        ck_abort_msg("the size of U+%04x", c);
                if (is_valid && utf8_is_control(text) != (c < 0x20 || (c >= 0x7f && c < 0xa0)))
                        ck_abort_msg("whether U+%04x is a control character", c);
        }
}
END_TEST

/* So all that is left of two and three bytes is none, longer forms of the same characters among it. */
START_TEST(nothing_else) {
        static const char thirds[] = { '\0', '\x7f', '\x80', '\xbf', '\xc0' };
        unsigned n[4] = { 0 };

        for (unsigned bytes = 0; bytes <= 0xffff; bytes++)
                for (size_t i = 0; i < sizeof(thirds); i++) {
                        const char text[] = { (char)(bytes >> 8), (char)bytes, thirds[i] };

                        n[utf8_size(text, sizeof(text))]++;
                }
        ck_assert_uint_eq(n[1], (0x80 << 8) * sizeof(thirds));
        ck_assert_uint_eq(n[2], (0x800 - 0x80) * sizeof(thirds));
        ck_assert_uint_eq(n[3], (0x10000 - 0x800 - 0x800) / 64 * 2);
        for (unsigned second = 0; second <= 0xff; second++) {
                const char short_form[] = { '\xf0', (char)second, '\x80', '\x80' };

                ck_assert_uint_eq(utf8_size(short_form, UTF8_STRING),
                                  second >= 0x90 && second <= 0xbf ? 4 : 0);
        }
}
END_TEST

TEST_MAIN("utf8", each_code_point, nothing_else)
