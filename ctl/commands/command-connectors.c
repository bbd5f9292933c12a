/* `rekeyctl connectors`: what rekeyd knows of each Connector. Only rekeyd knows it, so the files are no way
 * out here. */

#include <stdio.h>

#include "ctl/ctl.h"
#include "ctl/terminal/format.h"
#include "ctl/terminal/table.h"
#include "ctl/view.h"

#define INDENT 2u

static void pair(struct table *table, enum term_style style, const char *name, const char *value) {
        if (strempty(value))
                return;
        table_row(table);
        table_cell(table, TERM_FAINT, "%s", name);
        table_cell(table, style, "%s", value);
}

static void pair_time(struct table *table, enum term_style style, const char *name, const json_t *connector,
                      const char *member, usec_t now) {
        const usec_t when = view_member_time(connector, member);
        char moment[MOMENT_MAX];

        if (when > 0)
                pair(table, style, name, format_moment(moment, when, now));
}

static void pair_numbers(struct table *table, const json_t *connector) {
        const uint64_t n_failing = view_number(connector, "failing");
        char buffer[120];

        snprintf(buffer, sizeof(buffer), "%" PRIu64 ": %" PRIu64 " usable, %" PRIu64 " failing",
                 view_number(connector, "certificates"), view_number(connector, "usable"), n_failing);
        pair(table, n_failing > 0 ? TERM_WARNING : TERM_PLAIN, "certificates", buffer);
        snprintf(buffer, sizeof(buffer), "%" PRIu64 " under way, %" PRIu64 " waiting",
                 view_number(connector, "under_way"), view_number(connector, "waiting"));
        pair(table, TERM_PLAIN, "calls", buffer);
}

static int print_connector(const struct ctl *ctl, const json_t *connector, usec_t now) {
        static const struct table_column columns[] = { { .min = 0 }, { .min = 0 } };
        _cleanup_(table_freep) struct table *table = table_new(&ctl->term, columns, ELEMENTSOF(columns));
        const char *url = view_string(connector, "url"), *trust = view_string(connector, "trust");
        const usec_t silent = view_member_time(connector, "silent_at");
        const bool is_silent = silent > view_member_time(connector, "answered_at");

        pair(table, TERM_PLAIN, "protocol", view_string(connector, "protocol"));
        pair(table, url ? TERM_PLAIN : TERM_FAINT, "url", url ? url : "from connection.json of each set");
        pair(table, TERM_PLAIN, "enrol_url", view_string(connector, "enrol_url"));
        pair(table, trust ? TERM_PLAIN : TERM_FAINT, "trust", trust ? trust : "the system's CA certificates");
        pair_numbers(table, connector);
        pair_time(table, TERM_PLAIN, "last answer", connector, "answered_at", now);
        pair_time(table, is_silent ? TERM_BAD : TERM_PLAIN, "last without answer", connector, "silent_at",
                  now);
        pair_time(table, TERM_PLAIN, "last accepted", connector, "accepted_at", now);
        pair_time(table, TERM_WARNING, "last failure", connector, "last_error_at", now);
        pair(table, TERM_PLAIN, "  of", view_string(connector, "last_error_of"));
        pair(table, TERM_WARNING, "  because", view_string(connector, "last_error"));
        pair_time(table, TERM_PLAIN, "next attempt", connector, "next_attempt", now);
        return table_print(table, stdout, INDENT);
}

static int print_connectors(struct ctl *ctl, const json_t *list) {
        const usec_t now = now_usec(CLOCK_REALTIME);
        const json_t *connector;
        size_t i;

        if (json_array_size(list) == 0)
                ctl_print(ctl, "No certificate uses a Connector.");
        json_array_foreach(list, i, connector) {
                const char *name = view_string(connector, "name");

                if (i > 0)
                        ctl_print(ctl, "%s", "");
                ctl_print_as(ctl, TERM_STRONG, "%s", name ? name : "?");
                if (print_connector(ctl, connector, now) < 0)
                        return ctl_fail(ctl, CTL_FAILED, "out of memory");
        }
        return CTL_OK;
}

static int run(struct ctl *ctl) {
        _cleanup_(json_decrefp) json_t *answer = NULL;
        int exit;

        exit = ctl_ask(ctl, "GET", "/v1/connectors", NULL, &answer);
        if (exit != CTL_OK)
                return exit;
        return ctl_has(ctl, "json") ? ctl_print_json(ctl, answer)
                                    : print_connectors(ctl, json_object_get(answer, "connectors"));
}

static const struct ctl_option options[] = {
        { .name = "json", .letter = 'j', .help = "print rekeyd's answer as JSON" },
};

const struct ctl_command command_connectors = {
        .name = "connectors",
        .section = CTL_INSPECT,
        .help = "show what is known of each Connector",
        .more = "Its URLs, its certificates, the calls under way, when it last answered and when it last did "
                "not, and the last failure. Times are those since rekeyd started.",
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
