#pragma once

/* Names of objects in Kubernetes. Pure. */

#include "lib/util/error.h"

#define KUBE_NAMESPACE_MAX 63
#define KUBE_NAME_MAX      253
#define KUBE_KEY_MAX       253

/* A DNS label (RFC 1123): small letters, digits and "-". */
bool kube_is_namespace(const char *text);

/* A DNS subdomain (RFC 1123): labels with dots between them. No character in it needs an escape in a URL. */
bool kube_is_name(const char *text);

/* A key of a Secret's data: letters, digits, "-", "_" and ".", and neither "." nor "..". */
bool kube_is_key(const char *text);

/* "NAMESPACE/NAME" as its two parts. */
struct kube_name {
        char namespace[KUBE_NAMESPACE_MAX + 1];
        char name[KUBE_NAME_MAX + 1];
};

/* 0, or -EINVAL with *RET untouched. */
int kube_name_parse(const char *text, struct kube_name *ret);
