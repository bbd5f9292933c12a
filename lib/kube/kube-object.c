#include "lib/kube/kube-object.h"

#include <stdio.h>

#include "lib/kube/kube-name.h"
#include "lib/util/base64.h"

static const char *text_of(const json_t *value) {
        return strempty(json_string_value(value)) ? NULL : json_string_value(value);
}

static const char *metadata_text(const json_t *object, const char *name) {
        return text_of(json_object_get(json_object_get(object, "metadata"), name));
}

const char *kube_object_version(const json_t *object) {
        return metadata_text(object, "resourceVersion");
}

const char *kube_object_uid(const json_t *object) {
        return metadata_text(object, "uid");
}

const char *kube_object_name(const json_t *object) {
        return metadata_text(object, "name");
}

const char *kube_object_namespace(const json_t *object) {
        return metadata_text(object, "namespace");
}

bool kube_object_is_kind(const json_t *object, const char *kind) {
        return streq_null(text_of(json_object_get(object, "kind")), kind);
}

const char *kube_object_annotation(const json_t *object, const char *name) {
        return json_string_value(
                json_object_get(json_object_get(json_object_get(object, "metadata"), "annotations"), name));
}

/* The member NAME of OBJECT, an object, which is made where there is none. NULL when memory is out. */
static json_t *member(json_t *object, const char *name) {
        json_t *found = json_object_get(object, name);

        if (json_is_object(found))
                return found;
        found = json_object();
        return found && json_object_set_new(object, name, found) == 0 ? found : NULL;
}

/* VALUE is taken over; NULL removes NAME, or says that memory is out where it MUST be there. */
static int set(json_t *object, const char *group, const char *name, json_t *value) {
        json_t *members = member(object, group);

        if (!members) {
                json_decref(value);
                return -ENOMEM;
        }
        if (value)
                return json_object_set_new(members, name, value) == 0 ? 0 : -ENOMEM;
        (void)json_object_del(members, name);
        return 0;
}

int kube_object_annotate(json_t *object, const char *name, const char *value) {
        json_t *metadata = member(object, "metadata"), *text = value ? json_string(value) : NULL;

        if (!metadata || (value && !text)) {
                json_decref(text);
                return -ENOMEM;
        }
        return set(metadata, "annotations", name, text);
}

/* --- Secrets */

const char *kube_secret_type(const json_t *secret) {
        return text_of(json_object_get(secret, "type"));
}

int kube_secret_get(const json_t *secret, const char *key, char **ret_data, size_t *ret_size) {
        const json_t *value = json_object_get(json_object_get(secret, "data"), key);

        if (!value)
                return -ENOENT;
        if (!json_is_string(value))
                return -EINVAL;
        return base64_decode(json_string_value(value), json_string_length(value), ret_data, ret_size);
}

int kube_secret_set(json_t *secret, const char *key, const void *data, size_t size) {
        _cleanup_(free_secretp) char *text = NULL;
        json_t *value;
        int r;

        if (!kube_is_key(key))
                return -EINVAL;
        if (!data)
                return set(secret, "data", key, NULL);
        r = base64_encode(data, size, &text);
        if (r < 0)
                return r;
        value = json_string_nocheck(text);
        return value ? set(secret, "data", key, value) : -ENOMEM;
}

static bool same_bytes(const char *a, const char *b, size_t size) {
        unsigned char difference = 0;

        for (size_t i = 0; i < size; i++)
                difference = (unsigned char)(difference | (a[i] ^ b[i]));
        return difference == 0;
}

bool kube_secret_has(const json_t *secret, const char *key, const char *text) {
        _cleanup_(freep) char *data = NULL;
        size_t size;
        bool same;
        int r = kube_secret_get(secret, key, &data, &size);

        if (r < 0)
                return r == -ENOENT && !text;
        same = text && strlen(text) == size && same_bytes(data, text, size);
        explicit_bzero(data, size);
        return same;
}

json_t *kube_secret_new(const char *namespace, const char *name, const char *type) {
        json_t *secret = json_pack("{s:s, s:s, s:{s:s, s:s}, s:{}}", "apiVersion", "v1", "kind", "Secret",
                                   "metadata", "namespace", namespace, "name", name, "data");

        if (secret && type && json_object_set_new(secret, "type", json_string(type)) < 0) {
                json_decref(secret);
                return NULL;
        }
        return secret;
}
