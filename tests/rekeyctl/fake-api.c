/* One thread accepts and answers, one connection after the other: a request arrives at once and whole, and
 * what stays open are streams, to which anybody may write under the lock. */

#include "tests/rekeyctl/fake-api.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/util/time.h"
#include "tests/support/process.h"

#define REQUEST_MAX 65536u
#define STREAMS_MAX 32u

struct answer {
        struct answer *next;
        char *request, *body, *events, *header;
        unsigned status;
};

struct fake_api {
        char *socket;
        int fd, stop_fd;
        pthread_t thread;

        pthread_mutex_t lock;
        pthread_cond_t changed;
        struct answer *answers;
        int streams[STREAMS_MAX];
        size_t n_streams;
        char *log; /* of the requests */
};

static char *copy(const char *text) {
        char *text_copy = text ? strdup(text) : NULL;

        if (text && !text_copy)
                abort();
        return text_copy;
}

/* Whoever has hung up is no failure. */
static void write_all(int fd, const char *text) {
        size_t left = strlen(text);

        while (left > 0) {
                ssize_t n = send(fd, text, left, MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return;
                text += n;
                left -= (size_t)n;
        }
}

static void tell_locked(struct fake_api *api, const char *lines) {
        for (size_t i = 0; i < api->n_streams; i++)
                write_all(api->streams[i], lines);
}

static struct answer *find_locked(struct fake_api *api, const char *request) {
        for (struct answer *answer = api->answers; answer; answer = answer->next)
                if (streq(answer->request, request))
                        return answer;
        return NULL;
}

static void note_locked(struct fake_api *api, const char *line) {
        char *log;

        if (asprintf(&log, "%s%s\n", api->log ? api->log : "", line) < 0)
                abort();
        free(api->log);
        api->log = log;
        pthread_cond_broadcast(&api->changed);
}

/* --- The thread --- */

/* Reads head and body into BUFFER, and returns the body; NULL for a connection that says nothing. */
static const char *read_request(int fd, char buffer[REQUEST_MAX]) {
        size_t size = 0, length = 0;
        char *end = NULL;

        for (;;) {
                ssize_t n = recv(fd, buffer + size, REQUEST_MAX - size - 1, 0);

                if (n <= 0)
                        return NULL;
                size += (size_t)n;
                buffer[size] = '\0';
                if (!end && (end = strstr(buffer, "\r\n\r\n"))) {
                        const char *header = strcasestr(buffer, "\r\nContent-Length:");

                        *end = '\0';
                        end += 4;
                        if (header && header < end)
                                length = strtoul(header + strlen("\r\nContent-Length:"), NULL, 10);
                }
                if (end && size - (size_t)(end - buffer) >= length)
                        return end;
        }
}

static void send_answer(int fd, const struct answer *answer) {
        const char *body = answer ? answer->body : "{\"error\":\"there is nothing of that name\"}";
        char *text;

        if (asprintf(&text,
                     "HTTP/1.1 %u X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s%s"
                     "Connection: close\r\n\r\n%s",
                     answer ? answer->status : 404, strlen(body),
                     answer && answer->header ? answer->header : "", answer && answer->header ? "\r\n" : "",
                     body) < 0)
                abort();
        write_all(fd, text);
        free(text);
}

/* Those who listened once and are gone. */
static void forget_closed_locked(struct fake_api *api) {
        size_t n = 0;

        for (size_t i = 0; i < api->n_streams; i++) {
                struct pollfd fd = { .fd = api->streams[i] };

                if (poll(&fd, 1, 0) > 0 && fd.revents & POLLHUP)
                        close(api->streams[i]);
                else
                        api->streams[n++] = api->streams[i];
        }
        api->n_streams = n;
}

static void answer(struct fake_api *api, int fd) {
        char buffer[REQUEST_MAX], *line = NULL, *target;
        const char *body = read_request(fd, buffer);
        const struct answer *found;
        bool is_stream;

        if (!body) {
                close(fd);
                return;
        }
        target = strchr(buffer, ' ');
        if (target)
                target[1 + strcspn(target + 1, " \r")] = '\0';
        if (asprintf(&line, "%s%s%s", buffer, *body ? " " : "", body) < 0)
                abort();

        pthread_mutex_lock(&api->lock);
        found = find_locked(api, buffer);
        is_stream = !found && has_prefix(buffer, "GET /v1/events");
        if (is_stream) {
                write_all(fd,
                          "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"
                          "{\"event\":\"hello\",\"message\":\"rekeyd "
                          "1.2.3\",\"time\":\"2026-11-20T18:06:53Z\"}\n");
                forget_closed_locked(api);
                ck_assert_uint_lt(api->n_streams, STREAMS_MAX);
                api->streams[api->n_streams++] = fd;
        } else {
                if (!found || found->status > 0)
                        send_answer(fd, found);
                close(fd);
        }
        /* After the answer, so that who waits for the request may say what comes next. */
        note_locked(api, line);
        if (found && found->events)
                tell_locked(api, found->events);
        pthread_mutex_unlock(&api->lock);
        free(line);
}

static void *run(void *userdata) {
        struct fake_api *api = userdata;

        for (;;) {
                struct pollfd fds[] = {
                        { .fd = api->fd, .events = POLLIN },
                        { .fd = api->stop_fd, .events = POLLIN },
                };
                int fd;

                if (poll(fds, ELEMENTSOF(fds), -1) < 0)
                        continue;
                if (fds[1].revents)
                        return NULL;
                fd = accept4(api->fd, NULL, NULL, SOCK_CLOEXEC);
                if (fd >= 0)
                        answer(api, fd);
        }
}

/* --- The test's side --- */

struct fake_api *fake_api_new(const char *directory) {
        struct fake_api *api = calloc(1, sizeof(*api));
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        if (!api || asprintf(&api->socket, "%s/control.sock", directory) < 0)
                abort();
        ck_assert_uint_lt(strlen(api->socket), sizeof(address.sun_path));
        strcpy(address.sun_path, api->socket);
        api->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        api->stop_fd = eventfd(0, EFD_CLOEXEC);
        ck_assert_int_ge(api->fd, 0);
        ck_assert_int_ge(api->stop_fd, 0);
        ck_assert_int_eq(bind(api->fd, (const struct sockaddr *)&address, sizeof(address)), 0);
        ck_assert_int_eq(listen(api->fd, 64), 0);
        pthread_mutex_init(&api->lock, NULL);
        pthread_cond_init(&api->changed, NULL);
        ck_assert_int_eq(pthread_create(&api->thread, NULL, run, api), 0);
        return api;
}

struct fake_api *fake_api_free(struct fake_api *api) {
        struct answer *next;

        if (!api)
                return NULL;
        if (eventfd_write(api->stop_fd, 1) < 0)
                abort();
        pthread_join(api->thread, NULL);
        for (size_t i = 0; i < api->n_streams; i++)
                close(api->streams[i]);
        for (struct answer *a = api->answers; a; a = next) {
                next = a->next;
                free(a->request);
                free(a->body);
                free(a->events);
                free(a->header);
                free(a);
        }
        pthread_mutex_destroy(&api->lock);
        pthread_cond_destroy(&api->changed);
        close(api->fd);
        close(api->stop_fd);
        unlink(api->socket);
        free(api->socket);
        free(api->log);
        free(api);
        return NULL;
}

const char *fake_api_socket(const struct fake_api *api) {
        return api->socket;
}

static struct answer *make_locked(struct fake_api *api, const char *request) {
        struct answer *found = find_locked(api, request);

        if (found)
                return found;
        found = calloc(1, sizeof(*found));
        if (!found)
                abort();
        found->request = copy(request);
        found->next = api->answers;
        api->answers = found;
        return found;
}

void fake_api_answer_then(struct fake_api *api, const char *request, unsigned status, const char *body,
                          const char *events) {
        struct answer *found;

        pthread_mutex_lock(&api->lock);
        found = make_locked(api, request);
        free(found->body);
        free(found->events);
        found->status = status;
        found->body = copy(body);
        found->events = copy(events);
        pthread_mutex_unlock(&api->lock);
}

void fake_api_answer(struct fake_api *api, const char *request, unsigned status, const char *body) {
        fake_api_answer_then(api, request, status, body, NULL);
}

void fake_api_header(struct fake_api *api, const char *request, const char *header) {
        struct answer *found;

        pthread_mutex_lock(&api->lock);
        found = make_locked(api, request);
        free(found->header);
        found->header = copy(header);
        pthread_mutex_unlock(&api->lock);
}

void fake_api_tell(struct fake_api *api, const char *lines) {
        pthread_mutex_lock(&api->lock);
        tell_locked(api, lines);
        pthread_mutex_unlock(&api->lock);
}

void fake_api_hang_up(struct fake_api *api) {
        pthread_mutex_lock(&api->lock);
        while (api->n_streams > 0)
                close(api->streams[--api->n_streams]);
        pthread_mutex_unlock(&api->lock);
}

static unsigned count_locked(const struct fake_api *api, const char *request) {
        unsigned n = 0;

        for (const char *line = api->log; line && *line; line = strchr(line, '\n') + 1)
                n += has_prefix(line, request);
        return n;
}

void fake_api_await(struct fake_api *api, const char *request, unsigned n) {
        const usec_t until = now_usec(CLOCK_REALTIME) + patience_usec();
        const struct timespec deadline = { .tv_sec = (time_t)(until / USEC_PER_SEC) };
        bool has_come;

        pthread_mutex_lock(&api->lock);
        while (!(has_come = count_locked(api, request) >= n) &&
               pthread_cond_timedwait(&api->changed, &api->lock, &deadline) == 0)
                ;
        pthread_mutex_unlock(&api->lock);
        ck_assert_msg(has_come, "%u requests '%s' did not come; these did:\n%s", n, request,
                      api->log ? api->log : "");
}

char *fake_api_requests(struct fake_api *api) {
        char *log;

        pthread_mutex_lock(&api->lock);
        log = copy(api->log ? api->log : "");
        pthread_mutex_unlock(&api->lock);
        return log;
}
