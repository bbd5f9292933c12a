#include "lib/kube/kube-lease.h"

#include <stdio.h>

#include "lib/kube/kube-object.h"

#define DURATION_MAX_SEC (24 * 3600)

static const json_t *spec_of(const json_t *lease) {
        return json_object_get(lease, "spec");
}

int kube_lease_see(struct kube_lease *seen, const json_t *lease, usec_t now, struct error *error) {
        const char *holder = json_string_value(json_object_get(spec_of(lease), "holderIdentity"));
        const char *version = kube_object_version(lease);
        const json_int_t sec = json_integer_value(json_object_get(spec_of(lease), "leaseDurationSeconds"));
        struct kube_lease found = { .changed_usec = seen->changed_usec };

        if (!kube_object_is_kind(lease, "Lease") || !version || strlen(version) >= sizeof(found.version))
                return error_set(error, -EPROTO, "it is not a Lease");
        if (sec < 0 || sec > DURATION_MAX_SEC || (holder && strlen(holder) > KUBE_LEASE_HOLDER_MAX))
                return error_set(error, -EPROTO, "the Lease has a holder or a duration that none can have");
        if (!streq(version, seen->version))
                found.changed_usec = now;
        snprintf(found.holder, sizeof(found.holder), "%s", holder ? holder : "");
        snprintf(found.version, sizeof(found.version), "%s", version);
        found.duration_usec = (usec_t)sec * USEC_PER_SEC;
        *seen = found;
        return 0;
}

usec_t kube_lease_end(const struct kube_lease *seen) {
        return *seen->holder ? usec_add(seen->changed_usec, seen->duration_usec) : 0;
}

bool kube_lease_is_held(const struct kube_lease *seen, const char *self, usec_t now) {
        return streq(seen->holder, self) && now < kube_lease_end(seen);
}

bool kube_lease_is_free(const struct kube_lease *seen, const char *self, usec_t now) {
        return streq(seen->holder, self) || now >= kube_lease_end(seen);
}

const char *kube_microtime(char buffer[KUBE_MICROTIME_MAX], usec_t realtime_usec) {
        char text[TIMESTAMP_MAX];

        format_timestamp(text, realtime_usec - realtime_usec % USEC_PER_SEC);
        text[strcspn(text, "Z")] = '\0';
        snprintf(buffer, KUBE_MICROTIME_MAX, "%s.%06uZ", text, (unsigned)(realtime_usec % USEC_PER_SEC));
        return buffer;
}

/* VALUE is taken over; NULL: memory is out. */
static int set(json_t *lease, const char *name, json_t *value) {
        json_t *spec = json_object_get(lease, "spec");

        if (!json_is_object(spec)) {
                spec = json_object();
                if (!spec || json_object_set_new(lease, "spec", spec) < 0) {
                        json_decref(value);
                        return -ENOMEM;
                }
        }
        return value && json_object_set_new(spec, name, value) == 0 ? 0 : -ENOMEM;
}

static int set_holder(json_t *lease, const char *holder, usec_t duration_usec, usec_t realtime_usec) {
        char text[KUBE_MICROTIME_MAX];
        int r;

        r = set(lease, "holderIdentity", json_string(holder));
        if (r == 0)
                r = set(lease, "leaseDurationSeconds",
                        json_integer((json_int_t)(duration_usec / USEC_PER_SEC)));
        if (r == 0)
                r = set(lease, "renewTime", json_string(kube_microtime(text, realtime_usec)));
        return r;
}

int kube_lease_take(json_t *lease, const char *self, usec_t duration_usec, usec_t realtime_usec) {
        const json_t *spec = spec_of(lease);
        const char *holder = json_string_value(json_object_get(spec, "holderIdentity"));
        const json_int_t transitions = json_integer_value(json_object_get(spec, "leaseTransitions"));
        const bool is_own = streq_null(holder, self);
        char text[KUBE_MICROTIME_MAX];
        int r;

        r = set_holder(lease, self, duration_usec, realtime_usec);
        if (r == 0 && !is_own)
                r = set(lease, "acquireTime", json_string(kube_microtime(text, realtime_usec)));
        if (r == 0 && !is_own)
                r = set(lease, "leaseTransitions", json_integer(transitions + 1));
        return r;
}

int kube_lease_release(json_t *lease, usec_t realtime_usec) {
        return set_holder(lease, "", USEC_PER_SEC, realtime_usec);
}

json_t *kube_lease_new(const char *namespace, const char *name) {
        return json_pack("{s:s, s:s, s:{s:s, s:s}, s:{}}", "apiVersion", "coordination.k8s.io/v1", "kind",
                         "Lease", "metadata", "namespace", namespace, "name", name, "spec");
}
