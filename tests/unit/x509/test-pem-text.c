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
        { TEXT("LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSURF"), "`base64 -d FILE >NEW.pem`",
          "`base64 -d FILE >NEW.pem`" },
        { TEXT("\n LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSURF"), "`base64 -d FILE >NEW.pem`",
          "`base64 -d FILE >NEW.pem`" },
        { TEXT("\nMIIDEzCCAfugAwIBAgIBAjAN\n"), "'END CERTIFICATE'", "'END PRIVATE KEY'" },
        { TEXT("\xff\xfe-\0-\0"), "UTF-16", "UTF-16" },
        { TEXT("\xfe\xff\0-\0-"), "UTF-16", "UTF-16" },
        { TEXT("\x30\x82\x03\x13\x30\x82\x01"), "`openssl x509 -inform DER -in FILE -out NEW.pem`", SWAPPED },
        { TEXT("\x30\x82\x09\x13\x02\x01\0\x02"), SWAPPED,
          "`openssl pkey -inform DER -in FILE -out NEW.pem`" },
        { TEXT("\x30\x82\x09\x13\x02\x01\x03\x30"), "`openssl pkcs12 -in FILE -nokeys -out NEW.pem`",
          "`openssl pkcs12 -in FILE -nocerts -nodes -out NEW.pem`" },
        { TEXT("\x30\x82\x09\x13\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"),
          "pkcs7 -inform DER -in FILE -print_certs -out", "no key" },
        { TEXT("\x01\x02\0\x03\x04"), "it is binary", "it is binary" },
        { BLOCK("PKCS7"), "pkcs7 -in FILE -print_certs -out", "no key" },
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
        { TEXT("PuTTY-User-Key-File-3: ssh-rsa\n"), "of PuTTY", "`puttygen FILE -O private-openssh" },
        { TEXT("\xfe\xed\xfe\xed\0\0\0\2"), "`keytool -importkeystore", "`keytool -importkeystore" },
        { TEXT("\x1f\x8b\x08\0\0"), "compressed", "compressed" },
        { TEXT("PK\x03\x04\0"), "an archive", "an archive" },
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

static void check_restored(char *text, size_t size, const char *pem);

/* TEXT, which is taken over, becomes PEM; NULL: anything. */
static void check_text(char *text, const char *pem) {
        size_t size = strlen(text);

        if (pem) {
                check_restored(text, size, pem);
                return;
        }
        ck_assert_int_eq(pem_text_restore(&text, &size), 0);
        ck_assert_uint_eq(size, strlen(text));
        free(text);
}

static void check_parses_text(char **text, size_t size, bool is_key) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 };
        _cleanup_(key_freep) struct key *key = NULL;
        int r;

        ck_assert_int_eq(pem_text_restore(text, &size), 0);
        r = is_key ? key_parse(*text, size, &key, &error) : cert_list_parse(*text, size, &certs, &error);
        ck_assert_msg(r == 0, "%s: %s", error_text(&error), *text);
}

static void check_parses(char *text, bool is_key) {
        check_parses_text(&text, strlen(text), is_key);
        free(text);
}

static void check_parses_bytes(const void *bytes, size_t size, bool is_key) {
        char *text = calloc(1, size + 1);

        memcpy(text, bytes, size);
        check_parses_text(&text, size, is_key);
        free(text);
}

static void check_restored(char *text, size_t size, const char *pem) {
        ck_assert_int_eq(pem_text_restore(&text, &size), 0);
        ck_assert_uint_eq(size, strlen(pem));
        ck_assert_str_eq(text, pem);
        free(text);
}

/* PEM with a base64 body on one line, as what has lost its breaks becomes. */
static char *on_one_line(const char *pem) {
        char *text = malloc(strlen(pem) + 1), *to = text;

        for (const char *p = pem; *p; p++) {
                const bool is_inner = *p == '\n' && p[1] && p[1] != '-' && p[-1] != '-';

                if (!is_inner)
                        *to++ = *p;
        }
        *to = '\0';
        return text;
}

static char *replaced(const char *pem, const char *breaks, const char *before, const char *after) {
        char *text = calloc(1, 4 * strlen(pem) + 10), *to = stpcpy(text, before);

        for (const char *p = pem; *p; p++) {
                if (*p != '\n')
                        *to++ = *p;
                else
                        to = stpcpy(to, p[1] ? breaks : streq(after, "") ? "\n" : "");
        }
        stpcpy(to, after);
        return text;
}

static char *encoded(const char *pem) {
        char *text;

        ck_assert_int_eq(base64_encode(pem, strlen(pem), &text), 0);
        return text;
}

/* The base64 of PEM between two texts. */
static char *in_reply(const char *before, const char *pem, const char *after) {
        _cleanup_(freep) char *base64 = encoded(pem);
        char *text;

        ck_assert_int_ge(asprintf(&text, "%s%s%s", before, base64, after), 0);
        return text;
}

START_TEST(what_it_was) {
        _cleanup_(x509_cert_clear) struct x509_cert root =
                x509_make(&(struct x509_options) { .ca = true, .key = x509_key(1) });
        _cleanup_(freep) char *certificate = X509_JOIN(&root), *key = x509_key_pem(x509_key(1));

        for (int is_key = 0; is_key < 2; is_key++) {
                const char *pem = is_key ? key : certificate;
                _cleanup_(freep) char *line = on_one_line(pem), *escaped = with_escapes(pem);
                char *text;
                size_t size;

                check_restored(strdup(pem), strlen(pem), pem);
                for (int is_big = 0; is_big < 2; is_big++) {
                        text = as_utf16(pem, is_big, &size);
                        check_restored(text, size, pem);
                        text = as_utf16(pem, is_big, &size);
                        memmove(text, text + 2, size -= 2); /* without its mark */
                        check_restored(text, size, pem);
                }
                check_text(strdup(escaped), pem);
                check_text(replaced(escaped, "", "\"", "\""), pem);
                check_text(encoded(pem), pem);
                check_text(in_reply("\"", pem, "\"\n"), pem); /* as jq prints it */
                check_text(replaced(pem, "\r\n", "", ""), NULL);
                check_text(replaced(pem, " ", "", ""), line);
                check_text(replaced(pem, "", "", ""), line);
                check_text(replaced(pem, "\r", "", ""), line);
                check_text(replaced(pem, "\n    ", "    ", "\n"), NULL);
                check_parses(replaced(pem, "\n    ", "    ", "\n"), is_key);
                check_parses(replaced(pem, "\n\t", "tls: |\n\t", "\n"), is_key);
                check_parses(replaced(pem, "\r\n", "", ""), is_key);
                check_parses(replaced(pem, "\n", "\xef\xbb\xbf", "\n"), is_key);
        }
        check_text(in_reply("{\"crt\": \"", certificate, "\", \"clientCrt\": \"x\"}"), certificate);
        check_text(in_reply("{\"data\":{\"result\":{\"clientCertificate\":\"x\",\"certificateChain\":\"",
                            certificate, "\"}}}"),
                   certificate);
        check_text(in_reply("{\"data\":{\"signed\":{\"clientCertificate\":\"", certificate, "\"}}}"),
                   certificate);
}
END_TEST

/* Glued blocks, of which one has to be put on lines of its own, and an encrypted key, whose header stays. */
START_TEST(blocks_among_others) {
        static const struct {
                const char *text, *restored; /* NULL: as it is */
        } texts[] = {
                { "-----BEGIN A-----\nQUI=\n-----END A----------BEGIN B-----\nQUI=\n-----END B-----\n",
                  "-----BEGIN A-----\nQUI=\n-----END A-----\n-----BEGIN B-----\nQUI=\n-----END B-----\n" },
                { "x: -----BEGIN A----- QU I= -----END A----- # y",
                  "x: \n-----BEGIN A-----\nQUI=\n-----END A-----\n # y" },
                { "-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n\nQUI=\n-----END A-----\n", NULL },
                { "-----BEGIN A----- QUI= -----END B-----", NULL },
                { "-----BEGIN A----- QUI= -----BEGIN A----- QUI=", NULL },
                { "-----BEGIN ----- QUI=", NULL },
                { "-----BEGIN ", NULL },
                { "-----BEGIN PRIVATE KEY -----\nQUI=\n-----END PRIVATE KEY -----\n", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                check_text(strdup(texts[i].text), texts[i].restored ? texts[i].restored : texts[i].text);
}
END_TEST

/* One whole structure is what its beginning says. */
START_TEST(der) {
        _cleanup_(x509_cert_clear) struct x509_cert leaf = x509_make(&(struct x509_options) { 0 });
        unsigned char *bytes = NULL;
        char *text;
        int n;

        n = i2d_X509(leaf.handle, &bytes);
        ck_assert_int_gt(n, 256);
        check_parses_bytes(bytes, (size_t)n, false);
        ck_assert_int_eq(base64_encode(bytes, (size_t)n, &text), 0);
        check_parses(text, false);
        OPENSSL_free(bytes);
        bytes = NULL;
        n = i2d_PrivateKey(leaf.key, &bytes); /* PKCS#1 */
        ck_assert_int_gt(n, 256);
        check_parses_bytes(bytes, (size_t)n, true);
        ck_assert_int_eq(base64_encode(bytes, (size_t)n, &text), 0);
        check_parses(text, true);
        OPENSSL_free(bytes);
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
                { TEXT("{\"crt\": \"x\"}") },
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

TEST_MAIN("pem-text", what_it_is, who_reads_says_it, what_it_was, blocks_among_others, der,
          what_is_in_doubt_stays)
