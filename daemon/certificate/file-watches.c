/* A directory of exports may be a busy one, such as /etc/haproxy, and each event in it reaches all who watch
 * there. So a file is compared with what it was: by its identity, which costs one system call. */

#include "daemon/certificate/file-watches.h"

#include <fcntl.h>

#include "daemon/loop/path-watch.h"

#define DISTANCE_MIN_USEC USEC_PER_SEC
#define DISTANCE_MAX_USEC USEC_PER_HOUR

struct watched_file {
        struct file_watches *owner;
        struct path_watch *watch;
        char *path;
        uint64_t seen;  /* a file_identity_hash(); 0: there was none */
        bool is_export; /* rekeyd writes it */
};

struct file_watches {
        sd_event *event;
        void (*changed)(void *userdata);
        void *userdata;
        sd_event_source *timer;     /* a change waits until it may be told */
        usec_t last, distance_usec; /* of the last call, CLOCK_BOOTTIME; 0: none yet */
        bool is_paused;
        size_t n;
        struct watched_file files[];
};

static uint64_t identify(const char *path) {
        struct file_identity identity;

        return file_identify(AT_FDCWD, path, &identity) < 0 ? 0 : file_identity_hash(&identity);
}

/* --- Telling --- */

usec_t file_watches_next_distance(usec_t distance_usec, usec_t quiet_usec) {
        if (distance_usec == 0 || quiet_usec >= DISTANCE_MAX_USEC)
                return DISTANCE_MIN_USEC;
        return distance_usec < DISTANCE_MAX_USEC / 2 ? 2 * distance_usec : DISTANCE_MAX_USEC;
}

static void tell(struct file_watches *watches) {
        const usec_t now = now_usec(CLOCK_BOOTTIME);

        watches->distance_usec =
                file_watches_next_distance(watches->distance_usec, usec_sub(now, watches->last));
        watches->last = now;
        watches->changed(watches->userdata);
}

static bool has_changed(const struct file_watches *watches) {
        for (size_t i = 0; i < watches->n; i++)
                if (identify(watches->files[i].path) != watches->files[i].seen)
                        return true;
        return false;
}

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct file_watches *watches = userdata;

        watches->timer = sd_event_source_disable_unref(watches->timer);
        if (!watches->is_paused && has_changed(watches))
                tell(watches);
        return 0;
}

static void tell_in_time(struct file_watches *watches) {
        const usec_t due = usec_add(watches->last, watches->distance_usec);

        if (watches->timer)
                return;
        if (watches->last == 0 || now_usec(CLOCK_BOOTTIME) >= due)
                tell(watches);
        else
                (void)sd_event_add_time(watches->event, &watches->timer, CLOCK_BOOTTIME, due, 0, on_timer,
                                        watches);
}

static void on_change(void *userdata) {
        const struct watched_file *file = userdata;

        if (!file->owner->is_paused && identify(file->path) != file->seen)
                tell_in_time(file->owner);
}

void file_watches_pause(struct file_watches *watches) {
        if (watches)
                watches->is_paused = true;
}

void file_watches_resume(struct file_watches *watches) {
        if (!watches || !watches->is_paused)
                return;
        watches->is_paused = false;
        if (has_changed(watches))
                tell_in_time(watches);
}

/* --- Watching --- */

static int add(struct file_watches *watches, const char *path, bool is_export) {
        struct watched_file *file = &watches->files[watches->n];

        *file = (struct watched_file) { .owner = watches, .path = strdup(path), .is_export = is_export };
        if (!file->path)
                return -ENOMEM;
        watches->n++;
        return path_watch_new(watches->event, path, is_export ? PATH_GOES : PATH_COMES, on_change, file,
                              &file->watch);
}

int file_watches_new(sd_event *event, const struct config_certificate *config,
                     void (*changed)(void *userdata), void *userdata, struct file_watches **ret) {
        _cleanup_(file_watches_freep) struct file_watches *watches = NULL;
        int r = 0;

        *ret = NULL;
        if (config->n_exports == 0)
                return 0;
        watches = calloc(1, sizeof(*watches) + 2 * config->n_exports * sizeof(watches->files[0]));
        if (!watches)
                return -ENOMEM;
        watches->event = event;
        watches->changed = changed;
        watches->userdata = userdata;
        for (size_t i = 0; r >= 0 && i < config->n_exports; i++) {
                const struct export *export = &config->exports[i];

                if (export->path)
                        r = add(watches, export->path, true);
                if (r >= 0 && export->passphrase_file)
                        r = add(watches, export->passphrase_file, false);
        }
        if (r < 0)
                return r;
        file_watches_note(watches);
        *ret = take_ptr(watches);
        return 0;
}

struct file_watches *file_watches_free(struct file_watches *watches) {
        if (!watches)
                return NULL;
        sd_event_source_disable_unref(watches->timer);
        for (size_t i = 0; i < watches->n; i++) {
                path_watch_free(watches->files[i].watch);
                free(watches->files[i].path);
        }
        free(watches);
        return NULL;
}

void file_watches_note(struct file_watches *watches) {
        for (size_t i = 0; watches && i < watches->n; i++)
                watches->files[i].seen = identify(watches->files[i].path);
}

/* One that is not there has been taken away just now: that is news. */
void file_watches_settle(struct file_watches *watches, const char *path) {
        for (size_t i = 0; watches && i < watches->n; i++) {
                struct watched_file *file = &watches->files[i];
                uint64_t now;

                if (!file->is_export || !streq(file->path, path))
                        continue;
                now = identify(path);
                file->seen = now != 0 ? now : UINT64_MAX;
        }
}
