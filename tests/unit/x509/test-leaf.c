#include "lib/x509/leaf.h"

#include "lib/x509/chain.h"
#include "lib/x509/successor.h"
#include "tests/support/x509.h"
#include "tests/test.h"

/* A CA, its successor of the same key, and what a leaf needs. */
struct scene {
        struct x509_cert made;
        struct cert *old, *new;
        struct key *key, *leaf_key;
        struct subject *subject;
};

static struct cert *parse(const char *pem) {
        _cleanup_(cert_list_clear) struct cert_list list = { 0 };

        ck_assert_int_eq(cert_list_parse(pem, strlen(pem), &list, NULL), 0);
        return take_ptr(list.items[0]);
}

static struct key *key_of(unsigned i) {
        _cleanup_(freep) char *pem = x509_key_pem(x509_key(i));
        struct key *key;

        ck_assert_int_eq(key_parse(pem, strlen(pem), &key, NULL), 0);
        return key;
}

static void scene_begin(struct scene *scene) {
        const struct successor_terms terms = { X509_NOW, X509_NOW + 900 * USEC_PER_DAY };

        scene->made = x509_make(&(struct x509_options) { .ca = true, .subject = "O=Org,CN=Kyma" });
        scene->old = parse(scene->made.pem);
        scene->key = key_of(1);
        scene->leaf_key = key_of(0);
        ck_assert_int_eq(successor_make(scene->old, scene->key, &terms, &scene->new, NULL), 0);
        ck_assert_int_eq(subject_parse("O=Org,CN=rekeyca-probe", &scene->subject, NULL), 0);
}

static void scene_end(struct scene *scene) {
        x509_cert_clear(&scene->made);
        cert_free(scene->old);
        cert_free(scene->new);
        key_free(scene->key);
        key_free(scene->leaf_key);
        subject_free(scene->subject);
}

static struct cert *make(const struct scene *scene, const struct cert *issuer, enum leaf_mark mark) {
        const struct leaf_terms terms = { issuer, scene->key, scene->leaf_key,         scene->subject,
                                          mark,   X509_NOW,   X509_NOW + USEC_PER_HOUR };
        _cleanup_(freep) char *pem = NULL;

        ck_assert_int_eq(leaf_make(&terms, &pem, NULL), 0);
        return parse(pem);
}

static bool verifies(const struct cert *leaf, const struct cert *anchor) {
        struct cert *items[] = { (struct cert *)anchor };
        const struct cert_list anchors = { items, 1 }, none = { 0 };

        return chain_verify(leaf, &none, &anchors, X509_NOW + USEC_PER_MINUTE, NULL) == 0;
}

START_TEST(a_leaf_by_key_does_for_both) {
        _cleanup_(scene_end) struct scene scene = { 0 };
        _cleanup_(cert_freep) struct cert *leaf = NULL;

        scene_begin(&scene);
        leaf = make(&scene, scene.old, LEAF_BY_KEY);
        ck_assert(verifies(leaf, scene.old) && verifies(leaf, scene.new));
        ck_assert(cert_allows_client_auth(leaf) && !cert_is_ca(leaf));
}
END_TEST

START_TEST(a_marked_leaf_tells_them_apart) {
        _cleanup_(scene_end) struct scene scene = { 0 };
        _cleanup_(cert_freep) struct cert *of_old = NULL, *of_new = NULL;

        scene_begin(&scene);
        of_old = make(&scene, scene.old, LEAF_BY_CERTIFICATE);
        of_new = make(&scene, scene.new, LEAF_BY_CERTIFICATE);
        ck_assert(verifies(of_old, scene.old) && !verifies(of_old, scene.new));
        ck_assert(verifies(of_new, scene.new) && !verifies(of_new, scene.old));
}
END_TEST

START_TEST(a_subject_that_x509_cannot_hold_is_refused) {
        _cleanup_(scene_end) struct scene scene = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        char *pem = NULL;

        scene_begin(&scene);
        subject_free(scene.subject);
        scene.subject = NULL;
        ck_assert_int_eq(subject_parse("C=DEU,CN=x", &scene.subject, NULL), 0);
        const struct leaf_terms terms = { scene.old, scene.key, scene.leaf_key, scene.subject, LEAF_BY_KEY,
                                          0,         0 };
        ck_assert_int_eq(leaf_make(&terms, &pem, &error), -EINVAL);
        ck_assert_ptr_null(pem);
}
END_TEST

TEST_MAIN("leaf", a_leaf_by_key_does_for_both, a_marked_leaf_tells_them_apart,
          a_subject_that_x509_cannot_hold_is_refused)
