#pragma once

/* One HTTPS request to an API server, as libcurl has it. */

#include <curl/curl.h>

#include "lib/kube/kube-answer.h"
#include "lib/kube/kube-bytes.h"
#include "lib/kube/kube-request.h"
#include "lib/kubeconfig/kube-exec.h"

struct kube_transfer {
        CURL *easy;
        struct curl_slist *headers; /* one of them may be a token */
        struct kube_bytes answer;   /* of a watch: what has come of a line */
        struct curl_slist *connect_to;
        char *url, *connect_url; /* the second is NULL without `tls-server-name` */
        char *proxy_url;         /* secret; NULL: by the environment */
        const char *server;      /* for texts; borrowed */

        /* Of a watch, each line of an answer with status 200; negative ends it. */
        int (*line)(const char *line, size_t size, void *userdata);
        void *userdata;
        bool is_too_large;
};

struct kube_transfer_options {
        const char *agent;
        const struct kube_access *access;
        const struct kube_credentials *credentials; /* of a plugin; NULL: those of ACCESS */
        const struct kube_request *request;
};

/* Makes the handle. All of OPTIONS is borrowed until kube_transfer_clear(), to be called in any case, and not
 * while it is under way. 0, -ENOMEM or -EIO. */
int kube_transfer_init(struct kube_transfer *transfer, const struct kube_transfer_options *options);
void kube_transfer_clear(struct kube_transfer *transfer);

/*
 * What came of it, when it has ended with CODE and curl's TEXT: as kube_answer_read(), and for what is no
 * answer KUBE_UNREACHED, KUBE_BAD_REPLY, or KUBE_UNCERTAIN for a change that may have been sent.
 */
int kube_transfer_read(const struct kube_transfer *transfer, const struct kube_request *request,
                       CURLcode code, const char *text, json_t **ret, usec_t *ret_retry_usec,
                       struct error *error);
