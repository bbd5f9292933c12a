#pragma once

/* Text from elsewhere, made fit for a terminal: nothing in it steers, and its width is known. */

#include <stdio.h>

#include "lib/util/macro.h"

/* A copy of TEXT in which bytes that are no UTF-8, and of characters that deceive (utf8_is_unsafe()), are
 * "\xNN"; without IS_UTF8 everything that is not ASCII. Owned by the caller; NULL when memory is out. */
char *text_clean(const char *text, bool is_utf8);

/* How many columns TEXT, which is clean, takes. */
size_t text_width(const char *text);

/* How many bytes of TEXT, which is clean, fit into COLUMNS; *RET_WIDTH are the columns that they take. */
size_t text_fit(const char *text, size_t columns, size_t *ret_width);

/* Writes TEXT, which is clean, in lines of at most COLUMNS (0: one line), broken at blanks. The first one
 * begins where COLUMN blanks or characters have been written already, all others with INDENT blanks. Without
 * a newline at the end. */
void text_wrap(FILE *out, const char *text, size_t columns, size_t column, size_t indent);

/* FORMAT with NAME in the place of its "%s", if it has one. Owned by the caller; NULL when memory is out. */
char *text_fill(const char *format, const char *name);
