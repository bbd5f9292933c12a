/*
 * Whatever the older service, a gateway in front of it or a login page in between answers. The first byte
 * chooses the status and the endpoint ("a" is 200 by a certificate, "i" by a token); the rest is the body,
 * which all readers get, and of which a token is made.
 */

#include <ctype.h>

#include "lib/protocol/connector-service.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(expression)        \
        do {                       \
                if (!(expression)) \
                        abort();   \
        } while (0)

/* A log can take it: short, one line, and no run of characters as long as a token. */
static void look_at_error(const struct error *error) {
        const char *text = error_text(error);
        size_t run = 0;

        require(error->code < 0 && *text && strlen(text) < 600);
        for (; *text; text++) {
                require(*text >= ' ' && *text <= '~');
                run = isalnum((unsigned char)*text) || strchr("+/-_=", *text) ? run + 1 : 0;
                require(run < 40);
        }
}

static void take(int r, const struct error *error) {
        require(r >= 0 && r <= PROTOCOL_STANDS);
        if (r > 0)
                look_at_error(error);
}

static void read_all(const struct protocol *protocol, const struct protocol_reply *reply) {
        _cleanup_(protocol_configuration_clear) struct protocol_configuration configuration = { 0 };
        _cleanup_(protocol_certificates_clear) struct protocol_certificates certificates = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int r = protocol->read_configuration(reply, &configuration, &error);

        take(r, &error);
        require((r == 0) == !strempty(configuration.subject));
        require(r != 0 || !reply->token || url_is_https(configuration.token));
        require(r != 0 || reply->token || url_is_https(configuration.connection.renew_url));
        r = protocol->read_certificates(reply, &certificates, &error);
        take(r, &error);
        require((r == 0) == (certificates.chain && certificates.ca && certificates.leaf));
        if (r == 0) {
                _cleanup_(connection_clear) struct connection named = { 0 };

                (void)protocol->read_proof(reply, certificates.leaf, &named, &error);
        }
        take(protocol->read_revocation(reply, &error), &error);
}

static void send_token(const struct protocol *protocol, const uint8_t *data, size_t size) {
        _cleanup_(freep) char *token = strndup((const char *)data, size);
        _cleanup_(protocol_request_clear) struct protocol_request request = { 0 };
        const struct protocol_ask ask = { .url = "https://c/info", .token = token };

        if (protocol->ask_configuration(&ask, &request, NULL) == 0 && !strncmp(token, "https://", 8))
                require(url_same_server(request.url, ask.url));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const unsigned statuses[] = { 200, 201, 400, 403, 404, 429, 302, 500 };
        struct protocol_reply reply = { 0 };

        if (size < 1)
                return 0;
        reply.status = statuses[(data[0] - 'a') & 7];
        reply.token = (data[0] - 'a') & 8 ? "token" : NULL;
        reply.body = (const char *)data + 1;
        reply.size = size - 1;
        read_all(protocol_get(PROTOCOL_CONNECTOR_SERVICE), &reply);
        send_token(protocol_get(PROTOCOL_CONNECTOR_SERVICE), data + 1, size - 1);
        return 0;
}
