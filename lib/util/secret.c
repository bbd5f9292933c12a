#include "lib/util/secret.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

void free_cleansed(void *p) {
        if (p)
                explicit_bzero(p, malloc_usable_size(p));
        free(p);
}

void *realloc_cleansed(void *p, size_t size) {
        const size_t before = p ? malloc_usable_size(p) : 0;
        void *grown = malloc(size);

        if (!grown)
                return NULL;
        if (p)
                memcpy(grown, p, before < size ? before : size);
        free_cleansed(p);
        return grown;
}
