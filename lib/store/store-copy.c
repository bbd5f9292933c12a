/*
 * Sets that are already there, made current: an adopted pair, or a copy of an older generation. A copy and
 * not the old directory itself, because the newest generation is the current one, always: recovery relies on
 * that, and it distinguishes a rollback from a commit that was cut off.
 */

#include "lib/store/store-private.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/x509/cert-write.h"

static int create_text(int dir_fd, const char *name, const char *text, struct file_access access) {
        return text ? file_create_at(dir_fd, name, text, strlen(text), access) : 0;
}

int store_publish_pair(struct store *store, const struct pair *pair, uint64_t number, struct error *error) {
        _cleanup_(fd_closep) int stage_fd = -1;
        char name[NUMBERED_NAME_MAX], staged[NUMBERED_NAME_MAX], source[24];
        int r;

        /* Not in the stage of NUMBER: cut off there, the copy would pass for a renewal, which would continue
         * with its key. Number 0 is never a stage, and opening the store removes it. */
        store_numbered_name(name, STAGE_PREFIX, 0);
        r = dir_remove_at(store->fd, name);
        if (r < 0)
                return error_set_errno(error, r, "cannot clear %s/%s", store->path, name);
        if (mkdirat(store->fd, name, 0700) < 0)
                return error_set_errno(error, -errno, "cannot create %s/%s", store->path, name);
        stage_fd = dir_open_at(store->fd, name);
        if (stage_fd < 0)
                return error_set_errno(error, stage_fd, "cannot open %s/%s", store->path, name);

        r = store_create_key(store, pair->key, stage_fd, error);
        if (r < 0) {
                error_prefix(error, "cannot write %s/%s", store->path, name);
                goto fail;
        }
        r = create_text(stage_fd, STORE_CERTIFICATE, pair->certificate_pem, store->options.public_access);
        if (r == 0)
                r = create_text(stage_fd, STORE_CA, pair->ca_pem, store->options.public_access);
        if (r == 0)
                r = create_text(stage_fd, STORE_CONNECTION, pair->connection_json,
                                store->options.public_access);
        if (r == 0)
                r = store_adopted_create(store, stage_fd);
        if (r == 0 && pair->is_copy) {
                snprintf(source, sizeof(source), "%" PRIu64 "\n", pair->source);
                r = create_text(stage_fd, STORE_COPY_OF, source, store->options.public_access);
        }
        if (r == 0 && fchmod(stage_fd, 0755) < 0)
                r = -errno;
        if (r == 0)
                r = dir_sync(stage_fd);
        if (r < 0) {
                error_set_errno(error, r, "cannot write %s/%s", store->path, name);
                goto fail;
        }
        r = store_publish(store, name, number, error);
        if (r < 0)
                goto fail;
        (void)dir_remove_at(store->fd, store_numbered_name(staged, STAGE_PREFIX, number));
        return 0;

fail:
        (void)dir_remove_at(store->fd, name);
        return r;
}

int store_publish_copy(struct store *store, const struct set *set, struct error *error) {
        _cleanup_(freep) char *certificate_pem = NULL, *ca_pem = NULL;
        int r;

        r = cert_text_rewrite(set->certificate_pem, &certificate_pem, error);
        if (r == 0 && set->ca_pem)
                r = cert_text_rewrite(set->ca_pem, &ca_pem, error);
        if (r < 0)
                return r;
        const struct pair pair = {
                .key = set->key, /* borrowed, as all is */
                .certificate_pem = certificate_pem,
                .ca_pem = ca_pem,
                .connection_json = set->connection_json,
                .is_copy = true,
                .source = set->generation,
        };

        return store_publish_pair(store, &pair, store_next(store), error);
}

int store_rollback(struct store *store, uint64_t generation, usec_t now, struct error *error) {
        _cleanup_(set_clear) struct set set = { 0 };
        char expiry[TIMESTAMP_MAX], name[NUMBERED_NAME_MAX];
        int r;

        store_numbered_name(name, GENERATION_PREFIX, generation);
        if (store->has_current && generation == store->current)
                return error_set(error, -EALREADY, "generation %" PRIu64 " is the current one in %s",
                                 generation, store->path);
        if (faccessat(store->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                return error_set_errno(error, -errno, "cannot roll back to %s/%s", store->path, name);
        r = store_load_generation(store, generation, &set, error);
        if (r < 0)
                return error_prefix(error, "cannot roll back");
        if (set.effective_expiry <= now)
                return error_set(error, -EKEYEXPIRED, "cannot roll back to %s/%s: it expired at %s",
                                 store->path, name, format_timestamp(expiry, set.effective_expiry));
        return store_publish_copy(store, &set, error);
}
