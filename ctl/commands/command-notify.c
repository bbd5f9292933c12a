/* `rekeyctl notify`: notifies all dependents of the current certificate again, and shows them one by one.
 * rekeyd's operation ends as soon as the notifications are pending; here the end is the result of each. */

#include <stdio.h>

#include "ctl/change.h"
#include "ctl/follow.h"
#include "ctl/progress.h"
#include "ctl/view.h"

#define ROWS_MAX 64u

struct dependent {
        const char *label; /* borrowed from the details */
        bool is_over;
};

struct notice {
        struct ctl *ctl;
        struct progress *progress;
        struct dependent *notifications;
        size_t n, n_over, n_failed;
        usec_t since;
        uint64_t generation; /* that is pending for them; 0: unknown */
        bool is_pending;
};

static void notice_clear(struct notice *notice) {
        progress_free(notice->progress);
        free(notice->notifications);
}

static int notice_init(struct ctl *ctl, const json_t *details, struct notice *ret) {
        const json_t *list = json_object_get(details, "dependents"), *item;
        size_t i;

        ret->ctl = ctl;
        ret->progress = progress_new(ctl);
        ret->notifications = calloc(json_array_size(list) + 1, sizeof(*ret->notifications));
        if (!ret->progress || !ret->notifications)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        json_array_foreach(list, i, item) {
                const char *label = view_string(item, "dependent");

                if (label)
                        ret->notifications[ret->n++].label = label;
        }
        return CTL_OK;
}

static void draw(const struct notice *notice) {
        struct progress_row rows[ROWS_MAX];
        const size_t room = progress_room(notice->progress);
        size_t n = 0;

        for (size_t i = 0; i < notice->n && n < room && n < ROWS_MAX; i++)
                if (!notice->notifications[i].is_over)
                        rows[n++] = (struct progress_row) {
                                .label = notice->notifications[i].label,
                                .doing = "being notified",
                                .since = notice->since,
                        };
        progress_draw(notice->progress, rows, n, NULL);
}

static void end_dependent(struct notice *notice, const json_t *event, bool has_failed) {
        const char *label = view_string(event, "dependent"), *message = view_string(event, "message");

        for (size_t i = 0; label && i < notice->n; i++) {
                struct dependent *dependent = &notice->notifications[i];

                if (dependent->is_over || !streq(dependent->label, label))
                        continue;
                dependent->is_over = true;
                notice->n_over++;
                notice->n_failed += has_failed;
                if (has_failed)
                        progress_print(notice->progress, true, label, "%s",
                                       message ? message : "could not be notified");
                else
                        progress_print(notice->progress, false, label, "notified");
                return;
        }
}

static void take_event(struct notice *notice, const json_t *event) {
        const char *name = view_string(event, "event");

        /* An earlier notification belongs to something else, and so does one of an older set: that had begun
         * before. */
        if (streq_null(view_string(event, "operation"), "notify")) {
                notice->is_pending = true;
                notice->generation = view_number(event, "generation");
        } else if (view_number(event, "generation") < notice->generation)
                return;
        else if (notice->is_pending && streq_null(name, "notified"))
                end_dependent(notice, event, false);
        else if (notice->is_pending && streq_null(name, "not-notified"))
                end_dependent(notice, event, true);
}

static int follow_to_end(struct notice *notice, struct follow *follow) {
        while (!notice->is_pending || notice->n_over < notice->n) {
                _cleanup_(json_decrefp) json_t *event = NULL;
                const enum follow_result result = follow_next(follow, PROGRESS_TICK_USEC, &event);

                if (result == FOLLOW_EVENT)
                        take_event(notice, event);
                else if (result == FOLLOW_NOTHING)
                        draw(notice);
                else {
                        notice->progress = progress_free(notice->progress);
                        return ctl_fail(notice->ctl, follow_exit(result),
                                        "no result for %zu of %zu dependents: %s; see: rekeyctl show %s",
                                        notice->n - notice->n_over, notice->n, follow_reason(result),
                                        notice->ctl->arguments[0]);
                }
        }
        return notice->n_failed > 0 ? CTL_FAILED : CTL_OK;
}

static int ask(struct ctl *ctl, const char *name) {
        _cleanup_(freep) char *path = NULL;

        if (asprintf(&path, "/v1/certificates/%s/notify", name) < 0) {
                path = NULL;
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        }
        return change_ask(ctl, "POST", path, NULL, NULL);
}

static int run(struct ctl *ctl) {
        const char *name = ctl->arguments[0];
        _cleanup_(json_decrefp) json_t *details = NULL;
        _cleanup_(follow_end) struct follow follow = { 0 };
        _cleanup_(notice_clear) struct notice notice = { 0 };
        bool is_waiting;
        int exit;

        if (!change_wants_wait(ctl, &is_waiting))
                return CTL_USAGE;
        if (is_waiting) {
                exit = follow_begin(ctl, name, &follow);
                if (exit == CTL_OK)
                        exit = change_read(ctl, name, &details);
                if (exit == CTL_OK)
                        exit = notice_init(ctl, details, &notice);
                if (exit != CTL_OK)
                        return exit;
        }
        notice.since = now_usec(CLOCK_MONOTONIC);
        exit = ask(ctl, name);
        if (exit != CTL_OK)
                return exit;
        if (!is_waiting) {
                ctl_print(ctl, "%s: notifications of all dependents are scheduled", name);
                return CTL_OK;
        }
        return follow_to_end(&notice, &follow);
}

static const struct ctl_argument arguments[] = {
        { .name = "NAME", .kind = CTL_CERTIFICATE },
};

static const struct ctl_option options[] = {
        CHANGE_OPTIONS,
};

const struct ctl_command command_notify = {
        .name = "notify",
        .section = CTL_CHANGE,
        .help = "notify all dependents of the current certificate again",
        .more = "Shows the result of each. rekeyd retries a notification that failed; rekeyctl does not wait "
                "for that.",
        .arguments = arguments,
        .n_arguments = ELEMENTSOF(arguments),
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
