#pragma once

/* Complete sets to stage and commit: made once, cheap to use. */

#include "lib/store/store.h"
#include "tests/support/x509.h"

/* Key I of x509_key() as a struct key, with a leaf of it by a CA of its own name, whose key is x509_key(7).
 */
struct test_set {
        struct key *key;
        char *certificate_pem;
        char *ca_pem;
};

struct test_set test_set_make(unsigned i);
void test_set_clear(struct test_set *set);

/* Stages and commits SET into STORE; a failure aborts the test. Returns the generation. */
uint64_t test_set_commit(struct store *store, const struct test_set *set);

/* Opens the store in DIRECTORY with modes as rekeyd has them and `keep: 2`. */
struct store *test_store_open(const char *directory);
