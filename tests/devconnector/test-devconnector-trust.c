/*
 * Whom the Connector for development lets in: refusals inside TLS, revocation, rotation of its CA. What
 * depends on minutes passing is tested on the modules themselves, which take the time as an argument.
 */

#include "tests/test.h"

#include <fcntl.h>
#include <openssl/pem.h>

#include "devconnector/ca.h"
#include "devconnector/registry.h"
#include "devconnector/testing/stage.h"
#include "lib/util/files.h"
#include "tests/support/scratch.h"
#include "tests/support/x509.h"

START_TEST(tls_refusals) {
        static const struct {
                const char *fault; /* that the certificate is issued under; NULL: no certificate at all */
                const char *reason, *alert_text;
                int alert_12, alert_13;
        } rows[] = {
                { NULL, "no certificate", "handshake failure", 40, 116 },
                { "{\"fault\":\"other-ca\",\"count\":1}", "unknown ca", "unknown ca", 48, 48 },
                { "{\"fault\":\"expired-leaf\",\"count\":1}", "expired", "certificate verification failed",
                  45, 45 },
                { "{\"fault\":\"no-client-auth\",\"count\":1}", "not for client authentication",
                  "unsupported certificate", 43, 43 },
                { "{\"fault\":\"not-yet-valid-leaf\",\"count\":1}", "not yet valid", "bad certificate", 42,
                  42 },
        };
        _cleanup_(stage_clear) struct stage stage = stage_new(NULL);
        _cleanup_(freep) char *body = query_body(QUERY_PROBE, NULL);

        for (size_t i = 0; i < 2 * ELEMENTSOF(rows); i++) {
                bool tls12 = i % 2 == 0;
                struct identity identity = { 0 };
                _cleanup_(response_clear) struct response response = { 0 };
                _cleanup_(json_decrefp) json_t *event = NULL;
                const char *reason;
                int alert;

                if (rows[i / 2].fault) {
                        dev_fault(stage.dev, rows[i / 2].fault);
                        identity = dev_enrol(stage.dev, x509_key(0), "a");
                }
                response = dev_request(stage.dev,
                                       &(struct request) { .body = body,
                                                           .identity = identity.key ? &identity : NULL,
                                                           .certificate = true,
                                                           .tls12 = tls12 });
                identity_clear(&identity);
                ck_assert_msg(response.code != CURLE_OK && response.status == 0, "row %zu gives %ld", i,
                              response.status);
                /* In TLS 1.3 the alert races with the request that the client has sent already. */
                ck_assert_msg(!tls12 || strstr(response.error, rows[i / 2].alert_text), "row %zu: %s", i,
                              response.error);
                event = dev_event(stage.dev, "refused");
                ck_assert_int_eq(json_unpack(event, "{s:s,s:i}", "reason", &reason, "alert", &alert), 0);
                ck_assert_str_eq(reason, rows[i / 2].reason);
                ck_assert_int_eq(alert, tls12 ? rows[i / 2].alert_12 : rows[i / 2].alert_13);
        }
}
END_TEST

START_TEST(tls_faults) {
        _cleanup_(stage_clear) struct stage stage = stage_new(OPTIONS("--tls-max", "1.2"));
        _cleanup_(identity_clear) struct identity identity = dev_enrol(stage.dev, x509_key(0), "a");
        static const char *const whens[] = { "during", "after" };
        struct response response;

        dev_fault(stage.dev, "{\"fault\":\"refuse-certificate\",\"count\":1}");
        response = probe(stage.dev, &identity);
        ck_assert_msg(strstr(response.error, "unknown ca"), "%s", response.error);
        response_clear(&response);

        for (size_t i = 0; i < ELEMENTSOF(whens); i++) {
                char fault[100];

                snprintf(fault, sizeof(fault),
                         "{\"fault\":\"tls-close\",\"count\":1,\"when\":\"%s\",\"endpoint\":\"certificate\"}",
                         whens[i]);
                dev_fault(stage.dev, fault);
                response = probe(stage.dev, &identity);
                ck_assert_msg(response.code != CURLE_OK && !strstr(response.error, "alert"), "%s: %s",
                              whens[i], response.error);
                response_clear(&response);
        }
        check_probe(probe(stage.dev, &identity), "after the faults");
}
END_TEST

START_TEST(revocation) {
        _cleanup_(freep) char *body = NULL, *csr = NULL;
        struct stage stage = stage_new(NULL);
        _cleanup_(identity_clear) struct identity a = dev_enrol(stage.dev, x509_key(0), "a");
        _cleanup_(identity_clear) struct identity b = dev_enrol(stage.dev, x509_key(1), "b");
        _cleanup_(identity_clear) struct identity c = dev_enrol(stage.dev, x509_key(2), "c");
        _cleanup_(response_clear) struct response response = { 0 };
        _cleanup_(json_decrefp) json_t *calls = NULL;
        _cleanup_(freep) char *token = NULL;
        json_t *last;

        dev_fault(stage.dev, "{\"fault\":\"revoke-fails\",\"count\":1}");
        check_error(dev_call(stage.dev, &a, NULL, QUERY_REVOKE, NULL),
                    "Failed to add hash to revocation list: injected", "revocation that fails");
        check_probe(probe(stage.dev, &a), "before the revocation");

        response = dev_call(stage.dev, &a, NULL, QUERY_REVOKE, NULL);
        ck_assert_str_eq(response.body, "{\"data\":{\"result\":true}}");
        calls = dev_admin(stage.dev, NULL, "/calls", NULL);
        last = json_array_get(calls, json_array_size(calls) - 1);
        if (asprintf(&body, "{\"fingerprint\":\"%s\"}",
                     json_string_value(json_object_get(last, "fingerprint"))) < 0)
                abort();
        json_decref(dev_admin(stage.dev, NULL, "/revoke", body));

        token = dev_token(stage.dev, "{\"client\":\"b\"}");
        json_decref(dev_admin(stage.dev, NULL, "/unpair", "{\"client\":\"b\"}"));
        check_empty_400(dev_call(stage.dev, NULL, token, QUERY_CONFIGURATION, NULL),
                        "a token of an unpaired client");

        for (int restarted = 0; restarted < 2; restarted++) {
                csr = (free(csr), good_csr(x509_key(0), a.subject));
                check_empty_400(probe(stage.dev, &a), "revoked: probe");
                check_empty_400(dev_call(stage.dev, &a, NULL, QUERY_CONFIGURATION, NULL),
                                "revoked: configuration");
                check_empty_400(dev_call(stage.dev, &a, NULL, QUERY_SIGN, csr), "revoked: sign");
                check_empty_400(dev_call(stage.dev, &a, NULL, QUERY_REVOKE, NULL), "revoked: revoke");
                check_empty_400(probe(stage.dev, &b), "unpaired");
                check_probe(probe(stage.dev, &c), "another client");
                if (restarted)
                        break;
                dev_stop(stage.dev);
                stage.dev = dev_start(stage.directory, NULL);
        }

        identity_clear(&b);
        b = dev_enrol(stage.dev, x509_key(1), "b"); /* a token pairs it again */
        check_probe(probe(stage.dev, &b), "paired again");
        stage_clear(&stage);
}
END_TEST

START_TEST(registry_of_disk) {
        _cleanup_(scratch_freep) char *directory = scratch_new();
        _cleanup_(registry_freep) struct registry *registry = NULL;
        _cleanup_(fd_closep) int dir_fd = dir_open_at(AT_FDCWD, directory);

        scratch_write(directory, "words", "one\n\ntwo", 0600);
        ck_assert_int_eq(registry_open(dir_fd, "words", &registry, NULL), 0);
        ck_assert(registry_has(registry, "one") && registry_has(registry, "two") &&
                  !registry_has(registry, ""));
        ck_assert_int_eq(registry_remove(registry, "one", NULL), 0);
        ck_assert_int_eq(registry_add(registry, "three", NULL), 0);
        registry = registry_free(registry);
        ck_assert_int_eq(registry_open(dir_fd, "words", &registry, NULL), 0);
        ck_assert(!registry_has(registry, "one") && registry_has(registry, "two") &&
                  registry_has(registry, "three"));
}
END_TEST

/* The window by the clock: 59 seconds after it was read a retired CA still signs, after 60 it does not. */
START_TEST(ca_window) {
        _cleanup_(scratch_freep) char *directory = stage_directory();
        _cleanup_(fd_closep) int dir_fd = dir_open_at(AT_FDCWD, directory);
        struct settings settings = { .directory = directory,
                                     .host = "localhost",
                                     .ca_lifetime = USEC_PER_DAY,
                                     .ca_window = 60 * USEC_PER_SEC };
        _cleanup_(ca_freep) struct ca *ca = NULL;
        _cleanup_(X509_freep) X509 *new = NULL, *old = NULL;
        usec_t now = now_usec(CLOCK_MONOTONIC) + USEC_PER_HOUR;
        struct ca_rotation rotation = { 0 };

        ck_assert_int_eq(ca_open(dir_fd, &settings, &ca, NULL), 0);
        old = ca_issuer(ca, now)->certificate; /* read again: the hour is longer than the window */
        X509_up_ref(old);
        ck_assert_int_eq(ca_rotate(ca, &rotation, &new, NULL), 0);
        ck_assert_int_eq(X509_cmp(ca_issuer(ca, now + 60 * USEC_PER_SEC - 1)->certificate, old), 0);
        ck_assert_int_eq(X509_cmp(ca_issuer(ca, now + 60 * USEC_PER_SEC)->certificate, new), 0);

        /* Half a set keeps the last good one in use. */
        scratch_write(directory, "ca.key", "no key", 0600);
        ck_assert_int_eq(X509_cmp(ca_issuer(ca, now + 120 * USEC_PER_SEC)->certificate, new), 0);
}
END_TEST

/* As the real ones: the first certificate of the file counts, and the key may be PKCS#1 or PKCS#8. */
START_TEST(ca_by_hand) {
        _cleanup_(scratch_freep) char *directory = stage_directory();
        _cleanup_(fd_closep) int dir_fd = dir_open_at(AT_FDCWD, directory);
        struct settings settings = { .directory = directory,
                                     .host = "localhost",
                                     .ca_lifetime = USEC_PER_DAY };
        _cleanup_(x509_cert_clear) struct x509_cert made =
                x509_make(&(struct x509_options) { .ca = true, .subject = "CN=By hand" });
        _cleanup_(ca_freep) struct ca *ca = NULL;
        _cleanup_(freep) char *two = X509_JOIN(&made, &made);
        BIO *bio = BIO_new(BIO_s_mem());
        char *pem;

        ck_assert_int_eq(ca_open(dir_fd, &settings, &ca, NULL), 0);
        ck_assert_int_eq(PEM_write_bio_PrivateKey_traditional(bio, made.key, NULL, NULL, 0, NULL, NULL), 1);
        ck_assert_int_ge(BIO_write(bio, "", 1), 0);
        BIO_get_mem_data(bio, &pem);
        ck_assert(has_prefix(pem, "-----BEGIN RSA PRIVATE KEY-----"));
        scratch_write(directory, "ca.key", pem, 0600);
        scratch_write(directory, "ca.crt", two, 0644);
        BIO_free(bio);
        ck_assert_int_eq(X509_cmp(ca_issuer(ca, now_usec(CLOCK_MONOTONIC))->certificate, made.handle), 0);
        ck_assert_int_eq(sk_X509_num(ca_chain(ca)), 1);
}
END_TEST

static void rotate(const struct stage *stage, const char *json) {
        json_decref(dev_admin(stage->dev, NULL, "/rotate", json));
}

static void check_unknown_ca(struct response response, const char *what) {
        _cleanup_(response_clear) struct response owned = response;

        ck_assert_msg(owned.code != CURLE_OK && owned.status == 0, "%s is accepted: %ld", what, owned.status);
}

/* The transcript of a rotation, with a window of no time and then with one that never ends. */
START_TEST(rotation) {
        _cleanup_(stage_clear) struct stage stage = stage_new(OPTIONS("--ca-window", "0"));
        _cleanup_(identity_clear) struct identity a = dev_enrol(stage.dev, x509_key(0), "a");
        struct identity b, c, d;

        rotate(&stage, "{\"key\":\"same\",\"trust\":\"both\"}");
        check_probe(probe(stage.dev, &a), "same key and DN, trust both: A");
        b = dev_renew(stage.dev, &a, x509_key(1));
        ck_assert(!streq(a.ca, b.ca));
        rotate(&stage, "{\"key\":\"same\",\"trust\":\"new\"}");
        check_probe(probe(stage.dev, &a), "same key and DN, trust new: A");
        check_probe(probe(stage.dev, &b), "same key and DN, trust new: B");

        rotate(&stage, "{\"key\":\"same\",\"dn\":\"CN=Other\",\"trust\":\"both\"}");
        check_probe(probe(stage.dev, &b), "other DN, trust both: B");
        c = dev_renew(stage.dev, &b, x509_key(2));
        rotate(&stage, "{\"key\":\"same\",\"trust\":\"new\"}");
        check_unknown_ca(probe(stage.dev, &b), "other DN, trust new: B");
        check_probe(probe(stage.dev, &c), "other DN, trust new: C");

        rotate(&stage, "{\"dn\":\"CN=Kyma\",\"trust\":\"new\"}");
        check_unknown_ca(probe(stage.dev, &c), "new key, trust new: C");
        d = dev_enrol(stage.dev, x509_key(3), "a");
        check_probe(probe(stage.dev, &d), "new key, trust new: enrolled again");
        identity_clear(&b);
        identity_clear(&c);
        identity_clear(&d);
}
END_TEST

START_TEST(rotation_in_window) {
        _cleanup_(stage_clear) struct stage stage = stage_new(OPTIONS("--ca-window", "1h"));
        _cleanup_(identity_clear) struct identity a = dev_enrol(stage.dev, x509_key(0), "a"), b = { 0 };

        rotate(&stage, "{\"trust\":\"new\"}");
        check_unknown_ca(probe(stage.dev, &a), "A");
        b = dev_enrol(stage.dev, x509_key(1), "a");
        ck_assert_str_eq(a.ca, b.ca);
        check_unknown_ca(probe(stage.dev, &b), "enrolled again inside the window");
}
END_TEST

START_TEST(root) {
        _cleanup_(scratch_freep) char *directory = scratch_new(), *inner = NULL;
        struct dev *dev;
        struct identity a, b;
        STACK_OF(X509) * chain;

        if (asprintf(&inner, "%s/new", directory) < 0)
                abort();
        dev = dev_start(inner, OPTIONS("--root", "--ca-window", "0"));
        a = dev_enrol(dev, x509_key(0), "a");
        chain = certificates_of(a.chain);
        ck_assert_int_eq(sk_X509_num(chain), 3);
        ck_assert_int_eq(X509_self_signed(sk_X509_value(chain, 1), 1), 0);
        ck_assert_int_eq(X509_self_signed(sk_X509_value(chain, 2), 1), 1);
        sk_X509_pop_free(chain, X509_free);
        check_probe(probe(dev, &a), "leaf and intermediate");

        /* The edge trusts the root only. */
        b = a;
        b.chain = a.client;
        check_unknown_ca(probe(dev, &b), "a leaf without its intermediate");

        json_decref(dev_admin(dev, NULL, "/rotate", "{\"trust\":\"new\"}"));
        check_probe(probe(dev, &a), "an intermediate that was replaced");
        identity_clear(&a);
        dev_stop(dev);
        free(scratch_read(inner, "ca.key"));
        inner = scratch_free(inner);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("devconnector-trust");
        int r;

        x509_key(3);
        stage_init();
        TEST_CASE(suite, tls_refusals);
        TEST_CASE(suite, tls_faults);
        TEST_CASE(suite, revocation);
        TEST_CASE(suite, registry_of_disk);
        TEST_CASE(suite, ca_window);
        TEST_CASE(suite, ca_by_hand);
        TEST_CASE(suite, rotation);
        TEST_CASE(suite, rotation_in_window);
        TEST_CASE(suite, root);
        r = test_run(suite);
        stage_done();
        return r;
}
