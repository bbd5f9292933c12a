/*
 * Notifications: the options of an entry, the kinds that there are, one row each, and what an entry is called
 * in states on disk and by people. To add a kind: its enumerator and options in config.h, their rows and its
 * own here; daemon/delivery/ has a file for each.
 */

#include <signal.h>
#include <stdio.h>

#include "lib/config/config-internal.h"
#include "lib/util/hash.h"

/* --- Kinds --- */

static int command_text(const struct config_notify *notify, char **ret) {
        return asprintf(ret, "command %s", notify->command[0]);
}

static void fill_signal(struct config_notify *notify) {
        notify->timeout_usec = 0;
}

static int signal_text(const struct config_notify *notify, char **ret) {
        return asprintf(ret, "signal %s %s", sigabbrev_np(notify->signal), notify->pid_file);
}

static void fill_unit(struct config_notify *notify) {
        if (notify->action == UNIT_ACTION_NONE)
                notify->action = UNIT_RELOAD_OR_RESTART;
}

static int unit_text(const struct config_notify *notify, char **ret) {
        return asprintf(ret, "unit %s", notify->unit);
}

static void fill_http(struct config_notify *notify) {
        if (notify->method == HTTP_METHOD_NONE)
                notify->method = HTTP_POST;
}

static int http_text(const struct config_notify *notify, char **ret) {
        return asprintf(ret, "http %s", notify->http);
}

static const struct kind {
        const char *key; /* the option that makes an entry one of this kind; states on disk have it */
        int (*text)(const struct config_notify *notify, char **ret); /* as asprintf() */
        void (*fill)(struct config_notify *notify);                  /* what is absent; NULL: nothing */
        const char *companion, *wants; /* an option of this kind only; what it needs, for the error texts */
} kinds[] = {
        [NOTIFY_COMMAND] = { "command", command_text, NULL, NULL, NULL },
        [NOTIFY_SIGNAL] = { "signal", signal_text, fill_signal, "pid_file",
                            "'signal', such as HUP, to send to the process" },
        [NOTIFY_UNIT] = { "unit", unit_text, fill_unit, "action", "'unit', the unit to reload or restart" },
        [NOTIFY_HTTP] = { "http", http_text, fill_http, "method", "'http', the URL to call" },
};
static_assert(ELEMENTSOF(kinds) == NOTIFY_MAX, "every kind has its row");

/* --- Options --- */

static void check_notify(struct yaml_run *run, void *object, const struct yaml_node *node,
                         struct yaml_place place) {
        const struct yaml_node *timeout = yaml_find(node, "timeout"), *first = NULL, *found;
        struct config_notify *notify = object;
        const char *first_key = NULL;

        if (notify->command && notify->command[0] && notify->command[0][0] != '/')
                yaml_complain(
                        run, yaml_resolve(yaml_find(node, "command"))->first->place,
                        "'command' must name its program by an absolute path, one that begins with '/'");
        for (size_t i = 0; i < NOTIFY_MAX; i++) {
                found = yaml_find(node, kinds[i].key);
                if (found && first) {
                        yaml_complain(run, found->place,
                                      "'%s' and '%s' are in one entry, but an entry is one notification; "
                                      "make it two entries",
                                      kinds[i].key, first_key);
                        return;
                }
                if (found) {
                        first = found;
                        first_key = kinds[i].key;
                        notify->kind = (enum config_notify_kind)i;
                        if (kinds[i].fill)
                                kinds[i].fill(notify);
                }
        }
        for (size_t i = 0; i < NOTIFY_MAX; i++) {
                found = kinds[i].companion ? yaml_find(node, kinds[i].companion) : NULL;
                if (found && !yaml_find(node, kinds[i].key)) {
                        yaml_complain(run, found->place, "'%s' needs %s", kinds[i].companion, kinds[i].wants);
                        return;
                }
        }
        if (!first)
                yaml_complain(run, place,
                              "the notification has no action: set 'unit', 'command', 'http', or 'signal' "
                              "and 'pid_file'");
        else if (notify->kind == NOTIFY_SIGNAL && !yaml_find(node, "pid_file"))
                yaml_complain(run, first->place, "'signal' needs 'pid_file', which names the process");
        else if (notify->kind == NOTIFY_SIGNAL && timeout)
                yaml_complain(
                        run, timeout->place,
                        "'timeout' has no effect on 'signal', which has no result to wait for; remove it");
}

/* Signals that a process can handle; it cannot handle KILL and STOP. */
static const char *const signal_names[] = {
        [SIGHUP] = "HUP",   [SIGINT] = "INT",   [SIGQUIT] = "QUIT", [SIGUSR1] = "USR1",
        [SIGUSR2] = "USR2", [SIGTERM] = "TERM", [SIGCONT] = "CONT", [SIGWINCH] = "WINCH",
};

static const char *const unit_action_names[UNIT_ACTION_MAX] = {
        [UNIT_RELOAD_OR_RESTART] = "reload-or-restart",
        [UNIT_RELOAD] = "reload",
        [UNIT_RESTART] = "restart",
};

static const char *const http_method_names[HTTP_METHOD_MAX] = {
        [HTTP_POST] = "POST",
        [HTTP_PUT] = "PUT",
        [HTTP_GET] = "GET",
};

static const struct yaml_option notify_options[] = {
        { .key = "unit",
          .type = &config_unit,
          FIELD(config_notify, unit),
          .help = "the systemd unit to reload, or to restart if it cannot reload" },
        { .key = "action",
          .type = &yaml_word,
          FIELD(config_notify, action),
          WORDS(unit_action_names),
          .help = "the action on 'unit'; reload-or-restart when absent" },
        { .key = "http",
          .type = &config_http_url,
          FIELD(config_notify, http),
          .help = "the URL to call; any 2xx counts as success" },
        { .key = "method",
          .type = &yaml_word,
          FIELD(config_notify, method),
          WORDS(http_method_names),
          .help = "the method for 'http'; POST when absent" },
        { .key = "command",
          .type = &yaml_argv,
          FIELD(config_notify, command),
          .help = "the program, by its absolute path, and its arguments; no shell" },
        { .key = "signal",
          .type = &yaml_word,
          FIELD(config_notify, signal),
          WORDS(signal_names),
          .help = "the signal for the process that 'pid_file' names" },
        { .key = "pid_file",
          .type = &yaml_path,
          FIELD(config_notify, pid_file),
          .help = "the file with the process id" },
        { .key = "timeout",
          .type = &yaml_duration,
          FIELD(config_notify, timeout_usec),
          .min = USEC_PER_SEC,
          .max = USEC_PER_HOUR,
          .default_text = "30s",
          .help = "how long the delivery may take" },
};

const struct yaml_table config_notify_table = {
        .name = "notification",
        OPTIONS(notify_options),
        .size = sizeof(struct config_notify),
        .check = check_notify,
};

/* --- Names --- */

/* TEXT may be NULL. No text has the byte 0xff: it marks where one ends and the next begins. */
static uint64_t hash_part(uint64_t hash, const char *text) {
        return hash_byte(text ? hash_text(hash, text) : hash, 0xff);
}

/* Over what the entry says. A hash, because arguments of commands stay out of the file. What a later kind
 * says is hashed where it is given: the keys of the others stay. */
static uint64_t hash_notify(const struct config_notify *notify) {
        uint64_t hash = HASH_INIT;

        for (char **argument = notify->command; argument && *argument; argument++)
                hash = hash_part(hash, *argument);
        hash = hash_part(hash, sigabbrev_np(notify->signal));
        hash = hash_part(hash, notify->pid_file);
        hash = hash_part(hash, notify->unit);
        return hash_part(hash, notify->http);
}

const char *config_notify_key(const struct config_certificate *certificate, size_t i,
                              char buffer[CONFIG_NOTIFY_KEY]) {
        const struct config_notify *notify = &certificate->notify[i];
        uint64_t hash = hash_notify(notify);
        unsigned nth = 1;

        for (size_t j = 0; j < i; j++)
                if (certificate->notify[j].kind == notify->kind &&
                    hash_notify(&certificate->notify[j]) == hash)
                        nth++;
        snprintf(buffer, CONFIG_NOTIFY_KEY, "%s-%016" PRIx64 "-%u", kinds[notify->kind].key, hash, nth);
        return buffer;
}

char *config_notify_text(const struct config_notify *notify) {
        char *text;

        return kinds[notify->kind].text(notify, &text) < 0 ? NULL : text;
}
