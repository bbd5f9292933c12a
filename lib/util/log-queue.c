/*
 * A reader may be slow, stopped or gone; what writes the log must not notice. Lines wait here, within a
 * limit. Beyond it they are dropped until the reader has taken all that waits; so the log has one gap, and
 * the next line that the reader gets says how large it is.
 *
 * Lines stay whole: the rest of one that was sent in part goes before all else.
 */

#include "lib/util/log-queue.h"

#include <errno.h>

struct log_waiting_line {
        STAILQ_ENTRY(log_waiting_line) link;
        uint64_t n_reported; /* the dropped lines that it tells of; 0: it is a line itself */
        size_t size, sent;
        char data[];
};

void log_queue_drop(struct log_queue *queue, int error) {
        queue->n_dropped++;
        queue->n_unreported++;
        queue->error = error;
}

static int push(struct log_queue *queue, const char *data, size_t size, uint64_t n_reported) {
        struct log_waiting_line *line;

        if (queue->bytes > 0 && queue->bytes + sizeof(*line) + size > LOG_QUEUE_MAX)
                return -EAGAIN;
        line = malloc(sizeof(*line) + size);
        if (!line)
                return -ENOMEM;
        line->n_reported = n_reported;
        line->size = size;
        line->sent = 0;
        if (size > 0)
                memcpy(line->data, data, size);
        if (!queue->lines.stqh_last) /* {0} is a queue as well */
                STAILQ_INIT(&queue->lines);
        STAILQ_INSERT_TAIL(&queue->lines, line, link);
        queue->bytes += sizeof(*line) + size;
        return 0;
}

static void remove_first(struct log_queue *queue) {
        struct log_waiting_line *line = STAILQ_FIRST(&queue->lines);

        STAILQ_REMOVE_HEAD(&queue->lines, link);
        queue->bytes -= sizeof(*line) + line->size;
        free(line);
}

static int push_report(struct log_queue *queue) {
        _cleanup_(freep) char *data = NULL;
        size_t size;
        int r;

        r = queue->report(queue->n_unreported, queue->error, &data, &size);
        if (r == 0)
                r = push(queue, data, size, queue->n_unreported);
        if (r == 0)
                queue->n_unreported = 0;
        return r;
}

/* What waits is lost. */
static void drop_all(struct log_queue *queue, int error) {
        struct log_waiting_line *line;

        while ((line = STAILQ_FIRST(&queue->lines))) {
                if (line->sent > 0 && queue->target->is_stream)
                        queue->is_cut = true;
                if (line->n_reported > 0) {
                        queue->n_unreported += line->n_reported;
                        queue->error = error;
                } else
                        log_queue_drop(queue, error);
                remove_first(queue);
        }
}

/* One call for the first line; what comes next must not look as if it belonged to what is cut off. 0 or
 * -errno. */
static int send_some(struct log_queue *queue) {
        struct log_waiting_line *line = STAILQ_FIRST(&queue->lines);
        ssize_t n;

        if (queue->is_cut) {
                n = queue->target->send("\n", 1);
                if (n < 0)
                        return (int)n;
                queue->is_cut = n == 0;
        }
        n = queue->target->send(line->data + line->sent, line->size - line->sent);
        if (n < 0)
                return (int)n;
        line->sent += (size_t)n;
        if (line->sent == line->size)
                remove_first(queue);
        return 0;
}

/* Sends what waits, then the report of what was dropped. 0: nothing waits any more; or -errno. */
static int drain(struct log_queue *queue) {
        int r;

        for (;;) {
                if (STAILQ_EMPTY(&queue->lines)) {
                        if (queue->n_unreported == 0)
                                return 0;
                        r = push_report(queue);
                        if (r < 0)
                                return r;
                }
                r = send_some(queue);
                if (r == -EINTR)
                        continue;
                if (r < 0)
                        return r;
        }
}

bool log_queue_flush(struct log_queue *queue) {
        int r;

        r = drain(queue);
        if (r < 0 && r != -EAGAIN)
                drop_all(queue, -r);
        return !STAILQ_EMPTY(&queue->lines);
}

int log_queue_write(struct log_queue *queue, const char *data, size_t size) {
        const bool waits = log_queue_flush(queue);
        int r;

        if (queue->n_unreported > 0) {
                if (!waits) /* not even the report is taken */
                        return -queue->error;
                log_queue_drop(queue, EAGAIN);
                return 0;
        }
        r = push(queue, data, size, 0);
        if (r < 0)
                log_queue_drop(queue, -r);
        if (r < 0 || waits)
                return 0;
        r = drain(queue);
        if (r == 0 || r == -EAGAIN)
                return 0;
        if (STAILQ_FIRST(&queue->lines)->sent == 0) { /* it is the only one */
                remove_first(queue);
                return r;
        }
        drop_all(queue, -r);
        return 0;
}
