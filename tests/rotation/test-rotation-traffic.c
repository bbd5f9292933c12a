/*
 * A CA is rotated under load: 30 certificates, an nginx that calls the Connector with what is on the disk,
 * and a client of nginx that never stops. Where the rotation was planned no call may fail; where a key was
 * compromised the calls fail until the tokens are there, and the cost is what counts.
 *
 * One line for each scenario: calls, failures, how many certificates were renewed in which time, signatures.
 */

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/x509/cert.h"
#include "tests/support/rotation-site.h"
#include "tests/test.h"

#define N        30u
#define LIFETIME "30m"
#define WINDOW_SECONDS \
        10 /* for so long the Connector signs with the CA that it has read; a real one for 60 */
#define ITS_WINDOW "10s"
#define OUR_WINDOW "11s"
#define PACE_USEC  (100 * USEC_PER_MSEC)

/* --- Traffic --- */

/* One thread calls through nginx, one certificate after the other, and never waits longer than PACE_USEC. */
struct traffic {
        char *socket;
        bool is_compass;
        pthread_t thread;
        atomic_bool stop;
        atomic_uint n_calls, n_failed;
        char first_failure[CURL_ERROR_SIZE + 128];
};

static size_t swallow(_unused_ char *data, size_t size, size_t n, _unused_ void *userdata) {
        return size * n;
}

static void call(struct traffic *traffic, CURL *easy, unsigned i) {
        char url[64], error[CURL_ERROR_SIZE] = "";
        long status = 0;
        CURLcode code;

        snprintf(url, sizeof(url), "http://localhost/orders-%02u", i);
        curl_easy_setopt(easy, CURLOPT_URL, url);
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error);
        code = curl_easy_perform(easy);
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);
        traffic->n_calls++;
        if (code == CURLE_OK && status == 200)
                return;
        if (traffic->n_failed++ == 0)
                snprintf(traffic->first_failure, sizeof(traffic->first_failure), "%s: status %ld %s", url,
                         status, error);
}

static void *run_traffic(void *userdata) {
        struct traffic *traffic = userdata;
        struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
        CURL *easy = curl_easy_init();

        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, traffic->socket);
        curl_easy_setopt(easy, CURLOPT_TIMEOUT, 20L);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, swallow);
        if (traffic->is_compass) {
                curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
                curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "{\"query\": \"query { __typename }\"}");
        }
        for (unsigned i = 0; !traffic->stop; i = (i + 1) % N) {
                call(traffic, easy, i);
                usleep(PACE_USEC); /* the pace of the load, not a wait for something */
        }
        curl_easy_cleanup(easy);
        curl_slist_free_all(headers);
        return NULL;
}

/* --- The site --- */

struct site {
        struct fixture *fixture;
        struct process *nginx;
        struct traffic traffic;
        unsigned n_signatures; /* before the scenario */
        usec_t begin;
};

static char *path_of(const struct site *site, const char *name) {
        return scratch_path(site->fixture->directory, name);
}

static void write_nginx(const struct site *site) {
        const char *d = site->fixture->directory;
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);

        fprintf(out,
                "%spid %s/nginx.pid;\nerror_log %s/nginx.log;\ndaemon off;\nworker_processes 1;\nevents {}\n"
                "http {\naccess_log off;\nclient_body_temp_path %s/t1; proxy_temp_path %s/t2;\n"
                "fastcgi_temp_path %s/t3; uwsgi_temp_path %s/t4; scgi_temp_path %s/t5;\n"
                "proxy_ssl_trusted_certificate %s;\nproxy_ssl_verify on;\nproxy_ssl_name localhost;\n"
                "proxy_ssl_session_reuse off;\nserver {\nlisten unix:%s/nginx.sock;\n",
                geteuid() == 0 ? "user root;\n" : "", d, d, d, d, d, d, d, site->fixture->trust, d);
        for (unsigned i = 0; i < N; i++)
                fprintf(out,
                        "location /orders-%02u { proxy_pass %s; proxy_ssl_certificate "
                        "%s/orders-%02u/tls.crt; "
                        "proxy_ssl_certificate_key %s/orders-%02u/tls.key; }\n",
                        i, site->fixture->certificate_url, d, i, d, i);
        fprintf(out, "}\n}\n");
        fclose(out);
        scratch_write(d, "nginx.conf", text, 0644);
        free(text);
}

static void write_reload(const struct site *site) {
        const char *d = site->fixture->directory;
        char *text = NULL;

        ck_assert_int_ge(asprintf(&text,
                                  "#!/bin/sh\ntest -s %s/nginx.pid || exit 0\n"
                                  "exec nginx -c %s/nginx.conf -e %s/nginx.log -s reload\n",
                                  d, d, d),
                         0);
        scratch_write(d, "reload-nginx", text, 0755);
        free(text);
}

/* devconnector only remembers its last calls, and nginx makes many. */
static unsigned count_signatures(const struct site *site) {
        const char *log = process_output(site->fixture->rekeyd, PROCESS_STDERR);
        unsigned n = 0;

        while ((log = strstr(log, ": sign done"))) {
                log++;
                n++;
        }
        return n;
}

/* nginx says nothing when it is ready, and its socket is there before it listens. */
static void await_nginx(const struct site *site) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        ck_assert_int_ge(fd, 0);
        snprintf(address.sun_path, sizeof(address.sun_path), "%s", site->traffic.socket);
        while (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                usleep(10000);
        close(fd);
}

static void begin(struct site *site) {
        static const char *const options[] = { "--lifetime", LIFETIME, "--ca-window", ITS_WINDOW, NULL };
        _cleanup_(freep) char *yaml = rotation_fleet_yaml(N, ", notify: [{command: ['@/reload-nginx']}]"),
                              *conf = NULL, *log = NULL;
        const char *argv[] = { "nginx", "-c", NULL, "-e", NULL, NULL };

        *site = (struct site) { .fixture = fixture_new(options) };
        site->fixture->connector_options = ", renew_within: 2s";
        rotation_fleet_tokens(site->fixture, N);
        write_reload(site);
        fixture_configure(site->fixture, yaml);
        fixture_edit(site->fixture, "@", site->fixture->directory);
        fixture_edit(site->fixture, "ca_window: 1s", "ca_window: " OUR_WINDOW);
        fixture_add_control(site->fixture);
        fixture_start(site->fixture, NULL);
        rotation_fleet_await(site->fixture, N, MESSAGE_ENROLLED);

        write_nginx(site);
        argv[2] = conf = path_of(site, "nginx.conf");
        argv[4] = log = path_of(site, "nginx.log");
        site->nginx = process_start(argv, false);
        site->traffic = (struct traffic) { .socket = path_of(site, "nginx.sock"),
                                           .is_compass = streq(site->fixture->protocol, "compass") };
        await_nginx(site);
        site->n_signatures = count_signatures(site);
        ck_assert_int_eq(pthread_create(&site->traffic.thread, NULL, run_traffic, &site->traffic), 0);
}

/* Until so many more calls were made. */
static void await_calls(struct site *site, unsigned n) {
        const unsigned until = site->traffic.n_calls + n;

        while (site->traffic.n_calls < until)
                usleep(PACE_USEC);
}

static void end(struct site *site) {
        site->traffic.stop = true;
        pthread_join(site->traffic.thread, NULL);
        ck_assert_int_eq(fixture_stop(site->fixture), 0);
        process_signal(site->nginx, SIGTERM);
        (void)process_wait(site->nginx);
        process_free(site->nginx);
        free(site->traffic.socket);
        fixture_free(site->fixture);
}

/* --- The CA --- */

struct ca_names {
        char certificate[FINGERPRINT_HEX], key[sizeof("spki:") - 1 + FINGERPRINT_HEX];
        char *pem;
};

/* What the first certificate in FILE, which is in the scratch directory, goes by. */
static struct ca_names read_ca(const struct site *site, const char *file) {
        _cleanup_(cert_list_clear) struct cert_list list = { 0 };
        struct ca_names names = { .key = "spki:" };
        uint8_t hash[FINGERPRINT_SIZE];

        names.pem = scratch_read(site->fixture->directory, file);
        ck_assert_ptr_nonnull(names.pem);
        ck_assert_int_eq(cert_list_parse(names.pem, strlen(names.pem), &list, NULL), 0);
        cert_fingerprint(list.items[0], hash);
        hex_format(names.certificate, hash, sizeof(hash));
        cert_spki(list.items[0], hash);
        hex_format(names.key + strlen("spki:"), hash, sizeof(hash));
        return names;
}

static void distrust(const struct site *site, const char *name) {
        char text[200];

        snprintf(text, sizeof(text), "renew_within: 2s, distrust: ['%s']", name);
        fixture_edit(site->fixture, "renew_within: 2s", text);
        fixture_reload(site->fixture);
}

/* How many sets are signed by CA. */
static unsigned count_under(const struct site *site, const struct ca_names *ca) {
        unsigned n = 0;

        for (unsigned i = 0; i < N; i++) {
                struct ca_names its;
                char file[32];

                snprintf(file, sizeof(file), "orders-%02u/ca.crt", i);
                its = read_ca(site, file);
                n += streq(its.certificate, ca->certificate);
                free(its.pem);
        }
        return n;
}

/* The edge takes clients of CA only; whole at any instant. */
static void trust_only(const struct site *site, const struct ca_names *ca) {
        _cleanup_(freep) char *from = path_of(site, "connector/clients.new"),
                              *to = path_of(site, "connector/clients.pem");

        scratch_write(site->fixture->directory, "connector/clients.new", ca->pem, 0644);
        ck_assert_int_eq(rename(from, to), 0);
}

static void report(struct site *site, const char *scenario, const struct ca_names *ca, usec_t begun,
                   bool is_planned) {
        const unsigned n_signatures = count_signatures(site) - site->n_signatures;
        const unsigned n_renewed = count_under(site, ca), n_failed = site->traffic.n_failed;

        test_report("rotation: %s, %u calls, %u failed, renewed %u of %u in %.1f s, %u signatures", scenario,
                    (unsigned)site->traffic.n_calls, n_failed, n_renewed, N,
                    (double)(now_usec(CLOCK_MONOTONIC) - begun) / (double)USEC_PER_SEC, n_signatures);
        ck_assert_uint_eq(n_renewed, N);
        ck_assert_uint_le(n_signatures, 2 * N);
        if (is_planned && n_signatures <= N)
                test_report("rotation: the machine is so slow that the Connector had read its new CA before");
        if (is_planned)
                ck_assert_msg(n_failed == 0, "%u calls failed, the first: %s", n_failed,
                              site->traffic.first_failure);
}

/* --- Rotations --- */

static struct process *start_renewal(const struct site *site, const char *name) {
        _cleanup_(freep) char *socket = path_of(site, "control.sock");
        const char *argv[] = {
                getenv("REKEYD_TEST_REKEYCTL"), "--socket", socket, "renew", name, "--force", NULL
        };

        return process_start(argv, true);
}

/* The CA is replaced while a renewal is under way, which is returned and waits for fixture_release(). The
 * Connector has just read its CA, so it signs with the old one for a while. */
static struct process *rotate(struct site *site, const char *rotation) {
        _cleanup_(process_freep) struct process *other = NULL;
        struct process *renewal;

        await_calls(site, N);
        fixture_fault(site->fixture, "{\"fault\":\"hold\",\"at\":\"sign\",\"count\":1}");
        renewal = start_renewal(site, "orders-00");
        fixture_expect_held(site->fixture);
        other = start_renewal(site, "orders-01");
        ck_assert_int_eq(process_wait(other), 0);
        site->n_signatures = count_signatures(site) + 1; /* what is held was asked for before */
        json_decref(fixture_admin(site->fixture, "/rotate", rotation));
        return renewal;
}

/* --- Planned --- */

static const struct {
        const char *name, *rotation;
        bool by_key; /* its key is what is not trusted any more */
} planned[] = {
        { "same key and DN", "{\"key\":\"same\",\"trust\":\"both\"}", false },
        { "same key, other DN, merged bundle", "{\"key\":\"same\",\"dn\":\"CN=Other\",\"trust\":\"both\"}",
          false },
        { "new key, merged bundle", "{\"key\":\"new\",\"trust\":\"both\"}", true },
};

/* nginx was told of all sets: rekeyctl, which an operator asks, says so. What it was told of it uses with the
 * calls that come after those under way. */
static void await_notifications(struct site *site) {
        _cleanup_(freep) char *socket = path_of(site, "control.sock");
        const char *argv[] = { getenv("REKEYD_TEST_REKEYCTL"), "--socket", socket, "status", "--json", NULL };
        bool is_pending = true;

        while (is_pending) {
                _cleanup_(process_freep) struct process *status = process_start(argv, true);

                (void)process_wait(status);
                is_pending = strstr(process_output(status, PROCESS_STDOUT), "\"notifications_pending\":1");
                await_calls(site, 1);
        }
        await_calls(site, N);
}

/* Once all are issued under the new CA, the old one goes. */
START_TEST(a_planned_rotation_costs_no_call) {
        struct site site;
        struct ca_names old, new;
        _cleanup_(process_freep) struct process *renewal = NULL;
        usec_t begun;

        begin(&site);
        old = read_ca(&site, "connector/ca.crt");
        renewal = rotate(&site, planned[_i].rotation);
        new = read_ca(&site, "connector/ca.crt");
        begun = now_usec(CLOCK_MONOTONIC);
        distrust(&site, planned[_i].by_key ? old.key : old.certificate);
        fixture_release(site.fixture);
        while (count_under(&site, &new) < N)
                fixture_expect(site.fixture, MESSAGE_RENEWED);
        await_notifications(&site);
        trust_only(&site, &new);
        await_calls(&site, 2 * N);
        report(&site, planned[_i].name, &new, begun, true);
        free(old.pem);
        free(new.pem);
        end(&site);
}
END_TEST

/* --- In a hurry --- */

/* The key is compromised: the edge takes the new CA alone, at once. All certificates wait for a token, which
 * an operator hands in once the Connector has read its new CA. */
START_TEST(a_compromised_key_costs_what_it_must) {
        struct site site;
        struct ca_names old, new;
        _cleanup_(process_freep) struct process *renewal = NULL;
        usec_t begun, rotated;
        unsigned n_left;

        begin(&site);
        old = read_ca(&site, "connector/ca.crt");
        renewal = rotate(&site, "{\"key\":\"new\",\"trust\":\"new\"}");
        rotated = now_usec(CLOCK_MONOTONIC);
        new = read_ca(&site, "connector/ca.crt");
        distrust(&site, old.key);
        fixture_release(site.fixture);
        (void)process_wait(renewal);
        n_left = N - count_under(&site, &new); /* all, unless the Connector had read its new CA by then */
        rotation_fleet_await(site.fixture, n_left, MESSAGE_WAITING);
        while (now_usec(CLOCK_MONOTONIC) < rotated + WINDOW_SECONDS * USEC_PER_SEC)
                usleep(PACE_USEC); /* the Connector's window is time, and nothing else */
        begun = now_usec(CLOCK_MONOTONIC);
        rotation_fleet_tokens(site.fixture, N);
        rotation_fleet_await(site.fixture, n_left, MESSAGE_ENROLLED);
        await_calls(&site, N);
        report(&site, "new key, bundle replaced, tokens handed in", &new, begun, false);
        ck_assert_uint_gt(site.traffic.n_failed, 0);
        free(old.pem);
        free(new.pem);
        end(&site);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("rotation-traffic");
        TCase *tcase = tcase_create("planned");

        unsetenv("REKEYD_TEST_KEYS"); /* hundreds of keys, which nothing here depends on */
        curl_global_init(CURL_GLOBAL_DEFAULT);
        tcase_set_timeout(tcase, 0);
        tcase_add_loop_test(tcase, a_planned_rotation_costs_no_call, 0, ELEMENTSOF(planned));
        suite_add_tcase(suite, tcase);
        TEST_CASE(suite, a_compromised_key_costs_what_it_must);
        return test_run(suite);
}
