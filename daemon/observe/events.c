/*
 * The last events wait in a ring for the event streams; each stream reads at its own pace, and one that is
 * overtaken by the ring gets a last line and is closed. Without streams nothing is kept, and nothing is
 * formatted except for the history.
 */

#include "daemon/observe/events.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#include "daemon/observe/messages.h"
#include "lib/util/json.h"
#include "lib/util/time.h"

#define RING 4096u

struct line {
        char *text;        /* with its newline */
        char *certificate; /* NULL: concerns all */
};

struct events {
        struct line ring[RING];
        uint64_t n; /* lines since the start */
        struct watcher *watchers;
};

struct watcher {
        struct events *events;
        struct watcher *next;
        char *certificate;
        void (*wake)(void *userdata);
        void *userdata;
        uint64_t at;   /* the line that is read next */
        size_t offset; /* in it */
        bool is_lost;
        usec_t lost_usec; /* CLOCK_REALTIME */
};

static const struct {
        const char *message_id, *name;
        bool is_recorded;
} kinds[] = {
        { MESSAGE_STARTED, "started", false },
        { MESSAGE_STOPPED, "stopped", false },
        { MESSAGE_READY, "ready", false },
        { MESSAGE_CURRENT, "current", false },
        { MESSAGE_BEGUN, "begun", false },
        { MESSAGE_RENEWED, "renewed", true },
        { MESSAGE_ENROLLED, "enrolled", true },
        { MESSAGE_ADOPTED, "adopted", true },
        { MESSAGE_FAILED_TRANSIENT, "failed", true },
        { MESSAGE_FAILED_REFUSED, "failed", true },
        { MESSAGE_FAILED_REJECTED, "failed", true },
        { MESSAGE_FAILED_BAD_REPLY, "failed", true },
        { MESSAGE_FAILED_LOCAL, "failed", true },
        { MESSAGE_OPERATION_FAILED, "failed", true },
        { MESSAGE_NOT_REVOKED, "failed", true },
        { MESSAGE_WAITING, "waiting-for-token", true },
        { MESSAGE_HELD, "held", false },
        { MESSAGE_BUDGET, "over-budget", true },
        { MESSAGE_ASKED, "requested", true },
        { MESSAGE_REFUSED, "refused", true },
        { MESSAGE_REVOKED, "revoked", true },
        { MESSAGE_SUBJECT, "subject-changed", true },
        { MESSAGE_ACCEPTED, "accepted", true },
        { MESSAGE_PROBED, "probed", true },
        { MESSAGE_NOT_PROBED, "not-probed", true },
        { MESSAGE_OTHER_CA, "other-ca", true },
        { MESSAGE_ROLLED_BACK, "rolled-back", true },
        { MESSAGE_NOTIFYING, "notifying", true },
        { MESSAGE_NOTIFIED, "notified", true },
        { MESSAGE_NOT_NOTIFIED, "not-notified", true },
        { MESSAGE_EXPORTED, "exported", true },
        { MESSAGE_NOT_EXPORTED, "not-exported", true },
        { MESSAGE_WARNING, "warning", true },
        { MESSAGE_RIGHTS, "rights-set", true },
        { MESSAGE_NO_RIGHTS, "rights-wrong", true },
        { MESSAGE_COPIED, "copied", true },
        { MESSAGE_HISTORY, "state-file", true },
        { MESSAGE_CLOCK, "clock-set", false },
        { MESSAGE_RELOADED, "reloaded", false },
        { MESSAGE_NOT_RELOADED, "not-reloaded", false },
};

int events_new(struct events **ret) {
        struct events *events = calloc(1, sizeof(*events));

        if (!events)
                return -ENOMEM;
        *ret = events;
        return 0;
}

static void forget_lines(struct events *events) {
        for (size_t i = 0; i < RING; i++) {
                free(events->ring[i].text);
                free(events->ring[i].certificate);
                events->ring[i] = (struct line) { 0 };
        }
}

struct events *events_free(struct events *events) {
        if (!events)
                return NULL;
        assert(!events->watchers);
        forget_lines(events);
        free(events);
        return NULL;
}

static size_t find_kind(const char *message_id) {
        size_t i = 0;

        while (i < ELEMENTSOF(kinds) && !streq_null(kinds[i].message_id, message_id))
                i++;
        return i;
}

const char *events_name(const char *message_id) {
        size_t i = find_kind(message_id);

        return i < ELEMENTSOF(kinds) ? kinds[i].name : "message";
}

/* --- One line --- */

static bool is_number(const char *name) {
        return streq(name, FIELD_GENERATION) || streq(name, FIELD_ATTEMPT);
}

static json_t *field_value(const struct log_field *field) {
        return is_number(field->name) ? json_integer((json_int_t)strtoull(field->value, NULL, 10))
                                      : json_text(field->value);
}

/* "REKEYD_NOT_AFTER" -> "not_after". */
static const char *member_name(const char *name, char buffer[64]) {
        size_t n = 0;

        for (name += strlen("REKEYD_"); *name && n < 63; name++)
                buffer[n++] = (char)tolower((unsigned char)*name);
        buffer[n] = '\0';
        return buffer;
}

static const char *field_of(const struct log_field *fields, size_t n_fields, const char *name) {
        for (size_t i = 0; i < n_fields; i++)
                if (streq(fields[i].name, name))
                        return fields[i].value;
        return NULL;
}

/* With its newline, owned; NULL when memory is out. */
static char *format_line(const char *event, const char *message_id, const struct log_field *fields,
                         size_t n_fields, const char *message) {
        const char *certificate = field_of(fields, n_fields, FIELD_CERTIFICATE);
        char when[TIMESTAMP_MAX], buffer[64], *line = NULL;
        _cleanup_(freep) char *text = NULL;
        json_t *object;

        /* The member says it already. */
        if (certificate && has_prefix(message, certificate) &&
            has_prefix(message + strlen(certificate), ": "))
                message += strlen(certificate) + strlen(": ");
        object = json_pack("{s:s, s:s, s:o, s:s*}", "time", format_timestamp(when, now_usec(CLOCK_REALTIME)),
                           "event", event, "message", json_text(message), "message_id", message_id);
        for (size_t i = 0; object && i < n_fields; i++)
                if (fields[i].value)
                        (void)json_object_set_new(object, member_name(fields[i].name, buffer),
                                                  field_value(&fields[i]));
        text = object ? json_format(object, JSON_COMPACT) : NULL;
        json_decref(object);
        if (!text || asprintf(&line, "%s\n", text) < 0)
                return NULL;
        return line;
}

/* --- Those who watch --- */

static bool concerns(const struct watcher *watcher, const struct line *line) {
        return !watcher->certificate || !line->certificate || streq(watcher->certificate, line->certificate);
}

static void tell_watchers(struct events *events, const char *certificate, const char *text) {
        struct line *line = &events->ring[events->n % RING];
        struct watcher *next;

        free(line->text);
        free(line->certificate);
        line->text = strdup(text);
        line->certificate = certificate ? strdup(certificate) : NULL;
        events->n++;
        for (struct watcher *watcher = events->watchers; watcher; watcher = next) {
                next = watcher->next;
                if (concerns(watcher, line))
                        watcher->wake(watcher->userdata);
        }
}

int watcher_new(struct events *events, const char *certificate, void (*wake)(void *userdata), void *userdata,
                struct watcher **ret) {
        struct watcher *watcher = calloc(1, sizeof(*watcher));

        if (!watcher)
                return -ENOMEM;
        if (certificate) {
                watcher->certificate = strdup(certificate);
                if (!watcher->certificate) {
                        free(watcher);
                        return -ENOMEM;
                }
        }
        watcher->events = events;
        watcher->wake = wake;
        watcher->userdata = userdata;
        watcher->at = events->n;
        watcher->next = events->watchers;
        events->watchers = watcher;
        *ret = watcher;
        return 0;
}

struct watcher *watcher_free(struct watcher *watcher) {
        struct watcher **slot;

        if (!watcher)
                return NULL;
        for (slot = &watcher->events->watchers; *slot != watcher; slot = &(*slot)->next)
                ;
        *slot = watcher->next;
        if (!watcher->events->watchers)
                forget_lines(watcher->events);
        free(watcher->certificate);
        free(watcher);
        return NULL;
}

/* Copies what fits of TEXT from *OFFSET on. */
static size_t copy_some(const char *text, size_t *offset, char *buffer, size_t max) {
        size_t left = strlen(text) - *offset, n = left < max ? left : max;

        memcpy(buffer, text + *offset, n);
        *offset += n;
        return n;
}

ssize_t watcher_read(struct watcher *watcher, char *buffer, size_t max) {
        char lost[128], when[TIMESTAMP_MAX];
        struct events *events = watcher->events;
        size_t n = 0;

        /* A line that is sent in part is gone with the ring: what comes then begins on a line of its own. */
        if (!watcher->is_lost && events->n - watcher->at > RING) {
                watcher->is_lost = true;
                watcher->lost_usec = now_usec(CLOCK_REALTIME);
                if (watcher->offset > 0)
                        buffer[n++] = '\n';
                watcher->offset = 0;
        }
        if (watcher->is_lost) {
                snprintf(lost, sizeof(lost),
                         "{\"time\":\"%s\",\"event\":\"lost\",\"message\":\"too slow: the following events "
                         "are lost\"}\n",
                         format_timestamp(when, watcher->lost_usec));
                n += copy_some(lost, &watcher->offset, buffer + n, max - n);
                return n > 0 ? (ssize_t)n : -1;
        }
        while (watcher->at < events->n && n < max) {
                const struct line *line = &events->ring[watcher->at % RING];

                if (line->text && concerns(watcher, line)) {
                        n += copy_some(line->text, &watcher->offset, buffer + n, max - n);
                        if (line->text[watcher->offset])
                                break;
                }
                watcher->offset = 0;
                watcher->at++;
        }
        return (ssize_t)n;
}

/* --- Saying --- */

void events_emit(struct events *events, struct state_file *state_file, int priority, const char *message_id,
                 const struct log_field *fields, size_t n_fields, const char *format, ...) {
        size_t kind = find_kind(message_id);
        _cleanup_(freep) char *message = NULL, *line = NULL;
        bool is_recorded =
                state_file && priority < LOG_DEBUG && kind < ELEMENTSOF(kinds) && kinds[kind].is_recorded;
        va_list args;
        int n;

        if (!log_enabled(priority) && !is_recorded && !(events && events->watchers))
                return;
        va_start(args, format);
        n = vasprintf(&message, format, args);
        va_end(args);
        if (n < 0) {
                message = NULL;
                return;
        }
        log_fields(priority, message_id, fields, n_fields, "%s", message);
        if (!is_recorded && !(events && events->watchers))
                return;
        line = format_line(events_name(message_id), message_id, fields, n_fields, message);
        if (!line)
                return;
        if (events && events->watchers)
                tell_watchers(events, field_of(fields, n_fields, FIELD_CERTIFICATE), line);
        if (is_recorded)
                state_file_add_history(state_file, line);
}

void events_stream(struct events *events, const char *event, const struct log_field *fields, size_t n_fields,
                   const char *message) {
        _cleanup_(freep) char *line = NULL;

        if (!events || !events->watchers)
                return;
        line = format_line(event, NULL, fields, n_fields, message);
        if (line)
                tell_watchers(events, field_of(fields, n_fields, FIELD_CERTIFICATE), line);
}
