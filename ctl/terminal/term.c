/*
 * The terminal, as far as a program that prints lines and tables needs to know it. There is no curses and no
 * terminfo: what is written are the six escape sequences that every terminal of the last thirty years knows,
 * and none at all where the output goes elsewhere, NO_COLOR is set (https://no-color.org) or TERM says
 * "dumb".
 */

#include "ctl/terminal/term.h"

#include <langinfo.h>
#include <locale.h>
#include <sys/ioctl.h>

#include "lib/util/parse.h"

#define WIDTH_MIN       20u
#define WIDTH_STANDARD  80u
#define HEIGHT_STANDARD 24u

static const char *const sequences[TERM_STYLE_MAX] = {
        [TERM_PLAIN] = "",        [TERM_STRONG] = "\033[1m",   [TERM_FAINT] = "\033[2m",
        [TERM_GOOD] = "\033[32m", [TERM_WARNING] = "\033[33m", [TERM_BAD] = "\033[1;31m",
};

/* The environment goes first, as with other programs; then what the terminal says; then STANDARD. */
static unsigned dimension(const char *variable, unsigned actual, unsigned default_text) {
        const char *text = getenv(variable);
        uint64_t value;

        if (text && parse_unsigned(text, 1, 10000, &value) == 0)
                return (unsigned)value;
        return actual > 0 ? actual : default_text;
}

static bool locale_is_utf8(void) {
        const locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
        bool is_utf8;

        if (!locale)
                return false;
        is_utf8 = streq(nl_langinfo_l(CODESET, locale), "UTF-8");
        freelocale(locale);
        return is_utf8;
}

struct term term_detect(int fd) {
        struct term term = { .is_terminal = isatty(fd), .is_utf8 = locale_is_utf8() };
        struct winsize size = { 0 };
        const char *type = getenv("TERM");

        if (!term.is_terminal)
                return term;
        term.has_colours = strempty(getenv("NO_COLOR")) && !strempty(type) && !streq(type, "dumb");
        (void)ioctl(fd, TIOCGWINSZ, &size);
        term.width = dimension("COLUMNS", size.ws_col, WIDTH_STANDARD);
        term.height = dimension("LINES", size.ws_row, HEIGHT_STANDARD);
        if (term.width < WIDTH_MIN)
                term.width = WIDTH_MIN;
        return term;
}

const char *term_begin(const struct term *term, enum term_style style) {
        return term->has_colours ? sequences[style] : "";
}

const char *term_end(const struct term *term, enum term_style style) {
        return term->has_colours && style != TERM_PLAIN ? "\033[0m" : "";
}
