#include "tests/unit/certificate/ports.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>

#include "daemon/observe/events.h"

/* --- Timers --- */

#define TIMERS_MAX 16

struct sd_event_source {
        clockid_t clock;
        uint64_t due;
        sd_event_time_handler_t handler;
        void *userdata;
        bool is_used;
};

static struct sd_event_source timers[TIMERS_MAX];
static bool no_timers, has_ended;

int sd_event_add_time(_unused_ sd_event *e, sd_event_source **s, clockid_t clock, uint64_t usec,
                      _unused_ uint64_t accuracy, sd_event_time_handler_t callback, void *userdata) {
        if (no_timers)
                return -ENOMEM;
        for (size_t i = 0; i < TIMERS_MAX; i++)
                if (!timers[i].is_used) {
                        timers[i] = (struct sd_event_source) { clock, usec, callback, userdata, true };
                        *s = &timers[i];
                        return 0;
                }
        ck_abort_msg("more than %d timers", TIMERS_MAX);
}

int sd_event_add_time_relative(sd_event *e, sd_event_source **s, clockid_t clock, uint64_t usec,
                               uint64_t accuracy, sd_event_time_handler_t callback, void *userdata) {
        return sd_event_add_time(e, s, clock, now_usec(clock) + usec, accuracy, callback, userdata);
}

sd_event_source *sd_event_source_disable_unref(sd_event_source *s) {
        if (s) {
                ck_assert(s->is_used);
                s->is_used = false;
        }
        return NULL;
}

static struct sd_event_source *source_of(const struct exact_timer *timer) {
        for (size_t i = 0; i < TIMERS_MAX; i++)
                if (timers[i].is_used && timers[i].userdata == timer)
                        return &timers[i];
        return NULL;
}

int exact_timer_set(struct exact_timers *clock, struct exact_timer *timer, usec_t when) {
        sd_event_source *source;

        exact_timer_stop(timer);
        timer->when = when;
        return sd_event_add_time(NULL, &source, clock->clock, when, 0, NULL, timer);
}

void exact_timer_stop(struct exact_timer *timer) {
        sd_event_source_disable_unref(source_of(timer));
}

clockid_t exact_timer_clock(const struct exact_timer *timer) {
        return timer_clock(source_of(timer));
}

void exact_timer_fire(struct exact_timer *timer) {
        ck_assert_ptr_nonnull(source_of(timer));
        exact_timer_stop(timer);
        timer->came(timer);
}

int sd_event_exit(_unused_ sd_event *e, _unused_ int code) {
        has_ended = true;
        return 0;
}

clockid_t timer_clock(sd_event_source *timer) {
        return timer && timer->is_used ? timer->clock : -1;
}

usec_t timer_due(sd_event_source *timer) {
        ck_assert_ptr_nonnull(timer);
        return timer->due;
}

void timer_fire(sd_event_source *timer) {
        ck_assert_ptr_nonnull(timer);
        ck_assert(timer->is_used);
        ck_assert_int_eq(timer->handler(timer, timer->due, timer->userdata), 0);
}

unsigned n_timers(void) {
        unsigned n = 0;

        for (size_t i = 0; i < TIMERS_MAX; i++)
                n += timers[i].is_used ? 1 : 0;
        return n;
}

void timers_fail(bool fail) {
        no_timers = fail;
}

bool loop_was_ended(void) {
        return has_ended;
}

/* --- The state file --- */

static unsigned saves;
static bool is_held;
static struct {
        void (*saved)(int r, const char *error, void *userdata);
        void *userdata;
} waiter;

void state_file_save(_unused_ struct state_file *state_file) {
        saves++;
}

void state_file_save_then(_unused_ struct state_file *state_file,
                          void (*saved)(int r, const char *error, void *userdata), void *userdata) {
        saves++;
        ck_assert_msg(!waiter.saved, "two wait for the state file");
        waiter.saved = saved;
        waiter.userdata = userdata;
        if (!is_held)
                saves_answer(0, NULL);
}

unsigned n_saves(void) {
        return saves;
}

void saves_hold(bool hold) {
        is_held = hold;
}

void saves_answer(int r, const char *error) {
        void (*saved)(int r, const char *error, void *userdata) = take_ptr(waiter.saved);

        ck_assert_ptr_nonnull(saved);
        saved(r, error, waiter.userdata);
}

/* --- The log --- */

#define LINES_MAX  64
#define FIELDS_MAX 16

static struct {
        const char *message_id;
        char *text;
        char *names[FIELDS_MAX], *values[FIELDS_MAX];
} lines[LINES_MAX];
static size_t n_lines;

void events_emit(_unused_ struct events *events, _unused_ struct state_file *state_file,
                 _unused_ int priority, const char *message_id, const struct log_field *fields,
                 size_t n_fields, const char *format, ...) {
        va_list args;

        ck_assert_uint_lt(n_lines, LINES_MAX);
        ck_assert_uint_le(n_fields, FIELDS_MAX);
        lines[n_lines].message_id = message_id;
        va_start(args, format);
        ck_assert_int_ge(vasprintf(&lines[n_lines].text, format, args), 0);
        va_end(args);
        for (size_t i = 0; i < n_fields; i++) {
                lines[n_lines].names[i] = strdup(fields[i].name);
                lines[n_lines].values[i] = fields[i].value ? strdup(fields[i].value) : NULL;
        }
        n_lines++;
}

void events_stream(_unused_ struct events *events, _unused_ const char *event,
                   _unused_ const struct log_field *fields, _unused_ size_t n_fields,
                   _unused_ const char *message) {
}

const char *events_name(const char *message_id) {
        return message_id;
}

static size_t find_line(const char *message_id) {
        for (size_t i = n_lines; i-- > 0;)
                if (streq_null(lines[i].message_id, message_id))
                        return i;
        return LINES_MAX;
}

const char *logged(const char *message_id) {
        size_t i = find_line(message_id);

        return i < LINES_MAX ? lines[i].text : NULL;
}

unsigned n_logged(const char *message_id) {
        unsigned n = 0;

        for (size_t i = 0; i < n_lines; i++)
                n += streq_null(lines[i].message_id, message_id) ? 1 : 0;
        return n;
}

const char *logged_field(const char *message_id, const char *field) {
        size_t i = find_line(message_id);

        for (size_t k = 0; i < LINES_MAX && k < FIELDS_MAX && lines[i].names[k]; k++)
                if (streq(lines[i].names[k], field))
                        return lines[i].values[k];
        return NULL;
}

static void forget_lines(void) {
        for (size_t i = 0; i < n_lines; i++) {
                free(lines[i].text);
                for (size_t k = 0; k < FIELDS_MAX; k++) {
                        free(lines[i].names[k]);
                        free(lines[i].values[k]);
                }
        }
        memset(lines, 0, sizeof(lines));
        n_lines = 0;
}

/* --- The certificate --- */

void ports_init(struct ports *ports) {
        *ports = (struct ports) {
                .env = { .issuances_per_hour = 6 },
                .connector = { .name = (char *)"ucl",
                               .url = (char *)"https://connector.example.com/secured",
                               .enrol_url = (char *)"https://connector.example.com/token" },
                .config = { .name = (char *)"orders", .directory = (char *)"/orders" },
        };
        ports->env.observers.metrics = &ports->metrics;
        ports->config.connector = &ports->connector;
        ports->config.policy.key.bits = 2048;
        ports->core.env = &ports->env;
        ports->env.due.clock = CLOCK_REALTIME;
        ports->env.backoffs.clock = CLOCK_BOOTTIME;
        ports->core.config = &ports->config;
        ports->state_file = calloc(1, sizeof(*ports->state_file) + 1);
        ck_assert_ptr_nonnull(ports->state_file);
        ports->core.state_file = ports->state_file;
        log_configure(LOG_FORMAT_TEXT, LOG_EMERG);
        saves = 0;
        is_held = no_timers = has_ended = false;
        waiter.saved = NULL;
        memset(timers, 0, sizeof(timers));
        forget_lines();
}

void ports_clear(struct ports *ports) {
        state_clear(&ports->state_file->state);
        free(ports->state_file);
        forget_lines();
        ck_assert_uint_eq(n_timers(), 0);
}

const char *ports_fingerprint(uint64_t number, char buffer[FINGERPRINT_HEX]) {
        uint8_t bytes[FINGERPRINT_SIZE] = { (uint8_t)number, 0x42 };

        return hex_format(buffer, bytes, sizeof(bytes));
}

void ports_set_current(struct ports *ports, uint64_t number, usec_t lifetime_usec) {
        struct set set = {
                .generation = number,
                .not_before = now_usec(CLOCK_REALTIME) - USEC_PER_HOUR,
                .fingerprint = { (uint8_t)number, 0x42 },
        };

        set.effective_expiry = set.not_before + lifetime_usec;
        facts_observe(&ports->core.facts, &set, 0, 0);
}
