/*
 * Chains. What a Connector sends is a heap of certificates: the leaf may be repeated, the older service puts
 * the root before the intermediate, and after a rotation several CA certificates share one name or one key.
 * The order is found by signatures and by nothing else; names only tell which signatures are worth trying.
 *
 * Building is not trusting: chain_build() follows whatever the caller offers, chain_verify() asks OpenSSL
 * whether the leaf leads to one of the caller's anchors.
 */

#include "lib/x509/chain.h"

#include <openssl/x509v3.h>

#include "lib/util/quote.h"
#include "lib/x509/cert-write.h"
#include "lib/x509/openssl-util.h"

void chain_clear(struct chain *chain) {
        cert_list_clear(&chain->certs);
}

/* A key that is in the chain already never enters it again: cross-signed CAs would lead in circles. */
static bool chain_has_key_of(const struct chain *chain, const struct cert *cert) {
        uint8_t wanted[SPKI_HASH_SIZE], spki[SPKI_HASH_SIZE];

        cert_spki(cert, wanted);
        for (size_t i = 0; i < chain->certs.n; i++) {
                cert_spki(chain->certs.items[i], spki);
                if (memcmp(spki, wanted, sizeof(spki)) == 0)
                        return true;
        }
        return false;
}

/* What a chain is built from. */
struct heap {
        const struct cert_list *candidates;
        const STACK_OF(X509) * verified; /* from the leaf up, by X509_verify_cert() just now; may be NULL */
};

/* Checking signatures is most of the work here: none is checked twice. */
static bool is_issued_by(const struct heap *heap, const struct cert *child, const struct cert *issuer) {
        for (int i = 0; i + 1 < sk_X509_num(heap->verified); i++)
                if (sk_X509_value(heap->verified, i) == cert_handle(child) &&
                    sk_X509_value(heap->verified, i + 1) == cert_handle(issuer))
                        return true;
        return cert_is_issued_by(child, issuer);
}

static bool may_follow(const struct chain *chain, const struct heap *heap, const struct cert *child,
                       const struct cert *candidate) {
        return cert_is_ca(candidate) && !chain_has_key_of(chain, candidate) &&
               is_issued_by(heap, child, candidate);
}

/* Whether the way up continues behind CERT. */
static bool leads_on(const struct chain *chain, const struct heap *heap, const struct cert *cert) {
        if (cert_is_self_signed(cert))
                return true;
        for (size_t i = 0; i < heap->candidates->n; i++)
                if (may_follow(chain, heap, cert, heap->candidates->items[i]))
                        return true;
        return false;
}

/* Of those that issued the last certificate of CHAIN the longest-lived, or NULL. One that was cross-signed by
 * a CA that is not there leads nowhere, and is taken only where none leads on. */
static const struct cert *find_issuer(const struct chain *chain, const struct heap *heap) {
        const struct cert *child = chain->certs.items[chain->certs.n - 1], *best = NULL;

        for (size_t i = 0; i < heap->candidates->n; i++) {
                const struct cert *candidate = heap->candidates->items[i];
                bool leads, best_leads;

                if ((best && cert_equal(candidate, best)) || !may_follow(chain, heap, child, candidate))
                        continue;
                if (best) {
                        leads = leads_on(chain, heap, candidate);
                        best_leads = leads_on(chain, heap, best);
                        if (leads != best_leads ? best_leads
                                                : cert_not_after(candidate) <= cert_not_after(best))
                                continue;
                }
                best = candidate;
        }
        return best;
}

static int chain_append(struct chain *chain, const struct cert *cert) {
        struct cert *copy = cert_ref(cert);

        if (!copy)
                return -ENOMEM;
        chain->certs.items[chain->certs.n++] = copy;
        return 0;
}

static int no_issuer(const struct cert *leaf, const struct cert_list *candidates, struct error *error) {
        _cleanup_(freep) char *issuer = cert_issuer_text(leaf);
        size_t namesakes = 0;

        for (size_t i = 0; i < candidates->n; i++)
                namesakes += X509_NAME_cmp(X509_get_issuer_name(cert_handle(leaf)),
                                           X509_get_subject_name(cert_handle(candidates->items[i]))) == 0;
        if (namesakes > 0)
                return error_set(error, -EINVAL,
                                 "its issuer '%s' is not among the %zu certificates given: %zu of them have "
                                 "that name, "
                                 "but not the key that signed it, or may not sign certificates",
                                 quoted(issuer), candidates->n, namesakes);
        return error_set(error, -EINVAL, "its issuer '%s' is not among the %zu certificates given",
                         quoted(issuer), candidates->n);
}

/* A root that had expired when the leaf was issued is not what its issuer trusts, nor whoever accepts it:
 * that is a CA below it, with a certificate of its own. */
static void drop_stale_root(struct chain *chain) {
        struct cert *leaf = chain->certs.items[0], *top = chain->certs.items[chain->certs.n - 1];

        if (chain->certs.n > 2 && cert_is_self_signed(top) && cert_not_after(top) <= cert_not_before(leaf))
                cert_free(chain->certs.items[--chain->certs.n]);
}

static int build(const struct cert *leaf, const struct heap *heap, struct chain *ret, struct error *error) {
        _cleanup_(chain_clear) struct chain chain = { 0 };
        const struct cert *next = leaf;

        if (cert_is_self_signed(leaf))
                return error_set(error, -EINVAL, "it is self-signed: a CA must have signed it");

        chain.certs.items = calloc(CERT_LIST_MAX, sizeof(chain.certs.items[0]));
        if (!chain.certs.items)
                return error_set_errno(error, -ENOMEM, "cannot build the chain");
        do {
                if (chain.certs.n == CERT_LIST_MAX)
                        return error_set(error, -E2BIG, "its chain is longer than %d certificates",
                                         CERT_LIST_MAX);
                if (chain_append(&chain, next) < 0)
                        return error_set_errno(error, -ENOMEM, "cannot build the chain");
                next = cert_is_self_signed(next) ? NULL : find_issuer(&chain, heap);
        } while (next);
        if (chain.certs.n == 1)
                return no_issuer(leaf, heap->candidates, error);
        drop_stale_root(&chain);

        *ret = chain;
        chain = (struct chain) { 0 };
        return 0;
}

int chain_build(const struct cert *leaf, const struct cert_list *candidates, struct chain *ret,
                struct error *error) {
        return build(leaf, &(struct heap) { .candidates = candidates }, ret, error);
}

static void x509_stack_freep(STACK_OF(X509) * *stack) {
        sk_X509_free(*stack);
}

DEFINE_OPENSSL_CLEANUP(X509_STORE, X509_STORE_free);
DEFINE_OPENSSL_CLEANUP(X509_STORE_CTX, X509_STORE_CTX_free);

/* Only CAs are anchors. Were the leaf among them, a partial chain would end, and be trusted, right there. */
static int store_anchors(X509_STORE *store, const struct cert_list *anchors, struct error *error) {
        size_t n = 0;

        for (size_t i = 0; i < anchors->n; i++) {
                if (!cert_is_ca(anchors->items[i]))
                        continue;
                if (X509_STORE_add_cert(store, cert_handle(anchors->items[i])) != 1)
                        return -ENOMEM;
                n++;
        }
        if (n == 0)
                return error_set(error, -EKEYREJECTED,
                                 "no CA is among the %zu certificates that should be its trust anchors",
                                 anchors->n);
        return 0;
}

static int effective_expiry(const struct cert *leaf, const struct cert_list *intermediates,
                            const struct cert_list *anchors, const STACK_OF(X509) * verified,
                            usec_t *ret_expiry, struct issuers **ret_issuers) {
        _cleanup_(chain_clear) struct chain chain = { 0 };
        struct cert *items[2 * CERT_LIST_MAX]; /* borrowed */
        struct cert_list all = { .items = items };
        const struct heap heap = { .candidates = &all, .verified = verified };
        int r;

        for (size_t i = 0; i < intermediates->n; i++)
                items[all.n++] = intermediates->items[i];
        for (size_t i = 0; i < anchors->n; i++)
                items[all.n++] = anchors->items[i];
        r = build(leaf, &heap, &chain, NULL);
        if (r == -ENOMEM)
                return r;
        r = issuers_of_chain(&chain.certs, ret_issuers);
        if (r == 0)
                *ret_expiry = chain.certs.n > 0 ? chain_effective_expiry(&chain) : cert_not_after(leaf);
        return r;
}

int chain_expiry(const struct cert *leaf, const struct cert_list *intermediates, usec_t *ret_expiry,
                 struct issuers **ret_issuers) {
        static const struct cert_list none;

        return effective_expiry(leaf, intermediates, &none, NULL, ret_expiry, ret_issuers);
}

/* X509_VERIFY_PARAM_set_time(), the one function of a library that is given a time_t, as libcrypto has it. On
 * 32 bit that may be narrower than ours: it knows no instant after January 2038 then, and gets that for a
 * later one. */
void libcrypto_set_time(X509_VERIFY_PARAM *parameters,
                        LIBCRYPTO_TIME sec) __asm__("X509_VERIFY_PARAM_set_time");

static void set_time(X509_VERIFY_PARAM *parameters, usec_t now) {
        const usec_t max = sizeof(LIBCRYPTO_TIME) < sizeof(int64_t) ? INT32_MAX : INT64_MAX;
        const usec_t sec = now / USEC_PER_SEC;

        libcrypto_set_time(parameters, (LIBCRYPTO_TIME)(sec < max ? sec : max));
}

static void set_parameters(X509_VERIFY_PARAM *parameters, usec_t now) {
        X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_PARTIAL_CHAIN);
        X509_VERIFY_PARAM_set_purpose(parameters, X509_PURPOSE_SSL_CLIENT);
        if (now == USEC_INFINITY)
                X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_NO_CHECK_TIME);
        else
                set_time(parameters, now);
}

static int rejected(X509_STORE_CTX *context, struct error *error) {
        _cleanup_(subject_freep) struct subject *subject = NULL;
        _cleanup_(freep) char *text = NULL;
        X509 *culprit = X509_STORE_CTX_get_current_cert(context);

        if (culprit && subject_from_name(X509_get_subject_name(culprit), &subject, NULL) == 0)
                text = subject_format(subject);
        return error_set(error, -EKEYREJECTED, "at depth %d, certificate '%s': %s",
                         X509_STORE_CTX_get_error_depth(context), text ? quoted(text) : "(unreadable)",
                         X509_verify_cert_error_string(X509_STORE_CTX_get_error(context)));
}

/* RET_EXPIRY and RET_ISSUERS may be NULL, both. */
static int verify(const struct cert *leaf, const struct cert_list *intermediates,
                  const struct cert_list *anchors, usec_t now, usec_t *ret_expiry,
                  struct issuers **ret_issuers, struct error *error) {
        _cleanup_(X509_STORE_freep) X509_STORE *store = X509_STORE_new();
        _cleanup_(X509_STORE_CTX_freep) X509_STORE_CTX *context = X509_STORE_CTX_new();
        _cleanup_(x509_stack_freep) STACK_OF(X509) *helpers = sk_X509_new_null();
        int r;

        if (!store || !context || !helpers)
                goto out_of_memory;
        r = store_anchors(store, anchors, error);
        if (r == -ENOMEM)
                goto out_of_memory;
        if (r < 0)
                return r;
        for (size_t i = 0; i < intermediates->n; i++)
                if (sk_X509_push(helpers, cert_handle(intermediates->items[i])) <= 0)
                        goto out_of_memory;
        if (X509_STORE_CTX_init(context, store, cert_handle(leaf), helpers) != 1)
                goto out_of_memory;
        set_parameters(X509_STORE_CTX_get0_param(context), now);

        r = X509_verify_cert(context) == 1 ? 0 : rejected(context, error);
        if (openssl_lacked_memory() && r < 0)
                goto out_of_memory;
        if (r == 0 && ret_expiry)
                r = effective_expiry(leaf, intermediates, anchors, X509_STORE_CTX_get0_chain(context),
                                     ret_expiry, ret_issuers);
        if (r == -ENOMEM)
                goto out_of_memory;
        return r;

out_of_memory:
        ERR_clear_error();
        return error_set_errno(error, -ENOMEM, "cannot verify the chain");
}

int chain_verify(const struct cert *leaf, const struct cert_list *intermediates,
                 const struct cert_list *anchors, usec_t now, struct error *error) {
        return verify(leaf, intermediates, anchors, now, NULL, NULL, error);
}

int chain_verify_expiry(const struct cert *leaf, const struct cert_list *intermediates,
                        const struct cert_list *anchors, usec_t *ret_expiry, struct issuers **ret_issuers,
                        struct error *error) {
        return verify(leaf, intermediates, anchors, USEC_INFINITY, ret_expiry, ret_issuers, error);
}

usec_t chain_effective_expiry(const struct chain *chain) {
        usec_t expiry = chain->certs.n > 0 ? USEC_INFINITY : 0;

        for (size_t i = 0; i < chain->certs.n; i++)
                if (cert_not_after(chain->certs.items[i]) < expiry)
                        expiry = cert_not_after(chain->certs.items[i]);
        return expiry;
}

static int chain_pem(const struct chain *chain, size_t first, bool with_self_signed, char **ret_pem) {
        struct cert *items[CERT_LIST_MAX]; /* borrowed */
        struct cert_list list = { .items = items };

        for (size_t i = first; i < chain->certs.n; i++)
                if (with_self_signed || !cert_is_self_signed(chain->certs.items[i]))
                        items[list.n++] = chain->certs.items[i];
        return cert_list_pem(&list, ret_pem);
}

int chain_leaf_pem(const struct chain *chain, char **ret_pem) {
        return chain_pem(chain, 0, false, ret_pem);
}

int chain_issuers_pem(const struct chain *chain, char **ret_pem) {
        return chain_pem(chain, 1, true, ret_pem);
}
