#pragma once

/* Host names looked up off the loop, since a name server that drops packets is waited for by the minute. */

#include <systemd/sd-event.h>

#include "lib/util/macro.h"

struct names;

/* So many lookups are under way at a time; more names wait for their turn. */
#define NAMES_THREADS_MAX 8u

/* Embedded in whatever waits for addresses. The owner sets DONE, which is called on the loop's thread, once:
 * with ADDRESSES, "192.0.2.1,[2001:db8::1]", or with NULL and the CODE of getaddrinfo(). */
struct name_waiter {
        void (*done)(struct name_waiter *waiter, const char *addresses, int code);

        /* Private to names.c. */
        struct name_waiter *next, **pprev;
};

/* 0 or -errno. */
int names_new(sd_event *event, struct names **ret);

/* Nobody may wait any more. Does not wait for lookups under way: their threads end by themselves, or with the
 * process. Accepts NULL, returns NULL. */
struct names *names_free(struct names *names);
DEFINE_CLEANUP(struct names *, names_free);

/* 0 when the addresses of HOST are known: *RET has them until the next call; 1 when WAITER will be told;
 * -errno. Those who ask for the same name share a lookup, and what it found counts for a minute. */
int names_look_up(struct names *names, const char *host, struct name_waiter *waiter, const char **ret);

/* WAITER will not be told. Does nothing for one that does not wait. */
void names_leave(struct name_waiter *waiter);
