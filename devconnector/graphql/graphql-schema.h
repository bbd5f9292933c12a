#pragma once

/* The Connector's schema as a table: types, their fields, and what introspection says of them. */

#include <jansson.h>

#include "lib/util/macro.h"

/* A field takes at most one argument: no field of the Connector takes more. */
struct graphql_field {
        const char *name;
        const char *type; /* as in the schema language: "String!", "[__Type!]" */
        const char *argument;
        const char *argument_type;
};

/* FIELDS ends with an empty row. */
struct graphql_type {
        const char *name;
        const struct graphql_field *fields;
};

/* The object type that TYPE ("[Token!]!") wraps, NULL when that is a scalar. */
const struct graphql_type *graphql_find_type(const char *type);

/* NULL when there is none. The fields of introspection count as fields of Query. */
const struct graphql_field *graphql_find_field(const struct graphql_type *type, const char *name);

/* True when TYPE, with or without marks, names a type of the schema, scalars included. */
bool graphql_type_exists(const char *type);
bool graphql_type_is_scalar(const char *base);

/* Compares the names that two type texts wrap: "String!" and "String" are the same. */
bool graphql_same_base(const char *a, const char *b);

/* The value of __schema and of __type(name:) (null when there is no such type); new references. NULL: no
 * memory. */
json_t *graphql_introspect_schema(void);
json_t *graphql_introspect_type(const char *name);
