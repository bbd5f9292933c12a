#pragma once

/* Whose certificate is in use, is staged, and is to be requested. On a worker. */

#include "lib/x509/subject.h"

struct gathered;

/* Reads the subject of the current set, where it is needed. 0 or -ENOMEM. */
int subjects_read(struct gathered *gathered);

/* What is staged, a CSR or a certificate, is for a subject that is still allowed. */
bool subjects_allow_staged(const struct gathered *gathered);

/* Before the CSR: NEXT is the subject that the Connector names. 0; -EPERM where it is refused, -EINVAL,
 * -ENOMEM: with a sentence in the outcome. */
int subjects_check_next(struct gathered *gathered, const struct subject *next);
