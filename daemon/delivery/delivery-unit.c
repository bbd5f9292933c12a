/*
 * A dependent that is a unit of systemd's. The manager is asked over D-Bus, without waiting for it, and the
 * delivery is what became of the job: a reload that fails is a dependent that still serves the old
 * certificate.
 *
 * The conversation has four questions, each asked when the one before is answered: to hear of jobs, to load
 * the unit, what state it is in, and to reload or restart it. Each delivery has a connection of its own, for
 * as long as it takes: whoever listens for jobs hears of every job on the machine, and rekeyd wants to sleep.
 */

#include "daemon/delivery/delivery.h"

#include <stdio.h>

#include "daemon/delivery/unit-check.h"
#include "daemon/observe/messages.h"
#include "lib/util/quote.h"

struct unit {
        struct delivery delivery;
        const struct config_notify *config;
        char *certificate;
        delivery_done_t done;
        void *userdata;

        sd_bus *bus;
        sd_bus_slot *jobs, *call;
        sd_event_source *timeout;
        char *job; /* object path; NULL until there is one */
};

static struct delivery *unit_free(struct delivery *delivery) {
        struct unit *unit = (struct unit *)delivery;

        sd_event_source_disable_unref(unit->timeout);
        sd_bus_slot_unref(unit->call);
        sd_bus_slot_unref(unit->jobs);
        if (unit->bus)
                (void)sd_bus_detach_event(unit->bus);
        sd_bus_close_unref(unit->bus);
        free(unit->certificate);
        free(unit->job);
        free(unit);
        return NULL;
}

/* The last thing that is done with UNIT: its owner frees it. */
static int finish(struct unit *unit, const struct error *error) {
        unit->done(error->code == 0 ? NULL : error_text(error), unit->userdata);
        return 0;
}

static int fail(struct unit *unit, int code, const char *format, ...) _printf_(3, 4);

static int fail(struct unit *unit, int code, const char *format, ...) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *text = NULL;
        va_list args;

        va_start(args, format);
        if (vasprintf(&text, format, args) < 0)
                text = NULL;
        va_end(args);
        error_set(&error, code, "%s", text ? text : "out of memory");
        return finish(unit, &error);
}

/* An error reply, or one of our own making, about DOING. */
static int fail_call(struct unit *unit, const sd_bus_error *why, const char *doing) {
        const char *name = unit->config->unit;

        if (sd_bus_error_has_name(why, "org.freedesktop.systemd1.NoSuchUnit"))
                return fail(unit, -ENOENT, "no such unit: %s", name);
        if (sd_bus_error_has_names(why, SD_BUS_ERROR_ACCESS_DENIED,
                                   SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED))
                return fail(unit, -EACCES,
                            "systemd does not let rekeyd %s unit %s: name the unit in rekeyd's polkit rule, "
                            "/etc/polkit-1/rules.d/50-rekeyd.rules",
                            doing, name);
        return fail(unit, -EIO, "systemd cannot %s unit %s: %s", doing, name,
                    quoted(why->message ? why->message : why->name));
}

/* A call that could not be made, or a reply that could not be read. */
static int fail_bus(struct unit *unit, int r) {
        return fail(unit, r, "cannot ask systemd about unit %s over the system bus: %s", unit->config->unit,
                    strerrordesc_np(-r));
}

static int on_timeout(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        struct unit *unit = userdata;
        char span[TIMESPAN_MAX];

        return fail(unit, -ETIMEDOUT, "unit %s took longer than %s; see 'systemctl status %s'",
                    unit->config->unit, format_timespan(span, unit->config->timeout_usec),
                    unit->config->unit);
}

/* JobRemoved(u id, o job, s unit, s result); the results are in org.freedesktop.systemd1(5). */
static int on_job_removed(sd_bus_message *message, void *userdata, _unused_ sd_bus_error *error) {
        struct unit *unit = userdata;
        const char *job, *name, *result;

        if (!unit->job || sd_bus_message_read(message, "uoss", NULL, &job, &name, &result) < 0 ||
            !streq(job, unit->job))
                return 0;
        if (streq(result, "done") || streq(result, "skipped")) {
                static const struct error none = ERROR_INIT;

                return finish(unit, &none);
        }
        return fail(unit, -EIO, "unit %s did not %s: the job ended as '%s'; see 'journalctl -u %s'",
                    unit->config->unit, unit_actions[unit->config->action].verb, quoted(result),
                    unit->config->unit);
}

static int on_job(sd_bus_message *reply, void *userdata, _unused_ sd_bus_error *error) {
        struct unit *unit = userdata;
        const char *job;
        int r;

        if (sd_bus_message_is_method_error(reply, NULL))
                return fail_call(unit, sd_bus_message_get_error(reply),
                                 unit_actions[unit->config->action].verb);
        r = sd_bus_message_read(reply, "o", &job);
        if (r < 0)
                return fail_bus(unit, r);
        unit->job = strdup(job);
        return unit->job ? 0 : fail_bus(unit, -ENOMEM);
}

/* Calls METHOD of the manager with the unit's name, and a job mode where there is one. */
static int ask_manager(struct unit *unit, const char *method, const char *mode,
                       sd_bus_message_handler_t next) {
        int r;

        unit->call = sd_bus_slot_unref(unit->call);
        r = mode ? sd_bus_call_method_async(unit->bus, &unit->call, SYSTEMD_NAME, SYSTEMD_PATH,
                                            SYSTEMD_INTERFACE, method, next, unit, "ss", unit->config->unit,
                                            mode)
                 : sd_bus_call_method_async(unit->bus, &unit->call, SYSTEMD_NAME, SYSTEMD_PATH,
                                            SYSTEMD_INTERFACE, method, next, unit, "s", unit->config->unit);
        return r < 0 ? fail_bus(unit, r) : 0;
}

struct properties {
        const char *load_state, *active_state;
        int can_reload;
};

/* a{sv}: the three that are wanted; the others are passed over. */
static int read_properties(sd_bus_message *message, struct properties *ret) {
        const char *name;
        int r;

        r = sd_bus_message_enter_container(message, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
                r = sd_bus_message_read(message, "s", &name);
                if (r < 0)
                        return r;
                if (streq(name, "LoadState"))
                        r = sd_bus_message_read(message, "v", "s", &ret->load_state);
                else if (streq(name, "ActiveState"))
                        r = sd_bus_message_read(message, "v", "s", &ret->active_state);
                else if (streq(name, "CanReload"))
                        r = sd_bus_message_read(message, "v", "b", &ret->can_reload);
                else
                        r = sd_bus_message_skip(message, "v");
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(message);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        return ret->load_state && ret->active_state ? 0 : -EBADMSG;
}

static int on_properties(sd_bus_message *reply, void *userdata, _unused_ sd_bus_error *error) {
        struct unit *unit = userdata;
        const char *name = unit->config->unit;
        struct properties properties = { 0 };
        int r;

        if (sd_bus_message_is_method_error(reply, NULL))
                return fail_call(unit, sd_bus_message_get_error(reply), "inspect");
        r = read_properties(reply, &properties);
        if (r < 0)
                return fail_bus(unit, r);

        if (streq(properties.load_state, "not-found"))
                return fail(unit, -ENOENT, "no such unit: %s", name);
        if (!streq(properties.load_state, "loaded"))
                return fail(unit, -EINVAL, "cannot notify unit %s: it is '%s'; see 'systemctl status %s'",
                            name, quoted(properties.load_state), name);
        if (streq(properties.active_state, "inactive") || streq(properties.active_state, "failed") ||
            streq(properties.active_state, "deactivating")) {
                static const struct error none = ERROR_INIT;
                const struct log_field fields[] = { { FIELD_CERTIFICATE, unit->certificate } };

                log_fields(LOG_INFO, NULL, fields, ELEMENTSOF(fields),
                           "%s: unit %s is not running (%s) and needs no notification", unit->certificate,
                           name, properties.active_state);
                return finish(unit, &none);
        }
        if (unit_actions[unit->config->action].must_reload && !properties.can_reload)
                return fail(unit, -ENOTSUP, "unit %s cannot be reloaded; set `action: restart`", name);
        return ask_manager(unit, unit_actions[unit->config->action].method, "replace", on_job);
}

static int on_loaded(sd_bus_message *reply, void *userdata, _unused_ sd_bus_error *error) {
        struct unit *unit = userdata;
        const char *path;
        int r;

        if (sd_bus_message_is_method_error(reply, NULL))
                return fail_call(unit, sd_bus_message_get_error(reply), "load");
        r = sd_bus_message_read(reply, "o", &path);
        if (r < 0)
                return fail_bus(unit, r);
        unit->call = sd_bus_slot_unref(unit->call);
        r = sd_bus_call_method_async(unit->bus, &unit->call, SYSTEMD_NAME, path,
                                     "org.freedesktop.DBus.Properties", "GetAll", on_properties, unit, "s",
                                     SYSTEMD_UNIT);
        return r < 0 ? fail_bus(unit, r) : 0;
}

static int on_subscribed(sd_bus_message *reply, void *userdata, _unused_ sd_bus_error *error) {
        struct unit *unit = userdata;

        if (sd_bus_message_is_method_error(reply, NULL))
                return fail_call(unit, sd_bus_message_get_error(reply), "report jobs of");
        return ask_manager(unit, "LoadUnit", NULL, on_loaded);
}

static int start(sd_event *event, struct unit *unit) {
        int r;

        r = sd_bus_open_system(&unit->bus);
        if (r < 0)
                return r;
        r = sd_bus_attach_event(unit->bus, event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return r;
        r = sd_bus_match_signal_async(unit->bus, &unit->jobs, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_INTERFACE,
                                      "JobRemoved", on_job_removed, NULL, unit);
        if (r < 0)
                return r;
        r = sd_bus_call_method_async(unit->bus, &unit->call, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_INTERFACE,
                                     "Subscribe", on_subscribed, unit, NULL);
        if (r < 0)
                return r;
        return sd_event_add_time_relative(event, &unit->timeout, CLOCK_BOOTTIME, unit->config->timeout_usec,
                                          0, on_timeout, unit);
}

int delivery_tell_unit(struct loop_services *services, const struct config_notify *config,
                       const struct notice *notice, delivery_done_t done, void *userdata,
                       struct delivery **ret, struct error *error) {
        _cleanup_(delivery_freep) struct delivery *delivery = NULL;
        struct unit *unit;
        int r;

        unit = calloc(1, sizeof(*unit));
        if (!unit)
                return error_set(error, -ENOMEM, "out of memory");
        delivery = &unit->delivery;
        delivery->free = unit_free;
        unit->config = config;
        unit->done = done;
        unit->userdata = userdata;
        unit->certificate = strdup(notice->certificate);
        if (!unit->certificate)
                return error_set(error, -ENOMEM, "out of memory");

        r = start(services->event, unit);
        if (r < 0)
                return error_set_errno(error, r, "cannot notify unit %s: no connection to the system bus",
                                       config->unit);
        *ret = take_ptr(delivery);
        return 0;
}
