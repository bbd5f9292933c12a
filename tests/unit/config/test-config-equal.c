/* Whether two certificates mean the same. A reload goes by it, so no option may be forgotten. */

#include "lib/config/yaml-table.h"
#include "tests/unit/config/config-text.h"

static const char everything[] =
        "connectors:\n"
        "  c: {protocol: compass, url: 'https://c/s', enrol_url: 'https://c/t', trust: /trust, timeout: 9s,\n"
        "    ca_window: 3s}\n"
        "certificates:\n"
        "  x:\n"
        "    connector: c\n"
        "    directory: /d\n"
        "    token_file: /t\n"
        "    import: {key: /k, certificate: /c, ca: /ca}\n"
        "    owner: 5\n"
        "    group: 6\n"
        "    mode: 0640\n"
        "    renew_before: 20%\n"
        "    jitter: 1h\n"
        "    clock_skew: 2s\n"
        "    key: {type: rsa, bits: 3072}\n"
        "    keep: 4\n"
        "    exports:\n"
        "    - {path: /e, format: pkcs12, contents: [key, leaf], passphrase_file: /pw, friendly_name: f,\n"
        "       owner: 7, group: 8, mode: 0400, legacy: true, in_place: true}\n"
        "    - {path: /e2}\n"
        "    notify:\n"
        "    - {command: [/bin/true, x], timeout: 5s}\n"
        "    - {signal: HUP, pid_file: /p}\n";

static const struct yaml_option *find_option(const struct yaml_table *table, const char *key) {
        for (size_t i = 0; i < table->n_options; i++)
                if (streq(table->options[i].key, key))
                        return &table->options[i];
        ck_abort_msg("the table has no option %s", key);
        return NULL;
}

/* Two that are the same, of which one is changed in place, one option after the other. */
struct pair {
        struct config_certificate *a, *b;
        unsigned n_changes;
};

static void expect_equal(const struct pair *pair, bool expected, const struct yaml_option *option) {
        ck_assert_msg(config_certificate_equal(pair->a, pair->b) == expected &&
                              config_certificate_equal(pair->b, pair->a) == expected,
                      "with %s changed", option->key);
}

static void change_bytes(struct pair *pair, const struct yaml_option *option, void *field, size_t size) {
        unsigned char *bytes = field;

        for (size_t i = 0; i < size; i++) {
                bytes[i] ^= 1;
                expect_equal(pair, false, option);
                bytes[i] ^= 1;
        }
        pair->n_changes += size > 0;
}

/* Of a name, which everything has. */
static void change_name(struct pair *pair, const struct yaml_option *option, char **field) {
        char *saved = *field, other[] = "other";

        *field = other;
        expect_equal(pair, false, option);
        *field = saved;
        pair->n_changes++;
}

static void change_string(struct pair *pair, const struct yaml_option *option, char **field) {
        char *saved = *field, other[] = "other", *same;

        *field = other;
        expect_equal(pair, false, option);
        *field = NULL;
        expect_equal(pair, saved == NULL, option);
        if (saved) {
                same = strdup(saved);
                *field = same;
                expect_equal(pair, true, option);
                free(same);
        }
        *field = saved;
        pair->n_changes++;
}

static void change_share(struct pair *pair, const struct yaml_option *option, struct share_or_usec *field) {
        struct share_or_usec saved = *field;

        field->is_share = !saved.is_share;
        expect_equal(pair, false, option);
        *field = saved;
        field->ppm++;
        expect_equal(pair, !saved.is_share, option);
        *field = saved;
        field->usec++;
        expect_equal(pair, saved.is_share, option);
        *field = saved;
        pair->n_changes++;
}

static void change_argv(struct pair *pair, const struct yaml_option *option, char ***field) {
        char **saved = *field, *last;
        size_t n = 0;

        if (!saved)
                return;
        for (; saved[n]; n++)
                change_string(pair, option, &saved[n]);
        last = saved[n - 1];
        saved[n - 1] = NULL;
        expect_equal(pair, false, option);
        saved[n - 1] = last;
        *field = NULL;
        expect_equal(pair, false, option);
        *field = saved;
}

static void change_table(struct pair *pair, const struct yaml_table *table, void *object);

static void change_option(struct pair *pair, const struct yaml_option *option, char *object) {
        void *field = object + option->offset;
        size_t *count = (size_t *)(void *)(object + option->count_offset);
        const struct config_connector **connector = field;

        expect_equal(pair, true, option);
        switch (option->type->shape) {
        case YAML_SHAPE_SCALAR:
                if (option->type->size == sizeof(char *) && option->type->equal == yaml_equal_string)
                        change_string(pair, option, field);
                else if (option->type == &yaml_share_or_duration)
                        change_share(pair, option, field);
                else if (streq(option->key, "connector")) {
                        struct config_connector copy = **connector;
                        const struct config_connector *saved = *connector;

                        *connector = &copy;
                        change_table(pair, find_option(&config_table, "connectors")->table, &copy);
                        change_name(pair, option, &copy.name);
                        *connector = saved;
                } else
                        change_bytes(pair, option, field, option->type->size);
                break;
        case YAML_SHAPE_ARGV:
                change_argv(pair, option, field);
                break;
        case YAML_SHAPE_WORDS:
                change_bytes(pair, option, field, *count * sizeof(int));
                change_bytes(pair, option, count, 1);
                break;
        case YAML_SHAPE_TABLE:
                change_table(pair, option->table, field);
                break;
        case YAML_SHAPE_MAP:
        case YAML_SHAPE_LIST:
                ck_assert_uint_gt(*count, 1);
                for (size_t i = 0; i < *count; i++)
                        change_table(pair, option->table, *(char **)field + i * option->table->size);
                --*count;
                expect_equal(pair, false, option);
                ++*count;
                break;
        }
        expect_equal(pair, true, option);
}

static void change_table(struct pair *pair, const struct yaml_table *table, void *object) {
        for (size_t i = 0; i < table->n_options; i++)
                change_option(pair, &table->options[i], object);
}

/* No option can be changed without the certificate being another: the walk goes by the tables themselves. */
START_TEST(every_option_counts) {
        _cleanup_(config_freep) struct config *a = parse_good(everything), *b = parse_good(everything);
        struct pair pair = { &a->certificates[0], &b->certificates[0], 0 };

        change_table(&pair, find_option(&config_table, "certificates")->table, pair.a);
        change_name(&pair, &(struct yaml_option) { .key = "name" }, &pair.a->name);
        test_report("%u fields changed, each seen", pair.n_changes);
        ck_assert_uint_gt(pair.n_changes, 40);
}
END_TEST

/* What is written differently and means the same, and what is far away and means something else. */
START_TEST(meanings_compared) {
#define ONE "connectors: {c: {url: 'https://c/'}}\n"
#define X   "certificates: {x: {connector: c, directory: /d"
        static const struct {
                bool equal;
                const char *a, *b;
        } rows[] = {
                { false, ONE X "}}", ONE X ", keep: 3}}" },
                { false, ONE X "}}", ONE X "}}\ndefaults: {keep: 3}" },
                { false, ONE X "}}", ONE X "}}\ndefaults: {key: {bits: 2048}}" },
                { false, ONE X "}}", "connectors: {c: {url: 'https://c/2'}}\n" X "}}" },
                { false, ONE X "}}", "connectors: {c: {url: 'https://c/', timeout: 1h}}\n" X "}}" },
                { false, ONE X "}}", ONE "certificates: {x: {connector: c, directory: /d2}}" },
                { false, ONE X "}}", ONE "certificates: {y: {connector: c, directory: /d}}" },
                { false, ONE X "}}", ONE X ", exports: [{path: /e}]}}" },
                { false, ONE X ", exports: [{path: /e}]}}", ONE X ", exports: [{path: /e, mode: 0640}]}}" },
                { false, ONE X ", exports: [{path: /e}]}}",
                  ONE X ", exports: [{path: /e, contents: [leaf, key, chain]}]}}" },
                { false, ONE X ", exports: [{path: /e}, {path: /f}]}}",
                  ONE X ", exports: [{path: /f}, {path: /e}]}}" },
                { false, ONE X ", notify: [{command: [/a]}]}}", ONE X ", notify: [{command: [/a, b]}]}}" },
                { true, ONE X "}}", ONE X "}} # the same" },
                { true, ONE X "}}", ONE X ", exports: [], notify: []}}" },
                { true, ONE X "}}",
                  "connectors:\n  d: {url: https://d}\n  c: {url: https://c/}\n"
                  "log: {level: debug}\nlimits: {issuances_per_hour: 9}\nstate_directory: /other\n"
                  "certificates:\n  y: {connector: d, directory: /y}\n  x: {directory: //d/, connector: "
                  "c}\n" },
                { true, ONE X ", renew_before: 90m}}",
                  ONE X "}}\ndefaults: {renew_before: 5400s, keep: 2, jitter: 5.0%}" },
                { true, ONE X ", exports: [{path: /e}]}}",
                  ONE X ", exports: [{path: /e, format: pem, contents: [key, leaf, chain], mode: 600, "
                        "in_place: no}]}}" },
                { true, ONE X ", exports: [{path: /e, format: pkcs12, passphrase_file: /p}]}}",
                  ONE X ", exports: [{path: /e, format: pkcs12, passphrase_file: /p, friendly_name: x}]}}" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(config_freep) struct config *a = parse_good(rows[i].a), *b = parse_good(rows[i].b);
                const struct config_certificate *y = &b->certificates[b->n_certificates - 1];

                ck_assert_msg(config_certificate_equal(&a->certificates[0], y) == rows[i].equal,
                              "%s\nand\n%s", rows[i].a, rows[i].b);
                ck_assert(config_certificate_equal(y, &a->certificates[0]) == rows[i].equal);
                ck_assert(config_certificate_equal(y, y));
        }
}
END_TEST

TEST_MAIN("config-equal", every_option_counts, meanings_compared)
