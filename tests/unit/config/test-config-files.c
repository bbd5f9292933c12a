/* The configuration as files: which are refused, what drop-ins may do; and the examples that come with
 * rekeyd. */

#include "lib/config/config.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/config/yaml-table.h"
#include "tests/unit/config/config-text.h"

static void check_documented(const struct yaml_table *table, const char *text) {
        for (size_t i = 0; i < table->n_options; i++) {
                const struct yaml_option *option = &table->options[i];

                ck_assert_ptr_nonnull(option->type);
                ck_assert_msg(!strempty(option->help), "%s/%s has no help", table->name, option->key);
                ck_assert_msg(option->max == 0 || option->min <= option->max, "%s", option->key);
                ck_assert_msg(!option->required || !option->default_text, "%s", option->key);
                for (size_t k = i + 1; k < table->n_options; k++)
                        ck_assert_msg(!streq(option->key, table->options[k].key), "%s is there twice",
                                      option->key);
                ck_assert_msg(strstr(text, option->key) != NULL, "the example says nothing about %s",
                              option->key);
                if (option->table)
                        check_documented(option->table, text);
        }
}

START_TEST(example) {
        _cleanup_(config_freep) struct config *config = NULL;
        _cleanup_(freep) char *path = data_path("../../../conf/rekeyd.yaml"), *text = NULL;
        struct config_errors errors = { 0 };

        ck_assert_int_eq(file_read_at(AT_FDCWD, path, FILE_FOLLOW, CONFIG_SIZE_MAX, &text, NULL), 0);
        ck_assert_msg(config_load(path, &config, &errors) == 0, "%s",
                      errors.n > 0 ? errors.items[0] : "no text");
        check_documented(&config_table, text);
        ck_assert_uint_eq(config->defaults.keep, 2);
        ck_assert_uint_eq(config->certificates[0].n_notify, NOTIFY_MAX);
}
END_TEST

/* TEXT with the options in use that stand behind a '#', but for accounts, which this machine may not have. */
static char *uncomment(const char *text) {
        char *result = NULL;
        size_t size;
        FILE *out = open_memstream(&result, &size);

        for (const char *line = text, *end; *line; line = end) {
                size_t blanks = strspn(line, " ");
                const char *hash = line + blanks, *option = hash + strspn(hash, "# -");
                size_t n = strspn(option, "abcdefghijklmnopqrstuvwxyz_");

                end = strchr(line, '\n') + 1;
                if (blanks == 0 || *hash != '#' || n == 0 || option[n] != ':' ||
                    has_prefix(option, "owner") || has_prefix(option, "group"))
                        fprintf(out, "%.*s", (int)(end - line), line);
                else
                        fprintf(out, "%*s%.*s", (int)blanks, "", (int)(end - hash - 2), hash + 2);
        }
        fclose(out);
        return result;
}

/* What is commented out in conf/rekeyd.yaml is valid as well. */
START_TEST(example_in_full) {
        _cleanup_(config_freep) struct config *config = NULL;
        _cleanup_(freep) char *path = data_path("../../../conf/rekeyd.yaml"), *text = NULL, *whole = NULL;

        ck_assert_int_eq(file_read_at(AT_FDCWD, path, FILE_FOLLOW, CONFIG_SIZE_MAX, &text, NULL), 0);
        whole = uncomment(text);
        config = parse_good(whole);
        ck_assert_str_eq(config->certificates[0].import.ca, "/etc/rekeyd/import/orders-ca.crt");
        ck_assert_uint_eq(config->certificates[0].n_exports, 3);
        ck_assert_str_eq(config->certificates[0].exports[0].path, "/etc/haproxy/orders.pem");
        ck_assert_uint_eq(config->certificates[0].exports[0].access.mode, 0640);
        ck_assert_str_eq(config->certificates[0].exports[1].friendly_name, "orders");
        ck_assert_str_eq(config->certificates[0].exports[2].secret, "shop/orders-tls");
}
END_TEST

static char root[32];

static void setup(void) {
        strcpy(root, "/tmp/rekeyd-config-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(root));
}

static void teardown(void) {
        char folder[64];

        snprintf(folder, sizeof(folder), "%s/conf.d", root);
        ck_assert_int_eq(dir_remove_at(AT_FDCWD, folder), 0);
        ck_assert_int_eq(dir_remove_at(AT_FDCWD, root), 0);
}

static void write_file(const char *name, const char *text) {
        _cleanup_(fd_closep) int fd = dir_open_at(AT_FDCWD, root);

        (void)mkdirat(fd, "conf.d", 0755);
        ck_assert_int_eq(file_create_at(fd, name, text, strlen(text), FILE_ACCESS(0644)), 0);
}

/* Loads ROOT/rekeyd.yaml; its errors without ROOT, a line each. */
static char *load(struct config **ret) {
        struct config_errors errors = { 0 };
        char path[64], *lines = NULL;
        size_t size;
        FILE *out;
        int r;

        snprintf(path, sizeof(path), "%s/rekeyd.yaml", root);
        r = config_load(path, ret, &errors);
        ck_assert(r == 0 || r == -EINVAL);
        ck_assert((r == 0) == (errors.n == 0));
        out = open_memstream(&lines, &size);
        for (size_t i = 0; i < errors.n; i++) {
                ck_assert_msg(has_prefix(errors.items[i], root), "%s", errors.items[i]);
                fprintf(out, "%s\n", errors.items[i] + strlen(root) + 1);
        }
        fclose(out);
        config_errors_clear(&errors);
        return lines;
}

static void check_load(const char *expected) {
        struct config *config = NULL;
        _cleanup_(freep) char *found = load(&config);

        ck_assert_ptr_null(config);
        ck_assert_str_eq(found, expected);
}

START_TEST(missing_file) {
        check_load("rekeyd.yaml: the configuration cannot be read: No such file or directory; create it, or "
                   "use --config\n");
        /* Drop-ins are looked at nonetheless. */
        write_file("conf.d/a.yaml", "lgo: {}\n");
        check_load("rekeyd.yaml: the configuration cannot be read: No such file or directory; create it, or "
                   "use --config\nconf.d/a.yaml:1:1: unknown option 'lgo'; did you mean 'log'?\n");
}
END_TEST

START_TEST(untrusted_files) {
        char path[64];

        write_file("rekeyd.yaml", "log: {level: debug}\n");
        snprintf(path, sizeof(path), "%s/rekeyd.yaml", root);
        ck_assert_int_eq(chmod(path, 0646), 0);
        check_load("rekeyd.yaml: is world-writable, so any user could make rekeyd run any command; remove "
                   "that permission (chmod o-w)\n");
        ck_assert_int_eq(chmod(path, 0644), 0);
        snprintf(path, sizeof(path), "%s/conf.d", root);
        ck_assert_int_eq(chmod(path, 0777), 0);
        check_load("conf.d: is world-writable, so any user could make rekeyd run any command; remove "
                   "that permission (chmod o-w)\n");
        ck_assert_int_eq(chmod(path, 0755), 0);
        snprintf(path, sizeof(path), "%s/rekeyd.yaml", root);
        if (geteuid() == 0) {
                ck_assert_int_eq(chown(path, 4711, 0), 0);
                check_load("rekeyd.yaml: is owned by user 4711, who could make rekeyd run any command; "
                           "change its owner to root or to rekeyd's user (chown root)\n");
        }
}
END_TEST

START_TEST(odd_files) {
        char path[64];

        snprintf(path, sizeof(path), "%s/rekeyd.yaml", root);
        ck_assert_int_eq(mkfifo(path, 0600), 0);
        check_load("rekeyd.yaml: the configuration cannot be read: it is not a regular file\n");
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(symlink("rekeyd.yaml", path), 0);
        check_load("rekeyd.yaml: the configuration cannot be read: Too many levels of symbolic links\n");
        ck_assert_int_eq(unlink(path), 0);
}
END_TEST

START_TEST(too_large) {
        _cleanup_(freep) char *text = malloc(CONFIG_SIZE_MAX + 2);
        char *found;

        memset(text, '#', CONFIG_SIZE_MAX + 1);
        text[CONFIG_SIZE_MAX + 1] = '\0';
        write_file("rekeyd.yaml", text);
        check_load("rekeyd.yaml: makes the configuration larger than the limit of 16 MiB\n");

        /* The limit is for all files together. */
        text[CONFIG_SIZE_MAX] = '\0';
        write_file("conf.d/0.yaml", "{}\n");
        write_file("conf.d/1.yaml", text);
        check_load("rekeyd.yaml: makes the configuration larger than the limit of 16 MiB\nconf.d/1.yaml: "
                   "makes the configuration larger than the limit of 16 MiB\n");

        /* Exactly the most is fine. */
        found = complaints(text);
        ck_assert_str_eq(found, "");
        free(found);
}
END_TEST

START_TEST(drop_ins) {
        _cleanup_(config_freep) struct config *config = NULL;
        _cleanup_(freep) char *found = NULL;

        write_file("rekeyd.yaml", "log: {level: debug, format: json}\ndefaults: {keep: 3}\n"
                                  "certificates: {m: {connector: c, directory: /m}}\n");
        write_file("conf.d/20-b.yaml",
                   "certificates: {b: {connector: c, directory: /b}}\ndefaults: {keep: 5}\n");
        write_file("conf.d/10-a.yaml",
                   "certificates: {a: {connector: c, directory: /a}}\ndefaults: {keep: 4}\n"
                   "log: {level: error}\n");
        write_file("conf.d/30-c.YML", "connectors: {c: {url: 'https://c/'}}\n");
        write_file("conf.d/empty.yaml", "");
        write_file("conf.d/.hidden.yaml", "no such option: 1\n");
        write_file("conf.d/b.yaml~", "no such option: 1\n");
        write_file("conf.d/README", "no such option: 1\n");
        write_file("conf.d/a.json", "no such option: 1\n");

        found = load(&config);
        ck_assert_str_eq(found, "");
        ck_assert_int_eq(config->log.level, LOG_ERR);
        ck_assert_int_eq(config->log.format, LOG_FORMAT_JSON);
        ck_assert_uint_eq(config->n_certificates, 3);
        ck_assert_str_eq(config->certificates[0].name, "m");
        ck_assert_str_eq(config->certificates[1].name, "a");
        ck_assert_str_eq(config->certificates[2].name, "b");
        ck_assert_uint_eq(config->certificates[0].policy.keep, 5);
        ck_assert_str_eq(config->certificates[0].connector->url, "https://c/");
}
END_TEST

START_TEST(drop_ins_refused) {
        char expected[512];

        write_file(
                "rekeyd.yaml",
                "connectors: {c: {url: 'https://c/'}}\ncertificates: {a: {connector: c, directory: /a}}\n");
        write_file(
                "conf.d/1.yaml",
                "connectors:\n  c: {url: 'https://c/'}\ncertificates:\n  a: {connector: c, directory: /x}\n"
                "  b: {connector: c, directory: /a/b}\n");
        write_file("conf.d/2.yaml", "log: [");
        snprintf(expected, sizeof(expected),
                 "conf.d/1.yaml:2:3: connector 'c' is defined twice; the first is in %s/rekeyd.yaml:1\n"
                 "conf.d/1.yaml:4:3: certificate 'a' is defined twice; the first is in %s/rekeyd.yaml:2\n"
                 "conf.d/1.yaml:5:32: 'directory' is inside that of certificate 'a' (%s/rekeyd.yaml:2); give "
                 "each certificate a directory of its own\n"
                 "conf.d/2.yaml:2:1: not valid YAML: did not find expected node content, while parsing a "
                 "flow node that begins in line 2\n",
                 root, root, root);
        check_load(expected);
}
END_TEST

#define FOLDER_TEST(test) TEST_CASE_IN(suite, test, setup, teardown)

int main(void) {
        Suite *suite = suite_create("config-files");

        FOLDER_TEST(missing_file);
        FOLDER_TEST(untrusted_files);
        FOLDER_TEST(odd_files);
        FOLDER_TEST(too_large);
        FOLDER_TEST(drop_ins_refused);
        TEST_CASE(suite, example);
        TEST_CASE(suite, example_in_full);
        FOLDER_TEST(drop_ins);
        return test_run(suite);
}
