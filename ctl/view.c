/* Reading what rekeyd says, without trusting it to say all of it: another version may leave something out. */

#include "ctl/view.h"

#include <limits.h>

usec_t view_time(const char *text) {
        struct tm tm = { 0 };
        const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
        time_t when;

        if (!end || *end)
                return 0;
        if (streq(text, "9999-12-31T23:59:59Z"))
                return USEC_INFINITY;
        when = timegm(&tm);
        return when > 0 ? (usec_t)when * USEC_PER_SEC : 0;
}

const char *view_string(const json_t *object, const char *name) {
        return json_string_value(json_object_get(object, name));
}

uint64_t view_number(const json_t *object, const char *name) {
        json_int_t value = json_integer_value(json_object_get(object, name));

        return value > 0 ? (uint64_t)value : 0;
}

usec_t view_member_time(const json_t *object, const char *name) {
        const char *text = view_string(object, name);

        return text ? view_time(text) : 0;
}

static unsigned count(const json_t *object, const char *name) {
        uint64_t value = view_number(object, name);

        return value > UINT_MAX ? UINT_MAX : (unsigned)value;
}

static const char *or_else(const char *text, const char *otherwise) {
        return text ? text : otherwise;
}

/* A rekeyd that does not say it has a set, or none that it knows of. */
static enum knowledge read_knowledge(const json_t *status, const char *fingerprint) {
        const char *text = view_string(status, "knowledge");

        for (enum knowledge knowledge = SET_UNKNOWN; text && knowledge < KNOWLEDGE_MAX; knowledge++)
                if (streq(knowledge_names[knowledge], text))
                        return knowledge;
        return strempty(fingerprint) ? SET_NONE : SET_KNOWN;
}

void view_read(const json_t *status, struct view *ret) {
        *ret = (struct view) {
                .name = or_else(view_string(status, "name"), "?"),
                .connector = or_else(view_string(status, "connector"), "?"),
                .directory = or_else(view_string(status, "directory"), "?"),
                .state = or_else(view_string(status, "state"), "unknown"),
                .step = view_string(status, "step"),
                .failure = view_string(status, "failure"),
                .renewable.cause = view_string(status, "cause"),
                .last_error = view_string(status, "last_error"),
                .last_result = view_string(status, "last_result"),
                .last_operation = view_string(status, "last_operation"),
                .renewable.doubt = view_string(status, "doubt"),
                .renewable.key_ahead = view_string(status, "key_ahead"),
                .renewable.key_ahead_at = view_member_time(status, "key_ahead_at"),
                .renewable.replacement = view_string(status, "replacement"),
                .renewable.answer = view_string(status, "probe"),
                .renewable.probed_at = view_member_time(status, "probed_at"),
                .last_result_error = view_string(status, "last_result_error"),
                .files.token_problem = view_string(status, "token_problem"),
                .files.rights_error = view_string(status, "rights_error"),
                .notices.error = view_string(status, "notification_error"),
                .fingerprint = view_string(status, "fingerprint"),
                .subjects.current = view_string(status, "subject"),
                .subjects.refused = view_string(status, "refused_subject"),
                .problem = view_string(status, "problem"),
                .is_usable = json_is_true(json_object_get(status, "usable")),
                .is_revoked = json_is_true(json_object_get(status, "revoked")),
                .is_revoking = json_is_true(json_object_get(status, "revoking")),
                .is_copied = json_is_true(json_object_get(status, "copied")),
                .files.is_unwatched = json_is_true(json_object_get(status, "unwatched")),
                .generation = view_number(status, "generation"),
                .renewable.issuer = view_string(status, "issuer"),
                .renewable.expires_first = view_string(status, "expires_first"),
                .files.saved_at = view_member_time(status, "saved_at"),
                .not_before = view_member_time(status, "not_before"),
                .not_after = view_member_time(status, "not_after"),
                .renew_at = view_member_time(status, "renew_at"),
                .next_attempt = view_member_time(status, "next_attempt"),
                .last_error_at = view_member_time(status, "last_error_at"),
                .last_result_at = view_member_time(status, "last_result_at"),
                .failures = count(status, "failures"),
                .files.exports_failed = count(status, "exports_failed"),
                .files.export_error = view_string(status, "export_error"),
                .notices.pending = count(status, "notifications_pending"),
                .notices.failed = count(status, "notifications_failed"),
                .budget_left = json_is_integer(json_object_get(status, "budget_left"))
                                       ? count(status, "budget_left")
                                       : VIEW_UNKNOWN,
        };
        ret->knowledge = read_knowledge(status, ret->fingerprint);
        if (ret->knowledge == SET_UNREADABLE)
                ret->problem = or_else(view_string(status, "unreadable"), "its reason is unknown");
}

unsigned view_used(const struct view *view, usec_t now) {
        const usec_t lifetime = usec_sub(view->not_after, view->not_before);
        const usec_t used = usec_sub(now, view->not_before);

        if (lifetime == 0 || used >= lifetime)
                return 100;
        return (unsigned)(used / (lifetime / 100 + 1));
}

const char *view_failed_operation(const struct view *view) {
        const bool has_failed = view->last_operation && streq_null(view->last_result, "failed");

        return has_failed ? view->last_operation : "";
}
