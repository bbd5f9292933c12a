#pragma once

/* What the tests of the configuration share: a text that is read, or complained about. */

#include <stdio.h>
#include <string.h>

#include "lib/config/config.h"
#include "tests/test.h"

/* The beginning of many: two connectors, and one certificate to add options to in line 6. */
#define HEAD                                                                     \
        "connectors: {ucl: {enrol_url: https://c/g}, old: {url: https://o/g}}\n" \
        "certificates:\n"                                                        \
        "  a:\n"                                                                 \
        "    connector: ucl\n"                                                   \
        "    directory: /srv/a\n"

/* Every mistake of TEXT, a line each, without the name of the file. */
static inline char *complaints(const char *text) {
        struct config_errors errors = { 0 };
        struct config *config = NULL;
        char *lines = NULL;
        size_t size;
        FILE *out;
        int r;

        r = config_parse("f", text, strlen(text), &config, &errors);
        ck_assert_msg((r == 0) == (errors.n == 0) && (r == 0) == (config != NULL) && (r == 0 || r == -EINVAL),
                      "%d", r);

        out = open_memstream(&lines, &size);
        for (size_t i = 0; i < errors.n; i++)
                fprintf(out, "%s\n",
                        has_prefix(errors.items[i], "f:") ? errors.items[i] + 2 : errors.items[i]);
        fclose(out);
        config_errors_clear(&errors);
        config_free(config);
        return lines;
}

/* The configuration that TEXT, which is right, stands for. */
static inline struct config *parse_good(const char *text) {
        struct config_errors errors = { 0 };
        struct config *config = NULL;

        ck_assert_msg(config_parse("f", text, strlen(text), &config, &errors) == 0, "%s",
                      errors.n > 0 ? errors.items[0] : "no text");
        ck_assert_uint_eq(errors.n, 0);
        return config;
}

/* The file PATH of the source tree's tests/data. */
static inline char *data_path(const char *path) {
        const char *root = getenv("REKEYD_TEST_DATA");
        char *whole;

        ck_assert_int_ge(asprintf(&whole, "%s/config/%s", root ? root : "tests/data", path), 0);
        return whole;
}
