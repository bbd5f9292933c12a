#pragma once

/* The renewer with an attempt that does what the test says. */

#include "daemon/certificate/renewer.h"
#include "tests/unit/certificate/ports.h"

/* An attempt whose steps end when the test says so. */
struct attempt {
        struct attempt_input input;
        struct outcome outcome;
        struct findings findings;
        bool is_enrolment, has_committed, set_is_passed_over, token_is_passed_over;
        char *warning;
        void (*done)(void *userdata);
        void *userdata;
};

extern struct attempt attempt;
extern bool is_open; /* it is there */
extern unsigned n_attempts;
extern enum renewal_step under_way; /* STEP_NONE: none is */

/* What the next inspection finds. */
extern struct disk {
        bool has_set;
        uint8_t number;
        usec_t left_usec; /* to its expiry, of 90 days */
        uint64_t token;
        const char *subject, *next_subject; /* of the set; that the Connector names */
        bool is_outdated;                   /* the set is to be replaced */
} disk;

extern struct ports ports;
extern struct reporter reporter;
extern struct renewer renewer;
extern bool blocked, saves_at_swap;
extern unsigned n_inspected, n_unread, n_observed, n_begun, n_swaps, n_rotations, n_idle;

#define STATE (ports.state_file->state)

void set_up(void);
void tear_down(void);

/* The renewer begins, with what is in STATE; as set_up() does with an empty one. */
void begin(void);

void put_set(uint8_t number, usec_t left_usec);

/* The step under way ends: well, or with FAILURE. Ends each step well, from the one under way to STEP. */
void end_step(enum failure failure);

/* An inspection fails, and the set is SEEN as that all the same. */
void fail_inspection(enum knowledge seen);
void walk_to(enum renewal_step step);
