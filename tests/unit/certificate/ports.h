#pragma once

/* What a part of a certificate stands on, as fakes: timers that are fired by hand, a state file that is saved
 * when the test says so, and a log that is read. A part under test finds these functions instead of the real
 * ones; no loop runs. */

#include <systemd/sd-event.h>

#include "daemon/certificate/core.h"
#include "daemon/observe/metrics.h"
#include "lib/config/config.h"

/* A certificate without any part: config `orders` of a Connector with both URLs, empty state. */
struct ports {
        struct environment env;
        struct metrics metrics;
        struct config_connector connector;
        struct config_certificate config;
        struct state_file *state_file;
        struct core core;
};
void ports_init(struct ports *ports);
void ports_clear(struct ports *ports);

/* Makes generation NUMBER, with a fingerprint of its own, the current one, valid from an hour ago for
 * LIFETIME_USEC. */
void ports_set_current(struct ports *ports, uint64_t number, usec_t lifetime_usec);
const char *ports_fingerprint(uint64_t number, char buffer[FINGERPRINT_HEX]);

/* --- Timers --- */

/* The clock of an armed timer, or -1; and when it is due. */
clockid_t timer_clock(sd_event_source *timer);
usec_t timer_due(sd_event_source *timer);
void timer_fire(sd_event_source *timer);
clockid_t exact_timer_clock(const struct exact_timer *timer);
void exact_timer_fire(struct exact_timer *timer);

/* Timers that are armed; each test ends with none. */
unsigned n_timers(void);
void timers_fail(bool fail); /* from now on a timer cannot be made */
bool loop_was_ended(void);

/* --- The state file --- */

/* Saves so far, and whether the last one is still to be answered. Without a hold, state_file_save_then()
 * answers at once. */
unsigned n_saves(void);
void saves_hold(bool hold);
void saves_answer(int r, const char *error);

/* --- The log --- */

/* The last line with MESSAGE_ID, as "text", or NULL; how many there were; and a field of the last one. */
const char *logged(const char *message_id);
unsigned n_logged(const char *message_id);
const char *logged_field(const char *message_id, const char *field);
