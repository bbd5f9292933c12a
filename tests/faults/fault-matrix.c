/*
 * The expectations of the fault matrix, from the failure table of the design and from what Connectors were
 * observed to do, not from what rekeyd happens to do. Three rules stand behind most of them:
 *
 * - The class follows from what the answer says: nothing (transient), no (refused), not you (rejected), or
 *   something that cannot be used (bad reply). What is wrong at the proof speaks against the new certificate
 *   and not against the one in use, so nothing is refused or rejected there.
 * - Who enrols and is refused or rejected needs another token, and who renews and is rejected too. All others
 *   retry; while they renew the old set is in use.
 * - The first call that carries a one-time token burns it. An enrolment that fails after that needs another
 *   one, unless it is a new certificate in hand that only could not be proven yet. A gateway that answers in
 *   front of the Connector burns nothing, but of a `sign` that came back spoilt a client cannot know.
 *
 * In connector-service only the call that succeeds burns its token. So who enrols and is refused has a good
 * one still, and it is used again; after an answer that cannot be used as well, and if that was a success the
 * next answer says so. There the URLs of a renewal are where the Connector says, and nowhere else; and its
 * proof is about a subject.
 */

#include "tests/faults/fault-matrix.h"

const struct struck_call_row struck_calls[STRUCK_CALL_MAX] = {
        [ENROL_CONFIGURATION] = { "enrol configuration", "configuration", "token", "subject",
                                  "certificate.subject", STEP_CONFIGURATION },
        [ENROL_SIGN] = { "enrol sign", "sign", "token", "clientCertificate", "clientCrt", STEP_SIGN },
        [ENROL_VERIFY] = { "enrol proof", "probe", "certificate", "__typename", "certificate.subject",
                           STEP_VERIFY },
        [RENEW_CONFIGURATION] = { "renew configuration", "configuration", "certificate", "subject",
                                  "certificate.subject", STEP_CONFIGURATION },
        [RENEW_SIGN] = { "renew sign", "sign", "certificate", "clientCertificate", "clientCrt", STEP_SIGN },
        [RENEW_VERIFY] = { "renew proof", "probe", "certificate", "__typename", "certificate.subject",
                           STEP_VERIFY },
};

const char *const remedies[REMEDY_MAX] = {
        [REMEDY_NONE] = "",
        [REMEDY_TOKEN] = " by a new token",
        [REMEDY_URL] = " by `url`",
};

/* clang-format off */

/* One expectation each. "_TOKEN": another token is needed. */
#define PASSES            { .failure = FAILURE_NONE }
#define NOT_HERE(why)     { .not_here = (why) }
#define TRANSIENT         { .failure = FAILURE_TRANSIENT, .state = RENEWAL_RETRYING, .remedy = REMEDY_NONE }
#define TRANSIENT_TOKEN   { .failure = FAILURE_TRANSIENT, .state = RENEWAL_RETRYING, .remedy = REMEDY_TOKEN }
#define BAD_REPLY         { .failure = FAILURE_BAD_REPLY, .state = RENEWAL_RETRYING, .remedy = REMEDY_NONE }
#define BAD_REPLY_TOKEN   { .failure = FAILURE_BAD_REPLY, .state = RENEWAL_RETRYING, .remedy = REMEDY_TOKEN }
#define REFUSED           { .failure = FAILURE_REFUSED, .state = RENEWAL_RETRYING, .remedy = REMEDY_NONE }
#define REFUSED_AGAIN     { .failure = FAILURE_REFUSED, .state = RENEWAL_RETRYING, .remedy = REMEDY_NONE, .is_slow = true }
#define REFUSED_TOKEN     { .failure = FAILURE_REFUSED, .state = RENEWAL_WAITING_FOR_TOKEN, .remedy = REMEDY_TOKEN }
#define REJECTED          { .failure = FAILURE_REJECTED, .state = RENEWAL_WAITING_FOR_TOKEN, .remedy = REMEDY_NONE }
#define REJECTED_TOKEN    { .failure = FAILURE_REJECTED, .state = RENEWAL_WAITING_FOR_TOKEN, .remedy = REMEDY_TOKEN }

/* The same, found out by a later step than the call. */
#define SPOILT(step)       { FAILURE_BAD_REPLY, RENEWAL_RETRYING, REMEDY_NONE, (step), NULL, false }
#define SPOILT_TOKEN(step) { FAILURE_BAD_REPLY, RENEWAL_RETRYING, REMEDY_TOKEN, (step), NULL, false }
#define NO_ENDPOINT            { FAILURE_LOCAL, RENEWAL_RETRYING, REMEDY_URL, STEP_VERIFY, NULL, false }
#define NOBODY_THERE           { FAILURE_TRANSIENT, RENEWAL_RETRYING, REMEDY_TOKEN, STEP_VERIFY, NULL, false }

#define NOBODY_SIGNS(remedy)   { FAILURE_TRANSIENT, RENEWAL_RETRYING, (remedy), STEP_SIGN, NULL, false }

#define REFUSED_AT(step, state, remedy) { FAILURE_REFUSED, (state), (remedy), (step), NULL, false }

/* Rows of six, in the order of enum struck_call. */
#define AT(...)       .at = { __VA_ARGS__ }
#define ALL(expected) AT(expected, expected, expected, expected, expected, expected)
#define SERVICE(...)  .service_at = (const struct expected[STRUCK_CALL_MAX]) { __VA_ARGS__ }
#define NAMED(field)  .service_parameters = "\"field\":\"" field "\""

/* Nothing was heard of the call, and the token was not looked at. */
#define UNHEARD ALL(TRANSIENT)

/* The Connector had the call, and with it the token, but gave no answer. */
#define UNANSWERED AT(TRANSIENT_TOKEN, TRANSIENT_TOKEN, TRANSIENT, TRANSIENT, TRANSIENT, TRANSIENT)

/* The Connector had the call, and its answer is none. */
#define UNREADABLE AT(BAD_REPLY_TOKEN, BAD_REPLY_TOKEN, BAD_REPLY_TOKEN, BAD_REPLY, BAD_REPLY, BAD_REPLY)

/* So is a gateway's answer in front of it. */
#define GATEWAY_UNREADABLE                                                                        \
        AT(BAD_REPLY, BAD_REPLY_TOKEN, BAD_REPLY_TOKEN, BAD_REPLY, BAD_REPLY, BAD_REPLY),         \
        SERVICE(BAD_REPLY, BAD_REPLY, BAD_REPLY_TOKEN, BAD_REPLY, BAD_REPLY, BAD_REPLY)

#define SAYS_NO                                                                                   \
        AT(REFUSED_TOKEN, REFUSED_TOKEN, BAD_REPLY_TOKEN, REFUSED, REFUSED, BAD_REPLY),           \
        SERVICE(REFUSED_AGAIN, REFUSED_AGAIN, BAD_REPLY_TOKEN, REFUSED, REFUSED, BAD_REPLY)

/* There is no Connector at that path: the first call has burnt nothing. Of a second one that finds none where the
 * first did a client cannot know. */
#define NO_ROUTE                                                                                  \
        AT(REFUSED_AGAIN, REFUSED_TOKEN, BAD_REPLY_TOKEN, REFUSED, REFUSED, BAD_REPLY),           \
        SERVICE(REFUSED_AGAIN, REFUSED_AGAIN, BAD_REPLY_TOKEN, REFUSED, REFUSED, BAD_REPLY)

/* 400 with nothing in it: mostly a used token at the token endpoint, never final at the other; and the one thing
 * that a revoked certificate hears when it proves itself. The older service says what it has to say. */
#define EMPTY_400                                                                                 \
        AT(REJECTED_TOKEN, REJECTED_TOKEN, BAD_REPLY_TOKEN, TRANSIENT, TRANSIENT, BAD_REPLY),     \
        SERVICE(TRANSIENT, TRANSIENT, BAD_REPLY_TOKEN, TRANSIENT, TRANSIENT, BAD_REPLY)

#define NO_LEAF "only a signature has a leaf"
#define LEAF_ONLY(enrol_sign, renew_sign)                                              \
        AT(NOT_HERE(NO_LEAF), enrol_sign, NOT_HERE(NO_LEAF), NOT_HERE(NO_LEAF), renew_sign, NOT_HERE(NO_LEAF))
#define STOPPED_AT_GATE LEAF_ONLY(SPOILT_TOKEN(STEP_GATE), SPOILT(STEP_GATE))

#define NO_FIELD "no such field in this reply"
#define CONFIGURATION_FIELD(enrol, renew)                                                         \
        AT(enrol, NOT_HERE(NO_FIELD), NOT_HERE(NO_FIELD), renew, NOT_HERE(NO_FIELD), NOT_HERE(NO_FIELD))
#define SERVICE_CONFIGURATION_FIELD(enrol, renew)                                                 \
        SERVICE(enrol, NOT_HERE(NO_FIELD), NOT_HERE(NO_FIELD), renew, NOT_HERE(NO_FIELD), NOT_HERE(NO_FIELD))
#define SIGN_FIELD(enrol, renew)                                                                  \
        AT(NOT_HERE(NO_FIELD), enrol, NOT_HERE(NO_FIELD), NOT_HERE(NO_FIELD), renew, NOT_HERE(NO_FIELD))
#define RESULT_FIELD                                                                              \
        AT(BAD_REPLY_TOKEN, BAD_REPLY_TOKEN, NOT_HERE(NO_FIELD), BAD_REPLY, BAD_REPLY, NOT_HERE(NO_FIELD))

#define DEAD_URL  "\"value\":\"https://localhost:1/graphql\""
#define PLAIN_URL "\"value\":\"http://localhost/graphql\""
#define NO_URL    "\"value\":\"nothing of the kind\""

#define NO_CLIENT_CERTIFICATE "the token endpoint asks for no certificate"
#define NO_DIRECTOR           "only `configuration` needs the Director"
#define NO_SUBJECT            "a proof is about no subject"
#define NO_TIME_LIMIT         "the older service has no such time limit"
#define NO_HYDRATOR           "no gateway asks the older service about tokens"
#define NO_SUCH_DIRECTOR      "the older service has no Director"
#define NO_ENVELOPE           "replies of the older service have no envelope"
#define NO_SECOND_URL         "the Connector has one URL for all calls"
#define NO_REVOCATION         "rekeyd revokes nothing by itself"

const struct fault_case fault_cases[] = {
        { "tls-close", "\"when\":\"during\"", .in_tls = true, UNHEARD },
        { "tls-close", "\"when\":\"after\"", .in_tls = true, UNHEARD },
        /* A refused certificate may come back into favour: one row without a new token. */
        { "refuse-certificate", NULL, .in_tls = true,
          AT(NOT_HERE(NO_CLIENT_CERTIFICATE), NOT_HERE(NO_CLIENT_CERTIFICATE), BAD_REPLY_TOKEN,
             REJECTED_TOKEN, REJECTED, BAD_REPLY) },

        { "delay", "\"delay\":\"300ms\"", ALL(PASSES) },
        { "delay", "\"delay\":\"7s\"", UNANSWERED }, /* rekeyd's own `timeout` ends it */
        { "hold", NULL, UNANSWERED },

        { "status", "\"status\":503", UNHEARD },
        { "status", "\"status\":503,\"burn_token\":true", UNANSWERED },
        { "status", "\"status\":500", UNHEARD },
        { "status", "\"status\":408", UNHEARD },
        { "status", "\"status\":401", SAYS_NO },
        { "status", "\"status\":403", SAYS_NO },
        { "status", "\"status\":404", NO_ROUTE },
        { "status", "\"status\":200", GATEWAY_UNREADABLE }, /* and no body */
        { "status", "\"status\":204", GATEWAY_UNREADABLE },
        { "timeout-503", NULL, UNANSWERED, .not_in_service = NO_TIME_LIMIT },
        { "bad-gateway-502", NULL, UNHEARD },
        { "empty-400", NULL, EMPTY_400 },
        { "hydrator-down", NULL, EMPTY_400, .not_in_service = NO_HYDRATOR },
        { "html-400", NULL,
          AT(REJECTED_TOKEN, REJECTED_TOKEN, BAD_REPLY_TOKEN, REJECTED, REJECTED_TOKEN, BAD_REPLY) },
        { "rate-limit", NULL, UNHEARD },
        { "rate-limit-retry-after", "\"retry_after\":\"8s\"", .not_before_usec = 8 * USEC_PER_SEC, UNHEARD },
        { "redirect", NULL, GATEWAY_UNREADABLE },

        { "login-page", NULL, GATEWAY_UNREADABLE },
        { "login-page", "\"status\":403", SAYS_NO },
        { "login-page", "\"status\":511", UNHEARD },

        { "cut-connection", NULL, UNANSWERED },
        { "cut-connection", "\"executed\":true", UNANSWERED },
        { "cut-body", "\"framing\":\"length\"", UNANSWERED },
        { "cut-body", "\"framing\":\"chunked\"", UNANSWERED },
        { "close", NULL, ALL(PASSES) },

        { "garbage", NULL, UNREADABLE },
        { "not-json", NULL, UNREADABLE },
        { "encoded-body", "\"as\":\"gzip\"", UNREADABLE },
        { "encoded-body", "\"as\":\"utf-16\"", UNREADABLE },
        { "encoded-body", "\"as\":\"mark\"", ALL(PASSES) },
        { "long-header", NULL, UNREADABLE },
        { "long-header", "\"bytes\":60000", ALL(PASSES) },
        { "oversized-body", NULL, UNREADABLE },
        { "deep-nesting", NULL, UNREADABLE },

        /* An error of the Connector is a status of 500 in REST, which is no answer for ever. */
        { "graphql-error", NULL,
          AT(REFUSED_TOKEN, REFUSED_TOKEN, BAD_REPLY_TOKEN, REFUSED, REFUSED, BAD_REPLY),
          SERVICE(TRANSIENT, TRANSIENT, TRANSIENT, TRANSIENT, TRANSIENT, TRANSIENT) },
        /* To renew, the subject of the current certificate will do. To enrol there is none, nor a token for the
         * signature. */
        { "director-down", NULL,
          AT(TRANSIENT_TOKEN, NOT_HERE(NO_DIRECTOR), NOT_HERE(NO_DIRECTOR), PASSES, NOT_HERE(NO_DIRECTOR),
             NOT_HERE(NO_DIRECTOR)),
          .not_in_service = NO_SUCH_DIRECTOR },
        /* Named by one of the two calls only, so where there is no certificate yet the other one refuses it. */
        { "other-client", NULL,
          AT(REFUSED_AT(STEP_SIGN, RENEWAL_WAITING_FOR_TOKEN, REMEDY_TOKEN), REFUSED_TOKEN, NOT_HERE(NO_SUBJECT),
             REFUSED_AT(STEP_CSR, RENEWAL_RETRYING, REMEDY_NONE), REFUSED, NOT_HERE(NO_SUBJECT)),
          /* The CSR of another client is refused for ever, while its token is good. */
          SERVICE(REFUSED_AT(STEP_SIGN, RENEWAL_RETRYING, REMEDY_TOKEN), REFUSED_AGAIN, NOT_HERE(NO_SUBJECT),
                  REFUSED_AT(STEP_CSR, RENEWAL_RETRYING, REMEDY_NONE), REFUSED, NOT_HERE(NO_SUBJECT)) },
        { "revoke-fails", NULL, ALL(NOT_HERE(NO_REVOCATION)) },

        { "wrong-key", NULL, STOPPED_AT_GATE },
        { "wrong-subject", NULL, STOPPED_AT_GATE },
        { "expired-leaf", NULL, STOPPED_AT_GATE },
        { "not-yet-valid-leaf", NULL, STOPPED_AT_GATE },
        /* Better than none, but nothing to give up a longer one for. */
        { "short-lifetime", "\"lifetime\":\"5s\"", LEAF_ONLY(PASSES, SPOILT(STEP_GATE)) },
        { "other-ca", NULL, LEAF_ONLY(SPOILT_TOKEN(STEP_VERIFY), SPOILT(STEP_VERIFY)) },
        { "mixed-ca", NULL, STOPPED_AT_GATE },
        { "two-leaves", NULL, STOPPED_AT_GATE },
        { "no-client-auth", NULL, STOPPED_AT_GATE },
        { "long-chain", NULL, STOPPED_AT_GATE },
        { "weak-digest", NULL, STOPPED_AT_GATE },
        { "weak-issuer", NULL, STOPPED_AT_GATE },

        { "empty-field", NULL, .of_field = true, UNREADABLE },
        { "missing-field", NULL, .of_field = true, UNREADABLE },
        { "null-field", NULL, .of_field = true, UNREADABLE },
        /* What is base64 nowhere else is a subject that cannot be read, and a good name for a type. */
        { "garbage-base64", NULL, .of_field = true,
          AT(SPOILT_TOKEN(STEP_CSR), BAD_REPLY_TOKEN, PASSES, SPOILT(STEP_CSR), BAD_REPLY, PASSES),
          SERVICE(SPOILT_TOKEN(STEP_CSR), BAD_REPLY_TOKEN, BAD_REPLY_TOKEN, SPOILT(STEP_CSR), BAD_REPLY, BAD_REPLY) },

        /* Fields that may be left out are missed only where they are needed. */
        { "null-field", "\"field\":\"token\"", .of_field = true, CONFIGURATION_FIELD(BAD_REPLY_TOKEN, PASSES),
          NAMED("csrUrl"), SERVICE_CONFIGURATION_FIELD(BAD_REPLY_TOKEN, NOT_HERE(NO_FIELD)) },
        { "empty-field", "\"field\":\"token.token\"", .of_field = true,
          CONFIGURATION_FIELD(BAD_REPLY_TOKEN, BAD_REPLY),
          NAMED("csrUrl"), SERVICE_CONFIGURATION_FIELD(BAD_REPLY_TOKEN, NOT_HERE(NO_FIELD)) },
        { "garbage-base64", "\"field\":\"token.token\"", .of_field = true,
          CONFIGURATION_FIELD(BAD_REPLY_TOKEN, BAD_REPLY),
          NAMED("csrUrl"), SERVICE_CONFIGURATION_FIELD(BAD_REPLY_TOKEN, NOT_HERE(NO_FIELD)) },
        { "null-field", "\"field\":\"keyAlgorithm\"", .of_field = true, CONFIGURATION_FIELD(PASSES, PASSES),
          NAMED("key-algorithm") },
        { "garbage-base64", "\"field\":\"keyAlgorithm\"", .of_field = true,
          CONFIGURATION_FIELD(BAD_REPLY_TOKEN, BAD_REPLY), NAMED("key-algorithm") },
        { "missing-field", "\"field\":\"certificateSigningRequestInfo\"", .of_field = true,
          CONFIGURATION_FIELD(BAD_REPLY_TOKEN, BAD_REPLY), NAMED("certificate") },
        { "null-field", "\"field\":\"directorURL\"", .of_field = true, CONFIGURATION_FIELD(PASSES, PASSES),
          NAMED("metadataUrl") },
        /* Where no endpoint is known for the proof the new certificate waits for somebody who names it. */
        { "null-field", "\"field\":\"managementPlaneInfo\"", .of_field = true, CONFIGURATION_FIELD(NO_ENDPOINT, PASSES),
          NAMED("api"), SERVICE_CONFIGURATION_FIELD(NO_ENDPOINT, NOT_HERE(NO_FIELD)) },
        { "null-field", "\"field\":\"certificateSecuredConnectorURL\"", .of_field = true,
          CONFIGURATION_FIELD(NO_ENDPOINT, PASSES),
          NAMED("infoUrl"), SERVICE_CONFIGURATION_FIELD(NO_ENDPOINT, NOT_HERE(NO_FIELD)) },
        /* A URL where nobody answers costs an enrolment, which knows no other; a renewal stays where it was answered. */
        { "set-field", "\"field\":\"certificateSecuredConnectorURL\"," DEAD_URL, .of_field = true,
          CONFIGURATION_FIELD(NOBODY_THERE, PASSES),
          .service_parameters = "\"field\":\"infoUrl\"," DEAD_URL,
          SERVICE_CONFIGURATION_FIELD(NOBODY_THERE, NOT_HERE(NO_FIELD)) },
        { "set-field", "\"field\":\"certificateSecuredConnectorURL\"," PLAIN_URL, .of_field = true,
          CONFIGURATION_FIELD(NO_ENDPOINT, PASSES),
          .service_parameters = "\"field\":\"infoUrl\"," PLAIN_URL,
          SERVICE_CONFIGURATION_FIELD(NO_ENDPOINT, NOT_HERE(NO_FIELD)) },
        { "set-field", "\"field\":\"certificateSecuredConnectorURL\"," NO_URL, .of_field = true,
          CONFIGURATION_FIELD(NO_ENDPOINT, PASSES),
          .service_parameters = "\"field\":\"infoUrl\"," NO_URL,
          SERVICE_CONFIGURATION_FIELD(NO_ENDPOINT, NOT_HERE(NO_FIELD)) },
        { "missing-field", "\"field\":\"certificateChain\"", .of_field = true,
          SIGN_FIELD(BAD_REPLY_TOKEN, BAD_REPLY), NAMED("crt") },
        { "garbage-base64", "\"field\":\"certificateChain\"", .of_field = true,
          SIGN_FIELD(BAD_REPLY_TOKEN, BAD_REPLY), NAMED("crt") },
        { "empty-field", "\"field\":\"caCertificate\"", .of_field = true,
          SIGN_FIELD(BAD_REPLY_TOKEN, BAD_REPLY), NAMED("caCrt") },
        { "null-field", "\"field\":\"result\"", .of_field = true, RESULT_FIELD, .not_in_service = NO_ENVELOPE },

        /* Where the Connector signs. A renewal has no other place; the token of an enrolment is in the URL. */
        { "null-field", "\"field\":\"urls\"", .of_field = true, .not_in_compass = NO_SECOND_URL,
          SERVICE(NOT_HERE(NO_FIELD), NOT_HERE(NO_FIELD), PASSES, BAD_REPLY, NOT_HERE(NO_FIELD), PASSES) },
        { "missing-field", "\"field\":\"renewCertUrl\"", .of_field = true, .not_in_compass = NO_SECOND_URL,
          SERVICE(NOT_HERE(NO_FIELD), NOT_HERE(NO_FIELD), PASSES, BAD_REPLY, NOT_HERE(NO_FIELD), PASSES) },
        { "set-field", "\"field\":\"renewCertUrl\"," PLAIN_URL, .of_field = true, .not_in_compass = NO_SECOND_URL,
          SERVICE(NOT_HERE(NO_FIELD), NOT_HERE(NO_FIELD), PASSES, BAD_REPLY, NOT_HERE(NO_FIELD), PASSES) },
        { "set-field", "\"field\":\"renewCertUrl\"," DEAD_URL, .of_field = true, .not_in_compass = NO_SECOND_URL,
          SERVICE(NOT_HERE(NO_FIELD), NOT_HERE(NO_FIELD), PASSES, NOBODY_SIGNS(REMEDY_NONE), NOT_HERE(NO_FIELD), PASSES) },
        { "null-field", "\"field\":\"revokeCertUrl\"", .of_field = true, .not_in_compass = NO_SECOND_URL,
          SERVICE(NOT_HERE(NO_FIELD), NOT_HERE(NO_FIELD), PASSES, PASSES, NOT_HERE(NO_FIELD), PASSES) },
        { "set-field", "\"field\":\"csrUrl\"," PLAIN_URL, .of_field = true, .not_in_compass = NO_SECOND_URL,
          SERVICE_CONFIGURATION_FIELD(BAD_REPLY_TOKEN, NOT_HERE(NO_FIELD)) },
        { "set-field", "\"field\":\"csrUrl\"," DEAD_URL, .of_field = true, .not_in_compass = NO_SECOND_URL,
          SERVICE_CONFIGURATION_FIELD(NOBODY_SIGNS(REMEDY_TOKEN), NOT_HERE(NO_FIELD)) },
};
const size_t n_fault_cases = ELEMENTSOF(fault_cases);
