/*
 * OpenSSL 3.0 reads a key by trying every decoder that any provider has, and writes its public half by trying
 * every encoder: 0.7 ms, most of it spent on locks that all threads share. An inspection of ten thousand
 * certificates would take ten seconds for that alone. Here the DER is taken apart by OpenSSL's ASN.1
 * templates and the numbers are handed over as numbers, which takes a thirtieth of the time.
 *
 * This is a shortcut, not a judge: it takes what it recognises entirely and leaves everything else alone.
 */

#include "lib/x509/key-rsa.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>

#include "lib/x509/openssl-util.h"

/* The numbers of an RSAPrivateKey after its version, by their names in EVP_PKEY_fromdata(). */
enum { MODULUS, EXPONENT, N_PUBLIC };
static const char *const number_names[] = {
        [MODULUS] = OSSL_PKEY_PARAM_RSA_N, [EXPONENT] = OSSL_PKEY_PARAM_RSA_E, OSSL_PKEY_PARAM_RSA_D,
        OSSL_PKEY_PARAM_RSA_FACTOR1,       OSSL_PKEY_PARAM_RSA_FACTOR2,        OSSL_PKEY_PARAM_RSA_EXPONENT1,
        OSSL_PKEY_PARAM_RSA_EXPONENT2,     OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
};
#define N_NUMBERS ELEMENTSOF(number_names)

void rsa_key_clear(struct rsa_key *rsa) {
        EVP_PKEY_free(rsa->handle);
        OPENSSL_free(rsa->spki);
        *rsa = (struct rsa_key) { 0 };
}

static void sequence_freep(ASN1_SEQUENCE_ANY **sequence) {
        sk_ASN1_TYPE_pop_free(*sequence, ASN1_TYPE_free);
}

DEFINE_OPENSSL_CLEANUP(PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free);
DEFINE_OPENSSL_CLEANUP(X509_PUBKEY, X509_PUBKEY_free);
DEFINE_OPENSSL_CLEANUP(OSSL_PARAM, OSSL_PARAM_free);
DEFINE_OPENSSL_CLEANUP(OSSL_PARAM_BLD, OSSL_PARAM_BLD_free);

/* The RSAPrivateKey inside of the PKCS#8, as its ten integers less one: `otherPrimeInfos` is not there. */
static ASN1_SEQUENCE_ANY *read_sequence(const unsigned char *der, long size) {
        _cleanup_(PKCS8_PRIV_KEY_INFO_freep) PKCS8_PRIV_KEY_INFO *info = NULL;
        _cleanup_(sequence_freep) ASN1_SEQUENCE_ANY *sequence = NULL;
        const unsigned char *end = der, *inner;
        const ASN1_OBJECT *object;
        const X509_ALGOR *algorithm;
        int inner_size, parameter;

        info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &end, size);
        if (!info || end != der + size || PKCS8_pkey_get0_attrs(info) ||
            PKCS8_pkey_get0(&object, &inner, &inner_size, &algorithm, info) != 1)
                return NULL;
        X509_ALGOR_get0(NULL, &parameter, NULL, algorithm);
        if (OBJ_obj2nid(object) != NID_rsaEncryption || parameter != V_ASN1_NULL)
                return NULL;

        end = inner;
        sequence = d2i_ASN1_SEQUENCE_ANY(NULL, &end, inner_size);
        if (!sequence || end != inner + inner_size || sk_ASN1_TYPE_num(sequence) != 1 + N_NUMBERS)
                return NULL;
        for (int i = 0; i < sk_ASN1_TYPE_num(sequence); i++)
                if (sk_ASN1_TYPE_value(sequence, i)->type != V_ASN1_INTEGER)
                        return NULL;
        if (ASN1_INTEGER_get(sk_ASN1_TYPE_value(sequence, 0)->value.integer) != 0)
                return NULL;
        return take_ptr(sequence);
}

static EVP_PKEY *make_handle(BIGNUM *const *numbers) {
        _cleanup_(OSSL_PARAM_BLD_freep) OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
        _cleanup_(OSSL_PARAM_freep) OSSL_PARAM *parameters = NULL;
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *context = NULL;
        EVP_PKEY *handle = NULL;

        if (!build)
                return NULL;
        for (size_t i = 0; i < N_NUMBERS; i++)
                if (OSSL_PARAM_BLD_push_BN(build, number_names[i], numbers[i]) != 1)
                        return NULL;
        parameters = OSSL_PARAM_BLD_to_param(build);
        context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
        if (!parameters || !context || EVP_PKEY_fromdata_init(context) != 1 ||
            EVP_PKEY_fromdata(context, &handle, EVP_PKEY_KEYPAIR, parameters) != 1)
                return NULL;
        return handle;
}

static EVP_PKEY *read_numbers(const ASN1_SEQUENCE_ANY *sequence) {
        BIGNUM *numbers[N_NUMBERS] = { 0 };
        EVP_PKEY *handle = NULL;
        size_t n;

        /* In OpenSSL's secure heap: OSSL_PARAM_BLD then keeps what it builds there as well, and cleanses it.
         */
        for (n = 0; n < N_NUMBERS; n++) {
                numbers[n] = n < N_PUBLIC ? BN_new() : BN_secure_new();
                if (!numbers[n] ||
                    !ASN1_INTEGER_to_BN(sk_ASN1_TYPE_value(sequence, (int)n + 1)->value.integer,
                                        numbers[n]) ||
                    BN_is_negative(numbers[n]) || BN_is_zero(numbers[n]))
                        break;
        }
        if (n == N_NUMBERS)
                handle = make_handle(numbers);
        for (size_t i = 0; i < N_NUMBERS; i++)
                BN_clear_free(numbers[i]);
        return handle;
}

/* SubjectPublicKeyInfo: rsaEncryption without parameters, and SEQUENCE { modulus, exponent }. */
static int write_spki(const ASN1_SEQUENCE_ANY *sequence, unsigned char **ret) {
        _cleanup_(X509_PUBKEY_freep) X509_PUBKEY *spki = X509_PUBKEY_new();
        ASN1_SEQUENCE_ANY *both = sk_ASN1_TYPE_new_null(); /* its elements are borrowed */
        unsigned char *der = NULL;
        int size = -1;

        if (both && sk_ASN1_TYPE_push(both, sk_ASN1_TYPE_value(sequence, 1 + MODULUS)) > 0 &&
            sk_ASN1_TYPE_push(both, sk_ASN1_TYPE_value(sequence, 1 + EXPONENT)) > 0)
                size = i2d_ASN1_SEQUENCE_ANY(both, &der);
        sk_ASN1_TYPE_free(both);
        if (size <= 0)
                return -1;
        if (!spki ||
            X509_PUBKEY_set0_param(spki, OBJ_nid2obj(NID_rsaEncryption), V_ASN1_NULL, NULL, der, size) != 1) {
                OPENSSL_free(der);
                return -1;
        }
        return i2d_X509_PUBKEY(spki, ret);
}

bool rsa_key_read(const unsigned char *der, long size, struct rsa_key *ret) {
        _cleanup_(sequence_freep) ASN1_SEQUENCE_ANY *sequence = read_sequence(der, size);
        _cleanup_(rsa_key_clear) struct rsa_key rsa = { 0 };

        if (sequence)
                rsa.handle = read_numbers(sequence);
        if (rsa.handle)
                rsa.spki_size = write_spki(sequence, &rsa.spki);
        ERR_clear_error();
        if (rsa.spki_size <= 0)
                return false;
        *ret = rsa;
        rsa = (struct rsa_key) { 0 };
        return true;
}
