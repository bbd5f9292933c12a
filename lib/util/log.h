#pragma once

/* Log lines: plain text for people and JSON for machines on stderr, entries with fields in the journal. */

#include <stddef.h>
#include <syslog.h>

#include "lib/util/macro.h"

enum log_format {
        LOG_FORMAT_AUTO, /* the journal where stderr is connected to it, else text */
        LOG_FORMAT_JOURNAL,
        LOG_FORMAT_JSON,
        LOG_FORMAT_TEXT,
        LOG_FORMAT_MAX,
};
extern const char *const log_format_names[LOG_FORMAT_MAX];

/* A field of a structured line. NAME as in the journal, "REKEYD_CERTIFICATE"; a NULL VALUE leaves the field
 * out. */
struct log_field {
        const char *name;
        const char *value;
};

/*
 * The journal, which this floor does not know. IS_CONNECTED returns whether stderr leads there; FORMAT makes
 * one entry, owned by the caller, 0 or -errno; TARGET takes it. On failure the line goes to stderr as text.
 * Called before log_configure(), once.
 */
struct log_target;
struct log_journal {
        bool (*is_connected)(void);
        int (*format)(int priority, const char *message_id, const struct log_field *fields, size_t n_fields,
                      const char *message, char **ret_data, size_t *ret_size);
        const struct log_target *target;
};
void log_set_journal(const struct log_journal *journal);

/* FORMAT and the highest priority that is written, LOG_ERR to LOG_DEBUG. Before the first call: text,
 * LOG_INFO. */
void log_configure(enum log_format format, int max_priority);

bool log_enabled(int priority);

/* For the N-th line of a row that says the same (1 for the first): PRIORITY for the 1st, 2nd, 4th, 8th ...,
 * LOG_DEBUG for those in between. */
int log_repeated(int priority, unsigned n);

/*
 * Writes one line, or one entry, and never waits for a reader: what it does not take waits in memory, and
 * beyond a limit lines are dropped. Control characters and others that deceive a reader
 * (utf8_is_unsafe()) are escaped, so nothing from outside can forge a line: in text, in JSON by its own
 * rules, and in the message of an entry in the journal, whose fields stay as they are. From one thread only.
 */
void log_fields(int priority, const char *message_id, const struct log_field *fields, size_t n_fields,
                const char *format, ...) _printf_(5, 6);

#define log_line(priority, ...) log_fields(priority, NULL, NULL, 0, __VA_ARGS__)
#define log_error(...)          log_line(LOG_ERR, __VA_ARGS__)
#define log_warning(...)        log_line(LOG_WARNING, __VA_ARGS__)
#define log_info(...)           log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)          log_line(LOG_DEBUG, __VA_ARGS__)

/* One line as it is, without level and time: for errors before there is a log. */
void log_plain(const char *text);

/* --- What waits --- */

enum log_place {
        LOG_PLACE_STDERR,
        LOG_PLACE_JOURNAL,
        LOG_PLACE_MAX,
};

/* WAITING is called when something waits until FD is writable; log_flush() is to be called then. NULL: nobody
 * is told, and what waits goes out with the next line. */
void log_set_waiting(void (*waiting)(enum log_place place, int fd, void *userdata), void *userdata);

/* Sends what the reader takes; calls WAITING if something still waits. */
void log_flush(enum log_place place);

/* For the end of a program: sends what waits, as long as the reader takes some of it within a tenth of a
 * second each, and for a second in all. */
void log_finish(void);

/* How many lines were dropped since the start. */
uint64_t log_dropped(void);
