#pragma once

/* The system calls of crash-store at which it can be killed or failed, from its trace. */

#include "lib/util/macro.h"

#define POINTS_MAX 1024

/* What the program could rely on when it came to a point. */
enum promise { PROMISE_KEY = 1, PROMISE_CERTIFICATE = 2, PROMISE_SWAP = 4 };

struct point {
        char call[24];
        unsigned when;     /* the number among the calls of this name, from the start of the program */
        unsigned promises; /* of enum promise */
        bool can_fail;
        bool only_reads; /* opens a file that exists: that needs no space */
};

struct points {
        struct point items[POINTS_MAX];
        size_t n;
};

/* The calls between the markers in TEXT, the output of `strace -f -o`, which is taken apart. Aborts the test
 * when there is no end marker. */
void points_parse(char *text, struct points *ret);
