#pragma once

/* Texts that people hand over as PEM, which they may not be. */

#include <stddef.h>

enum pem_wanted {
        PEM_CERTIFICATE,
        PEM_KEY,
};

/* Why there is not what is WANTED in a text: a clause that says what it is, and the command that converts it.
 * Static. */
const char *pem_text_kind(const char *text, size_t size, enum pem_wanted wanted);

/*
 * Makes *TEXT, of *SIZE bytes and a NUL, the PEM that it was before somebody copied it, where there is no
 * doubt: base64 of PEM, as a Connector's reply has it, or that reply; line breaks written as `\n`, as in
 * JSON, lost, or with an indentation; quotes around it; UTF-16; a certificate or a key in DER, or
 * the base64 of that. Anything
 * else stays as it is. What is replaced is cleansed. 0 or -ENOMEM.
 */
int pem_text_restore(char **text, size_t *size);
