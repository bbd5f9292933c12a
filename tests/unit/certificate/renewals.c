#include "tests/unit/certificate/renewals.h"

#include <check.h>

#include "daemon/loop/path-watch.h"
#include "daemon/loop/set-watch.h"

/* --- Watches: there is nothing to watch --- */

int path_watch_new(_unused_ sd_event *event, _unused_ const char *path, _unused_ enum path_events events,
                   _unused_ watch_function_t function, _unused_ void *userdata, struct path_watch **ret) {
        *ret = NULL;
        return 0;
}

int path_watch_problem(_unused_ const struct path_watch *watch) {
        return 0;
}

struct path_watch *path_watch_free(_unused_ struct path_watch *watch) {
        return NULL;
}

int set_watch_new(_unused_ sd_event *event, _unused_ const char *directory,
                  _unused_ void (*function)(void *userdata), _unused_ void *userdata,
                  struct set_watch **ret) {
        *ret = NULL;
        return 0;
}

int set_watch_problem(_unused_ const struct set_watch *watch) {
        return 0;
}

int set_watch_follow(_unused_ struct set_watch *watch) {
        return 0;
}

struct set_watch *set_watch_free(_unused_ struct set_watch *watch) {
        return NULL;
}

/* --- An attempt whose steps end when the test says so --- */

struct attempt attempt;
bool is_open;
unsigned n_attempts;
enum renewal_step under_way;

struct disk disk;
static struct set set;

struct attempt *attempt_new(_unused_ struct loop_services *services,
                            _unused_ const struct config_certificate *config,
                            _unused_ struct replica *replica, const struct attempt_input *input,
                            void (*done)(void *userdata), void *userdata) {
        ck_assert(!is_open);
        attempt = (struct attempt) { .input = *input, .done = done, .userdata = userdata };
        is_open = true;
        n_attempts++;
        return &attempt;
}

struct attempt *attempt_free(struct attempt *a) {
        if (a) {
                ck_assert(is_open);
                is_open = false;
                under_way = STEP_NONE;
                error_clear(&a->outcome.error);
                free(a->warning);
        }
        return NULL;
}

bool attempt_step_calls(enum renewal_step step) {
        return step == STEP_CONFIGURATION || step == STEP_SIGN || step == STEP_VERIFY;
}

void attempt_start(struct attempt *a, enum renewal_step step) {
        error_clear(&a->outcome.error);
        a->outcome = (struct outcome) { .step = step };
        under_way = step;
}

void attempt_fail(struct attempt *a, enum renewal_step step, int code, const char *sentence,
                  usec_t retry_after_usec) {
        error_clear(&a->outcome.error);
        a->outcome = (struct outcome) { .step = step,
                                        .failure = FAILURE_LOCAL,
                                        .retry_after_usec = retry_after_usec };
        error_set(&a->outcome.error, code, "%s", sentence);
}

const struct outcome *attempt_outcome(const struct attempt *a) {
        return &a->outcome;
}

const struct findings *attempt_findings(const struct attempt *a) {
        return &a->findings;
}

void attempt_set_enrolment(struct attempt *a, bool is_enrolment) {
        a->is_enrolment = is_enrolment;
}

bool attempt_is_enrolment(const struct attempt *a) {
        return a->is_enrolment;
}

bool attempt_accept_not_longer(struct attempt *a) {
        bool known = a->input.accepts_not_longer;

        a->input.accepts_not_longer = true;
        return known;
}

void attempt_pass_over_set(struct attempt *a) {
        a->set_is_passed_over = true;
        a->findings.observation.set = SET_NONE;
        a->findings.observation.expiry = a->findings.observation.not_before = 0;
}

void attempt_pass_over_token(struct attempt *a) {
        a->token_is_passed_over = true;
        a->findings.observation.has_token = false;
}

bool attempt_has_committed(const struct attempt *a) {
        return a->has_committed;
}

char *attempt_take_warning(struct attempt *a) {
        return take_ptr(a->warning);
}

usec_t attempt_step_usec(_unused_ const struct attempt *a) {
        return 1;
}

usec_t attempt_key_cpu_usec(_unused_ const struct attempt *a) {
        return 0;
}

static const struct set *set_on_disk(void) {
        const usec_t now = now_usec(CLOCK_REALTIME);

        set = (struct set) {
                .generation = disk.number,
                .not_before = now + disk.left_usec - 90 * USEC_PER_DAY - USEC_PER_HOUR,
                .effective_expiry = now + disk.left_usec,
                .fingerprint = { disk.number, 0x42 },
        };
        return disk.has_set ? &set : NULL;
}

static enum knowledge seen_after_failure = SET_UNREADABLE;

void end_step(enum failure failure) {
        ck_assert_int_ne(under_way, STEP_NONE);
        if (failure == FAILURE_NONE && under_way == STEP_INSPECT) {
                attempt.findings.set = set_on_disk();
                attempt.findings.token = disk.token;
                attempt.findings.subject = disk.subject;
                attempt.findings.observation = (struct renewal_observation) {
                        .set = disk.has_set ? SET_KNOWN : SET_NONE,
                        .not_before = disk.has_set ? set.not_before : 0,
                        .expiry = disk.has_set ? set.effective_expiry : 0,
                        .has_token = disk.token != 0,
                        .has_untried_token = disk.token != 0 && disk.token != attempt.input.tried_token,
                        .replace_at = attempt.input.replace_asked,
                };
                if (disk.is_outdated) {
                        attempt.findings.replace_since = attempt.input.replace_since > 0
                                                                 ? attempt.input.replace_since
                                                                 : now_usec(CLOCK_REALTIME);
                        attempt.findings.observation.replace_from = attempt.findings.replace_since;
                }
        }
        if (failure == FAILURE_NONE && under_way == STEP_COMMIT) {
                disk.has_set = true;
                disk.number++;
                disk.left_usec = 90 * USEC_PER_DAY;
                disk.subject = disk.next_subject;
                attempt.findings.set = set_on_disk();
                attempt.findings.subject = disk.subject;
                attempt.has_committed = true;
        }
        if (under_way == STEP_CSR) {
                attempt.findings.next_subject = disk.next_subject;
                attempt.outcome.is_other_subject = !streq_null(disk.next_subject, disk.subject);
        }
        if (failure != FAILURE_NONE && under_way == STEP_INSPECT) {
                attempt.findings.observation.set = seen_after_failure;
                if (seen_after_failure == SET_KNOWN) {
                        attempt.findings.set = set_on_disk();
                        attempt.findings.observation.not_before = set.not_before;
                        attempt.findings.observation.expiry = set.effective_expiry;
                }
        }
        attempt.outcome.failure = failure;
        if (failure != FAILURE_NONE)
                error_set(&attempt.outcome.error, -EIO, "no");
        attempt.done(attempt.userdata);
}

void fail_inspection(enum knowledge seen) {
        ck_assert_int_eq(under_way, STEP_INSPECT);
        seen_after_failure = seen;
        end_step(FAILURE_LOCAL);
        seen_after_failure = SET_UNREADABLE;
}

/* --- The certificate --- */

struct ports ports;
struct reporter reporter;
struct renewer renewer;
bool blocked, saves_at_swap;
unsigned n_inspected, n_unread, n_observed, n_begun, n_swaps, n_rotations, n_idle;

static bool is_blocked(_unused_ struct renewer *r) {
        return blocked;
}

static void on_inspected(_unused_ struct renewer *r, _unused_ bool is_first, bool has_failed) {
        n_inspected++;
        n_unread += has_failed ? 1 : 0;
}

static void on_observed(struct renewer *r, _unused_ const struct findings *findings, _unused_ bool closely) {
        n_observed++;
        renewer_continue(r);
}

static void on_begun(_unused_ struct renewer *r) {
        n_begun++;
}

static bool on_swap(_unused_ struct renewer *r) {
        n_swaps++;
        return saves_at_swap;
}

static void on_other_issuers(_unused_ struct renewer *r, _unused_ const struct issuers *before) {
        n_rotations++;
}

static void on_idle(_unused_ struct renewer *r) {
        n_idle++;
}

static void on_changed(_unused_ struct environment *env) {
}

static const struct environment_ops env_ops = { .changed = on_changed };

static const struct renewer_ops ops = {
        .is_blocked = is_blocked,
        .inspected = on_inspected,
        .observed = on_observed,
        .attempt_begins = on_begun,
        .swap_begins = on_swap,
        .other_issuers = on_other_issuers,
        .idle = on_idle,
};

void begin(void) {
        facts_restore(&ports.core.facts, &STATE);
        reporter_clear(&reporter); /* of the run before a restart */
        reporter_init(&reporter, &ports.core, &renewer.renewal);
        ports.core.reporter = &reporter;
        renewer_init(&renewer, &ports.core, &ops);
        ck_assert_int_eq(renewer_configure(&renewer, true, false), 0);
}

void set_up(void) {
        ports_init(&ports);
        ports.env.ops = &env_ops;
        ports.env.slots = (struct slots) { .n_total = 2 };
        ports.config.policy.renew_before = (struct share_or_usec) { .usec = 10 * USEC_PER_DAY };
        ports.config.policy.clock_skew_usec = 5 * USEC_PER_MINUTE;
        memset(&disk, 0, sizeof(disk));
        blocked = saves_at_swap = is_open = false;
        n_inspected = n_unread = n_observed = n_begun = n_swaps = n_rotations = n_idle = n_attempts = 0;
        under_way = STEP_NONE;
        begin();
}

void tear_down(void) {
        renewer_clear(&renewer);
        ck_assert(!is_open);
        reporter_clear(&reporter);
        slots_clear(&ports.env.slots);
        ports_clear(&ports);
}

void put_set(uint8_t number, usec_t left_usec) {
        disk.has_set = true;
        disk.number = number;
        disk.left_usec = left_usec;
}

void walk_to(enum renewal_step step) {
        while (under_way != step)
                end_step(FAILURE_NONE);
}
