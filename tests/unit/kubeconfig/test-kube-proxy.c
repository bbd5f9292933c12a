/* `proxy-url` of a kubeconfig file. */

#include "lib/kubeconfig/kube-proxy.h"

#include <errno.h>

#include "lib/util/macro.h"
#include "tests/test.h"

START_TEST(test_proxies) {
        static const struct {
                const char *text, *wanted; /* NULL: refused */
        } rows[] = {
                { "", NULL },
                { "p", NULL },
                { "p:80", NULL },
                { "://p", NULL },
                { "ftp://p", NULL },
                { "socks4://p", NULL },
                { "http://", NULL },
                { "http:///", NULL },
                { "http://:80", NULL },
                { "http://u@", NULL },
                { "http://u@:80", NULL },
                { "http://p:", NULL },
                { "http://p:0", NULL },
                { "http://p:65536", NULL },
                { "http://p:80a", NULL },
                { "http://p:000000080", NULL },
                { "http://p/path", NULL },
                { "http://p//", NULL },
                { "http://u:a/b@p", NULL },
                { "http://p?a", NULL },
                { "http://p#a", NULL },
                { "http://p b", NULL },
                { "http://p\r\nX: y", NULL },
                { "http://\xc3\xbc", NULL },
                { "http://[::1", NULL },
                { "http://[::1]x", NULL },
                { "http://p", "http://p:80" },
                { "HTTP://p/", "http://p:80" },
                { "https://p.example.com", "https://p.example.com:443" },
                { "socks5://10.0.0.1", "socks5://10.0.0.1:1080" },
                { "http://p:3128", "http://p:3128" },
                { "http://p:3128/", "http://p:3128" },
                { "http://u:p%40@h", "http://u:p%40@h:80" },
                { "http://u:p@q@h:1", "http://u:p@q@h:1" },
                { "http://[::1]", "http://[::1]:80" },
                { "http://u@[::1]:8080", "http://u@[::1]:8080" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *found = NULL;
                const int r = kube_proxy_read(rows[i].text, &found);

                ck_assert_msg(r == (rows[i].wanted ? 0 : -EINVAL), "%s: %d", rows[i].text, r);
                ck_assert_msg(!rows[i].wanted ? !found : strcmp(found, rows[i].wanted) == 0, "%s: %s",
                              rows[i].text, found);
        }
}
END_TEST

TEST_MAIN("kube-proxy", test_proxies)
