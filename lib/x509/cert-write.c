/*
 * What rekeyd publishes. A PEM file may hold anything beside its blocks, a private key that no reader
 * recognises as one too; and tls.crt is public. So rekeyd never copies such a text: the certificates in it
 * are read, and each of them is written anew.
 */

#include "lib/x509/cert-write.h"

#include <ctype.h>

#include "lib/x509/openssl-util.h"

int cert_list_pem(const struct cert_list *list, char **ret_pem) {
        _cleanup_(BIO_freep) BIO *bio = BIO_new(BIO_s_mem());
        char *data, *pem;
        long size;

        if (!bio)
                return -ENOMEM;
        for (size_t i = 0; i < list->n; i++)
                if (PEM_write_bio_X509(bio, cert_handle(list->items[i])) != 1) {
                        ERR_clear_error();
                        return -ENOMEM;
                }
        size = BIO_get_mem_data(bio, &data);
        pem = strndup(size > 0 ? data : "", (size_t)size);
        if (!pem)
                return -ENOMEM;
        *ret_pem = pem;
        return 0;
}

int cert_text_rewrite(const char *pem, char **ret_pem, struct error *error) {
        _cleanup_(cert_list_clear) struct cert_list list = { 0 };
        int r;

        r = cert_list_parse(pem, strlen(pem), &list, error);
        if (r < 0)
                return r;
        r = cert_list_pem(&list, ret_pem);
        return r < 0 ? error_set_errno(error, r, "cannot write the certificates") : 0;
}

static bool skip(const char **text, const char *expected) {
        size_t length = strlen(expected);

        if (strncmp(*text, expected, length) != 0)
                return false;
        *text += length;
        return true;
}

/* One line of base64, the last of its block where it ends in padding. */
static bool skip_base64(const char **text, bool *is_last) {
        const char *start = *text, *s = start;

        while (isalnum((unsigned char)*s) || *s == '+' || *s == '/')
                s++;
        *is_last = *s == '=';
        while (*s == '=')
                s++;
        if (s == start || *s != '\n')
                return false;
        *text = s + 1;
        return true;
}

bool cert_text_is_clean(const char *pem) {
        bool is_last;

        do {
                if (!skip(&pem, "-----BEGIN " PEM_STRING_X509 "-----\n"))
                        return false;
                do
                        if (!skip_base64(&pem, &is_last))
                                return false;
                while (!is_last && *pem != '-');
                if (!skip(&pem, "-----END " PEM_STRING_X509 "-----\n"))
                        return false;
        } while (*pem);
        return true;
}
