#pragma once

/* What a key of somebody else's may cost who verifies a signature with it. */

#include "lib/util/error.h"

typedef struct evp_pkey_st EVP_PKEY;

#define KEY_COST_RSA_BITS_MAX      8192
#define KEY_COST_EXPONENT_BITS_MAX 32

/* Before anything is computed with KEY: 0, or -EINVAL with a sentence about it ("its RSA key has ..."). Kinds
 * that sign nothing are let pass. */
int key_cost_check(const EVP_PKEY *key, struct error *error);
