#pragma once

/* One renewal as the tutorial has it, with openssl and curl by hand, up to the new files. */

#include <stdint.h>

struct tutorial {
        const char *directory; /* scratch */
        const char *url;       /* certificate-secured */
        const char *trust;
        const char *key, *certificate; /* files of the pair in use */
        const char *next_key;          /* file of the key that the new certificate is for */
        const char *subject;           /* "/O=Org/..." */
};

/* Runs the commands one after the other and returns the CPU time that openssl and curl took themselves, in
 * nanoseconds. What fails aborts. */
uint64_t tutorial_renew(const struct tutorial *tutorial);
