/* A look while the store swaps, and prunes what was current a moment ago: every look is of one generation. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "lib/export/export.h"
#include "lib/report/inspect.h"
#include "tests/support/scratch.h"
#include "tests/support/sets.h"
#include "tests/test.h"

#define SETS 2u

/* At least. */
#define READS (test_is_instrumented() ? 1000u : 4000u)
#define SWAPS (test_is_instrumented() ? 100u : 400u)

/* No grace: a generation is gone as soon as two newer ones are there. */
static const struct store_options options = {
        .key_access = { .uid = (uid_t)-1, .gid = (gid_t)-1, .mode = 0600 },
        .public_access = { .uid = (uid_t)-1, .gid = (gid_t)-1, .mode = 0644 },
        .keep = 2,
};

/* Generation N is of set N % SETS, whose parts tell which it is: fingerprint, SPKI, the name of the CA. */
struct swaps {
        struct store *store;
        struct test_set sets[SETS];
        char fingerprints[SETS][FINGERPRINT_HEX];
        uint8_t spki[SETS][SPKI_HASH_SIZE];
        atomic_uint n;
        atomic_bool enough;
};

static void swaps_init(struct swaps *swaps, const char *directory) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        *swaps = (struct swaps) { 0 };
        ck_assert_msg(store_open(directory, &options, &swaps->store, &error) == 0, "%s", error_text(&error));
        for (unsigned i = 0; i < SETS; i++) {
                _cleanup_(cert_list_clear) struct cert_list certs = { 0 };
                uint8_t fingerprint[FINGERPRINT_SIZE];

                swaps->sets[i] = test_set_make(i);
                ck_assert_int_eq(cert_list_parse(swaps->sets[i].certificate_pem,
                                                 strlen(swaps->sets[i].certificate_pem), &certs, NULL),
                                 0);
                cert_fingerprint(certs.items[0], fingerprint);
                hex_format(swaps->fingerprints[i], fingerprint, sizeof(fingerprint));
                cert_spki(certs.items[0], swaps->spki[i]);
        }
        for (unsigned n = 1; n <= 2; n++)
                ck_assert_uint_eq(test_set_commit(swaps->store, &swaps->sets[n % SETS]), n);
}

static void swaps_clear(struct swaps *swaps) {
        store_close(swaps->store);
        for (unsigned i = 0; i < SETS; i++)
                test_set_clear(&swaps->sets[i]);
}

/* What a thread cannot assert, it ends the program by. */
static void *swap_on(void *userdata) {
        struct swaps *swaps = userdata;

        for (unsigned n = 3; !atomic_load(&swaps->enough) || n < SWAPS; n++) {
                const struct test_set *set = &swaps->sets[n % SETS];
                uint64_t generation;

                if (store_stage_key(swaps->store, set->key, NULL) < 0 ||
                    store_stage_parts(swaps->store,
                                      &(struct store_staged) { .ca_pem = set->ca_pem,
                                                               .certificate_pem = set->certificate_pem },
                                      NULL) < 0 ||
                    store_commit(swaps->store, &generation, NULL) < 0 || generation != n)
                        abort();
                atomic_fetch_add(&swaps->n, 1);
        }
        return NULL;
}

/* NULL, or what does not go with what. */
static const char *mixture(const struct swaps *swaps, const struct inspection *inspection) {
        uint64_t number = inspection->set.generation;
        _cleanup_(freep) char *ca = NULL;
        char name[32];
        unsigned n_current = 0;

        if (!inspection->has_set)
                return "there is no set";
        if (inspection->problem.code != 0)
                return error_text(&inspection->problem);
        if (!streq(inspection->fingerprint, swaps->fingerprints[number % SETS]))
                return "the leaf is of another generation";
        if (memcmp(inspection->set.spki, swaps->spki[number % SETS], SPKI_HASH_SIZE) != 0)
                return "the key is of another generation";
        snprintf(name, sizeof(name), "CN=CA %u", (unsigned)(number % SETS));
        if (inspection->ca.n != 1 || !(ca = cert_subject_text(inspection->ca.items[0])) || !streq(ca, name))
                return "the CA is of another generation";

        for (size_t i = 0; i < inspection->n_generations; i++) {
                const struct inspected_generation *generation = &inspection->generations[i];

                n_current += generation->is_current;
                if (generation->is_current && generation->number != number)
                        return "another generation is current in the list";
                if (generation->problem.code != 0)
                        return error_text(&generation->problem);
                if (!streq(generation->fingerprint, swaps->fingerprints[generation->number % SETS]))
                        return "a generation has another's fingerprint";
                if (i > 0 && generation->number >= inspection->generations[i - 1].number)
                        return "the generations are not newest first";
        }
        return n_current == 1 ? NULL : "not one generation is current";
}

START_TEST(every_look_is_of_one_generation) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        struct swaps swaps;
        unsigned n_reads = 0, n_changes = 0;
        uint64_t last = 0;
        pthread_t thread;

        swaps_init(&swaps, scratch);
        ck_assert_int_eq(pthread_create(&thread, NULL, swap_on, &swaps), 0);
        while (n_reads < READS || atomic_load(&swaps.n) + 3 < SWAPS) {
                _cleanup_(inspection_clear) struct inspection inspection = { 0 };
                const char *wrong;

                ck_assert_int_eq(inspect_directory(scratch, &inspection), 0);
                wrong = mixture(&swaps, &inspection);
                ck_assert_msg(!wrong, "read %u, generation %" PRIu64 ": %s", n_reads,
                              inspection.set.generation, wrong ? wrong : "");
                ck_assert_uint_ge(inspection.set.generation, last);
                n_changes += inspection.set.generation != last;
                last = inspection.set.generation;
                n_reads++;
        }
        atomic_store(&swaps.enough, true);
        pthread_join(thread, NULL);
        test_report("inspect: %u looks during %u swaps, %u of them at a set that was new, 0 mixed", n_reads,
                    atomic_load(&swaps.n), n_changes);
        swaps_clear(&swaps);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("inspect-swap");

        x509_key(7);
        TEST_CASE(suite, every_look_is_of_one_generation);
        return test_run(suite);
}
