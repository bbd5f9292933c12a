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
 * The writer to the journal, which this floor does not know. IS_CONNECTED returns whether stderr leads there;
 * WRITE makes one entry, 0 or -errno, and on failure the line goes to stderr as text. Called before
 * log_configure(), once.
 */
struct log_journal {
        bool (*is_connected)(void);
        int (*write)(int priority, const char *message_id, const struct log_field *fields, size_t n_fields,
                     const char *message);
};
void log_set_journal(const struct log_journal *journal);

/* FORMAT and the highest priority that is written, LOG_ERR to LOG_DEBUG. Before the first call: text,
 * LOG_INFO. */
void log_configure(enum log_format format, int max_priority);

bool log_enabled(int priority);

/* For the N-th line of a row that says the same (1 for the first): PRIORITY for the 1st, 2nd, 4th, 8th ...,
 * LOG_DEBUG for those in between. */
int log_repeated(int priority, unsigned n);

/* Writes one line by one write(), or one entry. MESSAGE_ID is 32 hex digits or NULL. Control characters in
 * what is logged are escaped, so nothing from outside can forge a line; the journal keeps them as they are,
 * and its readers escape. */
void log_fields(int priority, const char *message_id, const struct log_field *fields, size_t n_fields,
                const char *format, ...) _printf_(5, 6);

#define log_line(priority, ...) log_fields(priority, NULL, NULL, 0, __VA_ARGS__)
#define log_error(...)          log_line(LOG_ERR, __VA_ARGS__)
#define log_warning(...)        log_line(LOG_WARNING, __VA_ARGS__)
#define log_info(...)           log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)          log_line(LOG_DEBUG, __VA_ARGS__)
