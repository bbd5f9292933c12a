/*
 * Requests to rekeyd, by libcurl. The host in the URL means nothing, the socket is everything: so an error
 * has the socket's path and the fix.
 *
 * A body may carry a one-time token: our copy of it is cleansed.
 */

#include "ctl/client/client.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/client/client-transfer.h"
#include "lib/util/json.h"

#define CONNECT_SEC 5L

struct client {
        char *socket;      /* NULL: there is none */
        usec_t asked_usec; /* CLOCK_MONOTONIC */
        bool has_complained;
};

int client_new(const char *socket, struct client **ret) {
        _cleanup_(client_freep) struct client *client = NULL;

        client = calloc(1, sizeof(*client));
        if (!client)
                return -ENOMEM;
        client->socket = socket ? strdup(socket) : NULL;
        if (socket && !client->socket)
                return -ENOMEM;
        *ret = take_ptr(client);
        return 0;
}

struct client *client_free(struct client *client) {
        if (client)
                free(client->socket);
        free(client);
        return NULL;
}

const char *client_socket(const struct client *client) {
        return client->socket;
}

void client_reply_clear(struct client_reply *reply) {
        json_decref(reply->json);
        *reply = (struct client_reply) { 0 };
}

void buffer_clear(struct buffer *buffer) {
        free(buffer->data);
        *buffer = (struct buffer) { .max = buffer->max };
}

size_t buffer_append(char *data, size_t size, size_t n, void *userdata) {
        struct buffer *buffer = userdata;
        const size_t bytes = size * n;

        if (bytes > buffer->max - buffer->size)
                return 0; /* curl fails with CURLE_WRITE_ERROR */
        if (bytes >= buffer->room - buffer->size) {
                size_t room = 2 * (buffer->size + bytes) + 1;
                char *grown = realloc(buffer->data, room);

                if (!grown)
                        return 0;
                buffer->data = grown;
                buffer->room = room;
        }
        memcpy(buffer->data + buffer->size, data, bytes);
        buffer->size += bytes;
        buffer->data[buffer->size] = '\0';
        return bytes;
}

bool client_complain(struct client *client) {
        if (client->has_complained || now_usec(CLOCK_MONOTONIC) < client->asked_usec + CLIENT_PATIENCE_USEC)
                return client->has_complained;
        client->has_complained = true;
        if (isatty(STDERR_FILENO))
                fprintf(stderr, "rekeyctl: rekeyd at %s has not answered yet; waiting up to %ld seconds\n",
                        client->socket, CLIENT_ANSWER_SEC);
        return true;
}

/* libcurl calls it about once a second, whether anything has moved or not. */
static int on_progress(void *userdata, _unused_ curl_off_t size, curl_off_t received,
                       _unused_ curl_off_t to_send, _unused_ curl_off_t sent) {
        if (received == 0)
                (void)client_complain(userdata);
        return 0;
}

#define SET(option, value) (code == CURLE_OK ? curl_easy_setopt(easy, option, value) : code)

int client_prepare(struct client *client, const char *path, struct buffer *buffer, CURL **ret,
                   struct error *error) {
        _cleanup_(freep) char *url = NULL;
        CURL *easy = NULL;
        CURLcode code;

        if (!client->socket)
                return error_set(error, -ENOENT, "cannot reach rekeyd: it has no socket");
        client->asked_usec = now_usec(CLOCK_MONOTONIC);
        easy = curl_easy_init();
        code = easy ? CURLE_OK : CURLE_OUT_OF_MEMORY;
        if (asprintf(&url, "http://rekeyd%s", path) < 0) {
                url = NULL;
                code = CURLE_OUT_OF_MEMORY;
        }
        code = SET(CURLOPT_URL, url);
        code = SET(CURLOPT_UNIX_SOCKET_PATH, client->socket);
        code = SET(CURLOPT_PROTOCOLS_STR, "http");
        code = SET(CURLOPT_PROXY, "");
        code = SET(CURLOPT_USERAGENT, "rekeyctl/" REKEYD_VERSION);
        code = SET(CURLOPT_NOSIGNAL, 1L);
        code = SET(CURLOPT_CONNECTTIMEOUT, CONNECT_SEC);
        code = SET(CURLOPT_WRITEFUNCTION, buffer_append);
        code = SET(CURLOPT_WRITEDATA, buffer);
        if (code != CURLE_OK) {
                curl_easy_cleanup(easy);
                return error_set(error, -ENOMEM, "out of memory");
        }
        *ret = easy;
        return 0;
}

/* curl says no more than that it could not connect; the errno is what the operator can act on. */
static int explain_connect(const struct client *client, CURL *easy, struct error *error) {
        static const struct {
                int code;
                const char *reason;
        } rows[] = {
                { ENOENT, "no such socket; is the service running? systemctl status rekeyd" },
                { ECONNREFUSED, "no process listens there; is the service running? systemctl status rekeyd" },
                { EACCES,
                  "no permission to use the socket; become root or a member of the group of control.group" },
                { ENAMETOOLONG, "the path of the socket is too long" },
                { EAGAIN, "too many connect at the same time; try again" },
        };
        long code = 0;

        (void)curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &code);
        if (code == 0) /* see perform() */
                code = EAGAIN;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (rows[i].code == code)
                        return error_set(error, -rows[i].code, "cannot reach rekeyd at %s: %s",
                                         client->socket, rows[i].reason);
        return error_set_errno(error, code > 0 ? -(int)code : -EIO, "cannot reach rekeyd at %s",
                               client->socket);
}

int client_explain(const struct client *client, CURL *easy, CURLcode code, struct error *error) {
        switch (code) {
        case CURLE_COULDNT_CONNECT:
                return explain_connect(client, easy, error);
        case CURLE_OPERATION_TIMEDOUT:
                return error_set(error, -ETIMEDOUT,
                                 "rekeyd at %s does not answer: busy or stuck; see: journalctl -u rekeyd",
                                 client->socket);
        case CURLE_OUT_OF_MEMORY:
                return error_set(error, -ENOMEM, "out of memory");
        case CURLE_WRITE_ERROR:
                return error_set(error, -EPROTO, "the answer from %s is larger than any answer of rekeyd",
                                 client->socket);
        case CURLE_GOT_NOTHING:
        case CURLE_PARTIAL_FILE:
        case CURLE_RECV_ERROR:
        case CURLE_SEND_ERROR:
                return error_set(error, -EIO,
                                 "rekeyd at %s closed the connection before the end of its answer; was it "
                                 "stopped? systemctl status rekeyd",
                                 client->socket);
        default:
                return error_set(error, -EPROTO, "the server at %s is not rekeyd: %s", client->socket,
                                 curl_easy_strerror(code));
        }
}

int client_read_reply(const struct client *client, CURL *easy, const struct buffer *body,
                      struct client_reply *ret, struct error *error) {
        _cleanup_(client_reply_clear) struct client_reply reply = { 0 };
        _cleanup_(error_clear) struct error cause = ERROR_INIT;
        const char *sentence;
        curl_off_t retry_after = 0;
        long status = 0;
        int r;

        (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        (void)curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after);
        reply.status = (unsigned)status;
        reply.retry_after_usec = (usec_t)retry_after * USEC_PER_SEC;

        r = json_read(body->data ? body->data : "", body->size, CLIENT_REPLY_MAX, &reply.json, &cause);
        if (r == -ENOMEM)
                return error_set(error, r, "out of memory");
        if (reply.status / 100 == 2) {
                if (r < 0)
                        return error_set(error, -EPROTO, "the server at %s is not rekeyd: %s", client->socket,
                                         error_text(&cause));
        } else {
                sentence = json_string_value(json_object_get(reply.json, "error"));
                if (sentence)
                        error_set(error, -EIO, "%s", sentence);
                else
                        error_set(error, -EIO, "rekeyd at %s answered with status %u and no reason",
                                  client->socket, reply.status);
        }
        *ret = reply;
        reply = (struct client_reply) { 0 };
        return 0;
}

/* Others connect faster than rekeyd accepts, and curl does not wait for its turn. This does, as long as
 * CONNECT_SEC. */
static bool wait_for_turn(const struct client *client) {
        const struct timeval patience = { .tv_sec = CONNECT_SEC };
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool connected;

        if (fd < 0)
                return false;
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", client->socket);
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
        connected = connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
        close(fd);
        return connected;
}

static CURLcode perform(const struct client *client, CURL *easy) {
        const usec_t deadline = usec_add(now_usec(CLOCK_MONOTONIC), CONNECT_SEC * USEC_PER_SEC);
        CURLcode code;
        long reason;

        do {
                code = curl_easy_perform(easy);
                reason = -1;
                if (code == CURLE_COULDNT_CONNECT)
                        (void)curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &reason);
                /* curl takes EAGAIN for a connection that is being made, and then has no errno at all. */
        } while ((reason == 0 || reason == EAGAIN) && now_usec(CLOCK_MONOTONIC) < deadline &&
                 wait_for_turn(client));
        return code;
}

int client_call(struct client *client, const char *method, const char *path, const json_t *body,
                struct client_reply *ret, struct error *error) {
        _cleanup_(buffer_clear) struct buffer answer = { .max = CLIENT_REPLY_MAX };
        _cleanup_(free_secretp) char *text = NULL;
        _cleanup_(curl_easy_cleanupp) CURL *easy = NULL;
        _cleanup_(curl_slist_free_allp) struct curl_slist *headers = NULL;
        CURLcode code = CURLE_OK;
        int r;

        r = client_prepare(client, path, &answer, &easy, error);
        if (r < 0)
                return r;
        code = SET(CURLOPT_TIMEOUT, CLIENT_ANSWER_SEC);
        code = SET(CURLOPT_NOPROGRESS, 0L);
        code = SET(CURLOPT_XFERINFOFUNCTION, on_progress);
        code = SET(CURLOPT_XFERINFODATA, client);
        if (!streq(method, "GET")) {
                text = body ? json_format(body, JSON_COMPACT) : strdup("");
                headers = curl_slist_append(NULL, "Content-Type: application/json");
                if (!text || !headers)
                        return error_set(error, -ENOMEM, "out of memory");
                code = SET(CURLOPT_POSTFIELDS, text); /* not copied */
                code = SET(CURLOPT_POSTFIELDSIZE, (long)strlen(text));
                code = SET(CURLOPT_HTTPHEADER, headers);
                code = SET(CURLOPT_CUSTOMREQUEST, method);
        }
        if (code != CURLE_OK)
                return error_set(error, -ENOMEM, "out of memory");

        code = perform(client, easy);
        if (code != CURLE_OK)
                return client_explain(client, easy, code, error);
        return client_read_reply(client, easy, &answer, ret, error);
}
