/* What takes the place of a damaged set, as a table. */

#include "lib/store/store-choice.h"

#include <stdio.h>

#include "tests/test.h"

#define NOW    (UINT64_C(1800000000) * USEC_PER_SEC)
#define NO     UINT64_MAX
#define ANY    STORE_CHOICE_NONE
#define SAME   STORE_CHOICE_SAME
#define KEY    STORE_CHOICE_KEY
#define BEFORE STORE_CHOICE_EARLIER

/* One generation in short: "4 b k1 CN=x copy=3 old revoked expired damaged new". The letter is the
 * certificate,
 * "-" for one that is not known; of the key and the subject nothing is known where they are missing. */
static struct known_generation described(const char *text) {
        struct known_generation known = { .is_complete = true, .not_before = NOW - 10 * USEC_PER_DAY };
        char words[200], *save, *word;

        snprintf(words, sizeof(words), "%s", text);
        word = strtok_r(words, " ", &save);
        known.number = strtoull(word, NULL, 10);
        known.expiry = NOW + 10 * USEC_PER_DAY;
        word = strtok_r(NULL, " ", &save);
        snprintf(known.fingerprint, sizeof(known.fingerprint), "%s", streq(word, "-") ? "" : word);
        while ((word = strtok_r(NULL, " ", &save))) {
                if (word[0] == 'k') {
                        known.has_spki = true;
                        known.spki[0] = (uint8_t)word[1];
                } else if (has_prefix(word, "CN="))
                        known.subject = strdup(word);
                else if (has_prefix(word, "copy=")) {
                        known.is_copy = true;
                        known.source = strtoull(word + strlen("copy="), NULL, 10);
                } else if (streq(word, "damaged"))
                        known.is_complete = false;
                else if (streq(word, "revoked"))
                        known.is_revoked = true;
                else if (streq(word, "expired"))
                        known.expiry = NOW;
                else if (streq(word, "new"))
                        known.not_before += USEC_PER_DAY;
                else if (streq(word, "undated"))
                        known.not_before = 0;
                else
                        ck_abort_msg("%s", word);
        }
        return known;
}

/* The last one is the damaged set. */
static const struct {
        const char *generations[6];
        uint64_t expected;
        enum store_choice choice;
        const char *why;
} cases[] = {
        /* The same certificate, wherever it is. */
        { { "3 a k1 CN=x", "4 b k2 CN=x", "5 a k1 CN=x copy=3" }, 3, SAME, NULL },
        { { "3 a k1 CN=x", "4 b k2 CN=x", "5 a undated copy=3" }, 3, SAME, NULL },
        { { "3 a k1 CN=x", "4 b k2 CN=x", "5 - undated copy=3" }, 3, SAME, NULL },
        { { "3 a k1 CN=x", "4 a k1 CN=x", "5 a k1 CN=x" }, 4, SAME, NULL },
        { { "3 a k1 CN=x", "4 b k2 CN=x", "5 a k1 CN=x copy=3", "6 b k2 CN=x copy=4" }, 4, SAME, NULL },
        { { "3 a k1 CN=x damaged", "4 b k2 CN=x", "5 a copy=3", "6 - undated copy=3" }, 5, SAME, NULL },
        { { "0 a k1 CN=x", "1 a k1 CN=x copy=0" }, 0, SAME, NULL },
        /* One of the same key goes before a newer one. */
        { { "3 a k1 CN=x", "4 b k2 CN=x", "5 c k1 CN=x" }, 3, KEY, NULL },
        { { "3 a k1 CN=x", "4 b k2 CN=x", "5 - k1 undated" }, 3, KEY, NULL },
        /* The one before it. */
        { { "3 a k1 CN=x", "4 b k2 CN=x", "5 c k3 CN=x" }, 4, BEFORE, NULL },
        { { "3 a k1 CN=x", "4 b k2 CN=x", "5 - undated" }, 4, BEFORE, NULL },
        { { "3 a k1 CN=x", "4 b k2 CN=x damaged", "5 c k3 CN=x" }, 3, BEFORE, NULL },
        { { "3 a k1 CN=x", "4 b k2 CN=x revoked", "5 c k3 CN=x" }, 3, BEFORE, NULL },
        { { "3 a k1 CN=x", "4 b k2 CN=x expired", "5 c k3 CN=x" }, 3, BEFORE, NULL },
        { { "3 a k1 CN=x", "4 b k2 CN=y", "5 c k3 CN=x" }, 3, BEFORE, NULL },
        { { "3 a k1 CN=x", "4 b k2 CN=x", "5 a k1 CN=x copy=3", "6 c k3 CN=x" }, 5, BEFORE, NULL },
        /* None: what was left by a rollback, in all its forms. */
        { { "4 b k2 CN=x", "5 a k1 CN=x copy=3" }, NO, ANY, "generation 4 was left by a rollback" },
        { { "4 b k2 CN=x", "5 - undated copy=3" }, NO, ANY, "was left by a rollback" },
        { { "4 b k2 CN=x new", "5 a k1 CN=x" }, NO, ANY, "was left by a rollback" },
        { { "2 b k2 CN=x", "3 a k1 CN=x damaged", "4 b k2 CN=x", "5 a copy=3" }, NO, ANY, "rollback" },
        { { "4 b k2 CN=x", "5 a k1 CN=x damaged copy=3", "6 c k3 CN=x" }, NO, ANY, "rollback" },
        /* What is of no use, though it is the same. */
        { { "3 a k1 CN=x revoked", "5 a k1 CN=x copy=3" }, NO, ANY, "generation 3 was revoked" },
        { { "3 a k1 CN=x expired", "5 a k1 CN=x copy=3" }, NO, ANY, "generation 3 has expired" },
        { { "3 a k1 CN=x damaged", "5 a k1 CN=x copy=3" }, NO, ANY, "generation 3 is damaged" },
        /* Another identity, or maybe. */
        { { "4 b k2 CN=x", "5 c k3 CN=y" }, NO, ANY, "generation 4 may have another subject" },
        { { "4 b k2", "5 c k3 CN=y" }, NO, ANY, "generation 4 may have another subject" },
        { { "3 a k1 CN=x", "4 b k2 CN=y", "5 - undated" }, NO, ANY, "may have another subject" },
        /* Nothing else is there. */
        { { "5 c k3 CN=y" }, NO, ANY, "there is no other generation" },
};

START_TEST(the_table) {
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (unsigned is_listed = 0; is_listed < 2; is_listed++) {
                        struct known_generation all[ELEMENTSOF(cases[i].generations)];
                        _cleanup_(freep) char *why = NULL;
                        size_t n = 0, chosen = 0;
                        enum store_choice choice;

                        for (; n < ELEMENTSOF(all) && cases[i].generations[n]; n++)
                                all[n] = described(cases[i].generations[n]);
                        all[n - 1].is_complete = false;
                        /* Its directory may be missing. */
                        choice = store_choose(&all[n - 1], all, n - 1 + is_listed, NOW, &chosen, &why);
                        ck_assert_msg(choice == cases[i].choice, "%zu: %d, %s", i, (int)choice, why);
                        if (cases[i].expected == NO)
                                ck_assert_msg(strstr(why, cases[i].why), "%zu: %s", i, why);
                        else
                                ck_assert_msg(!why && all[chosen].number == cases[i].expected,
                                              "%zu: %" PRIu64, i, all[chosen].number);
                        for (size_t k = 0; k < n; k++)
                                free(all[k].subject);
                }
}
END_TEST

int main(void) {
        Suite *suite = suite_create("store-choice");

        TEST_CASE(suite, the_table);
        return test_run(suite);
}
