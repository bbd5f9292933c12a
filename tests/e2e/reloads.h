#pragma once

/* A rekeyd that is told to read its configuration anew. */

#include <signal.h>

#include "daemon/observe/messages.h"
#include "tests/support/fixture.h"
#include "tests/test.h"

#define CERTIFICATE(name, token)       \
        "  " name ":\n"                \
        "    connector: dev\n"         \
        "    directory: %s/" name "\n" \
        "    token_file: %s/" token "\n"

#define INVOICES CERTIFICATE("invoices", "token2")

#define TOLD(who) "    notify: [{command: [%s/tell, " who "]}]\n"

#define HOLD_SIGN "{\"fault\":\"hold\",\"at\":\"sign\"}"

#define A_MONTH "30d"

static inline bool is_wrapped(void) {
        return getenv("REKEYD_TEST_WRAPPER");
}

/* The line with MESSAGE_ID of CERTIFICATE; what others say meanwhile is passed over. */
static inline void await_of(struct fixture *fixture, const char *message_id, const char *certificate) {
        for (;;) {
                json_t *line = fixture_await(fixture, message_id);
                bool is_it = streq(member(line, "certificate"), certificate);

                json_decref(line);
                if (is_it)
                        return;
        }
}

static inline const char *output(struct fixture *fixture) {
        return process_output(fixture->rekeyd, PROCESS_STDERR);
}

/* Too long for a message of Check. */
static inline bool show(const char *text) {
        fprintf(stderr, "%s\n", text);
        return false;
}

/* How often a line of TEXT says both. */
static inline unsigned count_lines(const char *text, const char *a, const char *b) {
        unsigned n = 0;

        for (const char *line = text; line && *line;) {
                size_t size = strcspn(line, "\n");
                _cleanup_(freep) char *copy = strndup(line, size);

                n += strstr(copy, a) && strstr(copy, b) ? 1 : 0;
                line += size + (line[size] == '\n');
        }
        return n;
}

static inline void reload(struct fixture *fixture, const char *expected) {
        json_t *line;

        process_signal(fixture->rekeyd, SIGHUP);
        line = fixture_await(fixture, MESSAGE_RELOADED);
        ck_assert_msg(strstr(member(line, "message"), expected) != NULL, "%s", member(line, "message"));
        json_decref(line);
}

/* Until there were N lines with MESSAGE_ID in all. */
static inline void await_count(struct fixture *fixture, const char *message_id, unsigned n) {
        while (count_lines(output(fixture), message_id, "") < n) {
                _cleanup_(freep) char *line = process_await(fixture->rekeyd, PROCESS_STDERR, "");

                ck_assert_msg(line != NULL, "rekeyd never logged %s for the %uth time", message_id, n);
        }
}

static inline void assert_file(struct fixture *fixture, const char *name, const char *expected) {
        _cleanup_(freep) char *text = scratch_read(fixture->directory, name);

        ck_assert_msg(text && streq(text, expected), "%s: %s", name, text ? text : "(none)");
}

static inline bool exists(struct fixture *fixture, const char *name) {
        _cleanup_(freep) char *path = scratch_path(fixture->directory, name);

        return access(path, F_OK) == 0;
}

static inline void write_dependent(struct fixture *fixture) {
        scratch_write(fixture->directory, "tell",
                      "#!/bin/sh\n"
                      "cd \"${0%/*}\" || exit 1\n"
                      "if [ -e slow ]; then echo $1 begins; while [ -e slow ]; do sleep 0.1; done; fi\n"
                      "if [ -e failing-$1 ]; then exit 1; fi\n"
                      "echo \"$1 $REKEYD_GENERATION\" >> told\n",
                      0700);
}

/* Certificates that are due after a tenth of their lifetime, with nine left to do it in. */
static inline void configure_busy(struct fixture *fixture, const char *certificates) {
        fixture_configure(fixture, certificates);
        fixture_edit(fixture, "jitter: 0%", "jitter: 0%, renew_before: 90%");
}

/* A running rekeyd with CERTIFICATES, of which the tokens `token` and `token2` enrol the first two. */
static inline struct fixture *fixture_running(const char *lifetime, const char *certificates) {
        struct fixture *fixture = fixture_new(FIXTURE_LASTING(lifetime));

        write_dependent(fixture);
        if (streq(lifetime, A_MONTH))
                fixture_configure(fixture, certificates);
        else
                configure_busy(fixture, certificates);
        fixture_token(fixture, "client-1", "token");
        fixture_token(fixture, "client-2", "token2");
        fixture_start(fixture, NULL);
        await_count(fixture, MESSAGE_ENROLLED, strstr(certificates, "invoices") ? 2 : 1);
        await_count(fixture, MESSAGE_CURRENT, strstr(certificates, "invoices") ? 2 : 1);
        return fixture;
}
