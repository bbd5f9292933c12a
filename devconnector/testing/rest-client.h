#pragma once

/* A client of the older service, for tests of devconnector. What cannot be made aborts the test. */

#include "devconnector/testing/client.h"

#define REST_JSON "application/json;charset=UTF-8"

/* What the places of a template stand for. */
struct rest_world {
        const struct dev *dev;
        const char *kind; /* "applications" */
        char *token_base, *certificate_base;
        char *first, *second; /* the token of an operator, and the one in csrUrl */
        char *subject;
        struct identity identity;
};

void rest_world_clear(struct rest_world *world);
struct rest_world rest_world_new(const struct dev *dev, const char *kind);

/* TEMPLATE, in which $T and $C are the endpoints, $A the admin listener, $K the kind, $1 and $2 the tokens.
 * Owned by the caller. */
char *rest_expand(const struct rest_world *world, const char *template);

/* Whether BODY is such a template, in which $? is a text in any base64, with the newline that Go's encoder
 * adds. */
bool rest_matches(const struct rest_world *world, const char *template, const char *body);

/* What a body holds. */
enum content {
        CONTENT_NONE,
        CONTENT_BAD_BASE64,
        CONTENT_NO_PEM,
        CONTENT_NO_JSON,
        CONTENT_OTHER_NAME,
        CONTENT_OTHER_ORGANIZATION,
        CONTENT_EC,
        CONTENT_CSR,
};

/* Owned by the caller; NULL for none. */
char *rest_content(const struct rest_world *world, enum content content);

/* URL is a template. METHOD is NULL for GET without a body and POST with one. */
struct response rest_ask(const struct rest_world *world, const char *method, const char *url,
                         const char *body, bool mutual);

/* Takes tokens, subject and certificates from what was answered; other members are ignored. */
void rest_keep(struct rest_world *world, const struct response *response);

/* Walks from a new token, minted by OPTIONS of POST /tokens, to a certificate. */
struct rest_world rest_enrol(const struct dev *dev, const char *kind, const char *options);

/* The status of a call, whose answer is of no interest otherwise. */
long rest_status(const struct rest_world *world, const char *method, const char *url, enum content content,
                 bool mutual);

/* Arguments of rest_status(). */
#define INFO       NULL, "$C/v1/$K/management/info", CONTENT_NONE, true
#define RENEW      NULL, "$C/v1/$K/certificates/renewals", CONTENT_CSR, true
#define REVOKE     "POST", "$C/v1/$K/certificates/revocations", CONTENT_NONE, true
#define FIRST_INFO NULL, "$T/v1/$K/signingRequests/info?token=$1", CONTENT_NONE, false
#define FIRST_SIGN NULL, "$T/v1/$K/certificates?token=$2", CONTENT_CSR, false
