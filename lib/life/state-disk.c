/*
 * A state on disk, one file for each certificate. A file that cannot be parsed is set aside, not deleted;
 * a reader changes nothing.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "lib/life/state.h"

#define NAME_LENGTH_MAX 64

#define FILE_NAME_MAX (NAME_LENGTH_MAX + sizeof(".json.damaged"))

static bool is_alnum(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Other names would leave the directory, or be taken for a temporary file. */
static int file_name(const char *name, const char *suffix, char ret[FILE_NAME_MAX], struct error *error) {
        size_t n = 0;

        while (is_alnum(name[n]) || (n > 0 && name[n] && strchr("._-", name[n])))
                n++;
        if (n == 0 || n > NAME_LENGTH_MAX || name[n])
                return error_set(error, -EINVAL,
                                 "no state file for this certificate: its name is not 1 to %d letters, "
                                 "digits, dots, dashes and underscores",
                                 NAME_LENGTH_MAX);
        snprintf(ret, FILE_NAME_MAX, "%s%s", name, suffix);
        return 0;
}

int state_set_aside(int dir_fd, const char *name, const char *cause, char **ret_warning) {
        char file[FILE_NAME_MAX], damaged[FILE_NAME_MAX];
        const char *obstacle = NULL;
        int r;

        r = file_name(name, ".json", file, NULL);
        if (r == 0)
                r = file_name(name, ".json.damaged", damaged, NULL);
        if (r < 0)
                return r;
        r = renameat(dir_fd, file, dir_fd, damaged);
        if (r < 0 && errno == ENOTDIR &&
            unlinkat(dir_fd, damaged, 0) == 0) /* no directory goes over a file */
                r = renameat(dir_fd, file, dir_fd, damaged);
        if (r < 0)
                obstacle = strerrordesc_np(errno);
        r = asprintf(ret_warning,
                     "past failures, issuances and pending notifications are lost: %s; it %s %s%s%s", cause,
                     obstacle ? "could not be renamed to" : "was renamed to", damaged, obstacle ? ": " : "",
                     obstacle ? obstacle : "");
        if (r >= 0)
                return 0;
        *ret_warning = NULL;
        return -ENOMEM;
}

static int read_error(int r, const char *file, struct error *error) {
        if (r == -ELOOP || r == -EISDIR || r == -EINVAL || r == -ENXIO)
                return error_set(error, r, "cannot read %s in the state directory: it is not a regular file",
                                 file);
        return error_set_errno(error, r, "cannot read %s in the state directory", file);
}

int state_load(int dir_fd, const char *name, const struct state_instant *now, struct state *ret,
               char **ret_warning, struct error *error) {
        _cleanup_(state_clear) struct state state = { 0 };
        _cleanup_(error_clear) struct error why = ERROR_INIT;
        _cleanup_(freep) char *json = NULL, *warning = NULL;
        struct state_instant saved;
        char file[FILE_NAME_MAX];
        size_t size;
        int r;

        r = file_name(name, ".json", file, error);
        if (r < 0)
                return r;

        r = file_read_at(dir_fd, file, FILE_NOFOLLOW, STATE_SIZE_MAX, &json, &size);
        if (r == -EFBIG)
                error_set(&why, r, "it is larger than %u bytes", STATE_SIZE_MAX);
        else if (r < 0 && r != -ENOENT)
                return read_error(r, file, error);
        else if (r == 0)
                r = state_parse(json, size, &state, &saved, &why);
        if (r == -ENOMEM)
                return r;

        if (r == 0)
                state_sanitise(&state, &saved, now);
        else if (r != -ENOENT) {
                error_prefix(&why, "%s in the state directory cannot be used", file);
                r = state_set_aside(dir_fd, name, error_text(&why), &warning);
                if (r < 0)
                        return r;
        }

        *ret = state;
        state = (struct state) { 0 };
        *ret_warning = take_ptr(warning);
        return 0;
}

int state_write(int dir_fd, const char *name, const char *json, struct error *error) {
        char file[FILE_NAME_MAX];
        int r;

        r = file_name(name, ".json", file, error);
        if (r < 0)
                return r;
        r = file_replace_at(dir_fd, file, json, strlen(json), FILE_ACCESS(0600));
        if (r < 0)
                return error_set_errno(error, r, "cannot write %s in the state directory", file);
        return 0;
}

int state_save(int dir_fd, const char *name, const struct state *state, const struct state_instant *now,
               struct error *error) {
        _cleanup_(freep) char *json = NULL;
        int r;

        r = state_format(state, now, &json, error);
        if (r < 0)
                return r;
        return state_write(dir_fd, name, json, error);
}

int state_read(int dir_fd, const char *name, const struct state_instant *now, struct state *ret,
               struct error *error) {
        _cleanup_(state_clear) struct state state = { 0 };
        _cleanup_(freep) char *json = NULL;
        struct state_instant saved;
        char file[FILE_NAME_MAX];
        size_t size;
        int r;

        r = file_name(name, ".json", file, error);
        if (r < 0)
                return r;
        r = file_read_at(dir_fd, file, FILE_NOFOLLOW, STATE_SIZE_MAX, &json, &size);
        if (r < 0 && r != -ENOENT)
                return read_error(r, file, error);
        if (r == 0) {
                r = state_parse(json, size, &state, &saved, error);
                if (r < 0) {
                        error_prefix(error, "%s in the state directory cannot be used", file);
                        return r;
                }
                state_sanitise(&state, &saved, now);
        }

        *ret = state;
        state = (struct state) { 0 };
        return 0;
}
