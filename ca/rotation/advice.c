#include "ca/rotation/advice.h"

#include "ca/rotation/states.h"

static void print_runtimes(const struct record *record, FILE *out) {
        if (reason_rows[record->reason].costs_calls)
                fprintf(out, "Kyma runtimes need a one-time token as well: a CertificateRequest resource "
                             "with the URL "
                             "of the token in each,\nor a new pairing.\n");
        else
                fprintf(out, "Kyma runtimes: set spec.refreshCredentialsNow of the CompassConnection, or "
                             "spec.renewNow of the CentralConnection,\nto true; or create a "
                             "CertificateRequest.\n");
}

static void print_tokens(FILE *out) {
        fprintf(out,
                "Then give each client a one-time token, which this consumes:\n\n    rekeyctl enrol NAME "
                "--token-file FILE\n\n");
}

static void print_rekeyd(const char *id, const char *connector, FILE *out) {
        fprintf(out,
                "rekeyd: distribute this, and reload (rekeyctl reload):\n\n"
                "    connectors:\n      %s:\n        distrust: ['%s']\n\n",
                connector, id);
}

int advice_print(const struct record *record, const char *connector, FILE *out, struct error *error) {
        const struct reason_row *reason = &reason_rows[record->reason];
        _cleanup_(cert_freep) struct cert *old = NULL;
        char hex[FINGERPRINT_HEX], id[sizeof("spki:") + FINGERPRINT_HEX];
        uint8_t hash[FINGERPRINT_SIZE];
        int r;

        if (record->phase != PHASE_RENEWING)
                return 0;
        r = states_read_cert(record->signer.before.texts[SIGNER_CERTIFICATE], &old, error);
        if (r < 0)
                return r;
        if (reason->has_new_key)
                cert_spki(old, hash);
        else
                cert_fingerprint(old, hash);
        hex_format(hex, hash, sizeof(hash));
        snprintf(id, sizeof(id), "%s%s", reason->has_new_key ? "spki:" : "", hex);
        print_rekeyd(id, connector, out);
        if (reason->costs_calls)
                print_tokens(out);
        print_runtimes(record, out);
        return 0;
}
