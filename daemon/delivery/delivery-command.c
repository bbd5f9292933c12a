/*
 * A dependent's command. It is run by posix_spawn(), which does not copy the daemon's memory, with an
 * argument list that no shell ever sees, and no descriptor but its three standard ones. Its end is awaited
 * through a pidfd.
 */

#include "daemon/delivery/delivery.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

#include "daemon/observe/messages.h"

#define KILL_GRACE_USEC (5 * USEC_PER_SEC)
#define LINE_MAX_SIZE   1024
#define LINES_MAX       200 /* a command that floods is cut off in the log, not in its work */

struct command {
        struct delivery delivery;
        const struct config_notify *config;
        char *certificate;
        delivery_done_t done;
        void *userdata;

        pid_t pid;
        bool timed_out;
        int output_fd;
        sd_event_source *child, *timeout, *output;
        char line[LINE_MAX_SIZE];
        size_t line_size;
        unsigned n_lines;
};

/* --- Output --- */

static void log_output(struct command *command) {
        const struct log_field fields[] = { { FIELD_CERTIFICATE, command->certificate } };

        if (command->line_size == 0)
                return;
        if (command->n_lines++ < LINES_MAX)
                log_fields(LOG_INFO, NULL, fields, ELEMENTSOF(fields), "%s: %s: %.*s", command->certificate,
                           command->config->command[0], (int)command->line_size, command->line);
        else if (command->n_lines == LINES_MAX + 1)
                log_fields(LOG_WARNING, NULL, fields, ELEMENTSOF(fields), "%s: %s: more output is not logged",
                           command->certificate, command->config->command[0]);
        command->line_size = 0;
}

/* One read. Returns what read() did. */
static ssize_t read_output(struct command *command) {
        char buffer[4096];
        ssize_t n = read(command->output_fd, buffer, sizeof(buffer));

        for (ssize_t i = 0; i < n; i++) {
                if (buffer[i] == '\n' || command->line_size == sizeof(command->line))
                        log_output(command);
                if (buffer[i] != '\n')
                        command->line[command->line_size++] = buffer[i];
        }
        return n;
}

static int on_output(sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents, void *userdata) {
        struct command *command = userdata;

        if (read_output(command) == 0)
                sd_event_source_set_enabled(source, SD_EVENT_OFF);
        return 0;
}

/* What was written before the end is in the pipe, which holds 64 KiB; what children that live on write is not
 * ours. */
static void drain_output(struct command *command) {
        for (unsigned i = 0; i < 16 && read_output(command) > 0; i++)
                ;
        log_output(command);
}

/* --- The end --- */

static int on_exit_status(_unused_ sd_event_source *source, const siginfo_t *info, void *userdata) {
        struct command *command = userdata;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        const char *name = command->config->command[0];
        char span[TIMESPAN_MAX];

        /* What has outlived SIGTERM and the leader of the group, who is reaped after this. */
        if (command->timed_out)
                (void)kill(-command->pid, SIGKILL);
        command->pid = 0;
        drain_output(command);

        if (command->timed_out)
                error_set(&error, -ETIMEDOUT, "command %s timed out after %s and was killed", name,
                          format_timespan(span, command->config->timeout_usec));
        else if (info->si_code != CLD_EXITED)
                error_set(&error, -EINTR, "command %s was killed by signal %s", name,
                          sigabbrev_np(info->si_status) ? sigabbrev_np(info->si_status) : "unknown");
        else if (info->si_status == 127)
                error_set(&error, -ENOENT, "command %s could not be run, or ended with status 127", name);
        else if (info->si_status != 0)
                error_set(&error, -EIO, "command %s ended with status %d", name, info->si_status);

        sd_event_source_disable_unref(take_ptr(command->timeout));
        sd_event_source_disable_unref(take_ptr(command->output));
        command->done(error.code == 0 ? NULL : error_text(&error), command->userdata);
        return 0;
}

static int on_timeout(sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct command *command = userdata;

        /* The leader is not reaped yet, so the number of its group is still its own. */
        (void)kill(-command->pid, command->timed_out ? SIGKILL : SIGTERM);
        if (!command->timed_out) {
                command->timed_out = true;
                (void)sd_event_source_set_time_relative(source, KILL_GRACE_USEC);
                (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        return 0;
}

/* --- Starting --- */

static bool is_managers(const char *variable) {
        static const char *const names[] = {
                "NOTIFY_SOCKET=", "WATCHDOG_PID=",   "WATCHDOG_USEC=",         "LISTEN_PID=",
                "LISTEN_FDS=",    "LISTEN_FDNAMES=", "CREDENTIALS_DIRECTORY=", "JOURNAL_STREAM=",
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (has_prefix(variable, names[i]))
                        return true;
        return false;
}

static char **environment_free(char **environment) {
        if (environment)
                for (char **variable = environment; *variable; variable++)
                        free(*variable);
        free(environment);
        return NULL;
}
DEFINE_CLEANUP(char **, environment_free);

static char **make_environment(const struct notice *notice) {
        _cleanup_(environment_freep) char **environment = NULL;
        char generation[24];
        const struct {
                const char *name, *value;
        } ours[] = {
                { "REKEYD_CERTIFICATE", notice->certificate },
                { "REKEYD_DIRECTORY", notice->directory },
                { "REKEYD_GENERATION", generation },
                { "REKEYD_FINGERPRINT", notice->fingerprint },
        };
        size_t n = 0;

        snprintf(generation, sizeof(generation), "%" PRIu64, notice->generation);
        while (environ[n])
                n++;
        environment = calloc(n + ELEMENTSOF(ours) + 1, sizeof(*environment));
        if (!environment)
                return NULL;

        n = 0;
        for (char **variable = environ; *variable; variable++) {
                if (is_managers(*variable) || has_prefix(*variable, "REKEYD_"))
                        continue;
                environment[n] = strdup(*variable);
                if (!environment[n++])
                        return NULL;
        }
        for (size_t i = 0; i < ELEMENTSOF(ours); i++)
                if (asprintf(&environment[n++], "%s=%s", ours[i].name, ours[i].value) < 0) {
                        environment[n - 1] = NULL;
                        return NULL;
                }
        return take_ptr(environment);
}

static int spawn(const struct config_notify *config, char **environment, int output_fd, pid_t *ret_pid) {
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t none, all;
        int r;

        sigemptyset(&none);
        sigfillset(&all);
        posix_spawn_file_actions_init(&actions);
        posix_spawnattr_init(&attributes);

        r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, output_fd, STDOUT_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, output_fd, STDERR_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
        if (r == 0)
                r = posix_spawn_file_actions_addchdir_np(&actions, "/");
        if (r == 0)
                r = posix_spawnattr_setsigmask(&attributes, &none);
        if (r == 0)
                r = posix_spawnattr_setsigdefault(&attributes, &all);
        if (r == 0)
                r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                                  POSIX_SPAWN_SETSIGDEF);
        if (r == 0)
                r = posix_spawn(ret_pid, config->command[0], &actions, &attributes, config->command,
                                environment);

        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attributes);
        return -r;
}

static struct delivery *command_free(struct delivery *delivery) {
        struct command *command = (struct command *)delivery;

        sd_event_source_disable_unref(command->child);
        sd_event_source_disable_unref(command->timeout);
        sd_event_source_disable_unref(command->output);
        if (command->pid > 0) {
                (void)kill(-command->pid, SIGKILL);
                while (waitpid(command->pid, NULL, 0) < 0 && errno == EINTR)
                        ;
        }
        fd_close(command->output_fd);
        free(command->certificate);
        free(command);
        return NULL;
}

static int start(sd_event *event, struct command *command, const struct notice *notice) {
        const struct config_notify *config = command->config;
        _cleanup_(environment_freep) char **environment = NULL;
        _cleanup_(fd_closep) int write_fd = -1;
        int fds[2], r;

        command->certificate = strdup(notice->certificate);
        environment = make_environment(notice);
        if (!command->certificate || !environment)
                return -ENOMEM;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        command->output_fd = fds[0];
        write_fd = fds[1];
        if (fcntl(command->output_fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;

        r = spawn(config, environment, write_fd, &command->pid);
        if (r < 0)
                return r;
        r = sd_event_add_child(event, &command->child, command->pid, WEXITED, on_exit_status, command);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &command->output, command->output_fd, EPOLLIN, on_output, command);
        if (r < 0)
                return r;
        return sd_event_add_time_relative(event, &command->timeout, CLOCK_BOOTTIME, config->timeout_usec,
                                          USEC_PER_MSEC, on_timeout, command);
}

int delivery_run_command(struct loop_services *services, const struct config_notify *config,
                         const struct notice *notice, delivery_done_t done, void *userdata,
                         struct delivery **ret, struct error *error) {
        _cleanup_(delivery_freep) struct delivery *delivery = NULL;
        struct command *command;
        int r;

        command = calloc(1, sizeof(*command));
        if (!command)
                return error_set(error, -ENOMEM, "out of memory");
        delivery = &command->delivery;
        delivery->free = command_free;
        command->output_fd = -1;
        command->config = config;
        command->done = done;
        command->userdata = userdata;

        r = start(services->event, command, notice);
        if (r < 0)
                return error_set_errno(error, r, "cannot run command %s", config->command[0]);
        *ret = take_ptr(delivery);
        return 0;
}
