/*
 * Reads a YAML document into a tree of nodes that know where they stand. This is the only file that knows
 * libyaml, and it takes libyaml's events, not its document: the document forgets explicit tags and where an
 * alias stood, and has no limits. Here depth, nodes and anchors are counted while they arrive. An alias stays
 * an alias in the tree, so a bomb of aliases is as small as its text; one inside what it names is refused, so
 * the tree has no cycles. Refused as well: tags, several documents, and bytes that are not plain UTF-8 text.
 */

#include <yaml.h>

#include "lib/config/yaml-table-internal.h"
#include "lib/util/utf8.h"

struct level {
        struct yaml_node *node;
        struct yaml_node *last; /* child */
};

struct anchor {
        const char *name;
        struct yaml_node *node;
};

struct reader {
        struct yaml_run *run;
        unsigned file;
        struct yaml_node *root;
        unsigned n_documents;
        struct level levels[YAML_DEPTH_MAX]; /* the collections that are open */
        unsigned depth;
        struct anchor *anchors;
        size_t n_anchors;
};

/* What handling an event leads to, besides -errno. */
enum { READ_ON = 0, READ_ENOUGH = 1 };

static struct yaml_place place_of(const struct reader *reader, yaml_mark_t mark) {
        return (struct yaml_place) { reader->file, (unsigned)mark.line + 1, (unsigned)mark.column + 1 };
}

/* Ends the file. Its tree may have a key without its value, and half a file only makes for misleading errors.
 */
static int stop(struct reader *reader) {
        reader->root = NULL;
        reader->run->incomplete = true;
        return READ_ENOUGH;
}

static int add_node(struct reader *reader, enum yaml_kind kind, const yaml_event_t *event,
                    struct yaml_node **ret) {
        struct yaml_run *run = reader->run;
        struct yaml_place place = place_of(reader, event->start_mark);
        struct yaml_node *node;

        if (++run->n_nodes > YAML_NODES_MAX) {
                yaml_complain(run, place,
                              "the configuration has more than %u values; split it between several "
                              "instances of rekeyd",
                              YAML_NODES_MAX);
                return stop(reader);
        }
        node = yaml_run_alloc(run, &run->scratch, 1, sizeof(*node));
        if (!node)
                return -ENOMEM;
        node->kind = kind;
        node->place = place;

        if (reader->depth == 0)
                reader->root = node;
        else {
                struct level *level = &reader->levels[reader->depth - 1];

                if (level->last)
                        level->last->next = node;
                else
                        level->node->first = node;
                level->last = node;
                level->node->n++;
        }
        *ret = node;
        return 0;
}

static int add_anchor(struct reader *reader, const yaml_char_t *name, struct yaml_node *node) {
        struct yaml_run *run = reader->run;
        const char *copy;

        if (!name)
                return 0;
        if (reader->n_anchors == YAML_ANCHORS_MAX) {
                yaml_complain(run, node->place,
                              "the file has more than %u anchors; settings that certificates share belong "
                              "under 'defaults'",
                              YAML_ANCHORS_MAX);
                return stop(reader);
        }
        copy = arena_strndup(&run->scratch, (const char *)name, strlen((const char *)name));
        if (!copy || yaml_grow(run, &reader->anchors, reader->n_anchors, sizeof(*reader->anchors)) < 0)
                return -ENOMEM;
        reader->anchors[reader->n_anchors++] = (struct anchor) { copy, node };
        return 0;
}

static void check_tag(struct reader *reader, const yaml_char_t *tag, const yaml_event_t *event) {
        char echo[YAML_TEXT_MAX];

        if (tag)
                yaml_complain(reader->run, place_of(reader, event->start_mark),
                              "the YAML tag '%s' is not accepted; each option has its one type, so leave the "
                              "tag out",
                              yaml_echo((const char *)tag, echo));
}

static int read_alias(struct reader *reader, const yaml_event_t *event) {
        const char *name = (const char *)event->data.alias.anchor;
        struct yaml_place place = place_of(reader, event->start_mark);
        struct yaml_node *node, *target = NULL;
        char echo[YAML_TEXT_MAX];
        int r;

        /* From the newest: an anchor may be set again. */
        for (size_t i = reader->n_anchors; i > 0 && !target; i--)
                if (streq(reader->anchors[i - 1].name, name))
                        target = reader->anchors[i - 1].node;
        if (!target) {
                yaml_complain(reader->run, place, "this alias has no anchor '&%s' above it",
                              yaml_echo(name, echo));
                return stop(reader);
        }
        for (unsigned i = 0; i < reader->depth; i++)
                if (reader->levels[i].node == target) {
                        yaml_complain(reader->run, place,
                                      "the alias '*%s' is inside its own anchor, which would never end",
                                      yaml_echo(name, echo));
                        return stop(reader);
                }

        r = add_node(reader, YAML_ALIAS, event, &node);
        if (r == 0)
                node->target = target;
        return r;
}

static int read_scalar(struct reader *reader, const yaml_event_t *event) {
        const char *text = (const char *)event->data.scalar.value;
        size_t length = event->data.scalar.length;
        struct yaml_node *node;
        int r;

        check_tag(reader, event->data.scalar.tag, event);
        r = add_node(reader, YAML_SCALAR, event, &node);
        if (r != 0)
                return r;
        if (memchr(text, '\0', length))
                yaml_complain(reader->run, node->place,
                              "the text contains a NUL character, which no option accepts; remove the \\0");
        node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        node->text = arena_strndup(&reader->run->scratch, text, length);
        if (!node->text)
                return -ENOMEM;
        return add_anchor(reader, event->data.scalar.anchor, node);
}

static int read_start(struct reader *reader, enum yaml_kind kind, const yaml_char_t *tag,
                      const yaml_char_t *anchor, const yaml_event_t *event) {
        struct yaml_node *node;
        int r;

        check_tag(reader, tag, event);
        if (reader->depth == YAML_DEPTH_MAX) {
                yaml_complain(
                        reader->run, place_of(reader, event->start_mark),
                        "lists and mappings are nested deeper than %u levels here; no option needs that",
                        YAML_DEPTH_MAX);
                return stop(reader);
        }
        r = add_node(reader, kind, event, &node);
        if (r != 0)
                return r;
        reader->levels[reader->depth++] = (struct level) { .node = node };
        return add_anchor(reader, anchor, node);
}

static int read_event(struct reader *reader, const yaml_event_t *event) {
        switch (event->type) {
        case YAML_DOCUMENT_START_EVENT:
                if (reader->n_documents++ == 0)
                        return READ_ON;
                yaml_complain(reader->run, place_of(reader, event->start_mark),
                              "a second YAML document begins here, and a file has only one; remove the "
                              "'---', or make "
                              "what follows a file of its own in conf.d");
                reader->run->incomplete = true; /* the first document is whole, though */
                return READ_ENOUGH;
        case YAML_ALIAS_EVENT:
                return read_alias(reader, event);
        case YAML_SCALAR_EVENT:
                return read_scalar(reader, event);
        case YAML_SEQUENCE_START_EVENT:
                return read_start(reader, YAML_LIST, event->data.sequence_start.tag,
                                  event->data.sequence_start.anchor, event);
        case YAML_MAPPING_START_EVENT:
                return read_start(reader, YAML_MAPPING, event->data.mapping_start.tag,
                                  event->data.mapping_start.anchor, event);
        case YAML_SEQUENCE_END_EVENT:
        case YAML_MAPPING_END_EVENT:
                reader->depth--;
                return READ_ON;
        case YAML_STREAM_END_EVENT:
                return READ_ENOUGH;
        default:
                return READ_ON;
        }
}

/* libyaml says at which byte its reader stumbled, not in which line. */
static struct yaml_place place_of_byte(unsigned file, const char *text, size_t offset) {
        struct yaml_place place = { file, 1, 1 };

        for (size_t i = 0; i < offset; i++)
                if (text[i] == '\n') {
                        place.line++;
                        place.column = 1;
                } else if (((unsigned char)text[i] & 0xc0) != 0x80)
                        place.column++;
        return place;
}

static bool is_ascii(char c) {
        return (unsigned char)c < 0x80;
}

static void complain_bytes(struct reader *reader, const yaml_parser_t *parser, const char *text,
                           size_t size) {
        bool control = parser->problem && strstr(parser->problem, "control");
        size_t offset = parser->problem_offset < size ? parser->problem_offset : size;
        struct yaml_place place;

        /* A character that is cut short: libyaml points behind it, at what is innocent. */
        if (!control && offset > 0 && (offset == size || is_ascii(text[offset])) &&
            !is_ascii(text[offset - 1]))
                offset--;
        place = place_of_byte(reader->file, text, offset);

        if (control && parser->problem_value == 0)
                yaml_complain(reader->run, place, "a NUL byte is not text; is this a YAML file?");
        else if (control)
                yaml_complain(reader->run, place,
                              "the control character U+%04X is not text; remove it, or write it as "
                              "an escape in double quotes",
                              (unsigned)parser->problem_value);
        else
                yaml_complain(reader->run, place,
                              "the byte 0x%02x is not valid UTF-8 here; save the file as UTF-8",
                              offset < size ? (unsigned char)text[offset] : 0u);
}

static void complain_syntax(struct reader *reader, const yaml_parser_t *parser, const char *text,
                            size_t size) {
        struct yaml_place place = place_of(reader, parser->problem_mark);
        size_t offset = parser->problem_mark.index;
        const char *advice = "";

        if (parser->error == YAML_READER_ERROR) {
                complain_bytes(reader, parser, text, size);
                return;
        }

        /* The two mistakes that libyaml's texts do not explain. The index counts characters, which are bytes
         * until there is something else than ASCII: then there is no advice, or none that hurts. */
        if (offset < size && text[offset] == '\t')
                advice = "; indent with blanks instead of a tab";
        else if (parser->problem && strstr(parser->problem, "mapping values are not allowed"))
                advice = "; look for an extra ':', or a line that is indented too far";

        if (parser->context)
                yaml_complain(reader->run, place, "not valid YAML: %s, %s that begins in line %zu%s",
                              parser->problem, parser->context, parser->context_mark.line + 1, advice);
        else
                yaml_complain(reader->run, place, "not valid YAML: %s%s",
                              parser->problem ? parser->problem : "unknown problem", advice);
}

static int read_events(struct reader *reader, yaml_parser_t *parser, const char *text, size_t size) {
        for (;;) {
                yaml_event_t event;
                int r;

                if (!yaml_parser_parse(parser, &event)) {
                        if (parser->error == YAML_MEMORY_ERROR)
                                return reader->run->fatal = -ENOMEM;
                        complain_syntax(reader, parser, text, size);
                        stop(reader);
                        return 0;
                }
                r = read_event(reader, &event);
                yaml_event_delete(&event);
                if (r < 0)
                        return reader->run->fatal = r;
                if (r == READ_ENOUGH)
                        return 0;
        }
}

int yaml_run_read(struct yaml_run *run, unsigned file, const char *text, size_t size) {
        const size_t mark = utf8_mark_size(text, size); /* libyaml takes it for a column of its own */
        struct reader reader = { .run = run, .file = file };
        yaml_parser_t parser;
        int r;

        if (!yaml_parser_initialize(&parser))
                return run->fatal = -ENOMEM;
        yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING); /* no guessing at UTF-16 */
        yaml_parser_set_input_string(&parser, (const unsigned char *)text + mark, size - mark);
        r = read_events(&reader, &parser, text + mark, size - mark);
        yaml_parser_delete(&parser);
        free(reader.anchors);
        if (r < 0)
                return r;

        /* Nothing but comments, or only '---': an empty file. */
        if (!reader.root || (reader.root->kind == YAML_SCALAR && reader.root->plain && !*reader.root->text))
                return 0;
        if (reader.root->kind != YAML_MAPPING) {
                yaml_complain(run, reader.root->place,
                              "expected a mapping of options, such as 'certificates:', found %s",
                              reader.root->kind == YAML_LIST ? "a list" : "a single value");
                return 0;
        }
        if (yaml_grow(run, &run->roots, run->n_roots, sizeof(*run->roots)) < 0)
                return -ENOMEM;
        run->roots[run->n_roots++] = reader.root;
        return 0;
}
