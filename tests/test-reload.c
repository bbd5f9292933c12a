/*
 * SIGHUP: a configuration with an error in it changes nothing; a good one is gone over to without losing what
 * is under way, what is owed, or what was learnt about a Connector.
 */

#include <signal.h>
#include <sys/stat.h>

#include "daemon/messages.h"
#include "tests/support/reloads.h"
#include "tests/support/stand.h"
#include "tests/test.h"

/* --- What is wrong --- */

static const struct {
        const char *what, *text, *said;
        unsigned n_errors;
} mistakes[] = {
        { "a syntax error", "certificates: [\n", "rekeyd.yaml:2:", 1 },
        { "not text", "\x01\x02\xff\xfe", "rekeyd.yaml", 0 },
        { "ten mistakes", NULL, "rekeyd.yaml:", 10 },
        { "no file", NULL, "No such file", 1 },
        { "a directory", NULL, "rekeyd.yaml", 1 },
};

static void assert_not_reloaded(struct stand *stand, size_t i) {
        const char *before = output(stand);
        size_t seen = strlen(before);
        json_t *line;
        unsigned n = 0, said;

        process_signal(stand->rekeyd, SIGHUP);
        do {
                line = stand_await(stand, MESSAGE_NOT_RELOADED);
                said = 0;
                (void)sscanf(member(line, "message"),
                             "the configuration was not reloaded, and the old one stays in use: %u error",
                             &said);
                n++;
                json_decref(line);
        } while (said == 0);
        ck_assert_msg(said == n - 1 && (mistakes[i].n_errors == 0 || said == mistakes[i].n_errors),
                      "%s: %u errors, %u lines", mistakes[i].what, said, n - 1);
        ck_assert_msg(strstr(output(stand) + seen, mistakes[i].said) || show(output(stand) + seen), "%s",
                      mistakes[i].what);
}

START_TEST(a_wrong_configuration_changes_nothing) {
        _cleanup_(stand_freep) struct stand *stand = stand_running(lifetime(60), ORDERS TOLD("first"));
        _cleanup_(freep) char *good = scratch_read(stand->directory, "rekeyd.yaml"),
                              *path = scratch_path(stand->directory, "rekeyd.yaml"),
                              *ten = scratch_read(getenv("REKEYD_TEST_DATA"), "config/ten-mistakes.yaml");

        for (size_t i = 0; i < ELEMENTSOF(mistakes); i++) {
                if (mistakes[i].text)
                        scratch_write(stand->directory, "rekeyd.yaml", mistakes[i].text, 0600);
                else if (mistakes[i].n_errors == 10)
                        scratch_write(stand->directory, "rekeyd.yaml", ten, 0600);
                else {
                        (void)unlink(path);
                        if (streq(mistakes[i].what, "a directory"))
                                ck_assert_int_eq(mkdir(path, 0700), 0);
                }
                assert_not_reloaded(stand, i);
        }
        ck_assert_ptr_null(strstr(output(stand), MESSAGE_RELOADED));

        /* The old one is alive, dependents and all. */
        await_of(stand, MESSAGE_RENEWED, "orders");
        json_decref(stand_await(stand, MESSAGE_NOTIFIED));
        ck_assert_int_eq(rmdir(path), 0);
        scratch_write(stand->directory, "rekeyd.yaml", good, 0600);
        reload(stand, "0 added, 0 changed, 0 removed, 1 as before");
        await_of(stand, MESSAGE_RENEWED, "orders");
        ck_assert_int_eq(stand_stop(stand), 0);
}
END_TEST

/* As a file is while it is being copied. */
START_TEST(an_empty_configuration_takes_nothing_away) {
        _cleanup_(stand_freep) struct stand *stand = stand_running(A_MONTH, ORDERS);
        _cleanup_(freep) char *good = scratch_read(stand->directory, "rekeyd.yaml");

        for (unsigned i = 0; i < 2; i++) {
                json_t *line;

                scratch_write(stand->directory, "rekeyd.yaml", i == 0 ? "" : "log: {level: error}\n", 0600);
                process_signal(stand->rekeyd, SIGHUP);
                line = stand_await(stand, MESSAGE_NOT_RELOADED);
                ck_assert_msg(strstr(member(line, "message"), "has no certificate in it") != NULL, "%s",
                              member(line, "message"));
                json_decref(line);
        }
        scratch_write(stand->directory, "rekeyd.yaml", good, 0600);
        reload(stand, "0 added, 0 changed, 0 removed, 1 as before");
        ck_assert_int_eq(stand_stop(stand), 0);
}
END_TEST

START_TEST(an_unchanged_configuration_does_nothing) {
        _cleanup_(stand_freep) struct stand *stand = stand_running(A_MONTH, ORDERS TOLD("first"));
        unsigned calls;

        json_decref(stand_await(stand, MESSAGE_NOTIFIED));
        calls = stand_calls(stand, "configuration");
        reload(stand, "0 added, 0 changed, 0 removed, 1 as before");
        size_t seen = strlen(output(stand));
        for (unsigned i = 0; i < 5; i++)
                reload(stand, "0 added, 0 changed, 0 removed, 1 as before");
        for (const char *line = output(stand) + seen; *line; line += strcspn(line, "\n") + 1)
                ck_assert_msg(strstr(line, "SIGHUP") || strstr(line, MESSAGE_RELOADED), "%s", line);
        ck_assert_uint_eq(stand_calls(stand, "configuration"), calls);
        assert_file(stand, "told", "first 1\n");
        ck_assert_int_eq(stand_stop(stand), 0);
}
END_TEST

START_TEST(what_takes_a_restart_is_said_each_time) {
        _cleanup_(stand_freep) struct stand *stand = stand_running(A_MONTH, ORDERS);
        _cleanup_(freep) char *good = scratch_read(stand->directory, "rekeyd.yaml");
        size_t seen;

        stand_edit(stand, "/state\n", "/elsewhere\n");
        stand_edit(stand, "limits: {", "limits: {key_workers: 7, ");
        for (unsigned i = 0; i < 2; i++) {
                process_signal(stand->rekeyd, SIGHUP);
                await_text(stand, "another `state_directory`, which takes a restart");
                await_text(stand, "another `limits.key_workers`, which takes a restart");
                json_decref(stand_await(stand, MESSAGE_RELOADED));
        }
        ck_assert(!exists(stand, "elsewhere"));

        /* Back to what is in use: nothing to say. */
        scratch_write(stand->directory, "rekeyd.yaml", good, 0600);
        seen = strlen(output(stand));
        reload(stand, "1 as before");
        ck_assert_ptr_null(strstr(output(stand) + seen, "takes a restart"));
        ck_assert_int_eq(stand_stop(stand), 0);
        ck_assert(exists(stand, "state/orders.json"));
}
END_TEST

START_TEST(the_log_level_follows) {
        _cleanup_(stand_freep) struct stand *stand = stand_running(A_MONTH, ORDERS);
        size_t seen;

        stand_edit(stand, "level: debug", "level: info");
        reload(stand, "1 as before");
        seen = strlen(output(stand));
        stand_edit(stand, "bits: 2048", "bits: 3072");
        reload(stand, "1 changed");
        await_of(stand, MESSAGE_RENEWED, "orders");
        ck_assert_ptr_null(strstr(output(stand) + seen, "\"debug\""));
        stand_edit(stand, "level: info", "level: debug");
        stand_edit(stand, "limits: {", "limits: {concurrent_renewals: 2, ");
        reload(stand, "1 as before");
        ck_assert_int_eq(stand_stop(stand), 0);
        ck_assert_ptr_nonnull(strstr(strstr(output(stand), "\"orders: renewed"), "\"debug\""));
}
END_TEST

/* --- Certificates come and go --- */

START_TEST(one_is_added_and_one_is_removed) {
        _cleanup_(stand_freep) struct stand *stand = stand_running(lifetime(60), ORDERS);
        _cleanup_(freep) char *link = scratch_path(stand->directory, "orders/..data");
        char before[64] = { 0 }, now[64] = { 0 };
        size_t seen;

        configure_busy(stand, INVOICES ORDERS);
        reload(stand, "1 added, 0 changed, 0 removed, 1 as before");
        await_of(stand, MESSAGE_ENROLLED, "invoices");

        configure_busy(stand, INVOICES);
        reload(stand, "0 added, 0 changed, 1 removed, 1 as before");
        if (!strstr(output(stand), "orders: no longer looked after"))
                await_text(stand, "orders: no longer looked after");
        seen = strlen(output(stand));
        ck_assert_int_gt(readlink(link, before, sizeof(before) - 1), 0);
        for (unsigned i = 0; i < 2; i++)
                await_of(stand, MESSAGE_RENEWED, "invoices");
        ck_assert_ptr_null(strstr(output(stand) + seen, "orders"));
        ck_assert_int_gt(readlink(link, now, sizeof(now) - 1), 0);
        ck_assert_str_eq(now, before);
        ck_assert_int_eq(stand_stop(stand), 0);
}
END_TEST

START_TEST(one_is_removed_during_its_renewal) {
        _cleanup_(stand_freep) struct stand *stand = stand_running(A_MONTH, ORDERS TOLD("first"));

        stand_fault(stand, HOLD_SIGN);
        stand_edit(stand, "bits: 2048", "bits: 3072");
        reload(stand, "1 changed");
        json_decref(stand_await_connector(stand, "\"held\""));
        stand_configure(stand, INVOICES);
        reload(stand, "1 added, 0 changed, 1 removed");
        stand_lift_faults(stand);
        await_of(stand, MESSAGE_RENEWED, "orders");
        await_text(stand, "orders: no longer looked after");
        assert_file(stand, "told", "first 1\nfirst 2\n");
        ck_assert(exists(stand, "orders/..gen-000002/tls.crt"));
        ck_assert_int_eq(stand_stop(stand), 0);
        ck_assert_uint_eq(count_lines(output(stand), MESSAGE_BEGUN, "orders"), 2);
}
END_TEST

/* It waits for its turn, and its turn comes by the same reload that removes it. */
START_TEST(one_is_removed_while_it_waits_for_its_turn) {
        _cleanup_(stand_freep) struct stand *stand = stand_new(a_month);

        stand_configure(stand, ORDERS INVOICES);
        stand_edit(stand, "limits: {", "limits: {concurrent_renewals: 1, ");
        stand_token(stand, "client-1", "token");
        stand_token(stand, "client-2", "token2");
        stand_fault(stand, HOLD_SIGN);
        stand_start(stand, NULL);
        json_decref(stand_await_connector(stand, "\"held\""));
        json_decref(stand_await(stand, MESSAGE_READY)); /* the other one has looked */
        bool orders_went_first = strstr(output(stand), "orders: enrolling");
        ck_assert_uint_eq(count_lines(output(stand), MESSAGE_BEGUN, ""), 1);

        stand_configure(stand, orders_went_first ? ORDERS : INVOICES);
        stand_edit(stand, "limits: {", "limits: {concurrent_renewals: 2, ");
        reload(stand, "0 added, 0 changed, 1 removed, 1 as before");
        await_text(stand,
                   orders_went_first ? "invoices: no longer looked after" : "orders: no longer looked after");
        stand_lift_faults(stand);
        await_of(stand, MESSAGE_ENROLLED, orders_went_first ? "orders" : "invoices");
        ck_assert_int_eq(stand_stop(stand), 0);
        ck_assert_uint_eq(count_lines(output(stand), MESSAGE_BEGUN, ""), 1);
        ck_assert_uint_eq(stand_calls(stand, "configuration"), 1);
}
END_TEST

START_TEST(one_comes_back_while_its_renewal_ends) {
        _cleanup_(stand_freep) struct stand *stand = stand_running(A_MONTH, ORDERS TOLD("first"));
        _cleanup_(freep) char *state = NULL;

        json_decref(stand_await(stand, MESSAGE_NOTIFIED));
        stand_fault(stand, HOLD_SIGN);
        stand_edit(stand, "bits: 2048", "bits: 3072");
        reload(stand, "1 changed");
        json_decref(stand_await_connector(stand, "\"held\""));
        stand_configure(stand, INVOICES);
        reload(stand, "1 added, 0 changed, 1 removed");
        await_of(stand, MESSAGE_BEGUN, "invoices");
        json_decref(stand_await_connector(stand, "\"held\""));

        /* Twice: what is there already is as before. */
        stand_configure(stand, INVOICES ORDERS TOLD("second"));
        reload(stand, "1 as before");
        reload(stand, "0 added, 0 changed, 0 removed, 2 as before");
        stand_lift_faults(stand);
        await_of(stand, MESSAGE_RENEWED, "orders");
        await_of(stand, MESSAGE_CURRENT, "orders");
        ck_assert_msg(count_lines(output(stand), "\"failure\":", "orders") == 0 || show(output(stand)),
                      "orders failed");
        ck_assert_uint_eq(stand_calls(stand, "sign"), 3);

        if (is_wrapped()) {
                ck_assert_int_eq(stand_stop(stand), 0);
                test_skip("one_comes_back_while_its_renewal_ends, the renewal after it: a key of 4096 bits "
                          "takes minutes under valgrind");
                return;
        }

        /* There is one of it: it goes on by the new configuration, with all that it has asked for. */
        stand_edit(stand, "bits: 2048", "bits: 4096");
        reload(stand, "2 changed");
        await_of(stand, MESSAGE_RENEWED, "orders");
        await_text(stand, "told of generation 3");
        ck_assert_int_eq(stand_stop(stand), 0);
        assert_file(stand, "told", "first 1\nfirst 2\nsecond 3\n");
        ck_assert_uint_eq(count_lines(output(stand), "no longer looked after", "orders"), 0);
        state = scratch_read(stand->directory, "state/orders.json");
        json_t *json = json_loads(state, 0, NULL);
        ck_assert_uint_eq(json_array_size(json_object_get(json, "issuances_boottime_usec")), 3);
        json_decref(json);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("reload");

        TEST_CASE(suite, a_wrong_configuration_changes_nothing);
        TEST_CASE(suite, an_empty_configuration_takes_nothing_away);
        TEST_CASE(suite, an_unchanged_configuration_does_nothing);
        TEST_CASE(suite, what_takes_a_restart_is_said_each_time);
        TEST_CASE(suite, the_log_level_follows);
        TEST_CASE(suite, one_is_added_and_one_is_removed);
        TEST_CASE(suite, one_is_removed_during_its_renewal);
        TEST_CASE(suite, one_is_removed_while_it_waits_for_its_turn);
        TEST_CASE(suite, one_comes_back_while_its_renewal_ends);
        return test_run(suite);
}
