#pragma once

/* An operator's desk: the real rekeyctl, rekeyd and devconnector, and all that he gets to see. */

#include <stdio.h>

#include "tests/support/process.h"
#include "tests/support/stand.h"

#define PASSPHRASE "correct-horse-battery"

struct desk {
        struct stand *stand;
        char *token;
        FILE *heard; /* all that was printed or answered */
        char *text;
        size_t size;
};

/* In its place: the stream knows where its text is. With CERTIFICATES, the files `passphrase` and `is-there`,
 * and rekeyd ready. */
void desk_init(struct desk *desk, const char *certificates);
void desk_clear(struct desk *desk);

/* "rekeyctl LINE", words separated by blanks, with the token file as standard input. */
struct process *desk_start(struct desk *desk, const char *line);

/* Awaits its end, and returns what it printed on both streams, owned. */
char *desk_finish(struct desk *desk, struct process *process, int *ret_status);

/* Both; it ends with EXPECTED. A look at the files may be under way after anything, and rekeyd then says to
 * wait: that is no result. And the same for what it SAYS. */
char *desk_run(struct desk *desk, const char *line, int expected);
void desk_check(struct desk *desk, const char *line, int expected, const char *says);

void desk_mint_token(struct desk *desk);
void desk_enrol(struct desk *desk); /* "orders" */

/* Awaits that nothing is under way with it; and that it is fine, the only one. */
void desk_settle(struct desk *desk);
void desk_check_fine(struct desk *desk);
