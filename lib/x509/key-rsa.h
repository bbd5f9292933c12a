#pragma once

/* For key.c: the short way from DER to an RSA key. */

#include <stdbool.h>

typedef struct evp_pkey_st EVP_PKEY;

/* {0} is empty. */
struct rsa_key {
        EVP_PKEY *handle;
        unsigned char *spki; /* DER SubjectPublicKeyInfo, freed by OPENSSL_free() */
        int spki_size;
};

void rsa_key_clear(struct rsa_key *rsa);

/* Reads PKCS#8 DER (RFC 5208 section 5) with an RSAPrivateKey of two primes (RFC 8017 appendix A.1.2), as all
 * RSA keys are. Returns false, with an empty error queue, for whatever is not exactly that: OpenSSL's own
 * decoder says then what is wrong with it, if anything. */
bool rsa_key_read(const unsigned char *der, long size, struct rsa_key *ret);
