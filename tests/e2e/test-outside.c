/* The world changes under rekeyd: files are damaged, replaced and deleted, the clock is wrong. */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "daemon/observe/messages.h"
#include "tests/support/fixture.h"
#include "tests/test.h"

/* Enrolled, and renewed once, so that there is an older generation. */
static void make_two_generations(struct fixture *fixture) {
        fixture_enrol(fixture, ORDERS);
        fixture_configure(fixture, ORDERS LARGER_KEY);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        fixture_configure(fixture, ORDERS);
}

START_TEST(a_damaged_key_is_replaced_by_the_last_good_set) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("1h"));
        _cleanup_(freep) char *older = NULL, *now = NULL;

        make_two_generations(fixture);
        older = scratch_read(fixture->directory, "orders/..gen-000001/tls.crt");
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_CURRENT);

        /* What happens to every key file some day. */
        scratch_write(fixture->directory, "orders/tls.key", "oops\n", 0600);
        fixture_expect_text(fixture, "generation 1 is current again");
        ck_assert_int_eq(fixture_stop(fixture), 0);
        now = scratch_read(fixture->directory, "orders/tls.crt");
        ck_assert_str_eq(now, older);
}
END_TEST

/* The exit status of `rekeyctl COMMAND orders`. A new certificate may expire in the same second. */
static int operate(struct fixture *fixture, const char *command) {
        const char *option = streq(command, "renew") ? "--force" : streq(command, "revoke") ? "--yes" : NULL;
        _cleanup_(freep) char *socket = scratch_path(fixture->directory, "control.sock");
        const char *argv[] = {
                getenv("REKEYD_TEST_REKEYCTL"), "--socket", socket, command, "orders", option, NULL
        };
        _cleanup_(process_freep) struct process *rekeyctl = process_start(argv, false);
        return process_wait(rekeyctl);
}

/* Generation 2 is the newest whole one, and the one that the operator left. */
START_TEST(a_repair_does_not_undo_a_rollback) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("1h"));
        _cleanup_(freep) char *older = NULL, *now = NULL, *newer = NULL;

        make_two_generations(fixture);
        fixture_add_control(fixture);
        older = scratch_read(fixture->directory, "orders/..gen-000001/tls.crt");
        newer = scratch_read(fixture->directory, "orders/..gen-000002/tls.crt");
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_CURRENT);
        ck_assert_int_eq(operate(fixture, "rollback"), 0);
        fixture_expect_text(fixture, "a copy of generation 1 is now current");

        scratch_write(fixture->directory, "orders/tls.crt", "oops\n", 0644);
        fixture_expect_text(fixture, "generation 1 is current again, with the same certificate");
        ck_assert_int_eq(fixture_stop(fixture), 0);
        now = scratch_read(fixture->directory, "orders/tls.crt");
        ck_assert_str_eq(now, older);
        ck_assert_str_ne(now, newer);
}
END_TEST

/* PATH is deleted, and made again. */
static void delete_and_await(const char *path) {
        usec_t deadline = usec_add(now_usec(CLOCK_MONOTONIC), patience_usec());

        ck_assert_int_eq(unlink(path), 0);
        while (access(path, R_OK) < 0) {
                ck_assert_msg(now_usec(CLOCK_MONOTONIC) < deadline, "%s never came back", path);
                sched_yield();
        }
}

START_TEST(a_deleted_link_comes_back) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("1h"));
        _cleanup_(freep) char *link = scratch_path(fixture->directory, "orders/tls.crt");

        fixture_prepare(fixture, ORDERS);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_CURRENT);
        delete_and_await(link);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* It is rekeyd that makes the directory, after it has begun to watch it. */
START_TEST(an_imported_set_is_watched) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("1h"));
        _cleanup_(freep) char *link = scratch_path(fixture->directory, "new/place/tls.key");

        fixture_enrol(fixture, ORDERS);
        fixture_configure(fixture, "  imported:\n"
                                   "    connector: dev\n"
                                   "    directory: %s/new/place\n"
                                   "    import: {key: %s/orders/tls.key, certificate: %s/orders/tls.crt}\n");
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_ADOPTED);
        fixture_expect(fixture, MESSAGE_CURRENT);
        delete_and_await(link);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(a_file_system_over_the_set_comes_and_goes) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("1h"));
        _cleanup_(freep) char *directory = scratch_path(fixture->directory, "orders");

        if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0) {
                test_skip("a_file_system_over_the_set_comes_and_goes: no mount namespace can be made here");
                return;
        }
        fixture_enrol(fixture, ORDERS);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_CURRENT);
        ck_assert_int_eq(mount("none", directory, "tmpfs", 0, "mode=0755"), 0);
        fixture_expect(fixture, MESSAGE_WAITING);
        ck_assert_int_eq(umount2(directory, MNT_DETACH), 0);
        fixture_expect(fixture, MESSAGE_CURRENT);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

static bool write_file(const char *path, const char *text) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        bool is_written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

        if (fd >= 0)
                (void)close(fd);
        return is_written;
}

/* From now on, for all that is started: the kernel tells nobody of a change. */
static bool watch_nothing(void) {
        char users[64], groups[64];

        snprintf(users, sizeof(users), "%u %u 1", geteuid(), geteuid());
        snprintf(groups, sizeof(groups), "%u %u 1", getegid(), getegid());
        return unshare(CLONE_NEWUSER) == 0 && write_file("/proc/self/uid_map", users) &&
               write_file("/proc/self/setgroups", "deny") && write_file("/proc/self/gid_map", groups) &&
               write_file("/proc/sys/user/max_inotify_watches", "0");
}

/* What rekeyd remembers of the disk refuses nothing: the set has come back, and no event has told of it. */
START_TEST(a_set_that_came_back_unseen_can_be_operated) {
        static const char *const commands[] = { "renew", "rollback", "notify", "revoke" };
        _cleanup_(fixture_freep) struct fixture *fixture = NULL;
        _cleanup_(freep) char *directory = NULL, *away = NULL, *empty = NULL;

        if (!watch_nothing()) {
                test_skip("a_set_that_came_back_unseen_can_be_operated: the limits of inotify cannot be set "
                          "here");
                return;
        }
        fixture = fixture_new(FIXTURE_LASTING("1h"));
        directory = scratch_path(fixture->directory, "orders");
        away = scratch_path(fixture->directory, "away");
        make_two_generations(fixture);
        fixture_configure(fixture, ORDERS "    notify: [{command: [/bin/true]}]\n");
        fixture_add_control(fixture);
        for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
                ck_assert_int_eq(rename(directory, away), 0);
                fixture_start(fixture, NULL);
                fixture_expect(fixture, MESSAGE_WAITING);
                ck_assert_int_eq(operate(fixture, commands[i]), 6); /* not in this state */

                empty = scratch_path(fixture->directory, commands[i]);
                if (rename(directory, empty) < 0)
                        ck_assert_int_eq(errno, ENOENT);
                free(take_ptr(empty));
                ck_assert_int_eq(rename(away, directory), 0);
                ck_assert_msg(operate(fixture, commands[i]) == 0, "%s is refused", commands[i]);
                ck_assert_int_eq(fixture_stop(fixture), 0);
        }
}
END_TEST

/* Before a call its cost is on record: without the directory nothing was ever renewed again. What another
 * certificate must know after a restart follows as well. */
START_TEST(a_state_directory_that_goes_comes_back) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("1h"));
        _cleanup_(freep) char *state = scratch_path(fixture->directory, "state"),
                              *moved = scratch_path(fixture->directory, "moved"),
                              *gone = scratch_path(fixture->directory, "gone"), *first = NULL, *second = NULL;

        fixture_prepare(fixture,
                        ORDERS "  stock: {connector: dev, directory: %s/stock, token_file: %s/token-2}\n");
        fixture_token(fixture, "client-2", "token-2");
        fixture_add_control(fixture);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_ENROLLED);
        fixture_expect(fixture, MESSAGE_ENROLLED);

        /* Moved away, it is still there for whoever has it open; it is made again. */
        ck_assert_int_eq(rename(state, moved), 0);
        ck_assert_int_eq(operate(fixture, "renew"), 0);
        fixture_expect_message(fixture, MESSAGE_HISTORY,
                               "was removed or replaced; all state is saved there again");
        ck_assert_int_eq(operate(fixture, "renew"), 0);

        /* Somebody else's is not used, and said to be the reason; until it is gone. */
        ck_assert_int_eq(chmod(state, 0777), 0);
        ck_assert_int_eq(operate(fixture, "renew"), 0); /* it is the same one, and open */
        ck_assert_int_eq(mkdir(gone, 0755), 0);
        ck_assert_int_eq(chmod(gone, 0777), 0);
        ck_assert_int_eq(renameat2(AT_FDCWD, gone, AT_FDCWD, state, RENAME_EXCHANGE), 0);
        ck_assert_int_eq(operate(fixture, "renew"), 1);
        fixture_expect_failure(fixture, "local", "lets other users write to it");
        ck_assert_int_eq(chmod(state, 0755), 0);
        ck_assert_int_eq(operate(fixture, "renew"), 0);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        first = scratch_read(fixture->directory, "state/orders.json");
        second = scratch_read(fixture->directory, "state/stock.json");
        ck_assert(first && second);
}
END_TEST

START_TEST(a_newer_pair_is_adopted_at_once) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("1h")),
                                                *other = fixture_new(FIXTURE_LASTING("30d"));
        _cleanup_(freep) char *key = NULL, *certificate = NULL, *key_path = NULL, *crt_path = NULL,
                              *new_key = NULL, *new_crt = NULL;

        /* A pair that somebody made by hand, here by another Connector's devconnector. */
        fixture_enrol(other, ORDERS);
        key = scratch_read(other->directory, "orders/tls.key");
        certificate = scratch_read(other->directory, "orders/tls.crt");

        fixture_prepare(fixture, ORDERS);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_CURRENT);
        scratch_write(fixture->directory, "new.key", key, 0600);
        scratch_write(fixture->directory, "new.crt", certificate, 0644);
        key_path = scratch_path(fixture->directory, "orders/tls.key");
        crt_path = scratch_path(fixture->directory, "orders/tls.crt");
        new_key = scratch_path(fixture->directory, "new.key");
        new_crt = scratch_path(fixture->directory, "new.crt");
        ck_assert_int_eq(rename(new_key, key_path), 0);
        ck_assert_int_eq(rename(new_crt, crt_path), 0);
        fixture_expect_member(fixture, MESSAGE_ADOPTED, "generation", "2");
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(noise_among_the_files_ends_no_back_off) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("1h"));

        fixture_enrol(fixture, ORDERS);
        fixture_configure(fixture, ORDERS LARGER_KEY);
        fixture_fault(fixture, "{\"fault\":\"status\",\"status\":403,\"at\":\"any\"}");
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_FAILED);
        unsigned before = fixture_calls(fixture, "configuration");
        for (unsigned i = 0; i < 5; i++) {
                scratch_write(fixture->directory, "orders/noise", "x", 0644);
                fixture_expect_text(fixture, "back-off continues");
                _cleanup_(freep) char *noise = scratch_path(fixture->directory, "orders/noise");
                ck_assert_int_eq(unlink(noise), 0);
                fixture_expect_text(fixture, "back-off continues");
        }
        ck_assert_uint_eq(fixture_calls(fixture, "configuration"), before);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(a_clock_before_the_certificate_stops_renewal) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("1h"));

        if (access("/usr/bin/faketime", X_OK) < 0 || test_is_instrumented()) {
                test_skip("a_clock_before_the_certificate_stops_renewal: %s",
                          test_is_instrumented() ? test_is_instrumented() : "faketime is not installed");
                return;
        }
        make_two_generations(fixture);
        unsigned before = fixture_calls(fixture, "configuration");
        setenv("REKEYD_TEST_WRAPPER", "/usr/bin/faketime -f -400d", 1);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        unsetenv("REKEYD_TEST_WRAPPER");
        fixture_expect_failure(fixture, "local", "this machine's clock");
        ck_assert_uint_eq(fixture_calls(fixture, "configuration"), before);
}
END_TEST

START_TEST(stops_within_seconds_even_while_it_makes_a_key) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("1h"));
        usec_t begin;

        fixture_prepare(fixture, ORDERS "    key: {bits: 4096}\n");
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_BEGUN);
        begin = now_usec(CLOCK_MONOTONIC);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        if (!getenv("REKEYD_TEST_WRAPPER"))
                ck_assert_uint_lt(now_usec(CLOCK_MONOTONIC) - begin, 5 * USEC_PER_SEC);
}
END_TEST

TEST_MAIN("world", a_damaged_key_is_replaced_by_the_last_good_set, a_repair_does_not_undo_a_rollback,
          a_deleted_link_comes_back, an_imported_set_is_watched, a_file_system_over_the_set_comes_and_goes,
          a_set_that_came_back_unseen_can_be_operated, a_state_directory_that_goes_comes_back,
          a_newer_pair_is_adopted_at_once, noise_among_the_files_ends_no_back_off,
          a_clock_before_the_certificate_stops_renewal, stops_within_seconds_even_while_it_makes_a_key)
