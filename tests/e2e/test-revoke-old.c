/*
 * `revoke_old`, where something has changed between the swap and the time of the revocation: what is in use
 * is never revoked, whatever rekeyd remembers of it, and what is done is not done twice.
 */

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/fixture.h"
#include "tests/test.h"

#define REVOKED                       \
        ORDERS "    keep: 3\n"        \
               "    revoke_old: 1m\n" \
               "    notify:\n"        \
               "      - {command: [/bin/true]}\n"

/* rekeyd is stopped, and the revocation of generation 1 is due. */
static void make_due(struct fixture *fixture) {
        _cleanup_(freep) char *directory = scratch_path(fixture->directory, "state"),
                              *text = scratch_read(directory, "orders.json"), *edited = NULL;
        json_t *state = json_loads(text, 0, NULL);

        ck_assert_int_eq(json_integer_value(json_object_get(state, "revoke_generation")), 1);
        ck_assert_int_gt(json_integer_value(json_object_get(state, "revoke_usec")), 0);
        json_integer_set(json_object_get(state, "revoke_usec"), 1);
        edited = json_dumps(state, JSON_INDENT(4));
        scratch_write(directory, "orders.json", edited, 0600);
        json_decref(state);
}

/* Two generations, rekeyd stopped, and the revocation of the first is due. */
static struct fixture *begin(void) {
        struct fixture *fixture = fixture_new(FIXTURE_LASTING("2h"));

        fixture_prepare(fixture, REVOKED);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_ENROLLED);
        fixture_expect(fixture, MESSAGE_NOTIFIED);
        fixture_edit(fixture, "bits: 2048", "bits: 3072");
        fixture_reload(fixture);
        fixture_expect(fixture, MESSAGE_RENEWED);
        fixture_expect(fixture, MESSAGE_NOTIFIED);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_uint_eq(fixture_calls(fixture, "revoke"), 0);

        make_due(fixture);
        /* 3072 bits again would be a renewal of what is brought back. */
        fixture_edit(fixture, "bits: 3072", "bits: 2048");
        return fixture;
}

START_TEST(it_is_done_once) {
        struct fixture *fixture = begin();

        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_REVOKED);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 0);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_CURRENT);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_uint_eq(fixture_calls(fixture, "revoke"), 1);
        fixture_free(fixture);
}
END_TEST

/* The journal knows nothing of it, as after a kill in the middle of a rollback. */
START_TEST(what_is_in_use_again_is_not_revoked) {
        struct fixture *fixture = begin();
        _cleanup_(freep) char *command = NULL;

        ck_assert_int_ge(
                asprintf(&command,
                         "cd %s/orders && cp -a ..gen-000001 ..gen-000003 && ln -sfn ..gen-000003 ..data",
                         fixture->directory),
                0);
        ck_assert_int_eq(system(command), 0);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_NOTIFIED);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_uint_eq(fixture_calls(fixture, "revoke"), 0);
        /* And it is forgotten, not put off. */
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_CURRENT);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_uint_eq(fixture_calls(fixture, "revoke"), 0);
        fixture_free(fixture);
}
END_TEST

/* The exit status of `rekeyctl rollback orders`; OPTION may be NULL. */
static int roll_back(struct fixture *fixture, const char *option) {
        _cleanup_(freep) char *socket = scratch_path(fixture->directory, "control.sock");
        const char *argv[] = {
                getenv("REKEYD_TEST_REKEYCTL"), "--socket", socket, "rollback", "orders", option, NULL
        };
        _cleanup_(process_freep) struct process *rekeyctl = process_start(argv, false);

        return process_wait(rekeyctl);
}

START_TEST(what_was_revoked_does_not_come_back) {
        struct fixture *fixture = begin();
        _cleanup_(freep) char *before = NULL, *after = NULL;

        fixture_add_control(fixture);
        before = scratch_read(fixture->directory, "orders/tls.crt");
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_REVOKED);
        ck_assert_int_ne(roll_back(fixture, NULL), 0);
        ck_assert_int_ne(roll_back(fixture, "--generation=1"), 0);
        ck_assert_int_eq(fixture_stop(fixture), 0);

        /* Nor after a restart. */
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_CURRENT);
        ck_assert_int_ne(roll_back(fixture, "--generation=1"), 0);
        ck_assert_int_ne(roll_back(fixture, NULL), 0);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        after = scratch_read(fixture->directory, "orders/tls.crt");
        ck_assert_str_eq(before, after);
        fixture_free(fixture);
}
END_TEST

static void await_doubt(struct fixture *fixture) {
        fixture_expect_message(fixture, MESSAGE_NOT_REVOKED, "unknown whether generation 1 is revoked");
}

/* The second call hears nothing of what the first one has done, or that it was done. */
static void await_second_answer(struct fixture *fixture) {
        if (streq(fixture->protocol, "compass"))
                await_doubt(fixture);
        else
                fixture_expect_message(fixture, MESSAGE_REVOKED, "generation 1 was revoked");
}

/* The answer is lost, and rekeyd is killed: whatever has become of it, it is not used again. */
START_TEST(what_may_be_revoked_does_not_come_back) {
        struct fixture *fixture = begin();

        fixture_add_control(fixture);
        fixture_fault(fixture,
                      "{\"fault\":\"cut-connection\",\"executed\":true,\"at\":\"revoke\",\"count\":1}");
        fixture_fault(fixture, "{\"fault\":\"hold\",\"at\":\"revoke\"}");
        fixture_start(fixture, NULL);
        fixture_expect_held(fixture);
        ck_assert_int_ne(roll_back(fixture, NULL), 0);
        fixture_lift_faults(fixture);
        fixture_kill(fixture);

        fixture_start(fixture, NULL);
        await_second_answer(fixture);
        ck_assert_int_ne(roll_back(fixture, "--generation=1"), 0);
        ck_assert_int_ne(roll_back(fixture, NULL), 0);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        fixture_free(fixture);
}
END_TEST

/* But what is certainly not revoked does. An error of the Connector itself says so in GraphQL only. */
START_TEST(what_is_not_revoked_comes_back) {
        struct fixture *fixture = begin();

        fixture_add_control(fixture);
        fixture_fault(fixture, by_protocol("{\"fault\":\"revoke-fails\",\"at\":\"revoke\"}",
                                           "{\"fault\":\"status\",\"status\":404,\"at\":\"revoke\"}"));
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_NOT_REVOKED);
        ck_assert_int_eq(roll_back(fixture, "--generation=1"), 0);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        fixture_free(fixture);
}
END_TEST

/* No call hears anything: in GraphQL not even after the first one was executed. The end is its expiry. */
START_TEST(the_doubt_ends_with_the_certificate) {
        struct fixture *fixture = fixture_new(FIXTURE_LASTING("2h"));
        _cleanup_(freep) char *fault = NULL;

        ck_assert_int_ge(asprintf(&fault,
                                  "{\"fault\":\"short-lifetime\",\"lifetime\":\"%s\",\"at\":\"sign\","
                                  "\"count\":1}",
                                  lifetime(20)),
                         0);
        fixture_prepare(fixture, REVOKED);
        fixture_fault(fixture, fault);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_RENEWED);
        fixture_expect(fixture, MESSAGE_NOTIFIED);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        make_due(fixture);
        fixture_fault(fixture,
                      by_protocol("{\"fault\":\"cut-connection\",\"executed\":true,\"at\":\"revoke\"}",
                                  "{\"fault\":\"cut-connection\",\"executed\":false,\"at\":\"revoke\"}"));
        fixture_start(fixture, NULL);
        await_doubt(fixture);
        fixture_expect_message(fixture, MESSAGE_REVOKED, "has expired and needs no revocation");
        ck_assert_int_eq(fixture_stop(fixture), 0);
        fixture_free(fixture);
}
END_TEST

/* --- Copies of machines --- */

/* An image of the machine: the state and the sets, and whatever is in them. */
static void copy_machine(struct fixture *fixture) {
        _cleanup_(freep) char *command = NULL;

        ck_assert_int_ge(asprintf(&command, "cd %s && cp -a state copy && cp -a orders copied-orders",
                                  fixture->directory),
                         0);
        ck_assert_int_eq(system(command), 0);
}

static json_t *read_state(struct fixture *fixture, const char *directory) {
        _cleanup_(freep) char *path = scratch_path(fixture->directory, directory),
                              *text = scratch_read(path, "orders.json");
        json_t *state = json_loads(text, 0, NULL);

        ck_assert_ptr_nonnull(state);
        return state;
}

/* The copy runs on a machine with another id than that of which it is a copy. */
static void be_another_machine(struct fixture *fixture) {
        _cleanup_(freep) char *path = scratch_path(fixture->directory, "copy"), *edited = NULL;
        json_t *state = read_state(fixture, "copy");

        json_object_set_new(json_object_get(state, "saved"), "machine_id",
                            json_string("00000000000000000000000000000001"));
        edited = json_dumps(state, JSON_INDENT(4));
        scratch_write(path, "orders.json", edited, 0600);
        json_decref(state);
}

/* From now on the fixture's rekeyd is that of the copy. */
static void use_copy(struct fixture *fixture) {
        fixture_edit(fixture, "/state\n", "/copy\n");
        fixture_edit(fixture, "/orders\n", "/copied-orders\n");
}

static bool knows_machines(void) {
        _cleanup_(freep) char *text = NULL;
        FILE *file = fopen("/etc/machine-id", "re");
        size_t size = 0;
        bool knows = file && getline(&text, &size, file) > 32;

        if (file)
                fclose(file);
        if (!knows)
                test_report("this machine has no id");
        return knows;
}

static void renew(struct fixture *fixture) {
        _cleanup_(freep) char *socket = scratch_path(fixture->directory, "control.sock");
        const char *argv[] = {
                getenv("REKEYD_TEST_REKEYCTL"), "--socket", socket, "renew", "orders", "--force", NULL
        };
        _cleanup_(process_freep) struct process *rekeyctl = process_start(argv, false);

        ck_assert_int_eq(process_wait(rekeyctl), 0);
        fixture_expect(fixture, MESSAGE_NOTIFIED);
}

START_TEST(a_copy_leaves_alone_what_the_other_machine_uses) {
        struct fixture *fixture = begin(); /* generation 2, and 1 is to be revoked */
        json_t *state;

        fixture_add_control(fixture);
        copy_machine(fixture);
        be_another_machine(fixture);
        use_copy(fixture);
        if (knows_machines()) {
                fixture_start(fixture, NULL);
                fixture_expect_message(fixture, MESSAGE_COPIED, "was copied from another machine");
                fixture_expect(fixture, MESSAGE_READY);
                ck_assert_int_eq(fixture_stop(fixture), 0);
                state = read_state(fixture, "copy");
                ck_assert(json_is_true(json_object_get(state, "copied")));
                ck_assert_int_eq(json_integer_value(json_object_get(state, "revoke_usec")), 0);
                json_decref(state);

                fixture_start(fixture, NULL);
                fixture_expect(fixture, MESSAGE_READY);
                ck_assert_ptr_null(
                        strstr(process_output(fixture->rekeyd, PROCESS_STDERR), MESSAGE_COPIED)); /* once */
                renew(fixture);
                ck_assert_int_eq(fixture_stop(fixture), 0);
                state = read_state(fixture, "copy");
                ck_assert(json_is_false(json_object_get(state, "copied")));
                ck_assert_int_eq(json_integer_value(json_object_get(state, "revoke_usec")), 0);
                json_decref(state);
                ck_assert_uint_eq(fixture_calls(fixture, "revoke"), 0);

                /* What it has got since is its own. */
                fixture_start(fixture, NULL);
                fixture_expect(fixture, MESSAGE_READY);
                renew(fixture);
                ck_assert_int_eq(fixture_stop(fixture), 0);
                state = read_state(fixture, "copy");
                ck_assert_int_eq(json_integer_value(json_object_get(state, "revoke_generation")), 3);
                json_decref(state);
        }
        fixture_free(fixture);
}
END_TEST

/* The original does not know of its copy. In GraphQL a revoked certificate hears nothing, in REST that it is
 * revoked. */
START_TEST(a_copy_hears_why_it_is_rejected) {
        const char *class = by_protocol("transient", "rejected");
        struct fixture *fixture = fixture_new(FIXTURE_LASTING("2h"));

        fixture_prepare(fixture, REVOKED);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_ENROLLED);
        fixture_expect(fixture, MESSAGE_NOTIFIED);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        copy_machine(fixture);

        fixture_edit(fixture, "bits: 2048", "bits: 3072");
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_RENEWED);
        fixture_expect(fixture, MESSAGE_NOTIFIED);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        make_due(fixture);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_REVOKED);
        ck_assert_int_eq(fixture_stop(fixture), 0);

        use_copy(fixture);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        fixture_expect_failure(fixture, class, "is this machine a copy of another one");
        be_another_machine(fixture);
        if (knows_machines()) {
                ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
                fixture_expect_failure(fixture, class,
                                       "copied from another machine, which may have revoked the certificate");
        }
        fixture_free(fixture);
}
END_TEST

TEST_MAIN("revoke-old", it_is_done_once, what_is_in_use_again_is_not_revoked,
          what_was_revoked_does_not_come_back, what_may_be_revoked_does_not_come_back,
          what_is_not_revoked_comes_back, the_doubt_ends_with_the_certificate,
          a_copy_leaves_alone_what_the_other_machine_uses, a_copy_hears_why_it_is_rejected)
