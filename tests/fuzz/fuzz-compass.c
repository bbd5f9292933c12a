/*
 * Whatever a Connector, a gateway in front of it or somebody in between answers. The first byte chooses the
 * status, so that the files of a corpus stay readable ("a" is 200); the rest is the body, which all four
 * readers get.
 */

#include <ctype.h>

#include "lib/protocol/compass.h"

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

static void configuration(const struct protocol_reply *reply) {
        _cleanup_(protocol_configuration_clear) struct protocol_configuration found = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int r = compass_read_configuration(reply, &found, &error);

        require(r >= 0 && r <= PROTOCOL_NO_CONFIGURATION);
        if (r > 0) {
                look_at_error(&error);
                require(!found.token && !found.subject && !found.connection.director_url &&
                        !found.connection.connector_url);
                return;
        }
        require(!strempty(found.subject));
        require(!found.token || (*found.token && !strpbrk(found.token, "\r\n ")));
        require(!found.connection.director_url || *found.connection.director_url);
        require(!found.connection.connector_url || *found.connection.connector_url);
}

static void certificates(const struct protocol_reply *reply) {
        _cleanup_(protocol_certificates_clear) struct protocol_certificates found = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int r = compass_read_certificates(reply, &found, &error);

        require(r >= 0 && r < FAILURE_MAX);
        if (r > 0) {
                look_at_error(&error);
                require(!found.chain && !found.ca && !found.leaf);
                return;
        }
        require(!strempty(found.chain) && !strempty(found.ca) && !strempty(found.leaf));
}

static void other(int (*read)(const struct protocol_reply *reply, struct error *error),
                  const struct protocol_reply *reply) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int r = read(reply, &error);

        require(r >= 0 && r < FAILURE_MAX);
        if (r > 0)
                look_at_error(&error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const unsigned statuses[] = { 200, 400, 401, 404, 422, 429, 302, 503 };
        struct protocol_reply reply = { 0 };

        if (size < 1)
                return 0;
        reply.status = statuses[(data[0] - 'a') & 7];
        reply.body = (const char *)data + 1;
        reply.size = size - 1;

        configuration(&reply);
        certificates(&reply);
        other(compass_read_revocation, &reply);
        other(compass_read_probe, &reply);
        return 0;
}
