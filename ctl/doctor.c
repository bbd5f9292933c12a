/*
 * What is asked of rekeyd is judged with the rights of the service; the network is examined by rekeyctl
 * itself, step by step, since a call of rekeyd only has one outcome. Nothing is changed, and no token or
 * certificate is shown to anybody.
 */

#include "ctl/doctor.h"

#include <stdio.h>

#include "ctl/client/endpoint.h"
#include "ctl/terminal/format.h"
#include "ctl/verdict.h"
#include "ctl/view.h"
#include "lib/protocol/url.h"
#include "lib/x509/cert.h"

#define TIMEOUT_USEC (15 * USEC_PER_SEC)

/* --- Files, rights, programs --- */

void doctor_take_prechecks(struct diagnosis *diagnosis, const json_t *answer) {
        const json_t *item;
        size_t i;

        json_array_foreach(json_object_get(answer, "errors"), i, item)
                diagnosis_add(diagnosis, DIAGNOSIS_BAD, "configuration", NULL, "rekeyctl check-config", "%s",
                              json_string_value(item) ? json_string_value(item) : "?");
        json_array_foreach(json_object_get(answer, "checks"), i, item) {
                static const char mark[] = "; fix: ";
                const char *certificate = view_string(item, "certificate"), *text = view_string(item, "text");
                const char *check = view_string(item, "check"), *connector = view_string(item, "connector");
                const char *fix = text ? strstr(text, mark) : NULL;
                const bool is_good = json_is_true(json_object_get(item, "ok"));
                _cleanup_(freep) char *about = NULL;

                if (!text || !check)
                        continue;
                if (asprintf(&about, "%s%s", certificate || !connector ? "" : "connector ",
                             certificate ? certificate
                             : connector ? connector
                                         : "configuration") < 0)
                        about = NULL;
                diagnosis_add(diagnosis, is_good ? DIAGNOSIS_GOOD : DIAGNOSIS_BAD, check, about,
                              is_good || !fix ? NULL : fix + strlen(mark), "%.*s",
                              fix ? (int)(fix - text) : (int)strlen(text), text);
        }
}

/* --- The network --- */

/* One URL under examination. */
struct visit {
        struct diagnosis *diagnosis;
        const struct endpoint *endpoint;
        char *about;
};

static void add_failure(const struct visit *visit, const char *check) {
        const struct endpoint *endpoint = visit->endpoint;

        diagnosis_add(visit->diagnosis, DIAGNOSIS_BAD, check, visit->about, cause_mend(endpoint->cause)->text,
                      "%s", endpoint->problem);
}

struct doctor_proxy doctor_find_proxy(const json_t *answer, const char *connector, const char *url,
                                      bool is_stored) {
        _cleanup_(freep) char *shown = url_shown(url);
        struct doctor_proxy proxy = { 0 };
        const json_t *item;
        size_t i;

        json_array_foreach(json_object_get(answer, "proxies"), i, item) {
                if (!streq_null(view_string(item, "connector"), connector) ||
                    (!is_stored && !streq_null(view_string(item, "url"), shown)))
                        continue;
                proxy.url = view_string(item, "proxy");
                proxy.variable = view_string(item, "variable");
                proxy.has_user = json_is_true(json_object_get(item, "has_user"));
                break;
        }
        return proxy;
}

/* rekeyctl does not know the password, and must not. */
static void judge_proxy(const struct visit *visit, const struct doctor_proxy *proxy) {
        const struct endpoint *endpoint = visit->endpoint;
        const char *variable = proxy->variable ? proxy->variable : "its environment";
        _cleanup_(freep) char *fix = NULL;

        if (!endpoint->is_at_proxy) {
                diagnosis_add(visit->diagnosis, DIAGNOSIS_GOOD, "proxy", visit->about, NULL,
                              "%s, from %s of rekeyd, connects to %s port %s", proxy->url, variable,
                              endpoint->host, endpoint->port);
                return;
        }
        if (endpoint->proxy_status == 407 && proxy->has_user) {
                diagnosis_add(visit->diagnosis, DIAGNOSIS_UNKNOWN, "proxy", visit->about, NULL,
                              "%s, from %s of rekeyd, requires the user and the password that only rekeyd "
                              "has; nothing beyond it can be checked",
                              proxy->url, variable);
                return;
        }
        if (asprintf(&fix, "%s%s %s: systemctl edit rekeyd",
                     endpoint->proxy_status == 407 ? "put user and password into the proxy's URL, "
                                                   : "correct the proxy",
                     endpoint->proxy_status == 407 ? "http://USER:PASSWORD@HOST:PORT, in" : " in",
                     variable) < 0)
                fix = NULL;
        diagnosis_add(visit->diagnosis, DIAGNOSIS_BAD, "proxy", visit->about, fix,
                      "%s, from %s of rekeyd: %s", proxy->url, variable, endpoint->problem);
}

static void judge_connection(const struct visit *visit, const struct doctor_proxy *proxy) {
        const struct endpoint *endpoint = visit->endpoint;

        if (proxy->url) {
                judge_proxy(visit, proxy);
                return;
        }
        if (endpoint->addresses && !streq(endpoint->addresses, endpoint->host))
                diagnosis_add(visit->diagnosis, DIAGNOSIS_GOOD, "dns", visit->about, NULL, "%s has %s",
                              endpoint->host, endpoint->addresses);
        if (endpoint->step == ENDPOINT_NAME)
                add_failure(visit, "dns");
        else if (endpoint->step == ENDPOINT_CONNECT)
                add_failure(visit, "tcp");
        else
                diagnosis_add(visit->diagnosis, DIAGNOSIS_GOOD, "tcp", visit->about, NULL,
                              "connected to port %s", endpoint->port);
}

/* What the server sends, whether it can be trusted or not: whoever knows it sees what `trust` should have. */
static void list_chain(const struct visit *visit) {
        const char *pem = visit->endpoint->server.chain_pem;
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 };
        const usec_t now = now_usec(CLOCK_REALTIME);

        if (!pem || cert_list_parse(pem, strlen(pem), &certs, NULL) < 0)
                return;
        for (size_t i = 0; i < certs.n; i++) {
                const usec_t not_after = cert_not_after(certs.items[i]);
                _cleanup_(freep) char *subject = cert_subject_text(certs.items[i]);
                _cleanup_(freep) char *issuer = cert_issuer_text(certs.items[i]);
                const bool is_expired = not_after <= now;
                char when[MOMENT_MAX];

                diagnosis_add(visit->diagnosis, is_expired ? DIAGNOSIS_BAD : DIAGNOSIS_GOOD, "chain",
                              visit->about, is_expired ? cause_mend(CAUSE_SERVER_EXPIRED)->text : NULL,
                              "certificate %zu of %zu is '%s', issued by '%s', and %s %s", i + 1, certs.n,
                              subject ? subject : "?", issuer ? issuer : "?",
                              is_expired ? "expired" : "expires", format_moment(when, not_after, now));
        }
}

static void judge_tls(const struct visit *visit, bool is_enrol_url) {
        const struct endpoint *endpoint = visit->endpoint;

        if (endpoint->step < ENDPOINT_TLS)
                return;
        if (endpoint->step == ENDPOINT_TLS)
                add_failure(visit, "tls");
        else if (endpoint->server.asks_for_certificate && endpoint->status == 0 && is_enrol_url)
                diagnosis_add(visit->diagnosis, DIAGNOSIS_BAD, "tls", visit->about,
                              "set `enrol_url` to the token-secured endpoint; this may be the `url`",
                              "the server requires a client certificate, which no enrolment has yet");
        else
                diagnosis_add(visit->diagnosis, DIAGNOSIS_GOOD, "tls", visit->about, NULL,
                              "the server's certificate is trusted%s",
                              endpoint->server.asks_for_certificate ? ", and it asks for a client certificate"
                                                                    : "");
        list_chain(visit);
        if (endpoint->step == ENDPOINT_ANSWER)
                add_failure(visit, "answer");
}

void doctor_judge_clock(struct diagnosis *diagnosis, const char *about, usec_t theirs, usec_t ours,
                        usec_t skew_usec) {
        const usec_t gap = ours > theirs ? ours - theirs : theirs - ours;
        char span[TIMESPAN_MAX];

        if (theirs == 0)
                return;
        if (gap > skew_usec)
                diagnosis_add(diagnosis, DIAGNOSIS_BAD, "clock", about, cause_mend(CAUSE_CLOCK)->command,
                              "the clock of this machine is %s %s that of the server",
                              format_timespan(span, gap), ours > theirs ? "ahead of" : "behind");
        else
                diagnosis_add(diagnosis, DIAGNOSIS_GOOD, "clock", about, NULL,
                              "this machine and the server agree");
}

void doctor_examine_url(struct diagnosis *diagnosis, const struct config_connector *connector,
                        const char *url, bool is_enrol_url, const struct doctor_proxy *proxy,
                        usec_t skew_usec) {
        _cleanup_(endpoint_clear) struct endpoint endpoint = { 0 };
        _cleanup_(freep) char *shown = url_shown(url), *about = NULL;
        struct visit visit = { .diagnosis = diagnosis, .endpoint = &endpoint };
        int r;

        if (!shown || asprintf(&about, "connector %s: %s", connector->name, shown) < 0) {
                about = NULL;
                diagnosis->is_out_of_memory = true;
                return;
        }
        visit.about = about;
        r = endpoint_examine(url, connector->trust, proxy->url, TIMEOUT_USEC, &endpoint);
        if (r < 0) {
                diagnosis_add(diagnosis, DIAGNOSIS_BAD, "url", about, cause_mend(CAUSE_URL)->text, "%s",
                              error_code_text(r));
                return;
        }
        judge_connection(&visit, proxy);
        judge_tls(&visit, is_enrol_url);
        doctor_judge_clock(diagnosis, about, endpoint.date, endpoint.now, skew_usec);
}

/* --- Certificates --- */

/* How to fix it; owned, NULL for nothing. One that sends its reader here only says what comes then. */
static char *fix_of(const struct finding *finding) {
        const char *advice = finding->advice ? finding->advice : "", *colon = finding->advice ? ": " : "";
        char *fix = NULL;
        int n = 0;

        if (finding->then && has_prefix(finding->command, "rekeyctl doctor"))
                n = asprintf(&fix, "%s, then: %s", advice, finding->then);
        else if (finding->then)
                n = asprintf(&fix, "%s%s%s; then: %s", advice, colon, finding->command, finding->then);
        else if (finding->command)
                n = asprintf(&fix, "%s%s%s", advice, colon, finding->command);
        return n < 0 ? NULL : fix;
}

static void add_finding(struct diagnosis *diagnosis, const char *name, const struct finding *finding) {
        _cleanup_(freep) char *fix = fix_of(finding);

        diagnosis_add(diagnosis, finding->level >= VERDICT_CALL ? DIAGNOSIS_BAD : DIAGNOSIS_UNKNOWN,
                      "certificate", name, fix, "%s", finding->sentence);
}

void doctor_judge_certificate(struct diagnosis *diagnosis, const json_t *status, bool is_offline,
                              bool is_close) {
        const usec_t now = now_usec(CLOCK_REALTIME);
        _cleanup_(verdict_clear) struct verdict verdict = { 0 };
        char distance[DISTANCE_MAX];
        struct view view;
        size_t n = 0;

        view_read(status, &view);
        if (verdict_judge(&view, now, is_offline, &verdict) < 0) {
                diagnosis->is_out_of_memory = true;
                return;
        }
        for (size_t i = 0; i < verdict.n_findings; i++)
                if (verdict.findings[i].level > VERDICT_FINE) {
                        add_finding(diagnosis, view.name, &verdict.findings[i]);
                        n++;
                }
        if (n == 0 && is_close)
                diagnosis_add(diagnosis, DIAGNOSIS_GOOD, "certificate", view.name, NULL,
                              "generation %" PRIu64 " is in use and expires %s%s", view.generation,
                              format_distance(distance, view.not_after, now),
                              streq_null(view.renewable.answer, "accepted") ? "; the Connector accepts it"
                                                                            : "");
}

void doctor_judge_dependents(struct diagnosis *diagnosis, const char *name, const json_t *details) {
        const json_t *item;
        size_t i;

        json_array_foreach(json_object_get(details, "dependents"), i, item) {
                const char *dependent = view_string(item, "dependent"), *error = view_string(item, "error");
                const bool is_pending = !json_is_null(json_object_get(item, "pending"));
                _cleanup_(freep) char *fix = NULL;

                if (error && asprintf(&fix, "correct what it names, then: rekeyctl notify %s", name) < 0)
                        fix = NULL;
                diagnosis_add(diagnosis,
                              error        ? DIAGNOSIS_BAD
                              : is_pending ? DIAGNOSIS_UNKNOWN
                                           : DIAGNOSIS_GOOD,
                              "dependent", name, fix, "%s%s%s%s", dependent ? dependent : "?",
                              error        ? " could not be notified: "
                              : is_pending ? " is to be notified"
                                           : " has no notification pending",
                              error ? error : "", "");
        }
}
