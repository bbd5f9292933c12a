#pragma once

/* What an API server lets this caller do: a SelfSubjectAccessReview, which every account may create. Pure. */

#include "lib/kube/kube-request.h"

/* What to ask to hear whether VERB is allowed for RESOURCE; *RET_BODY, owned by the caller, is borrowed by
 * *RET. 0 or -ENOMEM. */
int kube_rights_ask(enum kube_verb verb, const struct kube_resource *resource, struct kube_ask *ret,
                    json_t **ret_body);

/* Whether ANSWER, the object that came back, allows it. */
bool kube_rights_allow(const json_t *answer);
