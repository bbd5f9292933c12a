#include "ca/live/fleet.h"

#include <stdio.h>

#include "ca/live/call.h"
#include "lib/util/json.h"

#define METRIC "rekeyd_certificate_issuer_info"

static const struct {
        const char *label;
        size_t offset;
} labels[] = {
        { "certificate", offsetof(struct fleet_set, certificate) },
        { "instance", offsetof(struct fleet_set, instance) },
        { "issuer", offsetof(struct fleet_set, issuer) },
        { "issuer_key", offsetof(struct fleet_set, issuer_key) },
        { "issuer_subject", offsetof(struct fleet_set, issuer_subject) },
};

static char **place_of(struct fleet_set *set, size_t i) {
        return (char **)(void *)((char *)set + labels[i].offset);
}

static void clear_set(struct fleet_set *set) {
        for (size_t i = 0; i < ELEMENTSOF(labels); i++)
                free(*place_of(set, i));
        *set = (struct fleet_set) { 0 };
}

void fleet_clear(struct fleet *fleet) {
        for (size_t i = 0; i < fleet->n; i++)
                clear_set(&fleet->sets[i]);
        free(fleet->sets);
        *fleet = (struct fleet) { 0 };
}

/* Takes SET over; labels that it lacks are "". */
static int add(struct fleet *fleet, struct fleet_set *set) {
        struct fleet_set *grown;

        for (size_t i = 0; i < ELEMENTSOF(labels); i++)
                if (!*place_of(set, i))
                        *place_of(set, i) = strdup("");
        for (size_t i = 0; i < ELEMENTSOF(labels); i++)
                if (!*place_of(set, i))
                        return -ENOMEM;
        if (fleet->n == FLEET_SETS_MAX)
                return -E2BIG;
        if ((fleet->n & (fleet->n - 1)) == 0) { /* full at each power of two */
                grown = reallocarray(fleet->sets, fleet->n == 0 ? 1 : 2 * fleet->n, sizeof(*grown));
                if (!grown)
                        return -ENOMEM;
                fleet->sets = grown;
        }
        fleet->sets[fleet->n++] = *set;
        *set = (struct fleet_set) { 0 };
        return 0;
}

int fleet_add(struct fleet *fleet, const char *certificate, const char *instance, const char *issuer,
              const char *issuer_key, const char *issuer_subject) {
        struct fleet_set set = { .certificate = strdup(certificate),
                                 .instance = strdup(instance),
                                 .issuer = strdup(issuer),
                                 .issuer_key = strdup(issuer_key),
                                 .issuer_subject = strdup(issuer_subject) };
        const int r = add(fleet, &set);

        clear_set(&set);
        return r;
}

int fleet_move(struct fleet *to, struct fleet *from) {
        int r = 0;

        for (size_t i = 0; i < from->n && r == 0; i++)
                r = add(to, &from->sets[i]);
        fleet_clear(from);
        return r;
}

/* VALUE is taken over. */
static void put(struct fleet_set *set, const char *label, size_t size, char *value) {
        for (size_t i = 0; i < ELEMENTSOF(labels); i++)
                if (strlen(labels[i].label) == size && memcmp(labels[i].label, label, size) == 0 &&
                    !*place_of(set, i)) {
                        *place_of(set, i) = value;
                        return;
                }
        free(value);
}

/* --- Text --- */

/* A quoted value, after its first quotation mark; *TEXT is behind its last one then. NULL: it has no end. */
static char *read_value(const char **text) {
        char *value = malloc(strcspn(*text, "\n") + 1), *to = value;
        const char *p = *text;

        for (; value && *p && *p != '"' && *p != '\n'; p++) {
                if (*p == '\\' && p[1])
                        *to++ = *++p == 'n' ? '\n' : *p;
                else
                        *to++ = *p;
        }
        if (!value || *p != '"') {
                free(value);
                return NULL;
        }
        *to = '\0';
        *text = p + 1;
        return value;
}

/* {a="b",c="d"}, after the bracket. */
static int read_labels(const char *text, struct fleet_set *ret) {
        while (*text && *text != '}') {
                const char *label = text;
                const size_t size = strcspn(text, "=}\n");
                char *value;

                if (strncmp(text + size, "=\"", 2) != 0)
                        return -EINVAL;
                text += size + 2;
                value = read_value(&text);
                if (!value)
                        return -EINVAL;
                put(ret, label, size, value);
                text += *text == ',';
        }
        return 0;
}

int fleet_read_text(const char *text, struct fleet *ret, struct error *error) {
        _cleanup_(fleet_clear) struct fleet fleet = { 0 };
        int r = 0;

        for (const char *line = text; *line && r == 0; line += strcspn(line, "\n"), line += *line == '\n') {
                struct fleet_set set = { 0 };

                if (!has_prefix(line, METRIC "{"))
                        continue;
                r = read_labels(line + strlen(METRIC "{"), &set);
                if (r == 0)
                        r = add(&fleet, &set);
                clear_set(&set);
        }
        if (r < 0)
                return error_set(error, r, "its metric " METRIC " cannot be read");
        *ret = fleet;
        fleet = (struct fleet) { 0 };
        return 0;
}

/* --- The API --- */

static int read_metric(const json_t *metric, struct fleet *fleet) {
        struct fleet_set set = { 0 };
        int r;

        for (size_t i = 0; i < ELEMENTSOF(labels); i++) {
                const char *value = json_string_value(json_object_get(metric, labels[i].label));

                if (value)
                        put(&set, labels[i].label, strlen(labels[i].label), strdup(value));
        }
        r = add(fleet, &set);
        clear_set(&set);
        return r;
}

int fleet_read_json(const char *text, size_t size, struct fleet *ret, struct error *error) {
        _cleanup_(fleet_clear) struct fleet fleet = { 0 };
        _cleanup_(json_decrefp) json_t *json = NULL;
        const json_t *result, *item;
        size_t i;
        int r;

        r = json_read(text, size, CALL_REPLY_MAX, &json, error);
        if (r < 0)
                return r;
        result = json_object_get(json_object_get(json, "data"), "result");
        if (!json_is_array(result))
                return error_set(error, -EINVAL, "it has no result of a query");
        json_array_foreach(result, i, item) {
                r = read_metric(json_object_get(item, "metric"), &fleet);
                if (r < 0)
                        return error_set_errno(error, r, "its result cannot be kept");
        }
        *ret = fleet;
        fleet = (struct fleet) { 0 };
        return 0;
}

/* --- The call --- */

static int get(const char *url, struct call_reply *ret, struct error *error) {
        int r;

        r = call_make(&(struct call_request) { .url = url }, ret, error);
        if (r < 0)
                return r;
        if (ret->answer != CALL_ANSWERED)
                return error_set(error, -EIO, "cannot call %s: %s", url, ret->why);
        return ret->status == 200 ? 0 : error_set(error, -EIO, "%s answers with status %u", url, ret->status);
}

int fleet_count(const char *url, struct fleet *ret, struct error *error) {
        _cleanup_(call_reply_clear) struct call_reply reply = { 0 };
        _cleanup_(freep) char *query = NULL;
        const bool is_text = has_suffix(url, "/metrics");
        const char *slash = has_suffix(url, "/") ? "" : "/";
        int r;

        if (!is_text && asprintf(&query, "%s%sapi/v1/query?query=" METRIC, url, slash) < 0)
                return error_set_errno(error, -ENOMEM, "cannot count the fleet");
        r = get(is_text ? url : query, &reply, error);
        if (r == 0)
                r = is_text ? fleet_read_text(reply.body, ret, error)
                            : fleet_read_json(reply.body, reply.size, ret, error);
        return r < 0 ? error_prefix(error, "cannot count the fleet at %s", url) : 0;
}
