/*
 * The steps that work on this machine only: files and RSA. They run on worker threads, so they log nothing
 * and touch nothing but their attempt.
 */

#include "daemon/certificate/attempt-private.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>

#include "lib/life/gate.h"
#include "lib/util/hash.h"
#include "lib/x509/csr.h"

#define TOKEN_FILE_MAX 16384u

static void fail_local(struct attempt *attempt, int code) {
        /* A damaged or hostile file, a full disk, a missing right: no Connector can help with any of it. */
        if (attempt->outcome.error.code == 0)
                error_set_errno(&attempt->outcome.error, code, "cannot work in %s",
                                attempt->config->directory);
        attempt->outcome.failure = FAILURE_LOCAL;
}

static void add_warning(struct attempt *attempt, const char *text) {
        char *both;

        if (!attempt->warning)
                attempt->warning = strdup(text);
        else if (asprintf(&both, "%s; %s", attempt->warning, text) >= 0) {
                free(attempt->warning);
                attempt->warning = both;
        }
}

static int warn_of_nothing_to_import(struct attempt *attempt) {
        _cleanup_(freep) char *warning = NULL;

        if (asprintf(&warning, "no key to import: %s does not exist", attempt->config->import.key) < 0) {
                warning = NULL;
                return 0;
        }
        add_warning(attempt, warning);
        return 0;
}

/* --- Look --- */

static int adopt(struct attempt *attempt) {
        const struct config_certificate *config = attempt->config;
        _cleanup_(freep) char *warning = NULL;
        const char *source = config->directory;
        int r;

        r = store_adopt_plain(attempt->store, &warning, &attempt->outcome.error);
        if (r == -ENOENT) {
                if (warning)
                        add_warning(attempt, warning); /* what was not adopted was set aside */
                free(take_ptr(warning));
                if (!config->import.key || !store_is_empty(attempt->store))
                        return 0;
                if (faccessat(AT_FDCWD, config->import.key, F_OK, AT_EACCESS) < 0 && errno == ENOENT)
                        return warn_of_nothing_to_import(attempt); /* the pair may be still to come */
                source = config->import.certificate;
                r = store_adopt_files(attempt->store, config->import.key, source, config->import.ca, &warning,
                                      &attempt->outcome.error);
        }
        if (warning)
                add_warning(attempt, warning);
        if (r < 0)
                return r;
        attempt->findings.adopted = attempt->adopted = strdup(source);
        return attempt->adopted ? 0 : -ENOMEM;
}

bool attempt_trim_token(char *text) {
        char *begin = text, *end = text + strlen(text);

        while (isspace((unsigned char)*begin))
                begin++;
        while (end > begin && isspace((unsigned char)end[-1]))
                end--;
        *end = '\0';
        memmove(text, begin, (size_t)(end - begin) + 1);
        explicit_bzero(text + (end - begin) + 1, (size_t)(begin - text)); /* its last bytes, as they were */
        if (!*text)
                return false;
        for (const char *p = text; *p; p++)
                if (!isgraph((unsigned char)*p))
                        return false;
        return true;
}

/* A token is the same one in another file: a service manager that passes credentials makes a new file at each
 * start. FNV-1a is enough, and of a token, which is random, it gives nothing away. */
static uint64_t token_hash(const char *token) {
        uint64_t hash = hash_text(HASH_INIT, token);

        return hash != 0 ? hash : 1;
}

static void read_token(struct attempt *attempt) {
        const char *path = attempt->config->token_file;
        _cleanup_(freep) char *warning = NULL;
        char *text;
        int r;

        if (attempt->offered_token) {
                attempt->token = take_ptr(attempt->offered_token);
                attempt->findings.token = token_hash(attempt->token);
                attempt->is_offered = true;
                return;
        }
        if (!path)
                return;
        /* Before it is read: a file that is replaced meanwhile will look new, never old. */
        (void)file_identify(AT_FDCWD, path, &attempt->findings.token_file);
        r = file_read_at(AT_FDCWD, path, FILE_FOLLOW, TOKEN_FILE_MAX, &text, NULL);
        if (r == -ENOENT)
                return;
        if (r < 0) {
                if (asprintf(&warning, "cannot read token file %s: %s", path, error_code_text(r)) >= 0)
                        add_warning(attempt, warning);
                return;
        }
        if (attempt_trim_token(text)) {
                attempt->token = text;
                attempt->findings.token = token_hash(text);
                return;
        }
        if (*text && asprintf(&warning, "token file %s is not one line with a one-time token", path) >= 0)
                add_warning(attempt, warning);
        free_secret(text);
}

static bool key_fits(const struct key *key, unsigned bits) {
        return key && key_is_rsa(key) && key_bits(key) >= bits;
}

static void fill_observation(struct attempt *attempt) {
        const struct stage *stage = &attempt->stage;
        unsigned bits = attempt->config->policy.key.bits;
        bool has_staged_key = key_fits(stage->key, bits);

        attempt->findings.observation = (struct renewal_observation) {
                .has_set = attempt->findings.set,
                .not_before = attempt->findings.set ? attempt->set.not_before : 0,
                .expiry = attempt->findings.set ? attempt->set.effective_expiry : 0,
                .has_token = attempt->token,
                .has_untried_token = attempt->token && attempt->findings.token != attempt->input.tried_token,
                .has_staged_key = has_staged_key,
                .has_staged_grant = has_staged_key && stage->csr_pem && stage->token,
                .has_staged_reply = has_staged_key && stage->certificate_pem && stage->ca_pem,
                .other_key_asked = attempt->findings.set && !key_fits(attempt->set.key, bits),
                .enrol_asked = attempt->is_offered && attempt->token,
        };
}

/* What goes with a staged reply or grant is staged too; everything else starts from what is current. */
static void read_connection(struct attempt *attempt) {
        bool resume = attempt->findings.observation.has_staged_reply || !attempt->findings.set;
        const char *json = resume && attempt->stage.connection_json ? attempt->stage.connection_json
                                                                    : attempt->set.connection_json;
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        if (!json || connection_parse(json, strlen(json), &attempt->connection, &error) == 0)
                return;
        error_prefix(&error, "passing over " STORE_CONNECTION " in %s", attempt->config->directory);
        add_warning(attempt, error_text(&error));
}

/* The current set; where it is damaged, the last good one in its place. None at all is no failure. */
static int load_or_repair(struct attempt *attempt) {
        _cleanup_(freep) char *text = NULL;
        uint64_t generation;
        int r;

        r = store_load(attempt->store, &attempt->set, &attempt->outcome.error);
        if (r == -EBADMSG) {
                _cleanup_(error_clear) struct error damage = ERROR_INIT;

                error_move(&damage, &attempt->outcome.error);
                r = store_repair(attempt->store, &generation, &attempt->outcome.error);
                if (r == 0 && asprintf(&text, "%s; generation %" PRIu64 " is current again",
                                       error_text(&damage), generation) >= 0)
                        add_warning(attempt, text);
                else if (r == -ENOENT)
                        add_warning(attempt, error_text(&damage));
                if (r == 0)
                        r = store_load(attempt->store, &attempt->set, &attempt->outcome.error);
        }
        attempt->findings.set = r == 0 ? &attempt->set : NULL;
        if (r == -ENOENT) {
                error_clear(&attempt->outcome.error);
                return 0;
        }
        return r;
}

struct store_options attempt_store_options(const struct config_certificate *config) {
        return (struct store_options) {
                .key_access = config->key_access,
                .public_access = config->public_access,
                .grace_usec = STORE_GRACE_USEC,
                .keep = config->policy.keep,
        };
}

void attempt_inspect(struct attempt *attempt) {
        const struct config_certificate *config = attempt->config;
        const struct store_options options = attempt_store_options(config);
        int r;

        r = store_open(config->directory, &options, &attempt->store, &attempt->outcome.error);
        if (r == 0)
                r = adopt(attempt);
        if (r == 0)
                r = load_or_repair(attempt);
        if (r == 0)
                r = store_stage_load(attempt->store, &attempt->stage, &attempt->outcome.error);
        if (r < 0) {
                fail_local(attempt, r);
                return;
        }
        read_token(attempt);
        fill_observation(attempt);
        read_connection(attempt);

        /* A look without the right to renew keeps nothing open, and no more in memory than it was for:
         * thousands of them may be under way. */
        if (!attempt->input.may_renew) {
                attempt->store = store_close(attempt->store);
                stage_clear(&attempt->stage);
                if (config->n_exports == 0)
                        set_drop_files(&attempt->set);
        }
}

/* --- Key and CSR --- */

void attempt_make_key(struct attempt *attempt) {
        unsigned bits = attempt->config->policy.key.bits;
        usec_t begin;
        int r;

        if (attempt->key_bits < bits)
                attempt->key_bits = bits;
        stage_clear(&attempt->stage);
        begin = now_usec(CLOCK_THREAD_CPUTIME_ID);
        r = key_generate(attempt->key_bits, &attempt->services->stopping, &attempt->stage.key,
                         &attempt->outcome.error);
        attempt->key_cpu_usec = usec_sub(now_usec(CLOCK_THREAD_CPUTIME_ID), begin);
        if (r == 0)
                r = store_stage_key(attempt->store, attempt->stage.key, &attempt->outcome.error);
        if (r < 0)
                fail_local(attempt, r);
}

static int choose_subject(struct attempt *attempt, struct subject **ret) {
        int r;

        if (attempt->director_down)
                return cert_subject(attempt->set.leaf, ret, &attempt->outcome.error);
        r = subject_parse(attempt->configuration.subject, ret, &attempt->outcome.error);
        if (r < 0)
                return error_prefix(&attempt->outcome.error,
                                    "the subject that the Connector asks for is not usable");
        return 0;
}

static int stage_request(struct attempt *attempt, const char *csr_pem) {
        _cleanup_(freep) char *json = NULL;
        int r;

        r = connection_format(&attempt->connection, &json);
        if (r < 0)
                return error_set_errno(&attempt->outcome.error, r, "cannot write " STORE_CONNECTION);
        r = store_stage_connection(attempt->store, json, &attempt->outcome.error);
        if (r < 0)
                return r;
        if (attempt->by_token && attempt->configuration.token) {
                r = store_stage_token(attempt->store, attempt->configuration.token, &attempt->outcome.error);
                if (r < 0)
                        return r;
        }
        return store_stage_csr(attempt->store, csr_pem, &attempt->outcome.error);
}

void attempt_make_csr(struct attempt *attempt) {
        _cleanup_(subject_freep) struct subject *subject = NULL;
        _cleanup_(freep) char *csr_pem = NULL;
        int r;

        r = choose_subject(attempt, &subject);
        if (r < 0) {
                attempt->outcome.failure = FAILURE_BAD_REPLY;
                return;
        }
        r = csr_make(attempt->stage.key, subject, &csr_pem, &attempt->outcome.error);
        if (r < 0) {
                attempt->outcome.failure = r == -EINVAL ? FAILURE_BAD_REPLY : FAILURE_LOCAL;
                return;
        }
        r = stage_request(attempt, csr_pem);
        if (r < 0) {
                fail_local(attempt, r);
                return;
        }
        free(attempt->stage.csr_pem);
        attempt->stage.csr_pem = take_ptr(csr_pem);
}

/* --- Gate and commit --- */

void attempt_gate(struct attempt *attempt) {
        _cleanup_(gate_result_clear) struct gate_result result = { 0 };
        _cleanup_(subject_freep) struct subject *subject = NULL;
        struct stage *stage = &attempt->stage;
        enum gate_check failed = GATE_MAX;
        int r;

        r = csr_check(stage->csr_pem, strlen(stage->csr_pem), stage->key, &subject, &attempt->outcome.error);
        if (r < 0) {
                error_prefix(&attempt->outcome.error, "the staged CSR in %s is damaged",
                             attempt->config->directory);
                attempt->outcome.failure = FAILURE_LOCAL;
                return;
        }

        const struct gate_input input = {
                .leaf_pem = attempt->reply.leaf,
                .chain_pem = attempt->reply.chain,
                .ca_pem = attempt->reply.ca,
                .key = stage->key,
                .subject = subject,
                .current_spki = attempt->findings.set ? attempt->set.spki : NULL,
                /* One that is revoked has nothing left that could be lost. */
                .current_expiry = attempt->findings.observation.has_set ? attempt->set.effective_expiry : 0,
                .now = now_usec(CLOCK_REALTIME),
                .skew_usec = attempt->config->policy.clock_skew_usec,
                /* Who asks for another key takes the expiry that comes with it. */
                .forced = attempt->input.accepts_not_longer || attempt->findings.observation.other_key_asked,
        };
        r = gate_run(&input, &result, &failed, &attempt->outcome.error);
        if (r < 0) {
                attempt->outcome.failure = r == -ENOMEM ? FAILURE_LOCAL : FAILURE_BAD_REPLY;
                attempt->outcome.not_longer = failed == GATE_EXPIRY;
                return;
        }
        r = store_stage_certificate(attempt->store, result.certificate_pem, result.ca_pem,
                                    &attempt->outcome.error);
        if (r < 0) {
                fail_local(attempt, r);
                return;
        }
        free(stage->certificate_pem);
        stage->certificate_pem = take_ptr(result.certificate_pem);
        free(stage->ca_pem);
        stage->ca_pem = take_ptr(result.ca_pem);
}

void attempt_commit(struct attempt *attempt) {
        int r;

        r = store_commit(attempt->store, &attempt->generation, &attempt->outcome.error);
        if (r < 0) {
                error_prefix(&attempt->outcome.error, "could not make the verified certificate current");
                attempt->outcome.failure = FAILURE_LOCAL;
                return;
        }
        /* What is current now, as a reader would find it: for the log, and the last check of our own work. */
        set_clear(&attempt->set);
        r = store_load(attempt->store, &attempt->set, &attempt->outcome.error);
        attempt->findings.set = r == 0 ? &attempt->set : NULL;
        if (r < 0) {
                error_prefix(&attempt->outcome.error,
                             "generation %" PRIu64 " is now current, but cannot be read back",
                             attempt->generation);
                fail_local(attempt, r);
        }
}
