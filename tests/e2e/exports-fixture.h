#pragma once

/* What end-to-end tests of exports share: a certificate with some, what the log says of them, who is told. */

#include "tests/support/fixture.h"

/* In all of these '@' stands for the scratch directory. */
#define EXPORTING                     \
        "  orders:\n"                 \
        "    connector: dev\n"        \
        "    directory: '@/orders'\n" \
        "    token_file: '@/token'\n"

/* Writes down each generation that it is told of. */
#define TELL            \
        "    notify:\n" \
        "      - command: [/bin/sh, -c, 'echo \"$REKEYD_GENERATION\" >>@/told']\n"

/* For owners and groups that are not ours. */
#define NOBODY 65534u
#define DAEMON 1u

/* A stand with that configuration and a token for `orders`. */
struct fixture *prepare(const char *const *options, const char *certificates);

void make_directory(const struct fixture *fixture, const char *name, mode_t mode);

void await_message(struct fixture *fixture, const char *message_id);

/* The next line that an export was written, or was not, must be of PATH; TEXT is in it. */
void await_export(struct fixture *fixture, const char *message_id, const char *path, const char *text);
void await_exports(struct fixture *fixture, unsigned n); /* that were written */

/* TEXT is in the member NAME of LINE. */
bool mentions(const json_t *line, const char *name, const char *text);

/* How often rekeyd has logged MESSAGE_ID, all in all. */
unsigned logged(struct fixture *fixture, const char *message_id);

/* The generations that TELL was told of, "1\n2\n"; or each up to N once, in their order, and maybe later
 * ones.
 */
void assert_told(const struct fixture *fixture, const char *expected);
void assert_told_once_each(const struct fixture *fixture, unsigned n);

void assert_mode(const struct fixture *fixture, const char *name, uid_t uid, gid_t gid, mode_t mode);

/* The current set, put together from its files by somebody who knows nothing of lib/export: PARTS are letters
 * of key, leaf, chain, and "a" for ca. Owned by the caller. */
char *expected_pem(const struct fixture *fixture, const char *parts);

/* What a shell's command prints; it must succeed. Owned by the caller. */
char *shell(const char *format, ...) _printf_(1, 2);
