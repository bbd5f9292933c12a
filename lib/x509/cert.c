/*
 * What a certificate says. Every fact was read once, by cert-read.c: what exists as a struct cert can be
 * asked without a way to fail.
 *
 * A certificate is known by its SHA-256 fingerprint and its key by its SPKI. Serial numbers say nothing here:
 * the Connector gives every certificate the number 2.
 */

#include "lib/x509/cert.h"

#include <openssl/x509v3.h>
#include <stdio.h>

#include "lib/x509/openssl-util.h"

struct cert {
        struct cert_facts facts;
};

struct cert *cert_new(const struct cert_facts *facts) {
        struct cert *cert = malloc(sizeof(*cert));

        if (!cert) {
                X509_free(facts->handle);
                return NULL;
        }
        cert->facts = *facts;
        return cert;
}

struct cert *cert_free(struct cert *cert) {
        if (!cert)
                return NULL;
        X509_free(cert->facts.handle);
        free(cert);
        return NULL;
}

void cert_list_clear(struct cert_list *list) {
        for (size_t i = 0; i < list->n; i++)
                cert_free(list->items[i]);
        free(list->items);
        *list = (struct cert_list) { 0 };
}

usec_t cert_not_before(const struct cert *cert) {
        return cert->facts.not_before;
}

usec_t cert_not_after(const struct cert *cert) {
        return cert->facts.not_after;
}

bool cert_is_ca(const struct cert *cert) {
        return cert->facts.ca;
}

bool cert_is_self_signed(const struct cert *cert) {
        return cert->facts.self_signed;
}

bool cert_allows_client_auth(const struct cert *cert) {
        return cert->facts.client_auth;
}

void cert_fingerprint(const struct cert *cert, uint8_t ret[FINGERPRINT_SIZE]) {
        memcpy(ret, cert->facts.fingerprint, FINGERPRINT_SIZE);
}

void cert_spki(const struct cert *cert, uint8_t ret[SPKI_HASH_SIZE]) {
        memcpy(ret, cert->facts.spki, SPKI_HASH_SIZE);
}

bool cert_equal(const struct cert *a, const struct cert *b) {
        return memcmp(a->facts.fingerprint, b->facts.fingerprint, FINGERPRINT_SIZE) == 0;
}

int cert_subject(const struct cert *cert, struct subject **ret, struct error *error) {
        return subject_from_name(X509_get_subject_name(cert->facts.handle), ret, error);
}

static char *name_text(const X509_NAME *name) {
        _cleanup_(subject_freep) struct subject *subject = NULL;

        if (subject_from_name(name, &subject, NULL) < 0)
                return strdup("(unreadable)");
        return subject_format(subject);
}

char *cert_subject_text(const struct cert *cert) {
        return name_text(X509_get_subject_name(cert->facts.handle));
}

char *cert_issuer_text(const struct cert *cert) {
        return name_text(X509_get_issuer_name(cert->facts.handle));
}

/* EdDSA has one size of keys for each name. */
const char *cert_key_text(const struct cert *cert, char buffer[CERT_KEY_TEXT]) {
        const EVP_PKEY *key = X509_get0_pubkey(cert->facts.handle);
        const char *type = key ? EVP_PKEY_get0_type_name(key) : NULL;

        ERR_clear_error();
        if (!type)
                snprintf(buffer, CERT_KEY_TEXT, "unknown");
        else if (has_prefix(type, "ED"))
                snprintf(buffer, CERT_KEY_TEXT, "%s", type);
        else
                snprintf(buffer, CERT_KEY_TEXT, "%.12s-%d", type, EVP_PKEY_get_bits(key));
        for (char *c = buffer; *c; c++)
                if (*c >= 'A' && *c <= 'Z')
                        *c = (char)(*c - 'A' + 'a');
        return buffer;
}

char *cert_serial_text(const struct cert *cert) {
        const ASN1_INTEGER *serial = X509_get0_serialNumber(cert->facts.handle);
        size_t size = (size_t)ASN1_STRING_length(serial);
        bool is_negative = ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER;
        char *text = malloc(1 + 2 * size + 1);

        if (!text)
                return NULL;
        if (is_negative)
                text[0] = '-';
        hex_format(text + is_negative, ASN1_STRING_get0_data(serial), size);
        return text;
}

bool cert_is_issued_by(const struct cert *child, const struct cert *issuer) {
        EVP_PKEY *key = X509_get0_pubkey(issuer->facts.handle);
        bool issued;

        issued = key && X509_check_issued(issuer->facts.handle, child->facts.handle) == X509_V_OK &&
                 X509_verify(child->facts.handle, key) == 1;
        ERR_clear_error();
        return issued;
}

const char *hex_format(char *buffer, const uint8_t *bytes, size_t size) {
        static const char digits[] = "0123456789abcdef";

        for (size_t i = 0; i < size; i++) {
                buffer[2 * i] = digits[bytes[i] >> 4];
                buffer[2 * i + 1] = digits[bytes[i] & 0xf];
        }
        buffer[2 * size] = '\0';
        return buffer;
}

X509 *cert_handle(const struct cert *cert) {
        return cert->facts.handle;
}

struct cert *cert_ref(const struct cert *cert) {
        X509_up_ref(cert->facts.handle);
        return cert_new(&cert->facts);
}
