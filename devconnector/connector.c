/*
 * The resolvers. Error texts are the real Connector's, word for word as observed; the one for a revocation
 * without a certificate was not observed and is marked.
 */

#include "devconnector/connector.h"

#include <stdio.h>

#include "lib/util/base64.h"

#define DECODING "Error while decoding Certificate Signing Request"
#define SIGNING  "Error while signing Certificate Signing Request"
#define NO_TOKEN \
        "Failed to get one-time token during fetching configuration process: could not get one time token: "

/* The common name is the client's and comes last, behind a comma. */
static int check_subject(const char *subject, struct error *error) {
        _cleanup_(X509_NAME_freep) X509_NAME *name = NULL;
        int r;

        r = pki_parse_name(subject, &name, error);
        if (r < 0)
                return error_prefix(error, "--subject");
        if (X509_NAME_get_index_by_NID(name, NID_commonName, -1) >= 0)
                return error_set(error, -EINVAL, "--subject=%s: leave CN out, it is the client's id",
                                 subject);
        return 0;
}

int connector_open(int dir_fd, const struct settings *settings, struct connector *ret, struct error *error) {
        _cleanup_(connector_close) struct connector connector = { .settings = settings };
        int r;

        r = check_subject(settings->subject, error);
        if (r < 0)
                return r;
        r = ca_open(dir_fd, settings, &connector.ca, error);
        if (r < 0)
                return r;
        r = registry_open(dir_fd, "revoked", &connector.revoked, error);
        if (r < 0)
                return r;
        r = registry_open(dir_fd, "unpaired", &connector.unpaired, error);
        if (r < 0)
                return r;
        connector.tokens = tokens_new();
        connector.unused = json_object();
        if (!connector.tokens || !connector.unused)
                return error_set_errno(error, -ENOMEM, "cannot start");
        *ret = connector;
        connector = (struct connector) { 0 };
        return 0;
}

void connector_close(struct connector *connector) {
        ca_free(connector->ca);
        tokens_free(connector->tokens);
        registry_free(connector->revoked);
        registry_free(connector->unpaired);
        free(connector->certificate_url);
        free(connector->token_url);
        free(connector->director_url);
        free(connector->certificate_base);
        free(connector->token_base);
        json_decref(connector->unused);
        *connector = (struct connector) { 0 };
}

static int make_url(const struct connector *connector, unsigned port, const char *path, char **ret) {
        const char *host = connector->settings->host;
        bool ipv6 = strchr(host, ':') != NULL;

        if (asprintf(ret, "https://%s%s%s:%u%s", ipv6 ? "[" : "", host, ipv6 ? "]" : "", port, path) < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

int connector_set_ports(struct connector *connector, unsigned certificate_port, unsigned token_port) {
        if (make_url(connector, certificate_port, "", &connector->certificate_base) < 0 ||
            make_url(connector, token_port, "", &connector->token_base) < 0 ||
            make_url(connector, certificate_port, "/connector/graphql", &connector->certificate_url) < 0 ||
            make_url(connector, token_port, "/connector/graphql", &connector->token_url) < 0 ||
            make_url(connector, certificate_port, "/director/graphql", &connector->director_url) < 0)
                return -ENOMEM;
        return 0;
}

void caller_clear(struct caller *caller) {
        free(caller->client);
        free(caller->tenant);
        free(caller->group);
        *caller = (struct caller) { 0 };
}

const char *connector_admit_certificate(const struct connector *connector, const struct caller *caller) {
        if (registry_has(connector->revoked, caller->fingerprint))
                return "certificate revoked";
        if (registry_has(connector->unpaired, caller->client))
                return "client unpaired";
        return NULL;
}

const char *connector_admit_token(struct connector *connector, const char *token, struct caller *caller) {
        if (strempty(token))
                return "no token";
        if (tokens_burn(connector->tokens, token, now_usec(CLOCK_BOOTTIME), &caller->client, &caller->type) <
            0)
                return "token unknown, used or expired";
        return NULL;
}

int connector_mint(struct connector *connector, const struct token_holder *holder, usec_t lifetime,
                   const char **ret, struct error *error) {
        int r;

        r = registry_remove(connector->unpaired, holder->client, error);
        if (r < 0)
                return r;
        if (lifetime == 0)
                lifetime = client_type_lifetime(holder->type, connector->settings->token_lifetime);
        r = tokens_mint(connector->tokens, holder, now_usec(CLOCK_BOOTTIME), lifetime, ret);
        return r < 0 ? error_set_errno(error, r, "cannot mint a token") : 0;
}

int connector_unpair(struct connector *connector, const char *client, struct error *error) {
        tokens_forget(connector->tokens, client);
        return registry_add(connector->unpaired, client, error);
}

/* "O=Org,...,CN=<client>", owned by the caller. */
static char *subject_of(const struct connector_call *call) {
        const char *client = fault_is(call->fault, FAULT_OTHER_CLIENT) ? fault_text(call->fault, "client")
                                                                       : call->caller->client;
        char *subject;

        return asprintf(&subject, "%s,CN=%s", call->connector->settings->subject, client) < 0 ? NULL
                                                                                              : subject;
}

static int resolve_configuration(struct connector_call *call, _unused_ const json_t *arguments,
                                 json_t **ret_value, struct error *error) {
        struct connector *connector = call->connector;
        _cleanup_(freep) char *subject = subject_of(call);
        const char *token;
        int r;

        if (fault_is(call->fault, FAULT_DIRECTOR_DOWN))
                return error_set(error, -EIO,
                                 NO_TOKEN
                                 "while calling director for CSR one time token: graphql: server returned a "
                                 "non-200 status code: 500");
        if (call->caller->type == CLIENT_INTEGRATION_SYSTEM)
                return error_set(error, -EACCES, NO_TOKEN "No token generation for consumer type %s",
                                 client_type_titles[call->caller->type]);

        r = connector_mint(
                connector,
                &(struct token_holder) { .client = call->caller->client, .type = call->caller->type }, 0,
                &token, error);
        if (r < 0)
                return r;
        *ret_value = json_pack(
                "{s:{s:s},s:{s:o,s:s},s:{s:s,s:s}}", "token", "token", token, "certificateSigningRequestInfo",
                "subject", graphql_string(subject ? subject : "", subject ? strlen(subject) : 0),
                "keyAlgorithm", connector->settings->key_algorithm, "managementPlaneInfo", "directorURL",
                connector->director_url, "certificateSecuredConnectorURL", connector->certificate_url);
        return *ret_value ? 0 : error_set_errno(error, -ENOMEM, "cannot answer");
}

json_t *connector_encode(const pki_list *list) {
        _cleanup_(freep) char *pem = pki_format(list), *base64 = NULL;

        return pem && base64_encode(pem, strlen(pem), &base64) == 0 ? json_string(base64) : NULL;
}

int connector_sign(struct connector_call *call, const char *subject, const json_t *csr, struct issued *ret,
                   struct error *error) {
        _cleanup_(signing_request_clear) struct signing_request request = { 0 };
        const char *base64 = json_string_value(csr);
        int r;

        r = signing_request_read(base64 ? base64 : "", json_string_length(csr), subject, &request, error);
        if (r < 0)
                return r;
        r = signing_request_check_key(&request, error);
        if (r < 0)
                return r;
        r = issue_leaf(call->connector->ca, &request, call->connector->settings->lifetime, call->fault,
                       now_usec(CLOCK_MONOTONIC), ret, error);
        if (r < 0) {
                (void)error_prefix(error, "Error while creating certificate");
                return -EIO;
        }
        pki_fingerprint(sk_X509_value(ret->client, 0), call->issued);
        return 0;
}

int connector_revoke(struct connector_call *call, struct error *error) {
        if (fault_is(call->fault, FAULT_REVOKE_FAILS))
                return error_set(error, -EIO, "injected");
        return registry_add(call->connector->revoked, call->caller->fingerprint, error);
}

static int resolve_sign(struct connector_call *call, const json_t *arguments, json_t **ret_value,
                        struct error *error) {
        _cleanup_(freep) char *subject = subject_of(call);
        _cleanup_(issued_clear) struct issued issued = { 0 };
        int r;

        if (!subject)
                return error_set_errno(error, -ENOMEM, "cannot answer");
        r = connector_sign(call, subject, json_object_get(arguments, "csr"), &issued, error);
        if (r == -EBADMSG)
                return error_set(error, r,
                                 DECODING ": Error while parsing base64 content. Incorrect value provided.");
        if (r < 0)
                return error_prefix(error, SIGNING);

        *ret_value = json_pack("{s:o,s:o,s:o}", "certificateChain", connector_encode(issued.chain),
                               "caCertificate", connector_encode(issued.ca), "clientCertificate",
                               connector_encode(issued.client));
        return *ret_value ? 0 : error_set_errno(error, -ENOMEM, "cannot answer");
}

static int resolve_revoke(struct connector_call *call, _unused_ const json_t *arguments, json_t **ret_value,
                          struct error *error) {
        int r;

        if (!call->caller->fingerprint) /* not observed */
                return error_set(error, -EACCES,
                                 "Failed to authenticate with certificate: no certificate hash provided");
        r = connector_revoke(call, error);
        if (r < 0)
                return error_prefix(error, "Failed to add hash to revocation list");
        *ret_value = json_true();
        return 0;
}

int connector_resolve(void *userdata, const char *field, const json_t *arguments, json_t **ret_value,
                      struct error *error) {
        static const struct {
                const char *field;
                int (*resolve)(struct connector_call *call, const json_t *arguments, json_t **ret_value,
                               struct error *error);
        } resolvers[] = {
                { "configuration", resolve_configuration },
                { "signCertificateSigningRequest", resolve_sign },
                { "revokeCertificate", resolve_revoke },
        };
        struct connector_call *call = userdata;

        if (fault_is(call->fault, FAULT_GRAPHQL_ERROR))
                return error_set(error, -EIO, "%s", fault_text(call->fault, "message"));
        for (size_t i = 0; i < ELEMENTSOF(resolvers); i++)
                if (streq(field, resolvers[i].field))
                        return resolvers[i].resolve(call, arguments, ret_value, error);
        return 0; /* introspection */
}
