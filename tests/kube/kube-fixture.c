#include "tests/kube/kube-fixture.h"

#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

#include "lib/util/base64.h"
#include "lib/util/json.h"
#include "tests/support/must.h"
#include "tests/support/process.h"

bool kube_fixture_is_there(void) {
        return getenv("REKEYD_TEST_KUBE");
}

/* --- Programs */

static char *read_stream(FILE *in) {
        char *text = NULL;
        size_t size = 0;

        if (getdelim(&text, &size, '\0', in) < 0) {
                free(text);
                text = strdup("");
        }
        must(text);
        return text;
}

/* Runs COMMAND by a shell; its output, owned by the caller. */
static char *run(const char *command, int *ret_status) {
        FILE *in = popen(command, "re");
        char *text;

        must(in);
        text = read_stream(in);
        *ret_status = pclose(in);
        return text;
}

_printf_(4, 0) static char *kubectl(struct kube_fixture *fixture, const char *input, int *ret_status,
                                    const char *arguments, va_list args) {
        _cleanup_(freep) char *text = NULL, *command = NULL, *file = strdup("/dev/null");

        must(file && vasprintf(&text, arguments, args) >= 0);
        if (input) {
                scratch_write(fixture->directory, "input", input, 0600);
                free(file);
                file = scratch_path(fixture->directory, "input");
        }
        must(asprintf(&command, "kubectl --kubeconfig %s/kubeconfig --namespace %s %s <%s 2>&1",
                      fixture->server_directory, fixture->namespace, text, file) >= 0);
        return run(command, ret_status);
}

char *kube_kubectl(struct kube_fixture *fixture, const char *input, const char *arguments, ...) {
        va_list args;
        char *output;
        int status;

        va_start(args, arguments);
        output = kubectl(fixture, input, &status, arguments, args);
        va_end(args);
        if (status != 0) {
                fprintf(stderr, "kubectl %s: %s\n", arguments, output);
                abort();
        }
        return output;
}

void kube_do(struct kube_fixture *fixture, const char *arguments, ...) {
        va_list args;
        char *output;
        int status;

        va_start(args, arguments);
        output = kubectl(fixture, NULL, &status, arguments, args);
        va_end(args);
        if (status != 0) {
                fprintf(stderr, "kubectl %s: %s\n", arguments, output);
                abort();
        }
        free(output);
}

/* --- Objects */

json_t *kube_object(struct kube_fixture *fixture, const char *what) {
        _cleanup_(freep) char *text = kube_kubectl(fixture, NULL, "get %s -o json --ignore-not-found", what);
        json_t *object;

        if (strempty(text))
                return NULL;
        must(json_read(text, strlen(text), 4u << 20, &object, NULL) == 0);
        return object;
}

char *kube_value(struct kube_fixture *fixture, const char *secret, const char *key) {
        _cleanup_(freep) char *what = NULL;
        json_t *object;
        const char *text;
        char *data = NULL;
        size_t size;

        must(asprintf(&what, "secret/%s", secret) >= 0);
        object = kube_object(fixture, what);
        text = json_string_value(json_object_get(json_object_get(object, "data"), key));
        if (text)
                must(base64_decode(text, strlen(text), &data, &size) == 0);
        json_decref(object);
        return data;
}

/* --- The namespace */

struct kube_fixture *kube_fixture_new(void) {
        static unsigned n;
        struct kube_fixture *fixture = calloc(1, sizeof(*fixture));

        must(fixture && kube_fixture_is_there());
        fixture->server_directory = getenv("REKEYD_TEST_KUBE");
        fixture->directory = scratch_new();
        must(asprintf(&fixture->namespace, "t-%d-%u", (int)getpid(), n++) >= 0);
        kube_server_await(fixture);
        kube_do(fixture, "create namespace %s", fixture->namespace);
        return fixture;
}

struct kube_fixture *kube_fixture_free(struct kube_fixture *fixture) {
        if (!fixture)
                return NULL;
        scratch_free(fixture->directory);
        free(fixture->namespace);
        free(fixture);
        return NULL;
}

/* --- Users */

char *kube_server(struct kube_fixture *fixture) {
        _cleanup_(freep) char *port = scratch_read(fixture->server_directory, "port");
        char *url;

        must(port && asprintf(&url, "https://127.0.0.1:%d", atoi(port)) >= 0);
        return url;
}

void kube_user_rotate(struct kube_fixture *fixture, const char *name) {
        _cleanup_(freep) char *token = kube_kubectl(fixture, NULL, "create token %s", name), *file = NULL;

        must(asprintf(&file, "%s.token", name) >= 0);
        scratch_write(fixture->directory, file, token, 0600);
}

char *kube_config(struct kube_fixture *fixture, const char *name, const char *server, const char *cluster,
                  const char *user) {
        _cleanup_(freep) char *text = NULL, *file = NULL;

        must(asprintf(&text,
                      "current-context: x\ncontexts: [{name: x, context: {cluster: x, user: x, namespace: "
                      "%s}}]\n"
                      "clusters: [{name: x, cluster: {server: '%s', certificate-authority: %s/ca.crt%s}}]\n"
                      "users: [{name: x, user: {%s}}]\n",
                      fixture->namespace, server, fixture->server_directory, cluster, user) >= 0);
        must(asprintf(&file, "%s.yaml", name) >= 0);
        scratch_write(fixture->directory, file, text, 0600);
        return scratch_path(fixture->directory, file);
}

char *kube_user(struct kube_fixture *fixture, const char *name, const char *allowed, const char *server) {
        _cleanup_(freep) char *own = kube_server(fixture), *user = NULL;

        kube_do(fixture, "create serviceaccount %s", name);
        kube_do(fixture, "create role %s %s", name, allowed);
        kube_do(fixture, "create rolebinding %s --role=%s --serviceaccount=%s:%s", name, name,
                fixture->namespace, name);
        kube_user_rotate(fixture, name);
        must(asprintf(&user, "tokenFile: %s.token", name) >= 0);
        return kube_config(fixture, name, server ? server : own, "", user);
}

/* --- The server */

static bool is_ready(struct kube_fixture *fixture) {
        _cleanup_(freep) char *command = NULL, *output = NULL;
        int status;

        must(asprintf(&command,
                      "kubectl --kubeconfig %s/kubeconfig --request-timeout=3s get --raw /readyz </dev/null "
                      "2>/dev/null",
                      fixture->server_directory) >= 0);
        output = run(command, &status);
        return status == 0 && streq(output, "ok");
}

void kube_server_await(struct kube_fixture *fixture) {
        const usec_t end = now_usec(CLOCK_MONOTONIC) + 10 * patience_usec();

        while (!is_ready(fixture))
                must(now_usec(CLOCK_MONOTONIC) < end);
}

void kube_server_kill(struct kube_fixture *fixture) {
        _cleanup_(freep) char *pid = scratch_read(fixture->server_directory, "pid");

        must(pid && kill(atoi(pid), SIGKILL) == 0);
}
