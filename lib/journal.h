#pragma once

/* What must survive a restart besides the certificates themselves: failures, the issuance budget, the token
 * that was tried, and who is still to be told of what. */

#include "lib/cert.h"
#include "lib/failure.h"
#include "lib/schedule.h"
#include "lib/util/error.h"
#include "lib/util/files.h"

#define JOURNAL_SIZE_MAX    (512u * 1024) /* the file */
#define JOURNAL_REVOKED_MAX 100u          /* sets; the oldest is forgotten, as is its generation */
#define JOURNAL_OWED_MAX    100u          /* dependents of one certificate */
#define JOURNAL_KEY_MAX     512u          /* bytes of a dependent's key */
#define JOURNAL_ERROR_MAX   1000u         /* bytes of a sentence; what is longer is cut off */

/* What is owed to one dependent. */
struct journal_owed {
        char *key;           /* names the dependent, the same after a restart; the caller makes it up */
        uint64_t generation; /* that it must be told of */
        unsigned failures;   /* in a row */
        usec_t next_attempt_usec;
        char *error; /* the sentence of the last failure, or NULL */
};

/*
 * A plain struct; {0} is empty. next_attempt_usec is CLOCK_REALTIME, 0 where nothing is waited for; the span
 * that is left of it is the caller's to cap by what is left of the certificate. failed_usec is CLOCK_REALTIME
 * as well. Errors are for whoever looks; journal_keep_error() sets them.
 */
struct journal {
        unsigned failures;    /* in a row */
        enum failure failure; /* the class of the last one */
        usec_t next_attempt_usec;
        char *error; /* its sentence, or NULL */
        usec_t failed_usec;

        usec_t *issuances; /* CLOCK_BOOTTIME of this boot, oldest first; lib/schedule.h says why */
        size_t n_issuances;

        /* The one-time token that was tried last, as a hash that is never 0; 0 for none. A token is burnt by
         * the call that carries it. */
        uint64_t token;

        /* What notices are about; 0 and empty for none. A current set of another fingerprint is one that
         * nobody was told of yet: the process died in between. */
        uint64_t generation;
        char fingerprint[FINGERPRINT_HEX];

        /* An operator wants `revoking_generation` revoked, and it is not known yet whether it is: its set is
         * one of `revoked`. */
        bool is_revoking;
        uint64_t revoking_generation;

        /* A generation that was replaced, and is to be revoked at a time (CLOCK_REALTIME); 0: none is. */
        usec_t revoke_usec;
        uint64_t revoke_generation;

        /* Those that rekeyd itself has revoked, oldest first, and those that it asks the Connector to revoke:
         * they are added before the call, and taken away when it is certain that it has done nothing. None of
         * them is to be used again. */
        char (*revoked)[FINGERPRINT_HEX];
        size_t n_revoked;

        struct journal_owed *owed;
        size_t n_owed;
};

/* Forgets everything and frees what was owned. */
void journal_clear(struct journal *journal);

/* Nothing in it that a restart must know: it need not be saved, and a saved one may be removed. */
bool journal_is_empty(const struct journal *journal);

/* One instant on all clocks. */
struct journal_instant {
        uint8_t boot_id[16]; /* of the running kernel; all zero where it cannot be had */
        usec_t realtime, boottime;
};

/*
 * Brings JOURNAL, saved at SAVED, to NOW. Pure. journal_load() does it.
 *
 * Issuances keep their times within one boot, whatever was done to the wall clock. From another boot they
 * keep their age at SAVED, to which the time in between is added: as the wall clock has it, but no more than
 * this boot is old and no less than nothing. Those of an hour ago or more go. One that lies in the future
 * counts as now. What follows for the budget:
 *   - A clock that is set forward, by however much, makes it forget nothing. Not at a reboot either: what an
 *     earlier boot did is at least as old as this boot.
 *   - A clock that is set back, by years, blocks for one hour at most.
 *   - The price: a budget that was used up when the machine went down may stay so for up to an hour of the
 *     next boot, even if the machine was down for longer.
 *   - Not covered: a state directory that moves to another machine whose wall clock is ahead of the first
 *     one's, by as much as it is ahead; and one that is lost, damaged or restored from a copy.
 *
 * An attempt more than a day away (SCHEDULE_RETRY_AFTER_MAX_USEC; nothing waits longer) is due at once: the
 * clock was set back, and how much is left of the wait cannot be known. As with a clock that is set forward,
 * that costs one early attempt; the next one is spaced by the failures, which are kept.
 */
void journal_sanitise(struct journal *journal, const struct journal_instant *saved,
                      const struct journal_instant *now);

/* Records a request for a signature at NOW (CLOCK_BOOTTIME). To be done, and saved, before the request
 * leaves; where either fails, it must not leave. 0 or -ENOMEM. */
int journal_record_issuance(struct journal *journal, usec_t now);

/* Remembers that the set of FINGERPRINT was revoked, or is about to be. 0 or -ENOMEM. And that it was not. */
int journal_add_revoked(struct journal *journal, const char fingerprint[FINGERPRINT_HEX]);
void journal_drop_revoked(struct journal *journal, const char *fingerprint);
bool journal_has_revoked(const struct journal *journal, const char *fingerprint);

/* Puts a copy of TEXT in place of *ERROR; NULL: none. `?` stands for what is no character, or would not show.
 * When memory is out, there is none. */
void journal_keep_error(char **error, const char *text);

/* What is owed to KEY, or NULL. Borrowed until the next change of what is owed. */
struct journal_owed *journal_find_owed(const struct journal *journal, const char *key);

/* Why the first of those that failed could not be told, or NULL. Borrowed as above. */
const char *journal_owed_error(const struct journal *journal);

/* Owes GENERATION to KEY anew, in place of what was owed before. *RET (may be NULL; borrowed as above) has
 * not failed yet. 0, -ENOMEM, -ENOSPC beyond JOURNAL_OWED_MAX, or -EINVAL for a key that is empty, longer
 * than JOURNAL_KEY_MAX, not UTF-8, or has control characters. */
int journal_owe(struct journal *journal, const char *key, uint64_t generation, struct journal_owed **ret);

/* Nothing is owed to KEY any more. */
void journal_settle(struct journal *journal, const char *key);

/*
 * One JSON file for each certificate, `NAME.json` in the directory DIR_FD, mode 0600. NAME is a
 * certificate's, [A-Za-z0-9][A-Za-z0-9._-]{0,63}, or the result is -EINVAL.
 *
 * journal_load() returns 0 with an empty journal where there is no file. A file that is damaged, too large,
 * or of a newer version is set aside as `NAME.json.damaged`, in place of an older one; then *RET is empty and
 * *RET_WARNING a sentence, owned by the caller; otherwise it is NULL. What such a file owed is lost: after a
 * warning the caller should owe the current generation to everybody again. A file that cannot be read is an
 * error.
 *
 * A caller that finds issuances in what it has loaded, which is rare, saves it at once: from then on they are
 * on the clock of this boot, and another restart does not count their age anew.
 */
int journal_load(int dir_fd, const char *name, const struct journal_instant *now, struct journal *ret,
                 char **ret_warning, struct error *error);

/* journal_load() for somebody who only looks, beside a rekeyd that may be writing: nothing is set aside or
 * changed. What cannot be used is an error: -EINVAL, -EFBIG or -EPROTONOSUPPORT for what the file says,
 * -EACCES and the like where it cannot be read. */
int journal_read(int dir_fd, const char *name, const struct journal_instant *now, struct journal *ret,
                 struct error *error);

/* Puts NAME's file, which journal_load() refuses to read, out of the way as it does with a damaged one.
 * CAUSE is a sentence. *RET_WARNING, owned by the caller, is another, also where the file stays: on a
 * read-only disk that is no reason not to start. 0, -ENOMEM or -EINVAL for the name. */
int journal_set_aside(int dir_fd, const char *name, const char *cause, char **ret_warning);

/* Durable when it returns 0. On failure the file is the old one, as it was; or the new one, where only the
 * directory could not be synced. It waits for the disk: on the event loop, call journal_format() and leave
 * journal_write() to a worker. */
int journal_save(int dir_fd, const char *name, const struct journal *journal,
                 const struct journal_instant *now, struct error *error);

/* Whether all of JOURNAL is within the limits above, as it is when only these functions made it. 0 or
 * -EINVAL. */
int journal_check(const struct journal *journal, struct error *error);

/* The two halves of saving. The text is owned by the caller. 0, -ENOMEM, or -EINVAL from journal_check(). */
int journal_format(const struct journal *journal, const struct journal_instant *now, char **ret_json,
                   struct error *error);
int journal_write(int dir_fd, const char *name, const char *json, struct error *error);

/* The reading half, without the files: the journal as it was at *RET_SAVED. Checks all limits. 0, -EINVAL,
 * -ENOMEM, or -EPROTONOSUPPORT for a newer version. */
int journal_parse(const char *json, size_t size, struct journal *ret, struct journal_instant *ret_saved,
                  struct error *error);
