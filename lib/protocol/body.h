#pragma once

/* What came in the place of JSON, for the sentence about it. Pure. */

#include <stdbool.h>
#include <stddef.h>

/* How many bytes of a byte order mark of UTF-8 there are at the beginning: 3 or 0. JSON may be behind one. */
size_t body_mark_size(const char *body, size_t size);

bool body_is_html(const char *body, size_t size);

/* "an HTML page: ...", "compressed (gzip), ..."; static. NULL: none that is known. */
const char *body_kind(const char *body, size_t size);
