#pragma once

/* A watch: an answer without end, with an event on each line. Pure. */

#include <jansson.h>

#include "lib/kube/kube-answer.h"
#include "lib/kube/kube-bytes.h"

enum kube_event_kind {
        KUBE_EVENT_ADDED,
        KUBE_EVENT_MODIFIED,
        KUBE_EVENT_DELETED,
        KUBE_EVENT_BOOKMARK, /* no change: the object has the version from which to go on */
        KUBE_EVENT_ERROR,
        KUBE_EVENT_KIND_MAX,
};
extern const char *const kube_event_names[KUBE_EVENT_KIND_MAX]; /* "ADDED" ... */

struct kube_event {
        enum kube_event_kind kind;
        json_t *object;            /* owned */
        enum kube_outcome outcome; /* KUBE_EVENT_ERROR: what it means. Its code stands inside a stream of
                                    * status 200, so 410 is found here and nowhere else */
};
void kube_event_clear(struct kube_event *event);

/* 0, -ENOMEM, or -EPROTO with a sentence. */
int kube_event_read(const char *line, size_t size, struct kube_event *ret, struct error *error);

/*
 * Takes SIZE bytes; LINE is what has come of a line so far, empty at first. It is only kept between calls:
 * this takes it, and calls FUNCTION with each line that is whole, without its end, until that returns a
 * negative value. 0, that value, -ENOMEM, or -EFBIG for a line beyond KUBE_OBJECT_MAX.
 */
int kube_lines_push(struct kube_bytes *line, const char *data, size_t size,
                    int (*function)(const char *line, size_t size, void *userdata), void *userdata);
