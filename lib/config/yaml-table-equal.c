/*
 * Compares two structs by the rows that fill them, so that no option can be forgotten: what the table does
 * not know, such as padding or what is derived, does not count.
 */

#include "lib/config/yaml-table-internal.h"

static bool equal_argv(char *const *a, char *const *b) {
        if (!a || !b)
                return a == b;
        for (; *a && *b; a++, b++)
                if (*a != *b && !streq(*a, *b))
                        return false;
        return !*a && !*b;
}

static bool equal_entries(const struct yaml_option *option, const char *a, const char *b, size_t n) {
        const struct yaml_table *table = option->table;

        for (size_t i = 0; i < n; i++, a += table->size, b += table->size) {
                if (option->type->shape == YAML_SHAPE_MAP &&
                    !yaml_equal_string(a + table->name_offset, b + table->name_offset))
                        return false;
                if (!yaml_equal(table, a, b))
                        return false;
        }
        return true;
}

static bool equal_option(const struct yaml_option *option, const char *a, const char *b) {
        const struct yaml_type *type = option->type;
        const void *x = a + option->offset, *y = b + option->offset;
        size_t n;

        switch (type->shape) {
        case YAML_SHAPE_SCALAR:
                return type->equal ? type->equal(x, y) : memcmp(x, y, type->size) == 0;
        case YAML_SHAPE_ARGV:
                return equal_argv(*(char **const *)x, *(char **const *)y);
        case YAML_SHAPE_TABLE:
                return yaml_equal(option->table, x, y);
        case YAML_SHAPE_WORDS:
        case YAML_SHAPE_MAP:
        case YAML_SHAPE_LIST:
                n = yaml_count(option, a);
                if (n != yaml_count(option, b))
                        return false;
                return type->shape == YAML_SHAPE_WORDS
                               ? memcmp(x, y, n * sizeof(int)) == 0
                               : equal_entries(option, *(const char *const *)x, *(const char *const *)y, n);
        }
        return false;
}

bool yaml_equal(const struct yaml_table *table, const void *a, const void *b) {
        for (size_t i = 0; i < table->n_options; i++)
                if (!equal_option(&table->options[i], a, b))
                        return false;
        return true;
}
