/* What is in the replies and requests of the compass protocol, field by field; and that tokens are cleansed.
 */

#include "lib/protocol/compass.h"

#include <jansson.h>

#include "lib/util/base64.h"
#include "tests/test.h"
#include "tests/unit/protocol/compass-replies.h"

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

START_TEST(test_untouched_on_failure) {
        struct protocol_configuration configuration;
        struct protocol_certificates certificates;
        char before[sizeof(configuration)];
        struct protocol_reply reply = { .status = 200 };
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
        _cleanup_(protocol_configuration_clear) struct protocol_configuration all = { 0 }, some = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *body = NULL, *less = NULL;
        struct protocol_reply reply = { .status = 200 };

        reply.body = body = data_read("configuration.json", &reply.size);
        ck_assert_msg(compass_read_configuration(&reply, &all, &error) == 0, "%s", error_text(&error));
        ck_assert_str_eq(all.token, TOKEN);
        ck_assert_str_eq(all.subject, SUBJECT);
        ck_assert_str_eq(all.key_algorithm, "rsa2048");
        ck_assert_str_eq(all.connection.director_url, "https://localhost:18443/director/graphql");
        ck_assert_str_eq(all.connection.connector_url, "https://localhost:18444/connector/graphql");

        /* As asked for without the token and one URL */
        reply.body = less = data_read("configuration-no-token.json", &reply.size);
        ck_assert_int_eq(compass_read_configuration(&reply, &some, &error), 0);
        ck_assert_ptr_null(some.token);
        ck_assert_str_eq(some.subject, SUBJECT);
        ck_assert_str_eq(some.connection.director_url, "https://localhost:18443/director/graphql");
        ck_assert_ptr_null(some.connection.connector_url);

        protocol_configuration_clear(&all);
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
        struct protocol_configuration configuration;
        struct protocol_reply reply = { .status = 200, .body = body, .size = 0 };

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
        protocol_configuration_clear(&configuration);
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
        _cleanup_(protocol_certificates_clear) struct protocol_certificates certificates = { 0 };
        _cleanup_(freep) char *body = NULL, *whole = NULL;
        struct protocol_reply reply = { .status = 200 };

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
                struct protocol_reply reply = { .status = 200 };

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

TEST_MAIN("compass-fields", test_each_field, test_base64_that_holds_no_pem, test_tokens_fit_a_header,
          test_untouched_on_failure, test_configuration, test_tokens_are_cleansed, test_certificates,
          test_revocation_and_probe, test_requests, test_request_to_sign)
