#pragma once

/* What a probe says of a certificate: a call that changes nothing, made with the certificate in use. Pure. */

#include <stdbool.h>

#include "lib/life/failure.h"

enum probe_answer {
        PROBE_NONE,     /* there was no probe yet */
        PROBE_ACCEPTED, /* by the edge, and by the Connector as far as its protocol can tell */
        PROBE_REJECTED, /* the edge does not accept the certificate */
        PROBE_DOUBTFUL, /* an answer that says neither: an empty 400, or what is no reply of a Connector */
        PROBE_UNKNOWN,  /* nobody has judged: no answer, or a server that cannot answer now */
        PROBE_MAX,
};
extern const char *const probe_answer_names[PROBE_MAX]; /* NULL for PROBE_NONE */

/* Of a call that ended with FAILURE, and with the HTTP STATUS, 0 where there is no reply. IS_UNHEARD: a proxy
 * has refused it. */
enum probe_answer probe_answer_find(enum failure failure, unsigned status, bool is_unheard);
