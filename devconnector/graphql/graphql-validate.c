/*
 * The rules that a GraphQL document must keep before it may run, in gqlparser's words. Validation walks what
 * execution will walk, fragments spread, so that the count of visited fields that it bounds is the work that
 * execution does. All errors are reported, not only the first, up to a limit.
 *
 * Left out because no client of the Connector can meet them: rules on directives other than @skip and
 * @include, on input objects, on interfaces, and conflicts between fields that are merged deeper than one
 * level of arguments.
 */

#include "devconnector/graphql/graphql-ast.h"
#include "devconnector/graphql/graphql-schema.h"
#include "lib/util/parse.h"

#define ERRORS_MAX 50

struct validation {
        const struct graphql_document *document;
        const struct graphql_operation *operation;
        json_t *errors;
        size_t n_visited;
        unsigned depth;
        int failed; /* -ENOMEM */
};

#define complain(v, position, ...)                                                                       \
        do {                                                                                             \
                if (json_array_size((v)->errors) < ERRORS_MAX &&                                         \
                    graphql_error_at((v)->errors, GRAPHQL_VALIDATION_FAILED, position, __VA_ARGS__) < 0) \
                        (v)->failed = -ENOMEM;                                                           \
        } while (0)

/* Each in the words of the type that was expected. */
static bool literal_fits(const char *type, enum graphql_value_kind kind, const char **ret_complaint) {
        if (graphql_same_base(type, "Boolean")) {
                *ret_complaint = "Boolean cannot represent a non boolean value";
                return kind == VALUE_BOOLEAN;
        }
        *ret_complaint = "String cannot represent a non string value";
        return kind == VALUE_STRING;
}

static bool is_non_null(const char *type) {
        return type[strlen(type) - 1] == '!';
}

static void validate_variable_use(struct validation *v, const struct graphql_value *value, const char *type) {
        struct graphql_variable *variable = graphql_find_variable(v->operation, value->text);

        if (!variable) {
                if (v->operation->name)
                        complain(v, value->position, "Variable \"$%s\" is not defined by operation \"%s\".",
                                 value->text, v->operation->name);
                else
                        complain(v, value->position, "Variable \"$%s\" is not defined.", value->text);
                return;
        }

        variable->used = true;
        if (variable->list || !graphql_same_base(variable->base, type) ||
            (is_non_null(type) && !variable->non_null && !variable->default_value))
                complain(v, value->position,
                         "Variable \"$%s\" of type \"%s\" used in position expecting type \"%s\".",
                         value->text, variable->type, type);
}

static void validate_argument_value(struct validation *v, const struct graphql_value *value,
                                    const char *type) {
        static const char *const compound[] = { [VALUE_LIST] = "[...]", [VALUE_OBJECT] = "{...}" };
        const char *complaint;

        if (value->kind == VALUE_VARIABLE)
                validate_variable_use(v, value, type);
        else if (value->kind == VALUE_NULL) {
                if (is_non_null(type))
                        complain(v, value->position, "Expected value of type \"%s\", found null.", type);
        } else if (!literal_fits(type, value->kind, &complaint)) {
                if (value->kind == VALUE_STRING)
                        complain(v, value->position, "%s: \"%.200s\"", complaint, value->text);
                else
                        complain(v, value->position, "%s: %.200s", complaint,
                                 value->kind >= VALUE_LIST ? compound[value->kind] : value->text);
        }
}

static void validate_arguments(struct validation *v, const struct graphql_type *parent,
                               const struct graphql_field *field, const struct graphql_selection *selection) {
        bool given = false;

        for (const struct graphql_argument *a = selection->arguments; a; a = a->next) {
                if (!field->argument || !streq(a->name, field->argument)) {
                        complain(v, selection->position, "Unknown argument \"%s\" on field \"%s.%s\".",
                                 a->name, parent->name, field->name);
                        continue;
                }
                if (given)
                        complain(v, a->position, "There can be only one argument named \"%s\".", a->name);
                given = true;
                validate_argument_value(v, &a->value, field->argument_type);
        }
        if (field->argument && is_non_null(field->argument_type) && !given)
                complain(v, selection->position,
                         "Field \"%s\" argument \"%s\" of type \"%s\" is required, but it was not provided.",
                         field->name, field->argument, field->argument_type);
}

static void validate_directives(struct validation *v, const struct graphql_directive *directives) {
        for (const struct graphql_directive *d = directives; d; d = d->next) {
                const struct graphql_argument *a = d->arguments;

                if (!streq(d->name, "skip") && !streq(d->name, "include"))
                        complain(v, d->position, "Unknown directive \"@%s\".", d->name);
                else if (!a || !streq(a->name, "if") || a->next)
                        complain(v, d->position,
                                 "Directive \"@%s\" argument \"if\" of type \"Boolean!\" is required, "
                                 "but it was not provided.",
                                 d->name);
                else
                        validate_argument_value(v, &a->value, "Boolean!");
        }
}

static void complain_unknown_field(struct validation *v, const struct graphql_type *type,
                                   const struct graphql_selection *selection) {
        const char *names[16] = { 0 };
        const char *near;

        for (size_t i = 0; i + 1 < ELEMENTSOF(names) && type->fields[i].name; i++)
                names[i] = type->fields[i].name;
        near = nearest_word(selection->name, names);
        if (near)
                complain(v, selection->position,
                         "Cannot query field \"%s\" on type \"%s\". Did you mean \"%s\"?", selection->name,
                         type->name, near);
        else
                complain(v, selection->position, "Cannot query field \"%s\" on type \"%s\".", selection->name,
                         type->name);
}

static void validate_selections(struct validation *v, const struct graphql_type *type,
                                const struct graphql_selection *selections);

static void validate_field(struct validation *v, const struct graphql_type *type,
                           const struct graphql_selection *selection) {
        const struct graphql_field *field = graphql_find_field(type, selection->name);
        const struct graphql_type *inner;

        if (!field) {
                complain_unknown_field(v, type, selection);
                return;
        }
        validate_arguments(v, type, field, selection);
        inner = graphql_find_type(field->type);
        if (inner && !selection->selections)
                complain(v, selection->position,
                         "Field \"%s\" of type \"%s\" must have a selection of subfields. Did you mean \"%s "
                         "{ ... }\"?",
                         field->name, field->type, field->name);
        else if (!inner && selection->selections)
                complain(v, selection->position,
                         "Field \"%s\" must not have a selection since type \"%s\" has no subfields.",
                         field->name, field->type);
        else if (inner)
                validate_selections(v, inner, selection->selections);
}

static void validate_spread(struct validation *v, const struct graphql_type *type,
                            const struct graphql_selection *selection) {
        struct graphql_fragment *fragment = graphql_find_fragment(v->document, selection->name);

        if (!fragment) {
                complain(v, selection->position, "Unknown fragment \"%s\".", selection->name);
                return;
        }
        fragment->used = true;
        if (fragment->open) {
                complain(v, selection->position, "Cannot spread fragment \"%s\" within itself.",
                         fragment->name);
                return;
        }
        if (!graphql_type_exists(fragment->type))
                complain(v, fragment->position, "Unknown type \"%s\".", fragment->type);
        else if (!streq(fragment->type, type->name))
                complain(v, selection->position,
                         "Fragment \"%s\" cannot be spread here as objects of type \"%s\" can never be of "
                         "type \"%s\".",
                         fragment->name, type->name, fragment->type);
        else {
                fragment->open = true;
                validate_selections(v, type, fragment->selections);
                fragment->open = false;
        }
}

static void validate_inline(struct validation *v, const struct graphql_type *type,
                            const struct graphql_selection *selection) {
        if (selection->name && !graphql_type_exists(selection->name))
                complain(v, selection->position, "Unknown type \"%s\".", selection->name);
        else if (selection->name && !streq(selection->name, type->name))
                complain(v, selection->position,
                         "Fragment cannot be spread here as objects of type \"%s\" can never be of type "
                         "\"%s\".",
                         type->name, selection->name);
        else
                validate_selections(v, type, selection->selections);
}

static bool same_arguments(const struct graphql_selection *a, const struct graphql_selection *b) {
        const struct graphql_argument *x = a->arguments, *y = b->arguments;

        for (; x && y; x = x->next, y = y->next)
                if (!streq(x->name, y->name) || x->value.kind != y->value.kind ||
                    x->value.size != y->value.size ||
                    memcmp(x->value.text, y->value.text, x->value.size) != 0)
                        return false;
        return !x && !y;
}

/* Within one pair of braces; what fragments bring in is merged by the first that came. */
static void validate_conflicts(struct validation *v, const struct graphql_selection *selections) {
        size_t n = 0;

        for (const struct graphql_selection *a = selections; a; a = a->next)
                for (const struct graphql_selection *b = selections; b != a; b = b->next) {
                        if (++n > GRAPHQL_SELECTIONS_MAX * (size_t)10)
                                return;
                        if (a->kind != SELECTION_FIELD || b->kind != SELECTION_FIELD ||
                            !streq(a->alias, b->alias))
                                continue;
                        if (!streq(a->name, b->name))
                                complain(v, b->position,
                                         "Fields \"%s\" conflict because %s and %s are different fields. Use "
                                         "different "
                                         "aliases on the fields to fetch both if this was intentional.",
                                         a->alias, b->name, a->name);
                        else if (!same_arguments(a, b))
                                complain(v, b->position,
                                         "Fields \"%s\" conflict because they have differing arguments. Use "
                                         "different "
                                         "aliases on the fields to fetch both if this was intentional.",
                                         a->alias);
                }
}

static void validate_selections(struct validation *v, const struct graphql_type *type,
                                const struct graphql_selection *selections) {
        if (v->depth == GRAPHQL_DEPTH_MAX) {
                complain(v, selections->position, "exceeded depth limit of %d", GRAPHQL_DEPTH_MAX);
                return;
        }
        v->depth++;
        validate_conflicts(v, selections);
        for (const struct graphql_selection *s = selections; s; s = s->next) {
                if (v->n_visited > GRAPHQL_SELECTIONS_MAX)
                        break;
                if (++v->n_visited > GRAPHQL_SELECTIONS_MAX)
                        complain(v, s->position, "operation has more than %d fields", GRAPHQL_SELECTIONS_MAX);
                validate_directives(v, s->directives);
                switch (s->kind) {
                case SELECTION_FIELD:
                        validate_field(v, type, s);
                        break;
                case SELECTION_SPREAD:
                        validate_spread(v, type, s);
                        break;
                case SELECTION_INLINE:
                        validate_inline(v, type, s);
                        break;
                }
        }
        v->depth--;
}

static void validate_variables(struct validation *v) {
        const char *complaint;

        for (const struct graphql_variable *a = v->operation->variables; a; a = a->next) {
                if (graphql_find_variable(v->operation, a->name) != a)
                        complain(v, a->position, "There can be only one variable named \"$%s\".", a->name);
                if (!graphql_type_exists(a->base))
                        complain(v, a->position, "Unknown type \"%s\".", a->base);
                else if (!graphql_type_is_scalar(a->base))
                        complain(v, a->position, "Variable \"$%s\" cannot be non-input type \"%s\".", a->name,
                                 a->type);
                else if (a->default_value && a->default_value->kind != VALUE_NULL && !a->list &&
                         (graphql_same_base(a->base, "String") || graphql_same_base(a->base, "Boolean")) &&
                         !literal_fits(a->base, a->default_value->kind, &complaint))
                        complain(v, a->default_value->position, "%s: %.200s", complaint,
                                 a->default_value->text);
        }
}

static void validate_unused(struct validation *v) {
        for (const struct graphql_variable *a = v->operation->variables; a; a = a->next)
                if (!a->used && graphql_find_variable(v->operation, a->name) == a) {
                        if (v->operation->name)
                                complain(v, a->position,
                                         "Variable \"$%s\" is never used in operation \"%s\".", a->name,
                                         v->operation->name);
                        else
                                complain(v, a->position, "Variable \"$%s\" is never used.", a->name);
                }
}

static void validate_operation(struct validation *v) {
        static const char *const roots[OPERATION_MAX] = {
                [OPERATION_QUERY] = "Query",
                [OPERATION_MUTATION] = "Mutation",
        };
        const char *root = roots[v->operation->kind];

        if (!root) {
                complain(v, v->operation->position, "Schema does not support operation type \"%s\"",
                         graphql_operation_names[v->operation->kind]);
                return;
        }
        validate_variables(v);
        validate_selections(v, graphql_find_type(root), v->operation->selections);
        validate_unused(v);
}

int graphql_validate(struct graphql_document *document, json_t *errors) {
        struct validation v = { .document = document, .errors = errors };

        if (!document->operations)
                return graphql_error(errors, GRAPHQL_VALIDATION_FAILED, "no operation provided") < 0
                               ? -ENOMEM
                               : -EINVAL;

        for (const struct graphql_operation *a = document->operations; a; a = a->next) {
                if (!a->name && (a != document->operations || a->next))
                        complain(&v, a->position,
                                 "This anonymous operation must be the only defined operation.");
                for (const struct graphql_operation *b = document->operations; a->name && b != a; b = b->next)
                        if (streq_null(a->name, b->name))
                                complain(&v, a->position, "There can be only one operation named \"%s\".",
                                         a->name);
                v.operation = a;
                validate_operation(&v);
        }
        for (const struct graphql_fragment *f = document->fragments; f; f = f->next) {
                if (graphql_find_fragment(document, f->name) != f)
                        complain(&v, f->position, "There can be only one fragment named \"%s\".", f->name);
                else if (!f->used)
                        complain(&v, f->position, "Fragment \"%s\" is never used.", f->name);
        }

        if (v.failed < 0)
                return v.failed;
        return json_array_size(errors) > 0 ? -EINVAL : 0;
}
