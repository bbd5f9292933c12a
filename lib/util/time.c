/* Reading clocks and writing times for people. Parsing of durations lives in parse.c. */

#include "lib/util/time.h"

#include <assert.h>
#include <stdio.h>

#include "lib/util/macro.h"

/* Certificates expire after 2038. */
_Static_assert(sizeof(time_t) >= 8, "time_t has 64 bits; on 32 bit by -D_TIME_BITS=64");

usec_t now_usec(clockid_t clock) {
        struct timespec ts;

        if (clock_gettime(clock, &ts) < 0)
                abort(); /* only an unknown clock id fails */
        return (usec_t)ts.tv_sec * USEC_PER_SEC + (usec_t)ts.tv_nsec / 1000;
}

usec_t usec_add(usec_t a, usec_t b) {
        usec_t sum;

        return __builtin_add_overflow(a, b, &sum) ? USEC_INFINITY : sum;
}

usec_t usec_sub(usec_t a, usec_t b) {
        if (a == USEC_INFINITY)
                return USEC_INFINITY;
        return a > b ? a - b : 0;
}

usec_t usec_part(usec_t value, uint64_t part, uint64_t whole) {
        assert(part <= whole && whole > 0 && whole <= UINT64_C(1) << 32);

        /* VALUE = n * WHOLE + rest: n * PART is at most VALUE, and rest * PART less than 2^64. */
        return value / whole * part + value % whole * part / whole;
}

const char *format_timestamp(char buffer[TIMESTAMP_MAX], usec_t when) {
        time_t sec = (time_t)(when / USEC_PER_SEC);
        struct tm tm;

        if (when == USEC_INFINITY || !gmtime_r(&sec, &tm) ||
            strftime(buffer, TIMESTAMP_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
                snprintf(buffer, TIMESTAMP_MAX, "never");
        return buffer;
}

const char *format_timespan(char buffer[TIMESPAN_MAX], usec_t span) {
        static const struct {
                const char *name;
                usec_t usec;
        } units[] = {
                { "d", USEC_PER_DAY }, { "h", USEC_PER_HOUR },  { "m", USEC_PER_MINUTE },
                { "s", USEC_PER_SEC }, { "ms", USEC_PER_MSEC },
        };

        if (span == USEC_INFINITY) {
                snprintf(buffer, TIMESPAN_MAX, "forever");
                return buffer;
        }

        for (size_t i = 0; i < ELEMENTSOF(units); i++) {
                usec_t whole = span / units[i].usec, rest = span % units[i].usec;

                if (whole == 0)
                        continue;

                /* A second unit only where it helps: "4m 10s" but "3s", not "3s 20ms". */
                unsigned next = i + 1 < ELEMENTSOF(units) && units[i].usec > USEC_PER_SEC
                                        ? (unsigned)(rest / units[i + 1].usec) % 60
                                        : 0; /* below 60 in any case; this lets compilers see that it fits */
                if (next > 0)
                        snprintf(buffer, TIMESPAN_MAX, "%" PRIu64 "%s %u%s", whole, units[i].name, next,
                                 units[i + 1].name);
                else
                        snprintf(buffer, TIMESPAN_MAX, "%" PRIu64 "%s", whole, units[i].name);
                return buffer;
        }

        snprintf(buffer, TIMESPAN_MAX, "0s");
        return buffer;
}

const char *format_delay(char buffer[TIMESPAN_MAX], usec_t span) {
        char text[TIMESPAN_MAX];

        if (span < USEC_PER_SEC)
                snprintf(buffer, TIMESPAN_MAX, "now");
        else
                snprintf(buffer, TIMESPAN_MAX, "in %.*s", TIMESPAN_MAX - 4, format_timespan(text, span));
        return buffer;
}
