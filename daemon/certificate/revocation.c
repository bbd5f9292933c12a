/*
 * Revocation needs nothing but a set as it lies on the disk: it is read on a worker, and then one call is
 * made with it. The Connector revokes the certificate by which it is called, and no other.
 *
 * It cannot be asked afterwards what it has done: a revoked certificate gets the empty 400 for ever, as one
 * of a client that is not paired does, and any while the Director is down. So the state file is written
 * ahead: from before the call until it is certain that nothing was done, the set counts as revoked. A process
 * that dies in between, or an answer that is lost, leaves a doubt, in which the set is not used; and the next
 * call begins with that. To revoke twice is harmless. What ends a doubt:
 *
 *   true                           it is revoked
 *   expired, and the edge says so  it is not accepted any more
 *   the Connector itself says no   it was let in, so it is not revoked (PROTOCOL_STANDS)
 *
 * Whatever else turns the call away says that this call has done nothing, and nothing of an earlier one. So
 * does an edge that rejects what has not expired: its CA may come back. A call that has not left has done
 * nothing either, so then the next URL is called.
 */

#include "daemon/certificate/revocation.h"

#include <stdio.h>

#include "daemon/connector/connector-client.h"
#include "lib/config/urls.h"
#include "lib/store/store.h"

struct revocation {
        struct job job;
        struct loop_services *services;
        const struct config_certificate *config;
        struct state_file *state_file;
        uint64_t generation;
        bool is_asked, was_in_doubt;
        revocation_done_t done;
        void *userdata;

        struct set set;
        char expected[FINGERPRINT_HEX]; /* empty: none */
        char fingerprint[FINGERPRINT_HEX];
        struct connection connection;
        size_t n_tried; /* URLs that no call has reached */
        int result;     /* of reading them */
        struct error error;
        struct connector_call *call;
        enum failure failure; /* the end, as DONE is told */
        bool gone, has_expired;
        bool is_named; /* the Connector has been asked where it is revoked */
};

/* What is current is asked of the disk: a rollback, or a hand, may be ahead of what the loop knows. */
static int check_unused(struct revocation *revocation) {
        _cleanup_(set_clear) struct set current = { 0 };
        int r;

        r = store_peek_current(revocation->config->directory, &current, &revocation->error);
        if (r < 0) {
                error_prefix(&revocation->error, "cannot tell which generation is in use");
                return r == -ENOENT || r == -EBADMSG ? -EAGAIN : r;
        }
        if (memcmp(current.fingerprint, revocation->set.fingerprint, FINGERPRINT_SIZE) == 0)
                return error_set(&revocation->error, -ENOENT, "it is in use again");
        return 0;
}

static void read_set(struct job *job) {
        struct revocation *revocation = container_of(job, struct revocation, job);
        const char *json;

        revocation->result = store_peek(revocation->config->directory, revocation->generation,
                                        &revocation->set, &revocation->error);
        if (revocation->result == 0)
                hex_format(revocation->fingerprint, revocation->set.fingerprint, FINGERPRINT_SIZE);
        if (revocation->result == 0 && !revocation->is_asked)
                revocation->result = check_unused(revocation);
        json = revocation->set.connection_json;
        if (revocation->result == 0 && json)
                (void)connection_parse(json, strlen(json), &revocation->connection, NULL);
}

static void end(struct revocation *revocation, enum failure failure, bool gone) {
        revocation->failure = failure;
        revocation->gone = gone;
        revocation->done(failure, gone, error_text(&revocation->error), revocation->userdata);
}

/* Nobody has to find out any more what has become of it. */
static void settle(struct revocation *revocation) {
        struct state *state = &revocation->state_file->state;

        if (revocation->is_asked && state->revoking_generation == revocation->generation)
                state->is_revoking = false;
}

static void end_settled(struct revocation *revocation, enum failure failure, bool gone) {
        settle(revocation);
        end(revocation, failure, gone);
}

/* Nothing was done by this call. */
static void end_untouched(struct revocation *revocation, enum failure failure) {
        if (!revocation->was_in_doubt) {
                settle(revocation);
                state_drop_revoked(&revocation->state_file->state, revocation->fingerprint);
        }
        end(revocation, failure, false);
}

static const struct protocol *protocol_of(const struct revocation *revocation) {
        return protocol_get(revocation->config->connector->protocol);
}

static struct urls list_urls(const struct revocation *revocation) {
        return urls_list(revocation->config->connector, &revocation->connection, NULL);
}

static void call_next(struct revocation *revocation);

/* Nobody was reached, and there is another URL: ANSWER is gone then. */
static bool call_elsewhere(struct revocation *revocation, const struct connector_answer *answer) {
        const bool may_be_old = revocation->connection.revoke_url && !revocation->is_named;

        if (answer->failure != FAILURE_TRANSIENT || answer->was_sent ||
            (!may_be_old && revocation->n_tried + 1 >= list_urls(revocation).n))
                return false;
        if (!may_be_old)
                revocation->n_tried++;
        free(take_ptr(revocation->connection.revoke_url));
        revocation->is_named = false;
        revocation->call = connector_call_free(revocation->call);
        call_next(revocation);
        return true;
}

/* Whether it has expired, and the edge says so. */
static bool take_expiry(struct revocation *revocation, enum failure failure) {
        return revocation->has_expired = failure == FAILURE_REJECTED &&
                                         revocation->set.effective_expiry <= now_usec(CLOCK_REALTIME);
}

static void on_answer(const struct connector_answer *answer, void *userdata) {
        struct revocation *revocation = userdata;
        const unsigned status = answer->reply.status;
        enum failure failure = answer->failure;
        int r = 0;

        if (call_elsewhere(revocation, answer))
                return;
        if (failure != FAILURE_NONE)
                error_set(&revocation->error, -EIO, "%s", answer->error);
        else {
                r = protocol_of(revocation)->read_revocation(&answer->reply, &revocation->error);
                failure = r < 0 ? FAILURE_LOCAL : r == PROTOCOL_STANDS ? FAILURE_REFUSED : (enum failure)r;
        }

        if (take_expiry(revocation, failure))
                failure = FAILURE_NONE;

        if (failure == FAILURE_NONE)
                end_settled(revocation, failure, false);
        else if (r == PROTOCOL_STANDS) {
                revocation->was_in_doubt = false;
                end_untouched(revocation, failure);
        } else if (failure == FAILURE_REJECTED ||
                   (answer->failure != FAILURE_NONE ? !answer->was_sent : status >= 300 && status < 500))
                end_untouched(revocation, failure);
        else
                end(revocation, failure, false);
}

static void end_uncalled(struct revocation *revocation, int r) {
        if (revocation->error.code == 0)
                error_set_errno(&revocation->error, r, "cannot call the Connector");
        end_untouched(revocation, FAILURE_LOCAL);
}

static void start_call(struct revocation *revocation, struct protocol_request *asked, connector_done_t done) {
        const struct config_connector *connector = revocation->config->connector;
        struct connector_request request = {
                .protocol = protocol_of(revocation),
                .asked = *asked,
                .trust = connector->trust,
                .timeout_usec = connector->timeout_usec,
                .key = revocation->set.key,
                .certificate_pem = revocation->set.certificate_pem,
                .fresh = true,
        };
        int r;

        r = connector_call_new(revocation->services->curl, &request, done, revocation, &revocation->call,
                               &revocation->error);
        if (r < 0)
                end_uncalled(revocation, r);
}

/* The set does not say where it is revoked, and the Connector does. Nothing was done so far. */
static void on_named(const struct connector_answer *answer, void *userdata) {
        struct revocation *revocation = userdata;
        _cleanup_(connection_clear) struct connection named = { 0 };
        enum failure failure = answer->failure;
        int r = 0;

        if (call_elsewhere(revocation, answer))
                return;
        if (failure != FAILURE_NONE)
                error_set(&revocation->error, -EIO, "%s", answer->error);
        else
                r = protocol_of(revocation)
                            ->read_proof(&answer->reply, revocation->set.certificate_pem, &named,
                                         &revocation->error);
        if (failure == FAILURE_NONE && r == 0 &&
            connection_follow(&revocation->connection, &named) == -ENOMEM)
                r = -ENOMEM;
        if (failure == FAILURE_NONE && r == 0) {
                revocation->call = connector_call_free(revocation->call);
                revocation->is_named = true;
                call_next(revocation);
                return;
        }
        if (failure == FAILURE_NONE)
                failure = r < 0 ? FAILURE_LOCAL : (enum failure)r;
        if (take_expiry(revocation, failure))
                end_settled(revocation, FAILURE_NONE, false);
        else
                end_untouched(revocation, failure);
}

static void call_next(struct revocation *revocation) {
        const struct urls urls = list_urls(revocation);
        const struct protocol_ask ask = {
                .url = urls.items[revocation->n_tried],
                .connection = &revocation->connection,
        };
        struct protocol_request asked;
        int r;

        r = protocol_of(revocation)->ask_revocation(&ask, &asked, &revocation->error);
        if (r == 0)
                start_call(revocation, &asked, on_answer);
        else if (r == -ENODATA && !revocation->is_named) {
                r = protocol_of(revocation)->ask_proof(&ask, &asked, &revocation->error);
                if (r == 0)
                        start_call(revocation, &asked, on_named);
                else
                        end_uncalled(revocation, r);
        } else if (r == -ENODATA) {
                error_set(&revocation->error, r, "the Connector names no URL for revocations");
                end_untouched(revocation, FAILURE_BAD_REPLY);
        } else
                end_uncalled(revocation, r);
}

static void on_intended(int r, const char *error, void *userdata) {
        struct revocation *revocation = userdata;

        if (r < 0)
                error_set(&revocation->error, r,
                          "the Connector was not called, since the revocation could not be recorded for a "
                          "restart: %s",
                          error);
        else if (list_urls(revocation).n == 0)
                r = urls_explain_none(revocation->config->connector, &revocation->error);
        if (r < 0)
                end_uncalled(revocation, r);
        else
                call_next(revocation);
}

static void on_read(struct job *job) {
        struct revocation *revocation = container_of(job, struct revocation, job);
        struct state *state = &revocation->state_file->state;
        int r = revocation->result;

        if (r < 0) {
                if (r == -ENOENT || r == -EBADMSG)
                        end_settled(revocation, FAILURE_LOCAL, true);
                else
                        end(revocation, FAILURE_LOCAL, false);
                return;
        }
        revocation->was_in_doubt = state_has_revoked(state, revocation->fingerprint);
        /* Nothing brings a certificate back: only the one that was meant. */
        if (revocation->is_asked && !revocation->was_in_doubt &&
            !streq(revocation->fingerprint, revocation->expected)) {
                error_set(&revocation->error, -ENOENT, "its files were replaced");
                end_settled(revocation, FAILURE_LOCAL, true);
                return;
        }
        if (state_add_revoked(state, revocation->fingerprint) < 0) {
                error_set(&revocation->error, -ENOMEM, "out of memory");
                end(revocation, FAILURE_LOCAL, false);
                return;
        }
        if (revocation->is_asked) {
                state->is_revoking = true;
                state->revoking_generation = revocation->generation;
        }
        state_file_save_then(revocation->state_file, on_intended, revocation);
}

int revocation_new(struct loop_services *services, const struct revocation_request *request,
                   revocation_done_t done, void *userdata, struct revocation **ret) {
        struct revocation *revocation = calloc(1, sizeof(*revocation));

        if (!revocation)
                return -ENOMEM;
        *revocation = (struct revocation) {
                .job = { .run = read_set, .done = on_read },
                .services = services,
                .config = request->config,
                .state_file = request->state_file,
                .generation = request->generation,
                .is_asked = request->is_asked,
                .done = done,
                .userdata = userdata,
        };
        if (request->fingerprint)
                snprintf(revocation->expected, sizeof(revocation->expected), "%s", request->fingerprint);
        workers_submit(services->disk_workers, &revocation->job);
        *ret = revocation;
        return 0;
}

uint64_t revocation_generation(const struct revocation *revocation) {
        return revocation->generation;
}

bool revocation_is_in_doubt(const struct revocation *revocation) {
        return state_has_revoked(&revocation->state_file->state, revocation->fingerprint);
}

enum failure revocation_failure(const struct revocation *revocation) {
        return revocation->failure;
}

bool revocation_has_expired(const struct revocation *revocation) {
        return revocation->has_expired;
}

bool revocation_is_gone(const struct revocation *revocation) {
        return revocation->gone;
}

const char *revocation_error(const struct revocation *revocation) {
        return error_text(&revocation->error);
}

struct revocation *revocation_free(struct revocation *revocation) {
        if (!revocation)
                return NULL;
        connector_call_free(revocation->call);
        set_clear(&revocation->set);
        connection_clear(&revocation->connection);
        error_clear(&revocation->error);
        free(revocation);
        return NULL;
}
