/*
 * An operator's revocation that is cut off. The Connector may have revoked the certificate or not, and cannot
 * be asked; so from before the call until it is certain that nothing was done, rekeyd counts it as revoked,
 * also after a restart, and calls again. The kills at every system call are in test-crash-revoke.c.
 *
 * Of connector-service the second call hears the outcome of the first: 201, or that the certificate has been
 * revoked. Its errors are no answers for ever, so they leave a doubt as well.
 */

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/support/fixture.h"
#include "tests/test.h"

#define KEPT                         \
        "  orders:\n"                \
        "    connector: dev\n"       \
        "    directory: %s/orders\n" \
        "    keep: 3\n"

/* A look takes long where they are to be written. */
#define EXPORTS                           \
        KEPT "    exports:\n"             \
             "      - {path: %s/a.pem}\n" \
             "      - {path: %s/b.pem}\n" \
             "      - {path: %s/c.pem}\n" \
             "      - {path: %s/d.pem}\n"

#define ADOPTED                       \
        "  orders:\n"                 \
        "    connector: dev\n"        \
        "    directory: %s/adopted\n" \
        "    import: {key: %s/orders/tls.key, certificate: %s/orders/tls.crt, ca: %s/orders/ca.crt}\n"

#define EMPTY_400 "{\"fault\":\"empty-400\",\"at\":\"revoke\"}"
/* The answer is lost, of one call. */
#define LOST(executed) \
        "{\"fault\":\"cut-connection\",\"executed\":" executed ",\"at\":\"revoke\",\"count\":1}"

/* --- rekeyctl --- */

static struct process *start(struct fixture *fixture, const char *command, const char *option) {
        _cleanup_(freep) char *socket = scratch_path(fixture->directory, "control.sock");
        const char *argv[] = {
                getenv("REKEYD_TEST_REKEYCTL"), "--socket", socket, command, "orders", option, NULL,
        };

        return process_start(argv, true);
}

/* COMMAND ends with STATUS and has said SAYS. A look may be under way after anything, and rekeyd then says to
 * wait: that is no result. */
static void check(struct fixture *fixture, const char *command, const char *option, int status,
                  const char *says) {
        const usec_t deadline = now_usec(CLOCK_MONOTONIC) + patience_usec();

        for (;;) {
                _cleanup_(process_freep) struct process *process = start(fixture, command, option);
                _cleanup_(freep) char *text = NULL;
                int r = process_wait(process);

                ck_assert_int_ge(asprintf(&text, "%s%s", process_output(process, PROCESS_STDOUT),
                                          process_output(process, PROCESS_STDERR)),
                                 0);
                if (r == 6 && strstr(text, "is under way") && now_usec(CLOCK_MONOTONIC) < deadline)
                        continue;
                ck_assert_msg(r == status && strstr(text, says), "%s: %d, and not %d and '%s': %s", command,
                              r, status, says, text);
                return;
        }
}

static void ask(struct fixture *fixture, int status, const char *says) {
        check(fixture, "revoke", "--yes", status, says);
}

static void check_usable(struct fixture *fixture, bool is_usable) {
        check(fixture, "show", "--json", 0, is_usable ? "\"usable\":true" : "\"usable\":false");
}

/* --- The stand --- */

static void start_ready(struct fixture *fixture, bool is_usable) {
        json_t *line;

        fixture_start(fixture, NULL);
        line = fixture_await(fixture, MESSAGE_READY);
        ck_assert_msg(strstr(member(line, "message"), is_usable ? "1 of 1" : "0 of 1"), "%s",
                      member(line, "message"));
        json_decref(line);
}

/* What it says of an operator's revocation may come before it is ready. */
static void start_and_await(struct fixture *fixture, bool is_usable, const char *message_id,
                            const char *text) {
        const char *ready = is_usable ? "ready: 1 of 1" : "ready: 0 of 1";
        json_t *line;

        fixture_start(fixture, NULL);
        line = fixture_await(fixture, message_id);
        ck_assert_msg(strstr(member(line, "message"), text), "not '%s' but: %s", text,
                      member(line, "message"));
        json_decref(line);
        if (!strstr(process_output(fixture->rekeyd, PROCESS_STDERR), ready)) {
                _cleanup_(freep) char *other = process_await(fixture->rekeyd, PROCESS_STDERR, ready);

                ck_assert_ptr_nonnull(other);
        }
}

static void enrol(struct fixture *fixture) {
        _cleanup_(freep) char *token = NULL, *option = NULL;

        fixture_token(fixture, "client-1", "token");
        token = scratch_path(fixture->directory, "token");
        ck_assert_int_ge(asprintf(&option, "--token-file=%s", token), 0);
        check(fixture, "enrol", option, 0, "enrolled: generation ");
}

/* rekeyd runs, with one generation. */
static struct fixture *begin(const char *certificates) {
        struct fixture *fixture = fixture_new(FIXTURE_LASTING("2h"));
        fixture_configure(fixture, certificates);
        fixture_add_control(fixture);
        start_ready(fixture, false);
        enrol(fixture);
        return fixture;
}

static void restart(struct fixture *fixture, bool is_usable) {
        ck_assert_int_eq(fixture_stop(fixture), 0);
        start_ready(fixture, is_usable);
}

static void await_text(struct fixture *fixture, const char *message_id, const char *text) {
        json_t *line = fixture_await(fixture, message_id);

        ck_assert_msg(strstr(member(line, "message"), text), "not '%s' but: %s", text,
                      member(line, "message"));
        json_decref(line);
}

/* Whether the journal names a generation that may be revoked. */
static bool is_in_doubt(struct fixture *fixture) {
        _cleanup_(freep) char *text = scratch_read(fixture->directory, "state/orders.json");
        json_t *state = json_loads(text, 0, NULL);
        bool result = json_is_integer(json_object_get(state, "revoking_generation"));

        ck_assert_ptr_nonnull(json_object_get(state, "revoking_generation"));
        json_decref(state);
        return result;
}

static void end(struct fixture *fixture) {
        ck_assert_int_eq(fixture_stop(fixture), 0);
        fixture_free(fixture);
}

/* --- What is certain --- */

#define NO_CERTAIN_ERROR    "error that says that nothing was revoked"
#define ERRORS_ARE_DOUBTFUL "an error is a status of 500, so it is asked again"

/* Why a row has no meaning in the protocol of this run is said. */
static bool is_left_out(const char *fault, const char *why) {
        if (why)
                test_report("%s is left out of %s: %s", fault, fixture_protocol(), why);
        return why != NULL;
}

START_TEST(what_is_turned_away_stays_in_use) {
        static const struct {
                const char *fault, *not_in_service;
        } rows[] = {
                { EMPTY_400, NULL },
                { "{\"fault\":\"revoke-fails\",\"at\":\"revoke\"}", ERRORS_ARE_DOUBTFUL },
                { "{\"fault\":\"graphql-error\",\"at\":\"revoke\"}", ERRORS_ARE_DOUBTFUL },
                { "{\"fault\":\"rate-limit\",\"at\":\"revoke\"}", NULL },
                { "{\"fault\":\"status\",\"status\":404,\"at\":\"revoke\"}", NULL },
                { "{\"fault\":\"redirect\",\"at\":\"revoke\"}", NULL },
                { "{\"fault\":\"tls-close\",\"when\":\"during\"}", NULL },
                { "{\"fault\":\"refuse-certificate\"}", NULL }, /* its CA may come back */
        };
        struct fixture *fixture = begin(KEPT);

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                if (is_left_out(rows[i].fault, by_protocol(NULL, rows[i].not_in_service)))
                        continue;
                fixture_fault(fixture, rows[i].fault);
                ask(fixture, 1, "could not revoke generation 1, which stays in use");
                fixture_lift_faults(fixture);
                check_usable(fixture, true);
                ck_assert(!is_in_doubt(fixture));
        }
        restart(fixture, true);
        ask(fixture, 0, "revoked, generation 1");
        ck_assert(!is_in_doubt(fixture));
        restart(fixture, false);
        ask(fixture, 6, "already revoked");
        end(fixture);
}
END_TEST

/* A directory is where the journal's temporary file goes. */
START_TEST(what_cannot_be_saved_is_not_called) {
        struct fixture *fixture = begin(KEPT);
        _cleanup_(freep) char *obstacle = scratch_path(fixture->directory, "state/.orders.json.rekeyd");

        const usec_t deadline = now_usec(CLOCK_MONOTONIC) + patience_usec();
        int r;

        do /* what came before may still be being saved, under that name */
                r = mkdir(obstacle, 0700);
        while (r < 0 && errno == EEXIST && now_usec(CLOCK_MONOTONIC) < deadline);
        ck_assert_int_eq(r, 0);
        ask(fixture, 1, "the Connector was not called, since the revocation could not be recorded");
        ck_assert_uint_eq(fixture_calls(fixture, "revoke"), 0);
        check_usable(fixture, true);
        ck_assert_int_eq(rmdir(obstacle), 0);
        ask(fixture, 0, "revoked, generation 1");
        end(fixture);
}
END_TEST

/* --- What is not --- */

/* What the second call hears of a first one that was executed, and what follows from that. */
struct second_answer {
        const char *message_id, *text;
        int status; /* of rekeyctl revoke, which says that: */
        const char *says;
        bool is_in_doubt;
};

static const struct second_answer *second_answer(void) {
        /* From now on there is the empty 400 for ever. */
        static const struct second_answer nothing = {
                MESSAGE_NOT_REVOKED,
                "unknown whether generation 1 is revoked, as requested earlier: ",
                1,
                "unknown whether generation 1 is revoked",
                true,
        };
        static const struct second_answer revoked = {
                MESSAGE_REVOKED, "generation 1 was revoked, as requested earlier", 6, "already revoked",
                false,
        };

        return streq(fixture_protocol(), "compass") ? &nothing : &revoked;
}

/* Starts it, and awaits that it calls once more where it is in doubt. */
static void start_in_doubt(struct fixture *fixture, bool is_usable) {
        const struct second_answer *second = second_answer();

        if (second->is_in_doubt)
                start_and_await(fixture, is_usable, second->message_id, second->text);
        else
                start_ready(fixture, is_usable);
}

START_TEST(a_lost_answer_leaves_a_doubt) {
        const struct second_answer *second = second_answer();
        struct fixture *fixture = begin(KEPT);

        fixture_fault(fixture, LOST("true"));
        ask(fixture, 1, "unknown whether generation 1 is revoked");
        check_usable(fixture, false);
        check(fixture, "show", "--json", 0, "\"revoking\":true");
        check(fixture, "show", NULL, 0, "may be revoked: the outcome of the revocation is unknown");
        ck_assert(is_in_doubt(fixture));
        await_text(fixture, MESSAGE_NOT_REVOKED, "unknown whether generation 1 is revoked: ");
        await_text(fixture, second->message_id, second->text);
        ask(fixture, second->status, second->says);
        ck_assert_int_eq(is_in_doubt(fixture), second->is_in_doubt);
        check(fixture, "renew", NULL, 6, "enrol it again");
        check(fixture, "history", NULL, 0, "unknown whether");

        ck_assert_int_eq(fixture_stop(fixture), 0);
        start_in_doubt(fixture, false);
        check_usable(fixture, false);

        /* With a new set it matters no more, and it never comes back. */
        enrol(fixture);
        check_usable(fixture, true);
        check(fixture, "rollback", "--generation=1", 1, "generation 1 was revoked");
        ck_assert_int_eq(fixture_stop(fixture), 0);
        start_in_doubt(fixture, true);
        check(fixture, "rollback", NULL, 1, "no other generation");
        check_usable(fixture, true);
        ask(fixture, 0, "revoked, generation 2");
        ck_assert(!is_in_doubt(fixture));
        end(fixture);
}
END_TEST

START_TEST(a_call_that_was_lost_is_made_again) {
        static const char is_certain[] = "its error is an answer, and nothing was revoked";
        static const struct {
                const char *fault, *not_in_compass, *not_in_service;
        } rows[] = {
                { LOST("false"), NULL, NULL },
                { "{\"fault\":\"timeout-503\",\"at\":\"revoke\",\"count\":1}", NULL,
                  "the older service has no such time limit" },
                { "{\"fault\":\"bad-gateway-502\",\"at\":\"revoke\",\"count\":1}", NULL, NULL },
                { "{\"fault\":\"revoke-fails\",\"at\":\"revoke\",\"count\":1}", is_certain, NULL },
                { "{\"fault\":\"graphql-error\",\"at\":\"revoke\",\"count\":1}", is_certain, NULL },
        };
        struct fixture *fixture = begin(KEPT);

        for (unsigned i = 0; i < ELEMENTSOF(rows); i++) {
                if (is_left_out(rows[i].fault, by_protocol(rows[i].not_in_compass, rows[i].not_in_service)))
                        continue;
                fixture_fault(fixture, rows[i].fault);
                ask(fixture, 1, "counts as revoked, asking again in");
                check_usable(fixture, false);
                fixture_expect(fixture, MESSAGE_REVOKED);
                ck_assert(!is_in_doubt(fixture));
                ask(fixture, 6, "already revoked");
                enrol(fixture);
                check_usable(fixture, true);
        }
        end(fixture);
}
END_TEST

/* Executed and garbled; and then the Connector says that it has not revoked, to a certificate that it lets
 * in: devconnector forgets what it has revoked. */
START_TEST(a_no_ends_the_doubt) {
        struct fixture *fixture = begin(KEPT);

        if (fixture_lacks(fixture, NO_CERTAIN_ERROR)) {
                end(fixture);
                return;
        }
        fixture_fault(fixture, LOST("false"));
        fixture_fault(fixture, "{\"fault\":\"revoke-fails\",\"at\":\"revoke\"}");
        ask(fixture, 1, "unknown whether generation 1 is revoked");
        fixture_expect(fixture, MESSAGE_NOT_REVOKED);
        await_text(fixture, MESSAGE_NOT_REVOKED, "is not revoked, as requested earlier, and can be used");
        await_text(fixture, MESSAGE_CURRENT, "generation 1 is current until");
        check_usable(fixture, true);
        ck_assert(!is_in_doubt(fixture));
        restart(fixture, true);
        end(fixture);
}
END_TEST

/* --- Kills --- */

/* rekeyd is stopped or killed during the call, which devconnector executes after that, or never. */
static void cut_off(bool kill, bool executed) {
        static const struct second_answer revoked = {
                .message_id = MESSAGE_REVOKED,
                .text = "generation 1 was revoked, as requested earlier",
        };
        const struct second_answer *answer = executed ? second_answer() : &revoked;
        struct fixture *fixture = begin(KEPT);
        _cleanup_(process_freep) struct process *rekeyctl = NULL;

        if (!executed)
                fixture_fault(fixture, LOST("false"));
        fixture_fault(fixture, "{\"fault\":\"hold\",\"at\":\"revoke\"}");
        check_usable(fixture, true);
        rekeyctl = start(fixture, "revoke", "--yes");
        fixture_expect_held(fixture);
        ck_assert(is_in_doubt(fixture));
        if (kill)
                fixture_kill(fixture);
        else
                ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_int_ne(process_wait(rekeyctl), 0);
        fixture_lift_faults(fixture);

        /* Not with --once, which has no time. */
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        await_text(fixture, MESSAGE_WAITING, "the certificate may be revoked");
        ck_assert(is_in_doubt(fixture));
        ck_assert_uint_eq(fixture_calls(fixture, "revoke"), 1);

        start_and_await(fixture, false, answer->message_id, answer->text);
        check_usable(fixture, false);
        ck_assert_int_eq(is_in_doubt(fixture), answer->is_in_doubt);
        restart(fixture, false);
        enrol(fixture);
        end(fixture);
}

/* A set that was adopted is generation 0. */
START_TEST(so_it_is_with_the_first_generation) {
        struct fixture *fixture = begin(KEPT);
        _cleanup_(freep) char *url = NULL;

        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_int_ge(asprintf(&url, ", url: \"%s\"", fixture->certificate_url), 0);
        fixture->connector_options = url;
        fixture_configure(fixture, ADOPTED);
        fixture_add_control(fixture);
        start_ready(fixture, true);
        fixture_fault(fixture, LOST("false"));
        ask(fixture, 1, "unknown whether generation 0 is revoked");
        check_usable(fixture, false);
        ck_assert(is_in_doubt(fixture));
        fixture_kill(fixture);
        fixture_lift_faults(fixture);
        start_and_await(fixture, false, MESSAGE_REVOKED, "generation 0 was revoked, as requested earlier");
        ck_assert(!is_in_doubt(fixture));
        ask(fixture, 6, "already revoked");
        end(fixture);
}
END_TEST

/* That it can be used becomes known while a look is under way, which has seen the journal before that. */
START_TEST(a_look_under_way_is_made_again) {
        struct fixture *fixture = begin(EXPORTS);
        _cleanup_(freep) char *command = NULL;
        const char *why;

        if (fixture_lacks(fixture, NO_CERTAIN_ERROR)) {
                end(fixture);
                return;
        }
        fixture_fault(fixture, LOST("false"));
        fixture_fault(fixture, "{\"fault\":\"revoke-fails\",\"at\":\"revoke\"}");
        ask(fixture, 1, "unknown whether generation 1 is revoked");
        fixture_kill(fixture);
        ck_assert_int_ge(asprintf(&command, "rm %s/?.pem", fixture->directory), 0);
        ck_assert_int_eq(system(command), 0);
        why = fixture_start_slow(fixture, "fsync", 400 * USEC_PER_MSEC);
        if (why) {
                test_skip("calls cannot be made slow: %s", why);
                fixture_free(fixture);
                return;
        }
        await_text(fixture, MESSAGE_NOT_REVOKED, "is not revoked, as requested earlier, and can be used");
        await_text(fixture, MESSAGE_CURRENT, "generation 1 is current until");
        check_usable(fixture, true);
        end(fixture);
}
END_TEST

START_TEST(a_kill_before_it_is_revoked) {
        cut_off(true, false);
}
END_TEST

START_TEST(a_kill_after_it_is_revoked) {
        cut_off(true, true);
}
END_TEST

START_TEST(the_end_during_the_call) {
        cut_off(false, true);
}
END_TEST

/* Somebody puts another set into the place of the one that was meant: that one is not revoked. */
START_TEST(another_set_is_not_revoked) {
        struct fixture *fixture = begin(KEPT);
        _cleanup_(freep) char *command = NULL;

        check(fixture, "renew", "--force", 0, "generation 2");
        fixture_fault(fixture, LOST("false"));
        fixture_fault(fixture, "{\"fault\":\"hold\",\"at\":\"revoke\"}");
        _cleanup_(process_freep) struct process *rekeyctl = start(fixture, "revoke", "--yes");
        fixture_expect_held(fixture);
        fixture_kill(fixture);
        (void)process_wait(rekeyctl);
        fixture_lift_faults(fixture);

        ck_assert_int_ge(
                asprintf(&command, "cd %s/orders && cp -p ..gen-000001/* ..gen-000002/", fixture->directory),
                0);
        ck_assert_int_eq(system(command), 0);
        start_and_await(fixture, true, MESSAGE_NOT_REVOKED, "its files were replaced");
        ck_assert_uint_eq(fixture_calls(fixture, "revoke"), 1);
        check_usable(fixture, true);
        restart(fixture, true);
        end(fixture);
}
END_TEST

/* What is taken out of the configuration is not asked again, and goes on when it comes back. */
START_TEST(a_reload_takes_it_out) {
        struct fixture *fixture = begin(KEPT);

        fixture_fault(fixture, LOST("false"));
        fixture_fault(fixture, "{\"fault\":\"hold\",\"at\":\"revoke\"}");
        _cleanup_(process_freep) struct process *rekeyctl = start(fixture, "revoke", "--yes");
        fixture_expect_held(fixture);
        fixture_edit(fixture, "  orders:\n", "  billing:\n");
        fixture_edit(fixture, "/orders\n", "/billing\n");
        fixture_reload(fixture);
        fixture_lift_faults(fixture);
        fixture_edit(fixture, "  billing:\n", "  orders:\n");
        fixture_edit(fixture, "/billing\n", "/orders\n");
        (void)process_wait(rekeyctl);
        fixture_reload(fixture);
        fixture_expect(fixture, MESSAGE_REVOKED);
        restart(fixture, false);
        end(fixture);
}
END_TEST

/* A revocation goes where a renewal goes: the configured URL first, then the one that came with the set. */
START_TEST(one_dead_url_is_no_end) {
        static const struct {
                const char *configured, *learnt; /* NULL: the Connector's */
        } rows[] = {
                { NULL, "https://127.0.0.1:1/connector/graphql" },
                { "https://127.0.0.1:1/connector/graphql", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct fixture *fixture = begin(KEPT);
                const char *live = fixture->certificate_url;
                _cleanup_(freep) char *connection = NULL, *option = NULL;

                ck_assert_int_ge(asprintf(&connection, "{\"%s\": \"%s\"}",
                                          by_protocol("certificateSecuredConnectorURL", "infoUrl"),
                                          rows[i].learnt ? rows[i].learnt : live),
                                 0);
                ck_assert_int_ge(asprintf(&option, "dev: {url: '%s', ",
                                          rows[i].configured ? rows[i].configured : live),
                                 0);
                ck_assert_int_eq(fixture_stop(fixture), 0);
                scratch_write(fixture->directory, "orders/..data/connection.json", connection, 0644);
                fixture_edit(fixture, "dev: {", option);
                start_ready(fixture, true);
                ask(fixture, 0, "revoked, generation 1");
                ck_assert_int_eq(fixture_stop(fixture), 0);
                fixture_free(fixture);
        }
}
END_TEST

TEST_MAIN("revoke", one_dead_url_is_no_end, what_is_turned_away_stays_in_use,
          what_cannot_be_saved_is_not_called, a_lost_answer_leaves_a_doubt,
          a_call_that_was_lost_is_made_again, a_no_ends_the_doubt, so_it_is_with_the_first_generation,
          a_look_under_way_is_made_again, a_kill_before_it_is_revoked, a_kill_after_it_is_revoked,
          the_end_during_the_call, another_set_is_not_revoked, a_reload_takes_it_out)
