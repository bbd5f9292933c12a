#pragma once

/* X.509 certificates: reading them and their facts. How they fit together is chain.h. */

#include "lib/util/time.h"
#include "lib/x509/key.h"
#include "lib/x509/subject.h"

#define FINGERPRINT_SIZE 32 /* SHA-256 over the DER certificate */
#define FINGERPRINT_HEX  (2 * FINGERPRINT_SIZE + 1)

struct cert;

struct cert *cert_free(struct cert *cert);
DEFINE_CLEANUP(struct cert *, cert_free);

/* Owned array of owned certificates. */
struct cert_list {
        struct cert **items;
        size_t n;
};
void cert_list_clear(struct cert_list *list);

#define CERT_LIST_MAX 10 /* certificates in one PEM text: chains longer than that are refused */
#define CERT_PEM_MAX  (256u * 1024)

/* Reads every CERTIFICATE block of a PEM text, in its order; of a TRUSTED CERTIFICATE, the certificate. Text
 * between blocks and other kinds of blocks are passed over. At least one, at most CERT_LIST_MAX. 0, -EINVAL
 * (nothing readable, bytes after DER, a damaged block, a key past the limits above), -E2BIG, -ENOMEM. */
int cert_list_parse(const char *pem, size_t size, struct cert_list *ret, struct error *error);

/* The same for a trust bundle, which may be longer than any chain. */
#define CERT_BUNDLE_MAX     1000
#define CERT_BUNDLE_PEM_MAX (1024u * 1024)
int cert_bundle_parse(const char *pem, size_t size, struct cert_list *ret, struct error *error);

/* Times on CLOCK_REALTIME, 0 for those before 1970; notAfter "99991231235959Z" (RFC 5280 4.1.2.5: no expiry)
 * is USEC_INFINITY. */
usec_t cert_not_before(const struct cert *cert);
usec_t cert_not_after(const struct cert *cert);

/* basicConstraints CA:TRUE. */
bool cert_is_ca(const struct cert *cert);
bool cert_is_self_signed(const struct cert *cert);

/* extendedKeyUsage has clientAuth, or there is no extendedKeyUsage at all. */
bool cert_allows_client_auth(const struct cert *cert);

void cert_fingerprint(const struct cert *cert, uint8_t ret[FINGERPRINT_SIZE]);
void cert_spki(const struct cert *cert, uint8_t ret[SPKI_HASH_SIZE]);
int cert_subject(const struct cert *cert, struct subject **ret, struct error *error);

/* "rsa-4096", "ec-256", "ed25519"; "unknown" for a key that OpenSSL does not know. Returns BUFFER. */
#define CERT_KEY_TEXT 24
const char *cert_key_text(const struct cert *cert, char buffer[CERT_KEY_TEXT]);

/* The serial number in lower-case hexadecimal, "02"; owned by the caller, NULL when memory is out. */
char *cert_serial_text(const struct cert *cert);

/* The same certificate, byte for byte. */
bool cert_equal(const struct cert *a, const struct cert *b);

/* Subject and issuer for error texts, "(unreadable)" where there is no text; owned by the caller, NULL when
 * memory is out. */
char *cert_subject_text(const struct cert *cert);
char *cert_issuer_text(const struct cert *cert);

/* CHILD carries ISSUER's signature: issuer name, key identifier and key usage agree and the signature
 * verifies. Whether ISSUER is a CA is cert_is_ca(). */
bool cert_is_issued_by(const struct cert *child, const struct cert *issuer);

/* SIZE bytes as lower-case hexadecimal into BUFFER (2 * SIZE + 1). Returns BUFFER. */
const char *hex_format(char *buffer, const uint8_t *bytes, size_t size);

/* For chain.c: the OpenSSL handle, borrowed; and a new reference to the same certificate. */
typedef struct x509_st X509;
X509 *cert_handle(const struct cert *cert);
struct cert *cert_ref(const struct cert *cert);

/* For cert-read.c, which finds them out. HANDLE is taken over, also where there is no memory (NULL). */
struct cert_facts {
        X509 *handle;
        usec_t not_before;
        usec_t not_after;
        uint8_t fingerprint[FINGERPRINT_SIZE];
        uint8_t spki[SPKI_HASH_SIZE];
        bool ca;
        bool self_signed;
        bool client_auth;
};
struct cert *cert_new(const struct cert_facts *facts);
