#pragma once

/* RSA keys of 2048, 3072 and 4096 bits in milliseconds, for tests in which nothing depends on how a key is
 * found.
 */

#include <openssl/evp.h>

/* A key of BITS, another one each time as chance has it: two primes of a list that anybody can compute. NULL
 * for other sizes. Owned by the caller. */
EVP_PKEY *quick_key(unsigned bits);
