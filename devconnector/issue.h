#pragma once

/* Issuing a leaf, right or wrong. */

#include "devconnector/ca.h"
#include "devconnector/faults.h"
#include "devconnector/signing.h"

/* The three certificate lists of a reply. Owned. */
struct issued {
        pki_list *client, *chain, *ca;
};
void issued_clear(struct issued *issued);

/* Issues a leaf for REQUEST from CA, spoilt by FAULT, which may be NULL. NOW is CLOCK_MONOTONIC. */
int issue_leaf(struct ca *ca, const struct signing_request *request, usec_t lifetime,
               const struct fault *fault, usec_t now, struct issued *ret, struct error *error);
