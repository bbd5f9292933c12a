/* Any bytes as a journal: refused, or within all limits; then it can be written, reads the same again, and
 * blocks nothing for longer than it may at whatever time it is loaded. */

#include "lib/life/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(expression)        \
        do {                       \
                if (!(expression)) \
                        abort();   \
        } while (0)

static void load_at(const char *json, const struct state_instant *now) {
        _cleanup_(state_clear) struct state state = { 0 };
        struct state_instant saved;

        require(state_parse(json, strlen(json), &state, &saved, NULL) == 0);
        state_sanitise(&state, &saved, now);
        require(state_check(&state, NULL) == 0);
        require(state.next_attempt_usec <= usec_add(now->realtime, USEC_PER_DAY));
        for (size_t i = 0; i < state.n_pending; i++)
                require(state.pending[i].next_attempt_usec <= usec_add(now->realtime, USEC_PER_DAY));
        for (size_t i = 0; i < state.n_issuances; i++)
                require(state.issuances[i] <= now->boottime &&
                        now->boottime - state.issuances[i] < USEC_PER_HOUR);
        require(state_record_issuance(&state, now->boottime) == 0);
        require(schedule_budget_wait(state.issuances, state.n_issuances, 1, now->boottime) == USEC_PER_HOUR);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const usec_t times[] = { 0, USEC_PER_MINUTE, UINT64_C(1795197442) * USEC_PER_SEC,
                                        USEC_INFINITY - 1 };
        _cleanup_(state_clear) struct state state = { 0 }, back = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *json = NULL, *again = NULL;
        struct state_instant saved, now;

        if (state_parse((const char *)data, size, &state, &saved, &error) < 0) {
                require(error.code < 0 && error.text && state_is_empty(&state));
                return 0;
        }
        require(state_check(&state, NULL) == 0);
        require(state_format(&state, &saved, &json, NULL) == 0);
        require(state_parse(json, strlen(json), &back, &saved, NULL) == 0);
        require(state_format(&back, &saved, &again, NULL) == 0);
        require(streq(json, again));

        for (size_t i = 0; i < ELEMENTSOF(times); i++)
                for (size_t j = 0; j < ELEMENTSOF(times); j++) {
                        now = (struct state_instant) { .boottime = times[i], .realtime = times[j] };
                        load_at(json, &now);
                        memcpy(now.boot_id, saved.boot_id, sizeof(now.boot_id));
                        load_at(json, &now);
                }
        return 0;
}
