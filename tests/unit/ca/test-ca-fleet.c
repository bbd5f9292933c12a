#include "ca/live/control.h"

#include "tests/test.h"

#define METRIC "rekeyd_certificate_issuer_info"

START_TEST(the_text_of_one_rekeyd_is_read) {
        _cleanup_(fleet_clear) struct fleet fleet = { 0 };
        static const char text[] =
                "# HELP " METRIC " x\n# TYPE " METRIC " gauge\n" METRIC
                "{certificate=\"orders\",issuer=\"aa\",issuer_key=\"bb\",issuer_subject=\"CN="
                "\\\"Kyma\\\"\\\\,O=x\"} 1\nrekeyd_other{certificate=\"x\"} 1\n" METRIC
                "{certificate=\"stock\",issuer=\"aa\",issuer_key=\"bb\",issuer_subject=\"\"} 1";

        ck_assert_int_eq(fleet_read_text(text, &fleet, NULL), 0);
        ck_assert_uint_eq(fleet.n, 2);
        ck_assert_str_eq(fleet.sets[0].certificate, "orders");
        ck_assert_str_eq(fleet.sets[0].issuer, "aa");
        ck_assert_str_eq(fleet.sets[0].issuer_key, "bb");
        ck_assert_str_eq(fleet.sets[0].issuer_subject, "CN=\"Kyma\"\\,O=x");
        ck_assert_str_eq(fleet.sets[1].instance, "");
}
END_TEST

START_TEST(what_is_cut_off_is_refused) {
        static const char *const texts[] = {
                METRIC "{certificate=\"orders",
                METRIC "{certificate=orders} 1\n",
                METRIC "{certificate",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                struct fleet fleet = { 0 };

                ck_assert_int_eq(fleet_read_text(texts[i], &fleet, NULL), -EINVAL);
                ck_assert_ptr_null(fleet.sets);
        }
}
END_TEST

START_TEST(a_page_without_sets_counts_none) {
        _cleanup_(fleet_clear) struct fleet fleet = { 0 };

        ck_assert_int_eq(fleet_read_text("rekeyd_up 1\n", &fleet, NULL), 0);
        ck_assert_uint_eq(fleet.n, 0);
}
END_TEST

START_TEST(the_answer_of_a_prometheus_is_read) {
        _cleanup_(fleet_clear) struct fleet fleet = { 0 };
        static const char text[] = "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{"
                                   "\"metric\":{\"certificate\":"
                                   "\"orders\",\"instance\":\"a:9732\",\"issuer\":\"aa\",\"issuer_key\":"
                                   "\"bb\"},\"value\":[1,\"1\"]},"
                                   "{\"metric\":{\"certificate\":\"stock\"},\"value\":[1,\"1\"]}]}}";

        ck_assert_int_eq(fleet_read_json(text, strlen(text), &fleet, NULL), 0);
        ck_assert_uint_eq(fleet.n, 2);
        ck_assert_str_eq(fleet.sets[0].instance, "a:9732");
        ck_assert_str_eq(fleet.sets[1].issuer, "");
}
END_TEST

START_TEST(another_answer_is_refused) {
        static const char *const texts[] = { "", "[]", "{\"status\":\"error\"}",
                                             "{\"data\":{\"result\":7}}" };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                struct fleet fleet = { 0 };

                ck_assert_int_lt(fleet_read_json(texts[i], strlen(texts[i]), &fleet, NULL), 0);
        }
}
END_TEST

/* More than one growth of the list. */
START_TEST(many_sets_are_kept) {
        _cleanup_(fleet_clear) struct fleet fleet = { 0 };
        _cleanup_(freep) char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        for (unsigned i = 0; i < 1000; i++)
                fprintf(out, METRIC "{certificate=\"c%u\",issuer=\"aa\"} 1\n", i);
        fclose(out);
        ck_assert_int_eq(fleet_read_text(text, &fleet, NULL), 0);
        ck_assert_uint_eq(fleet.n, 1000);
        ck_assert_str_eq(fleet.sets[999].certificate, "c999");
}
END_TEST

static const char control_cas[] =
        "{\"cas\":[{\"fingerprint\":\"aa\",\"spki\":\"11\",\"subject\":\"CN=Kyma\"}]}";

START_TEST(the_control_api_of_one_rekeyd_is_read) {
        _cleanup_(fleet_clear) struct fleet fleet = { 0 }, all = { 0 };

        ck_assert_int_eq(control_read("{\"certificates\":[{\"name\":\"orders\",\"issuers\":[\"aa\",\"bb\"]},"
                                      "{\"name\":\"empty\",\"issuers\":[]},{\"name\":\"none\"}]}",
                                      control_cas, "/run/x", &fleet, NULL),
                         0);
        ck_assert_uint_eq(fleet.n, 2);
        ck_assert_str_eq(fleet.sets[0].certificate, "orders");
        ck_assert_str_eq(fleet.sets[0].instance, "/run/x");
        ck_assert_str_eq(fleet.sets[0].issuer_key, "11");
        ck_assert_str_eq(fleet.sets[0].issuer_subject, "CN=Kyma");
        ck_assert_str_eq(fleet.sets[1].issuer, "bb");
        ck_assert_str_eq(fleet.sets[1].issuer_key, ""); /* it is not known any more */
        ck_assert_int_eq(fleet_move(&all, &fleet), 0);
        ck_assert_uint_eq(fleet.n, 0);
        ck_assert_uint_eq(all.n, 2);
}
END_TEST

START_TEST(another_control_api_is_refused) {
        static const char *const texts[] = { "", "{}", "{\"certificates\":7}",
                                             "{\"certificates\":[{\"name\":\"a\",\"issuers\":[7]}]}" };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                struct fleet fleet = { 0 };

                ck_assert_int_eq(control_read(texts[i], control_cas, "/run/x", &fleet, NULL), -EINVAL);
        }
        ck_assert_int_eq(control_renew("/run/none", "../cas", 0, NULL), -EINVAL);
}
END_TEST

TEST_MAIN("ca-fleet", the_control_api_of_one_rekeyd_is_read, another_control_api_is_refused,
          the_text_of_one_rekeyd_is_read, what_is_cut_off_is_refused, a_page_without_sets_counts_none,
          the_answer_of_a_prometheus_is_read, another_answer_is_refused, many_sets_are_kept)
