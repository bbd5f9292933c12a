#pragma once

/* The one-time token for `rekeyctl enrol`. */

#include "lib/util/error.h"
#include "lib/util/time.h"

#define TOKEN_MAX 16384u

/*
 * Reads the token from FILE, from standard input where FILE is "-", or by asking for it where FILE is NULL
 * and there is a terminal. FILE may be a pipe, as the shell's <(COMMAND) is, and has until TIMEOUT_USEC then
 * (0: TOKEN_PIPE_USEC). What is read is one line; blanks around it do not count. *RET is owned, to be freed
 * by free_secret().
 *
 * 0, or -errno with a sentence that never quotes what was read: -ENOTTY where there is no terminal.
 */
#define TOKEN_PIPE_USEC (60 * USEC_PER_SEC)
int token_read(const char *file, const char *certificate, usec_t timeout_usec, char **ret,
               struct error *error);
