#pragma once

/* What the kernel knows of a running process. */

#include <sys/types.h>

#include "lib/util/time.h"

/* A size in /proc/PID/status, "RssAnon" or "VmRSS", in KiB. */
unsigned probe_kib(pid_t pid, const char *name);

/* CPU time of all its threads so far, those that have ended left out, in nanoseconds. */
uint64_t probe_cpu_nsec(pid_t pid);

/* CPU time of everything on this machine, in seconds. */
double probe_busy_sec(void);

/* How often its threads went to sleep by themselves, which is how often they were woken up. */
uint64_t probe_wakeups(pid_t pid);
