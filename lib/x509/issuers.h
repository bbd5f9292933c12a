#pragma once

/* The CA certificates that a set is issued under, as facts: what they are called, their hashes and their
 * times. */

#include "lib/x509/cert.h"

/* One CA certificate. Two of them may have the same key, and the same subject. */
struct issuer {
        uint8_t fingerprint[FINGERPRINT_SIZE];
        uint8_t spki[SPKI_HASH_SIZE];
        usec_t not_before, not_after;
        const char *subject;
};

/* From the one that signed the leaf upwards. Thousands of sets are issued under the same, so there is one of
 * each: equal ones are the same pointer, for as long as there are references. Read-only; any thread may hold
 * references. */
struct issuers {
        struct issuers *next; /* for issuers.c, as `n_refs` */
        unsigned n_refs;
        size_t n; /* 1 at least */
        struct issuer items[];
};

/* The issuers in CHAIN (lib/x509/chain.h), which begins with its leaf; NULL where it has none. 0 or -ENOMEM.
 */
int issuers_of_chain(const struct cert_list *chain, struct issuers **ret);

/* The same of their N facts, 1 at least, as they were in such issuers; copied. */
int issuers_of_facts(const struct issuer *items, size_t n, struct issuers **ret);
struct issuers *issuers_ref(struct issuers *issuers);  /* ISSUERS, which may be NULL */
struct issuers *issuers_free(struct issuers *issuers); /* drops one reference; accepts NULL, returns NULL */
DEFINE_CLEANUP(struct issuers *, issuers_free);

/* How many there are, for tests. */
size_t issuers_count(void);

/* As far up as both are known, the same certificates. NULL agrees with all: what a pair is issued under that
 * was adopted without its CA is not known. */
bool issuers_agree(const struct issuers *a, const struct issuers *b);

/* The first of ISSUERS (may be NULL) that has no place among OTHERS; NULL for none. */
const struct issuer *issuers_find_stranger(const struct issuers *issuers, const struct issuers *others);

/* Names a CA certificate by its SHA-256 fingerprint; or, with IS_KEY, all that have one key, by the SHA-256
 * of the SPKI. */
struct issuer_id {
        bool is_key;
        uint8_t hash[FINGERPRINT_SIZE];
};

/* 64 hexadecimal digits, between which colons may be, after "spki:" for a key; "sha256:" may go before the
 * digits. 0 or -EINVAL. */
int issuer_id_parse(const char *text, struct issuer_id *ret);
bool issuer_has_id(const struct issuer *issuer, const struct issuer_id *id);

/* The first of ISSUERS (may be NULL) that one of IDS names; NULL for none. IDS are texts, and end with NULL;
 * where they are NULL there are none. *RET_IS_KEY: by its key. */
const struct issuer *issuers_find(const struct issuers *issuers, const char *const *ids, bool *ret_is_key);
