#pragma once

/* Standard error, without waiting for whoever reads it. */

#include "lib/util/log-queue.h"

extern const struct log_target log_stderr;
