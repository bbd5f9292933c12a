#pragma once

/* One tracked certificate, from its configuration to its end. */

#include "daemon/certificate/environment.h"
#include "lib/config/config.h"
#include "lib/report/report.h"

struct certificate;

/* CONFIG is one of OWNER's, of which a reference is taken. Loads what the last run left in the journal. 0;
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

/* Puts on record that PEER, a text such as "uid 0", has asked for NAME, and WHY it is not done. */
void certificate_log_refused(struct certificate *certificate, const char *name, const char *peer,
                             const char *why);

/* What a restart must know of it; borrowed. */
const struct state *certificate_state(const struct certificate *certificate);

/* certificate_retire() was called, and it has not come to its end. */
bool certificate_is_retiring(const struct certificate *certificate);

/* There is a set on disk, as far as is known, and it has not expired. */
bool certificate_is_usable(const struct certificate *certificate);

/* The first inspection. What is due is done, unless a back-off of the last run goes on; with `once`, in any
 * case.
 */
void certificate_start(struct certificate *certificate);

/* Inspects the files and the clock. What is due is done, but a back-off is kept unless the set has changed.
 * During an attempt, inspects again after it. */
void certificate_inspect(struct certificate *certificate);

/* There is a larger budget: one that waits for it waits no longer. */
void certificate_raise_budget(struct certificate *certificate);

/* Goes over to CONFIG of OWNER, which has the same name; the options are others where HAS_CHANGED, and the
 * certificate is then woken. What is under way comes to its end first. One that retires stays. */
void certificate_reconfigure(struct certificate *certificate, struct config *owner,
                             const struct config_certificate *config, bool has_changed);

/* Ends in good order: an attempt that is under way comes to its end, those who are owed a notification, and
 * wait for no back-off, are told; then env->ops->retired(env) is called, maybe from here. The files stay. */
void certificate_retire(struct certificate *certificate);

/*
 * What an operator, PEER, may ask for. Each returns 0 when it will be done, which is on record then, and the
 * event with REKEYD_OPERATION says later what has become of it; or -errno with a sentence: -EBUSY when
 * something is under way, -EDQUOT beyond the budget, with *RET_WAIT_USEC (may be NULL) until there is one
 * again, -EPERM where the state of the certificate does not allow it, -EINVAL.
 */
int certificate_ask_renewal(struct certificate *certificate, const char *peer, bool force,
                            usec_t *ret_wait_usec, struct error *error); /* joins one that is under way */
int certificate_ask_enrolment(struct certificate *certificate, const char *peer, const char *token,
                              bool force, usec_t *ret_wait_usec, struct error *error);
int certificate_ask_revocation(struct certificate *certificate, const char *peer, struct error *error);
int certificate_ask_rollback(struct certificate *certificate, const char *peer, const uint64_t *generation,
                             struct error *error); /* NULL: the newest that will do */
int certificate_ask_notification(struct certificate *certificate, const char *peer, struct error *error);
