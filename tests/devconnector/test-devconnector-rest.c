/*
 * The older service as a client meets it. The first test asks what the real one was asked, in the same order,
 * and expects what it answered: status, content type, framing and body, all of them, and what was in its
 * certificates. The others are about clients, revocation and bodies.
 */

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "tests/test.h"

#include "devconnector/testing/rest-client.h"
#include "devconnector/testing/stage.h"
#include "tests/support/x509.h"

#define SUBJECT(name)                                                                                     \
        "\"certificate\":{\"subject\":\"O=my-tenant,OU=my-group,L=Waldorf,ST=Waldorf,C=DE,CN=" name "\"," \
        "\"extensions\":\"\",\"key-algorithm\":\"rsa2048\"}"
#define APPLICATION_URLS                                        \
        "\"eventsInfoUrl\":\"$C/my-app/v1/events/subscribed\"," \
        "\"eventsUrl\":\"$C/my-app/v1/events\","                \
        "\"metadataUrl\":\"$C/my-app/v1/metadata/services\","
#define API_URLS                                    \
        "\"infoUrl\":\"$C/v1/$K/management/info\"," \
        "\"certificatesUrl\":\"$T/v1/$K/certificates\""
#define RENEWAL_URLS                                           \
        "\"renewCertUrl\":\"$C/v1/$K/certificates/renewals\"," \
        "\"revokeCertUrl\":\"$C/v1/$K/certificates/revocations\""
#define CSR_URL "\"csrUrl\":\"$T/v1/$K/certificates?token=$?\""

static const char *const token_bodies[] = {
        "{\"url\":\"$T/v1/$K/signingRequests/info?token=$?\",\"token\":\"$?\"}",
        "{\"url\":\"$T/v1/$K/signingRequests/info?token=$?\",\"token\":\"$?\"}",
};
static const char *const info_bodies[] = {
        "{" CSR_URL ",\"api\":{" APPLICATION_URLS API_URLS "}," SUBJECT("my-app") "}",
        "{" CSR_URL ",\"api\":{" API_URLS "}," SUBJECT("*Runtime*") "}",
};
static const char *const management_bodies[] = {
        "{\"clientIdentity\":{\"application\":\"my-app\",\"group\":\"my-group\",\"tenant\":\"my-tenant\"},"
        "\"urls\":{" APPLICATION_URLS RENEWAL_URLS "}," SUBJECT("my-app") "}",
        "{\"clientIdentity\":{\"group\":\"my-group\",\"tenant\":\"my-tenant\"},"
        "\"urls\":{" RENEWAL_URLS "}," SUBJECT("*Runtime*") "}",
};
static const char *const certificate_bodies[] = {
        "{\"crt\":\"$?\",\"clientCrt\":\"$?\",\"caCrt\":\"$?\"}",
        "{\"crt\":\"$?\",\"clientCrt\":\"$?\",\"caCrt\":\"$?\"}",
};

/* An error, which is the same for both kinds. */
#define ERROR(status, text) (status), REST_JSON, "{\"code\":" #status ",\"error\":\"" text "\"}", NULL

static const struct transcript_row {
        const char *what;
        const char *method; /* NULL: GET without a body, POST with one */
        const char *url;
        enum content content;
        bool mutual;
        long status;
        const char *type;
        const char *body;          /* for both kinds, or NULL */
        const char *const *bodies; /* for applications, for runtimes */
} transcript[] = {
        { "a token", "POST", "$A/v1/$K/tokens", CONTENT_NONE, false, 201, REST_JSON, NULL, token_bodies },
        { "info: no token", NULL, "$T/v1/$K/signingRequests/info", CONTENT_NONE, false,
          ERROR(403, "Token not provided.") },
        { "info: wrong token", NULL, "$T/v1/$K/signingRequests/info?token=wrong", CONTENT_NONE, false,
          ERROR(403, "Invalid token.") },
        { "info", NULL, "$T/v1/$K/signingRequests/info?token=$1", CONTENT_NONE, false, 200, REST_JSON, NULL,
          info_bodies },
        { "info: same token again", NULL, "$T/v1/$K/signingRequests/info?token=$1", CONTENT_NONE, false,
          ERROR(403, "Invalid token.") },
        { "certificates: bad base64", NULL, "$T/v1/$K/certificates?token=$2", CONTENT_BAD_BASE64, false,
          ERROR(400,
                "There was an error while parsing the base64 content. An incorrect value was provided.") },
        { "certificates: no PEM", NULL, "$T/v1/$K/certificates?token=$2", CONTENT_NO_PEM, false,
          ERROR(400, "Error while decoding pem block.") },
        { "certificates: no JSON", NULL, "$T/v1/$K/certificates?token=$2", CONTENT_NO_JSON, false,
          ERROR(500, "Error while unmarshalling request body: unexpected end of JSON input") },
        { "certificates: another CN", NULL, "$T/v1/$K/certificates?token=$2", CONTENT_OTHER_NAME, false,
          ERROR(400, "CSR: Invalid common name provided.") },
        { "certificates: same token after four failures", NULL, "$T/v1/$K/certificates?token=$2", CONTENT_CSR,
          false, 201, REST_JSON, NULL, certificate_bodies },
        { "certificates: token used", NULL, "$T/v1/$K/certificates?token=$2", CONTENT_CSR, false,
          ERROR(403, "Invalid token.") },
        { "management/info", NULL, "$C/v1/$K/management/info", CONTENT_NONE, true, 200, REST_JSON, NULL,
          management_bodies },
        { "renewals", NULL, "$C/v1/$K/certificates/renewals", CONTENT_CSR, true, 201, REST_JSON, NULL,
          certificate_bodies },
        { "renewals: EC key", NULL, "$C/v1/$K/certificates/renewals", CONTENT_EC, true,
          ERROR(500, "Error while creating certificate: x509: requested SignatureAlgorithm does not match "
                     "private key type") },
        { "renewals: another O", NULL, "$C/v1/$K/certificates/renewals", CONTENT_OTHER_ORGANIZATION, true,
          ERROR(400, "CSR: Invalid organization provided.") },
        { "renewals: GET", NULL, "$C/v1/$K/certificates/renewals", CONTENT_NONE, true,
          ERROR(405, "Method not allowed.") },
        { "renewals at the token endpoint", NULL, "$T/v1/$K/certificates/renewals", CONTENT_CSR, false,
          ERROR(400, "Invalid certificate: Certificate header is empty") },
        { "unknown path", NULL, "$T/v1/$K/nothing", CONTENT_NONE, false,
          ERROR(404, "Requested resource could not be found.") },
        { "revocations", "POST", "$C/v1/$K/certificates/revocations", CONTENT_NONE, true, 201, REST_JSON, "",
          NULL },
        { "management/info: revoked", NULL, "$C/v1/$K/management/info", CONTENT_NONE, true, 200, REST_JSON,
          NULL, management_bodies },
        { "renewals: revoked", NULL, "$C/v1/$K/certificates/renewals", CONTENT_CSR, true,
          ERROR(403, "Certificate has been revoked.") },
        /* Not in the transcripts, but by the same check. */
        { "revocations: revoked", "POST", "$C/v1/$K/certificates/revocations", CONTENT_NONE, true,
          ERROR(403, "Certificate has been revoked.") },
};

/* Short answers have a length, signatures come in chunks. */
static void check_framing(const struct response *response, const char *what) {
        _cleanup_(freep) char *coding = response_header(response, "Transfer-Encoding"),
                              *length = response_header(response, "Content-Length");
        bool is_long = response->size > 2048;

        ck_assert_msg(streq_null(coding, is_long ? "chunked" : NULL), "%s: %s", what, response->headers);
        ck_assert_msg(is_long ? !length : length && strtoul(length, NULL, 10) == response->size, "%s: %s",
                      what, response->headers);
}

/* For applications, for runtimes. */
static const char *const issued_subjects[] = {
        "C = DE, ST = Waldorf, L = Waldorf, O = my-tenant, OU = my-group, CN = my-app",
        "C = DE, ST = Waldorf, L = Waldorf, O = my-tenant, OU = my-group, CN = *Runtime*",
};

/* All certificates of TEXT, which has nothing else in it. */
static STACK_OF(X509) * read_chain(const char *text) {
        STACK_OF(X509) *chain = sk_X509_new_null();
        BIO *bio = BIO_new_mem_buf(text, -1);
        X509 *certificate;

        ck_assert(chain && bio);
        while ((certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
                ck_assert_int_gt(sk_X509_push(chain, certificate), 0);
        ERR_clear_error(); /* the end is an error */
        BIO_free(bio);
        return chain;
}

/* All attributes are PrintableStrings, except the CN where it IS_UTF8. */
static void check_name(const X509_NAME *name, const char *expected, bool is_utf8) {
        const int last = X509_NAME_entry_count(name) - 1;
        BIO *bio = BIO_new(BIO_s_mem());
        char *text;
        long size;

        ck_assert_int_ge(X509_NAME_print_ex(bio, name, 0, XN_FLAG_ONELINE), 0);
        size = BIO_get_mem_data(bio, &text);
        ck_assert_msg((size_t)size == strlen(expected) && memcmp(text, expected, (size_t)size) == 0, "%.*s",
                      (int)size, text);
        for (int i = 0; i <= last; i++)
                ck_assert_int_eq(ASN1_STRING_type(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i))),
                                 is_utf8 && i == last ? V_ASN1_UTF8STRING : V_ASN1_PRINTABLESTRING);
        BIO_free(bio);
}

/* `crt` is `clientCrt` and then `caCrt`; the leaf has serial number 2, and 90 days from now on. */
static void check_issued(const struct rest_world *world, bool runtimes) {
        const struct identity *identity = &world->identity;
        STACK_OF(X509) *chain = read_chain(identity->chain), *client = read_chain(identity->client),
                       *ca = read_chain(identity->ca);
        X509 *leaf = sk_X509_value(chain, 0);
        int days, seconds;

        ck_assert_int_eq(sk_X509_num(chain), 2);
        ck_assert_int_eq(sk_X509_num(client), 1);
        ck_assert_int_eq(sk_X509_num(ca), 1);
        ck_assert_int_eq(X509_cmp(leaf, sk_X509_value(client, 0)), 0);
        ck_assert_int_eq(X509_cmp(sk_X509_value(chain, 1), sk_X509_value(ca, 0)), 0);
        check_name(X509_get_subject_name(leaf), issued_subjects[runtimes], runtimes);
        check_name(X509_get_issuer_name(leaf), "CN = Kyma", true);
        ck_assert_int_eq(ASN1_INTEGER_get(X509_get0_serialNumber(leaf)), 2);
        ck_assert_int_eq(X509_get_signature_nid(leaf), NID_sha256WithRSAEncryption);
        ck_assert_int_eq(ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(leaf), X509_get0_notAfter(leaf)),
                         1);
        ck_assert_int_eq(days, 90);
        ck_assert_int_eq(seconds, 0);
        sk_X509_pop_free(chain, X509_free);
        sk_X509_pop_free(client, X509_free);
        sk_X509_pop_free(ca, X509_free);
}

static void replay(const struct dev *dev, bool runtimes) {
        _cleanup_(rest_world_clear) struct rest_world world =
                rest_world_new(dev, runtimes ? "runtimes" : "applications");

        for (size_t i = 0; i < ELEMENTSOF(transcript); i++) {
                const struct transcript_row *row = &transcript[i];
                _cleanup_(freep) char *body = rest_content(&world, row->content), *type = NULL;
                _cleanup_(response_clear) struct response response =
                        rest_ask(&world, row->method, row->url, body, row->mutual);

                type = response_header(&response, "Content-Type");
                ck_assert_msg(response.status == row->status && streq_null(type, row->type) &&
                                      rest_matches(&world, row->bodies ? row->bodies[runtimes] : row->body,
                                                   response.body),
                              "%s, %s: %s %ld %s %s", world.kind, row->what, response.error, response.status,
                              type, response.body);
                check_framing(&response, row->what);
                rest_keep(&world, &response);
                if (row->bodies == certificate_bodies)
                        check_issued(&world, runtimes);
        }
}

#define WALDORF OPTIONS("--subject", "O=Org,OU=OrgUnit,L=Waldorf,ST=Waldorf,C=DE")

START_TEST(transcripts) {
        _cleanup_(stage_clear) struct stage stage = stage_new(WALDORF);
        _cleanup_(response_clear) struct response response = { 0 };
        _cleanup_(rest_world_clear) struct rest_world world = rest_world_new(stage.dev, "");
        _cleanup_(freep) char *type = NULL, *location = NULL;

        replay(stage.dev, false);
        replay(stage.dev, true);

        response = rest_ask(&world, NULL, "$T/v1", NULL, false);
        type = response_header(&response, "Content-Type");
        location = response_header(&response, "Location");
        ck_assert_int_eq(response.status, 301);
        ck_assert_str_eq(type, "text/html; charset=utf-8");
        ck_assert_str_eq(location, "/v1/api.yaml");
        ck_assert(rest_matches(&world, "<a href=\"/v1/api.yaml\">Moved Permanently</a>.\n", response.body));
        check_framing(&response, "/v1");
}
END_TEST

/* What is in a subject, and which tokens fit which kind. */
START_TEST(clients) {
        static const struct {
                const char *kind, *options, *subject;
        } rows[] = {
                { "applications", "{\"client\":\"a\"}", "O=Org,OU=OrgUnit,L=Waldorf,ST=Waldorf,C=DE,CN=a" },
                { "applications", "{\"client\":\"a\",\"tenant\":\"T\",\"group\":\"G\"}",
                  "O=T,OU=G,L=Waldorf,ST=Waldorf,C=DE,CN=a" },
                { "applications", "{\"client\":\"a\",\"group\":\"G\"}",
                  "O=Org,OU=G,L=Waldorf,ST=Waldorf,C=DE,CN=a" },
                { "runtimes", "{\"client\":\"a\",\"type\":\"runtime\"}",
                  "O=Org,OU=OrgUnit,L=Waldorf,ST=Waldorf,C=DE,CN=*Runtime*" },
                { "runtimes", "{\"type\":\"runtime\",\"tenant\":\"T\",\"group\":\"<G>\"}",
                  "O=T,OU=<G>,L=Waldorf,ST=Waldorf,C=DE,CN=*Runtime*" },
        };
        _cleanup_(stage_clear) struct stage stage = stage_new(WALDORF);
        _cleanup_(json_decrefp) json_t *system =
                dev_admin(stage.dev, NULL, "/tokens", "{\"type\":\"integration-system\"}");

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(rest_world_clear) struct rest_world world =
                        rest_enrol(stage.dev, rows[i].kind, rows[i].options);

                ck_assert_str_eq(world.subject, rows[i].subject);
                ck_assert_int_eq(rest_status(&world, INFO), 200);
                ck_assert_int_eq(rest_status(&world, RENEW), 201);
        }

        ck_assert(json_is_null(json_object_get(system, "url")));
        for (size_t i = 0; i < 2; i++) {
                _cleanup_(rest_world_clear) struct rest_world world =
                        rest_world_new(stage.dev, i == 0 ? "runtimes" : "applications");

                world.first = dev_token(stage.dev, i == 0 ? "{}" : "{\"type\":\"runtime\"}");
                ck_assert_int_eq(rest_status(&world, FIRST_INFO), 403);
                world.kind = i == 0 ? "applications" : "runtimes";
                ck_assert_int_eq(rest_status(&world, FIRST_INFO), 200);
        }
}
END_TEST

/* Both protocols have the same CA, tokens and list of revoked certificates. */
START_TEST(one_connector) {
        _cleanup_(stage_clear) struct stage stage = stage_new(NULL);
        _cleanup_(rest_world_clear) struct rest_world world =
                rest_enrol(stage.dev, "applications", "{\"client\":\"a\"}");
        _cleanup_(identity_clear) struct identity compass = { 0 };

        check_probe(probe(stage.dev, &world.identity), "a certificate of the older service");
        ck_assert_int_eq(rest_status(&world, REVOKE), 201);
        check_empty_400(probe(stage.dev, &world.identity), "revoked by the older service");
        ck_assert_int_eq(rest_status(&world, INFO), 200);
        ck_assert_int_eq(rest_status(&world, RENEW), 403);
        ck_assert_int_eq(rest_status(&world, REVOKE), 403);

        compass = dev_enrol(stage.dev, x509_key(1), "b");
        identity_clear(&world.identity);
        world.identity = compass;
        compass = (struct identity) { 0 };
        ck_assert_int_eq(rest_status(&world, INFO), 200);
        world.first = dev_token(stage.dev, "{\"client\":\"a\"}");
        ck_assert_int_eq(rest_status(&world, FIRST_INFO), 200);
        check_empty_400(dev_call(stage.dev, NULL, world.first, QUERY_CONFIGURATION, NULL), "used for REST");
}
END_TEST

START_TEST(bodies) {
        static const struct {
                const char *body, *error;
                long status;
        } rows[] = {
                { "", "unexpected end of JSON input", 500 },
                { "  ", "unexpected end of JSON input", 500 },
                { "nonsense", "invalid character 'n' looking for beginning of value", 500 },
                { "[]", "cannot unmarshal array into Go value of type externalapi.certRequest", 500 },
                { "{\"csr\":1}",
                  "cannot unmarshal number into Go struct field certRequest.csr of type string", 500 },
                { "{\"csr\":null}", "Error while decoding pem block.", 400 },
                { "{}", "Error while decoding pem block.", 400 },
                { "null", "Error while decoding pem block.", 400 },
        };
        _cleanup_(stage_clear) struct stage stage = stage_new(NULL);
        _cleanup_(rest_world_clear) struct rest_world world = rest_enrol(stage.dev, "applications", "{}");
        _cleanup_(freep) char *body = rest_content(&world, CONTENT_CSR), *url = NULL;
        _cleanup_(response_clear) struct response untyped = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(response_clear) struct response response =
                        rest_ask(&world, "POST", "$C/v1/$K/certificates/renewals", rows[i].body, true);

                ck_assert_msg(response.status == rows[i].status && strstr(response.body, rows[i].error),
                              "%s: %ld %s", rows[i].body, response.status, response.body);
        }

        /* No content type is asked for. */
        url = rest_expand(&world, "$C/v1/$K/certificates/renewals");
        untyped = dev_request(stage.dev, &(struct request) { .url = url,
                                                             .body = body,
                                                             .content_type = "",
                                                             .identity = &world.identity });
        ck_assert_int_eq(untyped.status, 201);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("devconnector-rest");
        int r;

        x509_key(1);
        stage_init();
        TEST_CASE(suite, transcripts);
        TEST_CASE(suite, clients);
        TEST_CASE(suite, one_connector);
        TEST_CASE(suite, bodies);
        r = test_run(suite);
        stage_done();
        return r;
}
