#pragma once

/* What must survive a restart besides the certificates themselves: failures, the issuance budget, the token
 * that was tried, and pending notifications. */

#include "lib/life/cause.h"
#include "lib/life/failure.h"
#include "lib/life/schedule.h"
#include "lib/util/error.h"
#include "lib/util/files.h"
#include "lib/x509/cert.h"

#define STATE_SIZE_MAX    (512u * 1024) /* the file */
#define STATE_REVOKED_MAX 100u          /* sets; the oldest is forgotten, as is its generation */
#define STATE_PENDING_MAX 100u          /* dependents of one certificate */
#define STATE_KEY_MAX     512u          /* bytes of a dependent's key */
#define STATE_ERROR_MAX   1000u         /* bytes of a sentence; what is longer is cut off */
#define STATE_SUBJECT_MAX 8192u         /* bytes of a subject in its one spelling */
#define STATE_OLD_CAS_MAX 4u            /* the oldest is forgotten */
#define STATE_CA_MAX      16384u        /* bytes of the PEM of one; a larger one is not kept */

/* A pending notification of one dependent. */
struct state_pending {
        char *key;           /* names the dependent, the same after a restart; the caller makes it up */
        uint64_t generation; /* that it must be notified of */
        unsigned failures;   /* in a row */
        usec_t next_attempt_usec;
        char *error; /* the sentence of the last failure, or NULL */
};

/* What an earlier set had in ca.crt. */
struct state_old_ca {
        char *pem;
        usec_t since; /* it is out of use, CLOCK_REALTIME */
};

/* Of a rotation of the CA: that the current set is to be replaced, and what earlier sets hung on. */
struct state_rotation {
        /* Since when it is issued under a CA that is not trusted any more, or is too old by the
         * configuration; and when an operator wants another one. CLOCK_REALTIME; 0: it is not, and none does.
         */
        usec_t since, asked;

        struct state_old_ca *old_cas; /* for exports that keep them for a while; oldest first */
        size_t n_old_cas;
};

/*
 * A plain struct; {0} is empty. next_attempt_usec is CLOCK_REALTIME, 0 where nothing is waited for; the span
 * that is left of it is the caller's to cap by what is left of the certificate. failed_usec is CLOCK_REALTIME
 * as well. Errors are for the status; state_keep_error() sets them.
 */
struct state {
        unsigned failures;    /* in a row */
        enum failure failure; /* the class of the last one */
        enum cause cause;     /* of the last one */
        usec_t next_attempt_usec;
        char *error; /* its sentence, or NULL */
        usec_t failed_usec;

        usec_t *issuances; /* CLOCK_BOOTTIME of this boot, oldest first; lib/life/schedule.h says why */
        size_t n_issuances;

        /* The one-time token that was tried last, as a hash that is never 0; 0 for none. A token is burnt by
         * the call that carries it. */
        uint64_t token;

        /* The staged certificate that was verified last, as a hash that is never 0, and how often; 0 for
         * none. */
        uint32_t reply, reply_tries;

        /* What notifications are about; 0 and empty for none. A current set of another fingerprint has no
         * notifications yet: the process died in between. */
        uint64_t generation;
        char fingerprint[FINGERPRINT_HEX];

        /* When that set became valid, and expires: for the time in which it cannot be read. 0: not known. */
        usec_t not_before, expiry;

        struct state_rotation rotation;

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

        struct state_pending *pending;
        size_t n_pending;

        /* Canonical (lib/x509/subject.h), or NULL: the subject of the last set that rekeyd knew; and another
         * one that the Connector has named since, which waits for an operator until it is accepted. */
        char *subject, *other_subject;
        bool is_accepted; /* `other_subject` */

        /* It was saved by another machine, which may use the same set, until this machine has a set of its
         * own. And that has just been found out. */
        bool is_copied, is_copy_news;
};

/* Forgets everything and frees what was owned. */
void state_clear(struct state *state);

/* Nothing in it that a restart must know: it need not be saved, and a saved one may be removed. */
bool state_is_empty(const struct state *state);

/* One instant on all clocks of a machine. */
struct state_instant {
        uint8_t boot_id[16];    /* of the running kernel; all zero where it cannot be had */
        uint8_t machine_id[16]; /* of this machine, for rekeyd alone; the same */
        usec_t realtime, boottime;
};

/*
 * Brings STATE, saved at SAVED, to NOW. Pure. state_load() does it.
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
void state_sanitise(struct state *state, const struct state_instant *saved, const struct state_instant *now);

/* Records a request for a signature at NOW (CLOCK_BOOTTIME). To be done, and saved, before the request
 * leaves; where either fails, it must not leave. 0 or -ENOMEM. */
int state_record_issuance(struct state *state, usec_t now);

/* Forgets the last of them: the signature was not requested, and is not going to be. */
void state_drop_issuance(struct state *state);

/* Remembers that the set of FINGERPRINT was revoked, or is about to be. 0 or -ENOMEM. And that it was not. */
int state_add_revoked(struct state *state, const char fingerprint[FINGERPRINT_HEX]);
void state_drop_revoked(struct state *state, const char *fingerprint);
bool state_has_revoked(const struct state *state, const char *fingerprint);

/* The CA certificates PEM are out of use since NOW, whatever was known of them; those that are so for longer
 * than KEEP_USEC are forgotten. 0 or -ENOMEM. */
int state_retire_ca(struct state *state, const char *pem, usec_t now, usec_t keep_usec);

/* The PEM of those that are not out of use for KEEP_USEC yet, one after the other, owned by the caller; NULL:
 * there are none. And when the next of them will be; USEC_INFINITY for never. 0 or -ENOMEM. */
int state_old_ca_pem(const struct state *state, usec_t now, usec_t keep_usec, char **ret_pem,
                     usec_t *ret_end);

/* Puts a copy of TEXT in place of *ERROR; NULL: none. `?` stands for what is no character, or would not show.
 * When memory is out, there is none. */
void state_keep_error(char **error, const char *text);

/* The Connector has named SUBJECT instead of the known one; ACCEPTED says whether somebody asks for it. The
 * last set has SUBJECT: whatever was named before it is forgotten. Both take a copy. 0 or -ENOMEM. */
int state_name_other_subject(struct state *state, const char *subject, bool accepted);
int state_settle_subject(struct state *state, const char *subject);

/* Those that are refused, and accepted; NULL: none is. Borrowed until the next change. */
const char *state_refused_subject(const struct state *state);
const char *state_accepted_subject(const struct state *state);

/* The pending notification of KEY, or NULL. Borrowed until the next change of pending notifications. */
struct state_pending *state_find_pending(const struct state *state, const char *key);

/* The error of the first notification that failed, or NULL. Borrowed as above. */
const char *state_pending_error(const struct state *state);

/* Makes GENERATION pending for KEY again, in place of what was pending before. *RET (may be NULL; borrowed as
 * above) has not failed yet. 0, -ENOMEM, -ENOSPC beyond STATE_PENDING_MAX, or -EINVAL for a key that is
 * empty, longer than STATE_KEY_MAX, not UTF-8, or has control characters. */
int state_add_pending(struct state *state, const char *key, uint64_t generation, struct state_pending **ret);

/* KEY has no pending notification any more. */
void state_remove_pending(struct state *state, const char *key);

/*
 * One JSON file for each certificate, `NAME.json` in the directory DIR_FD, mode 0600. NAME is a
 * certificate's, [A-Za-z0-9][A-Za-z0-9._-]{0,63}, or the result is -EINVAL.
 *
 * state_load() returns 0 with an empty state where there is no file. A file that is damaged, too large, or of
 * a newer version is set aside as `NAME.json.damaged`, in place of an older one; then *RET is empty and
 * *RET_WARNING a sentence, owned by the caller; otherwise it is NULL. Its pending notifications are lost:
 * after a warning the caller should schedule notifications of the current generation for all dependents
 * again. A file that cannot be read is an error.
 *
 * A caller that finds issuances in what it has loaded, which is rare, saves it at once: from then on they are
 * on the clock of this boot, and another restart does not count their age again.
 */
int state_load(int dir_fd, const char *name, const struct state_instant *now, struct state *ret,
               char **ret_warning, struct error *error);

/* state_load() for readers, beside a rekeyd that may be writing: nothing is set aside or changed. What cannot
 * be used is an error: -EINVAL, -EFBIG or -EPROTONOSUPPORT for the contents of the file, -EACCES and the like
 * where it cannot be read. */
int state_read(int dir_fd, const char *name, const struct state_instant *now, struct state *ret,
               struct error *error);

/* Puts NAME's file, which state_load() refuses to read, out of the way as it does with a damaged one.
 * CAUSE is a sentence. *RET_WARNING, owned by the caller, is another, also where the file stays: on a
 * read-only disk that is no reason not to start. 0, -ENOMEM or -EINVAL for the name. */
int state_set_aside(int dir_fd, const char *name, const char *cause, char **ret_warning);

/* Durable when it returns 0. On failure the file is the old one, as it was; or the new one, where only the
 * directory could not be synced. It waits for the disk: on the event loop, call state_format() and leave
 * state_write() to a worker. */
int state_save(int dir_fd, const char *name, const struct state *state, const struct state_instant *now,
               struct error *error);

/* Whether all of STATE is within the limits above, as it is when only these functions made it. 0 or
 * -EINVAL. */
int state_check(const struct state *state, struct error *error);

/* The two halves of saving. The text is owned by the caller. 0, -ENOMEM, or -EINVAL from state_check(). */
int state_format(const struct state *state, const struct state_instant *now, char **ret_json,
                 struct error *error);
int state_write(int dir_fd, const char *name, const char *json, struct error *error);

/* The reading half, without the files: the state as it was at *RET_SAVED. Checks all limits. 0, -EINVAL,
 * -ENOMEM, or -EPROTONOSUPPORT for a newer version. */
int state_parse(const char *json, size_t size, struct state *ret, struct state_instant *ret_saved,
                struct error *error);
