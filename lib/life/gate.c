/*
 * The gate. A Connector may answer with anything: the certificate of another request, one of a CA that was
 * retired a minute ago, one that expires before the current one. Whatever comes is held against what was
 * requested, one check after the other, before anything is stored; the first that fails ends it, and its text
 * says what came and what was wanted. The last check, the verification, is a live call and belongs to the
 * caller.
 *
 * To add a check: a row in gate.h, and its function here. Nothing here reads the clock or the disk.
 */

#include "lib/life/gate.h"

#include "lib/util/quote.h"
#include "lib/x509/identity.h"

/* The checks in progress. The chain is built once, before the first check that needs it; that it cannot be
 * built is for GATE_CHAIN to say. */
struct gate {
        const struct gate_input *input;
        struct cert_list leaf_list;
        struct cert_list chain_list;
        struct cert_list ca_list;
        const struct cert *leaf; /* in leaf_list */
        struct chain chain;      /* empty where it cannot be built */
        struct error chain_error;
};

static void gate_clear(struct gate *gate) {
        cert_list_clear(&gate->leaf_list);
        cert_list_clear(&gate->chain_list);
        cert_list_clear(&gate->ca_list);
        chain_clear(&gate->chain);
        error_clear(&gate->chain_error);
}

void gate_result_clear(struct gate_result *result) {
        free(result->certificate_pem);
        free(result->ca_pem);
        *result = (struct gate_result) { 0 };
}

static int parse_text(const char *what, const char *pem, struct cert_list *ret, struct error *error) {
        int r;

        if (strempty(pem))
                return error_set(error, -EKEYREJECTED, "the reply has no %s", what);
        r = cert_list_parse(pem, strnlen(pem, CERT_PEM_MAX + 1), ret, error);
        if (r < 0)
                error_prefix(error, "the %s in the reply cannot be used", what);
        return r;
}

static int check_parses(struct gate *gate, struct error *error) {
        int r;

        r = parse_text("client certificate", gate->input->leaf_pem, &gate->leaf_list, error);
        if (r == 0)
                r = parse_text("certificate chain", gate->input->chain_pem, &gate->chain_list, error);
        if (r == 0)
                r = parse_text("CA certificate", gate->input->ca_pem, &gate->ca_list, error);
        return r;
}

static int check_one_leaf(struct gate *gate, struct error *error) {
        size_t n = 0;

        for (size_t i = 0; i < gate->leaf_list.n; i++)
                if (!cert_is_ca(gate->leaf_list.items[i])) {
                        gate->leaf = gate->leaf_list.items[i];
                        n++;
                }
        if (n == 0)
                return error_set(error, -EKEYREJECTED,
                                 "there is no leaf in the reply: all %zu client certificates in it are CA "
                                 "certificates",
                                 gate->leaf_list.n);
        if (n > 1)
                return error_set(error, -EKEYREJECTED,
                                 "there are %zu client certificates in the reply instead of one", n);

        for (size_t i = 0; i < gate->chain_list.n; i++) {
                const struct cert *other = gate->chain_list.items[i];

                if (!cert_is_ca(other) && !cert_equal(other, gate->leaf)) {
                        _cleanup_(freep) char *subject = cert_subject_text(other);

                        return error_set(error, -EKEYREJECTED,
                                         "the certificate chain in the reply holds a second leaf, '%s', "
                                         "which is not its client certificate",
                                         quoted(subject));
                }
        }
        return 0;
}

#define SPKI_HEX (2 * SPKI_HASH_SIZE + 1)

static int check_leaf_key(struct gate *gate, struct error *error) {
        uint8_t came[SPKI_HASH_SIZE], wanted[SPKI_HASH_SIZE];
        char came_hex[SPKI_HEX], wanted_hex[SPKI_HEX];

        cert_spki(gate->leaf, came);
        key_spki(gate->input->key, wanted);
        if (memcmp(came, wanted, sizeof(wanted)) == 0)
                return 0;
        return error_set(
                error, -EKEYREJECTED,
                "the new certificate is not for the key that was sent: its SPKI is sha256:%s instead of "
                "sha256:%s",
                hex_format(came_hex, came, sizeof(came)), hex_format(wanted_hex, wanted, sizeof(wanted)));
}

static int check_new_key(struct gate *gate, struct error *error) {
        uint8_t came[SPKI_HASH_SIZE];
        char hex[SPKI_HEX];

        if (!gate->input->current_spki)
                return 0;
        cert_spki(gate->leaf, came);
        if (memcmp(came, gate->input->current_spki, sizeof(came)) != 0)
                return 0;
        return error_set(
                error, -EKEYREJECTED,
                "the new certificate has the key of the current one instead of a new one: SPKI sha256:%s",
                hex_format(hex, came, sizeof(came)));
}

static int check_subject(struct gate *gate, struct error *error) {
        _cleanup_(subject_freep) struct subject *subject = NULL;
        _cleanup_(freep) char *difference = NULL;
        int r;

        r = cert_subject(gate->leaf, &subject, error);
        if (r < 0) {
                error_prefix(error,
                             "the subject of the new certificate cannot be compared with the requested one");
                return r;
        }
        if (subject_equal(gate->input->subject, subject))
                return 0;
        difference = subject_difference(gate->input->subject, subject);
        return error_set(error, -EKEYREJECTED,
                         "the new certificate has another subject than requested: its %s",
                         difference ? difference : "attributes differ");
}

static int check_client_auth(struct gate *gate, struct error *error) {
        if (cert_allows_client_auth(gate->leaf))
                return 0;
        return error_set(error, -EKEYREJECTED,
                         "the new certificate is not for clients: its extendedKeyUsage lacks clientAuth");
}

/* Builds the chain from all that came. */
static int gate_build_chain(struct gate *gate) {
        struct cert *items[2 * CERT_LIST_MAX];
        struct cert_list all = { .items = items };

        for (size_t i = 0; i < gate->chain_list.n; i++)
                items[all.n++] = gate->chain_list.items[i];
        for (size_t i = 0; i < gate->ca_list.n; i++)
                items[all.n++] = gate->ca_list.items[i];
        return chain_build(gate->leaf, &all, &gate->chain, &gate->chain_error);
}

static int check_times(const struct gate *gate, const struct cert *cert, struct error *error) {
        usec_t now = gate->input->now, not_before = cert_not_before(cert), not_after = cert_not_after(cert);
        char then_text[TIMESTAMP_MAX], now_text[TIMESTAMP_MAX], span[TIMESPAN_MAX], skew[TIMESPAN_MAX];
        _cleanup_(freep) char *subject = NULL;

        if (not_before <= usec_add(now, gate->input->skew_usec) && not_after > now)
                return 0;

        subject = cert_subject_text(cert);
        if (not_after <= now)
                return error_set(
                        error, -EKEYREJECTED, "%s '%s' expired at %s, and it is %s: is the clock right?",
                        cert == gate->leaf ? "the new certificate" : "the CA certificate", quoted(subject),
                        format_timestamp(then_text, not_after), format_timestamp(now_text, now));
        return error_set(
                error, -EKEYREJECTED,
                "%s '%s' is not valid before %s, which is %s from now (%s) and more than the %s of skew "
                "allowed: is the clock right?",
                cert == gate->leaf ? "the new certificate" : "the CA certificate", quoted(subject),
                format_timestamp(then_text, not_before), format_timespan(span, usec_sub(not_before, now)),
                format_timestamp(now_text, now), format_timespan(skew, gate->input->skew_usec));
}

/* Only certificates that the leaf depends on are judged: an expired stranger in the reply does no harm. */
static int check_validity(struct gate *gate, struct error *error) {
        int r;

        r = gate_build_chain(gate);
        if (r == -ENOMEM)
                return error_move(error, &gate->chain_error);
        if (r < 0)
                return check_times(gate, gate->leaf, error);
        for (size_t i = 0; r == 0 && i < gate->chain.certs.n; i++)
                r = check_times(gate, i == 0 ? gate->leaf : gate->chain.certs.items[i], error);
        return r;
}

static int check_chain(struct gate *gate, struct error *error) {
        int r;

        r = gate->chain_error.code;
        if (r < 0)
                error_move(error, &gate->chain_error);
        else /* times were judged, with more tolerance than OpenSSL has */
                r = chain_verify(gate->leaf, &gate->chain.certs, &gate->ca_list, USEC_INFINITY, error);
        if (r < 0)
                error_prefix(error, "the new certificate does not verify to the CA in the reply");
        return r;
}

/* After a rotation, a Connector may go on signing with what it read before. */
static int check_trusted(struct gate *gate, struct error *error) {
        _cleanup_(issuers_freep) struct issuers *issuers = NULL;
        const struct replacement_rule *rule = gate->input->rule;
        _cleanup_(freep) char *why = NULL;
        const struct issuer *issuer;
        enum replacement replacement;
        int r;

        if (!rule)
                return 0;
        r = issuers_of_chain(&gate->chain.certs, &issuers);
        if (r < 0)
                return r;
        replacement = replacement_find(rule, issuers, USEC_INFINITY, &issuer);
        if (replacement == REPLACEMENT_NONE)
                return 0;
        why = replacement_text(rule, replacement, issuer);
        return error_set(
                error, -EKEYREJECTED,
                "the new certificate is still signed by a CA that is not trusted any more: the Connector has "
                "not read its new CA yet: %s",
                why ? why : "out of memory");
}

/* As TLS will: OpenSSL's security level refuses keys and digests that are too weak, also of an intermediate.
 */
static int check_loads(struct gate *gate, struct error *error) {
        _cleanup_(freep) char *pem = NULL;
        int r;

        r = chain_leaf_pem(&gate->chain, &pem);
        if (r == 0)
                r = identity_check(gate->input->key, pem, error);
        if (r < 0)
                error_prefix(error, "the new certificate cannot be used for TLS");
        return r;
}

/* What cuts the chain short: the leaf by itself, or a CA. */
static const struct cert *first_to_expire(const struct chain *chain) {
        const struct cert *first = chain->certs.items[0];

        for (size_t i = 1; i < chain->certs.n; i++)
                if (cert_not_after(chain->certs.items[i]) < cert_not_after(first))
                        first = chain->certs.items[i];
        return first;
}

static int check_expiry(struct gate *gate, struct error *error) {
        usec_t expiry = chain_effective_expiry(&gate->chain);
        char came[TIMESTAMP_MAX], current[TIMESTAMP_MAX], hex[FINGERPRINT_HEX];
        uint8_t fingerprint[FINGERPRINT_SIZE];
        const struct cert *first;

        if (gate->input->forced || gate->input->current_expiry == 0 || expiry > gate->input->current_expiry)
                return 0;
        first = first_to_expire(&gate->chain);
        if (first != gate->chain.certs.items[0]) {
                _cleanup_(freep) char *subject = cert_subject_text(first);

                cert_fingerprint(first, fingerprint);
                return error_set(
                        error, -EKEYREJECTED,
                        "the new certificate does not last longer: the CA '%s' (sha256 %.16s...), with which "
                        "the Connector still signs, expires at %s, and the current certificate at %s; it "
                        "is the CA that expires: its operator must replace it",
                        quoted(subject), hex_format(hex, fingerprint, sizeof(fingerprint)),
                        format_timestamp(came, expiry),
                        format_timestamp(current, gate->input->current_expiry));
        }
        return error_set(error, -EKEYREJECTED,
                         "the new certificate does not last longer: with its chain it expires at %s, the "
                         "current one at %s",
                         format_timestamp(came, expiry),
                         format_timestamp(current, gate->input->current_expiry));
}

/* clang-format off */
#define GATE_NAME(symbol, function, name) [GATE_##symbol] = name,
const char *const gate_check_names[GATE_MAX] = {
        GATE_CHECKS(GATE_NAME)
        [GATE_VERIFY] = "verify",
};

/* 0 lets pass, -ENOMEM is no verdict, any other error is one. GATE_VERIFY is the caller's and has no row. */
#define GATE_FUNCTION(symbol, function, name) [GATE_##symbol] = check_##function,
static int (*const gate_checks[GATE_VERIFY])(struct gate *gate, struct error *error) = {
        GATE_CHECKS(GATE_FUNCTION)
};
/* clang-format on */

static int gate_fill_result(const struct gate *gate, struct gate_result *ret, struct error *error) {
        _cleanup_(gate_result_clear) struct gate_result result = {
                .not_before = cert_not_before(gate->leaf),
                .effective_expiry = chain_effective_expiry(&gate->chain),
        };
        int r;

        r = chain_leaf_pem(&gate->chain, &result.certificate_pem);
        if (r == 0)
                r = chain_issuers_pem(&gate->chain, &result.ca_pem);
        if (r < 0)
                return error_set_errno(error, r, "cannot keep the new certificate");
        cert_fingerprint(gate->leaf, result.fingerprint);

        *ret = result;
        result = (struct gate_result) { 0 };
        return 0;
}

int gate_run(const struct gate_input *input, struct gate_result *ret, enum gate_check *ret_failed,
             struct error *error) {
        _cleanup_(gate_clear) struct gate gate = { .input = input };
        int r;

        for (size_t i = 0; i < ELEMENTSOF(gate_checks); i++) {
                r = gate_checks[i](&gate, error);
                if (r == -ENOMEM)
                        return r;
                if (r < 0) {
                        if (error)
                                error->code = -EKEYREJECTED;
                        *ret_failed = (enum gate_check)i;
                        return -EKEYREJECTED;
                }
        }
        return gate_fill_result(&gate, ret, error);
}
