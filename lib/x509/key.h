#pragma once

/* Private keys. Key bytes live in this module only and are cleansed when a key is freed. */

#include <stdatomic.h>

#include "lib/util/error.h"
#include "lib/util/files.h"

#define SPKI_HASH_SIZE 32 /* SHA-256 over the DER SubjectPublicKeyInfo, RFC 7469 section 2.4 */

#define KEY_BITS_DEFAULT 4096u
#define KEY_BITS_MIN     2048u
#define KEY_PEM_MAX      (64u * 1024)

struct key;

struct key *key_free(struct key *key);
DEFINE_CLEANUP(struct key *, key_free);

/* From now on OpenSSL cleanses whatever memory it frees: its decoders and encoders leave copies of keys
 * behind. Must be called before anything else uses OpenSSL; returns false when it is too late. */
bool key_cleanse_memory(void);

/* Makes an RSA key of BITS (2048, 3072 or 4096). Takes from a tenth of a second to several seconds: never
 * call it on the loop's thread. It is given up soon after *CANCEL, which another thread may set, has become
 * true; CANCEL may be NULL. 0, -EINVAL for other sizes, -ECANCELED, -EIO when OpenSSL fails. */
int key_generate(unsigned bits, const atomic_bool *cancel, struct key **ret, struct error *error);

/* Reads an unencrypted PEM private key (PKCS#8, or the traditional form that `openssl genrsa` once wrote),
 * the only block of its kind in the text. An encrypted key is refused at once, without a prompt. Any
 * algorithm is read; see key_bits() and key_is_rsa(). 0, -EINVAL, -ENOMEM, or -EIO when OpenSSL fails. */
int key_parse(const char *pem, size_t size, struct key **ret, struct error *error);

/* Reads the file NAME and parses it; the file's bytes are cleansed. 0 or -errno; -ENOENT has an error text
 * too. */
int key_read_at(int dir_fd, const char *name, enum file_links links, struct key **ret, struct error *error);

/* The two halves of it, for who may know the bytes already. The text is owned by the caller, and is
 * explicit_bzero()ed or given to the second half, which cleanses and frees it in any case. */
int key_read_text_at(int dir_fd, const char *name, enum file_links links, char **ret, size_t *ret_size,
                     struct error *error);
int key_take_text(char *data, size_t size, const char *name, struct key **ret, struct error *error);

/* Writes the key as PKCS#8 PEM, durably: file_create_at(). The mode is set before the first byte. 0 or
 * -errno. */
int key_create_at(const struct key *key, int dir_fd, const char *name, struct file_access access,
                  struct error *error);

bool key_is_rsa(const struct key *key);
unsigned key_bits(const struct key *key);

/* SHA-256 of the public half, to compare with a certificate's. */
void key_spki(const struct key *key, uint8_t ret[SPKI_HASH_SIZE]);

/* PKCS#8 PEM, borrowed, valid as long as the key: for handing to the TLS library as a memory blob. Do not
 * copy; exports, which are copies, cleanse theirs. */
void key_pem(const struct key *key, const char **ret_pem, size_t *ret_size);

/* PKCS#8 DER, a copy that the caller owns and cleanses. 0, -EIO or -ENOMEM. */
int key_der(const struct key *key, char **ret_der, size_t *ret_size, struct error *error);

/* For csr.c: the OpenSSL handle, borrowed. */
typedef struct evp_pkey_st EVP_PKEY;
EVP_PKEY *key_handle(const struct key *key);

/* The size that a Connector's keyAlgorithm asks for ("rsa2048" -> 2048), 0 when it names another family. */
unsigned key_algorithm_bits(const char *key_algorithm);
