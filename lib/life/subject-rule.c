/*
 * A certificate says who its client is, and programs rely on that. The Connector names the subject of each
 * CSR, and a one-time token may be anybody's; so what comes is held against what was, before a signature is
 * spent on it.
 */

#include "lib/life/subject-rule.h"

#include "lib/util/quote.h"

/* The configured subject in the one spelling. */
static int canonical(const char *configured, char **ret, struct error *error) {
        _cleanup_(subject_freep) struct subject *subject = NULL;
        int r;

        r = subject_parse(configured, &subject, error);
        if (r < 0)
                return r;
        *ret = subject_canonical(subject);
        return *ret ? 0 : -ENOMEM;
}

static int judge_configured(const struct subject_rule *rule, const char *next, struct error *error) {
        _cleanup_(freep) char *wanted = NULL;
        int r;

        r = canonical(rule->configured, &wanted, error);
        if (r < 0)
                return r;
        if (streq(wanted, next))
                return !rule->last || streq(rule->last, next) ? SUBJECT_USUAL : SUBJECT_CHANGED;
        error_set(error, -EPERM,
                  "no signature was requested, since the Connector names the subject '%s', and `subject` of "
                  "certificate %s is '%s'",
                  quoted(next), rule->name, quoted(wanted));
        return SUBJECT_BARRED;
}

int subject_rule_judge(const struct subject_rule *rule, const char *next, struct error *error) {
        if (rule->configured)
                return judge_configured(rule, next, error);
        if (!rule->last || streq(rule->last, next))
                return SUBJECT_USUAL;
        if (rule->takes_any || streq_null(rule->accepted, next))
                return SUBJECT_CHANGED;
        error_set(error, -EPERM,
                  "no signature was requested, since the Connector names the subject '%s', and the %s "
                  "certificate has '%s'; `rekeyctl accept %s` accepts the change",
                  quoted(next), rule->is_in_use ? "current" : "last", quoted(rule->last), rule->name);
        return SUBJECT_REFUSED;
}
