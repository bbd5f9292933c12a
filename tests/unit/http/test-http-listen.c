/* Listening sockets, and who is at the other end: users and groups are those of real processes. */

#include "daemon/http/http-server.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "tests/test.h"

START_TEST(a_unix_socket_replaces_a_stale_one_only) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        char directory[] = "/tmp/test-http-XXXXXX", path[64], longer[256];
        struct stat st;
        mode_t mask;
        int fd, other;

        ck_assert_ptr_nonnull(mkdtemp(directory));
        snprintf(path, sizeof(path), "%s/socket", directory);
        mask = umask(0077);
        fd = http_listen_unix(path, &error);
        ck_assert_msg(fd >= 0, "%s", error_text(&error));
        umask(mask);
        ck_assert_int_eq(lstat(path, &st), 0);
        ck_assert(S_ISSOCK(st.st_mode));
        ck_assert_uint_eq(st.st_mode & 07777, 0666);
        ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
        ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);

        ck_assert_int_eq(http_listen_unix(path, &error), -EADDRINUSE);
        ck_assert_ptr_nonnull(strstr(error_text(&error), "another process listens there"));
        fd_close(fd);
        other = http_listen_unix(path, &error); /* stale now */
        ck_assert_int_ge(other, 0);
        fd_close(other);
        ck_assert_int_eq(unlink(path), 0);

        fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        ck_assert_int_ge(fd, 0);
        fd_close(fd);
        ck_assert_int_eq(http_listen_unix(path, &error), -EEXIST);
        ck_assert_ptr_nonnull(strstr(error_text(&error), "not a socket"));
        ck_assert_int_eq(lstat(path, &st), 0);
        ck_assert(S_ISREG(st.st_mode));
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(symlink("elsewhere", path), 0);
        ck_assert_int_eq(http_listen_unix(path, &error), -EEXIST);
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(rmdir(directory), 0); /* and no litter */

        ck_assert_int_eq(http_listen_unix(path, &error), -ENOENT);
        memset(longer, 'a', sizeof(longer) - 1);
        longer[sizeof(longer) - 1] = '\0';
        ck_assert_int_eq(http_listen_unix(longer, &error), -ENAMETOOLONG);
}
END_TEST

START_TEST(tcp_addresses_are_numbers) {
        static const char *const wrong[] = { "",        "127.0.0.1", "localhost:80", "127.0.0.1:x",  ":80",
                                             "[::1:80", "::1:80",    "[]:80",        "1.2.3.4:65536" };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int fd;

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
                ck_assert_int_eq(http_listen_tcp(wrong[i], &error), -EINVAL);
        fd = http_listen_tcp("127.0.0.1:0", &error);
        ck_assert_msg(fd >= 0, "%s", error_text(&error));
        fd_close(fd);
        ck_assert_int_eq(http_listen_tcp("192.0.2.1:9", &error), -EADDRNOTAVAIL);
}
END_TEST

struct person {
        uid_t uid;
        gid_t gid, groups[3];
        size_t n_groups;
        enum http_access access;
};

START_TEST(access_follows_users_and_groups) {
        enum { CONTROL = 60001, READ = 60002 };
        static gid_t many[300];
        static const struct person people[] = {
                { 0, 0, {}, 0, HTTP_ACCESS_FULL },
                { 60010, 60010, {}, 0, HTTP_ACCESS_NONE },
                { 60010, CONTROL, {}, 0, HTTP_ACCESS_FULL },
                { 60010, READ, {}, 0, HTTP_ACCESS_READ },
                { 60010, 60010, { 7, CONTROL }, 2, HTTP_ACCESS_FULL },
                { 60010, 60010, { READ, 8, 9 }, 3, HTTP_ACCESS_READ },
                { 60010, 60010, { READ, CONTROL }, 2, HTTP_ACCESS_FULL },
                { 60010, 60010, { 0 }, 1, HTTP_ACCESS_NONE },
                { 60010, 60010, {}, ELEMENTSOF(many), HTTP_ACCESS_READ },
        };

        if (geteuid() != 0) {
                test_skip("access_follows_users_and_groups: only root can become somebody else");
                return;
        }
        for (size_t i = 0; i < ELEMENTSOF(many); i++)
                many[i] = (gid_t)(70000 + i);
        many[ELEMENTSOF(many) - 1] = READ;

        for (size_t i = 0; i < ELEMENTSOF(people); i++) {
                const struct person *person = &people[i];
                struct sockaddr_un address = { .sun_family = AF_UNIX };
                int listener, fd, status;
                char directory[] = "/tmp/test-http-XXXXXX", path[64];
                pid_t child;

                ck_assert_ptr_nonnull(mkdtemp(directory));
                ck_assert_int_eq(chmod(directory, 0755), 0);
                snprintf(path, sizeof(path), "%s/peer", directory);
                listener = http_listen_unix(path, NULL);
                ck_assert_int_ge(listener, 0);
                child = fork();
                ck_assert_int_ge(child, 0);
                if (child == 0) {
                        char byte;

                        strcpy(address.sun_path, path);
                        fd = socket(AF_UNIX, SOCK_STREAM, 0);
                        if (setgroups(person->n_groups, person->n_groups > 3 ? many : person->groups) == 0 &&
                            setresgid(person->gid, person->gid, person->gid) == 0 &&
                            setresuid(person->uid, person->uid, person->uid) == 0 &&
                            connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
                                (void)!read(fd, &byte, 1);
                        raise(SIGKILL); /* no exit handlers, and no opinion of valgrind's */
                }
                ck_assert_int_eq(poll(&(struct pollfd) { .fd = listener, .events = POLLIN }, 1, 20000), 1);
                fd = accept(listener, NULL, NULL);
                ck_assert_int_ge(fd, 0);
                ck_assert_msg(http_peer_access(fd, CONTROL, READ) == person->access, "person %zu", i);
                ck_assert_int_eq(http_peer_access(fd, (gid_t)-1, (gid_t)-1),
                                 person->uid == 0 ? HTTP_ACCESS_FULL : HTTP_ACCESS_NONE);
                fd_close(fd);
                fd_close(listener);
                ck_assert_int_eq(waitpid(child, &status, 0), child);
                ck_assert(WIFSIGNALED(status));
                ck_assert_int_eq(unlink(path), 0);
                ck_assert_int_eq(rmdir(directory), 0);
        }
        ck_assert_int_eq(http_peer_access(-1, 0, 0), HTTP_ACCESS_NONE);
}
END_TEST

TEST_MAIN("http-listen", a_unix_socket_replaces_a_stale_one_only, tcp_addresses_are_numbers,
          access_follows_users_and_groups)
