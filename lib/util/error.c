/*
 * The error object. A function that fails where errno cannot explain fills it once, at the place that knows
 * the cause; each caller on the way up may put its own consequence in front. What reaches the log is one
 * sentence. Nothing here allocates on the happy path, and running out of memory only costs the text.
 */

#include "lib/util/error.h"

#include <stdarg.h>
#include <stdio.h>

const char *error_code_text(int code) {
        const char *text = strerrordesc_np(abs(code));

        /* A socket, a FIFO, a device. "No such device or address" would say nothing to its reader. */
        if (abs(code) == ENXIO)
                return "it is not a regular file";
        return text ? text : "unknown error";
}

static void error_replace(struct error *error, int code, char *text) {
        free(error->text);
        error->text = text;
        error->code = code;
}

int error_set(struct error *error, int code, const char *format, ...) {
        char *text = NULL;
        va_list args;

        if (!error)
                return code;

        va_start(args, format);
        if (vasprintf(&text, format, args) < 0)
                text = NULL;
        va_end(args);

        error_replace(error, code, text);
        return code;
}

int error_set_errno(struct error *error, int code, const char *format, ...) {
        _cleanup_(freep) char *what = NULL;
        va_list args;

        if (!error)
                return code;

        va_start(args, format);
        if (vasprintf(&what, format, args) < 0)
                what = NULL;
        va_end(args);

        return error_set(error, code, "%s: %s", what ? what : "out of memory", error_code_text(code));
}

int error_prefix(struct error *error, const char *format, ...) {
        _cleanup_(freep) char *prefix = NULL;
        char *text = NULL;
        va_list args;

        if (!error)
                return -EIO;

        va_start(args, format);
        if (vasprintf(&prefix, format, args) < 0)
                prefix = NULL;
        va_end(args);

        if (prefix && asprintf(&text, "%s: %s", prefix, error_text(error)) >= 0)
                error_replace(error, error->code, text);
        return error->code;
}

const char *error_text(const struct error *error) {
        if (error && error->text)
                return error->text;
        return !error || error->code == 0 ? "no error" : error_code_text(error->code);
}

void error_clear(struct error *error) {
        if (error)
                error_replace(error, 0, NULL);
}

int error_move(struct error *to, struct error *from) {
        int code = from->code;

        if (to && to != from) {
                error_replace(to, from->code, take_ptr(from->text));
                from->code = 0;
        } else if (!to)
                error_clear(from);
        return code;
}
