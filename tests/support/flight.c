/* Begun, renewed, failed: one pass over the lines, which are many. */

#include "tests/support/flight.h"

#include <check.h>

#include "daemon/observe/messages.h"

bool flight_is_about(const char *line, size_t length, const char *fleet, const char *message_id) {
        _cleanup_(freep) char *certificate = NULL;

        ck_assert_int_ge(asprintf(&certificate, "\"certificate\":\"%s-", fleet), 0);
        return memmem(line, length, message_id, strlen(message_id)) &&
               memmem(line, length, certificate, strlen(certificate));
}

void flight_follow(struct flight *flight, const char *log, const char *other, unsigned n_others) {
        for (const char *end; (end = strchr(log, '\n')); log = end + 1) {
                size_t length = (size_t)(end - log);

                if (other && flight_is_about(log, length, other, MESSAGE_BEGUN) && --n_others == 0)
                        return;
                if (flight_is_about(log, length, flight->fleet, MESSAGE_BEGUN)) {
                        flight->begun++;
                        flight->now++;
                        if (flight->now > flight->most)
                                flight->most = flight->now;
                        if (flight->failed > 0 && flight->now > flight->most_after_failure)
                                flight->most_after_failure = flight->now;
                } else if (flight_is_about(log, length, flight->fleet, MESSAGE_RENEWED)) {
                        flight->now--;
                        flight->renewed++;
                } else if (flight_is_about(log, length, flight->fleet, MESSAGE_FAILED)) {
                        flight->now--;
                        flight->failed++;
                }
        }
}

struct flight flight_of(struct fixture *fixture, const char *fleet) {
        struct flight flight = { .fleet = fleet };

        flight_follow(&flight, process_output(fixture->rekeyd, PROCESS_STDERR), NULL, 0);
        return flight;
}

usec_t flight_await(struct fixture *fixture, const char *fleet, unsigned n) {
        usec_t begin;

        free(process_await(fixture->rekeyd, PROCESS_STDERR, MESSAGE_BEGUN));
        begin = now_usec(CLOCK_MONOTONIC);
        while (n > 0) {
                char *line = process_await(fixture->rekeyd, PROCESS_STDERR, MESSAGE_RENEWED);

                ck_assert_msg(line != NULL, "%u renewals never happened", n);
                n -= flight_is_about(line, strlen(line), fleet, MESSAGE_RENEWED);
                free(line);
        }
        return now_usec(CLOCK_MONOTONIC) - begin;
}
