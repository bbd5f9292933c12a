/*
 * A URL decides to which server a certificate or a token is shown, so it is read by a grammar that leaves no
 * doubt which one it is. Pure.
 */

#include "lib/protocol/url.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/util/macro.h"

#define URL_LENGTH_MAX 2048

static bool is_alnum(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* The end of the host name, IPv4 address or bracketed IPv6 address at S, or NULL. */
static const char *skip_host(const char *s) {
        const char *start = s;

        if (*s == '[') {
                for (s++; is_alnum(*s) || *s == ':' || *s == '.'; s++)
                        ;
                return *s == ']' && s - start > 2 ? s + 1 : NULL;
        }
        while (is_alnum(*s) || *s == '-' || *s == '.' || *s == '_')
                s++;
        return s > start && *start != '.' && *start != '-' ? s : NULL;
}

static const char *skip_port(const char *s) {
        unsigned port = 0;
        const char *start = s;

        for (; *s >= '0' && *s <= '9' && s - start < 5; s++)
                port = port * 10 + (unsigned)(*s - '0');
        return port >= 1 && port <= 65535 ? s : NULL;
}

bool url_is_https(const char *url) {
        const char *s = url;

        if (!url || strnlen(url, URL_LENGTH_MAX + 1) > URL_LENGTH_MAX || !has_prefix(url, "https://"))
                return false;

        s = skip_host(s + strlen("https://"));
        if (s && *s == ':')
                s = skip_port(s + 1);
        if (!s || !(*s == '\0' || *s == '/' || *s == '?'))
                return false; /* "user:password@" ends up here as well */

        /* What RFC 3986 leaves out of URLs, and the fragment, which is never sent. */
        for (; *s; s++)
                if (*s <= ' ' || *s > '~' || strchr("\"#<>\\^`{|}", *s))
                        return false;
        return true;
}

/* The length of "host", and its port. URL is https. */
static size_t read_server(const char *url, const char **ret_host, unsigned *ret_port) {
        const char *host = url + strlen("https://"), *end = skip_host(host),
                   *port = *end == ':' ? end + 1 : "443";

        *ret_host = host;
        for (*ret_port = 0; *port >= '0' && *port <= '9'; port++)
                *ret_port = *ret_port * 10 + (unsigned)(*port - '0');
        return (size_t)(end - host);
}

bool url_same_server(const char *a, const char *b) {
        const char *host_a, *host_b;
        unsigned port_a, port_b;
        size_t size_a, size_b;

        if (!url_is_https(a) || !url_is_https(b))
                return false;
        size_a = read_server(a, &host_a, &port_a);
        size_b = read_server(b, &host_b, &port_b);
        return size_a == size_b && port_a == port_b && strncasecmp(host_a, host_b, size_a) == 0;
}

char *url_shown(const char *url) {
        size_t size = strcspn(url, "?");
        char *shown;

        return asprintf(&shown, "%.*s%s", (int)size, url, url[size] ? "?..." : "") < 0 ? NULL : shown;
}
