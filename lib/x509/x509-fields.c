#include "lib/x509/x509-fields.h"

#include <openssl/rand.h>

#define SERIAL_SIZE 16

int x509_set_serial(X509 *handle) {
        ASN1_INTEGER *serial = X509_get_serialNumber(handle);
        unsigned char bytes[SERIAL_SIZE];

        if (RAND_bytes(bytes, sizeof(bytes)) != 1)
                return -EIO;
        bytes[0] = (unsigned char)((bytes[0] & 0x3f) | 0x40); /* positive, and always as long */
        serial->type = V_ASN1_INTEGER;                        /* a negative one may have been there */
        return ASN1_STRING_set(serial, bytes, sizeof(bytes)) == 1 ? 0 : -EIO;
}

int x509_set_time(ASN1_TIME *time, usec_t when) {
        const int days = (int)(when / USEC_PER_DAY);
        const long seconds = (long)(when % USEC_PER_DAY / USEC_PER_SEC);

        return ASN1_TIME_adj(time, 0, days, seconds) ? 0 : -EIO;
}

int x509_write_pem(X509 *handle, char **ret_pem) {
        _cleanup_(BIO_freep) BIO *bio = BIO_new(BIO_s_mem());

        if (!bio || PEM_write_bio_X509(bio, handle) != 1)
                return -EIO;
        return bio_take_text(bio, ret_pem);
}
