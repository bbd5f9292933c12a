#include "lib/x509/pem-text.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util/base64.h"
#include "lib/util/macro.h"

#define BEGIN "-----BEGIN "

static const char *find(const char *text, size_t size, const char *wanted) {
        return memmem(text, size, wanted, strlen(wanted));
}

static bool starts(const char *text, size_t size, const char *wanted, size_t length) {
        return size >= length && memcmp(text, wanted, length) == 0;
}

static void skip_blanks(const char **text, size_t *size) {
        for (; *size > 0 && isspace((unsigned char)**text); (*size)--)
                (*text)++;
}

/* --- What it is --- */

static bool is_empty(const char *text, size_t size) {
        skip_blanks(&text, &size);
        return size == 0;
}

static bool is_utf16(const char *text, size_t size) {
        return starts(text, size, "\xff\xfe", 2) || starts(text, size, "\xfe\xff", 2);
}

/* What base64 of PEM begins with: of "-----BEGIN". */
static bool is_base64_of_pem(const char *text, size_t size) {
        static const char expected[] = "LS0tLS1CRUdJTi";

        skip_blanks(&text, &size);
        return starts(text, size, expected, strlen(expected));
}

static bool has_escaped_breaks(const char *text, size_t size) {
        return find(text, size, BEGIN) && find(text, size, "-----\\n");
}

static bool is_json(const char *text, size_t size) {
        skip_blanks(&text, &size);
        return size > 0 && (*text == '{' || *text == '[');
}

static bool is_html(const char *text, size_t size) {
        skip_blanks(&text, &size);
        return size > 0 && *text == '<';
}

/* The base64 of a DER SEQUENCE of 256 bytes or more. */
static bool is_bare_base64(const char *text, size_t size) {
        skip_blanks(&text, &size);
        return size > 4 && memcmp(text, "MII", 3) == 0;
}

/* DER: a SEQUENCE of 256 bytes or more, and what is first in it. */
static bool is_der_of(const char *text, size_t size, const char *first, size_t length) {
        return size > 4 + length && starts(text, size, "\x30\x82", 2) && memcmp(text + 4, first, length) == 0;
}

static bool is_pkcs12(const char *text, size_t size) {
        return is_der_of(text, size, "\x02\x01\x03", 3);
}

static bool is_pkcs7_der(const char *text, size_t size) {
        return is_der_of(text, size, "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07", 10);
}

static bool is_key_der(const char *text, size_t size) {
        return is_der_of(text, size, "\x02\x01\x00", 3);
}

static bool is_certificate_der(const char *text, size_t size) {
        return is_der_of(text, size, "\x30", 1);
}

static bool is_binary(const char *text, size_t size) {
        return memchr(text, '\0', size) != NULL;
}

static bool is_openssh_key(const char *text, size_t size) {
        return find(text, size, BEGIN "OPENSSH PRIVATE KEY");
}

static bool is_openssh_public(const char *text, size_t size) {
        return starts(text, size, "ssh-", 4) || starts(text, size, "ecdsa-", 6);
}

static bool is_pkcs7(const char *text, size_t size) {
        return find(text, size, BEGIN "PKCS7") || find(text, size, BEGIN "CMS");
}

static bool is_request(const char *text, size_t size) {
        return find(text, size, BEGIN "CERTIFICATE REQUEST") ||
               find(text, size, BEGIN "NEW CERTIFICATE REQUEST");
}

static bool is_crl(const char *text, size_t size) {
        return find(text, size, BEGIN "X509 CRL");
}

static bool is_key(const char *text, size_t size) {
        return find(text, size, "PRIVATE KEY-----");
}

static bool is_public_key(const char *text, size_t size) {
        return find(text, size, "PUBLIC KEY-----");
}

static bool is_certificate(const char *text, size_t size) {
        return find(text, size, "CERTIFICATE-----");
}

static bool is_parameters(const char *text, size_t size) {
        return find(text, size, "PARAMETERS-----");
}

#define SWAPPED "; are the files of key and certificate swapped?"

static const struct {
        bool (*is)(const char *text, size_t size);
        const char *kinds[2]; /* by what is wanted; NULL: that is no reason */
} kinds[] = {
        { is_empty, { "it is empty", "it is empty" } },
        { is_utf16,
          { "it is UTF-16: convert it with `iconv -f UTF-16 -t UTF-8`",
            "it is UTF-16: convert it with `iconv -f UTF-16 -t UTF-8`" } },
        { is_base64_of_pem,
          { "it is base64 of PEM, as a Connector's reply has it: decode it with `base64 -d`",
            "it is base64 of PEM: decode it with `base64 -d`" } },
        { is_openssh_key,
          { "it is a private key of OpenSSH",
            "it is a private key of OpenSSH: convert it with `ssh-keygen -p -m PKCS8 -f FILE`" } },
        { is_openssh_public, { "it is a public key of OpenSSH", "it is a public key of OpenSSH" } },
        { is_pkcs12,
          { "it is PKCS#12: convert it with `openssl pkcs12 -nokeys`",
            "it is PKCS#12: convert it with `openssl pkcs12 -nocerts -nodes`" } },
        { is_pkcs7_der,
          { "it is PKCS#7 in DER: convert it with `openssl pkcs7 -inform DER -print_certs`",
            "it is PKCS#7, which has no key" } },
        { is_key_der,
          { "it is a private key in DER" SWAPPED, "it is DER: convert it with `openssl pkey -inform DER`" } },
        { is_certificate_der,
          { "it is DER: convert it with `openssl x509 -inform DER`", "it is a certificate in DER" SWAPPED } },
        { is_pkcs7,
          { "it is PKCS#7: convert it with `openssl pkcs7 -print_certs`",
            "it is PKCS#7, which has no key" } },
        { is_request,
          { "it is a certificate signing request: the certificate is what the Connector returns for it",
            "it is a certificate signing request; its key is in another file" } },
        { is_crl, { "it is a list of revoked certificates", "it is a list of revoked certificates" } },
        { is_key, { "it is a private key" SWAPPED, NULL } },
        { is_certificate, { NULL, "it is a certificate" SWAPPED } },
        { is_public_key, { "it is a public key", "it is a public key" } },
        { is_parameters, { "it has only parameters of keys", "it has only parameters of keys" } },
        { has_escaped_breaks,
          { "its line breaks are written as \\n: convert it with `sed 's/\\\\n/\\n/g'`",
            "its line breaks are written as \\n: convert it with `sed 's/\\\\n/\\n/g'`" } },
        { is_json,
          { "it is JSON: take the certificate out of it, with `jq -r`, and decode its base64",
            "it is JSON: take the key out of it, with `jq -r`" } },
        { is_html, { "it is an HTML page", "it is an HTML page" } },
        { is_bare_base64,
          { "it is base64 without the lines 'BEGIN CERTIFICATE' and 'END CERTIFICATE'",
            "it is base64 without the lines 'BEGIN PRIVATE KEY' and 'END PRIVATE KEY'" } },
        { is_binary, { "it is binary", "it is binary" } },
};

const char *pem_text_kind(const char *text, size_t size, enum pem_wanted wanted) {
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                if (kinds[i].kinds[wanted] && kinds[i].is(text, size))
                        return kinds[i].kinds[wanted];
        return wanted == PEM_KEY ? "a PEM block 'BEGIN PRIVATE KEY' is expected"
                                 : "a PEM block 'BEGIN CERTIFICATE' is expected";
}

/* --- What it was --- */

/* NEW, of SIZE bytes, takes the place of *TEXT. */
static void replace(char **text, size_t *size, char *new, size_t new_size) {
        explicit_bzero(*text, *size);
        free(*text);
        *text = new;
        *size = new_size;
}

/* ASCII, which all of PEM is; anything else leaves the text as it is. */
static int restore_utf16(char **text, size_t *size) {
        const bool is_big = (*text)[0] == '\xfe';
        const size_t n = *size / 2 - 1;
        char *plain = malloc(n + 1);

        if (!plain)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                const char *unit = *text + 2 + 2 * i;

                if (unit[!is_big] != 0 || unit[is_big] <= 0) {
                        explicit_bzero(plain, i);
                        free(plain);
                        return 0;
                }
                plain[i] = unit[is_big];
        }
        plain[n] = '\0';
        replace(text, size, plain, n);
        return 0;
}

static int restore_base64(char **text, size_t *size) {
        char *data = NULL;
        size_t data_size = 0;
        int r;

        r = base64_decode_lines(*text, *size, &data, &data_size);
        if (r == 0)
                replace(text, size, data, data_size);
        return r == -ENOMEM ? r : 0;
}

/* In place, as it only becomes shorter. */
static void restore_breaks(char *text, size_t *size) {
        char *to = text;

        for (size_t i = 0; i < *size; i++) {
                const bool is_escape = text[i] == '\\' && i + 1 < *size;

                if (is_escape && (text[i + 1] == 'n' || text[i + 1] == 'r'))
                        *to++ = text[++i] == 'n' ? '\n' : '\r';
                else
                        *to++ = text[i];
        }
        explicit_bzero(to, *size - (size_t)(to - text));
        *size = (size_t)(to - text);
}

int pem_text_restore(char **text, size_t *size) {
        int r = 0;

        if (is_utf16(*text, *size) && *size > 2 && *size % 2 == 0)
                r = restore_utf16(text, size);
        if (r == 0 && is_base64_of_pem(*text, *size))
                r = restore_base64(text, size);
        if (r == 0 && has_escaped_breaks(*text, *size))
                restore_breaks(*text, size);
        return r;
}
