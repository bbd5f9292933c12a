#include "ca/rotation/guard.h"

const char *const guard_texts[GUARD_MAX] = {
        [GUARD_REFUSED] = "leaves in use may be lost",
        [GUARD_CARRIED] =
                ("the key, the name and the key identifier are the same, so all leaves verify to the new "
                 "certificate alone"),
        [GUARD_REJECTED] = "the gateways reject the leaves of the old CA already",
        [GUARD_NONE_LEFT] = "no set is issued under it any more",
        [GUARD_EXPIRED] = "its last leaf has expired",
        [GUARD_FORCED] = "the operator gives up the leaves by name",
};

enum guard_answer guard_find(const struct guard_facts *facts) {
        if (facts->is_carried)
                return GUARD_CARRIED;
        if (facts->is_rejected)
                return GUARD_REJECTED;
        if (facts->is_counted && facts->n_left == 0)
                return GUARD_NONE_LEFT;
        if (facts->last_issued != 0 && facts->now > usec_add(facts->last_issued, facts->leaf_lifetime))
                return GUARD_EXPIRED;
        if (!strempty(facts->forced) && !facts->unnamed)
                return GUARD_FORCED;
        return GUARD_REFUSED;
}

bool guard_has_name(const char *list, const char *name) {
        const size_t n = strlen(name);

        for (const char *at = list; at && *at;) {
                const size_t m = strcspn(at, ",");

                if (m == n && memcmp(at, name, n) == 0)
                        return true;
                at += m + (at[m] == ',');
        }
        return false;
}
