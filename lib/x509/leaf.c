/*
 * Two CA certificates of one key accept the same leaves, so an ordinary leaf cannot tell which of them a
 * gateway has. A leaf whose authority key identifier has issuer and serial number can: RFC 5280 section
 * 4.2.1.1, as OpenSSL enforces it.
 */

#include "lib/x509/leaf.h"

#include <openssl/x509v3.h>

#include "lib/x509/x509-fields.h"

static int add_extension(X509 *leaf, X509 *issuer, int nid, const char *value) {
        X509_EXTENSION *extension;
        X509V3_CTX context;
        int r;

        X509V3_set_ctx(&context, issuer, leaf, NULL, NULL, 0);
        extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
        if (!extension)
                return -EIO;
        r = X509_add_ext(leaf, extension, -1) == 1 ? 0 : -EIO;
        X509_EXTENSION_free(extension);
        return r;
}

/* An issuer without a key identifier cannot be named by it. */
static const char *authority_of(const struct leaf_terms *terms) {
        const bool has_id = X509_get0_subject_key_id(cert_handle(terms->issuer)) != NULL;

        if (terms->mark == LEAF_BY_CERTIFICATE)
                return has_id ? "keyid:always,issuer:always" : "issuer:always";
        return has_id ? "keyid:always" : NULL;
}

static int fill(X509 *leaf, const struct leaf_terms *terms, X509_NAME *name) {
        X509 *issuer = cert_handle(terms->issuer);
        const char *authority = authority_of(terms);

        if (X509_set_version(leaf, X509_VERSION_3) != 1 || x509_set_serial(leaf) < 0 ||
            x509_set_time(X509_getm_notBefore(leaf), terms->not_before) < 0 ||
            x509_set_time(X509_getm_notAfter(leaf), terms->not_after) < 0 ||
            X509_set_issuer_name(leaf, X509_get_subject_name(issuer)) != 1 ||
            X509_set_subject_name(leaf, name) != 1 || X509_set_pubkey(leaf, key_handle(terms->key)) != 1)
                return -EIO;
        if (add_extension(leaf, issuer, NID_key_usage, "critical,digitalSignature") < 0 ||
            add_extension(leaf, issuer, NID_ext_key_usage, "clientAuth") < 0)
                return -EIO;
        return authority ? add_extension(leaf, issuer, NID_authority_key_identifier, authority) : 0;
}

int leaf_make(const struct leaf_terms *terms, char **ret_pem, struct error *error) {
        _cleanup_(X509_freep) X509 *leaf = X509_new();
        _cleanup_(X509_NAME_freep) X509_NAME *name = NULL;
        int r;

        r = subject_to_name(terms->subject, &name, error);
        if (r < 0)
                return r;
        if (!leaf || fill(leaf, terms, name) < 0 ||
            X509_sign(leaf, key_handle(terms->issuer_key), EVP_sha256()) <= 0)
                return openssl_error(error, -EIO, "cannot make a probe leaf");
        r = x509_write_pem(leaf, ret_pem);
        return r < 0 ? openssl_error(error, r, "cannot write a probe leaf") : 0;
}
