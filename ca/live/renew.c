/* The fleet, as it is counted by whatever was given; and the part of it that rekeyca itself can have renewed.
 */

#include "ca/live/control.h"
#include "ca/live/fleet.h"
#include "ca/live/live.h"

bool live_counts(const struct live *live) {
        return live->site->prometheus || (live->site->control && live->site->control[0]);
}

int live_count(const struct live *live, struct fleet *ret, struct error *error) {
        _cleanup_(fleet_clear) struct fleet all = { 0 };
        int r = 0;

        if (live->site->prometheus)
                r = fleet_count(live->site->prometheus, &all, error);
        for (char **socket = live->site->control; socket && *socket && r == 0; socket++) {
                _cleanup_(fleet_clear) struct fleet some = { 0 };

                r = control_count(*socket, &some, error);
                if (r == 0 && fleet_move(&all, &some) < 0)
                        r = error_set_errno(error, -ENOMEM, "cannot count the fleet");
        }
        if (r < 0)
                return r;
        *ret = all;
        all = (struct fleet) { 0 };
        return 0;
}

/* What the sets of the old CA have in common: its key, or where that stays its certificate. */
struct mark {
        char hex[FINGERPRINT_HEX];
        bool is_key;
};

static struct mark mark_of(const struct record *record, const struct cert *old) {
        struct mark mark = { .is_key = reason_rows[record->reason].has_new_key };
        uint8_t hash[FINGERPRINT_SIZE];

        if (mark.is_key)
                cert_spki(old, hash);
        else
                cert_fingerprint(old, hash);
        hex_format(mark.hex, hash, sizeof(hash));
        return mark;
}

/* One rekeyd: how many sets it has under the old CA, and how many of them will be renewed. */
struct renewals {
        const char *socket;
        unsigned n_old, n_renewed;
};

static int renew_one(const struct live *live, const struct fleet_set *set, struct renewals *renewals,
                     struct error *error) {
        _cleanup_(error_clear) struct error why = ERROR_INIT;
        int r;

        r = control_renew(renewals->socket, set->certificate, live->site->renew_within, &why);
        if (r == -EAGAIN) {
                live_say(live, "%s", error_text(&why));
                return 0;
        }
        renewals->n_renewed += r == 0;
        return r < 0 ? error_move(error, &why) : 0;
}

static int renew_all(const struct live *live, const struct mark *mark, bool by_token,
                     struct renewals *renewals, struct error *error) {
        _cleanup_(fleet_clear) struct fleet fleet = { 0 };
        int r;

        r = control_count(renewals->socket, &fleet, error);
        for (size_t i = 0; i < fleet.n && r == 0; i++) {
                const struct fleet_set *set = &fleet.sets[i];

                if (!streq(mark->is_key ? set->issuer_key : set->issuer, mark->hex))
                        continue;
                renewals->n_old++;
                if (by_token)
                        live_say(live, "rekeyd at %s: %s needs a one-time token", renewals->socket,
                                 set->certificate);
                else
                        r = renew_one(live, set, renewals, error);
        }
        return r;
}

static int renew_at(const struct live *live, const char *socket, const struct mark *mark, bool by_token,
                    struct error *error) {
        struct renewals renewals = { .socket = socket };
        char within[TIMESPAN_MAX];
        int r;

        r = renew_all(live, mark, by_token, &renewals, error);
        if (r < 0) {
                (void)error_prefix(error, "not all sets of the fleet were asked to renew");
                return r == -EIO ? -EAGAIN : r;
        }
        if (by_token)
                live_say(live, "rekeyd at %s: %u sets are under the old CA", socket, renewals.n_old);
        else
                live_say(live, "rekeyd at %s: %u sets are under the old CA, %u of them are renewed within %s",
                         socket, renewals.n_old, renewals.n_renewed,
                         format_timespan(within, live->site->renew_within));
        return renewals.n_renewed == renewals.n_old || by_token
                       ? 0
                       : error_set(error, -EAGAIN, "%u sets of rekeyd at %s are not renewed yet",
                                   renewals.n_old - renewals.n_renewed, socket);
}

int live_renew(const struct live *live, const struct record *record, struct error *error) {
        _cleanup_(live_cas_clear) struct live_cas cas = { 0 };
        struct mark mark;
        int r;

        if (!live->site->control || !live->site->control[0])
                return 0;
        r = live_read_cas(record, &cas, error);
        if (r < 0)
                return r;
        mark = mark_of(record, cas.old_cert);
        for (char **socket = live->site->control; *socket && r == 0; socket++)
                r = renew_at(live, *socket, &mark, reason_rows[record->reason].costs_calls, error);
        return r;
}
