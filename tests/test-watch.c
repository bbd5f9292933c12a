/* Awaiting files, in a real loop on a real disk. */

#include "daemon/watch.h"

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
        _cleanup_(watch_freep) struct watch *watch = NULL;

        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(watch_new(event, file, on_call, NULL, &watch), 0);
        ck_assert_int_eq(mkdir(a, 0755), 0);
        await_call(event);
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
        _cleanup_(watch_freep) struct watch *watch = NULL;

        scratch_write(scratch, "token", "one", 0600);
        scratch_write(scratch, "other", "two", 0600);
        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(watch_new(event, file, on_call, NULL, &watch), 0);
        ck_assert_int_eq(rename(other, file), 0);
        await_call(event);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("watch");

        TEST_CASE(suite, a_file_in_a_folder_that_does_not_exist_yet);
        TEST_CASE(suite, a_file_that_is_replaced_by_rename);
        return test_run(suite);
}
