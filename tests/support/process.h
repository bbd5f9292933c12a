#pragma once

/* A child process whose lines of output are awaited, never slept for. */

#include <stdio.h>
#include <sys/types.h>

#include "lib/util/macro.h"
#include "lib/util/time.h"

/* How long any one event may take before a test gives up; under valgrind everything is slower. */
usec_t patience_usec(void);

struct process;

/* Starts ARGV with its standard output and error on pipes. REKEYD_TEST_WRAPPER in the environment goes before
 * it (a command and arguments, separated by blanks) when WRAPPED. Aborts the test when it cannot. */
struct process *process_start(const char *const *argv, bool wrapped);

/* Kills it if it runs, and frees. Accepts NULL, returns NULL. */
struct process *process_free(struct process *process);
DEFINE_CLEANUP(struct process *, process_free);

enum process_stream { PROCESS_STDOUT, PROCESS_STDERR };

/*
 * The next line on STREAM that contains WANTED (every one for ""), without its newline; lines that do not are
 * passed over and kept for process_output(). Owned by the caller. NULL at the end of the output, or when
 * patience ends; the output so far is then printed, to tell why.
 */
char *process_await(struct process *process, enum process_stream stream, const char *wanted);

/* The same, for a line that need not come: NULL without a word at the end of the output, or after WITHIN. */
char *process_poll(struct process *process, enum process_stream stream, const char *wanted, usec_t within);

/* Waits until FD, of somebody who hears of the process, can be read. False: it never can, since the process
 * has ended, or patience. */
bool process_await_readable(struct process *process, int fd);

/* All of STREAM up to now, borrowed until the next call. */
const char *process_output(struct process *process, enum process_stream stream);

/* The end of it, for the message of a failed assertion. */
const char *process_last_words(struct process *process, enum process_stream stream);

pid_t process_pid(const struct process *process);
void process_signal(struct process *process, int signal);

/* Reads the rest of both streams, reaps, and returns the exit status, or 128 + the signal; 255 when patience
 * ended. */
int process_wait(struct process *process);
