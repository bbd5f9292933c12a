#pragma once

/* Shared by store.c, store-stage.c and store-adopt.c; nobody else includes it. */

#include <limits.h>

#include "lib/store.h"

#define STAGE_CSR   "tls.csr"
#define STAGE_TOKEN "token"

#define STORE_TOKEN_MAX (16u * 1024)

struct store {
        char *path;
        int fd; /* the directory; its flock is ours */
        struct store_options options;
        bool has_current;
        uint64_t current;
};

/* "..gen-000042" and "..stage-000043". */
#define GENERATION_PREFIX "..gen-"
#define STAGE_PREFIX      "..stage-"
#define NUMBERED_NAME_MAX 40
const char *store_numbered_name(char buffer[NUMBERED_NAME_MAX], const char *prefix, uint64_t number);

/* The number that the next generation gets; 0 is for adopted pairs only. */
uint64_t store_next(const struct store *store);

/* Renames the finished directory STAGE_NAME to generation NUMBER and makes that current. */
int store_publish(struct store *store, const char *stage_name, uint64_t number, struct error *error);

/* Every public name that is missing becomes a link into `..data`; one that is another file is left alone. */
int store_make_links(struct store *store, struct error *error);

extern const char *const store_public_names[];
