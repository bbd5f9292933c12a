/* Lookups of names, with a name server that answers when it is told to, and mostly does not. */

#include "daemon/loop/names.h"

#include <dirent.h>
#include <stdio.h>

#include "lib/util/time.h"
#include "tests/support/name-server.h"
#include "tests/support/process.h"
#include "tests/test.h"

/* What is waited for is milliseconds; the name server would be waited for by the minute. */
#define SOON (5 * USEC_PER_SEC)

struct guest {
        struct name_waiter waiter;
        unsigned n_told;
        char *addresses;
        int code;
};

static unsigned n_told;

static void on_told(struct name_waiter *waiter, const char *addresses, int code) {
        struct guest *guest = container_of(waiter, struct guest, waiter);

        guest->n_told++;
        guest->addresses = addresses ? strdup(addresses) : NULL;
        guest->code = code;
        n_told++;
}

static void ask(struct names *names, struct guest *guest, const char *host) {
        const char *addresses = NULL;

        *guest = (struct guest) { .waiter.done = on_told };
        ck_assert_int_eq(names_look_up(names, host, &guest->waiter, &addresses), 1);
}

/* What has no address of kind AAAA is still to be told so, if SERVER is not -1; nobody asks for another A. */
static void run_until_told(sd_event *event, int server, unsigned n) {
        const usec_t end = usec_add(now_usec(CLOCK_MONOTONIC), patience_usec());
        char name[256];

        while (n_told < n && now_usec(CLOCK_MONOTONIC) < end) {
                ck_assert(server < 0 || !name_server_await(server, false, USEC_PER_MSEC, name));
                ck_assert_int_ge(sd_event_run(event, 10 * USEC_PER_MSEC), 0);
        }
        ck_assert_uint_eq(n_told, n);
}

static unsigned count_threads(void) {
        DIR *tasks = opendir("/proc/self/task");
        unsigned n = 0;

        ck_assert_ptr_nonnull(tasks);
        for (const struct dirent *task = readdir(tasks); task; task = readdir(tasks))
                n += task->d_name[0] != '.';
        closedir(tasks);
        return n;
}

START_TEST(one_lookup_for_all_who_ask) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(fd_closep) int server = name_server_open();
        struct names *names = NULL;
        struct guest guests[50], other;
        const char *addresses = NULL;
        char name[256];

        if (server < 0)
                return;
        n_told = 0;
        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(names_new(event, &names), 0);
        for (size_t i = 0; i < ELEMENTSOF(guests); i++)
                ask(names, &guests[i], i % 2 == 0 ? "connector.example.com" : "Connector.Example.COM");
        names_leave(&guests[7].waiter);
        names_leave(&guests[7].waiter);
        ask(names, &other, "other.example.com");

        for (unsigned i = 0; i < 2; i++)
                ck_assert(name_server_await(server, true, patience_usec(), name));
        run_until_told(event, server, ELEMENTSOF(guests)); /* all but one, and the other */
        ck_assert(!name_server_await(server, true, 100 * USEC_PER_MSEC, name));
        for (size_t i = 0; i < ELEMENTSOF(guests); i++) {
                ck_assert_uint_eq(guests[i].n_told, i == 7 ? 0 : 1);
                ck_assert(streq_null(guests[i].addresses, i == 7 ? NULL : NAME_SERVER_ADDRESS));
                free(guests[i].addresses);
        }
        ck_assert_str_eq(other.addresses, NAME_SERVER_ADDRESS);
        free(other.addresses);

        /* It is known now. */
        ck_assert_int_eq(names_look_up(names, "connector.example.com", &other.waiter, &addresses), 0);
        ck_assert_str_eq(addresses, NAME_SERVER_ADDRESS);
        names_free(names);
}
END_TEST

START_TEST(silence_piles_nothing_up) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(fd_closep) int server = name_server_open();
        const unsigned before = count_threads();
        struct names *names = NULL;
        struct guest guests[100];
        char name[256];
        usec_t begin;

        if (server < 0)
                return;
        n_told = 0;
        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(names_new(event, &names), 0);

        /* Calls that end early and come again, to more names than there are threads. */
        begin = now_usec(CLOCK_MONOTONIC);
        for (unsigned round = 0; round < 20; round++) {
                for (unsigned i = 0; i < ELEMENTSOF(guests); i++) {
                        snprintf(name, sizeof(name), "host-%u.example.com", i);
                        ask(names, &guests[i], name);
                }
                ck_assert_int_ge(sd_event_run(event, 0), 0);
                ck_assert_uint_le(count_threads(), before + NAMES_THREADS_MAX);
                for (unsigned i = 0; i < ELEMENTSOF(guests); i++)
                        names_leave(&guests[i].waiter);
        }
        for (unsigned i = 0; i < NAMES_THREADS_MAX; i++)
                ck_assert(name_server_await(server, false, patience_usec(), name));
        ck_assert(!name_server_await(server, false, 100 * USEC_PER_MSEC, name));
        ck_assert_uint_eq(n_told, 0);
        names_free(names);
        ck_assert_uint_lt(now_usec(CLOCK_MONOTONIC) - begin, SOON);
}
END_TEST

/* Those in line get their turn, and those who left it are passed over. */
START_TEST(who_waits_gets_a_turn) {
        enum { N = NAMES_THREADS_MAX + 4 };
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(fd_closep) int server = name_server_open();
        struct names *names = NULL;
        struct guest guests[N];
        char name[256];

        if (server < 0)
                return;
        n_told = 0;
        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(names_new(event, &names), 0);
        for (unsigned i = 0; i < N; i++) {
                snprintf(name, sizeof(name), "host-%u.example.com", i);
                ask(names, &guests[i], name);
        }
        names_leave(&guests[N - 2].waiter);
        for (unsigned n = 0; n < NAMES_THREADS_MAX; n++)
                ck_assert(name_server_await(server, true, patience_usec(), name));
        for (unsigned n = NAMES_THREADS_MAX; n < N - 1; n++) {
                const usec_t end = usec_add(now_usec(CLOCK_MONOTONIC), patience_usec());

                while (!name_server_await(server, true, USEC_PER_MSEC, name)) {
                        ck_assert_uint_lt(now_usec(CLOCK_MONOTONIC), end);
                        ck_assert_int_ge(sd_event_run(event, 10 * USEC_PER_MSEC), 0);
                }
                ck_assert_str_ne(name, "host-10.example.com");
        }
        run_until_told(event, server, N - 1);
        ck_assert_uint_eq(guests[N - 2].n_told, 0);
        for (unsigned i = 0; i < N; i++)
                free(guests[i].addresses);
        names_free(names);
}
END_TEST

START_TEST(a_name_that_is_none_is_told) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        struct names *names = NULL;
        struct guest guest;

        n_told = 0;
        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(names_new(event, &names), 0);
        ask(names, &guest, "no..name"); /* without asking anybody */
        run_until_told(event, -1, 1);
        ck_assert_ptr_null(guest.addresses);
        ck_assert_int_ne(guest.code, 0);
        names_free(names);
}
END_TEST

TEST_MAIN("names", one_lookup_for_all_who_ask, silence_piles_nothing_up, who_waits_gets_a_turn,
          a_name_that_is_none_is_told)
