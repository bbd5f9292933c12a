/*
 * Certificates that are dear to verify, as a Connector may send them in a reply, and a server in a handshake.
 * Each row is refused before the first signature is verified, so what counts is the processor time that this
 * takes. The control is the same chain without the limits.
 */

#include "lib/x509/key-cost.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/ssl.h>

#include "lib/x509/cert.h"
#include "lib/x509/handshake.h"
#include "lib/x509/openssl-util.h"
#include "tests/support/quick-keys/quick-key.h"
#include "tests/support/x509.h"
#include "tests/test.h"

/* A handshake with an API server runs on the event loop, of which no turn may take longer. A reply is read by
 * a worker. */
#define TURN_MAX_MS  20.0
#define REPLY_MAX_MS 50.0

/* The best of so many counts: a machine that is busy has cold caches. */
#define RUNS 3

#define N_ABSURD 8

/* --- Keys --- */

static EVP_PKEY *key_from(BIGNUM *modulus, BIGNUM *public, BIGNUM *private) {
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
        OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
        EVP_PKEY *key = NULL;
        OSSL_PARAM *params;

        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus);
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, public);
        if (private)
                OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_D, private);
        params = OSSL_PARAM_BLD_to_param(builder);
        ck_assert_int_eq(EVP_PKEY_fromdata_init(context), 1);
        ck_assert_int_eq(
                EVP_PKEY_fromdata(context, &key, private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params),
                1);
        OSSL_PARAM_free(params);
        OSSL_PARAM_BLD_free(builder);
        EVP_PKEY_CTX_free(context);
        BN_free(modulus);
        BN_free(public);
        BN_free(private);
        return key;
}

/* The two exponents in each other's place: who verifies has the work of who signs, and more. */
static EVP_PKEY *huge_exponent(void) {
        EVP_PKEY *usual = EVP_RSA_gen(3072), *key;
        BIGNUM *modulus = NULL, *public = NULL, *private = NULL;

        ck_assert_ptr_nonnull(usual);
        ck_assert_int_eq(EVP_PKEY_get_bn_param(usual, OSSL_PKEY_PARAM_RSA_N, &modulus), 1);
        ck_assert_int_eq(EVP_PKEY_get_bn_param(usual, OSSL_PKEY_PARAM_RSA_E, &public), 1);
        ck_assert_int_eq(EVP_PKEY_get_bn_param(usual, OSSL_PKEY_PARAM_RSA_D, &private), 1);
        key = key_from(modulus, private, public);
        EVP_PKEY_free(usual);
        return key;
}

/* The public half only: nobody has the other one. */
static EVP_PKEY *huge_modulus(void) {
        BIGNUM *modulus = BN_new(), *public = BN_new();

        ck_assert_int_eq(BN_rand(modulus, 16384, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD), 1);
        ck_assert_int_eq(BN_set_word(public, 65537), 1);
        return key_from(modulus, public, NULL);
}

/* A number of the private key KEY; owned by the caller. */
static BIGNUM *number_of(const EVP_PKEY *key, const char *name) {
        BIGNUM *number = NULL;

        ck_assert_int_eq(EVP_PKEY_get_bn_param(key, name, &number), 1);
        return number;
}

/* Multiplies N by the modulus of a quick key, and PHI by what its primes are for it. False: N has one of
 * these primes already, since there are few, and nothing is changed. */
static bool multiply(BIGNUM *n, BIGNUM *phi, BN_CTX *context) {
        static const char *const names[] = { OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2 };
        EVP_PKEY *key = quick_key(4096);
        BIGNUM *modulus = number_of(key, OSSL_PKEY_PARAM_RSA_N), *common = BN_new();
        bool is_new;

        ck_assert_int_eq(BN_gcd(common, n, modulus, context), 1);
        is_new = BN_is_one(common);
        if (is_new)
                ck_assert_int_eq(BN_mul(n, n, modulus, context), 1);
        for (size_t i = 0; is_new && i < ELEMENTSOF(names); i++) {
                BIGNUM *prime = number_of(key, names[i]);

                ck_assert_int_eq(BN_sub_word(prime, 1), 1);
                ck_assert_int_eq(BN_mul(phi, phi, prime, context), 1);
                BN_clear_free(prime);
        }
        BN_free(common);
        BN_free(modulus);
        EVP_PKEY_free(key);
        return is_new;
}

/* The dearest that is accepted: both limits are reached, or the modulus is a bit shorter. */
static EVP_PKEY *largest(void) {
        BN_CTX *context = BN_CTX_new();
        BIGNUM *n = BN_new(), *phi = BN_new(), *public = BN_new(), *private = NULL;

        BN_set_word(n, 1);
        BN_set_word(phi, 1);
        for (unsigned bits = 0; bits < KEY_COST_RSA_BITS_MAX;)
                bits += multiply(n, phi, context) ? 4096 : 0;
        for (BN_ULONG exponent = UINT32_MAX; !private; exponent -= 2) {
                BN_set_word(public, exponent);
                private = BN_mod_inverse(NULL, public, phi, context);
        }
        ERR_clear_error();
        BN_free(phi);
        BN_CTX_free(context);
        return key_from(n, public, private);
}

static EVP_PKEY *generate(const char *type, const char *curve, const char *encoding) {
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
        OSSL_PARAM params[] = { OSSL_PARAM_END, OSSL_PARAM_END, OSSL_PARAM_END };
        EVP_PKEY *key = NULL;

        if (curve) {
                params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                                             (char *)(uintptr_t)curve, 0);
                params[1] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_EC_ENCODING,
                                                             (char *)(uintptr_t)encoding, 0);
        }
        ck_assert_int_eq(EVP_PKEY_keygen_init(context), 1);
        ck_assert_int_eq(EVP_PKEY_CTX_set_params(context, params), 1);
        ck_assert_int_eq(EVP_PKEY_generate(context, &key), 1);
        EVP_PKEY_CTX_free(context);
        return key;
}

static EVP_PKEY *own_curve(void) {
        return generate("EC", "P-521", "explicit");
}

static EVP_PKEY *binary_curve(void) {
        return generate("EC", "K-571", "named_curve");
}

static EVP_PKEY *named_curve(void) {
        return generate("EC", "P-521", "named_curve");
}

static EVP_PKEY *edwards(void) {
        return generate("ED25519", NULL, NULL);
}

static EVP_PKEY *dsa(void) {
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "DSA", NULL), *maker;
        EVP_PKEY *parameters = NULL, *key = NULL;
        size_t bits = 1024;
        OSSL_PARAM params[] = { OSSL_PARAM_construct_size_t(OSSL_PKEY_PARAM_FFC_PBITS, &bits),
                                OSSL_PARAM_END };

        ck_assert_int_eq(EVP_PKEY_paramgen_init(context), 1);
        ck_assert_int_eq(EVP_PKEY_CTX_set_params(context, params), 1);
        ck_assert_int_eq(EVP_PKEY_generate(context, &parameters), 1);
        maker = EVP_PKEY_CTX_new_from_pkey(NULL, parameters, NULL);
        ck_assert_int_eq(EVP_PKEY_keygen_init(maker), 1);
        ck_assert_int_eq(EVP_PKEY_generate(maker, &key), 1);
        EVP_PKEY_CTX_free(maker);
        EVP_PKEY_CTX_free(context);
        EVP_PKEY_free(parameters);
        return key;
}

static EVP_PKEY *usual(void) {
        return EVP_PKEY_up_ref(x509_key(2)) == 1 ? x509_key(2) : NULL;
}

static const struct row {
        const char *name;
        EVP_PKEY *(*make)(void);
        bool cannot_sign;
        unsigned n;                      /* intermediates with that key; 0: N_ABSURD */
        const char *reply;               /* the sentence; NULL: it is accepted */
        int problem;                     /* of the handshake, where it comes to the chain */
        bool is_never_read;              /* a server's chain that is too large */
        unsigned n_names, n_constraints; /* of the leaf, and of what has issued it */
} rows[] = {
        { "usual", usual, .n = 2 },
        { "the largest keys", largest, .n = N_ABSURD },
        { "200 names, 200 constraints", usual, .n = 2, .n_names = 200, .n_constraints = 200 },
        { "1000 names, 1000 constraints", usual, .n = 2, .n_names = 1000, .n_constraints = 1000,
          .problem = X509_V_ERR_CERT_REJECTED },
        { "a named curve", named_curve, .n = 2 },
        { "Ed25519", edwards, .n = 2 },
        { "exponents of 3072 bits", huge_exponent, .reply = "the exponent of its RSA key has",
          .problem = X509_V_ERR_CERT_REJECTED },
        { "moduli of 16384 bits", huge_modulus, true, .reply = "its RSA key has 16384 bits",
          .problem = X509_V_ERR_CERT_REJECTED },
        { "curves of their own", own_curve, .reply = "on a curve that it defines itself",
          .problem = X509_V_ERR_CERT_REJECTED },
        { "binary curves", binary_curve, .reply = "on a curve of 570 bits",
          .problem = X509_V_ERR_CERT_REJECTED },
        { "DSA", dsa, .reply = "its key is for DSA", .problem = X509_V_ERR_CERT_REJECTED },
        { "eleven certificates", usual, .n = 10, .reply = "more than 10 certificates",
          .problem = X509_V_ERR_CERT_CHAIN_TOO_LONG },
        { "a hundred curves", named_curve, .n = 100, .reply = "more than 10 certificates",
          .is_never_read = true },
};

/* Only the time of the largest keys is of interest, and their signatures take minutes there. */
static bool is_too_dear(const struct row *row) {
        return row->make == largest && test_is_instrumented();
}

/* --- Chains --- */

#define CERTS_MAX 102

struct chain_made {
        struct x509_cert root, leaf, certs[CERTS_MAX];
        EVP_PKEY *key;
        unsigned n; /* of `certs`: the last one is below the root */
};

static void chain_clear(struct chain_made *made) {
        x509_cert_clear(&made->root);
        x509_cert_clear(&made->leaf);
        for (unsigned i = 0; i < made->n; i++)
                x509_cert_clear(&made->certs[i]);
        EVP_PKEY_free(made->key);
}

static const EVP_MD *digest_for(const EVP_PKEY *key) {
        return EVP_PKEY_is_a(key, "ED25519") ? EVP_md_null() : NULL;
}

/* N names below localhost, or of PREFIX and SUFFIX, and localhost itself; owned by the caller. */
static char *make_names(const char *prefix, const char *suffix, unsigned n) {
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        for (unsigned i = 0; i < n; i++)
                fprintf(out, "%s%x%s,", prefix, i, suffix);
        fprintf(out, "%slocalhost", prefix);
        fclose(out);
        return text;
}

/* One key for all: what counts is how often it is used. */
static void make_chain(const struct row *row, struct chain_made *made) {
        _cleanup_(freep) char *names = make_names("DNS:", ".localhost", row->n_names),
                              *constraints = make_names("permitted;DNS:", "", row->n_constraints);

        made->key = row->make();
        made->root = x509_make(&(struct x509_options) { .ca = true, .subject = "CN=root" });
        made->n = row->n > 0 ? row->n : N_ABSURD;
        struct x509_cert signer = made->root;
        for (unsigned i = 0; i < made->n; i++) {
                char subject[32];

                snprintf(subject, sizeof(subject), "CN=CA %u", i);
                made->certs[i] = x509_make(&(struct x509_options) {
                        .ca = true,
                        .subject = subject,
                        .key = made->key,
                        .issuer = &signer,
                        .digest = digest_for(signer.key),
                        .name_constraints =
                                row->n_constraints > 0 && i + 1 == made->n ? constraints : NULL });
                signer = made->certs[i];
                if (row->cannot_sign)
                        signer.key = x509_key(3);
        }
        made->leaf = x509_make(&(struct x509_options) { .issuer = &signer,
                                                        .subject_alternatives = names,
                                                        .extended_key_usage = "serverAuth,clientAuth",
                                                        .digest = digest_for(signer.key) });
}

/* --- A reply --- */

static double cpu_ms(void) {
        return (double)now_usec(CLOCK_THREAD_CPUTIME_ID) / USEC_PER_MSEC;
}

START_TEST(a_reply_is_refused_before_it_is_verified) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct chain_made made = { 0 };
                double best = 1e9;

                if (is_too_dear(&rows[i]))
                        continue;
                make_chain(&rows[i], &made);
                const struct x509_cert *certs[CERTS_MAX + 1] = { &made.leaf };
                for (unsigned j = 0; j < made.n; j++)
                        certs[j + 1] = &made.certs[j];
                _cleanup_(freep) char *pem = x509_join(certs, made.n + 1);

                for (unsigned run = 0; run < RUNS; run++) {
                        _cleanup_(error_clear) struct error error = ERROR_INIT;
                        _cleanup_(cert_list_clear) struct cert_list list = { 0 };
                        const double begin = cpu_ms();
                        const int r = cert_list_parse(pem, strlen(pem), &list, &error);
                        const double took = cpu_ms() - begin;

                        best = took < best ? took : best;
                        if (!rows[i].reply)
                                ck_assert_msg(r == 0, "%s: %s", rows[i].name, error_text(&error));
                        else
                                ck_assert_msg(r < 0 && strstr(error_text(&error), rows[i].reply), "%s: %s",
                                              rows[i].name, error_text(&error));
                }
                test_report("key cost: a reply with %-24s %.1f ms", rows[i].name, best);
                if (!test_is_instrumented())
                        ck_assert_msg(best < REPLY_MAX_MS, "%s: %.1f ms", rows[i].name, best);
                chain_clear(&made);
        }
}
END_TEST

/* --- A handshake --- */

struct outcome {
        bool done;
        int problem;
        double longest_ms; /* of the client's calls */
};

static SSL_CTX *server_of(const struct chain_made *made) {
        SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

        SSL_CTX_set_security_level(tls, 0);
        ck_assert_int_eq(SSL_CTX_use_certificate(tls, made->leaf.handle), 1);
        ck_assert_int_eq(SSL_CTX_use_PrivateKey(tls, made->leaf.key), 1);
        for (unsigned i = made->n; i > 0; i--)
                ck_assert_int_eq((int)SSL_CTX_add1_chain_cert(tls, made->certs[i - 1].handle), 1);
        return tls;
}

static SSL_CTX *client_of(const struct chain_made *made, bool is_limited) {
        SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

        if (is_limited)
                ck_assert_int_eq(handshake_limit(tls), 0);
        SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
        ck_assert_int_eq(X509_STORE_add_cert(SSL_CTX_get_cert_store(tls), made->root.handle), 1);
        X509_VERIFY_PARAM_set_time(SSL_CTX_get0_param(tls), (time_t)(X509_NOW / USEC_PER_SEC));
        return tls;
}

static struct outcome shake_hands(const struct chain_made *made, bool is_limited) {
        SSL_CTX *client_tls = client_of(made, is_limited), *server_tls = server_of(made);
        SSL *client = SSL_new(client_tls), *server = SSL_new(server_tls);
        struct outcome outcome = { 0 };
        BIO *client_end, *server_end;

        ck_assert_int_eq(BIO_new_bio_pair(&client_end, 1 << 20, &server_end, 1 << 20), 1);
        SSL_set_bio(client, client_end, client_end);
        SSL_set_bio(server, server_end, server_end);
        SSL_set_connect_state(client);
        SSL_set_accept_state(server);
        for (unsigned i = 0; i < 10 && !outcome.done; i++) {
                const double begin = cpu_ms();

                (void)SSL_do_handshake(client);
                if (cpu_ms() - begin > outcome.longest_ms)
                        outcome.longest_ms = cpu_ms() - begin;
                (void)SSL_do_handshake(server);
                outcome.done = SSL_is_init_finished(client) && SSL_is_init_finished(server);
        }
        outcome.problem = (int)SSL_get_verify_result(client);
        ERR_clear_error();
        SSL_free(client);
        SSL_free(server);
        SSL_CTX_free(client_tls);
        SSL_CTX_free(server_tls);
        return outcome;
}

START_TEST(a_chain_is_refused_before_it_is_verified) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct chain_made made = { 0 };
                double best = 1e9;

                if (is_too_dear(&rows[i]))
                        continue;
                make_chain(&rows[i], &made);
                for (unsigned run = 0; run < RUNS; run++) {
                        const struct outcome outcome = shake_hands(&made, true);

                        best = outcome.longest_ms < best ? outcome.longest_ms : best;
                        ck_assert_msg(outcome.done ==
                                              (rows[i].problem == X509_V_OK && !rows[i].is_never_read),
                                      "%s", rows[i].name);
                        if (!rows[i].is_never_read)
                                ck_assert_msg(outcome.problem == rows[i].problem, "%s: %s", rows[i].name,
                                              X509_verify_cert_error_string(outcome.problem));
                }
                test_report("key cost: a handshake with %-24s %.1f ms", rows[i].name, best);
                if (!test_is_instrumented())
                        ck_assert_msg(best < TURN_MAX_MS, "%s: %.1f ms", rows[i].name, best);
                chain_clear(&made);
        }
}
END_TEST

/* The limit of OpenSSL is for each certificate, and below the longest turn: that row is no control. */
START_TEST(without_the_limits_it_takes_long) {
        const struct row row = { .name = "exponents", .make = huge_exponent };
        struct chain_made made = { 0 };
        struct outcome outcome;

        make_chain(&row, &made);
        outcome = shake_hands(&made, false);
        test_report("key cost: the same without limits %.1f ms", outcome.longest_ms);
        ck_assert(outcome.done);
        ck_assert_double_gt(outcome.longest_ms, TURN_MAX_MS);
        chain_clear(&made);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("key-cost");

        for (unsigned i = 0; i < 4; i++)
                x509_key(i);
        TEST_CASE(suite, a_reply_is_refused_before_it_is_verified);
        TEST_CASE(suite, a_chain_is_refused_before_it_is_verified);
        TEST_CASE(suite, without_the_limits_it_takes_long);
        return test_run(suite);
}
