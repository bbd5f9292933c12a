/*
 * OpenSSL 3.0 reads the public key of a certificate together with the certificate, and tries every decoder
 * that any provider has on it, under locks that all threads share: nine tenths of the time of d2i_X509(). A
 * start with ten thousand certificates spent a second of a processor there. Here the certificate is read in a
 * library context that has no decoders, and its key, which is nothing but two integers, by the template for
 * them.
 *
 * This is a shortcut, not a judge: what it hands out is, byte for byte, what it was given, and everything
 * that it does not recognise entirely it leaves alone.
 */

#include "lib/x509/cert-rsa.h"

#include <openssl/provider.h>
#include <pthread.h>

#include "lib/x509/openssl-util.h"

static OSSL_LIB_CTX *no_decoders; /* NULL: could not be made, and every certificate takes the long way */

/* The provider that has nothing, or the default one would be loaded unasked. It lives as long as we. */
static void make_context(void) {
        no_decoders = OSSL_LIB_CTX_new();
        if (no_decoders && OSSL_PROVIDER_load(no_decoders, "null"))
                return;
        OSSL_LIB_CTX_free(no_decoders);
        no_decoders = NULL;
}

/* Only the key is read in that context: what is asked of the certificate later, such as a signature, is done
 * in the usual one. */
static X509 *read_without_key(const unsigned char *der, long size) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        _cleanup_(X509_freep) X509 *handle = NULL;
        const unsigned char *end = der;

        pthread_once(&once, make_context);
        if (!no_decoders)
                return NULL;
        handle = (X509 *)ASN1_item_d2i_ex(NULL, &end, size, ASN1_ITEM_rptr(X509), no_decoders, NULL);
        return end == der + size ? take_ptr(handle) : NULL;
}

static EVP_PKEY *read_key(const X509 *handle) {
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = NULL;
        const unsigned char *der, *end;
        ASN1_OBJECT *object;
        X509_ALGOR *algorithm;
        int size, parameter;

        if (X509_PUBKEY_get0_param(&object, &der, &size, &algorithm, X509_get_X509_PUBKEY(handle)) != 1)
                return NULL;
        X509_ALGOR_get0(NULL, &parameter, NULL, algorithm);
        if (OBJ_obj2nid(object) != NID_rsaEncryption || parameter != V_ASN1_NULL)
                return NULL;
        end = der;
        key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &end, size);
        return end == der + size ? take_ptr(key) : NULL;
}

/* A certificate whose key was set is encoded again whenever its bytes are requested, also when its signature
 * is checked. With DER that makes no difference, and with what is not quite DER the long way is taken. */
static bool is_unchanged(const X509 *handle, const unsigned char *der, long size) {
        unsigned char *encoded = NULL;
        int encoded_size = i2d_X509(handle, &encoded);
        bool same = encoded_size == size && memcmp(encoded, der, (size_t)size) == 0;

        OPENSSL_free(encoded);
        return same;
}

X509 *rsa_cert_read(const unsigned char *der, long size) {
        _cleanup_(X509_freep) X509 *handle = read_without_key(der, size);
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = handle ? read_key(handle) : NULL;
        bool is_read = key && X509_set_pubkey(handle, key) == 1 && is_unchanged(handle, der, size);

        ERR_clear_error();
        return is_read ? take_ptr(handle) : NULL;
}
