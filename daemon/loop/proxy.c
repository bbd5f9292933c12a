/*
 * libcurl would read these variables by itself, but then nobody else would know whose refusal, whose
 * certificate and whose name an error is about; and it quotes a variable that it cannot read, with the
 * password in it. So they are read here, and libcurl is told.
 */

#include "daemon/loop/proxy.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>

#include "lib/util/parse.h"

DEFINE_CLEANUP(CURLU *, curl_url_cleanup);

static void curl_freep(char **text) {
        curl_free(*text);
}

void proxy_clear(struct proxy *proxy) {
        free(proxy->url);
        free(proxy->user);
        free_secret(proxy->password);
        *proxy = (struct proxy) { 0 };
}

/* -------- no_proxy */

static bool is_in_network(const unsigned char *address, const unsigned char *network, uint64_t bits) {
        size_t whole = (size_t)bits / 8;
        unsigned rest = (unsigned)bits % 8;

        return memcmp(address, network, whole) == 0 &&
               (rest == 0 || (address[whole] ^ network[whole]) >> (8 - rest) == 0);
}

/* ITEM is an address, or a network with the length of its prefix. */
static bool has_address(char *item, int family, const unsigned char *address) {
        unsigned char network[sizeof(struct in6_addr)];
        const uint64_t most = family == AF_INET6 ? 128 : 32;
        char *slash = strchr(item, '/');
        uint64_t bits = most;

        if (slash) {
                *slash = '\0';
                if (parse_unsigned(slash + 1, 0, most, &bits) < 0)
                        return false;
        }
        return inet_pton(family, item, network) == 1 && is_in_network(address, network, bits);
}

/* ITEM is the name, or one above it. */
static bool has_name(const char *item, const char *host, size_t host_size) {
        size_t size;

        item += strspn(item, ".");
        size = strlen(item);
        while (size > 0 && item[size - 1] == '.')
                size--;
        return size > 0 && size <= host_size && strncasecmp(host + host_size - size, item, size) == 0 &&
               (size == host_size || host[host_size - size - 1] == '.');
}

bool proxy_is_excepted(const char *list, const char *host) {
        _cleanup_(freep) char *copy = strdup(list);
        unsigned char address[sizeof(struct in6_addr)];
        const int family = inet_pton(AF_INET, host, address) == 1    ? AF_INET
                           : inet_pton(AF_INET6, host, address) == 1 ? AF_INET6
                                                                     : AF_UNSPEC;
        size_t host_size = strlen(host);
        char *rest = NULL;

        if (streq(list, "*"))
                return true;
        if (host_size > 0 && host[host_size - 1] == '.')
                host_size--;
        for (char *item = copy ? strtok_r(copy, ", \t", &rest) : NULL; item;
             item = strtok_r(NULL, ", \t", &rest)) {
                if (item[0] == '[' && item[strlen(item) - 1] == ']') {
                        item[strlen(item) - 1] = '\0';
                        item++;
                }
                if (family != AF_UNSPEC ? has_address(item, family, address)
                                        : has_name(item, host, host_size))
                        return true;
        }
        return false;
}

/* -------- the proxy */

static const char *value_of(const char *name) {
        const char *value = getenv(name);

        return strempty(value) ? NULL : value;
}

static const char *find_variable(void) {
        static const char *const names[] = { "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (value_of(names[i]))
                        return names[i];
        return NULL;
}

static bool is_empty_part(CURLU *parts, CURLUPart part, const char *empty) {
        _cleanup_(curl_freep) char *text = NULL;

        return curl_url_get(parts, part, &text, 0) != CURLUE_OK || streq(text, empty);
}

static int decode(CURLU *parts, CURLUPart part, char **ret) {
        _cleanup_(curl_freep) char *text = NULL;
        CURLUcode code = curl_url_get(parts, part, &text, CURLU_URLDECODE);

        if (code == CURLUE_NO_USER || code == CURLUE_NO_PASSWORD)
                return 0;
        if (code != CURLUE_OK)
                return code == CURLUE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
        *ret = strdup(text);
        explicit_bzero(text, strlen(text));
        return *ret ? 0 : -ENOMEM;
}

static const char *known_scheme(const char *scheme) {
        static const char *const schemes[] = { "http", "https", "socks4", "socks4a", "socks5", "socks5h" };

        for (size_t i = 0; i < ELEMENTSOF(schemes); i++)
                if (strcasecmp(scheme, schemes[i]) == 0)
                        return schemes[i];
        return NULL;
}

/* A path, a query or a fragment is mostly the rest of a password that was not encoded. */
static int take_parts(CURLU *parts, struct proxy *proxy) {
        _cleanup_(curl_freep) char *scheme = NULL, *host = NULL, *port = NULL;
        const char *known;
        int r;

        if (curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
            curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
            !is_empty_part(parts, CURLUPART_PATH, "/") || !is_empty_part(parts, CURLUPART_QUERY, "") ||
            !is_empty_part(parts, CURLUPART_FRAGMENT, ""))
                return -EINVAL;
        known = known_scheme(scheme);
        if (!known)
                return -EINVAL;
        (void)curl_url_get(parts, CURLUPART_PORT, &port, 0);
        r = decode(parts, CURLUPART_USER, &proxy->user);
        if (r == 0)
                r = decode(parts, CURLUPART_PASSWORD, &proxy->password);
        if (r < 0)
                return r;
        /* The ports that libcurl takes. */
        if (asprintf(&proxy->url, "%s://%s:%s", known, host,
                     port                    ? port
                     : streq(known, "https") ? "443"
                                             : "1080") < 0) {
                proxy->url = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int parse(const char *value, struct proxy *proxy) {
        _cleanup_(curl_url_cleanupp) CURLU *parts = curl_url();
        _cleanup_(free_secretp) char *text = NULL;

        if (!parts || asprintf(&text, "%s%s", strstr(value, "://") ? "" : "http://", value) < 0) {
                text = NULL;
                return -ENOMEM;
        }
        if (curl_url_set(parts, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK)
                return -EINVAL;
        return take_parts(parts, proxy);
}

static int host_of(const char *url, char **ret) {
        _cleanup_(curl_url_cleanupp) CURLU *parts = curl_url();
        _cleanup_(curl_freep) char *host = NULL;
        size_t size;

        if (!parts)
                return -ENOMEM;
        if (curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK ||
            curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK)
                return -EINVAL;
        size = strlen(host);
        *ret = host[0] == '[' ? strndup(host + 1, size - 2) : strdup(host);
        return *ret ? 0 : -ENOMEM;
}

int proxy_read(const char *value, struct proxy *ret) {
        _cleanup_(proxy_clear) struct proxy proxy = { 0 };
        int r;

        r = parse(value, &proxy);
        if (r < 0)
                return r;
        *ret = proxy;
        proxy = (struct proxy) { 0 };
        return 0;
}

int proxy_find(const char *url, struct proxy *ret, struct error *error) {
        const char *exceptions = value_of("no_proxy") ? value_of("no_proxy") : value_of("NO_PROXY");
        _cleanup_(proxy_clear) struct proxy proxy = { .variable = find_variable() };
        _cleanup_(freep) char *host = NULL;
        int r;

        *ret = (struct proxy) { 0 };
        if (!proxy.variable)
                return 0;
        r = host_of(url, &host);
        if (r < 0)
                return error_set_errno(error, r, "cannot read the URL %s", url);
        if (exceptions && proxy_is_excepted(exceptions, host))
                return 0;
        r = parse(getenv(proxy.variable), &proxy);
        if (r == -EINVAL)
                return error_set(error, r,
                                 "cannot call %s: the environment variable %s is not the URL of a proxy "
                                 "(http://user:password@host:port; in user and password a special character "
                                 "is written as %%XX)",
                                 url, proxy.variable);
        if (r < 0)
                return error_set_errno(error, r, "cannot call %s", url);
        *ret = proxy;
        proxy = (struct proxy) { 0 };
        return 0;
}
