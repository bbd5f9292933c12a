/*
 * A call: credentials are read, a plugin is run where they come from one, the request is made, its answer
 * read. What a plugin gave earlier may have been revoked since, so an answer of 401 to that alone has the
 * plugin run once more.
 */

#include "kube/kube-client.h"

#include <stdio.h>

#include "kube/kube-login.h"
#include "kube/kube-transfer.h"

struct kube_client {
        struct kube_host *host;
        const char *agent;
        struct kube_login login;
};

struct kube_call {
        struct kube_client *client;
        struct kube_callbacks callbacks;
        struct kube_request request;
        usec_t timeout_usec;
        char text[KUBE_TEXT_MAX + 16]; /* "get Secret a/b" */
        bool is_watch;

        struct reading *reading; /* under way; NULL: none */
        struct kube_access access;
        char **environment;
        struct kube_process *process;
        struct kube_transfer transfer;
        struct kube_credentials credentials; /* of a plugin */
        bool has_kept_credentials;           /* they were there before this call */

        /* Of a watch. */
        bool is_enough;            /* nobody wants more of it */
        enum kube_outcome outcome; /* of an error in the stream */
        struct error error;
};

/* The files that a call needs are read. It outlives the call: what is read on another thread ends there. */
struct reading {
        struct kube_work work;
        struct kube_call *call;  /* NULL: it was freed */
        struct kube_login login; /* a copy of the place */
        struct kube_access access;
        struct error error;
        int result;
};

int kube_client_new(struct kube_host *host, const struct kube_place *place, const char *agent,
                    struct kube_client **ret) {
        _cleanup_(kube_client_freep) struct kube_client *client = calloc(1, sizeof(*client));
        int r;

        if (!client)
                return -ENOMEM;
        client->host = host;
        client->agent = agent;
        r = kube_login_init(&client->login, place);
        if (r < 0)
                return r;
        *ret = take_ptr(client);
        return 0;
}

int kube_client_move(struct kube_client *client, const struct kube_place *place) {
        struct kube_login login;
        int r;

        r = kube_login_init(&login, place);
        if (r < 0) {
                kube_login_clear(&login);
                return r;
        }
        kube_login_clear(&client->login);
        client->login = login;
        return 0;
}

struct kube_client *kube_client_free(struct kube_client *client) {
        if (!client)
                return NULL;
        kube_login_clear(&client->login);
        free(client);
        return NULL;
}

int kube_client_namespace(const struct kube_client *client, char **ret, struct error *error) {
        _cleanup_(kube_access_clear) struct kube_access access = { 0 };
        int r;

        r = kube_login_read(&client->login, &access, error);
        if (r == 0)
                *ret = take_ptr(access.namespace);
        return r;
}

const char *kube_resource_text(const struct kube_resource *resource, char buffer[KUBE_TEXT_MAX]) {
        static const struct {
                const char *plural, *kind;
        } rows[] = { { "secrets", "Secret" }, { "leases", "Lease" }, { "deployments", "Deployment" } };
        const char *kind = resource->plural;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (streq(rows[i].plural, kind))
                        kind = rows[i].kind;
        snprintf(buffer, KUBE_TEXT_MAX, "%s%s%s%s%s", kind, resource->namespace || resource->name ? " " : "",
                 resource->namespace ? resource->namespace : "",
                 resource->namespace && resource->name ? "/" : "", resource->name ? resource->name : "");
        return buffer;
}

/* --- The end */

/* The call may be freed. */
static void finish(struct kube_call *call, int r, json_t *object, usec_t retry_usec, struct error *error) {
        struct kube_result result = {
                .outcome = r < 0 ? KUBE_UNREACHED : (enum kube_outcome)r,
                .object = object,
                .retry_after_usec = retry_usec,
        };

        if (r != KUBE_DONE) {
                if (error->code == 0)
                        (void)error_set_errno(error, r < 0 ? r : -EIO, "no answer");
                (void)error_prefix(error, "cannot %s", call->text);
                result.error = error_text(error);
        }
        call->callbacks.done(&result, call->callbacks.userdata);
}

static int begin(struct kube_call *call, struct error *error);

/* An error in the stream, or its reader's wish, ends a watch from within, which curl takes for a failure. */
static int read_watch(struct kube_call *call, struct error *error) {
        error_clear(error);
        if (call->is_enough)
                return KUBE_DONE;
        (void)error_move(error, &call->error);
        return (int)call->outcome;
}

static void on_transfer(_unused_ CURL *easy, CURLcode code, const char *text, void *userdata) {
        struct kube_call *call = userdata;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(json_decrefp) json_t *object = NULL;
        usec_t retry_usec = 0;
        int r;

        r = kube_transfer_read(&call->transfer, &call->request, code, text, &object, &retry_usec, &error);
        if (call->is_enough || call->outcome != KUBE_DONE)
                r = read_watch(call, &error);
        if (r == KUBE_UNAUTHORIZED && call->has_kept_credentials) {
                kube_login_forget(&call->client->login);
                error_clear(&error);
                r = begin(call, &error);
                if (r == 0)
                        return;
        }
        finish(call, r, object, retry_usec, &error);
}

/* --- A watch */

static int on_line(const char *line, size_t size, void *userdata) {
        struct kube_call *call = userdata;
        _cleanup_(kube_event_clear) struct kube_event event = { 0 };
        int r;

        r = kube_event_read(line, size, &event, &call->error);
        if (r < 0) {
                call->outcome = KUBE_BAD_REPLY;
                return r;
        }
        if (event.kind == KUBE_EVENT_ERROR) {
                call->outcome = event.outcome == KUBE_DONE ? KUBE_BAD_REPLY : event.outcome;
                return error_set(&call->error, -EPROTO, "the API server has ended the stream: %s",
                                 kube_outcome_names[call->outcome]);
        }
        call->is_enough = call->callbacks.event && !call->callbacks.event(&event, call->callbacks.userdata);
        return call->is_enough ? -ECANCELED : 0;
}

/* --- The beginning */

static int transfer(struct kube_call *call) {
        const struct kube_transfer_options options = {
                .agent = call->client->agent,
                .access = &call->access,
                .credentials = call->access.exec ? &call->credentials : NULL,
                .request = &call->request,
        };
        struct kube_host *host = call->client->host;
        struct kube_transfer *to = &call->transfer;
        struct kube_target target = { .timeout_usec = call->timeout_usec };
        int r;

        kube_transfer_clear(to);
        if (call->is_watch) {
                to->line = on_line;
                to->userdata = call;
        }
        r = kube_transfer_init(to, &options);
        if (r < 0)
                return r;
        target.url = to->url;
        target.connect_url = to->connect_url;
        target.proxy_url = to->proxy_url;
        return host->ops->transfer(host, to->easy, &target, on_transfer, call);
}

static int take_output(struct kube_call *call, const char *output, size_t size, struct error *error) {
        const struct kube_exec *exec = call->access.exec;
        int r;

        r = kube_exec_read(exec, output, size, &call->credentials, error);
        if (r < 0)
                return error_prefix(error, "the output of the credential plugin %s is wrong",
                                    exec->command[0]);
        r = kube_login_keep(&call->client->login, exec, &call->credentials);
        return r < 0 ? r : transfer(call);
}

static void on_program(int r, const char *output, size_t size, const char *text, void *userdata) {
        struct kube_call *call = userdata;
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        if (r < 0)
                (void)error_set(&error, r, "the credential plugin %s %s", call->access.exec->command[0],
                                text);
        else
                r = take_output(call, output, size, &error);
        call->client->host->ops->stop(take_ptr(call->process));
        if (r < 0)
                finish(call, r, NULL, 0, &error);
}

static int run_plugin(struct kube_call *call) {
        const struct kube_host *host = call->client->host;
        struct kube_program program = { .done = on_program, .userdata = call };
        int r;

        kube_exec_environment_free(take_ptr(call->environment));
        r = kube_exec_environment(&call->access, environ, &call->environment);
        if (r < 0)
                return r;
        program.command = call->access.exec->command;
        program.environment = call->environment;
        return host->ops->start(call->client->host, &program, &call->process);
}

static int begin(struct kube_call *call, struct error *error) {
        const struct kube_exec *exec = call->access.exec;
        int r;

        if (!exec)
                return transfer(call);
        kube_credentials_clear(&call->credentials);
        r = kube_login_find(&call->client->login, exec, now_usec(CLOCK_REALTIME), &call->credentials);
        call->has_kept_credentials = r > 0;
        if (r != 0)
                return r < 0 ? r : transfer(call);
        r = run_plugin(call);
        return r < 0 ? error_set_errno(error, r, "cannot run the credential plugin %s", exec->command[0]) : 0;
}

/* --- What it needs from files */

static void reading_free(struct reading *reading) {
        kube_login_clear(&reading->login);
        kube_access_clear(&reading->access);
        error_clear(&reading->error);
        free(reading);
}

static void run_reading(struct kube_work *work) {
        struct reading *reading = container_of(work, struct reading, work);

        reading->result = kube_login_read(&reading->login, &reading->access, &reading->error);
}

static void on_read(struct kube_work *work) {
        struct reading *reading = container_of(work, struct reading, work);
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct kube_call *call = reading->call;
        int r = reading->result;

        if (call) {
                call->reading = NULL;
                call->access = reading->access;
                reading->access = (struct kube_access) { 0 };
                (void)error_move(&error, &reading->error);
        }
        reading_free(reading);
        if (!call)
                return;
        if (r == 0)
                r = begin(call, &error);
        if (r < 0)
                finish(call, r, NULL, 0, &error);
}

/* On another thread; the call begins when that has ended. */
static int start_reading(struct kube_call *call) {
        const struct kube_login *login = &call->client->login;
        const struct kube_place place = { login->path, login->context, login->account };
        struct kube_host *host = call->client->host;
        struct reading *reading = calloc(1, sizeof(*reading));
        int r;

        if (!reading)
                return -ENOMEM;
        reading->work = (struct kube_work) { .run = run_reading, .done = on_read };
        reading->call = call;
        r = kube_login_init(&reading->login, &place);
        if (r == 0)
                r = host->ops->work(host, &reading->work);
        if (r < 0)
                reading_free(reading);
        else
                call->reading = reading;
        return r;
}

static int read_and_begin(struct kube_call *call, struct error *error) {
        int r;

        if (call->client->host->ops->work)
                return start_reading(call);
        r = kube_login_read(&call->client->login, &call->access, error);
        return r < 0 ? r : begin(call, error);
}

static const char *verb_text(enum kube_verb verb) {
        return verb == KUBE_APPLY ? "write" : verb == KUBE_MERGE ? "change" : kube_verb_names[verb];
}

int kube_call_new(struct kube_client *client, const struct kube_ask *ask, usec_t timeout_usec,
                  const struct kube_callbacks *callbacks, struct kube_call **ret, struct error *error) {
        _cleanup_(kube_call_freep) struct kube_call *call = calloc(1, sizeof(*call));
        char text[KUBE_TEXT_MAX];
        int r;

        if (!call)
                return -ENOMEM;
        call->client = client;
        call->callbacks = *callbacks;
        call->timeout_usec = timeout_usec ? timeout_usec : KUBE_TIMEOUT_USEC;
        call->is_watch = ask->verb == KUBE_WATCH;
        snprintf(call->text, sizeof(call->text), "%s %s", verb_text(ask->verb),
                 kube_resource_text(&ask->resource, text));
        r = kube_request_make(ask, &call->request, error);
        if (r == 0)
                r = read_and_begin(call, error);
        if (r < 0)
                return error && error->code != 0 ? error_prefix(error, "cannot %s", call->text) : r;
        *ret = take_ptr(call);
        return 0;
}

struct kube_call *kube_call_free(struct kube_call *call) {
        const struct kube_host *host = call ? call->client->host : NULL;

        if (!call)
                return NULL;
        if (call->reading)
                call->reading->call = NULL;
        if (call->process)
                host->ops->stop(call->process);
        if (call->transfer.easy)
                host->ops->cancel(call->client->host, call->transfer.easy);
        kube_transfer_clear(&call->transfer);
        kube_exec_environment_free(call->environment);
        kube_credentials_clear(&call->credentials);
        kube_access_clear(&call->access);
        kube_request_clear(&call->request);
        error_clear(&call->error);
        free(call);
        return NULL;
}
