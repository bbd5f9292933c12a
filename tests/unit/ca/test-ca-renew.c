/* The fleet by control sockets: who is under the old CA, who is asked to renew, and who is in the way of a
 * retirement. The control API is a script. */

#include <stdio.h>

#include "ca/live/call.h"
#include "ca/live/fleet.h"
#include "ca/live/live.h"
#include "tests/rekeyctl/fake-api.h"
#include "tests/support/scratch.h"
#include "tests/support/x509.h"
#include "tests/test.h"

struct scene {
        char *directory;
        struct fake_api *api;
        struct x509_cert old, new;
        struct record record;
        char *control[2];
        struct site site;
        struct live live;
        char said[4096]; /* all lines */
};

static void keep_line(void *userdata, const char *text) {
        struct scene *scene = userdata;
        const size_t n = strlen(scene->said);

        snprintf(scene->said + n, sizeof(scene->said) - n, "%s\n", text);
}

static void fingerprints(const struct x509_cert *from, char certificate[FINGERPRINT_HEX],
                         char key[FINGERPRINT_HEX]) {
        _cleanup_(cert_list_clear) struct cert_list list = { 0 };
        uint8_t hash[FINGERPRINT_SIZE];

        ck_assert_int_eq(cert_list_parse(from->pem, strlen(from->pem), &list, NULL), 0);
        cert_fingerprint(list.items[0], hash);
        hex_format(certificate, hash, sizeof(hash));
        cert_spki(list.items[0], hash);
        hex_format(key, hash, sizeof(hash));
}

/* Two sets under the old CA, orders and stock, and one under the new. */
static void answer_with_fleet(const struct scene *scene) {
        char old[FINGERPRINT_HEX], old_key[FINGERPRINT_HEX], new[FINGERPRINT_HEX], new_key[FINGERPRINT_HEX];
        _cleanup_(freep) char *certificates = NULL, *cas = NULL;

        fingerprints(&scene->old, old, old_key);
        fingerprints(&scene->new, new, new_key);
        ck_assert(
                asprintf(&certificates,
                         "{\"certificates\":[{\"name\":\"orders\",\"issuers\":[\"%s\"]},{\"name\":\"stock\","
                         "\"issuers\":[\"%s\"]},{\"name\":\"billing\",\"issuers\":[\"%s\"]}]}",
                         old, old, new) >= 0 &&
                asprintf(&cas,
                         "{\"cas\":[{\"fingerprint\":\"%s\",\"spki\":\"%s\",\"subject\":\"CN=old\"},"
                         "{\"fingerprint\":\"%s\",\"spki\":\"%s\",\"subject\":\"CN=new\"}]}",
                         old, old_key, new, new_key) >= 0);
        fake_api_answer(scene->api, "GET /v1/certificates", 200, certificates);
        fake_api_answer(scene->api, "GET /v1/cas", 200, cas);
}

static void scene_begin(struct scene *scene, enum reason reason) {
        const bool has_new_key = reason_rows[reason].has_new_key;

        *scene = (struct scene) { .directory = scratch_new() };
        scene->api = fake_api_new(scene->directory);
        scene->old = x509_make(&(struct x509_options) { .ca = true });
        scene->new = x509_make(
                &(struct x509_options) { .ca = true, .serial = 3, .key = x509_key(has_new_key ? 2 : 1) });
        scene->record = (struct record) { .reason = reason,
                                          .phase = PHASE_RENEWING,
                                          .new_certificate = scene->new.pem,
                                          .leaf_lifetime = USEC_PER_DAY };
        scene->record.signer.before.texts[SIGNER_CERTIFICATE] = scene->old.pem;
        scene->control[0] = (char *)fake_api_socket(scene->api);
        scene->site = (struct site) { .control = scene->control, .renew_within = USEC_PER_MINUTE };
        scene->live = (struct live) { .site = &scene->site, .say = keep_line, .userdata = scene };
        answer_with_fleet(scene);
}

static void scene_end(struct scene *scene) {
        fake_api_free(scene->api);
        x509_cert_clear(&scene->old);
        x509_cert_clear(&scene->new);
        scratch_free(scene->directory);
}

static void expect(const char *text, const char *wanted) {
        ck_assert_msg(strstr(text, wanted), "'%s' is not in: %s", wanted, text);
}

/* By the key, and where that stays by the certificate. */
START_TEST(sets_of_the_old_ca_are_renewed) {
        static const enum reason reasons[] = { REASON_NEW_KEY, REASON_EXPIRING };

        for (size_t i = 0; i < ELEMENTSOF(reasons); i++) {
                _cleanup_(scene_end) struct scene scene;
                _cleanup_(freep) char *requests = NULL;

                scene_begin(&scene, reasons[i]);
                fake_api_answer(scene.api, "POST /v1/certificates/orders/renew", 202, "{}");
                fake_api_answer(scene.api, "POST /v1/certificates/stock/renew", 202, "{}");
                ck_assert_int_eq(live_renew(&scene.live, &scene.record, NULL), 0);
                expect(scene.said, "2 sets are under the old CA, 2 of them are renewed within 1m");
                requests = fake_api_requests(scene.api);
                expect(requests, "POST /v1/certificates/orders/renew {\"within\": 60}");
                ck_assert_ptr_null(strstr(requests, "billing"));
        }
}
END_TEST

START_TEST(one_that_is_refused_for_now_is_named) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(scene_end) struct scene scene;

        scene_begin(&scene, REASON_NEW_KEY);
        fake_api_answer(scene.api, "POST /v1/certificates/orders/renew", 409,
                        "{\"error\":\"it is being revoked\"}");
        fake_api_answer(scene.api, "POST /v1/certificates/stock/renew", 202, "{}");
        ck_assert_int_eq(live_renew(&scene.live, &scene.record, &error), -EAGAIN);
        expect(scene.said, "does not renew orders: it is being revoked");
        expect(scene.said, "1 of them are renewed");
        expect(error_text(&error), "1 sets of rekeyd at");
}
END_TEST

START_TEST(a_rekeyd_that_does_not_answer_is_tried_again) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(scene_end) struct scene scene;

        scene_begin(&scene, REASON_NEW_KEY);
        fake_api_answer(scene.api, "GET /v1/cas", 0, "");
        ck_assert_int_eq(live_renew(&scene.live, &scene.record, &error), -EAGAIN);
        expect(error_text(&error),
               "not all sets of the fleet were asked to renew: cannot count the sets of rekeyd");
        fake_api_answer(scene.api, "GET /v1/cas", 403, "{\"error\":\"no permission\"}");
        ck_assert_int_lt(live_renew(&scene.live, &scene.record, &error), 0);
        expect(error_text(&error), "no permission");
}
END_TEST

START_TEST(after_a_compromised_key_each_needs_a_token) {
        _cleanup_(scene_end) struct scene scene;
        _cleanup_(freep) char *requests = NULL;

        scene_begin(&scene, REASON_KEY_COMPROMISED);
        ck_assert_int_eq(live_renew(&scene.live, &scene.record, NULL), 0);
        expect(scene.said, "orders needs a one-time token");
        expect(scene.said, "stock needs a one-time token");
        requests = fake_api_requests(scene.api);
        ck_assert_ptr_null(strstr(requests, "POST"));
}
END_TEST

/* The guard counts them, and takes the names of all that are lost. */
START_TEST(the_guard_counts_them) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(scene_end) struct scene scene;

        scene_begin(&scene, REASON_NEW_KEY);
        ck_assert_int_eq(live_guard(&scene.live, &scene.record, false, &error), -EPERM);
        expect(error_text(&error), "2 sets are issued under the old CA (orders, stock)");
        scene.record.forced = (char *)"orders";
        ck_assert_int_eq(live_guard(&scene.live, &scene.record, false, NULL), -EPERM);
        scene.record.forced = (char *)"stock,orders";
        ck_assert_int_eq(live_guard(&scene.live, &scene.record, false, NULL), 0);
        expect(scene.said, "the old CA may leave: the operator gives up the leaves by name");
}
END_TEST

/* A CA that is carried may leave without a question; nobody is asked where no socket is given. */
START_TEST(nobody_is_asked_without_need) {
        _cleanup_(scene_end) struct scene scene;
        _cleanup_(freep) char *requests = NULL;

        scene_begin(&scene, REASON_NEW_KEY);
        scene.control[0] = NULL;
        ck_assert(!live_counts(&scene.live));
        ck_assert_int_eq(live_renew(&scene.live, &scene.record, NULL), 0);
        requests = fake_api_requests(scene.api);
        ck_assert_str_eq(requests, "");
}
END_TEST

int main(void) {
        Suite *suite = suite_create("ca-renew");

        if (call_begin() < 0)
                return EXIT_FAILURE;
        TEST_CASE(suite, sets_of_the_old_ca_are_renewed);
        TEST_CASE(suite, one_that_is_refused_for_now_is_named);
        TEST_CASE(suite, a_rekeyd_that_does_not_answer_is_tried_again);
        TEST_CASE(suite, after_a_compromised_key_each_needs_a_token);
        TEST_CASE(suite, the_guard_counts_them);
        TEST_CASE(suite, nobody_is_asked_without_need);
        return test_run(suite);
}
