/*
 * One stream of events for all certificates, and one request for each. What ends the waiting for one is the
 * event that has the operation's name; what is shown meanwhile are the steps of its attempt. rekeyd has the
 * slots: however many are requested at once, limits.concurrent_renewals applies.
 */

#include "ctl/operation.h"

#include <stdio.h>

#include "ctl/change.h"
#include "ctl/follow.h"
#include "ctl/progress.h"
#include "ctl/verdict.h"
#include "ctl/view.h"

struct task {
        const char *name;
        enum task_state { TASK_NEW, TASK_ASKED, TASK_DELIVERING, TASK_OVER } state;
        const char *doing; /* NULL: it waits for its turn */
        usec_t since;
        int exit;
};

struct tasks {
        struct ctl *ctl;
        const struct operation *operation;
        struct progress *progress;
        struct task *tasks;    /* in the order of the command line */
        struct task **by_name; /* sorted */
        size_t n, n_over, n_failed;
        usec_t drawn_at;
};

static void tasks_clear(struct tasks *tasks) {
        progress_free(tasks->progress);
        free(tasks->tasks);
        free(tasks->by_name);
}

static int compare_tasks(const void *a, const void *b) {
        return strcmp((*(struct task *const *)a)->name, (*(struct task *const *)b)->name);
}

static int compare_name(const void *name, const void *task) {
        return strcmp(name, (*(struct task *const *)task)->name);
}

static int tasks_init(struct ctl *ctl, const struct operation *operation, struct tasks *ret) {
        const size_t n = operation->n_certificates;

        ret->ctl = ctl;
        ret->operation = operation;
        ret->progress = progress_new(ctl);
        ret->tasks = calloc(n + 1, sizeof(*ret->tasks));
        ret->by_name = calloc(n + 1, sizeof(*ret->by_name));
        if (!ret->progress || !ret->tasks || !ret->by_name)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        for (size_t i = 0; i < n; i++) {
                ret->tasks[i].name = operation->certificates[i];
                ret->by_name[i] = &ret->tasks[i];
        }
        ret->n = n;
        qsort(ret->by_name, n, sizeof(*ret->by_name), compare_tasks);
        /* One that is named twice is requested once. */
        for (size_t i = 1; i < n; i++)
                if (streq(ret->by_name[i]->name, ret->by_name[i - 1]->name)) {
                        ret->by_name[i]->state = TASK_OVER;
                        ret->n_over++;
                }
        return CTL_OK;
}

/* The first of its name. */
static struct task *find_task(const struct tasks *tasks, const char *name) {
        struct task **found =
                name ? bsearch(name, tasks->by_name, tasks->n, sizeof(*tasks->by_name), compare_name) : NULL;

        while (found && found > tasks->by_name && streq(found[-1]->name, name))
                found--;
        return found ? *found : NULL;
}

/* --- What is under way --- */

/* What follows a step. The step after a certain one may be another one than here, where something is found
 * that an earlier attempt has left; the next event puts it right. */
static const struct {
        const char *step, *next;
} steps[] = {
        { "inspect", "preparing" },
        { "key", "fetching the configuration" },
        { "configuration", "building the CSR" },
        { "csr", "signing" },
        { "sign", "checking the reply" },
        { "gate", "verifying the new certificate" },
        { "verify", "swapping the files" },
        { "commit", "swapping the files" },
};

static const char *doing_after(const char *step) {
        for (size_t i = 0; step && i < ELEMENTSOF(steps); i++)
                if (streq(steps[i].step, step))
                        return steps[i].next;
        return "working";
}

static void draw(struct tasks *tasks) {
        const size_t room = progress_room(tasks->progress);
        struct progress_row rows[64];
        size_t n = 0, n_waiting = 0;
        char summary[100];

        if (room == 0)
                return;
        for (size_t i = 0; i < tasks->n; i++) {
                const struct task *task = &tasks->tasks[i];

                if (task->state == TASK_OVER)
                        continue;
                if (!task->doing && tasks->n > 1)
                        n_waiting++;
                else if (n < room && n < ELEMENTSOF(rows))
                        rows[n++] = (struct progress_row) {
                                .label = task->name,
                                .doing = task->doing ? task->doing : "waiting for its turn",
                                .since = task->since,
                        };
        }
        snprintf(summary, sizeof(summary), "%zu of %zu done, %zu failed, %zu waiting", tasks->n_over,
                 tasks->n, tasks->n_failed, n_waiting);
        progress_draw(tasks->progress, rows, n, tasks->n > 1 ? summary : NULL);
        tasks->drawn_at = now_usec(CLOCK_MONOTONIC);
}

static bool is_time_to_draw(const struct tasks *tasks) {
        return now_usec(CLOCK_MONOTONIC) - tasks->drawn_at >= PROGRESS_TICK_USEC;
}

/* --- What has ended --- */

static void end_task(struct tasks *tasks, struct task *task, int exit) {
        task->state = TASK_OVER;
        task->exit = exit;
        tasks->n_over++;
        tasks->n_failed += exit != CTL_OK;
}

static void fail_task(struct tasks *tasks, struct task *task, int exit, const char *sentence) {
        const size_t n = strlen(task->name);
        const char *quoted = strchr(sentence, '\'');
        const bool has_name = (has_prefix(sentence, task->name) && sentence[n] == ' ') ||
                              (quoted && has_prefix(quoted + 1, task->name) && quoted[n + 1] == '\'');

        progress_print(tasks->progress, true, has_name ? NULL : task->name, "%s", sentence);
        end_task(tasks, task, exit);
}

/* rekeyd says where there is somebody to be told; the end of that is an event of its own. */
static void end_or_deliver(struct tasks *tasks, struct task *task, const json_t *event) {
        if (!streq_null(view_string(event, "delivery"), "pending")) {
                end_task(tasks, task, CTL_OK);
                return;
        }
        task->state = TASK_DELIVERING;
        task->doing = "notifying dependents";
}

static void finish_task(struct tasks *tasks, struct task *task, const json_t *event) {
        const char *message = view_string(event, "message"), *name = view_string(event, "event");
        char span[TIMESPAN_MAX];
        usec_t took;

        if (streq_null(name, "failed") || streq_null(name, "over-budget")) {
                const char *again = tasks->operation->try_again;
                _cleanup_(freep) char *advice = again ? verdict_advise(event, task->name, again) : NULL;

                progress_print(tasks->progress, true, task->name, "%s%s%s", message ? message : "it failed",
                               advice ? "; " : "", advice ? advice : "");
                end_task(tasks, task, streq(name, "over-budget") ? CTL_OVER_BUDGET : CTL_FAILED);
                return;
        }
        if (streq_null(name, "not-probed")) {
                progress_print(tasks->progress, true, task->name, "%s", message ? message : "not probed");
                end_task(tasks, task, CTL_FAILED);
                return;
        }
        took = usec_sub(now_usec(CLOCK_MONOTONIC), task->since);
        if (tasks->operation->is_quiet) {
                end_or_deliver(tasks, task, event);
                return;
        }
        if (tasks->ctl->term.is_terminal && took >= USEC_PER_SEC)
                progress_print(tasks->progress, false, task->name, "%s; took %s", message ? message : "done",
                               format_timespan(span, took));
        else
                progress_print(tasks->progress, false, task->name, "%s", message ? message : "done");
        end_or_deliver(tasks, task, event);
}

static void finish_delivery(struct tasks *tasks, struct task *task, const json_t *event, bool has_failed) {
        const char *message = view_string(event, "message");

        if (has_failed)
                progress_print(tasks->progress, true, task->name, "%s; see: rekeyctl show %s",
                               message ? message : "not delivered", task->name);
        else if (!tasks->operation->is_quiet)
                progress_print(tasks->progress, false, task->name, "%s", message ? message : "delivered");
        end_task(tasks, task, has_failed ? CTL_NOT_DELIVERED : CTL_OK);
}

static void take_event(struct tasks *tasks, const json_t *event) {
        struct task *task = find_task(tasks, view_string(event, "certificate"));
        const char *name = view_string(event, "event");

        if (task && task->state == TASK_DELIVERING &&
            (streq_null(name, "delivered") || streq_null(name, "not-delivered")))
                finish_delivery(tasks, task, event, streq(name, "not-delivered"));
        if (!task || task->state != TASK_ASKED)
                return;
        if (streq_null(view_string(event, "operation"), tasks->operation->name))
                finish_task(tasks, task, event);
        else if (streq_null(name, "warning") && view_string(event, "message"))
                progress_print(tasks->progress, false, task->name, "%s", view_string(event, "message"));
        else if (streq_null(name, "begun"))
                task->doing = "preparing";
        else if (streq_null(name, "step"))
                task->doing = doing_after(view_string(event, "step"));
}

/* Ends all tasks in STATE; one line has the reason, however many they are. */
static void give_up_state(struct tasks *tasks, enum task_state state, int exit, const char *reason,
                          const char *see) {
        const char *name = NULL;
        char label[48] = "";
        size_t n = 0;

        for (size_t i = 0; i < tasks->n; i++)
                if (tasks->tasks[i].state == state) {
                        name = tasks->tasks[i].name;
                        n++;
                        end_task(tasks, &tasks->tasks[i], exit);
                }
        if (n > 1)
                snprintf(label, sizeof(label), "%zu certificates", n);
        if (n > 0)
                progress_print(tasks->progress, true, n > 1 ? label : name, "%s%s%s%s", reason, see,
                               n == 1 && *see ? " " : "", n == 1 && *see ? name : "");
}

/* The tasks that are left when no more events will come. */
static void give_up(struct tasks *tasks, enum follow_result result) {
        give_up_state(tasks, TASK_ASKED, follow_exit(result), follow_reason(result),
                      "; see: rekeyctl status");
        give_up_state(tasks, TASK_DELIVERING, follow_exit(result),
                      "the set is in use; it is unknown whether all dependents have it",
                      "; see: rekeyctl status");
        give_up_state(tasks, TASK_NEW, follow_exit(result), "not requested", "");
}

/* --- Asking, and waiting --- */

/* Takes what is there, or what comes within WAIT_USEC. False: nothing more will. */
static bool listen(struct tasks *tasks, struct follow *follow, usec_t wait_usec) {
        enum follow_result result;

        for (;;) {
                _cleanup_(json_decrefp) json_t *event = NULL;

                result = follow_next(follow, wait_usec, &event);
                if (result != FOLLOW_EVENT)
                        break;
                take_event(tasks, event);
                wait_usec = 0; /* all that is there, and then draw */
                if (tasks->n_over == tasks->n || is_time_to_draw(tasks))
                        return true;
        }
        if (result == FOLLOW_NOTHING ||
            (result == FOLLOW_TIMED_OUT && wait_usec == 0 && tasks->n_over == tasks->n))
                return true;
        give_up(tasks, result);
        return false;
}

/* False: rekeyd cannot be asked. */
static bool ask(struct tasks *tasks, struct task *task) {
        _cleanup_(freep) char *path = NULL, *sentence = NULL;
        int exit;

        if (asprintf(&path, "/v1/certificates/%s/%s", task->name, tasks->operation->name) < 0) {
                path = NULL;
                fail_task(tasks, task, CTL_FAILED, "out of memory");
                return true;
        }
        task->since = now_usec(CLOCK_MONOTONIC);
        exit = change_ask_quietly(tasks->ctl, "POST", path,
                                  tasks->operation->body ? *tasks->operation->body : NULL, NULL, &sentence);
        if (exit != CTL_OK) {
                fail_task(tasks, task, exit, sentence ? sentence : "out of memory");
                return exit != CTL_UNREACHABLE;
        }
        task->state = TASK_ASKED;
        return true;
}

/* The rest would get the same answer. */
static void skip_rest(struct tasks *tasks) {
        for (size_t i = 0; i < tasks->n; i++)
                if (tasks->tasks[i].state == TASK_NEW)
                        end_task(tasks, &tasks->tasks[i], CTL_UNREACHABLE);
}

/* It may hold a token, and waiting may take long. */
static void release_body(struct tasks *tasks) {
        if (tasks->operation->body)
                json_decref(take_ptr(*tasks->operation->body));
}

static void ask_and_wait(struct tasks *tasks, struct follow *follow) {
        for (size_t i = 0; i < tasks->n; i++) {
                if (tasks->tasks[i].state == TASK_OVER)
                        continue;
                /* An operation that ended before is another client's. */
                if (!listen(tasks, follow, 0))
                        return;
                if (!ask(tasks, &tasks->tasks[i]))
                        skip_rest(tasks);
                if (is_time_to_draw(tasks))
                        draw(tasks);
        }
        release_body(tasks);
        while (tasks->n_over < tasks->n) {
                if (!listen(tasks, follow, PROGRESS_TICK_USEC))
                        return;
                draw(tasks);
        }
}

static void ask_only(struct tasks *tasks) {
        for (size_t i = 0; i < tasks->n; i++) {
                struct task *task = &tasks->tasks[i];

                if (task->state == TASK_OVER)
                        continue;
                if (!ask(tasks, task)) {
                        skip_rest(tasks);
                        return;
                }
                if (task->state == TASK_ASKED) {
                        progress_print(tasks->progress, false, task->name, "%s", tasks->operation->asked);
                        end_task(tasks, task, CTL_OK);
                }
        }
}

static int sum_up(const struct tasks *tasks) {
        int exit = CTL_OK;

        for (size_t i = 0; i < tasks->n; i++) {
                const int other = tasks->tasks[i].exit;

                if (other != CTL_OK)
                        exit = exit == CTL_OK || exit == other ? other : CTL_FAILED;
        }
        return exit;
}

int operation_run(struct ctl *ctl, const struct operation *operation) {
        _cleanup_(tasks_clear) struct tasks tasks = { 0 };
        _cleanup_(follow_end) struct follow follow = { 0 };
        bool is_waiting;
        int exit;

        if (!change_wants_wait(ctl, &is_waiting))
                return CTL_USAGE;
        exit = tasks_init(ctl, operation, &tasks);
        if (exit != CTL_OK)
                return exit;
        if (!is_waiting || operation->is_planned) {
                ask_only(&tasks);
                return sum_up(&tasks);
        }
        exit = follow_begin(ctl, operation->n_certificates == 1 ? operation->certificates[0] : NULL, &follow);
        if (exit != CTL_OK)
                return exit;
        ask_and_wait(&tasks, &follow);
        return sum_up(&tasks);
}
