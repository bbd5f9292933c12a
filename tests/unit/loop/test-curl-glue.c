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

static void prepare(struct call *call, size_t (*write)(char *, size_t, size_t, void *)) {
        call->easy = curl_easy_init();
        ck_assert_int_eq(curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, write), CURLE_OK);
}

static bool start_prepared(struct curl_glue *glue, struct call *call) {
        static const struct proxy proxy = { 0 };
        const struct curl_target target = { .url = url, .proxy = &proxy, .timeout_usec = patience_usec() };

        call->is_started = curl_glue_start(glue, call->easy, &target, on_done, call) == 0;
        return call->is_started;
}

static bool start(struct curl_glue *glue, struct call *call) {
        prepare(call, swallow);
        return start_prepared(glue, call);
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
static bool run(unsigned number, bool with_thread) {
        struct call calls[N] = { 0 }, next = { 0 };
        struct curl_glue *glue;
        sd_event *event;
        bool has_failed;

        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(curl_glue_new(event, with_thread, &glue), 0);
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

        for (unsigned with_thread = 0; with_thread <= 1; with_thread++) {
                unsigned number = 1;

                while (run(number, with_thread))
                        number++;
                test_report("curl-glue, %s: each of %u calls of the loop failed once",
                            with_thread ? "with a thread" : "on the loop", number - 1);
                ck_assert_uint_gt(number, 2 * N);
        }
        stop_server(server);
}
END_TEST

/* --- Beside the loop --- */

/* A step of curl's takes longer than a turn of the loop may. */
#define STEP_USEC (50 * USEC_PER_MSEC)

static size_t take_long(_unused_ char *data, size_t size, size_t n, _unused_ void *userdata) {
        usleep(STEP_USEC);
        return size * n;
}

/* Which thread has slept shows in the number of turns that the loop had meanwhile. */
static int on_tick(sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        unsigned *n = userdata;

        (*n)++;
        ck_assert_int_ge(sd_event_source_set_time_relative(source, USEC_PER_MSEC), 0);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

START_TEST(a_long_step_does_not_hold_the_loop) {
        pthread_t server = start_server();
        sd_event_source *ticks = NULL;
        struct call call = { 0 };
        struct curl_glue *glue;
        unsigned n_ticks = 0;
        sd_event *event;

        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(curl_glue_new(event, true, &glue), 0);
        ck_assert_int_ge(sd_event_add_time_relative(event, &ticks, CLOCK_MONOTONIC, USEC_PER_MSEC, 1, on_tick,
                                                    &n_ticks),
                         0);
        prepare(&call, take_long);
        ck_assert(start_prepared(glue, &call));
        while (call.n_done == 0)
                ck_assert_int_ge(sd_event_run(event, USEC_PER_SEC), 0);
        test_report("curl-glue: %u turns of the loop while curl slept for %u ms", n_ticks,
                    (unsigned)(STEP_USEC / USEC_PER_MSEC));
        ck_assert_int_eq(call.result, CURLE_OK);
        ck_assert_uint_ge(n_ticks, 5);
        curl_easy_cleanup(call.easy);
        sd_event_source_disable_unref(ticks);
        curl_glue_free(glue);
        sd_event_unref(event);
        stop_server(server);
}
END_TEST

/* Begun and cancelled at any moment: who was cancelled hears nothing, and whoever was not hears once. */
#define N_CALLS 300u

START_TEST(calls_come_and_go_while_curl_works) {
        struct call *calls = calloc(N_CALLS, sizeof(*calls));
        pthread_t server = start_server();
        unsigned n_cancelled = 0;
        struct curl_glue *glue;
        sd_event *event;

        ck_assert_ptr_nonnull(calls);
        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_eq(curl_glue_new(event, true, &glue), 0);
        srandom(1);
        for (unsigned i = 0; i < N_CALLS; i++) {
                ck_assert(start(glue, &calls[i]));
                for (long turns = random() % 6; turns > 0; turns--)
                        ck_assert_int_ge(sd_event_run(event, (uint64_t)(random() % 200)), 0);
                if (random() % 3 == 0) {
                        struct call *call = &calls[i - (unsigned)random() % (i < 4 ? i + 1 : 4)];

                        if (call->n_done == 0 && call->is_started) {
                                curl_glue_cancel(call->easy);
                                call->is_started = false;
                                n_cancelled++;
                        }
                        curl_glue_cancel(call->easy); /* of one that has ended */
                }
        }
        for (unsigned i = 0; i < N_CALLS; i++)
                if (calls[i].is_started)
                        ck_assert(finish(event, &calls[i]));
        test_report("curl-glue: %u of %u calls cancelled", n_cancelled, N_CALLS);
        ck_assert_uint_gt(n_cancelled, N_CALLS / 20);
        for (unsigned i = 0; i < N_CALLS; i++) {
                ck_assert_uint_eq(calls[i].n_done, calls[i].is_started ? 1 : 0);
                ck_assert_int_eq(calls[i].result, CURLE_OK);
                curl_easy_cleanup(calls[i].easy);
        }
        curl_glue_free(glue);
        sd_event_unref(event);
        stop_server(server);
        free(calls);
}
END_TEST

TEST_MAIN("curl-glue", nothing_is_forgotten_whatever_the_loop_refuses, a_long_step_does_not_hold_the_loop,
          calls_come_and_go_while_curl_works)
