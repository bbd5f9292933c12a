/* The journal as text and in memory: what is refused first; then there and back. Files, and clocks, have
 * programs of their own. */

#include "lib/life/state.h"

#include "tests/unit/life/states.h"

/* --- What is refused --- */

/* TEXT with the first FROM in it replaced by TO; owned by the caller. */
static char *replace(const char *text, const char *from, const char *to) {
        const char *at = strstr(text, from);
        char *result;

        ck_assert_msg(at, "%s is not in: %s", from, text);
        ck_assert_int_ge(asprintf(&result, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)), 0);
        return result;
}

/* A journal in which FROM was replaced by TO is refused with ERROR. */
static void check_refused(const char *json, const char *from, const char *to, const char *expected) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *text = replace(json, from, to);
        struct state state = { .failures = 77 };
        struct state_instant saved = { .realtime = 78 };
        int code = strstr(expected, "this rekeyd reads") ? -EPROTONOSUPPORT : -EINVAL;

        ck_assert_int_eq(state_parse(text, strlen(text), &state, &saved, &error), code);
        ck_assert_msg(strstr(error_text(&error), expected), "%s: %s", to, error_text(&error));
        ck_assert_int_eq(state_parse(text, strlen(text), &state, &saved, NULL), code);
        ck_assert_uint_eq(state.failures, 77);
        ck_assert_uint_eq(saved.realtime, 78);
}

#define BOOT_ID "b0070100000000000000000000000000"

START_TEST(test_refused) {
        static const struct {
                const char *from, *to, *error;
        } cases[] = {
                { "1", "0", "it has version 0" },
                { "1", "2", "it has version 2, and this rekeyd reads version 1" },
                { "1", "9223372036854775807", "it has version 9223372036854775807, and this rekeyd reads" },
                { "1", "9223372036854775808", "a number is too large" },
                { "1", "-1", "member version is not a number" },
                { "1", "1.0", "member version is not a number" },
                { "1", "\"1\"", "member version is not a number" },
                { BOOT_ID, "", "member saved.boot_id is not 32 hexadecimal digits" },
                { BOOT_ID, BOOT_ID "0", "member saved.boot_id" },
                { BOOT_ID, BOOT_ID "x", "member saved.boot_id" },
                { BOOT_ID, "b007010000000000000000000000000", "member saved.boot_id" },
                { BOOT_ID, "B0070100000000000000000000000000", "member saved.boot_id" },
                { "\"" BOOT_ID "\"", "1", "member saved.boot_id" },
                { "ac01", "ac", "member saved.machine_id is not 32 hexadecimal digits" },
                { "\"ac010000000000000000000000000000\"", "null", "member saved.machine_id is not 32" },
                { "18000000000", "-1", "member boottime_usec is not a number from 0 to" },
                { "\"failures\": 3", "\"failures\": 4294967296",
                  "member failures is not a number from 0 to 4294967295" },
                { "bad-reply", "tired", "member failure is not a known class of failures" },
                { "bad-reply", "", "member failure is not" },
                { "\"bad-reply\"", "3", "member failure is not" },
                { "1795197532000000", "253402300799000001",
                  "member next_attempt_usec is not a number from 0 to 253402300799000000" },
                { "14400000001", "-1", "issuance 1 is not a time" },
                { "16200000000", "253402300799000001", "issuance 2 is not a time" },
                { "16200000000", "\"16200000000\"", "issuance 2 is not a time" },
                { "16200000000", "14400000000", "issuance 2 is earlier than the one before it" },
                { TOKEN, "0", "member token is not 16 hexadecimal digits" },
                { TOKEN, TOKEN "0", "member token is not 16" },
                { TOKEN, "x" TOKEN, "member token is not 16" },
                { "\"" TOKEN "\"", "null", "member token is not 16" },
                { "\"" TOKEN "\"", "[1, 2, 3, 4]", "member token is not 16" },
                { "\"generation\": 42", "\"generation\": null", "member generation is not a number" },
                { "\"not_before_usec\": ", "\"not_before_usec\": -",
                  "member not_before_usec is not a number" },
                { "\"expiry_usec\": ", "\"expiry_usec\": \"soon\", \"_\": ",
                  "member expiry_usec is not a number" },
                { FINGERPRINT, "ab", "the fingerprint is not 64 hexadecimal digits" },
                { FINGERPRINT, FINGERPRINT "0", "fingerprint is not 64 hexadecimal digits" },
                { "\"" FINGERPRINT "\"", "null", "member fingerprint is not" },
                { "command /usr/libexec/orders-reload", "",
                  "entry 1 of owed: member dependent is not a string of 1 to 512" },
                { "\"command /usr/libexec/orders-reload\"", "1",
                  "entry 1 of owed: member dependent is missing" },
                { "SIGHUP \xe2\x86\x92 \\\"/run/x y\\\\z.pid\\\"", "command /usr/libexec/orders-reload",
                  "entry 2 of owed: member dependent is missing, or as in another entry" },
                { "\"generation\": 41", "\"generation\": -41", "entry 2 of owed: member generation" },
                { "\"revoking_generation\": 40", "\"revoking_generation\": -1",
                  "member revoking_generation is not a number" },
                { "\"revoking_generation\": 40", "\"revoking_generation\": \"40\"",
                  "member revoking_generation is not a number" },
                { "\"failures\": 2", "\"failures\": []", "entry 1 of owed: member failures" },
                { "1795197462000000", "1e9", "entry 1 of owed: member next_attempt_usec" },
                { "\"it ended with status 7\"", "7", "entry 1 of owed: member error is neither a string" },
                { "1795197441000000", "null", "member failed_usec is not a number" },
                { "\"O=Org,CN=other\"", "7", "member other_subject is not a string of 1 to 8192 bytes" },
                { "\"O=Org,CN=other\"", "\"\"", "member other_subject is not a string" },
                { "\"O=SAP SE\\\\, C=x,CN=\xc3\xa4\"", "[]", "member subject is not a string" },
        };
        /* Each is needed. */
        static const char *const members[] = {
                "version",
                "saved",
                "boot_id",
                "boottime_usec",
                "realtime_usec",
                "failures",
                "failure",
                "next_attempt_usec",
                "issuances_boottime_usec",
                "generation",
                "owed",
                "dependent",
                "fingerprint",
                "token",
                "revoke_generation",
        };
        _cleanup_(state_clear) struct state state = { 0 };
        _cleanup_(freep) char *json = NULL;

        fill(&state);
        json = format(&state);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                check_refused(json, cases[i].from, cases[i].to, cases[i].error);
        for (size_t i = 0; i < ELEMENTSOF(members); i++) {
                char quoted[64];

                snprintf(quoted, sizeof(quoted), "\"%s\"", members[i]);
                check_refused(json, quoted, "\"x\"", streq(members[i], "saved") ? "boot_id" : members[i]);
        }
}
END_TEST

START_TEST(test_counts) {
        static const char *const lists[] = { "issuances_boottime_usec", "owed" };
        _cleanup_(freep) char *json = format(&(struct state) { 0 });

        /* One more than the limit; test_all_limits_fit_the_file has as many as that. */
        for (size_t i = 0; i < ELEMENTSOF(lists); i++) {
                char from[64], to[512], expected[128];
                int n;

                snprintf(from, sizeof(from), "\"%s\": []", lists[i]);
                n = snprintf(to, sizeof(to), "\"%s\": [7", lists[i]);
                for (unsigned j = 0; j < 100; j++, n += 2)
                        memcpy(to + n, ",7", 2);
                memcpy(to + n, "]", sizeof("]"));
                snprintf(expected, sizeof(expected), "member %s is not a list of at most 100 entries",
                         lists[i]);
                check_refused(json, from, to, expected);
        }
}
END_TEST

START_TEST(test_members_of_the_future_are_passed_over) {
        _cleanup_(freep) char *json = format(&(struct state) { 0 }),
                              *later = replace(json, "{", "{ \"later\": { \"x\": [1, 2.5, null] },");
        _cleanup_(state_clear) struct state state = { 0 };
        struct state_instant saved;

        ck_assert_int_eq(state_parse(later, strlen(later), &state, &saved, NULL), 0);
        ck_assert(state_is_empty(&state));
        ck_assert_mem_eq(saved.boot_id, today.boot_id, sizeof(saved.boot_id));
        ck_assert_uint_eq(saved.boottime, 5 * HOUR);
        ck_assert_uint_eq(saved.realtime, DATE);
}
END_TEST

START_TEST(test_keys) {
        static const char *const refused[] = { "", "a\nb", "\x1f", "\xff", "a\xc3", "\xed\xa0\x80" };
        _cleanup_(state_clear) struct state state = { 0 };
        char key[STATE_KEY_MAX + 2];
        struct state_pending *pending = NULL;

        for (size_t i = 0; i < ELEMENTSOF(refused); i++)
                ck_assert_msg(state_add_pending(&state, refused[i], 1, &pending) == -EINVAL, "case %zu", i);
        memset(key, 'k', sizeof(key));
        key[STATE_KEY_MAX + 1] = '\0';
        ck_assert_int_eq(state_add_pending(&state, key, 1, &pending), -EINVAL);
        ck_assert_ptr_null(pending);
        ck_assert(state_is_empty(&state));

        key[STATE_KEY_MAX] = '\0';
        ck_assert_int_eq(state_add_pending(&state, key, 1, &pending), 0);
        ck_assert_str_eq(pending->key, key);

        for (unsigned i = 1; i < STATE_PENDING_MAX; i++) {
                snprintf(key, sizeof(key), "%u", i);
                ck_assert_int_eq(state_add_pending(&state, key, i, NULL), 0);
        }
        ck_assert_int_eq(state_add_pending(&state, "one more", 1, NULL), -ENOSPC);
        ck_assert_int_eq(state_add_pending(&state, "99", 100, NULL), 0); /* there already */
        ck_assert_uint_eq(state.n_pending, STATE_PENDING_MAX);
}
END_TEST

/* --- There and back --- */

START_TEST(test_all_limits_fit_the_file) {
        _cleanup_(state_clear) struct state state = { 0 }, back = { 0 };
        _cleanup_(freep) char *json = NULL, *again = NULL;
        struct state_instant saved;

        fill_to_the_limits(&state);
        ck_assert_uint_eq(state.n_issuances, SCHEDULE_BUDGET_MAX);
        json = format(&state);
        test_report("the largest journal has %zu of %u bytes", strlen(json), STATE_SIZE_MAX);
        ck_assert_uint_le(strlen(json), STATE_SIZE_MAX);
        ck_assert_int_eq(state_parse(json, strlen(json), &back, &saved, NULL), 0);
        again = format(&back);
        ck_assert_str_eq(again, json);
        ck_assert_uint_eq(back.token, state.token);

        /* "never" comes back as a time that no clock can mean */
        state_sanitise(&back, &saved, &today);
        ck_assert_uint_eq(back.next_attempt_usec, 0);
        ck_assert_uint_eq(back.pending[99].next_attempt_usec, 0);
}
END_TEST

/* What is not known is null, and comes back as that; a file of an older rekeyd does not have it at all. */
START_TEST(when_the_set_expires_may_not_be_known) {
        static const struct {
                usec_t not_before, expiry;
                const char *text;
        } rows[] = {
                { 0, 0, "\"not_before_usec\": null, \"expiry_usec\": null" },
                { DATE, 0, "\"expiry_usec\": null" },
                { DATE, DATE + HOUR,
                  "\"not_before_usec\": 1795197442000000, \"expiry_usec\": 1795201042000000" },
                { DATE, USEC_INFINITY, "\"expiry_usec\": 253402300799000000" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const struct state state = { .not_before = rows[i].not_before, .expiry = rows[i].expiry };
                _cleanup_(freep) char *json = format(&state),
                                      *flat = replace(json, ",\n    \"exp", ", \"exp"),
                                      *older = replace(json, "expiry_usec", "_");
                struct state_instant saved;
                struct state back;

                ck_assert_msg(strstr(flat, rows[i].text), "%s", json);
                ck_assert_int_eq(state_parse(json, strlen(json), &back, &saved, NULL), 0);
                ck_assert_uint_eq(back.not_before, rows[i].not_before);
                ck_assert_uint_eq(back.expiry, rows[i].expiry);
                ck_assert_int_eq(state_parse(older, strlen(older), &back, &saved, NULL), 0);
                ck_assert_uint_eq(back.expiry, 0);
        }
}
END_TEST

START_TEST(test_every_class_of_failure) {
        for (enum failure failure = FAILURE_NONE; failure < FAILURE_MAX; failure++) {
                const struct state state = { .failure = failure };
                _cleanup_(freep) char *json = format(&state);
                struct state_instant saved;
                struct state back;

                ck_assert_int_eq(state_parse(json, strlen(json), &back, &saved, NULL), 0);
                ck_assert_int_eq(back.failure, failure);
        }
}
END_TEST

/* As the first journals were. */
START_TEST(test_what_came_later_may_be_missing) {
        static const char *const members[][2] = {
                { "revoked", "x" },     { "revoke_usec", "y" },        { "revoking_generation", "z" },
                { "failed_usec", "w" }, { "machine_id", "u" },         { "copied", "t" },
                { "subject", "s" },     { "other_subject", "r" },      { "replace_since_usec", "q" },
                { "old_cas", "o" },     { "replace_asked_usec", "p" },
        };
        _cleanup_(state_clear) struct state state = { 0 }, back = { 0 };
        _cleanup_(freep) char *json = NULL;
        struct state_instant saved;

        fill(&state);
        json = format(&state);
        for (size_t i = 0; i < ELEMENTSOF(members); i++) {
                char *text = replace(json, members[i][0], members[i][1]);

                free(json);
                json = text;
        }
        for (char *text; strstr(json, "\"error\""); json = text) {
                text = replace(json, "\"error\"", "\"v\"");
                free(json);
        }
        ck_assert_int_eq(state_parse(json, strlen(json), &back, &saved, NULL), 0);
        ck_assert_ptr_null(back.error);
        ck_assert_uint_eq(back.failed_usec, 0);
        ck_assert(!back.is_copied && !back.subject && !back.other_subject);
        ck_assert_ptr_null(back.pending[0].error);
        ck_assert_uint_eq(back.n_revoked, 0);
        ck_assert_uint_eq(back.revoke_usec, 0);
        ck_assert(!back.is_revoking);
        ck_assert_uint_eq(back.failures, state.failures);
}
END_TEST

START_TEST(test_sentences) {
        static const struct {
                const char *text, *kept;
        } rows[] = {
                { "it ended with status 7", "it ended with status 7" },
                { "", "" },
                { "caf\xc3\xa9 \xff\x1b[31m\n", "caf\xc3\xa9 ??[31m?" },
                { "\xc2\x9b", "??" },
                { NULL, NULL },
        };
        char large[STATE_ERROR_MAX + 100];
        char *error = NULL;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                state_keep_error(&error, rows[i].text);
                ck_assert_pstr_eq(error, rows[i].kept);
        }
        memset(large, 'x', sizeof(large));
        memcpy(large + STATE_ERROR_MAX - 1, "\xc3\xa9", 3);
        state_keep_error(&error, large);
        ck_assert_uint_eq(strlen(error), STATE_ERROR_MAX);
        ck_assert_str_eq(error + STATE_ERROR_MAX - 2, "x?"); /* half a character is none */
        free(error);
}
END_TEST

START_TEST(test_revoked) {
        _cleanup_(state_clear) struct state state = { 0 };
        char fingerprint[FINGERPRINT_HEX];

        for (unsigned i = 0; i < 3 * STATE_REVOKED_MAX; i++) {
                snprintf(fingerprint, sizeof(fingerprint), "%064x", i);
                ck_assert(!state_has_revoked(&state, fingerprint));
                ck_assert_int_eq(state_add_revoked(&state, fingerprint), 0);
                ck_assert_int_eq(state_add_revoked(&state, fingerprint), 0);
                ck_assert(state_has_revoked(&state, fingerprint));
        }
        ck_assert_uint_eq(state.n_revoked, STATE_REVOKED_MAX);
        snprintf(fingerprint, sizeof(fingerprint), "%064x", 2 * STATE_REVOKED_MAX);
        ck_assert(state_has_revoked(&state, fingerprint));
        snprintf(fingerprint, sizeof(fingerprint), "%064x", 2 * STATE_REVOKED_MAX - 1);
        ck_assert(!state_has_revoked(&state, fingerprint));

        /* What was not done after all is forgotten, and nothing else. */
        state_drop_revoked(&state, fingerprint);
        ck_assert_uint_eq(state.n_revoked, STATE_REVOKED_MAX);
        for (unsigned i = 2 * STATE_REVOKED_MAX; i < 3 * STATE_REVOKED_MAX; i++) {
                snprintf(fingerprint, sizeof(fingerprint), "%064x", i);
                ck_assert(state_has_revoked(&state, fingerprint));
                state_drop_revoked(&state, fingerprint);
                ck_assert(!state_has_revoked(&state, fingerprint));
                ck_assert_uint_eq(state.n_revoked, 3 * STATE_REVOKED_MAX - 1 - i);
        }
        ck_assert(state_is_empty(&state));
        ck_assert_int_eq(state_add_revoked(&state, FINGERPRINT), 0);
        ck_assert(state_has_revoked(&state, FINGERPRINT));
}
END_TEST

START_TEST(test_is_empty) {
        static usec_t issuance;
        static struct state_pending pending;
        static char fingerprint[FINGERPRINT_HEX];
        static const struct state cases[] = {
                { .failures = 1 },
                { .failure = FAILURE_LOCAL },
                { .next_attempt_usec = 1 },
                { .issuances = &issuance, .n_issuances = 1 },
                { .token = 1 },
                { .generation = 1 },
                { .fingerprint = FINGERPRINT },
                { .revoke_usec = 1 },
                { .revoked = &fingerprint, .n_revoked = 1 },
                { .is_revoking = true },
                { .rotation.since = 1 },
                { .rotation.asked = 1 },
                { .pending = &pending, .n_pending = 1 },
        };

        ck_assert(state_is_empty(&(struct state) { 0 }));
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ck_assert_msg(!state_is_empty(&cases[i]), "case %zu", i);
}
END_TEST

START_TEST(that_a_set_is_to_be_replaced_is_kept) {
        const struct state state = { .rotation = { .since = DATE, .asked = DATE + HOUR } };
        _cleanup_(freep) char *json = format(&state), *none = format(&(struct state) { 0 });
        _cleanup_(state_clear) struct state back = { 0 };
        struct state_instant saved;

        check_refused(json, "\"replace_since_usec\": 1", "\"replace_since_usec\": -1",
                      "member replace_since_usec is not a number");
        check_refused(json, "\"replace_asked_usec\": 1", "\"replace_asked_usec\": 1.",
                      "member replace_asked_usec is not a number");
        ck_assert_int_eq(state_parse(json, strlen(json), &back, &saved, NULL), 0);
        ck_assert_uint_eq(back.rotation.since, DATE);
        ck_assert_uint_eq(back.rotation.asked, DATE + HOUR);
        ck_assert_ptr_nonnull(strstr(none, "\"replace_since_usec\": null"));
}
END_TEST

#define PEM(letter) "-----BEGIN CERTIFICATE-----\n" letter "\n-----END CERTIFICATE-----"

START_TEST(old_cas_are_kept_for_a_while) {
        _cleanup_(state_clear) struct state state = { 0 }, back = { 0 };
        _cleanup_(freep) char *json = NULL, *large = malloc(STATE_CA_MAX + 2), *pem = NULL;
        struct state_instant saved;
        usec_t end = 1;

        ck_assert_int_eq(state_old_ca_pem(&state, DATE, HOUR, &pem, &end), 0);
        ck_assert_ptr_null(pem);
        ck_assert_uint_eq(end, USEC_INFINITY);
        memset(large, 'x', STATE_CA_MAX + 1);
        large[STATE_CA_MAX + 1] = '\0';
        ck_assert_int_eq(state_retire_ca(&state, large, DATE, HOUR), 0);
        ck_assert(state_is_empty(&state));

        ck_assert_int_eq(state_retire_ca(&state, PEM("a"), DATE, HOUR), 0);
        ck_assert_int_eq(state_retire_ca(&state, PEM("b"), DATE + 1, HOUR), 0);
        ck_assert_int_eq(state_retire_ca(&state, PEM("a"), DATE + 2, HOUR),
                         0); /* it came back, and is out again */
        ck_assert_uint_eq(state.rotation.n_old_cas, 2);
        json = format(&state);
        check_refused(json, "\"since_usec\"", "\"since\"", "entry 1 of old_cas: member since_usec");
        check_refused(json, "\"pem\"", "\"text\"", "entry 1 of old_cas: member pem");
        ck_assert_int_eq(state_parse(json, strlen(json), &back, &saved, NULL), 0);
        ck_assert(!state_is_empty(&back));
        ck_assert_int_eq(state_old_ca_pem(&back, DATE + 2, HOUR, &pem, &end), 0);
        ck_assert_str_eq(pem, PEM("b") "\n" PEM("a") "\n");
        ck_assert_uint_eq(end, DATE + 1 + HOUR);
        free(take_ptr(pem));
        ck_assert_int_eq(state_old_ca_pem(&back, DATE + 1 + HOUR, HOUR, &pem, &end), 0);
        ck_assert_str_eq(pem, PEM("a") "\n");
        free(take_ptr(pem));
        ck_assert_int_eq(state_old_ca_pem(&back, DATE + 2 + HOUR, HOUR, &pem, &end), 0);
        ck_assert_ptr_null(pem);

        ck_assert_int_eq(state_retire_ca(&back, PEM("c"), DATE + 1 + HOUR, HOUR), 0); /* `b` is forgotten */
        ck_assert_uint_eq(back.rotation.n_old_cas, 2);
        for (char letter[] = "d"; letter[0] < 'i'; letter[0]++)
                ck_assert_int_eq(state_retire_ca(&back, letter, DATE + 1 + HOUR, HOUR), 0);
        ck_assert_uint_eq(back.rotation.n_old_cas, STATE_OLD_CAS_MAX);
        ck_assert_str_eq(back.rotation.old_cas[0].pem, "e");
}
END_TEST

START_TEST(test_owe_and_settle) {
        _cleanup_(state_clear) struct state state = { 0 };
        struct state_pending *pending;

        state_remove_pending(&state, "a");
        ck_assert_ptr_null(state_find_pending(&state, "a"));
        ck_assert_int_eq(state_add_pending(&state, "a", 1, NULL), 0);
        ck_assert_int_eq(state_add_pending(&state, "b", 1, &pending), 0);
        pending->failures = 5;
        pending->next_attempt_usec = DATE;
        ck_assert_int_eq(state_add_pending(&state, "c", 1, NULL), 0);

        /* A newer generation begins anew. */
        ck_assert_int_eq(state_add_pending(&state, "b", 2, NULL), 0);
        pending = state_find_pending(&state, "b");
        ck_assert_uint_eq(pending->generation, 2);
        ck_assert_uint_eq(pending->failures, 0);
        ck_assert_uint_eq(pending->next_attempt_usec, 0);
        ck_assert_uint_eq(state.n_pending, 3);

        state_remove_pending(&state, "a");
        ck_assert_ptr_null(state_find_pending(&state, "a"));
        ck_assert_str_eq(state.pending[0].key, "b");
        ck_assert_str_eq(state.pending[1].key, "c");
        state_remove_pending(&state, "c");
        state_remove_pending(&state, "b");
        state_remove_pending(&state, "b");
        ck_assert(state_is_empty(&state));
}
END_TEST

TEST_MAIN("journal", test_refused, test_counts, test_members_of_the_future_are_passed_over, test_keys,
          test_all_limits_fit_the_file, when_the_set_expires_may_not_be_known, test_every_class_of_failure,
          test_what_came_later_may_be_missing, test_sentences, test_revoked, test_is_empty,
          that_a_set_is_to_be_replaced_is_kept, old_cas_are_kept_for_a_while, test_owe_and_settle)
