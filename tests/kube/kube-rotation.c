#include "tests/kube/kube-rotation.h"

#include "tests/test.h"

void kube_rotation_begin(struct kube_rotation *rotation, struct kube_fixture *fixture, const char *rights,
                         const char *server, const char *more) {
        const char *namespace = fixture->namespace;
        _cleanup_(freep) char *site = NULL;

        *rotation = (struct kube_rotation) { .fixture = fixture };
        ck_assert(asprintf(&rotation->signer, "secret:%s/signer[ca.key,ca.crt]", namespace) >= 0 &&
                  asprintf(&rotation->trust, "secret:%s/trust[ca.crt]", namespace) >= 0 &&
                  asprintf(&rotation->state, "secret:%s/rotation", namespace) >= 0 &&
                  asprintf(&site, "ca_window: 0s\nca_lifetime: 3650d\nkey_bits: 2048\n%s", more) >= 0);
        scratch_write(fixture->directory, "site.yaml", site, 0600);
        rotation->config = scratch_path(fixture->directory, "site.yaml");
        rotation->kubeconfig = kube_user(fixture, "operator", rights, server);
}

void kube_rotation_end(struct kube_rotation *rotation) {
        process_free(rotation->rekeyca);
        free(rotation->kubeconfig);
        free(rotation->config);
        free(rotation->signer);
        free(rotation->trust);
        free(rotation->state);
}

void kube_rotation_start(struct kube_rotation *rotation, const char *verb, const char *a, const char *b) {
        const char *argv[] = { getenv("REKEYD_TEST_REKEYCA"),
                               verb,
                               "--config",
                               rotation->config,
                               "--signer",
                               rotation->signer,
                               "--trust",
                               rotation->trust,
                               "--state",
                               rotation->state,
                               rotation->kubeconfig ? "--kubeconfig" : a,
                               rotation->kubeconfig ? rotation->kubeconfig : b,
                               rotation->kubeconfig ? a : NULL,
                               rotation->kubeconfig ? b : NULL,
                               NULL };

        rotation->rekeyca = process_free(rotation->rekeyca);
        rotation->rekeyca = process_start(argv, true);
}

void kube_rotation_run(struct kube_rotation *rotation, int expected, const char *verb, const char *a,
                       const char *b) {
        int status;

        kube_rotation_start(rotation, verb, a, b);
        status = process_wait(rotation->rekeyca);
        ck_assert_msg(status == expected, "rekeyca %s ends with %d: %s%s", verb, status,
                      process_last_words(rotation->rekeyca, PROCESS_STDOUT),
                      process_last_words(rotation->rekeyca, PROCESS_STDERR));
        ck_assert_ptr_null(strstr(process_output(rotation->rekeyca, PROCESS_STDOUT), "PRIVATE KEY"));
        ck_assert_ptr_null(strstr(process_output(rotation->rekeyca, PROCESS_STDERR), "PRIVATE KEY"));
}

void kube_rotation_expect_error(const struct kube_rotation *rotation, const char *text) {
        ck_assert_msg(strstr(process_output(rotation->rekeyca, PROCESS_STDERR), text), "%s",
                      process_last_words(rotation->rekeyca, PROCESS_STDERR));
}
