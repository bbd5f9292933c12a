/* `rekeyctl add`, `remove` and `needs-renewal`: a certificate without an editor, from its beginning to its
 * end. */

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/fixture.h"
#include "tests/test.h"

/* `rekeyctl LINE`, words with %s for the scratch directory. */
static void ctl(struct fixture *fixture, const char *line, int status, const char *text) {
        _cleanup_(freep) char *config = scratch_path(fixture->directory, "rekeyd.yaml"), *words = NULL;
        const char *argv[20] = { getenv("REKEYD_TEST_REKEYCTL"), "--config", config };
        const char *d = fixture->directory;
        size_t n = 3;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        ck_assert_int_ge(asprintf(&words, line, d, d, d), 0);
#pragma GCC diagnostic pop
        for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
                argv[n++] = word;
        {
                _cleanup_(process_freep) struct process *process = process_start(argv, true);
                const int r = process_wait(process);

                ck_assert_msg(r == status && (strstr(process_output(process, PROCESS_STDOUT), text) ||
                                              strstr(process_output(process, PROCESS_STDERR), text)),
                              "rekeyctl %s: %d instead of %d with '%s': %s%s", line, r, status, text,
                              process_last_words(process, PROCESS_STDOUT),
                              process_last_words(process, PROCESS_STDERR));
        }
}

static void expect_drop_ins(struct fixture *fixture, const char *expected) {
        _cleanup_(freep) char *path = scratch_path(fixture->directory, "conf.d"), *list = NULL;

        if (access(path, F_OK) == 0)
                list = scratch_list(path);
        ck_assert_str_eq(list ? list : "", expected);
}

#define ADD "add taken --connector dev --directory %s/taken"

static struct fixture *fixture_with_rekeyd(void) {
        struct fixture *fixture = fixture_new(FIXTURE_LASTING("2h"));

        fixture_configure(fixture, ORDERS);
        fixture_add_control(fixture);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_READY);
        return fixture;
}

START_TEST(a_certificate_comes_and_goes) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_rekeyd();
        _cleanup_(freep) char *key = NULL;

        ctl(fixture, ADD " --mode 0600 --renew-before 50%%", 0, "rekeyctl enrol taken");
        expect_drop_ins(fixture, "taken.yaml");
        ctl(fixture, "check-config", 0, "is valid: 2 certificates");
        ctl(fixture, "needs-renewal taken", 0, "yes: there is no certificate");
        fixture_token(fixture, "client-1", "handed");
        ctl(fixture, "enrol taken --token-file %s/handed", 0, "enrolled");
        ctl(fixture, "needs-renewal taken", 1, "no: valid until");
        ctl(fixture, "needs-renewal taken --expires-within 3h --json", 0, "\"needs_renewal\":true");

        ctl(fixture, "remove taken", 0, "stay in");
        expect_drop_ins(fixture, "");
        ctl(fixture, "status taken", 5, "there is no certificate 'taken'");
        key = scratch_read(fixture->directory, "taken/tls.key");
        ck_assert_ptr_nonnull(key);
        ck_assert_int_eq(fixture_stop(fixture), 0);

        /* Without rekeyd they do what is theirs. */
        ctl(fixture, ADD " --json", 0, "\"reloaded\":false");
        ctl(fixture, "needs-renewal taken", 1, "no: valid until");
        ctl(fixture, "remove taken --json", 0, "\"certificate\":\"taken\"");
        expect_drop_ins(fixture, "");
}
END_TEST

START_TEST(what_is_wrong_leaves_nothing_behind) {
        static const struct {
                const char *line;
                int status;
                const char *text;
        } rows[] = {
                { "add taken --connector dev", 2, "both --connector and --directory are needed" },
                { "add ../taken --connector dev --directory %s/taken", 2, "NAME '../taken'" },
                { "add taken --connector nobody --directory %s/taken", 1, "conf.d/taken.yaml:4:16: " },
                { "add taken --connector dev --directory %s/orders", 1, "taken was not added" },
                { "add orders --connector dev --directory %s/taken", 6, "is configured already, in " },
                { ADD " --mode 0x", 1, "taken.yaml:6:11: " },
                { "add taken --connector dev --directory relative", 1, "taken.yaml:5:16: " },
                { "remove orders", 6, "edit " },
                { "remove orders", 6, "rekeyd.yaml:" },
                { "remove nobody", 5, "there is no certificate 'nobody'" },
        };
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_rekeyd();

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                ctl(fixture, rows[i].line, rows[i].status, rows[i].text);
                expect_drop_ins(fixture, "");
        }
        ctl(fixture, "check-config", 0, "is valid: 1 certificate");
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* What somebody has written by hand is nobody else's. */
START_TEST(a_file_of_that_name_is_not_touched) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_rekeyd();
        _cleanup_(freep) char *folder = scratch_path(fixture->directory, "conf.d"), *text = NULL;

        ck_assert_int_eq(mkdir(folder, 0755), 0);
        scratch_write(folder, "taken.yaml", "limits: {concurrent_renewals: 3}\n", 0644);
        ctl(fixture, ADD, 1, "cannot write");
        ctl(fixture, "remove taken", 5, "there is no certificate");
        text = scratch_read(folder, "taken.yaml");
        ck_assert_str_eq(text, "limits: {concurrent_renewals: 3}\n");
        expect_drop_ins(fixture, "taken.yaml");
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* Scripts ask at once, and the first inspection may take its time: here each lock does. */
START_TEST(what_was_added_is_known) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("2h"));
        const char *why;

        fixture_configure(fixture, ORDERS);
        fixture_add_control(fixture);
        why = fixture_start_slow(fixture, "flock", 300 * USEC_PER_MSEC);
        if (why) {
                test_skip("what_was_added_is_known: calls cannot be made slow: %s", why);
                return;
        }
        fixture_expect(fixture, MESSAGE_READY);
        ctl(fixture, ADD, 0, "rekeyctl enrol taken");
        ctl(fixture, "needs-renewal taken", 0, "yes: there is no certificate");
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

TEST_MAIN("add", a_certificate_comes_and_goes, what_was_added_is_known, what_is_wrong_leaves_nothing_behind,
          a_file_of_that_name_is_not_touched)
