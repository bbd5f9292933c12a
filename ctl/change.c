/* Asking rekeyd to change something. Reading the files instead, as `status` does, is no way out here. */

#include "ctl/change.h"

bool change_wants_wait(const struct ctl *ctl, bool *ret_wait) {
        const bool no_wait = ctl_has(ctl, "no-wait");

        if (no_wait && (ctl_has(ctl, "wait") || ctl_has(ctl, "timeout"))) {
                ctl_warn(ctl, "%s: --no-wait and --%s contradict each other", ctl->command->name,
                         ctl_has(ctl, "wait") ? "wait" : "timeout");
                return false;
        }
        *ret_wait = !no_wait;
        return true;
}

/* Where there is no socket, or no process listens. */
static int explain_absence(struct ctl *ctl, int r, char **ret) {
        const char *what = r == -ENOENT ? "no socket" : "no process listens";
        const struct config *config;

        /* The socket may be elsewhere: the one of a file that cannot be read is not known. */
        if (!ctl_has(ctl, "socket") && ctl_config(ctl, &config) < 0)
                return asprintf(ret,
                                "cannot reach rekeyd: %s at %s, and %s, which may name another socket, "
                                "cannot be read; nothing was done; use --socket, or fix the configuration: "
                                "rekeyctl check-config %s",
                                what, ctl_socket(ctl), ctl_config_path(ctl), ctl_config_path(ctl));
        return asprintf(ret, "rekeyd is not running: %s at %s; nothing was done; fix: systemctl start rekeyd",
                        what, ctl_socket(ctl));
}

static int explain(struct ctl *ctl, int r, const struct client_reply *reply, const struct error *error,
                   char **ret_sentence) {
        if ((r != -ENOENT && r != -ECONNREFUSED) || !ctl_socket(ctl))
                return ctl_explain_call(ctl, r, reply, error, ret_sentence);
        if (explain_absence(ctl, r, ret_sentence) < 0)
                *ret_sentence = NULL;
        return CTL_UNREACHABLE;
}

int change_fail(struct ctl *ctl, int r, const struct client_reply *reply, const struct error *error) {
        _cleanup_(freep) char *sentence = NULL;
        const int exit = explain(ctl, r, reply, error, &sentence);

        return ctl_fail(ctl, exit, "%s", sentence ? sentence : "out of memory");
}

int change_ask_quietly(struct ctl *ctl, const char *method, const char *path, const json_t *body,
                       json_t **ret, char **ret_sentence) {
        _cleanup_(client_reply_clear) struct client_reply reply = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct client *client = ctl_client(ctl);
        int r;

        if (!client) {
                *ret_sentence = NULL;
                return CTL_FAILED;
        }
        r = client_call(client, method, path, body, &reply, &error);
        if (r < 0 || reply.status / 100 != 2)
                return explain(ctl, r, &reply, &error, ret_sentence);
        if (ret)
                *ret = take_ptr(reply.json);
        return CTL_OK;
}

int change_ask(struct ctl *ctl, const char *method, const char *path, const json_t *body, json_t **ret) {
        _cleanup_(freep) char *sentence = NULL;
        const int exit = change_ask_quietly(ctl, method, path, body, ret, &sentence);

        if (exit == CTL_OK)
                return exit;
        return ctl_fail(ctl, exit, "%s", sentence ? sentence : "out of memory");
}

int change_read(struct ctl *ctl, const char *name, json_t **ret) {
        _cleanup_(freep) char *path = NULL;

        if (asprintf(&path, "/v1/certificates/%s", name) < 0) {
                path = NULL;
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        }
        return change_ask(ctl, "GET", path, NULL, ret);
}

int change_open_events(struct ctl *ctl, const char *certificate, struct client_stream **ret) {
        _cleanup_(client_reply_clear) struct client_reply reply = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *path = NULL;
        struct client *client = ctl_client(ctl);
        int r;

        if (asprintf(&path, "/v1/events%s%s", certificate ? "?certificate=" : "",
                     certificate ? certificate : "") < 0)
                path = NULL;
        if (!client || !path)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        r = client_stream_open(client, path, ret, &reply, &error);
        if (r < 0 || reply.status != 200)
                return change_fail(ctl, r, &reply, &error);
        return CTL_OK;
}
