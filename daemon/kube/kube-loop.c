#include "daemon/kube/kube-loop.h"

#include <stdio.h>
#include <sys/wait.h>

#include "lib/kube/kube-bytes.h"
#include "lib/kubeconfig/kube-exec.h"

/* A transfer under way. */
struct moving {
        struct moving *next, **pprev;
        struct kube_loop *loop;
        CURL *easy;
        struct proxy proxy;
        kube_transfer_done_t done;
        void *userdata;
};

struct kube_loop {
        struct kube_host host;
        const struct loop_services *services;
        struct moving *first;
};

struct kube_process {
        struct kube_program program;
        struct child *child;
        sd_event_source *timeout;
        struct kube_bytes output;
        int failure; /* -errno; what it did wrong before its end */
};

static struct kube_loop *loop_of(struct kube_host *host) {
        return container_of(host, struct kube_loop, host);
}

/* --- Transfers */

static void moving_free(struct moving *moving) {
        *moving->pprev = moving->next;
        if (moving->next)
                moving->next->pprev = moving->pprev;
        proxy_clear(&moving->proxy);
        free(moving);
}

static void on_transfer(CURL *easy, CURLcode result, const char *text, void *userdata) {
        struct moving *moving = userdata;
        const kube_transfer_done_t done = moving->done;
        void *of_done = moving->userdata;

        moving_free(moving);
        done(easy, result, text, of_done);
}

static struct moving *moving_new(struct kube_loop *loop, CURL *easy) {
        struct moving *moving = calloc(1, sizeof(*moving));

        if (!moving)
                return NULL;
        moving->loop = loop;
        moving->easy = easy;
        moving->next = loop->first;
        moving->pprev = &loop->first;
        if (moving->next)
                moving->next->pprev = &moving->next;
        loop->first = moving;
        return moving;
}

static int start_transfer(struct kube_host *host, CURL *easy, const char *url, usec_t timeout_usec,
                          kube_transfer_done_t done, void *userdata) {
        struct kube_loop *loop = loop_of(host);
        struct moving *moving = moving_new(loop, easy);
        struct curl_target target = { .url = url, .timeout_usec = timeout_usec };
        int r;

        if (!moving)
                return -ENOMEM;
        moving->done = done;
        moving->userdata = userdata;
        target.proxy = &moving->proxy;
        r = proxy_find(url, &moving->proxy, NULL);
        if (r == 0)
                r = curl_glue_start(loop->services->curl, easy, &target, on_transfer, moving);
        if (r < 0)
                moving_free(moving);
        return r;
}

static void cancel_transfer(struct kube_host *host, CURL *easy) {
        struct kube_loop *loop = loop_of(host);

        for (struct moving *moving = loop->first; moving; moving = moving->next)
                if (moving->easy == easy) {
                        curl_glue_cancel(loop->services->curl, easy);
                        moving_free(moving);
                        return;
                }
}

/* --- Processes */

static void stop_process(struct kube_process *process) {
        child_release(process->child);
        sd_event_source_disable_unref(process->timeout);
        kube_bytes_clear(&process->output);
        free(process);
}

static void on_output(const char *data, size_t size, void *userdata) {
        struct kube_process *process = userdata;

        if (process->failure == 0)
                process->failure = kube_bytes_add(&process->output, data, size, KUBE_EXEC_OUTPUT_MAX);
        if (process->failure < 0)
                child_stop(process->child);
}

static int on_timeout(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct kube_process *process = userdata;

        process->failure = -ETIMEDOUT;
        child_stop(process->child);
        return 0;
}

/* The process may be freed. */
static void on_ended(int status, void *userdata) {
        struct kube_process *process = userdata;
        const struct kube_program *program = &process->program;
        char text[64];

        process->child = child_release(process->child);
        if (process->failure == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
                program->done(0, process->output.data ? process->output.data : "", process->output.size, NULL,
                              program->userdata);
                return;
        }
        if (process->failure == -ETIMEDOUT)
                snprintf(text, sizeof(text), "has not ended in time");
        else if (process->failure < 0)
                snprintf(text, sizeof(text), "writes more than a credential");
        else
                snprintf(text, sizeof(text),
                         WIFSIGNALED(status) ? "was ended by signal %d" : "ended with status %d",
                         WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        program->done(process->failure < 0 ? process->failure : -EIO, NULL, 0, text, program->userdata);
}

/* The program NAME in a folder of PATH, owned by the caller; NULL: there is none, or memory is out. */
static char *find_program(const char *name) {
        const char *path = getenv("PATH");
        size_t size;

        for (const char *folder = path ? path : "/usr/bin:/bin"; *folder;
             folder += size + (folder[size] == ':')) {
                char *found;

                size = strcspn(folder, ":");
                if (asprintf(&found, "%.*s/%s", (int)size, folder, name) < 0)
                        return NULL;
                if (*folder == '/' && access(found, X_OK) == 0)
                        return found;
                free(found);
        }
        return NULL;
}

/* PROGRAM is the path of what the command calls. */
static int start_child(struct kube_loop *loop, struct kube_process *process, char *program) {
        struct child_options options = {
                .environment = process->program.environment,
                .drops_errors = true,
                .output = on_output,
                .ended = on_ended,
                .userdata = process,
        };
        _cleanup_(freep) char **command = NULL;
        size_t n = 0;

        while (process->program.command[n])
                n++;
        command = calloc(n + 1, sizeof(*command));
        if (!command)
                return -ENOMEM;
        memcpy(command, process->program.command, n * sizeof(*command));
        command[0] = program;
        options.command = command;
        return child_start(loop->services->children, &options, &process->child);
}

static int start_process(struct kube_host *host, const struct kube_program *program,
                         struct kube_process **ret) {
        struct kube_loop *loop = loop_of(host);
        const bool is_path = strchr(program->command[0], '/');
        _cleanup_(freep) char *path =
                is_path ? strdup(program->command[0]) : find_program(program->command[0]);
        struct kube_process *process;
        int r;

        if (!path)
                return is_path ? -ENOMEM : -ENOENT;
        process = calloc(1, sizeof(*process));
        if (!process)
                return -ENOMEM;
        process->program = *program;
        r = sd_event_add_time_relative(loop->services->event, &process->timeout, CLOCK_BOOTTIME,
                                       KUBE_PROGRAM_USEC, 0, on_timeout, process);
        if (r >= 0)
                r = start_child(loop, process, path);
        if (r < 0) {
                stop_process(process);
                return r;
        }
        *ret = process;
        return 0;
}

/* --- The host */

static const struct kube_host_ops ops = {
        .transfer = start_transfer,
        .cancel = cancel_transfer,
        .start = start_process,
        .stop = stop_process,
};

int kube_loop_new(const struct loop_services *services, struct kube_loop **ret) {
        struct kube_loop *loop = calloc(1, sizeof(*loop));

        if (!loop)
                return -ENOMEM;
        loop->host.ops = &ops;
        loop->services = services;
        *ret = loop;
        return 0;
}

struct kube_loop *kube_loop_free(struct kube_loop *loop) {
        free(loop);
        return NULL;
}

struct kube_host *kube_loop_host(struct kube_loop *loop) {
        return &loop->host;
}
