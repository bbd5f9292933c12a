/*
 * Walks a table and the documents side by side and fills the struct. The documents are layers: for each
 * option the values of all files are gathered first, then the option is filled in the order of the rows, so
 * that what inherits from an earlier row finds it complete, whichever file it came from. The walk goes as
 * deep as the tables go, never as deep as the document, and every node that it visits is counted: aliases
 * cannot make it long.
 */

#include "lib/config/yaml-table-internal.h"
#include "lib/util/parse.h"
#include "lib/util/text-stream.h"

/* The mappings, one for each file, that fill one struct; and where to complain when something is missing. */
struct layers {
        const struct yaml_node *const *nodes;
        size_t n;
        struct yaml_place place;
};

static void apply_table(struct yaml_run *run, const struct yaml_table *table, void *object,
                        struct layers layers);

static const char *kind_name(const struct yaml_node *node) {
        static const char *const names[YAML_KIND_MAX] = {
                [YAML_SCALAR] = "a single value",
                [YAML_LIST] = "a list",
                [YAML_MAPPING] = "a mapping",
                [YAML_ALIAS] = "an alias",
        };

        return names[node->kind];
}

/* The walk was cut short: what was not found may be there. */
static bool has_ended(const struct yaml_run *run) {
        return run->fatal < 0 || run->n_visited > YAML_NODES_MAX;
}

/* Counts the node in. False when the walk must end. */
static bool visit(struct yaml_run *run, const struct yaml_node *node) {
        if (has_ended(run))
                return false;
        if (++run->n_visited <= YAML_NODES_MAX)
                return true;
        yaml_complain(run, node->place,
                      "with its aliases followed, the configuration has more than %u values; "
                      "write out less by aliases",
                      YAML_NODES_MAX);
        run->incomplete = true;
        return false;
}

static bool is_null(const struct yaml_node *node) {
        static const char *const words[] = { "", "~", "null", "Null", "NULL" };

        if (node->kind != YAML_SCALAR || !node->plain)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (streq(node->text, words[i]))
                        return true;
        return false;
}

/* VALUE as a node of KIND; NULL after a complaint. WHAT is the option or entry that it belongs to. */
static const struct yaml_node *expect(struct yaml_run *run, const struct yaml_node *value,
                                      enum yaml_kind kind, const char *what) {
        const struct yaml_node *node = yaml_resolve(value);
        char echo[YAML_TEXT_MAX];

        if (!visit(run, value))
                return NULL;
        if (is_null(node) || (node->kind == YAML_SCALAR && !*node->text))
                yaml_complain(run, value->place, "'%s' has no value; set one, or remove the line",
                              yaml_echo(what, echo));
        else if (node->kind != kind)
                yaml_complain(run, value->place, "'%s': expected %s, found %s", yaml_echo(what, echo),
                              kind_name(&(struct yaml_node) { .kind = kind }), kind_name(node));
        else
                return node;
        return NULL;
}

/* "a, b and c" of all options, for a reader who is lost. */
static char *list_options(const struct yaml_table *table) {
        char *text = NULL;
        size_t size;
        FILE *out = text_stream_open(&text, &size);

        if (!out)
                return NULL;
        for (size_t i = 0; i < table->n_options; i++)
                fprintf(out, "%s%s",
                        i == 0                      ? ""
                        : i + 1 == table->n_options ? " and "
                                                    : ", ",
                        table->options[i].key);
        return fclose(out) == 0 ? text : NULL;
}

static void complain_unknown(struct yaml_run *run, const struct yaml_table *table,
                             const struct yaml_node *name, const char *key) {
        _cleanup_(freep) const char **candidates = NULL;
        _cleanup_(freep) char *known = NULL;
        const char *nearest = NULL;
        char echo[YAML_TEXT_MAX];

        if (yaml_run_full(run))
                return;
        yaml_echo(key, echo);

        if (streq(key, "<<")) {
                yaml_complain(run, name->place,
                              "merge keys ('<<') are not supported; settings that certificates share belong "
                              "under 'defaults'");
                return;
        }

        candidates = calloc(table->n_options + 1, sizeof(*candidates));
        if (candidates) {
                for (size_t i = 0; i < table->n_options; i++)
                        candidates[i] = table->options[i].key;
                nearest = nearest_word(key, candidates);
        }
        if (nearest) {
                yaml_complain(run, name->place, "unknown option '%s'; did you mean '%s'?", echo, nearest);
                return;
        }
        known = list_options(table);
        yaml_complain(run, name->place, "unknown option '%s'; what is known here: %s", echo,
                      known ? known : "");
}

/* The text of a key; NULL after a complaint. */
static const char *key_text(struct yaml_run *run, const struct yaml_node *name) {
        const struct yaml_node *node = yaml_resolve(name);

        if (!visit(run, name))
                return NULL;
        if (node->kind == YAML_SCALAR && *node->text)
                return node->text;
        yaml_complain(run, name->place, "expected a name before the ':', found %s",
                      node->kind == YAML_SCALAR ? "nothing" : kind_name(node));
        return NULL;
}

/* Sorts the keys of MAPPING into FOUND, by option. */
static void gather_options(struct yaml_run *run, const struct yaml_table *table,
                           const struct yaml_node *mapping, const struct yaml_node **found) {
        for (const struct yaml_node *name = mapping->first; name; name = name->next->next) {
                const char *key = key_text(run, name);
                size_t i = 0;

                if (!key)
                        continue;
                while (i < table->n_options && !streq(table->options[i].key, key))
                        i++;
                if (i == table->n_options)
                        complain_unknown(run, table, name, key);
                else if (found[i])
                        yaml_complain(run, name->place, "'%s' is given twice; the first is in %s", key,
                                      yaml_place_text(run, found[i]->place, name->place));
                else
                        found[i] = name;
        }
}

static void complain_bounds(struct yaml_run *run, const struct yaml_option *option,
                            const struct yaml_node *value, const char *text) {
        char echo[YAML_TEXT_MAX], min[YAML_TEXT_MAX], max[YAML_TEXT_MAX];

        yaml_format_bound(option, option->min, min);
        yaml_format_bound(option, option->max, max);
        yaml_complain(run, value->place, "'%s' must be between %s and %s, not %s", option->key, min, max,
                      yaml_echo(text, echo));
}

static void fill_scalar(struct yaml_run *run, const struct yaml_option *option, const struct yaml_node *value,
                        void *field) {
        const struct yaml_node *node = expect(run, value, YAML_SCALAR, option->key);
        struct error error = ERROR_INIT;
        char echo[YAML_TEXT_MAX];
        int r;

        if (!node)
                return;
        r = option->type->parse(run, option, node->text, field, &error);
        if (r == -ENOMEM)
                run->fatal = r;
        else if (r < 0 && error.text)
                yaml_complain(run, value->place, "'%s' %s", option->key, error.text);
        else if (r == -ERANGE && option->max > 0)
                complain_bounds(run, option, value, node->text);
        else if (r < 0)
                yaml_complain(run, value->place, "'%s' must be %s, not '%s'", option->key,
                              option->type->expected, yaml_echo(node->text, echo));
        error_clear(&error);
}

static void fill_argv(struct yaml_run *run, const struct yaml_option *option, const struct yaml_node *value,
                      char ***field) {
        const struct yaml_node *list = expect(run, value, YAML_LIST, option->key);
        char **argv;
        size_t n = 0;

        if (!list)
                return;
        if (list->n == 0) {
                yaml_complain(run, value->place, "'%s' is an empty list; it needs at least one entry",
                              option->key);
                return;
        }
        argv = yaml_run_alloc(run, run->memory, (size_t)list->n + 1, sizeof(*argv));
        if (!argv)
                return;
        for (const struct yaml_node *item = list->first; item; item = item->next) {
                const struct yaml_node *node = yaml_resolve(item);

                /* An empty argument is an argument when it is quoted. */
                if (node->kind != YAML_SCALAR || node->plain)
                        node = expect(run, item, YAML_SCALAR, option->key);
                else if (!visit(run, item))
                        return;
                argv[n] = node ? yaml_run_string(run, node->text) : NULL;
                if (argv[n])
                        n++;
        }
        *field = argv;
}

/* The index of the word that ITEM is; -1 after a complaint. */
static int read_word(struct yaml_run *run, const struct yaml_option *option, const struct yaml_node *item) {
        const struct yaml_node *node = expect(run, item, YAML_SCALAR, option->key);
        _cleanup_(freep) char *words = NULL;
        char echo[YAML_TEXT_MAX];
        int word;

        if (!node)
                return -1;
        word = yaml_find_word(option, node->text);
        if (word < 0 && !yaml_run_full(run)) {
                words = yaml_list_words(option);
                yaml_complain(run, item->place, "'%s' must be a list of %s, without '%s'", option->key,
                              words ? words : "known words", yaml_echo(node->text, echo));
        }
        return word;
}

static void fill_words(struct yaml_run *run, const struct yaml_option *option, const struct yaml_node *value,
                       int *field, size_t *count) {
        const struct yaml_node *list = expect(run, value, YAML_LIST, option->key);
        bool right = true;
        size_t n = 0;

        if (!list)
                return;
        if (list->n == 0 || list->n > option->max) {
                yaml_complain(run, value->place,
                              "'%s' has %u entries; it needs at least one, and %" PRIu64 " are the most",
                              option->key, list->n, option->max);
                return;
        }
        for (const struct yaml_node *item = list->first; item; item = item->next) {
                int word = read_word(run, option, item);

                if (word >= 0)
                        field[n++] = word;
                else
                        right = false;
        }
        *count = right ? n : 0;
}

static void set_default(struct yaml_run *run, const struct yaml_option *option, void *field) {
        if (option->inherits)
                memcpy(field, (const char *)run->object + option->inherit_offset, option->type->size);
        else if (option->default_text) {
                int r = option->type->parse(run, option, option->default_text, field, NULL);

                if (r == -ENOMEM)
                        run->fatal = r;
                else
                        assert(r == 0); /* a default that its own parser refuses is a bug in the row */
        } else if (option->type->unset)
                option->type->unset(field);
}

static bool valid_name(const char *name) {
        size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

        return n > 0 && n <= YAML_NAME_MAX && !name[n] && !strchr("._-", name[0]);
}

/* How many entries the layers have, checked against the bounds of the option. */
static bool count_entries(struct yaml_run *run, const struct yaml_option *option, struct layers layers,
                          size_t *ret) {
        size_t n = 0;

        for (size_t i = 0; i < layers.n; i++)
                n += layers.nodes[i]->kind == YAML_MAPPING ? layers.nodes[i]->n / 2 : layers.nodes[i]->n;
        if (option->max > 0 && n > option->max) {
                yaml_complain(run, layers.place, "'%s' has %zu entries; %" PRIu64 " are the most",
                              option->key, n, option->max);
                return false;
        }
        *ret = n;
        return true;
}

static void fill_entry(struct yaml_run *run, const struct yaml_table *table, void *object,
                       const struct yaml_node *mapping, struct yaml_place place) {
        apply_table(run, table, object, (struct layers) { .nodes = &mapping, .n = 1, .place = place });
        if (table->check && run->fatal == 0)
                table->check(run, object, mapping, place);
}

struct named {
        const char *name;
        const struct yaml_node *node;
        size_t i;
};

static int compare_named(const void *a, const void *b) {
        const struct named *x = a, *y = b;
        int order = strcmp(x->name, y->name);

        return order != 0 ? order : x->i < y->i ? -1 : 1;
}

static void complain_duplicates(struct yaml_run *run, const struct yaml_table *table, struct named *named,
                                size_t n) {
        size_t first = 0;

        if (n > 0)
                qsort(named, n, sizeof(*named), compare_named);
        for (size_t i = 1; i < n; i++)
                if (!streq(named[i].name, named[first].name))
                        first = i;
                else if (!yaml_run_full(run))
                        yaml_complain(run, named[i].node->place,
                                      "%s '%s' is defined twice; the first is in %s", table->name,
                                      named[i].name,
                                      yaml_place_text(run, named[first].node->place, named[i].node->place));
}

static void fill_map(struct yaml_run *run, const struct yaml_option *option, struct layers layers,
                     void **field, size_t *count) {
        const struct yaml_table *table = option->table;
        _cleanup_(freep) struct named *named = NULL;
        struct yaml_names *names;
        char echo[YAML_TEXT_MAX], *entries;
        size_t n, used = 0;

        if (!count_entries(run, option, layers, &n) || n == 0)
                return;
        entries = yaml_run_alloc(run, run->memory, n, table->size);
        names = yaml_run_alloc(run, &run->scratch, 1, sizeof(*names));
        named = calloc(n, sizeof(*named));
        if (names)
                names->nodes = yaml_run_alloc(run, &run->scratch, n, sizeof(*names->nodes));
        if (!named)
                run->fatal = -ENOMEM;
        if (run->fatal < 0)
                return;

        for (size_t l = 0; l < layers.n; l++)
                for (const struct yaml_node *key = layers.nodes[l]->first; key; key = key->next->next) {
                        const char *name = key_text(run, key);
                        const struct yaml_node *mapping;
                        char *object = entries + used * table->size;

                        if (!name)
                                continue;
                        if (!valid_name(name)) {
                                yaml_complain(run, key->place,
                                              "'%s' cannot name a %s; a name has 1 to %u letters, digits, "
                                              "'.', '_' or "
                                              "'-' and begins with a letter or digit",
                                              yaml_echo(name, echo), table->name, YAML_NAME_MAX);
                                run->incomplete = true;
                                continue;
                        }
                        mapping = expect(run, key->next, YAML_MAPPING, name);
                        if (!mapping) {
                                run->incomplete = true;
                                continue;
                        }
                        *(char **)(void *)(object + table->name_offset) = yaml_run_string(run, name);
                        names->nodes[used] = key;
                        named[used] = (struct named) { name, key, used };
                        used++;
                        fill_entry(run, table, object, mapping, key->place);
                }

        complain_duplicates(run, table, named, used);
        names->entries = entries;
        names->next = run->names;
        run->names = names;
        *field = entries;
        *count = used;
}

static void fill_list(struct yaml_run *run, const struct yaml_option *option, struct layers layers,
                      void **field, size_t *count) {
        const struct yaml_table *table = option->table;
        char *entries;
        size_t n, used = 0;

        if (!count_entries(run, option, layers, &n) || n == 0)
                return;
        entries = yaml_run_alloc(run, run->memory, n, table->size);
        if (!entries)
                return;
        for (const struct yaml_node *item = layers.nodes[0]->first; item; item = item->next) {
                const struct yaml_node *mapping = expect(run, item, YAML_MAPPING, option->key);

                if (mapping)
                        fill_entry(run, table, entries + used++ * table->size, mapping, item->place);
        }
        *field = entries;
        *count = used;
}

/* NAMES are the keys that give OPTION a value, from the first file to the last. */
static void fill_option(struct yaml_run *run, const struct yaml_option *option, char *object,
                        const struct yaml_node **names, size_t n_names, struct yaml_place place) {
        enum yaml_shape shape = option->type->shape;
        void *field = object + option->offset;
        size_t *count = (size_t *)(void *)(object + option->count_offset);
        struct layers layers = { .nodes = names, .place = n_names > 0 ? names[n_names - 1]->place : place };

        if (shape == YAML_SHAPE_SCALAR) {
                set_default(run, option, field);
                for (size_t i = 0; i < n_names; i++)
                        fill_scalar(run, option, names[i]->next, field);
                return;
        }
        if (shape == YAML_SHAPE_ARGV) {
                for (size_t i = 0; i < n_names; i++)
                        fill_argv(run, option, names[i]->next, field);
                return;
        }

        if (shape == YAML_SHAPE_WORDS) {
                for (size_t i = 0; i < n_names; i++)
                        fill_words(run, option, names[i]->next, field, count);
                return;
        }

        for (size_t i = 0; i < n_names; i++) {
                const struct yaml_node *node =
                        expect(run, names[i]->next, shape == YAML_SHAPE_LIST ? YAML_LIST : YAML_MAPPING,
                               option->key);

                if (!node && shape == YAML_SHAPE_MAP)
                        run->incomplete = true; /* names are missing that others may refer to */
                if (shape == YAML_SHAPE_LIST)
                        layers.n = 0; /* lists replace each other: the last one counts */
                if (node)
                        names[layers.n++] = node; /* in place: never ahead of what is still to be read */
        }
        if (shape == YAML_SHAPE_TABLE)
                apply_table(run, option->table, field, layers);
        else if (shape == YAML_SHAPE_MAP)
                fill_map(run, option, layers, field, count);
        else
                fill_list(run, option, layers, field, count);
}

static void complain_missing(struct yaml_run *run, const struct yaml_table *table,
                             const struct yaml_option *option, struct yaml_place place) {
        _cleanup_(freep) char *choices = NULL;

        if (option->type->choices && !yaml_run_full(run))
                choices = option->type->choices(run);
        yaml_complain(run, place, "the %s lacks '%s', %s%s%s", table->name, option->key, option->help,
                      choices ? "; " : "", choices ? choices : "");
}

static void apply_table(struct yaml_run *run, const struct yaml_table *table, void *object,
                        struct layers layers) {
        const struct yaml_node **found, **names;

        if (run->fatal < 0)
                return;
        found = yaml_run_alloc(run, &run->scratch, layers.n * table->n_options + layers.n, sizeof(*found));
        if (!found)
                return;
        names = found + layers.n * table->n_options;

        for (size_t l = 0; l < layers.n; l++)
                gather_options(run, table, layers.nodes[l], found + l * table->n_options);

        for (size_t i = 0; i < table->n_options; i++) {
                const struct yaml_option *option = &table->options[i];
                size_t n_names = 0;

                for (size_t l = 0; l < layers.n; l++)
                        if (found[l * table->n_options + i])
                                names[n_names++] = found[l * table->n_options + i];
                if (n_names == 0 && option->required && !has_ended(run))
                        complain_missing(run, table, option, layers.place);
                fill_option(run, option, object, names, n_names, layers.place);
        }
}

int yaml_run_apply(struct yaml_run *run, const struct yaml_table *table, void *object) {
        struct layers layers = { .nodes = run->roots, .n = run->n_roots };

        run->object = object;
        apply_table(run, table, object, layers);
        return run->fatal;
}
