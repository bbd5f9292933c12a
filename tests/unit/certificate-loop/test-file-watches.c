/* What is watched beside a set: which changes are news, and how often. On a real loop, with real files. */

#include "daemon/certificate/file-watches.h"

#include "tests/support/scratch.h"
#include "tests/test.h"

START_TEST(the_distance_doubles_and_begins_anew) {
        static const struct {
                usec_t distance, quiet, next;
        } rows[] = {
                { 0, USEC_INFINITY, USEC_PER_SEC },
                { USEC_PER_SEC, USEC_PER_SEC, 2 * USEC_PER_SEC },
                { 40 * USEC_PER_MINUTE, USEC_PER_SEC, USEC_PER_HOUR },
                { USEC_PER_HOUR, 59 * USEC_PER_MINUTE, USEC_PER_HOUR },
                { USEC_PER_HOUR, USEC_PER_HOUR, USEC_PER_SEC },
                { 4 * USEC_PER_SEC, 2 * USEC_PER_HOUR, USEC_PER_SEC },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                ck_assert_uint_eq(file_watches_next_distance(rows[i].distance, rows[i].quiet), rows[i].next);
}
END_TEST

static void count(void *userdata) {
        ++*(unsigned *)userdata;
}

/* All that the kernel has for us already. */
static void drain(sd_event *event) {
        while (sd_event_run(event, 0) > 0)
                ;
}

struct bench {
        char *scratch, *path, *pass;
        struct export exports[1];
        struct config_certificate certificate;
        sd_event *event;
        struct file_watches *watches;
        unsigned n;
};

static void bench_make(struct bench *bench) {
        *bench = (struct bench) { .scratch = scratch_new() };
        bench->path = scratch_path(bench->scratch, "a.p12");
        bench->pass = scratch_path(bench->scratch, "pass");
        bench->exports[0] = (struct export) { .path = bench->path, .passphrase_file = bench->pass };
        bench->certificate = (struct config_certificate) { .name = (char *)"orders",
                                                           .exports = bench->exports,
                                                           .n_exports = 1 };
        scratch_write(bench->scratch, "a.p12", "x", 0600);
        scratch_write(bench->scratch, "pass", "y", 0600);
        ck_assert_int_ge(sd_event_new(&bench->event), 0);
        ck_assert_int_eq(
                file_watches_new(bench->event, &bench->certificate, count, &bench->n, &bench->watches), 0);
        drain(bench->event);
        ck_assert_uint_eq(bench->n, 0);
}

static void bench_clear(struct bench *bench) {
        file_watches_free(bench->watches);
        sd_event_unref(bench->event);
        free(bench->path);
        free(bench->pass);
        scratch_free(bench->scratch);
}

START_TEST(what_is_news) {
        struct bench bench;

        bench_make(&bench);
        scratch_write(bench.scratch, "noise", "x", 0600);
        drain(bench.event);
        ck_assert_uint_eq(bench.n, 0);
        ck_assert_int_eq(unlink(bench.path), 0);
        drain(bench.event);
        ck_assert_uint_eq(bench.n, 1);
        bench_clear(&bench);

        bench_make(&bench);
        scratch_write(bench.scratch, "pass", "another", 0600);
        drain(bench.event);
        ck_assert_uint_eq(bench.n, 1);
        bench_clear(&bench);
}
END_TEST

/* What rekeyd has written itself is none; a passphrase that came meanwhile still is. */
START_TEST(what_was_written_is_settled) {
        struct bench bench;

        bench_make(&bench);
        scratch_write(bench.scratch, "a.p12", "another", 0600);
        file_watches_settle(bench.watches, bench.path);
        drain(bench.event);
        ck_assert_uint_eq(bench.n, 0);
        scratch_write(bench.scratch, "pass", "another", 0600);
        file_watches_settle(bench.watches, bench.path);
        drain(bench.event);
        ck_assert_uint_eq(bench.n, 1);
        bench_clear(&bench);
}
END_TEST

/* The events of what rekeyd writes come while it writes. */
START_TEST(nothing_is_told_in_a_pause) {
        struct bench bench;

        bench_make(&bench);
        file_watches_pause(bench.watches);
        ck_assert_int_eq(unlink(bench.path), 0);
        scratch_write(bench.scratch, "a.p12", "another", 0600);
        drain(bench.event);
        file_watches_settle(bench.watches, bench.path);
        file_watches_resume(bench.watches);
        drain(bench.event);
        ck_assert_uint_eq(bench.n, 0);

        /* By others; also where it was written, and is gone again. */
        file_watches_pause(bench.watches);
        ck_assert_int_eq(unlink(bench.path), 0);
        drain(bench.event);
        ck_assert_uint_eq(bench.n, 0);
        file_watches_resume(bench.watches);
        ck_assert_uint_eq(bench.n, 1);
        file_watches_note(bench.watches);
        file_watches_pause(bench.watches);
        file_watches_settle(bench.watches, bench.path);
        file_watches_resume(bench.watches);
        while (bench.n < 2)
                ck_assert_int_ge(sd_event_run(bench.event, UINT64_MAX), 0);
        bench_clear(&bench);
}
END_TEST

/* The second of two waits its time, and is not lost. */
START_TEST(two_at_once_are_told_apart) {
        struct bench bench;

        bench_make(&bench);
        ck_assert_int_eq(unlink(bench.path), 0);
        drain(bench.event);
        file_watches_note(bench.watches);
        scratch_write(bench.scratch, "a.p12", "again", 0600);
        drain(bench.event);
        ck_assert_uint_eq(bench.n, 1);
        while (bench.n < 2)
                ck_assert_int_ge(sd_event_run(bench.event, UINT64_MAX), 0);
        bench_clear(&bench);
}
END_TEST

START_TEST(without_exports_nothing_is_watched) {
        const struct config_certificate certificate = { .name = (char *)"orders" };
        struct file_watches *watches = (struct file_watches *)8;

        ck_assert_int_eq(file_watches_new(NULL, &certificate, count, NULL, &watches), 0);
        ck_assert_ptr_null(watches);
        file_watches_note(NULL);
        file_watches_settle(NULL, "");
        file_watches_pause(NULL);
        file_watches_resume(NULL);
        ck_assert_ptr_null(file_watches_free(NULL));
}
END_TEST

TEST_MAIN("file-watches", the_distance_doubles_and_begins_anew, what_is_news, what_was_written_is_settled,
          nothing_is_told_in_a_pause, two_at_once_are_told_apart, without_exports_nothing_is_watched)
