/* A start that knows the sets from the last one finds the same as if it did not. */

#include <fcntl.h>
#include <sys/stat.h>

#include "lib/store/seals.h"
#include "tests/support/fixture.h"
#include "tests/support/fleet.h"
#include "tests/test.h"

#define N 8u

/* An inspection that may go on to renew reads the set in any case: here there is one of them at a time. */
#define ONE_AT_A_TIME "limits: {concurrent_renewals: 1}\n"

static void await(struct fixture *fixture, const char *text, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                char *line = process_await(fixture->rekeyd, PROCESS_STDERR, text);

                ck_assert_msg(line, "%u of %u lines %s", i, n, text);
                free(line);
        }
}

static off_t seals_size(const struct fixture *fixture) {
        _cleanup_(freep) char *path = scratch_path(fixture->directory, "state/" SEALS_FILE);
        struct stat st;

        ck_assert_int_eq(stat(path, &st), 0);
        return st.st_size;
}

START_TEST(a_second_start_knows_the_sets) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        const struct fleet_options fleet = fleet_of(fixture, "some", N, 45 * USEC_PER_DAY);
        _cleanup_(freep) char *other_key = x509_key_pem(x509_key(2));
        off_t size;

        fleet_make(&fleet);
        fleet_run_by(&fleet, fixture, "key: {bits: 2048}", ONE_AT_A_TIME);
        fixture_start(fixture, NULL);
        await(fixture, MESSAGE_READY, 1);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        size = seals_size(fixture);
        ck_assert_int_gt(size, 0);

        /* Whoever is not known is added. */
        fixture_start(fixture, NULL);
        await(fixture, MESSAGE_READY, 1);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_int_eq(seals_size(fixture), size);

        scratch_write(fixture->directory, "some/some-00005/..gen-000001/tls.key", other_key, 0600);
        fixture_start(fixture, NULL);
        await(fixture, "tls.key is not the key of the first certificate in tls.crt", 1);
        await(fixture, MESSAGE_READY, 1);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* What is sealed has the size of the key, not whether it is large enough. */
START_TEST(another_configuration_finds_what_is_due) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        const struct fleet_options fleet = fleet_of(fixture, "some", N, 45 * USEC_PER_DAY);

        fleet_make(&fleet);
        fleet_run_by(&fleet, fixture, "key: {bits: 2048}", ONE_AT_A_TIME);
        fixture_start(fixture, NULL);
        await(fixture, MESSAGE_READY, 1);
        ck_assert_int_eq(fixture_stop(fixture), 0);

        fleet_run_by(&fleet, fixture, "key: {bits: 3072}", ONE_AT_A_TIME);
        fixture_start(fixture, NULL);
        await(fixture, MESSAGE_RENEWED, N);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

TEST_MAIN("second-start", a_second_start_knows_the_sets, another_configuration_finds_what_is_due)
