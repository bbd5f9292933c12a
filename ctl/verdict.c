/*
 * The judgement that `status`, `show` and `check` share, as a table: when a row applies, how bad that is, how
 * it is said, and which command mends it. Rows of one group exclude each other, the first that applies
 * counts: an expired certificate is expired, whatever else is to be said of its renewal.
 *
 * A failure that may pass by itself calls nobody out of bed until half of the time between the planned
 * renewal and the expiry is gone.
 */

#include "ctl/verdict.h"

#include "ctl/text.h"

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
        return judge->view->has_set && judge->view->not_after > 0 && judge->now >= judge->view->not_after;
}

/* --- When a row applies --- */

static bool may_not_be_read(const struct judge *judge) {
        return !judge->view->has_set && judge->view->problem &&
               strstr(judge->view->problem, strerrordesc_np(EACCES));
}

static bool cannot_be_read(const struct judge *judge) {
        return !judge->view->has_set && judge->view->problem;
}

static bool is_revoked(const struct judge *judge) {
        return judge->view->is_revoked;
}

static bool expired_for_good(const struct judge *judge) {
        return is_expired(judge) && (in_state(judge, "waiting-for-token") || judge->is_offline);
}

static bool is_enrolling(const struct judge *judge) {
        return !judge->view->has_set && in_state(judge, "enrolling");
}

static bool is_new(const struct judge *judge) {
        return !judge->view->has_set && in_state(judge, "absent");
}

static bool cannot_enrol(const struct judge *judge) {
        return !judge->view->has_set && judge->view->failures > 0;
}

static bool has_no_token(const struct judge *judge) {
        return !judge->view->has_set;
}

static bool is_rejected(const struct judge *judge) {
        return in_state(judge, "waiting-for-token") || failed_as(judge, "rejected");
}

static bool is_refused(const struct judge *judge) {
        return failed_as(judge, "refused");
}

static bool has_bad_reply(const struct judge *judge) {
        return failed_as(judge, "bad-reply");
}

static bool fails_here(const struct judge *judge) {
        return failed_as(judge, "local");
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

static bool has_failed_exports(const struct judge *judge) {
        return judge->view->exports_failed > 0;
}

static bool has_failed_notices(const struct judge *judge) {
        return judge->view->owed_failed > 0;
}

static bool is_over_budget(const struct judge *judge) {
        return judge->view->has_budget && judge->view->budget_left == 0 && judge->view->failures > 0;
}

/* --- How it is said --- */

/* ": the last error", where there is one. */
static void say_cause(FILE *out, const struct view *view) {
        if (!strempty(view->last_error))
                fprintf(out, ": %s", view->last_error);
}

static void say_next(FILE *out, const struct judge *judge) {
        char span[TIMESPAN_MAX];

        if (judge->view->next_attempt > judge->now)
                fprintf(out, "; tried again in %s",
                        format_timespan(span, judge->view->next_attempt - judge->now));
}

static void say_left(FILE *out, const struct judge *judge) {
        char span[TIMESPAN_MAX];

        if (judge->view->not_after > judge->now)
                fprintf(out, "; the certificate expires in %s",
                        format_timespan(span, judge->view->not_after - judge->now));
}

static void say_failures(FILE *out, const struct judge *judge) {
        const unsigned n = judge->view->failures;

        fprintf(out, "%u attempt%s in a row failed", n, n == 1 ? "" : "s");
}

static void say_may_not_be_read(FILE *out, const struct judge *judge) {
        fprintf(out, "this user cannot tell how it stands: %s", judge->view->problem);
}

static void say_cannot_be_read(FILE *out, const struct judge *judge) {
        fprintf(out, "its files cannot be used: %s", judge->view->problem);
}

static void say_revoked(FILE *out, _unused_ const struct judge *judge) {
        fputs("was revoked; only a one-time token brings a new certificate", out);
}

static void say_expired(FILE *out, const struct judge *judge) {
        char span[TIMESPAN_MAX];

        fprintf(out, "expired %s ago", format_timespan(span, judge->now - judge->view->not_after));
        if (judge->view->failures > 0 || in_state(judge, "waiting-for-token"))
                say_cause(out, judge->view);
        say_next(out, judge);
}

static void say_enrolling(FILE *out, _unused_ const struct judge *judge) {
        fputs("is being enrolled", out);
}

static void say_new(FILE *out, _unused_ const struct judge *judge) {
        fputs("rekeyd has not looked at it yet", out);
}

static void say_cannot_enrol(FILE *out, const struct judge *judge) {
        fputs("there is no certificate: ", out);
        say_failures(out, judge);
        say_cause(out, judge->view);
        say_next(out, judge);
}

static void say_no_token(FILE *out, _unused_ const struct judge *judge) {
        fputs("there is no certificate yet; a one-time token is needed to enrol", out);
}

static void say_rejected(FILE *out, const struct judge *judge) {
        fputs("the Connector no longer accepts the certificate", out);
        say_cause(out, judge->view);
        say_left(out, judge);
}

static void say_refused(FILE *out, const struct judge *judge) {
        fputs("the Connector refuses to sign", out);
        say_cause(out, judge->view);
        say_next(out, judge);
        say_left(out, judge);
}

static void say_bad_reply(FILE *out, const struct judge *judge) {
        fputs("what the Connector signed cannot be used", out);
        say_cause(out, judge->view);
        say_next(out, judge);
        say_left(out, judge);
}

static void say_fails_here(FILE *out, const struct judge *judge) {
        fputs("this machine is in the way of a renewal", out);
        say_cause(out, judge->view);
        say_next(out, judge);
        say_left(out, judge);
}

static void say_fails(FILE *out, const struct judge *judge) {
        fputs("cannot be renewed for now, ", out);
        say_failures(out, judge);
        say_cause(out, judge->view);
        say_next(out, judge);
        say_left(out, judge);
}

static void say_alone(FILE *out, const struct judge *judge) {
        char span[TIMESPAN_MAX];

        fprintf(out, "is due since %s, and no rekeyd runs to renew it",
                format_timespan(span, judge->now - judge->view->renew_at));
        say_left(out, judge);
}

static void say_stuck(FILE *out, const struct judge *judge) {
        char span[TIMESPAN_MAX];

        fprintf(out, "is due since %s, and rekeyd has not begun to renew it",
                format_timespan(span, judge->now - judge->view->renew_at));
        say_left(out, judge);
}

static void say_exports(FILE *out, const struct judge *judge) {
        const unsigned n = judge->view->exports_failed;

        fprintf(out, "%u export%s could not be written, and %s not the current certificate", n,
                n == 1 ? "" : "s", n == 1 ? "has" : "have");
}

static void say_notices(FILE *out, const struct judge *judge) {
        const unsigned n = judge->view->owed_failed;

        fprintf(out, "%u dependent%s could not be told of the current certificate", n, n == 1 ? "" : "s");
}

static void say_budget(FILE *out, _unused_ const struct judge *judge) {
        fputs("no more signatures are asked for within this hour", out);
}

/* --- The table --- */

enum group { GROUP_LIFE, GROUP_EXPORTS, GROUP_NOTICES, GROUP_BUDGET };

static const struct row {
        enum group group;
        enum verdict_level level;
        bool (*applies)(const struct judge *judge);
        void (*say)(FILE *out, const struct judge *judge);
        const char *remedy; /* "%s" is the name */
} rows[] = {
        { GROUP_LIFE, VERDICT_CALL, may_not_be_read, say_may_not_be_read, "sudo rekeyctl show %s" },
        { GROUP_LIFE, VERDICT_DOWN, cannot_be_read, say_cannot_be_read, "systemctl restart rekeyd" },
        { GROUP_LIFE, VERDICT_DOWN, is_revoked, say_revoked, "rekeyctl enrol %s" },
        { GROUP_LIFE, VERDICT_DOWN, expired_for_good, say_expired, "rekeyctl enrol %s" },
        { GROUP_LIFE, VERDICT_DOWN, is_expired, say_expired, "rekeyctl renew %s" },
        { GROUP_LIFE, VERDICT_WATCH, is_enrolling, say_enrolling, NULL },
        { GROUP_LIFE, VERDICT_DOWN, cannot_enrol, say_cannot_enrol, "rekeyctl enrol %s" },
        { GROUP_LIFE, VERDICT_WATCH, is_new, say_new, NULL },
        { GROUP_LIFE, VERDICT_DOWN, has_no_token, say_no_token, "rekeyctl enrol %s" },
        { GROUP_LIFE, VERDICT_CALL, is_rejected, say_rejected, "rekeyctl enrol %s" },
        { GROUP_LIFE, VERDICT_CALL, is_due_and_alone, say_alone, "systemctl start rekeyd" },
        { GROUP_LIFE, VERDICT_CALL, is_refused, say_refused, "rekeyctl renew %s" },
        { GROUP_LIFE, VERDICT_CALL, has_bad_reply, say_bad_reply, "rekeyctl renew %s" },
        { GROUP_LIFE, VERDICT_CALL, fails_here, say_fails_here, "rekeyctl renew %s" },
        { GROUP_LIFE, VERDICT_CALL, fails_for_long, say_fails, "rekeyctl renew %s" },
        { GROUP_LIFE, VERDICT_WATCH, fails, say_fails, NULL },
        { GROUP_LIFE, VERDICT_CALL, is_stuck, say_stuck, "journalctl -u rekeyd" },
        { GROUP_EXPORTS, VERDICT_CALL, has_failed_exports, say_exports, "rekeyctl show %s" },
        { GROUP_NOTICES, VERDICT_CALL, has_failed_notices, say_notices, "rekeyctl notify %s" },
        { GROUP_BUDGET, VERDICT_WATCH, is_over_budget, say_budget, NULL },
};

void verdict_clear(struct verdict *verdict) {
        for (size_t i = 0; i < verdict->n_findings; i++) {
                free(verdict->findings[i].sentence);
                free(verdict->findings[i].remedy);
        }
        *verdict = (struct verdict) { 0 };
}

static int add_finding(struct verdict *verdict, const struct row *row, const struct judge *judge) {
        struct finding finding = { .level = row->level };
        size_t size = 0, at = verdict->n_findings;
        FILE *out = open_memstream(&finding.sentence, &size);

        if (!out)
                return -ENOMEM;
        row->say(out, judge);
        if (row->remedy)
                finding.remedy = text_fill(row->remedy, judge->view->name);
        if (fclose(out) != 0 || (row->remedy && !finding.remedy)) {
                free(finding.remedy);
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

int verdict_judge(const struct view *view, usec_t now, bool is_offline, struct verdict *ret) {
        const struct judge judge = { .view = view, .now = now, .is_offline = is_offline };
        _cleanup_(verdict_clear) struct verdict verdict = { 0 };
        unsigned groups = 0;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                if ((groups & 1u << rows[i].group) || !rows[i].applies(&judge))
                        continue;
                groups |= 1u << rows[i].group;
                if (add_finding(&verdict, &rows[i], &judge) < 0)
                        return -ENOMEM;
        }
        *ret = verdict;
        verdict = (struct verdict) { 0 };
        return 0;
}
