/*
 * Adoption: an existing pair becomes generation 0. Its certificates stay the same, and in their order where
 * that begins with the leaf, so dependents see no change; whatever else is in those files is left out of the
 * public ones. Nothing is adopted that does not match, and the files that were there are only replaced by
 * links once the generation with the same content is current.
 */

#include "lib/store/store-private.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/protocol/connection.h"
#include "lib/x509/cert-write.h"
#include "lib/x509/pem-text.h"

/* A sentence when the key is world-readable, since such a key may be disclosed already. */
static int check_key_mode(int dir_fd, const char *name, const char *shown, char **ret_warning) {
        struct stat st;

        if (fstatat(dir_fd, name, &st, 0) < 0)
                return -errno;
        if (!(st.st_mode & S_IROTH))
                return 0;
        return asprintf(ret_warning,
                        "key %s has mode %04o and is world-readable; the copy in the store is not, but renew "
                        "soon, since the key may be disclosed",
                        shown, st.st_mode & 07777u) < 0
                       ? -ENOMEM
                       : 0;
}

static int read_certificates(const char *path, char **ret) {
        size_t size;
        int r;

        r = file_read_at(AT_FDCWD, path, FILE_FOLLOW, CERT_PEM_MAX, ret, &size);
        return r < 0 ? r : pem_text_restore(ret, &size);
}

int store_adopt_files(struct store *store, const char *key, const char *certificate, const char *ca,
                      char **ret_warning, struct error *error) {
        _cleanup_(pair_clear) struct pair pair = { 0 };
        _cleanup_(freep) char *warning = NULL;
        int r;

        assert(!store->has_current);

        r = key_read_at(AT_FDCWD, key, FILE_FOLLOW, &pair.key, error);
        if (r < 0)
                return r;
        r = check_key_mode(AT_FDCWD, key, key, &warning);
        if (r < 0)
                return error_set_errno(error, r, "cannot import key %s", key);
        r = read_certificates(certificate, &pair.certificate_pem);
        if (r < 0)
                return error_set_errno(error, r, "cannot import certificate %s", certificate);
        if (ca) {
                r = read_certificates(ca, &pair.ca_pem);
                if (r < 0)
                        return error_set_errno(error, r, "cannot import CA %s", ca);
        }

        r = pair_order(&pair, now_usec(CLOCK_REALTIME), error);
        if (r < 0)
                return error_prefix(error, "cannot import certificate %s with key %s", certificate, key);
        r = pair_check_ca(&pair, error);
        if (r < 0)
                return error_prefix(error, "cannot import certificate %s with CA %s", certificate,
                                    ca ? ca : "of its own chain");
        r = store_publish_pair(store, &pair, 0, error);
        if (r < 0)
                return error_prefix(error, "cannot import certificate %s", certificate);

        *ret_warning = take_ptr(warning);
        return 0;
}

int store_is_plain(const struct store *store, const char *name, struct error *error) {
        _cleanup_(freep) char *target = NULL;
        struct stat st;

        if (link_read_at(store->fd, name, &target) == 0 && has_prefix(target, STORE_CURRENT "/") &&
            streq(target + strlen(STORE_CURRENT "/"), name))
                return 0;
        if (fstatat(store->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT
                               ? 0
                               : error_set_errno(error, -errno, "cannot examine %s/%s", store->path, name);
        if (S_ISREG(st.st_mode))
                return 1;
        if (!S_ISLNK(st.st_mode))
                return error_set(error, -EINVAL, "will not touch %s/%s: it is neither a file nor a link",
                                 store->path, name);
        return error_set(
                error, -ELOOP,
                "will not adopt %s/%s: it is a symbolic link to %s where a file is expected; name that file "
                "under `import:` and remove the link",
                store->path, name, target ? target : "something");
}

static bool is_regular(const struct store *store, const char *name) {
        struct stat st;

        return fstatat(store->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

/* Adds a sentence; for want of memory it is lost. */
static _printf_(2, 3) void add_warning(char **warning, const char *format, ...) {
        _cleanup_(freep) char *before = *warning, *text = NULL;
        va_list args;

        va_start(args, format);
        if (vasprintf(&text, format, args) < 0)
                text = NULL;
        va_end(args);
        *warning = NULL;
        if (!before)
                *warning = take_ptr(text);
        else if (!text)
                *warning = take_ptr(before);
        else if (asprintf(warning, "%s; %s", before, text) < 0)
                *warning = NULL;
}

/* The plain file NAME has something in it that is not in the set: a key beside the certificates, or the other
 * way round. */
static bool holds_more(const struct store *store, const char *name) {
        _cleanup_(free_secretp) char *text = NULL;
        _cleanup_(freep) char *certificates = NULL;
        const char *begin;

        if (streq(name, STORE_CONNECTION) ||
            file_read_at(store->fd, name, FILE_NOFOLLOW, CERT_PEM_MAX, &text, NULL) < 0)
                return false;
        if (streq(name, STORE_KEY)) {
                begin = strstr(text, "-----BEGIN ");
                return begin && strstr(begin + 1, "-----BEGIN ");
        }
        return cert_text_rewrite(text, &certificates, NULL) < 0 || !text_equal_but_blanks(text, certificates);
}

static bool is_same_file(const struct store *store, const char *a, const char *b) {
        struct stat x, y;

        return fstatat(store->fd, a, &x, AT_SYMLINK_NOFOLLOW) == 0 &&
               fstatat(store->fd, b, &y, AT_SYMLINK_NOFOLLOW) == 0 && x.st_dev == y.st_dev &&
               x.st_ino == y.st_ino;
}

#define ORIGINAL_NAME_MAX 64

/* Gives the plain file NAME a second name, NAME.SUFFIX or NAME.SUFFIX.2, which no other file loses: its
 * content may be nowhere else. -EEXIST: there are too many already; RET is the last name then. */
static int keep_beside(const struct store *store, const char *name, const char *suffix,
                       char original[ORIGINAL_NAME_MAX]) {
        enum { TRIES_MAX = 100 };

        for (unsigned i = 1; i <= TRIES_MAX; i++) {
                if (i == 1)
                        snprintf(original, ORIGINAL_NAME_MAX, "%s.%s", name, suffix);
                else
                        snprintf(original, ORIGINAL_NAME_MAX, "%s.%s.%u", name, suffix, i);
                if (linkat(store->fd, name, store->fd, original, 0) == 0)
                        return 0;
                if (errno != EEXIST)
                        return -errno;
                if (is_same_file(store, name, original))
                        return 0; /* from an adoption that was cut off */
        }
        return -EEXIST;
}

/* It may hold a key. It was no more widely readable before; where it cannot be changed, it stays so. */
static void close_original(const struct store *store, const char *original) {
        struct rights now, target;

        if (rights_read_at(store->fd, original, &now) < 0 || !(now.mode & S_IRWXO))
                return;
        target = now;
        target.mode &= ~(mode_t)S_IRWXO;
        target.has_acl = false;
        (void)rights_change_at(store->fd, original, &now, &target);
}

/* RET_WARNING may be NULL: then no original is kept, since all are kept already. */
static int replace_plain(struct store *store, char **ret_warning, struct error *error) {
        int r;

        for (const char *const *name = store_public_names; *name; name++) {
                char target[64], original[ORIGINAL_NAME_MAX] = "";

                if (ret_warning && is_regular(store, *name) && holds_more(store, *name)) {
                        r = keep_beside(store, *name, "original", original);
                        if (r < 0)
                                return error_set_errno(error, r, "cannot keep the original of %s/%s",
                                                       store->path, *name);
                }

                snprintf(target, sizeof(target), "%s/%s", STORE_CURRENT, *name);
                r = link_replace_at(store->fd, target, *name);
                if (r < 0)
                        return error_set_errno(error, r, "cannot replace %s/%s by a link", store->path,
                                               *name);
                if (*original) {
                        close_original(store, original);
                        add_warning(ret_warning,
                                    "%s/%s held more than its part of the set and has only that now; the "
                                    "original is %s; for programs that read key and certificate from one "
                                    "file, configure an export",
                                    store->path, *name, original);
                }
        }
        r = dir_sync(store->fd);
        if (r < 0)
                return error_set_errno(error, r, "cannot sync directory %s", store->path);
        return 0;
}

/* store_is_plain() has refused every link but our own; those are met once there is a set. */
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

/* Reads the pair that the public names give, links and plain files together, and checks that it is one. A CA
 * and URLs that are not among the plain files are not part of it; the current CA serves where the chain
 * brings none. */
static int examine_plain_pair(const struct store *store, struct pair *pair, struct error *error) {
        int r;

        r = key_read_at(store->fd, STORE_KEY, public_links(store), &pair->key, error);
        if (r < 0)
                return r;
        r = read_plain(store, STORE_CERTIFICATE, CERT_PEM_MAX, &pair->certificate_pem, error);
        if (r < 0)
                return r;
        if (!pair->certificate_pem)
                return error_set(error, -EINVAL, "there is no %s beside %s", STORE_CERTIFICATE, STORE_KEY);
        if (is_regular(store, STORE_CA))
                r = read_plain(store, STORE_CA, CERT_PEM_MAX, &pair->ca_pem, error);
        if (r == 0 && is_regular(store, STORE_CONNECTION))
                r = read_plain(store, STORE_CONNECTION, CONNECTION_JSON_MAX, &pair->connection_json, error);
        if (r == 0)
                r = pair_order(pair, now_usec(CLOCK_REALTIME), error);
        if (r < 0)
                return r;

        if (!pair->ca_pem) {
                r = read_plain(store, STORE_CA, CERT_PEM_MAX, &pair->ca_pem, error);
                if (r < 0)
                        return r;
                if (pair_check_ca(pair, NULL) < 0)
                        free(take_ptr(pair->ca_pem));
                return 0;
        }
        return pair_check_ca(pair, error);
}

static bool pair_is_set(const struct store *store, const struct pair *pair, const struct set *set) {
        uint8_t spki[SPKI_HASH_SIZE];

        key_spki(pair->key, spki);
        return memcmp(spki, set->spki, sizeof(spki)) == 0 &&
               streq(pair->certificate_pem, set->certificate_pem) &&
               (!is_regular(store, STORE_CA) || streq_null(pair->ca_pem, set->ca_pem)) &&
               (!is_regular(store, STORE_CONNECTION) ||
                streq_null(pair->connection_json, set->connection_json));
}

/* How long ago the youngest of the plain files was made or changed. */
static usec_t plain_age(const struct store *store) {
        usec_t now = now_usec(CLOCK_REALTIME), age = USEC_INFINITY;

        for (const char *const *name = store_public_names; *name; name++) {
                struct stat st;

                if (fstatat(store->fd, *name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)) {
                        usec_t since = usec_sub(now, (usec_t)st.st_ctim.tv_sec * USEC_PER_SEC);

                        age = since < age ? since : age;
                }
        }
        return age;
}

/* Gives each plain file a second name beside it, then puts the link in its place: nothing is lost, and no
 * name is missing at any moment. */
static int set_aside(struct store *store, struct error *error) {
        for (const char *const *name = store_public_names; *name; name++) {
                char aside[ORIGINAL_NAME_MAX];
                struct stat st;
                int r;

                if (fstatat(store->fd, *name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
                        continue;
                r = keep_beside(store, *name, "set-aside", aside);
                /* A program that writes here again and again must not keep the set from its readers. */
                if (r == -EEXIST &&
                    (unlinkat(store->fd, aside, 0) < 0 || linkat(store->fd, *name, store->fd, aside, 0) < 0))
                        r = -errno;
                else if (r == -EEXIST)
                        r = 0;
                if (r < 0)
                        return error_set_errno(error, r, "cannot set %s/%s aside", store->path, *name);
        }
        return replace_plain(store, NULL, error);
}

/* The key was ORIGINAL, and somebody who could read it then may not be able to now. That everybody could is
 * said elsewhere, and never kept. */
static void warn_lost_readers(const struct store *store, const struct rights *original, char **warning) {
        char before[RIGHTS_TEXT], after[RIGHTS_TEXT], name[64];
        struct rights now;
        bool group_read = original->mode & S_IRGRP;

        snprintf(name, sizeof(name), "%s/%s", STORE_CURRENT, STORE_KEY);
        if (rights_read_at(store->fd, name, &now) < 0)
                return;
        if (!original->has_acl && original->uid == now.uid &&
            !(group_read && (original->gid != now.gid || !(now.mode & S_IRGRP))))
                return;
        add_warning(warning,
                    "some readers of %s/%s may have lost it: it was %s, and is %s; set 'owner', 'group' and "
                    "'mode', or configure an export",
                    store->path, STORE_KEY, rights_text(original, before), rights_text(&now, after));
}

/* The machine failed and not the files. Those of others, which may not be read, are never to be ours. */
static bool is_machine_failure(int r) {
        return r < 0 && !store_blames_files(r) && r != -EACCES;
}

/*
 * Plain files among the links of a store that has a set. They are the rest of an adoption that was cut off,
 * or a newer pair that was put there; both become links again. Other files are given a minute, in which a
 * copy of several files can complete, and are then set aside.
 */
static int take_foreign(struct store *store, char **ret_warning, struct error *error) {
        _cleanup_(error_clear) struct error reason = ERROR_INIT;
        _cleanup_(pair_clear) struct pair pair = { 0 };
        _cleanup_(set_clear) struct set set = { 0 };
        struct rights original;
        bool has_set, had_rights;
        int r;

        had_rights = rights_read_base_at(store->fd, STORE_KEY, &original) == 0; /* not of a link */
        r = store_load(store, &set, error);
        if (r < 0 && r != -EBADMSG)
                return error_prefix(error, "cannot compare the files of another origin in %s", store->path);
        has_set = r == 0;
        error_clear(error);

        r = examine_plain_pair(store, &pair, &reason);
        if (is_machine_failure(r)) {
                error_move(error, &reason);
                return error_prefix(error, "cannot examine the files of another origin in %s", store->path);
        }
        if (r == 0) {
                if (has_set && pair_is_set(store, &pair, &set))
                        return replace_plain(store, ret_warning, error);
                if (!has_set || pair_expiry(&pair) > set.effective_expiry) {
                        r = store_publish_pair(store, &pair, store_next(store), error);
                        if (r == 0)
                                r = replace_plain(store, ret_warning, error);
                        if (r == 0 && had_rights)
                                warn_lost_readers(store, &original, ret_warning);
                        return r;
                }
                error_set(&reason, -EEXIST, "the pair does not last longer than the current one");
        }

        if (plain_age(store) < store->options.grace_usec)
                return error_set(error, -EAGAIN,
                                 "files of another origin are among the links in %s and are not used: %s; "
                                 "they are set aside if they are still the same in a minute",
                                 store->path, error_text(&reason));
        r = set_aside(store, error);
        if (r < 0)
                return r;
        if (asprintf(ret_warning, "files of another origin in %s were set aside as *.set-aside: %s",
                     store->path, error_text(&reason)) < 0)
                *ret_warning = NULL;
        return -ENOENT;
}

int store_adopt_plain(struct store *store, char **ret_warning, struct error *error) {
        _cleanup_(pair_clear) struct pair pair = { 0 };
        _cleanup_(freep) char *warning = NULL, *shown = NULL;
        bool plain_key = false, plain = false;
        struct rights original, own;
        int r;

        for (const char *const *name = store_public_names; *name; name++) {
                r = store_is_plain(store, *name, error);
                if (r < 0)
                        return r;
                plain = plain || r > 0;
                plain_key = plain_key || (r > 0 && streq(*name, STORE_KEY));
        }
        if (!plain)
                return -ENOENT;
        if (store->has_current)
                return take_foreign(store, ret_warning, error);
        if (!plain_key)
                return error_set(error, -EINVAL, "cannot adopt the files in %s: there is no %s among them",
                                 store->path, STORE_KEY);

        if (asprintf(&shown, "%s/%s", store->path, STORE_KEY) < 0)
                return error_set(error, -ENOMEM, "out of memory");
        r = check_key_mode(store->fd, STORE_KEY, shown, &warning);
        if (r < 0)
                return error_set_errno(error, r, "cannot adopt %s", shown);
        r = rights_read_base_at(store->fd, STORE_KEY, &original);
        if (r == 0)
                r = store_own_rights(store, &own);
        if (r < 0)
                return error_set_errno(error, r, "cannot adopt %s", shown);
        store_adopt_rights(store, &original, &own);
        r = examine_plain_pair(store, &pair, error);
        if (r == 0)
                r = store_publish_pair(store, &pair, 0, error);
        if (r == 0)
                r = replace_plain(store, &warning, error);
        if (r < 0)
                return error_prefix(error, "cannot adopt the files in %s", store->path);
        warn_lost_readers(store, &original, &warning);

        *ret_warning = take_ptr(warning);
        return 0;
}
