/*
 * rekeyd.yaml(5) against the table of options: each option has its entry, each entry its option, and the line
 * below an entry's name says type, bounds and default as the row has them, in the words that errors and
 * `rekeyd --check-config` use. The examples are configurations that rekeyd takes; so are those of
 * conf/kubernetes.
 */

#include "lib/config/config.h"
#include "lib/config/yaml-table.h"
#include "tests/support/scratch.h"
#include "tests/test.h"

#define ENTRIES_MAX 200

/* One option in the page: "*log.level*", and the paragraph that follows, as plain text in one line. */
struct entry {
        char *path, *text;
        bool is_known;
};

static struct entry entries[ENTRIES_MAX];
static size_t n_entries;

static char *read_source(const char *folder, const char *name) {
        _cleanup_(freep) char *directory = NULL;
        char *text;

        ck_assert_int_ge(asprintf(&directory, "%s/../../%s", getenv("REKEYD_TEST_DATA"), folder), 0);
        text = scratch_read(directory, name);
        ck_assert_ptr_nonnull(text);
        return text;
}

static char *read_page(void) {
        return read_source("man", "rekeyd.yaml.5.scd");
}

/* What stands below the heading "# NAME", up to the next one; cut out of PAGE. */
static char *find_section(char *page, const char *name) {
        _cleanup_(freep) char *heading = NULL;
        char *start, *end;

        ck_assert_int_ge(asprintf(&heading, "\n# %s\n", name), 0);
        start = strstr(page, heading);
        ck_assert_msg(start, "there is no section %s", name);
        start += strlen(heading);
        end = strstr(start, "\n# ");
        if (end)
                end[1] = '\0';
        return start;
}

/* Without the marks for bold and italics, and with a blank for each line's end. */
static void make_plain(char *text) {
        char *to = text;

        for (const char *from = text; *from; from++)
                if (*from == '\n' && from[1] == '\t')
                        *to++ = ' ', from++;
                else if (*from != '*' && *from != '\\')
                        *to++ = *from;
        *to = '\0';
}

/* An entry's name stands alone in its line, its first paragraph is indented, and an empty line ends it. */
static void read_entries(char *section) {
        char *line = section, *next, *end;

        for (n_entries = 0; line && *line; line = next) {
                next = strchr(line, '\n');
                if (*line != '*' || !next || next[1] != '\t') {
                        next = next ? next + 1 : NULL;
                        continue;
                }
                ck_assert_uint_lt(n_entries, ENTRIES_MAX);
                end = strstr(next, "\n\n");
                ck_assert_ptr_nonnull(end);
                entries[n_entries] = (struct entry) { .path = strndup(line, (size_t)(next - line)),
                                                      .text = strndup(next + 2, (size_t)(end - next - 2)) };
                make_plain(entries[n_entries].path);
                make_plain(entries[n_entries].text);
                n_entries++;
                next = end + 2;
        }
}

static void clear_entries(void) {
        for (size_t i = 0; i < n_entries; i++) {
                free(entries[i].path);
                free(entries[i].text);
        }
}

static struct entry *find_entry(const char *path) {
        for (size_t i = 0; i < n_entries; i++)
                if (streq(entries[i].path, path))
                        return &entries[i];
        return NULL;
}

/* BOUND as rekeyd itself would write it. */
static void print_bound(FILE *out, const struct yaml_option *option, uint64_t bound) {
        const struct share_or_usec span = { .usec = bound };
        const usec_t usec = bound;
        char buffer[YAML_TEXT_MAX];

        if (option->type == &yaml_share_or_duration)
                fputs(option->type->format(option, &span, buffer), out);
        else if (option->type == &yaml_duration || option->type == &yaml_duration_or_off)
                fputs(option->type->format(option, &usec, buffer), out);
        else
                fprintf(out, "%" PRIu64, bound);
}

/* The default by way of its own parser and writer: "120s" is "2m" to whoever asks rekeyd. */
static void print_default(FILE *out, const struct yaml_option *option) {
        _cleanup_(arena_clear) struct arena memory = { 0 };
        _cleanup_(yaml_run_freep) struct yaml_run *run = yaml_run_new(&memory);
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        union {
                char *text;
                usec_t usec;
                struct share_or_usec span;
                int number;
        } field = { 0 };
        char buffer[YAML_TEXT_MAX];

        ck_assert_uint_le(option->type->size, sizeof(field));
        ck_assert_int_eq(option->type->parse(run, option, option->default_text, &field, &error), 0);
        fprintf(out, "; default %s", option->type->format(option, &field, buffer));
}

/* What the page has to say of OPTION: "number of renewals, 1 to 1000; default 16". */
static char *describe(const struct yaml_option *option) {
        _cleanup_(freep) char *words = option->n_words > 0 ? yaml_list_words(option) : NULL;
        bool is_word_or_number = option->type == &yaml_unsigned;
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        ck_assert_ptr_nonnull(out);
        fputs(option->type->name, out);
        if (option->unit)
                fprintf(out, " of %s", option->unit);
        if (words)
                fprintf(out, "%s%s", is_word_or_number ? " or " : ": ", words);
        if (option->max > 0 && option->min > 0) {
                fputs(", ", out);
                print_bound(out, option, option->min);
                fputs(" to ", out);
                print_bound(out, option, option->max);
        } else if (option->max > 0) {
                fputs(", at most ", out);
                print_bound(out, option, option->max);
        }
        if (option->required)
                fputs("; required", out);
        if (option->inherits)
                fputs("; default from defaults", out);
        else if (option->default_text)
                print_default(out, option);
        ck_assert_int_eq(fclose(out), 0);
        return text;
}

typedef void (*visit_t)(const struct yaml_option *option, const char *path);

/* Every row of TABLE and below, by the path that the page has for it: "certificates.NAME.notify[].unit". */
static void walk(const struct yaml_table *table, const char *prefix, visit_t visit) {
        for (size_t i = 0; i < table->n_options; i++) {
                const struct yaml_option *option = &table->options[i];
                const char *suffix = option->type->shape == YAML_SHAPE_MAP    ? ".NAME"
                                     : option->type->shape == YAML_SHAPE_LIST ? "[]"
                                                                              : "";
                _cleanup_(freep) char *path = NULL, *below = NULL;

                ck_assert_int_ge(asprintf(&path, "%s%s%s", prefix, option->key, suffix), 0);
                ck_assert_int_ge(asprintf(&below, "%s.", path), 0);
                visit(option, path);
                if (option->table)
                        walk(option->table, below, visit);
        }
}

static void check_entry(const struct yaml_option *option, const char *path) {
        _cleanup_(freep) char *expected = describe(option);
        struct entry *entry = find_entry(path);

        ck_assert_msg(entry, "the manual lacks %s: '%s'", path, expected);
        ck_assert_msg(streq(entry->text, expected), "the manual says of %s '%s' instead of '%s'", path,
                      entry->text, expected);
        ck_assert_msg(!entry->is_known, "the manual has %s twice", path);
        entry->is_known = true;
}

START_TEST(every_option_as_the_table_has_it) {
        _cleanup_(freep) char *page = read_page();

        read_entries(find_section(page, "OPTIONS"));
        walk(&config_table, "", check_entry);
        clear_entries();
}
END_TEST

START_TEST(no_option_is_invented) {
        _cleanup_(freep) char *page = read_page();

        read_entries(find_section(page, "OPTIONS"));
        walk(&config_table, "", check_entry);
        for (size_t i = 0; i < n_entries; i++)
                ck_assert_msg(entries[i].is_known, "the manual has %s (again), which is no option",
                              entries[i].path);
        test_report("manual: %zu options", n_entries);
        clear_entries();
}
END_TEST

/* A user or group of the example that this machine does not have is no fault of the example. */
static bool is_about_this_machine(const char *error) {
        return strstr(error, "which this machine does not know") != NULL;
}

/* A drop-in, which names no Connector, adds to what stands BEFORE it. */
static void check_example(const char *before, const char *block) {
        bool is_whole = strstr(block, "connectors:") != NULL;
        _cleanup_(config_errors_clear) struct config_errors errors = { 0 };
        _cleanup_(config_freep) struct config *config = NULL;
        _cleanup_(freep) char *yaml = NULL;

        ck_assert_int_ge(asprintf(&yaml, "%s%s", is_whole ? "" : before, block), 0);
        ck_assert_int_ne(config_parse("the example", yaml, strlen(yaml), &config, &errors), -ENOMEM);
        for (size_t i = 0; i < errors.n; i++)
                ck_assert_msg(is_about_this_machine(errors.items[i]), "%s\n%s", errors.items[i], yaml);
}

START_TEST(examples_are_right) {
        _cleanup_(freep) char *page = read_page();
        char *block = find_section(page, "EXAMPLES"), *end;
        const char *before = "";
        unsigned n = 0;

        for (; (block = strstr(block, "```\n")); block = end + 4) {
                block += 4;
                end = strstr(block, "```\n");
                ck_assert_ptr_nonnull(end);
                *end = '\0';
                /* YAML begins with a key and a colon, a command with its name and a blank. */
                if (block[strcspn(block, " :\n")] != ':')
                        continue;
                check_example(before, block);
                before = block;
                n++;
        }
        ck_assert_uint_ge(n, 6);
        test_report("manual: %u examples", n);
}
END_TEST

/* That of the overlay with the store is taken with the store. */
START_TEST(configurations_of_kubernetes_are_right) {
        static const char *const overlays[] = { "sidecar", "node" };

        for (size_t i = 0; i < ELEMENTSOF(overlays); i++) {
                _cleanup_(freep) char *folder = NULL, *yaml = NULL;

                ck_assert_int_ge(asprintf(&folder, "conf/kubernetes/%s", overlays[i]), 0);
                yaml = read_source(folder, "rekeyd.yaml");
                ck_assert_ptr_nonnull(strstr(yaml, "certificates:"));
                check_example("", yaml);
        }
}
END_TEST

TEST_MAIN("manual", every_option_as_the_table_has_it, no_option_is_invented, examples_are_right,
          configurations_of_kubernetes_are_right)
