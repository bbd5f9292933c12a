/*
 * rekeyca from end to end: a devconnector and an nginx are the gateways, each with a bundle of its own, six
 * certificates of a rekeyd are the fleet, and a client calls both gateways with all of them, all the time. In
 * what was planned no call may fail, also where rekeyca is killed at each of its lines.
 */

#include <arpa/inet.h>
#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/fixture.h"
#include "tests/test.h"

#define N          6u
#define ITS_WINDOW "2s"
#define PACE_USEC  (20 * USEC_PER_MSEC)

enum { DONE = 0, REFUSED = 3, BUSY = 4, CHANGED = 5, UNVERIFIED = 6 };

struct traffic {
        pthread_t thread;
        atomic_bool stop;
        atomic_uint n_calls, n_failed;
        char first_failure[CURL_ERROR_SIZE + 256];
};

struct site {
        struct fixture *fixture;
        struct process *nginx, *rekeyca;
        unsigned nginx_port, metrics_port;
        char *config;
        struct traffic traffic;
        char *old_key; /* the middle of it, to be looked for */
};

static char *path_of(const struct site *site, const char *name) {
        return scratch_path(site->fixture->directory, name);
}

/* --- Traffic --- */

/* Key and certificate of one set, whatever is committed meanwhile: two generations are kept. */
static bool find_set(const struct site *site, unsigned i, char key[512], char certificate[512]) {
        char link[256], target[128];
        ssize_t n;

        snprintf(link, sizeof(link), "%s/orders-%u/..data", site->fixture->directory, i);
        n = readlink(link, target, sizeof(target) - 1);
        if (n < 0)
                return false;
        target[n] = '\0';
        snprintf(key, 512, "%s/orders-%u/%s/tls.key", site->fixture->directory, i, target);
        snprintf(certificate, 512, "%s/orders-%u/%s/tls.crt", site->fixture->directory, i, target);
        return true;
}

static size_t swallow(_unused_ char *data, size_t size, size_t n, _unused_ void *userdata) {
        return size * n;
}

static void call(struct site *site, CURL *easy, const char *url, const char *body) {
        char error[CURL_ERROR_SIZE] = "";
        long status = 0;
        CURLcode code;

        curl_easy_setopt(easy, CURLOPT_URL, url);
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
        if (body)
                curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
        else
                curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
        code = curl_easy_perform(easy);
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);
        site->traffic.n_calls++;
        if (code == CURLE_OK && status == 200)
                return;
        if (site->traffic.n_failed++ == 0)
                snprintf(site->traffic.first_failure, sizeof(site->traffic.first_failure),
                         "%s: status %ld %s", url, status, error);
}

static void call_both(struct site *site, CURL *easy, unsigned i) {
        char key[512], certificate[512], url[64];

        if (!find_set(site, i, key, certificate))
                return;
        curl_easy_setopt(easy, CURLOPT_SSLKEY, key);
        curl_easy_setopt(easy, CURLOPT_SSLCERT, certificate);
        snprintf(url, sizeof(url), "https://localhost:%u/", site->nginx_port);
        call(site, easy, url, NULL);
        call(site, easy, site->fixture->certificate_url,
             by_protocol("{\"query\": \"query { __typename }\"}", NULL));
}

static void *run_traffic(void *userdata) {
        struct site *site = userdata;
        struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
        CURL *easy = curl_easy_init();

        curl_easy_setopt(easy, CURLOPT_CAINFO, site->fixture->trust);
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(easy, CURLOPT_TIMEOUT, 20L);
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
        curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, swallow);
        for (unsigned i = 0; !site->traffic.stop; i = (i + 1) % N) {
                call_both(site, easy, i);
                usleep(PACE_USEC); /* the pace of the load, not a wait for something */
        }
        curl_easy_cleanup(easy);
        curl_slist_free_all(headers);
        return NULL;
}

static void await_calls(struct site *site, unsigned n) {
        const unsigned until = site->traffic.n_calls + n;

        while (site->traffic.n_calls < until)
                usleep(PACE_USEC);
}

/* --- The site --- */

static unsigned free_port(void) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(address);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
        close(fd);
        return ntohs(address.sin_port);
}

/* It reads its bundle when it is told to. */
static void start_nginx(struct site *site) {
        const char *d = site->fixture->directory;
        _cleanup_(freep) char *text = NULL, *conf = path_of(site, "nginx.conf"),
                              *log = path_of(site, "nginx.log"),
                              *bundle = scratch_read(d, "connector/clients.pem"),
                              *pid = path_of(site, "nginx.pid");
        const char *argv[] = { "nginx", "-c", conf, "-e", log, NULL };

        scratch_write(d, "nginx-clients.pem", bundle, 0644);
        site->nginx_port = free_port();
        ck_assert_int_ge(
                asprintf(&text,
                         "%spid %s/nginx.pid;\nerror_log %s/nginx.log;\ndaemon off;\nworker_processes 2;\n"
                         "events {}\nhttp {\naccess_log off;\nclient_body_temp_path %s/t1; proxy_temp_path "
                         "%s/t2;\nfastcgi_temp_path %s/t3; uwsgi_temp_path %s/t4; scgi_temp_path %s/t5;\n"
                         "server {\nlisten 127.0.0.1:%u ssl;\nssl_certificate %s/connector/server.crt;\n"
                         "ssl_certificate_key %s/connector/server.key;\nssl_client_certificate "
                         "%s/nginx-clients.pem;\nssl_verify_client on;\nssl_session_cache off;\n"
                         "ssl_session_tickets off;\nlocation / { return 200 ok; }\n}\n}\n",
                         geteuid() == 0 ? "user root;\n" : "", d, d, d, d, d, d, d, site->nginx_port, d, d,
                         d),
                0);
        scratch_write(d, "nginx.conf", text, 0644);
        site->nginx = process_start(argv, false);
        while (access(pid, F_OK) < 0)
                usleep(10000); /* nginx says nothing when it is ready */
}

static char *certificates_yaml(void) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);

        for (unsigned i = 0; i < N; i++)
                fprintf(out,
                        "  orders-%u: {connector: dev, directory: '@/orders-%u', token_file: '@/token-%u'}\n",
                        i, i, i);
        fclose(out);
        return text;
}

static void mint_tokens(const struct site *site) {
        char client[16], file[16];

        for (unsigned i = 0; i < N; i++) {
                snprintf(client, sizeof(client), "client-%u", i);
                snprintf(file, sizeof(file), "token-%u", i);
                fixture_token(site->fixture, client, file);
        }
}

static void await(const struct site *site, const char *message_id, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                fixture_expect(site->fixture, message_id);
}

static void start_rekeyd(struct site *site) {
        _cleanup_(freep) char *yaml = certificates_yaml(), *http = NULL;

        site->fixture->connector_options = ", renew_within: 1s";
        mint_tokens(site);
        fixture_configure(site->fixture, yaml);
        fixture_edit(site->fixture, "@", site->fixture->directory);
        site->metrics_port = free_port();
        ck_assert_int_ge(asprintf(&http, "http: {listen: '127.0.0.1:%u'}\ndefaults:", site->metrics_port), 0);
        fixture_edit(site->fixture, "defaults:", http);
        fixture_start(site->fixture, NULL);
        await(site, MESSAGE_ENROLLED, N);
}

static void write_config(struct site *site) {
        const char *d = site->fixture->directory;
        _cleanup_(freep) char *text = NULL;

        ck_assert_int_ge(
                asprintf(&text,
                         "signer: files:%s/connector/ca.key,%s/connector/ca.crt\n"
                         "trust: ['files:%s/connector/clients.pem', 'files:%s/nginx-clients.pem']\n"
                         "state: %s/rotation/rotation.json\n"
                         "gateways:\n  - {url: 'https://localhost:%u/', trust: %s}\n  - {url: '%s', trust: "
                         "%s}\n"
                         "reload: ['command:/usr/sbin/nginx -c %s/nginx.conf -e %s/nginx.log -s reload']\n"
                         "canary: {url: '%s', trust: %s, protocol: %s, subject: 'O=Org,OU=OrgUnit,L=locality,"
                         "ST=province,C=DE,CN=canary'}\nca_window: " ITS_WINDOW "\npatience: 20s\n"
                         "ca_lifetime: 3650d\nkey_bits: 2048\nconnector: dev\n",
                         d, d, d, d, d, site->nginx_port, site->fixture->trust,
                         site->fixture->certificate_url, site->fixture->trust, d, d,
                         site->fixture->certificate_url, site->fixture->trust, site->fixture->protocol),
                0);
        scratch_write(d, "site.yaml", text, 0644);
        site->config = path_of(site, "site.yaml");
}

/* What no file and no line of output may have but the signer: a line of base64 in the middle of a key. */
static char *middle_of_key(const struct site *site) {
        _cleanup_(freep) char *pem = scratch_read(site->fixture->directory, "connector/ca.key");
        char *line = pem;

        for (unsigned i = 0; i < 10; i++)
                line = strchr(line, '\n') + 1;
        return strndup(line, strcspn(line, "\n"));
}

static void begin(struct site *site) {
        static const char *const options[] = { "--lifetime",    "30m", "--ca-window", ITS_WINDOW,
                                               "--ca-lifetime", "30d", NULL };

        *site = (struct site) { .fixture = fixture_new(options) };
        site->old_key = middle_of_key(site);
        start_nginx(site);
        start_rekeyd(site);
        write_config(site);
        ck_assert_int_eq(pthread_create(&site->traffic.thread, NULL, run_traffic, site), 0);
        await_calls(site, 2 * N);
}

static void end(struct site *site) {
        site->traffic.stop = true;
        pthread_join(site->traffic.thread, NULL);
        ck_assert_int_eq(fixture_stop(site->fixture), 0);
        process_signal(site->nginx, SIGTERM);
        (void)process_wait(site->nginx);
        process_free(site->nginx);
        process_free(site->rekeyca);
        free(site->config);
        free(site->old_key);
        fixture_free(site->fixture);
}

/* --- rekeyca --- */

static void start_rekeyca(struct site *site, const char *verb, const char *a, const char *b, const char *c) {
        const char *argv[] = { getenv("REKEYD_TEST_REKEYCA"), verb, "--config", site->config, a, b, c, NULL };

        site->rekeyca = process_free(site->rekeyca);
        site->rekeyca = process_start(argv, true);
}

/* No key is in what it prints, whatever it does. */
static int end_rekeyca(struct site *site) {
        const int status = process_wait(site->rekeyca);

        ck_assert_ptr_null(strstr(process_output(site->rekeyca, PROCESS_STDOUT), "PRIVATE KEY"));
        ck_assert_ptr_null(strstr(process_output(site->rekeyca, PROCESS_STDERR), "PRIVATE KEY"));
        ck_assert_ptr_null(strstr(process_output(site->rekeyca, PROCESS_STDOUT), site->old_key));
        return status;
}

static void run(struct site *site, int expected, const char *verb, const char *a, const char *b,
                const char *c) {
        int status;

        start_rekeyca(site, verb, a, b, c);
        status = end_rekeyca(site);
        ck_assert_msg(status == expected, "rekeyca %s ends with %d: %s%s", verb, status,
                      process_output(site->rekeyca, PROCESS_STDOUT),
                      process_output(site->rekeyca, PROCESS_STDERR));
}

static void expect_error(const struct site *site, const char *text) {
        ck_assert_msg(strstr(process_output(site->rekeyca, PROCESS_STDERR), text), "%s",
                      process_output(site->rekeyca, PROCESS_STDERR));
}

static char *metrics_url(const struct site *site) {
        char *url = NULL;

        ck_assert_int_ge(asprintf(&url, "http://127.0.0.1:%u/metrics", site->metrics_port), 0);
        return url;
}

/* Nobody but the signer has a key of the CA any more. */
static void assert_no_key_left(const struct site *site) {
        _cleanup_(freep) char *state = scratch_read(site->fixture->directory, "rotation/rotation.json"),
                              *new_key = middle_of_key(site), *directory = path_of(site, "connector"),
                              *names = scratch_list(directory);

        ck_assert_ptr_nonnull(state);
        ck_assert_ptr_null(strstr(state, "PRIVATE KEY"));
        ck_assert_ptr_null(strstr(state, site->old_key));
        ck_assert_ptr_null(strstr(state, new_key));
        ck_assert_msg(!strstr(names, ".rekeyca"), "%s", names);
}

static void report(struct site *site, const char *scenario, usec_t begun, bool is_planned) {
        const unsigned n_failed = site->traffic.n_failed;

        test_report("rekeyca: %s, %u calls, %u failed, %.1f s", scenario, (unsigned)site->traffic.n_calls,
                    n_failed, (double)(now_usec(CLOCK_MONOTONIC) - begun) / (double)USEC_PER_SEC);
        if (is_planned)
                ck_assert_msg(n_failed == 0, "%u calls failed, the first: %s", n_failed,
                              site->traffic.first_failure);
}

/* What rekeyca says that rekeyd should be told. */
static void distrust_as_advised(const struct site *site) {
        const char *text = strstr(process_output(site->rekeyca, PROCESS_STDOUT), "distrust: ['");
        char line[160];

        ck_assert_ptr_nonnull(text);
        snprintf(line, sizeof(line), "renew_within: 1s, %.*s", (int)strcspn(text, "\n"), text);
        fixture_edit(site->fixture, "renew_within: 1s", line);
        fixture_reload(site->fixture);
}

/* --- Planned --- */

START_TEST(a_ca_that_expires_soon) {
        const usec_t begun = now_usec(CLOCK_MONOTONIC);
        struct site site;

        begin(&site);
        run(&site, DONE, "inspect", NULL, NULL, NULL);
        ck_assert_ptr_nonnull(strstr(process_output(site.rekeyca, PROCESS_STDOUT), "--reason expiring"));
        run(&site, DONE, "plan", "--reason", "expiring", NULL);
        run(&site, DONE, "apply", NULL, NULL, NULL);
        await_calls(&site, 4 * N);
        run(&site, DONE, "retire", NULL, NULL, NULL); /* no leaf was renewed */
        await_calls(&site, 4 * N);
        assert_no_key_left(&site);
        report(&site, "expiring", begun, true);
        end(&site);
}
END_TEST

START_TEST(a_certificate_that_is_compromised) {
        const usec_t begun = now_usec(CLOCK_MONOTONIC);
        struct site site;

        begin(&site);
        run(&site, DONE, "plan", "--reason", "certificate-compromised", NULL);
        ck_assert_ptr_nonnull(strstr(process_output(site.rekeyca, PROCESS_STDOUT), "revokes nothing"));
        run(&site, DONE, "apply", "--until", "retired", NULL);
        await_calls(&site, 4 * N);
        assert_no_key_left(&site);
        report(&site, "certificate-compromised", begun, true);
        end(&site);
}
END_TEST

/* All renew before the old CA goes, and it does not go before. */
START_TEST(a_new_key_without_an_outage) {
        const usec_t begun = now_usec(CLOCK_MONOTONIC);
        _cleanup_(freep) char *url = NULL;
        struct site site;

        begin(&site);
        url = metrics_url(&site);
        run(&site, DONE, "plan", "--reason", "new-key", NULL);
        run(&site, DONE, "apply", NULL, NULL, NULL);
        run(&site, REFUSED, "retire", NULL, NULL, NULL);
        expect_error(&site, "the fleet is not counted");
        run(&site, REFUSED, "retire", "--prometheus", url, NULL);
        expect_error(&site, "6 sets are issued under the CA that leaves");
        run(&site, DONE, "status", "--prometheus", url, NULL);
        ck_assert_ptr_nonnull(
                strstr(process_output(site.rekeyca, PROCESS_STDOUT), "Fleet: 6 sets under CN=Kyma"));
        distrust_as_advised(&site);
        await(&site, MESSAGE_RENEWED, N);
        await_calls(&site, 4 * N);
        run(&site, DONE, "retire", "--prometheus", url, NULL);
        ck_assert_ptr_nonnull(strstr(process_output(site.rekeyca, PROCESS_STDOUT), "no set is issued under"));
        await_calls(&site, 4 * N);
        assert_no_key_left(&site);
        report(&site, "new-key", begun, true);
        end(&site);
}
END_TEST

/* Killed at each line that it prints, and begun again: the last one ends. */
START_TEST(killed_at_each_line) {
        const usec_t begun = now_usec(CLOCK_MONOTONIC);
        unsigned n_kills = 0;
        struct site site;
        bool is_done = false;

        begin(&site);
        run(&site, DONE, "plan", "--reason", "new-key", NULL);
        for (unsigned n = 1; !is_done; n++) {
                char *line = NULL;

                start_rekeyca(&site, "apply", NULL, NULL, NULL);
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
                (void)end_rekeyca(&site);
        }
        run(&site, DONE, "apply", NULL, NULL, NULL);
        run(&site, DONE, "rollback", "--force", "client-0", NULL);
        await_calls(&site, 4 * N);
        assert_no_key_left(&site);
        test_report("rekeyca: killed %u times", n_kills);
        report(&site, "new-key, killed, and rolled back", begun, true);
        ck_assert_uint_gt(n_kills, 2);
        end(&site);
}
END_TEST

/* --- Refused --- */

static void give_another_bundle(const struct site *site) {
        _cleanup_(freep) char *text = scratch_read(site->fixture->directory, "connector/clients.pem"),
                              *more = NULL;

        ck_assert_int_ge(asprintf(&more, "%s%s", text, text), 0);
        scratch_write(site->fixture->directory, "connector/clients.pem", more, 0644);
}

START_TEST(another_operator_and_another_writer) {
        struct process *first;
        struct site site;

        begin(&site);
        run(&site, DONE, "plan", "--reason", "expiring", NULL);
        start_rekeyca(&site, "apply", NULL, NULL, NULL);
        free(process_await(site.rekeyca, PROCESS_STDOUT, "staged:"));
        process_signal(site.rekeyca, SIGSTOP);
        first = take_ptr(site.rekeyca);
        run(&site, BUSY, "apply", NULL, NULL, NULL);
        expect_error(&site, "another rekeyca is at work as process");
        give_another_bundle(&site);
        process_signal(first, SIGCONT);
        (void)process_wait(first);
        process_free(first);
        run(&site, CHANGED, "apply", NULL, NULL, NULL);
        expect_error(&site, "clients.pem was changed by another writer");
        ck_assert_uint_eq(site.traffic.n_failed, 0);
        end(&site);
}
END_TEST

/* --- In a hurry --- */

/* All leaves are rejected before the new CA signs; with tokens all work again. */
START_TEST(a_key_that_is_compromised) {
        const usec_t begun = now_usec(CLOCK_MONOTONIC);
        struct site site;
        unsigned n_failed;

        begin(&site);
        run(&site, DONE, "plan", "--reason", "key-compromised", NULL);
        run(&site, DONE, "apply", NULL, NULL, NULL);
        n_failed = site.traffic.n_failed;
        await_calls(&site, 2 * N);
        ck_assert_uint_ge(site.traffic.n_failed, n_failed + 2 * N - 2);
        distrust_as_advised(&site);
        mint_tokens(&site);
        await(&site, MESSAGE_ENROLLED, N);
        await_calls(&site, 2); /* what was under way */
        n_failed = site.traffic.n_failed;
        await_calls(&site, 4 * N);
        ck_assert_uint_eq(site.traffic.n_failed, n_failed);
        run(&site, DONE, "retire", NULL, NULL, NULL);
        assert_no_key_left(&site);
        report(&site, "key-compromised", begun, false);
        ck_assert_uint_gt(n_failed, 0);
        end(&site);
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
