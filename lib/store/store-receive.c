/*
 * A directory as the copy of a set that others share. What is shared counts, and what is here counts only
 * where nothing whole is shared, or an older set: a stranger has overwritten it, or an operator has rolled
 * back here. A set that is not whole never becomes a generation.
 */

#include "lib/store/store-private.h"

#include "lib/x509/cert.h"

static int copy_text(const char *text, char **ret) {
        *ret = text ? strdup(text) : NULL;
        return *ret || !text ? 0 : -ENOMEM;
}

/* 0; -ENODATA where nothing is offered; -EBADMSG or -EINVAL where it is no set. */
static int read_offer(const struct store_offer *offer, usec_t now, struct pair *ret, struct error *error) {
        int r;

        if (strempty(offer->key_pem) && strempty(offer->certificate_pem))
                return -ENODATA;
        if (strempty(offer->key_pem) || strempty(offer->certificate_pem))
                return error_set(error, -EBADMSG, "it lacks the %s",
                                 strempty(offer->key_pem) ? "key" : "certificate");
        r = key_parse(offer->key_pem, strlen(offer->key_pem), &ret->key, error);
        if (r == 0)
                r = copy_text(offer->certificate_pem, &ret->certificate_pem);
        if (r == 0)
                r = copy_text(strempty(offer->ca_pem) ? NULL : offer->ca_pem, &ret->ca_pem);
        if (r == 0)
                r = copy_text(strempty(offer->connection_json) ? NULL : offer->connection_json,
                              &ret->connection_json);
        if (r == 0)
                r = pair_order(ret, now, error);
        return r < 0 ? r : pair_check_ca(ret, error);
}

/* Key and leaf are the same, and so is the CA. */
static int compare(const struct pair *pair, const struct set *set, bool *ret) {
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 };
        uint8_t fingerprint[FINGERPRINT_SIZE], spki[SPKI_HASH_SIZE];
        int r;

        r = cert_list_parse(pair->certificate_pem, strlen(pair->certificate_pem), &certs, NULL);
        if (r < 0)
                return r;
        cert_fingerprint(certs.items[0], fingerprint);
        key_spki(pair->key, spki);
        *ret = memcmp(fingerprint, set->fingerprint, sizeof(fingerprint)) == 0 &&
               memcmp(spki, set->spki, sizeof(spki)) == 0;
        return 0;
}

static uint64_t receipt_number(const struct store *store, const struct store_offer *offer) {
        return offer->generation > store_next(store) ? offer->generation : store_next(store);
}

int store_receive(struct store *store, const struct store_offer *offer, usec_t now, enum store_receipt *ret,
                  struct error *error) {
        _cleanup_(pair_clear) struct pair pair = { 0 };
        _cleanup_(set_clear) struct set set = { 0 };
        const uint64_t current = store->has_current ? store->current : 0;
        bool has_set, is_same = false;
        int r;

        r = store_load(store, &set, NULL);
        if (r < 0 && !store_blames_files(r))
                return error_set_errno(error, r, "cannot read the set in %s", store->path);
        has_set = r == 0;
        r = read_offer(offer, now, &pair, error);
        if (r < 0 && r != -ENODATA && !store_blames_files(r))
                return r;
        if (r < 0) {
                *ret = has_set && current >= offer->generation   ? STORE_IS_NEWER
                       : r == -ENODATA && offer->generation == 0 ? STORE_IS_SAME
                                                                 : STORE_IS_DAMAGED;
                return 0;
        }
        r = has_set ? compare(&pair, &set, &is_same) : 0;
        if (r < 0)
                return error_set_errno(error, r, "cannot compare the set in %s", store->path);
        if (has_set && (offer->generation == 0 || offer->generation < current)) {
                *ret = STORE_IS_NEWER;
                return 0;
        }
        *ret = is_same ? STORE_IS_SAME : STORE_IS_RECEIVED;
        return is_same ? 0 : store_publish_pair(store, &pair, receipt_number(store, offer), error);
}

/* --- What is staged */

static bool has_same_key(const struct stage *stage, const struct key *key) {
        uint8_t a[SPKI_HASH_SIZE], b[SPKI_HASH_SIZE];

        if (!stage->key)
                return false;
        key_spki(stage->key, a);
        key_spki(key, b);
        return memcmp(a, b, sizeof(a)) == 0;
}

static const char *news(const char *staged, const char *here) {
        return staged && !streq_null(staged, here) ? staged : NULL;
}

static int fill(struct store *store, const struct stage *here, const struct store_staged *staged,
                struct error *error) {
        struct store_staged parts = {
                .connection_json = news(staged->connection_json, here->connection_json),
                .token = news(staged->token, here->token),
                .csr_pem = news(staged->csr_pem, here->csr_pem),
        };
        int r = 0;

        if (staged->ca_pem && news(staged->certificate_pem, here->certificate_pem)) {
                parts.ca_pem = staged->ca_pem;
                parts.certificate_pem = staged->certificate_pem;
        }
        if (staged->csr_pem && !staged->token && here->token)
                r = store_stage_drop_token(store, error);
        return r < 0 ? r : store_stage_parts(store, &parts, error);
}

int store_receive_stage(struct store *store, const struct store_staged *staged, struct error *error) {
        _cleanup_(stage_clear) struct stage here = { 0 };
        _cleanup_(key_freep) struct key *key = NULL;
        int r;

        if (!staged->key_pem)
                return 0;
        r = key_parse(staged->key_pem, strlen(staged->key_pem), &key, error);
        if (r < 0)
                return error_prefix(error, "the staged key cannot be read");
        r = store_stage_load(store, &here, error);
        if (r == 0 && !has_same_key(&here, key)) {
                r = store_stage_key(store, key, error);
                stage_clear(&here);
        }
        return r < 0 ? r : fill(store, &here, staged, error);
}
