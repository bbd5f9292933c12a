/* The file of metrics: a real loop, real workers, a real disk. */

#include "daemon/observe/metrics-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "daemon/observe/messages.h"
#include "lib/util/files.h"
#include "lib/util/log-queue.h"
#include "lib/util/log.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/test.h"
#include "tests/unit/observe/metrics-fleet.h"

#define EVERY (20 * USEC_PER_MSEC)

struct setup {
        sd_event *event;
        struct workers *workers;
        struct metrics_fleet fleet;
        struct metrics_file *file;
        char *scratch, *path;
};

static struct setup *setup_new(size_t n) {
        struct setup *setup = calloc(1, sizeof(*setup));

        ck_assert_ptr_nonnull(setup);
        setup->scratch = scratch_new();
        setup->path = scratch_path(setup->scratch, "rekeyd.prom");
        metrics_fleet_init(&setup->fleet, n);
        ck_assert_int_ge(sd_event_new(&setup->event), 0);
        ck_assert_int_eq(workers_new(setup->event, 2, &setup->workers), 0);
        return setup;
}

static void begin(struct setup *setup, usec_t every_usec, const char *path) {
        ck_assert_int_eq(metrics_file_new(setup->event, setup->workers, &setup->fleet.metrics,
                                          &setup->fleet.source, every_usec, &setup->file),
                         0);
        ck_assert_int_eq(metrics_file_set_path(setup->file, path), 0);
}

static void setup_free(struct setup *setup) {
        workers_free(setup->workers);
        metrics_file_free(setup->file);
        metrics_fleet_clear(&setup->fleet);
        sd_event_unref(setup->event);
        scratch_free(setup->scratch);
        free(setup->path);
        free(setup);
}

/* --- What is logged --- */

static unsigned n_warnings, n_infos;
static char last_warning[1024];

static bool is_connected(void) {
        return true;
}

static int count_line(int priority, const char *message_id, _unused_ const struct log_field *fields,
                      _unused_ size_t n_fields, const char *message, char **ret_data, size_t *ret_size) {
        if (streq_null(message_id, MESSAGE_WARNING)) {
                n_warnings++;
                snprintf(last_warning, sizeof(last_warning), "%s", message);
        } else if (priority == LOG_INFO && strstr(message, " again")) {
                n_infos++;
        }
        *ret_data = NULL;
        *ret_size = 0;
        return 0;
}

static ssize_t take(_unused_ const char *data, size_t size) {
        return (ssize_t)size;
}

static void count_lines(void) {
        static const struct log_target nowhere = { .send = take };
        static const struct log_journal state = { is_connected, count_line, &nowhere };

        log_set_journal(&state);
        log_configure(LOG_FORMAT_JOURNAL, LOG_DEBUG);
        n_warnings = n_infos = 0;
}

/* --- The file --- */

static char *read_file(const char *path) {
        char *text = NULL;
        int r;

        r = file_read_at(AT_FDCWD, path, FILE_NOFOLLOW, 64 << 20, &text, NULL);
        ck_assert(r == 0 || r == -ENOENT || r == -ENOTDIR);
        return text;
}

static bool has_attempts(const char *path, uint64_t attempts) {
        _cleanup_(freep) char *text = read_file(path);
        char line[64];

        snprintf(line, sizeof(line), "\nrekeyd_attempts_total %" PRIu64 "\n", attempts);
        return text && strstr(text, line);
}

static void turn(struct setup *setup, usec_t deadline, const char *what) {
        ck_assert_msg(now_usec(CLOCK_MONOTONIC) < deadline, "never: %s", what);
        ck_assert_int_ge(sd_event_run(setup->event, 100 * USEC_PER_MSEC), 0);
}

#define AWAIT(setup, condition)                                                                      \
        for (usec_t deadline_ = usec_add(now_usec(CLOCK_MONOTONIC), patience_usec()); !(condition);) \
        turn(setup, deadline_, #condition)

/* A change that can be seen in the file. */
static void change(struct setup *setup) {
        setup->fleet.metrics.attempts++;
        metrics_file_changed(setup->file);
}

static bool is_up_to_date(const struct setup *setup) {
        return has_attempts(setup->path, setup->fleet.metrics.attempts);
}

/* Nothing happens for so many intervals. */
static bool is_quiet(struct setup *setup, usec_t span_usec) {
        return sd_event_run(setup->event, span_usec) == 0;
}

static void drain(struct setup *setup) {
        AWAIT(setup, is_up_to_date(setup));
        AWAIT(setup, is_quiet(setup, 5 * EVERY)); /* the worker may be late with its end */
}

/* --- Tests --- */

START_TEST(a_failure_is_said_once_and_so_is_its_end) {
        struct setup *setup = setup_new(3);
        _cleanup_(freep) char *directory = scratch_path(setup->scratch, "later"),
                              *path = scratch_path(directory, "rekeyd.prom");

        count_lines();
        begin(setup, EVERY, path);
        AWAIT(setup, n_warnings > 0);
        ck_assert_ptr_nonnull(strstr(last_warning, path));
        ck_assert_ptr_nonnull(strstr(last_warning, "cannot open directory"));
        ck_assert_ptr_nonnull(strstr(last_warning, "No such file or directory"));

        /* It is tried again without a change, and not one word more is said. */
        for (unsigned i = 0; i < 3; i++) {
                unsigned n = setup->fleet.n_asked;

                AWAIT(setup, setup->fleet.n_asked > n);
                change(setup);
        }
        ck_assert_uint_eq(n_warnings, 1);

        ck_assert_int_eq(mkdir(directory, 0755), 0);
        AWAIT(setup, has_attempts(path, setup->fleet.metrics.attempts));
        AWAIT(setup, n_infos == 1);
        ck_assert_uint_eq(n_warnings, 1);

        /* The next failure is a new one. */
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(rmdir(directory), 0);
        change(setup);
        AWAIT(setup, n_warnings == 2);
        ck_assert_uint_eq(n_infos, 1);
        setup_free(setup);
}
END_TEST

START_TEST(something_that_cannot_be_replaced) {
        struct setup *setup = setup_new(3);
        _cleanup_(freep) char *litter = NULL;

        count_lines();
        ck_assert_int_eq(mkdir(setup->path, 0755), 0);
        begin(setup, EVERY, setup->path);
        AWAIT(setup, n_warnings == 1);
        ck_assert_ptr_nonnull(strstr(last_warning, "Is a directory"));
        litter = scratch_list(setup->scratch);
        ck_assert_str_eq(litter, "rekeyd.prom");
        setup_free(setup);
}
END_TEST

START_TEST(a_directory_that_is_read_only) {
        struct setup *setup = setup_new(3);

        if (geteuid() == 0) {
                test_skip("a_directory_that_is_read_only: root may write everywhere");
                setup_free(setup);
                return;
        }
        count_lines();
        ck_assert_int_eq(chmod(setup->scratch, 0555), 0);
        begin(setup, EVERY, setup->path);
        AWAIT(setup, n_warnings == 1);
        ck_assert_ptr_nonnull(strstr(last_warning, "ReadWritePaths="));
        ck_assert_int_eq(chmod(setup->scratch, 0755), 0);
        drain(setup);
        setup_free(setup);
}
END_TEST

START_TEST(a_file_that_everybody_may_read) {
        struct setup *setup = setup_new(3);
        _cleanup_(freep) char *text = NULL, *names = NULL;
        mode_t mask = umask(0077);
        struct stat st;

        begin(setup, EVERY, setup->path);
        drain(setup);
        umask(mask);
        ck_assert_int_eq(stat(setup->path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0644);
        text = read_file(setup->path);
        ck_assert(has_prefix(text, "# HELP rekeyd_build_info "));
        ck_assert_ptr_nonnull(strstr(text, "\nrekeyd_certificate_usable{certificate=\"c-00002\"} 1\n"));
        ck_assert_ptr_null(strstr(text, "process_")); /* node_exporter has its own */
        names = scratch_list(setup->scratch);
        ck_assert_str_eq(names, "rekeyd.prom");
        setup_free(setup);
}
END_TEST

START_TEST(nothing_is_written_while_nothing_changes) {
        struct setup *setup = setup_new(3);
        struct stat before, after;
        unsigned n_asked;

        begin(setup, EVERY, setup->path);
        drain(setup);
        ck_assert_int_eq(stat(setup->path, &before), 0);
        n_asked = setup->fleet.n_asked;
        ck_assert(is_quiet(setup, 30 * EVERY)); /* not even a timer */
        ck_assert_uint_eq(setup->fleet.n_asked, n_asked);
        ck_assert_int_eq(stat(setup->path, &after), 0);
        ck_assert_uint_eq(after.st_ino, before.st_ino);
        ck_assert_int_eq(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);

        change(setup);
        drain(setup);
        ck_assert(is_quiet(setup, 30 * EVERY));
        setup_free(setup);
}
END_TEST

/* After a start: the file of the run before stays until there is something to say. */
START_TEST(what_is_not_ready_is_not_hurried) {
        struct setup *setup = setup_new(3);
        _cleanup_(freep) char *text = NULL;
        usec_t start = now_usec(CLOCK_BOOTTIME);

        scratch_write(setup->scratch, "rekeyd.prom", "of the run before", 0644);
        setup->fleet.source.is_ready = false;
        begin(setup, 10 * EVERY, setup->path);
        change(setup);
        ck_assert_int_eq(sd_event_run(setup->event, 0), 0);
        setup->fleet.source.is_ready = true;
        drain(setup);
        ck_assert_uint_ge(now_usec(CLOCK_BOOTTIME) - start, 10 * EVERY);
        text = read_file(setup->path);
        ck_assert_ptr_nonnull(strstr(text, "\nrekeyd_ready 1\n"));
        setup_free(setup);
}
END_TEST

START_TEST(many_changes_are_written_together) {
        enum { EVERY_MSEC = 200 };
        struct setup *setup = setup_new(1);
        usec_t start, span;
        unsigned n_changes = 0, n_each, n_written;

        begin(setup, EVERY_MSEC * USEC_PER_MSEC, setup->path);
        drain(setup);
        n_each = setup->fleet.n_asked;
        ck_assert_uint_gt(n_each, 0);

        start = now_usec(CLOCK_MONOTONIC);
        while ((span = now_usec(CLOCK_MONOTONIC) - start) < 5 * EVERY_MSEC * USEC_PER_MSEC) {
                change(setup);
                n_changes++;
                ck_assert_int_ge(sd_event_run(setup->event, USEC_PER_MSEC), 0);
        }
        drain(setup);
        span = now_usec(CLOCK_MONOTONIC) - start;
        n_written = setup->fleet.n_asked / n_each - 1;
        test_report("metrics file: %u changes in %" PRIu64 " ms, written %u times", n_changes,
                    span / USEC_PER_MSEC, n_written);
        ck_assert_uint_ge(n_written, 2);
        ck_assert_uint_le(n_written, span / (EVERY_MSEC * USEC_PER_MSEC) + 1);
        setup_free(setup);
}
END_TEST

START_TEST(a_reader_always_finds_a_whole_page) {
        struct setup *setup = setup_new(300);
        const char *last = "\nrekeyd_key_generation_cpu_seconds_total 3.14159\n";
        unsigned n_read = 0;

        begin(setup, 0, setup->path);
        drain(setup);
        for (unsigned i = 0; i < 20; i++) {
                change(setup);
                while (!is_up_to_date(setup)) {
                        _cleanup_(freep) char *text = read_file(setup->path);

                        ck_assert(has_prefix(text, "# HELP rekeyd_build_info "));
                        ck_assert(has_suffix(text, last));
                        ck_assert_ptr_nonnull(strstr(text, "{certificate=\"c-00299\""));
                        n_read++;
                        ck_assert_int_ge(sd_event_run(setup->event, 100 * USEC_PER_MSEC), 0);
                }
        }
        ck_assert_uint_gt(n_read, 20);
        setup_free(setup);
}
END_TEST

START_TEST(certificates_that_change_in_the_middle) {
        struct setup *setup = setup_new(2000);
        _cleanup_(freep) char *text = NULL;
        unsigned n_asked;

        begin(setup, EVERY, setup->path);
        AWAIT(setup, setup->fleet.n_asked > 4000); /* a third of the families is done */
        ck_assert_ptr_null(text = read_file(setup->path));
        n_asked = setup->fleet.n_asked;
        setup->fleet.source.n = 1000;
        setup->fleet.serial++;
        drain(setup);
        ck_assert_uint_gt(setup->fleet.n_asked, n_asked + 10 * 1000);
        text = read_file(setup->path);
        ck_assert_ptr_nonnull(strstr(text, "\nrekeyd_certificates 1000\n"));
        ck_assert_ptr_nonnull(strstr(text, "{certificate=\"c-00999\""));
        ck_assert_ptr_null(strstr(text, "{certificate=\"c-01000\""));
        setup_free(setup);
}
END_TEST

START_TEST(another_path) {
        struct setup *setup = setup_new(3);
        _cleanup_(freep) char *other = scratch_path(setup->scratch, "other.prom"), *names = NULL;

        scratch_write(setup->scratch, "foreign.prom", "x 1\n", 0644);
        begin(setup, EVERY, setup->path);
        drain(setup);
        ck_assert_int_eq(metrics_file_set_path(setup->file, setup->path), 0);
        ck_assert(is_quiet(setup, 5 * EVERY)); /* it was this one already */

        ck_assert_int_eq(metrics_file_set_path(setup->file, other), 0);
        AWAIT(setup, access(other, F_OK) == 0 && access(setup->path, F_OK) < 0);

        /* There and back again, before anything could be written: what is wanted in the end is there. */
        ck_assert_int_eq(metrics_file_set_path(setup->file, setup->path), 0);
        ck_assert_int_eq(metrics_file_set_path(setup->file, other), 0);
        change(setup);
        AWAIT(setup, has_attempts(other, setup->fleet.metrics.attempts));
        AWAIT(setup, is_quiet(setup, 5 * EVERY));
        names = scratch_list(setup->scratch);
        ck_assert_str_eq(names, "foreign.prom other.prom");

        ck_assert_int_eq(metrics_file_set_path(setup->file, NULL), 0);
        AWAIT(setup, access(other, F_OK) < 0);
        metrics_file_changed(setup->file);
        ck_assert(is_quiet(setup, 5 * EVERY) || is_quiet(setup, 5 * EVERY));
        ck_assert_int_lt(access(setup->path, F_OK), 0);
        setup_free(setup);
}
END_TEST

/* While the worker writes, the configuration says otherwise. */
START_TEST(another_path_at_every_moment) {
        enum { MOMENTS = 40 };
        struct setup *setup = setup_new(300);
        _cleanup_(freep) char *other = scratch_path(setup->scratch, "other.prom");

        begin(setup, 0, setup->path);
        for (unsigned i = 0; i < MOMENTS; i++) {
                const char *to = i % 2 == 0 ? other : setup->path, *from = i % 2 == 0 ? setup->path : other;

                for (unsigned k = 0; k < i / 2; k++)
                        ck_assert_int_ge(sd_event_run(setup->event, 0), 0);
                change(setup);
                ck_assert_int_eq(metrics_file_set_path(setup->file, to), 0);
                if (i % 5 == 4) {
                        AWAIT(setup, has_attempts(to, setup->fleet.metrics.attempts));
                        AWAIT(setup, access(from, F_OK) < 0);
                }
        }
        setup_free(setup);
}
END_TEST

/* What was owed when the loop ended is on disk afterwards, whatever the workers had begun. */
START_TEST(the_last_word) {
        enum { MOMENTS = 12 };

        for (unsigned i = 0; i < MOMENTS; i++) {
                struct setup *setup = setup_new(300);
                _cleanup_(freep) char *names = NULL;

                begin(setup, EVERY, setup->path);
                if (i > 2)
                        drain(setup);
                change(setup);
                for (unsigned k = 0; k < i % 3 * 2; k++)
                        ck_assert_int_ge(sd_event_run(setup->event, EVERY), 0);
                setup->workers = workers_free(setup->workers);
                setup->file = metrics_file_free(setup->file);
                ck_assert(is_up_to_date(setup));
                names = scratch_list(setup->scratch);
                ck_assert_str_eq(names, "rekeyd.prom");
                setup_free(setup);
        }
}
END_TEST

START_TEST(ten_thousand_certificates_do_not_hold_up_the_loop) {
        struct setup *setup = setup_new(10000);
        usec_t longest = 0, cpu;
        unsigned n_turns = 0;

        begin(setup, USEC_PER_SEC, setup->path);
        while (access(setup->path, F_OK) < 0) {
                int r = sd_event_prepare(setup->event);

                if (r == 0)
                        r = sd_event_wait(setup->event, patience_usec());
                ck_assert_int_gt(r, 0);
                cpu = now_usec(CLOCK_THREAD_CPUTIME_ID);
                ck_assert_int_ge(sd_event_dispatch(setup->event), 0);
                cpu = now_usec(CLOCK_THREAD_CPUTIME_ID) - cpu;
                longest = cpu > longest ? cpu : longest;
                n_turns++;
        }
        test_report("metrics file: 10000 certificates in %u turns of %" PRIu64
                    " us of processor time at most",
                    n_turns, longest);
        ck_assert_uint_gt(n_turns, 50);
        if (test_is_instrumented())
                test_skip("times of turns: %s", test_is_instrumented());
        else
                ck_assert_uint_lt(longest, 10 * USEC_PER_MSEC);
        setup_free(setup);
}
END_TEST

TEST_MAIN("metrics-file", a_failure_is_said_once_and_so_is_its_end, something_that_cannot_be_replaced,
          a_directory_that_is_read_only, a_file_that_everybody_may_read,
          nothing_is_written_while_nothing_changes, what_is_not_ready_is_not_hurried,
          many_changes_are_written_together, a_reader_always_finds_a_whole_page,
          certificates_that_change_in_the_middle, another_path, another_path_at_every_moment, the_last_word,
          ten_thousand_certificates_do_not_hold_up_the_loop)
