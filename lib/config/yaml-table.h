#pragma once

/* YAML to a struct and back, by a table of options. The same rows write error texts and the manual. */

#include <stdio.h>

#include "lib/util/arena.h"
#include "lib/util/error.h"

#define YAML_DEPTH_MAX   32
#define YAML_NODES_MAX   2000000u /* in all documents of a run, and again visited through aliases */
#define YAML_ANCHORS_MAX 1000u
#define YAML_ERRORS_MAX  1000u
#define YAML_NAME_MAX    64 /* bytes in the name of a map's entry */
#define YAML_TEXT_MAX    256

/* Where something stands. LINE and COLUMN begin at 1; line 0 means the file as a whole. */
struct yaml_place {
        unsigned file; /* as yaml_run_file() numbers them */
        unsigned line, column;
};

enum yaml_kind {
        YAML_SCALAR,
        YAML_LIST,
        YAML_MAPPING,
        YAML_ALIAS,
        YAML_KIND_MAX,
};

/* One node of a document that was read; valid as long as its run. */
struct yaml_node {
        struct yaml_node *next; /* sibling; in a mapping keys and values take turns */
        union {
                char *text;               /* of a scalar, NUL-terminated */
                struct yaml_node *first;  /* child of a list or mapping */
                struct yaml_node *target; /* of an alias; never an alias itself */
        };
        unsigned n; /* children; a mapping's pairs count twice */
        enum yaml_kind kind;
        bool plain; /* a scalar without quotes */
        struct yaml_place place;
};

struct yaml_run;
struct yaml_option;

/* How the value of an option is laid out, in YAML and in memory. */
enum yaml_shape {
        YAML_SHAPE_SCALAR, /* the type's own */
        YAML_SHAPE_ARGV,   /* list of strings -> char **, ends with NULL */
        YAML_SHAPE_WORDS,  /* list of words -> array of `max` enums inside the struct, and a count */
        YAML_SHAPE_TABLE,  /* mapping -> a struct inside the struct */
        YAML_SHAPE_MAP,  /* mapping of names to mappings -> array of structs and a count; names are unique */
        YAML_SHAPE_LIST, /* list of mappings -> array of structs and a count */
};

struct yaml_type {
        const char *name;     /* for the manual: "duration" */
        const char *expected; /* completes "must be ...": "a duration such as 90s, 30m, 12h or 30d" */
        enum yaml_shape shape;
        bool bare;   /* what format() gives is never quoted */
        size_t size; /* of the field */

        /*
         * TEXT, never empty, into FIELD. 0; -EINVAL for "must be <expected>, not 'TEXT'"; -ERANGE to name the
         * bounds. With ERROR filled, its text follows the option's name instead: for values that must not be
         * repeated in a log, and where more can be said. RUN gives memory and the struct that is being
         * filled.
         */
        int (*parse)(struct yaml_run *run, const struct yaml_option *option, const char *text, void *field,
                     struct error *error);

        /* The text that parse() reads back to the same; NULL where the field is not set. In BUFFER or
         * borrowed. */
        const char *(*format)(const struct yaml_option *option, const void *field,
                              char buffer[YAML_TEXT_MAX]);

        void (*unset)(void *field); /* where zero bytes do not mean "not set" */

        bool (*equal)(const void *a, const void *b); /* NULL: the bytes of both fields are compared */

        /* What there is to choose from, if none was given: "those defined: a, b". Owned; NULL: nothing to
         * say. */
        char *(*choices)(const struct yaml_run *run);
};

/* One option: a row that says everything about it. */
struct yaml_option {
        const char *key;
        const struct yaml_type *type;
        size_t offset; /* of the field in the table's struct */
        uint64_t min,
                max; /* of a number, of a duration in microseconds, or of the count of entries; max 0: none */
        const char *default_text; /* the default, as in the file; NULL: not set */
        const char *unit;         /* for the manual; NULL where the value carries its own or has none */
        const char *help;         /* one line */
        const char *const *words; /* an enumeration: names by value, holes are NULL */
        size_t n_words;
        const struct yaml_table *table; /* for the shapes TABLE, MAP and LIST */
        size_t count_offset;            /* of a map's, list's or WORDS' size_t */
        bool required;
        bool inherits;         /* the default is a field of the outermost struct: */
        size_t inherit_offset; /* this one */
};

struct yaml_table {
        const char *name; /* what one struct of it is called: "certificate" */
        const struct yaml_option *options;
        size_t n_options;
        size_t size;        /* of the struct */
        size_t name_offset; /* of its char *name, in a map */

        /*
         * Checks what several options mean together. OBJECT is filled as far as its options were right, NODE
         * is its mapping, PLACE is its name's or its own. Complains by yaml_complain(). For entries of maps
         * and lists only.
         */
        void (*check)(struct yaml_run *run, void *object, const struct yaml_node *node,
                      struct yaml_place place);
};

/* The types that every table may use. The comment names the field. */
extern const struct yaml_type yaml_string;          /* char *; no control characters */
extern const struct yaml_type yaml_path;            /* char *; absolute, without double or trailing slashes */
extern const struct yaml_type yaml_https_url;       /* char *; without user, query and fragment */
extern const struct yaml_type yaml_duration;        /* usec_t; 0 where that is out of bounds: not set */
extern const struct yaml_type yaml_duration_or_off; /* usec_t; 0 is "off", which is out of bounds */
extern const struct yaml_type yaml_share_or_duration; /* struct share_or_usec */
extern const struct yaml_type yaml_unsigned; /* unsigned; a word stands for its index, bounds or not */
extern const struct yaml_type yaml_word;     /* int or an enum: index into words */
extern const struct yaml_type yaml_mode;     /* mode_t */
extern const struct yaml_type yaml_bool;     /* bool */
extern const struct yaml_type yaml_user;     /* uid_t; -1: not set */
extern const struct yaml_type yaml_group;    /* gid_t; -1: not set */
extern const struct yaml_type yaml_argv;     /* char ** */
extern const struct yaml_type yaml_words;    /* int or enum[max]: indices into words */
extern const struct yaml_type yaml_struct;
extern const struct yaml_type yaml_map;
extern const struct yaml_type yaml_list;

/* For types of one's own: format() of a char *, an unsigned and a mode_t, and equal() of a char *. */
const char *yaml_format_string(const struct yaml_option *option, const void *field,
                               char buffer[YAML_TEXT_MAX]);
const char *yaml_format_unsigned(const struct yaml_option *option, const void *field,
                                 char buffer[YAML_TEXT_MAX]);
const char *yaml_format_mode(const struct yaml_option *option, const void *field, char buffer[YAML_TEXT_MAX]);
bool yaml_equal_string(const void *a, const void *b);
int yaml_find_word(const struct yaml_option *option, const char *text); /* its index among the words, or -1 */
char *yaml_list_words(const struct yaml_option *option); /* "auto, text or json", owned; NULL: no memory */

/* One reading of a set of files. What is read into structs lives in MEMORY, everything else in the run. */
struct yaml_run *yaml_run_new(struct arena *memory);
struct yaml_run *yaml_run_free(struct yaml_run *run);
DEFINE_CLEANUP(struct yaml_run *, yaml_run_free);

/* Overwrites the documents of a run that nobody needs any more: they had secrets in them. */
void yaml_run_cleanse(struct yaml_run *run);

/* Registers a file by the name that errors shall show. 0 or -ENOMEM. */
int yaml_run_file(struct yaml_run *run, const char *name, unsigned *ret_file);

/* Reads the document TEXT of a registered file. What is wrong with it becomes an error of the run; -ENOMEM
 * only. */
int yaml_run_read(struct yaml_run *run, unsigned file, const char *text, size_t size);

/*
 * Fills OBJECT, which is zeroed, by TABLE from all documents read, defaults first. Tables and maps merge;
 * where a value is given in several files the last one counts, but an entry of a map has one file. -ENOMEM
 * only; what is wrong becomes an error of the run.
 */
int yaml_run_apply(struct yaml_run *run, const struct yaml_table *table, void *object);

/* An error at PLACE, unless there are YAML_ERRORS_MAX already. */
void yaml_complain(struct yaml_run *run, struct yaml_place place, const char *format, ...) _printf_(3, 4);
bool yaml_run_full(const struct yaml_run *run); /* more complaints are useless: save the work */

/* False when a document could not be read to its end, so that what refers to it cannot be judged. */
bool yaml_run_complete(const struct yaml_run *run);

/* All errors, in the order of files and lines, as "file:line:column: text". Owned by the caller. 0 or
 * -ENOMEM. */
int yaml_run_errors(struct yaml_run *run, char ***ret_items, size_t *ret_n);

/* For parse() and check(). */
void *yaml_run_scratch(struct yaml_run *run, size_t n, size_t size); /* as long as RUN; NULL makes it void */
void *yaml_run_object(const struct yaml_run *run);                   /* the outermost struct */
char *yaml_run_string(struct yaml_run *run,
                      const char *text); /* interned in MEMORY; NULL when there is none */

/* The value of KEY in the mapping NODE (or what NODE is an alias of); NULL when there is none. */
const struct yaml_node *yaml_find(const struct yaml_node *node, const char *key);
/* The same in the outermost mappings, KEY inside TABLE: the last file's that has it. */
const struct yaml_node *yaml_run_find(const struct yaml_run *run, const char *table, const char *key);
/* The outermost mapping of the last file; NULL where there is none: for documents that have no table. */
const struct yaml_node *yaml_run_root(const struct yaml_run *run);
/* What an alias stands for, or NODE itself. */
const struct yaml_node *yaml_resolve(const struct yaml_node *node);
/* For each struct of the array ENTRIES, made from a map: the node of its name, whose `next` is its mapping.
 */
const struct yaml_node *const *yaml_run_names(const struct yaml_run *run, const void *entries);
/* "line 12", or "conf.d/a.yaml:12" where PLACE is in another file than FROM. Valid until the run ends. */
const char *yaml_place_text(struct yaml_run *run, struct yaml_place place, struct yaml_place from);

/* TEXT for an error message: shortened, control characters escaped. In BUFFER. */
const char *yaml_echo(const char *text, char buffer[YAML_TEXT_MAX]);

/* Whether the SIZE bytes at TEXT are what a URL has between :// and its path: a host, or an IPv6 address in
 * brackets, and maybe a port. And what to say where they are not. */
bool yaml_is_authority(const char *text, size_t size);
#define YAML_AUTHORITY_ADVICE \
        "must name a host, or an IPv6 address in brackets, and after a ':' a port from 1 to 65535"

/* Whether every option of TABLE has the same value in A and B, entries of maps and lists in the same order.
 */
bool yaml_equal(const struct yaml_table *table, const void *a, const void *b);

/* Writes OBJECT as YAML by TABLE: every option that is set. Errors of OUT are the caller's to check. */
void yaml_emit(const struct yaml_table *table, const void *object, FILE *out);
