/* Who generates keys ahead, with which priority, and who may take one from it: the real thread, and keys that
 * are ready when the test says so. */

#include "daemon/certificate/key-maker.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/process.h"
#include "tests/support/x509.h"
#include "tests/test.h"

/* --- A generator that waits for the test --- */

static sem_t begun, may_end;
static atomic_uint n_under_way, n_at_most, n_generated, n_given_up;
static atomic_int policy, niceness;
static atomic_bool fails;

int __wrap_key_generate(unsigned bits, const atomic_bool *cancel, struct key **ret, struct error *error);
int __wrap_key_generate(_unused_ unsigned bits, const atomic_bool *cancel, struct key **ret,
                        struct error *error) {
        _cleanup_(freep) char *pem = x509_key_pem(x509_key(1));
        const struct timespec moment = { .tv_nsec = 1000000 };

        if (++n_under_way > n_at_most)
                n_at_most = (unsigned)n_under_way;
        policy = sched_getscheduler(0);
        niceness = getpriority(PRIO_PROCESS, 0);
        sem_post(&begun);
        while (sem_trywait(&may_end) < 0) {
                if (atomic_load(cancel)) {
                        n_given_up++;
                        n_under_way--;
                        return -ECANCELED;
                }
                nanosleep(&moment, NULL);
        }
        n_generated++;
        n_under_way--;
        return fails ? -EIO : key_parse(pem, strlen(pem), ret, error);
}

/* --- What the system permits --- */

static atomic_bool idle_is_refused, hurry_is_refused;

static sem_t hurried;

/* Whether a test's user may raise a priority is not what this tests. */
int sched_setscheduler(pid_t pid, int wanted, const struct sched_param *param) {
        const bool is_hurried = pid != 0;

        if (is_hurried ? hurry_is_refused : idle_is_refused) {
                errno = EPERM;
                return -1;
        }
        if (!is_hurried)
                return (int)syscall(SYS_sched_setscheduler, pid, wanted, param);
        (void)syscall(SYS_sched_setscheduler, pid, wanted, param);
        sem_post(&hurried);
        return 0;
}

/* --- The maker --- */

static sd_event *event;
static struct key_maker *maker;
static unsigned n_done;

static void set_up(void) {
        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(key_maker_new(event, &maker), 0);
        sem_init(&begun, 0, 0);
        sem_init(&may_end, 0, 0);
        sem_init(&hurried, 0, 0);
        n_under_way = n_at_most = n_generated = n_given_up = n_done = 0;
        fails = idle_is_refused = hurry_is_refused = false;
}

static void tear_down(void) {
        maker = key_maker_free(maker);
        event = sd_event_unref(event);
}

static void on_done(void *userdata) {
        n_done++;
        if (userdata)
                *(bool *)userdata = true;
}

static void await_done(unsigned n) {
        while (n_done < n)
                ck_assert_int_gt(sd_event_run(event, patience_usec()), 0);
}

static struct key_order *order(void) {
        struct key_order *new = key_order_new(maker, 2048, on_done, NULL);

        ck_assert_ptr_nonnull(new);
        return new;
}

/* By a worker, of whom there is one at a time. */
struct taker {
        struct key_order *order;
        unsigned bits;
        bool has_key;
        pthread_t thread;
};

static void *take(void *userdata) {
        _cleanup_(key_freep) struct key *key = NULL;
        struct taker *taker = userdata;

        taker->has_key = key_order_take(taker->order, taker->bits, &key);
        ck_assert(taker->has_key == (key != NULL));
        return NULL;
}

static void begin_to_take(struct taker *taker) {
        ck_assert_int_eq(pthread_create(&taker->thread, NULL, take, taker), 0);
}

static bool end_to_take(struct taker *taker) {
        ck_assert_int_eq(pthread_join(taker->thread, NULL), 0);
        return taker->has_key;
}

static bool is_taken(struct key_order *wanted, unsigned bits) {
        struct taker taker = { .order = wanted, .bits = bits };

        begin_to_take(&taker);
        return end_to_take(&taker);
}

START_TEST(one_at_a_time_when_nobody_else_wants_to) {
        struct key_order *orders[5];

        for (size_t i = 0; i < ELEMENTSOF(orders); i++) {
                orders[i] = order();
                sem_post(&may_end);
        }
        await_done(ELEMENTSOF(orders));
        ck_assert_uint_eq(n_at_most, 1);
        ck_assert_int_eq(policy, SCHED_IDLE);
        for (size_t i = 0; i < ELEMENTSOF(orders); i++) {
                ck_assert(is_taken(orders[i], 2048));
                ck_assert(!is_taken(orders[i], 2048));
                key_order_cancel(orders[i]);
        }
}
END_TEST

START_TEST(what_is_needed_gets_the_priority_of_others) {
        struct key_order *first = order(), *second = order();
        struct taker taker = { .order = first, .bits = 2048 };

        sem_wait(&begun);
        ck_assert_int_eq(policy, SCHED_IDLE);
        begin_to_take(&taker);
        sem_wait(&hurried);
        sem_post(&may_end);
        ck_assert(end_to_take(&taker));
        sem_wait(&begun);
        ck_assert_int_eq(policy, SCHED_IDLE); /* and the next one is in no hurry */
        sem_post(&may_end);
        await_done(2);
        key_order_cancel(first);
        key_order_cancel(second);
}
END_TEST

/* One that may have to wait for ever is waited for by nobody. */
START_TEST(where_no_priority_is_given_it_is_given_up) {
        struct key_order *running = order();

        hurry_is_refused = true;
        sem_wait(&begun);
        ck_assert(!is_taken(running, 2048));
        await_done(1);
        ck_assert_uint_eq(n_given_up, 1);
        ck_assert(!is_taken(running, 2048));
        key_order_cancel(running);
}
END_TEST

START_TEST(without_an_idle_class_it_is_very_nice) {
        struct key_order *nice;

        idle_is_refused = true;
        nice = order();
        sem_wait(&begun);
        ck_assert_int_eq(niceness, 19);
        sem_post(&may_end);
        await_done(1);
        ck_assert(is_taken(nice, 2048));
        key_order_cancel(nice);
}
END_TEST

START_TEST(what_has_not_begun_or_is_too_small_is_no_help) {
        struct key_order *running = order(), *waiting = order();

        sem_wait(&begun);
        ck_assert(!is_taken(waiting, 2048));
        ck_assert(!is_taken(running, 3072));
        await_done(2);
        ck_assert_uint_eq(n_generated, 0);
        ck_assert_uint_eq(n_given_up, 1);
        key_order_cancel(running);
        key_order_cancel(waiting);
}
END_TEST

START_TEST(a_key_that_fails_is_none) {
        struct key_order *failing = order();

        fails = true;
        sem_post(&may_end);
        await_done(1);
        ck_assert(!is_taken(failing, 2048));
        key_order_cancel(failing);
}
END_TEST

/* A user of an order outlives the one who has ordered it, and the maker. */
START_TEST(nothing_is_done_for_who_has_gone) {
        struct key_order *running = order(), *waiting = order(), *last = order(),
                         *kept = key_order_ref(running);

        sem_wait(&begun);
        key_order_cancel(running);
        key_order_cancel(waiting);
        sem_post(&may_end);
        sem_post(&may_end);
        await_done(1);
        ck_assert_uint_eq(n_done, 1);
        ck_assert(is_taken(last, 2048));
        key_order_cancel(last);
        key_order_cancel(order());
        key_maker_stop(maker);
        ck_assert_uint_eq(n_done, 1);
        ck_assert(!is_taken(kept, 2048));
        key_order_unref(kept);
}
END_TEST

START_TEST(stopping_waits_for_no_key) {
        struct key_order *running = order(), *waiting = order();
        struct taker taker = { .order = running, .bits = 2048 };

        sem_wait(&begun);
        begin_to_take(&taker);
        key_maker_stop(maker);
        ck_assert(!end_to_take(&taker));
        ck_assert_uint_eq(n_generated, 0);
        ck_assert_uint_eq(n_done, 0);
        key_order_cancel(running);
        key_order_cancel(waiting);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("key-maker");

        x509_key(1);
        TEST_CASE_IN(suite, one_at_a_time_when_nobody_else_wants_to, set_up, tear_down);
        TEST_CASE_IN(suite, what_is_needed_gets_the_priority_of_others, set_up, tear_down);
        TEST_CASE_IN(suite, where_no_priority_is_given_it_is_given_up, set_up, tear_down);
        TEST_CASE_IN(suite, without_an_idle_class_it_is_very_nice, set_up, tear_down);
        TEST_CASE_IN(suite, what_has_not_begun_or_is_too_small_is_no_help, set_up, tear_down);
        TEST_CASE_IN(suite, a_key_that_fails_is_none, set_up, tear_down);
        TEST_CASE_IN(suite, nothing_is_done_for_who_has_gone, set_up, tear_down);
        TEST_CASE_IN(suite, stopping_waits_for_no_key, set_up, tear_down);
        return test_run(suite);
}
