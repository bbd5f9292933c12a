#pragma once

/* The syntax tree of a GraphQL document, shared by the files graphql-*.c only. Everything lives in the arena.
 */

#include "devconnector/graphql/graphql.h"
#include "lib/util/arena.h"

/* Counted in characters, from 1. */
struct graphql_position {
        unsigned line;
        unsigned column;
};

enum graphql_token_kind {
        TOKEN_INVALID,
        TOKEN_EOF,
        TOKEN_BANG,
        TOKEN_DOLLAR,
        TOKEN_AMP,
        TOKEN_PAREN_L,
        TOKEN_PAREN_R,
        TOKEN_SPREAD,
        TOKEN_COLON,
        TOKEN_EQUALS,
        TOKEN_AT,
        TOKEN_BRACKET_L,
        TOKEN_BRACKET_R,
        TOKEN_BRACE_L,
        TOKEN_BRACE_R,
        TOKEN_PIPE,
        TOKEN_NAME,
        TOKEN_INT,
        TOKEN_FLOAT,
        TOKEN_STRING,
        TOKEN_BLOCK_STRING,
        TOKEN_MAX,
};
extern const char *const graphql_token_names[TOKEN_MAX];

struct graphql_token {
        enum graphql_token_kind kind;
        struct graphql_position position;
        const char *text; /* value of a name, number or string, without quotes and escapes; "" for others */
        size_t size;
};

struct graphql_lexer {
        struct arena *arena;
        const char *text;
        size_t size, at;
        struct graphql_position position; /* of the byte at AT */
        bool out_of_memory;
};

/* The next token. After TOKEN_INVALID or TOKEN_EOF the same comes again. */
struct graphql_token graphql_lex(struct graphql_lexer *lexer);

enum graphql_value_kind {
        VALUE_VARIABLE,
        VALUE_INT,
        VALUE_FLOAT,
        VALUE_STRING,
        VALUE_BOOLEAN,
        VALUE_NULL,
        VALUE_ENUM,
        VALUE_LIST,
        VALUE_OBJECT,
};

struct graphql_value {
        enum graphql_value_kind kind;
        struct graphql_position position;
        const char *text; /* as in the token; the name of a variable */
        size_t size;
};

struct graphql_argument {
        struct graphql_argument *next;
        struct graphql_position position;
        const char *name;
        struct graphql_value value;
};

struct graphql_directive {
        struct graphql_directive *next;
        struct graphql_position position;
        const char *name;
        struct graphql_argument *arguments;
};

enum graphql_selection_kind {
        SELECTION_FIELD,
        SELECTION_SPREAD, /* ...name */
        SELECTION_INLINE, /* ... on type { } */
};

struct graphql_selection {
        struct graphql_selection *next;
        enum graphql_selection_kind kind;
        struct graphql_position position;
        const char *name;  /* of the field or the fragment; the type condition of an inline one, or NULL */
        const char *alias; /* of a field: the key in the reply, the name where no alias was given */
        struct graphql_argument *arguments;
        struct graphql_directive *directives;
        struct graphql_selection *selections;
};

struct graphql_variable {
        struct graphql_variable *next;
        struct graphql_position position;
        const char *name;
        const char *type; /* as written, "String!" */
        const char *base; /* its name only, "String" */
        bool non_null, list;
        bool used;
        struct graphql_value *default_value;
};

enum graphql_operation_kind {
        OPERATION_QUERY,
        OPERATION_MUTATION,
        OPERATION_SUBSCRIPTION,
        OPERATION_MAX,
};
extern const char *const graphql_operation_names[OPERATION_MAX];

struct graphql_operation {
        struct graphql_operation *next;
        enum graphql_operation_kind kind;
        struct graphql_position position;
        const char *name; /* NULL: anonymous */
        struct graphql_variable *variables;
        struct graphql_selection *selections;
};

struct graphql_fragment {
        struct graphql_fragment *next;
        struct graphql_position position;
        const char *name;
        const char *type;
        struct graphql_selection *selections;
        bool used;
        bool open; /* being visited: a spread of it now would be a cycle */
};

struct graphql_document {
        struct arena arena;
        struct graphql_operation *operations;
        struct graphql_fragment *fragments;
};

struct graphql_fragment *graphql_find_fragment(const struct graphql_document *document, const char *name);
struct graphql_variable *graphql_find_variable(const struct graphql_operation *operation, const char *name);

/* Appends an error at POSITION. 0 or -ENOMEM. */
int graphql_error_at(json_t *errors, const char *code, struct graphql_position position, const char *format,
                     ...) _printf_(4, 5);
