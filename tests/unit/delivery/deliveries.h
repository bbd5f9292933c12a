#pragma once

/* A loop for deliveries, and what notifications hang on in the daemon: a state directory, and the journal of
 * "orders". */

#include <fcntl.h>
#include <signal.h>

#include "daemon/delivery/notifications.h"
#include "tests/support/scratch.h"
#include "tests/test.h"

static inline sd_event *new_loop(void) {
        sd_event *event;
        sigset_t mask;

        sigemptyset(&mask);
        sigaddset(&mask, SIGCHLD);
        sigprocmask(SIG_BLOCK, &mask, NULL);
        ck_assert_int_ge(sd_event_new(&event), 0);
        return event;
}

static inline struct children *new_children(sd_event *event) {
        struct children *children;

        ck_assert_int_eq(children_new(event, &children), 0);
        return children;
}

static inline struct config_notify shell_notify(const char **command) {
        return (struct config_notify) {
                .kind = NOTIFY_COMMAND,
                .command = (char **)(uintptr_t)command,
                .timeout_usec = 60 * USEC_PER_SEC,
        };
}

struct setup {
        struct loop_services services;
        struct observers observers;
        struct state_directory directory;
        char *scratch;
        struct state_file *state_file;
        struct notifications *notifications;
        unsigned n_settled;
        struct places places;
        usec_t patience_usec; /* 0: longer than the test takes */
        bool stays;           /* in the loop until nothing is owed */
};

static inline void on_settled(void *userdata) {
        struct setup *setup = userdata;

        setup->n_settled++;
        if (notifications_n_pending(setup->notifications) == 0 || !setup->stays)
                sd_event_exit(setup->services.event, 0);
}

/* Also while it runs: another configuration. */
static inline void setup_configure(struct setup *setup, const struct config_certificate *certificate,
                                   bool retry) {
        struct notifications *before = setup->notifications;
        const struct notifications_options options = {
                .services = &setup->services,
                .observers = &setup->observers,
                .certificate = certificate,
                .state_file = setup->state_file,
                .places = &setup->places,
                .patience_usec = setup->patience_usec > 0 ? setup->patience_usec : 60 * USEC_PER_SEC,
                .retry = retry,
                .idle = on_settled,
                .userdata = setup,
        };

        ck_assert_int_eq(notifications_new(&options, before, &setup->notifications), 0);
        notifications_free(before);
}

static inline void setup_start(struct setup *setup, const struct config_certificate *certificate,
                               bool retry) {
        struct loop_services *services = &setup->services;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *warning = NULL;

        *services = (struct loop_services) { .event = new_loop() };
        if (!setup->scratch)
                setup->scratch = scratch_new();
        ck_assert_int_eq(workers_new(services->event, 1, &services->disk_workers), 0);
        services->children = new_children(services->event);
        setup->directory = (struct state_directory) {
                .fd = open(setup->scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                .workers = services->disk_workers,
                .stopping = &services->stopping,
        };
        ck_assert_int_ge(setup->directory.fd, 0);
        ck_assert_int_eq(state_file_new(&setup->directory, "orders", &setup->state_file, &warning, &error),
                         0);
        ck_assert_ptr_null(warning);

        setup_configure(setup, certificate, retry);
        setup->n_settled = 0;
}

/* As the daemon ends: what it knows is on disk afterwards. */
static inline void setup_stop(struct setup *setup) {
        struct loop_services *services = &setup->services;

        atomic_store(&services->stopping, true);
        services->disk_workers = workers_free(services->disk_workers);
        setup->notifications = notifications_free(setup->notifications);
        services->children = children_free(services->children);
        setup->state_file = state_file_free(setup->state_file);
        fd_close(setup->directory.fd);
        services->event = sd_event_unref(services->event);
}

static inline void setup_owe(struct setup *setup, uint64_t generation) {
        struct state *state = &setup->state_file->state;

        state->generation = generation;
        memset(state->fingerprint, 'a', FINGERPRINT_HEX - 1);
        ck_assert_int_eq(notifications_schedule(setup->notifications), 0);
        state_file_save(setup->state_file);
}

static inline void run_until_settled(struct setup *setup) {
        ck_assert_int_ge(sd_event_loop(setup->services.event), 0);
        ck_assert_uint_eq(setup->n_settled, 1);
}

static inline void setup_clear(struct setup *setup) {
        if (setup->services.event)
                setup_stop(setup);
        scratch_free(setup->scratch);
}
