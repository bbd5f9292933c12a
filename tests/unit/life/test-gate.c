#include "lib/life/gate.h"

#include <openssl/err.h>

#include "tests/support/x509.h"
#include "tests/test.h"

static const char subject_text[] = "O=Org,OU=OrgUnit,L=locality,ST=province,C=DE,CN=7defcb65";
static const char subject_reordered[] = "C=DE,ST=province,L=locality,O=Org,OU=OrgUnit,CN=7defcb65";

#define SKEW (5 * USEC_PER_MINUTE)

/* A reply that passes every check, as the Compass Connector sends it, to be spoilt by each test. */
struct scene {
        struct x509_cert ca, leaf;
        char *chain_pem;
        struct key *key;
        struct subject *subject;
        struct gate_input input;
};

static void scene_clear(struct scene *scene) {
        x509_cert_clear(&scene->ca);
        x509_cert_clear(&scene->leaf);
        free(scene->chain_pem);
        key_free(scene->key);
        subject_free(scene->subject);
}

/* Chain and input for the scene's leaf and CA. */
static void scene_arrange(struct scene *scene) {
        free(scene->chain_pem);
        scene->chain_pem = X509_JOIN(&scene->leaf, &scene->ca);
        scene->input.leaf_pem = scene->leaf.pem;
        scene->input.chain_pem = scene->chain_pem;
        scene->input.ca_pem = scene->ca.pem;
}

/* LEAF and CA are what x509_make() takes, without subject and issuer. */
static struct scene scene_make(struct x509_options leaf, struct x509_options ca) {
        _cleanup_(freep) char *key_pem = x509_key_pem(x509_key(0));
        struct scene scene = { .input = { .now = X509_NOW, .skew_usec = SKEW } };

        ca.ca = true;
        ca.subject = "CN=Kyma";
        scene.ca = x509_make(&ca);
        if (!leaf.subject)
                leaf.subject = subject_reordered;
        leaf.issuer = &scene.ca;
        scene.leaf = x509_make(&leaf);
        scene_arrange(&scene);

        ck_assert_int_eq(key_parse(key_pem, strlen(key_pem), &scene.key, NULL), 0);
        ck_assert_int_eq(subject_parse(subject_text, &scene.subject, NULL), 0);
        scene.input.key = scene.key;
        scene.input.subject = scene.subject;
        return scene;
}
#define LEAF(...) ((struct x509_options) { __VA_ARGS__ })
#define CA(...)   ((struct x509_options) { __VA_ARGS__ })

static void assert_stopped(const struct scene *scene, enum gate_check check, const char *expected) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct gate_result result = { 0 };
        enum gate_check failed = GATE_MAX;

        ck_assert_int_eq(gate_run(&scene->input, &result, &failed, &error), -EKEYREJECTED);
        ck_assert_msg(failed == check, "stopped by %s: %s", gate_check_names[failed], error_text(&error));
        ck_assert_msg(strstr(error_text(&error), expected), "'%s' instead of '%s'", error_text(&error),
                      expected);
        ck_assert_int_eq(error.code, -EKEYREJECTED);
        ck_assert_ptr_null(result.certificate_pem);
        ck_assert_ptr_null(result.ca_pem);
        ck_assert_uint_eq(ERR_peek_error(), 0);

        ck_assert_int_eq(gate_run(&scene->input, &result, &failed, NULL), -EKEYREJECTED);
}

static void assert_passes(const struct scene *scene) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(gate_result_clear) struct gate_result result = { 0 };
        enum gate_check failed = GATE_MAX;

        ck_assert_msg(gate_run(&scene->input, &result, &failed, &error) == 0, "stopped by %s: %s",
                      gate_check_names[failed], error_text(&error));
        ck_assert_ptr_nonnull(result.certificate_pem);
        ck_assert_uint_eq(ERR_peek_error(), 0);
}

/* A row without a function would end the passing run of test_result in a crash; names are told apart here. */
START_TEST(test_every_check_has_a_name) {
        for (size_t i = 0; i < GATE_MAX; i++) {
                ck_assert(!strempty(gate_check_names[i]));
                for (size_t k = 0; k < i; k++)
                        ck_assert_str_ne(gate_check_names[i], gate_check_names[k]);
        }
}
END_TEST

START_TEST(test_parses) {
        static const char garbage[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        _cleanup_(scene_clear) struct scene scene = scene_make(LEAF(0), CA(0));
        _cleanup_(freep) char *big = malloc(CERT_PEM_MAX + 2);

        memset(big, '\n', CERT_PEM_MAX + 1);
        big[CERT_PEM_MAX + 1] = '\0';

        const struct {
                const char **field;
                const char *text;
                const char *error;
        } cases[] = {
                { &scene.input.leaf_pem, NULL, "the reply has no client certificate" },
                { &scene.input.leaf_pem, "", "the reply has no client certificate" },
                { &scene.input.chain_pem, NULL, "the reply has no certificate chain" },
                { &scene.input.ca_pem, "", "the reply has no CA certificate" },
                { &scene.input.leaf_pem, "x",
                  "the client certificate in the reply cannot be used: no certificate" },
                { &scene.input.leaf_pem, garbage,
                  "cannot be used: certificate 1 cannot be read: it is damaged" },
                { &scene.input.chain_pem, garbage, "the certificate chain in the reply cannot be used" },
                { &scene.input.ca_pem, garbage, "the CA certificate in the reply cannot be used" },
                { &scene.input.leaf_pem, big, "the text is larger than 256 KiB" },
                { &scene.input.chain_pem, big, "the text is larger than 256 KiB" },
                { &scene.input.ca_pem, big, "the text is larger than 256 KiB" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *good = *cases[i].field;

                *cases[i].field = cases[i].text;
                assert_stopped(&scene, GATE_PARSES, cases[i].error);
                *cases[i].field = good;
        }
        assert_passes(&scene);
}
END_TEST

START_TEST(test_one_leaf) {
        _cleanup_(scene_clear) struct scene scene = scene_make(LEAF(0), CA(0));
        _cleanup_(x509_cert_clear) struct x509_cert other =
                x509_make(&(struct x509_options) { .subject = "CN=other", .issuer = &scene.ca });
        _cleanup_(freep) char *two = X509_JOIN(&scene.leaf, &other),
                              *with_ca = X509_JOIN(&scene.ca, &scene.leaf);
        _cleanup_(freep) char *twice = X509_JOIN(&scene.leaf, &scene.ca, &scene.leaf);

        scene.input.leaf_pem = scene.ca.pem;
        assert_stopped(&scene, GATE_ONE_LEAF, "there is no leaf in the reply");
        scene.input.leaf_pem = two;
        assert_stopped(&scene, GATE_ONE_LEAF, "there are 2 client certificates in the reply instead of one");

        scene.input.leaf_pem = scene.leaf.pem;
        scene.input.chain_pem = two;
        assert_stopped(&scene, GATE_ONE_LEAF,
                       "the certificate chain in the reply holds a second leaf, 'CN=other'");

        scene.input.chain_pem = twice;
        assert_passes(&scene);
        scene.input.leaf_pem = with_ca;
        assert_passes(&scene);
        scene.input.chain_pem = scene.ca.pem; /* does not repeat the leaf */
        assert_passes(&scene);
}
END_TEST

START_TEST(test_leaf_key) {
        _cleanup_(scene_clear) struct scene scene = scene_make(LEAF(.key = x509_key(2)), CA(0));
        _cleanup_(freep) char *expected = NULL;
        uint8_t spki[SPKI_HASH_SIZE];
        char hex[2 * SPKI_HASH_SIZE + 1];

        key_spki(scene.key, spki);
        ck_assert_int_ge(asprintf(&expected, " instead of sha256:%s", hex_format(hex, spki, sizeof(spki))),
                         0);
        assert_stopped(&scene, GATE_LEAF_KEY, "not for the key that was sent: its SPKI is sha256:");
        assert_stopped(&scene, GATE_LEAF_KEY, expected);
}
END_TEST

START_TEST(test_new_key) {
        _cleanup_(scene_clear) struct scene scene = scene_make(LEAF(0), CA(0));
        uint8_t current[SPKI_HASH_SIZE];

        key_spki(scene.key, current);
        scene.input.current_spki = current;
        assert_stopped(&scene, GATE_NEW_KEY,
                       "has the key of the current one instead of a new one: SPKI sha256:");
        current[SPKI_HASH_SIZE - 1] ^= 1;
        assert_passes(&scene);
}
END_TEST

START_TEST(test_subject) {
        static const struct {
                const char *subject;
                const char *error;
        } cases[] = {
                { "O=Org,OU=OrgUnit,L=locality,ST=province,C=DE,CN=other",
                  "its CN is 'other' instead of '7defcb65'" },
                { "O=ORG,OU=OrgUnit,L=locality,ST=province,C=DE,CN=7defcb65",
                  "its O is 'ORG' instead of 'Org'" },
                { "O=Org,L=locality,ST=province,C=DE,CN=7defcb65",
                  "its OU is missing instead of being 'OrgUnit'" },
                { "O=Org,OU=OrgUnit,OU=2,L=locality,ST=province,C=DE,CN=7defcb65",
                  "its OU is '2', which was not requested" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(scene_clear) struct scene scene =
                        scene_make(LEAF(.subject = cases[i].subject), CA(0));

                assert_stopped(&scene, GATE_SUBJECT, cases[i].error);
        }
}
END_TEST

START_TEST(test_client_auth) {
        _cleanup_(scene_clear) struct scene server =
                scene_make(LEAF(.extended_key_usage = "serverAuth"), CA(0));
        _cleanup_(scene_clear) struct scene both =
                scene_make(LEAF(.extended_key_usage = "serverAuth,clientAuth"), CA(0));
        _cleanup_(scene_clear) struct scene any = scene_make(LEAF(.extended_key_usage = ""), CA(0));

        assert_stopped(&server, GATE_CLIENT_AUTH, "not for clients: its extendedKeyUsage lacks clientAuth");
        assert_passes(&both);
        assert_passes(&any);
}
END_TEST

START_TEST(test_not_before) {
        _cleanup_(scene_clear) struct scene scene = scene_make(LEAF(.not_before = X509_NOW), CA(0));

        scene.input.now = X509_NOW - SKEW;
        assert_passes(&scene);
        scene.input.now = X509_NOW - SKEW - USEC_PER_SEC;
        assert_stopped(
                &scene, GATE_VALIDITY,
                "the new certificate 'C=DE,ST=province,L=locality,O=Org,OU=OrgUnit,CN=7defcb65' is not valid "
                "before 2027-01-15T08:00:00Z, which is 5m 1s from now (2027-01-15T07:54:59Z)");
        scene.input.skew_usec += USEC_PER_SEC;
        assert_passes(&scene);
        scene.input.skew_usec = USEC_INFINITY;
        assert_passes(&scene);
}
END_TEST

START_TEST(test_not_after) {
        _cleanup_(scene_clear) struct scene scene =
                scene_make(LEAF(.not_after = X509_NOW + USEC_PER_SEC), CA(0));

        assert_passes(&scene);
        scene.input.now = X509_NOW + USEC_PER_SEC;
        assert_stopped(&scene, GATE_VALIDITY,
                       "expired at 2027-01-15T08:00:01Z, and it is 2027-01-15T08:00:01Z");
        scene.input.now = X509_NOW + USEC_PER_DAY;
        assert_stopped(&scene, GATE_VALIDITY, "the new certificate 'C=DE,");
}
END_TEST

START_TEST(test_validity_of_the_ca) {
        _cleanup_(scene_clear) struct scene expired = scene_make(LEAF(0), CA(.not_after = X509_NOW));
        _cleanup_(scene_clear) struct scene early = scene_make(LEAF(0), CA(.not_before = X509_NOW + SKEW));

        assert_stopped(&expired, GATE_VALIDITY,
                       "the CA certificate 'CN=Kyma' expired at 2027-01-15T08:00:00Z");
        assert_passes(&early);
        early.input.now -= USEC_PER_SEC;
        assert_stopped(&early, GATE_VALIDITY, "the CA certificate 'CN=Kyma' is not valid before");
}
END_TEST

/* After a rotation with the same key, the old CA certificate may still be in the reply. */
START_TEST(test_validity_spares_strangers) {
        _cleanup_(scene_clear) struct scene scene = scene_make(LEAF(0), CA(0));
        _cleanup_(x509_cert_clear) struct x509_cert old =
                x509_make(&(struct x509_options) { .ca = true, .subject = "CN=Kyma", .not_after = X509_NOW });
        _cleanup_(freep) char *ca_pem = X509_JOIN(&old, &scene.ca);

        scene.input.ca_pem = ca_pem;
        assert_passes(&scene);
}
END_TEST

START_TEST(test_chain) {
        _cleanup_(scene_clear) struct scene scene = scene_make(LEAF(0), CA(0));
        _cleanup_(x509_cert_clear) struct x509_cert namesake =
                x509_make(&(struct x509_options) { .ca = true, .subject = "CN=Kyma", .key = x509_key(3) });
        _cleanup_(x509_cert_clear) struct x509_cert stranger = x509_make(
                &(struct x509_options) { .ca = true, .subject = "CN=Stranger", .key = x509_key(3) });

        /* The chain leads to a CA, but not to the one that the reply calls its own. */
        scene.input.ca_pem = stranger.pem;
        assert_stopped(&scene, GATE_CHAIN, "the new certificate does not verify to the CA in the reply: ");
        scene.input.ca_pem = namesake.pem;
        assert_stopped(&scene, GATE_CHAIN, "the new certificate does not verify to the CA in the reply: ");
        scene.input.ca_pem = scene.leaf.pem;
        assert_stopped(&scene, GATE_CHAIN,
                       "no CA is among the 1 certificates that should be its trust anchors");

        /* Nothing issued the leaf. */
        scene.input.ca_pem = namesake.pem;
        scene.input.chain_pem = scene.leaf.pem;
        assert_stopped(&scene, GATE_CHAIN, "its issuer 'CN=Kyma' is not among the 2 certificates given");

        /* The CA comes in one of the texts only. */
        scene.input.ca_pem = scene.ca.pem;
        assert_passes(&scene);
}
END_TEST

START_TEST(test_chain_refuses_self_signed) {
        _cleanup_(scene_clear) struct scene scene = scene_make(LEAF(0), CA(0));

        x509_cert_clear(&scene.leaf);
        scene.leaf = x509_make(&(struct x509_options) { .subject = subject_text });
        scene_arrange(&scene);
        assert_stopped(&scene, GATE_CHAIN, "does not verify to the CA in the reply: it is self-signed");
}
END_TEST

/* A Connector that has not read its new CA yet. */
START_TEST(test_trusted) {
        _cleanup_(scene_clear) struct scene scene = scene_make(LEAF(0), CA(0));
        _cleanup_(x509_cert_clear) struct x509_cert renewed = x509_make(&(struct x509_options) {
                .ca = true, .subject = "CN=Kyma", .not_after = X509_NOW + 9999 * USEC_PER_DAY });
        _cleanup_(freep) char *chain_pem = X509_JOIN(&scene.leaf, &renewed);
        _cleanup_(cert_list_clear) struct cert_list list = { 0 };
        char certificate[FINGERPRINT_HEX], key[FINGERPRINT_HEX + 5] = "spki:";
        uint8_t hash[FINGERPRINT_SIZE];
        struct replacement_rule rule = { .connector = "ucl", .issued_before = USEC_INFINITY };

        ck_assert_int_eq(cert_list_parse(scene.ca.pem, strlen(scene.ca.pem), &list, NULL), 0);
        cert_fingerprint(list.items[0], hash);
        hex_format(certificate, hash, sizeof(hash));
        cert_spki(list.items[0], hash);
        hex_format(key + strlen("spki:"), hash, sizeof(hash));

        scene.input.rule = &rule;
        assert_passes(&scene); /* how old the leaf is has its own remedy */
        rule.distrust = (const char *const[]) { certificate, NULL };
        assert_stopped(&scene, GATE_TRUSTED,
                       "still signed by a CA that is not trusted any more: the Connector has not read its "
                       "new CA yet: "
                       "its CA 'CN=Kyma' (sha256 ");
        scene.input.forced = true;
        assert_stopped(&scene, GATE_TRUSTED, "see `distrust` of connector ucl");

        /* The new certificate of the same key. */
        scene.input.chain_pem = chain_pem;
        scene.input.ca_pem = renewed.pem;
        assert_passes(&scene);
        rule.distrust = (const char *const[]) { key, NULL };
        assert_stopped(&scene, GATE_TRUSTED, "the key of its CA 'CN=Kyma' (spki:");
}
END_TEST

/* What passes all other checks, and TLS would refuse: it must not be staged. */
START_TEST(test_loads) {
        _cleanup_(x509_cert_clear) struct x509_cert root =
                x509_make(&(struct x509_options) { .ca = true, .subject = "CN=Root", .key = x509_key(2) });
        EVP_PKEY *weak = EVP_RSA_gen(1024);
        const struct {
                struct x509_options leaf, ca;
                const char *reason;
        } rows[] = {
                { LEAF(.digest = EVP_sha1()), CA(0), "md too weak" },
                { LEAF(.digest = EVP_md5()), CA(0), "md too weak" },
                { LEAF(0), CA(.issuer = &root, .digest = EVP_sha1()), "md too weak" },
                { LEAF(0), CA(.issuer = &root, .key = weak), "key too small" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(scene_clear) struct scene scene = scene_make(rows[i].leaf, rows[i].ca);
                _cleanup_(freep) char *ca_pem = X509_JOIN(&scene.ca, &root);

                if (rows[i].ca.issuer)
                        scene.input.ca_pem = ca_pem;
                assert_stopped(&scene, GATE_LOADS, "the new certificate cannot be used for TLS: ");
                assert_stopped(&scene, GATE_LOADS, rows[i].reason);
        }
        EVP_PKEY_free(weak);
}
END_TEST

START_TEST(test_expiry) {
        _cleanup_(scene_clear) struct scene scene = scene_make(LEAF(0), CA(0));
        const usec_t expiry = X509_NOW + 90 * USEC_PER_DAY;

        scene.input.current_expiry = expiry;
        assert_stopped(&scene, GATE_EXPIRY,
                       "does not last longer: with its chain it expires at 2027-04-15T08:00:00Z, the current "
                       "one at 2027-04-15T08:00:00Z");
        scene.input.current_expiry = USEC_INFINITY;
        assert_stopped(&scene, GATE_EXPIRY, "the current one at never");
        scene.input.forced = true;
        assert_passes(&scene);
        scene.input.forced = false;
        scene.input.current_expiry = expiry - 1;
        assert_passes(&scene);
}
END_TEST

/* The leaf lives long, its CA does not. */
START_TEST(test_expiry_counts_the_anchor) {
        _cleanup_(scene_clear) struct scene scene =
                scene_make(LEAF(0), CA(.not_after = X509_NOW + 10 * USEC_PER_DAY));

        scene.input.current_expiry = X509_NOW + 20 * USEC_PER_DAY;
        assert_stopped(&scene, GATE_EXPIRY, "does not last longer: the CA 'CN=Kyma' (sha256 ");
        assert_stopped(
                &scene, GATE_EXPIRY,
                "with which the Connector still signs, expires at 2027-01-25T08:00:00Z, and the current "
                "certificate at 2027-02-04T08:00:00Z; it is the CA that expires");
        scene.input.current_expiry = X509_NOW + 9 * USEC_PER_DAY;
        assert_passes(&scene);
}
END_TEST

/* The older service's order: root before intermediate, in both texts. */
START_TEST(test_result) {
        _cleanup_(x509_cert_clear) struct x509_cert root =
                x509_make(&(struct x509_options) { .ca = true, .subject = "CN=Root", .key = x509_key(2) });
        _cleanup_(scene_clear) struct scene scene =
                scene_make(LEAF(.not_before = X509_NOW - USEC_PER_HOUR), CA(.issuer = &root));
        _cleanup_(freep) char *chain_pem = X509_JOIN(&scene.leaf, &root, &scene.ca);
        _cleanup_(freep) char *ca_pem = X509_JOIN(&root, &scene.ca);
        _cleanup_(freep) char *wanted = X509_JOIN(&scene.leaf, &scene.ca),
                              *wanted_ca = X509_JOIN(&scene.ca, &root);
        _cleanup_(gate_result_clear) struct gate_result result = { 0 };
        enum gate_check failed = GATE_MAX;
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned size;

        scene.input.chain_pem = chain_pem;
        scene.input.ca_pem = ca_pem;
        ck_assert_int_eq(gate_run(&scene.input, &result, &failed, NULL), 0);
        ck_assert_int_eq(failed, GATE_MAX);
        ck_assert_str_eq(result.certificate_pem, wanted);
        ck_assert_str_eq(result.ca_pem, wanted_ca);
        ck_assert_uint_eq(result.not_before, X509_NOW - USEC_PER_HOUR);
        ck_assert_uint_eq(result.effective_expiry, X509_NOW + 90 * USEC_PER_DAY);
        ck_assert_int_eq(X509_digest(scene.leaf.handle, EVP_sha256(), digest, &size), 1);
        ck_assert_mem_eq(result.fingerprint, digest, FINGERPRINT_SIZE);
}
END_TEST

START_TEST(test_how_long_it_takes) {
        enum { ROUNDS = 50 };
        _cleanup_(scene_clear) struct scene scene = scene_make(LEAF(0), CA(0));
        usec_t start = now_usec(CLOCK_MONOTONIC), parsing;

        for (size_t i = 0; i < ROUNDS; i++) {
                _cleanup_(cert_list_clear) struct cert_list list = { 0 };

                ck_assert_int_eq(cert_list_parse(scene.chain_pem, strlen(scene.chain_pem), &list, NULL), 0);
        }
        parsing = now_usec(CLOCK_MONOTONIC) - start;
        start = now_usec(CLOCK_MONOTONIC);
        for (size_t i = 0; i < ROUNDS; i++)
                assert_passes(&scene);
        test_report("gate: parsing a chain of two %" PRI_USEC " us, the whole gate %" PRI_USEC " us",
                    parsing / ROUNDS, (now_usec(CLOCK_MONOTONIC) - start) / ROUNDS);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("gate");

        x509_key(3);
        TEST_CASE(suite, test_every_check_has_a_name);
        TEST_CASE(suite, test_parses);
        TEST_CASE(suite, test_one_leaf);
        TEST_CASE(suite, test_leaf_key);
        TEST_CASE(suite, test_new_key);
        TEST_CASE(suite, test_subject);
        TEST_CASE(suite, test_client_auth);
        TEST_CASE(suite, test_not_before);
        TEST_CASE(suite, test_not_after);
        TEST_CASE(suite, test_validity_of_the_ca);
        TEST_CASE(suite, test_validity_spares_strangers);
        TEST_CASE(suite, test_chain);
        TEST_CASE(suite, test_chain_refuses_self_signed);
        TEST_CASE(suite, test_trusted);
        TEST_CASE(suite, test_loads);
        TEST_CASE(suite, test_expiry);
        TEST_CASE(suite, test_expiry_counts_the_anchor);
        TEST_CASE(suite, test_result);
        TEST_CASE(suite, test_how_long_it_takes);
        return test_run(suite);
}
