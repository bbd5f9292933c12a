/*
 * The kernel reports it: a timerfd on CLOCK_REALTIME with TFD_TIMER_CANCEL_ON_SET becomes readable, with
 * ECANCELED, when the clock is set (timerfd_create(2)). It must be armed for some time, so it is armed for
 * the end of time, and armed again after each event. There is no polling.
 */

#include "daemon/loop/clock.h"

#include <errno.h>
#include <stdint.h>
#include <sys/timerfd.h>

#include "lib/util/log.h"
#include "lib/util/macro.h"

struct clock_watch {
        void (*function)(void *userdata);
        void *userdata;
};

static int arm(int fd) {
        /* The kernel cuts this down to the last instant that it can hold, in the year 2262. */
        static const struct itimerspec far = { .it_value = { .tv_sec = INT64_MAX } };

        return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL) < 0 ? -errno : 0;
}

static int on_event(_unused_ sd_event_source *source, int fd, _unused_ uint32_t revents, void *userdata) {
        struct clock_watch *watch = userdata;
        uint64_t expirations;
        int r;

        (void)!read(fd, &expirations, sizeof(expirations));
        r = arm(fd);
        if (r < 0)
                log_error("can no longer watch the clock: %s", strerrordesc_np(-r));
        watch->function(watch->userdata);
        return 0;
}

int clock_watch(sd_event *event, void (*function)(void *userdata), void *userdata, sd_event_source **ret) {
        _cleanup_(sd_event_source_unrefp) sd_event_source *source = NULL;
        _cleanup_(fd_closep) int fd = -1;
        struct clock_watch *watch;
        int r;

        fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
        if (fd < 0)
                return -errno;
        r = arm(fd);
        if (r < 0)
                return r;

        watch = malloc(sizeof(*watch));
        if (!watch)
                return -ENOMEM;
        *watch = (struct clock_watch) { .function = function, .userdata = userdata };
        r = sd_event_add_io(event, &source, fd, EPOLLIN, on_event, watch);
        if (r < 0) {
                free(watch);
                return r;
        }
        sd_event_source_set_destroy_callback(source, free);
        sd_event_source_set_io_fd_own(source, true);
        (void)take_fd(&fd);

        *ret = take_ptr(source);
        return 0;
}
