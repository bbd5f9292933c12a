/* `rekeyca plan`: all checks, and what a rotation will do, beside the steps of the tutorial. */

#include "ca/cli/session.h"
#include "ca/cli/steps.h"

static void print_plan(struct session *session, const struct rotation_terms *terms) {
        const struct reason_row *reason = &reason_rows[terms->reason];
        char from[TIMESTAMP_MAX], to[TIMESTAMP_MAX];

        if (!session->options->json) {
                session_say(session, "Rotation: %s (%s).", reason->name, reason->help);
                session_say(session, "  new CA certificate: %s to %s, %s",
                            format_timestamp(from, terms->not_before), format_timestamp(to, terms->not_after),
                            reason->has_new_key ? "with a new key" : "with the same key");
                session_say(session, "  signer: %s", session->signer->name);
                for (size_t i = 0; i < session->n_trusts; i++)
                        session_say(session, "  bundle: %s", session->trusts[i]->name);
                if (reason->warning)
                        session_say(session, "  Note: %s", reason->warning);
        }
        steps_print(session, terms->reason, PHASE_PLANNED, PHASE_RETIRED);
}

static void print_notes(struct session *session, const struct survey *survey) {
        for (size_t i = 0; i < survey->n_findings; i++)
                session_say(session, "%s: %s", finding_names[survey->findings[i].kind],
                            survey->findings[i].text);
}

int verb_plan(struct session *session, struct error *error) {
        const struct site *site = &session->site;
        struct rotation_terms terms = { .key_bits = site->key_bits, .leaf_lifetime = site->leaf_lifetime };
        _cleanup_(survey_clear) struct survey survey = { 0 };
        int r;

        if (reason_parse(session->options->reason, &terms.reason) < 0)
                return error_set(
                        error, -EINVAL,
                        "'%s' is no reason: expiring, certificate-compromised, key-compromised, new-key",
                        session->options->reason);
        r = session_survey(session, &survey, error);
        if (r == 0)
                r = survey_judge(&survey, session->options->take_over, error);
        if (r == 0)
                r = survey_times(terms.reason, survey.ca, site->ca_lifetime, site->leaf_lifetime, site->skew,
                                 now_usec(CLOCK_REALTIME), &terms.not_before, &terms.not_after, error);
        if (r < 0)
                return r;
        print_notes(session, &survey);
        print_plan(session, &terms);
        if (session->options->dry_run)
                return 0;
        r = rotation_plan(session->rotation, &terms, error);
        if (r == 0)
                session_say(session, "Planned. Nothing is changed yet; continue with rekeyca apply.");
        return r;
}
