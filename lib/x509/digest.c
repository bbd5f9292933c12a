#include "lib/x509/digest.h"

#include "lib/x509/openssl-util.h"

int digest_text(const char *text, char ret[FINGERPRINT_HEX]) {
        uint8_t hash[FINGERPRINT_SIZE];
        int r;

        r = sha256(text, strlen(text), hash);
        if (r < 0)
                return r;
        hex_format(ret, hash, sizeof(hash));
        return 0;
}

struct digest {
        EVP_MD_CTX *context;
        bool has_failed;
};

struct digest *digest_new(void) {
        _cleanup_(digest_freep) struct digest *digest = calloc(1, sizeof(*digest));

        if (!digest)
                return NULL;
        digest->context = EVP_MD_CTX_new();
        if (!digest->context || EVP_DigestInit_ex2(digest->context, EVP_sha256(), NULL) != 1) {
                ERR_clear_error();
                return NULL;
        }
        return take_ptr(digest);
}

void digest_add(struct digest *digest, const void *data, size_t size) {
        const uint64_t length = size;

        if (EVP_DigestUpdate(digest->context, &length, sizeof(length)) != 1 ||
            EVP_DigestUpdate(digest->context, data, size) != 1)
                digest->has_failed = true;
}

int digest_end(struct digest *digest, uint8_t ret[FINGERPRINT_SIZE]) {
        uint8_t hash[FINGERPRINT_SIZE];

        if (digest->has_failed || EVP_DigestFinal_ex(digest->context, hash, NULL) != 1) {
                ERR_clear_error();
                return -EIO;
        }
        memcpy(ret, hash, sizeof(hash));
        return 0;
}

struct digest *digest_free(struct digest *digest) {
        if (!digest)
                return NULL;
        EVP_MD_CTX_free(digest->context);
        free(digest);
        return NULL;
}

const char *digest_library(void) {
        return OpenSSL_version(OPENSSL_FULL_VERSION_STRING);
}
