#pragma once

/* A proxy for CONNECT, which counts. */

#include <openssl/x509.h>

#include "lib/util/macro.h"

struct proxy_server;

struct proxy_server_options {
        /* Head of the answer to each CONNECT, "HTTP/1.1 403 Forbidden\r\n"; NULL: it connects. */
        const char *answer;

        /* An https proxy: its certificate and key; NULL: plain HTTP. */
        X509 *certificate;
        EVP_PKEY *key;
        enum { ASKS_NO_CERTIFICATE, ASKS_CERTIFICATE, REQUIRES_CERTIFICATE } asks;
};

/* On 127.0.0.1, in processes that end with the test. */
struct proxy_server *proxy_server_start(const struct proxy_server_options *options);
struct proxy_server *proxy_server_stop(struct proxy_server *server);
DEFINE_CLEANUP(struct proxy_server *, proxy_server_stop);

unsigned proxy_server_port(const struct proxy_server *server);

/* How often it was to connect somewhere, and how many of its clients showed a certificate. */
unsigned proxy_server_connects(const struct proxy_server *server);
unsigned proxy_server_certificates(const struct proxy_server *server);
