/* `rekeyctl doctor` against a real Connector, healthy and spoilt in one place after the other: the line of
 * that place is the only one that fails, and has its fix below. */

#include "tests/operator/operator-fixture.h"
#include "tests/support/proxy-server.h"
#include "tests/support/x509.h"
#include "tests/test.h"

#define CERTIFICATES                 \
        "  orders:\n"                \
        "    connector: dev\n"       \
        "    directory: %s/orders\n" \
        "    notify:\n"              \
        "      - {command: [/bin/true]}\n"

/* %s is the scratch directory. */
static const struct {
        const char *before, *after; /* in the configuration; "%T" is the URL of the fixture */
        const char *line, *fix;
} rows[] = {
        { "%T", "https://no.such.invalid/connector/graphql",
          ": dns: the name no.such.invalid cannot be looked up", "fix: correct the host name in the URL" },
        { "%T", "https://127.0.0.1:1/connector/graphql", ": tcp: connection refused",
          "fix: correct the host and port in the URL" },
        { "%T", "%A", ": tls: the server does not speak TLS at that port", "fix: correct the host and port" },
        { "%T", "%C", ": tls: the server requires a client certificate",
          "fix: set `enrol_url` to the token-secured" },
        { "trust: %R", "trust: /etc/ssl/certs/ca-certificates.crt", ": tls: its CA is not among the trusted",
          "fix: set `trust` to a file with the CA" },
        { "trust: %R", "trust: /nonexistent", "trust: cannot read `trust`, /nonexistent",
          "fix: correct `trust`" },
        { "/bin/true", "/bin/no-such-command", "dependent: the command /bin/no-such-command cannot be run",
          "fix: correct `command`" },
};

/* Owned. */
static char *expand(const struct fixture *fixture, const char *text) {
        const char *hole = strchr(text, '%');
        const char *value = !hole            ? ""
                            : hole[1] == 'T' ? fixture->token_url
                            : hole[1] == 'C' ? fixture->certificate_url
                            : hole[1] == 'R' ? fixture->trust
                                             : fixture->admin_url + strlen("http");
        char *expanded;

        ck_assert_int_ge(asprintf(&expanded, "%.*s%s%s%s", hole ? (int)(hole - text) : (int)strlen(text),
                                  text, hole && hole[1] == 'A' ? "https" : "", value, hole ? hole + 2 : ""),
                         0);
        return expanded;
}

static void check_row(struct operator_fixture *console, size_t i) {
        struct fixture *fixture = console->fixture;
        _cleanup_(freep) char *yaml = scratch_read(fixture->directory, "rekeyd.yaml");
        _cleanup_(freep) char *before = expand(fixture, rows[i].before),
                              *after = expand(fixture, rows[i].after);
        _cleanup_(freep) char *text = NULL;
        const char *line;

        fixture_edit(fixture, before, after);
        text = operator_run(console, "doctor orders", 1);
        line = strstr(text, rows[i].line);
        ck_assert_msg(line, "%s: %s", rows[i].line, text);
        ck_assert_msg(strstr(line, rows[i].fix), "%s: %s", rows[i].fix, text);
        ck_assert_ptr_null(strstr(text, "error:"));
        scratch_write(fixture->directory, "rekeyd.yaml", yaml, 0600);
}

START_TEST(each_fault_has_its_line) {
        struct operator_fixture console;
        _cleanup_(freep) char *healthy = NULL, *json = NULL;

        operator_init(&console, CERTIFICATES);
        operator_check(&console, "doctor", 1, "fix: rekeyctl enrol orders");
        operator_enrol(&console);
        operator_settle(&console);
        healthy = operator_run(&console, "doctor orders", 0);
        ck_assert_ptr_nonnull(strstr(healthy, "issued by 'CN=Connector for development'"));
        ck_assert_ptr_nonnull(strstr(healthy, ": clock: this machine and the server agree"));
        ck_assert_ptr_nonnull(strstr(healthy, "and it asks for a client certificate"));
        ck_assert_ptr_nonnull(strstr(healthy, " checks: 0 failed, 0 could not be judged."));
        json = operator_run(&console, "doctor --json orders", 0);
        ck_assert_msg(has_prefix(json, "{\"ok\":true,\"checks\":[{"), "%s", json);
        ck_assert_uint_eq(fixture_calls(console.fixture, "sign"), 1);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                check_row(&console, i);
        fixture_fault(console.fixture, "{\"fault\":\"tls-close\",\"when\":\"during\"}");
        operator_check(&console, "doctor orders", 1, ": tls: ");
        fixture_lift_faults(console.fixture);

        operator_check(&console, "doctor billing", 5, "there is no certificate 'billing'");
        ck_assert_int_eq(fixture_stop(console.fixture), 0);
        operator_check(&console, "doctor orders", 1, "fix: systemctl start rekeyd");
        operator_check(&console, "doctor orders", 1, "files, rights and programs are judged by rekeyd only");
        operator_clear(&console);
}
END_TEST

/* A proxy has a line of its own, and what is wrong with it is said of nothing else. */
START_TEST(a_proxy_has_its_line) {
#define STATUS_407 "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"corp\"\r\n"
        static const struct {
                const char *answer; /* NULL: it connects */
                const char *credentials, *mark, *text, *fix;
                bool is_dead;
        } proxies[] = {
                { NULL, "", "✓", "from https_proxy of rekeyd, connects to localhost port", NULL, false },
                { STATUS_407, "", "✗", "requires a user and a password", "fix: put user and password",
                  false },
                { STATUS_407, "u:S3cret@", "?", "requires the user and the password that only", NULL, false },
                { "HTTP/1.1 403 No\r\n", "", "✗", "the proxy forbids a connection",
                  "fix: correct the proxy in https_proxy: systemctl edit rekeyd", false },
                { "HTTP/1.1 502 No\r\n", "", "✗", "has no connection to that host", "fix: correct the proxy",
                  false },
                { NULL, "", "✗", "connection refused", "fix: correct the proxy in https_proxy", true },
        };

        for (size_t i = 0; i < ELEMENTSOF(proxies); i++) {
                const struct proxy_server_options options = { .answer = proxies[i].answer };
                _cleanup_(proxy_server_stopp) struct proxy_server *server = proxy_server_start(&options);
                _cleanup_(freep) char *url = NULL, *line = NULL, *text = NULL;
                struct operator_fixture console;

                ck_assert_int_gt(asprintf(&url, "http://%s127.0.0.1:%u", proxies[i].credentials,
                                          proxies[i].is_dead ? 1 : proxy_server_port(server)),
                                 0);
                setenv("https_proxy", url, 1);
                setenv("no_proxy", "", 1);
                operator_init(&console, CERTIFICATES);
                text = operator_run(&console, "doctor", 1);
                ck_assert_int_gt(asprintf(&line, "%s connector dev: %s: proxy: http://127.0.0.1:",
                                          proxies[i].mark, console.fixture->token_url),
                                 0);
                ck_assert_msg(strstr(text, line), "%s: %s", line, text);
                ck_assert_msg(strstr(strstr(text, line), proxies[i].text), "%s: %s", proxies[i].text, text);
                if (proxies[i].fix)
                        ck_assert_msg(strstr(text, proxies[i].fix), "%s: %s", proxies[i].fix, text);
                ck_assert_int_eq(strstr(text, ": tls: the server's certificate is trusted") != NULL,
                                 streq(proxies[i].mark, "✓"));
                ck_assert_ptr_null(strstr(text, "S3cret"));
                ck_assert_ptr_null(strstr(text, ": tcp: "));
                operator_clear(&console);
        }
        unsetenv("https_proxy");
        unsetenv("no_proxy");
#undef STATUS_407
}
END_TEST

/* An API server that denies VERB, as rekeyd finds it by the kubeconfig file `kube`. */
static struct process *start_api_server(struct fixture *fixture, const char *verb) {
        _cleanup_(freep) char *certificate = NULL, *key = NULL, *line = NULL, *kubeconfig = NULL;
        const char *const argv[] = { getenv("REKEYD_TEST_FAKE_KUBE"), NULL, NULL, verb, NULL };
        const char *command[ELEMENTSOF(argv)];
        struct process *server;

        ck_assert_int_gt(asprintf(&certificate, "%s/kube.crt", fixture->directory), 0);
        ck_assert_int_gt(asprintf(&key, "%s/kube.key", fixture->directory), 0);
        memcpy(command, argv, sizeof(argv));
        command[1] = certificate;
        command[2] = key;
        server = process_start(command, false);
        line = process_await(server, PROCESS_STDOUT, "port ");
        ck_assert_ptr_nonnull(line);
        ck_assert_int_gt(asprintf(&kubeconfig,
                                  "current-context: k\n"
                                  "clusters: [{name: k, cluster: {server: 'https://127.0.0.1:%s', "
                                  "certificate-authority: kube.crt}}]\n"
                                  "contexts: [{name: k, context: {cluster: k, user: u}}]\n"
                                  "users: [{name: u, user: {token: abc}}]\n",
                                  line + strlen("port ")),
                         0);
        scratch_write(fixture->directory, "kube", kubeconfig, 0600);
        return server;
}

static void make_server_certificate(struct fixture *fixture) {
        const usec_t now = now_usec(CLOCK_REALTIME);
        _cleanup_(x509_cert_clear) struct x509_cert cert = x509_make(&(struct x509_options) {
                .not_before = now - USEC_PER_DAY,
                .not_after = now + USEC_PER_DAY,
                .extended_key_usage = "serverAuth",
                .subject_alternatives = "IP:127.0.0.1",
        });
        _cleanup_(freep) char *key = x509_key_pem(cert.key);

        scratch_write(fixture->directory, "kube.crt", cert.pem, 0600);
        scratch_write(fixture->directory, "kube.key", key, 0600);
}

/* The server is asked as rekeyd, for each object and each right; nothing is changed there. */
START_TEST(rights_at_an_api_server) {
        static const struct {
                const char *verb; /* that is denied */
                const char *line;
        } rights[] = {
                { "none", "✓ orders: kubernetes: Secret shop/orders: rekeyd has the rights" },
                { "none", "✓ orders: kubernetes: Lease shop/orders: rekeyd has the rights" },
                { "none", "✓ orders: kubernetes: Secret shop/missing: rekeyd has the rights" },
                { "get", "✗ orders: kubernetes: rekeyd may not get Lease shop/orders" },
                { "watch",
                  "✗ orders: kubernetes: rekeyd may not watch Secret shop/orders-rekeyd\n"
                  "    fix: give its account a Role with the verb watch for secrets in namespace shop" },
                { "update", "✗ orders: kubernetes: rekeyd may not update Lease shop/orders" },
                { "patch", "✗ orders: kubernetes: rekeyd may not patch Secret shop/missing" },
                { "create", "✗ orders: kubernetes: rekeyd may not create Secret shop/missing" },
        };
        struct operator_fixture console;
        struct fixture *fixture;
        _cleanup_(freep) char *kubernetes = NULL;

        operator_init(&console, CERTIFICATES);
        fixture = console.fixture;
        make_server_certificate(fixture);
        ck_assert_int_gt(
                asprintf(&kubernetes, "kubernetes: {kubeconfig: %s/kube}\nlog: {", fixture->directory), 0);
        fixture_edit(fixture, "log: {", kubernetes);
        fixture_edit(fixture, "    notify:\n",
                     "    store: {secret: shop/orders}\n"
                     "    exports: [{secret: shop/missing, layout: tls}]\n"
                     "    notify:\n");
        for (size_t i = 0; i < ELEMENTSOF(rights); i++) {
                _unused_ _cleanup_(process_freep) struct process *server =
                        start_api_server(fixture, rights[i].verb);

                operator_check(&console, "doctor orders", 1, rights[i].line);
        }
        operator_check(&console, "doctor orders", 1,
                       "✗ orders: kubernetes: the API server cannot be asked: ");
        operator_check(&console, "doctor orders", 1, "connection refused: no program listens at that port");
        operator_clear(&console);
}
END_TEST

TEST_MAIN("doctor", rights_at_an_api_server, each_fault_has_its_line, a_proxy_has_its_line)
