#pragma once

/* What is known of the current set of a certificate. That nothing is known has a word of its own: no number
 * says it by being 0, and no text by being empty. */

enum knowledge {
        SET_UNKNOWN,    /* it was not inspected yet */
        SET_NONE,       /* it was, and there is none */
        SET_KNOWN,      /* it was, and there is one */
        SET_UNREADABLE, /* it cannot be read at present: there may be a whole one */
        KNOWLEDGE_MAX,
};

extern const char *const knowledge_names[KNOWLEDGE_MAX];
