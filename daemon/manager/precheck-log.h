#pragma once

/* Warnings of what a configuration in use will make fail. */

#include "lib/report/precheck.h"

struct events;

/* A line for each problem, up to a limit. */
void precheck_log(const struct prechecks *prechecks, struct events *events);
