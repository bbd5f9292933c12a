/* As long as nothing waits, nothing is watched: the source of a place lives until its queue is empty. */

#include "daemon/loop/log-watch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>

#include "lib/util/log.h"

struct log_watch {
        sd_event *event;
        struct log_watch_place {
                struct log_watch *watch;
                sd_event_source *source; /* NULL: nothing waits */
        } places[LOG_PLACE_MAX];
};

static int on_writable(_unused_ sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents,
                       void *userdata) {
        struct log_watch_place *place = userdata;

        place->source = sd_event_source_disable_unref(place->source);
        log_flush((enum log_place)(place -
                                   place->watch->places)); /* comes to on_waiting() if something stays */
        return 0;
}

/* Without a source what waits goes out with the next line. FD may be another one by then, so a copy is
 * watched. */
static void on_waiting(enum log_place which, int fd, void *userdata) {
        struct log_watch *watch = userdata;
        struct log_watch_place *place = &watch->places[which];
        _cleanup_(fd_closep) int copy = -1;

        if (place->source)
                return;
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (copy < 0 || sd_event_add_io(watch->event, &place->source, copy, EPOLLOUT, on_writable, place) < 0)
                return;
        if (sd_event_source_set_io_fd_own(place->source, true) >= 0)
                (void)take_fd(&copy);
}

int log_watch_new(sd_event *event, struct log_watch **ret) {
        struct log_watch *watch = calloc(1, sizeof(*watch));

        if (!watch)
                return -ENOMEM;
        watch->event = sd_event_ref(event);
        for (size_t i = 0; i < LOG_PLACE_MAX; i++)
                watch->places[i].watch = watch;
        log_set_waiting(on_waiting, watch);
        *ret = watch;
        return 0;
}

struct log_watch *log_watch_free(struct log_watch *watch) {
        if (!watch)
                return NULL;
        log_set_waiting(NULL, NULL);
        for (size_t i = 0; i < LOG_PLACE_MAX; i++)
                sd_event_source_disable_unref(watch->places[i].source);
        sd_event_unref(watch->event);
        free(watch);
        return NULL;
}
