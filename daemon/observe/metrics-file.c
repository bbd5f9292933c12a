/*
 * The page of metrics-text.c, kept in a file. A change makes it dirty; then its text is collected in pieces,
 * one a turn of the loop, and written on a worker thread, by a rename: readers see the old page or the new
 * one. Changes meanwhile are written together, the interval after the last beginning. While nothing changes
 * nothing runs, not even a timer.
 *
 * Each write is in one of three phases: waiting for its time (`timer`), collecting (`turns`), writing (the
 * job is the workers'). A failure is retried, more slowly, and logged once.
 */

#include "daemon/observe/metrics-file.h"

#include <fcntl.h>

#include "daemon/observe/messages.h"
#include "lib/util/error.h"
#include "lib/util/files.h"
#include "lib/util/log.h"

/* About half a millisecond's worth. */
#define PIECE 65536u

/* After a failure, so many intervals: a full disk is not emptied within seconds. */
#define RETRY_FACTOR 12u

struct metrics_file {
        sd_event *event;
        struct workers *workers;
        const struct metrics *metrics;
        const struct metrics_source *source;
        usec_t every_usec;

        char *path;     /* NULL: none */
        char *obsolete; /* to be removed; NULL: none */
        bool has_file;  /* PATH was written */
        bool is_dirty;  /* there were changes since the collecting began */
        bool has_failed;
        usec_t not_before; /* CLOCK_BOOTTIME, for the next beginning */

        sd_event_source *timer, *turns;
        struct metrics_reader *reader;
        char *text;
        size_t size, room;

        /* What the worker works on. */
        struct job job;
        bool is_writing;
        char *job_path, *job_obsolete; /* each may be NULL */
        struct error error;
};

static bool is_collecting(const struct metrics_file *file) {
        return file->turns;
}

static void stop_collecting(struct metrics_file *file) {
        file->turns = sd_event_source_disable_unref(file->turns);
        file->reader = metrics_reader_free(file->reader);
}

static void free_text(struct metrics_file *file) {
        free(take_ptr(file->text));
        file->size = file->room = 0;
}

/* --- On a worker thread --- */

/* Opens the directory of PATH, by links where there are any: it is not ours. *RET_NAME is within PATH. */
static int open_parent(const char *path, const char **ret_name, struct error *error) {
        const char *slash = strrchr(path, '/');
        _cleanup_(freep) char *parent = strndup(path, slash == path ? 1 : (size_t)(slash - path));
        int fd;

        if (!parent)
                return error_set(error, -ENOMEM, "out of memory");
        fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return error_set_errno(error, -errno, "cannot open directory %s", parent);
        *ret_name = slash + 1;
        return fd;
}

static void remove_obsolete(const char *path) {
        _cleanup_(fd_closep) int fd = -1;
        const char *name;

        fd = open_parent(path, &name, NULL);
        if (fd >= 0)
                (void)unlinkat(fd, name, 0);
}

static void write_text(struct metrics_file *file, const char *path) {
        _cleanup_(fd_closep) int fd = -1;
        const char *name;
        int r;

        fd = open_parent(path, &name, &file->error);
        if (fd < 0)
                return;
        r = file_replace_at(fd, name, file->text, file->size, FILE_ACCESS(0644));
        if (r == -EACCES || r == -EPERM || r == -EROFS)
                error_set_errno(&file->error, r,
                                "rekeyd's user and its unit (ReadWritePaths=) must be allowed to write to "
                                "the file's directory");
        else if (r < 0)
                error_set_errno(&file->error, r, "cannot replace it");
}

static void run_job(struct job *job) {
        struct metrics_file *file = container_of(job, struct metrics_file, job);

        if (file->job_path)
                write_text(file, file->job_path);
        if (file->job_obsolete)
                remove_obsolete(file->job_obsolete);
}

/* --- On the loop --- */

static void proceed(struct metrics_file *file);

/* Says what became of writing to PATH: once when it fails, and once when it works again. */
static void report(struct metrics_file *file, const char *path) {
        const struct log_field fields[] = { { FIELD_ERROR, error_text(&file->error) } };
        bool failed = file->error.code < 0;

        if (failed && !file->has_failed)
                log_fields(LOG_WARNING, MESSAGE_WARNING, fields, ELEMENTSOF(fields),
                           "metrics file %s: cannot be written: %s; its contents become out of date", path,
                           error_text(&file->error));
        else if (!failed && file->has_failed)
                log_info("metrics file %s: written again", path);
        file->has_failed = failed;
        error_clear(&file->error);
}

/* A write has ended, or could not even begin; ERROR has the reason. */
static void finish(struct metrics_file *file, const char *path) {
        bool failed = file->error.code < 0;

        stop_collecting(file);
        free_text(file);
        if (path && streq_null(path, file->path)) {
                report(file, path);
                file->is_dirty = file->is_dirty || failed;
                file->has_file = file->has_file || !failed;
                if (failed)
                        file->not_before =
                                usec_add(now_usec(CLOCK_BOOTTIME), RETRY_FACTOR * file->every_usec);
        } else if (path && !failed && !file->obsolete) {
                file->obsolete = strdup(path); /* the path was changed meanwhile */
        }
        error_clear(&file->error);
}

static void job_is_done(struct job *job) {
        struct metrics_file *file = container_of(job, struct metrics_file, job);
        _cleanup_(freep) char *path = take_ptr(file->job_path);

        file->is_writing = false;
        free(take_ptr(file->job_obsolete));
        finish(file, path);
        proceed(file);
}

static void submit(struct metrics_file *file) {
        file->is_writing = true;
        file->job_obsolete = take_ptr(file->obsolete);
        file->job = (struct job) { .run = run_job, .done = job_is_done };
        workers_submit(file->workers, &file->job);
}

/* The next piece of the text. 1: there is more; 0: it is complete; -errno. */
static int collect(struct metrics_file *file) {
        struct metrics_source source;
        char *text;
        ssize_t n;
        int r;

        if (!file->reader) {
                source = *file->source;
                source.for_file = true;
                r = metrics_reader_new(file->metrics, &source, &file->reader);
                if (r < 0)
                        return r;
                file->is_dirty = false;
                file->size = 0;
        }
        if (file->room - file->size < PIECE) {
                text = realloc(file->text, 2 * file->room + PIECE);
                if (!text)
                        return -ENOMEM;
                file->text = text;
                file->room = 2 * file->room + PIECE;
        }
        n = metrics_read(file->reader, file->text + file->size, PIECE);
        if (n == -ESTALE) {
                file->reader = metrics_reader_free(file->reader); /* from the beginning */
                return 1;
        }
        if (n > 0)
                file->size += (size_t)n;
        return n > 0 ? 1 : (int)n;
}

static void fail(struct metrics_file *file, int r) {
        error_set_errno(&file->error, r, "cannot build the text");
        finish(file, file->path);
}

static int on_turn(_unused_ sd_event_source *source, void *userdata) {
        struct metrics_file *file = userdata;
        int r;

        r = collect(file);
        if (r > 0)
                return 0;
        if (r == 0) {
                file->job_path = strdup(file->path);
                r = file->job_path ? 0 : -ENOMEM;
        }
        if (r < 0) {
                fail(file, r);
                proceed(file);
                return 0;
        }
        stop_collecting(file);
        submit(file);
        return 0;
}

static int start_collecting(struct metrics_file *file) {
        _cleanup_(sd_event_source_unrefp) sd_event_source *turns = NULL;
        int r;

        r = sd_event_add_defer(file->event, &turns, on_turn, file);
        if (r >= 0)
                r = sd_event_source_set_enabled(turns, SD_EVENT_ON);
        if (r < 0)
                return r;
        file->not_before = usec_add(now_usec(CLOCK_BOOTTIME), file->every_usec);
        file->turns = take_ptr(turns);
        return 0;
}

static int on_time(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct metrics_file *file = userdata;

        file->timer = sd_event_source_disable_unref(file->timer);
        proceed(file);
        return 0;
}

/* Does the next thing that there is to do, if it is time for it. */
static void proceed(struct metrics_file *file) {
        int r = 0;

        if (file->is_writing || is_collecting(file) || file->timer)
                return;
        if (!file->path) {
                if (file->obsolete)
                        submit(file);
        } else if (file->is_dirty && now_usec(CLOCK_BOOTTIME) >= file->not_before) {
                r = start_collecting(file);
        } else if (file->is_dirty) {
                r = sd_event_add_time(file->event, &file->timer, CLOCK_BOOTTIME, file->not_before, 0, on_time,
                                      file);
        }
        if (r < 0)
                fail(file, r); /* memory is out; the next change tries again */
}

void metrics_file_changed(struct metrics_file *file) {
        if (!file->path)
                return;
        file->is_dirty = true;
        proceed(file);
}

int metrics_file_set_path(struct metrics_file *file, const char *path) {
        char *copy = NULL;
        bool is_back;

        if (streq_null(file->path, path))
                return 0;
        if (path) {
                copy = strdup(path);
                if (!copy)
                        return -ENOMEM;
        }

        stop_collecting(file);
        if (!file->is_writing)
                free_text(file);
        file->timer = sd_event_source_disable_unref(file->timer);
        if (file->has_file && !file->obsolete)
                file->obsolete = take_ptr(file->path);
        is_back = path && streq_null(path, file->obsolete);
        if (is_back)
                free(take_ptr(file->obsolete));
        free(file->path);
        file->path = copy;
        file->has_file = is_back;
        file->has_failed = false;
        file->is_dirty = copy;
        /* The file of an earlier run is better than one that has no certificate inspected yet. */
        file->not_before = file->source->is_ready ? 0 : usec_add(now_usec(CLOCK_BOOTTIME), file->every_usec);
        proceed(file);
        return 0;
}

int metrics_file_new(sd_event *event, struct workers *workers, const struct metrics *metrics,
                     const struct metrics_source *source, usec_t every_usec, struct metrics_file **ret) {
        struct metrics_file *file = calloc(1, sizeof(*file));

        if (!file)
                return -ENOMEM;
        file->event = sd_event_ref(event);
        file->workers = workers;
        file->metrics = metrics;
        file->source = source;
        file->every_usec = every_usec;
        *ret = file;
        return 0;
}

/* On the calling thread, to its end. */
static void write_last(struct metrics_file *file) {
        int r;

        file->reader = metrics_reader_free(file->reader);
        do
                r = collect(file);
        while (r > 0);
        if (r == 0)
                write_text(file, file->path);
        else
                error_set_errno(&file->error, r, "cannot build the text");
        report(file, file->path);
}

struct metrics_file *metrics_file_free(struct metrics_file *file) {
        if (!file)
                return NULL;
        /* What the workers had not begun when they were stopped was dropped. */
        if (file->path && (file->is_dirty || is_collecting(file) || file->is_writing))
                write_last(file);
        if (file->job_obsolete)
                remove_obsolete(file->job_obsolete);
        if (file->obsolete)
                remove_obsolete(file->obsolete);
        stop_collecting(file);
        sd_event_source_disable_unref(file->timer);
        sd_event_unref(file->event);
        error_clear(&file->error);
        free(file->text);
        free(file->path);
        free(file->obsolete);
        free(file->job_path);
        free(file->job_obsolete);
        free(file);
        return NULL;
}
