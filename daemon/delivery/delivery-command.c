/*
 * A dependent's command. Its output is logged line by line while it runs; what it leaves in the background
 * may go on to write, which nobody reads. daemon/loop/children.c starts and stops processes.
 */

#include "daemon/delivery/delivery.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "daemon/loop/children.h"
#include "daemon/observe/messages.h"

#define LINE_MAX_SIZE 1024
#define LINES_MAX     200 /* a command that floods is cut off in the log, not in its work */

struct command {
        struct delivery delivery;
        const struct config_notify *config;
        char *certificate;
        delivery_done_t done;
        void *userdata;

        struct child *child;
        sd_event_source *timeout;
        bool timed_out;
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

static void on_output(const char *data, size_t size, void *userdata) {
        struct command *command = userdata;

        for (size_t i = 0; i < size; i++) {
                if (data[i] == '\n' || command->line_size == sizeof(command->line))
                        log_output(command);
                if (data[i] != '\n')
                        command->line[command->line_size++] = data[i];
        }
}

/* --- The end --- */

static void on_ended(int status, void *userdata) {
        struct command *command = userdata;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        const char *name = command->config->command[0], *signal;
        char span[TIMESPAN_MAX];

        log_output(command);
        if (command->timed_out)
                error_set(&error, -ETIMEDOUT, "command %s timed out after %s and was killed", name,
                          format_timespan(span, command->config->timeout_usec));
        else if (WIFSIGNALED(status)) {
                signal = sigabbrev_np(WTERMSIG(status));
                error_set(&error, -EINTR, "command %s was killed by signal %s", name,
                          signal ? signal : "unknown");
        } else if (WEXITSTATUS(status) == 127)
                error_set(&error, -ENOENT, "command %s could not be run, or ended with status 127", name);
        else if (WEXITSTATUS(status) != 0)
                error_set(&error, -EIO, "command %s ended with status %d", name, WEXITSTATUS(status));

        command->timeout = sd_event_source_disable_unref(command->timeout);
        command->done(error.code == 0 ? NULL : error_text(&error), command->userdata);
}

static int on_timeout(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct command *command = userdata;

        command->timed_out = true;
        child_stop(command->child);
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

static struct delivery *command_free(struct delivery *delivery) {
        struct command *command = (struct command *)delivery;

        child_release(command->child);
        sd_event_source_disable_unref(command->timeout);
        free(command->certificate);
        free(command);
        return NULL;
}

static int start(struct loop_services *services, struct command *command, const struct notice *notice) {
        const struct config_notify *config = command->config;
        _cleanup_(environment_freep) char **environment = NULL;
        struct child_options options = {
                .command = config->command,
                .output = on_output,
                .ended = on_ended,
                .userdata = command,
        };
        int r;

        command->certificate = strdup(notice->certificate);
        options.environment = environment = make_environment(notice);
        if (!command->certificate || !environment)
                return -ENOMEM;
        r = sd_event_add_time_relative(services->event, &command->timeout, CLOCK_BOOTTIME,
                                       config->timeout_usec, USEC_PER_MSEC, on_timeout, command);
        if (r < 0)
                return r;
        return child_start(services->children, &options, &command->child);
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
        command->config = config;
        command->done = done;
        command->userdata = userdata;

        r = start(services, command, notice);
        if (r < 0)
                return error_set_errno(error, r, "cannot run command %s", config->command[0]);
        *ret = take_ptr(delivery);
        return 0;
}
