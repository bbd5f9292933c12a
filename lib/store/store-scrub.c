/*
 * What was published with more in it than certificates, by a release that copied texts, loses the rest: each
 * public file is replaced by the same certificates, written anew, in one rename. Nothing else of a generation
 * changes, so it stays the same set and readers need not be told.
 */

#include "lib/store/store-private.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/x509/cert-write.h"

bool text_equal_but_blanks(const char *a, const char *b) {
        for (;; a++, b++) {
                while (isspace((unsigned char)*a))
                        a++;
                while (isspace((unsigned char)*b))
                        b++;
                if (*a != *b || !*a)
                        return *a == *b;
        }
}

/* 1 when more than blanks was removed from NAME, 0 when not; -errno. */
static int scrub_file(int dir_fd, const char *name) {
        _cleanup_(free_secretp) char *text = NULL;
        _cleanup_(freep) char *clean = NULL;
        struct stat st;
        int r;

        r = file_read_at(dir_fd, name, FILE_NOFOLLOW, CERT_PEM_MAX, &text, NULL);
        if (r < 0)
                return store_blames_files(r) ? 0 : r;
        if (cert_text_is_clean(text))
                return 0;
        r = cert_text_rewrite(text, &clean, NULL);
        if (r < 0)
                return store_blames_files(r) ? 0 : r; /* it is damaged, and for others to judge */
        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        r = file_replace_at(
                dir_fd, name, clean, strlen(clean),
                (struct file_access) { .uid = st.st_uid, .gid = st.st_gid, .mode = st.st_mode & 07777u });
        return r < 0 ? r : !text_equal_but_blanks(text, clean);
}

static int scrub_generation(const struct store *store, uint64_t number, char **warning, struct error *error) {
        static const char *const names[] = { STORE_CERTIFICATE, STORE_CA };
        char directory[NUMBERED_NAME_MAX];
        _cleanup_(fd_closep) int dir_fd = -1;

        dir_fd = dir_open_at(store->fd, store_numbered_name(directory, GENERATION_PREFIX, number));
        if (dir_fd < 0)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                int r = scrub_file(dir_fd, names[i]);

                if (r < 0)
                        return error_set_errno(error, r, "cannot remove what is no certificate from %s/%s/%s",
                                               store->path, directory, names[i]);
                if (r > 0 && !*warning &&
                    asprintf(warning,
                             "%s/%s/%s held text beside its certificates, which every user could read; the "
                             "text was removed; renew at once if it was a private key",
                             store->path, directory, names[i]) < 0)
                        *warning = NULL;
        }
        return 0;
}

/* The oldest generation is an adopted one, and not current any more. */
static bool has_adopted(const struct store *store) {
        char name[NUMBERED_NAME_MAX];

        if (store->is_listed)
                return store->current > 0 && store->listed.n > 0 && store->listed.numbers[0] == 0;
        return store->current > 0 && faccessat(store->fd, store_numbered_name(name, GENERATION_PREFIX, 0),
                                               F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int store_scrub(struct store *store, const struct set *set, char **ret_warning, struct error *error) {
        _cleanup_(generations_clear) struct generations generations = { 0 };
        int r;

        if (store_is_clean(set) && !has_adopted(store))
                return 0;
        r = store_list_generations(store, &generations);
        if (r < 0)
                return error_set_errno(error, r, "cannot list directory %s", store->path);
        for (size_t i = generations.n; r == 0 && i-- > 0;)
                r = scrub_generation(store, generations.numbers[i], ret_warning, error);
        return r;
}
