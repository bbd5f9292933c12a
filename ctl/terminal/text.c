/*
 * Text from the server, a Connector or a file ends on the operator's terminal, where an escape sequence could
 * rewrite what was read before. So all text goes through text_clean() once, in the helpers that print; other
 * bytes are shown one by one instead of being dropped.
 *
 * Characters are decoded in a UTF-8 locale of our own, whatever the environment says.
 */

#include "ctl/terminal/text.h"

#include <locale.h>
#include <stdint.h>
#include <threads.h>
#include <wchar.h>

#include "lib/util/utf8.h"

static locale_t utf8;

static void make_locale(void) {
        utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

static locale_t enter_utf8(void) {
        static once_flag once = ONCE_FLAG_INIT;

        call_once(&once, make_locale);
        return uselocale(utf8);
}

/* How many bytes the character at P has, and how many columns; 0 for what must not reach a terminal. */
static size_t next_character(const char *p, size_t *ret_width) {
        mbstate_t state = { 0 };
        wchar_t c;
        size_t n = mbrtowc(&c, p, strlen(p), &state);
        int width;

        if (n == 0 || n == (size_t)-1 || n == (size_t)-2)
                return 0;
        if (utf8_size(p, n) != n || utf8_is_unsafe(p))
                return 0;
        width = wcwidth(c);
        if (width < 0)
                return 0;
        *ret_width = (size_t)width;
        return n;
}

char *text_clean(const char *text, bool is_utf8) {
        static const char digits[] = "0123456789abcdef";
        const locale_t before = enter_utf8();
        char *clean = malloc(4 * strlen(text) + 1), *q = clean;

        for (const char *p = text; clean && *p;) {
                size_t width, n = next_character(p, &width);

                if (n == 1 || (n > 1 && is_utf8)) {
                        q = mempcpy(q, p, n);
                        p += n;
                        continue;
                }
                for (n = n > 1 ? n : 1; n > 0; n--, p++) {
                        *q++ = '\\';
                        *q++ = 'x';
                        *q++ = digits[(uint8_t)*p >> 4];
                        *q++ = digits[(uint8_t)*p & 15];
                }
        }
        if (clean)
                *q = '\0';
        uselocale(before);
        return clean;
}

/* As text_fit(), for the first SIZE bytes. */
static size_t fit(const char *text, size_t size, size_t columns, size_t *ret_width) {
        const locale_t before = enter_utf8();
        size_t sum = 0, done = 0;

        while (done < size) {
                size_t width = 1, n = next_character(text + done, &width);

                if (sum + width > columns)
                        break;
                sum += width;
                done += n > 0 ? n : 1;
        }
        uselocale(before);
        *ret_width = sum;
        return done;
}

size_t text_fit(const char *text, size_t columns, size_t *ret_width) {
        return fit(text, strlen(text), columns, ret_width);
}

size_t text_width(const char *text) {
        size_t width;

        (void)text_fit(text, SIZE_MAX, &width);
        return width;
}

void text_wrap(FILE *out, const char *text, size_t columns, size_t column, size_t indent) {
        bool is_begin = true; /* of a line: a word that is too long for any line is written anyway */

        while (*text) {
                size_t blanks = strspn(text, " "), word = strcspn(text + blanks, " "), width;

                (void)fit(text + blanks, word, SIZE_MAX, &width);
                if (columns > 0 && !is_begin && column + blanks + width > columns) {
                        fprintf(out, "\n%*s", (int)indent, "");
                        column = indent;
                        text += blanks;
                        blanks = 0;
                }
                fwrite(text, 1, blanks + word, out);
                column += blanks + width;
                is_begin = false;
                text += blanks + word;
        }
}

char *text_fill(const char *format, const char *name) {
        const char *hole = strstr(format, "%s");
        const int n = hole ? (int)(hole - format) : (int)strlen(format);
        char *text;

        if (asprintf(&text, "%.*s%s%s", n, format, hole ? name : "", hole ? hole + strlen("%s") : "") < 0)
                return NULL;
        return text;
}
