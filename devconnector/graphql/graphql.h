#pragma once

/* GraphQL as the Connector speaks it: one small schema, gqlparser's error texts, Go's JSON escapes. No I/O.
 */

#include <jansson.h>

#include "lib/util/error.h"

/* Bounds on what a call may ask for: nesting of selections and values, tokens in its text, and fields that
 * are visited when all fragments are spread. */
#define GRAPHQL_DEPTH_MAX      64
#define GRAPHQL_TOKENS_MAX     50000
#define GRAPHQL_SELECTIONS_MAX 10000

/* The codes of `extensions.code`. */
#define GRAPHQL_PARSE_FAILED      "GRAPHQL_PARSE_FAILED"
#define GRAPHQL_VALIDATION_FAILED "GRAPHQL_VALIDATION_FAILED"

struct graphql_document;
struct graphql_operation;

/*
 * The three steps before a call may run. Each returns 0, or -EINVAL after appending what is wrong to ERRORS,
 * a JSON array in the form that a reply carries, or -ENOMEM.
 */
int graphql_parse(const char *text, size_t size, json_t *errors, struct graphql_document **ret);
int graphql_validate(struct graphql_document *document, json_t *errors);

/* Finds the operation NAME (NULL or empty: the only one); borrowed from DOCUMENT. */
int graphql_select(const struct graphql_document *document, const char *name, json_t *errors,
                   const struct graphql_operation **ret);

/* The values of the declared variables from what the caller GAVE, an object or NULL; *RET_VALUES is a new
 * object. */
int graphql_coerce(const struct graphql_operation *operation, const json_t *given, json_t *errors,
                   json_t **ret_values);

struct graphql_document *graphql_document_free(struct graphql_document *document);
DEFINE_CLEANUP(struct graphql_document *, graphql_document_free);

bool graphql_is_query(const struct graphql_operation *operation);

/* The name of the first field that OPERATION asks for, not its alias: what the call is about. May be NULL. */
const char *graphql_first_field(const struct graphql_document *document,
                                const struct graphql_operation *operation);

/*
 * Computes one field of Query or Mutation. *RET_VALUE is a new reference to the whole object: the executor
 * picks from it what was selected. It is left untouched for fields of introspection, which the executor
 * answers itself. A failure fills ERROR, whose text becomes the error in the reply.
 */
typedef int (*graphql_resolve_fn)(void *userdata, const char *field, const json_t *arguments,
                                  json_t **ret_value, struct error *error);

/* Runs OPERATION; the new object is the reply, {"data": ...} or {"errors": [...], "data": null}. NULL: no
 * memory. */
json_t *graphql_execute(const struct graphql_document *document, const struct graphql_operation *operation,
                        const json_t *variables, graphql_resolve_fn resolve, void *userdata);

/* Appends an error without a location; CODE may be NULL. 0 or -ENOMEM. */
int graphql_error(json_t *errors, const char *code, const char *format, ...) _printf_(3, 4);

/* {"errors": ERRORS, "data": null}, a new reference. NULL: no memory. */
json_t *graphql_refusal(json_t *errors);

/* TEXT as a JSON string, with U+FFFD for what is not UTF-8, as Go does. */
json_t *graphql_string(const char *text, size_t size);

/* REPLY as compact JSON with Go's escapes for <, > and &; owned by the caller. NULL: no memory. */
char *graphql_format(const json_t *reply);
