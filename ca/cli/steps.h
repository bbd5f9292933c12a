#pragma once

/* The steps of a rotation, for people and for --json. */

#include "ca/cli/session.h"

/* From FROM to UNTIL; with --json all from FROM, as `steps`. */
void steps_print(struct session *session, enum reason reason, enum phase from, enum phase until);
