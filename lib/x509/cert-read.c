/*
 * Reading certificates. A certificate whose facts cannot be read is refused here. Those that were read last
 * are in a cache, since the same few come repeatedly.
 */

#include <openssl/x509v3.h>

#include "lib/x509/cert-cache.h"
#include "lib/x509/cert-rsa.h"
#include "lib/x509/cert-text.h"
#include "lib/x509/key-cost.h"
#include "lib/x509/openssl-util.h"
#include "lib/x509/pem-text.h"

static int read_time(const ASN1_TIME *time, usec_t *ret) {
        struct tm tm;
        time_t seconds;

        if (ASN1_TIME_to_tm(time, &tm) != 1)
                return -EINVAL;
        seconds = timegm(&tm);
        *ret = seconds <= 0 ? 0 : (usec_t)seconds * USEC_PER_SEC;
        return 0;
}

/* RFC 5280 section 4.1.2.5: this notAfter means that there is no expiry. */
static bool is_no_expiry(const ASN1_TIME *time) {
        static const char never[] = "99991231235959Z";

        return ASN1_STRING_length(time) == sizeof(never) - 1 &&
               memcmp(ASN1_STRING_get0_data(time), never, sizeof(never) - 1) == 0;
}

static int read_validity(struct cert_facts *facts, struct error *error) {
        const ASN1_TIME *not_after = X509_get0_notAfter(facts->handle);

        if (read_time(X509_get0_notBefore(facts->handle), &facts->not_before) < 0)
                return openssl_error(error, -EINVAL, "its notBefore is not a valid time");
        if (read_time(not_after, &facts->not_after) < 0)
                return openssl_error(error, -EINVAL, "its notAfter is not a valid time");
        if (is_no_expiry(not_after))
                facts->not_after = USEC_INFINITY;
        return 0;
}

static int no_sha256(struct error *error, int r) {
        return error_set(error, r, "it cannot be hashed: OpenSSL does not provide SHA-256");
}

static int read_spki(struct cert_facts *facts, struct error *error) {
        unsigned char *spki = NULL;
        int spki_size, r;

        spki_size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(facts->handle), &spki);
        if (spki_size <= 0)
                return openssl_error(error, -EINVAL, "its public key cannot be read");
        r = sha256(spki, (size_t)spki_size, facts->spki);
        OPENSSL_free(spki);
        return r < 0 ? no_sha256(error, r) : 0;
}

/* Before anything is computed with it. With a key that OpenSSL does not know nothing ever is. */
static int check_key(const struct cert_facts *facts, struct error *error) {
        const EVP_PKEY *key = X509_get0_pubkey(facts->handle);

        ERR_clear_error();
        return key ? key_cost_check(key, error) : 0;
}

static int read_extensions(struct cert_facts *facts, struct error *error) {
        uint32_t flags = X509_get_extension_flags(facts->handle); /* also computes what chain.c relies on */

        if (flags & EXFLAG_INVALID)
                return openssl_error(error, -EINVAL,
                                     "it has an extension that is damaged or contradicts another");
        facts->ca = flags & EXFLAG_CA;
        facts->client_auth =
                !(flags & EXFLAG_XKUSAGE) || X509_get_extended_key_usage(facts->handle) & XKU_SSL_CLIENT;
        facts->self_signed = X509_self_signed(facts->handle, 1) == 1;
        if (openssl_lacked_memory() && !facts->self_signed)
                return error_set_errno(error, -ENOMEM, "its signature cannot be verified");
        return 0;
}

static void cert_facts_clear(struct cert_facts *facts) {
        X509_free(facts->handle);
}

static int read_facts(const unsigned char *der, long size, struct cert_facts *facts, struct error *error) {
        const unsigned char *end = der + size;
        int r;

        facts->handle = rsa_cert_read(der, size);
        if (!facts->handle) {
                end = der;
                facts->handle = d2i_X509(NULL, &end, size);
        }
        if (!facts->handle)
                return openssl_error(error, -EINVAL, "it is damaged");
        if (end != der + size)
                return error_set(error, -EINVAL, "there are %td bytes after it in its PEM block",
                                 der + size - end);

        r = read_validity(facts, error);
        if (r == 0)
                r = read_spki(facts, error);
        if (r == 0)
                r = check_key(facts, error);
        if (r == 0)
                r = read_extensions(facts, error);
        return r;
}

static int cert_from_der(const unsigned char *der, long size, struct cert **ret, struct error *error) {
        _cleanup_(cert_facts_clear) struct cert_facts facts = { 0 };
        struct cert *cert;
        int r;

        r = sha256(der, (size_t)size, facts.fingerprint);
        if (r < 0)
                return no_sha256(error, r);
        cert = cert_cache_find(facts.fingerprint);
        if (!cert) {
                r = read_facts(der, size, &facts, error);
                if (r < 0)
                        return r;
                cert = cert_new(&facts);
                facts.handle = NULL;
                if (!cert)
                        return error_set_errno(error, -ENOMEM, "it cannot be kept");
                cert_cache_keep(cert);
        }
        *ret = cert;
        return 0;
}

static int parse_block(const char *pem, size_t size, size_t number, struct cert **ret, struct error *error) {
        _cleanup_(pem_block_clear) struct pem_block block = { 0 };
        _cleanup_(BIO_freep) BIO *text = BIO_new_mem_buf(pem, (int)size);
        int r;

        if (!text)
                return error_set_errno(error, -ENOMEM, "cannot read certificates");
        if (pem_block_next(text, &block) <= 0)
                return openssl_error(error, -EINVAL, "the PEM is damaged after %zu certificates", number - 1);
        r = cert_from_der(block.data, cert_text_der_size(block.name, block.data, block.size), ret, error);
        if (r < 0)
                error_prefix(error, "certificate %zu cannot be read", number);
        return r;
}

/* How many certificates a text may have, and how many bytes. */
struct limits {
        size_t n, size;
};

static int parse_text(const char *pem, size_t size, struct limits max, struct cert_list *ret,
                      struct error *error) {
        _cleanup_(cert_list_clear) struct cert_list list = { 0 };
        struct cert_text text = { .start = pem, .at = pem, .end = pem + size };
        const char *block;
        size_t block_size;
        int r;

        if (size > max.size)
                return error_set(error, -E2BIG, "the text is larger than %zu KiB", max.size / 1024);
        list.items = calloc(max.n, sizeof(list.items[0]));
        if (!list.items)
                return error_set_errno(error, -ENOMEM, "cannot read certificates");

        while (cert_text_next(&text, &block, &block_size)) {
                if (list.n == max.n)
                        return error_set(error, -E2BIG, "there are more than %zu certificates", max.n);
                r = parse_block(block, block_size, list.n + 1, &list.items[list.n], error);
                if (r < 0)
                        return r;
                list.n++;
        }
        if (list.n == 0)
                return error_set(error, -EINVAL, "no certificate: %s",
                                 pem_text_kind(pem, size, PEM_CERTIFICATE));

        *ret = list;
        list = (struct cert_list) { 0 };
        return 0;
}

int cert_list_parse(const char *pem, size_t size, struct cert_list *ret, struct error *error) {
        return parse_text(pem, size, (struct limits) { CERT_LIST_MAX, CERT_PEM_MAX }, ret, error);
}

int cert_bundle_parse(const char *pem, size_t size, struct cert_list *ret, struct error *error) {
        return parse_text(pem, size, (struct limits) { CERT_BUNDLE_MAX, CERT_BUNDLE_PEM_MAX }, ret, error);
}
