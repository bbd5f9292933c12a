#include "lib/life/knowledge.h"

const char *const knowledge_names[KNOWLEDGE_MAX] = {
        [SET_UNKNOWN] = "unknown",
        [SET_NONE] = "none",
        [SET_KNOWN] = "known",
        [SET_UNREADABLE] = "unreadable",
};
