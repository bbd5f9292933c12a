/*
 * The protocol of the Central Connector Service against what the service has answered, to the byte: the class
 * of each refusal and its sentence, each field of what succeeds, where calls go, and that no text has a
 * token.
 */

#include "lib/protocol/connector-service.h"

#include <jansson.h>

#include "lib/util/base64.h"
#include "tests/support/x509.h"
#include "tests/test.h"

#define TOKEN   "WhN1o-ZAwL3isvfnqfGp_0tXSmI_AZJazjgaUtH9hAVTIFU6rXTFV1C21Rg7vldVJgKjAw_UjIz82wum9HX1xQ=="
#define HOST    "https://localhost:18546/v1/applications"
#define SECURED "https://localhost:18545/v1/applications"
#define CSR_URL HOST "/certificates?token=" TOKEN
#define SUBJECT "O=my-tenant,OU=my-group,L=Waldorf,ST=Waldorf,C=DE,CN=my-app"
#define REQUEST \
        "\"certificate\":{\"subject\":\"" SUBJECT "\",\"extensions\":\"\",\"key-algorithm\":\"rsa2048\"}"

#define INFO                                                                                          \
        "{\"csrUrl\":\"" CSR_URL "\",\"api\":{\"eventsInfoUrl\":\"https://gateway.example/my-app/v1/" \
        "events/subscribed\",\"infoUrl\":\"" SECURED "/management/info\",\"certificatesUrl\":\"" HOST \
        "/certificates\"}," REQUEST "}"

#define URLS                                                                                                 \
        "\"urls\":{\"metadataUrl\":\"https://gateway.example/my-app/v1/metadata/services\",\"renewCertUrl\"" \
        ":\"" SECURED "/certificates/renewals\",\"revokeCertUrl\":\"" SECURED "/certificates/revocations\"}"
#define MANAGEMENT                                                                                         \
        "{\"clientIdentity\":{\"application\":\"my-app\",\"group\":\"my-group\",\"tenant\":\"my-tenant\"}" \
        "," URLS "," REQUEST "}"

enum call {
        CONFIGURATION,
        CONFIGURATION_BY_TOKEN,
        SIGNATURE,
        SIGNATURE_BY_TOKEN,
        REVOCATION,
        PROOF,
        N_CALLS
};

static const struct protocol *protocol(void) {
        return protocol_get(PROTOCOL_CONNECTOR_SERVICE);
}

static char *make_certificate(const char *subject) {
        struct x509_cert cert = x509_make(&(struct x509_options) { .subject = subject });
        char *pem = strdup(cert.pem);

        x509_cert_clear(&cert);
        return pem;
}

static int read_as(enum call call, unsigned status, const char *body, const char *pem, struct error *error) {
        _cleanup_(protocol_configuration_clear) struct protocol_configuration configuration = { 0 };
        _cleanup_(protocol_certificates_clear) struct protocol_certificates certificates = { 0 };
        _cleanup_(connection_clear) struct connection connection = { 0 };
        const struct protocol_reply reply = {
                .status = status,
                .body = body,
                .size = strlen(body),
                .token = call == CONFIGURATION_BY_TOKEN || call == SIGNATURE_BY_TOKEN ? TOKEN : NULL
        };

        switch (call) {
        case CONFIGURATION:
        case CONFIGURATION_BY_TOKEN:
                return protocol()->read_configuration(&reply, &configuration, error);
        case SIGNATURE:
        case SIGNATURE_BY_TOKEN:
                return protocol()->read_certificates(&reply, &certificates, error);
        case REVOCATION:
                return protocol()->read_revocation(&reply, error);
        default:
                return protocol()->read_proof(&reply, pem, &connection, error);
        }
}

/* BY_CERTIFICATE is what it means at the certificate-secured endpoint. */
START_TEST(refusals) {
        static const struct {
                unsigned status;
                const char *body;
                int by_token, by_certificate;
                const char *error;
        } rows[] = {
                { 403, "{\"code\":403,\"error\":\"Token not provided.\"}", PROTOCOL_TOKEN_REJECTED,
                  FAILURE_REFUSED, "\"Token not provided.\"" },
                { 403, "{\"code\":403,\"error\":\"Invalid token.\"}", PROTOCOL_TOKEN_REJECTED,
                  FAILURE_REFUSED, "HTTP status 403: \"Invalid token.\"" },
                { 403, "{\"code\":403,\"error\":\"Certificate has been revoked.\"}", FAILURE_REJECTED,
                  FAILURE_REJECTED, "the certificate is revoked, HTTP status 403" },
                { 403, "<html>", FAILURE_REFUSED, FAILURE_REFUSED, "denies access, HTTP status 403" },
                { 400,
                  "{\"code\":400,\"error\":\"There was an error while parsing the base64 content. An "
                  "incorrect value "
                  "was provided.\"}",
                  FAILURE_REFUSED, FAILURE_REFUSED, "parsing the base64 content" },
                { 400, "{\"code\":400,\"error\":\"Error while decoding pem block.\"}", FAILURE_REFUSED,
                  FAILURE_REFUSED, "decoding pem block" },
                { 400, "{\"code\":400,\"error\":\"CSR: Invalid common name provided.\"}", FAILURE_REFUSED,
                  FAILURE_REFUSED, "HTTP status 400: \"CSR: Invalid common name provided.\"" },
                { 400, "{\"code\":400,\"error\":\"CSR: Invalid organization provided.\"}", FAILURE_REFUSED,
                  FAILURE_REFUSED, "Invalid organization" },
                { 400, "{\"code\":400,\"error\":\"Invalid certificate: Certificate header is empty\"}",
                  FAILURE_REFUSED, FAILURE_REFUSED, "Certificate header is empty" },
                { 400, "", FAILURE_TRANSIENT, FAILURE_TRANSIENT, "HTTP status 400 with an empty body" },
                { 404, "{\"code\":404,\"error\":\"Requested resource could not be found.\"}", FAILURE_REFUSED,
                  FAILURE_REFUSED, "no endpoint at this URL, HTTP status 404: \"Requested resource" },
                { 405, "{\"code\":405,\"error\":\"Method not allowed.\"}", FAILURE_REFUSED, FAILURE_REFUSED,
                  "HTTP status 405" },
                { 500,
                  "{\"code\":500,\"error\":\"Error while unmarshalling request body: unexpected end of JSON "
                  "input\"}",
                  FAILURE_REFUSED, FAILURE_REFUSED, "the Connector refuses the call, HTTP status 500" },
                { 500,
                  "{\"code\":500,\"error\":\"Error while creating certificate: x509: requested "
                  "SignatureAlgorithm does "
                  "not match private key type\"}",
                  FAILURE_REFUSED, FAILURE_REFUSED, "does not match private key type" },
                { 500, "{\"code\":500,\"error\":\"etcd is down\"}", FAILURE_TRANSIENT, FAILURE_TRANSIENT,
                  "cannot answer now, HTTP status 500: \"etcd is down\"" },
                { 500, "", FAILURE_TRANSIENT, FAILURE_TRANSIENT, "HTTP status 500" },
                { 301, "<a href=\"/v1/api.yaml\">Moved Permanently</a>.\n\n", FAILURE_BAD_REPLY,
                  FAILURE_BAD_REPLY, "redirects the call, HTTP status 301" },
        };
        _cleanup_(freep) char *pem = make_certificate(SUBJECT);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                for (enum call call = 0; call < N_CALLS; call++) {
                        _cleanup_(error_clear) struct error error = ERROR_INIT;
                        int expected = call == CONFIGURATION_BY_TOKEN || call == SIGNATURE_BY_TOKEN
                                               ? rows[i].by_token
                                               : rows[i].by_certificate;
                        int r = read_as(call, rows[i].status, rows[i].body, pem, &error);

                        if (call == REVOCATION && expected == FAILURE_REJECTED) { /* that is what it is for */
                                ck_assert_int_eq(r, 0);
                                ck_assert_int_eq(error.code, 0);
                                continue;
                        }
                        ck_assert_msg(r == expected, "row %zu, call %d: %d, %s", i, call, r,
                                      error_text(&error));
                        ck_assert_msg(strstr(error_text(&error), rows[i].error), "row %zu: %s", i,
                                      error_text(&error));
                        ck_assert_int_lt(error.code, 0);
                }
}
END_TEST

/* With status 200 and 201. What is missing, null, empty or of another type cannot be used. */
START_TEST(replies_that_cannot_be_used) {
        static const struct {
                enum call call;
                const char *body, *error;
        } rows[] = {
                { CONFIGURATION_BY_TOKEN, "{}", "certificate is missing" },
                { CONFIGURATION_BY_TOKEN, "<html>", "it is an HTML page" },
                { CONFIGURATION_BY_TOKEN, "{" REQUEST "}", "csrUrl is missing" },
                { CONFIGURATION_BY_TOKEN, "{\"csrUrl\":\"http://c/?token=x\"," REQUEST "}",
                  "csrUrl is not an https URL" },
                { CONFIGURATION_BY_TOKEN, "{\"csrUrl\":\"" CSR_URL "\",\"api\":1," REQUEST "}",
                  "api is not an object" },
                { CONFIGURATION_BY_TOKEN, "{\"csrUrl\":\"" CSR_URL "\",\"certificate\":{\"subject\":\"\"}}",
                  "certificate.subject is empty" },
                { CONFIGURATION_BY_TOKEN,
                  "{\"csrUrl\":\"" CSR_URL "\",\"certificate\":{\"subject\":\"x\",\"key-algorithm\":1}}",
                  "certificate.key-algorithm is not a string" },
                { CONFIGURATION, "{" REQUEST "}", "urls is missing" },
                { CONFIGURATION, "{\"urls\":{}," REQUEST "}", "urls.renewCertUrl is missing" },
                { CONFIGURATION, "{\"urls\":{\"renewCertUrl\":\"http://c/\"}," REQUEST "}",
                  "not an https URL" },
                { SIGNATURE, "{}", "crt is missing" },
                { SIGNATURE, "{\"crt\":\"LS0tLS1CRUdJTiBY\",\"clientCrt\":\"LS0tLS1CRUdJTiBY\"}",
                  "caCrt is missing" },
                { SIGNATURE, "{\"crt\":\"%\"}", "crt is not base64" },
                { SIGNATURE, "{\"crt\":\"YWJj\"}", "crt is not PEM in base64" },
                { PROOF, "{}", "certificate.subject is missing" },
                { PROOF, "{\"certificate\":{\"subject\":\"x\"}}", "certificate.subject is not a subject" },
        };
        _cleanup_(freep) char *pem = make_certificate(SUBJECT);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;

                ck_assert_msg(read_as(rows[i].call, 200, rows[i].body, pem, &error) == FAILURE_BAD_REPLY,
                              "row %zu: %s", i, error_text(&error));
                ck_assert_msg(strstr(error_text(&error), rows[i].error), "row %zu: %s", i,
                              error_text(&error));
                ck_assert_ptr_null(strstr(error_text(&error), TOKEN));
        }
}
END_TEST

START_TEST(what_a_token_gets) {
        _cleanup_(protocol_configuration_clear) struct protocol_configuration found = { 0 };
        const struct protocol_reply reply = {
                .status = 200, .body = INFO, .size = strlen(INFO), .token = "token"
        };

        ck_assert_int_eq(protocol()->read_configuration(&reply, &found, NULL), 0);
        ck_assert_str_eq(found.token, CSR_URL);
        ck_assert_str_eq(found.subject, SUBJECT);
        ck_assert_str_eq(found.key_algorithm, "rsa2048");
        ck_assert_str_eq(found.connection.info_url, SECURED "/management/info");
        ck_assert_str_eq(json_string_value(json_object_get(found.connection.others, "certificatesUrl")),
                         HOST "/certificates");
        ck_assert_uint_eq(json_object_size(found.connection.others), 2);
        ck_assert_ptr_null(found.warning);
}
END_TEST

START_TEST(what_a_certificate_gets) {
        _cleanup_(protocol_configuration_clear) struct protocol_configuration found = { 0 };
        const struct protocol_reply reply = { .status = 200, .body = MANAGEMENT, .size = strlen(MANAGEMENT) };

        ck_assert_int_eq(protocol()->read_configuration(&reply, &found, NULL), 0);
        ck_assert_ptr_null(found.token);
        ck_assert_str_eq(found.subject, SUBJECT);
        ck_assert_str_eq(found.connection.renew_url, SECURED "/certificates/renewals");
        ck_assert_str_eq(found.connection.revoke_url, SECURED "/certificates/revocations");
        ck_assert_ptr_null(found.connection.info_url);
        ck_assert_uint_eq(json_object_size(found.connection.others), 1);
}
END_TEST

START_TEST(extensions_are_mentioned) {
        static const char body[] =
                "{\"csrUrl\":\"" CSR_URL "\",\"certificate\":{\"subject\":\"CN=a\",\"extensions\":\"SAN\"}}";
        _cleanup_(protocol_configuration_clear) struct protocol_configuration found = { 0 };
        const struct protocol_reply reply = {
                .status = 200, .body = body, .size = strlen(body), .token = "token"
        };

        ck_assert_int_eq(protocol()->read_configuration(&reply, &found, NULL), 0);
        ck_assert_str_eq(
                found.warning,
                "the Connector asks for the extensions \"SAN\", which a CSR of rekeyd does not have");
}
END_TEST

START_TEST(the_certificates) {
        static const char body[] =
                "{\"crt\":\"LS0tLS1CRUdJTiBY\",\"clientCrt\":\"LS0tLS1CRUdJTiBZ\",\"caCrt\":"
                "\"LS0tLS1CRUdJTiBa\"}";
        _cleanup_(protocol_certificates_clear) struct protocol_certificates found = { 0 };
        const struct protocol_reply reply = { .status = 201, .body = body, .size = strlen(body) };

        ck_assert_int_eq(protocol()->read_certificates(&reply, &found, NULL), 0);
        ck_assert_str_eq(found.chain, "-----BEGIN X");
        ck_assert_str_eq(found.leaf, "-----BEGIN Y");
        ck_assert_str_eq(found.ca, "-----BEGIN Z");
}
END_TEST

START_TEST(a_revocation_is_201_with_nothing) {
        ck_assert_int_eq(read_as(REVOCATION, 201, "", NULL, NULL), 0);
}
END_TEST

/* What the proof proves: as whom the Connector knows the certificate. C, L and ST are not in it. */
START_TEST(whose_certificate_it_is) {
        static const struct {
                const char *subject, *body;
                int failure;
        } rows[] = {
                { SUBJECT, MANAGEMENT, 0 },
                { "C=DE,CN=my-app,OU=my-group,O=my-tenant", MANAGEMENT, 0 },
                { "O=my-tenant,OU=my-group,CN=other", MANAGEMENT, FAILURE_BAD_REPLY },
                { "O=other,OU=my-group,CN=my-app", MANAGEMENT, FAILURE_BAD_REPLY },
                { "O=my-tenant,OU=other,CN=my-app", MANAGEMENT, FAILURE_BAD_REPLY },
                { "O=my-tenant,OU=my-group,CN=*Runtime*",
                  "{\"clientIdentity\":{\"group\":\"my-group\",\"tenant\":\"my-tenant\"}," URLS
                  ",\"certificate\":{\"subject\":\"O=my-tenant,OU=my-group,L=Waldorf,ST=Waldorf,C=DE,CN=*"
                  "Runtime*\"}}",
                  0 },
                { SUBJECT, "{\"certificate\":{\"subject\":\"" SUBJECT "\"}}", 0 },
                { SUBJECT, "{\"clientIdentity\":{\"application\":\"x\"}," REQUEST "}", FAILURE_BAD_REPLY },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *pem = make_certificate(rows[i].subject);
                _cleanup_(error_clear) struct error error = ERROR_INIT;

                ck_assert_msg(read_as(PROOF, 200, rows[i].body, pem, &error) == rows[i].failure,
                              "row %zu: %s", i, error_text(&error));
        }
}
END_TEST

START_TEST(tokens_and_where_they_go) {
        static const struct {
                const char *token, *enrol_url;
                const char *url;   /* that is called; NULL: none */
                const char *error; /* then */
        } rows[] = {
                { "abc==", "https://c/v1/runtimes/signingRequests/info",
                  "https://c/v1/runtimes/signingRequests/info?token=abc==", NULL },
                { "a&b+c", "https://c/info?x=1", "https://c/info?x=1&token=a%26b%2Bc", NULL },
                { "https://c/v1/applications/signingRequests/info?token=" TOKEN, NULL,
                  "https://c/v1/applications/signingRequests/info?token=" TOKEN, NULL },
                { "https://C:443/other?token=x", "https://c/info", "https://C:443/other?token=x", NULL },
                { "https://c/info?a=1&token=x", "https://c/info", "https://c/info?a=1&token=x", NULL },
                { TOKEN, NULL, NULL, "set `enrol_url`, or use the whole URL" },
                { "https://evil/info?token=" TOKEN, "https://c/info", NULL,
                  "is not sent to https://evil/info?..., since `enrol_url` names another server" },
                { "https://c:1/info?token=" TOKEN, "https://c/info", NULL, "names another server" },
                { "https://c/info", "https://c/info", NULL, "https://c/info has no one-time token" },
                { "https://c/info?token=", "https://c/info", NULL, "has no one-time token" },
                { "https://c/info?mytoken=" TOKEN, "https://c/info", NULL, "has no one-time token" },
                { "https://user@c/info?token=" TOKEN, "https://c/info", NULL, "may be called" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(protocol_request_clear) struct protocol_request request = { 0 };
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                const struct protocol_ask ask = { .url = rows[i].enrol_url, .token = rows[i].token };
                _cleanup_(free_secretp) char *taken = NULL;
                int r = protocol_take_token(PROTOCOL_CONNECTOR_SERVICE, rows[i].token, strlen(rows[i].token),
                                            rows[i].enrol_url, &taken, &error);

                ck_assert_msg((r == 0) == (rows[i].url != NULL), "row %zu: %s", i, error_text(&error));
                ck_assert(r < 0 || streq(taken, rows[i].token));
                ck_assert_int_eq(protocol()->ask_configuration(&ask, &request, &error), r);
                ck_assert(streq_null(request.url, rows[i].url));
                if (rows[i].error)
                        ck_assert_msg(strstr(error_text(&error), rows[i].error), "%s", error_text(&error));
                ck_assert_ptr_null(strstr(error_text(&error), TOKEN));
        }
}
END_TEST

START_TEST(the_request_to_sign) {
        const struct connection connection = { .renew_url = (char *)SECURED "/certificates/renewals" };
        const struct protocol_ask ask = { .url = SECURED "/management/info", .connection = &connection };
        const struct protocol_ask nowhere = { .url = SECURED "/management/info",
                                              .connection = &(struct connection) { 0 } };
        _cleanup_(protocol_request_clear) struct protocol_request request = { 0 };

        ck_assert_int_eq(protocol()->ask_signature(&ask, "csr", &request, NULL), 0);
        ck_assert_str_eq(request.url, SECURED "/certificates/renewals");
        ck_assert_str_eq(request.body, "{\"csr\":\"Y3Ny\"}");
        ck_assert_int_eq(protocol()->ask_signature(&nowhere, "csr", &request, NULL), -EINVAL);
        ck_assert_int_eq(protocol()->ask_revocation(&nowhere, &request, NULL), -ENODATA);
}
END_TEST

TEST_MAIN("connector-service", refusals, replies_that_cannot_be_used, what_a_token_gets,
          what_a_certificate_gets, extensions_are_mentioned, the_certificates,
          a_revocation_is_201_with_nothing, whose_certificate_it_is, tokens_and_where_they_go,
          the_request_to_sign)
