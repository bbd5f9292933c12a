/*
 * The compass protocol against what a Connector has answered: the files in data/compass hold its error
 * replies to the byte, and its successful ones in the same shape. Each refusal is checked for its class and
 * for its sentence.
 */

#include "lib/protocol/compass.h"

#include "tests/test.h"
#include "tests/unit/protocol/compass-replies.h"

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
                { 200, "director-consumer.json", PROTOCOL_NO_CONFIGURATION,
                  "No token generation for consumer type Integration System" },
                { 200, "director-500.json", PROTOCOL_NO_CONFIGURATION,
                  "server returned a non-200 status code: 500" },
                { 200, "director-boom.json", PROTOCOL_NO_CONFIGURATION, "graphql: boom" },
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
                { 404, "404.html", FAILURE_REFUSED, "no endpoint at this URL, HTTP status 404" },
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
                struct protocol_reply reply = { .status = rows[i].status };

                body = data_read(rows[i].file, &reply.size);
                reply.body = body;
                for (enum call call = 0; call < N_CALLS; call++) {
                        _cleanup_(error_clear) struct error error = ERROR_INIT;
                        int expected = rows[i].failure;

                        /* Only for `configuration` is there something to fall back on. */
                        if (expected == PROTOCOL_NO_CONFIGURATION && call != CONFIGURATION)
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
        ck_assert_int_eq(compass_read_probe(&(struct protocol_reply) { .status = 400 }, NULL),
                         FAILURE_TRANSIENT);
        ck_assert_int_eq(compass_read_probe(&(struct protocol_reply) { .status = 200 }, NULL),
                         FAILURE_BAD_REPLY);
        ck_assert_int_eq(compass_read_probe(&(struct protocol_reply) { .status = 503 }, NULL),
                         FAILURE_TRANSIENT);
}
END_TEST

START_TEST(test_not_graphql) {
        static const struct {
                const char *body, *error;
        } rows[] = {
                { "", "the Connector's reply cannot be read: it is empty" },
                { " \r\n", "the Connector's reply cannot be read: it is empty" },
                { "\xef\xbb\xbf", "the Connector's reply cannot be read: it is empty" },
                { "hello",
                  "it is not JSON at line 1, column 5: the syntax is wrong; it begins with \"hello\"" },
                { "ok ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1-f4CBgoOE", "; it begins with \"ok [...]\"" },
                { "{ZGVmZ2", "the syntax is wrong" },
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

/* What others send in the Connector's place, and what gateways make of its replies. */
START_TEST(test_not_from_a_connector) {
        static const struct {
                const char *body;
                size_t size;
                const char *type, *error;
        } rows[] = {
#define BODY(text) text, sizeof(text) - 1
                { BODY("<html><body>Please log in</body></html>"), "text/html",
                  "it is an HTML page: a proxy" },
                { BODY("\r\n <!DOCTYPE HTML>"), NULL, "it is an HTML page: a proxy" },
                { BODY("\xef\xbb\xbf<HTML>"), "application/json", "it is an HTML page: a proxy" },
                { BODY("<!-- maintenance -->"), NULL, "it is an HTML page: a proxy" },
                { BODY("<?xml version='1.0'?>"), "text/xml", "it is XML or the like" },
                { BODY("\x1f\x8b\x08\0\0\0\0"), "application/json", "it is compressed (gzip)" },
                { BODY("\x28\xb5\x2f\xfd\x04"), "application/json", "it is compressed (zstd)" },
                { BODY("\xff\xfe{\0}\0"), "application/json", "it is UTF-16" },
                { BODY("\xfe\xff\0{\0}"), "application/json", "it is UTF-16" },
                { BODY("{\0\"\0"), "application/json", "it is UTF-16" },
                { BODY("\0{\0\""), "application/json", "it is UTF-16" },
                { BODY("Maintenance"), "text/plain; charset=utf-8",
                  "it begins with \"Maintenance\", and its type is \"text/plain; charset=utf-8\"" },
                { BODY("Maintenance"), "application/json;charset=UTF-8", "it begins with \"Maintenance\"" },
                { BODY("a\0b"), NULL, "it begins with \"a\"" },
#undef BODY
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                for (enum call call = 0; call < N_CALLS; call++) {
                        const struct protocol_reply reply = { .status = 200,
                                                              .body = rows[i].body,
                                                              .size = rows[i].size,
                                                              .content_type = rows[i].type };
                        _cleanup_(error_clear) struct error error = ERROR_INIT;

                        ck_assert_int_eq(read_reply(call, &reply, &error), FAILURE_BAD_REPLY);
                        ck_assert_msg(strstr(error_text(&error), rows[i].error), "row %zu: %s", i,
                                      error_text(&error));
                        ck_assert_msg(is_one_sentence(error_text(&error)), "%s", error_text(&error));
                }
}
END_TEST

START_TEST(test_a_byte_order_mark_does_no_harm) {
        ck_assert_int_eq(read_text(PROBE, 200, "\xef\xbb\xbf{\"data\":{\"__typename\":\"Query\"}}", NULL), 0);
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
                ck_assert_str_eq(error_text(&error), "the Connector refuses the call without a reason");
        }
}
END_TEST

START_TEST(test_limits) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *body = NULL;
        struct protocol_reply reply = { .status = 200 };

        body = malloc(PROTOCOL_REPLY_MAX + 1);
        ck_assert_ptr_nonnull(body);
        memset(body, ' ', PROTOCOL_REPLY_MAX + 1);
        memcpy(body, "{\"data\":{\"__typename\":\"Query\"}}", 31);
        reply.body = body;

        reply.size = PROTOCOL_REPLY_MAX;
        ck_assert_int_eq(compass_read_probe(&reply, &error), 0);
        reply.size++;
        ck_assert_int_eq(compass_read_probe(&reply, &error), FAILURE_BAD_REPLY);
        ck_assert_msg(strstr(error_text(&error), "it is too large (1048577 bytes"), "%s", error_text(&error));

        /* A megabyte of brackets must cost neither stack nor time. */
        memset(body, '[', PROTOCOL_REPLY_MAX);
        reply.size = PROTOCOL_REPLY_MAX;
        ck_assert_int_eq(compass_read_probe(&reply, &error), FAILURE_BAD_REPLY);
        ck_assert_msg(strstr(error_text(&error), "nested too deeply"), "%s", error_text(&error));
        reply.status = 422;
        ck_assert_int_eq(compass_read_probe(&reply, &error), FAILURE_REFUSED);
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
                        struct protocol_reply reply = { .status = 200, .body = body, .size = size };

                        ck_assert_int_eq(read_reply(CONFIGURATION, &reply, &error), FAILURE_BAD_REPLY);
                        ck_assert_msg(!strstr(error_text(&error), "ZGVm"), "%s", error_text(&error));
                        reply.status = 400;
                        ck_assert_int_gt(read_reply(CONFIGURATION, &reply, &error), 0);
                        ck_assert_msg(!strstr(error_text(&error), "ZGVm"), "%s", error_text(&error));
                }
        }
}
END_TEST

TEST_MAIN("compass", test_replies_of_a_connector, test_statuses, test_not_graphql, test_not_from_a_connector,
          test_a_byte_order_mark_does_no_harm, test_errors_without_a_message, test_limits,
          test_revocation_that_did_not_happen, test_quotations, test_long_quotations,
          test_errors_hold_no_token)
