#pragma once

/* Times as people read them in a table: short, and in the machine's time zone. */

#include "lib/util/macro.h"
#include "lib/util/time.h"

/* As format_timespan(), with its first unit only, and none below seconds: "89d". */
const char *format_short_span(char buffer[TIMESPAN_MAX], usec_t span);

/* WHEN (CLOCK_REALTIME) as "2026-11-20T18:06:53Z"; with another zone in TZ, "2026-11-20T19:06:53+01:00".
 * "never" for USEC_INFINITY, "unknown" for 0. */
#define LOCAL_TIME_MAX 48
const char *format_local_time(char buffer[LOCAL_TIME_MAX], usec_t when);

/* "in 3d 4h", "2h 5m ago", "now". */
#define DISTANCE_MAX (TIMESPAN_MAX + 8)
const char *format_distance(char buffer[DISTANCE_MAX], usec_t when, usec_t now);

/* Both: "2026-11-20T18:06:53Z, in 3d 4h". */
#define MOMENT_MAX (LOCAL_TIME_MAX + DISTANCE_MAX)
const char *format_moment(char buffer[MOMENT_MAX], usec_t when, usec_t now);

/* PERCENT of COLUMNS as a bar. BUFFER has room for 3 bytes for each column, and the end. Returns BUFFER. */
#define BAR_COLUMNS_MAX 40u
const char *format_bar(char buffer[3 * BAR_COLUMNS_MAX + 1], unsigned percent, unsigned columns,
                       bool is_utf8);
