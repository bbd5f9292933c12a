/*
 * `rekeyctl adopt`: what an operator hands over is in use once the Connector has accepted it, and not before.
 * Whatever is refused leaves everything as it was. The pair is one that was enrolled elsewhere.
 */

#include <stdlib.h>
#include <unistd.h>

#include "tests/support/fixture.h"
#include "tests/test.h"

#define TAKEN                  \
        "  taken:\n"           \
        "    connector: dev\n" \
        "    directory: %s/taken\n"

#define EXPORTED                                                       \
        "    exports: [{path: %s/taken.pem, contents: [key, leaf]}]\n" \
        "    notify: [{command: [/bin/sh, -c, 'cp %s/taken.pem %s/told.pem']}]\n"

#define GONE "    notify: [{command: [/bin/false]}]\n"

#define PAIR "--key=%s/my.key --certificate=%s/my.crt"

/* OPTIONS, words with %s for the scratch directory, after `rekeyctl COMMAND taken`. */
static void ctl(struct fixture *fixture, const char *command, const char *options, int status,
                const char *text) {
        _cleanup_(freep) char *config = scratch_path(fixture->directory, "rekeyd.yaml"), *words = NULL;
        const char *d = fixture->directory;
        const char *argv[16] = { getenv("REKEYD_TEST_REKEYCTL"), "--config", config, command, "taken" };
        size_t n = 5;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        ck_assert_int_ge(asprintf(&words, options, d, d, d, d), 0);
#pragma GCC diagnostic pop
        for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
                argv[n++] = word;
        {
                _cleanup_(process_freep) struct process *process = process_start(argv, true);
                const int r = process_wait(process);
                const char *output = process_output(process, PROCESS_STDOUT);

                ck_assert_msg(r == status && (strstr(output, text) ||
                                              strstr(process_output(process, PROCESS_STDERR), text)),
                              "rekeyctl %s %s: %d instead of %d with '%s': %s%s", command, options, r, status,
                              text, output, process_last_words(process, PROCESS_STDERR));
                ck_assert_ptr_null(strstr(output, "PRIVATE KEY"));
        }
}

static char *copy(struct fixture *fixture, const char *from, const char *to) {
        char *text = scratch_read(fixture->directory, from);

        ck_assert_ptr_nonnull(text);
        scratch_write(fixture->directory, to, text, 0600);
        return text;
}

/* A pair in my.key and my.crt, of client-1; and a running rekeyd that has MORE of certificate `taken`. */
static struct fixture *fixture_with_pair(const char *more, char **ret_certificate) {
        struct fixture *fixture = fixture_new(FIXTURE_LASTING("2h"));
        _cleanup_(freep) char *yaml = NULL;

        fixture_enrol(fixture, ORDERS);
        free(copy(fixture, "orders/tls.key", "my.key"));
        *ret_certificate = copy(fixture, "orders/tls.crt", "my.crt");
        ck_assert_int_ge(asprintf(&yaml, "%s%s", TAKEN, more), 0);
        fixture_configure(fixture, yaml);
        fixture_add_control(fixture);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_READY);
        return fixture;
}

static void expect_file(struct fixture *fixture, const char *name, const char *text) {
        _cleanup_(freep) char *found = scratch_read(fixture->directory, name);

        ck_assert_msg(streq_null(found, text), "%s is %s", name, found ? found : "not there");
}

START_TEST(a_pair_is_taken_over_and_delivered) {
        _cleanup_(freep) char *certificate = NULL, *url = NULL, *pem = NULL, *told = NULL, *state = NULL;
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_pair(EXPORTED, &certificate);

        ck_assert_int_ge(asprintf(&url, PAIR " --url=%s", "%s", "%s", fixture->certificate_url), 0);
        ctl(fixture, "adopt", url, 0, "/taken/tls.key");
        expect_file(fixture, "taken/tls.crt", certificate);
        expect_file(fixture, "my.crt", certificate); /* stays as it is */

        /* rekeyctl has waited for all who use it. */
        pem = scratch_read(fixture->directory, "taken.pem");
        told = scratch_read(fixture->directory, "told.pem");
        ck_assert_ptr_nonnull(pem);
        ck_assert_ptr_nonnull(strstr(pem, certificate));
        ck_assert(streq_null(told, pem));

        ctl(fixture, "status", "--json", 0, "\"last_result\":\"adopted\"");
        ctl(fixture, "notify", "", 0, "notified");
        ctl(fixture, "status", "--json", 0, "\"last_result\":\"adopted\"");
        ctl(fixture, "renew", "--force", 0, "1 dependent notified, 1 export written");
        ck_assert_int_eq(fixture_stop(fixture), 0);

        /* Neither the log nor the history has the key. */
        state = scratch_read(fixture->directory, "state/taken.history");
        ck_assert_ptr_nonnull(strstr(state, "adopted the given key and certificate as generation 0"));
        ck_assert_ptr_null(strstr(state, "PRIVATE KEY"));
        ck_assert_ptr_null(strstr(process_output(fixture->rekeyd, PROCESS_STDERR), "PRIVATE KEY"));
}
END_TEST

START_TEST(a_good_set_is_replaced_only_by_force) {
        _cleanup_(freep) char *certificate = NULL, *url = NULL, *force = NULL;
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_pair("", &certificate);

        ck_assert_int_ge(asprintf(&url, PAIR " --url=%s", "%s", "%s", fixture->certificate_url), 0);
        ck_assert_int_ge(asprintf(&force, "%s --force --json", PAIR), 0);
        ctl(fixture, "adopt", url, 0, "adopted the given key and certificate as generation 0");
        ctl(fixture, "adopt", PAIR, 6, "or force the adoption to replace it");
        ctl(fixture, "adopt", force, 0, "\"generation\":1"); /* and the URL is that of the set before it */
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

static const struct {
        const char *key, *certificate; /* NULL: as they are */
        const char *options;
        int status;
        const char *text;
} refusals[] = {
        { "certificate", NULL, PAIR, 1, "/my.key: it holds no private key: it is a certificate" },
        { NULL, "key", PAIR, 1, "/my.crt: no certificate: it is a private key" },
        { NULL, "{\"clientCertificate\":\"...\"}", PAIR, 1, "it is JSON" },
        { NULL, NULL, "--key=%s/nowhere --certificate=%s/my.crt", 1, "/nowhere: No such file" },
        { NULL, NULL, PAIR, 1, "the Connector's certificate-secured URL is unknown" },
        { NULL, NULL, PAIR " --url=http://x", 2, "--url must be an https URL" },
        { NULL, NULL, PAIR " --url=https://127.0.0.1:1/", 1, "it is unknown whether the Connector accepts" },
        { NULL, NULL, "--key=%s/my.key", 2, "both --key and --certificate are needed" },
};

static const char *replacement(const char *what, const char *key, const char *certificate) {
        return streq(what, "key") ? key : streq(what, "certificate") ? certificate : what;
}

START_TEST(what_is_refused_changes_nothing) {
        _cleanup_(freep) char *certificate = NULL, *key = NULL;
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_pair("", &certificate);

        key = scratch_read(fixture->directory, "my.key");
        for (size_t i = 0; i < ELEMENTSOF(refusals); i++) {
                const char *other_key = refusals[i].key, *other = refusals[i].certificate;

                scratch_write(fixture->directory, "my.key",
                              other_key ? replacement(other_key, key, certificate) : key, 0600);
                scratch_write(fixture->directory, "my.crt",
                              other ? replacement(other, key, certificate) : certificate, 0600);
                ctl(fixture, "adopt", refusals[i].options, refusals[i].status, refusals[i].text);
                expect_file(fixture, "taken/tls.crt", NULL);
        }
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* As an editor of another system has saved it. */
static void write_utf16(struct fixture *fixture, const char *name, const char *text) {
        _cleanup_(freep) char *path = scratch_path(fixture->directory, name);
        FILE *out = fopen(path, "we");

        ck_assert_ptr_nonnull(out);
        fwrite("\xff\xfe", 1, 2, out);
        for (; *text; text++) {
                fputc(*text, out);
                fputc(0, out);
        }
        ck_assert_int_eq(fclose(out), 0);
}

START_TEST(what_is_beyond_doubt_is_taken) {
        _cleanup_(freep) char *certificate = NULL, *url = NULL, *key = NULL;
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_pair("", &certificate);

        key = scratch_read(fixture->directory, "my.key");
        write_utf16(fixture, "my.key", key);
        write_utf16(fixture, "my.crt", certificate);
        ck_assert_int_ge(asprintf(&url, PAIR " --url=%s", "%s", "%s", fixture->certificate_url), 0);
        ctl(fixture, "adopt", url, 0, "/taken/tls.key");
        expect_file(fixture, "taken/tls.crt", certificate);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(a_key_of_another_certificate_is_refused) {
        _cleanup_(freep) char *certificate = NULL;
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_pair("", &certificate);

        ck_assert_int_eq(fixture_stop(fixture), 0);
        fixture_configure(fixture, ORDERS LARGER_KEY);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2); /* a new key */
        free(copy(fixture, "orders/tls.key", "my.key"));
        fixture_configure(fixture, TAKEN);
        fixture_add_control(fixture);
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_READY);
        ctl(fixture, "adopt", PAIR, 1, "do not belong together");
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(a_dependent_that_fails_has_an_exit_status) {
        _cleanup_(freep) char *certificate = NULL, *url = NULL;
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_pair(GONE, &certificate);

        ck_assert_int_ge(asprintf(&url, PAIR " --url=%s", "%s", "%s", fixture->certificate_url), 0);
        ctl(fixture, "adopt", url, 9, "1 of 1 dependents not notified");
        ctl(fixture, "renew", "--force --no-wait", 0, "renewal requested");
        fixture_expect(fixture, MESSAGE_RENEWED);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(exports_are_written_when_asked) {
        _cleanup_(freep) char *certificate = NULL, *url = NULL, *path = NULL, *pem = NULL;
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_with_pair(EXPORTED, &certificate);

        path = scratch_path(fixture->directory, "taken.pem");
        ctl(fixture, "export", "", 6, "no certificate yet");
        ck_assert_int_ge(asprintf(&url, PAIR " --url=%s", "%s", "%s", fixture->certificate_url), 0);
        ctl(fixture, "adopt", url, 0, "1 dependent notified, 1 export written");
        ck_assert_int_eq(unlink(path), 0);
        ctl(fixture, "export", "", 0, "1 export is current");
        pem = scratch_read(fixture->directory, "taken.pem");
        ck_assert_ptr_nonnull(pem);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

TEST_MAIN("adopt", a_pair_is_taken_over_and_delivered, a_good_set_is_replaced_only_by_force,
          what_is_refused_changes_nothing, what_is_beyond_doubt_is_taken,
          a_key_of_another_certificate_is_refused, a_dependent_that_fails_has_an_exit_status,
          exports_are_written_when_asked)
