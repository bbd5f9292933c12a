/*
 * Three turns: a worker reads the texts and holds them against the gate, a call proves the certificate, and a
 * worker makes it current. Nothing is written before the Connector has accepted it: a pair that is of no use
 * is found while the operator is still there.
 */

#include "daemon/certificate/adoption.h"

#include "daemon/certificate/attempt.h"
#include "daemon/certificate/probe.h"
#include "lib/life/gate.h"
#include "lib/life/subject-rule.h"
#include "lib/protocol/connection.h"
#include "lib/store/handed.h"
#include "lib/util/quote.h"
#include "lib/x509/identity.h"

struct adoption {
        char *key, *certificate, *ca, *url; /* cleansed */
        bool force;

        struct environment *env;
        struct config *owner;
        const struct config_certificate *config;
        struct state known; /* the subject of the last set, and what must not come back */
        adoption_done_t done;
        void *userdata;

        struct job job;
        struct probe *probe;
        struct set set;
        char *accepted_by;
        uint64_t generation;
        int result;
        struct error error;
};

static int copy(const char *text, char **ret) {
        *ret = text ? strdup(text) : NULL;
        return text && !*ret ? -ENOMEM : 0;
}

int adoption_new(const struct adoption_texts *texts, struct adoption **ret, struct error *error) {
        _cleanup_(adoption_freep) struct adoption *adoption = calloc(1, sizeof(*adoption));

        if (texts->url && !url_is_https(texts->url))
                return error_set(error, -EINVAL,
                                 "the URL must be one of https, without a user and a fragment");
        if (!adoption || copy(texts->key, &adoption->key) < 0 ||
            copy(texts->certificate, &adoption->certificate) < 0 || copy(texts->ca, &adoption->ca) < 0 ||
            copy(texts->url, &adoption->url) < 0)
                return error_set(error, -ENOMEM, "out of memory");
        adoption->force = texts->force;
        *ret = take_ptr(adoption);
        return 0;
}

struct adoption *adoption_free(struct adoption *adoption) {
        if (!adoption)
                return NULL;
        probe_free(adoption->probe);
        set_clear(&adoption->set);
        state_clear(&adoption->known);
        error_clear(&adoption->error);
        free_secret(adoption->key);
        free_secret(adoption->certificate); /* a key may be in it as well */
        free_secret(adoption->ca);
        free(adoption->url);
        free(adoption->accepted_by);
        free(adoption);
        return NULL;
}

static void end(struct adoption *adoption) {
        if (adoption->result < 0 && adoption->error.code == 0)
                error_set_errno(&adoption->error, adoption->result, "cannot adopt it");
        adoption->done(adoption->result, adoption->generation,
                       adoption->result < 0 ? error_text(&adoption->error) : adoption->accepted_by,
                       adoption->userdata);
}

/* --- What was handed over --- */

/* Without a CA there is no chain to verify: what can be said of the leaf alone. */
static int check_alone(const struct set *set, usec_t now, struct error *error) {
        char then[TIMESTAMP_MAX];

        if (!cert_allows_client_auth(set->leaf))
                return error_set(error, -EKEYREJECTED,
                                 "the certificate is not for clients: its extendedKeyUsage lacks clientAuth");
        if (set->effective_expiry <= now)
                return error_set(error, -EKEYREJECTED, "the certificate expired at %s",
                                 format_timestamp(then, set->effective_expiry));
        return identity_check(set->key, set->certificate_pem, error);
}

/* The gate of a renewal, but for what only a renewal has: its own key, and a set that must last longer. */
static int check_by_gate(const struct adoption *adoption, const struct subject *subject, usec_t now,
                         struct error *error) {
        const struct replacement_rule rule = config_replacement_rule(adoption->config);
        _cleanup_(gate_result_clear) struct gate_result result = { 0 };
        const struct set *set = &adoption->set;
        const struct gate_input input = {
                .leaf_pem = set->certificate_pem,
                .chain_pem = set->certificate_pem,
                .ca_pem = set->ca_pem,
                .key = set->key,
                .subject = subject,
                .rule = &rule,
                .now = now,
                .skew_usec = adoption->config->policy.clock_skew_usec,
                .forced = true,
        };
        enum gate_check failed;

        return set->ca_pem ? gate_run(&input, &result, &failed, error) : check_alone(set, now, error);
}

/* Whose certificate it is changes only where that is asked for, as with an enrolment. */
static int check_subject(const struct adoption *adoption, const struct subject *subject,
                         struct error *error) {
        const struct config_certificate *config = adoption->config;
        const struct subject_rule rule = {
                .name = config->name,
                .configured = config->subject,
                .last = adoption->known.subject,
                .takes_any = adoption->force,
        };
        _cleanup_(freep) char *name = subject_canonical(subject);

        if (!name)
                return error_set(error, -ENOMEM, "out of memory");
        switch (subject_rule_judge(&rule, name, NULL)) {
        case SUBJECT_BARRED:
                return error_set(error, -EPERM,
                                 "the certificate has the subject '%s', and `subject` of %s is '%s'",
                                 quoted(name), config->name, quoted(config->subject));
        case SUBJECT_REFUSED:
                return error_set(error, -EPERM,
                                 "the certificate has the subject '%s', and the last one of %s had '%s'; "
                                 "use --force if that is intended",
                                 quoted(name), config->name, quoted(adoption->known.subject));
        default:
                return 0;
        }
}

static int check(const struct adoption *adoption, struct error *error) {
        _cleanup_(subject_freep) struct subject *subject = NULL;
        char fingerprint[FINGERPRINT_HEX];
        int r;

        hex_format(fingerprint, adoption->set.fingerprint, FINGERPRINT_SIZE);
        if (state_has_revoked(&adoption->known, fingerprint))
                return error_set(error, -EPERM, "the certificate was revoked by rekeyd");
        r = cert_subject(adoption->set.leaf, &subject, error);
        if (r == 0)
                r = check_by_gate(adoption, subject, now_usec(CLOCK_REALTIME), error);
        return r == 0 ? check_subject(adoption, subject, error) : r;
}

/* The URLs that come with the set: the operator's, or those of the set in use. */
static int find_connection(struct adoption *adoption) {
        const struct protocol *protocol = protocol_get(adoption->config->connector->protocol);
        _cleanup_(connection_clear) struct connection connection = { 0 };
        _cleanup_(set_clear) struct set current = { 0 };
        char **endpoint = protocol_endpoint_member(protocol, &connection);

        if (!adoption->url) {
                if (store_peek_current(adoption->config->directory, &current, NULL) == 0)
                        adoption->set.connection_json = take_ptr(current.connection_json);
                return 0;
        }
        *endpoint = strdup(adoption->url);
        return *endpoint ? connection_format(&connection, &adoption->set.connection_json) : -ENOMEM;
}

static void read_texts(struct job *job) {
        struct adoption *adoption = container_of(job, struct adoption, job);
        const struct handed handed = {
                .key = { "the key", adoption->key },
                .certificate = { "the certificate", adoption->certificate },
                .ca = { "the CA", adoption->ca },
        };
        int r;

        r = handed_read(&handed, now_usec(CLOCK_REALTIME), &adoption->set, &adoption->error);
        if (r == 0)
                r = check(adoption, &adoption->error);
        adoption->result = r == 0 ? find_connection(adoption) : r;
}

/* --- Its commit --- */

static void publish(struct job *job) {
        struct adoption *adoption = container_of(job, struct adoption, job);
        const struct config_certificate *config = adoption->config;
        const struct store_options options = attempt_store_options(config);
        _cleanup_(store_closep) struct store *store = NULL;
        int r;

        r = store_open(config->directory, &options, &store, &adoption->error);
        if (r == 0)
                r = handed_publish(store, &adoption->set, &adoption->generation, &adoption->error);
        adoption->result = r;
}

static void on_published(struct job *job) {
        end(container_of(job, struct adoption, job));
}

/* --- The call that proves it --- */

static void on_probed(const struct probe_result *result, void *userdata) {
        struct adoption *adoption = userdata;

        if (result->answer == PROBE_ACCEPTED)
                adoption->result = copy(result->url, &adoption->accepted_by);
        else if (result->answer == PROBE_REJECTED)
                adoption->result = error_set(&adoption->error, -EKEYREJECTED,
                                             "the Connector rejects the certificate: %s", result->error);
        else
                adoption->result =
                        error_set(&adoption->error, -EIO,
                                  "it is unknown whether the Connector accepts the certificate: %s%s",
                                  result->error, result->url ? "" : ", or use --url");
        adoption->probe = probe_free(adoption->probe);
        if (adoption->result < 0) {
                end(adoption);
                return;
        }
        adoption->job = (struct job) { .run = publish, .done = on_published };
        workers_submit(adoption->env->services.disk_workers, &adoption->job);
}

static void on_read(struct job *job) {
        struct adoption *adoption = container_of(job, struct adoption, job);

        if (adoption->result == 0)
                adoption->result = probe_new_of(adoption->env, adoption->owner, adoption->config,
                                                &adoption->set, on_probed, adoption, &adoption->probe);
        if (adoption->result < 0)
                end(adoption);
}

/* Of STATE, what is read on a worker. */
static int keep_known(const struct state *state, struct state *known) {
        if (copy(state->subject, &known->subject) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < state->n_revoked; i++)
                if (state_add_revoked(known, state->revoked[i]) < 0)
                        return -ENOMEM;
        return 0;
}

static void read_nothing(_unused_ struct job *job) {
}

void adoption_start(struct adoption *adoption, struct environment *env, struct config *owner,
                    const struct config_certificate *config, const struct state *state, adoption_done_t done,
                    void *userdata) {
        adoption->env = env;
        adoption->owner = owner;
        adoption->config = config;
        adoption->done = done;
        adoption->userdata = userdata;
        adoption->result = keep_known(state, &adoption->known);
        adoption->job = (struct job) {
                .run = adoption->result < 0 ? read_nothing : read_texts,
                .done = on_read,
        };
        workers_submit(env->services.disk_workers, &adoption->job);
}
