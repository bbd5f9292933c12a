/* What people hand in as a one-time token: what is taken may be sent, and goes where the configuration says.
 */

#include "lib/protocol/protocol.h"
#include "lib/protocol/token.h"
#include "lib/protocol/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(expression)        \
        do {                       \
                if (!(expression)) \
                        abort();   \
        } while (0)

#define URL_LENGTH 2048 /* that url.h takes */
#define ENROL_URL  "https://c.example.com/connector/graphql"

static void take(enum protocol_id id, const char *text, size_t size, const char *enrol_url) {
        const struct protocol *protocol = protocol_get(id);
        _cleanup_(protocol_request_clear) struct protocol_request request = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(free_secretp) char *token = NULL, *again = NULL;
        struct protocol_ask ask = { .url = enrol_url };
        int r;

        r = protocol_take_token(id, text, size, enrol_url, &token, &error);
        require((r == 0) == (token != NULL) && (r == 0 || r == -ENODATA || error.text));
        if (r < 0)
                return;
        for (const char *p = token; *p; p++)
                require(*p > ' ' && *p <= '~');
        require(enrol_url || token_is_url(token));
        ask.token = token;
        if (protocol->ask_configuration(&ask, &request, NULL) == 0)
                require(strlen(request.url) > URL_LENGTH ||
                        (url_is_https(request.url) &&
                         (!enrol_url || url_same_server(request.url, enrol_url))));
        for (const char *p = request.token; p && *p; p++)
                require(*p > ' ' && *p <= '~');
        require(protocol_take_token(id, token, strlen(token), enrol_url, &again, NULL) < 0 ||
                streq(token, again) || token[0] == 'e' || strchr("\"'", token[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        for (unsigned id = 0; id < PROTOCOL_MAX; id++) {
                take(id, (const char *)data, size, NULL);
                take(id, (const char *)data, size, ENROL_URL);
        }
        return 0;
}
