/*
 * `cat old new` glues two certificates together where the first text has no final newline, and then a gateway
 * loads none of them. So a bundle is never concatenated: it is parsed, and written again.
 */

#include "lib/x509/bundle.h"

#include "lib/x509/cert-write.h"
#include "lib/x509/openssl-util.h"

static bool has_cert(const struct cert_list *list, const struct cert *cert) {
        for (size_t i = 0; i < list->n; i++)
                if (cert_equal(list->items[i], cert))
                        return true;
        return false;
}

static bool same_key(const struct cert *a, const struct cert *b) {
        uint8_t x[SPKI_HASH_SIZE], y[SPKI_HASH_SIZE];

        cert_spki(a, x);
        cert_spki(b, y);
        return memcmp(x, y, sizeof(x)) == 0;
}

/* GONE may be NULL. */
static int rewrite(const char *pem, const struct cert *gone, const struct cert *new, char **ret_pem,
                   struct error *error) {
        _cleanup_(cert_list_clear) struct cert_list before = { 0 };
        struct cert_list after = { 0 }; /* borrows */
        int r;

        r = cert_bundle_parse(pem, strlen(pem), &before, error);
        if (r < 0)
                return r;
        after.items = calloc(before.n + 1, sizeof(after.items[0]));
        if (!after.items)
                return error_set_errno(error, -ENOMEM, "cannot write the trust bundle");
        after.items[after.n++] = (struct cert *)new;
        for (size_t i = 0; i < before.n; i++)
                if (!has_cert(&after, before.items[i]) && !(gone && same_key(gone, before.items[i])))
                        after.items[after.n++] = before.items[i];
        r = cert_list_pem(&after, ret_pem);
        free(after.items);
        return r < 0 ? error_set_errno(error, r, "cannot write the trust bundle") : 0;
}

int bundle_add(const char *pem, const struct cert *new, char **ret_pem, struct error *error) {
        return rewrite(pem, NULL, new, ret_pem, error);
}

int bundle_replace(const char *pem, const struct cert *old, const struct cert *new, char **ret_pem,
                   struct error *error) {
        return rewrite(pem, old, new, ret_pem, error);
}

size_t bundle_count_strict(const char *pem) {
        _cleanup_(BIO_freep) BIO *bio = BIO_new_mem_buf(pem, -1);
        unsigned long last;
        X509 *cert;
        size_t n = 0;

        while (bio && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
                X509_free(cert);
                n++;
        }
        last = ERR_peek_last_error();
        if (ERR_GET_LIB(last) != ERR_LIB_PEM || ERR_GET_REASON(last) != PEM_R_NO_START_LINE)
                n = 0;
        ERR_clear_error();
        return n;
}
