#include "ca/live/gateway.h"

#include <curl/curl.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

#include "ca/live/call.h"
#include "lib/x509/leaf.h"

#define ADDRESSES_MAX 64
#define LEAF_LIFETIME (10 * USEC_PER_MINUTE)

const char *const gateway_answer_names[GATEWAY_ANSWER_MAX] = {
        [GATEWAY_UNREACHABLE] = "unreachable",
        [GATEWAY_REJECTS] = "rejects",
        [GATEWAY_ACCEPTS] = "accepts",
};

char **gateway_addresses_free(char **addresses) {
        for (size_t i = 0; addresses && addresses[i]; i++)
                free(addresses[i]);
        free(addresses);
        return NULL;
}

/* Without the brackets of an IPv6 address; owned, NULL where there is none. */
static char *host_of(const char *url) {
        CURLU *parsed = curl_url();
        char *part = NULL, *host = NULL;

        if (parsed && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
            curl_url_get(parsed, CURLUPART_HOST, &part, 0) == CURLUE_OK) {
                host = part[0] == '[' ? strndup(part + 1, strlen(part) - 2) : strdup(part);
                curl_free(part);
        }
        curl_url_cleanup(parsed);
        return host;
}

static bool has(char *const *list, const char *text) {
        for (; *list; list++)
                if (streq(*list, text))
                        return true;
        return false;
}

static int take_addresses(const struct addrinfo *found, char **list) {
        char text[64];
        size_t n = 0;

        for (; found && n < ADDRESSES_MAX; found = found->ai_next) {
                if (getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof(text), NULL, 0,
                                NI_NUMERICHOST) != 0 ||
                    has(list, text))
                        continue;
                list[n] = strdup(text);
                if (!list[n++])
                        return -ENOMEM;
        }
        return 0;
}

int gateway_addresses(const char *url, char ***ret, struct error *error) {
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
        _cleanup_(gateway_addresses_freep) char **list = calloc(ADDRESSES_MAX + 1, sizeof(list[0]));
        _cleanup_(freep) char *host = host_of(url);
        struct addrinfo *found = NULL;
        int r;

        if (!list || !host)
                return error_set_errno(error, -ENOMEM, "cannot find the host of %s", url);
        r = getaddrinfo(host, NULL, &hints, &found);
        if (r != 0)
                return error_set(error, -EHOSTUNREACH, "cannot find the addresses of %s: %s", host,
                                 gai_strerror(r));
        r = take_addresses(found, list);
        freeaddrinfo(found);
        if (r < 0)
                return error_set_errno(error, r, "cannot find the addresses of %s", host);
        *ret = take_ptr(list);
        return 0;
}

int gateway_leaf(const struct carry_ca *ca, const struct key *leaf_key, const char *subject,
                 enum leaf_mark mark, usec_t skew, usec_t now, char **ret_pem, struct error *error) {
        _cleanup_(subject_freep) struct subject *parsed = NULL;
        int r;

        r = subject_parse(subject, &parsed, error);
        if (r < 0)
                return r;
        return leaf_make(&(struct leaf_terms) { .issuer = ca->cert,
                                                .issuer_key = ca->key,
                                                .key = leaf_key,
                                                .subject = parsed,
                                                .mark = mark,
                                                .not_before = usec_sub(now, skew),
                                                .not_after = usec_add(now, LEAF_LIFETIME) },
                         ret_pem, error);
}

int gateway_ask(const struct site_gateway *gateway, const char *address, const struct key *leaf_key,
                const char *leaf_pem, enum gateway_answer *ret, char **ret_why, struct error *error) {
        static const enum gateway_answer answers[] = { [CALL_UNREACHABLE] = GATEWAY_UNREACHABLE,
                                                       [CALL_REJECTED] = GATEWAY_REJECTS,
                                                       [CALL_ANSWERED] = GATEWAY_ACCEPTS };
        _cleanup_(call_reply_clear) struct call_reply reply = { 0 };
        int r;

        r = call_make(&(struct call_request) { .url = gateway->url,
                                               .address = address,
                                               .trust = gateway->trust,
                                               .key = leaf_key,
                                               .certificate_pem = leaf_pem },
                      &reply, error);
        if (r < 0)
                return r;
        *ret = answers[reply.answer];
        *ret_why = take_ptr(reply.why);
        return 0;
}
