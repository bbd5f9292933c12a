/*
 * Before the inspection the Secrets are read. A key is shared before the first call with its CSR, CSR and
 * token before the signature, the certificate before it is verified, and the set is published before it is
 * current here: whatever ends this process, another one goes on with the same key.
 */

#include "daemon/certificate/sharing.h"

#include "lib/util/quote.h"

struct sharing {
        struct replica *replica;
        struct gathered *gathered;
        void (*done)(void *userdata);
        void *userdata;
        const char *parts[SHARED_PART_MAX];
        char *connection;
        char fingerprint[FINGERPRINT_HEX];
};

struct sharing *sharing_new(struct replica *replica, struct gathered *gathered, void *userdata) {
        struct sharing *sharing = calloc(1, sizeof(*sharing));

        if (!sharing)
                return NULL;
        sharing->replica = replica;
        sharing->gathered = gathered;
        sharing->userdata = userdata;
        return sharing;
}

struct sharing *sharing_free(struct sharing *sharing) {
        if (!sharing)
                return NULL;
        free(sharing->connection);
        free(sharing);
        return NULL;
}

/* --- Before a step */

/* The inspection goes on with what is here: it was logged why. */
static void on_read(int r, _unused_ const char *error, void *userdata) {
        struct sharing *sharing = userdata;
        struct outcome *outcome = &sharing->gathered->outcome;

        if (r == 0)
                r = replica_get(sharing->replica, &sharing->gathered->shared.copy);
        if (r == -ENOMEM) {
                outcome->failure = FAILURE_LOCAL;
                (void)error_set(&outcome->error, r, "out of memory");
        }
        sharing->done(sharing->userdata);
}

static void on_prepared(int r, const char *error, void *userdata) {
        struct sharing *sharing = userdata;
        struct outcome *outcome = &sharing->gathered->outcome;

        if (r < 0) {
                outcome->failure = FAILURE_LOCAL;
                (void)error_set(&outcome->error, r,
                                "Secret %s cannot be written, and other replicas go by it: %s",
                                sharing->gathered->config->store.secret, error);
        }
        sharing->done(sharing->userdata);
}

/* Of the staged certificate, for the annotation. */
static int find_fingerprint(struct sharing *sharing) {
        const char *pem = sharing->gathered->stage.certificate_pem;
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 };
        uint8_t fingerprint[FINGERPRINT_SIZE];
        int r;

        r = cert_list_parse(pem, strlen(pem), &certs, NULL);
        if (r < 0)
                return r;
        cert_fingerprint(certs.items[0], fingerprint);
        hex_format(sharing->fingerprint, fingerprint, sizeof(fingerprint));
        return 0;
}

/* What is staged here that others must know of before STEP. */
static int collect(struct sharing *sharing, enum renewal_step step) {
        const struct gathered *gathered = sharing->gathered;
        const struct stage *stage = &gathered->stage;
        const char **parts = sharing->parts;
        size_t size;
        int r;

        memset(parts, 0, sizeof(sharing->parts));
        key_pem(stage->key, &parts[SHARED_KEY], &size);
        if (step < STEP_SIGN)
                return 0;
        free(take_ptr(sharing->connection));
        r = connection_format(&gathered->connection, &sharing->connection);
        if (r < 0)
                return r;
        parts[SHARED_CONNECTION] = sharing->connection;
        parts[SHARED_CSR] = stage->csr_pem;
        parts[SHARED_TOKEN] = gathered->by_token && gathered->configuration.token
                                      ? gathered->configuration.token
                                      : stage->token;
        if (step < STEP_VERIFY)
                return 0;
        parts[SHARED_CERTIFICATE] = stage->certificate_pem;
        parts[SHARED_CA] = stage->ca_pem;
        return find_fingerprint(sharing);
}

void sharing_before_step(struct sharing *sharing, void (*done)(void *userdata)) {
        const enum renewal_step step = sharing->gathered->outcome.step;
        int r;

        sharing->done = done;
        if (step == STEP_INSPECT) {
                replica_read(sharing->replica, on_read, sharing);
                return;
        }
        if (step == STEP_KEY || step == STEP_CSR || step == STEP_GATE) {
                done(sharing->userdata);
                return;
        }
        r = collect(sharing, step);
        if (r < 0)
                on_prepared(r, error_code_text(r), sharing);
        else
                replica_prepare(sharing->replica, step, sharing->parts, sharing->fingerprint, on_prepared,
                                sharing);
}

/* --- After it */

/* Another replica may have been quicker, which its next inspection shows. */
static void on_told(int r, const char *error, void *userdata) {
        struct sharing *sharing = userdata;
        struct gathered *gathered = sharing->gathered;

        if (r < 0 && r != -EAGAIN && !gathered->warning &&
            asprintf(&gathered->warning, "Secret %s lags behind: %s", gathered->config->store.secret, error) <
                    0)
                gathered->warning = NULL;
        sharing->done(sharing->userdata);
}

void sharing_after_step(struct sharing *sharing, void (*done)(void *userdata)) {
        const struct gathered *gathered = sharing->gathered;
        const struct outcome *outcome = &gathered->outcome;
        const bool has_failed = outcome->failure != FAILURE_NONE;

        sharing->done = done;
        if (outcome->step == STEP_INSPECT && !has_failed && gathered->shared.is_newer &&
            gathered->findings.set)
                replica_write_back(sharing->replica, &gathered->set, on_told, sharing);
        else if (has_failed && outcome->step == STEP_VERIFY)
                replica_drop(sharing->replica, SHARED_CERTIFICATE, on_told, sharing);
        else if (has_failed && outcome->step == STEP_SIGN)
                replica_drop(sharing->replica, SHARED_TOKEN, on_told, sharing);
        else
                done(sharing->userdata);
}
