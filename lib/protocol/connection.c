/*
 * connection.json is a file that other programs read too, so it is plain: the names are those of the
 * Connector's schema, and members that another program has added are ignored. A URL in it decides to which
 * server the certificate is shown; nothing but https is accepted, neither from the file nor from the network.
 */

#include "lib/protocol/connection.h"

#include "lib/util/json.h"

#define URL_LENGTH_MAX 2048

void connection_clear(struct connection *connection) {
        free(connection->director_url);
        free(connection->connector_url);
        *connection = (struct connection) { 0 };
}

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

/* Copies the URL in member NAME; NULL where it is missing or null. */
static int take_url(const json_t *root, const char *name, char **ret, struct error *error) {
        const json_t *member = json_object_get(root, name);
        char *url;

        if (!member || json_is_null(member)) {
                *ret = NULL;
                return 0;
        }
        if (!json_is_string(member))
                return error_set(error, -EINVAL, "member %s is not a string", name);
        if (!url_is_https(json_string_value(member)))
                return error_set(error, -EINVAL, "member %s is not an https URL", name);

        url = strdup(json_string_value(member));
        if (!url)
                return -ENOMEM;
        *ret = url;
        return 0;
}

int connection_parse(const char *json, size_t size, struct connection *ret, struct error *error) {
        _cleanup_(connection_clear) struct connection connection = { 0 };
        _cleanup_(json_decrefp) json_t *root = NULL;
        int r;

        r = json_read(json, size, CONNECTION_JSON_MAX, &root, error);
        if (r < 0)
                return r;
        r = take_url(root, "directorURL", &connection.director_url, error);
        if (r < 0)
                return r;
        r = take_url(root, "certificateSecuredConnectorURL", &connection.connector_url, error);
        if (r < 0)
                return r;

        *ret = connection;
        connection = (struct connection) { 0 };
        return 0;
}

int connection_format(const struct connection *connection, char **ret_json) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(freep) char *text = NULL;
        char *line;

        /* "s*" leaves out what is NULL, as connection_parse() reads it back. */
        root = json_pack("{s:s*, s:s*}", "directorURL", connection->director_url,
                         "certificateSecuredConnectorURL", connection->connector_url);
        if (!root)
                return -ENOMEM;
        text = json_dumps(root, JSON_INDENT(4));
        if (!text || asprintf(&line, "%s\n", text) < 0)
                return -ENOMEM;

        *ret_json = line;
        return 0;
}
