/*
 * A one-time token is a secret until it is used. It comes from a file, a pipe or the keyboard, never from the
 * command line, which every user of the machine can read and the shell keeps. It is held in one buffer, and
 * in no sentence.
 */

#include "ctl/token.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>

#include "ctl/terminal/question.h"
#include "lib/protocol/token.h"
#include "lib/util/files.h"

/* What is left of the SIZE bytes at DATA without the blanks around it, owned; DATA is cleansed. rekeyd finds
 * the token in it once more, since only it knows which URL counts. 0; -ENODATA; -EINVAL with a sentence;
 * -ENOMEM. */
static int take_text(char *data, size_t size, char **ret, struct error *error) {
        const char *begin = data, *end = data + size;
        struct token_text text = { 0 };
        int r;

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
        explicit_bzero(data, size);
        return r;
}

static int explain_reading(const char *what, int r, struct error *error) {
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

static int read_all(const char *file, char **ret, size_t *ret_size, struct error *error) {
        _cleanup_(fd_closep) int fd = -1;
        int r;

        if (streq(file, "-")) {
                r = fd_read_all(STDIN_FILENO, TOKEN_MAX, ret, ret_size);
                return r < 0 ? explain_reading("standard input", r, error) : 0;
        }
        fd = file_open_at(AT_FDCWD, file, FILE_FOLLOW);
        r = fd < 0 ? fd : fd_read_all(fd, TOKEN_MAX, ret, ret_size);
        return r < 0 ? explain_reading(file, r, error) : 0;
}

int token_read(const char *file, const char *certificate, char **ret, struct error *error) {
        const char *what = !file ? "the input" : streq(file, "-") ? "standard input" : file;
        _cleanup_(freep) char *data = NULL;
        size_t size;
        int r;

        r = file ? read_all(file, &data, &size, error) : ask(certificate, &data, &size, error);
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
