#pragma once

/* What the client of an API server needs of the program that it is in: transfers and processes. */

#include <curl/curl.h>

#include "lib/util/error.h"
#include "lib/util/time.h"

/* EASY is the caller's again. TEXT says more of a failure. */
typedef void (*kube_transfer_done_t)(CURL *easy, CURLcode result, const char *text, void *userdata);

/* Where a transfer goes. Borrowed until the operation has returned. */
struct kube_target {
        const char *url;
        const char *connect_url; /* whose host is called: CURLOPT_CONNECT_TO names it; NULL: that of URL */
        const char *proxy_url;   /* as libcurl has it, with a port; it may have a password. NULL: by the
                                    environment */
        usec_t timeout_usec;
};

/* All is borrowed until the end of it. */
struct kube_program {
        char *const *command;     /* NULL-terminated; [0] without a slash is looked for in PATH */
        char *const *environment; /* NULL-terminated */

        /* What it has written to its standard output. Called once, with 0; or -errno and a sentence, where it
         * could not be started, failed, took longer than a minute or wrote more than KUBE_EXEC_OUTPUT_MAX. */
        void (*done)(int r, const char *output, size_t size, const char *error, void *userdata);
        void *userdata;
};
#define KUBE_PROGRAM_USEC USEC_PER_MINUTE

/* What may block: embedded in the owner's struct, who frees it in DONE. RUN may touch nothing but that. */
struct kube_work {
        void (*run)(struct kube_work *work);
        void (*done)(struct kube_work *work);
};

struct kube_host;
struct kube_process;

/* A transfer with more time than this is a stream, which is quiet for most of it: it takes no other's place.
 */
#define KUBE_STREAM_USEC (5 * USEC_PER_MINUTE)

/* All functions return 0 or -errno. No callback is called before they have returned. */
struct kube_host_ops {
        /* EASY is complete but for CURLOPT_URL, the proxy, the time-out, the error buffer and
         * CURLOPT_PRIVATE. */
        int (*transfer)(struct kube_host *host, CURL *easy, const struct kube_target *target,
                        kube_transfer_done_t done, void *userdata);
        void (*cancel)(struct kube_host *host, CURL *easy); /* nothing happens to one that is not under way */

        /* Calls RUN on another thread, then DONE from the loop. There is no way back: DONE is called even at
         * the end of the host. NULL: the program may block. */
        int (*work)(struct kube_host *host, struct kube_work *work);

        int (*start)(struct kube_host *host, const struct kube_program *program, struct kube_process **ret);
        void (*stop)(struct kube_process *process); /* frees it: also after its end */
};

/* To be embedded in the host's own struct. */
struct kube_host {
        const struct kube_host_ops *ops;
};
