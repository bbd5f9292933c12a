#pragma once

/* What a gateway has loaded, found out with a leaf. */

#include "ca/rotation/carry.h"
#include "ca/site/site.h"
#include "lib/x509/leaf.h"

enum gateway_answer { GATEWAY_UNREACHABLE, GATEWAY_REJECTS, GATEWAY_ACCEPTS, GATEWAY_ANSWER_MAX };
extern const char *const gateway_answer_names[GATEWAY_ANSWER_MAX];

/* The addresses that the host of URL has, numeric, each once. Owned, ends with NULL. 0, or -EHOSTUNREACH with
 * a sentence, or -ENOMEM. */
int gateway_addresses(const char *url, char ***ret, struct error *error);
char **gateway_addresses_free(char **addresses);
DEFINE_CLEANUP(char **, gateway_addresses_free);

/* A leaf of CA for LEAF_KEY: with LEAF_BY_CERTIFICATE only this certificate of the CA carries it. PEM, owned.
 * 0 or -errno. */
int gateway_leaf(const struct carry_ca *ca, const struct key *leaf_key, const char *subject,
                 enum leaf_mark mark, usec_t skew, usec_t now, char **ret_pem, struct error *error);

/* Calls GATEWAY at ADDRESS with that leaf. *RET_WHY, a clause, is owned, and NULL where it accepts. 0 or
 * -errno. */
int gateway_ask(const struct site_gateway *gateway, const char *address, const struct key *leaf_key,
                const char *leaf_pem, enum gateway_answer *ret, char **ret_why, struct error *error);
