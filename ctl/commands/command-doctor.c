/* `rekeyctl doctor`: everything that a renewal needs, one check after the other. */

#include <stdio.h>

#include "ctl/doctor.h"
#include "ctl/source.h"
#include "ctl/view.h"

/* One run. */
struct consultation {
        struct ctl *ctl;
        const char *name; /* of the certificate; NULL: all */
        const struct config *config;
        struct source *source;
        json_t *list; /* of statuses */
        struct diagnosis diagnosis;
        json_t *prechecks; /* rekeyd's answer; NULL: there is none */
};

static void consultation_clear(struct consultation *consultation) {
        source_free(consultation->source);
        json_decref(consultation->list);
        json_decref(consultation->prechecks);
        diagnosis_clear(&consultation->diagnosis);
}

/* --- rekeyd --- */

static void ask_rekeyd(struct consultation *consultation) {
        struct diagnosis *diagnosis = &consultation->diagnosis;
        _cleanup_(client_reply_clear) struct client_reply reply = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *path = NULL;
        struct client *client = ctl_client(consultation->ctl);
        int r;

        if (!client ||
            asprintf(&path, "/v1/check-config?network=true%s%s", consultation->name ? "&certificate=" : "",
                     consultation->name ? consultation->name : "") < 0) {
                path = NULL;
                diagnosis->is_out_of_memory = true;
                return;
        }
        r = client_call(client, "GET", path, NULL, &reply, &error);
        if (r == 0 && reply.status == 200) {
                const char *user = view_string(reply.json, "user");

                diagnosis_add(diagnosis, DIAGNOSIS_GOOD, "rekeyd", NULL, NULL, "it runs as user %s",
                              user ? user : "?");
                consultation->prechecks = take_ptr(reply.json);
                return;
        }
        if (r == -ENOENT || r == -ECONNREFUSED) {
                diagnosis_add(diagnosis, DIAGNOSIS_BAD, "rekeyd", NULL, "systemctl start rekeyd",
                              "it is not running");
                diagnosis_add(
                        diagnosis, DIAGNOSIS_UNKNOWN, "files", NULL, NULL,
                        "files, rights and programs are judged by rekeyd only, which has the rights of the "
                        "service");
        } else
                diagnosis_add(diagnosis, DIAGNOSIS_BAD, "rekeyd", NULL,
                              r == -EACCES || reply.status == 403 ? "sudo rekeyctl doctor" : NULL, "%s",
                              error_text(&error));
}

/* --- Connectors --- */

/* Where a certificate in use has its Connector; borrowed from *RET_DETAILS, NULL for nowhere. */
static const char *stored_url(struct consultation *consultation, const struct config_connector *connector,
                              json_t **ret_details) {
        const json_t *status;
        size_t i;

        json_array_foreach(consultation->list, i, status) {
                if (!streq_null(view_string(status, "connector"), connector->name) ||
                    !view_string(status, "fingerprint"))
                        continue;
                if (source_details(consultation->source, view_string(status, "name"), ret_details) != CTL_OK)
                        return NULL;
                return view_string(json_object_get(*ret_details, "set"), "connector_url");
        }
        return NULL;
}

static void examine_url(struct consultation *consultation, const struct config_connector *connector,
                        const char *url, bool is_enrol_url, bool is_stored) {
        const struct doctor_proxy proxy =
                doctor_find_proxy(consultation->prechecks, connector->name, url, is_stored);

        doctor_examine_url(&consultation->diagnosis, connector, url, is_enrol_url, &proxy,
                           consultation->config->defaults.clock_skew_usec);
}

static void examine_connector(struct consultation *consultation, const struct config_connector *connector) {
        struct diagnosis *diagnosis = &consultation->diagnosis;
        const char *stored;
        _cleanup_(json_decrefp) json_t *details = NULL;

        stored = stored_url(consultation, connector, &details);
        if (connector->enrol_url)
                examine_url(consultation, connector, connector->enrol_url, true, false);
        if (connector->url)
                examine_url(consultation, connector, connector->url, false, false);
        if (stored && !streq_null(connector->url, stored))
                examine_url(consultation, connector, stored, false, true);
        if (!connector->url && !stored)
                diagnosis_add(
                        diagnosis, DIAGNOSIS_UNKNOWN, "url", NULL, NULL,
                        "the certificate-secured URL of connector %s is known after the first enrolment",
                        connector->name);
}

static bool is_meant(const struct consultation *consultation, const struct config_connector *connector) {
        for (size_t i = 0; i < consultation->config->n_certificates; i++) {
                const struct config_certificate *certificate = &consultation->config->certificates[i];

                if (certificate->connector == connector &&
                    (!consultation->name || streq(certificate->name, consultation->name)))
                        return true;
        }
        return false;
}

/* --- Certificates --- */

static void judge_certificates(struct consultation *consultation) {
        const bool is_offline = source_is_offline(consultation->source);
        _cleanup_(json_decrefp) json_t *details = NULL;
        const json_t *status;
        size_t i;

        json_array_foreach(consultation->list, i, status) doctor_judge_certificate(
                &consultation->diagnosis, status, is_offline, json_array_size(consultation->list) <= 20);
        if (consultation->name && !is_offline &&
            source_details(consultation->source, consultation->name, &details) == CTL_OK)
                doctor_judge_dependents(&consultation->diagnosis, consultation->name, details);
}

/* --- The command --- */

static int consult(struct consultation *consultation) {
        const struct config *config = consultation->config;
        int exit;

        ask_rekeyd(consultation);
        source_be_quiet(consultation->source);
        exit = source_list(consultation->source, &consultation->name, consultation->name ? 1 : 0,
                           &consultation->list);
        if (exit == CTL_NO_CERTIFICATE)
                return ctl_fail(consultation->ctl, exit, "%s", source_error(consultation->source));
        if (exit != CTL_OK)
                diagnosis_add(&consultation->diagnosis, DIAGNOSIS_UNKNOWN, "certificate", NULL, NULL, "%s",
                              source_error(consultation->source));
        if (consultation->prechecks)
                doctor_take_prechecks(&consultation->diagnosis, consultation->prechecks);
        for (size_t i = 0; i < config->n_connectors; i++)
                if (is_meant(consultation, &config->connectors[i]))
                        examine_connector(consultation, &config->connectors[i]);
        judge_certificates(consultation);
        return CTL_OK;
}

static int run(struct ctl *ctl) {
        _cleanup_(consultation_clear) struct consultation consultation = { .ctl = ctl };
        int exit, r;

        consultation.name = ctl->n_arguments > 0 ? ctl->arguments[0] : NULL;
        r = ctl_config(ctl, &consultation.config);
        if (r < 0)
                return ctl_fail(ctl, CTL_FAILED, "%s; see: rekeyctl check-config %s",
                                ctl->config_errors.n > 0 ? ctl->config_errors.items[0] : "out of memory",
                                ctl_config_path(ctl));
        consultation.source = source_new(ctl);
        if (!consultation.source)
                return CTL_FAILED;
        exit = consult(&consultation);
        if (exit != CTL_OK)
                return exit;
        return ctl_has(ctl, "json") ? diagnosis_print_json(&consultation.diagnosis, ctl)
                                    : diagnosis_print(&consultation.diagnosis, ctl);
}

static const struct ctl_argument arguments[] = {
        { .name = "NAME", .kind = CTL_CERTIFICATE, .is_optional = true },
};

static const struct ctl_option options[] = {
        { .name = "json", .letter = 'j', .help = "print JSON" },
};

const struct ctl_command command_doctor = {
        .name = "doctor",
        .section = CTL_INSPECT,
        .help = "check everything a renewal needs: network, TLS, clock, files, rights, dependents",
        .more = "Prints a line for each check, and what fixes it below the ones that fail. Changes nothing; "
                "no token and no certificate is sent. Files and rights are judged by rekeyd, as the user of "
                "the service. Ends with 0 if no check has failed, and with 1 otherwise.",
        .arguments = arguments,
        .n_arguments = ELEMENTSOF(arguments),
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
