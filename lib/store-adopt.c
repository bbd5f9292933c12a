/*
 * Adoption: a pair that somebody made by hand becomes generation 0. The bytes are taken as they are, so
 * dependents see no change; only a certificate file that does not start with the leaf is put in order.
 * Nothing is adopted that does not match, and the files that were there are only replaced by links once the
 * generation with the same content is current.
 */

#include "lib/store-private.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/chain.h"
#include "lib/connection.h"

struct pair {
        struct key *key;
        char *certificate_pem;
        char *ca_pem;
        char *connection_json;
};

static void pair_clear(struct pair *pair) {
        key_free(pair->key);
        free(pair->certificate_pem);
        free(pair->ca_pem);
        free(pair->connection_json);
        *pair = (struct pair) { 0 };
}

/* A sentence when everybody can read the key, since such a key may be known to others already. */
static int check_key_mode(int dir_fd, const char *name, const char *shown, char **ret_warning) {
        struct stat st;

        if (fstatat(dir_fd, name, &st, 0) < 0)
                return -errno;
        if (!(st.st_mode & S_IROTH))
                return 0;
        return asprintf(ret_warning,
                        "key %s has mode %04o and can be read by every user of this machine; the copy in the "
                        "store "
                        "cannot, but renew soon, since this key may be known to others",
                        shown, st.st_mode & 07777u) < 0
                       ? -ENOMEM
                       : 0;
}

/* The leaf is the certificate of the key. Puts it first, followed by its intermediates, unless it is first
 * already. */
static int order_pair(struct pair *pair, struct error *error) {
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 };
        _cleanup_(chain_clear) struct chain chain = { 0 };
        uint8_t spki[SPKI_HASH_SIZE], other[SPKI_HASH_SIZE];
        size_t leaf = 0;
        int r;

        r = cert_list_parse(pair->certificate_pem, strlen(pair->certificate_pem), &certs, error);
        if (r < 0)
                return r;
        key_spki(pair->key, spki);
        for (; leaf < certs.n; leaf++) {
                cert_spki(certs.items[leaf], other);
                if (memcmp(spki, other, sizeof(spki)) == 0)
                        break;
        }
        if (leaf == certs.n)
                return error_set(error, -EBADMSG, "the key does not belong to any certificate in it");

        r = chain_build(certs.items[leaf], &certs, &chain, NULL);
        if (leaf > 0) {
                if (r < 0)
                        return error_set(error, -EBADMSG, "its %zu certificates do not make a chain",
                                         certs.n);
                free(take_ptr(pair->certificate_pem));
                r = chain_leaf_pem(&chain, &pair->certificate_pem);
                if (r < 0)
                        return error_set_errno(error, r, "cannot order the chain");
        }
        if (!pair->ca_pem && chain.certs.n > 1) {
                r = chain_issuers_pem(&chain, &pair->ca_pem);
                if (r < 0)
                        return error_set_errno(error, r, "cannot take the CA from the chain");
        }
        return 0;
}

static int check_ca(const struct pair *pair, struct error *error) {
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 }, anchors = { 0 };
        int r;

        if (!pair->ca_pem)
                return 0;
        r = cert_list_parse(pair->certificate_pem, strlen(pair->certificate_pem), &certs, error);
        if (r < 0)
                return r;
        r = cert_list_parse(pair->ca_pem, strlen(pair->ca_pem), &anchors, error);
        if (r < 0)
                return r;
        return chain_verify(certs.items[0], &certs, &anchors, USEC_INFINITY, error);
}

static int create_text(int dir_fd, const char *name, const char *text, struct file_access access) {
        return text ? file_create_at(dir_fd, name, text, strlen(text), access) : 0;
}

/* Writes the pair as a finished generation 0 and makes it current. */
static int publish_pair(struct store *store, const struct pair *pair, struct error *error) {
        _cleanup_(fd_closep) int stage_fd = -1;
        char name[NUMBERED_NAME_MAX];
        int r;

        store_numbered_name(name, STAGE_PREFIX, 0);
        r = dir_remove_at(store->fd, name);
        if (r < 0)
                return error_set_errno(error, r, "cannot clear %s/%s", store->path, name);
        if (mkdirat(store->fd, name, 0700) < 0)
                return error_set_errno(error, -errno, "cannot create %s/%s", store->path, name);
        stage_fd = dir_open_at(store->fd, name);
        if (stage_fd < 0)
                return error_set_errno(error, stage_fd, "cannot open %s/%s", store->path, name);

        r = key_create_at(pair->key, stage_fd, STORE_KEY, store->options.key_access, error);
        if (r < 0)
                goto fail;
        r = create_text(stage_fd, STORE_CERTIFICATE, pair->certificate_pem, store->options.public_access);
        if (r == 0)
                r = create_text(stage_fd, STORE_CA, pair->ca_pem, store->options.public_access);
        if (r == 0)
                r = create_text(stage_fd, STORE_CONNECTION, pair->connection_json,
                                store->options.public_access);
        if (r == 0 && fchmod(stage_fd, 0755) < 0)
                r = -errno;
        if (r == 0)
                r = dir_sync(stage_fd);
        if (r < 0) {
                error_set_errno(error, r, "cannot write %s/%s", store->path, name);
                goto fail;
        }
        r = store_publish(store, name, 0, error);
        if (r == 0)
                return 0;

fail:
        (void)dir_remove_at(store->fd, name);
        return r;
}

int store_adopt_files(struct store *store, const char *key, const char *certificate, const char *ca,
                      char **ret_warning, struct error *error) {
        _cleanup_(pair_clear) struct pair pair = { 0 };
        _cleanup_(freep) char *warning = NULL;
        int r;

        assert(!store->has_current);

        r = key_read_at(AT_FDCWD, key, FILE_FOLLOW, &pair.key, error);
        if (r < 0)
                return error_prefix(error, "cannot import key %s", key);
        r = check_key_mode(AT_FDCWD, key, key, &warning);
        if (r < 0)
                return error_set_errno(error, r, "cannot import key %s", key);
        r = file_read_at(AT_FDCWD, certificate, FILE_FOLLOW, CERT_PEM_MAX, &pair.certificate_pem, NULL);
        if (r < 0)
                return error_set_errno(error, r, "cannot import certificate %s", certificate);
        if (ca) {
                r = file_read_at(AT_FDCWD, ca, FILE_FOLLOW, CERT_PEM_MAX, &pair.ca_pem, NULL);
                if (r < 0)
                        return error_set_errno(error, r, "cannot import CA %s", ca);
        }

        r = order_pair(&pair, error);
        if (r < 0)
                return error_prefix(error, "cannot import certificate %s with key %s", certificate, key);
        r = check_ca(&pair, error);
        if (r < 0)
                return error_prefix(error, "cannot import certificate %s with CA %s", certificate,
                                    ca ? ca : "of its own chain");
        r = publish_pair(store, &pair, error);
        if (r < 0)
                return error_prefix(error, "cannot import certificate %s", certificate);

        *ret_warning = take_ptr(warning);
        return 0;
}

/* What a public name is: our link or nothing (0), a regular file (1), or something to refuse. */
static int is_plain(const struct store *store, const char *name, struct error *error) {
        _cleanup_(freep) char *target = NULL;
        struct stat st;

        if (fstatat(store->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT
                               ? 0
                               : error_set_errno(error, -errno, "cannot look at %s/%s", store->path, name);
        if (S_ISREG(st.st_mode))
                return 1;
        if (!S_ISLNK(st.st_mode))
                return error_set(error, -EINVAL, "will not touch %s/%s: it is neither a file nor a link",
                                 store->path, name);
        if (link_read_at(store->fd, name, &target) == 0 && has_prefix(target, STORE_CURRENT "/") &&
            streq(target + strlen(STORE_CURRENT "/"), name))
                return 0;
        return error_set(
                error, -ELOOP,
                "will not adopt %s/%s: it is a symbolic link to %s where a file is expected; name that file "
                "under `import:` and remove the link",
                store->path, name, target ? target : "something");
}

static int replace_plain(struct store *store, struct error *error) {
        int r;

        for (const char *const *name = store_public_names; *name; name++) {
                char target[64];

                snprintf(target, sizeof(target), "%s/%s", STORE_CURRENT, *name);
                r = link_replace_at(store->fd, target, *name);
                if (r < 0)
                        return error_set_errno(error, r, "cannot replace %s/%s by a link", store->path,
                                               *name);
        }
        r = dir_sync(store->fd);
        if (r < 0)
                return error_set_errno(error, r, "cannot sync directory %s", store->path);
        return 0;
}

/* is_plain() has refused every link but our own. Those are met when an adoption was cut off, and only then.
 */
static enum file_links public_links(const struct store *store) {
        return store->has_current ? FILE_FOLLOW : FILE_NOFOLLOW;
}

static int read_plain(const struct store *store, const char *name, size_t max, char **ret,
                      struct error *error) {
        int r;

        r = file_read_at(store->fd, name, public_links(store), max, ret, NULL);
        if (r < 0 && r != -ENOENT)
                return error_set_errno(error, r, "cannot read %s/%s", store->path, name);
        return 0;
}

static int read_plain_pair(const struct store *store, struct pair *pair, struct error *error) {
        int r;

        r = key_read_at(store->fd, STORE_KEY, public_links(store), &pair->key, error);
        if (r < 0)
                return r;
        r = read_plain(store, STORE_CERTIFICATE, CERT_PEM_MAX, &pair->certificate_pem, error);
        if (r < 0)
                return r;
        if (!pair->certificate_pem)
                return error_set(error, -EINVAL, "there is no %s beside %s", STORE_CERTIFICATE, STORE_KEY);
        r = read_plain(store, STORE_CA, CERT_PEM_MAX, &pair->ca_pem, error);
        if (r < 0)
                return r;
        return read_plain(store, STORE_CONNECTION, CONNECTION_JSON_MAX, &pair->connection_json, error);
}

/*
 * An adoption that was cut off leaves generation 0 current and plain files, from which it was made, beside
 * the links. Each name, whether it is a link or still a file, must then say what the generation says.
 */
static int finish_adoption(struct store *store, struct error *error) {
        _cleanup_(pair_clear) struct pair pair = { 0 };
        _cleanup_(set_clear) struct set set = { 0 };
        uint8_t spki[SPKI_HASH_SIZE];

        if (store->current == 0 && store_load(store, &set, NULL) == 0 &&
            read_plain_pair(store, &pair, NULL) == 0 && order_pair(&pair, NULL) == 0) {
                key_spki(pair.key, spki);
                if (memcmp(spki, set.spki, sizeof(spki)) == 0 &&
                    streq(pair.certificate_pem, set.certificate_pem) && streq_null(pair.ca_pem, set.ca_pem) &&
                    streq_null(pair.connection_json, set.connection_json))
                        return replace_plain(store, error);
        }
        return error_set(
                error, -EEXIST,
                "files of another origin lie among the links in %s; move them away, or name them under "
                "`import:` of a certificate with a new directory",
                store->path);
}

int store_adopt_plain(struct store *store, char **ret_warning, struct error *error) {
        _cleanup_(pair_clear) struct pair pair = { 0 };
        _cleanup_(freep) char *warning = NULL, *shown = NULL;
        bool plain_key = false, plain = false;
        int r;

        for (const char *const *name = store_public_names; *name; name++) {
                r = is_plain(store, *name, error);
                if (r < 0)
                        return r;
                plain = plain || r > 0;
                plain_key = plain_key || (r > 0 && streq(*name, STORE_KEY));
        }
        if (!plain)
                return -ENOENT;
        if (store->has_current)
                return finish_adoption(store, error);
        if (!plain_key)
                return error_set(error, -EINVAL, "cannot adopt the files in %s: there is no %s among them",
                                 store->path, STORE_KEY);

        if (asprintf(&shown, "%s/%s", store->path, STORE_KEY) < 0)
                return error_set(error, -ENOMEM, "out of memory");
        r = check_key_mode(store->fd, STORE_KEY, shown, &warning);
        if (r < 0)
                return error_set_errno(error, r, "cannot adopt %s", shown);
        r = read_plain_pair(store, &pair, error);
        if (r == 0)
                r = order_pair(&pair, error);
        if (r == 0)
                r = check_ca(&pair, error);
        if (r == 0)
                r = publish_pair(store, &pair, error);
        if (r == 0)
                r = replace_plain(store, error);
        if (r < 0)
                return error_prefix(error, "cannot adopt the files in %s", store->path);

        *ret_warning = take_ptr(warning);
        return 0;
}
