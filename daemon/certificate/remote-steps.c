/*
 * The steps that call the Connector. Each starts one call and reads one reply; what a failure means is
 * decided by connector_classify() before there is a reply, by the protocol from the reply, and here only
 * where it depends on what the attempt has.
 */

#include "daemon/certificate/remote-steps.h"

#include <stdio.h>

#include "daemon/certificate/gathered.h"
#include "lib/config/urls.h"
#include "lib/protocol/token.h"
#include "lib/util/quote.h"

static const struct protocol *protocol_of(const struct remote *remote) {
        return protocol_get(remote->gathered->config->connector->protocol);
}

static struct urls list_urls(const struct gathered *gathered) {
        return urls_list(gathered->config->connector, &gathered->connection, gathered->current_url);
}

/* After a failure the next one is tried in turn: any may be out of date. NULL: none is known. */
static const char *certificate_url(struct gathered *gathered) {
        const struct urls urls = list_urls(gathered);

        if (urls.n == 0)
                return NULL;
        return urls.items[gathered->input.configured_url_first ? 0 : gathered->input.n_failures % urls.n];
}

/* Where this step calls. A signature is requested where the configuration was answered. A new certificate is
 * verified at the certificate-secured endpoint, whichever endpoint the attempt used. */
static const char *call_url(const struct remote *remote) {
        struct gathered *gathered = remote->gathered;
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
        free(take_ptr(remote->shown));
        remote->share = connector_share_free(remote->share);
}

static void set_warning(struct gathered *gathered, const char *text) {
        free(gathered->warning);
        gathered->warning = strdup(text);
}

static void fail_unstarted(struct remote *remote, int r) {
        struct gathered *gathered = remote->gathered;
        if (gathered->outcome.error.code == 0)
                error_set_errno(&gathered->outcome.error, r, "cannot call the Connector");
        if (gathered->outcome.cause == CAUSE_NONE)
                gathered->outcome.cause = cause_of_errno(r);
        gathered->outcome.failure = FAILURE_LOCAL;
        end_call(remote);
}

/* What is to be asked, as PROTOCOL->ask_*() makes it for the step. */
static int ask(const struct remote *remote, const struct protocol_ask *ask, struct protocol_request *ret) {
        struct gathered *gathered = remote->gathered;
        struct error *error = &gathered->outcome.error;
        const struct protocol *protocol = protocol_of(remote);

        switch (gathered->outcome.step) {
        case STEP_CONFIGURATION:
                return protocol->ask_configuration(ask, ret, error);
        case STEP_SIGN:
                return protocol->ask_signature(ask, gathered->stage.csr_pem, ret, error);
        default:
                return protocol->ask_proof(ask, ret, error);
        }
}

/* Nobody but the token says where it goes. */
static void mention_server(const struct remote *remote) {
        struct gathered *gathered = remote->gathered;
        _cleanup_(freep) char *text = NULL;

        if (!gathered->by_token || gathered->config->connector->enrol_url || !remote->shown)
                return;
        if (asprintf(&text,
                     "the one-time token goes to %s, which came with it: connector %s has no `enrol_url`",
                     remote->shown, gathered->config->connector->name) >= 0)
                set_warning(gathered, text);
        else
                text = NULL;
}

/* Calls the endpoint of this step: TOKEN, or the identity in REQUEST. */
static void start_call(struct remote *remote, struct connector_request *request, connector_done_t done) {
        struct gathered *gathered = remote->gathered;
        const struct config_connector *connector = gathered->config->connector;
        const struct protocol_ask to = {
                .url = call_url(remote),
                .token = request->token,
                .connection = &gathered->connection,
        };
        int r;

        if (!to.url && !(to.token && token_is_url(to.token))) {
                gathered->outcome.cause = CAUSE_URL;
                fail_unstarted(remote, urls_explain_none(connector, &gathered->outcome.error));
                return;
        }
        r = ask(remote, &to, &request->asked);
        if (r < 0) {
                fail_unstarted(remote, r);
                return;
        }
        free(remote->shown);
        remote->shown = url_shown(request->asked.url);
        if (gathered->outcome.step == STEP_CONFIGURATION)
                mention_server(remote);
        r = connector_check_trust(connector->trust, &gathered->outcome.error);
        if (r < 0) {
                protocol_request_clear(&request->asked);
                gathered->outcome.cause = CAUSE_TRUST_FILE;
                fail_unstarted(remote, r);
                return;
        }
        request->protocol = protocol_of(remote);
        request->trust = connector->trust;
        request->timeout_usec = connector->timeout_usec;
        r = remote->shown ? connector_call_new(remote->curl, request, done, remote, &remote->call,
                                               &gathered->outcome.error)
                          : -ENOMEM;
        protocol_request_clear(&request->asked);
        if (r < 0)
                fail_unstarted(remote, r);
}

/* Calls the endpoint that this attempt uses: TOKEN, or the current certificate. */
static void start_endpoint_call(struct remote *remote, const char *token, connector_done_t done) {
        struct gathered *gathered = remote->gathered;
        struct connector_request request = { .last = gathered->outcome.step == STEP_SIGN };

        remote->token = gathered->by_token ? token : NULL;
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

/* The reply to such a call. */
static struct protocol_reply endpoint_reply(const struct remote *remote,
                                            const struct connector_answer *answer) {
        struct protocol_reply reply = answer->reply;

        reply.token = remote->token;
        return reply;
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
        gathered->outcome.is_token_sent = gathered->by_token && answer->was_sent;
        if (answer->failure == FAILURE_NONE)
                return true;
        error_set(&gathered->outcome.error, -EIO, "%s", answer->error);
        gathered->outcome.failure = answer->failure;
        gathered->outcome.cause = answer->cause;
        gathered->outcome.is_unheard = answer->failure == FAILURE_REFUSED;
        if (answer->may_be_revoked)
                mention_clones(gathered);
        return false;
}

static void take_token_rejection(struct remote *remote, bool is_doubtful) {
        struct gathered *gathered = remote->gathered;
        _cleanup_(error_clear) struct error why = ERROR_INIT;

        error_move(&why, &gathered->outcome.error);
        error_set(&gathered->outcome.error, -EACCES,
                  "%s rejected the one-time token%s%s: %s; a fresh one is needed", remote->shown,
                  gathered->is_offered ? "" : " from ",
                  gathered->is_offered           ? ""
                  : gathered->config->token_file ? gathered->config->token_file
                                                 : "the stage",
                  error_text(&why));
        gathered->outcome.failure = FAILURE_REJECTED;
        gathered->outcome.cause = CAUSE_TOKEN;
        gathered->outcome.is_doubtful = is_doubtful;
}

/* The call has met no Connector that could have used a token up. */
static bool has_no_endpoint(const struct gathered *gathered, const struct protocol_reply *reply) {
        return gathered->outcome.step == STEP_CONFIGURATION && (reply->status == 404 || reply->status == 405);
}

/* Judges what reading a reply has resulted in. */
static void take_result(struct remote *remote, const struct protocol_reply *reply, int r) {
        struct gathered *gathered = remote->gathered;

        if (r == 0)
                return;
        if (r < 0) {
                gathered->outcome.failure = FAILURE_LOCAL;
                return;
        }
        if (r == PROTOCOL_TOKEN_REJECTED || r == PROTOCOL_TOKEN_DOUBTFUL) {
                take_token_rejection(remote, r == PROTOCOL_TOKEN_DOUBTFUL);
                return;
        }
        error_prefix(&gathered->outcome.error, "%s", remote->shown);
        gathered->outcome.failure = (enum failure)r;
        gathered->outcome.cause = has_no_endpoint(gathered, reply) ? CAUSE_URL : CAUSE_NONE;
        gathered->outcome.is_token_good =
                r == FAILURE_REFUSED && reply->token &&
                (protocol_of(remote)->keeps_token || has_no_endpoint(gathered, reply));
        if (r == FAILURE_REJECTED || (reply->status == 400 && reply->size == 0))
                mention_clones(gathered);
}

/* --- Configuration --- */

static void take_configuration(struct remote *remote) {
        struct gathered *gathered = remote->gathered;
        struct protocol_configuration *configuration = &gathered->configuration;
        const char *algorithm = configuration->key_algorithm;
        unsigned asked = algorithm ? key_algorithm_bits(algorithm) : 0;
        int r;

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
        if (configuration->warning)
                set_warning(gathered, configuration->warning);
        r = connection_follow(&gathered->connection, &configuration->connection);
        if (r < 0)
                set_warning(gathered, r == -ENOMEM ? "out of memory: the Connector's new URLs are not kept"
                                                   : "the Connector's configuration names a URL that is not "
                                                     "https; keeping the old one");

        if (asked > key_bits(gathered->stage.key)) {
                gathered->key_bits = asked;
                gathered->outcome.key_too_small = true;
        }
}

static void on_configuration(const struct connector_answer *answer, void *userdata) {
        struct remote *remote = userdata;
        struct gathered *gathered = remote->gathered;
        const struct protocol_reply reply = endpoint_reply(remote, answer);
        int r;

        if (take_answer(gathered, answer)) {
                protocol_configuration_clear(&gathered->configuration);
                r = protocol_of(remote)->read_configuration(&reply, &gathered->configuration,
                                                            &gathered->outcome.error);
                if (r == PROTOCOL_NO_CONFIGURATION) {
                        /* The subject is in the certificate. */
                        if (gathered->by_token || !gathered->findings.set)
                                r = FAILURE_TRANSIENT;
                        else {
                                gathered->no_configuration = true;
                                set_warning(gathered, error_text(&gathered->outcome.error));
                                error_clear(&gathered->outcome.error);
                                r = 0;
                        }
                } else if (r == 0)
                        take_configuration(remote);
                take_result(remote, &reply, r);
        }
        end_call(remote);
}

void remote_step_configuration(struct remote *remote) {
        start_endpoint_call(remote, remote->gathered->token, on_configuration);
}

/* --- Sign --- */

static void on_signed(const struct connector_answer *answer, void *userdata) {
        struct remote *remote = userdata;
        struct gathered *gathered = remote->gathered;
        const struct protocol_reply reply = endpoint_reply(remote, answer);

        if (take_answer(gathered, answer)) {
                protocol_certificates_clear(&gathered->reply);
                take_result(remote, &reply,
                            protocol_of(remote)->read_certificates(&reply, &gathered->reply,
                                                                   &gathered->outcome.error));
        }
        end_call(remote);
}

void remote_step_sign(struct remote *remote) {
        const struct gathered *gathered = remote->gathered;

        start_endpoint_call(
                remote, gathered->configuration.token ? gathered->configuration.token : gathered->stage.token,
                on_signed);
}

/* --- Verify --- */

/* The endpoint that has just accepted the new certificate is the one to keep. What `configuration` said is
 * not believed before that, and a change is on record. */
static int settle_url(struct remote *remote) {
        struct gathered *gathered = remote->gathered;
        char **member = protocol_endpoint_member(protocol_of(remote), &gathered->connection);
        const char *learnt = *member, *current = gathered->current_url;
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
                free(*member);
                *member = copy;
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
static bool may_be_wrong_url(struct remote *remote) {
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

/* The URLs that the proof named, beside the endpoint. A renewal has heard them before: where nothing is new,
 * nothing is written, so that a disk that is full by now does not end it. */
static int settle_named(struct gathered *gathered, const struct connection *named) {
        _cleanup_(freep) char *before = NULL, *after = NULL;
        int r;

        r = connection_format(&gathered->connection, &before);
        if (r == 0 && connection_follow(&gathered->connection, named) == -ENOMEM)
                r = -ENOMEM;
        if (r == 0)
                r = connection_format(&gathered->connection, &after);
        if (r < 0)
                return r;
        gathered->is_connection_changed |= !streq(before, after);
        return 0;
}

static void on_verified(const struct connector_answer *answer, void *userdata) {
        _cleanup_(connection_clear) struct connection named = { 0 };
        struct remote *remote = userdata;
        struct gathered *gathered = remote->gathered;
        int r;

        if (take_answer(gathered, answer)) {
                r = protocol_of(remote)->read_proof(&answer->reply, gathered->stage.certificate_pem, &named,
                                                    &gathered->outcome.error);
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
        if (gathered->outcome.failure == FAILURE_NONE &&
            (settle_url(remote) < 0 || settle_named(gathered, &named) < 0))
                gathered->outcome.failure = FAILURE_LOCAL;
        if (gathered->outcome.failure != FAILURE_NONE)
                error_prefix(&gathered->outcome.error, "could not verify the new certificate");
        end_call(remote);
}

static void verify_at_next(struct remote *remote) {
        struct gathered *gathered = remote->gathered;
        struct connector_request request = {
                .key = gathered->stage.key,
                .certificate_pem = gathered->stage.certificate_pem,
                .fresh = true,
        };

        gathered->outcome.failure = FAILURE_NONE;
        gathered->outcome.cause = CAUSE_NONE;
        error_clear(&gathered->outcome.error);
        start_call(remote, &request, on_verified);
}

void remote_step_verify(struct remote *remote) {
        remote->n_tried = 0;
        verify_at_next(remote);
}
