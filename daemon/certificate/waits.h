#pragma once

/* What a certificate waits for between its attempts: an instant or the end of a back-off, a one-time token, a
 * change of its files. None of them is polled, as long as it can be watched. */

#include "daemon/certificate/core.h"
#include "lib/life/renewal.h"

struct file_watches;
struct path_watch;
struct set_watch;
struct waits;

/* What is to come of it. Any may be called without need, and from within waits_arm(). */
struct waits_ops {
        void (*time_came)(struct waits *waits);
        void (*token_came)(struct waits *waits); /* another file than the last inspection saw */
        void (*files_changed)(struct waits *waits);
        void (*warn)(struct waits *waits, const char *text); /* of what cannot be watched */
};

struct waits {
        const struct core *core;
        const struct waits_ops *ops;
        struct exact_timer timer; /* of env.due, or of env.backoffs */
        struct path_watch *token_watch;
        struct set_watch *set_watch;
        struct file_watches *file_watches; /* NULL: there are no exports to files, or none are watched yet */
        bool has_files;                    /* FILE_WATCHES are those of the configuration of now */
        usec_t backoff_until;              /* CLOCK_BOOTTIME; 0: no back-off */
        bool is_paused;                    /* during an attempt: what comes is looked at when it ends */
        bool token_came;                   /* while it was paused */
        bool is_unwatched,
                token_is_unwatched; /* the files, and the token: they are inspected from time to time */
};

/* CORE and OPS are borrowed. */
void waits_init(struct waits *waits, const struct core *core, const struct waits_ops *ops);

/* The machine rests: waits for what RENEWAL says. Without its timer a certificate would expire in silence, so
 * that ends the loop, to be restarted. */
void waits_arm(struct waits *waits, const struct renewal *renewal);

/* An attempt begins. */
void waits_pause(struct waits *waits);

/* Takes the memory for waits_watch_set() where there is none. Best before an inspection takes its own, which
 * it gives back: nothing that stays is then in between. 0 or -ENOMEM. */
int waits_prepare(struct waits *waits);

/* Watches the files of the set, where they are to be, and its exports. To be called before they are
 * inspected: what changes after the inspection is then an event; of exports it comes with waits_arm(). */
void waits_watch_set(struct waits *waits);

/* The export PATH was written: that is no change by others. */
void waits_settle_file(struct waits *waits, const char *path);

/* The configuration is another one: the next waits_watch_set() watches other files. */
void waits_forget_files(struct waits *waits);

/* A back-off of the last run: SPAN is left of it. And what is left of the present one; 0 for none. */
void waits_set_backoff(struct waits *waits, usec_t span);
usec_t waits_backoff_left(const struct waits *waits);

/* Something that it waits for cannot be watched, and is inspected from time to time. */
static inline bool waits_are_blind(const struct waits *waits) {
        return waits->is_unwatched || waits->token_is_unwatched;
}

/* Waits for nothing any more; waits_arm() begins again. */
void waits_stop(struct waits *waits);
