/* Owner, group, mode and ACL: from any to any other, without a moment in which more is allowed than before or
 * after. */

#include "lib/util/rights.h"

#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "tests/support/scratch.h"
#include "tests/test.h"

#define NO_ID    ((uint32_t)-1)
#define ANY      ((uid_t)-1)
#define STRANGER 4711u /* named by the ACL */

/* An ACL as setfacl writes it: OWNER, user STRANGER, GROUP, MASK, others. */
struct acl {
        struct posix_acl_xattr_header header;
        struct posix_acl_xattr_entry entries[5];
};

static struct acl acl_make(uint16_t stranger, uint16_t group, uint16_t mask, uint16_t others) {
        return (struct acl) {
                .header.a_version = POSIX_ACL_XATTR_VERSION,
                .entries = { { ACL_USER_OBJ, 6, NO_ID },
                             { ACL_USER, stranger, STRANGER },
                             { ACL_GROUP_OBJ, group, NO_ID },
                             { ACL_MASK, mask, NO_ID },
                             { ACL_OTHER, others, NO_ID } },
        };
}

/* --- Who may do what, by the file alone --- */

struct subject {
        uid_t uid;
        gid_t gid;
};

/* Owners and groups of the tests, members of both groups are none of them. */
static const struct subject subjects[] = { { 11, 99 }, { 12, 99 },       { 98, 21 },
                                           { 98, 22 }, { STRANGER, 99 }, { 98, 99 } };

static unsigned allowed(int fd, const struct subject *subject) {
        struct acl acl;
        struct stat st;

        ck_assert_int_eq(fstat(fd, &st), 0);
        if (subject->uid == st.st_uid)
                return st.st_mode >> 6 & 7u;
        if (fgetxattr(fd, FILE_ACL, &acl, sizeof(acl)) == (ssize_t)sizeof(acl)) {
                if (subject->uid == STRANGER)
                        return acl.entries[1].e_perm & acl.entries[3].e_perm;
                if (subject->gid == st.st_gid)
                        return acl.entries[2].e_perm & acl.entries[3].e_perm;
                return st.st_mode & 7u;
        }
        return subject->gid == st.st_gid ? st.st_mode >> 3 & 7u : st.st_mode & 7u;
}

/* --- Each call on the way is watched --- */

static struct {
        bool is_on;
        unsigned before[ELEMENTSOF(subjects)], after[ELEMENTSOF(subjects)];
        unsigned n_calls, n_too_wide;
} spy;

static int watched(int fd, int r) {
        if (!spy.is_on)
                return r;
        spy.n_calls++;
        for (size_t i = 0; i < ELEMENTSOF(subjects); i++)
                if (allowed(fd, &subjects[i]) & ~(spy.before[i] | spy.after[i]))
                        spy.n_too_wide++;
        return r;
}

int fchmod(int fd, mode_t mode) {
        return watched(fd, (int)syscall(SYS_fchmod, fd, mode));
}

int fchown(int fd, uid_t uid, gid_t gid) {
        return watched(fd, (int)syscall(SYS_fchown, fd, uid, gid));
}

int fremovexattr(int fd, const char *name) {
        return watched(fd, (int)syscall(SYS_fremovexattr, fd, name));
}

/* --- The table --- */

struct state {
        mode_t mode;
        uid_t uid;
        gid_t gid;
        bool has_acl;
        struct acl acl;
};

static void set_state(int fd, const struct state *state) {
        ck_assert_int_eq(fd_drop_acl(fd), 0);
        ck_assert_int_eq(fchown(fd, state->uid, state->gid), 0);
        ck_assert_int_eq(fchmod(fd, state->mode), 0);
        if (state->has_acl)
                ck_assert_int_eq(fsetxattr(fd, FILE_ACL, &state->acl, sizeof(state->acl), 0), 0);
}

START_TEST(never_wider_on_the_way) {
        static const mode_t modes[] = { 0600, 0640, 0644, 0660, 0666, 0440, 0400, 0604, 0000, 04640 };
        const struct acl acls[] = { acl_make(4, 0, 4, 0), acl_make(6, 4, 6, 4), acl_make(4, 4, 0, 0),
                                    acl_make(0, 6, 6, 0) };
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *path = scratch_path(scratch, "file");
        _cleanup_(fd_closep) int fd = -1;
        unsigned n = 0;

        if (geteuid() != 0) {
                test_skip("never_wider_on_the_way: needs root");
                return;
        }
        scratch_write(scratch, "file", "x", 0600);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        for (size_t from = 0; from < ELEMENTSOF(modes) + ELEMENTSOF(acls); from++)
                for (size_t to = 0; to < ELEMENTSOF(modes); to++)
                        for (unsigned moves = 0; moves < 4; moves++) {
                                struct state state = { .mode = 0600, .uid = 11, .gid = 21 };
                                const struct rights target = { .uid = moves & 1 ? 12 : 11,
                                                               .gid = moves & 2 ? 22 : 21,
                                                               .mode = modes[to] };
                                struct rights before, after;

                                if (from < ELEMENTSOF(modes))
                                        state.mode = modes[from];
                                else {
                                        state.has_acl = true;
                                        state.acl = acls[from - ELEMENTSOF(modes)];
                                }
                                spy.is_on = false;
                                set_state(fd, &(struct state) { .mode = target.mode,
                                                                .uid = target.uid,
                                                                .gid = target.gid });
                                for (size_t i = 0; i < ELEMENTSOF(subjects); i++)
                                        spy.after[i] = allowed(fd, &subjects[i]);
                                set_state(fd, &state);
                                for (size_t i = 0; i < ELEMENTSOF(subjects); i++)
                                        spy.before[i] = allowed(fd, &subjects[i]);
                                ck_assert_int_eq(rights_read(fd, &before), 0);
                                ck_assert(before.has_acl == state.has_acl);

                                spy.is_on = true;
                                spy.n_calls = spy.n_too_wide = 0;
                                ck_assert_int_eq(rights_change(fd, &before, &target), 0);
                                ck_assert_msg(spy.n_too_wide == 0, "from %zu to %04o, moves %u", from,
                                              target.mode, moves);
                                ck_assert_int_eq(rights_read(fd, &after), 0);
                                ck_assert_msg(rights_equal(&after, &target), "from %zu to %04o, moves %u",
                                              from, target.mode, moves);

                                /* What is right is left alone: each call is an event for who watches. */
                                spy.n_calls = 0;
                                ck_assert_int_eq(rights_change(fd, &after, &target), 0);
                                ck_assert_uint_eq(spy.n_calls, 0);
                                n++;
                        }
        spy.is_on = false;
        ck_assert_uint_gt(n, 500);
}
END_TEST

START_TEST(what_is_not_wanted_in_particular) {
        static const struct {
                struct rights now;
                struct file_access wanted;
                struct rights target;
        } rows[] = {
                { { 1000, 1000, 0600, false }, { ANY, ANY, 0600 }, { 1000, 1000, 0600, false } },
                { { 0, 0, 0600, false }, { ANY, ANY, 0600 }, { 0, 0, 0600, false } },
                { { 7, 8, 0600, false }, { ANY, ANY, 0600 }, { 1000, 8, 0600, false } },
                { { 1000, 8, 0640, false }, { ANY, ANY, 0640 }, { 1000, 1000, 0640, false } },
                { { 1000, 8, 0644, false }, { ANY, ANY, 0644 }, { 1000, 8, 0644, false } },
                { { 1000, 8, 0640, true }, { ANY, 8, 0640 }, { 1000, 8, 0640, false } },
                { { 0, 8, 0640, false }, { 5, 6, 0640 }, { 5, 6, 0640, false } },
        };
        const struct rights own = { .uid = 1000, .gid = 1000 };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const struct rights target = rights_target(&rows[i].now, rows[i].wanted, &own);

                ck_assert_msg(rights_equal(&target, &rows[i].target), "row %zu", i);
        }
}
END_TEST

START_TEST(commands_and_texts) {
        const struct rights root = { .mode = 0600 };
        static const struct {
                struct rights now;
                const char *text, *commands;
        } rows[] = {
                { { 0, 0, 0644, false }, "0644 root:root", "chmod 0600 x" },
                { { 0, 47110, 0600, false }, "0600 root:47110", "chgrp root x" },
                { { 47110, 0, 0640, false }, "0640 47110:root", "chown root:root x && chmod 0600 x" },
                { { 0, 0, 0640, true }, "0640 root:root with an ACL", "setfacl -b x && chmod 0600 x" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *commands = rights_commands(&rows[i].now, &root, "x");
                char buffer[RIGHTS_TEXT];

                ck_assert_str_eq(commands, rows[i].commands);
                ck_assert_str_eq(rights_text(&rows[i].now, buffer), rows[i].text);
        }
}
END_TEST

START_TEST(links_and_devices_are_left_alone) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *link = scratch_path(scratch, "link"), *pipe = scratch_path(scratch, "pipe");
        _cleanup_(fd_closep) int dir_fd = dir_open_at(AT_FDCWD, scratch);
        const struct rights target = { .uid = geteuid(), .gid = getegid(), .mode = 0600 };
        struct rights now;
        struct stat st;

        scratch_write(scratch, "file", "x", 0644);
        ck_assert_int_eq(symlink("file", link), 0);
        ck_assert_int_eq(mkfifo(pipe, 0644), 0);
        ck_assert_int_eq(rights_read_at(dir_fd, "link", &now), -ELOOP);
        ck_assert_int_eq(rights_read_at(dir_fd, "pipe", &now), -ENXIO);
        ck_assert_int_eq(rights_read_at(dir_fd, "none", &now), -ENOENT);
        ck_assert_int_eq(rights_read_at(dir_fd, "file", &now), 0);
        ck_assert_int_eq(rights_change_at(dir_fd, "link", &now, &target), -ELOOP);
        ck_assert_int_eq(fstatat(dir_fd, "file", &st, 0), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0644);
        ck_assert_int_eq(rights_change_at(dir_fd, "file", &now, &target), 0);
        ck_assert_int_eq(fstatat(dir_fd, "file", &st, 0), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0600);
}
END_TEST

TEST_MAIN("rights", never_wider_on_the_way, what_is_not_wanted_in_particular, commands_and_texts,
          links_and_devices_are_left_alone)
