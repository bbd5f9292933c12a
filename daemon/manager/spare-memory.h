#pragma once

/* Memory that much work has needed and left behind goes back to the kernel: malloc() keeps it for the next
 * time, which may be months away. */

#include <systemd/sd-event.h>

#include "lib/util/macro.h"

struct spare_memory {
        sd_event *event; /* borrowed */

        /* Private to spare-memory.c. */
        sd_event_source *timer; /* NULL: little was done since the last time */
        unsigned n;
};

/* {.event = ...} is ready. */
void spare_memory_clear(struct spare_memory *spare);

/* One more certificate was inspected, as happens at the end of a renewal too; and as much was done as a
 * reload takes. What is left behind goes back some seconds later, if it may be worth it. */
void spare_memory_count(struct spare_memory *spare);
void spare_memory_schedule(struct spare_memory *spare);

/* At once. */
void spare_memory_give_back(struct spare_memory *spare);
