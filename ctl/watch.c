/*
 * The overview on the whole screen, until Ctrl-C: redrawn after each event, and every second, since times
 * pass. rekeyd is asked again after events, four times a second at most, and otherwise rarely: a screen that
 * is left open must not cost it anything. When rekeyd stops the files are read, until it is back.
 */

#include "ctl/watch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "ctl/overview.h"
#include "ctl/terminal/format.h"
#include "lib/util/text-stream.h"

#define TICK_USEC    USEC_PER_SEC
#define PAUSE_USEC   (USEC_PER_SEC / 4) /* between two requests, however much happens */
#define REFRESH_USEC (15 * USEC_PER_SEC)
#define OFFLINE_USEC (3 * USEC_PER_SEC)

static volatile sig_atomic_t is_over;

static void on_signal(int signal) {
        if (signal != SIGWINCH)
                is_over = 1;
}

/* Without SA_RESTART: whatever waits, comes back. */
static void catch_signals(void) {
        static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGWINCH };
        struct sigaction action = { .sa_handler = on_signal };

        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                sigaction(signals[i], &action, NULL);
}

struct watch {
        struct ctl *ctl;
        struct source *source;
        struct client_stream *stream; /* NULL: rekeyd is not there */
        json_t *list;                 /* NULL: none was to be had */
        usec_t asked_at;              /* CLOCK_MONOTONIC */
        bool must_ask;
};

static void watch_clear(struct watch *watch) {
        client_stream_close(watch->stream);
        json_decref(watch->list);
}

/* What is drawn must be whole, and no line may reach the edge: so it is made in memory, cut to the height,
 * and what is left of older lines is wiped. */
static int draw_text(const struct term *term, const char *text) {
        unsigned line = 0;

        fputs("\033[H", stdout);
        for (const char *end; *text; text = *end ? end + 1 : end) {
                end = strchrnul(text, '\n');
                if (++line == term->height && *end && end[1])
                        break;
                printf("%s%.*s\033[K", line > 1 ? "\r\n" : "", (int)(end - text), text);
        }
        fputs("\033[J", stdout);
        return fflush(stdout) == 0 ? 0 : -errno;
}

static int draw(struct watch *watch) {
        _cleanup_(overview_freep) struct overview *overview = NULL;
        _cleanup_(freep) char *text = NULL;
        const usec_t now = now_usec(CLOCK_REALTIME);
        const bool is_offline = source_is_offline(watch->source);
        const char *socket = ctl_socket(watch->ctl);
        char time[LOCAL_TIME_MAX];
        size_t size = 0;
        FILE *out;
        int r = 0;

        watch->ctl->term = term_detect(STDOUT_FILENO);
        out = text_stream_open(&text, &size);
        if (!out)
                return -ENOMEM;
        fprintf(out, "%s   %s%s\n\n", format_local_time(time, now), socket ? socket : "no control.socket",
                !is_offline ? ""
                : socket    ? "   rekeyd is not running; showing what is on disk"
                            : "; showing what is on disk");
        if (!watch->list)
                fprintf(out, "%s\n", source_error(watch->source));
        else {
                r = overview_new(watch->list, now, is_offline, &overview);
                if (r == 0)
                        r = overview_print(overview, &watch->ctl->term, true, out);
        }
        if (fclose(out) != 0)
                r = -ENOMEM;
        return r < 0 ? r : draw_text(&watch->ctl->term, text);
}

static void ask(struct watch *watch) {
        json_t *list = NULL;

        /* The events first: nothing that happens after the list was made is missed. */
        if (!watch->stream && ctl_client(watch->ctl))
                (void)client_stream_open(ctl_client(watch->ctl), "/v1/events", &watch->stream, NULL, NULL);
        source_refresh(watch->source);
        if (source_list(watch->source, watch->ctl->arguments, watch->ctl->n_arguments, &list) != CTL_OK)
                list = NULL;
        json_decref(watch->list);
        watch->list = list;
        watch->asked_at = now_usec(CLOCK_MONOTONIC);
        watch->must_ask = false;
}

static void wait_for_events(struct watch *watch, usec_t timeout_usec) {
        const usec_t deadline = now_usec(CLOCK_MONOTONIC) + timeout_usec;
        usec_t now;

        while (!is_over && (now = now_usec(CLOCK_MONOTONIC)) < deadline) {
                _cleanup_(json_decrefp) json_t *event = NULL;
                int r;

                if (!watch->stream) {
                        const struct timespec span = { .tv_nsec = PAUSE_USEC * 1000 };

                        if (nanosleep(&span, NULL) < 0)
                                return;
                        continue;
                }
                r = client_stream_next(watch->stream, deadline - now, &event, NULL);
                if (r < 0) {
                        watch->stream = client_stream_close(watch->stream);
                        watch->must_ask = true;
                        return;
                }
                if (r == 0)
                        return;
                watch->must_ask = true;
                if (deadline - now > PAUSE_USEC) { /* what comes together is drawn together */
                        wait_for_events(watch, PAUSE_USEC);
                        return;
                }
        }
}

int watch_run(struct ctl *ctl, struct source *source) {
        _cleanup_(watch_clear) struct watch watch = { .ctl = ctl, .source = source, .must_ask = true };
        int r = 0;

        source_be_quiet(source);
        catch_signals();
        fputs("\033[?1049h\033[?25l", stdout); /* another screen, without a cursor */
        while (!is_over && r >= 0) {
                const usec_t age = now_usec(CLOCK_MONOTONIC) - watch.asked_at;

                if (watch.must_ask || age >= (watch.stream ? REFRESH_USEC : OFFLINE_USEC))
                        ask(&watch);
                r = draw(&watch);
                if (r >= 0)
                        wait_for_events(&watch, TICK_USEC);
        }
        fputs("\033[?25h\033[?1049l", stdout);
        if (r < 0)
                return ctl_fail(ctl, CTL_FAILED, "cannot draw: %s", strerrordesc_np(-r));
        return CTL_OK;
}
