/* `rekeyca status`: where a rotation is, and who is still under the old CA. */

#include "ca/cli/session.h"

#include "ca/live/fleet.h"
#include "lib/util/json.h"

static void print_phases(struct session *session, const struct record *record) {
        char when[TIMESTAMP_MAX];

        session_say(session, "Rotation: %s, phase %s.", reason_rows[record->reason].name,
                    phase_names[record->phase]);
        for (enum phase phase = 0; phase < PHASE_MAX; phase++)
                if (record->entered[phase] != 0)
                        session_say(session, "  %-12s since %s", phase_names[phase],
                                    format_timestamp(when, record->entered[phase]));
}

static int print_places(struct session *session, struct error *error) {
        json_t *list = json_array();
        int r = 0;

        json_object_set_new(session->answer, "places", list);
        for (size_t i = 0; i <= session->n_trusts; i++) {
                const char *name = (i == 0 ? session->signer : session->trusts[i - 1])->name;
                enum place_state state;

                r = rotation_examine(session->rotation, i, &state, error);
                if (r < 0)
                        return r;
                json_array_append_new(list, json_pack("{s:o,s:s}", "place", json_text(name), "state",
                                                      place_state_texts[state]));
                if (!session->options->json)
                        session_say(session, "  %s %s: %s", i == 0 ? "signer" : "bundle", name,
                                    place_state_texts[state]);
        }
        return r;
}

/* --- The fleet --- */

static unsigned count(const struct fleet *fleet, size_t from, const char *issuer) {
        unsigned n = 0;

        for (size_t i = from; i < fleet->n; i++)
                n += streq(fleet->sets[i].issuer, issuer);
        return n;
}

static bool was_before(const struct fleet *fleet, size_t i) {
        for (size_t k = 0; k < i; k++)
                if (streq(fleet->sets[k].issuer, fleet->sets[i].issuer))
                        return true;
        return false;
}

static int print_fleet(struct session *session, struct error *error) {
        _cleanup_(fleet_clear) struct fleet fleet = { 0 };
        json_t *list = json_array();
        int r;

        r = live_count(&session->live, &fleet, error);
        json_object_set_new(session->answer, "fleet", list);
        if (r < 0)
                return r;
        if (fleet.n == 0 && !session->options->json)
                session_say(session, "Fleet: no set is counted.");
        for (size_t i = 0; i < fleet.n; i++) {
                const struct fleet_set *set = &fleet.sets[i];
                unsigned n;

                if (was_before(&fleet, i))
                        continue;
                n = count(&fleet, i, set->issuer);
                json_array_append_new(list,
                                      json_pack("{s:o,s:o,s:i}", "issuer", json_text(set->issuer), "subject",
                                                json_text(set->issuer_subject), "sets", (int)n));
                if (!session->options->json)
                        session_say(session, "Fleet: %u sets under %s, certificate %.16s...", n,
                                    set->issuer_subject, set->issuer);
        }
        return 0;
}

int verb_status(struct session *session, struct error *error) {
        const struct record *record = rotation_record(session->rotation);
        int r = 0;

        if (!record && !session->options->json)
                session_say(session, "There is no rotation.");
        if (record && !session->options->json)
                print_phases(session, record);
        if (record)
                r = print_places(session, error);
        if (r == 0 && live_counts(&session->live))
                r = print_fleet(session, error);
        if (r == 0)
                session_advise(session);
        return r;
}
