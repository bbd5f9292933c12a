/* Scratch directories for tests. */

#include "tests/support/scratch.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/util/files.h"
#include "lib/util/hash.h"

char *scratch_new(void) {
        const char *parent = getenv("TMPDIR");
        char *path;

        if (asprintf(&path, "%s/rekeyd-test-XXXXXX", parent ? parent : "/tmp") < 0 || !mkdtemp(path))
                abort();
        return path;
}

static int remove_one(const char *path, _unused_ const struct stat *st, _unused_ int type,
                      _unused_ struct FTW *ftw) {
        return remove(path);
}

char *scratch_free(char *path) {
        if (path)
                (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        free(path);
        return NULL;
}

char *scratch_path(const char *directory, const char *name) {
        char *path;

        if (asprintf(&path, "%s/%s", directory, name) < 0)
                abort();
        return path;
}

void scratch_write(const char *directory, const char *name, const char *text, unsigned mode) {
        _cleanup_(freep) char *path = scratch_path(directory, name);
        FILE *file = fopen(path, "we");

        if (!file || fputs(text, file) < 0 || fclose(file) != 0 || chmod(path, mode) < 0)
                abort();
}

char *scratch_read(const char *directory, const char *name) {
        _cleanup_(freep) char *path = scratch_path(directory, name);
        char *text = NULL;

        if (file_read_at(AT_FDCWD, path, FILE_FOLLOW, 1 << 20, &text, NULL) < 0)
                return NULL;
        return text;
}

static int no_dots(const struct dirent *entry) {
        return !streq(entry->d_name, ".") && !streq(entry->d_name, "..");
}

char *scratch_list(const char *directory) {
        struct dirent **entries;
        size_t size = 0;
        char *text;
        FILE *out = open_memstream(&text, &size);
        int n = scandir(directory, &entries, no_dots, alphasort);

        if (n < 0 || !out)
                abort();
        for (int i = 0; i < n; i++) {
                fprintf(out, "%s%s", i > 0 ? " " : "", entries[i]->d_name);
                free(entries[i]);
        }
        free(entries);
        fclose(out);
        return text;
}

static uint64_t hash_file(const char *path) {
        _cleanup_(freep) char *text = NULL;
        uint64_t hash = HASH_INIT;
        size_t size = 0;

        if (file_read_at(AT_FDCWD, path, FILE_NOFOLLOW, 1 << 20, &text, &size) < 0)
                return 0;
        for (size_t i = 0; i < size; i++)
                hash = hash_byte(hash, (uint8_t)text[i]);
        return hash;
}

static FILE *tree; /* nftw() passes nothing on */

static int describe_one(const char *path, const struct stat *st, _unused_ int type,
                        _unused_ struct FTW *ftw) {
        char target[256] = "";

        if (S_ISLNK(st->st_mode) && readlink(path, target, sizeof(target) - 1) < 0)
                abort();
        fprintf(tree, "%s %o %u:%u %ju*%ju %ju %jd.%09ld %jd.%09ld %s %" PRIx64 "\n", path, st->st_mode,
                st->st_uid, st->st_gid, (uintmax_t)st->st_ino, (uintmax_t)st->st_nlink,
                (uintmax_t)st->st_size, (intmax_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
                (intmax_t)st->st_ctim.tv_sec, st->st_ctim.tv_nsec, target,
                S_ISREG(st->st_mode) ? hash_file(path) : 0);
        return 0;
}

char *scratch_tree(const char *directory) {
        size_t size = 0;
        char *text;

        tree = open_memstream(&text, &size);
        if (!tree || nftw(directory, describe_one, 16, FTW_PHYS) < 0)
                abort();
        fclose(tree);
        return text;
}
