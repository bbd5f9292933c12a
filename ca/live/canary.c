/*
 * The canary is a client that exists for the Connector by its subject alone: rekeyca has the key of the CA,
 * so it makes the leaf that the call is made with. A real client's key is not needed, and its certificate is
 * not used up.
 */

#include "ca/live/canary.h"

#include "ca/live/call.h"
#include "lib/x509/csr.h"
#include "lib/x509/leaf.h"

#define LEAF_LIFETIME (10 * USEC_PER_MINUTE)

struct asking {
        const struct site_canary *canary;
        const struct protocol *protocol;
        const struct key *leaf_key;
        char *leaf, *csr;
        struct connection connection;
};

static void asking_clear(struct asking *asking) {
        free(asking->leaf);
        free(asking->csr);
        connection_clear(&asking->connection);
}

static int make_leaf(struct asking *asking, const struct carry_ca *ca, usec_t skew, usec_t now,
                     struct error *error) {
        _cleanup_(subject_freep) struct subject *subject = NULL;
        int r;

        r = subject_parse(asking->canary->subject, &subject, error);
        if (r < 0)
                return r;
        r = csr_make(asking->leaf_key, subject, &asking->csr, error);
        if (r < 0)
                return r;
        return leaf_make(&(struct leaf_terms) { .issuer = ca->cert,
                                                .issuer_key = ca->key,
                                                .key = asking->leaf_key,
                                                .subject = subject,
                                                .mark = LEAF_BY_KEY,
                                                .not_before = usec_sub(now, skew),
                                                .not_after = usec_add(now, LEAF_LIFETIME) },
                         &asking->leaf, error);
}

static int send(const struct asking *asking, const struct protocol_request *request, struct call_reply *ret,
                struct error *error) {
        int r;

        r = call_make(&(struct call_request) { .url = request->url,
                                               .trust = asking->canary->trust,
                                               .body = request->body,
                                               .key = asking->leaf_key,
                                               .certificate_pem = asking->leaf },
                      ret, error);
        if (r == 0 && ret->answer != CALL_ANSWERED)
                r = error_set(error, -EAGAIN, "%s %s: %s", asking->canary->url,
                              ret->answer == CALL_REJECTED ? "does not accept the canary"
                                                           : "cannot be called",
                              ret->why);
        return r;
}

static struct protocol_reply as_protocol(const struct call_reply *reply) {
        return (struct protocol_reply) { .status = reply->status,
                                         .body = reply->body,
                                         .size = reply->size,
                                         .content_type = reply->content_type };
}

/* The results of a protocol are classes of failures; here each means to try again. */
static int as_errno(int r, struct error *error) {
        if (r > 0)
                (void)error_prefix(error, "the canary was not signed");
        return r > 0 ? -EAGAIN : r;
}

/* The older service names the URL to sign at. */
static int follow(struct asking *asking, const struct protocol_ask *ask, struct error *error) {
        _cleanup_(protocol_configuration_clear) struct protocol_configuration configuration = { 0 };
        _cleanup_(protocol_request_clear) struct protocol_request request = { 0 };
        _cleanup_(call_reply_clear) struct call_reply answer = { 0 };
        struct protocol_reply reply;
        int r;

        r = asking->protocol->ask_configuration(ask, &request, error);
        if (r == 0)
                r = send(asking, &request, &answer, error);
        if (r < 0)
                return r;
        reply = as_protocol(&answer);
        r = asking->protocol->read_configuration(&reply, &configuration, error);
        if (r != 0)
                return as_errno(r, error);
        return connection_follow(&asking->connection, &configuration.connection);
}

static int prepare(struct asking *asking, struct protocol_request *ret, struct error *error) {
        const struct protocol_ask ask = { .url = asking->canary->url, .connection = &asking->connection };
        int r;

        if (asking->protocol->ask_signature(&ask, asking->csr, ret, NULL) == 0)
                return 0;
        r = follow(asking, &ask, error);
        return r < 0 ? r : asking->protocol->ask_signature(&ask, asking->csr, ret, error);
}

static int read_ca(const struct asking *asking, const struct call_reply *answer, struct cert **ret,
                   struct error *error) {
        _cleanup_(protocol_certificates_clear) struct protocol_certificates certificates = { 0 };
        _cleanup_(cert_list_clear) struct cert_list list = { 0 };
        const struct protocol_reply reply = as_protocol(answer);
        int r;

        r = asking->protocol->read_certificates(&reply, &certificates, error);
        if (r != 0)
                return as_errno(r, error);
        r = cert_list_parse(certificates.ca, strlen(certificates.ca), &list, error);
        if (r < 0)
                return r;
        *ret = take_ptr(list.items[0]);
        return 0;
}

int canary_ask(const struct site_canary *canary, const struct carry_ca *ca, const struct key *leaf_key,
               usec_t skew, usec_t now, struct cert **ret, struct error *error) {
        _cleanup_(asking_clear) struct asking asking = { .canary = canary,
                                                         .protocol = protocol_get(canary->protocol),
                                                         .leaf_key = leaf_key };
        _cleanup_(protocol_request_clear) struct protocol_request request = { 0 };
        _cleanup_(call_reply_clear) struct call_reply answer = { 0 };
        int r;

        r = make_leaf(&asking, ca, skew, now, error);
        if (r == 0)
                r = prepare(&asking, &request, error);
        if (r == 0)
                r = send(&asking, &request, &answer, error);
        return r < 0 ? r : read_ca(&asking, &answer, ret, error);
}
