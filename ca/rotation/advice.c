#include "ca/rotation/advice.h"

#include "ca/rotation/states.h"

/* How a runtime is told; rekeyca has no rights in its cluster. */
static void print_token_request(FILE *out) {
        fprintf(out, "    kubectl apply -f - <<END\n"
                     "    apiVersion: applicationconnector.kyma-project.io/v1alpha1\n"
                     "    kind: CertificateRequest\n"
                     "    metadata: {name: rotation}\n"
                     "    spec: {csrInfoUrl: \"URL WITH A ONE-TIME TOKEN\"}\n"
                     "    END\n\n");
}

static void print_runtimes(const struct record *record, FILE *out) {
        if (reason_rows[record->reason].costs_calls) {
                fprintf(out,
                        "Kyma runtimes need a one-time token as well. In the cluster of each, or by a new "
                        "pairing:\n\n");
                print_token_request(out);
                return;
        }
        fprintf(out, "Kyma runtimes: in the cluster of each, one of these:\n\n"
                     "    kubectl patch compassconnections.compass.kyma-project.io compass-connection \\\n"
                     "        --type merge -p '{\"spec\": {\"refreshCredentialsNow\": true}}'\n\n"
                     "    kubectl patch centralconnections.applicationconnector.kyma-project.io NAME \\\n"
                     "        --type merge -p '{\"spec\": {\"renewNow\": true}}'\n\n");
        print_token_request(out);
}

static void print_tokens(FILE *out) {
        fprintf(out, "Then give each client a one-time token, which this consumes:\n\n"
                     "    rekeyctl enrol NAME --token-file FILE\n\n");
}

static void print_distrust(const char *id, const char *connector, FILE *out) {
        fprintf(out,
                "rekeyd: distribute this, and reload (rekeyctl reload):\n\n"
                "    connectors:\n      %s:\n        distrust: ['%s']\n\n",
                connector, id);
}

/* Where the sets of the old CA can still renew, there are other ways. */
static void print_renewals(const struct record *record, const char *id, const char *connector, FILE *out) {
        char when[TIMESTAMP_MAX];

        fprintf(out,
                "or, since all that was signed before is of the old CA, this:\n\n"
                "    connectors:\n      %s:\n        renew_issued_before: %s\n\n",
                connector, format_timestamp(when, record->entered[PHASE_RENEWING]));
        fprintf(out,
                "or on one machine, once (with --control SOCKET rekeyca apply does the same):\n\n"
                "    rekeyctl renew --issuer %s --within 6h\n\n",
                id);
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
        print_distrust(id, connector, out);
        if (reason->costs_calls)
                print_tokens(out);
        else
                print_renewals(record, id, connector, out);
        print_runtimes(record, out);
        return 0;
}
