/*
 * Listening sockets, and the identity of the peer.
 *
 * A Unix socket is bound under another name, gets its mode, listens, and is then renamed: there is no moment
 * at which it has a wrong mode or refuses a client, and the umask, which all threads share, is left alone.
 * Another process's socket is never taken away: only connect() can find out, and only ECONNREFUSED means that
 * no process listens.
 *
 * Whoever may write to the directory could put a link in the place of the name in between, and have another
 * file changed; or later put a socket of his own there, and get the tokens. So only root and our own user
 * may, and a group of ours at most for the moment: see lib/store/directory.h. A sticky bit is not enough: in
 * /tmp everybody may take a name that is free. All but bind() and connect() goes through a descriptor of the
 * directory, whatever becomes of its path.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "daemon/http/http-server.h"
#include "lib/store/directory.h"
#include "lib/util/log.h"
#include "lib/util/parse.h"

#define SOCKET_FLAGS (SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)

/* Behind the name of a socket that is not ready yet. */
#define NEW_SUFFIX ".new"

/* The name of a socket: in its directory, and as a path for bind() and connect(). */
struct place {
        const char *name;
        struct sockaddr_un address;
};

/* Opens the directory of the socket PATH; with MAKES it makes one that is not there. The descriptor, or
 * -errno with a sentence. */
static int open_directory(const char *path, bool makes, struct error *error) {
        _cleanup_(freep) char *parent = NULL, *real = NULL, *change = NULL;
        const char *slash = strrchr(path, '/');
        int fd;

        parent = slash ? strndup(path, slash > path ? (size_t)(slash - path) : 1) : strdup(".");
        if (!parent)
                return error_set_errno(error, -ENOMEM, "cannot listen at %s", path);
        real = canonicalize_file_name(parent); /* it may be a link, as /var/run is: its target is judged */
        if (!real && (!makes || errno != ENOENT))
                return error_set_errno(error, -errno, "cannot listen at %s: its directory", path);
        fd = directory_open(real ? real : parent, 0755, NO_GROUP, error);
        if (fd < 0)
                return error_prefix(error, "cannot listen at %s", path);
        if (directory_tighten(fd, parent, &change) == 0 && change)
                log_line(LOG_NOTICE, "control socket %s: its group may no longer write to its directory: %s",
                         path, change);
        return fd;
}

/* 0 where PLACE, in the directory DIR_FD, may be replaced: it is not there, or a socket at which no process
 * listens. */
static int check_stale(int dir_fd, const struct place *place, struct error *error) {
        _cleanup_(fd_closep) int fd = -1;
        const char *path = place->address.sun_path;
        struct stat st;

        if (fstatat(dir_fd, place->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : error_set_errno(error, -errno, "cannot listen at %s", path);
        if (!S_ISSOCK(st.st_mode))
                return error_set(error, -EEXIST,
                                 "cannot listen at %s: it is not a socket; remove it, or choose another path",
                                 path);

        fd = socket(AF_UNIX, SOCKET_FLAGS, 0);
        if (fd < 0)
                return error_set_errno(error, -errno, "cannot listen at %s: socket", path);
        if (connect(fd, (const struct sockaddr *)&place->address, sizeof(place->address)) == 0 ||
            errno == EAGAIN)
                return error_set(error, -EADDRINUSE, "cannot listen at %s: another process listens there",
                                 path);
        if (errno != ECONNREFUSED && errno != ENOENT)
                return error_set_errno(error, -errno,
                                       "cannot listen at %s: does another process listen there", path);
        return 0;
}

static int set_place(const char *path, const char *suffix, struct place *ret) {
        const char *slash;
        int n;

        *ret = (struct place) { .address.sun_family = AF_UNIX };
        n = snprintf(ret->address.sun_path, sizeof(ret->address.sun_path), "%s%s", path, suffix);
        if (n < 0 || (size_t)n >= sizeof(ret->address.sun_path))
                return -ENAMETOOLONG;
        slash = strrchr(ret->address.sun_path, '/');
        ret->name = slash ? slash + 1 : ret->address.sun_path;
        return 0;
}

int http_listen_unix(const char *path, struct error *error) {
        _cleanup_(fd_closep) int fd = -1, dir_fd = -1;
        struct place place, beginning;
        int r;

        if (set_place(path, "", &place) < 0 || set_place(path, NEW_SUFFIX, &beginning) < 0)
                return error_set(error, -ENAMETOOLONG,
                                 "cannot listen at %s: the path of a socket may have %zu characters at most",
                                 path, sizeof(place.address.sun_path) - 1 - strlen(NEW_SUFFIX));
        dir_fd = open_directory(path, true, error);
        if (dir_fd < 0)
                return dir_fd;
        r = check_stale(dir_fd, &place, error);
        if (r < 0)
                return r;
        r = check_stale(dir_fd, &beginning, error);
        if (r < 0)
                return r;
        if (unlinkat(dir_fd, beginning.name, 0) < 0 && errno != ENOENT)
                return error_set_errno(error, -errno, "cannot listen at %s: remove %s", path, beginning.name);

        fd = socket(AF_UNIX, SOCKET_FLAGS, 0);
        if (fd < 0)
                return error_set_errno(error, -errno, "cannot listen at %s: socket", path);
        if (bind(fd, (const struct sockaddr *)&beginning.address, sizeof(beginning.address)) < 0)
                return error_set_errno(error, -errno, "cannot listen at %s: bind to %s", path,
                                       beginning.address.sun_path);
        if (fchmodat(dir_fd, beginning.name, 0666, AT_SYMLINK_NOFOLLOW) < 0 || listen(fd, SOMAXCONN) < 0 ||
            renameat(dir_fd, beginning.name, dir_fd, place.name) < 0) {
                r = error_set_errno(error, -errno, "cannot listen at %s", path);
                (void)unlinkat(dir_fd, beginning.name, 0);
                return r;
        }
        return take_fd(&fd);
}

void http_remove_unix(const char *path) {
        _cleanup_(fd_closep) int dir_fd = -1;
        struct place place;

        if (set_place(path, "", &place) < 0)
                return;
        dir_fd = open_directory(path, false, NULL);
        if (dir_fd >= 0 && check_stale(dir_fd, &place, NULL) == 0)
                (void)unlinkat(dir_fd, place.name, 0);
}

static int parse_address(const char *text, struct sockaddr_storage *ret, socklen_t *ret_size) {
        struct sockaddr_in *ipv4 = (struct sockaddr_in *)ret;
        struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)ret;
        const char *colon = strrchr(text, ':');
        char host[INET6_ADDRSTRLEN + 2];
        uint64_t port;
        size_t n;

        n = colon ? (size_t)(colon - text) : 0;
        if (n < 2 || n >= sizeof(host) || parse_unsigned(colon + 1, 0, UINT16_MAX, &port) < 0)
                return -EINVAL;
        memcpy(host, text, n);
        host[n] = '\0';

        *ret = (struct sockaddr_storage) {};
        if (host[0] == '[' && host[n - 1] == ']') {
                host[n - 1] = '\0';
                ipv6->sin6_family = AF_INET6;
                ipv6->sin6_port = htons((uint16_t)port);
                *ret_size = sizeof(*ipv6);
                return inet_pton(AF_INET6, host + 1, &ipv6->sin6_addr) == 1 ? 0 : -EINVAL;
        }
        ipv4->sin_family = AF_INET;
        ipv4->sin_port = htons((uint16_t)port);
        *ret_size = sizeof(*ipv4);
        return inet_pton(AF_INET, host, &ipv4->sin_addr) == 1 ? 0 : -EINVAL;
}

int http_listen_tcp(const char *address, struct error *error) {
        static const int yes = 1;
        _cleanup_(fd_closep) int fd = -1;
        struct sockaddr_storage storage;
        socklen_t size;

        if (parse_address(address, &storage, &size) < 0)
                return error_set(error, -EINVAL,
                                 "cannot listen at '%s': it must be a numeric address and a port, such as "
                                 "127.0.0.1:9732 or [::1]:9732",
                                 address);
        fd = socket(storage.ss_family, SOCKET_FLAGS, 0);
        if (fd < 0)
                return error_set_errno(error, -errno, "cannot listen at %s: socket", address);
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
            (storage.ss_family == AF_INET6 &&
             setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes)) < 0) ||
            bind(fd, (const struct sockaddr *)&storage, size) < 0 || listen(fd, SOMAXCONN) < 0)
                return error_set_errno(error, -errno, "cannot listen at %s", address);
        return take_fd(&fd);
}

static bool has_group(gid_t own, const gid_t *groups, size_t n_groups, gid_t wanted) {
        if (wanted == (gid_t)-1)
                return false;
        for (size_t i = 0; i < n_groups; i++)
                if (groups[i] == wanted)
                        return true;
        return own == wanted;
}

enum http_access http_peer_access(int fd, gid_t group, gid_t read_group) {
        _cleanup_(freep) gid_t *groups = NULL;
        struct ucred peer;
        socklen_t size = sizeof(peer);
        size_t n;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid == (uid_t)-1)
                return HTTP_ACCESS_NONE;
        if (peer.uid == 0 || peer.uid == geteuid())
                return HTTP_ACCESS_FULL;

        /* Those that it had when it connected, which its user's entry in the group database need not have. */
        size = 64 * sizeof(gid_t);
        for (;;) {
                gid_t *larger = realloc(groups, size > 0 ? size : 1);

                if (!larger)
                        return HTTP_ACCESS_NONE;
                groups = larger;
                if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) == 0)
                        break;
                if (errno != ERANGE)
                        return HTTP_ACCESS_NONE;
        }
        n = size / sizeof(gid_t);

        if (has_group(peer.gid, groups, n, group))
                return HTTP_ACCESS_FULL;
        return has_group(peer.gid, groups, n, read_group) ? HTTP_ACCESS_READ : HTTP_ACCESS_NONE;
}
