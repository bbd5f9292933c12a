/*
 * Each write carries the version that was read. After one that was refused, and one whose outcome is unknown
 * and that reading does not show, the attempt has failed: the next inspection reads all again and decides
 * anew. So nothing is repeated blindly, and what another replica has done meanwhile is never overwritten.
 */

#include "daemon/certificate/replica.h"

#include <stdarg.h>
#include <stdio.h>

#include "daemon/kube/kube-follow.h"
#include "daemon/kube/kube-turn.h"
#include "daemon/loop/backoff.h"
#include "lib/kube/kube-object.h"
#include "lib/x509/cert.h"

enum call_kind {
        CALL_NONE,
        CALL_READ_PUBLISHED,
        CALL_READ_PRIVATE,
        CALL_WRITE_PRIVATE,
        CALL_WRITE_PUBLISHED,
        CALL_COMPARE, /* the outcome of a write is unknown */
};

/* What is to be done, until its end. */
struct shared_job {
        enum renewal_step step;    /* STEP_NONE: it is no step that is prepared */
        const char *const *parts;  /* of a step */
        const char *fingerprint;   /* of a step */
        bool is_published, is_cut; /* a step: its set is; a job that writes once */
        replica_done_t done;
        void *userdata;
};

struct replica {
        char *secret, *directory;
        const struct replica_ops *ops;
        void *userdata;
        struct kube_client *client;
        sd_event *event;
        struct kube_name name;
        char *private_name;
        char self[KUBE_LEASE_HOLDER_MAX + 1];
        usec_t call_usec; /* what a signature may take */

        struct kube_turn *turn;
        struct kube_follow *follow;
        struct kube_call *call;
        enum call_kind kind;
        sd_event_source *later;      /* a job ends without a call */
        sd_event_source *retry;      /* of reading */
        unsigned n_unread;           /* times in a row that reading has failed */
        json_t *published, *private; /* as they were read or written; NULL: not known */
        json_t *written;             /* what is being written */
        bool writes_published;       /* that is the published Secret */
        struct shared_view view;
        bool is_marked, is_once; /* nothing is followed */
        bool is_unwatched;       /* which was logged */
        char version[64];        /* of the published Secret */
        struct shared_job job;
        struct error error;
        char *problem;                             /* that was logged last; NULL: none */
        char waits_for[KUBE_LEASE_HOLDER_MAX + 1]; /* that was logged last */
};

/* --- The end of a job */

static int on_later(_unused_ sd_event_source *source, void *userdata) {
        struct replica *replica = userdata;
        const struct shared_job job = replica->job;
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        replica->later = sd_event_source_disable_unref(replica->later);
        replica->job = (struct shared_job) { 0 };
        error_move(&error, &replica->error);
        job.done(error.code, error.code < 0 ? error_text(&error) : NULL, job.userdata);
        return 0;
}

/* From the loop: who asked may still be at it. */
static void end_job(struct replica *replica) {
        if (sd_event_add_defer(replica->event, &replica->later, on_later, replica) < 0)
                sd_event_exit(replica->event, EXIT_FAILURE);
}

static void fail_job(struct replica *replica, int r, const char *text) {
        (void)error_set(&replica->error, r, "%s", text);
        end_job(replica);
}

/* What was read is not to be relied on any more. */
static void forget(struct replica *replica) {
        json_decref(take_ptr(replica->published));
        json_decref(take_ptr(replica->private));
        json_decref(take_ptr(replica->written));
        replica->is_marked = false;
}

/* --- Problems, each logged once */

_printf_(3, 4) static void report(struct replica *replica, int priority, const char *format, ...) {
        _cleanup_(freep) char *text = NULL;
        va_list args;

        va_start(args, format);
        if (vasprintf(&text, format, args) < 0)
                text = NULL;
        va_end(args);
        replica->ops->log(priority, text ? text : "out of memory", replica->userdata);
}

static void note_problem(struct replica *replica, const char *error) {
        if (streq_null(replica->problem, error))
                return;
        free(replica->problem);
        replica->problem = error ? strdup(error) : NULL;
        if (error)
                report(replica, LOG_WARNING, "%s; the copy in %s stays in use", error, replica->directory);
        else
                report(replica, LOG_INFO, "Secret %s can be used again", replica->secret);
}

/* --- Calls */

static void begin(struct replica *replica, enum call_kind kind);
static void go_on(struct replica *replica);

static struct kube_resource resource_of(const struct replica *replica, bool is_published) {
        return KUBE_SECRET(replica->name.namespace,
                           is_published ? replica->name.name : replica->private_name);
}

static void take_published(struct replica *replica, json_t *object) {
        json_decref(replica->published);
        replica->published = json_incref(object);
        snprintf(replica->version, sizeof(replica->version), "%s",
                 kube_object_version(object) ? kube_object_version(object) : "");
}

static void take_private(struct replica *replica, json_t *object) {
        json_decref(replica->private);
        replica->private = json_incref(object);
}

static void on_changed(const char *version, void *userdata) {
        struct replica *replica = userdata;

        if (!version || !streq(version, replica->version))
                replica->ops->changed(replica->userdata);
}

static void on_forbidden(const char *error, void *userdata) {
        struct replica *replica = userdata;

        if (!replica->is_unwatched)
                report(replica, LOG_WARNING, "%s; what other replicas publish in Secret %s is found late",
                       error, replica->secret);
        replica->is_unwatched = true;
}

static int follow(struct replica *replica, const char *version) {
        const struct kube_follow_options options = {
                .client = replica->client,
                .event = replica->event,
                .secret = replica->name,
                .changed = on_changed,
                .forbidden = on_forbidden,
                .userdata = replica,
        };

        return replica->follow || replica->is_once ? 0 : kube_follow_new(&options, version, &replica->follow);
}

static int on_retry(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct replica *replica = userdata;

        replica->retry = sd_event_source_disable_unref(replica->retry);
        replica->ops->changed(replica->userdata);
        return 0;
}

/* The copy is good for weeks, and nothing else would ask before that: only one of the Secrets is followed. */
static void retry_later(struct replica *replica) {
        const usec_t span = backoff_for_ever(FAILURE_TRANSIENT, ++replica->n_unread);

        replica->retry = sd_event_source_disable_unref(replica->retry);
        if (!replica->is_once && sd_event_add_time_relative(replica->event, &replica->retry, CLOCK_BOOTTIME,
                                                            span, span / 10, on_retry, replica) < 0)
                sd_event_exit(replica->event, EXIT_FAILURE);
}

static void on_read_failed(struct replica *replica, const char *error) {
        forget(replica);
        note_problem(replica, error);
        (void)follow(replica, NULL);
        retry_later(replica);
        fail_job(replica, -EIO, error);
}

static void on_published_read(struct replica *replica, const struct kube_result *result) {
        if (result->outcome != KUBE_DONE) {
                on_read_failed(replica, result->error);
                return;
        }
        take_published(replica, result->object);
        begin(replica, CALL_READ_PRIVATE);
}

static void on_private_read(struct replica *replica, const struct kube_result *result) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        if (result->outcome != KUBE_DONE) {
                on_read_failed(replica, result->error);
                return;
        }
        take_private(replica, result->object);
        if (shared_read(replica->published, replica->private, &replica->view, &error) < 0) {
                (void)error_prefix(&error, "Secret %s, or the one beside it, cannot be used",
                                   replica->secret);
                on_read_failed(replica, error_text(&error));
                return;
        }
        note_problem(replica, NULL);
        replica->n_unread = 0;
        replica->retry = sd_event_source_disable_unref(replica->retry);
        if (follow(replica, replica->version) < 0)
                fail_job(replica, -ENOMEM, "out of memory");
        else
                end_job(replica);
}

static void take_written(struct replica *replica, json_t *object) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        json_decref(take_ptr(replica->written));
        if (replica->writes_published) {
                take_published(replica, object);
                replica->job.is_published = true;
        } else
                take_private(replica, object);
        if (shared_read(replica->published, replica->private, &replica->view, &error) < 0)
                fail_job(replica, -EPROTO, error_text(&error));
        else if (replica->job.is_cut)
                end_job(replica);
        else
                go_on(replica);
}

static void on_write_failed(struct replica *replica, const struct kube_result *result) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        if (result->outcome == KUBE_CONFLICT)
                (void)error_set(&error, -EAGAIN, "another replica or client wrote it first: %s",
                                result->error);
        else
                (void)error_set(&error, -EIO, "%s", result->error);
        forget(replica);
        fail_job(replica, error.code, error_text(&error));
}

static void on_written(struct replica *replica, const struct kube_result *result) {
        if (result->outcome == KUBE_DONE)
                take_written(replica, result->object);
        else if (result->outcome == KUBE_UNCERTAIN)
                begin(replica, CALL_COMPARE);
        else
                on_write_failed(replica, result);
}

/* The Secret has what was written, or has not. */
static void on_compared(struct replica *replica, const struct kube_result *result) {
        const struct kube_result conflict = { .outcome = KUBE_CONFLICT,
                                              .error = "what was written is not there" };
        const char *annotations[] = { SHARED_GENERATION, SHARED_FINGERPRINT };
        bool is_done = result->outcome == KUBE_DONE && json_equal(json_object_get(result->object, "data"),
                                                                  json_object_get(replica->written, "data"));

        for (size_t i = 0; is_done && replica->writes_published && i < ELEMENTSOF(annotations); i++)
                is_done = streq_null(kube_object_annotation(result->object, annotations[i]),
                                     kube_object_annotation(replica->written, annotations[i]));
        if (is_done)
                take_written(replica, result->object);
        else
                on_write_failed(replica, result->outcome == KUBE_DONE ? &conflict : result);
}

static void on_done(const struct kube_result *result, void *userdata) {
        static void (*const rows[])(struct replica * replica, const struct kube_result *result) = {
                [CALL_READ_PUBLISHED] = on_published_read,
                [CALL_READ_PRIVATE] = on_private_read,
                [CALL_WRITE_PRIVATE] = on_written,
                [CALL_WRITE_PUBLISHED] = on_written,
                [CALL_COMPARE] = on_compared,
        };
        struct replica *replica = userdata;
        _unused_ _cleanup_(kube_call_freep) struct kube_call *call = take_ptr(replica->call);

        rows[replica->kind](replica, result);
}

static void begin(struct replica *replica, enum call_kind kind) {
        const bool writes = kind == CALL_WRITE_PRIVATE || kind == CALL_WRITE_PUBLISHED;
        const struct kube_callbacks callbacks = { .done = on_done, .userdata = replica };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct kube_ask ask = { .verb = writes ? KUBE_REPLACE : KUBE_GET, .body = replica->written };
        struct kube_result result = { .outcome = KUBE_UNREACHED };
        int r;

        replica->kind = kind;
        if (writes)
                replica->writes_published = kind == CALL_WRITE_PUBLISHED;
        else
                ask.body = NULL;
        ask.resource = resource_of(replica, kind == CALL_COMPARE ? replica->writes_published
                                                                 : kind == CALL_READ_PUBLISHED ||
                                                                           kind == CALL_WRITE_PUBLISHED);
        r = kube_call_new(replica->client, &ask, 0, &callbacks, &replica->call, &error);
        if (r == 0)
                return;
        if (error.code == 0)
                (void)error_set_errno(&error, r, "cannot call the API server");
        result.error = error_text(&error);
        on_done(&result, replica);
}

/* --- Writing */

static void write_now(struct replica *replica, bool is_published) {
        begin(replica, is_published ? CALL_WRITE_PUBLISHED : CALL_WRITE_PRIVATE);
}

/* A copy of one of the Secrets, to be changed. */
static int copy_for_writing(struct replica *replica, bool is_published) {
        const json_t *object = is_published ? replica->published : replica->private;

        json_decref(replica->written);
        replica->written = object ? json_deep_copy(object) : NULL;
        return replica->written ? 0 : -ENOMEM;
}

static bool is_staged(const struct replica *replica) {
        return shared_has_parts(replica->private, &replica->view, replica->job.parts);
}

static void stage(struct replica *replica, bool with_mark) {
        int r = copy_for_writing(replica, false);

        if (r == 0)
                r = shared_stage_parts(replica->written, &replica->view, replica->job.parts,
                                       with_mark ? replica->self : NULL);
        if (r < 0) {
                fail_job(replica, r, "what is staged cannot be written into a Secret");
                return;
        }
        replica->is_marked = with_mark;
        write_now(replica, false);
}

static void publish(struct replica *replica) {
        int r = copy_for_writing(replica, true);

        if (r == 0)
                r = shared_publish(replica->written, replica->private, &replica->view,
                                   replica->job.fingerprint);
        if (r < 0)
                fail_job(replica, r, "what is staged cannot be published");
        else
                write_now(replica, true);
}

static void on_renewed(int r, const char *error, void *userdata) {
        struct replica *replica = userdata;

        if (r < 0)
                fail_job(replica, r, error);
        else
                go_on(replica);
}

/* What stands between here and the step: the order is that of shared_next(). */
static void go_on(struct replica *replica) {
        const enum renewal_step step = replica->job.step;
        const struct shared_situation situation = {
                .view = &replica->view,
                .lease = kube_turn_lease(replica->turn),
                .self = replica->self,
                .is_due = true,
                .is_marked = replica->is_marked,
                .now = now_usec(CLOCK_BOOTTIME),
                .call_usec = replica->call_usec,
        };

        if (replica->job.is_published) {
                report(replica, LOG_INFO, "generation %" PRIu64 " is published in Secret %s",
                       replica->view.generation, replica->secret);
                end_job(replica);
                return;
        }
        switch (shared_next(&situation)) {
        case SHARED_WAIT:
                fail_job(replica, -EAGAIN, "another replica has the Lease by now");
                break;
        case SHARED_TAKE:
                if (kube_turn_is_held(replica->turn))
                        kube_turn_renew(replica->turn, on_renewed);
                else
                        fail_job(replica, -EAGAIN, "the Lease has run out, which others may have noticed");
                break;
        case SHARED_MARK:
                if (step == STEP_SIGN || !is_staged(replica))
                        stage(replica, step == STEP_SIGN);
                else
                        end_job(replica);
                break;
        case SHARED_PUBLISH:
                if (!is_staged(replica))
                        stage(replica, false);
                else if (step == STEP_COMMIT)
                        publish(replica);
                else
                        end_job(replica);
                break;
        default:
                if (!is_staged(replica))
                        stage(replica, step == STEP_SIGN);
                else
                        end_job(replica);
        }
}

static bool begin_job(struct replica *replica, struct shared_job job) {
        replica->job = job;
        error_clear(&replica->error);
        if (job.step == STEP_NONE && !job.is_cut)
                return true;
        if (replica->published && replica->private)
                return true;
        fail_job(replica, -EAGAIN, replica->problem ? replica->problem : "the Secrets are to be read first");
        return false;
}

void replica_read(struct replica *replica, replica_done_t done, void *userdata) {
        (void)begin_job(replica, (struct shared_job) { .done = done, .userdata = userdata });
        forget(replica);
        begin(replica, CALL_READ_PUBLISHED);
}

void replica_prepare(struct replica *replica, enum renewal_step step,
                     const char *const parts[SHARED_PART_MAX], const char *fingerprint, replica_done_t done,
                     void *userdata) {
        const struct shared_job job = {
                .step = step, .parts = parts, .fingerprint = fingerprint, .done = done, .userdata = userdata
        };

        if (begin_job(replica, job))
                go_on(replica);
}

void replica_write_back(struct replica *replica, const struct set *set, replica_done_t done, void *userdata) {
        const char *parts[SHARED_PART_MAX] = { [SHARED_CERTIFICATE] = set->certificate_pem,
                                               [SHARED_CA] = set->ca_pem,
                                               [SHARED_CONNECTION] = set->connection_json };
        char fingerprint[FINGERPRINT_HEX];
        size_t size;
        int r;

        if (!begin_job(replica, (struct shared_job) { .is_cut = true, .done = done, .userdata = userdata }))
                return;
        key_pem(set->key, &parts[SHARED_KEY], &size);
        r = copy_for_writing(replica, true);
        if (r == 0)
                r = shared_write_back(replica->written, parts, set->generation > 0 ? set->generation : 1,
                                      hex_format(fingerprint, set->fingerprint, FINGERPRINT_SIZE));
        if (r < 0)
                fail_job(replica, r, "the set cannot be written into a Secret");
        else
                write_now(replica, true);
}

void replica_drop(struct replica *replica, enum shared_part part, replica_done_t done, void *userdata) {
        int r;

        if (!begin_job(replica, (struct shared_job) { .is_cut = true, .done = done, .userdata = userdata }))
                return;
        r = copy_for_writing(replica, false);
        if (r == 0)
                r = shared_stage(replica->written, &replica->view, part, NULL);
        if (r == 0 && part == SHARED_CERTIFICATE)
                r = shared_stage(replica->written, &replica->view, SHARED_CA, NULL);
        if (r < 0)
                fail_job(replica, r, "nothing is staged");
        else
                write_now(replica, false);
}

int replica_get(const struct replica *replica, struct shared_copy *ret) {
        return shared_copy_read(replica->published, replica->private, &replica->view, ret);
}

/* --- The turn */

static void on_turn(void *userdata) {
        struct replica *replica = userdata;

        *replica->waits_for = '\0';
        replica->ops->turn(replica->userdata);
}

static void on_waits(const char *holder, void *userdata) {
        struct replica *replica = userdata;

        if (streq(replica->waits_for, holder))
                return;
        snprintf(replica->waits_for, sizeof(replica->waits_for), "%s", holder);
        report(replica, LOG_INFO, "waiting for replica %s, which has the Lease %s", holder, replica->secret);
}

static void on_turn_failed(const char *error, void *userdata) {
        struct replica *replica = userdata;

        note_problem(replica, error);
        replica->ops->failed(replica->userdata);
}

static void on_turn_idle(void *userdata) {
        struct replica *replica = userdata;

        replica->ops->idle(replica->userdata);
}

void replica_ask_turn(struct replica *replica) {
        kube_turn_ask(replica->turn);
}

void replica_end_turn(struct replica *replica) {
        *replica->waits_for = '\0';
        kube_turn_end(replica->turn);
}

bool replica_has_turn(const struct replica *replica) {
        return kube_turn_is_held(replica->turn);
}

bool replica_waits(const struct replica *replica) {
        return kube_turn_is_asked(replica->turn);
}

bool replica_is_busy(const struct replica *replica) {
        return kube_turn_is_busy(replica->turn);
}

/* --- Beginning and end */

/* Longer than a signature by a fourth: the steps before it are quick. */
static usec_t lease_duration(usec_t call_usec) {
        const usec_t wanted = call_usec + call_usec / 4;

        return (wanted / USEC_PER_SEC + 1) * USEC_PER_SEC;
}

/* This process, and no other: not even the next one in this pod. */
static void name_self(char self[KUBE_LEASE_HOLDER_MAX + 1]) {
        char host[HOST_NAME_MAX + 1] = "";

        (void)gethostname(host, sizeof(host) - 1);
        snprintf(self, KUBE_LEASE_HOLDER_MAX + 1, "%s_%08x", *host ? host : "rekeyd", random_number());
}

static int make_turn(struct replica *replica) {
        const struct kube_turn_options options = {
                .client = replica->client,
                .event = replica->event,
                .lease = replica->name,
                .self = replica->self,
                .duration_usec = lease_duration(replica->call_usec),
                .came = on_turn,
                .waits = on_waits,
                .failed = on_turn_failed,
                .idle = on_turn_idle,
                .userdata = replica,
        };

        return kube_turn_new(&options, &replica->turn);
}

int replica_new(struct environment *env, const struct config_certificate *config,
                const struct replica_ops *ops, void *userdata, struct replica **ret, struct error *error) {
        _cleanup_(replica_freep) struct replica *replica = calloc(1, sizeof(*replica));

        if (!replica)
                return -ENOMEM;
        replica->secret = strdup(config->store.secret);
        replica->directory = strdup(config->directory);
        if (!replica->secret || !replica->directory)
                return -ENOMEM;
        replica->ops = ops;
        replica->userdata = userdata;
        replica->client = env->kube;
        replica->event = env->services.event;
        replica->is_once = env->once;
        replica->call_usec = config->connector->timeout_usec;
        name_self(replica->self);
        if (kube_name_parse(config->store.secret, &replica->name) < 0)
                return error_set(error, -EINVAL, "'%s' is no name of a Secret", config->store.secret);
        if (asprintf(&replica->private_name, "%s" CONFIG_STORE_PRIVATE, replica->name.name) < 0)
                replica->private_name = NULL;
        if (!replica->private_name || make_turn(replica) < 0)
                return -ENOMEM;
        *ret = take_ptr(replica);
        return 0;
}

struct replica *replica_free(struct replica *replica) {
        if (!replica)
                return NULL;
        kube_call_free(replica->call);
        kube_turn_free(replica->turn);
        kube_follow_free(replica->follow);
        sd_event_source_disable_unref(replica->later);
        sd_event_source_disable_unref(replica->retry);
        forget(replica);
        error_clear(&replica->error);
        free(replica->problem);
        free(replica->secret);
        free(replica->private_name);
        free(replica->directory);
        free(replica);
        return NULL;
}
