#pragma once

/* Publishing the current set: its exports are written, then its dependents are notified. */

#include <systemd/sd-event.h>

#include "daemon/certificate/core.h"
#include "daemon/certificate/export-notes.h"
#include "daemon/delivery/notifications.h"

struct exports_run;
struct publisher;

struct publisher_ops {
        void (*wrote)(struct publisher *publisher, const struct export *export); /* a file */
        void (*published)(struct publisher *publisher); /* all that could be done for the exports is done */
        void (*retry)(struct publisher *publisher);     /* it is time to publish again: an export failed */
        void (*idle)(struct publisher *publisher);      /* nothing more is to be delivered for now */
};

struct publisher {
        const struct core *core;
        const struct publisher_ops *ops;
        struct notifications *notifications; /* NULL: there are no dependents */
        struct exports_run *run;             /* under way */
        sd_event_source *export_timer;
        unsigned n_failures;       /* of exports, in a row */
        struct export_notes notes; /* as the last run left it */
        bool is_news;              /* the set being published is one that no dependent was notified of yet */
        bool has_failed;           /* an export, ever: for --once */
};

/* All is borrowed. publisher_configure() comes next. */
void publisher_init(struct publisher *publisher, const struct core *core, const struct publisher_ops *ops);

/* Ends what is running; the workers have stopped. */
void publisher_clear(struct publisher *publisher);

/* Takes the configuration that the core has now; what is pending stays pending, and what is being delivered
 * goes on. No export may be under way. 0 or -errno. */
int publisher_configure(struct publisher *publisher);

/*
 * Brings the exports up to date with SET, the current one, NULL for none, which is borrowed until `published`
 * is called, maybe from here; and sees to it that the dependents are notified of it. CLOSELY: warns of
 * exports that are current and could not be replaced.
 */
void publisher_publish(struct publisher *publisher, const struct set *set, bool closely);

/* Begins to deliver what is pending. */
void publisher_start(struct publisher *publisher);

/* Notifies all dependents of the current set again. 0 or -ENOMEM. */
int publisher_notify_again(struct publisher *publisher);

/* An export waits to be tried again. And tries it no more. */
bool publisher_is_waiting(const struct publisher *publisher);
void publisher_stop_waiting(struct publisher *publisher);

/* Something is being delivered, or will be without waiting for a back-off. */
bool publisher_is_busy(const struct publisher *publisher);
bool publisher_has_dependents(const struct publisher *publisher);
unsigned publisher_n_pending(const struct publisher *publisher);
