/*
 * GraphQL as the Connector speaks it: each row is a query and the whole reply to it, errors first. What the
 * transcripts of the real server say is taken from there word for word.
 */

#include "tests/test.h"

#include "devconnector/graphql/graphql.h"
#include "devconnector/query.h"

/* Answers with the arguments that it got, so that a reply shows how a value arrived. */
static int resolve(_unused_ void *userdata, const char *field, const json_t *arguments, json_t **ret_value,
                   struct error *error) {
        if (streq(field, "configuration"))
                *ret_value = json_pack("{s:{s:s},s:{s:s,s:s},s:n}", "token", "token", "T",
                                       "certificateSigningRequestInfo", "subject", "a<b>&c", "keyAlgorithm",
                                       "rsa2048", "managementPlaneInfo");
        else if (streq(field, "signCertificateSigningRequest"))
                *ret_value = json_pack("{s:O,s:s,s:s}", "certificateChain", json_object_get(arguments, "csr"),
                                       "caCertificate", "CA", "clientCertificate", "LEAF");
        else if (streq(field, "revokeCertificate"))
                return error_set(error, -EIO, "cannot revoke: \"<why>\"");
        return 0;
}

/* The reply to TEXT, owned by the caller. OPERATION and VARIABLES, a JSON text, may be NULL. */
static char *answer(const char *text, size_t size, const char *operation, const char *variables) {
        _cleanup_(json_decrefp) json_t *errors = json_array(), *given = NULL, *values = NULL, *reply = NULL;
        _cleanup_(graphql_document_freep) struct graphql_document *document = NULL;
        const struct graphql_operation *chosen = NULL;
        int r;

        if (variables) {
                given = json_loads(variables, 0, NULL);
                ck_assert_ptr_nonnull(given);
        }
        r = graphql_parse(text, size, errors, &document);
        if (r == 0)
                r = graphql_validate(document, errors);
        if (r == 0)
                r = graphql_select(document, operation, errors, &chosen);
        if (r == 0)
                r = graphql_coerce(chosen, given, errors, &values);
        ck_assert(r == 0 || r == -EINVAL);
        ck_assert_uint_eq(json_array_size(errors) > 0, r < 0);
        reply = r < 0 ? graphql_refusal(errors) : graphql_execute(document, chosen, values, resolve, NULL);
        ck_assert_ptr_nonnull(reply);
        return graphql_format(reply);
}

#define PARSE_ERROR(message, line, column)                                                                 \
        "{\"errors\":[{\"message\":\"" message "\",\"locations\":[{\"line\":" #line ",\"column\":" #column \
        "}],\"extensions\":{\"code\":\"GRAPHQL_PARSE_FAILED\"}}],\"data\":null}"
#define INVALID(message, line, column)                                                                     \
        "{\"errors\":[{\"message\":\"" message "\",\"locations\":[{\"line\":" #line ",\"column\":" #column \
        "}],\"extensions\":{\"code\":\"GRAPHQL_VALIDATION_FAILED\"}}],\"data\":null}"
#define INVALID_ANYWHERE(message)              \
        "{\"errors\":[{\"message\":\"" message \
        "\",\"extensions\":{\"code\":\"GRAPHQL_VALIDATION_FAILED\"}}],\"data\":null}"
#define BAD_VARIABLE(message)                                                        \
        "{\"errors\":[{\"message\":\"" message "\",\"path\":[\"variable\",\"csr\"]," \
        "\"extensions\":{\"code\":\"GRAPHQL_VALIDATION_FAILED\"}}],\"data\":null}"
#define SIGN "signCertificateSigningRequest"

struct row {
        const char *query, *operation, *variables, *reply;
};

static void check_rows(const struct row *rows, size_t n_rows) {
        for (size_t i = 0; i < n_rows; i++) {
                _cleanup_(freep) char *reply =
                        answer(rows[i].query, strlen(rows[i].query), rows[i].operation, rows[i].variables);

                ck_assert_msg(streq(reply, rows[i].reply), "%s\n  gives    %s\n  but not %s", rows[i].query,
                              reply, rows[i].reply);
        }
}

START_TEST(syntax_errors) {
        static const struct row rows[] = {
                /* from the transcripts */
                { "query { result: configuration {", NULL, NULL,
                  PARSE_ERROR("Expected Name, found \\u003cEOF\\u003e", 1, 32) },
                { "mutation { result: " SIGN
                  "(csr: \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
                  "BBBB\") { caCertificate } }",
                  NULL, NULL, PARSE_ERROR("Unexpected \\u003cInvalid\\u003e", 1, 120) },
                /* by the same rules */
                { "nonsense", NULL, NULL, PARSE_ERROR("Unexpected Name \\\"nonsense\\\"", 1, 1) },
                { "}", NULL, NULL, PARSE_ERROR("Unexpected }", 1, 1) },
                { "query", NULL, NULL, PARSE_ERROR("Expected {, found \\u003cEOF\\u003e", 1, 6) },
                { "{ }", NULL, NULL, PARSE_ERROR("expected at least one definition, found }", 1, 3) },
                { "{ __typename", NULL, NULL, PARSE_ERROR("Expected Name, found \\u003cEOF\\u003e", 1, 13) },
                { "\n\r\n  { ? }", NULL, NULL,
                  PARSE_ERROR("Expected Name, found \\u003cInvalid\\u003e", 3, 5) },
                { "# \xc3\xa9\n{ #\xc3\xa9\xc3\xa9\r a: }", NULL, NULL,
                  PARSE_ERROR("Expected Name, found }", 3, 5) },
                { "{ configuration(a \"\xc3\xa9\xc3\xa9\" ", NULL, NULL,
                  PARSE_ERROR("Expected :, found String", 1, 19) },
                { "{ a(b: \"\xc3\xa9\xc3\xa9\n", NULL, NULL,
                  PARSE_ERROR("Unexpected \\u003cInvalid\\u003e", 1, 11) },
                { "{ a(b: \"\\x\"", NULL, NULL, PARSE_ERROR("Unexpected \\u003cInvalid\\u003e", 1, 10) },
                { "{ a(b: \"\\u12g4\"", NULL, NULL, PARSE_ERROR("Unexpected \\u003cInvalid\\u003e", 1, 10) },
                { "{ a(b: \"\"\"x", NULL, NULL, PARSE_ERROR("Unexpected \\u003cInvalid\\u003e", 1, 12) },
                { "{ a(b: 01) }", NULL, NULL, PARSE_ERROR("Unexpected \\u003cInvalid\\u003e", 1, 9) },
                { "{ a(b: 1.) }", NULL, NULL, PARSE_ERROR("Unexpected \\u003cInvalid\\u003e", 1, 10) },
                { "{ a(b: -) }", NULL, NULL, PARSE_ERROR("Unexpected \\u003cInvalid\\u003e", 1, 9) },
                { "{ a(b: ", NULL, NULL, PARSE_ERROR("Unexpected \\u003cEOF\\u003e", 1, 8) },
                { "query ($a: String = $b) { a }", NULL, NULL, PARSE_ERROR("Unexpected $", 1, 21) },
                { "query (a: String) { a }", NULL, NULL, PARSE_ERROR("Expected $, found Name", 1, 8) },
                { "query ($a String) { a }", NULL, NULL, PARSE_ERROR("Expected :, found Name", 1, 11) },
                { "fragment on on Query { a }", NULL, NULL,
                  PARSE_ERROR("Unexpected Name \\\"on\\\"", 1, 10) },
                { "fragment a in Query { a }", NULL, NULL,
                  PARSE_ERROR("Expected \\\"on\\\", found Name", 1, 12) },
        };

        check_rows(rows, ELEMENTSOF(rows));
}
END_TEST

START_TEST(validation_errors) {
        static const struct row rows[] = {
                /* from the transcripts */
                { "", NULL, NULL, INVALID_ANYWHERE("no operation provided") },
                { "query { nope }", NULL, NULL,
                  INVALID("Cannot query field \\\"nope\\\" on type \\\"Query\\\".", 1, 9) },
                { "mutation($csr: String!) { result: " SIGN "(csr: $csr) { caCertificate } }", NULL, "{}",
                  BAD_VARIABLE("must be defined") },
                /* by the same rules */
                { "mutation($csr: String!) { " SIGN "(csr: $csr) { caCertificate } }", NULL, "{\"csr\":null}",
                  BAD_VARIABLE("cannot be null") },
                { "mutation($csr: String!) { " SIGN "(csr: $csr) { caCertificate } }", NULL, "{\"csr\":true}",
                  BAD_VARIABLE("cannot use bool as String") },
                { "mutation($csr: String!) { " SIGN "(csr: $csr) { caCertificate } }", NULL, "{\"csr\":[]}",
                  BAD_VARIABLE("cannot use slice as String") },
                { "mutation($csr: String!) { " SIGN "(csr: $csr) { caCertificate } }", NULL, "{\"csr\":{}}",
                  BAD_VARIABLE("cannot use map as String") },
                { "query { configuraton { token { token } } }", NULL, NULL,
                  INVALID("Cannot query field \\\"configuraton\\\" on type \\\"Query\\\". Did you mean "
                          "\\\"configuration\\\"?",
                          1, 9) },
                { "query { configuration }", NULL, NULL,
                  INVALID("Field \\\"configuration\\\" of type \\\"Configuration!\\\" must have a selection "
                          "of subfields. "
                          "Did you mean \\\"configuration { ... }\\\"?",
                          1, 9) },
                { "query { __typename { a } }", NULL, NULL,
                  INVALID("Field \\\"__typename\\\" must not have a selection since type \\\"String!\\\" has "
                          "no "
                          "subfields.",
                          1, 9) },
                { "query { configuration(a: 1) { token { token } } }", NULL, NULL,
                  INVALID("Unknown argument \\\"a\\\" on field \\\"Query.configuration\\\".", 1, 9) },
                { "mutation { " SIGN " { caCertificate } }", NULL, NULL,
                  INVALID("Field \\\"" SIGN
                          "\\\" argument \\\"csr\\\" of type \\\"String!\\\" is required, but it was not "
                          "provided.",
                          1, 12) },
                { "mutation { " SIGN "(csr: 5) { caCertificate } }", NULL, NULL,
                  INVALID("String cannot represent a non string value: 5", 1, 47) },
                { "mutation { " SIGN "(csr: {a: [1]}) { caCertificate } }", NULL, NULL,
                  INVALID("String cannot represent a non string value: {...}", 1, 47) },
                { "mutation { " SIGN "(csr: null) { caCertificate } }", NULL, NULL,
                  INVALID("Expected value of type \\\"String!\\\", found null.", 1, 47) },
                { "mutation { " SIGN "(csr: $csr) { caCertificate } }", NULL, NULL,
                  INVALID("Variable \\\"$csr\\\" is not defined.", 1, 47) },
                { "mutation A { " SIGN "(csr: $csr) { caCertificate } }", NULL, NULL,
                  INVALID("Variable \\\"$csr\\\" is not defined by operation \\\"A\\\".", 1, 49) },
                { "mutation ($csr: String) { " SIGN "(csr: $csr) { caCertificate } }", NULL, NULL,
                  INVALID("Variable \\\"$csr\\\" of type \\\"String\\\" used in position expecting type "
                          "\\\"String!\\\".",
                          1, 62) },
                { "mutation ($csr: [String!]!) { " SIGN "(csr: $csr) { caCertificate } }", NULL, NULL,
                  INVALID("Variable \\\"$csr\\\" of type \\\"[String!]!\\\" used in position expecting type "
                          "\\\"String!\\\".",
                          1, 66) },
                { "query ($a: String) { __typename }", NULL, NULL,
                  INVALID("Variable \\\"$a\\\" is never used.", 1, 8) },
                { "query ($a: Nope) { __typename @skip(if: $a) }", NULL, NULL,
                  "{\"errors\":[{\"message\":\"Unknown type "
                  "\\\"Nope\\\".\",\"locations\":[{\"line\":1,\"column\":8}],"
                  "\"extensions\":{\"code\":\"GRAPHQL_VALIDATION_FAILED\"}},{\"message\":\"Variable "
                  "\\\"$a\\\" of type "
                  "\\\"Nope\\\" used in position expecting type "
                  "\\\"Boolean!\\\".\",\"locations\":[{\"line\":1,"
                  "\"column\":41}],\"extensions\":{\"code\":\"GRAPHQL_VALIDATION_FAILED\"}}],\"data\":"
                  "null}" },
                { "{ ...A }", NULL, NULL, INVALID("Unknown fragment \\\"A\\\".", 1, 6) },
                { "{ ...A } fragment A on Query { ...A }", NULL, NULL,
                  INVALID("Cannot spread fragment \\\"A\\\" within itself.", 1, 35) },
                { "{ ...A } fragment A on Token { token }", NULL, NULL,
                  INVALID("Fragment \\\"A\\\" cannot be spread here as objects of type \\\"Query\\\" can "
                          "never be of type "
                          "\\\"Token\\\".",
                          1, 6) },
                { "{ __typename } fragment A on Query { __typename }", NULL, NULL,
                  INVALID("Fragment \\\"A\\\" is never used.", 1, 16) },
                { "{ ... on Nope { a } }", NULL, NULL, INVALID("Unknown type \\\"Nope\\\".", 1, 7) },
                { "{ __typename @nope }", NULL, NULL, INVALID("Unknown directive \\\"@nope\\\".", 1, 15) },
                { "{ a: __typename a: configuration { token { token } } }", NULL, NULL,
                  INVALID("Fields \\\"a\\\" conflict because __typename and configuration are different "
                          "fields. Use "
                          "different aliases on the fields to fetch both if this was intentional.",
                          1, 3) },
                { "subscription { a }", NULL, NULL,
                  INVALID("Schema does not support operation type \\\"subscription\\\"", 1, 1) },
                { "{ __typename } query B { __typename }", "B", NULL,
                  INVALID("This anonymous operation must be the only defined operation.", 1, 1) },
                { "query A { __typename } query A { __typename }", "A", NULL,
                  INVALID("There can be only one operation named \\\"A\\\".", 1, 24) },
                { "query A { __typename }", "B", NULL, INVALID_ANYWHERE("operation B not found") },
        };

        check_rows(rows, ELEMENTSOF(rows));
}
END_TEST

START_TEST(replies) {
        static const struct row rows[] = {
                { "{ __typename }", NULL, NULL, "{\"data\":{\"__typename\":\"Query\"}}" },
                { "\xef\xbb\xbfquery,,{ a: __typename # comment\n}", NULL, NULL,
                  "{\"data\":{\"a\":\"Query\"}}" },
                { "mutation { __typename }", NULL, NULL, "{\"data\":{\"__typename\":\"Mutation\"}}" },
                { "query A { __typename } query B { b: __typename }", "B", NULL,
                  "{\"data\":{\"b\":\"Query\"}}" },
                { "query { result: configuration() { t: token { token __typename } managementPlaneInfo { "
                  "directorURL } } }",
                  NULL, NULL,
                  "{\"data\":{\"result\":{\"t\":{\"token\":\"T\",\"__typename\":\"Token\"},"
                  "\"managementPlaneInfo\":null}}}" },
                { "query { configuration { certificateSigningRequestInfo { subject } } }", NULL, NULL,
                  "{\"data\":{\"configuration\":{\"certificateSigningRequestInfo\":{\"subject\":"
                  "\"a\\u003cb\\u003e\\u0026c\"}}}}" },
                /* one call for both, their selections merged */
                { "{ a: configuration { token { token } } a: configuration { token { t: token } } }", NULL,
                  NULL, "{\"data\":{\"a\":{\"token\":{\"token\":\"T\",\"t\":\"T\"}}}}" },
                { "{ configuration { ...F ... on Configuration { x: token { token } } ... { y: __typename } "
                  "} } "
                  "fragment F on Configuration { token { token } }",
                  NULL, NULL,
                  "{\"data\":{\"configuration\":{\"token\":{\"token\":\"T\"},\"x\":{\"token\":\"T\"},"
                  "\"y\":\"Configuration\"}}}" },
                /* two fields for one key, brought by fragments: the first one counts */
                { "{ ...F ...G } fragment F on Query { a: __typename } fragment G on Query { a: "
                  "configuration { token "
                  "{ token } } }",
                  NULL, NULL, "{\"data\":{\"a\":\"Query\"}}" },
                { "query ($no: Boolean!) { a: __typename @include(if: $no) b: __typename @skip(if: $no) }",
                  NULL, "{\"no\":false}", "{\"data\":{\"b\":\"Query\"}}" },
                { "mutation { result: revokeCertificate }", NULL, NULL,
                  "{\"errors\":[{\"message\":\"cannot revoke: "
                  "\\\"\\u003cwhy\\u003e\\\"\",\"path\":[\"result\"]}],"
                  "\"data\":null}" },
                { "mutation { r: revokeCertificate s: " SIGN "(csr: \"A\") { caCertificate } }", NULL, NULL,
                  "{\"errors\":[{\"message\":\"cannot revoke: \\\"\\u003cwhy\\u003e\\\"\",\"path\":[\"r\"]}],"
                  "\"data\":null}" },
                /* how a value arrives */
                { "mutation { s: " SIGN "(csr: \"a\\nb\\u00e9\\\"\\\\\\/\\ud83d\") { c: certificateChain } }",
                  NULL, NULL, "{\"data\":{\"s\":{\"c\":\"a\\nb\xc3\xa9\\\"\\\\/\xef\xbf\xbd\"}}}" },
                { "mutation { s: " SIGN
                  "(csr: \"\"\"\n    one\r\n      two \\\"\"\"\n\n    \"\"\") { c: certificateChain } }",
                  NULL, NULL, "{\"data\":{\"s\":{\"c\":\"one\\n  two \\\"\\\"\\\"\"}}}" },
                { "mutation ($csr: String!) { s: " SIGN "(csr: $csr) { c: certificateChain } }", NULL,
                  "{\"csr\":12}", "{\"data\":{\"s\":{\"c\":\"12\"}}}" },
                { "mutation ($csr: String! = \"D\") { s: " SIGN "(csr: $csr) { c: certificateChain } }", NULL,
                  NULL, "{\"data\":{\"s\":{\"c\":\"D\"}}}" },
        };

        check_rows(rows, ELEMENTSOF(rows));
}
END_TEST

START_TEST(introspection) {
        static const struct row rows[] = {
                { "{ __schema { queryType { name } mutationType { fields { name } } } }", NULL, NULL,
                  "{\"data\":{\"__schema\":{\"queryType\":{\"name\":\"Query\"},\"mutationType\":{\"fields\":["
                  "{\"name\":"
                  "\"signCertificateSigningRequest\"},{\"name\":\"revokeCertificate\"}]}}}}" },
                { "{ __type(name: \"Mutation\") { fields { args { name type { kind ofType { kind name } } } "
                  "} } }",
                  NULL, NULL,
                  "{\"data\":{\"__type\":{\"fields\":[{\"args\":[{\"name\":\"csr\",\"type\":{\"kind\":\"NON_"
                  "NULL\","
                  "\"ofType\":{\"kind\":\"SCALAR\",\"name\":\"String\"}}}]},{\"args\":[]}]}}}" },
                { "{ __type(name: \"__Type\") { fields { type { kind name ofType { kind ofType { name } } } "
                  "} } }",
                  NULL, NULL,
                  "{\"data\":{\"__type\":{\"fields\":["
                  "{\"type\":{\"kind\":\"NON_NULL\",\"name\":null,\"ofType\":{\"kind\":\"ENUM\",\"ofType\":"
                  "null}}},"
                  "{\"type\":{\"kind\":\"SCALAR\",\"name\":\"String\",\"ofType\":null}},"
                  "{\"type\":{\"kind\":\"SCALAR\",\"name\":\"String\",\"ofType\":null}},"
                  "{\"type\":{\"kind\":\"SCALAR\",\"name\":\"String\",\"ofType\":null}},"
                  "{\"type\":{\"kind\":\"LIST\",\"name\":null,\"ofType\":{\"kind\":\"NON_NULL\",\"ofType\":{"
                  "\"name\":\"__Field\"}}}},"
                  "{\"type\":{\"kind\":\"LIST\",\"name\":null,\"ofType\":{\"kind\":\"NON_NULL\",\"ofType\":{"
                  "\"name\":\"__Type\"}}}},"
                  "{\"type\":{\"kind\":\"LIST\",\"name\":null,\"ofType\":{\"kind\":\"NON_NULL\",\"ofType\":{"
                  "\"name\":\"__Type\"}}}},"
                  "{\"type\":{\"kind\":\"LIST\",\"name\":null,\"ofType\":{\"kind\":\"NON_NULL\",\"ofType\":{"
                  "\"name\":\"__EnumValue\"}}}},"
                  "{\"type\":{\"kind\":\"LIST\",\"name\":null,\"ofType\":{\"kind\":\"NON_NULL\",\"ofType\":{"
                  "\"name\":\"__InputValue\"}}}},"
                  "{\"type\":{\"kind\":\"OBJECT\",\"name\":\"__Type\",\"ofType\":null}}]}}}" },
                { "{ __type(name: \"Nope\") { name } }", NULL, NULL, "{\"data\":{\"__type\":null}}" },
        };

        check_rows(rows, ELEMENTSOF(rows));
}
END_TEST

/* HEAD, N times MIDDLE, N times BACK (may be ""), TAIL. Owned by the caller. */
static char *repeat(const char *head, const char *middle, size_t n, const char *back, const char *tail) {
        size_t size = strlen(head) + n * (strlen(middle) + strlen(back)) + strlen(tail) + 1;
        char *text = malloc(size), *end;

        ck_assert_ptr_nonnull(text);
        end = stpcpy(text, head);
        for (size_t i = 0; i < n; i++)
                end = stpcpy(end, middle);
        for (size_t i = 0; i < n; i++)
                end = stpcpy(end, back);
        strcpy(end, tail);
        return text;
}

static void check_repeat(const char *head, const char *middle, size_t n, const char *back, const char *tail,
                         const char *expected) {
        _cleanup_(freep) char *text = repeat(head, middle, n, back, tail);
        _cleanup_(freep) char *reply = answer(text, strlen(text), NULL, NULL);

        ck_assert_msg(strstr(reply, expected), "%.60s... gives %.300s but not %s", text, reply, expected);
}

START_TEST(limits) {
        /* 63 levels are fine by depth, and refused for what they ask */
        check_repeat("", "{a", GRAPHQL_DEPTH_MAX, "}", "", "Cannot query field");
        check_repeat("", "{a", GRAPHQL_DEPTH_MAX + 1, "}", "", "exceeded depth limit of 64");
        check_repeat("{a(b:", "[", 100000, "]", ")}", "exceeded depth limit of 64");
        check_repeat("{a(b:", "{c:", 100000, "}", ")}", "exceeded depth limit of 64");
        check_repeat("query($a:", "[", 100000, "]", "){a}", "exceeded depth limit of 64");
        check_repeat("", "...{", 100000, "}", "", "Unexpected ...");
        check_repeat("{", " a", GRAPHQL_TOKENS_MAX + 1, "", "}", "exceeded token limit of 50000");
        check_repeat("{", " __typename", GRAPHQL_SELECTIONS_MAX - 1, "", "}",
                     "{\"data\":{\"__typename\":\"Query\"}}");
        check_repeat("{", " __typename", GRAPHQL_SELECTIONS_MAX + 1, "", "}",
                     "operation has more than 10000 fields");
}
END_TEST

/* Each fragment spreads the next one twice: 2^30 fields from a kilobyte. */
START_TEST(fragment_bomb) {
        _cleanup_(freep) char *text = NULL, *reply = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);

        fprintf(out, "{ ...F0 }");
        for (int i = 0; i < 30; i++)
                fprintf(out, " fragment F%d on Query { ...F%d ...F%d }", i, i + 1, i + 1);
        fprintf(out, " fragment F30 on Query { __typename }");
        fclose(out);
        reply = answer(text, size, NULL, NULL);
        ck_assert_ptr_nonnull(strstr(reply, "operation has more than 10000 fields"));
}
END_TEST

/* Every prefix of a query with everything in it, and every byte of it replaced: no crash, an error or a
 * reply. */
START_TEST(mutilated) {
        static const char text[] =
                "query A($a: [String!]! = [\"x\"], $b: Boolean) @skip(if: true) { r: configuration() "
                "{ ...F ... on X @include(if: $b) { a(b: -1.5e3, c: {d: null}) } } } # c\n"
                "fragment F on Configuration { token { token } s(x: \"\"\" y \\\"\"\" \"\"\") }";
        char copy[sizeof(text)];

        for (size_t n = 0; n < sizeof(text); n++)
                free(answer(text, n, NULL, NULL));
        for (size_t at = 0; at + 1 < sizeof(text); at++)
                for (const char *c = "\"\\{}()$!.\n\x01\xff"; *c; c++) {
                        memcpy(copy, text, sizeof(text));
                        copy[at] = *c;
                        free(answer(copy, sizeof(text) - 1, NULL, NULL));
                }
}
END_TEST

static void check_query(struct query *query, unsigned refusal, enum operation kind, const char *message) {
        const char *found = json_string_value(json_object_get(json_array_get(query->errors, 0), "message"));

        ck_assert_uint_eq(query->refusal, refusal);
        ck_assert_int_eq((int)query->kind, (int)kind);
        ck_assert_msg(streq_null(found, message), "\"%s\", not \"%s\"", found, message);
        query_clear(query);
}

#define NOT_DECODED "json request body could not be decoded: "

START_TEST(bodies) {
        static const struct {
                const char *content_type, *body;
                unsigned refusal;
                enum operation kind;
                const char *message;
        } rows[] = {
                { "application/json", "{", 400, OPERATION_KIND_OTHER, NOT_DECODED "unexpected EOF body:{" },
                { "application/json", "", 400, OPERATION_KIND_OTHER, NOT_DECODED "EOF body:" },
                { "application/json", " \n", 400, OPERATION_KIND_OTHER, NOT_DECODED "EOF body: \n" },
                { "application/json", "query", 400, OPERATION_KIND_OTHER,
                  NOT_DECODED "invalid character 'q' looking for beginning of value body:query" },
                { "application/json", "[]", 400, OPERATION_KIND_OTHER,
                  NOT_DECODED
                  "json: cannot unmarshal array into Go value of type graphql.RawParams body:[]" },
                { "application/json", "{\"query\":1}", 400, OPERATION_KIND_OTHER,
                  NOT_DECODED
                  "json: cannot unmarshal number into Go struct field RawParams.query of type string "
                  "body:{\"query\":1}" },
                { "text/plain", "{\"query\":\"{__typename}\"}", 400, OPERATION_KIND_OTHER,
                  "transport not supported" },
                { NULL, "", 400, OPERATION_KIND_OTHER, "transport not supported" },
                { "application/jsonx", "", 400, OPERATION_KIND_OTHER, "transport not supported" },
                { "application/json", "{}", 422, OPERATION_KIND_OTHER, "no operation provided" },
                { "application/json", "null", 422, OPERATION_KIND_OTHER, "no operation provided" },
                { "application/json", "{\"query\":\"{__typename}\"} rest", 0, OPERATION_KIND_PROBE, NULL },
                { "Application/JSON ; charset=utf-8", "{\"query\":\"{configuration{token{token}}}\"}", 0,
                  OPERATION_KIND_CONFIGURATION, NULL },
                { "application/json",
                  "{\"query\":\"mutation($csr:String!){x:" SIGN "(csr:$csr){caCertificate}}\"}", 422,
                  OPERATION_KIND_SIGN, "must be defined" },
                { "application/json", "{\"query\":\"mutation{...{revokeCertificate}}\",\"variables\":null}",
                  0, OPERATION_KIND_REVOKE, NULL },
        };
        struct query query;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                ck_assert_int_eq(
                        query_read_post(rows[i].content_type, rows[i].body, strlen(rows[i].body), &query), 0);
                check_query(&query, rows[i].refusal, rows[i].kind, rows[i].message);
        }
        ck_assert_int_eq(query_read_post("application/json", "\xff{", 2, &query), 0);
        check_query(&query, 400, OPERATION_KIND_OTHER,
                    NOT_DECODED "invalid character '?' looking for beginning of value body:\xef\xbf\xbd{");
}
END_TEST

START_TEST(get_requests) {
        struct query query;

        ck_assert_int_eq(query_read_get(NULL, NULL, NULL, &query), 0);
        check_query(&query, 422, OPERATION_KIND_OTHER, "no operation provided");
        ck_assert_int_eq(query_read_get("mutation { revokeCertificate }", NULL, NULL, &query), 0);
        check_query(&query, 406, OPERATION_KIND_REVOKE, "GET requests only allow query operations");
        ck_assert_int_eq(query_read_get("{ __typename }", NULL, "[]", &query), 0);
        check_query(&query, 400, OPERATION_KIND_OTHER, "variables could not be decoded");
        ck_assert_int_eq(query_read_get("query A { __typename }", "A", "{}", &query), 0);
        check_query(&query, 0, OPERATION_KIND_PROBE, NULL);
}
END_TEST

TEST_MAIN("graphql", syntax_errors, validation_errors, replies, introspection, limits, fragment_bomb,
          mutilated, bodies, get_requests)
