/* A look at a certificate's directory: what is damaged or hostile, that nothing is ever changed; then what it
 * tells. Swaps meanwhile: test-inspect-swap.c. */

#include "lib/report/inspect.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "tests/support/scratch.h"
#include "tests/support/sets.h"
#include "tests/test.h"
#include "tests/unit/report/inspections.h"

/* Looks at SCRATCH, which must stay as it is; TEXT is in the problem, NULL: there is none. */
static struct inspection look(const char *scratch, const char *text) {
        _cleanup_(freep) char *before = scratch_tree(scratch), *after = NULL;
        struct inspection inspection = { 0 };

        ck_assert_int_eq(inspect_directory(scratch, &inspection), 0);
        after = scratch_tree(scratch);
        ck_assert_str_eq(before, after);
        assert_problem(&inspection, text);
        ck_assert_ptr_null(inspection.set.key);
        ck_assert_ptr_null(inspection.set.certificate_pem);
        ck_assert_ptr_null(inspection.set.ca_pem);
        ck_assert_ptr_null(inspection.set.connection_json);
        return inspection;
}

/* --- Nothing there --- */

START_TEST(a_missing_directory_is_no_problem_and_stays_missing) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *path = scratch_path(scratch, "orders"), *list = NULL;
        _cleanup_(inspection_clear) struct inspection inspection = { 0 };

        ck_assert_int_eq(inspect_directory(path, &inspection), 0);
        ck_assert(!inspection.has_set);
        assert_problem(&inspection, NULL);
        list = scratch_list(scratch);
        ck_assert_str_eq(list, "");
}
END_TEST

START_TEST(an_empty_directory_is_no_problem) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(inspection_clear) struct inspection inspection = look(scratch, NULL);

        ck_assert(!inspection.has_set);
        ck_assert_uint_eq(inspection.n_generations, 0);
        ck_assert_str_eq(inspection.fingerprint, "");
}
END_TEST

START_TEST(what_is_no_directory_is_not_entered) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *real = scratch_path(scratch, "real"), *link = scratch_path(scratch, "link"),
                              *file = scratch_path(scratch, "file");
        _cleanup_(inspection_clear) struct inspection inspection = { 0 }, other = { 0 };

        ck_assert_int_eq(mkdir(real, 0755), 0);
        make_two(real);
        ck_assert_int_eq(symlink("real", link), 0);
        scratch_write(scratch, "file", "", 0644);

        ck_assert_int_eq(inspect_directory(link, &inspection), 0);
        ck_assert(!inspection.has_set);
        assert_problem(&inspection, "a real directory is needed");
        ck_assert_int_eq(inspect_directory(file, &other), 0);
        assert_problem(&other, "a real directory is needed");
}
END_TEST

/* --- Damaged and hostile --- */

static void replace_by_link(const char *directory, const char *name, const char *target) {
        _cleanup_(freep) char *path = scratch_path(directory, name);

        (void)unlink(path);
        ck_assert_int_eq(symlink(target, path), 0);
}

static void replace_by_fifo(const char *directory, const char *name) {
        _cleanup_(freep) char *path = scratch_path(directory, name);

        (void)unlink(path);
        ck_assert_int_eq(mkfifo(path, 0644), 0);
}

static void replace_by_directory(const char *directory, const char *name) {
        _cleanup_(freep) char *path = scratch_path(directory, name);

        (void)unlink(path);
        ck_assert_int_eq(mkdir(path, 0755), 0);
}

static void replace_by_abyss(const char *directory, const char *name) {
        _cleanup_(freep) char *path = scratch_path(directory, name);

        ck_assert_int_eq(truncate(path, INT64_C(1) << 40), 0);
}

static void remove_file(const char *directory, const char *name) {
        _cleanup_(freep) char *path = scratch_path(directory, name);

        ck_assert_int_eq(unlink(path), 0);
}

/* Each does something to the current generation, whose directory is GENERATION. */
static void key_is_missing(_unused_ const char *scratch, const char *generation) {
        remove_file(generation, "tls.key");
}
static void key_is_a_fifo(_unused_ const char *scratch, const char *generation) {
        replace_by_fifo(generation, "tls.key");
}
static void key_is_an_abyss(_unused_ const char *scratch, const char *generation) {
        replace_by_abyss(generation, "tls.key");
}
static void key_is_of_another(const char *scratch, const char *generation) {
        _cleanup_(freep) char *key = scratch_read(scratch, "..gen-000001/tls.key");

        scratch_write(generation, "tls.key", key, 0600);
}
static void key_is_a_link(_unused_ const char *scratch, const char *generation) {
        replace_by_link(generation, "tls.key", "../..gen-000001/tls.key");
}
static void certificate_is_missing(_unused_ const char *scratch, const char *generation) {
        remove_file(generation, "tls.crt");
}
static void certificate_is_empty(_unused_ const char *scratch, const char *generation) {
        scratch_write(generation, "tls.crt", "", 0644);
}
static void certificate_is_a_fifo(_unused_ const char *scratch, const char *generation) {
        replace_by_fifo(generation, "tls.crt");
}
static void certificate_is_a_device(_unused_ const char *scratch, const char *generation) {
        replace_by_link(generation, "tls.crt", "/dev/zero");
}
static void certificate_is_an_abyss(_unused_ const char *scratch, const char *generation) {
        replace_by_abyss(generation, "tls.crt");
}
static void ca_is_garbage(_unused_ const char *scratch, const char *generation) {
        scratch_write(generation, "ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n", 0644);
}
static void ca_is_of_another(const char *scratch, const char *generation) {
        _cleanup_(freep) char *ca = scratch_read(scratch, "..gen-000001/ca.crt");

        scratch_write(generation, "ca.crt", ca, 0644);
}
static void connection_is_a_directory(_unused_ const char *scratch, const char *generation) {
        replace_by_directory(generation, "connection.json");
}
static void generation_is_missing(const char *scratch, _unused_ const char *generation) {
        replace_by_link(scratch, "..data", "..gen-000003");
}
static void generation_is_a_link(const char *scratch, _unused_ const char *generation) {
        replace_by_link(scratch, "..gen-000003", "..gen-000001");
        replace_by_link(scratch, "..data", "..gen-000003");
}
static void link_leads_out(const char *scratch, _unused_ const char *generation) {
        replace_by_link(scratch, "..data", "/etc");
}
static void link_leads_up(const char *scratch, _unused_ const char *generation) {
        replace_by_link(scratch, "..data", "../..gen-000001");
}
static void link_is_a_directory(const char *scratch, _unused_ const char *generation) {
        replace_by_directory(scratch, "..data");
}
static void link_is_a_fifo(const char *scratch, _unused_ const char *generation) {
        replace_by_fifo(scratch, "..data");
}
static void link_is_missing(const char *scratch, _unused_ const char *generation) {
        remove_file(scratch, "..data");
}

static const struct {
        void (*harm)(const char *scratch, const char *generation);
        const char *problem;
} harms[] = {
        { key_is_missing, "cannot read the private key tls.key: No such file" },
        { key_is_a_fifo, "cannot read the private key tls.key" },
        { key_is_an_abyss, "larger than 64 KiB" },
        { key_is_of_another, "tls.key is not the key of the first certificate" },
        { key_is_a_link, "cannot read the private key tls.key" },
        { certificate_is_missing, "cannot read tls.crt: No such file" },
        { certificate_is_empty, "no certificate" },
        { certificate_is_a_fifo, "cannot read tls.crt" },
        { certificate_is_a_device, "tls.crt is a symbolic link" },
        { certificate_is_an_abyss, "cannot read tls.crt: File too large" },
        { ca_is_garbage, "ca.crt" },
        { ca_is_of_another, "tls.crt does not verify to ca.crt" },
        { connection_is_a_directory, "cannot read connection.json" },
        { generation_is_missing, "..gen-000003 is damaged: cannot open its directory" },
        { generation_is_a_link, "..gen-000003 is damaged: cannot open its directory" },
        { link_leads_out, "..data is not a link to a generation" },
        { link_leads_up, "..data is not a link to a generation" },
        { link_is_a_directory, "..data is not a link to a generation" },
        { link_is_a_fifo, "..data is not a link to a generation" },
        { link_is_missing, "the link ..data is missing" },
};

START_TEST(whatever_is_wrong_with_a_set_is_said) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *generation = scratch_path(scratch, "..gen-000002");
        _cleanup_(inspection_clear) struct inspection inspection = { 0 };

        make_two(scratch);
        harms[_i].harm(scratch, generation);
        inspection = look(scratch, harms[_i].problem);
        ck_assert(!inspection.has_set);
        ck_assert_str_eq(inspection.fingerprint, "");
        ck_assert_msg(strstr(error_text(&inspection.problem), scratch), "%s",
                      error_text(&inspection.problem));

        /* The generation before it is whole, and told. */
        ck_assert_uint_ge(inspection.n_generations, 2);
        ck_assert_uint_eq(inspection.generations[inspection.n_generations - 1].number, 1);
        ck_assert_int_eq(inspection.generations[inspection.n_generations - 1].problem.code, 0);
        ck_assert_uint_eq(strlen(inspection.generations[inspection.n_generations - 1].fingerprint), 64);
}
END_TEST

START_TEST(a_connection_that_cannot_be_used_costs_no_set) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(inspection_clear) struct inspection inspection = { 0 };

        make_two(scratch);
        scratch_write(scratch, "..gen-000002/connection.json",
                      "{\"certificateSecuredConnectorURL\": \"http://x/\"}", 0644);
        inspection = look(scratch, "connection.json in ");
        ck_assert(inspection.has_set);
        ck_assert_ptr_null(inspection.connection.connector_url);
}
END_TEST

START_TEST(public_names_that_are_not_ours_are_told) {
        _cleanup_(scratch_freep) char *plain = scratch_new(), *foreign = scratch_new(), *link = scratch_new(),
                                      *fifo = scratch_new();
        _cleanup_(inspection_clear) struct inspection a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };

        scratch_write(plain, "tls.key", "", 0600);
        scratch_write(plain, "tls.crt", "", 0644);
        a = look(plain, "the files there were not adopted");
        ck_assert(!a.has_set);

        make_two(foreign);
        remove_file(foreign, "tls.crt");
        scratch_write(foreign, "tls.crt", "", 0644);
        b = look(foreign, "files of another origin are among the links");
        ck_assert(b.has_set);

        make_two(link);
        replace_by_link(link, "tls.key", "/etc/shadow");
        c = look(link, "it is a symbolic link to /etc/shadow");
        ck_assert(c.has_set);

        replace_by_fifo(fifo, "tls.key");
        d = look(fifo, "it is neither a file nor a link");
        ck_assert(!d.has_set);
}
END_TEST

START_TEST(only_so_many_generations_are_read) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(inspection_clear) struct inspection inspection = { 0 };

        for (unsigned i = 0; i < 200; i++) {
                char name[32];

                snprintf(name, sizeof(name), "..gen-%06u", i);
                replace_by_directory(scratch, name);
        }
        replace_by_directory(scratch, "..gen-999999999999");
        replace_by_directory(scratch, "..gen-1000000000000"); /* past the last number */
        replace_by_directory(scratch, "..gen-7");
        inspection = look(scratch, "the link ..data is missing");
        ck_assert_uint_eq(inspection.n_generations, INSPECT_GENERATIONS_MAX);
        ck_assert(inspection.generations[0].number == UINT64_C(999999999999));
        ck_assert_uint_eq(inspection.generations[1].number, 199);
        ck_assert_int_lt(inspection.generations[1].problem.code, 0);
}
END_TEST

/* --- Nothing is changed --- */

/* Everything that opening the store would clean up, finish or wait for. */
START_TEST(neither_litter_nor_a_lock_matters) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(inspection_clear) struct inspection inspection = { 0 };
        int fd;

        make_two(scratch);
        replace_by_link(scratch, "..data", "..gen-000001");
        replace_by_link(scratch, ".data.rekeyd", "..gen-000002");
        replace_by_directory(scratch, "..stage-000001");
        remove_file(scratch, "ca.crt");
        scratch_write(scratch, ".tls.key.rekeyd", "", 0600);
        fd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);

        inspection = look(scratch, NULL);
        fd_close(fd);
        ck_assert(inspection.has_set);
        ck_assert_uint_eq(inspection.set.generation, 1);
        ck_assert_uint_eq(inspection.n_generations, 2);
        ck_assert(!inspection.generations[0].is_current && inspection.generations[1].is_current);
}
END_TEST

/* --- What it tells --- */

/* A leaf that outlives its CA, with an intermediate. */
START_TEST(it_tells_all_of_a_set) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(x509_cert_clear) struct x509_cert root =
                x509_make(&(struct x509_options) { .ca = true, .key = x509_key(7), .subject = "CN=Root" });
        _cleanup_(x509_cert_clear) struct x509_cert middle =
                x509_make(&(struct x509_options) { .ca = true,
                                                   .key = x509_key(6),
                                                   .issuer = &root,
                                                   .subject = "CN=Middle",
                                                   .not_after = X509_NOW + 20 * USEC_PER_DAY });
        _cleanup_(x509_cert_clear) struct x509_cert leaf = x509_make(&(struct x509_options) {
                .issuer = &middle, .key = x509_key(0), .subject = "O=Org,CN=orders" });
        _cleanup_(freep) char *crt = X509_JOIN(&leaf, &middle, &leaf), *key = x509_key_pem(x509_key(0));
        _cleanup_(inspection_clear) struct inspection inspection = { 0 };
        _cleanup_(freep) char *subject = NULL, *ca = NULL, *serial = NULL;
        struct test_set set = { .certificate_pem = crt, .ca_pem = root.pem };
        struct store *store = test_store_open(scratch);

        ck_assert_int_eq(key_parse(key, strlen(key), &set.key, NULL), 0);
        test_set_commit(store, &set);
        scratch_write(scratch, "..gen-000001/connection.json",
                      "{\"directorURL\": \"https://d/\", \"certificateSecuredConnectorURL\": \"https://c/\"}",
                      0644);
        ck_assert_int_eq(store_stage_key(store, set.key, NULL), 0);
        ck_assert_int_eq(store_stage_parts(store, &(struct store_staged) { .csr_pem = "a request" }, NULL),
                         0);
        store_close(store);
        key_free(set.key);

        inspection = look(scratch, NULL);
        ck_assert(inspection.has_set);
        ck_assert_uint_eq(inspection.set.generation, 1);
        ck_assert_uint_eq(inspection.set.effective_expiry, X509_NOW + 20 * USEC_PER_DAY);
        ck_assert_uint_eq(inspection.set.not_before, X509_NOW - USEC_PER_DAY);
        ck_assert_str_eq(inspection.key, "rsa-2048");
        ck_assert_uint_eq(strlen(inspection.fingerprint), 64);
        serial = cert_serial_text(inspection.set.leaf);
        ck_assert_str_eq(serial, "02");

        ck_assert_uint_eq(inspection.chain.n, 1);
        subject = cert_subject_text(inspection.chain.items[0]);
        ck_assert_str_eq(subject, "CN=Middle");
        ck_assert_uint_eq(inspection.ca.n, 1);
        ca = cert_subject_text(inspection.ca.items[0]);
        ck_assert_str_eq(ca, "CN=Root");
        ck_assert_str_eq(inspection.connection.director_url, "https://d/");
        ck_assert_str_eq(inspection.connection.connector_url, "https://c/");

        ck_assert_uint_eq(inspection.n_generations, 1);
        ck_assert_str_eq(inspection.generations[0].fingerprint, inspection.fingerprint);
        ck_assert_uint_eq(inspection.generations[0].not_after, inspection.set.effective_expiry);
        ck_assert(inspection.staged.key && inspection.staged.csr);
        ck_assert(!inspection.staged.token && !inspection.staged.certificate);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("inspect");
        TCase *each = tcase_create("whatever_is_wrong_with_a_set_is_said");

        x509_key(7);
        TEST_CASE(suite, a_missing_directory_is_no_problem_and_stays_missing);
        TEST_CASE(suite, an_empty_directory_is_no_problem);
        TEST_CASE(suite, what_is_no_directory_is_not_entered);
        tcase_set_timeout(each, 0);
        tcase_add_loop_test(each, whatever_is_wrong_with_a_set_is_said, 0, (int)ELEMENTSOF(harms));
        suite_add_tcase(suite, each);
        TEST_CASE(suite, a_connection_that_cannot_be_used_costs_no_set);
        TEST_CASE(suite, public_names_that_are_not_ours_are_told);
        TEST_CASE(suite, only_so_many_generations_are_read);
        TEST_CASE(suite, neither_litter_nor_a_lock_matters);
        TEST_CASE(suite, it_tells_all_of_a_set);
        return test_run(suite);
}
