#pragma once

/* Throw-away keys, CAs and leaves for tests, made through OpenSSL directly and not through the code under
 * test. What cannot be made aborts the test. */

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "lib/util/macro.h"
#include "lib/util/time.h"

/* The instant that certificates are made around: 2027-01-15T08:00:00Z. Pure tests pass it as `now`. */
#define X509_NOW (UINT64_C(1800000000) * USEC_PER_SEC)

/* The I-th RSA-2048 key (I below 8), made at its first use and kept; borrowed. A main() that calls
 * x509_key(n - 1) makes the first N keys once for all tests, where Check forks. */
#define X509_KEYS_MAX 8
EVP_PKEY *x509_key(unsigned i);

/* PKCS#8 PEM of any key, owned by the caller. */
char *x509_key_pem(EVP_PKEY *key);

/* PEM of an RSA key that is not whole: the public half of PUBLIC, the private one of PRIVATE. */
char *x509_damaged_key_pem(EVP_PKEY *public, EVP_PKEY *private);

/* A certificate and the key that belongs to it. */
struct x509_cert {
        X509 *handle;
        EVP_PKEY *key; /* borrowed from x509_key() or from the options */
        char *pem;
};
void x509_cert_clear(struct x509_cert *cert);

/* What is zero or NULL gets its default; an extension that is "" is left out. */
struct x509_options {
        const char *subject;            /* "O=Org,CN=id", no commas in values; CN=leaf or CN=CA */
        EVP_PKEY *key;                  /* x509_key(0) for a leaf, x509_key(1) for a CA */
        const struct x509_cert *issuer; /* self-signed */
        usec_t not_before;              /* a day before X509_NOW */
        usec_t not_after; /* 90 days after X509_NOW; ten years for a CA; USEC_INFINITY: 99991231235959Z */
        unsigned serial;  /* 2, as the Connector has it */
        bool ca;
        const EVP_MD *digest;          /* of the signature; SHA-256 */
        const char *basic_constraints; /* none; "critical,CA:TRUE" for a CA */
        const char *key_usage; /* "critical,digitalSignature"; "critical,keyCertSign,cRLSign" for a CA */
        const char *extended_key_usage;   /* "clientAuth"; none for a CA */
        const char *authority_key_id;     /* "keyid" where the issuer has one */
        const char *subject_alternatives; /* none */
        const char *name_constraints;     /* none */
};
struct x509_cert x509_make(const struct x509_options *options);

/* The N certificates' PEM, one after the other; owned by the caller. */
char *x509_join(const struct x509_cert *const *certs, size_t n);
#define X509_JOIN(...)                                               \
        x509_join((const struct x509_cert *const[]) { __VA_ARGS__ }, \
                  ELEMENTSOF(((const struct x509_cert *const[]) { __VA_ARGS__ })))
