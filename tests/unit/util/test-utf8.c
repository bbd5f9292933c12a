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

/* What need not be looked at as characters is no more than that. */
START_TEST(what_is_plain) {
        for (unsigned c = 0; c <= 0xff; c++) {
                const char text[] = { 'a', (char)c, 'b', '\n', '\0' };

                ck_assert_uint_eq(utf8_plain_size(text, "\""), c >= 0x20 && c < 0x7f && c != '"' ? 3 : 1);
        }
        ck_assert_uint_eq(utf8_plain_size("", ""), 0);
}
END_TEST

/* Against the properties that Unicode gives them; SAFE are their neighbours, and what looks suspicious. */
START_TEST(what_deceives_is_escaped) {
        static const uint32_t unsafe[] = {
                0x01,   0x09,   0x0a,   0x1b,   0x7f,   0x80,    0x9b,    0x9f,    0xad,    0x34f,   0x61c,
                0x180e, 0x200b, 0x200c, 0x200d, 0x200e, 0x200f,  0x2028,  0x2029,  0x202a,  0x202b,  0x202c,
                0x202d, 0x202e, 0x2060, 0x2061, 0x2064, 0x2066,  0x2067,  0x2068,  0x2069,  0x206a,  0x206f,
                0x3164, 0xfe0f, 0xfeff, 0xfff9, 0xfffb, 0x1d173, 0xe0001, 0xe0020, 0xe007f, 0xe0100, 0xe01ef,
        };
        static const uint32_t safe[] = {
                0x20,   0x7e,   0xa0,   0xac,   0xae,   0xfc,    0x61b,   0x61d,   0x627,   0x5d0,
                0x200a, 0x2010, 0x2027, 0x202f, 0x205f, 0x2070,  0x20ac,  0x3000,  0x8bc1,  0xfe10,
                0xfefe, 0xff00, 0xfffc, 0xfffd, 0x301,  0x1f511, 0x1d172, 0x1d17b, 0xdffff, 0xe1000,
        };
        char text[8], wanted[32];

        for (size_t i = 0; i < ELEMENTSOF(unsafe) + ELEMENTSOF(safe); i++) {
                const bool is_safe = i >= ELEMENTSOF(unsafe);
                const uint32_t c = is_safe ? safe[i - ELEMENTSOF(unsafe)] : unsafe[i];
                const size_t size = encode(c, text);
                _cleanup_(freep) char *escaped = NULL;

                text[size] = '\0';
                ck_assert_uint_eq(utf8_code_point(text, size), c);
                ck_assert_msg(utf8_is_unsafe(text) == !is_safe, "U+%04x", c);
                for (size_t k = 0; k < size; k++)
                        snprintf(wanted + 4 * k, 5, "\\x%02x", (uint8_t)text[k]);
                escaped = utf8_escape(text);
                ck_assert_str_eq(escaped, is_safe ? text : wanted);

                utf8_mend(text, true);
                ck_assert_uint_eq(utf8_code_point(text, size), c);
                utf8_mend(text, false);
                ck_assert_msg((text[0] == '?') == !is_safe, "U+%04x", c);
        }
}
END_TEST

TEST_MAIN("utf8", each_code_point, nothing_else, what_is_plain, what_deceives_is_escaped)
