/* Exports as PKCS#12: the passphrase, what other programs read, and that no secret stays in memory. */

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "tests/support/memory.h"
#include "tests/support/scratch.h"
#include "tests/support/x509.h"
#include "tests/test.h"
#include "tests/unit/export/exports.h"

/* --- The passphrase --- */

START_TEST(refuses_passphrase_files) {
        static const struct {
                const char *text;
                int code;
                const char *error;
        } cases[] = {
                { "", -EINVAL, "nothing in passphrase file" },
                { "\n", -EINVAL, "there is no text in the first line" },
                { "\nsesame\n", -EINVAL, "there is no text in the first line" },
                { "ses\rame\n", -EINVAL, "at byte 4 (a line end from Windows)" },
                { "se\tsame", -EINVAL, "a control character at byte 3;" },
                { "se\x7fsame", -EINVAL, "a control character at byte 3;" },
        };
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *path = scratch_path(scratch, "x.p12"), *pass = scratch_path(scratch, "pass");
        struct export export = pkcs12_to(path, pass);
        char longer[EXPORT_PASSPHRASE_MAX + 2];

        assert_refused(&export, &m.set, -ENOENT, "cannot read passphrase file");
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                scratch_write(scratch, "pass", cases[i].text, 0600);
                assert_refused(&export, &m.set, cases[i].code, cases[i].error);
                assert_refused(&export, &m.set, cases[i].code, pass);
        }
        memset(longer, 'x', sizeof(longer));
        longer[sizeof(longer) - 1] = '\0';
        scratch_write(scratch, "pass", longer, 0600);
        assert_refused(&export, &m.set, -EFBIG, "larger than 1024 bytes");
        longer[sizeof(longer) - 2] = '\0';
        scratch_write(scratch, "pass", longer, 0600);
        assert_checks(&export);
        assert_written(&export, &m.set);
        ck_assert_int_eq(unlink(pass), 0);
        assert_refused(&export, &m.set, -ENOENT, "cannot read passphrase file");
        ck_assert_int_eq(mkdir(pass, 0700), 0);
        assert_refused(&export, &m.set, -EISDIR, "Is a directory");
        ck_assert_int_eq(rmdir(pass), 0);
        ck_assert_int_eq(mkfifo(pass, 0600), 0);
        assert_refused(&export, &m.set, -ENXIO, "it is not a regular file");
}
END_TEST

/* What Windows writes around a line is no part of the passphrase. */
START_TEST(a_file_from_windows_has_the_same_passphrase) {
        static const char *const texts[] = { PASSPHRASE, PASSPHRASE "\n", PASSPHRASE "\r\n",
                                             "\xef\xbb\xbf" PASSPHRASE "\r\nmore\r\n" };
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *path = scratch_path(scratch, "x.p12"), *pass = scratch_path(scratch, "pass");
        struct export export = pkcs12_to(path, pass);

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                for (size_t k = 0; k < ELEMENTSOF(texts); k++) {
                        scratch_write(scratch, "pass", texts[i], 0600);
                        assert_written(&export, &m.set);
                        scratch_write(scratch, "pass", texts[k], 0600);
                        ck_assert(export_is_current(&export, &m.set));
                }
}
END_TEST

START_TEST(warns_of_a_passphrase_that_everybody_can_read) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *path = scratch_path(scratch, "x.p12"), *pass = scratch_path(scratch, "pass"),
                              *warning = NULL;
        struct export export = pkcs12_to(path, pass);

        scratch_write(scratch, "pass", PASSPHRASE, 0640);
        assert_checks(&export);
        scratch_write(scratch, "pass", PASSPHRASE, 0644);
        ck_assert_int_eq(export_check(&export, NULL, &warning, NULL), 0);
        ck_assert_ptr_nonnull(warning);
        ck_assert_msg(strstr(warning, pass) && strstr(warning, "0644") && !strstr(warning, "sesame"), "%s",
                      warning);
        free(take_ptr(warning));
        scratch_write(scratch, "pass", "s\xc3\xa9same", 0600);
        ck_assert_int_eq(export_check(&export, NULL, &warning, NULL), 0);
        ck_assert_msg(warning && strstr(warning, "beyond ASCII") && !strstr(warning, "same\n"), "%s",
                      warning);
}
END_TEST

/* --- Is it current? --- */

START_TEST(tells_a_keystore_that_is_not_current) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0), other = material_make(1);
        _cleanup_(freep) char *path = scratch_path(scratch, "x.p12"), *pass = scratch_path(scratch, "pass");
        struct export export = pkcs12_to(path, pass), changed;
        struct set mixed;

        for (unsigned legacy = 0; legacy < 2; legacy += test_step(2)) {
                export.legacy = legacy;
                scratch_write(scratch, "pass", PASSPHRASE "\nnot this line\n", 0600);
                scratch_write(scratch, "x.p12", "", 0600);
                ck_assert(!export_is_current(&export, &m.set));
                scratch_write(scratch, "x.p12", "no keystore", 0600);
                ck_assert(!export_is_current(&export, &m.set));
                assert_written(&export, &m.set);
                ck_assert(!export_is_current(&export, &other.set));

                changed = export;
                changed.legacy = !legacy;
                ck_assert(!export_is_current(&changed, &m.set));
                changed = export;
                changed.friendly_name = "order";
                ck_assert(!export_is_current(&changed, &m.set));
                changed.friendly_name = NULL;
                ck_assert(!export_is_current(&changed, &m.set));
                changed = export;
                changed.n_contents = 4;
                memcpy(changed.contents,
                       (enum export_part[]) { EXPORT_CA, EXPORT_CHAIN, EXPORT_LEAF, EXPORT_KEY },
                       sizeof(changed.contents));
                ck_assert(!export_is_current(&changed, &m.set));
                assert_written(&changed, &m.set);
                ck_assert(!export_is_current(&export, &m.set));
                changed.n_contents = 2;
                memcpy(changed.contents, (enum export_part[]) { EXPORT_KEY, EXPORT_LEAF },
                       2 * sizeof(changed.contents[0]));
                ck_assert(!export_is_current(&changed, &m.set));
                assert_written(&changed, &m.set);
                changed.friendly_name = NULL;
                assert_written(&changed, &m.set);
                assert_written(&export, &m.set);

                /* The key of another leaf. */
                mixed = m.set;
                mixed.key = other.set.key;
                assert_written(&export, &mixed);
                ck_assert(!export_is_current(&export, &m.set));

                /* Another passphrase: the file is of no use any more, and is made anew with it. */
                scratch_write(scratch, "pass", "another one", 0600);
                ck_assert(!export_is_current(&export, &m.set));
                ck_assert_uint_eq(ERR_peek_error(), 0);
                assert_written(&export, &m.set);
                ck_assert_int_eq(unlink(pass), 0);
                ck_assert(!export_is_current(&export, &m.set));
        }
        assert_list(scratch, "x.p12");
}
END_TEST

START_TEST(counts_to_no_number_of_iterations_but_its_own) {
        static const char ours[] = { 0x02, 0x02, 0x27, 0x10 }; /* INTEGER 10000, the last thing in the file */
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *path = scratch_path(scratch, "x.p12"), *pass = scratch_path(scratch, "pass"),
                              *file = NULL;
        _cleanup_(fd_closep) int dir_fd = dir_open_at(AT_FDCWD, scratch);
        struct export export = pkcs12_to(path, pass);
        size_t size;

        scratch_write(scratch, "pass", PASSPHRASE, 0600);
        assert_written(&export, &m.set);
        ck_assert_int_eq(file_read_at(dir_fd, "x.p12", FILE_NOFOLLOW, 16384, &file, &size), 0);
        ck_assert_mem_eq(file + size - sizeof(ours), ours, sizeof(ours));
        file[size - 1]++;
        ck_assert_int_eq(file_replace_at(dir_fd, "x.p12", file, size, FILE_ACCESS(0600)), 0);
        ck_assert(!export_is_current(&export, &m.set));
        file[size - 1]--;
        ck_assert_int_eq(file_replace_at(dir_fd, "x.p12", file, size, FILE_ACCESS(0600)), 0);
        ck_assert(export_is_current(&export, &m.set));

        /* Before the number is the salt of the MAC: all there is agrees, and yet it is not sound. */
        file[size - sizeof(ours) - 1] ^= 1;
        ck_assert_int_eq(file_replace_at(dir_fd, "x.p12", file, size, FILE_ACCESS(0600)), 0);
        ck_assert(!export_is_current(&export, &m.set));
}
END_TEST

/* One without the key, and one with something behind its end: other programs make them, or a hand. */
START_TEST(tells_a_keystore_that_is_not_whole) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *path = scratch_path(scratch, "x.p12"), *pass = scratch_path(scratch, "pass"),
                              *file = NULL;
        _cleanup_(fd_closep) int dir_fd = dir_open_at(AT_FDCWD, scratch);
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 };
        struct export export = pkcs12_to(path, pass);
        STACK_OF(X509) *chain = sk_X509_new_null();
        PKCS12 *keyless;
        size_t size;
        FILE *out;

        scratch_write(scratch, "pass", PASSPHRASE, 0600);
        assert_written(&export, &m.set);
        ck_assert_int_eq(file_read_at(dir_fd, "x.p12", FILE_NOFOLLOW, 16384, &file, &size), 0);
        ck_assert_int_eq(file_replace_at(dir_fd, "x.p12", file, size + 1, FILE_ACCESS(0600)), 0);
        ck_assert(!export_is_current(&export, &m.set));
        ck_assert_int_eq(file_replace_at(dir_fd, "x.p12", file, size, FILE_ACCESS(0600)), 0);
        ck_assert(export_is_current(&export, &m.set));

        ck_assert_int_eq(cert_list_parse(m.set.certificate_pem, strlen(m.set.certificate_pem), &certs, NULL),
                         0);
        for (size_t i = 1; i < certs.n; i++)
                sk_X509_push(chain, cert_handle(certs.items[i]));
        keyless = PKCS12_create(PASSPHRASE, export.friendly_name, NULL, cert_handle(certs.items[0]), chain, 0,
                                NID_aes_256_cbc, 10000, 10000, 0);
        out = fopen(path, "we");
        ck_assert(keyless && out && i2d_PKCS12_fp(out, keyless) == 1);
        fclose(out);
        ck_assert(!export_is_current(&export, &m.set));
        PKCS12_free(keyless);
        sk_X509_free(chain);
}
END_TEST

/* --- Other programs read it --- */

/* The output of COMMAND, both streams, and its exit status. Owned by the caller. */
static char *shell(int *ret_status, const char *format, ...) _printf_(2, 3);
static char *shell(int *ret_status, const char *format, ...) {
        _cleanup_(freep) char *command = NULL;
        char *output = NULL;
        size_t size, n;
        char buffer[4096];
        va_list args;
        FILE *in, *out;

        va_start(args, format);
        ck_assert_int_ge(vasprintf(&command, format, args), 0);
        va_end(args);
        fflush(NULL);
        in = popen(command, "re");
        out = open_memstream(&output, &size);
        ck_assert(in && out);
        while ((n = fread(buffer, 1, sizeof(buffer), in)) > 0)
                fwrite(buffer, 1, n, out);
        fclose(out);
        *ret_status = pclose(in);
        return output;
}

static void assert_says(const char *output, const char *text) {
        ck_assert_msg(strstr(output, text) != NULL, "no '%s' in:\n%s", text, output);
}

static unsigned count(const char *text, const char *part) {
        unsigned n = 0;

        for (const char *p = text; (p = strstr(p, part)); p++)
                n++;
        return n;
}

START_TEST(openssl_reads_it) {
        static const struct {
                bool legacy;
                const char *mac, *encryption;
        } cases[] = {
                { false, "MAC: sha256, Iteration 10000",
                  "PBES2, PBKDF2, AES-256-CBC, Iteration 10000, PRF hmacWithSHA256" },
                { true, "MAC: sha1, Iteration 2048", "pbeWithSHA1And3-KeyTripleDES-CBC, Iteration 2048" },
        };
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *path = scratch_path(scratch, "x.p12"), *pass = scratch_path(scratch, "pass");
        struct export export = pkcs12_to(path, pass);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(freep) char *output = NULL, *refusal = NULL;
                _cleanup_(key_freep) struct key *key = NULL;
                uint8_t spki[SPKI_HASH_SIZE];
                int status;

                scratch_write(scratch, "pass", PASSPHRASE "\n", 0600);
                export.legacy = cases[i].legacy;
                assert_written(&export, &m.set);
                output =
                        shell(&status, "openssl pkcs12 -in %s -passin file:%s -info -noenc 2>&1", path, pass);
                ck_assert_msg(status == 0, "%s", output);
                assert_says(output, cases[i].mac);
                ck_assert_uint_eq(count(output, cases[i].encryption), 2);
                ck_assert_uint_eq(count(output, "friendlyName: orders"), 2);
                ck_assert_uint_eq(count(output, "localKeyID: "), 2); /* of the key and of its leaf */
                ck_assert_uint_eq(count(output, "BEGIN CERTIFICATE"), 2);
                assert_says(output, m.leaf);
                assert_says(output, m.intermediate);
                ck_assert_int_eq(key_parse(output, strlen(output), &key, NULL), 0);
                key_spki(key, spki);
                ck_assert_mem_eq(spki, m.set.spki, sizeof(spki));

                refusal = shell(&status, "openssl pkcs12 -in %s -passin pass:wrong -noenc 2>&1", path);
                ck_assert_msg(status != 0, "%s", refusal);
                assert_says(refusal, "invalid password");
        }
}
END_TEST

START_TEST(java_reads_it) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *path = scratch_path(scratch, "x.p12"), *pass = scratch_path(scratch, "pass");
        struct export export = pkcs12_to(path, pass);

        scratch_write(scratch, "pass", PASSPHRASE "\n", 0600);
        for (unsigned legacy = 0; legacy < 2; legacy++) {
                _cleanup_(freep) char *output = NULL, *key = NULL;
                int status;

                export.legacy = legacy;
                export.n_contents = 4;
                memcpy(export.contents,
                       (enum export_part[]) { EXPORT_KEY, EXPORT_LEAF, EXPORT_CHAIN, EXPORT_CA },
                       sizeof(export.contents));
                assert_written(&export, &m.set);
                output = shell(&status,
                               "keytool -J-Duser.language=en -list -v -storetype PKCS12 -keystore %s "
                               "-storepass:file %s 2>&1",
                               path, pass);
                ck_assert_msg(status == 0, "%s", output);
                assert_says(output, "Alias name: orders");
                assert_says(output, "Entry type: PrivateKeyEntry");
                assert_says(output, "Certificate chain length: 3");
                /* Listing reads certificates only; a request needs the key. */
                key = shell(
                        &status,
                        "keytool -J-Duser.language=en -certreq -alias orders -storetype PKCS12 -keystore %s "
                        "-storepass:file %s 2>&1",
                        path, pass);
                ck_assert_msg(status == 0, "%s", key);
                assert_says(key, "BEGIN NEW CERTIFICATE REQUEST");
        }
}
END_TEST

/* --- Nothing stays in memory --- */

static void use(const struct export *export, const struct set *set) {
        ck_assert_int_eq(export_write(export, set, NULL), 0);
        ck_assert(export_is_current(export, set));
        assert_checks(export);
}

START_TEST(no_key_stays_in_memory) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *path = scratch_path(scratch, "x"), *pass = scratch_path(scratch, "pass");
        struct export pem = pem_to(path), pkcs12 = pkcs12_to(path, pass),
                      der = { .path = path, .format = EXPORT_DER, .n_contents = 1, .access = ANYBODY };
        struct search *search = search_new();
        unsigned before;
        size_t size;
        char *bytes;

        scratch_write(scratch, "pass", PASSPHRASE, 0600);
        key_pem(m.set.key, (const char **)&bytes, &size);
        search->size = 50;
        memcpy(search->needle, bytes + 10 * 65, search->size);
        before = search_memory(search);
        ck_assert_uint_ge(before, 2); /* in the key and in the test's own copy */
        use(&pem, &m.set);
        ck_assert_uint_le(search_memory(search), before);

        /* As DER it lies about already: OpenSSL leaves it behind when it reads a key. No more may come. */
        ck_assert_int_eq(key_der(m.set.key, &bytes, &size, NULL), 0);
        memcpy(search->needle, bytes + size / 2, search->size);
        before = search_memory(search);
        ck_assert_uint_ge(before, 1);
        explicit_bzero(bytes, size);
        free(bytes);
        before--;
        ck_assert_uint_le(search_memory(search), before);
        use(&der, &m.set);
        use(&pkcs12, &m.set);
        pkcs12.legacy = true;
        use(&pkcs12, &m.set);
        ck_assert_uint_le(search_memory(search), before);
        search_free(search);
}
END_TEST

START_TEST(no_passphrase_stays_in_memory) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *path = scratch_path(scratch, "x.p12"), *pass = scratch_path(scratch, "pass"),
                              *warning = NULL;
        struct export export = pkcs12_to(path, pass);
        struct search *search = search_new();
        char filler[700];

        /* Random letters, which exist in the file and in the search only, and at the end of so many others
         * that their place in memory is not soon used again. */
        search->size = sizeof(search->needle);
        ck_assert_int_eq(getrandom(search->needle, search->size, 0), (ssize_t)search->size);
        for (size_t i = 0; i < search->size; i++)
                search->needle[i] = (char)('a' + (unsigned char)search->needle[i] % 26);
        memset(filler, 'x', sizeof(filler));
        ck_assert_uint_eq(search_memory(search), 0);

        for (unsigned i = 0; i < 4; i++) {
                /* On the second line, what follows the passphrase is nobody's business either. */
                int fd = open(pass, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

                filler[sizeof(filler) - 1] = i & 1 ? '\n' : 'x';
                ck_assert_int_eq(write(fd, filler, sizeof(filler)), sizeof(filler));
                ck_assert_int_eq(write(fd, search->needle, search->size), (ssize_t)search->size);
                close(fd);
                export.legacy = i & 2;
                /* As text: OpenSSL's key derivation for PKCS#12 frees it, in letters of 16 bits, as it is. */
                ck_assert_int_eq(export_check(&export, NULL, &warning, NULL), 0);
                ck_assert_uint_eq(search_memory(search), 0);
                ck_assert_int_eq(export_write(&export, &m.set, NULL), 0);
                ck_assert_uint_eq(search_memory(search), 0);
                ck_assert(export_is_current(&export, &m.set));
                ck_assert_uint_eq(search_memory(search), 0);
        }
        search_free(search);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("export-pkcs12");

        x509_key(3);
        TEST_CASE(suite, refuses_passphrase_files);
        TEST_CASE(suite, a_file_from_windows_has_the_same_passphrase);
        TEST_CASE(suite, warns_of_a_passphrase_that_everybody_can_read);
        TEST_CASE(suite, tells_a_keystore_that_is_not_current);
        TEST_CASE(suite, counts_to_no_number_of_iterations_but_its_own);
        TEST_CASE(suite, tells_a_keystore_that_is_not_whole);
        if (system("openssl version >/dev/null 2>&1") == 0)
                TEST_CASE(suite, openssl_reads_it);
        else
                test_skip("openssl_reads_it: there is no openssl on this machine");
        if (system("keytool -help >/dev/null 2>&1") == 0)
                TEST_CASE(suite, java_reads_it);
        else
                test_skip("java_reads_it: there is no keytool on this machine");
        TEST_CASE(suite, no_key_stays_in_memory);
        TEST_CASE(suite, no_passphrase_stays_in_memory);
        return test_run(suite);
}
