/* The page of metrics, read by a parser of our own that forgives nothing. */

#include "daemon/observe/metrics.h"

#include <errno.h>
#include <stdio.h>

#include "lib/config/yaml-table.h"
#include "tests/test.h"
#include "tests/unit/observe/metrics-fleet.h"
#include "tests/unit/observe/metrics-text-check.h"

#define PIECE 65536u

/* --- Reading a page --- */

/* All that READER has, in pieces of MAX; owned by the caller. */
static char *read_all(struct metrics_reader *reader, size_t max) {
        char *text = NULL;
        size_t size = 0;
        ssize_t n;

        do {
                text = realloc(text, size + max + 1);
                ck_assert_ptr_nonnull(text);
                n = metrics_read(reader, text + size, max);
                ck_assert_int_ge(n, 0);
                ck_assert_uint_le((size_t)n, max);
                size += (size_t)n;
                ck_assert_msg(n == 0 || text[size - 1] == '\n', "a piece ends in the middle of a line");
        } while (n > 0);
        ck_assert_int_eq(metrics_read(reader, text, max), 0); /* and it stays so */
        text[size] = '\0';
        ck_assert_uint_eq(strlen(text), size);
        return text;
}

static char *render(const struct metrics_fleet *fleet, size_t max) {
        _cleanup_(metrics_reader_freep) struct metrics_reader *reader = NULL;

        ck_assert_int_eq(metrics_reader_new(&fleet->metrics, &fleet->source, &reader), 0);
        return read_all(reader, max);
}

/* Whether PAGE has this very line, "rekeyd_attempts_total 17". */
static bool has_line(const char *page, const char *line) {
        size_t n = strlen(line);

        for (const char *at = page; (at = strstr(at, line)); at += n)
                if ((at == page || at[-1] == '\n') && at[n] == '\n')
                        return true;
        return false;
}

/* --- Tests --- */

START_TEST(a_page_that_becomes_stale) {
        _cleanup_(metrics_reader_freep) struct metrics_reader *reader = NULL;
        static const unsigned after[] = { 0, 1, 3 };
        struct metrics_fleet fleet;
        char buffer[METRICS_READ_MIN];

        metrics_fleet_init(&fleet, 10);
        for (size_t i = 0; i < ELEMENTSOF(after); i++) {
                ck_assert_int_eq(metrics_reader_new(&fleet.metrics, &fleet.source, &reader), 0);
                for (unsigned k = 0; k < after[i]; k++)
                        ck_assert_int_gt(metrics_read(reader, buffer, sizeof(buffer)), 0);
                fleet.serial++;
                fleet.n_asked = 0;
                ck_assert_int_eq(metrics_read(reader, buffer, sizeof(buffer)), -ESTALE);
                ck_assert_int_eq(metrics_read(reader, buffer, sizeof(buffer)), -ESTALE);
                ck_assert_uint_eq(fleet.n_asked, 0); /* the array may be gone */
                reader = metrics_reader_free(reader);
        }
        metrics_fleet_clear(&fleet);
}
END_TEST

START_TEST(a_line_that_does_not_fit) {
        _cleanup_(metrics_reader_freep) struct metrics_reader *reader = NULL;
        _cleanup_(freep) char *rest = NULL;
        struct metrics_fleet fleet;
        char buffer[16];

        metrics_fleet_init(&fleet, 1);
        ck_assert_int_eq(metrics_reader_new(&fleet.metrics, &fleet.source, &reader), 0);
        ck_assert_int_eq(metrics_read(reader, buffer, sizeof(buffer)), -ENOBUFS);
        ck_assert_int_eq(metrics_read(reader, buffer, sizeof(buffer)), -ENOBUFS);
        rest = read_all(reader, METRICS_READ_MIN); /* nothing was lost */
        metrics_text_check(rest);
        metrics_fleet_clear(&fleet);
}
END_TEST

START_TEST(every_line_is_well_formed) {
        static const size_t sizes[] = { 0, 1, 5, 100 };
        struct metrics_fleet fleet;

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                for (int for_file = 0; for_file <= 1; for_file++) {
                        _cleanup_(freep) char *page = NULL;
                        struct metrics_text_counts counts;

                        metrics_fleet_init(&fleet, sizes[i]);
                        fleet.source.for_file = for_file;
                        page = render(&fleet, PIECE);
                        counts = metrics_text_check(page);
                        ck_assert_uint_ge(counts.n_families, 25);
                        ck_assert_uint_gt(counts.n_samples, 100 + 7 * sizes[i]);
                        metrics_fleet_clear(&fleet);
                }
        }
}
END_TEST

START_TEST(every_value_is_where_it_belongs) {
        static const char *const lines[] = {
                "rekeyd_build_info{version=\"" REKEYD_VERSION "\"} 1",
                "rekeyd_start_time_seconds 1799913600",
                "rekeyd_ready 1",
                "rekeyd_certificates 6",
                ("rekeyd_certificate_expiry_timestamp_seconds{certificate=\"c-00000\",connector=\"ucl\"} "
                 "1806912000"),
                "rekeyd_certificate_not_before_timestamp_seconds{certificate=\"c-00000\"} 1799136000",
                "rekeyd_certificate_renewal_timestamp_seconds{certificate=\"c-00000\"} 1804320000",
                "rekeyd_certificate_next_attempt_timestamp_seconds{certificate=\"c-00002\"} 1800000000.35",
                "rekeyd_certificate_state{certificate=\"c-00000\",state=\"current\"} 1",
                "rekeyd_certificate_state{certificate=\"c-00001\",state=\"waiting-for-token\"} 1",
                "rekeyd_certificate_usable{certificate=\"c-00000\"} 1",
                "rekeyd_certificate_usable{certificate=\"c-00003\"} 0",
                "rekeyd_certificate_readable{certificate=\"c-00005\"} 0",
                "rekeyd_certificate_revoked{certificate=\"c-00004\"} 1",
                "rekeyd_certificate_generation{certificate=\"c-00000\"} 42",
                "rekeyd_certificate_failures{certificate=\"c-00000\"} 0",
                "rekeyd_certificate_failures{certificate=\"c-00002\"} 7",
                "rekeyd_certificate_failing{certificate=\"c-00002\",class=\"transient\"} 1",
                "rekeyd_certificate_failing{certificate=\"c-00003\",class=\"rejected\"} 1",
                "rekeyd_certificate_exports_failed{certificate=\"c-00004\"} 2",
                "rekeyd_certificate_notifications_pending{certificate=\"c-00004\"} 3",
                "rekeyd_certificate_notifications_failed{certificate=\"c-00004\"} 1",
                "rekeyd_certificate_issuance_budget_left{certificate=\"c-00000\"} 6",
                "rekeyd_certificate_issuance_budget_left{certificate=\"c-00004\"} 0",
                "rekeyd_certificate_unwatched{certificate=\"c-00004\"} 1",
                "rekeyd_attempts_total 17",
                "rekeyd_attempt_failures_total{class=\"transient\"} 11",
                "rekeyd_attempt_failures_total{class=\"bad-reply\"} 14",
                "rekeyd_attempt_failures_total{class=\"local\"} 15",
                "rekeyd_enrolments_total 1",
                "rekeyd_renewals_total 2",
                "rekeyd_signatures_total 5",
                "rekeyd_step_duration_seconds_bucket{step=\"inspect\",le=\"0.001\"} 0",
                "rekeyd_step_duration_seconds_bucket{step=\"inspect\",le=\"0.005\"} 1",
                "rekeyd_step_duration_seconds_sum{step=\"inspect\"} 0.0015",
                "rekeyd_step_duration_seconds_count{step=\"commit\"} 1",
                "rekeyd_notifications_total{result=\"success\"} 6",
                "rekeyd_notifications_total{result=\"failure\"} 7",
                "rekeyd_revocations_total{result=\"success\"} 8",
                "rekeyd_revocations_total{result=\"failure\"} 0",
                "rekeyd_reloads_total{result=\"success\"} 3",
                "rekeyd_reloads_total{result=\"failure\"} 4",
                "rekeyd_last_reload_successful 0",
                "rekeyd_last_reload_success_timestamp_seconds 1799996399.999999",
                "rekeyd_loop_turn_seconds_bucket{le=\"0.02\"} 0",
                "rekeyd_loop_turn_seconds_bucket{le=\"0.05\"} 1",
                "rekeyd_loop_turn_seconds_bucket{le=\"+Inf\"} 1",
                "rekeyd_loop_longest_turn_seconds 0.020001",
                "rekeyd_key_generation_cpu_seconds_total 3.14159",
                "rekeyd_control_connections 2",
                "process_start_time_seconds 1799913600",
        };
        _cleanup_(freep) char *page = NULL;
        struct metrics_fleet fleet;

        metrics_fleet_init(&fleet, 6);
        page = render(&fleet, PIECE);
        for (size_t i = 0; i < ELEMENTSOF(lines); i++)
                ck_assert_msg(has_line(page, lines[i]), "there is no line %s", lines[i]);
        metrics_fleet_clear(&fleet);
}
END_TEST

START_TEST(what_this_process_says_of_itself) {
        _cleanup_(freep) char *page = NULL;
        double now = (double)now_usec(CLOCK_REALTIME) / 1e6, value;
        struct metrics_fleet fleet;
        const char *at;

        /* The kernel counts a process by its ticks, and this one has just begun. */
        while (now_usec(CLOCK_PROCESS_CPUTIME_ID) < 50 * USEC_PER_MSEC)
                ;
        metrics_fleet_init(&fleet, 0);
        page = render(&fleet, PIECE);
        at = strstr(page, "\nrekeyd_time_seconds ");
        ck_assert(at && sscanf(at, " %*s %lf", &value) == 1 && value >= now - 1 && value < now + 60);
        at = strstr(page, "\nprocess_cpu_seconds_total ");
        ck_assert(at && sscanf(at, " %*s %lf", &value) == 1 && value > 0 && value < 3600);
        at = strstr(page, "\nprocess_resident_memory_bytes ");
        ck_assert(at && sscanf(at, " %*s %lf", &value) == 1 && value > 1e6 && value < 1e10);
        at = strstr(page, "\nprocess_open_fds ");
        ck_assert(at && sscanf(at, " %*s %lf", &value) == 1 && value >= 3 && value < 100);
        at = strstr(page, "\nprocess_max_fds ");
        ck_assert(at && sscanf(at, " %*s %lf", &value) == 1 && value >= 64);
        metrics_fleet_clear(&fleet);
}
END_TEST

/* A descriptor more is counted as one. */
START_TEST(open_descriptors_are_counted) {
        struct metrics_fleet fleet;
        unsigned counts[2];
        int fd = -1;

        metrics_fleet_init(&fleet, 0);
        for (size_t i = 0; i < 2; i++) {
                _cleanup_(freep) char *page = render(&fleet, PIECE);
                const char *at = strstr(page, "\nprocess_open_fds ");

                ck_assert(at && sscanf(at, " %*s %u", &counts[i]) == 1);
                fd = fd < 0 ? dup(STDERR_FILENO) : fd;
        }
        close(fd);
        ck_assert_uint_eq(counts[1], counts[0] + 1);
        metrics_fleet_clear(&fleet);
}
END_TEST

START_TEST(what_is_not_known_has_no_line) {
        static const char *const beginnings[] = {
                "\nrekeyd_certificate_expiry_timestamp_seconds{certificate=\"c-00001\"",
                "\nrekeyd_certificate_not_before_timestamp_seconds{certificate=\"c-00001\"",
                "\nrekeyd_certificate_renewal_timestamp_seconds{certificate=\"c-00001\"",
                "\nrekeyd_certificate_renewal_timestamp_seconds{certificate=\"c-00002\"",
                "\nrekeyd_certificate_next_attempt_timestamp_seconds{certificate=\"c-00000\"",
                "\nrekeyd_certificate_generation{certificate=\"c-00001\"",
                "\nrekeyd_certificate_usable{certificate=\"c-00005\"",
                "\nrekeyd_certificate_failing{certificate=\"c-00000\"",
                /* Nor has what nearly all have. */
                "\nrekeyd_certificate_state{certificate=\"c-00000\",state=\"retrying\"",
                "\nrekeyd_certificate_state{certificate=\"c-00001\",state=\"absent\"",
                "\nrekeyd_certificate_readable{certificate=\"c-00000\"",
                "\nrekeyd_certificate_readable{certificate=\"c-00001\"",
                "\nrekeyd_certificate_revoked{certificate=\"c-00000\"",
                "\nrekeyd_certificate_exports_failed{certificate=\"c-00000\"",
                "\nrekeyd_certificate_notifications_pending{certificate=\"c-00000\"",
                "\nrekeyd_certificate_notifications_failed{certificate=\"c-00000\"",
                "\nrekeyd_certificate_unwatched{certificate=\"c-00000\"",
                "\nrekeyd_certificate_failing{certificate=\"c-00002\",class=\"local\"",
                "\nrekeyd_step_duration_seconds_count{step=\"none\"",
                "\nrekeyd_attempt_failures_total{class=\"none\"",
                "\nrekeyd_last_reload_success_timestamp_seconds ",
                "\nrekeyd_start_time_seconds ",
                "\nprocess_start_time_seconds ",
        };
        _cleanup_(freep) char *page = NULL;
        struct metrics_fleet fleet;

        metrics_fleet_init(&fleet, 6);
        fleet.metrics.last_reload_usec = fleet.metrics.started_usec = 0;
        page = render(&fleet, PIECE);
        metrics_text_check(page);
        for (size_t i = 0; i < ELEMENTSOF(beginnings); i++)
                ck_assert_msg(!strstr(page, beginnings[i]), "there is a line %s", beginnings[i] + 1);
        metrics_fleet_clear(&fleet);
}
END_TEST

/* What node_exporter has itself, or what would be wrong as soon as it is written. */
START_TEST(a_file_has_less) {
        _cleanup_(freep) char *page = NULL;
        struct metrics_fleet fleet;

        metrics_fleet_init(&fleet, 6);
        fleet.source.for_file = true;
        page = render(&fleet, PIECE);
        ck_assert_ptr_null(strstr(page, "process_"));
        ck_assert_ptr_null(strstr(page, "rekeyd_time_seconds"));
        ck_assert_ptr_null(strstr(page, "rekeyd_loop_"));
        ck_assert_ptr_null(strstr(page, "rekeyd_control_connections"));
        ck_assert(has_line(page, "rekeyd_start_time_seconds 1799913600"));
        ck_assert(has_line(page, "rekeyd_certificate_readable{certificate=\"c-00005\"} 0"));
        metrics_fleet_clear(&fleet);
}
END_TEST

START_TEST(labels_are_escaped) {
        static const struct {
                const char *name, *expected;
        } rows[] = {
                { "plain.name-1_2", "plain.name-1_2" },
                { "", "" },
                { "\"", "\\\"" },
                { "\\", "\\\\" },
                { "\n", "\\n" },
                { "a\"b\\c\nd", "a\\\"b\\\\c\\nd" },
                { "\\n", "\\\\n" },
                { "ends with \\", "ends with \\\\" },
                { "{le=\"1\"} 2,", "{le=\\\"1\\\"} 2," },
                { "gr\xc3\xbc\xc3\x9f dich", "gr\xc3\xbc\xc3\x9f dich" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *page = NULL, *line = NULL;
                struct metrics_fleet fleet;

                metrics_fleet_init(&fleet, 1);
                free((char *)fleet.statuses[0].name);
                fleet.statuses[0].name = strdup(rows[i].name);
                fleet.statuses[0].connector = rows[i].name;
                page = render(&fleet, PIECE);
                metrics_text_check(page);
                ck_assert_int_gt(asprintf(&line,
                                          "rekeyd_certificate_expiry_timestamp_seconds{certificate=\"%s\","
                                          "connector=\"%s\"} 1806912000",
                                          rows[i].expected, rows[i].expected),
                                 0);
                ck_assert_msg(has_line(page, line), "there is no line %s", line);
                metrics_fleet_clear(&fleet);
        }
}
END_TEST

/* The longest names that a configuration may have; every character would have to be escaped. */
START_TEST(the_smallest_buffer_takes_the_longest_line) {
        _cleanup_(freep) char *page = NULL;
        struct metrics_fleet fleet;
        char name[YAML_NAME_MAX + 1];

        memset(name, '"', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        metrics_fleet_init(&fleet, 1);
        free((char *)fleet.statuses[0].name);
        fleet.statuses[0].name = strdup(name);
        fleet.statuses[0].connector = name;
        fleet.statuses[0].not_after = USEC_INFINITY - 1;
        page = render(&fleet, METRICS_READ_MIN);
        metrics_text_check(page);
        metrics_fleet_clear(&fleet);
}
END_TEST

/* A line for each CA certificate, and none where they are not known; a long subject is cut between
 * characters. */
START_TEST(each_ca_of_a_set_has_a_line) {
        struct issuers *issuers = calloc(1, sizeof(*issuers) + 2 * sizeof(issuers->items[0]));
        char zeros[2 * FINGERPRINT_SIZE], subject[500], expected[1000], name[YAML_NAME_MAX + 1];
        _cleanup_(freep) char *page = NULL;
        struct metrics_fleet fleet;

        ck_assert_ptr_nonnull(issuers);
        memset(name, 'n', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        memset(zeros, '0', sizeof(zeros));
        zeros[sizeof(zeros) - 2] = '\0';
        for (size_t i = 0; i < sizeof(subject) - 3; i += 2)
                memcpy(subject + i, i < 190 ? "\"\"" : "\xc3\xa4", 3);
        memmove(subject + 191, subject + 190, strlen(subject + 190) + 1);
        subject[190] = 'x';

        issuers->n = 2;
        issuers->items[0] =
                (struct issuer) { .fingerprint = { 0xab }, .spki = { 0xcd }, .subject = "CN=Kyma, O=\"x\"" };
        issuers->items[1] = (struct issuer) { .fingerprint = { 0xff }, .spki = { 0xff }, .subject = subject };
        metrics_fleet_init(&fleet, 2);
        free((char *)fleet.statuses[0].name);
        fleet.statuses[0].name = strdup(name);
        fleet.statuses[0].renewable.issuers = issuers;
        page = render(&fleet, METRICS_READ_MIN);
        metrics_text_check(page);
        snprintf(expected, sizeof(expected),
                 "rekeyd_certificate_issuer_info{certificate=\"%s\",issuer=\"ab%s\",issuer_key=\"cd%s\","
                 "issuer_subject="
                 "\"CN=Kyma, O=\\\"x\\\"\"} 1",
                 name, zeros, zeros);
        ck_assert_msg(has_line(page, expected), "%s is not in %s", expected, page);
        ck_assert_ptr_nonnull(strstr(page, "\\\"x\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\"} 1\n"));
        ck_assert_ptr_null(strstr(page, "issuer_info{certificate=\"c-00001\""));
        metrics_fleet_clear(&fleet);
        free(issuers);
}
END_TEST

START_TEST(pieces_of_any_size_make_the_same_page) {
        static const size_t sizes[] = { METRICS_READ_MIN, 1025, 1400, 2000, 4096, 65536 };
        _cleanup_(freep) char *whole = NULL;
        struct metrics_fleet fleet;

        metrics_fleet_init(&fleet, 50);
        fleet.source.for_file = true; /* without the clock */
        whole = render(&fleet, 1 << 20);
        metrics_text_check(whole);
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                _cleanup_(freep) char *page = render(&fleet, sizes[i]);

                ck_assert_str_eq(page, whole);
        }
        metrics_fleet_clear(&fleet);
}
END_TEST

START_TEST(what_is_borrowed_is_not_kept_between_calls) {
        _cleanup_(metrics_reader_freep) struct metrics_reader *reader = NULL;
        struct metrics_fleet fleet;
        char buffer[METRICS_READ_MIN];
        ssize_t n;

        /* Every status is new for each call, as if each certificate changed in between. */
        metrics_fleet_init(&fleet, 10);
        ck_assert_int_eq(metrics_reader_new(&fleet.metrics, &fleet.source, &reader), 0);
        while ((n = metrics_read(reader, buffer, sizeof(buffer))) > 0)
                for (size_t i = 0; i < fleet.n; i++) {
                        char *name = strdup(fleet.statuses[i].name);

                        free((char *)fleet.statuses[i].name);
                        fleet.statuses[i].name = name;
                }
        ck_assert_int_eq(n, 0);
        metrics_fleet_clear(&fleet);
}
END_TEST

static void check_bounds(const struct histogram_bounds *bounds, usec_t first, usec_t last) {
        ck_assert_uint_lt(bounds->n, HISTOGRAM_BUCKETS);
        ck_assert_uint_eq(bounds->usec[0], first);
        ck_assert_uint_eq(bounds->usec[bounds->n - 1], last);
        for (size_t i = 1; i < bounds->n; i++)
                ck_assert_uint_gt(bounds->usec[i], bounds->usec[i - 1]);
}

/* A bound belongs to its bucket; what is one microsecond more does not. */
static void check_edges(const struct histogram_bounds *bounds, bool is_turn) {
        for (size_t i = 0; i <= bounds->n; i++) {
                usec_t low = i > 0 ? bounds->usec[i - 1] + 1 : 0,
                       high = i < bounds->n ? bounds->usec[i] : USEC_INFINITY;
                struct metrics metrics = { 0 };
                const struct histogram *histogram = is_turn ? &metrics.turns : &metrics.steps[STEP_SIGN];

                for (size_t k = 0; k < 2; k++) {
                        if (is_turn)
                                metrics_count_turn(&metrics, k == 0 ? low : high);
                        else
                                metrics_count_step(&metrics, STEP_SIGN, k == 0 ? low : high);
                }
                for (size_t k = 0; k < HISTOGRAM_BUCKETS; k++)
                        ck_assert_uint_eq(histogram->counts[k], k == i ? 2 : 0);
                ck_assert_uint_eq(histogram->n, 2);
                ck_assert_uint_eq(histogram->sum_usec, usec_add(low, high));
                ck_assert_uint_eq(metrics.longest_turn_usec, is_turn ? high : 0);
        }
}

START_TEST(buckets_have_sharp_edges) {
        check_bounds(&metrics_step_bounds, USEC_PER_MSEC, 2 * USEC_PER_MINUTE);
        check_bounds(&metrics_turn_bounds, 100, USEC_PER_SEC);
        check_edges(&metrics_step_bounds, false);
        check_edges(&metrics_turn_bounds, true);
}
END_TEST

START_TEST(reloads_are_counted) {
        struct metrics metrics = { 0 };

        metrics_count_reload(&metrics, false, 1);
        ck_assert(metrics.reload_has_failed);
        ck_assert_uint_eq(metrics.last_reload_usec, 0);
        metrics_count_reload(&metrics, true, 2);
        ck_assert(!metrics.reload_has_failed);
        metrics_count_reload(&metrics, false, 3);
        ck_assert(metrics.reload_has_failed);
        ck_assert_uint_eq(metrics.last_reload_usec, 2);
        ck_assert_uint_eq(metrics.reloads, 1);
        ck_assert_uint_eq(metrics.reload_failures, 2);
}
END_TEST

START_TEST(ten_thousand_certificates) {
        enum { N = 10000 };
        _cleanup_(metrics_reader_freep) struct metrics_reader *reader = NULL;
        _cleanup_(freep) char *buffer = malloc(PIECE);
        usec_t longest = 0, total = 0, begin, took;
        struct metrics_fleet fleet;
        size_t size = 0, n_calls = 0;
        ssize_t n;

        metrics_fleet_init(&fleet, N);
        ck_assert_int_eq(metrics_reader_new(&fleet.metrics, &fleet.source, &reader), 0);
        do {
                begin = now_usec(CLOCK_THREAD_CPUTIME_ID);
                n = metrics_read(reader, buffer, PIECE);
                took = now_usec(CLOCK_THREAD_CPUTIME_ID) - begin;
                ck_assert_int_ge(n, 0);
                longest = took > longest ? took : longest;
                total += took;
                size += (size_t)n;
                n_calls++;
        } while (n > 0);
        /* No more than once for each family, and again where a piece ends. */
        ck_assert_uint_le(fleet.n_asked, 17 * N + n_calls);
        test_report("metrics: %zu KiB for %d certificates in %zu pieces; %" PRIu64 " us each, %" PRIu64
                    " us at most, of processor time",
                    size / 1024, N, n_calls, total / n_calls, longest);
        if (test_is_instrumented())
                test_skip("times of pieces: %s", test_is_instrumented());
        else
                ck_assert_msg(longest < 5 * USEC_PER_MSEC && total / n_calls < USEC_PER_MSEC,
                              "%" PRIu64 " us for a piece", longest);
        metrics_fleet_clear(&fleet);
}
END_TEST

TEST_MAIN("metrics", a_page_that_becomes_stale, a_line_that_does_not_fit, every_line_is_well_formed,
          every_value_is_where_it_belongs, what_this_process_says_of_itself, open_descriptors_are_counted,
          what_is_not_known_has_no_line, a_file_has_less, labels_are_escaped,
          the_smallest_buffer_takes_the_longest_line, each_ca_of_a_set_has_a_line,
          pieces_of_any_size_make_the_same_page, what_is_borrowed_is_not_kept_between_calls,
          buckets_have_sharp_edges, reloads_are_counted, ten_thousand_certificates)
