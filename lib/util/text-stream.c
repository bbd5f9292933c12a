#include "lib/util/text-stream.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util/secret.h"

#define ROOM_MIN 256u

struct text_stream {
        char **text;
        size_t *size;
        char *data;
        size_t used, room;
        bool has_failed;
};

/* Room for MORE bytes and a NUL. */
static bool grow(struct text_stream *stream, size_t more) {
        size_t room = stream->room ? stream->room : ROOM_MIN;
        char *data;

        while (room - stream->used <= more)
                room *= 2;
        if (room == stream->room)
                return true;
        data = realloc_cleansed(stream->data, room);
        if (!data)
                return false;
        stream->data = data;
        stream->room = room;
        return true;
}

static ssize_t take(void *cookie, const char *data, size_t size) {
        struct text_stream *stream = cookie;

        if (stream->has_failed || !grow(stream, size)) {
                stream->has_failed = true;
                errno = ENOMEM;
                return 0; /* an error, as fopencookie() has it */
        }
        memcpy(stream->data + stream->used, data, size);
        stream->used += size;
        return (ssize_t)size;
}

static int finish(void *cookie) {
        struct text_stream *stream = cookie;
        const bool is_whole = !stream->has_failed && grow(stream, 0);

        if (is_whole) {
                stream->data[stream->used] = '\0';
                *stream->text = stream->data;
                *stream->size = stream->used;
        } else
                free_cleansed(stream->data);
        free(stream);
        if (!is_whole)
                errno = ENOMEM;
        return is_whole ? 0 : EOF;
}

FILE *text_stream_open(char **text, size_t *size) {
        struct text_stream *stream = calloc(1, sizeof(*stream));
        FILE *out;

        *text = NULL;
        if (!stream)
                return NULL;
        stream->text = text;
        stream->size = size;
        out = fopencookie(stream, "w", (cookie_io_functions_t) { .write = take, .close = finish });
        if (!out)
                free(stream);
        return out;
}
