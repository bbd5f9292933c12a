#pragma once

/* One-time tokens: minted for a client, burnt by the first call that carries them, or that succeeds with
 * them. In memory only. */

#include "lib/util/error.h"
#include "lib/util/time.h"

enum client_type {
        CLIENT_APPLICATION,
        CLIENT_RUNTIME,
        CLIENT_INTEGRATION_SYSTEM, /* may sign, but `configuration` will not mint a token for it */
        CLIENT_TYPE_MAX,
};
extern const char *const client_type_names[CLIENT_TYPE_MAX]; /* in the admin API: "integration-system" */
extern const char
        *const client_type_titles[CLIENT_TYPE_MAX]; /* in the Connector's errors: "Integration System" */

/* By its name in the admin API. 0 or -EINVAL. */
int client_type_parse(const char *name, enum client_type *ret);

/* How long a token for TYPE lives when one for an application lives APPLICATION: the real ones live 5 and 60
 * minutes. */
usec_t client_type_lifetime(enum client_type type, usec_t application);

struct tokens;

struct tokens *tokens_new(void); /* NULL: no memory */
struct tokens *tokens_free(struct tokens *tokens);
DEFINE_CLEANUP(struct tokens *, tokens_free);

/* Whom a token is for. Texts are borrowed. */
struct token_holder {
        const char *client;
        enum client_type type;
        const char *tenant,
                *group; /* for the older service, which may have several; NULL: as --subject has them */
};

/* NOW and LIFETIME in microseconds of one clock. *RET_TEXT is borrowed until the token is burnt. 0 or
 * -ENOMEM. */
int tokens_mint(struct tokens *tokens, const struct token_holder *holder, usec_t now, usec_t lifetime,
                const char **ret_text);

/* Whom the token is for, borrowed until it is burnt. 0, or -ENOENT when TEXT is unknown, used or expired. */
int tokens_find(const struct tokens *tokens, const char *text, usec_t now, struct token_holder *ret);

/* Burns the token. 0 and the client, owned by the caller; -ENOENT when TEXT is unknown, used or expired. */
int tokens_burn(struct tokens *tokens, const char *text, usec_t now, char **ret_client,
                enum client_type *ret_type);

/* Forgets all tokens of CLIENT. */
void tokens_forget(struct tokens *tokens, const char *client);

/* A random UUID, for a client that was given no name. */
#define UUID_TEXT 37
void uuid_make(char ret[UUID_TEXT]);
