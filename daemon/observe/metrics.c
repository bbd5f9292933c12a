/*
 * Counting. Whatever happens adds to a plain number, and nothing more: names, units and text are built at a
 * request (metrics-text.c), so counting costs an addition.
 *
 * Buckets are where the questions are. A step is milliseconds on the disk, seconds for a key, and up to two
 * minutes for a Connector that does not answer. A turn of the loop should end within 20 ms.
 */

#include "daemon/observe/metrics.h"

#define MS(n) ((n)*USEC_PER_MSEC)
#define S(n)  ((n)*USEC_PER_SEC)

const struct histogram_bounds metrics_step_bounds = {
        .n = 15,
        .usec = { MS(1), MS(5), MS(10), MS(25), MS(50), MS(100), MS(250), MS(500), S(1), MS(2500), S(5),
                  S(10), S(30), S(60), S(120) },
};

const struct histogram_bounds metrics_turn_bounds = {
        .n = 13,
        .usec = { 100, 250, 500, MS(1), 2500, MS(5), MS(10), MS(20), MS(50), MS(100), MS(250), MS(500),
                  S(1) },
};

static void count(struct histogram *histogram, const struct histogram_bounds *bounds, usec_t took_usec) {
        size_t i = 0;

        while (i < bounds->n && took_usec > bounds->usec[i])
                i++;
        histogram->counts[i]++;
        histogram->n++;
        histogram->sum_usec = usec_add(histogram->sum_usec, took_usec);
}

void metrics_count_step(struct metrics *metrics, enum renewal_step step, usec_t took_usec) {
        count(&metrics->steps[step], &metrics_step_bounds, took_usec);
}

void metrics_count_turn(struct metrics *metrics, usec_t took_usec) {
        count(&metrics->turns, &metrics_turn_bounds, took_usec);
        if (took_usec > metrics->longest_turn_usec)
                metrics->longest_turn_usec = took_usec;
}

void metrics_count_reload(struct metrics *metrics, bool is_good, usec_t now) {
        metrics->reload_has_failed = !is_good;
        if (!is_good) {
                metrics->reload_failures++;
                return;
        }
        metrics->reloads++;
        metrics->last_reload_usec = now;
}
