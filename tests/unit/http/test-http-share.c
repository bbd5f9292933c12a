/* Many connections of one user, against those of others. Who has connected is what the test says. */

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "tests/test.h"
#include "tests/unit/http/http-fixture.h"

static uid_t peer_uid;

/* Found by the linker before libc's. */
int getsockopt(int fd, int level, int option, void *value, socklen_t *size) {
        if (level != SOL_SOCKET || option != SO_PEERCRED)
                return (int)syscall(SYS_getsockopt, fd, level, option, value, size);
        *(struct ucred *)value = (struct ucred) { 1, peer_uid, 1 };
        return 0;
}

enum { SLOTS = 64, ROOT = 0, STRANGER = 60010, READER = 60020, OPERATOR = 60030, PEOPLE = 400 };

static enum http_access access_of(uid_t uid) {
        return uid >= OPERATOR || uid == ROOT ? HTTP_ACCESS_FULL
               : uid >= READER                ? HTTP_ACCESS_READ
                                              : HTTP_ACCESS_NONE;
}

static struct http_client connect_as(struct http_fixture *fixture, uid_t uid) {
        struct http_client client;

        peer_uid = uid;
        fixture->access = access_of(uid);
        client = http_client_new(fixture);
        http_fixture_settle(fixture);
        return client;
}

static bool is_there(struct http_client *client) {
        http_client_read(client);
        return !client->is_over;
}

/* EARLY has connected and is silent, then LATE connects PEOPLE times, in N_USERS users that follow each
 * other. */
static const struct {
        uid_t early, late;
        unsigned n_users;
        bool stays;          /* EARLY does */
        unsigned n_late_min; /* how many of LATE's are there at the end */
        unsigned n_late_max;
} rows[] = {
        { ROOT, STRANGER, 1, true, 1, SLOTS / 16 + 1 },
        { ROOT, STRANGER, 10, true, 1, SLOTS / 16 + 1 },
        { READER, STRANGER, 10, true, 1, SLOTS / 16 + 1 },
        { STRANGER, STRANGER + 1, 1, false, 1, SLOTS / 16 + 1 },
        { ROOT, READER, 1, true, 1, SLOTS / 4 + 1 },
        { ROOT, READER, 10, true, SLOTS - 1, SLOTS - 1 },
        { OPERATOR, READER, 10, true, SLOTS - 1, SLOTS - 1 },
        { STRANGER, READER, 10, false, SLOTS, SLOTS },
        { ROOT, OPERATOR, 1, true, 1, SLOTS / 4 + 1 },
        { ROOT, OPERATOR, 10, true, SLOTS - 1, SLOTS - 1 },
        { READER, OPERATOR, 1, true, 1, SLOTS / 4 + 1 },
        { READER, OPERATOR, 10, false, SLOTS, SLOTS },
        { OPERATOR, ROOT, 1, false, SLOTS, SLOTS },
        { ROOT, ROOT, 1, false, SLOTS, SLOTS },
};

START_TEST(nobody_is_kept_out_by_those_with_less_rights) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(http_fixture_freep) struct http_fixture *fixture =
                        http_fixture_new(SLOTS, PATIENCE_USEC, PATIENCE_USEC);
                struct http_client early = connect_as(fixture, rows[i].early), *late, root;
                unsigned n = 0;

                late = calloc(PEOPLE, sizeof(*late));
                ck_assert_ptr_nonnull(late);
                for (unsigned k = 0; k < PEOPLE; k++)
                        late[k] = connect_as(fixture, rows[i].late + k % rows[i].n_users);
                ck_assert_msg(is_there(&early) == rows[i].stays, "row %zu", i);
                for (unsigned k = 0; k < PEOPLE; k++)
                        n += is_there(&late[k]);
                ck_assert_msg(n >= rows[i].n_late_min && n <= rows[i].n_late_max, "row %zu: %u", i, n);
                ck_assert_uint_le(http_server_connections(fixture->server), SLOTS);

                root = connect_as(fixture, ROOT);
                http_client_send(&root, GET("/"));
                http_client_await_end(fixture, &root);
                ck_assert_ptr_nonnull(strstr(http_client_text(&root), "HTTP/1.1 200 "));
                http_client_clear(&root);
                http_client_clear(&early);
                for (unsigned k = 0; k < PEOPLE; k++)
                        http_client_clear(&late[k]);
                free(late);
        }
}
END_TEST

/* A refusal is all that a stranger gets, whatever it asks; nothing is handled, and no slot is kept. */
START_TEST(a_stranger_is_refused) {
        static const char *const requests[] = {
                GET("/"), GET("/stream"),
                "POST /defer HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\nabc", "nonsense\r\n\r\n"
        };
        _cleanup_(http_fixture_freep) struct http_fixture *fixture = http_fixture_plain();

        for (size_t i = 0; i < ELEMENTSOF(requests); i++) {
                _cleanup_(http_client_clear) struct http_client client = connect_as(fixture, STRANGER);

                http_client_send(&client, requests[i]);
                http_client_await_end(fixture, &client);
                ck_assert(has_prefix(http_client_text(&client), "HTTP/1.1 403 Forbidden\r\n"));
                ck_assert_ptr_nonnull(strstr(http_client_text(&client), "{\"error\": \"you may not\"}"));
                ck_assert_uint_eq(http_server_connections(fixture->server), 0);
        }
        ck_assert_uint_eq(fixture->n_handled, 0);
}
END_TEST

TEST_MAIN("http-share", nobody_is_kept_out_by_those_with_less_rights, a_stranger_is_refused)
