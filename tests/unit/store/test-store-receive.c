/* A directory as the copy of a shared set: what is taken over, what is to be shared, and what is refused. */

#include "lib/store/store.h"

#include "tests/unit/store/store-checks.h"

static struct store_offer offer_of(const struct test_set *set, uint64_t generation) {
        struct store_offer offer = { .generation = generation,
                                     .certificate_pem = set->certificate_pem,
                                     .ca_pem = set->ca_pem };
        size_t size;

        key_pem(set->key, &offer.key_pem, &size);
        return offer;
}

static enum store_receipt receive(struct store *store, const struct store_offer *offer) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        enum store_receipt receipt;

        ck_assert_msg(store_receive(store, offer, X509_NOW, &receipt, &error) == 0, "%s", error_text(&error));
        return receipt;
}

START_TEST(the_newer_one_counts) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        struct store_offer offer = offer_of(&first, 7);

        ck_assert_int_eq(receive(store, &offer), STORE_IS_RECEIVED);
        assert_loads(store, 7, &first); /* with its own number */
        ck_assert_int_eq(receive(store, &offer), STORE_IS_SAME);
        offer.generation = 9; /* others count it again: nothing to do here */
        ck_assert_int_eq(receive(store, &offer), STORE_IS_SAME);
        offer.generation = 6;
        ck_assert_int_eq(receive(store, &offer), STORE_IS_NEWER);

        offer = offer_of(&second, 6);
        ck_assert_int_eq(receive(store, &offer), STORE_IS_NEWER);
        offer.generation = 0;
        ck_assert_int_eq(receive(store, &offer), STORE_IS_NEWER);
        assert_loads(store, 7, &first);
        offer.generation = 7; /* a rollback here met a renewal there */
        ck_assert_int_eq(receive(store, &offer), STORE_IS_RECEIVED);
        assert_loads(store, 8, &second);
        ck_assert_int_eq(receive(store, &offer), STORE_IS_NEWER);
}
END_TEST

START_TEST(what_is_not_whole_is_refused) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        const struct store_offer good = offer_of(&first, 3), other = offer_of(&second, 3);
        const struct store_offer rows[] = {
                { .generation = 3, .key_pem = good.key_pem },
                { .generation = 3, .certificate_pem = good.certificate_pem },
                { .generation = 3, .key_pem = "", .certificate_pem = "" },
                { 3, other.key_pem, good.certificate_pem, good.ca_pem, NULL },
                { 3, "x", good.certificate_pem, good.ca_pem, NULL },
                { 3, good.key_pem, "x", good.ca_pem, NULL },
                { 3, good.key_pem, good.certificate_pem, "x", NULL },
        };
        const struct store_offer none = { 0 };

        ck_assert_int_eq(receive(store, &none), STORE_IS_SAME);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                ck_assert_msg(receive(store, &rows[i]) == STORE_IS_DAMAGED, "row %zu", i);
        ck_assert(store_is_empty(store));

        ck_assert_int_eq(receive(store, &good), STORE_IS_RECEIVED);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                struct store_offer newer = rows[i];

                ck_assert_msg(receive(store, &rows[i]) == STORE_IS_NEWER, "row %zu", i);
                newer.generation = 4; /* another replica may have that one */
                ck_assert_msg(receive(store, &newer) == STORE_IS_DAMAGED, "row %zu", i);
        }
        ck_assert_int_eq(receive(store, &none), STORE_IS_NEWER);
        assert_loads(store, 3, &first);
}
END_TEST

/* A set here that is damaged is no reason to keep it. */
START_TEST(a_damaged_copy_is_replaced) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0);
        _cleanup_(freep) char *generation = scratch_path(scratch, "..gen-000001");
        const struct store_offer offer = offer_of(&first, 1);

        ck_assert_int_eq(receive(store, &offer), STORE_IS_RECEIVED);
        scratch_write(generation, "tls.key", "", 0600);
        assert_damaged(store, "tls.key");
        ck_assert_int_eq(receive(store, &offer), STORE_IS_RECEIVED);
        assert_loads(store, 2, &first);
}
END_TEST

static struct stage load(struct store *store) {
        struct stage stage;

        ck_assert_int_eq(store_stage_load(store, &stage, NULL), 0);
        return stage;
}

START_TEST(what_is_staged_is_completed) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(store_closep) struct store *store = test_store_open(scratch);
        _cleanup_(test_set_clear) struct test_set first = test_set_make(0), second = test_set_make(1);
        _cleanup_(stage_clear) struct stage stage = { 0 };
        struct store_staged staged = { 0 };
        size_t size;

        ck_assert_int_eq(store_receive_stage(store, &staged, NULL), 0);
        ck_assert_int_eq(store_stage_key(store, second.key, NULL), 0);
        ck_assert_int_eq(store_stage_parts(store, &(struct store_staged) { .token = "mine" }, NULL), 0);
        key_pem(first.key, &staged.key_pem, &size);
        staged.csr_pem = "csr";
        staged.token = "theirs";
        ck_assert_int_eq(store_receive_stage(store, &staged, NULL), 0); /* another key: all is theirs */
        stage = load(store);
        ck_assert_str_eq(stage.csr_pem, "csr");
        ck_assert_str_eq(stage.token, "theirs");
        ck_assert_ptr_null(stage.certificate_pem);

        staged.token = NULL; /* it was used up */
        ck_assert_int_eq(
                store_stage_parts(store,
                                  &(struct store_staged) { .ca_pem = first.ca_pem,
                                                           .certificate_pem = first.certificate_pem },
                                  NULL),
                0);
        ck_assert_int_eq(store_receive_stage(store, &staged, NULL), 0);
        stage_clear(&stage);
        stage = load(store);
        ck_assert_ptr_null(stage.token);
        ck_assert_str_eq(stage.certificate_pem, first.certificate_pem); /* ours, and not told yet */

        staged = (struct store_staged) { .key_pem = "x" };
        ck_assert_int_lt(store_receive_stage(store, &staged, NULL), 0);
}
END_TEST

TEST_MAIN("store-receive", the_newer_one_counts, what_is_not_whole_is_refused, a_damaged_copy_is_replaced,
          what_is_staged_is_completed)
