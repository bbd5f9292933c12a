#pragma once

/* The one-time token for `rekeyctl enrol`. */

#include "lib/util/error.h"

#define TOKEN_MAX 16384u

/*
 * Reads the token from FILE, from standard input where FILE is "-", or by asking for it where FILE is NULL
 * and there is a terminal. What is read is one line; blanks around it do not count. *RET is owned, to be
 * freed by free_secret().
 *
 * 0, or -errno with a sentence that never quotes what was read: -ENOTTY where there is no terminal.
 */
int token_read(const char *file, const char *certificate, char **ret, struct error *error);
