/*
 * The faults of the Connector for development, each by what a client sees of it, and the admin listener that
 * arms them.
 */

#include "tests/test.h"

#include <sys/wait.h>

#include "devconnector/testing/stage.h"
#include "tests/support/x509.h"

START_TEST(gateway_faults) {
        static const struct {
                const char *fault;
                long status;
                const char *header, *value, *body; /* a header that must be there; VALUE NULL: must not */
        } rows[] = {
                { "\"status\",\"status\":507,\"body\":\"full\"", 507, "Content-Length", "4", "full" },
                { "\"timeout-503\"", 503, "Content-Type", "application/json",
                  "{\"Message\":\"operation has timed out\"}" },
                { "\"bad-gateway-502\"", 502, "Content-Length", "0", "" },
                { "\"empty-400\"", 400, "Content-Type", EMPTY_400_TYPE, "" },
                { "\"hydrator-down\"", 400, "Content-Type", EMPTY_400_TYPE, "" },
                { "\"html-400\"", 400, "Content-Type", "text/html", NULL },
                { "\"rate-limit\"", 429, "x-local-rate-limit", "gateway", "local_rate_limited" },
                { "\"rate-limit\"", 429, "Retry-After", NULL, "local_rate_limited" },
                { "\"rate-limit-retry-after\",\"retry_after\":\"7s\"", 429, "Retry-After", "7",
                  "local_rate_limited" },
                { "\"redirect\",\"location\":\"https://example.com/\"", 302, "Location",
                  "https://example.com/", "" },
                { "\"not-json\"", 200, "Content-Type", "application/json", "This is not JSON.\n" },
                { "\"graphql-error\",\"message\":\"boom\"", 200, "Content-Type", "application/json",
                  "{\"errors\":[{\"message\":\"boom\",\"path\":[\"__typename\"]}],\"data\":null}" },
                { "\"close\"", 200, "Connection", "close", "{\"data\":{\"__typename\":\"Query\"}}" },
                { "\"null-field\",\"field\":\"__typename\"", 200, "Content-Type", "application/json",
                  "{\"data\":{\"__typename\":null}}" },
        };
        _cleanup_(stage_clear) struct stage stage = stage_new(NULL);
        _cleanup_(identity_clear) struct identity identity = dev_enrol(stage.dev, x509_key(0), "a");

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(response_clear) struct response response = { 0 };
                _cleanup_(freep) char *fault = NULL, *value = NULL;

                if (asprintf(&fault, "{\"fault\":%s,\"count\":1,\"at\":\"probe\"}", rows[i].fault) < 0)
                        abort();
                dev_fault(stage.dev, fault);
                response = probe(stage.dev, &identity);
                value = response_header(&response, rows[i].header);
                ck_assert_msg(response.status == rows[i].status && streq_null(value, rows[i].value) &&
                                      (!rows[i].body || streq(response.body, rows[i].body)),
                              "%s: %s %ld %s %s", fault, response.error, response.status, value,
                              response.body);
                check_probe(probe(stage.dev, &identity), "after the fault");
        }
}
END_TEST

START_TEST(transport_faults) {
        static const struct {
                const char *fault;
                CURLcode code, other_code;
        } rows[] = {
                { "\"cut-connection\"", CURLE_GOT_NOTHING, CURLE_RECV_ERROR },
                { "\"cut-connection\",\"executed\":true", CURLE_GOT_NOTHING, CURLE_RECV_ERROR },
                { "\"cut-body\",\"framing\":\"length\"", CURLE_PARTIAL_FILE, CURLE_RECV_ERROR },
                { "\"cut-body\",\"framing\":\"chunked\"", CURLE_PARTIAL_FILE, CURLE_RECV_ERROR },
        };
        _cleanup_(stage_clear) struct stage stage = stage_new(NULL);
        _cleanup_(identity_clear) struct identity identity = dev_enrol(stage.dev, x509_key(0), "a");
        _cleanup_(freep) char *csr = good_csr(x509_key(0), identity.subject);
        struct response response;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *fault = NULL;
                _cleanup_(json_decrefp) json_t *calls = NULL;
                const json_t *last;
                bool issued;

                if (asprintf(&fault, "{\"fault\":%s,\"count\":1,\"at\":\"sign\"}", rows[i].fault) < 0)
                        abort();
                dev_fault(stage.dev, fault);
                response = dev_call(stage.dev, &identity, NULL, QUERY_SIGN, csr);
                ck_assert_msg(response.code == rows[i].code || response.code == rows[i].other_code,
                              "%s: %d %s", fault, (int)response.code, response.error);
                response_clear(&response);
                calls = dev_admin(stage.dev, NULL, "/calls", NULL);
                last = json_array_get(calls, json_array_size(calls) - 1);
                issued = json_is_string(json_object_get(last, "issued"));
                ck_assert_msg(issued == (i > 0), "%s", fault);
        }
        dev_fault(stage.dev, "{\"fault\":\"oversized-body\",\"count\":1}");
        response = probe(stage.dev, &identity);
        ck_assert_uint_gt(response.size, 2 * 1024 * 1024);
        response_clear(&response);
        dev_fault(stage.dev, "{\"fault\":\"deep-nesting\",\"count\":1}");
        response = probe(stage.dev, &identity);
        ck_assert_ptr_nonnull(strstr(response.body, "[[[[[[[[]]]]]]]]"));
        response_clear(&response);
        dev_fault(stage.dev, "{\"fault\":\"garbage\",\"count\":1}");
        response = probe(stage.dev, &identity);
        ck_assert_uint_eq(response.size, 512);
        response_clear(&response);
}
END_TEST

/* Signs under FAULT with key 1. */
static struct identity sign_under(const struct stage *stage, const struct identity *identity,
                                  const char *fault) {
        dev_fault(stage->dev, fault);
        return dev_renew(stage->dev, identity, x509_key(1));
}

static int n_certificates(const char *pem) {
        STACK_OF(X509) *list = certificates_of(pem);
        int n = sk_X509_num(list);

        sk_X509_pop_free(list, X509_free);
        return n;
}

/* Whether the leaf belongs to key 1, is called a, is signed by the CA in the reply, and is valid now. */
static void judge(const struct identity *identity, bool ret[4]) {
        STACK_OF(X509) *client = certificates_of(identity->client), *ca = certificates_of(identity->ca);
        X509 *leaf = sk_X509_value(client, 0);
        char name[64] = "";

        X509_NAME_get_text_by_NID(X509_get_subject_name(leaf), NID_commonName, name, sizeof(name));
        ret[0] = EVP_PKEY_eq(X509_get0_pubkey(leaf), x509_key(1)) == 1;
        ret[1] = streq(name, "a");
        ret[2] = X509_verify(leaf, X509_get0_pubkey(sk_X509_value(ca, 0))) == 1;
        ret[3] = X509_cmp_current_time(X509_get0_notBefore(leaf)) <= 0 &&
                 X509_cmp_current_time(X509_get0_notAfter(leaf)) > 0;
        sk_X509_pop_free(client, X509_free);
        sk_X509_pop_free(ca, X509_free);
}

START_TEST(issuing_faults) {
        static const struct {
                const char *fault;
                bool expected[4];
                int n_client, n_chain;
        } rows[] = {
                { "\"delay\",\"delay\":\"1ms\"",
                  { true, true, true, true },
                  1,
                  2 }, /* a good one, to compare with */
                { "\"wrong-key\"", { false, true, true, true }, 1, 2 },
                { "\"wrong-subject\"", { true, false, true, true }, 1, 2 },
                { "\"expired-leaf\"", { true, true, true, false }, 1, 2 },
                { "\"not-yet-valid-leaf\"", { true, true, true, false }, 1, 2 },
                { "\"not-yet-valid-leaf\",\"by\":\"30d\"", { true, true, true, false }, 1, 2 },
                { "\"short-lifetime\",\"lifetime\":\"0\"", { true, true, true, false }, 1, 2 },
                { "\"other-ca\"", { true, true, true, true }, 1, 2 },
                { "\"mixed-ca\"", { true, true, false, true }, 1, 2 },
                { "\"two-leaves\"", { true, true, true, true }, 2, 3 },
                { "\"long-chain\"", { true, true, false, true }, 1, 11 },
                { "\"weak-digest\"", { true, true, true, true }, 1, 2 },
                { "\"weak-issuer\"", { true, true, false, true }, 1, 3 },
        };
        _cleanup_(stage_clear) struct stage stage = stage_new(NULL);
        _cleanup_(identity_clear) struct identity identity = dev_enrol(stage.dev, x509_key(0), "a");

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *fault = NULL;
                _cleanup_(identity_clear) struct identity issued = { 0 };
                bool found[4];

                if (asprintf(&fault, "{\"fault\":%s,\"count\":1,\"at\":\"sign\"}", rows[i].fault) < 0)
                        abort();
                issued = sign_under(&stage, &identity, fault);
                judge(&issued, found);
                ck_assert_msg(memcmp(found, rows[i].expected, sizeof(found)) == 0,
                              "%s: key %d, name %d, CA %d, time %d", fault, found[0], found[1], found[2],
                              found[3]);
                ck_assert_int_eq(n_certificates(issued.client), rows[i].n_client);
                ck_assert_int_eq(n_certificates(issued.chain), rows[i].n_chain);
        }

        _cleanup_(identity_clear) struct identity other =
                sign_under(&stage, &identity, "{\"fault\":\"other-ca\",\"count\":1}");
        ck_assert(!streq(other.ca, identity.ca));
        _cleanup_(identity_clear) struct identity longer =
                sign_under(&stage, &identity, "{\"fault\":\"long-chain\",\"count\":1}");
        check_probe(probe(stage.dev, &longer), "a long chain that verifies");
}
END_TEST

START_TEST(field_faults) {
        static const struct {
                const char *fault, *query, *expected;
        } rows[] = {
                { "{\"fault\":\"empty-field\",\"count\":1}", QUERY_SIGN, "\"clientCertificate\":\"\"" },
                { "{\"fault\":\"null-field\",\"field\":\"caCertificate\",\"count\":1}", QUERY_SIGN,
                  "\"caCertificate\":null" },
                { "{\"fault\":\"garbage-base64\",\"field\":\"certificateChain\",\"count\":1}", QUERY_SIGN,
                  "\"certificateChain\":\"%%% this is no base64 %%%\"" },
                { "{\"fault\":\"null-field\",\"field\":\"token\",\"count\":1}", QUERY_CONFIGURATION,
                  "{\"token\":null," },
                { "{\"fault\":\"empty-field\",\"field\":\"token.token\",\"count\":1}", QUERY_CONFIGURATION,
                  "{\"token\":{\"token\":\"\"}," },
                { "{\"fault\":\"missing-field\",\"field\":\"managementPlaneInfo.directorURL\",\"count\":1}",
                  QUERY_CONFIGURATION, "\"managementPlaneInfo\":{\"certificateSecuredConnectorURL\":" },
                { "{\"fault\":\"null-field\",\"field\":\"result\",\"count\":1}", QUERY_CONFIGURATION,
                  "{\"data\":{\"result\":null}}" },
                { "{\"fault\":\"set-field\",\"field\":\"token.token\",\"value\":\"T\",\"count\":1}",
                  QUERY_CONFIGURATION, "{\"token\":{\"token\":\"T\"}," },
                { "{\"fault\":\"missing-field\",\"field\":\"nope\",\"count\":1}", QUERY_CONFIGURATION,
                  "\"token\"" },
        };
        _cleanup_(stage_clear) struct stage stage = stage_new(NULL);
        _cleanup_(identity_clear) struct identity identity = dev_enrol(stage.dev, x509_key(0), "a");
        _cleanup_(freep) char *csr = good_csr(x509_key(0), identity.subject);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                bool sign = streq(rows[i].query, QUERY_SIGN);
                _cleanup_(response_clear) struct response response = { 0 };

                dev_fault(stage.dev, rows[i].fault);
                response = dev_call(stage.dev, &identity, NULL, rows[i].query, sign ? csr : NULL);
                ck_assert_msg(response.status == 200 && strstr(response.body, rows[i].expected),
                              "%s: %s %.300s", rows[i].fault, response.error, response.body);
        }

        dev_fault(stage.dev, "{\"fault\":\"director-down\"}");
        check_error(
                dev_call(stage.dev, &identity, NULL, QUERY_CONFIGURATION, NULL),
                NO_TOKEN
                "while calling director for CSR one time token: graphql: server returned a non-200 status "
                "code: 500",
                "director down: configuration");
        _cleanup_(identity_clear) struct identity renewed = dev_renew(stage.dev, &identity, x509_key(1));
        ck_assert(!streq(renewed.client, identity.client));
}
END_TEST

/* A token survives what a gateway answers, unless told otherwise, and nothing that the Connector sees. */
START_TEST(faults_and_tokens) {
        static const struct {
                const char *fault;
                bool burnt;
        } rows[] = {
                { "{\"fault\":\"bad-gateway-502\",\"count\":1}", false },
                { "{\"fault\":\"bad-gateway-502\",\"count\":1,\"burn_token\":true}", true },
                { "{\"fault\":\"timeout-503\",\"count\":1}", true },
                { "{\"fault\":\"cut-connection\",\"count\":1}", true },
                { "{\"fault\":\"rate-limit\",\"count\":1,\"endpoint\":\"token\",\"at\":\"configuration\"}",
                  false },
        };
        _cleanup_(stage_clear) struct stage stage = stage_new(NULL);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *token = dev_token(stage.dev, NULL);
                struct response response;

                dev_fault(stage.dev, rows[i].fault);
                response = dev_call(stage.dev, NULL, token, QUERY_CONFIGURATION, NULL);
                ck_assert_int_ne(response.status, 200);
                response_clear(&response);
                if (rows[i].burnt)
                        check_empty_400(dev_call(stage.dev, NULL, token, QUERY_CONFIGURATION, NULL),
                                        rows[i].fault);
                else
                        free(token_in(dev_call(stage.dev, NULL, token, QUERY_CONFIGURATION, NULL)));
        }
}
END_TEST

START_TEST(hold_and_release) {
        static const char *const releases[][2] = { { NULL, "/release" }, { "DELETE", "/faults" } };
        _cleanup_(stage_clear) struct stage stage = stage_new(NULL);
        _cleanup_(identity_clear) struct identity identity = dev_enrol(stage.dev, x509_key(0), "a");

        for (size_t i = 0; i < ELEMENTSOF(releases); i++) {
                _cleanup_(json_decrefp) json_t *event = NULL, *released = NULL;
                pid_t child;
                int status;

                dev_fault(stage.dev, "{\"fault\":\"hold\",\"at\":\"probe\",\"count\":1}");
                child = fork();
                ck_assert_int_ge(child, 0);
                if (child == 0) {
                        struct response response = probe(stage.dev, &identity);

                        _exit(response.status == 200 ? 0 : 1);
                }
                event = dev_event(stage.dev, "held");
                ck_assert_str_eq(json_string_value(json_object_get(event, "operation")), "probe");
                released = dev_admin(stage.dev, releases[i][0], releases[i][1], releases[i][0] ? NULL : "{}");
                ck_assert_int_eq(json_integer_value(json_object_get(released, "released")), 1);
                ck_assert_int_eq(waitpid(child, &status, 0), child);
                ck_assert_int_eq(status, 0);
        }

        /* Ends cleanly with a call in its hands. */
        dev_fault(stage.dev, "{\"fault\":\"hold\"}");
        if (fork() == 0) {
                struct response response = probe(stage.dev, &identity);

                _exit(response.status == 0 ? 0 : 1);
        }
        json_decref(dev_event(stage.dev, "held"));
}
END_TEST

START_TEST(admin_refuses) {
        static const struct {
                const char *method, *path, *body;
                long status;
                const char *text;
        } rows[] = {
                { NULL, "/nope", NULL, 404, "known are GET /, POST /tokens" },
                { NULL, "/tokens", "{", 400, "not JSON" },
                { NULL, "/tokens", "[]", 400, "must be a JSON object" },
                { NULL, "/tokens", "{\"nope\":1}", 400, "known are client, type, lifetime" },
                { NULL, "/tokens", "{\"client\":\"a,OU=b\"}", 400,
                  "no comma that another attribute follows" },
                { NULL, "/tokens", "{\"client\":\"\"}", 400, "not empty" },
                { NULL, "/tokens", "{\"type\":\"x\"}", 400, "application, runtime, integration-system" },
                { NULL, "/tokens", "{\"lifetime\":\"5\"}", 400, "a duration" },
                { NULL, "/revoke", "{\"fingerprint\":\"00\"}", 400, "64 hexadecimal digits" },
                { NULL, "/revoke", "{}", 400, "64 hexadecimal digits" },
                { NULL, "/unpair", "{}", 400, "the CN of the client" },
                { NULL, "/rotate", "{\"key\":\"x\"}", 400, "must be new or same" },
                { NULL, "/rotate", "{\"dn\":\"x\"}", 400, "is not an attribute like CN=Kyma" },
                { NULL, "/release", "{\"x\":1}", 400, "known are no members" },
                { NULL, "/faults", "{}", 400, "must be one of tls-close, refuse-certificate, delay, hold" },
                { NULL, "/faults", "{\"fault\":\"hold\",\"x\":1}", 400,
                  "hold takes fault, protocol, at, endpoint, count" },
                { NULL, "/faults", "{\"fault\":\"status\",\"x\":1}", 400, "count, status, body, burn_token" },
                { NULL, "/faults", "{\"fault\":\"status\",\"status\":99}", 400, "from 200 to 599" },
                { NULL, "/faults", "{\"fault\":\"delay\",\"delay\":1}", 400, "a duration like" },
                { NULL, "/faults", "{\"fault\":\"hold\",\"count\":0}", 400, "from 1;" },
                { NULL, "/faults", "{\"fault\":\"hold\",\"at\":\"x\"}", 400,
                  "configuration, sign, revoke, probe, other, any" },
                { NULL, "/faults", "{\"fault\":\"hold\",\"endpoint\":\"x\"}", 400,
                  "certificate, token, any" },
                { NULL, "/faults", "{\"fault\":\"wrong-key\",\"at\":\"probe\"}", 400, "cannot affect probe" },
                { NULL, "/faults", "{\"fault\":\"tls-close\",\"at\":\"probe\"}", 400,
                  "affects a connection" },
                { NULL, "/faults", "{\"fault\":\"cut-body\",\"framing\":\"x\"}", 400, "length or chunked" },
        };
        _cleanup_(stage_clear) struct stage stage = stage_new(NULL);
        _cleanup_(json_decrefp) json_t *faults = NULL;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *url = NULL;
                _cleanup_(response_clear) struct response response = { 0 };

                if (asprintf(&url, "%s%s", stage.dev->admin_url, rows[i].path) < 0)
                        abort();
                response = dev_request(stage.dev, &(struct request) { .url = url, .body = rows[i].body });
                ck_assert_msg(response.status == rows[i].status && strstr(response.body, rows[i].text),
                              "%s %s: %ld %s", rows[i].path, rows[i].body, response.status, response.body);
        }
        faults = dev_admin(stage.dev, NULL, "/faults", NULL);
        ck_assert_uint_eq(json_array_size(faults), 0);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("devconnector-faults");
        int r;

        x509_key(3);
        stage_init();
        TEST_CASE(suite, gateway_faults);
        TEST_CASE(suite, transport_faults);
        TEST_CASE(suite, issuing_faults);
        TEST_CASE(suite, field_faults);
        TEST_CASE(suite, faults_and_tokens);
        TEST_CASE(suite, hold_and_release);
        TEST_CASE(suite, admin_refuses);
        r = test_run(suite);
        stage_done();
        return r;
}
