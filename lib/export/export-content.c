/*
 * What is written: the parts of a set as PEM in any order, or one of them as DER. Certificates are encoded
 * again from what was parsed, so an adopted file's comments and odd line lengths do not reach dependents, and
 * the same set always gives the same bytes: that is what makes an export comparable.
 */

#include "lib/export/export-content.h"

#include "lib/x509/openssl-util.h"

void export_bytes_clear(struct export_bytes *bytes) {
        if (bytes->data)
                explicit_bzero(bytes->data, bytes->size);
        free(bytes->data);
        *bytes = (struct export_bytes) { 0 };
}

size_t export_contents(const struct export *export, enum export_part ret[EXPORT_PART_MAX]) {
        static const enum export_part standard[] = { EXPORT_KEY, EXPORT_LEAF, EXPORT_CHAIN };
        size_t n = export->n_contents > 0 ? export->n_contents : ELEMENTSOF(standard);

        memcpy(ret, export->n_contents > 0 ? export->contents : standard, n * sizeof(*ret));
        return n;
}

bool export_has_key(const struct export *export) {
        enum export_part contents[EXPORT_PART_MAX];
        size_t n = export_contents(export, contents);

        for (size_t i = 0; i < n; i++)
                if (contents[i] == EXPORT_KEY)
                        return true;
        return false;
}

/* --- Certificates --- */

void export_certs_clear(struct export_certs *certs) {
        cert_list_clear(&certs->own);
        cert_list_clear(&certs->ca);
        cert_list_clear(&certs->old);
        *certs = (struct export_certs) { 0 };
}

/* A CA that is no root is often in tls.crt as well. */
static void add_once(struct export_certs *certs, const struct cert *cert) {
        for (size_t i = 0; i < certs->n; i++)
                if (cert_equal(certs->items[i], cert))
                        return;
        certs->items[certs->n++] = cert;
}

static void add_part(struct export_certs *certs, enum export_part part) {
        if (part == EXPORT_LEAF)
                add_once(certs, certs->own.items[0]);
        if (part == EXPORT_CHAIN)
                for (size_t i = 1; i < certs->own.n; i++)
                        if (!cert_is_self_signed(certs->own.items[i]) &&
                            !cert_equal(certs->own.items[i], certs->own.items[0]))
                                add_once(certs, certs->own.items[i]);
        if (part == EXPORT_CA)
                for (size_t i = 0; i < certs->ca.n; i++)
                        add_once(certs, certs->ca.items[i]);
        if (part == EXPORT_CA)
                for (size_t i = 0; i < certs->old.n; i++)
                        add_once(certs, certs->old.items[i]);
}

int export_certs_load(const struct export *export, const struct set *set, struct export_certs *ret,
                      struct error *error) {
        _cleanup_(export_certs_clear) struct export_certs certs = { 0 };
        enum export_part contents[EXPORT_PART_MAX];
        size_t n = export_contents(export, contents);
        int r;

        r = cert_list_parse(set->certificate_pem, strlen(set->certificate_pem), &certs.own, error);
        if (r == 0 && set->ca_pem)
                r = cert_list_parse(set->ca_pem, strlen(set->ca_pem), &certs.ca, error);
        if (r < 0) {
                error_prefix(error, "the certificates of the set cannot be read");
                return r;
        }
        /* What is out of use keeps nothing from being written. */
        if (set->old_ca_pem && export->ca_overlap_usec > 0 &&
            cert_list_parse(set->old_ca_pem, strlen(set->old_ca_pem), &certs.old, NULL) == -ENOMEM)
                return error_set(error, -ENOMEM, "out of memory");

        for (size_t i = 0; i < n; i++) {
                if (contents[i] == EXPORT_CA && !set->ca_pem)
                        return error_set(error, -ENODATA,
                                         "the adopted pair has no CA; set one under `import:`, or remove ca "
                                         "from 'contents' until the first renewal");
                add_part(&certs, contents[i]);
        }

        *ret = certs;
        certs = (struct export_certs) { 0 };
        return 0;
}

/* --- PEM --- */

/* In the order of the export: the key where it stands among the certificates, of which each is there once. */
static int write_pem(BIO *bio, const struct export *export, const struct set *set,
                     const struct export_certs *all) {
        struct export_certs written = { .own = all->own,
                                        .ca = all->ca,
                                        .old = all->old }; /* borrows the lists */
        enum export_part contents[EXPORT_PART_MAX];
        size_t n = export_contents(export, contents), done = 0;

        for (size_t i = 0; i < n; i++) {
                const char *pem;
                size_t size;

                if (contents[i] == EXPORT_KEY) {
                        key_pem(set->key, &pem, &size);
                        if (BIO_write(bio, pem, (int)size) != (int)size)
                                return -ENOMEM;
                        continue;
                }
                add_part(&written, contents[i]);
                for (; done < written.n; done++)
                        if (PEM_write_bio_X509(bio, cert_handle(written.items[done])) != 1)
                                return -ENOMEM;
        }
        return 0;
}

static int encode_pem(const struct export *export, const struct set *set, struct export_bytes *ret,
                      struct error *error) {
        _cleanup_(BIO_freep) BIO *bio = BIO_new(BIO_s_secmem()); /* cleanses as it grows and when freed */
        _cleanup_(export_certs_clear) struct export_certs certs = { 0 };
        char *data, *copy;
        long size;
        int r;

        r = export_certs_load(export, set, &certs, error);
        if (r < 0)
                return r;
        if (certs.n == 0 && !export_has_key(export))
                return error_set(error, -ENODATA,
                                 "it would be empty: the leaf has no intermediates; remove the export, or "
                                 "add to its 'contents'");
        if (!bio || write_pem(bio, export, set, &certs) < 0) {
                ERR_clear_error();
                return error_set(error, -ENOMEM, "out of memory");
        }
        size = BIO_get_mem_data(bio, &data);
        copy = malloc((size_t)size + 1);
        if (!copy)
                return error_set(error, -ENOMEM, "out of memory");
        memcpy(copy, data, (size_t)size);
        copy[size] = '\0';
        *ret = (struct export_bytes) { copy, (size_t)size };
        return 0;
}

/* --- DER --- */

static int encode_leaf_der(const struct set *set, struct export_bytes *ret, struct error *error) {
        int size = i2d_X509(cert_handle(set->leaf), NULL);
        _cleanup_(freep) unsigned char *der = size > 0 ? calloc(1, (size_t)size + 1) : NULL;
        unsigned char *end = der;

        if (!der || i2d_X509(cert_handle(set->leaf), &end) != size)
                return openssl_error(error, -EIO, "cannot encode the leaf as DER");
        *ret = (struct export_bytes) { (char *)take_ptr(der), (size_t)size };
        return 0;
}

int export_encode(const struct export *export, const struct set *set, struct export_bytes *ret,
                  struct error *error) {
        if (export->format == EXPORT_PEM)
                return encode_pem(export, set, ret, error);
        if (export->contents[0] == EXPORT_KEY)
                return key_der(set->key, &ret->data, &ret->size, error);
        return encode_leaf_der(set, ret, error);
}
