/*
 * Certificates for tests. Keys are few and shared, because making them is what takes time; everything else
 * about a certificate can be chosen. Serial numbers are all 2 unless asked otherwise, so that a test notices
 * when the code under test trusts them.
 */

#include "tests/support/x509.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "tests/support/must.h"
#include "tests/support/quick-keys/quick-key.h"

static bool forks(void) {
        return !streq_null(getenv("CK_FORK"), "no");
}

EVP_PKEY *x509_key(unsigned i) {
        static EVP_PKEY *keys[X509_KEYS_MAX];

        must(i < X509_KEYS_MAX);
        /* Without forks each is made once anyway, and under valgrind one takes ten seconds. */
        for (unsigned k = forks() ? 0 : i; k <= i; k++)
                if (!keys[k])
                        must(keys[k] = quick_key(2048));
        return keys[i];
}

static char *bio_text(BIO *bio) {
        char *data, *text;
        long size = BIO_get_mem_data(bio, &data);

        must(text = strndup(data, (size_t)size));
        BIO_free(bio);
        return text;
}

char *x509_key_pem(EVP_PKEY *key) {
        BIO *bio = BIO_new(BIO_s_mem());

        must(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
        return bio_text(bio);
}

char *x509_damaged_key_pem(EVP_PKEY *public, EVP_PKEY *private) {
        static const char *const members[] = {
                OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,
                OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_FACTOR1,
                OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_EXPONENT1,
                OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
        };
        EVP_PKEY_CTX *maker = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
        OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
        BIGNUM *numbers[ELEMENTSOF(members)] = { NULL };
        OSSL_PARAM *parameters;
        EVP_PKEY *key = NULL;
        char *pem;

        for (size_t i = 0; i < ELEMENTSOF(members); i++) {
                must(EVP_PKEY_get_bn_param(i < 2 ? public : private, members[i], &numbers[i]) == 1);
                must(OSSL_PARAM_BLD_push_BN(builder, members[i], numbers[i]) == 1);
        }
        must(parameters = OSSL_PARAM_BLD_to_param(builder));
        must(EVP_PKEY_fromdata_init(maker) == 1);
        must(EVP_PKEY_fromdata(maker, &key, EVP_PKEY_KEYPAIR, parameters) == 1);
        pem = x509_key_pem(key);

        for (size_t i = 0; i < ELEMENTSOF(members); i++)
                BN_free(numbers[i]);
        EVP_PKEY_free(key);
        OSSL_PARAM_free(parameters);
        OSSL_PARAM_BLD_free(builder);
        EVP_PKEY_CTX_free(maker);
        return pem;
}

void x509_cert_clear(struct x509_cert *cert) {
        X509_free(cert->handle);
        free(cert->pem);
        *cert = (struct x509_cert) { 0 };
}

static void set_subject(X509 *cert, const char *subject) {
        _cleanup_(freep) char *copy = strdup(subject);
        char *rest = NULL;

        for (char *name = strtok_r(copy, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
                char *value = strchr(name, '=');

                must(value);
                *value++ = '\0';
                must(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), name, MBSTRING_UTF8,
                                                (unsigned char *)value, -1, -1, 0) == 1);
        }
}

static void set_time(const ASN1_TIME *slot, usec_t when) {
        const time_t sec = (time_t)(when / USEC_PER_SEC);
        char text[] = "99991231235959Z";
        struct tm tm;

        if (when != USEC_INFINITY)
                must(gmtime_r(&sec, &tm) && strftime(text, sizeof(text), "%Y%m%d%H%M%SZ", &tm) > 0);
        must(ASN1_TIME_set_string_X509((ASN1_TIME *)slot, text) == 1);
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value, const char *fallback) {
        X509_EXTENSION *extension;
        X509V3_CTX context;

        if (!value)
                value = fallback;
        if (strempty(value))
                return;
        X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
        must(extension = X509V3_EXT_conf_nid(NULL, &context, nid, value));
        must(X509_add_ext(cert, extension, -1) == 1);
        X509_EXTENSION_free(extension);
}

struct x509_cert x509_make(const struct x509_options *o) {
        struct x509_cert cert = { .key = o->key ? o->key : x509_key(o->ca ? 1 : 0) };
        usec_t life = o->ca ? 3650 * USEC_PER_DAY : 90 * USEC_PER_DAY;
        X509 *x, *issuer;
        BIO *bio = BIO_new(BIO_s_mem());

        must(x = cert.handle = X509_new());
        issuer = o->issuer ? o->issuer->handle : x;
        must(X509_set_version(x, X509_VERSION_3) == 1);
        must(ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), o->serial ? o->serial : 2) == 1);
        set_subject(x, o->subject ? o->subject : o->ca ? "CN=CA" : "CN=leaf");
        must(X509_set_issuer_name(x, X509_get_subject_name(issuer)) == 1);
        set_time(X509_get0_notBefore(x), o->not_before ? o->not_before : X509_NOW - USEC_PER_DAY);
        set_time(X509_get0_notAfter(x), o->not_after ? o->not_after : X509_NOW + life);
        must(X509_set_pubkey(x, cert.key) == 1);

        add_extension(x, issuer, NID_basic_constraints, o->basic_constraints,
                      o->ca ? "critical,CA:TRUE" : NULL);
        add_extension(x, issuer, NID_key_usage, o->key_usage,
                      o->ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
        add_extension(x, issuer, NID_ext_key_usage, o->extended_key_usage, o->ca ? NULL : "clientAuth");
        add_extension(x, issuer, NID_subject_key_identifier, NULL, o->ca ? "hash" : NULL);
        add_extension(x, issuer, NID_authority_key_identifier, o->authority_key_id,
                      X509_get_ext_by_NID(issuer, NID_subject_key_identifier, -1) >= 0 ? "keyid" : NULL);
        add_extension(x, issuer, NID_subject_alt_name, o->subject_alternatives, NULL);
        add_extension(x, issuer, NID_name_constraints, o->name_constraints, NULL);

        must(X509_sign(x, o->issuer ? o->issuer->key : cert.key, o->digest ? o->digest : EVP_sha256()) > 0);
        must(PEM_write_bio_X509(bio, x) == 1);
        cert.pem = bio_text(bio);
        return cert;
}

char *x509_join(const struct x509_cert *const *certs, size_t n) {
        char *text = NULL;
        size_t size;
        FILE *stream = open_memstream(&text, &size);

        must(stream);
        for (size_t i = 0; i < n; i++)
                fputs(certs[i]->pem, stream);
        must(fclose(stream) == 0);
        return text;
}
