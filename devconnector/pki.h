#pragma once

/* Keys, names and certificates for the CAs of the Connector for development. Weak on purpose (RSA 2048, keys
 * in plain files): nothing that it issues is worth more. */

#include <openssl/x509.h>

#include "lib/util/error.h"
#include "lib/util/time.h"

#define FINGERPRINT_HEX 65 /* SHA-256 in hexadecimal and a NUL */

DEFINE_CLEANUP(X509 *, X509_free);
DEFINE_CLEANUP(X509_NAME *, X509_NAME_free);
DEFINE_CLEANUP(X509_REQ *, X509_REQ_free);
DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free);
DEFINE_CLEANUP(BIO *, BIO_vfree);
DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free);

typedef STACK_OF(X509) pki_list;
static inline void pki_list_free(pki_list *list) {
        sk_X509_pop_free(list, X509_free);
}
DEFINE_CLEANUP(pki_list *, pki_list_free);

/* A certificate and its private key. Both owned. */
struct pki_pair {
        X509 *certificate;
        EVP_PKEY *key;
};
void pki_pair_clear(struct pki_pair *pair);

/* Sets ERROR to WHAT and the newest reason of OpenSSL's error queue, and empties the queue. Returns -EINVAL.
 */
int pki_error(struct error *error, const char *format, ...) _printf_(2, 3);

#define PKI_KEY_BITS 2048u

/* A new RSA key of BITS. */
int pki_generate_key(unsigned bits, EVP_PKEY **ret, struct error *error);

/* How many bytes of TEXT, "O=SAP SE, Walldorf,OU=x", are its first attribute: there is no escaping, so a
 * comma ends it only where the name of another attribute and '=' follow. Pure. */
size_t pki_attribute_size(const char *text);

/* "CN=Kyma" or "O=Org,OU=OrgUnit,C=DE": short attribute names, no escaping. Values have the string types of
 * X.520, and no bounds: Go, in which real Connectors are written, knows none. */
int pki_parse_name(const char *text, X509_NAME **ret, struct error *error);

/* What pki_issue() makes. */
enum pki_usage {
        PKI_CA,     /* may sign certificates */
        PKI_SERVER, /* for the two endpoints; HOSTS become subject alternative names */
        PKI_CLIENT, /* what the Connector issues: digitalSignature, clientAuth, an authority key id, nothing
                       else */
        PKI_CLIENT_NO_AUTH, /* the same for servers: a fault */
};

struct pki_request {
        enum pki_usage usage;
        X509_NAME *subject;       /* borrowed */
        EVP_PKEY *key;            /* what is certified; borrowed */
        uint64_t serial;          /* 0: random */
        time_t not_before_sec;    /* 0: now */
        usec_t lifetime_usec;     /* whole seconds count */
        const X509_ALGOR *like;   /* signature algorithm to inherit; NULL: SHA-256 */
        int digest;               /* NID of one that goes before that; 0: none */
        const char *const *hosts; /* ends with NULL */
};

/* Signs with ISSUER; with NULL the certificate is self-signed by SELF, the private half of request->key. */
int pki_issue(const struct pki_request *request, const struct pki_pair *issuer, X509 **ret,
              struct error *error);

void pki_fingerprint(const X509 *certificate, char ret[FINGERPRINT_HEX]);

/* The value of an attribute of NAME as Go reads it: the last common name, the first of any other kind. Owned
 * by the caller; "" when there is none. NULL: no memory. */
char *pki_attribute(const X509_NAME *name, int nid);

/* All of LIST as PEM, owned by the caller. NULL: no memory. */
char *pki_format(const pki_list *list);

/* Files in the directory of the Connector. Lists have at least one certificate. */
int pki_read_list(int dir_fd, const char *name, pki_list **ret, struct error *error);
int pki_read_pair(int dir_fd, const char *certificate_name, const char *key_name, struct pki_pair *ret,
                  struct error *error);
int pki_write_list(int dir_fd, const char *name, const pki_list *list, struct error *error);
int pki_write_pair(int dir_fd, const char *certificate_name, const char *key_name,
                   const struct pki_pair *pair, struct error *error);

/* Takes another reference on CERTIFICATE into LIST. 0 or -ENOMEM. */
int pki_list_add(pki_list *list, X509 *certificate);

/* 1 to 19 bytes of random serial number would do; this is 8. */
uint64_t pki_random_serial(void);
