/* Transfers of which the loop cannot watch a socket or a time: each still comes to its end, and the next one
 * works. */

#include "daemon/loop/curl-glue.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/process.h"
#include "tests/test.h"

#define N 3u

/* --- What the loop is asked for: the call with this number fails; 0: none --- */

static unsigned n_calls, failing_call;

static bool fails(void) {
        n_calls++;
        return failing_call > 0 && n_calls == failing_call;
}

#define REAL(name) ((__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name))

int sd_event_add_io(sd_event *event, sd_event_source **ret, int fd, uint32_t events,
                    sd_event_io_handler_t callback, void *userdata) {
        return fails() ? -ENOMEM : REAL(sd_event_add_io)(event, ret, fd, events, callback, userdata);
}

int sd_event_source_set_io_events(sd_event_source *source, uint32_t events) {
        return fails() ? -ENOMEM : REAL(sd_event_source_set_io_events)(source, events);
}

int sd_event_source_set_time_relative(sd_event_source *source, uint64_t usec) {
        return fails() ? -ENOMEM : REAL(sd_event_source_set_time_relative)(source, usec);
}

int sd_event_source_set_enabled(sd_event_source *source, int enabled) {
        return fails() ? -ENOMEM : REAL(sd_event_source_set_enabled)(source, enabled);
}

/* --- A server, until the socket is shut down --- */

static int listen_fd;
static char url[64];

static void *serve(_unused_ void *userdata) {
        static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
        char request[4096];
        int fd;

        while ((fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
                if (read(fd, request, sizeof(request)) > 0)
                        (void)!send(fd, answer, strlen(answer), MSG_NOSIGNAL);
                close(fd);
        }
        return NULL;
}

static pthread_t start_server(void) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(address);
        pthread_t thread;

        listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(bind(listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
        ck_assert_int_eq(listen(listen_fd, 16), 0);
        ck_assert_int_eq(getsockname(listen_fd, (struct sockaddr *)&address, &size), 0);
        snprintf(url, sizeof(url), "http://127.0.0.1:%u/", ntohs(address.sin_port));
        ck_assert_int_eq(pthread_create(&thread, NULL, serve, NULL), 0);
        return thread;
}

static void stop_server(pthread_t thread) {
        shutdown(listen_fd, SHUT_RDWR);
        pthread_join(thread, NULL);
        close(listen_fd);
}

/* --- Transfers --- */

struct call {
        CURL *easy;
        bool is_started;
        unsigned n_done;
        CURLcode result;
};

static size_t swallow(_unused_ char *data, size_t size, size_t n, _unused_ void *userdata) {
        return size * n;
}

static void on_done(_unused_ CURL *easy, CURLcode result, _unused_ const char *text, void *userdata) {
        struct call *call = userdata;

        call->n_done++;
        call->result = result;
}

static bool start(struct curl_glue *glue, struct call *call) {
        static const struct proxy proxy = { 0 };
        const struct curl_target target = { .url = url, .proxy = &proxy, .timeout_usec = patience_usec() };

        call->easy = curl_easy_init();
        ck_assert_int_eq(curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, swallow), CURLE_OK);
        call->is_started = curl_glue_start(glue, call->easy, &target, on_done, call) == 0;
        return call->is_started;
}

/* systemd starts it again. */
static bool has_given_up(sd_event *event) {
        int code;

        return sd_event_get_exit_code(event, &code) >= 0;
}

/* Until it is done, or the loop gives up. */
static bool finish(sd_event *event, struct call *call) {
        const usec_t deadline = usec_add(now_usec(CLOCK_MONOTONIC), patience_usec());

        while (call->is_started && call->n_done == 0 && !has_given_up(event)) {
                ck_assert_msg(now_usec(CLOCK_MONOTONIC) < deadline, "call %u failed, and nobody heard of it",
                              failing_call);
                ck_assert_int_ge(sd_event_run(event, USEC_PER_SEC), 0);
        }
        return call->n_done > 0;
}

/* Several together, where the call of the loop with that number fails; then one more. Returns whether any
 * failed. */
static bool run(unsigned number) {
        struct call calls[N] = { 0 }, next = { 0 };
        struct curl_glue *glue;
        sd_event *event;
        bool has_failed;

        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(curl_glue_new(event, &glue), 0);
        n_calls = 0;
        failing_call = number;
        for (size_t i = 0; i < N; i++)
                start(glue, &calls[i]);
        for (size_t i = 0; i < N; i++)
                finish(event, &calls[i]);
        has_failed = n_calls >= number;
        failing_call = 0;
        ck_assert_int_ge(sd_event_run(event, 0), 0); /* if none was started */
        if (!has_given_up(event)) {
                ck_assert(start(glue, &next) && finish(event, &next));
                ck_assert_int_eq(next.result, CURLE_OK);
        }

        for (size_t i = 0; i < N; i++) {
                ck_assert_uint_le(calls[i].n_done, 1);
                curl_glue_cancel(calls[i].easy);
                curl_easy_cleanup(calls[i].easy);
        }
        curl_easy_cleanup(next.easy);
        curl_glue_free(glue);
        sd_event_unref(event);
        return has_failed;
}

START_TEST(nothing_is_forgotten_whatever_the_loop_refuses) {
        pthread_t server = start_server();
        unsigned number = 1;

        while (run(number))
                number++;
        test_report("curl-glue: each of %u calls of the loop failed once", number - 1);
        ck_assert_uint_gt(number, 3 * N);
        stop_server(server);
}
END_TEST

TEST_MAIN("curl-glue", nothing_is_forgotten_whatever_the_loop_refuses)
