/* The list of certificates, with certificates that only take down what is done to them. */

#include "daemon/fleet/fleet-change.h"
#include "daemon/fleet/fleet-connectors.h"
#include "daemon/fleet/fleet-issuers.h"

#include "tests/unit/config/config-text.h"

struct certificate {
        const char *name; /* of `config` */
        const struct config_certificate *config;
        struct report_status status;
        bool is_retiring;
        unsigned n_starts, n_retired, n_reconfigured;
        bool has_changed; /* what the last reconfiguration said */
};

static unsigned n_alive;
static const char *refused; /* certificate_new() of this name fails */

int certificate_new(_unused_ struct environment *env, _unused_ struct config *owner,
                    const struct config_certificate *config, struct certificate **ret, struct error *error) {
        struct certificate *certificate;

        if (streq_null(refused, config->name))
                return error_set(error, -EEXIST, "its state is of another");
        certificate = calloc(1, sizeof(*certificate));
        ck_assert_ptr_nonnull(certificate);
        certificate->name = config->name;
        certificate->config = config;
        certificate->status.name = config->name;
        certificate->status.renew_at = certificate->status.next_attempt = USEC_INFINITY;
        n_alive++;
        *ret = certificate;
        return 0;
}

struct certificate *certificate_free(struct certificate *certificate) {
        if (certificate)
                n_alive--;
        free(certificate);
        return NULL;
}

const char *certificate_name(const struct certificate *certificate) {
        return certificate->name;
}

const struct config_certificate *certificate_config(const struct certificate *certificate) {
        return certificate->config;
}

void certificate_get_status(const struct certificate *certificate, struct report_status *ret) {
        *ret = certificate->status;
}

bool certificate_is_usable(const struct certificate *certificate) {
        return certificate->status.is_usable;
}

const struct issuers *certificate_issuers(const struct certificate *certificate) {
        return certificate->status.renewable.issuers;
}

usec_t certificate_not_before(const struct certificate *certificate) {
        return certificate->status.not_before;
}

bool certificate_is_retiring(const struct certificate *certificate) {
        return certificate->is_retiring;
}

void certificate_start(struct certificate *certificate) {
        certificate->n_starts++;
}

void certificate_retire(struct certificate *certificate) {
        certificate->is_retiring = true;
        certificate->n_retired++;
}

void certificate_reconfigure(struct certificate *certificate, _unused_ struct config *owner,
                             const struct config_certificate *config, bool has_changed) {
        certificate->name = config->name;
        certificate->config = config;
        certificate->is_retiring = false;
        certificate->n_reconfigured++;
        certificate->has_changed = has_changed;
}

/* --- What the tests share --- */

#define ENTRY(name, more) "  " name ": {connector: ucl, directory: /srv/" name more "}\n"

/* The configuration with ENTRIES. */
static struct config *config_of(const char *entries) {
        _cleanup_(freep) char *text = NULL;

        ck_assert_int_ge(asprintf(&text,
                                  "connectors: {ucl: {enrol_url: https://c/g}}\n"
                                  "certificates:%s\n%s",
                                  *entries ? "" : " {}", entries),
                         0);
        return parse_good(text);
}

static struct fleet fleet;
static struct config *current, *before; /* of `fleet` */

/* FLEET goes over to ENTRIES. */
static struct fleet_changes change(const char *entries) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct config *config = config_of(entries);
        struct fleet_plan plan = { 0 };
        struct fleet_changes changes;

        ck_assert_int_eq(fleet_plan_make(&fleet, NULL, config, &plan, &error), 0);
        changes = fleet_change(&fleet, &plan, config);
        config_free(before); /* those that retire have theirs for one change more */
        before = current;
        current = config;
        return changes;
}

static void begin(const char *entries) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct fleet_plan plan = { 0 };

        current = config_of(entries);
        ck_assert_int_eq(fleet_plan_make(&fleet, NULL, current, &plan, &error), 0);
        fleet_begin(&fleet, &plan);
}

static void set_up(void) {
        n_alive = 0;
        refused = NULL;
}

static void tear_down(void) {
        fleet_clear(&fleet);
        ck_assert_uint_eq(n_alive, 0);
        current = config_free(current);
        before = config_free(before);
}

static void assert_changes(struct fleet_changes changes, size_t n_added, size_t n_changed, size_t n_removed) {
        ck_assert_uint_eq(changes.n_added + changes.n_changed + changes.n_kept, fleet.n);
        ck_assert_uint_eq(changes.n_added, n_added);
        ck_assert_uint_eq(changes.n_changed, n_changed);
        ck_assert_uint_eq(changes.n_removed, n_removed);
}

/* --- The list --- */

START_TEST(one_is_found_by_its_name) {
        begin(ENTRY("a", "") ENTRY("b", ""));
        ck_assert_ptr_eq(fleet_find(&fleet, "b"), fleet.certificates[1]);
        ck_assert_ptr_null(fleet_find(&fleet, "c"));
        ck_assert_ptr_null(fleet_find(&fleet, ""));
}
END_TEST

START_TEST(ready_is_who_has_inspected_all) {
        ck_assert(fleet_is_ready(&fleet));
        begin(ENTRY("a", "") ENTRY("b", ""));
        ck_assert(!fleet_is_ready(&fleet));
        ck_assert(!fleet_count_inspected(&fleet));
        ck_assert(!fleet_is_ready(&fleet));
        ck_assert(fleet_count_inspected(&fleet));
        ck_assert(fleet_is_ready(&fleet));
        change(ENTRY("a", "") ENTRY("b", "") ENTRY("c", ""));
        ck_assert(!fleet_is_ready(&fleet));
}
END_TEST

/* --- Another configuration --- */

START_TEST(the_first_ones_are_not_started) {
        begin(ENTRY("a", ""));
        ck_assert_uint_eq(fleet.n, 1);
        ck_assert_uint_eq(fleet.certificates[0]->n_starts, 0);
}
END_TEST

START_TEST(a_plan_that_fails_changes_nothing) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(config_freep) struct config *config =
                config_of(ENTRY("b", "") ENTRY("c", "") ENTRY("d", ""));
        struct fleet_plan plan = { 0 };
        uint64_t serial;

        begin(ENTRY("a", "") ENTRY("b", ""));
        serial = fleet.serial;
        refused = "d";
        ck_assert_int_eq(fleet_plan_make(&fleet, NULL, config, &plan, &error), -EEXIST);
        ck_assert_str_eq(error_text(&error), "cannot set up certificate d: its state is of another");
        ck_assert_ptr_null(plan.certificates);
        ck_assert_uint_eq(n_alive, 2);
        ck_assert_uint_eq(fleet.n, 2);
        ck_assert(fleet.serial == serial);
}
END_TEST

START_TEST(a_plan_may_be_given_up) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(config_freep) struct config *config = config_of(ENTRY("b", "") ENTRY("c", ""));
        struct fleet_plan plan = { 0 };

        begin(ENTRY("b", ""));
        ck_assert_int_eq(fleet_plan_make(&fleet, NULL, config, &plan, &error), 0);
        ck_assert_uint_eq(n_alive, 2);
        fleet_plan_clear(&plan);
        ck_assert_uint_eq(n_alive, 1);
}
END_TEST

START_TEST(each_gets_what_its_configuration_says) {
        struct certificate *kept, *changed, *gone;
        uint64_t serial;

        begin(ENTRY("gone", "") ENTRY("kept", "") ENTRY("changed", ""));
        gone = fleet.certificates[0], kept = fleet.certificates[1], changed = fleet.certificates[2];
        serial = fleet.serial;
        assert_changes(change(ENTRY("new", "") ENTRY("changed", ", keep: 7") ENTRY("kept", "")), 1, 1, 1);

        ck_assert(fleet.serial != serial);
        ck_assert_uint_eq(fleet.n, 3);
        ck_assert_str_eq(fleet.certificates[0]->name, "new");
        ck_assert_uint_eq(fleet.certificates[0]->n_starts, 1);
        ck_assert_uint_eq(fleet.certificates[0]->n_reconfigured, 0);
        ck_assert_ptr_eq(fleet.certificates[1], changed);
        ck_assert(changed->n_reconfigured == 1 && changed->has_changed && changed->n_starts == 0);
        ck_assert_ptr_eq(fleet.certificates[2], kept);
        ck_assert(kept->n_reconfigured == 1 && !kept->has_changed);
        ck_assert(gone->n_retired == 1 && gone->n_reconfigured == 0);
        ck_assert_ptr_null(fleet_find(&fleet, "gone"));
        ck_assert_uint_eq(fleet.n_retiring, 1);
        ck_assert_uint_eq(n_alive, 4);

        fleet_remove_retired(&fleet, gone);
        ck_assert_uint_eq(fleet.n_retiring, 0);
        ck_assert_uint_eq(n_alive, 3);
}
END_TEST

START_TEST(who_comes_back_before_the_end_goes_on) {
        struct certificate *a;

        begin(ENTRY("a", "") ENTRY("b", ""));
        a = fleet.certificates[0];
        assert_changes(change(ENTRY("b", "")), 0, 0, 1);
        ck_assert(a->is_retiring);
        assert_changes(change(ENTRY("a", "") ENTRY("b", "")), 1, 0, 0);
        ck_assert_ptr_eq(fleet.certificates[0], a);
        ck_assert(!a->is_retiring);
        ck_assert_uint_eq(fleet.n_retiring, 0);
        ck_assert_uint_eq(n_alive, 2);
}
END_TEST

START_TEST(who_retires_is_asked_once) {
        struct certificate *a;

        begin(ENTRY("a", "") ENTRY("b", "") ENTRY("c", ""));
        a = fleet.certificates[0];
        assert_changes(change(ENTRY("b", "") ENTRY("c", "")), 0, 0, 1);
        assert_changes(change(ENTRY("b", "")), 0, 0, 1);
        ck_assert_uint_eq(a->n_retired, 1);
        ck_assert_uint_eq(fleet.n_retiring, 2);
}
END_TEST

/* --- What is said of them --- */

static void assert_description(const char *text) {
        _cleanup_(freep) char *description = fleet_describe(&fleet);

        ck_assert_str_eq(description, text);
}

START_TEST(the_worst_comes_first) {
        begin("");
        assert_description("no certificate is configured");
        change(ENTRY("a", "") ENTRY("b", "") ENTRY("c", ""));
        for (size_t i = 0; i < fleet.n; i++) {
                struct report_status *status = &fleet.certificates[i]->status;

                *status = (struct report_status) { .name = fleet.certificates[i]->name,
                                                   .knowledge = SET_KNOWN,
                                                   .is_usable = true,
                                                   .state = RENEWAL_CURRENT,
                                                   .not_after = (i + 10) * USEC_PER_DAY,
                                                   .renew_at = (i + 1) * USEC_PER_DAY,
                                                   .next_attempt = USEC_INFINITY };
        }
        ck_assert_uint_eq(fleet_count_usable(&fleet), 3);
        assert_description("3 of 3 certificates current; next: a at 1970-01-02T00:00:00Z");
        fleet.certificates[0]->status.failures = 1;
        fleet.certificates[2]->status.is_usable = false;
        ck_assert_uint_eq(fleet_count_usable(&fleet), 2);
        assert_description(
                "2 of 3 certificates current; c has expired, and 1 more needs attention; next: a at "
                "1970-01-02T00:00:00Z");
        fleet.certificates[2]->status.knowledge = SET_UNREADABLE;
        fleet.certificates[2]->status.unreadable = "cannot read tls.key";
        assert_description("2 of 3 certificates current; c cannot be read: cannot read tls.key, and 1 more "
                           "needs attention; "
                           "next: a at 1970-01-02T00:00:00Z");
}
END_TEST

START_TEST(trouble_has_a_name) {
        struct report_status status = { .knowledge = SET_KNOWN, .is_usable = true, .state = RENEWAL_CURRENT };

        ck_assert_ptr_null(fleet_trouble(&status));
        status.notices.n_failed = 1;
        ck_assert_ptr_nonnull(fleet_trouble(&status));
        status.is_usable = false;
        status.knowledge = SET_NONE;
        ck_assert_str_eq(fleet_trouble(&status), "is not enrolled");
        status.knowledge = SET_UNKNOWN;
        ck_assert_str_eq(fleet_trouble(&status), "is not inspected yet");
        status.knowledge = SET_UNREADABLE;
        ck_assert_str_eq(fleet_trouble(&status), "cannot be read");
        status.knowledge = SET_KNOWN;
        ck_assert_str_eq(fleet_trouble(&status), "has expired");
        status.is_revoked = true;
        ck_assert_str_eq(fleet_trouble(&status), "is revoked");
}
END_TEST

START_TEST(metrics_are_of_the_list) {
        struct metrics_source source;
        struct report_status status;

        begin(ENTRY("a", "") ENTRY("b", ""));
        source = fleet_metrics_source(&fleet);
        ck_assert_uint_eq(source.n, 2);
        ck_assert(!source.is_ready);
        source.status(source.userdata, 1, &status);
        ck_assert_str_eq(status.name, "b");
        ck_assert(source.serial(source.userdata) == fleet.serial);
        change(ENTRY("a", ""));
        ck_assert(source.serial(source.userdata) == fleet.serial);
}
END_TEST

/* --- What the sets are issued under --- */

static struct issuers *make_issuers(uint8_t first, uint8_t second) {
        struct issuers *issuers = calloc(1, sizeof(*issuers) + 2 * sizeof(issuers->items[0]));

        ck_assert_ptr_nonnull(issuers);
        issuers->items[issuers->n++] = (struct issuer) {
                .fingerprint = { first }, .spki = { 9 }, .subject = "CN=Kyma", .not_after = USEC_INFINITY
        };
        if (second > 0)
                issuers->items[issuers->n++] =
                        (struct issuer) { .fingerprint = { second }, .subject = "CN=Root" };
        return issuers;
}

static void hang(size_t i, const struct issuers *issuers, usec_t not_before) {
        fleet.certificates[i]->status.renewable.issuers = issuers;
        fleet.certificates[i]->status.not_before = not_before;
}

static json_t *ca_at(const json_t *json, size_t i) {
        return json_array_get(json_object_get(json, "cas"), i);
}

static size_t n_of(const json_t *ca, const char *member) {
        return json_array_size(json_object_get(ca, member));
}

START_TEST(each_ca_is_listed_once) {
        _cleanup_(freep) struct issuers *old = make_issuers(1, 3), *new = make_issuers(2, 3);
        _cleanup_(json_decrefp) json_t *empty = NULL, *json = NULL;
        char *const distrust[] = { (char *)"0100000000000000000000000000000000000000000000000000000000000000",
                                   NULL };

        begin(ENTRY("a", "") ENTRY("b", "") ENTRY("c", "") ENTRY("d", ""));
        empty = fleet_issuers(&fleet);
        ck_assert_uint_eq(n_of(empty, "cas"), 0);

        hang(0, old, 100);
        hang(1, new, 300);
        hang(2, old, 200);
        ((struct config_connector *)certificate_config(fleet.certificates[0])->connector)->distrust =
                (char **)distrust;
        json = fleet_issuers(&fleet);
        ck_assert_uint_eq(n_of(json, "cas"), 3);
        ck_assert_str_eq(json_string_value(json_object_get(ca_at(json, 0), "fingerprint")), distrust[0]);
        ck_assert_int_eq(json_integer_value(json_object_get(ca_at(json, 0), "sets")), 2);
        ck_assert_uint_eq(n_of(ca_at(json, 0), "newest_of"), 0);
        ck_assert_uint_eq(n_of(ca_at(json, 0), "distrusted_by"), 1);
        ck_assert_int_eq(json_integer_value(json_object_get(ca_at(json, 1), "sets")), 1);
        ck_assert_uint_eq(n_of(ca_at(json, 1), "newest_of"), 1);
        ck_assert_uint_eq(n_of(ca_at(json, 1), "distrusted_by"), 0);
        ck_assert_str_eq(json_string_value(json_object_get(ca_at(json, 1), "not_after")),
                         "9999-12-31T23:59:59Z");
        ck_assert_int_eq(json_integer_value(json_object_get(ca_at(json, 2), "sets")), 3);
        ck_assert_uint_eq(n_of(ca_at(json, 2), "newest_of"), 1);
        ck_assert_uint_eq(n_of(ca_at(json, 2), "connectors"), 1);
}
END_TEST

static const char *member_text(const json_t *object, const char *name) {
        return json_string_value(json_object_get(object, name));
}

static int64_t member_number(const json_t *object, const char *name) {
        return json_integer_value(json_object_get(object, name));
}

START_TEST(a_connector_is_what_its_certificates_say) {
        _cleanup_(json_decrefp) json_t *json = NULL;
        struct slots slots = { .n_total = 1 };
        const json_t *connector;
        struct slot_group *group;

        begin(ENTRY("a", "") ENTRY("b", "") ENTRY("c", ""));
        fleet.certificates[0]->status.is_usable = true;
        fleet.certificates[0]->status.last_result = "renewed";
        fleet.certificates[0]->status.last_result_at = 300 * USEC_PER_SEC;
        fleet.certificates[1]->status.failures = 2;
        fleet.certificates[1]->status.failure = FAILURE_TRANSIENT;
        fleet.certificates[1]->status.last_error = "no answer";
        fleet.certificates[1]->status.last_error_at = 200 * USEC_PER_SEC;
        fleet.certificates[1]->status.next_attempt = 400 * USEC_PER_SEC;
        fleet.certificates[2]->status.failures = 1;
        fleet.certificates[2]->status.failure = FAILURE_LOCAL; /* is none of the Connector's */
        fleet.certificates[2]->status.last_error = "disk full";
        fleet.certificates[2]->status.last_error_at = 250 * USEC_PER_SEC;

        json = fleet_connectors(&fleet, &slots);
        ck_assert_uint_eq(n_of(json, "connectors"), 1);
        connector = json_array_get(json_object_get(json, "connectors"), 0);
        ck_assert_int_eq(member_number(connector, "certificates"), 3);
        ck_assert_int_eq(member_number(connector, "usable"), 1);
        ck_assert_int_eq(member_number(connector, "failing"), 2);
        ck_assert_str_eq(member_text(connector, "last_error"), "no answer");
        ck_assert_str_eq(member_text(connector, "last_error_of"), "b");
        ck_assert_str_eq(member_text(connector, "accepted_at"), "1970-01-01T00:05:00Z");
        ck_assert_str_eq(member_text(connector, "next_attempt"), "1970-01-01T00:06:40Z");
        ck_assert(json_is_null(json_object_get(connector, "answered_at")));
        ck_assert_int_eq(slots_group(&slots, member_text(connector, "name"), &group), 0);
        json_decref(json);

        slots_report_result(&slots, group, true);
        json = fleet_connectors(&fleet, &slots);
        connector = json_array_get(json_object_get(json, "connectors"), 0);
        ck_assert_ptr_nonnull(member_text(connector, "answered_at"));
        ck_assert(json_is_null(json_object_get(connector, "silent_at")));
        slots_clear(&slots);
}
END_TEST

START_TEST(a_rotation_is_found_once) {
        _cleanup_(freep) struct issuers *old = make_issuers(1, 3), *new = make_issuers(2, 3),
                                        *part = make_issuers(1, 0);
        struct fleet_rotation rotation;

        begin(ENTRY("a", "") ENTRY("b", "") ENTRY("c", "") ENTRY("d", ""));
        hang(0, old, 100);
        hang(1, old, 100);
        hang(2, old, 100);
        ck_assert(!fleet_find_rotation(&fleet, fleet.certificates[0], NULL, &rotation)); /* as all others */
        ck_assert(!fleet_find_rotation(&fleet, fleet.certificates[3], NULL, &rotation)); /* not known */
        hang(1, new, 200);
        ck_assert(!fleet_find_rotation(&fleet, fleet.certificates[1], new,
                                       &rotation)); /* it was there before */
        ck_assert(fleet_find_rotation(&fleet, fleet.certificates[1], old, &rotation));
        ck_assert_uint_eq(rotation.n_old, 2);
        ck_assert_ptr_eq(rotation.old, &old->items[0]);
        ck_assert_ptr_eq(rotation.new, &new->items[0]);
        hang(2, new, 300);
        ck_assert(!fleet_find_rotation(&fleet, fleet.certificates[2], old, &rotation)); /* the second */

        /* that more of it is known is no other CA */
        hang(2, part, 300);
        hang(1, old, 300);
        ck_assert(!fleet_find_rotation(&fleet, fleet.certificates[1], part, &rotation));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("fleet");

        TEST_CASE_IN(suite, one_is_found_by_its_name, set_up, tear_down);
        TEST_CASE_IN(suite, ready_is_who_has_inspected_all, set_up, tear_down);
        TEST_CASE_IN(suite, the_first_ones_are_not_started, set_up, tear_down);
        TEST_CASE_IN(suite, a_plan_that_fails_changes_nothing, set_up, tear_down);
        TEST_CASE_IN(suite, a_plan_may_be_given_up, set_up, tear_down);
        TEST_CASE_IN(suite, each_gets_what_its_configuration_says, set_up, tear_down);
        TEST_CASE_IN(suite, who_comes_back_before_the_end_goes_on, set_up, tear_down);
        TEST_CASE_IN(suite, who_retires_is_asked_once, set_up, tear_down);
        TEST_CASE_IN(suite, the_worst_comes_first, set_up, tear_down);
        TEST_CASE_IN(suite, trouble_has_a_name, set_up, tear_down);
        TEST_CASE_IN(suite, metrics_are_of_the_list, set_up, tear_down);
        TEST_CASE_IN(suite, each_ca_is_listed_once, set_up, tear_down);
        TEST_CASE_IN(suite, a_connector_is_what_its_certificates_say, set_up, tear_down);
        TEST_CASE_IN(suite, a_rotation_is_found_once, set_up, tear_down);
        return test_run(suite);
}
