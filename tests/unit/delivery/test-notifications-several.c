/* Several dependents: who goes first, how many are told at a time, and what goes on under another
 * configuration. */

#include "daemon/delivery/notifications.h"

#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/test.h"
#include "tests/unit/delivery/deliveries.h"

#define N_MAX 12

/* Dependents a, b ... that do as files of their names in the scratch directory say, and note what they do. */
struct crowd {
        struct setup setup;
        char *scripts[N_MAX];
        const char *commands[N_MAX][5];
        char names[N_MAX][2];
        struct config_notify notify[N_MAX];
        struct config_certificate certificate;
};

static void crowd_start(struct crowd *crowd, size_t n, usec_t patience_usec) {
        static char name[] = "orders";

        crowd->setup =
                (struct setup) { .scratch = scratch_new(), .patience_usec = patience_usec, .stays = true };
        for (size_t i = 0; i < n; i++) {
                crowd->names[i][0] = (char)('a' + i);
                ck_assert_int_ge(
                        asprintf(&crowd->scripts[i],
                                 "cd %s; echo $0 >> begun; until [ -e go ] || [ -e go-$0 ]; do sleep 0.02; "
                                 "done; echo $0 >> ended; [ ! -e fail-$0 ]",
                                 crowd->setup.scratch),
                        0);
                crowd->commands[i][0] = "/bin/sh";
                crowd->commands[i][1] = "-c";
                crowd->commands[i][2] = crowd->scripts[i];
                crowd->commands[i][3] = crowd->names[i];
                crowd->notify[i] = shell_notify(crowd->commands[i]);
        }
        crowd->certificate =
                (struct config_certificate) { .name = name, .notify = crowd->notify, .n_notify = n };
        setup_start(&crowd->setup, &crowd->certificate, true);
}

static void crowd_clear(struct crowd *crowd) {
        setup_clear(&crowd->setup);
        for (size_t i = 0; i < N_MAX; i++)
                free(crowd->scripts[i]);
}

static void crowd_let(struct crowd *crowd, const char *file) {
        scratch_write(crowd->setup.scratch, file, "", 0600);
}

/* What NAME has, without its line ends. */
static const char *crowd_read(struct crowd *crowd, const char *name) {
        _cleanup_(freep) char *text = scratch_read(crowd->setup.scratch, name);
        static char letters[4 * N_MAX];
        size_t n = 0;

        for (const char *p = text; p && *p && n < sizeof(letters) - 1; p++)
                if (*p != '\n')
                        letters[n++] = *p;
        letters[n] = '\0';
        return letters;
}

/* Turns the loop until NAME has N letters. */
static void crowd_await(struct crowd *crowd, const char *name, size_t n) {
        const usec_t deadline = usec_add(now_usec(CLOCK_MONOTONIC), patience_usec());

        while (strlen(crowd_read(crowd, name)) < n) {
                ck_assert_msg(now_usec(CLOCK_MONOTONIC) < deadline, "%s: %s", name, crowd_read(crowd, name));
                ck_assert_int_ge(sd_event_run(crowd->setup.services.event, 20 * USEC_PER_MSEC), 0);
        }
}

static void crowd_await_settled(struct crowd *crowd) {
        ck_assert_int_ge(sd_event_loop(crowd->setup.services.event), 0);
        ck_assert_uint_eq(crowd->setup.state_file->state.n_pending, 0);
        ck_assert_uint_eq(crowd->setup.places.n_used, 0);
        ck_assert(!notifications_is_busy(crowd->setup.notifications));
}

/* The I-th could not be told, and its next attempt was due so many seconds ago. */
static void crowd_has_failed(struct crowd *crowd, size_t i, unsigned seconds) {
        char key[CONFIG_NOTIFY_KEY];
        struct state_pending *pending = state_find_pending(&crowd->setup.state_file->state,
                                                           config_notify_key(&crowd->certificate, i, key));

        ck_assert_ptr_nonnull(pending);
        pending->failures = 1;
        pending->next_attempt_usec = now_usec(CLOCK_REALTIME) - seconds * USEC_PER_SEC;
}

/* Seconds since each is due; 0: it was not tried yet. */
START_TEST(who_was_never_tried_goes_first) {
        static const struct {
                unsigned due[4];
                const char *order;
        } cases[] = {
                { { 0, 0, 0, 0 }, "abcd" },   { { 10, 10, 10, 0 }, "dabc" },  { { 10, 20, 0, 30 }, "cdba" },
                { { 10, 0, 20, 0 }, "bdca" }, { { 10, 20, 30, 40 }, "dcba" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(crowd_clear) struct crowd crowd = { 0 };

                crowd_start(&crowd, 4, 0);
                crowd_let(&crowd, "go");
                setup_owe(&crowd.setup, 7);
                for (size_t j = 0; j < 4; j++)
                        if (cases[i].due[j] > 0)
                                crowd_has_failed(&crowd, j, cases[i].due[j]);
                notifications_start(crowd.setup.notifications);
                crowd_await_settled(&crowd);
                ck_assert_str_eq(crowd_read(&crowd, "begun"), cases[i].order);
        }
}
END_TEST

START_TEST(each_waits_for_the_one_before_it_but_not_for_ever) {
        _cleanup_(crowd_clear) struct crowd crowd = { 0 };
        unsigned n = 0;

        /* While the first one is within its time, nothing else begins. */
        crowd_start(&crowd, 3, 0);
        setup_owe(&crowd.setup, 7);
        notifications_start(crowd.setup.notifications);
        crowd_await(&crowd, "begun", 1);
        while (sd_event_run(crowd.setup.services.event, 100 * USEC_PER_MSEC) > 0)
                ck_assert_uint_lt(n++, 100);
        ck_assert_str_eq(crowd_read(&crowd, "begun"), "a");
        crowd_let(&crowd, "go-a");
        crowd_await(&crowd, "begun", 2);
        crowd_let(&crowd, "go-b");
        crowd_let(&crowd, "go-c");
        crowd_await_settled(&crowd);
        ck_assert_str_eq(crowd_read(&crowd, "ended"), "abc");
        crowd_clear(&crowd);

        /* Beyond it, the others are told beside it. */
        crowd = (struct crowd) { 0 };
        crowd_start(&crowd, 3, 100 * USEC_PER_MSEC);
        crowd_let(&crowd, "go-b");
        crowd_let(&crowd, "go-c");
        setup_owe(&crowd.setup, 7);
        notifications_start(crowd.setup.notifications);
        crowd_await(&crowd, "ended", 2);
        ck_assert_str_eq(crowd_read(&crowd, "begun"), "abc");
        ck_assert_str_eq(crowd_read(&crowd, "ended"), "bc");
        while (notifications_n_pending(crowd.setup.notifications) > 1)
                ck_assert_int_ge(sd_event_run(crowd.setup.services.event, UINT64_MAX), 0);
        ck_assert(notifications_is_busy(crowd.setup.notifications));
        ck_assert_uint_eq(crowd.setup.n_settled, 0);
        crowd_let(&crowd, "go-a");
        crowd_await_settled(&crowd);
        ck_assert_uint_eq(crowd.setup.n_settled, 1);
}
END_TEST

START_TEST(only_so_many_at_a_time) {
        static const struct {
                size_t n, n_failed;
                const char *first; /* the last ones have failed */
        } cases[] = {
                { 12, 0, "abcdefgh" },
                { 12, 12, "abcd" },
                { 12, 9, "abcdefg" },
                { 12, 6, "abcdefgh" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(crowd_clear) struct crowd crowd = { 0 };
                const size_t n = cases[i].n, n_first = strlen(cases[i].first);
                usec_t end;

                crowd_start(&crowd, n, USEC_PER_MSEC);
                setup_owe(&crowd.setup, 7);
                for (size_t j = n - cases[i].n_failed; j < n; j++)
                        crowd_has_failed(&crowd, j, (unsigned)(100 - j));
                notifications_start(crowd.setup.notifications);
                crowd_await(&crowd, "begun", n_first);
                end = now_usec(CLOCK_MONOTONIC) + 200 * USEC_PER_MSEC;
                while (now_usec(CLOCK_MONOTONIC) < end)
                        ck_assert_int_ge(sd_event_run(crowd.setup.services.event, 10 * USEC_PER_MSEC), 0);
                ck_assert_uint_eq(strlen(crowd_read(&crowd, "begun")), n_first);
                ck_assert_uint_eq(crowd.setup.places.n_used, n_first);
                for (const char *p = cases[i].first; *p; p++)
                        ck_assert_msg(strchr(crowd_read(&crowd, "begun"), *p), "%zu: %c", i, *p);
                crowd_let(&crowd, "go");
                crowd_await_settled(&crowd);
                ck_assert_uint_eq(strlen(crowd_read(&crowd, "ended")), n);
        }
}
END_TEST

/* Places that others hold are awaited. */
START_TEST(no_place_no_delivery) {
        _cleanup_(crowd_clear) struct crowd crowd = { 0 };

        crowd_start(&crowd, 2, 0);
        crowd_let(&crowd, "go");
        for (unsigned i = 0; i < PLACES_MAX; i++)
                ck_assert(places_take(&crowd.setup.places, PLACE_FIRST));
        setup_owe(&crowd.setup, 7);
        notifications_start(crowd.setup.notifications);
        while (sd_event_run(crowd.setup.services.event, 50 * USEC_PER_MSEC) > 0)
                ;
        ck_assert_str_eq(crowd_read(&crowd, "begun"), "");
        ck_assert(notifications_is_busy(crowd.setup.notifications));

        /* One that is granted and not needed any more is given back. */
        places_return(&crowd.setup.places, PLACE_FIRST);
        setup_owe(&crowd.setup, 8);
        ck_assert_uint_eq(crowd.setup.places.n_used, PLACES_MAX - 1);
        notifications_start(crowd.setup.notifications);
        crowd_await(&crowd, "ended", 2);
        while (crowd.setup.state_file->state.n_pending > 0)
                ck_assert_int_ge(sd_event_run(crowd.setup.services.event, UINT64_MAX), 0);
        ck_assert_uint_eq(crowd.setup.places.n_used, PLACES_MAX - 1);
        for (unsigned i = 1; i < PLACES_MAX; i++)
                places_return(&crowd.setup.places, PLACE_FIRST);
}
END_TEST

/* --- Another configuration while "a" is being told; "b" and "c" are told afterwards --- */

START_TEST(what_is_under_way_goes_on_under_another_configuration) {
        static const struct {
                const char *what;
                size_t from, n; /* what the new one has of a, b, c */
                bool fails;     /* a */
                uint64_t news;  /* the generation that is owed meanwhile */
                const char *begun;
        } cases[] = {
                { "the same", 0, 3, false, 0, "abc" },
                { "fewer", 0, 2, false, 0, "ab" },
                { "without it", 1, 2, false, 0, "abc" },
                { "without any", 3, 0, false, 0, "a" },
                { "without any, and it fails", 3, 0, true, 0, "a" },
                /* It may have been corrected into b or c, which were told before that was known. */
                { "without it, and it fails", 1, 2, true, 0, "abc" },
                { "the same, and a new set", 0, 3, false, 8, "abca" },
                { "the same, and all once more", 0, 3, false, 7, "abca" },
                { "without it, and a new set", 1, 2, false, 8, "abc" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(crowd_clear) struct crowd crowd = { 0 };
                struct config_certificate other;

                crowd_start(&crowd, 3, 0);
                crowd_let(&crowd, "go-b");
                crowd_let(&crowd, "go-c");
                setup_owe(&crowd.setup, 7);
                notifications_start(crowd.setup.notifications);
                crowd_await(&crowd, "begun", 1);
                other = crowd.certificate;
                other.notify = crowd.notify + cases[i].from;
                other.n_notify = cases[i].n;
                setup_configure(&crowd.setup, &other, true);
                ck_assert(notifications_is_under_way(crowd.setup.notifications));
                ck_assert_str_eq(crowd_read(&crowd, "ended"), "");
                if (cases[i].news > 0)
                        setup_owe(&crowd.setup, cases[i].news);
                notifications_start(crowd.setup.notifications);
                if (cases[i].fails)
                        crowd_let(&crowd, "fail-a");
                crowd_let(&crowd, "go-a");
                ck_assert_int_ge(sd_event_loop(crowd.setup.services.event), 0);
                ck_assert_uint_eq(crowd.setup.state_file->state.n_pending, 0);
                ck_assert_uint_eq(crowd.setup.places.n_used, 0);
                ck_assert_uint_eq(strlen(crowd_read(&crowd, "ended")), strlen(cases[i].begun));
                for (const char *p = cases[i].begun; *p; p++)
                        ck_assert_msg(strchr(crowd_read(&crowd, "begun"), *p), "%s: %s", cases[i].what,
                                      crowd_read(&crowd, "begun"));
        }
}
END_TEST

/* The others were told already. What it owes, should it fail, is owed to whom it may have been corrected
 * into. */
START_TEST(one_that_was_removed_ends_after_the_others) {
        static const struct {
                bool fails;
                size_t n_told;
        } cases[] = { { false, 3 }, { true, 5 } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(crowd_clear) struct crowd crowd = { 0 };
                struct config_certificate other;

                crowd_start(&crowd, 3, USEC_PER_MSEC);
                crowd_let(&crowd, "go-b");
                crowd_let(&crowd, "go-c");
                if (cases[i].fails)
                        crowd_let(&crowd, "fail-a");
                setup_owe(&crowd.setup, 7);
                notifications_start(crowd.setup.notifications);
                while (crowd.setup.state_file->state.n_pending > 1)
                        ck_assert_int_ge(sd_event_run(crowd.setup.services.event, UINT64_MAX), 0);
                other = crowd.certificate;
                other.notify = crowd.notify + 1;
                other.n_notify = 2;
                setup_configure(&crowd.setup, &other, true);
                notifications_start(crowd.setup.notifications);
                crowd_let(&crowd, "go-a");
                crowd_await_settled(&crowd);
                ck_assert_uint_eq(strlen(crowd_read(&crowd, "ended")), cases[i].n_told);
                ck_assert(!cases[i].fails || strchr(crowd_read(&crowd, "ended") + 3, 'b'));
                ck_assert(!cases[i].fails || strchr(crowd_read(&crowd, "ended") + 3, 'c'));
        }
}
END_TEST

/* A new set came while it was not configured. */
START_TEST(one_that_comes_back_is_told_of_the_newest_set) {
        _cleanup_(crowd_clear) struct crowd crowd = { 0 };
        struct config_certificate other;

        crowd_start(&crowd, 3, 0);
        crowd_let(&crowd, "go-b");
        crowd_let(&crowd, "go-c");
        setup_owe(&crowd.setup, 7);
        notifications_start(crowd.setup.notifications);
        crowd_await(&crowd, "begun", 1);
        other = crowd.certificate;
        other.notify = crowd.notify + 1;
        other.n_notify = 2;
        setup_configure(&crowd.setup, &other, true);
        setup_owe(&crowd.setup, 8);
        setup_configure(&crowd.setup, &crowd.certificate, true);
        notifications_start(crowd.setup.notifications);
        crowd_let(&crowd, "go-a");
        crowd_await_settled(&crowd);
        ck_assert_str_eq(crowd_read(&crowd, "begun"), "aabc");
}
END_TEST

TEST_MAIN("notifications-several", who_was_never_tried_goes_first,
          each_waits_for_the_one_before_it_but_not_for_ever, only_so_many_at_a_time, no_place_no_delivery,
          what_is_under_way_goes_on_under_another_configuration, one_that_was_removed_ends_after_the_others,
          one_that_comes_back_is_told_of_the_newest_set)
