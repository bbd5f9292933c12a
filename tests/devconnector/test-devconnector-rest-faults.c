/*
 * Faults as a client of the older service meets them: which calls they strike, and what becomes of its token.
 */

#include "tests/test.h"

#include "devconnector/testing/rest-client.h"
#include "devconnector/testing/stage.h"
#include "tests/support/x509.h"

/* A token ends with the call that succeeds, whether or not its answer arrives, and with nothing else. */
START_TEST(faults_and_tokens) {
        static const struct {
                const char *fault;
                bool used_up;
        } rows[] = {
                { "\"bad-gateway-502\"", false },
                { "\"bad-gateway-502\",\"burn_token\":true", true },
                { "\"status\",\"status\":500", false },
                { "\"rate-limit\"", false },
                { "\"graphql-error\"", false },
                { "\"cut-connection\"", false },
                { "\"cut-connection\",\"executed\":true", true },
                { "\"cut-body\"", true },
                { "\"garbage\"", true },
                { "\"null-field\"", true },
        };
        static const char *const names[] = { "configuration", "sign" };
        _cleanup_(stage_clear) struct stage stage = stage_new(NULL);
        _cleanup_(rest_world_clear) struct rest_world world = rest_world_new(stage.dev, "applications");

        for (size_t i = 0; i < ELEMENTSOF(rows) * ELEMENTSOF(names); i++) {
                const char *operation = names[i % ELEMENTSOF(names)];
                bool is_sign = streq(operation, "sign"), used_up = rows[i / ELEMENTSOF(names)].used_up;
                _cleanup_(freep) char *fault = NULL;
                _cleanup_(response_clear) struct response info = { 0 };
                long status;

                free(world.first);
                world.first = dev_token(stage.dev, "{\"client\":\"a\"}");
                if (is_sign) {
                        info = rest_ask(&world, NULL, "$T/v1/$K/signingRequests/info?token=$1", NULL, false);
                        rest_keep(&world, &info);
                }
                if (asprintf(&fault, "{\"fault\":%s,\"count\":1,\"at\":\"%s\"}",
                             rows[i / ELEMENTSOF(names)].fault, operation) < 0)
                        abort();
                dev_fault(stage.dev, fault);
                (void)(is_sign ? rest_status(&world, FIRST_SIGN) : rest_status(&world, FIRST_INFO));
                status = is_sign ? rest_status(&world, FIRST_SIGN) : rest_status(&world, FIRST_INFO);
                ck_assert_msg(status == (used_up ? 403 : is_sign ? 201 : 200), "%s: %ld", fault, status);
        }

        free(world.first);
        world.first = dev_token(stage.dev, "{\"lifetime\":\"1ms\"}");
        while (rest_status(&world, FIRST_INFO) == 200) { /* a very quick machine */
                free(world.first);
                world.first = dev_token(stage.dev, "{\"lifetime\":\"1ms\"}");
        }
        ck_assert_int_eq(rest_status(&world, FIRST_INFO), 403);
}
END_TEST

/* The operation of the newest call. */
static char *last_operation(const struct dev *dev) {
        _cleanup_(json_decrefp) json_t *calls = dev_admin(dev, NULL, "/calls", NULL);
        const json_t *last = json_array_get(calls, json_array_size(calls) - 1);

        ck_assert_str_eq(json_string_value(json_object_get(last, "protocol")), "connector-service");
        return strdup(json_string_value(json_object_get(last, "operation")));
}

static void check_operation(const struct dev *dev, const char *expected, long status, long expected_status) {
        _cleanup_(freep) char *operation = last_operation(dev);

        ck_assert_str_eq(operation, expected);
        ck_assert_int_eq(status, expected_status);
}

/* management/info is the probe of a certificate until a good answer to it, then its configuration. */
START_TEST(operations) {
        _cleanup_(stage_clear) struct stage stage = stage_new(NULL);
        _cleanup_(rest_world_clear) struct rest_world world = rest_enrol(stage.dev, "applications", "{}");
        _cleanup_(json_decrefp) json_t *calls = dev_admin(stage.dev, NULL, "/calls", NULL);
        _cleanup_(response_clear) struct response renewal = { 0 };
        _cleanup_(freep) char *body = rest_content(&world, CONTENT_CSR);
        static const char *const first[] = { "configuration", "sign" };

        ck_assert_uint_eq(json_array_size(calls), ELEMENTSOF(first));
        for (size_t i = 0; i < ELEMENTSOF(first); i++)
                ck_assert_str_eq(json_string_value(json_object_get(json_array_get(calls, i), "operation")),
                                 first[i]);

        dev_fault(stage.dev, "{\"fault\":\"empty-400\",\"at\":\"probe\",\"count\":1}");
        dev_fault(stage.dev, "{\"fault\":\"garbage\",\"at\":\"probe\",\"count\":1}");
        dev_fault(stage.dev, "{\"fault\":\"bad-gateway-502\",\"at\":\"configuration\",\"count\":1}");
        check_operation(stage.dev, "probe", rest_status(&world, INFO), 400);
        check_operation(stage.dev, "probe", rest_status(&world, INFO), 200);
        check_operation(stage.dev, "probe", rest_status(&world, INFO), 200);
        check_operation(stage.dev, "configuration", rest_status(&world, INFO), 502);
        check_operation(stage.dev, "configuration", rest_status(&world, INFO), 200);

        renewal = rest_ask(&world, NULL, "$C/v1/$K/certificates/renewals", body, true);
        rest_keep(&world, &renewal);
        check_operation(stage.dev, "probe", rest_status(&world, INFO), 200);
        check_operation(stage.dev, "revoke", rest_status(&world, REVOKE), 201);
        check_operation(stage.dev, "other", rest_status(&world, NULL, "$C/v1/$K/x", CONTENT_NONE, true), 404);
}
END_TEST

/* What a fault makes of an answer. FAULT has the members behind "fault": of a request. */
START_TEST(faults) {
        static const struct {
                const char *fault, *at;
                long status;
                const char *header, *value, *body; /* BODY: a part of it */
        } rows[] = {
                { "\"status\",\"status\":507,\"body\":\"full\"", "revoke", 507, "Content-Length", "4",
                  "full" },
                { "\"bad-gateway-502\"", "sign", 502, "Content-Length", "0", "" },
                { "\"empty-400\"", "configuration", 400, "Content-Type", REST_JSON, "" },
                { "\"html-400\"", "configuration", 400, "Content-Type", "text/html", "nginx" },
                { "\"rate-limit-retry-after\",\"retry_after\":\"7s\"", "sign", 429, "Retry-After", "7",
                  "local_rate_limited" },
                { "\"redirect\",\"location\":\"https://example.com/\"", "configuration", 302, "Location",
                  "https://example.com/", "" },
                { "\"not-json\"", "sign", 201, "Content-Type", REST_JSON, "This is not JSON." },
                { "\"deep-nesting\"", "configuration", 200, "Content-Type", REST_JSON, "[[[[[[[[]]]]]]]]" },
                { "\"close\"", "configuration", 200, "Connection", "close", "\"clientIdentity\"" },
                { "\"graphql-error\",\"message\":\"boom\"", "configuration", 500, "Content-Type", REST_JSON,
                  "{\"code\":500,\"error\":\"boom\"}\n" },
                { "\"revoke-fails\"", "revoke", 500, "Content-Type", REST_JSON,
                  "{\"code\":500,\"error\":\"Unable to mark certificate as revoked: injected\"}\n" },
                { "\"other-client\",\"client\":\"x\"", "configuration", 200, "Content-Type", REST_JSON,
                  "C=DE,CN=x\"" },
                { "\"other-client\",\"client\":\"x\"", "sign", 400, "Content-Type", REST_JSON,
                  "CSR: Invalid common name provided." },
                { "\"empty-field\"", "sign", 201, "Content-Type", REST_JSON, "\"clientCrt\":\"\"" },
                { "\"missing-field\",\"field\":\"clientCrt\"", "sign", 201, "Content-Type", REST_JSON,
                  "\",\"caCrt\":\"" },
                { "\"null-field\",\"field\":\"crt\"", "sign", 201, "Content-Type", REST_JSON,
                  "{\"crt\":null," },
                { "\"garbage-base64\",\"field\":\"caCrt\"", "sign", 201, "Content-Type", REST_JSON,
                  "\"caCrt\":\"%%% this is no base64 %%%\"" },
                { "\"set-field\",\"field\":\"renewCertUrl\",\"value\":\"https://x/\"", "configuration", 200,
                  "Content-Type", REST_JSON, "\"renewCertUrl\":\"https://x/\"" },
                { "\"null-field\",\"field\":\"certificate.subject\"", "configuration", 200, "Content-Type",
                  REST_JSON, "\"certificate\":{\"subject\":null" },
                { "\"set-field\",\"field\":\"key-algorithm\",\"value\":\"ec\"", "configuration", 200,
                  "Content-Type", REST_JSON, "\"key-algorithm\":\"ec\"" },
        };
        _cleanup_(stage_clear) struct stage stage = stage_new(NULL);
        _cleanup_(rest_world_clear) struct rest_world world = rest_enrol(stage.dev, "applications", "{}");
        _cleanup_(freep) char *csr = rest_content(&world, CONTENT_CSR);

        ck_assert_int_eq(rest_status(&world, INFO), 200);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                bool is_sign = streq(rows[i].at, "sign"), is_revoke = streq(rows[i].at, "revoke");
                const char *url = is_sign     ? "$C/v1/$K/certificates/renewals"
                                  : is_revoke ? "$C/v1/$K/certificates/revocations"
                                              : "$C/v1/$K/management/info";
                _cleanup_(response_clear) struct response response = { 0 };
                _cleanup_(freep) char *fault = NULL, *value = NULL;

                if (asprintf(&fault, "{\"fault\":%s,\"count\":1,\"at\":\"%s\"}", rows[i].fault, rows[i].at) <
                    0)
                        abort();
                dev_fault(stage.dev, fault);
                response = rest_ask(&world, is_revoke ? "POST" : NULL, url, is_sign ? csr : NULL, true);
                value = response_header(&response, rows[i].header);
                ck_assert_msg(
                        response.status == rows[i].status && streq_null(value, rows[i].value) &&
                                strstr(response.body, rows[i].body) && (*rows[i].body || response.size == 0),
                        "%s: %s %ld %s %.300s", fault, response.error, response.status, value, response.body);
                ck_assert_int_eq(rest_status(&world, INFO), 200);
        }
}
END_TEST

START_TEST(cut_answers) {
        static const struct {
                const char *fault;
                bool executed;
        } rows[] = {
                { "\"cut-connection\"", false },
                { "\"cut-connection\",\"executed\":true", true },
                { "\"cut-body\",\"framing\":\"length\"", true },
                { "\"cut-body\",\"framing\":\"chunked\"", true },
        };
        static const char *const names[] = { "sign", "revoke" }; /* the second has no body to cut */
        _cleanup_(stage_clear) struct stage stage = stage_new(NULL);

        for (size_t i = 0; i < ELEMENTSOF(rows) * ELEMENTSOF(names); i++) {
                bool is_sign = i % ELEMENTSOF(names) == 0;
                _cleanup_(rest_world_clear) struct rest_world world =
                        rest_enrol(stage.dev, "applications", "{}");
                _cleanup_(freep) char *fault = NULL;
                _cleanup_(json_decrefp) json_t *calls = NULL;
                const json_t *last;
                bool executed;

                if (asprintf(&fault, "{\"fault\":%s,\"count\":1,\"at\":\"%s\"}",
                             rows[i / ELEMENTSOF(names)].fault, names[i % ELEMENTSOF(names)]) < 0)
                        abort();
                dev_fault(stage.dev, fault);
                (void)(is_sign ? rest_status(&world, RENEW) : rest_status(&world, REVOKE));
                calls = dev_admin(stage.dev, NULL, "/calls", NULL);
                last = json_array_get(calls, json_array_size(calls) - 1);
                executed = is_sign ? json_is_string(json_object_get(last, "issued"))
                                   : rest_status(&world, RENEW) == 403;
                ck_assert_msg(executed == rows[i / ELEMENTSOF(names)].executed, "%s", fault);
        }
}
END_TEST

/* Which protocol a fault strikes. */
START_TEST(meanings) {
        static const struct {
                const char *fault;
                long rest, compass;
        } rows[] = {
                { "{\"fault\":\"bad-gateway-502\"}", 502, 502 },
                { "{\"fault\":\"bad-gateway-502\",\"protocol\":\"any\"}", 502, 502 },
                { "{\"fault\":\"bad-gateway-502\",\"protocol\":\"compass\"}", 200, 502 },
                { "{\"fault\":\"bad-gateway-502\",\"protocol\":\"connector-service\"}", 502, 200 },
                { "{\"fault\":\"hydrator-down\"}", 200, 400 },
                { "{\"fault\":\"timeout-503\"}", 200, 503 },
        };
        static const struct {
                const char *body, *text;
        } refused[] = {
                { "{\"fault\":\"hydrator-down\",\"protocol\":\"connector-service\"}",
                  "hydrator-down cannot affect connector-service: no gateway asks the older service" },
                { "{\"fault\":\"timeout-503\",\"protocol\":\"connector-service\"}",
                  "has no such time limit" },
                { "{\"fault\":\"director-down\",\"protocol\":\"connector-service\"}", "has no Director" },
                { "{\"fault\":\"tls-close\",\"protocol\":\"compass\"}", "affects a connection" },
                { "{\"fault\":\"hold\",\"protocol\":\"x\"}", "compass, connector-service, any" },
        };
        _cleanup_(stage_clear) struct stage stage = stage_new(NULL);
        _cleanup_(rest_world_clear) struct rest_world world = rest_enrol(stage.dev, "applications", "{}");

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(response_clear) struct response compass = { 0 };

                dev_fault(stage.dev, rows[i].fault);
                ck_assert_msg(rest_status(&world, INFO) == rows[i].rest, "%s", rows[i].fault);
                compass = probe(stage.dev, &world.identity);
                ck_assert_msg(compass.status == rows[i].compass, "%s: %ld", rows[i].fault, compass.status);
                json_decref(dev_admin(stage.dev, "DELETE", "/faults", NULL));
        }
        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                _cleanup_(response_clear) struct response response =
                        rest_ask(&world, NULL, "$A/faults", refused[i].body, false);

                ck_assert_msg(response.status == 400 && strstr(response.body, refused[i].text), "%s: %ld %s",
                              refused[i].body, response.status, response.body);
        }
}
END_TEST

/* Makes the call that OPERATION names. A revocation needs another certificate afterwards. */
static void make_call(struct rest_world *world, const char *operation) {
        if (streq(operation, "configuration"))
                (void)rest_status(world, INFO);
        else if (streq(operation, "sign"))
                (void)rest_status(world, RENEW);
        else
                (void)rest_status(world, REVOKE);
}

/* Whether the newest call met the fault NAME. */
static bool was_met(const struct dev *dev, const char *name) {
        _cleanup_(json_decrefp) json_t *calls = dev_admin(dev, NULL, "/calls", NULL);
        const json_t *last = json_array_get(calls, json_array_size(calls) - 1);

        return streq_null(json_string_value(json_object_get(last, "fault")), name);
}

/* Each fault that devconnector knows strikes some call of REST, or is refused for it. */
START_TEST(every_fault) {
        static const char *const operations_of_rest[] = { "configuration", "sign", "revoke" };
        static const char *const connections[] = { "tls-close", "refuse-certificate" };
        _cleanup_(stage_clear) struct stage stage = stage_new(NULL);
        _cleanup_(rest_world_clear) struct rest_world world = rest_enrol(stage.dev, "applications", "{}");
        _cleanup_(response_clear) struct response known =
                rest_ask(&world, NULL, "$A/faults", "{\"fault\":\"?\"}", false);
        char *list = strstr(known.body, "one of "), *name;
        unsigned n_met = 0, n_refused = 0;

        ck_assert_ptr_nonnull(list);
        ck_assert_int_eq(rest_status(&world, INFO), 200);
        list += strlen("one of ");
        *strchr(list, '"') = '\0';
        while ((name = strsep(&list, ","))) {
                bool is_met = false, is_connection = false, is_refused = true;

                name += *name == ' ';
                for (size_t i = 0; i < ELEMENTSOF(connections); i++)
                        is_connection = is_connection || streq(name, connections[i]);
                if (is_connection ||
                    streq(name, "hold")) /* not a matter of protocols; nothing releases it here */
                        continue;
                for (size_t i = 0; i < ELEMENTSOF(operations_of_rest) && !is_met; i++) {
                        const char *at = operations_of_rest[i];
                        _cleanup_(freep) char *fault = NULL;
                        _cleanup_(response_clear) struct response armed = { 0 };

                        if (asprintf(&fault,
                                     "{\"fault\":\"%s\",\"at\":\"%s\",\"protocol\":\"connector-service\"%s}",
                                     name, at, streq(name, "delay") ? ",\"delay\":\"1ms\"" : "") < 0)
                                abort();
                        armed = rest_ask(&world, NULL, "$A/faults", fault, false);
                        if (armed.status != 200)
                                continue; /* it cannot affect that operation, or REST */
                        is_refused = false;
                        make_call(&world, at);
                        is_met = was_met(stage.dev, name);
                        json_decref(dev_admin(stage.dev, "DELETE", "/faults", NULL));
                }
                ck_assert_msg(is_met || is_refused, "%s is armed and strikes nothing", name);
                n_met += is_met;
                n_refused += is_refused;
        }
        ck_assert_uint_eq(n_refused, 3);
        ck_assert_uint_gt(n_met, 30);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("devconnector-rest-faults");
        int r;

        x509_key(1);
        stage_init();
        TEST_CASE(suite, faults_and_tokens);
        TEST_CASE(suite, operations);
        TEST_CASE(suite, faults);
        TEST_CASE(suite, cut_answers);
        TEST_CASE(suite, meanings);
        TEST_CASE(suite, every_fault);
        r = test_run(suite);
        stage_done();
        return r;
}
