/*
 * What the steps of a GraphQL call share: the arena of the syntax tree, look-ups in it, error objects, and
 * the form in which a reply leaves. Go escapes <, > and & in JSON strings, and clients meet that in every
 * parse error, so it is reproduced; those characters occur in JSON inside strings only, which makes it a
 * plain replacement.
 */

#include <stdarg.h>
#include <stdio.h>

#include "devconnector/graphql/graphql-ast.h"

#include "lib/util/json.h"

struct graphql_document *graphql_document_free(struct graphql_document *document) {
        if (!document)
                return NULL;
        arena_clear(&document->arena);
        free(document);
        return NULL;
}

struct graphql_fragment *graphql_find_fragment(const struct graphql_document *document, const char *name) {
        for (struct graphql_fragment *fragment = document->fragments; fragment; fragment = fragment->next)
                if (streq(fragment->name, name))
                        return fragment;
        return NULL;
}

struct graphql_variable *graphql_find_variable(const struct graphql_operation *operation, const char *name) {
        for (struct graphql_variable *variable = operation->variables; variable; variable = variable->next)
                if (streq(variable->name, name))
                        return variable;
        return NULL;
}

bool graphql_is_query(const struct graphql_operation *operation) {
        return operation->kind == OPERATION_QUERY;
}

const char *graphql_first_field(const struct graphql_document *document,
                                const struct graphql_operation *operation) {
        const struct graphql_selection *selection = operation->selections;

        /* The document need not be valid yet, so a cycle of fragments ends by the count. */
        for (unsigned i = 0; selection && i < GRAPHQL_DEPTH_MAX; i++) {
                const struct graphql_fragment *fragment;

                switch (selection->kind) {
                case SELECTION_FIELD:
                        return selection->name;
                case SELECTION_INLINE:
                        selection = selection->selections;
                        break;
                case SELECTION_SPREAD:
                        fragment = graphql_find_fragment(document, selection->name);
                        selection = fragment ? fragment->selections : NULL;
                        break;
                }
        }
        return NULL;
}

_printf_(4, 0) static int append_error(json_t *errors, const char *code,
                                       const struct graphql_position *position, const char *format,
                                       va_list args) {
        _cleanup_(json_decrefp) json_t *error = json_object();
        _cleanup_(freep) char *message = NULL;

        if (vasprintf(&message, format, args) < 0) {
                message = NULL;
                return -ENOMEM;
        }
        if (!error || json_object_set_new(error, "message", graphql_string(message, strlen(message))) < 0)
                return -ENOMEM;
        if (position && json_object_set_new(error, "locations",
                                            json_pack("[{s:i,s:i}]", "line", (int)position->line, "column",
                                                      (int)position->column)) < 0)
                return -ENOMEM;
        if (code && json_object_set_new(error, "extensions", json_pack("{s:s}", "code", code)) < 0)
                return -ENOMEM;
        return json_array_append_new(errors, take_ptr(error)) < 0 ? -ENOMEM : 0;
}

int graphql_error(json_t *errors, const char *code, const char *format, ...) {
        va_list args;
        int r;

        va_start(args, format);
        r = append_error(errors, code, NULL, format, args);
        va_end(args);
        return r;
}

int graphql_error_at(json_t *errors, const char *code, struct graphql_position position, const char *format,
                     ...) {
        va_list args;
        int r;

        va_start(args, format);
        r = append_error(errors, code, &position, format, args);
        va_end(args);
        return r;
}

json_t *graphql_refusal(json_t *errors) {
        return json_pack("{s:O,s:n}", "errors", errors, "data");
}

/* The length of the UTF-8 sequence at TEXT, 0 where there is none. */
static size_t utf8_length(const char *text, size_t size) {
        for (size_t n = 1; n <= 4 && n <= size; n++) {
                json_t *probe = json_stringn(text, n);

                if (probe) {
                        json_decref(probe);
                        return n;
                }
        }
        return 0;
}

json_t *graphql_string(const char *text, size_t size) {
        _cleanup_(freep) char *clean = NULL;
        json_t *string = json_stringn(text, size);
        size_t n = 0;

        if (string)
                return string;

        clean = malloc(3 * size + 1);
        if (!clean)
                return NULL;
        for (size_t at = 0, length; at < size; at += length ? length : 1) {
                length = utf8_length(text + at, size - at);
                if (length == 0) {
                        memcpy(clean + n, "\xef\xbf\xbd", 3);
                        n += 3;
                } else {
                        memcpy(clean + n, text + at, length);
                        n += length;
                }
        }
        return json_stringn(clean, n);
}

char *graphql_format(const json_t *reply) {
        _cleanup_(freep) char *plain = json_format(reply, JSON_COMPACT);
        size_t n_escapes = 0;
        char *out, *to;

        if (!plain)
                return NULL;
        for (const char *p = plain; *p; p++)
                n_escapes += *p == '<' || *p == '>' || *p == '&';
        if (n_escapes == 0)
                return take_ptr(plain);

        out = to = malloc(strlen(plain) + 5 * n_escapes + 1);
        if (!out)
                return NULL;
        for (const char *p = plain; *p; p++)
                if (*p == '<' || *p == '>' || *p == '&')
                        to += sprintf(to, "\\u%04x", (unsigned)*p);
                else
                        *to++ = *p;
        *to = '\0';
        return out;
}
