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
#include "lib/util/rights.h"

static struct state_instant instant(const struct state_directory *directory) {
        struct state_instant now = {
                .realtime = now_usec(CLOCK_REALTIME),
                .boottime = now_usec(CLOCK_BOOTTIME),
        };

        memcpy(now.boot_id, directory->boot_id, sizeof(now.boot_id));
        memcpy(now.machine_id, directory->machine_id, sizeof(now.machine_id));
        return now;
}

/* --- The directory --- */

/* State files are 0600; but certificates may be stored below, and the programs that use them must reach them.
 */
#define DIRECTORY_MODE 0755

struct sweep {
        int fd;
        bool is_wide; /* the group of the directory may write there: kubelet gives it the files as well */
        unsigned n_narrowed;
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

/* Back to 0600, as the file was made. */
static void narrow(struct sweep *sweep, const char *entry) {
        struct rights now, target;

        if (rights_read_at(sweep->fd, entry, &now) < 0 || now.uid != geteuid() || !(now.mode & 0077u))
                return;
        target = (struct rights) { .uid = now.uid, .gid = now.gid, .mode = 0600 };
        if (rights_change_at(sweep->fd, entry, &now, &target) == 0)
                sweep->n_narrowed++;
}

static int sweep_one(const char *entry, void *userdata) {
        struct sweep *sweep = userdata;
        _cleanup_(freep) char *name = strdup(entry);
        struct stat st;

        if (!name)
                return -ENOMEM;
        (void)strip_suffix(name, ".damaged");
        if (!strip_suffix(name, ".json") && !strip_suffix(name, ".history"))
                return 0;
        if (sweep->is_wide)
                narrow(sweep, entry);
        if (sweep->is_known(name, sweep->userdata) || fstatat(sweep->fd, entry, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return 0;
        if (usec_add((usec_t)st.st_mtim.tv_sec * USEC_PER_SEC, SWEEP_USEC) < now_usec(CLOCK_REALTIME))
                (void)unlinkat(sweep->fd, entry, 0);
        return 0;
}

/* Before the directory itself, so that a crash in between loses nothing of it. */
static int sweep_directory(const char *path, struct sweep *sweep) {
        _cleanup_(freep) char *change = NULL;
        struct stat st;
        int r;

        sweep->is_wide = fstat(sweep->fd, &st) == 0 && st.st_mode & S_IWGRP;
        r = dir_for_each(sweep->fd, sweep_one, sweep);
        if (r < 0 || !sweep->is_wide)
                return r;
        (void)directory_tighten(sweep->fd, path, &change);
        if (change || sweep->n_narrowed > 0)
                log_line(LOG_NOTICE,
                         "state directory %s: its group may no longer write to %u of its files: %s", path,
                         sweep->n_narrowed, change ? change : "its own rights are left as they are");
        return 0;
}

int state_file_open_directory(const char *path, bool (*is_known)(const char *name, void *userdata),
                              void *userdata, struct error *error) {
        _cleanup_(fd_closep) int fd = -1;
        struct sweep sweep = { .is_known = is_known, .userdata = userdata };
        int r;

        fd = directory_open(path, DIRECTORY_MODE, NO_GROUP, error);
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
        r = sweep_directory(path, &sweep);
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

int state_file_new(struct state_directory *directory, const char *name, struct state_file **ret,
                   char **ret_warning, struct error *error) {
        _cleanup_(state_file_freep) struct state_file *state_file = NULL;
        const struct state_instant now = instant(directory);
        int r;

        state_file = calloc(1, sizeof(*state_file) + strlen(name) + 1);
        if (!state_file)
                return -ENOMEM;
        state_file->directory = directory;
        memcpy(state_file->name, name, strlen(name) + 1);
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

/* Who waits until what they have changed is durable. */
struct waiter {
        void (*saved)(int r, const char *error, void *userdata); /* NULL: nobody */
        void *userdata;
        bool is_written; /* with the write that is under way */
};

/* There while something is to be written or is being written: one write at a time, on a worker, of the state,
 * of lines for the history, or of both. */
struct saving {
        struct job job;
        struct state_file *state_file;
        struct waiter waiters[STATE_FILE_WAITERS];
        bool is_dirty;  /* the state is to be written */
        bool is_orphan; /* the state file is to be freed once the write is done */
        char *notes;    /* lines for the history; NULL: none */

        /* The write under way. */
        bool is_writing;
        char *text, *written_notes; /* NULL: none */
        struct error error;
        int result;
};

static struct saving *saving_free(struct saving *saving) {
        if (!saving)
                return NULL;
        free(saving->notes);
        free(saving->text);
        free(saving->written_notes);
        error_clear(&saving->error);
        free(saving);
        return NULL;
}

/* 0, or -ENOMEM: nothing can be written now. */
static int begin_saving(struct state_file *state_file) {
        if (state_file->saving)
                return 0;
        state_file->saving = calloc(1, sizeof(*state_file->saving));
        if (!state_file->saving)
                return -ENOMEM;
        state_file->saving->state_file = state_file;
        return 0;
}

/* Frees SAVING where nothing is left to do. */
static void end_saving(struct state_file *state_file) {
        const struct saving *saving = state_file->saving;

        if (!saving || saving->is_writing || saving->is_dirty || saving->notes)
                return;
        for (size_t i = 0; i < STATE_FILE_WAITERS; i++)
                if (saving->waiters[i].saved)
                        return;
        state_file->saving = saving_free(state_file->saving);
}

static bool is_at_path(const struct state_directory *directory) {
        struct stat ours, there;

        return fstat(directory->fd, &ours) == 0 && stat(directory->path, &there) == 0 &&
               ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/* Somebody has removed the directory, or has mounted a file system over it. What is at the path takes its
 * place, under the same descriptor, which is how all who hold it follow. Where that cannot be used the old
 * one stays: 0, or -errno with a sentence. */
static int follow_path(struct state_directory *directory, struct error *error) {
        _cleanup_(fd_closep) int fd = -1;

        fd = directory_open(directory->path, DIRECTORY_MODE, NO_GROUP, error);
        if (fd < 0)
                return error_prefix(error, "the state directory was removed or replaced");
        (void)directory_tighten(fd, directory->path, NULL);
        if (flock(fd, LOCK_EX | LOCK_NB) < 0 || dup3(fd, directory->fd, O_CLOEXEC) < 0)
                return error_set_errno(error, -errno,
                                       "the state directory was replaced, and cannot be used: %s",
                                       directory->path);
        atomic_store(&directory->is_replaced, true);
        return 0;
}

/* On a worker. */
static int check_path(struct state_directory *directory, struct error *error) {
        int r = 0;

        if (!directory->path)
                return 0;
        pthread_mutex_lock(&directory->lock);
        if (!is_at_path(directory))
                r = follow_path(directory, error);
        pthread_mutex_unlock(&directory->lock);
        return r;
}

static void run_write(struct job *job) {
        struct saving *saving = container_of(job, struct saving, job);
        const struct state_file *state_file = saving->state_file;
        int fd = state_file->directory->fd;
        int r = check_path(state_file->directory, &saving->error);

        if (saving->text && r < 0)
                saving->result = r;
        else if (saving->text)
                saving->result = state_write(fd, state_file->name, saving->text, &saving->error);
        if (saving->written_notes)
                (void)history_append(fd, state_file->name, saving->written_notes, NULL);
        free(take_ptr(saving->written_notes));
}

static void write_next(struct state_file *state_file);

static void complain(struct state_file *state_file, int r, const struct error *error) {
        const struct log_field fields[] = {
                { FIELD_CERTIFICATE, state_file->name },
                { FIELD_ERROR, error_text(error) },
        };

        if (r < 0 && !state_file->has_complained)
                log_fields(LOG_ERR, MESSAGE_HISTORY, fields, ELEMENTSOF(fields),
                           "%s: could not save state: %s", state_file->name, error_text(error));
        state_file->has_complained = r < 0;
}

/* CAUSE is moved from. */
static void finish(struct state_file *state_file, int r, struct error *cause) {
        struct saving *saving = state_file->saving;
        struct waiter waiters[STATE_FILE_WAITERS] = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        error_move(&error, cause);
        complain(state_file, r, &error);
        for (size_t i = 0; i < STATE_FILE_WAITERS; i++)
                if (saving->waiters[i].is_written) {
                        waiters[i] = saving->waiters[i];
                        saving->waiters[i] = (struct waiter) { 0 };
                }
        write_next(state_file);
        /* The last of them may free the state file: while another one waits, the certificate stays. */
        for (size_t i = 0; i < STATE_FILE_WAITERS; i++)
                if (waiters[i].saved)
                        waiters[i].saved(r, r < 0 ? error_text(&error) : NULL, waiters[i].userdata);
}

/* Before anything is made of the write that has found it. */
static void note_replacement(struct state_directory *directory) {
        if (!atomic_exchange(&directory->is_replaced, false))
                return;
        log_fields(LOG_WARNING, MESSAGE_HISTORY, NULL, 0,
                   "state directory %s was removed or replaced; all state is saved there again",
                   directory->path);
        directory->was_replaced(directory->userdata);
}

static void write_is_done(struct job *job) {
        struct saving *saving = container_of(job, struct saving, job);
        struct state_file *state_file = saving->state_file;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        const bool has_saved = saving->text;
        const int r = saving->result;

        error_move(&error, &saving->error);
        free(take_ptr(saving->text));
        saving->is_writing = false;
        note_replacement(state_file->directory);
        if (saving->is_orphan)
                state_file_free(state_file);
        else if (has_saved)
                finish(state_file, r, &error);
        else
                write_next(state_file);
}

/* Begins to write what waits for it, unless something is being written. */
static void write_next(struct state_file *state_file) {
        const struct state_instant now = instant(state_file->directory);
        struct saving *saving = state_file->saving;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int r = 0;

        if (saving->is_writing || atomic_load(state_file->directory->stopping))
                return;
        if (!saving->is_dirty && !saving->notes) {
                end_saving(state_file);
                return;
        }
        if (saving->is_dirty) {
                r = state_format(&state_file->state, &now, &saving->text, &error);
                saving->is_dirty = false;
                for (size_t i = 0; i < STATE_FILE_WAITERS; i++)
                        saving->waiters[i].is_written = saving->waiters[i].saved;
        }
        if (r < 0) {
                free(take_ptr(saving->notes));
                finish(state_file, r, &error);
                return;
        }
        saving->job = (struct job) { .run = run_write, .done = write_is_done };
        saving->result = 0;
        saving->written_notes = take_ptr(saving->notes);
        saving->is_writing = true;
        workers_submit(state_file->directory->workers, &saving->job);
}

void state_file_save(struct state_file *state_file) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int r;

        state_file->has_file = true;
        r = begin_saving(state_file);
        if (r < 0) {
                error_set(&error, r, "out of memory");
                complain(state_file, r, &error);
                return;
        }
        state_file->saving->is_dirty = true;
        write_next(state_file);
}

void state_file_add_history(struct state_file *state_file, const char *line) {
        struct saving *saving;
        const char *before;
        char *both;

        if (begin_saving(state_file) < 0)
                return;
        saving = state_file->saving;
        before = saving->notes ? saving->notes : "";
        /* If the disk does not keep up, the history has a hole. */
        if (strlen(before) + strlen(line) <= HISTORY_SIZE_MAX / 2 &&
            asprintf(&both, "%s%s", before, line) >= 0) {
                free(saving->notes);
                saving->notes = both;
        }
        write_next(state_file);
}

void state_file_save_then(struct state_file *state_file,
                          void (*saved)(int r, const char *error, void *userdata), void *userdata) {
        struct waiter *waiter;

        if (begin_saving(state_file) < 0) {
                state_file_save(state_file);
                saved(-ENOMEM, "out of memory", userdata);
                return;
        }
        waiter = state_file->saving->waiters;
        /* A repeated request waits for the newer one. */
        while (waiter->saved && (waiter->saved != saved || waiter->userdata != userdata)) {
                waiter++;
                assert(waiter < state_file->saving->waiters + STATE_FILE_WAITERS);
        }
        *waiter = (struct waiter) { .saved = saved, .userdata = userdata };
        state_file_save(state_file);
}

bool state_file_is_saved(const struct state_file *state_file) {
        const struct saving *saving = state_file->saving;

        return !saving || !(saving->is_writing || saving->is_dirty || saving->notes);
}

/* What the workers had not begun when they were stopped was dropped. */
static void write_what_was_dropped(const struct state_file *state_file) {
        const struct state_instant now = instant(state_file->directory);
        const struct saving *saving = state_file->saving;
        const int fd = state_file->directory->fd;
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        if ((saving->is_dirty || (saving->is_writing && saving->text)) &&
            state_save(fd, state_file->name, &state_file->state, &now, &error) < 0)
                log_error("%s: could not save state: %s", state_file->name, error_text(&error));
        if (saving->written_notes)
                (void)history_append(fd, state_file->name, saving->written_notes, NULL);
        if (saving->notes)
                (void)history_append(fd, state_file->name, saving->notes, NULL);
}

struct state_file *state_file_free(struct state_file *state_file) {
        if (!state_file)
                return NULL;
        if (state_file->saving) {
                if (state_file->saving->is_writing && !atomic_load(state_file->directory->stopping)) {
                        state_file->saving->is_orphan = true;
                        return NULL;
                }
                write_what_was_dropped(state_file);
                saving_free(state_file->saving);
        }
        state_clear(&state_file->state);
        free(state_file);
        return NULL;
}
