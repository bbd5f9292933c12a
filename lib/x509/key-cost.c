/*
 * Anybody can put an exponent of 10,000 bits into a certificate, and verifying one signature under it takes a
 * second of a processor. So a key is judged before the first signature is: in what is read from a text, and
 * in what a server sends in a handshake. Go, BoringSSL and Windows refuse such keys too. DSA and curves that
 * a certificate defines itself are no longer in use for TLS, and have costs that nobody has bounded.
 */

#include "lib/x509/key-cost.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "lib/x509/openssl-util.h"

/* The largest curve of a public CA is P-521. The binary ones go up to 571, and are ten times as slow. */
#define CURVE_BITS_MAX 521

static int check_rsa(const EVP_PKEY *key, struct error *error) {
        const int bits = EVP_PKEY_get_bits(key);
        BIGNUM *exponent = NULL;
        int exponent_bits;

        if (bits > KEY_COST_RSA_BITS_MAX)
                return error_set(error, -EINVAL, "its RSA key has %d bits, and more than %d are not accepted",
                                 bits, KEY_COST_RSA_BITS_MAX);
        if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent) != 1)
                return openssl_error(error, -EINVAL, "its public key cannot be read");
        exponent_bits = BN_num_bits(exponent);
        BN_free(exponent);
        if (exponent_bits > KEY_COST_EXPONENT_BITS_MAX)
                return error_set(error, -EINVAL,
                                 "the exponent of its RSA key has %d bits, and more than %d are not accepted",
                                 exponent_bits, KEY_COST_EXPONENT_BITS_MAX);
        return 0;
}

static int check_curve(const EVP_PKEY *key, struct error *error) {
        int is_explicit = 0;

        if (EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &is_explicit) != 1)
                ERR_clear_error(); /* one that was not decoded */
        if (is_explicit)
                return error_set(error, -EINVAL,
                                 "its key is on a curve that it defines itself, and only named ones are "
                                 "accepted");
        if (EVP_PKEY_get_bits(key) > CURVE_BITS_MAX)
                return error_set(error, -EINVAL,
                                 "its key is on a curve of %d bits, and more than %d are not accepted",
                                 EVP_PKEY_get_bits(key), CURVE_BITS_MAX);
        return 0;
}

int key_cost_check(const EVP_PKEY *key, struct error *error) {
        if (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS"))
                return check_rsa(key, error);
        if (EVP_PKEY_is_a(key, "EC"))
                return check_curve(key, error);
        if (EVP_PKEY_is_a(key, "DSA"))
                return error_set(error, -EINVAL, "its key is for DSA, which is not accepted");
        return 0;
}
