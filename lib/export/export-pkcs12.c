/*
 * PKCS#12. Two recipes: what OpenSSL 3 and present Java write, and what Java could read before 8u301 and
 * 11.0.12. RC2, which old tools use for the certificates, is in neither: no OpenSSL has it without its legacy
 * provider.
 *
 * Every writing makes new salts, so two files of one set differ in every byte. To compare, a file is opened
 * again and its contents are compared. That its recipe is ours is read before anything is decrypted: it is
 * part of what must agree, and no file can make us count to its idea of a number of iterations.
 *
 * The file is put together and taken apart here, bag by bag. PKCS12_create() and PKCS12_parse() would do it
 * in one call each, but on their way from a key to its bytes and back they leave those on the heap. (The
 * passphrase stays there in any case, in letters of 16 bits, from OpenSSL's key derivation for this format.)
 */

#include "lib/export/export-pkcs12.h"

#include <openssl/pkcs12.h>

#include "lib/x509/openssl-util.h"

typedef STACK_OF(PKCS12_SAFEBAG) bag_stack;
typedef STACK_OF(PKCS7) safe_stack;

static bag_stack *bags_free(bag_stack *bags) {
        sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
        return NULL;
}

static safe_stack *safes_free(safe_stack *safes) {
        sk_PKCS7_pop_free(safes, PKCS7_free);
        return NULL;
}

DEFINE_CLEANUP(bag_stack *, bags_free);
DEFINE_CLEANUP(safe_stack *, safes_free);
DEFINE_OPENSSL_CLEANUP(PKCS12, PKCS12_free);
DEFINE_OPENSSL_CLEANUP(PKCS12_SAFEBAG, PKCS12_SAFEBAG_free);
DEFINE_OPENSSL_CLEANUP(PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free); /* cleanses */

struct recipe {
        int cipher; /* of key and certificates */
        const EVP_MD *(*mac)(void);
        int iterations;
};

static const struct recipe *recipe_for(const struct export *export) {
        static const struct recipe modern = {
                .cipher = NID_aes_256_cbc, /* PBES2, with PBKDF2-HMAC-SHA256 */
                .mac = EVP_sha256,
                .iterations = 10000, /* as Java since 16 */
        };
        static const struct recipe legacy = {
                .cipher = NID_pbe_WithSHA1And3_Key_TripleDES_CBC,
                .mac = EVP_sha1,
                .iterations = PKCS12_DEFAULT_ITER,
        };

        return export->legacy ? &legacy : &modern;
}

/* --- Putting together --- */

/* Readers find the leaf of a key by an identifier that both carry; any bytes will do. */
static bool mark(PKCS12_SAFEBAG *bag, const struct export *export, const struct set *set) {
        uint8_t id[FINGERPRINT_SIZE];

        memcpy(id, set->fingerprint, sizeof(id));
        return PKCS12_add_localkeyid(bag, id, sizeof(id)) == 1 &&
               (!export->friendly_name || PKCS12_add_friendlyname_utf8(bag, export->friendly_name, -1) == 1);
}

static bool add_certificates(safe_stack **safes, const struct export *export, const struct set *set,
                             const struct export_certs *certs, const char *passphrase) {
        const struct recipe *recipe = recipe_for(export);
        _cleanup_(bags_freep) bag_stack *bags = NULL;
        PKCS12_SAFEBAG *bag;

        bag = PKCS12_add_cert(&bags, cert_handle(set->leaf));
        if (!bag || !mark(bag, export, set))
                return false;
        for (size_t i = 0; i < certs->n; i++)
                if (!cert_equal(certs->items[i], set->leaf) &&
                    !PKCS12_add_cert(&bags, cert_handle(certs->items[i])))
                        return false;
        return PKCS12_add_safe(safes, bags, recipe->cipher, recipe->iterations, passphrase) == 1;
}

static PKCS8_PRIV_KEY_INFO *key_info(const struct set *set) {
        _cleanup_(export_bytes_clear) struct export_bytes der = { 0 };
        const unsigned char *end;

        if (key_der(set->key, &der.data, &der.size, NULL) < 0)
                return NULL;
        end = (const unsigned char *)der.data;
        return d2i_PKCS8_PRIV_KEY_INFO(NULL, &end, (long)der.size);
}

static bool add_key(safe_stack **safes, const struct export *export, const struct set *set,
                    const char *passphrase) {
        const struct recipe *recipe = recipe_for(export);
        _cleanup_(PKCS8_PRIV_KEY_INFO_freep) PKCS8_PRIV_KEY_INFO *info = key_info(set);
        _cleanup_(bags_freep) bag_stack *bags = sk_PKCS12_SAFEBAG_new_null();
        _cleanup_(PKCS12_SAFEBAG_freep) PKCS12_SAFEBAG *bag = NULL;

        if (!info || !bags)
                return false;
        bag = PKCS12_SAFEBAG_create_pkcs8_encrypt(recipe->cipher, passphrase, -1, NULL, 0, recipe->iterations,
                                                  info);
        if (!bag || !mark(bag, export, set) || sk_PKCS12_SAFEBAG_push(bags, bag) <= 0)
                return false;
        take_ptr(bag);
        return PKCS12_add_safe(safes, bags, -1, 0, NULL) == 1; /* the bag is encrypted, not the safe */
}

static PKCS12 *make(const struct export *export, const struct set *set, const struct export_certs *certs,
                    const char *passphrase) {
        const struct recipe *recipe = recipe_for(export);
        _cleanup_(safes_freep) safe_stack *safes = NULL;
        _cleanup_(PKCS12_freep) PKCS12 *file = NULL;

        if (!add_certificates(&safes, export, set, certs, passphrase) ||
            !add_key(&safes, export, set, passphrase))
                return NULL;
        file = PKCS12_add_safes(safes, 0);
        if (!file || PKCS12_set_mac(file, passphrase, -1, NULL, 0, recipe->iterations, recipe->mac()) != 1)
                return NULL;
        return take_ptr(file);
}

int export_pkcs12_encode(const struct export *export, const struct set *set, const char *passphrase,
                         struct export_bytes *ret, struct error *error) {
        _cleanup_(export_certs_clear) struct export_certs certs = { 0 };
        _cleanup_(export_bytes_clear) struct export_bytes bytes = { 0 };
        _cleanup_(PKCS12_freep) PKCS12 *file = NULL;
        unsigned char *end;
        int size, r;

        r = export_certs_load(export, set, &certs, error);
        if (r < 0)
                return r;
        file = make(export, set, &certs, passphrase);
        size = file ? i2d_PKCS12(file, NULL) : -1;
        if (size <= 0)
                return openssl_error(error, -EIO, "cannot build a PKCS#12 file");
        bytes.data = malloc((size_t)size);
        if (!bytes.data)
                return error_set(error, -ENOMEM, "out of memory");
        bytes.size = (size_t)size;
        end = (unsigned char *)bytes.data;
        i2d_PKCS12(file, &end);

        *ret = bytes;
        bytes = (struct export_bytes) { 0 };
        return 0;
}

/* --- Taking apart --- */

static bool has_recipe(const PKCS12 *file, const struct recipe *recipe) {
        const ASN1_INTEGER *iterations;
        const ASN1_OBJECT *digest;
        const X509_ALGOR *mac;

        if (!PKCS12_mac_present(file))
                return false;
        PKCS12_get0_mac(NULL, &mac, NULL, &iterations, file);
        X509_ALGOR_get0(&digest, NULL, NULL, mac);
        return OBJ_obj2nid(digest) == EVP_MD_get_type(recipe->mac()) && iterations &&
               ASN1_INTEGER_get(iterations) == recipe->iterations;
}

/* What is still to be found in the file; and whether all that was found belongs there. */
struct expected {
        const struct export *export;
        const struct set *set;
        const char *passphrase;
        struct export_certs certs;
        bool seen[2 * CERT_LIST_MAX], key_seen;
};

static bool has_name(PKCS12_SAFEBAG *bag, const char *name) {
        char *found = PKCS12_get_friendlyname(bag);
        bool equal = streq_null(found, name);

        OPENSSL_free(found);
        return equal;
}

static bool is_expected_key(struct expected *expected, PKCS12_SAFEBAG *bag) {
        _cleanup_(PKCS8_PRIV_KEY_INFO_freep) PKCS8_PRIV_KEY_INFO *info =
                PKCS12_decrypt_skey(bag, expected->passphrase, -1);
        _cleanup_(export_bytes_clear) struct export_bytes found = { 0 }, der = { 0 };
        unsigned char *end;
        int size = info ? i2d_PKCS8_PRIV_KEY_INFO(info, NULL) : -1;

        if (expected->key_seen || size <= 0 || !has_name(bag, expected->export->friendly_name) ||
            key_der(expected->set->key, &der.data, &der.size, NULL) < 0)
                return false;
        found.data = malloc((size_t)size);
        if (!found.data)
                return false;
        found.size = (size_t)size;
        end = (unsigned char *)found.data;
        i2d_PKCS8_PRIV_KEY_INFO(info, &end);
        expected->key_seen = true;
        return found.size == der.size && memcmp(found.data, der.data, der.size) == 0;
}

static bool is_expected_certificate(struct expected *expected, PKCS12_SAFEBAG *bag) {
        _cleanup_(X509_freep) X509 *found = PKCS12_SAFEBAG_get1_cert(bag);

        for (size_t i = 0; found && i < expected->certs.n; i++) {
                const struct cert *cert = expected->certs.items[i];

                if (expected->seen[i] || X509_cmp(found, cert_handle(cert)) != 0)
                        continue;
                expected->seen[i] = true;
                return !cert_equal(cert, expected->set->leaf) ||
                       has_name(bag, expected->export->friendly_name);
        }
        return false;
}

static bool are_expected_bags(struct expected *expected, const bag_stack *bags) {
        for (int i = 0; i < sk_PKCS12_SAFEBAG_num(bags); i++) {
                PKCS12_SAFEBAG *bag = sk_PKCS12_SAFEBAG_value(bags, i);
                int kind = PKCS12_SAFEBAG_get_nid(bag);

                if (kind == NID_pkcs8ShroudedKeyBag ? !is_expected_key(expected, bag)
                    : kind == NID_certBag           ? !is_expected_certificate(expected, bag)
                                                    : true)
                        return false;
        }
        return true;
}

static bool is_expected_file(struct expected *expected, const PKCS12 *file) {
        _cleanup_(safes_freep) safe_stack *safes = PKCS12_unpack_authsafes(file);

        for (int i = 0; safes && i < sk_PKCS7_num(safes); i++) {
                PKCS7 *safe = sk_PKCS7_value(safes, i);
                _cleanup_(bags_freep) bag_stack *bags =
                        PKCS7_type_is_encrypted(safe)
                                ? PKCS12_unpack_p7encdata(safe, expected->passphrase, -1)
                        : PKCS7_type_is_data(safe) ? PKCS12_unpack_p7data(safe)
                                                   : NULL;

                if (!bags || !are_expected_bags(expected, bags))
                        return false;
        }
        for (size_t i = 0; i < expected->certs.n; i++)
                if (!expected->seen[i])
                        return false;
        return expected->key_seen;
}

bool export_pkcs12_equal(const struct export *export, const struct set *set, const char *passphrase,
                         const struct export_bytes *bytes) {
        const unsigned char *begin = (const unsigned char *)bytes->data, *end = begin;
        _cleanup_(PKCS12_freep) PKCS12 *file = d2i_PKCS12(NULL, &end, (long)bytes->size);
        struct expected expected = { .export = export, .set = set, .passphrase = passphrase };
        bool equal;

        equal = file && end == begin + bytes->size && has_recipe(file, recipe_for(export)) &&
                PKCS12_verify_mac(file, passphrase, -1) == 1 &&
                export_certs_load(export, set, &expected.certs, NULL) == 0 &&
                is_expected_file(&expected, file);
        export_certs_clear(&expected.certs);
        ERR_clear_error();
        return equal;
}
