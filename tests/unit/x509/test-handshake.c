/* What remains of the ciphers, and what a server can still agree on. */

#include "lib/x509/handshake.h"

#include <openssl/ssl.h>

#include "tests/support/x509.h"
#include "tests/test.h"

/* A client that speaks VERSION at most, with these CIPHERS for TLS 1.2 (NULL: the machine's), limited. */
static SSL_CTX *client_of(int version, const char *ciphers) {
        SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

        ck_assert_int_eq((int)SSL_CTX_set_max_proto_version(tls, version), 1);
        if (ciphers)
                ck_assert_int_eq(SSL_CTX_set_cipher_list(tls, ciphers), 1);
        ck_assert_int_eq(handshake_limit(tls), 0);
        return tls;
}

static SSL_CTX *server_of(const struct x509_cert *cert, const char *ciphers) {
        SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

        ck_assert_int_eq(SSL_CTX_use_certificate(tls, cert->handle), 1);
        ck_assert_int_eq(SSL_CTX_use_PrivateKey(tls, cert->key), 1);
        ck_assert_int_eq(SSL_CTX_set_cipher_list(tls, ciphers), 1);
        ck_assert_int_eq((int)SSL_CTX_set_dh_auto(tls, 1), 1);
        return tls;
}

/* Whether both come to terms; they are freed. */
static bool agree(SSL_CTX *client_tls, SSL_CTX *server_tls) {
        SSL *client = SSL_new(client_tls), *server = SSL_new(server_tls);
        BIO *client_end, *server_end;
        bool done = false;

        ck_assert_int_eq(BIO_new_bio_pair(&client_end, 65536, &server_end, 65536), 1);
        SSL_set_bio(client, client_end, client_end);
        SSL_set_bio(server, server_end, server_end);
        SSL_set_connect_state(client);
        SSL_set_accept_state(server);
        for (unsigned i = 0; i < 10 && !done; i++) {
                (void)SSL_do_handshake(client);
                (void)SSL_do_handshake(server);
                done = SSL_is_init_finished(client) && SSL_is_init_finished(server);
        }
        SSL_free(client);
        SSL_free(server);
        SSL_CTX_free(client_tls);
        SSL_CTX_free(server_tls);
        return done;
}

START_TEST(ecdhe_and_tls_1_3_remain) {
        SSL_CTX *tls = client_of(TLS1_3_VERSION, NULL);
        STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(tls);
        unsigned n_ecdhe = 0, n_any = 0;

        for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
                const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(ciphers, i);
                const int exchange = SSL_CIPHER_get_kx_nid(cipher);

                ck_assert_msg(exchange == NID_kx_ecdhe || exchange == NID_kx_any, "%s",
                              SSL_CIPHER_get_name(cipher));
                n_ecdhe += exchange == NID_kx_ecdhe;
                n_any += exchange == NID_kx_any;
        }
        ck_assert_uint_gt(n_ecdhe, 0);
        ck_assert_uint_gt(n_any, 0);
        SSL_CTX_free(tls);
}
END_TEST

START_TEST(what_the_machine_forbids_stays_forbidden) {
        SSL_CTX *tls = client_of(TLS1_2_VERSION, "ECDHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES256-GCM-SHA384");
        STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(tls);
        unsigned n = 0;

        for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
                const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(ciphers, i);

                if (SSL_CIPHER_get_kx_nid(cipher) == NID_kx_any)
                        continue;
                ck_assert_str_eq(SSL_CIPHER_get_name(cipher), "ECDHE-RSA-AES256-GCM-SHA384");
                n++;
        }
        ck_assert_uint_eq(n, 1);
        SSL_CTX_free(tls);
}
END_TEST

START_TEST(security_level_stays) {
        SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

        SSL_CTX_set_security_level(tls, 3);
        ck_assert_int_eq(handshake_limit(tls), 0);
        ck_assert_int_eq(SSL_CTX_get_security_level(tls), 3);
        SSL_CTX_free(tls);
}
END_TEST

START_TEST(server_gets_no_other_exchange) {
        static const struct {
                int version;
                const char *client, *server;
                bool agree;
        } cases[] = {
                { TLS1_2_VERSION, NULL, "ECDHE", true },
                { TLS1_2_VERSION, NULL, "DHE", false },
                { TLS1_2_VERSION, NULL, "kRSA", false },
                { TLS1_2_VERSION, "DHE", "DHE:ECDHE", false }, /* nothing remains */
                { TLS1_3_VERSION, "DHE", "DHE", true },        /* 1.3 does */
        };
        _cleanup_(x509_cert_clear) struct x509_cert cert =
                x509_make(&(struct x509_options) { .key_usage = "critical,digitalSignature,keyEncipherment",
                                                   .extended_key_usage = "serverAuth" });

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ck_assert_msg(agree(client_of(cases[i].version, cases[i].client),
                                    server_of(&cert, cases[i].server)) == cases[i].agree,
                              "case %zu", i);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("handshake");

        x509_key(0);
        TEST_CASE(suite, ecdhe_and_tls_1_3_remain);
        TEST_CASE(suite, what_the_machine_forbids_stays_forbidden);
        TEST_CASE(suite, security_level_stays);
        TEST_CASE(suite, server_gets_no_other_exchange);
        return test_run(suite);
}
