/*
 * One-time tokens look as the real ones do: 64 random bytes in URL-safe base64. Expired ones are swept when a
 * new one is minted; nothing wakes up for them.
 */

#include "devconnector/tokens.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>

#define TOKEN_BYTES 64
#define TOKEN_TEXT  (4 * ((TOKEN_BYTES + 2) / 3) + 1)

const char *const client_type_names[CLIENT_TYPE_MAX] = {
        [CLIENT_APPLICATION] = "application",
        [CLIENT_RUNTIME] = "runtime",
        [CLIENT_INTEGRATION_SYSTEM] = "integration-system",
};

const char *const client_type_titles[CLIENT_TYPE_MAX] = {
        [CLIENT_APPLICATION] = "Application",
        [CLIENT_RUNTIME] = "Runtime",
        [CLIENT_INTEGRATION_SYSTEM] = "Integration System",
};

struct token {
        struct token *next;
        char text[TOKEN_TEXT];
        struct token_holder holder; /* its texts are owned */
        usec_t expires_usec;
};

struct tokens {
        struct token *first;
};

static struct token *token_free(struct token *token) {
        if (!token)
                return NULL;
        free((char *)token->holder.client);
        free((char *)token->holder.tenant);
        free((char *)token->holder.group);
        free(token);
        return NULL;
}
DEFINE_CLEANUP(struct token *, token_free);

int client_type_parse(const char *name, enum client_type *ret) {
        for (int type = 0; type < CLIENT_TYPE_MAX; type++)
                if (streq(name, client_type_names[type])) {
                        *ret = (enum client_type)type;
                        return 0;
                }
        return -EINVAL;
}

usec_t client_type_lifetime(enum client_type type, usec_t application) {
        return type == CLIENT_RUNTIME ? 12 * application : application;
}

struct tokens *tokens_new(void) {
        return calloc(1, sizeof(struct tokens));
}

struct tokens *tokens_free(struct tokens *tokens) {
        if (!tokens)
                return NULL;
        for (struct token *token = tokens->first, *next; token; token = next) {
                next = token->next;
                token_free(token);
        }
        free(tokens);
        return NULL;
}

static void make_text(char ret[TOKEN_TEXT]) {
        unsigned char bytes[TOKEN_BYTES];

        if (RAND_bytes(bytes, sizeof(bytes)) != 1)
                abort(); /* cannot continue without randomness */
        EVP_EncodeBlock((unsigned char *)ret, bytes, sizeof(bytes));
        for (char *c = ret; *c; c++)
                *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
}

static void sweep(struct tokens *tokens, usec_t now) {
        for (struct token **slot = &tokens->first; *slot;)
                if ((*slot)->expires_usec <= now) {
                        struct token *expired = *slot;

                        *slot = expired->next;
                        token_free(expired);
                } else
                        slot = &(*slot)->next;
}

static int copy_text(const char *text, const char **ret) {
        *ret = text ? strdup(text) : NULL;
        return text && !*ret ? -ENOMEM : 0;
}

int tokens_mint(struct tokens *tokens, const struct token_holder *holder, usec_t now, usec_t lifetime,
                const char **ret_text) {
        _cleanup_(token_freep) struct token *token = calloc(1, sizeof(*token));

        if (!token || copy_text(holder->client, &token->holder.client) < 0 ||
            copy_text(holder->tenant, &token->holder.tenant) < 0 ||
            copy_text(holder->group, &token->holder.group) < 0)
                return -ENOMEM;
        sweep(tokens, now);
        make_text(token->text);
        token->holder.type = holder->type;
        token->expires_usec = usec_add(now, lifetime);
        token->next = tokens->first;
        *ret_text = token->text;
        tokens->first = take_ptr(token);
        return 0;
}

int tokens_find(const struct tokens *tokens, const char *text, usec_t now, struct token_holder *ret) {
        for (const struct token *token = tokens->first; token; token = token->next)
                if (streq(token->text, text) && token->expires_usec > now) {
                        *ret = token->holder;
                        return 0;
                }
        return -ENOENT;
}

int tokens_burn(struct tokens *tokens, const char *text, usec_t now, char **ret_client,
                enum client_type *ret_type) {
        for (struct token **slot = &tokens->first; *slot; slot = &(*slot)->next) {
                _cleanup_(token_freep) struct token *token = *slot;

                if (!streq(token->text, text)) {
                        token = NULL;
                        continue;
                }
                *slot = token->next;
                if (token->expires_usec <= now)
                        return -ENOENT;
                *ret_client = (char *)token->holder.client;
                token->holder.client = NULL;
                *ret_type = token->holder.type;
                return 0;
        }
        return -ENOENT;
}

void tokens_forget(struct tokens *tokens, const char *client) {
        for (struct token **slot = &tokens->first; *slot;)
                if (streq((*slot)->holder.client, client)) {
                        struct token *forgotten = *slot;

                        *slot = forgotten->next;
                        token_free(forgotten);
                } else
                        slot = &(*slot)->next;
}

void uuid_make(char ret[UUID_TEXT]) {
        unsigned char b[16];

        if (RAND_bytes(b, sizeof(b)) != 1)
                abort();
        b[6] = (unsigned char)(0x40 | (b[6] & 0x0f)); /* version 4, RFC 9562 */
        b[8] = (unsigned char)(0x80 | (b[8] & 0x3f));
        snprintf(ret, UUID_TEXT, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
                 b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
                 b[15]);
}
