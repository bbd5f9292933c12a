/* `rekeyctl renew`: the next certificate now, due or not. */

#include "ctl/change.h"
#include "ctl/operation.h"
#include "ctl/view.h"

/* Borrows the names from LIST, the answer with all certificates. */
static const char **names_of(const json_t *list, size_t *ret_n) {
        const json_t *certificates = json_object_get(list, "certificates"), *status;
        const char **names = calloc(json_array_size(certificates) + 1, sizeof(*names));
        size_t i, n = 0;

        if (!names)
                return NULL;
        json_array_foreach(certificates, i, status) {
                const char *name = view_string(status, "name");

                if (name)
                        names[n++] = name;
        }
        *ret_n = n;
        return names;
}

static int renew(struct ctl *ctl, const char *const *certificates, size_t n) {
        _cleanup_(json_decrefp) json_t *body =
                ctl_has(ctl, "force") ? json_pack("{s:b}", "force", 1) : json_object();

        if (!body)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        return operation_run(ctl, &(struct operation) {
                                          .name = "renew",
                                          .asked = "renewal requested",
                                          .try_again = "rekeyctl renew %s",
                                          .body = &body,
                                          .certificates = certificates,
                                          .n_certificates = n,
                                  });
}

static int renew_all(struct ctl *ctl) {
        _cleanup_(json_decrefp) json_t *list = NULL;
        _cleanup_(freep) const char **names = NULL;
        size_t n;
        int exit;

        exit = change_ask(ctl, "GET", "/v1/certificates", NULL, &list);
        if (exit != CTL_OK)
                return exit;
        names = names_of(list, &n);
        if (!names)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        return renew(ctl, names, n);
}

static int run(struct ctl *ctl) {
        const bool is_all = ctl_has(ctl, "all");

        if (is_all && ctl->n_arguments > 0)
                return ctl_fail(ctl, CTL_USAGE,
                                "renew: --all and the name of a certificate contradict each other");
        if (!is_all && ctl->n_arguments == 0)
                return ctl_fail(ctl, CTL_USAGE, "renew: name the certificates, or use --all");
        return is_all ? renew_all(ctl) : renew(ctl, ctl->arguments, ctl->n_arguments);
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
        CHANGE_OPTIONS,
};

const struct ctl_command command_renew = {
        .name = "renew",
        .section = CTL_CHANGE,
        .help = "renew certificates now, even if they are not due",
        .more = "Shows each step on a terminal, otherwise one line for each certificate. If the renewal "
                "fails, the old\ncertificate stays in use. Dependents are notified after the swap; rekeyctl "
                "does not wait for that:\n`rekeyctl show` lists pending notifications.",
        .arguments = arguments,
        .n_arguments = ELEMENTSOF(arguments),
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
