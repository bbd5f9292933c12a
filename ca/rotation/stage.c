/*
 * All that could be wrong with the new certificate is found here, before the first write: that it does not
 * carry the leaves in use shows otherwise when the old one is gone.
 */

#include "ca/rotation/stage.h"

#include "ca/rotation/carry.h"
#include "ca/rotation/states.h"
#include "lib/x509/cert-write.h"
#include "lib/x509/successor.h"

#define PROBE_KEY_BITS 2048u

struct making {
        struct key *old_key, *new_key, *leaf_key; /* new_key is NULL where it stays */
        struct cert *old, *new;
};

static void making_clear(struct making *making) {
        key_free(making->old_key);
        key_free(making->new_key);
        key_free(making->leaf_key);
        cert_free(making->old);
        cert_free(making->new);
}

static const struct key *key_of_new(const struct making *making) {
        return making->new_key ? making->new_key : making->old_key;
}

static int make(const struct record *record, const struct stage_ports *ports, struct making *ret,
                struct error *error) {
        const struct successor_terms terms = { record->not_before, record->not_after };
        const char *key = record->signer.before.texts[SIGNER_KEY];
        int r;

        r = key_parse(key, strlen(key), &ret->old_key, error);
        if (r == 0)
                r = states_read_cert(record->signer.before.texts[SIGNER_CERTIFICATE], &ret->old, error);
        if (r == 0 && reason_rows[record->reason].has_new_key)
                r = ports->generate(ports->userdata, record->key_bits, &ret->new_key, error);
        if (r == 0)
                r = ports->generate(ports->userdata, PROBE_KEY_BITS, &ret->leaf_key, error);
        if (r == 0)
                r = successor_make(ret->old, key_of_new(ret), &terms, &ret->new, error);
        return r;
}

static int put(struct record *record, const struct making *making, struct error *error) {
        const struct cert_list list = { (struct cert **)&making->new, 1 };
        const char *pem;
        size_t size;

        if (cert_list_pem(&list, &record->new_certificate) < 0)
                return error_set_errno(error, -ENOMEM, "cannot keep the new certificate");
        if (!making->new_key)
                return 0;
        key_pem(making->new_key, &pem, &size);
        record->new_key = strndup(pem, size);
        return record->new_key ? 0 : error_set_errno(error, -ENOMEM, "cannot keep the new key");
}

/* --- Who is carried by what --- */

static int demand(const struct carry_ca *ca, const struct making *making, const char *bundle, usec_t now,
                  const char *what, struct error *error) {
        const int r = carry_check(ca, making->leaf_key, bundle, now, error);

        if (r != 0)
                return r < 0 ? r : 0;
        return error_set(error, -EINVAL, "OpenSSL does not verify leaves of the %s with the bundle to come",
                         what);
}

static int check_trust(const struct record *record, const struct record_place *place,
                       const struct making *making, usec_t now, struct error *error) {
        const struct carry_ca old = { making->old, making->old_key },
                              new = { making->new, key_of_new(making) };
        _cleanup_(states_clear) struct states states = { 0 };
        const struct reason_row *reason = &reason_rows[record->reason];
        int r;

        r = states_of_trust(record, place, &states, error);
        if (r == 0)
                r = demand(&new, making, states_trusted(record, &states)->texts[0], now, "new CA", error);
        if (r == 0)
                r = demand(&new, making, states.final.texts[0], now, "new CA", error);
        if (r == 0 && !reason->costs_calls)
                r = demand(&old, making, states_trusted(record, &states)->texts[0], now, "old CA", error);
        if (r == 0 && !reason->has_new_key)
                r = demand(&old, making, states.final.texts[0], now, "old CA", error);
        return r < 0 ? error_prefix(error, "%s", place->name) : 0;
}

static int check(const struct record *record, const struct making *making, usec_t now, struct error *error) {
        int r = 0;

        if (!reason_rows[record->reason].has_new_key && !successor_carries(making->old, making->new))
                return error_set(error, -EINVAL, "the new certificate would not carry the leaves in use");
        for (size_t i = 0; i < record->n_trusts && r == 0; i++)
                r = check_trust(record, &record->trusts[i], making, now, error);
        return r;
}

int stage_make(struct record *record, const struct stage_ports *ports, struct error *error) {
        _cleanup_(making_clear) struct making making = { 0 };
        int r;

        if (record->new_certificate)
                return 0;
        r = make(record, ports, &making, error);
        if (r == 0)
                r = put(record, &making, error);
        if (r == 0)
                r = check(record, &making, ports->now, error);
        if (r == 0)
                return 0;
        record->new_key = free_secret(record->new_key);
        free(record->new_certificate);
        record->new_certificate = NULL;
        (void)error_prefix(error, "cannot make the new CA certificate");
        return r == -EINVAL ? -EPERM : r; /* the CA is wrong, not the command line */
}
