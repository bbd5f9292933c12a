#pragma once

/* connection.json: where this certificate is used, renewed and revoked, from the Connector's last answers. */

#include <jansson.h>

#include "lib/protocol/url.h"
#include "lib/util/error.h"

#define CONNECTION_JSON_MAX (16u * 1024)

/* All is owned and may be NULL. */
struct connection {
        char *director_url;
        char *connector_url; /* certificateSecuredConnectorURL: the certificate-secured endpoint of compass */
        char *info_url;      /* infoUrl: that of connector-service */
        char *renew_url;     /* renewCertUrl, revokeCertUrl: what that endpoint names, and nobody builds */
        char *revoke_url;
        json_t *others; /* members that rekeyd does not read: other URLs of the application */
};
void connection_clear(struct connection *connection);

/* Reads {"directorURL": ..., "certificateSecuredConnectorURL": ...} and so on. A URL that is there is https.
 * 0, -EINVAL or -ENOMEM. */
int connection_parse(const char *json, size_t size, struct connection *ret, struct error *error);

/* The same as indented JSON with a final newline, owned by the caller; without `others` where it would be
 * more than connection_parse() reads. 0 or -ENOMEM. */
int connection_format(const struct connection *connection, char **ret_json);

/* What NEWER has replaces what CONNECTION has, and the rest stays. 0; or -EPROTO when a URL was left out
 * since it is not https, and all others were taken; or -ENOMEM. */
int connection_follow(struct connection *connection, const struct connection *newer);

/* Copies MEMBER, a member of connection.json, into CONNECTION: into its place, or to `others`. A URL is not
 * judged. 0 or -ENOMEM. */
int connection_take(struct connection *connection, const char *member, const json_t *value);
