#include "ca/rotation/states.h"

#include "lib/x509/bundle.h"

void states_clear(struct states *states) {
        contents_clear(&states->before);
        contents_clear(&states->both);
        contents_clear(&states->final);
}

int states_read_cert(const char *pem, struct cert **ret, struct error *error) {
        _cleanup_(cert_list_clear) struct cert_list list = { 0 };
        int r;

        r = cert_bundle_parse(pem ? pem : "", pem ? strlen(pem) : 0, &list, error);
        if (r < 0)
                return r;
        *ret = take_ptr(list.items[0]);
        return 0;
}

static int out_of_memory(struct error *error) {
        return error_set_errno(error, -ENOMEM, "cannot work out what is to be written");
}

int states_of_signer(const struct record *record, struct states *ret, struct error *error) {
        const char *key = record->signer.before.texts[SIGNER_KEY],
                   *certificate = record->signer.before.texts[SIGNER_CERTIFICATE];
        _cleanup_(states_clear) struct states states = { 0 };

        if (contents_make(key, certificate, &states.before) < 0 ||
            contents_make(key, certificate, &states.both) < 0 ||
            contents_make(record->new_key ? record->new_key : key, record->new_certificate, &states.final) <
                    0)
                return out_of_memory(error);
        *ret = states;
        states = (struct states) { 0 };
        return 0;
}

int states_of_trust(const struct record *record, const struct record_place *place, struct states *ret,
                    struct error *error) {
        _cleanup_(cert_freep) struct cert *old = NULL, *new = NULL;
        _cleanup_(states_clear) struct states states = { 0 };
        const char *before = place->before.texts[0];
        int r;

        r = states_read_cert(record->signer.before.texts[SIGNER_CERTIFICATE], &old, error);
        if (r == 0)
                r = states_read_cert(record->new_certificate, &new, error);
        if (r == 0)
                r = bundle_add(before, new, &states.both.texts[0], error);
        if (r == 0)
                r = bundle_replace(before, old, new, &states.final.texts[0], error);
        if (r < 0)
                return r;
        if (contents_make(before, NULL, &states.before) < 0)
                return out_of_memory(error);
        *ret = states;
        states = (struct states) { 0 };
        return 0;
}

const struct contents *states_trusted(const struct record *record, const struct states *states) {
        return reason_rows[record->reason].replaces_bundle ? &states->final : &states->both;
}

static bool matches(const struct contents *contents, const struct contents *state) {
        bool any = false;

        for (size_t i = 0; i < CONTENTS_MAX; i++) {
                if (state->texts[i] && !streq_null(contents->texts[i], state->texts[i]))
                        return false;
                any = any || state->texts[i];
        }
        return any;
}

unsigned states_find(const struct states *states, const struct contents *contents) {
        unsigned found = 0;

        if (matches(contents, &states->before))
                found |= STATE_BEFORE;
        if (matches(contents, &states->both))
                found |= STATE_BOTH;
        if (matches(contents, &states->final))
                found |= STATE_FINAL;
        if (found == 0 && contents_between(contents, &states->before, &states->final))
                found = STATE_HALF;
        return found;
}

static unsigned allowed_signer(enum phase phase) {
        switch (phase) {
        case PHASE_TRUSTED:
        case PHASE_ROLLING_BACK:
                return STATE_BEFORE | STATE_FINAL | STATE_HALF;
        case PHASE_SIGNING:
        case PHASE_RENEWING:
        case PHASE_RETIRED:
                return STATE_FINAL;
        default:
                return STATE_BEFORE;
        }
}

static unsigned allowed_trust(enum phase phase, unsigned trusted) {
        switch (phase) {
        case PHASE_STAGED:
                return STATE_BEFORE | trusted;
        case PHASE_TRUSTED:
        case PHASE_SIGNING:
                return trusted;
        case PHASE_RENEWING:
                return trusted | STATE_FINAL;
        case PHASE_RETIRED:
                return STATE_FINAL;
        case PHASE_ROLLING_BACK:
                return STATE_BEFORE | STATE_BOTH | STATE_FINAL;
        default:
                return STATE_BEFORE;
        }
}

unsigned states_allowed(enum reason reason, enum phase phase, bool is_signer) {
        const unsigned trusted = reason_rows[reason].replaces_bundle ? STATE_FINAL : STATE_BOTH;

        return is_signer ? allowed_signer(phase) : allowed_trust(phase, trusted);
}
