#pragma once

/* What attempts write to the state file. Nothing is saved here: the caller knows when. */

#include "daemon/certificate/attempt.h"
#include "daemon/certificate/core.h"

/* So many failures in a row, and the class of the last one. BACKOFF_USEC is a span from now, or USEC_INFINITY
 * for none. The sentence of the last failure stays while there is one. */
void records_failure(const struct core *core, unsigned failures, enum failure failure, usec_t backoff_usec);
void records_error(const struct core *core, const struct error *error, enum cause cause);

/* An attempt is about to make its first call: it has failed, unless its end says otherwise. */
void records_attempt(const struct core *core, const struct renewal *renewal,
                     const struct renewal_context *context, uint64_t token);

/* The staged certificate of hash REPLY is about to be verified. */
void records_verification(const struct core *core, uint32_t reply);

/* A signature is about to be requested, or will be at the end of the steps that are ahead. 0 or -ENOMEM. */
int records_signature(const struct core *core);

/* The steps have ended before it was requested. */
void records_no_signature(const struct core *core);

/* The set in FINDINGS is about to be replaced by what is staged: where that has another CA, the old one is
 * kept for the exports that ask for it. True when the state file is to be saved. */
bool records_old_ca(const struct core *core, const struct findings *findings);

/* A new set is current. */
void records_swap(const struct core *core);

/* The Connector has named another subject, which OUTCOME refuses or lets pass: true when the state file is to
 * be saved. */
bool records_named_subject(const struct core *core, const struct outcome *outcome, const char *subject);

/* The set in use has SUBJECT (NULL: as before); says so in the log where it had another one. WHY may be "".
 * True when the state file is to be saved. */
bool records_subject(const struct core *core, const char *subject, const char *why);
