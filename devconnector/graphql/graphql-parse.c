/*
 * GraphQL tokens into a syntax tree, by recursive descent with one token in sight. It mirrors the parser of
 * the real server where a client can notice: the first error ends it, its words are "Expected X, found Y" or
 * "Unexpected X", and an argument list may be empty. The tree lives in an arena, so an error path has nothing
 * to free.
 */

#include <stdarg.h>
#include <stdio.h>

#include "devconnector/graphql/graphql-ast.h"

const char *const graphql_operation_names[OPERATION_MAX] = {
        [OPERATION_QUERY] = "query",
        [OPERATION_MUTATION] = "mutation",
        [OPERATION_SUBSCRIPTION] = "subscription",
};

struct parser {
        struct graphql_lexer lexer;
        struct arena *arena;
        struct graphql_token token; /* the one in sight */
        size_t n_tokens;
        unsigned depth;
        json_t *errors;
        bool failed;
        bool out_of_memory;
};

static void parser_fail(struct parser *p, const char *format, ...) _printf_(2, 3);
static void parser_fail(struct parser *p, const char *format, ...) {
        _cleanup_(freep) char *message = NULL;
        va_list args;
        int n;

        if (p->failed)
                return;
        p->failed = true;

        va_start(args, format);
        n = vasprintf(&message, format, args);
        va_end(args);
        if (n < 0) {
                message = NULL;
                p->out_of_memory = true;
        } else if (graphql_error_at(p->errors, GRAPHQL_PARSE_FAILED, p->token.position, "%s", message) < 0)
                p->out_of_memory = true;
}

/* After a failure every token is EOF, so that all loops end. */
static enum graphql_token_kind peek(const struct parser *p) {
        return p->failed ? TOKEN_EOF : p->token.kind;
}

static void next(struct parser *p) {
        if (p->failed)
                return;
        if (++p->n_tokens > GRAPHQL_TOKENS_MAX) {
                parser_fail(p, "exceeded token limit of %d", GRAPHQL_TOKENS_MAX);
                return;
        }
        p->token = graphql_lex(&p->lexer);
        if (p->lexer.out_of_memory)
                p->failed = p->out_of_memory = true;
}

static bool skip(struct parser *p, enum graphql_token_kind kind) {
        if (peek(p) != kind)
                return false;
        next(p);
        return true;
}

static void expect(struct parser *p, enum graphql_token_kind kind) {
        if (!p->failed && p->token.kind == kind)
                next(p);
        else
                parser_fail(p, "Expected %s, found %s", graphql_token_names[kind],
                            graphql_token_names[p->token.kind]);
}

/* Long values would drown the message; the real server quotes them whole. */
static void unexpected(struct parser *p) {
        const struct graphql_token *token = &p->token;

        if (token->size > 0)
                parser_fail(p, "Unexpected %s \"%.200s\"", graphql_token_names[token->kind], token->text);
        else
                parser_fail(p, "Unexpected %s", graphql_token_names[token->kind]);
}

static bool at_word(const struct parser *p, const char *word) {
        return peek(p) == TOKEN_NAME && streq(p->token.text, word);
}

static void *parser_alloc(struct parser *p, size_t size) {
        void *memory = arena_alloc(p->arena, size);

        if (!memory)
                p->failed = p->out_of_memory = true;
        return memory;
}

/* The text of a name, "" after a failure. */
static const char *parse_name(struct parser *p) {
        const char *text = p->token.text;

        expect(p, TOKEN_NAME);
        return p->failed ? "" : text;
}

/* False, and failed, where the text nests too deep for the stack of this recursive parser. */
static bool enter(struct parser *p) {
        if (p->depth == GRAPHQL_DEPTH_MAX) {
                parser_fail(p, "exceeded depth limit of %d", GRAPHQL_DEPTH_MAX);
                return false;
        }
        p->depth++;
        return true;
}

static struct graphql_value parse_value(struct parser *p, bool constant);

/* No argument of the schema takes a list or an object: their contents are checked for syntax and forgotten.
 */
static void parse_compound(struct parser *p, bool constant, enum graphql_token_kind end) {
        if (!enter(p))
                return;
        next(p);
        while (!p->failed && peek(p) != end) {
                if (end == TOKEN_BRACE_R) {
                        parse_name(p);
                        expect(p, TOKEN_COLON);
                }
                (void)parse_value(p, constant);
        }
        expect(p, end);
        p->depth--;
}

static struct graphql_value parse_value(struct parser *p, bool constant) {
        struct graphql_value value = { .position = p->token.position,
                                       .text = p->token.text,
                                       .size = p->token.size };

        switch (peek(p)) {
        case TOKEN_BRACKET_L:
                value.kind = VALUE_LIST;
                parse_compound(p, constant, TOKEN_BRACKET_R);
                return value;
        case TOKEN_BRACE_L:
                value.kind = VALUE_OBJECT;
                parse_compound(p, constant, TOKEN_BRACE_R);
                return value;
        case TOKEN_DOLLAR:
                if (constant)
                        break;
                next(p);
                value.kind = VALUE_VARIABLE;
                value.text = parse_name(p);
                value.size = strlen(value.text);
                return value;
        case TOKEN_INT:
                value.kind = VALUE_INT;
                next(p);
                return value;
        case TOKEN_FLOAT:
                value.kind = VALUE_FLOAT;
                next(p);
                return value;
        case TOKEN_STRING:
        case TOKEN_BLOCK_STRING:
                value.kind = VALUE_STRING;
                next(p);
                return value;
        case TOKEN_NAME:
                if (streq(value.text, "true") || streq(value.text, "false"))
                        value.kind = VALUE_BOOLEAN;
                else
                        value.kind = streq(value.text, "null") ? VALUE_NULL : VALUE_ENUM;
                next(p);
                return value;
        default:
                break;
        }
        unexpected(p);
        return value;
}

static struct graphql_argument *parse_arguments(struct parser *p) {
        struct graphql_argument *first = NULL, **slot = &first;

        if (!skip(p, TOKEN_PAREN_L))
                return NULL;
        while (!p->failed && peek(p) != TOKEN_PAREN_R) {
                struct graphql_argument *argument = parser_alloc(p, sizeof(*argument));

                if (!argument)
                        return NULL;
                argument->position = p->token.position;
                argument->name = parse_name(p);
                expect(p, TOKEN_COLON);
                argument->value = parse_value(p, false);
                *slot = argument;
                slot = &argument->next;
        }
        next(p);
        return first;
}

static struct graphql_directive *parse_directives(struct parser *p) {
        struct graphql_directive *first = NULL, **slot = &first;

        while (skip(p, TOKEN_AT)) {
                struct graphql_directive *directive = parser_alloc(p, sizeof(*directive));

                if (!directive)
                        return NULL;
                directive->position = p->token.position;
                directive->name = parse_name(p);
                directive->arguments = parse_arguments(p);
                *slot = directive;
                slot = &directive->next;
        }
        return first;
}

static struct graphql_selection *parse_selections(struct parser *p);

static struct graphql_selection *parse_fragment_use(struct parser *p) {
        struct graphql_selection *selection = parser_alloc(p, sizeof(*selection));

        if (!selection)
                return NULL;
        expect(p, TOKEN_SPREAD);
        selection->position = p->token.position;
        if (peek(p) == TOKEN_NAME && !at_word(p, "on")) {
                selection->kind = SELECTION_SPREAD;
                selection->name = parse_name(p);
                selection->directives = parse_directives(p);
                return selection;
        }

        selection->kind = SELECTION_INLINE;
        if (at_word(p, "on")) {
                next(p);
                selection->name = parse_name(p);
        }
        selection->directives = parse_directives(p);
        selection->selections = parse_selections(p);
        return selection;
}

static struct graphql_selection *parse_field(struct parser *p) {
        struct graphql_selection *selection = parser_alloc(p, sizeof(*selection));

        if (!selection)
                return NULL;
        selection->kind = SELECTION_FIELD;
        selection->position = p->token.position;
        selection->alias = selection->name = parse_name(p);
        if (skip(p, TOKEN_COLON))
                selection->name = parse_name(p);
        selection->arguments = parse_arguments(p);
        selection->directives = parse_directives(p);
        if (peek(p) == TOKEN_BRACE_L)
                selection->selections = parse_selections(p);
        return selection;
}

static struct graphql_selection *parse_selections(struct parser *p) {
        struct graphql_selection *first = NULL, **slot = &first;

        if (!enter(p))
                return NULL;
        expect(p, TOKEN_BRACE_L);
        while (!p->failed && peek(p) != TOKEN_BRACE_R) {
                struct graphql_selection *selection =
                        peek(p) == TOKEN_SPREAD ? parse_fragment_use(p) : parse_field(p);

                if (!selection)
                        return NULL;
                *slot = selection;
                slot = &selection->next;
        }
        if (!first)
                parser_fail(p, "expected at least one definition, found %s",
                            graphql_token_names[p->token.kind]);
        next(p);
        p->depth--;
        return first;
}

static const char *join(struct parser *p, const char *a, const char *b, const char *c) {
        char *out = parser_alloc(p, strlen(a) + strlen(b) + strlen(c) + 1);

        if (!out)
                return "";
        stpcpy(stpcpy(stpcpy(out, a), b), c);
        return out;
}

static void parse_type(struct parser *p, struct graphql_variable *variable) {
        const char *text;

        if (peek(p) == TOKEN_BRACKET_L) {
                if (!enter(p))
                        return;
                next(p);
                parse_type(p, variable);
                expect(p, TOKEN_BRACKET_R);
                p->depth--;
                variable->list = true;
                text = join(p, "[", variable->type ? variable->type : "", "]");
        } else
                text = variable->base = parse_name(p);

        variable->non_null = skip(p, TOKEN_BANG);
        variable->type = variable->non_null ? join(p, text, "!", "") : text;
}

static struct graphql_variable *parse_variables(struct parser *p) {
        struct graphql_variable *first = NULL, **slot = &first;

        if (!skip(p, TOKEN_PAREN_L))
                return NULL;
        while (!p->failed && peek(p) != TOKEN_PAREN_R) {
                struct graphql_variable *variable = parser_alloc(p, sizeof(*variable));

                if (!variable)
                        return NULL;
                variable->position = p->token.position;
                expect(p, TOKEN_DOLLAR);
                variable->name = parse_name(p);
                expect(p, TOKEN_COLON);
                parse_type(p, variable);
                if (skip(p, TOKEN_EQUALS)) {
                        variable->default_value = parser_alloc(p, sizeof(*variable->default_value));
                        if (!variable->default_value)
                                return NULL;
                        *variable->default_value = parse_value(p, true);
                }
                (void)parse_directives(p);
                *slot = variable;
                slot = &variable->next;
        }
        next(p);
        return first;
}

static struct graphql_operation *parse_operation(struct parser *p) {
        struct graphql_operation *operation = parser_alloc(p, sizeof(*operation));

        if (!operation)
                return NULL;
        operation->position = p->token.position;
        if (peek(p) == TOKEN_NAME) {
                for (int kind = 0; kind < OPERATION_MAX; kind++)
                        if (at_word(p, graphql_operation_names[kind]))
                                operation->kind = (enum graphql_operation_kind)kind;
                next(p);
                if (peek(p) == TOKEN_NAME)
                        operation->name = parse_name(p);
                operation->variables = parse_variables(p);
                (void)parse_directives(p);
        }
        operation->selections = parse_selections(p);
        return operation;
}

static struct graphql_fragment *parse_fragment(struct parser *p) {
        struct graphql_fragment *fragment = parser_alloc(p, sizeof(*fragment));

        if (!fragment)
                return NULL;
        fragment->position = p->token.position;
        next(p);
        if (at_word(p, "on"))
                unexpected(p);
        fragment->name = parse_name(p);
        if (!at_word(p, "on"))
                parser_fail(p, "Expected \"on\", found %s", graphql_token_names[p->token.kind]);
        next(p);
        fragment->type = parse_name(p);
        (void)parse_directives(p);
        fragment->selections = parse_selections(p);
        return fragment;
}

static void parse_document(struct parser *p, struct graphql_document *document) {
        struct graphql_operation **operation = &document->operations;
        struct graphql_fragment **fragment = &document->fragments;

        next(p);
        while (!p->failed && p->token.kind != TOKEN_EOF)
                if (peek(p) == TOKEN_BRACE_L || at_word(p, "query") || at_word(p, "mutation") ||
                    at_word(p, "subscription")) {
                        *operation = parse_operation(p);
                        if (*operation)
                                operation = &(*operation)->next;
                } else if (at_word(p, "fragment")) {
                        *fragment = parse_fragment(p);
                        if (*fragment)
                                fragment = &(*fragment)->next;
                } else
                        unexpected(p);
}

int graphql_parse(const char *text, size_t size, json_t *errors, struct graphql_document **ret) {
        _cleanup_(graphql_document_freep) struct graphql_document *document = NULL;
        struct parser p = { .errors = errors };

        document = calloc(1, sizeof(*document));
        if (!document)
                return -ENOMEM;
        p.arena = &document->arena;

        p.lexer = (struct graphql_lexer) {
                .arena = p.arena, .text = text, .size = size, .position = { .line = 1, .column = 1 }
        };
        parse_document(&p, document);
        if (p.out_of_memory)
                return -ENOMEM;
        if (p.failed)
                return -EINVAL;
        *ret = take_ptr(document);
        return 0;
}
