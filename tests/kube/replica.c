/*
 * A replica: it shares a set with others by lib/kube/kube-shared.h, again and again, until it is killed. Keys
 * and certificates are texts here, since what is in doubt is not cryptography: a key is random, and a
 * certificate names the key that it is of. What it has signed it writes into a file.
 *
 *   replica KUBECONFIG NAMESPACE SELF SIGNATURES
 *
 * SIGNATURES gets a line for each: "GENERATION KEY". On standard output it says when it begins to have one
 * signed, and what it has published. With REPLICA_SLOW in the environment each signature takes a second.
 */

#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>

#include "kube/kube-once.h"
#include "lib/kube/kube-object.h"
#include "lib/kube/kube-shared.h"
#include "tests/support/must.h"

#define LEASE_USEC (2 * USEC_PER_SEC)
#define CALL_USEC  (USEC_PER_SEC / 2)
#define PUBLISHED  "shared"
#define PRIVATE    "shared-private"
#define LEASE      "shared"
#define SIGN_USEC  (300 * USEC_PER_MSEC) /* at most */

struct replica {
        struct kube_once *once;
        struct kube_client *client;
        const char *namespace, *self;
        int signatures_fd;

        json_t *published, *private, *lease; /* as they were read, or written; NULL: to be read */
        struct kube_lease seen;
        struct shared_view view;
        bool is_marked;
        char reply[200];   /* "": none */
        usec_t asked_usec; /* when the last request was sent: a lease counts from there */
};

static int ask(struct replica *replica, enum kube_verb verb, struct kube_resource resource,
               const json_t *body, json_t **ret) {
        const struct kube_ask what = { .verb = verb, .resource = resource, .body = body };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int r;

        replica->asked_usec = now_usec(CLOCK_BOOTTIME);
        r = kube_once_ask(replica->once, replica->client, &what, 5 * USEC_PER_SEC, ret, &error);
        if (r != KUBE_DONE)
                fprintf(stderr, "%s: %s\n", replica->self, error_text(&error));
        return r;
}

static struct kube_resource secret(const struct replica *replica, const char *name) {
        return KUBE_SECRET(replica->namespace, name);
}

/* All is to be read again, and what was decided before is void. */
static void forget(struct replica *replica) {
        json_decref(replica->published);
        json_decref(replica->private);
        json_decref(replica->lease);
        replica->published = replica->private = replica->lease = NULL;
        replica->is_marked = false;
        *replica->reply = '\0';
}

/* One's own that was only read may be older than its reading: it is written once more before it counts. */
static void see_lease(struct replica *replica) {
        char version[sizeof(replica->seen.version)];

        memcpy(version, replica->seen.version, sizeof(version));
        must(kube_lease_see(&replica->seen, replica->lease, now_usec(CLOCK_BOOTTIME), NULL) == 0);
        if (streq(replica->seen.holder, replica->self) && !streq(replica->seen.version, version))
                replica->seen.changed_usec = 0;
}

/* The published Secret first: what is staged for a generation that has passed meanwhile is void then. */
static int read_all(struct replica *replica) {
        const struct kube_resource lease = KUBE_LEASE(replica->namespace, LEASE);
        int r;

        r = ask(replica, KUBE_GET, lease, NULL, &replica->lease);
        if (r == KUBE_DONE) {
                see_lease(replica);
                r = ask(replica, KUBE_GET, secret(replica, PUBLISHED), NULL, &replica->published);
        }
        return r == KUBE_DONE ? ask(replica, KUBE_GET, secret(replica, PRIVATE), NULL, &replica->private) : r;
}

/* Writes *OBJECT; as it is now on the server, it replaces it. Else all is forgotten. */
static bool put(struct replica *replica, struct kube_resource resource, json_t **object) {
        json_t *now = NULL;

        if (ask(replica, KUBE_REPLACE, resource, *object, &now) != KUBE_DONE) {
                forget(replica);
                return false;
        }
        json_decref(*object);
        *object = now;
        return true;
}

static void write_lease(struct replica *replica, bool take) {
        const usec_t realtime = now_usec(CLOCK_REALTIME);
        const struct kube_resource resource = KUBE_LEASE(replica->namespace, LEASE);

        must((take ? kube_lease_take(replica->lease, replica->self, LEASE_USEC, realtime)
                   : kube_lease_release(replica->lease, realtime)) == 0);
        if (!put(replica, resource, &replica->lease))
                return;
        must(kube_lease_see(&replica->seen, replica->lease, replica->asked_usec, NULL) == 0);
        if (take) { /* what was read before it was ours is old */
                json_decref(replica->published);
                json_decref(replica->private);
                replica->published = replica->private = NULL;
                replica->is_marked = false;
                *replica->reply = '\0';
                if (ask(replica, KUBE_GET, secret(replica, PUBLISHED), NULL, &replica->published) !=
                            KUBE_DONE ||
                    ask(replica, KUBE_GET, secret(replica, PRIVATE), NULL, &replica->private) != KUBE_DONE)
                        forget(replica);
        }
}

static void stage_key(struct replica *replica) {
        unsigned char random[12];
        char key[sizeof(random) * 2 + 1];

        must(getrandom(random, sizeof(random), 0) == (ssize_t)sizeof(random));
        for (size_t i = 0; i < sizeof(random); i++)
                snprintf(key + 2 * i, 3, "%02x", random[i]);
        must(shared_stage_key(replica->private, &replica->view, key) == 0);
        (void)put(replica, secret(replica, PRIVATE), &replica->private);
}

static void mark(struct replica *replica) {
        must(shared_mark(replica->private, &replica->view, replica->self) == 0);
        replica->is_marked = true;
        (void)put(replica, secret(replica, PRIVATE), &replica->private);
}

static void say(const char *what, uint64_t generation) {
        printf("%s %" PRIu64 "\n", what, generation);
        fflush(stdout);
}

/* The Connector: it takes its time, and its answer may find a process that was frozen meanwhile. */
static void sign(struct replica *replica) {
        _cleanup_(freep) char *key = NULL, *line = NULL;
        const bool never = false;
        unsigned random;

        must(shared_get(replica->private, SHARED_KEY, &key) == 0);
        must(getrandom(&random, sizeof(random), 0) == (ssize_t)sizeof(random));
        say("signing", replica->view.generation + 1);
        (void)kube_once_wait(replica->once, &never,
                             usec_add(now_usec(CLOCK_BOOTTIME),
                                      getenv("REPLICA_SLOW") ? USEC_PER_SEC : random % SIGN_USEC));
        must(asprintf(&line, "%" PRIu64 " %s\n", replica->view.generation + 1, key) > 0);
        must(write(replica->signatures_fd, line, strlen(line)) == (ssize_t)strlen(line));
        snprintf(replica->reply, sizeof(replica->reply), "of %s by %s number %u", key, replica->self, random);
}

static void keep(struct replica *replica) {
        must(shared_stage(replica->private, &replica->view, SHARED_CERTIFICATE, replica->reply) == 0);
        *replica->reply = '\0';
        (void)put(replica, secret(replica, PRIVATE), &replica->private);
}

/* The next one is another's turn. */
static void publish(struct replica *replica) {
        must(shared_publish(replica->published, replica->private, &replica->view, "fingerprint") == 0);
        if (put(replica, secret(replica, PUBLISHED), &replica->published)) {
                say("published", replica->view.generation + 1);
                replica->is_marked = false;
                write_lease(replica, false);
        }
}

static void wait_for(struct replica *replica, usec_t span) {
        const bool never = false;

        (void)kube_once_wait(replica->once, &never, usec_add(now_usec(CLOCK_BOOTTIME), span));
        forget(replica);
}

static void step(struct replica *replica) {
        struct shared_situation situation = {
                .view = &replica->view,
                .lease = &replica->seen,
                .self = replica->self,
                .is_due = true,
                .call_usec = CALL_USEC,
        };

        if ((!replica->published || !replica->private || !replica->lease) && read_all(replica) != KUBE_DONE) {
                wait_for(replica, USEC_PER_SEC / 5);
                return;
        }
        must(shared_read(replica->published, replica->private, &replica->view, NULL) == 0);
        situation.is_marked = replica->is_marked;
        situation.has_reply = *replica->reply;
        situation.now = now_usec(CLOCK_BOOTTIME);
        switch (shared_next(&situation)) {
        case SHARED_WAIT:
                wait_for(replica, USEC_PER_SEC / 10);
                break;
        case SHARED_TAKE:
                write_lease(replica, true);
                break;
        case SHARED_STAGE:
                stage_key(replica);
                break;
        case SHARED_MARK:
                mark(replica);
                break;
        case SHARED_SIGN:
                sign(replica);
                break;
        case SHARED_KEEP:
                keep(replica);
                break;
        case SHARED_PUBLISH:
                publish(replica);
                break;
        default:
                abort(); /* it is always due */
        }
}

int main(int argc, char **argv) {
        struct replica replica = { 0 };
        struct kube_place place = { 0 };

        must(argc == 5);
        place.path = argv[1];
        replica.namespace = argv[2];
        replica.self = argv[3];
        replica.signatures_fd = open(argv[4], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        must(replica.signatures_fd >= 0);
        must(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK && kube_once_new(&replica.once) == 0);
        must(kube_client_new(kube_once_host(replica.once), &place, "rekeyd-test/1", &replica.client) == 0);
        for (;;)
                step(&replica);
}
