/* The terminal's echo is off while an operator types a secret, and must be on again whatever happens: so
 * signals wait until that is done. */

#include "ctl/terminal/question.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <strings.h>
#include <termios.h>

#define LINE_MAX_SIZE 4096u /* of a terminal in canonical mode */

bool question_is_possible(void) {
        return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

bool question_confirm(const char *sentence) {
        _cleanup_(freep) char *line = NULL;
        size_t size = 0;
        ssize_t n;

        fprintf(stderr, "%s [y/N] ", sentence);
        fflush(stderr);
        n = getline(&line, &size, stdin);
        if (n <= 0) {
                fputc('\n', stderr);
                return false;
        }
        line[strcspn(line, "\n")] = '\0';
        return strcasecmp(line, "y") == 0 || strcasecmp(line, "yes") == 0;
}

/* --- Secrets --- */

static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };

static volatile sig_atomic_t caught;

static void on_signal(int signal) {
        caught = signal;
}

/* A byte at a time into one buffer: nothing of it stays in those of stdio. Signals are let in while it waits,
 * and only then, so that none comes between a check of `caught` and the wait. */
static int read_line(const sigset_t *mask, char *buffer, size_t size) {
        struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
        size_t n = 0;

        for (;;) {
                ssize_t got;
                char c;

                if (ppoll(&input, 1, NULL, mask) < 0) {
                        if (errno == EINTR && caught == 0)
                                continue;
                        return -errno;
                }
                got = read(STDIN_FILENO, &c, 1);
                if (got < 0)
                        return -errno;
                if (got == 0 && n == 0)
                        return -ENODATA;
                if (got == 0 || c == '\n') {
                        buffer[n] = '\0';
                        return 0;
                }
                if (n + 1 == size)
                        return -EMSGSIZE;
                buffer[n++] = c;
        }
}

static int read_without_echo(const char *prompt, const sigset_t *mask, char *buffer, size_t size) {
        struct termios before, quiet;
        int r;

        if (tcgetattr(STDIN_FILENO, &before) < 0)
                return -errno;
        quiet = before;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        quiet.c_lflag |= ICANON | ECHONL;
        if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) < 0)
                return -errno;
        fputs(prompt, stderr);
        fflush(stderr);
        r = read_line(mask, buffer, size);
        if (r < 0)
                fputc('\n', stderr);
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        return r;
}

int question_secret(const char *prompt, char **ret) {
        const struct sigaction action = { .sa_handler = on_signal };
        struct sigaction before[ELEMENTSOF(signals)];
        sigset_t blocked, mask;
        char buffer[LINE_MAX_SIZE];
        char *copy = NULL;
        int r;

        caught = 0;
        sigemptyset(&blocked);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                sigaddset(&blocked, signals[i]);
        sigprocmask(SIG_BLOCK, &blocked, &mask);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                sigaction(signals[i], &action, &before[i]);
        r = read_without_echo(prompt, &mask, buffer, sizeof(buffer));
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                sigaction(signals[i], &before[i], NULL);
        sigprocmask(SIG_SETMASK, &mask, NULL);
        if (r == 0) {
                copy = strdup(buffer);
                if (!copy)
                        r = -ENOMEM;
        }
        explicit_bzero(buffer, sizeof(buffer));
        if (r < 0) {
                if (caught)
                        raise(caught);
                return r;
        }
        *ret = copy;
        return 0;
}
