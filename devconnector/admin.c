/*
 * What a test arranges before it lets a client loose: tokens, revocations, rotations, faults. A table of
 * routes; each gets the JSON body and makes a JSON reply. Wrong requests get 400 and a text that lists what
 * is known, because the reader is a developer in the middle of something else.
 */

#include "devconnector/admin.h"

#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>

#include "devconnector/call.h"
#include "devconnector/description.h"
#include "devconnector/reply.h"
#include "devconnector/rest.h"
#include "lib/util/json.h"
#include "lib/util/parse.h"
#include "lib/util/text-stream.h"

/* Refuses members of BODY that are not in KNOWN, which ends with NULL. */
static int check_members(const json_t *body, const char *const *known, struct error *error) {
        _cleanup_(freep) char *list = NULL;
        size_t size = 0;
        const char *name;
        json_t *value;
        FILE *out;

        json_object_foreach((json_t *)body, name, value) {
                bool found = false;

                for (size_t i = 0; known[i]; i++)
                        found = found || streq(name, known[i]);
                if (found)
                        continue;
                out = text_stream_open(&list, &size);
                if (!out)
                        return error_set_errno(error, -ENOMEM, "cannot answer");
                for (size_t i = 0; known[i]; i++)
                        fprintf(out, "%s%s", i > 0 ? ", " : "", known[i]);
                fclose(out);
                return error_set(error, -EINVAL, "\"%s\" is unknown; known are %s", name,
                                 *list ? list : "no members");
        }
        return 0;
}

/* The text NAME of BODY, NULL where it is missing. */
static int get_text(const json_t *body, const char *name, const char **ret, struct error *error) {
        const json_t *value = json_object_get(body, name);

        if (value && strempty(json_string_value(value)))
                return error_set(error, -EINVAL, "\"%s\" must be a string that is not empty", name);
        *ret = json_string_value(value);
        return 0;
}

/* One of the two words A and B; *RET is whether it is B. Missing means A. */
static int get_choice(const json_t *body, const char *name, const char *a, const char *b, bool *ret,
                      struct error *error) {
        const char *text = NULL;
        int r;

        r = get_text(body, name, &text, error);
        if (r < 0)
                return r;
        if (text && !streq(text, a) && !streq(text, b))
                return error_set(error, -EINVAL, "\"%s\" must be %s or %s", name, a, b);
        *ret = text && streq(text, b);
        return 0;
}

/* As get_text(), for what becomes an attribute of a subject. */
static int get_attribute(const json_t *body, const char *name, const char **ret, struct error *error) {
        int r;

        r = get_text(body, name, ret, error);
        if (r < 0)
                return r;
        if (*ret && (strchr(*ret, '\n') || pki_attribute_size(*ret) < strlen(*ret)))
                return error_set(error, -EINVAL,
                                 "\"%s\" becomes an attribute of a subject: it must hold no newline, and no "
                                 "comma that another attribute follows",
                                 name);
        return 0;
}

static int get_root(struct server *server, _unused_ const json_t *body, json_t **ret,
                    _unused_ struct error *error) {
        *ret = server_describe(server);
        return 0;
}

static int post_tokens(struct server *server, const json_t *body, json_t **ret, struct error *error) {
        struct token_holder holder = { 0 };
        const char *type_name = NULL, *lifetime_text = NULL, *token;
        _cleanup_(freep) char *url = NULL;
        char uuid[UUID_TEXT];
        usec_t lifetime = 0;
        int r;

        r = check_members(
                body, (const char *const[]) { "client", "type", "lifetime", "tenant", "group", NULL }, error);
        if (r == 0)
                r = get_attribute(body, "client", &holder.client, error);
        if (r == 0)
                r = get_attribute(body, "tenant", &holder.tenant, error);
        if (r == 0)
                r = get_attribute(body, "group", &holder.group, error);
        if (r == 0)
                r = get_text(body, "type", &type_name, error);
        if (r == 0)
                r = get_text(body, "lifetime", &lifetime_text, error);
        if (r < 0)
                return r;
        if (type_name && client_type_parse(type_name, &holder.type) < 0)
                return error_set(error, -EINVAL,
                                 "\"type\" must be one of application, runtime, integration-system");
        if (lifetime_text && (parse_duration(lifetime_text, &lifetime) < 0 || lifetime == 0))
                return error_set(error, -EINVAL, "\"lifetime\" must be a duration like \"5m\"");

        if (!holder.client) {
                uuid_make(uuid);
                holder.client = uuid;
        }
        r = connector_mint(&server->connector, &holder, lifetime, &token, error);
        if (r < 0)
                return r;
        url = rest_info_url(&server->connector, holder.type, token);
        *ret = json_pack("{s:s?,s:s,s:s}", "url", url, "token", token, "client", holder.client);
        return 0;
}

/* The internal API of the older service says by its path what the token is for, and answers with two members.
 */
static int post_rest_tokens(struct server *server, const json_t *body, enum client_type type, json_t **ret,
                            struct error *error) {
        int r;

        json_object_set_new((json_t *)body, "type", json_string(client_type_names[type]));
        r = post_tokens(server, body, ret, error);
        json_object_del(*ret, "client");
        return r;
}

static int post_application_tokens(struct server *server, const json_t *body, json_t **ret,
                                   struct error *error) {
        return post_rest_tokens(server, body, CLIENT_APPLICATION, ret, error);
}

static int post_runtime_tokens(struct server *server, const json_t *body, json_t **ret, struct error *error) {
        return post_rest_tokens(server, body, CLIENT_RUNTIME, ret, error);
}

static int get_calls(struct server *server, _unused_ const json_t *body, json_t **ret,
                     _unused_ struct error *error) {
        *ret = events_calls(server->events);
        return 0;
}

/* As openssl prints it, with colons and capitals, or as the events have it. */
static int read_fingerprint(const char *text, char ret[FINGERPRINT_HEX], struct error *error) {
        size_t n = 0;

        for (; *text && n < FINGERPRINT_HEX; text++) {
                char c = *text >= 'A' && *text <= 'F' ? (char)(*text - 'A' + 'a') : *text;

                if (c == ':')
                        continue;
                if (!strchr("0123456789abcdef", c))
                        break;
                ret[n++] = c;
        }
        if (*text || n != FINGERPRINT_HEX - 1)
                return error_set(
                        error, -EINVAL,
                        "\"fingerprint\" must be the SHA-256 of a certificate, 64 hexadecimal digits");
        ret[n] = '\0';
        return 0;
}

static int post_revoke(struct server *server, const json_t *body, json_t **ret, struct error *error) {
        char fingerprint[FINGERPRINT_HEX];
        const char *text = NULL;
        int r;

        r = check_members(body, (const char *const[]) { "fingerprint", NULL }, error);
        if (r == 0)
                r = get_text(body, "fingerprint", &text, error);
        if (r == 0)
                r = read_fingerprint(text ? text : "", fingerprint, error);
        if (r == 0)
                r = registry_add(server->connector.revoked, fingerprint, error);
        if (r < 0)
                return r;
        *ret = json_pack("{s:s}", "revoked", fingerprint);
        return 0;
}

static int post_unpair(struct server *server, const json_t *body, json_t **ret, struct error *error) {
        const char *client = NULL;
        int r;

        r = check_members(body, (const char *const[]) { "client", NULL }, error);
        if (r == 0)
                r = get_text(body, "client", &client, error);
        if (r < 0)
                return r;
        if (!client || strchr(client, '\n'))
                return error_set(error, -EINVAL, "\"client\" must be the CN of the client to unpair");
        r = connector_unpair(&server->connector, client, error);
        if (r < 0)
                return r;
        *ret = json_pack("{s:s}", "unpaired", client);
        return 0;
}

static int get_faults(struct server *server, _unused_ const json_t *body, json_t **ret,
                      _unused_ struct error *error) {
        *ret = faults_list(server->faults);
        return 0;
}

static int post_faults(struct server *server, const json_t *body, json_t **ret, struct error *error) {
        int r;

        r = faults_arm(server->faults, body, error);
        if (r < 0)
                return r;
        return get_faults(server, body, ret, error);
}

static int post_release(struct server *server, const json_t *body, json_t **ret, struct error *error) {
        int r;

        r = check_members(body, (const char *const[]) { NULL }, error);
        if (r < 0)
                return r;
        *ret = json_pack("{s:I}", "released", (json_int_t)call_release_held(server));
        return 0;
}

static int delete_faults(struct server *server, const json_t *body, json_t **ret, struct error *error) {
        faults_clear(server->faults);
        return post_release(server, body, ret, error);
}

static int post_rotate(struct server *server, const json_t *body, json_t **ret, struct error *error) {
        struct ca_rotation rotation = { 0 };
        _cleanup_(X509_freep) X509 *certificate = NULL;
        char fingerprint[FINGERPRINT_HEX];
        int r;

        r = check_members(body, (const char *const[]) { "key", "dn", "trust", NULL }, error);
        if (r == 0)
                r = get_choice(body, "key", "new", "same", &rotation.same_key, error);
        if (r == 0)
                r = get_text(body, "dn", &rotation.name, error);
        if (r == 0)
                r = get_choice(body, "trust", "both", "new", &rotation.trust_new_only, error);
        if (r == 0)
                r = ca_rotate(server->connector.ca, &rotation, &certificate, error);
        if (r < 0)
                return r;
        pki_fingerprint(certificate, fingerprint);
        *ret = json_pack("{s:s}", "ca", fingerprint);
        return 0;
}

static const struct {
        enum evhttp_cmd_type method;
        const char *method_name;
        const char *path;
        int (*answer)(struct server *server, const json_t *body, json_t **ret, struct error *error);
        bool is_rest; /* as the older service has it: parameters are headers, and the answer is 201 */
} routes[] = {
        { EVHTTP_REQ_GET, "GET", "/", get_root, false },
        { EVHTTP_REQ_POST, "POST", "/tokens", post_tokens, false },
        { EVHTTP_REQ_GET, "GET", "/calls", get_calls, false },
        { EVHTTP_REQ_POST, "POST", "/revoke", post_revoke, false },
        { EVHTTP_REQ_POST, "POST", "/unpair", post_unpair, false },
        { EVHTTP_REQ_POST, "POST", "/rotate", post_rotate, false },
        { EVHTTP_REQ_POST, "POST", "/faults", post_faults, false },
        { EVHTTP_REQ_GET, "GET", "/faults", get_faults, false },
        { EVHTTP_REQ_DELETE, "DELETE", "/faults", delete_faults, false },
        { EVHTTP_REQ_POST, "POST", "/release", post_release, false },
        { EVHTTP_REQ_POST, "POST", "/v1/applications/tokens", post_application_tokens, true },
        { EVHTTP_REQ_POST, "POST", "/v1/runtimes/tokens", post_runtime_tokens, true },
};

static void send_error(struct evhttp_request *request, unsigned status, const char *text) {
        _cleanup_(json_decrefp) json_t *reply = json_object();
        _cleanup_(freep) char *body = NULL, *line = NULL;
        int n;

        json_object_set_new(reply, "error", graphql_string(text, strlen(text)));
        body = json_format(reply, JSON_COMPACT);
        n = body ? asprintf(&line, "%s\n", body) : -1;
        if (n < 0)
                line = NULL;
        reply_send(request, status, REPLY_JSON, line ? line : "", line ? (size_t)n : 0);
}

static void send_not_found(struct evhttp_request *request) {
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        FILE *out = text_stream_open(&text, &size);

        if (!out) {
                reply_send(request, 500, NULL, "", 0);
                return;
        }
        fputs("there is no such call; known are", out);
        for (size_t i = 0; i < ELEMENTSOF(routes); i++)
                fprintf(out, "%s %s %s", i > 0 ? "," : "", routes[i].method_name, routes[i].path);
        fclose(out);
        send_error(request, 404, text);
}

/* No body at all is an empty object. */
static int read_body(struct evhttp_request *request, json_t **ret, struct error *error) {
        struct evbuffer *input = evhttp_request_get_input_buffer(request);
        size_t size = evbuffer_get_length(input);
        _cleanup_(json_decrefp) json_t *body = NULL;
        json_error_t reason;

        if (size == 0)
                body = json_object();
        else
                body = json_loadb((const char *)evbuffer_pullup(input, -1), size, JSON_REJECT_DUPLICATES,
                                  &reason);
        if (!body)
                return error_set(error, -EINVAL, "the body is not JSON: %s at line %d, column %d",
                                 reason.text, reason.line, reason.column);
        if (!json_is_object(body))
                return error_set(error, -EINVAL, "the body must be a JSON object");
        *ret = take_ptr(body);
        return 0;
}

/* The headers of the older service's internal API, as the body of POST /tokens. */
static int read_headers(struct evhttp_request *request, json_t **ret, struct error *error) {
        static const struct {
                const char *header, *member;
        } parameters[] = { { "Application", "client" }, { "Tenant", "tenant" }, { "Group", "group" } };
        const struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
        _cleanup_(json_decrefp) json_t *body = json_object();

        for (size_t i = 0; i < ELEMENTSOF(parameters); i++) {
                const char *value = evhttp_find_header(headers, parameters[i].header);

                if (value && json_object_set_new(body, parameters[i].member, json_string(value)) < 0)
                        return error_set(error, -EINVAL, "the header %s is not UTF-8", parameters[i].header);
        }
        *ret = take_ptr(body);
        return *ret ? 0 : error_set_errno(error, -ENOMEM, "cannot answer");
}

/* For shell scripts: the token and nothing else. */
static bool wants_text(const char *query) {
        struct evkeyvalq parameters = { 0 };
        const char *format;
        bool text;

        if (!query || evhttp_parse_query_str(query, &parameters) < 0)
                return false;
        format = evhttp_find_header(&parameters, "format");
        text = format && streq(format, "text");
        evhttp_clear_headers(&parameters);
        return text;
}

static void send_json(struct evhttp_request *request, const json_t *reply, bool as_text, bool is_rest) {
        _cleanup_(freep) char *body = NULL, *line = NULL;
        const char *token = as_text ? json_string_value(json_object_get(reply, "token")) : NULL;
        int n;

        if (!token)
                body = json_format(reply, JSON_COMPACT);
        n = token || body ? asprintf(&line, "%s\n", token ? token : body) : -1;
        if (n < 0) {
                line = NULL;
                reply_send(request, 500, NULL, "", 0);
        } else
                reply_send(request, is_rest ? 201 : 200,
                           token     ? "text/plain"
                           : is_rest ? REPLY_JSON_CHARSET
                                     : REPLY_JSON,
                           line, (size_t)n);
}

void admin_start(struct server *server, struct evhttp_request *request) {
        const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
        const char *path = evhttp_uri_get_path(uri);
        _cleanup_(json_decrefp) json_t *body = NULL, *reply = NULL;
        struct error error = ERROR_INIT;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(routes); i++) {
                if (evhttp_request_get_command(request) != routes[i].method || !path ||
                    !streq(*path ? path : "/", routes[i].path))
                        continue;
                r = routes[i].is_rest ? read_headers(request, &body, &error)
                                      : read_body(request, &body, &error);
                if (r == 0)
                        r = routes[i].answer(server, body, &reply, &error);
                if (r < 0)
                        send_error(request, r == -EINVAL ? 400 : 500, error_text(&error));
                else
                        send_json(request, reply, wants_text(evhttp_uri_get_query(uri)), routes[i].is_rest);
                error_clear(&error);
                return;
        }
        send_not_found(request);
}
