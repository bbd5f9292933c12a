/*
 * Whatever an API server, a proxy in front of it, a credential plugin or a stranger's kubeconfig file says.
 * The first byte chooses who speaks, so that the files of a corpus stay readable: "a" and on an answer with a
 * status, "s" a stream of a watch, "l" a Lease, "p" a plugin, "r" the Secrets of replicas, "k" a kubeconfig
 * file.
 */

#include "lib/kube/kube-answer.h"
#include "lib/kube/kube-lease.h"
#include "lib/kube/kube-object.h"
#include "lib/kube/kube-request.h"
#include "lib/kube/kube-shared.h"
#include "lib/kube/kube-watch.h"
#include "lib/kubeconfig/kube-exec.h"
#include "lib/kubeconfig/kube-proxy.h"
#include "lib/kubeconfig/kubeconfig.h"
#include "lib/protocol/url.h"
#include "lib/util/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(expression)        \
        do {                       \
                if (!(expression)) \
                        abort();   \
        } while (0)

static void look_at_error(const struct error *error) {
        require(error->code < 0 && *error_text(error));
}

/* What was read is written back, and a key of ours with it. */
static void change(json_t *object) {
        const struct kube_ask ask = { .verb = KUBE_REPLACE,
                                      .resource = KUBE_SECRET("a", "b"),
                                      .body = object };
        _cleanup_(kube_request_clear) struct kube_request request = { 0 };
        _cleanup_(freep) char *value = NULL;
        size_t size;

        require(kube_secret_set(object, "k", "v", 1) == 0 && kube_object_annotate(object, "a", "b") == 0);
        require(kube_secret_get(object, "k", &value, &size) == 0 && size == 1 && *value == 'v');
        require(streq(kube_object_annotation(object, "a"), "b"));
        require(!kube_object_version(object) || kube_request_make(&ask, &request, NULL) <= 0);
}

static void answer(unsigned status, const char *text, size_t size) {
        for (int changes = 0; changes < 2; changes++) {
                const struct kube_reply reply = { status, text, size, 0, changes };
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                _cleanup_(json_decrefp) json_t *object = NULL;
                usec_t retry = 0;
                int r = kube_answer_read(&reply, &object, &retry, &error);

                require(r >= 0 && r < KUBE_OUTCOME_MAX && retry <= USEC_PER_HOUR);
                require((r == KUBE_DONE) == !!object);
                if (object)
                        change(object);
                else
                        look_at_error(&error);
        }
}

static int on_line(const char *line, size_t size, _unused_ void *userdata) {
        _cleanup_(kube_event_clear) struct kube_event event = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        if (kube_event_read(line, size, &event, &error) < 0) {
                look_at_error(&error);
                return -EPROTO;
        }
        require(event.object && event.kind < KUBE_EVENT_KIND_MAX && event.outcome < KUBE_OUTCOME_MAX);
        require(event.kind == KUBE_EVENT_ERROR || event.outcome == KUBE_DONE);
        return 0;
}

/* In two pieces. */
static void stream(const char *text, size_t size) {
        _cleanup_(kube_bytes_clear) struct kube_bytes line = { 0 };

        if (kube_lines_push(&line, text, size / 2, on_line, NULL) == 0)
                (void)kube_lines_push(&line, text + size / 2, size - size / 2, on_line, NULL);
}

static void lease(const char *text, size_t size) {
        _cleanup_(json_decrefp) json_t *object = NULL;
        struct kube_lease seen = { 0 }, taken = { 0 };

        if (json_read(text, size, KUBE_OBJECT_MAX, &object, NULL) < 0 ||
            kube_lease_see(&seen, object, 1, NULL) < 0)
                return;
        require(kube_lease_is_free(&seen, "me", USEC_INFINITY));
        require(kube_lease_take(object, "me", USEC_PER_MINUTE, 1) == 0);
        require(kube_lease_see(&taken, object, 1, NULL) == 0 && kube_lease_is_held(&taken, "me", 2));
}

/* One Secret as both; then a generation is staged and published. */
static void shared(const char *text, size_t size) {
        _cleanup_(json_decrefp) json_t *secret = NULL, *published = NULL;
        struct shared_view view;

        if (json_read(text, size, KUBE_OBJECT_MAX, &secret, NULL) < 0 ||
            shared_read(secret, secret, &view, NULL) < 0)
                return;
        require(view.has_key || !(view.has_csr || view.has_certificate || view.n_marks > 0));
        published = json_deep_copy(secret);
        if (!view.has_key)
                require(shared_stage_key(secret, &view, "key") == 0);
        require(shared_read(published, secret, &view, NULL) == 0 && view.has_key);
        require(shared_mark(secret, &view, "me") == 0 &&
                shared_stage(secret, &view, SHARED_CERTIFICATE, "crt") == 0);
        require(shared_read(published, secret, &view, NULL) == 0 && view.has_certificate &&
                streq(view.marked_by, "me"));
        if (shared_publish(published, secret, &view, "f") == 0) {
                const uint64_t before = view.generation;

                require(shared_read(published, secret, &view, NULL) == 0);
                require(view.generation == before + 1 && !view.has_key);
        }
}

static void plugin(const char *text, size_t size) {
        const struct kube_exec exec = { .api = (char *)"client.authentication.k8s.io/v1" };
        _cleanup_(kube_credentials_clear) struct kube_credentials credentials = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        if (kube_exec_read(&exec, text, size, &credentials, &error) < 0) {
                look_at_error(&error);
                return;
        }
        require(credentials.token || credentials.certificate_pem);
        require(!credentials.certificate_pem == !credentials.key_pem);
        require(!credentials.token || kube_token_is_sendable(credentials.token));
}

static void file(const char *text, size_t size) {
        _cleanup_(kubeconfig_clear) struct kubeconfig config = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        if (kubeconfig_parse("/etc/kube/config", text, size, NULL, &config, &error) < 0) {
                look_at_error(&error);
                return;
        }
        require(url_is_https(config.access.server) && !strempty(config.access.namespace));
        require(!config.access.as || kube_header_is_sendable(config.access.as));
        require(config.access.as || !(config.access.as_uid || config.access.as_groups));
        for (char **group = config.access.as_groups; group && *group; group++)
                require(kube_header_is_sendable(*group));
        if (config.access.proxy_url) {
                _cleanup_(freep) char *again = NULL;

                require(kube_proxy_read(config.access.proxy_url, &again) == 0 &&
                        streq(again, config.access.proxy_url));
        }
        require(!config.access.token || kube_token_is_sendable(config.access.token));
        require(!config.access.exec || config.access.exec->command[0]);
        require(!config.token_file || *config.token_file == '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const unsigned statuses[] = { 200, 201, 401, 403, 404, 409, 410, 422, 429, 500, 503, 504 };
        const char *text = (const char *)data + 1;

        if (size < 1)
                return 0;
        switch (data[0]) {
        case 's':
                stream(text, size - 1);
                break;
        case 'l':
                lease(text, size - 1);
                break;
        case 'r':
                shared(text, size - 1);
                break;
        case 'p':
                plugin(text, size - 1);
                break;
        case 'k':
                file(text, size - 1);
                break;
        default:
                answer(statuses[data[0] % ELEMENTSOF(statuses)], text, size - 1);
        }
        return 0;
}
