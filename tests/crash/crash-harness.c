/*
 * The invariants of a whole renewal, written down once: what a reader may see at any instant, and what
 * everybody has when rekeyd has been started again and has done its work. Nothing here knows where rekeyd was
 * killed; whatever may be excused (a token that was burnt, a signature that was lost on the way) is excused
 * by what devconnector saw and what lies on the disk.
 *
 * The current set of a renewal's baseline is due, since its leaf is given an earlier notBefore: devconnector
 * would have to be waited for.
 */

#include "tests/crash/crash-harness.h"

#include <openssl/pem.h>
#include <signal.h>
#include <sys/stat.h>

#include "lib/export/export.h"
#include "lib/life/state.h"
#include "lib/x509/chain.h"
#include "tests/test.h"

#define CLIENT "client-1"

const struct scenario crash_harness_enrolment = { "enrolment", 1, 2, false };
const struct scenario crash_harness_renewal = { "renewal", 2, 2, false };
const struct scenario crash_harness_recovery = { "recovery", 2, 0, false };
const struct scenario crash_harness_key_ahead = { "key-ahead", 2, 0, true };

#define CONFIGURATION                                                                                       \
        "state_directory: %1$s/world/state\n"                                                               \
        "log: {format: json, level: info}\n"                                                                \
        "connectors:\n"                                                                                     \
        "  dev: {protocol: %5$s, enrol_url: '%2$s', trust: %3$s, ca_window: 1s}\n"                          \
        "defaults: {key: {bits: 2048, ahead: 30d}, jitter: 0%%, renew_before: %4$s}\n"                      \
        "certificates:\n"                                                                                   \
        "  orders:\n"                                                                                       \
        "    connector: dev\n"                                                                              \
        "    directory: %1$s/world/orders\n"                                                                \
        "    token_file: %1$s/token\n"                                                                      \
        "    exports:\n"                                                                                    \
        "      - {path: %1$s/world/exports/orders.pem}\n"                                                   \
        "      - {path: %1$s/world/exports/orders.p12, format: pkcs12, passphrase_file: %1$s/passphrase}\n" \
        "    notify:\n"                                                                                     \
        "      - command: [/bin/sh, -c, 'echo $REKEYD_GENERATION >> %1$s/world/told']\n"

/* --- Running --- */

static void configure(struct fixture *fixture, const char *renew_before) {
        _cleanup_(freep) char *text = NULL;

        if (asprintf(&text, CONFIGURATION, fixture->directory, fixture->token_url, fixture->trust,
                     renew_before, fixture->protocol) < 0)
                abort();
        scratch_write(fixture->directory, "rekeyd.yaml", text, 0600);
}

void crash_harness_copy(const struct crash_harness *harness, const char *from, const char *to) {
        const char *parent = harness->fixture->directory;
        _cleanup_(freep) char *source = scratch_path(parent, from), *target = scratch_path(parent, to);
        const char *argv[] = { "cp", "-a", source, target, NULL };
        _cleanup_(process_freep) struct process *cp = NULL;

        scratch_free(strdup(target));
        cp = process_start(argv, false);
        ck_assert_int_eq(process_wait(cp), 0);
}

const char *crash_harness_last_line(const char *text) {
        const char *line = text;

        for (const char *p = text; (p = strchr(p, '\n')) && p[1] != '\0'; p++)
                line = p + 1;
        return line;
}

static void violation(struct crash_harness *harness, const char *format, ...) _printf_(2, 3);
static void violation(struct crash_harness *harness, const char *format, ...) {
        char text[2048];
        va_list ap;

        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        harness->n_violations++;
        if (!harness->is_silent)
                test_report("crash: violation: %s, %s: %s", harness->scenario->name, harness->where, text);
}

/* How often devconnector was asked for OPERATION since the world was reset. It answers one request after the
 * other, so that it has said all when it answers this one. */
static unsigned count_calls(struct crash_harness *harness, const char *operation) {
        char wanted[64];
        unsigned n = 0;

        snprintf(wanted, sizeof(wanted), "\"operation\":\"%s\"", operation);
        json_decref(fixture_admin(harness->fixture, "/", NULL));
        for (const char *p = process_output(harness->fixture->connector, PROCESS_STDOUT) + harness->n_seen;
             (p = strstr(p, wanted)); p++)
                n++;
        return n;
}

/* --- Baselines --- */

/* Gives the current leaf a notBefore and a notAfter around now, as if it had been issued long ago. */
static void age_leaf(struct crash_harness *harness) {
        _cleanup_(freep) char *directory = scratch_path(harness->fixture->directory, "connector"),
                              *key_pem = scratch_read(directory, "ca.key"),
                              *certificate_pem = scratch_read(harness->path, "orders/tls.crt"),
                              *aged_pem = NULL;
        BIO *key_bio = BIO_new_mem_buf(key_pem, -1), *leaf_bio = BIO_new_mem_buf(certificate_pem, -1),
            *aged_bio = BIO_new(BIO_s_mem());
        EVP_PKEY *key = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL);
        X509 *leaf = PEM_read_bio_X509(leaf_bio, NULL, NULL, NULL);
        char *data;
        long size;

        ck_assert(key && leaf);
        ck_assert_ptr_nonnull(X509_gmtime_adj(X509_getm_notBefore(leaf), -30 * 86400L));
        ck_assert_ptr_nonnull(X509_gmtime_adj(X509_getm_notAfter(leaf), 60 * 86400L));
        ck_assert_int_gt(X509_sign(leaf, key, EVP_sha256()), 0);
        ck_assert_int_eq(PEM_write_bio_X509(aged_bio, leaf), 1);
        size = BIO_get_mem_data(aged_bio, &data);
        aged_pem = strndup(data, (size_t)size);
        scratch_write(harness->path, "orders/tls.crt", aged_pem, 0644);
        X509_free(leaf);
        EVP_PKEY_free(key);
        BIO_free(key_bio);
        BIO_free(leaf_bio);
        BIO_free(aged_bio);
}

static int run(struct crash_harness *harness) {
        return fixture_run(harness->fixture, "--once");
}

static void must_run(struct crash_harness *harness, int status) {
        int r = run(harness);

        ck_assert_msg(r == status, "rekeyd ends with %d: %s", r,
                      process_last_words(harness->fixture->rekeyd, PROCESS_STDERR));
}

static void make_baselines(struct crash_harness *harness) {
        const char *directory = harness->fixture->directory;
        _cleanup_(freep) char *baseline = scratch_path(directory, crash_harness_enrolment.name),
                              *folder = scratch_path(baseline, "exports");
        static const char *const told_last[] = { "exports", "state", "told" };
        char from[64], to[64];

        ck_assert_int_eq(mkdir(baseline, 0755), 0);
        ck_assert_int_eq(mkdir(folder, 0755), 0);
        scratch_write(directory, "passphrase", "open sesame, please\n", 0600);

        crash_harness_copy(harness, crash_harness_enrolment.name, "world");
        fixture_token(harness->fixture, CLIENT, "token");
        configure(harness->fixture, "33%");
        must_run(harness, 2);
        /* Nothing is due, but the exports have to follow, and somebody to be told. */
        age_leaf(harness);
        must_run(harness, 0);
        crash_harness_copy(harness, "world", crash_harness_renewal.name);
        crash_harness_copy(harness, "world", crash_harness_key_ahead.name);

        configure(harness->fixture, "80%");
        must_run(harness, 2);
        for (size_t i = 0; i < ELEMENTSOF(told_last); i++) {
                snprintf(from, sizeof(from), "%s/%s", crash_harness_renewal.name, told_last[i]);
                snprintf(to, sizeof(to), "world/%s", told_last[i]);
                crash_harness_copy(harness, from, to);
        }
        crash_harness_copy(harness, "world", crash_harness_recovery.name);
}

struct crash_harness *crash_harness_new(void) {
        struct crash_harness *harness = calloc(1, sizeof(*harness));

        ck_assert_ptr_nonnull(harness);
        harness->fixture = fixture_new(NULL);
        harness->path = scratch_path(harness->fixture->directory, "world");
        harness->scenario = &crash_harness_enrolment;
        make_baselines(harness);
        return harness;
}

static void forget_run(struct crash_harness *harness) {
        set_clear(&harness->old);
        free(harness->aftermath.certificate);
        harness->aftermath = (struct aftermath) { 0 };
}

struct crash_harness *crash_harness_free(struct crash_harness *harness) {
        if (!harness)
                return NULL;
        forget_run(harness);
        fixture_free(harness->fixture);
        free(harness->path);
        free(harness);
        return NULL;
}

/* --- What is there --- */

enum view { VIEW_NONE, VIEW_WHOLE, VIEW_BROKEN };

/* Whether the three texts belong together. Fills in what export_is_current() needs. */
static bool fits(struct set *set, const char *key_pem) {
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 }, anchors = { 0 };
        uint8_t spki[SPKI_HASH_SIZE], other[SPKI_HASH_SIZE];

        if (key_parse(key_pem, strlen(key_pem), &set->key, NULL) < 0 ||
            cert_list_parse(set->certificate_pem, strlen(set->certificate_pem), &certs, NULL) < 0 ||
            cert_list_parse(set->ca_pem, strlen(set->ca_pem), &anchors, NULL) < 0)
                return false;
        key_spki(set->key, spki);
        cert_spki(certs.items[0], other);
        if (memcmp(spki, other, sizeof(spki)) != 0 ||
            chain_verify(certs.items[0], &certs, &anchors, now_usec(CLOCK_REALTIME), NULL) < 0)
                return false;
        cert_fingerprint(certs.items[0], set->fingerprint);
        set->leaf = take_ptr(certs.items[0]);
        return true;
}

/* Through one open of `orders`, or of `..data` in it. *RET is filled where the set is whole. */
static enum view look(const struct crash_harness *harness, const char *name, struct set *ret) {
        _cleanup_(freep) char *path = scratch_path(harness->path, name), *key = scratch_read(path, STORE_KEY),
                              *connection = scratch_read(path, STORE_CONNECTION);
        _cleanup_(set_clear) struct set set = {
                .certificate_pem = scratch_read(path, STORE_CERTIFICATE),
                .ca_pem = scratch_read(path, STORE_CA),
        };

        if (!key && !set.certificate_pem && !set.ca_pem && !connection)
                return VIEW_NONE;
        if (!key || !set.certificate_pem || !set.ca_pem || !connection || !fits(&set, key))
                return VIEW_BROKEN;
        *ret = set;
        set = (struct set) { 0 };
        return VIEW_WHOLE;
}

static bool is_current(const struct crash_harness *harness, const char *file, const struct set *set) {
        _cleanup_(freep) char *path = scratch_path(harness->path, file),
                              *passphrase = scratch_path(harness->fixture->directory, "passphrase");
        bool is_pkcs12 = strstr(file, ".p12");
        const struct export export = {
                .path = path,
                .format = is_pkcs12 ? EXPORT_PKCS12 : EXPORT_PEM,
                .passphrase_file = is_pkcs12 ? passphrase : NULL,
                .friendly_name = is_pkcs12 ? "orders" : NULL,
                .access = { .uid = (uid_t)-1, .gid = (gid_t)-1, .mode = 0 },
        };

        return export_is_current(&export, set);
}

static const char *const exports[] = { "exports/orders.pem", "exports/orders.p12" };

static bool has(const struct crash_harness *harness, const char *file) {
        _cleanup_(freep) char *path = scratch_path(harness->path, file);

        return access(path, F_OK) == 0;
}

/* What the dependent was told last; 0 for nothing. */
static unsigned told(const struct crash_harness *harness) {
        _cleanup_(freep) char *text = scratch_read(harness->path, "told");

        return text ? (unsigned)atoi(crash_harness_last_line(text)) : 0;
}

/* --- A run --- */

void crash_harness_reset(struct crash_harness *harness, const struct scenario *scenario) {
        _cleanup_(freep) char *token = scratch_path(harness->fixture->directory, "token");

        forget_run(harness);
        harness->scenario = scenario;
        crash_harness_copy(harness, scenario->name, "world");
        (void)unlink(token);
        if (scenario->generation == 1)
                fixture_token(harness->fixture, CLIENT, "token");
        else
                ck_assert_int_eq(look(harness, "orders/..gen-000001", &harness->old), VIEW_WHOLE);
        json_decref(fixture_admin(harness->fixture, "/", NULL));
        harness->n_seen = strlen(process_output(harness->fixture->connector, PROCESS_STDOUT));
        harness->begin = now_usec(CLOCK_BOOTTIME);
}

/* The leaf is 30 of 90 days old, and due tomorrow: a key is generated at once. It ends when that is staged
 * and was seen, or after a while where that fails. The shell becomes rekeyd, which is what is traced. */
static int trace_key_ahead(struct crash_harness *harness, struct trace_plan *plan, struct trace *ret) {
        static const char script[] =
                "(n=0; while kill -0 $$ && [ ! -e $2/orders/..stage-000002/tls.key ] && [ $n -lt 60 ]; do\n"
                "sleep 0.05; n=$((n + 1)); done; sleep 0.3; kill -TERM $$) 2>/dev/null >&2 &\n"
                "exec $0 --config $1";
        _cleanup_(freep) char *config = scratch_path(harness->fixture->directory, "rekeyd.yaml");
        const char *argv[] = {
                "/bin/sh", "-c", script, fixture_program("REKEYD"), config, harness->path, NULL
        };
        int r;

        configure(harness->fixture, "59d");
        r = trace_run(argv, plan, ret);
        configure(harness->fixture, "80%");
        return r;
}

int crash_harness_trace(struct crash_harness *harness, struct trace_plan *plan, struct trace *ret) {
        _cleanup_(freep) char *config = scratch_path(harness->fixture->directory, "rekeyd.yaml");
        const char *argv[] = { fixture_program("REKEYD"), "--config", config, "--once", NULL };

        plan->root = harness->path;
        if (harness->scenario->is_ahead)
                return trace_key_ahead(harness, plan, ret);
        return trace_run(argv, plan, ret);
}

/* --- At any instant --- */

static bool is_old(const struct crash_harness *harness, const struct set *set) {
        return streq_null(set->certificate_pem, harness->old.certificate_pem);
}

static void note_stage(struct crash_harness *harness) {
        struct aftermath *aftermath = &harness->aftermath;
        _cleanup_(freep) char *path = NULL, *key_pem = NULL, *csr = NULL, *token = NULL, *certificate = NULL;
        _cleanup_(key_freep) struct key *key = NULL;
        char generation[32];

        snprintf(generation, sizeof(generation), "orders/..gen-%06u", harness->scenario->generation);
        aftermath->has_reply = has(harness, generation);
        if (asprintf(&path, "%s/orders/..stage-%06u", harness->path, harness->scenario->generation) < 0)
                abort();
        key_pem = scratch_read(path, STORE_KEY);
        csr = scratch_read(path, "tls.csr");
        token = scratch_read(path, "token");
        certificate = scratch_read(path, STORE_CERTIFICATE);
        if (!key_pem || key_parse(key_pem, strlen(key_pem), &key, NULL) < 0)
                return; /* only just begun */
        key_spki(key, aftermath->spki);
        aftermath->has_key = true;
        aftermath->has_grant = csr && token;
        aftermath->has_reply = aftermath->has_reply || certificate;
}

/* Everybody who opens an export sees all of the old one or of the new one. */
static void check_export(struct crash_harness *harness, const char *file, const struct set *current) {
        bool is_new = current->key && is_current(harness, file, current);

        if (!has(harness, file)) {
                if (harness->old.key)
                        violation(harness, "%s is gone", file);
        } else if (!is_new && !(harness->old.key && is_current(harness, file, &harness->old)))
                violation(harness, "%s is neither the old nor the new one", file);
}

/* Key bytes are nobody else's business, from the first one. */
static void check_secrets(struct crash_harness *harness, const char *directory, unsigned depth) {
        _cleanup_(freep) char *path = scratch_path(harness->path, directory), *list = scratch_list(path);
        char *saved;

        for (char *name = strtok_r(list, " ", &saved); name; name = strtok_r(NULL, " ", &saved)) {
                _cleanup_(freep) char *inner = scratch_path(directory, name), *text = NULL;
                struct stat st;

                free(path);
                path = scratch_path(harness->path, inner);
                if (lstat(path, &st) < 0 || S_ISLNK(st.st_mode))
                        continue;
                if (S_ISDIR(st.st_mode)) {
                        if (depth > 0)
                                check_secrets(harness, inner, depth - 1);
                } else if (st.st_mode & 077) {
                        text = scratch_read(harness->path, inner);
                        if (text && (strstr(text, "PRIVATE KEY") || strstr(name, ".p12")))
                                violation(harness, "%s has mode %04o", inner, st.st_mode & 07777u);
                }
        }
}

/* What the journal has recorded of this run. */
static unsigned recorded_signatures(const struct crash_harness *harness) {
        _cleanup_(freep) char *json = scratch_read(harness->path, "state/orders.json");
        _cleanup_(state_clear) struct state state = { 0 };
        struct state_instant saved;
        unsigned n = 0;

        if (!json || state_parse(json, strlen(json), &state, &saved, NULL) < 0)
                return 0;
        for (size_t i = 0; i < state.n_issuances; i++)
                n += state.issuances[i] >= harness->begin;
        return n;
}

/* A journal that holds fewer would let the next start ask more often than the budget allows. */
static void check_recorded(struct crash_harness *harness, unsigned n_signatures) {
        unsigned recorded = recorded_signatures(harness);

        if (recorded < n_signatures)
                violation(harness, "%u signatures were asked for, and %u are recorded", n_signatures,
                          recorded);
}

/* What devconnector has seen, and what must have come before that. */
static void check_calls(struct crash_harness *harness) {
        struct aftermath *aftermath = &harness->aftermath;
        bool renews = harness->scenario->status == 2;

        aftermath->n_configurations = count_calls(harness, "configuration");
        aftermath->n_signatures = count_calls(harness, "sign");
        if (aftermath->n_signatures > (renews ? 1 : 0))
                violation(harness, "%u signatures were asked for", aftermath->n_signatures);
        if (aftermath->n_signatures > 0 && !aftermath->has_key && !aftermath->has_reply)
                violation(harness, "a CSR has left, and its key is not on the disk");
        check_recorded(harness, aftermath->n_signatures);
        if (renews && aftermath->certificate && count_calls(harness, "probe") == 0)
                violation(harness, "the new set is current, and was never proven");
}

static void check_outcome(struct crash_harness *harness, const struct trace *trace, bool is_killed) {
        static const char *const findings[] = { "Sanitizer", "runtime error:" };
        const struct scenario *scenario = harness->scenario;

        if (is_killed) {
                if (trace->status != 128 + SIGKILL)
                        violation(harness, "it was not killed but ended with status %d", trace->status);
                return;
        }
        if (trace->status != 1 && trace->status != scenario->status)
                violation(harness, "it ended with status %d", trace->status);
        if (trace->status == scenario->status && !scenario->is_ahead &&
            (!harness->aftermath.certificate || told(harness) != scenario->generation))
                violation(harness, "it says that all is done, and it is not");
        for (size_t i = 0; i < ELEMENTSOF(findings); i++)
                if (strstr(trace->output, findings[i]))
                        violation(harness, "it has a fault: %s", trace->output);
}

void crash_harness_check_instant(struct crash_harness *harness, const struct trace *trace, bool is_killed) {
        struct aftermath *aftermath = &harness->aftermath;
        _cleanup_(set_clear) struct set current = { 0 }, named = { 0 };
        enum view view = look(harness, "orders/" STORE_CURRENT, &current),
                  names = look(harness, "orders", &named);

        if (view == VIEW_BROKEN || (view == VIEW_NONE && harness->old.key))
                violation(harness, "the current set is %s", view == VIEW_NONE ? "gone" : "broken");
        if (names != view || !streq_null(current.certificate_pem, named.certificate_pem))
                violation(harness, "the names give another set than the current one");
        if (view == VIEW_WHOLE && !is_old(harness, &current))
                aftermath->certificate = strdup(current.certificate_pem);
        for (size_t i = 0; i < ELEMENTSOF(exports); i++)
                check_export(harness, exports[i], &current);

        check_secrets(harness, ".", 2);
        note_stage(harness);
        check_calls(harness);
        /* An error on reading it looks like damage; nothing may after a kill. */
        aftermath->has_damaged = !is_killed && has(harness, "state/orders.json.damaged");
        check_outcome(harness, trace, is_killed);
}

/* --- In the end --- */

static void check_list(struct crash_harness *harness, const char *directory, const char *expected) {
        _cleanup_(freep) char *path = scratch_path(harness->path, directory),
                              *list = has(harness, directory) ? scratch_list(path) : strdup("nothing");

        if (!streq(list, expected))
                violation(harness, "%s holds %s", directory, list);
}

static void check_litter(struct crash_harness *harness) {
        char name[32];

        check_list(harness, ".", "exports orders state told");
        check_list(harness, "exports", "orders.p12 orders.pem");
        check_list(harness, "state",
                   harness->aftermath.has_damaged ? "orders.history orders.json orders.json.damaged seals"
                                                  : "orders.history orders.json seals");
        check_list(harness, "orders",
                   harness->scenario->generation == 1
                           ? "..data ..gen-000001 ca.crt connection.json tls.crt tls.key"
                           : "..data ..gen-000001 ..gen-000002 ca.crt connection.json tls.crt tls.key");
        for (unsigned i = 1; i <= harness->scenario->generation; i++) {
                snprintf(name, sizeof(name), "orders/..gen-%06u", i);
                check_list(harness, name, "ca.crt connection.json tls.crt tls.key");
        }
}

/* The token was burnt, and what it brought was lost on the way: a fresh one is needed. */
static bool needs_token(const struct crash_harness *harness) {
        const struct aftermath *aftermath = &harness->aftermath;

        return harness->scenario->generation == 1 && !aftermath->has_reply &&
               aftermath->n_configurations > 0 && (!aftermath->has_grant || aftermath->n_signatures > 0);
}

/* Once; again where the reply was lost on the way; and to no avail, where the token was burnt by that. */
static unsigned most_signatures(const struct crash_harness *harness) {
        const struct aftermath *aftermath = &harness->aftermath;

        return aftermath->has_reply ? aftermath->n_signatures : needs_token(harness) ? 3 : 2;
}

static void check_signatures(struct crash_harness *harness) {
        unsigned n = count_calls(harness, "sign");

        if (n > most_signatures(harness))
                violation(harness, "%u signatures were asked for", n);
        check_recorded(harness, n);
}

void crash_harness_check_files(struct crash_harness *harness) {
        const struct aftermath *aftermath = &harness->aftermath;
        _cleanup_(set_clear) struct set current = { 0 }, named = { 0 };
        unsigned generation = harness->scenario->generation;
        uint8_t spki[SPKI_HASH_SIZE];
        char name[32];

        if (look(harness, "orders/" STORE_CURRENT, &current) != VIEW_WHOLE || is_old(harness, &current)) {
                violation(harness, "the new set is not current");
                return;
        }
        snprintf(name, sizeof(name), "orders/..gen-%06u", generation);
        if (look(harness, name, &named) != VIEW_WHOLE ||
            !streq(named.certificate_pem, current.certificate_pem))
                violation(harness, "the current set is not generation %u", generation);
        if (aftermath->certificate && !streq(aftermath->certificate, current.certificate_pem))
                violation(harness, "the set that was current after the first run is not any more");
        key_spki(current.key, spki);
        if (aftermath->has_key && memcmp(aftermath->spki, spki, sizeof(spki)) != 0)
                violation(harness, "the staged key was lost");

        for (size_t i = 0; i < ELEMENTSOF(exports); i++)
                if (!is_current(harness, exports[i], &current))
                        violation(harness, "%s is not the current set", exports[i]);
        if (told(harness) != generation)
                violation(harness, "the dependent was told of generation %u last", told(harness));
        check_litter(harness);
        check_signatures(harness);
}

void crash_harness_check_end(struct crash_harness *harness) {
        int status = run(harness);

        if (status == 1 && needs_token(harness)) {
                fixture_token(harness->fixture, CLIENT, "token");
                status = run(harness);
        }
        if (status != 0 && status != 2)
                violation(harness, "the next run ends with %d: %s", status,
                          crash_harness_last_line(process_output(harness->fixture->rekeyd, PROCESS_STDERR)));
        crash_harness_check_files(harness);

        status = run(harness);
        if (status != 0)
                violation(harness, "the run after it ends with %d: %s", status,
                          crash_harness_last_line(process_output(harness->fixture->rekeyd, PROCESS_STDERR)));
}
