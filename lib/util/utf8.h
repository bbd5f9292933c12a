#pragma once

/* Texts from outside, before they are shown. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many of the SIZE bytes at TEXT are its first character, in valid UTF-8; 0 when they are none. Never
 * reads past a NUL: for a string, SIZE may be UTF8_STRING. */
size_t utf8_size(const char *text, size_t size);
#define UTF8_STRING 4u

/* The size of a byte order mark at the beginning of the SIZE bytes at TEXT; 0: there is none. */
size_t utf8_mark_size(const char *text, size_t size);

/* The SIZE bytes at TEXT, where they are UTF-16 and all its characters are ASCII, as ASCII: behind a byte
 * order mark, or without one where each other byte is 0. Owned by the caller, with a NUL at its end, which
 * *RET_SIZE does not count. 0, -EINVAL: it is anything else, or -ENOMEM. What is left of a failure is
 * cleansed. */
int utf16_to_ascii(const char *text, size_t size, char **ret, size_t *ret_size);

/* C0, DEL and C1, which is U+0080 to U+009F: some of them steer a terminal as an escape sequence does. TEXT
 * begins with a valid character. */
bool utf8_is_control(const char *text);

/*
 * Whether a person who reads the character at TEXT, which is a valid one, may be deceived: a control
 * character, or one that reorders what stands around it or that nobody sees. These are what Unicode has as
 * Default_Ignorable_Code_Point (zero-width characters, tags, variation selectors), the bidirectional
 * controls, separators of lines and paragraphs, and the marks of annotations.
 */
bool utf8_is_unsafe(const char *text);

/* How many bytes at the beginning of TEXT are printable ASCII and none of EXCEPT: most of most texts, which
 * need not be looked at as characters. */
size_t utf8_plain_size(const char *text, const char *except);

/* A copy of TEXT for people, on a terminal and in a log: each byte of what is unsafe, or of no character, is
 * "\xNN". Owned by the caller; NULL when memory is out. */
char *utf8_escape(const char *text);

/* The code point of the character at TEXT, which is a valid one of SIZE bytes. */
uint32_t utf8_code_point(const char *text, size_t size);

/* Puts `?` in the place of each byte of TEXT that is of no character; and, unless KEEPS_UNSAFE, of each that
 * is of an unsafe one. */
void utf8_mend(char *text, bool keeps_unsafe);
