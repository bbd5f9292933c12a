#pragma once

/* What is wrong with a certificate, who has to do something about it, and what. */

#include <stdio.h>

#include "ctl/view.h"

enum verdict_level {
        VERDICT_FINE,
        VERDICT_WATCH, /* rekeyd is working on it, and no operator is needed yet */
        VERDICT_CALL,  /* needs attention; the certificate still works */
        VERDICT_DOWN,  /* there is no certificate that works */
        VERDICT_LEVEL_MAX,
};
extern const char *const verdict_level_names[VERDICT_LEVEL_MAX];

/* One thing that is wrong. */
struct finding {
        enum verdict_level level;
        char *sentence;     /* without the name and a full stop */
        const char *advice; /* what goes before the command, without a colon; NULL: nothing */
        char *command;      /* NULL: to wait */
        char *then;         /* the command after that one; NULL: none */
};

#define VERDICT_FINDINGS_MAX 12 /* one of each group, with room to grow */

/* The worst first. */
struct verdict {
        enum verdict_level level;
        struct finding findings[VERDICT_FINDINGS_MAX];
        size_t n_findings;
};
void verdict_clear(struct verdict *verdict);

/* IS_OFFLINE: no rekeyd runs. 0 or -ENOMEM. Pure. */
int verdict_judge(const struct view *view, usec_t now, bool is_offline, struct verdict *ret);

/* The advice after a failed request, by its EVENT: "ADVICE: COMMAND", with "; then: COMMAND" where its cause
 * is to be mended first. TRY_AGAIN is the command that has failed, with "%s" for the name. Owned; NULL when
 * memory is out. */
char *verdict_advise(const json_t *event, const char *name, const char *try_again);
