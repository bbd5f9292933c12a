#include "lib/x509/openssl-util.h"

#include <stdarg.h>
#include <stdio.h>

const char *openssl_reason(void) {
        const char *reason = ERR_reason_error_string(ERR_peek_error());

        ERR_clear_error();
        return reason ? reason : "OpenSSL gives no reason";
}

bool openssl_lacked_memory(void) {
        bool lacked = false;
        unsigned long code;

        while ((code = ERR_get_error()))
                lacked = lacked || ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
        return lacked;
}

int openssl_error(struct error *error, int code, const char *format, ...) {
        const char *reason = ERR_reason_error_string(ERR_peek_error());
        _cleanup_(freep) char *what = NULL;
        va_list args;
        int n;

        if (openssl_lacked_memory())
                code = -ENOMEM;
        va_start(args, format);
        n = vasprintf(&what, format, args);
        va_end(args);
        if (n < 0)
                what = NULL;
        return error_set(error, code, "%s: %s", what ? what : "out of memory",
                         reason ? reason : "OpenSSL gives no reason");
}

int bio_take_text(BIO *bio, char **ret_text) {
        char *data, *text;
        long size = BIO_get_mem_data(bio, &data);

        text = strndup(data, (size_t)size);
        if (!text)
                return -ENOMEM;
        *ret_text = text;
        return 0;
}
