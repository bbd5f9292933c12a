/* `rekeyctl events`: events as they occur, until Ctrl-C, which is success. It does not reconnect when rekeyd
 * stops: the events in between would be missing without a sign. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "ctl/change.h"
#include "ctl/event-line.h"
#include "ctl/view.h"

/* Each line is written whole, so there is nothing to be lost. */
static void on_signal(_unused_ int signal) {
        _exit(CTL_OK);
}

static void print(const struct ctl *ctl, const json_t *event) {
        if (ctl_has(ctl, "json")) {
                (void)json_dumpf(event, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
                fputc('\n', stdout);
        } else
                event_print_line(ctl, event, ctl->n_arguments == 0);
}

static int say_end(const struct ctl *ctl, int r, bool is_lost, const struct error *error) {
        if (is_lost)
                return ctl_fail(ctl, CTL_FAILED,
                                "rekeyd has ended the stream: events were not read fast enough, and some are "
                                "lost; start again, and read faster");
        if (r == -ENODATA)
                return ctl_fail(
                        ctl, CTL_UNREACHABLE,
                        "rekeyd has ended the stream: it was stopped or restarted; see: systemctl status "
                        "rekeyd");
        return ctl_fail(ctl, CTL_UNREACHABLE, "the event stream was interrupted: %s", error_text(error));
}

static int follow(const struct ctl *ctl, struct client_stream *stream) {
        bool is_lost = false;

        for (;;) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                _cleanup_(json_decrefp) json_t *event = NULL;
                int r;

                r = client_stream_next(stream, USEC_INFINITY, &event, &error);
                if (r < 0)
                        return say_end(ctl, r, is_lost, &error);
                if (r == 0)
                        continue;
                is_lost |= streq_null(view_string(event, "event"), "lost");
                print(ctl, event);
                if (fflush(stdout) != 0) {
                        if (errno == EPIPE) /* the reader has closed the pipe */
                                return CTL_OK;
                        return ctl_fail(ctl, CTL_FAILED, "cannot write the events: %s",
                                        strerrordesc_np(errno));
                }
        }
}

static int run(struct ctl *ctl) {
        _cleanup_(client_stream_closep) struct client_stream *stream = NULL;
        int exit;

        signal(SIGINT, on_signal);
        signal(SIGTERM, on_signal);
        exit = change_open_events(ctl, ctl->n_arguments > 0 ? ctl->arguments[0] : NULL, &stream);
        if (exit != CTL_OK)
                return exit;
        return follow(ctl, stream);
}

static const struct ctl_argument arguments[] = {
        { .name = "NAME", .kind = CTL_CERTIFICATE, .is_optional = true },
};

static const struct ctl_option options[] = {
        { .name = "json",
          .letter = 'j',
          .help = "print the events as rekeyd sends them, one JSON object per line" },
};

const struct ctl_command command_events = {
        .name = "events",
        .section = CTL_INSPECT,
        .help = "print new events as they occur, until Ctrl-C",
        .more = "With NAME, only the events of that certificate and those that concern all. The stream ends "
                "when rekeyd is stopped or restarted. Earlier events are in `rekeyctl history`.",
        .arguments = arguments,
        .n_arguments = ELEMENTSOF(arguments),
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
