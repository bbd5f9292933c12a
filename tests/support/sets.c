/* Complete sets for tests of the store. */

#include "tests/support/sets.h"

#include <check.h>
#include <stdio.h>

static const struct store_options options = {
        .key_access = { .uid = (uid_t)-1, .gid = (gid_t)-1, .mode = 0600 },
        .public_access = { .uid = (uid_t)-1, .gid = (gid_t)-1, .mode = 0644 },
        .grace_usec = STORE_GRACE_USEC,
        .keep = 2,
};

struct test_set test_set_make(unsigned i) {
        char name[32];

        snprintf(name, sizeof(name), "CN=CA %u", i);
        _cleanup_(x509_cert_clear) struct x509_cert ca =
                x509_make(&(struct x509_options) { .ca = true, .key = x509_key(7), .subject = name });
        _cleanup_(x509_cert_clear) struct x509_cert leaf = x509_make(
                &(struct x509_options) { .issuer = &ca, .key = x509_key(i), .subject = "O=Org,CN=orders" });
        _cleanup_(freep) char *pem = x509_key_pem(x509_key(i));
        struct test_set set = { 0 };

        if (key_parse(pem, strlen(pem), &set.key, NULL) < 0)
                abort(); /* not an assertion of Check: main() may call this before any test runs */
        set.certificate_pem = strdup(leaf.pem);
        set.ca_pem = strdup(ca.pem);
        return set;
}

void test_set_clear(struct test_set *set) {
        key_free(set->key);
        free(set->certificate_pem);
        free(set->ca_pem);
        *set = (struct test_set) { 0 };
}

struct store *test_store_open(const char *directory) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct store *store = NULL;

        if (store_open(directory, &options, &store, &error) < 0)
                ck_abort_msg("%s", error_text(&error));
        return store;
}

uint64_t test_set_commit(struct store *store, const struct test_set *set) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        uint64_t generation = 0;
        int r;

        r = store_stage_key(store, set->key, &error);
        if (r == 0)
                r = store_stage_parts(store, &(struct store_staged) { .csr_pem = "a request" }, &error);
        if (r == 0)
                r = store_stage_parts(store,
                                      &(struct store_staged) { .ca_pem = set->ca_pem,
                                                               .certificate_pem = set->certificate_pem },
                                      &error);
        if (r == 0)
                r = store_commit(store, &generation, &error);
        if (r < 0)
                ck_abort_msg("%s", error_text(&error));
        return generation;
}
