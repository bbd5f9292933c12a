/* The host of the client in a real loop: how many transfers there are at a time, whose turn it is, and
 * programs. */

#include "daemon/kube/kube-loop.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "lib/kubeconfig/kube-exec.h"
#include "tests/support/process.h"
#include "tests/test.h"

#define MORE 4u
#define N    (KUBE_TRANSFERS_MAX + MORE)

static struct loop_services services;
static struct kube_loop *loop;
static struct kube_host *host;

static void set_up(void) {
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGCHLD);
        ck_assert_int_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
        ck_assert_int_eq(curl_global_init(CURL_GLOBAL_DEFAULT), 0);
        ck_assert_int_ge(sd_event_new(&services.event), 0);
        ck_assert_int_eq(children_new(services.event, &services.children), 0);
        ck_assert_int_eq(workers_new(services.event, 1, &services.export_workers), 0);
        ck_assert_int_eq(kube_loop_new(&services, &loop), 0);
        host = kube_loop_host(loop);
}

static void tear_down(void) {
        workers_free(services.export_workers);
        kube_loop_free(loop);
        children_free(services.children);
        sd_event_unref(services.event);
        curl_global_cleanup();
}

/* The loop runs until *VALUE is WANTED. */
static void await(const unsigned *value, unsigned wanted) {
        const usec_t deadline = usec_add(now_usec(CLOCK_MONOTONIC), patience_usec());

        while (*value != wanted) {
                ck_assert_msg(now_usec(CLOCK_MONOTONIC) < deadline, "%u, not %u", *value, wanted);
                ck_assert_int_ge(sd_event_run(services.event, USEC_PER_SEC), 0);
        }
}

/* --- Transfers, to a server that accepts connections and says nothing */

static struct {
        int listen_fd, fds[2 * N];
        unsigned n, n_done;
        sd_event_source *source;
        char url[40];
        unsigned order[N];
} server;

static int on_connection(_unused_ sd_event_source *source, int fd, _unused_ uint32_t revents,
                         _unused_ void *userdata) {
        server.fds[server.n] = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        ck_assert_int_ge(server.fds[server.n], 0);
        server.n++;
        return 0;
}

static void server_start(void) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(address);

        memset(&server, 0, sizeof(server));
        server.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(bind(server.listen_fd, (struct sockaddr *)&address, size), 0);
        ck_assert_int_eq(listen(server.listen_fd, 2 * N), 0);
        ck_assert_int_eq(getsockname(server.listen_fd, (struct sockaddr *)&address, &size), 0);
        snprintf(server.url, sizeof(server.url), "https://127.0.0.1:%u/", ntohs(address.sin_port));
        ck_assert_int_ge(sd_event_add_io(services.event, &server.source, server.listen_fd, EPOLLIN,
                                         on_connection, NULL),
                         0);
}

static void server_stop(void) {
        sd_event_source_disable_unref(server.source);
        for (unsigned i = 0; i < server.n; i++)
                fd_close(server.fds[i]);
        fd_close(server.listen_fd);
}

static void on_done(_unused_ CURL *easy, CURLcode result, _unused_ const char *text, void *userdata) {
        ck_assert_int_ne(result, CURLE_OK);
        server.order[server.n_done++] = *(const unsigned *)userdata;
}

START_TEST(a_few_at_a_time_in_their_order) {
        CURL *easy[N];
        unsigned number[N];

        server_start();
        for (unsigned i = 0; i < N; i++) {
                const struct kube_target target = { .url = server.url, .timeout_usec = USEC_PER_MINUTE };

                easy[i] = curl_easy_init();
                number[i] = i;
                ck_assert_int_eq(host->ops->transfer(host, easy[i], &target, on_done, &number[i]), 0);
        }
        await(&server.n, KUBE_TRANSFERS_MAX);
        ck_assert_int_ge(sd_event_run(services.event, 100 * USEC_PER_MSEC), 0);
        ck_assert_uint_eq(server.n, KUBE_TRANSFERS_MAX);

        /* One that waits and one that is under way are cancelled, twice: nothing more comes of them. */
        host->ops->cancel(host, easy[N - 1]);
        host->ops->cancel(host, easy[N - 1]);
        host->ops->cancel(host, easy[0]);
        await(&server.n, KUBE_TRANSFERS_MAX + 1);

        /* Each that ends lets the next begin. */
        for (unsigned i = 1; i <= MORE - 2; i++) {
                server.fds[i] = fd_close(server.fds[i]);
                await(&server.n_done, i);
                await(&server.n, KUBE_TRANSFERS_MAX + 1 + i);
        }
        for (unsigned i = MORE - 1; i < server.n; i++)
                server.fds[i] = fd_close(server.fds[i]);
        await(&server.n_done, N - 2);
        for (unsigned i = 0; i < MORE - 2; i++)
                ck_assert_uint_eq(server.order[i], i + 1);
        for (unsigned i = 0; i < N; i++)
                curl_easy_cleanup(easy[i]);
        server_stop();
}
END_TEST

/* --- Programs */

static struct {
        unsigned n_done;
        int r;
        char output[200], error[200];
} program;

static void on_program(int r, const char *output, size_t size, const char *error, _unused_ void *userdata) {
        program.n_done++;
        program.r = r;
        snprintf(program.output, sizeof(program.output), "%.*s", (int)size, output ? output : "");
        snprintf(program.error, sizeof(program.error), "%s", error ? error : "");
}

static int run(const char *command, const char *script) {
        char *const arguments[] = { (char *)command, (char *)"-c", (char *)script, NULL },
                    *const environment[] = { (char *)"A=b", NULL };
        const struct kube_program options = { .command = arguments,
                                              .environment = environment,
                                              .done = on_program };
        struct kube_process *process;
        int r;

        memset(&program, 0, sizeof(program));
        r = host->ops->start(host, &options, &process);
        if (r < 0)
                return r;
        await(&program.n_done, 1);
        host->ops->stop(process);
        return program.r;
}

START_TEST(what_a_program_prints) {
        _cleanup_(freep) char *much = NULL;

        ck_assert_int_eq(run("/bin/sh", "echo $A; echo warning >&2"), 0);
        ck_assert_str_eq(program.output, "b\n");
        ck_assert_int_eq(run("sh", "printf '%s' \"$0\""), 0); /* found in PATH */
        ck_assert_int_eq(run("/bin/sh", "echo half; exit 3"), -EIO);
        ck_assert_str_eq(program.error, "ended with status 3");
        ck_assert_str_eq(program.output, "");
        ck_assert_int_eq(run("/bin/sh", "kill -9 $$"), -EIO);
        ck_assert_str_eq(program.error, "was ended by signal 9");
        ck_assert(asprintf(&much, "head -c %u /dev/zero", KUBE_EXEC_OUTPUT_MAX + 1) > 0);
        ck_assert_int_eq(run("/bin/sh", much), -EFBIG);
        ck_assert_str_eq(program.error, "writes more than a credential");
        ck_assert_int_eq(run("there-is-no-such-program", ""), -ENOENT);
        ck_assert_int_eq(run("/there/is/no/such/program", ""), -ENOENT);
}
END_TEST

/* Stopped before its end: nothing comes of it. */
START_TEST(a_program_that_is_stopped) {
        char *const arguments[] = { (char *)"/bin/sh", (char *)"-c", (char *)"sleep 1000", NULL },
                    *const environment[] = { NULL };
        const struct kube_program options = { .command = arguments,
                                              .environment = environment,
                                              .done = on_program };
        struct kube_process *process;

        memset(&program, 0, sizeof(program));
        ck_assert_int_eq(host->ops->start(host, &options, &process), 0);
        host->ops->stop(process);
        ck_assert_int_ge(sd_event_run(services.event, 100 * USEC_PER_MSEC), 0);
        ck_assert_uint_eq(program.n_done, 0);
}
END_TEST

/* --- What may block */

static struct {
        pthread_t thread;
        int release[2]; /* a pipe that the work waits for; -1: it does not */
        unsigned n_done;
} working;

static void run_work(_unused_ struct kube_work *work) {
        char byte;

        working.thread = pthread_self();
        if (working.release[0] >= 0)
                ck_assert_int_ge(read(working.release[0], &byte, 1), 0);
}

static void on_work(struct kube_work *work) {
        working.n_done++;
        free(work);
}

static void submit_work(void) {
        struct kube_work *work = calloc(1, sizeof(*work));

        *work = (struct kube_work) { .run = run_work, .done = on_work };
        ck_assert_int_eq(host->ops->work(host, work), 0);
}

START_TEST(what_blocks_is_on_another_thread) {
        working.n_done = 0;
        working.release[0] = -1;
        for (unsigned i = 0; i < 3; i++)
                submit_work();
        ck_assert_uint_eq(working.n_done, 0); /* not before it has returned */
        await(&working.n_done, 3);
        ck_assert(!pthread_equal(working.thread, pthread_self()));
}
END_TEST

/* One is under way and one has not begun when the workers stop; tear_down() frees both. */
START_TEST(what_blocks_at_the_end) {
        working.n_done = 0;
        ck_assert_int_eq(pipe2(working.release, O_CLOEXEC), 0);
        submit_work();
        submit_work();
        ck_assert_int_ge(sd_event_run(services.event, 0), 0);
        fd_close(working.release[1]);
}
END_TEST

static void tear_down_at_the_end(void) {
        tear_down();
        ck_assert_uint_eq(working.n_done, 2);
        fd_close(working.release[0]);
}

int main(void) {
        Suite *suite = suite_create("kube-loop");

        TEST_CASE_IN(suite, a_few_at_a_time_in_their_order, set_up, tear_down);
        TEST_CASE_IN(suite, what_a_program_prints, set_up, tear_down);
        TEST_CASE_IN(suite, a_program_that_is_stopped, set_up, tear_down);
        TEST_CASE_IN(suite, what_blocks_is_on_another_thread, set_up, tear_down);
        TEST_CASE_IN(suite, what_blocks_at_the_end, set_up, tear_down_at_the_end);
        return test_run(suite);
}
