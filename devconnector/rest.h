#pragma once

/* The older Kyma Central Connector Service: REST and JSON where Compass has GraphQL. It shares endpoints, CA,
 * tokens and the list of revoked certificates with it. */

#include <event2/http.h>

#include "devconnector/connector.h"

#define REST_HTML "text/html; charset=utf-8"

enum rest_action {
        REST_NOT_FOUND,
        REST_METHOD_NOT_ALLOWED,
        REST_API, /* where the description of the API is */
        REST_CSR_INFO,
        REST_SIGN,
        REST_MANAGEMENT_INFO,
        REST_RENEW,
        REST_REVOKE,
};

/* What is asked. */
struct rest_request {
        enum rest_action action;
        bool runtimes; /* /v1/runtimes, not /v1/applications */
        char *token;   /* owned; NULL without one */
        char *body;    /* owned */
        size_t size;
};
void rest_request_clear(struct rest_request *request);

/* Whether PATH is one of this service. */
bool rest_is_path(const char *path);

/* TOKEN may be NULL. 0 or -ENOMEM. */
int rest_read(const char *path, enum evhttp_cmd_type method, const char *token, const char *body, size_t size,
              struct rest_request *ret);

/* Fills in what CERTIFICATE, the caller's, says of its tenant and group. 0 or -ENOMEM. */
int rest_read_certificate(const X509 *certificate, struct caller *caller);

/*
 * What the call is about, for faults and events. management/info serves two purposes that the call cannot
 * tell apart: it is the probe of a certificate until it has been answered well, and the configuration from
 * then on, as well as for certificates that were issued otherwise.
 */
enum operation rest_operation(const struct connector *connector, const struct rest_request *request,
                              const struct caller *caller);

/* NULL when the call may be executed, else the text of the refusal, with its status. A good token says who
 * calls; it stays good. */
const char *rest_admit(struct connector *connector, const struct rest_request *request, struct caller *caller,
                       unsigned *ret_status);

/* Uses up the token of REQUEST. */
void rest_burn(struct connector *connector, const struct rest_request *request);

/* A good answer to management/info went to the caller. */
void rest_mark_used(struct connector *connector, const struct caller *caller);

struct rest_reply {
        unsigned status;
        json_t *body;                /* NULL: none */
        const char *location, *page; /* of a redirect, else NULL */
};
void rest_reply_clear(struct rest_reply *reply);

/* Executes an admitted call. A token is used up where it succeeds. 0, also where the service answers with an
 * error, or -ENOMEM. */
int rest_execute(struct connector_call *call, const struct rest_request *request, struct rest_reply *ret);

/* {"code": STATUS, "error": TEXT}; NULL: no memory. */
json_t *rest_error(unsigned status, const char *text);

/* BODY as this service writes it, owned by the caller: with a newline at its end. "" where BODY is NULL.
 * NULL: no memory. */
char *rest_format(const json_t *body);

/* Where enrolment begins: the URL with TOKEN, owned by the caller. NULL: no memory, or clients of TYPE are
 * unknown to this service. */
char *rest_info_url(const struct connector *connector, enum client_type type, const char *token);
