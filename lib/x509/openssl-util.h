#pragma once

/* What the modules of this floor that speak to OpenSSL share about it; HACKING.md names them.  OpenSSL keeps
 * a queue of errors for each thread. Code that fails reads the reason with openssl_error(), which also
 * drains the queue, so that no later failure gets an older reason. Reasons are constant strings: they never
 * quote input. */

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "lib/util/error.h"

#define DEFINE_OPENSSL_CLEANUP(type, destructor)     \
        static inline void destructor##p(type **p) { \
                destructor(*p);                      \
        }                                            \
        struct destructor##_wants_a_semicolon

DEFINE_OPENSSL_CLEANUP(BIO, BIO_free);
DEFINE_OPENSSL_CLEANUP(EVP_PKEY, EVP_PKEY_free);
DEFINE_OPENSSL_CLEANUP(EVP_PKEY_CTX, EVP_PKEY_CTX_free);
DEFINE_OPENSSL_CLEANUP(X509, X509_free);
DEFINE_OPENSSL_CLEANUP(X509_NAME, X509_NAME_free);
DEFINE_OPENSSL_CLEANUP(X509_REQ, X509_REQ_free);

/* The first reason in the queue, which is the innermost and says most. */
const char *openssl_reason(void);

/* Sets ERROR to the sentence and that reason, and returns CODE; -ENOMEM instead where OpenSSL had no memory:
 * what it could not look at is not wrong for that. */
int openssl_error(struct error *error, int code, const char *format, ...) _printf_(3, 4);

/* Whether OpenSSL had no memory for something since the queue was empty, which it is afterwards. */
bool openssl_lacked_memory(void);

/* What was written to BIO, a text, owned by the caller. 0 or -ENOMEM. Not for keys, whose copies are
 * cleansed. */
int bio_take_text(BIO *bio, char **ret_text);

/* SHA-256 of SIZE bytes. */
static inline int sha256(const void *data, size_t size, uint8_t ret[32]) {
        if (EVP_Digest(data, size, ret, NULL, EVP_sha256(), NULL) == 1)
                return 0;
        ERR_clear_error();
        return -EIO;
}

/* One block of a PEM text. It may be a private key, so it is cleansed whatever it is. */
struct pem_block {
        char *name;   /* "CERTIFICATE" */
        char *header; /* "Proc-Type: ..." lines, or empty */
        unsigned char *data;
        long size;
};

static inline void pem_block_clear(struct pem_block *block) {
        OPENSSL_secure_free(block->name);
        OPENSSL_secure_free(block->header);
        OPENSSL_secure_clear_free(block->data, block->size > 0 ? (size_t)block->size : 0);
        *block = (struct pem_block) { 0 };
}

/* Replaces BLOCK by the next one in TEXT. 1, 0 at the end of the text, or -EINVAL for a damaged block, with
 * its reason left in OpenSSL's queue. */
static inline int pem_block_next(BIO *text, struct pem_block *block) {
        unsigned long last;

        pem_block_clear(block);
        if (PEM_read_bio_ex(text, &block->name, &block->header, &block->data, &block->size,
                            PEM_FLAG_SECURE | PEM_FLAG_EAY_COMPATIBLE) == 1)
                return 1;
        *block = (struct pem_block) { 0 };

        last = ERR_peek_last_error();
        if (ERR_GET_LIB(last) != ERR_LIB_PEM || ERR_GET_REASON(last) != PEM_R_NO_START_LINE)
                return -EINVAL;
        ERR_clear_error();
        return 0;
}
