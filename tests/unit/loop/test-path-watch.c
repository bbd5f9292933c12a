/* Awaiting files, in a real loop on a real disk. */

#include "daemon/loop/inotify.h"
#include "daemon/loop/path-watch.h"
#include "daemon/loop/set-watch.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/test.h"

static unsigned calls;

static void on_call(_unused_ void *userdata) {
        calls++;
}

/* Runs the loop until the watch was called again. */
static void await_call(sd_event *event) {
        usec_t deadline = usec_add(now_usec(CLOCK_MONOTONIC), patience_usec());

        calls = 0;
        while (calls == 0) {
                ck_assert_msg(now_usec(CLOCK_MONOTONIC) < deadline, "the watch was never called");
                ck_assert_int_ge(sd_event_run(event, USEC_PER_SEC), 0);
        }
}

START_TEST(a_file_in_a_folder_that_does_not_exist_yet) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *a = scratch_path(scratch, "a"), *b = scratch_path(scratch, "a/b"),
                              *file = scratch_path(scratch, "a/b/token"),
                              *moved = scratch_path(scratch, "moved");
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(path_watch_freep) struct path_watch *watch = NULL;

        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(path_watch_new(event, file, PATH_COMES, on_call, NULL, &watch), 0);
        ck_assert_int_eq(mkdir(a, 0755), 0);
        ck_assert_int_eq(mkdir(b, 0755), 0);
        await_call(event);
        scratch_write(b, "token", "one", 0600);
        await_call(event);

        /* The folder goes and comes back. */
        ck_assert_int_eq(rename(b, moved), 0);
        await_call(event);
        ck_assert_int_eq(mkdir(b, 0755), 0);
        await_call(event);
        scratch_write(b, "token", "two", 0600);
        await_call(event);
}
END_TEST

START_TEST(a_file_that_is_replaced_by_rename) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *file = scratch_path(scratch, "token"), *other = scratch_path(scratch, "other");
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(path_watch_freep) struct path_watch *watch = NULL;

        scratch_write(scratch, "token", "one", 0600);
        scratch_write(scratch, "other", "two", 0600);
        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(path_watch_new(event, file, PATH_COMES, on_call, NULL, &watch), 0);
        ck_assert_int_eq(rename(other, file), 0);
        await_call(event);
}
END_TEST

/* --- Sets --- */

static void on_told(void *userdata) {
        *(bool *)userdata = true;
}

/* A directory with generation N current. */
static void make_current(const char *directory, unsigned n) {
        char name[32];
        _cleanup_(freep) char *link = scratch_path(directory, "..data"),
                              *next = scratch_path(directory, "next");

        snprintf(name, sizeof(name), "..gen-%06u", n);
        _cleanup_(freep) char *generation = scratch_path(directory, name);
        ck_assert_int_eq(mkdir(generation, 0755), 0);
        scratch_write(generation, "tls.key", "a key", 0600);
        ck_assert_int_eq(symlink(name, next), 0);
        ck_assert_int_eq(rename(next, link), 0);
}

static void drain(sd_event *event) {
        while (sd_event_run(event, 0) > 0)
                ;
        calls = 0;
}

START_TEST(a_set_that_somebody_changes) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *directory = scratch_path(scratch, "orders"),
                              *key = scratch_path(scratch, "orders/..data/tls.key"),
                              *old = scratch_path(scratch, "orders/..gen-000001");
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(set_watch_freep) struct set_watch *watch = NULL;

        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(set_watch_new(event, directory, on_call, NULL, &watch), 0);
        ck_assert_int_eq(set_watch_follow(watch), 0);
        ck_assert_int_eq(mkdir(directory, 0755), 0);
        await_call(event);

        make_current(directory, 1);
        await_call(event);
        (void)set_watch_follow(watch);
        drain(event);
        scratch_write(directory, "..data/tls.key", "another key", 0600); /* through the link */
        await_call(event);

        /* After a swap it is the new generation that counts, and the old one no longer does. */
        make_current(directory, 2);
        await_call(event);
        (void)set_watch_follow(watch);
        drain(event);
        scratch_write(old, "tls.key", "an old key", 0600);
        drain(event);
        ck_assert_int_eq(sd_event_run(event, 0), 0);
        ck_assert_int_eq(unlink(key), 0);
        await_call(event);

        watch = set_watch_free(watch);
        make_current(directory, 3);
        ck_assert_int_eq(sd_event_run(event, 0), 0);
}
END_TEST

/* File systems give the number of a directory that is gone to the next one. */
START_TEST(a_generation_that_comes_back_under_the_same_number) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *directory = scratch_path(scratch, "orders"),
                              *generation = scratch_path(directory, "..gen-000001"),
                              *key = scratch_path(generation, "tls.key");
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(set_watch_freep) struct set_watch *watch = NULL;
        struct stat before, after;

        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(mkdir(directory, 0755), 0);
        make_current(directory, 1);
        ck_assert_int_eq(set_watch_new(event, directory, on_call, NULL, &watch), 0);
        ck_assert_int_eq(set_watch_follow(watch), 0);
        ck_assert_int_eq(stat(generation, &before), 0);
        ck_assert_int_eq(unlink(key), 0);
        ck_assert_int_eq(rmdir(generation), 0);
        make_current(directory, 2);

        _cleanup_(freep) char *second = scratch_path(directory, "..gen-000002");
        ck_assert_int_eq(stat(second, &after), 0);
        if (after.st_ino != before.st_ino)
                test_report("watch: this file system gives another number, nothing was tried");
        await_call(event);
        drain(event);
        (void)set_watch_follow(watch);
        scratch_write(directory, "..data/tls.key", "another key", 0600);
        await_call(event);
}
END_TEST

static struct crowd {
        struct inotify *inotify;
        struct inotify_watch watches[3];
        unsigned calls;
} crowd;

/* Each that is called takes itself and its neighbour away. */
static void on_crowd(_unused_ struct inotify_watch *watch, _unused_ uint32_t mask,
                     _unused_ const char *name) {
        crowd.calls++;
        inotify_remove(crowd.inotify, &crowd.watches[0]);
        inotify_remove(crowd.inotify, &crowd.watches[1]);
}

START_TEST(watches_of_the_same_file_may_go_while_they_are_told) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;

        crowd = (struct crowd) { 0 };
        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(inotify_get(event, &crowd.inotify), 0);
        for (size_t i = 0; i < 3; i++) {
                crowd.watches[i] = (struct inotify_watch) { .function = on_crowd };
                ck_assert_int_eq(inotify_arm(crowd.inotify, &crowd.watches[i], scratch, IN_CREATE), 1);
                ck_assert_int_eq(inotify_arm(crowd.inotify, &crowd.watches[i], scratch, IN_CREATE), 0);
        }
        scratch_write(scratch, "file", "", 0600);
        ck_assert_int_gt(sd_event_run(event, USEC_PER_SEC), 0);
        ck_assert_uint_eq(crowd.calls, 1); /* the last comes first, and takes the others away */
        scratch_write(scratch, "second", "", 0600);
        ck_assert_int_gt(sd_event_run(event, USEC_PER_SEC), 0);
        ck_assert_uint_eq(crowd.calls, 2); /* it is still there */
        inotify_remove(crowd.inotify, &crowd.watches[2]);
        ck_assert_ptr_null(inotify_unref(crowd.inotify));
}
END_TEST

/* Many watches, so that the table grows; the kernel's queue overflows, and everybody is told. */
START_TEST(nobody_misses_that_events_were_lost) {
        enum { N = 500 };
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        static struct set_watch *watches[N];
        static bool told[N];
        usec_t deadline = usec_add(now_usec(CLOCK_MONOTONIC), patience_usec());
        char name[32];
        FILE *limit = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
        unsigned n_queued = 0, n_told = 0;

        if (!limit || fscanf(limit, "%u", &n_queued) != 1 || n_queued > 100000) {
                test_skip("nobody_misses_that_events_were_lost: the kernel's queue is too long to fill");
                return;
        }
        fclose(limit);
        ck_assert_int_ge(sd_event_new(&event), 0);
        for (unsigned i = 0; i < N; i++) {
                snprintf(name, sizeof(name), "d%u", i);
                _cleanup_(freep) char *directory = scratch_path(scratch, name);
                ck_assert_int_eq(mkdir(directory, 0755), 0);
                ck_assert_int_eq(set_watch_new(event, directory, on_told, &told[i], &watches[i]), 0);
                ck_assert_int_eq(set_watch_follow(watches[i]), 0);
        }
        /* Only the first directory is changed, until no more events fit; two in turn, since equal ones that
         * follow each other count once. */
        _cleanup_(freep) char *a = scratch_path(scratch, "d0/a"), *b = scratch_path(scratch, "d0/b");
        scratch_write(scratch, "d0/a", "", 0600);
        for (unsigned i = 0; i <= n_queued / 2; i++) {
                ck_assert_int_eq(rename(a, b), 0);
                ck_assert_int_eq(rename(b, a), 0);
        }
        while (n_told < N) {
                ck_assert_msg(now_usec(CLOCK_MONOTONIC) < deadline, "only %u of %d were told", n_told, N);
                ck_assert_int_ge(sd_event_run(event, USEC_PER_SEC), 0);
                n_told = 0;
                for (unsigned i = 0; i < N; i++)
                        n_told += told[i];
        }
        for (unsigned i = 0; i < N; i++)
                set_watch_free(watches[i]);
}
END_TEST

TEST_MAIN("watch", a_file_in_a_folder_that_does_not_exist_yet, a_file_that_is_replaced_by_rename,
          a_set_that_somebody_changes, a_generation_that_comes_back_under_the_same_number,
          watches_of_the_same_file_may_go_while_they_are_told, nobody_misses_that_events_were_lost)
