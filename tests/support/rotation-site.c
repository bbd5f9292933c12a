#include "tests/support/rotation-site.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/test.h"

#define N         SITE_CERTIFICATES
#define PACE_USEC (20 * USEC_PER_MSEC)
#define FILE_MAX  (1u << 20)

/* --- The fleet --- */

char *rotation_fleet_yaml(unsigned n, const char *extra) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);

        for (unsigned i = 0; i < n; i++)
                fprintf(out,
                        "  orders-%02u: {connector: dev, directory: '@/orders-%02u', token_file: "
                        "'@/token-%02u'%s}\n",
                        i, i, i, extra);
        fclose(out);
        return text;
}

void rotation_fleet_tokens(struct fixture *fixture, unsigned n) {
        char client[32], file[32];

        for (unsigned i = 0; i < n; i++) {
                snprintf(client, sizeof(client), "client-%02u", i);
                snprintf(file, sizeof(file), "token-%02u", i);
                fixture_token(fixture, client, file);
        }
}

void rotation_fleet_await(struct fixture *fixture, unsigned n, const char *message_id) {
        for (unsigned i = 0; i < n; i++)
                fixture_expect(fixture, message_id);
}

static char *path_of(const struct rotation_site *site, const char *name) {
        return scratch_path(site->fixture->directory, name);
}

/* --- Keys where none may be --- */

static struct rotation_site *looking; /* nftw() passes nothing on; one thread looks */

static void expose(const char *where) {
        struct rotation_traffic *traffic = &looking->traffic;

        if (traffic->n_exposed == 0)
                snprintf(traffic->first_exposed, sizeof(traffic->first_exposed), "%s", where);
        traffic->n_exposed++;
}

/* Files of /proc have no size, so what there is is read. */
static bool has_key(const char *path, const char *text) {
        static char data[FILE_MAX];
        const int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        size_t size = 0;

        if (fd < 0)
                return false;
        for (ssize_t n; size < sizeof(data) && (n = read(fd, data + size, sizeof(data) - size)) > 0;)
                size += (size_t)n;
        close(fd);
        return memmem(data, size, text, strlen(text)) != NULL;
}

static int look_at_file(const char *path, const struct stat *st, int type, _unused_ struct FTW *ftw) {
        if (type == FTW_F && S_ISREG(st->st_mode) && (st->st_mode & 077) && has_key(path, "PRIVATE KEY"))
                expose(path);
        return 0;
}

/* Those of this test, which has a session of its own; what others have in their arguments is theirs. */
static bool is_ours(const char *name) {
        return getsid((pid_t)atoi(name)) == getsid(0);
}

static void look_at_processes(void) {
        DIR *processes = opendir("/proc");
        char path[300];

        for (struct dirent *entry; (entry = readdir(processes));) {
                if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || !is_ours(entry->d_name))
                        continue;
                snprintf(path, sizeof(path), "/proc/%s/cmdline", entry->d_name);
                if (has_key(path, "PRIVATE KEY") || has_key(path, looking->old_key))
                        expose(path);
        }
        closedir(processes);
}

static void look_for_keys(struct rotation_site *site) {
        looking = site;
        (void)nftw(site->fixture->directory, look_at_file, 16, FTW_PHYS);
        look_at_processes();
        site->traffic.n_looks++;
}

/* --- Traffic --- */

/* Key and certificate of one set, whatever is committed meanwhile: two generations are kept. */
static bool find_set(const struct rotation_site *site, unsigned i, char key[512], char certificate[512]) {
        char link[256], target[128];
        ssize_t n;

        snprintf(link, sizeof(link), "%s/orders-%02u/..data", site->fixture->directory, i);
        n = readlink(link, target, sizeof(target) - 1);
        if (n < 0)
                return false;
        target[n] = '\0';
        snprintf(key, 512, "%s/orders-%02u/%s/tls.key", site->fixture->directory, i, target);
        snprintf(certificate, 512, "%s/orders-%02u/%s/tls.crt", site->fixture->directory, i, target);
        return true;
}

static size_t swallow(_unused_ char *data, size_t size, size_t n, _unused_ void *userdata) {
        return size * n;
}

static void call(struct rotation_site *site, CURL *easy, const char *url, const char *body) {
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

static void call_both(struct rotation_site *site, CURL *easy, unsigned i) {
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
        struct rotation_site *site = userdata;
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
                if (i == 0)
                        look_for_keys(site);
                usleep(PACE_USEC); /* the pace of the load, not a wait for something */
        }
        curl_easy_cleanup(easy);
        curl_slist_free_all(headers);
        return NULL;
}

static void await_exposed(struct rotation_site *site) {
        while (site->traffic.n_exposed == 0)
                usleep(PACE_USEC);
}

/* A watch that sees nothing would pass each test, so it is shown what it has to see. */
static void try_the_watch(struct rotation_site *site) {
        _cleanup_(freep) char *path = path_of(site, "exposed");
        const char *argv[] = { "tail", "-f", "/dev/null", "--", site->old_key, NULL };
        struct process *process;

        scratch_write(site->fixture->directory, "exposed", "-----BEGIN PRIVATE KEY-----\n", 0640);
        await_exposed(site);
        ck_assert_str_eq(site->traffic.first_exposed, path);
        ck_assert_int_eq(unlink(path), 0);
        process = process_start(argv, false);
        do {
                site->traffic.n_exposed = 0;
                await_exposed(site);
        } while (!strstr(site->traffic.first_exposed, "/cmdline"));
        process_free(process);
        rotation_site_await_calls(site, 4 * N); /* what saw it has looked again */
        site->traffic.n_exposed = 0;
}

void rotation_site_await_calls(struct rotation_site *site, unsigned n) {
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

static void write_nginx(const struct rotation_site *site) {
        const char *d = site->fixture->directory;
        _cleanup_(freep) char *text = NULL;

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
}

static void start_nginx(struct rotation_site *site) {
        const char *d = site->fixture->directory;
        _cleanup_(freep) char *conf = path_of(site, "nginx.conf"), *log = path_of(site, "nginx.log"),
                              *bundle = scratch_read(d, "connector/clients.pem"),
                              *pid = path_of(site, "nginx.pid");
        const char *argv[] = { "nginx", "-c", conf, "-e", log, NULL };

        scratch_write(d, "nginx-clients.pem", bundle, 0644);
        site->nginx_port = free_port();
        write_nginx(site);
        site->nginx = process_start(argv, false);
        while (access(pid, F_OK) < 0)
                usleep(10000); /* nginx says nothing when it is ready */
}

static void start_rekeyd(struct rotation_site *site) {
        _cleanup_(freep) char *yaml = rotation_fleet_yaml(N, ""), *http = NULL;

        site->fixture->connector_options = ", renew_within: 1s";
        rotation_fleet_tokens(site->fixture, N);
        fixture_configure(site->fixture, yaml);
        fixture_edit(site->fixture, "@", site->fixture->directory);
        fixture_add_control(site->fixture);
        site->metrics_port = free_port();
        ck_assert_int_ge(asprintf(&http, "http: {listen: '127.0.0.1:%u'}\ndefaults:", site->metrics_port), 0);
        fixture_edit(site->fixture, "defaults:", http);
        fixture_start(site->fixture, NULL);
        rotation_fleet_await(site->fixture, N, MESSAGE_ENROLLED);
}

char *rotation_middle_of_key(const char *pem) {
        for (unsigned i = 0; i < 10; i++)
                pem = strchr(pem, '\n') + 1;
        return strndup(pem, strcspn(pem, "\n"));
}

void rotation_site_begin(struct rotation_site *site) {
        static const char *const options[] = { "--lifetime",    "30m", "--ca-window", SITE_WINDOW,
                                               "--ca-lifetime", "30d", NULL };
        _cleanup_(freep) char *key = NULL;

        *site = (struct rotation_site) { .fixture = fixture_new(options) };
        key = scratch_read(site->fixture->directory, "connector/ca.key");
        site->old_key = rotation_middle_of_key(key);
        start_nginx(site);
        start_rekeyd(site);
        ck_assert_int_eq(pthread_create(&site->traffic.thread, NULL, run_traffic, site), 0);
        try_the_watch(site);
}

void rotation_site_end(struct rotation_site *site) {
        site->traffic.stop = true;
        pthread_join(site->traffic.thread, NULL);
        ck_assert_uint_gt(site->traffic.n_looks, 0);
        ck_assert_msg(site->traffic.n_exposed == 0, "a key of the CA is in %s", site->traffic.first_exposed);
        ck_assert_int_eq(fixture_stop(site->fixture), 0);
        process_signal(site->nginx, SIGTERM);
        (void)process_wait(site->nginx);
        process_free(site->nginx);
        process_free(site->rekeyca);
        free(site->config);
        free(site->old_key);
        fixture_free(site->fixture);
}

void rotation_site_configure(struct rotation_site *site, const char *signer, const char *trust,
                             const char *state, const char *more) {
        const struct fixture *fixture = site->fixture;
        _cleanup_(freep) char *text = NULL;

        ck_assert_int_ge(
                asprintf(&text,
                         "signer: '%s'\ntrust: %s\nstate: '%s'\ngateways:\n"
                         "  - {url: 'https://localhost:%u/', trust: %s}\n  - {url: '%s', trust: %s}\n"
                         "canary: {url: '%s', trust: %s, protocol: %s, subject: 'O=Org,OU=OrgUnit,L=locality,"
                         "ST=province,C=DE,CN=canary'}\nca_window: " SITE_WINDOW "\npatience: 20s\n"
                         "ca_lifetime: 3650d\nkey_bits: 2048\nconnector: dev\n%s",
                         signer, trust, state, site->nginx_port, fixture->trust, fixture->certificate_url,
                         fixture->trust, fixture->certificate_url, fixture->trust, fixture->protocol, more),
                0);
        scratch_write(fixture->directory, "site.yaml", text, 0644);
        site->config = path_of(site, "site.yaml");
}

/* --- rekeyca --- */

void rotation_site_start(struct rotation_site *site, const char *verb, const char *a, const char *b,
                         const char *c) {
        const char *argv[] = { getenv("REKEYD_TEST_REKEYCA"), verb, "--config", site->config, a, b, c, NULL };

        site->rekeyca = process_free(site->rekeyca);
        site->rekeyca = process_start(argv, true);
}

/* No key is in what it prints, whatever it does. */
int rotation_site_wait(struct rotation_site *site) {
        const int status = process_wait(site->rekeyca);

        for (enum process_stream stream = PROCESS_STDOUT; stream <= PROCESS_STDERR; stream++) {
                ck_assert_ptr_null(strstr(process_output(site->rekeyca, stream), "PRIVATE KEY"));
                ck_assert_ptr_null(strstr(process_output(site->rekeyca, stream), site->old_key));
        }
        return status;
}

void rotation_site_run(struct rotation_site *site, int expected, const char *verb, const char *a,
                       const char *b, const char *c) {
        int status;

        rotation_site_start(site, verb, a, b, c);
        status = rotation_site_wait(site);
        ck_assert_msg(status == expected, "rekeyca %s ends with %d: %s%s", verb, status,
                      process_last_words(site->rekeyca, PROCESS_STDOUT),
                      process_last_words(site->rekeyca, PROCESS_STDERR));
}

void rotation_site_expect(const struct rotation_site *site, const char *text) {
        ck_assert_msg(strstr(process_output(site->rekeyca, PROCESS_STDOUT), text), "%s is not in: %s", text,
                      process_last_words(site->rekeyca, PROCESS_STDOUT));
}

void rotation_site_expect_error(const struct rotation_site *site, const char *text) {
        ck_assert_msg(strstr(process_output(site->rekeyca, PROCESS_STDERR), text), "%s is not in: %s", text,
                      process_last_words(site->rekeyca, PROCESS_STDERR));
}

char *rotation_site_metrics(const struct rotation_site *site) {
        char *url = NULL;

        ck_assert_int_ge(asprintf(&url, "http://127.0.0.1:%u/metrics", site->metrics_port), 0);
        return url;
}

void rotation_site_distrust(struct rotation_site *site) {
        const char *text = strstr(process_output(site->rekeyca, PROCESS_STDOUT), "distrust: ['");
        char line[160];

        ck_assert_ptr_nonnull(text);
        snprintf(line, sizeof(line), "renew_within: 1s, %.*s", (int)strcspn(text, "\n"), text);
        fixture_edit(site->fixture, *site->distrust ? site->distrust : "renew_within: 1s", line);
        snprintf(site->distrust, sizeof(site->distrust), "%s", line);
        fixture_reload(site->fixture);
}

void rotation_site_report(struct rotation_site *site, const char *scenario, usec_t begun, bool was_planned) {
        struct rotation_traffic *traffic = &site->traffic;
        const unsigned n_calls = atomic_exchange(&traffic->n_calls, 0),
                       n_failed = atomic_exchange(&traffic->n_failed, 0);

        test_report("rekeyca: %s, %u calls, %u failed, %.1f s", scenario, n_calls, n_failed,
                    (double)(now_usec(CLOCK_MONOTONIC) - begun) / (double)USEC_PER_SEC);
        if (was_planned)
                ck_assert_msg(n_failed == 0, "%u calls failed, the first: %s", n_failed,
                              traffic->first_failure);
}
