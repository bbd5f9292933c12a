/*
 * The second invariant: the old set stays until the new one is proven. One certificate, which has become due
 * because a larger key was asked for, meets every kind of bad answer; each time the set on disk must be the
 * same, byte for byte, and the staged key too. When the fault is lifted the renewal goes through.
 */

#include <openssl/pem.h>
#include <sys/stat.h>

#include "daemon/observe/messages.h"
#include "lib/store/store.h"
#include "tests/support/fixture.h"
#include "tests/support/x509.h"
#include "tests/test.h"

static const struct {
        const char *fault;   /* as devconnector takes it */
        const char *failure; /* class */
        const char *step;
        const char *text; /* in the error */
} refusals[] = {
        { "{\"fault\":\"wrong-key\",\"at\":\"sign\"}", "bad-reply", "gate", "not for the key" },
        { "{\"fault\":\"wrong-subject\",\"at\":\"sign\"}", "bad-reply", "gate", "subject" },
        { "{\"fault\":\"expired-leaf\",\"at\":\"sign\"}", "bad-reply", "gate", "expired" },
        { "{\"fault\":\"not-yet-valid-leaf\",\"at\":\"sign\",\"by\":\"1h\"}", "bad-reply", "gate", "valid" },
        { "{\"fault\":\"no-client-auth\",\"at\":\"sign\"}", "bad-reply", "gate", "client" },
        { "{\"fault\":\"two-leaves\",\"at\":\"sign\"}", "bad-reply", "gate", "" },
        { "{\"fault\":\"mixed-ca\",\"at\":\"sign\"}", "bad-reply", "gate", "" },
        { "{\"fault\":\"long-chain\",\"at\":\"sign\"}", "bad-reply", "gate", "10" },
        { "{\"fault\":\"other-ca\",\"at\":\"sign\"}", "bad-reply", "verify",
          "could not verify the new certificate" },
        { "{\"fault\":\"empty-field\",\"at\":\"sign\",\"field\":\"clientCertificate\"}", "bad-reply", "sign",
          "clientCertificate" },
        { "{\"fault\":\"missing-field\",\"at\":\"sign\",\"field\":\"caCertificate\"}", "bad-reply", "sign",
          "caCertificate" },
        { "{\"fault\":\"null-field\",\"at\":\"sign\",\"field\":\"certificateChain\"}", "bad-reply", "sign",
          "certificateChain" },
        { "{\"fault\":\"garbage-base64\",\"at\":\"sign\",\"field\":\"clientCertificate\"}", "bad-reply",
          "sign", "base64" },
        { "{\"fault\":\"cut-body\",\"at\":\"sign\"}", "transient", "sign", "" },
        { "{\"fault\":\"cut-connection\",\"at\":\"sign\"}", "transient", "sign", "" },
        { "{\"fault\":\"oversized-body\",\"at\":\"sign\"}", "bad-reply", "sign",
          "larger than 1048576 bytes" },
        { "{\"fault\":\"deep-nesting\",\"at\":\"sign\"}", "bad-reply", "sign", "32" },
        { "{\"fault\":\"garbage\",\"at\":\"sign\"}", "bad-reply", "sign", "" },
        { "{\"fault\":\"long-header\",\"at\":\"sign\"}", "bad-reply", "sign",
          "has a header line that is too long" },
        { "{\"fault\":\"encoded-body\",\"at\":\"sign\"}", "bad-reply", "sign", "compressed (gzip)" },
        { "{\"fault\":\"encoded-body\",\"at\":\"sign\",\"as\":\"utf-16\"}", "bad-reply", "sign", "UTF-16" },
        { "{\"fault\":\"login-page\",\"at\":\"sign\"}", "bad-reply", "sign",
          "an HTML page: a proxy or a login page answers instead of the Connector" },
        { "{\"fault\":\"login-page\",\"at\":\"sign\",\"status\":403}", "refused", "sign",
          "with an HTML page" },
        { "{\"fault\":\"redirect\",\"at\":\"sign\"}", "bad-reply", "sign", "302" },
        { "{\"fault\":\"empty-400\",\"at\":\"sign\"}", "transient", "sign", "400" },
        { "{\"fault\":\"rate-limit\",\"at\":\"sign\"}", "transient", "sign", "429" },
        { "{\"fault\":\"timeout-503\",\"at\":\"sign\"}", "transient", "sign", "503" },
        { "{\"fault\":\"graphql-error\",\"at\":\"sign\",\"message\":\"CSR: Invalid common name provided.\"}",
          "refused", "sign", "Invalid common name" },
        { "{\"fault\":\"html-400\",\"at\":\"sign\"}", "rejected", "sign", "" },
        { "{\"fault\":\"empty-400\",\"at\":\"probe\"}", "bad-reply", "verify",
          "could not verify the new certificate" },
        { "{\"fault\":\"html-400\",\"at\":\"probe\"}", "bad-reply", "verify",
          "could not verify the new certificate" },
        { "{\"fault\":\"status\",\"at\":\"probe\",\"status\":500}", "transient", "verify",
          "could not verify the new certificate" },
};

/* The same in connector-service, where it has another name. */
static const struct {
        const char *text, *service_text;
} names[] = {
        { "clientCertificate", "clientCrt" },
        { "caCertificate", "caCrt" },
        { "certificateChain", "crt" },
        { "CSR: Invalid common name provided.", "Error while creating certificate: x509" },
        { "Invalid common name", "HTTP status 500: \"Error while creating certificate: x509\"" },
};

/* What of a row is asked and awaited. Owned by the caller. */
static char *name_in(const struct fixture *fixture, const char *text) {
        char *translated;

        for (size_t i = 0; i < ELEMENTSOF(names) && !streq(fixture->protocol, "compass"); i++) {
                const char *at = strstr(text, names[i].text);

                if (!at)
                        continue;
                ck_assert_int_ge(asprintf(&translated, "%.*s%s%s", (int)(at - text), text,
                                          names[i].service_text, at + strlen(names[i].text)),
                                 0);
                return translated;
        }
        return strdup(text);
}

struct snapshot {
        char *key, *certificate, *ca, *link;
};

static void snapshot_clear(struct snapshot *snapshot) {
        free(snapshot->key);
        free(snapshot->certificate);
        free(snapshot->ca);
        free(snapshot->link);
        *snapshot = (struct snapshot) { 0 };
}

static struct snapshot snapshot_take(struct fixture *fixture) {
        _cleanup_(freep) char *link = scratch_path(fixture->directory, "orders/..data");
        char target[64] = { 0 };

        ck_assert_int_gt(readlink(link, target, sizeof(target) - 1), 0);
        return (struct snapshot) {
                .key = scratch_read(fixture->directory, "orders/tls.key"),
                .certificate = scratch_read(fixture->directory, "orders/tls.crt"),
                .ca = scratch_read(fixture->directory, "orders/ca.crt"),
                .link = strdup(target),
        };
}

static void assert_unchanged(struct fixture *fixture, const struct snapshot *before) {
        _cleanup_(snapshot_clear) struct snapshot now = snapshot_take(fixture);

        ck_assert_str_eq(now.link, before->link);
        ck_assert_str_eq(now.key, before->key);
        ck_assert_str_eq(now.certificate, before->certificate);
        ck_assert_str_eq(now.ca, before->ca);
}

static struct fixture *fixture_with_due_certificate(void) {
        struct fixture *fixture = fixture_new(FIXTURE_LASTING("1h"));

        fixture_enrol(fixture, ORDERS);
        fixture_configure(fixture, ORDERS LARGER_KEY);
        return fixture;
}

START_TEST(nothing_bad_replaces_the_good) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_due_certificate();
        _cleanup_(snapshot_clear) struct snapshot before = snapshot_take(fixture);
        _cleanup_(freep) char *staged = NULL;

        for (size_t i = 0; i < ELEMENTSOF(refusals); i++) {
                _cleanup_(freep) char *now_staged = NULL, *fault = name_in(fixture, refusals[i].fault),
                                      *text = name_in(fixture, refusals[i].text);
                json_t *line;
                int status;

                if (strstr(fault, "timeout-503") && fixture_lacks(fixture, "timeout-503"))
                        continue;
                fixture_fault(fixture, fault);
                status = fixture_run(fixture, "--once");
                ck_assert_msg(status == 1, "%s: status %d: %s", fault, status,
                              process_last_words(fixture->rekeyd, PROCESS_STDERR));
                line = fixture_await(fixture, MESSAGE_FAILED);
                ck_assert_msg(streq(member(line, "failure"), refusals[i].failure) &&
                                      streq(member(line, "step"), refusals[i].step) &&
                                      strstr(member(line, "error"), text),
                              "%s: %s at %s: %s", fault, member(line, "failure"), member(line, "step"),
                              member(line, "error"));
                test_report("refused: %-28s %-9s at %-5s %s", strtok(strdupa(fault + 10), "\""),
                            member(line, "failure"), member(line, "step"), member(line, "error"));
                json_decref(line);
                assert_unchanged(fixture, &before);

                now_staged = scratch_read(fixture->directory, "orders/..stage-000002/tls.key");
                ck_assert_ptr_nonnull(now_staged);
                if (staged)
                        ck_assert_str_eq(now_staged, staged);
                else
                        staged = take_ptr(now_staged);
                fixture_lift_faults(fixture);
        }

        /* The last fault left a reply that was never disproved: it is proven now, without another signature.
         */
        unsigned signatures = fixture_calls(fixture, "sign");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), signatures);
        _cleanup_(freep) char *key = scratch_read(fixture->directory, "orders/tls.key");
        ck_assert_str_eq(key, staged);
}
END_TEST

/* Only its use shows that a key on disk is not whole. */
START_TEST(a_damaged_staged_key_is_replaced) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_due_certificate();
        _cleanup_(freep) char *staged = NULL, *damaged = NULL, *key = NULL;
        EVP_PKEY *handle;
        BIO *text;

        fixture_fault(fixture, "{\"fault\":\"status\",\"at\":\"sign\",\"status\":500}");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        fixture_lift_faults(fixture);
        staged = scratch_read(fixture->directory, "orders/..stage-000002/tls.key");
        text = BIO_new_mem_buf(staged, -1);
        handle = PEM_read_bio_PrivateKey(text, NULL, NULL, NULL);
        damaged = x509_damaged_key_pem(handle, x509_key(0));
        scratch_write(fixture->directory, "orders/..stage-000002/tls.key", damaged, 0600);
        BIO_free(text);
        EVP_PKEY_free(handle);

        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        ck_assert_ptr_nonnull(strstr(process_output(fixture->rekeyd, PROCESS_STDERR),
                                     "another key takes the place of the staged one"));
        key = scratch_read(fixture->directory, "orders/tls.key");
        ck_assert_str_ne(key, damaged);
        ck_assert_str_ne(key, staged);
}
END_TEST

START_TEST(a_refused_proof_in_tls_keeps_the_old_set) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_due_certificate();
        _cleanup_(snapshot_clear) struct snapshot before = snapshot_take(fixture);

        fixture_fault(fixture, "{\"fault\":\"refuse-certificate\",\"at\":\"any\"}");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        fixture_expect_failure(fixture, "rejected", "does not accept the client certificate");
        assert_unchanged(fixture, &before);
}
END_TEST

/* Both calls of a renewal go over one connection. When it ends without an answer to the second, libcurl must
 * not take it for one that had died long before, and call again. */
START_TEST(a_signature_is_asked_for_once) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_due_certificate();
        unsigned before = fixture_calls(fixture, "sign");

        fixture_fault(fixture, "{\"fault\":\"cut-connection\",\"executed\":true,\"at\":\"sign\"}");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        fixture_expect_failure(fixture, "transient", "ended without an answer");
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), before + 1);
}
END_TEST

START_TEST(an_untrusted_connector_is_never_spoken_to) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL), *stranger = fixture_new(NULL);
        json_t *line;

        free(fixture->trust);
        fixture->trust = strdup(stranger->trust);
        fixture_prepare(fixture, ORDERS);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        line = fixture_await(fixture, MESSAGE_FAILED);
        ck_assert_msg(strstr(member(line, "error"), "cannot be trusted") != NULL, "%s",
                      member(line, "error"));
        json_decref(line);
        ck_assert_uint_eq(fixture_calls(fixture, "configuration"), 0);
}
END_TEST

/* What OpenSSL would open on the event loop, and wait for. */
START_TEST(a_trust_that_is_no_file_stops_nothing) {
        static const struct {
                const char *path, *text;
        } trusts[] = {
                { "/nonexistent", "cannot read `trust`, /nonexistent: No such file or directory" },
                { "/dev/zero", "cannot read `trust`, /dev/zero: it is not a regular file" },
                { NULL, "it is not a regular file" },
                { "/dev/null", "it is not a regular file" },
                { "/proc/version", "`trust` must be a PEM file" },
        };
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        _cleanup_(freep) char *fifo = NULL;
        json_t *line;

        ck_assert_int_ge(asprintf(&fifo, "%s/fifo", fixture->directory), 0);
        ck_assert_int_eq(mkfifo(fifo, 0600), 0);
        for (size_t i = 0; i < ELEMENTSOF(trusts); i++) {
                free(fixture->trust);
                fixture->trust = strdup(trusts[i].path ? trusts[i].path : fifo);
                fixture_prepare(fixture, ORDERS);
                ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
                line = fixture_await(fixture, MESSAGE_FAILED);
                ck_assert_str_eq(member(line, "failure"), "local");
                ck_assert_msg(strstr(member(line, "error"), trusts[i].text) != NULL, "%s",
                              member(line, "error"));
                json_decref(line);
        }
        ck_assert_uint_eq(fixture_calls(fixture, "configuration"), 0);
}
END_TEST

/* The signature was cut off and its token is burnt. Who brings another one at once need not wait until rekeyd
 * has found that out. */
START_TEST(a_new_token_goes_before_a_staged_one) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);

        fixture_prepare(fixture, ORDERS);
        fixture_fault(fixture, streq(fixture->protocol, "compass")
                                       ? "{\"fault\":\"timeout-503\",\"at\":\"sign\",\"count\":1}"
                                       : "{\"fault\":\"status\",\"at\":\"sign\",\"status\":503,\"count\":1}");
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_FAILED);
        fixture_token(fixture, "client-1", "token");
        fixture_expect(fixture, MESSAGE_ENROLLED);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(a_token_that_comes_during_an_attempt_is_not_missed) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);

        fixture_configure(fixture, ORDERS);
        scratch_write(fixture->directory, "token", "an-old-one\n", 0600);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_WAITING); /* now the file is watched */
        fixture_fault(fixture, "{\"fault\":\"hold\",\"at\":\"configuration\",\"count\":1}");
        scratch_write(fixture->directory, "token", "another-old-one\n", 0600);
        fixture_expect_held(fixture);
        fixture_token(fixture, "client-1", "token");
        fixture_release(fixture);
        fixture_expect(fixture, MESSAGE_ENROLLED);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* `openssl s_server` with the certificate of FIXTURE's Connector, on *RET_PORT. */
static struct process *serve_tls(struct fixture *fixture, const char *const *options, unsigned *ret_port) {
        _cleanup_(freep) char *certificate = scratch_path(fixture->directory, "connector/server.crt"),
                              *key = scratch_path(fixture->directory, "connector/server.key"), *line = NULL;
        const char *argv[16] = { "openssl", "s_server",  "-rev", "-accept", "127.0.0.1:0",
                                 "-cert",   certificate, "-key", key };
        struct process *server;

        for (size_t n = 9; *options; options++)
                argv[n++] = *options;
        server = process_start(argv, false);
        line = process_await(server, PROCESS_STDOUT, "ACCEPT");
        ck_assert_ptr_nonnull(line);
        *ret_port = (unsigned)atoi(strrchr(line, ':') + 1);
        return server;
}

/* A group for DHE is the server's choice, and one of 10,000 bits would hold up the loop for a second. */
START_TEST(keys_are_agreed_on_by_curves_alone) {
        static const struct {
                const char *options[5];
                bool is_connected;
        } rows[] = {
                { { "-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256" }, false },
                { { "-tls1_2", "-cipher", "AES128-GCM-SHA256" }, false },
                { { "-tls1_3", "-groups", "ffdhe3072" }, false },
                { { "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256" }, true },
                { { "-tls1_3", "-groups", "P-256" }, true },
        };
        static const char *const tokens[ELEMENTSOF(rows)] = { "a-token", "b-token", "c-token", "d-token",
                                                              "e-token" };
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(process_freep) struct process *server = NULL;
                _cleanup_(freep) char *line = NULL;
                unsigned port;

                server = serve_tls(fixture, rows[i].options, &port);
                free(fixture->token_url);
                ck_assert_int_gt(asprintf(&fixture->token_url, "https://localhost:%u/v1/call", port), 0);
                fixture_configure(fixture, ORDERS);
                scratch_write(fixture->directory, "token", tokens[i], 0600); /* a new one ends a back-off */
                fixture_start(fixture, NULL);
                fixture_expect_text(fixture, "fetching the configuration failed");
                if (rows[i].is_connected)
                        line = process_await(server, PROCESS_STDERR, "CONNECTION ESTABLISHED");
                ck_assert(rows[i].is_connected
                                  ? line != NULL
                                  : !strstr(process_output(server, PROCESS_STDERR), "ESTABLISHED"));
                ck_assert_int_eq(fixture_stop(fixture), 0);
        }
}
END_TEST

TEST_MAIN("refusals", nothing_bad_replaces_the_good, a_refused_proof_in_tls_keeps_the_old_set,
          a_damaged_staged_key_is_replaced, a_signature_is_asked_for_once,
          an_untrusted_connector_is_never_spoken_to, a_trust_that_is_no_file_stops_nothing,
          a_new_token_goes_before_a_staged_one, a_token_that_comes_during_an_attempt_is_not_missed,
          keys_are_agreed_on_by_curves_alone)
