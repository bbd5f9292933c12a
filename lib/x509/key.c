/*
 * Private keys. A key is generated or read once and is complete from then on: the OpenSSL handle, its PKCS#8
 * PEM and the hash of its public half are computed together, so that nothing that asks a key later can fail.
 * The PEM is the only copy of the key that this program holds as bytes, and it is cleansed with the key.
 *
 * There is no passphrase anywhere: a service that starts without a person cannot be asked for one, and a
 * passphrase that lies beside the key protects nothing. Encrypted keys are recognised and refused, never
 * decrypted.
 */

#include "lib/x509/key.h"

#include <malloc.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "lib/x509/key-rsa.h"
#include "lib/x509/openssl-util.h"
#include "lib/x509/pem-text.h"

struct key {
        EVP_PKEY *handle;
        char *pem; /* with a NUL after it */
        size_t pem_size;
        uint8_t spki[SPKI_HASH_SIZE];
        unsigned bits;
        bool rsa;
};

struct key *key_free(struct key *key) {
        if (!key)
                return NULL;
        if (key->pem)
                explicit_bzero(key->pem, key->pem_size);
        free(key->pem);
        EVP_PKEY_free(key->handle);
        free(key);
        return NULL;
}

/* PKCS8: the key, where it came as that; NULL otherwise. */
static int key_write_pem(struct key *key, const struct pem_block *pkcs8) {
        _cleanup_(BIO_freep) BIO *bio =
                BIO_new(BIO_s_secmem()); /* cleanses as it grows and when it is freed */
        char *data;
        long size;
        int r;

        if (!bio)
                return -EIO;
        r = pkcs8 ? PEM_write_bio(bio, PEM_STRING_PKCS8INF, "", pkcs8->data, pkcs8->size) > 0
                  : PEM_write_bio_PKCS8PrivateKey(bio, key->handle, NULL, NULL, 0, NULL, NULL) == 1;
        if (!r)
                return -EIO;
        size = BIO_get_mem_data(bio, &data);
        if (size <= 0)
                return -EIO;
        key->pem = malloc((size_t)size + 1);
        if (!key->pem)
                return -ENOMEM;
        memcpy(key->pem, data, (size_t)size);
        key->pem[size] = '\0';
        key->pem_size = (size_t)size;
        return 0;
}

static int key_hash_public_half(struct key *key, const struct rsa_key *rsa) {
        unsigned char *der = NULL;
        int size, r;

        if (rsa->spki)
                return sha256(rsa->spki, (size_t)rsa->spki_size, key->spki);
        size = i2d_PUBKEY(key->handle, &der);
        if (size <= 0)
                return -EIO;
        r = sha256(der, (size_t)size, key->spki);
        OPENSSL_free(der);
        return r;
}

/* Takes RSA over, also on failure. Its handle may be of any kind; what else is known of it, and PKCS8, may be
 * missing and is then had from the handle. */
static int key_new(struct rsa_key *rsa, const struct pem_block *pkcs8, struct key **ret,
                   struct error *error) {
        _cleanup_(rsa_key_clear) struct rsa_key owned = *rsa;
        _cleanup_(key_freep) struct key *key = calloc(1, sizeof(*key));
        int r;

        *rsa = (struct rsa_key) { 0 };
        if (!key)
                return error_set_errno(error, -ENOMEM, "cannot keep the private key");
        key->handle = take_ptr(owned.handle);
        key->bits = (unsigned)EVP_PKEY_get_bits(key->handle);
        key->rsa = EVP_PKEY_is_a(key->handle, "RSA");

        r = key_write_pem(key, pkcs8);
        if (r == -ENOMEM)
                return error_set_errno(error, r, "cannot keep the private key");
        if (r < 0)
                return openssl_error(error, r, "cannot write the private key as PKCS#8");
        r = key_hash_public_half(key, &owned);
        if (r < 0)
                return openssl_error(error, r, "cannot hash the public half of the key");

        *ret = take_ptr(key);
        return 0;
}

static void *memory_alloc(size_t size, _unused_ const char *file, _unused_ int line) {
        return malloc(size);
}

static void memory_free(void *data, _unused_ const char *file, _unused_ int line) {
        if (data)
                explicit_bzero(data, malloc_usable_size(data));
        free(data);
}

/* Not realloc(), which may move the bytes and leave the old ones. */
static void *memory_realloc(void *data, size_t size, const char *file, int line) {
        size_t old_size = data ? malloc_usable_size(data) : 0;
        void *moved;

        if (size == 0) {
                memory_free(data, file, line);
                return NULL;
        }
        if (size <= old_size)
                return data;
        moved = malloc(size);
        if (moved && data) {
                memcpy(moved, data, old_size);
                memory_free(data, file, line);
        }
        return moved;
}

bool key_cleanse_memory(void) {
        return CRYPTO_set_mem_functions(memory_alloc, memory_realloc, memory_free) == 1;
}

/* OpenSSL calls this between its trials of candidates for a prime; 0 ends the search. */
static int go_on(EVP_PKEY_CTX *context) {
        const atomic_bool *cancel = EVP_PKEY_CTX_get_app_data(context);

        return !cancel || !atomic_load(cancel);
}

int key_generate(unsigned bits, const atomic_bool *cancel, struct key **ret, struct error *error) {
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *context = NULL;
        size_t modulus_bits = bits;
        unsigned exponent = 65537;
        OSSL_PARAM parameters[] = {
                OSSL_PARAM_construct_size_t(OSSL_PKEY_PARAM_RSA_BITS, &modulus_bits),
                OSSL_PARAM_construct_uint(OSSL_PKEY_PARAM_RSA_E, &exponent),
                OSSL_PARAM_construct_end(),
        };
        struct rsa_key rsa = { 0 };

        if (bits != 2048 && bits != 3072 && bits != 4096)
                return error_set(error, -EINVAL,
                                 "cannot generate an RSA key of %u bits: the size must be 2048, 3072 or 4096",
                                 bits);

        context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
        if (!context || EVP_PKEY_keygen_init(context) != 1 ||
            EVP_PKEY_CTX_set_params(context, parameters) != 1)
                return openssl_error(error, -EIO, "cannot generate an RSA key of %u bits", bits);
        EVP_PKEY_CTX_set_app_data(context, (void *)(uintptr_t)cancel);
        EVP_PKEY_CTX_set_cb(context, go_on);
        if (EVP_PKEY_generate(context, &rsa.handle) != 1) {
                const char *reason = openssl_reason(); /* drains the queue in any case */

                if (cancel && atomic_load(cancel))
                        return error_set(error, -ECANCELED,
                                         "the generation of an RSA key of %u bits was cancelled", bits);
                return error_set(error, -EIO, "cannot generate an RSA key of %u bits: %s", bits, reason);
        }
        return key_new(&rsa, NULL, ret, error);
}

static bool is_key_block(const struct pem_block *block) {
        static const char suffix[] = "PRIVATE KEY";
        size_t size = strlen(block->name);

        return size >= sizeof(suffix) - 1 && streq(block->name + size - (sizeof(suffix) - 1), suffix) &&
               !has_prefix(block->name, "OPENSSH"); /* which has a form of its own */
}

/* PKCS#8 says it in its label, the traditional form in its header. */
static bool is_encrypted(const struct pem_block *block) {
        return streq(block->name, PEM_STRING_PKCS8) || strstr(block->header, "ENCRYPTED");
}

/* The one private key of a PEM text, left in BLOCK. */
static int find_key_block(BIO *text, struct pem_block *block, struct error *error) {
        struct pem_block next = { 0 };
        int r;

        while ((r = pem_block_next(text, &next)) > 0) {
                if (!is_key_block(&next))
                        continue;
                if (block->name) {
                        pem_block_clear(&next);
                        return error_set(error, -EINVAL, "it holds more than one private key");
                }
                *block = next;
                next = (struct pem_block) { 0 };
        }
        if (r < 0)
                return openssl_error(error, r, "its PEM is damaged");
        if (!block->name)
                return -ENODATA;
        if (is_encrypted(block))
                return error_set(error, -EINVAL,
                                 "the key is encrypted; decrypt it with `openssl pkey` and protect it by its "
                                 "mode, 0600");
        return 0;
}

int key_parse(const char *pem, size_t size, struct key **ret, struct error *error) {
        _cleanup_(pem_block_clear) struct pem_block block = { 0 };
        _cleanup_(BIO_freep) BIO *text = NULL;
        const unsigned char *end;
        struct rsa_key rsa = { 0 };
        int r;

        if (size > KEY_PEM_MAX)
                return error_set(error, -EINVAL, "it is larger than %u KiB, which no private key is",
                                 KEY_PEM_MAX / 1024);
        text = BIO_new_mem_buf(pem, (int)size);
        if (!text)
                return error_set_errno(error, -ENOMEM, "cannot read the private key");
        r = find_key_block(text, &block, error);
        if (r == -ENODATA)
                return error_set(error, -EINVAL, "it holds no private key: %s",
                                 pem_text_kind(pem, size, PEM_KEY));
        if (r < 0)
                return r;

        if (streq(block.name, PEM_STRING_PKCS8INF) && rsa_key_read(block.data, block.size, &rsa))
                return key_new(&rsa, &block, ret, error);

        /* From DER there is no way to a passphrase prompt, whatever hides behind the label. */
        end = block.data;
        rsa.handle = d2i_AutoPrivateKey_ex(NULL, &end, block.size, NULL, NULL);
        if (!rsa.handle)
                return openssl_error(error, -EINVAL, "the private key is damaged or of an unknown kind");
        ERR_clear_error(); /* kinds that were tried before the right one */
        if (end != block.data + block.size) {
                EVP_PKEY_free(rsa.handle);
                return error_set(error, -EINVAL, "there are bytes after the private key in its PEM block");
        }
        return key_new(&rsa, NULL, ret, error);
}

int key_read_text_at(int dir_fd, const char *name, enum file_links links, char **ret, size_t *ret_size,
                     struct error *error) {
        int r;

        r = file_read_at(dir_fd, name, links, KEY_PEM_MAX, ret, ret_size);
        if (r == -EFBIG)
                return error_set(error, r, "cannot read the private key %s: it is larger than %u KiB", name,
                                 KEY_PEM_MAX / 1024);
        return r < 0 ? error_set_errno(error, r, "cannot read the private key %s", name) : 0;
}

int key_take_text(char *data, size_t size, const char *name, struct key **ret, struct error *error) {
        int r;

        r = pem_text_restore(&data, &size);
        if (r < 0)
                error_set_errno(error, r, "it cannot be read");
        else
                r = key_parse(data, size, ret, error);
        explicit_bzero(data, size);
        free(data);
        if (r < 0)
                error_prefix(error, "cannot use the private key %s", name);
        return r;
}

int key_read_at(int dir_fd, const char *name, enum file_links links, struct key **ret, struct error *error) {
        char *data;
        size_t size;
        int r;

        r = key_read_text_at(dir_fd, name, links, &data, &size, error);
        return r < 0 ? r : key_take_text(data, size, name, ret, error);
}

int key_create_at(const struct key *key, int dir_fd, const char *name, struct file_access access,
                  struct error *error) {
        int r;

        r = file_create_at(dir_fd, name, key->pem, key->pem_size, access);
        if (r < 0)
                return error_set_errno(error, r, "cannot write the private key %s", name);
        return 0;
}

bool key_is_rsa(const struct key *key) {
        return key->rsa;
}

unsigned key_bits(const struct key *key) {
        return key->bits;
}

void key_spki(const struct key *key, uint8_t ret[SPKI_HASH_SIZE]) {
        memcpy(ret, key->spki, SPKI_HASH_SIZE);
}

void key_pem(const struct key *key, const char **ret_pem, size_t *ret_size) {
        *ret_pem = key->pem;
        *ret_size = key->pem_size;
}

int key_der(const struct key *key, char **ret_der, size_t *ret_size, struct error *error) {
        /* From the PEM, since OpenSSL's own way from a key to DER leaves an uncleansed copy on the heap. */
        _cleanup_(BIO_freep) BIO *text = BIO_new_mem_buf(key->pem, (int)key->pem_size);
        _cleanup_(pem_block_clear) struct pem_block block = { 0 };
        char *der;

        if (!text || pem_block_next(text, &block) <= 0)
                return openssl_error(error, -EIO, "cannot encode the private key as DER");
        der = malloc((size_t)block.size);
        if (!der)
                return error_set_errno(error, -ENOMEM, "cannot encode the private key as DER");
        memcpy(der, block.data, (size_t)block.size);
        *ret_der = der;
        *ret_size = (size_t)block.size;
        return 0;
}

EVP_PKEY *key_handle(const struct key *key) {
        return key->handle;
}

unsigned key_algorithm_bits(const char *key_algorithm) {
        static const struct {
                const char *name;
                unsigned bits;
        } algorithms[] = {
                { "rsa2048", 2048 },
                { "rsa3072", 3072 },
                { "rsa4096", 4096 },
        };

        for (size_t i = 0; i < ELEMENTSOF(algorithms); i++)
                if (streq(algorithms[i].name, key_algorithm))
                        return algorithms[i].bits;
        return 0;
}
