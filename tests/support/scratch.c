/* Scratch directories for tests. */

#include "tests/support/scratch.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/util/files.h"

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
