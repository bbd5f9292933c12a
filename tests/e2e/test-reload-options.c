/* SIGHUP: each option that changes takes effect at once; and many reloads cost neither a renewal nor memory.
 */

#include <signal.h>
#include <sys/stat.h>

#include "daemon/observe/messages.h"
#include "tests/e2e/reloads.h"
#include "tests/support/fixture.h"
#include "tests/test.h"

static void remove_file(struct fixture *fixture, const char *name) {
        _cleanup_(freep) char *path = scratch_path(fixture->directory, name);

        ck_assert_int_eq(unlink(path), 0);
}

/* --- Options change --- */

START_TEST(the_directory_changes) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_running(A_MONTH, ORDERS TOLD("first"));
        _cleanup_(freep) char *before = scratch_read(fixture->directory, "orders/tls.crt"), *now = NULL;

        fixture_expect(fixture, MESSAGE_NOTIFIED);
        remove_file(fixture, "token");
        fixture_edit(fixture, "/orders\n", "/moved\n");
        reload(fixture, "0 added, 1 changed, 0 removed, 0 unchanged");
        fixture_expect(fixture, MESSAGE_WAITING);
        fixture_token(fixture, "client-1", "token");
        await_of(fixture, MESSAGE_ENROLLED, "orders");
        fixture_expect(fixture, MESSAGE_NOTIFIED);
        assert_file(fixture, "told", "first 1\nfirst 1\n"); /* its own generation 1 */
        ck_assert(exists(fixture, "moved/tls.crt"));
        now = scratch_read(fixture->directory, "orders/tls.crt");
        ck_assert_str_eq(now, before);

        /* And back, to a set that is there: nobody calls for it, and its users learn of it. */
        fixture_edit(fixture, "/moved\n", "/orders\n");
        reload(fixture, "1 changed");
        fixture_expect(fixture, MESSAGE_NOTIFIED);
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), 2);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(a_corrected_url_is_used_at_once) {
        for (unsigned n_failures = 1; n_failures <= 2; n_failures++) {
                _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("30d"));
                _cleanup_(freep) char *url = NULL;
                json_t *line;

                fixture_enrol(fixture, ORDERS);

                /* The Connector has moved, and what it once said of itself is out of date. */
                scratch_write(
                        fixture->directory, "orders/connection.json",
                        "{\"certificateSecuredConnectorURL\": \"https://localhost:1/connector/graphql\"}\n",
                        0644);
                fixture_configure(fixture, ORDERS LARGER_KEY);
                for (unsigned i = 0; i < n_failures; i++)
                        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
                fixture_start(fixture, NULL);
                line = fixture_await(fixture, MESSAGE_HELD);
                ck_assert_int_eq(atoi(member(line, "attempt")), (int)n_failures);
                json_decref(line);

                ck_assert_int_ge(asprintf(&url, "url: '%s', enrol_url:", fixture->certificate_url), 0);
                fixture_edit(fixture, "enrol_url:", url);
                reload(fixture, "1 changed");
                line = fixture_await(fixture, MESSAGE_RENEWED);
                json_decref(line);
                ck_assert_msg(count_lines(output(fixture), MESSAGE_FAILED_TRANSIENT, "") == 0 ||
                                      show(output(fixture)),
                              "after %u failures", n_failures);
                ck_assert_int_eq(fixture_stop(fixture), 0);
        }
}
END_TEST

START_TEST(exports_are_written_at_once) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_running(A_MONTH, ORDERS TOLD("first"));
        _cleanup_(freep) char *copy = NULL, *now = NULL;
        struct stat st;

        fixture_expect(fixture, MESSAGE_NOTIFIED);
        fixture_configure(
                fixture,
                ORDERS TOLD("first") "    exports: [{path: %s/copy.pem, contents: [key, leaf, chain]}]\n");
        reload(fixture, "1 changed");
        fixture_expect(fixture, MESSAGE_EXPORTED);
        fixture_expect(fixture, MESSAGE_NOTIFIED);
        assert_file(fixture, "told", "first 1\nfirst 1\n");
        _cleanup_(freep) char *path = scratch_path(fixture->directory, "copy.pem");
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777u, 0600);
        copy = scratch_read(fixture->directory, "copy.pem");
        ck_assert(strstr(copy, "PRIVATE KEY") && strstr(copy, "CERTIFICATE"));

        /* Out of the configuration again: the file stays, and is nobody's concern. */
        fixture_configure(fixture, ORDERS TOLD("first"));
        reload(fixture, "1 changed");
        fixture_edit(fixture, "bits: 2048", "bits: 3072");
        reload(fixture, "1 changed");
        await_of(fixture, MESSAGE_RENEWED, "orders");
        fixture_expect(fixture, MESSAGE_NOTIFIED);
        now = scratch_read(fixture->directory, "copy.pem");
        ck_assert_str_eq(now, copy);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), 2);
}
END_TEST

START_TEST(dependents_change_while_one_is_told) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("30d"));

        write_dependent(fixture);
        scratch_write(fixture->directory, "slow", "", 0600);
        fixture_prepare(fixture, ORDERS TOLD("first"));
        fixture_start(fixture, NULL);
        fixture_expect_text(fixture, "first begins");
        fixture_configure(fixture, ORDERS TOLD("second"));
        reload(fixture, "1 changed");
        /* Twice more, over the same run. */
        fixture_configure(fixture, ORDERS TOLD("third"));
        reload(fixture, "1 changed");
        reload(fixture, "1 ");
        remove_file(fixture, "slow");
        fixture_expect(fixture, MESSAGE_NOTIFIED);
        assert_file(fixture, "told", "first 1\n");
        fixture_edit(fixture, "bits: 2048", "bits: 3072");
        reload(fixture, "1 changed");
        await_of(fixture, MESSAGE_RENEWED, "orders");
        fixture_expect_text(fixture, "of generation 2");
        assert_file(fixture, "told", "first 1\nthird 2\n");
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* The command was wrong, nobody was told, and the operator mends it. */
START_TEST(a_corrected_dependent_is_told_of_what_the_wrong_one_missed) {
        for (unsigned by_restart = 0; by_restart < 2; by_restart++) {
                _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("30d"));

                write_dependent(fixture);
                scratch_write(fixture->directory, "failing-first", "", 0600);
                fixture_prepare(fixture, ORDERS TOLD("first"));
                fixture_start(fixture, NULL);
                fixture_expect(fixture, MESSAGE_NOT_NOTIFIED);
                fixture_configure(fixture, ORDERS TOLD("second"));
                if (by_restart) {
                        ck_assert_int_eq(fixture_stop(fixture), 0);
                        fixture_start(fixture, NULL);
                } else
                        reload(fixture, "1 changed");
                fixture_expect(fixture, MESSAGE_NOTIFIED);
                assert_file(fixture, "told", "second 1\n");
                ck_assert_int_eq(fixture_stop(fixture), 0);

                /* It is settled by that. */
                fixture_start(fixture, NULL);
                fixture_expect(fixture, MESSAGE_CURRENT);
                reload(fixture, "1 unchanged");
                ck_assert_int_eq(fixture_stop(fixture), 0);
                assert_file(fixture, "told", "second 1\n");
        }
}
END_TEST

START_TEST(an_owed_notice_keeps_its_back_off) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("30d"));
        usec_t begin;
        unsigned n_runs, n_allowed = 1;

        write_dependent(fixture);
        scratch_write(fixture->directory, "failing-first", "", 0600);
        fixture_prepare(fixture, ORDERS TOLD("first"));
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_NOT_NOTIFIED);
        begin = now_usec(CLOCK_MONOTONIC);
        for (unsigned i = 0; i < 10; i++)
                reload(fixture, "1 unchanged");
        usec_t span = now_usec(CLOCK_MONOTONIC) - begin;
        for (usec_t wait = 4 * USEC_PER_SEC; span >= wait; wait *= 2, n_allowed++)
                span -= wait;
        n_runs = count_lines(output(fixture), MESSAGE_NOT_NOTIFIED, "");
        ck_assert_uint_le(n_runs, n_allowed);
        remove_file(fixture, "failing-first");
        fixture_expect(fixture, MESSAGE_NOTIFIED);
        assert_file(fixture, "told", "first 1\n");
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(the_number_of_renewals_at_a_time_follows) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("30d"));
        static const char three[] = ORDERS INVOICES CERTIFICATE("receipts", "token3");

        fixture_configure(fixture, three);
        fixture_edit(fixture, "limits: {", "limits: {concurrent_renewals: 1, ");
        fixture_token(fixture, "client-1", "token");
        fixture_token(fixture, "client-2", "token2");
        fixture_token(fixture, "client-3", "token3");
        fixture_fault(fixture, HOLD_SIGN);
        fixture_start(fixture, NULL);
        fixture_expect_held(fixture);
        fixture_expect(fixture, MESSAGE_READY);
        ck_assert_uint_eq(count_lines(output(fixture), MESSAGE_BEGUN, ""), 1);

        /* Up: a second one begins at once. */
        fixture_edit(fixture, "concurrent_renewals: 1", "concurrent_renewals: 2");
        reload(fixture, "3 unchanged");
        fixture_expect_held(fixture);
        ck_assert_uint_eq(count_lines(output(fixture), MESSAGE_BEGUN, ""), 2);

        /* Down: both may end, and the third begins after both. */
        fixture_edit(fixture, "concurrent_renewals: 2", "concurrent_renewals: 1");
        reload(fixture, "3 unchanged");
        fixture_lift_faults(fixture);
        for (unsigned i = 0; i < 3; i++)
                fixture_expect(fixture, MESSAGE_ENROLLED);
        const char *third = strstr(output(fixture), MESSAGE_BEGUN);
        third = strstr(strstr(third + 1, MESSAGE_BEGUN) + 1, MESSAGE_BEGUN);
        const char *second = strstr(strstr(output(fixture), MESSAGE_ENROLLED) + 1, MESSAGE_ENROLLED);
        ck_assert_msg(third > second, "the third began before the second had ended");
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(a_larger_budget_is_used_at_once) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_running(A_MONTH, ORDERS);

        fixture_edit(fixture, "issuances_per_hour: 100", "issuances_per_hour: 1");
        fixture_edit(fixture, "bits: 2048", "bits: 3072");
        reload(fixture, "1 changed");
        fixture_expect(fixture, MESSAGE_BUDGET);
        ck_assert_uint_eq(fixture_calls(fixture, "configuration"), 1);
        reload(fixture, "1 unchanged"); /* which ends no wait */
        fixture_edit(fixture, "issuances_per_hour: 1", "issuances_per_hour: 2");
        reload(fixture, "1 unchanged");
        await_of(fixture, MESSAGE_RENEWED, "orders");
        ck_assert_uint_eq(count_lines(output(fixture), MESSAGE_BUDGET, ""), 1);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* --- Many reloads --- */

/* COUNT certificates that wait for their tokens. */
static void configure_many(struct fixture *fixture, unsigned n, const char *option) {
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);

        for (unsigned i = 0; i < n; i++)
                fprintf(out,
                        "  c%04u:\n    connector: dev\n    directory: %s/c%04u\n    token_file: %s/t%04u\n"
                        "    notify: [{command: [%s/tell, c%04u]}, {signal: HUP, pid_file: "
                        "%s/p%04u.pid}]\n%s",
                        i, fixture->directory, i, fixture->directory, i, fixture->directory, i,
                        fixture->directory, i, option);
        fclose(out);
        fixture_configure(fixture, text);
}

START_TEST(what_is_asked_for_during_a_reload_is_done_after_it) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("30d"));
        unsigned n = is_wrapped() ? 50 : 1000, n_reloads;

        write_dependent(fixture);
        fixture_configure(fixture, ORDERS);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_READY);
        configure_many(fixture, n, "");
        process_signal(fixture->rekeyd, SIGHUP);
        fixture_expect_text(fixture, "got SIGHUP");
        /* It is reading the long one now. */
        fixture_configure(fixture, ORDERS INVOICES);
        fixture_token(fixture, "client-2", "token2");
        process_signal(fixture->rekeyd, SIGHUP);
        await_of(fixture, MESSAGE_ENROLLED, "invoices");
        n_reloads = count_lines(output(fixture), MESSAGE_RELOADED, "");
        test_report("two SIGHUPs in a row: %u reloads", n_reloads);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_uint_ge(count_lines(output(fixture), MESSAGE_RELOADED, ""), 1);
}
END_TEST

START_TEST(fifty_reloads_during_renewals) {
        const unsigned n_reloads = is_wrapped() ? 10 : 50;
        _cleanup_(fixture_freep) struct fixture *fixture =
                fixture_running(lifetime(60), ORDERS TOLD("first") INVOICES TOLD("first"));
        static const char *const configurations[] = {
                ORDERS TOLD("first") INVOICES TOLD("second"),
                ORDERS "    exports: [{path: %s/copy.pem, contents: [key, leaf, chain]}]\n" TOLD("second"),
                INVOICES TOLD("first") ORDERS,
                ORDERS "    keep: 3\n" TOLD("first") INVOICES "    jitter: 1%%\n",
        };

        for (unsigned i = 0; i < n_reloads; i++) {
                configure_busy(fixture, configurations[i % ELEMENTSOF(configurations)]);
                fixture_edit(fixture, "limits: {", i % 3 ? "limits: {concurrent_renewals: 1, " : "limits: {");
                fixture_reload(fixture);
                if (i % 10 == 9) {
                        scratch_write(fixture->directory, "rekeyd.yaml", "oops: [", 0600);
                        process_signal(fixture->rekeyd, SIGHUP);
                        fixture_expect(fixture, MESSAGE_NOT_RELOADED);
                        await_of(fixture, MESSAGE_RENEWED, "orders");
                }
        }
        configure_busy(fixture, configurations[0]);
        fixture_reload(fixture);
        await_of(fixture, MESSAGE_RENEWED, "orders");
        await_of(fixture, MESSAGE_RENEWED, "invoices");
        ck_assert_int_eq(fixture_stop(fixture), 0);
        test_report("reloads during renewals: %u renewals, %u failures",
                    count_lines(output(fixture), MESSAGE_RENEWED, ""),
                    count_lines(output(fixture), "\"failure\":", ""));
        ck_assert_msg(count_lines(output(fixture), "\"failure\":", "") == 0 || show(output(fixture)),
                      "something failed");
}
END_TEST

/* In KiB. */
static unsigned private_memory(struct fixture *fixture) {
        _cleanup_(freep) char *name = NULL, *status = NULL;
        const char *line;
        unsigned kib = 0;

        ck_assert_int_ge(asprintf(&name, "%d/status", process_pid(fixture->rekeyd)), 0);
        status = scratch_read("/proc", name);
        line = status ? strstr(status, "RssAnon:") : NULL;
        ck_assert_int_eq(line ? sscanf(line, "RssAnon: %u", &kib) : 0, 1);
        return kib;
}

START_TEST(reloads_cost_no_memory) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("30d"));
        const unsigned n_reloads = test_is_instrumented() ? 10 : 200;
        unsigned first, settled, last;

        write_dependent(fixture);
        configure_many(fixture, 100, "");
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_READY);
        first = private_memory(fixture);
        for (unsigned i = 0; i < (is_wrapped() ? 4 : 40); i++) {
                configure_many(fixture, 100, i % 2 ? "" : "    jitter: 1%%\n");
                reload(fixture, "100 changed");
        }
        settled = private_memory(fixture);
        for (unsigned i = 0; i < n_reloads; i++) {
                configure_many(fixture, i % 4 ? 100 : 60, i % 2 ? "" : "    jitter: 1%%\n");
                fixture_reload(fixture);
        }
        configure_many(fixture, 100, "");
        fixture_reload(fixture);
        reload(fixture, "100 unchanged");
        last = private_memory(fixture);
        test_report(
                "100 certificates: RssAnon %u KiB at first, %u after the first 40 reloads, %u after %u more",
                first, settled, last, n_reloads);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        if (!test_is_instrumented())
                ck_assert_uint_lt(
                        last, settled + 768); /* threads have memory of their own; 39 bytes for each look */
}
END_TEST

TEST_MAIN("reload-options", the_directory_changes, a_corrected_url_is_used_at_once,
          exports_are_written_at_once, dependents_change_while_one_is_told,
          a_corrected_dependent_is_told_of_what_the_wrong_one_missed, an_owed_notice_keeps_its_back_off,
          the_number_of_renewals_at_a_time_follows, a_larger_budget_is_used_at_once,
          what_is_asked_for_during_a_reload_is_done_after_it, fifty_reloads_during_renewals,
          reloads_cost_no_memory)
