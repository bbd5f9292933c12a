/*
 * The stream of events: an answer without an end, read line by line. It is pulled, not pushed, so that a
 * command can first open the stream, then send a request, and then wait for its outcome, redrawing its table
 * meanwhile.
 */

#include <limits.h>

#include "ctl/client/client-transfer.h"
#include "lib/util/json.h"

struct client_stream {
        struct client *client; /* borrowed */
        CURLM *multi;
        CURL *easy;
        struct buffer buffer; /* what has arrived and was not handed out */
        bool has_ended;
        CURLcode code; /* of the end */
};

struct client_stream *client_stream_close(struct client_stream *stream) {
        if (!stream)
                return NULL;
        if (stream->multi && stream->easy)
                curl_multi_remove_handle(stream->multi, stream->easy);
        curl_easy_cleanup(stream->easy);
        curl_multi_cleanup(stream->multi);
        buffer_clear(&stream->buffer);
        free(stream);
        return NULL;
}

/* Moves what can be moved without waiting. 0 or -EIO. */
static int move(struct client_stream *stream) {
        CURLMsg *message;
        int running, left;

        if (stream->has_ended)
                return 0;
        if (curl_multi_perform(stream->multi, &running) != CURLM_OK)
                return -EIO;
        while ((message = curl_multi_info_read(stream->multi, &left)))
                if (message->msg == CURLMSG_DONE) {
                        stream->has_ended = true;
                        stream->code = message->data.result;
                }
        return 0;
}

/* Waits until something has arrived. False when nothing has: time is up, or there was a signal. */
static bool wait_for(struct client_stream *stream, usec_t timeout_usec) {
        usec_t msec = timeout_usec / USEC_PER_MSEC + (timeout_usec % USEC_PER_MSEC > 0);
        int n = 0;

        (void)curl_multi_poll(stream->multi, NULL, 0, msec > INT_MAX ? INT_MAX : (int)msec, &n);
        return n > 0;
}

static long status_of(const struct client_stream *stream) {
        long status = 0;

        (void)curl_easy_getinfo(stream->easy, CURLINFO_RESPONSE_CODE, &status);
        return status;
}

int client_stream_open(struct client *client, const char *path, struct client_stream **ret,
                       struct client_reply *ret_reply, struct error *error) {
        _cleanup_(client_stream_closep) struct client_stream *stream = NULL;
        const usec_t deadline = now_usec(CLOCK_MONOTONIC) + CLIENT_ANSWER_SEC * USEC_PER_SEC;
        int r;

        stream = calloc(1, sizeof(*stream));
        if (!stream)
                return error_set(error, -ENOMEM, "out of memory");
        stream->client = client;
        stream->buffer.max = CLIENT_REPLY_MAX;
        stream->multi = curl_multi_init();
        r = client_prepare(client, path, &stream->buffer, &stream->easy, error);
        if (r < 0)
                return r;
        if (!stream->multi || curl_multi_add_handle(stream->multi, stream->easy) != CURLM_OK)
                return error_set(error, -ENOMEM, "out of memory");

        /* The first line comes at once. The status is known before the head has ended, but an answer that is
         * no stream has to be read to its end. */
        for (;;) {
                const usec_t now = now_usec(CLOCK_MONOTONIC);

                r = move(stream);
                if (r < 0)
                        return error_set(error, r, "cannot read the events of rekeyd at %s",
                                         client_socket(client));
                if (stream->has_ended || (status_of(stream) == 200 && stream->buffer.size > 0))
                        break;
                if (now >= deadline)
                        return client_explain(client, stream->easy, CURLE_OPERATION_TIMEDOUT, error);
                (void)wait_for(stream, client_complain(client) ? deadline - now : CLIENT_PATIENCE_USEC);
        }
        if (stream->has_ended && stream->code != CURLE_OK && status_of(stream) == 0)
                return client_explain(client, stream->easy, stream->code, error);

        if (status_of(stream) != 200) {
                _cleanup_(client_reply_clear) struct client_reply reply = { 0 };

                r = client_read_reply(client, stream->easy, &stream->buffer, &reply, error);
                if (r < 0)
                        return r;
                if (!ret_reply)
                        return -EPROTO;
                *ret_reply = reply;
                reply = (struct client_reply) { 0 };
                return 0;
        }
        if (ret_reply)
                *ret_reply = (struct client_reply) { .status = 200 };
        *ret = take_ptr(stream);
        return 0;
}

/* Takes the first line that is whole. 1, 0 for none, or -errno. */
static int take_line(struct client_stream *stream, json_t **ret, struct error *error) {
        struct buffer *buffer = &stream->buffer;

        while (buffer->size > 0) {
                _cleanup_(error_clear) struct error cause = ERROR_INIT;
                char *end = memchr(buffer->data, '\n', buffer->size);
                size_t size;
                int r = 0;

                if (!end && buffer->size <= CLIENT_LINE_MAX)
                        return 0;
                size = end ? (size_t)(end - buffer->data) : buffer->size;
                if (size > 0)
                        r = json_read(buffer->data, size, CLIENT_LINE_MAX, ret, &cause);
                if (r < 0)
                        return error_set(error, r == -ENOMEM ? r : -EPROTO,
                                         "cannot parse an event of rekeyd at %s: %s",
                                         client_socket(stream->client), error_text(&cause));
                size++; /* the newline */
                memmove(buffer->data, buffer->data + size, buffer->size - size);
                buffer->size -= size;
                if (size > 1)
                        return 1;
        }
        return 0;
}

int client_stream_next(struct client_stream *stream, usec_t timeout_usec, json_t **ret, struct error *error) {
        const usec_t deadline = usec_add(now_usec(CLOCK_MONOTONIC), timeout_usec);
        bool has_arrived = true;
        int r;

        for (;;) {
                r = take_line(stream, ret, error);
                if (r != 0)
                        return r;
                if (stream->has_ended)
                        return stream->code == CURLE_OK
                                       ? -ENODATA
                                       : client_explain(stream->client, stream->easy, stream->code, error);
                if (!has_arrived)
                        return 0;
                has_arrived = wait_for(stream, usec_sub(deadline, now_usec(CLOCK_MONOTONIC)));
                r = move(stream);
                if (r < 0)
                        return error_set(error, r, "cannot read the events of rekeyd at %s",
                                         client_socket(stream->client));
        }
}
