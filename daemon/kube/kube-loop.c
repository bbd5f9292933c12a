#include "daemon/kube/kube-loop.h"

#include <stdio.h>
#include <sys/wait.h>

#include "lib/kube/kube-bytes.h"
#include "lib/kubeconfig/kube-exec.h"

/* A transfer: under way, or waiting for its turn. */
struct moving {
        struct moving *next, **pprev;
        struct kube_loop *loop;
        CURL *easy;
        char *url, *connect_url; /* the second may be NULL */
        usec_t timeout_usec;
        bool is_under_way;
        struct proxy proxy;
        kube_transfer_done_t done;
        void *userdata;
};

/* What may block, on a worker. */
struct working {
        struct job job;
        struct working *next, **pprev;
        struct kube_work *work;
};

struct kube_loop {
        struct kube_host host;
        const struct loop_services *services;
        struct curl_glue *curl;      /* on the loop, where watches report each event; NULL: not needed yet */
        struct moving *first, **end; /* oldest first */
        unsigned n_under_way;
        struct working *working;
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

static bool is_stream(const struct moving *moving) {
        return moving->timeout_usec > KUBE_STREAM_USEC;
}

static void moving_free(struct moving *moving) {
        *moving->pprev = moving->next;
        if (moving->next)
                moving->next->pprev = moving->pprev;
        else
                moving->loop->end = moving->pprev;
        if (moving->is_under_way && !is_stream(moving))
                moving->loop->n_under_way--;
        proxy_clear(&moving->proxy);
        free(moving->url);
        free(moving->connect_url);
        free(moving);
}

static int take_target(struct moving *moving, const struct kube_target *target) {
        const char *from = target->connect_url ? target->connect_url : target->url;

        moving->timeout_usec = target->timeout_usec;
        moving->url = strdup(target->url);
        moving->connect_url = target->connect_url ? strdup(target->connect_url) : NULL;
        if (!moving->url || !moving->connect_url != !target->connect_url)
                return -ENOMEM;
        return target->proxy_url ? proxy_read(target->proxy_url, &moving->proxy)
                                 : proxy_find(from, &moving->proxy, NULL);
}

static struct moving *moving_new(struct kube_loop *loop) {
        struct moving *moving = calloc(1, sizeof(*moving));

        if (!moving)
                return NULL;
        moving->loop = loop;
        moving->pprev = loop->end;
        *loop->end = moving;
        loop->end = &moving->next;
        return moving;
}

/* The end of it, for its owner. */
static void finish(struct moving *moving, CURLcode result, const char *text) {
        const kube_transfer_done_t done = moving->done;
        void *userdata = moving->userdata;
        CURL *easy = moving->easy;

        moving_free(moving);
        done(easy, result, text, userdata);
}

static void on_transfer(CURL *easy, CURLcode result, const char *text, void *userdata);

static int begin(struct moving *moving) {
        const struct curl_target target = {
                .url = moving->url,
                .connect_url = moving->connect_url,
                .proxy = &moving->proxy,
                .timeout_usec = moving->timeout_usec,
        };
        struct kube_loop *loop = moving->loop;
        int r = loop->curl ? 0 : curl_glue_new(loop->services->event, false, &loop->curl);

        if (r == 0)
                r = curl_glue_start(loop->curl, moving->easy, &target, on_transfer, moving);
        if (r == 0) {
                moving->is_under_way = true;
                loop->n_under_way += is_stream(moving) ? 0 : 1;
        }
        return r;
}

static struct moving *oldest_waiting(const struct kube_loop *loop) {
        struct moving *moving = loop->first;

        while (moving && moving->is_under_way)
                moving = moving->next;
        return moving;
}

/* While there is room. What cannot begin has ended. */
static void begin_waiting(struct kube_loop *loop) {
        struct moving *moving;

        while (loop->n_under_way < KUBE_TRANSFERS_MAX && (moving = oldest_waiting(loop)))
                if (begin(moving) < 0)
                        finish(moving, CURLE_OUT_OF_MEMORY, "it cannot begin");
}

static void on_transfer(_unused_ CURL *easy, CURLcode result, const char *text, void *userdata) {
        struct moving *moving = userdata;
        struct kube_loop *loop = moving->loop;

        finish(moving, result, text);
        begin_waiting(loop);
}

static int start_transfer(struct kube_host *host, CURL *easy, const struct kube_target *target,
                          kube_transfer_done_t done, void *userdata) {
        struct kube_loop *loop = loop_of(host);
        struct moving *moving = moving_new(loop);
        int r;

        if (!moving)
                return -ENOMEM;
        moving->easy = easy;
        moving->done = done;
        moving->userdata = userdata;
        r = take_target(moving, target);
        if (r == 0 && (is_stream(moving) || loop->n_under_way < KUBE_TRANSFERS_MAX))
                r = begin(moving);
        if (r < 0)
                moving_free(moving);
        return r;
}

static void cancel_transfer(struct kube_host *host, CURL *easy) {
        struct kube_loop *loop = loop_of(host);
        struct moving *moving = loop->first;

        while (moving && moving->easy != easy)
                moving = moving->next;
        if (!moving)
                return;
        if (moving->is_under_way)
                curl_glue_cancel(easy);
        moving_free(moving);
        begin_waiting(loop);
}

/* --- Files */

static void run_work(struct job *job) {
        struct kube_work *work = container_of(job, struct working, job)->work;

        work->run(work);
}

static void end_work(struct job *job) {
        struct working *working = container_of(job, struct working, job);
        struct kube_work *work = working->work;

        *working->pprev = working->next;
        if (working->next)
                working->next->pprev = working->pprev;
        free(working);
        work->done(work);
}

static int start_work(struct kube_host *host, struct kube_work *work) {
        struct kube_loop *loop = loop_of(host);
        struct working *working = calloc(1, sizeof(*working));

        if (!working)
                return -ENOMEM;
        working->job = (struct job) { .run = run_work, .done = end_work };
        working->work = work;
        working->next = loop->working;
        working->pprev = &loop->working;
        if (working->next)
                working->next->pprev = &working->next;
        loop->working = working;
        workers_submit(loop->services->export_workers, &working->job);
        return 0;
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
        .work = start_work,
        .start = start_process,
        .stop = stop_process,
};

int kube_loop_new(const struct loop_services *services, struct kube_loop **ret) {
        struct kube_loop *loop = calloc(1, sizeof(*loop));

        if (!loop)
                return -ENOMEM;
        loop->host.ops = &ops;
        loop->services = services;
        loop->end = &loop->first;
        *ret = loop;
        return 0;
}

struct kube_loop *kube_loop_free(struct kube_loop *loop) {
        /* What the workers have dropped. */
        while (loop && loop->working)
                end_work(&loop->working->job);
        if (loop)
                curl_glue_free(loop->curl);
        free(loop);
        return NULL;
}

struct kube_host *kube_loop_host(struct kube_loop *loop) {
        return &loop->host;
}
