/*
 * `rekeyctl adopt`: a key and a certificate that are elsewhere come under rekeyd's care. They are read here,
 * as the operator, since the service may read neither /root nor the directory of an application, and are
 * handed over as they were understood: a key that lies in the file of the certificate is not. rekeyd checks
 * them once more, for it trusts nobody's reading but its own.
 */

#include <fcntl.h>
#include <stdio.h>

#include "ctl/change.h"
#include "ctl/operation.h"
#include "ctl/view.h"
#include "lib/protocol/url.h"
#include "lib/store/handed.h"
#include "lib/util/json.h"
#include "lib/x509/cert.h"
#include "lib/x509/pem-text.h"

/* The file that the option NAME has; NULL where it is not given. Owned, may hold a key. */
static int read_file(const struct ctl *ctl, const char *name, char **ret, struct error *error) {
        const char *path = ctl_text(ctl, name);
        size_t size;
        int r;

        if (!path)
                return 0;
        r = file_read_at(AT_FDCWD, path, FILE_FOLLOW, CERT_PEM_MAX, ret, &size);
        if (r == -EFBIG)
                return error_set(error, r, "cannot read %s: it is larger than %u KiB", path,
                                 CERT_PEM_MAX / 1024);
        if (r < 0)
                return error_set_errno(error, r, "cannot read %s", path);
        if (pem_text_restore(ret, &size) < 0) /* UTF-16 has a NUL in each letter */
                return error_set(error, -ENOMEM, "out of memory");
        if (strlen(*ret) != size) /* what is binary is named by its beginning */
                return error_set(error, -EINVAL, "cannot use %s: %s", path,
                                 pem_text_kind(*ret, size, streq(name, "key") ? PEM_KEY : PEM_CERTIFICATE));
        return 0;
}

static int read_pair(const struct ctl *ctl, struct set *ret, struct error *error) {
        _cleanup_(free_secretp) char *key = NULL, *certificate = NULL, *ca = NULL;
        int r;

        r = read_file(ctl, "key", &key, error);
        if (r == 0)
                r = read_file(ctl, "certificate", &certificate, error);
        if (r == 0)
                r = read_file(ctl, "ca", &ca, error);
        if (r < 0)
                return r;
        return handed_read(&(struct handed) { .key = { ctl_text(ctl, "key"), key },
                                              .certificate = { ctl_text(ctl, "certificate"), certificate },
                                              .ca = { ctl_text(ctl, "ca"), ca } },
                           now_usec(CLOCK_REALTIME), ret, error);
}

static int put(json_t *body, const char *name, const char *text) {
        return text ? json_object_set_new(body, name, json_string(text)) : 0;
}

/* In memory that is cleansed when it is freed, as that of all that json_read() makes. */
static json_t *make_body(const struct ctl *ctl, const struct set *set) {
        json_t *body;
        const char *key;
        size_t size;

        key_pem(set->key, &key, &size);
        if (json_read("{}", 2, 2, &body, NULL) < 0)
                return NULL;
        if (json_object_set_new(body, "key", json_stringn(key, size)) == 0 &&
            put(body, "certificate", set->certificate_pem) == 0 && put(body, "ca", set->ca_pem) == 0 &&
            put(body, "url", ctl_text(ctl, "url")) == 0 &&
            (!ctl_has(ctl, "force") || json_object_set_new(body, "force", json_true()) == 0))
                return body;
        json_decref(body);
        return NULL;
}

/* What is to be done now: the certificate is renewed here from now on, and not where it was. */
static void print_next(const struct ctl *ctl, const json_t *details) {
        const char *directory = view_string(details, "directory");
        const json_t *set = json_object_get(details, "set");

        if (!directory)
                return;
        ctl_print(ctl, "Point the application at these files; their names never change:");
        ctl_print(ctl, "  key:          %s/" STORE_KEY, directory);
        ctl_print(ctl, "  certificate:  %s/" STORE_CERTIFICATE, directory);
        if (json_array_size(json_object_get(set, "ca")) > 0)
                ctl_print(ctl, "  CA:           %s/" STORE_CA, directory);
        ctl_print(ctl,
                  "Then delete %s and %s: after the next renewal they are out of date. If the application "
                  "runs as another user, set `group` and `mode: 0640` for %s.",
                  ctl_text(ctl, "key"), ctl_text(ctl, "certificate"), ctl->arguments[0]);
}

static int show_result(struct ctl *ctl) {
        _cleanup_(json_decrefp) json_t *details = NULL;
        int exit;

        exit = change_read(ctl, ctl->arguments[0], &details);
        if (exit != CTL_OK)
                return exit;
        if (ctl_has(ctl, "json"))
                return ctl_print_json(ctl, details);
        print_next(ctl, details);
        return CTL_OK;
}

static int hand_over(struct ctl *ctl, json_t **body, bool is_waiting) {
        int exit;

        exit = operation_run(ctl, &(struct operation) {
                                          .name = "adopt",
                                          .asked = "adoption requested",
                                          .is_quiet = ctl_has(ctl, "json"),
                                          .body = body,
                                          .certificates = ctl->arguments,
                                          .n_certificates = 1,
                                  });
        /* What is in use is to be known also where a dependent has not heard of it. */
        if (is_waiting && (exit == CTL_OK || exit == CTL_NOT_DELIVERED)) {
                const int shown = show_result(ctl);

                return exit == CTL_OK ? shown : exit;
        }
        return exit;
}

static int run(struct ctl *ctl) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(set_clear) struct set set = { 0 };
        const char *url = ctl_text(ctl, "url");
        bool is_waiting;
        json_t *body;
        int r, exit;

        if (!ctl_has(ctl, "key") || !ctl_has(ctl, "certificate"))
                return ctl_fail(ctl, CTL_USAGE, "adopt: both --key and --certificate are needed");
        if (url && !url_is_https(url))
                return ctl_fail(ctl, CTL_USAGE,
                                "adopt: --url must be an https URL without a user or fragment");
        if (!change_wants_wait(ctl, &is_waiting))
                return CTL_USAGE;
        r = read_pair(ctl, &set, &error);
        if (r < 0)
                return ctl_fail(ctl, r == -EACCES ? CTL_DENIED : CTL_FAILED, "%s", error_text(&error));
        body = make_body(ctl, &set);
        if (!body)
                return ctl_fail(ctl, CTL_FAILED, "out of memory");
        exit = hand_over(ctl, &body, is_waiting);
        json_decref(body);
        return exit;
}

static const struct ctl_argument arguments[] = {
        { .name = "NAME", .kind = CTL_CERTIFICATE },
};

static const struct ctl_option options[] = {
        { .name = "key", .kind = CTL_FILE, .argument = "FILE", .help = "the private key, in PEM" },
        { .name = "certificate",
          .kind = CTL_FILE,
          .argument = "FILE",
          .help = "the certificate, with its intermediates if there are any" },
        { .name = "ca",
          .kind = CTL_FILE,
          .argument = "FILE",
          .help = "the CA that issued it, unless it is in the file of the certificate" },
        { .name = "url",
          .kind = CTL_TEXT,
          .argument = "URL",
          .help = "the Connector's certificate-secured URL, unless it is configured" },
        { .name = "force",
          .letter = 'f',
          .help = "replace a certificate that is usable, or another client's" },
        { .name = "json", .letter = 'j', .help = "print rekeyd's answer as JSON" },
        CHANGE_OPTIONS,
};

const struct ctl_command command_adopt = {
        .name = "adopt",
        .section = CTL_CHANGE,
        .help = "take over an existing key and certificate",
        .more = "rekeyctl reads the files as the calling user. rekeyd takes them over once the Connector has "
                "accepted the certificate in a test call. The given files stay as they are.",
        .arguments = arguments,
        .n_arguments = ELEMENTSOF(arguments),
        .options = options,
        .n_options = ELEMENTSOF(options),
        .run = run,
};
