/*
 * The commands of devconnector's README, over the certificate-secured endpoint. What stands between them
 * there, jq and the shell, is done here and not counted: the comparison is with openssl and curl. Left out
 * are its commands that only print or verify, though rekeyd does verify, and calls the Connector for that.
 */

#include "bench/tutorial.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "lib/util/macro.h"
#include "tests/support/scratch.h"

extern char **environ;

static uint64_t timeval_nsec(struct timeval t) {
        return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_usec * 1000u;
}

/* Runs ARGV with its output in the file OUT; adds its CPU time to *NSEC. */
static void run(const char *const *argv, const char *out, uint64_t *nsec) {
        posix_spawn_file_actions_t actions;
        struct rusage usage;
        int status, r;
        pid_t pid;

        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        r = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
        ck_assert_msg(r == 0, "cannot run %s", argv[0]);
        posix_spawn_file_actions_destroy(&actions);
        while (wait4(pid, &status, 0, &usage) < 0)
                ck_assert_int_eq(errno, EINTR);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s %s failed", argv[0], argv[1]);
        *nsec += timeval_nsec(usage.ru_utime) + timeval_nsec(usage.ru_stime);
}

#define RUN(out, nsec, ...) run((const char *const[]) { __VA_ARGS__, NULL }, out, nsec)

/* A GraphQL call as CURL makes it; the member RESULT of the reply's `data`, owned by the caller. */
static json_t *call(const struct tutorial *t, const char *query, uint64_t *nsec) {
        _cleanup_(freep) char *out = scratch_path(t->directory, "reply.json"), *text = NULL;
        json_t *body = json_pack("{s:s}", "query", query), *reply, *result;
        char *data = json_dumps(body, 0);

        RUN(out, nsec, "curl", "-s", "--cacert", t->trust, "--cert", t->certificate, "--key", t->key, "-H",
            "Content-Type: application/json", "-d", data, t->url);
        free(data);
        json_decref(body);
        text = scratch_read(t->directory, "reply.json");
        reply = json_loads(text, 0, NULL);
        result = json_incref(json_object_get(json_object_get(reply, "data"), "result"));
        ck_assert_msg(result != NULL, "the Connector said: %s", text);
        json_decref(reply);
        return result;
}

/* A member of RESULT, which is base64 of PEM, as the file NAME. */
static void decode(const struct tutorial *t, const json_t *result, const char *member, const char *name,
                   uint64_t *nsec) {
        _cleanup_(freep) char *in = scratch_path(t->directory, "reply.b64"),
                              *out = scratch_path(t->directory, name);

        scratch_write(t->directory, "reply.b64", json_string_value(json_object_get(result, member)), 0600);
        RUN(out, nsec, "openssl", "base64", "-d", "-A", "-in", in);
}

uint64_t tutorial_renew(const struct tutorial *t) {
        _cleanup_(freep) char *csr = scratch_path(t->directory, "app.csr"),
                              *out = scratch_path(t->directory, "out"), *base64 = NULL, *query = NULL;
        uint64_t nsec = 0;
        json_t *result;

        json_decref(call(t,
                         "query { result: configuration { token { token } certificateSigningRequestInfo { "
                         "subject keyAlgorithm } managementPlaneInfo { directorURL "
                         "certificateSecuredConnectorURL } } }",
                         &nsec));
        RUN(out, &nsec, "openssl", "req", "-new", "-sha256", "-key", t->next_key, "-out", csr, "-subj",
            t->subject);
        RUN(out, &nsec, "openssl", "base64", "-A", "-in", csr);
        base64 = scratch_read(t->directory, "out");
        ck_assert_int_ge(asprintf(&query,
                                  "mutation { result: signCertificateSigningRequest(csr: \"%s\") { "
                                  "certificateChain caCertificate clientCertificate } }",
                                  base64),
                         0);
        result = call(t, query, &nsec);
        decode(t, result, "certificateChain", "app.crt", &nsec);
        decode(t, result, "caCertificate", "ca.crt", &nsec);
        json_decref(result);
        return nsec;
}
