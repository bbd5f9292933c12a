/*
 * The compass protocol against what a Connector has answered: the files in data/compass hold its error
 * replies to the byte, and its successful ones in the same shape. Each refusal is checked for its class and
 * for its sentence.
 */

#include "lib/compass.h"

#include <fcntl.h>
#include <jansson.h>

#include "lib/util/base64.h"
#include "lib/util/files.h"

#include "tests/test.h"

#define TOKEN   "ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1-f4CBgoOEhYaHiImKi4yNjo-QkZKTlJWWl5iZmpucnZ6foKGiow=="
#define SUBJECT "O=Org,OU=OrgUnit,L=locality,ST=province,C=DE,CN=7defcb65-9d2e-41b3-8cf4-bb727d0a8bf7"

static char *data_read(const char *name, size_t *ret_size) {
        const char *folder = getenv("REKEYD_TEST_DATA");
        char path[4096], *data = NULL;

        snprintf(path, sizeof(path), "%s/compass/%s", folder ? folder : "tests/data", name);
        ck_assert_msg(file_read_at(AT_FDCWD, path, FILE_FOLLOW, 1 << 20, &data, ret_size) == 0, "%s", path);
        return data;
}

/* The four calls under one roof: what one refuses, each refuses. */
enum call { CONFIGURATION, CERTIFICATES, REVOCATION, PROBE, N_CALLS };

static int read_reply(enum call call, const struct compass_reply *reply, struct error *error) {
        _cleanup_(compass_configuration_clear) struct compass_configuration configuration = { 0 };
        _cleanup_(compass_certificates_clear) struct compass_certificates certificates = { 0 };

        switch (call) {
        case CONFIGURATION:
                return compass_read_configuration(reply, &configuration, error);
        case CERTIFICATES:
                return compass_read_certificates(reply, &certificates, error);
        case REVOCATION:
                return compass_read_revocation(reply, error);
        default:
                return compass_read_probe(reply, error);
        }
}

static int read_text(enum call call, unsigned status, const char *body, struct error *error) {
        struct compass_reply reply = { status, body, strlen(body) };

        return read_reply(call, &reply, error);
}

static bool is_one_sentence(const char *text) {
        for (const char *s = text; *s; s++)
                if (*s < ' ' || *s > '~')
                        return false;
        return *text && strlen(text) < 600;
}

START_TEST(test_replies_of_a_connector) {
        static const struct {
                unsigned status;
                const char *file;
                int failure;
                const char *error;
        } rows[] = {
                { 200, "refused-pem.json", FAILURE_REFUSED,
                  "the Connector refuses the call: \"Error while signing Certificate Signing Request: Error "
                  "while"
                  " decoding pem block.\"" },
                { 200, "refused-base64.json", FAILURE_REFUSED, "Incorrect value provided." },
                { 200, "refused-key-type.json", FAILURE_REFUSED,
                  "requested SignatureAlgorithm does not match private key type" },
                { 200, "refused-common-name.json", FAILURE_REFUSED, "CSR: Invalid common name provided." },
                { 200, "refused-country.json", FAILURE_REFUSED, "CSR: No country provided." },
                { 200, "refused-signature.json", FAILURE_REFUSED, "crypto/rsa: verification error" },
                { 200, "refused-revocation.json", FAILURE_REFUSED, "Failed to add hash to revocation list" },
                { 200, "configuration-partial.json", FAILURE_REFUSED,
                  "the Connector refuses the call: \"boom\"" },
                { 200, "director-consumer.json", COMPASS_DIRECTOR_DOWN,
                  "No token generation for consumer type Integration System" },
                { 200, "director-500.json", COMPASS_DIRECTOR_DOWN,
                  "server returned a non-200 status code: 500" },
                { 200, "director-boom.json", COMPASS_DIRECTOR_DOWN, "graphql: boom" },
                { 422, "422-invalid.json", FAILURE_REFUSED,
                  "the Connector refuses the call, HTTP status 422: \"Unexpected <Invalid>\"" },
                { 422, "422-syntax.json", FAILURE_REFUSED, "Expected Name, found <EOF>" },
                { 422, "422-field.json", FAILURE_REFUSED, "Cannot query field \"nope\" on type \"Query\"." },
                { 422, "422-variable.json", FAILURE_REFUSED, "must be defined" },
                { 422, "422-no-query.json", FAILURE_REFUSED, "no operation provided" },
                { 400, "400-not-json.json", FAILURE_REFUSED, "json request body could not be decoded" },
                { 400, "400-transport.json", FAILURE_REFUSED,
                  "HTTP status 400: \"transport not supported\"" },
                { 406, "406-get.json", FAILURE_REFUSED, "GET requests only allow query operations" },
                { 404, "404-gateway.json", FAILURE_REFUSED, "Requested url does not match any rules" },
                { 404, "404.html", FAILURE_REFUSED, "nothing answers the call at this URL, HTTP status 404" },
                { 403, "403.html", FAILURE_REFUSED, "the Connector denies access, HTTP status 403" },
                { 413, "413.html", FAILURE_REFUSED, "the Connector refuses the call, HTTP status 413" },
                { 400, "400-certificate-error.html", FAILURE_REJECTED, "\"The SSL certificate error\"" },
                { 400, "400-no-certificate.html", FAILURE_REJECTED,
                  "\"No required SSL certificate was sent\"" },
                { 503, "503-timeout.json", FAILURE_TRANSIENT,
                  "the Connector cannot answer now, HTTP status 503: \"operation has timed out\"" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *body = NULL;
                struct compass_reply reply = { .status = rows[i].status };

                body = data_read(rows[i].file, &reply.size);
                reply.body = body;
                for (enum call call = 0; call < N_CALLS; call++) {
                        _cleanup_(error_clear) struct error error = ERROR_INIT;
                        int expected = rows[i].failure;

                        /* Only for `configuration` is there something to fall back on. */
                        if (expected == COMPASS_DIRECTOR_DOWN && call != CONFIGURATION)
                                expected = FAILURE_REFUSED;
                        ck_assert_msg(read_reply(call, &reply, &error) == expected, "%s: %s", rows[i].file,
                                      error_text(&error));
                        ck_assert_msg(strstr(error_text(&error), rows[i].error), "%s: %s", rows[i].file,
                                      error_text(&error));
                        ck_assert_msg(is_one_sentence(error_text(&error)), "%s", error_text(&error));
                        ck_assert_int_lt(error.code, 0);
                        ck_assert_int_eq(read_reply(call, &reply, NULL), expected);
                }
        }
}
END_TEST

START_TEST(test_statuses) {
        static const struct {
                unsigned status;
                const char *body;
                int failure;
        } rows[] = {
                { 400, "", FAILURE_TRANSIENT },
                { 400, " \r\n", FAILURE_TRANSIENT },
                { 400, "x", FAILURE_REFUSED },
                { 400, "<html>The plain HTTP request was sent to HTTPS port</html>", FAILURE_REFUSED },
                { 401, "", FAILURE_REFUSED },
                { 403, "", FAILURE_REFUSED },
                { 405, "", FAILURE_REFUSED },
                { 408, "", FAILURE_TRANSIENT },
                { 409, "", FAILURE_REFUSED },
                { 429, "", FAILURE_TRANSIENT },
                { 499, "", FAILURE_REFUSED },
                { 500, "", FAILURE_TRANSIENT },
                { 502, "", FAILURE_TRANSIENT },
                { 503, "<html>", FAILURE_TRANSIENT },
                { 503, "{\"errors\":[{\"message\":\"x\"}]}", FAILURE_TRANSIENT },
                { 599, "", FAILURE_TRANSIENT },
                { 600, "", FAILURE_BAD_REPLY },
                { 301, "", FAILURE_BAD_REPLY },
                { 308, "{\"data\":{\"__typename\":\"Query\",\"result\":true}}", FAILURE_BAD_REPLY },
                { 204, "", FAILURE_BAD_REPLY },
                { 201, "{\"data\":{\"__typename\":\"Query\",\"result\":true}}", FAILURE_BAD_REPLY },
                { 100, "", FAILURE_BAD_REPLY },
                { 0, "", FAILURE_BAD_REPLY },
                { 200, "", FAILURE_BAD_REPLY },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                for (enum call call = 0; call < N_CALLS; call++) {
                        _cleanup_(error_clear) struct error error = ERROR_INIT;
                        char number[16];

                        ck_assert_msg(read_text(call, rows[i].status, rows[i].body, &error) ==
                                              rows[i].failure,
                                      "row %zu: %s", i, error_text(&error));
                        snprintf(number, sizeof(number), "%u", rows[i].status);
                        if (rows[i].status != 200)
                                ck_assert_msg(strstr(error_text(&error), number), "%s", error_text(&error));
                }

        /* No body at all */
        ck_assert_int_eq(compass_read_probe(&(struct compass_reply) { .status = 400 }, NULL),
                         FAILURE_TRANSIENT);
        ck_assert_int_eq(compass_read_probe(&(struct compass_reply) { .status = 200 }, NULL),
                         FAILURE_BAD_REPLY);
        ck_assert_int_eq(compass_read_probe(&(struct compass_reply) { .status = 503 }, NULL),
                         FAILURE_TRANSIENT);
}
END_TEST

START_TEST(test_not_graphql) {
        static const struct {
                const char *body, *error;
        } rows[] = {
                { "<html>", "the Connector's reply cannot be read: it is not JSON at line 1" },
                { "[]", "it is not a JSON object" },
                { "{\"data\":{\"result\":true", "it ends too early" },
                { "{\"data\":{\"result\":true}}}", "something follows its end" },
                { "{\"data\":{\"result\":true,\"result\":true}}", "a key occurs twice" },
                { "{\"data\":{\"result\":\"\\u0000\"}}", "a string holds a NUL" },
                { "{}", "data is missing" },
                { "{\"data\":null}", "data is null" },
                { "{\"data\":[]}", "data is not an object" },
                { "{\"data\":true}", "data is not an object" },
                { "{\"errors\":{},\"data\":{}}", "errors is not a list" },
                { "{\"errors\":\"x\",\"data\":{}}", "errors is not a list" },
                { "{\"errors\":[],\"data\":null}", "data is null" },
                { "{\"errors\":null,\"data\":null}", "data is null" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                for (enum call call = 0; call < N_CALLS; call++) {
                        _cleanup_(error_clear) struct error error = ERROR_INIT;

                        ck_assert_int_eq(read_text(call, 200, rows[i].body, &error), FAILURE_BAD_REPLY);
                        ck_assert_msg(strstr(error_text(&error), rows[i].error), "row %zu: %s", i,
                                      error_text(&error));
                }
}
END_TEST

START_TEST(test_errors_without_a_message) {
        static const char *const bodies[] = {
                "{\"errors\":[{}]}",
                "{\"errors\":[null]}",
                "{\"errors\":[\"x\"]}",
                "{\"errors\":[{\"message\":\"\"}],\"data\":{\"result\":true,\"__typename\":\"Query\"}}",
                "{\"errors\":[{\"message\":7}]}",
        };

        for (size_t i = 0; i < ELEMENTSOF(bodies); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;

                ck_assert_int_eq(read_text(PROBE, 200, bodies[i], &error), FAILURE_REFUSED);
                ck_assert_str_eq(error_text(&error), "the Connector refuses the call and does not say why");
        }
}
END_TEST

START_TEST(test_limits) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *body = NULL;
        struct compass_reply reply = { .status = 200 };

        body = malloc(COMPASS_REPLY_MAX + 1);
        ck_assert_ptr_nonnull(body);
        memset(body, ' ', COMPASS_REPLY_MAX + 1);
        memcpy(body, "{\"data\":{\"__typename\":\"Query\"}}", 31);
        reply.body = body;

        reply.size = COMPASS_REPLY_MAX;
        ck_assert_int_eq(compass_read_probe(&reply, &error), 0);
        reply.size++;
        ck_assert_int_eq(compass_read_probe(&reply, &error), FAILURE_BAD_REPLY);
        ck_assert_msg(strstr(error_text(&error), "it is too large (1048577 bytes"), "%s", error_text(&error));

        /* A megabyte of brackets must cost neither stack nor time. */
        memset(body, '[', COMPASS_REPLY_MAX);
        reply.size = COMPASS_REPLY_MAX;
        ck_assert_int_eq(compass_read_probe(&reply, &error), FAILURE_BAD_REPLY);
        ck_assert_msg(strstr(error_text(&error), "nested too deeply"), "%s", error_text(&error));
        reply.status = 422;
        ck_assert_int_eq(compass_read_probe(&reply, &error), FAILURE_REFUSED);
}
END_TEST

/* A successful reply with one value changed or taken away: PATH leads to it from the root, VALUE is JSON or
 * NULL. */
static char *with(const char *file, const char *path, const char *value) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(freep) char *text = NULL, *keys = NULL;
        json_t *object;
        char *key, *next, *body;
        size_t size;

        text = data_read(file, &size);
        root = json_loadb(text, size, 0, NULL);
        ck_assert_ptr_nonnull(root);
        keys = strdup(path);
        ck_assert_ptr_nonnull(keys);

        object = root;
        for (key = keys; (next = strchr(key, '/')); key = next + 1) {
                *next = '\0';
                object = json_object_get(object, key);
                ck_assert_msg(json_is_object(object), "%s", path);
        }
        ck_assert_ptr_nonnull(json_object_get(object, key));
        if (value)
                ck_assert_int_eq(json_object_set_new(object, key, json_loads(value, JSON_DECODE_ANY, NULL)),
                                 0);
        else
                ck_assert_int_eq(json_object_del(object, key), 0);

        body = json_dumps(root, JSON_COMPACT);
        ck_assert_ptr_nonnull(body);
        return body;
}

#define CSR_INFO "data/result/certificateSigningRequestInfo"
#define PLANE    "data/result/managementPlaneInfo"

/* What a field may not be; the empty string stands for "may be". Missing, null, of another type, empty,
 * nonsense. */
struct field {
        enum call call;
        const char *file, *path, *name;
        const char *missing, *null, *wrong, *empty, *nonsense;
};
static const struct field fields[] = {
        { CONFIGURATION, "configuration.json", "data/result", "result", "missing", "null", "not an object",
          "not an object", "not an object" },
        { CONFIGURATION, "configuration.json", "data/result/token", "token", "", "", "not an object",
          "not an object", "not an object" },
        { CONFIGURATION, "configuration.json", "data/result/token/token", "token.token", "missing", "null",
          "not a string", "empty", "not a token" },
        { CONFIGURATION, "configuration.json", CSR_INFO, "certificateSigningRequestInfo", "missing", "null",
          "not an object", "not an object", "not an object" },
        { CONFIGURATION, "configuration.json", CSR_INFO "/subject", "certificateSigningRequestInfo.subject",
          "missing", "null", "not a string", "empty", "" },
        { CONFIGURATION, "configuration.json", CSR_INFO "/keyAlgorithm",
          "certificateSigningRequestInfo.keyAlgorithm", "", "", "not a string", "empty", "" },
        { CONFIGURATION, "configuration.json", PLANE, "managementPlaneInfo", "", "", "not an object",
          "not an object", "not an object" },
        { CONFIGURATION, "configuration.json", PLANE "/directorURL", "managementPlaneInfo.directorURL", "",
          "", "not a string", "empty", "" },
        { CONFIGURATION, "configuration.json", PLANE "/certificateSecuredConnectorURL",
          "managementPlaneInfo.certificateSecuredConnectorURL", "", "", "not a string", "empty", "" },
        { CERTIFICATES, "certificates.json", "data/result", "result", "missing", "null", "not an object",
          "not an object", "not an object" },
        { CERTIFICATES, "certificates.json", "data/result/certificateChain", "certificateChain", "missing",
          "null", "not a string", "empty", "not base64" },
        { CERTIFICATES, "certificates.json", "data/result/caCertificate", "caCertificate", "missing", "null",
          "not a string", "empty", "not base64" },
        { CERTIFICATES, "certificates.json", "data/result/clientCertificate", "clientCertificate", "missing",
          "null", "not a string", "empty", "not base64" },
        { REVOCATION, "revoked.json", "data/result", "result", "missing", "null", "neither true nor false",
          "neither true nor false", "neither true nor false" },
        { PROBE, "probe.json", "data/__typename", "__typename", "missing", "null", "not a string", "empty",
          "" },
};

START_TEST(test_each_field) {
        for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
                const struct field *field = &fields[i];
                const struct {
                        const char *value, *wrong;
                } changes[] = {
                        { NULL, field->missing }, { "null", field->null }, { "17", field->wrong },
                        { "\"\"", field->empty }, { "[]", field->wrong },  { "\"a b\"", field->nonsense },
                };

                for (size_t j = 0; j < ELEMENTSOF(changes); j++) {
                        _cleanup_(error_clear) struct error error = ERROR_INIT;
                        _cleanup_(freep) char *body = NULL;
                        char expected[200];
                        int r;

                        body = with(field->file, field->path, changes[j].value);
                        r = read_text(field->call, 200, body, &error);
                        if (strempty(changes[j].wrong)) {
                                ck_assert_msg(r == 0, "%s, change %zu: %s", field->name, j,
                                              error_text(&error));
                                continue;
                        }
                        snprintf(expected, sizeof(expected), "the Connector's reply cannot be used: %s is %s",
                                 field->name, changes[j].wrong);
                        ck_assert_msg(r == FAILURE_BAD_REPLY && streq(error_text(&error), expected),
                                      "%s, change %zu: %s", field->name, j, error_text(&error));
                }
        }
}
END_TEST

START_TEST(test_base64_that_holds_no_pem) {
        static const char *const values[] = {
                "\"aGVsbG8=\"",                                 /* hello */
                "\"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tAAAA\"", /* a PEM header, then NULs */
                "\"MIIEVTCCAj2gAwIBAgIBAg==\"",                 /* DER */
        };
        static const char *const broken[] = {
                "\"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg=\"",     /* padding cut */
                "\"LS0tLS1CRUdJTiBD\\nRVJUSUZJQ0FURS0tLS0tCg==\"", /* two lines */
                "\"-----BEGIN CERTIFICATE-----\"",                 /* bare PEM */
        };

        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                _cleanup_(freep) char *body =
                        with("certificates.json", "data/result/clientCertificate", values[i]);

                ck_assert_int_eq(read_text(CERTIFICATES, 200, body, &error), FAILURE_BAD_REPLY);
                ck_assert_msg(strstr(error_text(&error), "clientCertificate is not PEM in base64"), "%s",
                              error_text(&error));
        }
        for (size_t i = 0; i < ELEMENTSOF(broken); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                _cleanup_(freep) char *body =
                        with("certificates.json", "data/result/clientCertificate", broken[i]);

                ck_assert_int_eq(read_text(CERTIFICATES, 200, body, &error), FAILURE_BAD_REPLY);
                ck_assert_msg(strstr(error_text(&error), "clientCertificate is not base64"), "%s",
                              error_text(&error));
        }
}
END_TEST

START_TEST(test_tokens_fit_a_header) {
        static const char *const values[] = { "\"a\\r\\nHost: evil\"", "\"a\\tb\"", "\"\\u007f\"",
                                              "\"t\xc3\xb6ken\"" };
        char value[4200];

        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                _cleanup_(freep) char *body =
                        with("configuration.json", "data/result/token/token", values[i]);

                ck_assert_int_eq(read_text(CONFIGURATION, 200, body, NULL), FAILURE_BAD_REPLY);
        }

        for (int length = 4096; length <= 4097; length++) {
                _cleanup_(freep) char *body = NULL;

                memset(value, 'a', sizeof(value));
                value[0] = value[length + 1] = '"';
                value[length + 2] = '\0';
                body = with("configuration.json", "data/result/token/token", value);
                ck_assert_int_eq(read_text(CONFIGURATION, 200, body, NULL),
                                 length == 4096 ? 0 : FAILURE_BAD_REPLY);
        }
}
END_TEST

START_TEST(test_revocation_that_did_not_happen) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        ck_assert_int_eq(read_text(REVOCATION, 200, "{\"data\":{\"result\":false}}", &error),
                         FAILURE_REFUSED);
        ck_assert_str_eq(error_text(&error), "the Connector did not revoke the certificate: result is false");
}
END_TEST

START_TEST(test_quotations) {
        static const struct {
                const char *message, *quoted;
        } rows[] = {
                { "a\\nb\\tc\\u001b[31m\\u007f", "a?b?c?[31m?" },
                { "\\u2028\\u202e",
                  "??????" }, /* a line separator and a right-to-left override, byte by byte */
                { "it\xc3\xa4", "it??" },
                { "token " TOKEN " is used", "token [...] is used" },
                { TOKEN TOKEN, "[...]" },
                { "CN=7defcb65-9d2e-41b3-8cf4-bb727d0a8bf7", "CN=7defcb65-9d2e-41b3-8cf4-bb727d0a8bf7" },
                { "bearer=eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9abcdefgh", "[...]" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                char body[400], expected[400];

                snprintf(body, sizeof(body), "{\"errors\":[{\"message\":\"%s\"}],\"data\":null}",
                         rows[i].message);
                snprintf(expected, sizeof(expected), "the Connector refuses the call: \"%s\"",
                         rows[i].quoted);
                ck_assert_int_eq(read_text(CERTIFICATES, 200, body, &error), FAILURE_REFUSED);
                ck_assert_str_eq(error_text(&error), expected);
        }
}
END_TEST

START_TEST(test_long_quotations) {
        /* A token that begins where the quotation ends must not be cut to a harmless length first. */
        for (size_t before = 0; before < 400; before++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                char message[1000] = "", body[1100];

                for (size_t i = 0; i < before; i++)
                        message[i] = i % 8 == 7 ? ' ' : 'x';
                snprintf(message + before, sizeof(message) - before, " " TOKEN " and so on and so on");
                snprintf(body, sizeof(body), "{\"errors\":[{\"message\":\"%s\"}]}", message);

                for (unsigned status = 200; status <= 500; status += 100) {
                        ck_assert_int_gt(read_text(PROBE, status, body, &error), 0);
                        ck_assert_msg(!strstr(error_text(&error), "ZGVm"), "%s", error_text(&error));
                        ck_assert_uint_le(strlen(error_text(&error)), 300 + 80);
                }
        }
}
END_TEST

START_TEST(test_errors_hold_no_token) {
        static const char *const paths[] = { CSR_INFO "/subject", PLANE "/directorURL", CSR_INFO };

        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                _cleanup_(freep) char *body = with("configuration.json", paths[i], "7");

                for (size_t size = 0; size <= strlen(body); size++) {
                        struct compass_reply reply = { 200, body, size };

                        ck_assert_int_eq(read_reply(CONFIGURATION, &reply, &error), FAILURE_BAD_REPLY);
                        ck_assert_msg(!strstr(error_text(&error), "ZGVm"), "%s", error_text(&error));
                        reply.status = 400;
                        ck_assert_int_gt(read_reply(CONFIGURATION, &reply, &error), 0);
                        ck_assert_msg(!strstr(error_text(&error), "ZGVm"), "%s", error_text(&error));
                }
        }
}
END_TEST

START_TEST(test_untouched_on_failure) {
        struct compass_configuration configuration;
        struct compass_certificates certificates;
        char before[sizeof(configuration)];
        struct compass_reply reply = { .status = 200 };
        _cleanup_(freep) char *no_url =
                with("configuration.json", PLANE "/certificateSecuredConnectorURL", "7");
        _cleanup_(freep) char *no_leaf = with("certificates.json", "data/result/clientCertificate", "\"x\"");

        memset(before, 0x5a, sizeof(before));
        memcpy(&configuration, before, sizeof(configuration));
        memcpy(&certificates, before, sizeof(certificates));

        reply.body = no_url;
        reply.size = strlen(no_url);
        ck_assert_int_eq(compass_read_configuration(&reply, &configuration, NULL), FAILURE_BAD_REPLY);
        ck_assert_mem_eq(&configuration, before, sizeof(configuration));

        reply.body = no_leaf;
        reply.size = strlen(no_leaf);
        ck_assert_int_eq(compass_read_certificates(&reply, &certificates, NULL), FAILURE_BAD_REPLY);
        ck_assert_mem_eq(&certificates, before, sizeof(certificates));
}
END_TEST

START_TEST(test_configuration) {
        _cleanup_(compass_configuration_clear) struct compass_configuration all = { 0 }, some = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *body = NULL, *less = NULL;
        struct compass_reply reply = { .status = 200 };

        reply.body = body = data_read("configuration.json", &reply.size);
        ck_assert_msg(compass_read_configuration(&reply, &all, &error) == 0, "%s", error_text(&error));
        ck_assert_str_eq(all.token, TOKEN);
        ck_assert_str_eq(all.subject, SUBJECT);
        ck_assert_str_eq(all.key_algorithm, "rsa2048");
        ck_assert_str_eq(all.director_url, "https://localhost:18443/director/graphql");
        ck_assert_str_eq(all.connector_url, "https://localhost:18444/connector/graphql");

        /* As asked for without the token and one URL */
        reply.body = less = data_read("configuration-no-token.json", &reply.size);
        ck_assert_int_eq(compass_read_configuration(&reply, &some, &error), 0);
        ck_assert_ptr_null(some.token);
        ck_assert_str_eq(some.subject, SUBJECT);
        ck_assert_str_eq(some.director_url, "https://localhost:18443/director/graphql");
        ck_assert_ptr_null(some.connector_url);

        compass_configuration_clear(&all);
        ck_assert_ptr_null(all.token);
        ck_assert_ptr_null(all.subject);
}
END_TEST

/* How often NEEDLE stands in the heap as it is now, freed parts included. (Sanitizers and valgrind keep their
 * heap elsewhere; there this finds nothing.) */
static unsigned heap_count(const char *needle, size_t size) {
        FILE *maps = fopen("/proc/self/maps", "re");
        char line[512];
        unsigned count = 0;

        ck_assert_ptr_nonnull(maps);
        while (fgets(line, sizeof(line), maps)) {
                unsigned long start, end;

                if (!strstr(line, "[heap]") || sscanf(line, "%lx-%lx", &start, &end) != 2)
                        continue;
                for (const char *at = (const char *)start;
                     (at = memmem(at, (size_t)((const char *)end - at), needle, size)); at++)
                        count++;
        }
        fclose(maps);
        return count;
}

START_TEST(test_tokens_are_cleansed) {
        static char body[1024], needle[64];
        struct compass_configuration configuration;
        struct compass_reply reply = { 200, body, 0 };

        /* One that occurs nowhere else: the other tests leave theirs behind. */
        for (size_t i = 0; i < sizeof(needle) - 1; i++)
                needle[i] = (char)('A' + i * i % 23);
        snprintf(body, sizeof(body),
                 "{\"data\":{\"result\":{\"token\":{\"token\":\"%s\"},\"certificateSigningRequestInfo\":"
                 "{\"subject\":\"CN=x\",\"keyAlgorithm\":\"rsa2048\"}}}}",
                 needle);
        reply.size = strlen(body);

        ck_assert_int_eq(compass_read_configuration(&reply, &configuration, NULL), 0);
        ck_assert_str_eq(configuration.token, needle);
        compass_configuration_clear(&configuration);
        ck_assert_uint_eq(heap_count(needle + 16, 24), 0); /* malloc() puts two pointers into what is free */

        /* Not parsed to the end, with a partial reply, and refused */
        for (reply.size = 0; reply.size <= strlen(body); reply.size += 7)
                ck_assert_int_eq(read_reply(PROBE, &reply, NULL), FAILURE_BAD_REPLY);
        reply.size = strlen(body);
        reply.status = 400;
        ck_assert_int_eq(read_reply(CONFIGURATION, &reply, NULL), FAILURE_REFUSED);
        ck_assert_uint_eq(heap_count(needle + 16, 24), 0);
}
END_TEST

START_TEST(test_certificates) {
        _cleanup_(compass_certificates_clear) struct compass_certificates certificates = { 0 };
        _cleanup_(freep) char *body = NULL, *whole = NULL;
        struct compass_reply reply = { .status = 200 };

        reply.body = body = data_read("certificates.json", &reply.size);
        ck_assert_uint_gt(reply.size, 2048);
        ck_assert_int_eq(compass_read_certificates(&reply, &certificates, NULL), 0);
        ck_assert(has_prefix(certificates.chain, "-----BEGIN CERTIFICATE-----\nMII"));
        ck_assert_int_gt(asprintf(&whole, "%s%s", certificates.leaf, certificates.ca), 0);
        ck_assert_str_eq(certificates.chain, whole);
        ck_assert_str_ne(certificates.leaf, certificates.ca);
}
END_TEST

START_TEST(test_revocation_and_probe) {
        static const struct {
                enum call call;
                const char *file;
        } rows[] = { { REVOCATION, "revoked.json" }, { PROBE, "probe.json" } };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *body = NULL;
                struct compass_reply reply = { .status = 200 };

                reply.body = body = data_read(rows[i].file, &reply.size);
                ck_assert_int_eq(read_reply(rows[i].call, &reply, NULL), 0);
        }

        /* Members that a later version adds do no harm, nor does an empty list of errors. */
        ck_assert_int_eq(
                read_text(REVOCATION, 200,
                          "{\"errors\":[],\"extensions\":{\"x\":1},\"data\":{\"result\":true,\"y\":[]}}",
                          NULL),
                0);
        ck_assert_int_eq(read_text(PROBE, 200, "{\"errors\":null,\"data\":{\"__typename\":\"Query\"}}", NULL),
                         0);
}
END_TEST

START_TEST(test_requests) {
        _cleanup_(freep) char *configuration = NULL, *revoke = NULL, *probe = NULL;

        ck_assert_int_eq(compass_request_configuration(&configuration), 0);
        ck_assert_str_eq(
                configuration,
                "{\"query\":\"query { result: configuration { token { token } certificateSigningRequestInfo"
                " { subject keyAlgorithm } managementPlaneInfo { directorURL"
                " certificateSecuredConnectorURL } } }\"}");
        ck_assert_int_eq(compass_request_revoke(&revoke), 0);
        ck_assert_str_eq(revoke, "{\"query\":\"mutation { result: revokeCertificate }\"}");
        ck_assert_int_eq(compass_request_probe(&probe), 0);
        ck_assert_str_eq(probe, "{\"query\":\"query { __typename }\"}");
}
END_TEST

START_TEST(test_request_to_sign) {
        static const char csr[] =
                "-----BEGIN CERTIFICATE REQUEST-----\nMIIC\r\n\"\\\n-----END CERTIFICATE REQUEST-----\n";
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(freep) char *body = NULL, *back = NULL;
        const char *sent;
        size_t size;

        ck_assert_int_eq(compass_request_sign(csr, &body), 0);
        ck_assert(has_prefix(
                body,
                "{\"query\":\"mutation ($csr: String!) { result: signCertificateSigningRequest(csr: $csr)"
                " { certificateChain caCertificate clientCertificate } }\",\"variables\":{\"csr\":\"LS0t"));
        ck_assert_ptr_null(strchr(body, '\n'));

        root = json_loads(body, JSON_REJECT_DUPLICATES, NULL);
        ck_assert_ptr_nonnull(root);
        sent = json_string_value(json_object_get(json_object_get(root, "variables"), "csr"));
        ck_assert_ptr_nonnull(sent);
        ck_assert_int_eq(base64_decode(sent, strlen(sent), &back, &size), 0);
        ck_assert_str_eq(back, csr);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("compass");

        TEST_CASE(suite, test_replies_of_a_connector);
        TEST_CASE(suite, test_statuses);
        TEST_CASE(suite, test_not_graphql);
        TEST_CASE(suite, test_errors_without_a_message);
        TEST_CASE(suite, test_limits);
        TEST_CASE(suite, test_each_field);
        TEST_CASE(suite, test_base64_that_holds_no_pem);
        TEST_CASE(suite, test_tokens_fit_a_header);
        TEST_CASE(suite, test_revocation_that_did_not_happen);
        TEST_CASE(suite, test_quotations);
        TEST_CASE(suite, test_long_quotations);
        TEST_CASE(suite, test_errors_hold_no_token);
        TEST_CASE(suite, test_untouched_on_failure);
        TEST_CASE(suite, test_configuration);
        TEST_CASE(suite, test_tokens_are_cleansed);
        TEST_CASE(suite, test_certificates);
        TEST_CASE(suite, test_revocation_and_probe);
        TEST_CASE(suite, test_requests);
        TEST_CASE(suite, test_request_to_sign);
        return test_run(suite);
}
