#pragma once

/* All certificates at a glance: a table, what is wrong below it, and a line that sums up. */

#include <jansson.h>
#include <stdio.h>

#include "ctl/terminal/term.h"
#include "ctl/verdict.h"

struct overview;

/* LIST is an array of statuses, of which a reference is kept. 0 or -ENOMEM. */
int overview_new(json_t *list, usec_t now, bool is_offline, struct overview **ret);
struct overview *overview_free(struct overview *overview);
DEFINE_CLEANUP(struct overview *, overview_free);

/* Has the table show subjects and issuers as well. */
void overview_widen(struct overview *overview);

/* How many certificates are as bad as LEVEL. */
size_t overview_count(const struct overview *overview, enum verdict_level level);

/* What is wrong first. Where IS_FOLDED, and the rows do not fit the height of the terminal, those of which
 * all is fine are only counted. 0 or -ENOMEM. */
int overview_print(const struct overview *overview, const struct term *term, bool is_folded, FILE *out);

/* Of findings everywhere: the mark in front, and its style. */
const char *overview_mark(enum verdict_level level, bool is_utf8);
enum term_style overview_style(enum verdict_level level);

/* NAME: SENTENCE and, in a line of its own, the command. 0 or -ENOMEM. */
int overview_print_finding(FILE *out, const struct term *term, const char *name,
                           const struct finding *finding);
