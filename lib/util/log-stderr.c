/*
 * Standard error is not ours alone: O_NONBLOCK belongs to the open file, which a shell, a terminal and other
 * programs share, and they would get errors that they do not expect. So there is a way for each kind of file:
 *
 * - A socket takes a flag with each send().
 * - A pipe or a terminal is opened anew by /proc/self/fd/2, which makes an open file of our own.
 * - Where that is refused (the pipe belongs to another user), poll() says whether there is room, and a pipe
 *   with room takes PIPE_BUF bytes. Only if another program fills it in between would write() wait.
 * - Other files never wait; and a regular file that is opened anew would begin again at its beginning.
 */

#include "lib/util/log-stderr.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum way { PLAIN, SOCKET, OWN, POLLED };

/* How the file with this identity is written. */
static struct {
        dev_t device;
        ino_t inode;
        enum way way;
        int fd; /* OWN: it is ours; otherwise standard error itself, or 0 before the first line */
} place;

static int open_anew(const struct stat *st) {
        int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        struct stat own;

        if (fd < 0)
                return -errno;
        if (fstat(fd, &own) == 0 && own.st_dev == st->st_dev && own.st_ino == st->st_ino)
                return fd;
        (void)close(fd);
        return -ESTALE;
}

/* Standard error may have become another file since the last line. 0 or -errno. */
static int find_way(void) {
        struct stat st;
        int fd;

        if (fstat(STDERR_FILENO, &st) < 0)
                return -errno;
        if (place.fd > 0 && st.st_dev == place.device && st.st_ino == place.inode)
                return 0;
        if (place.way == OWN)
                (void)close(place.fd);
        place.device = st.st_dev;
        place.inode = st.st_ino;
        place.way = S_ISSOCK(st.st_mode) ? SOCKET : PLAIN;
        place.fd = STDERR_FILENO;
        if (!S_ISFIFO(st.st_mode) && !(S_ISCHR(st.st_mode) && isatty(STDERR_FILENO)))
                return 0;
        fd = open_anew(&st);
        place.way = fd < 0 ? POLLED : OWN;
        place.fd = fd < 0 ? STDERR_FILENO : fd;
        return 0;
}

static ssize_t send_bytes(const char *data, size_t size) {
        struct pollfd writable = { .fd = STDERR_FILENO, .events = POLLOUT };
        ssize_t n;
        int r;

        r = find_way();
        if (r < 0)
                return r;
        if (place.way == POLLED) {
                if (poll(&writable, 1, 0) == 0)
                        return -EAGAIN;
                size = size < PIPE_BUF ? size : PIPE_BUF;
        }
        n = place.way == SOCKET ? send(place.fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL)
                                : write(place.fd, data, size);
        return n < 0 ? -errno : n;
}

static int get_fd(void) {
        return place.fd > 0 ? place.fd : STDERR_FILENO;
}

const struct log_target log_stderr = { .send = send_bytes, .fd = get_fd, .is_stream = true };
