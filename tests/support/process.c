/*
 * Child processes for end-to-end tests. Both streams are read whenever either is awaited, so that a child
 * never blocks on a full pipe, and kept whole, so that a failure can show what was said.
 */

#include "tests/support/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#define ARGUMENTS_MAX  64
#define LAST_WORDS_MAX 3000u /* several of them fit into one message */

struct stream {
        int fd;
        char *text;
        size_t size, seen; /* what was awaited ends at `seen` */
};

struct process {
        char *name;
        pid_t pid;
        int status;
        struct stream streams[2];
};

usec_t patience_usec(void) {
        if (getenv("REKEYD_TEST_WRAPPER"))
                return 240 * USEC_PER_SEC;
#if HAS_ADDRESS_SANITIZER
        return 120 * USEC_PER_SEC;
#else
        return 40 * USEC_PER_SEC;
#endif
}

static void make_pipe(int fds[2]) {
        if (pipe2(fds, O_CLOEXEC) < 0)
                abort();
}

struct process *process_start(const char *const *argv, bool wrapped) {
        struct process *process = calloc(1, sizeof(*process));
        const char *wrapper = wrapped ? getenv("REKEYD_TEST_WRAPPER") : NULL;
        _cleanup_(freep) char *words = strdup(wrapper ? wrapper : "");
        char *arguments[ARGUMENTS_MAX] = { 0 };
        int out[2], err[2];
        size_t n = 0;

        if (!process || !words)
                abort();
        for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
                arguments[n++] = word;
        for (; *argv && n + 1 < ARGUMENTS_MAX; argv++)
                arguments[n++] = (char *)(uintptr_t)*argv;

        process->name = strdup(arguments[wrapper ? n - 1 : 0]);
        make_pipe(out);
        make_pipe(err);
        process->pid = fork();
        if (process->pid < 0)
                abort();
        if (process->pid == 0) {
                dup2(out[1], STDOUT_FILENO);
                dup2(err[1], STDERR_FILENO);
                execvp(arguments[0], arguments);
                _exit(127);
        }
        close(out[1]);
        close(err[1]);
        process->streams[PROCESS_STDOUT].fd = out[0];
        process->streams[PROCESS_STDERR].fd = err[0];
        for (size_t i = 0; i < 2; i++)
                fcntl(process->streams[i].fd, F_SETFL, O_NONBLOCK);
        return process;
}

struct process *process_free(struct process *process) {
        if (!process)
                return NULL;
        if (process->pid > 0) {
                kill(process->pid, SIGKILL);
                while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR)
                        ;
        }
        for (size_t i = 0; i < 2; i++) {
                fd_close(process->streams[i].fd);
                free(process->streams[i].text);
        }
        free(process->name);
        free(process);
        return NULL;
}

static void take_output(struct stream *stream) {
        char buffer[65536];
        ssize_t n;

        while (stream->fd >= 0 && (n = read(stream->fd, buffer, sizeof(buffer))) != 0) {
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return;
                }
                stream->text = realloc(stream->text, stream->size + (size_t)n + 1);
                if (!stream->text)
                        abort();
                memcpy(stream->text + stream->size, buffer, (size_t)n);
                stream->size += (size_t)n;
                stream->text[stream->size] = '\0';
        }
        stream->fd = fd_close(stream->fd);
}

/* Waits until there is more output, FD (negative: none) can be read, or the deadline. False when nothing more
 * can come of the process. */
static bool wait_output(struct process *process, int fd, usec_t deadline) {
        struct pollfd fds[3] = { [2] = { .fd = fd, .events = POLLIN } };
        usec_t now = now_usec(CLOCK_MONOTONIC);

        if ((process->streams[0].fd < 0 && process->streams[1].fd < 0) || now >= deadline)
                return false;
        for (size_t i = 0; i < 2; i++)
                fds[i] = (struct pollfd) { .fd = process->streams[i].fd, .events = POLLIN };
        (void)poll(fds, ELEMENTSOF(fds), (int)((deadline - now) / USEC_PER_MSEC) + 1);
        for (size_t i = 0; i < 2; i++)
                take_output(&process->streams[i]);
        return true;
}

/* The next whole line; NULL when there is none yet. */
static char *next_line(struct stream *stream) {
        char *begin, *end;

        if (!stream->text || stream->seen == stream->size)
                return NULL;
        begin = stream->text + stream->seen;
        end = strchr(begin, '\n');
        if (!end && stream->fd >= 0)
                return NULL;
        if (!end)
                end = begin + strlen(begin);
        stream->seen = (size_t)(end - stream->text) + (*end == '\n');
        return strndup(begin, (size_t)(end - begin));
}

char *process_poll(struct process *process, enum process_stream stream, const char *wanted, usec_t within) {
        usec_t deadline = usec_add(now_usec(CLOCK_MONOTONIC), within);

        for (;;) {
                char *line;

                take_output(&process->streams[stream]);
                while ((line = next_line(&process->streams[stream]))) {
                        if (strstr(line, wanted))
                                return line;
                        free(line);
                }
                if (process->streams[stream].fd < 0 || !wait_output(process, -1, deadline))
                        return NULL;
        }
}

char *process_await(struct process *process, enum process_stream stream, const char *wanted) {
        char *line = process_poll(process, stream, wanted, patience_usec());

        if (line)
                return line;
        fprintf(stderr, "%s never said '%s'; it said:\n%s%s\n", process->name, wanted,
                process_output(process, PROCESS_STDOUT), process_output(process, PROCESS_STDERR));
        return NULL;
}

bool process_await_readable(struct process *process, int fd) {
        const usec_t deadline = usec_add(now_usec(CLOCK_MONOTONIC), patience_usec());
        struct pollfd readable = { .fd = fd, .events = POLLIN };

        while (poll(&readable, 1, 0) <= 0)
                if (!wait_output(process, fd, deadline))
                        return poll(&readable, 1, 0) > 0;
        return true;
}

const char *process_output(struct process *process, enum process_stream stream) {
        take_output(&process->streams[stream]);
        return process->streams[stream].text ? process->streams[stream].text : "";
}

const char *process_last_words(struct process *process, enum process_stream stream) {
        const char *text = process_output(process, stream);
        const size_t length = strlen(text);

        return length > LAST_WORDS_MAX ? text + length - LAST_WORDS_MAX : text;
}

pid_t process_pid(const struct process *process) {
        return process->pid;
}

void process_signal(struct process *process, int signal) {
        if (process->pid > 0)
                kill(process->pid, signal);
}

/* What sanitizers and valgrind say of a child counts, whatever its exit status was expected to be. */
static bool is_clean(struct process *process) {
        static const char *const findings[] = { "Sanitizer", "runtime error:", "\n==" };
        const char *text = process_output(process, PROCESS_STDERR);

        for (size_t i = 0; i < ELEMENTSOF(findings); i++)
                if (strstr(text, findings[i])) {
                        fprintf(stderr, "%s has a fault:\n%s\n", process->name, text);
                        return false;
                }
        return true;
}

int process_wait(struct process *process) {
        usec_t deadline = usec_add(now_usec(CLOCK_MONOTONIC), patience_usec());

        if (process->pid <= 0)
                return process->status;
        while (wait_output(process, -1, deadline))
                ;
        if (now_usec(CLOCK_MONOTONIC) >= deadline) {
                fprintf(stderr, "%s did not end; it said:\n%s%s\n", process->name,
                        process_output(process, PROCESS_STDOUT), process_output(process, PROCESS_STDERR));
                return 255;
        }

        int status;
        while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
                ;
        process->pid = 0;
        process->status = !is_clean(process)  ? 254
                          : WIFEXITED(status) ? WEXITSTATUS(status)
                                              : 128 + WTERMSIG(status);
        return process->status;
}
