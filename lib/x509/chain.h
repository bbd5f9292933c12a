#pragma once

/* A leaf and its issuers, in the order that signatures give, whatever order they came in. */

#include "lib/x509/issuers.h"

/*
 * certs[0] is the leaf, each following one issued the one before. The last is self-signed where the root was
 * among the candidates. Nothing here says that the anchor is trusted; the caller chose the candidates.
 */
struct chain {
        struct cert_list certs;
};

void chain_clear(struct chain *chain);

/* Builds the chain for LEAF from CANDIDATES (which may hold the leaf itself, repeats and strangers). Where
 * several certificates could have issued the same child (a CA renewed with the same key) the one that lives
 * longest wins. A root that had expired before the leaf was issued is left out, where there is another CA
 * below it. 0, -EINVAL when no candidate issued the leaf, -E2BIG past CERT_LIST_MAX, -ENOMEM. A
 * self-signed leaf is refused. */
int chain_build(const struct cert *leaf, const struct cert_list *candidates, struct chain *ret,
                struct error *error);

/* Verifies LEAF for clientAuth up to one of ANCHORS (partial chains allowed: an anchor need not be
 * self-signed), with INTERMEDIATES as helpers, at the time NOW; USEC_INFINITY leaves out all checks of
 * validity times. 0 or -EKEYREJECTED with OpenSSL's reason. */
int chain_verify(const struct cert *leaf, const struct cert_list *intermediates,
                 const struct cert_list *anchors, usec_t now, struct error *error);

/* The earliest notAfter in the chain: a leaf may outlive its issuer, and is useless from then on. */
usec_t chain_effective_expiry(const struct chain *chain);

/* The same over the chain that chain_build() makes of LEAF and INTERMEDIATES; the leaf's own notAfter where
 * it makes none. *RET_ISSUERS are those in that chain, NULL for none. 0 or -ENOMEM. */
int chain_expiry(const struct cert *leaf, const struct cert_list *intermediates, usec_t *ret_expiry,
                 struct issuers **ret_issuers);

/* chain_verify() at no time in particular, and chain_expiry() with ANCHORS among the candidates; no signature
 * is checked twice. */
int chain_verify_expiry(const struct cert *leaf, const struct cert_list *intermediates,
                        const struct cert_list *anchors, usec_t *ret_expiry, struct issuers **ret_issuers,
                        struct error *error);

/* PEM of the leaf and the intermediates, without self-signed certificates (RFC 8446 section 4.4.2 lets the
 * anchor be left out); and PEM of all issuers. Owned by the caller. 0 or -ENOMEM. */
int chain_leaf_pem(const struct chain *chain, char **ret_pem);
int chain_issuers_pem(const struct chain *chain, char **ret_pem);
