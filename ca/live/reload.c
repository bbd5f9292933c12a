#include "ca/live/reload.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#define UNIT      "unit:"
#define COMMAND   "command:"
#define WORDS_MAX 64
#define SYSTEMCTL "systemctl"

extern char **environ;

/* The words of TEXT, which is cut into pieces, ends with NULL. 0 or -E2BIG. */
static int split(char *text, char *ret[WORDS_MAX + 1]) {
        char *rest = NULL;
        size_t n = 0;

        for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
                if (n == WORDS_MAX)
                        return -E2BIG;
                ret[n++] = word;
        }
        ret[n] = NULL;
        return n > 0 ? 0 : -EINVAL;
}

int reload_check(const char *spec, struct error *error) {
        if ((has_prefix(spec, UNIT) && spec[strlen(UNIT)] && !strpbrk(spec, " \n")) ||
            (has_prefix(spec, COMMAND) && spec[strlen(COMMAND)] == '/'))
                return 0;
        return error_set(
                error, -EINVAL,
                "'%s' must be unit:NAME, deployment:NAMESPACE/NAME, or command: with an absolute path and "
                "arguments",
                spec);
}

static int start(char *const argv[], pid_t *ret) {
        posix_spawn_file_actions_t actions;
        int r;

        posix_spawn_file_actions_init(&actions);
        r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
        if (r == 0)
                r = posix_spawnp(ret, argv[0], &actions, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        return -r;
}

static int await(pid_t pid, const char *spec, struct error *error) {
        int status;

        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return error_set_errno(error, -errno, "cannot await %s", spec);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return 0;
        return error_set(error, -EIO, "%s ended with %s %d", spec, WIFEXITED(status) ? "status" : "signal",
                         WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

int reload_run(const char *spec, struct error *error) {
        const bool is_unit = has_prefix(spec, UNIT);
        _cleanup_(freep) char *copy = strdup(spec + strlen(is_unit ? UNIT : COMMAND));
        char *argv[WORDS_MAX + 1] = { (char *)SYSTEMCTL, (char *)"reload-or-restart", copy, NULL };
        pid_t pid;
        int r = 0;

        if (!copy)
                return error_set_errno(error, -ENOMEM, "cannot run %s", spec);
        if (!is_unit)
                r = split(copy, argv);
        if (r == 0)
                r = start(argv, &pid);
        return r < 0 ? error_set_errno(error, r, "cannot run %s", spec) : await(pid, spec, error);
}
