/*
 * Writes a struct as YAML, row by row of the same tables that read it. Strings are quoted wherever any YAML
 * reader might see something else in them, not only this one: "yes", "010" and "null" stay what they were.
 */

#include "lib/config/yaml-table-internal.h"

struct cursor {
        FILE *out;
        bool dash; /* the next option is the first of a list's entry */
};

static void emit_table(struct cursor *cursor, const struct yaml_table *table, const char *object, int indent);

static bool is_safe_plain(const char *text) {
        static const char *const taken[] = { "true", "false", "yes", "no", "on", "off", "null", "y", "n" };
        static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        size_t n = strlen(text);

        /* A first letter or slash rules out numbers, dates and every indicator; what else is read as a value
         * of its own is in the list. A ':' begins a value only at the end of the text, as no blanks are
         * allowed. */
        if (n == 0 || !(strchr(letters, text[0]) || text[0] == '/') || text[n - 1] == ':')
                return false;
        if (strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+:@%=~") != n)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(taken); i++)
                if (strcasecmp(text, taken[i]) == 0)
                        return false;
        return true;
}

/* The code point at *P, moving past it. TEXT came out of libyaml, so it is valid UTF-8. */
static unsigned next_character(const unsigned char **p) {
        unsigned c = *(*p)++;
        unsigned n = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;

        if (n > 0)
                c &= 0x3fu >> n;
        for (; n > 0 && (**p & 0xc0) == 0x80; n--)
                c = c << 6 | (*(*p)++ & 0x3f);
        return c;
}

/* What YAML wants escaped, and what it would take for the end of a line (U+0085, U+2028, U+2029). */
static bool needs_escape(unsigned c) {
        return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
               c == 0xfffe || c == 0xffff;
}

static void emit_text(const char *text, bool bare, FILE *out) {
        const unsigned char *p = (const unsigned char *)text;

        if (bare || is_safe_plain(text)) {
                fputs(text, out);
                return;
        }
        fputc('"', out);
        while (*p) {
                const unsigned char *start = p;
                unsigned c = next_character(&p);

                if (c == '"' || c == '\\')
                        fprintf(out, "\\%c", (int)c);
                else if (c == '\n')
                        fputs("\\n", out);
                else if (c == '\t')
                        fputs("\\t", out);
                else if (needs_escape(c))
                        fprintf(out, "\\u%04X", c);
                else
                        fwrite(start, (size_t)(p - start), 1, out);
        }
        fputc('"', out);
}

/* The line's beginning, up to the ':'. */
static void emit_key(struct cursor *cursor, int indent, const char *key) {
        if (cursor->dash)
                fprintf(cursor->out, "%*s- %s:", indent - 2, "", key);
        else
                fprintf(cursor->out, "%*s%s:", indent, "", key);
        cursor->dash = false;
}

static void emit_scalar(struct cursor *cursor, const struct yaml_option *option, const void *field,
                        int indent) {
        char buffer[YAML_TEXT_MAX];
        const char *text = option->type->format(option, field, buffer);

        if (!text)
                return;
        emit_key(cursor, indent, option->key);
        fputc(' ', cursor->out);
        emit_text(text, option->type->bare, cursor->out);
        fputc('\n', cursor->out);
}

static void emit_argv(struct cursor *cursor, const struct yaml_option *option, char *const *argv,
                      int indent) {
        if (!argv)
                return;
        emit_key(cursor, indent, option->key);
        fputs(" [", cursor->out);
        for (size_t i = 0; argv[i]; i++) {
                if (i > 0)
                        fputs(", ", cursor->out);
                emit_text(argv[i], false, cursor->out);
        }
        fputs("]\n", cursor->out);
}

static void emit_words(struct cursor *cursor, const struct yaml_option *option, const int *words, size_t n,
                       int indent) {
        if (n == 0)
                return;
        emit_key(cursor, indent, option->key);
        for (size_t i = 0; i < n; i++)
                fprintf(cursor->out, "%s%s", i == 0 ? " [" : ", ", option->words[words[i]]);
        fputs("]\n", cursor->out);
}

static void emit_entries(struct cursor *cursor, const struct yaml_option *option, const char *entries,
                         size_t n, int indent) {
        const struct yaml_table *table = option->table;

        if (n == 0)
                return;
        emit_key(cursor, indent, option->key);
        fputc('\n', cursor->out);
        for (size_t i = 0; i < n; i++) {
                const char *entry = entries + i * table->size;

                if (option->type->shape == YAML_SHAPE_LIST)
                        cursor->dash = true;
                else {
                        fprintf(cursor->out, "%*s", indent + 2, "");
                        emit_text(*(char *const *)(const void *)(entry + table->name_offset), false,
                                  cursor->out);
                        fputs(":\n", cursor->out);
                }
                emit_table(cursor, table, entry, indent + 4);
        }
}

/* A table of which nothing is set would be a key without a value, which the reader refuses. */
static bool is_empty(const struct yaml_table *table, const char *object) {
        char buffer[YAML_TEXT_MAX];

        for (size_t i = 0; i < table->n_options; i++) {
                const struct yaml_option *option = &table->options[i];

                if (option->type->shape != YAML_SHAPE_SCALAR ||
                    option->type->format(option, object + option->offset, buffer))
                        return false;
        }
        return true;
}

static void emit_table(struct cursor *cursor, const struct yaml_table *table, const char *object,
                       int indent) {
        for (size_t i = 0; i < table->n_options; i++) {
                const struct yaml_option *option = &table->options[i];
                const void *field = object + option->offset;

                switch (option->type->shape) {
                case YAML_SHAPE_SCALAR:
                        emit_scalar(cursor, option, field, indent);
                        break;
                case YAML_SHAPE_ARGV:
                        emit_argv(cursor, option, *(char **const *)field, indent);
                        break;
                case YAML_SHAPE_WORDS:
                        emit_words(cursor, option, field, yaml_count(option, object), indent);
                        break;
                case YAML_SHAPE_TABLE:
                        if (is_empty(option->table, field))
                                break;
                        emit_key(cursor, indent, option->key);
                        fputc('\n', cursor->out);
                        emit_table(cursor, option->table, field, indent + 2);
                        break;
                case YAML_SHAPE_MAP:
                case YAML_SHAPE_LIST:
                        emit_entries(cursor, option, *(const char *const *)field, yaml_count(option, object),
                                     indent);
                        break;
                }
        }
}

void yaml_emit(const struct yaml_table *table, const void *object, FILE *out) {
        emit_table(&(struct cursor) { .out = out }, table, object, 0);
}
