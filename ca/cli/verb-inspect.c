/* `rekeyca inspect` and `rekeyca probe`: what there is, without a change. */

#include "ca/cli/session.h"

#include "ca/rotation/states.h"
#include "lib/util/json.h"

static void print_cert(struct session *session, const char *what, const struct cert *cert) {
        json_t *facts = session_describe_cert(cert);
        char span[TIMESPAN_MAX];
        const usec_t now = now_usec(CLOCK_REALTIME);

        session_say(session, "%s: %s, %s", what, json_string_value(json_object_get(facts, "subject")),
                    json_string_value(json_object_get(facts, "key")));
        session_say(session, "  certificate  %s", json_string_value(json_object_get(facts, "fingerprint")));
        session_say(session, "  key          spki:%s", json_string_value(json_object_get(facts, "spki")));
        session_say(session, "  expires      %s, %s", json_string_value(json_object_get(facts, "not_after")),
                    cert_not_after(cert) > now ? format_delay(span, cert_not_after(cert) - now) : "expired");
        json_decref(facts);
}

static int inspect_trust(struct session *session, struct backend *backend, json_t *list) {
        _cleanup_(contents_clear) struct contents contents = { 0 };
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 };
        json_t *items = json_array();
        char version[VERSION_MAX];

        if (backend->ops->read(backend, &contents, version, NULL) == 0)
                (void)cert_bundle_parse(contents.texts[0], strlen(contents.texts[0]), &certs, NULL);
        for (size_t i = 0; i < certs.n; i++)
                json_array_append_new(items, session_describe_cert(certs.items[i]));
        json_array_append_new(
                list, json_pack("{s:o,s:o}", "place", json_text(backend->name), "certificates", items));
        if (session->options->json)
                return 0;
        session_say(session, "bundle %s: %zu certificate%s", backend->name, certs.n, certs.n == 1 ? "" : "s");
        for (size_t i = 0; i < certs.n; i++)
                print_cert(session, "  trusts", certs.items[i]);
        return 0;
}

static void print_findings(struct session *session, const struct survey *survey) {
        json_t *list = json_array();

        for (size_t i = 0; i < survey->n_findings; i++) {
                const struct finding *finding = &survey->findings[i];

                json_array_append_new(list, json_pack("{s:s,s:o}", "kind", finding_names[finding->kind],
                                                      "text", json_text(finding->text)));
                if (!session->options->json)
                        session_say(session, "%s: %s", finding_names[finding->kind], finding->text);
        }
        json_object_set_new(session->answer, "findings", list);
}

int verb_inspect(struct session *session, struct error *error) {
        _cleanup_(survey_clear) struct survey survey = { 0 };
        json_t *trusts = json_array();
        int r;

        json_object_set_new(session->answer, "trust", trusts);
        r = session_survey(session, &survey, error);
        if (r < 0)
                return r;
        if (survey.ca)
                json_object_set_new(session->answer, "signer", session_describe_cert(survey.ca));
        if (survey.ca && !session->options->json)
                print_cert(session, "signer", survey.ca);
        for (size_t i = 0; i < session->n_trusts; i++)
                (void)inspect_trust(session, session->trusts[i], trusts);
        print_findings(session, &survey);
        if (survey.has_reason)
                json_object_set_new(session->answer, "reason", json_string(reason_rows[survey.reason].name));
        else if (survey.ca && !session->options->json)
                session_say(session, "No rotation is due by the expiry of the CA.");
        return 0;
}

/* --- probe --- */

/* Without a rotation there is the signer alone. */
static int read_cas(struct session *session, struct live_cas *ret, struct error *error) {
        const struct record *record = rotation_record(session->rotation);
        _cleanup_(contents_clear) struct contents contents = { 0 };
        char version[VERSION_MAX];
        int r;

        if (record && !phase_is_end(record->phase))
                return live_read_cas(record, ret, error);
        r = session->signer->ops->read(session->signer, &contents, version, error);
        if (r == 0)
                r = states_read_cert(contents.texts[SIGNER_CERTIFICATE], &ret->new_cert, error);
        if (r == 0)
                r = key_parse(contents.texts[SIGNER_KEY], strlen(contents.texts[SIGNER_KEY]), &ret->new_key,
                              error);
        return r;
}

int verb_probe(struct session *session, struct error *error) {
        _cleanup_(live_cas_clear) struct live_cas cas = { 0 };
        const json_t *item;
        json_t *list;
        size_t i;
        int r;

        if (session->site.n_gateways == 0)
                return error_set(error, -EINVAL, "no gateway is configured: set gateways, or --gateway");
        r = read_cas(session, &cas, error);
        if (r == 0)
                r = live_probe(&session->live, &cas, &list, error);
        if (r < 0)
                return r;
        json_object_set_new(session->answer, "gateways", list);
        if (session->options->json)
                return 0;
        json_array_foreach(list, i, item) {
                const char *old = json_string_value(json_object_get(item, "old")),
                           *new = json_string_value(json_object_get(item, "new"));

                session_say(session, "%s at %s: %s%s%s%s",
                            json_string_value(json_object_get(item, "gateway")),
                            json_string_value(json_object_get(item, "address")),
                            cas.old_cert ? "new CA: " : "CA of the signer: ", new ? new : "-",
                            old ? ", old CA: " : "", old ? old : "");
        }
        return 0;
}
