/* What the real rekeyd counts, by the file that it leaves behind: each run of `--once` ends with the last
 * word. */

#include <stdio.h>
#include <sys/stat.h>

#include "lib/life/renewal.h"
#include "tests/support/fixture.h"
#include "tests/test.h"

#define NOTIFIED ORDERS "    notify: [{command: [%s/tell]}]\n"

static struct fixture *fixture_with_file(void) {
        struct fixture *fixture = fixture_new(FIXTURE_LASTING("30d"));
        _cleanup_(freep) char *metrics = NULL;

        fixture_configure(fixture, NOTIFIED);
        ck_assert_int_gt(
                asprintf(&metrics, "metrics: {textfile: %s/rekeyd.prom}\ndefaults:", fixture->directory), 0);
        fixture_edit(fixture, "defaults:", metrics);
        scratch_write(fixture->directory, "tell", "#!/bin/sh\n", 0700);
        return fixture;
}

/* The value of SERIES in the file; -1 where there is none. */
static double value_of(struct fixture *fixture, const char *series) {
        _cleanup_(freep) char *text = scratch_read(fixture->directory, "rekeyd.prom");
        size_t n = strlen(series);

        ck_assert_ptr_nonnull(text);
        for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
                if (strncmp(line, series, n) == 0 && line[n] == ' ')
                        return strtod(line + n, NULL);
        return -1;
}

struct expectation {
        const char *series;
        double value;
};

#define CERTIFICATE "{certificate=\"orders\"}"

static void expect(struct fixture *fixture, const struct expectation *rows, size_t n) {
        for (size_t i = 0; i < n; i++)
                ck_assert_msg(value_of(fixture, rows[i].series) == rows[i].value, "%s is %g and not %g",
                              rows[i].series, value_of(fixture, rows[i].series), rows[i].value);
}

#define EXPECT(fixture, ...)                                               \
        do {                                                               \
                static const struct expectation rows_[] = { __VA_ARGS__ }; \
                expect(fixture, rows_, ELEMENTSOF(rows_));                 \
        } while (0)

START_TEST(a_failure_is_counted_by_its_class) {
        struct fixture *fixture = fixture_with_file();
        unsigned n_classes = 0;

        fixture_fault(fixture, "{\"fault\":\"empty-400\",\"at\":\"sign\"}");
        fixture_token(fixture, "client-1", "token");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 1);
        EXPECT(fixture, { "rekeyd_attempts_total", 1 }, { "rekeyd_signatures_total", 1 },
               { "rekeyd_enrolments_total", 0 }, { "rekeyd_certificate_usable" CERTIFICATE, 0 },
               { "rekeyd_certificate_failures" CERTIFICATE, 1 },
               { "rekeyd_step_duration_seconds_count{step=\"key\"}", 1 },
               { "rekeyd_step_duration_seconds_count{step=\"commit\"}", 0 },
               { "rekeyd_certificate_expiry_timestamp_seconds{certificate=\"orders\",connector=\"dev\"}",
                 -1 },
               { "rekeyd_certificate_generation" CERTIFICATE, -1 });
        /* One class, and the same for the certificate. */
        for (unsigned i = FAILURE_TRANSIENT; i < FAILURE_MAX; i++) {
                char total[80], failing[100];

                snprintf(total, sizeof(total), "rekeyd_attempt_failures_total{class=\"%s\"}",
                         failure_names[i]);
                snprintf(failing, sizeof(failing),
                         "rekeyd_certificate_failing{certificate=\"orders\",class=\"%s\"}", failure_names[i]);
                ck_assert_int_eq(value_of(fixture, total) == 1, value_of(fixture, failing) == 1);
                n_classes += value_of(fixture, total) == 1 ? 1 : 0;
        }
        ck_assert_uint_eq(n_classes, 1);
        fixture_free(fixture);
}
END_TEST

START_TEST(an_enrolment_is_counted) {
        struct fixture *fixture = fixture_with_file();
        double now = (double)now_usec(CLOCK_REALTIME) / 1e6, expiry, not_before, renewal;
        struct stat st;

        fixture_token(fixture, "client-1", "token");
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);
        EXPECT(fixture, { "rekeyd_ready", 1 }, { "rekeyd_certificates", 1 }, { "rekeyd_attempts_total", 1 },
               { "rekeyd_signatures_total", 1 }, { "rekeyd_enrolments_total", 1 },
               { "rekeyd_renewals_total", 0 }, { "rekeyd_certificate_usable" CERTIFICATE, 1 },
               { "rekeyd_certificate_revoked" CERTIFICATE, -1 },
               { "rekeyd_certificate_generation" CERTIFICATE, 1 },
               { "rekeyd_certificate_failures" CERTIFICATE, 0 },
               { "rekeyd_certificate_issuance_budget_left" CERTIFICATE, 99 },
               { "rekeyd_certificate_state{certificate=\"orders\",state=\"current\"}", 1 },
               { "rekeyd_certificate_notifications_pending" CERTIFICATE, -1 },
               { "rekeyd_notifications_total{result=\"success\"}", 1 },
               { "rekeyd_notifications_total{result=\"failure\"}", 0 });
        for (unsigned i = STEP_INSPECT; i < STEP_MAX; i++) {
                char series[80];

                snprintf(series, sizeof(series), "rekeyd_step_duration_seconds_count{step=\"%s\"}",
                         renewal_step_names[i]);
                ck_assert_msg(value_of(fixture, series) >= 1, "%s", series);
        }
        ck_assert(value_of(fixture, "rekeyd_key_generation_cpu_seconds_total") > 0);

        expiry = value_of(
                fixture,
                "rekeyd_certificate_expiry_timestamp_seconds{certificate=\"orders\",connector=\"dev\"}");
        not_before = value_of(fixture, "rekeyd_certificate_not_before_timestamp_seconds" CERTIFICATE);
        renewal = value_of(fixture, "rekeyd_certificate_renewal_timestamp_seconds" CERTIFICATE);
        ck_assert(not_before >= now - 5 && not_before < now + 600);
        ck_assert(expiry - not_before == 30 * 86400);
        ck_assert(renewal > not_before && renewal < expiry);

        _cleanup_(freep) char *path = scratch_path(fixture->directory, "rekeyd.prom");
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0644);

        /* The next run has nothing to do, but still knows what there is. */
        ck_assert_int_eq(fixture_run(fixture, "--once"), 0);
        EXPECT(fixture, { "rekeyd_attempts_total", 0 }, { "rekeyd_certificate_usable" CERTIFICATE, 1 });
        fixture_free(fixture);
}
END_TEST

TEST_MAIN("metrics-live", a_failure_is_counted_by_its_class, an_enrolment_is_counted)
