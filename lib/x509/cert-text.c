/*
 * The texts that people hand over: where certificates are in them. Nothing but blocks of certificates is ever
 * decoded.
 */

#include "lib/x509/cert-text.h"

#include <stdio.h>

#include "lib/x509/openssl-util.h"

#define DASHES "-----"
#define BEGIN  DASHES "BEGIN "
#define END    DASHES "END "

static const char *find_text(const char *pem, size_t size, const char *text) {
        return memmem(pem, size, text, strlen(text));
}

static bool ends_with(const char *start, const char *at, const char *text) {
        size_t length = strlen(text);

        return (size_t)(at - start) >= length && memcmp(at - length, text, length) == 0;
}

/* A block begins with its line; or with the text, behind a byte order mark; or behind a block whose last line
 * has no end. */
static bool may_begin(const struct cert_text *text, const char *at) {
        static const char bom[] = "\xef\xbb\xbf";

        return at == text->start || at[-1] == '\n' || at[-1] == '\r' || ends_with(text->start, at, "-----") ||
               ((size_t)(at - text->start) == strlen(bom) && ends_with(text->start, at, bom));
}

/* The label of the block that begins at AT, where it is a certificate's; or NULL. */
static const char *certificate_label(const char *at, const char *end) {
        static const char *const labels[] = { PEM_STRING_X509, PEM_STRING_X509_OLD, PEM_STRING_X509_TRUSTED };

        at += strlen(BEGIN);
        for (size_t i = 0; i < ELEMENTSOF(labels); i++) {
                size_t length = strlen(labels[i]);

                if ((size_t)(end - at) >= length + strlen(DASHES) && memcmp(at, labels[i], length) == 0 &&
                    memcmp(at + length, DASHES, strlen(DASHES)) == 0)
                        return labels[i];
        }
        return NULL;
}

bool cert_text_next(struct cert_text *text, const char **ret_block, size_t *ret_size) {
        const char *begin, *end, *label;
        char last[64];

        while ((begin = find_text(text->at, (size_t)(text->end - text->at), BEGIN))) {
                text->at = begin + strlen(BEGIN);
                label = may_begin(text, begin) ? certificate_label(begin, text->end) : NULL;
                if (!label)
                        continue;
                snprintf(last, sizeof(last), END "%s" DASHES, label);
                end = find_text(text->at, (size_t)(text->end - text->at), last);
                text->at = end ? end + strlen(last) : text->end;
                *ret_block = begin;
                *ret_size = (size_t)(text->at - begin);
                return true;
        }
        return false;
}

long cert_text_der_size(const char *label, const unsigned char *der, long size) {
        const unsigned char *content = der;
        int tag, class;
        long length;

        if (!streq(label, PEM_STRING_X509_TRUSTED))
                return size;
        if (ASN1_get_object(&content, &length, &tag, &class, size) & 0x80) {
                ERR_clear_error();
                return size;
        }
        return content - der + length;
}
