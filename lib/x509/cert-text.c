/*
 * The texts that people hand over: where certificates are in them, and what a text is that has none. Nothing
 * but blocks of certificates is ever decoded.
 */

#include "lib/x509/cert-text.h"

#include <ctype.h>
#include <stdio.h>

#include "lib/x509/openssl-util.h"

#define DASHES "-----"
#define BEGIN  DASHES "BEGIN "
#define END    DASHES "END "

/* --- Reading --- */

static const char *find_text(const char *pem, size_t size, const char *text) {
        return memmem(pem, size, text, strlen(text));
}

static bool ends_with(const char *start, const char *at, const char *text) {
        size_t length = strlen(text);

        return (size_t)(at - start) >= length && memcmp(at - length, text, length) == 0;
}

/* A block begins with its line; or with the text, behind a byte order mark; or behind a block whose last line
 * has no end. */
static bool may_begin(const struct cert_text *text, const char *at) {
        static const char bom[] = "\xef\xbb\xbf";

        return at == text->start || at[-1] == '\n' || at[-1] == '\r' || ends_with(text->start, at, "-----") ||
               ((size_t)(at - text->start) == strlen(bom) && ends_with(text->start, at, bom));
}

/* The label of the block that begins at AT, where it is a certificate's; or NULL. */
static const char *certificate_label(const char *at, const char *end) {
        static const char *const labels[] = { PEM_STRING_X509, PEM_STRING_X509_OLD, PEM_STRING_X509_TRUSTED };

        at += strlen(BEGIN);
        for (size_t i = 0; i < ELEMENTSOF(labels); i++) {
                size_t length = strlen(labels[i]);

                if ((size_t)(end - at) >= length + strlen(DASHES) && memcmp(at, labels[i], length) == 0 &&
                    memcmp(at + length, DASHES, strlen(DASHES)) == 0)
                        return labels[i];
        }
        return NULL;
}

bool cert_text_next(struct cert_text *text, const char **ret_block, size_t *ret_size) {
        const char *begin, *end, *label;
        char last[64];

        while ((begin = find_text(text->at, (size_t)(text->end - text->at), BEGIN))) {
                text->at = begin + strlen(BEGIN);
                label = may_begin(text, begin) ? certificate_label(begin, text->end) : NULL;
                if (!label)
                        continue;
                snprintf(last, sizeof(last), END "%s" DASHES, label);
                end = find_text(text->at, (size_t)(text->end - text->at), last);
                text->at = end ? end + strlen(last) : text->end;
                *ret_block = begin;
                *ret_size = (size_t)(text->at - begin);
                return true;
        }
        return false;
}

long cert_text_der_size(const char *label, const unsigned char *der, long size) {
        const unsigned char *content = der;
        int tag, class;
        long length;

        if (!streq(label, PEM_STRING_X509_TRUSTED))
                return size;
        if (ASN1_get_object(&content, &length, &tag, &class, size) & 0x80) {
                ERR_clear_error();
                return size;
        }
        return content - der + length;
}

/* --- What a text without certificates is --- */

/* What it starts with, once decoded; enough for a label. */
static bool is_base64_of_pem(const char *pem, size_t size) {
        static const char expected[] = "LS0tLS1CRUdJTi"; /* "-----BEGIN" */

        while (size > 0 && isspace((unsigned char)*pem)) {
                pem++;
                size--;
        }
        return size >= strlen(expected) && memcmp(pem, expected, strlen(expected)) == 0;
}

/* The base64 of a DER SEQUENCE of 256 bytes or more. */
static bool is_bare_base64(const char *pem, size_t size) {
        return size > 4 && memcmp(pem, "MII", 3) == 0;
}

static bool is_der(const char *pem, size_t size) {
        return size > 4 && pem[0] == 0x30 && (unsigned char)pem[1] == 0x82;
}

static bool is_utf16(const char *pem, size_t size) {
        return size > 2 && (memcmp(pem, "\xff\xfe", 2) == 0 || memcmp(pem, "\xfe\xff", 2) == 0);
}

static bool is_pkcs7(const char *pem, size_t size) {
        return find_text(pem, size, BEGIN "PKCS7");
}

static bool is_request(const char *pem, size_t size) {
        return find_text(pem, size, BEGIN "CERTIFICATE REQUEST") ||
               find_text(pem, size, BEGIN "NEW CERTIFICATE REQUEST");
}

static bool is_key(const char *pem, size_t size) {
        return find_text(pem, size, "PRIVATE KEY-----");
}

static bool is_empty(const char *pem, size_t size) {
        for (size_t i = 0; i < size; i++)
                if (!isspace((unsigned char)pem[i]))
                        return false;
        return true;
}

const char *cert_text_kind(const char *pem, size_t size) {
        static const struct {
                bool (*is)(const char *pem, size_t size);
                const char *kind;
        } kinds[] = {
                { is_empty, "it is empty" },
                { is_base64_of_pem,
                  "it is base64 of PEM, as a Connector's reply has it: decode it with `base64 -d`" },
                { is_bare_base64,
                  "it is base64 without the lines 'BEGIN CERTIFICATE' and 'END CERTIFICATE'" },
                { is_der,
                  "it is binary, maybe DER or PKCS#12: convert it with `openssl x509` or `openssl pkcs12`" },
                { is_utf16, "it is UTF-16: convert it to plain text" },
                { is_pkcs7, "it is PKCS#7: convert it with `openssl pkcs7 -print_certs`" },
                { is_request, "it is a certificate signing request" },
                { is_key, "it is a private key" },
        };

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                if (kinds[i].is(pem, size))
                        return kinds[i].kind;
        return "a PEM block 'BEGIN CERTIFICATE' is expected";
}
