/* Rights of files that are there: what somebody changed is put right, and what cannot be is told. */

#include "lib/store/store.h"

#include <grp.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "tests/support/kubelet.h"
#include "tests/unit/store/store-checks.h"

#define NO_ID  ((uint32_t)-1)
#define ANY    ((uid_t)-1)
#define NOBODY 65534u
#define READER 4711u

/* user:READER may read. */
static void give_acl(const char *path, uint16_t mask) {
        const struct {
                struct posix_acl_xattr_header header;
                struct posix_acl_xattr_entry entries[5];
        } acl = {
                .header.a_version = POSIX_ACL_XATTR_VERSION,
                .entries = { { ACL_USER_OBJ, 6, NO_ID },
                             { ACL_USER, 4, READER },
                             { ACL_GROUP_OBJ, 0, NO_ID },
                             { ACL_MASK, mask, NO_ID },
                             { ACL_OTHER, 0, NO_ID } },
        };

        ck_assert_int_eq(setxattr(path, FILE_ACL, &acl, sizeof(acl), 0), 0);
}

static void assert_rights(const char *path, mode_t mode, uid_t uid, gid_t gid) {
        struct stat st;

        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_msg((st.st_mode & 07777) == mode && st.st_uid == uid && st.st_gid == gid,
                      "%s is %04o %u:%u", path, st.st_mode & 07777u, st.st_uid, st.st_gid);
        ck_assert_int_lt((int)getxattr(path, FILE_ACL, NULL, 0), 0);
}

/* What became of a file, and of what the options say of keys; -1 and 0 stand for no change. */
START_TEST(what_is_not_as_configured_is_put_right) {
        static const struct {
                const char *name;
                struct {
                        mode_t mode;
                        uid_t uid;
                        gid_t gid;
                        uint16_t acl;
                } now;
                struct file_access configured;
                mode_t mode;
                const char *was;
        } rows[] = {
                { "..gen-000002/tls.key", { 0644, 0, 0, 0 }, { ANY, ANY, 0600 }, 0600, "was 0644" },
                { "..gen-000002/tls.key", { 0640, 0, 0, 0 }, { ANY, ANY, 0600 }, 0600, "was 0640" },
                { "..gen-000002/tls.key", { 0600, 0, 0, 0 }, { ANY, 5, 0640 }, 0640, "was 0600 root:root" },
                { "..gen-000002/tls.key", { 0600, 0, 0, 0 }, { 6, 5, 0640 }, 0640, "was 0600 root:root" },
                { "..gen-000002/tls.key", { 0640, 7, 8, 0 }, { ANY, 5, 0640 }, 0640, "was 0640" },
                { "..gen-000002/tls.key", { 0000, 0, 0, 0 }, { ANY, ANY, 0600 }, 0600, "was 0000" },
                { "..gen-000002/tls.key", { 0600, 0, 0, 4 }, { ANY, ANY, 0600 }, 0600, "with an ACL" },
                { "..gen-000002/tls.key", { 0640, 0, 5, 4 }, { ANY, 5, 0640 }, 0640, "with an ACL" },
                { "..gen-000001/tls.key", { 0644, 0, 0, 0 }, { ANY, ANY, 0600 }, 0600, "was 0644" },
                { "..gen-000001/tls.key", { 0640, 0, 0, 4 }, { ANY, 0, 0600 }, 0600, "with an ACL" },
                { "..gen-000002/tls.crt", { 0600, 0, 0, 0 }, { ANY, ANY, 0600 }, 0644, "was 0600" },
                { "..gen-000002/ca.crt", { 0666, 0, 0, 0 }, { ANY, ANY, 0600 }, 0644, "was 0666" },
                { "..gen-000002", { 0700, 0, 0, 0 }, { ANY, ANY, 0600 }, 0755, "was 0700" },
                { "..gen-000002", { 0777, 0, 0, 0 }, { ANY, ANY, 0600 }, 0755, "was 0777" },
        };

        if (geteuid() != 0) {
                test_skip("what_is_not_as_configured_is_put_right: needs root");
                return;
        }
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(scratch_freep) char *scratch = scratch_new();
                _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
                _cleanup_(freep) char *path = scratch_path(scratch, rows[i].name);
                _cleanup_(store_rights_clear) struct store_rights rights = { 0 }, again = { 0 };
                const struct file_access *configured = &rows[i].configured;
                struct store_options other = options;
                struct store *store = test_store_open(scratch);

                test_set_commit(store, &first);
                test_set_commit(store, &second);
                store = store_close(store);
                ck_assert_int_eq(chown(path, rows[i].now.uid, rows[i].now.gid), 0);
                ck_assert_int_eq(chmod(path, rows[i].now.mode), 0);
                if (rows[i].now.acl)
                        give_acl(path, rows[i].now.acl);

                other.key_access = other.public_access = *configured;
                other.public_access.mode = 0644;
                ck_assert_int_eq(store_open(scratch, &other, &store, NULL), 0);
                ck_assert_int_eq(store_put_rights(store, 0, &rights), 0);
                ck_assert_uint_eq(rights.unchanged, 0);
                ck_assert_msg(rights.changes && strstr(rights.changes, rows[i].was) &&
                                      strstr(rights.changes, rows[i].name),
                              "row %zu: %s", i, rights.changes);
                ck_assert((strstr(rights.changes, "may be disclosed") != NULL) ==
                          (has_suffix(rows[i].name, "key") && rows[i].now.mode & 04));
                assert_rights(path, rows[i].mode, configured->uid != (uid_t)-1 ? configured->uid : 0,
                              configured->gid != (gid_t)-1 ? configured->gid : 0);

                ck_assert_int_eq(store_put_rights(store, 0, &again), 0);
                ck_assert_ptr_null(again.changes);
                ck_assert_uint_eq(again.unchanged, 0);
                store_close(store);
        }
}
END_TEST

/* As a user who may not: it is told once, with the command, and not tried again. */
static int told_and_not_tried_again(const char *scratch) {
        _cleanup_(store_rights_clear) struct store_rights first = { 0 }, second = { 0 }, third = { 0 };
        _cleanup_(freep) char *key = scratch_path(scratch, "..gen-000001/tls.key");
        struct store_options other = options;
        struct store *store;

        other.key_access.gid = other.public_access.gid = READER;
        other.key_access.mode = 0640;
        if (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
                return 1;
        if (store_open(scratch, &other, &store, NULL) < 0)
                return 2;
        if (store_put_rights(store, 0, &first) < 0 || first.unchanged == 0 || first.problem.code != -EPERM)
                return 3;
        if (!strstr(error_text(&first.problem), "the files do not have the configured rights") ||
            !strstr(error_text(&first.problem), "the service is not in group 4711; fix: ") ||
            !strstr(error_text(&first.problem), "SupplementaryGroups=4711 under [Service]") ||
            !strstr(error_text(&first.problem), "until then: chgrp 4711 ") ||
            !strstr(error_text(&first.problem), "chmod 0640"))
                return 4;
        if (store_put_rights(store, first.unchanged, &second) < 0 || second.unchanged != first.unchanged ||
            second.changes)
                return 5;
        /* It is not the same any more, and partly to be put right. */
        if (chmod(key, 0666) < 0 || store_put_rights(store, first.unchanged, &third) < 0)
                return 6;
        if (third.unchanged == first.unchanged || !third.changes || !strstr(third.changes, "was 0666"))
                return 7;
        if (!strstr(error_text(&third.problem), "users who should not can read a key"))
                return 8;
        store_close(store);
        return 0;
}

START_TEST(what_may_not_be_changed_is_told) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(freep) char *generation = scratch_path(scratch, "..gen-000001");
        static const char *const names[] = { "tls.key", "tls.crt", "ca.crt" };
        struct store *store = test_store_open(scratch);
        pid_t pid;
        int status;

        if (geteuid() != 0) {
                store_close(store);
                test_skip("what_may_not_be_changed_is_told: needs root");
                return;
        }
        test_set_commit(store, &set);
        store_close(store);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_(freep) char *path = scratch_path(generation, names[i]);

                ck_assert_int_eq(chown(path, NOBODY, NOBODY), 0);
        }
        ck_assert_int_eq(chown(generation, NOBODY, NOBODY), 0);
        ck_assert_int_eq(chown(scratch, NOBODY, NOBODY), 0);
        fflush(NULL);
        pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0)
                _exit(told_and_not_tried_again(scratch));
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
}
END_TEST

/* The key was staged under other options. */
START_TEST(a_staged_key_is_committed_with_the_rights_of_now) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(freep) char *key = scratch_path(scratch, "tls.key");
        _cleanup_(store_rights_clear) struct store_rights rights = { 0 };
        struct store_options wide = options;
        struct store *store;
        uint64_t generation;

        wide.key_access.mode = 0640;
        ck_assert_int_eq(store_open(scratch, &wide, &store, NULL), 0);
        ck_assert_int_eq(store_stage_key(store, set.key, NULL), 0);
        ck_assert_int_eq(store_stage_parts(store,
                                           &(struct store_staged) { .ca_pem = set.ca_pem,
                                                                    .certificate_pem = set.certificate_pem },
                                           NULL),
                         0);
        store_close(store);
        store = test_store_open(scratch);
        ck_assert_int_eq(store_put_rights(store, 0, &rights), 0);
        ck_assert_msg(rights.changes && strstr(rights.changes, "was 0640"), "%s", rights.changes);
        ck_assert_int_eq(store_commit(store, &generation, NULL), 0);
        assert_rights(key, 0600, geteuid(), getegid());
        store_close(store);
}
END_TEST

/* New files get no ACL from a directory that has a default one. */
START_TEST(a_default_acl_opens_no_key) {
        static const struct {
                struct posix_acl_xattr_header header;
                struct posix_acl_xattr_entry entries[5];
        } acl = {
                .header.a_version = POSIX_ACL_XATTR_VERSION,
                .entries = { { ACL_USER_OBJ, 7, NO_ID },
                             { ACL_USER, 5, READER },
                             { ACL_GROUP_OBJ, 5, NO_ID },
                             { ACL_MASK, 5, NO_ID },
                             { ACL_OTHER, 5, NO_ID } },
        };
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(freep) char *key = scratch_path(scratch, "tls.key");
        struct store_options shared = options;
        struct store *store;

        ck_assert_int_eq(setxattr(scratch, "system.posix_acl_default", &acl, sizeof(acl), 0), 0);
        shared.key_access.mode = 0640;
        ck_assert_int_eq(store_open(scratch, &shared, &store, NULL), 0);
        test_set_commit(store, &set);
        assert_rights(key, 0640, geteuid(), getegid());
        store_close(store);
}
END_TEST

/* Another user of the group may have put it there while the group could write. */
START_TEST(what_a_link_leads_to_is_left_alone) {
        for (unsigned is_wide = 0; is_wide < 2; is_wide++) {
                _cleanup_(scratch_freep) char *scratch = scratch_new();
                _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
                _cleanup_(freep) char *directory = scratch_path(scratch, "d"),
                                      *link = scratch_path(directory, "..gen-000001"),
                                      *elsewhere = scratch_path(scratch, "elsewhere"),
                                      *key = scratch_path(elsewhere, "tls.key");
                _cleanup_(store_rights_clear) struct store_rights rights = { 0 };
                struct store *store = test_store_open(directory);

                test_set_commit(store, &first);
                test_set_commit(store, &second);
                ck_assert_int_eq(rename(link, elsewhere), 0);
                ck_assert_int_eq(symlink("../elsewhere", link), 0);
                ck_assert_int_eq(chmod(key, 0644), 0);
                ck_assert_int_eq(chmod(directory, is_wide ? 02775 : 0755), 0);
                ck_assert_int_eq(store_put_rights(store, 0, &rights), 0);
                assert_rights(key, 0644, geteuid(), getegid());
                assert_rights(directory, is_wide ? 02755 : 0755, geteuid(), getegid());
                store_close(store);
        }
}
END_TEST

/* What kubelet does when it mounts a volume, with a set that is staged. */
START_TEST(a_mounted_volume_is_as_before) {
        static const struct {
                const char *name;
                mode_t mode;
        } rows[] = {
                { ".", 02755 },
                { "..gen-000001", 0755 },
                { "..gen-000001/tls.key", 0600 },
                { "..gen-000001/tls.crt", 0644 },
                { "..gen-000001/ca.crt", 0644 },
                { "..gen-000002", 0755 },
                { "..gen-000002/tls.key", 0600 },
                { "..gen-000002/tls.crt", 0644 },
                { "..gen-000002/ca.crt", 0644 },
                { "..stage-000003", 0700 },
                { "..stage-000003/tls.key", 0600 },
        };
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        _cleanup_(store_rights_clear) struct store_rights rights = { 0 }, again = { 0 };
        struct store *store = test_store_open(scratch);

        ck_assert_int_eq(chmod(scratch, 0755), 0);
        test_set_commit(store, &first);
        test_set_commit(store, &second);
        ck_assert_int_eq(store_stage_key(store, first.key, NULL), 0);
        kubelet_mount(scratch, getegid());
        ck_assert_int_eq(store_put_rights(store, 0, &rights), 0);
        ck_assert_uint_eq(rights.unchanged, 0);
        ck_assert_msg(rights.changes && strstr(rights.changes, "tls.key is now 0600") &&
                              strstr(rights.changes, "and was 0660"),
                      "%s", rights.changes);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *path = scratch_path(scratch, rows[i].name);

                assert_rights(path, rows[i].mode, geteuid(), getegid());
        }
        ck_assert_int_eq(store_put_rights(store, 0, &again), 0);
        ck_assert_msg(!again.changes, "%s", again.changes);
        store_close(store);
}
END_TEST

TEST_MAIN("store rights", what_a_link_leads_to_is_left_alone, a_mounted_volume_is_as_before,
          what_is_not_as_configured_is_put_right, what_may_not_be_changed_is_told,
          a_staged_key_is_committed_with_the_rights_of_now, a_default_acl_opens_no_key)
