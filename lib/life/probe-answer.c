#include "lib/life/probe-answer.h"

#include <stddef.h>

const char *const probe_answer_names[PROBE_MAX] = {
        [PROBE_NONE] = NULL,           [PROBE_ACCEPTED] = "accepted", [PROBE_REJECTED] = "rejected",
        [PROBE_DOUBTFUL] = "doubtful", [PROBE_UNKNOWN] = "unknown",
};

enum probe_answer probe_answer_find(enum failure failure, unsigned status, bool is_unheard) {
        if (is_unheard)
                return PROBE_UNKNOWN;
        switch (failure) {
        case FAILURE_NONE:
                return PROBE_ACCEPTED;
        case FAILURE_REJECTED:
                return PROBE_REJECTED;
        case FAILURE_REFUSED:
        case FAILURE_BAD_REPLY:
                return PROBE_DOUBTFUL;
        case FAILURE_TRANSIENT:
                /* The compass edge's one answer to three causes: revoked, unpaired, Director down. */
                return status == 400 ? PROBE_DOUBTFUL : PROBE_UNKNOWN;
        case FAILURE_LOCAL:
        case FAILURE_MAX:
                break;
        }
        return PROBE_UNKNOWN;
}
