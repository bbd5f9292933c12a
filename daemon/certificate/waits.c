/* An expiry is an instant on the wall clock; a back-off is a span, which a suspended machine has waited as
 * well. */

#include "daemon/certificate/waits.h"

#include <fcntl.h>
#include <stdio.h>

#include "daemon/certificate/file-watches.h"
#include "daemon/loop/path-watch.h"
#include "daemon/loop/place.h"
#include "daemon/loop/set-watch.h"
#include "lib/util/log.h"

static void on_timer(struct exact_timer *timer) {
        struct waits *waits = container_of(timer, struct waits, timer);

        waits->ops->time_came(waits);
}

void waits_init(struct waits *waits, const struct core *core, const struct waits_ops *ops) {
        *waits = (struct waits) { .core = core, .ops = ops, .timer.came = on_timer };
}

static void arm_timer(struct waits *waits, const struct renewal *renewal) {
        struct environment *env = waits->core->env;
        int r = 0;

        exact_timer_stop(&waits->timer);
        waits->backoff_until = 0;
        if (renewal->backoff_usec != USEC_INFINITY) {
                waits->backoff_until = usec_add(now_usec(CLOCK_BOOTTIME), renewal->backoff_usec);
                r = exact_timer_set(&env->backoffs, &waits->timer, waits->backoff_until);
        } else if (renewal->due_usec != USEC_INFINITY)
                r = exact_timer_set(&env->due, &waits->timer, renewal->due_usec);
        if (r < 0) {
                log_error("%s: cannot set a timer: %s", waits->core->config->name, strerrordesc_np(-r));
                sd_event_exit(env->services.event, EXIT_FAILURE);
        }
}

/* PATH cannot be watched, for PROBLEM, or can again: one line for each. */
static void note_problem(struct waits *waits, const char *what, const char *path, int problem,
                         bool *is_unwatched) {
        _cleanup_(freep) char *text = NULL;
        const char *fix = place_problem_fix(problem);
        char span[TIMESPAN_MAX];

        if ((problem < 0) == *is_unwatched)
                return;
        *is_unwatched = problem < 0;
        if (problem == 0) {
                log_info("%s: %s %s is watched again", waits->core->config->name, what, path);
                return;
        }
        if (asprintf(&text, "%s %s is not watched: %s; inspecting it every %s%s%s", what, path,
                     place_problem_text(problem), format_timespan(span, PLACE_POLL_USEC),
                     fix ? "; fix: " : "", fix ? fix : "") < 0)
                text = NULL;
        waits->ops->warn(waits, text ? text : "out of memory");
}

/* Only for another file than the last inspection read: a token is not tried again at each noise in its
 * directory. */
static void on_token_event(void *userdata) {
        struct waits *waits = userdata;
        const struct core *core = waits->core;
        struct file_identity identity;

        if (waits->is_paused) {
                waits->token_came = true; /* it may have been read already */
                return;
        }
        if (file_identify(AT_FDCWD, core->config->token_file, &identity) == 0 &&
            file_identity_hash(&identity) != core->facts.token_file)
                waits->ops->token_came(waits);
}

/* The token file is watched while a token would be of use. */
static void arm_token_watch(struct waits *waits, const struct renewal *renewal) {
        const char *path = waits->core->config->token_file;
        int r;

        if (!path || renewal->state == RENEWAL_CURRENT) {
                waits->token_watch = path_watch_free(waits->token_watch);
                waits->token_came = waits->token_is_unwatched = false;
                return;
        }
        if (waits->token_watch) {
                note_problem(waits, "token file", path, path_watch_problem(waits->token_watch),
                             &waits->token_is_unwatched);
                if (waits->token_came) {
                        waits->token_came = false;
                        on_token_event(waits);
                }
                return;
        }
        r = path_watch_new(waits->core->env->services.event, path, PATH_COMES, on_token_event, waits,
                           &waits->token_watch);
        if (r == 0)
                r = path_watch_problem(waits->token_watch);
        note_problem(waits, "token file", path, r, &waits->token_is_unwatched);
        /* It may have come between the inspection and the watch. */
        on_token_event(waits);
}

void waits_arm(struct waits *waits, const struct renewal *renewal) {
        waits->is_paused = false;
        arm_timer(waits, renewal);
        arm_token_watch(waits, renewal);
        file_watches_resume(waits->file_watches);
}

void waits_pause(struct waits *waits) {
        waits->is_paused = true;
        exact_timer_stop(&waits->timer);
}

static void on_set_event(void *userdata) {
        struct waits *waits = userdata;

        waits->ops->files_changed(waits);
}

/* An export that was deleted, or a new passphrase, is found at once, as a change of the set is. One that
 * cannot be watched is looked for from time to time. */
static void watch_files(struct waits *waits) {
        const struct core *core = waits->core;

        if (!waits->has_files && file_watches_new(core->env->services.event, core->config, on_set_event,
                                                  waits, &waits->file_watches) < 0)
                log_error("%s: out of memory; a change of its exports is found at the next inspection",
                          core->config->name);
        waits->has_files = true;
        file_watches_note(waits->file_watches);
        file_watches_pause(waits->file_watches);
}

void waits_settle_file(struct waits *waits, const char *path) {
        file_watches_settle(waits->file_watches, path);
}

void waits_forget_files(struct waits *waits) {
        waits->file_watches = file_watches_free(waits->file_watches);
        waits->has_files = false;
}

int waits_prepare(struct waits *waits) {
        const struct core *core = waits->core;

        if (core->env->once || waits->set_watch)
                return 0;
        return set_watch_new(core->env->services.event, core->config->directory, on_set_event, waits,
                             &waits->set_watch);
}

void waits_watch_set(struct waits *waits) {
        const struct core *core = waits->core;
        int r;

        if (core->env->once)
                return;
        r = waits_prepare(waits);
        if (r == 0)
                r = set_watch_follow(waits->set_watch);
        if (r == 0)
                r = set_watch_problem(waits->set_watch);
        note_problem(waits, "directory", core->config->directory, r, &waits->is_unwatched);
        watch_files(waits);
}

void waits_set_backoff(struct waits *waits, usec_t span) {
        waits->backoff_until = usec_add(now_usec(CLOCK_BOOTTIME), span);
}

usec_t waits_backoff_left(const struct waits *waits) {
        return usec_sub(waits->backoff_until, now_usec(CLOCK_BOOTTIME));
}

void waits_stop(struct waits *waits) {
        exact_timer_stop(&waits->timer);
        waits->token_watch = path_watch_free(waits->token_watch);
        waits->set_watch = set_watch_free(waits->set_watch);
        waits_forget_files(waits);
}
