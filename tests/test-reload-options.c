/* SIGHUP: each option that changes takes effect at once; and many reloads cost neither a renewal nor memory.
 */

#include <signal.h>
#include <sys/stat.h>

#include "daemon/messages.h"
#include "tests/support/reloads.h"
#include "tests/support/stand.h"
#include "tests/test.h"

#define LARGER_KEY "    key: {bits: 3072}\n"

static void remove_file(struct stand *stand, const char *name) {
        _cleanup_(freep) char *path = scratch_path(stand->directory, name);

        ck_assert_int_eq(unlink(path), 0);
}

/* --- Options change --- */

START_TEST(the_directory_changes) {
        _cleanup_(stand_freep) struct stand *stand = stand_running(A_MONTH, ORDERS TOLD("first"));
        _cleanup_(freep) char *before = scratch_read(stand->directory, "orders/tls.crt"), *now = NULL;

        json_decref(stand_await(stand, MESSAGE_NOTIFIED));
        remove_file(stand, "token");
        stand_edit(stand, "/orders\n", "/moved\n");
        reload(stand, "0 added, 1 changed, 0 removed, 0 as before");
        json_decref(stand_await(stand, MESSAGE_WAITING));
        stand_token(stand, "client-1", "token");
        await_of(stand, MESSAGE_ENROLLED, "orders");
        json_decref(stand_await(stand, MESSAGE_NOTIFIED));
        assert_file(stand, "told", "first 1\nfirst 1\n"); /* its own generation 1 */
        ck_assert(exists(stand, "moved/tls.crt"));
        now = scratch_read(stand->directory, "orders/tls.crt");
        ck_assert_str_eq(now, before);

        /* And back, to a set that is there: nobody calls for it, and its users learn of it. */
        stand_edit(stand, "/moved\n", "/orders\n");
        reload(stand, "1 changed");
        json_decref(stand_await(stand, MESSAGE_NOTIFIED));
        ck_assert_uint_eq(stand_calls(stand, "sign"), 2);
        ck_assert_int_eq(stand_stop(stand), 0);
}
END_TEST

START_TEST(a_corrected_url_is_used_at_once) {
        for (unsigned n_failures = 1; n_failures <= 2; n_failures++) {
                _cleanup_(stand_freep) struct stand *stand = stand_new(a_month);
                _cleanup_(freep) char *url = NULL;
                json_t *line;

                stand_configure(stand, ORDERS);
                stand_token(stand, "client-1", "token");
                ck_assert_int_eq(stand_run(stand, "--once"), 2);

                /* The Connector has moved, and what it once said of itself is out of date. */
                scratch_write(
                        stand->directory, "orders/connection.json",
                        "{\"certificateSecuredConnectorURL\": \"https://localhost:1/connector/graphql\"}\n",
                        0644);
                stand_configure(stand, ORDERS LARGER_KEY);
                for (unsigned i = 0; i < n_failures; i++)
                        ck_assert_int_eq(stand_run(stand, "--once"), 1);
                stand_start(stand, NULL);
                line = stand_await(stand, MESSAGE_HELD);
                ck_assert_int_eq(atoi(member(line, "attempt")), (int)n_failures);
                json_decref(line);

                ck_assert_int_ge(asprintf(&url, "url: '%s', enrol_url:", stand->certificate_url), 0);
                stand_edit(stand, "enrol_url:", url);
                reload(stand, "1 changed");
                line = stand_await(stand, MESSAGE_RENEWED);
                json_decref(line);
                ck_assert_msg(count_lines(output(stand), MESSAGE_FAILED_TRANSIENT, "") == 0 ||
                                      show(output(stand)),
                              "after %u failures", n_failures);
                ck_assert_int_eq(stand_stop(stand), 0);
        }
}
END_TEST

START_TEST(exports_are_written_at_once) {
        _cleanup_(stand_freep) struct stand *stand = stand_running(A_MONTH, ORDERS TOLD("first"));
        _cleanup_(freep) char *copy = NULL, *now = NULL;
        struct stat st;

        json_decref(stand_await(stand, MESSAGE_NOTIFIED));
        stand_configure(
                stand,
                ORDERS TOLD("first") "    exports: [{path: %s/copy.pem, contents: [key, leaf, chain]}]\n");
        reload(stand, "1 changed");
        json_decref(stand_await(stand, MESSAGE_EXPORTED));
        json_decref(stand_await(stand, MESSAGE_NOTIFIED));
        assert_file(stand, "told", "first 1\nfirst 1\n");
        _cleanup_(freep) char *path = scratch_path(stand->directory, "copy.pem");
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777u, 0600);
        copy = scratch_read(stand->directory, "copy.pem");
        ck_assert(strstr(copy, "PRIVATE KEY") && strstr(copy, "CERTIFICATE"));

        /* Out of the configuration again: the file stays, and is nobody's concern. */
        stand_configure(stand, ORDERS TOLD("first"));
        reload(stand, "1 changed");
        stand_edit(stand, "bits: 2048", "bits: 3072");
        reload(stand, "1 changed");
        await_of(stand, MESSAGE_RENEWED, "orders");
        json_decref(stand_await(stand, MESSAGE_NOTIFIED));
        now = scratch_read(stand->directory, "copy.pem");
        ck_assert_str_eq(now, copy);
        ck_assert_int_eq(stand_stop(stand), 0);
        ck_assert_uint_eq(stand_calls(stand, "sign"), 2);
}
END_TEST

START_TEST(dependents_change_while_one_is_told) {
        _cleanup_(stand_freep) struct stand *stand = stand_new(a_month);

        write_dependent(stand);
        scratch_write(stand->directory, "slow", "", 0600);
        stand_configure(stand, ORDERS TOLD("first"));
        stand_token(stand, "client-1", "token");
        stand_start(stand, NULL);
        await_text(stand, "first begins");
        stand_configure(stand, ORDERS TOLD("second"));
        reload(stand, "1 changed");
        /* Twice more, over the same run. */
        stand_configure(stand, ORDERS TOLD("third"));
        reload(stand, "1 changed");
        reload(stand, "1 ");
        remove_file(stand, "slow");
        json_decref(stand_await(stand, MESSAGE_NOTIFIED));
        assert_file(stand, "told", "first 1\n");
        stand_edit(stand, "bits: 2048", "bits: 3072");
        reload(stand, "1 changed");
        await_of(stand, MESSAGE_RENEWED, "orders");
        await_text(stand, "told of generation 2");
        assert_file(stand, "told", "first 1\nthird 2\n");
        ck_assert_int_eq(stand_stop(stand), 0);
}
END_TEST

/* The command was wrong, nobody was told, and the operator mends it. */
START_TEST(a_corrected_dependent_is_told_of_what_the_wrong_one_missed) {
        for (unsigned by_restart = 0; by_restart < 2; by_restart++) {
                _cleanup_(stand_freep) struct stand *stand = stand_new(a_month);

                write_dependent(stand);
                scratch_write(stand->directory, "failing-first", "", 0600);
                stand_configure(stand, ORDERS TOLD("first"));
                stand_token(stand, "client-1", "token");
                stand_start(stand, NULL);
                json_decref(stand_await(stand, MESSAGE_NOT_NOTIFIED));
                stand_configure(stand, ORDERS TOLD("second"));
                if (by_restart) {
                        ck_assert_int_eq(stand_stop(stand), 0);
                        stand_start(stand, NULL);
                } else
                        reload(stand, "1 changed");
                json_decref(stand_await(stand, MESSAGE_NOTIFIED));
                assert_file(stand, "told", "second 1\n");
                ck_assert_int_eq(stand_stop(stand), 0);

                /* It is settled by that. */
                stand_start(stand, NULL);
                json_decref(stand_await(stand, MESSAGE_CURRENT));
                reload(stand, "1 as before");
                ck_assert_int_eq(stand_stop(stand), 0);
                assert_file(stand, "told", "second 1\n");
        }
}
END_TEST

START_TEST(an_owed_notice_keeps_its_back_off) {
        _cleanup_(stand_freep) struct stand *stand = stand_new(a_month);
        usec_t begin;
        unsigned n_runs, n_allowed = 1;

        write_dependent(stand);
        scratch_write(stand->directory, "failing-first", "", 0600);
        stand_configure(stand, ORDERS TOLD("first"));
        stand_token(stand, "client-1", "token");
        stand_start(stand, NULL);
        json_decref(stand_await(stand, MESSAGE_NOT_NOTIFIED));
        begin = now_usec(CLOCK_MONOTONIC);
        for (unsigned i = 0; i < 10; i++)
                reload(stand, "1 as before");
        usec_t span = now_usec(CLOCK_MONOTONIC) - begin;
        for (usec_t wait = 4 * USEC_PER_SEC; span >= wait; wait *= 2, n_allowed++)
                span -= wait;
        n_runs = count_lines(output(stand), MESSAGE_NOT_NOTIFIED, "");
        ck_assert_uint_le(n_runs, n_allowed);
        remove_file(stand, "failing-first");
        json_decref(stand_await(stand, MESSAGE_NOTIFIED));
        assert_file(stand, "told", "first 1\n");
        ck_assert_int_eq(stand_stop(stand), 0);
}
END_TEST

START_TEST(the_number_of_renewals_at_a_time_follows) {
        _cleanup_(stand_freep) struct stand *stand = stand_new(a_month);
        static const char three[] = ORDERS INVOICES CERTIFICATE("receipts", "token3");

        stand_configure(stand, three);
        stand_edit(stand, "limits: {", "limits: {concurrent_renewals: 1, ");
        stand_token(stand, "client-1", "token");
        stand_token(stand, "client-2", "token2");
        stand_token(stand, "client-3", "token3");
        stand_fault(stand, HOLD_SIGN);
        stand_start(stand, NULL);
        json_decref(stand_await_connector(stand, "\"held\""));
        json_decref(stand_await(stand, MESSAGE_READY));
        ck_assert_uint_eq(count_lines(output(stand), MESSAGE_BEGUN, ""), 1);

        /* Up: a second one begins at once. */
        stand_edit(stand, "concurrent_renewals: 1", "concurrent_renewals: 2");
        reload(stand, "3 as before");
        json_decref(stand_await_connector(stand, "\"held\""));
        ck_assert_uint_eq(count_lines(output(stand), MESSAGE_BEGUN, ""), 2);

        /* Down: both may end, and the third begins after both. */
        stand_edit(stand, "concurrent_renewals: 2", "concurrent_renewals: 1");
        reload(stand, "3 as before");
        stand_lift_faults(stand);
        for (unsigned i = 0; i < 3; i++)
                json_decref(stand_await(stand, MESSAGE_ENROLLED));
        const char *third = strstr(output(stand), MESSAGE_BEGUN);
        third = strstr(strstr(third + 1, MESSAGE_BEGUN) + 1, MESSAGE_BEGUN);
        const char *second = strstr(strstr(output(stand), MESSAGE_ENROLLED) + 1, MESSAGE_ENROLLED);
        ck_assert_msg(third > second, "the third began before the second had ended");
        ck_assert_int_eq(stand_stop(stand), 0);
}
END_TEST

START_TEST(a_larger_budget_is_used_at_once) {
        _cleanup_(stand_freep) struct stand *stand = stand_running(A_MONTH, ORDERS);

        stand_edit(stand, "issuances_per_hour: 100", "issuances_per_hour: 1");
        stand_edit(stand, "bits: 2048", "bits: 3072");
        reload(stand, "1 changed");
        json_decref(stand_await(stand, MESSAGE_BUDGET));
        ck_assert_uint_eq(stand_calls(stand, "configuration"), 1);
        reload(stand, "1 as before"); /* which ends no wait */
        stand_edit(stand, "issuances_per_hour: 1", "issuances_per_hour: 2");
        reload(stand, "1 as before");
        await_of(stand, MESSAGE_RENEWED, "orders");
        ck_assert_uint_eq(count_lines(output(stand), MESSAGE_BUDGET, ""), 1);
        ck_assert_int_eq(stand_stop(stand), 0);
}
END_TEST

/* --- Many reloads --- */

/* COUNT certificates that wait for their tokens. */
static void configure_many(struct stand *stand, unsigned n, const char *option) {
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);

        for (unsigned i = 0; i < n; i++)
                fprintf(out,
                        "  c%04u:\n    connector: dev\n    directory: %s/c%04u\n    token_file: %s/t%04u\n"
                        "    notify: [{command: [%s/tell, c%04u]}, {signal: HUP, pid_file: "
                        "%s/p%04u.pid}]\n%s",
                        i, stand->directory, i, stand->directory, i, stand->directory, i, stand->directory, i,
                        option);
        fclose(out);
        stand_configure(stand, text);
}

START_TEST(what_is_asked_for_during_a_reload_is_done_after_it) {
        _cleanup_(stand_freep) struct stand *stand = stand_new(a_month);
        unsigned n = is_wrapped() ? 50 : 1000, n_reloads;

        write_dependent(stand);
        stand_configure(stand, ORDERS);
        stand_start(stand, NULL);
        json_decref(stand_await(stand, MESSAGE_READY));
        configure_many(stand, n, "");
        process_signal(stand->rekeyd, SIGHUP);
        await_text(stand, "got SIGHUP");
        /* It is reading the long one now. */
        stand_configure(stand, ORDERS INVOICES);
        stand_token(stand, "client-2", "token2");
        process_signal(stand->rekeyd, SIGHUP);
        await_of(stand, MESSAGE_ENROLLED, "invoices");
        n_reloads = count_lines(output(stand), MESSAGE_RELOADED, "");
        test_report("two SIGHUPs in a row: %u reloads", n_reloads);
        ck_assert_int_eq(stand_stop(stand), 0);
        ck_assert_uint_ge(count_lines(output(stand), MESSAGE_RELOADED, ""), 1);
}
END_TEST

START_TEST(fifty_reloads_during_renewals) {
        const unsigned n_reloads = is_wrapped() ? 10 : 50;
        _cleanup_(stand_freep) struct stand *stand =
                stand_running(lifetime(60), ORDERS TOLD("first") INVOICES TOLD("first"));
        static const char *const configurations[] = {
                ORDERS TOLD("first") INVOICES TOLD("second"),
                ORDERS "    exports: [{path: %s/copy.pem, contents: [key, leaf, chain]}]\n" TOLD("second"),
                INVOICES TOLD("first") ORDERS,
                ORDERS "    keep: 3\n" TOLD("first") INVOICES "    jitter: 1%%\n",
        };

        for (unsigned i = 0; i < n_reloads; i++) {
                configure_busy(stand, configurations[i % ELEMENTSOF(configurations)]);
                stand_edit(stand, "limits: {", i % 3 ? "limits: {concurrent_renewals: 1, " : "limits: {");
                stand_reload(stand);
                if (i % 10 == 9) {
                        scratch_write(stand->directory, "rekeyd.yaml", "oops: [", 0600);
                        process_signal(stand->rekeyd, SIGHUP);
                        json_decref(stand_await(stand, MESSAGE_NOT_RELOADED));
                        await_of(stand, MESSAGE_RENEWED, "orders");
                }
        }
        configure_busy(stand, configurations[0]);
        stand_reload(stand);
        await_of(stand, MESSAGE_RENEWED, "orders");
        await_of(stand, MESSAGE_RENEWED, "invoices");
        ck_assert_int_eq(stand_stop(stand), 0);
        test_report("reloads during renewals: %u renewals, %u failures",
                    count_lines(output(stand), MESSAGE_RENEWED, ""),
                    count_lines(output(stand), "\"failure\":", ""));
        ck_assert_msg(count_lines(output(stand), "\"failure\":", "") == 0 || show(output(stand)),
                      "something failed");
}
END_TEST

/* In KiB. */
static unsigned private_memory(struct stand *stand) {
        _cleanup_(freep) char *name = NULL, *status = NULL;
        const char *line;
        unsigned kib = 0;

        ck_assert_int_ge(asprintf(&name, "%d/status", process_pid(stand->rekeyd)), 0);
        status = scratch_read("/proc", name);
        line = status ? strstr(status, "RssAnon:") : NULL;
        ck_assert_int_eq(line ? sscanf(line, "RssAnon: %u", &kib) : 0, 1);
        return kib;
}

START_TEST(reloads_cost_no_memory) {
        _cleanup_(stand_freep) struct stand *stand = stand_new(a_month);
        const unsigned n_reloads = test_is_instrumented() ? 10 : 200;
        unsigned first, settled, last;

        write_dependent(stand);
        configure_many(stand, 100, "");
        stand_start(stand, NULL);
        json_decref(stand_await(stand, MESSAGE_READY));
        first = private_memory(stand);
        for (unsigned i = 0; i < (is_wrapped() ? 4 : 40); i++) {
                configure_many(stand, 100, i % 2 ? "" : "    jitter: 1%%\n");
                reload(stand, "100 changed");
        }
        settled = private_memory(stand);
        for (unsigned i = 0; i < n_reloads; i++) {
                configure_many(stand, i % 4 ? 100 : 60, i % 2 ? "" : "    jitter: 1%%\n");
                stand_reload(stand);
        }
        configure_many(stand, 100, "");
        stand_reload(stand);
        reload(stand, "100 as before");
        last = private_memory(stand);
        test_report(
                "100 certificates: RssAnon %u KiB at first, %u after the first 40 reloads, %u after %u more",
                first, settled, last, n_reloads);
        ck_assert_int_eq(stand_stop(stand), 0);
        if (!test_is_instrumented())
                ck_assert_uint_lt(
                        last, settled + 768); /* threads have memory of their own; 39 bytes for each look */
}
END_TEST

int main(void) {
        Suite *suite = suite_create("reload-options");

        TEST_CASE(suite, the_directory_changes);
        TEST_CASE(suite, a_corrected_url_is_used_at_once);
        TEST_CASE(suite, exports_are_written_at_once);
        TEST_CASE(suite, dependents_change_while_one_is_told);
        TEST_CASE(suite, a_corrected_dependent_is_told_of_what_the_wrong_one_missed);
        TEST_CASE(suite, an_owed_notice_keeps_its_back_off);
        TEST_CASE(suite, the_number_of_renewals_at_a_time_follows);
        TEST_CASE(suite, a_larger_budget_is_used_at_once);
        TEST_CASE(suite, what_is_asked_for_during_a_reload_is_done_after_it);
        TEST_CASE(suite, fifty_reloads_during_renewals);
        TEST_CASE(suite, reloads_cost_no_memory);
        return test_run(suite);
}
