#pragma once

/* Where the certificate-secured endpoint of a Connector may be. */

#include "lib/config/config.h"
#include "lib/util/error.h"

#define URLS_MAX 3u

/* Borrowed, best first, each once. */
struct urls {
        const char *items[URLS_MAX];
        size_t n;
};

/* The configured URL, which wins; LEARNT, what `configuration` said last; CURRENT, what came with a set. Any
 * may be NULL. */
struct urls urls_list(const struct config_connector *connector, const char *learnt, const char *current);

/* The sentence for an empty list; returns -ENOENT. */
int urls_explain_none(const struct config_connector *connector, struct error *error);
