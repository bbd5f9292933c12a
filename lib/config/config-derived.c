/*
 * What follows from an entry of the configuration for those who go by it, and must be the same for all of
 * them: the policy of its schedule, and what its dependents are called.
 */

#include <stdio.h>

#include "lib/config/config.h"
#include "lib/util/hash.h"

struct schedule_policy config_schedule_policy(const struct config_certificate *certificate) {
        return (struct schedule_policy) {
                .renew_before = certificate->policy.renew_before,
                .jitter = certificate->policy.jitter,
                .skew_usec = certificate->policy.clock_skew_usec,
                .ca_window_usec = certificate->connector->ca_window_usec,
        };
}

/* In keys, which journals on disk hold. */
static const char *const kind_names[NOTIFY_MAX] = {
        [NOTIFY_COMMAND] = "command",
        [NOTIFY_SIGNAL] = "signal",
        [NOTIFY_UNIT] = "unit",
        [NOTIFY_HTTP] = "http",
};

/* TEXT may be NULL. No text has the byte 0xff: it marks where one ends and the next begins. */
static uint64_t hash_part(uint64_t hash, const char *text) {
        return hash_byte(text ? hash_text(hash, text) : hash, 0xff);
}

/* Over what the entry says. A hash, because arguments of commands stay out of the file. */
static uint64_t hash_notify(const struct config_notify *notify) {
        uint64_t hash = HASH_INIT;

        for (char **argument = notify->command; argument && *argument; argument++)
                hash = hash_part(hash, *argument);
        hash = hash_part(hash, sigabbrev_np(notify->signal));
        hash = hash_part(hash, notify->pid_file);
        hash = hash_part(hash, notify->unit);
        return hash_part(hash, notify->http);
}

const char *config_notify_key(const struct config_certificate *certificate, size_t i,
                              char buffer[CONFIG_NOTIFY_KEY]) {
        const struct config_notify *notify = &certificate->notify[i];
        uint64_t hash = hash_notify(notify);
        unsigned nth = 1;

        for (size_t j = 0; j < i; j++)
                if (certificate->notify[j].kind == notify->kind &&
                    hash_notify(&certificate->notify[j]) == hash)
                        nth++;
        snprintf(buffer, CONFIG_NOTIFY_KEY, "%s-%016" PRIx64 "-%u", kind_names[notify->kind], hash, nth);
        return buffer;
}

char *config_notify_text(const struct config_notify *notify) {
        char *text = NULL;
        int n = -1;

        switch (notify->kind) {
        case NOTIFY_COMMAND:
                n = asprintf(&text, "command %s", notify->command[0]);
                break;
        case NOTIFY_SIGNAL:
                n = asprintf(&text, "signal %s %s", sigabbrev_np(notify->signal), notify->pid_file);
                break;
        case NOTIFY_UNIT:
                n = asprintf(&text, "unit %s", notify->unit);
                break;
        case NOTIFY_HTTP:
                n = asprintf(&text, "http %s", notify->http);
                break;
        case NOTIFY_MAX:
                break;
        }
        return n < 0 ? NULL : text;
}
