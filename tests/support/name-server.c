#include "tests/support/name-server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "tests/support/mounts.h"
#include "tests/test.h"

#define ADDRESS "127.99.0.53"
#define TYPE_A  1

/* Long enough that none is repeated while a test looks. */
#define RESOLV_CONF \
        "search a.example.com b.example.com\nnameserver " ADDRESS "\noptions timeout:30 attempts:3\n"

int name_server_open(void) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(53) };
        int fd;

        if (!mounts_enter("a name server of the test's own"))
                return -1;
        mounts_put(RESOLV_CONF, "/etc/resolv.conf");
        mounts_put("hosts: files dns\n", "/etc/nsswitch.conf");

        fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(inet_pton(AF_INET, ADDRESS, &address.sin_addr), 1);
        ck_assert_msg(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "%s",
                      strerrordesc_np(errno));
        return fd;
}

/* The name at P as text; returns what follows it. */
static const unsigned char *read_name(const unsigned char *p, const unsigned char *end, char name[256]) {
        size_t size = 0;

        while (p<end && * p> 0) {
                size_t n = *p++;

                ck_assert_int_ge(end - p, (ssize_t)n);
                ck_assert_uint_lt(size + n + 1, 255);
                if (size > 0)
                        name[size++] = '.';
                memcpy(name + size, p, n);
                size += n;
                p += n;
        }
        name[size] = '\0';
        ck_assert_int_ge(end - p, 5);
        return p + 1;
}

static void answer_with(int fd, const struct sockaddr_in *to, unsigned char *message, size_t size,
                        bool has_address) {
        /* The name of the question, type A, class IN, for a minute, four bytes. */
        static const unsigned char head[] = { 0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4 };

        message[2] |= 0x80; /* a response */
        message[3] = 0x80;  /* recursion is available */
        memset(message + 6, 0, 6);
        if (has_address) {
                message[7] = 1;
                memcpy(message + size, head, sizeof(head));
                ck_assert_int_eq(inet_pton(AF_INET, NAME_SERVER_ADDRESS, message + size + sizeof(head)), 1);
                size += sizeof(head) + 4;
        }
        ck_assert_int_eq(sendto(fd, message, size, 0, (const struct sockaddr *)to, sizeof(*to)),
                         (ssize_t)size);
}

bool name_server_await(int fd, bool answer, usec_t usec, char ret_name[256]) {
        const usec_t end = usec_add(now_usec(CLOCK_MONOTONIC), usec);

        for (;;) {
                struct pollfd item = { .fd = fd, .events = POLLIN };
                struct sockaddr_in from;
                socklen_t from_size = sizeof(from);
                const usec_t now = now_usec(CLOCK_MONOTONIC);
                const unsigned char *rest;
                unsigned char message[1024];
                size_t question;
                ssize_t n;

                if (now >= end || poll(&item, 1, (int)((end - now) / USEC_PER_MSEC) + 1) <= 0)
                        return false;
                n = recvfrom(fd, message, sizeof(message) / 2, 0, (struct sockaddr *)&from, &from_size);
                ck_assert_int_gt(n, 12);
                rest = read_name(message + 12, message + n, ret_name);
                question = (size_t)(rest + 4 - message); /* what else is in it gets no reply */
                if (rest[1] != TYPE_A)
                        answer_with(fd, &from, message, question, false);
                else {
                        if (answer)
                                answer_with(fd, &from, message, question, true);
                        return true;
                }
        }
}
