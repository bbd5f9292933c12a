/*
 * What a fleet is issued under is a handful of CA certificates, and each set should know its own without
 * keeping them: so a chain's facts are kept once, known by the fingerprints in it, and every set with that
 * chain has a reference.
 *
 * Nothing here says that an issuer is trusted, or ever was. Names are for people; what decides are hashes.
 */

#include "lib/x509/issuers.h"

#include <pthread.h>

/* By the first byte of the first fingerprint, for fleets in which each set has a CA of its own. */
static struct issuers *buckets[256];                     /* under lock */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* sets are read on worker threads */

static struct issuers **bucket_of(const uint8_t fingerprint[FINGERPRINT_SIZE]) {
        return &buckets[fingerprint[0]];
}

static bool is_of_chain(const struct issuers *issuers, const struct cert_list *chain) {
        uint8_t fingerprint[FINGERPRINT_SIZE];

        if (issuers->n != chain->n - 1)
                return false;
        for (size_t i = 0; i < issuers->n; i++) {
                cert_fingerprint(chain->items[i + 1], fingerprint);
                if (memcmp(issuers->items[i].fingerprint, fingerprint, sizeof(fingerprint)) != 0)
                        return false;
        }
        return true;
}

/* With a reference, or NULL. */
static struct issuers *find(struct issuers *first, const struct cert_list *chain) {
        for (struct issuers *issuers = first; issuers; issuers = issuers->next)
                if (is_of_chain(issuers, chain)) {
                        issuers->n_refs++;
                        return issuers;
                }
        return NULL;
}

static void destroy(struct issuers *issuers) {
        for (size_t i = 0; i < issuers->n; i++)
                free((char *)issuers->items[i].subject);
        free(issuers);
}

static struct issuers *make(const struct cert_list *chain) {
        struct issuers *issuers = calloc(1, sizeof(*issuers) + (chain->n - 1) * sizeof(issuers->items[0]));

        if (!issuers)
                return NULL;
        issuers->n_refs = 1;
        for (size_t i = 1; i < chain->n; i++) {
                const struct cert *cert = chain->items[i];
                struct issuer *issuer = &issuers->items[issuers->n++];

                cert_fingerprint(cert, issuer->fingerprint);
                cert_spki(cert, issuer->spki);
                issuer->not_before = cert_not_before(cert);
                issuer->not_after = cert_not_after(cert);
                issuer->subject = cert_subject_text(cert);
                if (!issuer->subject) {
                        destroy(issuers);
                        return NULL;
                }
        }
        return issuers;
}

/* ISSUERS may be NULL, and is returned. */
static struct issuers *add(struct issuers **bucket, struct issuers *issuers) {
        if (issuers) {
                issuers->next = *bucket;
                *bucket = issuers;
        }
        return issuers;
}

int issuers_of_chain(const struct cert_list *chain, struct issuers **ret) {
        uint8_t fingerprint[FINGERPRINT_SIZE];
        struct issuers **bucket, *issuers;

        if (chain->n < 2) {
                *ret = NULL;
                return 0;
        }
        cert_fingerprint(chain->items[1], fingerprint);
        bucket = bucket_of(fingerprint);

        pthread_mutex_lock(&lock);
        issuers = find(*bucket, chain);
        if (!issuers)
                issuers = add(bucket, make(chain));
        pthread_mutex_unlock(&lock);
        if (!issuers)
                return -ENOMEM;
        *ret = issuers;
        return 0;
}

static bool is_of_facts(const struct issuers *issuers, const struct issuer *items, size_t n) {
        if (issuers->n != n)
                return false;
        for (size_t i = 0; i < n; i++)
                if (memcmp(issuers->items[i].fingerprint, items[i].fingerprint, FINGERPRINT_SIZE) != 0)
                        return false;
        return true;
}

static struct issuers *make_of_facts(const struct issuer *items, size_t n) {
        struct issuers *issuers = calloc(1, sizeof(*issuers) + n * sizeof(issuers->items[0]));

        if (!issuers)
                return NULL;
        issuers->n_refs = 1;
        for (size_t i = 0; i < n; i++) {
                issuers->items[issuers->n] = items[i];
                issuers->items[issuers->n].subject = strdup(items[i].subject);
                if (!issuers->items[issuers->n++].subject) {
                        destroy(issuers);
                        return NULL;
                }
        }
        return issuers;
}

int issuers_of_facts(const struct issuer *items, size_t n, struct issuers **ret) {
        struct issuers **bucket = bucket_of(items[0].fingerprint), *issuers;

        pthread_mutex_lock(&lock);
        for (issuers = *bucket; issuers && !is_of_facts(issuers, items, n); issuers = issuers->next)
                ;
        if (issuers)
                issuers->n_refs++;
        else
                issuers = add(bucket, make_of_facts(items, n));
        pthread_mutex_unlock(&lock);
        if (!issuers)
                return -ENOMEM;
        *ret = issuers;
        return 0;
}

struct issuers *issuers_ref(struct issuers *issuers) {
        if (!issuers)
                return NULL;
        pthread_mutex_lock(&lock);
        issuers->n_refs++;
        pthread_mutex_unlock(&lock);
        return issuers;
}

struct issuers *issuers_free(struct issuers *issuers) {
        struct issuers **p;

        if (!issuers)
                return NULL;
        pthread_mutex_lock(&lock);
        if (--issuers->n_refs == 0) {
                for (p = bucket_of(issuers->items[0].fingerprint); *p != issuers; p = &(*p)->next)
                        ;
                *p = issuers->next;
        } else
                issuers = NULL;
        pthread_mutex_unlock(&lock);
        if (issuers)
                destroy(issuers);
        return NULL;
}

size_t issuers_count(void) {
        size_t n = 0;

        pthread_mutex_lock(&lock);
        for (size_t i = 0; i < ELEMENTSOF(buckets); i++)
                for (const struct issuers *issuers = buckets[i]; issuers; issuers = issuers->next)
                        n++;
        pthread_mutex_unlock(&lock);
        return n;
}

static bool is_same(const struct issuer *a, const struct issuer *b) {
        return memcmp(a->fingerprint, b->fingerprint, FINGERPRINT_SIZE) == 0;
}

bool issuers_agree(const struct issuers *a, const struct issuers *b) {
        if (!a || !b || a == b)
                return true;
        for (size_t i = 0; i < a->n && i < b->n; i++)
                if (!is_same(&a->items[i], &b->items[i]))
                        return false;
        return true;
}

const struct issuer *issuers_find_stranger(const struct issuers *issuers, const struct issuers *others) {
        for (size_t i = 0; issuers && i < issuers->n; i++) {
                bool is_known = false;

                for (size_t k = 0; others && k < others->n; k++)
                        is_known = is_known || is_same(&issuers->items[i], &others->items[k]);
                if (!is_known)
                        return &issuers->items[i];
        }
        return NULL;
}

/* --- By name --- */

static int digit_of(char c) {
        return c >= '0' && c <= '9'   ? c - '0'
               : c >= 'a' && c <= 'f' ? c - 'a' + 10
               : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                      : -1;
}

int issuer_id_parse(const char *text, struct issuer_id *ret) {
        struct issuer_id id = { .is_key = has_prefix(text, "spki:") };

        if (id.is_key)
                text += strlen("spki:");
        if (has_prefix(text, "sha256:"))
                text += strlen("sha256:");
        for (size_t i = 0; i < sizeof(id.hash); i++) {
                int high, low;

                if (i > 0 && *text == ':')
                        text++;
                high = digit_of(text[0]);
                low = high < 0 ? -1 : digit_of(text[1]);
                if (low < 0)
                        return -EINVAL;
                id.hash[i] = (uint8_t)(high << 4 | low);
                text += 2;
        }
        if (*text)
                return -EINVAL;
        *ret = id;
        return 0;
}

bool issuer_has_id(const struct issuer *issuer, const struct issuer_id *id) {
        return memcmp(id->is_key ? issuer->spki : issuer->fingerprint, id->hash, sizeof(id->hash)) == 0;
}

const struct issuer *issuers_find(const struct issuers *issuers, const char *const *ids, bool *ret_is_key) {
        for (size_t i = 0; issuers && ids && ids[i]; i++) {
                struct issuer_id id;

                if (issuer_id_parse(ids[i], &id) < 0)
                        continue; /* the configuration was checked */
                for (size_t k = 0; k < issuers->n; k++)
                        if (issuer_has_id(&issuers->items[k], &id)) {
                                *ret_is_key = id.is_key;
                                return &issuers->items[k];
                        }
        }
        return NULL;
}
