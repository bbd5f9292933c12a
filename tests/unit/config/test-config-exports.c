/* Exports in the configuration: what is refused in an entry, and which paths none of them may have. */

#include "lib/util/time.h"
#include "tests/unit/config/config-text.h"

/* EXPORTS is what stands behind "exports:" of a certificate, in line 6 from column 14. */
static char *export_complaints(const char *exports) {
        _cleanup_(freep) char *text = NULL;

        ck_assert_int_ge(asprintf(&text, HEAD "    exports: %s\n", exports), 0);
        return complaints(text);
}

START_TEST(export_mistakes) {
        static const struct {
                const char *exports, *errors;
        } rows[] = {
                { "{path: /e}", "6:14: 'exports': expected a list, found a mapping\n" },
                { "[/e]", "6:15: 'exports': expected a mapping, found a single value\n" },
                { "[{}]",
                  "6:15: the export lacks 'path', the file to write, or 'secret', the Secret to write\n" },
                { "[{path: e}]", "6:22: 'path' must be an absolute path, one that begins with '/'\n" },
                { "[{path: /}]", "6:22: 'path' must be the path of a file, without '/' at its end\n" },
                { "[{path: /e/}]", "6:22: 'path' must be the path of a file, without '/' at its end\n" },
                { "[{path: /x/../e}]", "6:22: 'path' must be written without '.' and '..' in the path\n" },
                { "[{path: /x/.}]", "6:22: 'path' must be written without '.' and '..' in the path\n" },
                { "[{path: \"/e\\n\"}]", "6:22: 'path' must be a path without control characters\n" },
                { "[{path: /e, passphrase: secret}]",
                  "6:26: unknown option 'passphrase'; did you mean 'passphrase_file'?\n" },
                { "[{path: /e, contnets: [key]}]",
                  "6:26: unknown option 'contnets'; did you mean 'contents'?\n" },

                { "[{secret: shop}]", "6:24: 'secret' must be NAMESPACE/NAME of a Secret, such as "
                                      "shop/orders-tls, not 'shop'\n" },
                { "[{secret: a/b, layout: nginx}]",
                  "6:37: 'layout' must be tls, kyma or istio-ca, not 'nginx'\n" },
                { "[{secret: a/b}]", "6:24: 'secret' needs 'layout': tls, kyma or istio-ca\n" },
                { "[{path: /e, layout: tls}]", "6:34: 'layout' is for a Secret: set 'secret' as well\n" },
                { "[{secret: a/b, layout: tls, mode: 0600}]",
                  "6:48: 'mode' is for a file, and 'secret' names a Secret; remove it\n" },
                { "[{secret: a/b, layout: tls, path: /e}]",
                  "6:48: 'path' is for a file, and 'secret' names a Secret; remove it\n" },
                { "[{secret: a/b, layout: tls}, {secret: a/b, layout: istio-ca}]",
                  "6:52: 'secret' is the same as that of another export, of certificate 'a' (line 6); give "
                  "each "
                  "export a Secret of its own\n" },
                { "[{secret: a/b, layout: tls}, {secret: a/c, layout: tls}, {path: /a/b}]", "" },

                { "[{path: /e, format: jks}]", "6:34: 'format' must be pem, der or pkcs12, not 'jks'\n" },
                { "[{path: /e, contents: key}]",
                  "6:36: 'contents': expected a list, found a single value\n" },
                { "[{path: /e, contents: []}]",
                  "6:36: 'contents' has 0 entries; it needs at least one, and 4 are the most\n" },
                { "[{path: /e, contents: [key, leaf, chain, ca, key]}]",
                  "6:36: 'contents' has 5 entries; it needs at least one, and 4 are the most\n" },
                { "[{path: /e, contents: [key, [leaf]]}]",
                  "6:42: 'contents': expected a single value, found a list\n" },
                { "[{path: /e, contents: [key, ~]}]",
                  "6:42: 'contents' has no value; set one, or remove the line\n" },
                { "[{path: /e, contents: [certificate, laef]}]",
                  "6:37: 'contents' must be a list of key, leaf, chain or ca, without 'certificate'\n"
                  "6:50: 'contents' must be a list of key, leaf, chain or ca, without 'laef'\n" },
                { "[{path: /e, contents: [leaf, chain, leaf]}]",
                  "6:36: 'contents' must not name leaf twice\n" },
                { "[{path: /e, legacy: 1}]", "6:34: 'legacy' must be true or false, not '1'\n" },
                { "[{path: /e, in_place: maybe}]", "6:36: 'in_place' must be true or false, not 'maybe'\n" },

                /* What der cannot hold: the error is at the option, or at the entry when it is absent. */
                { "[{path: /e, format: der, contents: [key, leaf]}]",
                  "6:49: 'contents' must be [key] or [leaf] with format der, which has one part\n" },
                { "[{path: /e, contents: [chain], format: der}]",
                  "6:36: 'contents' must be [key] or [leaf] with format der, which has one part\n" },
                { "[{path: /e, format: der}]",
                  "6:15: 'contents' must be [key] or [leaf] with format der, which has one part\n" },

                /* What is for pkcs12 only, and what that needs. */
                { "[{path: /e, format: pkcs12}]",
                  "6:15: 'passphrase_file' is missing: format pkcs12 requires a passphrase\n" },
                { "[{path: /e, format: pkcs12, passphrase_file: /p, contents: [leaf, chain]}]",
                  "6:73: 'contents' must have both key and leaf with format pkcs12; for a part of them, use "
                  "format pem\n" },
                { "[{path: /e, passphrase_file: /p}]",
                  "6:43: 'passphrase_file' is for format pkcs12 only, not for pem\n" },
                { "[{path: /e, friendly_name: x}]",
                  "6:41: 'friendly_name' is for format pkcs12 only, not for pem\n" },
                { "[{path: /e, format: pkcs12, passphrase_file: /p, friendly_name: \"a\xf0\x9f\x98\x80\"}]",
                  "6:78: 'friendly_name' must be of characters up to U+FFFF: PKCS#12 has no others, such as "
                  "emoji\n" },
                { "[{path: /e, format: der, contents: [key], legacy: true}]",
                  "6:64: 'legacy' is for format pkcs12 only, not for der\n" },
                /* A passphrase where its file belongs does not end up in a log. */
                { "[{path: /e, format: pkcs12, passphrase_file: hunter2}]",
                  "6:59: 'passphrase_file' must be an absolute path, one that begins with '/'\n" },

                { "[{path: /e, mode: 0644}]", "6:32: 'mode' must not give other users access to the key, "
                                              "such as 0640, not 0644; use 'group' for readers\n" },
                { "[{path: /e, contents: [leaf, key], mode: 0602}]",
                  "6:55: 'mode' must not give other users access to the key, such as 0640, not 0602; use "
                  "'group' for readers\n" },
                { "[{path: /e, mode: 0700}]",
                  "6:32: 'mode' must be without execute and special bits, such as 0640, not 0700\n" },
                { "[{path: /e, contents: [leaf], mode: 0044}]",
                  "6:50: 'mode' must let the owner read, such as 0600, not 0044\n" },
                { "[{path: /e, mode: 0}]", "6:32: 'mode' must let the owner read, such as 0600, not 0000\n" },
                { "[{path: /e, mode: rw}]",
                  "6:32: 'mode' must be an octal file mode such as 0600 or 0640, not 'rw'\n" },
                { "[{path: /e, owner: no-such-user, group: no-such-group}]",
                  "6:33: 'owner' names the user 'no-such-user', which this machine does not know; create it, "
                  "or "
                  "correct the name\n"
                  "6:54: 'group' names the group 'no-such-group', which this machine does not know; create "
                  "it, "
                  "or correct the name\n" },

                /* What could not be read is not judged by what stands in for it. */
                { "[{path: /e, format: pkcs21, passphrase_file: /p, friendly_name: x}]",
                  "6:34: 'format' must be pem, der or pkcs12, not 'pkcs21'\n" },
                { "[{path: /e, format: der, contents: [laef]}]",
                  "6:50: 'contents' must be a list of key, leaf, chain or ca, without 'laef'\n" },
                { "[{path: /e, format: der, contents: [key, laef]}]",
                  "6:55: 'contents' must be a list of key, leaf, chain or ca, without 'laef'\n" },
                { "[{path: /e, format: pkcs12, passphrase_file: /p, contents: [key, laef]}]",
                  "6:79: 'contents' must be a list of key, leaf, chain or ca, without 'laef'\n" },
                { "[{format: pkcs12}]",
                  "6:15: the export lacks 'path', the file to write, or 'secret', the Secret to write\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *found = export_complaints(rows[i].exports);

                ck_assert_msg(streq(found, rows[i].errors), "for:\n%s\nexpected:\n%sfound:\n%s",
                              rows[i].exports, rows[i].errors, found);
        }
}
END_TEST

START_TEST(too_many_exports) {
        for (int n = 100; n <= 101; n++) {
                _cleanup_(freep) char *text = NULL, *found = NULL;
                size_t size;
                FILE *out = open_memstream(&text, &size);

                fprintf(out, "[");
                for (int i = 0; i < n; i++)
                        fprintf(out, "{path: /e%d}, ", i);
                fprintf(out, "]");
                fclose(out);
                found = export_complaints(text);
                ck_assert_str_eq(found, n == 100 ? "" : "6:5: 'exports' has 101 entries; 100 are the most\n");
        }
}
END_TEST

#define OTHERS                                                                                        \
        "state_directory: /var/lib/rekeyd\n"                                                          \
        "connectors: {ucl: {enrol_url: https://c/g, trust: /trust.pem}}\n"                            \
        "certificates:\n"                                                                             \
        "  a:\n"                                                                                      \
        "    connector: ucl\n"                                                                        \
        "    directory: /srv/a\n"                                                                     \
        "    token_file: /token\n"                                                                    \
        "    import: {key: /in.key, certificate: /in.crt, ca: /in.ca}\n"                              \
        "    exports: [{path: /out.pem}, {path: /p12, format: pkcs12, passphrase_file: /p12.pass}]\n" \
        "    notify: [{signal: HUP, pid_file: /run/x.pid}]\n"                                         \
        "  b: {connector: ucl, directory: /srv/b}\n"

/* Exports against all other paths: each of these is the one export of certificate c, in line 12. */
START_TEST(export_paths) {
#define INSIDE(name, line)                                                                                \
        "'path' is inside the directory of certificate '" name "' (line " line "), which holds rekeyd's " \
        "own files and nothing else; choose a path outside\n"
#define TAKEN(option, owner, line)                                                                    \
        "12:59: 'path' is a file that '" option "' of " owner " (line " line ") names, and would be " \
        "overwritten; give the export a file of its own\n"
        static const struct {
                const char *path, *errors;
        } rows[] = {
                { "/srv/c",
                  "12:59: 'path' is the directory of certificate 'c' (line 12), which holds rekeyd's "
                  "own files and nothing else; choose a path outside\n" },
                { "/srv/c/tls.pem", "12:59: " INSIDE("c", "12") },
                { "/srv//a/x/tls.pem", "12:59: " INSIDE("a", "4") },
                { "/srv/b/tls.crt", "12:59: " INSIDE("b", "11") },
                { "/var/lib/rekeyd", "12:59: 'path' is 'state_directory', which holds rekeyd's own files; "
                                     "choose a path outside, "
                                     "or in a directory of its own below it\n" },
                { "/var/lib/rekeyd/c.pem",
                  "12:59: 'path' is inside 'state_directory', which holds rekeyd's own files; choose a path "
                  "outside, or in a directory of its own below it\n" },
                { "/var/lib/rekeyd/exports/c.pem", "" },
                { "/out.pem", "12:59: 'path' is the same as that of another export, of certificate 'a' (line "
                              "9); give each export a file of its own\n" },
                { "//p12",
                  "12:59: 'path' is the same as that of another export, of certificate 'a' (line 9); "
                  "give each export a file of its own\n" },
                { "/token", TAKEN("token_file", "certificate 'a'", "4") },
                { "/in.key", TAKEN("import", "certificate 'a'", "4") },
                { "/in.crt", TAKEN("import", "certificate 'a'", "4") },
                { "/in.ca", TAKEN("import", "certificate 'a'", "4") },
                { "/p12.pass", TAKEN("passphrase_file", "certificate 'a'", "4") },
                { "/run/x.pid", TAKEN("pid_file", "certificate 'a'", "4") },
                { "/trust.pem", TAKEN("trust", "connector 'ucl'", "2") },
                /* Only alike. */
                { "/srv/c.pem", "" },
                { "/srv/a-b", "" },
                { "/srv/ab/tls.pem", "" },
                { "/var/lib/rekeyd.pem", "" },
                { "/out.pem2", "" },
                { "/out", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *text = NULL, *found = NULL;

                ck_assert_int_ge(asprintf(&text,
                                          OTHERS
                                          "  c: {connector: ucl, directory: /srv/c, exports: [{path: %s}]}\n",
                                          rows[i].path),
                                 0);
                found = complaints(text);
                ck_assert_msg(streq(found, rows[i].errors), "for:\n%s\nexpected:\n%sfound:\n%s", rows[i].path,
                              rows[i].errors, found);
        }
}
END_TEST

START_TEST(exports_of_one_certificate) {
        static const struct {
                const char *exports, *errors;
        } rows[] = {
                { "[{path: /e}, {path: //e}]", "6:34: 'path' is the same as that of another export, of "
                                               "certificate 'a' (line 6); give each "
                                               "export a file of its own\n" },
                { "[{path: /e, format: pkcs12, passphrase_file: /e}]",
                  "6:22: 'path' is a file that 'passphrase_file' of certificate 'a' (line 3) names, and "
                  "would "
                  "be overwritten; give the export a file of its own\n" },
                /* An entry that is none does not shift the places of the others. */
                { "[x, {path: /e}, [], {path: /e}]",
                  "6:15: 'exports': expected a mapping, found a single value\n"
                  "6:30: 'exports': expected a mapping, found a list\n"
                  "6:41: 'path' is the same as that of another export, of certificate 'a' (line 6); give "
                  "each "
                  "export a file of its own\n" },
                /* An error about an alias points to what it stands for. */
                { "[&e {path: /e}, *e]", "6:25: 'path' is the same as that of another export, of certificate "
                                         "'a' (line 6); give each "
                                         "export a file of its own\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(freep) char *found = export_complaints(rows[i].exports);

                ck_assert_msg(streq(found, rows[i].errors), "for:\n%s\nexpected:\n%sfound:\n%s",
                              rows[i].exports, rows[i].errors, found);
        }
}
END_TEST

/* What is written in full may be several times what was read, and must still be small enough to be read. */
START_TEST(ten_thousand_with_exports) {
        enum { N = 10000 };
        _cleanup_(config_freep) struct config *config = NULL, *again = NULL;
        _cleanup_(freep) char *text = NULL, *yaml = NULL;
        struct config_errors errors = { 0 };
        usec_t begin, equal_usec;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        fprintf(out, "connectors: {ucl: {enrol_url: https://c/g}}\ncertificates:\n");
        for (int i = 0; i < N; i++)
                fprintf(out,
                        "  certificate-%05d:\n"
                        "    connector: ucl\n"
                        "    directory: /var/lib/rekeyd/certs/certificate-%05d\n"
                        "    token_file: /run/credentials/rekeyd.service/certificate-%05d.token\n"
                        "    exports:\n"
                        "      - {path: /srv/exports/%05d.pem, contents: [key, leaf, chain, ca]}\n"
                        "      - {path: /srv/exports/%05d.p12, format: pkcs12, passphrase_file: /etc/pass}\n"
                        "    notify:\n"
                        "      - command: [/usr/libexec/reload-what-uses-it, now]\n",
                        i, i, i, i, i);
        fclose(out);
        ck_assert_int_eq(config_parse("f", text, size, &config, &errors), 0);
        ck_assert_int_eq(config_format(config, &yaml), 0);
        ck_assert_int_eq(config_parse("f", yaml, strlen(yaml), &again, &errors), 0);
        ck_assert_uint_eq(again->n_certificates, N);

        begin = now_usec(CLOCK_MONOTONIC);
        for (size_t i = 0; i < N; i++)
                ck_assert(config_certificate_equal(&config->certificates[i], &again->certificates[i]));
        equal_usec = now_usec(CLOCK_MONOTONIC) - begin;
        test_report("%d certificates with two exports each: %zu KiB, %zu KiB in full; compared in %" PRIu64
                    " ms",
                    N, size / 1024, strlen(yaml) / 1024, equal_usec / 1000);
}
END_TEST

TEST_MAIN("config-exports", export_mistakes, too_many_exports, export_paths, exports_of_one_certificate,
          ten_thousand_with_exports)
