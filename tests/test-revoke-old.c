/*
 * `revoke_old`, where something has changed between the swap and the time of the revocation: what is in use
 * is never revoked, whatever rekeyd remembers of it, and what is done is not done twice.
 */

#include <stdlib.h>

#include "tests/support/stand.h"
#include "tests/test.h"

#define ORDERS                       \
        "  orders:\n"                \
        "    connector: dev\n"       \
        "    directory: %s/orders\n" \
        "    token_file: %s/token\n" \
        "    keep: 3\n"              \
        "    revoke_old: 1m\n"       \
        "    notify:\n"              \
        "      - {command: [/bin/true]}\n"

/* rekeyd is stopped, and the revocation of generation 1 is due. */
static void make_due(struct stand *stand) {
        _cleanup_(freep) char *directory = scratch_path(stand->directory, "state"),
                              *text = scratch_read(directory, "orders.json"), *edited = NULL;
        json_t *journal = json_loads(text, 0, NULL);

        ck_assert_int_eq(json_integer_value(json_object_get(journal, "revoke_generation")), 1);
        ck_assert_int_gt(json_integer_value(json_object_get(journal, "revoke_usec")), 0);
        json_integer_set(json_object_get(journal, "revoke_usec"), 1);
        edited = json_dumps(journal, JSON_INDENT(4));
        scratch_write(directory, "orders.json", edited, 0600);
        json_decref(journal);
}

/* Two generations, rekeyd stopped, and the revocation of the first is due. */
static struct stand *begin(void) {
        struct stand *stand = stand_new((const char *[]) { "--lifetime", "2h", NULL });

        stand_configure(stand, ORDERS);
        stand_token(stand, "client-1", "token");
        stand_start(stand, NULL);
        json_decref(stand_await(stand, MESSAGE_ENROLLED));
        json_decref(stand_await(stand, MESSAGE_NOTIFIED));
        stand_edit(stand, "bits: 2048", "bits: 3072");
        stand_reload(stand);
        json_decref(stand_await(stand, MESSAGE_RENEWED));
        json_decref(stand_await(stand, MESSAGE_NOTIFIED));
        ck_assert_int_eq(stand_stop(stand), 0);
        ck_assert_uint_eq(stand_calls(stand, "revoke"), 0);

        make_due(stand);
        /* 3072 bits again would be a renewal of what is brought back. */
        stand_edit(stand, "bits: 3072", "bits: 2048");
        return stand;
}

START_TEST(it_is_done_once) {
        struct stand *stand = begin();

        stand_start(stand, NULL);
        json_decref(stand_await(stand, MESSAGE_REVOKED));
        ck_assert_int_eq(stand_stop(stand), 0);
        ck_assert_int_eq(stand_run(stand, "--once"), 0);
        stand_start(stand, NULL);
        json_decref(stand_await(stand, MESSAGE_CURRENT));
        ck_assert_int_eq(stand_stop(stand), 0);
        ck_assert_uint_eq(stand_calls(stand, "revoke"), 1);
        stand_free(stand);
}
END_TEST

/* The journal knows nothing of it, as after a kill in the middle of a rollback. */
START_TEST(what_is_in_use_again_is_not_revoked) {
        struct stand *stand = begin();
        _cleanup_(freep) char *command = NULL;

        ck_assert_int_ge(
                asprintf(&command,
                         "cd %s/orders && cp -a ..gen-000001 ..gen-000003 && ln -sfn ..gen-000003 ..data",
                         stand->directory),
                0);
        ck_assert_int_eq(system(command), 0);
        stand_start(stand, NULL);
        json_decref(stand_await(stand, MESSAGE_NOTIFIED));
        ck_assert_int_eq(stand_stop(stand), 0);
        ck_assert_uint_eq(stand_calls(stand, "revoke"), 0);
        /* And it is forgotten, not put off. */
        stand_start(stand, NULL);
        json_decref(stand_await(stand, MESSAGE_CURRENT));
        ck_assert_int_eq(stand_stop(stand), 0);
        ck_assert_uint_eq(stand_calls(stand, "revoke"), 0);
        stand_free(stand);
}
END_TEST

/* The exit status of `rekeyctl rollback orders`; OPTION may be NULL. */
static int roll_back(struct stand *stand, const char *option) {
        _cleanup_(freep) char *socket = scratch_path(stand->directory, "control.sock");
        const char *argv[] = {
                getenv("REKEYD_TEST_REKEYCTL"), "--socket", socket, "rollback", "orders", option, NULL
        };
        _cleanup_(process_freep) struct process *rekeyctl = process_start(argv, false);

        return process_wait(rekeyctl);
}

static void listen_to_control(struct stand *stand) {
        _cleanup_(freep) char *control = NULL;

        ck_assert_int_ge(
                asprintf(&control, "control: {socket: %s/control.sock}\ndefaults:", stand->directory), 0);
        stand_edit(stand, "defaults:", control);
}

START_TEST(what_was_revoked_does_not_come_back) {
        struct stand *stand = begin();
        _cleanup_(freep) char *before = NULL, *after = NULL;

        listen_to_control(stand);
        before = scratch_read(stand->directory, "orders/tls.crt");
        stand_start(stand, NULL);
        json_decref(stand_await(stand, MESSAGE_REVOKED));
        ck_assert_int_ne(roll_back(stand, NULL), 0);
        ck_assert_int_ne(roll_back(stand, "--generation=1"), 0);
        ck_assert_int_eq(stand_stop(stand), 0);

        /* Nor after a restart. */
        stand_start(stand, NULL);
        json_decref(stand_await(stand, MESSAGE_CURRENT));
        ck_assert_int_ne(roll_back(stand, "--generation=1"), 0);
        ck_assert_int_ne(roll_back(stand, NULL), 0);
        ck_assert_int_eq(stand_stop(stand), 0);
        after = scratch_read(stand->directory, "orders/tls.crt");
        ck_assert_str_eq(before, after);
        stand_free(stand);
}
END_TEST

static void await_doubt(struct stand *stand) {
        json_t *line = stand_await(stand, MESSAGE_NOT_REVOKED);

        ck_assert_msg(strstr(member(line, "message"), "it is not known whether generation 1 is revoked"),
                      "%s", member(line, "message"));
        json_decref(line);
}

/* The answer is lost, and rekeyd is killed: whatever has become of it, it is not used again. */
START_TEST(what_may_be_revoked_does_not_come_back) {
        struct stand *stand = begin();

        listen_to_control(stand);
        stand_fault(stand, "{\"fault\":\"cut-connection\",\"executed\":true,\"at\":\"revoke\",\"count\":1}");
        stand_fault(stand, "{\"fault\":\"hold\",\"at\":\"revoke\"}");
        stand_start(stand, NULL);
        json_decref(stand_await_connector(stand, "\"held\""));
        ck_assert_int_ne(roll_back(stand, NULL), 0);
        stand_lift_faults(stand);
        stand_kill(stand);

        stand_start(stand, NULL);
        await_doubt(stand);
        ck_assert_int_ne(roll_back(stand, "--generation=1"), 0);
        ck_assert_int_ne(roll_back(stand, NULL), 0);
        ck_assert_int_eq(stand_stop(stand), 0);
        stand_free(stand);
}
END_TEST

/* But what is certainly not revoked does. */
START_TEST(what_is_not_revoked_comes_back) {
        struct stand *stand = begin();

        listen_to_control(stand);
        stand_fault(stand, "{\"fault\":\"revoke-fails\",\"at\":\"revoke\"}");
        stand_start(stand, NULL);
        json_decref(stand_await(stand, MESSAGE_NOT_REVOKED));
        ck_assert_int_eq(roll_back(stand, "--generation=1"), 0);
        ck_assert_int_eq(stand_stop(stand), 0);
        stand_free(stand);
}
END_TEST

/* What the Connector has revoked gets the same answer for ever, which says nothing; the end is its expiry. */
START_TEST(the_doubt_ends_with_the_certificate) {
        struct stand *stand = stand_new((const char *[]) { "--lifetime", "2h", NULL });
        _cleanup_(freep) char *fault = NULL;
        json_t *line;

        ck_assert_int_ge(asprintf(&fault,
                                  "{\"fault\":\"short-lifetime\",\"lifetime\":\"%s\",\"at\":\"sign\","
                                  "\"count\":1}",
                                  lifetime(20)),
                         0);
        stand_configure(stand, ORDERS);
        stand_token(stand, "client-1", "token");
        stand_fault(stand, fault);
        stand_start(stand, NULL);
        json_decref(stand_await(stand, MESSAGE_RENEWED));
        json_decref(stand_await(stand, MESSAGE_NOTIFIED));
        ck_assert_int_eq(stand_stop(stand), 0);
        make_due(stand);
        stand_fault(stand, "{\"fault\":\"cut-connection\",\"executed\":true,\"at\":\"revoke\"}");
        stand_start(stand, NULL);
        await_doubt(stand);
        line = stand_await(stand, MESSAGE_REVOKED);
        ck_assert_msg(strstr(member(line, "message"), "has expired, and needs no revocation"), "%s",
                      member(line, "message"));
        json_decref(line);
        ck_assert_int_eq(stand_stop(stand), 0);
        stand_free(stand);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("revoke-old");

        TEST_CASE(suite, it_is_done_once);
        TEST_CASE(suite, what_is_in_use_again_is_not_revoked);
        TEST_CASE(suite, what_was_revoked_does_not_come_back);
        TEST_CASE(suite, what_may_be_revoked_does_not_come_back);
        TEST_CASE(suite, what_is_not_revoked_comes_back);
        TEST_CASE(suite, the_doubt_ends_with_the_certificate);
        return test_run(suite);
}
