/*
 * The compass protocol is GraphQL over HTTPS with four fixed texts, so there is no GraphQL here: requests are
 * constants around one variable, replies are JSON of a known shape. All the care goes into the replies. The
 * schema calls nearly every field nullable, one answer stands for several causes, and errors come with status
 * 200 as well as with 400; what an answer means is decided by status first, then `errors`, then each field by
 * itself, and each has its own sentence. Nothing half-read is handed out.
 */

#include "lib/protocol/compass.h"

#include "lib/protocol/body.h"
#include "lib/util/base64.h"
#include "lib/util/json.h"

#define QUOTE_MAX  300 /* bytes of a server's text that an error repeats */
#define BEGIN_MAX  60  /* and of one that is not JSON */
#define SECRET_RUN 40  /* so many base64 characters in a row may be a token (they have 88); a UUID has 36 */
#define TOKEN_MAX  4096

/* Says what is wrong and returns CLASS. The struct error wants an errno; the class says more. */
#define fail(error, class, ...) ((void)error_set((error), -EPROTO, __VA_ARGS__), (int)(class))

/* -------- requests */

static int dump(json_t *request, char **ret_body) {
        _cleanup_(json_decrefp) json_t *owned = request;
        char *body = owned ? json_dumps(owned, JSON_COMPACT) : NULL;

        if (!body)
                return -ENOMEM;
        *ret_body = body;
        return 0;
}

/* The gateway classifies calls by the word that the text starts with. */

int compass_request_configuration(char **ret_body) {
        return dump(json_pack("{s:s}", "query",
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
        return dump(json_pack("{s:s, s:{s:s}}", "query",
                              "mutation ($csr: String!) { result: signCertificateSigningRequest(csr: $csr)"
                              " { certificateChain caCertificate clientCertificate } }",
                              "variables", "csr", csr),
                    ret_body);
}

int compass_request_revoke(char **ret_body) {
        return dump(json_pack("{s:s}", "query", "mutation { result: revokeCertificate }"), ret_body);
}

int compass_request_probe(char **ret_body) {
        return dump(json_pack("{s:s}", "query", "query { __typename }"), ret_body);
}

/* -------- what the server says when it does not do it */

static bool is_base64url(char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
               strchr("+/-_=", c ? c : ' ');
}

/* TEXT for an error: at most QUOTE_MAX bytes of printable ASCII, and without what may be a token. */
static const char *quote(const char *text, char buffer[QUOTE_MAX + 1]) {
        size_t size = 0;

        while (*text && size < QUOTE_MAX) {
                size_t run = 0;

                while (is_base64url(text[run]))
                        run++;
                if (run >= SECRET_RUN) {
                        for (const char *mark = "[...]"; *mark && size < QUOTE_MAX; mark++)
                                buffer[size++] = *mark;
                        text += run;
                        continue;
                }
                for (run = run > 0 ? run : 1; run > 0 && size < QUOTE_MAX; run--, text++)
                        buffer[size++] = *text < ' ' || *text > '~' ? '?' : *text;
        }
        buffer[size] = '\0';
        return buffer;
}

static const char *string_of(const json_t *value) {
        const char *text = json_string_value(value);

        return strempty(text) ? NULL : text;
}

/* The message that an error body gives, borrowed from ROOT: of GraphQL, of the Connector's time-out, of a
 * gateway. */
static const char *message_of(const json_t *root) {
        const char *text;

        text = string_of(json_object_get(json_array_get(json_object_get(root, "errors"), 0), "message"));
        if (!text)
                text = string_of(json_object_get(root, "Message"));
        if (!text)
                text = string_of(json_object_get(json_object_get(root, "error"), "message"));
        return text;
}

static bool body_has(const struct compass_reply *reply, const char *text) {
        return reply->size > 0 && memmem(reply->body, reply->size, text, strlen(text));
}

static bool body_is_blank(const struct compass_reply *reply) {
        for (size_t i = 0; i < reply->size; i++)
                if (!strchr(" \t\r\n", reply->body[i]) || !reply->body[i])
                        return false;
        return true;
}

static int parse(const struct compass_reply *reply, json_t **ret, struct error *error) {
        const size_t mark = body_mark_size(reply->body, reply->size);

        return json_read(reply->body + mark, reply->size - mark, COMPASS_REPLY_MAX, ret, error);
}

/* What may be JSON, damaged, is not repeated: it may hold a token. */
static int describe_unreadable(const struct compass_reply *reply, const char *why, struct error *error) {
        static const char cannot[] = "the Connector's reply cannot be read";
        const char *kind = body_kind(reply->body, reply->size), *type = reply->content_type;
        char begin[QUOTE_MAX + 1] = "", begin_text[QUOTE_MAX + 1], type_text[QUOTE_MAX + 1];
        const bool is_usual = !type || has_prefix(type, COMPASS_CONTENT_TYPE);

        if (kind)
                return fail(error, FAILURE_BAD_REPLY, "%s: it is %s", cannot, kind);
        memcpy(begin, reply->body, reply->size < QUOTE_MAX ? reply->size : QUOTE_MAX);
        if (begin[strspn(begin, " \t\r\n")] == '{')
                return fail(error, FAILURE_BAD_REPLY, "%s: %s", cannot, why);
        return fail(error, FAILURE_BAD_REPLY, "%s: %s; it begins with \"%.*s\"%s%.100s%s", cannot, why,
                    BEGIN_MAX, quote(begin, begin_text), is_usual ? "" : ", and its type is \"",
                    is_usual ? "" : quote(type, type_text), is_usual ? "" : "\"");
}

/* An answer other than 200. */
static int read_status(const struct compass_reply *reply, struct error *error) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        char buffer[QUOTE_MAX + 1], said[QUOTE_MAX + 16] = "";
        unsigned status = reply->status;
        const char *message;

        if (parse(reply, &root, NULL) == 0) {
                message = message_of(root);
                if (message)
                        snprintf(said, sizeof(said), ": \"%s\"", quote(message, buffer));
        } else if (body_is_html(reply->body, reply->size))
                snprintf(said, sizeof(said), ", with an HTML page instead of JSON");

        if (status >= 500 && status < 600)
                return fail(error, FAILURE_TRANSIENT, "the Connector cannot answer now, HTTP status %u%s",
                            status, said);
        if (status == 429)
                return fail(error, FAILURE_TRANSIENT,
                            "the Connector limits the rate of calls, HTTP status 429%s", said);
        if (status == 408)
                return fail(error, FAILURE_TRANSIENT,
                            "the Connector waited too long for the call, HTTP status 408%s", said);

        if (status == 400 && body_is_blank(reply))
                return fail(error, FAILURE_TRANSIENT,
                            "the Connector's gateway rejected the call, HTTP status 400 with an empty body: "
                            "the certificate is revoked or unpaired, the token is used up or wrong, or the "
                            "Director is down");
        if (status == 400 && (body_has(reply, "The SSL certificate error") ||
                              body_has(reply, "No required SSL certificate was sent")))
                return fail(error, FAILURE_REJECTED,
                            "the TLS edge does not accept the client certificate, HTTP status 400 with its "
                            "page \"%s\"",
                            body_has(reply, "The SSL certificate error")
                                    ? "The SSL certificate error"
                                    : "No required SSL certificate was sent");
        if (status == 401 || status == 403)
                return fail(error, FAILURE_REFUSED, "the Connector denies access, HTTP status %u%s", status,
                            said);
        if (status == 404 || status == 405)
                return fail(error, FAILURE_REFUSED,
                            "no endpoint at this URL, HTTP status %u%s; it should end in /connector/graphql",
                            status, said);
        if (status >= 400 && status < 500)
                return fail(error, FAILURE_REFUSED, "the Connector refuses the call, HTTP status %u%s",
                            status, said);

        if (status >= 300 && status < 400)
                return fail(error, FAILURE_BAD_REPLY,
                            "the Connector redirects the call, HTTP status %u; redirects are not followed",
                            status);
        return fail(error, FAILURE_BAD_REPLY, "the Connector answered with HTTP status %u instead of 200",
                    status);
}

/* -------- replies */

/* A GraphQL reply with status 200 and no errors: its `data`, borrowed from *RET_ROOT. NO_TOKEN is the result
 * when the error is that the Director minted no token. */
static int read_data(const struct compass_reply *reply, int no_token, json_t **ret_root,
                     const json_t **ret_data, struct error *error) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(error_clear) struct error why = ERROR_INIT;
        const json_t *errors, *data;
        char buffer[QUOTE_MAX + 1];
        const char *message;
        int r;

        if (reply->status != 200)
                return read_status(reply, error);

        r = parse(reply, &root, &why);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return describe_unreadable(reply, error_text(&why), error);

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
                           quote(message, buffer));
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

/* What the schema lets a server leave out: the member may be missing or null; *RET is NULL then. */
enum presence { REQUIRED, NULLABLE };

static int field_wrong(struct error *error, const char *field, const char *what) {
        return fail(error, FAILURE_BAD_REPLY, "the Connector's reply cannot be used: %s is %s", field, what);
}

static int read_member(const json_t *object, const char *field, enum presence presence, const json_t **ret,
                       struct error *error) {
        const char *dot = strrchr(field, '.');
        const json_t *member = json_object_get(object, dot ? dot + 1 : field);

        if (presence == REQUIRED && !member)
                return field_wrong(error, field, "missing");
        if (presence == REQUIRED && json_is_null(member))
                return field_wrong(error, field, "null");
        *ret = json_is_null(member) ? NULL : member;
        return 0;
}

static int read_object(const json_t *object, const char *field, enum presence presence, const json_t **ret,
                       struct error *error) {
        const json_t *member;
        int r;

        r = read_member(object, field, presence, &member, error);
        if (r != 0)
                return r;
        if (member && !json_is_object(member))
                return field_wrong(error, field, "not an object");
        *ret = member;
        return 0;
}

/* A string that is present is not empty; *RET is borrowed. */
static int read_string(const json_t *object, const char *field, enum presence presence, const char **ret,
                       struct error *error) {
        const json_t *member;
        int r;

        r = read_member(object, field, presence, &member, error);
        if (r != 0)
                return r;
        if (member && !json_is_string(member))
                return field_wrong(error, field, "not a string");
        if (member && json_string_length(member) == 0)
                return field_wrong(error, field, "empty");
        *ret = json_string_value(member);
        return 0;
}

void compass_configuration_clear(struct compass_configuration *configuration) {
        free_secret(configuration->token);
        free(configuration->subject);
        free(configuration->key_algorithm);
        free(configuration->director_url);
        free(configuration->connector_url);
        *configuration = (struct compass_configuration) { 0 };
}

/* The token goes into a header as it is, so nothing in it may end the header. */
static bool is_header_value(const char *text) {
        size_t length = 0;

        for (; text[length]; length++)
                if (text[length] <= ' ' || text[length] > '~')
                        return false;
        return length <= TOKEN_MAX;
}

#define CSR_INFO     "certificateSigningRequestInfo"
#define PLANE_INFO   "managementPlaneInfo"
#define SLOT(member) offsetof(struct compass_configuration, member)

int compass_read_configuration(const struct compass_reply *reply, struct compass_configuration *ret,
                               struct error *error) {
        static const struct {
                const char *object;
                enum presence object_presence;
                const char *field;
                enum presence presence;
                size_t slot;
        } rows[] = {
                { "token", NULLABLE, "token.token", REQUIRED, SLOT(token) },
                { CSR_INFO, REQUIRED, CSR_INFO ".subject", REQUIRED, SLOT(subject) },
                { CSR_INFO, REQUIRED, CSR_INFO ".keyAlgorithm", NULLABLE, SLOT(key_algorithm) },
                { PLANE_INFO, NULLABLE, PLANE_INFO ".directorURL", NULLABLE, SLOT(director_url) },
                { PLANE_INFO, NULLABLE, PLANE_INFO ".certificateSecuredConnectorURL", NULLABLE,
                  SLOT(connector_url) },
        };
        _cleanup_(compass_configuration_clear) struct compass_configuration configuration = { 0 };
        _cleanup_(json_decrefp) json_t *root = NULL;
        const json_t *data, *result;
        int r;

        r = read_data(reply, COMPASS_DIRECTOR_DOWN, &root, &data, error);
        if (r != 0)
                return r;
        r = read_object(data, "result", REQUIRED, &result, error);
        if (r != 0)
                return r;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const json_t *object;
                const char *text;
                char *copy;

                r = read_object(result, rows[i].object, rows[i].object_presence, &object, error);
                if (r != 0)
                        return r;
                if (!object)
                        continue;
                r = read_string(object, rows[i].field, rows[i].presence, &text, error);
                if (r != 0)
                        return r;
                if (!text)
                        continue;
                copy = strdup(text);
                if (!copy)
                        return -ENOMEM;
                *(char **)((char *)&configuration + rows[i].slot) = copy;
        }
        if (configuration.token && !is_header_value(configuration.token))
                return field_wrong(error, "token.token", "not a token");

        *ret = configuration;
        configuration = (struct compass_configuration) { 0 };
        return 0;
}

void compass_certificates_clear(struct compass_certificates *certificates) {
        free(certificates->chain);
        free(certificates->ca);
        free(certificates->leaf);
        *certificates = (struct compass_certificates) { 0 };
}

int compass_read_certificates(const struct compass_reply *reply, struct compass_certificates *ret,
                              struct error *error) {
        static const struct {
                const char *field;
                size_t offset;
        } rows[] = {
                { "certificateChain", offsetof(struct compass_certificates, chain) },
                { "caCertificate", offsetof(struct compass_certificates, ca) },
                { "clientCertificate", offsetof(struct compass_certificates, leaf) },
        };
        _cleanup_(compass_certificates_clear) struct compass_certificates certificates = { 0 };
        _cleanup_(json_decrefp) json_t *root = NULL;
        const json_t *data, *result;
        int r;

        r = read_data(reply, FAILURE_REFUSED, &root, &data, error);
        if (r != 0)
                return r;
        r = read_object(data, "result", REQUIRED, &result, error);
        if (r != 0)
                return r;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const char *base64;
                char *pem;
                size_t size;

                r = read_string(result, rows[i].field, REQUIRED, &base64, error);
                if (r != 0)
                        return r;
                r = base64_decode(base64, strlen(base64), &pem, &size);
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        return field_wrong(error, rows[i].field, "not base64");
                *(char **)((char *)&certificates + rows[i].offset) = pem;

                if (strlen(pem) != size || !strstr(pem, "-----BEGIN "))
                        return field_wrong(error, rows[i].field, "not PEM in base64");
        }

        *ret = certificates;
        certificates = (struct compass_certificates) { 0 };
        return 0;
}

int compass_read_revocation(const struct compass_reply *reply, struct error *error) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        const json_t *data, *result;
        int r;

        r = read_data(reply, FAILURE_REFUSED, &root, &data, error);
        if (r != 0)
                return r;
        r = read_member(data, "result", REQUIRED, &result, error);
        if (r != 0)
                return r;
        if (!json_is_boolean(result))
                return field_wrong(error, "result", "neither true nor false");
        if (!json_is_true(result))
                return fail(error, FAILURE_REFUSED,
                            "the Connector did not revoke the certificate: result is false");
        return 0;
}

int compass_read_probe(const struct compass_reply *reply, struct error *error) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        const json_t *data;
        const char *type;
        int r;

        r = read_data(reply, FAILURE_REFUSED, &root, &data, error);
        if (r != 0)
                return r;
        return read_string(data, "__typename", REQUIRED, &type, error);
}
