#pragma once

/* Reading JSON replies: what the protocols have in common. Results and ERROR as in protocol.h. */

#include "lib/protocol/protocol.h"
#include "lib/util/json.h"

/* Says what is wrong and returns CLASS. The struct error wants an errno; the class says more. */
#define reply_fail(error, class, ...) ((void)error_set((error), -EPROTO, __VA_ARGS__), (int)(class))

#define REPLY_QUOTE_MAX 300 /* bytes of a server's text that an error repeats */

/* TEXT for an error: at most REPLY_QUOTE_MAX bytes of printable ASCII, and without what may be a token. */
const char *reply_quote(const char *text, char buffer[REPLY_QUOTE_MAX + 1]);

bool reply_is_blank(const struct protocol_reply *reply);

/* What a status other than that of success means, which is EXPECTED. MESSAGE is the server's, or NULL;
 * BLANK_400 what an empty 400 may come from; PLACE how a URL should end, or NULL. */
int reply_read_status(const struct protocol_reply *reply, unsigned expected, const char *message,
                      const char *blank_400, const char *place, struct error *error);

/* The reply as a JSON object. The first returns what json_read() does. */
int reply_parse(const struct protocol_reply *reply, json_t **ret, struct error *error);
int reply_read_json(const struct protocol_reply *reply, json_t **ret, struct error *error);

/* What the schema lets a server leave out: the member may be missing or null; *RET is NULL then. */
enum reply_presence { REPLY_REQUIRED, REPLY_NULLABLE };

int reply_wrong(struct error *error, const char *field, const char *what);

/* The member that FIELD names after its last dot. */
int reply_read_member(const json_t *object, const char *field, enum reply_presence presence,
                      const json_t **ret, struct error *error);
int reply_read_object(const json_t *object, const char *field, enum reply_presence presence,
                      const json_t **ret, struct error *error);

/* A string that is present is not empty; *RET is borrowed. */
int reply_read_string(const json_t *object, const char *field, enum reply_presence presence, const char **ret,
                      struct error *error);
const char *reply_string_of(const json_t *value); /* NULL where it is none, or empty */

/* PEM in base64, owned by the caller. */
int reply_read_pem(const json_t *object, const char *field, char **ret, struct error *error);

/* The three of them, by their names. */
struct reply_names {
        const char *chain, *ca, *leaf;
};
int reply_read_certificates(const json_t *object, const struct reply_names *names,
                            struct protocol_certificates *ret, struct error *error);

/* ROOT, which is taken over, NULL when memory is out, as the body of a request. 0 or -ENOMEM. */
int reply_dump(json_t *root, char **ret_body);
