/*
 * The transport rules of GraphQL over HTTP as gqlgen has them: what is no JSON is 400, what is no valid
 * operation is 422, and a mutation by GET is 406. A refused call still has its operation if that is known,
 * for faults and the log.
 */

#include "devconnector/query.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

void query_clear(struct query *query) {
        json_decref(query->errors);
        json_decref(query->variables);
        graphql_document_free(query->document);
        *query = (struct query) { 0 };
}

/* "application/json; charset=utf-8" is application/json. */
static bool is_json(const char *content_type) {
        static const char json[] = "application/json";
        const char *rest;

        if (!content_type || strncasecmp(content_type, json, strlen(json)) != 0)
                return false;
        rest = content_type + strlen(json);
        rest += strspn(rest, " \t");
        return *rest == '\0' || *rest == ';';
}

static int refuse(struct query *query, unsigned status) {
        query->refusal = status;
        return 0;
}

static enum operation kind_of(const struct graphql_document *document,
                              const struct graphql_operation *operation) {
        static const struct {
                const char *field;
                enum operation kind;
        } kinds[] = {
                { "configuration", OPERATION_KIND_CONFIGURATION },
                { "signCertificateSigningRequest", OPERATION_KIND_SIGN },
                { "revokeCertificate", OPERATION_KIND_REVOKE },
                { "__typename", OPERATION_KIND_PROBE },
                { "__schema", OPERATION_KIND_PROBE },
                { "__type", OPERATION_KIND_PROBE },
        };
        const char *field = graphql_first_field(document, operation);

        for (size_t i = 0; field && i < ELEMENTSOF(kinds); i++)
                if (streq(field, kinds[i].field))
                        return kinds[i].kind;
        return OPERATION_KIND_OTHER;
}

static int prepare(struct query *query, const char *text, size_t size, const char *operation_name,
                   const json_t *variables, bool only_queries) {
        int r;

        r = graphql_parse(text, size, query->errors, &query->document);
        if (r == 0)
                r = graphql_validate(query->document, query->errors);
        if (r == 0)
                r = graphql_select(query->document, operation_name, query->errors, &query->operation);
        if (r == 0) {
                query->kind = kind_of(query->document, query->operation);
                r = graphql_coerce(query->operation, variables, query->errors, &query->variables);
        }
        if (r == -EINVAL)
                return refuse(query, 422);
        if (r < 0)
                return r;

        if (only_queries && !graphql_is_query(query->operation)) {
                r = graphql_error(query->errors, NULL, "GET requests only allow query operations");
                return r < 0 ? r : refuse(query, 406);
        }
        return 0;
}

static int init(struct query *query) {
        *query = (struct query) { .kind = OPERATION_KIND_OTHER, .errors = json_array() };
        return query->errors ? 0 : -ENOMEM;
}

/* jansson stops behind the token that it could not take, Go names its first character */
char go_invalid_character(const char *body, size_t size, const json_error_t *error) {
        size_t at = error->position > 0 ? (size_t)error->position - 1 : 0;
        unsigned char c;

        while (at > 0 && at < size && isalnum((unsigned char)body[at]) &&
               isalnum((unsigned char)body[at - 1]))
                at--;
        c = at < size ? (unsigned char)body[at] : 0;
        return isprint(c) ? (char)c : '?';
}

bool go_is_blank(const char *body, size_t size) {
        bool blank = true;

        for (size_t i = 0; i < size && blank; i++)
                blank = isspace((unsigned char)body[i]);
        return blank;
}

const char *go_type_name(const json_t *value) {
        static const char *const names[] = {
                [JSON_OBJECT] = "object",  [JSON_ARRAY] = "array", [JSON_STRING] = "string",
                [JSON_INTEGER] = "number", [JSON_REAL] = "number", [JSON_TRUE] = "bool",
                [JSON_FALSE] = "bool",     [JSON_NULL] = "null",
        };

        return names[json_typeof(value)];
}

/* Go's decoder says where the text ends too soon and at which character it goes wrong; nothing else of it is
 * copied. */
static int refuse_json(struct query *query, const char *body, size_t size, const json_error_t *error) {
        _cleanup_(freep) char *reason = NULL;
        int r;

        if (go_is_blank(body, size))
                reason = strdup("EOF");
        else if (json_error_code(error) == json_error_premature_end_of_input)
                reason = strdup("unexpected EOF");
        else if (asprintf(&reason, "invalid character '%c' looking for beginning of value",
                          go_invalid_character(body, size, error)) < 0)
                reason = NULL;
        if (!reason)
                return -ENOMEM;
        r = graphql_error(query->errors, NULL, "json request body could not be decoded: %s body:%.*s", reason,
                          (int)size, body);
        return r < 0 ? r : refuse(query, 400);
}

static int refuse_type(struct query *query, const json_t *value, const char *member, const char *type,
                       const char *body, size_t size) {
        int r;

        r = graphql_error(query->errors, NULL,
                          "json request body could not be decoded: json: cannot unmarshal %s into Go %s%s of "
                          "type %s body:%.*s",
                          go_type_name(value), *member ? "struct field RawParams" : "value", member, type,
                          (int)size, body);
        return r < 0 ? r : refuse(query, 400);
}

static bool is_absent(const json_t *value) {
        return !value || json_is_null(value);
}

int query_read_post(const char *content_type, const char *body, size_t size, struct query *ret) {
        _cleanup_(query_clear) struct query query = { 0 };
        _cleanup_(json_decrefp) json_t *request = NULL;
        const json_t *text, *name, *variables;
        json_error_t error;
        int r;

        r = init(&query);
        if (r < 0)
                return r;

        request = json_loadb(body, size, JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, &error);
        text = json_object_get(request, "query");
        name = json_object_get(request, "operationName");
        variables = json_object_get(request, "variables");

        if (!is_json(content_type)) {
                query.wrong_transport = true;
                r = graphql_error(query.errors, NULL, "transport not supported");
                if (r == 0)
                        r = refuse(&query, 400);
        } else if (!request)
                r = refuse_json(&query, body, size, &error);
        else if (!json_is_object(request) && !json_is_null(request))
                r = refuse_type(&query, request, "", "graphql.RawParams", body, size);
        else if (!is_absent(text) && !json_is_string(text))
                r = refuse_type(&query, text, ".query", "string", body, size);
        else if (!is_absent(name) && !json_is_string(name))
                r = refuse_type(&query, name, ".operationName", "string", body, size);
        else if (!is_absent(variables) && !json_is_object(variables))
                r = refuse_type(&query, variables, ".variables", "map[string]interface {}", body, size);
        else
                r = prepare(&query, is_absent(text) ? "" : json_string_value(text), json_string_length(text),
                            json_string_value(name), is_absent(variables) ? NULL : variables, false);
        if (r < 0)
                return r;
        *ret = query;
        query = (struct query) { 0 };
        return 0;
}

int query_read_get(const char *text, const char *operation_name, const char *variables, struct query *ret) {
        _cleanup_(query_clear) struct query query = { 0 };
        _cleanup_(json_decrefp) json_t *given = NULL;
        int r;

        r = init(&query);
        if (r < 0)
                return r;
        if (!strempty(variables))
                given = json_loads(variables, 0, NULL);
        if (!strempty(variables) && !json_is_object(given)) {
                r = graphql_error(query.errors, NULL, "variables could not be decoded");
                if (r == 0)
                        r = refuse(&query, 400);
        } else
                r = prepare(&query, text ? text : "", text ? strlen(text) : 0, operation_name, given, true);
        if (r < 0)
                return r;
        *ret = query;
        query = (struct query) { 0 };
        return 0;
}
