/* Where everything is: what the first line of stdout and the admin listener say. */

#include "devconnector/description.h"

#include <stdio.h>

json_t *server_describe(const struct server *server) {
        _cleanup_(freep) char *trust = NULL;

        if (asprintf(&trust, "%s/" CA_SERVER_TRUST, server->settings->directory) < 0) {
                trust = NULL;
                return NULL;
        }
        return json_pack("{s:s,s:s,s:s,s:s,s:o}", "event", "ready", "certificate_url",
                         server->connector.certificate_url, "token_url", server->connector.token_url,
                         "admin_url", server->admin_url, "trust", graphql_string(trust, strlen(trust)));
}
