#pragma once

/* Questions to the person at the terminal: on standard error, answered on standard input. */

#include "lib/util/macro.h"

/* Whether there is somebody to ask. */
bool question_is_possible(void);

/* "SENTENCE [y/N] ". True for "y" and "yes" only. */
bool question_confirm(const char *sentence);

/* A line that is not echoed, without its newline; owned, to be freed by free_secret(). 0, -EINTR for a
 * signal, which has its usual effect, if that is not the end, after the terminal has been put in order;
 * -ENODATA for an end without a line, -EMSGSIZE for one that is too long for a terminal, or -errno. */
int question_secret(const char *prompt, char **ret);
