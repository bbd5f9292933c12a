#pragma once

/* Under which CA the sets of the fleet are issued, by rekeyd's metric rekeyd_certificate_issuer_info. */

#include "lib/util/error.h"

#define FLEET_SETS_MAX 1000000u

/* One set, and one of its issuers. All owned. */
struct fleet_set {
        char *certificate, *instance; /* its name, and which rekeyd has it; "" where unknown */
        char *issuer, *issuer_key;    /* SHA-256 of the CA's certificate and of its key */
        char *issuer_subject;
};

struct fleet {
        struct fleet_set *sets;
        size_t n;
};
void fleet_clear(struct fleet *fleet);

/* One more; all texts are copied. 0, -ENOMEM or -E2BIG. */
int fleet_add(struct fleet *fleet, const char *certificate, const char *instance, const char *issuer,
              const char *issuer_key, const char *issuer_subject);

/* Takes over all sets of FROM, which is empty then. 0, -ENOMEM or -E2BIG. */
int fleet_move(struct fleet *to, struct fleet *from);

/* From a Prometheus, or, where URL ends with /metrics, from one rekeyd. 0, or -errno with a sentence. */
int fleet_count(const char *url, struct fleet *ret, struct error *error);

/* What fleet_count() reads: Prometheus' text format, and the answer of its API. 0, -EINVAL or -ENOMEM. */
int fleet_read_text(const char *text, struct fleet *ret, struct error *error);
int fleet_read_json(const char *text, size_t size, struct fleet *ret, struct error *error);
