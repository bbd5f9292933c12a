#pragma once

/* Memory that is freed all at once. */

#include <stddef.h>

struct arena_chunk;

struct arena {
        struct arena_chunk *chunks; /* newest first */
        size_t size;                /* of all chunks, in bytes */
};

/* SIZE zeroed bytes, aligned for any object; valid until arena_clear(). NULL when out of memory. */
void *arena_alloc(struct arena *arena, size_t size);

/* The same for N objects of SIZE bytes, with the product checked. */
void *arena_alloc_array(struct arena *arena, size_t n, size_t size);

/* A copy of the SIZE bytes at DATA, with a NUL after them. */
char *arena_strndup(struct arena *arena, const char *data, size_t size);

void arena_clear(struct arena *arena);

/* Overwrites all that is in it, which then may not be used any more. For what was secret. */
void arena_cleanse(struct arena *arena);
