/*
 * What a certificate waits for while it rests: an instant or the end of a back-off, a token, a change of its
 * files. Each of them wakes it, or has it look; none is polled.
 */

#include <fcntl.h>

#include "daemon/certificate/certificate-private.h"

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        certificate_wake(userdata);
        return 0;
}

/* An expiry is an instant on the wall clock; a back-off is a span, which a suspended machine has waited as
 * well. */
void certificate_arm_timer(struct certificate *certificate) {
        const struct renewal *renewal = &certificate->renewal;
        sd_event *event = certificate->context->event;
        int r = 0;

        certificate->timer = sd_event_source_disable_unref(certificate->timer);
        certificate->backoff_until = 0;
        if (renewal->backoff_usec != USEC_INFINITY) {
                certificate->backoff_until = usec_add(now_usec(CLOCK_BOOTTIME), renewal->backoff_usec);
                r = sd_event_add_time_relative(event, &certificate->timer, CLOCK_BOOTTIME,
                                               renewal->backoff_usec, 0, on_timer, certificate);
        } else if (renewal->due_usec != USEC_INFINITY)
                r = sd_event_add_time(event, &certificate->timer, CLOCK_REALTIME, renewal->due_usec, 0,
                                      on_timer, certificate);
        if (r < 0) {
                /* Without its timer a certificate would expire in silence: better to end and be restarted. */
                log_error("%s: cannot set a timer: %s", certificate->config->name, strerrordesc_np(-r));
                sd_event_exit(event, EXIT_FAILURE);
        }
}

/* Only for another file than the last look read: a token is not tried again at each noise in its folder. */
static void on_token_event(void *userdata) {
        struct certificate *certificate = userdata;
        struct file_identity identity;

        if (certificate->attempt) {
                certificate->token_again = true; /* it may have been read already */
                return;
        }
        if (file_identify(AT_FDCWD, certificate->config->token_file, &identity) == 0 &&
            !file_identity_equal(&identity, &certificate->token_file))
                certificate_wake(certificate);
}

/* The token file is watched while a token would be of use. */
void certificate_arm_token_watch(struct certificate *certificate) {
        const struct renewal *renewal = &certificate->renewal;
        const char *path = certificate->config->token_file;
        int r;

        if (!path || renewal->state == RENEWAL_CURRENT) {
                certificate->token_watch = path_watch_free(certificate->token_watch);
                return;
        }
        if (certificate->token_watch) {
                if (certificate->token_again) {
                        certificate->token_again = false;
                        on_token_event(certificate);
                }
                return;
        }
        r = path_watch_new(certificate->context->event, path, on_token_event, certificate,
                           &certificate->token_watch);
        if (r < 0)
                certificate_log(certificate, LOG_WARNING, MESSAGE_WARNING,
                                "cannot watch for token file %s: %s", path, strerrordesc_np(-r));
        /* It may have come between the look and the watch. */
        on_token_event(certificate);
}

static void on_set_event(void *userdata) {
        certificate_inspect(userdata);
}

/* The files are watched as soon as there is a directory, and before they are looked at: what changes after
 * the look is then an event. */
void certificate_arm_set_watch(struct certificate *certificate) {
        int r;

        if (certificate->context->once)
                return;
        if (certificate->set_watch) {
                set_watch_follow(certificate->set_watch);
                return;
        }
        r = set_watch_new(certificate->context->event, certificate->config->directory, on_set_event,
                          certificate, &certificate->set_watch);
        if (r < 0 && r != -ENOENT)
                certificate_log(certificate, LOG_WARNING, MESSAGE_WARNING,
                                "cannot watch directory %s: %s; changes by others are found at the next "
                                "renewal only",
                                certificate->config->directory, strerrordesc_np(-r));
}

/* Everything that waits for something to happen. */
void certificate_stop_waiting(struct certificate *certificate) {
        slots_leave(&certificate->slot_waiter);
        certificate->timer = sd_event_source_disable_unref(certificate->timer);
        certificate->export_timer = sd_event_source_disable_unref(certificate->export_timer);
        certificate->token_watch = path_watch_free(certificate->token_watch);
        certificate->set_watch = set_watch_free(certificate->set_watch);
}
