/* Exports: by whose rights they are written, over mounts, and on a full disk. */

#include "tests/unit/export/export-place.h"

#define NOBODY 65534u

/* --- Rights --- */

static void become_nobody(void) {
        if (geteuid() == 0)
                must(setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
}

static void without_rights(const struct child *child) {
        _cleanup_(freep) char *mine = scratch_path(child->directory, "mine/x.pem"),
                              *others = scratch_path(child->directory, "others/x.pem");
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct export export = pem_to(others);
        char *warning = NULL;

        become_nobody();
        must(fails_with(export_check(&export, NULL, &warning, &error), -EACCES, &error,
                        "who may not write there"));
        must(strstr(error_text(&error), others));
        export.path = mine;
        must(export_check(&export, NULL, &warning, NULL) == 0);
        export.access.uid = 1;
        must(fails_with(export_check(&export, NULL, &warning, &error), -EPERM, &error, "CAP_CHOWN"));
        must(fails_with(export_write(&export, &child->material->set, &error), -EPERM, &error, "CAP_CHOWN"));
        export.access.uid = (uid_t)-1;
        export.access.gid = 1;
        must(fails_with(export_check(&export, NULL, &warning, &error), -EPERM, &error,
                        "with SupplementaryGroups=daemon under [Service]"));
        export.access.gid = getegid();
        must(export_check(&export, NULL, &warning, NULL) == 0);
        must(export_write(&export, &child->material->set, NULL) == 0);
        must(export_is_current(&export, &child->material->set));

        /* Its own file it may overwrite, root's it may not. */
        export.in_place = true;
        must(export_check(&export, NULL, &warning, NULL) == 0);
        must(export_write(&export, &child->material->set, NULL) == 0);
        export.path = others;
        must(fails_with(export_check(&export, NULL, &warning, &error), -EACCES, &error,
                        "who may not write there"));
}

START_TEST(finds_missing_rights_before_it_writes) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *mine = scratch_path(scratch, "mine"),
                              *others = scratch_path(scratch, "others");

        ck_assert_int_eq(chmod(scratch, 0755), 0);
        ck_assert_int_eq(mkdir(mine, 0755), 0);
        ck_assert_int_eq(mkdir(others, 0755), 0);
        if (geteuid() == 0)
                ck_assert_int_eq(chown(mine, NOBODY, NOBODY), 0);
        else
                ck_assert_int_eq(chmod(others, 0555), 0);
        in_child(without_rights, scratch, &m);
        assert_list(mine, "x.pem");
        assert_list(others, "");
}
END_TEST

/* --- Mounts --- */

static void over_a_mounted_file(const struct child *child) {
        _cleanup_(freep) char *path = scratch_path(child->directory, "d/x.pem"),
                              *source = scratch_path(child->directory, "source");
        const struct set *set = &child->material->set;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct export export = pem_to(path);
        _cleanup_(freep) char *text = NULL;
        char *warning = NULL;

        must(enter_namespace());
        must(mount(source, path, "none", MS_BIND, NULL) == 0);
        spy_reset();
        must(fails_with(export_check(&export, NULL, &warning, &error), -EBUSY, &error,
                        "it is a mount of its own"));
        must(fails_with(export_write(&export, set, &error), -EBUSY, &error, "or set 'in_place: true'"));
        must(spy.writes == 0);

        export.in_place = true;
        must(export_check(&export, NULL, &warning, NULL) == 0);
        must(export_write(&export, set, NULL) == 0);
        must(export_is_current(&export, set));
        text = scratch_read(child->directory, "source");
        must(text && has_prefix(text, child->material->key));

        must(mount("none", path, "none", MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0);
        must(fails_with(export_check(&export, NULL, &warning, &error), -EROFS, &error,
                        "Read-only file system"));
        must(fails_with(export_write(&export, set, &error), -EROFS, &error, path));
}

START_TEST(a_file_that_is_mounted_is_not_replaced) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *directory = scratch_path(scratch, "d");

        ck_assert_int_eq(mkdir(directory, 0755), 0);
        scratch_write(directory, "x.pem", "", 0600);
        scratch_write(scratch, "source", "", 0600);
        in_child(over_a_mounted_file, scratch, &m);
        assert_list(directory, "x.pem");
}
END_TEST

static void fill(const char *directory) {
        _cleanup_(freep) char *path = scratch_path(directory, "filler");
        _cleanup_(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        static const char page[4096];

        must(fd >= 0);
        while (syscall(SYS_write, fd, page, sizeof(page)) > 0)
                ;
        must(errno == ENOSPC);
}

static void on_a_full_disk(const struct child *child) {
        _cleanup_(freep) char *disk = scratch_path(child->directory, "disk"),
                              *path = scratch_path(disk, "x.pem"), *before = NULL, *after = NULL,
                              *list = NULL;
        const struct set *set = &child->material->set;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct export export = pem_to(path);
        char *warning = NULL;

        must(enter_namespace());
        must(mount("none", disk, "tmpfs", 0, "size=64k,mode=755") == 0);
        export.contents[0] = EXPORT_KEY;
        export.n_contents = 1;
        must(export_write(&export, set, NULL) == 0);
        before = scratch_read(disk, "x.pem");
        fill(disk);

        /* A new file needs a page, and so does the old one when it grows past its first. */
        export.n_contents = 0;
        must(fails_with(export_check(&export, NULL, &warning, &error), -ENOSPC, &error,
                        "No space left on device"));
        must(fails_with(export_write(&export, set, &error), -ENOSPC, &error, path));
        export.in_place = true;
        export.n_contents = 4;
        memcpy(export.contents, (enum export_part[]) { EXPORT_KEY, EXPORT_LEAF, EXPORT_CHAIN, EXPORT_CA },
               sizeof(export.contents));
        must(fails_with(export_write(&export, set, &error), -ENOSPC, &error, "No space left on device"));
        after = scratch_read(disk, "x.pem");
        must(before && after && streq(before, after));
        list = scratch_list(disk);
        must(streq(list, "filler x.pem"));
}

START_TEST(a_full_disk_leaves_the_old_export) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(material_clear) struct material m = material_make(0);
        _cleanup_(freep) char *disk = scratch_path(scratch, "disk");

        ck_assert_int_eq(mkdir(disk, 0755), 0);
        in_child(on_a_full_disk, scratch, &m);
}
END_TEST

int main(void) {
        const char *why = no_namespace();
        Suite *suite = suite_create("export-rights");

        x509_key(3);
        TEST_CASE(suite, finds_missing_rights_before_it_writes);
        if (!why) {
                TEST_CASE(suite, a_file_that_is_mounted_is_not_replaced);
                TEST_CASE(suite, a_full_disk_leaves_the_old_export);
        } else
                test_skip("mounted files and full disks: %s", why);
        return test_run(suite);
}
