/*
 * Subjects: lists of attributes, compared as sets because a Connector may sort them again when it issues.
 *
 * The text form is the Connector's and has no escaping: what it calls an organisation may hold a comma, as in
 * "O=SAP SE, Walldorf,OU=x". So a comma separates only where the name of a known attribute and '=' follow it,
 * and the table below decides what is known. What a value begins or ends with is part of the value: the
 * Connector compares byte by byte. Control characters and broken UTF-8 are refused at the entrance, wherever
 * a subject comes from, so that every subject can be printed as it is.
 */

#include "lib/x509/subject.h"

#include <openssl/objects.h>
#include <openssl/x509.h>
#include <stdio.h>

#include "lib/util/parse.h"
#include "lib/util/quote.h"
#include "lib/util/utf8.h"
#include "lib/x509/openssl-util.h"

#define SUBJECT_ATTRIBUTES_MAX 32
#define SUBJECT_TEXT_MAX       (4u * 1024)

struct attribute {
        char *name;
        char *value;
};

struct subject {
        struct attribute attributes[SUBJECT_ATTRIBUTES_MAX];
        size_t n;
        size_t size; /* of all names and values, with '=' and ',' */
};

/* Names on the left are accepted, those on the right are kept: OpenSSL's short names. */
static const struct {
        const char *name;
        const char *short_name;
} known_attributes[] = {
        { "C", "C" },
        { "CN", "CN" },
        { "DC", "DC" },
        { "E", "emailAddress" },
        { "GN", "GN" },
        { "L", "L" },
        { "O", "O" },
        { "OU", "OU" },
        { "POSTALCODE", "postalCode" },
        { "SERIALNUMBER", "serialNumber" },
        { "SN", "SN" },
        { "ST", "ST" },
        { "STREET", "street" },
        { "UID", "UID" },
        { "dnQualifier", "dnQualifier" },
        { "emailAddress", "emailAddress" },
        { "postalCode", "postalCode" },
        { "serialNumber", "serialNumber" },
        { "street", "street" },
        { "title", "title" },
};

struct subject *subject_free(struct subject *subject) {
        if (!subject)
                return NULL;
        for (size_t i = 0; i < subject->n; i++) {
                free(subject->attributes[i].name);
                free(subject->attributes[i].value);
        }
        free(subject);
        return NULL;
}

int subject_new(struct subject **ret) {
        struct subject *subject = calloc(1, sizeof(*subject));

        if (!subject)
                return -ENOMEM;
        *ret = subject;
        return 0;
}

static bool is_printable(const char *s, size_t size) {
        while (size > 0) {
                size_t n = utf8_size(s, size);

                if (n == 0 || utf8_is_control(s))
                        return false;
                s += n;
                size -= n;
        }
        return true;
}

int subject_add(struct subject *subject, const char *name, size_t name_size, const char *value,
                size_t value_size) {
        _cleanup_(freep) char *own_name = NULL, *own_value = NULL;
        size_t size;

        if (name_size == 0 || value_size == 0 || !is_printable(name, name_size) ||
            !is_printable(value, value_size))
                return -EINVAL;
        if (name_size > SUBJECT_TEXT_MAX || value_size > SUBJECT_TEXT_MAX)
                return -E2BIG;
        size = subject->size + name_size + value_size + 2;
        if (subject->n == SUBJECT_ATTRIBUTES_MAX || size > SUBJECT_TEXT_MAX)
                return -E2BIG;

        own_name = strndup(name, name_size);
        own_value = strndup(value, value_size);
        if (!own_name || !own_value)
                return -ENOMEM;
        subject->attributes[subject->n].name = take_ptr(own_name);
        subject->attributes[subject->n].value = take_ptr(own_value);
        subject->n++;
        subject->size = size;
        return 0;
}

bool subject_get(const struct subject *subject, size_t i, const char **ret_name, const char **ret_value) {
        if (i >= subject->n)
                return false;
        *ret_name = subject->attributes[i].name;
        *ret_value = subject->attributes[i].value;
        return true;
}

/* The short name of the known attribute whose "NAME=" TEXT begins with, and where its value begins; or NULL.
 */
static const char *attribute_at(const char *text, const char **ret_value) {
        size_t size = strcspn(text, "=");

        if (text[size] != '=')
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(known_attributes); i++)
                if (strlen(known_attributes[i].name) == size &&
                    memcmp(known_attributes[i].name, text, size) == 0) {
                        *ret_value = text + size + 1;
                        return known_attributes[i].short_name;
                }
        return NULL;
}

/* The comma that ends the value at TEXT, or the end of the text. */
static const char *value_end(const char *text) {
        const char *value;

        for (const char *comma = strchr(text, ','); comma; comma = strchr(comma + 1, ','))
                if (attribute_at(comma + 1 + strspn(comma + 1, " "), &value))
                        return comma;
        return text + strlen(text);
}

static int not_an_attribute(const char *text, struct error *error) {
        const char *names[ELEMENTSOF(known_attributes) + 1] = { NULL };
        _cleanup_(freep) char *word = strndup(text, strcspn(text, "=,"));
        const char *nearest;

        if (!word)
                return error_set_errno(error, -ENOMEM, "cannot read the subject");
        for (size_t i = 0; i < ELEMENTSOF(known_attributes); i++)
                names[i] = known_attributes[i].name;
        nearest = text[strlen(word)] == '=' ? nearest_word(word, names) : NULL;
        if (nearest)
                return error_set(error, -EINVAL,
                                 "the subject begins with the unknown attribute '%s': did you mean '%s'?",
                                 quoted(word), nearest);
        return error_set(
                error, -EINVAL,
                "the subject '%s' does not begin with a known attribute: the form is 'O=Org,C=DE,CN=id'",
                quoted(text));
}

int subject_parse(const char *text, struct subject **ret, struct error *error) {
        _cleanup_(subject_freep) struct subject *subject = NULL;
        size_t size = strnlen(text, SUBJECT_TEXT_MAX + 1);
        int r;

        if (size > SUBJECT_TEXT_MAX)
                return error_set(error, -EINVAL, "the subject is longer than %u KiB",
                                 SUBJECT_TEXT_MAX / 1024);
        if (!is_printable(text, size))
                return error_set(error, -EINVAL, "the subject has control characters or is not UTF-8");
        if (strspn(text, " ") == size)
                return error_set(error, -EINVAL, "the subject is empty");

        r = subject_new(&subject);
        if (r < 0)
                return error_set_errno(error, r, "cannot read the subject");

        for (;;) {
                const char *name, *value, *end;

                text += strspn(text, " ");
                name = attribute_at(text, &value);
                if (!name) /* only the first can be: value_end() stops where one begins */
                        return not_an_attribute(text, error);
                end = value_end(value);
                if (end == value)
                        return error_set(error, -EINVAL, "the subject's attribute %s has no value", name);

                r = subject_add(subject, name, strlen(name), value, (size_t)(end - value));
                if (r == -E2BIG)
                        return error_set(error, -EINVAL, "the subject is larger than %u attributes or %u KiB",
                                         SUBJECT_ATTRIBUTES_MAX, SUBJECT_TEXT_MAX / 1024);
                if (r < 0)
                        return error_set_errno(error, r, "cannot read the subject's attribute %s", name);
                if (*end == '\0')
                        break;
                text = end + 1;
        }

        *ret = take_ptr(subject);
        return 0;
}

static bool attribute_equal(const struct attribute *a, const struct attribute *b) {
        return streq(a->name, b->name) && streq(a->value, b->value);
}

/* Pairs equal attributes off, each once. Bit I of *RET_A tells that A's I-th has found its like, and so for
 * B. */
static void subject_pair(const struct subject *a, const struct subject *b, uint32_t *ret_a, uint32_t *ret_b) {
        uint32_t paired_a = 0, paired_b = 0;

        for (size_t i = 0; i < a->n; i++)
                for (size_t k = 0; k < b->n; k++)
                        if (!(paired_b & UINT32_C(1) << k) &&
                            attribute_equal(&a->attributes[i], &b->attributes[k])) {
                                paired_a |= UINT32_C(1) << i;
                                paired_b |= UINT32_C(1) << k;
                                break;
                        }
        *ret_a = paired_a;
        *ret_b = paired_b;
}

/* The first attribute that has no pair and, unless it is NULL, the name NAME. */
static const struct attribute *first_unpaired(const struct subject *subject, uint32_t paired,
                                              const char *name) {
        for (size_t i = 0; i < subject->n; i++)
                if (!(paired & UINT32_C(1) << i) && (!name || streq(subject->attributes[i].name, name)))
                        return &subject->attributes[i];
        return NULL;
}

bool subject_equal(const struct subject *a, const struct subject *b) {
        uint32_t paired_a, paired_b;

        subject_pair(a, b, &paired_a, &paired_b);
        return !first_unpaired(a, paired_a, NULL) && !first_unpaired(b, paired_b, NULL);
}

char *subject_difference(const struct subject *asked, const struct subject *got) {
        const struct attribute *wanted, *came;
        uint32_t paired_asked, paired_got;
        char *text = NULL;
        int n = -1;

        subject_pair(asked, got, &paired_asked, &paired_got);
        wanted = first_unpaired(asked, paired_asked, NULL);
        came = first_unpaired(got, paired_got, wanted ? wanted->name : NULL);

        if (wanted && came)
                n = asprintf(&text, "%s is '%s' instead of '%s'", wanted->name, quoted(came->value),
                             quoted(wanted->value));
        else if (wanted)
                n = asprintf(&text, "%s is missing instead of being '%s'", wanted->name,
                             quoted(wanted->value));
        else if (came)
                n = asprintf(&text, "%s is '%s', which was not requested", came->name, quoted(came->value));
        return n < 0 ? NULL : text;
}

char *subject_format(const struct subject *subject) {
        char *text = malloc(subject->size + 1), *end = text;

        if (!text)
                return NULL;
        *text = '\0';
        for (size_t i = 0; i < subject->n; i++) {
                if (i > 0)
                        *end++ = ',';
                end = stpcpy(end, subject->attributes[i].name);
                *end++ = '=';
                end = stpcpy(end, subject->attributes[i].value);
        }
        return text;
}

/* --- One spelling --- */

/* Where an attribute stands in the Connector's form; all others come after it. */
static size_t attribute_rank(const char *name) {
        static const char *const order[] = { "O", "OU", "L", "ST", "C", "CN" };
        size_t i = 0;

        while (i < ELEMENTSOF(order) && !streq(order[i], name))
                i++;
        return i;
}

static int attribute_compare(const void *a, const void *b) {
        const struct attribute *first = a, *second = b;
        size_t rank = attribute_rank(first->name), other = attribute_rank(second->name);
        int r;

        if (rank != other)
                return rank < other ? -1 : 1;
        r = strcmp(first->name, second->name);
        return r != 0 ? r : strcmp(first->value, second->value);
}

/* A comma that would end the value: an attribute seems to follow. */
static bool is_separator(const char *text) {
        size_t size;

        if (*text != ',')
                return false;
        text += 1 + strspn(text + 1, " ");
        size = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.");
        return size > 0 && text[size] == '=';
}

static char *put_escaped(char *end, const char *value) {
        for (; *value; value++) {
                if (*value == '\\' || is_separator(value))
                        *end++ = '\\';
                *end++ = *value;
        }
        return end;
}

char *subject_canonical(const struct subject *subject) {
        struct attribute sorted[SUBJECT_ATTRIBUTES_MAX]; /* borrowed */
        char *text = malloc(2 * subject->size + 1), *end = text;

        if (!text)
                return NULL;
        memcpy(sorted, subject->attributes, subject->n * sizeof(*sorted));
        qsort(sorted, subject->n, sizeof(*sorted), attribute_compare);
        for (size_t i = 0; i < subject->n; i++) {
                if (i > 0)
                        *end++ = ',';
                end = stpcpy(end, sorted[i].name);
                *end++ = '=';
                end = put_escaped(end, sorted[i].value);
        }
        *end = '\0';
        return text;
}

/* --- OpenSSL --- */

/* The attribute's short name, or its OID in digits where OpenSSL knows none. */
static int entry_name(const X509_NAME_ENTRY *entry, char *buffer, size_t size) {
        const ASN1_OBJECT *object = X509_NAME_ENTRY_get_object(entry);
        int nid = OBJ_obj2nid(object), n;

        if (nid != NID_undef)
                n = snprintf(buffer, size, "%s", OBJ_nid2sn(nid));
        else
                n = OBJ_obj2txt(buffer, (int)size, object, 1);
        return n > 0 && (size_t)n < size ? 0 : -EINVAL;
}

static int subject_add_entry(struct subject *subject, const X509_NAME_ENTRY *entry, struct error *error) {
        unsigned char *value = NULL;
        char name[80];
        int size, r;

        if (entry_name(entry, name, sizeof(name)) < 0) {
                ERR_clear_error();
                return error_set(error, -EINVAL, "the subject has an attribute of an unreadable kind");
        }
        size = ASN1_STRING_to_UTF8(&value, X509_NAME_ENTRY_get_data(entry));
        if (size < 0)
                return openssl_error(error, -EINVAL, "the subject's attribute %s is not text", name);
        r = subject_add(subject, name, strlen(name), (const char *)value, (size_t)size);
        OPENSSL_free(value);

        if (r == -EINVAL)
                return error_set(error, r, "the subject's attribute %s is empty or has control characters",
                                 name);
        if (r == -E2BIG)
                return error_set(error, -EINVAL, "the subject is larger than %u attributes or %u KiB",
                                 SUBJECT_ATTRIBUTES_MAX, SUBJECT_TEXT_MAX / 1024);
        if (r < 0)
                return error_set_errno(error, r, "cannot read the subject's attribute %s", name);
        return 0;
}

int subject_from_name(const X509_NAME *name, struct subject **ret, struct error *error) {
        _cleanup_(subject_freep) struct subject *subject = NULL;
        int r;

        r = subject_new(&subject);
        if (r < 0)
                return error_set_errno(error, r, "cannot read the subject");
        for (int i = 0; i < X509_NAME_entry_count(name); i++) {
                r = subject_add_entry(subject, X509_NAME_get_entry(name, i), error);
                if (r < 0)
                        return r;
        }
        *ret = take_ptr(subject);
        return 0;
}

static bool is_country(const char *value) {
        const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

        return strlen(value) == 2 && strspn(value, letters) == 2;
}

/* OpenSSL picks the string type by attribute: PrintableString for C, UTF8String for O. It also has the bounds
 * of X.520, 64 characters for CN, O and OU. Connectors do not: what they issue beyond them must be renewed.
 */
static bool add_entry(X509_NAME *name, const struct attribute *attribute) {
        const int nid = OBJ_txt2nid(attribute->name);
        const ASN1_STRING_TABLE *rule = ASN1_STRING_TABLE_get(nid);
        const unsigned long mask = rule ? rule->mask : B_ASN1_UTF8STRING;
        ASN1_STRING *value = NULL;
        bool is_added;

        if (nid == NID_undef ||
            ASN1_mbstring_copy(
                    &value, (const unsigned char *)attribute->value, -1, MBSTRING_UTF8,
                    rule && rule->flags & STABLE_NO_MASK ? mask : mask & ASN1_STRING_get_default_mask()) < 0)
                return false;
        is_added =
                X509_NAME_add_entry_by_NID(name, nid, ASN1_STRING_type(value), ASN1_STRING_get0_data(value),
                                           ASN1_STRING_length(value), -1, 0) == 1;
        ASN1_STRING_free(value);
        return is_added;
}

int subject_to_name(const struct subject *subject, X509_NAME **ret, struct error *error) {
        _cleanup_(X509_NAME_freep) X509_NAME *name = X509_NAME_new();

        if (!name)
                return error_set_errno(error, -ENOMEM, "cannot encode the subject");
        for (size_t i = 0; i < subject->n; i++) {
                const struct attribute *attribute = &subject->attributes[i];

                if (streq(attribute->name, "C") && !is_country(attribute->value))
                        return error_set(error, -EINVAL,
                                         "the subject's C is '%s': a country is two letters, as in C=DE",
                                         quoted(attribute->value));
                if (!add_entry(name, attribute))
                        return openssl_error(error, -EINVAL, "X.509 cannot hold the subject's %s '%s'",
                                             attribute->name, quoted(attribute->value));
        }
        *ret = take_ptr(name);
        return 0;
}
