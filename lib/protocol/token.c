/*
 * The Director's answer is made for copy and paste: `raw` is {"token": ..., "connectorURL": ...}, and
 * `rawEncoded` its base64. People paste either, the whole answer of the GraphQL call, or the token in the
 * quotes that jq leaves around it. All of them are one token and maybe a URL. What is a key or a certificate
 * is never sent anywhere, in whatever form it comes.
 */

#include "lib/protocol/token.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/protocol/url.h"
#include "lib/util/base64.h"
#include "lib/util/json.h"
#include "lib/util/utf8.h"

#define TEXT_MAX     (16u * 1024)
#define DEPTH_MAX    4u
#define DER_SIZE_MIN 256u /* more than any token that the Director makes has */

bool token_is_url(const char *token) {
        return has_prefix(token, "https://") || has_prefix(token, "http://");
}

const char *token_in_url(const char *url, size_t *ret_size) {
        const char *p = strchr(url, '?');

        *ret_size = 0;
        while (p) {
                p++;
                if (has_prefix(p, "token=")) {
                        p += strlen("token=");
                        *ret_size = strcspn(p, "&");
                        return p;
                }
                p = strchr(p, '&');
        }
        return NULL;
}

/* The characters of a token as they are, and all else as %XX. */
static void escape(const char *token, char *to) {
        for (; *token; token++) {
                const unsigned char c = (unsigned char)*token;

                if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    strchr("-._~=", c))
                        *to++ = (char)c;
                else
                        to += sprintf(to, "%%%02X", c);
        }
        *to = '\0';
}

char *token_join(const char *url, const char *token) {
        const size_t room = strlen(url) + strlen("?token=") + 3 * strlen(token) + 1;
        char *joined = malloc(room);

        if (joined) {
                int size = snprintf(joined, room, "%s%ctoken=", url, strchr(url, '?') ? '&' : '?');

                escape(token, joined + size);
        }
        return joined;
}

static int hex_value(char c) {
        return c >= '0' && c <= '9'   ? c - '0'
               : c >= 'a' && c <= 'f' ? c - 'a' + 10
               : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                      : -1;
}

/* In place. */
static bool unescape(char *text) {
        char *to = text;

        for (const char *p = text; *p; p++) {
                if (*p == '%') {
                        const int high = hex_value(p[1]), low = high < 0 ? -1 : hex_value(p[2]);

                        if (low < 0 || (high == 0 && low == 0))
                                return false;
                        *to++ = (char)(high << 4 | low);
                        p += 2;
                } else
                        *to++ = *p;
        }
        explicit_bzero(to, strlen(to));
        return true;
}

/* What may go into a header, and end it nowhere. */
static bool is_word(const char *text, size_t size) {
        for (size_t i = 0; i < size; i++)
                if (!isascii((unsigned char)text[i]) || !isgraph((unsigned char)text[i]))
                        return false;
        return size > 0;
}

int token_split(const char *token, char **ret_url, char **ret_value) {
        size_t size;
        const char *found = token_in_url(token, &size);
        char *url, *value;

        if (!found || size == 0)
                return -EINVAL;
        url = strndup(token, strcspn(token, "?"));
        value = strndup(found, size);
        if (!url || !value || !unescape(value) || !is_word(value, strlen(value))) {
                const int r = url && value ? -EINVAL : -ENOMEM;

                free_secret(url);
                free_secret(value);
                return r;
        }
        *ret_url = url;
        *ret_value = value;
        return 0;
}

int token_check(const char *token, const char *enrol_url, const char *whole, struct error *error) {
        _cleanup_(free_secretp) char *url = NULL, *value = NULL;
        _cleanup_(freep) char *shown = NULL;
        size_t size;

        if (!token_is_url(token))
                return enrol_url ? 0
                                 : error_set(error, -EINVAL,
                                             "a one-time token alone does not say where to enrol: set "
                                             "`enrol_url`, or use %s",
                                             whole);
        shown = url_shown(token);
        if (!shown)
                return -ENOMEM;
        if (!url_is_https(token))
                return error_set(error, -EINVAL,
                                 "the URL with the one-time token is not one that may be called");
        (void)token_in_url(token, &size);
        if (size == 0)
                return error_set(error, -EINVAL, "%s has no one-time token: it must end in ?token=...",
                                 shown);
        switch (token_split(token, &url, &value)) {
        case -ENOMEM:
                return -ENOMEM;
        case -EINVAL:
                return error_set(error, -EINVAL, "the one-time token in %s is damaged", shown);
        default:
                break;
        }
        if (enrol_url && !url_same_server(token, enrol_url))
                return error_set(
                        error, -EINVAL,
                        "the one-time token is not sent to %s, since `enrol_url` names another server, %s",
                        shown, enrol_url);
        return 0;
}

/* --- Texts --- */

void token_text_clear(struct token_text *text) {
        free_secret(text->token);
        free_secret(text->url);
        *text = (struct token_text) { 0 };
}

static int read_text(const char *text, size_t size, const char *url_member, struct token_text *ret,
                     struct error *error);

static int read_object(const json_t *object, const char *url_member, struct token_text *ret,
                       struct error *error) {
        const json_t *token = json_object_get(object, "token"), *url = json_object_get(object, url_member);
        const json_t *whole = json_object_get(object, "url"); /* as the older service has it */
        size_t n = 0;

        if (!url && json_is_string(whole) && token_in_url(json_string_value(whole), &n) && n > 0)
                url = whole;
        if (ret->token)
                return error_set(error, -EINVAL, "it is JSON with more than one `token`");
        ret->token = strdup(json_string_value(token));
        ret->url = json_is_string(url) && *json_string_value(url) ? strdup(json_string_value(url)) : NULL;
        return ret->token && (ret->url || !json_is_string(url) || !*json_string_value(url)) ? 0 : -ENOMEM;
}

/* Members of the Director's answer that have the whole of it once more. */
static const char *const wrapped[] = { "rawEncoded", "raw" };

static int read_wrapped(const char *text, const char *url_member, struct token_text *ret,
                        struct error *error) {
        struct token_text inner;
        int r;

        if (ret->token)
                return error_set(error, -EINVAL, "it is JSON with more than one `token`");
        r = read_text(text, strlen(text), url_member, &inner, error);
        if (r == 0 && !inner.token)
                r = error_set(error, -EINVAL, "its `rawEncoded` or `raw` has no `token`");
        if (r == 0)
                *ret = inner;
        return r;
}

/* Objects are looked into, nothing else is: a list may have more than one. */
static int find_object(json_t *object, const char *url_member, unsigned depth, struct token_text *ret,
                       struct error *error) {
        const char *key;
        json_t *value;
        int r = 0;

        if (json_is_string(json_object_get(object, "token")))
                return read_object(object, url_member, ret, error);
        for (size_t i = 0; i < ELEMENTSOF(wrapped); i++) {
                const char *text = json_string_value(json_object_get(object, wrapped[i]));

                if (text && depth < DEPTH_MAX)
                        return read_wrapped(text, url_member, ret, error);
        }
        json_object_foreach(object, key, value) {
                if (r == 0 && json_is_object(value) && depth < DEPTH_MAX)
                        r = find_object(value, url_member, depth + 1, ret, error);
        }
        return r;
}

/* ROOT is taken over. */
static int read_root(json_t *root, const char *url_member, struct token_text *ret, struct error *error) {
        int r = find_object(root, url_member, 0, ret, error);

        json_decref(root);
        if (r == 0 && !ret->token)
                r = error_set(error, -EINVAL, "it is JSON without a `token`");
        return r;
}

static int read_json(const char *text, size_t size, const char *url_member, struct token_text *ret,
                     struct error *error) {
        json_t *root;
        int r;

        r = json_read(text, size, TEXT_MAX, &root, error);
        if (r < 0)
                return r == -ENOMEM ? r : error_prefix(error, "it begins like JSON, but cannot be read");
        return read_root(root, url_member, ret, error);
}

/* The base64 of a JSON object, on one line or several. 0: it was none. */
static int read_base64(const char *text, size_t size, const char *url_member, struct token_text *ret,
                       struct error *error) {
        char *data = NULL;
        size_t data_size = 0;
        json_t *root;
        int r;

        r = base64_decode_lines(text, size, &data, &data_size);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        r = json_read(data, data_size, TEXT_MAX, &root, NULL);
        explicit_bzero(data, data_size);
        free(data);
        return r < 0 ? r == -ENOMEM ? r : 0 : read_root(root, url_member, ret, error);
}

/* What jq prints of a string that is JSON: `{\"token\": ...`. Owned; cleansed by the caller. */
static char *without_escapes(const char *text, size_t size) {
        char *plain = malloc(size + 1), *to = plain;

        for (size_t i = 0; plain && i < size; i++) {
                if (text[i] == '\\' && i + 1 < size)
                        i++;
                *to++ = text[i];
        }
        if (plain)
                *to = '\0';
        return plain;
}

static int read_escaped(const char *text, size_t size, const char *url_member, struct token_text *ret,
                        struct error *error) {
        _cleanup_(free_secretp) char *plain = without_escapes(text, size);

        return plain ? read_json(plain, strlen(plain), url_member, ret, error) : -ENOMEM;
}

/* JSON or its base64. *RET has no token where the text is neither. */
static int read_text(const char *text, size_t size, const char *url_member, struct token_text *ret,
                     struct error *error) {
        *ret = (struct token_text) { 0 };
        if (size > 1 && text[0] == '{' && text[1] == '\\')
                return read_escaped(text, size, url_member, ret, error);
        if (size > 0 && text[0] == '{')
                return read_json(text, size, url_member, ret, error);
        if (size > 0 && text[0] == 'e') /* the first letter of the base64 of `{` */
                return read_base64(text, size, url_member, ret, error);
        return 0;
}

/* --- What is none --- */

static bool holds(const char *text, size_t size, const char *wanted) {
        return memmem(text, size, wanted, strlen(wanted));
}

static bool begins(const char *text, size_t size, const char *wanted) {
        return size >= strlen(wanted) && memcmp(text, wanted, strlen(wanted)) == 0;
}

/* Keys and certificates have their names, since nobody should look for a fault in the token. */
static const char *find_stranger(const char *text, size_t size) {
        if (holds(text, size, "PRIVATE KEY"))
                return "it is a private key, which is sent nowhere";
        if (holds(text, size, "-----BEGIN "))
                return "it is PEM, such as a certificate";
        if (begins(text, size, "LS0tLS1CRUdJTi")) /* "-----BEGIN" */
                return "it is base64 of PEM, such as a key or a certificate";
        if (size > DER_SIZE_MIN && begins(text, size, "MII"))
                return "it is base64 of a key or a certificate";
        if (begins(text, size, "<"))
                return "it is an HTML page";
        return NULL;
}

static int refuse(const char *text, size_t size, struct error *error) {
        const char *stranger = find_stranger(text, size);

        if (stranger)
                return error_set(error, -EINVAL, "%s", stranger);
        if (memchr(text, '\0', size))
                return error_set(error, -EINVAL, "it is binary");
        if (memchr(text, '\n', size))
                return error_set(error, -EINVAL, "it has several lines, and is no JSON with a `token`");
        return error_set(error, -EINVAL, "it is not one line of printable ASCII without blanks");
}

/* Blanks, a byte order mark and quotes around it are no part of a token. */
static void trim(const char **text, size_t *size) {
        const size_t mark = utf8_mark_size(*text, *size);

        *text += mark;
        *size -= mark;
        for (;;) {
                for (; *size > 0 && isspace((unsigned char)**text); (*size)--)
                        (*text)++;
                while (*size > 0 && isspace((unsigned char)(*text)[*size - 1]))
                        (*size)--;
                if (*size < 2 || !strchr("\"'", **text) || (*text)[*size - 1] != **text)
                        return;
                (*text)++;
                *size -= 2;
        }
}

static int read_trimmed(const char *data, size_t size, const char *url_member, struct token_text *ret,
                        struct error *error) {
        int r;

        trim(&data, &size);
        if (size == 0)
                return -ENODATA;
        r = read_text(data, size, url_member, ret, error);
        if (r < 0)
                return r;
        if (!ret->token) {
                if (find_stranger(data, size) || !is_word(data, size))
                        return refuse(data, size, error);
                ret->token = strndup(data, size);
                return ret->token ? 0 : -ENOMEM;
        }
        return is_word(ret->token, strlen(ret->token))
                       ? 0
                       : error_set(error, -EINVAL,
                                   "its `token` is not one line of printable ASCII without blanks");
}

int token_text_read(const char *data, size_t size, const char *url_member, struct token_text *ret,
                    struct error *error) {
        _cleanup_(free_secretp) char *plain = NULL;
        struct token_text text = { 0 };
        int r;

        r = utf16_to_ascii(data, size, &plain, &size); /* as a shell on Windows writes it */
        if (r == -ENOMEM)
                return r;
        r = read_trimmed(plain ? plain : data, size, url_member, &text, error);
        if (r < 0) {
                token_text_clear(&text);
                return r;
        }
        *ret = text;
        return 0;
}
