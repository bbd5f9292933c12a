#include "lib/util/utf8.h"

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

bool utf8_is_control(const char *text) {
        const unsigned char *p = (const unsigned char *)text;

        return *p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0);
}

void utf8_mend(char *text, bool keeps_controls) {
        for (char *p = text; *p;) {
                size_t size = utf8_size(p, UTF8_STRING), n = size > 0 ? size : 1;

                if (size == 0 || (!keeps_controls && utf8_is_control(p)))
                        memset(p, '?', n);
                p += n;
        }
}
