/*
 * The stage: the next generation while it is being built, in a directory of mode 0700 that readers never use.
 * It is where a renewal finds its key again after a crash, a lost reply or a failed verification, so that no
 * second key is generated and no signature is lost. Its number is the generation it is to become: a stage
 * that is left behind by a commit or an adoption is older than the current set and recognised by that.
 */

#include "lib/store/store-private.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "lib/protocol/connection.h"
#include "lib/x509/csr.h"

void stage_clear(struct stage *stage) {
        key_free(stage->key);
        free(stage->csr_pem);
        free_secret(stage->token);
        free(stage->connection_json);
        free(stage->certificate_pem);
        free(stage->ca_pem);
        *stage = (struct stage) { 0 };
}

/* Opens the stage for the next generation. -ENOENT when nothing is staged. */
static int open_stage(const struct store *store, char name[NUMBERED_NAME_MAX]) {
        if (store->has_no_stage) {
                store_numbered_name(name, STAGE_PREFIX, store_next(store));
                return -ENOENT;
        }
        return dir_open_at(store->fd, store_numbered_name(name, STAGE_PREFIX, store_next(store)));
}

int store_stage_key(struct store *store, const struct key *key, struct error *error) {
        _cleanup_(fd_closep) int stage_fd = -1;
        char name[NUMBERED_NAME_MAX];
        int r;

        store_numbered_name(name, STAGE_PREFIX, store_next(store));
        store_forget_listing(store);
        r = dir_remove_at(store->fd, name);
        if (r < 0)
                return error_set_errno(error, r, "cannot clear %s/%s", store->path, name);
        if (mkdirat(store->fd, name, 0700) < 0)
                return error_set_errno(error, -errno, "cannot create %s/%s", store->path, name);

        stage_fd = open_stage(store, name);
        if (stage_fd < 0) {
                r = error_set_errno(error, stage_fd, "cannot open %s/%s", store->path, name);
                goto fail;
        }
        r = store_create_key(store, key, stage_fd, error);
        if (r < 0) {
                error_prefix(error, "cannot stage the new key in %s/%s", store->path, name);
                goto fail;
        }
        r = dir_sync(stage_fd);
        if (r == 0)
                r = dir_sync(store->fd);
        if (r < 0) {
                error_set_errno(error, r, "cannot sync %s/%s", store->path, name);
                goto fail;
        }
        return 0;

fail:
        (void)dir_remove_at(store->fd, name);
        return r;
}

static int stage_file(const struct store *store, int stage_fd, const char *name, const char *text,
                      struct file_access access, struct error *error) {
        int r = file_put_at(stage_fd, name, text, strlen(text), access);

        if (r < 0)
                return error_set_errno(error, r, "cannot write %s in the stage of %s", name, store->path);
        return 0;
}

static int sync_stage(const struct store *store, int stage_fd, struct error *error) {
        int r = dir_sync(stage_fd);

        if (r < 0)
                return error_set_errno(error, r, "cannot sync the stage of %s", store->path);
        return 0;
}

/* One sync of the directory is enough for parts of which none is used without the others. A CSR is, after a
 * crash: the token and the URLs that go with it are durable before it. */
int store_stage_parts(struct store *store, const struct store_staged *parts, struct error *error) {
        const struct file_access private = FILE_ACCESS(0600), public = store->options.public_access;
        const struct {
                const char *name, *text;
                const struct file_access *access;
        } files[] = {
                { STORE_CONNECTION, parts->connection_json, &public },
                { STAGE_TOKEN, parts->token, &private },
                { STAGE_CSR, parts->csr_pem, &private },
                { STORE_CA, parts->ca_pem, &public },
                { STORE_CERTIFICATE, parts->certificate_pem, &public },
        };
        _cleanup_(fd_closep) int stage_fd = -1;
        char name[NUMBERED_NAME_MAX];
        bool is_synced = true;
        int r = 0;

        stage_fd = open_stage(store, name);
        if (stage_fd < 0)
                return error_set_errno(error, stage_fd, "cannot open %s/%s", store->path, name);
        for (size_t i = 0; r == 0 && i < ELEMENTSOF(files); i++) {
                if (!files[i].text)
                        continue;
                if (streq(files[i].name, STAGE_CSR) && !is_synced)
                        r = sync_stage(store, stage_fd, error);
                if (r == 0)
                        r = stage_file(store, stage_fd, files[i].name, files[i].text, *files[i].access,
                                       error);
                is_synced = false;
        }
        return r < 0 || is_synced ? r : sync_stage(store, stage_fd, error);
}

int store_stage_note_csr(struct store *store, const char *csr_pem, struct error *error) {
        _cleanup_(fd_closep) int stage_fd = -1;
        char name[NUMBERED_NAME_MAX];
        int r;

        stage_fd = open_stage(store, name);
        if (stage_fd < 0)
                return error_set_errno(error, stage_fd, "cannot open %s/%s", store->path, name);
        r = file_note_at(stage_fd, STAGE_CSR, csr_pem, strlen(csr_pem), FILE_ACCESS(0600));
        if (r < 0)
                return error_set_errno(error, r, "cannot write %s/%s/%s", store->path, name, STAGE_CSR);
        return 0;
}

static int read_staged(int stage_fd, const char *name, size_t max, char **ret, struct error *error) {
        int r;

        r = file_read_at(stage_fd, name, FILE_NOFOLLOW, max, ret, NULL);
        if (r < 0 && r != -ENOENT)
                return error_set_errno(error, r, "cannot read %s", name);
        return 0;
}

int store_stage_load(const struct store *store, struct stage *ret, struct error *error) {
        const struct {
                const char *name;
                size_t max, offset;
        } parts[] = {
                { STAGE_CSR, CSR_PEM_MAX, offsetof(struct stage, csr_pem) },
                { STAGE_TOKEN, STORE_TOKEN_MAX, offsetof(struct stage, token) },
                { STORE_CONNECTION, CONNECTION_JSON_MAX, offsetof(struct stage, connection_json) },
                { STORE_CERTIFICATE, CERT_PEM_MAX, offsetof(struct stage, certificate_pem) },
                { STORE_CA, CERT_PEM_MAX, offsetof(struct stage, ca_pem) },
        };
        _cleanup_(stage_clear) struct stage stage = { 0 };
        _cleanup_(fd_closep) int stage_fd = -1;
        char name[NUMBERED_NAME_MAX];
        int r;

        stage_fd = open_stage(store, name);
        if (stage_fd == -ENOENT) {
                *ret = (struct stage) { 0 };
                return 0;
        }
        if (stage_fd < 0)
                return error_set_errno(error, stage_fd, "cannot open %s/%s", store->path, name);

        r = key_read_at(stage_fd, STORE_KEY, FILE_NOFOLLOW, &stage.key, error);
        if (r == -ENOENT || r == -EINVAL || r == -ENXIO) {
                /* A stage is worth its key: one that lost it is useless, and is replaced by the next. */
                error_clear(error);
                *ret = (struct stage) { 0 };
                return 0;
        }
        for (size_t i = 0; r == 0 && i < ELEMENTSOF(parts); i++)
                r = read_staged(stage_fd, parts[i].name, parts[i].max,
                                (char **)((char *)&stage + parts[i].offset), error);
        if (r < 0)
                return error_prefix(error, "cannot read what is staged in %s/%s", store->path, name);

        *ret = stage;
        stage = (struct stage) { 0 };
        return 0;
}

static int drop(struct store *store, const char *file, struct error *error) {
        _cleanup_(fd_closep) int stage_fd = -1;
        char name[NUMBERED_NAME_MAX];
        int r;

        stage_fd = open_stage(store, name);
        if (stage_fd == -ENOENT)
                return 0;
        if (stage_fd < 0)
                return error_set_errno(error, stage_fd, "cannot open %s/%s", store->path, name);
        if (unlinkat(stage_fd, file, 0) < 0)
                return errno == ENOENT ? 0
                                       : error_set_errno(error, -errno, "cannot remove %s/%s/%s", store->path,
                                                         name, file);
        r = dir_sync(stage_fd);
        if (r < 0)
                return error_set_errno(error, r, "cannot sync %s/%s", store->path, name);
        return 0;
}

int store_stage_drop_token(struct store *store, struct error *error) {
        return drop(store, STAGE_TOKEN, error);
}

int store_stage_drop_certificate(struct store *store, struct error *error) {
        int r;

        r = drop(store, STORE_CERTIFICATE, error);
        if (r < 0)
                return r;
        return drop(store, STORE_CA, error);
}

int store_stage_ahead(struct store *store, const struct key *key, enum store_ahead *ret,
                      struct error *error) {
        _cleanup_(stage_clear) struct stage stage = { 0 };
        int r;

        if (store_is_empty(store)) {
                *ret = STORE_AHEAD_HAS_NONE;
                return 0;
        }
        r = store_stage_load(store, &stage, error);
        if (r < 0)
                return r;
        if (stage.key && key_is_rsa(stage.key) && key_bits(stage.key) >= key_bits(key)) {
                *ret = STORE_AHEAD_HAS_ONE;
                return 0;
        }
        r = store_stage_key(store, key, error);
        if (r < 0)
                return r;
        *ret = STORE_AHEAD_STAGED;
        return 0;
}

int store_stage_drop_unused(struct store *store, struct error *error) {
        _cleanup_(stage_clear) struct stage stage = { 0 };
        char name[NUMBERED_NAME_MAX];
        int r;

        r = store_stage_load(store, &stage, error);
        if (r < 0)
                return r;
        if (stage.csr_pem || stage.token || stage.certificate_pem)
                return 0;
        store_numbered_name(name, STAGE_PREFIX, store_next(store));
        r = dir_remove_at(store->fd, name);
        if (r == 0)
                r = dir_sync(store->fd);
        if (r < 0)
                return error_set_errno(error, r, "cannot remove %s/%s", store->path, name);
        return 0;
}
