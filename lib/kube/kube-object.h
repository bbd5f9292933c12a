#pragma once

/*
 * Objects of Kubernetes are JSON, and stay JSON: what we do not know of an object is kept as it is when the
 * object is written back. Texts that are returned are borrowed from the object; NULL: there is none. Pure.
 */

#include <jansson.h>

#include "lib/util/error.h"

#define KUBE_OBJECT_MAX                                                                         \
        (4u * 1024 * 1024)     /* 1 MiB of data in base64, 256 KiB of annotations, and the rest \
                                */
#define KUBE_DATA_MAX 1048576u /* of all values of a Secret, as the server has it */

const char *kube_object_version(const json_t *object); /* resourceVersion */
const char *kube_object_uid(const json_t *object);
const char *kube_object_name(const json_t *object);
const char *kube_object_namespace(const json_t *object);
const char *kube_object_annotation(const json_t *object, const char *name);
bool kube_object_is_kind(const json_t *object, const char *kind);

/* VALUE NULL removes it. 0 or -ENOMEM. */
int kube_object_annotate(json_t *object, const char *name, const char *value);

/* --- Secrets */

const char *kube_secret_type(const json_t *secret);

/* A value of its data: owned by the caller, who cleanses it, and NUL-terminated. 0, -ENOENT, -EINVAL where it
 * is no base64, -ENOMEM. */
int kube_secret_get(const json_t *secret, const char *key, char **ret_data, size_t *ret_size);

/* DATA NULL removes the key. 0, -ENOMEM, or -EINVAL for what is no key. */
int kube_secret_set(json_t *secret, const char *key, const void *data, size_t size);

/* Whether the value of KEY is TEXT; TEXT NULL: whether there is none. Takes as long for any value of the same
 * length. */
bool kube_secret_has(const json_t *secret, const char *key, const char *text);

/* A new one, for creating or applying it: with nothing in it, and TYPE where that is not NULL. NULL when
 * memory is out. */
json_t *kube_secret_new(const char *namespace, const char *name, const char *type);
