/*
 * The state that survives a restart besides the certificates. The sets on disk stay valid without it, so a
 * state file that cannot be parsed is set aside with a warning and costs no more than what it remembered; but
 * it is never accepted in part, and every member that is written must be there when it is read.
 *
 * The one thing that must not be forgotten by accident is the issuance budget, and the wall clock is just
 * such an accident. So the file has the boot and the readings of both clocks at which it was written; from
 * that, state_sanitise() finds the least age that an issuance can have.
 *
 * There is no secret in it (of a token, only what distinguishes it from another), and nothing in it decides
 * to which server a certificate is shown.
 */

#include "lib/life/state.h"

#include <errno.h>

#include "lib/util/json.h"
#include "lib/util/utf8.h"

#define MIN(a, b) ((a) < (b) ? (a) : (b))

/* --- In memory --- */

static void pending_clear(struct state_pending *pending) {
        free(pending->key);
        free(pending->error);
        *pending = (struct state_pending) { 0 };
}

void state_clear(struct state *state) {
        for (size_t i = 0; i < state->n_pending; i++)
                pending_clear(&state->pending[i]);
        free(state->pending);
        for (size_t i = 0; i < state->rotation.n_old_cas; i++)
                free(state->rotation.old_cas[i].pem);
        free(state->rotation.old_cas);
        free(state->error);
        free(state->revoked);
        free(state->issuances);
        free(state->subject);
        free(state->other_subject);
        *state = (struct state) { 0 };
}

bool state_is_empty(const struct state *state) {
        return state->failures == 0 && state->failure == FAILURE_NONE && state->next_attempt_usec == 0 &&
               state->n_issuances == 0 && state->token == 0 && state->reply == 0 && state->generation == 0 &&
               strempty(state->fingerprint) && state->rotation.since == 0 && state->rotation.asked == 0 &&
               state->rotation.n_old_cas == 0 && state->revoke_usec == 0 && state->n_revoked == 0 &&
               !state->is_revoking && !state->is_copied && state->n_pending == 0 && !state->subject &&
               !state->other_subject;
}

int state_record_issuance(struct state *state, usec_t now) {
        size_t size = MIN(state->n_issuances + 1, SCHEDULE_BUDGET_MAX);
        usec_t *grown;

        grown = reallocarray(state->issuances, size, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        state->issuances = grown;
        state->n_issuances = schedule_budget_record(grown, state->n_issuances, size, now);
        return 0;
}

void state_drop_issuance(struct state *state) {
        if (state->n_issuances > 0)
                state->n_issuances--;
}

int state_add_revoked(struct state *state, const char fingerprint[FINGERPRINT_HEX]) {
        size_t n = state->n_revoked;
        char(*grown)[FINGERPRINT_HEX];

        if (state_has_revoked(state, fingerprint))
                return 0;
        if (n == STATE_REVOKED_MAX)
                memmove(state->revoked, state->revoked + 1, --n * sizeof(*state->revoked));
        grown = realloc(state->revoked, (n + 1) * sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        memcpy(grown[n], fingerprint, sizeof(*grown));
        state->revoked = grown;
        state->n_revoked = n + 1;
        return 0;
}

void state_drop_revoked(struct state *state, const char *fingerprint) {
        size_t n = 0;

        for (size_t i = 0; i < state->n_revoked; i++)
                if (!streq(state->revoked[i], fingerprint))
                        memmove(state->revoked[n++], state->revoked[i], FINGERPRINT_HEX);
        state->n_revoked = n;
}

bool state_has_revoked(const struct state *state, const char *fingerprint) {
        for (size_t i = 0; i < state->n_revoked; i++)
                if (streq(state->revoked[i], fingerprint))
                        return true;
        return false;
}

static void forget_old_ca(struct state *state, size_t i) {
        free(state->rotation.old_cas[i].pem);
        state->rotation.n_old_cas--;
        memmove(state->rotation.old_cas + i, state->rotation.old_cas + i + 1,
                (state->rotation.n_old_cas - i) * sizeof(*state->rotation.old_cas));
}

int state_retire_ca(struct state *state, const char *pem, usec_t now, usec_t keep_usec) {
        struct state_old_ca *grown;
        char *copy;

        for (size_t i = state->rotation.n_old_cas; i-- > 0;)
                if (streq(state->rotation.old_cas[i].pem, pem) ||
                    usec_add(state->rotation.old_cas[i].since, keep_usec) <= now)
                        forget_old_ca(state, i);
        if (strlen(pem) > STATE_CA_MAX)
                return 0;
        if (state->rotation.n_old_cas == STATE_OLD_CAS_MAX)
                forget_old_ca(state, 0);
        copy = strdup(pem);
        if (!copy)
                return -ENOMEM;
        grown = reallocarray(state->rotation.old_cas, state->rotation.n_old_cas + 1, sizeof(*grown));
        if (!grown) {
                free(copy);
                return -ENOMEM;
        }
        grown[state->rotation.n_old_cas++] = (struct state_old_ca) { .pem = copy, .since = now };
        state->rotation.old_cas = grown;
        return 0;
}

int state_old_ca_pem(const struct state *state, usec_t now, usec_t keep_usec, char **ret_pem,
                     usec_t *ret_end) {
        _cleanup_(freep) char *all = NULL;
        usec_t next = USEC_INFINITY;
        size_t size = 0;

        for (size_t i = 0; i < state->rotation.n_old_cas; i++) {
                const struct state_old_ca *old = &state->rotation.old_cas[i];
                const usec_t end = usec_add(old->since, keep_usec);
                const size_t length = strlen(old->pem);
                char *grown;

                if (end <= now)
                        continue;
                next = MIN(next, end);
                grown = realloc(all, size + length + 2);
                if (!grown)
                        return -ENOMEM;
                all = grown;
                memcpy(all + size, old->pem, length);
                size += length;
                all[size++] = '\n'; /* a block must begin on a line of its own */
                all[size] = '\0';
        }
        *ret_pem = take_ptr(all);
        *ret_end = next;
        return 0;
}

void state_keep_error(char **error, const char *text) {
        char *copy = text ? strndup(text, STATE_ERROR_MAX) : NULL;

        if (copy)
                utf8_mend(copy, false);
        free(*error);
        *error = copy;
}

int state_name_other_subject(struct state *state, const char *subject, bool accepted) {
        char *copy;

        if (!streq_null(state->other_subject, subject)) {
                copy = strdup(subject);
                if (!copy)
                        return -ENOMEM;
                free(state->other_subject);
                state->other_subject = copy;
        }
        state->is_accepted = accepted;
        return 0;
}

int state_settle_subject(struct state *state, const char *subject) {
        char *copy;

        free(take_ptr(state->other_subject));
        state->is_accepted = false;
        if (streq_null(state->subject, subject))
                return 0;
        copy = strdup(subject);
        if (!copy)
                return -ENOMEM;
        free(state->subject);
        state->subject = copy;
        return 0;
}

const char *state_refused_subject(const struct state *state) {
        return state->is_accepted ? NULL : state->other_subject;
}

const char *state_accepted_subject(const struct state *state) {
        return state->is_accepted ? state->other_subject : NULL;
}

struct state_pending *state_find_pending(const struct state *state, const char *key) {
        for (size_t i = 0; i < state->n_pending; i++)
                if (streq(state->pending[i].key, key))
                        return &state->pending[i];
        return NULL;
}

const char *state_pending_error(const struct state *state) {
        for (size_t i = 0; i < state->n_pending; i++)
                if (state->pending[i].error)
                        return state->pending[i].error;
        return NULL;
}

/* What JSON can hold without growing beyond STATE_SIZE_MAX: an escaped control character takes six bytes.
 */
static bool key_is_valid(const char *key) {
        _cleanup_(json_decrefp) json_t *string = NULL;
        size_t length = strnlen(key, STATE_KEY_MAX + 1);

        if (length == 0 || length > STATE_KEY_MAX)
                return false;
        for (size_t i = 0; i < length; i++)
                if ((unsigned char)key[i] < ' ')
                        return false;
        string = json_string(key); /* NULL also for what is not UTF-8 */
        return string;
}

int state_add_pending(struct state *state, const char *key, uint64_t generation, struct state_pending **ret) {
        struct state_pending *pending = state_find_pending(state, key), *grown;
        char *copy;

        if (!pending) {
                if (!key_is_valid(key))
                        return -EINVAL;
                if (state->n_pending == STATE_PENDING_MAX)
                        return -ENOSPC;
                grown = reallocarray(state->pending, state->n_pending + 1, sizeof(*grown));
                if (!grown)
                        return -ENOMEM;
                state->pending = grown;
                copy = strdup(key);
                if (!copy)
                        return -ENOMEM;
                pending = &grown[state->n_pending++];
                *pending = (struct state_pending) { .key = copy };
        }
        pending->generation = generation;
        pending->failures = 0;
        pending->next_attempt_usec = 0;
        state_keep_error(&pending->error, NULL);
        if (ret)
                *ret = pending;
        return 0;
}

void state_remove_pending(struct state *state, const char *key) {
        struct state_pending *pending = state_find_pending(state, key);

        if (!pending)
                return;
        pending_clear(pending);
        state->n_pending--;
        memmove(pending, pending + 1,
                (size_t)(state->pending + state->n_pending - pending) * sizeof(*pending));
}

int state_check(const struct state *state, struct error *error) {
        const char *fingerprint = state->fingerprint;
        size_t digits = strspn(fingerprint, "0123456789abcdef");

        if (state->failure < FAILURE_NONE || state->failure >= FAILURE_MAX)
                return error_set(error, -EINVAL, "failure class %d is invalid", (int)state->failure);
        if (state->cause < CAUSE_NONE || state->cause >= CAUSE_MAX)
                return error_set(error, -EINVAL, "cause %d is invalid", (int)state->cause);
        if (state->n_issuances > SCHEDULE_BUDGET_MAX)
                return error_set(error, -EINVAL, "%zu issuances are too many, at most %u", state->n_issuances,
                                 SCHEDULE_BUDGET_MAX);
        for (size_t i = 1; i < state->n_issuances; i++)
                if (state->issuances[i] < state->issuances[i - 1])
                        return error_set(error, -EINVAL, "issuance %zu is earlier than the one before it",
                                         i + 1);
        if (fingerprint[digits] || (digits != 0 && digits != FINGERPRINT_HEX - 1))
                return error_set(error, -EINVAL, "the fingerprint is not %d hexadecimal digits",
                                 FINGERPRINT_HEX - 1);
        if (state->generation > INT64_MAX || state->revoking_generation > INT64_MAX)
                return error_set(error, -EINVAL, "generation %" PRIu64 " is too large",
                                 state->generation > INT64_MAX ? state->generation
                                                               : state->revoking_generation);
        if (state->n_pending > STATE_PENDING_MAX)
                return error_set(error, -EINVAL, "%zu dependents are too many, at most %u", state->n_pending,
                                 STATE_PENDING_MAX);
        for (size_t i = 0; i < state->n_pending; i++)
                if (!key_is_valid(state->pending[i].key) || state->pending[i].generation > INT64_MAX)
                        return error_set(error, -EINVAL,
                                         "the key or the generation of dependent %zu is not valid", i + 1);
        return 0;
}

/* --- From one boot to the next --- */

/* An issuance at WHEN on the boot clock of SAVED, on that of NOW. The same boot may still read a lower clock:
 * a virtual machine that was put back to a snapshot. */
static usec_t move_issuance(usec_t when, const struct state_instant *saved, const struct state_instant *now) {
        usec_t age, between;

        if (memcmp(saved->boot_id, now->boot_id, sizeof(now->boot_id)) == 0)
                return MIN(when, now->boottime);

        age = usec_sub(saved->boottime, when);
        between = MIN(usec_sub(now->realtime, saved->realtime), now->boottime);
        if (usec_add(age, between) >= USEC_PER_HOUR)
                return USEC_INFINITY;
        return usec_sub(now->boottime, age + between);
}

/* Where either has no machine id nothing can be known. */
static bool is_of_another_machine(const struct state_instant *saved, const struct state_instant *now) {
        static const uint8_t unknown[16];

        return memcmp(saved->machine_id, unknown, sizeof(unknown)) != 0 &&
               memcmp(now->machine_id, unknown, sizeof(unknown)) != 0 &&
               memcmp(saved->machine_id, now->machine_id, sizeof(unknown)) != 0;
}

static usec_t possible_attempt(usec_t when, usec_t now) {
        return when > usec_add(now, SCHEDULE_RETRY_AFTER_MAX_USEC) ? 0 : when;
}

void state_sanitise(struct state *state, const struct state_instant *saved, const struct state_instant *now) {
        size_t n = 0;

        for (size_t i = 0; i < state->n_issuances; i++) {
                usec_t when = move_issuance(state->issuances[i], saved, now);

                if (when != USEC_INFINITY && now->boottime - when < USEC_PER_HOUR)
                        state->issuances[n++] = when;
        }
        state->n_issuances = n;

        if (is_of_another_machine(saved, now))
                state->is_copied = state->is_copy_news = true;
        state->next_attempt_usec = possible_attempt(state->next_attempt_usec, now->realtime);
        for (size_t i = 0; i < state->n_pending; i++)
                state->pending[i].next_attempt_usec =
                        possible_attempt(state->pending[i].next_attempt_usec, now->realtime);
}
