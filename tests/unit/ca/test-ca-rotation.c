/*
 * The engine upon files: each reason from beginning to end, what it refuses, and each write struck by every
 * mishap there is: a kill before it and after it, its answer lost, another writer just before it.
 */

#include <stdio.h>
#include <unistd.h>

#include "tests/support/scratch.h"
#include "tests/test.h"
#include "tests/unit/ca/rotations.h"

static void plan(struct world *world, enum reason reason) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        ck_assert_msg(world_plan(world, reason, &error) == 0, "%s", error_text(&error));
}

static void apply(struct world *world, enum phase until) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        ck_assert_msg(world_apply(world, until, &error) == 0, "%s", error_text(&error));
}

static void assert_phase(struct world *world, enum phase phase) {
        _cleanup_(rotation_freep) struct rotation *rotation = NULL;

        ck_assert_int_eq(world_open(world, &rotation, NULL), 0);
        ck_assert_str_eq(phase_names[rotation_record(rotation)->phase], phase_names[phase]);
}

static void assert_fails(int r, const struct error *error, int code, const char *expected) {
        ck_assert_int_eq(r, code);
        ck_assert_msg(strstr(error_text(error), expected), "'%s' instead of '%s'", error_text(error),
                      expected);
}

static void assert_sound(const struct world *world, enum reason reason, bool is_retired) {
        const char *fault = world_find_fault(world, reason, is_retired);

        ck_assert_msg(!fault, "%s: %s", reason_rows[reason].name, fault);
}

static void assert_no_key(const struct world *world) {
        _cleanup_(freep) char *name = world_find_key(world);

        ck_assert_msg(!name, "a key is in %s", name);
}

/* --- From beginning to end --- */

START_TEST(each_reason_ends) {
        _cleanup_(world_end) struct world world;
        _cleanup_(freep) char *before = NULL, *after = NULL, *names = NULL;

        world_begin(&world);
        before = world_read(&world, "ca.key");
        plan(&world, (enum reason)_i);
        for (enum phase phase = PHASE_STAGED; phase <= PHASE_RETIRED; phase++) {
                apply(&world, phase);
                assert_phase(&world, phase);
                assert_sound(&world, (enum reason)_i, phase == PHASE_RETIRED);
        }
        after = world_read(&world, "ca.key");
        ck_assert_int_eq(!streq(before, after), reason_rows[_i].has_new_key);
        assert_no_key(&world);
        names = scratch_list(world.directory);
        ck_assert_str_eq(names, "ca.crt ca.key state.json trust-0.pem trust-1.pem");
        ck_assert_uint_eq(world.n_guarded, 1);
        apply(&world, PHASE_RETIRED);
        free_secret(take_ptr(before));
        free_secret(take_ptr(after));
}
END_TEST

START_TEST(what_was_before_comes_back) {
        for (enum phase phase = PHASE_STAGED; phase <= PHASE_RENEWING; phase += test_step(3)) {
                _cleanup_(world_end) struct world world;
                _cleanup_(freep) char *before[4] = { 0 };
                static const char *const names[] = { "ca.key", "ca.crt", "trust-0.pem", "trust-1.pem" };

                world_begin(&world);
                for (size_t i = 0; i < ELEMENTSOF(names); i++)
                        before[i] = world_read(&world, names[i]);
                plan(&world, (enum reason)_i);
                apply(&world, phase);
                ck_assert_int_eq(world_rollback(&world, NULL), 0);
                assert_phase(&world, PHASE_ROLLED_BACK);
                for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                        _cleanup_(freep) char *now = world_read(&world, names[i]);

                        ck_assert_str_eq(now, before[i]);
                        free(before[i]);
                }
                before[0] = NULL;
                assert_no_key(&world);
                ck_assert_int_eq(world_rollback(&world, NULL), 0);
        }
}
END_TEST

/* --- Refusals --- */

START_TEST(what_cannot_be_done_now_is_refused) {
        _cleanup_(world_end) struct world world;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(rotation_freep) struct rotation *rotation = NULL;

        world_begin(&world);
        assert_fails(world_apply(&world, PHASE_STAGED, &error), &error, -EPERM, "there is no rotation");
        assert_fails(world_rollback(&world, &error), &error, -EPERM, "there is no rotation");
        plan(&world, REASON_EXPIRING);
        plan(&world, REASON_NEW_KEY);
        assert_fails(world_rollback(&world, &error), &error, -EPERM, "use rekeyca abort");
        apply(&world, PHASE_TRUSTED);
        assert_fails(world_plan(&world, REASON_EXPIRING, &error), &error, -EPERM, "rekeyca rollback");
        ck_assert_int_eq(world_open(&world, &rotation, NULL), 0);
        assert_fails(rotation_abort(rotation, &error), &error, -EPERM, "use rekeyca rollback");
        apply(&world, PHASE_RETIRED);
        rotation = rotation_free(rotation);
        ck_assert_int_eq(world_open(&world, &rotation, NULL), 0);
        assert_fails(rotation_abort(rotation, &error), &error, -EPERM, "it has ended");
        assert_fails(world_rollback(&world, &error), &error, -EPERM, "the old key was erased");
        plan(&world, REASON_EXPIRING);
}
END_TEST

START_TEST(what_has_not_written_is_given_up) {
        _cleanup_(world_end) struct world world;
        _cleanup_(rotation_freep) struct rotation *rotation = NULL;

        world_begin(&world);
        plan(&world, REASON_NEW_KEY);
        apply(&world, PHASE_STAGED);
        ck_assert_int_eq(world_open(&world, &rotation, NULL), 0);
        ck_assert_int_eq(rotation_abort(rotation, NULL), 0);
        assert_no_key(&world);
        assert_phase(&world, PHASE_ROLLED_BACK);
        plan(&world, REASON_NEW_KEY);
}
END_TEST

/* No leaf of a CA is lost that has never signed. */
START_TEST(a_rollback_before_the_signing_needs_no_guard) {
        for (enum reason reason = 0; reason < REASON_MAX; reason++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                _cleanup_(world_end) struct world world;

                world_begin(&world);
                world.guard_result = -EPERM;
                plan(&world, reason);
                apply(&world, PHASE_TRUSTED);
                ck_assert_int_eq(world_rollback(&world, NULL), 0);
                ck_assert_uint_eq(world.n_guarded, 0);
                plan(&world, reason);
                apply(&world, PHASE_SIGNING);
                ck_assert_int_eq(world_rollback(&world, &error), -EPERM);
                ck_assert_uint_eq(world.n_guarded, 1);
        }
}
END_TEST

START_TEST(a_guard_stops_before_the_write) {
        _cleanup_(world_end) struct world world;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        unsigned n_writes;

        world_begin(&world);
        plan(&world, REASON_NEW_KEY);
        apply(&world, PHASE_RENEWING);
        world.guard_result = -EPERM;
        n_writes = world.n_writes;
        assert_fails(world_apply(&world, PHASE_RETIRED, &error), &error, -EPERM, "leaves would be lost");
        assert_fails(world_rollback(&world, &error), &error, -EPERM, "leaves would be lost");
        ck_assert_uint_eq(world.n_writes, n_writes);
        assert_phase(&world, PHASE_RENEWING);
        assert_sound(&world, REASON_NEW_KEY, false);
}
END_TEST

START_TEST(what_is_not_verified_is_not_reached) {
        _cleanup_(world_end) struct world world;
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        world_begin(&world);
        plan(&world, REASON_EXPIRING);
        apply(&world, PHASE_STAGED);
        world.verify_result = -EAGAIN;
        assert_fails(world_apply(&world, PHASE_RENEWING, &error), &error, -EAGAIN, "not yet");
        assert_phase(&world, PHASE_STAGED);
        world.verify_result = 0;
        apply(&world, PHASE_RENEWING);
}
END_TEST

/* A program that writes its own CA over a merged bundle, as compass-runtime-agent does. */
START_TEST(a_bundle_that_is_set_back_stops_the_signing) {
        _cleanup_(world_end) struct world world;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *before = NULL, *signer = NULL, *after = NULL;

        world_begin(&world);
        before = world_read(&world, "trust-0.pem");
        signer = world_read(&world, "ca.crt");
        plan(&world, REASON_NEW_KEY);
        apply(&world, PHASE_TRUSTED);
        scratch_write(world.directory, "trust-0.pem", before, 0644);
        assert_fails(world_apply(&world, PHASE_SIGNING, &error), &error, -ESTALE,
                     "was set back by another writer");
        after = world_read(&world, "ca.crt");
        ck_assert_str_eq(after, signer);
}
END_TEST

START_TEST(another_ca_that_leaves_the_certificate_alone_is_refused) {
        _cleanup_(world_end) struct world world;
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        world_begin(&world);
        scratch_write(world.directory, "ca.crt", world.other.pem, 0644);
        plan(&world, REASON_EXPIRING);
        ck_assert_int_lt(world_apply(&world, PHASE_STAGED, &error), 0);
        assert_phase(&world, PHASE_PLANNED);
}
END_TEST

/* --- Mishaps --- */

struct tally {
        unsigned n_kills, n_lost, n_strangers, n_failures, n_violations;
};

typedef int (*run_fn)(struct world *world, struct error *error);

static int run_forward(struct world *world, struct error *error) {
        return world_apply(world, PHASE_RETIRED, error);
}

static void violation(struct tally *tally, enum reason reason, const struct world *world, const char *what) {
        tally->n_violations++;
        test_report("%s, mishap %d at write %u: %s", reason_rows[reason].name, (int)world->mishap,
                    world->mishap_at, what);
}

static void judge(struct tally *tally, enum reason reason, const struct world *world, bool is_retired) {
        const char *fault = world_find_fault(world, reason, is_retired);

        if (fault)
                violation(tally, reason, world, fault);
}

/* What a stranger wrote is there still, and a sentence names the place. */
static void judge_stranger(struct tally *tally, enum reason reason, struct world *world, int r,
                           const struct error *error) {
        static const char *const names[] = { "ca.crt", "trust-0.pem", "trust-1.pem", "state.json" };
        _cleanup_(freep) char *now = world_read(world, names[world->stranger_at]);

        if (r != -ESTALE)
                violation(tally, reason, world, error_text(error));
        if (!now || !strstr(now, strstr(world->stranger.pem, "MII")))
                violation(tally, reason, world, "what another writer wrote is lost");
        world_restore(world);
}

/* One mishap at the write N of RUN, counted from here; then the same again. False where RUN has no such
 * write. */
static bool strike_one(struct tally *tally, struct world *world, enum reason reason, run_fn run, unsigned n,
                       enum mishap mishap) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int r;

        world->mishap = mishap;
        world->mishap_at = world->n_writes + n;
        world->n_struck = 0;
        r = run(world, &error);
        if (world->n_struck == 0) {
                ck_assert_msg(r == 0, "%s", error_text(&error));
                return false;
        }
        if (mishap == MISHAP_STRANGER)
                judge_stranger(tally, reason, world, r, &error);
        else if (mishap == MISHAP_LOST ? r != 0 : r == 0)
                violation(tally, reason, world, error_text(&error));
        if (run == run_forward)
                judge(tally, reason, world, true);
        error_clear(&error);
        r = run(world, &error);
        if (r < 0)
                violation(tally, reason, world, error_text(&error));
        return true;
}

static void count(struct tally *tally, enum mishap mishap) {
        tally->n_kills += mishap == MISHAP_KILL_BEFORE || mishap == MISHAP_KILL_AFTER;
        tally->n_lost += mishap == MISHAP_LOST;
        tally->n_strangers += mishap == MISHAP_STRANGER;
        tally->n_failures += mishap == MISHAP_FAIL;
}

static void judge_end(struct tally *tally, enum reason reason, struct world *world, enum phase end) {
        _cleanup_(rotation_freep) struct rotation *rotation = NULL;
        _cleanup_(freep) char *key = world_find_key(world);

        if (key)
                violation(tally, reason, world, "a key is left outside the signer");
        if (world_open(world, &rotation, NULL) < 0 || rotation_record(rotation)->phase != end)
                violation(tally, reason, world, "the second run does not end where it should");
        judge(tally, reason, world, end == PHASE_RETIRED);
}

/* RUN, begun in a new world that was brought to FROM, with MISHAP at each of its writes. */
static void strike_all(struct tally *tally, enum reason reason, enum phase from, run_fn run, enum phase end,
                       enum mishap mishap) {
        const unsigned stride = test_rounds(8) < 8 ? 8 : 1;
        bool was_struck = true;

        for (unsigned n = 0; was_struck; n += stride) {
                _cleanup_(world_end) struct world world;

                world_begin(&world);
                plan(&world, reason);
                apply(&world, from);
                was_struck = strike_one(tally, &world, reason, run, n, mishap);
                if (was_struck) {
                        count(tally, mishap);
                        judge_end(tally, reason, &world, end);
                }
        }
}

START_TEST(no_mishap_leaves_it_half) {
        struct tally tally = { 0 };

        for (enum reason reason = 0; reason < REASON_MAX; reason++)
                for (enum mishap mishap = MISHAP_KILL_BEFORE; mishap <= MISHAP_FAIL; mishap++) {
                        if (((unsigned)reason + mishap) % test_step(3) != 0)
                                continue;
                        strike_all(&tally, reason, PHASE_PLANNED, run_forward, PHASE_RETIRED, mishap);
                        strike_all(&tally, reason, PHASE_TRUSTED, world_rollback, PHASE_ROLLED_BACK, mishap);
                        strike_all(&tally, reason, PHASE_RENEWING, world_rollback, PHASE_ROLLED_BACK, mishap);
                }
        test_report("rekeyca: %u kill points, %u lost answers, %u strangers, %u violations", tally.n_kills,
                    tally.n_lost, tally.n_strangers, tally.n_violations);
        test_report("rekeyca: %u writes that failed", tally.n_failures);
        ck_assert_uint_eq(tally.n_violations, 0);
        ck_assert_uint_gt(tally.n_kills, test_rounds(100) / test_step(3));
        ck_assert_uint_gt(tally.n_lost, test_rounds(50) / test_step(3));
        ck_assert_uint_gt(tally.n_strangers, test_rounds(50) / test_step(3));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("ca-rotation");
        TCase *tcase = tcase_create("reasons");

        if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0)
                setenv("TMPDIR", "/dev/shm", 1); /* no power is cut here */
        x509_key(4);
        tcase_set_timeout(tcase, 0);
        tcase_add_loop_test(tcase, each_reason_ends, 0, REASON_MAX);
        tcase_add_loop_test(tcase, what_was_before_comes_back, 0, REASON_MAX);
        suite_add_tcase(suite, tcase);
        TEST_CASE(suite, what_cannot_be_done_now_is_refused);
        TEST_CASE(suite, what_has_not_written_is_given_up);
        TEST_CASE(suite, a_rollback_before_the_signing_needs_no_guard);
        TEST_CASE(suite, a_guard_stops_before_the_write);
        TEST_CASE(suite, what_is_not_verified_is_not_reached);
        TEST_CASE(suite, a_bundle_that_is_set_back_stops_the_signing);
        TEST_CASE(suite, another_ca_that_leaves_the_certificate_alone_is_refused);
        TEST_CASE(suite, no_mishap_leaves_it_half);
        return test_run(suite);
}
