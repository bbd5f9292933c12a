#pragma once

/* A table made for the tests of tables, with something of every type, and reading it. */

#include <stdio.h>

#include "lib/config/yaml-table.h"
#include "lib/life/schedule.h"
#include "lib/util/time.h"
#include "tests/test.h"

struct item {
        char *name;
        char *text;
        char **argv;
        unsigned inherited;
        struct part {
                unsigned number;
        } * parts;
        size_t n_parts;
};

struct thing {
        char *text, *path, *url;
        usec_t duration;
        struct share_or_usec share;
        unsigned number, auto_number, parent;
        int word;
        mode_t mode;
        bool flag;
        uid_t user;
        gid_t group;
        char **argv;
        enum letter { LETTER_A, LETTER_B, LETTER_C, LETTER_MAX } letters[LETTER_MAX];
        size_t n_letters;
        unsigned nested;
        struct item *items;
        size_t n_items;
};

static const char *const word_names[] = { [1] = "one", [3] = "three", [4] = "four" };
static const char *const auto_names[] = { "auto" };
static const char *const letter_names[LETTER_MAX] = { "a", "b", "c" };

static const struct yaml_option nested_options[] = {
        { .key = "nested",
          .type = &yaml_unsigned,
          .offset = offsetof(struct thing, nested),
          .default_text = "7" },
};
static const struct yaml_table nested_table = { .name = "table", .options = nested_options, .n_options = 1 };

static const struct yaml_option part_options[] = {
        { .key = "number",
          .type = &yaml_unsigned,
          .offset = offsetof(struct part, number),
          .max = 9,
          .required = true,
          .help = "a digit" },
};
static const struct yaml_table part_table = {
        .name = "part", .options = part_options, .n_options = 1, .size = sizeof(struct part)
};

static const struct yaml_option item_options[] = {
        { .key = "text", .type = &yaml_string, .offset = offsetof(struct item, text) },
        { .key = "argv", .type = &yaml_argv, .offset = offsetof(struct item, argv) },
        { .key = "inherited",
          .type = &yaml_unsigned,
          .offset = offsetof(struct item, inherited),
          .inherits = true,
          .inherit_offset = offsetof(struct thing, parent) },
        { .key = "parts",
          .type = &yaml_list,
          .offset = offsetof(struct item, parts),
          .count_offset = offsetof(struct item, n_parts),
          .table = &part_table,
          .max = 1000000 },
};
static const struct yaml_table item_table = {
        .name = "item",
        .options = item_options,
        .n_options = ELEMENTSOF(item_options),
        .size = sizeof(struct item),
        .name_offset = offsetof(struct item, name),
};

#define ROW(k, t, f) .key = (k), .type = (t), .offset = offsetof(struct thing, f)
static const struct yaml_option thing_options[] = {
        { ROW("text", &yaml_string, text) },
        { ROW("path", &yaml_path, path), .default_text = "/a" },
        { ROW("url", &yaml_https_url, url) },
        { ROW("duration", &yaml_duration, duration), .min = USEC_PER_SEC, .max = USEC_PER_DAY,
          .default_text = "90s" },
        { ROW("share", &yaml_share_or_duration, share), .min = USEC_PER_SEC, .max = USEC_PER_DAY,
          .default_text = "33%" },
        { ROW("number", &yaml_unsigned, number), .min = 2, .max = 100, .default_text = "16" },
        { ROW("auto_number", &yaml_unsigned, auto_number), .min = 1, .max = 64, .default_text = "auto",
          .words = auto_names, .n_words = 1 },
        { ROW("parent", &yaml_unsigned, parent), .default_text = "5" },
        { ROW("word", &yaml_word, word), .default_text = "three", .words = word_names,
          .n_words = ELEMENTSOF(word_names) },
        { ROW("mode", &yaml_mode, mode), .default_text = "0640" },
        { ROW("flag", &yaml_bool, flag), .default_text = "yes" },
        { ROW("user", &yaml_user, user) },
        { ROW("group", &yaml_group, group) },
        { ROW("argv", &yaml_argv, argv) },
        { ROW("letters", &yaml_words, letters), .count_offset = offsetof(struct thing, n_letters),
          .words = letter_names, .n_words = LETTER_MAX, .max = LETTER_MAX },
        { .key = "table", .type = &yaml_struct, .table = &nested_table },
        { ROW("items", &yaml_map, items), .count_offset = offsetof(struct thing, n_items),
          .table = &item_table, .max = 500000 },
};
static const struct yaml_table thing_table = { .name = "thing",
                                               .options = thing_options,
                                               .n_options = ELEMENTSOF(thing_options),
                                               .size = sizeof(struct thing) };

/* What a reading gave; its errors as one text, a line each. */
struct result {
        struct arena memory;
        struct thing thing;
        char *errors;
        size_t n_errors;
};

static inline void result_clear(struct result *result) {
        arena_clear(&result->memory);
        free(result->errors);
        *result = (struct result) { 0 };
}

struct text {
        const char *data;
        size_t size;
};

static inline void read_texts(struct result *result, const struct text *texts, size_t n_texts) {
        _cleanup_(yaml_run_freep) struct yaml_run *run = NULL;
        char **items = NULL;
        size_t size;
        FILE *out;

        result_clear(result);
        run = yaml_run_new(&result->memory);
        for (size_t i = 0; i < n_texts; i++) {
                const char name[] = { (char)('a' + i), '\0' };
                unsigned file;

                ck_assert_int_eq(yaml_run_file(run, name, &file), 0);
                ck_assert_int_eq(yaml_run_read(run, file, texts[i].data, texts[i].size), 0);
        }
        ck_assert_int_eq(yaml_run_apply(run, &thing_table, &result->thing), 0);
        ck_assert_int_eq(yaml_run_errors(run, &items, &result->n_errors), 0);

        out = open_memstream(&result->errors, &size);
        for (size_t i = 0; i < result->n_errors; i++) {
                fprintf(out, "%s\n", items[i]);
                free(items[i]);
        }
        fclose(out);
        free(items);
}

static inline void read_text(struct result *result, const char *text) {
        read_texts(result, &(struct text) { text, strlen(text) }, 1);
}

static const char everything[] =
        "text: \"33%\"\n"
        "path: //x///y/\n"
        "url: HTTPS://h.example:8443/p%20q\n"
        "duration: '1h'\n"
        "share: 12.5%\n"
        "number: 2\n"
        "auto_number: 64\n"
        "parent: 9\n"
        "word: one\n"
        "mode: 600\n"
        "flag: off\n"
        "user: root\n"
        "group: 0\n"
        "argv: [/bin/x, '', 'yes', \"a\\nb \\\"q\\\" \\\\ \\u2028 \\x7f \\U0001f511\", \"~\"]\n"
        "letters: [c, a]\n"
        "table: {nested: 8}\n"
        "items:\n"
        "  b:\n"
        "    text: 'null'\n"
        "  a:\n"
        "    argv: [x]\n"
        "    inherited: 1\n"
        "    parts: [{number: 1}, {number: 2}]\n"
        "  123: {}\n";
