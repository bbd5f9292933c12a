#include "ca/cluster/lease.h"

#include <signal.h>
#include <stdio.h>

#include "lib/kube/kube-lease.h"
#include "lib/util/quote.h"

#define DURATION (10 * USEC_PER_MINUTE) /* longer than any step is patient */

struct lease {
        struct cluster *cluster;
        struct kube_name name;
        char self[KUBE_LEASE_HOLDER_MAX + 1];
        usec_t renewed_usec; /* CLOCK_BOOTTIME */
};

static struct kube_resource resource_of(const struct lease *lease) {
        return KUBE_LEASE(lease->name.namespace, lease->name.name);
}

/* "rekeyca/HOST/PID" */
static void name_self(char ret[KUBE_LEASE_HOLDER_MAX + 1]) {
        char host[128] = "";

        (void)gethostname(host, sizeof(host) - 1);
        snprintf(ret, KUBE_LEASE_HOLDER_MAX + 1, "rekeyca/%s/%d", host, (int)getpid());
}

/* A process of this machine that has ended cannot renew or release anything. */
static bool is_gone(const char *holder, const char *self) {
        const char *mine = strrchr(self, '/'), *its = strrchr(holder, '/');

        if (!mine || !its || its - holder != mine - self ||
            strncmp(holder, self, (size_t)(mine - self)) != 0 || atoi(its + 1) <= 0)
                return false;
        return kill(atoi(its + 1), 0) < 0 && errno == ESRCH;
}

static int store(struct lease *lease, enum kube_verb verb, json_t *object, struct error *error) {
        const struct kube_ask ask = {
                .verb = verb, .resource = resource_of(lease), .body = object, .manager = CLUSTER_MANAGER
        };
        int r;

        if (!object || kube_lease_take(object, lease->self, DURATION, now_usec(CLOCK_REALTIME)) < 0)
                return error_set_errno(error, -ENOMEM, "cannot take the Lease");
        r = cluster_ask(lease->cluster, &ask, NULL, error);
        if (r != KUBE_DONE)
                return cluster_errno(r) == -ESTALE
                               ? error_set(error, -EBUSY, "another rekeyca takes the Lease %s/%s",
                                           lease->name.namespace, lease->name.name)
                               : cluster_errno(r);
        lease->renewed_usec = now_usec(CLOCK_BOOTTIME);
        return 0;
}

static int refuse(const struct lease *lease, const struct kube_lease *seen, struct error *error) {
        char text[TIMESPAN_MAX];

        return error_set(
                error, -EBUSY,
                "another rekeyca is at work as %s: it holds the Lease %s/%s, for up to %s after it ends",
                quoted(seen->holder), lease->name.namespace, lease->name.name,
                format_timespan(text, seen->duration_usec));
}

static int take(struct lease *lease, struct error *error) {
        const struct kube_ask ask = { .verb = KUBE_GET, .resource = resource_of(lease) };
        _cleanup_(json_decrefp) json_t *object = NULL;
        struct kube_lease seen = { 0 };
        int r;

        r = cluster_ask(lease->cluster, &ask, &object, error);
        if (r == KUBE_NOT_FOUND) {
                object = kube_lease_new(lease->name.namespace, lease->name.name);
                return store(lease, KUBE_CREATE, object, error);
        }
        if (r != KUBE_DONE)
                return cluster_errno(r);
        r = kube_lease_see(&seen, object, now_usec(CLOCK_BOOTTIME), error);
        if (r < 0)
                return r;
        if (*seen.holder && !streq(seen.holder, lease->self) && !is_gone(seen.holder, lease->self))
                return refuse(lease, &seen, error);
        return store(lease, KUBE_REPLACE, object, error);
}

int lease_check_rights(struct cluster *cluster, const struct kube_name *name, struct error *error) {
        const struct kube_resource resource = KUBE_LEASE(name->namespace, name->name);

        return cluster_check_place(cluster, &resource, error);
}

int lease_take(struct cluster *cluster, const struct kube_name *name, struct lease **ret,
               struct error *error) {
        struct lease *lease = calloc(1, sizeof(*lease));
        int r;

        if (!lease)
                return error_set_errno(error, -ENOMEM, "cannot take the Lease");
        lease->cluster = cluster;
        lease->name = *name;
        name_self(lease->self);
        r = take(lease, error);
        if (r < 0) {
                free(lease);
                return r;
        }
        *ret = lease;
        return 0;
}

int lease_renew(struct lease *lease, struct error *error) {
        if (now_usec(CLOCK_BOOTTIME) < usec_add(lease->renewed_usec, DURATION / 3))
                return 0;
        return take(lease, error);
}

void lease_release(struct lease *lease) {
        struct kube_ask ask = { .verb = KUBE_GET, .manager = NULL };
        _cleanup_(json_decrefp) json_t *object = NULL;
        struct kube_lease seen = { 0 };

        if (!lease)
                return;
        ask.resource = resource_of(lease);
        if (cluster_ask(lease->cluster, &ask, &object, NULL) == KUBE_DONE &&
            kube_lease_see(&seen, object, now_usec(CLOCK_BOOTTIME), NULL) == 0 &&
            streq(seen.holder, lease->self) && kube_lease_release(object, now_usec(CLOCK_REALTIME)) == 0) {
                const struct kube_ask back = { .verb = KUBE_REPLACE,
                                               .resource = ask.resource,
                                               .body = object,
                                               .manager = CLUSTER_MANAGER };

                (void)cluster_ask(lease->cluster, &back, NULL, NULL);
        }
        free(lease);
}
