/*
 * The older service by its transcripts: statuses, texts and the order of its checks. A path or a method that
 * it does not have is refused first, then who calls, and last what the body says. Other than Compass it looks
 * at a token without using it up: that is done by a call that succeeds. management/info alone does not ask
 * whether the certificate has been revoked.
 *
 * It runs in central mode, as the observed one: O is the tenant and OU the group of the client. They come
 * with the token, later with the certificate, and are those of --subject where a token names none. All
 * runtimes of a group have the same common name.
 */

#include "devconnector/rest.h"

#include <stdio.h>

#include "devconnector/query.h"
#include "lib/util/text-stream.h"

#define ROOT       "/v1"
#define RUNTIME_CN "*Runtime*"

#define API_PATH ROOT "/api.yaml"
#define API_PAGE "<a href=\"" API_PATH "\">Moved Permanently</a>.\n\n" /* what Go makes of a redirect */

enum credential {
        CREDENTIAL_NONE,
        CREDENTIAL_TOKEN,
        CREDENTIAL_CERTIFICATE,
};

/* Below /v1/applications and /v1/runtimes. */
static const struct route {
        const char *path;
        enum evhttp_cmd_type method;
        enum rest_action action;
        enum credential credential;
        enum operation kind;
} routes[] = {
        { "signingRequests/info", EVHTTP_REQ_GET, REST_CSR_INFO, CREDENTIAL_TOKEN,
          OPERATION_KIND_CONFIGURATION },
        { "certificates", EVHTTP_REQ_POST, REST_SIGN, CREDENTIAL_TOKEN, OPERATION_KIND_SIGN },
        { "management/info", EVHTTP_REQ_GET, REST_MANAGEMENT_INFO, CREDENTIAL_CERTIFICATE,
          OPERATION_KIND_CONFIGURATION },
        { "certificates/renewals", EVHTTP_REQ_POST, REST_RENEW, CREDENTIAL_CERTIFICATE, OPERATION_KIND_SIGN },
        { "certificates/revocations", EVHTTP_REQ_POST, REST_REVOKE, CREDENTIAL_CERTIFICATE,
          OPERATION_KIND_REVOKE },
};

static const struct route *route_of(const struct rest_request *request) {
        for (size_t i = 0; i < ELEMENTSOF(routes); i++)
                if (routes[i].action == request->action)
                        return &routes[i];
        return NULL;
}

static const char *kind_path(bool runtimes) {
        return runtimes ? ROOT "/runtimes" : ROOT "/applications";
}

void rest_request_clear(struct rest_request *request) {
        free(request->token);
        free(request->body);
        *request = (struct rest_request) { 0 };
}

void rest_reply_clear(struct rest_reply *reply) {
        json_decref(reply->body);
        *reply = (struct rest_reply) { 0 };
}

bool rest_is_path(const char *path) {
        return has_prefix(path, ROOT) && (path[strlen(ROOT)] == '\0' || path[strlen(ROOT)] == '/');
}

static enum rest_action action_of(const char *path, enum evhttp_cmd_type method, bool *ret_runtimes) {
        const char *rest = NULL;

        for (int runtimes = 0; runtimes < 2 && !rest; runtimes++) {
                const char *prefix = kind_path(runtimes);

                *ret_runtimes = runtimes;
                if (has_prefix(path, prefix) && path[strlen(prefix)] == '/')
                        rest = path + strlen(prefix) + 1;
        }
        for (size_t i = 0; rest && i < ELEMENTSOF(routes); i++)
                if (streq(rest, routes[i].path))
                        return method == routes[i].method ? routes[i].action : REST_METHOD_NOT_ALLOWED;
        return streq(path, ROOT) && method == EVHTTP_REQ_GET ? REST_API : REST_NOT_FOUND;
}

int rest_read(const char *path, enum evhttp_cmd_type method, const char *token, const char *body, size_t size,
              struct rest_request *ret) {
        struct rest_request request = { .size = size };

        request.action = action_of(path, method, &request.runtimes);
        request.token = token ? strdup(token) : NULL;
        request.body = malloc(size + 1);
        if ((token && !request.token) || !request.body) {
                rest_request_clear(&request);
                return -ENOMEM;
        }
        memcpy(request.body, body, size);
        request.body[size] = '\0';
        *ret = request;
        return 0;
}

int rest_read_certificate(const X509 *certificate, struct caller *caller) {
        const X509_NAME *name = X509_get_subject_name(certificate);

        caller->tenant = pki_attribute(name, NID_organizationName);
        caller->group = pki_attribute(name, NID_organizationalUnitName);
        return caller->tenant && caller->group ? 0 : -ENOMEM;
}

enum operation rest_operation(const struct connector *connector, const struct rest_request *request,
                              const struct caller *caller) {
        const struct route *route = route_of(request);

        if (!route)
                return OPERATION_KIND_OTHER;
        if (request->action == REST_MANAGEMENT_INFO && caller->fingerprint &&
            json_object_get(connector->unused, caller->fingerprint))
                return OPERATION_KIND_PROBE;
        return route->kind;
}

void rest_mark_used(struct connector *connector, const struct caller *caller) {
        if (caller->fingerprint)
                json_object_del(connector->unused, caller->fingerprint);
}

static int set_text(char **text, const char *value) {
        char *copy = value ? strdup(value) : NULL;

        if (value && !copy)
                return -ENOMEM;
        free(*text);
        *text = copy;
        return 0;
}

static const char *admit_token(struct connector *connector, const struct rest_request *request,
                               struct caller *caller, unsigned *ret_status) {
        struct token_holder holder;

        *ret_status = 403;
        if (strempty(request->token))
                return "Token not provided.";
        if (tokens_find(connector->tokens, request->token, now_usec(CLOCK_BOOTTIME), &holder) < 0 ||
            holder.type != (request->runtimes ? CLIENT_RUNTIME : CLIENT_APPLICATION))
                return "Invalid token.";
        caller->type = holder.type;
        if (set_text(&caller->client, holder.client) < 0 || set_text(&caller->tenant, holder.tenant) < 0 ||
            set_text(&caller->group, holder.group) < 0) {
                *ret_status = 500;
                return "Failed to resolve token.";
        }
        return NULL;
}

static const char *admit_certificate(const struct connector *connector, const struct rest_request *request,
                                     struct caller *caller, unsigned *ret_status) {
        *ret_status = 400;
        if (!caller->fingerprint)
                return "Invalid certificate: Certificate header is empty";
        *ret_status = 403;
        if (request->action != REST_MANAGEMENT_INFO && registry_has(connector->revoked, caller->fingerprint))
                return "Certificate has been revoked.";
        caller->type = streq(caller->client, RUNTIME_CN) ? CLIENT_RUNTIME : CLIENT_APPLICATION;
        return NULL;
}

const char *rest_admit(struct connector *connector, const struct rest_request *request, struct caller *caller,
                       unsigned *ret_status) {
        const struct route *route = route_of(request);

        if (request->action == REST_NOT_FOUND) {
                *ret_status = 404;
                return "Requested resource could not be found.";
        }
        if (request->action == REST_METHOD_NOT_ALLOWED) {
                *ret_status = 405;
                return "Method not allowed.";
        }
        if (!route)
                return NULL;
        return route->credential == CREDENTIAL_TOKEN
                       ? admit_token(connector, request, caller, ret_status)
                       : admit_certificate(connector, request, caller, ret_status);
}

void rest_burn(struct connector *connector, const struct rest_request *request) {
        _cleanup_(freep) char *client = NULL;
        enum client_type type;

        if (request->token)
                (void)tokens_burn(connector->tokens, request->token, now_usec(CLOCK_BOOTTIME), &client,
                                  &type);
}

json_t *rest_error(unsigned status, const char *text) {
        return json_pack("{s:i,s:o}", "code", (int)status, "error", graphql_string(text, strlen(text)));
}

char *rest_format(const json_t *body) {
        _cleanup_(freep) char *text = body ? graphql_format(body) : strdup("");
        char *line;

        if (!text || !body)
                return take_ptr(text);
        return asprintf(&line, "%s\n", text) < 0 ? NULL : line;
}

char *rest_info_url(const struct connector *connector, enum client_type type, const char *token) {
        char *url;

        if (type != CLIENT_APPLICATION && type != CLIENT_RUNTIME)
                return NULL;
        return asprintf(&url, "%s%s/signingRequests/info?token=%s", connector->token_base,
                        kind_path(type == CLIENT_RUNTIME), token) < 0
                       ? NULL
                       : url;
}

/* Who calls, as the subject of a certificate says it. */
struct subject {
        char *common_name, *tenant, *group; /* owned */
        char *text;                         /* the whole of it, owned */
};

static void subject_clear(struct subject *subject) {
        free(subject->common_name);
        free(subject->tenant);
        free(subject->group);
        free(subject->text);
}

/* Where ITEM, of the configured subject, is the attribute KEY: VALUE, or else what is configured. Owned by
 * the caller. */
static int read_attribute(const char *item, size_t size, const char *key, const char *value, char **ret) {
        if (*ret || !has_prefix(item, key))
                return 0;
        *ret = strempty(value) ? strndup(item + strlen(key), size - strlen(key)) : strdup(value);
        return *ret ? 0 : -ENOMEM;
}

static int subject_read(const struct connector_call *call, struct subject *subject) {
        const struct caller *caller = call->caller;
        const char *name = caller->type == CLIENT_RUNTIME ? RUNTIME_CN : caller->client;
        size_t size = 0;
        FILE *out;

        if (fault_is(call->fault, FAULT_OTHER_CLIENT))
                name = fault_text(call->fault, "client");
        subject->common_name = strdup(name);
        out = text_stream_open(&subject->text, &size);
        if (!subject->common_name || !out)
                return -ENOMEM;
        for (const char *item = call->connector->settings->subject; *item;) {
                const size_t length = pki_attribute_size(item);

                if (read_attribute(item, length, "O=", caller->tenant, &subject->tenant) < 0 ||
                    read_attribute(item, length, "OU=", caller->group, &subject->group) < 0)
                        break;
                if (has_prefix(item, "O="))
                        fprintf(out, "O=%s,", subject->tenant);
                else if (has_prefix(item, "OU="))
                        fprintf(out, "OU=%s,", subject->group);
                else
                        fprintf(out, "%.*s,", (int)length, item);
                item += length;
                item += *item == ',';
        }
        fprintf(out, "CN=%s", name);
        return fclose(out) == 0 ? 0 : -ENOMEM;
}

static json_t *text_of(const char *text) {
        return graphql_string(text ? text : "", text ? strlen(text) : 0);
}

/* Adds NAME with the URL of FORMAT. Without memory the member is missing; a client must bear that anyway. */
static void add_url(json_t *object, const char *name, const char *format, ...) _printf_(3, 4);
static void add_url(json_t *object, const char *name, const char *format, ...) {
        _cleanup_(freep) char *url = NULL;
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&url, format, ap) < 0)
                url = NULL;
        va_end(ap);
        json_object_set_new(object, name, text_of(url));
}

/* What an application calls once it has a certificate; devconnector does not serve it. */
static json_t *urls_new(const struct connector_call *call, const struct rest_request *request) {
        const char *base = call->connector->certificate_base, *client = call->caller->client;
        json_t *urls = json_object();

        if (request->runtimes)
                return urls;
        add_url(urls, "eventsInfoUrl", "%s/%s/v1/events/subscribed", base, client);
        add_url(urls, "eventsUrl", "%s/%s/v1/events", base, client);
        add_url(urls, "metadataUrl", "%s/%s/v1/metadata/services", base, client);
        return urls;
}

static json_t *certificate_info(const struct connector_call *call, const struct subject *subject) {
        return json_pack("{s:o,s:s,s:s}", "subject", text_of(subject->text), "extensions", "",
                         "key-algorithm", call->connector->settings->key_algorithm);
}

/* Each of these sets the status and the body, or returns -errno with the text of an error and, where that is
 * not 500, its status. */

static int csr_info(struct connector_call *call, const struct rest_request *request,
                    const struct subject *subject, struct rest_reply *reply, struct error *error) {
        struct connector *connector = call->connector;
        const struct caller *caller = call->caller;
        const char *kind = kind_path(request->runtimes), *token;
        json_t *api, *urls;
        int r;

        r = connector_mint(connector,
                           &(struct token_holder) { .client = caller->client,
                                                    .type = caller->type,
                                                    .tenant = caller->tenant,
                                                    .group = caller->group },
                           0, &token, error);
        if (r < 0)
                return r;
        rest_burn(connector, request);

        api = urls_new(call, request);
        add_url(api, "infoUrl", "%s%s/management/info", connector->certificate_base, kind);
        add_url(api, "certificatesUrl", "%s%s/certificates", connector->token_base, kind);
        urls = json_object();
        add_url(urls, "csrUrl", "%s%s/certificates?token=%s", connector->token_base, kind, token);
        json_object_set_new(urls, "api", api);
        json_object_set_new(urls, "certificate", certificate_info(call, subject));
        reply->status = 200;
        reply->body = urls;
        return 0;
}

static int management_info(struct connector_call *call, const struct rest_request *request,
                           const struct subject *subject, struct rest_reply *reply,
                           _unused_ struct error *error) {
        const char *base = call->connector->certificate_base, *kind = kind_path(request->runtimes);
        json_t *identity = json_object(), *urls = urls_new(call, request);

        if (call->caller->type == CLIENT_APPLICATION)
                json_object_set_new(identity, "application", text_of(subject->common_name));
        json_object_set_new(identity, "group", text_of(subject->group));
        json_object_set_new(identity, "tenant", text_of(subject->tenant));
        add_url(urls, "renewCertUrl", "%s%s/certificates/renewals", base, kind);
        add_url(urls, "revokeCertUrl", "%s%s/certificates/revocations", base, kind);
        reply->status = 200;
        reply->body = json_pack("{s:o,s:o,s:o}", "clientIdentity", identity, "urls", urls, "certificate",
                                certificate_info(call, subject));
        return 0;
}

/* The CSR in the body, which may have any content type; NULL where it has none. Borrowed from *RET_BODY. */
static int read_csr(const struct rest_request *request, json_t **ret_body, const json_t **ret_csr,
                    struct error *error) {
        static const char failure[] = "Error while unmarshalling request body";
        json_error_t reason;
        json_t *body = json_loadb(request->body, request->size, JSON_DECODE_ANY, &reason);
        const json_t *csr = json_object_get(body, "csr");

        *ret_body = body;
        *ret_csr = csr;
        if (!body && (go_is_blank(request->body, request->size) ||
                      json_error_code(&reason) == json_error_premature_end_of_input))
                return error_set(error, -EIO, "%s: unexpected end of JSON input", failure);
        if (!body)
                return error_set(error, -EIO, "%s: invalid character '%c' looking for beginning of value",
                                 failure, go_invalid_character(request->body, request->size, &reason));
        if (!json_is_object(body) && !json_is_null(body))
                return error_set(error, -EIO,
                                 "%s: json: cannot unmarshal %s into Go value of type "
                                 "externalapi.certRequest",
                                 failure, go_type_name(body));
        if (csr && !json_is_string(csr) && !json_is_null(csr))
                return error_set(error, -EIO,
                                 "%s: json: cannot unmarshal %s into Go struct field "
                                 "certRequest.csr of type string",
                                 failure, go_type_name(csr));
        return 0;
}

static int sign(struct connector_call *call, const struct rest_request *request,
                const struct subject *subject, struct rest_reply *reply, struct error *error) {
        _cleanup_(json_decrefp) json_t *body = NULL;
        _cleanup_(issued_clear) struct issued issued = { 0 };
        const json_t *csr;
        int r;

        r = read_csr(request, &body, &csr, error);
        if (r < 0)
                return r;
        r = connector_sign(call, subject->text, csr, &issued, error);
        if (r == -EBADMSG || r == -EINVAL)
                reply->status = 400;
        if (r == -EBADMSG)
                return error_set(error, r,
                                 "There was an error while parsing the base64 content. An incorrect "
                                 "value was provided.");
        if (r < 0)
                return r;

        json_object_set_new(call->connector->unused, call->issued, json_true());
        if (request->action == REST_SIGN)
                rest_burn(call->connector, request);
        reply->status = 201;
        reply->body = json_pack("{s:o,s:o,s:o}", "crt", connector_encode(issued.chain), "clientCrt",
                                connector_encode(issued.client), "caCrt", connector_encode(issued.ca));
        return reply->body ? 0 : -ENOMEM;
}

static int revoke_caller(struct connector_call *call, _unused_ const struct rest_request *request,
                         _unused_ const struct subject *subject, struct rest_reply *reply,
                         struct error *error) {
        int r = connector_revoke(call, error);

        if (r < 0)
                return error_prefix(error, "Unable to mark certificate as revoked");
        reply->status = 201;
        return 0;
}

int rest_execute(struct connector_call *call, const struct rest_request *request, struct rest_reply *ret) {
        static int (*const functions[])(struct connector_call *, const struct rest_request *,
                                        const struct subject *, struct rest_reply *, struct error *) = {
                [REST_CSR_INFO] = csr_info,
                [REST_SIGN] = sign,
                [REST_MANAGEMENT_INFO] = management_info,
                [REST_RENEW] = sign,
                [REST_REVOKE] = revoke_caller,
        };
        _cleanup_(subject_clear) struct subject subject = { 0 };
        struct error error = ERROR_INIT;
        int r;

        if (request->action == REST_API) {
                *ret = (struct rest_reply) { .status = 301, .location = API_PATH, .page = API_PAGE };
                return 0;
        }
        if (subject_read(call, &subject) < 0)
                return -ENOMEM;
        *ret = (struct rest_reply) { .status = 500 };
        if (fault_is(call->fault, FAULT_GRAPHQL_ERROR))
                r = error_set(&error, -EIO, "%s", fault_text(call->fault, "message"));
        else
                r = functions[request->action](call, request, &subject, ret, &error);
        if (r < 0)
                ret->body = rest_error(ret->status, error_text(&error));
        error_clear(&error);
        return r < 0 && !ret->body ? -ENOMEM : 0;
}
