/* Credential plugins: what they are told, and what their output means. */

#include "lib/kubeconfig/kube-exec.h"

#include "lib/util/json.h"
#include "tests/test.h"

#define V1   "client.authentication.k8s.io/v1"
#define HEAD "{\"apiVersion\":\"" V1 "\",\"kind\":\"ExecCredential\",\"status\":"

static struct kube_exec exec = { .api = (char *)V1 };

START_TEST(test_refused) {
        static const struct {
                const char *output, *error;
        } rows[] = {
                { "", "it is empty" },
                { "hello", "it is not JSON" },
                { "{}", "no ExecCredential" },
                { "{\"kind\":\"ExecCredential\"}", "apiVersion is not" },
                { "{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "beta1\",\"status\":{\"token\":\"a\"}}",
                  "apiVersion is not" },
                { "{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\"}", "no status" },
                { HEAD "{}}", "neither a token nor a certificate" },
                { HEAD "{\"token\":\"\"}}", "neither a token nor a certificate" },
                { HEAD "{\"clientCertificateData\":\"a\"}}", "only one of" },
                { HEAD "{\"token\":\"a\",\"clientKeyData\":\"a\"}}", "only one of" },
                { HEAD "{\"token\":\"a\\r\\nX: y\"}}", "characters that no token has" },
                { HEAD "{\"token\":\"secret\",\"expirationTimestamp\":\"soon\"}}", "no time" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                struct kube_credentials credentials;

                ck_assert_int_eq(
                        kube_exec_read(&exec, rows[i].output, strlen(rows[i].output), &credentials, &error),
                        -EINVAL);
                ck_assert_msg(strstr(error_text(&error), rows[i].error), "%s", error_text(&error));
                ck_assert_ptr_null(strstr(error_text(&error), "secret"));
        }
}
END_TEST

START_TEST(test_read) {
        static const struct {
                const char *time;
                usec_t end_usec;
        } rows[] = {
                { "\"2026-11-20T18:06:53Z\"", UINT64_C(1795198013000000) },
                { "\"2026-11-20T18:06:53.987654321Z\"", UINT64_C(1795198013000000) },
                { "\"2026-11-20T19:06:53+01:00\"", UINT64_C(1795198013000000) },
                { "null", USEC_INFINITY },
                { "\"\"", USEC_INFINITY },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(kube_credentials_clear) struct kube_credentials credentials = { 0 }, copy = { 0 };
                char output[400];

                snprintf(output, sizeof(output),
                         HEAD "{\"token\":\"t\",\"clientCertificateData\":\"c\",\"clientKeyData\":\"k\","
                              "\"expirationTimestamp\":%s}}",
                         rows[i].time);
                ck_assert_int_eq(kube_exec_read(&exec, output, strlen(output), &credentials, NULL), 0);
                ck_assert_uint_eq(credentials.end_usec, rows[i].end_usec);
                ck_assert_int_eq(kube_credentials_copy(&credentials, &copy), 0);
                ck_assert_str_eq(copy.token, "t");
                ck_assert_str_eq(copy.certificate_pem, "c");
                ck_assert_str_eq(copy.key_pem, "k");
        }
        ck_assert(kube_exec_knows(V1) && kube_exec_knows(V1 "beta1") && !kube_exec_knows(V1 "alpha1"));
}
END_TEST

/* The variable NAME in ENVIRONMENT; NULL: none. */
static const char *variable(char **environment, const char *name) {
        const char *found = NULL;

        for (; *environment; environment++)
                if (has_prefix(*environment, name) && (*environment)[strlen(name)] == '=') {
                        ck_assert_ptr_null(found);
                        found = *environment + strlen(name) + 1;
                }
        return found;
}

START_TEST(test_environment) {
        for (int wants = 0; wants < 2; wants++) {
                char *variables[] = { (char *)"A=own", (char *)"KUBERNETES_EXEC_INFO=forged", NULL };
                char *outer[] = { (char *)"A=outer", (char *)"AB=kept", (char *)"KUBERNETES_EXEC_INFO=old",
                                  NULL };
                struct kube_exec plugin = { .api = (char *)V1,
                                            .variables = variables,
                                            .wants_cluster = wants };
                const struct kube_access access = {
                        .server = (char *)"https://a",
                        .ca_pem = (char *)"PEM",
                        .tls_server_name = (char *)"b",
                        .proxy_url = (char *)"http://p:80",
                        .exec = &plugin,
                };
                char **environment;
                json_t *info, *cluster;
                const char *text;

                ck_assert_int_eq(kube_exec_environment(&access, outer, &environment), 0);
                ck_assert_str_eq(variable(environment, "A"), "own");
                ck_assert_str_eq(variable(environment, "AB"), "kept");
                text = variable(environment, "KUBERNETES_EXEC_INFO");
                ck_assert_int_eq(json_read(text, strlen(text), 10000, &info, NULL), 0);
                ck_assert(json_is_false(json_object_get(json_object_get(info, "spec"), "interactive")));
                cluster = json_object_get(json_object_get(info, "spec"), "cluster");
                ck_assert(!cluster == !wants);
                if (wants) {
                        ck_assert_str_eq(json_string_value(json_object_get(cluster, "server")), "https://a");
                        ck_assert_str_eq(
                                json_string_value(json_object_get(cluster, "certificate-authority-data")),
                                "UEVN");
                        ck_assert_str_eq(json_string_value(json_object_get(cluster, "tls-server-name")), "b");
                        ck_assert_str_eq(json_string_value(json_object_get(cluster, "proxy-url")),
                                         "http://p:80");
                }
                json_decref(info);
                kube_exec_environment_free(environment);
        }
}
END_TEST

TEST_MAIN("kube-exec", test_refused, test_read, test_environment)
