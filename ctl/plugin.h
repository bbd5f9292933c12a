#pragma once

/* The output of `rekeyctl check` for a monitoring system, by the rules of monitoring plugins. */

#include <jansson.h>

#include "lib/util/macro.h"
#include "lib/util/time.h"

/* The exit statuses of Nagios, Icinga and their kin: monitoring-plugins.org, "Plugin Return Codes". */
enum plugin_status {
        PLUGIN_OK,
        PLUGIN_WARNING,
        PLUGIN_CRITICAL,
        PLUGIN_UNKNOWN,
        PLUGIN_STATUS_MAX,
};
extern const char *const plugin_status_names[PLUGIN_STATUS_MAX];

/* How much time must be left until a certificate expires; 0: what suits its lifetime. */
struct plugin_limits {
        usec_t warning_usec, critical_usec;
};

/* The standard ones: no longer than these, and no longer than a half and a tenth of the time that is planned
 * between its renewal and its expiry. */
#define PLUGIN_WARNING_USEC  (14 * USEC_PER_DAY)
#define PLUGIN_CRITICAL_USEC (3 * USEC_PER_DAY)

/* Judges LIST, an array of statuses. *RET_LINE is "OK - ... | perfdata" without a newline, in ASCII, owned by
 * the caller. Returns the status, or -ENOMEM. Pure. */
int plugin_judge(const json_t *list, usec_t now, bool is_offline, const struct plugin_limits *limits,
                 char **ret_line);
