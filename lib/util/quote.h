#pragma once

/* What comes from outside and is repeated in a sentence: errors, log lines, history. */

#include "lib/util/macro.h"

#define QUOTE_MAX 200u

struct quote {
        char text[QUOTE_MAX + sizeof("...")];
};

/* TEXT, of which at most QUOTE_MAX bytes are repeated: a longer one is cut off after a whole character and
 * ends with "...". NULL is "?". Pure. */
struct quote quote_make(const char *text);

/* The same as an argument of printf(): it is good until the end of the full expression. */
#define quoted(what) (quote_make(what).text)
