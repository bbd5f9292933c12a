/* Exports: where they are written, for whose eyes, and what is left when that fails. */

#include "tests/unit/export/export-place.h"

/* --- Where it may be written --- */

START_TEST(refuses_directories) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *directory = scratch_path(scratch, "d"),
                              *path = scratch_path(directory, "x.pem");
        struct export export = pem_to(path);

        assert_refused(&export, &m.set, -ENOENT, "there is no directory");
        scratch_write(scratch, "d", "a file", 0644);
        assert_refused(&export, &m.set, -ENOTDIR, "Not a directory");
        ck_assert_int_eq(unlink(directory), 0);
        ck_assert_int_eq(mkdir(directory, 0700), 0);
        ck_assert_int_eq(chmod(directory, 0757), 0);
        assert_refused(&export, &m.set, -EPERM, "mode 0757");
        ck_assert_int_eq(chmod(directory, 01777), 0);
        assert_refused(&export, &m.set, -EPERM, "chmod go-w, or use a subdirectory");
        assert_list(directory, "");

        ck_assert_int_eq(chmod(directory, 0755), 0);
        assert_written(&export, &m.set);
        ck_assert_int_eq(chmod(directory, 0757), 0);
        ck_assert_msg(!export_is_current(&export, &m.set), "what may have been replaced is not current");
}
END_TEST

/* That of the export, which gets the key in any case, and this process's own; the rights stay as they are. */
START_TEST(only_groups_that_are_no_strangers_may_write_to_the_directory) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *directory = scratch_path(scratch, "d"),
                              *path = scratch_path(directory, "x.pem");
        struct export export = pem_to(path);
        struct stat st;

        ck_assert_int_eq(mkdir(directory, 0700), 0);
        ck_assert_int_eq(chown(directory, (uid_t)-1, 4711), 0);
        ck_assert_int_eq(chmod(directory, 02775), 0);
        assert_refused(&export, &m.set, -EPERM, "mode 2775");
        export.access.gid = 4711;
        assert_written(&export, &m.set);
        ck_assert_int_eq(stat(directory, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777u, 02775);

        export.access.gid = (gid_t)-1;
        ck_assert_int_eq(chown(directory, (uid_t)-1, getegid()), 0);
        ck_assert_int_eq(chmod(directory, 0775), 0);
        assert_written(&export, &m.set);
        ck_assert_int_eq(chmod(directory, 0777), 0);
        assert_refused(&export, &m.set, -EPERM, "mode 0777");
}
END_TEST

START_TEST(refuses_directories_of_others_than_the_owner) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *path = scratch_path(scratch, "x.pem");
        struct export export = pem_to(path);

        ck_assert_int_eq(chown(scratch, 1, 1), 0);
        assert_refused(&export, &m.set, -EPERM, "is owned by user 1");
        export.access.uid = 2;
        assert_refused(&export, &m.set, -EPERM, "is owned by user 1");
        assert_list(scratch, "");
        export.access.uid = 1;
        assert_checks(&export);
        assert_written(&export, &m.set);
}
END_TEST

START_TEST(refuses_what_is_no_file) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *path = scratch_path(scratch, "x.pem");
        struct export export = pem_to(path);

        for (unsigned in_place = 0; in_place < 2; in_place++) {
                export.in_place = in_place;

                scratch_write(scratch, "other", "not ours", 0600);
                ck_assert_int_eq(symlink("other", path), 0);
                assert_refused(&export, &m.set, -ELOOP, "it is a symbolic link to other");
                assert_file(scratch, "other", "not ours");
                ck_assert_int_eq(unlink(path), 0);
                ck_assert_int_eq(symlink("nowhere", path), 0);
                assert_refused(&export, &m.set, -ELOOP, "it is a symbolic link to nowhere");
                assert_list(scratch, "other x.pem");
                ck_assert_int_eq(unlink(path), 0);

                ck_assert_int_eq(mkdir(path, 0755), 0);
                assert_refused(&export, &m.set, -EINVAL, "is a directory instead of a file");
                ck_assert_int_eq(rmdir(path), 0);
                ck_assert_int_eq(mkfifo(path, 0600), 0);
                assert_refused(&export, &m.set, -EINVAL, "a device, a pipe or a socket instead of a file");
                ck_assert_int_eq(unlink(path), 0);
        }
}
END_TEST

START_TEST(a_path_may_lead_through_links) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *real = scratch_path(scratch, "real"), *link = scratch_path(scratch, "link"),
                              *path = scratch_path(link, "x.pem");
        struct export export = pem_to(path);

        ck_assert_int_eq(mkdir(real, 0755), 0);
        ck_assert_int_eq(symlink("real", link), 0);
        assert_written(&export, &m.set);
        assert_list(real, "x.pem");
        /* It is what it leads to that is judged. */
        ck_assert_int_eq(chmod(real, 0777), 0);
        assert_refused(&export, &m.set, -EPERM, "mode 0777");
}
END_TEST

START_TEST(refuses_names_that_are_too_long) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        char name[NAME_MAX + 1], *warning = NULL;
        size_t longest = NAME_MAX - strlen("..rekeyd");
        _cleanup_(freep) char *path = NULL;
        struct export export;

        memset(name, 'x', sizeof(name));
        name[longest + 1] = '\0';
        path = scratch_path(scratch, name);
        export = pem_to(path);
        ck_assert_int_eq(export_check(&export, NULL, &warning, &error), -ENAMETOOLONG);
        assert_export_error(&error, "at most 247 bytes long", path);
        path[strlen(path) - 1] = '\0';
        assert_checks(&export);
}
END_TEST

START_TEST(a_check_leaves_nothing_and_removes_litter) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *path = scratch_path(scratch, "x.pem");
        struct export export = pem_to(path);

        scratch_write(scratch, ".x.pem.rekeyd", "half a key", 0600);
        scratch_write(scratch, "x.pem", "old", 0600);
        assert_checks(&export);
        assert_list(scratch, "x.pem");
        assert_file(scratch, "x.pem", "old");
}
END_TEST

/* --- Who can read it, and when --- */

START_TEST(the_mode_is_right_from_the_first_byte) {
        static const mode_t modes[] = { 0, 0600, 0640, 0440, 0400, 0660 };
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        mode_t old_umask = umask(0);

        for (size_t i = 0; i < ELEMENTSOF(modes); i++)
                for (unsigned in_place = 0; in_place < 2; in_place++) {
                        _cleanup_(freep) char *path = scratch_path(scratch, "x.pem");
                        struct export export = pem_to(path);
                        struct stat st;

                        scratch_write(scratch, "x.pem", "", 0666);
                        export.access.mode = modes[i];
                        export.in_place = in_place;
                        spy_reset();
                        assert_written(&export, &m.set);
                        ck_assert_uint_ge(spy.writes, 1);
                        ck_assert_int_eq(spy.first.st_size, 0);
                        ck_assert_uint_eq(spy.first.st_mode & 07777, modes[i] ? modes[i] : 0600);
                        ck_assert_int_eq(stat(path, &st), 0);
                        ck_assert_uint_eq(st.st_mode & 07777, modes[i] ? modes[i] : 0600);
                        ck_assert_int_eq(unlink(path), 0);
                }
        umask(old_umask);
}
END_TEST

START_TEST(owner_and_group_are_right_from_the_first_byte) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *path = scratch_path(scratch, "x.pem");
        struct export export = pem_to(path);

        for (unsigned in_place = 0; in_place < 2; in_place++) {
                export.in_place = in_place;
                export.access = (struct file_access) { .uid = 1, .gid = 2, .mode = 0640 };
                assert_checks(&export);
                spy_reset();
                assert_written(&export, &m.set);
                ck_assert_uint_eq(spy.first.st_uid, 1);
                ck_assert_uint_eq(spy.first.st_gid, 2);
                ck_assert_uint_eq(spy.first.st_mode & 07777, 0640);

                export.access.gid = 3;
                ck_assert(!export_is_current(&export, &m.set));
                assert_written(&export, &m.set);
                ck_assert_int_eq(chown(path, 2, 3), 0);
                ck_assert(!export_is_current(&export, &m.set));
                ck_assert_int_eq(chown(path, 0, 0), 0);
        }
}
END_TEST

START_TEST(an_owner_that_is_not_asked_for_any_more_is_noticed) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *path = scratch_path(scratch, "x.pem");
        struct export export = pem_to(path);

        assert_written(&export, &m.set);
        ck_assert_int_eq(chown(path, 1, (gid_t)-1), 0);
        ck_assert(!export_is_current(&export, &m.set));
        assert_written(&export, &m.set);
        ck_assert_int_eq(chown(path, (uid_t)-1, 1), 0);
        ck_assert(!export_is_current(&export, &m.set));

        /* A set-group-ID directory gives files its own group. */
        ck_assert_int_eq(chown(scratch, 0, 1), 0);
        ck_assert_int_eq(chmod(scratch, 02755), 0);
        ck_assert(export_is_current(&export, &m.set));
        assert_written(&export, &m.set);
}
END_TEST

/* --- Failures in the middle --- */

START_TEST(a_failed_write_leaves_the_old_export) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material old = material_make(0), new = material_make(1);
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *path = scratch_path(scratch, "x.pem");
        struct export export = pem_to(path);

        assert_written(&export, &old.set);
        spy_reset();
        spy.write_error = ENOSPC;
        ck_assert_int_eq(export_write(&export, &new.set, &error), -ENOSPC);
        assert_export_error(&error, "No space left on device", path);
        spy_reset();
        ck_assert(export_is_current(&export, &old.set));
        assert_list(scratch, "x.pem");

        /* In place there is no way back, but it shows. */
        export.in_place = true;
        spy.write_error = EIO;
        ck_assert_int_eq(export_write(&export, &new.set, &error), -EIO);
        assert_export_error(&error, "leaves it half written", path);
        spy_reset();
        ck_assert(!export_is_current(&export, &old.set));
        ck_assert(!export_is_current(&export, &new.set));
        assert_written(&export, &new.set);
}
END_TEST

START_TEST(a_rename_that_is_refused_gives_advice) {
        static const int codes[] = { EBUSY, EXDEV };
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material old = material_make(0), new = material_make(1);
        _cleanup_(freep) char *path = scratch_path(scratch, "x.pem");
        struct export export = pem_to(path);

        assert_written(&export, &old.set);
        for (size_t i = 0; i < ELEMENTSOF(codes); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;

                spy.rename_error = codes[i];
                ck_assert_int_eq(export_write(&export, &new.set, &error), -codes[i]);
                assert_export_error(&error, "mount its directory instead, or set 'in_place: true'", path);
                spy_reset();
                ck_assert(export_is_current(&export, &old.set));
                assert_list(scratch, "x.pem");
        }
}
END_TEST

START_TEST(litter_of_a_crash_is_no_obstacle) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *path = scratch_path(scratch, "x.pem");
        struct export export = pem_to(path);

        scratch_write(scratch, ".x.pem.rekeyd", "half a key", 0600);
        ck_assert(!export_is_current(&export, &m.set));
        assert_written(&export, &m.set);
        assert_list(scratch, "x.pem");
}
END_TEST

/* --- In place --- */

START_TEST(in_place_keeps_the_file) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *path = scratch_path(scratch, "x.pem"), *expected = NULL;
        struct export export = pem_to(path);
        struct stat before, after;
        char longer[20000];

        export.in_place = true;
        assert_written(&export, &m.set);
        ck_assert_int_eq(unlink(path), 0);

        memset(longer, 'x', sizeof(longer));
        longer[sizeof(longer) - 1] = '\0';
        scratch_write(scratch, "x.pem", longer, 0644);
        ck_assert_int_eq(stat(path, &before), 0);
        assert_checks(&export);
        assert_file(scratch, "x.pem", longer);
        assert_written(&export, &m.set);
        ck_assert_int_ge(asprintf(&expected, "%s%s%s", m.key, m.leaf, m.intermediate), 0);
        assert_file(scratch, "x.pem", expected);
        ck_assert_int_eq(stat(path, &after), 0);
        ck_assert_uint_eq(before.st_ino, after.st_ino);
        assert_list(scratch, "x.pem");
}
END_TEST

START_TEST(in_place_touches_no_file_with_other_names) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *path = scratch_path(scratch, "x.pem"), *other = scratch_path(scratch, "other");
        struct export export = pem_to(path);
        struct stat st;

        scratch_write(scratch, "other", "shadow", 0640);
        ck_assert_int_eq(link(other, path), 0);
        export.in_place = true;
        assert_refused(&export, &m.set, -EMLINK, "has 2 names (hard links)");
        assert_file(scratch, "other", "shadow");
        ck_assert_int_eq(stat(other, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0640);
        /* By a rename the other name keeps what it had. */
        export.in_place = false;
        assert_written(&export, &m.set);
        assert_file(scratch, "other", "shadow");
}
END_TEST

START_TEST(in_place_touches_no_file_of_others) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *path = scratch_path(scratch, "x.pem");
        struct export export = pem_to(path);

        scratch_write(scratch, "x.pem", "theirs", 0600);
        ck_assert_int_eq(chown(path, 1, 1), 0);
        export.in_place = true;
        assert_refused(&export, &m.set, -EPERM, "the file is owned by user 1, who may have it open");
        assert_file(scratch, "x.pem", "theirs");
        export.access.uid = 1;
        assert_written(&export, &m.set);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("export-target");

        x509_key(3);
        TEST_CASE(suite, refuses_directories);
        TEST_CASE(suite, refuses_what_is_no_file);
        TEST_CASE(suite, a_path_may_lead_through_links);
        TEST_CASE(suite, refuses_names_that_are_too_long);
        TEST_CASE(suite, a_check_leaves_nothing_and_removes_litter);
        TEST_CASE(suite, the_mode_is_right_from_the_first_byte);
        TEST_CASE(suite, a_failed_write_leaves_the_old_export);
        TEST_CASE(suite, a_rename_that_is_refused_gives_advice);
        TEST_CASE(suite, litter_of_a_crash_is_no_obstacle);
        TEST_CASE(suite, in_place_keeps_the_file);
        TEST_CASE(suite, in_place_touches_no_file_with_other_names);
        if (geteuid() == 0) {
                TEST_CASE(suite, refuses_directories_of_others_than_the_owner);
                TEST_CASE(suite, only_groups_that_are_no_strangers_may_write_to_the_directory);
                TEST_CASE(suite, owner_and_group_are_right_from_the_first_byte);
                TEST_CASE(suite, an_owner_that_is_not_asked_for_any_more_is_noticed);
                TEST_CASE(suite, in_place_touches_no_file_of_others);
        } else
                test_skip("owners and groups: only root can give files away");
        return test_run(suite);
}
