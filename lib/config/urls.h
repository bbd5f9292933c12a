#pragma once

/* Where the certificate-secured endpoint of a Connector may be. */

#include "lib/config/config.h"

#define URLS_MAX 3u

/* Borrowed, best first, each once. */
struct urls {
        const char *items[URLS_MAX];
        size_t n;
};

/* The configured URL, which wins; the endpoint in CONNECTION, what `configuration` said last or what came
 * with a set; CURRENT, what came with the set in use. Either may be NULL. */
struct urls urls_list(const struct config_connector *connector, const struct connection *connection,
                      const char *current);

/* The sentence for an empty list; returns -ENOENT. */
int urls_explain_none(const struct config_connector *connector, struct error *error);
