#pragma once

/* The head of an HTTP request, read strictly. */

#include "lib/util/macro.h"

#define HTTP_HEADERS_MAX    64
#define HTTP_COOKIES_MAX    64
#define HTTP_PARAMETERS_MAX 32

struct http_parameter {
        const char *name, *value;
};

struct http_head {
        char *text;         /* what the others point into */
        const char *method; /* "GET" */
        const char *path;   /* decoded, UTF-8; without control characters; begins with "/" */
        size_t n_query;
        struct http_parameter query[HTTP_PARAMETERS_MAX]; /* decoded in the same way */
        uint64_t body_size;
};

/* How long the head at the beginning of DATA is, with the empty line; 0: its end is not there yet. */
size_t http_head_size(const char *data, size_t size);

/* Reads the SIZE bytes of a whole head. 0; the status by which the request is to be refused, with the reason
 * in *RET_REASON, a constant; or -ENOMEM. */
int http_head_parse(const char *data, size_t size, struct http_head *ret, const char **ret_reason);

void http_head_clear(struct http_head *head);
