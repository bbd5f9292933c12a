#pragma once

/* The faults that change what an endpoint answers. */

#include "devconnector/faults.h"
#include "devconnector/reply.h"

/* Answers REQUEST in place of the Connector, by a FAULT of FAULT_STAGE_GATEWAY. Returns the HTTP status sent.
 */
unsigned spoil_gateway(const struct fault *fault, struct evhttp_request *request);

/* Changes one field in REPLY where FAULT is of that kind. REPLY may be NULL. */
void spoil_field(const struct fault *fault, enum protocol protocol, json_t *reply);

/* Another body where FAULT replaces it, owned by the caller; else NULL. */
char *spoil_body(const struct fault *fault, size_t *ret_size);

/* BODY as FAULT_ENCODED_BODY has it, owned by the caller; NULL: no memory. */
char *spoil_encoding(const struct fault *fault, const char *body, size_t size, size_t *ret_size);

/* Adds to the header of REQUEST's reply what FAULT has in it. */
void spoil_header(const struct fault *fault, struct evhttp_request *request);
