/*
 * What a rotation of a Connector's CA looks like from the sets: which CA certificates they are issued under,
 * how many on each, and which of them the Connector has answered with last. Nothing is kept; everything is
 * counted when it is asked for.
 */

#include "daemon/fleet/fleet-issuers.h"

#include "lib/util/json.h"

/* --- All of them --- */

/* The newest set of a Connector. */
struct newest {
        const char *connector;
        const struct issuers *issuers;
        usec_t not_before;
};

/* That a set is issued under an issuer. */
struct use {
        const struct issuer *issuer;
        const struct newest *newest;   /* of its Connector */
        const struct issuers *issuers; /* of the set */
        bool is_distrusted;            /* by its Connector's configuration */
};

struct count {
        struct newest *newest;
        size_t n_connectors;
        struct use *uses;
        size_t n;
};

static void count_clear(struct count *count) {
        free(count->newest);
        free(count->uses);
}

static struct newest *newest_of(struct count *count, const char *connector) {
        for (size_t i = 0; i < count->n_connectors; i++)
                if (streq(count->newest[i].connector, connector))
                        return &count->newest[i];
        count->newest[count->n_connectors] = (struct newest) { .connector = connector };
        return &count->newest[count->n_connectors++];
}

static bool is_distrusted(const struct config_certificate *config, const struct issuer *issuer) {
        const char *const *ids = (const char *const *)config->connector->distrust;

        for (size_t i = 0; ids && ids[i]; i++) {
                struct issuer_id id;

                if (issuer_id_parse(ids[i], &id) == 0 && issuer_has_id(issuer, &id))
                        return true;
        }
        return false;
}

static void add_uses(struct count *count, const struct certificate *certificate) {
        const struct config_certificate *config = certificate_config(certificate);
        const struct issuers *issuers = certificate_issuers(certificate);
        struct newest *newest;

        if (!issuers)
                return;
        newest = newest_of(count, config->connector->name);
        if (!newest->issuers || certificate_not_before(certificate) > newest->not_before) {
                newest->issuers = issuers;
                newest->not_before = certificate_not_before(certificate);
        }
        for (size_t i = 0; i < issuers->n; i++)
                count->uses[count->n++] = (struct use) {
                        .issuer = &issuers->items[i],
                        .newest = newest,
                        .issuers = issuers,
                        .is_distrusted = is_distrusted(config, &issuers->items[i]),
                };
}

static int compare_uses(const void *a, const void *b) {
        const struct use *x = a, *y = b;
        const int order = memcmp(x->issuer->fingerprint, y->issuer->fingerprint, FINGERPRINT_SIZE);

        return order != 0 ? order : strcmp(x->newest->connector, y->newest->connector);
}

static int count_uses(const struct fleet *fleet, struct count *ret) {
        size_t n_uses = 0;

        for (size_t i = 0; i < fleet->n; i++) {
                const struct issuers *issuers = certificate_issuers(fleet->certificates[i]);

                n_uses += issuers ? issuers->n : 0;
        }
        ret->newest = calloc(fleet->n + 1, sizeof(*ret->newest));
        ret->uses = calloc(n_uses + 1, sizeof(*ret->uses));
        if (!ret->newest || !ret->uses)
                return -ENOMEM;
        for (size_t i = 0; i < fleet->n; i++)
                add_uses(ret, fleet->certificates[i]);
        qsort(ret->uses, ret->n, sizeof(*ret->uses), compare_uses);
        return 0;
}

static json_t *hex(const uint8_t hash[FINGERPRINT_SIZE]) {
        char text[FINGERPRINT_HEX];

        return json_string(hex_format(text, hash, FINGERPRINT_SIZE));
}

static json_t *instant(usec_t when) {
        char text[TIMESTAMP_MAX];

        return when == USEC_INFINITY ? json_string("9999-12-31T23:59:59Z")
                                     : json_string(format_timestamp(text, when));
}

static bool has_issuer(const struct issuers *issuers, const struct issuer *issuer) {
        for (size_t i = 0; i < issuers->n; i++)
                if (memcmp(issuers->items[i].fingerprint, issuer->fingerprint, FINGERPRINT_SIZE) == 0)
                        return true;
        return false;
}

/* USES are the N of one CA certificate, those of a Connector side by side. */
static json_t *describe(const struct use *uses, size_t n) {
        const struct issuer *issuer = uses[0].issuer;
        _cleanup_(json_decrefp) json_t *connectors = json_array(), *newest_of = json_array(),
                                       *distrusted_by = json_array();
        int r = 0;

        for (size_t i = 0; i < n; i++) {
                const bool is_new = i == 0 || uses[i].newest != uses[i - 1].newest;
                const char *connector = uses[i].newest->connector;

                if (!is_new)
                        continue;
                r |= json_array_append_new(connectors, json_string(connector));
                if (has_issuer(uses[i].newest->issuers, issuer))
                        r |= json_array_append_new(newest_of, json_string(connector));
                if (uses[i].is_distrusted)
                        r |= json_array_append_new(distrusted_by, json_string(connector));
        }
        if (r != 0)
                return NULL;
        return json_pack("{s:o, s:o, s:o, s:o, s:o, s:I, s:O, s:O, s:O}", "subject",
                         json_text(issuer->subject), "fingerprint", hex(issuer->fingerprint), "spki",
                         hex(issuer->spki), "not_before", instant(issuer->not_before), "not_after",
                         instant(issuer->not_after), "sets", (json_int_t)n, "connectors", connectors,
                         "newest_of", newest_of, "distrusted_by", distrusted_by);
}

json_t *fleet_issuers(const struct fleet *fleet) {
        _cleanup_(json_decrefp) json_t *list = json_array();
        _cleanup_(count_clear) struct count count = { 0 };

        if (!list || count_uses(fleet, &count) < 0)
                return NULL;
        for (size_t i = 0, n; i < count.n; i += n) {
                for (n = 1;
                     i + n < count.n && memcmp(count.uses[i].issuer->fingerprint,
                                               count.uses[i + n].issuer->fingerprint, FINGERPRINT_SIZE) == 0;)
                        n++;
                if (json_array_append_new(list, describe(count.uses + i, n)) < 0)
                        return NULL;
        }
        return json_pack("{s:O}", "cas", list);
}

/* --- A rotation --- */

bool fleet_find_rotation(const struct fleet *fleet, const struct certificate *certificate,
                         const struct issuers *before, struct fleet_rotation *ret) {
        const struct issuers *issuers = certificate_issuers(certificate);
        const char *connector = certificate_config(certificate)->connector->name;
        struct fleet_rotation rotation = { 0 };

        if (!issuers || (before && issuers_agree(before, issuers)))
                return false;
        for (size_t i = 0; i < fleet->n; i++) {
                const struct certificate *other = fleet->certificates[i];
                const struct issuers *others = certificate_issuers(other);

                if (other == certificate || !others ||
                    !streq(certificate_config(other)->connector->name, connector))
                        continue;
                if (issuers_agree(issuers, others))
                        return false; /* it was the first, and has said so */
                rotation.n_old++;
                if (!rotation.old) {
                        rotation.old = issuers_find_stranger(others, issuers);
                        rotation.new = issuers_find_stranger(issuers, others);
                }
        }
        if (!rotation.old || !rotation.new)
                return false;
        *ret = rotation;
        return true;
}
