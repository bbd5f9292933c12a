/*
 * One scenario on a store, to be killed or failed at any of its system calls by test-crash-store.c. Whatever
 * is not under test, as parsing keys, comes before access("/marker-begin"); the calls between that and
 * access("/marker-end") are the scenario. Other markers say what the caller may rely on from there.
 *
 * Each scenario may meet what an earlier run of itself left behind, and goes on from there as rekeyd does.
 * `plain` is no scenario of the store but how most tools replace their files: the control.
 *
 * Usage: crash-store DIRECTORY SCENARIO, with REKEYD_TEST_SETS naming the directory of new.key, new.crt and
 * new.ca. Exit status 0: done; 1: failed, with the error on standard error.
 */

#include <fcntl.h>
#include <stdio.h>

#include "lib/store/store.h"
#include "lib/x509/chain.h"
#include "tests/support/x509.h"

struct material {
        struct key *key;
        char *certificate_pem, *ca_pem;
};

static void material_clear(struct material *material) {
        key_free(material->key);
        free(material->certificate_pem);
        free(material->ca_pem);
}

/* Seen in the trace, and nowhere else. */
static void mark(const char *path) {
        (void)access(path, F_OK);
}

static int load_material(struct material *ret) {
        const char *path = getenv("REKEYD_TEST_SETS");
        _cleanup_(fd_closep) int fd = path ? dir_open_at(AT_FDCWD, path) : -1;

        if (fd < 0 || key_read_at(fd, "new.key", FILE_NOFOLLOW, &ret->key, NULL) < 0 ||
            file_read_at(fd, "new.crt", FILE_NOFOLLOW, CERT_PEM_MAX, &ret->certificate_pem, NULL) < 0 ||
            file_read_at(fd, "new.ca", FILE_NOFOLLOW, CERT_PEM_MAX, &ret->ca_pem, NULL) < 0)
                return -EINVAL;
        return 0;
}

static int renew(struct store *store, const struct material *new, struct error *error) {
        _cleanup_(stage_clear) struct stage stage = { 0 };
        uint64_t generation;
        int r;

        r = store_stage_load(store, &stage, error);
        if (r == 0 && !stage.key)
                r = store_stage_key(store, new->key, error);
        if (r < 0)
                return r;
        mark("/marker-key");
        if (!stage.csr_pem)
                r = store_stage_parts(store, &(struct store_staged) { .csr_pem = "a request" }, error);
        if (r == 0 && !stage.certificate_pem) {
                r = store_stage_parts(store, &(struct store_staged) { .token = "a token" }, error);
                if (r == 0)
                        r = store_stage_parts(store, &(struct store_staged) { .connection_json = "{}" },
                                              error);
                if (r == 0)
                        r = store_stage_parts(
                                store,
                                &(struct store_staged) { .ca_pem = new->ca_pem,
                                                         .certificate_pem = new->certificate_pem },
                                error);
        }
        if (r < 0)
                return r;
        mark("/marker-certificate");
        return store_commit(store, &generation, error);
}

/* The key comes long before the rest, and whatever happens to it the renewal needs none of it. */
static int renew_with_key_ahead(struct store *store, const struct material *new, struct error *error) {
        enum store_ahead ahead;
        int r;

        r = store_stage_ahead(store, new->key, &ahead, error);
        if (r == 0)
                mark("/marker-key");
        return r < 0 ? r : renew(store, new, error);
}

/* It is withdrawn, and made when it is needed. */
static int renew_without_key_ahead(struct store *store, const struct material *new, struct error *error) {
        int r = store_stage_drop_unused(store, error);

        return r < 0 ? r : renew(store, new, error);
}

static int adopt(struct store *store, _unused_ const struct material *new, struct error *error) {
        _cleanup_(freep) char *warning = NULL;
        int r;

        r = store_adopt_plain(store, &warning, error);
        return r == -ENOENT ? 0 : r;
}

static int roll_back(struct store *store, _unused_ const struct material *new, struct error *error) {
        return store_rollback(store, 1, X509_NOW, error);
}

static int repair(struct store *store, _unused_ const struct material *new, struct error *error) {
        const struct store_memory nothing = { 0 };
        enum store_choice choice;
        uint64_t generation;

        return store_repair(store, &nothing, X509_NOW, &generation, &choice, error);
}

static const struct {
        const char *name;
        int (*run)(struct store *store, const struct material *new, struct error *error);
        usec_t grace_usec; /* 0: old generations are removed, and foreign files set aside, at once */
} scenarios[] = {
        { "enrolment", renew, 0 },
        { "renewal", renew, 0 },
        { "key-ahead", renew_with_key_ahead, 0 },
        { "key-withdrawn", renew_without_key_ahead, 0 },
        { "adopt-plain", adopt, 0 },
        { "adopt-newer", adopt, STORE_GRACE_USEC },
        { "adopt-late", adopt, 0 },
        { "rollback", roll_back, STORE_GRACE_USEC },
        { "repair", repair, STORE_GRACE_USEC },
};

/* Each file whole, each by one rename, durable: and yet not together. */
static int replace_plainly(const char *directory, const struct material *new) {
        _cleanup_(fd_closep) int fd = dir_open_at(AT_FDCWD, directory);
        const char *key;
        size_t key_size;
        int r;

        key_pem(new->key, &key, &key_size);
        mark("/marker-begin");
        r = file_replace_at(fd, STORE_KEY, key, key_size, FILE_ACCESS(0600));
        if (r == 0)
                r = file_replace_at(fd, STORE_CERTIFICATE, new->certificate_pem, strlen(new->certificate_pem),
                                    FILE_ACCESS(0644));
        if (r == 0)
                r = file_replace_at(fd, STORE_CA, new->ca_pem, strlen(new->ca_pem), FILE_ACCESS(0644));
        mark("/marker-end");
        return r;
}

static int run_scenario(size_t i, const char *directory, const struct material *new, struct error *error) {
        const struct store_options options = {
                .key_access = { .uid = geteuid(), .gid = getegid(), .mode = 0600 },
                .public_access = FILE_ACCESS(0644),
                .grace_usec = scenarios[i].grace_usec,
                .keep = 2,
        };
        _cleanup_(store_closep) struct store *store = NULL;
        int r;

        mark("/marker-begin");
        r = store_open(directory, &options, &store, error);
        if (r == 0)
                r = scenarios[i].run(store, new, error);
        store = store_close(store);
        mark("/marker-end");
        return r;
}

int main(int argc, char *argv[]) {
        _cleanup_(material_clear) struct material new = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        if (argc != 3 || load_material(&new) < 0) {
                fprintf(stderr, "usage: REKEYD_TEST_SETS=SETS crash-store DIRECTORY SCENARIO\n");
                return 2;
        }
        if (streq(argv[2], "plain"))
                return replace_plainly(argv[1], &new) < 0;

        for (size_t i = 0; i < ELEMENTSOF(scenarios); i++)
                if (streq(argv[2], scenarios[i].name)) {
                        if (run_scenario(i, argv[1], &new, &error) == 0)
                                return 0;
                        fprintf(stderr, "%s\n", error_text(&error));
                        return 1;
                }
        fprintf(stderr, "there is no scenario '%s'\n", argv[2]);
        return 2;
}
