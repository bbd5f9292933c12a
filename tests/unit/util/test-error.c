/* The error object: texts gather from cause to consequence, and NULL is welcome everywhere. */

#include "lib/util/error.h"

#include "tests/test.h"

START_TEST(null_is_accepted) {
        struct error from = ERROR_INIT;

        ck_assert_int_eq(error_set(NULL, -EIO, "%s", "x"), -EIO);
        ck_assert_int_eq(error_set_errno(NULL, -EIO, "%s", "x"), -EIO);
        (void)error_prefix(NULL, "%s", "x");
        ck_assert_str_eq(error_text(NULL), "no error");
        error_clear(NULL);

        error_set(&from, -ENOENT, "gone");
        ck_assert_int_eq(error_move(NULL, &from), -ENOENT);
        ck_assert_int_eq(from.code, 0);
        ck_assert_ptr_null(from.text);
}
END_TEST

START_TEST(text_always_there) {
        struct error error = ERROR_INIT;

        ck_assert_str_eq(error_text(&error), "no error");
        error.code = -ENOSPC; /* as when there was no memory for the text */
        ck_assert_str_eq(error_text(&error), "No space left on device");
        error.code = -99999;
        ck_assert_str_eq(error_text(&error), "unknown error");
        error_set_errno(&error, -99999, "cannot fly");
        ck_assert_str_eq(error_text(&error), "cannot fly: unknown error");
        error_set_errno(&error, -ENXIO, "cannot read fifo");
        ck_assert_str_eq(error_text(&error), "cannot read fifo: it is not a regular file");
        error_clear(&error);
}
END_TEST

START_TEST(gathers_context) {
        struct error error = ERROR_INIT;

        ck_assert_int_eq(error_set_errno(&error, -ENOSPC, "write %s", "tls.key"), -ENOSPC);
        ck_assert_int_eq(error_prefix(&error, "cannot store generation %d", 7), -ENOSPC);
        ck_assert_str_eq(error_text(&error),
                         "cannot store generation 7: write tls.key: No space left on device");

        /* A prefix on a code without text. */
        error_clear(&error);
        error.code = -EPERM;
        ck_assert_int_eq(error_prefix(&error, "no"), -EPERM);
        ck_assert_str_eq(error_text(&error), "no: Operation not permitted");
        error_clear(&error);
        ck_assert_int_eq(error.code, 0);
}
END_TEST

START_TEST(replaces) {
        struct error error = ERROR_INIT;

        error_set(&error, -EIO, "first");
        /* The text may be made of the one it replaces. */
        ck_assert_int_eq(error_set(&error, -EBADMSG, "second after %s", error_text(&error)), -EBADMSG);
        ck_assert_str_eq(error_text(&error), "second after first");
        ck_assert_int_eq(error.code, -EBADMSG);
        error_clear(&error);
}
END_TEST

START_TEST(moves) {
        struct error to = ERROR_INIT, from = ERROR_INIT;

        error_set(&to, -EIO, "old");
        error_set(&from, -ENOENT, "new");
        ck_assert_int_eq(error_move(&to, &from), -ENOENT);
        ck_assert_str_eq(error_text(&to), "new");
        ck_assert_int_eq(from.code, 0);
        ck_assert_ptr_null(from.text);

        ck_assert_int_eq(error_move(&to, &to), -ENOENT);
        ck_assert_str_eq(error_text(&to), "new");
        error_clear(&to);
}
END_TEST

TEST_MAIN("error", null_is_accepted, text_always_there, gathers_context, replaces, moves)
