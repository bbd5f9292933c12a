/*
 * What is in the exports that the real rekeyd writes, for whose eyes, after each way in which a set becomes
 * current, and when they have been damaged. Read by the openssl command where PEM is not enough.
 */

#include <signal.h>
#include <sys/stat.h>

#include "daemon/observe/messages.h"
#include "tests/e2e/exports-fixture.h"
#include "tests/test.h"

static const char *const with_root[] = { "--lifetime", "1h", "--root", NULL };

static void assert_pkcs12(const struct fixture *fixture, const char *name, const char *friendly_name,
                          const char *recipe, const char *mac) {
        _cleanup_(freep) char *key = expected_pem(fixture, "k"), *leaf = expected_pem(fixture, "l"),
                              *chain = expected_pem(fixture, "c");
        _cleanup_(freep) char *open = NULL, *named = NULL;

        ck_assert_int_ge(asprintf(&open, "openssl pkcs12 -in %s/out/%s -passin file:%s/pass -nodes",
                                  fixture->directory, name, fixture->directory),
                         0);
        ck_assert_int_ge(asprintf(&named, "friendlyName: %s\n", friendly_name), 0);
        _cleanup_(freep) char *its_key = shell("%s -nocerts | openssl pkey", open),
                              *its_leaf = shell("%s -nokeys -clcerts | openssl x509", open),
                              *its_chain = shell("%s -nokeys -cacerts | sed -n '/^-----B/,/^-----E/p'", open),
                              *about = shell("%s -info 2>&1", open);

        ck_assert_str_eq(its_key, key);
        ck_assert_str_eq(its_leaf, leaf);
        ck_assert_str_eq(its_chain, chain);
        ck_assert_ptr_nonnull(strstr(about, named));
        ck_assert_msg(strstr(about, recipe) != NULL, "no '%s' in\n%s", recipe, about);
        ck_assert_msg(strstr(about, mac) != NULL, "no '%s' in\n%s", mac, about);
        /* Readers find the leaf of the key by what both are marked with. */
        ck_assert_ptr_nonnull(strstr(strstr(about, "localKeyID") + 1, "localKeyID"));
}

#define EVERY_EXPORT                                                                                    \
        "    exports:\n"                                                                                \
        "      - {path: '@/out/standard.pem', owner: 65534, group: 1, mode: 0640}\n"                    \
        "      - {path: '@/out/key-last.pem', contents: [leaf, chain, key]}\n"                          \
        "      - {path: '@/out/ca-first.pem', contents: [ca, chain, leaf], mode: 0444}\n"               \
        "      - {path: '@/out/ca.pem', contents: [ca]}\n"                                              \
        "      - {path: '@/out/key.der', format: der, contents: [key], group: 1, mode: 0440}\n"         \
        "      - {path: '@/out/leaf.der', format: der, contents: [leaf]}\n"                             \
        "      - {path: '@/out/modern.p12', format: pkcs12, passphrase_file: '@/pass'}\n"               \
        "      - {path: '@/out/legacy.p12', format: pkcs12, passphrase_file: '@/pass', legacy: true,\n" \
        "         friendly_name: 'old Java'}\n"
#define N_EXPORTS 8
#define N_CHANGED 7 /* with a set of the same CA */

static void assert_every_export(const struct fixture *fixture) {
        static const struct {
                const char *name, *parts;
        } pems[] = {
                { "standard.pem", "klc" },
                { "key-last.pem", "lck" },
                { "ca-first.pem", "acl" },
                { "ca.pem", "a" },
        };
        const char *d = fixture->directory;
        _cleanup_(freep) char *out = scratch_path(d, "out"), *list = scratch_list(out);

        ck_assert_str_eq(list, "ca-first.pem ca.pem key-last.pem key.der leaf.der legacy.p12 modern.p12 "
                               "standard.pem");
        for (size_t i = 0; i < ELEMENTSOF(pems); i++) {
                _cleanup_(freep) char *text = scratch_read(out, pems[i].name),
                                      *expected = expected_pem(fixture, pems[i].parts);

                ck_assert_str_eq(text, expected);
        }

        _cleanup_(freep) char *key = expected_pem(fixture, "k"), *leaf = expected_pem(fixture, "l"),
                              *key_der = shell("openssl pkey -inform DER -in %s/key.der", out),
                              *leaf_der = shell("openssl x509 -inform DER -in %s/leaf.der", out);
        ck_assert_str_eq(key_der, key);
        ck_assert_str_eq(leaf_der, leaf);
        assert_pkcs12(fixture, "modern.p12", "orders",
                      "PBES2, PBKDF2, AES-256-CBC, Iteration 10000, PRF hmacWithSHA256",
                      "MAC: sha256, Iteration 10000");
        assert_pkcs12(fixture, "legacy.p12", "old Java", "pbeWithSHA1And3-KeyTripleDES-CBC", "MAC: sha1");

        assert_mode(fixture, "out/standard.pem", NOBODY, DAEMON, 0640);
        assert_mode(fixture, "out/key-last.pem", geteuid(), getegid(), 0600);
        assert_mode(fixture, "out/ca-first.pem", geteuid(), getegid(), 0444);
        assert_mode(fixture, "out/ca.pem", geteuid(), getegid(), 0644);
        assert_mode(fixture, "out/key.der", geteuid(), DAEMON, 0440);
        assert_mode(fixture, "out/leaf.der", geteuid(), getegid(), 0644);
        assert_mode(fixture, "out/modern.p12", geteuid(), getegid(), 0600);
        assert_mode(fixture, "out/legacy.p12", geteuid(), getegid(), 0600);
}

static struct fixture *prepare_every_export(void) {
        struct fixture *fixture = prepare(with_root, EXPORTING EVERY_EXPORT TELL);

        make_directory(fixture, "out", 0755);
        scratch_write(fixture->directory, "pass", "open sesame\nand a second line\n", 0600);
        return fixture;
}

START_TEST(they_are_what_the_set_is) {
        _cleanup_(fixture_freep) struct fixture *fixture = prepare_every_export();
        const char *d = fixture->directory;
        _cleanup_(freep) char *first = NULL, *repaired = NULL;

        fixture_start(fixture, NULL);
        await_exports(fixture, N_EXPORTS);
        await_message(fixture, MESSAGE_NOTIFIED);
        assert_every_export(fixture);
        first = scratch_read(d, "out/standard.pem");

        /* After a renewal. */
        fixture_edit(fixture, "    exports", LARGER_KEY "    exports");
        process_signal(fixture->rekeyd, SIGHUP);
        await_message(fixture, MESSAGE_RENEWED);
        await_exports(fixture, N_CHANGED);
        await_message(fixture, MESSAGE_NOTIFIED);
        assert_every_export(fixture);
        fixture_edit(fixture, LARGER_KEY, "");
        fixture_reload(fixture);
        await_message(fixture, MESSAGE_CURRENT);

        /* After a repair, which brings the first set back. */
        scratch_write(d, "orders/tls.key", "oops\n", 0600);
        await_exports(fixture, N_CHANGED);
        await_message(fixture, MESSAGE_NOTIFIED);
        assert_every_export(fixture);
        repaired = scratch_read(d, "out/standard.pem");
        ck_assert_str_eq(first, repaired);
        assert_told(fixture, "1\n2\n3\n");

        /* And then there is nothing to do, in none of the formats. */
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 0);
        ck_assert_uint_eq(logged(fixture, MESSAGE_EXPORTED), 0);
        assert_told(fixture, "1\n2\n3\n");
}
END_TEST

static void damage_exports(const struct fixture *fixture) {
        free(shell(
                "cd %s/out && rm standard.pem && cp modern.p12 legacy.p12 && : >key.der && chmod 0666 ca.pem",
                fixture->directory));
}

START_TEST(what_was_damaged_is_written_again_at_the_next_look) {
        _cleanup_(fixture_freep) struct fixture *fixture = prepare_every_export();
        _cleanup_(freep) char *untouched = scratch_path(fixture->directory, "out/key-last.pem");
        static const char *const damaged[] = { "standard.pem", "ca.pem", "key.der", "legacy.p12" };
        struct stat before, after;

        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        ck_assert_int_eq(stat(untouched, &before), 0);

        /* At a start. */
        damage_exports(fixture);
        fixture_start(fixture, NULL);
        for (size_t i = 0; i < ELEMENTSOF(damaged); i++)
                await_export(fixture, MESSAGE_EXPORTED, damaged[i], "generation 1");
        await_message(fixture, MESSAGE_NOTIFIED);
        assert_every_export(fixture);
        assert_told(fixture, "1\n1\n");

        /* And when anything happens to them; all of it, before rekeyd gets to look. */
        process_signal(fixture->rekeyd, SIGSTOP);
        damage_exports(fixture);
        process_signal(fixture->rekeyd, SIGCONT);
        for (size_t i = 0; i < ELEMENTSOF(damaged); i++)
                await_export(fixture, MESSAGE_EXPORTED, damaged[i], "generation 1");
        await_message(fixture, MESSAGE_NOTIFIED);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        assert_every_export(fixture);
        assert_told(fixture, "1\n1\n1\n");
        ck_assert_int_eq(stat(untouched, &after), 0);
        ck_assert_uint_eq(before.st_ino, after.st_ino);
        ck_assert_uint_eq(logged(fixture, MESSAGE_EXPORTED), 2 * ELEMENTSOF(damaged));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("exports-content");

        if (geteuid() == 0) {
                TEST_CASE(suite, they_are_what_the_set_is);
                TEST_CASE(suite, what_was_damaged_is_written_again_at_the_next_look);
        } else
                test_skip("owners and groups: only root can give files away");
        return test_run(suite);
}
