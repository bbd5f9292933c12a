/*
 * The steps that work on this machine only: files and RSA. They run on worker threads, so they log nothing
 * and touch nothing but their attempt.
 */

#include "daemon/certificate/local-steps.h"

#include <fcntl.h>
#include <stdio.h>

#include "daemon/certificate/gathered.h"
#include "daemon/certificate/key-maker.h"
#include "daemon/certificate/subjects.h"
#include "lib/config/urls.h"
#include "lib/life/gate.h"
#include "lib/util/hash.h"
#include "lib/util/user.h"
#include "lib/x509/csr.h"

#define TOKEN_FILE_MAX 16384u

static void fail_local(struct gathered *gathered, int code) {
        /* A damaged or hostile file, a full disk, a missing right: no Connector can help with any of it. */
        if (gathered->outcome.error.code == 0)
                error_set_errno(&gathered->outcome.error, code, "cannot work in %s",
                                gathered->config->directory);
        error_name_user(&gathered->outcome.error);
        gathered->outcome.cause = cause_explain(gathered->config->directory, gathered->config->key_access.uid,
                                                gathered->config->key_access.gid, &gathered->outcome.error);
        gathered->outcome.failure = FAILURE_LOCAL;
}

static void add_warning(struct gathered *gathered, const char *text) {
        char *both;

        if (!gathered->warning)
                gathered->warning = strdup(text);
        else if (asprintf(&both, "%s; %s", gathered->warning, text) >= 0) {
                free(gathered->warning);
                gathered->warning = both;
        }
}

static int warn_of_nothing_to_import(struct gathered *gathered) {
        _cleanup_(freep) char *warning = NULL;

        if (asprintf(&warning, "no key to import: %s does not exist", gathered->config->import.key) < 0) {
                warning = NULL;
                return 0;
        }
        add_warning(gathered, warning);
        return 0;
}

/* --- Inspection --- */

/* What replicas share comes before what is here. What is not whole there is no reason to do without what is.
 */
static int take_shared(struct gathered *gathered) {
        char *const *published = gathered->shared.copy.published, *const *staged =
                                                                          gathered->shared.copy.staged;
        const struct store_offer offer = {
                .generation = gathered->shared.copy.generation,
                .key_pem = published[SHARED_KEY],
                .certificate_pem = published[SHARED_CERTIFICATE],
                .ca_pem = published[SHARED_CA],
                .connection_json = published[SHARED_CONNECTION],
        };
        const struct store_staged stage = {
                .key_pem = staged[SHARED_KEY],
                .csr_pem = staged[SHARED_CSR],
                .token = staged[SHARED_TOKEN],
                .connection_json = staged[SHARED_CONNECTION],
                .certificate_pem = staged[SHARED_CERTIFICATE],
                .ca_pem = staged[SHARED_CA],
        };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        enum store_receipt receipt;
        int r;

        if (!gathered->shared.copy.is_read)
                return 0;
        r = store_receive(gathered->store, &offer, now_usec(CLOCK_REALTIME), &receipt, &error);
        if (r < 0)
                return error_move(&gathered->outcome.error, &error);
        gathered->shared.is_newer = receipt == STORE_IS_NEWER;
        if (error.code != 0) {
                error_prefix(&error, "Secret %s has no set that can be used", gathered->config->store.secret);
                add_warning(gathered, error_text(&error));
                error_clear(&error);
        }
        if (store_receive_stage(gathered->store, &stage, &error) < 0) {
                error_prefix(&error, "what is staged beside Secret %s is not used",
                             gathered->config->store.secret);
                add_warning(gathered, error_text(&error));
        }
        return 0;
}

static int adopt(struct gathered *gathered) {
        const struct config_certificate *config = gathered->config;
        _cleanup_(freep) char *warning = NULL;
        const char *source = config->directory;
        int r;

        r = store_adopt_plain(gathered->store, &warning, &gathered->outcome.error);
        if (r == -ENOENT) {
                if (warning)
                        add_warning(gathered, warning); /* what was not adopted was set aside */
                free(take_ptr(warning));
                if (!config->import.key || !store_is_empty(gathered->store))
                        return 0;
                if (faccessat(AT_FDCWD, config->import.key, F_OK, AT_EACCESS) < 0 && errno == ENOENT)
                        return warn_of_nothing_to_import(gathered); /* the pair may be still to come */
                source = config->import.certificate;
                r = store_adopt_files(gathered->store, config->import.key, source, config->import.ca,
                                      &warning, &gathered->outcome.error);
        }
        if (warning)
                add_warning(gathered, warning);
        if (r < 0)
                return r;
        gathered->findings.adopted = gathered->adopted = strdup(source);
        return gathered->adopted ? 0 : -ENOMEM;
}

/* A token is the same one in another file: a service manager that passes credentials makes a new file at each
 * start. FNV-1a is enough, and of a token, which is random, it gives nothing away. */
static uint64_t token_hash(const char *token) {
        uint64_t hash = hash_text(HASH_INIT, token);

        return hash != 0 ? hash : 1;
}

static void read_token(struct gathered *gathered) {
        const char *path = gathered->config->token_file;
        struct file_identity identity;
        const struct config_connector *connector = gathered->config->connector;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        char *text;
        size_t size;
        int r;

        free(take_ptr(gathered->findings.token_problem));
        if (gathered->offered_token) {
                gathered->token = take_ptr(gathered->offered_token);
                gathered->findings.token = token_hash(gathered->token);
                gathered->is_offered = true;
                return;
        }
        if (!path)
                return;
        /* Before it is read: a file that is replaced meanwhile will look new, never old. */
        if (file_identify(AT_FDCWD, path, &identity) == 0)
                gathered->findings.token_file = file_identity_hash(&identity);
        r = file_read_at(AT_FDCWD, path, FILE_FOLLOW, TOKEN_FILE_MAX, &text, &size);
        if (r == -ENOENT)
                return;
        if (r < 0) {
                error_set(&error, r, "cannot read token file %s: %s", path, error_code_text(r));
                error_name_user(&error);
                gathered->findings.token_problem = strdup(error_text(&error));
                return;
        }
        r = protocol_take_token(connector->protocol, text, size, connector->enrol_url, &gathered->token,
                                &error);
        explicit_bzero(text, size);
        free(text);
        if (r == 0)
                gathered->findings.token = token_hash(gathered->token);
        else if (r != -ENODATA) {
                error_prefix(&error, "token file %s is not used", path);
                gathered->findings.token_problem = strdup(error_text(&error));
        }
}

static bool key_fits(const struct key *key, unsigned bits) {
        return key && key_is_rsa(key) && key_bits(key) >= bits;
}

/* Never 0. */
static uint32_t reply_hash(const char *certificate_pem) {
        uint64_t hash = hash_text(HASH_INIT, certificate_pem);
        uint32_t folded = (uint32_t)(hash ^ hash >> 32);

        return folded != 0 ? folded : 1;
}

/* When the staged certificate, or an intermediate with it, expires; 0 for what cannot be read. */
static usec_t reply_expiry(const char *certificate_pem) {
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 };
        usec_t expiry = USEC_INFINITY;

        if (cert_list_parse(certificate_pem, strnlen(certificate_pem, CERT_PEM_MAX + 1), &certs, NULL) < 0)
                return 0;
        for (size_t i = 0; i < certs.n; i++)
                if (cert_not_after(certs.items[i]) < expiry)
                        expiry = cert_not_after(certs.items[i]);
        return expiry;
}

/* What was staged before a rotation was heard of is no better than what is there. */
static bool is_outdated(const struct gathered *gathered) {
        const struct replacement_rule rule = config_replacement_rule(gathered->config);
        _cleanup_(cert_list_clear) struct cert_list certs = { 0 }, anchors = { 0 };
        _cleanup_(issuers_freep) struct issuers *issuers = NULL;
        const char *leaf = gathered->stage.certificate_pem, *ca = gathered->stage.ca_pem;
        const struct issuer *issuer;
        usec_t expiry;

        if (!rule.distrust && rule.issued_before == 0)
                return false;
        return cert_list_parse(leaf, strnlen(leaf, CERT_PEM_MAX + 1), &certs, NULL) < 0 ||
               cert_list_parse(ca, strnlen(ca, CERT_PEM_MAX + 1), &anchors, NULL) < 0 ||
               chain_verify_expiry(certs.items[0], &certs, &anchors, &expiry, &issuers, NULL) < 0 ||
               replacement_find(&rule, issuers, cert_not_before(certs.items[0]), &issuer) != REPLACEMENT_NONE;
}

/* Whether the set is to be replaced, and since when that is known. A clock that was set back must not put it
 * off. */
static void observe_replacement(struct gathered *gathered) {
        const struct replacement_rule rule = config_replacement_rule(gathered->config);
        struct renewal_observation *observation = &gathered->findings.observation;
        const usec_t now = now_usec(CLOCK_REALTIME), known = gathered->input.replace_since;
        const struct issuer *issuer;
        enum replacement replacement;

        if (!gathered->findings.set)
                return;
        observation->replace_at = gathered->input.replace_asked;
        replacement = replacement_find(&rule, gathered->set.issuers, gathered->set.not_before, &issuer);
        if (replacement == REPLACEMENT_NONE)
                return;
        gathered->findings.replace_since = known > 0 && known < now ? known : now;
        observation->replace_from = replacement_from(&rule, replacement, gathered->findings.replace_since);
}

static void observe_reply(struct gathered *gathered, bool has_staged_key) {
        struct renewal_observation *observation = &gathered->findings.observation;
        const struct stage *stage = &gathered->stage;

        if (!has_staged_key || !stage->certificate_pem || !stage->ca_pem ||
            !subjects_allow_staged(gathered) || is_outdated(gathered))
                return;
        gathered->findings.reply = reply_hash(stage->certificate_pem);
        gathered->findings.next_ca = stage->ca_pem;
        observation->has_staged_reply = true;
        observation->reply_expiry = reply_expiry(stage->certificate_pem);
        if (gathered->findings.reply == gathered->input.reply)
                observation->reply_failures = gathered->input.reply_tries;
}

static void fill_observation(struct gathered *gathered) {
        const struct stage *stage = &gathered->stage;
        unsigned bits = gathered->config->policy.key.bits;
        bool has_staged_key = key_fits(stage->key, bits);

        gathered->findings.observation = (struct renewal_observation) {
                .set = gathered->findings.set ? SET_KNOWN : SET_NONE,
                .not_before = gathered->findings.set ? gathered->set.not_before : 0,
                .expiry = gathered->findings.set ? gathered->set.effective_expiry : 0,
                .has_token = gathered->token,
                .has_untried_token =
                        gathered->token && gathered->findings.token != gathered->input.tried_token,
                .has_staged_key = has_staged_key,
                .has_staged_grant =
                        has_staged_key && stage->csr_pem && stage->token && subjects_allow_staged(gathered),
                .is_new_config = gathered->input.is_new_config,
                .other_key_asked = gathered->findings.set && gathered->set.rsa_bits < bits,
                .enrol_asked = gathered->is_offered,
        };
        observe_replacement(gathered);
        observe_reply(gathered, has_staged_key);
}

/* What goes with a staged reply or grant is staged too; everything else starts from what is current. */
static void read_connection(struct gathered *gathered) {
        bool resume = gathered->findings.observation.has_staged_reply || !gathered->findings.set;
        const char *json = resume && gathered->stage.connection_json ? gathered->stage.connection_json
                                                                     : gathered->set.connection_json;
        _cleanup_(connection_clear) struct connection current = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        if (gathered->set.connection_json &&
            connection_parse(gathered->set.connection_json, strlen(gathered->set.connection_json), &current,
                             NULL) == 0)
                gathered->current_url = take_ptr(*protocol_endpoint_member(
                        protocol_get(gathered->config->connector->protocol), &current));
        if (!json || connection_parse(json, strlen(json), &gathered->connection, &error) == 0)
                return;
        error_prefix(&error, "ignoring " STORE_CONNECTION " in %s", gathered->config->directory);
        add_warning(gathered, error_text(&error));
}

/* Only the facts of the set are asked for: an attempt also needs its files, an export copies them, and what
 * was just adopted has warnings to give. */
static bool asks_facts_only(const struct gathered *gathered) {
        return !gathered->input.may_renew && gathered->config->n_exports == 0 && !gathered->adopted &&
               !gathered->shared.is_newer;
}

static int load(struct gathered *gathered) {
        const char *known = gathered->input.fingerprint;
        char fingerprint[FINGERPRINT_HEX];
        int r;

        if (!asks_facts_only(gathered))
                return store_load(gathered->store, &gathered->set, &gathered->outcome.error);
        r = store_load_sealed(gathered->store, gathered->input.seals, gathered->config->name, &gathered->set,
                              &gathered->outcome.error);
        if (r < 0 || !gathered->set.is_sealed || strempty(known) ||
            streq(hex_format(fingerprint, gathered->set.fingerprint, FINGERPRINT_SIZE), known))
                return r;
        /* Another one than the last: its subject is read as well. */
        set_clear(&gathered->set);
        return store_load(gathered->store, &gathered->set, &gathered->outcome.error);
}

/* The current set; where it is damaged, one that can take its place. None at all is no failure. */
static int load_or_repair(struct gathered *gathered) {
        static const char *const meanings[STORE_CHOICE_NONE] = {
                [STORE_CHOICE_SAME] = "with the same certificate",
                [STORE_CHOICE_KEY] = "with another certificate of the same key",
                [STORE_CHOICE_EARLIER] = "with the certificate before it",
        };
        struct store_memory memory = gathered->input.memory;
        _cleanup_(freep) char *text = NULL;
        enum store_choice choice;
        uint64_t generation;
        int r;

        r = load(gathered);
        if (r == -EBADMSG) {
                _cleanup_(error_clear) struct error damage = ERROR_INIT;

                error_move(&damage, &gathered->outcome.error);
                memory.subject = gathered->subjects.last;
                r = store_repair(gathered->store, &memory, now_usec(CLOCK_REALTIME), &generation, &choice,
                                 &gathered->outcome.error);
                if (r == 0 && asprintf(&text, "%s; generation %" PRIu64 " is current again, %s",
                                       error_text(&damage), generation, meanings[choice]) >= 0)
                        add_warning(gathered, text);
                else if (r == -ENOENT && asprintf(&text, "%s; %s", error_text(&damage),
                                                  error_text(&gathered->outcome.error)) >= 0)
                        add_warning(gathered, text);
                if (r == 0)
                        r = store_load(gathered->store, &gathered->set, &gathered->outcome.error);
        }
        gathered->findings.set = r == 0 ? &gathered->set : NULL;
        if (r == -ENOENT) {
                error_clear(&gathered->outcome.error);
                return 0;
        }
        return r;
}

/* A set stays in use where that fails. */
static void scrub(struct gathered *gathered) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *warning = NULL;

        if (!gathered->findings.set)
                return;
        if (store_scrub(gathered->store, &gathered->set, &warning, &error) < 0)
                add_warning(gathered, error_text(&error));
        if (warning)
                add_warning(gathered, warning);
}

/* Before the set is read, since it may be unreadable for want of them. What cannot be found out is no reason
 * not to renew. */
static void put_rights(struct gathered *gathered) {
        if (store_put_rights(gathered->store, gathered->input.rights, &gathered->rights) == 0)
                gathered->findings.rights = &gathered->rights;
}

struct store_options attempt_store_options(const struct config_certificate *config) {
        return (struct store_options) {
                .key_access = config->key_access,
                .public_access = config->public_access,
                .grace_usec = STORE_GRACE_USEC,
                .keep = config->policy.keep,
        };
}

static void find_doubt(struct gathered *gathered) {
        const struct config_connector *connector = gathered->config->connector;
        const struct urls urls = urls_list(connector, &gathered->connection, gathered->current_url);

        gathered->findings.doubt = gathered->findings.set
                                           ? doubt_find(&gathered->set, urls.items[0], connector->enrol_url)
                                           : DOUBT_NONE;
}

/* The inspection has failed: what there is to be said of the set all the same. It may be read by whoever
 * cannot work on it: another process does, the disk is full, what is staged is damaged. */
static void see_what_can_be_seen(struct gathered *gathered) {
        struct renewal_observation *observation = &gathered->findings.observation;
        int r = gathered->findings.set
                        ? 0
                        : store_view_current(gathered->config->directory, gathered->config->key_access.gid,
                                             &gathered->set, NULL);

        gathered->findings.set = r == 0 ? &gathered->set : NULL;
        *observation = (struct renewal_observation) { .set = r == 0         ? SET_KNOWN
                                                             : r == -ENOENT ? SET_NONE
                                                                            : SET_UNREADABLE };
        if (r == 0) {
                observation->not_before = gathered->set.not_before;
                observation->expiry = gathered->set.effective_expiry;
        }
}

void local_step_inspect(struct gathered *gathered) {
        const struct config_certificate *config = gathered->config;
        const struct store_options options = attempt_store_options(config);
        int r;

        r = store_open(config->directory, &options, &gathered->store, &gathered->outcome.error);
        if (r == 0)
                r = take_shared(gathered);
        if (r == 0)
                r = adopt(gathered);
        if (r == 0) {
                put_rights(gathered);
                r = load_or_repair(gathered);
        }
        if (r == 0)
                scrub(gathered);
        if (r == 0)
                r = subjects_read(gathered);
        if (r == 0)
                r = store_stage_load(gathered->store, &gathered->stage, &gathered->outcome.error);
        if (r < 0) {
                fail_local(gathered, r);
                see_what_can_be_seen(gathered);
                return;
        }
        read_token(gathered);
        fill_observation(gathered);
        read_connection(gathered);
        find_doubt(gathered);

        /* An inspection without the right to renew keeps nothing open, and no more in memory than it was for:
         * thousands of them may be under way. */
        if (!gathered->input.may_renew) {
                gathered->store = store_close(gathered->store);
                gathered->findings.next_ca = NULL;
                stage_clear(&gathered->stage);
                if (config->n_exports == 0 && !gathered->shared.is_newer)
                        set_drop_files(&gathered->set);
        }
}

/* --- Key and CSR --- */

/* One that is being generated ahead is as good. What it has cost counts there. */
static int make_key(struct gathered *gathered) {
        struct key_order *order = gathered->input.next_key;
        usec_t begin;
        int r;

        if (order && key_order_take(order, gathered->key_bits, &gathered->stage.key))
                return 0;
        begin = now_usec(CLOCK_THREAD_CPUTIME_ID);
        r = key_generate(gathered->key_bits, gathered->stopping, &gathered->stage.key,
                         &gathered->outcome.error);
        gathered->key_cpu_usec = usec_sub(now_usec(CLOCK_THREAD_CPUTIME_ID), begin);
        return r;
}

void local_step_key(struct gathered *gathered) {
        unsigned bits = gathered->config->policy.key.bits;
        int r;

        if (gathered->key_bits < bits)
                gathered->key_bits = bits;
        gathered->findings.next_ca = NULL;
        stage_clear(&gathered->stage);
        r = make_key(gathered);
        if (r == 0)
                r = store_stage_key(gathered->store, gathered->stage.key, &gathered->outcome.error);
        if (r < 0)
                fail_local(gathered, r);
}

static int choose_subject(struct gathered *gathered, struct subject **ret) {
        int r;

        if (gathered->no_configuration)
                return cert_subject(gathered->set.leaf, ret, &gathered->outcome.error);
        r = subject_parse(gathered->configuration.subject, ret, &gathered->outcome.error);
        if (r < 0)
                return error_prefix(&gathered->outcome.error,
                                    "the subject that the Connector requests cannot be used");
        return 0;
}

/* PARTS, and the URLs that go with them. */
static int stage_with_connection(struct gathered *gathered, const struct store_staged *parts) {
        _cleanup_(freep) char *json = NULL;
        struct store_staged all = *parts;
        int r;

        r = connection_format(&gathered->connection, &json);
        if (r < 0)
                return error_set_errno(&gathered->outcome.error, r, "cannot write " STORE_CONNECTION);
        all.connection_json = json;
        return store_stage_parts(gathered->store, &all, &gathered->outcome.error);
}

/* A CSR on disk is worth the token beside it, which has it signed once. Without one, the staged key gets
 * another CSR after a crash. */
static int stage_request(struct gathered *gathered, const char *csr_pem) {
        const struct store_staged parts = {
                .token = gathered->by_token ? gathered->configuration.token : NULL,
                .csr_pem = csr_pem,
        };

        if (!parts.token && !gathered->stage.token)
                return store_stage_note_csr(gathered->store, csr_pem, &gathered->outcome.error);
        return stage_with_connection(gathered, &parts);
}

/* A staged key was read from disk, and only its use shows that it is whole. One that is not would fail for
 * ever, so another takes its place. */
static int make_request(struct gathered *gathered, const struct subject *subject, char **ret_pem) {
        int r;

        r = csr_make(gathered->stage.key, subject, ret_pem, &gathered->outcome.error);
        if (r != -EKEYREJECTED)
                return r;
        error_prefix(&gathered->outcome.error, "another key takes the place of the staged one");
        add_warning(gathered, error_text(&gathered->outcome.error));
        error_clear(&gathered->outcome.error);
        local_step_key(gathered);
        if (gathered->outcome.failure != FAILURE_NONE)
                return 0;
        return csr_make(gathered->stage.key, subject, ret_pem, &gathered->outcome.error);
}

void local_step_csr(struct gathered *gathered) {
        _cleanup_(subject_freep) struct subject *subject = NULL;
        _cleanup_(freep) char *csr_pem = NULL;
        int r;

        r = choose_subject(gathered, &subject);
        if (r < 0) {
                gathered->outcome.failure = FAILURE_BAD_REPLY;
                return;
        }
        r = subjects_check_next(gathered, subject);
        if (r < 0) {
                gathered->outcome.failure = r == -ENOMEM ? FAILURE_LOCAL : FAILURE_REFUSED;
                return;
        }
        r = make_request(gathered, subject, &csr_pem);
        if (gathered->outcome.failure != FAILURE_NONE)
                return;
        if (r < 0) {
                gathered->outcome.failure = r == -EINVAL ? FAILURE_BAD_REPLY : FAILURE_LOCAL;
                return;
        }
        r = stage_request(gathered, csr_pem);
        if (r < 0) {
                fail_local(gathered, r);
                return;
        }
        free(gathered->stage.csr_pem);
        gathered->stage.csr_pem = take_ptr(csr_pem);
}

/* --- Gate and commit --- */

void local_step_gate(struct gathered *gathered) {
        _cleanup_(gate_result_clear) struct gate_result result = { 0 };
        _cleanup_(subject_freep) struct subject *subject = NULL;
        const struct replacement_rule rule = config_replacement_rule(gathered->config);
        struct stage *stage = &gathered->stage;
        enum gate_check failed = GATE_MAX;
        int r;

        r = csr_check(stage->csr_pem, strlen(stage->csr_pem), stage->key, &subject, &gathered->outcome.error);
        if (r < 0) {
                error_prefix(&gathered->outcome.error, "the staged CSR in %s is damaged",
                             gathered->config->directory);
                gathered->outcome.failure = FAILURE_LOCAL;
                return;
        }

        const struct gate_input input = {
                .leaf_pem = gathered->reply.leaf,
                .chain_pem = gathered->reply.chain,
                .ca_pem = gathered->reply.ca,
                .key = stage->key,
                .subject = subject,
                .current_spki = gathered->findings.set ? gathered->set.spki : NULL,
                /* One that is revoked has nothing left that could be lost. */
                .current_expiry =
                        gathered->findings.observation.set == SET_KNOWN ? gathered->set.effective_expiry : 0,
                .rule = &rule,
                .now = now_usec(CLOCK_REALTIME),
                .skew_usec = gathered->config->policy.clock_skew_usec,
                /* Who asks for another key, or another CA, takes the expiry that comes with it. */
                .forced = gathered->input.accepts_not_longer ||
                          gathered->findings.observation.other_key_asked ||
                          gathered->findings.observation.replace_from > 0,
        };
        r = gate_run(&input, &result, &failed, &gathered->outcome.error);
        if (r < 0) {
                gathered->outcome.failure = r == -ENOMEM ? FAILURE_LOCAL : FAILURE_BAD_REPLY;
                gathered->outcome.not_longer = failed == GATE_EXPIRY;
                gathered->outcome.is_old_ca = failed == GATE_TRUSTED;
                return;
        }
        r = stage_with_connection(gathered,
                                  &(struct store_staged) { .ca_pem = result.ca_pem,
                                                           .certificate_pem = result.certificate_pem });
        if (r < 0) {
                fail_local(gathered, r);
                return;
        }
        free(stage->certificate_pem);
        stage->certificate_pem = take_ptr(result.certificate_pem);
        gathered->findings.reply = reply_hash(stage->certificate_pem);
        free(stage->ca_pem);
        gathered->findings.next_ca = stage->ca_pem = take_ptr(result.ca_pem);
}

void local_step_commit(struct gathered *gathered) {
        int r = 0;

        if (gathered->is_connection_changed)
                r = stage_with_connection(gathered, &(struct store_staged) { 0 });
        if (r == 0)
                r = store_commit(gathered->store, &gathered->generation, &gathered->outcome.error);
        if (r < 0) {
                error_prefix(&gathered->outcome.error, "could not make the verified certificate current");
                fail_local(gathered, r);
                return;
        }
        /* What is current now, as a reader would find it: for the log, and the last check of our own work. */
        set_clear(&gathered->set);
        r = store_load(gathered->store, &gathered->set, &gathered->outcome.error);
        gathered->findings.set = r == 0 ? &gathered->set : NULL;
        if (r == 0)
                r = subjects_read(gathered);
        find_doubt(gathered);
        if (r < 0) {
                error_prefix(&gathered->outcome.error,
                             "generation %" PRIu64 " is now current, but cannot be read back",
                             gathered->generation);
                fail_local(gathered, r);
        }
}

void local_step_discard(struct gathered *gathered) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int r;

        r = gathered->outcome.step == STEP_VERIFY ? store_stage_drop_certificate(gathered->store, &error)
                                                  : store_stage_drop_token(gathered->store, &error);
        if (r < 0)
                error_prefix(&gathered->outcome.error, "%s; then", error_text(&error));
}
