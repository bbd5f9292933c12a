#pragma once

/* What the tests of an export's place share: a spy between the code under test and the system calls, and
 * children with less or more rights than this process. */

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/support/must.h"
#include "tests/support/scratch.h"
#include "tests/support/x509.h"
#include "tests/test.h"
#include "tests/unit/export/exports.h"

/* --- What the system is asked, and what it answers --- */

/* One program has one of these. It stands between the code under test and the system calls: what a file was
 * like at its first byte, and failures that no test could cause otherwise. */
static struct {
        unsigned writes;
        struct stat first; /* of the file, before the first write */
        int write_error;   /* what the second half of a write gives */
        int rename_error;
} spy;

ssize_t write(int fd, const void *data, size_t size) {
        if (spy.writes++ == 0)
                ck_assert_int_eq(fstat(fd, &spy.first), 0);
        if (spy.write_error != 0 && spy.writes == 1)
                size /= 2;
        else if (spy.write_error != 0) {
                errno = spy.write_error;
                return -1;
        }
        return syscall(SYS_write, fd, data, size);
}

int renameat(int old_fd, const char *old, int new_fd, const char *new) {
        if (spy.rename_error != 0) {
                errno = spy.rename_error;
                return -1;
        }
        return (int)syscall(SYS_renameat2, old_fd, old, new_fd, new, 0);
}

static inline void spy_reset(void) {
        memset(&spy, 0, sizeof(spy));
}

/* --- Children with less or more than this process --- */

static inline bool fails_with(int r, int code, const struct error *error, const char *text) {
        if (r == code && strstr(error_text(error), text))
                return true;
        fprintf(stderr, "%d, '%s' instead of %d, '%s'\n", r, error_text(error), code, text);
        return false;
}

struct child {
        const char *directory;
        const struct material *material;
};

/* Never inline: the compiler would then know that the child does not come back, and drop what the caller
 * holds, which valgrind tells of as lost. */
_unused_ __attribute__((noinline)) static void in_child(void (*function)(const struct child *),
                                                        const char *directory,
                                                        const struct material *material) {
        struct child child = { directory, material };
        int status;
        pid_t pid;

        fflush(NULL);
        pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                function(&child);
                _exit(0);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child failed, see above");
}

/* Mounts that nobody else sees. */
static inline bool enter_namespace(void) {
        return unshare(CLONE_NEWNS) == 0 && mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0;
}

/* NULL when there can be such mounts, else why not. */
static inline const char *no_namespace(void) {
        int status;
        pid_t pid;

        if (geteuid() != 0)
                return "only root can mount";
        pid = fork();
        if (pid == 0)
                _exit(enter_namespace() ? 0 : 1);
        return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0
                       ? NULL
                       : "this root may not make a mount namespace";
}
