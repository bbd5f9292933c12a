/* The JSON about certificates: no secret in it, nothing half made when memory is out, nothing left out where
 * nothing is known; then every member as the golden texts in tests/data/report/ have it. */

#include "lib/report/report.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/util/base64.h"
#include "tests/support/scratch.h"
#include "tests/support/sets.h"
#include "tests/unit/config/config-text.h"

/* 2026-11-21T12:00:00Z, a day after the certificates in tests/data were signed. */
#define NOW    (UINT64_C(1795262400) * USEC_PER_SEC)
#define MINUTE USEC_PER_MINUTE

/* --- What is put in --- */

#define CERTIFICATE                                                            \
        "connectors: {ucl: {enrol_url: https://c/g}}\n"                        \
        "certificates:\n"                                                      \
        "  orders:\n"                                                          \
        "    connector: ucl\n"                                                 \
        "    directory: %s\n"                                                  \
        "    exports:\n"                                                       \
        "      - {path: %s/a.pem, contents: [leaf]}\n"                         \
        "      - {path: %s/b.p12, format: pkcs12, passphrase_file: %s/pass}\n" \
        "      - {path: %s/c.pem}\n"                                           \
        "    notify:\n"                                                        \
        "      - unit: nginx.service\n"                                        \
        "      - {signal: HUP, pid_file: /run/x.pid}\n"                        \
        "      - {command: [/usr/libexec/orders-reload, now]}\n"               \
        "      - {http: 'http://127.0.0.1:9901/reload'}\n"                     \
        "      - {command: [/usr/libexec/orders-reload, now]}\n"

static struct config *configure(const char *directory, const char *exports) {
        _cleanup_(freep) char *text = NULL;

        ck_assert_int_gt(asprintf(&text, CERTIFICATE, directory, exports, exports, exports, exports), 0);
        return parse_good(text);
}

/* The PEM in member NAME of a Connector's reply. */
static struct cert_list read_certs(const char *name) {
        _cleanup_(freep) char *path = scratch_path(getenv("REKEYD_TEST_DATA"), "compass/certificates.json"),
                              *pem = NULL;
        _cleanup_(json_decrefp) json_t *reply = json_load_file(path, 0, NULL);
        const char *base64 = json_string_value(
                json_object_get(json_object_get(json_object_get(reply, "data"), "result"), name));
        struct cert_list certs = { 0 };
        size_t size;

        ck_assert_ptr_nonnull(base64);
        ck_assert_int_eq(base64_decode(base64, strlen(base64), &pem, &size), 0);
        ck_assert_int_eq(cert_list_parse(pem, size, &certs, NULL), 0);
        return certs;
}

/* What inspect_certificate() might have found: of everything something. */
static struct inspection make_inspection(void) {
        struct cert_list leaf = read_certs("clientCertificate");
        struct inspection inspection = {
                .has_set = true,
                .set = { .generation = 42, .leaf = take_ptr(leaf.items[0]) },
                .chain = read_certs("caCertificate"),
                .ca = read_certs("caCertificate"),
                .generations = calloc(2, sizeof(*inspection.generations)),
                .n_generations = 2,
                .staged = { .key = true, .csr = true },
                .exports = calloc(3, sizeof(*inspection.exports)),
                .n_exports = 3,
        };
        struct inspected_generation *generations = inspection.generations;
        struct set *set = &inspection.set;

        cert_list_clear(&leaf);
        cert_fingerprint(set->leaf, set->fingerprint);
        cert_spki(set->leaf, set->spki);
        cert_key_text(set->leaf, inspection.key);
        set->is_self_signed = cert_is_self_signed(set->leaf);
        set->allows_client_auth = cert_allows_client_auth(set->leaf);
        set->not_before = cert_not_before(set->leaf);
        set->effective_expiry = cert_not_after(set->leaf);
        hex_format(inspection.fingerprint, set->fingerprint, sizeof(set->fingerprint));
        inspection.connection.director_url = strdup("https://director.example.com/graphql");

        generations[0] = (struct inspected_generation) {
                .number = 42,
                .is_current = true,
                .not_before = set->not_before,
                .not_after = USEC_INFINITY,
        };
        memcpy(generations[0].fingerprint, inspection.fingerprint, FINGERPRINT_HEX);
        generations[1].number = UINT64_MAX - 1;
        error_set(&generations[1].problem, -EBADMSG, "the set in /srv/orders is damaged: \"%s\"", "\xff");

        inspection.exports[0].is_known = inspection.exports[0].is_current = true;
        inspection.exports[1].is_known = true;
        error_set(&inspection.exports[2].problem, -EACCES, "it cannot be read");
        error_set(&inspection.problem, -EEXIST, "files of another origin are among the links");
        return inspection;
}

/* The second of two equal commands is owed something, and a dependent that is no longer in the configuration.
 */
static struct state make_state(const struct config_certificate *config) {
        struct state state = { 0 };
        char key[CONFIG_NOTIFY_KEY];
        struct state_pending *pending;

        ck_assert_int_eq(state_add_pending(&state, config_notify_key(config, 4, key), 42, &pending), 0);
        pending->failures = 3;
        pending->next_attempt_usec = NOW + 40 * USEC_PER_SEC;
        state_keep_error(&pending->error, "command /bin/b ended with status 7");
        ck_assert_int_eq(state_add_pending(&state, config_notify_key(config, 0, key), 41, NULL), 0);
        ck_assert_int_eq(state_add_pending(&state, "command-0000000000000000-1", 40, NULL), 0);
        return state;
}

static struct report_status make_status(const struct inspection *inspection) {
        return (struct report_status) {
                .name = "orders",
                .connector = "ucl",
                .directory = "/srv/orders",
                .state = RENEWAL_RENEWING,
                .step = STEP_SIGN,
                .knowledge = SET_KNOWN,
                .is_usable = true,
                .generation = 42,
                .fingerprint = inspection->fingerprint,
                .not_before = inspection->set.not_before,
                .not_after = inspection->set.effective_expiry,
                .renew_at = NOW - 5 * MINUTE,
                .next_attempt = NOW + MINUTE,
                .failures = 4,
                .failure = FAILURE_TRANSIENT,
                .subjects.last = "O=Org,CN=orders",
                .subjects.refused = "O=Org,CN=others",
                .last_error = "the Connector's reply is no JSON: \"<html>\"",
                .last_error_at = NOW - MINUTE,
                .last_result = "failed",
                .last_result_at = NOW - 2 * USEC_PER_DAY,
                .last_operation = "rollback",
                .last_result_error = "not rolled back: there is no generation 77",
                .files.n_exports_failed = 1,
                .notices.n_pending = 2,
                .notices.n_failed = 1,
                .notices.error = "command /bin/b ended with status 7",
                .budget_left = 5,
        };
}

static char *dump(json_t *json) {
        char *text;

        ck_assert_ptr_nonnull(json);
        text = json_dumps(json, JSON_INDENT(2) | JSON_ENSURE_ASCII);
        ck_assert_ptr_nonnull(text);
        json_decref(json);
        return text;
}

/* --- Secrets --- */

static void assert_nowhere(const char *text, const char *secret) {
        ck_assert_msg(!strstr(text, secret), "it tells %s", secret);
}

/* Everything there is to give away: the key, in the set, staged and in tls.crt, a token, a passphrase. */
START_TEST(no_secret_is_told) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *directory = scratch_path(scratch, "orders"), *pem = x509_key_pem(x509_key(1)),
                              *combined = NULL, *text = NULL;
        _cleanup_(config_freep) struct config *config = configure(directory, scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        _cleanup_(inspection_clear) struct inspection inspection = { 0 };
        struct state state = make_state(&config->certificates[0]);
        struct store *store = test_store_open(directory);
        struct report_status status;
        char *rest = NULL;

        ck_assert_int_gt(asprintf(&combined, "%s%s", second.certificate_pem, pem), 0);
        free(second.certificate_pem);
        second.certificate_pem = strdup(combined);
        test_set_commit(store, &first);
        test_set_commit(store, &second);
        ck_assert_int_eq(store_stage_key(store, second.key, NULL), 0);
        ck_assert_int_eq(
                store_stage_parts(store, &(struct store_staged) { .token = "one-time-token-4711" }, NULL), 0);
        store_close(store);
        scratch_write(scratch, "pass", "open sesame\n", 0600);
        scratch_write(scratch, "c.pem", pem, 0600);

        ck_assert_int_eq(inspect_certificate(&config->certificates[0], NULL, &inspection), 0);
        ck_assert(inspection.has_set && inspection.staged.token && inspection.staged.key);
        report_offline(config, &config->certificates[0], &inspection, &state, NOW, &status);
        text = dump(report_details(&status, &config->certificates[0], &inspection, &state, NOW));
        state_clear(&state);

        ck_assert_ptr_nonnull(strstr(text, "\"token\": true"));
        assert_nowhere(text, "one-time-token");
        assert_nowhere(text, "sesame");
        assert_nowhere(text, "PRIVATE KEY");
        assert_nowhere(text, " now"); /* an argument of a command */
        assert_nowhere(text, "\"now\"");
        for (char *line = strtok_r(pem, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
                assert_nowhere(text, line);
}
END_TEST

/* --- Memory --- */

static size_t allocations_left;

static void *scarce(size_t size) {
        return allocations_left == 0 ? NULL : (allocations_left--, malloc(size));
}

START_TEST(without_memory_there_is_nothing_rather_than_a_part) {
        _cleanup_(config_freep) struct config *config = configure("/srv/orders", "/srv");
        _cleanup_(inspection_clear) struct inspection inspection = make_inspection();
        struct state state = make_state(&config->certificates[0]);
        const struct report_status status = make_status(&inspection);
        _cleanup_(freep) char *whole =
                dump(report_details(&status, &config->certificates[0], &inspection, &state, NOW));
        size_t n = 0;

        for (;; n++) {
                json_t *json;

                allocations_left = n;
                json_set_alloc_funcs(scarce, free);
                json = report_details(&status, &config->certificates[0], &inspection, &state, NOW);
                json_set_alloc_funcs(malloc, free);
                if (json) {
                        _cleanup_(freep) char *text = dump(json);

                        ck_assert_str_eq(text, whole);
                        break;
                }
        }
        test_report("report: %zu allocations, each of them failed once", n);
        ck_assert_uint_gt(n, 200);
        state_clear(&state);
}
END_TEST

/* --- Golden texts --- */

static void assert_golden(const char *name, json_t *json) {
        _cleanup_(freep) char *path = scratch_path(getenv("REKEYD_TEST_DATA"), "report"),
                              *golden = scratch_read(path, name), *text = dump(json), *line = NULL;

        ck_assert_int_gt(asprintf(&line, "%s\n", text), 0);
        ck_assert_msg(golden && streq(golden, line), "%s is not\n%s", name, line);
}

START_TEST(a_status_of_nothing) {
        const struct report_status nothing = {
                .name = "orders",
                .connector = "ucl",
                .directory = "/srv/orders",
                .renew_at = USEC_INFINITY,
                .next_attempt = USEC_INFINITY,
        };

        assert_golden("status-nothing.json", report_status(&nothing));
}
END_TEST

START_TEST(details_of_nothing) {
        _cleanup_(config_freep) struct config *config = configure("/srv/orders", "/srv");
        const struct inspection inspection = { 0 };
        const struct state state = { 0 };
        struct report_status status;

        report_offline(config, &config->certificates[0], &inspection, &state, NOW, &status);
        assert_golden("details-nothing.json",
                      report_details(&status, &config->certificates[0], &inspection, &state, NOW));
}
END_TEST

START_TEST(details_of_everything) {
        _cleanup_(config_freep) struct config *config = configure("/srv/orders", "/srv");
        _cleanup_(inspection_clear) struct inspection inspection = make_inspection();
        struct state state = make_state(&config->certificates[0]);
        const struct report_status status = make_status(&inspection);

        assert_golden("details.json",
                      report_details(&status, &config->certificates[0], &inspection, &state, NOW));
        state_clear(&state);
}
END_TEST

/* The CA that ends the chain is named, and one that lasts longer is not. */
START_TEST(what_ends_first_is_named) {
        static const struct {
                usec_t ends[2], expiry;
                const char *first;
        } rows[] = {
                { { 9 * USEC_PER_DAY, 9 * USEC_PER_DAY }, 5 * USEC_PER_DAY, NULL },
                { { 5 * USEC_PER_DAY, 9 * USEC_PER_DAY }, 5 * USEC_PER_DAY, "CN=Kyma" },
                { { 9 * USEC_PER_DAY, 5 * USEC_PER_DAY }, 5 * USEC_PER_DAY, "CN=Root" },
                { { USEC_INFINITY, USEC_INFINITY }, USEC_INFINITY, NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct issuers *issuers = calloc(1, sizeof(*issuers) + 2 * sizeof(issuers->items[0]));
                struct report_status status = { .not_after = rows[i].expiry, .renewable.issuers = issuers };
                json_t *json;

                issuers->n = 2;
                issuers->items[0] = (struct issuer) { .subject = "CN=Kyma", .not_after = rows[i].ends[0] };
                issuers->items[1] = (struct issuer) { .subject = "CN=Root", .not_after = rows[i].ends[1] };
                json = report_status(&status);
                ck_assert_str_eq(json_string_value(json_object_get(json, "issuer")), "CN=Kyma");
                ck_assert(
                        streq_null(json_string_value(json_object_get(json, "expires_first")), rows[i].first));
                json_decref(json);
                free(issuers);
        }
}
END_TEST

START_TEST(what_is_no_utf8_is_told_nevertheless) {
        const struct report_status status = { .last_error = "cannot read /srv/\xe4\xff: \xc3\xa4" };
        json_t *json = report_status(&status);

        ck_assert_str_eq(json_string_value(json_object_get(json, "last_error")),
                         "cannot read /srv/??: \xc3\xa4");
        json_decref(json);
}
END_TEST

/* Each value has a name, and none is another's. */
START_TEST(states_steps_and_failures_have_their_names) {
        for (struct report_status status = { 0 }; status.state < RENEWAL_STATE_MAX; status.state++) {
                json_t *json = report_status(&status);

                ck_assert_str_eq(json_string_value(json_object_get(json, "state")),
                                 renewal_state_names[status.state]);
                json_decref(json);
        }
        for (struct report_status status = { .step = STEP_INSPECT }; status.step < STEP_MAX; status.step++) {
                json_t *json = report_status(&status);

                ck_assert_str_eq(json_string_value(json_object_get(json, "step")),
                                 renewal_step_names[status.step]);
                json_decref(json);
        }
        for (struct report_status status = { .failure = FAILURE_TRANSIENT }; status.failure < FAILURE_MAX;
             status.failure++) {
                json_t *json = report_status(&status);

                ck_assert_str_eq(json_string_value(json_object_get(json, "failure")),
                                 failure_names[status.failure]);
                json_decref(json);
        }
}
END_TEST

/* --- Without a daemon --- */

START_TEST(states_without_a_daemon) {
        static const struct {
                bool has_set, has_problem;
                unsigned failures;
                usec_t expiry;
                bool revoked, of_another;
                enum renewal_state state;
                bool is_usable;
        } cases[] = {
                { false, false, 0, 0, false, false, RENEWAL_WAITING_FOR_TOKEN, false },
                { false, false, 3, 0, false, false, RENEWAL_WAITING_FOR_TOKEN, false },
                { false, true, 0, 0, false, false, RENEWAL_ABSENT, false },
                { true, false, 0, NOW + 1, false, false, RENEWAL_CURRENT, true },
                { true, true, 0, NOW + 1, false, false, RENEWAL_CURRENT, true },
                { true, false, 2, NOW + 1, false, false, RENEWAL_RETRYING, true },
                { true, false, 0, USEC_INFINITY, false, false, RENEWAL_CURRENT, true },
                { true, false, 0, NOW, false, false, RENEWAL_WAITING_FOR_TOKEN, false },
                { true, false, 2, NOW - 1, false, false, RENEWAL_WAITING_FOR_TOKEN, false },
                { true, false, 0, NOW + 1, true, false, RENEWAL_WAITING_FOR_TOKEN, false },
                { true, false, 0, NOW + 1, true, true, RENEWAL_CURRENT, true },
        };
        _cleanup_(config_freep) struct config *config = configure("/srv/orders", "/srv");

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char revoked[FINGERPRINT_HEX] = "aa";
                struct inspection inspection = {
                        .has_set = cases[i].has_set,
                        .set.effective_expiry = cases[i].expiry,
                        .set.generation = 7,
                        .fingerprint = "aa",
                        .problem.code = cases[i].has_problem ? -EACCES : 0,
                };
                struct state state = {
                        .failures = cases[i].failures,
                        .revoked = &revoked,
                        .n_revoked = cases[i].revoked,
                        .is_revoking = true,
                        .revoking_generation = 6,
                };
                struct report_status status;

                if (cases[i].of_another)
                        inspection.fingerprint[0] = 'b';
                report_offline(config, &config->certificates[0], &inspection, &state, NOW, &status);
                ck_assert_msg(status.state == cases[i].state, "case %zu: %s", i,
                              renewal_state_names[status.state]);
                ck_assert_msg(status.is_usable == cases[i].is_usable, "case %zu", i);
                ck_assert_msg(status.is_revoked == (cases[i].revoked && !cases[i].of_another), "case %zu", i);
                ck_assert_msg(!status.is_revoking, "case %zu", i);
                ck_assert_msg((status.renew_at < USEC_INFINITY) ==
                                      (cases[i].is_usable && cases[i].expiry < USEC_INFINITY),
                              "case %zu", i);

                /* It only may be. */
                state.revoking_generation = 7;
                report_offline(config, &config->certificates[0], &inspection, &state, NOW, &status);
                ck_assert_msg(status.is_revoking == status.is_revoked, "case %zu", i);
                ck_assert_msg(status.is_usable == cases[i].is_usable, "case %zu", i);
        }
}
END_TEST

START_TEST(a_set_that_cannot_be_read_is_last_known) {
        static const struct {
                const char *what;
                bool has_set, is_refused;
                int problem;
                enum knowledge knowledge;
                usec_t expiry; /* as the state file has it */
                bool is_null, has_attempts;
        } rows[] = {
                { "nothing was ever there", false, false, 0, SET_NONE, 0, false, false },
                { "files that were not adopted", false, false, -ENOENT, SET_NONE, 0, false, false },
                { "no right", false, false, -EACCES, SET_UNREADABLE, NOW + USEC_PER_DAY, true, true },
                { "no right, an older state file", false, false, -EACCES, SET_UNREADABLE, 0, true, false },
                { "a bad disk", false, false, -EIO, SET_UNREADABLE, NOW + USEC_PER_DAY, true, true },
                { "damaged", false, false, -EBADMSG, SET_UNREADABLE, NOW + USEC_PER_DAY, true, true },
                { "a directory that is refused", true, true, -EPERM, SET_UNREADABLE, 0, true, true },
                { "files of another origin", true, false, -EEXIST, SET_KNOWN, 0, false, true },
        };
        _cleanup_(config_freep) struct config *config = configure("/srv/orders", "/srv");

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct inspection inspection = {
                        .has_set = rows[i].has_set,
                        .is_refused = rows[i].is_refused,
                        .set.effective_expiry = NOW + USEC_PER_DAY,
                        .set.generation = 7,
                        .fingerprint = "aa",
                };
                struct state state = { .generation = 7, .fingerprint = "aa", .expiry = rows[i].expiry };
                struct report_status status;
                json_t *json;

                if (rows[i].problem != 0)
                        error_set(&inspection.problem, rows[i].problem, "why not");
                report_offline(config, &config->certificates[0], &inspection, &state, NOW, &status);
                json = report_status(&status);
                ck_assert_str_eq(json_string_value(json_object_get(json, "knowledge")),
                                 knowledge_names[rows[i].knowledge]);
                ck_assert_msg(json_is_null(json_object_get(json, "usable")) == rows[i].is_null, "%s",
                              rows[i].what);
                ck_assert_msg(streq_null(json_string_value(json_object_get(json, "unreadable")), "why not") ==
                                      rows[i].is_null,
                              "%s", rows[i].what);
                ck_assert_msg(json_is_null(json_object_get(json, "fingerprint")) ==
                                      (rows[i].knowledge == SET_NONE),
                              "%s", rows[i].what);
                json_decref(json);
                inspection.has_set = false; /* it has no certificate to be described */
                json = report_details(&status, &config->certificates[0], &inspection, &state, NOW);
                ck_assert_msg(json_is_integer(json_object_get(json, "attempts_before_expiry")) ==
                                      rows[i].has_attempts,
                              "%s", rows[i].what);
                json_decref(json);
                error_clear(&inspection.problem);
        }
}
END_TEST

START_TEST(numbers_without_a_daemon) {
        _cleanup_(config_freep) struct config *config = configure("/srv/orders", "/srv");
        _cleanup_(inspection_clear) struct inspection inspection = make_inspection();
        struct state state = make_state(&config->certificates[0]);
        struct report_status status;
        usec_t lifetime = inspection.set.effective_expiry - inspection.set.not_before;

        ck_assert_int_eq(state_record_issuance(&state, 1), 0);
        ck_assert_int_eq(state_record_issuance(&state, 2), 0);
        state.failures = 2;
        state.failure = FAILURE_REFUSED;
        state.next_attempt_usec = NOW + MINUTE;
        state_keep_error(&state.error, "the Connector does not want it");
        state.failed_usec = NOW - MINUTE;
        ck_assert_int_eq(state_settle_subject(&state, "O=Org,CN=orders"), 0);
        ck_assert_int_eq(state_name_other_subject(&state, "O=Org,CN=others", false), 0);
        report_offline(config, &config->certificates[0], &inspection, &state, NOW, &status);
        ck_assert_str_eq(status.subjects.last, "O=Org,CN=orders");
        ck_assert_str_eq(status.subjects.refused, "O=Org,CN=others");
        ck_assert_ptr_null(status.subjects.accepted);
        ck_assert_str_eq(status.name, "orders");
        ck_assert_str_eq(status.connector, "ucl");
        ck_assert_uint_eq(status.generation, 42);
        ck_assert_uint_eq(status.renew_at, inspection.set.effective_expiry - lifetime / 100 * 33);
        ck_assert_uint_eq(status.next_attempt, NOW + MINUTE);
        ck_assert_uint_eq(status.failures, 2);
        ck_assert_int_eq(status.failure, FAILURE_REFUSED);
        ck_assert_uint_eq(status.budget_left, 4);
        ck_assert_uint_eq(status.notices.n_pending, 2); /* nobody knows the third */
        ck_assert_uint_eq(status.notices.n_failed, 1);
        ck_assert_str_eq(status.notices.error, "command /bin/b ended with status 7");
        ck_assert_uint_eq(status.files.n_exports_failed, 1); /* the third is not known */
        ck_assert_str_eq(status.last_error, "the Connector does not want it");
        ck_assert_uint_eq(status.last_error_at, NOW - MINUTE);
        ck_assert_ptr_null(status.last_result);

        config->limits.issuances_per_hour = 1;
        report_offline(config, &config->certificates[0], &inspection, &state, NOW, &status);
        ck_assert_uint_eq(status.budget_left, 0);
        state_clear(&state);
}
END_TEST

/* --- Attempts --- */

START_TEST(attempts_are_counted_from_the_next_one) {
        static const struct {
                unsigned failures;
                usec_t renew_at, next_attempt, not_after;
                const char *attempts;
        } cases[] = {
                { 0, USEC_INFINITY, USEC_INFINITY, USEC_INFINITY, "null" },
                { 0, NOW, USEC_INFINITY, NOW, "0" },
                { 3, NOW, NOW + 10, NOW + 10, "0" },
                { 0, NOW + 10, USEC_INFINITY, NOW + 11, "1" },
                { 0, NOW - 10, USEC_INFINITY, NOW + 1, "1" },
                { 1, NOW + 10, USEC_INFINITY, NOW + 10, "1" }, /* failures: now */
                { 0, NOW, USEC_INFINITY, NOW + 10 * 365 * USEC_PER_DAY, "1000" },
        };
        _cleanup_(config_freep) struct config *config = configure("/srv/orders", "/srv");
        const struct inspection inspection = { 0 };
        const struct state state = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const struct report_status status = {
                        .fingerprint = "aa",
                        .failures = cases[i].failures,
                        .renew_at = cases[i].renew_at,
                        .next_attempt = cases[i].next_attempt,
                        .not_after = cases[i].not_after,
                };
                json_t *json = report_details(&status, &config->certificates[0], &inspection, &state, NOW);
                _cleanup_(freep) char *text =
                        json_dumps(json_object_get(json, "attempts_before_expiry"), JSON_ENCODE_ANY);

                json_decref(json);
                ck_assert_msg(streq(text, cases[i].attempts), "case %zu: %s", i, text);
        }
}
END_TEST

/* --- Where it is renewed --- */

/* Each protocol has its endpoint in a member of its own; a configured URL is as good. */
START_TEST(where_it_is_renewed) {
        static const struct {
                const char *options;
                const char *connector_url, *info_url; /* in connection.json */
                bool is_known;
                const char *shown; /* NULL: none */
        } cases[] = {
                { "protocol: compass", NULL, NULL, false, NULL },
                { "protocol: compass", "https://c/mtls", NULL, true, "https://c/mtls" },
                { "protocol: compass", NULL, "https://c/info", false, NULL },
                { "protocol: compass, url: https://c/mtls", NULL, NULL, true, NULL },
                { "protocol: connector-service", NULL, NULL, false, NULL },
                { "protocol: connector-service", "https://c/mtls", NULL, false, NULL },
                { "protocol: connector-service", NULL, "https://c/info", true, "https://c/info" },
                { "protocol: connector-service, url: https://c/info", NULL, NULL, true, NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(inspection_clear) struct inspection inspection = make_inspection();
                _cleanup_(config_freep) struct config *config = NULL;
                _cleanup_(freep) char *yaml = NULL, *wanted = NULL, *text = NULL;
                const struct state state = { 0 };
                struct report_status status;

                ck_assert_int_gt(asprintf(&yaml,
                                          "connectors: {ucl: {enrol_url: https://c/e, %s}}\n"
                                          "certificates: {orders: {connector: ucl, directory: /srv/x}}\n",
                                          cases[i].options),
                                 0);
                config = parse_good(yaml);
                if (cases[i].connector_url)
                        inspection.connection.connector_url = strdup(cases[i].connector_url);
                if (cases[i].info_url)
                        inspection.connection.info_url = strdup(cases[i].info_url);
                report_offline(config, &config->certificates[0], &inspection, &state, NOW, &status);
                text = dump(report_details(&status, &config->certificates[0], &inspection, &state, NOW));
                ck_assert_int_gt(asprintf(&wanted, "\"connector_url\": %s%s%s", cases[i].shown ? "\"" : "",
                                          cases[i].shown ? cases[i].shown : "null",
                                          cases[i].shown ? "\"" : ""),
                                 0);
                ck_assert_msg(!status.renewable.doubt == cases[i].is_known, "case %zu: %s", i,
                              status.renewable.doubt);
                ck_assert_msg(strstr(text, wanted), "case %zu: no %s", i, wanted);
        }
}
END_TEST

/* --- Secrets --- */

START_TEST(a_secret_is_what_rekeyd_knows_of_it) {
        static const struct {
                struct report_export known;
                const char *wanted;
        } rows[] = {
                { { .is_known = false }, "\"current\":null,\"error\":null,\"generation\":null," },
                { { .is_known = false, .error = (char *)"it rains", .next_attempt = NOW },
                  "\"current\":null,\"error\":\"it rains\",\"generation\":null,\"written_at\":null,"
                  "\"next_attempt\":\"20" },
                { { .is_known = true, .generation = 7 },
                  "\"current\":false,\"error\":null,\"generation\":null," },
                { { .is_known = true, .is_current = true, .generation = 7, .written_at = NOW },
                  "\"current\":true,\"error\":null,\"generation\":7,\"written_at\":\"20" },
        };
        _cleanup_(config_freep) struct config *config =
                parse_good("connectors: {ucl: {enrol_url: https://c/g}}\n"
                           "certificates: {orders: {connector: ucl, directory: /srv/x, "
                           "exports: [{secret: a/b, layout: kyma}]}}\n");
        const struct inspection inspection = { .has_set = false };
        const struct state state = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct report_export known = rows[i].known;
                struct report_exports secrets = { .items = &known, .n = 1 }, copied = { 0 };
                struct report_status status = { .name = "orders", .directory = "/srv/x" };
                _cleanup_(freep) char *text = NULL;
                json_t *json;

                known.secret = (char *)"a/b";
                known.layout = EXPORT_KYMA;
                ck_assert_int_eq(report_exports_copy(&secrets, &copied), 0);
                status.files.secrets = &copied;
                json = report_details(&status, &config->certificates[0], &inspection, &state, NOW);
                report_exports_clear(&copied);
                text = json_dumps(json_object_get(json, "exports"), JSON_COMPACT);
                json_decref(json);
                ck_assert_msg(strstr(text, rows[i].wanted), "case %zu: %s", i, text);
        }
}
END_TEST

/* --- Dependents --- */

/* Journals on disk have these. */
START_TEST(keys_of_dependents_stay_what_they_are) {
        static const char *const keys[] = { "unit-839779815fdc1886-1", "signal-ec6fc89736d1db28-1",
                                            "command-28623a0c1acc9f59-1", "http-2829d9dc6f4f68d5-1",
                                            "command-28623a0c1acc9f59-2" };
        _cleanup_(config_freep) struct config *config = configure("/srv/orders", "/srv");
        char key[CONFIG_NOTIFY_KEY];

        ck_assert_uint_eq(config->certificates[0].n_notify, ELEMENTSOF(keys));
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                ck_assert_str_eq(config_notify_key(&config->certificates[0], i, key), keys[i]);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("report");

        x509_key(7);
        TEST_CASE(suite, no_secret_is_told);
        TEST_CASE(suite, without_memory_there_is_nothing_rather_than_a_part);
        TEST_CASE(suite, what_is_no_utf8_is_told_nevertheless);
        TEST_CASE(suite, a_status_of_nothing);
        TEST_CASE(suite, details_of_nothing);
        TEST_CASE(suite, details_of_everything);
        TEST_CASE(suite, what_ends_first_is_named);
        TEST_CASE(suite, states_steps_and_failures_have_their_names);
        TEST_CASE(suite, states_without_a_daemon);
        TEST_CASE(suite, a_set_that_cannot_be_read_is_last_known);
        TEST_CASE(suite, numbers_without_a_daemon);
        TEST_CASE(suite, attempts_are_counted_from_the_next_one);
        TEST_CASE(suite, where_it_is_renewed);
        TEST_CASE(suite, a_secret_is_what_rekeyd_knows_of_it);
        TEST_CASE(suite, keys_of_dependents_stay_what_they_are);
        return test_run(suite);
}
