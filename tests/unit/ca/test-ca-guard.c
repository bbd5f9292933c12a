#include "ca/rotation/guard.h"

#include "tests/test.h"

#define NOW     (UINT64_C(1800000000) * USEC_PER_SEC)
#define DAYS(n) ((n)*USEC_PER_DAY)

static const struct {
        const char *what;
        struct guard_facts facts;
        enum guard_answer wanted;
} cases[] = {
        { "nothing is known", { .leaf_lifetime = DAYS(90), .now = NOW }, GUARD_REFUSED },
        { "leaves may live",
          { .last_issued = NOW - DAYS(89), .leaf_lifetime = DAYS(90), .now = NOW },
          GUARD_REFUSED },
        { "to the very second",
          { .last_issued = NOW - DAYS(90), .leaf_lifetime = DAYS(90), .now = NOW },
          GUARD_REFUSED },
        { "all have expired",
          { .last_issued = NOW - DAYS(91), .leaf_lifetime = DAYS(90), .now = NOW },
          GUARD_EXPIRED },
        { "some are left",
          { .is_counted = true, .n_left = 3, .last_issued = NOW, .now = NOW },
          GUARD_REFUSED },
        { "none is left", { .is_counted = true, .last_issued = NOW, .now = NOW }, GUARD_NONE_LEFT },
        { "not counted is not none",
          { .n_left = 0, .last_issued = NOW, .leaf_lifetime = DAYS(1), .now = NOW },
          GUARD_REFUSED },
        { "some are left, and are given up",
          { .is_counted = true,
            .n_left = 3,
            .forced = "a,b,c",
            .last_issued = NOW,
            .leaf_lifetime = DAYS(1),
            .now = NOW },
          GUARD_FORCED },
        { "one of them was not named",
          { .is_counted = true,
            .n_left = 3,
            .forced = "a,b",
            .unnamed = "c",
            .last_issued = NOW,
            .leaf_lifetime = DAYS(1),
            .now = NOW },
          GUARD_REFUSED },
        { "no name at all is no force",
          { .is_counted = true,
            .n_left = 3,
            .forced = "",
            .last_issued = NOW,
            .leaf_lifetime = DAYS(1),
            .now = NOW },
          GUARD_REFUSED },
        { "the same key",
          { .is_carried = true, .is_counted = true, .n_left = 3, .now = NOW },
          GUARD_CARRIED },
        { "rejected as it is", { .is_rejected = true, .now = NOW }, GUARD_REJECTED },
};

START_TEST(each_case) {
        ck_assert_msg(guard_find(&cases[_i].facts) == cases[_i].wanted, "%s", cases[_i].what);
}
END_TEST

START_TEST(names_are_whole) {
        ck_assert(guard_has_name("orders,stock", "orders"));
        ck_assert(guard_has_name("orders,stock", "stock"));
        ck_assert(!guard_has_name("orders,stock", "ord"));
        ck_assert(!guard_has_name("orders,stock", "orders,stock"));
        ck_assert(!guard_has_name("", "orders"));
        ck_assert(!guard_has_name(NULL, "orders"));
}
END_TEST

START_TEST(each_answer_has_a_text) {
        for (enum guard_answer answer = 0; answer < GUARD_MAX; answer++)
                ck_assert_ptr_nonnull(guard_texts[answer]);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("ca-guard");
        TCase *tcase = tcase_create("cases");

        tcase_add_loop_test(tcase, each_case, 0, ELEMENTSOF(cases));
        suite_add_tcase(suite, tcase);
        TEST_CASE(suite, names_are_whole);
        TEST_CASE(suite, each_answer_has_a_text);
        return test_run(suite);
}
