/* Log lines, read back from the pipe that stands for stderr. */

#include "lib/util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>

#include "tests/test.h"

static char captured[16384];

/* Puts a pipe in the place of stderr, logs one line through LOG, and puts stderr back. */
#define CAPTURE(log)                                                       \
        ({                                                                 \
                int pipe_[2], saved_ = dup(STDERR_FILENO);                 \
                ssize_t n_;                                                \
                ck_assert_int_eq(pipe2(pipe_, O_CLOEXEC | O_NONBLOCK), 0); \
                dup2(pipe_[1], STDERR_FILENO);                             \
                log;                                                       \
                dup2(saved_, STDERR_FILENO);                               \
                close(saved_);                                             \
                close(pipe_[1]);                                           \
                n_ = read(pipe_[0], captured, sizeof(captured) - 1);       \
                close(pipe_[0]);                                           \
                captured[n_ > 0 ? n_ : 0] = '\0';                          \
                captured;                                                  \
        })

START_TEST(nothing_forges_a_line) {
        log_configure(LOG_FORMAT_TEXT, LOG_INFO);
        ck_assert_str_eq(CAPTURE(log_info("a\nerror: b\r\t\x1b[2J\x7f")),
                         "a\\x0aerror: b\\x0d\\x09\\x1b[2J\\x7f\n");
        /* U+009B steers terminals as ESC [ does; a byte that is not UTF-8 may be one on an old terminal. */
        ck_assert_str_eq(CAPTURE(log_info("a\xc2\x9b"
                                          "b\x9b"
                                          "c\xff")),
                         "a\\xc2\\x9bb\\x9bc\\xff\n");
        ck_assert_str_eq(CAPTURE(log_info("M\xc3\xbcller \xe2\x82\xac \xf0\x9f\x94\x91")),
                         "M\xc3\xbcller \xe2\x82\xac \xf0\x9f\x94\x91\n");
        /* Longer than needed, a surrogate, beyond Unicode, cut off. */
        ck_assert_str_eq(CAPTURE(log_info("\xc0\xaf \xe0\x80\xaf \xed\xa0\x80 \xf4\x90\x80\x80 \xe2\x82")),
                         "\\xc0\\xaf \\xe0\\x80\\xaf \\xed\\xa0\\x80 \\xf4\\x90\\x80\\x80 \\xe2\\x82\n");
}
END_TEST

START_TEST(json_stays_json) {
        static const char *const nasty[] = {
                "plain",        "q\"b\\",   "\n\r\t\b\f\x01\x7f", "\xff\xfe",      "\xc0\xaf",
                "\xed\xa0\x80", "\xe2\x82", "\xf4\x90\x80\x80",   "M\xc3\xbcller", "\xc2\x9b",
        };

        log_configure(LOG_FORMAT_JSON, LOG_INFO);
        for (size_t i = 0; i < ELEMENTSOF(nasty); i++) {
                const struct log_field fields[] = { { "REKEYD_NOT_AFTER", nasty[i] },
                                                    { "REKEYD_ABSENT", NULL },
                                                    { "OTHER", "x" } };
                const char *line = CAPTURE(log_fields(LOG_WARNING, "0123456789abcdef0123456789abcdef", fields,
                                                      ELEMENTSOF(fields), "%s", nasty[i]));
                json_t *json;

                ck_assert_msg(strchr(line, '\n') == line + strlen(line) - 1, "more than a line: %s", line);
                json = json_loads(line, 0, NULL);
                ck_assert_msg(json != NULL, "not JSON: %s", line);
                ck_assert_str_eq(json_string_value(json_object_get(json, "level")), "warning");
                ck_assert_str_eq(json_string_value(json_object_get(json, "message_id")),
                                 "0123456789abcdef0123456789abcdef");
                ck_assert_ptr_null(json_object_get(json, "absent"));
                ck_assert_str_eq(json_string_value(json_object_get(json, "other")), "x");
                ck_assert_str_eq(json_string_value(json_object_get(json, "message")),
                                 json_string_value(json_object_get(json, "not_after")));
                if (i < 3)
                        ck_assert_str_eq(json_string_value(json_object_get(json, "message")), nasty[i]);
                json_decref(json);
        }
}
END_TEST

START_TEST(levels) {
        log_configure(LOG_FORMAT_AUTO, LOG_WARNING);
        ck_assert(log_enabled(LOG_ERR) && log_enabled(LOG_WARNING) && !log_enabled(LOG_INFO));
        ck_assert_str_eq(CAPTURE(log_info("quiet")), "");
        ck_assert_str_eq(CAPTURE(log_warning("loud %d", 1)), "warning: loud 1\n");
        ck_assert_str_eq(CAPTURE(log_error("loud")), "error: loud\n");
        log_configure(LOG_FORMAT_AUTO, LOG_DEBUG);
        ck_assert_str_eq(CAPTURE(log_debug("fine")), "fine\n");
}
END_TEST

START_TEST(keeps_errno) {
        log_configure(LOG_FORMAT_TEXT, LOG_INFO);
        CAPTURE({
                errno = EXDEV;
                log_info("x");
                log_debug("y");
                ck_assert_int_eq(errno, EXDEV);
        });
}
END_TEST

START_TEST(every_format_has_a_name) {
        for (size_t i = 0; i < LOG_FORMAT_MAX; i++)
                ck_assert_ptr_nonnull(log_format_names[i]);
}
END_TEST

TEST_MAIN("log", nothing_forges_a_line, json_stays_json, levels, keeps_errno, every_format_has_a_name)
