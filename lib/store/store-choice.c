/*
 * A damaged set is replaced by the same one where there is a copy of it. Another one is a change that was not
 * asked for: it is taken only if it was in use before, is still valid, was not revoked, has the same
 * identity, and if nobody has rolled away from it.
 */

#include "lib/store/store-choice.h"

#include <stdio.h>

#include "lib/util/text-stream.h"

static bool is_same(const struct known_generation *damaged, const struct known_generation *other) {
        if (damaged->fingerprint[0])
                return streq(damaged->fingerprint, other->fingerprint);
        return damaged->is_copy &&
               (other->number == damaged->source || (other->is_copy && other->source == damaged->source));
}

static bool has_same_key(const struct known_generation *damaged, const struct known_generation *other) {
        return damaged->has_spki && other->has_spki &&
               memcmp(damaged->spki, other->spki, sizeof(other->spki)) == 0;
}

/* OTHER lies between a copy and what it is a copy of. */
static bool is_between(const struct known_generation *copy, const struct known_generation *other) {
        return copy->is_copy && copy->source < other->number && other->number < copy->number;
}

/* A copy of an older generation says that all in between are not wanted. */
static bool is_left(const struct known_generation *damaged, const struct known_generation *generations,
                    size_t n, const struct known_generation *other) {
        for (size_t i = 0; i < n; i++)
                if (is_between(&generations[i], other))
                        return true;
        return is_between(damaged, other);
}

/* An older copy of such a certificate is not wanted either. A release that kept no record of copies left a
 * certificate that is older than the one before it. */
static bool is_rolled_away_from(const struct known_generation *damaged,
                                const struct known_generation *generations, size_t n,
                                const struct known_generation *other) {
        for (size_t i = 0; i < n; i++)
                if (generations[i].fingerprint[0] && streq(generations[i].fingerprint, other->fingerprint) &&
                    is_left(damaged, generations, n, &generations[i]))
                        return true;
        return is_left(damaged, generations, n, other) ||
               (damaged->not_before > 0 && other->not_before > damaged->not_before);
}

static bool is_subject(const char *a, const char *b) {
        return a && b && streq(a, b);
}

/* Where the damaged one's is unknown, all others must agree. */
static bool is_other_identity(const struct known_generation *damaged,
                              const struct known_generation *generations, size_t n,
                              const struct known_generation *other) {
        if (damaged->subject)
                return !is_subject(damaged->subject, other->subject);
        for (size_t i = 0; i < n; i++)
                if (generations[i].is_complete && !is_subject(generations[i].subject, other->subject))
                        return true;
        return false;
}

/* NULL: it can. */
static const char *why_not(const struct known_generation *damaged, const struct known_generation *generations,
                           size_t n, const struct known_generation *other, usec_t now) {
        if (!other->is_complete)
                return "is damaged";
        if (other->is_revoked)
                return "was revoked";
        if (other->expiry <= now)
                return "has expired";
        if (is_same(damaged, other))
                return NULL;
        if (is_rolled_away_from(damaged, generations, n, other))
                return "was left by a rollback";
        if (is_other_identity(damaged, generations, n, other))
                return "may have another subject";
        return NULL;
}

static enum store_choice rank(const struct known_generation *damaged, const struct known_generation *other) {
        if (is_same(damaged, other))
                return STORE_CHOICE_SAME;
        return has_same_key(damaged, other) ? STORE_CHOICE_KEY : STORE_CHOICE_EARLIER;
}

static char *explain(const struct known_generation *damaged, const struct known_generation *generations,
                     size_t n, usec_t now) {
        char *text = NULL;
        size_t size, n_told = 0;
        FILE *out = text_stream_open(&text, &size);

        if (!out)
                return NULL;
        for (size_t i = n; i-- > 0;)
                if (generations[i].number != damaged->number)
                        fprintf(out, "%sgeneration %" PRIu64 " %s", n_told++ > 0 ? ", " : "",
                                generations[i].number,
                                why_not(damaged, generations, n, &generations[i], now));
        if (n_told == 0)
                fputs("there is no other generation", out);
        if (fclose(out) == 0)
                return text;
        free(text);
        return NULL;
}

enum store_choice store_choose(const struct known_generation *damaged,
                               const struct known_generation *generations, size_t n, usec_t now,
                               size_t *ret_index, char **ret_why) {
        enum store_choice best = STORE_CHOICE_NONE;

        for (size_t i = n; i-- > 0;) {
                const struct known_generation *other = &generations[i];

                if (other->number == damaged->number || why_not(damaged, generations, n, other, now))
                        continue;
                if (rank(damaged, other) < best) {
                        best = rank(damaged, other);
                        *ret_index = i;
                }
        }
        if (best == STORE_CHOICE_NONE)
                *ret_why = explain(damaged, generations, n, now);
        return best;
}
