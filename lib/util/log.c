/*
 * One line a change of state, written by a single write() so that lines of several processes on one pipe do
 * not mix. JSON lines carry every field; text lines carry the message only, which names what matters already.
 * There is no log level below debug, no log file and no rotation: that is the supervisor's work.
 */

#include "lib/util/log.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/util/time.h"
#include "lib/util/utf8.h"

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

static void write_json_string(FILE *out, const char *text) {
        fputc('"', out);
        for (const char *p = text; *p;) {
                size_t size = utf8_size(p, UTF8_STRING);

                if (size == 0)
                        fputs("\\ufffd",
                              out); /* JSON has no room for other bytes: one of them spoils the line */
                else if (utf8_is_control(p))
                        fprintf(out, "\\u%04x", (unsigned char)p[size - 1]);
                else if (*p == '"' || *p == '\\')
                        fprintf(out, "\\%c", *p);
                else
                        fwrite(p, size, 1, out);
                p += size == 0 ? 1 : size;
        }
        fputc('"', out);
}

static void write_text(FILE *out, const char *text) {
        for (const char *p = text; *p;) {
                size_t size = utf8_size(p, UTF8_STRING), n = size == 0 ? 1 : size;

                if (size > 0 && !utf8_is_control(p))
                        fwrite(p, size, 1, out);
                else
                        for (size_t i = 0; i < n; i++)
                                fprintf(out, "\\x%02x", (unsigned char)p[i]);
                p += n;
        }
}

/* "REKEYD_NOT_AFTER" -> "not_after": short names in JSON, where nothing else shares the namespace. */
static void write_json_name(FILE *out, const char *name) {
        if (has_prefix(name, "REKEYD_"))
                name += strlen("REKEYD_");
        fputc('"', out);
        for (; *name; name++)
                fputc(tolower((unsigned char)*name), out);
        fputs("\":", out);
}

static void write_line(FILE *out, int priority, const char *message_id, const struct log_field *fields,
                       size_t n_fields, const char *message) {
        char timestamp[TIMESTAMP_MAX];

        if (log_format != LOG_FORMAT_JSON) {
                if (priority <= LOG_WARNING)
                        fprintf(out, "%s: ", priority_names[priority]);
                write_text(out, message);
                fputc('\n', out);
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

void log_fields(int priority, const char *message_id, const struct log_field *fields, size_t n_fields,
                const char *format, ...) {
        _cleanup_(freep) char *message = NULL, *line = NULL;
        size_t size = 0;
        va_list args;
        FILE *out;
        int saved = errno, n;

        if (!log_enabled(priority))
                return;

        va_start(args, format);
        n = vasprintf(&message, format, args);
        va_end(args);
        if (n < 0) {
                message = NULL;
                return;
        }

        if (log_format == LOG_FORMAT_JOURNAL &&
            log_journal->write(priority, message_id, fields, n_fields, message) == 0) {
                errno = saved;
                return;
        }

        out = open_memstream(&line, &size);
        if (!out)
                return;
        write_line(out, priority, message_id, fields, n_fields, message);
        if (fclose(out) == 0)
                while (write(STDERR_FILENO, line, size) < 0 && errno == EINTR)
                        ;
        errno = saved;
}
