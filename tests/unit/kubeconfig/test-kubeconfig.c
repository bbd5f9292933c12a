/* Kubeconfig files: what is refused and how that is said, what is passed over, and what is understood. */

#include "lib/kubeconfig/kubeconfig.h"

#include "lib/kubeconfig/kube-exec.h"
#include "tests/test.h"

#define CONTEXTS      "contexts:\n- {name: c, context: {cluster: k, user: u}}\ncurrent-context: c\n"
#define CLUSTER(more) "clusters:\n- name: k\n  cluster: {server: 'https://a:6443'" more "}\n"
#define USER(more)    "users:\n- name: u\n  user: {" more "}\n"

static int parse(const char *text, const char *context, struct kubeconfig *ret, struct error *error) {
        return kubeconfig_parse("/etc/kube/config", text, strlen(text), context, ret, error);
}

START_TEST(test_refused) {
        static const struct {
                const char *text, *error;
        } rows[] = {
                { "", "it is empty" },
                { "a: b\n", "no 'current-context'" },
                { "current-context: c\n", "no context 'c'" },
                { "current-context: c\ncontexts: x\n", "no context 'c'" },
                { "current-context: c\ncontexts: [{name: c, context: 1}]\n", "no context 'c'" },
                { "current-context: c\ncontexts: [[c]]\n", "no context 'c'" },
                { CONTEXTS, "context 'c' has no cluster" },
                { CONTEXTS CLUSTER(""), "context 'c' has no user" },
                { CONTEXTS "clusters: [{name: k, cluster: {}}]\n" USER(""), "'server' must be an https URL" },
                { CONTEXTS "clusters: [{name: k, cluster: {server: 'http://a'}}]\n" USER(""),
                  "'server' must be an https URL" },
                { CONTEXTS "clusters: [{name: k, cluster: {server: 'https://a/?b'}}]\n" USER(""),
                  "'server' must be an https URL" },
                { CONTEXTS CLUSTER(", insecure-skip-tls-verify: true") USER(""),
                  "config:6:65: 'insecure-skip-tls-verify' is not supported: any server in between would "
                  "get" },
                { CONTEXTS CLUSTER(", insecure-skip-tls-verify: true, tls-server-name: b") USER(""),
                  "'insecure-skip-tls-verify' is not" },
                { CONTEXTS CLUSTER(", tls-server-name: a/b") USER(""), "'tls-server-name' is no name" },
                { CONTEXTS CLUSTER(", tls-server-name: 'a b'") USER(""), "'tls-server-name' is no name" },
                { CONTEXTS CLUSTER(", proxy-url: 'ftp://u:secret@p'") USER(""), "'proxy-url' must be http" },
                { CONTEXTS CLUSTER(", proxy-url: p") USER(""), "'proxy-url' must be http" },
                { CONTEXTS CLUSTER(", certificate-authority-data: '?'") USER(""), "is not base64 of a text" },
                { CONTEXTS CLUSTER(", certificate-authority-data: 'YQBi'") USER(""),
                  "is not base64 of a text" },
                { CONTEXTS CLUSTER("") USER("as: \"a\\r\\nb\""), "'as' has characters" },
                { CONTEXTS CLUSTER("") USER("as: ' a'"), "'as' has characters" },
                { CONTEXTS CLUSTER("") USER("as: \"\\xFC\""), "'as' has characters" },
                { CONTEXTS CLUSTER("") USER("as: a, as-uid: 'b '"), "'as-uid' has characters" },
                { CONTEXTS CLUSTER("") USER("as-uid: a"), "'as-uid' needs 'as'" },
                { CONTEXTS CLUSTER("") USER("as-groups: [admin]"), "'as-groups' needs 'as'" },
                { CONTEXTS CLUSTER("") USER("as: a, as-groups: b"), "'as-groups' must be a list" },
                { CONTEXTS CLUSTER("") USER("as: a, as-groups: {b: c}"), "'as-groups' must be a list" },
                { CONTEXTS CLUSTER("") USER("as: a, as-groups: [[b]]"), "'as-groups' must be names" },
                { CONTEXTS CLUSTER("") USER("as: a, as-groups: ['']"), "'as-groups' must be names" },
                { CONTEXTS CLUSTER("") USER("as: a, as-user-extra: {b: [c]}"),
                  "'as-user-extra' is not supported" },
                { CONTEXTS CLUSTER("") USER("username: a, password: b"), "'username' is not supported" },
                { CONTEXTS CLUSTER("") USER("auth-provider: {name: gcp}"),
                  "'auth-provider' is not supported" },
                { CONTEXTS CLUSTER("") USER("client-key: k"), "only one of" },
                { CONTEXTS CLUSTER("") USER("client-certificate-data: YQ=="), "only one of" },
                { CONTEXTS CLUSTER("") USER("token: \"a\\r\\nb\""), "'token' has characters" },
                { CONTEXTS CLUSTER("") USER("token: 'a b'"), "'token' has characters" },
                { CONTEXTS CLUSTER("") USER("exec: {command: x}"), "'apiVersion' of 'exec'" },
                { CONTEXTS CLUSTER("")
                          USER("exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: x}"),
                  "'apiVersion' of 'exec'" },
                { CONTEXTS CLUSTER("") USER("exec: {apiVersion: client.authentication.k8s.io/v1}"),
                  "no 'command'" },
                { CONTEXTS CLUSTER("")
                          USER("exec: {apiVersion: client.authentication.k8s.io/v1, command: x, args: [[]]}"),
                  "'args'" },
                { CONTEXTS CLUSTER("")
                          USER("exec: {apiVersion: client.authentication.k8s.io/v1, command: x, env: [a]}"),
                  "'env'" },
                { CONTEXTS CLUSTER("") USER("exec: {apiVersion: client.authentication.k8s.io/v1, command: x, "
                                            "interactiveMode: Always}"),
                  "wants a terminal" },
                { "contexts: [\n", "not valid YAML" },
                { "---\na: b\n---\nc: d\n", "config:" },
                { "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u, namespace: "
                  "A}}]\n" CLUSTER("") USER(""),
                  "'namespace' is no name" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                struct kubeconfig config;

                ck_assert_msg(parse(rows[i].text, NULL, &config, &error) == -EINVAL, "%s", rows[i].text);
                ck_assert_msg(strstr(error_text(&error), rows[i].error), "%s: %s", rows[i].text,
                              error_text(&error));
                ck_assert_msg(has_prefix(error_text(&error), "/etc/kube/config"), "%s", error_text(&error));
                ck_assert_ptr_null(strstr(error_text(&error), "secret"));
        }
}
END_TEST

START_TEST(test_passed_over) {
        static const char text[] =
                "apiVersion: v1\nkind: Config\npreferences: {colors: true}\nextensions: [{name: x, "
                "extension: {a: [1]}}]\n" CONTEXTS CLUSTER(
                        ", insecure-skip-tls-verify: false, tls-server-name: '', disable-compression: true")
                        USER("token: abc, new-thing: {a: b}, as: null, as-groups: null") "future: 1\n";
        _cleanup_(kubeconfig_clear) struct kubeconfig config = { 0 };

        ck_assert_int_eq(parse(text, NULL, &config, NULL), 0);
        ck_assert_str_eq(config.access.server, "https://a:6443");
        ck_assert_str_eq(config.access.namespace, "default");
        ck_assert_str_eq(config.access.token, "abc");
        ck_assert(!config.access.ca_pem && !config.ca_file && !config.access.exec);
        ck_assert(!config.access.as && !config.access.as_groups && !config.access.tls_server_name);
}
END_TEST

START_TEST(test_files) {
        static const char whole[] = "contexts:\n- {name: c, context: {cluster: k, user: v}}\n- {name: d, "
                                    "context: {cluster: k, user: u, "
                                    "namespace: ns}}\ncurrent-context: c\n"
                                    "clusters:\n- name: k\n  cluster: {server: 'https://a:6443/path//', "
                                    "certificate-authority: ca.crt}\n"
                                    "users:\n- {name: v, user: {token: t}}\n- name: u\n  user: "
                                    "{client-certificate: /x/c.crt, client-key: "
                                    "sub/c.key, tokenFile: tok, token: ignored}\n";
        _cleanup_(kubeconfig_clear) struct kubeconfig config = { 0 };

        ck_assert_int_eq(parse(whole, "d", &config, NULL), 0);
        ck_assert_str_eq(config.access.server, "https://a:6443/path");
        ck_assert_str_eq(config.access.namespace, "ns");
        ck_assert_str_eq(config.ca_file, "/etc/kube/ca.crt");
        ck_assert_str_eq(config.certificate_file, "/x/c.crt");
        ck_assert_str_eq(config.key_file, "/etc/kube/sub/c.key");
        ck_assert_str_eq(config.token_file, "/etc/kube/tok");
        ck_assert_ptr_null(config.access.token);
}
END_TEST

START_TEST(test_data_first) {
        _cleanup_(kubeconfig_clear) struct kubeconfig config = { 0 };

        ck_assert_int_eq(
                parse(CONTEXTS CLUSTER(", certificate-authority: ca, certificate-authority-data: \"Y\\nQ==\"")
                              USER("client-certificate-data: Yg==, client-key-data: Yw=="),
                      "c", &config, NULL),
                0);
        ck_assert_str_eq(config.access.ca_pem, "a");
        ck_assert_str_eq(config.access.certificate_pem, "b");
        ck_assert_str_eq(config.access.key_pem, "c");
        ck_assert_ptr_null(config.ca_file);
}
END_TEST

START_TEST(test_by_another_way) {
        _cleanup_(kubeconfig_clear) struct kubeconfig config = { 0 };

        ck_assert_int_eq(
                parse(CONTEXTS CLUSTER(", tls-server-name: kubernetes.default, proxy-url: 'socks5://u:p@h'")
                              USER("as: 'system:serviceaccount:a:b', as-uid: '7', as-groups: [c, 'd e']"),
                      NULL, &config, NULL),
                0);
        ck_assert_str_eq(config.access.tls_server_name, "kubernetes.default");
        ck_assert_str_eq(config.access.proxy_url, "socks5://u:p@h:1080");
        ck_assert_str_eq(config.access.as, "system:serviceaccount:a:b");
        ck_assert_str_eq(config.access.as_uid, "7");
        ck_assert_str_eq(config.access.as_groups[0], "c");
        ck_assert_str_eq(config.access.as_groups[1], "d e");
        ck_assert_ptr_null(config.access.as_groups[2]);
}
END_TEST

START_TEST(test_exec) {
        static const struct {
                const char *command, *wanted;
        } rows[] = { { "aws", "aws" }, { "./bin/x", "/etc/kube/./bin/x" }, { "/bin/x", "/bin/x" } };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(kubeconfig_clear) struct kubeconfig config = { 0 };
                _cleanup_(freep) char *text = NULL;
                const struct kube_exec *exec;

                ck_assert_int_gt(asprintf(&text,
                                          CONTEXTS CLUSTER("")
                                                  USER("exec: {apiVersion: client.authentication.k8s.io/v1, "
                                                       "command: %s, args: [a, 'b "
                                                       "c'], env: [{name: N, value: v=w}, {name: E}], "
                                                       "provideClusterInfo: true, "
                                                       "installHint: x, interactiveMode: Never}"),
                                          rows[i].command),
                                 0);
                ck_assert_int_eq(parse(text, NULL, &config, NULL), 0);
                exec = config.access.exec;
                ck_assert_str_eq(exec->command[0], rows[i].wanted);
                ck_assert_str_eq(exec->command[1], "a");
                ck_assert_str_eq(exec->command[2], "b c");
                ck_assert_ptr_null(exec->command[3]);
                ck_assert_str_eq(exec->variables[0], "N=v=w");
                ck_assert_str_eq(exec->variables[1], "E=");
                ck_assert_ptr_null(exec->variables[2]);
                ck_assert(exec->wants_cluster);
        }
}
END_TEST

TEST_MAIN("kubeconfig", test_refused, test_passed_over, test_files, test_data_first, test_by_another_way,
          test_exec)
