/*
 * A probe is the proof of a renewal, made with what is in use: it finds out what a restart of the edge or
 * another CA has done, long before the renewal falls due.
 */

#include "daemon/certificate/probe.h"

#include <errno.h>
#include <stdio.h>

#include "daemon/connector/connector-client.h"
#include "lib/config/urls.h"
#include "lib/store/store.h"

struct probe {
        struct environment *env;
        struct config *owner; /* a reference */
        const struct config_certificate *config;
        probe_done_t done;
        void *userdata;

        struct slot_waiter slot;
        bool has_slot, is_reading;
        struct job job;
        int result; /* of reading */
        struct set own;
        const struct set *set; /* `own`, or one that was given */
        char fingerprint[FINGERPRINT_HEX];
        struct connection connection;
        size_t n_tried; /* URLs where nobody answered */
        char *shown;
        struct error error;
        struct connector_call *call;
};

static const struct protocol *protocol_of(const struct probe *probe) {
        return protocol_get(probe->config->connector->protocol);
}

static void return_slot(struct probe *probe) {
        if (probe->has_slot)
                slots_return(&probe->env->slots, &probe->slot);
        probe->has_slot = false;
}

static void end(struct probe *probe, enum probe_answer answer) {
        const struct probe_result result = {
                .answer = answer,
                .error = error_text(&probe->error),
                .url = probe->shown,
                .fingerprint = probe->fingerprint,
        };

        return_slot(probe);
        probe->done(&result, probe->userdata);
}

static void end_uncalled(struct probe *probe, int r) {
        if (probe->error.code == 0)
                error_set_errno(&probe->error, r, "cannot call the Connector");
        end(probe, PROBE_UNKNOWN);
}

static struct urls list_urls(const struct probe *probe) {
        return urls_list(probe->config->connector, &probe->connection, NULL);
}

static void call_next(struct probe *probe);

static void on_answer(const struct connector_answer *answer, void *userdata) {
        _cleanup_(connection_clear) struct connection named = { 0 };
        struct probe *probe = userdata;
        enum failure failure = answer->failure;
        int r;

        slots_report_result(&probe->env->slots, probe->slot.group, failure != FAILURE_TRANSIENT);
        if (failure == FAILURE_TRANSIENT && probe->n_tried + 1 < list_urls(probe).n) {
                probe->n_tried++;
                probe->call = connector_call_free(probe->call);
                call_next(probe);
                return;
        }
        if (failure != FAILURE_NONE)
                error_set(&probe->error, -EIO, "%s", answer->error);
        else {
                r = protocol_of(probe)->read_proof(&answer->reply, probe->set->certificate_pem, &named,
                                                   &probe->error);
                failure = r < 0 ? FAILURE_LOCAL : (enum failure)r;
                if (r != 0)
                        error_prefix(&probe->error, "%s", probe->shown);
        }
        end(probe, probe_answer_find(failure, answer->reply.status, answer->failure == FAILURE_REFUSED));
}

static void call_next(struct probe *probe) {
        const struct config_connector *connector = probe->config->connector;
        const struct urls urls = list_urls(probe);
        struct connector_request request = {
                .protocol = protocol_of(probe),
                .trust = connector->trust,
                .timeout_usec = connector->timeout_usec,
                .key = probe->set->key,
                .certificate_pem = probe->set->certificate_pem,
                .fresh = true,
        };
        int r;

        if (urls.n == 0) {
                end_uncalled(probe, urls_explain_none(connector, &probe->error));
                return;
        }
        const struct protocol_ask to = { .url = urls.items[probe->n_tried],
                                         .connection = &probe->connection };

        free(probe->shown);
        probe->shown = url_shown(to.url);
        r = probe->shown ? protocol_of(probe)->ask_proof(&to, &request.asked, &probe->error) : -ENOMEM;
        if (r == 0)
                r = connector_call_new(probe->env->services.curl, &request, on_answer, probe, &probe->call,
                                       &probe->error);
        protocol_request_clear(&request.asked);
        if (r < 0)
                end_uncalled(probe, r);
}

/* --- The set --- */

static void read_set(struct job *job) {
        struct probe *probe = container_of(job, struct probe, job);
        const char *json;

        if (probe->set == &probe->own)
                probe->result = store_peek_current(probe->config->directory, &probe->own, &probe->error);
        if (probe->result < 0)
                return;
        hex_format(probe->fingerprint, probe->set->fingerprint, FINGERPRINT_SIZE);
        json = probe->set->connection_json;
        if (json)
                (void)connection_parse(json, strlen(json), &probe->connection, NULL);
}

static void on_read(struct job *job) {
        struct probe *probe = container_of(job, struct probe, job);

        probe->is_reading = false;
        if (probe->result < 0)
                end_uncalled(probe, probe->result);
        else
                call_next(probe);
}

static void on_slot(struct slot_waiter *slot) {
        struct probe *probe = container_of(slot, struct probe, slot);

        probe->has_slot = probe->is_reading = true;
        probe->job = (struct job) { .run = read_set, .done = on_read };
        workers_submit(probe->env->services.disk_workers, &probe->job);
}

int probe_new_of(struct environment *env, struct config *owner, const struct config_certificate *config,
                 const struct set *set, probe_done_t done, void *userdata, struct probe **ret) {
        struct probe *probe = calloc(1, sizeof(*probe));
        int r;

        if (!probe)
                return -ENOMEM;
        *probe = (struct probe) {
                .env = env,
                .owner = config_ref(owner),
                .config = config,
                .set = set ? set : &probe->own,
                .done = done,
                .userdata = userdata,
                .slot.granted = on_slot,
                .slot.expiry_usec = USEC_INFINITY, /* all who renew go first */
        };
        r = slots_group(&env->slots, config->connector->name, &probe->slot.group);
        if (r < 0) {
                probe_free(probe);
                return r;
        }
        *ret = probe;
        slots_wait(&env->slots, &probe->slot);
        return 0;
}

int probe_new(struct environment *env, struct config *owner, const struct config_certificate *config,
              probe_done_t done, void *userdata, struct probe **ret) {
        return probe_new_of(env, owner, config, NULL, done, userdata, ret);
}

bool probe_is_waiting(const struct probe *probe) {
        return !probe->is_reading;
}

struct probe *probe_free(struct probe *probe) {
        if (!probe)
                return NULL;
        slots_leave(&probe->slot);
        probe->call = connector_call_free(probe->call);
        /* At the end of rekeyd nobody gets it: there is no worker any more. */
        if (!atomic_load(&probe->env->services.stopping))
                return_slot(probe);
        set_clear(&probe->own);
        connection_clear(&probe->connection);
        error_clear(&probe->error);
        free(probe->shown);
        config_free(probe->owner);
        free(probe);
        return NULL;
}
