/*
 * Certificate signing requests: a subject, a public key and a signature that proves possession of the private
 * one. No extensions are requested: the Connectors drop SAN and e-mail and set key usage themselves.
 */

#include "lib/x509/csr.h"

#include "lib/x509/openssl-util.h"

static int request_to_pem(X509_REQ *request, char **ret_pem) {
        _cleanup_(BIO_freep) BIO *bio = BIO_new(BIO_s_mem());

        if (!bio || PEM_write_bio_X509_REQ(bio, request) != 1)
                return -EIO;
        return bio_take_text(bio, ret_pem);
}

int csr_make(const struct key *key, const struct subject *subject, char **ret_pem, struct error *error) {
        _cleanup_(X509_REQ_freep) X509_REQ *request = NULL;
        _cleanup_(X509_NAME_freep) X509_NAME *name = NULL;
        int r;

        r = subject_to_name(subject, &name, error);
        if (r < 0)
                return r;

        request = X509_REQ_new();
        if (!request || X509_REQ_set_version(request, X509_REQ_VERSION_1) != 1 ||
            X509_REQ_set_subject_name(request, name) != 1 ||
            X509_REQ_set_pubkey(request, key_handle(key)) != 1 ||
            X509_REQ_sign(request, key_handle(key), EVP_sha256()) <= 0)
                return openssl_error(error, -EIO, "cannot build the CSR");
        if (X509_REQ_verify(request, key_handle(key)) != 1)
                return openssl_error(
                        error, -EKEYREJECTED,
                        "the private key is damaged: its public half does not verify what it has signed");

        r = request_to_pem(request, ret_pem);
        if (r < 0)
                return openssl_error(error, r, "cannot write the CSR as PEM");
        return 0;
}

/* The first request in a PEM text. Both labels are in use: RFC 7468 section 7. */
static int request_parse(const char *pem, size_t size, X509_REQ **ret, struct error *error) {
        _cleanup_(pem_block_clear) struct pem_block block = { 0 };
        _cleanup_(X509_REQ_freep) X509_REQ *request = NULL;
        _cleanup_(BIO_freep) BIO *text = NULL;
        const unsigned char *end;
        int r;

        if (size > CSR_PEM_MAX)
                return error_set(error, -EINVAL, "the CSR is larger than %u KiB", CSR_PEM_MAX / 1024);
        text = BIO_new_mem_buf(pem, (int)size);
        if (!text)
                return error_set_errno(error, -ENOMEM, "cannot read the CSR");
        do {
                r = pem_block_next(text, &block);
                if (r < 0)
                        return openssl_error(error, r, "the PEM of the CSR is damaged");
                if (r == 0)
                        return error_set(
                                error, -EINVAL,
                                "there is no CSR: a PEM block 'BEGIN CERTIFICATE REQUEST' is expected");
        } while (!streq(block.name, PEM_STRING_X509_REQ) && !streq(block.name, PEM_STRING_X509_REQ_OLD));

        end = block.data;
        request = d2i_X509_REQ(NULL, &end, block.size);
        if (!request)
                return openssl_error(error, -EINVAL, "the CSR is damaged");
        if (end != block.data + block.size)
                return error_set(error, -EINVAL, "there are bytes after the CSR in its PEM block");
        *ret = take_ptr(request);
        return 0;
}

/* As in an issued certificate, the public key is compared by the hash of its encoding. */
static int request_spki(X509_REQ *request, uint8_t ret[SPKI_HASH_SIZE]) {
        unsigned char *der = NULL;
        int size, r;

        size = i2d_X509_PUBKEY(X509_REQ_get_X509_PUBKEY(request), &der);
        if (size <= 0)
                return -EIO;
        r = sha256(der, (size_t)size, ret);
        OPENSSL_free(der);
        return r;
}

int csr_check(const char *pem, size_t size, const struct key *key, struct subject **ret_subject,
              struct error *error) {
        _cleanup_(X509_REQ_freep) X509_REQ *request = NULL;
        uint8_t asked[SPKI_HASH_SIZE], own[SPKI_HASH_SIZE];
        int r;

        r = request_parse(pem, size, &request, error);
        if (r < 0)
                return r;

        key_spki(key, own);
        r = request_spki(request, asked);
        if (r < 0)
                return openssl_error(error, -EINVAL, "the public key of the CSR cannot be read");
        if (memcmp(asked, own, sizeof(own)) != 0)
                return error_set(error, -EKEYREJECTED, "the CSR is for another key than the staged one");
        if (X509_REQ_verify(request, key_handle(key)) != 1)
                return openssl_error(error, -EKEYREJECTED, "the CSR is not signed by its own key");

        return subject_from_name(X509_REQ_get_subject_name(request), ret_subject, error);
}
