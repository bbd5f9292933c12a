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
