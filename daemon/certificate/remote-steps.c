/*
 * The steps that call the Connector. Each starts one call and reads one reply; what a failure means is
 * decided by connector_classify() before there is a reply, by compass_read_*() from the reply, and here only
 * where it depends on which endpoint was used.
 */

#include "daemon/certificate/remote-steps.h"

#include <stdio.h>

#include "daemon/certificate/gathered.h"
#include "daemon/certificate/urls.h"
#include "lib/util/quote.h"

static struct urls list_urls(const struct gathered *gathered) {
        return urls_list(gathered->config->connector, gathered->connection.connector_url,
                         gathered->current_url);
}

/* After a failure the next one is tried in turn: any may be out of date. NULL: none is known. */
static const char *certificate_url(const struct gathered *gathered) {
        const struct urls urls = list_urls(gathered);

        if (urls.n == 0)
                return NULL;
        return urls.items[gathered->input.configured_url_first ? 0 : gathered->input.n_failures % urls.n];
}

/* Where this step calls. A signature is requested where the configuration was answered. A new certificate is
 * verified at the certificate-secured endpoint, whichever endpoint the attempt used. */
static const char *call_url(const struct remote *remote) {
        const struct gathered *gathered = remote->gathered;
        const struct urls urls = list_urls(gathered);

        if (gathered->outcome.step == STEP_VERIFY)
                return remote->n_tried < urls.n ? urls.items[remote->n_tried] : NULL;
        if (gathered->by_token)
                return gathered->config->connector->enrol_url;
        return gathered->outcome.step == STEP_SIGN && gathered->answered_url ? gathered->answered_url
                                                                             : certificate_url(gathered);
}

static void end_call(struct remote *remote) {
        remote->call = connector_call_free(remote->call);
        remote->done(remote->userdata);
}

void remote_clear(struct remote *remote) {
        remote->call = connector_call_free(remote->call);
        remote->share = connector_share_free(remote->share);
}

static void fail_unstarted(struct remote *remote, int r) {
        struct gathered *gathered = remote->gathered;
        if (gathered->outcome.error.code == 0)
                error_set_errno(&gathered->outcome.error, r, "cannot call the Connector");
        gathered->outcome.failure = FAILURE_LOCAL;
        end_call(remote);
}

static void start_call(struct remote *remote, struct connector_request *request, connector_done_t done) {
        struct gathered *gathered = remote->gathered;
        const struct config_connector *connector = gathered->config->connector;
        int r;

        if (!request->url) {
                free(request->body);
                fail_unstarted(remote, urls_explain_none(connector, &gathered->outcome.error));
                return;
        }
        request->trust = connector->trust;
        request->timeout_usec = connector->timeout_usec;
        r = connector_call_new(remote->curl, request, done, remote, &remote->call, &gathered->outcome.error);
        if (r < 0)
                fail_unstarted(remote, r);
}

/* Calls the endpoint that this attempt uses: TOKEN, or the current certificate. */
static void start_endpoint_call(struct remote *remote, char *body, const char *token, connector_done_t done) {
        struct gathered *gathered = remote->gathered;
        struct connector_request request = {
                .url = call_url(remote),
                .body = body,
                .last = gathered->outcome.step == STEP_SIGN,
        };

        if (gathered->by_token)
                request.token = token;
        else {
                if (gathered->outcome.step == STEP_CONFIGURATION) {
                        connector_share_free(remote->share);
                        remote->share = connector_share_new();
                }
                request.key = gathered->set.key;
                request.certificate_pem = gathered->set.certificate_pem;
                request.share = remote->share;
        }
        start_call(remote, &request, done);
}

/* The certificate in use was turned away before its time. Where the Connector is well, another machine may
 * have revoked it. */
static void mention_clones(struct gathered *gathered) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        const enum renewal_step step = gathered->outcome.step;

        if (gathered->by_token || (step != STEP_CONFIGURATION && step != STEP_SIGN) ||
            !gathered->findings.set || gathered->set.effective_expiry <= now_usec(CLOCK_REALTIME))
                return;
        error_move(&error, &gathered->outcome.error);
        error_set(
                &gathered->outcome.error, error.code, "%s; %s", error_text(&error),
                gathered->input.is_copied
                        ? "the state was copied from another machine, which may have revoked the certificate"
                        : "if it is revoked, and not by hand: is this machine a copy of another one, with "
                          "the "
                          "same certificate?");
}

/* What every answer is asked first. Returns false when there is no reply to read. */
static bool take_answer(struct gathered *gathered, const struct connector_answer *answer) {
        snprintf(gathered->outcome.request_id, sizeof(gathered->outcome.request_id), "%s",
                 answer->request_id);
        gathered->outcome.retry_after_usec = answer->retry_after_usec;
        if (answer->failure == FAILURE_NONE)
                return true;
        error_set(&gathered->outcome.error, -EIO, "%s", answer->error);
        gathered->outcome.failure = answer->failure;
        gathered->outcome.is_unheard = answer->failure == FAILURE_REFUSED;
        if (answer->failure == FAILURE_REJECTED)
                mention_clones(gathered);
        return false;
}

/* Judges the result of a compass_read_*() call. Over the token-secured endpoint the empty 400 mostly says
 * that the token is used, wrong or too old, and the next call with it will hear the same. */
static void take_result(struct remote *remote, const struct compass_reply *reply, int r) {
        struct gathered *gathered = remote->gathered;

        if (r == 0)
                return;
        if (r < 0) {
                gathered->outcome.failure = FAILURE_LOCAL;
                return;
        }
        if (gathered->by_token && gathered->outcome.step != STEP_VERIFY && reply->status == 400 &&
            reply->size == 0) {
                error_set(&gathered->outcome.error, -EACCES,
                          "%s rejected the one-time token%s%s: it is used, wrong or expired, "
                          "or the Director is down; a fresh one is needed",
                          call_url(remote), gathered->is_offered ? "" : " from ",
                          gathered->is_offered           ? ""
                          : gathered->config->token_file ? gathered->config->token_file
                                                         : "the stage");
                gathered->outcome.failure = FAILURE_REJECTED;
                gathered->outcome.is_doubtful = true;
                return;
        }
        error_prefix(&gathered->outcome.error, "%s", call_url(remote));
        gathered->outcome.failure = (enum failure)r;
        if (r == FAILURE_REJECTED || (reply->status == 400 && reply->size == 0))
                mention_clones(gathered);
}

/* --- Configuration --- */

static int follow_url(char **slot, char *url) {
        if (!url || streq_null(*slot, url))
                return 0;
        if (!url_is_https(url))
                return -EPROTO;
        free(*slot);
        *slot = strdup(url);
        return *slot ? 0 : -ENOMEM;
}

static void take_configuration(struct remote *remote) {
        struct gathered *gathered = remote->gathered;
        struct compass_configuration *configuration = &gathered->configuration;
        const char *algorithm = configuration->key_algorithm;
        unsigned asked = algorithm ? key_algorithm_bits(algorithm) : 0;

        if (algorithm && asked == 0) {
                error_set(&gathered->outcome.error, -ENOTSUP,
                          "the Connector requests a key of type '%s', which is not supported; supported are "
                          "rsa2048, "
                          "rsa3072 and rsa4096",
                          quoted(algorithm));
                gathered->outcome.failure = FAILURE_BAD_REPLY;
                return;
        }
        if (gathered->by_token && !configuration->token) {
                error_set(&gathered->outcome.error, -EBADMSG,
                          "the Connector's configuration has no token for the signature; a fresh one-time "
                          "token is "
                          "needed");
                gathered->outcome.failure = FAILURE_BAD_REPLY;
                return;
        }
        if (!gathered->by_token && !gathered->answered_url)
                gathered->answered_url = strdup(call_url(remote));
        if (follow_url(&gathered->connection.connector_url, configuration->connector_url) < 0 ||
            follow_url(&gathered->connection.director_url, configuration->director_url) < 0) {
                free(gathered->warning);
                gathered->warning = strdup(
                        "the Connector's configuration names a URL that is not https; keeping the old one");
        }

        if (asked > key_bits(gathered->stage.key)) {
                gathered->key_bits = asked;
                gathered->outcome.key_too_small = true;
        }
}

static void on_configuration(const struct connector_answer *answer, void *userdata) {
        struct remote *remote = userdata;
        struct gathered *gathered = remote->gathered;
        int r;

        if (take_answer(gathered, answer)) {
                compass_configuration_clear(&gathered->configuration);
                r = compass_read_configuration(&answer->reply, &gathered->configuration,
                                               &gathered->outcome.error);
                if (r == COMPASS_DIRECTOR_DOWN) {
                        /* Signing works without the Director, and the subject is in the certificate. */
                        if (gathered->by_token || !gathered->findings.set)
                                r = FAILURE_TRANSIENT;
                        else {
                                gathered->director_down = true;
                                free(gathered->warning);
                                gathered->warning = strdup(error_text(&gathered->outcome.error));
                                error_clear(&gathered->outcome.error);
                                r = 0;
                        }
                } else if (r == 0)
                        take_configuration(remote);
                take_result(remote, &answer->reply, r);
        }
        end_call(remote);
}

void remote_step_configuration(struct remote *remote) {
        struct gathered *gathered = remote->gathered;
        char *body;
        int r;

        r = compass_request_configuration(&body);
        if (r < 0)
                fail_unstarted(remote, r);
        else
                start_endpoint_call(remote, body, gathered->token, on_configuration);
}

/* --- Sign --- */

static void on_signed(const struct connector_answer *answer, void *userdata) {
        struct remote *remote = userdata;
        struct gathered *gathered = remote->gathered;

        if (take_answer(gathered, answer)) {
                compass_certificates_clear(&gathered->reply);
                take_result(remote, &answer->reply,
                            compass_read_certificates(&answer->reply, &gathered->reply,
                                                      &gathered->outcome.error));
        }
        end_call(remote);
}

void remote_step_sign(struct remote *remote) {
        struct gathered *gathered = remote->gathered;
        const char *token =
                gathered->configuration.token ? gathered->configuration.token : gathered->stage.token;
        char *body;
        int r;

        r = compass_request_sign(gathered->stage.csr_pem, &body);
        if (r < 0)
                fail_unstarted(remote, r);
        else
                start_endpoint_call(remote, body, token, on_signed);
}

/* --- Verify --- */

/* The endpoint that has just accepted the new certificate is the one to keep. What `configuration` said is
 * not believed before that, and a change is on record. */
static int settle_url(struct remote *remote) {
        struct gathered *gathered = remote->gathered;
        const char *learnt = gathered->connection.connector_url, *current = gathered->current_url;
        const char *chosen = call_url(remote);
        _cleanup_(freep) char *warning = NULL;
        char *copy;
        int r = 0;

        if (remote->n_tried > 0 && learnt && !streq(chosen, learnt)) {
                copy = strdup(chosen);
                if (!copy)
                        return -ENOMEM;
                r = asprintf(
                        &warning,
                        "%s, which the Connector's configuration names, did not accept a call; keeping %s",
                        learnt, chosen);
                free(gathered->connection.connector_url);
                gathered->connection.connector_url = copy;
                gathered->is_connection_changed = true;
        } else if (current && streq_null(chosen, learnt) && !streq(chosen, current))
                r = asprintf(&warning, "the Connector's certificate-secured URL changed from %s to %s",
                             current, chosen);
        if (r < 0) {
                warning = NULL;
                return -ENOMEM;
        }
        if (warning) {
                free(gathered->warning);
                gathered->warning = take_ptr(warning);
        }
        return 0;
}

/* Whether the failure may be one of the URL: nobody answers there; or it is a new one, and may lead to a
 * stranger. */
static bool may_be_wrong_url(const struct remote *remote) {
        const struct gathered *gathered = remote->gathered;
        const char *url = call_url(remote);
        const enum failure failure = gathered->outcome.failure;

        if (failure == FAILURE_NONE || gathered->outcome.is_unheard)
                return false;
        if (failure == FAILURE_TRANSIENT || failure == FAILURE_LOCAL)
                return true;
        return !streq_null(url, gathered->config->connector->url) && !streq_null(url, gathered->current_url);
}

static void verify_at_next(struct remote *remote);

static void on_verified(const struct connector_answer *answer, void *userdata) {
        struct remote *remote = userdata;
        struct gathered *gathered = remote->gathered;
        int r;

        if (take_answer(gathered, answer)) {
                r = compass_read_probe(&answer->reply, &gathered->outcome.error);
                /* Whatever it has against the call, it is about the new certificate: nothing else is new in
                 * it. An empty 400 too, where configuration and signature have just passed. */
                if (r == FAILURE_REFUSED || r == FAILURE_REJECTED || (r > 0 && answer->reply.status == 400))
                        r = FAILURE_BAD_REPLY;
                take_result(remote, &answer->reply, r);
        }
        if (may_be_wrong_url(remote) && remote->n_tried + 1 < list_urls(gathered).n) {
                remote->n_tried++;
                remote->call = connector_call_free(remote->call);
                verify_at_next(remote);
                return;
        }
        if (gathered->outcome.failure == FAILURE_NONE && settle_url(remote) < 0)
                gathered->outcome.failure = FAILURE_LOCAL;
        if (gathered->outcome.failure != FAILURE_NONE)
                error_prefix(&gathered->outcome.error, "could not verify the new certificate");
        end_call(remote);
}

static void verify_at_next(struct remote *remote) {
        struct gathered *gathered = remote->gathered;
        struct connector_request request = {
                .url = call_url(remote),
                .key = gathered->stage.key,
                .certificate_pem = gathered->stage.certificate_pem,
                .fresh = true,
        };
        int r;

        gathered->outcome.failure = FAILURE_NONE;
        error_clear(&gathered->outcome.error);
        r = compass_request_probe(&request.body);
        if (r < 0)
                fail_unstarted(remote, r);
        else
                start_call(remote, &request, on_verified);
}

void remote_step_verify(struct remote *remote) {
        remote->n_tried = 0;
        verify_at_next(remote);
}
