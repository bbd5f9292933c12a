#pragma once

/* What stands around the steps of an attempt where replicas share the set: which parts of what it has
 * gathered others must know of, before and after which step. */

#include "daemon/certificate/gathered.h"
#include "daemon/certificate/replica.h"

struct sharing;

/* All is borrowed; USERDATA is for the functions below. NULL when memory is out. */
struct sharing *sharing_new(struct replica *replica, struct gathered *gathered, void *userdata);
struct sharing *sharing_free(struct sharing *sharing); /* accepts NULL, returns NULL */

/* The step of the outcome is next. DONE follows, maybe at once; where the step must not begin, its outcome is
 * a local failure then. */
void sharing_before_step(struct sharing *sharing, void (*done)(void *userdata));

/* It has ended, or what it staged was discarded. What fails here is a warning. */
void sharing_after_step(struct sharing *sharing, void (*done)(void *userdata));
