/*
 * The certificates of the Connector for development, made with OpenSSL. One function issues everything, from
 * a CA to a client's leaf, by a row for each usage, so what the leaves look like can be read in one table.
 */

#include "devconnector/pki.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include "lib/util/files.h"

#define PEM_FILE_MAX  (1024u * 1024)
#define KEY_FILE_MODE 0600
#define PEM_FILE_MODE 0644

static const struct {
        const char *basic_constraints, *key_usage, *extended_key_usage;
        bool subject_key_id;
} usages[] = {
        [PKI_CA] = { "critical,CA:TRUE", "critical,keyCertSign,cRLSign,digitalSignature", NULL, true },
        [PKI_SERVER] = { "critical,CA:FALSE", "critical,digitalSignature,keyEncipherment", "serverAuth",
                         false },
        [PKI_CLIENT] = { NULL, "critical,digitalSignature", "clientAuth", false },
        [PKI_CLIENT_NO_AUTH] = { NULL, "critical,digitalSignature", "serverAuth", false },
};

void pki_pair_clear(struct pki_pair *pair) {
        X509_free(pair->certificate);
        EVP_PKEY_free(pair->key);
        *pair = (struct pki_pair) { 0 };
}

int pki_error(struct error *error, const char *format, ...) {
        _cleanup_(freep) char *what = NULL;
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        va_list args;
        int n;

        va_start(args, format);
        n = vasprintf(&what, format, args);
        va_end(args);
        if (n < 0)
                what = NULL;
        error_set(error, -EINVAL, "%s: %s", what ? what : "out of memory",
                  reason ? reason : "unknown reason");
        ERR_clear_error();
        return -EINVAL;
}

int pki_generate_key(unsigned bits, EVP_PKEY **ret, struct error *error) {
        EVP_PKEY *key = EVP_RSA_gen(bits);

        if (!key)
                return pki_error(error, "cannot generate a key");
        *ret = key;
        return 0;
}

static bool begins_attribute(const char *text) {
        char name[32];
        size_t size = strcspn(text, "=");

        if (text[size] != '=' || size == 0 || size >= sizeof(name))
                return false;
        snprintf(name, sizeof(name), "%.*s", (int)size, text);
        return OBJ_sn2nid(name) != NID_undef || OBJ_ln2nid(name) != NID_undef;
}

size_t pki_attribute_size(const char *text) {
        for (const char *comma = strchr(text, ','); comma; comma = strchr(comma + 1, ','))
                if (begins_attribute(comma + 1 + strspn(comma + 1, " ")))
                        return (size_t)(comma - text);
        return strlen(text);
}

/* As X509_NAME_add_entry_by_txt() does, but for the bounds. */
static bool add_entry(X509_NAME *name, const char *key, const char *value, size_t size) {
        const int nid = OBJ_txt2nid(key);
        const ASN1_STRING_TABLE *rule = ASN1_STRING_TABLE_get(nid);
        const unsigned long mask = rule && !(rule->mask & B_ASN1_UTF8STRING) ? rule->mask : B_ASN1_UTF8STRING;
        ASN1_STRING *string = NULL;
        bool is_added;

        if (nid == NID_undef ||
            ASN1_mbstring_copy(&string, (const unsigned char *)value, (int)size, MBSTRING_UTF8, mask) < 0)
                return false;
        is_added =
                X509_NAME_add_entry_by_NID(name, nid, ASN1_STRING_type(string), ASN1_STRING_get0_data(string),
                                           ASN1_STRING_length(string), -1, 0) == 1;
        ASN1_STRING_free(string);
        return is_added;
}

int pki_parse_name(const char *text, X509_NAME **ret, struct error *error) {
        _cleanup_(X509_NAME_freep) X509_NAME *name = X509_NAME_new();

        if (!name)
                return error_set_errno(error, -ENOMEM, "cannot read the name \"%s\"", text);
        for (const char *item = text; item;) {
                const size_t size = pki_attribute_size(item), key_size = strcspn(item, "=");
                _cleanup_(freep) char *key = NULL;

                if (key_size == 0 || key_size + 1 >= size)
                        return error_set(
                                error, -EINVAL,
                                "cannot read the name \"%s\": \"%.*s\" is not an attribute like CN=Kyma",
                                text, (int)size, item);
                key = strndup(item, key_size);
                if (!key || !add_entry(name, key, item + key_size + 1, size - key_size - 1))
                        return pki_error(error, "cannot read the name \"%s\": attribute \"%s\"", text,
                                         key ? key : "?");
                item = item[size] ? item + size + 1 + strspn(item + size + 1, " ") : NULL;
        }
        *ret = take_ptr(name);
        return 0;
}

uint64_t pki_random_serial(void) {
        uint64_t serial = 0;

        if (RAND_bytes((unsigned char *)&serial, sizeof(serial)) != 1)
                abort(); /* cannot continue without randomness */
        return serial >> 1 | 1;
}

static int add_extension(X509 *certificate, X509V3_CTX *context, int nid, const char *value) {
        X509_EXTENSION *extension;
        int ok;

        if (!value)
                return 0;
        extension = X509V3_EXT_conf_nid(NULL, context, nid, value);
        if (!extension)
                return -EINVAL;
        ok = X509_add_ext(certificate, extension, -1);
        X509_EXTENSION_free(extension);
        return ok == 1 ? 0 : -ENOMEM;
}

/* By structure, not by "DNS:%s" text: a host name comes from the command line and might hold a comma. */
static int add_hosts(X509 *certificate, const char *const *hosts) {
        GENERAL_NAMES *names = GENERAL_NAMES_new();
        int ok = names != NULL;

        for (; ok && *hosts; hosts++) {
                ASN1_OCTET_STRING *address = a2i_IPADDRESS(*hosts);
                GENERAL_NAME *name = GENERAL_NAME_new();
                ASN1_IA5STRING *text = address ? NULL : ASN1_IA5STRING_new();

                ok = name && (address || (text && ASN1_STRING_set(text, *hosts, -1) == 1)) &&
                     sk_GENERAL_NAME_push(names, name) > 0;
                if (!ok) {
                        GENERAL_NAME_free(name);
                        ASN1_OCTET_STRING_free(address);
                        ASN1_IA5STRING_free(text);
                } else if (address)
                        GENERAL_NAME_set0_value(name, GEN_IPADD, address);
                else
                        GENERAL_NAME_set0_value(name, GEN_DNS, text);
        }
        ERR_clear_error(); /* a2i_IPADDRESS() leaves one for every name */
        ok = ok && X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, 0) == 1;
        GENERAL_NAMES_free(names);
        return ok ? 0 : -EINVAL;
}

static int add_extensions(X509 *certificate, const struct pki_request *request, const X509 *issuer) {
        X509V3_CTX context;
        int r;

        X509V3_set_ctx(&context, (X509 *)issuer, certificate, NULL, NULL, 0);
        r = add_extension(certificate, &context, NID_basic_constraints,
                          usages[request->usage].basic_constraints);
        if (r < 0)
                return r;
        r = add_extension(certificate, &context, NID_key_usage, usages[request->usage].key_usage);
        if (r < 0)
                return r;
        r = add_extension(certificate, &context, NID_ext_key_usage,
                          usages[request->usage].extended_key_usage);
        if (r < 0)
                return r;
        if (usages[request->usage].subject_key_id) {
                r = add_extension(certificate, &context, NID_subject_key_identifier, "hash");
                if (r < 0)
                        return r;
        }
        if (issuer != certificate) {
                r = add_extension(certificate, &context, NID_authority_key_identifier, "keyid:always");
                if (r < 0)
                        return r;
        }
        return request->hosts ? add_hosts(certificate, request->hosts) : 0;
}

/* Signs with DIGEST, or with the algorithm of another signature, its RSA-PSS parameters included. */
static int sign(X509 *certificate, EVP_PKEY *key, const X509_ALGOR *like, int given_digest) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *context = EVP_MD_CTX_new();
        EVP_PKEY_CTX *key_context;
        const ASN1_OBJECT *algorithm;
        int digest = given_digest ? given_digest : NID_sha256, scheme = NID_rsaEncryption;
        const void *parameters;
        int parameters_type;

        if (like && !given_digest) {
                X509_ALGOR_get0(&algorithm, &parameters_type, &parameters, like);
                if (OBJ_obj2nid(algorithm) == NID_rsassaPss) {
                        const ASN1_STRING *packed = parameters;
                        RSA_PSS_PARAMS *pss =
                                parameters_type == V_ASN1_SEQUENCE
                                        ? ASN1_item_unpack(packed, ASN1_ITEM_rptr(RSA_PSS_PARAMS))
                                        : NULL;
                        const ASN1_OBJECT *hash;

                        scheme = NID_rsassaPss;
                        digest = NID_sha1; /* the default of the standard (RFC 4055) */
                        if (pss && pss->hashAlgorithm) {
                                X509_ALGOR_get0(&hash, NULL, NULL, pss->hashAlgorithm);
                                digest = OBJ_obj2nid(hash);
                        }
                        RSA_PSS_PARAMS_free(pss);
                } else if (OBJ_find_sigid_algs(OBJ_obj2nid(algorithm), &digest, &scheme) != 1)
                        return -EINVAL;
        }

        if (!context ||
            EVP_DigestSignInit(context, &key_context, EVP_get_digestbynid(digest), NULL, key) != 1)
                return -EINVAL;
        if (scheme == NID_rsassaPss &&
            (EVP_PKEY_CTX_set_rsa_padding(key_context, RSA_PKCS1_PSS_PADDING) != 1 ||
             EVP_PKEY_CTX_set_rsa_pss_saltlen(key_context, RSA_PSS_SALTLEN_DIGEST) != 1))
                return -EINVAL;
        return X509_sign_ctx(certificate, context) > 0 ? 0 : -EINVAL;
}

/* As text: a libcrypto for 32 bit may have another time_t. */
static bool set_time(ASN1_TIME *slot, time_t when) {
        char text[sizeof("YYYYMMDDhhmmssZ")];
        struct tm tm;

        return gmtime_r(&when, &tm) && strftime(text, sizeof(text), "%Y%m%d%H%M%SZ", &tm) > 0 &&
               ASN1_TIME_set_string_X509(slot, text) == 1;
}

int pki_issue(const struct pki_request *request, const struct pki_pair *issuer, X509 **ret,
              struct error *error) {
        _cleanup_(X509_freep) X509 *certificate = X509_new();
        time_t not_before_sec = request->not_before_sec ? request->not_before_sec : time(NULL);
        time_t not_after_sec = not_before_sec + (time_t)(request->lifetime_usec / USEC_PER_SEC);
        const X509 *parent = issuer ? issuer->certificate : certificate;

        if (!certificate || X509_set_version(certificate, X509_VERSION_3) != 1 ||
            ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate),
                                    request->serial ? request->serial : pki_random_serial()) != 1 ||
            !set_time(X509_getm_notBefore(certificate), not_before_sec) ||
            !set_time(X509_getm_notAfter(certificate), not_after_sec) ||
            X509_set_subject_name(certificate, request->subject) != 1 ||
            X509_set_issuer_name(certificate, issuer ? X509_get_subject_name(parent) : request->subject) !=
                    1 ||
            X509_set_pubkey(certificate, request->key) != 1 ||
            add_extensions(certificate, request, parent) < 0 ||
            sign(certificate, issuer ? issuer->key : request->key, request->like, request->digest) < 0)
                return pki_error(error, "cannot issue a certificate");

        *ret = take_ptr(certificate);
        return 0;
}

void pki_fingerprint(const X509 *certificate, char ret[FINGERPRINT_HEX]) {
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned n = 0;

        if (X509_digest(certificate, EVP_sha256(), digest, &n) != 1)
                n = 0;
        ret[0] = '\0';
        for (unsigned i = 0; i < n; i++)
                sprintf(ret + (size_t)2 * i, "%02x", digest[i]);
}

char *pki_attribute(const X509_NAME *name, int nid) {
        int index = X509_NAME_get_index_by_NID(name, nid, -1);
        unsigned char *utf8 = NULL;
        char *copy;
        int n;

        for (int i = index; nid == NID_commonName && i >= 0; i = X509_NAME_get_index_by_NID(name, nid, i))
                index = i;
        if (index < 0)
                return strdup("");
        n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index)));
        copy = n < 0 ? strdup("") : strndup((char *)utf8, (size_t)n);
        OPENSSL_free(utf8);
        return copy;
}

char *pki_format(const pki_list *list) {
        _cleanup_(BIO_vfreep) BIO *bio = BIO_new(BIO_s_mem());
        char *data;
        long n;

        if (!bio)
                return NULL;
        for (int i = 0; i < sk_X509_num(list); i++)
                if (PEM_write_bio_X509(bio, sk_X509_value(list, i)) != 1)
                        return NULL;
        n = BIO_get_mem_data(bio, &data);
        return n < 0 ? NULL : strndup(data, (size_t)n);
}

int pki_list_add(pki_list *list, X509 *certificate) {
        if (sk_X509_push(list, certificate) <= 0)
                return -ENOMEM;
        X509_up_ref(certificate);
        return 0;
}

static int read_pem(int dir_fd, const char *name, BIO **ret, char **ret_text, struct error *error) {
        size_t size;
        int r;

        r = file_read_at(dir_fd, name, FILE_FOLLOW, PEM_FILE_MAX, ret_text, &size);
        if (r < 0)
                return error_set_errno(error, r, "cannot read %s", name);
        *ret = BIO_new_mem_buf(*ret_text, (int)size);
        return *ret ? 0 : error_set_errno(error, -ENOMEM, "cannot read %s", name);
}

int pki_read_list(int dir_fd, const char *name, pki_list **ret, struct error *error) {
        _cleanup_(pki_list_freep) pki_list *list = sk_X509_new_null();
        _cleanup_(freep) char *text = NULL;
        _cleanup_(BIO_vfreep) BIO *bio = NULL;
        X509 *certificate;
        int r;

        r = read_pem(dir_fd, name, &bio, &text, error);
        if (r < 0)
                return r;
        while (list && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
                if (sk_X509_push(list, certificate) <= 0) {
                        X509_free(certificate);
                        return error_set_errno(error, -ENOMEM, "cannot read %s", name);
                }
        if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
                return pki_error(error, "cannot read %s as PEM certificates", name);
        ERR_clear_error();
        if (sk_X509_num(list) <= 0)
                return error_set(error, -EINVAL, "cannot read %s: it holds no PEM certificate", name);
        *ret = take_ptr(list);
        return 0;
}

int pki_read_pair(int dir_fd, const char *certificate_name, const char *key_name, struct pki_pair *ret,
                  struct error *error) {
        _cleanup_(pki_pair_clear) struct pki_pair pair = { 0 };
        _cleanup_(pki_list_freep) pki_list *list = NULL;
        _cleanup_(freep) char *text = NULL;
        _cleanup_(BIO_vfreep) BIO *bio = NULL;
        int r;

        r = pki_read_list(dir_fd, certificate_name, &list, error);
        if (r < 0)
                return r;
        pair.certificate = sk_X509_shift(list);

        r = read_pem(dir_fd, key_name, &bio, &text, error);
        if (r < 0)
                return r;
        pair.key = PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"");
        if (!pair.key)
                return pki_error(error, "cannot read %s as a PEM private key", key_name);
        if (X509_check_private_key(pair.certificate, pair.key) != 1) {
                ERR_clear_error();
                return error_set(error, -EINVAL, "cannot use %s: it does not belong to %s", key_name,
                                 certificate_name);
        }
        *ret = pair;
        pair = (struct pki_pair) { 0 };
        return 0;
}

int pki_write_list(int dir_fd, const char *name, const pki_list *list, struct error *error) {
        _cleanup_(freep) char *text = pki_format(list);
        int r;

        if (!text)
                return error_set_errno(error, -ENOMEM, "cannot write %s", name);
        r = file_replace_at(dir_fd, name, text, strlen(text), FILE_ACCESS(PEM_FILE_MODE));
        return r < 0 ? error_set_errno(error, r, "cannot write %s", name) : 0;
}

int pki_write_pair(int dir_fd, const char *certificate_name, const char *key_name,
                   const struct pki_pair *pair, struct error *error) {
        _cleanup_(pki_list_freep) pki_list *list = sk_X509_new_null();
        _cleanup_(BIO_vfreep) BIO *bio = BIO_new(BIO_s_mem());
        char *data;
        long n;
        int r;

        if (!list || !bio || pki_list_add(list, pair->certificate) < 0 ||
            PEM_write_bio_PrivateKey(bio, pair->key, NULL, NULL, 0, NULL, NULL) != 1)
                return pki_error(error, "cannot write %s", key_name);
        n = BIO_get_mem_data(bio, &data);

        r = file_replace_at(dir_fd, key_name, data, (size_t)n, FILE_ACCESS(KEY_FILE_MODE));
        if (r < 0)
                return error_set_errno(error, r, "cannot write %s", key_name);
        return pki_write_list(dir_fd, certificate_name, list, error);
}
