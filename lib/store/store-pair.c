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

int pair_order(struct pair *pair, struct error *error) {
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 }, anchors = { 0 };
        _cleanup_(chain_clear) struct chain chain = { 0 };
        _cleanup_(freep) char *certificate_pem = NULL, *ca_pem = NULL;
        uint8_t spki[SPKI_HASH_SIZE], other[SPKI_HASH_SIZE];
        size_t leaf = 0;
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
        for (; leaf < certs.n; leaf++) {
                cert_spki(certs.items[leaf], other);
                if (memcmp(spki, other, sizeof(spki)) == 0)
                        break;
        }
        if (leaf == certs.n)
                return error_set(error, -EBADMSG, "the key does not match any certificate in it");

        r = chain_build(certs.items[leaf], &certs, &chain, NULL);
        if (leaf > 0 && r < 0)
                return error_set(error, -EBADMSG, "its %zu certificates do not form a chain", certs.n);
        r = leaf > 0 ? chain_leaf_pem(&chain, &certificate_pem) : cert_list_pem(&certs, &certificate_pem);
        if (r == 0 && pair->ca_pem)
                r = cert_list_pem(&anchors, &ca_pem);
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
