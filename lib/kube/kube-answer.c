/*
 * The status decides, and where one status has two meanings the reason of the Status object does. What the
 * server could not finish (5xx) may have been done all the same: etcd may have the write while the answer
 * says that it timed out. So a change that ends so is uncertain, and only 429 is known to have done nothing.
 */

#include "lib/kube/kube-answer.h"

#include "lib/kube/kube-object.h"
#include "lib/protocol/reply.h"

#define RETRY_MAX_SEC 3600 /* a server that asks for more is not believed */

const char *const kube_outcome_names[KUBE_OUTCOME_MAX] = {
        [KUBE_DONE] = "done",           [KUBE_NOT_FOUND] = "not found", [KUBE_EXISTS] = "exists",
        [KUBE_CONFLICT] = "conflict",   [KUBE_GONE] = "gone",           [KUBE_UNAUTHORIZED] = "unauthorized",
        [KUBE_FORBIDDEN] = "forbidden", [KUBE_INVALID] = "invalid",     [KUBE_BUSY] = "busy",
        [KUBE_UNCERTAIN] = "uncertain", [KUBE_UNREACHED] = "unreached", [KUBE_BAD_REPLY] = "bad reply",
};

enum kube_outcome kube_answer_judge(unsigned status, const char *reason, bool changes) {
        static const struct {
                unsigned status;
                const char *reason; /* NULL: any */
                enum kube_outcome outcome;
        } rows[] = {
                { 401, NULL, KUBE_UNAUTHORIZED }, { 403, NULL, KUBE_FORBIDDEN },
                { 404, NULL, KUBE_NOT_FOUND },    { 409, "AlreadyExists", KUBE_EXISTS },
                { 409, NULL, KUBE_CONFLICT },     { 410, NULL, KUBE_GONE },
                { 429, NULL, KUBE_BUSY },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (rows[i].status == status && (!rows[i].reason || streq_null(rows[i].reason, reason)))
                        return rows[i].outcome;
        if (status / 100 == 2)
                return KUBE_DONE;
        if (status / 100 == 5)
                return changes ? KUBE_UNCERTAIN : KUBE_BUSY;
        return status / 100 == 4 ? KUBE_INVALID : KUBE_BAD_REPLY;
}

static usec_t retry_after(const struct kube_reply *reply, const json_t *status) {
        const json_int_t sec =
                json_integer_value(json_object_get(json_object_get(status, "details"), "retryAfterSeconds"));
        usec_t usec = reply->retry_after_usec;

        if (usec == 0 && sec > 0)
                usec = (sec < RETRY_MAX_SEC ? (usec_t)sec : RETRY_MAX_SEC) * USEC_PER_SEC;
        return usec < RETRY_MAX_SEC * USEC_PER_SEC ? usec : RETRY_MAX_SEC * USEC_PER_SEC;
}

static int explain(const struct kube_reply *reply, const json_t *status, enum kube_outcome outcome,
                   struct error *error) {
        const char *message = json_string_value(json_object_get(status, "message"));
        char quote[REPLY_QUOTE_MAX + 1];

        if (!strempty(message))
                (void)error_set(error, -EPROTO, "the API server answers with HTTP status %u: \"%s\"",
                                reply->status, reply_quote(message, quote));
        else
                (void)error_set(error, -EPROTO, "the API server answers with HTTP status %u%s", reply->status,
                                outcome == KUBE_BAD_REPLY ? ", which none should" : " and no reason");
        return (int)outcome;
}

int kube_answer_read(const struct kube_reply *reply, json_t **ret, usec_t *ret_retry_usec,
                     struct error *error) {
        _cleanup_(error_clear) struct error cause = ERROR_INIT;
        _cleanup_(json_decrefp) json_t *root = NULL;
        enum kube_outcome outcome;
        const char *reason;
        int r;

        r = json_read(reply->body, reply->size, KUBE_OBJECT_MAX, &root, &cause);
        if (r == -ENOMEM)
                return r;
        reason = json_string_value(json_object_get(root, "reason"));
        outcome = kube_answer_judge(reply->status, reason, reply->changes);
        if (outcome == KUBE_DONE && r < 0) {
                (void)error_set(error, -EPROTO, "the API server's answer is wrong: %s", error_text(&cause));
                return reply->changes ? KUBE_UNCERTAIN : KUBE_BAD_REPLY;
        }
        *ret_retry_usec = outcome == KUBE_DONE ? 0 : retry_after(reply, root);
        if (outcome != KUBE_DONE)
                return explain(reply, root, outcome, error);
        *ret = take_ptr(root);
        return KUBE_DONE;
}
