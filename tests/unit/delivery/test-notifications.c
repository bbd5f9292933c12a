/* Who is notified, and when once more: with real processes, in a real loop. */

#include "daemon/delivery/notifications.h"

#include "tests/support/scratch.h"
#include "tests/test.h"
#include "tests/unit/delivery/deliveries.h"

START_TEST(one_failure_does_not_hold_up_the_next) {
        _cleanup_(setup_clear) struct setup setup = { .scratch = scratch_new() };
        _cleanup_(freep) char *script = NULL, *text = NULL;

        ck_assert_int_ge(asprintf(&script, "echo $REKEYD_GENERATION > %s/out", setup.scratch), 0);
        const char *bad[] = { "/bin/false", NULL }, *good[] = { "/bin/sh", "-c", script, NULL };
        struct config_notify notify[] = { shell_notify(bad), shell_notify(good) };
        char name[] = "orders";
        const struct config_certificate certificate = { .name = name, .notify = notify, .n_notify = 2 };

        setup_start(&setup, &certificate, false);
        ck_assert_uint_eq(notifications_n_pending(setup.notifications), 0);
        setup_owe(&setup, 42);
        ck_assert_uint_eq(notifications_n_pending(setup.notifications), 2);
        notifications_start(setup.notifications);
        run_until_settled(&setup);
        ck_assert_uint_eq(notifications_n_pending(setup.notifications), 1);
        text = scratch_read(setup.scratch, "out");
        ck_assert_str_eq(text, "42\n");
}
END_TEST

START_TEST(a_failed_delivery_is_tried_again) {
        _cleanup_(setup_clear) struct setup setup = { .scratch = scratch_new(), .stays = true };
        _cleanup_(freep) char *script = NULL;

        /* Fails the first time, and succeeds after the back-off of five seconds. */
        ck_assert_int_ge(asprintf(&script, "[ -e %s/seen ] || { touch %s/seen; exit 1; }", setup.scratch,
                                  setup.scratch),
                         0);
        const char *command[] = { "/bin/sh", "-c", script, NULL };
        struct config_notify notify[] = { shell_notify(command) };
        char name[] = "orders";
        const struct config_certificate certificate = { .name = name, .notify = notify, .n_notify = 1 };

        setup_start(&setup, &certificate, true);
        setup_owe(&setup, 42);
        notifications_start(setup.notifications);
        ck_assert_int_ge(sd_event_loop(setup.services.event), 0);
        ck_assert_uint_eq(setup.n_settled, 2); /* after the failure, and in the end */
        ck_assert_uint_eq(setup.state_file->state.n_pending, 0);
}
END_TEST

START_TEST(what_is_owed_outlives_a_restart) {
        _cleanup_(setup_clear) struct setup setup = { .scratch = scratch_new() };
        _cleanup_(freep) char *script = NULL, *first = NULL, *second = NULL;

        ck_assert_int_ge(asprintf(&script, "echo $REKEYD_GENERATION >> %s/out", setup.scratch), 0);
        const char *command[] = { "/bin/sh", "-c", script, NULL }, *other[] = { "/bin/true", NULL };
        struct config_notify notify[] = { shell_notify(command), shell_notify(command), shell_notify(other) };
        char name[] = "orders";
        const struct config_certificate three = { .name = name, .notify = notify, .n_notify = 3 };
        const struct config_certificate two = { .name = name, .notify = notify, .n_notify = 2 };

        /* Nothing is delivered while it is held, whatever the loop does. */
        setup_start(&setup, &three, true);
        setup_owe(&setup, 7);
        ck_assert_int_eq(sd_event_run(setup.services.event, 0), 0);
        ck_assert(!notifications_is_busy(setup.notifications));
        setup_stop(&setup);
        first = scratch_read(setup.scratch, "out");
        ck_assert_ptr_null(first);

        /* The same entry twice is two dependents; the third is no longer configured. */
        setup_start(&setup, &two, true);
        ck_assert_uint_eq(notifications_n_pending(setup.notifications), 2);
        ck_assert_uint_eq(setup.state_file->state.n_pending, 2);
        notifications_start(setup.notifications);
        ck_assert(notifications_is_busy(setup.notifications));
        run_until_settled(&setup);
        ck_assert_uint_eq(notifications_n_pending(setup.notifications), 0);
        second = scratch_read(setup.scratch, "out");
        ck_assert_str_eq(second, "7\n7\n");
        setup_stop(&setup);

        setup_start(&setup, &two, true);
        ck_assert_uint_eq(notifications_n_pending(setup.notifications), 0);
}
END_TEST

START_TEST(a_back_off_outlives_a_restart) {
        _cleanup_(setup_clear) struct setup setup = { .scratch = scratch_new() };
        const char *command[] = { "/bin/false", NULL };
        struct config_notify notify[] = { shell_notify(command) };
        char name[] = "orders";
        const struct config_certificate certificate = { .name = name, .notify = notify, .n_notify = 1 };

        setup_start(&setup, &certificate, true);
        setup_owe(&setup, 7);
        notifications_start(setup.notifications);
        run_until_settled(&setup);
        setup_stop(&setup);

        setup_start(&setup, &certificate, true);
        ck_assert_uint_eq(notifications_n_pending(setup.notifications), 1);
        ck_assert_uint_eq(setup.state_file->state.pending[0].failures, 1);
        ck_assert_str_eq(setup.state_file->state.pending[0].error, "command /bin/false ended with status 1");
        notifications_start(setup.notifications);
        ck_assert(!notifications_is_busy(setup.notifications));
        setup_stop(&setup);

        /* Without retries each start tries once. */
        setup_start(&setup, &certificate, false);
        notifications_start(setup.notifications);
        ck_assert(notifications_is_busy(setup.notifications));
        run_until_settled(&setup);
        ck_assert_uint_eq(setup.state_file->state.pending[0].failures, 2);
}
END_TEST

START_TEST(owed_anew_during_the_delivery) {
        _cleanup_(setup_clear) struct setup setup = { .scratch = scratch_new() };
        _cleanup_(freep) char *script = NULL, *text = NULL;

        ck_assert_int_ge(asprintf(&script, "echo $REKEYD_GENERATION >> %s/out", setup.scratch), 0);
        const char *command[] = { "/bin/sh", "-c", script, NULL };
        struct config_notify notify[] = { shell_notify(command) };
        char name[] = "orders";
        const struct config_certificate certificate = { .name = name, .notify = notify, .n_notify = 1 };

        setup_start(&setup, &certificate, true);
        setup_owe(&setup, 1);
        notifications_start(setup.notifications);
        while (sd_event_run(setup.services.event, 0) > 0)
                if (access(setup.scratch, F_OK) == 0 && notifications_is_busy(setup.notifications))
                        break;
        setup_owe(&setup, 2);
        notifications_start(setup.notifications);
        run_until_settled(&setup);
        ck_assert_uint_eq(notifications_n_pending(setup.notifications), 0);
        text = scratch_read(setup.scratch, "out");
        ck_assert_str_eq(text + strlen(text) - 2, "2\n");
}
END_TEST

START_TEST(what_is_withdrawn_is_not_delivered) {
        _cleanup_(setup_clear) struct setup setup = { .scratch = scratch_new() };
        const char *bad[] = { "/bin/false", NULL }, *good[] = { "/bin/true", NULL };
        struct config_notify notify[] = { shell_notify(bad), shell_notify(good) };
        char name[] = "orders";
        const struct config_certificate certificate = { .name = name, .notify = notify, .n_notify = 2 };

        setup_start(&setup, &certificate, false);
        setup_owe(&setup, 1);
        notifications_start(setup.notifications);
        run_until_settled(&setup);
        ck_assert_uint_eq(notifications_n_pending(setup.notifications), 1);

        setup_owe(&setup, 1);
        ck_assert_uint_eq(notifications_n_pending(setup.notifications), 2);
        notifications_cancel(setup.notifications);
        ck_assert_uint_eq(notifications_n_pending(setup.notifications), 1); /* what was owed before stays */
}
END_TEST

TEST_MAIN("notifications", one_failure_does_not_hold_up_the_next, a_failed_delivery_is_tried_again,
          what_is_owed_outlives_a_restart, a_back_off_outlives_a_restart, owed_anew_during_the_delivery,
          what_is_withdrawn_is_not_delivered)
