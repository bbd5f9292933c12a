/*
 * The native protocol of the journal: one datagram for an entry with a message id and fields, instead of a
 * line that a reader would have to parse. systemd documents it as stable. libsystemd speaks it too, but waits
 * for a journal that does not read, and keeps its socket to itself.
 *
 * Two things are left to the journal: the time, and the bytes of fields as they are, since it stores them.
 * Only MESSAGE is for people, and escaped before it comes here.
 */

#include "daemon/loop/journald.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "lib/util/log-queue.h"
#include "lib/util/text-stream.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* systemd.exec(5): JOURNAL_STREAM has device and inode of the stream that stdout or stderr was connected to.
 * Both must be compared: the variable is inherited by programs whose stderr was sent elsewhere. */
static bool is_connected(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;

        return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
               fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

/* --- An entry --- */

/* "NAME=VALUE"; or, for a value of several lines, NAME, then the size as 64 bits, little-endian, and the
 * bytes. */
static void put_field(FILE *out, const char *name, const char *value) {
        const uint64_t size = value ? strlen(value) : 0;

        if (!value)
                return;
        fputs(name, out);
        if (!strchr(value, '\n'))
                fputc('=', out);
        else {
                fputc('\n', out);
                for (unsigned shift = 0; shift < 64; shift += 8)
                        fputc((int)(size >> shift & 0xff), out);
        }
        fwrite(value, 1, size, out);
        fputc('\n', out);
}

static int format_entry(int priority, const char *message_id, const struct log_field *fields, size_t n_fields,
                        const char *message, char **ret_data, size_t *ret_size) {
        const char level[] = { (char)('0' + priority), '\0' };
        _cleanup_(freep) char *data = NULL;
        FILE *out = text_stream_open(&data, ret_size);

        if (!out)
                return -ENOMEM;
        put_field(out, "MESSAGE", message);
        put_field(out, "PRIORITY", level);
        put_field(out, "SYSLOG_IDENTIFIER", "rekeyd");
        put_field(out, "MESSAGE_ID", message_id);
        for (size_t i = 0; i < n_fields; i++)
                put_field(out, fields[i].name, fields[i].value);
        if (fclose(out) != 0)
                return -ENOMEM;
        *ret_data = take_ptr(data);
        return 0;
}

/* --- The socket --- */

static int journal_fd = -1;

/* Connected, since only then poll() knows whether the journal has room. */
static int connect_journal(void) {
        static const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };
        _cleanup_(fd_closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        journal_fd = take_fd(&fd);
        return 0;
}

/* What is too large for a datagram, in a sealed file whose descriptor is sent. */
static int send_file(const char *data, size_t size) {
        _cleanup_(fd_closep) int fd = memfd_create("rekeyd-log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        union {
                struct cmsghdr head;
                char buffer[CMSG_SPACE(sizeof(int))];
        } control = { .head = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
        const struct msghdr message = { .msg_control = &control, .msg_controllen = sizeof(control.buffer) };

        if (fd < 0 || write(fd, data, size) != (ssize_t)size ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                return errno > 0 ? -errno : -EIO;
        memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
        return sendmsg(journal_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static ssize_t send_entry(const char *data, size_t size) {
        int r = -EIO;

        for (unsigned i = 0; i < 2; i++) { /* the second time to a journal that has come back */
                r = journal_fd < 0 ? connect_journal() : 0;
                if (r < 0)
                        return r;
                if (send(journal_fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
                        return (ssize_t)size;
                r = errno == EMSGSIZE ? send_file(data, size) : -errno;
                if (r == 0)
                        return (ssize_t)size;
                if (r == -EAGAIN || r == -EINTR)
                        return r;
                journal_fd = fd_close(journal_fd);
        }
        return r;
}

static int get_fd(void) {
        return journal_fd;
}

static const struct log_target journal = { .send = send_entry, .fd = get_fd };

const struct log_journal journald = { .is_connected = is_connected,
                                      .format = format_entry,
                                      .target = &journal };
