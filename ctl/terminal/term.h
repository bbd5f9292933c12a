#pragma once

/* What standard output is: how wide, and whether colours and more than ASCII may be shown there. */

#include "lib/util/macro.h"

struct term {
        bool is_terminal, has_colours, is_utf8;
        unsigned width, height; /* 0: no limit, it is no terminal */
};

/* Reads FD and the environment: NO_COLOR, TERM, COLUMNS, LINES and the locale. */
struct term term_detect(int fd);

/* What a piece of text means, rather than its appearance. */
enum term_style {
        TERM_PLAIN,
        TERM_STRONG, /* titles */
        TERM_FAINT,  /* of less interest */
        TERM_GOOD,
        TERM_WARNING,
        TERM_BAD,
        TERM_STYLE_MAX,
};

/* What goes before and after a text of STYLE; empty without colours. */
const char *term_begin(const struct term *term, enum term_style style);
const char *term_end(const struct term *term, enum term_style style);
