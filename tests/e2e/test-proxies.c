/* Proxies between rekeyd and the Connector: what they say is not what the Connector says, and what is the
 * Connector's is not for them. */

#include "daemon/observe/messages.h"
#include "tests/support/fixture.h"
#include "tests/support/mounts.h"
#include "tests/support/proxy-server.h"
#include "tests/support/x509.h"
#include "tests/test.h"

#define BUNDLE   "/etc/ssl/certs/ca-certificates.crt"
#define PASSWORD "S3cret"

#define STATUS_407 \
        "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"corp\"\r\n"

static void use_proxy(const char *scheme, const char *credentials, const struct proxy_server *server) {
        _cleanup_(freep) char *url = NULL;

        ck_assert_int_gt(
                asprintf(&url, "%s://%slocalhost:%u", scheme, credentials, proxy_server_port(server)), 0);
        setenv("https_proxy", url, 1);
        setenv("no_proxy", "", 1);
        unsetenv("NO_PROXY");
}

/* In all that rekeyd has written. */
static void assert_no_password(struct fixture *fixture) {
        _cleanup_(freep) char *command = NULL;

        ck_assert_ptr_null(strstr(process_output(fixture->rekeyd, PROCESS_STDERR), PASSWORD));
        ck_assert_int_gt(asprintf(&command, "! grep -r -q " PASSWORD " %s", fixture->directory), 0);
        ck_assert_int_eq(system(command), 0);
}

static struct fixture *fixture_with_due_certificate(void) {
        struct fixture *fixture = fixture_new(FIXTURE_LASTING("1h"));

        fixture_enrol(fixture, ORDERS);
        fixture_configure(fixture, ORDERS LARGER_KEY);
        return fixture;
}

START_TEST(a_proxy_that_does_not_connect) {
        static const struct {
                const char *answer, *credentials, *class, *text;
        } rows[] = {
                { STATUS_407, "u:" PASSWORD "@", "refused", "it does not accept the user or the password" },
                { STATUS_407, "", "refused", "it requires a user and a password" },
                { "HTTP/1.1 403 Forbidden\r\n", "u:" PASSWORD "@", "refused", "HTTP status 403" },
                { "HTTP/1.1 502 Bad Gateway\r\n", "u:" PASSWORD "@", "transient", "HTTP status 502" },
                { "HTTP/1.1 503 Busy\r\n", "", "transient", "HTTP status 503" },
        };
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_due_certificate();

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(proxy_server_stopp) struct proxy_server *server =
                        proxy_server_start(&(struct proxy_server_options) { .answer = rows[i].answer });

                use_proxy("http", rows[i].credentials, server);
                ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
                fixture_expect_failure(fixture, rows[i].class, rows[i].text);
                ck_assert_ptr_nonnull(strstr(process_output(fixture->rekeyd, PROCESS_STDERR),
                                             "the proxy http://localhost"));
                ck_assert_uint_eq(proxy_server_connects(server),
                                  1); /* a wrong password may lock an account */
                assert_no_password(fixture);
        }
        unsetenv("https_proxy");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
}
END_TEST

/* What is wrong with the proxy is not said of the Connector, whose host nobody has called. */
START_TEST(a_proxy_that_cannot_be_reached) {
        static const struct {
                const char *url, *shown, *text;
        } rows[] = {
                { "http://u:" PASSWORD "@127.0.0.1:1", "the proxy http://127.0.0.1:1, ",
                  "connection refused" },
                { "http://no.such.invalid:3128", "the proxy http://no.such.invalid:3128, ",
                  "the name no.such.invalid cannot be looked up" },
                { "socks5h://127.0.0.1:1", "the proxy socks5h://127.0.0.1:1, ", "connection refused" },
        };
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_due_certificate();

        setenv("no_proxy", "", 1);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                setenv("https_proxy", rows[i].url, 1);
                ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
                fixture_expect_failure(fixture, "transient", rows[i].shown);
                ck_assert_ptr_nonnull(strstr(process_output(fixture->rekeyd, PROCESS_STDERR), rows[i].text));
                assert_no_password(fixture);
        }
        unsetenv("https_proxy");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
}
END_TEST

/* The Connector has not seen it. */
START_TEST(a_token_survives_a_proxy) {
        _cleanup_(proxy_server_stopp) struct proxy_server *server =
                proxy_server_start(&(struct proxy_server_options) { .answer = STATUS_407 });
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);

        fixture_prepare(fixture, ORDERS);
        use_proxy("http", "u:" PASSWORD "@", server);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        fixture_expect_failure(fixture, "refused", "HTTP status 407");
        unsetenv("https_proxy");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
}
END_TEST

START_TEST(what_cannot_be_read_is_not_shown) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_due_certificate();

        setenv("https_proxy", "http://u:" PASSWORD "#t@localhost:3128", 1);
        setenv("no_proxy", "", 1);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        fixture_expect_failure(fixture, "local", "https_proxy is not the URL of a proxy");
        assert_no_password(fixture);
        unsetenv("https_proxy");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
}
END_TEST

/* A CA, which the system has if IS_KNOWN, and a certificate of it for a proxy on this machine. */
struct authority {
        struct x509_cert ca, proxy;
};

static void authority_clear(struct authority *authority) {
        x509_cert_clear(&authority->ca);
        x509_cert_clear(&authority->proxy);
}

static struct authority authority_make(void) {
        const usec_t now = now_usec(CLOCK_REALTIME);
        struct authority authority = { 0 };

        authority.ca = x509_make(&(struct x509_options) {
                .ca = true,
                .not_before = now - USEC_PER_DAY,
        });
        authority.proxy = x509_make(&(struct x509_options) {
                .issuer = &authority.ca,
                .not_before = now - USEC_PER_DAY,
                .subject = "CN=localhost",
                .extended_key_usage = "serverAuth",
                .subject_alternatives = "DNS:localhost",
        });
        return authority;
}

static struct proxy_server_options options_of(const struct authority *authority) {
        return (struct proxy_server_options) {
                .certificate = authority->proxy.handle,
                .key = authority->proxy.key,
        };
}

/* By token and by certificate: rekeyd shows the certificate to the Connector, through a proxy that asks. */
START_TEST(an_https_proxy_sees_no_certificate) {
        _cleanup_(authority_clear) struct authority authority = authority_make();
        _cleanup_(proxy_server_stopp) struct proxy_server *server = NULL;
        _cleanup_(fixture_freep) struct fixture *fixture = NULL;
        struct proxy_server_options options = options_of(&authority);

        if (!mounts_enter("a CA of the test's own"))
                return;
        mounts_put(authority.ca.pem, BUNDLE);
        fixture = fixture_new(FIXTURE_LASTING("1h"));
        options.asks = ASKS_CERTIFICATE;
        server = proxy_server_start(&options);
        use_proxy("https", "", server);
        fixture_enrol(fixture, ORDERS);
        fixture_configure(fixture, ORDERS LARGER_KEY);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        ck_assert_uint_ge(proxy_server_connects(server), 3);
        ck_assert_uint_eq(proxy_server_certificates(server), 0);
}
END_TEST

/* The proxy's alert comes after the end of the handshake and may get lost: what is left is that it is the
 * proxy, and nothing is said of the Connector. */
START_TEST(an_https_proxy_that_requires_a_certificate) {
        _cleanup_(authority_clear) struct authority authority = authority_make();
        _cleanup_(proxy_server_stopp) struct proxy_server *server = NULL;
        _cleanup_(fixture_freep) struct fixture *fixture = NULL;
        struct proxy_server_options options = options_of(&authority);

        if (!mounts_enter("a CA of the test's own"))
                return;
        mounts_put(authority.ca.pem, BUNDLE);
        fixture = fixture_with_due_certificate();
        options.asks = REQUIRES_CERTIFICATE;
        server = proxy_server_start(&options);
        use_proxy("https", "", server);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        fixture_expect_failure(fixture, "transient", "the proxy https://localhost:");
        ck_assert_uint_eq(proxy_server_connects(server), 0);
        ck_assert_uint_eq(proxy_server_certificates(server), 0);
}
END_TEST

START_TEST(an_https_proxy_of_an_unknown_ca) {
        _cleanup_(authority_clear) struct authority authority = authority_make();
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_due_certificate();
        const struct proxy_server_options options = options_of(&authority);
        _cleanup_(proxy_server_stopp) struct proxy_server *server = proxy_server_start(&options);

        use_proxy("https", "", server);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        fixture_expect_failure(fixture, "transient", "the certificate of the proxy https://localhost:");
        ck_assert_ptr_null(strstr(process_output(fixture->rekeyd, PROCESS_STDERR), "is `trust` the CA"));
        ck_assert_uint_eq(proxy_server_certificates(server), 0);
}
END_TEST

TEST_MAIN("proxies", a_proxy_that_does_not_connect, a_proxy_that_cannot_be_reached, a_token_survives_a_proxy,
          what_cannot_be_read_is_not_shown, an_https_proxy_sees_no_certificate,
          an_https_proxy_that_requires_a_certificate, an_https_proxy_of_an_unknown_ca)
