/*
 * What a renewal costs the disk: its fsyncs, as strace sees them. From the one for the key of a generation to
 * the one for the key of the next there is one whole renewal, whatever runs beside it.
 */

#include "tests/support/fixture.h"
#include "tests/test.h"

/* The key, its directory and the one above; the attempt in the state file (a file and its directory); the
 * URLs, the CA, the certificate and their directory; the same before the swap, and the one above before and
 * after; the end in the state file. */
#define FSYNCS_MAX 14u

/* The first generation whose renewal is counted, since the one before it is an enrolment. */
#define COUNTED 2u

static const char *key_sync(const char *trace, unsigned generation) {
        char wanted[64];
        const char *found;

        snprintf(wanted, sizeof(wanted), "/..stage-%06u/tls.key", generation);
        found = strstr(trace, wanted);
        ck_assert_msg(found, "no fsync of %s", wanted);
        return found;
}

static unsigned count(const char *begin, const char *end) {
        unsigned n = 0;

        for (const char *p = begin; (p = strstr(p, "sync(")) && p < end; p++)
                n++;
        return n;
}

START_TEST(a_renewal_syncs_no_file_in_vain) {
        const char *const options[] = { "--lifetime", lifetime(4), NULL };
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(options);
        _cleanup_(freep) char *path = scratch_path(fixture->directory, "trace"), *trace = NULL;
        const char *begin, *why;

        fixture_prepare(fixture, ORDERS);
        why = fixture_start_traced(fixture, "fsync,fdatasync,sync,syncfs,sync_file_range", path);
        if (why) {
                test_skip("a_renewal_syncs_no_file_in_vain: %s", why);
                return;
        }
        fixture_expect(fixture, MESSAGE_ENROLLED);
        for (unsigned i = 0; i <= COUNTED; i++)
                fixture_expect(fixture, MESSAGE_RENEWED);
        ck_assert_int_eq(fixture_stop(fixture), 0);

        trace = scratch_read(fixture->directory, "trace");
        ck_assert_ptr_nonnull(trace);
        begin = key_sync(trace, COUNTED);
        while (begin > trace && begin[-1] != '\n')
                begin--;
        const unsigned n =
                count(begin, key_sync(trace, COUNTED + 1)) - 1; /* the second key is the next one's */
        test_report("fsyncs: %u in a renewal, of at most %u", n, FSYNCS_MAX);
        ck_assert_msg(n <= FSYNCS_MAX, "%u fsyncs in a renewal:\n%.*s", n,
                      (int)(key_sync(trace, COUNTED + 1) - begin), begin);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("fsyncs");

        TEST_CASE(suite, a_renewal_syncs_no_file_in_vain);
        return test_run(suite);
}
