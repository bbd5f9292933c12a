/* Which proxy is used, by the environment. */

#include "daemon/loop/proxy.h"

#include "tests/test.h"

#define URL "https://connector.example.com:8443/connector/graphql"

static const char *const variables[] = { "https_proxy", "HTTPS_PROXY", "all_proxy",
                                         "ALL_PROXY",   "no_proxy",    "NO_PROXY" };

static void clear_environment(void) {
        for (size_t i = 0; i < ELEMENTSOF(variables); i++)
                unsetenv(variables[i]);
        unsetenv("http_proxy");
}

START_TEST(the_variable_that_counts) {
        static const struct {
                const char *set[4][2];
                const char *variable, *url; /* NULL: no proxy */
        } rows[] = {
                { { { NULL } }, NULL, NULL },
                { { { "https_proxy", "http://p:1" } }, "https_proxy", "http://p:1" },
                { { { "HTTPS_PROXY", "http://p:1" } }, "HTTPS_PROXY", "http://p:1" },
                { { { "https_proxy", "http://p:1" }, { "HTTPS_PROXY", "http://q:1" } },
                  "https_proxy",
                  "http://p:1" },
                { { { "https_proxy", "" }, { "HTTPS_PROXY", "http://q:1" } }, "HTTPS_PROXY", "http://q:1" },
                { { { "all_proxy", "http://a:1" }, { "HTTPS_PROXY", "http://q:1" } },
                  "HTTPS_PROXY",
                  "http://q:1" },
                { { { "all_proxy", "socks5h://a:1" }, { "ALL_PROXY", "http://b:1" } },
                  "all_proxy",
                  "socks5h://a:1" },
                { { { "ALL_PROXY", "http://b:1" } }, "ALL_PROXY", "http://b:1" },
                { { { "http_proxy", "http://b:1" } }, NULL, NULL }, /* for http alone */
                { { { "https_proxy", "http://p:1" }, { "no_proxy", "example.com" } }, NULL, NULL },
                { { { "https_proxy", "http://p:1" }, { "NO_PROXY", "example.com" } }, NULL, NULL },
                { { { "https_proxy", "http://p:1" },
                    { "no_proxy", "other.example" },
                    { "NO_PROXY", "example.com" } },
                  "https_proxy",
                  "http://p:1" },
                /* What is not used need not be good. */
                { { { "https_proxy", "ht!tp://%%" }, { "no_proxy", "example.com" } }, NULL, NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(proxy_clear) struct proxy proxy;

                clear_environment();
                for (size_t k = 0; k < 4 && rows[i].set[k][0]; k++)
                        setenv(rows[i].set[k][0], rows[i].set[k][1], 1);
                ck_assert_int_eq(proxy_find(URL, &proxy, NULL), 0);
                ck_assert_msg(streq_null(proxy.url, rows[i].url) &&
                                      streq_null(proxy.variable, rows[i].variable),
                              "row %zu: %s %s", i, proxy.variable, proxy.url);
        }
}
END_TEST

START_TEST(the_parts_of_a_proxy) {
        static const struct {
                const char *value, *url, *user, *password;
        } rows[] = {
                { "http://proxy.corp:3128", "http://proxy.corp:3128", NULL, NULL },
                { "http://proxy.corp:3128/", "http://proxy.corp:3128", NULL, NULL },
                { "proxy.corp:3128", "http://proxy.corp:3128", NULL, NULL },
                { "proxy.corp", "http://proxy.corp:1080", NULL, NULL },
                { "HTTPS://proxy.corp", "https://proxy.corp:443", NULL, NULL },
                { "socks5://proxy.corp", "socks5://proxy.corp:1080", NULL, NULL },
                { "http://[2001:db8::1]:3128", "http://[2001:db8::1]:3128", NULL, NULL },
                { "http://u:S3cret@proxy.corp:3128", "http://proxy.corp:3128", "u", "S3cret" },
                { "u:S3cret@proxy.corp:3128", "http://proxy.corp:3128", "u", "S3cret" },
                { "http://u@proxy.corp:3128", "http://proxy.corp:3128", "u", NULL },
                { "http://D%5Cu:S%40c%2Fr%23t@proxy.corp:3128", "http://proxy.corp:3128", "D\\u", "S@c/r#t" },
                { "http://DOMAIN\\u:S3cret@proxy.corp:3128", "http://proxy.corp:3128", "DOMAIN\\u",
                  "S3cret" },
        };

        clear_environment();
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                _cleanup_(proxy_clear) struct proxy proxy;

                setenv("https_proxy", rows[i].value, 1);
                ck_assert_msg(proxy_find(URL, &proxy, &error) == 0, "%s: %s", rows[i].value,
                              error_text(&error));
                ck_assert_str_eq(proxy.url, rows[i].url);
                ck_assert_msg(streq_null(proxy.user, rows[i].user) &&
                                      streq_null(proxy.password, rows[i].password),
                              "%s: '%s' '%s'", rows[i].value, proxy.user, proxy.password);
        }
}
END_TEST

/* Passwords that were not encoded. Nothing of any value is in the error, since nobody knows what the password
 * is. */
START_TEST(what_is_no_proxy_is_not_quoted) {
        static const char *const values[] = {
                "http://u:S3cr#t@proxy.corp:3128",
                "http://u:S3cr t@proxy.corp:3128",
                "http://u:S3cr/t@proxy.corp:3128",
                "http://u:S3cret@proxy.corp:port",
                "http://u:S3cr?t@proxy.corp:3128",
                "https:/u:S3cret@proxy.corp:3128",
                "http://u:12/S3cr@proxy.corp:3128",
                "http://u:12?S3cr@proxy.corp:3128",
                "http://u:12#S3cr@proxy.corp:3128",
                "ftp://u:S3cret@proxy.corp",
                "http://u:S3cret%00@proxy.corp",
                "http://u:S3cret@",
                "S3cret!tp://%%%",
                "http://u:S3cr\nt@proxy.corp:3128",
        };

        clear_environment();
        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                _cleanup_(proxy_clear) struct proxy proxy;

                setenv("https_proxy", values[i], 1);
                ck_assert_msg(proxy_find(URL, &proxy, &error) == -EINVAL, "%s: %s", values[i], proxy.url);
                ck_assert_ptr_null(proxy.url);
                ck_assert_msg(strstr(error_text(&error), "https_proxy") && strstr(error_text(&error), URL) &&
                                      !strstr(error_text(&error), "S3cr") &&
                                      !strstr(error_text(&error), "12"),
                              "%s: %s", values[i], error_text(&error));
        }
}
END_TEST

START_TEST(exceptions) {
        static const struct {
                const char *list, *host;
                bool is_excepted;
        } rows[] = {
                { "*", "connector.example.com", true },
                { "", "connector.example.com", false },
                { " , ,", "connector.example.com", false },
                { ".", "connector.example.com", false },
                { "example.com", "example.com", true },
                { "example.com", "connector.example.com", true },
                { ".example.com", "connector.example.com", true },
                { ".example.com", "example.com", true },
                { "EXAMPLE.com", "connector.example.COM", true },
                { "example.com.", "connector.example.com", true },
                { "example.com", "connector.example.com.", true },
                { "example.com", "badexample.com", false },
                { "connector.example.com", "example.com", false },
                { "a.example, example.com,b.example", "connector.example.com", true },
                { "a.example example.com", "connector.example.com", true },
                { "localhost", "localhost", true },
                { "10.1.2.3", "10.1.2.3", true },
                { "10.1.2.3", "10.1.2.30", false },
                { "2.3", "10.1.2.3", false }, /* no name */
                { "10.0.0.0/8", "10.200.3.4", true },
                { "10.0.0.0/8", "11.0.0.1", false },
                { "10.128.0.0/9", "10.127.255.255", false },
                { "10.128.0.0/9", "10.128.0.1", true },
                { "0.0.0.0/0", "10.1.2.3", true },
                { "10.1.2.3/32", "10.1.2.3", true },
                { "10.0.0.0/33", "10.0.0.0", false },
                { "10.0.0.0/", "10.0.0.0", false },
                { "10.0.0.0/8x", "10.0.0.0", false },
                { "10.0.0.0/8", "10.example.com", false },
                { "[2001:db8::1]", "2001:db8::1", true },
                { "2001:db8:0::1", "2001:db8::1", true },
                { "2001:db8::/32", "2001:db8:1::5", true },
                { "2001:db8::/32", "2001:db9::5", false },
                { "::/0", "10.1.2.3", false },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                ck_assert_msg(proxy_is_excepted(rows[i].list, rows[i].host) == rows[i].is_excepted,
                              "'%s' and %s", rows[i].list, rows[i].host);
}
END_TEST

TEST_MAIN("proxy", the_variable_that_counts, the_parts_of_a_proxy, what_is_no_proxy_is_not_quoted, exceptions)
