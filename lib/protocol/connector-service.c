/*
 * One-time tokens are parts of URLs here, so a URL that has a query is as secret as a token; texts have
 * url_shown() of it. An operator may hand in the whole URL, as the service that issues tokens gives it out:
 * the token is sent where that URL points, so it must be the server of `enrol_url` where the configuration
 * has one.
 */

#include "lib/protocol/connector-service.h"

#include <stdio.h>

#include "lib/protocol/reply.h"
#include "lib/protocol/token.h"
#include "lib/util/base64.h"
#include "lib/x509/cert.h"

#define fail reply_fail

#define ENROL_PLACE ".../signingRequests/info"
#define INFO_PLACE  ".../management/info"
#define WHOLE_TOKEN "the whole URL with the token, https://" ENROL_PLACE "?token=..."

/* -------- requests */

/* URL and BODY, which is taken over, NULL for a GET. */
static int make(char *url, char *body, struct protocol_request *ret) {
        if (!url) {
                free(body);
                return -ENOMEM;
        }
        *ret = (struct protocol_request) { .url = url, .body = body };
        return 0;
}

static int ask_configuration(const struct protocol_ask *ask, struct protocol_request *ret,
                             struct error *error) {
        int r;

        if (!ask->token)
                return make(strdup(ask->url), NULL, ret);
        r = token_check(ask->token, ask->url, WHOLE_TOKEN, error);
        if (r < 0)
                return r;
        return make(token_is_url(ask->token) ? strdup(ask->token) : token_join(ask->url, ask->token), NULL,
                    ret);
}

static int ask_signature(const struct protocol_ask *ask, const char *csr_pem, struct protocol_request *ret,
                         struct error *error) {
        const char *url = ask->token ? ask->token : ask->connection->renew_url;
        _cleanup_(freep) char *csr = NULL;
        char *body;
        int r;

        if (!url_is_https(url))
                return error_set(error, -EINVAL, "the Connector names no URL at which it signs");
        r = base64_encode(csr_pem, strlen(csr_pem), &csr);
        if (r == 0)
                r = reply_dump(json_pack("{s:s}", "csr", csr), &body);
        return r < 0 ? r : make(strdup(url), body, ret);
}

/* The body is not read. That there is one keeps the call from being sent twice. */
static int ask_revocation(const struct protocol_ask *ask, struct protocol_request *ret,
                          _unused_ struct error *error) {
        char *body;

        if (!ask->connection->revoke_url)
                return -ENODATA;
        body = strdup("{}");
        return body ? make(strdup(ask->connection->revoke_url), body, ret) : -ENOMEM;
}

static int ask_proof(const struct protocol_ask *ask, struct protocol_request *ret,
                     _unused_ struct error *error) {
        return make(strdup(ask->url), NULL, ret);
}

/* -------- replies */

/* What the Connector says of a request that it will answer in the same way again. */
static bool is_about_request(const char *message) {
        return has_prefix(message, "Error while creating certificate") ||
               has_prefix(message, "Error while unmarshalling request body");
}

static int read_forbidden(const struct protocol_reply *reply, const char *message, struct error *error) {
        char buffer[REPLY_QUOTE_MAX + 1];

        if (streq(message, "Certificate has been revoked."))
                return fail(error, FAILURE_REJECTED, "the certificate is revoked, HTTP status 403: \"%s\"",
                            reply_quote(message, buffer));
        if (reply->token && (streq(message, "Invalid token.") || streq(message, "Token not provided.")))
                return fail(error, PROTOCOL_TOKEN_REJECTED,
                            "it is used, wrong or expired, HTTP status 403: \"%s\"",
                            reply_quote(message, buffer));
        return 0;
}

/* A reply with EXPECTED, or another status of success, passes. PLACE as in reply_read_status(). */
static int read_status(const struct protocol_reply *reply, unsigned expected, const char *place,
                       struct error *error) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        char buffer[REPLY_QUOTE_MAX + 1];
        const char *message = NULL;
        int r = 0;

        if (reply->status == 200 || reply->status == 201)
                return 0;
        if (reply_parse(reply, &root, NULL) == 0)
                message = reply_string_of(json_object_get(root, "error"));
        if (message && reply->status == 403)
                r = read_forbidden(reply, message, error);
        if (message && reply->status == 500 && is_about_request(message))
                r = fail(error, FAILURE_REFUSED, "the Connector refuses the call, HTTP status 500: \"%s\"",
                         reply_quote(message, buffer));
        if (r != 0)
                return r;
        return reply_read_status(
                reply, expected, message,
                "the certificate or the token is not accepted, or what is behind the gateway is down", place,
                error);
}

static int read_text(const json_t *object, const char *field, enum reply_presence presence, char **ret,
                     struct error *error) {
        const char *text;
        int r;

        r = reply_read_string(object, field, presence, &text, error);
        if (r != 0 || !text)
                return r;
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

/* Every URL that OBJECT names, under its name. */
static int read_urls(const json_t *object, struct connection *ret) {
        const char *name;
        json_t *value;
        int r = 0;

        json_object_foreach((json_t *)object, name, value) {
                if (r == 0 && json_is_string(value) && json_string_length(value) > 0)
                        r = connection_take(ret, name, value);
        }
        return r;
}

/* What both kinds of info have: `certificate`. */
static int read_request(const json_t *root, struct protocol_configuration *ret, struct error *error) {
        const json_t *object, *value;
        int r;

        r = reply_read_object(root, "certificate", REPLY_REQUIRED, &object, error);
        if (r == 0)
                r = read_text(object, "certificate.subject", REPLY_REQUIRED, &ret->subject, error);
        if (r == 0)
                r = read_text(object, "certificate.key-algorithm", REPLY_NULLABLE, &ret->key_algorithm,
                              error);
        if (r != 0)
                return r;
        value = json_object_get(object, "extensions");
        if (reply_string_of(value)) {
                char buffer[REPLY_QUOTE_MAX + 1];

                if (asprintf(&ret->warning,
                             "the Connector asks for the extensions \"%s\", which a CSR of rekeyd does not "
                             "have",
                             reply_quote(reply_string_of(value), buffer)) < 0) {
                        ret->warning = NULL;
                        return -ENOMEM;
                }
        }
        return 0;
}

static int read_csr_url(const json_t *root, char **ret, struct error *error) {
        int r = read_text(root, "csrUrl", REPLY_REQUIRED, ret, error);

        if (r == 0 && (!url_is_https(*ret) || strlen(*ret) > PROTOCOL_TOKEN_MAX))
                return reply_wrong(error, "csrUrl", "not an https URL");
        return r;
}

static int read_configuration(const struct protocol_reply *reply, struct protocol_configuration *ret,
                              struct error *error) {
        _cleanup_(protocol_configuration_clear) struct protocol_configuration configuration = { 0 };
        _cleanup_(json_decrefp) json_t *root = NULL;
        const char *field = reply->token ? "api" : "urls";
        const json_t *urls;
        int r;

        r = read_status(reply, 200, reply->token ? ENROL_PLACE : INFO_PLACE, error);
        if (r == 0)
                r = reply_read_json(reply, &root, error);
        if (r == 0)
                r = read_request(root, &configuration, error);
        if (r == 0)
                r = reply_read_object(root, field, reply->token ? REPLY_NULLABLE : REPLY_REQUIRED, &urls,
                                      error);
        if (r == 0 && urls)
                r = read_urls(urls, &configuration.connection);
        if (r == 0 && reply->token)
                r = read_csr_url(root, &configuration.token, error);
        if (r == 0 && !reply->token && !url_is_https(configuration.connection.renew_url))
                r = reply_wrong(error, "urls.renewCertUrl", "missing, or not an https URL");
        if (r != 0)
                return r;

        *ret = configuration;
        configuration = (struct protocol_configuration) { 0 };
        return 0;
}

static int read_certificates(const struct protocol_reply *reply, struct protocol_certificates *ret,
                             struct error *error) {
        static const struct reply_names names = { .chain = "crt", .ca = "caCrt", .leaf = "clientCrt" };
        _cleanup_(json_decrefp) json_t *root = NULL;
        int r;

        r = read_status(reply, 201, NULL, error);
        if (r == 0)
                r = reply_read_json(reply, &root, error);
        return r != 0 ? r : reply_read_certificates(root, &names, ret, error);
}

/* Twice is as good as once. */
static int read_revocation(const struct protocol_reply *reply, struct error *error) {
        _cleanup_(error_clear) struct error why = ERROR_INIT;
        int r = read_status(reply, 201, NULL, &why);

        if (r == FAILURE_REJECTED && reply->status == 403)
                return 0;
        if (r != 0)
                (void)error_set(error, why.code, "%s", error_text(&why));
        return r;
}

/* The attribute NAME, when there is exactly one; borrowed. */
static const char *attribute(const struct subject *subject, const char *name) {
        const char *key, *value, *found = NULL;

        for (size_t i = 0; subject_get(subject, i, &key, &value); i++)
                if (streq(key, name))
                        found = value;
        return found;
}

/* The Connector has its identity from the certificate by which it is called, and C, L and ST from a
 * configuration of its own: so these are not compared. */
static int compare_identity(const json_t *root, const struct subject *own, struct error *error) {
        static const struct {
                const char *member, *attribute;
        } rows[] = { { "application", "CN" }, { "group", "OU" }, { "tenant", "O" } };
        const json_t *identity = json_object_get(root, "clientIdentity");
        const char *subject_text =
                reply_string_of(json_object_get(json_object_get(root, "certificate"), "subject"));
        _cleanup_(subject_freep) struct subject *known = NULL;
        char buffer[REPLY_QUOTE_MAX + 1];

        if (!subject_text)
                return reply_wrong(error, "certificate.subject", "missing");
        if (subject_parse(subject_text, &known, NULL) < 0)
                return reply_wrong(error, "certificate.subject", "not a subject");
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const char *name = rows[i].attribute, *has = attribute(own, name);
                const char *said = reply_string_of(json_object_get(identity, rows[i].member));

                if (!said || streq_null(said, has))
                        said = attribute(known, name);
                if (!streq_null(said, has))
                        return fail(error, FAILURE_BAD_REPLY,
                                    "the Connector takes the certificate for that of another client: %s "
                                    "is \"%s\"",
                                    name, said ? reply_quote(said, buffer) : "");
        }
        return 0;
}

static int read_proof(const struct protocol_reply *reply, const char *certificate_pem, struct connection *ret,
                      struct error *error) {
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 };
        _cleanup_(subject_freep) struct subject *own = NULL;
        _cleanup_(connection_clear) struct connection named = { 0 };
        _cleanup_(json_decrefp) json_t *root = NULL;
        const json_t *urls;
        int r;

        r = read_status(reply, 200, INFO_PLACE, error);
        if (r == 0)
                r = reply_read_json(reply, &root, error);
        if (r != 0)
                return r;
        r = cert_list_parse(certificate_pem, strnlen(certificate_pem, CERT_PEM_MAX + 1), &certs, error);
        if (r == 0)
                r = cert_subject(certs.items[0], &own, error);
        if (r == 0)
                r = compare_identity(root, own, error);
        if (r == 0)
                r = reply_read_object(root, "urls", REPLY_NULLABLE, &urls, error);
        if (r == 0 && urls)
                r = read_urls(urls, &named);
        if (r != 0)
                return r;
        *ret = named;
        named = (struct connection) { 0 };
        return 0;
}

const struct protocol protocol_connector_service = {
        .endpoint = offsetof(struct connection, info_url),
        .keeps_token = true,
        .proof_passes_revoked = true,
        .ask_configuration = ask_configuration,
        .ask_signature = ask_signature,
        .ask_revocation = ask_revocation,
        .ask_proof = ask_proof,
        .read_configuration = read_configuration,
        .read_certificates = read_certificates,
        .read_revocation = read_revocation,
        .read_proof = read_proof,
        .url_member = "legacyConnectorURL",
        .whole_token = WHOLE_TOKEN,
};
