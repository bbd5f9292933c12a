/* Causes: each has a name and a mend, and errno leads to those of the files. */

#include "lib/life/cause.h"

#include "tests/test.h"

START_TEST(each_has_a_name_and_a_mend) {
        for (enum cause cause = CAUSE_NONE; cause < CAUSE_MAX; cause++) {
                ck_assert_ptr_nonnull(cause_names[cause]);
                ck_assert_int_eq(cause_by_name(cause_names[cause]), cause);
                for (enum cause other = CAUSE_NONE; other < cause; other++)
                        ck_assert_str_ne(cause_names[cause], cause_names[other]);
                ck_assert_int_eq(cause_mend(cause)->text == NULL, cause == CAUSE_NONE);
        }
        ck_assert_ptr_null(cause_mend(CAUSE_NONE)->command);
        ck_assert_int_eq(cause_by_name(NULL), CAUSE_NONE);
        ck_assert_int_eq(cause_by_name("a cause of the future"), CAUSE_NONE);
}
END_TEST

START_TEST(errno_leads_to_the_files) {
        static const struct {
                int code;
                enum cause cause;
        } rows[] = {
                { 0, CAUSE_NONE },
                { -EIO, CAUSE_NONE },
                { -ENOENT, CAUSE_NONE },
                { -ENOSPC, CAUSE_DISK_FULL },
                { -EDQUOT, CAUSE_DISK_FULL },
                { -EROFS, CAUSE_READ_ONLY },
                { -EACCES, CAUSE_RIGHTS },
                { -EPERM, CAUSE_RIGHTS },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                ck_assert_int_eq(cause_of_errno(rows[i].code), rows[i].cause);
}
END_TEST

/* What is not there yet cannot be in it. */
START_TEST(a_read_only_place_names_the_drop_in) {
        _cleanup_(error_clear) struct error error = ERROR_INIT, full = ERROR_INIT;

        error_set_errno(&error, -EROFS, "cannot create directory /srv/orders");
        ck_assert_int_eq(cause_explain("/proc/self/a/b", (uid_t)-1, (gid_t)-1, &error), CAUSE_READ_ONLY);
        ck_assert_int_eq(error.code, -EROFS);
        ck_assert_str_eq(error_text(&error),
                         "cannot create directory /srv/orders: Read-only file system; the service may write "
                         "only to ReadWritePaths= of its unit; fix: systemctl edit rekeyd, with "
                         "ReadWritePaths=/proc/self under [Service], then systemctl restart rekeyd");

        error_set_errno(&full, -ENOSPC, "cannot write");
        ck_assert_int_eq(cause_explain("/srv/orders", (uid_t)-1, (gid_t)-1, &full), CAUSE_DISK_FULL);
        ck_assert_str_eq(error_text(&full), "cannot write: No space left on device");
}
END_TEST

TEST_MAIN("cause", each_has_a_name_and_a_mend, errno_leads_to_the_files, a_read_only_place_names_the_drop_in)
