#pragma once

/* Shared by store*.c and inspect.c, which reads without locking; no other file includes it. */

#include <limits.h>

#include "lib/store/store.h"
#include "lib/util/rights.h"

#define STAGE_CSR   "tls.csr"
#define STAGE_TOKEN "token"

/* In a generation that is a copy: the number of the other. Not for readers. */
#define STORE_COPY_OF ".copy-of"

#define STORE_TOKEN_MAX (16u * 1024)

/* All generations on disk, oldest first; the numbers are owned by the caller. */
struct generations {
        uint64_t *numbers;
        size_t n;
};
void generations_clear(struct generations *generations);

struct store {
        char *path;
        int fd; /* the directory; its flock is ours */
        struct store_options options;
        struct file_access adopted;    /* see store-access.c */
        struct file_access key_access; /* of the options, and of what they leave open */
        bool has_current;
        uint64_t current;

        /* What opening it has listed, for as long as this store has changed nothing of it. Whoever else works
         * there waits for the lock. */
        bool is_listed;
        struct generations listed;
        bool has_no_stage; /* for the next generation */
};

/* The store is about to add or remove a generation or a stage. */
void store_forget_listing(struct store *store);

/* "..gen-000042" and "..stage-000043". */
#define GENERATION_PREFIX "..gen-"
#define STAGE_PREFIX      "..stage-"
#define NUMBERED_NAME_MAX 40
const char *store_numbered_name(char buffer[NUMBERED_NAME_MAX], const char *prefix, uint64_t number);

/* R, an error, is about the files that were read: they are missing or damaged. All other errors are about the
 * machine, which lacks a resource or the permission: nothing follows for the files, and nothing must be
 * repaired. */
bool store_blames_files(int r);

/* The number that the next generation gets; 0 is for adopted pairs only. */
uint64_t store_next(const struct store *store);

/* Renames the finished directory STAGE_NAME to generation NUMBER and makes that current. */
int store_publish(struct store *store, const char *stage_name, uint64_t number, struct error *error);

/* Every public name that is missing becomes a link into `..data`; one that is another file is left alone. */
int store_make_links(struct store *store, struct error *error);

/* A set as it comes from elsewhere, or from an older generation. */
struct pair {
        struct key *key;
        char *certificate_pem;
        char *ca_pem;          /* may be NULL */
        char *connection_json; /* may be NULL */
        bool is_copy;          /* of generation `source` */
        uint64_t source;
};
void pair_clear(struct pair *pair);

/* Writes the texts of PAIR anew: the leaf, which is the certificate of the key that lasts longest, goes
 * first. Intermediates that are missing come from the CA file, and a root that has expired at NOW is left
 * out. Where there is no CA, the leaf's issuers are. 0; -EBADMSG or -EINVAL for what is no pair; another
 * -errno. */
int pair_order(struct pair *pair, usec_t now, struct error *error);

/* The leaf verifies to the CA, where there is one. 0 or -errno. */
int pair_check_ca(const struct pair *pair, struct error *error);

/* When the first certificate expires; 0 where it cannot be read. */
usec_t pair_expiry(const struct pair *pair);

/* Writes PAIR as generation NUMBER, durably, and makes it current. What is staged for that number is dropped.
 */
int store_publish_pair(struct store *store, const struct pair *pair, uint64_t number, struct error *error);

/* Makes a copy of SET the next generation, which remembers that it is one. */
int store_publish_copy(struct store *store, const struct set *set, struct error *error);

/* Fills in what follows from the parts of SET, and checks that they belong together. 0, -EBADMSG or another
 * -errno. */
int store_examine_set(struct set *set, struct error *error);

/* store_load() for any generation. */
int store_load_generation(const struct store *store, uint64_t number, struct set *ret, struct error *error);

/* The same for readers: a key that this user may not read is left out. */
int store_inspect_generation(const struct store *store, uint64_t number, struct set *ret,
                             struct error *error);

/* Which generation `..data` names. -ENOENT when there is no such link, -EBADMSG when it names something else.
 */
int store_read_current(const struct store *store, uint64_t *ret_number);

/* Whether the rights are those of the options, read-only; what these leave open is right. RET is about what
 * is not, or untouched. 0 or -errno. */
int store_examine_rights(const struct store *store, struct error *ret);

/* --- Rights that a key brought along when it was adopted --- */

#define STORE_ADOPTED ".rights"

/* What the file NAME says: -1 and 0 for what is that of a new file; all of that where there is none, or where
 * it is damaged. */
struct file_access store_adopted_read(int dir_fd, const char *name);

/* Writes what STORE has, if it is anything, beside the key in DIR_FD. 0 or -errno. */
int store_adopted_create(const struct store *store, int dir_fd);

/* Has STORE keep what is to be kept of ORIGINAL, a plain key: what the options leave open and is not so in
 * OWN, the rights of a new file. Others get nothing, and nobody but the owner may write. */
void store_adopt_rights(struct store *store, const struct rights *original, const struct rights *own);

/* Fills in key_access; the mode of a key is 0600 where nothing says otherwise. */
void store_settle_access(struct store *store);

/* Has STORE know what was adopted with its current generation. */
void store_read_adopted(struct store *store);

/* key_create_at() with key_access, or without what was adopted and this user may not give. */
int store_create_key(const struct store *store, const struct key *key, int dir_fd, struct error *error);

/* The rights of a new file: one that is made in a directory with the set-group-ID bit gets its group. */
int store_own_rights(const struct store *store, struct rights *ret);

/* Nothing but blanks distinguishes them: line ends, say. */
bool text_equal_but_blanks(const char *a, const char *b);

/* Whether the public files of SET hold nothing but certificates; only such a set is sealed. */
bool store_is_clean(const struct set *set);

/* What a public name is: our link or nothing (0), a regular file (1), or something to refuse. */
int store_is_plain(const struct store *store, const char *name, struct error *error);

int store_list_generations(const struct store *store, struct generations *ret);

extern const char *const store_public_names[];
