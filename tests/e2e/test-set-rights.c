/* Owner, group and mode of a set in use: after a change of the configuration, and of somebody's hand. */

#include <sys/stat.h>

#include "tests/support/fixture.h"
#include "tests/test.h"

static mode_t mode_of(struct fixture *fixture, const char *name) {
        _cleanup_(freep) char *path = scratch_path(fixture->directory, name);
        struct stat st;

        ck_assert_int_eq(stat(path, &st), 0);
        return st.st_mode & 07777;
}

static void change_mode(struct fixture *fixture, const char *name, mode_t mode) {
        _cleanup_(freep) char *path = scratch_path(fixture->directory, name);

        ck_assert_int_eq(chmod(path, mode), 0);
}

#define SHARED "    mode: 0640\n"

START_TEST(a_reload_changes_the_set_in_use) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("1h"));

        fixture_prepare(fixture, ORDERS);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_CURRENT);
        fixture_configure(fixture, ORDERS SHARED);
        fixture_reload(fixture);
        fixture_expect_message(fixture, MESSAGE_RIGHTS, "tls.key is now 0640");
        ck_assert_uint_eq(mode_of(fixture, "orders/tls.key"), 0640);
        fixture_configure(fixture, ORDERS);
        fixture_reload(fixture);
        fixture_expect_message(fixture, MESSAGE_RIGHTS, "tls.key is now 0600");
        ck_assert_uint_eq(mode_of(fixture, "orders/tls.key"), 0600);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* Each time there is one line, since what rekeyd changes itself leads to nothing more. */
START_TEST(a_change_by_hand_is_noticed_and_undone) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("1h"));

        fixture_prepare(fixture, ORDERS);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_CURRENT);
        for (unsigned i = 0; i < 3; i++) {
                change_mode(fixture, "orders/tls.key", 0644);
                fixture_expect_message(fixture, MESSAGE_RIGHTS, "and was 0644");
                ck_assert_uint_eq(mode_of(fixture, "orders/tls.key"), 0600);
        }
        change_mode(fixture, "orders/..data", 0700);
        fixture_expect_message(fixture, MESSAGE_RIGHTS, "and was 0700");
        ck_assert_uint_eq(mode_of(fixture, "orders/..data"), 0755);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(a_change_while_rekeyd_is_down_is_found_at_the_start) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("1h"));

        fixture_enrol(fixture, ORDERS);
        change_mode(fixture, "orders/tls.key", 0666);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 0);
        fixture_expect_message(fixture, MESSAGE_RIGHTS, "may be disclosed");
        ck_assert_uint_eq(mode_of(fixture, "orders/tls.key"), 0600);
}
END_TEST

TEST_MAIN("set rights", a_reload_changes_the_set_in_use, a_change_by_hand_is_noticed_and_undone,
          a_change_while_rekeyd_is_down_is_found_at_the_start)
