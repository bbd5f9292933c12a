#include "ca/live/round.h"

#define LEAF_KEY_BITS 2048u
#define SUBJECT       "CN=rekeyca-probe"

void round_leaves_clear(struct round_leaves *leaves) {
        key_free(leaves->key);
        free(leaves->of_old);
        free(leaves->of_new);
        free(leaves->in_use);
}

static int make(const struct live *live, const struct cert *cert, const struct key *key,
                const struct key *leaf_key, enum leaf_mark mark, char **ret, struct error *error) {
        const struct carry_ca ca = { cert, key };
        const char *subject = live->site->canary.subject;

        if (!cert || !key)
                return 0;
        return gateway_leaf(&ca, leaf_key, subject ? subject : SUBJECT, mark, live->site->skew,
                            now_usec(CLOCK_REALTIME), ret, error);
}

int round_leaves_make(const struct live *live, const struct live_cas *cas, struct round_leaves *ret,
                      struct error *error) {
        int r;

        r = live->generate(live->userdata, LEAF_KEY_BITS, &ret->key, error);
        if (r == 0)
                r = make(live, cas->old_cert, cas->old_key, ret->key, LEAF_BY_CERTIFICATE, &ret->of_old,
                         error);
        if (r == 0)
                r = make(live, cas->new_cert, cas->new_key, ret->key, LEAF_BY_CERTIFICATE, &ret->of_new,
                         error);
        if (r == 0)
                r = make(live, cas->old_cert, cas->old_key, ret->key, LEAF_BY_KEY, &ret->in_use, error);
        return r;
}

static int ask(const struct site_gateway *gateway, const char *address, const struct key *key,
               const char *leaf, enum gateway_answer *ret, char **ret_why, struct error *error) {
        *ret = GATEWAY_ANSWER_MAX;
        return leaf ? gateway_ask(gateway, address, key, leaf, ret, ret_why, error) : 0;
}

static int run_address(const struct site_gateway *gateway, const char *address,
                       const struct round_leaves *leaves,
                       int (*function)(const struct round_answer *answer, void *userdata,
                                       struct error *error),
                       void *userdata, struct error *error) {
        struct round_answer answer = { .gateway = gateway, .address = address };
        _cleanup_(freep) char *why_old = NULL, *why_new = NULL, *why_in_use = NULL;
        int r;

        r = ask(gateway, address, leaves->key, leaves->of_new, &answer.new, &why_new, error);
        if (r == 0)
                r = ask(gateway, address, leaves->key, leaves->of_old, &answer.old, &why_old, error);
        if (r == 0)
                r = ask(gateway, address, leaves->key, leaves->in_use, &answer.in_use, &why_in_use, error);
        if (r < 0)
                return r;
        answer.why_old = why_old;
        answer.why_new = why_new;
        answer.why_in_use = why_in_use;
        return function(&answer, userdata, error);
}

int round_run(const struct live *live, const struct round_leaves *leaves,
              int (*function)(const struct round_answer *answer, void *userdata, struct error *error),
              void *userdata, struct error *error) {
        int r = 0;

        for (size_t i = 0; i < live->site->n_gateways && r == 0; i++) {
                const struct site_gateway *gateway = &live->site->gateways[i];
                _cleanup_(gateway_addresses_freep) char **addresses = NULL;

                r = gateway_addresses(gateway->url, &addresses, error);
                for (size_t k = 0; r == 0 && addresses[k]; k++)
                        r = run_address(gateway, addresses[k], leaves, function, userdata, error);
        }
        return r;
}
