/*
 * Answers that are long, or that need the disk. Long ones are written piece by piece as the peer takes them,
 * so that ten thousand certificates are never in memory as text; a change of the configuration in the middle
 * aborts them, since a list with holes would be believed. The disk is read on a worker, with copies of what
 * the loop may change meanwhile.
 */

#include "daemon/control/control-reply.h"

#include <errno.h>
#include <stdio.h>

#include "daemon/observe/events.h"
#include "lib/report/history.h"
#include "lib/util/json.h"

#define CONTENT_JSON "application/json"

void control_reply_json(struct http_request *request, unsigned status, json_t *json) {
        _cleanup_(freep) char *text = json ? json_format(json, JSON_COMPACT) : NULL, *line = NULL;
        int n = -1;

        json_decref(json);
        if (text)
                n = asprintf(&line, "%s\n", text);
        if (n < 0) {
                line = NULL;
                http_reply_error(request, 500, NULL, "out of memory");
                return;
        }
        http_reply(request, status, CONTENT_JSON, line, (size_t)n, NULL);
}

/* --- The list --- */

struct listing {
        const struct fleet *fleet;
        uint64_t serial;
        size_t next;
        char *text; /* of the one that is being sent; NULL: make the next */
        size_t offset;
        bool is_over;
};

/* The next piece of text, or NULL when memory is out. */
static char *next_entry(struct listing *listing) {
        const struct fleet *fleet = listing->fleet;
        _cleanup_(freep) char *json = NULL;
        struct report_status status;
        json_t *object;
        char *text;

        if (listing->next == fleet->n) {
                listing->is_over = true;
                return strdup(listing->next == 0 ? "{\"certificates\":[]}\n" : "]}\n");
        }
        certificate_get_status(fleet->certificates[listing->next], &status);
        object = report_status(&status);
        json = object ? json_format(object, JSON_COMPACT) : NULL;
        json_decref(object);
        if (!json || asprintf(&text, "%s%s", listing->next == 0 ? "{\"certificates\":[\n" : ",\n", json) < 0)
                return NULL;
        listing->next++;
        return text;
}

static ssize_t produce_list(void *userdata, char *buffer, size_t max) {
        struct listing *listing = userdata;
        size_t n = 0;

        if (listing->serial != listing->fleet->serial)
                return HTTP_STREAM_ABORT;
        while (n < max) {
                size_t left, some;

                if (!listing->text) {
                        if (listing->is_over)
                                break;
                        listing->text = next_entry(listing);
                        listing->offset = 0;
                        if (!listing->text)
                                return HTTP_STREAM_ABORT;
                }
                left = strlen(listing->text) - listing->offset;
                some = left < max - n ? left : max - n;
                memcpy(buffer + n, listing->text + listing->offset, some);
                n += some;
                listing->offset += some;
                if (some == left)
                        free(take_ptr(listing->text));
        }
        return n > 0 ? (ssize_t)n : HTTP_STREAM_END;
}

static void list_ended(void *userdata) {
        struct listing *listing = userdata;

        free(listing->text);
        free(listing);
}

void control_reply_list(const struct control_options *options, struct http_request *request) {
        struct listing *listing = calloc(1, sizeof(*listing));

        if (!listing) {
                http_reply_error(request, 500, NULL, "out of memory");
                return;
        }
        listing->fleet = options->fleet;
        listing->serial = options->fleet->serial;
        (void)http_reply_stream(request, 200, CONTENT_JSON,
                                &(struct http_stream_options) {
                                        .produce = produce_list, .ended = list_ended, .userdata = listing });
}

/* --- What lies on the disk --- */

struct detail_request {
        struct job job;
        const struct control_options *options;
        struct http_request *request; /* NULL: the client has gone */
        bool wants_history;

        /* Copies: the certificate may continue meanwhile, or be gone. */
        struct config *owner;
        const struct config_certificate *config;
        struct report_status status;
        char fingerprint[FINGERPRINT_HEX];
        struct issuers *issuers;
        char *last_result_error, *export_error, *state_json;
        struct report_exports secrets;

        json_t *answer;
        struct error error;
};

static void detail_request_free(struct detail_request *detail_request) {
        config_free(detail_request->owner);
        issuers_free(detail_request->issuers);
        free(detail_request->last_result_error);
        free(detail_request->export_error);
        report_exports_clear(&detail_request->secrets);
        free(detail_request->state_json);
        json_decref(detail_request->answer);
        error_clear(&detail_request->error);
        free(detail_request);
}

static json_t *read_history(const char *text) {
        json_t *events = json_array();

        for (const char *end; events && (end = strchr(text, '\n')); text = end + 1) {
                /* A line that a crash has cut off is passed over. */
                json_t *event = json_loadb(text, (size_t)(end - text), 0, NULL);

                if (json_is_object(event))
                        json_array_append(events, event);
                json_decref(event);
        }
        return events ? json_pack("{s:o}", "events", events) : NULL;
}

static void run_detail_request(struct job *job) {
        struct detail_request *detail_request = container_of(job, struct detail_request, job);
        _cleanup_(inspection_clear) struct inspection inspection = { 0 };
        _cleanup_(state_clear) struct state state = { 0 };
        _cleanup_(freep) char *text = NULL;
        struct state_instant saved;

        if (detail_request->wants_history) {
                if (history_read(detail_request->options->state_fd, detail_request->config->name, &text,
                                 &detail_request->error) == 0)
                        detail_request->answer = read_history(text);
        } else if (state_parse(detail_request->state_json, strlen(detail_request->state_json), &state, &saved,
                               &detail_request->error) == 0 &&
                   inspect_certificate(detail_request->config, &state, &inspection) == 0) {
                detail_request->status.last_error = state.error;
                if (detail_request->status.knowledge == SET_UNREADABLE)
                        detail_request->status.unreadable = state.error;
                detail_request->status.notices.error = state_pending_error(&state);
                detail_request->answer = report_details(&detail_request->status, detail_request->config,
                                                        &inspection, &state, now_usec(CLOCK_REALTIME));
        }
}

static void on_detail_request(struct job *job) {
        struct detail_request *detail_request = container_of(job, struct detail_request, job);

        if (detail_request->request && detail_request->answer)
                control_reply_json(detail_request->request, 200, take_ptr(detail_request->answer));
        else if (detail_request->request)
                http_reply_error(detail_request->request, 500, NULL, "%s",
                                 detail_request->error.code != 0 ? error_text(&detail_request->error)
                                                                 : "out of memory");
        detail_request_free(detail_request);
}

/* The server is being freed; the worker still has the inquiry, or had to drop it. */
static void detail_request_dropped(void *userdata) {
        struct detail_request *detail_request = userdata;

        detail_request->request = NULL;
        if (atomic_load(detail_request->options->stopping))
                detail_request_free(detail_request);
}

/* *TEXT, which may be NULL, is in *RET then. */
static void copy_text(const char **text, char **ret) {
        if (*text)
                *text = *ret = strdup(*text);
}

static void inquire(const struct control_options *options, struct http_request *request,
                    struct certificate *certificate, bool wants_history) {
        const struct state_instant now = { .realtime = now_usec(CLOCK_REALTIME) };
        struct detail_request *detail_request = calloc(1, sizeof(*detail_request));

        if (detail_request) {
                detail_request->job = (struct job) { .run = run_detail_request, .done = on_detail_request };
                detail_request->options = options;
                detail_request->wants_history = wants_history;
                detail_request->owner = config_ref(certificate_config_owner(certificate));
                detail_request->config = certificate_config(certificate);
                certificate_get_status(certificate, &detail_request->status);
                detail_request->status.last_error = detail_request->status.notices.error =
                        detail_request->status.unreadable = NULL; /* the journal has them */
                snprintf(detail_request->fingerprint, sizeof(detail_request->fingerprint), "%s",
                         detail_request->status.fingerprint);
                detail_request->status.fingerprint = detail_request->fingerprint;
                detail_request->issuers =
                        issuers_ref((struct issuers *)detail_request->status.renewable.issuers);
                copy_text(&detail_request->status.last_result_error, &detail_request->last_result_error);
                copy_text(&detail_request->status.files.export_error, &detail_request->export_error);
                /* Out of memory: nothing is known of Secrets. */
                (void)report_exports_copy(detail_request->status.files.secrets, &detail_request->secrets);
                detail_request->status.files.secrets = &detail_request->secrets;
                detail_request->status.name = detail_request->config->name;
                detail_request->status.connector = detail_request->config->connector->name;
                detail_request->status.directory = detail_request->config->directory;
        }
        if (!detail_request ||
            state_format(certificate_state(certificate), &now, &detail_request->state_json, NULL) < 0) {
                if (detail_request)
                        detail_request_free(detail_request);
                http_reply_error(request, 500, NULL, "out of memory");
                return;
        }
        detail_request->request = request;
        http_defer(request, detail_request_dropped, detail_request);
        workers_submit(options->workers, &detail_request->job);
}

void control_reply_details(const struct control_options *options, struct http_request *request,
                           struct certificate *certificate) {
        inquire(options, request, certificate, false);
}

void control_reply_history(const struct control_options *options, struct http_request *request,
                           struct certificate *certificate) {
        inquire(options, request, certificate, true);
}

/* --- Events --- */

struct event_stream {
        struct watcher *watcher;
        struct http_stream *stream;
        char hello[256];
        size_t offset; /* in it */
};

static void on_event(void *userdata) {
        struct event_stream *event_stream = userdata;

        if (event_stream->stream)
                http_stream_wake(event_stream->stream);
}

static ssize_t produce_events(void *userdata, char *buffer, size_t max) {
        struct event_stream *event_stream = userdata;
        size_t left = strlen(event_stream->hello) - event_stream->offset;
        ssize_t n;

        if (left > 0) {
                if (left > max)
                        left = max;
                memcpy(buffer, event_stream->hello + event_stream->offset, left);
                event_stream->offset += left;
                return (ssize_t)left;
        }
        n = watcher_read(event_stream->watcher, buffer, max);
        return n < 0 ? HTTP_STREAM_END : n;
}

static void events_ended(void *userdata) {
        struct event_stream *event_stream = userdata;

        watcher_free(event_stream->watcher);
        free(event_stream);
}

void control_reply_events(const struct control_options *options, struct http_request *request) {
        const char *name = http_query(request, "certificate");
        struct event_stream *event_stream;
        struct http_stream *stream;
        char when[TIMESTAMP_MAX];

        if (name && !fleet_find(options->fleet, name)) {
                http_reply_error(request, 404, NULL,
                                 "there is no certificate '%.100s' in the configuration of rekeyd", name);
                return;
        }
        event_stream = calloc(1, sizeof(*event_stream));
        if (!event_stream ||
            watcher_new(options->events, name, on_event, event_stream, &event_stream->watcher) < 0) {
                free(event_stream);
                http_reply_error(request, 500, NULL, "out of memory");
                return;
        }
        snprintf(event_stream->hello, sizeof(event_stream->hello),
                 "{\"time\":\"%s\",\"event\":\"hello\",\"message\":\"rekeyd " REKEYD_VERSION
                 "\",\"version\":\"" REKEYD_VERSION "\"}\n",
                 format_timestamp(when, now_usec(CLOCK_REALTIME)));
        stream = http_reply_stream(request, 200, "application/x-ndjson",
                                   &(struct http_stream_options) {
                                           .produce = produce_events,
                                           .ended = events_ended,
                                           .userdata = event_stream,
                                           .is_endless = true,
                                   });
        if (stream) /* or the spectator is gone */
                event_stream->stream = stream;
}

/* --- Metrics --- */

static ssize_t produce_metrics(void *userdata, char *buffer, size_t max) {
        ssize_t n = metrics_read(userdata, buffer, max);

        return n > 0 ? n : n == 0 ? HTTP_STREAM_END : HTTP_STREAM_ABORT;
}

static void metrics_ended(void *userdata) {
        metrics_reader_free(userdata);
}

void control_reply_metrics(const struct control_options *options, struct http_request *request,
                           unsigned connections) {
        struct metrics_source source = fleet_metrics_source(options->fleet);
        struct metrics_reader *reader;

        source.connections = connections;
        if (metrics_reader_new(options->metrics, &source, &reader) < 0) {
                http_reply_error(request, 500, NULL, "out of memory");
                return;
        }
        (void)http_reply_stream(request, 200, METRICS_CONTENT_TYPE,
                                &(struct http_stream_options) { .produce = produce_metrics,
                                                                .ended = metrics_ended,
                                                                .userdata = reader });
}
