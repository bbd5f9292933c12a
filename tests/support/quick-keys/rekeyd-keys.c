/* rekeyd whose keys of 2048 and 3072 bits are quick; the linker puts this in the place of key_generate(). */

#include <openssl/pem.h>

#include "lib/util/macro.h"
#include "lib/x509/key.h"
#include "tests/support/quick-keys/quick-key.h"

int __real_key_generate(unsigned bits, const atomic_bool *cancel, struct key **ret, struct error *error);
int __wrap_key_generate(unsigned bits, const atomic_bool *cancel, struct key **ret, struct error *error);

int __wrap_key_generate(unsigned bits, const atomic_bool *cancel, struct key **ret, struct error *error) {
        EVP_PKEY *key =
                bits <= 3072 ? quick_key(bits) : NULL; /* a test asks for 4096 where it wants to wait */
        BIO *text = BIO_new(BIO_s_mem());
        char *pem = NULL;
        long size;
        int r;

        if (!key || !text || PEM_write_bio_PrivateKey(text, key, NULL, NULL, 0, NULL, NULL) != 1)
                r = __real_key_generate(bits, cancel, ret, error);
        else {
                size = BIO_get_mem_data(text, &pem);
                r = key_parse(pem, (size_t)size, ret, error);
        }
        BIO_free(text);
        EVP_PKEY_free(key);
        return r;
}
