#pragma once

/* Certificates as the text that is published. */

#include "lib/x509/cert.h"

/* The PEM of each certificate of LIST, and nothing else; owned by the caller. 0 or -ENOMEM. */
int cert_list_pem(const struct cert_list *list, char **ret_pem);

/* The same for the certificates that are in the text PEM. 0 or what cert_list_parse() returns. */
int cert_text_rewrite(const char *pem, char **ret_pem, struct error *error);

/* PEM is what cert_list_pem() writes, as far as its lines go: a text that cert_list_parse() takes as well
 * holds certificates and nothing else. */
bool cert_text_is_clean(const char *pem);
