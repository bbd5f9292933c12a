/*
 * Exports from end to end: the real rekeyd writes them, and tries again what it cannot write, while the
 * certificate itself goes its way. Whatever the obstacle, dependents learn of each generation once, and once
 * more when a copy that was missing is there.
 */

#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "daemon/messages.h"
#include "lib/export.h"
#include "tests/support/stand.h"
#include "tests/test.h"

/* '@' stands for the scratch directory. */
#define ORDERS                        \
        "  orders:\n"                 \
        "    connector: dev\n"        \
        "    directory: '@/orders'\n" \
        "    token_file: '@/token'\n"

/* Writes down each generation that it is told of. */
#define TELL            \
        "    notify:\n" \
        "      - command: [/bin/sh, -c, 'echo \"$REKEYD_GENERATION\" >>@/told']\n"

#define LARGER_KEY "    key: {bits: 3072}\n"

/* Due at a tenth of its lifetime, which is as early as it gets. */
#define AT_ONCE "    renew_before: 99%%\n"

#define NOBODY 65534u
#define DAEMON 1u

static const char *const an_hour[] = { "--lifetime", "1h", NULL };
static const char *const with_root[] = { "--lifetime", "1h", "--root", NULL };

/* A lifetime of which a tenth is short, and the rest long enough for a busy machine. */
#define SOON ((const char *[]) { "--lifetime", lifetime(20), "--root", NULL })

/* --- What all cases do --- */

static struct stand *prepare(const char *const *options, const char *certificates) {
        struct stand *stand = stand_new(options);

        stand_configure(stand, certificates);
        stand_edit(stand, "@", stand->directory);
        stand_token(stand, "client-1", "token");
        return stand;
}

static void make_directory(const struct stand *stand, const char *name, mode_t mode) {
        _cleanup_(freep) char *path = scratch_path(stand->directory, name);

        ck_assert_int_eq(mkdir(path, mode), 0);
        ck_assert_int_eq(chmod(path, mode), 0);
}

static bool mentions(const json_t *line, const char *name, const char *text) {
        return strstr(member(line, name), text);
}

/* The next line that an export was written, or was not, must be of PATH; TEXT is in it. */
static void await_export(struct stand *stand, const char *message_id, const char *path, const char *text) {
        json_t *line = stand_await(stand, message_id);

        ck_assert_msg(mentions(line, "export", path) && mentions(line, "message", path), "'%s', not of %s",
                      member(line, "message"), path);
        ck_assert_msg(mentions(line, "message", text), "no '%s' in '%s'", text, member(line, "message"));
        ck_assert_str_eq(member(line, "certificate"), "orders");
        ck_assert_str_eq(member(line, "level"), streq(message_id, MESSAGE_EXPORTED) ? "info" : "error");
        ck_assert_int_eq(streq(message_id, MESSAGE_EXPORTED), streq(member(line, "error"), ""));
        json_decref(line);
}

static void await_exports(struct stand *stand, unsigned n) {
        while (n-- > 0)
                json_decref(stand_await(stand, MESSAGE_EXPORTED));
}

static void await_message(struct stand *stand, const char *message_id) {
        json_decref(stand_await(stand, message_id));
}

/* How often rekeyd has logged MESSAGE_ID, all in all. */
static unsigned logged(struct stand *stand, const char *message_id) {
        unsigned n = 0;

        for (const char *p = process_output(stand->rekeyd, PROCESS_STDERR); (p = strstr(p, message_id)); p++)
                n++;
        return n;
}

static void assert_told(const struct stand *stand, const char *expected) {
        _cleanup_(freep) char *told = scratch_read(stand->directory, "told");

        ck_assert_str_eq(told ? told : "", expected);
}

/* Each generation up to N once, in their order; later ones may have come meanwhile. */
static void assert_told_once_each(const struct stand *stand, unsigned n) {
        _cleanup_(freep) char *told = scratch_read(stand->directory, "told");
        const char *p = told;

        ck_assert_ptr_nonnull(told);
        for (unsigned i = 1; i <= n || *p; i++) {
                char *end;

                ck_assert_msg(strtoul(p, &end, 10) == i && *end == '\n', "%s", told);
                p = end + 1;
        }
}

static void assert_mode(const struct stand *stand, const char *name, uid_t uid, gid_t gid, mode_t mode) {
        _cleanup_(freep) char *path = scratch_path(stand->directory, name);
        struct stat st;

        ck_assert_int_eq(lstat(path, &st), 0);
        ck_assert_uint_eq(st.st_uid, uid);
        ck_assert_uint_eq(st.st_gid, gid);
        ck_assert_uint_eq(st.st_mode, S_IFREG | mode);
}

/* What COMMAND prints; it must succeed. '@' has no meaning here: it is a format. */
_printf_(1, 2) static char *shell(const char *format, ...) {
        _cleanup_(freep) char *command = NULL;
        char *text = NULL;
        size_t size = 0;
        va_list args;
        FILE *pipe, *out = open_memstream(&text, &size);

        va_start(args, format);
        ck_assert_int_ge(vasprintf(&command, format, args), 0);
        va_end(args);
        fflush(NULL);
        pipe = popen(command, "r");
        ck_assert(pipe && out);
        for (int c; (c = getc(pipe)) != EOF;)
                putc(c, out);
        fclose(out);
        ck_assert_msg(pclose(pipe) == 0, "%s failed: %s", command, text);
        return text;
}

/* --- What is in them --- */

/* Appends those PEM blocks of TEXT, from the N-th to the last, that are not there yet. */
static void append(char *all, size_t size, const char *text, size_t begin, size_t end) {
        static const char end_line[] = "-----END CERTIFICATE-----\n";

        for (size_t i = 0; *text; i++) {
                const char *next = strstr(text, end_line);

                ck_assert_ptr_nonnull(next);
                next += strlen(end_line);
                _cleanup_(freep) char *block = strndup(text, (size_t)(next - text));
                if (i >= begin && i < end && !strstr(all, block)) {
                        ck_assert_uint_lt(strlen(all) + strlen(block), size);
                        strcat(all, block);
                }
                text = next;
        }
}

/* The current set, put together from its files by somebody who knows nothing of lib/export. PARTS are letters
 * of key, leaf, chain, ca (as "a"). */
static char *expected_pem(const struct stand *stand, const char *parts) {
        _cleanup_(freep) char *key = scratch_read(stand->directory, "orders/tls.key"),
                              *own = scratch_read(stand->directory, "orders/tls.crt"),
                              *ca = scratch_read(stand->directory, "orders/ca.crt");
        size_t size = 65536;
        char *all = calloc(1, size);

        ck_assert(key && own && ca && all);
        for (; *parts; parts++)
                if (*parts == 'k')
                        strcat(all, key);
                else if (*parts == 'a')
                        append(all, size, ca, 0, SIZE_MAX);
                else
                        append(all, size, own, *parts == 'l' ? 0 : 1, *parts == 'l' ? 1 : SIZE_MAX);
        return all;
}

static void assert_pkcs12(const struct stand *stand, const char *name, const char *friendly_name,
                          const char *recipe, const char *mac) {
        _cleanup_(freep) char *key = expected_pem(stand, "k"), *leaf = expected_pem(stand, "l"),
                              *chain = expected_pem(stand, "c");
        _cleanup_(freep) char *open = NULL, *named = NULL;

        ck_assert_int_ge(asprintf(&open, "openssl pkcs12 -in %s/out/%s -passin file:%s/pass -nodes",
                                  stand->directory, name, stand->directory),
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

static void assert_every_export(const struct stand *stand) {
        static const struct {
                const char *name, *parts;
        } pems[] = {
                { "standard.pem", "klc" },
                { "key-last.pem", "lck" },
                { "ca-first.pem", "acl" },
                { "ca.pem", "a" },
        };
        const char *d = stand->directory;
        _cleanup_(freep) char *out = scratch_path(d, "out"), *list = scratch_list(out);

        ck_assert_str_eq(list, "ca-first.pem ca.pem key-last.pem key.der leaf.der legacy.p12 modern.p12 "
                               "standard.pem");
        for (size_t i = 0; i < ELEMENTSOF(pems); i++) {
                _cleanup_(freep) char *text = scratch_read(out, pems[i].name),
                                      *expected = expected_pem(stand, pems[i].parts);

                ck_assert_str_eq(text, expected);
        }

        _cleanup_(freep) char *key = expected_pem(stand, "k"), *leaf = expected_pem(stand, "l"),
                              *key_der = shell("openssl pkey -inform DER -in %s/key.der", out),
                              *leaf_der = shell("openssl x509 -inform DER -in %s/leaf.der", out);
        ck_assert_str_eq(key_der, key);
        ck_assert_str_eq(leaf_der, leaf);
        assert_pkcs12(stand, "modern.p12", "orders",
                      "PBES2, PBKDF2, AES-256-CBC, Iteration 10000, PRF hmacWithSHA256",
                      "MAC: sha256, Iteration 10000");
        assert_pkcs12(stand, "legacy.p12", "old Java", "pbeWithSHA1And3-KeyTripleDES-CBC", "MAC: sha1");

        assert_mode(stand, "out/standard.pem", NOBODY, DAEMON, 0640);
        assert_mode(stand, "out/key-last.pem", geteuid(), getegid(), 0600);
        assert_mode(stand, "out/ca-first.pem", geteuid(), getegid(), 0444);
        assert_mode(stand, "out/ca.pem", geteuid(), getegid(), 0644);
        assert_mode(stand, "out/key.der", geteuid(), DAEMON, 0440);
        assert_mode(stand, "out/leaf.der", geteuid(), getegid(), 0644);
        assert_mode(stand, "out/modern.p12", geteuid(), getegid(), 0600);
        assert_mode(stand, "out/legacy.p12", geteuid(), getegid(), 0600);
}

/* --- What stands in their way --- */

static const struct obstacle {
        const char *path, *error;
} obstacles[] = {
        { "missing/a.pem", "there is no directory" },
        { "strangers/b.pem", "mode 0777 of directory" },
        { "out/link.pem", "it is a symbolic link to elsewhere" },
        { "out/folder.pem", "is a directory instead of a file" },
        { "out/e.p12", "cannot read passphrase file" },
};

static void make_obstacles(const struct stand *stand) {
        _cleanup_(freep) char *link = scratch_path(stand->directory, "out/link.pem");

        make_directory(stand, "strangers", 0777);
        make_directory(stand, "out", 0755);
        make_directory(stand, "out/folder.pem", 0755);
        ck_assert_int_eq(symlink("elsewhere", link), 0);
}

static void mend_obstacles(const struct stand *stand) {
        _cleanup_(freep) char *link = scratch_path(stand->directory, "out/link.pem"),
                              *folder = scratch_path(stand->directory, "out/folder.pem"),
                              *strangers = scratch_path(stand->directory, "strangers");

        make_directory(stand, "missing", 0700);
        ck_assert_int_eq(chmod(strangers, 0755), 0);
        ck_assert_int_eq(unlink(link), 0);
        ck_assert_int_eq(rmdir(folder), 0);
        scratch_write(stand->directory, "pass", "open sesame\n", 0600);
}

START_TEST(what_cannot_be_written_keeps_nobody_from_the_certificate) {
        _cleanup_(stand_freep) struct stand *stand = prepare(
                an_hour, ORDERS "    exports:\n"
                                "      - {path: '@/missing/a.pem'}\n"
                                "      - {path: '@/strangers/b.pem'}\n"
                                "      - {path: '@/out/link.pem'}\n"
                                "      - {path: '@/out/folder.pem'}\n"
                                "      - {path: '@/out/e.p12', format: pkcs12, "
                                "passphrase_file: '@/pass'}\n"
                                "      - {path: '@/out/fine.pem'}\n" TELL "      - command: [/bin/false]\n");
        json_t *line;

        make_obstacles(stand);
        stand_start(stand, NULL);
        /* What would not work is said before a token is burnt; it burns all the same. */
        for (size_t i = 0; i < ELEMENTSOF(obstacles); i++)
                await_export(stand, MESSAGE_NOT_EXPORTED, obstacles[i].path,
                             "there is no certificate yet, and an export of it could not be written");
        await_message(stand, MESSAGE_ENROLLED);
        for (size_t i = 0; i < ELEMENTSOF(obstacles); i++)
                await_export(stand, MESSAGE_NOT_EXPORTED, obstacles[i].path, obstacles[i].error);
        await_export(stand, MESSAGE_EXPORTED, "out/fine.pem", "generation 1");
        await_message(stand, MESSAGE_NOTIFIED);
        assert_told(stand, "1\n");

        /* Tried again with a back-off that doubles, without a word to anybody. */
        for (size_t i = 0; i < ELEMENTSOF(obstacles); i++) {
                line = stand_await(stand, MESSAGE_NOT_EXPORTED);
                ck_assert_msg(mentions(line, "message", "trying again in 8s") ||
                                      mentions(line, "message", "trying again in 9s") ||
                                      mentions(line, "message", "trying again in 1"),
                              "%s", member(line, "message"));
                json_decref(line);
        }
        assert_told(stand, "1\n");
        ck_assert_uint_eq(logged(stand, MESSAGE_NOTIFIED), 1);
        ck_assert_uint_eq(logged(stand, MESSAGE_EXPORTED), 1);

        mend_obstacles(stand);
        for (size_t i = 0; i < ELEMENTSOF(obstacles); i++)
                await_export(stand, MESSAGE_EXPORTED, obstacles[i].path, "generation 1");
        /* The command that always fails had its own back-off: at 0 s, 5 s, and maybe 15 s. */
        ck_assert_uint_le(logged(stand, MESSAGE_NOT_NOTIFIED), 3);
        await_message(stand, MESSAGE_NOTIFIED);
        assert_told(stand, "1\n1\n");
        ck_assert_int_eq(stand_stop(stand), 0);
        ck_assert_uint_eq(logged(stand, MESSAGE_NOTIFIED), 2);
}
END_TEST

START_TEST(what_cannot_be_written_keeps_nobody_from_a_renewal) {
        _cleanup_(stand_freep) struct stand *stand =
                prepare(SOON, ORDERS AT_ONCE "    exports: [{path: '@/missing/a.pem'}]\n" TELL);

        stand_start(stand, NULL);
        await_message(stand, MESSAGE_ENROLLED);
        for (unsigned i = 2; i <= 4; i++) {
                json_t *line = stand_await(stand, MESSAGE_RENEWED);

                ck_assert_int_eq(atoi(member(line, "generation")), (int)i);
                json_decref(line);
                await_export(stand, MESSAGE_NOT_EXPORTED, "missing/a.pem", "there is no directory");
                await_message(stand, MESSAGE_NOTIFIED);
        }
        assert_told_once_each(stand, 4);
        ck_assert_int_eq(stand_stop(stand), 0);
        /* Without the daemon's patience it is a failure, which the exit status tells. */
        ck_assert_int_eq(stand_run(stand, "--once"), 1);
}
END_TEST

/* A server that cannot start without its copy, say: its back-off may be an hour by now. */
START_TEST(who_failed_for_want_of_an_export_is_told_when_it_is_there) {
        _cleanup_(stand_freep) struct stand *stand =
                prepare(an_hour, ORDERS "    exports: [{path: '@/out/a.pem'}]\n"
                                        "    notify: [{command: [/usr/bin/test, -f, '@/out/a.pem']}]\n");
        usec_t begin;

        stand_start(stand, NULL);
        await_message(stand, MESSAGE_ENROLLED);
        await_message(stand, MESSAGE_NOT_NOTIFIED);
        await_message(stand, MESSAGE_NOT_NOTIFIED); /* and not again for 8 s */
        make_directory(stand, "out", 0755);
        scratch_write(stand->directory, "orders/noise", "x", 0644);
        await_message(stand, MESSAGE_EXPORTED);
        begin = now_usec(CLOCK_MONOTONIC);
        await_message(stand, MESSAGE_NOTIFIED);
        if (!getenv("REKEYD_TEST_WRAPPER"))
                ck_assert_uint_lt(now_usec(CLOCK_MONOTONIC) - begin, 5 * USEC_PER_SEC);
        ck_assert_int_eq(stand_stop(stand), 0);
}
END_TEST

START_TEST(what_the_set_lacks_is_tried_until_a_renewal_brings_it) {
        _cleanup_(stand_freep) struct stand *stand = prepare(an_hour, ORDERS);
        _cleanup_(freep) char *ca = scratch_path(stand->directory, "orders/ca.crt"), *key = NULL,
                              *certificate = NULL;

        /* A pair that is adopted without its CA. */
        ck_assert_int_eq(stand_run(stand, "--once"), 2);
        key = scratch_read(stand->directory, "orders/tls.key");
        certificate = scratch_read(stand->directory, "orders/tls.crt");
        make_directory(stand, "plain", 0755);
        make_directory(stand, "out", 0755);
        scratch_write(stand->directory, "plain/tls.key", key, 0600);
        scratch_write(stand->directory, "plain/tls.crt", certificate, 0644);

        stand_edit(stand, "orders'", "plain'\n    exports: [{path: '@/out/ca.pem', contents: [ca]}]");
        stand_edit(stand, "@", stand->directory);
        stand_edit(stand, "enrol_url", "url");
        stand_edit(stand, stand->token_url, stand->certificate_url);
        stand_edit(stand, "    token_file", "#   token_file");
        stand_start(stand, NULL);
        await_message(stand, MESSAGE_ADOPTED);
        await_export(stand, MESSAGE_NOT_EXPORTED, "out/ca.pem", "came without its CA");
        await_message(stand, MESSAGE_CURRENT);
        stand_edit(stand, "bits: 2048", "bits: 3072");
        process_signal(stand->rekeyd, SIGHUP);
        await_message(stand, MESSAGE_RENEWED);
        await_export(stand, MESSAGE_EXPORTED, "out/ca.pem", "generation 1");
        ck_assert_int_eq(stand_stop(stand), 0);
}
END_TEST

START_TEST(an_unprivileged_rekeyd_says_what_it_may_not_do) {
        static const char as_nobody[] = "/usr/bin/setpriv --reuid=65534 --regid=65534 --clear-groups";
        _cleanup_(stand_freep) struct stand *stand =
                prepare(an_hour, ORDERS "    exports:\n"
                                        "      - {path: '@/out/a.pem'}\n"
                                        "      - {path: '@/own/b.pem', group: 1}\n" TELL);
        _cleanup_(freep) char *out = scratch_path(stand->directory, "out"),
                              *own = scratch_path(stand->directory, "own"), *probe = NULL;

        ck_assert_int_ge(
                asprintf(&probe, "%s test -x %s 2>/dev/null", as_nobody, getenv("REKEYD_TEST_REKEYD")), 0);
        if (getenv("REKEYD_TEST_WRAPPER") || system(probe) != 0) {
                test_skip("an_unprivileged_rekeyd_says_what_it_may_not_do: user %u cannot run rekeyd here",
                          NOBODY);
                return;
        }
        free(shell("chown -R %u:%u %s", NOBODY, NOBODY, stand->directory));
        make_directory(stand, "out", 0755);
        make_directory(stand, "own", 0755);
        ck_assert_int_eq(chown(own, NOBODY, NOBODY), 0);

        setenv("REKEYD_TEST_WRAPPER", as_nobody, 1);
        stand_start(stand, NULL);
        unsetenv("REKEYD_TEST_WRAPPER");
        await_message(stand, MESSAGE_ENROLLED);
        await_export(stand, MESSAGE_NOT_EXPORTED, "out/a.pem", "user 65534, who may not write there");
        await_export(stand, MESSAGE_NOT_EXPORTED, "own/b.pem", "CAP_CHOWN");
        await_message(stand, MESSAGE_NOTIFIED);

        ck_assert_int_eq(chown(out, NOBODY, NOBODY), 0);
        await_export(stand, MESSAGE_EXPORTED, "out/a.pem", "generation 1");
        await_message(stand, MESSAGE_NOTIFIED);
        assert_told(stand, "1\n1\n");
        assert_mode(stand, "out/a.pem", NOBODY, NOBODY, 0600);
        ck_assert_int_eq(stand_stop(stand), 0);
}
END_TEST

START_TEST(a_passphrase_for_everybody_is_warned_of_once) {
        _cleanup_(stand_freep) struct stand *stand =
                prepare(an_hour, ORDERS "    exports:\n"
                                        "      - {path: '@/out/a.p12', format: pkcs12, "
                                        "passphrase_file: '@/pass'}\n");
        json_t *line;

        make_directory(stand, "out", 0755);
        scratch_write(stand->directory, "pass", "open sesame\n", 0644);
        stand_start(stand, NULL);
        line = stand_await(stand, MESSAGE_WARNING);
        ck_assert_msg(mentions(line, "message", "can be read by every user"), "%s", member(line, "message"));
        json_decref(line);
        await_message(stand, MESSAGE_EXPORTED);
        ck_assert_int_eq(stand_stop(stand), 0);
        ck_assert_uint_eq(logged(stand, MESSAGE_WARNING), 1);
        ck_assert_ptr_null(strstr(process_output(stand->rekeyd, PROCESS_STDERR), "sesame"));
}
END_TEST

/* --- Mounts --- */

/* Mounts that nobody else sees; the rekeyd that is started then sees them. */
static bool enter_namespace(const char *test) {
        if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0)
                return true;
        test_skip("%s: no mount namespace can be made here (CAP_SYS_ADMIN)", test);
        return false;
}

START_TEST(a_mounted_file_is_written_in_place_where_that_is_asked) {
        _cleanup_(stand_freep) struct stand *stand =
                prepare(SOON, ORDERS AT_ONCE "    exports:\n"
                                             "      - {path: '@/out/a.pem'}\n"
                                             "      - {path: '@/out/b.pem', in_place: true}\n" TELL);
        const char *d = stand->directory;
        _cleanup_(freep) char *a = scratch_path(d, "out/a.pem"), *b = scratch_path(d, "out/b.pem"),
                              *volume_a = scratch_path(d, "volume-a"),
                              *volume_b = scratch_path(d, "volume-b"), *unwritten = NULL, *written = NULL,
                              *expected = NULL;

        if (!enter_namespace("a_mounted_file_is_written_in_place_where_that_is_asked"))
                return;
        make_directory(stand, "out", 0755);
        scratch_write(d, "volume-a", "as it was", 0600);
        scratch_write(d, "volume-b", "as it was", 0644);
        scratch_write(d, "out/a.pem", "", 0600);
        scratch_write(d, "out/b.pem", "", 0600);
        ck_assert_int_eq(mount(volume_a, a, "none", MS_BIND, NULL), 0);
        ck_assert_int_eq(mount(volume_b, b, "none", MS_BIND, NULL), 0);

        stand_start(stand, NULL);
        for (unsigned i = 1; i <= 3; i++) {
                await_message(stand, i == 1 ? MESSAGE_ENROLLED : MESSAGE_RENEWED);
                await_export(stand, MESSAGE_NOT_EXPORTED, "out/a.pem", "or set 'in_place: true'");
                await_export(stand, MESSAGE_EXPORTED, "out/b.pem", "wrote export");
                await_message(stand, MESSAGE_NOTIFIED);
        }
        /* No more of them, so that nothing is on its way. */
        stand_fault(stand, "{\"fault\":\"status\",\"status\":503,\"at\":\"any\"}");
        await_message(stand, MESSAGE_FAILED);
        assert_told_once_each(stand, 3);
        ck_assert_int_eq(stand_stop(stand), 0);

        unwritten = scratch_read(d, "volume-a");
        ck_assert_str_eq(unwritten, "as it was");
        written = scratch_read(d, "volume-b");
        expected = expected_pem(stand, "klc");
        ck_assert_str_eq(written, expected);
        assert_mode(stand, "volume-b", geteuid(), getegid(), 0600);
        ck_assert_int_eq(umount2(a, MNT_DETACH), 0);
        ck_assert_int_eq(umount2(b, MNT_DETACH), 0);
}
END_TEST

START_TEST(a_first_look_warns_of_the_next_renewal) {
        _cleanup_(stand_freep) struct stand *stand =
                prepare(an_hour, ORDERS "    exports: [{path: '@/out/a.pem'}]\n" TELL);
        _cleanup_(freep) char *out = scratch_path(stand->directory, "out");
        static const char warning[] = "is current, but the next one could not be written";

        if (!enter_namespace("a_first_look_warns_of_the_next_renewal"))
                return;
        make_directory(stand, "out", 0755);
        ck_assert_int_eq(stand_run(stand, "--once"), 2);
        ck_assert_int_eq(mount(out, out, "none", MS_BIND, NULL), 0);
        ck_assert_int_eq(mount("none", out, "none", MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);

        stand_start(stand, NULL);
        await_export(stand, MESSAGE_NOT_EXPORTED, "out/a.pem", warning);
        await_message(stand, MESSAGE_CURRENT);
        /* A look that is not the first says nothing of it. */
        scratch_write(stand->directory, "orders/noise", "x", 0644);
        ck_assert_int_eq(stand_stop(stand), 0);
        ck_assert_uint_eq(logged(stand, MESSAGE_NOT_EXPORTED), 1);
        assert_told(stand, "1\n");

        /* And so it comes. */
        stand_edit(stand, "    exports", LARGER_KEY "    exports");
        ck_assert_int_eq(stand_run(stand, "--once"), 1);
        await_export(stand, MESSAGE_NOT_EXPORTED, "out/a.pem", warning);
        await_message(stand, MESSAGE_RENEWED);
        await_export(stand, MESSAGE_NOT_EXPORTED, "out/a.pem", "Read-only file system");
        assert_told(stand, "1\n2\n");
        ck_assert_int_eq(umount2(out, MNT_DETACH), 0);
        ck_assert_int_eq(stand_run(stand, "--once"), 0);
        assert_told(stand, "1\n2\n2\n");
}
END_TEST

/* --- Where all is well --- */

static struct stand *prepare_every_export(void) {
        struct stand *stand = prepare(with_root, ORDERS EVERY_EXPORT TELL);

        make_directory(stand, "out", 0755);
        scratch_write(stand->directory, "pass", "open sesame\nand a second line\n", 0600);
        return stand;
}

START_TEST(they_are_what_the_set_is) {
        _cleanup_(stand_freep) struct stand *stand = prepare_every_export();
        const char *d = stand->directory;
        _cleanup_(freep) char *first = NULL, *repaired = NULL;

        stand_start(stand, NULL);
        await_exports(stand, N_EXPORTS);
        await_message(stand, MESSAGE_NOTIFIED);
        assert_every_export(stand);
        first = scratch_read(d, "out/standard.pem");

        /* After a renewal. */
        stand_edit(stand, "    exports", LARGER_KEY "    exports");
        process_signal(stand->rekeyd, SIGHUP);
        await_message(stand, MESSAGE_RENEWED);
        await_exports(stand, N_CHANGED);
        await_message(stand, MESSAGE_NOTIFIED);
        assert_every_export(stand);
        stand_edit(stand, LARGER_KEY, "");
        stand_reload(stand);
        await_message(stand, MESSAGE_CURRENT);

        /* After a repair, which brings the first set back. */
        scratch_write(d, "orders/tls.key", "oops\n", 0600);
        await_exports(stand, N_CHANGED);
        await_message(stand, MESSAGE_NOTIFIED);
        assert_every_export(stand);
        repaired = scratch_read(d, "out/standard.pem");
        ck_assert_str_eq(first, repaired);
        assert_told(stand, "1\n2\n3\n");

        /* And then there is nothing to do, in none of the formats. */
        ck_assert_int_eq(stand_stop(stand), 0);
        ck_assert_int_eq(stand_run(stand, "--once"), 0);
        ck_assert_uint_eq(logged(stand, MESSAGE_EXPORTED), 0);
        assert_told(stand, "1\n2\n3\n");
}
END_TEST

static void damage_exports(const struct stand *stand) {
        free(shell(
                "cd %s/out && rm standard.pem && cp modern.p12 legacy.p12 && : >key.der && chmod 0666 ca.pem",
                stand->directory));
}

START_TEST(what_was_damaged_is_written_again_at_the_next_look) {
        _cleanup_(stand_freep) struct stand *stand = prepare_every_export();
        _cleanup_(freep) char *untouched = scratch_path(stand->directory, "out/key-last.pem");
        static const char *const damaged[] = { "standard.pem", "ca.pem", "key.der", "legacy.p12" };
        struct stat before, after;

        ck_assert_int_eq(stand_run(stand, "--once"), 2);
        ck_assert_int_eq(stat(untouched, &before), 0);

        /* At a start. */
        damage_exports(stand);
        stand_start(stand, NULL);
        for (size_t i = 0; i < ELEMENTSOF(damaged); i++)
                await_export(stand, MESSAGE_EXPORTED, damaged[i], "generation 1");
        await_message(stand, MESSAGE_NOTIFIED);
        assert_every_export(stand);
        assert_told(stand, "1\n1\n");

        /* And when anything happens to the files of the set. */
        damage_exports(stand);
        scratch_write(stand->directory, "orders/noise", "x", 0644);
        for (size_t i = 0; i < ELEMENTSOF(damaged); i++)
                await_export(stand, MESSAGE_EXPORTED, damaged[i], "generation 1");
        await_message(stand, MESSAGE_NOTIFIED);
        ck_assert_int_eq(stand_stop(stand), 0);
        assert_every_export(stand);
        assert_told(stand, "1\n1\n1\n");
        ck_assert_int_eq(stat(untouched, &after), 0);
        ck_assert_uint_eq(before.st_ino, after.st_ino);
        ck_assert_uint_eq(logged(stand, MESSAGE_EXPORTED), 2 * ELEMENTSOF(damaged));
}
END_TEST

START_TEST(an_export_that_comes_with_a_reload_is_written) {
        _cleanup_(stand_freep) struct stand *stand =
                prepare(an_hour, ORDERS "    exports: [{path: '@/out/a.pem'}]\n" TELL);
        _cleanup_(freep) char *out = scratch_path(stand->directory, "out"), *list = NULL;

        make_directory(stand, "out", 0755);
        stand_start(stand, NULL);
        await_export(stand, MESSAGE_EXPORTED, "out/a.pem", "generation 1");
        await_message(stand, MESSAGE_NOTIFIED);
        stand_edit(stand, "a.pem", "b.pem");
        stand_reload(stand);
        await_export(stand, MESSAGE_EXPORTED, "out/b.pem", "generation 1");
        await_message(stand, MESSAGE_NOTIFIED);
        assert_told(stand, "1\n1\n");
        ck_assert_int_eq(stand_stop(stand), 0);
        /* What is no longer asked for stays: somebody may still use it. */
        list = scratch_list(out);
        ck_assert_str_eq(list, "a.pem b.pem");
}
END_TEST

int main(void) {
        Suite *suite = suite_create("exports-live");

        TEST_CASE(suite, what_cannot_be_written_keeps_nobody_from_the_certificate);
        TEST_CASE(suite, what_cannot_be_written_keeps_nobody_from_a_renewal);
        TEST_CASE(suite, who_failed_for_want_of_an_export_is_told_when_it_is_there);
        TEST_CASE(suite, what_the_set_lacks_is_tried_until_a_renewal_brings_it);
        TEST_CASE(suite, a_passphrase_for_everybody_is_warned_of_once);
        TEST_CASE(suite, an_export_that_comes_with_a_reload_is_written);
        if (geteuid() == 0) {
                TEST_CASE(suite, an_unprivileged_rekeyd_says_what_it_may_not_do);
                TEST_CASE(suite, they_are_what_the_set_is);
                TEST_CASE(suite, what_was_damaged_is_written_again_at_the_next_look);
                TEST_CASE(suite, a_mounted_file_is_written_in_place_where_that_is_asked);
                TEST_CASE(suite, a_first_look_warns_of_the_next_renewal);
        } else
                test_skip("owners, groups and mounts: only root can give files away, and mount");
        return test_run(suite);
}
