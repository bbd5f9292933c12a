/*
 * A one-time token is a secret until it is used. It comes from a file, a pipe or the keyboard, never from the
 * command line, which every user of the machine can read and the shell keeps. It is held in one buffer, and
 * in no sentence.
 */

#include "ctl/token.h"

#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>

#include "ctl/terminal/question.h"
#include "lib/protocol/token.h"
#include "lib/util/files.h"
#include "lib/util/utf8.h"

/* What is left of the SIZE bytes at DATA without the blanks around it, owned; DATA is cleansed. rekeyd finds
 * the token in it once more, since only it knows which URL counts. 0; -ENODATA; -EINVAL with a sentence;
 * -ENOMEM. */
static int take_text(char *data, size_t size, char **ret, struct error *error) {
        _cleanup_(free_secretp) char *plain = NULL;
        const size_t whole = size;
        const char *begin, *end;
        struct token_text text = { 0 };
        int r;

        r = utf16_to_ascii(data, size, &plain, &size);
        if (r == -ENOMEM)
                return r;
        begin = plain ? plain : data;
        end = begin + size;
        while (begin < end && isspace((unsigned char)*begin))
                begin++;
        while (end > begin && isspace((unsigned char)end[-1]))
                end--;
        r = token_text_read(begin, (size_t)(end - begin), "", &text, error);
        token_text_clear(&text);
        if (r == 0) {
                *ret = strndup(begin, (size_t)(end - begin));
                r = *ret ? 0 : -ENOMEM;
        }
        explicit_bzero(data, whole);
        return r;
}

static int explain_reading(const char *what, int r, struct error *error) {
        if (r == -ETIMEDOUT)
                return error_set(error, r, "%s is a pipe, and its writer has not ended in time", what);
        if (r == -EFBIG)
                return error_set(error, r, "%s is too long for a one-time token: more than %u bytes", what,
                                 TOKEN_MAX);
        return error_set_errno(error, r, "cannot read the one-time token from %s", what);
}

static int ask(const char *certificate, char **ret, size_t *ret_size, struct error *error) {
        char prompt[128];
        int r;

        if (!question_is_possible())
                return error_set(error, -ENOTTY,
                                 "no terminal to prompt for the one-time token: use --token-file FILE, or - "
                                 "and write it to standard input");
        snprintf(prompt, sizeof(prompt), "One-time token for %s (not shown): ", certificate);
        r = question_secret(prompt, ret);
        if (r == -ENODATA || r == -EINTR)
                return error_set(error, r, "no one-time token was given");
        if (r < 0)
                return error_set_errno(error, r, "cannot read the one-time token from the terminal");
        *ret_size = strlen(*ret);
        return 0;
}

/* --- Pipes --- */

/* A FIFO may have no writer yet, and a writer may never end: neither is waited for longer than that. */
static int await_more(int fd, usec_t deadline) {
        const usec_t now = now_usec(CLOCK_MONOTONIC);
        struct pollfd input = { .fd = fd, .events = POLLIN };
        int r;

        do
                r = poll(&input, 1, now < deadline ? (int)((deadline - now) / USEC_PER_MSEC + 1) : 0);
        while (r < 0 && errno == EINTR && now_usec(CLOCK_MONOTONIC) < deadline);
        return r < 0 ? -errno : r == 0 ? -ETIMEDOUT : 0;
}

/* Into a buffer with room for one byte more than a token may have. */
static int fill_from_pipe(int fd, usec_t deadline, char *buffer, size_t *ret_size) {
        size_t size = 0;

        for (;;) {
                ssize_t n;
                int r = await_more(fd, deadline);

                if (r < 0)
                        return r;
                n = read(fd, buffer + size, TOKEN_MAX + 1 - size);
                if (n < 0 && errno != EAGAIN && errno != EINTR)
                        return -errno;
                if (n == 0)
                        break;
                size += n > 0 ? (size_t)n : 0;
                if (size > TOKEN_MAX)
                        return -EFBIG;
        }
        *ret_size = size;
        return 0;
}

static int read_pipe(const char *file, usec_t timeout_usec, char **ret, size_t *ret_size) {
        const usec_t deadline = usec_add(now_usec(CLOCK_MONOTONIC), timeout_usec);
        _cleanup_(fd_closep) int fd = open(file, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        struct stat st;
        char *buffer;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISFIFO(st.st_mode))
                return -ENXIO;
        buffer = calloc(1, TOKEN_MAX + 2);
        if (!buffer)
                return -ENOMEM;
        r = fill_from_pipe(fd, deadline, buffer, ret_size);
        if (r < 0) {
                explicit_bzero(buffer, TOKEN_MAX + 2);
                free(buffer);
                return r;
        }
        *ret = buffer;
        return 0;
}

static int read_all(const char *file, usec_t timeout_usec, char **ret, size_t *ret_size,
                    struct error *error) {
        _cleanup_(fd_closep) int fd = -1;
        int r;

        if (streq(file, "-")) {
                r = fd_read_all(STDIN_FILENO, TOKEN_MAX, ret, ret_size);
                return r < 0 ? explain_reading("standard input", r, error) : 0;
        }
        /* A FIFO is opened once: its writer may have come and gone by the second time. */
        r = read_pipe(file, timeout_usec, ret, ret_size);
        if (r == -ENXIO) {
                fd = file_open_at(AT_FDCWD, file, FILE_FOLLOW);
                r = fd < 0 ? fd : fd_read_all(fd, TOKEN_MAX, ret, ret_size);
        }
        return r < 0 ? explain_reading(file, r, error) : 0;
}

int token_read(const char *file, const char *certificate, usec_t timeout_usec, char **ret,
               struct error *error) {
        const char *what = !file ? "the input" : streq(file, "-") ? "standard input" : file;
        _cleanup_(freep) char *data = NULL;
        size_t size;
        int r;

        r = file ? read_all(file, timeout_usec > 0 ? timeout_usec : TOKEN_PIPE_USEC, &data, &size, error)
                 : ask(certificate, &data, &size, error);
        if (r < 0)
                return r;
        r = take_text(data, size, ret, error);
        switch (r) {
        case -EINVAL:
                return error_prefix(error, "%s is not a one-time token", what);
        case -ENODATA:
                return error_set(error, r, "%s is empty and not a one-time token", what);
        case -ENOMEM:
                return error_set(error, r, "out of memory");
        default:
                return r;
        }
}
