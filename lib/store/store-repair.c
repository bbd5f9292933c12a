/*
 * A damaged current set: what is still known of it, and which generation takes its place. What lies in its
 * directory is believed only as far as its parts agree; what rekeyd last knew of it goes before that.
 */

#include "lib/store/store-private.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/store/store-choice.h"
#include "lib/util/parse.h"

struct known_generations {
        struct known_generation *items;
        size_t n;
};

static void known_generation_clear(struct known_generation *known) {
        free(known->subject);
}

static void known_generations_clear(struct known_generations *known) {
        for (size_t i = 0; i < known->n; i++)
                known_generation_clear(&known->items[i]);
        free(known->items);
}

/* A record that cannot be read is none. */
static void read_source(int dir_fd, struct known_generation *known) {
        _cleanup_(freep) char *text = NULL;
        size_t size;

        if (file_read_at(dir_fd, STORE_COPY_OF, FILE_NOFOLLOW, 24, &text, &size) < 0 || size == 0 ||
            text[size - 1] != '\n')
                return;
        text[size - 1] = '\0';
        known->is_copy = parse_unsigned(text, 0, UINT64_MAX, &known->source) == 0;
}

static void take_leaf(const struct cert *leaf, struct known_generation *known) {
        _cleanup_(subject_freep) struct subject *subject = NULL;
        uint8_t fingerprint[FINGERPRINT_SIZE];

        cert_fingerprint(leaf, fingerprint);
        hex_format(known->fingerprint, fingerprint, sizeof(fingerprint));
        cert_spki(leaf, known->spki);
        known->has_spki = true;
        known->not_before = cert_not_before(leaf);
        if (cert_subject(leaf, &subject, NULL) < 0)
                return;
        known->subject = subject_canonical(subject); /* unknown when memory is out */
}

/* What is left of a damaged one. */
static void examine_parts(int dir_fd, struct known_generation *known) {
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 };
        _cleanup_(key_freep) struct key *key = NULL;
        _cleanup_(freep) char *pem = NULL;
        uint8_t spki[SPKI_HASH_SIZE];

        if (key_read_at(dir_fd, STORE_KEY, FILE_NOFOLLOW, &key, NULL) == 0) {
                key_spki(key, known->spki);
                known->has_spki = true;
        }
        if (file_read_at(dir_fd, STORE_CERTIFICATE, FILE_NOFOLLOW, CERT_PEM_MAX, &pem, NULL) < 0 ||
            cert_list_parse(pem, strlen(pem), &certs, NULL) < 0)
                return;
        cert_spki(certs.items[0], spki);
        if (known->has_spki && memcmp(spki, known->spki, sizeof(spki)) != 0)
                return; /* one of the two is not of this set */
        take_leaf(certs.items[0], known);
}

static bool is_listed(const struct store_memory *memory, const char *fingerprint) {
        for (size_t i = 0; i < memory->n_revoked; i++)
                if (streq(memory->revoked[i], fingerprint))
                        return true;
        return false;
}

static int examine(const struct store *store, uint64_t number, const struct store_memory *memory,
                   struct known_generation *known, struct error *error) {
        _cleanup_(set_clear) struct set set = { 0 };
        _cleanup_(fd_closep) int dir_fd = -1;
        char name[NUMBERED_NAME_MAX];
        int r;

        known->number = number;
        r = store_load_generation(store, number, &set, error);
        if (r < 0 && r != -EBADMSG)
                return r; /* too many open files, say: no reason to go back further than needed */
        known->is_complete = r == 0;
        error_clear(error);

        dir_fd = dir_open_at(store->fd, store_numbered_name(name, GENERATION_PREFIX, number));
        if (dir_fd < 0)
                return 0;
        read_source(dir_fd, known);
        if (known->is_complete) {
                known->expiry = set.effective_expiry;
                take_leaf(set.leaf, known);
        } else
                examine_parts(dir_fd, known);
        known->is_revoked = is_listed(memory, known->fingerprint);
        return 0;
}

static int examine_all(const struct store *store, const struct store_memory *memory,
                       struct known_generations *ret, struct error *error) {
        _cleanup_(generations_clear) struct generations generations = { 0 };
        int r;

        r = store_list_generations(store, &generations);
        if (r < 0)
                return error_set_errno(error, r, "cannot list directory %s", store->path);
        ret->items = calloc(generations.n + 1, sizeof(*ret->items));
        if (!ret->items)
                return error_set(error, -ENOMEM, "out of memory");
        while (ret->n < generations.n) {
                struct known_generation *known = &ret->items[ret->n++];

                r = examine(store, generations.numbers[ret->n - 1], memory, known, error);
                if (r < 0)
                        return error_prefix(error, "cannot find another generation in its place");
        }
        return 0;
}

/* What was known of the current set while it was whole goes before what is left of it. */
static void recall(const struct store *store, const struct store_memory *memory,
                   struct known_generation *damaged) {
        if (memory->generation != store->current || strempty(memory->fingerprint))
                return;
        if (!damaged->subject && memory->subject)
                damaged->subject = strdup(memory->subject);
        if (streq(memory->fingerprint, damaged->fingerprint))
                return;
        if (damaged->fingerprint[0]) { /* what is there is not of this set */
                free(take_ptr(damaged->subject));
                damaged->subject = memory->subject ? strdup(memory->subject) : NULL;
                damaged->has_spki = false;
                damaged->not_before = 0;
        }
        snprintf(damaged->fingerprint, sizeof(damaged->fingerprint), "%s", memory->fingerprint);
}

/* That it is missing altogether is a damage too. */
static void find_damaged(const struct store *store, const struct store_memory *memory,
                         struct known_generations *known, struct known_generation *ret) {
        ret->number = store->current;
        for (size_t i = 0; i < known->n; i++)
                if (known->items[i].number == store->current) {
                        *ret = known->items[i];
                        known->items[i].subject = NULL;
                }
        recall(store, memory, ret);
}

int store_repair(struct store *store, const struct store_memory *memory, usec_t now, uint64_t *ret_generation,
                 enum store_choice *ret_choice, struct error *error) {
        _cleanup_(known_generations_clear) struct known_generations known = { 0 };
        _cleanup_(known_generation_clear) struct known_generation damaged = { 0 };
        _cleanup_(set_clear) struct set set = { 0 };
        _cleanup_(freep) char *why = NULL;
        enum store_choice choice;
        size_t chosen = 0;
        int r;

        r = examine_all(store, memory, &known, error);
        if (r < 0)
                return r;
        find_damaged(store, memory, &known, &damaged);
        choice = store_choose(&damaged, known.items, known.n, now, &chosen, &why);
        if (choice == STORE_CHOICE_NONE)
                return error_set(error, -ENOENT, "no other generation in %s can take its place: %s",
                                 store->path, why ? why : "out of memory");
        r = store_load_generation(store, known.items[chosen].number, &set, error);
        if (r == 0)
                r = store_publish_copy(store, &set, error);
        if (r < 0)
                return r;
        *ret_generation = known.items[chosen].number;
        *ret_choice = choice;
        return 0;
}
