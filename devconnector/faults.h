#pragma once

/* Faults on demand: what a client must survive, armed through the admin listener. */

#include <jansson.h>

#include "lib/util/error.h"
#include "lib/util/time.h"

enum endpoint {
        ENDPOINT_CERTIFICATE,
        ENDPOINT_TOKEN,
        ENDPOINT_MAX,
};
extern const char *const endpoint_names[ENDPOINT_MAX];

enum protocol {
        PROTOCOL_COMPASS,           /* GraphQL */
        PROTOCOL_CONNECTOR_SERVICE, /* the older service: REST */
        PROTOCOL_MAX,
};
extern const char *const protocol_names[PROTOCOL_MAX];

/* What a call is about: by the first field of its GraphQL, or by the path of REST. */
enum operation {
        OPERATION_KIND_CONFIGURATION,
        OPERATION_KIND_SIGN,
        OPERATION_KIND_REVOKE,
        OPERATION_KIND_PROBE, /* __typename and introspection; the first call of a certificate of REST */
        OPERATION_KIND_OTHER, /* what did not parse, or has no such field or path */
        OPERATION_KIND_MAX,
};
extern const char *const operation_kind_names[OPERATION_KIND_MAX];

/* Where on its way a call meets a fault. A bit each. */
enum fault_stage {
        FAULT_STAGE_TLS = 1 << 0,     /* a new connection */
        FAULT_STAGE_PAUSE = 1 << 1,   /* before anything else is done with the call */
        FAULT_STAGE_GATEWAY = 1 << 2, /* before the token or the certificate is checked */
        FAULT_STAGE_CALL = 1 << 3,    /* after that: in the resolver, the CA or the reply */
};

enum fault_kind {
        FAULT_TLS_CLOSE,
        FAULT_REFUSE_CERTIFICATE,
        FAULT_DELAY,
        FAULT_HOLD,
        FAULT_STATUS,
        FAULT_TIMEOUT,
        FAULT_BAD_GATEWAY,
        FAULT_EMPTY_400,
        FAULT_HTML_400,
        FAULT_RATE_LIMIT,
        FAULT_RATE_LIMIT_RETRY_AFTER,
        FAULT_REDIRECT,
        FAULT_LOGIN_PAGE,
        FAULT_HYDRATOR_DOWN,
        FAULT_CUT_CONNECTION,
        FAULT_CUT_BODY,
        FAULT_CLOSE,
        FAULT_GARBAGE,
        FAULT_NOT_JSON,
        FAULT_ENCODED_BODY,
        FAULT_LONG_HEADER,
        FAULT_OVERSIZED_BODY,
        FAULT_DEEP_NESTING,
        FAULT_GRAPHQL_ERROR,
        FAULT_DIRECTOR_DOWN,
        FAULT_OTHER_CLIENT,
        FAULT_REVOKE_FAILS,
        FAULT_WRONG_KEY,
        FAULT_WRONG_SUBJECT,
        FAULT_EXPIRED_LEAF,
        FAULT_NOT_YET_VALID_LEAF,
        FAULT_SHORT_LIFETIME,
        FAULT_OTHER_CA,
        FAULT_MIXED_CA,
        FAULT_TWO_LEAVES,
        FAULT_NO_CLIENT_AUTH,
        FAULT_LONG_CHAIN,
        FAULT_WEAK_DIGEST,
        FAULT_WEAK_ISSUER,
        FAULT_EMPTY_FIELD,
        FAULT_MISSING_FIELD,
        FAULT_NULL_FIELD,
        FAULT_GARBAGE_BASE64,
        FAULT_SET_FIELD,
        FAULT_KIND_MAX,
};

struct fault;
struct faults;

struct faults *faults_new(void); /* NULL: no memory */
struct faults *faults_free(struct faults *faults);
DEFINE_CLEANUP(struct faults *, faults_free);

/* Arms what the JSON object REQUEST asks for. 0, or -EINVAL with a sentence that lists what is known. */
int faults_arm(struct faults *faults, const json_t *request, struct error *error);

/* The first armed fault for a call, counted as applied: a new reference, or NULL. STAGES is a mask. For a
 * connection, where the call is not known yet, PROTOCOL_MAX and OPERATION_KIND_MAX stand for all. */
struct fault *faults_take(struct faults *faults, unsigned stages, enum endpoint endpoint,
                          enum protocol protocol, enum operation operation);

/* The armed faults as a JSON array; NULL: no memory. */
json_t *faults_list(const struct faults *faults);

/* Lifts all. References that calls hold stay good. */
void faults_clear(struct faults *faults);

struct fault *fault_unref(struct fault *fault);
DEFINE_CLEANUP(struct fault *, fault_unref);

enum fault_kind fault_kind(const struct fault *fault);
enum fault_stage fault_stage(const struct fault *fault);
const char *fault_name(const struct fault *fault);

/* True when FAULT, which may be NULL, is of KIND. */
bool fault_is(const struct fault *fault, enum fault_kind kind);

/* Parameters, or the fault's default for them. Texts are borrowed and NULL without a default. */
const char *fault_text(const struct fault *fault, const char *name);
usec_t fault_duration(const struct fault *fault, const char *name);
uint64_t fault_number(const struct fault *fault, const char *name);
bool fault_flag(const struct fault *fault, const char *name);

/* Whether the parameter was given, or only has its default. */
bool fault_is_given(const struct fault *fault, const char *name);
