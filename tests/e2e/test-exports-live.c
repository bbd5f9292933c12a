/*
 * Exports from end to end: the real rekeyd writes them, and tries again what it cannot write, while the
 * certificate itself goes its way. Whatever the obstacle, dependents learn of each generation once, and once
 * more when a copy that was missing is there.
 */

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "daemon/observe/messages.h"
#include "tests/e2e/exports-fixture.h"
#include "tests/test.h"

/* Due at a tenth of its lifetime, which is as early as it gets. */
#define AT_ONCE "    renew_before: 99%%\n"

/* A lifetime of which a tenth is short, and the rest long enough for a busy machine. */
#define SOON ((const char *[]) { "--lifetime", lifetime(20), "--root", NULL })

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

static void make_obstacles(const struct fixture *fixture) {
        _cleanup_(freep) char *link = scratch_path(fixture->directory, "out/link.pem");

        make_directory(fixture, "strangers", 0777);
        make_directory(fixture, "out", 0755);
        make_directory(fixture, "out/folder.pem", 0755);
        ck_assert_int_eq(symlink("elsewhere", link), 0);
}

static void mend_obstacles(const struct fixture *fixture) {
        _cleanup_(freep) char *link = scratch_path(fixture->directory, "out/link.pem"),
                              *folder = scratch_path(fixture->directory, "out/folder.pem"),
                              *strangers = scratch_path(fixture->directory, "strangers");

        make_directory(fixture, "missing", 0700);
        ck_assert_int_eq(chmod(strangers, 0755), 0);
        ck_assert_int_eq(unlink(link), 0);
        ck_assert_int_eq(rmdir(folder), 0);
        scratch_write(fixture->directory, "pass", "open sesame\n", 0600);
}

START_TEST(what_cannot_be_written_keeps_nobody_from_the_certificate) {
        _cleanup_(fixture_freep) struct fixture *fixture =
                prepare(FIXTURE_LASTING("1h"), EXPORTING "    exports:\n"
                                                         "      - {path: '@/missing/a.pem'}\n"
                                                         "      - {path: '@/strangers/b.pem'}\n"
                                                         "      - {path: '@/out/link.pem'}\n"
                                                         "      - {path: '@/out/folder.pem'}\n"
                                                         "      - {path: '@/out/e.p12', format: pkcs12, "
                                                         "passphrase_file: '@/pass'}\n"
                                                         "      - {path: '@/out/fine.pem'}\n" TELL
                                                         "      - command: [/bin/false]\n");
        json_t *line;

        make_obstacles(fixture);
        fixture_start(fixture, NULL);
        /* What would not work is said before a token is burnt; it burns all the same. */
        for (size_t i = 0; i < ELEMENTSOF(obstacles); i++)
                await_export(fixture, MESSAGE_NOT_EXPORTED, obstacles[i].path,
                             "there is no certificate yet, and an export of it could not be written");
        await_message(fixture, MESSAGE_ENROLLED);
        for (size_t i = 0; i < ELEMENTSOF(obstacles); i++)
                await_export(fixture, MESSAGE_NOT_EXPORTED, obstacles[i].path, obstacles[i].error);
        await_export(fixture, MESSAGE_EXPORTED, "out/fine.pem", "generation 1");
        await_message(fixture, MESSAGE_NOTIFIED);
        assert_told(fixture, "1\n");

        /* Tried again with a back-off that doubles, without a word to anybody. */
        for (size_t i = 0; i < ELEMENTSOF(obstacles); i++) {
                line = fixture_await(fixture, MESSAGE_NOT_EXPORTED);
                ck_assert_msg(mentions(line, "message", "retrying in 8s") ||
                                      mentions(line, "message", "retrying in 9s") ||
                                      mentions(line, "message", "retrying in 1"),
                              "%s", member(line, "message"));
                json_decref(line);
        }
        assert_told(fixture, "1\n");
        ck_assert_uint_eq(logged(fixture, MESSAGE_NOTIFIED), 1);
        ck_assert_uint_eq(logged(fixture, MESSAGE_EXPORTED), 1);

        mend_obstacles(fixture);
        for (size_t i = 0; i < ELEMENTSOF(obstacles); i++)
                await_export(fixture, MESSAGE_EXPORTED, obstacles[i].path, "generation 1");
        /* The command that always fails had its own back-off: at 0 s, 5 s, and maybe 15 s. */
        ck_assert_uint_le(logged(fixture, MESSAGE_NOT_NOTIFIED), 3);
        await_message(fixture, MESSAGE_NOTIFIED);
        assert_told(fixture, "1\n1\n");
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_uint_eq(logged(fixture, MESSAGE_NOTIFIED), 2);
}
END_TEST

START_TEST(what_cannot_be_written_keeps_nobody_from_a_renewal) {
        _cleanup_(fixture_freep) struct fixture *fixture =
                prepare(SOON, EXPORTING AT_ONCE "    exports: [{path: '@/missing/a.pem'}]\n" TELL);

        fixture_start(fixture, NULL);
        await_message(fixture, MESSAGE_ENROLLED);
        for (unsigned i = 2; i <= 4; i++) {
                json_t *line = fixture_await(fixture, MESSAGE_RENEWED);

                ck_assert_int_eq(atoi(member(line, "generation")), (int)i);
                json_decref(line);
                await_export(fixture, MESSAGE_NOT_EXPORTED, "missing/a.pem", "there is no directory");
                await_message(fixture, MESSAGE_NOTIFIED);
        }
        assert_told_once_each(fixture, 4);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        /* Without the daemon's patience it is a failure, which the exit status tells. */
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
}
END_TEST

/* A server that cannot start without its copy, say: its back-off may be an hour by now. */
START_TEST(who_failed_for_want_of_an_export_is_told_when_it_is_there) {
        _cleanup_(fixture_freep) struct fixture *fixture =
                prepare(FIXTURE_LASTING("1h"),
                        EXPORTING "    exports: [{path: '@/out/a.pem'}]\n"
                                  "    notify: [{command: [/usr/bin/test, -f, '@/out/a.pem']}]\n");
        usec_t begin;

        fixture_start(fixture, NULL);
        await_message(fixture, MESSAGE_ENROLLED);
        await_message(fixture, MESSAGE_NOT_NOTIFIED);
        await_message(fixture, MESSAGE_NOT_NOTIFIED); /* and not again for 8 s */
        make_directory(fixture, "out", 0755);
        scratch_write(fixture->directory, "orders/noise", "x", 0644);
        await_message(fixture, MESSAGE_EXPORTED);
        begin = now_usec(CLOCK_MONOTONIC);
        await_message(fixture, MESSAGE_NOTIFIED);
        if (!getenv("REKEYD_TEST_WRAPPER"))
                ck_assert_uint_lt(now_usec(CLOCK_MONOTONIC) - begin, 5 * USEC_PER_SEC);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* Within the moment, not at the next renewal; and whoever uses the copy learns of it. */
START_TEST(an_export_that_is_gone_is_written_again) {
        _cleanup_(fixture_freep) struct fixture *fixture =
                prepare(FIXTURE_LASTING("1h"), EXPORTING "    exports: [{path: '@/out/a.pem'}]\n" TELL);
        _cleanup_(freep) char *path = scratch_path(fixture->directory, "out/a.pem"), *before = NULL,
                              *after = NULL;

        make_directory(fixture, "out", 0755);
        fixture_start(fixture, NULL);
        await_export(fixture, MESSAGE_EXPORTED, "out/a.pem", "generation 1");
        await_message(fixture, MESSAGE_CURRENT);
        before = scratch_read(fixture->directory, "out/a.pem");
        scratch_write(fixture->directory, "out/noise", "x", 0644);
        ck_assert_int_eq(unlink(path), 0);
        await_export(fixture, MESSAGE_EXPORTED, "out/a.pem", "generation 1");
        await_message(fixture, MESSAGE_NOTIFIED);
        after = scratch_read(fixture->directory, "out/a.pem");
        ck_assert_str_eq(before, after);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_uint_eq(logged(fixture, MESSAGE_EXPORTED), 2);
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), 1);
}
END_TEST

START_TEST(a_new_passphrase_counts_at_once) {
        _cleanup_(fixture_freep) struct fixture *fixture =
                prepare(FIXTURE_LASTING("1h"),
                        EXPORTING "    exports: [{path: '@/out/a.p12', format: pkcs12, passphrase_file: "
                                  "'@/pass'}]\n");

        make_directory(fixture, "out", 0755);
        scratch_write(fixture->directory, "pass", "the first one\n", 0600);
        fixture_start(fixture, NULL);
        await_export(fixture, MESSAGE_EXPORTED, "out/a.p12", "generation 1");
        await_message(fixture, MESSAGE_CURRENT);
        scratch_write(fixture->directory, "pass.new", "the second one\n", 0600);
        free(shell("mv %s/pass.new %s/pass", fixture->directory, fixture->directory));
        await_export(fixture, MESSAGE_EXPORTED, "out/a.p12", "generation 1");
        free(shell("openssl pkcs12 -in %s/out/a.p12 -passin 'pass:the second one' -noout",
                   fixture->directory));
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* A program that moves each copy away as soon as it hears of it does not keep rekeyd busy. */
START_TEST(who_takes_each_copy_away_is_served_more_and_more_rarely) {
        _cleanup_(fixture_freep) struct fixture *fixture =
                prepare(FIXTURE_LASTING("1h"),
                        EXPORTING "    exports: [{path: '@/out/a.pem'}]\n"
                                  "    notify: [{command: [/bin/mv, '@/out/a.pem', '@/mine']}]\n");
        const usec_t begin = now_usec(CLOCK_MONOTONIC);

        make_directory(fixture, "out", 0755);
        fixture_start(fixture, NULL);
        for (unsigned i = 0; i < 4; i++)
                await_export(fixture, MESSAGE_EXPORTED, "out/a.pem", "generation 1");
        /* At 0 s, at once, 1 s and 2 s after that. */
        ck_assert_uint_ge(now_usec(CLOCK_MONOTONIC) - begin, 3 * USEC_PER_SEC - USEC_PER_SEC / 10);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(what_the_set_lacks_is_tried_until_a_renewal_brings_it) {
        _cleanup_(fixture_freep) struct fixture *fixture = prepare(FIXTURE_LASTING("1h"), EXPORTING);
        _cleanup_(freep) char *key = NULL, *certificate = NULL;

        /* A pair that is adopted without its CA. */
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        key = scratch_read(fixture->directory, "orders/tls.key");
        certificate = scratch_read(fixture->directory, "orders/tls.crt");
        make_directory(fixture, "plain", 0755);
        make_directory(fixture, "out", 0755);
        scratch_write(fixture->directory, "plain/tls.key", key, 0600);
        scratch_write(fixture->directory, "plain/tls.crt", certificate, 0644);

        fixture_edit(fixture, "orders'", "plain'\n    exports: [{path: '@/out/ca.pem', contents: [ca]}]");
        fixture_edit(fixture, "@", fixture->directory);
        fixture_edit(fixture, "enrol_url", "url");
        fixture_edit(fixture, fixture->token_url, fixture->certificate_url);
        fixture_edit(fixture, "    token_file", "#   token_file");
        fixture_start(fixture, NULL);
        await_message(fixture, MESSAGE_ADOPTED);
        await_export(fixture, MESSAGE_NOT_EXPORTED, "out/ca.pem", "has no CA");
        await_message(fixture, MESSAGE_CURRENT);
        fixture_edit(fixture, "bits: 2048", "bits: 3072");
        process_signal(fixture->rekeyd, SIGHUP);
        await_message(fixture, MESSAGE_RENEWED);
        await_export(fixture, MESSAGE_EXPORTED, "out/ca.pem", "generation 1");
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(an_unprivileged_rekeyd_says_what_it_may_not_do) {
        static const char as_nobody[] = "/usr/bin/setpriv --reuid=65534 --regid=65534 --clear-groups";
        _cleanup_(fixture_freep) struct fixture *fixture =
                prepare(FIXTURE_LASTING("1h"), EXPORTING "    exports:\n"
                                                         "      - {path: '@/out/a.pem'}\n"
                                                         "      - {path: '@/own/b.pem', group: 1}\n" TELL);
        _cleanup_(freep) char *out = scratch_path(fixture->directory, "out"),
                              *own = scratch_path(fixture->directory, "own"), *probe = NULL;

        ck_assert_int_ge(asprintf(&probe, "%s test -x %s 2>/dev/null", as_nobody, fixture_program("REKEYD")),
                         0);
        if (getenv("REKEYD_TEST_WRAPPER") || system(probe) != 0) {
                test_skip("an_unprivileged_rekeyd_says_what_it_may_not_do: %s",
                          getenv("REKEYD_TEST_WRAPPER")
                                  ? test_is_instrumented()
                                  : "user 65534 cannot run the rekeyd that was built here");
                return;
        }
        free(shell("chown -R %u:%u %s", NOBODY, NOBODY, fixture->directory));
        make_directory(fixture, "out", 0755);
        make_directory(fixture, "own", 0755);
        ck_assert_int_eq(chown(own, NOBODY, NOBODY), 0);

        setenv("REKEYD_TEST_WRAPPER", as_nobody, 1);
        fixture_start(fixture, NULL);
        unsetenv("REKEYD_TEST_WRAPPER");
        await_message(fixture, MESSAGE_ENROLLED);
        await_export(fixture, MESSAGE_NOT_EXPORTED, "out/a.pem", "who may not write there");
        await_export(fixture, MESSAGE_NOT_EXPORTED, "own/b.pem",
                     "SupplementaryGroups=daemon under [Service]");
        await_message(fixture, MESSAGE_NOTIFIED);

        ck_assert_int_eq(chown(out, NOBODY, NOBODY), 0);
        await_export(fixture, MESSAGE_EXPORTED, "out/a.pem", "generation 1");
        await_message(fixture, MESSAGE_NOTIFIED);
        assert_told(fixture, "1\n1\n");
        assert_mode(fixture, "out/a.pem", NOBODY, NOBODY, 0600);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(a_passphrase_for_everybody_is_warned_of_once) {
        _cleanup_(fixture_freep) struct fixture *fixture =
                prepare(FIXTURE_LASTING("1h"), EXPORTING "    exports:\n"
                                                         "      - {path: '@/out/a.p12', format: pkcs12, "
                                                         "passphrase_file: '@/pass'}\n");
        json_t *line;

        make_directory(fixture, "out", 0755);
        scratch_write(fixture->directory, "pass", "open sesame\n", 0644);
        fixture_start(fixture, NULL);
        line = fixture_await(fixture, MESSAGE_WARNING);
        ck_assert_msg(mentions(line, "message", "is world-readable"), "%s", member(line, "message"));
        json_decref(line);
        await_message(fixture, MESSAGE_EXPORTED);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_uint_eq(logged(fixture, MESSAGE_WARNING), 1);
        ck_assert_ptr_null(strstr(process_output(fixture->rekeyd, PROCESS_STDERR), "sesame"));
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
        _cleanup_(fixture_freep) struct fixture *fixture =
                prepare(SOON, EXPORTING AT_ONCE "    exports:\n"
                                                "      - {path: '@/out/a.pem'}\n"
                                                "      - {path: '@/out/b.pem', in_place: true}\n" TELL);
        const char *d = fixture->directory;
        _cleanup_(freep) char *a = scratch_path(d, "out/a.pem"), *b = scratch_path(d, "out/b.pem"),
                              *volume_a = scratch_path(d, "volume-a"),
                              *volume_b = scratch_path(d, "volume-b"), *unwritten = NULL, *written = NULL,
                              *expected = NULL;

        if (!enter_namespace("a_mounted_file_is_written_in_place_where_that_is_asked"))
                return;
        make_directory(fixture, "out", 0755);
        scratch_write(d, "volume-a", "as it was", 0600);
        scratch_write(d, "volume-b", "as it was", 0644);
        scratch_write(d, "out/a.pem", "", 0600);
        scratch_write(d, "out/b.pem", "", 0600);
        ck_assert_int_eq(mount(volume_a, a, "none", MS_BIND, NULL), 0);
        ck_assert_int_eq(mount(volume_b, b, "none", MS_BIND, NULL), 0);

        fixture_start(fixture, NULL);
        for (unsigned i = 1; i <= 3; i++) {
                await_message(fixture, i == 1 ? MESSAGE_ENROLLED : MESSAGE_RENEWED);
                await_export(fixture, MESSAGE_NOT_EXPORTED, "out/a.pem", "or set 'in_place: true'");
                await_export(fixture, MESSAGE_EXPORTED, "out/b.pem", "wrote export");
                await_message(fixture, MESSAGE_NOTIFIED);
        }
        /* No more of them, so that nothing is on its way. */
        fixture_fault(fixture, "{\"fault\":\"status\",\"status\":503,\"at\":\"any\"}");
        await_message(fixture, MESSAGE_FAILED);
        assert_told_once_each(fixture, 3);
        ck_assert_int_eq(fixture_stop(fixture), 0);

        unwritten = scratch_read(d, "volume-a");
        ck_assert_str_eq(unwritten, "as it was");
        written = scratch_read(d, "volume-b");
        expected = expected_pem(fixture, "klc");
        ck_assert_str_eq(written, expected);
        assert_mode(fixture, "volume-b", geteuid(), getegid(), 0600);
        ck_assert_int_eq(umount2(a, MNT_DETACH), 0);
        ck_assert_int_eq(umount2(b, MNT_DETACH), 0);
}
END_TEST

START_TEST(a_first_look_warns_of_the_next_renewal) {
        _cleanup_(fixture_freep) struct fixture *fixture =
                prepare(FIXTURE_LASTING("1h"), EXPORTING "    exports: [{path: '@/out/a.pem'}]\n" TELL);
        _cleanup_(freep) char *out = scratch_path(fixture->directory, "out");
        static const char warning[] = "is current, but its next version could not be written";

        if (!enter_namespace("a_first_look_warns_of_the_next_renewal"))
                return;
        make_directory(fixture, "out", 0755);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        ck_assert_int_eq(mount(out, out, "none", MS_BIND, NULL), 0);
        ck_assert_int_eq(mount("none", out, "none", MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);

        fixture_start(fixture, NULL);
        await_export(fixture, MESSAGE_NOT_EXPORTED, "out/a.pem", warning);
        await_message(fixture, MESSAGE_CURRENT);
        /* A look that is not the first says nothing of it. */
        scratch_write(fixture->directory, "orders/noise", "x", 0644);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_uint_eq(logged(fixture, MESSAGE_NOT_EXPORTED), 1);
        assert_told(fixture, "1\n");

        /* And so it comes. */
        fixture_edit(fixture, "    exports", LARGER_KEY "    exports");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        await_export(fixture, MESSAGE_NOT_EXPORTED, "out/a.pem", warning);
        await_message(fixture, MESSAGE_RENEWED);
        await_export(fixture, MESSAGE_NOT_EXPORTED, "out/a.pem", "Read-only file system");
        assert_told(fixture, "1\n2\n");
        ck_assert_int_eq(umount2(out, MNT_DETACH), 0);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 0);
        assert_told(fixture, "1\n2\n2\n");
}
END_TEST

/* --- A reload --- */

START_TEST(an_export_that_comes_with_a_reload_is_written) {
        _cleanup_(fixture_freep) struct fixture *fixture =
                prepare(FIXTURE_LASTING("1h"), EXPORTING "    exports: [{path: '@/out/a.pem'}]\n" TELL);
        _cleanup_(freep) char *out = scratch_path(fixture->directory, "out"), *list = NULL;

        make_directory(fixture, "out", 0755);
        fixture_start(fixture, NULL);
        await_export(fixture, MESSAGE_EXPORTED, "out/a.pem", "generation 1");
        await_message(fixture, MESSAGE_NOTIFIED);
        fixture_edit(fixture, "a.pem", "b.pem");
        fixture_reload(fixture);
        await_export(fixture, MESSAGE_EXPORTED, "out/b.pem", "generation 1");
        await_message(fixture, MESSAGE_NOTIFIED);
        assert_told(fixture, "1\n1\n");
        ck_assert_int_eq(fixture_stop(fixture), 0);
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
        TEST_CASE(suite, an_export_that_is_gone_is_written_again);
        TEST_CASE(suite, a_new_passphrase_counts_at_once);
        TEST_CASE(suite, who_takes_each_copy_away_is_served_more_and_more_rarely);
        TEST_CASE(suite, what_the_set_lacks_is_tried_until_a_renewal_brings_it);
        TEST_CASE(suite, a_passphrase_for_everybody_is_warned_of_once);
        TEST_CASE(suite, an_export_that_comes_with_a_reload_is_written);
        if (geteuid() == 0) {
                TEST_CASE(suite, an_unprivileged_rekeyd_says_what_it_may_not_do);
                TEST_CASE(suite, a_mounted_file_is_written_in_place_where_that_is_asked);
                TEST_CASE(suite, a_first_look_warns_of_the_next_renewal);
        } else
                test_skip("owners, groups and mounts: only root can give files away, and mount");
        return test_run(suite);
}
