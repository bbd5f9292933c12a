#include "daemon/manager/spare-memory.h"

#include <malloc.h>

#include "lib/util/time.h"

/* Each inspection takes some KiB. Fewer may as well keep them. */
#define INSPECTIONS_MIN 64u

/* Work comes in waves, and one wave is over by then. */
#define WAIT_USEC (5 * USEC_PER_SEC)

void spare_memory_clear(struct spare_memory *spare) {
        spare->timer = sd_event_source_disable_unref(spare->timer);
        spare->n = 0;
}

void spare_memory_give_back(struct spare_memory *spare) {
        spare_memory_clear(spare);
        malloc_trim(0);
}

static int on_time(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        spare_memory_give_back(userdata);
        return 0;
}

/* Without memory for a timer it stays as it is until the next wave. */
void spare_memory_schedule(struct spare_memory *spare) {
        if (!spare->timer)
                (void)sd_event_add_time_relative(spare->event, &spare->timer, CLOCK_BOOTTIME, WAIT_USEC, 0,
                                                 on_time, spare);
}

void spare_memory_count(struct spare_memory *spare) {
        if (++spare->n >= INSPECTIONS_MIN)
                spare_memory_schedule(spare);
}
