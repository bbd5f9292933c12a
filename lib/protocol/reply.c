/*
 * What an answer means is decided by status first, then by what the server says, then by each field by
 * itself, and each has its own sentence. Nothing half-read is handed out.
 */

#include "lib/protocol/reply.h"

#include <stdio.h>

#include "lib/protocol/body.h"
#include "lib/util/base64.h"
#include "lib/util/json.h"
#include "lib/util/utf8.h"

#define BEGIN_MAX  60 /* bytes of a reply that is not JSON */
#define SECRET_RUN 40 /* so many base64 characters in a row may be a token (they have 88); a UUID has 36 */

#define fail reply_fail

int reply_dump(json_t *root, char **ret_body) {
        _cleanup_(json_decrefp) json_t *owned = root;
        char *body = owned ? json_format(owned, JSON_COMPACT) : NULL;

        if (!body)
                return -ENOMEM;
        *ret_body = body;
        return 0;
}

static bool is_base64url(char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
               strchr("+/-_=", c ? c : ' ');
}

const char *reply_quote(const char *text, char buffer[REPLY_QUOTE_MAX + 1]) {
        size_t size = 0;

        while (*text && size < REPLY_QUOTE_MAX) {
                size_t run = 0;

                while (is_base64url(text[run]))
                        run++;
                if (run >= SECRET_RUN) {
                        for (const char *mark = "[...]"; *mark && size < REPLY_QUOTE_MAX; mark++)
                                buffer[size++] = *mark;
                        text += run;
                        continue;
                }
                for (run = run > 0 ? run : 1; run > 0 && size < REPLY_QUOTE_MAX; run--, text++)
                        buffer[size++] = *text < ' ' || *text > '~' ? '?' : *text;
        }
        buffer[size] = '\0';
        return buffer;
}

const char *reply_string_of(const json_t *value) {
        const char *text = json_string_value(value);

        return strempty(text) ? NULL : text;
}

static bool body_has(const struct protocol_reply *reply, const char *text) {
        return reply->size > 0 && memmem(reply->body, reply->size, text, strlen(text));
}

bool reply_is_blank(const struct protocol_reply *reply) {
        for (size_t i = 0; i < reply->size; i++)
                if (!strchr(" \t\r\n", reply->body[i]) || !reply->body[i])
                        return false;
        return true;
}

int reply_parse(const struct protocol_reply *reply, json_t **ret, struct error *error) {
        const size_t mark = utf8_mark_size(reply->body, reply->size);

        return json_read(reply->body + mark, reply->size - mark, PROTOCOL_REPLY_MAX, ret, error);
}

/* What may be JSON, damaged, is not repeated: it may hold a token. */
static int describe_unreadable(const struct protocol_reply *reply, const char *why, struct error *error) {
        static const char cannot[] = "the Connector's reply cannot be read";
        const char *kind = body_kind(reply->body, reply->size), *type = reply->content_type;
        char begin[REPLY_QUOTE_MAX + 1] = "", begin_text[REPLY_QUOTE_MAX + 1], type_text[REPLY_QUOTE_MAX + 1];
        const bool is_usual = !type || has_prefix(type, PROTOCOL_CONTENT_TYPE);

        if (kind)
                return fail(error, FAILURE_BAD_REPLY, "%s: it is %s", cannot, kind);
        memcpy(begin, reply->body, reply->size < REPLY_QUOTE_MAX ? reply->size : REPLY_QUOTE_MAX);
        if (begin[strspn(begin, " \t\r\n")] == '{')
                return fail(error, FAILURE_BAD_REPLY, "%s: %s", cannot, why);
        return fail(error, FAILURE_BAD_REPLY, "%s: %s; it begins with \"%.*s\"%s%.100s%s", cannot, why,
                    BEGIN_MAX, reply_quote(begin, begin_text), is_usual ? "" : ", and its type is \"",
                    is_usual ? "" : reply_quote(type, type_text), is_usual ? "" : "\"");
}

int reply_read_status(const struct protocol_reply *reply, unsigned expected, const char *message,
                      const char *blank_400, const char *place, struct error *error) {
        char buffer[REPLY_QUOTE_MAX + 1], said[REPLY_QUOTE_MAX + 16] = "";
        unsigned status = reply->status;

        if (message)
                snprintf(said, sizeof(said), ": \"%s\"", reply_quote(message, buffer));
        else if (body_is_html(reply->body, reply->size))
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

        if (status == 400 && reply_is_blank(reply))
                return fail(
                        error, FAILURE_TRANSIENT,
                        "the Connector's gateway rejected the call, HTTP status 400 with an empty body: %s",
                        blank_400);
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
                return fail(error, FAILURE_REFUSED, "no endpoint at this URL, HTTP status %u%s%s%s", status,
                            said, place ? "; it should end in " : "", place ? place : "");
        if (status >= 400 && status < 500)
                return fail(error, FAILURE_REFUSED, "the Connector refuses the call, HTTP status %u%s",
                            status, said);

        if (status >= 300 && status < 400)
                return fail(error, FAILURE_BAD_REPLY,
                            "the Connector redirects the call, HTTP status %u; redirects are not followed",
                            status);
        return fail(error, FAILURE_BAD_REPLY, "the Connector answered with HTTP status %u instead of %u",
                    status, expected);
}

int reply_read_json(const struct protocol_reply *reply, json_t **ret, struct error *error) {
        _cleanup_(error_clear) struct error why = ERROR_INIT;
        int r;

        r = reply_parse(reply, ret, &why);
        return r < 0 && r != -ENOMEM ? describe_unreadable(reply, error_text(&why), error) : r;
}

int reply_wrong(struct error *error, const char *field, const char *what) {
        return fail(error, FAILURE_BAD_REPLY, "the Connector's reply cannot be used: %s is %s", field, what);
}

int reply_read_member(const json_t *object, const char *field, enum reply_presence presence,
                      const json_t **ret, struct error *error) {
        const char *dot = strrchr(field, '.');
        const json_t *member = json_object_get(object, dot ? dot + 1 : field);

        if (presence == REPLY_REQUIRED && !member)
                return reply_wrong(error, field, "missing");
        if (presence == REPLY_REQUIRED && json_is_null(member))
                return reply_wrong(error, field, "null");
        *ret = json_is_null(member) ? NULL : member;
        return 0;
}

int reply_read_object(const json_t *object, const char *field, enum reply_presence presence,
                      const json_t **ret, struct error *error) {
        const json_t *member;
        int r;

        r = reply_read_member(object, field, presence, &member, error);
        if (r != 0)
                return r;
        if (member && !json_is_object(member))
                return reply_wrong(error, field, "not an object");
        *ret = member;
        return 0;
}

int reply_read_string(const json_t *object, const char *field, enum reply_presence presence, const char **ret,
                      struct error *error) {
        const json_t *member;
        int r;

        r = reply_read_member(object, field, presence, &member, error);
        if (r != 0)
                return r;
        if (member && !json_is_string(member))
                return reply_wrong(error, field, "not a string");
        if (member && json_string_length(member) == 0)
                return reply_wrong(error, field, "empty");
        *ret = json_string_value(member);
        return 0;
}

int reply_read_pem(const json_t *object, const char *field, char **ret, struct error *error) {
        _cleanup_(freep) char *pem = NULL;
        const char *base64;
        size_t size;
        int r;

        r = reply_read_string(object, field, REPLY_REQUIRED, &base64, error);
        if (r != 0)
                return r;
        r = base64_decode(base64, strlen(base64), &pem, &size);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return reply_wrong(error, field, "not base64");
        if (strlen(pem) != size || !strstr(pem, "-----BEGIN "))
                return reply_wrong(error, field, "not PEM in base64");
        *ret = take_ptr(pem);
        return 0;
}

int reply_read_certificates(const json_t *object, const struct reply_names *names,
                            struct protocol_certificates *ret, struct error *error) {
        _cleanup_(protocol_certificates_clear) struct protocol_certificates certificates = { 0 };
        int r;

        r = reply_read_pem(object, names->chain, &certificates.chain, error);
        if (r == 0)
                r = reply_read_pem(object, names->ca, &certificates.ca, error);
        if (r == 0)
                r = reply_read_pem(object, names->leaf, &certificates.leaf, error);
        if (r != 0)
                return r;
        *ret = certificates;
        certificates = (struct protocol_certificates) { 0 };
        return 0;
}
