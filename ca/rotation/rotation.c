#include "ca/rotation/rotation.h"

#include <stdarg.h>
#include <stdio.h>

#include "ca/rotation/move.h"
#include "ca/rotation/stage.h"
#include "ca/rotation/states.h"

struct rotation {
        struct rotation_places places;
        const struct rotation_ports *ports;
        void *userdata;
        struct record *record;     /* as in the state file, but for what the step under way changes */
        char version[VERSION_MAX]; /* of the state file */
};

const char *const place_state_texts[PLACE_STATE_MAX] = {
        [PLACE_OTHER] = "changed by another writer",
        [PLACE_BEFORE] = "as before",
        [PLACE_BOTH] = "old and new CA",
        [PLACE_FINAL] = "new CA",
        [PLACE_HALF] = "half written",
        [PLACE_MISSING] = "missing",
};

_printf_(2, 3) static void say(struct rotation *rotation, const char *format, ...) {
        _cleanup_(freep) char *text = NULL;
        va_list args;
        int n;

        va_start(args, format);
        n = vasprintf(&text, format, args);
        va_end(args);
        if (n < 0)
                text = NULL;
        rotation->ports->say(rotation->userdata, text ? text : "out of memory");
}

/* Whole seconds, as the state file has them. */
static usec_t now_of(const struct rotation *rotation) {
        const usec_t now = rotation->ports->now(rotation->userdata);

        return now - now % USEC_PER_SEC;
}

/* --- The state file --- */

static int load(struct rotation *rotation, struct error *error) {
        _cleanup_(contents_clear) struct contents contents = { 0 };
        struct backend *state = rotation->places.state;
        int r;

        r = state->ops->read(state, &contents, rotation->version, error);
        if (r == -ENOENT) {
                error_clear(error ? error : &(struct error) { 0 });
                rotation->version[0] = '\0';
                return 0;
        }
        if (r < 0)
                return r;
        r = record_read(contents.texts[0], &rotation->record, error);
        if (r < 0)
                (void)error_prefix(error, "cannot read %s", state->name);
        return r == -EINVAL ? -EBADMSG : r;
}

/* What an interrupted write of the state file has left has keys in it, also where it was the last one. */
static int tidy_state(const struct rotation *rotation, struct error *error) {
        struct backend *state = rotation->places.state;

        return state->ops->tidy ? state->ops->tidy(state, NULL, 0, error) : 0;
}

static int save(struct rotation *rotation, struct error *error) {
        _cleanup_(contents_clear) struct contents contents = { 0 };
        char version[VERSION_MAX];
        int r;

        r = record_write(rotation->record, &contents.texts[0]);
        if (r < 0)
                return error_set_errno(error, r, "cannot write %s", rotation->places.state->name);
        memcpy(version, rotation->version, sizeof(version));
        r = move_write(rotation->places.state, &contents, version, rotation->version, error);
        return r < 0 ? r : tidy_state(rotation, error);
}

static int enter(struct rotation *rotation, enum phase phase, struct error *error) {
        rotation->record->phase = phase;
        rotation->record->entered[phase] = now_of(rotation);
        if (phase_is_end(phase))
                record_erase_keys(rotation->record);
        return save(rotation, error);
}

int rotation_open(const struct rotation_places *places, const struct rotation_ports *ports, void *userdata,
                  struct rotation **ret, struct error *error) {
        _cleanup_(rotation_freep) struct rotation *rotation = calloc(1, sizeof(*rotation));
        int r;

        if (!rotation)
                return error_set_errno(error, -ENOMEM, "cannot begin");
        rotation->places = *places;
        rotation->ports = ports;
        rotation->userdata = userdata;
        r = load(rotation, error);
        if (r < 0)
                return r;
        *ret = take_ptr(rotation);
        return 0;
}

struct rotation *rotation_free(struct rotation *rotation) {
        if (!rotation)
                return NULL;
        record_free(rotation->record);
        free(rotation);
        return NULL;
}

const struct record *rotation_record(const struct rotation *rotation) {
        return rotation->record;
}

int rotation_set_forced(struct rotation *rotation, const char *names) {
        char *copy = names ? strdup(names) : NULL;

        if (names && !copy)
                return -ENOMEM;
        if (rotation->record) {
                free(rotation->record->forced);
                rotation->record->forced = take_ptr(copy);
        }
        free(copy);
        return 0;
}

/* --- Places --- */

static struct backend *backend_at(const struct rotation *rotation, size_t i) {
        return i == 0 ? rotation->places.signer : rotation->places.trusts[i - 1];
}

static struct record_place *place_at(const struct rotation *rotation, size_t i) {
        return i == 0 ? &rotation->record->signer : &rotation->record->trusts[i - 1];
}

/* One place as it is. */
struct sight {
        struct states states;
        struct contents now;
        char version[VERSION_MAX];
        unsigned found; /* STATE_*; 0: none of them */
};

static void sight_clear(struct sight *sight) {
        states_clear(&sight->states);
        contents_clear(&sight->now);
}

/* Before there is a new certificate, there is only what was before. */
static int work_out(const struct rotation *rotation, size_t i, struct states *ret, struct error *error) {
        const struct record_place *place = place_at(rotation, i);

        if (rotation->record->new_certificate)
                return i == 0 ? states_of_signer(rotation->record, ret, error)
                              : states_of_trust(rotation->record, place, ret, error);
        if (contents_make(place->before.texts[0], place->before.texts[1], &ret->before) < 0)
                return error_set_errno(error, -ENOMEM, "cannot read %s", place->name);
        return 0;
}

static int see(const struct rotation *rotation, size_t i, struct sight *ret, struct error *error) {
        struct backend *backend = backend_at(rotation, i);
        int r;

        r = work_out(rotation, i, &ret->states, error);
        if (r == 0)
                r = backend->ops->read(backend, &ret->now, ret->version, error);
        if (r == 0)
                ret->found = states_find(&ret->states, &ret->now);
        return r;
}

static int refuse_place(const struct rotation *rotation, size_t i, unsigned found, struct error *error) {
        const char *name = backend_at(rotation, i)->name, *phase = phase_names[rotation->record->phase];

        if (found == 0)
                return error_set(
                        error, -ESTALE,
                        "%s was changed by another writer since the rotation was planned; nothing is "
                        "written until it has one of the contents of the rotation",
                        name);
        return error_set(
                error, -ESTALE,
                "%s was set back by another writer: it does not have what the phase %s has left there; "
                "nothing is written until that program is stopped and the contents are restored",
                name, phase);
}

static int check_place(const struct rotation *rotation, size_t i, struct error *error) {
        const unsigned allowed = states_allowed(rotation->record->reason, rotation->record->phase, i == 0);
        _cleanup_(sight_clear) struct sight sight = { 0 };
        int r;

        r = see(rotation, i, &sight, error);
        if (r < 0)
                return r;
        return sight.found & allowed ? 0 : refuse_place(rotation, i, sight.found, error);
}

static int tidy_place(const struct rotation *rotation, size_t i, struct error *error) {
        struct backend *backend = backend_at(rotation, i);
        _cleanup_(states_clear) struct states states = { 0 };
        const struct contents *known[] = { &states.before, &states.both, &states.final };
        int r;

        if (!backend->ops->tidy)
                return 0;
        r = work_out(rotation, i, &states, error);
        return r < 0 ? r : backend->ops->tidy(backend, known, ELEMENTSOF(known), error);
}

/* All places are as the phase has them, or the step after it has left them; no litter is there. */
static int check_places(const struct rotation *rotation, struct error *error) {
        int r = 0;

        if (rotation->record->n_trusts != rotation->places.n_trusts)
                return error_set(error, -EPERM, "the rotation was planned for %zu bundles, not for %zu",
                                 rotation->record->n_trusts, rotation->places.n_trusts);
        for (size_t i = 0; i <= rotation->places.n_trusts && r == 0; i++) {
                if (!streq(place_at(rotation, i)->name, backend_at(rotation, i)->name))
                        return error_set(error, -EPERM, "the rotation was planned for %s, not for %s",
                                         place_at(rotation, i)->name, backend_at(rotation, i)->name);
                r = tidy_place(rotation, i, error);
                if (r == 0)
                        r = check_place(rotation, i, error);
        }
        return r;
}

/* Brings the place to the contents that TARGET names, from where it may come. */
static int bring(struct rotation *rotation, size_t i, unsigned target, struct error *error) {
        const unsigned allowed = states_allowed(rotation->record->reason, rotation->record->phase, i == 0);
        struct record_place *place = place_at(rotation, i);
        _cleanup_(sight_clear) struct sight sight = { 0 };
        const struct contents *wanted;
        int r;

        r = see(rotation, i, &sight, error);
        if (r < 0)
                return r;
        wanted = target == STATE_BEFORE ? &sight.states.before
                 : target == STATE_BOTH ? &sight.states.both
                                        : &sight.states.final;
        if (sight.found & target) {
                memcpy(place->version, sight.version, VERSION_MAX);
                return 0;
        }
        if (!(sight.found & allowed))
                return refuse_place(rotation, i, sight.found, error);
        say(rotation, "writing %s", place->name);
        r = move_write(backend_at(rotation, i), wanted, sight.version, place->version, error);
        return r < 0 ? r
                     : tidy_place(rotation, i, error); /* a write may have failed behind its last rename */
}

static int bring_trusts(struct rotation *rotation, unsigned target, struct error *error) {
        int r = 0;

        for (size_t i = 1; i <= rotation->places.n_trusts && r == 0; i++)
                r = bring(rotation, i, target, error);
        return r;
}

int rotation_examine(const struct rotation *rotation, size_t i, enum place_state *ret, struct error *error) {
        _cleanup_(sight_clear) struct sight sight = { 0 };
        int r;

        r = see(rotation, i, &sight, error);
        if (r == -ENOENT) {
                *ret = PLACE_MISSING;
                return 0;
        }
        if (r < 0)
                return r;
        *ret = sight.found & STATE_BEFORE  ? PLACE_BEFORE
               : sight.found & STATE_FINAL ? PLACE_FINAL
               : sight.found & STATE_BOTH  ? PLACE_BOTH
               : sight.found & STATE_HALF  ? PLACE_HALF
                                           : PLACE_OTHER;
        return 0;
}

/* --- Planning --- */

static int keep_place(struct backend *backend, struct record_place *ret, struct error *error) {
        int r;

        r = backend->ops->read(backend, &ret->before, ret->version, error);
        if (r < 0)
                return r;
        ret->name = strdup(backend->name);
        return ret->name ? 0 : error_set_errno(error, -ENOMEM, "cannot keep %s", backend->name);
}

static int keep_places(const struct rotation *rotation, struct record *record, struct error *error) {
        const size_t n = rotation->places.n_trusts;
        int r;

        record->trusts = calloc(n, sizeof(record->trusts[0]));
        if (!record->trusts)
                return error_set_errno(error, -ENOMEM, "cannot plan");
        r = keep_place(rotation->places.signer, &record->signer, error);
        for (; record->n_trusts < n && r == 0; record->n_trusts++)
                r = keep_place(rotation->places.trusts[record->n_trusts], &record->trusts[record->n_trusts],
                               error);
        return r;
}

static int refuse_plan(const struct record *record, struct error *error) {
        return error_set(error, -EPERM,
                         "a rotation (%s) is in the phase %s already; continue it with rekeyca apply, or go "
                         "back with rekeyca %s",
                         reason_rows[record->reason].name, phase_names[record->phase],
                         record->phase == PHASE_STAGED ? "abort" : "rollback");
}

int rotation_plan(struct rotation *rotation, const struct rotation_terms *terms, struct error *error) {
        _cleanup_(record_freep) struct record *record = NULL;
        const struct record *old = rotation->record;
        int r;

        r = tidy_state(rotation, error);
        if (r < 0)
                return r;
        if (old && !phase_is_end(old->phase) && old->phase != PHASE_PLANNED)
                return refuse_plan(old, error);
        record = calloc(1, sizeof(*record));
        if (!record)
                return error_set_errno(error, -ENOMEM, "cannot plan");
        record->reason = terms->reason;
        record->not_before = terms->not_before - terms->not_before % USEC_PER_SEC;
        record->not_after = terms->not_after - terms->not_after % USEC_PER_SEC;
        record->key_bits = terms->key_bits;
        record->leaf_lifetime = terms->leaf_lifetime;
        r = keep_places(rotation, record, error);
        if (r < 0)
                return r;
        record_free(rotation->record);
        rotation->record = take_ptr(record);
        return enter(rotation, PHASE_PLANNED, error);
}

/* --- Steps --- */

static int stage(struct rotation *rotation, struct error *error) {
        return stage_make(rotation->record,
                          &(struct stage_ports) { .generate = rotation->ports->generate,
                                                  .userdata = rotation->userdata,
                                                  .now = rotation->ports->now(rotation->userdata) },
                          error);
}

static int trust(struct rotation *rotation, struct error *error) {
        return bring_trusts(rotation,
                            reason_rows[rotation->record->reason].replaces_bundle ? STATE_FINAL : STATE_BOTH,
                            error);
}

static int sign(struct rotation *rotation, struct error *error) {
        return bring(rotation, 0, STATE_FINAL, error);
}

static int retire(struct rotation *rotation, struct error *error) {
        int r;

        r = rotation->ports->guard(rotation->userdata, rotation->record, false, error);
        return r < 0 ? r : bring_trusts(rotation, STATE_FINAL, error);
}

static int step(struct rotation *rotation, enum phase next, struct error *error) {
        static int (*const steps[PHASE_RETIRED + 1])(struct rotation *, struct error *) = {
                [PHASE_STAGED] = stage,
                [PHASE_TRUSTED] = trust,
                [PHASE_SIGNING] = sign,
                [PHASE_RETIRED] = retire,
        };
        int r;

        r = check_places(rotation, error);
        if (r < 0)
                return r;
        say(rotation, "%s: %s, since %s", phase_names[next], step_text(rotation->record->reason, next),
            step_why(rotation->record->reason, next));
        if (steps[next])
                r = steps[next](rotation, error);
        if (r == 0)
                r = rotation->ports->verify(rotation->userdata, rotation->record, next, error);
        return r < 0 ? r : enter(rotation, next, error);
}

static int refuse(const struct rotation *rotation, const char *verb, const char *why, struct error *error) {
        return error_set(error, -EPERM, "cannot %s the rotation in the phase %s: %s", verb,
                         phase_names[rotation->record->phase], why);
}

static int no_rotation(struct error *error) {
        return error_set(error, -EPERM, "there is no rotation; begin with rekeyca plan --reason REASON");
}

/* What any change of a rotation begins with. */
static int begin_change(const struct rotation *rotation, struct error *error) {
        const int r = tidy_state(rotation, error);

        return r < 0 ? r : rotation->record ? 0 : no_rotation(error);
}

int rotation_apply(struct rotation *rotation, enum phase until, struct error *error) {
        int r;

        r = begin_change(rotation, error);
        if (r < 0)
                return r;
        if (rotation->record->phase == PHASE_ROLLING_BACK)
                return refuse(rotation, "apply", "rekeyca rollback has begun and must end first", error);
        if (rotation->record->phase == PHASE_ROLLED_BACK)
                return no_rotation(error);
        while (rotation->record->phase < until && r == 0)
                r = step(rotation, rotation->record->phase + 1, error);
        return r;
}

/* --- Back --- */

/* The old CA is trusted before it signs, too. */
static int trust_both(struct rotation *rotation, struct error *error) {
        int r = 0;

        for (size_t i = 1; i <= rotation->places.n_trusts && r == 0; i++) {
                _cleanup_(sight_clear) struct sight sight = { 0 };

                r = see(rotation, i, &sight, error);
                if (r == 0 && (sight.found & STATE_FINAL) && !(sight.found & (STATE_BEFORE | STATE_BOTH)))
                        r = bring(rotation, i, STATE_BOTH, error);
        }
        return r;
}

/* Whether a leaf of the new CA may be in use: in the phase trusted, where the write of the signer was cut
 * off. */
static int has_signed(const struct rotation *rotation, bool *ret, struct error *error) {
        _cleanup_(sight_clear) struct sight sight = { 0 };
        int r;

        *ret = rotation->record->phase > PHASE_TRUSTED;
        if (rotation->record->phase != PHASE_TRUSTED)
                return 0;
        r = see(rotation, 0, &sight, error);
        if (r == 0)
                *ret = !(sight.found & STATE_BEFORE);
        return r;
}

static int begin_rollback(struct rotation *rotation, struct error *error) {
        const struct record *record = rotation->record;
        bool signs;
        int r;

        r = check_places(rotation, error);
        if (r < 0)
                return r;
        if (record->phase == PHASE_ROLLING_BACK)
                return 0;
        r = has_signed(rotation, &signs, error);
        if (r == 0 && signs)
                r = rotation->ports->guard(rotation->userdata, record, true, error);
        return r < 0 ? r : enter(rotation, PHASE_ROLLING_BACK, error);
}

static int go_back(struct rotation *rotation, struct error *error) {
        int r;

        say(rotation,
            "rolling-back: restore the bytes from before, the signer first, since the old CA must not "
            "leave a bundle while it signs");
        r = trust_both(rotation, error);
        if (r == 0)
                r = bring(rotation, 0, STATE_BEFORE, error);
        if (r == 0)
                r = bring_trusts(rotation, STATE_BEFORE, error);
        if (r == 0)
                r = rotation->ports->verify(rotation->userdata, rotation->record, PHASE_ROLLED_BACK, error);
        return r < 0 ? r : enter(rotation, PHASE_ROLLED_BACK, error);
}

int rotation_rollback(struct rotation *rotation, struct error *error) {
        int r;

        r = begin_change(rotation, error);
        if (r < 0 || rotation->record->phase == PHASE_ROLLED_BACK)
                return r;
        if (rotation->record->phase == PHASE_PLANNED)
                return refuse(rotation, "roll back", "nothing was written yet; use rekeyca abort", error);
        if (rotation->record->phase == PHASE_RETIRED)
                return refuse(rotation, "roll back", "the old key was erased from the state file", error);
        r = begin_rollback(rotation, error);
        return r < 0 ? r : go_back(rotation, error);
}

int rotation_abort(struct rotation *rotation, struct error *error) {
        int r;

        r = begin_change(rotation, error);
        if (r < 0 || rotation->record->phase == PHASE_ROLLED_BACK)
                return r;
        if (rotation->record->phase == PHASE_RETIRED)
                return refuse(rotation, "abort", "it has ended", error);
        if (rotation->record->phase > PHASE_STAGED)
                return refuse(rotation, "abort", "it has written already; use rekeyca rollback", error);
        for (size_t i = 1; i <= rotation->places.n_trusts; i++) {
                enum place_state state;

                r = rotation_examine(rotation, i, &state, error);
                if (r < 0)
                        return r;
                if (state != PLACE_BEFORE && state != PLACE_OTHER)
                        return refuse(rotation, "abort", "it has written already; use rekeyca rollback",
                                      error);
        }
        return enter(rotation, PHASE_ROLLED_BACK, error);
}
