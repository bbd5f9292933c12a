#pragma once

/* Why a set that is valid cannot be renewed when it is due. Pure. */

#include "lib/store/store.h"

enum doubt {
        DOUBT_NONE,
        DOUBT_SELF_SIGNED,
        DOUBT_SERVER_ONLY,
        DOUBT_NO_URL,
        DOUBT_TOKEN_URL,
        DOUBT_MAX,
};

/* Clauses; NULL for DOUBT_NONE. */
extern const char *const doubt_texts[DOUBT_MAX];

/* About SET, where URL is that of the certificate-secured endpoint, and ENROL_URL that of the token-secured
 * one; each may be NULL. The first that applies. */
enum doubt doubt_find(const struct set *set, const char *url, const char *enrol_url);
