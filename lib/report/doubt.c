/*
 * An adopted pair has passed no gate and no call. What cannot work is visible at once, months before it is
 * due; the row with the most certain end goes first.
 */

#include "lib/report/doubt.h"

const char *const doubt_texts[DOUBT_MAX] = {
        [DOUBT_SELF_SIGNED] = "the certificate is self-signed, so a Connector will not renew it",
        [DOUBT_SERVER_ONLY] = "the certificate is for servers only, so a Connector will not renew it: its "
                              "extendedKeyUsage lacks clientAuth",
        [DOUBT_NO_URL] =
                "there is no URL at which the certificate can be renewed: its connector has no `url`, nor is "
                "there one in connection.json",
        [DOUBT_TOKEN_URL] = "the certificate cannot be renewed at the `url` of its connector, which is the "
                            "`enrol_url` and takes one-time tokens only",
};

enum doubt doubt_find(const struct set *set, const char *url, const char *enrol_url) {
        if (set->is_self_signed)
                return DOUBT_SELF_SIGNED;
        if (!set->allows_client_auth)
                return DOUBT_SERVER_ONLY;
        if (!url)
                return DOUBT_NO_URL;
        return streq_null(url, enrol_url) ? DOUBT_TOKEN_URL : DOUBT_NONE;
}
