/*
 * Nearly all processor time of a renewal is the search for two primes, and tests renew by the thousand. So
 * the search was done once: each prime is the hash of its number plus twice the offset in this table. Any two
 * of one size make a key. They are as public as this file, so no program that is installed may be linked with
 * it.
 */

#include "tests/support/quick-keys/quick-key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/sha.h>
#include <sys/random.h>

#include "lib/util/macro.h"

static const unsigned short offsets_1024[] = {
        79,  664, 78,  814, 649, 222, 316, 103,  1003, 307, 666, 216, 1562, 45,   149, 14,
        941, 466, 412, 96,  348, 16,  95,  39,   66,   839, 137, 358, 1063, 60,   193, 424,
        599, 381, 392, 42,  114, 381, 337, 1762, 594,  17,  57,  138, 347,  432,  12,  1048,
        37,  183, 15,  179, 299, 488, 474, 554,  102,  30,  524, 787, 822,  1115, 271, 319,
};
static const unsigned short offsets_1536[] = {
        182, 543,  873, 1022, 1251, 1665, 365, 669,  243, 317,  466, 258, 660, 913, 406, 91,
        526, 2452, 981, 308,  262,  1405, 666, 1078, 58,  1240, 419, 228, 507, 841, 67,  12,
};
static const unsigned short offsets_2048[] = {
        113, 72,  290, 65, 597, 1867, 239, 283, 526, 164,  1612, 390, 1004, 908,  1575, 1078,
        202, 980, 527, 0,  846, 422,  533, 67,  99,  2886, 455,  187, 20,   1764, 625,  376,
};

/* For keys of which size which primes are. */
static const struct {
        unsigned bits;
        const unsigned short *offsets;
        unsigned count;
} sizes[] = {
        { 2048, offsets_1024, ELEMENTSOF(offsets_1024) },
        { 3072, offsets_1536, ELEMENTSOF(offsets_1536) },
        { 4096, offsets_2048, ELEMENTSOF(offsets_2048) },
};

static unsigned chance(void) {
        unsigned value;

        if (getrandom(&value, sizeof(value), 0) != sizeof(value))
                abort();
        return value;
}

static BIGNUM *make_prime(unsigned bits, unsigned number, unsigned offset) {
        unsigned char bytes[2048 / 8];
        BIGNUM *prime;

        for (unsigned i = 0; i < bits / 512; i++) {
                char text[64];
                int n = snprintf(text, sizeof(text), "rekeyd test prime %u %u %u", bits, number, i);

                if (!SHA512((const unsigned char *)text, (size_t)n, bytes + (size_t)i * SHA512_DIGEST_LENGTH))
                        return NULL; /* libcrypto lacked memory when it was set up */
        }
        bytes[0] |= 0xc0; /* so that a product has all bits */
        bytes[bits / 8 - 1] |= 1;
        prime = BN_bin2bn(bytes, (int)bits / 8, NULL);
        if (!prime || BN_add_word(prime, 2ul * offset) != 1)
                abort();
        return prime;
}

/* The members of the private key that belongs to P > Q. */
static EVP_PKEY *make_key(BIGNUM *p, BIGNUM *q) {
        BN_CTX *context = BN_CTX_new();
        OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
        EVP_PKEY_CTX *maker = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
        BIGNUM *n = BN_new(), *e = BN_new(), *d = BN_new(), *p1 = BN_dup(p), *q1 = BN_dup(q), *phi = BN_new(),
               *dp = BN_new(), *dq = BN_new(), *inverse = BN_new();
        OSSL_PARAM *parameters;
        EVP_PKEY *key = NULL;

        BN_mul(n, p, q, context);
        BN_sub_word(p1, 1);
        BN_sub_word(q1, 1);
        BN_mul(phi, p1, q1, context);
        /* A renewal must not meet the key that is current: exponents make millions of keys of thousands of
         * pairs. */
        do {
                BN_set_word(e, 65537 + 2ul * (chance() % 65536));
        } while (!BN_mod_inverse(d, e, phi, context));
        ERR_clear_error();
        BN_mod(dp, d, p1, context);
        BN_mod(dq, d, q1, context);
        BN_mod_inverse(inverse, q, p, context);

        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n);
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e);
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_D, d);
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_FACTOR1, p);
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_FACTOR2, q);
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_EXPONENT1, dp);
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_EXPONENT2, dq);
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, inverse);
        parameters = OSSL_PARAM_BLD_to_param(builder);
        if (!parameters || EVP_PKEY_fromdata_init(maker) != 1 ||
            EVP_PKEY_fromdata(maker, &key, EVP_PKEY_KEYPAIR, parameters) != 1)
                abort();

        OSSL_PARAM_free(parameters);
        OSSL_PARAM_BLD_free(builder);
        EVP_PKEY_CTX_free(maker);
        BN_CTX_free(context);
        for (size_t i = 0; i < 9; i++)
                BN_free(((BIGNUM *[]) { n, e, d, p1, q1, phi, dp, dq, inverse })[i]);
        return key;
}

/* Of tests/support/memory-faults, where that is loaded: nothing here checks an allocation. */
void memory_faults_pause(int pause) __attribute__((weak));

static void pause_faults(bool pause) {
        if (memory_faults_pause)
                memory_faults_pause(pause);
}

EVP_PKEY *quick_key(unsigned bits) {
        const unsigned short *offsets = NULL;
        unsigned count = 0;
        EVP_PKEY *key;

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++)
                if (sizes[i].bits == bits) {
                        offsets = sizes[i].offsets;
                        count = sizes[i].count;
                }
        if (!offsets)
                return NULL;

        pause_faults(true);
        const unsigned first = chance() % count, second = (first + 1 + chance() % (count - 1)) % count;
        BIGNUM *p = make_prime(bits / 2, first, offsets[first]),
               *q = make_prime(bits / 2, second, offsets[second]);

        if (!p || !q)
                key = NULL;
        else
                key = BN_cmp(p, q) > 0 ? make_key(p, q) : make_key(q, p);
        BN_free(p);
        BN_free(q);
        pause_faults(false);
        return key;
}
