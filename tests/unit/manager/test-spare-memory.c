/* Memory goes back after many inspections, after a reload, and not for less. */

#include "daemon/manager/spare-memory.h"

#include <malloc.h>
#include <stdlib.h>

#include "tests/support/probe.h"
#include "tests/test.h"

/* As many as are worth it. */
#define MANY 64u

static sd_event *event;

static void setup(void) {
        ck_assert_int_ge(sd_event_new(&event), 0);
}

static void teardown(void) {
        event = sd_event_unref(event);
}

START_TEST(few_inspections_are_not_worth_it) {
        struct spare_memory spare = { .event = event };

        for (unsigned i = 1; i < MANY; i++)
                spare_memory_count(&spare);
        ck_assert_ptr_null(spare.timer);
        spare_memory_count(&spare);
        ck_assert_ptr_nonnull(spare.timer);
        spare_memory_clear(&spare);
        ck_assert_ptr_null(spare.timer);
        spare_memory_count(&spare); /* another wave begins at its beginning */
        ck_assert_ptr_null(spare.timer);
        spare_memory_clear(&spare);
}
END_TEST

/* A wave has one end, however much comes meanwhile. */
START_TEST(a_reload_is_worth_it) {
        struct spare_memory spare = { .event = event };
        sd_event_source *timer;
        uint64_t first, second;

        spare_memory_schedule(&spare);
        timer = spare.timer;
        ck_assert_ptr_nonnull(timer);
        ck_assert_int_ge(sd_event_source_get_time(timer, &first), 0);
        for (unsigned i = 0; i < 3 * MANY; i++)
                spare_memory_count(&spare);
        spare_memory_schedule(&spare);
        ck_assert_ptr_eq(spare.timer, timer);
        ck_assert_int_ge(sd_event_source_get_time(timer, &second), 0);
        ck_assert_uint_eq(first, second);

        /* It has come. */
        ck_assert_int_ge(sd_event_source_set_time(timer, 0), 0);
        ck_assert_int_gt(sd_event_run(event, UINT64_MAX), 0);
        ck_assert_ptr_null(spare.timer);
}
END_TEST

#define BLOCKS 8192u
#define BLOCK  1024u

/* Free memory below a block that is in use is what malloc() keeps. */
START_TEST(it_goes_back) {
        struct spare_memory spare = { .event = event };
        static char *blocks[BLOCKS];
        unsigned before, after;

        if (mallinfo2().arena == 0) {
                test_report("another malloc() is in use, which keeps nothing back");
                return;
        }
        for (size_t i = 0; i < BLOCKS; i++) {
                blocks[i] = malloc(BLOCK);
                ck_assert_ptr_nonnull(blocks[i]);
                memset(blocks[i], 1, BLOCK);
        }
        for (size_t i = 0; i < BLOCKS - 1; i++)
                free(blocks[i]);
        before = probe_kib(getpid(), "RssAnon");
        spare_memory_give_back(&spare);
        after = probe_kib(getpid(), "RssAnon");
        free(blocks[BLOCKS - 1]);
        ck_assert_msg(after + BLOCKS * BLOCK / 1024 * 3 / 4 < before, "%u KiB before, %u KiB after", before,
                      after);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("spare-memory");
        TCase *tcase = tcase_create("spare-memory");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, few_inspections_are_not_worth_it);
        tcase_add_test(tcase, a_reload_is_worth_it);
        tcase_add_test(tcase, it_goes_back);
        suite_add_tcase(suite, tcase);
        return test_run(suite);
}
