/* The master's side is read whenever something is awaited; a terminal whose other side is closed says EIO. */

#include "tests/support/pty.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <termios.h>

#include "tests/support/process.h"

#define ARGUMENTS_MAX 64

struct pty {
        pid_t pid;
        int fd;
        char *text;
        size_t size, seen;
        bool is_over;
};

struct pty *pty_start(const char *const *argv, unsigned columns, unsigned lines) {
        const struct winsize winsize = { .ws_col = (unsigned short)columns, .ws_row = (unsigned short)lines };
        struct pty *pty = calloc(1, sizeof(*pty));
        const char *wrapper = getenv("REKEYD_TEST_WRAPPER");
        _cleanup_(freep) char *words = strdup(wrapper ? wrapper : "");
        char *arguments[ARGUMENTS_MAX] = { 0 };
        size_t n = 0;

        if (!pty || !words)
                abort();
        for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
                arguments[n++] = word;
        for (; *argv && n + 1 < ARGUMENTS_MAX; argv++)
                arguments[n++] = (char *)(uintptr_t)*argv;
        pty->text = calloc(1, 1);
        pty->pid = forkpty(&pty->fd, NULL, NULL, &winsize);
        ck_assert_int_ge(pty->pid, 0);
        if (pty->pid == 0) {
                setenv("TERM", "xterm", 1);
                setenv("LC_ALL", "C.UTF-8", 1);
                unsetenv("NO_COLOR");
                unsetenv("COLUMNS");
                unsetenv("LINES");
                execvp(arguments[0], arguments);
                _exit(127);
        }
        fcntl(pty->fd, F_SETFD, FD_CLOEXEC);
        fcntl(pty->fd, F_SETFL, O_NONBLOCK);
        return pty;
}

struct pty *pty_free(struct pty *pty) {
        if (!pty)
                return NULL;
        if (pty->pid > 0) {
                kill(pty->pid, SIGKILL);
                while (waitpid(pty->pid, NULL, 0) < 0 && errno == EINTR)
                        ;
        }
        close(pty->fd);
        free(pty->text);
        free(pty);
        return NULL;
}

static void take_output(struct pty *pty) {
        char buffer[4096];
        ssize_t n;

        while (!pty->is_over && (n = read(pty->fd, buffer, sizeof(buffer))) != 0) {
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0) {
                        pty->is_over = errno != EAGAIN;
                        return;
                }
                pty->text = realloc(pty->text, pty->size + (size_t)n + 1);
                if (!pty->text)
                        abort();
                memcpy(pty->text + pty->size, buffer, (size_t)n);
                pty->size += (size_t)n;
                pty->text[pty->size] = '\0';
        }
}

/* False when nothing more can come, or patience has ended. */
static bool wait_output(struct pty *pty, usec_t deadline) {
        struct pollfd fd = { .fd = pty->fd, .events = POLLIN };
        const usec_t now = now_usec(CLOCK_MONOTONIC);

        if (pty->is_over || now >= deadline)
                return false;
        (void)poll(&fd, 1, (int)((deadline - now) / USEC_PER_MSEC) + 1);
        take_output(pty);
        return true;
}

void pty_await(struct pty *pty, const char *text) {
        const usec_t deadline = now_usec(CLOCK_MONOTONIC) + patience_usec();

        for (;;) {
                const char *found;

                take_output(pty);
                found = strstr(pty->text + pty->seen, text);
                if (found) {
                        pty->seen = (size_t)(found - pty->text) + strlen(text);
                        return;
                }
                if (!wait_output(pty, deadline))
                        break;
        }
        ck_abort_msg("the terminal never showed '%s'; it showed:\n%s", text, pty->text);
}

void pty_type(struct pty *pty, const char *text) {
        ck_assert_int_eq(write(pty->fd, text, strlen(text)), (ssize_t)strlen(text));
}

const char *pty_output(struct pty *pty) {
        take_output(pty);
        return pty->text;
}

bool pty_echoes(const struct pty *pty) {
        struct termios termios;

        ck_assert_int_eq(tcgetattr(pty->fd, &termios), 0);
        return termios.c_lflag & ECHO;
}

int pty_wait(struct pty *pty) {
        const usec_t deadline = now_usec(CLOCK_MONOTONIC) + patience_usec();
        int status;

        while (wait_output(pty, deadline))
                ;
        ck_assert_msg(pty->is_over, "it did not end, and showed:\n%s", pty->text);
        while (waitpid(pty->pid, &status, 0) < 0 && errno == EINTR)
                ;
        pty->pid = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
