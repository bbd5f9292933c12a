/*
 * What a restart must know and the certificates do not say. It is history, not truth: the sets on disk stay
 * valid without it, so a journal that cannot be understood is set aside with a warning and costs no more than
 * what it remembered; but it never comes back half right, and every member that is written must be there when
 * it is read.
 *
 * The one thing that must not be forgotten by accident is the issuance budget, and the wall clock is just
 * such an accident. So the file says on which boot and at which reading of both clocks it was written; from
 * that, journal_sanitise() finds the least age that an issuance can have.
 *
 * There is no secret in it (of a token, no more than tells it from another), and nothing in it decides whom
 * a certificate is shown to.
 */

#include "lib/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "lib/json.h"
#include "lib/util/utf8.h"

#define NAME_LENGTH_MAX 64

#define MIN(a, b) ((a) < (b) ? (a) : (b))

/* --- In memory --- */

static void owed_clear(struct journal_owed *owed) {
        free(owed->key);
        free(owed->error);
        *owed = (struct journal_owed) { 0 };
}

void journal_clear(struct journal *journal) {
        for (size_t i = 0; i < journal->n_owed; i++)
                owed_clear(&journal->owed[i]);
        free(journal->owed);
        free(journal->error);
        free(journal->revoked);
        free(journal->issuances);
        *journal = (struct journal) { 0 };
}

bool journal_is_empty(const struct journal *journal) {
        return journal->failures == 0 && journal->failure == FAILURE_NONE &&
               journal->next_attempt_usec == 0 && journal->n_issuances == 0 && journal->token == 0 &&
               journal->generation == 0 && strempty(journal->fingerprint) && journal->revoke_usec == 0 &&
               journal->n_revoked == 0 && !journal->is_revoking && journal->n_owed == 0;
}

int journal_record_issuance(struct journal *journal, usec_t now) {
        size_t size = MIN(journal->n_issuances + 1, SCHEDULE_BUDGET_MAX);
        usec_t *grown;

        grown = reallocarray(journal->issuances, size, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        journal->issuances = grown;
        journal->n_issuances = schedule_budget_record(grown, journal->n_issuances, size, now);
        return 0;
}

int journal_add_revoked(struct journal *journal, const char fingerprint[FINGERPRINT_HEX]) {
        size_t n = journal->n_revoked;
        char(*grown)[FINGERPRINT_HEX];

        if (journal_has_revoked(journal, fingerprint))
                return 0;
        if (n == JOURNAL_REVOKED_MAX)
                memmove(journal->revoked, journal->revoked + 1, --n * sizeof(*journal->revoked));
        grown = realloc(journal->revoked, (n + 1) * sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        memcpy(grown[n], fingerprint, sizeof(*grown));
        journal->revoked = grown;
        journal->n_revoked = n + 1;
        return 0;
}

void journal_drop_revoked(struct journal *journal, const char *fingerprint) {
        size_t n = 0;

        for (size_t i = 0; i < journal->n_revoked; i++)
                if (!streq(journal->revoked[i], fingerprint))
                        memmove(journal->revoked[n++], journal->revoked[i], FINGERPRINT_HEX);
        journal->n_revoked = n;
}

bool journal_has_revoked(const struct journal *journal, const char *fingerprint) {
        for (size_t i = 0; i < journal->n_revoked; i++)
                if (streq(journal->revoked[i], fingerprint))
                        return true;
        return false;
}

void journal_keep_error(char **error, const char *text) {
        char *copy = text ? strndup(text, JOURNAL_ERROR_MAX) : NULL;

        if (copy)
                utf8_mend(copy, false);
        free(*error);
        *error = copy;
}

struct journal_owed *journal_find_owed(const struct journal *journal, const char *key) {
        for (size_t i = 0; i < journal->n_owed; i++)
                if (streq(journal->owed[i].key, key))
                        return &journal->owed[i];
        return NULL;
}

const char *journal_owed_error(const struct journal *journal) {
        for (size_t i = 0; i < journal->n_owed; i++)
                if (journal->owed[i].error)
                        return journal->owed[i].error;
        return NULL;
}

/* What JSON can hold without growing beyond JOURNAL_SIZE_MAX: an escaped control character takes six bytes.
 */
static bool key_is_valid(const char *key) {
        _cleanup_(json_decrefp) json_t *string = NULL;
        size_t length = strnlen(key, JOURNAL_KEY_MAX + 1);

        if (length == 0 || length > JOURNAL_KEY_MAX)
                return false;
        for (size_t i = 0; i < length; i++)
                if ((unsigned char)key[i] < ' ')
                        return false;
        string = json_string(key); /* NULL also for what is not UTF-8 */
        return string;
}

int journal_owe(struct journal *journal, const char *key, uint64_t generation, struct journal_owed **ret) {
        struct journal_owed *owed = journal_find_owed(journal, key), *grown;
        char *copy;

        if (!owed) {
                if (!key_is_valid(key))
                        return -EINVAL;
                if (journal->n_owed == JOURNAL_OWED_MAX)
                        return -ENOSPC;
                grown = reallocarray(journal->owed, journal->n_owed + 1, sizeof(*grown));
                if (!grown)
                        return -ENOMEM;
                journal->owed = grown;
                copy = strdup(key);
                if (!copy)
                        return -ENOMEM;
                owed = &grown[journal->n_owed++];
                *owed = (struct journal_owed) { .key = copy };
        }
        owed->generation = generation;
        owed->failures = 0;
        owed->next_attempt_usec = 0;
        journal_keep_error(&owed->error, NULL);
        if (ret)
                *ret = owed;
        return 0;
}

void journal_settle(struct journal *journal, const char *key) {
        struct journal_owed *owed = journal_find_owed(journal, key);

        if (!owed)
                return;
        owed_clear(owed);
        journal->n_owed--;
        memmove(owed, owed + 1, (size_t)(journal->owed + journal->n_owed - owed) * sizeof(*owed));
}

int journal_check(const struct journal *journal, struct error *error) {
        const char *fingerprint = journal->fingerprint;
        size_t digits = strspn(fingerprint, "0123456789abcdef");

        if (journal->failure < FAILURE_NONE || journal->failure >= FAILURE_MAX)
                return error_set(error, -EINVAL, "failure class %d is none", (int)journal->failure);
        if (journal->n_issuances > SCHEDULE_BUDGET_MAX)
                return error_set(error, -EINVAL, "%zu issuances are too many, at most %u",
                                 journal->n_issuances, SCHEDULE_BUDGET_MAX);
        for (size_t i = 1; i < journal->n_issuances; i++)
                if (journal->issuances[i] < journal->issuances[i - 1])
                        return error_set(error, -EINVAL, "issuance %zu is earlier than the one before it",
                                         i + 1);
        if (fingerprint[digits] || (digits != 0 && digits != FINGERPRINT_HEX - 1))
                return error_set(error, -EINVAL, "the fingerprint is not %d hexadecimal digits",
                                 FINGERPRINT_HEX - 1);
        if (journal->generation > INT64_MAX || journal->revoking_generation > INT64_MAX)
                return error_set(error, -EINVAL, "generation %" PRIu64 " is too large",
                                 journal->generation > INT64_MAX ? journal->generation
                                                                 : journal->revoking_generation);
        if (journal->n_owed > JOURNAL_OWED_MAX)
                return error_set(error, -EINVAL, "%zu dependents are too many, at most %u", journal->n_owed,
                                 JOURNAL_OWED_MAX);
        for (size_t i = 0; i < journal->n_owed; i++)
                if (!key_is_valid(journal->owed[i].key) || journal->owed[i].generation > INT64_MAX)
                        return error_set(error, -EINVAL,
                                         "the key or the generation of dependent %zu is not valid", i + 1);
        return 0;
}

/* --- From one boot to the next --- */

/* An issuance at WHEN on the boot clock of SAVED, on that of NOW. The same boot may still read a lower clock:
 * a virtual machine that was put back to a snapshot. */
static usec_t move_issuance(usec_t when, const struct journal_instant *saved,
                            const struct journal_instant *now) {
        usec_t age, between;

        if (memcmp(saved->boot_id, now->boot_id, sizeof(now->boot_id)) == 0)
                return MIN(when, now->boottime);

        age = usec_sub(saved->boottime, when);
        between = MIN(usec_sub(now->realtime, saved->realtime), now->boottime);
        if (usec_add(age, between) >= USEC_PER_HOUR)
                return USEC_INFINITY;
        return usec_sub(now->boottime, age + between);
}

static usec_t possible_attempt(usec_t when, usec_t now) {
        return when > usec_add(now, SCHEDULE_RETRY_AFTER_MAX_USEC) ? 0 : when;
}

void journal_sanitise(struct journal *journal, const struct journal_instant *saved,
                      const struct journal_instant *now) {
        size_t n = 0;

        for (size_t i = 0; i < journal->n_issuances; i++) {
                usec_t when = move_issuance(journal->issuances[i], saved, now);

                if (when != USEC_INFINITY && now->boottime - when < USEC_PER_HOUR)
                        journal->issuances[n++] = when;
        }
        journal->n_issuances = n;

        journal->next_attempt_usec = possible_attempt(journal->next_attempt_usec, now->realtime);
        for (size_t i = 0; i < journal->n_owed; i++)
                journal->owed[i].next_attempt_usec =
                        possible_attempt(journal->owed[i].next_attempt_usec, now->realtime);
}

/* --- On disk --- */

#define FILE_NAME_MAX (NAME_LENGTH_MAX + sizeof(".json.damaged"))

static bool is_alnum(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Other names would leave the directory, or be taken for a temporary file. */
static int file_name(const char *name, const char *suffix, char ret[FILE_NAME_MAX], struct error *error) {
        size_t n = 0;

        while (is_alnum(name[n]) || (n > 0 && name[n] && strchr("._-", name[n])))
                n++;
        if (n == 0 || n > NAME_LENGTH_MAX || name[n])
                return error_set(error, -EINVAL,
                                 "no journal can have the name of this certificate: it is not 1 to %d "
                                 "letters, digits, dots, dashes and underscores",
                                 NAME_LENGTH_MAX);
        snprintf(ret, FILE_NAME_MAX, "%s%s", name, suffix);
        return 0;
}

int journal_set_aside(int dir_fd, const char *name, const char *cause, char **ret_warning) {
        char file[FILE_NAME_MAX], damaged[FILE_NAME_MAX];
        const char *obstacle = NULL;
        int r;

        r = file_name(name, ".json", file, NULL);
        if (r == 0)
                r = file_name(name, ".json.damaged", damaged, NULL);
        if (r < 0)
                return r;
        r = renameat(dir_fd, file, dir_fd, damaged);
        if (r < 0 && errno == ENOTDIR &&
            unlinkat(dir_fd, damaged, 0) == 0) /* no directory goes over a file */
                r = renameat(dir_fd, file, dir_fd, damaged);
        if (r < 0)
                obstacle = strerrordesc_np(errno);
        r = asprintf(ret_warning,
                     "past failures, issuances and undelivered notifications are forgotten: %s; it %s %s%s%s",
                     cause, obstacle ? "could not be renamed to" : "was renamed to", damaged,
                     obstacle ? ": " : "", obstacle ? obstacle : "");
        if (r >= 0)
                return 0;
        *ret_warning = NULL;
        return -ENOMEM;
}

static int read_error(int r, const char *file, struct error *error) {
        if (r == -ELOOP || r == -EISDIR || r == -EINVAL || r == -ENXIO)
                return error_set(error, r, "cannot read %s in the state directory: it is not a regular file",
                                 file);
        return error_set_errno(error, r, "cannot read %s in the state directory", file);
}

int journal_load(int dir_fd, const char *name, const struct journal_instant *now, struct journal *ret,
                 char **ret_warning, struct error *error) {
        _cleanup_(journal_clear) struct journal journal = { 0 };
        _cleanup_(error_clear) struct error why = ERROR_INIT;
        _cleanup_(freep) char *json = NULL, *warning = NULL;
        struct journal_instant saved;
        char file[FILE_NAME_MAX];
        size_t size;
        int r;

        r = file_name(name, ".json", file, error);
        if (r < 0)
                return r;

        r = file_read_at(dir_fd, file, FILE_NOFOLLOW, JOURNAL_SIZE_MAX, &json, &size);
        if (r == -EFBIG)
                error_set(&why, r, "it is larger than %u bytes", JOURNAL_SIZE_MAX);
        else if (r < 0 && r != -ENOENT)
                return read_error(r, file, error);
        else if (r == 0)
                r = journal_parse(json, size, &journal, &saved, &why);
        if (r == -ENOMEM)
                return r;

        if (r == 0)
                journal_sanitise(&journal, &saved, now);
        else if (r != -ENOENT) {
                error_prefix(&why, "%s in the state directory cannot be used", file);
                r = journal_set_aside(dir_fd, name, error_text(&why), &warning);
                if (r < 0)
                        return r;
        }

        *ret = journal;
        journal = (struct journal) { 0 };
        *ret_warning = take_ptr(warning);
        return 0;
}

int journal_write(int dir_fd, const char *name, const char *json, struct error *error) {
        char file[FILE_NAME_MAX];
        int r;

        r = file_name(name, ".json", file, error);
        if (r < 0)
                return r;
        r = file_replace_at(dir_fd, file, json, strlen(json), FILE_ACCESS(0600));
        if (r < 0)
                return error_set_errno(error, r, "cannot write %s in the state directory", file);
        return 0;
}

int journal_save(int dir_fd, const char *name, const struct journal *journal,
                 const struct journal_instant *now, struct error *error) {
        _cleanup_(freep) char *json = NULL;
        int r;

        r = journal_format(journal, now, &json, error);
        if (r < 0)
                return r;
        return journal_write(dir_fd, name, json, error);
}

int journal_read(int dir_fd, const char *name, const struct journal_instant *now, struct journal *ret,
                 struct error *error) {
        _cleanup_(journal_clear) struct journal journal = { 0 };
        _cleanup_(freep) char *json = NULL;
        struct journal_instant saved;
        char file[FILE_NAME_MAX];
        size_t size;
        int r;

        r = file_name(name, ".json", file, error);
        if (r < 0)
                return r;
        r = file_read_at(dir_fd, file, FILE_NOFOLLOW, JOURNAL_SIZE_MAX, &json, &size);
        if (r < 0 && r != -ENOENT)
                return read_error(r, file, error);
        if (r == 0) {
                r = journal_parse(json, size, &journal, &saved, error);
                if (r < 0) {
                        error_prefix(error, "%s in the state directory cannot be used", file);
                        return r;
                }
                journal_sanitise(&journal, &saved, now);
        }

        *ret = journal;
        journal = (struct journal) { 0 };
        return 0;
}
