/* Answers: what each status means, for what reads and for what changes. */

#include "lib/kube/kube-answer.h"

#include "tests/test.h"

#define STATUS(reason, more) "{\"kind\":\"Status\",\"message\":\"why not\",\"reason\":\"" reason "\"" more "}"

static int read_answer(unsigned status, const char *body, bool changes, usec_t header, usec_t *ret_retry,
                       struct error *error) {
        _cleanup_(json_decrefp) json_t *object = NULL;
        const struct kube_reply reply = { status, body, strlen(body), header, changes };

        return kube_answer_read(&reply, &object, ret_retry, error);
}

START_TEST(test_statuses) {
        static const struct {
                unsigned status;
                const char *body;
                int reading, changing;
        } rows[] = {
                { 401, STATUS("Unauthorized", ""), KUBE_UNAUTHORIZED, KUBE_UNAUTHORIZED },
                { 403, STATUS("Forbidden", ""), KUBE_FORBIDDEN, KUBE_FORBIDDEN },
                { 404, STATUS("NotFound", ""), KUBE_NOT_FOUND, KUBE_NOT_FOUND },
                { 409, STATUS("Conflict", ""), KUBE_CONFLICT, KUBE_CONFLICT },
                { 409, STATUS("AlreadyExists", ""), KUBE_EXISTS, KUBE_EXISTS },
                { 409, "", KUBE_CONFLICT, KUBE_CONFLICT },
                { 410, STATUS("Expired", ""), KUBE_GONE, KUBE_GONE },
                { 422, STATUS("Invalid", ""), KUBE_INVALID, KUBE_INVALID },
                { 400, "", KUBE_INVALID, KUBE_INVALID },
                { 413, "<html>", KUBE_INVALID, KUBE_INVALID },
                { 429, STATUS("TooManyRequests", ""), KUBE_BUSY, KUBE_BUSY },
                { 500, STATUS("InternalError", ""), KUBE_BUSY, KUBE_UNCERTAIN },
                { 502, "", KUBE_BUSY, KUBE_UNCERTAIN },
                { 503, STATUS("ServiceUnavailable", ""), KUBE_BUSY, KUBE_UNCERTAIN },
                { 504, STATUS("Timeout", ""), KUBE_BUSY, KUBE_UNCERTAIN },
                { 301, "", KUBE_BAD_REPLY, KUBE_BAD_REPLY },
                { 100, "", KUBE_BAD_REPLY, KUBE_BAD_REPLY },
                { 200, "", KUBE_BAD_REPLY, KUBE_UNCERTAIN },
                { 200, "{\"kind\":", KUBE_BAD_REPLY, KUBE_UNCERTAIN },
                { 200, "[]", KUBE_BAD_REPLY, KUBE_UNCERTAIN },
                { 201, "<html>", KUBE_BAD_REPLY, KUBE_UNCERTAIN },
        };
        usec_t retry;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                for (int changes = 0; changes < 2; changes++) {
                        _cleanup_(error_clear) struct error error = ERROR_INIT;
                        int r = read_answer(rows[i].status, rows[i].body, changes, 0, &retry, &error);

                        ck_assert_msg(r == (changes ? rows[i].changing : rows[i].reading), "%u %s: %d",
                                      rows[i].status, rows[i].body, r);
                        ck_assert(!strempty(error_text(&error)));
                        if (strstr(rows[i].body, "why not"))
                                ck_assert_msg(strstr(error_text(&error), "\"why not\""), "%s",
                                              error_text(&error));
                }
}
END_TEST

START_TEST(test_done) {
        static const char body[] = "{\"kind\":\"Secret\",\"metadata\":{\"resourceVersion\":\"1\"}}";
        const struct kube_reply reply = { 200, body, strlen(body), 0, true };
        _cleanup_(json_decrefp) json_t *object = NULL;
        usec_t retry = 1;

        ck_assert_int_eq(kube_answer_read(&reply, &object, &retry, NULL), KUBE_DONE);
        ck_assert(json_is_object(object));
        ck_assert_uint_eq(retry, 0);
}
END_TEST

START_TEST(test_retry_after) {
        static const struct {
                const char *more;
                usec_t header_sec, wanted_sec;
        } rows[] = {
                { "", 0, 0 },
                { "", 7, 7 },
                { ",\"details\":{\"retryAfterSeconds\":3}", 0, 3 },
                { ",\"details\":{\"retryAfterSeconds\":3}", 7, 7 },
                { ",\"details\":{\"retryAfterSeconds\":-3}", 0, 0 },
                { ",\"details\":{\"retryAfterSeconds\":9223372036854775807}", 0, 3600 },
                { ",\"details\":{\"retryAfterSeconds\":\"x\"}", 0, 0 },
                { ",\"details\":[]", 0, 0 },
                { "", UINT64_MAX / USEC_PER_SEC, 3600 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                char body[200];
                usec_t retry = 1;

                snprintf(body, sizeof(body), "{\"kind\":\"Status\"%s}", rows[i].more);
                ck_assert_int_eq(
                        read_answer(429, body, true, rows[i].header_sec * USEC_PER_SEC, &retry, NULL),
                        KUBE_BUSY);
                ck_assert_uint_eq(retry, rows[i].wanted_sec * USEC_PER_SEC);
        }
}
END_TEST

/* A message may quote what was sent. */
START_TEST(test_quotation) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        usec_t retry;

        (void)read_answer(422,
                          "{\"message\":\"bad \\u001b[31m "
                          "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7 value\"}",
                          true, 0, &retry, &error);
        ck_assert_ptr_null(
                strstr(error_text(&error), "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7"));
        ck_assert_ptr_null(strchr(error_text(&error), '\033'));
        for (size_t i = 0; i < KUBE_OUTCOME_MAX; i++)
                ck_assert(!strempty(kube_outcome_names[i]));
}
END_TEST

TEST_MAIN("kube-answer", test_statuses, test_done, test_retry_after, test_quotation)
