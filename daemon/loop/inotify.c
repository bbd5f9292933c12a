/*
 * sd_event_add_inotify() costs 300 bytes, a handful of system calls and two entries in hash tables for each
 * watch, which is more than all the rest of a certificate when there are two for each of ten thousand. Here a
 * watch is a node of 24 bytes in its owner's struct, and a table leads from the kernel's number to it.
 *
 * The kernel knows one watch for each file, however often it is asked; all who watch the same file get each
 * other's events as well. That is harmless: the receiver of an event inspects its file, and an event may come
 * without need.
 */

#include "daemon/loop/inotify.h"

#include <errno.h>
#include <limits.h>

#include "lib/util/log.h"

/* Events that are read, and watches that are notified of an overflow, in one turn of the loop. */
#define READ_SIZE  4096
#define SWEEP_SIZE 64u

#define BUCKETS_MIN 16u /* a power of two */

struct inotify {
        sd_event *event;
        int fd;
        unsigned n_refs;
        sd_event_source *source, *sweep;
        struct inotify_watch **buckets;
        unsigned n_buckets, n_watches;
        unsigned sweep_bucket; /* next to be notified of an overflow */
        bool is_telling;
        struct inotify_watch *cursor; /* next to be notified of the present event */
        struct inotify *next;         /* of another loop */
};

static struct inotify *instances; /* one for each loop: tests have several, one after the other */

/* --- The table --- */

static struct inotify_watch **bucket_of(const struct inotify *inotify, int wd) {
        return &inotify->buckets[(unsigned)wd & (inotify->n_buckets - 1)];
}

static void insert(struct inotify *inotify, struct inotify_watch *watch) {
        struct inotify_watch **bucket = bucket_of(inotify, watch->wd);

        watch->next = *bucket;
        *bucket = watch;
}

static int make_room(struct inotify *inotify) {
        struct inotify_watch **old = inotify->buckets, *watch, *next;
        unsigned n_old = inotify->n_buckets;

        if (inotify->n_watches < n_old || inotify->is_telling)
                return 0; /* a full table is slower, no more */
        inotify->buckets = calloc(2 * n_old, sizeof(struct inotify_watch *));
        if (!inotify->buckets) {
                inotify->buckets = old;
                return -ENOMEM;
        }
        inotify->n_buckets = 2 * n_old;
        for (unsigned i = 0; i < n_old; i++)
                for (watch = old[i]; watch; watch = next) {
                        next = watch->next;
                        insert(inotify, watch);
                }
        free(old);
        inotify->sweep_bucket = 0; /* a sweep that is under way begins again */
        return 0;
}

/* Takes WATCH out of the table. Returns whether no other watch is on the same file. */
static bool take_out(struct inotify *inotify, struct inotify_watch *watch) {
        struct inotify_watch **link = bucket_of(inotify, watch->wd);
        int wd = watch->wd;
        bool is_last = true;

        while (*link != watch)
                link = &(*link)->next;
        *link = watch->next;
        if (inotify->cursor == watch)
                inotify->cursor = watch->next;
        watch->wd = 0;
        watch->next = NULL;
        inotify->n_watches--;

        for (watch = *bucket_of(inotify, wd); watch; watch = watch->next)
                is_last = is_last && watch->wd != wd;
        return is_last;
}

/* --- Events --- */

/* Notifies those of a bucket that watch WD, or all (0). A watch that is added meanwhile comes first in its
 * bucket and is not met. */
static unsigned tell(struct inotify *inotify, unsigned bucket, int wd, uint32_t mask, const char *name) {
        unsigned n = 0;

        inotify->is_telling = true;
        for (inotify->cursor = inotify->buckets[bucket]; inotify->cursor;) {
                struct inotify_watch *watch = inotify->cursor;

                inotify->cursor = watch->next;
                if (wd > 0 && watch->wd != wd)
                        continue;
                n++;
                if (mask & IN_IGNORED)
                        (void)take_out(inotify, watch); /* the kernel has done so too */
                watch->function(watch, mask, name);
        }
        inotify->is_telling = false;
        return n;
}

static int on_sweep(sd_event_source *source, void *userdata) {
        struct inotify *inotify = userdata;
        unsigned n = 0;

        inotify->n_refs++;
        while (n < SWEEP_SIZE && inotify->sweep_bucket < inotify->n_buckets)
                n += tell(inotify, inotify->sweep_bucket++, 0, IN_Q_OVERFLOW, "");
        if (inotify->sweep_bucket < inotify->n_buckets)
                (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        inotify_unref(inotify);
        return 0;
}

static void take_event(struct inotify *inotify, const struct inotify_event *event) {
        if (event->mask & IN_Q_OVERFLOW) {
                inotify->sweep_bucket = 0;
                (void)sd_event_source_set_enabled(inotify->sweep, SD_EVENT_ONESHOT);
        } else if (event->wd > 0)
                (void)tell(inotify, (unsigned)event->wd & (inotify->n_buckets - 1), event->wd, event->mask,
                           event->len > 0 ? event->name : "");
}

static int on_readable(_unused_ sd_event_source *source, int fd, _unused_ uint32_t revents, void *userdata) {
        _Alignas(struct inotify_event) char buffer[READ_SIZE];
        struct inotify *inotify = userdata;
        ssize_t n;

        n = read(fd, buffer, sizeof(buffer));
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;

        inotify->n_refs++; /* the last watch may go with one of the events */
        for (const char *p = buffer; p < buffer + n;) {
                const struct inotify_event *event = (const struct inotify_event *)(const void *)p;

                take_event(inotify, event);
                p += sizeof(*event) + event->len;
        }
        inotify_unref(inotify);
        return 0;
}

/* --- Instances and watches --- */

static int inotify_open(struct inotify *inotify) {
        int r;

        inotify->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (inotify->fd < 0)
                return -errno;
        inotify->buckets = calloc(BUCKETS_MIN, sizeof(struct inotify_watch *));
        if (!inotify->buckets)
                return -ENOMEM;
        inotify->n_buckets = BUCKETS_MIN;
        r = sd_event_add_io(inotify->event, &inotify->source, inotify->fd, EPOLLIN, on_readable, inotify);
        if (r < 0)
                return r;
        r = sd_event_add_defer(inotify->event, &inotify->sweep, on_sweep, inotify);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(inotify->sweep, SD_EVENT_OFF);
}

int inotify_get(sd_event *event, struct inotify **ret) {
        struct inotify *inotify = instances;
        int r;

        while (inotify && inotify->event != event)
                inotify = inotify->next;
        if (inotify) {
                inotify->n_refs++;
                *ret = inotify;
                return 0;
        }

        inotify = calloc(1, sizeof(*inotify));
        if (!inotify)
                return -ENOMEM;
        inotify->event = sd_event_ref(event);
        inotify->fd = -1;
        inotify->n_refs = 1;
        inotify->next = instances;
        instances = inotify;
        r = inotify_open(inotify);
        if (r < 0) {
                inotify_unref(inotify);
                return r;
        }
        *ret = inotify;
        return 0;
}

struct inotify *inotify_unref(struct inotify *inotify) {
        struct inotify **link = &instances;

        if (!inotify || --inotify->n_refs > 0)
                return NULL;
        while (*link != inotify)
                link = &(*link)->next;
        *link = inotify->next;
        sd_event_source_disable_unref(inotify->source);
        sd_event_source_disable_unref(inotify->sweep);
        fd_close(inotify->fd);
        sd_event_unref(inotify->event);
        free(inotify->buckets);
        free(inotify);
        return NULL;
}

int inotify_arm(struct inotify *inotify, struct inotify_watch *watch, const char *path, uint32_t mask) {
        int wd, r;

        r = make_room(inotify);
        if (r < 0)
                return r;
        wd = inotify_add_watch(inotify->fd, path, mask | IN_MASK_ADD);
        r = wd < 0 ? -errno : 0;
        if (r == 0 && wd == watch->wd)
                return 0;
        inotify_remove(inotify, watch);
        if (r < 0)
                return r;
        watch->wd = wd;
        inotify->n_watches++;
        insert(inotify, watch);
        return 1;
}

void inotify_remove(struct inotify *inotify, struct inotify_watch *watch) {
        int wd = watch->wd;

        if (wd > 0 && take_out(inotify, watch))
                (void)inotify_rm_watch(inotify->fd, wd); /* fails when the file is gone */
}
