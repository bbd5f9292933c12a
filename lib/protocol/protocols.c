/* The table of protocols: their files do not need it, and it needs them. */

#include "lib/protocol/protocol.h"

#define PROTOCOL_NAME(symbol, variable, name) [PROTOCOL_##symbol] = (name),
const char *const protocol_names[PROTOCOL_MAX] = { PROTOCOLS(PROTOCOL_NAME) };
#undef PROTOCOL_NAME

const struct protocol *protocol_get(enum protocol_id id) {
#define PROTOCOL_ROW(symbol, variable, name) [PROTOCOL_##symbol] = &protocol_##variable,
        static const struct protocol *const protocols[PROTOCOL_MAX] = { PROTOCOLS(PROTOCOL_ROW) };
#undef PROTOCOL_ROW

        return protocols[id];
}

bool protocol_can_enrol(enum protocol_id id, const char *enrol_url) {
        return enrol_url || protocol_get(id)->check_token;
}

int protocol_check_token(enum protocol_id id, const char *token, const char *enrol_url, struct error *error) {
        const struct protocol *protocol = protocol_get(id);

        return protocol->check_token ? protocol->check_token(token, enrol_url, error) : 0;
}
