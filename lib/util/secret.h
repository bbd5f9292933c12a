#pragma once

/* malloc()'s memory for libraries that take functions for it: what is freed, or moved, is cleansed. free()
 * may take it as well. */

#include <stddef.h>

void free_cleansed(void *p);
void *realloc_cleansed(void *p, size_t size);
