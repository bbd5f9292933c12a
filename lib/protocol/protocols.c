/* The table of protocols: their files do not need it, and it needs them. */

#include "lib/protocol/protocol.h"

#include <errno.h>

#include "lib/protocol/token.h"

#define PROTOCOL_NAME(symbol, variable, name) [PROTOCOL_##symbol] = (name),
const char *const protocol_names[PROTOCOL_MAX] = { PROTOCOLS(PROTOCOL_NAME) };
#undef PROTOCOL_NAME

const struct protocol *protocol_get(enum protocol_id id) {
#define PROTOCOL_ROW(symbol, variable, name) [PROTOCOL_##symbol] = &protocol_##variable,
        static const struct protocol *const protocols[PROTOCOL_MAX] = { PROTOCOLS(PROTOCOL_ROW) };
#undef PROTOCOL_ROW

        return protocols[id];
}

int protocol_take_token(enum protocol_id id, const char *data, size_t size, const char *enrol_url, char **ret,
                        struct error *error) {
        const struct protocol *protocol = protocol_get(id);
        _cleanup_(token_text_clear) struct token_text text = { 0 };
        _cleanup_(free_secretp) char *token = NULL;
        size_t n;
        int r;

        r = token_text_read(data, size, protocol->url_member, &text, error);
        if (r < 0)
                return r;
        if (!enrol_url && text.url && !token_is_url(text.token)) {
                (void)token_in_url(text.url, &n);
                token = n > 0 ? take_ptr(text.url) : token_join(text.url, text.token);
        } else
                token = take_ptr(text.token);
        if (!token)
                return -ENOMEM;
        if (strlen(token) > PROTOCOL_TOKEN_MAX)
                return error_set(error, -EINVAL, "it is longer than %u bytes, which no one-time token is",
                                 PROTOCOL_TOKEN_MAX);
        r = token_check(token, enrol_url, protocol->whole_token, error);
        if (r == 0)
                *ret = take_ptr(token);
        return r;
}
