/*
 * The state file as JSON, written and parsed by hand. Every member that is written is needed to read: one
 * that is missing is damage, not a default, because a default of "no issuances" would hand out a fresh budget
 * in silence. Members that were added without a new version may be missing, and those that a later rekeyd has
 * added are ignored.
 */

#include <endian.h>
#include <limits.h>
#include <stdio.h>

#include "lib/life/state.h"
#include "lib/util/json.h"

#define STATE_VERSION 1

/* The end of the year 9999. */
#define TIME_MAX_USEC (UINT64_C(253402300799) * USEC_PER_SEC)

#define MIN(a, b) ((a) < (b) ? (a) : (b))

/* JSON's integers hold 63 bits. */
#define TOKEN_HEX (2 * sizeof(uint64_t) + 1)

/* A time that the file can hold. "Never" becomes one that the next start takes for a clock that was set. */
static json_int_t time_value(usec_t when) {
        return (json_int_t)MIN(when, TIME_MAX_USEC);
}

/* The same for one that may not be known: null. */
static json_t *known_time(usec_t when) {
        return when == 0 ? json_null() : json_integer(time_value(when));
}

static json_t *format_issuances(const struct state *state) {
        _cleanup_(json_decrefp) json_t *list = json_array();

        for (size_t i = 0; i < state->n_issuances; i++)
                if (json_array_append_new(list, json_integer(time_value(state->issuances[i]))) < 0)
                        return NULL;
        return take_ptr(list);
}

static json_t *format_revoked(const struct state *state) {
        _cleanup_(json_decrefp) json_t *list = json_array();

        for (size_t i = 0; i < state->n_revoked; i++)
                if (json_array_append_new(list, json_string(state->revoked[i])) < 0)
                        return NULL;
        return take_ptr(list);
}

static json_t *format_old_cas(const struct state *state) {
        _cleanup_(json_decrefp) json_t *list = json_array();

        for (size_t i = 0; i < state->rotation.n_old_cas; i++)
                if (json_array_append_new(list, json_pack("{s:s, s:I}", "pem", state->rotation.old_cas[i].pem,
                                                          "since_usec",
                                                          time_value(state->rotation.old_cas[i].since))) < 0)
                        return NULL;
        return take_ptr(list);
}

static json_t *format_pending(const struct state *state) {
        _cleanup_(json_decrefp) json_t *list = json_array();

        for (size_t i = 0; i < state->n_pending; i++) {
                const struct state_pending *pending = &state->pending[i];
                json_t *item = json_pack("{s:s, s:I, s:I, s:I, s:s?}", "dependent", pending->key,
                                         "generation", (json_int_t)pending->generation, "failures",
                                         (json_int_t)pending->failures, "next_attempt_usec",
                                         time_value(pending->next_attempt_usec), "error", pending->error);

                if (json_array_append_new(list, item) < 0)
                        return NULL;
        }
        return take_ptr(list);
}

int state_format(const struct state *state, const struct state_instant *now, char **ret_json,
                 struct error *error) {
        _cleanup_(json_decrefp) json_t *root = NULL, *issuances = NULL, *revoked = NULL, *pending = NULL,
                                       *old_cas = NULL;
        _cleanup_(freep) char *text = NULL;
        char boot_id[2 * sizeof(now->boot_id) + 1], machine_id[2 * sizeof(now->machine_id) + 1],
                token[TOKEN_HEX] = "", *line;
        int r;

        r = state_check(state, error);
        if (r < 0)
                return r;

        hex_format(boot_id, now->boot_id, sizeof(now->boot_id));
        hex_format(machine_id, now->machine_id, sizeof(now->machine_id));
        if (state->token != 0)
                snprintf(token, sizeof(token), "%016" PRIx64, state->token);
        issuances = format_issuances(state);
        revoked = format_revoked(state);
        pending = format_pending(state);
        old_cas = format_old_cas(state);
        if (!issuances || !revoked || !pending || !old_cas)
                return error_set_errno(error, -ENOMEM, "cannot format it");
        root = json_pack(
                "{s:i, s:{s:s, s:s, s:I, s:I}, s:I, s:s, s:s, s:I, s:s?, s:I, s:O, s:s, s:I, s:I, s:I, s:s, "
                "s:I, "
                "s:I, "
                "s:o, s:o, s:O, s:o, s:O, s:s?, s:s?, s:b, s:b, s:o, s:o, s:O}",
                "version", STATE_VERSION, "saved", "boot_id", boot_id, "machine_id", machine_id,
                "boottime_usec", time_value(now->boottime), "realtime_usec", time_value(now->realtime),
                "failures", (json_int_t)state->failures, "failure", failure_names[state->failure], "cause",
                cause_names[state->cause], "next_attempt_usec", time_value(state->next_attempt_usec), "error",
                state->error, "failed_usec", time_value(state->failed_usec), "issuances_boottime_usec",
                issuances, "token", token, "reply", (json_int_t)state->reply, "reply_tries",
                (json_int_t)state->reply_tries, "generation", (json_int_t)state->generation, "fingerprint",
                state->fingerprint, "revoke_usec", time_value(state->revoke_usec), "revoke_generation",
                (json_int_t)state->revoke_generation, "not_before_usec", known_time(state->not_before),
                "expiry_usec", known_time(state->expiry), "revoked", revoked, "revoking_generation",
                state->is_revoking ? json_integer((json_int_t)state->revoking_generation) : json_null(),
                "owed", pending, "subject", state->subject, "other_subject", state->other_subject,
                "other_subject_accepted", state->is_accepted, "copied", state->is_copied,
                "replace_since_usec", known_time(state->rotation.since), "replace_asked_usec",
                known_time(state->rotation.asked), "old_cas", old_cas);
        text = root ? json_format(root, JSON_INDENT(4)) : NULL;
        if (!text || asprintf(&line, "%s\n", text) < 0)
                return error_set_errno(error, -ENOMEM, "cannot format it");

        *ret_json = line;
        return 0;
}

static int take_number(const json_t *object, const char *name, uint64_t max, uint64_t *ret,
                       struct error *error) {
        const json_t *member = json_object_get(object, name);
        json_int_t value = json_is_integer(member) ? json_integer_value(member) : -1;

        if (value < 0 || (uint64_t)value > max)
                return error_set(error, -EINVAL, "member %s is not a number from 0 to %" PRIu64, name, max);
        *ret = (uint64_t)value;
        return 0;
}

static int take_count(const json_t *object, const char *name, unsigned *ret, struct error *error) {
        uint64_t value = 0;
        int r;

        r = take_number(object, name, UINT_MAX, &value, error);
        if (r == 0)
                *ret = (unsigned)value;
        return r;
}

static int take_time(const json_t *object, const char *name, usec_t *ret, struct error *error) {
        return take_number(object, name, TIME_MAX_USEC, ret, error);
}

/* Borrowed from OBJECT; NULL where there is no such string. */
static const char *string_of(const json_t *object, const char *name) {
        return json_string_value(json_object_get(object, name));
}

/* It came later. */
static int take_sentence(const json_t *object, char **ret, struct error *error) {
        const json_t *member = json_object_get(object, "error");

        if (member && !json_is_null(member) && !json_is_string(member))
                return error_set(error, -EINVAL, "member error is neither a string nor null");
        state_keep_error(ret, json_string_value(member));
        return 0;
}

/* A list of at most MAX entries. */
static int find_list(const json_t *object, const char *name, size_t max, const json_t **ret,
                     struct error *error) {
        const json_t *member = json_object_get(object, name);

        if (!json_is_array(member) || json_array_size(member) > max)
                return error_set(error, -EINVAL, "member %s is not a list of at most %zu entries", name, max);
        *ret = member;
        return 0;
}

/* SIZE bytes from lower-case hexadecimal, as hex_format() writes it. */
static bool hex_read(const char *text, uint8_t *bytes, size_t size) {
        static const char digits[] = "0123456789abcdef";

        if (strspn(text, digits) != 2 * size || text[2 * size])
                return false;
        for (size_t i = 0; i < 2 * size; i++)
                bytes[i / 2] = (uint8_t)(bytes[i / 2] << 4 | (strchr(digits, text[i]) - digits));
        return true;
}

static int take_saved(const json_t *root, struct state_instant *ret, struct error *error) {
        const json_t *saved = json_object_get(root, "saved");
        const char *boot_id = string_of(saved, "boot_id"), *machine_id = string_of(saved, "machine_id");
        int r;

        if (!boot_id || !hex_read(boot_id, ret->boot_id, sizeof(ret->boot_id)))
                return error_set(error, -EINVAL, "member saved.boot_id is not %zu hexadecimal digits",
                                 2 * sizeof(ret->boot_id));
        /* This came later. */
        if (json_object_get(saved, "machine_id") &&
            (!machine_id || !hex_read(machine_id, ret->machine_id, sizeof(ret->machine_id))))
                return error_set(error, -EINVAL, "member saved.machine_id is not %zu hexadecimal digits",
                                 2 * sizeof(ret->machine_id));
        r = take_time(saved, "boottime_usec", &ret->boottime, error);
        if (r < 0)
                return r;
        return take_time(saved, "realtime_usec", &ret->realtime, error);
}

static int take_failure(const json_t *root, enum failure *ret, struct error *error) {
        const char *name = string_of(root, "failure");

        for (enum failure failure = FAILURE_NONE; failure < FAILURE_MAX; failure++)
                if (streq_null(failure_names[failure], name)) {
                        *ret = failure;
                        return 0;
                }
        return error_set(error, -EINVAL, "member failure is not a known class of failures");
}

/* Empty for none. */
static int take_token(const json_t *root, uint64_t *ret, struct error *error) {
        const char *text = string_of(root, "token");
        uint64_t number = 0;

        if (!text || (*text && !hex_read(text, (uint8_t *)&number, sizeof(number))))
                return error_set(error, -EINVAL, "member token is not %zu hexadecimal digits", TOKEN_HEX - 1);
        *ret = be64toh(number);
        return 0;
}

static int take_fingerprint(const json_t *root, char ret[FINGERPRINT_HEX], struct error *error) {
        const char *text = string_of(root, "fingerprint");

        if (!text || strlen(text) >= FINGERPRINT_HEX)
                return error_set(error, -EINVAL, "member fingerprint is not %d hexadecimal digits",
                                 FINGERPRINT_HEX - 1);
        memcpy(ret, text, strlen(text) + 1);
        return 0;
}

static bool is_there(const json_t *object, const char *name) {
        const json_t *member = json_object_get(object, name);

        return member && !json_is_null(member);
}

/* This came later. */
static int take_reply(const json_t *root, struct state *state, struct error *error) {
        uint64_t reply = 0, tries = 0;
        int r;

        if (!json_object_get(root, "reply"))
                return 0;
        r = take_number(root, "reply", UINT32_MAX, &reply, error);
        if (r == 0)
                r = take_number(root, "reply_tries", UINT32_MAX, &tries, error);
        state->reply = (uint32_t)reply;
        state->reply_tries = (uint32_t)tries;
        return r;
}

/* These came later; null or absent where they are not known. The end of the file's time is "never". */
static int take_validity(const json_t *root, struct state *state, struct error *error) {
        int r = 0;

        if (is_there(root, "not_before_usec"))
                r = take_time(root, "not_before_usec", &state->not_before, error);
        if (r == 0 && is_there(root, "expiry_usec"))
                r = take_time(root, "expiry_usec", &state->expiry, error);
        if (state->expiry == TIME_MAX_USEC)
                state->expiry = USEC_INFINITY;
        return r;
}

/* The same. */
static int take_replacement(const json_t *root, struct state *state, struct error *error) {
        int r = 0;

        if (is_there(root, "replace_since_usec"))
                r = take_time(root, "replace_since_usec", &state->rotation.since, error);
        if (r == 0 && is_there(root, "replace_asked_usec"))
                r = take_time(root, "replace_asked_usec", &state->rotation.asked, error);
        return r;
}

/* This came later. */
static int take_old_cas(const json_t *root, struct state *state, struct error *error) {
        const json_t *list = NULL;
        int r;

        if (!json_object_get(root, "old_cas"))
                return 0;
        r = find_list(root, "old_cas", STATE_OLD_CAS_MAX, &list, error);
        for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
                const json_t *item = json_array_get(list, i);
                const char *pem = string_of(item, "pem");
                usec_t since = 0;

                r = take_time(item, "since_usec", &since, error);
                if (r == 0 && (!pem || strlen(pem) > STATE_CA_MAX))
                        r = error_set(error, -EINVAL, "member pem is not a string of at most %u bytes",
                                      STATE_CA_MAX);
                if (r == 0)
                        r = state_retire_ca(state, pem, since, USEC_INFINITY);
                if (r == -EINVAL)
                        error_prefix(error, "entry %zu of old_cas", i + 1);
        }
        return r;
}

/* All of this came later. */
static int take_revocations(const json_t *root, struct state *state, struct error *error) {
        const json_t *list = NULL;
        int r;

        if (json_object_get(root, "revoke_usec")) {
                r = take_time(root, "revoke_usec", &state->revoke_usec, error);
                if (r == 0)
                        r = take_number(root, "revoke_generation", INT64_MAX, &state->revoke_generation,
                                        error);
                if (r < 0)
                        return r;
        }
        if (is_there(root, "revoking_generation")) {
                r = take_number(root, "revoking_generation", INT64_MAX, &state->revoking_generation, error);
                if (r < 0)
                        return r;
                state->is_revoking = true;
        }
        if (!json_object_get(root, "revoked"))
                return 0;
        r = find_list(root, "revoked", STATE_REVOKED_MAX, &list, error);
        if (r < 0)
                return r;
        for (size_t i = 0; i < json_array_size(list); i++) {
                const char *text = json_string_value(json_array_get(list, i));
                uint8_t bytes[FINGERPRINT_SIZE];

                if (!text || !hex_read(text, bytes, sizeof(bytes)))
                        return error_set(error, -EINVAL, "entry %zu of revoked is not a fingerprint", i + 1);
                r = state_add_revoked(state, text);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* All of this came later. */
static int take_subject(const json_t *root, const char *name, char **ret, struct error *error) {
        const json_t *member = json_object_get(root, name);

        if (!member || json_is_null(member))
                return 0;
        if (!json_is_string(member) || json_string_length(member) == 0 ||
            json_string_length(member) > STATE_SUBJECT_MAX)
                return error_set(error, -EINVAL, "member %s is not a string of 1 to %u bytes", name,
                                 STATE_SUBJECT_MAX);
        *ret = strdup(json_string_value(member));
        return *ret ? 0 : -ENOMEM;
}

static int take_subjects(const json_t *root, struct state *state, struct error *error) {
        int r;

        r = take_subject(root, "subject", &state->subject, error);
        if (r == 0)
                r = take_subject(root, "other_subject", &state->other_subject, error);
        state->is_accepted =
                state->other_subject && json_is_true(json_object_get(root, "other_subject_accepted"));
        return r;
}

static int take_issuances(const json_t *root, struct state *state, struct error *error) {
        const json_t *list = NULL;
        int r;

        r = find_list(root, "issuances_boottime_usec", SCHEDULE_BUDGET_MAX, &list, error);
        if (r < 0)
                return r;
        if (json_array_size(list) == 0)
                return 0;
        state->issuances = calloc(json_array_size(list), sizeof(*state->issuances));
        if (!state->issuances)
                return -ENOMEM;

        for (size_t i = 0; i < json_array_size(list); i++) {
                const json_t *item = json_array_get(list, i);
                json_int_t value = json_is_integer(item) ? json_integer_value(item) : -1;

                if (value < 0 || (usec_t)value > TIME_MAX_USEC)
                        return error_set(error, -EINVAL, "issuance %zu is not a time", i + 1);
                state->issuances[state->n_issuances++] = (usec_t)value;
        }
        return 0;
}

static int take_debt(const json_t *item, struct state *state, struct error *error) {
        const char *key = string_of(item, "dependent");
        struct state_pending *pending;
        uint64_t generation = 0;
        int r;

        if (!key || state_find_pending(state, key))
                return error_set(error, -EINVAL, "member dependent is missing, or as in another entry");
        r = take_number(item, "generation", INT64_MAX, &generation, error);
        if (r < 0)
                return r;
        r = state_add_pending(state, key, generation, &pending);
        if (r == -EINVAL)
                return error_set(error, r, "member dependent is not a string of 1 to %u bytes",
                                 STATE_KEY_MAX);
        if (r < 0)
                return r;
        r = take_count(item, "failures", &pending->failures, error);
        if (r < 0)
                return r;
        r = take_time(item, "next_attempt_usec", &pending->next_attempt_usec, error);
        if (r < 0)
                return r;
        return take_sentence(item, &pending->error, error);
}

static int take_pending(const json_t *root, struct state *state, struct error *error) {
        const json_t *list = NULL;
        int r;

        r = find_list(root, "owed", STATE_PENDING_MAX, &list, error);
        for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
                r = take_debt(json_array_get(list, i), state, error);
                if (r < 0)
                        error_prefix(error, "entry %zu of owed", i + 1);
        }
        return r;
}

int state_parse(const char *json, size_t size, struct state *ret, struct state_instant *ret_saved,
                struct error *error) {
        _cleanup_(state_clear) struct state state = { 0 };
        _cleanup_(json_decrefp) json_t *root = NULL;
        struct state_instant saved = { 0 };
        uint64_t version = 0;
        int r;

        r = json_read(json, size, STATE_SIZE_MAX, &root, error);
        if (r < 0)
                return r;

        r = take_number(root, "version", INT64_MAX, &version, error);
        if (r < 0)
                return r;
        if (version != STATE_VERSION)
                return error_set(error, version > STATE_VERSION ? -EPROTONOSUPPORT : -EINVAL,
                                 "it has version %" PRIu64 ", and this rekeyd reads version %d", version,
                                 STATE_VERSION);

        r = take_saved(root, &saved, error);
        if (r == 0)
                r = take_count(root, "failures", &state.failures, error);
        if (r == 0)
                r = take_failure(root, &state.failure, error);
        state.cause = cause_by_name(string_of(root, "cause")); /* it came later */
        if (r == 0)
                r = take_time(root, "next_attempt_usec", &state.next_attempt_usec, error);
        if (r == 0)
                r = take_sentence(root, &state.error, error);
        if (r == 0 && json_object_get(root, "failed_usec"))
                r = take_time(root, "failed_usec", &state.failed_usec, error);
        if (r == 0)
                r = take_issuances(root, &state, error);
        if (r == 0)
                r = take_token(root, &state.token, error);
        if (r == 0)
                r = take_reply(root, &state, error);
        if (r == 0)
                r = take_number(root, "generation", INT64_MAX, &state.generation, error);
        if (r == 0)
                r = take_fingerprint(root, state.fingerprint, error);
        if (r == 0)
                r = take_validity(root, &state, error);
        if (r == 0)
                r = take_replacement(root, &state, error);
        if (r == 0)
                r = take_old_cas(root, &state, error);
        if (r == 0)
                r = take_revocations(root, &state, error);
        if (r == 0)
                r = take_subjects(root, &state, error);
        state.is_copied = json_is_true(json_object_get(root, "copied")); /* it came later */
        if (r == 0)
                r = take_pending(root, &state, error);
        if (r == 0)
                r = state_check(&state, error);
        if (r < 0)
                return r == -ENOMEM ? error_set_errno(error, r, "cannot read it") : r;

        *ret = state;
        state = (struct state) { 0 };
        *ret_saved = saved;
        return 0;
}
