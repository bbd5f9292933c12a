/*
 * Wrong answers. What a gateway says in front of the Connector was taken from real ones: their bodies,
 * content types and headers are what a client has to distinguish.
 */

#include "devconnector/spoil.h"

#include <event2/buffer.h>
#include <openssl/rand.h>
#include <stdio.h>

#include "lib/util/text-stream.h"

#define GARBAGE_BYTES 512

static const char nginx_page[] = "<html>\r\n"
                                 "<head><title>400 The SSL certificate error</title></head>\r\n"
                                 "<body>\r\n"
                                 "<center><h1>400 Bad Request</h1></center>\r\n"
                                 "<center>The SSL certificate error</center>\r\n"
                                 "<hr><center>nginx/1.22.1</center>\r\n"
                                 "</body>\r\n"
                                 "</html>\r\n";

static const char login_page[] =
        "<!DOCTYPE html>\n"
        "<html><head><title>Sign in</title></head>\n"
        "<body><form method=\"post\">Please sign in to the network.</form></body></html>\n";

static const struct {
        enum fault_kind kind;
        unsigned status;
        const char *content_type;
        const char *body;
} gateway_rows[] = {
        { FAULT_BAD_GATEWAY, 502, NULL, "" },
        { FAULT_EMPTY_400, 400, REPLY_JSON_CHARSET, "" },
        { FAULT_HYDRATOR_DOWN, 400, REPLY_JSON_CHARSET, "" },
        { FAULT_HTML_400, 400, "text/html", nginx_page },
        { FAULT_RATE_LIMIT, 429, "text/plain", "local_rate_limited" },
        { FAULT_RATE_LIMIT_RETRY_AFTER, 429, "text/plain", "local_rate_limited" },
        { FAULT_REDIRECT, 302, "text/html", "" },
};

unsigned spoil_gateway(const struct fault *fault, struct evhttp_request *request) {
        struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
        char seconds[24];

        if (fault_is(fault, FAULT_RATE_LIMIT) || fault_is(fault, FAULT_RATE_LIMIT_RETRY_AFTER))
                evhttp_add_header(headers, "x-local-rate-limit", "gateway");
        if (fault_is(fault, FAULT_RATE_LIMIT_RETRY_AFTER)) {
                snprintf(seconds, sizeof(seconds), "%" PRIu64,
                         fault_duration(fault, "retry_after") / USEC_PER_SEC);
                evhttp_add_header(headers, "Retry-After", seconds);
        }
        if (fault_is(fault, FAULT_REDIRECT))
                evhttp_add_header(headers, "Location", fault_text(fault, "location"));

        if (fault_is(fault, FAULT_STATUS)) {
                const char *body = fault_text(fault, "body");
                unsigned status = (unsigned)fault_number(fault, "status");

                reply_send(request, status, REPLY_JSON, body, strlen(body));
                return status;
        }
        if (fault_is(fault, FAULT_LOGIN_PAGE)) {
                unsigned status = (unsigned)fault_number(fault, "status");

                reply_send(request, status, "text/html", login_page, strlen(login_page));
                return status;
        }
        for (size_t i = 0; i < ELEMENTSOF(gateway_rows); i++)
                if (fault_is(fault, gateway_rows[i].kind)) {
                        reply_send(request, gateway_rows[i].status, gateway_rows[i].content_type,
                                   gateway_rows[i].body, strlen(gateway_rows[i].body));
                        return gateway_rows[i].status;
                }
        abort(); /* a row of this stage in faults.c without one here */
}

/* The object with the member NAME nearest to the root; NULL when there is none. Borrowed. */
static json_t *find_holder(json_t *value, const char *name) {
        const char *key;
        json_t *inner;

        if (json_object_get(value, name))
                return value;
        json_object_foreach(value, key, inner) {
                json_t *found = find_holder(inner, name);

                if (found)
                        return found;
        }
        return NULL;
}

/* A leaf has a name of its own in each protocol. */
static const char *field_of(const struct fault *fault, enum protocol protocol) {
        if (protocol == PROTOCOL_CONNECTOR_SERVICE && !fault_is_given(fault, "field"))
                return "clientCrt";
        return fault_text(fault, "field");
}

/* FIELD is a name, found wherever it stands, or a path below one: "token.token". */
void spoil_field(const struct fault *fault, enum protocol protocol, json_t *reply) {
        static const enum fault_kind kinds[] = {
                FAULT_EMPTY_FIELD,    FAULT_MISSING_FIELD, FAULT_NULL_FIELD,
                FAULT_GARBAGE_BASE64, FAULT_SET_FIELD,
        };
        _cleanup_(freep) char *path = NULL;
        json_t *holder = protocol == PROTOCOL_COMPASS ? json_object_get(reply, "data") : reply;
        char *rest, *name, *last = NULL;
        bool mine = false;

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                mine = mine || fault_is(fault, kinds[i]);
        path = mine ? strdup(field_of(fault, protocol)) : NULL;
        if (!path)
                return;

        for (rest = path; holder && (name = strsep(&rest, ".")); last = name)
                holder = last ? json_object_get(holder, last) : find_holder(holder, name);
        if (!last || !json_object_get(holder, last))
                return;

        if (fault_is(fault, FAULT_EMPTY_FIELD))
                json_object_set_new(holder, last, json_string(""));
        else if (fault_is(fault, FAULT_NULL_FIELD))
                json_object_set_new(holder, last, json_null());
        else if (fault_is(fault, FAULT_GARBAGE_BASE64))
                json_object_set_new(holder, last, json_string("%%% this is no base64 %%%"));
        else if (fault_is(fault, FAULT_SET_FIELD))
                json_object_set_new(holder, last, json_string(fault_text(fault, "value")));
        else
                json_object_del(holder, last);
}

static char *make_padding(size_t size, size_t *ret_size) {
        static const char head[] = "{\"data\":null,\"extensions\":{\"padding\":\"", tail[] = "\"}}";
        char *body = malloc(sizeof(head) + sizeof(tail) + size);

        if (!body)
                return NULL;
        memcpy(body, head, sizeof(head) - 1);
        memset(body + sizeof(head) - 1, 'x', size);
        memcpy(body + sizeof(head) - 1 + size, tail, sizeof(tail));
        *ret_size = sizeof(head) - 1 + size + sizeof(tail) - 1;
        return body;
}

static char *make_nesting(size_t depth, size_t *ret_size) {
        static const char head[] = "{\"data\":{\"result\":", tail[] = "}}";
        char *body = malloc(sizeof(head) + sizeof(tail) + 2 * depth);
        char *end;

        if (!body)
                return NULL;
        end = stpcpy(body, head);
        memset(end, '[', depth);
        memset(end + depth, ']', depth);
        strcpy(end + 2 * depth, tail);
        *ret_size = strlen(body);
        return body;
}

static char *make_garbage(size_t *ret_size) {
        unsigned char *body = malloc(GARBAGE_BYTES);

        if (!body || RAND_bytes(body, GARBAGE_BYTES) != 1)
                abort();
        *ret_size = GARBAGE_BYTES;
        return (char *)body;
}

char *spoil_body(const struct fault *fault, size_t *ret_size) {
        static const char not_json[] = "This is not JSON.\n";

        if (fault_is(fault, FAULT_GARBAGE))
                return make_garbage(ret_size);
        if (fault_is(fault, FAULT_OVERSIZED_BODY))
                return make_padding((size_t)fault_number(fault, "bytes"), ret_size);
        if (fault_is(fault, FAULT_DEEP_NESTING))
                return make_nesting((size_t)fault_number(fault, "depth"), ret_size);
        if (fault_is(fault, FAULT_NOT_JSON)) {
                *ret_size = strlen(not_json);
                return strdup(not_json);
        }
        return NULL;
}

/* -------- the right body, in a wrong encoding */

static void put_le32(FILE *out, uint32_t value) {
        for (unsigned i = 0; i < 4; i++)
                putc((int)(value >> 8 * i & 0xff), out);
}

static uint32_t crc32_of(const unsigned char *data, size_t size) {
        uint32_t crc = UINT32_MAX;

        for (size_t i = 0; i < size; i++) {
                crc ^= data[i];
                for (unsigned bit = 0; bit < 8; bit++)
                        crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
        }
        return ~crc;
}

/* RFC 1952, in blocks that are stored as they are. */
static void write_gzip(FILE *out, const char *body, size_t size) {
        static const unsigned char head[] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255 };
        size_t at = 0;

        fwrite(head, 1, sizeof(head), out);
        do {
                uint32_t n = (uint32_t)(size - at < UINT16_MAX ? size - at : UINT16_MAX);

                putc(at + n == size, out);
                put_le32(out, n | (~n & UINT16_MAX) << 16);
                fwrite(body + at, 1, n, out);
                at += n;
        } while (at < size);
        put_le32(out, crc32_of((const unsigned char *)body, size));
        put_le32(out, (uint32_t)size);
}

static void write_utf16(FILE *out, const char *body, size_t size) {
        fputs("\xff\xfe", out);
        for (size_t i = 0; i < size; i++) { /* what Connectors send is ASCII */
                putc(body[i], out);
                putc(0, out);
        }
}

char *spoil_encoding(const struct fault *fault, const char *body, size_t size, size_t *ret_size) {
        const char *as = fault_text(fault, "as");
        char *text = NULL;
        FILE *out = text_stream_open(&text, ret_size);

        if (!out)
                return NULL;
        if (streq(as, "gzip"))
                write_gzip(out, body, size);
        else if (streq(as, "utf-16"))
                write_utf16(out, body, size);
        else
                fprintf(out, "\xef\xbb\xbf%.*s", (int)size, body);
        return fclose(out) == 0 ? text : NULL;
}

void spoil_header(const struct fault *fault, struct evhttp_request *request) {
        struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
        _cleanup_(freep) char *value = NULL;
        size_t size;

        if (fault_is(fault, FAULT_ENCODED_BODY) && streq(fault_text(fault, "as"), "gzip"))
                evhttp_add_header(headers, "Content-Encoding", "gzip");
        if (!fault_is(fault, FAULT_LONG_HEADER))
                return;
        size = (size_t)fault_number(fault, "bytes");
        value = malloc(size + 1);
        if (!value)
                return;
        memset(value, 'x', size);
        value[size] = '\0';
        evhttp_add_header(headers, "X-Long", value);
}
