/*
 * SIGHUP: a configuration with an error in it changes nothing; a good one is gone over to without losing what
 * is under way, what is owed, or what was learnt about a Connector.
 */

#include <signal.h>
#include <sys/stat.h>

#include "daemon/messages.h"
#include "tests/support/stand.h"
#include "tests/test.h"

#define CERTIFICATE(name, token)       \
        "  " name ":\n"                \
        "    connector: dev\n"         \
        "    directory: %s/" name "\n" \
        "    token_file: %s/" token "\n"

#define ORDERS   CERTIFICATE("orders", "token")
#define INVOICES CERTIFICATE("invoices", "token2")

#define LARGER_KEY "    key: {bits: 3072}\n"

#define TOLD(who) "    notify: [{command: [%s/tell, " who "]}]\n"

#define HOLD_SIGN "{\"fault\":\"hold\",\"at\":\"sign\"}"

#define A_MONTH "30d"

static const char *const a_month[] = { "--lifetime", A_MONTH, NULL };

static bool is_wrapped(void) {
        return getenv("REKEYD_TEST_WRAPPER");
}

static void await_text(struct stand *stand, const char *text) {
        _cleanup_(freep) char *line = process_await(stand->rekeyd, PROCESS_STDERR, text);

        ck_assert_msg(line != NULL, "rekeyd never said '%s'", text);
}

/* The line with MESSAGE_ID of CERTIFICATE; what others say meanwhile is passed over. */
static void await_of(struct stand *stand, const char *message_id, const char *certificate) {
        for (;;) {
                json_t *line = stand_await(stand, message_id);
                bool is_it = streq(member(line, "certificate"), certificate);

                json_decref(line);
                if (is_it)
                        return;
        }
}

static const char *output(struct stand *stand) {
        return process_output(stand->rekeyd, PROCESS_STDERR);
}

/* Too long for a message of Check. */
static bool show(const char *text) {
        fprintf(stderr, "%s\n", text);
        return false;
}

/* How often a line of TEXT says both. */
static unsigned count_lines(const char *text, const char *a, const char *b) {
        unsigned n = 0;

        for (const char *line = text; line && *line;) {
                size_t size = strcspn(line, "\n");
                _cleanup_(freep) char *copy = strndup(line, size);

                n += strstr(copy, a) && strstr(copy, b) ? 1 : 0;
                line += size + (line[size] == '\n');
        }
        return n;
}

static void reload(struct stand *stand, const char *expected) {
        json_t *line;

        process_signal(stand->rekeyd, SIGHUP);
        line = stand_await(stand, MESSAGE_RELOADED);
        ck_assert_msg(strstr(member(line, "message"), expected) != NULL, "%s", member(line, "message"));
        json_decref(line);
}

/* Until there were N lines with MESSAGE_ID in all. */
static void await_count(struct stand *stand, const char *message_id, unsigned n) {
        while (count_lines(output(stand), message_id, "") < n) {
                _cleanup_(freep) char *line = process_await(stand->rekeyd, PROCESS_STDERR, "");

                ck_assert_msg(line != NULL, "rekeyd never logged %s for the %uth time", message_id, n);
        }
}

static void assert_file(struct stand *stand, const char *name, const char *expected) {
        _cleanup_(freep) char *text = scratch_read(stand->directory, name);

        ck_assert_msg(text && streq(text, expected), "%s: %s", name, text ? text : "(none)");
}

static bool exists(struct stand *stand, const char *name) {
        _cleanup_(freep) char *path = scratch_path(stand->directory, name);

        return access(path, F_OK) == 0;
}

static void remove_file(struct stand *stand, const char *name) {
        _cleanup_(freep) char *path = scratch_path(stand->directory, name);

        ck_assert_int_eq(unlink(path), 0);
}

static void write_dependent(struct stand *stand) {
        scratch_write(stand->directory, "tell",
                      "#!/bin/sh\n"
                      "cd \"${0%/*}\" || exit 1\n"
                      "if [ -e slow ]; then echo $1 begins; while [ -e slow ]; do sleep 0.1; done; fi\n"
                      "if [ -e failing-$1 ]; then exit 1; fi\n"
                      "echo \"$1 $REKEYD_GENERATION\" >> told\n",
                      0700);
}

/* Certificates that are due after a tenth of their lifetime, with nine left to do it in. */
static void configure_busy(struct stand *stand, const char *certificates) {
        stand_configure(stand, certificates);
        stand_edit(stand, "jitter: 0%", "jitter: 0%, renew_before: 90%");
}

/* A running rekeyd with CERTIFICATES, of which the tokens `token` and `token2` enrol the first two. */
static struct stand *stand_running(const char *lifetime, const char *certificates) {
        struct stand *stand = stand_new((const char *[]) { "--lifetime", lifetime, NULL });

        write_dependent(stand);
        if (streq(lifetime, A_MONTH))
                stand_configure(stand, certificates);
        else
                configure_busy(stand, certificates);
        stand_token(stand, "client-1", "token");
        stand_token(stand, "client-2", "token2");
        stand_start(stand, NULL);
        await_count(stand, MESSAGE_ENROLLED, strstr(certificates, "invoices") ? 2 : 1);
        await_count(stand, MESSAGE_CURRENT, strstr(certificates, "invoices") ? 2 : 1);
        return stand;
}

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
        const unsigned n_reloads = test_is_instrumented() ? 10 : 100;
        unsigned first, settled, last;

        write_dependent(stand);
        configure_many(stand, 100, "");
        stand_start(stand, NULL);
        json_decref(stand_await(stand, MESSAGE_READY));
        first = private_memory(stand);
        for (unsigned i = 0; i < (is_wrapped() ? 4 : 20); i++) {
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
        test_report("100 certificates: RssAnon %u KiB at first, %u after 20 reloads, %u after %u more", first,
                    settled, last, n_reloads);
        ck_assert_int_eq(stand_stop(stand), 0);
        if (!test_is_instrumented())
                ck_assert_uint_lt(last, settled + 512);
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
