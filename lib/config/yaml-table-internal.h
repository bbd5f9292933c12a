#pragma once

/* What the files of yaml-table share: the run. No other file includes this. */

#include "lib/config/yaml-table.h"

struct yaml_error {
        struct yaml_place place;
        unsigned sequence; /* keeps errors at one place in the order of their making */
        char *text;
};

/* The names of a map that was filled, for checks that come after. */
struct yaml_names {
        struct yaml_names *next;
        const void *entries;
        const struct yaml_node **nodes;
};

struct yaml_run {
        struct arena *memory; /* the caller's: what the structs point to */
        struct arena scratch; /* nodes, file names, error texts */
        void *object;
        int fatal; /* -ENOMEM once that happened anywhere; the run is void */

        const char **files;
        unsigned n_files;
        const struct yaml_node **roots; /* the outermost mapping of each file that has one */
        size_t n_roots;
        bool incomplete;
        size_t n_nodes, n_visited;

        struct yaml_error *errors;
        unsigned n_errors;

        struct yaml_names *names;

        /* Strings in MEMORY by hash, open addressing. */
        char **strings;
        size_t n_strings, room_strings;

        /* Users and groups that were looked up: each is a file read, or a question to a directory server. */
        struct yaml_account {
                const char *name;
                bool group;
                int code;
                unsigned id;
        } * accounts;
        size_t n_accounts;
};

/* arena_alloc() that remembers when memory ran out. */
void *yaml_run_alloc(struct yaml_run *run, struct arena *arena, size_t n, size_t size);

/* Makes room for one more in an array of N objects of SIZE bytes; its room is the next power of two. */
int yaml_grow(struct yaml_run *run, void *array, size_t n, size_t size);

/* How many entries a map, a list or WORDS of OBJECT has. */
static inline size_t yaml_count(const struct yaml_option *option, const void *object) {
        return *(const size_t *)(const void *)((const char *)object + option->count_offset);
}

/* BOUND, an option's min or max, as in the file. */
void yaml_format_bound(const struct yaml_option *option, uint64_t bound, char buffer[YAML_TEXT_MAX]);
