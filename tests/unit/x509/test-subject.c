#include <openssl/x509.h>

#include "lib/x509/subject.h"
#include "tests/test.h"

static struct subject *parsed(const char *text) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct subject *subject;

        ck_assert_msg(subject_parse(text, &subject, &error) == 0, "'%s': %s", text, error_text(&error));
        return subject;
}

START_TEST(test_parse_refuses) {
        static const struct {
                const char *text;
                const char *error;
        } cases[] = {
                { "", "the subject is empty" },
                { "   ", "the subject is empty" },
                { "O", "does not begin with a known attribute" },
                { "/O=Org/CN=id", "does not begin with a known attribute" },
                { ",O=Org", "does not begin with a known attribute" },
                { "=Org", "does not begin with a known attribute" },
                { "Ou=Org", "unknown attribute 'Ou': did you mean 'OU'?" },
                { "organization=Org", "does not begin with a known attribute" },
                { "O=", "attribute O has no value" },
                { "O=Org,OU=,CN=id", "attribute OU has no value" },
                { "O=Org,CN=", "attribute CN has no value" },
                { "O=Org\n,CN=id", "control characters" },
                { "O=Org\x7f,CN=id", "control characters" },
                { "O=\xc2\x85,CN=id", "control characters" },
                { "O=\xff,CN=id", "not UTF-8" },
                { "O=\xc3", "not UTF-8" },
                { "O=\xc0\xaf", "not UTF-8" },
                { "O=\xed\xa0\x80", "not UTF-8" },
                { "O=\xf4\x90\x80\x80", "not UTF-8" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                struct subject *subject = NULL;

                ck_assert_msg(subject_parse(cases[i].text, &subject, &error) == -EINVAL, "'%s'",
                              cases[i].text);
                ck_assert_ptr_null(subject);
                ck_assert_msg(strstr(error_text(&error), cases[i].error), "'%s': %s", cases[i].text,
                              error_text(&error));
                ck_assert_int_eq(subject_parse(cases[i].text, &subject, NULL), -EINVAL);
        }
}
END_TEST

START_TEST(test_parse_limits) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(subject_freep) struct subject *widest = NULL;
        struct subject *subject = NULL;
        char text[8192], *end = text;
        const char *name, *value;

        for (size_t i = 0; i < 32; i++)
                end += sprintf(end, "%sOU=x", i > 0 ? "," : "");
        widest = parsed(text);
        ck_assert(subject_get(widest, 31, &name, &value));
        ck_assert(!subject_get(widest, 32, &name, &value));
        sprintf(end, ",OU=x");
        ck_assert_int_eq(subject_parse(text, &subject, &error), -EINVAL);
        ck_assert_ptr_nonnull(strstr(error_text(&error), "larger than 32 attributes"));

        memset(text, 'x', sizeof(text));
        memcpy(text, "O=", 2);
        text[4097] = '\0';
        ck_assert_int_eq(subject_parse(text, &subject, &error), -EINVAL);
        ck_assert_ptr_nonnull(strstr(error_text(&error), "longer than 4 KiB"));
        ck_assert_ptr_null(subject);
        text[4090] = '\0';
        subject = parsed(text);
        subject_free(subject);
}
END_TEST

START_TEST(test_add_refuses) {
        _cleanup_(subject_freep) struct subject *subject = NULL;
        char big[5000];

        ck_assert_int_eq(subject_new(&subject), 0);
        memset(big, 'x', sizeof(big));
        ck_assert_int_eq(subject_add(subject, "", 0, "x", 1), -EINVAL);
        ck_assert_int_eq(subject_add(subject, "O", 1, "", 0), -EINVAL);
        ck_assert_int_eq(subject_add(subject, "O", 1, "a\0b", 3), -EINVAL);
        ck_assert_int_eq(subject_add(subject, "O", 1, big, sizeof(big)), -E2BIG);
        ck_assert_int_eq(subject_add(subject, "O", 1, big, 4000), 0);
        ck_assert_int_eq(subject_add(subject, "O", 1, big, 200), -E2BIG);
        for (size_t i = 1; i < 32; i++)
                ck_assert_int_eq(subject_add(subject, "L", 1, "x", 1), i <= 23 ? 0 : -E2BIG);
}
END_TEST

START_TEST(test_parse_reads) {
        static const struct {
                const char *text;
                const char *attributes; /* joined by '|' */
        } cases[] = {
                { "CN=id", "CN=id" },
                { "O=Org,OU=OrgUnit,L=locality,ST=province,C=DE,CN=7defcb65",
                  "O=Org|OU=OrgUnit|L=locality|ST=province|C=DE|CN=7defcb65" },
                { "O=SAP SE, Walldorf,OU=x", "O=SAP SE, Walldorf|OU=x" },
                { "O=Org, OU=x,  CN=y", "O=Org|OU=x|CN=y" },
                { "  O=Org", "O=Org" },
                { "O=a=b,CN==", "O=a=b|CN==" },
                { "O=a,XX=b,CN=c", "O=a,XX=b|CN=c" },
                { "O=a,,CN=c", "O=a,|CN=c" },
                { "O=a,cn=c", "O=a,cn=c" },
                { "O=a,", "O=a," },
                { "O= a ,CN=c", "O= a |CN=c" },
                { "OU=a,OU=b", "OU=a|OU=b" },
                { "CN=*Runtime*", "CN=*Runtime*" },
                { "O=Bäckerei Müller,CN=日本🔑", "O=Bäckerei Müller|CN=日本🔑" },
                { "STREET=Main,street=Main,SERIALNUMBER=4,E=a@b,DC=x",
                  "street=Main|street=Main|serialNumber=4|emailAddress=a@b|DC=x" },
                { "O=/C=DE,CN=c", "O=/C=DE|CN=c" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(subject_freep) struct subject *subject = parsed(cases[i].text), *again = NULL;
                _cleanup_(freep) char *text = subject_format(subject);
                const char *name, *value;
                char joined[512] = "";

                for (size_t k = 0; subject_get(subject, k, &name, &value); k++)
                        sprintf(joined + strlen(joined), "%s%s=%s", k > 0 ? "|" : "", name, value);
                ck_assert_str_eq(joined, cases[i].attributes);

                again = parsed(text);
                ck_assert(subject_equal(subject, again));
        }
}
END_TEST

START_TEST(test_format_is_the_connectors_form) {
        static const char text[] = "O=SAP SE, Walldorf,OU=OrgUnit,L=locality,ST=province,C=DE,CN=7defcb65";
        _cleanup_(subject_freep) struct subject *subject = parsed(text);
        _cleanup_(freep) char *formatted = subject_format(subject);

        ck_assert_str_eq(formatted, text);
}
END_TEST

START_TEST(test_difference) {
        static const struct {
                const char *asked;
                const char *got;
                const char *difference; /* NULL: equal */
        } cases[] = {
                { "O=a,CN=y", "O=a,CN=x", "CN is 'x' instead of 'y'" },
                { "O=a,CN=y", "CN=y,O=A", "O is 'A' instead of 'a'" },
                { "O=a,OU=b,CN=y", "CN=y,O=a", "OU is missing instead of being 'b'" },
                { "O=a,CN=y", "CN=y,O=a,OU=b", "OU is 'b', which was not requested" },
                { "O=a,O=a", "O=a,O=b", "O is 'b' instead of 'a'" },
                { "O=a,O=b", "O=a,O=a", "O is 'a' instead of 'b'" },
                { "O=a", "O=a,O=a", "O is 'a', which was not requested" },
                { "O=a", "O=a ", "O is 'a ' instead of 'a'" },
                { "O=a,CN=y", "O=a,CN=y", NULL },
                { "O=a,CN=y", "CN=y,O=a", NULL },
                { "OU=a,OU=b", "OU=b,OU=a", NULL },
                { "STREET=Main", "street=Main", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(subject_freep) struct subject *asked = parsed(cases[i].asked);
                _cleanup_(subject_freep) struct subject *got = parsed(cases[i].got);
                _cleanup_(freep) char *difference = subject_difference(asked, got);

                ck_assert_pstr_eq(difference, cases[i].difference);
                ck_assert_int_eq(subject_equal(asked, got), !cases[i].difference);
                ck_assert_int_eq(subject_equal(got, asked), !cases[i].difference);
        }
}
END_TEST

START_TEST(test_name_refuses) {
        static const struct {
                const char *text;
                const char *error;
        } cases[] = {
                { "C=DEU,CN=x", "C is 'DEU': a country is two letters" },
                { "C=D,CN=x", "a country is two letters" },
                { "C=D1,CN=x", "a country is two letters" },
                { "C=Ä,CN=x", "a country is two letters" },
                { "serialNumber=ü", "X.509 cannot hold the subject's serialNumber" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(subject_freep) struct subject *subject = parsed(cases[i].text);
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                X509_NAME *name = NULL;

                ck_assert_int_eq(subject_to_name(subject, &name, &error), -EINVAL);
                ck_assert_ptr_null(name);
                ck_assert_msg(strstr(error_text(&error), cases[i].error), "%s", error_text(&error));
        }
}
END_TEST

START_TEST(test_name_refuses_what_cannot_be_printed) {
        static const struct {
                int type;
                const char *value;
                int size;
                const char *error;
        } cases[] = {
                { V_ASN1_UTF8STRING, "", 0, "attribute CN is empty or has control characters" },
                { V_ASN1_UTF8STRING, "a\nb", 3, "control characters" },
                { V_ASN1_UTF8STRING, "a\0b", 3, "control characters" },
                { V_ASN1_UTF8STRING, "\xff\xff", 2, "attribute CN is not text" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                X509_NAME *name = X509_NAME_new();
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                struct subject *subject = NULL;

                ck_assert_int_eq(X509_NAME_add_entry_by_txt(name, "CN", cases[i].type,
                                                            (const unsigned char *)cases[i].value,
                                                            cases[i].size, -1, 0),
                                 1);
                ck_assert_int_eq(subject_from_name(name, &subject, &error), -EINVAL);
                ck_assert_ptr_null(subject);
                ck_assert_msg(strstr(error_text(&error), cases[i].error), "%zu: %s", i, error_text(&error));
                X509_NAME_free(name);
        }
}
END_TEST

START_TEST(test_name_and_back) {
        static const char text[] =
                "O=Bäckerei, Müller,OU=a,OU=b,street=Main,C=DE,serialNumber=42,emailAddress=a@b.c,CN=日本";
        _cleanup_(subject_freep) struct subject *subject = parsed(text), *back = NULL;
        const ASN1_STRING *country;
        X509_NAME *name = NULL;

        ck_assert_int_eq(subject_to_name(subject, &name, NULL), 0);
        ck_assert_int_eq(X509_NAME_entry_count(name), 8);
        country = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, 4));
        ck_assert_int_eq(ASN1_STRING_type(country), V_ASN1_PRINTABLESTRING);
        ck_assert_int_eq(ASN1_STRING_type(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, 0))),
                         V_ASN1_UTF8STRING);

        ck_assert_int_eq(subject_from_name(name, &back, NULL), 0);
        ck_assert(subject_equal(subject, back));
        X509_NAME_free(name);
}
END_TEST

START_TEST(test_unknown_kinds_are_named_by_oid) {
        _cleanup_(subject_freep) struct subject *subject = NULL;
        _cleanup_(freep) char *text = NULL;
        X509_NAME *name = X509_NAME_new();

        ck_assert_int_eq(X509_NAME_add_entry_by_txt(name, "1.2.3.4.5", V_ASN1_UTF8STRING,
                                                    (const unsigned char *)"x", 1, -1, 0),
                         1);
        ck_assert_int_eq(subject_from_name(name, &subject, NULL), 0);
        text = subject_format(subject);
        ck_assert_str_eq(text, "1.2.3.4.5=x");
        X509_NAME_free(name);
}
END_TEST

/* One spelling for what is equal, and no other subject has it. */
START_TEST(equal_subjects_have_one_spelling) {
        static const struct {
                const char *text, *canonical;
        } rows[] = {
                { "CN=id,C=DE,ST=province,L=locality,OU=Unit,O=Org",
                  "O=Org,OU=Unit,L=locality,ST=province,C=DE,CN=id" },
                { "O=Org, OU=Unit, L=locality, ST=province, C=DE, CN=id",
                  "O=Org,OU=Unit,L=locality,ST=province,C=DE,CN=id" },
                { "OU=b,OU=a,CN=id", "OU=a,OU=b,CN=id" },
                { "E=a@example.com,CN=id", "CN=id,emailAddress=a@example.com" },
                { "UID=1,CN=id,DC=x", "CN=id,DC=x,UID=1" },
                { "O=SAP SE, Walldorf,CN=id", "O=SAP SE, Walldorf,CN=id" },
                { "O=a\\b,CN=id", "O=a\\\\b,CN=id" },
                { "O=a,1.2.3=b,CN=id", "O=a\\,1.2.3=b,CN=id" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(subject_freep) struct subject *subject = NULL;
                _cleanup_(freep) char *canonical = NULL;

                ck_assert_int_eq(subject_parse(rows[i].text, &subject, NULL), 0);
                canonical = subject_canonical(subject);
                ck_assert_str_eq(canonical, rows[i].canonical);
        }
}
END_TEST

static char *canonical_of(X509_NAME *name) {
        _cleanup_(subject_freep) struct subject *subject = NULL;

        ck_assert_int_eq(subject_from_name(name, &subject, NULL), 0);
        return subject_canonical(subject);
}

/* In which string type, order and sets a certificate has its attributes makes no difference. */
START_TEST(an_encoding_is_no_subject) {
        static const int types[] = { V_ASN1_PRINTABLESTRING, V_ASN1_UTF8STRING, V_ASN1_T61STRING,
                                     V_ASN1_BMPSTRING };
        const unsigned char *narrow = (const unsigned char *)"id", *wide = (const unsigned char *)"\0i\0d";

        for (size_t i = 0; i < ELEMENTSOF(types); i++)
                for (int set = -1; set <= 0; set++) { /* an attribute set of its own, or the first one's */
                        X509_NAME *name = X509_NAME_new();
                        bool is_wide = types[i] == V_ASN1_BMPSTRING;
                        _cleanup_(freep) char *canonical = NULL;

                        ck_assert_int_eq(X509_NAME_add_entry_by_txt(name, "CN", types[i],
                                                                    is_wide ? wide : narrow, is_wide ? 4 : 2,
                                                                    -1, 0),
                                         1);
                        ck_assert_int_eq(X509_NAME_add_entry_by_txt(name, "O", V_ASN1_UTF8STRING,
                                                                    (const unsigned char *)"Org", 3, -1, set),
                                         1);
                        canonical = canonical_of(name);
                        ck_assert_str_eq(canonical, "O=Org,CN=id");
                        X509_NAME_free(name);
                }
}
END_TEST

TEST_MAIN("subject", test_parse_refuses, test_parse_limits, test_add_refuses, test_parse_reads,
          test_format_is_the_connectors_form, test_difference, test_name_refuses,
          test_name_refuses_what_cannot_be_printed, test_name_and_back, test_unknown_kinds_are_named_by_oid,
          equal_subjects_have_one_spelling, an_encoding_is_no_subject)
