#pragma once

/* Standard base64 (RFC 4648, section 4) on one line. */

#include <stddef.h>

/* The text is padded, owned by the caller and NUL-terminated. 0 or -ENOMEM. */
int base64_encode(const void *data, size_t size, char **ret_text);

/* Strict: the standard alphabet, whole groups of four, padding only where it belongs, and nothing else, not
 * even a line break. *RET_DATA is owned by the caller and has a NUL after its last byte. 0, -EINVAL or
 * -ENOMEM. */
int base64_decode(const char *text, size_t length, char **ret_data, size_t *ret_size);

/* The same with blanks and line breaks anywhere, as people copy it. The copy without them is cleansed. */
int base64_decode_lines(const char *text, size_t length, char **ret_data, size_t *ret_size);
