/* Files that somebody else has put there, or has elsewhere: adopted, or set aside, never lost. */

#include "lib/store/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/unit/store/store-checks.h"

static char *key_text(const struct test_set *set) {
        const char *pem;
        size_t size;

        key_pem(set->key, &pem, &size);
        return strndup(pem, size);
}

/* TEXT with each OLD replaced by NEW, which is not twice as long. */
static char *replaced(const char *text, const char *old, const char *new) {
        char *copy = calloc(2, strlen(text) + 1), *at = copy;

        while (*text)
                if (has_prefix(text, old)) {
                        at = stpcpy(at, new);
                        text += strlen(old);
                } else
                        *at++ = *text++;
        return copy;
}

/* What is in the file of the certificate becomes tls.crt, which everybody can read; so not the key, which
 * HAProxy and others keep there as well, in whatever form. */
START_TEST(no_key_becomes_public) {
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(freep) char *key = key_text(&set), *cut = strndup(key, strlen(key) / 2),
                              *lines = strdup(key), *dashes = replaced(key, "KEY-----", "KEY----"),
                              *label = replaced(key, "KEY-----", "KEY -----"),
                              *bare = replaced(key, "-----BEGIN PRIVATE KEY-----", "");
        const char *const texts[][5] = {
                { set.certificate_pem, key },
                { key, set.certificate_pem },
                { "Bag Attributes\n", key, key, set.certificate_pem, key },
                { set.certificate_pem, cut },
                { set.certificate_pem, "-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0" },
                { dashes, set.certificate_pem },
                { set.certificate_pem, label },
                { bare, set.certificate_pem },
                { set.certificate_pem, "RSA Private-Key: (2048 bit)\nprime1:\n    c2VjcmV0\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                for (unsigned plain = 0; plain < 2; plain++) {
                        _cleanup_(scratch_freep) char *scratch = scratch_new(), *elsewhere = scratch_new();
                        _cleanup_(store_closep) struct store *store = NULL;
                        _cleanup_(error_clear) struct error error = ERROR_INIT;
                        _cleanup_(freep) char *both = NULL, *published = NULL, *warning = NULL,
                                              *key_path = scratch_path(elsewhere, "x.key"),
                                              *path = scratch_path(elsewhere, "x.pem");
                        size_t size;
                        FILE *out = open_memstream(&both, &size);
                        int r;

                        for (size_t j = 0; j < ELEMENTSOF(texts[i]) && texts[i][j]; j++)
                                fputs(texts[i][j], out);
                        fclose(out);
                        scratch_write(plain ? scratch : elsewhere, plain ? "tls.key" : "x.key", key, 0600);
                        scratch_write(plain ? scratch : elsewhere, plain ? "tls.crt" : "x.pem", both, 0600);
                        store = test_store_open(scratch);
                        r = plain ? store_adopt_plain(store, &warning, &error)
                                  : store_adopt_files(store, key_path, path, NULL, &warning, &error);
                        ck_assert_msg(r == 0, "%zu: %s", i, error_text(&error));

                        published = scratch_read(scratch, "tls.crt");
                        ck_assert_ptr_nonnull(strstr(published, set.certificate_pem));
                        ck_assert_ptr_null(strstr(published, "PRIVATE KEY"));
                        ck_assert_ptr_null(strstr(published, "c2VjcmV0"));
                        strtok(strcpy(lines, key), "\n");
                        for (char *line; (line = strtok(NULL, "\n"));)
                                ck_assert_ptr_null(strstr(published, line));
                }
}
END_TEST

START_TEST(no_key_becomes_public_with_the_ca) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0);
        _cleanup_(freep) char *key = key_text(&set), *both = NULL, *published = NULL, *warning = NULL;
        _cleanup_(store_closep) struct store *store = NULL;
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        ck_assert_int_ge(asprintf(&both, "%s%s", set.ca_pem, key), 0);
        scratch_write(scratch, "tls.key", key, 0640);
        scratch_write(scratch, "tls.crt", set.certificate_pem, 0644);
        scratch_write(scratch, "ca.crt", both, 0600);
        store = test_store_open(scratch);
        ck_assert_msg(store_adopt_plain(store, &warning, &error) == 0, "%s", error_text(&error));
        ck_assert_msg(warning && !strstr(warning, "world-readable"), "%s", warning); /* a group is none */
        ck_assert_msg(strstr(warning, "the original is ca.crt.original"), "%s", warning);
        assert_file(scratch, "ca.crt.original", both);
        published = scratch_read(scratch, "ca.crt");
        ck_assert_str_eq(published, set.ca_pem);
}
END_TEST

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
        ck_assert_msg(warning && strstr(warning, "is world-readable") && strstr(warning, scratch), "%s",
                      warning);
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
        ck_assert_msg(strstr(error_text(&error), "does not match"), "%s", error_text(&error));
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
        ck_assert_msg(strstr(error_text(&error), "does not match"), "%s", error_text(&error));
        assert_file(scratch, "tls.crt", other.certificate_pem);
        assert_loads(store, 1, &set);

        store = store_close(store);
        no_grace.grace_usec = 0;
        ck_assert_int_eq(store_open(scratch, &no_grace, &store, NULL), 0);
        ck_assert_int_eq(store_adopt_plain(store, &warning, NULL), -ENOENT);
        ck_assert_msg(warning && strstr(warning, "set aside"), "%s", warning);
        assert_file(scratch, "tls.crt", set.certificate_pem);
        assert_file(scratch, "tls.crt.set-aside", other.certificate_pem);

        /* Neither are those before them; of very many the last one gives way. */
        for (unsigned i = 2; i <= 101; i++) {
                _cleanup_(freep) char *text = NULL, *name = NULL;
                const unsigned number = i < 100 ? i : 100;

                ck_assert_int_ge(asprintf(&text, "%u\n", i), 0);
                ck_assert_int_ge(asprintf(&name, "tls.crt.set-aside.%u", number), 0);
                ck_assert_int_eq(unlink(link), 0);
                scratch_write(scratch, "tls.crt", text, 0644);
                free(take_ptr(warning));
                ck_assert_int_eq(store_adopt_plain(store, &warning, NULL), -ENOENT);
                assert_file(scratch, name, text);
        }
        assert_file(scratch, "tls.crt.set-aside", other.certificate_pem);
        assert_file(scratch, "tls.crt", set.certificate_pem);
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

START_TEST(a_pair_that_lasts_no_longer_is_not_adopted) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(test_set_clear) struct test_set set = test_set_make(0), other = test_set_make(1);
        _cleanup_(freep) char *key = key_text(&other), *warning = NULL,
                              *key_link = scratch_path(scratch, "tls.key"),
                              *crt_link = scratch_path(scratch, "tls.crt");
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        test_set_commit(store, &set);
        ck_assert_int_eq(unlink(key_link), 0);
        ck_assert_int_eq(unlink(crt_link), 0);
        scratch_write(scratch, "tls.key", key, 0600);
        scratch_write(scratch, "tls.crt", other.certificate_pem, 0644);
        ck_assert_int_eq(store_adopt_plain(store, &warning, &error), -EAGAIN);
        ck_assert_msg(strstr(error_text(&error), "does not last longer"), "%s", error_text(&error));
        assert_loads(store, 1, &set);
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

/* What can be in the two files. */
enum { LEAF, OLD, NEXT, OTHER, INTER, CROSS, ROOT, STALE, DIRECT, N_CERTS };

static void make_material(struct x509_cert certs[N_CERTS]) {
        const usec_t now = now_usec(CLOCK_REALTIME), day = USEC_PER_DAY;
        struct x509_options root = { .ca = true,
                                     .key = x509_key(6),
                                     .subject = "CN=Root",
                                     .not_before = now - 900 * day,
                                     .not_after = now + 900 * day };
        struct x509_options stale = root, inter = root, cross = root, leaf;

        stale.subject = "CN=Old Root";
        stale.key = x509_key(5);
        stale.not_after = now - day;
        certs[ROOT] = x509_make(&root);
        certs[STALE] = x509_make(&stale);
        cross.issuer = &certs[STALE];
        certs[CROSS] = x509_make(&cross);
        inter.subject = "CN=Inter";
        inter.key = x509_key(7);
        inter.issuer = &certs[ROOT];
        certs[INTER] = x509_make(&inter);
        leaf = (struct x509_options) { .subject = "CN=orders",
                                       .key = x509_key(0),
                                       .issuer = &certs[INTER],
                                       .not_before = now - 20 * day,
                                       .not_after = now + 60 * day };
        certs[LEAF] = x509_make(&leaf);
        leaf.not_after = now - day;
        certs[OLD] = x509_make(&leaf);
        leaf.not_before = now + 30 * day;
        leaf.not_after = now + 120 * day;
        certs[NEXT] = x509_make(&leaf);
        leaf.key = x509_key(1);
        certs[OTHER] = x509_make(&leaf);
        leaf.key = x509_key(0);
        leaf.issuer = &certs[STALE];
        leaf.not_before = now - 20 * day;
        leaf.not_after = now + 60 * day;
        certs[DIRECT] = x509_make(&leaf);
}

/* NONE ends a list. */
#define NONE (-1)

static char *text_of(const struct x509_cert certs[N_CERTS], const int *list, size_t n) {
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        for (size_t i = 0; i < n && list[i] != NONE; i++)
                fputs(certs[list[i]].pem, out);
        fclose(out);
        return text;
}

START_TEST(what_is_published_of_a_pair) {
        static const struct {
                int certificate[6], ca[4]; /* the files; no CA: none is named */
                int published[5], published_ca[5];
        } cases[] = {
                /* As it is, where that begins with the leaf. */
                { { LEAF, NONE }, { NONE }, { LEAF, NONE }, { NONE } },
                { { LEAF, INTER, NONE }, { NONE }, { LEAF, INTER, NONE }, { INTER, NONE } },
                { { LEAF, INTER, ROOT, NONE }, { NONE }, { LEAF, INTER, ROOT, NONE }, { INTER, ROOT, NONE } },
                { { LEAF, OTHER, INTER, NONE }, { NONE }, { LEAF, OTHER, INTER, NONE }, { INTER, NONE } },
                { { INTER, LEAF, NONE }, { NONE }, { LEAF, INTER, NONE }, { INTER, NONE } },
                /* An intermediate that is missing comes from the CA file. */
                { { LEAF, NONE }, { INTER, ROOT, NONE }, { LEAF, INTER, NONE }, { INTER, ROOT, NONE } },
                { { LEAF, NONE }, { ROOT, INTER, NONE }, { LEAF, INTER, NONE }, { ROOT, INTER, NONE } },
                { { LEAF, INTER, NONE }, { ROOT, NONE }, { LEAF, INTER, NONE }, { ROOT, NONE } },
                /* Of several certificates of the key, the one that lasts longest and is valid. */
                { { OLD, LEAF, INTER, NONE }, { NONE }, { LEAF, INTER, NONE }, { INTER, NONE } },
                { { LEAF, OLD, INTER, NONE }, { NONE }, { LEAF, INTER, NONE }, { INTER, NONE } },
                { { OLD, LEAF, NONE }, { NONE }, { LEAF, NONE }, { NONE } },
                { { NEXT, LEAF, OLD, INTER, NONE }, { NONE }, { LEAF, INTER, NONE }, { INTER, NONE } },
                { { OLD, LEAF, NONE }, { INTER, ROOT, NONE }, { LEAF, INTER, NONE }, { INTER, ROOT, NONE } },
                /* A root that has expired is not the one that anyone trusts. */
                { { LEAF, INTER, CROSS, STALE, NONE },
                  { NONE },
                  { LEAF, INTER, CROSS, NONE },
                  { INTER, CROSS, NONE } },
                { { LEAF, INTER, NONE },
                  { CROSS, STALE, NONE },
                  { LEAF, INTER, CROSS, NONE },
                  { CROSS, NONE } },
                { { DIRECT, STALE, NONE }, { NONE }, { DIRECT, NONE }, { NONE } },
        };
        struct x509_cert certs[N_CERTS];
        _cleanup_(freep) char *key = x509_key_pem(x509_key(0));

        make_material(certs);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(scratch_freep) char *scratch = scratch_new(), *source = scratch_new();
                _cleanup_(store_closep) struct store *store = test_store_open(scratch);
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                _cleanup_(set_clear) struct set set = { 0 };
                _cleanup_(freep) char *certificate = text_of(certs, cases[i].certificate, 6),
                                      *ca = text_of(certs, cases[i].ca, 4),
                                      *published = text_of(certs, cases[i].published, 5),
                                      *published_ca = text_of(certs, cases[i].published_ca, 5),
                                      *key_path = scratch_path(source, "my.key"),
                                      *crt_path = scratch_path(source, "my.crt"),
                                      *ca_path = scratch_path(source, "ca.crt"), *warning = NULL;

                scratch_write(source, "my.key", key, 0600);
                scratch_write(source, "my.crt", certificate, 0644);
                scratch_write(source, "ca.crt", ca, 0644);
                ck_assert_msg(store_adopt_files(store, key_path, crt_path, *ca ? ca_path : NULL, &warning,
                                                &error) == 0,
                              "%zu: %s", i, error_text(&error));
                ck_assert_msg(store_load(store, &set, &error) == 0, "%zu: %s", i, error_text(&error));
                ck_assert_msg(streq(set.certificate_pem, published), "%zu: %s", i, set.certificate_pem);
                ck_assert_msg(streq(set.ca_pem ? set.ca_pem : "", published_ca), "%zu", i);
                ck_assert_msg(set.effective_expiry > now_usec(CLOCK_REALTIME), "%zu", i);
        }
        for (size_t i = 0; i < N_CERTS; i++)
                x509_cert_clear(&certs[i]);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("store-adopt");

        x509_key(1);
        x509_key(7);
        TEST_CASE(suite, no_key_becomes_public);
        TEST_CASE(suite, no_key_becomes_public_with_the_ca);
        TEST_CASE(suite, adopts_plain_files_as_they_are);
        TEST_CASE(suite, adopts_nothing_that_does_not_match);
        TEST_CASE(suite, a_link_to_elsewhere_is_not_adopted);
        TEST_CASE(suite, finishes_an_adoption_that_was_cut_off);
        TEST_CASE(suite, files_of_another_origin_are_not_lost);
        TEST_CASE(suite, a_newer_pair_that_somebody_put_there_is_adopted);
        TEST_CASE(suite, a_pair_that_lasts_no_longer_is_not_adopted);
        TEST_CASE(suite, a_machine_out_of_descriptors_sets_nothing_aside);
        TEST_CASE(suite, imports_from_elsewhere_and_orders_the_chain);
        TEST_CASE(suite, what_is_published_of_a_pair);
        return test_run(suite);
}
