/*
 * getaddrinfo() cannot be stopped: with three silent name servers and two search domains it takes minutes. So
 * each lookup has a thread that nobody joins. What it needs belongs to the thread alone; the result goes into
 * an inbox that outlives the loop's side as long as a thread may still write to it. A name has one lookup at
 * a time, however often it is asked for meanwhile, and the number of threads has a limit, so calls that end
 * early and come again pile up nothing.
 */

#include "daemon/loop/names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "daemon/loop/workers.h"
#include "lib/util/log.h"
#include "lib/util/text-stream.h"
#include "lib/util/time.h"

/* As long as libcurl keeps what it looked up by itself. */
#define KNOWN_USEC    (60 * USEC_PER_SEC)
#define ADDRESSES_MAX 16

/* What threads and the loop share. */
struct inbox {
        pthread_mutex_t lock;
        struct lookup *finished; /* under lock */
        unsigned n_refs;         /* under lock: one for each thread, one for the loop's side */
        bool is_closed;          /* under lock: nobody reads any more */
        int event_fd;
};

/* A thread's own, until it is in the inbox. */
struct lookup {
        struct lookup *next;
        struct inbox *inbox;
        char *addresses; /* NULL: CODE says why */
        int code;
        char host[];
};

enum name_state {
        NAME_WAITING, /* for a thread */
        NAME_RUNNING,
        NAME_KNOWN,
};

struct name {
        struct name *next;
        enum name_state state;
        struct name_waiter *first;
        char *addresses; /* NAME_KNOWN, until then */
        usec_t known_until_usec;
        char host[];
};

struct names {
        struct inbox *inbox;
        sd_event_source *source;
        struct name *list; /* the oldest first */
        unsigned n_running;
};

static void inbox_unref(struct inbox *inbox) {
        bool is_last;

        pthread_mutex_lock(&inbox->lock);
        is_last = --inbox->n_refs == 0;
        pthread_mutex_unlock(&inbox->lock);
        if (!is_last)
                return;
        fd_close(inbox->event_fd);
        pthread_mutex_destroy(&inbox->lock);
        free(inbox);
}

static void lookup_free(struct lookup *lookup) {
        free(lookup->addresses);
        free(lookup);
}

/* -------- in the threads */

static char *format_addresses(const struct addrinfo *list) {
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        FILE *out = text_stream_open(&text, &size);
        unsigned n = 0;

        if (!out)
                return NULL;
        for (const struct addrinfo *item = list; item && n < ADDRESSES_MAX; item = item->ai_next) {
                char address[INET6_ADDRSTRLEN];
                const bool is_v6 = item->ai_family == AF_INET6;
                const void *bytes = is_v6 ? (const void *)&((struct sockaddr_in6 *)item->ai_addr)->sin6_addr
                                          : (const void *)&((struct sockaddr_in *)item->ai_addr)->sin_addr;

                if ((is_v6 || item->ai_family == AF_INET) &&
                    inet_ntop(item->ai_family, bytes, address, sizeof(address)))
                        fprintf(out, is_v6 ? "%s[%s]" : "%s%s", n++ > 0 ? "," : "", address);
        }
        if (fclose(out) != 0 || n == 0)
                return NULL;
        return take_ptr(text);
}

static void *lookup_main(void *userdata) {
        const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
        struct lookup *lookup = userdata;
        struct inbox *inbox = lookup->inbox;
        struct addrinfo *list = NULL;

        lookup->code = getaddrinfo(lookup->host, NULL, &hints, &list);
        if (lookup->code == 0) {
                lookup->addresses = format_addresses(list);
                lookup->code = lookup->addresses ? 0 : EAI_MEMORY;
                freeaddrinfo(list);
        }

        pthread_mutex_lock(&inbox->lock);
        if (inbox->is_closed)
                lookup_free(lookup);
        else {
                lookup->next = inbox->finished;
                inbox->finished = lookup;
                eventfd_write(inbox->event_fd, 1);
        }
        pthread_mutex_unlock(&inbox->lock);
        inbox_unref(inbox);
        return NULL;
}

static int start_thread(struct lookup *lookup) {
        pthread_attr_t attributes;
        sigset_t before;
        pthread_t thread;
        int r;

        workers_block_signals(&before);
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        r = pthread_create(&thread, &attributes, lookup_main, lookup);
        pthread_attr_destroy(&attributes);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return -r;
}

/* -------- on the loop */

static void name_free(struct name *name) {
        free(name->addresses);
        free(name);
}

/* The place of what points to the name; its value is NULL where there is none. */
static struct name **find(struct names *names, const char *host) {
        struct name **slot = &names->list;

        while (*slot && strcasecmp((*slot)->host, host) != 0)
                slot = &(*slot)->next;
        return slot;
}

static struct name *take_out(struct name **slot) {
        struct name *name = *slot;

        *slot = name->next;
        name->next = NULL;
        return name;
}

static void tell(struct name *name, int code) {
        while (name->first) {
                struct name_waiter *waiter = name->first;

                names_leave(waiter);
                waiter->done(waiter, name->addresses, code);
        }
}

static int start_lookup(struct names *names, struct name *name) {
        struct lookup *lookup = calloc(1, sizeof(*lookup) + strlen(name->host) + 1);
        int r;

        if (!lookup)
                return -ENOMEM;
        strcpy(lookup->host, name->host);
        lookup->inbox = names->inbox;
        pthread_mutex_lock(&names->inbox->lock);
        names->inbox->n_refs++;
        pthread_mutex_unlock(&names->inbox->lock);
        r = start_thread(lookup);
        if (r < 0) {
                inbox_unref(names->inbox);
                lookup_free(lookup);
                return r;
        }
        name->state = NAME_RUNNING;
        names->n_running++;
        return 0;
}

/* Begins what there is room for. A name that nobody waits for any more needs none. */
static void start_waiting(struct names *names) {
        for (struct name **slot = &names->list; *slot && names->n_running < NAMES_THREADS_MAX;) {
                struct name *name = *slot;

                if (name->state != NAME_WAITING) {
                        slot = &name->next;
                        continue;
                }
                if (name->first && start_lookup(names, name) == 0) {
                        slot = &name->next;
                        continue;
                }
                name = take_out(slot);
                tell(name, EAI_AGAIN);
                name_free(name);
                slot = &names->list; /* those who were told may have changed it */
        }
}

static void take_result(struct names *names, struct lookup *lookup) {
        struct name **slot = find(names, lookup->host), *name = *slot;

        names->n_running--;
        if (lookup->addresses) {
                name->state = NAME_KNOWN;
                name->addresses = take_ptr(lookup->addresses);
                name->known_until_usec = usec_add(now_usec(CLOCK_BOOTTIME), KNOWN_USEC);
                tell(name, 0);
        } else {
                /* Out of the list first: who is told may ask again at once. */
                take_out(slot);
                tell(name, lookup->code);
                name_free(name);
        }
        lookup_free(lookup);
}

static int on_finished(_unused_ sd_event_source *source, int fd, _unused_ uint32_t revents, void *userdata) {
        struct names *names = userdata;
        struct lookup *lookup;
        eventfd_t count;

        pthread_mutex_lock(&names->inbox->lock);
        eventfd_read(fd, &count);
        lookup = names->inbox->finished;
        names->inbox->finished = NULL;
        pthread_mutex_unlock(&names->inbox->lock);

        while (lookup) {
                struct lookup *next = lookup->next;

                take_result(names, lookup);
                lookup = next;
        }
        start_waiting(names);
        return 0;
}

int names_new(sd_event *event, struct names **ret) {
        _cleanup_(names_freep) struct names *names = calloc(1, sizeof(*names));
        int r;

        if (!names)
                return -ENOMEM;
        names->inbox = calloc(1, sizeof(*names->inbox));
        if (!names->inbox)
                return -ENOMEM;
        pthread_mutex_init(&names->inbox->lock, NULL);
        names->inbox->n_refs = 1;
        names->inbox->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (names->inbox->event_fd < 0)
                return -errno;
        r = sd_event_add_io(event, &names->source, names->inbox->event_fd, EPOLLIN, on_finished, names);
        if (r < 0)
                return r;
        *ret = take_ptr(names);
        return 0;
}

struct names *names_free(struct names *names) {
        struct lookup *lookup;

        if (!names)
                return NULL;
        sd_event_source_disable_unref(names->source);
        while (names->list)
                name_free(take_out(&names->list));
        if (names->inbox) {
                pthread_mutex_lock(&names->inbox->lock);
                names->inbox->is_closed = true;
                lookup = take_ptr(names->inbox->finished);
                pthread_mutex_unlock(&names->inbox->lock);
                for (struct lookup *next; lookup; lookup = next) {
                        next = lookup->next;
                        lookup_free(lookup);
                }
                inbox_unref(names->inbox);
        }
        free(names);
        return NULL;
}

static void forget_old(struct names *names) {
        const usec_t now = now_usec(CLOCK_BOOTTIME);

        for (struct name **slot = &names->list; *slot;) {
                if ((*slot)->state == NAME_KNOWN && (*slot)->known_until_usec <= now && !(*slot)->first)
                        name_free(take_out(slot));
                else
                        slot = &(*slot)->next;
        }
}

int names_look_up(struct names *names, const char *host, struct name_waiter *waiter, const char **ret) {
        struct name **slot, *name;
        int r;

        forget_old(names);
        slot = find(names, host);
        name = *slot;
        if (name && name->state == NAME_KNOWN) {
                *ret = name->addresses;
                return 0;
        }
        if (!name) {
                name = calloc(1, sizeof(*name) + strlen(host) + 1);
                if (!name)
                        return -ENOMEM;
                strcpy(name->host, host);
                r = names->n_running < NAMES_THREADS_MAX ? start_lookup(names, name) : 0;
                if (r < 0) {
                        name_free(name);
                        return r;
                }
                *slot = name; /* at the end of the list */
        }
        waiter->next = name->first;
        waiter->pprev = &name->first;
        if (waiter->next)
                waiter->next->pprev = &waiter->next;
        name->first = waiter;
        return 1;
}

void names_leave(struct name_waiter *waiter) {
        if (!waiter->pprev)
                return;
        *waiter->pprev = waiter->next;
        if (waiter->next)
                waiter->next->pprev = waiter->pprev;
        waiter->next = NULL;
        waiter->pprev = NULL;
}
