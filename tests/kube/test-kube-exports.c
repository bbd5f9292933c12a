/*
 * Exports to Secrets from end to end: the real rekeyd, devconnector and API server. kubectl shows what is
 * there; the files of the directory are what it is to be.
 */

#include "tests/e2e/exports-fixture.h"
#include "tests/kube/kube-fixture.h"
#include "tests/test.h"

#define NAMED                                                                             \
        "--verb=get,patch --resource=secrets --resource-name=pair --resource-name=agent " \
        "--resource-name=bundle"

#define THREE                                        \
        "    exports:\n"                             \
        "      - {secret: NS/pair, layout: tls}\n"   \
        "      - {secret: NS/agent, layout: kyma}\n" \
        "      - {secret: NS/bundle, layout: istio-ca}\n"

struct stage {
        struct kube_fixture *kube;
        struct fixture *rekeyd;
};

static void stage_clear(struct stage *stage) {
        fixture_free(stage->rekeyd);
        kube_fixture_free(stage->kube);
}

/* TEXT with the namespace for NS; owned by the caller. */
static char *with_namespace(const struct stage *stage, const char *text) {
        char *made = NULL;
        size_t size;
        FILE *out = open_memstream(&made, &size);

        for (const char *at; (at = strstr(text, "NS/")); text = at + 2)
                fprintf(out, "%.*s%s", (int)(at - text), text, stage->kube->namespace);
        fputs(text, out);
        ck_assert_int_eq(fclose(out), 0);
        return made;
}

/* rekeyd's drop-in that names the API server. */
static void use_kubeconfig(const struct stage *stage, const char *path) {
        _cleanup_(freep) char *text = NULL;

        ck_assert(asprintf(&text, "kubernetes: {kubeconfig: %s}\n", path) > 0);
        scratch_write(stage->rekeyd->directory, "conf.d/kubernetes.yaml", text, 0644);
}

/* A certificate with EXPORTS, and rekeyd's rights, ALLOWED; it is not started yet. */
static struct stage stage_make(const char *exports, const char *allowed) {
        struct stage stage = { .kube = kube_fixture_new() };
        _cleanup_(freep) char *yaml = NULL, *named = with_namespace(&stage, exports), *path = NULL;

        ck_assert(asprintf(&yaml, EXPORTING "%s", named) > 0);
        stage.rekeyd = prepare(FIXTURE_LASTING("1h"), yaml);
        make_directory(stage.rekeyd, "conf.d", 0755);
        path = kube_user(stage.kube, "rekeyd", allowed, NULL);
        use_kubeconfig(&stage, path);
        return stage;
}

/* The value of KEY in SECRET is those parts of the current set. */
static void assert_value(const struct stage *stage, const char *secret, const char *key, const char *parts) {
        _cleanup_(freep) char *found = kube_value(stage->kube, secret, key),
                              *wanted = expected_pem(stage->rekeyd, parts);

        ck_assert_msg(found, "Secret %s has no %s", secret, key);
        ck_assert_str_eq(found, wanted);
}

static void assert_all(const struct stage *stage) {
        assert_value(stage, "pair", "tls.key", "k");
        assert_value(stage, "pair", "tls.crt", "lc");
        assert_value(stage, "pair", "ca.crt", "a");
        assert_value(stage, "agent", "key", "k");
        assert_value(stage, "agent", "crt", "l");
        assert_value(stage, "agent", "crtChain", "lca");
        assert_value(stage, "bundle", "cacert", "a");
}

/* No key of the set is in the log. */
static void assert_no_key_logged(const struct stage *stage) {
        const char *log = process_output(stage->rekeyd->rekeyd, PROCESS_STDERR);

        ck_assert_ptr_null(strstr(log, "PRIVATE KEY"));
        ck_assert_ptr_null(strstr(log, "Bearer"));
        ck_assert_ptr_null(strstr(log, "LS0tLS1CRUdJTi")); /* -----BEGIN in base64 */
}

static void make_three(const struct stage *stage) {
        kube_do(stage->kube, "create secret generic pair --from-literal=theirs=kept");
        kube_do(stage->kube, "label secret pair team=blue");
        kube_do(stage->kube, "annotate secret pair reloader=on");
        kube_do(stage->kube, "create secret generic agent");
        kube_do(stage->kube,
                "create secret generic bundle --type=example.com/bundle --from-literal=cacert=old");
}

static void assert_theirs_kept(const struct stage *stage) {
        _cleanup_(json_decrefp) json_t *pair = kube_object(stage->kube, "secret/pair"),
                                       *bundle = kube_object(stage->kube, "secret/bundle");
        const json_t *metadata = json_object_get(pair, "metadata");
        _cleanup_(freep) char *theirs = kube_value(stage->kube, "pair", "theirs");

        ck_assert_str_eq(theirs, "kept");
        ck_assert_str_eq(member(json_object_get(metadata, "labels"), "team"), "blue");
        ck_assert_str_eq(member(json_object_get(metadata, "annotations"), "reloader"), "on");
        ck_assert_str_eq(member(pair, "type"), "Opaque");
        ck_assert_str_eq(member(bundle, "type"), "example.com/bundle");
}

/* What kubectl shows of managedFields: only our values are ours. */
static void assert_managed(const struct stage *stage) {
        _cleanup_(freep) char *fields =
                kube_kubectl(stage->kube, NULL,
                             "get secret pair --show-managed-fields -o "
                             "jsonpath='{.metadata.managedFields[?(@.manager==\"rekeyd\")]}'");

        ck_assert_msg(strstr(fields, "\"operation\":\"Apply\"") && strstr(fields, "f:tls.key"), "%s", fields);
        ck_assert_msg(!strstr(fields, "f:theirs") && !strstr(fields, "f:labels") &&
                              !strstr(fields, "f:annotations"),
                      "%s", fields);
}

START_TEST(an_enrolment_and_a_renewal_reach_the_secrets) {
        _cleanup_(stage_clear) struct stage stage = stage_make(THREE, NAMED);

        make_three(&stage);
        fixture_start(stage.rekeyd, NULL);
        await_message(stage.rekeyd, MESSAGE_ENROLLED);
        await_exports(stage.rekeyd, 3);
        assert_all(&stage);
        assert_theirs_kept(&stage);
        assert_managed(&stage);

        fixture_edit(stage.rekeyd, "  orders:\n", "  orders:\n    key: {bits: 3072}\n");
        fixture_reload(stage.rekeyd);
        await_message(stage.rekeyd, MESSAGE_RENEWED);
        await_exports(stage.rekeyd, 2); /* the CA is the same */
        assert_all(&stage);
        assert_theirs_kept(&stage);
        ck_assert_int_eq(fixture_stop(stage.rekeyd), 0);
        assert_no_key_logged(&stage);
        ck_assert_uint_eq(logged(stage.rekeyd, MESSAGE_NOT_EXPORTED), 0);
}
END_TEST

START_TEST(a_secret_that_is_missing_is_created) {
        _cleanup_(stage_clear) struct stage stage =
                stage_make("    exports: [{secret: NS/pair, layout: tls}]\n",
                           "--verb=get,patch,create --resource=secrets");
        json_t *pair;

        ck_assert_int_eq(fixture_run(stage.rekeyd, "--once"), 2);
        assert_value(&stage, "pair", "tls.key", "k");
        pair = kube_object(stage.kube, "secret/pair");
        ck_assert_str_eq(member(pair, "type"), "kubernetes.io/tls");
        json_decref(pair);

        /* Current: nothing is written. */
        ck_assert_int_eq(fixture_run(stage.rekeyd, "--once"), 0);
        ck_assert_uint_eq(logged(stage.rekeyd, MESSAGE_EXPORTED), 0);
}
END_TEST

/* What a stranger has put there is put right at the next start, and what is his stays. */
START_TEST(a_strangers_values_are_replaced) {
        _cleanup_(stage_clear) struct stage stage = stage_make(THREE, NAMED);

        make_three(&stage);
        ck_assert_int_eq(fixture_run(stage.rekeyd, "--once"), 2);
        kube_do(stage.kube, "patch secret pair --type=merge -p "
                            "'{\"data\":{\"tls.crt\":\"eA==\",\"tls.key\":null,\"new\":\"eA==\"}}'");
        kube_do(stage.kube, "delete secret agent");
        kube_do(stage.kube, "create secret generic agent --from-literal=other=x");
        ck_assert_int_eq(fixture_run(stage.rekeyd, "--once"), 0);
        await_exports(stage.rekeyd, 2);
        assert_all(&stage);
        assert_theirs_kept(&stage);
        {
                _cleanup_(freep) char *new = kube_value(stage.kube, "pair", "new"),
                                      *other = kube_value(stage.kube, "agent", "other");

                ck_assert_str_eq(new, "x");
                ck_assert_str_eq(other, "x");
        }
}
END_TEST

/* Each right that is missing is named by the server, keeps nobody from the certificate, and is tried again.
 */
START_TEST(missing_rights_are_reported) {
        static const struct {
                const char *allowed, *text;
        } rows[] = {
                { "--verb=list --resource=configmaps", "cannot get Secret" },
                { "--verb=get --resource=secrets --resource-name=pair", "cannot write Secret" },
                { "--verb=patch --resource=secrets --resource-name=pair", "cannot get Secret" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(stage_clear) struct stage stage =
                        stage_make("    exports: [{secret: NS/pair, layout: tls}]\n", rows[i].allowed);

                kube_do(stage.kube, "create secret generic pair");
                fixture_start(stage.rekeyd, NULL);
                await_message(stage.rekeyd, MESSAGE_ENROLLED);
                await_export(stage.rekeyd, MESSAGE_NOT_EXPORTED, "/pair", rows[i].text);
                kube_do(stage.kube, "delete rolebinding rekeyd");
                kube_do(stage.kube, "create role better " NAMED);
                kube_do(stage.kube, "create rolebinding rekeyd --role=better --serviceaccount=%s:rekeyd",
                        stage.kube->namespace);
                await_export(stage.rekeyd, MESSAGE_EXPORTED, "/pair", "generation 1");
                assert_value(&stage, "pair", "tls.crt", "lc");
                ck_assert_int_eq(fixture_stop(stage.rekeyd), 0);
                assert_no_key_logged(&stage);
        }
}
END_TEST

/* A server that is away, another one at the next reload, a token of 401: tried again, and no other
 * certificate for it. */
START_TEST(an_export_waits_for_its_server) {
        _cleanup_(stage_clear) struct stage stage =
                stage_make("    exports: [{secret: NS/pair, layout: tls}]\n", NAMED);
        _cleanup_(freep) char *closed = kube_user(stage.kube, "closed", NAMED, "https://127.0.0.1:1"),
                              *open = scratch_path(stage.kube->directory, "rekeyd.yaml"), *other = NULL,
                              *server = kube_server(stage.kube);

        kube_do(stage.kube, "create secret generic pair");
        fixture_add_control(stage.rekeyd);
        use_kubeconfig(&stage, closed);
        fixture_start(stage.rekeyd, NULL);
        await_message(stage.rekeyd, MESSAGE_ENROLLED);
        await_export(stage.rekeyd, MESSAGE_NOT_EXPORTED, "/pair", "no answer from https://127.0.0.1:1");
        fixture_ctl(stage.rekeyd, "show", "orders", NULL, 0, "; next attempt in ");
        fixture_ctl(stage.rekeyd, "show", "orders", "--json", 0, "\"current\":null");
        fixture_ctl(stage.rekeyd, "status", "orders", NULL, 0, "is out of date: cannot get Secret ");

        scratch_write(stage.kube->directory, "rekeyd.token", "no-token-of-this-server", 0600);
        use_kubeconfig(&stage, open);
        fixture_reload(stage.rekeyd);
        await_export(stage.rekeyd, MESSAGE_NOT_EXPORTED, "/pair", "401");
        kube_user_rotate(stage.kube, "rekeyd");
        await_export(stage.rekeyd, MESSAGE_EXPORTED, "/pair", "generation 1");
        assert_value(&stage, "pair", "tls.key", "k");
        fixture_ctl(stage.rekeyd, "show", "orders", NULL, 0, "current: generation 1, written ");
        fixture_ctl(stage.rekeyd, "show", "orders", "--json", 0, "\"written_at\":\"20");

        /* What is current at one server is not at the next, as far as is known. */
        kube_do(stage.kube, "delete secret pair");
        kube_do(stage.kube, "create secret generic pair");
        other = kube_config(stage.kube, "other", server, ", tls-server-name: localhost",
                            "tokenFile: rekeyd.token");
        use_kubeconfig(&stage, other);
        fixture_reload(stage.rekeyd);
        await_export(stage.rekeyd, MESSAGE_EXPORTED, "/pair", "generation 1");
        ck_assert_ptr_null(strstr(process_output(stage.rekeyd->rekeyd, PROCESS_STDERR), "restart rekeyd"));
        ck_assert_int_eq(fixture_stop(stage.rekeyd), 0);
        fixture_ctl(stage.rekeyd, "show", "orders", NULL, 0, "unknown until rekeyd has read it");
        assert_value(&stage, "pair", "tls.key", "k");
        ck_assert_uint_eq(fixture_calls(stage.rekeyd, "sign"), 1);
}
END_TEST

/* The token comes from a credential plugin, which the loop runs, once. */
START_TEST(a_plugin_has_the_token) {
        _cleanup_(stage_clear) struct stage stage =
                stage_make("    exports: [{secret: NS/pair, layout: tls}]\n", NAMED);
        _cleanup_(freep) char *config = NULL, *plugin = NULL, *server = kube_server(stage.kube), *runs = NULL,
                              *path = scratch_path(stage.kube->directory, "with-plugin");

        kube_do(stage.kube, "create secret generic pair");
        ck_assert(asprintf(&plugin,
                           "#!/bin/sh\necho warning >&2; echo run >>%s/runs\n"
                           "printf "
                           "'{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\","
                           "\"status\":{\"token\":\"%%s\"}}' \"$(cat %s/rekeyd.token)\"\n",
                           stage.kube->directory, stage.kube->directory) > 0);
        scratch_write(stage.kube->directory, "plugin", plugin, 0700);
        ck_assert(
                asprintf(&config,
                         "current-context: x\ncontexts: [{name: x, context: {cluster: x, user: x}}]\n"
                         "clusters: [{name: x, cluster: {server: '%s', certificate-authority: %s/ca.crt}}]\n"
                         "users: [{name: x, user: {exec: {apiVersion: client.authentication.k8s.io/v1, "
                         "command: "
                         "./plugin}}}]\n",
                         server, stage.kube->server_directory) > 0);
        scratch_write(stage.kube->directory, "with-plugin", config, 0600);
        use_kubeconfig(&stage, path);
        ck_assert_int_eq(fixture_run(stage.rekeyd, "--once"), 2);
        assert_value(&stage, "pair", "tls.key", "k");
        runs = scratch_read(stage.kube->directory, "runs");
        ck_assert_str_eq(runs, "run\n");
        assert_no_key_logged(&stage);
}
END_TEST

/* Without a kubeconfig file: what is missing of the account is named. The client's own test calls with one.
 */
START_TEST(the_account_of_the_pod) {
        _cleanup_(stage_clear) struct stage stage =
                stage_make("    exports: [{secret: NS/pair, layout: tls}]\n", NAMED);
        _cleanup_(freep) char *path = NULL, *port = scratch_read(stage.kube->server_directory, "port");

        kube_do(stage.kube, "create secret generic pair");
        ck_assert(asprintf(&path, "%s/conf.d/kubernetes.yaml", stage.rekeyd->directory) > 0);
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(fixture_run(stage.rekeyd, "--once"), 1);
        await_export(stage.rekeyd, MESSAGE_NOT_EXPORTED, "/pair", "this is no pod");

        /* The directory of the account is the same for all, and is not there. */
        port[strcspn(port, "\n")] = '\0';
        setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1", 1);
        setenv("KUBERNETES_SERVICE_PORT", port, 1);
        ck_assert_int_eq(fixture_run(stage.rekeyd, "--once"), 1);
        await_export(stage.rekeyd, MESSAGE_NOT_EXPORTED, "/pair",
                     "/var/run/secrets/kubernetes.io/serviceaccount/");
        ck_assert_uint_eq(fixture_calls(stage.rekeyd, "sign"), 1);
}
END_TEST

TEST_MAIN("kube-exports", an_enrolment_and_a_renewal_reach_the_secrets, a_secret_that_is_missing_is_created,
          a_strangers_values_are_replaced, missing_rights_are_reported, an_export_waits_for_its_server,
          a_plugin_has_the_token, the_account_of_the_pod)
