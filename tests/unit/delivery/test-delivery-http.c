/* Dependents that listen for HTTP: a server in the same loop, which answers as it is told. */

#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "daemon/delivery/delivery.h"
#include "tests/support/name-server.h"
#include "tests/test.h"

static const struct notice notice = {
        .generation = 42,
        .certificate = "orders",
        .directory = "/somewhere",
        .fingerprint = "abcdef",
};

struct setup {
        struct loop_services services;
        int listen_fd, client_fd;
        const char *answer; /* NULL: none */
        char url[64];
        char request[4096];
        size_t request_size;
        bool done;
        char *error;
};

static int on_request(_unused_ sd_event_source *source, int fd, _unused_ uint32_t revents, void *userdata) {
        struct setup *setup = userdata;
        ssize_t n;

        if (setup->client_fd < 0) {
                setup->client_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
                ck_assert_int_ge(setup->client_fd, 0);
                ck_assert_int_ge(sd_event_add_io(setup->services.event, NULL, setup->client_fd, EPOLLIN,
                                                 on_request, setup),
                                 0);
                return 0;
        }
        n = read(setup->client_fd, setup->request + setup->request_size,
                 sizeof(setup->request) - setup->request_size - 1);
        if (n <= 0)
                return sd_event_source_set_enabled(source, SD_EVENT_OFF);
        setup->request_size += (size_t)n;
        setup->request[setup->request_size] = '\0';
        /* The body ends with a line, and so does a request without one. */
        if (setup->answer && setup->request[setup->request_size - 1] == '\n') {
                ck_assert_int_gt(write(setup->client_fd, setup->answer, strlen(setup->answer)), 0);
                shutdown(setup->client_fd, SHUT_WR);
        }
        return 0;
}

static void on_done(const char *error, void *userdata) {
        struct setup *setup = userdata;

        setup->done = true;
        setup->error = error ? strdup(error) : NULL;
        sd_event_exit(setup->services.event, 0);
}

static void setup_open(struct setup *setup, const char *answer) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(address);

        *setup = (struct setup) { .client_fd = -1, .answer = answer };
        ck_assert_int_ge(sd_event_new(&setup->services.event), 0);
        ck_assert_int_eq(curl_glue_new(setup->services.event, true, &setup->services.curl), 0);
        setup->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(bind(setup->listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
        ck_assert_int_eq(listen(setup->listen_fd, 1), 0);
        ck_assert_int_eq(getsockname(setup->listen_fd, (struct sockaddr *)&address, &size), 0);
        snprintf(setup->url, sizeof(setup->url), "http://127.0.0.1:%u/reload", ntohs(address.sin_port));
        ck_assert_int_ge(
                sd_event_add_io(setup->services.event, NULL, setup->listen_fd, EPOLLIN, on_request, setup),
                0);
}

static void setup_close(struct setup *setup) {
        curl_glue_free(setup->services.curl);
        sd_event_unref(setup->services.event);
        fd_close(setup->listen_fd);
        fd_close(setup->client_fd);
        free(setup->error);
}

static void deliver(struct setup *setup, enum config_http_method method, usec_t timeout_usec) {
        const struct config_notify config = {
                .kind = NOTIFY_HTTP, .http = setup->url, .method = method, .timeout_usec = timeout_usec
        };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct delivery *delivery = NULL;

        ck_assert_int_eq(
                delivery_call_http(&setup->services, &config, &notice, on_done, setup, &delivery, &error), 0);
        ck_assert_int_ge(sd_event_loop(setup->services.event), 0);
        ck_assert(setup->done);
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
                _cleanup_(setup_close) struct setup setup;

                setup_open(&setup, rows[i].answer);
                deliver(&setup, HTTP_POST, 60 * USEC_PER_SEC);
                ck_assert_ptr_nonnull(setup.error);
                ck_assert_msg(strstr(setup.error, setup.url) && strstr(setup.error, rows[i].error), "%s",
                              setup.error);
        }
}
END_TEST

START_TEST(who_does_not_answer_is_not_told) {
        _cleanup_(setup_close) struct setup setup;

        setup_open(&setup, NULL);
        deliver(&setup, HTTP_POST, 200 * USEC_PER_MSEC);
        ck_assert_ptr_nonnull(setup.error);
        ck_assert_msg(has_prefix(setup.error, "cannot call "), "%s", setup.error);
        ck_assert_msg(strstr(setup.error, "timed out"), "%s", setup.error);
}
END_TEST

/* Neither the call nor its end waits for the name server. */
START_TEST(who_is_not_found_is_not_told) {
        const usec_t begin = now_usec(CLOCK_MONOTONIC);
        _cleanup_(fd_closep) int server = name_server_open();
        _cleanup_(setup_close) struct setup setup = { .listen_fd = -1, .client_fd = -1 };

        if (server < 0)
                return;
        setup_open(&setup, NULL);
        snprintf(setup.url, sizeof(setup.url), "http://dependent.example.com/reload");
        deliver(&setup, HTTP_POST, 200 * USEC_PER_MSEC);
        ck_assert_uint_lt(now_usec(CLOCK_MONOTONIC) - begin, 5 * USEC_PER_SEC);
        ck_assert_ptr_nonnull(setup.error);
        ck_assert_msg(strstr(setup.error, "the name dependent.example.com cannot be looked up"), "%s",
                      setup.error);
}
END_TEST

/* What is on this machine needs no name server, whatever it is called. */
START_TEST(who_is_here_is_told) {
        static const char *const hosts[] = { "127.0.0.1", "localhost", "dependent.localhost" };
        _cleanup_(fd_closep) int server = name_server_open();

        for (size_t i = 0; server >= 0 && i < ELEMENTSOF(hosts); i++) {
                _cleanup_(setup_close) struct setup setup;
                unsigned port;

                setup_open(&setup, "HTTP/1.1 204 Done\r\n\r\n");
                ck_assert_int_eq(sscanf(setup.url, "http://127.0.0.1:%u", &port), 1);
                snprintf(setup.url, sizeof(setup.url), "http://%s:%u/reload", hosts[i], port);
                deliver(&setup, HTTP_POST, 5 * USEC_PER_SEC);
                ck_assert_msg(!setup.error, "%s", setup.error);
        }
}
END_TEST

START_TEST(who_does_not_listen_is_not_told) {
        _cleanup_(setup_close) struct setup setup;

        setup_open(&setup, NULL);
        fd_close(setup.listen_fd);
        setup.listen_fd = -1;
        deliver(&setup, HTTP_POST, 60 * USEC_PER_SEC);
        ck_assert_ptr_nonnull(setup.error);
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
                _cleanup_(setup_close) struct setup setup;

                setup_open(&setup, "HTTP/1.1 204 Done\r\n\r\n");
                deliver(&setup, rows[i].method, 60 * USEC_PER_SEC);
                ck_assert_msg(!setup.error, "%s", setup.error);
                ck_assert_msg(has_prefix(setup.request, rows[i].begin), "%s", setup.request);
                ck_assert(!strstr(setup.request, body) == !rows[i].has_body);
        }
}
END_TEST

int main(void) {
        Suite *suite = suite_create("delivery-http");

        curl_global_init(CURL_GLOBAL_DEFAULT);
        TEST_CASE(suite, what_is_not_2xx_is_not_told);
        TEST_CASE(suite, who_does_not_answer_is_not_told);
        TEST_CASE(suite, who_is_not_found_is_not_told);
        TEST_CASE(suite, who_is_here_is_told);
        TEST_CASE(suite, who_does_not_listen_is_not_told);
        TEST_CASE(suite, told);
        return test_run(suite);
}
