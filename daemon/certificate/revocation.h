#pragma once

/* Revoking one generation of a certificate at the Connector, by a call with its own key. */

#include "daemon/loop/services.h"
#include "daemon/observe/state-file.h"
#include "lib/config/config.h"
#include "lib/life/failure.h"

struct revocation;

/* What is to be revoked. All is borrowed. */
struct revocation_request {
        const struct config_certificate *config;
        struct state_file *state_file;
        uint64_t generation;

        /* An operator has asked for it: in use or not, it is meant. Otherwise what is current on the disk is
         * not revoked. */
        bool is_asked;
        const char *fingerprint; /* of what was asked for; NULL: it is one of the state's `revoked` by now */
};

/* FAILURE_NONE: it is revoked, or has expired, which is as good. Otherwise ERROR is a sentence; GONE says
 * that it cannot be revoked ever, since its files are not there any more, or are others. The state file says
 * whether it may be revoked all the same, and is the caller's to save. The revocation may be freed from here.
 */
typedef void (*revocation_done_t)(enum failure failure, bool gone, const char *error, void *userdata);

/*
 * Begins. What is about to be revoked is in the state file, durably, before the call leaves: one of
 * `revoked`, and for an operator `revoking_generation` as well. They stay while it may be revoked; they go
 * when it is certain that it is not. Of what is revoked, `revoked` stays.
 *
 * 0 or -ENOMEM; DONE is called from the loop, later.
 */
int revocation_new(struct loop_services *services, const struct revocation_request *request,
                   revocation_done_t done, void *userdata, struct revocation **ret);

/* Which it revokes. */
uint64_t revocation_generation(const struct revocation *revocation);

/* After DONE, what that was told; and, after a failure, whether it may be revoked all the same, by this call
 * or by an earlier one. */
enum failure revocation_failure(const struct revocation *revocation);
bool revocation_has_expired(const struct revocation *revocation);
bool revocation_is_gone(const struct revocation *revocation);
bool revocation_is_in_doubt(const struct revocation *revocation);
const char *revocation_error(const struct revocation *revocation);

/* Its worker must have ended: after DONE, or when the workers were stopped. Accepts NULL, returns NULL. */
struct revocation *revocation_free(struct revocation *revocation);
