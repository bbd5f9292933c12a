#pragma once

/* connection.json: where this certificate is used and renewed, from the Connector's last `configuration`. */

#include "lib/util/error.h"

#define CONNECTION_JSON_MAX (16u * 1024)

/* Both URLs are owned and may be NULL. */
struct connection {
        char *director_url;
        char *connector_url; /* certificateSecuredConnectorURL */
};
void connection_clear(struct connection *connection);

/* Reads {"directorURL": ..., "certificateSecuredConnectorURL": ...}; other members are passed over. A URL
 * that is there is https. 0, -EINVAL or -ENOMEM. */
int connection_parse(const char *json, size_t size, struct connection *ret, struct error *error);

/* The same as indented JSON with a final newline, owned by the caller. 0 or -ENOMEM. */
int connection_format(const struct connection *connection, char **ret_json);

/* "https://host[:port][/...]": no other scheme, no user and password, no fragment, no control characters or
 * blanks, at most 2 KiB. False for NULL. */
bool url_is_https(const char *url);
