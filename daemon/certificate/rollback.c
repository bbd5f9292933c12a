/* Which generation comes back is decided by what lies on the disk at that moment: it is inspected as any
 * reader would. */

#include "daemon/certificate/rollback.h"

#include "daemon/certificate/attempt.h"
#include "lib/report/inspect.h"

struct rollback {
        struct job job;
        const struct config_certificate *config;
        bool is_named;        /* the generation is; else it is the newest that is still valid */
        uint64_t generation;  /* 0 is that of an adopted set */
        struct state revoked; /* what must not come back */
        rollback_done_t done;
        void *userdata;
        int result;
        struct error error;
};

struct rollback *rollback_free(struct rollback *rollback) {
        if (!rollback)
                return NULL;
        error_clear(&rollback->error);
        state_clear(&rollback->revoked);
        free(rollback);
        return NULL;
}

static bool was_revoked(const struct rollback *rollback, const struct inspected_generation *generation) {
        return state_has_revoked(&rollback->revoked, generation->fingerprint);
}

static bool is_suitable(const struct rollback *rollback, const struct inspected_generation *generation,
                        usec_t now) {
        return !generation->is_current && generation->problem.code == 0 && generation->not_after > now &&
               !was_revoked(rollback, generation);
}

static int choose(struct rollback *rollback, usec_t now) {
        const char *directory = rollback->config->directory;
        _cleanup_(inspection_clear) struct inspection inspection = { 0 };
        const struct inspected_generation *chosen = NULL;
        int r;

        r = inspect_directory(directory, &inspection);
        if (r < 0)
                return error_set(&rollback->error, r, "out of memory");
        for (size_t i = 0; i < inspection.n_generations && !chosen; i++) {
                const struct inspected_generation *generation = &inspection.generations[i];

                if (rollback->is_named ? generation->number == rollback->generation
                                       : is_suitable(rollback, generation, now))
                        chosen = generation;
        }
        if (!chosen && rollback->is_named)
                return error_set(&rollback->error, -ENOENT, "there is no generation %" PRIu64 " in %s",
                                 rollback->generation, directory);
        if (!chosen)
                return error_set(&rollback->error, -ENOENT,
                                 "there is no other generation in %s that is still valid and was not revoked",
                                 directory);
        if (was_revoked(rollback, chosen))
                return error_set(&rollback->error, -EPERM, "generation %" PRIu64 " was revoked",
                                 chosen->number);
        rollback->generation = chosen->number;
        return 0;
}

static void run(struct job *job) {
        struct rollback *rollback = container_of(job, struct rollback, job);
        const struct config_certificate *config = rollback->config;
        const struct store_options options = attempt_store_options(config);
        _cleanup_(store_closep) struct store *store = NULL;
        usec_t now = now_usec(CLOCK_REALTIME);
        int r;

        r = choose(rollback, now);
        if (r == 0)
                r = store_open(config->directory, &options, &store, &rollback->error);
        if (r == 0)
                r = store_rollback(store, rollback->generation, now, &rollback->error);
        rollback->result = r;
}

static void on_done(struct job *job) {
        struct rollback *rollback = container_of(job, struct rollback, job);

        rollback->done(rollback->result, rollback->generation, error_text(&rollback->error),
                       rollback->userdata);
}

int rollback_new(struct workers *workers, const struct config_certificate *config, const struct state *state,
                 const uint64_t *generation, rollback_done_t done, void *userdata, struct rollback **ret) {
        _cleanup_(rollback_freep) struct rollback *rollback = calloc(1, sizeof(*rollback));

        if (!rollback)
                return -ENOMEM;
        rollback->job = (struct job) { .run = run, .done = on_done };
        rollback->config = config;
        rollback->is_named = generation;
        rollback->generation = generation ? *generation : 0;
        rollback->done = done;
        rollback->userdata = userdata;
        for (size_t i = 0; i < state->n_revoked; i++)
                if (state_add_revoked(&rollback->revoked, state->revoked[i]) < 0)
                        return -ENOMEM;
        workers_submit(workers, &rollback->job);
        *ret = take_ptr(rollback);
        return 0;
}
