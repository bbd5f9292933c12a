/*
 * A pair of another origin, put in order: what comes in as text leaves as certificates that were read and
 * written anew. Such a file may hold a private key in a form that no reader recognises, and tls.crt and
 * ca.crt are public.
 */

#include "lib/store/store-private.h"

#include "lib/x509/cert-write.h"
#include "lib/x509/chain.h"

void pair_clear(struct pair *pair) {
        key_free(pair->key);
        free(pair->certificate_pem);
        free(pair->ca_pem);
        free(pair->connection_json);
        *pair = (struct pair) { 0 };
}

static bool has_key(const struct cert *cert, const uint8_t wanted[SPKI_HASH_SIZE]) {
        uint8_t spki[SPKI_HASH_SIZE];

        cert_spki(cert, spki);
        return memcmp(spki, wanted, sizeof(spki)) == 0;
}

/* A certificate that is not valid yet is worth less than any that is. */
static bool is_better(const struct cert *cert, const struct cert *best, usec_t now) {
        const bool has_begun = cert_not_before(cert) <= now, best_has = cert_not_before(best) <= now;

        return has_begun != best_has ? has_begun : cert_not_after(cert) > cert_not_after(best);
}

/* Of the certificates of the key the one that lasts longest: a file may have the old one beside the new. */
static const struct cert *choose_leaf(const struct cert_list *certs, const uint8_t spki[SPKI_HASH_SIZE],
                                      usec_t now) {
        const struct cert *best = NULL;

        for (size_t i = 0; i < certs->n; i++)
                if (has_key(certs->items[i], spki) && (!best || is_better(certs->items[i], best, now)))
                        best = certs->items[i];
        return best;
}

static bool holds(const struct cert_list *list, const struct cert *cert) {
        for (size_t i = 0; i < list->n; i++)
                if (cert_equal(list->items[i], cert))
                        return true;
        return false;
}

static bool is_expired_root(const struct cert *cert, usec_t now) {
        return cert_is_self_signed(cert) && cert_not_after(cert) <= now;
}

/* Those of FROM that are of use, in their order: not the other certificates of the key, nor a root that has
 * expired: whoever accepts the leaf trusts something else. Borrowed. */
static void take_useful(const struct cert_list *from, const struct cert *leaf,
                        const uint8_t spki[SPKI_HASH_SIZE], usec_t now, struct cert_list *ret) {
        for (size_t i = 0; i < from->n; i++)
                if (cert_equal(from->items[i], leaf) ||
                    (!has_key(from->items[i], spki) && !is_expired_root(from->items[i], now)))
                        ret->items[ret->n++] = from->items[i];
}

/* The file as it is, where it begins with the leaf and lacks no intermediate. */
static bool is_in_order(const struct cert_list *certs, const struct chain *chain, const struct cert *leaf) {
        if (!cert_equal(certs->items[0], leaf))
                return false;
        for (size_t i = 1; i < chain->certs.n; i++)
                if (!cert_is_self_signed(chain->certs.items[i]) && !holds(certs, chain->certs.items[i]))
                        return false;
        return true;
}

static int write_pair(struct pair *pair, const struct cert_list *certs, const struct cert_list *anchors,
                      const struct cert *leaf, struct error *error) {
        struct cert *items[2 * CERT_LIST_MAX]; /* borrowed */
        struct cert_list all = { .items = items };
        _cleanup_(freep) char *certificate_pem = NULL, *ca_pem = NULL;
        _cleanup_(chain_clear) struct chain chain = { 0 };
        int r;

        for (size_t i = 0; i < certs->n; i++)
                items[all.n++] = certs->items[i];
        for (size_t i = 0; i < anchors->n; i++)
                items[all.n++] = anchors->items[i];
        r = chain_build(leaf, &all, &chain, NULL);
        if (r < 0 && certs->n > 1 && !cert_equal(certs->items[0], leaf))
                return error_set(error, -EBADMSG, "its %zu certificates do not form a chain", certs->n);

        r = is_in_order(certs, &chain, leaf) ? cert_list_pem(certs, &certificate_pem)
                                             : chain_leaf_pem(&chain, &certificate_pem);
        if (r == 0 && anchors->n > 0)
                r = cert_list_pem(anchors, &ca_pem);
        else if (r == 0 && chain.certs.n > 1)
                r = chain_issuers_pem(&chain, &ca_pem);
        if (r < 0)
                return error_set_errno(error, r, "cannot order the chain");

        free(pair->certificate_pem);
        free(pair->ca_pem);
        pair->certificate_pem = take_ptr(certificate_pem);
        pair->ca_pem = take_ptr(ca_pem);
        return 0;
}

int pair_order(struct pair *pair, usec_t now, struct error *error) {
        struct cert *useful[CERT_LIST_MAX], *trusted[CERT_LIST_MAX]; /* borrowed */
        struct cert_list file = { .items = useful }, ca = { .items = trusted };
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 }, anchors = { 0 };
        uint8_t spki[SPKI_HASH_SIZE];
        const struct cert *leaf;
        int r;

        r = cert_list_parse(pair->certificate_pem, strlen(pair->certificate_pem), &certs, error);
        if (r < 0)
                return r;
        if (pair->ca_pem) {
                r = cert_list_parse(pair->ca_pem, strlen(pair->ca_pem), &anchors, error);
                if (r < 0)
                        return error_prefix(error, "its CA");
        }
        key_spki(pair->key, spki);
        leaf = choose_leaf(&certs, spki, now);
        if (!leaf)
                return error_set(error, -EBADMSG, "the key does not match any certificate in it");

        take_useful(&certs, leaf, spki, now, &file);
        take_useful(&anchors, leaf, spki, now, &ca);
        return write_pair(pair, &file, ca.n > 0 ? &ca : &anchors, leaf, error);
}

int pair_check_ca(const struct pair *pair, struct error *error) {
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 }, anchors = { 0 };
        int r;

        if (!pair->ca_pem)
                return 0;
        r = cert_list_parse(pair->certificate_pem, strlen(pair->certificate_pem), &certs, error);
        if (r < 0)
                return r;
        r = cert_list_parse(pair->ca_pem, strlen(pair->ca_pem), &anchors, error);
        if (r < 0)
                return r;
        return chain_verify(certs.items[0], &certs, &anchors, USEC_INFINITY, error);
}

usec_t pair_expiry(const struct pair *pair) {
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 };

        if (cert_list_parse(pair->certificate_pem, strlen(pair->certificate_pem), &certs, NULL) < 0)
                return 0;
        return cert_not_after(certs.items[0]);
}
