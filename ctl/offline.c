/*
 * Reads the state directory and the certificates' directories while rekeyd is not running. A damaged state
 * file is ignored with a warning, and the next rekeyd handles it.
 */

#include "ctl/offline.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/life/state.h"
#include "lib/report/history.h"
#include "lib/report/inspect.h"
#include "lib/report/report.h"
#include "lib/util/json.h"

struct offline {
        const struct config *config;
        int state_fd; /* -1: it cannot be opened; the warning says why */
        struct state_instant now;
        char *warning;
};

static void warn(struct offline *offline, const char *what, int r) {
        if (offline->warning) /* the first one stands for all */
                return;
        if (asprintf(&offline->warning, "%s in %s: %s; failures and pending notifications are unknown%s",
                     what, offline->config->state_directory, strerrordesc_np(-r),
                     r == -EACCES || r == -EPERM ? " (root may read it)" : "") < 0)
                offline->warning = NULL;
}

/* As sd_id128_get_boot() has it. All zero where it cannot be had: then issuances keep their age. */
static void read_boot_id(uint8_t ret[16]) {
        _cleanup_(freep) char *text = NULL;
        size_t n = 0;

        if (file_read_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", FILE_NOFOLLOW, 100, &text, NULL) < 0)
                return;
        for (const char *p = text; p[0] && p[1] && n < 16;) {
                unsigned byte;

                if (*p == '-')
                        p++;
                else if (sscanf(p, "%2x", &byte) == 1) {
                        ret[n++] = (uint8_t)byte;
                        p += 2;
                } else
                        return;
        }
}

int offline_new(const struct config *config, struct offline **ret, struct error *error) {
        struct offline *offline = calloc(1, sizeof(*offline));

        if (!offline)
                return error_set(error, -ENOMEM, "out of memory");
        offline->config = config;
        offline->now.realtime = now_usec(CLOCK_REALTIME);
        offline->now.boottime = now_usec(CLOCK_BOOTTIME);
        read_boot_id(offline->now.boot_id);
        offline->state_fd = open(config->state_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (offline->state_fd < 0 && errno != ENOENT)
                warn(offline, "cannot read the state of rekeyd", -errno);
        *ret = offline;
        return 0;
}

struct offline *offline_free(struct offline *offline) {
        if (!offline)
                return NULL;
        fd_close(offline->state_fd);
        free(offline->warning);
        free(offline);
        return NULL;
}

const char *offline_warning(const struct offline *offline) {
        return offline->warning;
}

const struct config_certificate *offline_find(const struct offline *offline, const char *name) {
        for (size_t i = 0; i < offline->config->n_certificates; i++)
                if (streq(offline->config->certificates[i].name, name))
                        return &offline->config->certificates[i];
        return NULL;
}

/* False where there may be one, but it cannot be read. */
static bool read_state(struct offline *offline, const char *name, struct state *ret) {
        int r;

        if (offline->state_fd < 0)
                return !offline->warning;
        r = state_read(offline->state_fd, name, &offline->now, ret, NULL);
        if (r < 0)
                warn(offline, "cannot read the state of rekeyd", r);
        return r == 0;
}

/* When rekeyd has last saved what it knows of NAME; 0: never, as far as is known. */
static usec_t saved_at(const struct offline *offline, const char *name) {
        _cleanup_(freep) char *file = NULL;
        struct stat st;

        if (asprintf(&file, "%s.json", name) < 0) {
                file = NULL;
                return 0;
        }
        if (offline->state_fd < 0 || fstatat(offline->state_fd, file, &st, 0) < 0)
                return 0;
        return (usec_t)st.st_mtim.tv_sec * USEC_PER_SEC;
}

static int put_saved_at(const struct offline *offline, const char *name, json_t *answer) {
        const usec_t when = saved_at(offline, name);
        char text[TIMESTAMP_MAX];

        return when == 0 ? 0
                         : json_object_set_new(answer, "saved_at", json_string(format_timestamp(text, when)));
}

/* Then it is unknown whether they were notified. */
static void forget_dependents(json_t *answer) {
        json_t *dependent;
        size_t i;

        json_array_foreach(json_object_get(answer, "dependents"), i, dependent)
                json_object_del(dependent, "pending");
}

int offline_read(struct offline *offline, const struct config_certificate *certificate, bool with_details,
                 json_t **ret) {
        _cleanup_(inspection_clear) struct inspection inspection = { 0 };
        _cleanup_(state_clear) struct state state = { 0 };
        _cleanup_(json_decrefp) json_t *answer = NULL;
        struct report_status status;
        const usec_t now = offline->now.realtime;
        bool is_remembered;
        int r;

        is_remembered = read_state(offline, certificate->name, &state);
        /* Exports are only inspected for a single certificate: reading keys takes milliseconds each. */
        r = with_details ? inspect_certificate(certificate, &state, &inspection)
                         : inspect_directory(certificate->directory, &inspection);
        if (r < 0)
                return r;
        report_offline(offline->config, certificate, &inspection, &state, now, &status);
        answer = with_details ? report_details(&status, certificate, &inspection, &state, now)
                              : report_status(&status);
        if (!answer)
                return -ENOMEM;

        if (put_saved_at(offline, certificate->name, answer) < 0)
                return -ENOMEM;
        if (!is_remembered)
                forget_dependents(answer);
        /* rekeyd says it in the details only; but here it may be why there is no more to say. */
        if (inspection.problem.code != 0 &&
            json_object_set_new(answer, "problem", json_text(error_text(&inspection.problem))) < 0)
                return -ENOMEM;
        *ret = take_ptr(answer);
        return 0;
}

int offline_history(struct offline *offline, const struct config_certificate *certificate, json_t **ret,
                    struct error *error) {
        _cleanup_(json_decrefp) json_t *events = json_array();
        _cleanup_(freep) char *text = NULL;
        int r;

        if (!events)
                return error_set(error, -ENOMEM, "out of memory");
        if (offline->state_fd < 0 && offline->warning)
                return error_set(error, -EACCES, "%s", offline->warning);
        if (offline->state_fd >= 0) {
                r = history_read(offline->state_fd, certificate->name, &text, error);
                if (r < 0)
                        return error_prefix(error, "cannot read the history of %s in %s", certificate->name,
                                            offline->config->state_directory);
        }

        for (const char *line = text ? text : "", *end; (end = strchr(line, '\n')); line = end + 1) {
                json_t *event = NULL;

                if (json_read(line, (size_t)(end - line), HISTORY_LINE_MAX, &event, NULL) == -ENOMEM)
                        return error_set(error, -ENOMEM, "out of memory");
                if (event && !json_object_get(event, "event")) {
                        json_decref(event);
                        event = NULL;
                }
                if (event && json_array_append_new(events, event) < 0)
                        return error_set(error, -ENOMEM, "out of memory");
        }
        *ret = take_ptr(events);
        return 0;
}
