/*
 * What operators ask for is only begun, by the certificate; events report the outcome. Nobody is refused by
 * what is only remembered of the disk: such a request waits for an inspection, and is then decided by what
 * that has found. A file system that does not answer makes it wait LOOK_USEC.
 */

#include "daemon/control/control-ask.h"

#include <errno.h>
#include <stdio.h>

#include "daemon/control/control-reply.h"
#include "lib/util/json.h"

#define LOOK_USEC (5 * USEC_PER_SEC)

/* A request that waits for inspections of its certificate, which may be gone by then. */
struct asked {
        struct control_asks *asks;
        struct asked *next;
        struct http_request *request;
        enum operation operation;
        char *name;
        unsigned n_left; /* inspections */
        bool has_failed; /* the last one */
        usec_t deadline; /* CLOCK_MONOTONIC */
        sd_event_source *timer;
};

/* The members of the body of REQUEST, an object or nothing at all. NULL: it was answered. */
static json_t *read_body(struct http_request *request) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        json_t *root;
        size_t size;
        const char *body = http_body(request, &size);

        if (size == 0)
                return json_object();
        if (json_read(body, size, CONTROL_BODY_MAX, &root, &error) == 0)
                return root;
        http_reply_error(request, 400, NULL, "the body of the request cannot be read: %s",
                         error_text(&error));
        return NULL;
}

static void reply_result(struct http_request *request, const char *what, struct certificate *certificate,
                         int r, usec_t wait_usec, const struct error *error) {
        char header[64];

        if (r == 0) {
                control_reply_json(request, 202,
                                   json_pack("{s:s, s:s*}", "accepted", what, "certificate",
                                             certificate ? certificate_name(certificate) : NULL));
                return;
        }
        if (r == -EDQUOT) {
                snprintf(header, sizeof(header), "Retry-After: %" PRIu64, wait_usec / USEC_PER_SEC + 1);
                http_reply_error(request, 429, header, "%s", error_text(error));
                return;
        }
        http_reply_error(request,
                         r == -EBUSY || r == -EPERM ? 409
                         : r == -EINVAL             ? 400
                                                    : 500,
                         NULL, "%s", error_text(error));
}

enum { TAKES_FORCE = 1, TAKES_TOKEN = 2, TAKES_GENERATION = 4, TAKES_WITHIN = 8, TAKES_PAIR = 16 };

#define WITHIN_MAX_SEC (30 * 24 * 3600)

/* What the body of each operation may have. */
static const unsigned operation_takes[OPERATION_MAX] = {
        [OPERATION_RENEW] = TAKES_FORCE | TAKES_WITHIN,
        [OPERATION_ENROL] = TAKES_FORCE | TAKES_TOKEN,
        [OPERATION_ROLLBACK] = TAKES_GENERATION,
        [OPERATION_ADOPT] = TAKES_FORCE | TAKES_PAIR,
};

/* Whether KEY is a member of what is handed over, with its text. */
static bool read_handed(const char *key, const json_t *value, struct adoption_texts *ret) {
        const struct {
                const char *key, **text;
        } members[] = {
                { "key", &ret->key },
                { "certificate", &ret->certificate },
                { "ca", &ret->ca },
                { "url", &ret->url },
        };

        for (size_t i = 0; i < ELEMENTSOF(members); i++)
                if (streq(key, members[i].key) && json_is_string(value)) {
                        *members[i].text = json_string_value(value);
                        return true;
                }
        return false;
}

/* Fills RET from BODY, which it borrows from; anything else in BODY is refused. False: it was answered. */
static bool read_arguments(struct http_request *request, json_t *body, unsigned takes,
                           struct operation_arguments *ret) {
        const char *key;
        json_t *value;

        json_object_foreach(body, key, value) {
                if (takes & TAKES_FORCE && streq(key, "force") && json_is_boolean(value))
                        ret->force = json_is_true(value);
                else if (takes & TAKES_TOKEN && streq(key, "token") && json_is_string(value))
                        ret->token = json_string_value(value);
                else if (takes & TAKES_PAIR && read_handed(key, value, &ret->handed))
                        continue;
                else if (takes & TAKES_WITHIN && streq(key, "within") && json_is_integer(value) &&
                         json_integer_value(value) >= 1 && json_integer_value(value) <= WITHIN_MAX_SEC)
                        ret->within_usec = (usec_t)json_integer_value(value) * USEC_PER_SEC;
                else if (takes & TAKES_GENERATION && streq(key, "generation") && json_is_integer(value) &&
                         json_integer_value(value) >= 0) {
                        ret->has_generation = true;
                        ret->generation = (uint64_t)json_integer_value(value);
                } else {
                        http_reply_error(request, 400, NULL,
                                         "the member '%.64s' of the body is unknown, or has the wrong type; "
                                         "see rekeyd-api(7)",
                                         key);
                        return false;
                }
        }
        if (ret->within_usec > 0 && ret->force) {
                http_reply_error(request, 400, NULL,
                                 "`within` and `force` contradict each other: what is to be renewed later is "
                                 "renewed as if it were due");
                return false;
        }
        if (takes & TAKES_TOKEN && !ret->token) {
                http_reply_error(request, 400, NULL,
                                 "the body must have the one-time token: {\"token\": \"...\"}");
                return false;
        }
        if (takes & TAKES_PAIR && (!ret->handed.key || !ret->handed.certificate)) {
                http_reply_error(request, 400, NULL,
                                 "the body must have the PEM texts of both: {\"key\": \"...\", "
                                 "\"certificate\": \"...\"}");
                return false;
        }
        ret->handed.force = ret->force;
        return true;
}

/* Asks CERTIFICATE, and answers REQUEST. False: it has to wait for a look, and LOOK is LOOK_NONE. */
static bool operate(struct http_request *request, struct certificate *certificate, enum operation operation,
                    enum request_look look) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct operation_arguments arguments = { .look = look };
        const char *peer = http_peer(request);
        usec_t wait = 0;
        json_t *body = read_body(request);
        int r = 0;

        if (!body)
                return true;
        if (read_arguments(request, body, operation_takes[operation], &arguments)) {
                r = certificate_operate(certificate, operation, &arguments, peer, &wait, &error);
                if (r < 0 && r != -EINVAL && r != -EAGAIN)
                        certificate_log_refused(certificate, operation, peer, error_text(&error));
                if (r != -EAGAIN)
                        reply_result(request, operation_names[operation], certificate, r, wait, &error);
        }
        json_decref(body);
        return r != -EAGAIN;
}

/* What is not known yet, since the certificate has just been added, is no answer to who asks for the details.
 * As operate(). */
static bool describe(struct control_asks *asks, struct http_request *request, struct certificate *certificate,
                     enum request_look look) {
        struct report_status status;

        certificate_get_status(certificate, &status);
        if (status.knowledge == SET_UNKNOWN && look == LOOK_NONE)
                return false;
        control_reply_details(asks->options, request, certificate);
        return true;
}

static bool answer(struct control_asks *asks, struct http_request *request, struct certificate *certificate,
                   enum operation operation, enum request_look look) {
        return operation == OPERATION_NONE ? describe(asks, request, certificate, look)
                                           : operate(request, certificate, operation, look);
}

/* --- Requests that wait --- */

static struct asked *asked_free(struct asked *asked) {
        struct asked **p;

        if (!asked)
                return NULL;
        for (p = &asked->asks->first; *p && *p != asked; p = &(*p)->next)
                ;
        if (*p)
                *p = asked->next;
        sd_event_source_disable_unref(asked->timer);
        free(asked->name);
        free(asked);
        return NULL;
}
DEFINE_CLEANUP(struct asked *, asked_free);

static void asked_dropped(void *userdata) {
        asked_free(userdata);
}

/* At the end of an inspection, in a turn of its own, and at the deadline. What an inspection has found may be
 * enough before the last one. */
static int on_asked(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct asked *asked = userdata;
        struct certificate *certificate = fleet_find(asked->asks->options->fleet, asked->name);
        const bool is_late = now_usec(CLOCK_MONOTONIC) >= asked->deadline;
        enum request_look look = asked->n_left > 0   ? is_late ? LOOK_LATE : LOOK_NONE
                                 : asked->has_failed ? LOOK_FAILED
                                                     : LOOK_DONE;

        if (!certificate)
                http_reply_error(asked->request, 404, NULL, "%s was removed from the configuration",
                                 asked->name);
        else if (!answer(asked->asks, asked->request, certificate, asked->operation, look) &&
                 sd_event_source_set_time(asked->timer, asked->deadline) >= 0 &&
                 sd_event_source_set_enabled(asked->timer, SD_EVENT_ONESHOT) >= 0)
                return 0;
        asked_free(asked);
        return 0;
}

void control_asks_note_inspected(struct control_asks *asks, const char *name, bool has_failed) {
        for (struct asked *asked = asks->first; asked; asked = asked->next) {
                if (!streq(asked->name, name) || asked->n_left == 0)
                        continue;
                asked->n_left--;
                asked->has_failed = has_failed;
                (void)sd_event_source_set_time(asked->timer, 0);
        }
}

static int wait_for_look(struct control_asks *asks, struct http_request *request,
                         struct certificate *certificate, enum operation operation) {
        _cleanup_(asked_freep) struct asked *asked = calloc(1, sizeof(*asked));
        int r;

        if (!asked)
                return -ENOMEM;
        asked->asks = asks;
        asked->request = request;
        asked->operation = operation;
        asked->deadline = usec_add(now_usec(CLOCK_MONOTONIC), LOOK_USEC);
        asked->name = strdup(certificate_name(certificate));
        if (!asked->name)
                return -ENOMEM;
        r = sd_event_add_time(asks->options->event, &asked->timer, CLOCK_MONOTONIC, asked->deadline, 0,
                              on_asked, asked);
        if (r < 0)
                return r;
        asked->n_left = certificate_look(certificate);
        http_defer(request, asked_dropped, asked);
        asked->next = asks->first;
        asks->first = take_ptr(asked);
        return 0;
}

void control_ask(struct control_asks *asks, struct http_request *request, struct certificate *certificate,
                 enum operation operation) {
        if (!answer(asks, request, certificate, operation, LOOK_NONE) &&
            wait_for_look(asks, request, certificate, operation) < 0)
                http_reply_error(request, 500, NULL, "out of memory");
}

bool control_ask_reload(struct http_request *request) {
        struct operation_arguments none = { 0 };
        json_t *body = read_body(request);
        const bool is_valid = body && read_arguments(request, body, 0, &none);

        if (is_valid)
                reply_result(request, "reload", NULL, 0, 0, NULL);
        json_decref(body);
        return is_valid;
}
