/*
 * The key of a renewal is staged before the renewal is due, and the renewal uses it. Certificates live for
 * seconds here, so a key comes in the second half of the time until its renewal, which is what `ahead` is
 * limited to.
 */

#include <unistd.h>

#include "daemon/observe/messages.h"
#include "tests/support/fixture.h"
#include "tests/support/snapshot.h"
#include "tests/test.h"

#define AHEAD  "    key: {ahead: 1h}\n"
#define STAGED "the key of the next renewal is staged"
#define GONE   "no key stays staged ahead"

/* Due after a tenth of its lifetime, in the whole of which it is not due again. */
#define EARLY "    renew_before: 99%%\n"

static char *orders(const struct fixture *fixture) {
        return scratch_path(fixture->directory, "orders");
}

/* The key that is in use is EXPECTED, and nothing is left of the stage. */
static void check_used(struct fixture *fixture, const char *expected, bool is_used) {
        _cleanup_(freep) char *directory = orders(fixture), *list = scratch_list(directory);
        _cleanup_(snapshot_clear) struct snapshot snapshot = snapshot_take(directory);

        ck_assert_msg(!snapshot_mismatch(&snapshot, NULL), "%s", snapshot_mismatch(&snapshot, NULL));
        ck_assert_int_eq(streq(snapshot.files[0], expected), is_used);
        ck_assert_msg(!strstr(list, "stage"), "%s", list);
}

static char *await_staged(struct fixture *fixture) {
        _cleanup_(freep) char *directory = orders(fixture);
        char *key;

        fixture_expect_text(fixture, STAGED);
        key = staged_key(directory);
        ck_assert_ptr_nonnull(key);
        return key;
}

START_TEST(a_renewal_uses_the_key_that_was_staged_before) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING(lifetime(200)));
        _cleanup_(freep) char *staged = NULL;

        fixture_enrol(fixture, ORDERS AHEAD EARLY);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_CURRENT);
        staged = await_staged(fixture);
        fixture_expect(fixture, MESSAGE_RENEWED);
        fixture_expect(fixture, MESSAGE_CURRENT);
        check_used(fixture, staged, true);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* What is staged survives a restart, and the status knows of it. */
START_TEST(an_operator_gets_it_as_well) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING(lifetime(240)));
        _cleanup_(freep) char *staged = NULL;

        fixture_enrol(fixture, ORDERS AHEAD EARLY);
        fixture_add_control(fixture);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_CURRENT);
        fixture_ctl(fixture, "status", "orders", "--json", 0, "\"key_ahead\":\"planned\"");
        staged = await_staged(fixture);
        fixture_kill(fixture);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_CURRENT);
        fixture_ctl(fixture, "show", "orders", NULL, 0, "ready");
        fixture_ctl(fixture, "renew", "orders", "--force", 0, "");
        check_used(fixture, staged, true);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* Before its time nothing is there, and nothing is missed. */
START_TEST(what_is_forced_before_makes_its_own) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("30d"));

        fixture_enrol(fixture, ORDERS AHEAD);
        fixture_add_control(fixture);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_CURRENT);
        fixture_ctl(fixture, "renew", "orders", "--force", 0, "");
        check_used(fixture, "", false);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_ptr_null(strstr(process_output(fixture->rekeyd, PROCESS_STDERR), STAGED));
}
END_TEST

/* The thread that generates keys is as slow as on a machine that is never idle: the renewal comes when it is
 * due, with a key of its own, and what the thread does later is not staged any more. */
START_TEST(nobody_waits_for_an_idle_processor) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING(lifetime(60)));
        const char *why;

        fixture_enrol(fixture, ORDERS AHEAD EARLY);
        why = fixture_start_slow(fixture, "sched_setscheduler", 30 * USEC_PER_SEC);
        if (why) {
                test_skip("nobody_waits_for_an_idle_processor: %s", why);
                return;
        }
        fixture_expect(fixture, MESSAGE_RENEWED);
        fixture_expect(fixture, MESSAGE_CURRENT);
        check_used(fixture, "", false);
        ck_assert_ptr_null(strstr(process_output(fixture->rekeyd, PROCESS_STDERR), STAGED));
        fixture_kill(fixture);
}
END_TEST

/* By a reload: another size is wanted at once, the option is off, the certificate is removed. */
START_TEST(a_reload_changes_what_is_staged) {
        static const struct {
                const char *certificates, *text;
        } rows[] = {
                { ORDERS EARLY "    key: {ahead: 1h, bits: 3072}\n", NULL },
                { ORDERS EARLY "    key: {ahead: off}\n", GONE },
                { "  other:\n    connector: dev\n    directory: %s/other\n    token_file: %s/none\n", GONE },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(fixture_freep) struct fixture *fixture =
                        fixture_new(FIXTURE_LASTING(lifetime(240)));
                _cleanup_(freep) char *staged = NULL;

                fixture_enrol(fixture, ORDERS AHEAD EARLY);
                fixture_start(fixture, NULL);
                fixture_expect(fixture, MESSAGE_CURRENT);
                staged = await_staged(fixture);
                fixture_configure(fixture, rows[i].certificates);
                fixture_reload(fixture);
                if (rows[i].text)
                        fixture_expect_text(fixture, rows[i].text);
                else
                        fixture_expect(fixture, MESSAGE_RENEWED);
                check_used(fixture, staged, false);
                ck_assert_int_eq(fixture_stop(fixture), 0);
        }
}
END_TEST

TEST_MAIN("keys-ahead", a_renewal_uses_the_key_that_was_staged_before, an_operator_gets_it_as_well,
          what_is_forced_before_makes_its_own, nobody_waits_for_an_idle_processor,
          a_reload_changes_what_is_staged)
