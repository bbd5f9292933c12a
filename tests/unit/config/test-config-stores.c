/* `store` in the configuration: what is refused, and that no Secret is taken twice. */

#include "tests/unit/config/config-text.h"

/* STORE is what stands behind "store:" of a certificate, in line 6 from column 12; MORE follows. */
static char *store_complaints(const char *store, const char *more) {
        _cleanup_(freep) char *text = NULL;

        ck_assert_int_ge(asprintf(&text, HEAD "    store: %s\n%s", store, more), 0);
        return complaints(text);
}

#define LONG63 "a23456789012345678901234567890123456789012345678901234567890123"
#define LONG247                          \
        LONG63 "." LONG63 "." LONG63 "." \
               "a234567890123456789012345678901234567890123456789012345"

#define OTHER "  b:\n    connector: ucl\n    directory: /b\n"

START_TEST(store_mistakes) {
        static const struct {
                const char *store, *more, *errors;
        } rows[] = {
                { "{secret: s/n}", "", "" },
                { "{secret: s/n}", "    exports: [{secret: s/m, layout: tls}]\n", "" },
                { "{secret: s/n}", OTHER "    store: {secret: s/m}\n", "" },
                { "{secret: n}", "", "NAMESPACE/NAME of a Secret" },
                { "{secret: s/N}", "", "NAMESPACE/NAME of a Secret" },
                { "{secret: s/" LONG247 "}", "", "at most 246 characters" },
                { "{}", "", "6:12: 'store' lacks 'secret'" },
                { "s/n", "", "expected a mapping" },
                { "{secret: s/n, lease: x}", "", "unknown option 'lease'" },
                { "{secret: s/n}", OTHER "    store: {secret: s/n}\n",
                  "takes the Secret s/n, which 'store' of" },
                { "{secret: s/n}", OTHER "    store: {secret: s/n-rekeyd}\n", "takes the Secret s/n-rekeyd" },
                { "{secret: s/n}", "    exports: [{secret: s/n, layout: tls}]\n",
                  "'exports' takes the Secret s/n" },
                { "{secret: s/n}", "    exports: [{secret: s/n-rekeyd, layout: tls}]\n",
                  "takes the Secret s/n-rekeyd" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *errors = store_complaints(rows[i].store, rows[i].more);

                ck_assert_msg(*rows[i].errors ? strstr(errors, rows[i].errors) != NULL : !*errors,
                              "row %zu: '%s'", i, errors);
        }
}
END_TEST

TEST_MAIN("config-stores", store_mistakes)
