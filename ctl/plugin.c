/*
 * One line for a monitoring system. Critical is what does not work or soon will not; a warning is what needs
 * attention; what rekeyd is still fixing by itself is neither. The thresholds watch one simple thing: how
 * long the certificate still lasts.
 */

#include "ctl/plugin.h"

#include <errno.h>
#include <stdio.h>

#include "ctl/terminal/text.h"
#include "ctl/verdict.h"
#include "lib/util/text-stream.h"

#define PROBLEMS_MAX 3u  /* in words; the rest is counted */
#define PERFDATA_MAX 20u /* certificates with a number of their own */

const char *const plugin_status_names[PLUGIN_STATUS_MAX] = {
        [PLUGIN_OK] = "OK",
        [PLUGIN_WARNING] = "WARNING",
        [PLUGIN_CRITICAL] = "CRITICAL",
        [PLUGIN_UNKNOWN] = "UNKNOWN",
};

static usec_t shorter(usec_t a, usec_t b) {
        return a < b ? a : b;
}

static struct plugin_limits limits_for(const struct view *view, const struct plugin_limits *given) {
        const usec_t lifetime = usec_sub(view->not_after, view->not_before);
        const usec_t margin = view->renew_at > 0 ? usec_sub(view->not_after, view->renew_at) : lifetime / 3;
        struct plugin_limits limits = *given;

        if (limits.warning_usec == 0)
                limits.warning_usec = shorter(PLUGIN_WARNING_USEC, margin / 2);
        if (limits.critical_usec == 0) {
                limits.critical_usec = shorter(PLUGIN_CRITICAL_USEC, margin / 10);
                limits.critical_usec = shorter(limits.critical_usec, limits.warning_usec);
        }
        return limits;
}

/* One certificate, judged. */
struct result {
        enum plugin_status status;
        char *problem; /* "orders: expires in 2d 3h"; NULL: none */
};

static int judge_one(const struct view *view, usec_t now, bool is_offline, const struct plugin_limits *limits,
                     struct result *ret) {
        _cleanup_(verdict_clear) struct verdict verdict = { 0 };
        const usec_t left = usec_sub(view->not_after, now);
        enum plugin_status status = PLUGIN_OK;
        bool is_short = false;
        char span[TIMESPAN_MAX];
        char *problem = NULL;
        int n = 0;

        if (verdict_judge(view, now, is_offline, &verdict) < 0)
                return -ENOMEM;
        if (verdict.level >= VERDICT_CALL)
                status = verdict.level == VERDICT_DOWN ? PLUGIN_CRITICAL : PLUGIN_WARNING;
        if (view_expires(view) && status != PLUGIN_CRITICAL) {
                if (left < limits->critical_usec) {
                        is_short = true;
                        status = PLUGIN_CRITICAL;
                } else if (left < limits->warning_usec && status == PLUGIN_OK) {
                        is_short = true;
                        status = PLUGIN_WARNING;
                }
        }

        if (is_short)
                n = asprintf(&problem, "%s: expires in %s%s%s%s%s%s%s", view->name,
                             format_timespan(span, left),
                             view->renewable.expires_first ? " with its CA '" : "",
                             view->renewable.expires_first ? view->renewable.expires_first : "",
                             view->renewable.expires_first ? "'" : "",
                             view->knowledge == SET_UNREADABLE ? ", last known" : "",
                             verdict.n_findings > 0 ? ", " : "",
                             verdict.n_findings > 0 ? verdict.findings[0].sentence : "");
        else if (status != PLUGIN_OK)
                n = asprintf(&problem, "%s: %s", view->name, verdict.findings[0].sentence);
        if (n < 0)
                return -ENOMEM;
        *ret = (struct result) { .status = status, .problem = problem };
        return 0;
}

/* What all certificates come to. */
struct sum {
        size_t n, usable, failing, by_status[PLUGIN_STATUS_MAX];
        const char *first;    /* to expire */
        const char *first_ca; /* the CA that ends it; NULL: its own certificate does */
        usec_t first_left;
        struct plugin_limits first_limits;
};

static void write_words(FILE *out, const struct sum *sum, const struct result *results, bool is_offline) {
        size_t said = 0;

        if (is_offline)
                fputs("rekeyd is not running", out);
        for (enum plugin_status status = PLUGIN_CRITICAL; status > PLUGIN_OK; status--)
                for (size_t i = 0; i < sum->n; i++)
                        if (results[i].status == status && said < PROBLEMS_MAX)
                                fprintf(out, "%s%s", said++ > 0 || is_offline ? "; " : "",
                                        results[i].problem);
        if (sum->n - sum->by_status[PLUGIN_OK] > said)
                fprintf(out, "; and %zu more", sum->n - sum->by_status[PLUGIN_OK] - said);
        if (said == 0) {
                char span[TIMESPAN_MAX];

                fprintf(out, "%s%zu certificate%s %s", is_offline ? "; " : "", sum->n, sum->n == 1 ? "" : "s",
                        is_offline ? "valid, but not managed" : "OK");
                if (sum->first)
                        fprintf(out, ", %s is the first to expire, in %s", sum->first,
                                format_timespan(span, sum->first_left));
                if (sum->first && sum->first_ca)
                        fprintf(out, ", with its CA '%s'", sum->first_ca);
        }
}

/* 'label'=value[unit];[warning];[critical];[min]: a range "N:" alarms below N. */
static void write_left(FILE *out, const char *label, usec_t left, const struct plugin_limits *limits) {
        fprintf(out, " '%s'=%" PRIu64 "s;%" PRIu64 ":;%" PRIu64 ":;0", label, left / USEC_PER_SEC,
                limits->warning_usec / USEC_PER_SEC, limits->critical_usec / USEC_PER_SEC);
}

static void write_perfdata(FILE *out, const json_t *list, usec_t now, const struct plugin_limits *limits,
                           const struct sum *sum) {
        json_t *status;
        size_t i;

        fprintf(out, " certificates=%zu;;;0 usable=%zu;;;0 failing=%zu;;;0 warning=%zu;;;0 critical=%zu;;;0",
                sum->n, sum->usable, sum->failing, sum->by_status[PLUGIN_WARNING],
                sum->by_status[PLUGIN_CRITICAL]);
        if (sum->first)
                write_left(out, "first_expiry", sum->first_left, &sum->first_limits);
        if (sum->n > PERFDATA_MAX)
                return;
        json_array_foreach(list, i, status) {
                struct view view;
                struct plugin_limits own;

                view_read(status, &view);
                own = limits_for(&view, limits);
                if (view_expires(&view))
                        write_left(out, view.name, usec_sub(view.not_after, now), &own);
        }
}

static int judge_all(const json_t *list, usec_t now, bool is_offline, const struct plugin_limits *given,
                     struct result *results, struct sum *sum) {
        json_t *status;
        size_t i;

        json_array_foreach(list, i, status) {
                struct plugin_limits limits;
                struct view view;
                usec_t left;

                view_read(status, &view);
                limits = limits_for(&view, given);
                left = usec_sub(view.not_after, now);
                if (judge_one(&view, now, is_offline, &limits, &results[i]) < 0)
                        return -ENOMEM;
                sum->n++;
                sum->by_status[results[i].status]++;
                sum->usable += view.is_usable;
                sum->failing += view.failures > 0;
                if (view_expires(&view) && (!sum->first || left < sum->first_left)) {
                        sum->first = view.name;
                        sum->first_ca = view.renewable.expires_first;
                        sum->first_left = left;
                        sum->first_limits = limits;
                }
        }
        return 0;
}

/* A bar begins the numbers, wherever it stands; and not every monitoring system takes more than ASCII. */
static int clean_words(const char *words, char **ret) {
        char *clean = text_clean(words, false);

        if (!clean)
                return -ENOMEM;
        for (char *p = clean; (p = strchr(p, '|'));)
                *p = '/';
        *ret = clean;
        return 0;
}

static int write_line(const json_t *list, usec_t now, bool is_offline, const struct plugin_limits *limits,
                      const struct result *results, const struct sum *sum, enum plugin_status status,
                      char **ret_line) {
        _cleanup_(freep) char *words = NULL, *clean = NULL, *numbers = NULL;
        char *line;
        size_t size;
        FILE *out;

        out = text_stream_open(&words, &size);
        if (!out)
                return -ENOMEM;
        write_words(out, sum, results, is_offline);
        if (fclose(out) != 0 || clean_words(words, &clean) < 0)
                return -ENOMEM;
        out = text_stream_open(&numbers, &size);
        if (!out)
                return -ENOMEM;
        write_perfdata(out, list, now, limits, sum);
        if (fclose(out) != 0 ||
            asprintf(&line, "%s - %s |%s", plugin_status_names[status], clean, numbers) < 0)
                return -ENOMEM;
        *ret_line = line;
        return 0;
}

int plugin_judge(const json_t *list, usec_t now, bool is_offline, const struct plugin_limits *limits,
                 char **ret_line) {
        const size_t n = json_array_size(list);
        struct result *results = calloc(n + 1, sizeof(*results));
        enum plugin_status status = is_offline ? PLUGIN_WARNING : PLUGIN_OK;
        struct sum sum = { 0 };
        int r;

        if (!results)
                return -ENOMEM;
        r = judge_all(list, now, is_offline, limits, results, &sum);
        if (sum.by_status[PLUGIN_WARNING] > 0)
                status = PLUGIN_WARNING;
        if (sum.by_status[PLUGIN_CRITICAL] > 0)
                status = PLUGIN_CRITICAL;
        if (r == 0)
                r = write_line(list, now, is_offline, limits, results, &sum, status, ret_line);
        for (size_t i = 0; i < n; i++)
                free(results[i].problem);
        free(results);
        return r < 0 ? r : (int)status;
}
