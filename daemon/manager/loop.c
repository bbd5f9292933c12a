/*
 * sd_event_loop(), with a clock around each dispatch. What is measured is wall time: on a busy machine it
 * includes the moments in which the loop's thread was ready and another had the processor, as a caller would
 * feel it.
 */

#include "daemon/manager/loop.h"

int loop_run(sd_event *event, struct metrics *metrics) {
        usec_t begin;
        int r, code;

        while (sd_event_get_state(event) != SD_EVENT_FINISHED) {
                r = sd_event_prepare(event);
                if (r == 0)
                        r = sd_event_wait(event, UINT64_MAX);
                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                begin = now_usec(CLOCK_MONOTONIC);
                r = sd_event_dispatch(event);
                metrics_count_turn(metrics, now_usec(CLOCK_MONOTONIC) - begin);
                if (r < 0)
                        return r;
        }

        r = sd_event_get_exit_code(event, &code);
        return r < 0 ? r : code;
}
