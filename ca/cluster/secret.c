#include "ca/cluster/secret.h"

#include <stdio.h>

#include "ca/cluster/istio.h"
#include "ca/cluster/lease.h"
#include "ca/cluster/marks.h"
#include "lib/kube/kube-name.h"
#include "lib/kube/kube-object.h"

#define PREFIX    "secret:"
#define STATE_KEY "rotation.json"

struct secret {
        struct backend base;
        struct cluster *cluster;
        enum secret_kind kind;
        struct kube_name name;
        char *keys[CONTENTS_MAX]; /* of the data */
        size_t n;
        struct lease *lease;
};

static struct secret *of(struct backend *backend) {
        return container_of(backend, struct secret, base);
}

static struct kube_resource resource_of(const struct secret *secret) {
        return KUBE_SECRET(secret->name.namespace, secret->name.name);
}

static int get(const struct secret *secret, json_t **ret, struct error *error) {
        const struct kube_ask ask = { .verb = KUBE_GET, .resource = resource_of(secret) };
        const int r = cluster_ask(secret->cluster, &ask, ret, error);

        return r == KUBE_DONE ? 0 : cluster_errno(r);
}

/* --- Reading --- */

static int take_key(const struct secret *secret, const json_t *object, size_t i, struct contents *ret,
                    struct error *error) {
        size_t size;
        int r;

        r = kube_secret_get(object, secret->keys[i], &ret->texts[i], &size);
        if (r < 0)
                return error_set(error, r, "%s has no %s that can be read", secret->base.name,
                                 secret->keys[i]);
        if (strlen(ret->texts[i]) != size)
                return error_set(error, -EINVAL, "%s: %s is no text", secret->base.name, secret->keys[i]);
        return 0;
}

static int secret_read(struct backend *backend, struct contents *ret, char ret_version[VERSION_MAX],
                       struct error *error) {
        const struct secret *secret = of(backend);
        _cleanup_(contents_clear) struct contents contents = { 0 };
        _cleanup_(json_decrefp) json_t *object = NULL;
        int r;

        r = get(secret, &object, error);
        for (size_t i = 0; i < secret->n && r == 0; i++)
                r = take_key(secret, object, i, &contents, error);
        if (r < 0)
                return r;
        snprintf(ret_version, VERSION_MAX, "%s", kube_object_version(object));
        *ret = contents;
        contents = (struct contents) { 0 };
        return 0;
}

/* --- Writing --- */

static int set_keys(const struct secret *secret, json_t *object, const struct contents *contents) {
        int r = 0;

        for (size_t i = 0; i < secret->n && r == 0; i++)
                r = kube_secret_set(object, secret->keys[i], contents->texts[i], strlen(contents->texts[i]));
        return r;
}

static int put(const struct secret *secret, enum kube_verb verb, json_t *object,
               const struct contents *contents, struct error *error) {
        const struct kube_ask ask = {
                .verb = verb, .resource = resource_of(secret), .body = object, .manager = CLUSTER_MANAGER
        };
        int r;

        if (!object)
                return error_set_errno(error, -ENOMEM, "cannot write %s", secret->base.name);
        r = set_keys(secret, object, contents);
        if (r < 0)
                return error_set_errno(error, r, "cannot write %s", secret->base.name);
        r = cluster_ask(secret->cluster, &ask, NULL, error);
        return r == KUBE_DONE ? 0 : cluster_errno(r);
}

/* Nothing of it may be there; the Secret itself may, since a manifest may have made it. */
static int write_first(const struct secret *secret, json_t *object, const struct contents *contents,
                       struct error *error) {
        for (size_t i = 0; i < secret->n; i++)
                if (!kube_secret_has(object, secret->keys[i], NULL))
                        return -ESTALE;
        return put(secret, KUBE_REPLACE, object, contents, error);
}

static int create(const struct secret *secret, const struct contents *contents, struct error *error) {
        _cleanup_(json_decrefp) json_t *object =
                kube_secret_new(secret->name.namespace, secret->name.name, "Opaque");

        return put(secret, KUBE_CREATE, object, contents, error);
}

static int secret_write(struct backend *backend, const struct contents *contents, const char *expected,
                        struct error *error) {
        const struct secret *secret = of(backend);
        _cleanup_(json_decrefp) json_t *object = NULL;
        int r;

        if (secret->lease) {
                r = lease_renew(secret->lease, error);
                if (r < 0)
                        return r;
        }
        r = get(secret, &object, error);
        if (r == -ENOENT && streq(expected, ""))
                return create(secret, contents, error);
        if (r < 0)
                return r;
        if (streq(expected, ""))
                return write_first(secret, object, contents, error);
        if (!streq_null(kube_object_version(object), expected))
                return -ESTALE;
        return put(secret, KUBE_REPLACE, object, contents, error);
}

/* --- What is in the way of a write --- */

static int secret_check_rights(struct backend *backend, struct error *error) {
        const struct secret *secret = of(backend);
        const struct kube_resource resource = resource_of(secret);
        _cleanup_(json_decrefp) json_t *object = NULL;
        int r;

        r = cluster_check_place(secret->cluster, &resource, error);
        if (r == 0 && secret->kind == SECRET_STATE)
                return lease_check_rights(secret->cluster, &secret->name, error);
        if (r < 0 || secret->kind != SECRET_TRUST)
                return r;
        r = get(secret, &object, error);
        return r < 0 ? r
                     : istio_check_precedence(secret->cluster, &secret->name, secret->keys[0], object, error);
}

static int secret_find_writer(struct backend *backend, char **ret, struct error *error) {
        const struct secret *secret = of(backend);
        _cleanup_(json_decrefp) json_t *object = NULL;
        _cleanup_(freep) char *writer = NULL;
        int r;

        *ret = NULL;
        r = get(secret, &object, error);
        if (r < 0)
                return r;
        writer = marks_find_writer(object);
        if (writer && asprintf(ret, "%s is written by %s", backend->name, writer) < 0)
                return -ENOMEM;
        return 0;
}

static int secret_find_doubt(struct backend *backend, char **ret, struct error *error) {
        const struct secret *secret = of(backend);

        *ret = NULL;
        return secret->kind == SECRET_TRUST ? istio_find_doubt(secret->cluster, secret->name.name, ret, error)
                                            : 0;
}

static int secret_lock(struct backend *backend, struct error *error) {
        struct secret *secret = of(backend);

        return lease_take(secret->cluster, &secret->name, &secret->lease, error);
}

/* --- Making one --- */

static void secret_free(struct backend *backend) {
        struct secret *secret = of(backend);

        lease_release(secret->lease);
        for (size_t i = 0; i < CONTENTS_MAX; i++)
                free(secret->keys[i]);
        free(secret->base.name);
        free(secret);
}

static const struct backend_ops secret_ops = {
        .read = secret_read,
        .write = secret_write,
        .check_rights = secret_check_rights,
        .find_writer = secret_find_writer,
        .find_doubt = secret_find_doubt,
        .lock = secret_lock,
        .free = secret_free,
};

static int complain(const char *spec, enum secret_kind kind, struct error *error) {
        static const char *const forms[] = {
                [SECRET_SIGNER] = "[KEY,CERTIFICATE]", [SECRET_TRUST] = "[KEY]", [SECRET_STATE] = ""
        };

        return error_set(error, -EINVAL, "'%s' must be " PREFIX "NAMESPACE/NAME%s", spec, forms[kind]);
}

/* "[a,b]" */
static int parse_keys(struct secret *secret, const char *text, size_t n) {
        const size_t size = strlen(text);
        const char *at = text + 1;

        if (size < 2 || text[0] != '[' || text[size - 1] != ']')
                return -EINVAL;
        for (; secret->n < n; secret->n++) {
                const size_t length = strcspn(at, ",]");

                secret->keys[secret->n] = strndup(at, length);
                if (!secret->keys[secret->n])
                        return -ENOMEM;
                if (!kube_is_key(secret->keys[secret->n]) || at[length] != (secret->n + 1 < n ? ',' : ']'))
                        return -EINVAL;
                at += length + 1;
        }
        return *at ? -EINVAL : 0;
}

static int parse(struct secret *secret, const char *spec) {
        const char *place = spec + strlen(PREFIX), *bracket = strchrnul(place, '[');
        _cleanup_(freep) char *name = strndup(place, (size_t)(bracket - place));

        if (!has_prefix(spec, PREFIX))
                return -EINVAL;
        if (!name)
                return -ENOMEM;
        if (kube_name_parse(name, &secret->name) < 0)
                return -EINVAL;
        if (secret->kind != SECRET_STATE)
                return parse_keys(secret, bracket, secret->kind == SECRET_SIGNER ? 2 : 1);
        secret->keys[secret->n++] = strdup(STATE_KEY);
        return *bracket ? -EINVAL : secret->keys[0] ? 0 : -ENOMEM;
}

int secret_parse(struct cluster *cluster, const char *spec, enum secret_kind kind, struct backend **ret,
                 struct error *error) {
        struct secret *secret = calloc(1, sizeof(*secret));
        _cleanup_(backend_freep) struct backend *owned = NULL;
        int r;

        if (!secret)
                return error_set_errno(error, -ENOMEM, "cannot use %s", spec);
        secret->base = (struct backend) { .ops = &secret_ops, .name = strdup(spec) };
        owned = &secret->base;
        secret->cluster = cluster;
        secret->kind = kind;
        r = secret->base.name ? parse(secret, spec) : -ENOMEM;
        if (r < 0)
                return r == -EINVAL ? complain(spec, kind, error)
                                    : error_set_errno(error, r, "cannot use %s", spec);
        *ret = take_ptr(owned);
        return 0;
}
