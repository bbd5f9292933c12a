/* Who could read a plain pair can read it once it is adopted, and after each renewal, as far as the options
 * do not say otherwise; and what is taken out of a file is kept. */

#include "lib/store/store.h"

#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "tests/unit/store/store-checks.h"

#define NO_ID  ((uint32_t)-1)
#define ANY    ((uid_t)-1)
#define READER 4711u

static char *key_text(const struct test_set *set) {
        const char *pem;
        size_t size;

        key_pem(set->key, &pem, &size);
        return strndup(pem, size);
}

/* user:READER may read, and the group with `group`. */
static void give_acl(const char *path, uint16_t group) {
        const struct {
                struct posix_acl_xattr_header header;
                struct posix_acl_xattr_entry entries[5];
        } acl = {
                .header.a_version = POSIX_ACL_XATTR_VERSION,
                .entries = { { ACL_USER_OBJ, 6, NO_ID },
                             { ACL_USER, 4, READER },
                             { ACL_GROUP_OBJ, group, NO_ID },
                             { ACL_MASK, 4, NO_ID },
                             { ACL_OTHER, 0, NO_ID } },
        };

        ck_assert_int_eq(setxattr(path, FILE_ACL, &acl, sizeof(acl), 0), 0);
}

struct plain {
        mode_t mode;
        uid_t uid;
        gid_t gid;
        enum { NO_ACL, ACL_ALONE, ACL_AND_GROUP, ACL_MAX } acl;
};

static bool group_may_read(const struct plain *plain) {
        return plain->acl == NO_ACL ? plain->mode & 040 : plain->acl == ACL_AND_GROUP;
}

static struct store_options options_of(const struct file_access *access) {
        struct store_options other = options;

        other.key_access = other.public_access = *access;
        other.public_access.mode = 0644;
        return other;
}

static void assert_key(const char *scratch, const struct file_access *expected, const char *when) {
        _cleanup_(freep) char *path = scratch_path(scratch, "tls.key");
        struct stat st;

        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_msg((st.st_mode & 07777) == expected->mode && st.st_uid == expected->uid &&
                              st.st_gid == expected->gid,
                      "%s: %04o %u:%u instead of %04o %u:%u", when, st.st_mode & 07777u, st.st_uid, st.st_gid,
                      expected->mode, expected->uid, expected->gid);
        ck_assert_int_lt((int)getxattr(path, FILE_ACL, NULL, 0), 0);
}

static void adopt_one(const struct plain *plain, const struct file_access *configured) {
        const bool group = group_may_read(plain);
        const struct file_access expected = {
                .uid = configured->uid != ANY ? configured->uid : plain->uid,
                .gid = configured->gid != ANY ? configured->gid
                       : group                ? plain->gid
                                              : 0,
                .mode = configured->mode != 0 ? configured->mode
                                              : (plain->mode & 0600) | 0400 | (group ? 040u : 0),
        };
        const bool loses = plain->acl != NO_ACL || plain->uid != expected.uid ||
                           (group && (plain->gid != expected.gid || !(expected.mode & 040)));
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0), next = test_set_make(1);
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *key = key_text(&set), *path = scratch_path(scratch, "tls.key"),
                              *warning = NULL;
        _cleanup_(store_rights_clear) struct store_rights rights = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        const struct store_options other = options_of(configured);
        struct store *store;

        scratch_write(scratch, "tls.key", key, 0600);
        scratch_write(scratch, "tls.crt", set.certificate_pem, 0644);
        scratch_write(scratch, "ca.crt", set.ca_pem, 0644);
        ck_assert_int_eq(chown(path, plain->uid, plain->gid), 0);
        ck_assert_int_eq(chmod(path, plain->mode), 0);
        if (plain->acl != NO_ACL)
                give_acl(path, plain->acl == ACL_AND_GROUP ? 4 : 0);

        ck_assert_int_eq(store_open(scratch, &other, &store, &error), 0);
        ck_assert_msg(store_adopt_plain(store, &warning, &error) == 0, "%s", error_text(&error));
        assert_key(scratch, &expected, "adopted");
        ck_assert_msg((warning && strstr(warning, "readers")) == loses, "%04o %u:%u acl %d: %s", plain->mode,
                      plain->uid, plain->gid, plain->acl, warning ? warning : "no warning");
        ck_assert_int_eq(store_put_rights(store, 0, &rights), 0);
        ck_assert_ptr_null(rights.changes);
        ck_assert_uint_eq(rights.unchanged, 0);
        store_close(store);

        /* Another start, a renewal, another start, a rollback. */
        ck_assert_int_eq(store_open(scratch, &other, &store, &error), 0);
        test_set_commit(store, &next);
        assert_key(scratch, &expected, "renewed");
        store_close(store);
        ck_assert_int_eq(store_open(scratch, &other, &store, &error), 0);
        ck_assert_int_eq(store_put_rights(store, 0, &rights), 0);
        ck_assert_ptr_null(rights.changes);
        ck_assert_msg(store_rollback(store, 0, 0, &error) == 0, "%s", error_text(&error));
        assert_key(scratch, &expected, "rolled back");
        store_close(store);
}

START_TEST(readers_stay_readers) {
        static const mode_t modes[] = { 0600, 0640, 0644, 0660, 0440, 0400 };
        static const uid_t uids[2] = { 0, 7 };
        static const gid_t gids[2] = { 0, 5 };
        static const struct file_access configured[] = {
                { ANY, ANY, 0 },  { ANY, ANY, 0600 }, { ANY, ANY, 0640 }, { ANY, 9, 0 },
                { ANY, 9, 0640 }, { 8, ANY, 0 },      { 8, 9, 0640 },
        };
        const size_t stride = test_rounds(8) < 8 ? 5 : 1;

        if (geteuid() != 0) {
                test_skip("readers_stay_readers: needs root");
                return;
        }
        for (size_t i = 0; i < ELEMENTSOF(modes) * 2 * 2 * ELEMENTSOF(configured); i += stride)
                adopt_one(&(struct plain) { .mode = modes[i / 4 % ELEMENTSOF(modes)],
                                            .uid = uids[i % 2],
                                            .gid = gids[i / 2 % 2] },
                          &configured[i % ELEMENTSOF(configured)]);
        for (unsigned acl = ACL_ALONE; acl < ACL_MAX; acl++)
                for (size_t j = 0; j < ELEMENTSOF(gids); j++)
                        for (size_t k = 0; k < ELEMENTSOF(configured); k++)
                                adopt_one(&(struct plain) { .mode = 0600, .gid = gids[j], .acl = acl },
                                          &configured[k]);
}
END_TEST

/* What cannot be read of them is not guessed: the key is for its owner alone. */
START_TEST(damaged_rights_open_nothing) {
        static const char *const texts[] = { "",
                                             "uid 1",
                                             "uid 0\ngid 0\nmode 0666\n",
                                             "uid 0\ngid 0\nmode 07777\n",
                                             "uid 0\ngid 0\nmode 0640\nmode 0666\n",
                                             "uid -1\ngid 5\nmode 0640\n",
                                             "uid 99999999999\ngid 5\nmode 0640\n" };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_(test_set_clear) struct test_set set = test_set_make(0), next = test_set_make(1);
                _cleanup_(scratch_freep) char *scratch = scratch_new();
                const struct file_access silent = { ANY, ANY, 0 };
                const struct store_options other = options_of(&silent);
                struct store *store;

                ck_assert_int_eq(store_open(scratch, &other, &store, NULL), 0);
                test_set_commit(store, &set);
                store_close(store);
                scratch_write(scratch, "..gen-000001/.rights", texts[i], 0644);
                ck_assert_int_eq(store_open(scratch, &other, &store, NULL), 0);
                test_set_commit(store, &next);
                assert_key(scratch,
                           &(struct file_access) { .uid = geteuid(), .gid = getegid(), .mode = 0600 },
                           texts[i]);
                store_close(store);
        }
}
END_TEST

static mode_t mode_of(const char *scratch, const char *name) {
        _cleanup_(freep) char *path = scratch_path(scratch, name);
        struct stat st;

        ck_assert_int_eq(stat(path, &st), 0);
        return st.st_mode & 07777;
}

START_TEST(what_is_taken_out_of_a_file_is_kept) {
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *key = key_text(&set), *warning = NULL, *both = NULL, *published = NULL;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct store *store;

        ck_assert_int_ge(asprintf(&both, "%s%s", set.certificate_pem, key), 0);
        scratch_write(scratch, "tls.key", both, 0640);
        scratch_write(scratch, "tls.crt", both, 0644);
        scratch_write(scratch, "ca.crt", set.ca_pem, 0644);
        scratch_write(scratch, "tls.crt.original", "of another day", 0644);
        store = test_store_open(scratch);
        ck_assert_msg(store_adopt_plain(store, &warning, &error) == 0, "%s", error_text(&error));
        assert_list(scratch, "..data ..gen-000000 ca.crt connection.json tls.crt tls.crt.original "
                             "tls.crt.original.2 tls.key tls.key.original");
        assert_file(scratch, "tls.crt.original", "of another day");
        assert_file(scratch, "tls.crt.original.2", both);
        assert_file(scratch, "tls.key.original", both);
        ck_assert_uint_eq(mode_of(scratch, "tls.crt.original.2"), 0640);
        ck_assert_uint_eq(mode_of(scratch, "tls.key.original"), 0640);
        ck_assert_msg(warning && strstr(warning, "the original is tls.crt.original.2") &&
                              strstr(warning, "the original is tls.key.original") &&
                              strstr(warning, "configure an export"),
                      "%s", warning);
        published = scratch_read(scratch, "tls.crt");
        ck_assert_ptr_null(strstr(published, "PRIVATE KEY"));
        store_close(store);
}
END_TEST

/* Line ends and blank lines are no loss. */
START_TEST(what_loses_nothing_leaves_no_copy) {
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *key = key_text(&set), *warning = NULL, *windows = NULL;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct store *store;
        size_t size;
        FILE *out = open_memstream(&windows, &size);

        for (const char *p = set.certificate_pem; *p; p++)
                fprintf(out, *p == '\n' ? "\r\n" : "%c", *p);
        fputs("\r\n", out);
        fclose(out);
        scratch_write(scratch, "tls.key", key, 0600);
        scratch_write(scratch, "tls.crt", windows, 0644);
        scratch_write(scratch, "ca.crt", set.ca_pem, 0644);
        store = test_store_open(scratch);
        ck_assert_msg(store_adopt_plain(store, &warning, &error) == 0, "%s", error_text(&error));
        assert_list(scratch, "..data ..gen-000000 ca.crt connection.json tls.crt tls.key");
        ck_assert_ptr_null(warning);
        store_close(store);
}
END_TEST

TEST_MAIN("store access", readers_stay_readers, damaged_rights_open_nothing,
          what_is_taken_out_of_a_file_is_kept, what_loses_nothing_leaves_no_copy)
