#pragma once

/* Bytes that arrive in pieces, and may be secret: what is outgrown is overwritten. */

#include "lib/util/macro.h"

struct kube_bytes {
        char *data; /* NUL-terminated once there is something */
        size_t size, room;
};
void kube_bytes_clear(struct kube_bytes *bytes);

/* 0, -ENOMEM, or -EFBIG for more than MAX in all; nothing is taken then. */
int kube_bytes_add(struct kube_bytes *bytes, const char *data, size_t size, size_t max);
