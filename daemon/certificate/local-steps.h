#pragma once

/* The steps that work on this machine only: files and RSA. For worker threads: they touch what is gathered
 * and nothing else, and leave their outcome in it. */

struct gathered;

void local_step_inspect(struct gathered *gathered);
void local_step_key(struct gathered *gathered);
void local_step_csr(struct gathered *gathered);
void local_step_gate(struct gathered *gathered);
void local_step_commit(struct gathered *gathered);

/* After a step that failed: what it has used must not be found again by the next attempt. */
void local_step_discard(struct gathered *gathered);
