/*
 * The compass protocol is GraphQL over HTTPS with four fixed texts, so there is no GraphQL here: requests are
 * constants around one variable, replies are JSON of a known shape. All the care goes into the replies. The
 * schema calls nearly every field nullable, one answer stands for several causes, and errors come with status
 * 200 as well as with 400; what an answer means is decided by status first, then `errors`, then each field by
 * itself, and each has its own sentence. Nothing half-read is handed out.
 */

#include "lib/protocol/compass.h"

#include "lib/protocol/reply.h"
#include "lib/protocol/token.h"
#include "lib/util/base64.h"

#define TOKEN_HEADER "Connector-Token"

#define fail reply_fail

/* -------- requests */

/* The gateway classifies calls by the word that the text starts with. */

int compass_request_configuration(char **ret_body) {
        return reply_dump(
                json_pack("{s:s}", "query",
                          "query { result: configuration { token { token }"
                          " certificateSigningRequestInfo { subject keyAlgorithm }"
                          " managementPlaneInfo { directorURL certificateSecuredConnectorURL } } }"),
                ret_body);
}

int compass_request_sign(const char *csr_pem, char **ret_body) {
        _cleanup_(freep) char *csr = NULL;
        int r;

        r = base64_encode(csr_pem, strlen(csr_pem), &csr);
        if (r < 0)
                return r;
        return reply_dump(
                json_pack("{s:s, s:{s:s}}", "query",
                          "mutation ($csr: String!) { result: signCertificateSigningRequest(csr: $csr)"
                          " { certificateChain caCertificate clientCertificate } }",
                          "variables", "csr", csr),
                ret_body);
}

int compass_request_revoke(char **ret_body) {
        return reply_dump(json_pack("{s:s}", "query", "mutation { result: revokeCertificate }"), ret_body);
}

int compass_request_probe(char **ret_body) {
        return reply_dump(json_pack("{s:s}", "query", "query { __typename }"), ret_body);
}

/* -------- replies */

/* The message that an error body gives, borrowed from ROOT: of GraphQL, of the Connector's time-out, of a
 * gateway. */
static const char *message_of(const json_t *root) {
        const char *text;

        text = reply_string_of(
                json_object_get(json_array_get(json_object_get(root, "errors"), 0), "message"));
        if (!text)
                text = reply_string_of(json_object_get(root, "Message"));
        if (!text)
                text = reply_string_of(json_object_get(json_object_get(root, "error"), "message"));
        return text;
}

/* An answer other than 200. Over the token-secured endpoint the empty 400 mostly says that the token is used,
 * wrong or too old, and the next call with it will hear the same. */
static int read_status(const struct protocol_reply *reply, struct error *error) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        const char *message = NULL;

        if (reply->token && reply->status == 400 && reply->size == 0)
                return fail(error, PROTOCOL_TOKEN_DOUBTFUL,
                            "it is used, wrong or expired, or the Director is down");
        if (reply_parse(reply, &root, NULL) == 0)
                message = message_of(root);
        return reply_read_status(
                reply, 200, message,
                "the certificate is revoked or unpaired, the token is used up or wrong, or the "
                "Director is down",
                "/connector/graphql", error);
}

/* A GraphQL reply with status 200 and no errors: its `data`, borrowed from *RET_ROOT. NO_TOKEN is the result
 * when the error is that the Director minted no token. */
static int read_data(const struct protocol_reply *reply, int no_token, json_t **ret_root,
                     const json_t **ret_data, struct error *error) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        const json_t *errors, *data;
        char buffer[REPLY_QUOTE_MAX + 1];
        const char *message;
        int r;

        if (reply->status != 200)
                return read_status(reply, error);

        r = reply_read_json(reply, &root, error);
        if (r != 0)
                return r;

        /* Data beside errors is what was left when something went wrong: not worth having. */
        errors = json_object_get(root, "errors");
        if (errors && !json_is_null(errors) && !json_is_array(errors))
                return fail(error, FAILURE_BAD_REPLY,
                            "the Connector's reply is not GraphQL: errors is not a list");
        if (json_array_size(errors) > 0) {
                message = message_of(root);
                if (!message)
                        return fail(error, FAILURE_REFUSED,
                                    "the Connector refuses the call without a reason");
                (void)fail(error, FAILURE_REFUSED, "the Connector refuses the call: \"%s\"",
                           reply_quote(message, buffer));
                return has_prefix(message, "Failed to get one-time token") ? no_token : FAILURE_REFUSED;
        }

        data = json_object_get(root, "data");
        if (!json_is_object(data))
                return fail(error, FAILURE_BAD_REPLY, "the Connector's reply is not GraphQL: data is %s",
                            !data                ? "missing"
                            : json_is_null(data) ? "null"
                                                 : "not an object");

        *ret_root = take_ptr(root);
        *ret_data = data;
        return 0;
}

/* The token goes into a header as it is, so nothing in it may end the header. */
static bool is_header_value(const char *text) {
        size_t length = 0;

        for (; text[length]; length++)
                if (text[length] <= ' ' || text[length] > '~')
                        return false;
        return length <= PROTOCOL_TOKEN_MAX;
}

#define CSR_INFO     "certificateSigningRequestInfo"
#define PLANE_INFO   "managementPlaneInfo"
#define SLOT(member) offsetof(struct protocol_configuration, member)

/* Where the first token came with its URL, the second one is for the same place. */
static int follow_token(const char *first, char **token) {
        char *url = strndup(first, strcspn(first, "?")), *joined = url ? token_join(url, *token) : NULL;

        free_secret(url);
        if (!joined)
                return -ENOMEM;
        free_secret(*token);
        *token = joined;
        return 0;
}

int compass_read_configuration(const struct protocol_reply *reply, struct protocol_configuration *ret,
                               struct error *error) {
        static const struct {
                const char *object;
                enum reply_presence object_presence;
                const char *field;
                enum reply_presence presence;
                size_t slot;
        } rows[] = {
                { "token", REPLY_NULLABLE, "token.token", REPLY_REQUIRED, SLOT(token) },
                { CSR_INFO, REPLY_REQUIRED, CSR_INFO ".subject", REPLY_REQUIRED, SLOT(subject) },
                { CSR_INFO, REPLY_REQUIRED, CSR_INFO ".keyAlgorithm", REPLY_NULLABLE, SLOT(key_algorithm) },
                { PLANE_INFO, REPLY_NULLABLE, PLANE_INFO ".directorURL", REPLY_NULLABLE,
                  SLOT(connection.director_url) },
                { PLANE_INFO, REPLY_NULLABLE, PLANE_INFO ".certificateSecuredConnectorURL", REPLY_NULLABLE,
                  SLOT(connection.connector_url) },
        };
        _cleanup_(protocol_configuration_clear) struct protocol_configuration configuration = { 0 };
        _cleanup_(json_decrefp) json_t *root = NULL;
        const json_t *data, *result;
        int r;

        r = read_data(reply, PROTOCOL_NO_CONFIGURATION, &root, &data, error);
        if (r != 0)
                return r;
        r = reply_read_object(data, "result", REPLY_REQUIRED, &result, error);
        if (r != 0)
                return r;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const json_t *object;
                const char *text;
                char *copy;

                r = reply_read_object(result, rows[i].object, rows[i].object_presence, &object, error);
                if (r != 0)
                        return r;
                if (!object)
                        continue;
                r = reply_read_string(object, rows[i].field, rows[i].presence, &text, error);
                if (r != 0)
                        return r;
                if (!text)
                        continue;
                copy = strdup(text);
                if (!copy)
                        return -ENOMEM;
                *(char **)(void *)((char *)&configuration + rows[i].slot) = copy;
        }
        if (configuration.token && !is_header_value(configuration.token))
                return reply_wrong(error, "token.token", "not a token");
        if (configuration.token && reply->token && token_is_url(reply->token)) {
                r = follow_token(reply->token, &configuration.token);
                if (r < 0)
                        return r;
        }

        *ret = configuration;
        configuration = (struct protocol_configuration) { 0 };
        return 0;
}

int compass_read_certificates(const struct protocol_reply *reply, struct protocol_certificates *ret,
                              struct error *error) {
        static const struct reply_names names = {
                .chain = "certificateChain",
                .ca = "caCertificate",
                .leaf = "clientCertificate",
        };
        _cleanup_(json_decrefp) json_t *root = NULL;
        const json_t *data, *result;
        int r;

        r = read_data(reply, FAILURE_REFUSED, &root, &data, error);
        if (r == 0)
                r = reply_read_object(data, "result", REPLY_REQUIRED, &result, error);
        return r != 0 ? r : reply_read_certificates(result, &names, ret, error);
}

int compass_read_revocation(const struct protocol_reply *reply, struct error *error) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        const json_t *data, *result;
        int r;

        r = read_data(reply, FAILURE_REFUSED, &root, &data, error);
        if (r != 0)
                return r;
        r = reply_read_member(data, "result", REPLY_REQUIRED, &result, error);
        if (r != 0)
                return r;
        if (!json_is_boolean(result))
                return reply_wrong(error, "result", "neither true nor false");
        if (!json_is_true(result))
                return fail(error, FAILURE_REFUSED,
                            "the Connector did not revoke the certificate: result is false");
        return 0;
}

int compass_read_probe(const struct protocol_reply *reply, struct error *error) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        const json_t *data;
        const char *type;
        int r;

        r = read_data(reply, FAILURE_REFUSED, &root, &data, error);
        if (r != 0)
                return r;
        return reply_read_string(data, "__typename", REPLY_REQUIRED, &type, error);
}

/* -------- the table */

/* Everything is a POST to the one URL of an endpoint. R is what making the body has returned. */
static int post(const struct protocol_ask *ask, int r, char *body, struct protocol_request *ret) {
        _cleanup_(protocol_request_clear) struct protocol_request request = { .body = r == 0 ? body : NULL };

        if (r < 0)
                return r;
        if (ask->token && token_is_url(ask->token)) {
                r = token_split(ask->token, &request.url, &request.token);
                if (r < 0)
                        return r;
        } else {
                request.url = strdup(ask->url);
                request.token = ask->token ? strdup(ask->token) : NULL;
        }
        if (!request.url || (ask->token && !request.token))
                return -ENOMEM;
        if (ask->token)
                request.token_header = TOKEN_HEADER;
        *ret = request;
        request = (struct protocol_request) { 0 };
        return 0;
}

static int ask_configuration(const struct protocol_ask *ask, struct protocol_request *ret,
                             _unused_ struct error *error) {
        char *body = NULL;
        int r = compass_request_configuration(&body);

        return post(ask, r, body, ret);
}

static int ask_signature(const struct protocol_ask *ask, const char *csr_pem, struct protocol_request *ret,
                         _unused_ struct error *error) {
        char *body = NULL;
        int r = compass_request_sign(csr_pem, &body);

        return post(ask, r, body, ret);
}

static int ask_revocation(const struct protocol_ask *ask, struct protocol_request *ret,
                          _unused_ struct error *error) {
        char *body = NULL;
        int r = compass_request_revoke(&body);

        return post(ask, r, body, ret);
}

static int ask_proof(const struct protocol_ask *ask, struct protocol_request *ret,
                     _unused_ struct error *error) {
        char *body = NULL;
        int r = compass_request_probe(&body);

        return post(ask, r, body, ret);
}

/* A refusal with status 200 comes from the resolver, behind the edge and the gateway, which have let the call
 * in. */
static int read_revocation(const struct protocol_reply *reply, struct error *error) {
        int r = compass_read_revocation(reply, error);

        return r == FAILURE_REFUSED && reply->status == 200 ? PROTOCOL_STANDS : r;
}

/* The gateway lets no revoked certificate in. */
static int read_proof(const struct protocol_reply *reply, _unused_ const char *certificate_pem,
                      _unused_ struct connection *ret, struct error *error) {
        return compass_read_probe(reply, error);
}

const struct protocol protocol_compass = {
        .endpoint = offsetof(struct connection, connector_url),
        .url_member = "connectorURL",
        .whole_token = "the Director's whole answer, with `token` and `connectorURL`",
        .ask_configuration = ask_configuration,
        .ask_signature = ask_signature,
        .ask_revocation = ask_revocation,
        .ask_proof = ask_proof,
        .read_configuration = compass_read_configuration,
        .read_certificates = compass_read_certificates,
        .read_revocation = read_revocation,
        .read_proof = read_proof,
};
