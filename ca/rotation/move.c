#include "ca/rotation/move.h"

#include <stdio.h>

static int by_another(struct error *error, const struct backend *backend) {
        return error_set(error, -ESTALE,
                         "%s was changed by another writer since it was read; nothing more is written",
                         backend->name);
}

/* What there is after a write that ended with R and SENTENCE, which is taken over. */
static int judge(struct backend *backend, const struct contents *wanted, const char *expected, int r,
                 struct error *sentence, char ret_version[VERSION_MAX], struct error *error) {
        _cleanup_(contents_clear) struct contents now = { 0 };
        char version[VERSION_MAX] = "";
        int q;

        q = backend->ops->read(backend, &now, version, r < 0 ? NULL : error);
        if (q == 0 && contents_equal(&now, wanted)) {
                memcpy(ret_version, version, VERSION_MAX);
                return 0;
        }
        if (r < 0 && r != -ESTALE && (q < 0 || streq(version, expected))) {
                error_move(error, sentence);
                return error_prefix(error, "cannot write %s", backend->name);
        }
        return q < 0 && q != -ENOENT ? q : by_another(error, backend);
}

int move_write(struct backend *backend, const struct contents *contents, const char *expected,
               char ret_version[VERSION_MAX], struct error *error) {
        _cleanup_(error_clear) struct error sentence = ERROR_INIT;
        char before[VERSION_MAX];
        int r;

        snprintf(before, sizeof(before), "%s", expected);
        r = backend->ops->write(backend, contents, before, &sentence);
        if (r < 0 && !sentence.text)
                error_set_errno(&sentence, r, "the back-end gives no reason");
        return judge(backend, contents, before, r, &sentence, ret_version, error);
}
