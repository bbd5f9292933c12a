#include "ca/live/control.h"

#include <stdio.h>

#include "ca/live/call.h"
#include "lib/util/json.h"
#include "lib/util/quote.h"

#define HOST "http://rekeyd"

static int parse(const char *text, json_t **ret, struct error *error) {
        return json_read(text, strlen(text), CALL_REPLY_MAX, ret, error);
}

static const char *text_of(const json_t *object, const char *name) {
        const char *text = json_string_value(json_object_get(object, name));

        return text ? text : "";
}

/* --- What it has --- */

static const json_t *find_ca(const json_t *cas, const char *fingerprint) {
        const json_t *ca;
        size_t i;

        json_array_foreach(json_object_get(cas, "cas"), i, ca) {
                if (streq(text_of(ca, "fingerprint"), fingerprint))
                        return ca;
        }
        return NULL;
}

static int add_issuers(const json_t *status, const json_t *cas, const char *instance, struct fleet *fleet) {
        const json_t *issuer;
        size_t i;
        int r = 0;

        json_array_foreach(json_object_get(status, "issuers"), i, issuer) {
                const char *fingerprint = json_string_value(issuer);
                const json_t *ca = fingerprint ? find_ca(cas, fingerprint) : NULL;

                if (!fingerprint)
                        return -EINVAL;
                r = fleet_add(fleet, text_of(status, "name"), instance, fingerprint, text_of(ca, "spki"),
                              text_of(ca, "subject"));
                if (r < 0)
                        break;
        }
        return r;
}

int control_read(const char *certificates, const char *cas, const char *instance, struct fleet *ret,
                 struct error *error) {
        _cleanup_(json_decrefp) json_t *list = NULL, *cas_list = NULL;
        _cleanup_(fleet_clear) struct fleet fleet = { 0 };
        const json_t *array, *status;
        size_t i;
        int r;

        r = parse(certificates, &list, error);
        if (r == 0)
                r = parse(cas, &cas_list, error);
        if (r < 0)
                return r;
        array = json_object_get(list, "certificates");
        if (!json_is_array(array))
                return error_set(error, -EINVAL, "it has no list of certificates");
        json_array_foreach(array, i, status) {
                r = add_issuers(status, cas_list, instance, &fleet);
                if (r < 0)
                        return error_set_errno(error, r, "its certificates cannot be read");
        }
        *ret = fleet;
        fleet = (struct fleet) { 0 };
        return 0;
}

/* --- Calls --- */

static int ask(const char *socket, const char *path, const char *body, struct call_reply *ret,
               struct error *error) {
        _cleanup_(freep) char *url = NULL;
        int r;

        if (asprintf(&url, HOST "%s", path) < 0)
                return error_set_errno(error, -ENOMEM, "cannot call rekeyd");
        r = call_make(&(struct call_request) { .url = url, .socket = socket, .body = body }, ret, error);
        if (r == 0 && ret->answer != CALL_ANSWERED)
                r = error_set(error, -EIO, "cannot call rekeyd at %s: %s", socket, ret->why);
        return r;
}

/* An answer other than STATUS has a sentence. */
static int check(const struct call_reply *reply, unsigned status, struct error *error) {
        _cleanup_(json_decrefp) json_t *json = NULL;
        const bool is_for_now = reply->status == 409 || reply->status == 429;

        if (reply->status == status)
                return 0;
        if (parse(reply->body, &json, NULL) < 0)
                return error_set(error, -EIO, "rekeyd answers with status %u", reply->status);
        return error_set(error, is_for_now ? -EAGAIN : -EIO, "%s", quoted(text_of(json, "error")));
}

static int get(const char *socket, const char *path, struct call_reply *ret, struct error *error) {
        const int r = ask(socket, path, NULL, ret, error);

        return r < 0 ? r : check(ret, 200, error);
}

int control_count(const char *socket, struct fleet *ret, struct error *error) {
        _cleanup_(call_reply_clear) struct call_reply certificates = { 0 }, cas = { 0 };
        int r;

        r = get(socket, "/v1/certificates", &certificates, error);
        if (r == 0)
                r = get(socket, "/v1/cas", &cas, error);
        if (r == 0)
                r = control_read(certificates.body, cas.body, socket, ret, error);
        return r < 0 ? error_prefix(error, "cannot count the sets of rekeyd at %s", socket) : 0;
}

/* Names of certificates need no escape; another one would not be one of rekeyd. */
static bool is_name(const char *text) {
        return *text && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
                                strlen(text);
}

int control_renew(const char *socket, const char *certificate, usec_t within, struct error *error) {
        _cleanup_(call_reply_clear) struct call_reply reply = { 0 };
        _cleanup_(freep) char *path = NULL;
        char body[48] = "{}";
        int r;

        if (!is_name(certificate))
                return error_set(error, -EINVAL, "'%s' is no name of a certificate", quoted(certificate));
        if (asprintf(&path, "/v1/certificates/%s/renew", certificate) < 0)
                return error_set_errno(error, -ENOMEM, "cannot renew %s", certificate);
        if (within > 0)
                snprintf(body, sizeof(body), "{\"within\": %llu}",
                         (unsigned long long)(within / USEC_PER_SEC));
        r = ask(socket, path, body, &reply, error);
        if (r == 0)
                r = check(&reply, 202, error);
        return r < 0 ? error_prefix(error, "rekeyd at %s does not renew %s", socket, certificate) : 0;
}
