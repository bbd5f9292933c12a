/* What rekeyd and rekeyctl must not do because of their environment, and must not write because somebody
 * sends it. */

#include <dirent.h>
#include <sys/stat.h>

#include "daemon/observe/messages.h"
#include "lib/util/quote.h"
#include "tests/support/fixture.h"
#include "tests/test.h"

#define LINE_MAX_SIZE (10 * QUOTE_MAX) /* all that a line has besides */

START_TEST(no_keys_of_connections_on_disk) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        _cleanup_(freep) char *path = scratch_path(fixture->directory, "keys");
        const char *const ctl[] = { fixture_program("REKEYCTL"), "--socket", "/nonexistent", "status", NULL };
        struct process *rekeyctl;

        fixture_prepare(fixture, ORDERS); /* by libcurl in this process */
        setenv("SSLKEYLOGFILE", path, 1);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        ck_assert_int_ne(access(path, F_OK), 0);
        rekeyctl = process_start(ctl, false);
        (void)process_wait(rekeyctl);
        process_free(rekeyctl);
        ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

/* A reply of `configuration` in which %s is long. */
#define CONFIGURATION(algorithm, subject, url)                                                   \
        "{\"data\":{\"result\":{\"certificateSigningRequestInfo\":{\"subject\":\"" subject       \
        "\",\"keyAlgorithm\":\"" algorithm "\"},\"managementPlaneInfo\":{\"directorURL\":\"" url \
        "\",\"certificateSecuredConnectorURL\":\"" url "\"}}}}"
#define SUBJECT "O=Org,OU=OrgUnit,L=locality,ST=province,C=DE,CN=client-1"

/* Lines, and everything below the state directory. */
static void assert_short(struct fixture *fixture, const char *what) {
        _cleanup_(freep) char *output = strdup(process_output(fixture->rekeyd, PROCESS_STDERR));
        _cleanup_(freep) char *state = scratch_path(fixture->directory, "state");
        DIR *directory = opendir(state);
        char *rest = NULL;

        for (char *line = strtok_r(output, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
                ck_assert_msg(strlen(line) < LINE_MAX_SIZE, "%s: a line of %zu bytes: %.300s", what,
                              strlen(line), line);
        ck_assert_ptr_nonnull(directory);
        for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
                struct stat info;

                ck_assert_int_eq(fstatat(dirfd(directory), entry->d_name, &info, 0), 0);
                ck_assert_msg(!S_ISREG(info.st_mode) || info.st_size < 64 * 1024, "%s: %s has %lld bytes",
                              what, entry->d_name, (long long)info.st_size);
        }
        closedir(directory);
}

START_TEST(no_long_lines) {
        static const struct {
                const char *name, *body;
                unsigned status;
                size_t size;
        } rows[] = {
                { "key algorithm", CONFIGURATION("%s", SUBJECT, "https://c.example.com/"), 200, 50000 },
                { "no subject", CONFIGURATION("rsa2048", "%s", "https://c.example.com/"), 200, 50000 },
                { "unknown attribute", CONFIGURATION("rsa2048", "%s=x", "https://c.example.com/"), 200,
                  4000 },
                { "attribute", CONFIGURATION("rsa2048", "O=Org,C=%s", "https://c.example.com/"), 200, 4000 },
                { "common name", CONFIGURATION("rsa2048", "CN=%s", "https://c.example.com/"), 200, 4000 },
                { "url", CONFIGURATION("rsa1", SUBJECT, "http://%s/"), 200, 20000 },
                { "error", "{\"errors\":[{\"message\":\"%s\"}]}", 200, 50000 },
                { "message", "{\"Message\":\"%s\"}", 400, 50000 },
                { "gateway", "{\"error\":{\"message\":\"%s\"}}", 503, 50000 },
                { "not json", "%s", 200, 50000 },
        };
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING("1h"));

        fixture_enrol(fixture, ORDERS);
        fixture_configure(fixture, ORDERS LARGER_KEY);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *filler = calloc(1, rows[i].size + 1), *body = NULL, *fault = NULL;
                _cleanup_(json_decrefp) json_t *json = NULL;

                ck_assert_ptr_nonnull(filler);
                for (size_t k = 0; k < rows[i].size; k++)
                        filler[k] = k % 20 == 19 ? ' ' : 'x'; /* a long run might be a token */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
                if (strstr(strstr(rows[i].body, "%s") + 1, "%s"))
                        ck_assert_int_gt(asprintf(&body, rows[i].body, filler, filler), 0);
                else
                        ck_assert_int_gt(asprintf(&body, rows[i].body, filler), 0);
#pragma GCC diagnostic pop
                json = json_pack("{s:s, s:s, s:i, s:s}", "fault", "status", "at", "configuration", "status",
                                 (int)rows[i].status, "body", body);
                fault = json_dumps(json, JSON_COMPACT);
                ck_assert_ptr_nonnull(fault);
                fixture_fault(fixture, fault);
                ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
                assert_short(fixture, rows[i].name);
                fixture_lift_faults(fixture);
        }
}
END_TEST

TEST_MAIN("environment", no_keys_of_connections_on_disk, no_long_lines)
