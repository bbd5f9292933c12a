/* Dependents that listen for HTTP: a server in the same loop, which answers as it is told. */

#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "daemon/delivery.h"
#include "tests/test.h"

static const struct notice notice = {
        .generation = 42,
        .certificate = "orders",
        .directory = "/somewhere",
        .fingerprint = "abcdef",
};

struct bench {
        struct context context;
        int listen_fd, client_fd;
        const char *answer; /* NULL: none */
        char url[64];
        char request[4096];
        size_t request_size;
        bool done;
        char *error;
};

static int on_request(_unused_ sd_event_source *source, int fd, _unused_ uint32_t revents, void *userdata) {
        struct bench *bench = userdata;
        ssize_t n;

        if (bench->client_fd < 0) {
                bench->client_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
                ck_assert_int_ge(bench->client_fd, 0);
                ck_assert_int_ge(sd_event_add_io(bench->context.event, NULL, bench->client_fd, EPOLLIN,
                                                 on_request, bench),
                                 0);
                return 0;
        }
        n = read(bench->client_fd, bench->request + bench->request_size,
                 sizeof(bench->request) - bench->request_size - 1);
        if (n <= 0)
                return sd_event_source_set_enabled(source, SD_EVENT_OFF);
        bench->request_size += (size_t)n;
        bench->request[bench->request_size] = '\0';
        /* The body ends with a line, and so does a request without one. */
        if (bench->answer && bench->request[bench->request_size - 1] == '\n') {
                ck_assert_int_gt(write(bench->client_fd, bench->answer, strlen(bench->answer)), 0);
                shutdown(bench->client_fd, SHUT_WR);
        }
        return 0;
}

static void on_done(const char *error, void *userdata) {
        struct bench *bench = userdata;

        bench->done = true;
        bench->error = error ? strdup(error) : NULL;
        sd_event_exit(bench->context.event, 0);
}

static void bench_open(struct bench *bench, const char *answer) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(address);

        *bench = (struct bench) { .client_fd = -1, .answer = answer };
        ck_assert_int_ge(sd_event_new(&bench->context.event), 0);
        ck_assert_int_eq(curl_glue_new(bench->context.event, &bench->context.curl), 0);
        bench->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(bind(bench->listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
        ck_assert_int_eq(listen(bench->listen_fd, 1), 0);
        ck_assert_int_eq(getsockname(bench->listen_fd, (struct sockaddr *)&address, &size), 0);
        snprintf(bench->url, sizeof(bench->url), "http://127.0.0.1:%u/reload", ntohs(address.sin_port));
        ck_assert_int_ge(
                sd_event_add_io(bench->context.event, NULL, bench->listen_fd, EPOLLIN, on_request, bench), 0);
}

static void bench_close(struct bench *bench) {
        curl_glue_free(bench->context.curl);
        sd_event_unref(bench->context.event);
        fd_close(bench->listen_fd);
        fd_close(bench->client_fd);
        free(bench->error);
}

static void deliver(struct bench *bench, enum config_http_method method, usec_t timeout_usec) {
        const struct config_notify config = {
                .kind = NOTIFY_HTTP, .http = bench->url, .method = method, .timeout_usec = timeout_usec
        };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct delivery *delivery = NULL;

        ck_assert_int_eq(
                delivery_call_http(&bench->context, &config, &notice, on_done, bench, &delivery, &error), 0);
        ck_assert_int_ge(sd_event_loop(bench->context.event), 0);
        ck_assert(bench->done);
        delivery_free(delivery);
}

START_TEST(what_is_not_2xx_is_not_told) {
        static const struct {
                const char *answer, *error; /* after the URL */
        } rows[] = {
                { "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", " answered with status 500" },
                { "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", " answered with status 404" },
                { "HTTP/1.1 302 There\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
                  " answered with status 302" },
                { "nonsense\r\n\r\n", ": " },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(bench_close) struct bench bench;

                bench_open(&bench, rows[i].answer);
                deliver(&bench, HTTP_POST, 60 * USEC_PER_SEC);
                ck_assert_ptr_nonnull(bench.error);
                ck_assert_msg(strstr(bench.error, bench.url) && strstr(bench.error, rows[i].error), "%s",
                              bench.error);
        }
}
END_TEST

START_TEST(who_does_not_answer_is_not_told) {
        _cleanup_(bench_close) struct bench bench;

        bench_open(&bench, NULL);
        deliver(&bench, HTTP_POST, 200 * USEC_PER_MSEC);
        ck_assert_ptr_nonnull(bench.error);
        ck_assert_msg(has_prefix(bench.error, "cannot call "), "%s", bench.error);
        ck_assert_msg(strstr(bench.error, "timed out"), "%s", bench.error);
}
END_TEST

START_TEST(who_does_not_listen_is_not_told) {
        _cleanup_(bench_close) struct bench bench;

        bench_open(&bench, NULL);
        fd_close(bench.listen_fd);
        bench.listen_fd = -1;
        deliver(&bench, HTTP_POST, 60 * USEC_PER_SEC);
        ck_assert_ptr_nonnull(bench.error);
}
END_TEST

START_TEST(told) {
        static const struct {
                enum config_http_method method;
                const char *begin;
                bool has_body;
        } rows[] = {
                { HTTP_POST, "POST /reload HTTP/1.1\r\n", true },
                { HTTP_PUT, "PUT /reload HTTP/1.1\r\n", true },
                { HTTP_GET, "GET /reload HTTP/1.1\r\n", false },
        };
        static const char body[] =
                "\r\n\r\n{\"certificate\":\"orders\",\"generation\":42,\"fingerprint\":\"abcdef\"}\n";

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(bench_close) struct bench bench;

                bench_open(&bench, "HTTP/1.1 204 Done\r\n\r\n");
                deliver(&bench, rows[i].method, 60 * USEC_PER_SEC);
                ck_assert_msg(!bench.error, "%s", bench.error);
                ck_assert_msg(has_prefix(bench.request, rows[i].begin), "%s", bench.request);
                ck_assert(!strstr(bench.request, body) == !rows[i].has_body);
        }
}
END_TEST

int main(void) {
        Suite *suite = suite_create("delivery-http");

        curl_global_init(CURL_GLOBAL_DEFAULT);
        TEST_CASE(suite, what_is_not_2xx_is_not_told);
        TEST_CASE(suite, who_does_not_answer_is_not_told);
        TEST_CASE(suite, who_does_not_listen_is_not_told);
        TEST_CASE(suite, told);
        return test_run(suite);
}
