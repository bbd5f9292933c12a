/* The journal and clocks that are set: single cases first, then the issuance budget over years of restarts,
 * reboots and wrong clocks. */

#include <fcntl.h>

#include "lib/life/state.h"
#include "lib/util/files.h"
#include "tests/support/scratch.h"
#include "tests/test.h"

#define MINUTE USEC_PER_MINUTE
#define HOUR   USEC_PER_HOUR
#define YEAR   (365 * USEC_PER_DAY)
#define GONE   USEC_INFINITY

/* 2026-11-20T17:57:22Z */
#define DATE (UINT64_C(1795197442) * USEC_PER_SEC)

static const struct state_instant today = {
        .boot_id = { 0xb0, 0x07, 1 },
        .realtime = DATE,
        .boottime = 5 * HOUR,
};

/* A clock says nothing of the machine, and an unknown machine is none. */
START_TEST(test_a_copy_is_of_another_machine) {
        static const struct {
                uint8_t saved, now; /* the first byte of the machine id; 0: unknown */
                bool is_copied;
        } cases[] = {
                { 1, 1, false }, { 1, 2, true }, { 0, 1, false }, { 1, 0, false }, { 0, 0, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (int was_copied = 0; was_copied <= 1; was_copied++) {
                        struct state_instant saved = today, now = today;
                        struct state state = { .is_copied = was_copied };

                        saved.machine_id[0] = cases[i].saved;
                        now.machine_id[0] = cases[i].now;
                        now.boot_id[0] ^= 1;
                        state_sanitise(&state, &saved, &now);
                        ck_assert_msg(state.is_copied == (cases[i].is_copied || was_copied), "case %zu", i);
                        ck_assert_msg(state.is_copy_news == cases[i].is_copied, "case %zu", i);
                }
}
END_TEST

START_TEST(test_next_attempts_of_a_set_clock) {
        static const struct {
                usec_t when, expected;
        } cases[] = {
                { 0, 0 },
                { 1, 1 },
                { DATE - YEAR, DATE - YEAR }, /* long due */
                { DATE, DATE },
                { DATE + USEC_PER_DAY, DATE + USEC_PER_DAY },
                { DATE + USEC_PER_DAY + 1, 0 },
                { DATE + 10 * YEAR, 0 },
                { USEC_INFINITY, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                struct state_pending pending[] = {
                        { .key = (char *)"a", .next_attempt_usec = 5 },
                        { .key = (char *)"b",
                          .next_attempt_usec = cases[i].when,
                          .failures = 3,
                          .generation = 4 },
                };
                struct state state = {
                        .failures = 9,
                        .failure = FAILURE_REFUSED,
                        .next_attempt_usec = cases[i].when,
                        .pending = pending,
                        .n_pending = 2,
                };

                state_sanitise(&state, &today, &today);
                ck_assert_msg(state.next_attempt_usec == cases[i].expected, "case %zu", i);
                ck_assert_msg(pending[1].next_attempt_usec == cases[i].expected, "case %zu", i);

                /* and nothing else changes */
                ck_assert_uint_eq(state.failures, 9);
                ck_assert_int_eq(state.failure, FAILURE_REFUSED);
                ck_assert_uint_eq(pending[0].next_attempt_usec, 5);
                ck_assert_uint_eq(pending[1].failures, 3);
                ck_assert_uint_eq(pending[1].generation, 4);
        }
}
END_TEST

START_TEST(test_issuances_of_another_time) {
        /* Saved at an uptime of 5 h, on DATE. */
        static const struct {
                bool rebooted;
                usec_t when;
                usec_t uptime, date;
                usec_t expected;
        } cases[] = {
                /* the same boot: the wall clock does not matter */
                { false, 5 * HOUR, 5 * HOUR, DATE, 5 * HOUR },
                { false, 5 * HOUR, 5 * HOUR + 1, DATE + 10 * YEAR, 5 * HOUR },
                { false, 5 * HOUR, 5 * HOUR + 1, 0, 5 * HOUR },
                { false, 5 * HOUR, 6 * HOUR - 1, DATE, 5 * HOUR },
                { false, 5 * HOUR, 6 * HOUR, DATE, GONE },
                { false, 0, 6 * HOUR, 0, GONE },
                /* later than now: counted as now */
                { false, 5 * HOUR + 1, 5 * HOUR, DATE, 5 * HOUR },
                { false, 5 * HOUR, 1 * HOUR, DATE, 1 * HOUR },
                { false, USEC_INFINITY, 5 * HOUR, DATE, 5 * HOUR },
                /* a reboot: a few minutes by both clocks, then still the same issuance */
                { true, 5 * HOUR, 2 * MINUTE, DATE + 2 * MINUTE, 0 },
                { true, 5 * HOUR, 9 * MINUTE, DATE + 2 * MINUTE, 7 * MINUTE },
                { true, 5 * HOUR, 2 * MINUTE, DATE + 9 * MINUTE, 0 },
                { true, 5 * HOUR - 10 * MINUTE, 20 * MINUTE, DATE + 5 * MINUTE, 5 * MINUTE },
                { true, 5 * HOUR - 10 * MINUTE, 9 * MINUTE, DATE + 5 * MINUTE, 0 },
                /* exactly an hour by age and wait together */
                { true, 4 * HOUR + 10 * MINUTE, 2 * HOUR, DATE + 10 * MINUTE, GONE },
                { true, 4 * HOUR + 10 * MINUTE + 1, 2 * HOUR, DATE + 10 * MINUTE, HOUR + 1 },
                { true, 4 * HOUR, 0, DATE, GONE },
                { true, 4 * HOUR + 1, 0, DATE, 0 },
                /* off for a month: known to be gone once this boot is an hour old */
                { true, 5 * HOUR, HOUR - 1, DATE + 30 * USEC_PER_DAY, 0 },
                { true, 5 * HOUR, HOUR, DATE + 30 * USEC_PER_DAY, GONE },
                /* set back, by a second and to 1970: as if the time in between had not passed */
                { true, 5 * HOUR, 3 * HOUR, DATE - USEC_PER_SEC, 3 * HOUR },
                { true, 5 * HOUR, 3 * HOUR, 0, 3 * HOUR },
                { true, 4 * HOUR + 20 * MINUTE, 3 * HOUR, 0, 2 * HOUR + 20 * MINUTE },
                /* set forward by years: the uptime tells */
                { true, 5 * HOUR, 20 * MINUTE, DATE + 10 * YEAR, 0 },
                /* an issuance after the reading that came with it */
                { true, 5 * HOUR + 1, 9 * MINUTE, DATE, 9 * MINUTE },
                { true, USEC_INFINITY, 9 * MINUTE, DATE, 9 * MINUTE },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                usec_t when = cases[i].when;
                struct state state = { .issuances = &when, .n_issuances = 1 };
                const struct state_instant now = {
                        .boot_id = { 0xb0, 0x07, cases[i].rebooted ? 2 : 1 },
                        .boottime = cases[i].uptime,
                        .realtime = cases[i].date,
                };

                state_sanitise(&state, &today, &now);
                ck_assert_msg(state.n_issuances == (cases[i].expected == GONE ? 0 : 1), "case %zu", i);
                if (cases[i].expected != GONE)
                        ck_assert_msg(when == cases[i].expected, "case %zu: %" PRI_USEC, i, when);
        }
}
END_TEST

START_TEST(test_load_sanitises) {
        _cleanup_(scratch_freep) char *directory = scratch_new();
        _cleanup_(state_clear) struct state state = { .next_attempt_usec = DATE }, back = { 0 };
        const struct state_instant later = {
                .boot_id = { 0xb0, 0x07, 2 },
                .boottime = HOUR / 2,
                .realtime = DATE - 10 * YEAR,
        };
        _cleanup_(freep) char *warning = NULL;
        _cleanup_(fd_closep) int fd = dir_open_at(AT_FDCWD, directory);

        ck_assert_int_eq(state_record_issuance(&state, 4 * HOUR + 10 * MINUTE), 0);
        ck_assert_int_eq(state_save(fd, "orders", &state, &today, NULL), 0);
        ck_assert_int_eq(state_load(fd, "orders", &later, &back, &warning, NULL), 0);
        ck_assert_ptr_null(warning);
        ck_assert_uint_eq(back.next_attempt_usec, 0);
        ck_assert_uint_eq(back.n_issuances, 1);
        /* as old as this boot, since it was older than that when it was saved */
        ck_assert_uint_eq(back.issuances[0], 0);
}
END_TEST

/* --- The budget over years --- */

/* xorshift64*: the same walk in every run */
static uint64_t draw(uint64_t *state, uint64_t below) {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        return (*state * UINT64_C(0x2545f4914f6cdd1d) >> 11) % below;
}

/* A span from microseconds to years, each order of magnitude as likely as the others. */
static usec_t draw_span(uint64_t *state) {
        static const usec_t orders[] = { 2,        USEC_PER_SEC, MINUTE,  20 * MINUTE,
                                         HOUR + 2, USEC_PER_DAY, 5 * YEAR };

        return draw(state, orders[draw(state, ELEMENTSOF(orders))]);
}

/* A machine, and the true time, which nobody on it knows. */
struct machine {
        uint64_t state; /* of draw() */
        usec_t now;     /* true */
        usec_t booted;  /* true */
        usec_t lead;    /* of the wall clock */
        uint16_t boots;
        bool knows_its_boots;
};

static struct state_instant instant(const struct machine *machine) {
        unsigned boots = machine->knows_its_boots ? machine->boots : 0;

        return (struct state_instant) {
                .boot_id = { (uint8_t)(boots >> 8), (uint8_t)boots },
                .boottime = machine->now - machine->booted,
                .realtime = machine->now + machine->lead,
        };
}

static void pass_time(struct machine *machine) {
        machine->now += draw(&machine->state, 10) ? draw(&machine->state, 20 * MINUTE)
                                                  : draw_span(&machine->state) % (2 * USEC_PER_DAY);
}

static void set_wall_clock(struct machine *machine) {
        usec_t span = draw_span(&machine->state);

        machine->lead = draw(&machine->state, 2) ? machine->lead + span : usec_sub(machine->lead, span);
}

static void reboot(struct machine *machine) {
        machine->booted = machine->now;
        machine->boots++;
        machine->now += draw(&machine->state, 2) ? draw(&machine->state, 5 * MINUTE) : 0;
}

/* As a daemon does: what still counts is saved again, now by the clock of this boot. */
static void restart(struct state *state, char **disk, const struct state_instant *now) {
        struct state_instant saved;

        state_clear(state);
        ck_assert_int_eq(state_parse(*disk, strlen(*disk), state, &saved, NULL), 0);
        state_sanitise(state, &saved, now);
        if (state->n_issuances > 0) {
                free(*disk);
                ck_assert_int_eq(state_format(state, now, disk, NULL), 0);
        }
}

#define PER_HOUR 3
#define STEPS    test_rounds(100000)

/* The true times of what was issued. */
struct issued {
        usec_t last[PER_HOUR];
        size_t n, n_too_many;
};

static void issue(struct issued *issued, usec_t now) {
        if (issued->n >= PER_HOUR && now - issued->last[issued->n % PER_HOUR] < HOUR)
                issued->n_too_many++;
        issued->last[issued->n++ % PER_HOUR] = now;
}

static void live(bool knows_its_boots) {
        struct machine machine = { .state = 1970, .lead = 50 * YEAR, .knows_its_boots = knows_its_boots };
        struct state_instant now = instant(&machine);
        _cleanup_(state_clear) struct state state = { 0 };
        _cleanup_(freep) char *disk = NULL;
        struct issued issued = { 0 }, by_wall_clock = { 0 };
        usec_t wall_times[SCHEDULE_BUDGET_MAX];
        size_t n_wall_times = 0, n_refused = 0;
        usec_t since = 0; /* the last request, or the first start in this boot; on the boot clock */

        ck_assert_int_eq(state_format(&state, &now, &disk, NULL), 0);
        for (unsigned step = 0; step < STEPS; step++) {
                uint64_t what = draw(&machine.state, 100);
                usec_t wait;

                pass_time(&machine);
                if (what < 15)
                        set_wall_clock(&machine);
                if (what >= 10 && what < 13)
                        reboot(&machine);
                now = instant(&machine);
                if (what >= 10 && what < 13)
                        since = now.boottime;
                if (what >= 10 && what < 20)
                        restart(&state, &disk, &now);

                /* The same with times of the wall clock: proof that the walk is hard enough. */
                if (schedule_budget_wait(wall_times, n_wall_times, PER_HOUR, now.realtime) == 0) {
                        n_wall_times = schedule_budget_record(wall_times, n_wall_times,
                                                              ELEMENTSOF(wall_times), now.realtime);
                        issue(&by_wall_clock, machine.now);
                }

                wait = schedule_budget_wait(state.issuances, state.n_issuances, PER_HOUR, now.boottime);
                ck_assert_uint_le(wait, HOUR);
                if (wait > 0) {
                        /* and never blocked for longer */
                        ck_assert_uint_lt(now.boottime - since, HOUR);
                        n_refused++;
                        continue;
                }

                ck_assert_int_eq(state_record_issuance(&state, now.boottime), 0);
                free(disk);
                ck_assert_int_eq(state_format(&state, &now, &disk, NULL), 0);
                issue(&issued, machine.now);
                since = now.boottime;
        }

        test_report("%zu requests, %zu refused, %zu too many, over %u days and %u boots", issued.n, n_refused,
                    issued.n_too_many, (unsigned)(machine.now / USEC_PER_DAY), machine.boots);
        test_report("by the wall clock alone: %zu requests, %zu too many", by_wall_clock.n,
                    by_wall_clock.n_too_many);
        ck_assert_uint_eq(issued.n_too_many, 0);
        ck_assert_uint_gt(issued.n, test_rounds(1000));
        ck_assert_uint_gt(n_refused, test_rounds(1000));
        ck_assert_uint_gt(by_wall_clock.n_too_many, test_rounds(100));
}

START_TEST(test_budget_holds_through_restarts_and_clocks) {
        live(true);
}
END_TEST

START_TEST(test_budget_holds_where_boots_are_unknown) {
        live(false);
}
END_TEST

TEST_MAIN("journal-clocks", test_a_copy_is_of_another_machine, test_next_attempts_of_a_set_clock,
          test_issuances_of_another_time, test_load_sanitises, test_budget_holds_through_restarts_and_clocks,
          test_budget_holds_where_boots_are_unknown)
