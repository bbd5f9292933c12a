#pragma once

/* Texts from outside, before they are shown. */

#include <stdbool.h>
#include <stddef.h>

/* How many of the SIZE bytes at TEXT are its first character, in valid UTF-8; 0 when they are none. Never
 * reads past a NUL: for a string, SIZE may be UTF8_STRING. */
size_t utf8_size(const char *text, size_t size);
#define UTF8_STRING 4u

/* C0, DEL and C1, which is U+0080 to U+009F: some of them steer a terminal as an escape sequence does. TEXT
 * begins with a valid character. */
bool utf8_is_control(const char *text);

/* Puts `?` in the place of each byte of TEXT that is of no character; and, unless KEEPS_CONTROLS, of each
 * that is of a control character. */
void utf8_mend(char *text, bool keeps_controls);
