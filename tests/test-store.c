#include "lib/store.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/connection.h"
#include "tests/support/scratch.h"
#include "tests/support/sets.h"
#include "tests/test.h"

static const struct store_options options = {
        .key_access = { .uid = (uid_t)-1, .gid = (gid_t)-1, .mode = 0600 },
        .public_access = { .uid = (uid_t)-1, .gid = (gid_t)-1, .mode = 0644 },
        .keep = 2,
};

static void assert_refused(const char *path, int expected, const char *text) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct store *store = NULL;

        ck_assert_int_eq(store_open(path, &options, &store, &error), expected);
        ck_assert_ptr_null(store);
        ck_assert_msg(strstr(error_text(&error), text), "%s", error_text(&error));
        ck_assert_msg(strstr(error_text(&error), path), "%s", error_text(&error));
}

static void assert_list(const char *directory, const char *expected) {
        _cleanup_(freep) char *list = scratch_list(directory);

        ck_assert_str_eq(list, expected);
}

static void assert_file(const char *directory, const char *name, const char *expected) {
        _cleanup_(freep) char *text = scratch_read(directory, name);

        ck_assert_msg(text != NULL, "no %s", name);
        ck_assert_str_eq(text, expected);
}

static void assert_loads(const struct store *store, uint64_t generation, const struct test_set *expected) {
        _cleanup_(set_clear) struct set set = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        uint8_t spki[SPKI_HASH_SIZE];

        ck_assert_msg(store_load(store, &set, &error) == 0, "%s", error_text(&error));
        ck_assert_uint_eq(set.generation, generation);
        ck_assert_str_eq(set.certificate_pem, expected->certificate_pem);
        key_spki(expected->key, spki);
        ck_assert_mem_eq(set.spki, spki, sizeof(spki));
        ck_assert_uint_gt(set.effective_expiry, set.not_before);
}

static void assert_damaged(const struct store *store, const char *text) {
        _cleanup_(set_clear) struct set set = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        ck_assert_int_eq(store_load(store, &set, &error), -EBADMSG);
        ck_assert_msg(strstr(error_text(&error), text), "%s", error_text(&error));
        ck_assert_ptr_null(set.key);
}

/* From now on N more descriptors can be opened; returns the limit to put back. */
static struct rlimit leave_descriptors(unsigned n) {
        int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
        struct rlimit before, limit;

        ck_assert_int_ge(next, 0);
        fd_close(next);
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
        limit = before;
        limit.rlim_cur = (rlim_t)next + n;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        return before;
}

/* --- Opening --- */

START_TEST(refuses_what_is_no_directory) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *file = scratch_path(scratch, "file"), *link = scratch_path(scratch, "link"),
                              *real = scratch_path(scratch, "real");

        scratch_write(scratch, "file", "", 0644);
        assert_refused(file, -ENOTDIR, "not a directory");
        ck_assert_int_eq(mkdir(real, 0755), 0);
        ck_assert_int_eq(symlink("real", link), 0);
        assert_refused(link, -ENOTDIR, "symbolic link");
}
END_TEST

START_TEST(refuses_a_directory_that_others_can_write_to) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();

        ck_assert_int_eq(chmod(scratch, 0770), 0);
        assert_refused(scratch, -EPERM, "mode 0770");
        ck_assert_int_eq(chmod(scratch, 01777), 0);
        assert_refused(scratch, -EPERM, "chmod go-w");
        ck_assert_int_eq(chmod(scratch, 0700), 0);
}
END_TEST

START_TEST(refuses_a_directory_of_another_user) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();

        ck_assert_int_eq(chown(scratch, 1, 1), 0);
        assert_refused(scratch, -EPERM, "belongs to user 'daemon'");
}
END_TEST

START_TEST(refuses_to_share_with_another_process) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);

        assert_refused(scratch, -EWOULDBLOCK, "another rekeyd");
        store = store_close(store);
        store = test_store_open(scratch);
}
END_TEST

START_TEST(makes_its_directory_with_parents) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *path = scratch_path(scratch, "a/b/orders");
        _cleanup_(store_closep) struct store *store = test_store_open(path);
        _cleanup_(set_clear) struct set set = { 0 };

        ck_assert(store_is_empty(store));
        ck_assert_int_eq(store_load(store, &set, NULL), -ENOENT);
        assert_list(path, "");
}
END_TEST

/* --- Stage and commit --- */

START_TEST(a_commit_needs_a_whole_stage) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        uint64_t generation;

        ck_assert_int_eq(store_commit(store, &generation, &error), -ENOENT);
        ck_assert_int_eq(store_stage_csr(store, "x", &error), -ENOENT);
        ck_assert_int_eq(store_stage_key(store, set.key, &error), 0);
        ck_assert_int_eq(store_commit(store, &generation, &error), -ENOENT);
        ck_assert_msg(strstr(error_text(&error), "no tls.crt"), "%s", error_text(&error));
        ck_assert(store_is_empty(store));
        assert_list(scratch, "..stage-000001");
}
END_TEST

START_TEST(commits_and_reads_back) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        _cleanup_(freep) char *key_path = scratch_path(scratch, "tls.key");
        struct stat st;

        ck_assert_uint_eq(test_set_commit(store, &first), 1);
        assert_loads(store, 1, &first);
        assert_list(scratch, "..data ..gen-000001 ca.crt connection.json tls.crt tls.key");
        assert_file(scratch, "tls.crt", first.certificate_pem);
        assert_file(scratch, "ca.crt", first.ca_pem);
        ck_assert_int_eq(stat(key_path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777u, 0600);

        ck_assert_uint_eq(test_set_commit(store, &second), 2);
        assert_loads(store, 2, &second);
        store = store_close(store);
        store = test_store_open(scratch);
        assert_loads(store, 2, &second);
        assert_list(scratch, "..data ..gen-000001 ..gen-000002 ca.crt connection.json tls.crt tls.key");
}
END_TEST

START_TEST(all_links_are_relative) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *before = scratch_path(scratch, "orders"),
                              *after = scratch_path(scratch, "moved");
        _cleanup_(store_closep) struct store *store = test_store_open(before);
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);

        test_set_commit(store, &set);
        store = store_close(store);
        ck_assert_int_eq(rename(before, after), 0);
        store = test_store_open(after);
        assert_loads(store, 1, &set);
        assert_file(after, "tls.crt", set.certificate_pem);
}
END_TEST

START_TEST(what_is_staged_survives_a_restart) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(stage_clear) struct stage stage = { 0 };
        _cleanup_(freep) char *token = scratch_path(scratch, "..stage-000001/token");
        struct stat st;

        ck_assert_int_eq(store_stage_load(store, &stage, NULL), 0);
        ck_assert_ptr_null(stage.key);

        ck_assert_int_eq(store_stage_key(store, set.key, NULL), 0);
        ck_assert_int_eq(store_stage_csr(store, "csr", NULL), 0);
        ck_assert_int_eq(store_stage_token(store, "secret", NULL), 0);
        ck_assert_int_eq(store_stage_connection(store, "{}", NULL), 0);
        ck_assert_int_eq(stat(token, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777u, 0600);
        store = store_close(store);
        store = test_store_open(scratch);

        ck_assert_int_eq(store_stage_load(store, &stage, NULL), 0);
        ck_assert_ptr_nonnull(stage.key);
        ck_assert_str_eq(stage.csr_pem, "csr");
        ck_assert_str_eq(stage.token, "secret");
        ck_assert_str_eq(stage.connection_json, "{}");
        ck_assert_ptr_null(stage.certificate_pem);

        stage_clear(&stage);
        ck_assert_int_eq(store_stage_certificate(store, "crt", "ca", NULL), 0);
        ck_assert_int_eq(store_stage_drop_token(store, NULL), 0);
        ck_assert_int_eq(store_stage_load(store, &stage, NULL), 0);
        ck_assert_ptr_null(stage.token);
        ck_assert_str_eq(stage.certificate_pem, "crt");

        stage_clear(&stage);
        ck_assert_int_eq(store_stage_drop_certificate(store, NULL), 0);
        ck_assert_int_eq(store_stage_drop_certificate(store, NULL), 0);
        ck_assert_int_eq(store_stage_load(store, &stage, NULL), 0);
        ck_assert_ptr_nonnull(stage.key);
        ck_assert_ptr_null(stage.certificate_pem);
        ck_assert_ptr_null(stage.ca_pem);
}
END_TEST

START_TEST(a_commit_leaves_no_token_and_no_request) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(freep) char *generation = scratch_path(scratch, "..gen-000001");
        uint64_t number;

        ck_assert_int_eq(store_stage_key(store, set.key, NULL), 0);
        ck_assert_int_eq(store_stage_csr(store, "csr", NULL), 0);
        ck_assert_int_eq(store_stage_token(store, "secret", NULL), 0);
        ck_assert_int_eq(store_stage_connection(store, "{}", NULL), 0);
        ck_assert_int_eq(store_stage_certificate(store, set.certificate_pem, set.ca_pem, NULL), 0);
        ck_assert_int_eq(store_commit(store, &number, NULL), 0);
        assert_list(generation, "ca.crt connection.json tls.crt tls.key");
}
END_TEST

START_TEST(the_connection_is_carried_over) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        uint64_t number;

        ck_assert_int_eq(store_stage_key(store, first.key, NULL), 0);
        ck_assert_int_eq(store_stage_connection(store, "{\"directorURL\": \"https://d\"}", NULL), 0);
        ck_assert_int_eq(store_stage_certificate(store, first.certificate_pem, first.ca_pem, NULL), 0);
        ck_assert_int_eq(store_commit(store, &number, NULL), 0);
        test_set_commit(store, &second);
        assert_file(scratch, "connection.json", "{\"directorURL\": \"https://d\"}");
}
END_TEST

START_TEST(keeps_generations_for_readers_then_prunes) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        _cleanup_(freep) char *list = NULL;

        for (unsigned i = 0; i < 6; i++)
                test_set_commit(store, i % 2 == 0 ? &first : &second);
        /* `keep: 2`, but all six were current within the last minute. */
        list = scratch_list(scratch);
        ck_assert_msg(has_prefix(list, "..data ..gen-000001 ..gen-000002 ..gen-000003"), "%s", list);
}
END_TEST

START_TEST(prunes_beyond_keep_after_the_grace) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = NULL;
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        struct store_options no_grace = options;

        no_grace.grace_usec = 0;
        no_grace.keep = 3;
        ck_assert_int_eq(store_open(scratch, &no_grace, &store, NULL), 0);
        for (unsigned i = 0; i < 6; i++)
                test_set_commit(store, i % 2 == 0 ? &first : &second);
        assert_list(scratch,
                    "..data ..gen-000004 ..gen-000005 ..gen-000006 ca.crt connection.json tls.crt tls.key");
        assert_loads(store, 6, &second);
}
END_TEST

/* --- Recovery --- */

START_TEST(finishes_a_commit_that_was_cut_off) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        _cleanup_(freep) char *data = scratch_path(scratch, "..data");

        test_set_commit(store, &first);
        test_set_commit(store, &second);
        /* As if the machine had stopped between the two renames. */
        ck_assert_int_eq(unlink(data), 0);
        ck_assert_int_eq(symlink("..gen-000001", data), 0);
        store = store_close(store);
        store = test_store_open(scratch);
        assert_loads(store, 2, &second);
        assert_file(scratch, "tls.crt", second.certificate_pem);
}
END_TEST

START_TEST(removes_litter_and_nothing_else) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(freep) char *old_stage = scratch_path(scratch, "..stage-000001"),
                              *new_stage = scratch_path(scratch, "..stage-000002");

        test_set_commit(store, &set);
        store = store_close(store);
        ck_assert_int_eq(mkdir(old_stage, 0700), 0);
        scratch_write(old_stage, "tls.key", "half a key", 0600);
        ck_assert_int_eq(mkdir(new_stage, 0700), 0);
        scratch_write(scratch, ".data.rekeyd", "", 0600);
        scratch_write(scratch, ".tls.crt.rekeyd", "", 0600);
        scratch_write(scratch, "notes.txt", "mine", 0644);
        scratch_write(scratch, "..gen-1", "not ours", 0644);
        store = test_store_open(scratch);
        assert_list(scratch, "..data ..gen-000001 ..gen-1 ..stage-000002 ca.crt connection.json notes.txt "
                             "tls.crt tls.key");
        assert_loads(store, 1, &set);
}
END_TEST

START_TEST(tells_a_damaged_set) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0), other = test_set_make(1);
        _cleanup_(freep) char *generation = scratch_path(scratch, "..gen-000001"),
                              *certificate = scratch_path(generation, "tls.crt"),
                              *key = scratch_path(generation, "tls.key");

        test_set_commit(store, &set);
        scratch_write(generation, "tls.crt", other.certificate_pem, 0644);
        assert_damaged(store, "tls.key is not the key of the first certificate in tls.crt");
        scratch_write(generation, "tls.crt", "-----BEGIN CERTIFICATE-----\nAAAA", 0644);
        assert_damaged(store, "tls.crt");
        ck_assert_int_eq(unlink(certificate), 0);
        assert_damaged(store, "cannot read tls.crt");
        ck_assert_int_eq(symlink("/etc/passwd", certificate), 0);
        assert_damaged(store, "symbolic link where a file is expected");
        ck_assert_int_eq(unlink(key), 0);
        assert_damaged(store, "tls.key");
}
END_TEST

START_TEST(a_lost_link_is_made_again) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(freep) char *link = scratch_path(scratch, "tls.key"),
                              *data = scratch_path(scratch, "..data");

        test_set_commit(store, &set);
        ck_assert_int_eq(unlink(link), 0);
        ck_assert_int_eq(unlink(data), 0);
        store = store_close(store);
        store = test_store_open(scratch);
        assert_loads(store, 1, &set);
        assert_list(scratch, "..data ..gen-000001 ca.crt connection.json tls.crt tls.key");
}
END_TEST

/* --- Adoption --- */

static char *key_text(const struct test_set *set) {
        const char *pem;
        size_t size;

        key_pem(set->key, &pem, &size);
        return strndup(pem, size);
}

START_TEST(adopts_plain_files_as_they_are) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(freep) char *key = key_text(&set), *warning = NULL;
        _cleanup_(store_closep) struct store *store = NULL;
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        scratch_write(scratch, "tls.key", key, 0644);
        scratch_write(scratch, "tls.crt", set.certificate_pem, 0644);
        scratch_write(scratch, "ca.crt", set.ca_pem, 0644);
        scratch_write(scratch, "connection.json", "{\"mine\": true}", 0644);
        store = test_store_open(scratch);
        ck_assert_msg(store_adopt_plain(store, &warning, &error) == 0, "%s", error_text(&error));
        ck_assert_msg(warning && strstr(warning, "can be read by every user") && strstr(warning, scratch),
                      "%s", warning);
        assert_loads(store, 0, &set);
        assert_list(scratch, "..data ..gen-000000 ca.crt connection.json tls.crt tls.key");
        assert_file(scratch, "connection.json", "{\"mine\": true}");
        ck_assert_int_eq(store_adopt_plain(store, &warning, &error), -ENOENT);
}
END_TEST

START_TEST(adopts_nothing_that_does_not_match) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0), other = test_set_make(1);
        _cleanup_(freep) char *key = key_text(&other), *warning = NULL;
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        ck_assert_int_eq(store_adopt_plain(store, &warning, &error), -ENOENT);
        scratch_write(scratch, "tls.crt", set.certificate_pem, 0644);
        ck_assert_int_lt(store_adopt_plain(store, &warning, &error), 0);
        ck_assert_msg(strstr(error_text(&error), "there is no tls.key"), "%s", error_text(&error));
        scratch_write(scratch, "tls.key", key, 0600);
        ck_assert_int_lt(store_adopt_plain(store, &warning, &error), 0);
        ck_assert_msg(strstr(error_text(&error), "does not belong"), "%s", error_text(&error));
        assert_list(scratch, "tls.crt tls.key");
        assert_file(scratch, "tls.key", key);
}
END_TEST

START_TEST(a_link_to_elsewhere_is_not_adopted) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(freep) char *key = key_text(&set), *warning = NULL,
                              *link = scratch_path(scratch, "tls.key");
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        scratch_write(scratch, "real.key", key, 0600);
        scratch_write(scratch, "tls.crt", set.certificate_pem, 0644);
        ck_assert_int_eq(symlink("real.key", link), 0);
        ck_assert_int_eq(store_adopt_plain(store, &warning, &error), -ELOOP);
        ck_assert_msg(strstr(error_text(&error), "symbolic link to real.key"), "%s", error_text(&error));
        ck_assert(store_is_empty(store));
}
END_TEST

START_TEST(finishes_an_adoption_that_was_cut_off) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(freep) char *key = key_text(&set), *warning = NULL,
                              *link = scratch_path(scratch, "tls.crt");
        _cleanup_(store_closep) struct store *store = NULL;
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        scratch_write(scratch, "tls.key", key, 0600);
        scratch_write(scratch, "tls.crt", set.certificate_pem, 0644);
        store = test_store_open(scratch);
        ck_assert_int_eq(store_adopt_plain(store, &warning, &error), 0);
        store = store_close(store);
        /* One of the plain files is still there, as before its replacement. */
        ck_assert_int_eq(unlink(link), 0);
        scratch_write(scratch, "tls.crt", set.certificate_pem, 0644);
        store = test_store_open(scratch);
        ck_assert_msg(store_adopt_plain(store, &warning, &error) == 0, "%s", error_text(&error));
        assert_loads(store, 0, &set);
        ck_assert_int_eq(store_adopt_plain(store, &warning, &error), -ENOENT);
}
END_TEST

START_TEST(files_of_another_origin_are_not_lost) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0), other = test_set_make(1);
        _cleanup_(freep) char *warning = NULL, *link = scratch_path(scratch, "tls.crt");
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct store_options no_grace = options;

        test_set_commit(store, &set);
        ck_assert_int_eq(unlink(link), 0);
        scratch_write(scratch, "tls.crt", other.certificate_pem, 0644);
        /* Somebody may be about to copy the key as well. */
        ck_assert_int_eq(store_adopt_plain(store, &warning, &error), -EAGAIN);
        ck_assert_msg(strstr(error_text(&error), "does not belong"), "%s", error_text(&error));
        assert_file(scratch, "tls.crt", other.certificate_pem);
        assert_loads(store, 1, &set);

        store = store_close(store);
        no_grace.grace_usec = 0;
        ck_assert_int_eq(store_open(scratch, &no_grace, &store, NULL), 0);
        ck_assert_int_eq(store_adopt_plain(store, &warning, NULL), -ENOENT);
        ck_assert_msg(warning && strstr(warning, "set aside"), "%s", warning);
        assert_file(scratch, "tls.crt", set.certificate_pem);
        assert_file(scratch, "tls.crt.set-aside", other.certificate_pem);
}
END_TEST

static struct test_set test_set_make_longer(unsigned i) {
        _cleanup_(x509_cert_clear) struct x509_cert ca = x509_make(
                &(struct x509_options) { .ca = true, .key = x509_key(7), .subject = "CN=Newer CA" });
        _cleanup_(x509_cert_clear) struct x509_cert leaf =
                x509_make(&(struct x509_options) { .issuer = &ca,
                                                   .key = x509_key(i),
                                                   .subject = "O=Org,CN=orders",
                                                   .not_after = X509_NOW + 200 * USEC_PER_DAY });
        struct test_set set = test_set_make(i);

        free(set.certificate_pem);
        free(set.ca_pem);
        set.certificate_pem = strdup(leaf.pem);
        set.ca_pem = strdup(ca.pem);
        return set;
}

START_TEST(a_newer_pair_that_somebody_put_there_is_adopted) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0), newer = test_set_make_longer(1);
        _cleanup_(freep) char *key = key_text(&newer), *warning = NULL,
                              *key_link = scratch_path(scratch, "tls.key"),
                              *crt_link = scratch_path(scratch, "tls.crt"), *list = NULL;
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        test_set_commit(store, &set);
        ck_assert_int_eq(unlink(key_link), 0);
        ck_assert_int_eq(unlink(crt_link), 0);
        scratch_write(scratch, "tls.key", key, 0600);
        scratch_write(scratch, "tls.crt", newer.certificate_pem, 0644);
        ck_assert_msg(store_adopt_plain(store, &warning, &error) == 0, "%s", error_text(&error));
        assert_loads(store, 2, &newer);
        assert_file(scratch, "tls.crt", newer.certificate_pem);
        list = scratch_list(scratch);
        ck_assert_str_eq(list, "..data ..gen-000001 ..gen-000002 ca.crt connection.json tls.crt tls.key");
        ck_assert_int_eq(store_adopt_plain(store, &warning, &error), -ENOENT);
}
END_TEST

/* Files that wait since before the start are past the time of grace. */
START_TEST(a_machine_out_of_descriptors_sets_nothing_aside) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0), newer = test_set_make_longer(1);
        _cleanup_(freep) char *key = key_text(&newer), *warning = NULL,
                              *key_link = scratch_path(scratch, "tls.key"),
                              *crt_link = scratch_path(scratch, "tls.crt");
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct store_options no_grace = options;
        struct rlimit limit;
        int r;

        test_set_commit(store, &set);
        ck_assert_int_eq(unlink(key_link), 0);
        ck_assert_int_eq(unlink(crt_link), 0);
        scratch_write(scratch, "tls.key", key, 0600);
        scratch_write(scratch, "tls.crt", newer.certificate_pem, 0644);
        store = store_close(store);
        no_grace.grace_usec = 0;
        ck_assert_int_eq(store_open(scratch, &no_grace, &store, NULL), 0);

        limit = leave_descriptors(0);
        r = store_adopt_plain(store, &warning, &error);
        setrlimit(RLIMIT_NOFILE, &limit);
        ck_assert_int_eq(r, -EMFILE);
        ck_assert_msg(strstr(error_text(&error), scratch), "%s", error_text(&error));
        ck_assert_ptr_null(warning);

        ck_assert_int_eq(store_adopt_plain(store, &warning, &error), 0);
        assert_loads(store, 2, &newer);
}
END_TEST

/* --- Rollback and repair --- */

START_TEST(rolls_back_by_a_copy) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        test_set_commit(store, &first);
        test_set_commit(store, &second);
        ck_assert_int_eq(store_rollback(store, 2, X509_NOW, &error), -EALREADY);
        ck_assert_int_eq(store_rollback(store, 7, X509_NOW, &error), -ENOENT);
        ck_assert_int_eq(store_rollback(store, 1, X509_NOW + 365 * USEC_PER_DAY, &error), -EKEYEXPIRED);
        ck_assert_msg(strstr(error_text(&error), "expired at"), "%s", error_text(&error));
        assert_loads(store, 2, &second);

        ck_assert_msg(store_rollback(store, 1, X509_NOW, &error) == 0, "%s", error_text(&error));
        assert_loads(store, 3, &first);
        /* A restart does not undo it. */
        store = store_close(store);
        store = test_store_open(scratch);
        assert_loads(store, 3, &first);
        assert_file(scratch, "tls.crt", first.certificate_pem);
}
END_TEST

START_TEST(does_not_roll_back_to_what_is_damaged) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        _cleanup_(freep) char *generation = scratch_path(scratch, "..gen-000001");
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        test_set_commit(store, &first);
        test_set_commit(store, &second);
        scratch_write(generation, "tls.crt", second.certificate_pem, 0644);
        ck_assert_int_eq(store_rollback(store, 1, X509_NOW, &error), -EBADMSG);
        assert_loads(store, 2, &second);
}
END_TEST

START_TEST(repairs_from_the_last_good_generation) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        _cleanup_(freep) char *old = scratch_path(scratch, "..gen-000001"),
                              *new = scratch_path(scratch, "..gen-000002");
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        uint64_t generation;

        test_set_commit(store, &first);
        test_set_commit(store, &second);
        scratch_write(new, "tls.key", "", 0600);
        assert_damaged(store, "tls.key");
        ck_assert_msg(store_repair(store, &generation, &error) == 0, "%s", error_text(&error));
        ck_assert_uint_eq(generation, 1);
        assert_loads(store, 3, &first);

        scratch_write(old, "tls.key", "", 0600);
        _cleanup_(freep) char *copy = scratch_path(scratch, "..gen-000003");
        scratch_write(copy, "tls.crt", "", 0600);
        ck_assert_int_eq(store_repair(store, &generation, &error), -ENOENT);
        ck_assert_msg(strstr(error_text(&error), "no generation"), "%s", error_text(&error));
}
END_TEST

/* It survives a rollback that fails or is cut off; one that is done drops it. */
START_TEST(a_rollback_drops_what_is_staged) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        _cleanup_(stage_clear) struct stage stage = { 0 };
        _cleanup_(freep) char *cut_off = scratch_path(scratch, "..stage-000000");

        test_set_commit(store, &first);
        test_set_commit(store, &second);
        ck_assert_int_eq(mkdir(cut_off, 0700), 0);
        scratch_write(cut_off, "tls.key", "", 0600);
        store = store_close(store);
        store = test_store_open(scratch);
        assert_list(scratch, "..data ..gen-000001 ..gen-000002 ca.crt connection.json tls.crt tls.key");

        ck_assert_int_eq(store_stage_key(store, second.key, NULL), 0);
        ck_assert_int_eq(store_rollback(store, 1, X509_NOW, NULL), 0);
        assert_loads(store, 3, &first);
        assert_list(scratch,
                    "..data ..gen-000001 ..gen-000002 ..gen-000003 ca.crt connection.json tls.crt tls.key");
        ck_assert_int_eq(store_stage_load(store, &stage, NULL), 0);
        ck_assert_ptr_null(stage.key);
}
END_TEST

START_TEST(opening_removes_what_is_half_written_in_the_stage) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(freep) char *stage = scratch_path(scratch, "..stage-000001");

        ck_assert_int_eq(store_stage_key(store, set.key, NULL), 0);
        scratch_write(stage, ".token.rekeyd", "half a tok", 0600);
        store = store_close(store);
        store = test_store_open(scratch);
        assert_list(stage, "tls.key");
}
END_TEST

/* Otherwise a moment without descriptors would bring back a set that is older than need be. */
START_TEST(repairs_nothing_while_generations_cannot_be_read) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        _cleanup_(freep) char *new = scratch_path(scratch, "..gen-000003");
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        uint64_t generation;
        struct rlimit limit;
        int r;

        test_set_commit(store, &first);
        test_set_commit(store, &second);
        test_set_commit(store, &first);
        scratch_write(new, "tls.key", "", 0600);

        limit = leave_descriptors(1); /* for the directory of a generation, and none for what is in it */
        r = store_repair(store, &generation, &error);
        setrlimit(RLIMIT_NOFILE, &limit);
        ck_assert_int_eq(r, -EMFILE);
        ck_assert_msg(strstr(error_text(&error), scratch), "%s", error_text(&error));

        ck_assert_int_eq(store_repair(store, &generation, &error), 0);
        ck_assert_uint_eq(generation, 2);
        assert_loads(store, 4, &second);
}
END_TEST

START_TEST(a_rollback_that_fails_names_the_directory) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct rlimit limit, before;
        int r;

        test_set_commit(store, &first);
        test_set_commit(store, &second);
        ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
        limit = before;
        limit.rlim_cur = 1;
        ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        r = store_rollback(store, 1, X509_NOW, &error);
        setrlimit(RLIMIT_FSIZE, &before);
        ck_assert_int_eq(r, -EFBIG);
        ck_assert_msg(strstr(error_text(&error), scratch), "%s", error_text(&error));
        assert_loads(store, 2, &second);
}
END_TEST

START_TEST(imports_from_elsewhere_and_orders_the_chain) {
        _cleanup_(scratch_freep) char *scratch = scratch_new(), *source = scratch_new();
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(freep) char *key = key_text(&set), *warning = NULL, *mixed = NULL,
                              *key_path = scratch_path(source, "my.key"),
                              *crt_path = scratch_path(source, "my.crt");
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        /* CA first, as the older Connector writes it. */
        ck_assert_int_ge(asprintf(&mixed, "%s%s", set.ca_pem, set.certificate_pem), 0);
        scratch_write(source, "my.key", key, 0600);
        ck_assert_int_lt(store_adopt_files(store, key_path, crt_path, NULL, &warning, &error), 0);
        ck_assert_msg(strstr(error_text(&error), crt_path), "%s", error_text(&error));
        scratch_write(source, "my.crt", mixed, 0644);
        ck_assert_msg(store_adopt_files(store, key_path, crt_path, NULL, &warning, &error) == 0, "%s",
                      error_text(&error));
        ck_assert_ptr_null(warning);
        assert_loads(store, 0, &set);
        assert_file(scratch, "ca.crt", set.ca_pem);
        assert_file(source, "my.crt", mixed);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("store");

        x509_key(1);
        x509_key(7);
        TEST_CASE(suite, refuses_what_is_no_directory);
        TEST_CASE(suite, refuses_a_directory_that_others_can_write_to);
        if (geteuid() == 0)
                TEST_CASE(suite, refuses_a_directory_of_another_user);
        else
                test_skip("refuses_a_directory_of_another_user: only root can give a directory away");
        TEST_CASE(suite, refuses_to_share_with_another_process);
        TEST_CASE(suite, makes_its_directory_with_parents);
        TEST_CASE(suite, a_commit_needs_a_whole_stage);
        TEST_CASE(suite, commits_and_reads_back);
        TEST_CASE(suite, all_links_are_relative);
        TEST_CASE(suite, what_is_staged_survives_a_restart);
        TEST_CASE(suite, a_commit_leaves_no_token_and_no_request);
        TEST_CASE(suite, the_connection_is_carried_over);
        TEST_CASE(suite, keeps_generations_for_readers_then_prunes);
        TEST_CASE(suite, prunes_beyond_keep_after_the_grace);
        TEST_CASE(suite, finishes_a_commit_that_was_cut_off);
        TEST_CASE(suite, removes_litter_and_nothing_else);
        TEST_CASE(suite, tells_a_damaged_set);
        TEST_CASE(suite, a_lost_link_is_made_again);
        TEST_CASE(suite, adopts_plain_files_as_they_are);
        TEST_CASE(suite, adopts_nothing_that_does_not_match);
        TEST_CASE(suite, a_link_to_elsewhere_is_not_adopted);
        TEST_CASE(suite, finishes_an_adoption_that_was_cut_off);
        TEST_CASE(suite, files_of_another_origin_are_not_lost);
        TEST_CASE(suite, a_newer_pair_that_somebody_put_there_is_adopted);
        TEST_CASE(suite, a_machine_out_of_descriptors_sets_nothing_aside);
        TEST_CASE(suite, rolls_back_by_a_copy);
        TEST_CASE(suite, a_rollback_that_fails_names_the_directory);
        TEST_CASE(suite, a_rollback_drops_what_is_staged);
        TEST_CASE(suite, opening_removes_what_is_half_written_in_the_stage);
        TEST_CASE(suite, does_not_roll_back_to_what_is_damaged);
        TEST_CASE(suite, repairs_from_the_last_good_generation);
        TEST_CASE(suite, repairs_nothing_while_generations_cannot_be_read);
        TEST_CASE(suite, imports_from_elsewhere_and_orders_the_chain);
        return test_run(suite);
}
