/*
 * Three replicas that share a set on the real API server (replica.c), killed and frozen at random, beyond the
 * end of their Lease too, while the server itself is killed. Each set that is published is looked at by a
 * watch: its certificate is of its key, and its generation is the next one. In the end each generation has
 * had one key, however often it was signed.
 */

#include <signal.h>
#include <stdio.h>

#include "kube/kube-once.h"
#include "lib/kube/kube-object.h"
#include "lib/kube/kube-shared.h"
#include "lib/util/parse.h"
#include "tests/kube/kube-fixture.h"
#include "tests/support/process.h"
#include "tests/test.h"

#define REPLICAS        3u
#define GENERATIONS_MAX 10000u
#define KEY_ROOM        64u

#define RUN_USEC        (45 * USEC_PER_SEC)
#define RUN_SAMPLE_USEC (20 * USEC_PER_SEC)
#define STOP_MAX_USEC   (4 * USEC_PER_SEC) /* a lease is 2 s */

struct replica {
        struct process *process;
        usec_t continue_usec; /* CLOCK_MONOTONIC; 0: it is not frozen */
};

struct run {
        struct kube_fixture *kube;
        struct kube_once *once;
        struct kube_client *client;
        char *kubeconfig, *signatures;
        struct replica replicas[REPLICAS];
        unsigned n_starts, n_kills, n_stops, n_server_kills;

        /* What the watch has seen. */
        struct kube_call *watch;
        bool is_over;
        char version[64];
        uint64_t generation;
        unsigned n_mixed, n_back;
        char keys[GENERATIONS_MAX][KEY_ROOM]; /* by generation; "": not known */
        unsigned n_different, n_signatures, n_twice;
};

/* --- Judging */

/* Whether CERTIFICATE, "of KEY by ...", is of KEY. */
static bool is_of(const char *certificate, const char *key) {
        const size_t n = strlen(key);

        return n > 0 && has_prefix(certificate, "of ") && strncmp(certificate + 3, key, n) == 0 &&
               certificate[3 + n] == ' ';
}

/* KEY is one of GENERATION. Whether it is the only one. */
static bool note_key(struct run *run, uint64_t generation, const char *key) {
        ck_assert_uint_lt(generation, GENERATIONS_MAX);
        ck_assert_uint_lt(strlen(key), KEY_ROOM);
        if (!*run->keys[generation])
                strcpy(run->keys[generation], key);
        return streq(run->keys[generation], key);
}

static void judge(struct run *run, const json_t *published) {
        const char *text = kube_object_annotation(published, SHARED_GENERATION);
        _cleanup_(freep) char *key = NULL, *certificate = NULL;
        uint64_t generation;
        size_t size;

        if (kube_object_version(published))
                snprintf(run->version, sizeof(run->version), "%s", kube_object_version(published));
        if (!text)
                return;
        ck_assert_int_eq(parse_unsigned(text, 1, GENERATIONS_MAX - 1, &generation), 0);
        if (kube_secret_get(published, "tls.key", &key, &size) < 0 ||
            kube_secret_get(published, "tls.crt", &certificate, &size) < 0 || !is_of(certificate, key)) {
                run->n_mixed++;
                return;
        }
        run->n_back += generation < run->generation ? 1 : 0;
        run->generation = generation;
        run->n_different += note_key(run, generation, key) ? 0 : 1;
}

static void judge_signatures(struct run *run) {
        _cleanup_(freep) char *text = scratch_read(run->kube->directory, "signatures");
        char *rest = text, *line;
        unsigned per_generation[GENERATIONS_MAX] = { 0 };

        while ((line = strsep(&rest, "\n")) && *line) {
                char key[KEY_ROOM];
                uint64_t generation;

                ck_assert_int_eq(sscanf(line, "%" SCNu64 " %63s", &generation, key), 2);
                run->n_different += note_key(run, generation, key) ? 0 : 1;
                run->n_signatures++;
                run->n_twice += ++per_generation[generation] == 2 ? 1 : 0;
        }
}

/* --- The watch */

static bool on_event(const struct kube_event *event, void *userdata) {
        struct run *run = userdata;

        if (event->kind != KUBE_EVENT_BOOKMARK)
                judge(run, event->object);
        return true;
}

static void on_over(_unused_ const struct kube_result *result, void *userdata) {
        ((struct run *)userdata)->is_over = true;
}

/* From the present state on, when the one before it was lost. */
static void watch(struct run *run) {
        const struct kube_callbacks callbacks = { .done = on_over, .event = on_event, .userdata = run };
        const struct kube_resource resource = KUBE_SECRET(run->kube->namespace, "shared");
        const struct kube_ask get = { .verb = KUBE_GET, .resource = resource };
        const struct kube_ask ask = { .verb = KUBE_WATCH, .resource = resource, .version = run->version };
        json_t *now = NULL;

        run->watch = kube_call_free(run->watch);
        run->is_over = false;
        if (kube_once_ask(run->once, run->client, &get, 2 * USEC_PER_SEC, &now, NULL) != KUBE_DONE) {
                run->is_over = true;
                return;
        }
        judge(run, now);
        json_decref(now);
        if (kube_call_new(run->client, &ask, USEC_PER_HOUR, &callbacks, &run->watch, NULL) < 0)
                run->is_over = true;
}

/* --- Replicas */

static void start(struct run *run, struct replica *replica) {
        char self[32];
        const char *const argv[] = { getenv("REKEYD_TEST_REPLICA"),
                                     run->kubeconfig,
                                     run->kube->namespace,
                                     self,
                                     run->signatures,
                                     NULL };

        ck_assert_ptr_nonnull(argv[0]);
        snprintf(self, sizeof(self), "replica-%u", run->n_starts++); /* each process is another */
        process_free(replica->process);
        replica->process = process_start(argv, true);
        replica->continue_usec = 0;
}

static void disturb(struct run *run) {
        struct replica *replica = &run->replicas[(unsigned)random() % REPLICAS];

        if (replica->continue_usec > 0)
                return;
        if (random() % 2 == 0) {
                process_signal(replica->process, SIGKILL);
                start(run, replica);
                run->n_kills++;
        } else {
                process_signal(replica->process, SIGSTOP);
                replica->continue_usec =
                        usec_add(now_usec(CLOCK_MONOTONIC), (usec_t)random() % STOP_MAX_USEC + USEC_PER_MSEC);
                run->n_stops++;
        }
}

static void wake(struct run *run) {
        for (size_t i = 0; i < REPLICAS; i++)
                if (run->replicas[i].continue_usec > 0 &&
                    now_usec(CLOCK_MONOTONIC) >= run->replicas[i].continue_usec) {
                        process_signal(run->replicas[i].process, SIGCONT);
                        run->replicas[i].continue_usec = 0;
                }
}

static void disturb_for(struct run *run, usec_t span) {
        const usec_t begin = now_usec(CLOCK_MONOTONIC);
        const bool never = false;

        for (usec_t now = begin; now < begin + span; now = now_usec(CLOCK_MONOTONIC)) {
                (void)kube_once_wait(run->once, run->is_over ? &never : &run->is_over,
                                     usec_add(now_usec(CLOCK_BOOTTIME), (usec_t)random() % USEC_PER_SEC));
                if (run->is_over)
                        watch(run);
                wake(run);
                disturb(run);
                if (run->n_server_kills < 2 && now - begin > (run->n_server_kills + 1) * span / 3) {
                        kube_server_kill(run->kube);
                        run->n_server_kills++;
                }
        }
}

static struct run *run_new(void) {
        struct run *run = calloc(1, sizeof(*run));
        struct kube_place place = { 0 };

        ck_assert_ptr_nonnull(run);
        run->kube = kube_fixture_new();
        kube_do(run->kube, "create secret generic shared");
        kube_do(run->kube, "create secret generic shared-private");
        free(kube_kubectl(run->kube,
                          "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: shared}\n",
                          "create -f -"));
        run->kubeconfig = kube_user(run->kube, "replica",
                                    "--verb=get,update,watch --resource=secrets,leases.coordination.k8s.io "
                                    "--resource-name=shared --resource-name=shared-private",
                                    NULL);
        run->signatures = scratch_path(run->kube->directory, "signatures");
        ck_assert_int_eq(kube_once_new(&run->once), 0);
        place.path = run->kubeconfig;
        ck_assert_int_eq(kube_client_new(kube_once_host(run->once), &place, "rekeyd-test/1", &run->client),
                         0);
        return run;
}

static void run_free(struct run *run) {
        for (size_t i = 0; i < REPLICAS; i++)
                process_free(run->replicas[i].process);
        kube_call_free(run->watch);
        kube_client_free(run->client);
        kube_once_free(run->once);
        free(run->kubeconfig);
        free(run->signatures);
        kube_fixture_free(run->kube);
        free(run);
}

/* --- Tests */

START_TEST(what_is_wrong_is_found) {
        static const struct {
                const char *generation, *key, *certificate;
                unsigned n_mixed, n_back, n_different;
        } rows[] = {
                { "1", "a", "of a by x", 0, 0, 0 }, { "1", "a", "of a by y", 0, 0, 0 },
                { "2", "b", "of a by x", 1, 0, 0 }, { "2", "ab", "of a by x", 2, 0, 0 },
                { "2", "", "of  by x", 3, 0, 0 },   { "1", "c", "of c by x", 3, 0, 1 },
                { "3", "d", "of d by x", 3, 0, 1 }, { "2", "e", "of e by x", 3, 1, 1 },
        };
        struct run *run = calloc(1, sizeof(*run));

        ck_assert_ptr_nonnull(run);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                json_t *published = kube_secret_new("s", "n", NULL);

                ck_assert_int_eq(kube_object_annotate(published, SHARED_GENERATION, rows[i].generation), 0);
                ck_assert_int_eq(kube_secret_set(published, "tls.key", rows[i].key, strlen(rows[i].key)), 0);
                ck_assert_int_eq(kube_secret_set(published, "tls.crt", rows[i].certificate,
                                                 strlen(rows[i].certificate)),
                                 0);
                judge(run, published);
                ck_assert_uint_eq(run->n_mixed, rows[i].n_mixed);
                ck_assert_uint_eq(run->n_back, rows[i].n_back);
                ck_assert_uint_eq(run->n_different, rows[i].n_different);
                json_decref(published);
        }
        free(run);
}
END_TEST

START_TEST(one_key_for_each_generation) {
        struct run *run = run_new();
        const unsigned seed =
                getenv("REKEYD_TEST_SEED") ? (unsigned)atoi(getenv("REKEYD_TEST_SEED")) : (unsigned)getpid();

        srandom(seed);
        test_report("seed %u", seed);
        for (size_t i = 0; i < REPLICAS; i++)
                start(run, &run->replicas[i]);
        watch(run);
        disturb_for(run, getenv("REKEYD_TEST_SHARE") ? RUN_SAMPLE_USEC : RUN_USEC);
        for (size_t i = 0; i < REPLICAS; i++)
                process_signal(run->replicas[i].process, SIGKILL);
        kube_server_await(run->kube);
        watch(run);
        judge_signatures(run);
        test_report("kube: %" PRIu64
                    " generations, %u kills, %u stops, %u signatures, %u different keys, %u mixed sets; the "
                    "server killed %u times, %u generations signed twice",
                    run->generation, run->n_kills, run->n_stops, run->n_signatures, run->n_different,
                    run->n_mixed, run->n_server_kills, run->n_twice);
        ck_assert_uint_gt(run->generation, 2);
        ck_assert_uint_ge(run->n_signatures, run->generation);
        ck_assert_uint_eq(run->n_different, 0);
        ck_assert_uint_eq(run->n_mixed, 0);
        ck_assert_uint_eq(run->n_back, 0);
        run_free(run);
}
END_TEST

/* One is frozen while it has its key signed, and another goes on with the same key: both have it signed. What
 * the first brings afterwards is refused, and changes nothing. */
START_TEST(frozen_while_it_signs) {
        struct run *run = run_new();
        struct replica *first = &run->replicas[0], *second = &run->replicas[1];

        setenv("REPLICA_SLOW", "1", 1);
        start(run, first);
        free(process_await(first->process, PROCESS_STDOUT, "signing 1"));
        process_signal(first->process, SIGSTOP);
        unsetenv("REPLICA_SLOW");
        start(run, second);
        free(process_await(second->process, PROCESS_STDOUT, "published 1"));
        process_signal(first->process, SIGCONT);
        free(process_await(first->process, PROCESS_STDERR, "HTTP status 409"));
        process_signal(first->process, SIGKILL);
        process_signal(second->process, SIGKILL);
        watch(run);
        judge_signatures(run);
        ck_assert_uint_ge(run->n_twice, 1);
        ck_assert_uint_eq(run->n_different + run->n_mixed + run->n_back, 0);
        run_free(run);
}
END_TEST

TEST_MAIN("kube-replicas", what_is_wrong_is_found, frozen_while_it_signs, one_key_for_each_generation)
