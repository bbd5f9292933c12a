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

/* Two generations, rekeyd stopped, and the revocation of the first is due. */
static struct stand *begin(void) {
        struct stand *stand = stand_new((const char *[]) { "--lifetime", "2h", NULL });
        _cleanup_(freep) char *directory = scratch_path(stand->directory, "state"), *text = NULL,
                              *edited = NULL;
        json_t *journal;

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

        text = scratch_read(directory, "orders.json");
        journal = json_loads(text, 0, NULL);
        ck_assert_int_eq(json_integer_value(json_object_get(journal, "revoke_generation")), 1);
        ck_assert_int_gt(json_integer_value(json_object_get(journal, "revoke_usec")), 0);
        json_integer_set(json_object_get(journal, "revoke_usec"), 1);
        edited = json_dumps(journal, JSON_INDENT(4));
        scratch_write(directory, "orders.json", edited, 0600);
        json_decref(journal);
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

START_TEST(what_was_revoked_does_not_come_back) {
        struct stand *stand = begin();
        _cleanup_(freep) char *control = NULL, *before = NULL, *after = NULL;

        ck_assert_int_ge(
                asprintf(&control, "control: {socket: %s/control.sock}\ndefaults:", stand->directory), 0);
        stand_edit(stand, "defaults:", control);
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

int main(void) {
        Suite *suite = suite_create("revoke-old");

        TEST_CASE(suite, it_is_done_once);
        TEST_CASE(suite, what_is_in_use_again_is_not_revoked);
        TEST_CASE(suite, what_was_revoked_does_not_come_back);
        return test_run(suite);
}
