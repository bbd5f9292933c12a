/* The client against a real API server: every verb, every outcome that the server itself can give, and
 * credentials of every kind. What kubectl shows is what counts. */

#include "kube/kube-once.h"
#include "lib/kube/kube-lease.h"
#include "lib/kube/kube-object.h"
#include "tests/kube/kube-fixture.h"
#include "tests/support/proxy-server.h"
#include "tests/test.h"

#define ALL "--verb=get,update,patch,create,delete,watch --resource=secrets,leases.coordination.k8s.io"

static struct kube_once *once;

/* A client by the kubeconfig file PATH. */
static struct kube_client *client_new(const char *path) {
        const struct kube_place place = { .path = path };
        struct kube_client *client;

        ck_assert_int_eq(kube_client_new(kube_once_host(once), &place, "rekeyd-test/1", &client), 0);
        return client;
}

/* Asks; *RET may be NULL. ERROR has a sentence for what is not done. */
static int ask(struct kube_client *client, enum kube_verb verb, struct kube_resource resource,
               const json_t *body, json_t **ret) {
        const struct kube_ask what = {
                .verb = verb, .resource = resource, .body = body, .manager = body ? "test" : NULL
        };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int r = kube_once_ask(once, client, &what, 0, ret, &error);

        if (r != KUBE_DONE) {
                test_report("%s", error_text(&error));
                ck_assert(has_prefix(error_text(&error), "cannot "));
        }
        return r;
}

START_TEST(test_verbs) {
        _cleanup_(kube_fixture_freep) struct kube_fixture *fixture = kube_fixture_new();
        _cleanup_(freep) char *path = kube_user(fixture, "all", ALL, NULL), *value = NULL, *other = NULL;
        _cleanup_(kube_client_freep) struct kube_client *client = client_new(path);
        const struct kube_resource x = KUBE_SECRET(fixture->namespace, "x");
        _cleanup_(json_decrefp) json_t *made = kube_secret_new(fixture->namespace, "x", "Opaque"),
                                       *seen = NULL, *stale = NULL,
                                       *patch = json_pack("{s:{s:s}}", "stringData", "c", "merged"),
                                       *witness = NULL;
        int r;

        ck_assert_int_eq(ask(client, KUBE_GET, x, NULL, NULL), KUBE_NOT_FOUND);
        ck_assert_int_eq(kube_secret_set(made, "a", "one", 3), 0);
        ck_assert_int_eq(ask(client, KUBE_CREATE, x, made, &stale), KUBE_DONE);
        ck_assert_int_eq(ask(client, KUBE_CREATE, x, made, NULL), KUBE_EXISTS);
        kube_do(fixture, "label secret x team=blue");

        /* What was read before the label is too old; what is read now keeps the label. */
        ck_assert_int_eq(ask(client, KUBE_REPLACE, x, stale, NULL), KUBE_CONFLICT);
        ck_assert_int_eq(ask(client, KUBE_GET, x, NULL, &seen), KUBE_DONE);
        ck_assert_int_eq(kube_secret_set(seen, "b", "two", 3), 0);
        ck_assert_int_eq(ask(client, KUBE_REPLACE, x, seen, NULL), KUBE_DONE);
        ck_assert_int_eq(ask(client, KUBE_REPLACE, x, seen, NULL), KUBE_CONFLICT);
        ck_assert_int_eq(ask(client, KUBE_MERGE, x, patch, NULL), KUBE_DONE);
        value = kube_value(fixture, "x", "b");
        other = kube_value(fixture, "x", "c");
        ck_assert_str_eq(value, "two");
        ck_assert_str_eq(other, "merged");
        witness = kube_object(fixture, "secret/x");
        ck_assert_str_eq(json_string_value(json_object_get(
                                 json_object_get(json_object_get(witness, "metadata"), "labels"), "team")),
                         "blue");

        /* Deleted and made again, it has the same name and is another. */
        ck_assert_int_eq(ask(client, KUBE_DELETE, x, NULL, NULL), KUBE_DONE);
        r = ask(client, KUBE_REPLACE, x, seen, NULL); /* which of them depends on the version of the server */
        ck_assert(r == KUBE_NOT_FOUND || r == KUBE_CONFLICT);
        ck_assert_int_eq(ask(client, KUBE_CREATE, x, made, NULL), KUBE_DONE);
        ck_assert_int_eq(ask(client, KUBE_REPLACE, x, seen, NULL), KUBE_CONFLICT);
}
END_TEST

START_TEST(test_apply) {
        _cleanup_(kube_fixture_freep) struct kube_fixture *fixture = kube_fixture_new();
        _cleanup_(freep) char *path = kube_user(fixture, "all", ALL, NULL), *a = NULL, *b = NULL;
        _cleanup_(kube_client_freep) struct kube_client *client = client_new(path);
        const struct kube_resource x = KUBE_SECRET(fixture->namespace, "x");
        _cleanup_(json_decrefp) json_t *wanted = kube_secret_new(fixture->namespace, "x", NULL);
        const struct kube_ask forced = {
                .verb = KUBE_APPLY, .resource = x, .body = wanted, .manager = "test", .force = true
        };

        kube_do(fixture, "create secret generic x --from-literal=a=theirs --from-literal=b=theirs");
        ck_assert_int_eq(kube_secret_set(wanted, "a", "ours", 4), 0);
        ck_assert_int_eq(ask(client, KUBE_APPLY, x, wanted, NULL), KUBE_CONFLICT);
        ck_assert_int_eq(kube_once_ask(once, client, &forced, 0, NULL, NULL), KUBE_DONE);
        a = kube_value(fixture, "x", "a");
        b = kube_value(fixture, "x", "b");
        ck_assert_str_eq(a, "ours");
        ck_assert_str_eq(b, "theirs");
}
END_TEST

START_TEST(test_refusals) {
        _cleanup_(kube_fixture_freep) struct kube_fixture *fixture = kube_fixture_new();
        _cleanup_(freep) char *path =
                kube_user(fixture, "few", "--verb=get --resource=secrets --resource-name=x", NULL);
        _cleanup_(kube_client_freep) struct kube_client *client = client_new(path);
        _cleanup_(json_decrefp) json_t *secret = kube_secret_new(fixture->namespace, "x", NULL), *seen = NULL;
        _cleanup_(json_decrefp) json_t *lease = kube_lease_new(fixture->namespace, "l");
        const struct kube_resource x = KUBE_SECRET(fixture->namespace, "x"),
                                   y = KUBE_SECRET(fixture->namespace, "y");
        const struct kube_resource all = KUBE_SECRET(fixture->namespace, NULL),
                                   l = KUBE_LEASE(fixture->namespace, "l");

        kube_do(fixture, "create secret generic x --from-literal=a=b");
        ck_assert_int_eq(ask(client, KUBE_GET, x, NULL, &seen), KUBE_DONE);
        ck_assert_int_eq(ask(client, KUBE_GET, y, NULL, NULL), KUBE_FORBIDDEN);
        ck_assert_int_eq(ask(client, KUBE_GET, all, NULL, NULL), KUBE_FORBIDDEN);
        ck_assert_int_eq(ask(client, KUBE_CREATE, y, secret, NULL), KUBE_FORBIDDEN);
        ck_assert_int_eq(ask(client, KUBE_REPLACE, x, seen, NULL), KUBE_FORBIDDEN);
        ck_assert_int_eq(ask(client, KUBE_APPLY, x, secret, NULL), KUBE_FORBIDDEN);
        ck_assert_int_eq(ask(client, KUBE_MERGE, x, secret, NULL), KUBE_FORBIDDEN);
        ck_assert_int_eq(ask(client, KUBE_DELETE, x, NULL, NULL), KUBE_FORBIDDEN);
        ck_assert_int_eq(ask(client, KUBE_WATCH, x, NULL, NULL), KUBE_FORBIDDEN);
        ck_assert_int_eq(ask(client, KUBE_CREATE, l, lease, NULL), KUBE_FORBIDDEN);
}
END_TEST

START_TEST(test_invalid) {
        _cleanup_(kube_fixture_freep) struct kube_fixture *fixture = kube_fixture_new();
        _cleanup_(freep) char *path = kube_user(fixture, "all", ALL, NULL);
        _cleanup_(kube_client_freep) struct kube_client *client = client_new(path);
        _cleanup_(json_decrefp) json_t *secret =
                kube_secret_new(fixture->namespace, "x", "kubernetes.io/tls");

        ck_assert_int_eq(ask(client, KUBE_CREATE, KUBE_SECRET(fixture->namespace, "x"), secret, NULL),
                         KUBE_INVALID);
}
END_TEST

/* A Lease from nobody to us, renewed, released, and taken by the next; the server takes our times. */
START_TEST(test_lease) {
        _cleanup_(kube_fixture_freep) struct kube_fixture *fixture = kube_fixture_new();
        _cleanup_(freep) char *path = kube_user(fixture, "all", ALL, NULL);
        _cleanup_(kube_client_freep) struct kube_client *client = client_new(path);
        const struct kube_resource l = KUBE_LEASE(fixture->namespace, "l");
        static const char *const holders[] = { "one", "one", "", "two" };
        _cleanup_(json_decrefp) json_t *lease = kube_lease_new(fixture->namespace, "l");
        json_t *now = NULL;

        ck_assert_int_eq(ask(client, KUBE_CREATE, l, lease, &now), KUBE_DONE);
        for (size_t i = 0; i < ELEMENTSOF(holders); i++) {
                const usec_t realtime = now_usec(CLOCK_REALTIME);
                struct kube_lease seen = { 0 };
                json_t *next = NULL;

                ck_assert_int_eq(*holders[i] ? kube_lease_take(now, holders[i], 15 * USEC_PER_SEC, realtime)
                                             : kube_lease_release(now, realtime),
                                 0);
                ck_assert_int_eq(ask(client, KUBE_REPLACE, l, now, &next), KUBE_DONE);
                ck_assert_int_eq(kube_lease_see(&seen, next, now_usec(CLOCK_BOOTTIME), NULL), 0);
                ck_assert_str_eq(seen.holder, holders[i]);
                json_decref(now);
                now = next;
        }
        ck_assert_int_eq(
                json_integer_value(json_object_get(json_object_get(now, "spec"), "leaseTransitions")), 2);
        json_decref(now);
}
END_TEST

START_TEST(test_rotated_token) {
        _cleanup_(kube_fixture_freep) struct kube_fixture *fixture = kube_fixture_new();
        _cleanup_(freep) char *path = kube_user(fixture, "all", ALL, NULL);
        _cleanup_(kube_client_freep) struct kube_client *client = client_new(path);
        const struct kube_resource x = KUBE_SECRET(fixture->namespace, "x");

        kube_do(fixture, "create secret generic x --from-literal=a=b");
        ck_assert_int_eq(ask(client, KUBE_GET, x, NULL, NULL), KUBE_DONE);
        scratch_write(fixture->directory, "all.token", "no-token-of-this-server", 0600);
        ck_assert_int_eq(ask(client, KUBE_GET, x, NULL, NULL), KUBE_UNAUTHORIZED);
        kube_user_rotate(fixture, "all");
        ck_assert_int_eq(ask(client, KUBE_GET, x, NULL, NULL), KUBE_DONE);
}
END_TEST

/* By certificate, from files and inside of the file; and no trace of the key on the disk. */
START_TEST(test_certificates) {
        _cleanup_(kube_fixture_freep) struct kube_fixture *fixture = kube_fixture_new();
        _cleanup_(freep) char *path = scratch_path(fixture->server_directory, "kubeconfig"), *inside = NULL;
        _cleanup_(freep) char *flat = kube_kubectl(fixture, NULL, "config view --raw --flatten");
        _cleanup_(kube_client_freep) struct kube_client *client = client_new(path), *other = NULL;
        const struct kube_resource all = KUBE_SECRET("default", NULL);

        ck_assert_int_eq(ask(client, KUBE_GET, all, NULL, NULL), KUBE_DONE);
        ck_assert_ptr_nonnull(strstr(flat, "client-key-data"));
        scratch_write(fixture->directory, "inside", flat, 0600);
        inside = scratch_path(fixture->directory, "inside");
        other = client_new(inside);
        ck_assert_int_eq(ask(other, KUBE_GET, all, NULL, NULL), KUBE_DONE);
}
END_TEST

/* The plugin counts how often it is run. */
static void write_plugin(struct kube_fixture *fixture, const char *token_file, const char *more) {
        _cleanup_(freep) char *text = NULL;

        ck_assert(asprintf(&text,
                           "#!/bin/sh\necho run >>%s/runs\n[ -n \"$KUBERNETES_EXEC_INFO\" ] || exit 3\n"
                           "echo warning >&2\n%s\n"
                           "printf "
                           "'{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\","
                           "\"status\":{\"token\":\"%%s\"}}' \"$(cat %s/%s)\"\n",
                           fixture->directory, more, fixture->directory, token_file) > 0);
        scratch_write(fixture->directory, "plugin", text, 0700);
}

static size_t runs(struct kube_fixture *fixture) {
        _cleanup_(freep) char *text = scratch_read(fixture->directory, "runs");

        return text ? strlen(text) / strlen("run\n") : 0;
}

START_TEST(test_plugin) {
        _cleanup_(kube_fixture_freep) struct kube_fixture *fixture = kube_fixture_new();
        _unused_ _cleanup_(freep) char *path = kube_user(fixture, "all", ALL, NULL);
        _cleanup_(freep) char *text = NULL, *plugin = NULL, *server = kube_server(fixture);
        _cleanup_(kube_client_freep) struct kube_client *client = NULL;
        const struct kube_resource x = KUBE_SECRET(fixture->namespace, "x");

        kube_do(fixture, "create secret generic x --from-literal=a=b");
        ck_assert(
                asprintf(&text,
                         "current-context: x\ncontexts: [{name: x, context: {cluster: x, user: x}}]\n"
                         "clusters: [{name: x, cluster: {server: '%s', certificate-authority: %s/ca.crt}}]\n"
                         "users: [{name: x, user: {exec: {apiVersion: client.authentication.k8s.io/v1, "
                         "command: "
                         "./plugin}}}]\n",
                         server, fixture->server_directory) > 0);
        scratch_write(fixture->directory, "config", text, 0600);
        plugin = scratch_path(fixture->directory, "config");
        client = client_new(plugin);

        /* What it gave is not accepted: the next call runs it once more, and not twice. */
        scratch_write(fixture->directory, "given", "no-token-of-this-server", 0600);
        write_plugin(fixture, "given", "");
        ck_assert_int_eq(ask(client, KUBE_GET, x, NULL, NULL), KUBE_UNAUTHORIZED);
        ck_assert_uint_eq(runs(fixture), 1);
        ck_assert_int_eq(ask(client, KUBE_GET, x, NULL, NULL), KUBE_UNAUTHORIZED);
        ck_assert_uint_eq(runs(fixture), 2);
        write_plugin(fixture, "all.token", "");
        ck_assert_int_eq(ask(client, KUBE_GET, x, NULL, NULL), KUBE_DONE);
        ck_assert_uint_eq(runs(fixture), 3);
        ck_assert_int_eq(ask(client, KUBE_GET, x, NULL, NULL), KUBE_DONE);
        ck_assert_uint_eq(runs(fixture), 3);

        write_plugin(fixture, "all.token", "exit 7");
        kube_client_free(client);
        client = client_new(plugin);
        ck_assert_int_eq(ask(client, KUBE_GET, x, NULL, NULL), KUBE_UNREACHED);
        write_plugin(fixture, "all.token", "echo nonsense");
        ck_assert_int_eq(ask(client, KUBE_GET, x, NULL, NULL), KUBE_UNREACHED);
}
END_TEST

START_TEST(test_account) {
        _cleanup_(kube_fixture_freep) struct kube_fixture *fixture = kube_fixture_new();
        _unused_ _cleanup_(freep) char *path = kube_user(fixture, "all", ALL, NULL);
        _cleanup_(freep) char *port = NULL, *ca = NULL, *token = NULL, *namespace = NULL;
        const struct kube_place place = { .account = fixture->directory };
        _cleanup_(kube_client_freep) struct kube_client *client = NULL;

        kube_do(fixture, "create secret generic x --from-literal=a=b");
        port = scratch_read(fixture->server_directory, "port");
        ca = scratch_read(fixture->server_directory, "ca.crt");
        token = scratch_read(fixture->directory, "all.token");
        port[strcspn(port, "\n")] = '\0';
        setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1", 1);
        setenv("KUBERNETES_SERVICE_PORT", port, 1);
        scratch_write(fixture->directory, "ca.crt", ca, 0600);
        scratch_write(fixture->directory, "token", token, 0600);
        scratch_write(fixture->directory, "namespace", fixture->namespace, 0600);
        ck_assert_int_eq(kube_client_new(kube_once_host(once), &place, "rekeyd-test/1", &client), 0);
        ck_assert_int_eq(kube_client_namespace(client, &namespace, NULL), 0);
        ck_assert_str_eq(namespace, fixture->namespace);
        ck_assert_int_eq(ask(client, KUBE_GET, KUBE_SECRET(namespace, "x"), NULL, NULL), KUBE_DONE);
}
END_TEST

/* The administrator's certificate, and more of a user. Owned by the caller. */
static char *as_admin(const struct kube_fixture *fixture, const char *more) {
        char *user;

        ck_assert(asprintf(&user, "client-certificate: %s/admin.crt, client-key: %s/admin.key%s",
                           fixture->server_directory, fixture->server_directory, more) > 0);
        return user;
}

/* What a kubeconfig file with SERVER, more of its CLUSTER, and this USER gets. */
static int try_config(struct kube_fixture *fixture, const char *server, const char *cluster, const char *user,
                      struct kube_resource resource) {
        _cleanup_(freep) char *path = kube_config(fixture, "tried", server, cluster, user);
        _cleanup_(kube_client_freep) struct kube_client *client = client_new(path);

        return ask(client, KUBE_GET, resource, NULL, NULL);
}

/* Under names that its certificate has not, which libcurl knows to be this machine. */
START_TEST(test_server_name) {
        _cleanup_(kube_fixture_freep) struct kube_fixture *fixture = kube_fixture_new();
        _cleanup_(freep) char *user = as_admin(fixture, ""), *own = kube_server(fixture), *server = NULL;
        const struct kube_resource all = KUBE_SECRET("default", NULL);

        ck_assert(asprintf(&server, "https://other.localhost%s", strrchr(own, ':')) > 0);
        ck_assert_int_eq(try_config(fixture, server, "", user, all), KUBE_UNREACHED);
        ck_assert_int_eq(try_config(fixture, server, ", tls-server-name: localhost", user, all), KUBE_DONE);
        ck_assert_int_eq(try_config(fixture, server, ", tls-server-name: 127.0.0.1", user, all), KUBE_DONE);
        ck_assert_int_eq(try_config(fixture, own, ", tls-server-name: other", user, all), KUBE_UNREACHED);
        ck_assert_int_eq(try_config(fixture, own, ", insecure-skip-tls-verify: true", user, all), -EINVAL);
}
END_TEST

START_TEST(test_proxy) {
        static const struct proxy_server_options answers = { .answer = NULL },
                                                 refuses = { .answer = "HTTP/1.1 407 No\r\n" };
        _cleanup_(kube_fixture_freep) struct kube_fixture *fixture = kube_fixture_new();
        _cleanup_(proxy_server_stopp) struct proxy_server *proxy = proxy_server_start(&answers),
                                                          *closed = proxy_server_start(&refuses);
        _cleanup_(freep) char *user = as_admin(fixture, ""), *own = kube_server(fixture);
        const struct kube_resource all = KUBE_SECRET("default", NULL);
        char cluster[200];

        setenv("no_proxy", "*", 1); /* the file goes first */
        snprintf(cluster, sizeof(cluster), ", proxy-url: 'http://u:p@127.0.0.1:%u/'",
                 proxy_server_port(proxy));
        ck_assert_int_eq(try_config(fixture, own, cluster, user, all), KUBE_DONE);
        ck_assert_uint_eq(proxy_server_connects(proxy), 1);
        snprintf(cluster, sizeof(cluster), ", proxy-url: 'http://127.0.0.1:%u', tls-server-name: localhost",
                 proxy_server_port(proxy));
        ck_assert_int_eq(try_config(fixture, own, cluster, user, all), KUBE_DONE);
        ck_assert_uint_eq(proxy_server_connects(proxy), 2);
        snprintf(cluster, sizeof(cluster), ", proxy-url: 'http://127.0.0.1:%u'", proxy_server_port(closed));
        ck_assert_int_eq(try_config(fixture, own, cluster, user, all), KUBE_UNREACHED);
        snprintf(cluster, sizeof(cluster), ", proxy-url: 'socks5://127.0.0.1:1'");
        ck_assert_int_eq(try_config(fixture, own, cluster, user, all), KUBE_UNREACHED);
        unsetenv("no_proxy");
}
END_TEST

START_TEST(test_impersonation) {
        _cleanup_(kube_fixture_freep) struct kube_fixture *fixture = kube_fixture_new();
        _unused_ _cleanup_(freep) char *path = kube_user(fixture, "all", ALL, NULL);
        _cleanup_(freep) char *own = kube_server(fixture);
        _cleanup_(freep) char *nobody = as_admin(fixture, ", as: nobody, as-uid: '7'"),
                              *member = as_admin(fixture, ", as: nobody, as-groups: [x, 'system:masters']"),
                              *more = NULL, *account = NULL;
        const struct kube_resource x = KUBE_SECRET(fixture->namespace, "x"),
                                   other = KUBE_SECRET("default", "x");

        kube_do(fixture, "create secret generic x --from-literal=a=b");
        ck_assert(asprintf(&more, ", as: 'system:serviceaccount:%s:all'", fixture->namespace) > 0);
        account = as_admin(fixture, more);
        ck_assert_int_eq(try_config(fixture, own, "", nobody, x), KUBE_FORBIDDEN);
        ck_assert_int_eq(try_config(fixture, own, "", member, x), KUBE_DONE);
        ck_assert_int_eq(try_config(fixture, own, "", account, x), KUBE_DONE);
        ck_assert_int_eq(try_config(fixture, own, "", account, other), KUBE_FORBIDDEN);
}
END_TEST

/* --- Watches */

struct watch {
        bool done, stop;
        enum kube_outcome outcome;
        unsigned n_modified;
        char value[20], version[64];
};

static bool on_event(const struct kube_event *event, void *userdata) {
        struct watch *watch = userdata;
        _cleanup_(freep) char *value = NULL;
        size_t size;

        if (kube_object_version(event->object))
                snprintf(watch->version, sizeof(watch->version), "%s", kube_object_version(event->object));
        if (event->kind != KUBE_EVENT_MODIFIED)
                return true;
        watch->n_modified++;
        if (kube_secret_get(event->object, "a", &value, &size) == 0)
                snprintf(watch->value, sizeof(watch->value), "%s", value);
        return !(watch->stop = streq(watch->value, "last"));
}

static void on_watch_done(const struct kube_result *result, void *userdata) {
        struct watch *watch = userdata;

        watch->done = true;
        watch->outcome = result->outcome;
        if (result->error)
                test_report("%s", result->error);
}

static struct kube_call *watch_begin(struct kube_client *client, struct kube_resource resource,
                                     const char *version, unsigned timeout_sec, struct watch *watch) {
        const struct kube_callbacks callbacks = { .done = on_watch_done,
                                                  .event = on_event,
                                                  .userdata = watch };
        const struct kube_ask what = {
                .verb = KUBE_WATCH, .resource = resource, .version = version, .timeout_sec = timeout_sec
        };
        struct kube_call *call;

        ck_assert_int_eq(kube_call_new(client, &what, USEC_PER_MINUTE, &callbacks, &call, NULL), 0);
        return call;
}

static void watch_await(struct watch *watch) {
        ck_assert_int_eq(
                kube_once_wait(once, &watch->done, usec_add(now_usec(CLOCK_BOOTTIME), USEC_PER_MINUTE)), 0);
}

START_TEST(test_watch) {
        _cleanup_(kube_fixture_freep) struct kube_fixture *fixture = kube_fixture_new();
        _cleanup_(freep) char *path =
                kube_user(fixture, "named", "--verb=get,watch --resource=secrets --resource-name=x", NULL);
        _cleanup_(kube_client_freep) struct kube_client *client = client_new(path);
        const struct kube_resource x = KUBE_SECRET(fixture->namespace, "x");
        _cleanup_(kube_call_freep) struct kube_call *call = NULL, *short_call = NULL, *broken = NULL,
                                                    *old = NULL;
        struct watch watch = { 0 }, in_time = { 0 }, killed = { 0 }, gone = { 0 };
        _cleanup_(json_decrefp) json_t *seen = NULL;

        kube_do(fixture, "create secret generic x --from-literal=a=first");
        kube_do(fixture, "create secret generic other --from-literal=a=b");
        ck_assert_int_eq(ask(client, KUBE_GET, x, NULL, &seen), KUBE_DONE);
        call = watch_begin(client, x, kube_object_version(seen), 60, &watch);
        kube_do(fixture, "patch secret other -p '{\"stringData\":{\"a\":\"last\"}}'");
        kube_do(fixture, "patch secret x -p '{\"stringData\":{\"a\":\"second\"}}'");
        kube_do(fixture, "patch secret x -p '{\"stringData\":{\"a\":\"last\"}}'");
        watch_await(&watch);
        ck_assert_int_eq(watch.outcome, KUBE_DONE);
        ck_assert_str_eq(watch.value, "last");
        ck_assert_uint_eq(watch.n_modified, 2);

        short_call = watch_begin(client, x, watch.version, 1, &in_time);
        watch_await(&in_time);
        ck_assert_int_eq(in_time.outcome, KUBE_DONE);

        broken = watch_begin(client, x, watch.version, 60, &killed);
        ck_assert_int_eq(ask(client, KUBE_GET, x, NULL, NULL), KUBE_DONE); /* meanwhile the watch has begun */
        kube_server_kill(fixture);
        watch_await(&killed);
        ck_assert_int_ne(killed.outcome, KUBE_DONE);

        kube_server_await(fixture);
        old = watch_begin(client, x, "1", 60, &gone);
        watch_await(&gone);
        test_report("a watch from version 1 ends as: %s", kube_outcome_names[gone.outcome]);
        ck_assert_int_eq(gone.outcome, KUBE_GONE);
}
END_TEST

/* A change whose answer does not come is uncertain; what was not sent is not. */
START_TEST(test_server_gone) {
        _cleanup_(kube_fixture_freep) struct kube_fixture *fixture = kube_fixture_new();
        _cleanup_(freep) char *path = kube_user(fixture, "all", ALL, "https://127.0.0.1:1");
        _cleanup_(kube_client_freep) struct kube_client *client = client_new(path);
        _cleanup_(json_decrefp) json_t *secret = kube_secret_new(fixture->namespace, "x", NULL);

        ck_assert_int_eq(ask(client, KUBE_CREATE, KUBE_SECRET(fixture->namespace, "x"), secret, NULL),
                         KUBE_UNREACHED);
}
END_TEST

int main(void) {
        const TTest *const tests[] = {
                test_verbs,         test_apply,        test_refusals, test_invalid,       test_lease,
                test_rotated_token, test_certificates, test_plugin,   test_account,       test_watch,
                test_server_gone,   test_server_name,  test_proxy,    test_impersonation,
        };
        int r;

        setenv("CK_FORK", "no", 1); /* one handle for all */
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || kube_once_new(&once) < 0)
                return EXIT_FAILURE;
        r = test_run_all("kube-client", tests, ELEMENTSOF(tests));
        kube_once_free(once);
        curl_global_cleanup();
        return r;
}
