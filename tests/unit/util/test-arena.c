/* Memory that is freed all at once: what it gives is zeroed, aligned, apart from each other, and counted. */

#include "lib/util/arena.h"

#include <stdalign.h>
#include <stdint.h>

#include "tests/test.h"

START_TEST(refuses_what_does_not_fit) {
        struct arena arena = { 0 };

        ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX - 8));
        ck_assert_ptr_null(arena_alloc_array(&arena, SIZE_MAX / 2, 3));
        ck_assert_uint_eq(arena.size, 0);
        arena_clear(&arena);
        arena_clear(&arena);
}
END_TEST

START_TEST(pieces_are_zeroed_aligned_and_apart) {
        struct arena arena = { 0 };
        unsigned char *pieces[2000];

        for (size_t i = 0; i < ELEMENTSOF(pieces); i++) {
                size_t size = i % 97 == 0 ? 70000 : i % 61 + 1;

                pieces[i] = arena_alloc(&arena, size);
                ck_assert_ptr_nonnull(pieces[i]);
                ck_assert_uint_eq((uintptr_t)pieces[i] % alignof(max_align_t), 0);
                ck_assert(pieces[i][0] == 0 && memcmp(pieces[i], pieces[i] + 1, size - 1) == 0);
                memset(pieces[i], (int)(i % 251) + 1, size);
        }
        for (size_t i = 0; i < ELEMENTSOF(pieces); i++)
                ck_assert_uint_eq(pieces[i][i % 97 == 0 ? 69999 : i % 61], i % 251 + 1);
        ck_assert_uint_ge(arena.size, (ELEMENTSOF(pieces) / 97) * 70000);
        arena_clear(&arena);
        ck_assert_uint_eq(arena.size, 0);
}
END_TEST

START_TEST(copies_end_with_a_nul) {
        struct arena arena = { 0 };
        char *copy = arena_strndup(&arena, "orders, and more", 6);

        ck_assert_str_eq(copy, "orders");
        copy = arena_strndup(&arena, "", 0);
        ck_assert_str_eq(copy, "");
        arena_clear(&arena);
}
END_TEST

TEST_MAIN("arena", refuses_what_does_not_fit, pieces_are_zeroed_aligned_and_apart, copies_end_with_a_nul)
