#pragma once

/* For cert.c: the short way from DER to a certificate with an RSA key. */

typedef struct x509_st X509;

/* Reads SIZE bytes of DER that are one X.509 certificate, entirely, whose public key is an RSA key
 * (rsaEncryption without parameters, RFC 3279 section 2.3.1). Returns NULL, with an empty error queue, for
 * whatever is not exactly that: d2i_X509() says then what is wrong with it, if anything. */
X509 *rsa_cert_read(const unsigned char *der, long size);
