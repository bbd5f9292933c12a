/* A name server that says nothing: calls end by their time-outs, and nothing waits for it but they. */

#include <signal.h>

#include "daemon/observe/messages.h"
#include "tests/support/fixture.h"
#include "tests/support/name-server.h"
#include "tests/test.h"

/* A lookup would go on for more than a minute. */
#define SOON            (10 * USEC_PER_SEC)
#define LONGEST_TURN_MS 1000u

static struct fixture *fixture_with_far_connector(void) {
        struct fixture *fixture = fixture_new(NULL);

        fixture->connector_options = ", timeout: 1s";
        fixture_prepare(fixture, ORDERS);
        fixture_edit(fixture, "https://localhost:", "https://connector.example.com:");
        return fixture;
}

/* SIGTERM is obeyed at once, and no turn of the loop was long. */
static void stop(struct fixture *fixture) {
        static const char longest[] = "the longest turn of the loop took ";
        const usec_t begin = now_usec(CLOCK_MONOTONIC);
        const char *line;
        unsigned ms = 0;

        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_uint_lt(now_usec(CLOCK_MONOTONIC) - begin, SOON);
        line = strstr(process_output(fixture->rekeyd, PROCESS_STDERR), longest);
        ck_assert_ptr_nonnull(line);
        ck_assert_int_eq(sscanf(line + strlen(longest), "%u", &ms), 1);
        ck_assert_uint_lt(ms, LONGEST_TURN_MS);
}

START_TEST(a_lookup_holds_up_no_end) {
        _cleanup_(fd_closep) int server = name_server_open();
        _cleanup_(fixture_freep) struct fixture *fixture = NULL;
        char name[256];

        if (server < 0)
                return;
        fixture = fixture_with_far_connector();
        fixture_edit(fixture, "timeout: 1s", "timeout: 60s");
        fixture_start(fixture, NULL);
        ck_assert(name_server_await(server, false, patience_usec(), name));
        ck_assert_str_eq(name, "connector.example.com");
        stop(fixture);
}
END_TEST

START_TEST(a_lookup_ends_with_its_call) {
        _cleanup_(fd_closep) int server = name_server_open();
        _cleanup_(fixture_freep) struct fixture *fixture = NULL;
        char name[256];

        if (server < 0)
                return;
        fixture = fixture_with_far_connector();
        fixture_start(fixture, NULL);
        ck_assert(name_server_await(server, false, patience_usec(), name));
        fixture_expect_failure(fixture, "transient",
                               "the name connector.example.com cannot be looked up: no name server has "
                               "answered in time");
        stop(fixture);
}
END_TEST

TEST_MAIN("name-server", a_lookup_holds_up_no_end, a_lookup_ends_with_its_call)
