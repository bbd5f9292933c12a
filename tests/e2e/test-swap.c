/*
 * The first invariant: a reader at any instant sees a complete, matching set. Several processes read without
 * pause while one swaps. To show that they would notice, the same readers also watch a directory that is
 * renewed as most tools do it, by one rename() for each of three files. In the last test rekeyd swaps, as a
 * Connector signs.
 */

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/x509/chain.h"
#include "tests/support/fixture.h"
#include "tests/support/parallel.h"
#include "tests/support/scratch.h"
#include "tests/support/sets.h"
#include "tests/test.h"

#define N_READERS         3
#define N_SWAPS           200
#define READS_MIN         (getenv("REKEYD_TEST_WRAPPER") ? 1u : 500u)
#define N_SETS            4
#define CONTROL_SWAPS_MAX 20000
#define N_RENEWALS        4

/* Shared by the readers and the test. */
struct tally {
        atomic_ulong reads, mismatches, missing;
};

static struct test_set sets[N_SETS];

/* Opens what READERS look at: the directory that holds the three files. */
typedef int (*open_set_t)(const char *directory);

static int open_current(const char *directory) {
        _cleanup_(freep) char *path = scratch_path(directory, STORE_CURRENT);

        return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int open_flat(const char *directory) {
        return open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void read_once(const char *directory, open_set_t open_set, struct tally *tally) {
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 }, anchors = { 0 };
        _cleanup_(freep) char *certificate_pem = NULL, *ca_pem = NULL;
        _cleanup_(key_freep) struct key *key = NULL;
        _cleanup_(fd_closep) int fd = open_set(directory);
        uint8_t spki[SPKI_HASH_SIZE], other[SPKI_HASH_SIZE];

        atomic_fetch_add(&tally->reads, 1);
        if (fd < 0 || key_read_at(fd, STORE_KEY, FILE_NOFOLLOW, &key, NULL) < 0 ||
            file_read_at(fd, STORE_CERTIFICATE, FILE_NOFOLLOW, CERT_PEM_MAX, &certificate_pem, NULL) < 0 ||
            file_read_at(fd, STORE_CA, FILE_NOFOLLOW, CERT_PEM_MAX, &ca_pem, NULL) < 0) {
                atomic_fetch_add(&tally->missing, 1);
                return;
        }
        if (cert_list_parse(certificate_pem, strlen(certificate_pem), &certs, NULL) < 0 ||
            cert_list_parse(ca_pem, strlen(ca_pem), &anchors, NULL) < 0) {
                atomic_fetch_add(&tally->mismatches, 1);
                return;
        }
        key_spki(key, spki);
        cert_spki(certs.items[0], other);
        if (memcmp(spki, other, sizeof(spki)) != 0 ||
            chain_verify(certs.items[0], &certs, &anchors, USEC_INFINITY, NULL) < 0)
                atomic_fetch_add(&tally->mismatches, 1);
}

static void start_readers(const char *directory, open_set_t open_set, struct tally *tally,
                          pid_t readers[N_READERS]) {
        for (unsigned i = 0; i < N_READERS; i++) {
                readers[i] = fork();
                ck_assert_int_ge(readers[i], 0);
                if (readers[i] == 0) {
                        for (;;)
                                read_once(directory, open_set, tally);
                }
        }
}

static void stop_readers(const pid_t readers[N_READERS]) {
        for (unsigned i = 0; i < N_READERS; i++) {
                int status;

                ck_assert_int_eq(kill(readers[i], SIGKILL), 0);
                ck_assert_int_eq(waitpid(readers[i], &status, 0), readers[i]);
                /* Not by a fault of its own before that. */
                ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        }
}

START_TEST(readers_never_see_a_mixture) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        struct tally *tally = parallel_share(sizeof(*tally));
        pid_t readers[N_READERS];
        unsigned swaps = 0;

        test_set_commit(store, &sets[0]);
        start_readers(scratch, open_current, tally, readers);
        /* At least so many swaps, and more where the readers get little time of a busy machine. */
        while (swaps < N_SWAPS || (atomic_load(&tally->reads) < READS_MIN && swaps < CONTROL_SWAPS_MAX))
                test_set_commit(store, &sets[++swaps % N_SETS]);
        stop_readers(readers);

        test_report("swap: %lu reads, %lu mismatches, %lu missing files during %u swaps", tally->reads,
                    tally->mismatches, tally->missing, swaps);
        ck_assert_uint_eq(tally->mismatches, 0);
        ck_assert_uint_eq(tally->missing, 0);
        ck_assert_uint_ge(tally->reads, READS_MIN);
        munmap(tally, sizeof(*tally));
}
END_TEST

/* One rename() for each file, as nearly everybody does it. */
static void replace_plainly(const char *directory, const struct test_set *set) {
        const char *key;
        size_t key_size;

        key_pem(set->key, &key, &key_size);
        const struct {
                const char *name, *text;
        } files[] = {
                { STORE_KEY, key },
                { STORE_CERTIFICATE, set->certificate_pem },
                { STORE_CA, set->ca_pem },
        };
        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                _cleanup_(freep) char *temporary = scratch_path(directory, "new"),
                                      *path = scratch_path(directory, files[i].name);

                scratch_write(directory, "new", files[i].text, 0600);
                ck_assert_int_eq(rename(temporary, path), 0);
        }
}

START_TEST(the_same_readers_catch_three_renames) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        struct tally *tally = parallel_share(sizeof(*tally));
        pid_t readers[N_READERS];
        unsigned swaps = 0;

        replace_plainly(scratch, &sets[0]);
        start_readers(scratch, open_flat, tally, readers);
        while (atomic_load(&tally->mismatches) == 0 && swaps < CONTROL_SWAPS_MAX)
                replace_plainly(scratch, &sets[++swaps % N_SETS]);
        stop_readers(readers);

        test_report("swap: the same readers saw %lu mismatches in %lu reads after %u times three renames",
                    tally->mismatches, tally->reads, swaps);
        ck_assert_uint_gt(tally->mismatches, 0);
        munmap(tally, sizeof(*tally));
}
END_TEST

START_TEST(readers_never_see_a_mixture_while_rekeyd_renews) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING(lifetime(20)));
        _cleanup_(freep) char *directory = scratch_path(fixture->directory, "orders");
        struct tally *tally = parallel_share(sizeof(*tally));
        pid_t readers[N_READERS];

        fixture_prepare(fixture, ORDERS "    renew_before: 95%%\n");
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_ENROLLED);
        start_readers(directory, open_current, tally, readers);
        for (unsigned i = 0; i < N_RENEWALS; i++)
                fixture_expect(fixture, MESSAGE_RENEWED);
        stop_readers(readers);
        ck_assert_int_eq(fixture_stop(fixture), 0);

        test_report("swap: %lu reads, %lu mismatches, %lu missing files during %u renewals by %s",
                    tally->reads, tally->mismatches, tally->missing, N_RENEWALS, fixture->protocol);
        ck_assert_uint_eq(tally->mismatches, 0);
        ck_assert_uint_eq(tally->missing, 0);
        ck_assert_uint_ge(tally->reads, READS_MIN);
        munmap(tally, sizeof(*tally));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("swap");
        int r;

        for (unsigned i = 0; i < N_SETS; i++)
                sets[i] = test_set_make(i);
        TEST_CASE(suite, readers_never_see_a_mixture);
        TEST_CASE(suite, the_same_readers_catch_three_renames);
        TEST_CASE(suite, readers_never_see_a_mixture_while_rekeyd_renews);
        r = test_run(suite);
        for (unsigned i = 0; i < N_SETS; i++)
                test_set_clear(&sets[i]);
        return r;
}
