#include "lib/x509/pem-text.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util/base64.h"
#include "lib/util/json.h"
#include "lib/util/macro.h"
#include "lib/util/utf8.h"

#define BEGIN           "-----BEGIN "
#define REPLY_DEPTH_MAX 4u
#define REPLY_SIZE_MAX  (1024u * 1024)

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

/* What is left of it after pem_text_restore() has more than ASCII in it. */
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

static bool is_compressed(const char *text, size_t size) {
        return starts(text, size, "\x1f\x8b", 2) || starts(text, size, "BZh", 3) ||
               starts(text, size,
                      "\xfd"
                      "7zXZ",
                      5) ||
               starts(text, size, "PK\x03\x04", 4);
}

static bool is_java_keystore(const char *text, size_t size) {
        return starts(text, size, "\xfe\xed\xfe\xed", 4) || starts(text, size, "\xce\xce\xce\xce", 4);
}

static bool is_putty_key(const char *text, size_t size) {
        return starts(text, size, "PuTTY-User-Key-File-", 20);
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
#define BOTH(text) \
        { text, text }

/* Commands are whole: FILE is what was handed over, NEW.pem is what they write. */
static const struct {
        bool (*is)(const char *text, size_t size);
        const char *kinds[2]; /* by what is wanted; NULL: that is no reason */
} kinds[] = {
        { is_empty, BOTH("it is empty") },
        { is_java_keystore, /* before UTF-16, whose mark begins like it */
          BOTH("it is a Java keystore: convert it with `keytool -importkeystore -srckeystore FILE "
               "-destkeystore "
               "NEW.p12 -deststoretype PKCS12`, and that with `openssl pkcs12`") },
        { is_utf16,
          BOTH("it is UTF-16 with characters beyond ASCII: convert it with `iconv -f UTF-16 -t UTF-8 FILE "
               ">NEW.pem`") },
        { is_base64_of_pem,
          { "it is base64 of PEM, as a Connector's reply has it: decode it with `base64 -d FILE "
            ">NEW.pem`",
            "it is base64 of PEM: decode it with `base64 -d FILE >NEW.pem`" } },
        { is_openssh_key,
          { "it is a private key of OpenSSH",
            "it is a private key of OpenSSH: convert a copy of it with `ssh-keygen -p -m PKCS8 -f FILE`" } },
        { is_openssh_public, BOTH("it is a public key of OpenSSH") },
        { is_putty_key,
          { "it is a private key of PuTTY", "it is a private key of PuTTY: convert it with `puttygen FILE -O "
                                            "private-openssh -o NEW.key`, and "
                                            "that with `ssh-keygen -p -m PKCS8 -f NEW.key`" } },
        { is_pkcs12,
          { "it is PKCS#12: convert it with `openssl pkcs12 -in FILE -nokeys -out NEW.pem`",
            "it is PKCS#12: convert it with `openssl pkcs12 -in FILE -nocerts -nodes -out NEW.pem`" } },
        { is_pkcs7_der,
          { "it is PKCS#7 in DER: convert it with `openssl pkcs7 -inform DER -in FILE -print_certs -out "
            "NEW.pem`",
            "it is PKCS#7, which has no key" } },
        { is_key_der,
          { "it is a private key in DER" SWAPPED,
            "it is DER: convert it with `openssl pkey -inform DER -in FILE -out NEW.pem`" } },
        { is_certificate_der,
          { "it is DER: convert it with `openssl x509 -inform DER -in FILE -out NEW.pem`",
            "it is DER, as of a certificate" SWAPPED } },
        { is_pkcs7,
          { "it is PKCS#7: convert it with `openssl pkcs7 -in FILE -print_certs -out NEW.pem`",
            "it is PKCS#7, which has no key" } },
        { is_request,
          { "it is a certificate signing request: the certificate is what the Connector returns for it",
            "it is a certificate signing request; its key is in another file" } },
        { is_crl, BOTH("it is a list of revoked certificates") },
        { is_key, { "it is a private key" SWAPPED, NULL } },
        { is_certificate, { NULL, "it is a certificate" SWAPPED } },
        { is_public_key, BOTH("it is a public key") },
        { is_parameters, BOTH("it has only parameters of keys") },
        { has_escaped_breaks,
          BOTH("its line breaks are written as \\n: convert it with `sed 's/\\\\n/\\n/g' FILE >NEW.pem`") },
        { is_json,
          { "it is JSON: take the certificate out of it, with `jq -r .data.result.certificateChain FILE | "
            "base64 -d >NEW.pem`",
            "it is JSON, and a Connector never has the key" } },
        { is_html, BOTH("it is an HTML page") },
        { is_bare_base64,
          { "it is base64 without the lines 'BEGIN CERTIFICATE' and 'END CERTIFICATE': convert it with "
            "`base64 "
            "-d FILE | openssl x509 -inform DER -out NEW.pem`",
            "it is base64 without the lines 'BEGIN PRIVATE KEY' and 'END PRIVATE KEY': convert it with "
            "`base64 "
            "-d FILE | openssl pkey -inform DER -out NEW.pem`" } },
        { is_compressed, BOTH("it is compressed or an archive: unpack it") },
        { is_binary, BOTH("it is binary") },
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
        char *plain;
        size_t plain_size;
        int r;

        r = utf16_to_ascii(*text, *size, &plain, &plain_size);
        if (r == 0)
                replace(text, size, plain, plain_size);
        return r == -ENOMEM ? r : 0;
}

/* Quotes around all of it, as jq leaves them; in place. */
static void restore_quoted(char *text, size_t *size) {
        const char *begin = text;
        size_t n = *size;

        skip_blanks(&begin, &n);
        while (n > 0 && isspace((unsigned char)begin[n - 1]))
                n--;
        if (n < 2 || !strchr("\"'", begin[0]) || begin[n - 1] != begin[0])
                return;
        memmove(text, begin + 1, n - 2);
        explicit_bzero(text + n - 2, *size - (n - 2));
        *size = n - 2;
}

/* One SEQUENCE with a length of two bytes, and nothing behind it. */
static bool is_one_sequence(const char *text, size_t size) {
        return size > 4 && starts(text, size, "\x30\x82", 2) &&
               size - 4 == ((size_t)(unsigned char)text[2] << 8 | (unsigned char)text[3]);
}

/* The label of what DER is by its beginning, or NULL: a version and an INTEGER are PKCS#1, a version and a
 * SEQUENCE PKCS#8, and of two SEQUENCEs with a length the first is what a certificate is signed over. */
static const char *der_label(const char *text, size_t size) {
        if (!is_one_sequence(text, size))
                return NULL;
        if (is_der_of(text, size, "\x02\x01\x00\x02", 4))
                return "RSA PRIVATE KEY";
        if (is_der_of(text, size, "\x02\x01\x00\x30", 4))
                return "PRIVATE KEY";
        return is_der_of(text, size, "\x30\x82", 2) ? "CERTIFICATE" : NULL;
}

/* Of PEM, or of DER: a block without its first and last line. */
static int restore_base64(char **text, size_t *size) {
        char *data = NULL;
        size_t data_size = 0;
        int r;

        r = base64_decode_lines(*text, *size, &data, &data_size);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        if (is_base64_of_pem(*text, *size) || der_label(data, data_size)) {
                replace(text, size, data, data_size);
                return 0;
        }
        explicit_bzero(data, data_size);
        free(data);
        return 0;
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

/* --- DER --- */

static int restore_der(char **text, size_t *size) {
        const char *label = der_label(*text, *size);
        _cleanup_(free_secretp) char *data = NULL;
        char *pem = NULL;
        int n, r;

        if (!label)
                return 0;
        r = base64_encode(*text, *size, &data);
        if (r < 0)
                return r;
        n = asprintf(&pem, BEGIN "%s-----\n%s\n-----END %s-----\n", label, data, label);
        if (n < 0)
                return -ENOMEM;
        replace(text, size, pem, (size_t)n);
        return 0;
}

/* --- A Connector's reply --- */

/* The chain goes before the leaf alone. Objects are looked into, and the first that has one counts. */
static const char *find_member(json_t *object, unsigned depth) {
        static const char *const names[] = { "certificateChain", "crt", "clientCertificate", "clientCrt" };
        const char *key, *found = NULL;
        json_t *value;

        for (size_t i = 0; !found && i < ELEMENTSOF(names); i++)
                found = json_string_value(json_object_get(object, names[i]));
        json_object_foreach(object, key, value) {
                if (!found && json_is_object(value) && depth < REPLY_DEPTH_MAX)
                        found = find_member(value, depth + 1);
        }
        return found;
}

static int restore_reply(char **text, size_t *size) {
        const char *found;
        char *pem = NULL;
        json_t *root;
        int r;

        r = json_read(*text, *size, REPLY_SIZE_MAX, &root, NULL);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        found = find_member(root, 0);
        if (found && !is_base64_of_pem(found, strlen(found)) && !strstr(found, BEGIN))
                found = NULL;
        if (found && !(pem = strdup(found)))
                r = -ENOMEM;
        json_decref(root);
        if (pem)
                replace(text, size, pem, strlen(pem));
        return r;
}

/* --- Lines --- */

/* One block somewhere in a text. */
struct block {
        const char *begin, *body, *last, *end; /* `last` is the line that ends it, up to `end` */
};

static bool find_block(const char *text, size_t size, struct block *ret) {
        const char *begin = find(text, size, BEGIN), *end = text + size, *label, *dashes, *last;
        char wanted[64];

        if (!begin)
                return false;
        label = begin + strlen(BEGIN);
        dashes = find(label, (size_t)(end - label), "-----");
        if (!dashes || dashes == label || dashes - label > 40 ||
            memchr(label, '\n', (size_t)(dashes - label)))
                return false;
        (void)snprintf(wanted, sizeof(wanted), "-----END %.*s-----", (int)(dashes - label), label);
        dashes += strlen("-----");
        last = find(dashes, (size_t)(end - dashes), wanted);
        if (!last)
                return false;
        *ret = (struct block) { begin, dashes, last, last + strlen(wanted) };
        return true;
}

/* As OpenSSL wants it: both lines by themselves, at the left, and a body without blanks. Every key is read
 * through here, so this is quick. */
static bool is_in_order(const char *text, size_t size, const struct block *block) {
        const size_t n = (size_t)(block->last - block->body);
        const bool is_left = block->begin == text || block->begin[-1] == '\n';
        const bool is_right = block->end == text + size || *block->end == '\n' || *block->end == '\r';

        return is_left && is_right && n > 0 && block->last[-1] == '\n' &&
               (*block->body == '\n' || has_prefix(block->body, "\r\n")) && !memchr(block->body, ' ', n) &&
               !memchr(block->body, '\t', n);
}

/* Nothing but base64: the header of an encrypted key has lines that mean something. */
static bool is_base64(const char *text, size_t size) {
        for (size_t i = 0; i < size; i++)
                if (!isalnum((unsigned char)text[i]) && !strchr("+/= \t\r\n", text[i]))
                        return false;
        return true;
}

static bool needs_lines(const char *text, size_t size, const struct block *block) {
        return !is_in_order(text, size, block) && is_base64(block->body, (size_t)(block->last - block->body));
}

static bool has_lost_lines(const char *text, size_t size) {
        struct block block;

        for (const char *at = text; find_block(at, (size_t)(text + size - at), &block); at = block.end)
                if (needs_lines(text, size, &block))
                        return true;
        return false;
}

static char *put_lines(char *to, const struct block *block) {
        to = mempcpy(to, block->begin, (size_t)(block->body - block->begin));
        *to++ = '\n';
        for (const char *p = block->body; p < block->last; p++)
                if (!isspace((unsigned char)*p))
                        *to++ = *p;
        *to++ = '\n';
        to = mempcpy(to, block->last, (size_t)(block->end - block->last));
        if (*block->end != '\n')
                *to++ = '\n';
        return to;
}

/* Blocks that lost their line breaks, or that are indented, as in YAML. What is between blocks stays. */
static int restore_lines(char **text, size_t *size) {
        const char *at = *text, *end = *text + *size;
        struct block block;
        char *lines, *to;

        if (!has_lost_lines(*text, *size))
                return 0;
        to = lines = malloc(2 * *size + 1); /* of each block all is kept but blanks, and 4 breaks may come */
        if (!lines)
                return -ENOMEM;
        for (; find_block(at, (size_t)(end - at), &block); at = block.end) {
                if (!needs_lines(*text, *size, &block)) {
                        to = mempcpy(to, at, (size_t)(block.end - at));
                        continue;
                }
                to = mempcpy(to, at, (size_t)(block.begin - at));
                if (to > lines && to[-1] != '\n')
                        *to++ = '\n';
                to = put_lines(to, &block);
        }
        to = mempcpy(to, at, (size_t)(end - at));
        *to = '\0';
        replace(text, size, lines, (size_t)(to - lines));
        return 0;
}

int pem_text_restore(char **text, size_t *size) {
        int r;

        r = restore_utf16(text, size);
        if (r == 0 && is_json(*text, *size))
                r = restore_reply(text, size);
        if (r == 0)
                restore_quoted(*text, size);
        if (r == 0 && (is_base64_of_pem(*text, *size) || is_bare_base64(*text, *size)))
                r = restore_base64(text, size);
        if (r == 0 && has_escaped_breaks(*text, *size))
                restore_breaks(*text, size);
        if (r == 0)
                r = restore_der(text, size);
        if (r == 0)
                r = restore_lines(text, size);
        return r;
}
