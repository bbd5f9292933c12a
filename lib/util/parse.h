#pragma once

/* Numbers with units, as people write them in the configuration. */

#include "lib/util/macro.h"
#include "lib/util/time.h"

/* "90s", "30m", "12h", "30d", "500ms"; one unit, no sum, no sign. A bare number is refused, except 0. The
 * result is in microseconds. 0, -EINVAL for bad syntax, -ERANGE when it does not fit. */
int parse_duration(const char *text, usec_t *ret_usec);

/* "33%" or "12.5%": the share in millionths (330000, 125000), at most 100%. 0, -EINVAL or -ERANGE. */
#define SHARE_ONE 1000000u
int parse_share(const char *text, unsigned *ret_ppm);

/* An unsigned decimal number between MIN and MAX. 0, -EINVAL or -ERANGE. */
int parse_unsigned(const char *text, uint64_t min, uint64_t max, uint64_t *ret);

/* "0640" or "640": permission bits, octal, at most 0777. 0, -EINVAL or -ERANGE. */
int parse_mode(const char *text, unsigned *ret_mode);

/* An instant on CLOCK_REALTIME, in whole seconds: "2026-11-20T18:06:53Z", with an offset "+01:00" in place of
 * Z, or a date alone, which begins at midnight UTC. From 1970 on. 0, -EINVAL for bad syntax, -ERANGE for a
 * day or a time that there is not. */
int parse_timestamp(const char *text, usec_t *ret_usec);

/* true/false, yes/no, on/off. 0 or -EINVAL. */
int parse_bool(const char *text, bool *ret);

/* The candidate nearest to WORD by edit distance, or NULL when none is near enough to be a likely slip of the
 * pen. CANDIDATES ends with NULL. The result is borrowed from CANDIDATES. */
const char *nearest_word(const char *word, const char *const *candidates);
