/*
 * Each reason upon the Secrets of a real API server, from beginning to end and one after the other on one
 * site: a devconnector and an nginx have copies of the Secrets in files, as a kubelet makes them, and a
 * client calls both with all certificates of a rekeyd, all the time. In what was planned no call may fail.
 */

#include <signal.h>
#include <stdio.h>

#include "tests/kube/kube-fixture.h"
#include "tests/support/rotation-site.h"
#include "tests/test.h"

#define N SITE_CERTIFICATES

enum { DONE = 0, REFUSED = 3 };

#define RIGHTS "--verb=get,update,create --resource=secrets,leases.coordination.k8s.io"

struct scene {
        struct kube_fixture *kube;
        struct rotation_site site;
        struct process *signer_copies, *trust_copies;
        char *kubeconfig;
        usec_t begun;
};

static void make_secrets(const struct scene *scene) {
        const char *d = scene->site.fixture->directory;

        kube_do(scene->kube,
                "create secret generic signer --from-file=%s/connector/ca.key "
                "--from-file=%s/connector/ca.crt",
                d, d);
        kube_do(scene->kube, "create secret generic trust --from-file=ca.crt=%s/connector/clients.pem", d);
}

/* The signer for the Connector. */
static struct process *copy_signer(const struct scene *scene, const char *admin) {
        _cleanup_(freep) char *connector = scratch_path(scene->site.fixture->directory, "connector");
        const char *argv[] = { getenv("REKEYD_TEST_COPY_SECRET"),
                               admin,
                               scene->kube->namespace,
                               "signer",
                               connector,
                               "ca.key=ca.key",
                               "ca.crt=ca.crt",
                               NULL };

        return process_start(argv, false);
}

/* The bundle for both gateways; nginx is reloaded after each copy. */
static struct process *copy_trust(const struct scene *scene, const char *admin) {
        const char *d = scene->site.fixture->directory;
        _cleanup_(freep) char *conf = scratch_path(d, "nginx.conf"), *log = scratch_path(d, "nginx.log"),
                              *script = NULL;
        const char *argv[] = { getenv("REKEYD_TEST_COPY_SECRET"),
                               admin,
                               scene->kube->namespace,
                               "trust",
                               d,
                               "ca.crt=nginx-clients.pem",
                               "--",
                               "sh",
                               "-c",
                               NULL,
                               NULL };

        ck_assert_int_ge(asprintf(&script,
                                  "cp %s/nginx-clients.pem %s/clients.copy && mv %s/clients.copy "
                                  "%s/connector/clients.pem && nginx -c %s -e %s -s reload",
                                  d, d, d, d, conf, log),
                         0);
        argv[9] = script;
        return process_start(argv, false);
}

static void configure(struct scene *scene) {
        const char *ns = scene->kube->namespace;
        _cleanup_(freep) char *signer = NULL, *trust = NULL, *state = NULL, *more = NULL;

        ck_assert(asprintf(&signer, "secret:%s/signer[ca.key,ca.crt]", ns) >= 0 &&
                  asprintf(&trust, "['secret:%s/trust[ca.crt]']", ns) >= 0 &&
                  asprintf(&state, "secret:%s/rotation", ns) >= 0 &&
                  asprintf(&more, "kubeconfig: %s\n", scene->kubeconfig) >= 0);
        rotation_site_configure(&scene->site, signer, trust, state, more);
}

static void begin(struct scene *scene) {
        _cleanup_(freep) char *admin = NULL;

        *scene = (struct scene) { .kube = kube_fixture_new() };
        rotation_site_begin(&scene->site);
        make_secrets(scene);
        scene->kubeconfig = kube_user(scene->kube, "operator", RIGHTS, NULL);
        admin = scratch_path(scene->kube->server_directory, "kubeconfig");
        scene->signer_copies = copy_signer(scene, admin);
        scene->trust_copies = copy_trust(scene, admin);
        free(process_await(scene->signer_copies, PROCESS_STDOUT, "copied"));
        free(process_await(scene->trust_copies, PROCESS_STDOUT, "copied"));
        configure(scene);
}

static void end(struct scene *scene) {
        process_signal(scene->signer_copies, SIGTERM);
        process_signal(scene->trust_copies, SIGTERM);
        (void)process_wait(scene->signer_copies);
        (void)process_wait(scene->trust_copies);
        process_free(scene->signer_copies);
        process_free(scene->trust_copies);
        rotation_site_end(&scene->site);
        free(scene->kubeconfig);
        kube_fixture_free(scene->kube);
}

/* Neither in the state Secret nor in the bundle, the Lease or an event of the namespace. */
static void assert_no_key_left(const struct scene *scene) {
        _cleanup_(freep) char *state = kube_value(scene->kube, "rotation", "rotation.json"),
                              *key = kube_value(scene->kube, "signer", "ca.key"),
                              *middle = rotation_middle_of_key(key),
                              *trust = kube_value(scene->kube, "trust", "ca.crt"),
                              *rest = kube_kubectl(scene->kube, NULL, "get leases,events -o yaml");

        ck_assert_ptr_nonnull(state);
        ck_assert_ptr_null(strstr(state, "PRIVATE KEY"));
        ck_assert_ptr_null(strstr(state, middle));
        ck_assert_ptr_null(strstr(state, scene->site.old_key));
        ck_assert_ptr_null(strstr(trust, "PRIVATE KEY"));
        ck_assert_ptr_null(strstr(rest, middle));
}

static void plan(struct scene *scene, const char *reason) {
        scene->begun = now_usec(CLOCK_MONOTONIC);
        rotation_site_run(&scene->site, DONE, "plan", "--reason", reason, NULL);
}

static void finish(struct scene *scene, const char *reason, bool was_planned) {
        _cleanup_(freep) char *name = NULL;

        rotation_site_await_calls(&scene->site, 4 * N);
        assert_no_key_left(scene);
        ck_assert_int_ge(asprintf(&name, "%s upon Secrets", reason), 0);
        rotation_site_report(&scene->site, name, scene->begun, was_planned);
}

/* --- The reasons --- */

static void rotate_for_expiry(struct scene *scene) {
        plan(scene, "expiring");
        rotation_site_run(&scene->site, DONE, "apply", NULL, NULL, NULL);
        rotation_site_await_calls(&scene->site, 2 * N);
        rotation_site_run(&scene->site, DONE, "retire", NULL, NULL, NULL); /* no leaf was renewed */
        finish(scene, "expiring", true);
}

static void rotate_for_certificate(struct scene *scene) {
        plan(scene, "certificate-compromised");
        rotation_site_run(&scene->site, DONE, "apply", "--until", "retired", NULL);
        finish(scene, "certificate-compromised", true);
}

static void rotate_to_new_key(struct scene *scene) {
        _cleanup_(freep) char *url = rotation_site_metrics(&scene->site);
        struct rotation_site *site = &scene->site;

        plan(scene, "new-key");
        rotation_site_run(site, DONE, "apply", NULL, NULL, NULL);
        rotation_site_run(site, REFUSED, "retire", "--prometheus", url, NULL);
        rotation_site_expect_error(site, "6 sets are issued under the old CA");
        rotation_site_run(site, DONE, "status", NULL, NULL, NULL);
        rotation_site_distrust(site);
        rotation_fleet_await(site->fixture, N, MESSAGE_RENEWED);
        rotation_site_await_calls(site, 2 * N);
        rotation_site_run(site, DONE, "retire", "--prometheus", url, NULL);
        finish(scene, "new-key", true);
}

static void rotate_from_stolen_key(struct scene *scene) {
        struct rotation_site *site = &scene->site;
        unsigned n_failed;

        plan(scene, "key-compromised");
        rotation_site_run(site, DONE, "apply", NULL, NULL, NULL);
        rotation_site_distrust(site);
        n_failed = site->traffic.n_failed;
        rotation_site_await_calls(site, 2 * N);
        ck_assert_uint_ge(site->traffic.n_failed, n_failed + 2 * N - 2);
        rotation_fleet_tokens(site->fixture, N);
        rotation_fleet_await(site->fixture, N, MESSAGE_ENROLLED);
        rotation_site_await_calls(site, 2); /* what was under way */
        n_failed = site->traffic.n_failed;
        rotation_site_await_calls(site, 4 * N);
        ck_assert_uint_eq(site->traffic.n_failed, n_failed);
        rotation_site_run(site, DONE, "retire", NULL, NULL, NULL);
        finish(scene, "key-compromised", false);
}

START_TEST(each_reason_with_live_leaves) {
        struct scene scene;

        begin(&scene);
        rotate_for_expiry(&scene);
        rotate_for_certificate(&scene);
        rotate_to_new_key(&scene);
        rotate_from_stolen_key(&scene);
        end(&scene);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("kube-rekeyca-live");

        if (!kube_fixture_is_there())
                return EXIT_SUCCESS;
        curl_global_init(CURL_GLOBAL_DEFAULT);
        TEST_CASE(suite, each_reason_with_live_leaves);
        return test_run(suite);
}
