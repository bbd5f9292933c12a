/*
 * Running a validated GraphQL operation. A resolver computes the whole object of a root field once; what was
 * selected is then picked from it by the type table, with aliases, __typename and merged selections. That is
 * less than a GraphQL engine does and all that this schema needs: no field below the root has a resolver of
 * its own.
 */

#include <stdarg.h>
#include <stdio.h>

#include "devconnector/graphql/graphql-ast.h"
#include "devconnector/graphql/graphql-schema.h"
#include "lib/util/json.h"

struct execution {
        const struct graphql_document *document;
        const struct graphql_operation *operation;
        const json_t *variables;
        graphql_resolve_fn resolve;
        void *userdata;
        json_t *errors;
        bool null_root; /* a field of the root that must not be null failed: all of data is null */
};

int graphql_select(const struct graphql_document *document, const char *name, json_t *errors,
                   const struct graphql_operation **ret) {
        const struct graphql_operation *found = NULL;

        for (const struct graphql_operation *a = document->operations; a; a = a->next)
                if (strempty(name) ? !document->operations->next : streq_null(a->name, name))
                        found = a;
        if (!found)
                return graphql_error(errors, GRAPHQL_VALIDATION_FAILED, "operation %s not found",
                                     name ? name : "") < 0
                               ? -ENOMEM
                               : -EINVAL;
        *ret = found;
        return 0;
}

static json_t *value_of_literal(const struct graphql_value *value) {
        switch (value->kind) {
        case VALUE_STRING:
        case VALUE_INT: /* numbers have no other use here than as text: see coerce_variable() */
        case VALUE_FLOAT:
        case VALUE_ENUM:
                return graphql_string(value->text, value->size);
        case VALUE_BOOLEAN:
                return json_boolean(streq(value->text, "true"));
        default:
                return json_null();
        }
}

/* As Go names the kinds of decoded JSON. */
static const char *kind_name(const json_t *value) {
        switch (json_typeof(value)) {
        case JSON_OBJECT:
                return "map";
        case JSON_ARRAY:
                return "slice";
        case JSON_TRUE:
        case JSON_FALSE:
                return "bool";
        default:
                return "string";
        }
}

/* A number is good enough for a String: the real server keeps JSON numbers as text. NULL where GIVEN does not
 * fit. */
static json_t *coerce_value(const struct graphql_variable *variable, const json_t *given) {
        bool wants_boolean = streq(variable->base, "Boolean");

        if (variable->list) /* no field takes one, so it is never read */
                return json_null();
        if (json_is_boolean(given))
                return wants_boolean ? json_boolean(json_is_true(given)) : NULL;
        if (wants_boolean)
                return NULL;
        if (json_is_string(given))
                return json_stringn(json_string_value(given), json_string_length(given));
        if (json_is_number(given)) {
                _cleanup_(freep) char *text = json_format(given, JSON_ENCODE_ANY);

                return text ? json_string(text) : NULL;
        }
        return NULL;
}

static int variable_error(json_t *errors, const struct graphql_variable *variable, const char *format, ...)
        _printf_(3, 4);
static int variable_error(json_t *errors, const struct graphql_variable *variable, const char *format, ...) {
        _cleanup_(freep) char *message = NULL;
        va_list args;
        int n;

        va_start(args, format);
        n = vasprintf(&message, format, args);
        va_end(args);
        if (n < 0) {
                message = NULL;
                return -ENOMEM;
        }
        n = json_array_append_new(errors,
                                  json_pack("{s:s,s:[s,s],s:{s:s}}", "message", message, "path", "variable",
                                            variable->name, "extensions", "code", GRAPHQL_VALIDATION_FAILED));
        return n < 0 ? -ENOMEM : -EINVAL;
}

static int coerce_variable(const struct graphql_variable *variable, const json_t *given, json_t *errors,
                           json_t *values) {
        json_t *value;

        if (!given && variable->default_value)
                value = value_of_literal(variable->default_value);
        else if (!given)
                return variable->non_null ? variable_error(errors, variable, "must be defined") : 0;
        else if (json_is_null(given)) {
                if (variable->non_null)
                        return variable_error(errors, variable, "cannot be null");
                value = json_null();
        } else {
                value = coerce_value(variable, given);
                if (!value)
                        return variable_error(errors, variable, "cannot use %s as %s", kind_name(given),
                                              variable->base);
        }
        return json_object_set_new(values, variable->name, value) < 0 ? -ENOMEM : 0;
}

int graphql_coerce(const struct graphql_operation *operation, const json_t *given, json_t *errors,
                   json_t **ret_values) {
        _cleanup_(json_decrefp) json_t *values = json_object();
        int r;

        if (!values)
                return -ENOMEM;
        for (const struct graphql_variable *v = operation->variables; v; v = v->next) {
                r = coerce_variable(v, given ? json_object_get(given, v->name) : NULL, errors, values);
                if (r < 0)
                        return r;
        }
        *ret_values = take_ptr(values);
        return 0;
}

/* A new reference; null where an optional variable was not given. */
static json_t *argument_value(const struct execution *x, const struct graphql_value *value) {
        json_t *found;

        if (value->kind != VALUE_VARIABLE)
                return value_of_literal(value);
        found = json_object_get(x->variables, value->text);
        return found ? json_incref(found) : json_null();
}

static bool is_wanted(const struct execution *x, const struct graphql_selection *selection) {
        for (const struct graphql_directive *d = selection->directives; d; d = d->next) {
                _cleanup_(json_decrefp) json_t *condition = argument_value(x, &d->arguments->value);

                if (json_is_true(condition) == streq(d->name, "skip"))
                        return false;
        }
        return true;
}

/* One key of a reply object with every selection that asks for it. */
struct wanted {
        const struct graphql_selection *field; /* the first one */
        const struct graphql_selection **sources;
        size_t n_sources;
};

struct wanted_list {
        struct wanted *items;
        size_t n;
};

static void wanted_list_clear(struct wanted_list *list) {
        for (size_t i = 0; i < list->n; i++)
                free(list->items[i].sources);
        free(list->items);
        *list = (struct wanted_list) { 0 };
}

static int want(struct wanted_list *list, const struct graphql_selection *field) {
        struct wanted *wanted = NULL;
        const struct graphql_selection **sources;

        for (size_t i = 0; i < list->n && !wanted; i++)
                if (streq(list->items[i].field->alias, field->alias))
                        wanted = &list->items[i];
        /* Two fields for one key can still meet where two fragments bring them: the first one counts. */
        if (wanted && !streq(wanted->field->name, field->name))
                return 0;
        if (!wanted) {
                wanted = reallocarray(list->items, list->n + 1, sizeof(*wanted));
                if (!wanted)
                        return -ENOMEM;
                list->items = wanted;
                wanted += list->n++;
                *wanted = (struct wanted) { .field = field };
        }
        sources = reallocarray(wanted->sources, wanted->n_sources + 1, sizeof(*sources));
        if (!sources)
                return -ENOMEM;
        wanted->sources = sources;
        wanted->sources[wanted->n_sources++] = field;
        return 0;
}

static int collect(const struct execution *x, const struct graphql_selection *selections,
                   struct wanted_list *list) {
        int r = 0;

        for (const struct graphql_selection *s = selections; s && r == 0; s = s->next) {
                if (!is_wanted(x, s))
                        continue;
                switch (s->kind) {
                case SELECTION_FIELD:
                        r = want(list, s);
                        break;
                case SELECTION_SPREAD:
                        r = collect(x, graphql_find_fragment(x->document, s->name)->selections, list);
                        break;
                case SELECTION_INLINE:
                        r = collect(x, s->selections, list);
                        break;
                }
        }
        return r;
}

/* NULL: no memory. VALUE is what a resolver computed for a field of TYPE. */
static json_t *project(const struct execution *x, const char *type, const struct wanted *wanted,
                       json_t *value) {
        const struct graphql_type *object = graphql_find_type(type);
        _cleanup_(wanted_list_clear) struct wanted_list list = { 0 };
        _cleanup_(json_decrefp) json_t *out = NULL;

        if (!value || json_is_null(value))
                return json_null();
        if (!object)
                return json_incref(value);

        if (json_is_array(value)) {
                json_t *item;
                size_t i;

                out = json_array();
                json_array_foreach(value, i,
                                   item) if (json_array_append_new(out, project(x, type, wanted, item)) <
                                             0) return NULL;
                return take_ptr(out);
        }

        for (size_t i = 0; i < wanted->n_sources; i++)
                if (collect(x, wanted->sources[i]->selections, &list) < 0)
                        return NULL;
        out = json_object();
        for (size_t i = 0; i < list.n; i++) {
                const struct graphql_selection *field = list.items[i].field;
                json_t *inner = streq(field->name, "__typename")
                                        ? json_string(object->name)
                                        : project(x, graphql_find_field(object, field->name)->type,
                                                  &list.items[i], json_object_get(value, field->name));

                if (json_object_set_new(out, field->alias, inner) < 0)
                        return NULL;
        }
        return take_ptr(out);
}

static json_t *arguments_of(const struct execution *x, const struct graphql_selection *field) {
        json_t *arguments = json_object();

        for (const struct graphql_argument *a = field->arguments; a; a = a->next)
                if (json_object_set_new(arguments, a->name, argument_value(x, &a->value)) < 0) {
                        json_decref(arguments);
                        return NULL;
                }
        return arguments;
}

static int append_failure(struct execution *x, const char *alias, const char *message) {
        return json_array_append_new(x->errors,
                                     json_pack("{s:o,s:[s]}", "message",
                                               graphql_string(message, strlen(message)), "path", alias)) < 0
                       ? -ENOMEM
                       : 0;
}

/* The fields that every schema has. NULL: no memory. */
static json_t *introspect(const struct graphql_type *root, const char *field, const json_t *arguments) {
        if (streq(field, "__typename"))
                return json_string(root->name);
        if (streq(field, "__schema"))
                return graphql_introspect_schema();
        return graphql_introspect_type(json_string_value(json_object_get(arguments, "name")));
}

static int execute_root_field(struct execution *x, const struct graphql_type *root,
                              const struct wanted *wanted, json_t *data) {
        const struct graphql_selection *field = wanted->field;
        _cleanup_(json_decrefp) json_t *arguments = arguments_of(x, field), *value = NULL;
        struct error error = ERROR_INIT;
        int r;

        if (!arguments)
                return -ENOMEM;
        r = x->resolve(x->userdata, field->name, arguments, &value, &error);
        if (r == 0 && !value)
                value = introspect(root, field->name, arguments);
        if (r < 0) {
                x->null_root = true;
                r = append_failure(x, field->alias, error_text(&error));
                error_clear(&error);
                return r;
        }
        if (!value)
                return -ENOMEM;
        return json_object_set_new(data, field->alias,
                                   project(x, graphql_find_field(root, field->name)->type, wanted, value)) < 0
                       ? -ENOMEM
                       : 0;
}

json_t *graphql_execute(const struct graphql_document *document, const struct graphql_operation *operation,
                        const json_t *variables, graphql_resolve_fn resolve, void *userdata) {
        _cleanup_(wanted_list_clear) struct wanted_list list = { 0 };
        _cleanup_(json_decrefp) json_t *data = json_object(), *errors = json_array();
        const struct graphql_type *root =
                graphql_find_type(operation->kind == OPERATION_MUTATION ? "Mutation" : "Query");
        struct execution x = { document, operation, variables, resolve, userdata, errors, false };

        if (!data || !errors || collect(&x, operation->selections, &list) < 0)
                return NULL;
        for (size_t i = 0; i < list.n; i++)
                if (execute_root_field(&x, root, &list.items[i], data) < 0)
                        return NULL;
        if (x.null_root)
                return graphql_refusal(errors);
        return json_pack("{s:O}", "data", data);
}
