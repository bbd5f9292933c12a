#include "lib/x509/chain.h"

#include <openssl/ec.h>
#include <openssl/err.h>

#include "tests/support/x509.h"
#include "tests/test.h"

static struct x509_cert make_ca(const char *subject, unsigned key, const struct x509_cert *issuer) {
        return x509_make(&(struct x509_options) {
                .ca = true, .subject = subject, .key = x509_key(key), .issuer = issuer });
}

static struct x509_cert make_leaf(const struct x509_cert *issuer) {
        return x509_make(&(struct x509_options) { .issuer = issuer });
}

/* Owned certificates from what x509_make() made. */
static struct cert_list list_of(const struct x509_cert *const *certs, size_t n) {
        _cleanup_(freep) char *pem = x509_join(certs, n);
        struct cert_list list;

        ck_assert_int_eq(cert_list_parse(pem, strlen(pem), &list, NULL), 0);
        return list;
}
#define LIST_OF(...)                                               \
        list_of((const struct x509_cert *const[]) { __VA_ARGS__ }, \
                ELEMENTSOF(((const struct x509_cert *const[]) { __VA_ARGS__ })))

/* The chain must hold exactly these, in this order. */
static void assert_chain_is(const struct chain *chain, const struct x509_cert *const *wanted, size_t n) {
        ck_assert_uint_eq(chain->certs.n, n);
        for (size_t i = 0; i < n; i++)
                ck_assert_msg(X509_cmp(cert_handle(chain->certs.items[i]), wanted[i]->handle) == 0,
                              "certificate %zu of the chain is another", i);
}
#define ASSERT_CHAIN(chain, ...)                                                  \
        assert_chain_is(chain, (const struct x509_cert *const[]) { __VA_ARGS__ }, \
                        ELEMENTSOF(((const struct x509_cert *const[]) { __VA_ARGS__ })))

static void assert_not_built(const struct x509_cert *leaf, const struct cert_list *candidates, int code,
                             const char *expected) {
        _cleanup_(cert_list_clear) struct cert_list leaf_list = LIST_OF(leaf);
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct chain chain = { 0 };

        ck_assert_int_eq(chain_build(leaf_list.items[0], candidates, &chain, &error), code);
        ck_assert_ptr_null(chain.certs.items);
        ck_assert_msg(strstr(error_text(&error), expected), "'%s' instead of '%s'", error_text(&error),
                      expected);
        ck_assert_uint_eq(ERR_peek_error(), 0);
}

static struct chain built(const struct x509_cert *leaf, const struct cert_list *candidates) {
        _cleanup_(cert_list_clear) struct cert_list leaf_list = LIST_OF(leaf);
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct chain chain;

        ck_assert_msg(chain_build(leaf_list.items[0], candidates, &chain, &error) == 0, "%s",
                      error_text(&error));
        return chain;
}

START_TEST(test_build_refuses) {
        _cleanup_(x509_cert_clear) struct x509_cert ca = make_ca("CN=Kyma", 1, NULL);
        _cleanup_(x509_cert_clear) struct x509_cert leaf = make_leaf(&ca), lonely = make_leaf(NULL);
        _cleanup_(x509_cert_clear) struct x509_cert namesake = make_ca("CN=Kyma", 2, NULL);
        _cleanup_(x509_cert_clear) struct x509_cert stranger = make_ca("CN=Stranger", 2, NULL);
        _cleanup_(cert_list_clear) struct cert_list none = LIST_OF(&leaf),
                                                    other_key = LIST_OF(&leaf, &namesake);
        _cleanup_(cert_list_clear) struct cert_list strangers = LIST_OF(&stranger, &leaf, &leaf);
        struct cert_list empty = { 0 };

        assert_not_built(&lonely, &none, -EINVAL, "it is self-signed");
        assert_not_built(&leaf, &empty, -EINVAL,
                         "its issuer 'CN=Kyma' is not among the 0 certificates given");
        assert_not_built(&leaf, &none, -EINVAL, "its issuer 'CN=Kyma' is not among the 1 certificates given");
        assert_not_built(&leaf, &strangers, -EINVAL,
                         "its issuer 'CN=Kyma' is not among the 3 certificates given");
        assert_not_built(&leaf, &other_key, -EINVAL,
                         "1 of them have that name, but not the key that signed it");
}
END_TEST

/* A CA of the same DN but another key, even without key identifiers that would tell them apart. */
START_TEST(test_build_matches_keys_and_not_names) {
        _cleanup_(x509_cert_clear) struct x509_cert old = make_ca("CN=Kyma", 1, NULL),
                                                    new = make_ca("CN=Kyma", 2, NULL);
        _cleanup_(x509_cert_clear) struct x509_cert leaf =
                x509_make(&(struct x509_options) { .issuer = &new, .authority_key_id = "" });
        _cleanup_(cert_list_clear) struct cert_list old_only = LIST_OF(&leaf, &old),
                                                    both = LIST_OF(&old, &new, &leaf);
        _cleanup_(chain_clear) struct chain chain = { 0 };

        assert_not_built(&leaf, &old_only, -EINVAL, "1 of them have that name");
        chain = built(&leaf, &both);
        ASSERT_CHAIN(&chain, &leaf, &new);
}
END_TEST

START_TEST(test_build_refuses_issuers_that_are_no_ca) {
        _cleanup_(x509_cert_clear) struct x509_cert ca = make_ca("CN=Kyma", 1, NULL);
        _cleanup_(x509_cert_clear) struct x509_cert impostor = x509_make(&(struct x509_options) {
                .subject = "CN=impostor", .key = x509_key(2), .issuer = &ca, .key_usage = "" });
        _cleanup_(x509_cert_clear) struct x509_cert no_signer =
                x509_make(&(struct x509_options) { .ca = true,
                                                   .subject = "CN=no signer",
                                                   .key = x509_key(3),
                                                   .issuer = &ca,
                                                   .key_usage = "digitalSignature" });
        _cleanup_(x509_cert_clear) struct x509_cert leaf = make_leaf(&impostor),
                                                    other = make_leaf(&no_signer);
        _cleanup_(cert_list_clear) struct cert_list all = LIST_OF(&impostor, &no_signer, &ca);

        assert_not_built(&leaf, &all, -EINVAL, "its issuer 'CN=impostor' is not among");
        assert_not_built(&other, &all, -EINVAL, "may not sign certificates");
}
END_TEST

START_TEST(test_build_refuses_too_long_chains) {
        struct x509_cert cas[CERT_LIST_MAX] = { 0 };
        const struct x509_cert *pointers[CERT_LIST_MAX];
        EVP_PKEY *keys[CERT_LIST_MAX];
        _cleanup_(x509_cert_clear) struct x509_cert leaf = { 0 };
        _cleanup_(cert_list_clear) struct cert_list candidates = { 0 }, fewer = { 0 };
        _cleanup_(chain_clear) struct chain chain = { 0 };

        for (size_t i = 0; i < CERT_LIST_MAX; i++) {
                char subject[32];

                snprintf(subject, sizeof(subject), "CN=CA %zu", i);
                keys[i] = EVP_EC_gen("P-256");
                cas[i] = x509_make(&(struct x509_options) { .ca = true,
                                                            .subject = subject,
                                                            .key = keys[i],
                                                            .issuer = i > 0 ? &cas[i - 1] : NULL });
                pointers[i] = &cas[i];
        }
        leaf = make_leaf(&cas[CERT_LIST_MAX - 1]);
        candidates = list_of(pointers, CERT_LIST_MAX);
        assert_not_built(&leaf, &candidates, -E2BIG, "its chain is longer than 10 certificates");

        fewer = list_of(pointers + 1, CERT_LIST_MAX - 1);
        chain = built(&leaf, &fewer);
        ck_assert_uint_eq(chain.certs.n, CERT_LIST_MAX);

        for (size_t i = 0; i < CERT_LIST_MAX; i++) {
                x509_cert_clear(&cas[i]);
                EVP_PKEY_free(keys[i]);
        }
}
END_TEST

/* Whatever the order, and with repeats, strangers and the leaf among the candidates. */
START_TEST(test_build_orders) {
        _cleanup_(x509_cert_clear) struct x509_cert root = make_ca("CN=Root", 1, NULL);
        _cleanup_(x509_cert_clear) struct x509_cert intermediate = make_ca("CN=Intermediate", 2, &root);
        _cleanup_(x509_cert_clear) struct x509_cert leaf = make_leaf(&intermediate);
        _cleanup_(x509_cert_clear) struct x509_cert stranger = make_ca("CN=Stranger", 3, NULL);
        const struct x509_cert *const orders[][5] = {
                { &leaf, &root, &intermediate, &stranger, &stranger }, /* the older service: root first */
                { &leaf, &intermediate, &root, &root, &root },
                { &root, &intermediate, &leaf, &stranger, &leaf },
                { &intermediate, &stranger, &intermediate, &root, &leaf },
        };

        for (size_t i = 0; i < ELEMENTSOF(orders); i++) {
                _cleanup_(cert_list_clear) struct cert_list candidates =
                        list_of(orders[i], ELEMENTSOF(orders[i]));
                _cleanup_(chain_clear) struct chain chain = built(&leaf, &candidates);

                ASSERT_CHAIN(&chain, &leaf, &intermediate, &root);
        }
}
END_TEST

START_TEST(test_build_without_a_root) {
        _cleanup_(x509_cert_clear) struct x509_cert root = make_ca("CN=Root", 1, NULL);
        _cleanup_(x509_cert_clear) struct x509_cert intermediate = make_ca("CN=Intermediate", 2, &root);
        _cleanup_(x509_cert_clear) struct x509_cert leaf = make_leaf(&intermediate);
        _cleanup_(cert_list_clear) struct cert_list candidates = LIST_OF(&leaf, &intermediate);
        _cleanup_(chain_clear) struct chain chain = built(&leaf, &candidates);

        ASSERT_CHAIN(&chain, &leaf, &intermediate);
}
END_TEST

/* A CA renewed with the same key issued the leaf as much as its predecessor did. */
START_TEST(test_build_prefers_the_longest_lived) {
        _cleanup_(x509_cert_clear) struct x509_cert old = make_ca("CN=Kyma", 1, NULL);
        _cleanup_(x509_cert_clear) struct x509_cert renewed = x509_make(&(struct x509_options) {
                .ca = true, .subject = "CN=Kyma", .not_after = X509_NOW + 3651 * USEC_PER_DAY, .serial = 3 });
        _cleanup_(x509_cert_clear) struct x509_cert leaf = make_leaf(&old);
        _cleanup_(cert_list_clear) struct cert_list rising = LIST_OF(&old, &renewed),
                                                    falling = LIST_OF(&renewed, &old);
        _cleanup_(chain_clear) struct chain first = built(&leaf, &rising), second = built(&leaf, &falling);

        ASSERT_CHAIN(&first, &leaf, &renewed);
        ASSERT_CHAIN(&second, &leaf, &renewed);
}
END_TEST

/* An intermediate that two roots have signed, and the root of the one that lives longer is not there: it is
 * no way up, however long it lives. */
START_TEST(test_build_finds_the_way_to_a_root) {
        _cleanup_(x509_cert_clear) struct x509_cert root = make_ca("CN=Root", 1, NULL),
                                                    other = make_ca("CN=Other root", 2, NULL);
        _cleanup_(x509_cert_clear) struct x509_cert near = make_ca("CN=Intermediate", 3, &root);
        _cleanup_(x509_cert_clear) struct x509_cert far =
                x509_make(&(struct x509_options) { .ca = true,
                                                   .subject = "CN=Intermediate",
                                                   .key = x509_key(3),
                                                   .issuer = &other,
                                                   .not_after = X509_NOW + 3651 * USEC_PER_DAY });
        _cleanup_(x509_cert_clear) struct x509_cert leaf = make_leaf(&near);
        _cleanup_(cert_list_clear) struct cert_list rising = LIST_OF(&near, &far, &root),
                                                    falling = LIST_OF(&root, &far, &near),
                                                    rootless = LIST_OF(&near, &far);
        _cleanup_(chain_clear) struct chain first = built(&leaf, &rising), second = built(&leaf, &falling),
                                            third = built(&leaf, &rootless);

        ASSERT_CHAIN(&first, &leaf, &near, &root);
        ASSERT_CHAIN(&second, &leaf, &near, &root);
        ASSERT_CHAIN(&third, &leaf, &far);
}
END_TEST

/* Two CAs that signed each other: each could follow the other for ever. */
START_TEST(test_build_ends_in_a_loop) {
        _cleanup_(x509_cert_clear) struct x509_cert a = make_ca("CN=A", 1, NULL),
                                                    b = make_ca("CN=B", 2, NULL);
        _cleanup_(x509_cert_clear) struct x509_cert a_by_b = make_ca("CN=A", 1, &b),
                                                    b_by_a = make_ca("CN=B", 2, &a);
        _cleanup_(x509_cert_clear) struct x509_cert leaf = make_leaf(&a);
        _cleanup_(cert_list_clear) struct cert_list loop = LIST_OF(&a_by_b, &b_by_a);
        _cleanup_(chain_clear) struct chain chain = built(&leaf, &loop);

        ASSERT_CHAIN(&chain, &leaf, &a_by_b, &b_by_a);
}
END_TEST

static int verify(const struct x509_cert *leaf, const struct cert_list *helpers,
                  const struct cert_list *anchors, usec_t now, struct error *error) {
        _cleanup_(cert_list_clear) struct cert_list leaf_list = LIST_OF(leaf);
        int r = chain_verify(leaf_list.items[0], helpers, anchors, now, error);

        ck_assert_uint_eq(ERR_peek_error(), 0);
        return r;
}

START_TEST(test_verify) {
        _cleanup_(x509_cert_clear) struct x509_cert root = make_ca("CN=Root", 1, NULL);
        _cleanup_(x509_cert_clear) struct x509_cert intermediate = make_ca("CN=Intermediate", 2, &root);
        _cleanup_(x509_cert_clear) struct x509_cert leaf = make_leaf(&intermediate);
        _cleanup_(x509_cert_clear) struct x509_cert server = x509_make(
                &(struct x509_options) { .issuer = &intermediate, .extended_key_usage = "serverAuth" });
        _cleanup_(x509_cert_clear) struct x509_cert namesake = make_ca("CN=Intermediate", 3, NULL);
        _cleanup_(cert_list_clear) struct cert_list roots = LIST_OF(&root),
                                                    intermediates = LIST_OF(&intermediate);
        _cleanup_(cert_list_clear) struct cert_list leaves = LIST_OF(&leaf), wrong = LIST_OF(&namesake);
        struct cert_list none = { 0 };
        const usec_t day = USEC_PER_DAY;
        const struct {
                const struct x509_cert *leaf;
                const struct cert_list *helpers;
                const struct cert_list *anchors;
                usec_t now;
                const char *error; /* NULL: accepted */
        } cases[] = {
                { &leaf, &none, &roots, X509_NOW,
                  "at depth 0, certificate 'CN=leaf': unable to get local issuer" },
                { &leaf, &none, &wrong, X509_NOW, "'CN=leaf'" },
                { &leaf, &none, &none, X509_NOW, "no CA is among the 0 certificates" },
                { &leaf, &intermediates, &leaves, X509_NOW, "no CA is among the 1 certificates" },
                { &server, &intermediates, &roots, X509_NOW,
                  "certificate 'CN=leaf': unsuitable certificate purpose" },
                { &server, &intermediates, &roots, USEC_INFINITY, "unsuitable certificate purpose" },
                { &leaf, &intermediates, &roots, X509_NOW + 90 * day,
                  "certificate 'CN=leaf': certificate has expired" },
                { &leaf, &intermediates, &roots, X509_NOW - 2 * day,
                  "'CN=Root': certificate is not yet valid" },
                { &leaf, &intermediates, &roots, X509_NOW + 4000 * day,
                  "at depth 2, certificate 'CN=Root': certificate has expired" },
                { &leaf, &intermediates, &roots, X509_NOW, NULL },
                { &leaf, &intermediates, &roots, USEC_INFINITY, NULL },
                { &leaf, &none, &intermediates, X509_NOW, NULL }, /* an anchor that is no root */
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                int r = verify(cases[i].leaf, cases[i].helpers, cases[i].anchors, cases[i].now, &error);

                ck_assert_msg(r == (cases[i].error ? -EKEYREJECTED : 0), "%zu: %d %s", i, r,
                              error_text(&error));
                if (cases[i].error)
                        ck_assert_msg(strstr(error_text(&error), cases[i].error), "%zu: %s", i,
                                      error_text(&error));
        }
}
END_TEST

START_TEST(test_effective_expiry) {
        const usec_t day = USEC_PER_DAY;
        _cleanup_(x509_cert_clear) struct x509_cert root = x509_make(
                &(struct x509_options) { .ca = true, .subject = "CN=Root", .not_after = USEC_INFINITY });
        _cleanup_(x509_cert_clear) struct x509_cert brief =
                x509_make(&(struct x509_options) { .ca = true,
                                                   .subject = "CN=Brief",
                                                   .key = x509_key(2),
                                                   .issuer = &root,
                                                   .not_after = X509_NOW + 5 * day });
        _cleanup_(x509_cert_clear) struct x509_cert outliving = make_leaf(&brief), plain = make_leaf(&root);
        _cleanup_(cert_list_clear) struct cert_list candidates = LIST_OF(&brief, &root);
        _cleanup_(chain_clear) struct chain first = built(&outliving, &candidates),
                                            second = built(&plain, &candidates);
        struct chain none = { 0 };

        ck_assert_uint_eq(chain_effective_expiry(&first), X509_NOW + 5 * day);
        ck_assert_uint_eq(chain_effective_expiry(&second), X509_NOW + 90 * day);
        ck_assert_uint_eq(chain_effective_expiry(&none), 0);
}
END_TEST

/* chain_verify_expiry() must say what chain_verify() and chain_build() say one after the other. */
static void assert_verified_expiry(const struct x509_cert *leaf, const struct cert_list *intermediates,
                                   const struct cert_list *anchors, int code, usec_t expected) {
        _cleanup_(cert_list_clear) struct cert_list leaf_list = LIST_OF(leaf);
        _cleanup_(issuers_freep) struct issuers *issuers = NULL;
        usec_t expiry = 1;

        ck_assert_int_eq(chain_verify(leaf_list.items[0], intermediates, anchors, USEC_INFINITY, NULL), code);
        ck_assert_int_eq(
                chain_verify_expiry(leaf_list.items[0], intermediates, anchors, &expiry, &issuers, NULL),
                code);
        ck_assert((code == 0) == (issuers != NULL));
        ck_assert_uint_eq(expiry, code == 0 ? expected : 1);
        ck_assert_uint_eq(ERR_peek_error(), 0);
}

START_TEST(test_verify_expiry) {
        const usec_t day = USEC_PER_DAY;
        _cleanup_(x509_cert_clear) struct x509_cert root = make_ca("CN=Root", 1, NULL),
                                                    stranger = make_ca("CN=Root", 3, NULL);
        _cleanup_(x509_cert_clear) struct x509_cert brief =
                x509_make(&(struct x509_options) { .ca = true,
                                                   .subject = "CN=Brief",
                                                   .key = x509_key(2),
                                                   .issuer = &root,
                                                   .not_after = X509_NOW + 5 * day });
        _cleanup_(x509_cert_clear) struct x509_cert longer =
                x509_make(&(struct x509_options) { .ca = true,
                                                   .subject = "CN=Brief",
                                                   .key = x509_key(2),
                                                   .issuer = &root,
                                                   .not_after = X509_NOW + 7 * day });
        _cleanup_(x509_cert_clear) struct x509_cert leaf = make_leaf(&brief);
        /* Signed by another key, and nothing but the signature tells. */
        _cleanup_(x509_cert_clear) struct x509_cert forged =
                x509_make(&(struct x509_options) { .issuer = &stranger, .authority_key_id = "" });
        _cleanup_(cert_list_clear) struct cert_list none = { 0 }, roots = LIST_OF(&root),
                                                    briefs = LIST_OF(&brief), both = LIST_OF(&brief, &longer),
                                                    leaves = LIST_OF(&leaf);
        struct issuers *issuers;
        usec_t expiry;

        assert_verified_expiry(&leaf, &briefs, &roots, 0, X509_NOW + 5 * day);
        assert_verified_expiry(&leaf, &none, &briefs, 0, X509_NOW + 5 * day);
        /* Whichever of the two OpenSSL goes by, the longer one is there. */
        assert_verified_expiry(&leaf, &both, &roots, 0, X509_NOW + 7 * day);
        assert_verified_expiry(&leaf, &none, &roots, -EKEYREJECTED, 0);
        assert_verified_expiry(&forged, &none, &roots, -EKEYREJECTED, 0);

        ck_assert_int_eq(chain_expiry(leaves.items[0], &both, &expiry, &issuers), 0);
        ck_assert_uint_eq(expiry, X509_NOW + 7 * day);
        ck_assert_ptr_nonnull(issuers);
        issuers = issuers_free(issuers);
        ck_assert_int_eq(chain_expiry(leaves.items[0], &leaves, &expiry, &issuers), 0);
        ck_assert_uint_eq(expiry, X509_NOW + 90 * day);
        ck_assert_ptr_null(issuers);
}
END_TEST

/* The Connector issues with a CA that was signed across by one that has expired since: it trusts another
 * certificate of that CA. A root that expires later counts, and so does the only CA there is. */
START_TEST(test_stale_root) {
        static const struct {
                usec_t root_expiry; /* the leaf is issued a day before X509_NOW */
                bool has_intermediate;
                size_t n;
                usec_t expiry;
        } cases[] = {
                { X509_NOW - 2 * USEC_PER_DAY, true, 2, X509_NOW + 90 * USEC_PER_DAY },
                { X509_NOW - USEC_PER_DAY, true, 2, X509_NOW + 90 * USEC_PER_DAY },
                { X509_NOW - USEC_PER_DAY / 2, true, 3, X509_NOW - USEC_PER_DAY / 2 },
                { X509_NOW + USEC_PER_DAY, true, 3, X509_NOW + USEC_PER_DAY },
                { X509_NOW - 2 * USEC_PER_DAY, false, 2, X509_NOW - 2 * USEC_PER_DAY },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(x509_cert_clear) struct x509_cert root =
                        x509_make(&(struct x509_options) { .ca = true,
                                                           .subject = "CN=Root",
                                                           .key = x509_key(1),
                                                           .not_before = X509_NOW - 99 * USEC_PER_DAY,
                                                           .not_after = cases[i].root_expiry });
                _cleanup_(x509_cert_clear) struct x509_cert intermediate =
                        make_ca("CN=Intermediate", 2, &root);
                _cleanup_(x509_cert_clear) struct x509_cert leaf = x509_make(&(struct x509_options) {
                        .issuer = cases[i].has_intermediate ? &intermediate : &root });
                _cleanup_(cert_list_clear) struct cert_list leaves = LIST_OF(&leaf),
                                                            all = LIST_OF(&intermediate, &root);
                _cleanup_(chain_clear) struct chain chain = { 0 };

                ck_assert_int_eq(chain_build(leaves.items[0], &all, &chain, NULL), 0);
                ck_assert_msg(chain.certs.n == cases[i].n, "%zu: %zu", i, chain.certs.n);
                ck_assert_uint_eq(chain_effective_expiry(&chain), cases[i].expiry);
        }
}
END_TEST

START_TEST(test_pem) {
        _cleanup_(x509_cert_clear) struct x509_cert root = make_ca("CN=Root", 1, NULL);
        _cleanup_(x509_cert_clear) struct x509_cert intermediate = make_ca("CN=Intermediate", 2, &root);
        _cleanup_(x509_cert_clear) struct x509_cert leaf = make_leaf(&intermediate);
        _cleanup_(cert_list_clear) struct cert_list candidates = LIST_OF(&root, &intermediate);
        _cleanup_(chain_clear) struct chain chain = built(&leaf, &candidates);
        _cleanup_(freep) char *leaf_pem = NULL, *issuers_pem = NULL;
        _cleanup_(freep) char *leaf_wanted = X509_JOIN(&leaf, &intermediate);
        _cleanup_(freep) char *issuers_wanted = X509_JOIN(&intermediate, &root);

        ck_assert_int_eq(chain_leaf_pem(&chain, &leaf_pem), 0);
        ck_assert_int_eq(chain_issuers_pem(&chain, &issuers_pem), 0);
        ck_assert_str_eq(leaf_pem, leaf_wanted);
        ck_assert_str_eq(issuers_pem, issuers_wanted);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("chain");

        x509_key(3);
        TEST_CASE(suite, test_build_refuses);
        TEST_CASE(suite, test_build_matches_keys_and_not_names);
        TEST_CASE(suite, test_build_refuses_issuers_that_are_no_ca);
        TEST_CASE(suite, test_build_refuses_too_long_chains);
        TEST_CASE(suite, test_build_orders);
        TEST_CASE(suite, test_build_without_a_root);
        TEST_CASE(suite, test_build_prefers_the_longest_lived);
        TEST_CASE(suite, test_build_finds_the_way_to_a_root);
        TEST_CASE(suite, test_build_ends_in_a_loop);
        TEST_CASE(suite, test_verify);
        TEST_CASE(suite, test_effective_expiry);
        TEST_CASE(suite, test_verify_expiry);
        TEST_CASE(suite, test_stale_root);
        TEST_CASE(suite, test_pem);
        return test_run(suite);
}
