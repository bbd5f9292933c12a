#include "lib/kubeconfig/kube-proxy.h"

#include <errno.h>
#include <stdio.h>

#include "lib/util/macro.h"
#include "lib/util/parse.h"

#define URL_MAX 2048u

struct scheme {
        const char *name, *port;
};

static const struct scheme *find_scheme(const char *text, size_t size) {
        static const struct scheme rows[] = { { "http", "80" }, { "https", "443" }, { "socks5", "1080" } };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (strlen(rows[i].name) == size && strncasecmp(rows[i].name, text, size) == 0)
                        return &rows[i];
        return NULL;
}

/* No path, query or fragment: it would be the rest of a password that is not encoded. */
static bool is_clean(const char *text, size_t size) {
        for (size_t i = 0; i < size; i++)
                if (text[i] <= ' ' || text[i] > '~' || strchr("/?#\\", text[i]))
                        return false;
        return size > 0 && size <= URL_MAX;
}

/* Where the host of AUTHORITY ends, which may be an address in brackets. */
static const char *end_of_host(const char *host, const char *end) {
        const char *at = *host == '[' ? memchr(host, ']', (size_t)(end - host)) : NULL;

        if (*host == '[')
                return at ? at + 1 : NULL;
        at = memchr(host, ':', (size_t)(end - host));
        return at ? at : end;
}

/* From PORT, which is END or a colon, on. */
static bool is_port(const char *port, const char *end) {
        char digits[8];
        uint64_t number;

        if (port == end)
                return true;
        if (*port != ':' || (size_t)(end - port) > sizeof(digits))
                return false;
        snprintf(digits, sizeof(digits), "%.*s", (int)(end - port - 1), port + 1);
        return parse_unsigned(digits, 1, UINT16_MAX, &number) == 0;
}

int kube_proxy_read(const char *text, char **ret) {
        const char *authority = strstr(text, "://"), *end, *at, *host, *port;
        const struct scheme *scheme = authority ? find_scheme(text, (size_t)(authority - text)) : NULL;
        int r;

        if (!scheme)
                return -EINVAL;
        authority += 3;
        end = authority + strlen(authority);
        if (end > authority && end[-1] == '/')
                end--;
        if (!is_clean(authority, (size_t)(end - authority)))
                return -EINVAL;
        at = memrchr(authority, '@', (size_t)(end - authority));
        host = at ? at + 1 : authority;
        port = host < end ? end_of_host(host, end) : NULL;
        if (!port || port == host || !is_port(port, end))
                return -EINVAL;
        if (port == end)
                r = asprintf(ret, "%s://%.*s:%s", scheme->name, (int)(end - authority), authority,
                             scheme->port);
        else
                r = asprintf(ret, "%s://%.*s", scheme->name, (int)(end - authority), authority);
        if (r < 0)
                *ret = NULL;
        return r < 0 ? -ENOMEM : 0;
}
