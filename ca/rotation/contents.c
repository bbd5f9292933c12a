#include "ca/rotation/contents.h"

#include <errno.h>

void contents_clear(struct contents *contents) {
        for (size_t i = 0; i < CONTENTS_MAX; i++)
                contents->texts[i] = free_secret(contents->texts[i]);
}

int contents_make(const char *a, const char *b, struct contents *ret) {
        const char *const from[CONTENTS_MAX] = { a, b };
        struct contents made = { 0 };

        for (size_t i = 0; i < CONTENTS_MAX; i++) {
                made.texts[i] = from[i] ? strdup(from[i]) : NULL;
                if (from[i] && !made.texts[i]) {
                        contents_clear(&made);
                        return -ENOMEM;
                }
        }
        *ret = made;
        return 0;
}

bool contents_equal(const struct contents *a, const struct contents *b) {
        for (size_t i = 0; i < CONTENTS_MAX; i++)
                if (!streq_null(a->texts[i], b->texts[i]))
                        return false;
        return true;
}

bool contents_between(const struct contents *contents, const struct contents *a, const struct contents *b) {
        for (size_t i = 0; i < CONTENTS_MAX; i++)
                if (!streq_null(contents->texts[i], a->texts[i]) &&
                    !streq_null(contents->texts[i], b->texts[i]))
                        return false;
        return true;
}
