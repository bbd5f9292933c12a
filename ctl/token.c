/*
 * A one-time token is a secret until it is used. It comes from a file, a pipe or the keyboard, never from the
 * command line, which everybody on the machine can read and the shell keeps. It is held in one buffer, and in
 * no sentence.
 */

#include "ctl/token.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>

#include "ctl/question.h"
#include "lib/util/files.h"

/* Takes the blanks around it away. False where it is not one word. */
static bool trim(char *text) {
        char *begin = text, *end = text + strlen(text);

        while (isspace((unsigned char)*begin))
                begin++;
        while (end > begin && isspace((unsigned char)end[-1]))
                *--end = '\0';
        memmove(text, begin, (size_t)(end - begin) + 1);
        for (const char *p = text; *p; p++)
                if (!isgraph((unsigned char)*p))
                        return false;
        return true;
}

static int explain_reading(const char *what, int r, struct error *error) {
        if (r == -EFBIG)
                return error_set(error, r, "%s is too long for a one-time token: more than %u bytes", what,
                                 TOKEN_MAX);
        return error_set_errno(error, r, "cannot read the one-time token from %s", what);
}

static int ask(const char *certificate, char **ret, struct error *error) {
        char prompt[128];
        int r;

        if (!question_is_possible())
                return error_set(error, -ENOTTY,
                                 "there is no terminal to ask for the one-time token: name its file with "
                                 "--token-file, or write it to standard input and say --token-file -");
        snprintf(prompt, sizeof(prompt), "One-time token for %s (is not shown): ", certificate);
        r = question_secret(prompt, ret);
        if (r == -ENODATA || r == -EINTR)
                return error_set(error, r, "no one-time token was given");
        return r < 0 ? error_set_errno(error, r, "cannot read the one-time token from the terminal") : 0;
}

static int read_all(const char *file, char **ret, struct error *error) {
        _cleanup_(fd_closep) int fd = -1;
        size_t size;
        int r;

        if (streq(file, "-")) {
                r = fd_read_all(STDIN_FILENO, TOKEN_MAX, ret, &size);
                return r < 0 ? explain_reading("standard input", r, error) : 0;
        }
        fd = file_open_at(AT_FDCWD, file, FILE_FOLLOW);
        r = fd < 0 ? fd : fd_read_all(fd, TOKEN_MAX, ret, &size);
        return r < 0 ? explain_reading(file, r, error) : 0;
}

int token_read(const char *file, const char *certificate, char **ret, struct error *error) {
        const char *what = !file ? "what was typed" : streq(file, "-") ? "standard input" : file;
        char *token = NULL;
        int r;

        r = file ? read_all(file, &token, error) : ask(certificate, &token, error);
        if (r < 0)
                return r;
        if (!trim(token))
                r = error_set(
                        error, -EINVAL,
                        "%s is no one-time token: a token is one line of printable ASCII without blanks",
                        what);
        else if (!*token)
                r = error_set(error, -EINVAL, "%s is empty, and no one-time token", what);
        if (r < 0) {
                free_secret(token);
                return r;
        }
        *ret = token;
        return 0;
}
