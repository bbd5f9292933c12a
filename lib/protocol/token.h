#pragma once

/* One-time tokens, as people and the Director hand them out. Every text here is a secret. */

#include <stdbool.h>
#include <stddef.h>

#include "lib/util/error.h"

/* A whole URL that ends in `?token=...`, where others are the token alone. */
bool token_is_url(const char *token);

/* The value of `token` in the query of URL, as it stands there; *RET_SIZE is 0 where there is none. */
const char *token_in_url(const char *url, size_t *ret_size);

/* URL with `token` in its query, escaped. Owned by the caller, free_secret(); NULL when memory is out. */
char *token_join(const char *url, const char *token);

/* The two halves of a token that is a URL: the URL without its query, and the value, unescaped and printable.
 * Owned by the caller, free_secret(). 0, -EINVAL or -ENOMEM. */
int token_split(const char *token, char **ret_url, char **ret_value);

/* Whether TOKEN may be sent, as far as that can be judged: a URL must be https, have a token, and name the
 * server of ENROL_URL (may be NULL); without an ENROL_URL it must be a URL. 0, or -EINVAL with a sentence;
 * WHOLE says in it what to hand in instead. -ENOMEM. */
int token_check(const char *token, const char *enrol_url, const char *whole, struct error *error);

/* What was handed in. */
struct token_text {
        char *token; /* a URL, where the text was one */
        char *url;   /* that came with the token; NULL: none */
};
void token_text_clear(struct token_text *text);

/*
 * Reads what somebody hands in as a one-time token: the token or a URL with it, in quotes or not; the
 * Director's answer, an object with `token` at any depth, whose member URL_MEMBER is the URL, or `url` where
 * it has the token in it; the base64 of such an object, or an object with it, which the Director calls
 * `rawEncoded`, or with its text, `raw`. UTF-16 of ASCII is read as ASCII. 0; -ENODATA where there is nothing
 * but blanks; -EINVAL with a sentence that quotes nothing; -ENOMEM.
 */
int token_text_read(const char *data, size_t size, const char *url_member, struct token_text *ret,
                    struct error *error);
