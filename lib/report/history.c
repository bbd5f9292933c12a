/*
 * The file is written by one O_APPEND write for each batch of lines, so that lines never mix. Half of it is
 * dropped when it has grown too large: that is a copy, and one rename. It is not synced, so a power cut may
 * leave a line cut off, or zeros where lines were: what comes then begins on a line of its own, and zeros are
 * read as blanks.
 */

#include "lib/report/history.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/util/files.h"

#define SUFFIX        ".history"
#define FILE_NAME_MAX 256

static int file_name(const char *name, char ret[FILE_NAME_MAX], struct error *error) {
        int n = snprintf(ret, FILE_NAME_MAX, "%s" SUFFIX, name);

        if (n < 0 || n >= FILE_NAME_MAX || strchr(name, '/') || name[0] == '.')
                return error_set(error, -EINVAL, "'%s' is not the name of a certificate", name);
        return 0;
}

static int read_text(int dir_fd, const char *file, char **ret_text, size_t *ret_size) {
        char *text;
        size_t size;
        int r;

        r = file_read_at(dir_fd, file, FILE_NOFOLLOW, 4 * HISTORY_SIZE_MAX, &text, &size);
        if (r < 0)
                return r;
        for (char *zero = text; (zero = memchr(zero, '\0', (size_t)(text + size - zero)));)
                *zero = ' ';
        *ret_text = text;
        *ret_size = size;
        return 0;
}

/* The newer half, from the beginning of a line on. */
static int shorten(int dir_fd, const char *file, struct error *error) {
        _cleanup_(freep) char *text = NULL;
        const char *rest;
        size_t size;
        int r;

        r = read_text(dir_fd, file, &text, &size);
        if (r == 0) {
                rest = strchr(text + size - size / 2, '\n');
                rest = rest ? rest + 1 : "";
                r = file_replace_at(dir_fd, file, rest, strlen(rest), FILE_ACCESS(0600));
        } else if (r == -EFBIG)
                r = unlinkat(dir_fd, file, 0) < 0 ? -errno : 0; /* never ours */
        return r < 0 ? error_set_errno(error, r, "cannot shorten %s", file) : 0;
}

int history_append(int dir_fd, const char *name, const char *text, struct error *error) {
        _cleanup_(fd_closep) int fd = -1;
        char file[FILE_NAME_MAX], last = '\n';
        struct stat st;
        ssize_t n;
        int r;

        r = file_name(name, file, error);
        if (r < 0)
                return r;
        fd = openat(dir_fd, file, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
        if (fd < 0)
                return error_set_errno(error, -errno, "cannot open %s", file);
        if (fstat(fd, &st) < 0)
                return error_set_errno(error, -errno, "cannot read %s", file);
        if (!S_ISREG(st.st_mode))
                return error_set(error, -EINVAL, "%s is not a regular file", file);
        if (st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) < 0)
                return error_set_errno(error, -errno, "cannot read %s", file);
        if (last != '\n' && write(fd, "\n", 1) < 0)
                return error_set_errno(error, -errno, "cannot write to %s", file);
        do
                n = write(fd, text, strlen(text));
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return error_set_errno(error, -errno, "cannot write to %s", file);
        return st.st_size + n > HISTORY_SIZE_MAX ? shorten(dir_fd, file, error) : 0;
}

int history_read(int dir_fd, const char *name, char **ret_text, struct error *error) {
        char file[FILE_NAME_MAX];
        char *text;
        size_t size;
        int r;

        r = file_name(name, file, error);
        if (r < 0)
                return r;
        r = read_text(dir_fd, file, &text, &size);
        if (r == -ENOENT) {
                text = strdup("");
                r = text ? 0 : -ENOMEM;
        }
        if (r < 0)
                return error_set_errno(error, r, "cannot read %s", file);
        *ret_text = text;
        return 0;
}
