#pragma once

/* Questions to the person at the terminal: on standard error, answered on standard input. */

#include "lib/util/macro.h"

/* Whether there is a terminal to prompt on. */
bool question_is_possible(void);

/* "SENTENCE [y/N] ". True for "y" and "yes" only. */
bool question_confirm(const char *sentence);

/*
 * A line that is not echoed, without its newline; owned, to be freed by free_secret(). 0; -ENODATA for an end
 * of the input without a line; -EMSGSIZE for more than a terminal's line can hold; -EINTR after a signal,
 * which has had its usual effect once the terminal was in order again; or -errno.
 */
int question_secret(const char *prompt, char **ret);
