#pragma once

/* One sentence for the operator, gathered while a failure unwinds. */

#include <errno.h>

#include "lib/util/macro.h"

/*
 * code: 0 while there is no error, else the negative errno that the failing function returned.
 * text: owned; consequence first, cause last: "cannot store the new set: write tls.key: No space left on
 * device".
 *
 * Every function that takes a struct error accepts NULL, for callers who only want the code.
 * Texts never hold keys, tokens or passphrases.
 */
struct error {
        int code;
        char *text;
};

#define ERROR_INIT       \
        (struct error) { \
                0        \
        }

/* Replaces whatever ERROR holds. Returns CODE, so that `return error_set(...)` reads well. */
int error_set(struct error *error, int code, const char *format, ...) _printf_(3, 4);

/* As error_set(), and appends ": " and the text of the errno CODE. */
int error_set_errno(struct error *error, int code, const char *format, ...) _printf_(3, 4);

/* Puts "FORMAT: " in front of the text. Returns the code of the error. */
int error_prefix(struct error *error, const char *format, ...) _printf_(2, 3);

/* What -errno CODE means; static. */
const char *error_code_text(int code);

/* The text, or that of the code where no text was given. Borrowed from ERROR. */
const char *error_text(const struct error *error);

/* Frees the text and forgets the code. */
void error_clear(struct error *error);

/* Moves FROM into TO, which may be NULL. FROM is empty afterwards. Returns the code. */
int error_move(struct error *to, struct error *from);
