#pragma once

/* What came in the place of JSON, for the sentence about it. Pure. */

#include <stdbool.h>
#include <stddef.h>

bool body_is_html(const char *body, size_t size);

/* "an HTML page: ...", "compressed (gzip), ..."; static. NULL: none that is known. */
const char *body_kind(const char *body, size_t size);
