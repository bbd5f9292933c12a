/*
 * What all commands share: the configuration that is read when it is needed, the client, and the three ways
 * to speak: an answer on standard output, a sentence on standard error, and JSON. Whatever is printed passes
 * through text_clean() here, so that no command has to think of it.
 */

#include "ctl/ctl.h"

#include <grp.h>
#include <stdarg.h>
#include <stdio.h>

#include "ctl/terminal/text.h"

const char *const ctl_exit_help[CTL_EXIT_MAX] = {
        [CTL_OK] = "done",
        [CTL_FAILED] = "it failed; standard error gives the reason",
        [CTL_USAGE] = "the command line is wrong",
        [CTL_UNREACHABLE] = "rekeyd cannot be reached",
        [CTL_DENIED] = "this user lacks the permission",
        [CTL_NO_CERTIFICATE] = "there is no such certificate",
        [CTL_NOT_NOW] =
                "not in this state: for example a renewal is under way, or the certificate is still usable",
        [CTL_OVER_BUDGET] = "the budget of signatures is used up for now",
        [CTL_TIMED_OUT] = "rekeyctl stopped waiting; the operation continues",
        [CTL_NOT_DELIVERED] = "the set is in use, but a dependent was not notified or an export not written",
};

void ctl_clear(struct ctl *ctl) {
        client_free(ctl->client);
        config_free(ctl->config);
        config_errors_clear(&ctl->config_errors);
        free(ctl->socket);
        *ctl = (struct ctl) { 0 };
}

/* --- Options --- */

static const struct ctl_value *value_of(const struct ctl *ctl, const char *name) {
        for (size_t i = 0; i < ctl->n_values; i++)
                if (streq(ctl->values[i].option->name, name))
                        return &ctl->values[i];
        assert(false && "the command has no such option");
        abort();
}

bool ctl_has(const struct ctl *ctl, const char *name) {
        return value_of(ctl, name)->is_given;
}

const char *ctl_text(const struct ctl *ctl, const char *name) {
        return value_of(ctl, name)->text;
}

uint64_t ctl_number(const struct ctl *ctl, const char *name) {
        return value_of(ctl, name)->number;
}

usec_t ctl_usec(const struct ctl *ctl, const char *name) {
        return value_of(ctl, name)->number;
}

/* --- Speaking --- */

_printf_(6, 0) static void print_clean(FILE *out, bool is_utf8, const char *before, const char *after,
                                       unsigned width, const char *format, va_list args) {
        _cleanup_(freep) char *text = NULL, *clean = NULL;

        if (vasprintf(&text, format, args) < 0)
                text = NULL;
        clean = text ? text_clean(text, is_utf8) : NULL;
        fputs(before, out);
        text_wrap(out, clean ? clean : "out of memory", width, 0, clean ? strspn(clean, " ") : 0);
        fputs(after, out);
        fputc('\n', out);
}

int ctl_fail(const struct ctl *ctl, int exit, const char *format, ...) {
        va_list args;

        va_start(args, format);
        print_clean(stderr, ctl->term.is_utf8, "rekeyctl: ", "", 0, format, args);
        va_end(args);
        return exit;
}

void ctl_warn(const struct ctl *ctl, const char *format, ...) {
        va_list args;

        va_start(args, format);
        print_clean(stderr, ctl->term.is_utf8, "rekeyctl: ", "", 0, format, args);
        va_end(args);
}

void ctl_print(const struct ctl *ctl, const char *format, ...) {
        va_list args;

        va_start(args, format);
        print_clean(stdout, ctl->term.is_utf8, "", "", ctl->term.width, format, args);
        va_end(args);
}

void ctl_print_as(const struct ctl *ctl, enum term_style style, const char *format, ...) {
        va_list args;

        va_start(args, format);
        print_clean(stdout, ctl->term.is_utf8, term_begin(&ctl->term, style), term_end(&ctl->term, style),
                    ctl->term.width, format, args);
        va_end(args);
}

int ctl_print_json(const struct ctl *ctl, const json_t *json) {
        const size_t layout = ctl->term.is_terminal ? JSON_INDENT(2) : JSON_COMPACT;

        /* In ASCII: no control character beyond 0x7f reaches a terminal. */
        if (json_dumpf(json, stdout, layout | JSON_ENSURE_ASCII | JSON_ENCODE_ANY) < 0 ||
            fputc('\n', stdout) == EOF)
                return ctl_fail(ctl, CTL_FAILED, "cannot write the answer");
        return CTL_OK;
}

/* --- The configuration --- */

const char *ctl_config_path(const struct ctl *ctl) {
        return ctl_text(ctl, "config");
}

int ctl_config(struct ctl *ctl, const struct config **ret) {
        if (!ctl->has_read_config) {
                ctl->has_read_config = true;
                ctl->config_result = config_load(ctl_config_path(ctl), &ctl->config, &ctl->config_errors);
        }
        if (ctl->config_result < 0)
                return ctl->config_result;
        *ret = ctl->config;
        return 0;
}

const char *ctl_socket(struct ctl *ctl) {
        const struct config *config;

        if (ctl_has(ctl, "socket"))
                return ctl_text(ctl, "socket");
        /* An invalid configuration does not prevent calls to a rekeyd that runs with the old one. */
        return ctl_config(ctl, &config) == 0 ? config->control.socket : CTL_SOCKET;
}

/* --- Asking --- */

struct client *ctl_client(struct ctl *ctl) {
        if (!ctl->client)
                (void)client_new(ctl_socket(ctl), &ctl->client);
        return ctl->client;
}

static int exit_for_status(unsigned status) {
        static const struct {
                unsigned status;
                int exit;
        } rows[] = {
                { 403, CTL_DENIED },      { 404, CTL_NO_CERTIFICATE }, { 409, CTL_NOT_NOW },
                { 429, CTL_OVER_BUDGET }, { 503, CTL_UNREACHABLE },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (rows[i].status == status)
                        return rows[i].exit;
        return CTL_FAILED;
}

static int exit_for_errno(int r) {
        switch (r) {
        case -ENOENT:
        case -ECONNREFUSED:
        case -ETIMEDOUT:
                return CTL_UNREACHABLE;
        case -EACCES:
        case -EPERM:
                return CTL_DENIED;
        default:
                return CTL_FAILED;
        }
}

/* rekeyd's answer names who may call; the fix is added here, as far as the configuration can be read. */
static int explain_denied(struct ctl *ctl, const struct error *error, char **ret) {
        const struct config *config;
        const struct group *group = NULL;

        if (ctl_config(ctl, &config) == 0 && config->control.group != (gid_t)-1)
                group = getgrgid(config->control.group);
        if (group)
                return asprintf(ret, "%s; to become a member: usermod -aG %s USER", error_text(error),
                                group->gr_name);
        return asprintf(ret, "%s", error_text(error));
}

int ctl_explain_call(struct ctl *ctl, int r, const struct client_reply *reply, const struct error *error,
                     char **ret_sentence) {
        char *text = NULL;
        int n, exit = r < 0 ? exit_for_errno(r) : exit_for_status(reply->status);

        if (r == -ENOENT && !ctl_socket(ctl))
                n = asprintf(&text, "cannot reach rekeyd: %s has no control.socket (usual: %s)",
                             ctl_config_path(ctl), CTL_SOCKET);
        else if (r == 0 && reply->status == 403)
                n = explain_denied(ctl, error, &text);
        else
                n = asprintf(&text, "%s", error_text(error));
        *ret_sentence = n < 0 ? NULL : text;
        return exit;
}

int ctl_fail_call(struct ctl *ctl, int r, const struct client_reply *reply, const struct error *error) {
        _cleanup_(freep) char *sentence = NULL;
        int exit = ctl_explain_call(ctl, r, reply, error, &sentence);

        return ctl_fail(ctl, exit, "%s", sentence ? sentence : "out of memory");
}

int ctl_ask(struct ctl *ctl, const char *method, const char *path, const json_t *body, json_t **ret) {
        _cleanup_(client_reply_clear) struct client_reply reply = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct client *client = ctl_client(ctl);
        int r;

        if (!client)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        r = client_call(client, method, path, body, &reply, &error);
        if (r < 0 || reply.status / 100 != 2)
                return ctl_fail_call(ctl, r, &reply, &error);
        if (ret)
                *ret = take_ptr(reply.json);
        return CTL_OK;
}
