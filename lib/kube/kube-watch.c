/*
 * Lines come in pieces of any size, and a piece may hold several. What is kept of a line is cleansed
 * when it is outgrown, since it may be a key in base64.
 */

#include "lib/kube/kube-watch.h"

#include "lib/kube/kube-object.h"
#include "lib/util/json.h"

const char *const kube_event_names[KUBE_EVENT_KIND_MAX] = {
        [KUBE_EVENT_ADDED] = "ADDED",     [KUBE_EVENT_MODIFIED] = "MODIFIED",
        [KUBE_EVENT_DELETED] = "DELETED", [KUBE_EVENT_BOOKMARK] = "BOOKMARK",
        [KUBE_EVENT_ERROR] = "ERROR",
};

void kube_event_clear(struct kube_event *event) {
        json_decref(event->object);
        *event = (struct kube_event) { 0 };
}

static int find_kind(const char *name, enum kube_event_kind *ret) {
        for (size_t i = 0; name && i < KUBE_EVENT_KIND_MAX; i++)
                if (streq(name, kube_event_names[i])) {
                        *ret = (enum kube_event_kind)i;
                        return 0;
                }
        return -EPROTO;
}

/* The code of a Status; what has none, or one of success, is no error that anybody could act on. */
static enum kube_outcome judge_error(const json_t *status) {
        const json_int_t code = json_integer_value(json_object_get(status, "code"));
        const char *reason = json_string_value(json_object_get(status, "reason"));

        if (streq_null(reason, "Expired"))
                return KUBE_GONE;
        return code >= 300 && code < 600 ? kube_answer_judge((unsigned)code, reason, false) : KUBE_BAD_REPLY;
}

int kube_event_read(const char *line, size_t size, struct kube_event *ret, struct error *error) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        enum kube_event_kind kind;
        json_t *object;
        int r;

        r = json_read(line, size, KUBE_OBJECT_MAX, &root, error);
        if (r < 0)
                return error_prefix(error, "a line of the watch is wrong") == -ENOMEM ? -ENOMEM : -EPROTO;
        object = json_object_get(root, "object");
        if (find_kind(json_string_value(json_object_get(root, "type")), &kind) < 0 || !json_is_object(object))
                return error_set(error, -EPROTO, "a line of the watch is wrong: it is no event");
        *ret = (struct kube_event) {
                .kind = kind,
                .object = json_incref(object),
                .outcome = kind == KUBE_EVENT_ERROR ? judge_error(object) : KUBE_DONE,
        };
        return 0;
}

int kube_lines_push(struct kube_bytes *line, const char *data, size_t size,
                    int (*function)(const char *line, size_t size, void *userdata), void *userdata) {
        const char *end;
        int r = 0;

        while (r >= 0 && size > 0 && (end = memchr(data, '\n', size))) {
                const size_t n = (size_t)(end - data);

                r = kube_bytes_add(line, data, n, KUBE_OBJECT_MAX);
                if (r == 0 && line->size > 0)
                        r = function(line->data, line->size, userdata);
                line->size = 0;
                data += n + 1;
                size -= n + 1;
        }
        if (r >= 0 && size > 0)
                r = kube_bytes_add(line, data, size, KUBE_OBJECT_MAX);
        return r < 0 ? r : 0;
}
