/*
 * A Connector has no state of its own here: what is known of it is what its certificates and the slots have
 * seen. It is put together when it is asked for.
 */

#include "daemon/fleet/fleet-connectors.h"

#include "lib/util/json.h"

/* What the certificates of one Connector come to. */
struct sum {
        const struct config_connector *config;
        size_t n, n_usable, n_failing;
        usec_t accepted_at;  /* by a probe or a renewal; 0: not since the start */
        usec_t failed_at;    /* the last failure of those that fail; 0: none does */
        const char *error;   /* of it */
        const char *failing; /* whose it is */
        usec_t next_attempt; /* the first; USEC_INFINITY: none waits */
};

static usec_t accepted_at(const struct report_status *status) {
        const usec_t probed = status->renewable.answer == PROBE_ACCEPTED ? status->renewable.probed_at : 0;
        const bool has_renewed =
                streq_null(status->last_result, "renewed") || streq_null(status->last_result, "enrolled");
        const usec_t renewed = has_renewed ? status->last_result_at : 0;

        return probed > renewed ? probed : renewed;
}

static void add(struct sum *sum, const struct report_status *status) {
        sum->n++;
        sum->n_usable += status->is_usable;
        if (accepted_at(status) > sum->accepted_at)
                sum->accepted_at = accepted_at(status);
        if (status->failures == 0)
                return;
        sum->n_failing++;
        if (status->next_attempt < sum->next_attempt)
                sum->next_attempt = status->next_attempt;
        if (status->failure == FAILURE_LOCAL || status->last_error_at <= sum->failed_at)
                return; /* the first is none of the Connector's */
        sum->failed_at = status->last_error_at;
        sum->error = status->last_error;
        sum->failing = status->name;
}

static struct sum *find(struct sum *sums, size_t *n, const struct config_connector *config) {
        for (size_t i = 0; i < *n; i++)
                if (streq(sums[i].config->name, config->name))
                        return &sums[i];
        sums[*n] = (struct sum) { .config = config, .next_attempt = USEC_INFINITY };
        return &sums[(*n)++];
}

static json_t *instant(usec_t when) {
        char text[TIMESTAMP_MAX];

        return when == 0 || when == USEC_INFINITY ? json_null() : json_string(format_timestamp(text, when));
}

static json_t *text(const char *text) {
        return text ? json_text(text) : json_null();
}

static json_t *describe(const struct sum *sum, const struct slot_group *group) {
        const struct config_connector *config = sum->config;

        return json_pack(
                "{s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                "name", text(config->name), "protocol", text(protocol_names[config->protocol]), "url",
                text(config->url), "enrol_url", text(config->enrol_url), "trust", text(config->trust),
                "certificates", (json_int_t)sum->n, "usable", (json_int_t)sum->n_usable, "failing",
                (json_int_t)sum->n_failing, "under_way", (json_int_t)(group ? group->n_used : 0), "waiting",
                (json_int_t)(group ? group->n_waiting : 0), "answered_at",
                instant(group ? group->answered_usec : 0), "silent_at",
                instant(group ? group->silent_usec : 0), "accepted_at", instant(sum->accepted_at),
                "last_error", text(sum->error), "last_error_at", instant(sum->failed_at), "last_error_of",
                text(sum->failing), "next_attempt", instant(sum->next_attempt));
}

json_t *fleet_connectors(const struct fleet *fleet, const struct slots *slots) {
        _cleanup_(freep) struct sum *sums = calloc(fleet->n + 1, sizeof(*sums));
        _cleanup_(json_decrefp) json_t *list = json_array();
        size_t n = 0;

        if (!sums || !list)
                return NULL;
        for (size_t i = 0; i < fleet->n; i++) {
                const struct certificate *certificate = fleet->certificates[i];
                struct report_status status;

                certificate_get_status(certificate, &status);
                add(find(sums, &n, certificate_config(certificate)->connector), &status);
        }
        for (size_t i = 0; i < n; i++)
                if (json_array_append_new(
                            list, describe(&sums[i], slots_find_group(slots, sums[i].config->name))) < 0)
                        return NULL;
        return json_pack("{s:O}", "connectors", list);
}
