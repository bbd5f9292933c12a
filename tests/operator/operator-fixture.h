#pragma once

/* What an operator has: the real rekeyctl, rekeyd and devconnector, and all that he gets to see. */

#include <stdio.h>

#include "tests/support/fixture.h"
#include "tests/support/process.h"

#define PASSPHRASE "correct-horse-battery"

struct operator_fixture {
        struct fixture *fixture;
        char *token;
        FILE *heard; /* all that was printed or answered */
        char *text;
        size_t size;
};

/* In its place: the stream knows where its text is. With CERTIFICATES, the files `passphrase` and `is-there`,
 * and rekeyd ready. */
void operator_init(struct operator_fixture *console, const char *certificates);
/* The same with OPTIONS of devconnector, as fixture_new() takes them. */
void operator_init_with(struct operator_fixture *console, const char *certificates,
                        const char *const *options);
void operator_clear(struct operator_fixture *console);

/* "rekeyctl LINE", words separated by blanks, with the token file as standard input. */
struct process *operator_start(struct operator_fixture *console, const char *line);

/* Awaits its end, and returns what it printed on both streams, owned. */
char *operator_finish(struct operator_fixture *console, struct process *process, int *ret_status);

/* Both; it ends with EXPECTED. A look at the files may be under way after anything, and rekeyd then says to
 * wait: that is no result. And the same for what it SAYS. */
char *operator_run(struct operator_fixture *console, const char *line, int expected);
void operator_check(struct operator_fixture *console, const char *line, int expected, const char *says);

void operator_mint_token(struct operator_fixture *console);
void operator_enrol(struct operator_fixture *console); /* "orders" */

/* Awaits that nothing is under way with it; and that it is fine, the only one. */
void operator_settle(struct operator_fixture *console);
void operator_check_fine(struct operator_fixture *console);
