/* Snapshots of the live set, through the names that readers use. */

#include "tests/support/snapshot.h"

#include <dirent.h>
#include <fcntl.h>

#include "lib/store/store.h"
#include "lib/x509/chain.h"
#include "tests/support/scratch.h"

static const char *const names[SNAPSHOT_FILES] = {
        STORE_KEY,
        STORE_CERTIFICATE,
        STORE_CA,
        STORE_CONNECTION,
};

enum { KEY, CERTIFICATE, CA };

struct snapshot snapshot_take(const char *directory) {
        _cleanup_(freep) char *link = scratch_path(directory, STORE_CURRENT);
        struct snapshot snapshot = { 0 };

        if (link_read_at(AT_FDCWD, link, &snapshot.generation) < 0)
                snapshot.generation = NULL;
        for (size_t i = 0; i < SNAPSHOT_FILES; i++)
                snapshot.files[i] = scratch_read(directory, names[i]);
        return snapshot;
}

void snapshot_clear(struct snapshot *snapshot) {
        free(snapshot->generation);
        for (size_t i = 0; i < SNAPSHOT_FILES; i++)
                free(snapshot->files[i]);
        *snapshot = (struct snapshot) { 0 };
}

const char *snapshot_difference(const struct snapshot *a, const struct snapshot *b) {
        if (!streq_null(a->generation, b->generation))
                return STORE_CURRENT;
        for (size_t i = 0; i < SNAPSHOT_FILES; i++)
                if (!streq_null(a->files[i], b->files[i]))
                        return names[i];
        return NULL;
}

const char *snapshot_mismatch(const struct snapshot *snapshot, usec_t *ret_expiry) {
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 }, anchors = { 0 };
        _cleanup_(key_freep) struct key *key = NULL;
        uint8_t spki[SPKI_HASH_SIZE], other[SPKI_HASH_SIZE];
        const char *const *files = (const char *const *)snapshot->files;

        for (size_t i = 0; i < SNAPSHOT_FILES; i++)
                if (strempty(files[i]))
                        return "a file is missing or empty";
        if (key_parse(files[KEY], strlen(files[KEY]), &key, NULL) < 0)
                return "the key cannot be read";
        if (cert_list_parse(files[CERTIFICATE], strlen(files[CERTIFICATE]), &certs, NULL) < 0)
                return "the certificate cannot be read";
        if (cert_list_parse(files[CA], strlen(files[CA]), &anchors, NULL) < 0)
                return "the CA cannot be read";
        key_spki(key, spki);
        cert_spki(certs.items[0], other);
        if (memcmp(spki, other, sizeof(spki)) != 0)
                return "key and leaf do not match";
        if (chain_verify(certs.items[0], &certs, &anchors, USEC_INFINITY, NULL) < 0)
                return "the leaf does not lead to the CA";
        if (ret_expiry)
                *ret_expiry = cert_not_after(certs.items[0]);
        return NULL;
}

char *staged_key(const char *directory) {
        DIR *dir = opendir(directory);
        const struct dirent *entry;
        char *key = NULL;

        while (dir && !key && (entry = readdir(dir)))
                if (has_prefix(entry->d_name, "..stage-")) {
                        _cleanup_(freep) char *stage = scratch_path(directory, entry->d_name);

                        key = scratch_read(stage, STORE_KEY);
                }
        if (dir)
                closedir(dir);
        return key;
}
