/* What a reload would say of the configuration that is on the disk now, before there is one: with the rights
 * of the service, and on a worker. Nothing is changed, and no path but rekeyd's own is read. */

#include "daemon/control/control-reply.h"

#include <errno.h>

#include "daemon/loop/proxy.h"
#include "lib/protocol/url.h"
#include "lib/report/precheck.h"
#include "lib/util/json.h"
#include "lib/util/user.h"

struct inquiry {
        struct job job;
        const struct control_options *options;
        struct http_request *request; /* NULL: the client has gone */
        char *certificate;            /* NULL: all */

        int result;
        struct config *config;
        struct config_errors errors;
        struct prechecks prechecks;
};

static void inquiry_free(struct inquiry *inquiry) {
        prechecks_clear(&inquiry->prechecks);
        config_free(inquiry->config);
        config_errors_clear(&inquiry->errors);
        free(inquiry->certificate);
        free(inquiry);
}

static void run(struct job *job) {
        struct inquiry *inquiry = container_of(job, struct inquiry, job);

        inquiry->result = config_load(inquiry->options->config_path, &inquiry->config, &inquiry->errors);
        if (inquiry->result == 0)
                inquiry->result = precheck_run(inquiry->config, inquiry->certificate, PRECHECK_ALL,
                                               &inquiry->prechecks);
}

static json_t *list_errors(const struct config_errors *errors) {
        json_t *list = json_array();

        for (size_t i = 0; i < errors->n; i++)
                json_array_append_new(list, json_text(errors->items[i]));
        return list;
}

static json_t *list_checks(const struct prechecks *prechecks) {
        json_t *list = json_array();

        for (size_t i = 0; i < prechecks->n; i++) {
                const struct precheck *item = &prechecks->items[i];

                json_array_append_new(list, json_pack("{s:s, s:s?, s:s?, s:b, s:o}", "check",
                                                      precheck_names[item->kind], "connector",
                                                      item->connector, "certificate", item->certificate, "ok",
                                                      !item->is_problem, "text", json_text(item->text)));
        }
        return list;
}

static void add_proxy(json_t *list, const struct config_connector *connector, const char *url) {
        _cleanup_(proxy_clear) struct proxy proxy = { 0 };
        _cleanup_(freep) char *shown = url ? url_shown(url) : NULL;

        if (shown && proxy_find(url, &proxy, NULL) == 0 && proxy.url)
                json_array_append_new(list,
                                      json_pack("{s:s, s:o, s:o, s:s, s:b}", "connector", connector->name,
                                                "url", json_text(shown), "proxy", json_text(proxy.url),
                                                "variable", proxy.variable, "has_user", proxy.user != NULL));
}

/* Through which proxies the service calls; those that it calls without are left out. */
static json_t *list_proxies(const struct config *config) {
        json_t *list = json_array();

        for (size_t i = 0; config && i < config->n_connectors; i++) {
                add_proxy(list, &config->connectors[i], config->connectors[i].url);
                add_proxy(list, &config->connectors[i], config->connectors[i].enrol_url);
        }
        return list;
}

static void on_done(struct job *job) {
        struct inquiry *inquiry = container_of(job, struct inquiry, job);
        char user[USER_NAME_MAX];

        if (!inquiry->request)
                ;
        else if (inquiry->result == -ENOENT && inquiry->errors.n == 0)
                http_reply_error(inquiry->request, 404, NULL,
                                 "there is no certificate '%.100s' in the configuration of rekeyd",
                                 inquiry->certificate);
        else if (inquiry->result == -ENOMEM)
                http_reply_error(inquiry->request, 500, NULL, "out of memory");
        else
                control_reply_json(
                        inquiry->request, 200,
                        json_pack("{s:s, s:s, s:o, s:o, s:o}", "config", inquiry->options->config_path,
                                  "user", user_name(geteuid(), user), "errors", list_errors(&inquiry->errors),
                                  "checks", list_checks(&inquiry->prechecks), "proxies",
                                  list_proxies(inquiry->config)));
        inquiry_free(inquiry);
}

/* The server is being freed; the worker still has the inquiry, or had to drop it. */
static void on_dropped(void *userdata) {
        struct inquiry *inquiry = userdata;

        inquiry->request = NULL;
        if (atomic_load(inquiry->options->stopping))
                inquiry_free(inquiry);
}

void control_reply_precheck(const struct control_options *options, struct http_request *request) {
        const char *name = http_query(request, "certificate");
        struct inquiry *inquiry = calloc(1, sizeof(*inquiry));

        if (inquiry && name)
                inquiry->certificate = strdup(name);
        if (!inquiry || (name && !inquiry->certificate)) {
                free(inquiry);
                http_reply_error(request, 500, NULL, "out of memory");
                return;
        }
        inquiry->job = (struct job) { .run = run, .done = on_done };
        inquiry->options = options;
        inquiry->request = request;
        http_defer(request, on_dropped, inquiry);
        workers_submit(options->workers, &inquiry->job);
}
