/*
 * Reading the current set: all of it through one open of its generation's directory, so that a swap in the
 * middle cannot mix two, and never without asking whether its parts belong together. A set that a TLS library
 * would refuse is never returned; whether it is still valid is a question of time, and the caller's.
 */

#include "lib/store/store-private.h"

#include <errno.h>
#include <fcntl.h>

#include "lib/protocol/connection.h"
#include "lib/store/directory.h"
#include "lib/store/seals.h"
#include "lib/x509/cert-write.h"
#include "lib/x509/chain.h"

void set_drop_files(struct set *set) {
        set->key = key_free(set->key);
        set->leaf = cert_free(set->leaf);
        free(take_ptr(set->certificate_pem));
        free(take_ptr(set->ca_pem));
        free(take_ptr(set->connection_json));
}

void set_clear(struct set *set) {
        set_drop_files(set);
        issuers_free(set->issuers);
        *set = (struct set) { 0 };
}

bool store_blames_files(int r) {
        static const int results[] = { -EBADMSG, -EINVAL, -ENOENT, -ENOTDIR,      -EISDIR,
                                       -ELOOP,   -ENXIO,  -EFBIG,  -EKEYREJECTED, -ENOTSUP };

        for (size_t i = 0; i < ELEMENTSOF(results); i++)
                if (r == results[i])
                        return true;
        return false;
}

/* What R means for the set in NAME. */
static int tell(const struct store *store, const char *name, int r, struct error *error) {
        if (!store_blames_files(r)) {
                error_prefix(error, "the set in %s/%s cannot be read now", store->path, name);
                return r;
        }
        error_prefix(error, "the set in %s/%s is damaged", store->path, name);
        if (error)
                error->code = -EBADMSG;
        return -EBADMSG;
}

/* A file of the generation; an optional one may be absent. */
static int read_part(int dir_fd, const char *name, size_t max, bool optional, char **ret,
                     struct error *error) {
        int r;

        r = file_read_at(dir_fd, name, FILE_NOFOLLOW, max, ret, NULL);
        if (r == -ENOENT && optional)
                return 0;
        if (r == -ELOOP)
                return error_set(error, r, "%s is a symbolic link where a file is expected", name);
        if (r < 0)
                return error_set_errno(error, r, "cannot read %s", name);
        return 0;
}

static int read_texts(int dir_fd, struct set *set, struct error *error) {
        int r;

        r = read_part(dir_fd, STORE_CERTIFICATE, CERT_PEM_MAX, false, &set->certificate_pem, error);
        if (r < 0)
                return r;
        r = read_part(dir_fd, STORE_CA, CERT_PEM_MAX, true, &set->ca_pem, error);
        if (r < 0)
                return r;
        return read_part(dir_fd, STORE_CONNECTION, CONNECTION_JSON_MAX, true, &set->connection_json, error);
}

static int read_parts(int dir_fd, bool is_view, struct set *set, struct error *error) {
        int r;

        r = key_read_at(dir_fd, STORE_KEY, FILE_NOFOLLOW, &set->key, error);
        if (is_view && (r == -EACCES || r == -EPERM))
                error_clear(error);
        else if (r < 0)
                return r;
        return read_texts(dir_fd, set, error);
}

int store_examine_set(struct set *set, struct error *error) {
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 }, anchors = { 0 };
        uint8_t spki[SPKI_HASH_SIZE];
        int r;

        r = cert_list_parse(set->certificate_pem, strlen(set->certificate_pem), &certs, error);
        if (r < 0)
                return error_prefix(error, STORE_CERTIFICATE);
        cert_spki(certs.items[0], set->spki);
        if (set->key)
                key_spki(set->key, spki);
        if (set->key && memcmp(spki, set->spki, sizeof(spki)) != 0)
                return error_set(error, -EBADMSG, "%s is not the key of the first certificate in %s",
                                 STORE_KEY, STORE_CERTIFICATE);

        if (set->ca_pem) {
                r = cert_list_parse(set->ca_pem, strlen(set->ca_pem), &anchors, error);
                if (r < 0)
                        return error_prefix(error, STORE_CA);
                r = chain_verify_expiry(certs.items[0], &certs, &anchors, &set->effective_expiry,
                                        &set->issuers, error);
                if (r < 0)
                        return error_prefix(error, "%s does not verify to %s", STORE_CERTIFICATE, STORE_CA);
        } else { /* an adopted one may be alone */
                r = chain_expiry(certs.items[0], &certs, &set->effective_expiry, &set->issuers);
                if (r < 0)
                        return error_set_errno(error, r, "cannot read its chain");
        }

        set->rsa_bits = set->key && key_is_rsa(set->key) ? key_bits(set->key) : 0;
        set->is_self_signed = cert_is_self_signed(certs.items[0]);
        set->allows_client_auth = cert_allows_client_auth(certs.items[0]);
        set->not_before = cert_not_before(certs.items[0]);
        cert_fingerprint(certs.items[0], set->fingerprint);
        set->leaf = take_ptr(certs.items[0]);
        return 0;
}

bool store_is_clean(const struct set *set) {
        return set->is_sealed || (cert_text_is_clean(set->certificate_pem) &&
                                  (!set->ca_pem || cert_text_is_clean(set->ca_pem)));
}

/* Reads all parts of SET, and finds out what follows from them unless it is known of the same bytes. */
static int read_sealed(const struct store *store, int dir_fd, struct seals *seals, const char *name,
                       struct set *set, struct error *error) {
        uint8_t seal[SEAL_SIZE];
        char *key_text;
        size_t key_size;
        bool has_seal;
        int r;

        r = key_read_text_at(dir_fd, STORE_KEY, FILE_NOFOLLOW, &key_text, &key_size, error);
        if (r < 0)
                return r;
        r = read_texts(dir_fd, set, error);
        has_seal = r == 0 && seal_of(name, store->path, key_text, key_size, set, seal) == 0;
        if (r < 0 || (has_seal && seals_find(seals, seal, set))) {
                explicit_bzero(key_text, key_size);
                free(key_text);
                free(take_ptr(set->certificate_pem));
                free(take_ptr(set->ca_pem));
                return r;
        }
        r = key_take_text(key_text, key_size, STORE_KEY, &set->key, error);
        if (r == 0)
                r = store_examine_set(set, error);
        if (r == 0 && has_seal && store_is_clean(set))
                seals_add(seals, seal, set);
        return r;
}

/* SEALS, with the certificate NAME, may be NULL. */
static int load_generation(const struct store *store, uint64_t number, bool is_view, struct seals *seals,
                           const char *certificate, struct set *ret, struct error *error) {
        _cleanup_(set_clear) struct set set = { 0 };
        _cleanup_(fd_closep) int dir_fd = -1;
        char name[NUMBERED_NAME_MAX];
        int r;

        set.generation = number;
        dir_fd = dir_open_at(store->fd, store_numbered_name(name, GENERATION_PREFIX, number));
        if (dir_fd < 0) {
                error_set_errno(error, dir_fd, "cannot open its directory");
                return tell(store, name, dir_fd, error);
        }
        if (seals)
                r = read_sealed(store, dir_fd, seals, certificate, &set, error);
        else {
                r = read_parts(dir_fd, is_view, &set, error);
                if (r == 0)
                        r = store_examine_set(&set, error);
        }
        if (r < 0)
                return tell(store, name, r, error);

        *ret = set;
        set = (struct set) { 0 };
        return 0;
}

int store_load_generation(const struct store *store, uint64_t number, struct set *ret, struct error *error) {
        return load_generation(store, number, false, NULL, NULL, ret, error);
}

int store_inspect_generation(const struct store *store, uint64_t number, struct set *ret,
                             struct error *error) {
        return load_generation(store, number, true, NULL, NULL, ret, error);
}

int store_load_sealed(const struct store *store, struct seals *seals, const char *name, struct set *ret,
                      struct error *error) {
        if (!store->has_current)
                return error_set(error, -ENOENT, "no certificate in %s yet", store->path);
        return load_generation(store, store->current, false, seals, name, ret, error);
}

int store_load(const struct store *store, struct set *ret, struct error *error) {
        return store_load_sealed(store, NULL, NULL, ret, error);
}

int store_peek(const char *directory, uint64_t generation, struct set *ret, struct error *error) {
        _cleanup_(freep) char *path = strdup(directory);
        _cleanup_(fd_closep) int fd = -1;
        struct store store = { .path = path };
        char name[NUMBERED_NAME_MAX];

        if (!path)
                return error_set(error, -ENOMEM, "out of memory");
        fd = store.fd = dir_open_at(AT_FDCWD, directory);
        if (fd < 0)
                return error_set_errno(error, fd, "cannot open %s", directory);
        if (faccessat(fd, store_numbered_name(name, GENERATION_PREFIX, generation), F_OK,
                      AT_SYMLINK_NOFOLLOW) < 0 &&
            errno == ENOENT)
                return error_set(error, -ENOENT, "generation %" PRIu64 " is no longer in %s", generation,
                                 directory);
        return store_load_generation(&store, generation, ret, error);
}

int store_peek_current(const char *directory, struct set *ret, struct error *error) {
        _cleanup_(freep) char *path = strdup(directory);
        _cleanup_(fd_closep) int fd = -1;
        struct store store = { .path = path };
        int r;

        if (!path)
                return error_set(error, -ENOMEM, "out of memory");
        fd = store.fd = dir_open_at(AT_FDCWD, directory);
        if (fd < 0)
                return error_set_errno(error, fd, "cannot open %s", directory);
        r = store_read_current(&store, &store.current);
        if (r < 0)
                return error_set_errno(error, r, "cannot read link %s/" STORE_CURRENT, directory);
        return store_load_generation(&store, store.current, ret, error);
}

int store_view_current(const char *directory, gid_t group, struct set *ret, struct error *error) {
        _cleanup_(generations_clear) struct generations generations = { 0 };
        _cleanup_(freep) char *path = strdup(directory);
        _cleanup_(fd_closep) int fd = -1;
        struct store store = { .path = path };
        int r;

        if (!path)
                return error_set(error, -ENOMEM, "out of memory");
        fd = store.fd = directory_view(directory, group, error);
        if (fd < 0)
                return fd;
        r = store_read_current(&store, &store.current);
        if (r == 0)
                return store_load_generation(&store, store.current, ret, error);
        error_set_errno(error, r, "cannot read link %s/" STORE_CURRENT, directory);
        if (r == -ENOENT && (store_list_generations(&store, &generations) < 0 || generations.n > 0))
                return -EAGAIN; /* the link is missing, and the next store_open() makes it */
        return r;
}
