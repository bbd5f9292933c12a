/*
 * Every request of an export is spoiled once, in every way; and rekeyd is killed before and after each.
 * Afterwards the Secret has the old set or the new one, the next start writes the new one, and nothing was
 * signed for it.
 *
 * The client alone is asked as well: what it says of each fault, of a request that reads and of one that
 * changes.
 */

#include <signal.h>

#include "kube/kube-once.h"
#include "lib/kube/kube-object.h"
#include "tests/e2e/exports-fixture.h"
#include "tests/kube/fault-proxy.h"
#include "tests/kube/kube-fixture.h"
#include "tests/test.h"

#define ALLOWED "--verb=get,patch,update,create --resource=secrets"

/* --- The client */

START_TEST(what_the_client_says_of_each_fault) {
        static const struct {
                enum kube_outcome reading, changing;
        } rows[PROXY_FAULT_MAX] = {
                [PROXY_NONE] = { KUBE_DONE, KUBE_DONE },
                [PROXY_CUT_BEFORE] = { KUBE_UNREACHED, KUBE_UNCERTAIN },
                [PROXY_CUT_AFTER] = { KUBE_UNREACHED, KUBE_UNCERTAIN },
                [PROXY_UNAUTHORIZED] = { KUBE_UNAUTHORIZED, KUBE_UNAUTHORIZED },
                [PROXY_FORBIDDEN] = { KUBE_FORBIDDEN, KUBE_FORBIDDEN },
                [PROXY_CONFLICT] = { KUBE_CONFLICT, KUBE_CONFLICT },
                [PROXY_BUSY] = { KUBE_BUSY, KUBE_BUSY },
                [PROXY_ERROR] = { KUBE_BUSY, KUBE_UNCERTAIN },
                [PROXY_UNAVAILABLE] = { KUBE_BUSY, KUBE_UNCERTAIN },
                [PROXY_GARBAGE] = { KUBE_BAD_REPLY, KUBE_UNCERTAIN },
        };
        _cleanup_(kube_fixture_freep) struct kube_fixture *fixture = kube_fixture_new();
        _cleanup_(fault_proxy_freep) struct proxy_fault_server *proxy =
                fault_proxy_new(fixture->server_directory);
        _cleanup_(freep) char *path = kube_user(fixture, "user", ALLOWED, fault_proxy_url(proxy));
        const struct kube_place place = { .path = path };
        _cleanup_(kube_once_freep) struct kube_once *once = NULL;
        _cleanup_(kube_client_freep) struct kube_client *client = NULL;
        const struct kube_resource x = KUBE_SECRET(fixture->namespace, "x");

        kube_do(fixture, "create secret generic x --from-literal=a=b");
        ck_assert_int_eq(kube_once_new(&once), 0);
        ck_assert_int_eq(kube_client_new(kube_once_host(once), &place, "rekeyd-test/1", &client), 0);
        for (enum proxy_fault fault = 0; fault < PROXY_FAULT_MAX; fault++) {
                const struct kube_ask get = { .verb = KUBE_GET, .resource = x };
                struct kube_ask put = { .verb = KUBE_REPLACE, .resource = x };
                _cleanup_(json_decrefp) json_t *object = NULL, *after = NULL;
                char version[64];
                int r;

                if (fault == PROXY_HOLD_BEFORE || fault == PROXY_HOLD_AFTER)
                        continue;
                fault_proxy_arm(proxy, 1, PROXY_NONE);
                ck_assert_int_eq(kube_once_ask(once, client, &get, 0, &object, NULL), KUBE_DONE);
                snprintf(version, sizeof(version), "%s", kube_object_version(object));
                ck_assert_int_eq(kube_object_annotate(object, "fault", proxy_fault_names[fault]), 0);
                put.body = object;

                fault_proxy_arm(proxy, 1, fault);
                r = kube_once_ask(once, client, &put, USEC_PER_SEC / 2, NULL,
                                  NULL); /* no time to ask again */
                ck_assert_msg(r == (int)rows[fault].changing, "%s: %d", proxy_fault_names[fault], r);
                ck_assert_uint_eq(fault_proxy_count(proxy), 1);
                fault_proxy_arm(proxy, 1, fault);
                r = kube_once_ask(once, client, &get, USEC_PER_SEC / 2, NULL, NULL);
                ck_assert_msg(r == (int)rows[fault].reading, "%s: %d", proxy_fault_names[fault], r);

                /* Whether it was done is what reading shows. */
                fault_proxy_arm(proxy, 1, PROXY_NONE);
                ck_assert_int_eq(kube_once_ask(once, client, &get, 0, &after, NULL), KUBE_DONE);
                ck_assert(streq(kube_object_version(after), version) ==
                          !(fault == PROXY_NONE || fault == PROXY_CUT_AFTER));
        }

        /* Asked again after the second that the server asks for. */
        {
                const struct kube_ask get = { .verb = KUBE_GET, .resource = x };
                const usec_t before = now_usec(CLOCK_MONOTONIC);

                fault_proxy_arm(proxy, 1, PROXY_BUSY);
                ck_assert_int_eq(kube_once_ask(once, client, &get, 0, NULL, NULL), KUBE_DONE);
                ck_assert_uint_eq(fault_proxy_count(proxy), 2);
                ck_assert_uint_ge(now_usec(CLOCK_MONOTONIC) - before, USEC_PER_SEC);
        }
}
END_TEST

/* --- Exports */

/* An export asks four times: read, try, read, write. */
#define REQUESTS 4u

struct stage {
        struct kube_fixture *kube;
        struct proxy_fault_server *proxy;
        struct fixture *rekeyd;

        /* Hundreds of looks at the Secret: kubectl would take a minute for them. */
        struct kube_once *once;
        struct kube_client *admin;
};

static void stage_clear(struct stage *stage) {
        kube_client_free(stage->admin);
        kube_once_free(stage->once);
        fixture_free(stage->rekeyd);
        fault_proxy_free(stage->proxy);
        kube_fixture_free(stage->kube);
}

/* Enrolled, and exported once. */
static struct stage stage_make(void) {
        struct stage stage = { .kube = kube_fixture_new() };
        _cleanup_(freep) char *yaml = NULL, *path = NULL, *text = NULL;

        _cleanup_(freep) char *admin = scratch_path(stage.kube->server_directory, "kubeconfig");
        const struct kube_place place = { .path = admin };

        ck_assert_int_eq(kube_once_new(&stage.once), 0);
        ck_assert_int_eq(kube_client_new(kube_once_host(stage.once), &place, "rekeyd-test/1", &stage.admin),
                         0);
        stage.proxy = fault_proxy_new(stage.kube->server_directory);
        kube_do(stage.kube, "create secret generic pair");
        path = kube_user(stage.kube, "rekeyd", ALLOWED, fault_proxy_url(stage.proxy));
        ck_assert(asprintf(&yaml, EXPORTING "    exports: [{secret: %s/pair, layout: tls}]\n",
                           stage.kube->namespace) > 0);
        stage.rekeyd = prepare(FIXTURE_LASTING("1h"), yaml);
        make_directory(stage.rekeyd, "conf.d", 0755);
        ck_assert(asprintf(&text, "kubernetes: {kubeconfig: %s}\n", path) > 0);
        scratch_write(stage.rekeyd->directory, "conf.d/kubernetes.yaml", text, 0644);
        ck_assert_int_eq(fixture_run(stage.rekeyd, "--once"), 2);
        return stage;
}

static json_t *ask_admin(const struct stage *stage, enum kube_verb verb, const json_t *body) {
        const struct kube_ask ask = { .verb = verb,
                                      .resource = KUBE_SECRET(stage->kube->namespace, "pair"),
                                      .body = body };
        json_t *object = NULL;

        ck_assert_int_eq(kube_once_ask(stage->once, stage->admin, &ask, 0, &object, NULL), KUBE_DONE);
        return object;
}

static const char *const values[][2] = { { "tls.key", "k" }, { "tls.crt", "lc" }, { "ca.crt", "a" } };

/* The Secret has all of the set, or nothing of it: it is applied at once. */
static bool has_set(const struct stage *stage) {
        _cleanup_(json_decrefp) json_t *secret = ask_admin(stage, KUBE_GET, NULL);
        unsigned n = 0;

        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                _cleanup_(freep) char *wanted = expected_pem(stage->rekeyd, values[i][1]);

                n += kube_secret_has(secret, values[i][0], wanted) ? 1 : 0;
        }
        ck_assert_msg(n == 0 || n == ELEMENTSOF(values), "%u of %zu values are of the set", n,
                      ELEMENTSOF(values));
        return n > 0;
}

/* As if an older set were there. */
static void spoil(const struct stage *stage) {
        _cleanup_(json_decrefp) json_t *secret = ask_admin(stage, KUBE_GET, NULL);

        for (size_t i = 0; i < ELEMENTSOF(values); i++)
                ck_assert_int_eq(kube_secret_set(secret, values[i][0], "old", 3), 0);
        json_decref(ask_admin(stage, KUBE_REPLACE, secret));
        ck_assert(!has_set(stage));
}

static void assert_next_start_is_good(const struct stage *stage) {
        fault_proxy_arm(stage->proxy, 0, PROXY_NONE);
        ck_assert_int_eq(fixture_run(stage->rekeyd, "--once"), 0);
        ck_assert(has_set(stage));
}

START_TEST(each_request_is_spoiled) {
        _cleanup_(stage_clear) struct stage stage = stage_make();
        unsigned n_at_once = 0, n_faults = 0;

        for (enum proxy_fault fault = PROXY_CUT_BEFORE; fault < PROXY_FAULT_MAX; fault++) {
                if (fault == PROXY_HOLD_BEFORE || fault == PROXY_HOLD_AFTER)
                        continue;
                for (unsigned nth = 1; nth <= REQUESTS; nth++) {
                        int status;

                        spoil(&stage);
                        fault_proxy_arm(stage.proxy, nth, fault);
                        status = fixture_run(stage.rekeyd, "--once");
                        ck_assert_msg(status == 0 || status == 1, "%s at %u: %d", proxy_fault_names[fault],
                                      nth, status);
                        /* What is reported is so. */
                        ck_assert_msg(has_set(&stage) || status == 1, "%s at %u", proxy_fault_names[fault],
                                      nth);
                        ck_assert_uint_eq(logged(stage.rekeyd, MESSAGE_EXPORTED), status == 0 ? 1 : 0);
                        /* An answer that was lost: reading shows that it was done. */
                        ck_assert(!(fault == PROXY_CUT_AFTER && nth == REQUESTS) || status == 0);
                        n_at_once += status == 0;
                        n_faults++;
                        assert_next_start_is_good(&stage);
                }
        }
        ck_assert_uint_eq(fixture_calls(stage.rekeyd, "sign"), 1);
        test_report("exports to a Secret: %u faults, %u of them mended at once, 0 mixed sets, 1 signature",
                    n_faults, n_at_once);
}
END_TEST

START_TEST(killed_at_each_request) {
        static const enum proxy_fault faults[] = { PROXY_HOLD_BEFORE, PROXY_HOLD_AFTER };
        _cleanup_(stage_clear) struct stage stage = stage_make();
        unsigned n = 0;

        for (size_t i = 0; i < ELEMENTSOF(faults); i++)
                for (unsigned nth = 1; nth <= REQUESTS; nth++) {
                        spoil(&stage);
                        fault_proxy_arm(stage.proxy, nth, faults[i]);
                        fixture_start(stage.rekeyd, "--once");
                        ck_assert(fault_proxy_await_held(stage.proxy, stage.rekeyd->rekeyd));
                        fixture_kill(stage.rekeyd);
                        fault_proxy_release(stage.proxy);
                        ck_assert(has_set(&stage) == (nth == REQUESTS && faults[i] == PROXY_HOLD_AFTER));
                        assert_next_start_is_good(&stage);
                        n++;
                }
        ck_assert_uint_eq(fixture_calls(stage.rekeyd, "sign"), 1);
        test_report("exports to a Secret: %u kills, 0 mixed sets, 1 signature", n);
}
END_TEST

TEST_MAIN("kube-faults", what_the_client_says_of_each_fault, each_request_is_spoiled, killed_at_each_request)
