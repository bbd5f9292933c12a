/*
 * The main job from end to end: the real rekeyd against the real devconnector, over real TLS, with real
 * files.
 */

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "daemon/observe/messages.h"
#include "lib/protocol/connection.h"
#include "lib/store/store.h"
#include "lib/util/base64.h"
#include "lib/x509/csr.h"
#include "tests/support/fixture.h"
#include "tests/support/fleet.h"
#include "tests/test.h"

/* A certificate that enrols by a token and is renewed at a third of its lifetime before its end. */
static const struct store_options store_options = {
        .key_access = { .uid = (uid_t)-1, .gid = (gid_t)-1, .mode = 0600 },
        .public_access = { .uid = (uid_t)-1, .gid = (gid_t)-1, .mode = 0644 },
        .grace_usec = STORE_GRACE_USEC,
        .keep = 2,
};

/* The current set, read as the library reads it; checks that it is whole. rekeyd must not be in the middle of
 * an attempt, or the directory is locked. */
static void load(struct fixture *fixture, struct set *ret) {
        _cleanup_(freep) char *directory = scratch_path(fixture->directory, "orders");
        _cleanup_(store_closep) struct store *store = NULL;
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        ck_assert_msg(store_open(directory, &store_options, &store, &error) == 0, "%s", error_text(&error));
        ck_assert_msg(store_load(store, ret, &error) == 0, "%s", error_text(&error));
        ck_assert_ptr_nonnull(ret->ca_pem);
}

static void assert_no_stage(struct fixture *fixture) {
        _cleanup_(freep) char *directory = scratch_path(fixture->directory, "orders"),
                              *list = scratch_list(directory);

        ck_assert_msg(!strstr(list, "stage") && !strstr(list, ".rekeyd"), "litter: %s", list);
}

START_TEST(enrols_and_renews_unattended) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING(lifetime(9)));
        char fingerprints[3][80];

        fixture_prepare(fixture, ORDERS);
        fixture_start(fixture, NULL);
        for (unsigned i = 0; i < 3; i++) {
                json_t *line = fixture_await(fixture, i == 0 ? MESSAGE_ENROLLED : MESSAGE_RENEWED);

                ck_assert_str_eq(member(line, "certificate"), "orders");
                ck_assert_int_eq(atoi(member(line, "generation")), (int)i + 1);
                snprintf(fingerprints[i], sizeof(fingerprints[i]), "%s", member(line, "fingerprint"));
                for (unsigned j = 0; j < i; j++)
                        ck_assert_str_ne(fingerprints[i], fingerprints[j]);
                json_decref(line);
        }
        ck_assert_int_eq(fixture_stop(fixture), 0);
        assert_no_stage(fixture);
        ck_assert_uint_eq(fixture_calls(fixture, "configuration"), fixture_calls(fixture, "sign"));
        ck_assert_uint_eq(fixture_calls(fixture, "probe"), fixture_calls(fixture, "sign"));
}
END_TEST

START_TEST(the_set_is_whole_and_private) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        _cleanup_(set_clear) struct set set = { 0 };
        _cleanup_(connection_clear) struct connection connection = { 0 };
        _cleanup_(freep) char *key = scratch_path(fixture->directory, "orders/tls.key");
        struct stat st;

        fixture_enrol(fixture, ORDERS);
        load(fixture, &set);
        ck_assert_uint_eq(set.generation, 1);
        ck_assert_uint_eq(key_bits(set.key), 2048);
        ck_assert_int_eq(stat(key, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777u, 0600);
        ck_assert_int_eq(
                connection_parse(set.connection_json, strlen(set.connection_json), &connection, NULL), 0);
        if (streq(fixture->protocol, "compass")) {
                ck_assert_str_eq(connection.connector_url, fixture->certificate_url);
                ck_assert_ptr_nonnull(connection.director_url);
        } else {
                ck_assert_str_eq(connection.info_url, fixture->certificate_url);
                ck_assert(url_same_server(connection.renew_url, fixture->certificate_url));
                ck_assert(url_same_server(connection.revoke_url, fixture->certificate_url));
                ck_assert_ptr_nonnull(json_object_get(connection.others, "certificatesUrl"));
        }

        /* Nothing due: 0, and no call to the Connector. */
        ck_assert_int_eq(fixture_run(fixture, "--once"), 0);
        ck_assert_uint_eq(fixture_calls(fixture, "configuration"), 1);
}
END_TEST

START_TEST(the_key_is_on_disk_before_its_csr_leaves) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        _cleanup_(freep) char *stage = scratch_path(fixture->directory, "orders/..stage-000001"),
                              *csr_pem = NULL;
        _cleanup_(key_freep) struct key *key = NULL;
        _cleanup_(subject_freep) struct subject *subject = NULL;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int fd;

        fixture_prepare(fixture, ORDERS);
        fixture_fault(fixture, "{\"fault\":\"hold\",\"at\":\"sign\"}");
        fixture_start(fixture, NULL);
        fixture_expect_held(fixture);

        /* devconnector has the CSR now, and has not answered. */
        fd = dir_open_at(AT_FDCWD, stage);
        ck_assert_int_ge(fd, 0);
        ck_assert_msg(key_read_at(fd, "tls.key", FILE_NOFOLLOW, &key, &error) == 0, "%s", error_text(&error));
        ck_assert_int_eq(file_read_at(fd, "tls.csr", FILE_NOFOLLOW, CSR_PEM_MAX, &csr_pem, NULL), 0);
        ck_assert_int_eq(csr_check(csr_pem, strlen(csr_pem), key, &subject, &error), 0);
        close(fd);

        fixture_release(fixture);
        fixture_expect(fixture, MESSAGE_ENROLLED);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(a_lost_reply_costs_no_second_key) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        _cleanup_(set_clear) struct set set = { 0 };
        _cleanup_(freep) char *before = NULL, *after = NULL;
        const char *pem;
        size_t size;

        /* The token for `sign` came with `configuration` and is staged: an enrolment survives a cut at `sign`
         * unless the Connector has burnt it, which a connection cut before the call does not. */
        fixture_prepare(fixture, ORDERS);
        fixture_fault(fixture, "{\"fault\":\"rate-limit\",\"at\":\"sign\",\"count\":1}");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        before = scratch_read(fixture->directory, "orders/..stage-000001/tls.key");
        ck_assert_ptr_nonnull(before);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        load(fixture, &set);
        key_pem(set.key, &pem, &size);
        after = strndup(pem, size);
        ck_assert_str_eq(after, before);
        ck_assert_uint_eq(fixture_calls(fixture, "configuration"), 1);
}
END_TEST

START_TEST(waits_for_a_token_that_comes_later) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        _cleanup_(freep) char *folder = scratch_path(fixture->directory, "later");

        fixture_configure(fixture, "  orders:\n"
                                   "    connector: dev\n"
                                   "    directory: %s/orders\n"
                                   "    token_file: %s/later/token\n");
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_WAITING);
        ck_assert_int_eq(mkdir(folder, 0755), 0);
        fixture_token(fixture, "client-1", "later/token");
        fixture_expect(fixture, MESSAGE_ENROLLED);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(a_used_token_is_reported_and_a_fresh_one_helps) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        json_t *line;

        fixture_configure(fixture, ORDERS);
        scratch_write(fixture->directory, "token", "not-a-token-of-this-connector\n", 0600);
        fixture_start(fixture, NULL);
        line = fixture_await(fixture, MESSAGE_FAILED);
        ck_assert_str_eq(member(line, "failure"), "rejected");
        ck_assert_ptr_nonnull(strstr(member(line, "error"), "rejected the one-time token"));
        ck_assert_ptr_null(strstr(member(line, "error"), "not-a-token-of-this-connector"));
        json_decref(line);
        fixture_expect(fixture, MESSAGE_WAITING);
        fixture_token(fixture, "client-1", "token");
        fixture_expect(fixture, MESSAGE_ENROLLED);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(adopts_an_imported_pair_and_renews_it) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING(lifetime(9)));
        _cleanup_(freep) char *key = NULL, *certificate = NULL;
        json_t *line;

        /* A pair as a person would have made it by hand, here by a first rekeyd. */
        fixture_enrol(fixture, ORDERS);
        key = scratch_read(fixture->directory, "orders/tls.key");
        certificate = scratch_read(fixture->directory, "orders/tls.crt");
        scratch_write(fixture->directory, "my.crt", certificate, 0644);

        _cleanup_(freep) char *yaml = NULL;
        ck_assert_int_ge(asprintf(&yaml,
                                  "state_directory: %s/state\n"
                                  "log: {format: json, level: debug}\n"
                                  "connectors:\n"
                                  "  dev: {protocol: %s, url: '%s', trust: %s}\n"
                                  "defaults: {key: {bits: 2048}, jitter: 0%%}\n"
                                  "certificates:\n"
                                  "  adopted:\n"
                                  "    connector: dev\n"
                                  "    directory: %s/adopted\n"
                                  "    import: {key: %s/my.key, certificate: %s/my.crt}\n",
                                  fixture->directory, fixture->protocol, fixture->certificate_url,
                                  fixture->trust, fixture->directory, fixture->directory, fixture->directory),
                         0);
        scratch_write(fixture->directory, "rekeyd.yaml", yaml, 0600);

        /* Not there yet, or not under that name: somebody must hear of it. */
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        line = fixture_await(fixture, MESSAGE_WARNING);
        ck_assert_ptr_nonnull(strstr(member(line, "message"), "no key to import: "));
        json_decref(line);

        scratch_write(fixture->directory, "my.key", key, 0644);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_ADOPTED);
        line = fixture_await(fixture, MESSAGE_WARNING);
        ck_assert_ptr_nonnull(strstr(member(line, "message"), "is world-readable"));
        json_decref(line);
        fixture_expect_member(fixture, MESSAGE_RENEWED, "generation", "1");
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(adopts_plain_files_in_place) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        _cleanup_(freep) char *key = NULL, *certificate = NULL,
                              *directory = scratch_path(fixture->directory, "plain");
        _cleanup_(freep) char *list = NULL;

        fixture_enrol(fixture, ORDERS);
        key = scratch_read(fixture->directory, "orders/tls.key");
        certificate = scratch_read(fixture->directory, "orders/tls.crt");
        ck_assert_int_eq(mkdir(directory, 0755), 0);
        scratch_write(directory, "tls.key", key, 0600);
        scratch_write(directory, "tls.crt", certificate, 0644);

        fixture_configure(fixture, "  plain:\n    connector: dev\n    directory: %s/plain\n");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 0);
        ck_assert_ptr_nonnull(strstr(process_output(fixture->rekeyd, PROCESS_STDERR), MESSAGE_ADOPTED));
        list = scratch_list(directory);
        ck_assert_str_eq(list, "..data ..gen-000000 ca.crt connection.json tls.crt tls.key");
}
END_TEST

START_TEST(a_larger_key_is_made_at_once) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        _cleanup_(set_clear) struct set set = { 0 };

        fixture_enrol(fixture, ORDERS);
        fixture_configure(fixture, ORDERS LARGER_KEY);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        load(fixture, &set);
        ck_assert_uint_eq(key_bits(set.key), 3072);
        ck_assert_uint_eq(set.generation, 2);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 0);
}
END_TEST

START_TEST(never_below_what_the_connector_asks) {
        _cleanup_(fixture_freep) struct fixture *fixture =
                fixture_new((const char *[]) { "--key-algorithm", "rsa3072", NULL });
        _cleanup_(set_clear) struct set set = { 0 };

        fixture_enrol(fixture, ORDERS);
        load(fixture, &set);
        ck_assert_uint_eq(key_bits(set.key), 3072);
        ck_assert_uint_eq(fixture_calls(fixture, "configuration"), 1);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 0);
}
END_TEST

START_TEST(the_director_may_be_down) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        _cleanup_(set_clear) struct set set = { 0 };

        if (fixture_lacks(fixture, "Director"))
                return;
        fixture_enrol(fixture, ORDERS);
        fixture_fault(fixture, "{\"fault\":\"director-down\",\"at\":\"any\"}");
        fixture_configure(fixture, ORDERS LARGER_KEY);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        load(fixture, &set);
        ck_assert_uint_eq(set.generation, 2);
}
END_TEST

START_TEST(follows_a_new_url_over_a_restart) {
        /* `configuration` names 127.0.0.1 although enrolment went to localhost. */
        _cleanup_(fixture_freep) struct fixture *fixture =
                fixture_new((const char *[]) { "--host", "127.0.0.1", NULL });
        _cleanup_(freep) char *connection = NULL;

        fixture_enrol(fixture, ORDERS);
        connection = scratch_read(fixture->directory, "orders/connection.json");
        ck_assert_ptr_nonnull(strstr(connection, "https://127.0.0.1:"));
        fixture_configure(fixture, ORDERS LARGER_KEY);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
}
END_TEST

/* No `url` is configured: the URL is in what the enrolment left, wherever the protocol keeps it. */
START_TEST(who_has_enrolled_knows_where_to_renew) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);

        fixture_enrol(fixture, ORDERS);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_CURRENT);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_ptr_null(strstr(process_output(fixture->rekeyd, PROCESS_STDERR), "there is no URL"));
        fixture_ctl(fixture, "status", "orders", "--json", 0, "\"doubt\":null");
        fixture_ctl(fixture, "show", "orders", NULL, 0, fixture->certificate_url);
}
END_TEST

/* As real Connectors issue them: no bounds of X.520, and commas in names. */
START_TEST(subjects_beyond_x520_are_renewed) {
        static const char *const options[] = {
                "--subject",
                "O=SAP SE, Walldorf,"
                "OU=Cloud Integration Platform and the Business Technology of everybody who has a long name "
                "here,"
                "L=locality,ST=province,C=DE",
                NULL,
        };
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(options);
        _cleanup_(set_clear) struct set set = { 0 };
        _cleanup_(subject_freep) struct subject *subject = NULL;
        _cleanup_(freep) char *text = NULL;
        char client[201] = { 0 };

        memset(client, 'c', sizeof(client) - 1);
        fixture_configure(fixture, ORDERS);
        fixture_token(fixture, client, "token");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        fixture_configure(fixture, ORDERS LARGER_KEY);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        load(fixture, &set);
        ck_assert_uint_eq(set.generation, 2);
        ck_assert_int_eq(cert_subject(set.leaf, &subject, NULL), 0);
        text = subject_format(subject);
        ck_assert_ptr_nonnull(strstr(text, client));
        ck_assert_ptr_nonnull(strstr(text, "O=SAP SE, Walldorf,"));
        ck_assert_ptr_nonnull(strstr(text, "who has a long name here"));
}
END_TEST

START_TEST(no_secret_is_logged) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        _cleanup_(freep) char *token = NULL, *key = NULL;
        const char *log;

        fixture_prepare(fixture, ORDERS);
        token = scratch_read(fixture->directory, "token");
        fixture_fault(fixture, "{\"fault\":\"wrong-key\",\"at\":\"sign\",\"count\":1}");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        log = process_output(fixture->rekeyd, PROCESS_STDERR);
        key = scratch_read(fixture->directory, "orders/..stage-000001/tls.key");
        ck_assert_ptr_nonnull(key);
        ck_assert_ptr_null(strstr(log, token));
        ck_assert_ptr_null(strstr(log, "PRIVATE KEY"));
        /* A line from the middle of the key's base64. */
        key[100] = '\0';
        ck_assert_ptr_null(strstr(log, key + 70));
}
END_TEST

START_TEST(ten_mistakes_are_reported_at_once) {
        _cleanup_(freep) char *path = scratch_path(getenv("REKEYD_TEST_DATA"), "config/ten-mistakes.yaml");
        const char *argv[] = { fixture_program("REKEYD"), "--check-config", "--config", path, NULL };
        _cleanup_(process_freep) struct process *rekeyd = process_start(argv, true);
        unsigned n = 0;

        ck_assert_int_eq(process_wait(rekeyd), 1);
        ck_assert_str_eq(process_output(rekeyd, PROCESS_STDOUT), "");
        for (const char *p = process_output(rekeyd, PROCESS_STDERR); (p = strstr(p, path)); p += strlen(path))
                n++;
        ck_assert_uint_eq(n, 10);
}
END_TEST

#define N_FLEET 12u

/* How often CLIENT has made the call OPERATION. */
static unsigned count_calls(struct fixture *fixture, const char *operation, const char *client) {
        _cleanup_(freep) char *wanted = NULL;
        unsigned n = 0;

        ck_assert_int_ge(asprintf(&wanted, "\"client\":\"%s\"", client), 0);
        for (const char *line = process_output(fixture->connector, PROCESS_STDOUT), *end;
             (end = strchr(line, '\n')); line = end + 1) {
                size_t length = (size_t)(end - line);

                n += memmem(line, length, wanted, strlen(wanted)) &&
                     memmem(line, length, operation, strlen(operation));
        }
        return n;
}

/* While one makes its CSR, its connection is idle, and the others look for one to the same Connector. */
START_TEST(nobody_calls_over_the_connection_of_another) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        struct fleet_options fleet = fleet_of(fixture, "fleet", N_FLEET, USEC_PER_DAY);
        char *yaml = NULL;
        size_t size;
        FILE *out = open_memstream(&yaml, &size);

        fleet.with_staged_key = true;
        fleet_make(&fleet);
        fprintf(out,
                "state_directory: %s/state\n"
                "log: {format: json}\n"
                "connectors:\n"
                "  dev: {protocol: %s, url: '%s', trust: %s}\n"
                "defaults: {key: {bits: 2048}, jitter: 0%%}\n"
                "certificates:\n",
                fixture->directory, fixture->protocol, fixture->certificate_url, fixture->trust);
        fleet_configure(&fleet, out, "dev", "");
        fclose(out);
        scratch_write(fixture->directory, "rekeyd.yaml", yaml, 0600);
        free(yaml);

        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        for (unsigned i = 0; i < N_FLEET; i++) {
                char client[64];

                snprintf(client, sizeof(client), "client-fleet-%05u", i);
                ck_assert_uint_eq(count_calls(fixture, "\"configuration\"", client), 1);
                ck_assert_uint_eq(count_calls(fixture, "\"sign\"", client), 1);
        }
}
END_TEST

/* As people paste it, with its URL in it, so that the configuration needs none. */
START_TEST(the_director_s_answer_is_a_token) {
        for (int is_encoded = 0; is_encoded < 2; is_encoded++) {
                _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
                _cleanup_(freep) char *option = NULL, *answer = NULL, *encoded = NULL;
                json_t *minted = fixture_admin(fixture, "/tokens", "{\"client\":\"client-1\"}");

                ck_assert_int_ge(asprintf(&answer,
                                          "{\"token\": \"%s\",\n \"connectorURL\": \"%s\", "
                                          "\"legacyConnectorURL\": \"%s\"}\n",
                                          member(minted, "token"), fixture->token_url, member(minted, "url")),
                                 0);
                ck_assert_int_eq(base64_encode(answer, strlen(answer), &encoded), 0);
                ck_assert_int_ge(asprintf(&option, "enrol_url: '%s', ", fixture->token_url), 0);
                fixture_configure(fixture, ORDERS);
                fixture_edit(fixture, option, "");
                scratch_write(fixture->directory, "token", is_encoded ? encoded : answer, 0600);
                ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
                fixture_expect_message(fixture, MESSAGE_WARNING, "which came with it: connector dev has no");
                ck_assert_ptr_null(
                        strstr(process_output(fixture->rekeyd, PROCESS_STDERR), member(minted, "token")));
                json_decref(minted);
                fixture_configure(fixture, ORDERS LARGER_KEY);
                ck_assert_int_eq(fixture_run(fixture, "--once"), 2); /* by the URL that it has learnt */
        }
}
END_TEST

TEST_MAIN("life", enrols_and_renews_unattended, the_set_is_whole_and_private,
          the_key_is_on_disk_before_its_csr_leaves, a_lost_reply_costs_no_second_key,
          waits_for_a_token_that_comes_later, a_used_token_is_reported_and_a_fresh_one_helps,
          adopts_an_imported_pair_and_renews_it, adopts_plain_files_in_place, a_larger_key_is_made_at_once,
          never_below_what_the_connector_asks, the_director_may_be_down, follows_a_new_url_over_a_restart,
          who_has_enrolled_knows_where_to_renew, the_director_s_answer_is_a_token,
          subjects_beyond_x520_are_renewed, no_secret_is_logged, ten_mistakes_are_reported_at_once,
          nobody_calls_over_the_connection_of_another)
