/*
 * What leaves an endpoint. Go's server sends short bodies with a length and long ones in chunks as its buffer
 * fills; so does this, since clients that only ever saw a length break on their first signature.
 */

#include "devconnector/reply.h"

#include <event2/buffer.h>
#include <stdio.h>

#define CHUNK 4096

static const char *phrase_of(unsigned status) {
        static const struct {
                unsigned status;
                const char *phrase;
        } phrases[] = {
                { 200, "OK" },
                { 201, "Created" },
                { 301, "Moved Permanently" },
                { 302, "Found" },
                { 400, "Bad Request" },
                { 403, "Forbidden" },
                { 404, "Not Found" },
                { 405, "Method Not Allowed" },
                { 406, "Not Acceptable" },
                { 422, "Unprocessable Entity" },
                { 429, "Too Many Requests" },
                { 500, "Internal Server Error" },
                { 502, "Bad Gateway" },
                { 503, "Service Unavailable" },
        };

        for (size_t i = 0; i < ELEMENTSOF(phrases); i++)
                if (phrases[i].status == status)
                        return phrases[i].phrase;
        return "Status";
}

static void set_header(struct evhttp_request *request, const char *name, const char *value) {
        struct evkeyvalq *headers = evhttp_request_get_output_headers(request);

        evhttp_remove_header(headers, name);
        evhttp_add_header(headers, name, value);
}

static struct evbuffer *buffer_of(const char *data, size_t size) {
        struct evbuffer *buffer = evbuffer_new();

        if (!buffer || evbuffer_add(buffer, data, size) < 0)
                abort(); /* the reply of a development tool: nothing better can be sent without memory */
        return buffer;
}

static void send_chunked(struct evhttp_request *request, unsigned status, const char *body, size_t size) {
        evhttp_send_reply_start(request, (int)status, phrase_of(status));
        for (size_t at = 0; at < size; at += CHUNK) {
                struct evbuffer *buffer = buffer_of(body + at, size - at < CHUNK ? size - at : CHUNK);

                evhttp_send_reply_chunk(request, buffer);
                evbuffer_free(buffer);
        }
        evhttp_send_reply_end(request);
}

void reply_send(struct evhttp_request *request, unsigned status, const char *content_type, const char *body,
                size_t size) {
        struct evbuffer *buffer;

        if (content_type)
                set_header(request, "Content-Type", content_type);
        if (size > REPLY_WHOLE_MAX) {
                send_chunked(request, status, body, size);
                return;
        }
        buffer = buffer_of(body, size);
        evhttp_send_reply(request, (int)status, phrase_of(status), buffer);
        evbuffer_free(buffer);
}

void reply_cut(struct evhttp_request *request, unsigned status, const char *body, size_t size, bool chunked,
               void (*sent)(struct evhttp_connection *connection, void *userdata), void *userdata) {
        struct evbuffer *buffer = buffer_of(body, size / 2);
        char length[24];

        set_header(request, "Content-Type", REPLY_JSON);
        if (!chunked) {
                snprintf(length, sizeof(length), "%zu", size);
                set_header(request, "Content-Length", length);
        }
        evhttp_send_reply_start(request, (int)status, phrase_of(status));
        evhttp_send_reply_chunk_with_cb(request, buffer, sent, userdata);
        evbuffer_free(buffer);
}
