/* devconnector whose keys are quick; the linker puts this in the place of pki_generate_key(). Only keys of
 * the usual size are: a weak one is made as it is. */

#include "devconnector/pki.h"
#include "tests/support/quick-keys/quick-key.h"

int __wrap_pki_generate_key(unsigned bits, EVP_PKEY **ret, struct error *error);
int __real_pki_generate_key(unsigned bits, EVP_PKEY **ret, struct error *error);

int __wrap_pki_generate_key(unsigned bits, EVP_PKEY **ret, struct error *error) {
        if (bits != PKI_KEY_BITS)
                return __real_pki_generate_key(bits, ret, error);
        *ret = quick_key(PKI_KEY_BITS);
        return 0;
}
