#pragma once

/* The subject of a certificate as the Connector asks for it and as it comes back. */

#include "lib/util/error.h"

/* An ordered list of attributes, each a short name ("CN", "O", "ST" ...) and a UTF-8 value. */
struct subject;

struct subject *subject_free(struct subject *subject);
DEFINE_CLEANUP(struct subject *, subject_free);

/* Reads "O=Org,OU=OrgUnit,L=locality,ST=province,C=DE,CN=id", the Connector's form: no escaping, so a comma
 * only separates where a known attribute name and '=' follow it; blanks after it are passed over. At most 32
 * attributes and 4 KiB. 0, -EINVAL or -ENOMEM. */
int subject_parse(const char *text, struct subject **ret, struct error *error);

/* The same attributes with the same values, in any order. Case matters, as it does to the Connector. */
bool subject_equal(const struct subject *a, const struct subject *b);

/* Says how B differs from A in a few words, "CN is 'x' instead of 'y'", for error texts. Owned by the caller,
 * NULL when they are equal or memory is out. */
char *subject_difference(const struct subject *asked, const struct subject *got);

/* In the Connector's form; owned by the caller. NULL only when memory is out. */
char *subject_format(const struct subject *subject);

/* One spelling for equal subjects, whatever the order and the encoding of their attributes: in the order of
 * the Connector's form, then by name; what could be read in two ways has a backslash before it. Owned by the
 * caller. NULL only when memory is out. */
char *subject_canonical(const struct subject *subject);

/* The I-th attribute, or false past the end. Strings are borrowed. */
bool subject_get(const struct subject *subject, size_t i, const char **ret_name, const char **ret_value);

/* An empty subject, and one more attribute at its end. 0, -EINVAL for an empty name or value and for control
 * characters or broken UTF-8 in them, -E2BIG past the limits above, -ENOMEM. */
int subject_new(struct subject **ret);
int subject_add(struct subject *subject, const char *name, size_t name_size, const char *value,
                size_t value_size);

/* For csr.c, cert.c and chain.c, which speak to OpenSSL. Attributes of a kind without a short name are named
 * by OID. 0, -EINVAL where one form cannot hold what the other does (C of three letters, an empty value), or
 * -ENOMEM. */
typedef struct X509_name_st X509_NAME;
int subject_from_name(const X509_NAME *name, struct subject **ret, struct error *error);
int subject_to_name(const struct subject *subject, X509_NAME **ret, struct error *error);
