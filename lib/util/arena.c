/*
 * An arena: objects that live and die together, packed side by side. Ten thousand small strings cost their
 * bytes and not a heap header each, and one call frees the lot, so what is made of them needs no destructors.
 * It cannot give back a part; what lives shorter than the rest belongs into an arena of its own.
 */

#include "lib/util/arena.h"

#include "lib/util/macro.h"

#define CHUNK_MIN ((size_t)2048)
#define CHUNK_MAX ((size_t)256 * 1024)

struct arena_chunk {
        struct arena_chunk *next;
        size_t used, room;
        _Alignas(max_align_t) unsigned char data[];
};

static struct arena_chunk *chunk_new(struct arena *arena, size_t wanted) {
        /* As much again as there is: few chunks in a large arena, little waste in a small one. */
        size_t room = arena->size < CHUNK_MIN ? CHUNK_MIN : arena->size > CHUNK_MAX ? CHUNK_MAX : arena->size;
        struct arena_chunk *chunk;

        if (room < wanted)
                room = wanted;
        if (room > SIZE_MAX / 2)
                return NULL;
        chunk = calloc(1, sizeof(*chunk) + room);
        if (!chunk)
                return NULL;
        chunk->room = room;
        chunk->next = arena->chunks;
        arena->chunks = chunk;
        arena->size += sizeof(*chunk) + room;
        return chunk;
}

static void *take(struct arena *arena, size_t size, size_t alignment) {
        struct arena_chunk *chunk = arena->chunks;
        size_t start = chunk ? (chunk->used + alignment - 1) & ~(alignment - 1) : 0;

        if (!chunk || start > chunk->room || chunk->room - start < size) {
                chunk = chunk_new(arena, size);
                if (!chunk)
                        return NULL;
                start = 0;
        }
        chunk->used = start + size;
        return chunk->data + start;
}

void *arena_alloc(struct arena *arena, size_t size) {
        return take(arena, size, _Alignof(max_align_t));
}

void *arena_alloc_array(struct arena *arena, size_t n, size_t size) {
        size_t total;

        return __builtin_mul_overflow(n, size, &total) ? NULL : arena_alloc(arena, total);
}

char *arena_strndup(struct arena *arena, const char *data, size_t size) {
        char *copy = size == SIZE_MAX ? NULL : take(arena, size + 1, 1);

        if (copy)
                memcpy(copy, data, size); /* the chunk was born zeroed: the NUL is there */
        return copy;
}

void arena_cleanse(struct arena *arena) {
        for (struct arena_chunk *chunk = arena->chunks; chunk; chunk = chunk->next)
                explicit_bzero(chunk->data, chunk->used);
}

void arena_clear(struct arena *arena) {
        while (arena->chunks) {
                struct arena_chunk *chunk = arena->chunks;

                arena->chunks = chunk->next;
                free(chunk);
        }
        arena->size = 0;
}
