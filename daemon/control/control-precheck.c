/* What a reload would say of the configuration that is on the disk now, before there is one: with the rights
 * of the service, and on a worker. Nothing is changed, and no path but rekeyd's own is read. */

#include "daemon/control/control-reply.h"

#include <errno.h>

#include "daemon/control/kube-check.h"
#include "daemon/delivery/unit-check.h"
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

        bool asks_network;        /* what lies behind the network is to be checked as well */
        struct kube_check *check; /* on the loop, after the work; NULL: not under way */
};

static void inquiry_free(struct inquiry *inquiry) {
        kube_check_free(inquiry->check);
        prechecks_clear(&inquiry->prechecks);
        config_free(inquiry->config);
        config_errors_clear(&inquiry->errors);
        free(inquiry->certificate);
        free(inquiry);
}

/* One unit of CERTIFICATE. Without a bus the check of files has said so. */
static int check_unit(sd_bus *bus, const struct config_certificate *certificate,
                      const struct config_notify *notify, struct prechecks *results) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct precheck result = { .kind = PRECHECK_DEPENDENT,
                                   .connector = certificate->connector->name,
                                   .certificate = certificate->name };

        result.is_problem = unit_check(bus, notify, &result.text, &error) < 0;
        if (result.is_problem)
                result.text = strdup(error_text(&error));
        return prechecks_add(results, &result);
}

static bool is_meant(const struct inquiry *inquiry, const struct config_certificate *certificate) {
        return !inquiry->certificate || streq(inquiry->certificate, certificate->name);
}

static int check_units(struct inquiry *inquiry) {
        const struct config *config = inquiry->config;
        sd_bus *bus = NULL;
        int r = 0;

        for (size_t i = 0; r == 0 && i < config->n_certificates; i++) {
                const struct config_certificate *certificate = &config->certificates[i];

                for (size_t k = 0; r == 0 && k < certificate->n_notify; k++) {
                        if (certificate->notify[k].kind != NOTIFY_UNIT || !is_meant(inquiry, certificate))
                                continue;
                        if (!bus && unit_check_open(&bus) < 0)
                                return 0;
                        r = check_unit(bus, certificate, &certificate->notify[k], &inquiry->prechecks);
                }
        }
        sd_bus_close_unref(bus);
        return r;
}

static void run(struct job *job) {
        struct inquiry *inquiry = container_of(job, struct inquiry, job);

        inquiry->result = config_load(inquiry->options->config_path, &inquiry->config, &inquiry->errors);
        if (inquiry->result == 0)
                inquiry->result = precheck_run(inquiry->config, inquiry->certificate, PRECHECK_ALL,
                                               &inquiry->prechecks);
        if (inquiry->result == 0)
                inquiry->result = check_units(inquiry);
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

static void answer(struct inquiry *inquiry) {
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

static void on_checked(void *userdata) {
        answer(userdata);
}

static void on_done(struct job *job) {
        struct inquiry *inquiry = container_of(job, struct inquiry, job);
        const struct kube_check_options options = {
                .host = inquiry->options->kube_host,
                .config = inquiry->config,
                .certificate = inquiry->certificate,
                .results = &inquiry->prechecks,
                .done = on_checked,
                .userdata = inquiry,
        };

        if (!inquiry->request || inquiry->result < 0 || !inquiry->asks_network || !options.host ||
            kube_check_new(&options, &inquiry->check) < 0)
                answer(inquiry);
        else
                kube_check_begin(inquiry->check);
}

/* The client has gone, or the server is being freed; the worker may still have the inquiry, or had to drop
 * it.
 */
static void on_dropped(void *userdata) {
        struct inquiry *inquiry = userdata;

        inquiry->request = NULL;
        if (inquiry->check || atomic_load(inquiry->options->stopping))
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
        inquiry->asks_network = streq_null(http_query(request, "network"), "true");
        inquiry->request = request;
        http_defer(request, on_dropped, inquiry);
        workers_submit(options->workers, &inquiry->job);
}
