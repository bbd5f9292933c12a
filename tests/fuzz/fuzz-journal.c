/* Any bytes as a journal: refused, or within all limits; then it can be written, reads the same again, and
 * blocks nothing for longer than it may at whatever time it is loaded. */

#include "lib/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(expression)        \
        do {                       \
                if (!(expression)) \
                        abort();   \
        } while (0)

static void load_at(const char *json, const struct journal_instant *now) {
        _cleanup_(journal_clear) struct journal journal = { 0 };
        struct journal_instant saved;

        require(journal_parse(json, strlen(json), &journal, &saved, NULL) == 0);
        journal_sanitise(&journal, &saved, now);
        require(journal_check(&journal, NULL) == 0);
        require(journal.next_attempt_usec <= usec_add(now->realtime, USEC_PER_DAY));
        for (size_t i = 0; i < journal.n_owed; i++)
                require(journal.owed[i].next_attempt_usec <= usec_add(now->realtime, USEC_PER_DAY));
        for (size_t i = 0; i < journal.n_issuances; i++)
                require(journal.issuances[i] <= now->boottime &&
                        now->boottime - journal.issuances[i] < USEC_PER_HOUR);
        require(journal_record_issuance(&journal, now->boottime) == 0);
        require(schedule_budget_wait(journal.issuances, journal.n_issuances, 1, now->boottime) ==
                USEC_PER_HOUR);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const usec_t times[] = { 0, USEC_PER_MINUTE, UINT64_C(1795197442) * USEC_PER_SEC,
                                        USEC_INFINITY - 1 };
        _cleanup_(journal_clear) struct journal journal = { 0 }, back = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *json = NULL, *again = NULL;
        struct journal_instant saved, now;

        if (journal_parse((const char *)data, size, &journal, &saved, &error) < 0) {
                require(error.code < 0 && error.text && journal_is_empty(&journal));
                return 0;
        }
        require(journal_check(&journal, NULL) == 0);
        require(journal_format(&journal, &saved, &json, NULL) == 0);
        require(journal_parse(json, strlen(json), &back, &saved, NULL) == 0);
        require(journal_format(&back, &saved, &again, NULL) == 0);
        require(streq(json, again));

        for (size_t i = 0; i < ELEMENTSOF(times); i++)
                for (size_t j = 0; j < ELEMENTSOF(times); j++) {
                        now = (struct journal_instant) { .boottime = times[i], .realtime = times[j] };
                        load_at(json, &now);
                        memcpy(now.boot_id, saved.boot_id, sizeof(now.boot_id));
                        load_at(json, &now);
                }
        return 0;
}
