/* The store on the real disk: opening, stage and commit, recovery. Adoption, and rollback with repair, have
 * programs of their own. */

#include "lib/store/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/protocol/connection.h"
#include "lib/store/store-private.h"
#include "tests/unit/store/store-checks.h"

static void assert_refused(const char *path, int expected, const char *text) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct store *store = NULL;

        ck_assert_int_eq(store_open(path, &options, &store, &error), expected);
        ck_assert_ptr_null(store);
        ck_assert_msg(strstr(error_text(&error), text), "%s", error_text(&error));
        ck_assert_msg(strstr(error_text(&error), path), "%s", error_text(&error));
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

        ck_assert_int_eq(chown(scratch, (uid_t)-1, 4711), 0);
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
        assert_refused(scratch, -EPERM, "is owned by user 'daemon'");
}
END_TEST

/* A copy that has followed links: no rename puts a link in the place of a directory, and after the proof
 * would be the worst time to find out. */
START_TEST(refuses_a_directory_in_the_place_of_its_link) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = NULL;
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(freep) char *data = scratch_path(scratch, "..data");

        ck_assert_int_eq(mkdir(data, 0755), 0);
        assert_refused(scratch, -EISDIR, "/..data: it is a directory where a link is expected");
        ck_assert_int_eq(rmdir(data), 0);
        store = test_store_open(scratch);
        test_set_commit(store, &set);
        store = store_close(store);
        ck_assert_int_eq(unlink(data), 0);
        ck_assert_int_eq(mkdir(data, 0755), 0);
        assert_refused(scratch, -EISDIR, "/..data: it is a directory where a link is expected");
        ck_assert_int_eq(rmdir(data), 0);
        store = test_store_open(scratch);
        assert_loads(store, 1, &set);
}
END_TEST

/* Nor would the journal take it, and the next one would be no number any more. */
START_TEST(a_number_beyond_all_counting_is_none) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0), second = test_set_make(1);
        _cleanup_(freep) char *path = scratch_path(scratch, "..gen-18446744073709551614");

        test_set_commit(store, &set);
        store = store_close(store);
        ck_assert_int_eq(mkdir(path, 0755), 0);
        store = test_store_open(scratch);
        assert_loads(store, 1, &set);
        test_set_commit(store, &second);
        assert_loads(store, 2, &second);
        ck_assert_int_eq(access(path, F_OK), 0);
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
        _cleanup_(freep) char *ca = scratch_path(scratch, "..stage-000001/ca.crt");
        uint64_t generation;

        ck_assert_int_eq(store_commit(store, &generation, &error), -ENOENT);
        ck_assert_int_eq(store_stage_parts(store, &(struct store_staged) { .csr_pem = "x" }, &error),
                         -ENOENT);
        ck_assert_int_eq(store_stage_key(store, set.key, &error), 0);
        ck_assert_int_eq(store_commit(store, &generation, &error), -ENOENT);
        ck_assert_msg(strstr(error_text(&error), "no tls.crt"), "%s", error_text(&error));
        ck_assert_int_eq(store_stage_parts(store,
                                           &(struct store_staged) { .ca_pem = set.ca_pem,
                                                                    .certificate_pem = set.certificate_pem },
                                           NULL),
                         0);
        ck_assert_int_eq(unlink(ca), 0);
        ck_assert_int_eq(store_commit(store, &generation, &error), -ENOENT);
        ck_assert_msg(strstr(error_text(&error), "no ca.crt"), "%s", error_text(&error));
        ck_assert(store_is_empty(store));
        assert_list(scratch, "..stage-000001");
}
END_TEST

START_TEST(commits_and_reads_back) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        _cleanup_(freep) char *key_path = scratch_path(scratch, "tls.key"),
                              *generation = scratch_path(scratch, "..gen-000001");
        struct stat st;

        ck_assert_uint_eq(test_set_commit(store, &first), 1);
        assert_loads(store, 1, &first);
        assert_list(scratch, "..data ..gen-000001 ca.crt connection.json tls.crt tls.key");
        assert_file(scratch, "tls.crt", first.certificate_pem);
        assert_file(scratch, "ca.crt", first.ca_pem);
        ck_assert_int_eq(stat(key_path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777u, 0600);
        ck_assert_int_eq(stat(generation, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777u, 0755);

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
        _cleanup_(freep) char *directory = scratch_path(scratch, "..stage-000001"),
                              *token = scratch_path(directory, "token");
        struct stat st;

        ck_assert_int_eq(store_stage_load(store, &stage, NULL), 0);
        ck_assert_ptr_null(stage.key);

        ck_assert_int_eq(store_stage_key(store, set.key, NULL), 0);
        ck_assert_int_eq(store_stage_parts(store, &(struct store_staged) { .csr_pem = "csr" }, NULL), 0);
        ck_assert_int_eq(store_stage_parts(store, &(struct store_staged) { .token = "secret" }, NULL), 0);
        ck_assert_int_eq(store_stage_parts(store, &(struct store_staged) { .connection_json = "{}" }, NULL),
                         0);
        ck_assert_int_eq(stat(token, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777u, 0600);
        ck_assert_int_eq(stat(directory, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777u, 0700);
        store = store_close(store);
        store = test_store_open(scratch);

        ck_assert_int_eq(store_stage_load(store, &stage, NULL), 0);
        ck_assert_ptr_nonnull(stage.key);
        ck_assert_str_eq(stage.csr_pem, "csr");
        ck_assert_str_eq(stage.token, "secret");
        ck_assert_str_eq(stage.connection_json, "{}");
        ck_assert_ptr_null(stage.certificate_pem);

        stage_clear(&stage);
        ck_assert_int_eq(
                store_stage_parts(store, &(struct store_staged) { .ca_pem = "ca", .certificate_pem = "crt" },
                                  NULL),
                0);
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

        /* A key that is damaged is none, and the next attempt makes another. */
        stage_clear(&stage);
        scratch_write(directory, "tls.key", "half a key", 0600);
        ck_assert_int_eq(store_stage_load(store, &stage, NULL), 0);
        ck_assert_ptr_null(stage.key);
        ck_assert_ptr_null(stage.csr_pem);
}
END_TEST

START_TEST(a_commit_leaves_no_token_and_no_request) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(freep) char *generation = scratch_path(scratch, "..gen-000001");
        uint64_t number;

        ck_assert_int_eq(store_stage_key(store, set.key, NULL), 0);
        ck_assert_int_eq(store_stage_parts(store, &(struct store_staged) { .csr_pem = "csr" }, NULL), 0);
        ck_assert_int_eq(store_stage_parts(store, &(struct store_staged) { .token = "secret" }, NULL), 0);
        ck_assert_int_eq(store_stage_parts(store, &(struct store_staged) { .connection_json = "{}" }, NULL),
                         0);
        ck_assert_int_eq(store_stage_parts(store,
                                           &(struct store_staged) { .ca_pem = set.ca_pem,
                                                                    .certificate_pem = set.certificate_pem },
                                           NULL),
                         0);
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
        ck_assert_int_eq(store_stage_parts(store,
                                           &(struct store_staged) {
                                                   .connection_json = "{\"directorURL\": \"https://d\"}" },
                                           NULL),
                         0);
        ck_assert_int_eq(
                store_stage_parts(store,
                                  &(struct store_staged) { .ca_pem = first.ca_pem,
                                                           .certificate_pem = first.certificate_pem },
                                  NULL),
                0);
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
        scratch_write(scratch, "..gen-9", "not ours", 0644);
        store = test_store_open(scratch);
        assert_list(scratch, "..data ..gen-000001 ..gen-9 ..stage-000002 ca.crt connection.json notes.txt "
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
                              *key = scratch_path(generation, "tls.key"),
                              *elsewhere = scratch_path(scratch, "elsewhere");

        test_set_commit(store, &set);
        scratch_write(generation, "ca.crt", other.ca_pem, 0644);
        assert_damaged(store, "tls.crt does not verify to ca.crt");
        scratch_write(generation, "ca.crt", set.ca_pem, 0644);
        ck_assert_int_eq(rename(key, elsewhere), 0);
        ck_assert_int_eq(symlink(elsewhere, key), 0);
        assert_damaged(store, "cannot read the private key tls.key");
        ck_assert_int_eq(rename(elsewhere, key), 0);
        assert_loads(store, 1, &set);
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

/* Only who looks at a generation, and never who works with it, gets a set without its key. */
START_TEST(a_key_that_may_not_be_read_is_no_set) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(set_clear) struct set loaded = { 0 }, looked_at = { 0 };
        int load, look;

        test_set_commit(store, &set);
        ck_assert_int_eq(chmod(scratch, 0755), 0);
        ck_assert_int_eq(seteuid(65534), 0);
        load = store_load(store, &loaded, &error);
        look = store_inspect_generation(store, 1, &looked_at, NULL);
        ck_assert_int_eq(seteuid(0), 0);
        ck_assert_int_eq(load, -EACCES);
        ck_assert_msg(strstr(error_text(&error), "cannot be read now"), "%s", error_text(&error));
        ck_assert_int_eq(look, 0);
        ck_assert_ptr_null(looked_at.key);
        ck_assert_str_eq(looked_at.certificate_pem, set.certificate_pem);
}
END_TEST

START_TEST(a_set_lasts_as_long_as_its_chain) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(x509_cert_clear) struct x509_cert ca =
                x509_make(&(struct x509_options) { .ca = true,
                                                   .key = x509_key(7),
                                                   .subject = "CN=Brief",
                                                   .not_after = X509_NOW + 5 * USEC_PER_DAY });
        _cleanup_(x509_cert_clear) struct x509_cert leaf = x509_make(
                &(struct x509_options) { .issuer = &ca, .key = x509_key(0), .subject = "O=Org,CN=orders" });
        _cleanup_(set_clear) struct set loaded = { 0 };

        free(set.certificate_pem);
        free(set.ca_pem);
        set.certificate_pem = strdup(leaf.pem);
        set.ca_pem = strdup(ca.pem);
        test_set_commit(store, &set);
        ck_assert_int_eq(store_load(store, &loaded, NULL), 0);
        ck_assert_uint_eq(loaded.effective_expiry, X509_NOW + 5 * USEC_PER_DAY);
}
END_TEST

START_TEST(a_machine_out_of_descriptors_is_no_damage) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(set_clear) struct set loaded = { 0 };
        struct rlimit saved, limit;
        int r;

        test_set_commit(store, &set);
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &saved), 0);
        limit = (struct rlimit) { 0, saved.rlim_max };
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        r = store_load(store, &loaded, &error);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &saved), 0);
        ck_assert_int_eq(r, -EMFILE);
        ck_assert_int_eq(error.code, -EMFILE);
        ck_assert_msg(strstr(error_text(&error), "..gen-000001 cannot be read now: ") &&
                              !strstr(error_text(&error), "damaged"),
                      "%s", error_text(&error));
}
END_TEST

/* Whatever else a machine may answer says nothing of the files either: to repair them would put an old set in
 * the place of a good one. */
START_TEST(what_blames_the_files) {
        static const int files[] = { EBADMSG, EINVAL, ENOENT, ENOTDIR,     EISDIR,
                                     ELOOP,   ENXIO,  EFBIG,  EKEYREJECTED },
                         machine[] = { ENOMEM, EMFILE, ENFILE, EIO,   EACCES,
                                       EPERM,  ENOSPC, EINTR,  EROFS, ESTALE };

        ck_assert(!store_blames_files(0));
        for (size_t i = 0; i < ELEMENTSOF(files); i++)
                ck_assert_msg(store_blames_files(-files[i]), "%s", strerrorname_np(files[i]));
        for (size_t i = 0; i < ELEMENTSOF(machine); i++)
                ck_assert_msg(!store_blames_files(-machine[i]), "%s", strerrorname_np(machine[i]));
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

/* Not for nothing, not in the place of one that is as good, and whatever else it is staged like any other. */
START_TEST(a_key_is_staged_ahead) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0), next = test_set_make(1);
        _cleanup_(stage_clear) struct stage stage = { 0 };
        _cleanup_(freep) char *directory = scratch_path(scratch, "..stage-000002");
        uint8_t spki[SPKI_HASH_SIZE], wanted[SPKI_HASH_SIZE];
        enum store_ahead ahead;

        ck_assert_int_eq(store_stage_ahead(store, next.key, &ahead, NULL), 0);
        ck_assert_int_eq(ahead, STORE_AHEAD_HAS_NONE);
        assert_list(scratch, "");
        test_set_commit(store, &set);
        ck_assert_int_eq(store_stage_ahead(store, next.key, &ahead, NULL), 0);
        ck_assert_int_eq(ahead, STORE_AHEAD_STAGED);
        assert_list(directory, "tls.key");
        ck_assert_int_eq(store_stage_ahead(store, set.key, &ahead, NULL), 0);
        ck_assert_int_eq(ahead, STORE_AHEAD_HAS_ONE);

        store = store_close(store);
        store = test_store_open(scratch);
        ck_assert_int_eq(store_stage_load(store, &stage, NULL), 0);
        key_spki(stage.key, spki);
        key_spki(next.key, wanted);
        ck_assert_mem_eq(spki, wanted, sizeof(spki));
}
END_TEST

START_TEST(a_key_that_is_in_use_is_not_dropped) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0), next = test_set_make(1);
        _cleanup_(freep) char *directory = scratch_path(scratch, "..stage-000002");
        enum store_ahead ahead;

        test_set_commit(store, &set);
        ck_assert_int_eq(store_stage_drop_unused(store, NULL), 0);
        for (unsigned i = 0; i < 2; i++) {
                ck_assert_int_eq(store_stage_ahead(store, next.key, &ahead, NULL), 0);
                ck_assert_int_eq(
                        store_stage_parts(store, &(struct store_staged) { .connection_json = "{}" }, NULL),
                        0);
                if (i == 1)
                        ck_assert_int_eq(
                                store_stage_parts(store, &(struct store_staged) { .csr_pem = "csr" }, NULL),
                                0);
                ck_assert_int_eq(store_stage_drop_unused(store, NULL), 0);
                ck_assert_int_eq(access(directory, F_OK), i == 1 ? 0 : -1);
        }
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
        TEST_CASE(suite, refuses_a_directory_in_the_place_of_its_link);
        TEST_CASE(suite, a_number_beyond_all_counting_is_none);
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
        TEST_CASE(suite, a_key_that_may_not_be_read_is_no_set);
        TEST_CASE(suite, a_set_lasts_as_long_as_its_chain);
        TEST_CASE(suite, a_machine_out_of_descriptors_is_no_damage);
        TEST_CASE(suite, what_blames_the_files);
        TEST_CASE(suite, a_lost_link_is_made_again);
        TEST_CASE(suite, opening_removes_what_is_half_written_in_the_stage);
        TEST_CASE(suite, a_key_is_staged_ahead);
        TEST_CASE(suite, a_key_that_is_in_use_is_not_dropped);
        return test_run(suite);
}
