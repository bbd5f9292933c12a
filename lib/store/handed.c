/*
 * What somebody hands over is read as import reads files, with one difference: there is somebody to tell. So
 * nothing is set aside or put right here; what is not as it should be is refused, and the sentence names the
 * text that it is about.
 */

#include "lib/store/handed.h"

#include "lib/store/store-private.h"
#include "lib/x509/pem-text.h"

/* An owned copy of TEXT, as the PEM that it was. */
static int restore(const struct handed_text *text, char **ret, size_t *ret_size, struct error *error) {
        _cleanup_(free_secretp) char *copy = strdup(text->text);
        size_t size = strlen(text->text);

        if (!copy || pem_text_restore(&copy, &size) < 0)
                return error_set(error, -ENOMEM, "out of memory");
        *ret = take_ptr(copy);
        *ret_size = size;
        return 0;
}

static int read_key(const struct handed_text *text, struct key **ret, struct error *error) {
        _cleanup_(free_secretp) char *pem = NULL;
        size_t size;
        int r;

        r = restore(text, &pem, &size, error);
        if (r < 0)
                return r;
        r = key_parse(pem, size, ret, error);
        return r < 0 ? error_prefix(error, "cannot use %s", text->name) : 0;
}

/* Read by itself first, so that an error names the text that it is in. */
static int read_certificates(const struct handed_text *text, char **ret, struct error *error) {
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 };
        _cleanup_(free_secretp) char *pem = NULL;
        size_t size;
        int r;

        if (!text->text)
                return 0;
        r = restore(text, &pem, &size, error);
        if (r < 0)
                return r;
        r = cert_list_parse(pem, size, &certs, error);
        if (r < 0)
                return error_prefix(error, "cannot use %s", text->name);
        *ret = take_ptr(pem);
        return 0;
}

static int explain_mismatch(const struct handed *handed, const struct pair *pair, int r,
                            struct error *error) {
        if (r == -EBADMSG)
                return error_prefix(error, "%s and %s do not belong together", handed->key.name,
                                    handed->certificate.name);
        return error_prefix(error, "%s does not verify to %s", handed->certificate.name,
                            pair->ca_pem && handed->ca.text ? handed->ca.name : "the CA in its own chain");
}

static int read_pair(const struct handed *handed, usec_t now, struct pair *ret, struct error *error) {
        int r;

        r = read_key(&handed->key, &ret->key, error);
        if (r == 0)
                r = read_certificates(&handed->certificate, &ret->certificate_pem, error);
        if (r == 0)
                r = read_certificates(&handed->ca, &ret->ca_pem, error);
        if (r < 0)
                return r;
        r = pair_order(ret, now, error);
        if (r < 0)
                return explain_mismatch(handed, ret, r, error);
        r = pair_check_ca(ret, error);
        return r < 0 ? explain_mismatch(handed, ret, -EINVAL, error) : 0;
}

int handed_read(const struct handed *handed, usec_t now, struct set *ret, struct error *error) {
        _cleanup_(pair_clear) struct pair pair = { 0 };
        _cleanup_(set_clear) struct set set = { 0 };
        int r;

        r = read_pair(handed, now, &pair, error);
        if (r < 0)
                return r;
        set.key = take_ptr(pair.key);
        set.certificate_pem = take_ptr(pair.certificate_pem);
        set.ca_pem = take_ptr(pair.ca_pem);
        r = store_examine_set(&set, error);
        if (r < 0)
                return error_prefix(error, "cannot use %s", handed->certificate.name);
        *ret = set;
        set = (struct set) { 0 };
        return 0;
}

/* Adopted by themselves, or about to be set aside: two at once are one too many. */
static int refuse_plain(const struct store *store, struct error *error) {
        for (const char *const *name = store_public_names; *name; name++) {
                int r = store_is_plain(store, *name, error);

                if (r < 0)
                        return r;
                if (r > 0)
                        return error_set(error, -EEXIST,
                                         "%s/%s is a file of another origin; move it elsewhere first",
                                         store->path, *name);
        }
        return 0;
}

int handed_publish(struct store *store, const struct set *set, uint64_t *ret, struct error *error) {
        const uint64_t number = store->has_current ? store_next(store) : 0;
        const struct pair pair = {
                /* borrowed */
                .key = set->key,
                .certificate_pem = set->certificate_pem,
                .ca_pem = set->ca_pem,
                .connection_json = set->connection_json,
        };
        int r;

        r = refuse_plain(store, error);
        if (r < 0)
                return r;
        r = store_publish_pair(store, &pair, number, error);
        if (r == 0)
                *ret = number;
        return r;
}
