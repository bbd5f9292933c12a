/*
 * base64, the strict kind: each sequence of bytes has exactly one text, and any other text is refused.
 * Lenient decoders skip what they do not know, and so accept replies that were damaged on the way.
 */

#include "lib/util/base64.h"

#include <ctype.h>
#include <errno.h>

#include "lib/util/macro.h"

static const char alphabet[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_encode(const void *data, size_t size, char **ret_text) {
        const uint8_t *in = data;
        char *text, *out;

        if (size > SIZE_MAX / 2) /* no such object exists, and the sum below must not wrap */
                return -ENOMEM;
        text = out = malloc((size + 2) / 3 * 4 + 1);
        if (!text)
                return -ENOMEM;

        for (; size >= 3; size -= 3, in += 3) {
                *out++ = alphabet[in[0] >> 2];
                *out++ = alphabet[(in[0] & 0x03) << 4 | in[1] >> 4];
                *out++ = alphabet[(in[1] & 0x0f) << 2 | in[2] >> 6];
                *out++ = alphabet[in[2] & 0x3f];
        }
        if (size > 0) {
                unsigned second = size > 1 ? in[1] : 0;

                *out++ = alphabet[in[0] >> 2];
                *out++ = alphabet[(in[0] & 0x03u) << 4 | second >> 4];
                *out++ = size > 1 ? alphabet[(second & 0x0f) << 2] : '=';
                *out++ = '=';
        }
        *out = '\0';

        *ret_text = text;
        return 0;
}

/* The six bits of C, or -1. */
static int six_bits(char c) {
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_decode(const char *text, size_t length, char **ret_data, size_t *ret_size) {
        _cleanup_(freep) char *data = NULL;
        size_t size = 0, padding = 0;

        if (length % 4 != 0)
                return -EINVAL;
        while (padding < 2 && padding < length && text[length - padding - 1] == '=')
                padding++;

        data = malloc(length / 4 * 3 + 1);
        if (!data)
                return -ENOMEM;

        for (size_t i = 0; i < length; i += 4) {
                size_t n = i + 4 < length ? 4 : 4 - padding;
                unsigned bits = 0;

                for (size_t j = 0; j < n; j++) {
                        int six = six_bits(text[i + j]);

                        if (six < 0)
                                return -EINVAL;
                        bits |= (unsigned)six << (18 - 6 * j);
                }
                /* Bits that belong to no byte are zero, or one sequence of bytes would have several texts. */
                if (bits & (n == 4 ? 0 : n == 3 ? 0xff : 0xffff))
                        return -EINVAL;

                for (size_t j = 0; j + 1 < n; j++)
                        data[size++] = (char)(bits >> (16 - 8 * j));
        }
        data[size] = '\0';

        *ret_data = take_ptr(data);
        *ret_size = size;
        return 0;
}

int base64_decode_lines(const char *text, size_t length, char **ret_data, size_t *ret_size) {
        char *joined = malloc(length + 1);
        size_t n = 0;
        int r;

        if (!joined)
                return -ENOMEM;
        for (size_t i = 0; i < length; i++)
                if (!isspace((unsigned char)text[i]))
                        joined[n++] = text[i];
        joined[n] = '\0';
        r = base64_decode(joined, n, ret_data, ret_size);
        free_secret(joined);
        return r;
}
