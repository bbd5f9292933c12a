/*
 * A client that knows the Connector's protocol only from its transcripts, and shares no code with the two
 * programs that speak it.
 */

#include "devconnector/testing/client.h"

#include <check.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <strings.h>

#include "lib/util/json.h"
#include "lib/util/text-stream.h"

#define ARGUMENTS_MAX 32

static char *text_of(const json_t *object, const char *name) {
        const char *text = json_string_value(json_object_get(object, name));

        ck_assert_msg(text != NULL, "no \"%s\"", name);
        return strdup(text);
}

struct dev *dev_start(const char *directory, const char *const *options) {
        const char *argv[ARGUMENTS_MAX] = { getenv("REKEYD_TEST_DEVCONNECTOR"), "--directory", directory };
        struct dev *dev = calloc(1, sizeof(*dev));
        _cleanup_(json_decrefp) json_t *ready = NULL;
        size_t n = 3;

        ck_assert_msg(argv[0] != NULL, "REKEYD_TEST_DEVCONNECTOR must name the program");
        for (; options && *options; options++)
                argv[n++] = *options;
        dev->directory = strdup(directory);
        dev->process = process_start(argv, true);
        ready = dev_event(dev, "ready");
        dev->certificate_url = text_of(ready, "certificate_url");
        dev->token_url = text_of(ready, "token_url");
        dev->admin_url = text_of(ready, "admin_url");
        dev->trust = text_of(ready, "trust");
        return dev;
}

struct dev *dev_stop(struct dev *dev) {
        int status;

        if (!dev)
                return NULL;
        process_signal(dev->process, SIGTERM);
        status = process_wait(dev->process);
        ck_assert_msg(status == 0, "devconnector ends with status %d: %s", status,
                      process_output(dev->process, PROCESS_STDERR));
        process_free(dev->process);
        free(dev->directory);
        free(dev->certificate_url);
        free(dev->token_url);
        free(dev->admin_url);
        free(dev->trust);
        free(dev);
        return NULL;
}

json_t *dev_event(struct dev *dev, const char *kind) {
        char wanted[64];
        _cleanup_(freep) char *line = NULL;
        json_t *event;

        snprintf(wanted, sizeof(wanted), "{\"event\":\"%s\"", kind);
        line = process_await(dev->process, PROCESS_STDOUT, wanted);
        ck_assert_msg(line != NULL, "no event \"%s\"", kind);
        event = json_loads(line, 0, NULL);
        ck_assert_msg(event != NULL, "not JSON: %s", line);
        return event;
}

void identity_clear(struct identity *identity) {
        free(identity->subject);
        free(identity->client);
        free(identity->chain);
        free(identity->ca);
        *identity = (struct identity) { 0 };
}

void response_clear(struct response *response) {
        free(response->headers);
        free(response->body);
        *response = (struct response) { 0 };
}

static char *key_pem(EVP_PKEY *key) {
        BIO *bio = BIO_new(BIO_s_mem());
        char *data, *copy;
        long n;

        ck_assert_int_eq(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
        n = BIO_get_mem_data(bio, &data);
        copy = strndup(data, (size_t)n);
        BIO_free(bio);
        return copy;
}

static size_t collect(char *data, size_t size, size_t n, void *userdata) {
        FILE *out = userdata;

        return fwrite(data, size, n, out);
}

static void set_identity(CURL *curl, const struct identity *identity) {
        _cleanup_(freep) char *key = key_pem(identity->key);
        struct curl_blob certificate = { identity->chain, strlen(identity->chain), CURL_BLOB_COPY };
        struct curl_blob key_blob = { key, strlen(key), CURL_BLOB_COPY };

        curl_easy_setopt(curl, CURLOPT_SSLCERT_BLOB, &certificate);
        curl_easy_setopt(curl, CURLOPT_SSLKEY_BLOB, &key_blob);
}

static struct curl_slist *headers_of(const struct request *request) {
        struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
        char line[256];

        if (request->content_type && !*request->content_type)
                headers = curl_slist_append(headers, "Content-Type:");
        else {
                snprintf(line, sizeof(line), "Content-Type: %s",
                         request->content_type ? request->content_type : "application/json");
                headers = curl_slist_append(headers, line);
        }
        if (request->token) {
                snprintf(line, sizeof(line), "Connector-Token: %s", request->token);
                headers = curl_slist_append(headers, line);
        }
        for (const char *const *header = request->headers; header && *header; header++)
                headers = curl_slist_append(headers, *header);
        return headers;
}

struct response dev_request(const struct dev *dev, const struct request *request) {
        struct response response = { 0 };
        struct curl_slist *headers = headers_of(request);
        bool certificate = request->identity || request->certificate;
        size_t headers_size = 0;
        FILE *body_out = text_stream_open(&response.body, &response.size);
        FILE *headers_out = text_stream_open(&response.headers, &headers_size);
        CURL *curl = curl_easy_init();

        ck_assert(curl && body_out && headers_out);
        curl_easy_setopt(curl, CURLOPT_URL,
                         request->url  ? request->url
                         : certificate ? dev->certificate_url
                                       : dev->token_url);
        curl_easy_setopt(curl, CURLOPT_CAINFO, dev->trust);
        curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, response.error);
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)(patience_usec() / USEC_PER_SEC));
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, body_out);
        curl_easy_setopt(curl, CURLOPT_HEADERDATA, headers_out);
        if (request->body) {
                curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(request->body));
                curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
        }
        if (request->method)
                curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
        if (request->identity)
                set_identity(curl, request->identity);
        if (request->tls12)
                curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_MAX_TLSv1_2);

        response.code = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response.status);
        curl_easy_cleanup(curl);
        curl_slist_free_all(headers);
        fclose(body_out);
        fclose(headers_out);
        return response;
}

char *response_header(const struct response *response, const char *name) {
        size_t length = strlen(name);

        for (const char *line = response->headers; line && *line; line = strchr(line, '\n')) {
                line += *line == '\n';
                if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
                        line += length + 1;
                        line += strspn(line, " ");
                        return strndup(line, strcspn(line, "\r\n"));
                }
        }
        return NULL;
}

json_t *dev_admin(const struct dev *dev, const char *method, const char *path, const char *body) {
        _cleanup_(freep) char *url = NULL;
        _cleanup_(response_clear) struct response response = { 0 };
        json_t *json;

        if (asprintf(&url, "%s%s", dev->admin_url, path) < 0)
                abort();
        response = dev_request(dev, &(struct request) { .url = url, .method = method, .body = body });
        ck_assert_msg(response.status == 200, "%s: %ld %s", path, response.status, response.body);
        json = json_loads(response.body, 0, NULL);
        ck_assert_msg(json != NULL, "%s: %s", path, response.body);
        return json;
}

void dev_fault(const struct dev *dev, const char *json) {
        json_decref(dev_admin(dev, NULL, "/faults", json));
}

char *dev_token(const struct dev *dev, const char *json) {
        _cleanup_(json_decrefp) json_t *reply = dev_admin(dev, "POST", "/tokens", json);

        return text_of(reply, "token");
}

char *query_body(const char *query, const char *csr) {
        _cleanup_(json_decrefp) json_t *request = json_pack("{s:s}", "query", query);

        if (csr)
                json_object_set_new(request, "variables", json_pack("{s:s}", "csr", csr));
        return json_format(request, JSON_COMPACT);
}

struct response dev_call(const struct dev *dev, const struct identity *identity, const char *token,
                         const char *query, const char *csr) {
        _cleanup_(freep) char *body = query_body(query, csr);

        return dev_request(dev, &(struct request) { .body = body, .token = token, .identity = identity });
}

static X509_NAME *name_of(const char *text) {
        X509_NAME *name = X509_NAME_new();
        _cleanup_(freep) char *copy = strdup(text);
        char *rest = copy, *item;

        while ((item = strsep(&rest, ","))) {
                char *value = strchr(item, '=');

                if (!value)
                        continue;
                *value++ = '\0';
                ck_assert_int_eq(X509_NAME_add_entry_by_txt(name, item, MBSTRING_UTF8, (unsigned char *)value,
                                                            -1, -1, 0),
                                 1);
        }
        return name;
}

static void add_alternative_name(X509_REQ *csr) {
        STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();

        sk_X509_EXTENSION_push(extensions,
                               X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:example.com"));
        ck_assert_int_eq(X509_REQ_add_extensions(csr, extensions), 1);
        sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
}

static void sign_csr(X509_REQ *csr, EVP_PKEY *key, const struct csr_options *options) {
        EVP_MD_CTX *context = EVP_MD_CTX_new();
        EVP_PKEY_CTX *key_context;
        const EVP_MD *digest = EVP_get_digestbyname(options->digest ? options->digest : "SHA256");

        if (EVP_PKEY_is_a(key, "ED25519"))
                digest = NULL;
        ck_assert_int_eq(EVP_DigestSignInit(context, &key_context, digest, NULL, key), 1);
        if (options->pss) {
                EVP_PKEY_CTX_set_rsa_padding(key_context, RSA_PKCS1_PSS_PADDING);
                EVP_PKEY_CTX_set_rsa_pss_saltlen(key_context, RSA_PSS_SALTLEN_DIGEST);
        }
        ck_assert_int_gt(X509_REQ_sign_ctx(csr, context), 0);
        EVP_MD_CTX_free(context);
}

char *csr_pem(EVP_PKEY *key, const struct csr_options *options) {
        X509_REQ *csr = X509_REQ_new();
        X509_NAME *name = name_of(options->subject);
        BIO *bio = BIO_new(BIO_s_mem());
        unsigned char *der = NULL;
        char *data, *copy;
        int der_size;
        long n;

        ck_assert_int_eq(X509_REQ_set_subject_name(csr, name), 1);
        ck_assert_int_eq(X509_REQ_set_pubkey(csr, key), 1);
        if (options->subject_alternative_name)
                add_alternative_name(csr);
        sign_csr(csr, key, options);
        der_size = i2d_X509_REQ(csr, &der);
        ck_assert_int_gt(der_size, 0);
        if (options->broken_signature)
                der[der_size - 1] ^= 1;
        PEM_write_bio(bio, options->label ? options->label : "CERTIFICATE REQUEST", "", der, der_size);
        n = BIO_get_mem_data(bio, &data);
        copy = strndup(data, (size_t)n);
        OPENSSL_free(der);
        BIO_free(bio);
        X509_NAME_free(name);
        X509_REQ_free(csr);
        return copy;
}

char *base64_of(const void *data, size_t size) {
        char *text = malloc((size + 2) / 3 * 4 + 1);

        EVP_EncodeBlock((unsigned char *)text, data, (int)size);
        return text;
}

char *base64_text(const char *base64) {
        size_t size = strlen(base64);
        char *text = calloc(1, size + 1);

        ck_assert_int_ge(EVP_DecodeBlock((unsigned char *)text, (const unsigned char *)base64, (int)size), 0);
        return text;
}

struct identity identity_read(const struct response *response, EVP_PKEY *key, const char *subject) {
        _cleanup_(json_decrefp) json_t *reply = json_loads(response->body, 0, NULL);
        const char *chain, *ca, *client;

        ck_assert_msg(json_unpack(reply, "{s:{s:{s:s,s:s,s:s}}}", "data", "result", "certificateChain",
                                  &chain, "caCertificate", &ca, "clientCertificate", &client) == 0,
                      "no certificates: %s %ld %.500s", response->error, response->status, response->body);
        return (struct identity) {
                .key = key,
                .subject = strdup(subject),
                .client = base64_text(client),
                .chain = base64_text(chain),
                .ca = base64_text(ca),
        };
}

struct identity dev_enrol(const struct dev *dev, EVP_PKEY *key, const char *client) {
        _cleanup_(freep) char *wanted = NULL, *token = NULL, *pem = NULL, *csr = NULL;
        _cleanup_(response_clear) struct response configuration = { 0 }, signature = { 0 };
        _cleanup_(json_decrefp) json_t *reply = NULL;
        const char *second, *subject;

        if (asprintf(&wanted, "{\"client\":\"%s\"}", client) < 0)
                abort();
        token = dev_token(dev, wanted);
        configuration = dev_call(dev, NULL, token, QUERY_CONFIGURATION, NULL);
        reply = json_loads(configuration.body, 0, NULL);
        ck_assert_msg(json_unpack(reply, "{s:{s:{s:{s:s},s:{s:s}}}}", "data", "result", "token", "token",
                                  &second, "certificateSigningRequestInfo", "subject", &subject) == 0,
                      "no configuration: %s %ld %s", configuration.error, configuration.status,
                      configuration.body);

        pem = csr_pem(key, &(struct csr_options) { .subject = subject });
        csr = base64_of(pem, strlen(pem));
        signature = dev_call(dev, NULL, second, QUERY_SIGN, csr);
        return identity_read(&signature, key, subject);
}

struct identity dev_renew(const struct dev *dev, const struct identity *old, EVP_PKEY *key) {
        _cleanup_(freep) char *pem = csr_pem(key, &(struct csr_options) { .subject = old->subject });
        _cleanup_(freep) char *csr = base64_of(pem, strlen(pem));
        _cleanup_(response_clear) struct response signature = dev_call(dev, old, NULL, QUERY_SIGN, csr);

        return identity_read(&signature, key, old->subject);
}

STACK_OF(X509) * certificates_of(const char *pem) {
        STACK_OF(X509) *list = sk_X509_new_null();
        BIO *bio = BIO_new_mem_buf(pem, -1);
        X509 *certificate;

        while ((certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
                sk_X509_push(list, certificate);
        BIO_free(bio);
        return list;
}
