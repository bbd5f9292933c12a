/*
 * Events go to stdout, which is a pipe to a test, a file or a terminal. A test that does not read must not
 * stop the server, and O_NONBLOCK is no way out since it would change the descriptor for everyone who shares
 * it. So a line is written in pieces that poll() vouches for: a pipe that is writable takes PIPE_BUF bytes
 * without blocking.
 */

#include "devconnector/events.h"

#include <errno.h>
#include <event2/buffer.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>

#include "lib/util/json.h"
#include "lib/util/log.h"

#define BACKLOG_MAX (4u * 1024 * 1024)

struct events {
        int fd;
        struct event *writable; /* NULL where FD cannot be waited for: a file, which is always ready */
        struct evbuffer *backlog;
        bool dropping;
        json_t *calls;
};

static bool is_writable(int fd) {
        struct pollfd pfd = { .fd = fd, .events = POLLOUT };

        return poll(&pfd, 1, 0) == 1;
}

static void flush(struct events *events) {
        while (evbuffer_get_length(events->backlog) > 0 && is_writable(events->fd)) {
                ssize_t n = evbuffer_write_atmost(events->backlog, events->fd, PIPE_BUF);

                if (n < 0 && errno != EINTR) { /* the reader is gone, and so is the reason to keep lines */
                        evbuffer_drain(events->backlog, evbuffer_get_length(events->backlog));
                        return;
                }
        }
        if (events->writable && evbuffer_get_length(events->backlog) > 0)
                event_add(events->writable, NULL);
}

static void on_writable(_unused_ evutil_socket_t fd, _unused_ short what, void *userdata) {
        flush(userdata);
}

struct events *events_new(struct event_base *base, int fd) {
        _cleanup_(events_freep) struct events *events = calloc(1, sizeof(*events));
        struct stat st;
        /* epoll refuses what is always ready: files, /dev/null */
        bool can_wait = fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) || isatty(fd));

        if (!events)
                return NULL;
        events->fd = fd;
        events->backlog = evbuffer_new();
        events->calls = json_array();
        if (can_wait)
                events->writable = event_new(base, fd, EV_WRITE, on_writable, events);
        if (!events->backlog || !events->calls || (can_wait && !events->writable))
                return NULL;
        return take_ptr(events);
}

struct events *events_free(struct events *events) {
        if (!events)
                return NULL;
        if (events->writable)
                event_free(events->writable);
        if (events->backlog)
                evbuffer_free(events->backlog);
        json_decref(events->calls);
        free(events);
        return NULL;
}

static void remember(struct events *events, json_t *event) {
        const char *kind = json_string_value(json_object_get(event, "event"));

        if (!kind || !streq(kind, "call"))
                return;
        if (json_array_size(events->calls) == EVENTS_CALLS_MAX)
                json_array_remove(events->calls, 0);
        json_array_append(events->calls, event);
}

void events_emit(struct events *events, json_t *event) {
        _cleanup_(json_decrefp) json_t *owned = event;
        _cleanup_(freep) char *line = owned ? json_format(owned, JSON_COMPACT) : NULL;

        if (!line)
                return;
        remember(events, owned);
        if (evbuffer_get_length(events->backlog) > BACKLOG_MAX) {
                if (!events->dropping)
                        log_warning(
                                "no process reads stdout; dropping events; GET /calls still has the last %d",
                                EVENTS_CALLS_MAX);
                events->dropping = true;
                return;
        }
        events->dropping = false;
        evbuffer_add_printf(events->backlog, "%s\n", line);
        flush(events);
}

json_t *events_calls(const struct events *events) {
        return json_copy(events->calls);
}
