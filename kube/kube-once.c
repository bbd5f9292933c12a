/*
 * libcurl's multi interface again, but waited for: the client is the same for a program with a loop and for
 * one without, and a watch or a plugin needs no threads here.
 */

#include "kube/kube-once.h"

#include <stdio.h>

#include "kube/kube-process.h"

#define BUSY_USEC     (500 * USEC_PER_MSEC) /* before the first repetition, where the server names no time */
#define BUSY_MAX_USEC (10 * USEC_PER_SEC)
#define POLL_MAX_MSEC 1000
#define PROCESSES_MAX 8u

struct kube_once {
        struct kube_host host;
        CURLM *multi;
        struct kube_process *processes;
};

/* A transfer under way: CURLOPT_PRIVATE. */
struct pending {
        kube_transfer_done_t done;
        void *userdata;
        char error[CURL_ERROR_SIZE];
};

static struct kube_once *once_of(struct kube_host *host) {
        return container_of(host, struct kube_once, host);
}

/* --- Transfers */

static struct pending *pending_of(CURL *easy) {
        char *pending = NULL;

        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &pending);
        return (struct pending *)(void *)pending;
}

static void forget(CURL *easy) {
        free(pending_of(easy));
        curl_easy_setopt(easy, CURLOPT_PRIVATE, NULL);
        curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);
}

static CURLcode set_target(CURL *easy, const struct kube_target *target, struct pending *pending) {
        CURLcode code = CURLE_OK;

#define SET(option, value)    \
        if (code == CURLE_OK) \
        code = curl_easy_setopt(easy, option, value)

        SET(CURLOPT_URL, target->url);
        SET(CURLOPT_TIMEOUT_MS, (long)((target->timeout_usec + USEC_PER_MSEC - 1) / USEC_PER_MSEC));
        SET(CURLOPT_ERRORBUFFER, pending->error);
        SET(CURLOPT_PRIVATE, pending);
        if (target->proxy_url) {
                SET(CURLOPT_PROXY, target->proxy_url);
                SET(CURLOPT_NOPROXY, ""); /* what the file names goes before the environment */
        }
#undef SET
        return code;
}

static int start_transfer(struct kube_host *host, CURL *easy, const struct kube_target *target,
                          kube_transfer_done_t done, void *userdata) {
        struct pending *pending = calloc(1, sizeof(*pending));

        if (!pending)
                return -ENOMEM;
        pending->done = done;
        pending->userdata = userdata;
        if (set_target(easy, target, pending) != CURLE_OK ||
            curl_multi_add_handle(once_of(host)->multi, easy) != CURLM_OK) {
                curl_easy_setopt(easy, CURLOPT_PRIVATE, NULL);
                curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);
                free(pending);
                return -ENOMEM;
        }
        return 0;
}

static void cancel_transfer(struct kube_host *host, CURL *easy) {
        if (!pending_of(easy))
                return;
        curl_multi_remove_handle(once_of(host)->multi, easy);
        forget(easy);
}

/* The callback may free the handle, and start another. */
static void end_transfer(struct kube_once *once, CURL *easy, CURLcode result) {
        const struct pending pending = *pending_of(easy);

        curl_multi_remove_handle(once->multi, easy);
        forget(easy);
        pending.done(easy, result, pending.error[0] ? pending.error : curl_easy_strerror(result),
                     pending.userdata);
}

static void end_transfers(struct kube_once *once) {
        CURLMsg *message;
        int left;

        while ((message = curl_multi_info_read(once->multi, &left)))
                if (message->msg == CURLMSG_DONE)
                        end_transfer(once, message->easy_handle, message->data.result);
}

/* --- Processes */

static int start_process(struct kube_host *host, const struct kube_program *program,
                         struct kube_process **ret) {
        struct kube_once *once = once_of(host);
        int r;

        r = kube_process_new(program, ret);
        if (r < 0)
                return r;
        (*ret)->owner = &once->processes;
        (*ret)->next = once->processes;
        once->processes = *ret;
        return 0;
}

static void stop_process(struct kube_process *process) {
        struct kube_process **slot = process->owner;

        while (*slot != process)
                slot = &(*slot)->next;
        *slot = process->next;
        kube_process_free(process);
}

static void step_processes(struct kube_once *once) {
        for (struct kube_process *process = once->processes, *next; process; process = next) {
                next = process->next;
                if (!process->is_done)
                        kube_process_step(process);
        }
}

/* --- The loop */

static const struct kube_host_ops ops = {
        .transfer = start_transfer,
        .cancel = cancel_transfer,
        .start = start_process,
        .stop = stop_process,
};

int kube_once_new(struct kube_once **ret) {
        struct kube_once *once = calloc(1, sizeof(*once));

        if (!once)
                return -ENOMEM;
        once->host.ops = &ops;
        once->multi = curl_multi_init();
        if (!once->multi) {
                free(once);
                return -ENOMEM;
        }
        *ret = once;
        return 0;
}

struct kube_once *kube_once_free(struct kube_once *once) {
        if (!once)
                return NULL;
        curl_multi_cleanup(once->multi);
        free(once);
        return NULL;
}

struct kube_host *kube_once_host(struct kube_once *once) {
        return &once->host;
}

static int wait_once(struct kube_once *once, usec_t left_usec) {
        struct curl_waitfd fds[PROCESSES_MAX];
        unsigned n = 0;

        for (struct kube_process *process = once->processes; process && n < PROCESSES_MAX;
             process = process->next)
                if (!process->is_done)
                        fds[n++] = (struct curl_waitfd) { .fd = process->fd, .events = CURL_WAIT_POLLIN };
        return curl_multi_poll(once->multi, fds, n,
                               left_usec / USEC_PER_MSEC < POLL_MAX_MSEC
                                       ? (int)(left_usec / USEC_PER_MSEC) + 1
                                       : POLL_MAX_MSEC,
                               NULL) == CURLM_OK
                       ? 0
                       : -EIO;
}

int kube_once_wait(struct kube_once *once, const bool *done, usec_t deadline_usec) {
        int running;

        for (;;) {
                usec_t now;

                if (curl_multi_perform(once->multi, &running) != CURLM_OK)
                        return -EIO;
                end_transfers(once);
                step_processes(once);
                if (*done)
                        return 0;
                now = now_usec(CLOCK_BOOTTIME);
                if (now >= deadline_usec)
                        return -ETIMEDOUT;
                if (wait_once(once, deadline_usec - now) < 0)
                        return -EIO;
        }
}

/* --- Asking */

struct answer {
        bool done;
        int outcome;
        json_t *object;
        usec_t retry_usec;
        struct error *error;
};

static void on_done(const struct kube_result *result, void *userdata) {
        struct answer *answer = userdata;

        answer->done = true;
        answer->outcome = (int)result->outcome;
        answer->object = json_incref(result->object);
        answer->retry_usec = result->retry_after_usec;
        if (result->error)
                (void)error_set(answer->error, -EIO, "%s", result->error);
}

static int ask_once(struct kube_once *once, struct kube_client *client, const struct kube_ask *ask,
                    usec_t deadline_usec, struct answer *answer) {
        const struct kube_callbacks callbacks = { .done = on_done, .userdata = answer };
        _cleanup_(kube_call_freep) struct kube_call *call = NULL;
        const usec_t now = now_usec(CLOCK_BOOTTIME);
        int r;

        r = kube_call_new(client, ask, deadline_usec > now ? deadline_usec - now : 1, &callbacks, &call,
                          answer->error);
        if (r == 0)
                r = kube_once_wait(once, &answer->done, usec_add(deadline_usec, KUBE_PROGRAM_USEC));
        return r < 0 ? r : answer->outcome;
}

int kube_once_ask(struct kube_once *once, struct kube_client *client, const struct kube_ask *ask,
                  usec_t timeout_usec, json_t **ret, struct error *error) {
        const usec_t deadline =
                usec_add(now_usec(CLOCK_BOOTTIME), timeout_usec ? timeout_usec : KUBE_TIMEOUT_USEC);
        const bool never = false;
        usec_t wait = BUSY_USEC;
        int r;

        for (;;) {
                struct answer answer = { .error = error };
                usec_t until;

                if (error)
                        error_clear(error);
                r = ask_once(once, client, ask, deadline, &answer);
                if (r == KUBE_DONE && ret)
                        *ret = take_ptr(answer.object);
                json_decref(answer.object);
                until = usec_add(now_usec(CLOCK_BOOTTIME), answer.retry_usec ? answer.retry_usec : wait);
                if (r != KUBE_BUSY || until >= deadline)
                        return r;
                (void)kube_once_wait(once, &never, until);
                wait = 2 * wait < BUSY_MAX_USEC ? 2 * wait : BUSY_MAX_USEC;
        }
}
