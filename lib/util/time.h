#pragma once

/* Time is microseconds since the epoch of its clock, in usec_t, everywhere. */

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

typedef uint64_t usec_t;

#define USEC_INFINITY   UINT64_MAX
#define USEC_PER_MSEC   UINT64_C(1000)
#define USEC_PER_SEC    UINT64_C(1000000)
#define USEC_PER_MINUTE (60 * USEC_PER_SEC)
#define USEC_PER_HOUR   (60 * USEC_PER_MINUTE)
#define USEC_PER_DAY    (24 * USEC_PER_HOUR)

#define PRI_USEC PRIu64

/* The present instant on CLOCK (CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME ...). */
usec_t now_usec(clockid_t clock);

/* A + B without overflow: USEC_INFINITY where the sum does not fit. */
usec_t usec_add(usec_t a, usec_t b);

/* A - B, or 0 where B is later. */
usec_t usec_sub(usec_t a, usec_t b);

/* VALUE * PART / WHOLE, rounded down, for PART <= WHOLE <= 2^32: exact for every VALUE, on 32 bit too. */
usec_t usec_part(usec_t value, uint64_t part, uint64_t whole);

/* WHEN (CLOCK_REALTIME) as "2026-11-20T18:06:53Z" into BUFFER; "never" for USEC_INFINITY. Returns BUFFER. */
#define TIMESTAMP_MAX 32
const char *format_timestamp(char buffer[TIMESTAMP_MAX], usec_t when);

/* SPAN in at most two units, "89d 23h", "4m 10s", "350ms", into BUFFER. Returns BUFFER. */
#define TIMESPAN_MAX 32
const char *format_timespan(char buffer[TIMESPAN_MAX], usec_t span);

/* When something happens that is SPAN away: "in 4m 10s", or "now" for less than a second. Returns BUFFER. */
const char *format_delay(char buffer[TIMESPAN_MAX], usec_t span);
