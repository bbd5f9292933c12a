/*
 * One row for each reason to refuse, in the order in which they are given: a certificate that is gone,
 * something that is under way, a state that does not allow it, the budget. A row says for which operations it
 * holds, and whether it goes by what was once seen on the disk.
 */

#include "daemon/certificate/requests.h"

const char *const operation_names[OPERATION_MAX] = {
        [OPERATION_RENEW] = "renew",       [OPERATION_ENROL] = "enrol",   [OPERATION_REVOKE] = "revoke",
        [OPERATION_ROLLBACK] = "rollback", [OPERATION_NOTIFY] = "notify", [OPERATION_ACCEPT] = "accept",
        [OPERATION_PROBE] = "probe",       [OPERATION_ADOPT] = "adopt",   [OPERATION_EXPORT] = "export",
};

bool operation_is_attempt(enum operation operation) {
        return operation == OPERATION_RENEW || operation == OPERATION_ENROL;
}

/* Each returns 0, or refuses. */
typedef int (*rule_t)(const struct request_facts *facts, struct error *error);

/* A renewal joins an attempt that is under way. */
static int check_attempt(const struct request_facts *facts, struct error *error) {
        if (!facts->attempt.is_under_way)
                return 0;
        return error_set(error, -EBUSY, "an attempt to %s %s is under way; wait until it ends",
                         facts->attempt.by_token ? "enrol" : "renew", facts->name);
}

static int check_retired(const struct request_facts *facts, struct error *error) {
        if (!facts->is_retired)
                return 0;
        return error_set(error, -EPERM, "%s was removed from the configuration", facts->name);
}

static int check_under_way(const struct request_facts *facts, struct error *error) {
        if (facts->under_way == OPERATION_NONE)
                return 0;
        return error_set(error, -EBUSY, "a `%s` of %s is under way; wait until it ends",
                         operation_names[facts->under_way], facts->name);
}

static int check_not_revoked(const struct request_facts *facts, struct error *error) {
        if (!facts->is_revoked)
                return 0;
        return error_set(error, -EPERM, "%s is revoked; enrol it again with a one-time token", facts->name);
}

static int check_renewable(const struct request_facts *facts, struct error *error) {
        if (facts->may_have_set || facts->is_token_offered)
                return 0;
        return error_set(error, -EPERM,
                         "%s has no certificate to renew; enrol it first, with a one-time token",
                         facts->name);
}

static int check_enrolment_needed(const struct request_facts *facts, struct error *error) {
        char until[TIMESTAMP_MAX];

        if (!facts->is_usable || facts->is_rejected || facts->force)
                return 0;
        return error_set(error, -EPERM,
                         "%s has a certificate that is valid until %s; renew it, or force the enrolment",
                         facts->name, format_timestamp(until, facts->expiry));
}

static int check_adoption_needed(const struct request_facts *facts, struct error *error) {
        char until[TIMESTAMP_MAX];

        if (!facts->is_usable || facts->is_rejected || facts->force)
                return 0;
        return error_set(error, -EPERM,
                         "%s has a certificate that is valid until %s; renew it, or force the adoption to "
                         "replace it",
                         facts->name, format_timestamp(until, facts->expiry));
}

/* It may be whole, and nothing is known that could be changed. */
static int check_readable(const struct request_facts *facts, struct error *error) {
        if (!facts->unreadable || facts->force)
                return 0;
        return error_set(error, -EPERM, "the set of %s cannot be read, and may be whole: %s", facts->name,
                         facts->unreadable);
}

static int check_dependents(const struct request_facts *facts, struct error *error) {
        if (facts->has_dependents)
                return 0;
        return error_set(error, -EPERM, "%s has no dependents: its configuration has no `notify`",
                         facts->name);
}

static int check_exports(const struct request_facts *facts, struct error *error) {
        if (facts->has_exports)
                return 0;
        return error_set(error, -EPERM, "%s has no exports: its configuration has no `exports`", facts->name);
}

static int check_exportable(const struct request_facts *facts, struct error *error) {
        if (facts->has_set)
                return 0;
        return error_set(error, -EPERM, "%s has no certificate yet, so there is nothing to export",
                         facts->name);
}

static int check_notifiable(const struct request_facts *facts, struct error *error) {
        if (facts->has_set)
                return 0;
        return error_set(error, -EPERM, "%s has no certificate yet, so there is nothing to notify of",
                         facts->name);
}

static int check_revocable(const struct request_facts *facts, struct error *error) {
        if (facts->has_set)
                return 0;
        return error_set(error, -EPERM, "%s has no certificate to revoke", facts->name);
}

static int check_not_revoked_for_sure(const struct request_facts *facts, struct error *error) {
        if (!facts->is_revoked || facts->is_in_doubt)
                return 0;
        return error_set(error, -EPERM, "%s is already revoked; enrol it again with a one-time token",
                         facts->name);
}

static int check_restorable(const struct request_facts *facts, struct error *error) {
        if (facts->has_set)
                return 0;
        return error_set(error, -EPERM, "%s has no certificate yet", facts->name);
}

static int check_probeable(const struct request_facts *facts, struct error *error) {
        if (facts->may_have_set)
                return 0;
        return error_set(error, -EPERM, "%s has no certificate to probe", facts->name);
}

static int check_subject_refused(const struct request_facts *facts, struct error *error) {
        if (facts->has_refused_subject)
                return 0;
        return error_set(error, -EPERM,
                         "there is nothing to accept: the Connector has named no other subject for %s",
                         facts->name);
}

/* It may be of the very set that is to be revoked, or to come back. */
static int check_not_revoking(const struct request_facts *facts, struct error *error) {
        if (!facts->is_revoking)
                return 0;
        return error_set(error, -EBUSY, "a generation of %s is being revoked; try again in a moment",
                         facts->name);
}

/* The budget holds for operators as well: it is the Connector's protection, and theirs. */
static int check_budget(const struct request_facts *facts, struct error *error) {
        char span[TIMESPAN_MAX];

        if (facts->budget_wait == 0)
                return 0;
        return error_set(error, -EDQUOT,
                         "%s has used its %u signatures within the last hour, the limit of "
                         "`limits.issuances_per_hour`; the next one is possible in %s",
                         facts->name, facts->budget, format_timespan(span, facts->budget_wait));
}

enum {
        RENEW = 1u << OPERATION_RENEW,
        ENROL = 1u << OPERATION_ENROL,
        REVOKE = 1u << OPERATION_REVOKE,
        ROLLBACK = 1u << OPERATION_ROLLBACK,
        NOTIFY = 1u << OPERATION_NOTIFY,
        ACCEPT = 1u << OPERATION_ACCEPT,
        PROBE = 1u << OPERATION_PROBE,
        ADOPT = 1u << OPERATION_ADOPT,
        EXPORT = 1u << OPERATION_EXPORT,
        NOT_RENEW = ENROL | REVOKE | ROLLBACK | NOTIFY | ACCEPT | PROBE | ADOPT | EXPORT,
        ALL = RENEW | NOT_RENEW,
};

static const struct {
        unsigned operations;
        rule_t rule;
        bool of_disk; /* what lies there may be another set by now, without an event that tells of it */
} rules[] = {
        { NOT_RENEW, check_attempt, false },      { ALL, check_retired, false },
        { ALL, check_under_way, false },          { RENEW, check_not_revoked, true },
        { RENEW, check_renewable, true },         { ENROL | REVOKE | ROLLBACK | ADOPT, check_readable, true },
        { ENROL, check_enrolment_needed, true },  { ADOPT, check_adoption_needed, true },
        { EXPORT, check_exports, false },         { EXPORT, check_exportable, true },
        { NOTIFY, check_dependents, false },      { NOTIFY, check_notifiable, true },
        { REVOKE, check_revocable, true },        { REVOKE, check_not_revoked_for_sure, true },
        { ROLLBACK, check_restorable, true },     { PROBE, check_probeable, true },
        { ACCEPT, check_subject_refused, false }, { REVOKE | ROLLBACK | ADOPT, check_not_revoking, false },
        { RENEW | ENROL, check_budget, false },
};

/* Refused with CODE by what is known of the disk, as ERROR says. */
static int refuse_by_disk(const struct request_facts *facts, int code, struct error *error) {
        _cleanup_(error_clear) struct error refusal = ERROR_INIT;

        switch (facts->look) {
        case LOOK_NONE:
                return error_set(error, -EAGAIN, "the files of %s are to be inspected first", facts->name);
        case LOOK_DONE:
                return code;
        case LOOK_FAILED:
        case LOOK_LATE:
                break;
        }
        if (!error)
                return code;
        error_move(&refusal, error);
        return error_set(error, code, "%s; this is only remembered, since %s %s", error_text(&refusal),
                         facts->directory,
                         facts->look == LOOK_LATE ? "could not be inspected in time"
                                                  : "could not be inspected; see the log");
}

/* A renewal that joins an attempt costs nothing that the attempt does not, so only the first rules hold for
 * it. */
static bool joins_attempt(enum operation operation, const struct request_facts *facts) {
        return operation == OPERATION_RENEW && facts->attempt.is_under_way && !facts->attempt.is_waiting;
}

int request_check(enum operation operation, const struct request_facts *facts, struct error *error) {
        for (size_t i = 0; i < ELEMENTSOF(rules); i++) {
                int r;

                if (!(rules[i].operations & 1u << operation))
                        continue;
                r = rules[i].rule(facts, error);
                if (r < 0)
                        return rules[i].of_disk ? refuse_by_disk(facts, r, error) : r;
                if (rules[i].rule == check_under_way && joins_attempt(operation, facts))
                        return 0;
        }
        return 0;
}
