/*
 * Answers that are long, or that take a look at the disk. Long ones are written piece by piece as the peer
 * takes them, so that ten thousand certificates never stand in memory as text; a change of the configuration
 * in the middle aborts them, since a list with holes would be believed. What lies on the disk is read on a
 * worker, with copies of what the loop may change meanwhile.
 */

#include "daemon/control-private.h"

#include <errno.h>
#include <stdio.h>

#include "daemon/certificate.h"
#include "daemon/events.h"
#include "lib/record.h"

/* --- The list --- */

struct listing {
        const struct manager *manager;
        uint64_t serial;
        size_t next;
        char *text; /* of the one that is being sent; NULL: make the next */
        size_t offset;
        bool is_over;
};

/* The next piece of text, or NULL when memory is out. */
static char *next_entry(struct listing *listing) {
        const struct manager *manager = listing->manager;
        _cleanup_(freep) char *json = NULL;
        struct report_status status;
        json_t *object;
        char *text;

        if (listing->next == manager->n_certificates) {
                listing->is_over = true;
                return strdup(listing->next == 0 ? "{\"certificates\":[]}\n" : "]}\n");
        }
        certificate_get_status(manager->certificates[listing->next], &status);
        object = report_status(&status);
        json = object ? json_dumps(object, JSON_COMPACT) : NULL;
        json_decref(object);
        if (!json || asprintf(&text, "%s%s", listing->next == 0 ? "{\"certificates\":[\n" : ",\n", json) < 0)
                return NULL;
        listing->next++;
        return text;
}

static ssize_t produce_list(void *userdata, char *buffer, size_t max) {
        struct listing *listing = userdata;
        size_t n = 0;

        if (listing->serial != listing->manager->serial)
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

void control_reply_list(struct control *control, struct http_request *request) {
        struct listing *listing = calloc(1, sizeof(*listing));

        if (!listing) {
                http_reply_error(request, 500, NULL, "out of memory");
                return;
        }
        listing->manager = control->manager;
        listing->serial = control->manager->serial;
        (void)http_reply_stream(request, 200, CONTENT_JSON,
                                &(struct http_stream_options) {
                                        .produce = produce_list, .ended = list_ended, .userdata = listing });
}

/* --- What lies on the disk --- */

struct inquiry {
        struct job job;
        struct context *context;
        struct http_request *request; /* NULL: nobody waits any more */
        bool wants_history;

        /* Copies: the certificate may go on meanwhile, or be gone. */
        struct config *owner;
        const struct config_certificate *config;
        struct report_status status;
        char fingerprint[FINGERPRINT_HEX];
        char *last_result_error, *journal_json;

        json_t *answer;
        struct error error;
};

static void inquiry_free(struct inquiry *inquiry) {
        config_free(inquiry->owner);
        free(inquiry->last_result_error);
        free(inquiry->journal_json);
        json_decref(inquiry->answer);
        error_clear(&inquiry->error);
        free(inquiry);
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

static void run_inquiry(struct job *job) {
        struct inquiry *inquiry = container_of(job, struct inquiry, job);
        _cleanup_(inspection_clear) struct inspection inspection = { 0 };
        _cleanup_(journal_clear) struct journal journal = { 0 };
        _cleanup_(freep) char *text = NULL;
        struct journal_instant saved;

        if (inquiry->wants_history) {
                if (record_read(inquiry->context->state_fd, inquiry->config->name, &text, &inquiry->error) ==
                    0)
                        inquiry->answer = read_history(text);
        } else if (journal_parse(inquiry->journal_json, strlen(inquiry->journal_json), &journal, &saved,
                                 &inquiry->error) == 0 &&
                   inspect_certificate(inquiry->config, &inspection) == 0) {
                inquiry->status.last_error = journal.error;
                inquiry->status.owed_error = journal_owed_error(&journal);
                inquiry->answer = report_details(&inquiry->status, inquiry->config, &inspection, &journal,
                                                 now_usec(CLOCK_REALTIME));
        }
}

static void on_inquiry(struct job *job) {
        struct inquiry *inquiry = container_of(job, struct inquiry, job);

        if (inquiry->request && inquiry->answer)
                control_reply_json(inquiry->request, 200, take_ptr(inquiry->answer));
        else if (inquiry->request)
                http_reply_error(inquiry->request, 500, NULL, "%s",
                                 inquiry->error.code != 0 ? error_text(&inquiry->error) : "out of memory");
        inquiry_free(inquiry);
}

/* The server is being freed; the worker still has the inquiry, or had to drop it. */
static void inquiry_dropped(void *userdata) {
        struct inquiry *inquiry = userdata;

        inquiry->request = NULL;
        if (atomic_load(&inquiry->context->stopping))
                inquiry_free(inquiry);
}

/* *TEXT, which may be NULL, is in *RET then. */
static void copy_text(const char **text, char **ret) {
        if (*text)
                *text = *ret = strdup(*text);
}

static void inquire(struct control *control, struct http_request *request, struct certificate *certificate,
                    bool wants_history) {
        struct context *context = &control->manager->context;
        const struct journal_instant now = { .realtime = now_usec(CLOCK_REALTIME) };
        struct inquiry *inquiry = calloc(1, sizeof(*inquiry));

        if (inquiry) {
                inquiry->job = (struct job) { .run = run_inquiry, .done = on_inquiry };
                inquiry->context = context;
                inquiry->wants_history = wants_history;
                inquiry->owner = config_ref(certificate_config_owner(certificate));
                inquiry->config = certificate_config(certificate);
                certificate_get_status(certificate, &inquiry->status);
                inquiry->status.last_error = inquiry->status.owed_error = NULL; /* the journal has them */
                snprintf(inquiry->fingerprint, sizeof(inquiry->fingerprint), "%s",
                         inquiry->status.fingerprint);
                inquiry->status.fingerprint = inquiry->fingerprint;
                copy_text(&inquiry->status.last_result_error, &inquiry->last_result_error);
                inquiry->status.name = inquiry->config->name;
                inquiry->status.connector = inquiry->config->connector->name;
                inquiry->status.directory = inquiry->config->directory;
        }
        if (!inquiry ||
            journal_format(certificate_journal(certificate), &now, &inquiry->journal_json, NULL) < 0) {
                if (inquiry)
                        inquiry_free(inquiry);
                http_reply_error(request, 500, NULL, "out of memory");
                return;
        }
        inquiry->request = request;
        http_defer(request, inquiry_dropped, inquiry);
        workers_submit(context->disk_workers, &inquiry->job);
}

void control_reply_details(struct control *control, struct http_request *request,
                           struct certificate *certificate) {
        inquire(control, request, certificate, false);
}

void control_reply_history(struct control *control, struct http_request *request,
                           struct certificate *certificate) {
        inquire(control, request, certificate, true);
}

/* --- Events --- */

struct spectator {
        struct watcher *watcher;
        struct http_stream *stream;
        char hello[256];
        size_t offset; /* in it */
};

static void on_event(void *userdata) {
        struct spectator *spectator = userdata;

        if (spectator->stream)
                http_stream_wake(spectator->stream);
}

static ssize_t produce_events(void *userdata, char *buffer, size_t max) {
        struct spectator *spectator = userdata;
        size_t left = strlen(spectator->hello) - spectator->offset;
        ssize_t n;

        if (left > 0) {
                if (left > max)
                        left = max;
                memcpy(buffer, spectator->hello + spectator->offset, left);
                spectator->offset += left;
                return (ssize_t)left;
        }
        n = watcher_read(spectator->watcher, buffer, max);
        return n < 0 ? HTTP_STREAM_END : n;
}

static void events_ended(void *userdata) {
        struct spectator *spectator = userdata;

        watcher_free(spectator->watcher);
        free(spectator);
}

void control_reply_events(struct control *control, struct http_request *request) {
        const char *name = http_query(request, "certificate");
        struct spectator *spectator;
        struct http_stream *stream;
        char when[TIMESTAMP_MAX];

        if (name && !control_find(control, name)) {
                http_reply_error(request, 404, NULL,
                                 "there is no certificate '%.100s' in the configuration that rekeyd has read",
                                 name);
                return;
        }
        spectator = calloc(1, sizeof(*spectator));
        if (!spectator || watcher_new(control->manager->context.events, name, on_event, spectator,
                                      &spectator->watcher) < 0) {
                free(spectator);
                http_reply_error(request, 500, NULL, "out of memory");
                return;
        }
        snprintf(spectator->hello, sizeof(spectator->hello),
                 "{\"time\":\"%s\",\"event\":\"hello\",\"message\":\"rekeyd " REKEYD_VERSION
                 "\",\"version\":\"" REKEYD_VERSION "\"}\n",
                 format_timestamp(when, now_usec(CLOCK_REALTIME)));
        stream = http_reply_stream(request, 200, "application/x-ndjson",
                                   &(struct http_stream_options) {
                                           .produce = produce_events,
                                           .ended = events_ended,
                                           .userdata = spectator,
                                           .is_endless = true,
                                   });
        if (stream) /* or the spectator is gone */
                spectator->stream = stream;
}

/* --- Metrics --- */

static ssize_t produce_metrics(void *userdata, char *buffer, size_t max) {
        ssize_t n = metrics_read(userdata, buffer, max);

        return n > 0 ? n : n == 0 ? HTTP_STREAM_END : HTTP_STREAM_ABORT;
}

static void metrics_ended(void *userdata) {
        metrics_reader_free(userdata);
}

void control_reply_metrics(struct control *control, struct http_request *request) {
        const struct metrics_source source = manager_metrics_source(control->manager);
        struct metrics_reader *reader;

        if (metrics_reader_new(&control->manager->metrics, &source, &reader) < 0) {
                http_reply_error(request, 500, NULL, "out of memory");
                return;
        }
        (void)http_reply_stream(request, 200, METRICS_CONTENT_TYPE,
                                &(struct http_stream_options) { .produce = produce_metrics,
                                                                .ended = metrics_ended,
                                                                .userdata = reader });
}
