/*
 * Numbers with units, read strictly: no blanks, no signs, no exponents, nothing left over, and an overflow is
 * an error instead of a wrapped value. What a person wrote either means one thing or is refused. Also the
 * guess at the word that a slip of the pen was meant to be.
 */

#include "lib/util/parse.h"

#include <errno.h>
#include <limits.h>

/* Reads the decimal digits at *TEXT and moves past them. At least one digit. */
static int parse_digits(const char **text, uint64_t *ret) {
        const char *p = *text;
        uint64_t value = 0;
        bool overflow = false;

        if (*p < '0' || *p > '9')
                return -EINVAL;
        for (; *p >= '0' && *p <= '9'; p++)
                overflow = overflow || __builtin_mul_overflow(value, 10, &value) ||
                           __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value);

        /* Also when it overflows: the caller distinguishes bad syntax after the digits from a number that is
         * too large. */
        *text = p;
        *ret = overflow ? UINT64_MAX : value;
        return overflow ? -ERANGE : 0;
}

int parse_duration(const char *text, usec_t *ret_usec) {
        static const struct {
                const char *name;
                usec_t usec;
        } units[] = {
                { "ms", USEC_PER_MSEC }, { "s", USEC_PER_SEC }, { "m", USEC_PER_MINUTE },
                { "h", USEC_PER_HOUR },  { "d", USEC_PER_DAY },
        };
        uint64_t value;
        usec_t usec;
        int r;

        r = parse_digits(&text, &value);
        if (r == -EINVAL)
                return r;
        if (r == 0 && value == 0 && !*text) {
                *ret_usec = 0;
                return 0;
        }

        for (size_t i = 0; i < ELEMENTSOF(units); i++) {
                if (!streq(text, units[i].name))
                        continue;
                /* USEC_INFINITY means "never", which no file can say. */
                if (r < 0 || __builtin_mul_overflow(value, units[i].usec, &usec) || usec == USEC_INFINITY)
                        return -ERANGE;
                *ret_usec = usec;
                return 0;
        }
        return -EINVAL;
}

int parse_share(const char *text, unsigned *ret_ppm) {
        const unsigned percent = SHARE_ONE / 100;
        unsigned fraction = 0;
        uint64_t whole;
        int r;

        r = parse_digits(&text, &whole);
        if (r == -EINVAL)
                return r;

        if (*text == '.') {
                unsigned weight = percent;

                /* Four digits are all that millionths can hold; a fifth would be dropped in silence. */
                for (text++; *text >= '0' && *text <= '9'; text++) {
                        weight /= 10;
                        if (weight == 0)
                                return -EINVAL;
                        fraction += weight * (unsigned)(*text - '0');
                }
                if (weight == percent)
                        return -EINVAL;
        }
        if (!streq(text, "%"))
                return -EINVAL;
        if (r < 0 || whole > 100 || (unsigned)whole * percent + fraction > SHARE_ONE)
                return -ERANGE;

        *ret_ppm = (unsigned)whole * percent + fraction;
        return 0;
}

int parse_unsigned(const char *text, uint64_t min, uint64_t max, uint64_t *ret) {
        uint64_t value;
        int r;

        r = parse_digits(&text, &value);
        if (r == -EINVAL || *text)
                return -EINVAL;
        if (r < 0 || value < min || value > max)
                return -ERANGE;
        *ret = value;
        return 0;
}

int parse_mode(const char *text, unsigned *ret_mode) {
        unsigned mode = 0;

        if (!*text)
                return -EINVAL;
        for (; *text; text++) {
                if (*text < '0' || *text > '7')
                        return -EINVAL;
                /* Saturates: a hundred digits are out of range, not undefined. */
                if (mode <= 0777)
                        mode = mode * 8 + (unsigned)(*text - '0');
        }
        if (mode > 0777)
                return -ERANGE;
        *ret_mode = mode;
        return 0;
}

/* N digits at *P, which moves behind them; -1 where there are none. */
static int take_digits(const char **p, size_t n) {
        int value = 0;

        for (size_t i = 0; i < n; i++, ++*p) {
                if (**p < '0' || **p > '9')
                        return -1;
                value = 10 * value + (**p - '0');
        }
        return value;
}

static bool take_char(const char **p, const char *any) {
        if (!**p || !strchr(any, **p))
                return false;
        ++*p;
        return true;
}

/* "Z" or "+01:00", in minutes; INT_MIN for anything else. */
static int take_offset(const char **p) {
        const int sign = **p == '-' ? -1 : 1;
        int hours, minutes;

        if (take_char(p, "Zz"))
                return 0;
        if (!take_char(p, "+-"))
                return INT_MIN;
        hours = take_digits(p, 2);
        if (!take_char(p, ":"))
                return INT_MIN;
        minutes = take_digits(p, 2);
        return hours < 0 || hours > 23 || minutes < 0 || minutes > 59 ? INT_MIN
                                                                      : sign * (60 * hours + minutes);
}

int parse_timestamp(const char *text, usec_t *ret_usec) {
        const char *p = text;
        struct tm tm = { 0 }, back;
        int year, month, offset = 0;
        time_t sec;

        year = take_digits(&p, 4);
        if (year < 0 || !take_char(&p, "-"))
                return -EINVAL;
        month = take_digits(&p, 2);
        if (month < 0 || !take_char(&p, "-"))
                return -EINVAL;
        tm.tm_mday = take_digits(&p, 2);
        if (tm.tm_mday < 0)
                return -EINVAL;
        if (*p) {
                if (!take_char(&p, "Tt "))
                        return -EINVAL;
                tm.tm_hour = take_digits(&p, 2);
                if (tm.tm_hour < 0 || !take_char(&p, ":"))
                        return -EINVAL;
                tm.tm_min = take_digits(&p, 2);
                if (tm.tm_min < 0 || !take_char(&p, ":"))
                        return -EINVAL;
                tm.tm_sec = take_digits(&p, 2);
                if (tm.tm_sec < 0)
                        return -EINVAL;
                offset = take_offset(&p);
                if (offset == INT_MIN || *p)
                        return -EINVAL;
        }
        tm.tm_year = year - 1900;
        tm.tm_mon = month - 1;
        if (year < 1970 || month < 1 || month > 12 || tm.tm_mday < 1 || tm.tm_hour > 23 || tm.tm_min > 59 ||
            tm.tm_sec > 59)
                return -ERANGE;
        back = tm;
        sec = timegm(&back);
        if (back.tm_mday != tm.tm_mday)
                return -ERANGE; /* February 30 */
        sec -= 60 * offset;
        if (sec < 0)
                return -ERANGE;
        *ret_usec = (usec_t)sec * USEC_PER_SEC;
        return 0;
}

int parse_bool(const char *text, bool *ret) {
        static const char *const words[][2] = { { "false", "true" }, { "no", "yes" }, { "off", "on" } };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                for (size_t value = 0; value < 2; value++)
                        if (streq(text, words[i][value])) {
                                *ret = value == 1;
                                return 0;
                        }
        return -EINVAL;
}

/* Longer words are no slip of the pen, and the distance takes the square of the length. */
#define WORD_MAX 64

static char fold(char c) {
        if (c >= 'A' && c <= 'Z')
                return (char)(c - 'A' + 'a');
        return c == '-' ? '_' : c; /* "renew-before" is taken for "renew_before" */
}

static unsigned min3(unsigned a, unsigned b, unsigned c) {
        unsigned least = a < b ? a : b;

        return least < c ? least : c;
}

/* Edit distance with neighbouring letters swapped as one edit: the commonest slip ("certifciates"). */
static unsigned edit_distance(const char *a, size_t n_a, const char *b, size_t n_b) {
        unsigned rows[3][WORD_MAX + 1], *before = rows[0], *previous = rows[1], *row = rows[2], *spare;

        for (size_t j = 0; j <= n_b; j++)
                row[j] = (unsigned)j;

        for (size_t i = 1; i <= n_a; i++) {
                spare = before;
                before = previous;
                previous = row;
                row = spare;

                row[0] = (unsigned)i;
                for (size_t j = 1; j <= n_b; j++) {
                        unsigned differs = fold(a[i - 1]) != fold(b[j - 1]);

                        row[j] = min3(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + differs);
                        if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
                            fold(a[i - 2]) == fold(b[j - 1]) && before[j - 2] + 1 < row[j])
                                row[j] = before[j - 2] + 1;
                }
        }
        return row[n_b];
}

const char *nearest_word(const char *word, const char *const *candidates) {
        const char *nearest = NULL;
        unsigned least = UINT32_MAX;
        size_t n_word = strlen(word);

        if (n_word > WORD_MAX)
                return NULL;

        for (; *candidates; candidates++) {
                size_t n = strlen(*candidates);
                /* A third of the letters may be wrong; in a word of one or two letters, none. */
                unsigned distance, tolerated = (unsigned)((n > n_word ? n : n_word) / 3);

                if (n > WORD_MAX || (n > n_word ? n - n_word : n_word - n) > tolerated)
                        continue;
                distance = edit_distance(word, n_word, *candidates, n);
                if (distance <= tolerated && distance < least) {
                        least = distance;
                        nearest = *candidates;
                }
        }
        return nearest;
}
