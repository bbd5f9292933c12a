/* Times and shares for the eye. lib/util/time.h has those for logs and machines. */

#include "ctl/terminal/format.h"

#include <stdio.h>

const char *format_short_span(char buffer[TIMESPAN_MAX], usec_t span) {
        (void)format_timespan(buffer, span == USEC_INFINITY ? span : span - span % USEC_PER_SEC);
        buffer[strcspn(buffer, " ")] = '\0';
        return buffer;
}

/* RFC 3339, as rekeyd's own texts and the API have it. */
static bool format_iso(char buffer[LOCAL_TIME_MAX], const struct tm *tm) {
        const long minutes = tm->tm_gmtoff / 60, size = minutes < 0 ? -minutes : minutes;
        const size_t n = strftime(buffer, LOCAL_TIME_MAX - 7, "%Y-%m-%dT%H:%M:%S", tm);

        if (minutes == 0)
                snprintf(buffer + n, LOCAL_TIME_MAX - n, "Z");
        else
                snprintf(buffer + n, LOCAL_TIME_MAX - n, "%c%02ld:%02ld", minutes < 0 ? '-' : '+',
                         size / 60 % 100, size % 60);
        return n > 0;
}

const char *format_local_time(char buffer[LOCAL_TIME_MAX], usec_t when) {
        const time_t sec = (time_t)(when / USEC_PER_SEC);
        struct tm tm;

        if (when == 0)
                snprintf(buffer, LOCAL_TIME_MAX, "unknown");
        else if (when == USEC_INFINITY || !localtime_r(&sec, &tm) || !format_iso(buffer, &tm))
                snprintf(buffer, LOCAL_TIME_MAX, "never");
        return buffer;
}

const char *format_distance(char buffer[DISTANCE_MAX], usec_t when, usec_t now) {
        char span[TIMESPAN_MAX];

        /* Whole seconds: what lies between two readings of the clock is no distance. */
        if (when / USEC_PER_SEC == now / USEC_PER_SEC)
                snprintf(buffer, DISTANCE_MAX, "now");
        else if (when > now)
                snprintf(buffer, DISTANCE_MAX, "in %s", format_timespan(span, when - now));
        else
                snprintf(buffer, DISTANCE_MAX, "%s ago", format_timespan(span, now - when));
        return buffer;
}

const char *format_moment(char buffer[MOMENT_MAX], usec_t when, usec_t now) {
        const bool is_moment = when != 0 && when != USEC_INFINITY;
        char time[LOCAL_TIME_MAX], distance[DISTANCE_MAX] = "";

        if (is_moment)
                (void)format_distance(distance, when, now);
        snprintf(buffer, MOMENT_MAX, "%s%s%s", format_local_time(time, when), is_moment ? ", " : "",
                 distance);
        return buffer;
}

const char *format_bar(char buffer[3 * BAR_COLUMNS_MAX + 1], unsigned percent, unsigned columns,
                       bool is_utf8) {
        const unsigned n = columns < BAR_COLUMNS_MAX ? columns : BAR_COLUMNS_MAX;
        const unsigned full = (n * (percent < 100 ? percent : 100) + 50) / 100;
        char *p = buffer;

        for (unsigned i = 0; i < n; i++) {
                if (is_utf8)
                        p = stpcpy(p, i < full ? "█" : "░");
                else
                        p = stpcpy(p, i < full ? "#" : ".");
        }
        *p = '\0';
        return buffer;
}
