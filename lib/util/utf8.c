#include "lib/util/utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util/macro.h"

size_t utf8_size(const char *text, size_t size) {
        static const struct {
                unsigned char first_min, first_max, second_min, second_max;
                size_t size;
        } rows[] = {
                /* Unicode 15.0, table 3-7: no overlong forms, no surrogates, nothing beyond U+10FFFF. */
                { 0x00, 0x7f, 0x00, 0xff, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
                { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
                { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
        };
        const unsigned char *p = (const unsigned char *)text;

        for (size_t i = 0; size > 0 && i < ELEMENTSOF(rows); i++) {
                if (*p < rows[i].first_min || *p > rows[i].first_max)
                        continue;
                if (rows[i].size > size)
                        return 0;
                if (rows[i].size > 1 && (p[1] < rows[i].second_min || p[1] > rows[i].second_max))
                        return 0;
                for (size_t k = 2; k < rows[i].size; k++)
                        if ((p[k] & 0xc0) != 0x80) /* also at the NUL */
                                return 0;
                return rows[i].size;
        }
        return 0;
}

size_t utf8_mark_size(const char *text, size_t size) {
        static const char mark[] = "\xef\xbb\xbf";

        return size >= strlen(mark) && memcmp(text, mark, strlen(mark)) == 0 ? strlen(mark) : 0;
}

int utf16_to_ascii(const char *text, size_t size, char **ret, size_t *ret_size) {
        const bool has_mark =
                size >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0);
        const bool is_big = has_mark ? text[0] == '\xfe' : size >= 2 && text[0] == '\0';
        const size_t first = has_mark ? 2 : 0, n = size >= first ? (size - first) / 2 : 0;
        char *plain;

        if (n == 0 || size % 2 != 0)
                return -EINVAL;
        plain = malloc(n + 1);
        if (!plain)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                const char *unit = text + first + 2 * i;

                if (unit[!is_big] != 0 || unit[is_big] <= 0) {
                        explicit_bzero(plain, i);
                        free(plain);
                        return -EINVAL;
                }
                plain[i] = unit[is_big];
        }
        plain[n] = '\0';
        *ret = plain;
        *ret_size = n;
        return 0;
}

bool utf8_is_control(const char *text) {
        const unsigned char *p = (const unsigned char *)text;

        return *p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0);
}

uint32_t utf8_code_point(const char *text, size_t size) {
        static const unsigned char lead_bits[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
        uint32_t code = (unsigned char)text[0] & lead_bits[size];

        for (size_t i = 1; i < size; i++)
                code = code << 6 | ((unsigned char)text[i] & 0x3f);
        return code;
}

bool utf8_is_unsafe(const char *text) {
        /* Unicode 15.0, DerivedCoreProperties.txt and PropList.txt; see the header. */
        static const struct {
                uint32_t first, last;
        } ranges[] = {
                { 0x0, 0x1f },        { 0x7f, 0x9f },       { 0xad, 0xad },       { 0x34f, 0x34f },
                { 0x61c, 0x61c },     { 0x115f, 0x1160 },   { 0x17b4, 0x17b5 },   { 0x180b, 0x180f },
                { 0x200b, 0x200f },   { 0x2028, 0x202e },   { 0x2060, 0x206f },   { 0x3164, 0x3164 },
                { 0xfe00, 0xfe0f },   { 0xfeff, 0xfeff },   { 0xffa0, 0xffa0 },   { 0xfff0, 0xfffb },
                { 0x1bca0, 0x1bca3 }, { 0x1d173, 0x1d17a }, { 0xe0000, 0xe0fff },
        };
        const size_t size = utf8_size(text, UTF8_STRING);
        const uint32_t code = utf8_code_point(text, size);

        for (size_t i = 0; i < ELEMENTSOF(ranges) && code >= ranges[i].first; i++)
                if (code <= ranges[i].last)
                        return true;
        return false;
}

size_t utf8_plain_size(const char *text, const char *except) {
        size_t n = 0;

        while (text[n] >= ' ' && text[n] <= '~' && !strchr(except, text[n]))
                n++;
        return n;
}

char *utf8_escape(const char *text) {
        static const char digits[] = "0123456789abcdef";
        char *escaped = malloc(4 * strlen(text) + 1), *q = escaped;

        if (!escaped)
                return NULL;
        for (const char *p = text; *p;) {
                size_t size = utf8_plain_size(p, "");

                if (size > 0) {
                        q = mempcpy(q, p, size);
                        p += size;
                        continue;
                }
                size = utf8_size(p, UTF8_STRING);
                if (size > 0 && !utf8_is_unsafe(p)) {
                        q = mempcpy(q, p, size);
                        p += size;
                        continue;
                }
                for (size_t n = size > 0 ? size : 1; n > 0; n--, p++) {
                        *q++ = '\\';
                        *q++ = 'x';
                        *q++ = digits[(unsigned char)*p >> 4];
                        *q++ = digits[(unsigned char)*p & 15];
                }
        }
        *q = '\0';
        return escaped;
}

void utf8_mend(char *text, bool keeps_unsafe) {
        for (char *p = text; *p;) {
                size_t size = utf8_size(p, UTF8_STRING), n = size > 0 ? size : 1;

                if (size == 0 || (!keeps_unsafe && utf8_is_unsafe(p)))
                        memset(p, '?', n);
                p += n;
        }
}
