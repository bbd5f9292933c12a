/*
 * Revocation needs nothing but a set as it lies on the disk: it is read on a worker, and then one call is
 * made with it. The Connector revokes the certificate by which it is called, and no other.
 */

#include "daemon/revocation.h"

#include <stdio.h>

#include "daemon/connector-client.h"
#include "lib/connection.h"
#include "lib/store.h"

struct revocation {
        struct job job;
        struct context *context;
        const struct config_certificate *config;
        uint64_t generation;
        bool in_use;
        revocation_done_t done;
        void *userdata;

        struct set set;
        char fingerprint[FINGERPRINT_HEX];
        struct connection connection;
        int result; /* of reading them */
        struct error error;
        struct connector_call *call;
};

/* What is current is asked of the disk: a rollback, or a hand, may be ahead of what the loop knows. */
static int check_unused(struct revocation *revocation) {
        _cleanup_(set_clear) struct set current = { 0 };
        int r;

        r = store_peek_current(revocation->config->directory, &current, &revocation->error);
        if (r < 0) {
                error_prefix(&revocation->error, "it is not known what is in use");
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
        if (revocation->result == 0 && !revocation->in_use)
                revocation->result = check_unused(revocation);
        json = revocation->set.connection_json;
        if (revocation->result == 0 && json)
                (void)connection_parse(json, strlen(json), &revocation->connection, NULL);
}

static void end(struct revocation *revocation, enum failure failure, bool gone) {
        revocation->done(failure, gone, error_text(&revocation->error), revocation->userdata);
}

static void on_answer(const struct connector_answer *answer, void *userdata) {
        struct revocation *revocation = userdata;
        enum failure failure = answer->failure;
        int r;

        if (failure != FAILURE_NONE)
                error_set(&revocation->error, -EIO, "%s", answer->error);
        else {
                r = compass_read_revocation(&answer->reply, &revocation->error);
                failure = r < 0 ? FAILURE_LOCAL : (enum failure)r;
        }
        end(revocation, failure, false);
}

static void on_read(struct job *job) {
        struct revocation *revocation = container_of(job, struct revocation, job);
        const struct config_connector *connector = revocation->config->connector;
        const char *stored = revocation->connection.connector_url;
        struct connector_request request = {
                .url = stored ? stored : connector->url,
                .trust = connector->trust,
                .timeout_usec = connector->timeout_usec,
                .key = revocation->set.key,
                .certificate_pem = revocation->set.certificate_pem,
                .fresh = true,
        };
        int r = revocation->result;

        if (r < 0) {
                end(revocation, FAILURE_LOCAL, r == -ENOENT || r == -EBADMSG);
                return;
        }
        if (!request.url)
                r = error_set(
                        &revocation->error, -ENOENT,
                        "the Connector's certificate-secured URL is not known: set `url` of connector %s",
                        connector->name);
        if (r == 0)
                r = compass_request_revoke(&request.body);
        if (r == 0)
                r = connector_call_new(revocation->context->curl, &request, on_answer, revocation,
                                       &revocation->call, &revocation->error);
        if (r == 0)
                return;
        if (revocation->error.code == 0)
                error_set_errno(&revocation->error, r, "cannot call the Connector");
        end(revocation, FAILURE_LOCAL, false);
}

int revocation_new(struct context *context, const struct config_certificate *config, uint64_t generation,
                   bool in_use, revocation_done_t done, void *userdata, struct revocation **ret) {
        struct revocation *revocation = calloc(1, sizeof(*revocation));

        if (!revocation)
                return -ENOMEM;
        *revocation = (struct revocation) {
                .job = { .run = read_set, .done = on_read },
                .context = context,
                .config = config,
                .generation = generation,
                .in_use = in_use,
                .done = done,
                .userdata = userdata,
        };
        workers_submit(context->disk_workers, &revocation->job);
        *ret = revocation;
        return 0;
}

const char *revocation_fingerprint(const struct revocation *revocation) {
        return revocation->fingerprint;
}

uint64_t revocation_generation(const struct revocation *revocation) {
        return revocation->generation;
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
