/*
 * The judgement that `status`, `show` and `check` share, as a table: when a row applies, its level, its text,
 * and the fix. Rows of one group exclude each other, the first that applies counts: an expired certificate is
 * expired, whatever the state of its renewal. A request that has just failed leads to the same rows, by the
 * class of its failure. What mends a cause that is known (lib/life/cause.h) goes before what a row advises.
 *
 * A failure that may be temporary raises no alarm until half of the time between the planned renewal and the
 * expiry is gone.
 */

#include "ctl/verdict.h"

#include "ctl/terminal/format.h"
#include "ctl/terminal/text.h"
#include "lib/life/cause.h"
#include "lib/util/text-stream.h"

#include <errno.h>
#include <stdarg.h>

#define LATE_USEC USEC_PER_HOUR /* a renewal that was due for so long, without an attempt, is stuck */

const char *const verdict_level_names[VERDICT_LEVEL_MAX] = {
        [VERDICT_FINE] = "fine",
        [VERDICT_WATCH] = "watch",
        [VERDICT_CALL] = "call",
        [VERDICT_DOWN] = "down",
};

struct judge {
        const struct view *view;
        usec_t now;
        bool is_offline;
};

static bool in_state(const struct judge *judge, const char *state) {
        return streq(judge->view->state, state);
}

static bool failed_as(const struct judge *judge, const char *class) {
        return judge->view->failures > 0 && streq_null(judge->view->failure, class);
}

static bool is_expired(const struct judge *judge) {
        return view_has_set(judge->view) && view_expires(judge->view) && judge->now >= judge->view->not_after;
}

/* --- When a row applies --- */

/* Why the set cannot be read; NULL: it can. A running rekeyd knows the files, and its state is authoritative.
 */
static const char *obstacle(const struct judge *judge) {
        const struct view *view = judge->view;

        return view->knowledge == SET_UNREADABLE || (judge->is_offline && !view_has_set(view)) ? view->problem
                                                                                               : NULL;
}

static bool may_not_be_read(const struct judge *judge) {
        return judge->is_offline && obstacle(judge) && strstr(obstacle(judge), strerrordesc_np(EACCES));
}

static bool cannot_be_used(const struct judge *judge) {
        return judge->is_offline && obstacle(judge);
}

static bool cannot_be_read(const struct judge *judge) {
        return obstacle(judge);
}

/* As last known, it works. */
static bool cannot_be_read_but_works(const struct judge *judge) {
        const struct view *view = judge->view;

        return cannot_be_read(judge) && view_has_set(view) && !view->is_revoked &&
               view->not_after > judge->now;
}

static bool is_not_inspected(const struct judge *judge) {
        return judge->view->knowledge == SET_UNKNOWN;
}

static bool may_be_revoked(const struct judge *judge) {
        return judge->view->is_revoking;
}

static bool is_revoked(const struct judge *judge) {
        return judge->view->is_revoked;
}

static bool expired_for_good(const struct judge *judge) {
        return is_expired(judge) && (in_state(judge, "waiting-for-token") || judge->is_offline);
}

static bool is_enrolling(const struct judge *judge) {
        return !view_has_set(judge->view) && in_state(judge, "enrolling");
}

static bool is_new(const struct judge *judge) {
        return !view_has_set(judge->view) && in_state(judge, "absent");
}

static bool cannot_enrol(const struct judge *judge) {
        return !view_has_set(judge->view) && judge->view->failures > 0;
}

static bool has_no_token(const struct judge *judge) {
        return !view_has_set(judge->view);
}

static bool has_bad_token(const struct judge *judge) {
        return judge->view->files.token_problem;
}

static bool has_only_bad_token(const struct judge *judge) {
        return has_no_token(judge) && has_bad_token(judge);
}

static bool is_rejected(const struct judge *judge) {
        return in_state(judge, "waiting-for-token") || failed_as(judge, "rejected");
}

/* While the set is good, a file that is no token is nobody's concern. */
static bool waits_with_bad_token(const struct judge *judge) {
        return has_bad_token(judge) && view_has_set(judge->view) && in_state(judge, "waiting-for-token");
}

static bool is_rejected_since_rotation(const struct judge *judge) {
        return is_rejected(judge) && view_has_set(judge->view) && judge->view->renewable.replacement &&
               has_prefix(judge->view->renewable.replacement, "distrusted-ca");
}

/* The time that was planned for renewing; a third of the lifetime, which is usual, where no plan is known. */
static usec_t margin_of(const struct view *view) {
        if (view->renew_at > 0)
                return usec_sub(view->not_after, view->renew_at);
        return usec_sub(view->not_after, view->not_before) / 3;
}

static bool fails_for_long(const struct judge *judge) {
        const struct view *view = judge->view;

        return view->failures > 0 && usec_sub(view->not_after, judge->now) < margin_of(view) / 2;
}

static bool fails(const struct judge *judge) {
        return judge->view->failures > 0;
}

static bool is_due_and_alone(const struct judge *judge) {
        return judge->is_offline && judge->view->renew_at > 0 && judge->now >= judge->view->renew_at;
}

static bool is_stuck(const struct judge *judge) {
        return in_state(judge, "current") && judge->view->renew_at > 0 &&
               judge->now >= usec_add(judge->view->renew_at, LATE_USEC);
}

static bool has_wrong_rights(const struct judge *judge) {
        return judge->view->files.rights_error;
}

static bool is_doubtful(const struct judge *judge) {
        return judge->view->renewable.doubt;
}

/* An answer that has other causes as well; no answer at all is what other rows are for. */
static bool has_doubtful_answer(const struct judge *judge) {
        return in_state(judge, "current") && streq_null(judge->view->renewable.answer, "doubtful");
}

static bool has_failed_exports(const struct judge *judge) {
        return judge->view->files.exports_failed > 0;
}

static bool has_failed_notices(const struct judge *judge) {
        return judge->view->notices.failed > 0;
}

static bool is_unwatched(const struct judge *judge) {
        return judge->view->files.is_unwatched;
}

/* A request, as a rule: what was due and failed counts as failures in a row. */
static bool has_failed_last(const struct judge *judge) {
        const struct view *view = judge->view;

        /* The answer to a probe has rows of its own. */
        return view->last_result_error && !streq_null(view->last_result, "not-probed") &&
               (view->failures == 0 || !streq_null(view->last_error, view->last_result_error));
}

static bool would_be_anothers(const struct judge *judge) {
        return judge->view->subjects.refused;
}

static bool would_be_anothers_and_is_down(const struct judge *judge) {
        return judge->view->subjects.refused && !judge->view->is_usable;
}

/* One that is not of use is told for another reason. */
static bool is_copied(const struct judge *judge) {
        return judge->view->is_copied && judge->view->is_usable;
}

static bool is_over_budget(const struct judge *judge) {
        return judge->view->budget_left == 0 && judge->view->failures > 0;
}

/* --- The texts --- */

/* ": the last error", where there is one. */
static void say_cause(FILE *out, const struct view *view) {
        if (!strempty(view->last_error))
                fprintf(out, ": %s", view->last_error);
}

static void say_next(FILE *out, const struct judge *judge) {
        char span[TIMESPAN_MAX];

        if (judge->view->next_attempt > judge->now && !judge->is_offline)
                fprintf(out, "; next attempt in %s",
                        format_timespan(span, judge->view->next_attempt - judge->now));
}

static void say_left(FILE *out, const struct judge *judge) {
        char span[TIMESPAN_MAX];

        if (view_expires(judge->view) && judge->view->not_after > judge->now)
                fprintf(out, "; the certificate expires in %s",
                        format_timespan(span, judge->view->not_after - judge->now));
}

static void say_failures(FILE *out, const struct judge *judge) {
        const unsigned n = judge->view->failures;

        fprintf(out, "%u failed attempt%s in a row", n, n == 1 ? "" : "s");
}

static void say_obstacle(FILE *out, const struct judge *judge) {
        fputs(obstacle(judge), out);
}

static void say_unreadable(FILE *out, const struct judge *judge) {
        const struct view *view = judge->view;
        char distance[DISTANCE_MAX];

        fprintf(out, "%s; ", obstacle(judge));
        if (!view_has_set(view))
                fputs("nothing was known of a certificate there before", out);
        else
                fprintf(out, "last known is generation %" PRIu64, view->generation);
        if (view_has_set(view) && view->is_revoked)
                fputs(", which was revoked", out);
        else if (view_has_set(view) && view_expires(view))
                fprintf(out, ", which %s %s", view->not_after > judge->now ? "expires" : "expired",
                        format_distance(distance, view->not_after, judge->now));
        say_next(out, judge);
}

static void say_expired(FILE *out, const struct judge *judge) {
        char span[TIMESPAN_MAX];

        fprintf(out, "%s ago", format_timespan(span, judge->now - judge->view->not_after));
        if (judge->view->failures > 0 || in_state(judge, "waiting-for-token"))
                say_cause(out, judge->view);
        say_next(out, judge);
}

static void say_cannot_enrol(FILE *out, const struct judge *judge) {
        say_failures(out, judge);
        say_cause(out, judge->view);
        say_next(out, judge);
}

static void say_subject(FILE *out, const struct judge *judge) {
        const struct view *view = judge->view;

        fprintf(out, "'%s' instead of '%s'", view->subjects.refused,
                view->subjects.current ? view->subjects.current : "?");
        say_next(out, judge);
        say_left(out, judge);
}

static void say_failing(FILE *out, const struct judge *judge) {
        say_cause(out, judge->view);
        say_next(out, judge);
        say_left(out, judge);
}

static void say_fails(FILE *out, const struct judge *judge) {
        say_failures(out, judge);
        say_failing(out, judge);
}

static void say_due(FILE *out, const struct judge *judge) {
        char span[TIMESPAN_MAX];

        fprintf(out, "%s", format_timespan(span, judge->now - judge->view->renew_at));
        say_left(out, judge);
}

static void say_token(FILE *out, const struct judge *judge) {
        fputs(judge->view->files.token_problem, out);
}

static void say_rights(FILE *out, const struct judge *judge) {
        fputs(judge->view->files.rights_error, out);
}

static void say_doubt(FILE *out, const struct judge *judge) {
        fputs(judge->view->renewable.doubt, out);
}

static void say_doubtful_answer(FILE *out, const struct judge *judge) {
        char span[TIMESPAN_MAX];

        fprintf(out, "unknown whether the Connector still accepts the certificate: asked %s ago",
                format_short_span(span, usec_sub(judge->now, judge->view->renewable.probed_at)));
}

static void say_exports(FILE *out, const struct judge *judge) {
        const unsigned n = judge->view->files.exports_failed;

        fprintf(out, "%u export%s could not be written and %s out of date", n, n == 1 ? "" : "s",
                n == 1 ? "is" : "are");
        if (judge->view->files.export_error)
                fprintf(out, "%s: %s", n == 1 ? "" : ", the first", judge->view->files.export_error);
}

static void say_notices(FILE *out, const struct judge *judge) {
        const unsigned n = judge->view->notices.failed;

        fprintf(out, "%u dependent%s could not be notified of the current certificate", n, n == 1 ? "" : "s");
        if (judge->view->notices.error)
                fprintf(out, "%s: %s", n == 1 ? "" : ", the first", judge->view->notices.error);
}

static void say_last(FILE *out, const struct judge *judge) {
        const struct view *view = judge->view;
        char span[TIMESPAN_MAX];

        fprintf(out, "%s failed %s ago: %s", view->last_operation ? view->last_operation : "attempt",
                format_short_span(span, usec_sub(judge->now, view->last_result_at)), view->last_result_error);
}

/* --- The table --- */

enum group {
        GROUP_LIFE,
        GROUP_TOKEN,
        GROUP_DOUBT,
        GROUP_RIGHTS,
        GROUP_EXPORTS,
        GROUP_NOTICES,
        GROUP_WATCH,
        GROUP_BUDGET,
        GROUP_COPY,
        GROUP_LAST
};

#define ENROL         "rekeyctl enrol %s"
#define ACCEPT        "rekeyctl accept %s"
#define OTHER_SUBJECT "the Connector names another subject for the next certificate: "
#define IF_MEANT      "if the change is intended"

static const char again[] = "rekeyctl renew %s"; /* or whatever was just tried */

static const struct row {
        enum group group;
        enum verdict_level level;
        bool (*applies)(const struct judge *judge); /* NULL: the last failure in a row was of the class */
        const char *class;                          /* of what was just tried, that leads here as well; or: */
        const char *text;                           /* continued by `say` */
        void (*say)(FILE *out, const struct judge *judge);
        const char *advice, *command; /* ADVICE: COMMAND; "%s" is the name */
} rows[] = {
        { GROUP_LIFE, VERDICT_CALL, may_not_be_read, NULL,
          "this user may not read the status: ", say_obstacle, NULL, "sudo rekeyctl show %s" },
        { GROUP_LIFE, VERDICT_DOWN, cannot_be_used, NULL, "the files cannot be used: ", say_obstacle, NULL,
          "systemctl restart rekeyd" },
        { GROUP_LIFE, VERDICT_CALL, cannot_be_read_but_works, NULL, "rekeyd cannot read the files: ",
          say_unreadable, "once this is fixed rekeyd reads them again; to see more", "rekeyctl show %s" },
        { GROUP_LIFE, VERDICT_DOWN, cannot_be_read, NULL, "rekeyd cannot read the files: ", say_unreadable,
          "once this is fixed rekeyd reads them again; to see more", "rekeyctl show %s" },
        { GROUP_LIFE, VERDICT_WATCH, is_not_inspected, NULL, "not inspected by rekeyd yet", NULL, NULL,
          NULL },
        { GROUP_LIFE, VERDICT_DOWN, may_be_revoked, NULL,
          "may be revoked: the outcome of the revocation is unknown; a new certificate needs a one-time "
          "token",
          NULL, NULL, ENROL },
        { GROUP_LIFE, VERDICT_DOWN, is_revoked, NULL, "was revoked; a new certificate needs a one-time token",
          NULL, NULL, ENROL },
        { GROUP_LIFE, VERDICT_DOWN, would_be_anothers_and_is_down, NULL, OTHER_SUBJECT, say_subject, IF_MEANT,
          ACCEPT },
        { GROUP_LIFE, VERDICT_DOWN, expired_for_good, NULL, "expired ", say_expired, NULL, ENROL },
        { GROUP_LIFE, VERDICT_DOWN, is_expired, NULL, "expired ", say_expired, NULL, again },
        { GROUP_LIFE, VERDICT_WATCH, is_enrolling, NULL, "is being enrolled", NULL, NULL, NULL },
        { GROUP_LIFE, VERDICT_DOWN, cannot_enrol, NULL, "no certificate: ", say_cannot_enrol, NULL, ENROL },
        { GROUP_LIFE, VERDICT_WATCH, is_new, NULL, "not inspected by rekeyd yet", NULL, NULL, NULL },
        { GROUP_LIFE, VERDICT_DOWN, has_only_bad_token, NULL, "no certificate yet; ", say_token,
          "put another one-time token there, or hand it in", ENROL },
        { GROUP_LIFE, VERDICT_DOWN, has_no_token, NULL,
          "no certificate yet; enrolment needs a one-time token", NULL, NULL, ENROL },
        { GROUP_LIFE, VERDICT_CALL, would_be_anothers, NULL, OTHER_SUBJECT, say_subject, IF_MEANT, ACCEPT },
        { GROUP_LIFE, VERDICT_CALL, is_rejected_since_rotation, NULL,
          "its CA was rotated, and the Connector no longer accepts the certificate", say_failing,
          "get a new one-time token, then", ENROL },
        { GROUP_LIFE, VERDICT_CALL, is_rejected, "rejected",
          "the Connector no longer accepts the certificate", say_failing, "get a new one-time token, then",
          ENROL },
        { GROUP_LIFE, VERDICT_CALL, is_due_and_alone, NULL,
          "rekeyd is not running, and the renewal is overdue for ", say_due, NULL, "systemctl start rekeyd" },
        { GROUP_LIFE, VERDICT_CALL, NULL, "refused", "the Connector refuses to sign", say_failing,
          "ask the operators of the Connector, then", again },
        { GROUP_LIFE, VERDICT_CALL, NULL, "bad-reply",
          "the certificate that the Connector signed cannot be used", say_failing,
          "if it persists, send the operators of the Connector the output of", "rekeyctl history %s" },
        { GROUP_LIFE, VERDICT_CALL, NULL, "local", "a local problem prevents renewal", say_failing,
          "fix it, then", again },
        { GROUP_LIFE, VERDICT_CALL, fails_for_long, "transient", "cannot be renewed at present: ", say_fails,
          "check the connection to the Connector, then", again },
        { GROUP_LIFE, VERDICT_WATCH, fails, NULL, "cannot be renewed at present: ", say_fails, NULL, NULL },
        { GROUP_LIFE, VERDICT_CALL, is_stuck, NULL, "rekeyd has not begun the renewal, which is overdue for ",
          say_due, NULL, "journalctl -u rekeyd" },
        { GROUP_TOKEN, VERDICT_CALL, waits_with_bad_token, NULL, "", say_token,
          "put another one-time token there, or hand it in", ENROL },
        { GROUP_DOUBT, VERDICT_CALL, is_doubtful, NULL, "", say_doubt, NULL, "rekeyctl show %s" },
        { GROUP_DOUBT, VERDICT_CALL, has_doubtful_answer, NULL, "", say_doubtful_answer, "to ask again",
          "rekeyctl probe %s" },
        { GROUP_RIGHTS, VERDICT_CALL, has_wrong_rights, NULL, "", say_rights, NULL, "rekeyctl show %s" },
        { GROUP_EXPORTS, VERDICT_CALL, has_failed_exports, NULL, "", say_exports,
          "fix the cause, which `rekeyctl show` names, then", "rekeyctl export %s" },
        { GROUP_NOTICES, VERDICT_CALL, has_failed_notices, NULL, "", say_notices, NULL,
          "rekeyctl notify %s" },
        { GROUP_WATCH, VERDICT_CALL, is_unwatched, NULL,
          "its files are not watched, so that changes by others are found late", NULL, "for the reason",
          "rekeyctl history %s" },
        { GROUP_BUDGET, VERDICT_WATCH, is_over_budget, "over-budget", "no more signatures within this hour",
          NULL, "to find the cause", "rekeyctl history %s" },
        { GROUP_COPY, VERDICT_WATCH, is_copied, NULL,
          "the state was copied from another machine, which may use and revoke the same certificate", NULL,
          "for one of its own", "rekeyctl renew %s" },
        { GROUP_LAST, VERDICT_FINE, has_failed_last, "", "the last ", say_last, "for the current status",
          "rekeyctl show %s" },
};

void verdict_clear(struct verdict *verdict) {
        for (size_t i = 0; i < verdict->n_findings; i++) {
                free(verdict->findings[i].sentence);
                free(verdict->findings[i].command);
                free(verdict->findings[i].then);
        }
        *verdict = (struct verdict) { 0 };
}

/* Its sentence has the last error, and what makes that error go away comes before a new attempt. */
static bool tells_cause(const struct row *row) {
        return row->command && (row->say == say_failing || row->say == say_fails || row->say == say_expired ||
                                row->say == say_cannot_enrol);
}

/* An error that is about the unit of the service, or a mount, has its fix in it, which is closer. */
static bool has_fix(const char *error) {
        return error && strstr(error, "; fix: ");
}

/* False when memory is out. */
static bool advise(const struct row *row, const struct judge *judge, struct finding *finding) {
        const char *name = judge->view->name;
        const struct mend *mend = cause_mend(cause_by_name(judge->view->renewable.cause));

        if (judge->view->failures > 0 && tells_cause(row) && has_fix(judge->view->last_error)) {
                finding->advice = "then";
                finding->command = text_fill(row->command, name);
                return finding->command;
        }
        if (judge->view->failures > 0 && mend->text && tells_cause(row)) {
                finding->advice = mend->text;
                finding->command = text_fill(mend->command ? mend->command : row->command, name);
                finding->then = mend->command ? text_fill(row->command, name) : NULL;
                return finding->command && (finding->then || !mend->command);
        }
        finding->command = row->command ? text_fill(row->command, name) : NULL;
        return finding->command || !row->command;
}

static int add_finding(struct verdict *verdict, const struct row *row, const struct judge *judge) {
        struct finding finding = { .level = row->level, .advice = row->advice };
        size_t size = 0, at = verdict->n_findings;
        bool is_advised;
        FILE *out = text_stream_open(&finding.sentence, &size);

        if (!out)
                return -ENOMEM;
        fputs(row->text, out);
        if (row->say)
                row->say(out, judge);
        is_advised = advise(row, judge, &finding);
        if (fclose(out) != 0 || !is_advised) {
                free(finding.command);
                free(finding.then);
                free(finding.sentence);
                return -ENOMEM;
        }
        while (at > 0 && verdict->findings[at - 1].level < finding.level) {
                verdict->findings[at] = verdict->findings[at - 1];
                at--;
        }
        verdict->findings[at] = finding;
        verdict->n_findings++;
        if (finding.level > verdict->level)
                verdict->level = finding.level;
        return 0;
}

static bool applies(const struct row *row, const struct judge *judge) {
        return row->applies ? row->applies(judge) : failed_as(judge, row->class);
}

int verdict_judge(const struct view *view, usec_t now, bool is_offline, struct verdict *ret) {
        const struct judge judge = { .view = view, .now = now, .is_offline = is_offline };
        _cleanup_(verdict_clear) struct verdict verdict = { 0 };
        unsigned groups = 0;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                if ((groups & 1u << rows[i].group) || !applies(&rows[i], &judge))
                        continue;
                groups |= 1u << rows[i].group;
                if (add_finding(&verdict, &rows[i], &judge) < 0)
                        return -ENOMEM;
        }
        *ret = verdict;
        verdict = (struct verdict) { 0 };
        return 0;
}

char *verdict_advise(const json_t *event, const char *name, const char *try_again) {
        const char *class = streq_null(view_string(event, "event"), "over-budget")
                                    ? "over-budget"
                                    : view_string(event, "failure");
        const struct row *row = &rows[ELEMENTSOF(rows) - 1]; /* of no class, or of one that is not known */
        const struct mend *mend = cause_mend(cause_by_name(view_string(event, "cause")));
        _cleanup_(freep) char *command = NULL, *first = NULL;
        char *text;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (class && streq_null(rows[i].class, class))
                        row = &rows[i];
        command = text_fill(row->command == again ? try_again : row->command, name);
        if (command && has_fix(view_string(event, "message")))
                return asprintf(&text, "then: %s", command) >= 0 ? text : NULL;
        if (!command || !mend->text)
                return command && asprintf(&text, "%s: %s", row->advice, command) >= 0 ? text : NULL;
        first = mend->command ? text_fill(mend->command, name) : strdup("");
        if (!first || asprintf(&text, "%s%s%s%sthen: %s", mend->text, mend->command ? ": " : "", first,
                               mend->command ? "; " : ", ", command) < 0)
                return NULL;
        return text;
}
