#pragma once

/* A client for tests of devconnector: HTTP by libcurl, keys and CSRs by OpenSSL, nothing of rekeyd. What
 * cannot be made aborts the test. */

#include <curl/curl.h>
#include <jansson.h>
#include <openssl/x509.h>

#include "tests/support/process.h"

/* A running devconnector. */
struct dev {
        char *directory;
        struct process *process;
        char *certificate_url, *token_url, *admin_url, *trust;
};

/* Starts the program that REKEYD_TEST_DEVCONNECTOR names on DIRECTORY, with OPTIONS, which end with NULL. */
struct dev *dev_start(const char *directory, const char *const *options);

/* SIGTERM; anything but exit status 0 aborts the test. Accepts NULL, returns NULL. */
struct dev *dev_stop(struct dev *dev);
DEFINE_CLEANUP(struct dev *, dev_stop);

/* The next event of KIND ("call", "refused", "held"); owned by the caller. */
json_t *dev_event(struct dev *dev, const char *kind);

/* A key and the certificates that the Connector issued for it. */
struct identity {
        EVP_PKEY *key;             /* borrowed */
        char *subject;             /* as `configuration` gave it */
        char *client, *chain, *ca; /* PEM, decoded */
};
void identity_clear(struct identity *identity);

struct response {
        CURLcode code;
        char error[CURL_ERROR_SIZE];
        long status;
        char *headers;
        char *body;
        size_t size;
};
void response_clear(struct response *response);

struct request {
        const char *url; /* NULL: the certificate endpoint with an identity or `certificate`, else the token
                            endpoint */
        const char *method; /* NULL: POST with a body, else GET */
        const char *body;
        const char *content_type; /* NULL: application/json; "": none */
        const char *token;
        const char *const *headers; /* further ones, as "Name: value"; ends with NULL */
        const struct identity *identity;
        bool certificate; /* the certificate endpoint, whatever identity there is */
        bool tls12;
};
struct response dev_request(const struct dev *dev, const struct request *request);

/* A header's value without blanks around it, owned by the caller; NULL when absent. */
char *response_header(const struct response *response, const char *name);

/* A call of the admin listener; anything but 200 aborts the test. BODY may be NULL, METHOD too (GET or POST).
 */
json_t *dev_admin(const struct dev *dev, const char *method, const char *path, const char *body);
void dev_fault(const struct dev *dev, const char *json);
char *dev_token(const struct dev *dev, const char *json);

/* {"query": QUERY, "variables": {"csr": CSR}}, owned by the caller; without variables where CSR is NULL. */
char *query_body(const char *query, const char *csr);

#define QUERY_CONFIGURATION                                                                        \
        "query { result: configuration { token { token } certificateSigningRequestInfo { subject " \
        "keyAlgorithm } "                                                                          \
        "managementPlaneInfo { directorURL certificateSecuredConnectorURL } } }"
#define QUERY_SIGN                                                                                       \
        "mutation($csr: String!) { result: signCertificateSigningRequest(csr: $csr) { certificateChain " \
        "caCertificate clientCertificate } }"
#define QUERY_REVOKE "mutation { result: revokeCertificate }"
#define QUERY_PROBE  "query { __typename }"

/* One call by IDENTITY, or over the token endpoint by TOKEN. */
struct response dev_call(const struct dev *dev, const struct identity *identity, const char *token,
                         const char *query, const char *csr);

/* How a CSR is to be made; zero means as a good client does it. */
struct csr_options {
        const char *subject;
        const char *digest; /* SHA256 */
        bool pss;
        bool subject_alternative_name;
        bool broken_signature;
        const char *label; /* of the PEM */
};
char *csr_pem(EVP_PKEY *key, const struct csr_options *options);

/* Base64 without line breaks, owned by the caller; and back. */
char *base64_of(const void *data, size_t size);
char *base64_text(const char *base64);

/* Enrols CLIENT: token, configuration, CSR, signature. */
struct identity dev_enrol(const struct dev *dev, EVP_PKEY *key, const char *client);

/* Renews over the certificate endpoint, with OLD's subject and KEY. */
struct identity dev_renew(const struct dev *dev, const struct identity *old, EVP_PKEY *key);

/* Takes the certificates from a good reply to a signature. */
struct identity identity_read(const struct response *response, EVP_PKEY *key, const char *subject);

/* The certificates in PEM text. */
STACK_OF(X509) * certificates_of(const char *pem);
