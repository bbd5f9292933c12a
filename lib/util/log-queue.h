#pragma once

/* Log lines on their way to a reader for whom nobody waits. */

#include <sys/queue.h>
#include <sys/types.h>

#include "lib/util/macro.h"

/* Where lines go. */
struct log_target {
        /* Takes up to SIZE bytes of a line, and returns how many. -EAGAIN: none before FD is writable; any
         * other -errno: they are lost. Never waits. */
        ssize_t (*send)(const char *data, size_t size);
        int (*fd)(void);

        /* Is it a stream, in which the rest of a line can be missing? */
        bool is_stream;
};

STAILQ_HEAD(log_lines, log_waiting_line);

struct log_queue {
        const struct log_target *target;

        /* The line, owned, that says of N lines that they were dropped, for the reason ERROR; EAGAIN: nobody
         * has read. 0 or -errno. */
        int (*report)(uint64_t n, int error, char **ret_data, size_t *ret_size);

        struct log_lines lines; /* that wait; the first may have been sent in part */
        size_t bytes;           /* of memory that they take */
        bool is_cut;            /* the stream ends within a line whose rest is lost */
        uint64_t n_unreported;  /* lines that were dropped, which the reader has not been told */
        int error;              /* the reason for the last of them */
        uint64_t n_dropped;     /* since the start */
};

/* The memory of what waits in a queue: a burst of some thousand lines. */
#define LOG_QUEUE_MAX (1024u * 1024u)

/* Sends the line DATA, or lets it wait behind those that do, or drops it: 0 in each case. -errno: the target
 * does not take it at all, and it is not counted. */
int log_queue_write(struct log_queue *queue, const char *data, size_t size);

/* Counts a line that the target did not take. */
void log_queue_drop(struct log_queue *queue, int error);

/* Sends what the reader takes. Whether something still waits. */
bool log_queue_flush(struct log_queue *queue);
