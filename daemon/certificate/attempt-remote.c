/*
 * The steps that call the Connector. Each starts one call and reads one reply; what a failure means is
 * decided by connector_classify() before there is a reply, by compass_read_*() from the reply, and here only
 * where it depends on which door was used.
 */

#include "daemon/certificate/attempt-private.h"

#include <stdio.h>

/* The certificate-secured URL: what `configuration` last said, or the configured one. Where both are known
 * and the last attempt failed, the other is tried in turn: either may be the one that is out of date. */
static const char *certificate_url(const struct attempt *attempt) {
        const char *stored = attempt->connection.connector_url, *configured = attempt->config->connector->url;

        if (!stored)
                return configured;
        if (!configured)
                return stored;
        return attempt->input.n_failures % 2 == 0 && !attempt->input.configured_url_first ? stored
                                                                                          : configured;
}

/* The proof goes to the certificate-secured door whichever door the attempt came through. */
static const char *call_url(const struct attempt *attempt) {
        return attempt->by_token && attempt->outcome.step != STEP_VERIFY
                       ? attempt->config->connector->enrol_url
                       : certificate_url(attempt);
}

static void fail_unstarted(struct attempt *attempt, int r) {
        if (attempt->outcome.error.code == 0)
                error_set_errno(&attempt->outcome.error, r, "cannot call the Connector");
        attempt->outcome.failure = FAILURE_LOCAL;
        attempt_call_done(attempt);
}

static void start_call(struct attempt *attempt, struct connector_request *request, connector_done_t done) {
        const struct config_connector *connector = attempt->config->connector;
        int r;

        if (!request->url) {
                free(request->body);
                error_set(&attempt->outcome.error, -ENOENT,
                          "the Connector's certificate-secured URL is not known: set `url` of connector %s",
                          connector->name);
                fail_unstarted(attempt, -ENOENT);
                return;
        }
        request->trust = connector->trust;
        request->timeout_usec = connector->timeout_usec;
        r = connector_call_new(attempt->services->curl, request, done, attempt, &attempt->call,
                               &attempt->outcome.error);
        if (r < 0)
                fail_unstarted(attempt, r);
}

/* Calls by the door that this attempt uses: TOKEN, or the current certificate. */
static void start_endpoint_call(struct attempt *attempt, char *body, const char *token,
                                connector_done_t done) {
        struct connector_request request = {
                .url = call_url(attempt),
                .body = body,
                .last = attempt->outcome.step == STEP_SIGN,
        };

        if (attempt->by_token)
                request.token = token;
        else {
                if (attempt->outcome.step == STEP_CONFIGURATION) {
                        connector_share_free(attempt->connection_share);
                        attempt->connection_share = connector_share_new();
                }
                request.key = attempt->set.key;
                request.certificate_pem = attempt->set.certificate_pem;
                request.share = attempt->connection_share;
        }
        start_call(attempt, &request, done);
}

/* What every answer is asked first. Returns false when there is no reply to read. */
static bool take_answer(struct attempt *attempt, const struct connector_answer *answer) {
        snprintf(attempt->outcome.request_id, sizeof(attempt->outcome.request_id), "%s", answer->request_id);
        attempt->outcome.retry_after_usec = answer->retry_after_usec;
        if (answer->failure == FAILURE_NONE)
                return true;
        error_set(&attempt->outcome.error, -EIO, "%s", answer->error);
        attempt->outcome.failure = answer->failure;
        return false;
}

/* Judges the result of a compass_read_*() call. Over the token-secured door the empty 400 mostly says that
 * the token is used, wrong or too old, and the next call with it will hear the same. */
static void take_result(struct attempt *attempt, const struct compass_reply *reply, int r) {
        if (r == 0)
                return;
        if (r < 0) {
                attempt->outcome.failure = FAILURE_LOCAL;
                return;
        }
        if (attempt->by_token && attempt->outcome.step != STEP_VERIFY && reply->status == 400 &&
            reply->size == 0) {
                error_set(&attempt->outcome.error, -EACCES,
                          "%s does not accept the one-time token%s%s: it is used, wrong or expired, "
                          "or the Director is down; a fresh one is needed",
                          call_url(attempt), attempt->is_offered ? "" : " from ",
                          attempt->is_offered           ? ""
                          : attempt->config->token_file ? attempt->config->token_file
                                                        : "the stage");
                attempt->outcome.failure = FAILURE_REJECTED;
                attempt->outcome.is_doubtful = true;
                return;
        }
        error_prefix(&attempt->outcome.error, "%s", call_url(attempt));
        attempt->outcome.failure = (enum failure)r;
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

static void take_configuration(struct attempt *attempt) {
        struct compass_configuration *configuration = &attempt->configuration;
        const char *algorithm = configuration->key_algorithm;
        unsigned asked = algorithm ? key_algorithm_bits(algorithm) : 0;

        if (algorithm && asked == 0) {
                error_set(&attempt->outcome.error, -ENOTSUP,
                          "the Connector asks for a key of kind '%s', which rekeyd does not make: only "
                          "rsa2048, rsa3072 "
                          "and rsa4096 are known",
                          algorithm);
                attempt->outcome.failure = FAILURE_BAD_REPLY;
                return;
        }
        if (attempt->by_token && !configuration->token) {
                error_set(&attempt->outcome.error, -EBADMSG,
                          "the Connector's configuration holds no token for the signature; a fresh one-time "
                          "token is "
                          "needed");
                attempt->outcome.failure = FAILURE_BAD_REPLY;
                return;
        }
        if (follow_url(&attempt->connection.connector_url, configuration->connector_url) < 0 ||
            follow_url(&attempt->connection.director_url, configuration->director_url) < 0) {
                free(attempt->warning);
                attempt->warning = strdup(
                        "the Connector's configuration names a URL that is not https; keeping the old one");
        }

        if (asked > key_bits(attempt->stage.key)) {
                attempt->key_bits = asked;
                attempt->outcome.key_too_small = true;
        }
}

static void on_configuration(const struct connector_answer *answer, void *userdata) {
        struct attempt *attempt = userdata;
        int r;

        if (take_answer(attempt, answer)) {
                compass_configuration_clear(&attempt->configuration);
                r = compass_read_configuration(&answer->reply, &attempt->configuration,
                                               &attempt->outcome.error);
                if (r == COMPASS_DIRECTOR_DOWN) {
                        /* Signing works without the Director, and the subject is in the certificate. */
                        if (attempt->by_token || !attempt->findings.set)
                                r = FAILURE_TRANSIENT;
                        else {
                                attempt->director_down = true;
                                free(attempt->warning);
                                attempt->warning = strdup(error_text(&attempt->outcome.error));
                                error_clear(&attempt->outcome.error);
                                r = 0;
                        }
                } else if (r == 0)
                        take_configuration(attempt);
                take_result(attempt, &answer->reply, r);
        }
        attempt_call_done(attempt);
}

void attempt_call_configuration(struct attempt *attempt) {
        char *body;
        int r;

        r = compass_request_configuration(&body);
        if (r < 0)
                fail_unstarted(attempt, r);
        else
                start_endpoint_call(attempt, body, attempt->token, on_configuration);
}

/* --- Sign --- */

static void on_signed(const struct connector_answer *answer, void *userdata) {
        struct attempt *attempt = userdata;

        if (take_answer(attempt, answer)) {
                compass_certificates_clear(&attempt->reply);
                take_result(
                        attempt, &answer->reply,
                        compass_read_certificates(&answer->reply, &attempt->reply, &attempt->outcome.error));
        }
        attempt_call_done(attempt);
}

void attempt_call_sign(struct attempt *attempt) {
        const char *token =
                attempt->configuration.token ? attempt->configuration.token : attempt->stage.token;
        char *body;
        int r;

        r = compass_request_sign(attempt->stage.csr_pem, &body);
        if (r < 0)
                fail_unstarted(attempt, r);
        else
                start_endpoint_call(attempt, body, token, on_signed);
}

/* --- Proof --- */

static void on_verified(const struct connector_answer *answer, void *userdata) {
        struct attempt *attempt = userdata;
        int r;

        if (take_answer(attempt, answer)) {
                r = compass_read_probe(&answer->reply, &attempt->outcome.error);
                /* Whatever it has against the call, it is about the new certificate: nothing else is new in
                 * it. An empty 400 too, where configuration and signature have just passed. */
                if (r == FAILURE_REFUSED || r == FAILURE_REJECTED || (r > 0 && answer->reply.status == 400))
                        r = FAILURE_BAD_REPLY;
                take_result(attempt, &answer->reply, r);
        }
        if (attempt->outcome.failure != FAILURE_NONE)
                error_prefix(&attempt->outcome.error, "could not verify the new certificate");
        attempt_call_done(attempt);
}

void attempt_call_verify(struct attempt *attempt) {
        struct connector_request request = {
                .url = call_url(attempt),
                .key = attempt->stage.key,
                .certificate_pem = attempt->stage.certificate_pem,
                .fresh = true,
        };
        int r;

        r = compass_request_probe(&request.body);
        if (r < 0)
                fail_unstarted(attempt, r);
        else
                start_call(attempt, &request, on_verified);
}
