/* `rekeyctl renew`: the next certificate now, due or not. */

#include "ctl/change.h"
#include "ctl/operation.h"
#include "ctl/view.h"
#include "lib/util/parse.h"
#include "lib/x509/issuers.h"

/* Which certificates are meant, where they are not named. What is NULL or 0 is no condition. */
struct selection {
        const char *connector;
        usec_t issued_before;
        json_t *issuers; /* fingerprints as keys; one of them */
};

static bool hangs_on(const json_t *status, const json_t *issuers) {
        const json_t *fingerprint;
        size_t i;

        json_array_foreach(
                json_object_get(status, "issuers"), i,
                fingerprint) if (json_is_string(fingerprint) &&
                                 json_object_get(issuers, json_string_value(fingerprint))) return true;
        return false;
}

static bool is_selected(const json_t *status, const struct selection *selection) {
        if (selection->connector && !streq_null(view_string(status, "connector"), selection->connector))
                return false;
        if (selection->issued_before > 0) {
                const usec_t not_before = view_member_time(status, "not_before");

                if (not_before == 0 || not_before >= selection->issued_before)
                        return false;
        }
        return !selection->issuers || hangs_on(status, selection->issuers);
}

/* Borrows the names from LIST, the answer with all certificates. */
static const char **names_of(const json_t *list, const struct selection *selection, size_t *ret_n) {
        const json_t *certificates = json_object_get(list, "certificates"), *status;
        const char **names = calloc(json_array_size(certificates) + 1, sizeof(*names));
        size_t i, n = 0;

        if (!names)
                return NULL;
        json_array_foreach(certificates, i, status) {
                const char *name = view_string(status, "name");

                if (name && is_selected(status, selection))
                        names[n++] = name;
        }
        *ret_n = n;
        return names;
}

static int renew(struct ctl *ctl, const char *const *certificates, size_t n) {
        const usec_t within = ctl_usec(ctl, "within");
        _cleanup_(json_decrefp) json_t *body = json_object();
        int r = body ? 0 : -1;

        if (ctl_has(ctl, "force"))
                r |= json_object_set_new(body, "force", json_true());
        if (within > 0)
                r |= json_object_set_new(body, "within", json_integer((json_int_t)(within / USEC_PER_SEC)));
        if (r != 0)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        return operation_run(ctl, &(struct operation) {
                                          .name = "renew",
                                          .asked = within > 0 ? "renewal planned" : "renewal requested",
                                          .try_again = "rekeyctl renew %s",
                                          .is_planned = within > 0,
                                          .body = &body,
                                          .certificates = certificates,
                                          .n_certificates = n,
                                  });
}

/* The CA certificates that TEXT means, of those in use. */
static int find_issuers(struct ctl *ctl, const char *text, json_t **ret) {
        _cleanup_(json_decrefp) json_t *answer = NULL, *found = json_object();
        char hex[FINGERPRINT_HEX];
        struct issuer_id id;
        const json_t *ca;
        size_t i;
        int exit;

        if (issuer_id_parse(text, &id) < 0)
                return ctl_fail(
                        ctl, CTL_USAGE,
                        "renew: --issuer '%s': a SHA-256 fingerprint is needed, of 64 hexadecimal digits, "
                        "with spki: before that of a key; rekeyctl cas lists those in use",
                        text);
        hex_format(hex, id.hash, sizeof(id.hash));
        exit = change_ask(ctl, "GET", "/v1/cas", NULL, &answer);
        if (exit != CTL_OK)
                return exit;
        json_array_foreach(json_object_get(answer, "cas"), i, ca) {
                const char *fingerprint = view_string(ca, "fingerprint");

                if (fingerprint && streq_null(view_string(ca, id.is_key ? "spki" : "fingerprint"), hex))
                        json_object_set_new(found, fingerprint, json_true());
        }
        if (!found)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        *ret = take_ptr(found);
        return CTL_OK;
}

static int renew_selected(struct ctl *ctl, const struct selection *selection) {
        _cleanup_(json_decrefp) json_t *list = NULL;
        _cleanup_(freep) const char **names = NULL;
        size_t n;
        int exit;

        exit = change_ask(ctl, "GET", "/v1/certificates", NULL, &list);
        if (exit != CTL_OK)
                return exit;
        names = names_of(list, selection, &n);
        if (!names)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        if (n == 0 && !ctl_has(ctl, "all")) {
                ctl_print(ctl, "No certificate matches: nothing to renew.");
                return CTL_OK;
        }
        return renew(ctl, names, n);
}

static bool has_selection(const struct ctl *ctl) {
        return ctl_has(ctl, "issuer") || ctl_has(ctl, "issued-before") || ctl_has(ctl, "connector");
}

static int run(struct ctl *ctl) {
        const bool is_all = ctl_has(ctl, "all");
        _cleanup_(json_decrefp) json_t *issuers = NULL;
        struct selection selection = { .connector = ctl_text(ctl, "connector") };
        int exit;

        if (is_all && ctl->n_arguments > 0)
                return ctl_fail(ctl, CTL_USAGE,
                                "renew: --all and the name of a certificate contradict each other");
        if (has_selection(ctl) && (is_all || ctl->n_arguments > 0))
                return ctl_fail(ctl, CTL_USAGE,
                                "renew: --issuer, --issued-before and --connector select certificates, "
                                "and contradict %s",
                                is_all ? "--all" : "the name of a certificate");
        if (!is_all && ctl->n_arguments == 0 && !has_selection(ctl))
                return ctl_fail(ctl, CTL_USAGE,
                                "renew: name the certificates, or use --all, --issuer, --issued-before or "
                                "--connector");
        if (ctl_has(ctl, "within") &&
            (ctl_has(ctl, "force") || ctl_has(ctl, "wait") || ctl_has(ctl, "timeout")))
                return ctl_fail(ctl, CTL_USAGE, "renew: --within and --%s contradict each other",
                                ctl_has(ctl, "force")  ? "force"
                                : ctl_has(ctl, "wait") ? "wait"
                                                       : "timeout");
        if (ctl->n_arguments > 0)
                return renew(ctl, ctl->arguments, ctl->n_arguments);
        if (ctl_has(ctl, "issued-before") &&
            parse_timestamp(ctl_text(ctl, "issued-before"), &selection.issued_before) < 0)
                return ctl_fail(
                        ctl, CTL_USAGE,
                        "renew: --issued-before '%s': a time is needed, such as 2026-11-20T18:06:53Z or "
                        "2026-11-20",
                        ctl_text(ctl, "issued-before"));
        if (ctl_has(ctl, "issuer")) {
                exit = find_issuers(ctl, ctl_text(ctl, "issuer"), &issuers);
                if (exit != CTL_OK)
                        return exit;
                selection.issuers = issuers;
        }
        return renew_selected(ctl, &selection);
}

static const struct ctl_argument arguments[] = {
        { .name = "NAME", .kind = CTL_CERTIFICATE, .is_optional = true, .repeats = true },
};

static const struct ctl_option options[] = {
        { .name = "all",
          .letter = 'a',
          .help = "renew all certificates; limits.concurrent_renewals still applies" },
        { .name = "force",
          .letter = 'f',
          .help = "accept a certificate that expires no later than the current one" },
        { .name = "issuer",
          .kind = CTL_TEXT,
          .argument = "SHA256",
          .help = "renew what is issued under this CA certificate, or CA key (spki:SHA256)" },
        { .name = "issued-before",
          .kind = CTL_TEXT,
          .argument = "TIME",
          .help = "renew what was issued before that time" },
        { .name = "connector",
          .kind = CTL_TEXT,
          .argument = "NAME",
          .help = "renew what this Connector has signed" },
        { .name = "within",
          .kind = CTL_DURATION,
          .argument = "DURATION",
          .min = USEC_PER_SEC,
          .max = 30 * USEC_PER_DAY,
          .help = "spread the renewals over that time; rekeyd does it, also after rekeyctl has ended" },
        CHANGE_OPTIONS,
};

const struct ctl_command command_renew = {
        .name = "renew",
        .section = CTL_CHANGE,
        .help = "renew certificates now, even if they are not due",
        .more = "Shows each step on a terminal, otherwise one line for each certificate. If the renewal "
                "fails, the old certificate stays in use. The exports are written and the dependents are "
                "notified before rekeyctl returns; --no-wait waits for nothing.",
        .arguments = arguments,
        .n_arguments = ELEMENTSOF(arguments),
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
