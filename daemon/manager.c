/*
 * The manager holds what certificates share and knows nothing of their states. Its one policy is the right to
 * renew: at most `limits.concurrent_renewals` attempts hold a slot, the others wait in line, so that a storm
 * of renewals neither floods a Connector nor opens a thousand files.
 */

#include "daemon/manager.h"

#include <systemd/sd-id128.h>

#include "daemon/certificate.h"

/* Threads for files: enough that a slow disk under one certificate does not hold up the others. */
#define DISK_WORKERS 4u

/* For deriving our own id from the machine's, which itself must not leave the machine. */
#define REKEYD_APP_ID SD_ID128_MAKE(79, 01, 47, 17, 69, 5f, 44, 28, 96, 9d, 47, 71, 82, c2, dc, ff)

static unsigned processors(void) {
        long n = sysconf(_SC_NPROCESSORS_ONLN);

        return n > 0 ? (unsigned)n : 1;
}

/* A container may have no machine id; jitter is then the same on all of them, and the rest works. */
static void derive_machine_id(uint8_t ret[16]) {
        sd_id128_t id;

        if (sd_id128_get_machine_app_specific(REKEYD_APP_ID, &id) < 0)
                id = REKEYD_APP_ID;
        memcpy(ret, id.bytes, 16);
}

int manager_new(sd_event *event, struct config *config, bool once, struct manager **ret,
                struct error *error) {
        _cleanup_(manager_freep) struct manager *manager = NULL;
        int r;

        manager = calloc(1, sizeof(*manager));
        if (!manager) {
                config_free(config);
                return error_set(error, -ENOMEM, "out of memory");
        }
        manager->event = sd_event_ref(event);
        manager->config = config;
        manager->once = once;
        manager->slots_free = config->limits.concurrent_renewals;
        derive_machine_id(manager->machine_id);

        r = workers_new(event, config->limits.key_workers > 0 ? config->limits.key_workers : processors(),
                        &manager->key_workers);
        if (r == 0)
                r = workers_new(event, DISK_WORKERS, &manager->disk_workers);
        if (r < 0)
                return error_set_errno(error, r, "cannot start worker threads");
        r = curl_glue_new(event, &manager->curl);
        if (r < 0)
                return error_set_errno(error, r, "cannot start libcurl");

        manager->certificates = calloc(config->n_certificates + 1, sizeof(*manager->certificates));
        if (!manager->certificates)
                return error_set(error, -ENOMEM, "out of memory");
        for (; manager->n_certificates < config->n_certificates; manager->n_certificates++) {
                r = certificate_new(manager, &config->certificates[manager->n_certificates],
                                    &manager->certificates[manager->n_certificates]);
                if (r < 0)
                        return error_set_errno(error, r, "cannot set up certificate %s",
                                               config->certificates[manager->n_certificates].name);
        }
        manager->n_unsettled = manager->n_certificates;

        *ret = take_ptr(manager);
        return 0;
}

void manager_start(struct manager *manager) {
        if (manager->once && manager->n_certificates == 0)
                sd_event_exit(manager->event, 0);
        for (size_t i = 0; i < manager->n_certificates; i++)
                certificate_wake(manager->certificates[i]);
}

struct manager *manager_free(struct manager *manager) {
        if (!manager)
                return NULL;
        /* The threads first: what they work on belongs to the certificates. */
        workers_free(manager->key_workers);
        workers_free(manager->disk_workers);
        for (size_t i = 0; i < manager->n_certificates; i++)
                certificate_free(manager->certificates[i]);
        free(manager->certificates);
        curl_glue_free(manager->curl);
        config_free(manager->config);
        sd_event_unref(manager->event);
        free(manager);
        return NULL;
}

bool manager_take_slot(struct manager *manager) {
        if (manager->slots_free == 0 || manager->first_waiting)
                return false;
        manager->slots_free--;
        return true;
}

void manager_return_slot(struct manager *manager) {
        struct certificate *certificate = manager->first_waiting;

        if (!certificate) {
                manager->slots_free++;
                return;
        }
        manager_dequeue(manager, certificate);
        certificate->has_slot = true;
        certificate_wake(certificate);
}

void manager_enqueue(struct manager *manager, struct certificate *certificate) {
        /* Without anybody in a slot nobody would call the queue; then there is one to take. */
        if (manager->slots_free > 0) {
                manager->slots_free--;
                certificate->has_slot = true;
                certificate_wake(certificate);
                return;
        }
        certificate->is_waiting = true;
        certificate->next_waiting = NULL;
        if (manager->last_waiting)
                manager->last_waiting->next_waiting = certificate;
        else
                manager->first_waiting = certificate;
        manager->last_waiting = certificate;
}

void manager_dequeue(struct manager *manager, struct certificate *certificate) {
        struct certificate **slot = &manager->first_waiting, *previous = NULL;

        while (*slot && *slot != certificate) {
                previous = *slot;
                slot = &previous->next_waiting;
        }
        if (!*slot)
                return;
        *slot = certificate->next_waiting;
        if (manager->last_waiting == certificate)
                manager->last_waiting = previous;
        certificate->is_waiting = false;
}

void manager_settled(struct manager *manager, bool renewed, bool failed) {
        manager->any_renewed = manager->any_renewed || renewed;
        manager->any_failed = manager->any_failed || failed;
        if (--manager->n_unsettled == 0)
                sd_event_exit(manager->event, manager_exit_status(manager));
}

int manager_exit_status(const struct manager *manager) {
        return manager->any_failed ? 1 : manager->any_renewed ? 2 : 0;
}
