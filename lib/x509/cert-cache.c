/*
 * Parsing a certificate costs twenty microseconds where cert-rsa.c can read it, a tenth of a millisecond
 * where it cannot, and the checking of a self-signature as much again; and the same few are parsed again and
 * again: the CA with every set, a new leaf at the gate, before the swap, after the swap and at the next
 * inspection. So the last few are kept, known by the SHA-256 of their DER. Equal bytes are the same
 * certificate, wherever they come from; nothing here says that it is valid.
 *
 * A struct cert does not change once it exists and OpenSSL counts references with atomics, so threads share
 * them. What is kept is kept for good: a few hundred KiB at most.
 */

#include "lib/x509/cert-cache.h"

#include <pthread.h>
#include <string.h>

/* Old and new leaf of each renewal that is under way, as many as there are by default, and a few CAs. */
#define ENTRIES_MAX 40

struct entry {
        uint8_t fingerprint[FINGERPRINT_SIZE];
        struct cert *cert;
        uint64_t used; /* when, in calls */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry entries[ENTRIES_MAX]; /* under lock */
static uint64_t now;                      /* under lock */

static struct entry *find(const uint8_t fingerprint[FINGERPRINT_SIZE]) {
        for (struct entry *entry = entries; entry < entries + ENTRIES_MAX; entry++)
                if (entry->cert && memcmp(entry->fingerprint, fingerprint, FINGERPRINT_SIZE) == 0)
                        return entry;
        return NULL;
}

struct cert *cert_cache_find(const uint8_t fingerprint[FINGERPRINT_SIZE]) {
        struct cert *cert = NULL;
        struct entry *entry;

        pthread_mutex_lock(&lock);
        entry = find(fingerprint);
        if (entry) {
                entry->used = ++now;
                cert = cert_ref(entry->cert);
        }
        pthread_mutex_unlock(&lock);
        return cert;
}

void cert_cache_keep(const struct cert *cert) {
        uint8_t fingerprint[FINGERPRINT_SIZE];
        struct entry *oldest = entries;
        struct cert *copy = cert_ref(cert), *dropped = NULL;

        if (!copy)
                return;
        cert_fingerprint(cert, fingerprint);

        pthread_mutex_lock(&lock);
        for (struct entry *entry = entries; entry < entries + ENTRIES_MAX; entry++)
                if (entry->used < oldest->used)
                        oldest = entry;
        if (find(fingerprint))
                dropped = copy; /* another thread was faster */
        else {
                dropped = oldest->cert;
                memcpy(oldest->fingerprint, fingerprint, FINGERPRINT_SIZE);
                oldest->cert = copy;
                oldest->used = ++now;
        }
        pthread_mutex_unlock(&lock);
        cert_free(dropped);
}
