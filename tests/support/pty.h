#pragma once

/* A child on a terminal of its own. */

#include "lib/util/macro.h"

struct pty;

/* Starts ARGV, with REKEYD_TEST_WRAPPER in front, on a terminal of that size; TERM is "xterm", and the locale
 * UTF-8. */
struct pty *pty_start(const char *const *argv, unsigned columns, unsigned lines);
struct pty *pty_free(struct pty *pty);
DEFINE_CLEANUP(struct pty *, pty_free);

/* Waits until TEXT has been printed after what was awaited last; aborts the test when it does not come. */
void pty_await(struct pty *pty, const char *text);

/* Types TEXT: "\003" is Ctrl-C. */
void pty_type(struct pty *pty, const char *text);

/* All that was printed up to now; borrowed. */
const char *pty_output(struct pty *pty);

/* Whether what is typed is echoed. */
bool pty_echoes(const struct pty *pty);

/* Its exit status, or 128 + the signal. */
int pty_wait(struct pty *pty);
