#pragma once

/* Programs that keep certificates alive, driven alike. */

#include "tests/support/fixture.h"
#include "tests/support/fleet.h"

/* Certificates at a Connector, for one program. All have 45 days left. */
struct peer_site {
        struct fixture *fixture;
        struct fleet_options fleet; /* on disk, with staged keys */
        struct process *process;    /* NULL when nothing runs */
        const char *trace; /* where strace writes the calls that wait for the disk; NULL: no strace */
};

struct peer {
        const char *name;
        bool is_daemon; /* else `start` does all of the work */

        /* Brings the fleet into the form that the program takes, and has it know all of it, so that the next
         * start is a usual one. */
        void (*prepare)(struct peer_site *site);

        /* Starts it, so that all are due or none is. */
        void (*start)(struct peer_site *site, bool is_due);
        void (*stop)(struct peer_site *site);

        /* Asks it for a list; whether that has all certificates. */
        bool (*list)(struct peer_site *site);

        /* The file that a renewal replaces; owned by the caller. */
        char *(*certificate)(const struct peer_site *site, unsigned i);
};

extern const struct peer peer_rekeyd, peer_certmonger, peer_script;

/* When a certificate is due, before its expiry. */
#define PEER_DUE_SEC     (60u * 24 * 3600)
#define PEER_NOT_DUE_SEC (3u * 24 * 3600)

/* What several of them need. */

/* Starts ARGV, under strace where SITE has a trace. */
void peer_run(struct peer_site *site, const char *const *argv);

/* Awaits the end of what was started, for as long as a thousand certificates may take, and returns its
 * status. */
int peer_finish(struct peer_site *site);

/* Prints what the peer said, and ends the test with WHAT. */
_Noreturn void peer_give_up(const struct peer_site *site, const char *what);

/* Runs ARGV to its end and counts the lines of its output that contain WANTED; 0 where it fails. */
unsigned peer_count(const char *const *argv, const char *wanted);

/* A pair in two plain files, beside the fleet: FILE of the I-th. The first makes all of them. Owned by the
 * caller. */
void peer_make_plain(const struct peer_site *site);
char *peer_plain_path(const struct peer_site *site, unsigned i, const char *file);

/* PEERS_* in the environment, for the shell programs beside this file, and the path of one of those; owned by
 * the caller. */
void peer_export(const struct peer_site *site);
char *peer_program(const char *name);
