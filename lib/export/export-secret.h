#pragma once

/* Exports to Kubernetes Secrets: which values there are, whether a Secret has them, and what is to be
 * applied. Pure. */

#include <jansson.h>

#include "lib/export/export-content.h"

/* The field manager: what it applied is ours, and nothing else is touched. */
#define EXPORT_MANAGER "rekeyd"

#define EXPORT_VALUES_MAX 3

/* The values of one Secret. */
struct export_values {
        struct export_value {
                const char *key; /* static */
                struct export_bytes bytes;
        } items[EXPORT_VALUES_MAX];
        size_t n;
};
void export_values_clear(struct export_values *values);

/* What the options of a Secret say together. The text begins with the option. 0 or -EINVAL. */
int export_secret_validate(const struct export *export, struct error *error);

/* The values that EXPORT has for SET. 0; -ENODATA when the set lacks what it is made of; or -errno. */
int export_values_make(const struct export *export, const struct set *set, struct export_values *ret,
                       struct error *error);

/* Whether SECRET has all of them. */
bool export_values_are_in(const struct export_values *values, const json_t *secret);

/*
 * What is to be applied to CURRENT, the Secret that is there, or NULL. Its type is kept; a new one gets that
 * of the layout. *RET is owned by the caller. 0 or -ENOMEM.
 */
int export_values_apply(const struct export *export, const struct export_values *values,
                        const json_t *current, json_t **ret);
