/* What will fail later, found before: each check with a configuration that passes and one that does not. */

#include "lib/report/precheck.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/scratch.h"
#include "tests/test.h"

#define PEM "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"

/* %s is the scratch directory, everywhere. */
#define CONFIG(connector, certificate)                                               \
        "state_directory: %s/state\n"                                                \
        "connectors: {ucl: {enrol_url: 'https://a.example/graphql'" connector "}}\n" \
        "certificates: {orders: {connector: ucl, directory: %s/orders" certificate "}}\n"

static char *expand(const char *format, const char *scratch) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);

        for (const char *hole; (hole = strstr(format, "%s")); format = hole + 2)
                fprintf(out, "%.*s%s", (int)(hole - format), format, scratch);
        fputs(format, out);
        fclose(out);
        return text;
}

static struct config *load(const char *format, const char *scratch) {
        _cleanup_(freep) char *yaml = expand(format, scratch);
        _cleanup_(config_errors_clear) struct config_errors errors = { 0 };
        struct config *config = NULL;

        ck_assert_msg(config_parse("test", yaml, strlen(yaml), &config, &errors) == 0, "%s",
                      errors.n > 0 ? errors.items[0] : "");
        return config;
}

static const struct precheck *find(const struct prechecks *prechecks, enum precheck_kind kind) {
        for (size_t i = 0; i < prechecks->n; i++)
                if (prechecks->items[i].kind == kind)
                        return &prechecks->items[i];
        return NULL;
}

static const struct {
        const char *yaml;
        enum precheck_kind kind;
        const char *problem; /* part of it; NULL: it is all right */
} rows[] = {
        { CONFIG("", ""), PRECHECK_DIRECTORY, NULL },
        { CONFIG("", ""), PRECHECK_SPACE, NULL },
        { CONFIG(", trust: %s/trust.pem", ""), PRECHECK_TRUST, NULL },
        { CONFIG(", trust: %s/none.pem", ""), PRECHECK_TRUST,
          "none.pem: No such file or directory; fix: correct" },
        { CONFIG(", trust: %s/empty", ""), PRECHECK_TRUST, "has no certificate in PEM: it is empty" },
        { CONFIG(", trust: %s/encoded", ""), PRECHECK_TRUST, "it is base64 of PEM" },
        { CONFIG(", trust: %s/marked", ""), PRECHECK_TRUST, NULL },
        { CONFIG(", trust: %s/glued", ""), PRECHECK_TRUST, "on a line of its own" },
        { CONFIG(", trust: %s", ""), PRECHECK_TRUST, "Is a directory" },
        { CONFIG("", ", import: {key: %s/k, certificate: %s/c}"), PRECHECK_IMPORT, "cannot be renewed" },
        { CONFIG(", url: 'https://b.example/graphql'", ", import: {key: %s/k, certificate: %s/c}"),
          PRECHECK_IMPORT, NULL },
        { CONFIG("", ", exports: [{path: %s/a.p12, format: pkcs12, passphrase_file: %s/pass}]"),
          PRECHECK_EXPORT, NULL },
        { CONFIG("", ", exports: [{path: %s/a.p12, format: pkcs12, passphrase_file: %s/none}]"),
          PRECHECK_EXPORT, "cannot read passphrase file" },
        { CONFIG("", ", exports: [{path: %s/a.p12, format: pkcs12, passphrase_file: %s/umlaut}]"),
          PRECHECK_EXPORT, "with which Java cannot open the file" },
        { CONFIG("", ", exports: [{path: %s/none/a.pem}]"), PRECHECK_EXPORT, "there is no directory" },
        { CONFIG("", ", notify: [{command: [/bin/true]}]"), PRECHECK_DEPENDENT, NULL },
        { CONFIG("", ", notify: [{command: [%s/none]}]"), PRECHECK_DEPENDENT, "No such file or directory" },
        { CONFIG("", ", notify: [{command: [%s/empty]}]"), PRECHECK_DEPENDENT, "chmod +x" },
        { CONFIG("", ", notify: [{command: [%s]}]"), PRECHECK_DEPENDENT, "cannot be run" },
};

static void fill(const char *scratch) {
        scratch_write(scratch, "trust.pem", PEM, 0644);
        scratch_write(scratch, "empty", "", 0644);
        scratch_write(scratch, "encoded", "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSURF", 0644);
        scratch_write(scratch, "marked", "\xef\xbb\xbf" PEM, 0644);
        scratch_write(scratch, "glued", "-----BEGIN X-----\nQUI=\n-----END X-----" PEM, 0644);
        scratch_write(scratch, "pass", "correct-horse\n", 0600);
        scratch_write(scratch, "umlaut", "\xc3\xa4\xc3\xb6\n", 0600);
}

START_TEST(each_check_passes_and_fails) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();

        fill(scratch);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(config_freep) struct config *config = load(rows[i].yaml, scratch);
                _cleanup_(prechecks_clear) struct prechecks found = { 0 };
                const struct precheck *check;

                ck_assert_int_eq(precheck_run(config, NULL, PRECHECK_ALL, &found), 0);
                check = find(&found, rows[i].kind);
                ck_assert_msg(check, "row %zu", i);
                ck_assert_msg(check->is_problem == (rows[i].problem != NULL), "row %zu: %s", i, check->text);
                ck_assert_msg(!rows[i].problem || strstr(check->text, rows[i].problem), "row %zu: %s", i,
                              check->text);
                ck_assert_uint_eq(found.n_problems, rows[i].problem != NULL);
                ck_assert_str_eq(check->connector, "ucl");
                ck_assert_int_eq(check->certificate == NULL, rows[i].kind == PRECHECK_TRUST);
        }
        for (enum precheck_kind kind = 0; kind < PRECHECK_MAX; kind++)
                ck_assert_ptr_nonnull(precheck_names[kind]);
}
END_TEST

static void mkdir_in(const char *scratch, const char *name) {
        _cleanup_(freep) char *path = scratch_path(scratch, name);

        ck_assert_int_eq(mkdir(path, 0755), 0);
}

/* Files beside the drop-ins that somebody may take for such. Those of editors and package managers are none.
 */
START_TEST(what_is_not_read_is_said) {
        static const char *const names[] = { "a.json",     "b.conf",          "c",          "d.yaml", "e.YML",
                                             ".f.json",    "g.yaml~",         "h.yaml.bak", "README", "i.md",
                                             "j.dpkg-old", "k.yaml.disabled", "README.json" };
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(freep) char *path = NULL;
        _cleanup_(config_freep) struct config *config = NULL;
        _cleanup_(config_errors_clear) struct config_errors errors = { 0 };
        _cleanup_(prechecks_clear) struct prechecks found = { 0 };

        scratch_write(scratch, "rekeyd.yaml", "{}\n", 0644);
        mkdir_in(scratch, "conf.d");
        mkdir_in(scratch, "conf.d/l.json");
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_(freep) char *name = NULL;

                ck_assert_int_ge(asprintf(&name, "conf.d/%s", names[i]), 0);
                scratch_write(scratch, name, "{}\n", 0644);
        }
        ck_assert_int_ge(asprintf(&path, "%s/rekeyd.yaml", scratch), 0);
        ck_assert_int_eq(config_load(path, &config, &errors), 0);
        ck_assert_uint_eq(config->n_unread, 3);
        ck_assert_int_eq(precheck_run(config, NULL, PRECHECK_QUICK, &found), 0);
        ck_assert_uint_eq(found.n_problems, 3);
        for (size_t i = 0; i < 3; i++) {
                ck_assert_int_eq(found.items[i].kind, PRECHECK_DROP_IN);
                ck_assert_ptr_null(found.items[i].connector);
                ck_assert_ptr_nonnull(strstr(found.items[i].text, names[i]));
                ck_assert_ptr_nonnull(strstr(found.items[i].text, " is not read: "));
        }
}
END_TEST

/* Problems only, and those of the files of certificates are the inspection's. */
START_TEST(the_quick_check_is_quiet) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();

        fill(scratch);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(config_freep) struct config *config = load(rows[i].yaml, scratch);
                _cleanup_(prechecks_clear) struct prechecks found = { 0 };
                const bool is_seen = rows[i].problem && rows[i].kind != PRECHECK_EXPORT;

                ck_assert_int_eq(precheck_run(config, NULL, PRECHECK_QUICK, &found), 0);
                ck_assert_msg(found.n == is_seen, "row %zu: %zu", i, found.n);
        }
}
END_TEST

START_TEST(one_certificate_and_its_connector) {
        static const char yaml[] = "connectors:\n"
                                   "  a: {enrol_url: 'https://a.example/graphql', trust: %s/none}\n"
                                   "  b: {enrol_url: 'https://b.example/graphql', trust: %s/none}\n"
                                   "certificates:\n"
                                   "  one: {connector: a, directory: %s/one}\n"
                                   "  two: {connector: b, directory: %s/two}\n";
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(config_freep) struct config *config = load(yaml, scratch);
        _cleanup_(prechecks_clear) struct prechecks found = { 0 };

        ck_assert_int_eq(precheck_run(config, "three", PRECHECK_ALL, &found), -ENOENT);
        ck_assert_int_eq(precheck_run(config, "two", PRECHECK_ALL, &found), 0);
        ck_assert_uint_gt(found.n, 1);
        for (size_t i = 0; i < found.n; i++) {
                ck_assert_str_eq(found.items[i].connector, "b");
                ck_assert(!found.items[i].certificate || streq(found.items[i].certificate, "two"));
        }
}
END_TEST

/* Another thread may be writing the export: its temporary file is left alone, and a file that is written in
 * place keeps its mode until then. */
START_TEST(nothing_is_changed) {
        static const char yaml[] =
                CONFIG("", ", exports: [{path: %s/a.pem}, {path: %s/b.pem, in_place: true}]");
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(config_freep) struct config *config = NULL;
        _cleanup_(prechecks_clear) struct prechecks found = { 0 };
        _cleanup_(freep) char *before = NULL, *after = NULL, *b = scratch_path(scratch, "b.pem");
        struct stat st;

        scratch_write(scratch, ".a.pem.rekeyd", "half", 0600);
        scratch_write(scratch, "b.pem", "old", 0640);
        before = scratch_list(scratch);
        config = load(yaml, scratch);
        ck_assert_int_eq(precheck_run(config, NULL, PRECHECK_ALL, &found), 0);
        ck_assert_uint_eq(found.n_problems, 0);
        after = scratch_list(scratch);
        ck_assert_str_eq(before, after);
        ck_assert_int_eq(stat(b, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777u, 0640);
}
END_TEST

/* As user 'nobody', in a process of its own: root may do all of it. */
START_TEST(rights_of_the_service) {
        static const char yaml[] = CONFIG(", trust: %s/secret.pem", ", group: daemon");
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(config_freep) struct config *config = NULL;
        _cleanup_(prechecks_clear) struct prechecks found = { 0 };

        if (geteuid() != 0) {
                test_skip("only root can become another user");
                return;
        }
        scratch_write(scratch, "secret.pem", PEM, 0600);
        ck_assert_int_eq(chmod(scratch, 0755), 0);
        config = load(yaml, scratch);
        ck_assert_int_eq(setegid(65534), 0);
        ck_assert_int_eq(seteuid(65534), 0);
        ck_assert_int_eq(precheck_run(config, NULL, PRECHECK_ALL, &found), 0);
        ck_assert_int_eq(seteuid(0), 0);
        ck_assert_int_eq(setegid(0), 0);
        ck_assert_uint_eq(found.n_problems, 3);
        ck_assert_ptr_nonnull(
                strstr(find(&found, PRECHECK_TRUST)->text, "Permission denied, as user 'nobody'"));
        ck_assert_ptr_nonnull(strstr(find(&found, PRECHECK_DIRECTORY)->text, "where it should create"));
        ck_assert_ptr_nonnull(
                strstr(find(&found, PRECHECK_RIGHTS)->text,
                       "not in group daemon, which `group` names; fix: systemctl edit rekeyd, with "
                       "SupplementaryGroups=daemon"));
}
END_TEST

TEST_MAIN("precheck", each_check_passes_and_fails, what_is_not_read_is_said, the_quick_check_is_quiet,
          one_certificate_and_its_connector, nothing_is_changed, rights_of_the_service)
