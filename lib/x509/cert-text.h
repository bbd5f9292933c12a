#pragma once

/* Texts that people hand over, for cert-read.c. */

#include <stdbool.h>
#include <stddef.h>

/* What is left to read of a text. START, AT and END are borrowed. */
struct cert_text {
        const char *start, *at, *end;
};

/* The next PEM block of a certificate, with its first and its last line; other blocks are passed over. One
 * that has no last line takes the rest. False when there is none. */
bool cert_text_next(struct cert_text *text, const char **ret_block, size_t *ret_size);

/* How many of the SIZE bytes in a block of LABEL are the certificate: OpenSSL's trust settings may follow. */
long cert_text_der_size(const char *label, const unsigned char *der, long size);
