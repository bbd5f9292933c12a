/*
 * A run: everything that one reading of a set of files holds together. It collects errors by place and hands
 * them out sorted, so that readers and checks may find them in any order; it keeps the documents until the
 * last check has asked where something stands; and it interns strings, because ten thousand certificates name
 * the same Connector and the same command.
 */

#include <stdarg.h>

#include "lib/config/yaml-table-internal.h"

struct yaml_run *yaml_run_new(struct arena *memory) {
        struct yaml_run *run = calloc(1, sizeof(*run));

        if (run)
                run->memory = memory;
        return run;
}

struct yaml_run *yaml_run_free(struct yaml_run *run) {
        if (!run)
                return NULL;
        arena_clear(&run->scratch);
        free(run->files);
        free(run->roots);
        free(run->errors);
        free(run->strings);
        free(run->accounts);
        free(run);
        return NULL;
}

void yaml_run_cleanse(struct yaml_run *run) {
        arena_cleanse(&run->scratch);
}

void *yaml_run_alloc(struct yaml_run *run, struct arena *arena, size_t n, size_t size) {
        void *memory = arena_alloc_array(arena, n, size);

        if (!memory)
                run->fatal = -ENOMEM;
        return memory;
}

int yaml_grow(struct yaml_run *run, void *array, size_t n, size_t size) {
        void **slot = array, *grown;

        if ((n & (n - 1)) != 0) /* 0 and the powers of two are when it is full */
                return 0;
        grown = reallocarray(*slot, n == 0 ? 1 : n * 2, size);
        if (!grown)
                return run->fatal = -ENOMEM;
        *slot = grown;
        return 0;
}

int yaml_run_file(struct yaml_run *run, const char *name, unsigned *ret_file) {
        char *copy = arena_strndup(&run->scratch, name, strlen(name));

        if (!copy || yaml_grow(run, &run->files, run->n_files, sizeof(*run->files)) < 0)
                return run->fatal = -ENOMEM;
        run->files[run->n_files] = copy;
        *ret_file = run->n_files++;
        return 0;
}

bool yaml_run_full(const struct yaml_run *run) {
        return run->n_errors >= YAML_ERRORS_MAX || run->fatal < 0;
}

bool yaml_run_complete(const struct yaml_run *run) {
        return !run->incomplete;
}

void *yaml_run_scratch(struct yaml_run *run, size_t n, size_t size) {
        return yaml_run_alloc(run, &run->scratch, n, size);
}

void *yaml_run_object(const struct yaml_run *run) {
        return run->object;
}

static void add_error(struct yaml_run *run, struct yaml_place place, const char *text) {
        char *copy = arena_strndup(&run->scratch, text, strlen(text));

        if (!copy || yaml_grow(run, &run->errors, run->n_errors, sizeof(*run->errors)) < 0) {
                run->fatal = -ENOMEM;
                return;
        }
        run->errors[run->n_errors] =
                (struct yaml_error) { .place = place, .sequence = run->n_errors, .text = copy };
        run->n_errors++;
}

void yaml_complain(struct yaml_run *run, struct yaml_place place, const char *format, ...) {
        _cleanup_(freep) char *text = NULL;
        va_list args;

        if (yaml_run_full(run))
                return;

        va_start(args, format);
        if (vasprintf(&text, format, args) < 0)
                text = NULL;
        va_end(args);
        if (!text) {
                run->fatal = -ENOMEM;
                return;
        }
        add_error(run, place, text);

        if (yaml_run_full(run))
                add_error(run, (struct yaml_place) { .file = UINT32_MAX },
                          "there are more errors; correct these first, and check again");
}

static int compare_errors(const void *a, const void *b) {
        const struct yaml_error *x = a, *y = b;

        if (x->place.file != y->place.file)
                return x->place.file < y->place.file ? -1 : 1;
        if (x->place.line != y->place.line)
                return x->place.line < y->place.line ? -1 : 1;
        if (x->place.column != y->place.column)
                return x->place.column < y->place.column ? -1 : 1;
        return x->sequence < y->sequence ? -1 : 1;
}

static int format_error(const struct yaml_run *run, const struct yaml_error *error, char **ret) {
        struct yaml_place place = error->place;
        char *text;
        int r;

        if (place.file >= run->n_files)
                r = asprintf(&text, "%s", error->text);
        else if (place.line == 0)
                r = asprintf(&text, "%s: %s", run->files[place.file], error->text);
        else
                r = asprintf(&text, "%s:%u:%u: %s", run->files[place.file], place.line, place.column,
                             error->text);
        if (r < 0)
                return -ENOMEM;
        *ret = text;
        return 0;
}

int yaml_run_errors(struct yaml_run *run, char ***ret_items, size_t *ret_n) {
        char **items;

        if (run->fatal < 0)
                return run->fatal;
        items = calloc((size_t)run->n_errors + 1, sizeof(*items));
        if (!items)
                return -ENOMEM;
        if (run->n_errors > 0)
                qsort(run->errors, run->n_errors, sizeof(*run->errors), compare_errors);
        for (unsigned i = 0; i < run->n_errors; i++)
                if (format_error(run, &run->errors[i], &items[i]) < 0) {
                        while (i > 0)
                                free(items[--i]);
                        free(items);
                        return -ENOMEM;
                }
        *ret_items = items;
        *ret_n = run->n_errors;
        return 0;
}

static size_t hash(const char *text) {
        uint64_t h = UINT64_C(14695981039346656037);

        for (; *text; text++)
                h = (h ^ (unsigned char)*text) * UINT64_C(1099511628211);
        return (size_t)(h ^ (h >> 32));
}

static char **string_slot(char **strings, size_t room, const char *text) {
        size_t i = hash(text) & (room - 1);

        while (strings[i] && !streq(strings[i], text))
                i = (i + 1) & (room - 1);
        return &strings[i];
}

static int strings_grow(struct yaml_run *run) {
        size_t room = run->room_strings == 0 ? 64 : run->room_strings * 2;
        char **strings = calloc(room, sizeof(*strings));

        if (!strings)
                return -ENOMEM;
        for (size_t i = 0; i < run->room_strings; i++)
                if (run->strings[i])
                        *string_slot(strings, room, run->strings[i]) = run->strings[i];
        free(run->strings);
        run->strings = strings;
        run->room_strings = room;
        return 0;
}

char *yaml_run_string(struct yaml_run *run, const char *text) {
        char **slot;

        /* Never more than half full. */
        if (run->n_strings * 2 >= run->room_strings && strings_grow(run) < 0) {
                run->fatal = -ENOMEM;
                return NULL;
        }
        slot = string_slot(run->strings, run->room_strings, text);
        if (!*slot) {
                *slot = arena_strndup(run->memory, text, strlen(text));
                if (!*slot) {
                        run->fatal = -ENOMEM;
                        return NULL;
                }
                run->n_strings++;
        }
        return *slot;
}

const struct yaml_node *yaml_resolve(const struct yaml_node *node) {
        return node->kind == YAML_ALIAS ? node->target : node;
}

const struct yaml_node *yaml_find(const struct yaml_node *node, const char *key) {
        node = yaml_resolve(node);
        if (node->kind != YAML_MAPPING)
                return NULL;
        for (const struct yaml_node *name = node->first; name; name = name->next->next) {
                const struct yaml_node *resolved = yaml_resolve(name);

                if (resolved->kind == YAML_SCALAR && streq(resolved->text, key))
                        return name->next;
        }
        return NULL;
}

const struct yaml_node *yaml_run_find(const struct yaml_run *run, const char *table, const char *key) {
        for (size_t i = run->n_roots; i > 0; i--) {
                const struct yaml_node *node = yaml_find(run->roots[i - 1], table);

                node = node ? yaml_find(node, key) : NULL;
                if (node)
                        return node;
        }
        return NULL;
}

const struct yaml_node *yaml_run_root(const struct yaml_run *run) {
        return run->n_roots > 0 ? run->roots[run->n_roots - 1] : NULL;
}

const struct yaml_node *const *yaml_run_names(const struct yaml_run *run, const void *entries) {
        for (const struct yaml_names *names = run->names; names; names = names->next)
                if (names->entries == entries)
                        return names->nodes;
        return NULL;
}

const char *yaml_place_text(struct yaml_run *run, struct yaml_place place, struct yaml_place from) {
        const char *file = run->files[place.file];
        size_t size = strlen(file) + 32;
        char *text = yaml_run_alloc(run, &run->scratch, size, 1);

        if (!text)
                return "?";
        if (place.file == from.file)
                snprintf(text, size, "line %u", place.line);
        else
                snprintf(text, size, "%s:%u", file, place.line);
        return text;
}

const char *yaml_echo(const char *text, char buffer[YAML_TEXT_MAX]) {
        enum { SHOWN_MAX = 80 };
        size_t n = 0;

        for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
                /* Shortened between characters, never inside one. */
                if (n >= SHOWN_MAX && (*p & 0xc0) != 0x80)
                        return strcpy(buffer + n, "..."), buffer;
                if (*p < 0x20 || *p == 0x7f)
                        n += (size_t)sprintf(buffer + n, "\\x%02x", *p);
                else if (*p == 0xc2 && p[1] >= 0x80 &&
                         p[1] < 0xa0) /* U+0080 to U+009F steer terminals, too */
                        n += (size_t)sprintf(buffer + n, "\\u%04x", *++p);
                else
                        buffer[n++] = (char)*p;
        }
        buffer[n] = '\0';
        return buffer;
}
