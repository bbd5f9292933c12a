/* The verbs that change something: apply, retire, rollback, abort. */

#include "ca/cli/session.h"
#include "ca/cli/steps.h"

static int until_of(const struct session *session, enum phase *ret, struct error *error) {
        *ret = PHASE_RENEWING;
        if (!session->options->until)
                return 0;
        if (phase_parse(session->options->until, ret) == 0 && *ret >= PHASE_STAGED && *ret <= PHASE_RETIRED)
                return 0;
        return error_set(error, -EINVAL, "'%s' is no phase: staged, trusted, signing, renewing, retired",
                         session->options->until);
}

static int dry_run(struct session *session, enum phase until, struct error *error) {
        const struct record *record = rotation_record(session->rotation);

        if (!record || phase_is_end(record->phase))
                return error_set(error, -EPERM,
                                 "there is no rotation; begin with rekeyca plan --reason REASON");
        session_say(session, "The phase is %s. This would be done:", phase_names[record->phase]);
        steps_print(session, record->reason, record->phase + 1, until);
        return 0;
}

static int apply_until(struct session *session, enum phase until, struct error *error) {
        int r;

        if (rotation_set_forced(session->rotation, session->options->force) < 0)
                return error_set_errno(error, -ENOMEM, "cannot begin");
        r = rotation_apply(session->rotation, until, error);
        if (r < 0)
                return r;
        session_say(session, "The phase %s is reached.",
                    phase_names[rotation_record(session->rotation)->phase]);
        session_advise(session);
        return rotation_record(session->rotation)->phase == PHASE_RENEWING
                       ? live_renew(&session->live, rotation_record(session->rotation), error)
                       : 0;
}

int verb_apply(struct session *session, struct error *error) {
        enum phase until;
        int r;

        r = until_of(session, &until, error);
        if (r < 0)
                return r;
        return session->options->dry_run ? dry_run(session, until, error)
                                         : apply_until(session, until, error);
}

int verb_retire(struct session *session, struct error *error) {
        const struct record *record = rotation_record(session->rotation);

        if (record && record->phase < PHASE_RENEWING)
                return error_set(
                        error, -EPERM,
                        "cannot retire the old CA in the phase %s: it comes after renewing; rekeyca apply "
                        "leads there",
                        phase_names[record->phase]);
        return apply_until(session, PHASE_RETIRED, error);
}

int verb_rollback(struct session *session, struct error *error) {
        int r;

        if (rotation_set_forced(session->rotation, session->options->force) < 0)
                return error_set_errno(error, -ENOMEM, "cannot begin");
        r = rotation_rollback(session->rotation, error);
        if (r == 0)
                session_say(session, "Rolled back: signer and bundles have the bytes from before.");
        return r;
}

int verb_abort(struct session *session, struct error *error) {
        int r;

        r = rotation_abort(session->rotation, error);
        if (r == 0)
                session_say(session, "Given up: nothing was changed, and the new key is erased.");
        return r;
}
