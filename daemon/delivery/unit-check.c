/*
 * Whether a unit can be notified is known to systemd and polkit only, and no method asks for it. So the
 * method of the notification itself is called, with a job mode that systemd takes for stops only: it asks
 * polkit first, and then refuses the mode. What it refuses for which reason is the answer.
 */

#include "daemon/delivery/unit-check.h"

#include <errno.h>
#include <stdio.h>

#include "lib/util/quote.h"
#include "lib/util/time.h"

#define PATIENCE_USEC (5 * USEC_PER_SEC)
#define REFUSED_MODE  "triggering" /* manager_add_job() of systemd 246 and later refuses it, but for stops */

const struct unit_action_row unit_actions[UNIT_ACTION_MAX] = {
        [UNIT_RELOAD_OR_RESTART] = { "ReloadOrTryRestartUnit", "reload or restart", false },
        [UNIT_RELOAD] = { "ReloadUnit", "reload", true },
        [UNIT_RESTART] = { "TryRestartUnit", "restart", false },
};

int unit_check_open(sd_bus **ret) {
        sd_bus *bus = NULL;
        int r;

        r = sd_bus_open_system(&bus);
        if (r < 0)
                return r;
        r = sd_bus_set_method_call_timeout(bus, PATIENCE_USEC);
        if (r < 0) {
                sd_bus_close_unref(bus);
                return r;
        }
        *ret = bus;
        return 0;
}

static const char *text_of(const sd_bus_error *why, int r) {
        return why->message ? quoted(why->message) : strerrordesc_np(-r);
}

struct findings {
        char *load_state, *active_state;
        int can_reload;
};

static void findings_clear(struct findings *findings) {
        free(findings->load_state);
        free(findings->active_state);
}

static int read_unit(sd_bus *bus, const char *unit, struct findings *ret, sd_bus_error *why) {
        sd_bus_message *reply = NULL;
        const char *path;
        int r;

        r = sd_bus_call_method(bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_INTERFACE, "LoadUnit", why, &reply,
                               "s", unit);
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &path);
        if (r >= 0)
                r = sd_bus_get_property_string(bus, SYSTEMD_NAME, path, SYSTEMD_UNIT, "LoadState", why,
                                               &ret->load_state);
        if (r >= 0)
                r = sd_bus_get_property_string(bus, SYSTEMD_NAME, path, SYSTEMD_UNIT, "ActiveState", why,
                                               &ret->active_state);
        if (r >= 0)
                r = sd_bus_get_property_trivial(bus, SYSTEMD_NAME, path, SYSTEMD_UNIT, "CanReload", why, 'b',
                                                &ret->can_reload);
        sd_bus_message_unref(reply);
        return r < 0 ? r : 0;
}

static bool may_act(sd_bus *bus, const struct config_notify *notify) {
        sd_bus_error why = SD_BUS_ERROR_NULL;
        bool is_denied;

        (void)sd_bus_call_method(bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_INTERFACE,
                                 unit_actions[notify->action].method, &why, NULL, "ss", notify->unit,
                                 REFUSED_MODE);
        is_denied = sd_bus_error_has_names(&why, SD_BUS_ERROR_ACCESS_DENIED,
                                           SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED);
        sd_bus_error_free(&why);
        return !is_denied;
}

static int judge(sd_bus *bus, const struct config_notify *notify, const struct findings *findings,
                 struct error *error) {
        const char *unit = notify->unit;

        if (streq(findings->load_state, "not-found"))
                return error_set(error, -ENOENT,
                                 "systemd has no unit %s; fix: correct `unit`, or install the unit", unit);
        if (streq(findings->load_state, "masked"))
                return error_set(error, -EINVAL, "unit %s is masked; fix: systemctl unmask %s", unit, unit);
        if (!streq(findings->load_state, "loaded"))
                return error_set(error, -EINVAL,
                                 "unit %s cannot be used, its state is '%s'; fix: systemctl status %s", unit,
                                 quoted(findings->load_state), unit);
        if (unit_actions[notify->action].must_reload && !findings->can_reload)
                return error_set(error, -ENOTSUP, "unit %s cannot be reloaded; fix: set `action: restart`",
                                 unit);
        if (!may_act(bus, notify))
                return error_set(
                        error, -EACCES,
                        "systemd does not let rekeyd %s unit %s; fix: add the unit to the polkit rule of "
                        "rekeyd, /etc/polkit-1/rules.d/50-rekeyd.rules",
                        unit_actions[notify->action].verb, unit);
        return 0;
}

int unit_check(sd_bus *bus, const struct config_notify *notify, char **ret_text, struct error *error) {
        _cleanup_(findings_clear) struct findings findings = { 0 };
        sd_bus_error why = SD_BUS_ERROR_NULL;
        int r;

        r = read_unit(bus, notify->unit, &findings, &why);
        if (r < 0)
                r = error_set(error, r, "cannot ask systemd about unit %s: %s; fix: systemctl status %s",
                              notify->unit, text_of(&why, r), notify->unit);
        else
                r = judge(bus, notify, &findings, error);
        sd_bus_error_free(&why);
        if (r < 0)
                return r;
        if (asprintf(ret_text, "unit %s is %s, and rekeyd may %s it", notify->unit, findings.active_state,
                     unit_actions[notify->action].verb) < 0) {
                *ret_text = NULL;
                return error_set(error, -ENOMEM, "out of memory");
        }
        return 0;
}
