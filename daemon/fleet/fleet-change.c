/*
 * Certificates are known by their names. One that is in both configurations continues, with what it has under
 * way; one that is not in the new one is retired and its files stay. One that comes back before its end has
 * come continues as well: there is never a second one of a name.
 *
 * All that can fail happens while the plan is made; from there on nothing can.
 */

#include "daemon/fleet/fleet-change.h"

#include <errno.h>

void fleet_plan_clear(struct fleet_plan *plan) {
        for (size_t i = 0; plan->certificates && plan->is_new && i < plan->n; i++)
                if (plan->is_new[i])
                        certificate_free(plan->certificates[i]);
        free(plan->certificates);
        free(plan->is_new);
        free(plan->known);
        free(plan->goes_on);
        free(plan->retiring);
        *plan = (struct fleet_plan) { 0 };
}

static int compare_certificates(const void *a, const void *b) {
        return strcmp(certificate_name(*(struct certificate *const *)a),
                      certificate_name(*(struct certificate *const *)b));
}

static int compare_name(const void *name, const void *certificate) {
        return strcmp(name, certificate_name(*(struct certificate *const *)certificate));
}

static int allocate(const struct fleet *fleet, const struct config *config, struct fleet_plan *plan) {
        size_t n_known = fleet->n + fleet->n_retiring, n = config->n_certificates;

        plan->n = n;
        plan->certificates = calloc(n + 1, sizeof(*plan->certificates));
        plan->is_new = calloc(n + 1, sizeof(*plan->is_new));
        plan->known = calloc(n_known + 1, sizeof(*plan->known));
        plan->goes_on = calloc(n_known + 1, sizeof(*plan->goes_on));
        plan->retiring = calloc(n_known + 1, sizeof(*plan->retiring));
        return plan->certificates && plan->is_new && plan->known && plan->goes_on && plan->retiring ? 0
                                                                                                    : -ENOMEM;
}

static int make_certificate(struct environment *env, struct config *config, size_t i,
                            struct certificate **ret, struct error *error) {
        const struct config_certificate *certificate = &config->certificates[i];
        int r;

        r = certificate_new(env, config, certificate, ret, error);
        if (r >= 0)
                return 0;
        return error->code != 0
                       ? error_prefix(error, "cannot set up certificate %s", certificate->name)
                       : error_set_errno(error, r, "cannot set up certificate %s", certificate->name);
}

int fleet_plan_make(const struct fleet *fleet, struct environment *env, struct config *config,
                    struct fleet_plan *ret, struct error *error) {
        _cleanup_(fleet_plan_clear) struct fleet_plan plan = { 0 };
        int r;

        r = allocate(fleet, config, &plan);
        if (r < 0)
                return error_set(error, r, "out of memory");
        for (size_t i = 0; i < fleet->n; i++)
                plan.known[plan.n_known++] = fleet->certificates[i];
        for (size_t i = 0; i < fleet->n_retiring; i++)
                plan.known[plan.n_known++] = fleet->retiring[i];
        qsort(plan.known, plan.n_known, sizeof(*plan.known), compare_certificates);

        for (size_t i = 0; i < plan.n; i++) {
                struct certificate **known = bsearch(config->certificates[i].name, plan.known, plan.n_known,
                                                     sizeof(*plan.known), compare_name);

                if (known) {
                        plan.certificates[i] = *known;
                        plan.goes_on[known - plan.known] = true;
                        continue;
                }
                r = make_certificate(env, config, i, &plan.certificates[i], error);
                if (r < 0)
                        return r;
                plan.is_new[i] = true;
        }

        *ret = plan;
        plan = (struct fleet_plan) { 0 };
        return 0;
}

void fleet_begin(struct fleet *fleet, struct fleet_plan *plan) {
        fleet->certificates = take_ptr(plan->certificates);
        fleet->n = fleet->n_uninspected = plan->n;
        fleet->serial++;
        fleet_plan_clear(plan);
}

/* The lists alone. */
static void replace_lists(struct fleet *fleet, struct fleet_plan *plan) {
        free(fleet->certificates);
        fleet->certificates = take_ptr(plan->certificates);
        fleet->n = plan->n;
        fleet->serial++;
        free(fleet->retiring);
        fleet->retiring = take_ptr(plan->retiring);
        fleet->n_retiring = 0;
        for (size_t i = 0; i < plan->n_known; i++)
                if (!plan->goes_on[i])
                        fleet->retiring[fleet->n_retiring++] = plan->known[i];
}

/* Certificates may be freed by each call into them that lets them continue. */
struct fleet_changes fleet_change(struct fleet *fleet, struct fleet_plan *plan, struct config *config) {
        struct fleet_changes changes = { 0 };

        replace_lists(fleet, plan);

        /* Those that go first: one may be in a directory that another takes over. */
        for (size_t i = 0; i < plan->n_known; i++)
                if (!plan->goes_on[i] && !certificate_is_retiring(plan->known[i])) {
                        changes.n_removed++;
                        certificate_retire(plan->known[i]);
                }
        for (size_t i = 0; i < fleet->n; i++) {
                struct certificate *certificate = fleet->certificates[i];
                const struct config_certificate *new = &config->certificates[i];
                bool has_changed;

                if (plan->is_new[i]) {
                        changes.n_added++;
                        fleet->n_uninspected++;
                        certificate_start(certificate);
                        continue;
                }
                has_changed = !config_certificate_equal(certificate_config(certificate), new);
                if (certificate_is_retiring(certificate))
                        changes.n_added++;
                else
                        changes.n_changed += has_changed ? 1 : 0;
                certificate_reconfigure(certificate, config, new, has_changed);
        }
        changes.n_kept = fleet->n - changes.n_added - changes.n_changed;
        fleet_plan_clear(plan);
        return changes;
}
