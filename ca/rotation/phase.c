#include "ca/rotation/phase.h"

#include <errno.h>

const struct reason_row reason_rows[REASON_MAX] = {
        [REASON_EXPIRING] = {
                .name = "expiring",
                .help = "the CA certificate expires soon; its key stays",
        },
        [REASON_CERTIFICATE_COMPROMISED] = {
                .name = "certificate-compromised",
                .help = "the CA certificate must be replaced at once; its key stays",
                .replaces_bundle = true,
                .warning = "This revokes nothing: all leaves of the old certificate verify to the new one, since "
                           "the key is the same. If leaves, or the key, may be in wrong hands, use the reason "
                           "key-compromised.",
        },
        [REASON_KEY_COMPROMISED] = {
                .name = "key-compromised",
                .help = "the key of the CA is in wrong hands; all leaves are rejected at once",
                .has_new_key = true,
                .replaces_bundle = true,
                .costs_calls = true,
                .warning = "The gateway rejects every leaf in use from the phase trusted on. Each client needs "
                           "a one-time token and enrols again after the phase renewing is reached.",
        },
        [REASON_NEW_KEY] = {
                .name = "new-key",
                .help = "the CA gets a new key, without an outage",
                .has_new_key = true,
                .warning = "Leaves of the old key are rejected after the phase retired: all clients renew "
                           "before that.",
        },
};

const char *const phase_names[PHASE_MAX] = {
        [PHASE_PLANNED] = "planned",           [PHASE_STAGED] = "staged",
        [PHASE_TRUSTED] = "trusted",           [PHASE_SIGNING] = "signing",
        [PHASE_RENEWING] = "renewing",         [PHASE_RETIRED] = "retired",
        [PHASE_ROLLING_BACK] = "rolling-back", [PHASE_ROLLED_BACK] = "rolled-back",
};

const struct step_row step_rows[PHASE_RETIRED + 1] = {
        [PHASE_PLANNED] = {
                .what = { "read signer and bundles, and keep their bytes in the state file",
                          "read signer and bundles, and keep their bytes in the state file" },
                .why = "a rollback restores exactly these bytes",
                .tutorial = { "1: get the key; 5: get the bundle", "1: get the key", NULL, NULL },
        },
        [PHASE_STAGED] = {
                .what = { "make the new CA certificate from the old one, for the same key",
                          "generate the new key, and make the new CA certificate from the old one" },
                .why = "name bytes, key identifier and usages are copied, so that leaves find their CA",
                .tutorial = { "2-3: openssl req -new -x509, base64", "2-3: openssl req -new -x509, base64",
                              "1-3: openssl genrsa, openssl req -new -x509, base64", NULL },
        },
        [PHASE_TRUSTED] = {
                .what = { NULL, NULL }, /* by the reason: step_text() */
                .why = "no leaf may meet a gateway that does not know its CA",
                .tutorial = { "5-9: cat old new, edit the bundle, restart the gateway",
                              "5-6: edit the bundle, restart the gateway",
                              "5-6: edit the bundle, restart the gateway", NULL },
        },
        [PHASE_SIGNING] = {
                .what = { "write the new certificate into the signer",
                          "write the new key and certificate into the signer, together" },
                .why = "the Connector signs with the new CA once its window has passed",
                .tutorial = { "4: edit the signer (before the bundle there, which loses leaves)",
                              "4: edit the signer", "4: edit the signer", NULL },
        },
        [PHASE_RENEWING] = {
                .what = { "wait until the Connector signs with the new CA; the clients renew",
                          "wait until the Connector signs with the new CA; the clients renew" },
                .why = "what was signed inside the window is still of the old CA",
                .tutorial = { "10: a CertificateRequest in each runtime", "7: a CertificateRequest in each runtime",
                              "7: a CertificateRequest in each runtime", NULL },
        },
        [PHASE_RETIRED] = {
                .what = { "take the old CA out of the bundles, and erase the keys from the state file",
                          "take the old CA out of the bundles, and erase the keys from the state file" },
                .why = "the old CA need not be trusted any more, once no leaf is lost by it",
                .tutorial = { "11-13: edit the bundle, restart the gateway", NULL, NULL, NULL },
        },
};

const char *step_text(enum reason reason, enum phase phase) {
        const struct reason_row *row = &reason_rows[reason];

        if (phase == PHASE_TRUSTED)
                return row->replaces_bundle ? "replace the old CA by the new one in the bundles"
                                            : "add the new CA to the bundles, beside the old one";
        if (phase == PHASE_RENEWING && row->costs_calls)
                return "wait until the Connector signs with the new CA; the clients enrol again";
        if (phase == PHASE_RETIRED && row->replaces_bundle)
                return "erase the keys from the state file; the bundles have the new CA alone already";
        return step_rows[phase].what[row->has_new_key];
}

const char *step_why(enum reason reason, enum phase phase) {
        const struct reason_row *row = &reason_rows[reason];

        if (phase == PHASE_TRUSTED && row->costs_calls)
                return "no leaf of the old key may be accepted any longer";
        if (phase == PHASE_RETIRED && row->replaces_bundle)
                return "no key may stay there longer than a rollback needs it";
        return step_rows[phase].why;
}

int reason_parse(const char *name, enum reason *ret) {
        for (enum reason reason = 0; reason < REASON_MAX; reason++)
                if (streq(name, reason_rows[reason].name)) {
                        *ret = reason;
                        return 0;
                }
        return -EINVAL;
}

int phase_parse(const char *name, enum phase *ret) {
        for (enum phase phase = 0; phase < PHASE_MAX; phase++)
                if (streq(name, phase_names[phase])) {
                        *ret = phase;
                        return 0;
                }
        return -EINVAL;
}
