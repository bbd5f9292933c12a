#pragma once

/* An assertion for where those of Check do not work: in a child, in a thread, before any test runs. */

#include <stdio.h>
#include <stdlib.h>

#define must(expression)                                                                          \
        do {                                                                                      \
                if (!(expression)) {                                                              \
                        fprintf(stderr, "%s:%d: refused: %s\n", __FILE__, __LINE__, #expression); \
                        abort();                                                                  \
                }                                                                                 \
        } while (0)
