/*
 * The Connector for development, as a client meets it: the real program, libcurl, OpenSSL, and the
 * transcripts of the real Connector as the reference for every status and text.
 */

#include "tests/test.h"

#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "devconnector/testing/stage.h"
#include "devconnector/tokens.h"
#include "tests/support/x509.h"

START_TEST(token_endpoint) {
        _cleanup_(stage_clear) struct stage stage = stage_new(NULL);
        _cleanup_(freep) char *token = dev_token(stage.dev, "{\"client\":\"a\"}");
        _cleanup_(freep) char *second = NULL, *third = NULL, *fourth = NULL, *url = NULL, *body = NULL,
                              *csr = NULL;
        _cleanup_(freep) char *system = dev_token(stage.dev, "{\"type\":\"integration-system\"}");
        _cleanup_(response_clear) struct response signature = { 0 };
        _cleanup_(identity_clear) struct identity identity = { 0 };
        const char *subject = "O=Org,OU=OrgUnit,L=locality,ST=province,C=DE,CN=a";

        ck_assert_uint_eq(strlen(token), 88);
        second = token_in(dev_call(stage.dev, NULL, token, QUERY_CONFIGURATION, NULL));
        check_empty_400(dev_call(stage.dev, NULL, token, QUERY_CONFIGURATION, NULL), "same token again");
        check_empty_400(dev_call(stage.dev, NULL, NULL, QUERY_CONFIGURATION, NULL), "no token");
        check_empty_400(dev_call(stage.dev, NULL, "nonsense", QUERY_CONFIGURATION, NULL), "no such token");

        if (asprintf(&url, "%s?token=%s", stage.dev->token_url, second) < 0)
                abort();
        body = query_body(QUERY_CONFIGURATION, NULL);
        third = token_in(dev_request(stage.dev, &(struct request) { .url = url, .body = body }));

        csr = good_csr(x509_key(0), subject);
        check_error(dev_call(stage.dev, NULL, third, QUERY_SIGN, ""),
                    SIGNING "Error while decoding pem block.", "bad CSR");
        check_empty_400(dev_call(stage.dev, NULL, third, QUERY_SIGN, csr), "the token that a bad CSR burnt");

        token = (free(token), dev_token(stage.dev, "{\"client\":\"a\"}"));
        response_clear(&signature);
        signature = dev_call(stage.dev, NULL, token, "query {", NULL);
        ck_assert_int_eq(signature.status, 422);
        check_empty_400(dev_call(stage.dev, NULL, token, QUERY_SIGN, csr),
                        "the token that a syntax error burnt");

        fourth = dev_token(stage.dev, "{\"client\":\"a\"}");
        response_clear(&signature);
        signature = dev_call(stage.dev, NULL, fourth, QUERY_SIGN, csr);
        identity = identity_read(&signature, x509_key(0), subject);
        check_probe(probe(stage.dev, &identity), "the certificate over the certificate endpoint");

        check_error(dev_call(stage.dev, NULL, system, QUERY_CONFIGURATION, NULL),
                    NO_TOKEN "No token generation for consumer type Integration System",
                    "integration system");
}
END_TEST

START_TEST(tokens_expire) {
        _cleanup_(tokens_freep) struct tokens *tokens = tokens_new();
        const usec_t born = 1000 * USEC_PER_SEC, life = 5 * USEC_PER_MINUTE;
        const struct token_holder first_holder = { "a", CLIENT_APPLICATION, NULL, NULL },
                                  second_holder = { "b", CLIENT_RUNTIME, NULL, NULL };
        _cleanup_(freep) char *first = NULL, *second = NULL;
        char *client = NULL;
        enum client_type type;
        const char *text;

        ck_assert_int_eq(tokens_mint(tokens, &first_holder, born, life, &text), 0);
        first = strdup(text);
        ck_assert_int_eq(
                tokens_mint(tokens, &second_holder, born, client_type_lifetime(CLIENT_RUNTIME, life), &text),
                0);
        second = strdup(text);
        ck_assert_int_eq(tokens_burn(tokens, first, born + life, &client, &type), -ENOENT);
        ck_assert_int_eq(tokens_burn(tokens, second, born + 12 * life - 1, &client, &type), 0);
        ck_assert_str_eq(client, "b");
        ck_assert_int_eq((int)type, CLIENT_RUNTIME);
        free(client);
        ck_assert_int_eq(tokens_burn(tokens, second, born, &client, &type), -ENOENT);
}
END_TEST

START_TEST(certificate_shape) {
        _cleanup_(stage_clear) struct stage stage =
                stage_new(OPTIONS("--lifetime", "1h", "--ca-lifetime", "30m"));
        time_t before = time(NULL);
        _cleanup_(identity_clear) struct identity identity = dev_enrol(stage.dev, x509_key(0), "a");
        STACK_OF(X509) *chain = certificates_of(identity.chain), *ca = certificates_of(identity.ca);
        X509 *leaf = sk_X509_value(chain, 0);
        int days, seconds;
        struct tm tm;
        static const int extensions[] = { NID_key_usage, NID_ext_key_usage, NID_authority_key_identifier };
        char *subject = X509_NAME_oneline(X509_get_subject_name(leaf), NULL, 0);

        ck_assert_int_eq(sk_X509_num(chain), 2);
        ck_assert_int_eq(sk_X509_num(ca), 1);
        ck_assert(strncmp(identity.chain, identity.client, strlen(identity.client)) == 0);
        ck_assert_int_eq(X509_cmp(sk_X509_value(chain, 1), sk_X509_value(ca, 0)), 0);
        ck_assert_int_eq(X509_verify(leaf, X509_get0_pubkey(sk_X509_value(ca, 0))), 1);

        ck_assert_int_eq((int)ASN1_INTEGER_get(X509_get0_serialNumber(leaf)), 2);
        ck_assert_str_eq(subject, "/C=DE/ST=province/L=locality/O=Org/OU=OrgUnit/CN=a");
        ck_assert_int_eq(ASN1_STRING_type(X509_NAME_ENTRY_get_data(
                                 X509_NAME_get_entry(X509_get_subject_name(leaf), 0))),
                         V_ASN1_PRINTABLESTRING);
        ck_assert_int_eq(X509_get_ext_count(leaf), (int)ELEMENTSOF(extensions));
        for (int i = 0; i < (int)ELEMENTSOF(extensions); i++) {
                X509_EXTENSION *extension = X509_get_ext(leaf, i);

                ck_assert_int_eq(OBJ_obj2nid(X509_EXTENSION_get_object(extension)), extensions[i]);
                ck_assert_int_eq(X509_EXTENSION_get_critical(extension), i == 0);
        }
        ck_assert_uint_eq(X509_get_key_usage(leaf), KU_DIGITAL_SIGNATURE);
        ck_assert_uint_eq(X509_get_extended_key_usage(leaf), XKU_SSL_CLIENT);

        /* From now on, not clamped to the CA, which dies first. */
        ck_assert_int_eq(ASN1_TIME_to_tm(X509_get0_notBefore(leaf), &tm), 1);
        ck_assert_int_ge(timegm(&tm), before);
        ck_assert_int_eq(ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(leaf), X509_get0_notAfter(leaf)),
                         1);
        ck_assert_int_eq(days * 86400 + seconds, 3600);

        OPENSSL_free(subject);
        sk_X509_pop_free(chain, X509_free);
        sk_X509_pop_free(ca, X509_free);
}
END_TEST

static EVP_PKEY *other_key(const char *kind) {
        if (streq(kind, "rsa1024"))
                return EVP_RSA_gen(1024);
        return streq(kind, "ec") ? EVP_EC_gen("P-256") : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

/* One signature over the certificate endpoint; an EXPECTED error, or NULL for a certificate, which is given
 * back.
 */
static struct identity check_sign(const struct stage *stage, const struct identity *identity,
                                  const char *what, const char *csr, const char *expected) {
        struct response response = dev_call(stage->dev, identity, NULL, QUERY_SIGN, csr);
        struct identity issued;

        if (expected) {
                check_error(response, expected, what);
                return (struct identity) { 0 };
        }
        issued = identity_read(&response, identity->key, identity->subject);
        response_clear(&response);
        return issued;
}

static void check_csr(const struct stage *stage, const struct identity *identity, const char *what,
                      const char *csr, const char *expected) {
        struct identity issued = check_sign(stage, identity, what, csr, expected);

        identity_clear(&issued);
}

#define REST "OU=OrgUnit,L=locality,ST=province,C=DE"

START_TEST(csr_rules) {
        static const struct {
                const char *subject, *error;
        } subjects[] = {
                { "O=Org," REST ",CN=b", "Invalid common name" },
                { "O=Org," REST, "Invalid common name" },
                { "O=Org,OU=OrgUnit,L=locality,ST=province,CN=a", "No country" },
                { "O=Org,OU=OrgUnit,L=locality,ST=province,C=PL,CN=a", "Invalid country" },
                { REST ",CN=a", "No organization" },
                { "O=Other," REST ",CN=a", "Invalid organization" },
                { "O=org," REST ",CN=a", "Invalid organization" },
                { "O=Org,L=locality,ST=province,C=DE,CN=a", "No organizational unit" },
                { "O=Org,OU=Other,L=locality,ST=province,C=DE,CN=a", "Invalid organizational unit" },
                { "O=Org,OU=OrgUnit,ST=province,C=DE,CN=a", "No locality" },
                { "O=Org,OU=OrgUnit,L=Other,ST=province,C=DE,CN=a", "Invalid locality" },
                { "O=Org,OU=OrgUnit,L=locality,C=DE,CN=a", "No province" },
                { "O=Org,OU=OrgUnit,L=locality,ST=Other,C=DE,CN=a", "Invalid province" },
                /* in the Connector's order: CN, C, O, OU, L, ST */
                { "CN=b", "Invalid common name" },
                { "CN=a", "No country" },
                { "C=DE,ST=Other,L=Other,CN=a", "No organization" },
                { "O=Org,OU=OrgUnit,ST=Other,L=Other,C=DE,CN=a", "Invalid locality" },
        };
        _cleanup_(stage_clear) struct stage stage = stage_new(NULL);
        _cleanup_(identity_clear) struct identity identity = dev_enrol(stage.dev, x509_key(0), "a");

        for (size_t i = 0; i < ELEMENTSOF(subjects); i++) {
                _cleanup_(freep) char *csr = good_csr(x509_key(0), subjects[i].subject), *expected = NULL;

                if (asprintf(&expected, SIGNING "CSR: %s provided.", subjects[i].error) < 0)
                        abort();
                check_csr(&stage, &identity, subjects[i].subject, csr, expected);
        }
}
END_TEST

/* TEXT with INSERT after each N characters. */
static char *wrap(const char *text, size_t n, const char *insert) {
        char *out = malloc(strlen(text) * (1 + strlen(insert)) + 1), *end = out;

        for (size_t i = 0; text[i]; i++) {
                *end++ = text[i];
                if ((i + 1) % n == 0)
                        end = stpcpy(end, insert);
        }
        *end = '\0';
        return out;
}

START_TEST(csr_encodings) {
        _cleanup_(stage_clear) struct stage stage = stage_new(NULL);
        _cleanup_(identity_clear) struct identity identity = dev_enrol(stage.dev, x509_key(0), "a");
        _cleanup_(freep) char *pem =
                csr_pem(x509_key(0), &(struct csr_options) { .subject = identity.subject });
        _cleanup_(freep) char *odd = NULL, *good = base64_of(pem, strlen(pem)), *huge = NULL;
        static const char base64_error[] =
                DECODING "Error while parsing base64 content. Incorrect value provided.";
        static const char pem_error[] = SIGNING "Error while decoding pem block.";
        _cleanup_(freep) char *lf = wrap(good, 64, "\n"), *crlf = wrap(good, 64, "\r\n"),
                              *blanks = wrap(good, 64, " ");
        _cleanup_(freep) char *label =
                csr_pem(x509_key(0), &(struct csr_options) { .subject = identity.subject,
                                                             .label = "NEW CERTIFICATE REQUEST" });
        _cleanup_(freep) char *labelled = base64_of(label, strlen(label));
        _cleanup_(freep) char *broken = csr_pem(
                x509_key(0), &(struct csr_options) { .subject = identity.subject, .broken_signature = true });
        _cleanup_(freep) char *broken_csr = base64_of(broken, strlen(broken));
        _cleanup_(freep) char *der = base64_of("\x30\x82", 2), *huge_body = calloc(1, 3 * 1024 * 1024);

        check_csr(&stage, &identity, "one line", good, NULL);
        check_csr(&stage, &identity, "newlines", lf, NULL);
        check_csr(&stage, &identity, "CRLF", crlf, NULL);
        check_csr(&stage, &identity, "another label", labelled, NULL);
        check_csr(&stage, &identity, "blanks", blanks, base64_error);
        check_csr(&stage, &identity, "PEM", pem, base64_error);
        check_csr(&stage, &identity, "DER", der, pem_error);
        check_csr(&stage, &identity, "empty", "", pem_error);
        check_csr(&stage, &identity, "broken signature", broken_csr,
                  SIGNING "CSR signature invalid: crypto/rsa: verification error");

        /* one byte more or less gives padding, which is then cut off */
        if (asprintf(&odd, "%s%s", pem, strlen(pem) % 3 == 0 ? "\n" : "") < 0)
                abort();
        good = (free(good), base64_of(odd, strlen(odd)));
        *strchr(good, '=') = '\0';
        check_csr(&stage, &identity, "no padding", good, base64_error);

        memset(huge_body, 'x', 3 * 1024 * 1024 - 1);
        huge = base64_of(huge_body, 3 * 1024 * 1024 - 1);
        check_csr(&stage, &identity, "3 MB", huge, pem_error);
}
END_TEST

START_TEST(csr_keys) {
        static const char ec_error[] = SIGNING "Error while creating certificate: x509: requested "
                                               "SignatureAlgorithm does not match private key type";
        static const struct {
                const char *kind, *error;
        } kinds[] = { { "rsa1024", NULL }, { "ec", ec_error }, { "ed25519", ec_error } };
        static const struct {
                const char *digest;
                bool pss;
                int algorithm;
        } digests[] = {
                { "SHA256", false, NID_sha256WithRSAEncryption },
                { "SHA1", false, NID_sha1WithRSAEncryption },
                { "SHA384", false, NID_sha384WithRSAEncryption },
                { "SHA256", true, NID_rsassaPss },
        };
        _cleanup_(stage_clear) struct stage stage = stage_new(NULL);
        _cleanup_(identity_clear) struct identity identity = dev_enrol(stage.dev, x509_key(0), "a");

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                EVP_PKEY *key = other_key(kinds[i].kind);
                _cleanup_(freep) char *csr = good_csr(key, identity.subject);

                check_csr(&stage, &identity, kinds[i].kind, csr, kinds[i].error);
                EVP_PKEY_free(key);
        }
        for (size_t i = 0; i < ELEMENTSOF(digests); i++) {
                _cleanup_(freep) char *pem =
                        csr_pem(x509_key(0), &(struct csr_options) { .subject = identity.subject,
                                                                     .digest = digests[i].digest,
                                                                     .pss = digests[i].pss });
                _cleanup_(freep) char *csr = base64_of(pem, strlen(pem));
                struct identity issued = check_sign(&stage, &identity, digests[i].digest, csr, NULL);
                STACK_OF(X509) *list = certificates_of(issued.chain);
                X509 *leaf = sk_X509_value(list, 0);

                ck_assert_int_eq(X509_get_signature_nid(leaf), digests[i].algorithm);
                ck_assert_int_eq(X509_verify(leaf, X509_get0_pubkey(sk_X509_value(list, 1))), 1);
                sk_X509_pop_free(list, X509_free);
                identity_clear(&issued);
        }
}
END_TEST

START_TEST(csr_extras) {
        _cleanup_(stage_clear) struct stage stage = stage_new(NULL);
        _cleanup_(identity_clear) struct identity identity = dev_enrol(stage.dev, x509_key(0), "a");
        _cleanup_(freep) char *pem = csr_pem(
                x509_key(0),
                &(struct csr_options) {
                        .subject = "CN=a,O=Org,OU=OrgUnit,OU=Second,L=locality,ST=province,C=DE,street=Main,"
                                   "serialNumber=42,emailAddress=a@example.com",
                        .subject_alternative_name = true });
        _cleanup_(freep) char *csr = base64_of(pem, strlen(pem));
        struct identity issued = check_sign(&stage, &identity, "extras", csr, NULL);
        STACK_OF(X509) *list = certificates_of(issued.client);
        BIO *bio = BIO_new(BIO_s_mem());
        char *text;
        long n;

        X509_NAME_print_ex(bio, X509_get_subject_name(sk_X509_value(list, 0)), 0, XN_FLAG_RFC2253);
        n = BIO_get_mem_data(bio, &text);
        ck_assert_int_eq(
                n, (long)strlen("serialNumber=42,CN=a,OU=OrgUnit+OU=Second,O=Org,street=Main,L=locality,"
                                "ST=province,C=DE"));
        ck_assert(strncmp(text,
                          "serialNumber=42,CN=a,OU=OrgUnit+OU=Second,O=Org,street=Main,L=locality,ST="
                          "province,C=DE",
                          (size_t)n) == 0);
        ck_assert_int_lt(X509_get_ext_by_NID(sk_X509_value(list, 0), NID_subject_alt_name, -1), 0);
        BIO_free(bio);
        sk_X509_pop_free(list, X509_free);
        identity_clear(&issued);
}
END_TEST

#define CODE(code) ",\"extensions\":{\"code\":\"" code "\"}}],\"data\":null}"

START_TEST(http_rows) {
        static const char not_found[] = "{\"error\": {\"code\": 404, \"status\": \"Not Found\", \"message\": "
                                        "\"Requested url does not match any rules\"}}";
        static const struct {
                const char *what;
                struct request request; /* the body, or the path in `url` */
                long status;
                const char *type, *body;
        } rows[] = {
                { "not JSON",
                  { .body = "{" },
                  400,
                  "application/json",
                  "{\"errors\":[{\"message\":\"json request body could not be decoded: unexpected EOF "
                  "body:{\"}],"
                  "\"data\":null}" },
                { "empty body",
                  { .body = "" },
                  400,
                  "application/json",
                  "{\"errors\":[{\"message\":\"json request body could not be decoded: EOF "
                  "body:\"}],\"data\":null}" },
                { "no query",
                  { .body = "{}" },
                  422,
                  "application/json",
                  "{\"errors\":[{\"message\":\"no operation provided\"" CODE("GRAPHQL_VALIDATION_FAILED") },
                { "syntax error",
                  { .body = "{\"query\":\"query { result: configuration {\"}" },
                  422,
                  "application/json",
                  "{\"errors\":[{\"message\":\"Expected Name, found "
                  "\\u003cEOF\\u003e\",\"locations\":[{\"line\":1,"
                  "\"column\":32}]" CODE("GRAPHQL_PARSE_FAILED") },
                { "unknown field",
                  { .body = "{\"query\":\"query { nope }\"}" },
                  422,
                  "application/json",
                  "{\"errors\":[{\"message\":\"Cannot query field \\\"nope\\\" on type "
                  "\\\"Query\\\".\",\"locations\":"
                  "[{\"line\":1,\"column\":9}]" CODE("GRAPHQL_VALIDATION_FAILED") },
                { "missing variable",
                  { .body = "{\"query\":\"" QUERY_SIGN "\",\"variables\":{}}" },
                  422,
                  "application/json",
                  "{\"errors\":[{\"message\":\"must be defined\",\"path\":[\"variable\",\"csr\"]" CODE(
                          "GRAPHQL_VALIDATION_FAILED") },
                { "variable of wrong type",
                  { .body = "{\"query\":\"" QUERY_SIGN "\",\"variables\":{\"csr\":5}}" },
                  200,
                  "application/json",
                  "{\"errors\":[{\"message\":\"" DECODING
                  "Error while parsing base64 content. Incorrect value "
                  "provided.\",\"path\":[\"result\"]}],\"data\":null}" },
                { "text/plain",
                  { .body = "{\"query\":\"" QUERY_PROBE "\"}", .content_type = "text/plain" },
                  400,
                  EMPTY_400_TYPE,
                  "{\"errors\":[{\"message\":\"transport not supported\"}],\"data\":null}" },
                { "no content type",
                  { .body = "{\"query\":\"" QUERY_PROBE "\"}", .content_type = "" },
                  400,
                  EMPTY_400_TYPE,
                  "{\"errors\":[{\"message\":\"transport not supported\"}],\"data\":null}" },
                { "charset",
                  { .body = "{\"query\":\"" QUERY_PROBE "\"}",
                    .content_type = "application/json; charset=utf-8" },
                  200,
                  "application/json",
                  "{\"data\":{\"__typename\":\"Query\"}}" },
                { "GET query",
                  { .url = "?query=query%20%7B__typename%7D" },
                  200,
                  "application/json",
                  "{\"data\":{\"__typename\":\"Query\"}}" },
                { "GET mutation",
                  { .url = "?query=mutation%7Bresult:revokeCertificate%7D" },
                  406,
                  "application/json",
                  "{\"errors\":[{\"message\":\"GET requests only allow query operations\"}],\"data\":null}" },
                { "PUT", { .method = "PUT", .body = "{}" }, 404, "application/json", not_found },
                { "DELETE", { .method = "DELETE" }, 404, "application/json", not_found },
                { "other path", { .url = "/../other", .body = "{}" }, 404, "application/json", not_found },
                { "introspection",
                  { .body = "{\"query\":\"{ __schema { queryType { name } mutationType { fields { name } } } "
                            "}\"}" },
                  200,
                  "application/json",
                  "{\"data\":{\"__schema\":{\"queryType\":{\"name\":\"Query\"},\"mutationType\":{\"fields\":["
                  "{\"name\":"
                  "\"signCertificateSigningRequest\"},{\"name\":\"revokeCertificate\"}]}}}}" },
                { "two operations in one",
                  { .body = "{\"query\":\"query { a: configuration { certificateSigningRequestInfo { subject "
                            "} } b: "
                            "configuration() { certificateSigningRequestInfo { keyAlgorithm } } }\"}" },
                  200,
                  "application/json",
                  "{\"data\":{\"a\":{\"certificateSigningRequestInfo\":{\"subject\":\"O=Org,OU=OrgUnit,L="
                  "locality,"
                  "ST=province,C=DE,CN=a\"}},\"b\":{\"certificateSigningRequestInfo\":{\"keyAlgorithm\":"
                  "\"rsa2048\"}}}}" },
        };
        _cleanup_(stage_clear) struct stage stage = stage_new(NULL);
        _cleanup_(identity_clear) struct identity identity = dev_enrol(stage.dev, x509_key(0), "a");

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct request request = rows[i].request;
                _cleanup_(freep) char *url = NULL, *type = NULL, *length = NULL;
                _cleanup_(response_clear) struct response response = { 0 };

                if (asprintf(&url, "%s%s", stage.dev->certificate_url, request.url ? request.url : "") < 0)
                        abort();
                request.url = url;
                request.identity = &identity;
                response = dev_request(stage.dev, &request);
                type = response_header(&response, "Content-Type");
                length = response_header(&response, "Content-Length");
                ck_assert_msg(response.status == rows[i].status && streq(response.body, rows[i].body) &&
                                      streq_null(type, rows[i].type) && length,
                              "%s: %s %ld %s %s", rows[i].what, response.error, response.status, type,
                              response.body);
        }
}
END_TEST

START_TEST(framing) {
        _cleanup_(stage_clear) struct stage stage = stage_new(NULL);
        _cleanup_(identity_clear) struct identity identity = dev_enrol(stage.dev, x509_key(0), "a");
        _cleanup_(freep) char *csr = good_csr(x509_key(0), identity.subject), *query = NULL, *raw = NULL,
                              *chunked = NULL;
        _cleanup_(freep) char *length = NULL;
        _cleanup_(response_clear) struct response inline_literal = { 0 };

        if (asprintf(&query,
                     "mutation { result: signCertificateSigningRequest(csr: \"%s\") { certificateChain "
                     "caCertificate "
                     "clientCertificate } }",
                     csr) < 0)
                abort();
        inline_literal = dev_call(stage.dev, &identity, NULL, query, NULL);
        ck_assert_int_eq(inline_literal.status, 200);
        ck_assert_ptr_null(strchr(inline_literal.body, '\n'));
        chunked = response_header(&inline_literal, "Transfer-Encoding");
        length = response_header(&inline_literal, "Content-Length");
        ck_assert_msg(streq_null(chunked, "chunked") && !length, "%s", inline_literal.headers);

        /* what `openssl base64` prints, put into a literal */
        raw = wrap(csr, 64, "\n");
        query = (free(query), NULL);
        if (asprintf(&query,
                     "mutation { result: signCertificateSigningRequest(csr: \"%s\") { caCertificate } }",
                     raw) < 0)
                abort();
        response_clear(&inline_literal);
        inline_literal = dev_call(stage.dev, &identity, NULL, query, NULL);
        ck_assert_int_eq(inline_literal.status, 422);
        ck_assert_str_eq(
                inline_literal.body,
                "{\"errors\":[{\"message\":\"Unexpected \\u003cInvalid\\u003e\",\"locations\":[{\"line\":1,"
                "\"column\":120}],\"extensions\":{\"code\":\"GRAPHQL_PARSE_FAILED\"}}],\"data\":null}");

        /* the same in a block string is fine */
        query = (free(query), NULL);
        if (asprintf(&query,
                     "mutation { result: signCertificateSigningRequest(csr: \"\"\"%s\"\"\") { "
                     "certificateChain "
                     "caCertificate clientCertificate } }",
                     raw) < 0)
                abort();
        response_clear(&inline_literal);
        inline_literal = dev_call(stage.dev, &identity, NULL, query, NULL);
        ck_assert_int_eq(inline_literal.status, 200);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("devconnector");
        int r;

        x509_key(3);
        stage_init();
        TEST_CASE(suite, token_endpoint);
        TEST_CASE(suite, tokens_expire);
        TEST_CASE(suite, certificate_shape);
        TEST_CASE(suite, csr_rules);
        TEST_CASE(suite, csr_encodings);
        TEST_CASE(suite, csr_keys);
        TEST_CASE(suite, csr_extras);
        TEST_CASE(suite, http_rows);
        TEST_CASE(suite, framing);
        r = test_run(suite);
        stage_done();
        return r;
}
