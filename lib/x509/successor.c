/*
 * `openssl req -new -x509` with the same typed name does not make the same CA: it may encode the name in
 * another way, and computes another key identifier. Verifiers compare bytes, so the old leaves are lost then.
 * Here the old certificate is duplicated, and the little that must differ is replaced in it.
 */

#include "lib/x509/successor.h"

#include <openssl/x509v3.h>

#include "lib/x509/x509-fields.h"

DEFINE_OPENSSL_CLEANUP(ASN1_OCTET_STRING, ASN1_OCTET_STRING_free);
DEFINE_OPENSSL_CLEANUP(AUTHORITY_KEYID, AUTHORITY_KEYID_free);
DEFINE_OPENSSL_CLEANUP(X509_EXTENSION, X509_EXTENSION_free);

static int refuse(struct error *error, const char *why) {
        return error_set(error, -EINVAL, "the CA certificate cannot be made again: %s", why);
}

static int check(const struct cert *old, const struct key *key, struct error *error) {
        const EVP_PKEY *its = X509_get0_pubkey(cert_handle(old));

        if (!cert_is_ca(old))
                return refuse(error, "it has no basicConstraints with CA:TRUE");
        if (!cert_is_self_signed(old))
                return refuse(error, "another CA has issued it, and only that one can");
        if (!its || EVP_PKEY_get_base_id(its) != EVP_PKEY_RSA || !key_is_rsa(key))
                return refuse(error, "its key is not RSA, and a Connector cannot sign with another");
        return 0;
}

/* --- Extensions --- */

/* Puts VALUE in the place of the extension NID, at the end where there is none. */
static int replace_extension(X509 *handle, int nid, void *value) {
        const int place = X509_get_ext_by_NID(handle, nid, -1);
        const int critical = place >= 0 ? X509_EXTENSION_get_critical(X509_get_ext(handle, place)) : 0;
        _cleanup_(X509_EXTENSION_freep) X509_EXTENSION *extension = X509V3_EXT_i2d(nid, critical, value);

        if (!extension)
                return -EIO;
        if (place >= 0)
                X509_EXTENSION_free(X509_delete_ext(handle, place));
        return X509_add_ext(handle, extension, place) == 1 ? 0 : -EIO;
}

/* RFC 5280 section 4.2.1.2, method 1. */
static int make_key_id(X509 *handle, ASN1_OCTET_STRING **ret) {
        _cleanup_(ASN1_OCTET_STRING_freep) ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
        unsigned char hash[EVP_MAX_MD_SIZE];
        unsigned size = 0;

        if (!id || X509_pubkey_digest(handle, EVP_sha1(), hash, &size) != 1 ||
            ASN1_OCTET_STRING_set(id, hash, (int)size) != 1)
                return -EIO;
        *ret = take_ptr(id);
        return 0;
}

static int set_subject_id(X509 *handle) {
        _cleanup_(ASN1_OCTET_STRING_freep) ASN1_OCTET_STRING *id = NULL;

        if (make_key_id(handle, &id) < 0)
                return -EIO;
        return replace_extension(handle, NID_subject_key_identifier, id);
}

/* It names the certificate itself: by its key, or not at all. */
static int set_authority_id(X509 *handle) {
        _cleanup_(AUTHORITY_KEYID_freep) AUTHORITY_KEYID *id = AUTHORITY_KEYID_new();
        _cleanup_(ASN1_OCTET_STRING_freep) ASN1_OCTET_STRING *own =
                X509_get_ext_d2i(handle, NID_subject_key_identifier, NULL, NULL);
        const int place = X509_get_ext_by_NID(handle, NID_authority_key_identifier, -1);

        if (place < 0)
                return 0;
        if (!own) {
                X509_EXTENSION_free(X509_delete_ext(handle, place));
                return 0;
        }
        if (!id)
                return -EIO;
        id->keyid = take_ptr(own);
        return replace_extension(handle, NID_authority_key_identifier, id);
}

static bool names_serial(const X509 *handle) {
        _cleanup_(AUTHORITY_KEYID_freep) AUTHORITY_KEYID *id =
                X509_get_ext_d2i(handle, NID_authority_key_identifier, NULL, NULL);

        return id && (id->issuer || id->serial);
}

static int set_ids(X509 *handle, bool is_same_key) {
        int r = 0;

        if (!is_same_key)
                r = set_subject_id(handle);
        if (r == 0 && (!is_same_key || names_serial(handle)))
                r = set_authority_id(handle);
        return r;
}

/* --- The certificate --- */

static const EVP_MD *digest_like(X509 *old) {
        int nid = NID_undef;

        (void)X509_get_signature_info(old, &nid, NULL, NULL, NULL);
        return nid == NID_sha512 ? EVP_sha512() : nid == NID_sha384 ? EVP_sha384() : EVP_sha256();
}

/* HANDLE as OpenSSL would read it from a file: it caches what a copy had before. */
static int read_back(X509 *handle, struct cert **ret, struct error *error) {
        _cleanup_(cert_list_clear) struct cert_list list = { 0 };
        _cleanup_(freep) char *pem = NULL;
        int r;

        r = x509_write_pem(handle, &pem);
        if (r < 0)
                return openssl_error(error, r, "cannot write the new CA certificate");
        r = cert_list_parse(pem, strlen(pem), &list, error);
        if (r < 0)
                return r;
        *ret = take_ptr(list.items[0]);
        return 0;
}

int successor_make(const struct cert *old, const struct key *key, const struct successor_terms *terms,
                   struct cert **ret, struct error *error) {
        _cleanup_(X509_freep) X509 *handle = NULL;
        uint8_t before[SPKI_HASH_SIZE], after[SPKI_HASH_SIZE];
        int r;

        r = check(old, key, error);
        if (r < 0)
                return r;
        cert_spki(old, before);
        key_spki(key, after);
        handle = X509_dup(cert_handle(old));
        if (!handle || x509_set_serial(handle) < 0 ||
            x509_set_time(X509_getm_notBefore(handle), terms->not_before) < 0 ||
            x509_set_time(X509_getm_notAfter(handle), terms->not_after) < 0 ||
            X509_set_pubkey(handle, key_handle(key)) != 1 ||
            set_ids(handle, memcmp(before, after, sizeof(before)) == 0) < 0 ||
            X509_sign(handle, key_handle(key), digest_like(cert_handle(old))) <= 0)
                return openssl_error(error, -EIO, "cannot make the CA certificate again");
        return read_back(handle, ret, error);
}

static bool same_key_id(const struct cert *a, const struct cert *b) {
        const ASN1_OCTET_STRING *x = X509_get0_subject_key_id(cert_handle(a)),
                                *y = X509_get0_subject_key_id(cert_handle(b));

        return x && y ? ASN1_OCTET_STRING_cmp(x, y) == 0 : x == y;
}

static bool same_name_bytes(const struct cert *a, const struct cert *b) {
        const unsigned char *x, *y;
        size_t n = 0, m = 0;

        return X509_NAME_get0_der(X509_get_subject_name(cert_handle(a)), &x, &n) == 1 &&
               X509_NAME_get0_der(X509_get_subject_name(cert_handle(b)), &y, &m) == 1 && n == m &&
               memcmp(x, y, n) == 0;
}

bool successor_carries(const struct cert *old, const struct cert *new) {
        uint8_t before[SPKI_HASH_SIZE], after[SPKI_HASH_SIZE];

        cert_spki(old, before);
        cert_spki(new, after);
        return memcmp(before, after, sizeof(before)) == 0 && same_key_id(old, new) &&
               same_name_bytes(old, new);
}
