/*
 * Listening sockets, and the identity of the peer.
 *
 * A Unix socket is bound under another name, gets its mode, listens, and is then renamed: there is no moment
 * at which it has a wrong mode or refuses a client, and the umask, which all threads share, is left alone.
 * Another process's socket is never taken away: only connect() can find out, and only ECONNREFUSED means that
 * no process listens.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "daemon/http/http-server.h"
#include "lib/util/parse.h"

#define SOCKET_FLAGS (SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)

/* Behind the name of a socket that is not ready yet. */
#define NEW_SUFFIX ".new"

/* 0 where PATH may be replaced: it is not there, or a socket at which no process listens. */
static int check_stale(const char *path, const struct sockaddr_un *address, struct error *error) {
        _cleanup_(fd_closep) int fd = -1;
        struct stat st;

        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : error_set_errno(error, -errno, "cannot listen at %s", path);
        if (!S_ISSOCK(st.st_mode))
                return error_set(error, -EEXIST,
                                 "cannot listen at %s: it is not a socket; remove it, or choose another path",
                                 path);

        fd = socket(AF_UNIX, SOCKET_FLAGS, 0);
        if (fd < 0)
                return error_set_errno(error, -errno, "cannot listen at %s: socket", path);
        if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
                return error_set(error, -EADDRINUSE, "cannot listen at %s: another process listens there",
                                 path);
        if (errno != ECONNREFUSED && errno != ENOENT)
                return error_set_errno(error, -errno,
                                       "cannot listen at %s: does another process listen there", path);
        return 0;
}

int http_listen_unix(const char *path, struct error *error) {
        _cleanup_(fd_closep) int fd = -1;
        struct sockaddr_un address = { .sun_family = AF_UNIX }, beginning = { .sun_family = AF_UNIX };
        const char *new_path = beginning.sun_path;
        int r;

        if (strlen(path) + strlen(NEW_SUFFIX) >= sizeof(address.sun_path))
                return error_set(error, -ENAMETOOLONG,
                                 "cannot listen at %s: the path of a socket may have %zu characters at most",
                                 path, sizeof(address.sun_path) - 1 - strlen(NEW_SUFFIX));
        snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        snprintf(beginning.sun_path, sizeof(beginning.sun_path), "%s" NEW_SUFFIX, path);

        r = check_stale(path, &address, error);
        if (r < 0)
                return r;
        r = check_stale(new_path, &beginning, error);
        if (r < 0)
                return r;
        if (unlink(new_path) < 0 && errno != ENOENT)
                return error_set_errno(error, -errno, "cannot listen at %s: remove %s", path, new_path);

        fd = socket(AF_UNIX, SOCKET_FLAGS, 0);
        if (fd < 0)
                return error_set_errno(error, -errno, "cannot listen at %s: socket", path);
        if (bind(fd, (const struct sockaddr *)&beginning, sizeof(beginning)) < 0)
                return error_set_errno(error, -errno, "cannot listen at %s: bind to %s", path, new_path);
        if (chmod(new_path, 0666) < 0 || listen(fd, SOMAXCONN) < 0 || rename(new_path, path) < 0) {
                r = error_set_errno(error, -errno, "cannot listen at %s", path);
                (void)unlink(new_path);
                return r;
        }
        return take_fd(&fd);
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
