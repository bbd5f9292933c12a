/* The account of a pod, and files that a kubeconfig file names: read anew each time. */

#include "lib/kubeconfig/kube-place.h"

#include "tests/support/scratch.h"
#include "tests/test.h"

#define TEST_CONFIG                                                                          \
        "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"        \
        "clusters: [{name: k, cluster: {server: 'https://a', certificate-authority: ca}}]\n" \
        "users: [{name: u, user: {tokenFile: token}}]\n"

static int read_account(const char *directory, struct kube_access *ret, struct error *error) {
        const struct kube_place place = { .account = directory };

        return kube_place_read(&place, ret, error);
}

static void set_service(const char *host, const char *port) {
        if (host)
                setenv("KUBERNETES_SERVICE_HOST", host, 1);
        else
                unsetenv("KUBERNETES_SERVICE_HOST");
        if (port)
                setenv("KUBERNETES_SERVICE_PORT", port, 1);
        else
                unsetenv("KUBERNETES_SERVICE_PORT");
}

static void write_account(const char *directory) {
        scratch_write(directory, "token", "abc\n", 0600);
        scratch_write(directory, "ca.crt", "PEM", 0644);
        scratch_write(directory, "namespace", "ns\n", 0644);
}

START_TEST(test_account) {
        _cleanup_(scratch_freep) char *directory = scratch_new();
        _cleanup_(kube_access_clear) struct kube_access access = { 0 }, again = { 0 };

        set_service("10.0.0.1", "443");
        write_account(directory);
        ck_assert_int_eq(read_account(directory, &access, NULL), 0);
        ck_assert_str_eq(access.server, "https://10.0.0.1:443");
        ck_assert_str_eq(access.namespace, "ns");
        ck_assert_str_eq(access.token, "abc");
        ck_assert_str_eq(access.ca_pem, "PEM");
        set_service("fd00::1", "6443");
        scratch_write(directory, "token", "new", 0600);
        ck_assert_int_eq(read_account(directory, &again, NULL), 0);
        ck_assert_str_eq(again.server, "https://[fd00::1]:6443");
        ck_assert_str_eq(again.token, "new");
}
END_TEST

START_TEST(test_account_refused) {
        static const struct {
                const char *host, *port, *file, *text, *error;
                int code;
        } rows[] = {
                { NULL, "443", NULL, NULL, "this is no pod", -ENOENT },
                { "a", NULL, NULL, NULL, "this is no pod", -ENOENT },
                { "a b", "443", NULL, NULL, "name no server", -EINVAL },
                { "a", "0", NULL, NULL, "name no server", -EINVAL },
                { "a", "443", "token", "", "token is empty", -EINVAL },
                { "a", "443", "token", "\n", "has no token", -EINVAL },
                { "a", "443", "token", "a b", "has no token", -EINVAL },
                { "a", "443", "token", NULL, "token: No such file", -ENOENT },
                { "a", "443", "ca.crt", NULL, "ca.crt: No such file", -ENOENT },
                { "a", "443", "namespace", "A", "no name of a namespace", -EINVAL },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(scratch_freep) char *directory = scratch_new();
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                struct kube_access access;

                set_service(rows[i].host, rows[i].port);
                write_account(directory);
                if (rows[i].file && rows[i].text)
                        scratch_write(directory, rows[i].file, rows[i].text, 0600);
                else if (rows[i].file) {
                        _cleanup_(freep) char *path = scratch_path(directory, rows[i].file);

                        ck_assert_int_eq(unlink(path), 0);
                }
                ck_assert_int_eq(read_account(directory, &access, &error), rows[i].code);
                ck_assert_msg(strstr(error_text(&error), rows[i].error), "%s", error_text(&error));
        }
}
END_TEST

START_TEST(test_file) {
        _cleanup_(scratch_freep) char *directory = scratch_new();
        _cleanup_(freep) char *path = scratch_path(directory, "config");
        _cleanup_(kube_access_clear) struct kube_access access = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        const struct kube_place place = { .path = path }, other = { .path = path, .context = "x" };
        struct kube_access none;

        ck_assert_int_eq(kube_place_read(&place, &none, &error), -ENOENT);
        scratch_write(directory, "config", TEST_CONFIG, 0600);
        ck_assert_int_eq(kube_place_read(&place, &none, &error), -ENOENT);
        scratch_write(directory, "ca", "PEM", 0600);
        scratch_write(directory, "token", "abc", 0600);
        ck_assert_int_eq(kube_place_read(&place, &access, NULL), 0);
        ck_assert_str_eq(access.token, "abc");
        ck_assert_int_eq(kube_place_read(&other, &none, &error), -EINVAL);
        ck_assert_msg(strstr(error_text(&error), "no context 'x'"), "%s", error_text(&error));
}
END_TEST

TEST_MAIN("kube-place", test_account, test_account_refused, test_file)
