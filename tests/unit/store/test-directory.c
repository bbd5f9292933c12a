/* Whose right to write makes a directory unusable, and what becomes of it where that is no stranger. */

#include "lib/store/directory.h"

#include <grp.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "tests/support/must.h"
#include "tests/support/scratch.h"
#include "tests/test.h"

#define US       4242u
#define OWN      4300u /* our own group */
#define FS_GROUP 4301u /* a supplementary one */
#define READERS  4302u /* the one that the configuration names; we are not in it */
#define STRANGER 4303u

#define NO_ID ((uint32_t)-1)

/* Leaves this process with the ids of a container in a pod. */
static void become_us(void) {
        const gid_t groups[] = { FS_GROUP };

        must(setgroups(ELEMENTSOF(groups), groups) == 0 && setgid(OWN) == 0 && setuid(US) == 0);
}

struct row {
        mode_t mode;
        uid_t uid;
        gid_t gid;
        mode_t after; /* 0: refused */
};

/* In a process of its own. */
static void open_as_us(const char *path, const struct row *row) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *change = NULL;
        _cleanup_(fd_closep) int fd = -1, view_fd = -1;
        struct stat st;

        become_us();
        view_fd = directory_view(path, READERS, &error);
        must((view_fd >= 0) == (row->after != 0));
        fd = directory_open(path, 0755, READERS, &error);
        must((fd >= 0) == (row->after != 0));
        if (row->after == 0) {
                must(fd == -EPERM && strstr(error_text(&error), path));
                must(row->mode & S_IWOTH || row->uid == STRANGER ||
                     strstr(error_text(&error), "group 4303 is not one of rekeyd's"));
                return;
        }
        must(directory_tighten(fd, path, &change) == 0);
        must(stat(path, &st) == 0 && (st.st_mode & 07777u) == row->after && st.st_gid == row->gid);
        must((change != NULL) == (row->after != row->mode));
        must(!change || strstr(change, "and was"));
}

START_TEST(strangers_are_refused_and_others_lose_the_right) {
        static const struct row rows[] = {
                { 0755, US, STRANGER, 0755 },     { 0755, 0, STRANGER, 0755 },
                { 02775, US, FS_GROUP, 02755 },   { 02770, US, FS_GROUP, 02750 },
                { 0775, US, OWN, 0755 },          { 0775, US, READERS, 0755 },
                { 02775, 0, FS_GROUP, 02775 },    { 02770, 0, FS_GROUP, 02770 }, /* the root of a volume */
                { 02775, US, STRANGER, 0 },       { 02775, 0, STRANGER, 0 },
                { 0757, US, FS_GROUP, 0 },        { 02777, US, FS_GROUP, 0 },
                { 02777, 0, FS_GROUP, 0 }, /* an emptyDir */
                { 02775, STRANGER, FS_GROUP, 0 }, { 0755, STRANGER, FS_GROUP, 0 },
        };

        if (geteuid() != 0) {
                test_skip("strangers_are_refused_and_others_lose_the_right: needs root");
                return;
        }
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(scratch_freep) char *scratch = scratch_new();
                _cleanup_(freep) char *path = scratch_path(scratch, "d");
                pid_t pid;
                int status;

                ck_assert_int_eq(chmod(scratch, 0755), 0);
                ck_assert_int_eq(mkdir(path, 0700), 0);
                ck_assert_int_eq(chown(path, rows[i].uid, rows[i].gid), 0);
                ck_assert_int_eq(chmod(path, rows[i].mode), 0);
                fflush(NULL);
                pid = fork();
                ck_assert_int_ge(pid, 0);
                if (pid == 0) {
                        open_as_us(path, &rows[i]);
                        _exit(0);
                }
                ck_assert_int_eq(waitpid(pid, &status, 0), pid);
                ck_assert_msg(status == 0, "row %zu", i);
        }
}
END_TEST

/* The bits of the group are a mask then: the right is another user's. */
START_TEST(an_acl_hides_no_stranger) {
        static const struct {
                struct posix_acl_xattr_header header;
                struct posix_acl_xattr_entry entries[5];
        } acl = {
                .header.a_version = POSIX_ACL_XATTR_VERSION,
                .entries = { { ACL_USER_OBJ, 7, NO_ID },
                             { ACL_USER, 7, STRANGER },
                             { ACL_GROUP_OBJ, 5, NO_ID },
                             { ACL_MASK, 7, NO_ID },
                             { ACL_OTHER, 5, NO_ID } },
        };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(scratch_freep) char *scratch = scratch_new();

        ck_assert_int_eq(setxattr(scratch, FILE_ACL, &acl, sizeof(acl), 0), 0);
        ck_assert_int_eq(directory_open(scratch, 0755, getegid(), &error), -EPERM);
        ck_assert_ptr_nonnull(strstr(error_text(&error), "lets other users write to it"));
        ck_assert_ptr_nonnull(strstr(error_text(&error), "(by an ACL)"));
}
END_TEST

TEST_MAIN("directory", strangers_are_refused_and_others_lose_the_right, an_acl_hides_no_stranger)
