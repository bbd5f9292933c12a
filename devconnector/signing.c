/*
 * What the Connector checks of a CSR, in its order and in its words: base64, PEM (the label does not matter),
 * syntax, the CSR's own signature, then the subject, attribute by attribute. The subject of the leaf is
 * rebuilt the way Go does it: known attributes in a fixed order, several values of one kind in one set,
 * everything else dropped.
 */

#include "devconnector/signing.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include "lib/util/base64.h"

void signing_request_clear(struct signing_request *request) {
        X509_REQ_free(request->csr);
        X509_NAME_free(request->subject);
        *request = (struct signing_request) { 0 };
}

/* Go's decoder passes over CR and LF, and nothing else. */
static int decode(const char *base64, size_t size, char **ret_pem, size_t *ret_size) {
        _cleanup_(freep) char *line = malloc(size + 1);
        size_t n = 0;

        if (!line)
                return -ENOMEM;
        for (size_t i = 0; i < size; i++)
                if (base64[i] != '\r' && base64[i] != '\n')
                        line[n++] = base64[i];
        return base64_decode(line, n, ret_pem, ret_size);
}

/* The attributes that the Connector compares: its words for them, in its order. */
static const struct {
        int nid;
        const char *key;
        const char *word;
} checked[] = {
        { NID_commonName, "CN", "common name" },
        { NID_countryName, "C", "country" },
        { NID_organizationName, "O", "organization" },
        { NID_organizationalUnitName, "OU", "organizational unit" },
        { NID_localityName, "L", "locality" },
        { NID_stateOrProvinceName, "ST", "province" },
};

/* What a leaf's subject is made of, in the order seen in real leaves. A single one keeps its last value only.
 */
static const struct {
        int nid;
        bool single;
} kept[] = {
        { NID_countryName, false },
        { NID_stateOrProvinceName, false },
        { NID_localityName, false },
        { NID_streetAddress, false },
        { NID_postalCode, false },
        { NID_organizationName, false },
        { NID_organizationalUnitName, false },
        { NID_commonName, true },
        { NID_serialNumber, true },
};

/* The value of KEY in "O=Org,OU=OrgUnit,...", which has no escaping; "" when it is missing. */
static void expected_value(const char *expected, const char *key, const char **ret, size_t *ret_size) {
        size_t key_size = strlen(key);

        for (const char *item = expected; *item;) {
                const size_t size = pki_attribute_size(item);

                if (has_prefix(item, key) && item[key_size] == '=') {
                        *ret = item + key_size + 1;
                        *ret_size = size - key_size - 1;
                        return;
                }
                item += size;
                item += *item == ',';
        }
        *ret = "";
        *ret_size = 0;
}

/* The first value counts, but the last common name: as Go reads a subject. */
static const ASN1_STRING *given_value(const X509_NAME *name, int nid) {
        int index = X509_NAME_get_index_by_NID(name, nid, -1);

        for (int i = index; nid == NID_commonName && i >= 0; i = X509_NAME_get_index_by_NID(name, nid, i))
                index = i;
        return index < 0 ? NULL : X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index));
}

static int check_subject(const X509_NAME *given, const char *expected, struct error *error) {
        for (size_t i = 0; i < ELEMENTSOF(checked); i++) {
                const ASN1_STRING *value = given_value(given, checked[i].nid);
                unsigned char *utf8 = NULL;
                const char *want;
                size_t want_size;
                int n;
                bool same;

                if (!value && checked[i].nid != NID_commonName)
                        return error_set(error, -EINVAL, "CSR: No %s provided.", checked[i].word);
                expected_value(expected, checked[i].key, &want, &want_size);
                n = value ? ASN1_STRING_to_UTF8(&utf8, value) : 0;
                same = n >= 0 && (size_t)n == want_size && (n == 0 || memcmp(utf8, want, want_size) == 0);
                OPENSSL_free(utf8);
                if (!same)
                        return error_set(error, -EINVAL, "CSR: Invalid %s provided.", checked[i].word);
        }
        return 0;
}

/* Go writes a PrintableString wherever the value allows one. */
static int string_type(const unsigned char *text, size_t size) {
        static const char marks[] = " '()+,-./:=?";

        for (size_t i = 0; i < size; i++) {
                unsigned char c = text[i];

                if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      (c != '\0' && strchr(marks, c))))
                        return V_ASN1_UTF8STRING;
        }
        return V_ASN1_PRINTABLESTRING;
}

/* Adds a value to SUBJECT, into the set of the one before when JOIN. */
static int add_value(X509_NAME *subject, int nid, const ASN1_STRING *value, bool join) {
        unsigned char *utf8 = NULL;
        int n = ASN1_STRING_to_UTF8(&utf8, value), ok;

        if (n < 0)
                return -EINVAL;
        ok = X509_NAME_add_entry_by_NID(subject, nid, string_type(utf8, (size_t)n), utf8, n, -1,
                                        join ? -1 : 0);
        OPENSSL_free(utf8);
        return ok == 1 ? 0 : -EINVAL;
}

static int rebuild_subject(const X509_NAME *given, X509_NAME **ret) {
        _cleanup_(X509_NAME_freep) X509_NAME *subject = X509_NAME_new();
        int r;

        if (!subject)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTSOF(kept); i++) {
                bool join = false;

                for (int at = -1; (at = X509_NAME_get_index_by_NID(given, kept[i].nid, at)) >= 0;
                     join = true) {
                        if (kept[i].single && X509_NAME_get_index_by_NID(given, kept[i].nid, at) >= 0)
                                continue;
                        r = add_value(subject, kept[i].nid,
                                      X509_NAME_ENTRY_get_data(X509_NAME_get_entry(given, at)),
                                      join && !kept[i].single);
                        if (r < 0)
                                return r;
                }
        }
        *ret = take_ptr(subject);
        return 0;
}

static int read_pem(const char *pem, size_t size, X509_REQ **ret, struct error *error) {
        _cleanup_(BIO_vfreep) BIO *bio = BIO_new_mem_buf(pem, (int)size);
        char *label = NULL, *header = NULL;
        unsigned char *der = NULL;
        const unsigned char *p;
        long n;
        X509_REQ *csr;

        if (!bio || PEM_read_bio(bio, &label, &header, &der, &n) != 1) {
                ERR_clear_error();
                return error_set(error, -EINVAL, "Error while decoding pem block.");
        }
        OPENSSL_free(label);
        OPENSSL_free(header);

        p = der;
        csr = d2i_X509_REQ(NULL, &p, n);
        OPENSSL_free(der);
        if (!csr) {
                ERR_clear_error();
                return error_set(error, -EINVAL, "Error while parsing CSR: asn1: structure error");
        }
        *ret = csr;
        return 0;
}

/* In Go's words, which name the algorithm. */
static int check_signature(X509_REQ *csr, struct error *error) {
        EVP_PKEY *key = X509_REQ_get0_pubkey(csr);
        int ok = key ? X509_REQ_verify(csr, key) : 0;
        const char *reason = "x509: cannot verify signature: algorithm unimplemented";

        ERR_clear_error();
        if (ok == 1)
                return 0;
        if (key && EVP_PKEY_is_a(key, "RSA"))
                reason = "crypto/rsa: verification error";
        else if (key && EVP_PKEY_is_a(key, "EC"))
                reason = "x509: ECDSA verification failure";
        else if (key && EVP_PKEY_is_a(key, "ED25519"))
                reason = "x509: Ed25519 verification failure";
        return error_set(error, -EINVAL, "CSR signature invalid: %s", reason);
}

int signing_request_read(const char *base64, size_t size, const char *expected, struct signing_request *ret,
                         struct error *error) {
        _cleanup_(signing_request_clear) struct signing_request request = { 0 };
        _cleanup_(freep) char *pem = NULL;
        const X509_NAME *given;
        size_t pem_size;
        int r;

        r = decode(base64, size, &pem, &pem_size);
        if (r < 0)
                return error_set(error, r == -EINVAL ? -EBADMSG : r, "the CSR is not base64");
        r = read_pem(pem, pem_size, &request.csr, error);
        if (r < 0)
                return r;
        r = check_signature(request.csr, error);
        if (r < 0)
                return r;

        given = X509_REQ_get_subject_name(request.csr);
        r = check_subject(given, expected, error);
        if (r < 0)
                return r;
        r = rebuild_subject(given, &request.subject);
        if (r < 0)
                return error_set(error, -EINVAL, "Error while creating certificate: invalid subject");
        *ret = request;
        request = (struct signing_request) { 0 };
        return 0;
}

int signing_request_check_key(const struct signing_request *request, struct error *error) {
        if (EVP_PKEY_is_a(X509_REQ_get0_pubkey(request->csr), "RSA"))
                return 0;
        return error_set(
                error, -EKEYREJECTED,
                "Error while creating certificate: x509: requested SignatureAlgorithm does not match "
                "private key type");
}
