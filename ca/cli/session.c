#include "ca/cli/session.h"

#include <stdarg.h>
#include <sys/stat.h>

#include "ca/cluster/rollout.h"
#include "ca/cluster/secret.h"
#include "ca/live/reload.h"
#include "ca/place/files.h"
#include "ca/rotation/advice.h"
#include "lib/util/json.h"
#include "lib/util/text-stream.h"
#include "lib/util/utf8.h"

#define MODE_STATE 0600
#define MODE_PLACE 0600 /* of what is not there yet, which no rotation begins with */

/* --- Speaking --- */

static void keep_line(struct session *session, const char *line) {
        json_t *done = json_object_get(session->answer, "done");

        if (!done) {
                done = json_array();
                json_object_set_new(session->answer, "done", done);
        }
        json_array_append_new(done, json_text(line));
}

static void say_line(struct session *session, const char *line) {
        _cleanup_(freep) char *clean = utf8_escape(line);

        if (session->options->json)
                keep_line(session, line);
        else
                puts(clean ? clean : "out of memory");
        (void)fflush(stdout);
}

void session_say(struct session *session, const char *format, ...) {
        _cleanup_(freep) char *text = NULL;
        va_list args;
        int n;

        va_start(args, format);
        n = vasprintf(&text, format, args);
        va_end(args);
        if (n < 0)
                text = NULL;
        say_line(session, text ? text : "out of memory");
}

/* --- Ports --- */

static void port_say(void *userdata, const char *text) {
        say_line(userdata, text);
}

static int port_generate(_unused_ void *userdata, unsigned bits, struct key **ret, struct error *error) {
        return key_generate(bits, NULL, ret, error);
}

static int port_verify(void *userdata, const struct record *record, enum phase phase, struct error *error) {
        struct session *session = userdata;

        return live_verify(&session->live, record, phase, error);
}

static int port_guard(void *userdata, const struct record *record, bool is_rollback, struct error *error) {
        struct session *session = userdata;

        return live_guard(&session->live, record, is_rollback, error);
}

static int need_cluster(struct session *session, struct error *error) {
        return session->cluster ? 0 : cluster_new(session->site.kubeconfig, &session->cluster, error);
}

static int port_reload(void *userdata, const char *spec, struct error *error) {
        struct session *session = userdata;
        int r;

        r = need_cluster(session, error);
        return r < 0 ? r : rollout_restart(session->cluster, spec, session->site.patience, error);
}

static usec_t port_now(_unused_ void *userdata) {
        return now_usec(CLOCK_REALTIME);
}

static const struct rotation_ports ports = { .say = port_say,
                                             .generate = port_generate,
                                             .verify = port_verify,
                                             .guard = port_guard,
                                             .now = port_now };

/* --- The site --- */

static void override_gateways(struct session *session) {
        const struct options *options = session->options;
        size_t n = 0;

        for (; options->gateway[n]; n++)
                session->gateways[n] = (struct site_gateway) { .url = (char *)options->gateway[n],
                                                               .trust = (char *)options->gateway_trust };
        if (n == 0)
                return;
        session->site.gateways = session->gateways;
        session->site.n_gateways = n;
}

static void override_site(struct session *session) {
        const struct options *options = session->options;
        struct site *site = &session->site;

        if (options->signer)
                site->signer = (char *)options->signer;
        if (options->state)
                site->state = (char *)options->state;
        if (options->kubeconfig)
                site->kubeconfig = (char *)options->kubeconfig;
        if (options->prometheus)
                site->prometheus = (char *)options->prometheus;
        if (options->trust[0])
                site->trust = (char **)(void *)options->trust;
        if (options->control[0])
                site->control = (char **)(void *)options->control;
        if (options->reload[0])
                site->reload = (char **)(void *)options->reload;
        override_gateways(session);
}

static int check_site(const struct site *site, struct error *error) {
        int r = 0;

        if (!site->signer)
                return error_set(error, -EINVAL, "no signer is configured: set signer, or --signer");
        if (!site->trust || !site->trust[0])
                return error_set(error, -EINVAL, "no trust bundle is configured: set trust, or --trust");
        if (site->canary.url && !site->canary.subject)
                return error_set(error, -EINVAL, "the canary has a url and no subject");
        for (char **spec = site->reload; spec && *spec && r == 0; spec++)
                r = rollout_is_spec(*spec) ? 0 : reload_check(*spec, error);
        return r;
}

/* --- Places --- */

/* Each scheme has its back-end. */
static int open_place(struct session *session, const char *spec, size_t n, struct backend **ret,
                      struct error *error) {
        int r;

        if (has_prefix(spec, "files:"))
                return files_parse(spec, n, MODE_PLACE, ret, error);
        if (!has_prefix(spec, "secret:"))
                return error_set(error, -EINVAL,
                                 "'%s' is no place that is known: it begins with files: or secret:", spec);
        r = need_cluster(session, error);
        return r < 0 ? r
                     : secret_parse(session->cluster, spec, n == 2 ? SECRET_SIGNER : SECRET_TRUST, ret,
                                    error);
}

static int open_trusts(struct session *session, struct error *error) {
        int r;

        for (char **spec = session->site.trust; *spec; spec++) {
                if (session->n_trusts == SESSION_TRUSTS_MAX)
                        return error_set(error, -EINVAL, "there are more than %d bundles",
                                         SESSION_TRUSTS_MAX);
                r = open_place(session, *spec, 1, &session->trusts[session->n_trusts], error);
                if (r < 0)
                        return r;
                session->n_trusts++;
        }
        return 0;
}

/* One level deep, and for root or its owner alone. */
static int make_state_directory(const char *path, struct error *error) {
        const char *slash = strrchr(path, '/');
        _cleanup_(freep) char *directory = strndup(path, slash > path ? (size_t)(slash - path) : 1);

        if (!directory)
                return error_set_errno(error, -ENOMEM, "cannot use %s", path);
        if (mkdir(directory, 0700) < 0 && errno != EEXIST)
                return error_set_errno(error, -errno, "cannot make the directory %s", directory);
        return 0;
}

static int open_state_file(struct session *session, enum session_mode mode, struct error *error) {
        const char *path = session->site.state;
        int r;

        r = files_new(path, &path, 1, MODE_STATE, &session->state, error);
        return r == 0 && mode == SESSION_CHANGES ? make_state_directory(path, error) : r;
}

static int open_state(struct session *session, enum session_mode mode, struct error *error) {
        int r;

        if (has_prefix(session->site.state, "secret:")) {
                r = need_cluster(session, error);
                if (r == 0)
                        r = secret_parse(session->cluster, session->site.state, SECRET_STATE, &session->state,
                                         error);
        } else
                r = open_state_file(session, mode, error);
        if (r == 0 && mode == SESSION_CHANGES)
                r = session->state->ops->lock(session->state, error);
        return r;
}

static int open_places(struct session *session, enum session_mode mode, struct error *error) {
        int r;

        r = open_place(session, session->site.signer, 2, &session->signer, error);
        if (r == 0)
                r = open_trusts(session, error);
        if (r == 0)
                r = open_state(session, mode, error);
        return r;
}

int session_open(struct session *session, const struct options *options, enum session_mode mode,
                 struct error *error) {
        int r;

        *session = (struct session) { .options = options, .answer = json_object() };
        session->live = (struct live) { .site = &session->site,
                                        .generate = port_generate,
                                        .say = port_say,
                                        .reload_other = port_reload,
                                        .userdata = session };
        r = site_read(options->config ? options->config : SITE_FILE, !options->config, &session->site, error);
        if (r < 0)
                return r;
        override_site(session);
        r = check_site(&session->site, error);
        if (r == 0)
                r = open_places(session, mode, error);
        if (r < 0)
                return r;
        return rotation_open(&(struct rotation_places) { .signer = session->signer,
                                                         .trusts = session->trusts,
                                                         .n_trusts = session->n_trusts,
                                                         .state = session->state },
                             &ports, session, &session->rotation, error);
}

void session_close(struct session *session) {
        rotation_free(session->rotation);
        backend_free(session->signer);
        for (size_t i = 0; i < session->n_trusts; i++)
                backend_free(session->trusts[i]);
        backend_free(session->state);
        cluster_free(session->cluster);
        site_clear(&session->site);
        json_decref(session->answer);
}

/* --- What is there --- */

/* Where it cannot be found out, rights that a rotation does not need are missing. */
static int survey_doubt(struct backend *backend, struct survey *survey) {
        _cleanup_(error_clear) struct error why = ERROR_INIT;
        _cleanup_(freep) char *doubt = NULL;

        if (!backend->ops->find_doubt)
                return 0;
        if (backend->ops->find_doubt(backend, &doubt, &why) < 0)
                return survey_add(survey, FINDING_NOTE, "%s: %s", backend->name, error_text(&why));
        return doubt ? survey_add(survey, FINDING_UNREAD, "%s: %s", backend->name, doubt) : 0;
}

static int survey_place(struct session *session, struct backend *backend, bool is_signer,
                        struct survey *survey, struct error *error) {
        const usec_t now = now_usec(CLOCK_REALTIME);
        _cleanup_(contents_clear) struct contents contents = { 0 };
        _cleanup_(error_clear) struct error why = ERROR_INIT;
        _cleanup_(freep) char *writer = NULL;
        char version[VERSION_MAX];
        int r;

        if (backend->ops->read(backend, &contents, version, &why) < 0)
                return survey_add(survey, FINDING_WRONG, "%s: %s", backend->name, error_text(&why));
        r = is_signer ? survey_signer(survey, backend->name, &contents, session->site.leaf_lifetime, now)
                      : survey_trust(survey, backend->name, &contents, now);
        if (r == 0 && backend->ops->check_rights(backend, &why) < 0)
                r = survey_add(survey, FINDING_WRONG, "%s: %s", backend->name, error_text(&why));
        if (r == 0)
                r = backend->ops->find_writer(backend, &writer, error);
        if (r == 0 && writer)
                r = survey_add(survey, FINDING_WRITER, "%s", writer);
        return r == 0 && !is_signer ? survey_doubt(backend, survey) : r;
}

/* Its directory is made by the first verb that changes something. */
static int survey_state(struct session *session, struct survey *survey) {
        _cleanup_(error_clear) struct error why = ERROR_INIT;
        const int r = session->state->ops->check_rights(session->state, &why);

        if (r == 0 || r == -ENOENT)
                return 0;
        return survey_add(survey, FINDING_WRONG, "%s: %s", session->state->name, error_text(&why));
}

/* What would stop a rotation in the middle. */
static int survey_reloads(struct session *session, struct survey *survey) {
        int r = 0;

        for (char **spec = session->site.reload; spec && *spec && r == 0; spec++) {
                _cleanup_(error_clear) struct error why = ERROR_INIT;

                if (!rollout_is_spec(*spec))
                        continue;
                r = need_cluster(session, &why);
                if (r == 0)
                        r = rollout_check(session->cluster, *spec, &why);
                if (r < 0)
                        r = survey_add(survey, FINDING_WRONG, "%s: %s", *spec, error_text(&why));
        }
        return r;
}

int session_survey(struct session *session, struct survey *ret, struct error *error) {
        int r;

        r = survey_place(session, session->signer, true, ret, error);
        for (size_t i = 0; i < session->n_trusts && r == 0; i++)
                r = survey_place(session, session->trusts[i], false, ret, error);
        if (r == 0)
                r = survey_state(session, ret);
        if (r == 0)
                r = survey_reloads(session, ret);
        return r == -ENOMEM ? error_set_errno(error, r, "cannot inspect") : r;
}

json_t *session_describe_cert(const struct cert *cert) {
        char fingerprint[FINGERPRINT_HEX], spki[FINGERPRINT_HEX], key[CERT_KEY_TEXT], from[TIMESTAMP_MAX],
                to[TIMESTAMP_MAX];
        _cleanup_(freep) char *subject = cert_subject_text(cert), *serial = cert_serial_text(cert);
        uint8_t hash[FINGERPRINT_SIZE];

        cert_fingerprint(cert, hash);
        hex_format(fingerprint, hash, sizeof(hash));
        cert_spki(cert, hash);
        hex_format(spki, hash, sizeof(hash));
        return json_pack("{s:o,s:s,s:s,s:s,s:s,s:s,s:s?}", "subject", json_text(subject ? subject : "?"),
                         "fingerprint", fingerprint, "spki", spki, "key", cert_key_text(cert, key),
                         "not_before", format_timestamp(from, cert_not_before(cert)), "not_after",
                         format_timestamp(to, cert_not_after(cert)), "serial", serial);
}

void session_advise(struct session *session) {
        const struct record *record = rotation_record(session->rotation);
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        FILE *out = record ? text_stream_open(&text, &size) : NULL;

        if (!out)
                return;
        (void)advice_print(record, session->site.connector, out, NULL);
        if (fclose(out) != 0)
                return;
        if (size > 0 && session->options->json)
                json_object_set_new(session->answer, "advice", json_string(text));
        else if (size > 0)
                printf("\n%s", text);
}

/* --- The end --- */

static int status_of(int r) {
        static const struct {
                int code;
                enum exit_status status;
        } rows[] = {
                { 0, EXIT_DONE },      { -EINVAL, EXIT_USAGE },   { -EPERM, EXIT_REFUSED },
                { -EBUSY, EXIT_BUSY }, { -ESTALE, EXIT_CHANGED }, { -EAGAIN, EXIT_UNVERIFIED },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (rows[i].code == r)
                        return (int)rows[i].status;
        return EXIT_FAILED;
}

int session_end(struct session *session, int r, const struct error *error) {
        _cleanup_(freep) char *clean = r < 0 ? utf8_escape(error_text(error)) : NULL;
        const struct record *record = session->rotation ? rotation_record(session->rotation) : NULL;

        if (r < 0)
                fprintf(stderr, "rekeyca: %s\n", clean ? clean : "out of memory");
        if (session->options->json) {
                json_object_set_new(session->answer, "verb",
                                    json_string(verb_rows[session->options->verb].name));
                if (record)
                        json_object_set_new(session->answer, "rotation", record_describe(record));
                if (r < 0)
                        json_object_set_new(session->answer, "error", json_text(error_text(error)));
                json_dumpf(session->answer, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
                putchar('\n');
        }
        if (fflush(stdout) != 0 && r == 0 && errno != EPIPE)
                return EXIT_FAILED;
        return status_of(r);
}
