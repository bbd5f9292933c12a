/* devconnector whose keys are quick; the linker puts this in the place of pki_generate_key(). */

#include "devconnector/pki.h"
#include "tests/support/quick-keys/quick-key.h"

int __wrap_pki_generate_key(EVP_PKEY **ret, struct error *error);

int __wrap_pki_generate_key(EVP_PKEY **ret, struct error *error) {
        (void)error;
        *ret = quick_key(2048);
        return 0;
}
