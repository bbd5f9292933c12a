/* Whether a CA may leave the bundles: the facts for ca/rotation/guard.h, as they are found here. */

#include <stdio.h>

#include "ca/live/fleet.h"
#include "ca/live/live.h"
#include "lib/x509/successor.h"

#define NAMES_MAX 5u

static void hex_key(const struct cert *cert, char ret[FINGERPRINT_HEX]) {
        uint8_t hash[SPKI_HASH_SIZE];

        cert_spki(cert, hash);
        hex_format(ret, hash, sizeof(hash));
}

/* Of the sets under the key of CERT: how many, some of their names, and one that FORCED does not name. */
struct lost {
        unsigned n;
        char names[256];
        char unnamed[128];
};

static void count_lost(const struct fleet *fleet, const struct cert *cert, const char *forced,
                       struct lost *ret) {
        char key[FINGERPRINT_HEX];
        size_t end = 0;

        hex_key(cert, key);
        for (size_t i = 0; i < fleet->n; i++) {
                const struct fleet_set *set = &fleet->sets[i];

                if (!streq(set->issuer_key, key))
                        continue;
                if (ret->n++ < NAMES_MAX)
                        end += (size_t)snprintf(ret->names + end, sizeof(ret->names) - end, "%s%.40s",
                                                end > 0 ? ", " : "", set->certificate);
                if (!*ret->unnamed && !guard_has_name(forced, set->certificate))
                        snprintf(ret->unnamed, sizeof(ret->unnamed), "%s", set->certificate);
        }
}

static int count_for_guard(const struct live *live, const struct cert *leaving, struct guard_facts *facts,
                           struct lost *lost, struct error *error) {
        _cleanup_(fleet_clear) struct fleet fleet = { 0 };
        int r;

        if (!live_counts(live))
                return 0;
        r = live_count(live, &fleet, error);
        if (r < 0)
                return r;
        count_lost(&fleet, leaving, facts->forced, lost);
        facts->is_counted = fleet.n > 0; /* a page without any set is one that counts nothing */
        facts->n_left = lost->n;
        facts->unnamed = *lost->unnamed ? lost->unnamed : NULL;
        return 0;
}

static int refuse(const struct guard_facts *facts, const struct lost *lost, const char *which,
                  struct error *error) {
        char when[TIMESTAMP_MAX];

        if (facts->is_counted)
                return error_set(error, -EPERM,
                                 "%u sets are issued under the %s CA (%s%s) and would be rejected: renew "
                                 "them first, or give them up with --force and their names",
                                 lost->n, which, lost->names, lost->n > NAMES_MAX ? ", ..." : "");
        return error_set(
                error, -EPERM,
                "leaves of the %s CA may be in use until %s, and the fleet is not counted: "
                "set prometheus or control, wait, or give them up with --force and the names of the sets",
                which, format_timestamp(when, usec_add(facts->last_issued, facts->leaf_lifetime)));
}

static struct guard_facts gather(const struct live *live, const struct record *record, bool is_rollback,
                                 const struct live_cas *cas) {
        const struct cert *leaving = is_rollback ? cas->new_cert : cas->old_cert,
                          *staying = is_rollback ? cas->old_cert : cas->new_cert;
        const usec_t now = now_usec(CLOCK_REALTIME);

        return (struct guard_facts) {
                .is_carried = successor_carries(leaving, staying) && cert_not_after(staying) > now,
                .is_rejected = !is_rollback && reason_rows[record->reason].replaces_bundle,
                .last_issued = is_rollback ? now
                               : record->entered[PHASE_RENEWING] != 0
                                       ? usec_add(record->entered[PHASE_RENEWING], live->site->skew)
                                       : now,
                .leaf_lifetime = record->leaf_lifetime,
                .forced = record->forced,
                .now = now,
        };
}

int live_guard(const struct live *live, const struct record *record, bool is_rollback, struct error *error) {
        _cleanup_(live_cas_clear) struct live_cas cas = { 0 };
        struct guard_facts facts;
        struct lost lost = { 0 };
        enum guard_answer answer;
        int r;

        r = live_read_cas(record, &cas, error);
        if (r < 0)
                return r;
        facts = gather(live, record, is_rollback, &cas);
        answer = guard_find(&facts);
        if (answer != GUARD_CARRIED && answer != GUARD_REJECTED) {
                r = count_for_guard(live, is_rollback ? cas.new_cert : cas.old_cert, &facts, &lost, error);
                if (r < 0)
                        return r;
                answer = guard_find(&facts);
        }
        if (answer == GUARD_REFUSED)
                return refuse(&facts, &lost, is_rollback ? "new" : "old", error);
        live_say(live, "the %s CA may leave: %s", is_rollback ? "new" : "old", guard_texts[answer]);
        return 0;
}
