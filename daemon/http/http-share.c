/*
 * Whoever connects takes a slot, and so could keep others out: a user without any right, by connecting in a
 * loop. So the peer's user is known before there is a slot, and has a share:
 *
 * - Those who may do nothing share a sixteenth of the slots, and get no more than their refusal.
 * - A user who may do something has a quarter. root and our own user have no limit.
 *
 * Beyond a share, what was silent longest within it gives way. Only when all slots are taken do others give
 * way: nobody to whom more is allowed.
 */

#include "daemon/http/http-share.h"

#include <sys/socket.h>

void share_identify(struct http_connection *connection) {
        struct ucred peer;
        socklen_t size = sizeof(peer);
        const struct http_server_options *options = &connection->server->options;

        connection->access = options->access(connection->fd, options->userdata);
        connection->uid = (uid_t)-1;
        if (getsockopt(connection->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
                connection->uid = peer.uid;
}

static bool is_ours(uid_t uid) {
        return uid == 0 || uid == geteuid();
}

/* The lower gives way to the higher. */
static unsigned rank_of(const struct http_connection *connection) {
        return connection->access == HTTP_ACCESS_NONE ? 0
               : !is_ours(connection->uid)            ? (unsigned)connection->access
                                                      : (unsigned)HTTP_ACCESS_FULL + 1;
}

/* How many connections those may have who share one with CONNECTION. */
static unsigned share_of(const struct http_connection *connection) {
        const unsigned max = connection->server->options.connections_max;

        if (connection->access == HTTP_ACCESS_NONE)
                return max / 16 + 1;
        if (connection->uid == (uid_t)-1 || is_ours(connection->uid))
                return max; /* a TCP peer is nobody */
        return max / 4 + 1;
}

static bool share_with(const struct http_connection *one, const struct http_connection *other) {
        if (one->access == HTTP_ACCESS_NONE || other->access == HTTP_ACCESS_NONE)
                return one->access == other->access;
        return one->uid == other->uid;
}

/* Of those that LIKE shares with, or else of those with RANK: the one that was silent longest, without a
 * complete request if there is one. RET_N: how many there are. NULL: none. */
static struct http_connection *find_silent(struct http_server *server, const struct http_connection *like,
                                           unsigned rank, unsigned *ret_n) {
        struct http_connection *found = NULL, *connection;
        unsigned n = 0;

        for (enum http_phase phase = HTTP_RECEIVING; phase < HTTP_ENDING; phase++)
                TAILQ_FOREACH(connection, &server->connections[phase], link) {
                        if (like ? !share_with(like, connection) : rank_of(connection) != rank)
                                continue;
                        n++;
                        if (!found || (connection->active_usec < found->active_usec &&
                                       (phase == HTTP_RECEIVING || found->phase != HTTP_RECEIVING)))
                                found = connection;
                }
        *ret_n = n;
        return found;
}

static bool give_way(struct http_server *server, unsigned rank_max) {
        for (unsigned rank = 0; rank <= rank_max; rank++) {
                unsigned n;
                struct http_connection *victim = find_silent(server, NULL, rank, &n);

                if (victim) {
                        connection_end(victim);
                        return true;
                }
        }
        return false;
}

bool share_give_one(struct http_server *server) {
        return give_way(server, HTTP_ACCESS_FULL + 1);
}

bool share_make_room(const struct http_connection *connection) {
        struct http_server *server = connection->server;
        struct http_connection *victim;
        unsigned n;

        victim = find_silent(server, connection, 0, &n);
        if (victim && n >= share_of(connection))
                connection_end(victim);
        if (http_server_connections(server) < server->options.connections_max)
                return true;
        return give_way(server, rank_of(connection));
}
