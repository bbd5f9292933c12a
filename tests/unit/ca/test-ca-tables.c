/* The tables of rekeyca: no slot is empty, names are read back, and the manual has all of them. */

#include <stdio.h>

#include "ca/cli/options.h"
#include "ca/rotation/record.h"
#include "ca/rotation/rotation.h"
#include "ca/rotation/survey.h"
#include "ca/site/site.h"
#include "tests/support/scratch.h"
#include "tests/test.h"

START_TEST(no_slot_is_empty) {
        for (enum reason reason = 0; reason < REASON_MAX; reason++) {
                enum reason read = REASON_MAX;

                ck_assert_int_eq(reason_parse(reason_rows[reason].name, &read), 0);
                ck_assert_int_eq(read, reason);
                for (enum phase phase = 0; phase <= PHASE_RETIRED; phase++)
                        ck_assert_ptr_nonnull(step_text(reason, phase));
        }
        for (enum phase phase = 0; phase < PHASE_MAX; phase++) {
                enum phase read = PHASE_MAX;

                ck_assert_int_eq(phase_parse(phase_names[phase], &read), 0);
                ck_assert_int_eq(read, phase);
        }
        for (enum place_state state = 0; state < PLACE_STATE_MAX; state++)
                ck_assert_ptr_nonnull(place_state_texts[state]);
        for (enum finding_kind kind = 0; kind < FINDING_MAX; kind++)
                ck_assert_ptr_nonnull(finding_names[kind]);
}
END_TEST

/* Each scenario of the tutorial has a step of it for each phase that writes. */
START_TEST(the_tutorial_is_beside_the_phases) {
        for (enum reason reason = 0; reason < REASON_NEW_KEY; reason++)
                for (enum phase phase = PHASE_STAGED; phase <= PHASE_RENEWING; phase++)
                        ck_assert_ptr_nonnull(step_rows[phase].tutorial[reason]);
        ck_assert_ptr_nonnull(step_rows[PHASE_RETIRED].tutorial[REASON_EXPIRING]);
}
END_TEST

static struct record *make_record(void) {
        struct record *record = calloc(1, sizeof(*record));

        *record = (struct record) { .reason = REASON_NEW_KEY,
                                    .phase = PHASE_SIGNING,
                                    .entered = { [PHASE_SIGNING] = 5 * USEC_PER_SEC },
                                    .new_key = strdup("new key"),
                                    .new_certificate = strdup("new certificate"),
                                    .not_before = USEC_PER_DAY,
                                    .not_after = 2 * USEC_PER_DAY,
                                    .key_bits = 4096,
                                    .leaf_lifetime = USEC_PER_HOUR,
                                    .forced = strdup("a,b"),
                                    .n_trusts = 1 };
        record->trusts = calloc(1, sizeof(record->trusts[0]));
        record->signer = (struct record_place) { .name = strdup("files:/a,/b"), .version = "v1" };
        record->trusts[0] = (struct record_place) { .name = strdup("files:/c"), .version = "v2" };
        contents_make("old key", "old certificate", &record->signer.before);
        contents_make("bundle", NULL, &record->trusts[0].before);
        return record;
}

START_TEST(a_state_file_is_read_back) {
        _cleanup_(record_freep) struct record *record = make_record(), *read = NULL;
        _cleanup_(freep) char *text = NULL, *again = NULL;

        ck_assert_int_eq(record_write(record, &text), 0);
        ck_assert_int_eq(record_read(text, &read, NULL), 0);
        ck_assert_int_eq(record_write(read, &again), 0);
        ck_assert_str_eq(text, again);
        ck_assert_str_eq(read->trusts[0].before.texts[0], "bundle");
        ck_assert_uint_eq(read->entered[PHASE_SIGNING], 5 * USEC_PER_SEC);
}
END_TEST

START_TEST(keys_are_erased_and_never_described) {
        _cleanup_(record_freep) struct record *record = make_record();
        _cleanup_(freep) char *text = NULL, *shown = NULL;
        json_t *described = record_describe(record);

        shown = json_dumps(described, 0);
        json_decref(described);
        ck_assert_ptr_null(strstr(shown, "key\": \"")); /* no member that ends so */
        ck_assert_ptr_null(strstr(shown, "old key"));
        record_erase_keys(record);
        ck_assert_int_eq(record_write(record, &text), 0);
        ck_assert_ptr_null(strstr(text, "old key"));
        ck_assert_ptr_null(strstr(text, "new key"));
        ck_assert_ptr_nonnull(strstr(text, "new certificate"));
}
END_TEST

START_TEST(a_damaged_state_file_is_refused) {
        static const char *const texts[] = {
                "", "{}", "{\"format\":2}", "{\"format\":1,\"reason\":\"x\"}",
                "{\"format\":1,\"reason\":\"expiring\",\"phase\":\"staged\",\"key_bits\":1}"
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                struct record *record = NULL;

                ck_assert_int_lt(record_read(texts[i], &record, NULL), 0);
                ck_assert_ptr_null(record);
        }
}
END_TEST

/* --- The command line --- */

static int parse(const char *line, struct options *ret) {
        static char copy[256]; /* borrowed by what is parsed */
        char *argv[16], *rest = NULL;
        int argc = 0;

        snprintf(copy, sizeof(copy), "%s", line);
        for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
                argv[argc++] = word;
        argv[argc] = NULL;
        return options_parse(argc, argv, ret);
}

START_TEST(a_command_line_that_is_wrong) {
        static const char *const lines[] = {
                "rekeyca",
                "rekeyca unknown",
                "rekeyca plan",
                "rekeyca apply --reason expiring",
                "rekeyca status --dry-run",
                "rekeyca apply now",
                "rekeyca inspect --unknown",
                "rekeyca plan --reason=",
        };
        struct options options;

        ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
        for (size_t i = 0; i < ELEMENTSOF(lines); i++)
                ck_assert_msg(parse(lines[i], &options) == -EINVAL, "%s", lines[i]);
}
END_TEST

START_TEST(options_are_read) {
        struct options options;

        ck_assert_int_eq(
                parse("rekeyca --json plan --trust a --trust b --reason new-key --take-over", &options), 0);
        ck_assert_int_eq(options.verb, VERB_PLAN);
        ck_assert_str_eq(options.trust[1], "b");
        ck_assert_ptr_null(options.trust[2]);
        ck_assert(options.json && options.take_over && !options.dry_run);
}
END_TEST

START_TEST(the_manual_has_all_of_it) {
        _cleanup_(freep) char *directory = NULL, *page = NULL;
        char text[96];

        ck_assert_int_ge(asprintf(&directory, "%s/../../man", getenv("REKEYD_TEST_DATA")), 0);
        page = scratch_read(directory, "rekeyca.1.scd");
        ck_assert_ptr_nonnull(page);
        for (enum verb_id verb = 0; verb < VERB_MAX; verb++) {
                snprintf(text, sizeof(text), "\n*%s*", verb_rows[verb].name);
                ck_assert_msg(strstr(page, text), "no verb %s", verb_rows[verb].name);
        }
        for (size_t i = 0; i < n_option_rows; i++) {
                snprintf(text, sizeof(text), "\n*--%s*", option_rows[i].name);
                ck_assert_msg(strstr(page, text), "no option %s", option_rows[i].name);
        }
        for (enum reason reason = 0; reason < REASON_MAX; reason++) {
                snprintf(text, sizeof(text), "\n*%s*", reason_rows[reason].name);
                ck_assert_msg(strstr(page, text), "no reason %s", reason_rows[reason].name);
        }
        for (enum exit_status status = 0; status < EXIT_STATUS_MAX; status++) {
                snprintf(text, sizeof(text), "\n*%d*", (int)status);
                ck_assert_msg(strstr(page, text), "no exit status %d", (int)status);
        }
}
END_TEST

/* --- The site file --- */

START_TEST(a_site_file_is_read) {
        _cleanup_(scratch_freep) char *directory = scratch_new();
        _cleanup_(freep) char *path = scratch_path(directory, "site.yaml");
        _cleanup_(site_clear) struct site site = { 0 };

        scratch_write(directory, "site.yaml",
                      "signer: files:/a/ca.key,/a/ca.crt\ntrust: ['files:/a/b']\n"
                      "gateways: [{url: 'https://gw.example.com'}]\ncanary: {url: 'https://c.example.com/x', "
                      "subject: 'CN=x', protocol: connector-service}\nleaf_lifetime: 24h\n",
                      0644);
        ck_assert_int_eq(site_read(path, false, &site, NULL), 0);
        ck_assert_str_eq(site.trust[0], "files:/a/b");
        ck_assert_uint_eq(site.n_gateways, 1);
        ck_assert_int_eq(site.canary.protocol, PROTOCOL_CONNECTOR_SERVICE);
        ck_assert_uint_eq(site.leaf_lifetime, USEC_PER_DAY);
        ck_assert_uint_eq(site.ca_window, USEC_PER_MINUTE);
        ck_assert_str_eq(site.state, SITE_STATE);
}
END_TEST

START_TEST(a_wrong_site_file_names_its_lines) {
        _cleanup_(scratch_freep) char *directory = scratch_new();
        _cleanup_(freep) char *path = scratch_path(directory, "site.yaml");
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(site_clear) struct site site = { 0 };

        ck_assert_int_eq(site_read(path, false, &site, &error), -ENOENT);
        ck_assert_int_eq(site_read(path, true, &site, NULL), 0);
        scratch_write(directory, "site.yaml", "signer: x\nsignr: y\ngateways: [{trust: /x}]\n", 0644);
        ck_assert_int_eq(site_read(path, true, &site, &error), -EINVAL);
        ck_assert_ptr_nonnull(strstr(error_text(&error), ":2:"));
        ck_assert_ptr_nonnull(strstr(error_text(&error), ":3:"));
}
END_TEST

TEST_MAIN("ca-tables", no_slot_is_empty, the_tutorial_is_beside_the_phases, a_state_file_is_read_back,
          keys_are_erased_and_never_described, a_damaged_state_file_is_refused, a_command_line_that_is_wrong,
          options_are_read, the_manual_has_all_of_it, a_site_file_is_read, a_wrong_site_file_names_its_lines)
