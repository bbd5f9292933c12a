#pragma once

/* Looking for bytes in this process's own memory: what was to be cleansed must not be there any more. */

#include "lib/util/macro.h"

/* A mapping of its own, which the search passes over: what is looked for is nowhere else. */
struct search {
        char needle[64];
        size_t size;
        char buffer[1 << 20];
};

struct search *search_new(void);
void search_free(struct search *search);

/* How often the needle is in this process's memory: heap, data and mappings, but not what lies dead on the
 * stack. */
unsigned search_memory(struct search *search);
