/*
 * A Secret has other owners than us: labels of a deployment tool, annotations of a reloader, values that
 * somebody else writes. So only our values are applied. The type cannot be changed once a Secret is there,
 * and whoever made it has chosen it; it is named in what is applied all the same, since what a manager no
 * longer names is taken away.
 */

#include "lib/export/export-secret.h"

#include "lib/kube/kube-name.h"
#include "lib/kube/kube-object.h"

const char *const export_layout_names[EXPORT_LAYOUT_MAX] = {
        [EXPORT_TLS] = "tls",
        [EXPORT_KYMA] = "kyma",
        [EXPORT_ISTIO_CA] = "istio-ca",
};

/* One value: the parts that it is made of. */
struct row {
        const char *key;
        enum export_part parts[EXPORT_PART_MAX];
        size_t n_parts;
        bool needs_ca; /* without it, an adopted pair that came without its CA has no such value */
};

static const struct layout {
        const char *type;
        struct row rows[EXPORT_VALUES_MAX];
        bool has_bundle; /* a value by which peers are verified: an old CA may stay in it */
} layouts[EXPORT_LAYOUT_MAX] = {
        [EXPORT_TLS] = { "kubernetes.io/tls",
                         { { "tls.key", { EXPORT_KEY }, 1, false },
                           { "tls.crt", { EXPORT_LEAF, EXPORT_CHAIN }, 2, false },
                           { "ca.crt", { EXPORT_CA }, 1, true } },
                         true },
        [EXPORT_KYMA] = { "Opaque",
                          { { "key", { EXPORT_KEY }, 1, false },
                            { "crt", { EXPORT_LEAF }, 1, false },
                            { "crtChain", { EXPORT_LEAF, EXPORT_CHAIN, EXPORT_CA }, 3, true } },
                          false },
        [EXPORT_ISTIO_CA] = { "Opaque", { { "cacert", { EXPORT_CA }, 1, false } }, true },
};

void export_values_clear(struct export_values *values) {
        for (size_t i = 0; i < values->n; i++)
                export_bytes_clear(&values->items[i].bytes);
        values->n = 0;
}

int export_secret_validate(const struct export *export, struct error *error) {
        struct kube_name name;
        const struct {
                const char *option;
                bool is_given;
        } rows[] = {
                { "path", export->path },
                { "format", export->format != EXPORT_PEM },
                { "contents", export->n_contents > 0 },
                { "passphrase_file", export->passphrase_file },
                { "friendly_name", export->friendly_name },
                { "owner", export->access.uid != (uid_t)-1 },
                { "group", export->access.gid != (gid_t)-1 },
                { "mode", export->access.mode != 0 },
                { "legacy", export->legacy },
                { "in_place", export->in_place },
        };

        if (!export->secret)
                return error_set(error, -EINVAL, "'layout' is for a Secret: set 'secret' as well");
        if (kube_name_parse(export->secret, &name) < 0)
                return error_set(error, -EINVAL, "'secret' must be NAMESPACE/NAME, such as shop/orders-tls");
        if (export->layout == EXPORT_LAYOUT_NONE)
                return error_set(error, -EINVAL, "'secret' needs 'layout': tls, kyma or istio-ca");
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (rows[i].is_given)
                        return error_set(error, -EINVAL,
                                         "'%s' is for a file, and 'secret' names a Secret; remove it",
                                         rows[i].option);
        if (export->ca_overlap_usec > 0 && !layouts[export->layout].has_bundle)
                return error_set(error, -EINVAL,
                                 "'ca_overlap' has no effect: layout %s has no CA to verify peers with",
                                 export_layout_names[export->layout]);
        return 0;
}

static int make_value(const struct export *export, const struct row *row, const struct set *set,
                      struct export_values *values, struct error *error) {
        struct export part = {
                .format = EXPORT_PEM,
                .n_contents = row->n_parts,
                .ca_overlap_usec = export->ca_overlap_usec,
        };
        struct export_value *value = &values->items[values->n];
        int r;

        memcpy(part.contents, row->parts, sizeof(part.contents));
        if (row->needs_ca && !set->ca_pem)
                return 0;
        r = export_encode(&part, set, &value->bytes, error);
        if (r < 0)
                return r;
        value->key = row->key;
        values->n++;
        return 0;
}

int export_values_make(const struct export *export, const struct set *set, struct export_values *ret,
                       struct error *error) {
        const struct layout *layout = &layouts[export->layout];
        _cleanup_(export_values_clear) struct export_values values = { 0 };

        for (size_t i = 0; i < EXPORT_VALUES_MAX && layout->rows[i].key; i++) {
                int r = make_value(export, &layout->rows[i], set, &values, error);

                if (r < 0)
                        return error_prefix(error, "cannot make %s of Secret %s", layout->rows[i].key,
                                            export->secret);
        }
        *ret = values;
        values = (struct export_values) { 0 };
        return 0;
}

bool export_values_are_in(const struct export_values *values, const json_t *secret) {
        for (size_t i = 0; i < values->n; i++)
                if (!kube_secret_has(secret, values->items[i].key, values->items[i].bytes.data))
                        return false;
        return true;
}

int export_values_apply(const struct export *export, const struct export_values *values,
                        const json_t *current, json_t **ret) {
        const char *type = current ? kube_secret_type(current) : layouts[export->layout].type;
        _cleanup_(json_decrefp) json_t *secret = NULL;
        struct kube_name name;
        int r;

        r = kube_name_parse(export->secret, &name);
        if (r < 0)
                return r;
        secret = kube_secret_new(name.namespace, name.name, type);
        if (!secret)
                return -ENOMEM;
        for (size_t i = 0; r == 0 && i < values->n; i++)
                r = kube_secret_set(secret, values->items[i].key, values->items[i].bytes.data,
                                    values->items[i].bytes.size);
        if (r < 0)
                return r;
        *ret = take_ptr(secret);
        return 0;
}
