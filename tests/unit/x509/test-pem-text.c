/* What people hand over as PEM: what it is called, and what becomes PEM again. */

#include "lib/x509/pem-text.h"

#include "lib/util/base64.h"
#include "lib/x509/cert.h"
#include "tests/support/x509.h"
#include "tests/test.h"

#define TEXT(text)   text, sizeof(text) - 1
#define BLOCK(label) TEXT("-----BEGIN " label "-----\nMIID\n-----END " label "-----\n")
#define SWAPPED      "are the files of key and certificate swapped?"

static const struct {
        const char *text;
        size_t size;
        const char *certificate, *key; /* what is said where one is wanted */
} rows[] = {
        { TEXT(""), "it is empty", "it is empty" },
        { TEXT(" \r\n"), "it is empty", "it is empty" },
        { TEXT("hello\n"), "'BEGIN CERTIFICATE' is expected", "'BEGIN PRIVATE KEY' is expected" },
        { TEXT("LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSURF"), "`base64 -d`", "`base64 -d`" },
        { TEXT("\n LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSURF"), "`base64 -d`", "`base64 -d`" },
        { TEXT("\nMIIDEzCCAfugAwIBAgIBAjAN\n"), "'END CERTIFICATE'", "'END PRIVATE KEY'" },
        { TEXT("\xff\xfe-\0-\0"), "UTF-16", "UTF-16" },
        { TEXT("\xfe\xff\0-\0-"), "UTF-16", "UTF-16" },
        { TEXT("\x30\x82\x03\x13\x30\x82\x01"), "`openssl x509 -inform DER`", SWAPPED },
        { TEXT("\x30\x82\x09\x13\x02\x01\0\x02"), SWAPPED, "`openssl pkey -inform DER`" },
        { TEXT("\x30\x82\x09\x13\x02\x01\x03\x30"), "`openssl pkcs12 -nokeys`",
          "`openssl pkcs12 -nocerts -nodes`" },
        { TEXT("\x30\x82\x09\x13\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"), "pkcs7 -inform DER",
          "no key" },
        { TEXT("\x01\x02\0\x03\x04"), "it is binary", "it is binary" },
        { BLOCK("PKCS7"), "pkcs7 -print_certs", "no key" },
        { BLOCK("CERTIFICATE REQUEST"), "what the Connector returns", "in another file" },
        { BLOCK("NEW CERTIFICATE REQUEST"), "signing request", "signing request" },
        { BLOCK("X509 CRL"), "revoked", "revoked" },
        { BLOCK("PRIVATE KEY"), SWAPPED, "'BEGIN PRIVATE KEY' is expected" },
        { BLOCK("RSA PRIVATE KEY"), SWAPPED, "'BEGIN PRIVATE KEY' is expected" },
        { BLOCK("CERTIFICATE"), "'BEGIN CERTIFICATE' is expected", SWAPPED },
        { BLOCK("PUBLIC KEY"), "it is a public key", "it is a public key" },
        { BLOCK("EC PARAMETERS"), "only parameters", "only parameters" },
        { BLOCK("OPENSSH PRIVATE KEY"), "of OpenSSH", "`ssh-keygen -p -m PKCS8 -f FILE`" },
        { TEXT("ssh-rsa AAAA me@here\n"), "of OpenSSH", "of OpenSSH" },
        { TEXT("{\"data\": {\"result\": {}}}\n"), "it is JSON", "it is JSON" },
        { TEXT("<html>\n"), "HTML", "HTML" },
};

START_TEST(what_it_is) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const char *certificate = pem_text_kind(rows[i].text, rows[i].size, PEM_CERTIFICATE),
                           *key = pem_text_kind(rows[i].text, rows[i].size, PEM_KEY);

                ck_assert_msg(strstr(certificate, rows[i].certificate), "row %zu: %s", i, certificate);
                ck_assert_msg(strstr(key, rows[i].key), "row %zu: %s", i, key);
        }
}
END_TEST

/* A parser that finds nothing says it. */
START_TEST(who_reads_says_it) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                struct cert_list certs;
                struct key *key;

                if (strstr(rows[i].key, "is expected") || strstr(rows[i].certificate, "is expected"))
                        continue; /* there is a block, and it is damaged */
                ck_assert_int_eq(cert_list_parse(rows[i].text, rows[i].size, &certs, &error), -EINVAL);
                ck_assert_msg(strstr(error_text(&error), rows[i].certificate), "row %zu: %s", i,
                              error_text(&error));
                error_clear(&error);
                ck_assert_int_eq(key_parse(rows[i].text, rows[i].size, &key, &error), -EINVAL);
                ck_assert_msg(strstr(error_text(&error), rows[i].key), "row %zu: %s", i, error_text(&error));
        }
}
END_TEST

/* --- Back to PEM --- */

static char *with_escapes(const char *pem) {
        char *text = malloc(2 * strlen(pem) + 1), *to = text;

        for (; *pem; pem++)
                to += sprintf(to, *pem == '\n' ? "\\n" : "%c", *pem);
        *to = '\0';
        return text;
}

static char *as_utf16(const char *pem, bool is_big, size_t *ret_size) {
        const size_t n = strlen(pem);
        char *text = calloc(n + 2, 2);

        memcpy(text, is_big ? "\xfe\xff" : "\xff\xfe", 2);
        for (size_t i = 0; i < n; i++)
                text[2 + 2 * i + is_big] = pem[i];
        *ret_size = 2 * n + 2;
        return text;
}

static void check_restored(char *text, size_t size, const char *pem) {
        ck_assert_int_eq(pem_text_restore(&text, &size), 0);
        ck_assert_uint_eq(size, strlen(pem));
        ck_assert_str_eq(text, pem);
        free(text);
}

START_TEST(what_it_was) {
        _cleanup_(x509_cert_clear) struct x509_cert root =
                x509_make(&(struct x509_options) { .ca = true, .key = x509_key(1) });
        _cleanup_(freep) char *pem = X509_JOIN(&root);
        char *text;
        size_t size;

        check_restored(strdup(pem), strlen(pem), pem);
        for (int is_big = 0; is_big < 2; is_big++) {
                text = as_utf16(pem, is_big, &size);
                check_restored(text, size, pem);
        }
        text = with_escapes(pem);
        check_restored(text, strlen(text), pem);
        ck_assert_int_eq(base64_encode(pem, strlen(pem), &text), 0);
        check_restored(text, strlen(text), pem);
}
END_TEST

/* Anything else is left alone, to the byte. */
START_TEST(what_is_in_doubt_stays) {
        static const struct {
                const char *text;
                size_t size;
        } texts[] = {
                { TEXT("") },
                { TEXT("\xff\xfe") },
                { TEXT("\xff\xfe-") },
                { TEXT("\xff\xfe-\1") },
                { TEXT("\xfe\xff\0\xe9") },
                { TEXT("LS0tLS1CRUdJTi") },
                { TEXT("LS0tLS1CRUdJTiB!") },
                { TEXT("a\\nb\\n") },
                { BLOCK("X") },
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                char *text = calloc(1, texts[i].size + 1);
                size_t size = texts[i].size;

                memcpy(text, texts[i].text, size);
                ck_assert_int_eq(pem_text_restore(&text, &size), 0);
                ck_assert_uint_eq(size, texts[i].size);
                ck_assert_mem_eq(text, texts[i].text, size + 1);
                free(text);
        }
}
END_TEST

TEST_MAIN("pem-text", what_it_is, who_reads_says_it, what_it_was, what_is_in_doubt_stays)
