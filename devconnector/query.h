#pragma once

/* A GraphQL call as HTTP carries it: from a body or a URL to an operation that may run, or the refusal it
 * gets. */

#include "devconnector/faults.h"
#include "devconnector/graphql/graphql.h"

struct query {
        unsigned refusal;     /* HTTP status, 0 when the operation may run */
        bool wrong_transport; /* the one refusal with a charset in its content type */
        json_t *errors;
        json_t *variables; /* coerced */
        struct graphql_document *document;
        const struct graphql_operation *operation;
        enum operation kind;
};
void query_clear(struct query *query);

/* What Go says of JSON that it cannot take: the character at which it stops after the ERROR of jansson,
 * whether there is no text at all, and what kind of value it found. */
char go_invalid_character(const char *body, size_t size, const json_error_t *error);
bool go_is_blank(const char *body, size_t size);
const char *go_type_name(const json_t *value);

/* 0, also when the call is refused, or -ENOMEM. CONTENT_TYPE may be NULL. */
int query_read_post(const char *content_type, const char *body, size_t size, struct query *ret);

/* The three members of a request as query parameters; each may be NULL. */
int query_read_get(const char *text, const char *operation_name, const char *variables, struct query *ret);
