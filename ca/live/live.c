#include "ca/live/live.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "ca/live/canary.h"
#include "ca/live/reload.h"
#include "ca/live/round.h"
#include "ca/rotation/states.h"
#include "lib/util/json.h"
#include "lib/util/quote.h"
#include "lib/x509/successor.h"

#define ROUNDS_IN_A_ROW 3u /* a gateway may be several processes behind one address */
#define PAUSE_MIN       (100 * USEC_PER_MSEC)
#define PAUSE_MAX       (2 * USEC_PER_SEC)
#define GRACE_PART      40u /* of the patience: for gateways that notice a bundle by themselves */

void live_say(const struct live *live, const char *format, ...) {
        _cleanup_(freep) char *text = NULL;
        va_list args;
        int n;

        va_start(args, format);
        n = vasprintf(&text, format, args);
        va_end(args);
        if (n < 0)
                text = NULL;
        live->say(live->userdata, text ? text : "out of memory");
}

static void pause_for(usec_t span) {
        const struct timespec time = { .tv_sec = (time_t)(span / USEC_PER_SEC),
                                       .tv_nsec = (long)(span % USEC_PER_SEC * 1000) };

        (void)nanosleep(&time, NULL);
}

/* --- The CAs --- */

void live_cas_clear(struct live_cas *cas) {
        cert_free(cas->old_cert);
        cert_free(cas->new_cert);
        key_free(cas->old_key);
        key_free(cas->new_key);
}

int live_read_cas(const struct record *record, struct live_cas *ret, struct error *error) {
        const char *old_key = record->signer.before.texts[SIGNER_KEY],
                   *new_key = record->new_key ? record->new_key : old_key;
        int r;

        r = states_read_cert(record->signer.before.texts[SIGNER_CERTIFICATE], &ret->old_cert, error);
        if (r == 0 && old_key)
                r = key_parse(old_key, strlen(old_key), &ret->old_key, error);
        if (r < 0 || !record->new_certificate)
                return r;
        r = states_read_cert(record->new_certificate, &ret->new_cert, error);
        if (r == 0 && new_key)
                r = key_parse(new_key, strlen(new_key), &ret->new_key, error);
        return r;
}

/* --- Gateways --- */

/* GATEWAY_ANSWER_MAX: whatever it answers. */
struct wish {
        enum gateway_answer old, new, in_use;
};

/* Leaves as the fleet has them: those of the same key are carried by the new certificate alone. */
static enum gateway_answer wish_of_use(const struct live_cas *cas, enum gateway_answer old) {
        return old == GATEWAY_REJECTS && successor_carries(cas->old_cert, cas->new_cert) ? GATEWAY_ACCEPTS
                                                                                         : GATEWAY_ANSWER_MAX;
}

static struct wish wish_of(const struct record *record, const struct live_cas *cas, enum phase phase,
                           usec_t now) {
        struct wish wish = { .old = cert_not_after(cas->old_cert) <= now ? GATEWAY_ANSWER_MAX
                                                                         : GATEWAY_ACCEPTS,
                             .new = GATEWAY_ACCEPTS };

        if (phase == PHASE_ROLLED_BACK)
                wish.new = GATEWAY_REJECTS;
        else if (phase == PHASE_RETIRED || reason_rows[record->reason].replaces_bundle)
                wish.old = GATEWAY_REJECTS;
        wish.in_use = wish_of_use(cas, wish.old);
        return wish;
}

static int unmet(const struct round_answer *answer, const char *which, enum gateway_answer wish,
                 enum gateway_answer got, const char *why, struct error *error) {
        const char *verb = wish == GATEWAY_ACCEPTS ? "does not accept" : "still accepts";

        if (wish == GATEWAY_ANSWER_MAX || got == GATEWAY_ANSWER_MAX || wish == got)
                return 0;
        if (got == GATEWAY_UNREACHABLE)
                return error_set(error, -EAGAIN, "the gateway %s at %s cannot be reached: %s",
                                 answer->gateway->url, answer->address, why ? quoted(why) : "?");
        return error_set(error, -EAGAIN, "the gateway %s at %s %s %s%s%s", answer->gateway->url,
                         answer->address, verb, which, why ? ": " : "", why ? quoted(why) : "");
}

static int check_answer(const struct round_answer *answer, void *userdata, struct error *error) {
        const struct wish *wish = userdata;
        int r;

        r = unmet(answer, "leaves of the new CA", wish->new, answer->new, answer->why_new, error);
        if (r == 0)
                r = unmet(answer, "leaves of the old CA", wish->old, answer->old, answer->why_old, error);
        if (r == 0)
                r = unmet(answer,
                          "the leaves in use, as the new certificate should (if that stays so, use rekeyca "
                          "rollback)",
                          wish->in_use, answer->in_use, answer->why_in_use, error);
        return r;
}

static int reload_all(const struct live *live, struct error *error) {
        int r = 0;

        for (char **spec = live->site->reload; spec && *spec && r == 0; spec++) {
                live_say(live, "reloading with %s, since a gateway has another bundle loaded", *spec);
                r = reload_check(*spec, NULL) == 0 ? reload_run(*spec, error)
                                                   : live->reload_other(live->userdata, *spec, error);
        }
        return r;
}

struct waiting {
        usec_t reload_at, give_up_at, pause; /* CLOCK_BOOTTIME */
        bool has_reloaded;
};

/* After a round that did not find what it should: 0 for another one. ERROR has why. */
static int wait_for_next(const struct live *live, struct waiting *waiting, struct error *error) {
        const usec_t now = now_usec(CLOCK_BOOTTIME);

        if (now >= waiting->give_up_at)
                return -EAGAIN;
        if (!waiting->has_reloaded && now >= waiting->reload_at) {
                waiting->has_reloaded = true;
                return reload_all(live, error);
        }
        pause_for(waiting->pause);
        waiting->pause = 2 * waiting->pause < PAUSE_MAX ? 2 * waiting->pause : PAUSE_MAX;
        return 0;
}

static int await_gateways(const struct live *live, const struct round_leaves *leaves, struct wish wish,
                          struct error *error) {
        const usec_t now = now_usec(CLOCK_BOOTTIME), patience = live->site->patience;
        struct waiting waiting = { .reload_at = usec_add(now, patience / GRACE_PART),
                                   .give_up_at = usec_add(now, patience),
                                   .pause = PAUSE_MIN };

        for (unsigned n = 0; n < ROUNDS_IN_A_ROW;) {
                _cleanup_(error_clear) struct error why = ERROR_INIT;
                int r;

                r = round_run(live, leaves, check_answer, &wish, &why);
                n = r == 0 ? n + 1 : 0;
                if (r == -EAGAIN || r == -EHOSTUNREACH)
                        r = wait_for_next(live, &waiting, &why);
                if (r < 0) {
                        (void)error_move(error, &why);
                        return r;
                }
        }
        return 0;
}

static int verify_gateways(const struct live *live, const struct record *record, enum phase phase,
                           struct error *error) {
        _cleanup_(round_leaves_clear) struct round_leaves leaves = { 0 };
        _cleanup_(live_cas_clear) struct live_cas cas = { 0 };
        int r;

        if (live->site->n_gateways == 0) {
                live_say(live, "no gateway is configured, so none is probed");
                return reload_all(live, error);
        }
        r = live_read_cas(record, &cas, error);
        if (r == 0)
                r = round_leaves_make(live, &cas, &leaves, error);
        if (r == 0)
                r = await_gateways(live, &leaves, wish_of(record, &cas, phase, now_usec(CLOCK_REALTIME)),
                                   error);
        if (r == 0)
                live_say(live, "all gateways have the bundle loaded: each address was probed with leaves of "
                               "both CAs");
        return r;
}

static int add_answer(const struct round_answer *answer, void *userdata, struct error *error) {
        const char *old = answer->old == GATEWAY_ANSWER_MAX ? NULL : gateway_answer_names[answer->old],
                   *new = answer->new == GATEWAY_ANSWER_MAX ? NULL : gateway_answer_names[answer->new];
        json_t *item = json_pack("{s:o,s:s,s:s*,s:s*}", "gateway", json_text(answer->gateway->url), "address",
                                 answer->address, "old", old, "new", new);

        return json_array_append_new(userdata, item) < 0 ? error_set_errno(error, -ENOMEM, "cannot probe")
                                                         : 0;
}

int live_probe(const struct live *live, const struct live_cas *cas, json_t **ret, struct error *error) {
        _cleanup_(round_leaves_clear) struct round_leaves leaves = { 0 };
        _cleanup_(json_decrefp) json_t *list = json_array();
        int r;

        r = round_leaves_make(live, cas, &leaves, error);
        if (r == 0)
                r = round_run(live, &leaves, add_answer, list, error);
        if (r == 0)
                *ret = take_ptr(list);
        return r;
}

/* --- The Connector --- */

/* Until the window has passed since the signer was written, the CA may be the old one. */
static usec_t window_end(const struct live *live, const struct record *record) {
        return usec_add(record->entered[PHASE_SIGNING], usec_add(live->site->ca_window, USEC_PER_SEC));
}

static int wait_for_window(const struct live *live, const struct record *record) {
        const usec_t now = now_usec(CLOCK_REALTIME), left = usec_sub(window_end(live, record), now);
        char text[TIMESPAN_MAX];

        if (left > 0) {
                live_say(live, "no canary is configured: waiting for %s, the rest of the Connector's window",
                         format_timespan(text, left));
                pause_for(left < live->site->ca_window + USEC_PER_SEC ? left : live->site->ca_window);
        }
        return 0;
}

static int ask_canary(const struct live *live, const struct live_cas *cas, const struct key *key,
                      struct error *error) {
        const struct carry_ca ca = { cas->new_cert, cas->new_key };
        _cleanup_(cert_freep) struct cert *signer = NULL;
        int r;

        r = canary_ask(&live->site->canary, &ca, key, live->site->skew, now_usec(CLOCK_REALTIME), &signer,
                       error);
        if (r < 0)
                return r;
        return cert_equal(signer, cas->new_cert)
                       ? 0
                       : error_set(error, -EAGAIN,
                                   "the Connector still signs with another CA than the new one");
}

static int poll_canary(const struct live *live, const struct record *record, const struct live_cas *cas,
                       const struct key *key, struct error *error) {
        const usec_t pause = live->site->ca_window / 6;
        const usec_t until = usec_add(window_end(live, record), live->site->patience);
        int r;

        for (;;) {
                error_clear(error);
                r = ask_canary(live, cas, key, error);
                if (r != -EAGAIN || now_usec(CLOCK_REALTIME) >= until)
                        return r;
                pause_for(pause > PAUSE_MIN ? pause : PAUSE_MIN);
        }
}

static int verify_connector(const struct live *live, const struct record *record, struct error *error) {
        _cleanup_(live_cas_clear) struct live_cas cas = { 0 };
        _cleanup_(error_clear) struct error why = ERROR_INIT;
        _cleanup_(key_freep) struct key *key = NULL;
        int r;

        if (!live->site->canary.url)
                return wait_for_window(live, record);
        r = live_read_cas(record, &cas, error);
        if (r == 0)
                r = live->generate(live->userdata, KEY_BITS_MIN, &key, error);
        if (r < 0)
                return r;
        r = poll_canary(live, record, &cas, key, &why);
        if (r < 0) {
                (void)error_move(error, &why);
                return r;
        }
        live_say(live, "the Connector signs with the new CA: the canary was signed with it");
        return 0;
}

int live_verify(const struct live *live, const struct record *record, enum phase phase, struct error *error) {
        switch (phase) {
        case PHASE_TRUSTED:
        case PHASE_RETIRED:
        case PHASE_ROLLED_BACK:
                return verify_gateways(live, record, phase, error);
        case PHASE_RENEWING:
                return verify_connector(live, record, error);
        default:
                return 0;
        }
}
