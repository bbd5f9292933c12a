/*
 * One line a change of state, written by a single write() so that lines of several processes on one pipe do
 * not mix (up to PIPE_BUF bytes). JSON lines carry every field; text lines carry the message only, which
 * names what matters already. There is no log level below debug, no log file and no rotation: that is the
 * supervisor's work.
 */

#include "lib/util/log.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/util/log-queue.h"
#include "lib/util/log-stderr.h"
#include "lib/util/text-stream.h"
#include "lib/util/time.h"
#include "lib/util/utf8.h"

/* How long log_finish() waits for a reader, in all and without progress. */
#define FINISH_USEC      USEC_PER_SEC
#define FINISH_STEP_MSEC 100

const char *const log_format_names[LOG_FORMAT_MAX] = {
        [LOG_FORMAT_AUTO] = "auto",
        [LOG_FORMAT_JOURNAL] = "journal",
        [LOG_FORMAT_JSON] = "json",
        [LOG_FORMAT_TEXT] = "text",
};

static const char *const priority_names[] = {
        [LOG_EMERG] = "emergency", [LOG_ALERT] = "alert",   [LOG_CRIT] = "critical", [LOG_ERR] = "error",
        [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice", [LOG_INFO] = "info",     [LOG_DEBUG] = "debug",
};

static enum log_format log_format = LOG_FORMAT_TEXT;
static int log_max_priority = LOG_INFO;
static const struct log_journal *log_journal;

static struct log_queue queues[LOG_PLACE_MAX];

static void (*log_waiting)(enum log_place place, int fd, void *userdata);
static void *log_waiting_userdata;

void log_set_journal(const struct log_journal *journal) {
        log_journal = journal;
}

void log_configure(enum log_format format, int max_priority) {
        if (format == LOG_FORMAT_AUTO)
                format = log_journal && log_journal->is_connected() ? LOG_FORMAT_JOURNAL : LOG_FORMAT_TEXT;
        log_format = format == LOG_FORMAT_JOURNAL && !log_journal ? LOG_FORMAT_TEXT : format;
        log_max_priority = max_priority;
}

bool log_enabled(int priority) {
        return priority <= log_max_priority;
}

int log_repeated(int priority, unsigned n) {
        return (n & (n - 1)) == 0 ? priority : LOG_DEBUG;
}

/* What is unsafe to show is escaped here too, since collectors show lines as they are; it is the same JSON.
 */
static void write_json_string(FILE *out, const char *text) {
        putc_unlocked('"', out);
        for (const char *p = text; *p;) {
                const size_t n_plain = utf8_plain_size(p, "\"\\");

                if (n_plain > 0) {
                        fwrite_unlocked(p, n_plain, 1, out);
                        p += n_plain;
                        continue;
                }
                const size_t size = utf8_size(p, UTF8_STRING);
                const uint32_t code = size > 0 ? utf8_code_point(p, size) : 0xfffd;

                /* JSON has no room for other bytes: one of them spoils the line. */
                if (size > 0 && !utf8_is_unsafe(p)) {
                        if (*p == '"' || *p == '\\')
                                putc_unlocked('\\', out);
                        fwrite_unlocked(p, size, 1, out);
                } else if (code > 0xffff)
                        fprintf(out, "\\u%04x\\u%04x", 0xd800 + ((code - 0x10000) >> 10),
                                0xdc00 + ((code - 0x10000) & 0x3ff));
                else
                        fprintf(out, "\\u%04x", code);
                p += size == 0 ? 1 : size;
        }
        putc_unlocked('"', out);
}

/* "REKEYD_NOT_AFTER" -> "not_after": short names in JSON, where nothing else shares the namespace. */
static void write_json_name(FILE *out, const char *name) {
        if (has_prefix(name, "REKEYD_"))
                name += strlen("REKEYD_");
        putc_unlocked('"', out);
        for (; *name; name++)
                putc_unlocked(tolower((unsigned char)*name), out);
        fputs_unlocked("\":", out);
}

static void write_line(FILE *out, int priority, const char *message_id, const struct log_field *fields,
                       size_t n_fields, const char *message) {
        char timestamp[TIMESTAMP_MAX];

        if (log_format != LOG_FORMAT_JSON) {
                if (priority <= LOG_WARNING)
                        fprintf(out, "%s: ", priority_names[priority]);
                fprintf(out, "%s\n", message);
                return;
        }

        fprintf(out, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":",
                format_timestamp(timestamp, now_usec(CLOCK_REALTIME)), priority_names[priority]);
        write_json_string(out, message);
        if (message_id)
                fprintf(out, ",\"message_id\":\"%s\"", message_id);
        for (size_t i = 0; i < n_fields; i++) {
                if (!fields[i].value)
                        continue;
                fputc(',', out);
                write_json_name(out, fields[i].name);
                write_json_string(out, fields[i].value);
        }
        fputs("}\n", out);
}

/* Text or JSON, owned by the caller. 0 or -ENOMEM. */
static int format_line(int priority, const char *message_id, const struct log_field *fields, size_t n_fields,
                       const char *message, char **ret_data, size_t *ret_size) {
        const bool is_json = log_format == LOG_FORMAT_JSON;
        _cleanup_(freep) char *line = NULL, *safe = is_json ? NULL : utf8_escape(message);
        FILE *out = is_json || safe ? text_stream_open(&line, ret_size) : NULL;

        if (!out)
                return -ENOMEM;
        write_line(out, priority, message_id, fields, n_fields, is_json ? message : safe);
        if (fclose(out) != 0)
                return -ENOMEM;
        *ret_data = take_ptr(line);
        return 0;
}

static void say_dropped(char text[128], uint64_t n, const char *why) {
        snprintf(text, 128, "log: %" PRIu64 " %s dropped: %s", n, n == 1 ? "line was" : "lines were", why);
}

static int report_on_stderr(uint64_t n, int error, char **ret_data, size_t *ret_size) {
        char text[128];

        say_dropped(text, n, error == EAGAIN ? "standard error was not read" : strerrordesc_np(error));
        return format_line(LOG_WARNING, NULL, NULL, 0, text, ret_data, ret_size);
}

static int report_in_journal(uint64_t n, int error, char **ret_data, size_t *ret_size) {
        char text[128];

        say_dropped(text, n, error == EAGAIN ? "the journal did not read them" : strerrordesc_np(error));
        return log_journal->format(LOG_WARNING, NULL, NULL, 0, text, ret_data, ret_size);
}

static struct log_queue *queue_of(enum log_place place) {
        struct log_queue *queue = &queues[place];

        queue->target = place == LOG_PLACE_STDERR ? &log_stderr : log_journal->target;
        queue->report = place == LOG_PLACE_STDERR ? report_on_stderr : report_in_journal;
        return queue;
}

static void tell_waiting(enum log_place place) {
        if (log_waiting && !STAILQ_EMPTY(&queues[place].lines))
                log_waiting(place, queues[place].target->fd(), log_waiting_userdata);
}

static int send_line(enum log_place place, const char *data, size_t size) {
        struct log_queue *queue = queue_of(place);
        int r;

        r = log_queue_write(queue, data, size);
        if (r < 0 && place == LOG_PLACE_STDERR)
                log_queue_drop(queue, -r);
        tell_waiting(place);
        return r;
}

static int send_entry(int priority, const char *message_id, const struct log_field *fields, size_t n_fields,
                      const char *message) {
        _cleanup_(freep) char *data = NULL, *safe = utf8_escape(message);
        size_t size;
        int r;

        if (!safe)
                return -ENOMEM;
        r = log_journal->format(priority, message_id, fields, n_fields, safe, &data, &size);
        return r < 0 ? r : send_line(LOG_PLACE_JOURNAL, data, size);
}

void log_fields(int priority, const char *message_id, const struct log_field *fields, size_t n_fields,
                const char *format, ...) {
        _cleanup_(freep) char *message = NULL, *line = NULL;
        va_list args;
        size_t size;
        int saved = errno, n;

        if (!log_enabled(priority))
                return;

        va_start(args, format);
        n = vasprintf(&message, format, args);
        va_end(args);
        if (n < 0) {
                message = NULL;
                log_queue_drop(queue_of(LOG_PLACE_STDERR), ENOMEM);
                return;
        }

        if ((log_format != LOG_FORMAT_JOURNAL ||
             send_entry(priority, message_id, fields, n_fields, message) < 0) &&
            format_line(priority, message_id, fields, n_fields, message, &line, &size) == 0)
                (void)send_line(LOG_PLACE_STDERR, line, size);
        errno = saved;
}

void log_plain(const char *text) {
        _cleanup_(freep) char *safe = utf8_escape(text), *line = NULL;
        const int n = safe ? asprintf(&line, "%s\n", safe) : -1;

        if (n >= 0)
                (void)send_line(LOG_PLACE_STDERR, line, (size_t)n);
        else
                line = NULL;
}

/* --- What waits --- */

void log_set_waiting(void (*waiting)(enum log_place place, int fd, void *userdata), void *userdata) {
        log_waiting = waiting;
        log_waiting_userdata = userdata;
        for (enum log_place place = 0; place < LOG_PLACE_MAX; place++)
                tell_waiting(place);
}

void log_flush(enum log_place place) {
        (void)log_queue_flush(queue_of(place));
        tell_waiting(place);
}

void log_finish(void) {
        const usec_t end = usec_add(now_usec(CLOCK_MONOTONIC), FINISH_USEC);

        for (enum log_place place = 0; place < LOG_PLACE_MAX; place++)
                while (!STAILQ_EMPTY(&queues[place].lines) && log_queue_flush(queue_of(place))) {
                        struct pollfd writable = { .fd = queues[place].target->fd(), .events = POLLOUT };

                        if (now_usec(CLOCK_MONOTONIC) >= end || poll(&writable, 1, FINISH_STEP_MSEC) <= 0)
                                break;
                }
}

uint64_t log_dropped(void) {
        uint64_t n = 0;

        for (enum log_place place = 0; place < LOG_PLACE_MAX; place++)
                n += queues[place].n_dropped;
        return n;
}
