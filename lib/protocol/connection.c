/*
 * connection.json is a file that other programs read too, so it is plain: the names are those of the
 * Connector's schema, and members that rekeyd does not know stay as they are. A URL in it decides to which
 * server the certificate is shown; nothing but https is accepted, neither from the file nor from the network.
 */

#include "lib/protocol/connection.h"

#include <stdio.h>

#include "lib/util/json.h"

/* The members with a place of their own. */
static const struct {
        const char *name;
        size_t slot;
} members[] = {
        { "directorURL", offsetof(struct connection, director_url) },
        { "certificateSecuredConnectorURL", offsetof(struct connection, connector_url) },
        { "infoUrl", offsetof(struct connection, info_url) },
        { "renewCertUrl", offsetof(struct connection, renew_url) },
        { "revokeCertUrl", offsetof(struct connection, revoke_url) },
};

static char **slot_of(struct connection *connection, size_t i) {
        return (char **)(void *)((char *)connection + members[i].slot);
}

static const char *url_of(const struct connection *connection, size_t i) {
        return *(char *const *)(const void *)((const char *)connection + members[i].slot);
}

void connection_clear(struct connection *connection) {
        for (size_t i = 0; i < ELEMENTSOF(members); i++)
                free(*slot_of(connection, i));
        json_decref(connection->others);
        *connection = (struct connection) { 0 };
}

static bool is_member(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(members); i++)
                if (streq(members[i].name, name))
                        return true;
        return false;
}

static int replace(char **slot, const char *text) {
        char *copy = strdup(text);

        if (!copy)
                return -ENOMEM;
        free(*slot);
        *slot = copy;
        return 0;
}

static int take_other(struct connection *connection, const char *member, const json_t *value) {
        if (!connection->others)
                connection->others = json_object();
        /* A copy: what the value is part of may hold a token. */
        return connection->others &&
                               json_object_set_new(connection->others, member, json_deep_copy(value)) == 0
                       ? 0
                       : -ENOMEM;
}

int connection_take(struct connection *connection, const char *member, const json_t *value) {
        for (size_t i = 0; i < ELEMENTSOF(members); i++)
                if (streq(members[i].name, member))
                        return json_is_string(value)
                                       ? replace(slot_of(connection, i), json_string_value(value))
                                       : 0;
        return take_other(connection, member, value);
}

int connection_follow(struct connection *connection, const struct connection *newer) {
        const char *member;
        json_t *value;
        int result = 0, r = 0;

        for (size_t i = 0; r == 0 && i < ELEMENTSOF(members); i++) {
                const char *url = url_of(newer, i);

                if (!url || streq_null(url_of(connection, i), url))
                        continue;
                if (url_is_https(url))
                        r = replace(slot_of(connection, i), url);
                else
                        result = -EPROTO;
        }
        json_object_foreach(newer->others, member, value) {
                if (r == 0)
                        r = take_other(connection, member, value);
        }
        return r < 0 ? r : result;
}

/* Copies the URL in member I. */
static int take_url(const json_t *root, size_t i, struct connection *connection, struct error *error) {
        const char *name = members[i].name;
        const json_t *member = json_object_get(root, name);

        if (!member || json_is_null(member))
                return 0;
        if (!json_is_string(member))
                return error_set(error, -EINVAL, "member %s is not a string", name);
        if (!url_is_https(json_string_value(member)))
                return error_set(error, -EINVAL, "member %s is not an https URL", name);
        return replace(slot_of(connection, i), json_string_value(member));
}

int connection_parse(const char *json, size_t size, struct connection *ret, struct error *error) {
        _cleanup_(connection_clear) struct connection connection = { 0 };
        _cleanup_(json_decrefp) json_t *root = NULL;
        const char *name;
        json_t *value;
        int r;

        r = json_read(json, size, CONNECTION_JSON_MAX, &root, error);
        for (size_t i = 0; r == 0 && i < ELEMENTSOF(members); i++)
                r = take_url(root, i, &connection, error);
        json_object_foreach(root, name, value) {
                if (r == 0 && !is_member(name))
                        r = take_other(&connection, name, value);
        }
        if (r < 0)
                return r;

        *ret = connection;
        connection = (struct connection) { 0 };
        return 0;
}

static int format(const struct connection *connection, const json_t *others, char **ret) {
        _cleanup_(json_decrefp) json_t *root = json_object();
        _cleanup_(freep) char *text = NULL;
        char *line;

        for (size_t i = 0; i < ELEMENTSOF(members); i++)
                if (url_of(connection, i) &&
                    json_object_set_new(root, members[i].name, json_string(url_of(connection, i))) < 0)
                        return -ENOMEM;
        if (!root || (others && json_object_update_missing(root, (json_t *)others) < 0))
                return -ENOMEM;
        text = json_format(root, JSON_INDENT(4));
        if (!text || asprintf(&line, "%s\n", text) < 0)
                return -ENOMEM;
        *ret = line;
        return 0;
}

int connection_format(const struct connection *connection, char **ret_json) {
        int r;

        r = format(connection, connection->others, ret_json);
        if (r == 0 && strlen(*ret_json) > CONNECTION_JSON_MAX) {
                free(*ret_json);
                r = format(connection, NULL, ret_json);
        }
        return r;
}
