#pragma once

/* One tracked certificate, from its configuration to its end. */

#include "daemon/certificate/adoption.h"
#include "daemon/certificate/environment.h"
#include "daemon/certificate/requests.h"
#include "lib/config/config.h"
#include "lib/report/report.h"

struct certificate;

/* CONFIG is one of OWNER's, of which a reference is taken. Loads what the last run left in the state file. 0;
 * -ENOMEM; or -errno with a sentence. */
int certificate_new(struct environment *env, struct config *owner, const struct config_certificate *config,
                    struct certificate **ret, struct error *error);
struct certificate *certificate_free(struct certificate *certificate);
DEFINE_CLEANUP(struct certificate *, certificate_free);

const char *certificate_name(const struct certificate *certificate);

/* What it goes by, or will once nothing is under way. */
const struct config_certificate *certificate_config(const struct certificate *certificate);

/* What a certificate shows of itself. Strings are borrowed until the loop's next turn. */
void certificate_get_status(const struct certificate *certificate, struct report_status *ret);

/* The configuration that certificate_config() is part of. */
struct config *certificate_config_owner(const struct certificate *certificate);

/* Puts on record that PEER asked for OPERATION, and WHY it is not done. */
void certificate_log_refused(struct certificate *certificate, enum operation operation, const char *peer,
                             const char *why);

/* What a restart must know of it; borrowed. */
const struct state *certificate_state(const struct certificate *certificate);

/* certificate_retire() was called, and it has not come to its end. */
bool certificate_is_retiring(const struct certificate *certificate);

/* There is a set on disk, as far as is known, and it has not expired. */
bool certificate_is_usable(const struct certificate *certificate);

/* What its set is issued under, NULL where that is not known; and from when on the set is valid. */
const struct issuers *certificate_issuers(const struct certificate *certificate);
usec_t certificate_not_before(const struct certificate *certificate);

/* It is the first of its Connector's that is issued under NEW, while N_OLD are still issued under OLD: says
 * so. */
void certificate_log_other_ca(struct certificate *certificate, const struct issuer *new,
                              const struct issuer *old, size_t n_old);

/* The first inspection. What is due is done, unless a back-off of the last run goes on; with `once`, in any
 * case.
 */
void certificate_start(struct certificate *certificate);

/* Inspects the files and the clock. What is due is done, but a back-off is kept unless the set has changed.
 * During an attempt, inspects again after it. */
void certificate_inspect(struct certificate *certificate);

/* The same for a request that what is remembered would refuse, see certificate_operate(). Returns with which
 * env->ops->inspected() of CERTIFICATE from now on it is done. */
unsigned certificate_look(struct certificate *certificate);

/* There is a larger budget: one that waits for it waits no longer. */
void certificate_raise_budget(struct certificate *certificate);

/* The state directory is another one: its state file, if it had one, is written again. */
void certificate_save_state(struct certificate *certificate);

/* Goes over to CONFIG of OWNER, which has the same name; the options are others where HAS_CHANGED, and the
 * certificate is then woken. What is under way comes to its end first. One that retires stays. */
void certificate_reconfigure(struct certificate *certificate, struct config *owner,
                             const struct config_certificate *config, bool has_changed);

/* Ends in good order: an attempt that is under way comes to its end, those who are owed a notification, and
 * wait for no back-off, are told; then env->ops->retired(env) is called, maybe from here. The files stay. */
void certificate_retire(struct certificate *certificate);

/* What an operation may be given; see rekeyd-api(7). Borrowed. */
struct operation_arguments {
        enum request_look look;
        bool force;         /* OPERATION_RENEW, OPERATION_ENROL, OPERATION_ADOPT */
        usec_t within_usec; /* OPERATION_RENEW: at some time within it; 0: now */
        const char *token;  /* OPERATION_ENROL */
        bool has_generation;
        uint64_t generation;          /* OPERATION_ROLLBACK; without one, the newest that is still valid */
        struct adoption_texts handed; /* OPERATION_ADOPT */
};

/*
 * An operator, PEER, a text such as "uid 0", asks for OPERATION. A renewal joins an attempt that is under
 * way. 0: it will be done, which is on record, and the event with REKEYD_OPERATION says later what came of
 * it. Otherwise -errno with a sentence: -EBUSY when something is under way, -EDQUOT beyond the budget, with
 * *RET_WAIT_USEC until there is one again, -EPERM where the state of the certificate does not allow it,
 * -EINVAL for what is no token, or no URL; -EAGAIN where that state is only remembered of the disk, and no
 * look was made: to be asked again, with another `look`, after certificate_look().
 */
int certificate_operate(struct certificate *certificate, enum operation operation,
                        const struct operation_arguments *arguments, const char *peer, usec_t *ret_wait_usec,
                        struct error *error);
