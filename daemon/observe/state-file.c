/*
 * A certificate's state in memory, and its file. Code that changes the state requests a save; changes while a
 * write is under way are written together after it. There is never more than one write of a file at a time,
 * so the newest is what remains.
 */

#include "daemon/observe/state-file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "daemon/observe/messages.h"
#include "lib/report/history.h"
#include "lib/store/directory.h"
#include "lib/util/log.h"

static struct state_instant instant(const struct state_directory *directory) {
        struct state_instant now = {
                .realtime = now_usec(CLOCK_REALTIME),
                .boottime = now_usec(CLOCK_BOOTTIME),
        };

        memcpy(now.boot_id, directory->boot_id, sizeof(now.boot_id));
        return now;
}

/* --- The directory --- */

struct sweep {
        int fd;
        bool (*is_known)(const char *name, void *userdata);
        void *userdata;
};

static bool strip_suffix(char *text, const char *suffix) {
        if (!has_suffix(text, suffix))
                return false;
        text[strlen(text) - strlen(suffix)] = '\0';
        return true;
}

/* A certificate that is configured again finds its budget as it left it, and what was revoked is not used
 * again: so they are kept for longer than a client certificate lives (here 90 days, nowhere more than 398).
 */
#define SWEEP_USEC (400 * USEC_PER_DAY)

static int sweep_one(const char *entry, void *userdata) {
        const struct sweep *sweep = userdata;
        _cleanup_(freep) char *name = strdup(entry);
        struct stat st;

        if (!name)
                return -ENOMEM;
        (void)strip_suffix(name, ".damaged");
        if (!strip_suffix(name, ".json") && !strip_suffix(name, ".history"))
                return 0;
        if (sweep->is_known(name, sweep->userdata) || fstatat(sweep->fd, entry, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        if (usec_add((usec_t)st.st_mtim.tv_sec * USEC_PER_SEC, SWEEP_USEC) < now_usec(CLOCK_REALTIME))
                (void)unlinkat(sweep->fd, entry, 0);
        return 0;
}

int state_file_open_directory(const char *path, bool (*is_known)(const char *name, void *userdata),
                              void *userdata, struct error *error) {
        _cleanup_(fd_closep) int fd = -1;
        struct sweep sweep = { .is_known = is_known, .userdata = userdata };
        int r;

        /* State files are 0600; but certificates may be stored below, and the programs that use them must
         * reach them. */
        fd = directory_open(path, 0755, error);
        if (fd < 0)
                return error_prefix(error, "the state directory cannot be used");
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK
                               ? error_set(error, -EWOULDBLOCK,
                                           "another rekeyd uses state directory %s; stop it first, or set "
                                           "another `state_directory`",
                                           path)
                               : error_set_errno(error, -errno, "cannot lock state directory %s", path);
        if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
                return error_set_errno(error, -errno, "cannot write to state directory %s", path);

        sweep.fd = fd;
        r = dir_for_each(fd, sweep_one, &sweep);
        if (r < 0)
                return error_set_errno(error, r, "cannot read state directory %s", path);
        return take_fd(&fd);
}

/* --- One state file --- */

/* A file in its place that rekeyd has not written, or that another user has written. It must not prevent the
 * renewal of other certificates: as with a damaged one, the state is lost. */
static bool is_hopeless(int r) {
        return r == -ELOOP || r == -EISDIR || r == -EINVAL || r == -ENXIO || r == -EACCES;
}

int state_file_new(const struct state_directory *directory, const char *name, struct state_file **ret,
                   char **ret_warning, struct error *error) {
        _cleanup_(state_file_freep) struct state_file *state_file = NULL;
        const struct state_instant now = instant(directory);
        int r;

        state_file = calloc(1, sizeof(*state_file));
        if (!state_file)
                return -ENOMEM;
        state_file->directory = directory;
        state_file->name = strdup(name);
        if (!state_file->name)
                return -ENOMEM;
        r = state_load(directory->fd, name, &now, &state_file->state, ret_warning, error);
        if (is_hopeless(r)) {
                r = state_set_aside(directory->fd, name, error_text(error), ret_warning);
                if (r == 0)
                        error_clear(error);
        }
        if (r < 0)
                return r;
        state_file->has_file = !state_is_empty(&state_file->state);
        /* From now on they are on the clock of this boot. */
        if (state_file->state.n_issuances > 0)
                state_file_save(state_file);
        *ret = take_ptr(state_file);
        return 0;
}

/* One write, on a worker: of the state, of lines for the history, or of both. */
struct writing {
        struct job job;
        struct state_file *state_file;
        char *text, *notes; /* NULL: none */
        struct error error;
        int result;
};

static struct writing *writing_free(struct writing *writing) {
        if (!writing)
                return NULL;
        free(writing->text);
        free(writing->notes);
        error_clear(&writing->error);
        free(writing);
        return NULL;
}

static void run_write(struct job *job) {
        struct writing *writing = container_of(job, struct writing, job);
        const struct state_file *state_file = writing->state_file;
        int fd = state_file->directory->fd;

        if (writing->text)
                writing->result = state_write(fd, state_file->name, writing->text, &writing->error);
        if (writing->notes)
                (void)history_append(fd, state_file->name, writing->notes, NULL);
        free(take_ptr(writing->notes));
}

static void write_next(struct state_file *state_file);

/* CAUSE is moved from. */
static void finish(struct state_file *state_file, int r, struct error *cause) {
        struct state_file_waiter waiters[STATE_FILE_WAITERS] = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        error_move(&error, cause);
        if (r < 0 && !state_file->has_complained) {
                const struct log_field fields[] = {
                        { FIELD_CERTIFICATE, state_file->name },
                        { FIELD_ERROR, error_text(&error) },
                };

                log_fields(LOG_ERR, MESSAGE_HISTORY, fields, ELEMENTSOF(fields),
                           "%s: could not save state: %s", state_file->name, error_text(&error));
        }
        state_file->has_complained = r < 0;
        for (size_t i = 0; i < STATE_FILE_WAITERS; i++)
                if (state_file->waiters[i].is_written) {
                        waiters[i] = state_file->waiters[i];
                        state_file->waiters[i] = (struct state_file_waiter) { 0 };
                }
        write_next(state_file);
        /* The last of them may free the state file: while another one waits, the certificate stays. */
        for (size_t i = 0; i < STATE_FILE_WAITERS; i++)
                if (waiters[i].saved)
                        waiters[i].saved(r, r < 0 ? error_text(&error) : NULL, waiters[i].userdata);
}

static void write_is_done(struct job *job) {
        struct writing *writing = container_of(job, struct writing, job);
        struct state_file *state_file = writing->state_file;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        const bool has_saved = writing->text;
        const int r = writing->result;

        error_move(&error, &writing->error);
        state_file->writing = writing_free(writing);
        if (state_file->is_orphan)
                state_file_free(state_file);
        else if (has_saved)
                finish(state_file, r, &error);
        else
                write_next(state_file);
}

/* Begins to write what waits for it, unless something is being written. */
static void write_next(struct state_file *state_file) {
        const struct state_instant now = instant(state_file->directory);
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct writing *writing;
        int r = 0;

        if (state_file->writing || atomic_load(state_file->directory->stopping) ||
            !(state_file->is_dirty || state_file->notes))
                return;
        writing = calloc(1, sizeof(*writing));
        if (!writing)
                r = -ENOMEM;
        else if (state_file->is_dirty)
                r = state_format(&state_file->state, &now, &writing->text, &error);
        if (state_file->is_dirty) {
                state_file->is_dirty = false;
                for (size_t i = 0; i < STATE_FILE_WAITERS; i++)
                        state_file->waiters[i].is_written = state_file->waiters[i].saved;
        }
        if (r < 0) {
                writing_free(writing);
                free(take_ptr(state_file->notes));
                finish(state_file, r, &error);
                return;
        }
        writing->job = (struct job) { .run = run_write, .done = write_is_done };
        writing->state_file = state_file;
        writing->notes = take_ptr(state_file->notes);
        state_file->writing = writing;
        workers_submit(state_file->directory->workers, &writing->job);
}

void state_file_save(struct state_file *state_file) {
        state_file->is_dirty = state_file->has_file = true;
        write_next(state_file);
}

void state_file_add_history(struct state_file *state_file, const char *line) {
        const char *before = state_file->notes ? state_file->notes : "";
        char *both;

        /* If the disk does not keep up, the history has a hole. */
        if (strlen(before) + strlen(line) > HISTORY_SIZE_MAX / 2 || asprintf(&both, "%s%s", before, line) < 0)
                return;
        free(state_file->notes);
        state_file->notes = both;
        write_next(state_file);
}

void state_file_save_then(struct state_file *state_file,
                          void (*saved)(int r, const char *error, void *userdata), void *userdata) {
        struct state_file_waiter *waiter = state_file->waiters;

        /* A repeated request waits for the newer one. */
        while (waiter->saved && (waiter->saved != saved || waiter->userdata != userdata)) {
                waiter++;
                assert(waiter < state_file->waiters + STATE_FILE_WAITERS);
        }
        *waiter = (struct state_file_waiter) { .saved = saved, .userdata = userdata };
        state_file_save(state_file);
}

bool state_file_is_saved(const struct state_file *state_file) {
        return !state_file->writing && !state_file->is_dirty && !state_file->notes;
}

struct state_file *state_file_free(struct state_file *state_file) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct state_instant now;

        if (!state_file)
                return NULL;
        if (state_file->writing && !atomic_load(state_file->directory->stopping)) {
                state_file->is_orphan = true;
                return NULL;
        }
        if (state_file->is_dirty || (state_file->writing && state_file->writing->text)) {
                /* What the workers had not begun when they were stopped was dropped. */
                now = instant(state_file->directory);
                if (state_save(state_file->directory->fd, state_file->name, &state_file->state, &now,
                               &error) < 0)
                        log_error("%s: could not save state: %s", state_file->name, error_text(&error));
        }
        if (state_file->writing && state_file->writing->notes)
                (void)history_append(state_file->directory->fd, state_file->name, state_file->writing->notes,
                                     NULL);
        if (state_file->notes)
                (void)history_append(state_file->directory->fd, state_file->name, state_file->notes, NULL);
        writing_free(state_file->writing);
        free(state_file->notes);
        free(state_file->name);
        state_clear(&state_file->state);
        free(state_file);
        return NULL;
}
