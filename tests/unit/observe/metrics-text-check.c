/*
 * A parser of the Prometheus text format that forgives nothing: no blank too many, no family in two pieces,
 * no series twice, no bucket out of order. Whatever is not exactly so fails the test.
 */

#include "tests/unit/observe/metrics-text-check.h"

#include <check.h>
#include <ctype.h>
#include <stdio.h>

#include "daemon/observe/metrics.h"

struct sample {
        char name[128];
        char labels[METRICS_READ_MIN]; /* as they stand, without `le` */
        char le[32];
        double value;
};

struct parser {
        char family[128], type[16];
        unsigned n_lines, n_families, n_samples;
        struct sample previous;
        char seen[8192]; /* names of all families, each between blanks */
};

#define MUST(parser, condition) ck_assert_msg(condition, "line %u: not so: %s", (parser)->n_lines, #condition)

static size_t name_length(const char *text) {
        size_t n = 0;

        while (isalnum((unsigned char)text[n]) || text[n] == '_')
                n++;
        return isdigit((unsigned char)text[0]) ? 0 : n;
}

/* "12", "0.5", "+Inf" where it may be: digits without ornaments. */
static double parse_number(const struct parser *parser, const char *text) {
        size_t n = strspn(text, "0123456789"), rest = 0;
        char *end;
        double value;

        MUST(parser, n > 0);
        MUST(parser, n == 1 || text[0] != '0');
        if (text[n] == '.') {
                rest = strspn(text + n + 1, "0123456789");
                MUST(parser, rest > 0 && text[n + rest] != '0');
                rest++;
        }
        MUST(parser, text[n + rest] == '\0');
        value = strtod(text, &end);
        MUST(parser, *end == '\0');
        return value;
}

/* The labels at TEXT, which begins with '{'. Returns what follows them. */
static const char *parse_labels(const struct parser *parser, const char *text, struct sample *sample) {
        char names[256] = " ", name[64];

        do {
                const char *begin = ++text, *value;
                size_t n = name_length(text);

                MUST(parser, n > 0 && n < sizeof(name) - 2);
                snprintf(name, sizeof(name), " %.*s ", (int)n, text);
                MUST(parser, !strstr(names, name)); /* no label twice */
                strcat(names, name + 1);
                MUST(parser, has_prefix(text + n, "=\""));
                for (value = text += n + 2; *text != '"'; text++) {
                        MUST(parser, *text && *text != '\n');
                        if (*text == '\\') {
                                text++;
                                MUST(parser, *text == '\\' || *text == '"' || *text == 'n');
                        }
                }
                if (streq(name, " le "))
                        snprintf(sample->le, sizeof(sample->le), "%.*s", (int)(text - value), value);
                else
                        strncat(sample->labels, begin, (size_t)(text + 1 - begin));
                text++;
        } while (*text == ',');
        MUST(parser, *text == '}');
        return text + 1;
}

/* Buckets come in order and add up. */
static void check_bucket(const struct parser *parser, const struct sample *sample) {
        const struct sample *previous = &parser->previous;
        bool is_first = !streq(previous->name, sample->name) || !streq(previous->labels, sample->labels);

        MUST(parser, sample->le[0]);
        if (is_first)
                return;
        MUST(parser, sample->value >= previous->value);
        MUST(parser, !streq(previous->le, "+Inf"));
        if (!streq(sample->le, "+Inf"))
                MUST(parser, parse_number(parser, sample->le) > parse_number(parser, previous->le));
}

static void check_histogram(const struct parser *parser, const struct sample *sample) {
        const char *suffix = sample->name + strlen(parser->family);
        const struct sample *previous = &parser->previous;

        MUST(parser, has_prefix(sample->name, parser->family));
        if (streq(suffix, "_bucket")) {
                check_bucket(parser, sample);
                return;
        }
        MUST(parser, !sample->le[0]);
        MUST(parser, streq(previous->labels, sample->labels));
        if (streq(suffix, "_sum")) {
                MUST(parser, has_suffix(previous->name, "_bucket") && streq(previous->le, "+Inf"));
        } else {
                MUST(parser, streq(suffix, "_count"));
                MUST(parser, has_suffix(previous->name, "_sum"));
        }
}

static void parse_sample(struct parser *parser, const char *line) {
        struct sample sample = { 0 };
        size_t n = name_length(line);
        const char *rest = line + n;

        MUST(parser, n > 0 && n < sizeof(sample.name));
        snprintf(sample.name, sizeof(sample.name), "%.*s", (int)n, line);
        if (*rest == '{')
                rest = parse_labels(parser, rest, &sample);
        MUST(parser, *rest == ' ');
        sample.value = parse_number(parser, rest + 1);

        if (streq(parser->type, "histogram")) {
                check_histogram(parser, &sample);
        } else {
                MUST(parser, streq(sample.name, parser->family));
                MUST(parser, !sample.le[0]);
                MUST(parser, !streq(sample.name, parser->previous.name) ||
                                     !streq(sample.labels, parser->previous.labels)); /* not twice */
        }
        parser->previous = sample;
        parser->n_samples++;
}

/* "# HELP name text": a family begins, which has not been before. */
static void parse_help(struct parser *parser, const char *line) {
        size_t n = name_length(line);
        char name[130];

        MUST(parser, n > 0 && n < sizeof(parser->family) && line[n] == ' ');
        MUST(parser, !streq(parser->type, "?")); /* the one before has its type */
        MUST(parser, has_suffix(line, ".") && !strchr(line, '\\'));
        snprintf(parser->family, sizeof(parser->family), "%.*s", (int)n, line);
        snprintf(name, sizeof(name), " %s ", parser->family);
        MUST(parser, !strstr(parser->seen, name));
        MUST(parser, strlen(parser->seen) + strlen(name) < sizeof(parser->seen));
        strcat(parser->seen, name);
        strcpy(parser->type, "?");
        parser->n_families++;
}

/* The suffixes that the types of Prometheus have, and the base units. */
static void parse_type(struct parser *parser, const char *line) {
        size_t n = strlen(parser->family);
        bool is_counter;

        MUST(parser, streq(parser->type, "?"));
        MUST(parser, has_prefix(line, parser->family) && line[n] == ' ');
        snprintf(parser->type, sizeof(parser->type), "%s", line + n + 1);
        is_counter = streq(parser->type, "counter");
        MUST(parser, is_counter || streq(parser->type, "gauge") || streq(parser->type, "histogram"));
        MUST(parser, is_counter == has_suffix(parser->family, "_total"));
        MUST(parser, !strstr(parser->family, "_usec") && !strstr(parser->family, "_msec") &&
                             !strstr(parser->family, "_kb"));
        MUST(parser,
             !strstr(parser->family, "timestamp") || has_suffix(parser->family, "_timestamp_seconds"));
}

struct metrics_text_counts metrics_text_check(const char *page) {
        struct parser parser = { .seen = " " };
        char line[METRICS_READ_MIN];

        while (*page) {
                size_t n = strcspn(page, "\n");

                parser.n_lines++;
                MUST(&parser, n > 0 && n < sizeof(line) && page[n] == '\n');
                snprintf(line, sizeof(line), "%.*s", (int)n, page);
                page += n + 1;
                if (has_prefix(line, "# HELP "))
                        parse_help(&parser, line + strlen("# HELP "));
                else if (has_prefix(line, "# TYPE "))
                        parse_type(&parser, line + strlen("# TYPE "));
                else
                        parse_sample(&parser, line);
        }
        MUST(&parser, !streq(parser.type, "?"));
        return (struct metrics_text_counts) { .n_families = parser.n_families,
                                              .n_samples = parser.n_samples };
}
