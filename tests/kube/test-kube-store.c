/*
 * A set that real rekeyd processes share in Secrets, against a real API server and devconnector.
 *
 * First each request of an enrolment and of a renewal is spoiled in turn: rekeyd is killed before and after
 * it, its answer is lost, it is answered with 409. Then another replica, which knows nothing but the Secrets,
 * goes on: with the key that was staged, if one was.
 *
 * Then three replicas are killed and frozen at random, beyond the end of their Lease too. Watches look at
 * each version of both Secrets.
 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "kube/kube-once.h"
#include "lib/kube/kube-object.h"
#include "lib/kube/kube-shared.h"
#include "lib/util/parse.h"
#include "lib/x509/cert.h"
#include "lib/x509/key.h"
#include "tests/e2e/exports-fixture.h"
#include "tests/kube/fault-proxy.h"
#include "tests/kube/kube-fixture.h"
#include "tests/support/parallel.h"
#include "tests/test.h"

#define REPLICAS        3u
#define GENERATIONS_MAX 1000u
#define ALLOWED                                                                  \
        "--verb=get,update,watch --resource=secrets,leases.coordination.k8s.io " \
        "--resource-name=orders-tls --resource-name=orders-tls-rekeyd"
#define LEASE  "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: orders-tls}\nspec: {}\n"
#define ENOUGH 3u /* generations, to say something */
#define TRIES  5u /* of what may be too slow */
#define SMALL  "{bits: 2048}"
#define LARGE  "{bits: 3072}"

/* The suite takes one of so many requests at most, and all with REKEYD_TEST_STORE=SECONDS. */
#define SAMPLE 4u

struct crew {
        struct kube_fixture *kube;
        struct fixture *fixture; /* devconnector, and a directory */
        struct proxy_fault_server *proxy;
        struct kube_once *once;
        struct kube_client *admin;
        char *kubeconfig;
        struct process *replicas[REPLICAS];
};

static json_t *ask(const struct crew *crew, enum kube_verb verb, struct kube_resource resource,
                   const json_t *body) {
        const struct kube_ask what = { .verb = verb, .resource = resource, .body = body };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        json_t *object = NULL;

        ck_assert_msg(kube_once_ask(crew->once, crew->admin, &what, 0, &object, &error) == KUBE_DONE, "%s",
                      error_text(&error));
        return object;
}

static struct kube_resource published(const struct crew *crew) {
        return KUBE_SECRET(crew->kube->namespace, "orders-tls");
}

static struct kube_resource private(const struct crew *crew) {
        return KUBE_SECRET(crew->kube->namespace, "orders-tls-rekeyd");
}

static struct crew crew_new(const char *lifetime_text, bool with_proxy) {
        struct crew crew = { .kube = kube_fixture_new() };
        _cleanup_(freep) char *admin = scratch_path(crew.kube->server_directory, "kubeconfig");
        const struct kube_place place = { .path = admin };

        crew.fixture = fixture_new(FIXTURE_LASTING(lifetime_text));
        ck_assert_int_eq(kube_once_new(&crew.once), 0);
        ck_assert_int_eq(kube_client_new(kube_once_host(crew.once), &place, "rekeyd-test/1", &crew.admin), 0);
        if (with_proxy)
                crew.proxy = fault_proxy_new(crew.kube->server_directory);
        free(kube_kubectl(crew.kube,
                          "apiVersion: v1\nkind: Secret\nmetadata: {name: orders-tls}\n"
                          "type: kubernetes.io/tls\nstringData: {tls.crt: '', tls.key: ''}\n",
                          "create -f -"));
        kube_do(crew.kube, "create secret generic orders-tls-rekeyd");
        free(kube_kubectl(crew.kube, LEASE, "create -f -"));
        crew.kubeconfig =
                kube_user(crew.kube, "rekeyd", ALLOWED, with_proxy ? fault_proxy_url(crew.proxy) : NULL);
        return crew;
}

static void crew_clear(struct crew *crew) {
        for (size_t i = 0; i < REPLICAS; i++)
                process_free(crew->replicas[i]);
        kube_client_free(crew->admin);
        kube_once_free(crew->once);
        fixture_free(crew->fixture);
        fault_proxy_free(crew->proxy);
        kube_fixture_free(crew->kube);
        free(crew->kubeconfig);
}

/* Replica I as it is in a new pod, with KEY and MORE in its configuration. */
static void make_replica(struct crew *crew, unsigned i, const char *key, const char *more) {
        _cleanup_(freep) char *yaml = NULL, *name = NULL;
        const struct fixture *fixture = crew->fixture;

        free(shell("rm -rf %s/r%u && mkdir %s/r%u", fixture->directory, i, fixture->directory, i));
        ck_assert(asprintf(&yaml,
                           "state_directory: %s/r%u/state\n"
                           "log: {format: json, level: debug}\n"
                           "limits: {issuances_per_hour: 100}\n"
                           "kubernetes: {kubeconfig: %s}\n"
                           "connectors:\n"
                           "  dev: {enrol_url: '%s', trust: %s, ca_window: 1s, timeout: 1s}\n"
                           "defaults: {key: %s, jitter: 0%%}\n"
                           "certificates:\n"
                           "  orders:\n"
                           "    connector: dev\n"
                           "    directory: %s/r%u/orders\n"
                           "    token_file: %s/token\n"
                           "    store: {secret: %s/orders-tls}\n%s",
                           fixture->directory, i, crew->kubeconfig, fixture->token_url, fixture->trust, key,
                           fixture->directory, i, fixture->directory, crew->kube->namespace, more) > 0);
        ck_assert(asprintf(&name, "r%u/rekeyd.yaml", i) > 0);
        scratch_write(fixture->directory, name, yaml, 0600);
}

static void start(struct crew *crew, unsigned i, const char *option) {
        _cleanup_(freep) char *config = NULL;
        const char *argv[] = { fixture_program("REKEYD"), "--config", NULL, option, NULL };

        ck_assert(asprintf(&config, "%s/r%u/rekeyd.yaml", crew->fixture->directory, i) > 0);
        argv[2] = config;
        process_free(crew->replicas[i]);
        crew->replicas[i] = process_start(argv, true);
}

/* --- Judging sets */

/* KEY and the first certificate of CERTIFICATE belong together. */
static bool is_pair(const char *key_text, const char *certificate) {
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 };
        _cleanup_(key_freep) struct key *key = NULL;
        uint8_t a[SPKI_HASH_SIZE], b[SPKI_HASH_SIZE];

        if (!key_text || !certificate || key_parse(key_text, strlen(key_text), &key, NULL) < 0 ||
            cert_list_parse(certificate, strlen(certificate), &certs, NULL) < 0 || certs.n == 0)
                return false;
        key_spki(key, a);
        cert_spki(certs.items[0], b);
        return memcmp(a, b, sizeof(a)) == 0;
}

static char *value(const json_t *secret, const char *key) {
        char *data = NULL;
        size_t size;

        return kube_secret_get(secret, key, &data, &size) < 0 ? NULL : data;
}

static uint64_t generation_of(const json_t *secret) {
        const char *text = kube_object_annotation(secret, SHARED_GENERATION);
        uint64_t generation = 0;

        if (text)
                ck_assert_int_eq(parse_unsigned(text, 1, GENERATIONS_MAX - 1, &generation), 0);
        return generation;
}

/* A file of replica I as a reader has it. */
static char *local(const struct crew *crew, unsigned i, const char *name) {
        _cleanup_(freep) char *path = NULL;

        ck_assert(asprintf(&path, "r%u/orders/%s", i, name) > 0);
        return scratch_read(crew->fixture->directory, path);
}

static bool is_copy(const struct crew *crew, unsigned i, const json_t *secret) {
        _cleanup_(freep) char *key = local(crew, i, "tls.key"), *certificate = local(crew, i, "tls.crt"),
                              *shared_key = value(secret, "tls.key"),
                              *shared_certificate = value(secret, "tls.crt");

        return streq_null(key, shared_key) && streq_null(certificate, shared_certificate) && key;
}

/* --- Each request of one attempt */

/* RESOURCE as EDIT makes it. A request that was cut off from its replica may still be under way in the
 * server, so what was read may be older than what is there. */
static void change(const struct crew *crew, struct kube_resource resource,
                   void (*edit)(json_t *object, const json_t *base), const json_t *base) {
        enum kube_outcome outcome = KUBE_CONFLICT;
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        for (unsigned i = 0; i < TRIES && outcome == KUBE_CONFLICT; i++) {
                _cleanup_(json_decrefp) json_t *object = ask(crew, KUBE_GET, resource, NULL), *after = NULL;
                const struct kube_ask what = { .verb = KUBE_REPLACE, .resource = resource, .body = object };

                edit(object, base);
                error_clear(&error);
                outcome = (enum kube_outcome)kube_once_ask(crew->once, crew->admin, &what, 0, &after, &error);
        }
        ck_assert_msg(outcome == KUBE_DONE, "%s", error_text(&error));
}

/* Nobody has the Lease: as if the time of a dead replica were over. */
static void release(json_t *lease, _unused_ const json_t *base) {
        ck_assert_int_eq(kube_lease_release(lease, now_usec(CLOCK_REALTIME)), 0);
}

static void publish(json_t *shared, const json_t *base) {
        json_t *metadata = json_object_get(shared, "metadata");

        json_object_set(shared, "data", json_object_get(base, "data"));
        if (kube_object_annotation(base, SHARED_GENERATION))
                json_object_set(metadata, "annotations",
                                json_object_get(json_object_get(base, "metadata"), "annotations"));
        else
                json_object_del(metadata, "annotations");
}

static void clear(json_t *staged, _unused_ const json_t *base) {
        json_object_del(staged, "data");
}

static void end_lease(const struct crew *crew) {
        change(crew, KUBE_LEASE(crew->kube->namespace, "orders-tls"), release, NULL);
}

/* The published Secret is as BASE has it, and nothing is staged. */
static void reset(const struct crew *crew, const json_t *base) {
        change(crew, published(crew), publish, base);
        change(crew, private(crew), clear, NULL);
        end_lease(crew);
}

/* Replica 0 attempts it, and its NTH request has FAULT. False: it made fewer this time. */
static bool spoil(struct crew *crew, unsigned nth, enum proxy_fault fault) {
        const bool holds = fault == PROXY_HOLD_BEFORE || fault == PROXY_HOLD_AFTER;
        bool is_spoiled;

        fault_proxy_arm(crew->proxy, nth, fault);
        start(crew, 0, "--once");
        if (holds && fault_proxy_await_held(crew->proxy, crew->replicas[0])) {
                process_signal(crew->replicas[0], SIGKILL);
                ck_assert_int_eq(process_wait(crew->replicas[0]), 128 + SIGKILL);
                fault_proxy_release(crew->proxy);
        } else
                ck_assert_int_le(process_wait(crew->replicas[0]), 2);
        is_spoiled = fault_proxy_count(crew->proxy) >= nth;
        fault_proxy_arm(crew->proxy, 0, PROXY_NONE);
        return is_spoiled;
}

/* Replica 1 goes on. A token that replica 0 has used up, without a word to others, is replaced. */
static void go_on(struct crew *crew, bool enrols, uint64_t wanted, const char *what) {
        for (unsigned i = 0; i < TRIES; i++) {
                _cleanup_(json_decrefp) json_t *now = NULL;

                end_lease(crew);
                start(crew, 1, "--once");
                ck_assert_int_le(process_wait(crew->replicas[1]), 2);
                now = ask(crew, KUBE_GET, published(crew), NULL);
                if (generation_of(now) == wanted) {
                        ck_assert_msg(is_copy(crew, 1, now), "%s: the copy is another set", what);
                        return;
                }
                if (enrols)
                        fixture_token(crew->fixture, "client-1", "token");
        }
        ck_abort_msg("%s: generation %" PRIu64 " was never published: %s", what, wanted,
                     process_last_words(crew->replicas[1], PROCESS_STDERR));
}

/* Replica I has failed since its Lease, of two seconds, has run out: the machine is busy. */
static bool was_too_slow(const struct crew *crew, unsigned i) {
        return strstr(process_output(crew->replicas[i], PROCESS_STDERR), "the Lease has run out");
}

/* How many requests such an attempt makes; 0 where it was too slow. */
static unsigned count_requests(struct crew *crew) {
        int status;

        fault_proxy_arm(crew->proxy, 0, PROXY_NONE);
        start(crew, 0, "--once");
        status = process_wait(crew->replicas[0]);
        ck_assert_msg(status == 2 || was_too_slow(crew, 0), "the attempt fails: %s",
                      process_last_words(crew->replicas[0], PROCESS_STDERR));
        return status == 2 ? fault_proxy_count(crew->proxy) : 0;
}

static void prepare_attempt(struct crew *crew, const json_t *base, bool enrols) {
        reset(crew, base);
        for (unsigned i = 0; i < 2; i++)
                make_replica(crew, i, enrols ? SMALL : LARGE, "");
        if (enrols)
                fixture_token(crew->fixture, "client-1", "token");
}

static unsigned spoil_each(struct crew *crew, const json_t *base, bool enrols) {
        static const enum proxy_fault faults[] = { PROXY_HOLD_BEFORE, PROXY_HOLD_AFTER, PROXY_CUT_AFTER,
                                                   PROXY_CONFLICT };
        const unsigned stride = getenv("REKEYD_TEST_STORE") ? 1 : parallel_stride() > 1 ? 3 * SAMPLE : SAMPLE;
        const uint64_t wanted = enrols ? 1 : 2;
        unsigned n_requests = 0, n_tried = 0, n = 0;

        for (unsigned i = 0; n_requests == 0 && i < TRIES; i++) {
                prepare_attempt(crew, base, enrols);
                n_requests = count_requests(crew);
        }
        ck_assert_uint_gt(n_requests, 0);
        for (size_t f = 0; f < ELEMENTSOF(faults); f++)
                for (unsigned nth = 1; nth <= n_requests; nth++) {
                        _cleanup_(json_decrefp) json_t *staged = NULL, *after = NULL;
                        _cleanup_(freep) char *key = NULL, *certificate = NULL, *shared = NULL, *what = NULL;

                        if ((nth + f) % stride != 0)
                                continue;
                        n_tried++;
                        ck_assert(asprintf(&what, "%s, request %u %s", enrols ? "enrolment" : "renewal", nth,
                                           proxy_fault_names[faults[f]]) > 0);
                        prepare_attempt(crew, base, enrols);
                        n += spoil(crew, nth, faults[f]) ? 1 : 0;
                        staged = ask(crew, KUBE_GET, private(crew), NULL);
                        key = value(staged, shared_part_names[SHARED_KEY]);
                        go_on(crew, enrols, wanted, what);
                        after = ask(crew, KUBE_GET, published(crew), NULL);
                        shared = value(after, "tls.key");
                        certificate = value(after, "tls.crt");
                        ck_assert_msg(!key || streq(key, shared), "%s: two keys for one generation", what);
                        ck_assert_msg(is_pair(shared, certificate), "%s: a mixed set", what);
                }
        ck_assert_msg(n > n_tried / 2, "of %u attempts %u made as many requests as the first", n_tried, n);
        return n;
}

START_TEST(each_request_is_spoiled) {
        _cleanup_(crew_clear) struct crew crew = crew_new("1h", true);
        _cleanup_(json_decrefp) json_t *none = ask(&crew, KUBE_GET, published(&crew), NULL), *first = NULL;
        unsigned n;

        n = spoil_each(&crew, none, true);
        first = ask(&crew, KUBE_GET, published(&crew), NULL);
        n += spoil_each(&crew, first, false);
        test_report("a set in Secrets: %u requests spoiled, 0 different keys, 0 mixed sets, %u signatures", n,
                    fixture_calls(crew.fixture, "sign"));
}
END_TEST

/* --- Three replicas, killed and frozen */

struct run {
        struct crew crew;
        bool is_over[2]; /* the watches */
        struct kube_call *watches[2];
        uint64_t generation;
        usec_t continue_usec[REPLICAS]; /* CLOCK_MONOTONIC; 0: it is not frozen */
        char *keys[GENERATIONS_MAX];    /* by generation */
        unsigned n_kills, n_stops, n_different, n_mixed, n_back;
};

static void note_key(struct run *run, uint64_t generation, const char *key) {
        ck_assert_uint_lt(generation, GENERATIONS_MAX);
        if (!run->keys[generation])
                run->keys[generation] = strdup(key);
        run->n_different += streq(run->keys[generation], key) ? 0 : 1;
}

static bool on_published(const struct kube_event *event, void *userdata) {
        struct run *run = userdata;
        _cleanup_(freep) char *key = value(event->object, "tls.key"),
                              *certificate = value(event->object, "tls.crt");
        const uint64_t generation = generation_of(event->object);

        if (event->kind == KUBE_EVENT_BOOKMARK || generation == 0)
                return true;
        run->n_back += generation < run->generation ? 1 : 0;
        run->generation = generation;
        if (is_pair(key, certificate))
                note_key(run, generation, key);
        else
                run->n_mixed++;
        return true;
}

/* No key has a request signed that was not staged before. */
static bool on_private(const struct kube_event *event, void *userdata) {
        _cleanup_(freep) char *key = value(event->object, shared_part_names[SHARED_KEY]),
                              *text = value(event->object, "staged-for");
        uint64_t generation;

        if (event->kind != KUBE_EVENT_BOOKMARK && key && text) {
                ck_assert_int_eq(parse_unsigned(text, 1, GENERATIONS_MAX - 1, &generation), 0);
                note_key(userdata, generation, key);
        }
        return true;
}

static void on_over(const struct kube_result *result, _unused_ void *userdata) {
        ck_assert_msg(result->outcome == KUBE_DONE, "a watch has ended: %s", result->error);
}

static void watch(struct run *run, unsigned i) {
        const struct kube_callbacks callbacks = { .done = on_over,
                                                  .event = i == 0 ? on_published : on_private,
                                                  .userdata = run };
        const struct kube_resource resource = i == 0 ? published(&run->crew) : private(&run->crew);
        _cleanup_(json_decrefp) json_t *now = ask(&run->crew, KUBE_GET, resource, NULL);
        const struct kube_ask what = { .verb = KUBE_WATCH,
                                       .resource = resource,
                                       .version = kube_object_version(now) };

        ck_assert_int_eq(
                kube_call_new(run->crew.admin, &what, USEC_PER_HOUR, &callbacks, &run->watches[i], NULL), 0);
}

/* What a reader finds in the directory of replica I: through one open of it, a set is whole. */
static void judge_local(struct run *run, unsigned i) {
        _cleanup_(freep) char *target = NULL, *name = NULL, *key = NULL, *certificate = NULL;
        char path[PATH_MAX], link[64] = "";

        snprintf(path, sizeof(path), "%s/r%u/orders/..data", run->crew.fixture->directory, i);
        if (readlink(path, link, sizeof(link) - 1) < 0)
                return; /* nothing yet */
        ck_assert(asprintf(&name, "r%u/orders/%s/tls.key", i, link) > 0);
        ck_assert(asprintf(&target, "r%u/orders/%s/tls.crt", i, link) > 0);
        key = scratch_read(run->crew.fixture->directory, name);
        certificate = scratch_read(run->crew.fixture->directory, target);
        run->n_mixed += is_pair(key, certificate) ? 0 : 1;
}

static void disturb(struct run *run) {
        const unsigned i = (unsigned)random() % REPLICAS;
        struct process *process = run->crew.replicas[i];

        if (run->continue_usec[i] > 0)
                return;
        if (random() % 2 == 0) {
                process_signal(process, SIGKILL);
                start(&run->crew, i, NULL);
                run->n_kills++;
        } else {
                process_signal(process, SIGSTOP);
                run->continue_usec[i] = usec_add(now_usec(CLOCK_MONOTONIC),
                                                 (usec_t)random() % (4 * USEC_PER_SEC) + USEC_PER_MSEC);
                run->n_stops++;
        }
}

static void wake(struct run *run, bool all) {
        for (unsigned i = 0; i < REPLICAS; i++)
                if (run->continue_usec[i] > 0 &&
                    (all || now_usec(CLOCK_MONOTONIC) >= run->continue_usec[i])) {
                        process_signal(run->crew.replicas[i], SIGCONT);
                        run->continue_usec[i] = 0;
                }
}

static void pass(struct run *run, usec_t span) {
        const bool never = false;

        (void)kube_once_wait(run->crew.once, &never, usec_add(now_usec(CLOCK_BOOTTIME), span));
        for (unsigned i = 0; i < REPLICAS; i++)
                judge_local(run, i);
}

/* All replicas have the published set, once they are left in peace: one that could not read it tries again
 * after a back-off, and that twice on a busy machine. */
static void await_copies(struct run *run) {
        const usec_t end = now_usec(CLOCK_MONOTONIC) + 4 * patience_usec();

        for (;;) {
                _cleanup_(json_decrefp) json_t *now = ask(&run->crew, KUBE_GET, published(&run->crew), NULL);
                unsigned n = 0;

                while (n < REPLICAS && is_copy(&run->crew, n, now))
                        n++;
                if (n == REPLICAS)
                        return;
                ck_assert_msg(now_usec(CLOCK_MONOTONIC) < end, "the copy of replica %u lags behind: %s", n,
                              process_last_words(run->crew.replicas[n], PROCESS_STDERR));
                pass(run, USEC_PER_SEC / 10);
        }
}

START_TEST(one_key_for_each_generation) {
        static struct run run;
        const char *seconds = getenv("REKEYD_TEST_STORE"), *seed_text = getenv("REKEYD_TEST_SEED");
        const unsigned seed = seed_text ? (unsigned)atoi(seed_text) : (unsigned)getpid();
        const usec_t span = (usec_t)(seconds ? atoi(seconds) : 30) * USEC_PER_SEC;
        usec_t end;

        run.crew = crew_new("30s", false);
        srandom(seed);
        test_report("seed %u", seed);
        fixture_token(run.crew.fixture, "client-1", "token");
        for (unsigned i = 0; i < 2; i++)
                watch(&run, i);
        for (unsigned i = 0; i < REPLICAS; i++) {
                make_replica(&run.crew, i, SMALL, "    renew_before: 27s\n");
                start(&run.crew, i, NULL);
        }
        end = now_usec(CLOCK_MONOTONIC) + patience_usec();
        while (run.generation == 0) {
                ck_assert_uint_lt(now_usec(CLOCK_MONOTONIC), end);
                pass(&run, USEC_PER_SEC / 20);
        }
        for (end = now_usec(CLOCK_MONOTONIC) + span;
             now_usec(CLOCK_MONOTONIC) < end ||
             (run.generation < ENOUGH && now_usec(CLOCK_MONOTONIC) < end + patience_usec());) {
                pass(&run, (usec_t)random() % (2 * USEC_PER_SEC));
                wake(&run, false);
                disturb(&run);
        }
        wake(&run, true);
        for (unsigned i = 0; i < REPLICAS; i++) { /* nothing is due any more */
                free(shell("sed -i s/27s/5s/ %s/r%u/rekeyd.yaml", run.crew.fixture->directory, i));
                process_signal(run.crew.replicas[i], SIGHUP);
        }
        await_copies(&run);
        test_report("kube: %" PRIu64 " generations, %u kills, %u stops, %u signatures, %u different keys, %u "
                    "mixed sets",
                    run.generation, run.n_kills, run.n_stops, fixture_calls(run.crew.fixture, "sign"),
                    run.n_different, run.n_mixed);
        ck_assert_uint_ge(run.generation, ENOUGH);
        ck_assert_uint_eq(run.n_different + run.n_mixed + run.n_back, 0);
        for (unsigned i = 0; i < 2; i++)
                kube_call_free(run.watches[i]);
        for (size_t i = 0; i < GENERATIONS_MAX; i++)
                free(run.keys[i]);
        crew_clear(&run.crew);
}
END_TEST

/* --- What a stranger, a token and rights do to it */

START_TEST(a_strangers_put_is_undone) {
        _cleanup_(crew_clear) struct crew crew = crew_new("1h", false);
        _cleanup_(json_decrefp) json_t *before = NULL, *after = NULL;
        usec_t end;

        make_replica(&crew, 0, SMALL, "");
        fixture_token(crew.fixture, "client-1", "token");
        start(&crew, 0, NULL);
        free(process_await(crew.replicas[0], PROCESS_STDERR, "generation 1 is published in Secret"));
        free(process_await(crew.replicas[0], PROCESS_STDERR, MESSAGE_ENROLLED));
        before = ask(&crew, KUBE_GET, published(&crew), NULL);
        free(kube_kubectl(crew.kube,
                          "apiVersion: v1\nkind: Secret\nmetadata: {name: orders-tls}\n"
                          "type: kubernetes.io/tls\nstringData: {tls.crt: 'x', tls.key: 'y'}\n",
                          "replace -f -"));
        end = now_usec(CLOCK_MONOTONIC) + patience_usec();
        do {
                json_decref(after);
                after = ask(&crew, KUBE_GET, published(&crew), NULL);
                ck_assert_msg(now_usec(CLOCK_MONOTONIC) < end, "it stays: %s",
                              process_last_words(crew.replicas[0], PROCESS_STDERR));
        } while (generation_of(after) == 0);
        ck_assert(json_equal(json_object_get(before, "data"), json_object_get(after, "data")));
        ck_assert(is_copy(&crew, 0, after));
        ck_assert_uint_eq(fixture_calls(crew.fixture, "sign"), 1);
}
END_TEST

/* A token that the server does not accept, then rights without one verb: the copy stays as it is, the log
 * says what is missing, and when it is given, all goes on. */
START_TEST(rights_that_are_missing) {
        static const struct {
                const char *rights, *text;
        } rows[] = {
                { "--verb=get,watch", "cannot update" },
                { "--verb=update,watch", "cannot get Secret" },
        };
        _cleanup_(crew_clear) struct crew crew = crew_new("1h", false);
        _cleanup_(json_decrefp) json_t *after = NULL;

        fixture_token(crew.fixture, "client-1", "token");
        make_replica(&crew, 0, SMALL, "");
        scratch_write(crew.kube->directory, "rekeyd.token", "no-token-of-this-server", 0600);
        start(&crew, 0, NULL);
        free(process_await(crew.replicas[0], PROCESS_STDERR, "401"));
        kube_user_rotate(crew.kube, "rekeyd");
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                kube_do(crew.kube, "delete role rekeyd");
                kube_do(crew.kube,
                        "create role rekeyd %s --resource=secrets,leases.coordination.k8s.io "
                        "--resource-name=orders-tls --resource-name=orders-tls-rekeyd",
                        rows[i].rights);
                start(&crew, 0, NULL);
                {
                        _cleanup_(freep) char *line =
                                process_await(crew.replicas[0], PROCESS_STDERR, rows[i].text);

                        ck_assert_msg(line && strstr(line, "403"), "%s", line ? line : "no line");
                }
        }
        kube_do(crew.kube, "delete role rekeyd");
        kube_do(crew.kube, "create role rekeyd " ALLOWED);
        free(process_await(crew.replicas[0], PROCESS_STDERR, MESSAGE_ENROLLED));
        after = ask(&crew, KUBE_GET, published(&crew), NULL);
        ck_assert(is_copy(&crew, 0, after));
        ck_assert_uint_eq(fixture_calls(crew.fixture, "sign"), 1);
}
END_TEST

/* Replica I has the published set, of GENERATION. */
static void await_copy(struct crew *crew, unsigned i, uint64_t generation) {
        const usec_t end = now_usec(CLOCK_MONOTONIC) + 2 * patience_usec();

        for (;;) {
                _cleanup_(json_decrefp) json_t *now = ask(crew, KUBE_GET, published(crew), NULL);

                if (generation_of(now) == generation && is_copy(crew, i, now))
                        return;
                ck_assert_msg(now_usec(CLOCK_MONOTONIC) < end,
                              "replica %u has no copy of generation %" PRIu64 ": %s", i, generation,
                              process_last_words(crew->replicas[i], PROCESS_STDERR));
                (void)kube_once_wait(crew->once, &(bool) { false },
                                     usec_add(now_usec(CLOCK_BOOTTIME), USEC_PER_SEC / 10));
        }
}

/* Replica 1 has another key in its configuration, and renews at once. */
static void renew_elsewhere(struct crew *crew, const char *key) {
        unsigned n = 0;
        int status;

        make_replica(crew, 1, key, "");
        do {
                start(crew, 1, "--once");
                status = process_wait(crew->replicas[1]);
        } while (status == 1 && was_too_slow(crew, 1) && ++n < TRIES);
        ck_assert_msg(status == 2, "%s", process_last_words(crew->replicas[1], PROCESS_STDERR));
}

/* What others publish is found late then, and found. */
START_TEST(a_right_to_watch_that_is_missing) {
        _cleanup_(crew_clear) struct crew crew = crew_new("1h", false);

        kube_do(crew.kube, "delete role rekeyd");
        kube_do(crew.kube,
                "create role rekeyd --verb=get,update --resource=secrets,leases.coordination.k8s.io "
                "--resource-name=orders-tls --resource-name=orders-tls-rekeyd");
        fixture_token(crew.fixture, "client-1", "token");
        make_replica(&crew, 0, SMALL, "");
        start(&crew, 0, NULL);
        {
                _cleanup_(freep) char *line =
                        process_await(crew.replicas[0], PROCESS_STDERR, "is found late");

                ck_assert_msg(line && strstr(line, "cannot watch") && strstr(line, "403"), "%s",
                              line ? line : "no line");
        }
        await_copy(&crew, 0, 1);
        renew_elsewhere(&crew, LARGE);
        await_copy(&crew, 0, 2);
}
END_TEST

static void await_line(struct crew *crew, const char *text) {
        _cleanup_(freep) char *line = process_await(crew->replicas[0], PROCESS_STDERR, text);

        ck_assert_ptr_nonnull(line);
}

static void delete_secrets(const struct crew *crew) {
        kube_do(crew->kube, "delete secret orders-tls orders-tls-rekeyd");
}

/* As the manifest has them: empty. */
static void restore_secrets(const struct crew *crew) {
        kube_do(crew->kube, "create secret generic orders-tls");
        kube_do(crew->kube, "create secret generic orders-tls-rekeyd");
}

/* An API server that is killed, that hangs, and that comes back with other data: the copy stays in use, and
 * what was published, or the copy where nothing is, is published in the end. */
START_TEST(a_server_that_goes) {
        _cleanup_(crew_clear) struct crew crew = crew_new("1h", false);
        _cleanup_(freep) char *pid = NULL, *leaf = NULL, *before = NULL, *after = NULL;

        fixture_token(crew.fixture, "client-1", "token");
        make_replica(&crew, 0, SMALL, "");
        start(&crew, 0, NULL);
        await_copy(&crew, 0, 1);

        kube_server_kill(crew.kube);
        kube_server_await(crew.kube);
        renew_elsewhere(&crew, LARGE);
        await_copy(&crew, 0, 2);

        pid = scratch_read(crew.kube->server_directory, "pid");
        ck_assert_int_eq(kill(atoi(pid), SIGSTOP), 0);
        leaf = scratch_path(crew.fixture->directory, "r0/orders/tls.crt");
        ck_assert_int_eq(utimensat(AT_FDCWD, leaf, NULL, 0), 0); /* it inspects, and so asks */
        await_line(&crew, "stays in use");
        before = local(&crew, 0, "tls.key");
        ck_assert_int_eq(kill(atoi(pid), SIGCONT), 0);
        kube_server_await(crew.kube);
        await_line(&crew, "can be used again");

        delete_secrets(&crew);
        await_line(&crew, "stays in use");
        restore_secrets(&crew);
        await_copy(&crew, 0, 2);
        after = local(&crew, 0, "tls.key");
        ck_assert_str_eq(before, after);
        ck_assert_uint_eq(fixture_calls(crew.fixture, "sign"), 2);
}
END_TEST

TEST_MAIN("kube-store", one_key_for_each_generation, a_strangers_put_is_undone, rights_that_are_missing,
          a_right_to_watch_that_is_missing, a_server_that_goes, each_request_is_spoiled)
