/*
 * rekeyd is asked first, always: it knows what is under way, and the files do not. Only if no process listens
 * are they read, in this process and with the rights of this user. If rekeyd refuses a user, the files are
 * not read instead.
 */

#include "ctl/source.h"

#include <stdarg.h>
#include <stdio.h>

#include "ctl/offline.h"
#include "lib/util/parse.h"

struct source {
        struct ctl *ctl;
        bool is_offline, is_quiet, has_said;
        struct offline *offline;
        char *error;
};

struct source *source_new(struct ctl *ctl) {
        struct source *source = calloc(1, sizeof(*source));

        if (source)
                source->ctl = ctl;
        else
                ctl_warn(ctl, "out of memory");
        return source;
}

struct source *source_free(struct source *source) {
        if (!source)
                return NULL;
        offline_free(source->offline);
        free(source->error);
        free(source);
        return NULL;
}

void source_refresh(struct source *source) {
        source->offline = offline_free(source->offline);
        source->is_offline = false;
}

bool source_is_offline(const struct source *source) {
        return source->is_offline;
}

void source_be_quiet(struct source *source) {
        source->is_quiet = true;
}

const char *source_error(const struct source *source) {
        return source->error ? source->error : "";
}

static int fail(struct source *source, int exit, const char *format, ...) _printf_(3, 4);
static int fail(struct source *source, int exit, const char *format, ...) {
        va_list args;

        free(source->error);
        va_start(args, format);
        if (vasprintf(&source->error, format, args) < 0)
                source->error = NULL;
        va_end(args);
        if (!source->is_quiet)
                ctl_warn(source->ctl, "%s", source_error(source));
        return exit;
}

/* --- The files --- */

static int fail_config(struct source *source) {
        const struct config_errors *errors = &source->ctl->config_errors;
        const char *path = ctl_config_path(source->ctl);

        if (errors->n == 0)
                return fail(source, CTL_FAILED, "out of memory");
        if (errors->n == 1)
                return fail(source,
                            access(path, F_OK) == 0 && access(path, R_OK) < 0 ? CTL_DENIED : CTL_FAILED,
                            "rekeyd is not running, and its files cannot be located without the "
                            "configuration: %s",
                            errors->items[0]);
        return fail(source, CTL_FAILED,
                    "rekeyd is not running, and its files cannot be located without the configuration, which "
                    "has %zu errors; see: rekeyctl check-config %s",
                    errors->n, path);
}

/* REASON is that of the client. */
static int go_offline(struct source *source, const struct error *reason) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        const struct config *config;

        source->is_offline = true;
        if (source->offline)
                return CTL_OK;
        if (ctl_config(source->ctl, &config) < 0)
                return fail_config(source);
        if (offline_new(config, &source->offline, &error) < 0)
                return fail(source, CTL_FAILED, "%s", error_text(&error));
        if (source->is_quiet || source->has_said)
                return CTL_OK;
        source->has_said = true;
        if (!ctl_socket(source->ctl))
                ctl_warn(source->ctl, "the configuration has no control.socket, so rekeyd cannot be asked; "
                                      "showing what is on disk");
        else if (reason->code == -ENOENT || reason->code == -ECONNREFUSED)
                ctl_warn(source->ctl, "rekeyd is not running; showing what is on disk");
        return CTL_OK;
}

static void say_warning(struct source *source) {
        const char *warning = offline_warning(source->offline);

        if (warning && !source->is_quiet)
                ctl_warn(source->ctl, "%s", warning);
}

static int fail_unknown(struct source *source, const char *name) {
        const struct config *config;
        const char **names;
        const char *nearest = NULL;
        int exit;

        if (ctl_config(source->ctl, &config) < 0)
                return fail(source, CTL_NO_CERTIFICATE, "there is no certificate '%s'", name);
        names = calloc(config->n_certificates + 1, sizeof(*names));
        for (size_t i = 0; names && i < config->n_certificates; i++)
                names[i] = config->certificates[i].name;
        nearest = names ? nearest_word(name, names) : NULL;
        if (nearest && streq(nearest, name))
                exit = fail(source, CTL_NO_CERTIFICATE,
                            "rekeyd has not loaded certificate '%s' of %s yet; fix: rekeyctl reload", name,
                            ctl_config_path(source->ctl));
        else
                exit = fail(source, CTL_NO_CERTIFICATE, "there is no certificate '%s'%s%s%s", name,
                            nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
        free(names);
        return exit;
}

static int list_offline(struct source *source, const char *const *names, size_t n, json_t **ret) {
        const struct config *config;
        _cleanup_(json_decrefp) json_t *list = json_array();
        int r;

        r = ctl_config(source->ctl, &config);
        assert(r == 0); /* go_offline() has it */
        for (size_t i = 0; i < (n > 0 ? n : config->n_certificates); i++) {
                const struct config_certificate *certificate =
                        n > 0 ? offline_find(source->offline, names[i]) : &config->certificates[i];
                json_t *status = NULL;

                if (!certificate)
                        return fail_unknown(source, names[i]);
                if (offline_read(source->offline, certificate, false, &status) < 0 ||
                    json_array_append_new(list, status) < 0)
                        return fail(source, CTL_FAILED, "out of memory");
        }
        say_warning(source);
        *ret = take_ptr(list);
        return CTL_OK;
}

/* --- rekeyd --- */

/* CTL_OK with the answer in *RET, or with NULL there: the files are to be read. */
static int ask(struct source *source, const char *name, const char *path, json_t **ret) {
        _cleanup_(client_reply_clear) struct client_reply reply = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct client *client = ctl_client(source->ctl);
        int r;

        *ret = NULL;
        if (!client)
                return fail(source, CTL_FAILED, "out of memory");
        r = client_call(client, "GET", path, NULL, &reply, &error);
        if (r == -ENOENT || r == -ECONNREFUSED)
                return go_offline(source, &error);
        source->is_offline = false;
        if (r == 0 && reply.status == 404 && name)
                return fail_unknown(source, name);
        if (r < 0 || reply.status != 200) {
                _cleanup_(freep) char *sentence = NULL;
                int exit = ctl_explain_call(source->ctl, r, &reply, &error, &sentence);

                return fail(source, exit, "%s", sentence ? sentence : "out of memory");
        }
        *ret = take_ptr(reply.json);
        return CTL_OK;
}

static int ask_certificate(struct source *source, const char *name, const char *what, json_t **ret) {
        _cleanup_(freep) char *path = NULL;

        if (asprintf(&path, "/v1/certificates/%s%s", name, what) < 0) {
                path = NULL;
                return fail(source, CTL_FAILED, "out of memory");
        }
        return ask(source, name, path, ret);
}

static int pick(struct source *source, json_t *all, const char *name, json_t **ret) {
        json_t *status;
        size_t i;

        json_array_foreach(all, i,
                           status) if (streq_null(json_string_value(json_object_get(status, "name")), name)) {
                *ret = json_incref(status);
                return CTL_OK;
        }
        return fail_unknown(source, name);
}

int source_list(struct source *source, const char *const *names, size_t n, json_t **ret) {
        _cleanup_(json_decrefp) json_t *answer = NULL, *list = json_array();
        json_t *all;
        int exit;

        exit = n == 1 ? ask_certificate(source, names[0], "", &answer)
                      : ask(source, NULL, "/v1/certificates", &answer);
        if (exit != CTL_OK)
                return exit;
        if (!answer)
                return list_offline(source, names, n, ret);
        if (n == 1) {
                if (json_array_append(list, answer) < 0)
                        return fail(source, CTL_FAILED, "out of memory");
                *ret = take_ptr(list);
                return CTL_OK;
        }

        all = json_object_get(answer, "certificates");
        if (!json_is_array(all))
                return fail(source, CTL_FAILED, "the server at %s is not rekeyd: it has no certificates",
                            ctl_socket(source->ctl));
        if (n == 0) {
                *ret = json_incref(all);
                return CTL_OK;
        }
        for (size_t i = 0; i < n; i++) {
                json_t *status = NULL;

                exit = pick(source, all, names[i], &status);
                if (exit != CTL_OK)
                        return exit;
                if (json_array_append_new(list, status) < 0)
                        return fail(source, CTL_FAILED, "out of memory");
        }
        *ret = take_ptr(list);
        return CTL_OK;
}

int source_details(struct source *source, const char *name, json_t **ret) {
        const struct config_certificate *certificate;
        int exit;

        exit = ask_certificate(source, name, "", ret);
        if (exit != CTL_OK || *ret)
                return exit;
        certificate = offline_find(source->offline, name);
        if (!certificate)
                return fail_unknown(source, name);
        if (offline_read(source->offline, certificate, true, ret) < 0)
                return fail(source, CTL_FAILED, "out of memory");
        say_warning(source);
        return CTL_OK;
}

int source_history(struct source *source, const char *name, json_t **ret) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(json_decrefp) json_t *answer = NULL;
        const struct config_certificate *certificate;
        json_t *events;
        int exit, r;

        exit = ask_certificate(source, name, "/history", &answer);
        if (exit != CTL_OK)
                return exit;
        if (answer) {
                events = json_object_get(answer, "events");
                if (!json_is_array(events))
                        return fail(source, CTL_FAILED, "the server at %s is not rekeyd: it has no events",
                                    ctl_socket(source->ctl));
                *ret = json_incref(events);
                return CTL_OK;
        }
        certificate = offline_find(source->offline, name);
        if (!certificate)
                return fail_unknown(source, name);
        r = offline_history(source->offline, certificate, ret, &error);
        if (r < 0)
                return fail(source, r == -EACCES ? CTL_DENIED : CTL_FAILED, "%s", error_text(&error));
        return CTL_OK;
}
