/*
 * Whatever a Connector sends as certificates. An input that begins with 'D' is DER and gets a PEM block
 * around it, so that mutations reach the ASN.1 and do not end at base64; any other input is a PEM text.
 */

#include <openssl/err.h>
#include <openssl/pem.h>

#include "lib/x509/cert-write.h"
#include "lib/x509/chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(expression)        \
        do {                       \
                if (!(expression)) \
                        abort();   \
        } while (0)

static void look_at(const struct cert *cert) {
        _cleanup_(subject_freep) struct subject *subject = NULL;
        _cleanup_(freep) char *own = cert_subject_text(cert), *issuer = cert_issuer_text(cert), *text = NULL;
        uint8_t hash[FINGERPRINT_SIZE];

        require(own && issuer);
        cert_fingerprint(cert, hash);
        cert_spki(cert, hash);
        if (cert_subject(cert, &subject, NULL) == 0) {
                text = subject_format(subject);
                require(streq(text, own) && subject_equal(subject, subject));
        }
        require(cert_is_ca(cert) || !cert_is_issued_by(cert, cert) || cert_is_self_signed(cert));
}

static void chain_from(const struct cert_list *list) {
        _cleanup_(chain_clear) struct chain chain = { 0 };
        _cleanup_(freep) char *leaf = NULL, *issuers = NULL;

        (void)chain_verify(list->items[0], list, list, USEC_INFINITY, NULL);
        if (chain_build(list->items[0], list, &chain, NULL) < 0)
                return;
        require(chain.certs.n >= 2 && cert_equal(chain.certs.items[0], list->items[0]));
        require(chain_effective_expiry(&chain) <= cert_not_after(list->items[0]));
        require(chain_leaf_pem(&chain, &leaf) == 0 && chain_issuers_pem(&chain, &issuers) == 0);
}

/* What is published in place of a text: the same certificates, and nothing else. One that is not quite DER
 * may come out as another. */
static void write_anew(const struct cert_list *list) {
        _cleanup_(cert_list_clear) struct cert_list again = { 0 };
        _cleanup_(freep) char *pem = NULL, *same = NULL;

        require(cert_list_pem(list, &pem) == 0 && cert_text_is_clean(pem));
        if (cert_list_parse(pem, strlen(pem), &again, NULL) < 0)
                return;
        require(again.n == list->n);
        require(cert_list_pem(&again, &same) == 0 && streq(pem, same));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(cert_list_clear) struct cert_list list = { 0 };
        BIO *wrapped = NULL;
        char *pem = (char *)data;
        int r;

        if (size > 1 && data[0] == 'D') {
                wrapped = BIO_new(BIO_s_mem());
                require(PEM_write_bio(wrapped, PEM_STRING_X509, "", data + 1, (long)size - 1) > 0);
                size = (size_t)BIO_get_mem_data(wrapped, &pem);
        }
        r = cert_list_parse(pem, size, &list, NULL);
        BIO_free(wrapped);

        require(ERR_peek_error() == 0);
        require(r < 0 ? list.n == 0 : list.n > 0);
        for (size_t i = 0; i < list.n; i++)
                look_at(list.items[i]);
        if (list.n > 0) {
                chain_from(&list);
                write_anew(&list);
        }
        require(ERR_peek_error() == 0);
        return 0;
}
