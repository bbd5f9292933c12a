/*
 * The table of faults. A row says where a fault strikes, which operations it makes sense for, and which
 * parameters it takes with which defaults; arming, listing and refusing wrong requests all work from it, so a
 * new fault is a row here and its effect at the stage that it names.
 */

#include "devconnector/fault-table.h"

#include <stdio.h>

#include "lib/util/parse.h"
#include "lib/util/text-stream.h"

#define AT(operation) (1u << OPERATION_KIND_##operation)
#define AT_ANY        ((1u << OPERATION_KIND_MAX) - 1)

const char *const endpoint_names[ENDPOINT_MAX] = {
        [ENDPOINT_CERTIFICATE] = "certificate",
        [ENDPOINT_TOKEN] = "token",
};

const char *const protocol_names[PROTOCOL_MAX] = {
        [PROTOCOL_COMPASS] = "compass",
        [PROTOCOL_CONNECTOR_SERVICE] = "connector-service",
};

const char *const operation_kind_names[OPERATION_KIND_MAX] = {
        [OPERATION_KIND_CONFIGURATION] = "configuration",
        [OPERATION_KIND_SIGN] = "sign",
        [OPERATION_KIND_REVOKE] = "revoke",
        [OPERATION_KIND_PROBE] = "probe",
        [OPERATION_KIND_OTHER] = "other",
};

/* clang-format off */
#define TEXT(name, fallback)     { name, PARAMETER_TEXT, fallback, 0, 0 }
#define DURATION(name, fallback) { name, PARAMETER_DURATION, fallback, 0, 0 }
#define NUMBER(name, fallback, min, max) { name, PARAMETER_NUMBER, fallback, min, max }
#define FLAG(name)               { name, PARAMETER_FLAG, NULL, 0, 0 }
#define FAULT(kind, name, stage, operations, ...) \
        [FAULT_##kind] = { name, FAULT_STAGE_##stage, operations, NULL, { __VA_ARGS__ } }
#define FAULT_COMPASS(kind, name, stage, operations, why) \
        [FAULT_##kind] = { name, FAULT_STAGE_##stage, operations, why, { { 0 } } }

/* clang-format on */

const struct fault_row fault_rows[FAULT_KIND_MAX] = {
        FAULT(TLS_CLOSE, "tls-close", TLS, AT_ANY, TEXT("when", "during")),
        FAULT(REFUSE_CERTIFICATE, "refuse-certificate", TLS, AT_ANY),
        FAULT(DELAY, "delay", PAUSE, AT_ANY, DURATION("delay", "1s")),
        FAULT(HOLD, "hold", PAUSE, AT_ANY),
        FAULT(STATUS, "status", GATEWAY, AT_ANY, NUMBER("status", "503", 200, 599), TEXT("body", ""),
              FLAG("burn_token")),
        FAULT_COMPASS(TIMEOUT, "timeout-503", CALL, AT_ANY, "the older service has no such time limit"),
        FAULT(BAD_GATEWAY, "bad-gateway-502", GATEWAY, AT_ANY, FLAG("burn_token")),
        FAULT(EMPTY_400, "empty-400", GATEWAY, AT_ANY, FLAG("burn_token")),
        FAULT(HTML_400, "html-400", GATEWAY, AT_ANY, FLAG("burn_token")),
        FAULT(RATE_LIMIT, "rate-limit", GATEWAY, AT_ANY, FLAG("burn_token")),
        FAULT(RATE_LIMIT_RETRY_AFTER, "rate-limit-retry-after", GATEWAY, AT_ANY,
              DURATION("retry_after", "3s"), FLAG("burn_token")),
        FAULT(REDIRECT, "redirect", GATEWAY, AT_ANY, TEXT("location", "https://localhost/elsewhere"),
              FLAG("burn_token")),
        FAULT(LOGIN_PAGE, "login-page", GATEWAY, AT_ANY, NUMBER("status", "200", 200, 599),
              FLAG("burn_token")),
        FAULT_COMPASS(HYDRATOR_DOWN, "hydrator-down", GATEWAY, AT_ANY,
                      "no gateway asks the older service about tokens"),
        FAULT(CUT_CONNECTION, "cut-connection", CALL, AT_ANY, FLAG("executed")),
        FAULT(CUT_BODY, "cut-body", CALL, AT_ANY, TEXT("framing", "length")),
        FAULT(CLOSE, "close", CALL, AT_ANY),
        FAULT(GARBAGE, "garbage", CALL, AT_ANY),
        FAULT(NOT_JSON, "not-json", CALL, AT_ANY),
        FAULT(ENCODED_BODY, "encoded-body", CALL, AT_ANY, TEXT("as", "gzip")),
        FAULT(LONG_HEADER, "long-header", CALL, AT_ANY, NUMBER("bytes", "204800", 1, 16 << 20)),
        FAULT(OVERSIZED_BODY, "oversized-body", CALL, AT_ANY, NUMBER("bytes", "3145728", 0, 64 << 20)),
        FAULT(DEEP_NESTING, "deep-nesting", CALL, AT_ANY, NUMBER("depth", "64", 1, 1 << 20)),
        FAULT(GRAPHQL_ERROR, "graphql-error", CALL, AT_ANY, TEXT("message", "injected")),
        FAULT_COMPASS(DIRECTOR_DOWN, "director-down", CALL, AT(CONFIGURATION),
                      "the older service has no Director"),
        FAULT(OTHER_CLIENT, "other-client", CALL, AT(CONFIGURATION) | AT(SIGN),
              TEXT("client", "another-client")),
        FAULT(REVOKE_FAILS, "revoke-fails", CALL, AT(REVOKE)),
        FAULT(WRONG_KEY, "wrong-key", CALL, AT(SIGN)),
        FAULT(WRONG_SUBJECT, "wrong-subject", CALL, AT(SIGN),
              TEXT("subject", "C=DE,O=Org,OU=OrgUnit,CN=another-client")),
        FAULT(EXPIRED_LEAF, "expired-leaf", CALL, AT(SIGN), DURATION("by", "1h")),
        FAULT(NOT_YET_VALID_LEAF, "not-yet-valid-leaf", CALL, AT(SIGN), DURATION("by", "1h")),
        FAULT(SHORT_LIFETIME, "short-lifetime", CALL, AT(SIGN), DURATION("lifetime", "1s")),
        FAULT(OTHER_CA, "other-ca", CALL, AT(SIGN)),
        FAULT(MIXED_CA, "mixed-ca", CALL, AT(SIGN)),
        FAULT(TWO_LEAVES, "two-leaves", CALL, AT(SIGN)),
        FAULT(NO_CLIENT_AUTH, "no-client-auth", CALL, AT(SIGN)),
        FAULT(LONG_CHAIN, "long-chain", CALL, AT(SIGN), NUMBER("certificates", "11", 2, 200)),
        FAULT(WEAK_DIGEST, "weak-digest", CALL, AT(SIGN)),
        FAULT(WEAK_ISSUER, "weak-issuer", CALL, AT(SIGN)),
        FAULT(EMPTY_FIELD, "empty-field", CALL, AT_ANY, TEXT("field", "clientCertificate")),
        FAULT(MISSING_FIELD, "missing-field", CALL, AT_ANY, TEXT("field", "clientCertificate")),
        FAULT(NULL_FIELD, "null-field", CALL, AT_ANY, TEXT("field", "clientCertificate")),
        FAULT(GARBAGE_BASE64, "garbage-base64", CALL, AT_ANY, TEXT("field", "clientCertificate")),
        FAULT(SET_FIELD, "set-field", CALL, AT_ANY, TEXT("field", "clientCertificate"), TEXT("value", "")),
};

/* Texts that only some values make sense for. */
static const struct {
        const char *parameter;
        const char *values[3];
} choices[] = {
        { "when", { "during", "after" } },
        { "framing", { "length", "chunked" } },
        { "as", { "gzip", "utf-16", "mark" } },
};

/* The names that NAMES yields, for an error text. Owned by the caller; NULL: no memory. */
static char *list_names(const char *(*name_at)(size_t i)) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = text_stream_open(&text, &size);

        if (!out)
                return NULL;
        for (size_t i = 0; name_at(i); i++)
                fprintf(out, "%s%s", i > 0 ? ", " : "", name_at(i));
        fclose(out);
        return text;
}

static const char *fault_name_at(size_t i) {
        return i < FAULT_KIND_MAX ? fault_rows[i].name : NULL;
}

static const char *operation_name_at(size_t i) {
        if (i == OPERATION_KIND_MAX)
                return "any";
        return i < OPERATION_KIND_MAX ? operation_kind_names[i] : NULL;
}

static int read_kind(const json_t *request, enum fault_kind *ret, struct error *error) {
        const char *name = json_string_value(json_object_get(request, "fault"));
        _cleanup_(freep) char *known = NULL;

        for (int kind = 0; name && kind < FAULT_KIND_MAX; kind++)
                if (streq(name, fault_rows[kind].name)) {
                        *ret = (enum fault_kind)kind;
                        return 0;
                }
        known = list_names(fault_name_at);
        return error_set(error, -EINVAL, "\"fault\" must be one of %s",
                         known ? known : "those in the README");
}

static int read_operations(const json_t *request, const struct fault_row *row, unsigned *ret,
                           struct error *error) {
        const json_t *at = json_object_get(request, "at");
        const char *name = json_string_value(at);
        _cleanup_(freep) char *known = NULL;
        unsigned operations = 0;

        if (!at || (name && streq(name, "any"))) {
                *ret = row->operations;
                return 0;
        }
        for (unsigned i = 0; name && i < OPERATION_KIND_MAX; i++)
                if (streq(name, operation_kind_names[i]))
                        operations = 1u << i;
        if (operations == 0) {
                known = list_names(operation_name_at);
                return error_set(error, -EINVAL, "\"at\" must be one of %s",
                                 known ? known : "the operations");
        }
        if (row->stage == FAULT_STAGE_TLS)
                return error_set(error, -EINVAL,
                                 "\"at\": %s affects a connection, before any operation is known", row->name);
        if ((operations & row->operations) == 0)
                return error_set(error, -EINVAL, "\"at\": %s cannot affect %s", row->name, name);
        *ret = operations;
        return 0;
}

static int read_endpoints(const json_t *request, unsigned *ret, struct error *error) {
        const json_t *endpoint = json_object_get(request, "endpoint");
        const char *name = json_string_value(endpoint);

        if (!endpoint || (name && streq(name, "any"))) {
                *ret = (1u << ENDPOINT_MAX) - 1;
                return 0;
        }
        for (unsigned i = 0; name && i < ENDPOINT_MAX; i++)
                if (streq(name, endpoint_names[i])) {
                        *ret = 1u << i;
                        return 0;
                }
        return error_set(error, -EINVAL, "\"endpoint\" must be one of certificate, token, any");
}

static int read_protocols(const json_t *request, const struct fault_row *row, unsigned *ret,
                          struct error *error) {
        const json_t *protocol = json_object_get(request, "protocol");
        const char *name = json_string_value(protocol);
        unsigned all = 1u << PROTOCOL_COMPASS | (row->not_rest ? 0 : 1u << PROTOCOL_CONNECTOR_SERVICE);

        if (!protocol || (name && streq(name, "any"))) {
                *ret = all;
                return 0;
        }
        for (unsigned i = 0; name && i < PROTOCOL_MAX; i++) {
                if (!streq(name, protocol_names[i]))
                        continue;
                if (row->stage == FAULT_STAGE_TLS)
                        return error_set(
                                error, -EINVAL,
                                "\"protocol\": %s affects a connection, before any protocol is known",
                                row->name);
                if ((all & 1u << i) == 0)
                        return error_set(error, -EINVAL, "\"protocol\": %s cannot affect %s: %s", row->name,
                                         name, row->not_rest);
                *ret = 1u << i;
                return 0;
        }
        return error_set(error, -EINVAL, "\"protocol\" must be one of compass, connector-service, any");
}

static int read_count(const json_t *request, json_int_t *ret, struct error *error) {
        const json_t *count = json_object_get(request, "count");

        if (!count)
                return 0;
        if (!json_is_integer(count) || json_integer_value(count) < 1)
                return error_set(error, -EINVAL,
                                 "\"count\" must be a number from 1; without it a fault stays");
        *ret = json_integer_value(count);
        return 0;
}

const struct fault_parameter *fault_find_parameter(const struct fault_row *row, const char *name) {
        for (size_t i = 0; i < FAULT_PARAMETERS_MAX && row->parameters[i].name; i++)
                if (streq(row->parameters[i].name, name))
                        return &row->parameters[i];
        return NULL;
}

static int check_choice(const char *name, const char *text, struct error *error) {
        for (size_t i = 0; i < ELEMENTSOF(choices); i++) {
                const char *const *values = choices[i].values;

                if (streq(choices[i].parameter, name) && !streq(text, values[0]) && !streq(text, values[1]) &&
                    !streq_null(text, values[2]))
                        return error_set(error, -EINVAL, "\"%s\" must be %s%s%s or %s", name, values[0],
                                         values[2] ? ", " : "", values[2] ? values[1] : "",
                                         values[2] ? values[2] : values[1]);
        }
        return 0;
}

static int check_parameter(const struct fault_parameter *parameter, const json_t *value,
                           struct error *error) {
        usec_t ignored;

        switch (parameter->type) {
        case PARAMETER_TEXT:
                if (!json_is_string(value))
                        return error_set(error, -EINVAL, "\"%s\" must be a string", parameter->name);
                return check_choice(parameter->name, json_string_value(value), error);
        case PARAMETER_DURATION:
                if (!json_is_string(value) || parse_duration(json_string_value(value), &ignored) < 0)
                        return error_set(error, -EINVAL, "\"%s\" must be a duration like \"2s\"",
                                         parameter->name);
                return 0;
        case PARAMETER_NUMBER:
                if (!json_is_integer(value) || json_integer_value(value) < parameter->min ||
                    json_integer_value(value) > parameter->max)
                        return error_set(error, -EINVAL, "\"%s\" must be a number from %lld to %lld",
                                         parameter->name, (long long)parameter->min,
                                         (long long)parameter->max);
                return 0;
        case PARAMETER_FLAG:
                if (!json_is_boolean(value))
                        return error_set(error, -EINVAL, "\"%s\" must be true or false", parameter->name);
                return 0;
        }
        return 0;
}

static int check_members(const json_t *request, const struct fault_row *row, struct error *error) {
        static const char *const common[] = { "fault", "protocol", "at", "endpoint", "count" };
        const struct fault_parameter *p = row->parameters;
        const char *name;
        json_t *value;
        int r;

        json_object_foreach((json_t *)request, name, value) {
                const struct fault_parameter *parameter = fault_find_parameter(row, name);
                bool known = parameter != NULL;

                for (size_t i = 0; i < ELEMENTSOF(common); i++)
                        known = known || streq(name, common[i]);
                if (!known)
                        return error_set(error, -EINVAL,
                                         "\"%s\" is unknown; %s takes fault, protocol, at, endpoint, "
                                         "count%s%s%s%s%s%s",
                                         name, row->name, p[0].name ? ", " : "", p[0].name ? p[0].name : "",
                                         p[1].name ? ", " : "", p[1].name ? p[1].name : "",
                                         p[2].name ? ", " : "", p[2].name ? p[2].name : "");
                if (!parameter)
                        continue;
                r = check_parameter(parameter, value, error);
                if (r < 0)
                        return r;
        }
        return 0;
}

int fault_request_read(const json_t *request, struct fault_request *ret, struct error *error) {
        struct fault_request read = { 0 };
        int r;

        r = read_kind(request, &read.kind, error);
        if (r < 0)
                return r;
        r = read_operations(request, &fault_rows[read.kind], &read.operations, error);
        if (r < 0)
                return r;
        r = read_endpoints(request, &read.endpoints, error);
        if (r < 0)
                return r;
        r = read_protocols(request, &fault_rows[read.kind], &read.protocols, error);
        if (r < 0)
                return r;
        r = read_count(request, &read.count, error);
        if (r < 0)
                return r;
        r = check_members(request, &fault_rows[read.kind], error);
        if (r < 0)
                return r;
        *ret = read;
        return 0;
}
