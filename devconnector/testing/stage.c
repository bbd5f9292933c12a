/*
 * Where tests of devconnector begin, and the answers that they often expect.
 */

#include "devconnector/testing/stage.h"

#include <check.h>
#include <stdio.h>

#include "tests/support/scratch.h"

/* A directory with CAs in it, made once: keys are slow under valgrind. */
static char *template;

char *stage_directory(void) {
        static const char *const names[] = { "ca.crt",        "ca.key",     "clients.pem", "server-ca.crt",
                                             "server-ca.key", "server.crt", "server.key" };
        char *directory = scratch_new();

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_(freep) char *text = scratch_read(template, names[i]);

                ck_assert_msg(text != NULL, "REKEYD_TEST_DEVCONNECTOR must name the program");
                scratch_write(directory, names[i], text, 0600);
        }
        return directory;
}

void stage_clear(struct stage *stage) {
        dev_stop(stage->dev);
        scratch_free(stage->directory);
}

struct stage stage_new(const char *const *options) {
        struct stage stage = { .directory = stage_directory() };

        stage.dev = dev_start(stage.directory, options);
        return stage;
}

void check_empty_400(struct response response, const char *what) {
        _cleanup_(response_clear) struct response owned = response;
        _cleanup_(freep) char *type = response_header(&owned, "Content-Type");
        _cleanup_(freep) char *length = response_header(&owned, "Content-Length");

        ck_assert_msg(owned.status == 400 && owned.size == 0, "%s: %ld %s %s", what, owned.status,
                      owned.error, owned.body);
        ck_assert_str_eq(type, EMPTY_400_TYPE);
        ck_assert_str_eq(length, "0");
}

void check_error(struct response response, const char *message, const char *what) {
        _cleanup_(response_clear) struct response owned = response;
        _cleanup_(freep) char *expected = NULL;

        if (asprintf(&expected, "{\"errors\":[{\"message\":\"%s\",\"path\":[\"result\"]}],\"data\":null}",
                     message) < 0)
                abort();
        ck_assert_msg(owned.status == 200 && streq(owned.body, expected), "%s: %s %ld %s, not %s", what,
                      owned.error, owned.status, owned.body, expected);
}

void check_probe(struct response response, const char *what) {
        _cleanup_(response_clear) struct response owned = response;

        ck_assert_msg(owned.status == 200 && streq(owned.body, "{\"data\":{\"__typename\":\"Query\"}}"),
                      "%s: %s %ld %s", what, owned.error, owned.status, owned.body);
}

struct response probe(const struct dev *dev, const struct identity *identity) {
        return dev_call(dev, identity, NULL, QUERY_PROBE, NULL);
}

char *token_in(struct response response) {
        _cleanup_(response_clear) struct response owned = response;
        _cleanup_(json_decrefp) json_t *reply = json_loads(owned.body, 0, NULL);
        const char *token;

        ck_assert_msg(json_unpack(reply, "{s:{s:{s:{s:s}}}}", "data", "result", "token", "token", &token) ==
                              0,
                      "%s %ld %s", owned.error, owned.status, owned.body);
        return strdup(token);
}

char *good_csr(EVP_PKEY *key, const char *subject) {
        _cleanup_(freep) char *pem = csr_pem(key, &(struct csr_options) { .subject = subject });

        return base64_of(pem, strlen(pem));
}

void stage_init(void) {
        const char *argv[] = { getenv("REKEYD_TEST_DEVCONNECTOR"), "--directory", NULL, NULL };
        struct process *process;

        template = scratch_new();
        argv[2] = template;
        if (!argv[0])
                return;
        process = process_start(argv, false);
        free(process_await(process, PROCESS_STDOUT, "\"ready\""));
        process_free(process);
}

void stage_done(void) {
        template = scratch_free(template);
}
