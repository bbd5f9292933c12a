/*
 * One object after the other: it is read, which shows whether the server can be reached, and then the server
 * is asked for each other right. A server that cannot be reached, or does not know the account, ends the
 * check: all further lines would say the same.
 */

#include "daemon/control/kube-check.h"

#include <errno.h>
#include <stdio.h>

#include "lib/kube/kube-name.h"
#include "lib/kube/kube-rights.h"

#define TIMEOUT_USEC (10 * USEC_PER_SEC)
#define OBJECTS_MAX  30u /* of thousands the first ones show what is wrong with all */

/* What is needed besides KUBE_GET, in the order of the questions. */
#define RIGHT(verb) (1u << (verb))
static const enum kube_verb verbs[] = { KUBE_CREATE, KUBE_REPLACE, KUBE_APPLY, KUBE_WATCH };

struct object {
        const struct config_certificate *certificate;
        bool is_lease;
        struct kube_name name;
        unsigned rights;            /* RIGHT() of each */
        unsigned rights_if_missing; /* besides, where there is none yet */
};

struct kube_check {
        struct kube_check_options options;
        struct kube_client *client;
        struct kube_call *call;
        struct object objects[OBJECTS_MAX];
        size_t n, at;     /* the one that is asked about */
        size_t next_verb; /* in VERBS */
        bool is_reading;  /* the call under way */
        bool is_read;     /* the current object, or it is being read */
        bool is_faulty;   /* the current object */
};

static void add_object(struct kube_check *check, const struct config_certificate *certificate,
                       const char *name, const char *suffix, struct object object) {
        char full[KUBE_NAMESPACE_MAX + KUBE_NAME_MAX + 20];

        if (!name || check->n == OBJECTS_MAX)
                return;
        snprintf(full, sizeof(full), "%s%s", name, suffix);
        if (kube_name_parse(full, &object.name) < 0)
                return; /* the configuration was read, so it is one */
        object.certificate = certificate;
        check->objects[check->n++] = object;
}

static void collect(struct kube_check *check) {
        const struct config *config = check->options.config;
        const struct object stored = { .rights = RIGHT(KUBE_REPLACE) | RIGHT(KUBE_WATCH) };
        const struct object lease = { .is_lease = true, .rights = RIGHT(KUBE_REPLACE) };
        const struct object exported = { .rights = RIGHT(KUBE_APPLY),
                                         .rights_if_missing = RIGHT(KUBE_CREATE) };

        for (size_t i = 0; i < config->n_certificates; i++) {
                const struct config_certificate *certificate = &config->certificates[i];

                if (check->options.certificate && !streq(check->options.certificate, certificate->name))
                        continue;
                add_object(check, certificate, certificate->store.secret, "", stored);
                add_object(check, certificate, certificate->store.secret, CONFIG_STORE_PRIVATE, stored);
                add_object(check, certificate, certificate->store.secret, "", lease);
                for (size_t k = 0; k < certificate->n_exports; k++)
                        add_object(check, certificate, certificate->exports[k].secret, "", exported);
        }
}

int kube_check_new(const struct kube_check_options *options, struct kube_check **ret) {
        const struct kube_place place = { .path = options->config->kubernetes.kubeconfig,
                                          .context = options->config->kubernetes.context };
        _cleanup_(kube_check_freep) struct kube_check *check = calloc(1, sizeof(*check));

        if (!check)
                return -ENOMEM;
        check->options = *options;
        if (kube_client_new(options->host, &place, "rekeyd/" REKEYD_VERSION, &check->client) < 0)
                return -ENOMEM;
        collect(check);
        *ret = take_ptr(check);
        return 0;
}

struct kube_check *kube_check_free(struct kube_check *check) {
        if (!check)
                return NULL;
        kube_call_free(check->call);
        kube_client_free(check->client);
        free(check);
        return NULL;
}

/* --- What was found */

static const struct object *current(const struct kube_check *check) {
        return &check->objects[check->at];
}

static struct kube_resource resource_of(const struct object *object) {
        return object->is_lease ? KUBE_LEASE(object->name.namespace, object->name.name)
                                : KUBE_SECRET(object->name.namespace, object->name.name);
}

static void add(struct kube_check *check, bool is_problem, const char *format, ...) _printf_(3, 4);
static void add(struct kube_check *check, bool is_problem, const char *format, ...) {
        struct precheck result = { .kind = PRECHECK_KUBERNETES,
                                   .connector = current(check)->certificate->connector->name,
                                   .certificate = current(check)->certificate->name,
                                   .is_problem = is_problem };
        va_list args;

        va_start(args, format);
        if (vasprintf(&result.text, format, args) < 0)
                result.text = NULL;
        va_end(args);
        (void)prechecks_add(check->options.results, &result);
        check->is_faulty = check->is_faulty || is_problem;
}

static void add_missing_right(struct kube_check *check, const char *verb) {
        const struct kube_resource resource = resource_of(current(check));
        char text[KUBE_TEXT_MAX];

        add(check, true,
            "rekeyd may not %s %s; fix: give its account a Role with the verb %s for %s in namespace %s",
            verb, kube_resource_text(&resource, text), verb, resource.plural, resource.namespace);
}

/* --- One question after the other */

static void go_on(struct kube_check *check);

static void finish(struct kube_check *check) {
        check->options.done(check->options.userdata);
}

/* What an object that was read, or is not there, needs besides. */
static void take_object(struct kube_check *check, const struct kube_result *result) {
        struct object *object = &check->objects[check->at];
        const struct kube_resource resource = resource_of(object);
        char text[KUBE_TEXT_MAX];

        if (result->outcome == KUBE_FORBIDDEN)
                add_missing_right(check, kube_verb_names[KUBE_GET]);
        else if (result->outcome == KUBE_NOT_FOUND && object->rights_if_missing == 0)
                add(check, true, "there is no %s; fix: create it, as conf/kubernetes/shared-secret does",
                    kube_resource_text(&resource, text));
        else if (result->outcome == KUBE_NOT_FOUND)
                object->rights |= object->rights_if_missing;
}

static bool ends_all(enum kube_outcome outcome) {
        return outcome != KUBE_DONE && outcome != KUBE_NOT_FOUND && outcome != KUBE_FORBIDDEN;
}

static void judge(struct kube_check *check, const struct kube_result *result) {
        if (ends_all(result->outcome)) {
                add(check, true,
                    "the API server cannot be asked: %s; fix: correct `kubernetes`, or the network",
                    result->error);
                check->at = check->n;
        } else if (check->is_reading)
                take_object(check, result);
        else if (result->outcome != KUBE_DONE || !kube_rights_allow(result->object))
                add_missing_right(check, kube_verb_names[verbs[check->next_verb - 1]]);
}

/* The result is the call's, and the client that has made it may be freed at the end of all. */
static void on_done(const struct kube_result *result, void *userdata) {
        struct kube_check *check = userdata;

        judge(check, result);
        check->call = kube_call_free(check->call);
        check->is_reading = false;
        go_on(check);
}

static int ask(struct kube_check *check, const struct kube_ask *question) {
        const struct kube_callbacks callbacks = { .done = on_done, .userdata = check };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int r;

        r = kube_call_new(check->client, question, TIMEOUT_USEC, &callbacks, &check->call, &error);
        if (r < 0)
                add(check, true, "the API server cannot be asked: %s; fix: correct `kubernetes`",
                    error.code != 0 ? error_text(&error) : error_code_text(r));
        return r;
}

static int ask_right(struct kube_check *check, enum kube_verb verb) {
        const struct kube_resource resource = resource_of(current(check));
        _cleanup_(json_decrefp) json_t *body = NULL;
        struct kube_ask question;

        if (kube_rights_ask(verb, &resource, &question, &body) < 0)
                return -ENOMEM;
        return ask(check, &question);
}

/* The next right that the current object needs; VERBS' end: it needs no more. */
static bool find_verb(struct kube_check *check) {
        for (; check->next_verb < ELEMENTSOF(verbs); check->next_verb++)
                if (current(check)->rights & RIGHT(verbs[check->next_verb]))
                        return true;
        return false;
}

static void close_object(struct kube_check *check) {
        const struct kube_resource resource = resource_of(current(check));
        char text[KUBE_TEXT_MAX];

        if (!check->is_faulty)
                add(check, false, "%s: rekeyd has the rights that it needs",
                    kube_resource_text(&resource, text));
        check->is_faulty = false;
        check->next_verb = 0;
        check->at++;
}

static int read_object(struct kube_check *check) {
        const struct kube_ask question = { .verb = KUBE_GET, .resource = resource_of(current(check)) };

        check->is_reading = true;
        check->is_read = true;
        return ask(check, &question);
}

static void go_on(struct kube_check *check) {
        int r = 0;

        while (check->at < check->n) {
                if (!check->is_read)
                        r = read_object(check);
                else if (find_verb(check))
                        r = ask_right(check, verbs[check->next_verb++]);
                else {
                        close_object(check);
                        check->is_read = false;
                        continue;
                }
                if (r == 0)
                        return;
                break;
        }
        finish(check);
}

void kube_check_begin(struct kube_check *check) {
        go_on(check);
}
