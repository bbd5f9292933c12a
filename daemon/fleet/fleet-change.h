#pragma once

/* Going over to another configuration, in two steps: whatever may fail, then the change. */

#include "daemon/fleet/fleet.h"

/* What the change is made of; {0} is an empty one. */
struct fleet_plan {
        struct certificate **certificates; /* in the order of the new configuration */
        bool *is_new;                      /* those of them that were made for it */
        size_t n;

        struct certificate **known; /* the present ones and those that retire, by name */
        bool *goes_on;              /* those of them that the new configuration has as well */
        size_t n_known;

        struct certificate **retiring; /* room for those that it has not */
};

/* Makes what FLEET has not for CONFIG. FLEET is as before. 0, or -errno with a sentence. */
int fleet_plan_make(const struct fleet *fleet, struct environment *env, struct config *config,
                    struct fleet_plan *ret, struct error *error);

/* Frees also the certificates that were made for it, unless fleet_begin() or fleet_change() took them. */
void fleet_plan_clear(struct fleet_plan *plan);

/* An empty FLEET takes PLAN's certificates. None is started. */
void fleet_begin(struct fleet *fleet, struct fleet_plan *plan);

struct fleet_changes {
        size_t n_added, n_changed, n_removed, n_kept;
};

/* Takes PLAN's certificates, starts those that are new, reconfigures those that continue, and retires the
 * others. CONFIG is that of the plan. */
struct fleet_changes fleet_change(struct fleet *fleet, struct fleet_plan *plan, struct config *config);
