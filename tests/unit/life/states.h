#pragma once

/* Journals with something in them, for the tests of the journal. */

#include "lib/life/state.h"
#include "tests/test.h"

#define HOUR USEC_PER_HOUR
/* 2026-11-20T17:57:22Z */
#define DATE (UINT64_C(1795197442) * USEC_PER_SEC)

#define TOKEN       "c300000000000011"
#define FINGERPRINT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const struct state_instant today = {
        .boot_id = { 0xb0, 0x07, 1 },
        .machine_id = { 0xac, 1 },
        .realtime = DATE,
        .boottime = 5 * HOUR,
};

/* More than 63 bits. */
static const uint64_t token = UINT64_C(0xc300000000000011);

/* Something of everything. */
static inline void fill(struct state *state) {
        struct state_pending *pending;

        *state = (struct state) {
                .failures = 3,
                .failure = FAILURE_BAD_REPLY,
                .next_attempt_usec = DATE + 90 * USEC_PER_SEC,
                .failed_usec = DATE - USEC_PER_SEC,
                .token = token,
                .generation = 42,
                .fingerprint = FINGERPRINT,
                .not_before = DATE - 3 * HOUR,
                .expiry = DATE + 7 * HOUR,
                .revoke_usec = DATE + HOUR,
                .revoke_generation = 41,
                .is_revoking = true,
                .revoking_generation = 40,
                .is_copied = true,
        };
        ck_assert_int_eq(state_settle_subject(state, "O=SAP SE\\, C=x,CN=\xc3\xa4"), 0);
        ck_assert_int_eq(state_name_other_subject(state, "O=Org,CN=other", true), 0);
        state_keep_error(&state->error, "the gate has refused it: \"no\"");
        ck_assert_int_eq(state_add_revoked(state, FINGERPRINT), 0);
        ck_assert_int_eq(state_record_issuance(state, 4 * HOUR + 1), 0);
        ck_assert_int_eq(state_record_issuance(state, 4 * HOUR + 30 * USEC_PER_MINUTE), 0);
        ck_assert_int_eq(state_add_pending(state, "command /usr/libexec/orders-reload", 42, &pending), 0);
        pending->failures = 2;
        pending->next_attempt_usec = DATE + 20 * USEC_PER_SEC;
        state_keep_error(&pending->error, "it ended with status 7");
        ck_assert_int_eq(state_add_pending(state, "SIGHUP \xe2\x86\x92 \"/run/x y\\z.pid\"", 41, NULL), 0);
}

/* All of everything: the largest file there can be. */
static inline void fill_to_the_limits(struct state *state) {
        char key[STATE_KEY_MAX + 1], sentence[STATE_ERROR_MAX + 1], subject[STATE_SUBJECT_MAX + 1];

        memset(sentence, '\\', STATE_ERROR_MAX);
        sentence[STATE_ERROR_MAX] = '\0';
        *state = (struct state) {
                .failures = UINT32_MAX,
                .failure = FAILURE_MAX - 1,
                .next_attempt_usec = USEC_INFINITY,
                .failed_usec = USEC_INFINITY,
                .token = UINT64_MAX,
                .generation = INT64_MAX,
                .fingerprint = FINGERPRINT,
                .not_before = DATE,
                .expiry = USEC_INFINITY,
                .revoke_usec = USEC_INFINITY,
                .revoke_generation = INT64_MAX,
                .is_revoking = true,
                .revoking_generation = INT64_MAX,
        };
        memset(subject, '\\', STATE_SUBJECT_MAX);
        subject[STATE_SUBJECT_MAX] = '\0';
        ck_assert_int_eq(state_settle_subject(state, subject), 0);
        ck_assert_int_eq(state_name_other_subject(state, subject, true), 0);
        state_keep_error(&state->error, sentence);
        for (unsigned i = 0; i < SCHEDULE_BUDGET_MAX; i++)
                ck_assert_int_eq(state_record_issuance(state, UINT64_C(250000000000000000) + i), 0);
        for (unsigned i = 0; i < STATE_OLD_CAS_MAX; i++) {
                char pem[STATE_CA_MAX + 1];

                memset(pem, '\n', STATE_CA_MAX);
                pem[0] = (char)('a' + i);
                pem[STATE_CA_MAX] = '\0';
                ck_assert_int_eq(state_retire_ca(state, pem, DATE, USEC_INFINITY), 0);
        }
        for (unsigned i = 0; i < STATE_PENDING_MAX; i++) {
                struct state_pending *pending;

                snprintf(key, sizeof(key), "%03u", i);
                memset(key + 3, '"', sizeof(key) - 4);
                key[sizeof(key) - 1] = '\0';
                ck_assert_int_eq(state_add_pending(state, key, INT64_MAX, &pending), 0);
                pending->failures = UINT32_MAX;
                pending->next_attempt_usec = USEC_INFINITY;
                state_keep_error(&pending->error, sentence);
        }
}

static inline char *format(const struct state *state) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        char *json = NULL;
        int r = state_format(state, &today, &json, &error);

        ck_assert_msg(r == 0, "%s", error_text(&error));
        return json;
}
