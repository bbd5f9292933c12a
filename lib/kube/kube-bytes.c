#include "lib/kube/kube-bytes.h"

#include <errno.h>

void kube_bytes_clear(struct kube_bytes *bytes) {
        if (bytes->data)
                explicit_bzero(bytes->data, bytes->room);
        free(bytes->data);
        *bytes = (struct kube_bytes) { 0 };
}

static int grow(struct kube_bytes *bytes, size_t size) {
        const size_t room = 2 * (bytes->size + size) + 1;
        char *grown = malloc(room);

        if (!grown)
                return -ENOMEM;
        if (bytes->data) {
                memcpy(grown, bytes->data, bytes->size);
                explicit_bzero(bytes->data, bytes->room);
        }
        free(bytes->data);
        bytes->data = grown;
        bytes->room = room;
        return 0;
}

int kube_bytes_add(struct kube_bytes *bytes, const char *data, size_t size, size_t max) {
        if (size > max || bytes->size > max - size)
                return -EFBIG;
        if (size >= bytes->room - bytes->size && grow(bytes, size) < 0)
                return -ENOMEM;
        if (size > 0)
                memcpy(bytes->data + bytes->size, data, size);
        bytes->size += size;
        bytes->data[bytes->size] = '\0';
        return 0;
}
