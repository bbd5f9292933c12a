/*
 * Each write of a rotation upon Secrets is spoiled: rekeyca is killed before and after it, its answer is
 * lost, another writer is there while it is under way. A second run ends in the right state, or the first one
 * has stopped with a sentence and left alone what the other one wrote. (What comes between two writes only
 * reads: a kill there is one after the first of them, or before the second.)
 */

#include <signal.h>
#include <stdio.h>

#include "lib/x509/identity.h"
#include "tests/kube/fault-proxy.h"
#include "tests/kube/kube-rotation.h"
#include "tests/support/parallel.h"
#include "tests/support/x509.h"
#include "tests/test.h"

enum { DONE = 0, CHANGED = 5, REQUESTS_MAX = 256 };

#define RIGHTS   "--verb=get,update,create --resource=secrets,leases.coordination.k8s.io"
#define STRANGER "of another"

struct scene {
        struct kube_fixture *fixture;
        struct proxy_fault_server *proxy;
        struct x509_cert ca;
        struct kube_rotation rotation;
        unsigned n_kills, n_lost, n_strangers, n_violations, n_short;
};

static void make_secrets(const struct scene *scene) {
        const char *d = scene->fixture->directory;

        kube_do(scene->fixture, "delete secret,lease --all --wait=true");
        kube_do(scene->fixture, "create secret generic signer --from-file=%s/ca.key --from-file=%s/ca.crt", d,
                d);
        kube_do(scene->fixture, "create secret generic trust --from-file=ca.crt=%s/ca.crt", d);
}

static void begin(struct scene *scene) {
        const usec_t now = now_usec(CLOCK_REALTIME);
        _cleanup_(freep) char *key = NULL;

        *scene = (struct scene) { .fixture = kube_fixture_new() };
        scene->proxy = fault_proxy_new(scene->fixture->server_directory);
        scene->ca = x509_make(&(struct x509_options) {
                .ca = true, .not_before = now - USEC_PER_DAY, .not_after = now + 30 * USEC_PER_DAY });
        key = x509_key_pem(scene->ca.key);
        scratch_write(scene->fixture->directory, "ca.key", key, 0600);
        scratch_write(scene->fixture->directory, "ca.crt", scene->ca.pem, 0600);
        kube_rotation_begin(&scene->rotation, scene->fixture, RIGHTS, fault_proxy_url(scene->proxy), "");
}

static void end(struct scene *scene) {
        kube_rotation_end(&scene->rotation);
        fault_proxy_free(scene->proxy);
        x509_cert_clear(&scene->ca);
        kube_fixture_free(scene->fixture);
}

static void start_apply(struct scene *scene) {
        kube_rotation_start(&scene->rotation, "apply", "--until=retired", "--force=orders");
}

static void plan(struct scene *scene) {
        make_secrets(scene);
        fault_proxy_arm(scene->proxy, 1, PROXY_NONE);
        kube_rotation_start(&scene->rotation, "plan", "--reason=new-key", NULL);
        ck_assert_int_eq(process_wait(scene->rotation.rekeyca), DONE);
}

static void violation(struct scene *scene, unsigned n, enum proxy_fault fault, const char *what) {
        scene->n_violations++;
        test_report("request %u, %s: %s: %s", n, proxy_fault_names[fault], what,
                    process_output(scene->rotation.rekeyca, PROCESS_STDERR));
}

/* The signer's parts belong together, the bundle has its CA, and no key is left. */
static const char *find_fault(const struct scene *scene) {
        _cleanup_(freep) char *pem = kube_value(scene->fixture, "signer", "ca.key"),
                              *certificate = kube_value(scene->fixture, "signer", "ca.crt"),
                              *bundle = kube_value(scene->fixture, "trust", "ca.crt"),
                              *state = kube_value(scene->fixture, "rotation", "rotation.json");
        _cleanup_(key_freep) struct key *key = NULL;

        if (key_parse(pem, strlen(pem), &key, NULL) < 0 || identity_check(key, certificate, NULL) < 0)
                return "key and certificate of the signer do not belong together";
        if (!streq(bundle, certificate))
                return "the bundle does not have the new CA alone";
        return strstr(state, "PRIVATE KEY") ? "a key is left" : NULL;
}

static void finish(struct scene *scene, unsigned n, enum proxy_fault fault) {
        const char *fault_found;

        fault_proxy_arm(scene->proxy, 1, PROXY_NONE);
        start_apply(scene);
        if (process_wait(scene->rotation.rekeyca) != DONE)
                violation(scene, n, fault, "the second run fails");
        fault_found = find_fault(scene);
        if (fault_found)
                violation(scene, n, fault, fault_found);
}

/* A run starts whose request N is held. Where it made fewer this time, it has ended, and counts as short. */
static void hold(struct scene *scene, unsigned n, enum proxy_fault fault) {
        plan(scene);
        fault_proxy_arm(scene->proxy, n, fault);
        start_apply(scene);
        scene->n_short += fault_proxy_await_held(scene->proxy, scene->rotation.rekeyca) ? 0 : 1;
}

static void kill_at(struct scene *scene, unsigned n, enum proxy_fault fault) {
        hold(scene, n, fault);
        process_signal(scene->rotation.rekeyca, SIGKILL);
        (void)process_wait(scene->rotation.rekeyca);
        fault_proxy_release(scene->proxy);
        scene->n_kills++;
        finish(scene, n, fault);
}

static void lose(struct scene *scene, unsigned n, enum proxy_fault fault) {
        plan(scene);
        fault_proxy_arm(scene->proxy, n, fault);
        start_apply(scene);
        (void)process_wait(
                scene->rotation.rekeyca); /* what reads may have failed; what writes may not have */
        scene->n_lost++;
        finish(scene, n, fault);
}

static void be_a_stranger(struct scene *scene, unsigned n) {
        _cleanup_(freep) char *bundle = NULL;
        int status;

        hold(scene, n, PROXY_HOLD_BEFORE);
        kube_do(scene->fixture, "patch secret trust -p '{\"stringData\":{\"ca.crt\":\"" STRANGER "\"}}'");
        fault_proxy_release(scene->proxy); /* which cuts the connection: that run ends */
        (void)process_wait(scene->rotation.rekeyca);
        fault_proxy_arm(scene->proxy, 1, PROXY_NONE);
        start_apply(scene);
        status = process_wait(scene->rotation.rekeyca);
        bundle = kube_value(scene->fixture, "trust", "ca.crt");
        scene->n_strangers++;
        if (!streq(bundle, STRANGER))
                violation(scene, n, PROXY_HOLD_BEFORE, "what another writer wrote is lost");
        if (status != CHANGED && status != DONE) /* done: the bundle was not needed any more */
                violation(scene, n, PROXY_HOLD_BEFORE, "another writer is not found");
}

/* The numbers of the writes among the requests of one run; how many there are is returned. */
static unsigned count_writes(struct scene *scene, unsigned numbers[REQUESTS_MAX]) {
        unsigned n_requests, n = 0;

        plan(scene);
        fault_proxy_arm(scene->proxy, 1, PROXY_NONE);
        start_apply(scene);
        ck_assert_int_eq(process_wait(scene->rotation.rekeyca), DONE);
        n_requests = fault_proxy_count(scene->proxy);
        ck_assert_uint_gt(n_requests, 20);
        ck_assert_ptr_null(find_fault(scene));
        for (unsigned i = 1; i <= n_requests && n < REQUESTS_MAX; i++)
                if (fault_proxy_writes(scene->proxy, i))
                        numbers[n++] = i;
        return n;
}

START_TEST(each_write_is_spoiled) {
        const unsigned stride = parallel_stride() > 1 ? 3 : 1;
        unsigned numbers[REQUESTS_MAX], n;
        struct scene scene;

        begin(&scene);
        n = count_writes(&scene, numbers);
        for (unsigned i = 0; i < n; i += stride)
                kill_at(&scene, numbers[i], PROXY_HOLD_BEFORE);
        for (unsigned i = stride / 3; i < n; i += stride)
                kill_at(&scene, numbers[i], PROXY_HOLD_AFTER);
        for (unsigned i = stride / 2; i < n; i += stride)
                lose(&scene, numbers[i], PROXY_CUT_AFTER);
        for (unsigned i = stride - 1; i < n; i += stride)
                be_a_stranger(&scene, numbers[i]);
        test_report("rekeyca: of %u writes upon Secrets, %u kill points, %u lost answers, %u strangers, %u "
                    "violations",
                    n, scene.n_kills, scene.n_lost, scene.n_strangers, scene.n_violations);
        ck_assert_uint_eq(scene.n_violations, 0);
        ck_assert_uint_eq(scene.n_short, 0);
        ck_assert_uint_gt(n, 8);
        end(&scene);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("kube-rekeyca-faults");

        if (!kube_fixture_is_there())
                return EXIT_SUCCESS;
        TEST_CASE(suite, each_write_is_spoiled);
        return test_run(suite);
}
