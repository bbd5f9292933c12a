/*
 * A journal in memory, and its file. Whoever changes the journal asks for it to be saved; changes while a
 * write is under way are written together after it. There is never more than one write of a file at a time,
 * so the newest is what remains.
 */

#include "daemon/history.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "daemon/messages.h"
#include "lib/directory.h"
#include "lib/record.h"
#include "lib/util/log.h"

static struct journal_instant instant(const struct context *context) {
        struct journal_instant now = {
                .realtime = now_usec(CLOCK_REALTIME),
                .boottime = now_usec(CLOCK_BOOTTIME),
        };

        memcpy(now.boot_id, context->boot_id, sizeof(now.boot_id));
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

int history_open_directory(const char *path, bool (*is_known)(const char *name, void *userdata),
                           void *userdata, struct error *error) {
        _cleanup_(fd_closep) int fd = -1;
        struct sweep sweep = { .is_known = is_known, .userdata = userdata };
        int r;

        /* Journals are 0600; but certificates may lie below, and whoever uses those must get there. */
        fd = directory_open(path, 0755, error);
        if (fd < 0)
                return error_prefix(error, "the state directory cannot be used");
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK
                               ? error_set(error, -EWOULDBLOCK,
                                           "another rekeyd works with state directory %s; stop it first, or "
                                           "give this one a `state_directory` of its own",
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

/* --- One journal --- */

/* Something lies in the way that was never a journal of ours, or that another user has written. It must not
 * keep the other certificates from being renewed: as with a damaged one, it costs history. */
static bool is_hopeless(int r) {
        return r == -ELOOP || r == -EISDIR || r == -EINVAL || r == -ENXIO || r == -EACCES;
}

int history_new(struct context *context, const char *name, struct history **ret, char **ret_warning,
                struct error *error) {
        _cleanup_(history_freep) struct history *history = NULL;
        const struct journal_instant now = instant(context);
        int r;

        history = calloc(1, sizeof(*history));
        if (!history)
                return -ENOMEM;
        history->context = context;
        history->name = strdup(name);
        if (!history->name)
                return -ENOMEM;
        r = journal_load(context->state_fd, name, &now, &history->journal, ret_warning, error);
        if (is_hopeless(r)) {
                r = journal_set_aside(context->state_fd, name, error_text(error), ret_warning);
                if (r == 0)
                        error_clear(error);
        }
        if (r < 0)
                return r;
        history->has_file = !journal_is_empty(&history->journal);
        /* From now on they are on the clock of this boot. */
        if (history->journal.n_issuances > 0)
                history_save(history);
        *ret = take_ptr(history);
        return 0;
}

/* One write, on a worker: of the journal, of notes for the record, or of both. */
struct writing {
        struct job job;
        struct history *history;
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
        const struct history *history = writing->history;
        int fd = history->context->state_fd;

        if (writing->text)
                writing->result = journal_write(fd, history->name, writing->text, &writing->error);
        if (writing->notes)
                (void)record_append(fd, history->name, writing->notes, NULL);
        free(take_ptr(writing->notes));
}

static void write_next(struct history *history);

/* CAUSE is moved from. */
static void finish(struct history *history, int r, struct error *cause) {
        struct history_waiter waiters[HISTORY_WAITERS] = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        error_move(&error, cause);
        if (r < 0 && !history->has_complained) {
                const struct log_field fields[] = {
                        { FIELD_CERTIFICATE, history->name },
                        { FIELD_ERROR, error_text(&error) },
                };

                log_fields(LOG_ERR, MESSAGE_HISTORY, fields, ELEMENTSOF(fields),
                           "%s: what a restart must know could not be saved: %s", history->name,
                           error_text(&error));
        }
        history->has_complained = r < 0;
        for (size_t i = 0; i < HISTORY_WAITERS; i++)
                if (history->waiters[i].is_written) {
                        waiters[i] = history->waiters[i];
                        history->waiters[i] = (struct history_waiter) { 0 };
                }
        write_next(history);
        /* The last of them may free the history: while somebody else waits, the certificate stays. */
        for (size_t i = 0; i < HISTORY_WAITERS; i++)
                if (waiters[i].saved)
                        waiters[i].saved(r, r < 0 ? error_text(&error) : NULL, waiters[i].userdata);
}

static void write_is_done(struct job *job) {
        struct writing *writing = container_of(job, struct writing, job);
        struct history *history = writing->history;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        const bool has_saved = writing->text;
        const int r = writing->result;

        error_move(&error, &writing->error);
        history->writing = writing_free(writing);
        if (history->is_orphan)
                history_free(history);
        else if (has_saved)
                finish(history, r, &error);
        else
                write_next(history);
}

/* Begins to write what waits for it, unless something is being written. */
static void write_next(struct history *history) {
        const struct journal_instant now = instant(history->context);
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct writing *writing;
        int r = 0;

        if (history->writing || atomic_load(&history->context->stopping) ||
            !(history->is_dirty || history->notes))
                return;
        writing = calloc(1, sizeof(*writing));
        if (!writing)
                r = -ENOMEM;
        else if (history->is_dirty)
                r = journal_format(&history->journal, &now, &writing->text, &error);
        if (history->is_dirty) {
                history->is_dirty = false;
                for (size_t i = 0; i < HISTORY_WAITERS; i++)
                        history->waiters[i].is_written = history->waiters[i].saved;
        }
        if (r < 0) {
                writing_free(writing);
                free(take_ptr(history->notes));
                finish(history, r, &error);
                return;
        }
        writing->job = (struct job) { .run = run_write, .done = write_is_done };
        writing->history = history;
        writing->notes = take_ptr(history->notes);
        history->writing = writing;
        workers_submit(history->context->disk_workers, &writing->job);
}

void history_save(struct history *history) {
        history->is_dirty = history->has_file = true;
        write_next(history);
}

void history_note(struct history *history, const char *line) {
        const char *before = history->notes ? history->notes : "";
        char *both;

        /* Where the disk does not keep up, the record has a hole. */
        if (strlen(before) + strlen(line) > RECORD_SIZE_MAX / 2 || asprintf(&both, "%s%s", before, line) < 0)
                return;
        free(history->notes);
        history->notes = both;
        write_next(history);
}

void history_save_then(struct history *history, void (*saved)(int r, const char *error, void *userdata),
                       void *userdata) {
        struct history_waiter *waiter = history->waiters;

        /* Whoever asks again waits for the newer one. */
        while (waiter->saved && (waiter->saved != saved || waiter->userdata != userdata)) {
                waiter++;
                assert(waiter < history->waiters + HISTORY_WAITERS);
        }
        *waiter = (struct history_waiter) { .saved = saved, .userdata = userdata };
        history_save(history);
}

bool history_is_saved(const struct history *history) {
        return !history->writing && !history->is_dirty && !history->notes;
}

struct history *history_free(struct history *history) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct journal_instant now;

        if (!history)
                return NULL;
        if (history->writing && !atomic_load(&history->context->stopping)) {
                history->is_orphan = true;
                return NULL;
        }
        if (history->is_dirty || (history->writing && history->writing->text)) {
                /* What the workers had not begun when they were stopped was dropped. */
                now = instant(history->context);
                if (journal_save(history->context->state_fd, history->name, &history->journal, &now, &error) <
                    0)
                        log_error("%s: what a restart must know could not be saved: %s", history->name,
                                  error_text(&error));
        }
        if (history->writing && history->writing->notes)
                (void)record_append(history->context->state_fd, history->name, history->writing->notes, NULL);
        if (history->notes)
                (void)record_append(history->context->state_fd, history->name, history->notes, NULL);
        writing_free(history->writing);
        free(history->notes);
        free(history->name);
        journal_clear(&history->journal);
        free(history);
        return NULL;
}
