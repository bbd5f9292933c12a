/* Who may deliver, and who waits. */

#include "daemon/delivery/places.h"

#include "tests/test.h"

#define N_WAITERS 4

struct waiter {
        struct place_waiter waiter;
        char name;
};

static char granted[64];

static void on_granted(struct place_waiter *waiter) {
        const size_t n = strlen(granted);

        ck_assert_uint_lt(n, sizeof(granted) - 1);
        granted[n] = container_of(waiter, struct waiter, waiter)->name;
        granted[n + 1] = '\0';
}

static unsigned take_all(struct places *places, enum place kind) {
        unsigned n = 0;

        while (places_take(places, kind))
                n++;
        return n;
}

START_TEST(what_has_failed_leaves_room) {
        static const struct {
                enum place first, second;
                unsigned n_first, n_second;
        } cases[] = {
                { PLACE_RETRY, PLACE_FIRST, PLACES_RETRIES_MAX, PLACES_MAX - PLACES_RETRIES_MAX },
                { PLACE_FIRST, PLACE_RETRY, PLACES_MAX, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                struct places places = { 0 };

                ck_assert_uint_eq(take_all(&places, cases[i].first), cases[i].n_first);
                ck_assert_uint_eq(take_all(&places, cases[i].second), cases[i].n_second);
                for (unsigned j = 0; j < cases[i].n_first; j++)
                        places_return(&places, cases[i].first);
                for (unsigned j = 0; j < cases[i].n_second; j++)
                        places_return(&places, cases[i].second);
                ck_assert_uint_eq(places.n_used, 0);
                ck_assert_uint_eq(places.n_retries, 0);
        }
}
END_TEST

/* What the waiters a to d do, in this order: "a" waits as a first one, "A" as a retry, "-a" leaves; "."
 * returns a place of a first one, ":" of a retry. Half of the places are held by either when it begins. */
START_TEST(first_ones_go_first_and_in_their_order) {
        static const struct {
                const char *steps, *granted;
        } cases[] = {
                { "abc...", "abc" }, { "Abc...", "bc" }, /* not the last of the retries' */
                { "Ab::", "ba" }, /* their own place was given away, the next was not */
                { "aBc-a..", "c" },  { "ABC:.::", "abc" },    { "a-ab.", "b" },
                { "ab-ba..", "a" }, /* twice in line is once */
                { "abA..", "b" },   /* what changes goes to the end of the other line */
                { "A-AB:", "b" },    { "abcd-d....", "abc" }, { "abc-b-c-ad.", "d" },
                { ".a", "" }, /* who waits although there is room: see places_take() */
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                struct places places = { 0 };
                struct waiter waiters[N_WAITERS] = { 0 };

                granted[0] = '\0';
                for (unsigned j = 0; j < N_WAITERS; j++)
                        waiters[j] =
                                (struct waiter) { .waiter.granted = on_granted, .name = (char)('a' + j) };
                ck_assert_uint_eq(take_all(&places, PLACE_RETRY), PLACES_MAX / 2);
                ck_assert_uint_eq(take_all(&places, PLACE_FIRST), PLACES_MAX / 2);
                for (const char *step = cases[i].steps; *step; step++) {
                        if (*step == '.' || *step == ':')
                                places_return(&places, *step == '.' ? PLACE_FIRST : PLACE_RETRY);
                        else if (*step == '-')
                                places_leave(&places, &waiters[(*++step | 0x20) - 'a'].waiter);
                        else
                                places_wait(&places, &waiters[(*step | 0x20) - 'a'].waiter,
                                            *step >= 'a' ? PLACE_FIRST : PLACE_RETRY);
                }
                ck_assert_msg(streq(granted, cases[i].granted), "%s: %s", cases[i].steps, granted);
        }
}
END_TEST

TEST_MAIN("places", what_has_failed_leaves_room, first_ones_go_first_and_in_their_order)
