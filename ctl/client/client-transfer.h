#pragma once

/* One transfer of a client, for client-stream.c, which has an answer without an end. */

#include <curl/curl.h>

#include "ctl/client/client.h"

/* Where rekeyd listens, for error texts; NULL: nowhere. */
const char *client_socket(const struct client *client);

/* Warns an operator at a terminal when no answer comes; once. Whether that was done. */
bool client_complain(struct client *client);
#define CLIENT_PATIENCE_USEC (3 * USEC_PER_SEC)
#define CLIENT_ANSWER_SEC    30L

/* What has arrived, with a NUL after it. */
struct buffer {
        char *data;
        size_t size, room, max;
};
void buffer_clear(struct buffer *buffer);
size_t buffer_append(char *data, size_t size, size_t n, void *userdata); /* for CURLOPT_WRITEFUNCTION */

DEFINE_CLEANUP(CURL *, curl_easy_cleanup);
DEFINE_CLEANUP(struct curl_slist *, curl_slist_free_all);

/* A handle for a GET of PATH whose answer goes to BUFFER. 0; -ENOENT without a socket; -ENOMEM. */
int client_prepare(struct client *client, const char *path, struct buffer *buffer, CURL **ret,
                   struct error *error);

/* The sentence and the errno for a transfer that failed. */
int client_explain(const struct client *client, CURL *easy, CURLcode code, struct error *error);

/* The reply of a transfer that has ended, whose body is BODY. */
int client_read_reply(const struct client *client, CURL *easy, const struct buffer *body,
                      struct client_reply *ret, struct error *error);
