/*
 * rekeyca from end to end, upon files: in what was planned no call may fail, also where rekeyca is killed at
 * each of its lines.
 */

#include <signal.h>
#include <stdio.h>

#include "tests/support/rotation-site.h"
#include "tests/test.h"

#define N SITE_CERTIFICATES

enum { DONE = 0, REFUSED = 3, BUSY = 4, CHANGED = 5, UNVERIFIED = 6 };

static void begin(struct rotation_site *site) {
        _cleanup_(freep) char *signer = NULL, *trust = NULL, *state = NULL, *more = NULL;
        const char *d;

        rotation_site_begin(site);
        d = site->fixture->directory;
        ck_assert(asprintf(&signer, "files:%s/connector/ca.key,%s/connector/ca.crt", d, d) >= 0 &&
                  asprintf(&trust, "['files:%s/connector/clients.pem', 'files:%s/nginx-clients.pem']", d,
                           d) >= 0 &&
                  asprintf(&state, "%s/rotation/rotation.json", d) >= 0 &&
                  asprintf(&more,
                           "reload: ['command:/usr/sbin/nginx -c %s/nginx.conf -e %s/nginx.log -s reload']\n"
                           "renew_within: 1s\n",
                           d, d) >= 0);
        rotation_site_configure(site, signer, trust, state, more);
}

/* Nobody but the signer has a key of the CA any more. */
static void assert_no_key_left(const struct rotation_site *site) {
        const char *d = site->fixture->directory;
        _cleanup_(freep) char *state = scratch_read(d, "rotation/rotation.json"),
                              *key = scratch_read(d, "connector/ca.key"),
                              *middle = rotation_middle_of_key(key),
                              *directory = scratch_path(d, "connector"), *names = scratch_list(directory);

        ck_assert_ptr_nonnull(state);
        ck_assert_ptr_null(strstr(state, "PRIVATE KEY"));
        ck_assert_ptr_null(strstr(state, site->old_key));
        ck_assert_ptr_null(strstr(state, middle));
        ck_assert_msg(!strstr(names, ".rekeyca"), "%s", names);
}

/* --- Planned --- */

START_TEST(a_ca_that_expires_soon) {
        const usec_t begun = now_usec(CLOCK_MONOTONIC);
        struct rotation_site site;

        begin(&site);
        rotation_site_run(&site, DONE, "inspect", NULL, NULL, NULL);
        rotation_site_expect(&site, "--reason expiring");
        rotation_site_run(&site, DONE, "plan", "--reason", "expiring", NULL);
        rotation_site_run(&site, DONE, "apply", NULL, NULL, NULL);
        rotation_site_await_calls(&site, 4 * N);
        rotation_site_run(&site, DONE, "retire", NULL, NULL, NULL); /* no leaf was renewed */
        rotation_site_await_calls(&site, 4 * N);
        assert_no_key_left(&site);
        rotation_site_report(&site, "expiring", begun, true);
        rotation_site_end(&site);
}
END_TEST

START_TEST(a_certificate_that_is_compromised) {
        const usec_t begun = now_usec(CLOCK_MONOTONIC);
        struct rotation_site site;

        begin(&site);
        rotation_site_run(&site, DONE, "plan", "--reason", "certificate-compromised", NULL);
        rotation_site_expect(&site, "revokes nothing");
        rotation_site_run(&site, DONE, "apply", "--until", "retired", NULL);
        rotation_site_await_calls(&site, 4 * N);
        assert_no_key_left(&site);
        rotation_site_report(&site, "certificate-compromised", begun, true);
        rotation_site_end(&site);
}
END_TEST

/* Within its window it signs with the CA that it has just read, whatever is in the signer by then; what is
 * signed after `apply` must be of the new one. */
static void let_the_connector_read_its_ca(struct rotation_site *site) {
        fixture_ctl(site->fixture, "renew", "orders-00", NULL, 0, "");
        fixture_expect(site->fixture, MESSAGE_RENEWED);
}

/* All renew before the old CA goes, and it does not go before. */
START_TEST(a_new_key_without_an_outage) {
        const usec_t begun = now_usec(CLOCK_MONOTONIC);
        _cleanup_(freep) char *url = NULL, *socket = NULL;
        struct rotation_site site;

        begin(&site);
        socket = scratch_path(site.fixture->directory, "control.sock");
        url = rotation_site_metrics(&site);
        rotation_site_run(&site, DONE, "plan", "--reason", "new-key", NULL);
        rotation_site_run(&site, DONE, "apply", "--until", "trusted", NULL);
        let_the_connector_read_its_ca(&site);
        rotation_site_run(&site, DONE, "apply", NULL, NULL, NULL);
        rotation_site_run(&site, REFUSED, "retire", NULL, NULL, NULL);
        rotation_site_expect_error(&site, "the fleet is not counted");
        rotation_site_run(&site, REFUSED, "retire", "--prometheus", url, NULL);
        rotation_site_expect_error(&site, "6 sets are issued under the old CA");
        rotation_site_run(&site, DONE, "status", "--prometheus", url, NULL);
        rotation_site_expect(&site, "Fleet: 6 sets under CN=Kyma");
        rotation_site_expect(&site, "renew_issued_before: 20");
        rotation_site_expect(&site, "{\"spec\": {\"refreshCredentialsNow\": true}}");
        rotation_site_run(&site, REFUSED, "retire", "--control", socket, NULL);
        rotation_site_expect_error(&site, "6 sets are issued under the old CA");
        rotation_site_run(&site, DONE, "apply", "--control", socket, NULL);
        rotation_site_expect(&site, "6 sets are under the old CA, 6 of them are renewed within 1s");
        rotation_fleet_await(site.fixture, N, MESSAGE_RENEWED);
        rotation_site_await_calls(&site, 4 * N);
        rotation_site_run(&site, DONE, "apply", "--control", socket, NULL);
        rotation_site_expect(&site, "0 sets are under the old CA");
        rotation_site_run(&site, DONE, "retire", "--control", socket, NULL);
        rotation_site_expect(&site, "no set is issued under");
        rotation_site_await_calls(&site, 4 * N);
        assert_no_key_left(&site);
        rotation_site_report(&site, "new-key", begun, true);
        rotation_site_end(&site);
}
END_TEST

/* Killed at each line that it prints, and begun again: the last one ends. */
START_TEST(killed_at_each_line) {
        const usec_t begun = now_usec(CLOCK_MONOTONIC);
        unsigned n_kills = 0;
        struct rotation_site site;
        bool is_done = false;

        begin(&site);
        rotation_site_run(&site, DONE, "plan", "--reason", "new-key", NULL);
        for (unsigned n = 1; !is_done; n++) {
                char *line = NULL;

                rotation_site_start(&site, "apply", NULL, NULL, NULL);
                for (unsigned i = 0; i < n && (i == 0 || line); i++) {
                        free(line);
                        line = process_await(site.rekeyca, PROCESS_STDOUT, "");
                }
                is_done = !line || strstr(line, "is reached");
                free(line);
                if (!is_done) {
                        process_signal(site.rekeyca, SIGKILL);
                        n_kills++;
                }
                (void)rotation_site_wait(&site);
        }
        rotation_site_run(&site, DONE, "apply", NULL, NULL, NULL);
        rotation_site_run(&site, DONE, "rollback", "--force", "client-0", NULL);
        rotation_site_await_calls(&site, 4 * N);
        assert_no_key_left(&site);
        test_report("rekeyca: killed %u times", n_kills);
        rotation_site_report(&site, "new-key, killed, and rolled back", begun, true);
        ck_assert_uint_gt(n_kills, 2);
        rotation_site_end(&site);
}
END_TEST

/* --- Refused --- */

static void give_another_bundle(const struct rotation_site *site) {
        _cleanup_(freep) char *text = scratch_read(site->fixture->directory, "connector/clients.pem"),
                              *more = NULL;

        ck_assert_int_ge(asprintf(&more, "%s%s", text, text), 0);
        scratch_write(site->fixture->directory, "connector/clients.pem", more, 0644);
}

START_TEST(another_operator_and_another_writer) {
        struct process *first;
        struct rotation_site site;

        begin(&site);
        rotation_site_run(&site, DONE, "plan", "--reason", "expiring", NULL);
        rotation_site_start(&site, "apply", NULL, NULL, NULL);
        free(process_await(site.rekeyca, PROCESS_STDOUT, "staged:"));
        process_signal(site.rekeyca, SIGSTOP);
        first = take_ptr(site.rekeyca);
        rotation_site_run(&site, BUSY, "apply", NULL, NULL, NULL);
        rotation_site_expect_error(&site, "another rekeyca is at work as process");
        give_another_bundle(&site);
        process_signal(first, SIGCONT);
        (void)process_wait(first);
        process_free(first);
        rotation_site_run(&site, CHANGED, "apply", NULL, NULL, NULL);
        rotation_site_expect_error(&site, "clients.pem was changed by another writer");
        ck_assert_uint_eq(site.traffic.n_failed, 0);
        rotation_site_end(&site);
}
END_TEST

/* --- In a hurry --- */

/* All leaves are rejected before the new CA signs; with tokens all work again. */
START_TEST(a_key_that_is_compromised) {
        const usec_t begun = now_usec(CLOCK_MONOTONIC);
        _cleanup_(freep) char *socket = NULL;
        struct rotation_site site;
        unsigned n_failed;

        begin(&site);
        rotation_site_run(&site, DONE, "plan", "--reason", "key-compromised", NULL);
        rotation_site_run(&site, DONE, "apply", NULL, NULL, NULL);
        rotation_site_distrust(&site);
        n_failed = site.traffic.n_failed;
        rotation_site_await_calls(&site, 2 * N);
        ck_assert_uint_ge(site.traffic.n_failed, n_failed + 2 * N - 2);
        socket = scratch_path(site.fixture->directory, "control.sock");
        rotation_site_run(&site, DONE, "apply", "--control", socket, NULL);
        rotation_site_expect(&site, "orders-05 needs a one-time token");
        rotation_fleet_tokens(site.fixture, N);
        rotation_fleet_await(site.fixture, N, MESSAGE_ENROLLED);
        rotation_site_await_calls(&site, 2); /* what was under way */
        n_failed = site.traffic.n_failed;
        rotation_site_await_calls(&site, 4 * N);
        ck_assert_uint_eq(site.traffic.n_failed, n_failed);
        rotation_site_run(&site, DONE, "retire", NULL, NULL, NULL);
        assert_no_key_left(&site);
        rotation_site_report(&site, "key-compromised", begun, false);
        ck_assert_uint_gt(n_failed, 0);
        rotation_site_end(&site);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("rotation-ca");

        unsetenv("REKEYD_TEST_KEYS"); /* nothing here depends on how keys were found */
        curl_global_init(CURL_GLOBAL_DEFAULT);
        TEST_CASE(suite, a_ca_that_expires_soon);
        TEST_CASE(suite, a_certificate_that_is_compromised);
        TEST_CASE(suite, a_new_key_without_an_outage);
        TEST_CASE(suite, killed_at_each_line);
        TEST_CASE(suite, another_operator_and_another_writer);
        TEST_CASE(suite, a_key_that_is_compromised);
        return test_run(suite);
}
