/* Watches: lines in pieces, and errors inside a stream of status 200. */

#include "lib/kube/kube-watch.h"

#include "lib/kube/kube-object.h"
#include "tests/test.h"

START_TEST(test_events) {
        static const struct {
                const char *line;
                enum kube_event_kind kind;
                enum kube_outcome outcome;
        } rows[] = {
                { "{\"type\":\"ADDED\",\"object\":{}}", KUBE_EVENT_ADDED, KUBE_DONE },
                { "{\"type\":\"MODIFIED\",\"object\":{}}", KUBE_EVENT_MODIFIED, KUBE_DONE },
                { "{\"type\":\"DELETED\",\"object\":{}}", KUBE_EVENT_DELETED, KUBE_DONE },
                { "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"9\"}}}",
                  KUBE_EVENT_BOOKMARK, KUBE_DONE },
                { "{\"type\":\"ERROR\",\"object\":{\"code\":410,\"reason\":\"Expired\"}}", KUBE_EVENT_ERROR,
                  KUBE_GONE },
                { "{\"type\":\"ERROR\",\"object\":{\"code\":410}}", KUBE_EVENT_ERROR, KUBE_GONE },
                { "{\"type\":\"ERROR\",\"object\":{\"reason\":\"Expired\"}}", KUBE_EVENT_ERROR, KUBE_GONE },
                { "{\"type\":\"ERROR\",\"object\":{\"code\":403}}", KUBE_EVENT_ERROR, KUBE_FORBIDDEN },
                { "{\"type\":\"ERROR\",\"object\":{\"code\":500}}", KUBE_EVENT_ERROR, KUBE_BUSY },
                { "{\"type\":\"ERROR\",\"object\":{\"code\":200}}", KUBE_EVENT_ERROR, KUBE_BAD_REPLY },
                { "{\"type\":\"ERROR\",\"object\":{}}", KUBE_EVENT_ERROR, KUBE_BAD_REPLY },
        };
        static const char *const refused[] = {
                "",
                "x",
                "[]",
                "{}",
                "{\"type\":\"ADDED\"}",
                "{\"type\":\"ADDED\",\"object\":1}",
                "{\"type\":\"added\",\"object\":{}}",
                "{\"type\":1,\"object\":{}}",
                "{\"object\":{}}",
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(kube_event_clear) struct kube_event event = { 0 };

                ck_assert_int_eq(kube_event_read(rows[i].line, strlen(rows[i].line), &event, NULL), 0);
                ck_assert_msg(event.kind == rows[i].kind && event.outcome == rows[i].outcome, "%s",
                              rows[i].line);
        }
        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                struct kube_event event;

                ck_assert_int_eq(kube_event_read(refused[i], strlen(refused[i]), &event, &error), -EPROTO);
                ck_assert(has_prefix(error_text(&error), "a line of the watch is wrong"));
        }
        for (size_t i = 0; i < KUBE_EVENT_KIND_MAX; i++)
                ck_assert(!strempty(kube_event_names[i]));
}
END_TEST

static int collect(const char *line, size_t size, void *userdata) {
        char *all = userdata;

        if (size == 4 && memcmp(line, "stop", 4) == 0)
                return -ECANCELED;
        strncat(all, line, size);
        strcat(all, "|");
        return 0;
}

START_TEST(test_lines) {
        static const char stream[] = "one\n\ntwo and more\nthree\nrest";

        for (size_t piece = 1; piece <= sizeof(stream); piece++) {
                _cleanup_(kube_bytes_clear) struct kube_bytes line = { 0 };
                char all[100] = "";

                for (size_t i = 0; i < strlen(stream); i += piece) {
                        const size_t n = strlen(stream) - i < piece ? strlen(stream) - i : piece;

                        ck_assert_int_eq(kube_lines_push(&line, stream + i, n, collect, all), 0);
                }
                ck_assert_str_eq(all, "one|two and more|three|");
                ck_assert_uint_eq(line.size, 4);
        }
}
END_TEST

START_TEST(test_lines_end) {
        _cleanup_(kube_bytes_clear) struct kube_bytes line = { 0 }, large = { 0 };
        _cleanup_(freep) char *much = malloc(KUBE_OBJECT_MAX + 1);
        char all[100] = "";

        ck_assert_int_eq(kube_lines_push(&line, "a\nstop\nb\n", 9, collect, all), -ECANCELED);
        ck_assert_str_eq(all, "a|");
        memset(much, 'x', KUBE_OBJECT_MAX + 1);
        ck_assert_int_eq(kube_lines_push(&large, much, KUBE_OBJECT_MAX, collect, all), 0);
        ck_assert_int_eq(kube_lines_push(&large, much, 1, collect, all), -EFBIG);
}
END_TEST

TEST_MAIN("kube-watch", test_events, test_lines, test_lines_end)
