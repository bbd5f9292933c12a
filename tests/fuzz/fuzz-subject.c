/* The subject that a Connector asks for: what can be read must survive being written, in text and in X.509.
 */

#include <openssl/x509.h>

#include "lib/x509/subject.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(expression)        \
        do {                       \
                if (!(expression)) \
                        abort();   \
        } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(subject_freep) struct subject *subject = NULL, *again = NULL, *back = NULL;
        _cleanup_(freep) char *text = strndup((const char *)data, size), *formatted = NULL,
                              *difference = NULL;
        X509_NAME *name = NULL;

        if (subject_parse(text, &subject, NULL) < 0)
                return 0;
        formatted = subject_format(subject);
        require(subject_parse(formatted, &again, NULL) == 0);
        require(subject_equal(subject, again));
        difference = subject_difference(subject, again);
        require(!difference);

        if (subject_to_name(subject, &name, NULL) == 0) {
                require(subject_from_name(name, &back, NULL) == 0);
                require(subject_equal(subject, back));
                X509_NAME_free(name);
        }
        return 0;
}
