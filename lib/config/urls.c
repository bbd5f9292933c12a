/* Renewals, revocations and reports mean the same Connector, so they agree on where it is: what the operator
 * wrote goes before what the Connector said once. */

#include "lib/config/urls.h"

#include <errno.h>

struct urls urls_list(const struct config_connector *connector, const struct connection *connection,
                      const char *current) {
        const char *all[URLS_MAX] = {
                connector->url,
                connection ? protocol_endpoint(protocol_get(connector->protocol), connection) : NULL,
                current,
        };
        struct urls urls = { 0 };

        for (size_t i = 0; i < URLS_MAX; i++) {
                bool is_new = all[i];

                for (size_t k = 0; k < urls.n; k++)
                        is_new = is_new && !streq(urls.items[k], all[i]);
                if (is_new)
                        urls.items[urls.n++] = all[i];
        }
        return urls;
}

int urls_explain_none(const struct config_connector *connector, struct error *error) {
        return error_set(error, -ENOENT,
                         "the Connector's certificate-secured URL is unknown: set `url` of connector %s",
                         connector->name);
}
