/* A text is whole or is not there. */

#include "lib/util/text-stream.h"

#include <sys/resource.h>

#include "tests/test.h"

START_TEST(what_is_written_is_the_text) {
        static const size_t sizes[] = { 0, 1, 255, 256, 257, 4096, 1000000 };

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                char *text;
                size_t size;
                FILE *out = text_stream_open(&text, &size);

                ck_assert_ptr_nonnull(out);
                for (size_t n = 0; n < sizes[i]; n++)
                        fputc((int)('a' + n % 26), out);
                ck_assert_int_eq(fclose(out), 0);
                ck_assert_uint_eq(size, sizes[i]);
                ck_assert_uint_eq(strlen(text), size);
                ck_assert(size == 0 || text[size - 1] == (char)('a' + (size - 1) % 26));
                free(text);
        }
}
END_TEST

START_TEST(bytes_are_kept_as_they_are) {
        char *text;
        size_t size;
        FILE *out = text_stream_open(&text, &size);

        fwrite("a\0b", 1, 3, out);
        fprintf(out, "%s-%d", "c", 4);
        ck_assert_int_eq(fclose(out), 0);
        ck_assert_uint_eq(size, 6);
        ck_assert_mem_eq(text, "a\0bc-4", 7);
        free(text);
}
END_TEST

/* For some bytes there is no room, for those after them there is. */
START_TEST(no_text_has_a_hole) {
        enum { BLOCK = 64 << 20 };
        struct rlimit before, limit = { .rlim_max = RLIM_INFINITY };
        char *text = NULL, *block;
        size_t size;
        FILE *out;

        if (test_is_instrumented()) {
                test_skip("no_text_has_a_hole: %s", test_is_instrumented());
                return;
        }
        block = calloc(1, BLOCK);
        out = text_stream_open(&text, &size);
        fputs("begin ", out);
        ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
        limit = before;
        limit.rlim_cur = BLOCK + (BLOCK >> 1);
        ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
        fwrite(block, 1, BLOCK, out);
        ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
        fputs("end", out);
        ck_assert_int_eq(fclose(out), EOF);
        ck_assert_ptr_null(text);
        free(block);
}
END_TEST

TEST_MAIN("text-stream", what_is_written_is_the_text, bytes_are_kept_as_they_are, no_text_has_a_hole)
