/* Events: what those who watch are told, and when they have been too slow. */

#include "daemon/observe/events.h"

#include <jansson.h>
#include <stdio.h>

#include "daemon/observe/messages.h"
#include "tests/test.h"

static struct events *events;
static unsigned n_wakes;

static void count_wake(_unused_ void *userdata) {
        n_wakes++;
}

static void set_up(void) {
        log_configure(LOG_FORMAT_TEXT, LOG_ERR);
        ck_assert_int_eq(events_new(&events), 0);
        n_wakes = 0;
}

static struct watcher *watch(const char *certificate) {
        struct watcher *watcher;

        ck_assert_int_eq(watcher_new(events, certificate, count_wake, NULL, &watcher), 0);
        return watcher;
}

static void say(const char *certificate, const char *message_id, const char *text) {
        const struct log_field fields[] = {
                { FIELD_CERTIFICATE, certificate },
                { FIELD_GENERATION, "42" },
                { FIELD_ERROR, NULL },
        };

        events_emit(events, NULL, LOG_DEBUG, message_id, fields, ELEMENTSOF(fields), "%s%s%s",
                    certificate ? certificate : "", certificate ? ": " : "", text);
}

/* One line of WATCHER's as JSON, read byte by byte; NULL when there is none. */
static json_t *next_line(struct watcher *watcher) {
        char line[4096];
        size_t n = 0;
        json_t *object;

        while (n < sizeof(line) - 1 && (n == 0 || line[n - 1] != '\n')) {
                ssize_t r = watcher_read(watcher, line + n, 1);

                if (r <= 0)
                        break;
                n += (size_t)r;
        }
        if (n == 0)
                return NULL;
        ck_assert_int_eq(line[n - 1], '\n');
        object = json_loadb(line, n, 0, NULL);
        ck_assert_msg(object != NULL, "%.*s", (int)n, line);
        return object;
}

static const char *member(const json_t *object, const char *name) {
        const char *text = json_string_value(json_object_get(object, name));

        return text ? text : "";
}

START_TEST(a_line_has_the_fields_of_the_journal) {
        set_up();
        struct watcher *watcher = watch(NULL);

        say("orders", MESSAGE_RENEWED, "renewed \"it\" \x01 \xc3\xa4");
        ck_assert_uint_eq(n_wakes, 1);
        json_t *line = next_line(watcher);
        ck_assert_str_eq(member(line, "event"), "renewed");
        ck_assert_str_eq(member(line, "message_id"), MESSAGE_RENEWED);
        ck_assert_str_eq(member(line, "certificate"), "orders");
        ck_assert_str_eq(member(line, "message"), "renewed \"it\" \x01 \xc3\xa4");
        ck_assert_int_eq(json_integer_value(json_object_get(line, "generation")), 42);
        ck_assert_ptr_null(json_object_get(line, "error"));
        ck_assert_uint_eq(strlen(member(line, "time")), strlen("2026-11-20T18:06:53Z"));
        json_decref(line);
        ck_assert_ptr_null(next_line(watcher));
        watcher_free(watcher);
        events_free(events);
}
END_TEST

START_TEST(text_that_is_not_utf8_is_told_as_far_as_it_is) {
        set_up();
        struct watcher *watcher = watch(NULL);

        say("orders", MESSAGE_RENEWED, "/etc/\xff\xfe/x");
        json_t *line = next_line(watcher);
        ck_assert_str_eq(member(line, "message"), "/etc/?\?/x");
        json_decref(line);
        watcher_free(watcher);
        events_free(events);
}
END_TEST

START_TEST(one_certificate_and_what_concerns_all) {
        set_up();
        struct watcher *watcher = watch("orders");

        say("stock", MESSAGE_RENEWED, "not for us");
        ck_assert_uint_eq(n_wakes, 0);
        say(NULL, MESSAGE_RELOADED, "for all");
        say("orders", MESSAGE_RENEWED, "for us");
        json_t *line = next_line(watcher);
        ck_assert_str_eq(member(line, "event"), "reloaded");
        json_decref(line);
        line = next_line(watcher);
        ck_assert_str_eq(member(line, "message"), "for us");
        json_decref(line);
        ck_assert_ptr_null(next_line(watcher));
        watcher_free(watcher);
        events_free(events);
}
END_TEST

START_TEST(nothing_from_before_and_nothing_without_watchers) {
        set_up();
        say("orders", MESSAGE_RENEWED, "before");
        struct watcher *first = watch(NULL), *second;
        say("orders", MESSAGE_RENEWED, "one");
        second = watch(NULL);
        say("orders", MESSAGE_RENEWED, "two");
        json_t *line = next_line(second);
        ck_assert_str_eq(member(line, "message"), "two");
        json_decref(line);
        line = next_line(first);
        ck_assert_str_eq(member(line, "message"), "one");
        json_decref(line);
        watcher_free(first);
        line = next_line(second);
        ck_assert_ptr_null(line);
        watcher_free(second);
        say("orders", MESSAGE_RENEWED, "for nobody");
        events_free(events);
}
END_TEST

START_TEST(who_is_too_slow_is_told_and_let_go) {
        set_up();
        struct watcher *slow = watch(NULL), *quick = watch(NULL);
        char some[10];
        unsigned n = 0, n_lost = 0;
        json_t *line;
        ssize_t r;
        char text[600000];
        size_t size = 0;

        for (unsigned i = 0; i < 10000; i++) {
                say("orders", MESSAGE_RENEWED, "renewed");
                line = next_line(quick);
                n += line != NULL;
                json_decref(line);
                if (i == 5)
                        ck_assert_int_eq(watcher_read(slow, some, sizeof(some)), sizeof(some));
        }
        ck_assert_uint_eq(n, 10000);
        while ((r = watcher_read(slow, text + size, 100)) > 0)
                size += (size_t)r;
        ck_assert_int_eq(r, -1);
        text[size] = '\0';
        /* The line that was begun ends, however it does, and the last one says what has happened. */
        ck_assert_int_eq(text[0], '\n');
        for (const char *p = text; (p = strstr(p, "\"lost\"")); p++)
                n_lost++;
        ck_assert_uint_eq(n_lost, 1);
        ck_assert(has_suffix(text, "\n"));
        watcher_free(slow);
        watcher_free(quick);
        events_free(events);
}
END_TEST

START_TEST(steps_are_for_those_who_watch) {
        set_up();
        const struct log_field fields[] = { { FIELD_CERTIFICATE, "orders" }, { FIELD_STEP, "sign" } };
        struct watcher *watcher = watch("orders");

        events_stream(events, "step", fields, ELEMENTSOF(fields), "sign");
        json_t *line = next_line(watcher);
        ck_assert_str_eq(member(line, "event"), "step");
        ck_assert_str_eq(member(line, "step"), "sign");
        ck_assert_ptr_null(json_object_get(line, "message_id"));
        json_decref(line);
        watcher_free(watcher);
        events_free(events);
}
END_TEST

START_TEST(names) {
        ck_assert_str_eq(events_name(MESSAGE_FAILED_LOCAL), "failed");
        ck_assert_str_eq(events_name(MESSAGE_BUDGET), "over-budget");
        ck_assert_str_eq(events_name(NULL), "message");
        ck_assert_str_eq(events_name("00000000000000000000000000000000"), "message");
}
END_TEST

TEST_MAIN("events", a_line_has_the_fields_of_the_journal, text_that_is_not_utf8_is_told_as_far_as_it_is,
          one_certificate_and_what_concerns_all, nothing_from_before_and_nothing_without_watchers,
          who_is_too_slow_is_told_and_let_go, steps_are_for_those_who_watch, names)
