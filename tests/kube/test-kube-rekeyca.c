/*
 * rekeyca upon the Secrets of a real API server. kubectl is the witness, the other writer, and the hand that
 * says that a Deployment is ready.
 */

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/kube/kube-rotation.h"
#include "tests/support/x509.h"
#include "tests/test.h"

enum { DONE = 0, FAILED = 1, REFUSED = 3, BUSY = 4, CHANGED = 5 };

#define RIGHTS                            \
        "--verb=get,update,create,patch " \
        "--resource=secrets,leases.coordination.k8s.io,deployments.apps"

struct scene {
        struct kube_fixture *fixture;
        struct x509_cert ca, other;
        struct kube_rotation rotation;
};

static void make_secrets(const struct scene *scene) {
        const char *d = scene->fixture->directory;
        _cleanup_(freep) char *key = x509_key_pem(scene->ca.key),
                              *bundle = X509_JOIN(&scene->other, &scene->ca);

        scratch_write(d, "ca.key", key, 0600);
        scratch_write(d, "ca.crt", scene->ca.pem, 0600);
        scratch_write(d, "bundle.pem", bundle, 0600);
        kube_do(scene->fixture,
                "create secret generic signer --from-file=%s/ca.key --from-file=%s/ca.crt "
                "--from-literal=other=kept",
                d, d);
        kube_do(scene->fixture, "create secret generic trust --from-file=ca.crt=%s/bundle.pem", d);
        kube_do(scene->fixture, "create secret generic rotation");
        kube_do(scene->fixture, "label secret signer team=blue");
}

static void begin(struct scene *scene, const char *rights) {
        const usec_t now = now_usec(CLOCK_REALTIME);

        *scene = (struct scene) { .fixture = kube_fixture_new() };
        scene->ca = x509_make(&(struct x509_options) { .ca = true,
                                                       .subject = "CN=Kyma",
                                                       .not_before = now - USEC_PER_DAY,
                                                       .not_after = now + 30 * USEC_PER_DAY });
        scene->other = x509_make(&(struct x509_options) {
                .ca = true, .subject = "CN=Other", .key = x509_key(2), .not_before = now - USEC_PER_DAY });
        make_secrets(scene);
        kube_rotation_begin(&scene->rotation, scene->fixture, rights, NULL, "patience: 60s\n");
}

static void end(struct scene *scene) {
        kube_rotation_end(&scene->rotation);
        x509_cert_clear(&scene->ca);
        x509_cert_clear(&scene->other);
        kube_fixture_free(scene->fixture);
}

static void start(struct scene *scene, const char *verb, const char *a, const char *b) {
        kube_rotation_start(&scene->rotation, verb, a, b);
}

static void run(struct scene *scene, int expected, const char *verb, const char *a, const char *b) {
        kube_rotation_run(&scene->rotation, expected, verb, a, b);
}

static void expect_error(const struct scene *scene, const char *text) {
        kube_rotation_expect_error(&scene->rotation, text);
}

static void assert_kept(const struct scene *scene) {
        _cleanup_(freep) char *other = kube_value(scene->fixture, "signer", "other"), *label = NULL,
                              *bundle = kube_value(scene->fixture, "trust", "ca.crt");

        ck_assert_str_eq(other, "kept");
        label = kube_kubectl(scene->fixture, NULL, "get secret signer -o jsonpath={.metadata.labels.team}");
        ck_assert_str_eq(label, "blue");
        ck_assert_ptr_nonnull(strstr(bundle, strstr(scene->other.pem, "MII")));
}

static void assert_no_key_left(const struct scene *scene) {
        _cleanup_(freep) char *state = kube_value(scene->fixture, "rotation", "rotation.json");

        ck_assert_ptr_nonnull(state);
        ck_assert_ptr_null(strstr(state, "PRIVATE KEY"));
}

/* --- From beginning to end --- */

/* One that adds to the bundle and one that replaces it; test-kube-rekeyca-live.c has all. */
static const char *const reasons[] = { "expiring", "key-compromised" };

START_TEST(a_reason_ends) {
        const bool has_new_key = _i == 1;
        _cleanup_(freep) char *old_key = NULL, *new_key = NULL, *bundle = NULL, *holder = NULL;
        struct scene scene;

        begin(&scene, RIGHTS);
        old_key = kube_value(scene.fixture, "signer", "ca.key");
        run(&scene, DONE, "inspect", NULL, NULL);
        run(&scene, DONE, "plan", "--reason", reasons[_i]);
        run(&scene, DONE, "apply", NULL, NULL);
        run(&scene, DONE, "status", NULL, NULL);
        run(&scene, DONE, "retire", has_new_key ? "--force" : NULL, "orders");
        new_key = kube_value(scene.fixture, "signer", "ca.key");
        bundle = kube_value(scene.fixture, "trust", "ca.crt");
        ck_assert_int_eq(!streq(old_key, new_key), has_new_key);
        ck_assert_ptr_null(strstr(bundle, strstr(scene.ca.pem, "MII")));
        assert_kept(&scene);
        assert_no_key_left(&scene);
        holder = kube_kubectl(scene.fixture, NULL, "get lease rotation -o jsonpath={.spec.holderIdentity}");
        ck_assert_str_eq(holder, "");
        end(&scene);
}
END_TEST

START_TEST(the_bytes_from_before_come_back) {
        _cleanup_(freep) char *before = NULL, *after = NULL, *signer = NULL;
        struct scene scene;

        begin(&scene, RIGHTS);
        before = kube_value(scene.fixture, "trust", "ca.crt");
        run(&scene, DONE, "plan", "--reason", "expiring");
        run(&scene, DONE, "apply", NULL, NULL);
        run(&scene, DONE, "rollback", NULL, NULL);
        after = kube_value(scene.fixture, "trust", "ca.crt");
        signer = kube_value(scene.fixture, "signer", "ca.crt");
        ck_assert_str_eq(before, after);
        ck_assert_str_eq(signer, scene.ca.pem);
        assert_kept(&scene);
        assert_no_key_left(&scene);
        end(&scene);
}
END_TEST

/* Killed at each line: its Lease is taken from a process that does not run any more. */
START_TEST(a_kill_is_no_dead_end) {
        struct scene scene;
        unsigned n_kills = 0;
        bool is_done = false;

        begin(&scene, RIGHTS);
        run(&scene, DONE, "plan", "--reason", "new-key");
        for (unsigned n = 1; !is_done; n++) {
                char *line = NULL;

                start(&scene, "apply", NULL, NULL);
                for (unsigned i = 0; i < n && (i == 0 || line); i++) {
                        free(line);
                        line = process_await(scene.rotation.rekeyca, PROCESS_STDOUT, "");
                }
                is_done = !line || strstr(line, "is reached");
                free(line);
                if (!is_done) {
                        process_signal(scene.rotation.rekeyca, SIGKILL);
                        n_kills++;
                }
                (void)process_wait(scene.rotation.rekeyca);
        }
        run(&scene, DONE, "apply", NULL, NULL);
        run(&scene, DONE, "retire", "--force", "orders");
        test_report("rekeyca: killed %u times upon Secrets", n_kills);
        ck_assert_uint_gt(n_kills, 2);
        assert_kept(&scene);
        assert_no_key_left(&scene);
        end(&scene);
}
END_TEST

/* Without a kubeconfig file, as in a pod: its account is in the directory where kubelet has it. */
START_TEST(the_account_of_a_pod) {
        _cleanup_(freep) char *port = NULL, *wrapper = NULL, *token = NULL, *ca = NULL;
        struct scene scene;
        const char *d;

        if (geteuid() != 0) {
                test_skip("the_account_of_a_pod: only root may mount");
                return;
        }
        begin(&scene, RIGHTS);
        d = scene.fixture->directory;
        port = scratch_read(scene.fixture->server_directory, "port");
        port[strcspn(port, "\n")] = '\0';
        ca = scratch_read(scene.fixture->server_directory, "ca.crt");
        token = scratch_read(d, "operator.token");
        scratch_write(d, "ca.crt", ca, 0600);
        scratch_write(d, "token", token, 0600);
        scratch_write(d, "namespace", scene.fixture->namespace, 0600);
        setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1", 1);
        setenv("KUBERNETES_SERVICE_PORT", port, 1);
        free(take_ptr(scene.rotation.kubeconfig));

        run(&scene, FAILED, "plan", "--reason", "expiring");
        expect_error(&scene, "/var/run/secrets/kubernetes.io/serviceaccount/");
        ck_assert(asprintf(&wrapper, "%s %s", getenv("REKEYD_TEST_AS_POD"), d) > 0);
        setenv("REKEYD_TEST_WRAPPER", wrapper, 1);
        run(&scene, DONE, "plan", "--reason", "expiring");
        run(&scene, DONE, "apply", NULL, NULL);
        run(&scene, DONE, "retire", NULL, NULL);
        unsetenv("REKEYD_TEST_WRAPPER");
        unsetenv("KUBERNETES_SERVICE_HOST");
        unsetenv("KUBERNETES_SERVICE_PORT");
        assert_no_key_left(&scene);
        end(&scene);
}
END_TEST

/* --- Refusals --- */

START_TEST(what_istio_would_read_instead) {
        struct scene scene;

        begin(&scene, RIGHTS);
        kube_do(scene.fixture, "create secret generic trust-cacert --from-literal=cacert=x");
        run(&scene, REFUSED, "plan", "--reason", "expiring");
        expect_error(&scene, "trust-cacert, which Istio reads instead");
        kube_do(scene.fixture, "delete secret trust-cacert");
        kube_do(scene.fixture, "patch secret trust -p '{\"stringData\":{\"cacert\":\"x\"}}'");
        run(&scene, REFUSED, "plan", "--reason", "expiring");
        expect_error(&scene, "cacert as well, which Istio reads");
        end(&scene);
}
END_TEST

static const char gateway_kind[] =
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
        "metadata: {name: gateways.networking.istio.io}\nspec:\n  group: networking.istio.io\n"
        "  scope: Namespaced\n  names: {kind: Gateway, plural: gateways, singular: gateway}\n"
        "  versions:\n  - {name: v1beta1, served: true, storage: true, schema: {openAPIV3Schema: "
        "{type: object, x-kubernetes-preserve-unknown-fields: true}}}\n";
static const char gateway[] =
        "apiVersion: networking.istio.io/v1beta1\nkind: Gateway\nmetadata: {name: kyma}\n"
        "spec: {servers: [{tls: {mode: MUTUAL, credentialName: elsewhere}}]}\n";

static void allow_gateways(struct scene *scene) {
        const char *namespace = scene->fixture->namespace;

        kube_do(scene->fixture, "create clusterrole %s --verb=list --resource=gateways.networking.istio.io",
                namespace);
        kube_do(scene->fixture, "create clusterrolebinding %s --clusterrole=%s --serviceaccount=%s:operator",
                namespace, namespace, namespace);
}

START_TEST(a_bundle_that_no_gateway_reads) {
        struct scene scene;

        begin(&scene, RIGHTS);
        run(&scene, DONE, "plan", "--dry-run", "--reason=expiring");
        ck_assert_ptr_nonnull(strstr(process_output(scene.rotation.rekeyca, PROCESS_STDOUT),
                                     "cannot find out which Secrets the Gateways of Istio read"));
        free(kube_kubectl(scene.fixture, gateway_kind, "apply -f -"));
        kube_do(scene.fixture, "wait --for=condition=Established crd/gateways.networking.istio.io");
        allow_gateways(&scene);
        run(&scene, DONE, "plan", "--dry-run", "--reason=expiring");
        free(kube_kubectl(scene.fixture, gateway, "apply -f -"));
        run(&scene, REFUSED, "plan", "--dry-run", "--reason=expiring");
        expect_error(&scene,
                     "no Gateway verifies its clients with the Secret trust; by credentialName they do "
                     "with elsewhere of the Gateway");
        start(&scene, "plan", "--take-over", "--reason=expiring");
        ck_assert_int_eq(process_wait(scene.rotation.rekeyca), DONE);
        kube_do(scene.fixture, "patch gateway kyma --type=json -p "
                               "'[{\"op\":\"replace\",\"path\":\"/spec/servers/0/tls/credentialName\","
                               "\"value\":\"trust\"}]'");
        run(&scene, DONE, "plan", "--reason", "expiring");
        kube_do(scene.fixture, "delete crd gateways.networking.istio.io");
        end(&scene);
}
END_TEST

START_TEST(another_writer) {
        struct scene scene;

        begin(&scene, RIGHTS);
        kube_do(scene.fixture, "label secret trust app.kubernetes.io/managed-by=Helm");
        run(&scene, REFUSED, "plan", "--reason", "expiring");
        expect_error(&scene, "is written by Helm");
        start(&scene, "plan", "--take-over", "--reason=expiring");
        ck_assert_int_eq(process_wait(scene.rotation.rekeyca), DONE);
        run(&scene, DONE, "apply", "--until", "trusted");
        kube_do(scene.fixture, "patch secret trust -p '{\"stringData\":{\"ca.crt\":\"x\"}}'");
        run(&scene, CHANGED, "apply", NULL, NULL);
        expect_error(&scene, "changed by another writer");
        end(&scene);
}
END_TEST

START_TEST(a_right_that_is_missing) {
        struct scene scene;

        begin(&scene, "--verb=get --resource=secrets,leases.coordination.k8s.io");
        run(&scene, DONE, "inspect", NULL, NULL);
        ck_assert_ptr_nonnull(
                strstr(process_output(scene.rotation.rekeyca, PROCESS_STDOUT), "may not update the secrets"));
        end(&scene);
}
END_TEST

/* Each right that a later step needs is missed before the first write. */
START_TEST(rights_that_are_missing_later) {
        static const struct {
                const char *rights, *text;
        } rows[] = {
                { "--verb=get,update,create --resource=secrets", "may not get the leases" },
                { "--verb=get,update --resource=secrets,leases.coordination.k8s.io",
                  "may not create the leases" },
                { "--verb=get,update,create --resource=secrets,leases.coordination.k8s.io,deployments.apps",
                  "may not patch the deployments" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *reload = NULL;
                struct scene scene;

                begin(&scene, rows[i].rights);
                ck_assert_int_ge(
                        asprintf(&reload, "--reload=deployment:%s/gateway", scene.fixture->namespace), 0);
                run(&scene, DONE, "inspect", reload, NULL);
                ck_assert_msg(strstr(process_output(scene.rotation.rekeyca, PROCESS_STDOUT), rows[i].text),
                              "%s: %s", rows[i].text,
                              process_last_words(scene.rotation.rekeyca, PROCESS_STDOUT));
                end(&scene);
        }
}
END_TEST

START_TEST(one_operator_at_a_time) {
        struct process *first;
        struct scene scene;

        begin(&scene, RIGHTS);
        run(&scene, DONE, "plan", "--reason", "expiring");
        start(&scene, "apply", NULL, NULL);
        free(process_await(scene.rotation.rekeyca, PROCESS_STDOUT, "staged:"));
        process_signal(scene.rotation.rekeyca, SIGSTOP);
        first = take_ptr(scene.rotation.rekeyca);
        run(&scene, BUSY, "apply", NULL, NULL);
        expect_error(&scene, "another rekeyca is at work as rekeyca/");
        process_signal(first, SIGCONT);
        ck_assert_int_eq(process_wait(first), DONE);
        process_free(first);
        end(&scene);
}
END_TEST

/* --- Restarts --- */

static const char deployment[] = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: gateway}\nspec:\n"
                                 "  replicas: 2\n  selector: {matchLabels: {app: x}}\n  template:\n"
                                 "    metadata: {labels: {app: x}}\n"
                                 "    spec: {containers: [{name: x, image: x}]}\n";

START_TEST(an_outage_is_refused_at_once) {
        _cleanup_(freep) char *reload = NULL;
        struct scene scene;

        begin(&scene, RIGHTS);
        free(kube_kubectl(scene.fixture, deployment, "apply -f -"));
        kube_do(scene.fixture, "patch deployment gateway -p '{\"spec\":{\"strategy\":{\"type\":\"Recreate\","
                               "\"rollingUpdate\":null}}}'");
        ck_assert_int_ge(asprintf(&reload, "--reload=deployment:%s/gateway", scene.fixture->namespace), 0);
        run(&scene, REFUSED, "plan", "--reason=expiring", reload);
        expect_error(&scene, "/gateway is not restarted: ");
        end(&scene);
}
END_TEST

START_TEST(a_rollout_is_awaited) {
        _cleanup_(freep) char *reload = NULL, *generation = NULL, *restarted = NULL;
        struct scene scene;

        begin(&scene, RIGHTS);
        free(kube_kubectl(scene.fixture, deployment, "apply -f -"));
        ck_assert_int_ge(asprintf(&reload, "--reload=deployment:%s/gateway", scene.fixture->namespace), 0);
        start(&scene, "plan", "--reason=expiring", reload);
        ck_assert_int_eq(process_wait(scene.rotation.rekeyca), DONE);
        start(&scene, "apply", "--until=trusted", reload);
        free(process_await(scene.rotation.rekeyca, PROCESS_STDOUT, "reloading with deployment:"));
        do {
                free(generation);
                generation = kube_kubectl(scene.fixture, NULL,
                                          "get deployment gateway -o jsonpath={.metadata.generation}");
        } while (streq(generation, "1"));
        kube_do(scene.fixture,
                "patch deployment gateway --subresource=status --type=merge -p "
                "'{\"status\":{\"observedGeneration\":%s,"
                "\"replicas\":2,\"updatedReplicas\":2,\"readyReplicas\":2,\"availableReplicas\":2}}'",
                generation);
        ck_assert_int_eq(process_wait(scene.rotation.rekeyca), DONE);
        restarted = kube_kubectl(scene.fixture, NULL,
                                 "get deployment gateway -o "
                                 "jsonpath='{.spec.template.metadata.annotations}'");
        ck_assert_ptr_nonnull(strstr(restarted, "kubectl.kubernetes.io/restartedAt"));
        end(&scene);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("kube-rekeyca");
        TCase *tcase = tcase_create("reasons");

        if (!kube_fixture_is_there())
                return EXIT_SUCCESS;
        tcase_set_timeout(tcase, 0);
        tcase_add_loop_test(tcase, a_reason_ends, 0, ELEMENTSOF(reasons));
        suite_add_tcase(suite, tcase);
        TEST_CASE(suite, the_bytes_from_before_come_back);
        TEST_CASE(suite, a_kill_is_no_dead_end);
        TEST_CASE(suite, the_account_of_a_pod);
        TEST_CASE(suite, what_istio_would_read_instead);
        TEST_CASE(suite, a_bundle_that_no_gateway_reads);
        TEST_CASE(suite, another_writer);
        TEST_CASE(suite, a_right_that_is_missing);
        TEST_CASE(suite, rights_that_are_missing_later);
        TEST_CASE(suite, one_operator_at_a_time);
        TEST_CASE(suite, an_outage_is_refused_at_once);
        TEST_CASE(suite, a_rollout_is_awaited);
        return test_run(suite);
}
