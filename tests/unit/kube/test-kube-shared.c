/* A set in two Secrets: what is void, what is next, and what two replicas can make of it, step by step in
 * every order. */

#include "lib/kube/kube-shared.h"

#include "lib/kube/kube-name.h"
#include "lib/kube/kube-object.h"
#include "tests/test.h"

static json_t *secret(void) {
        return kube_secret_new("s", "n", NULL);
}

static struct shared_view view_of(const json_t *published, const json_t *private) {
        struct shared_view view;

        ck_assert_int_eq(shared_read(published, private, &view, NULL), 0);
        return view;
}

START_TEST(test_parts) {
        _cleanup_(json_decrefp) json_t *published = secret(), *private = secret();
        const char *parts[SHARED_PART_MAX] = { [SHARED_KEY] = "key", [SHARED_CSR] = "csr" };
        const char *set[SHARED_PART_MAX] = { [SHARED_KEY] = "k", [SHARED_CERTIFICATE] = "c" };
        _cleanup_(shared_copy_clear) struct shared_copy copy = { 0 };
        struct shared_view view = view_of(published, private);

        ck_assert(!shared_has_parts(private, &view, parts));
        ck_assert_int_eq(shared_stage_parts(private, &view, parts, "me"), 0);
        view = view_of(published, private);
        ck_assert(view.has_key && view.has_csr && view.n_marks == 1);
        ck_assert_str_eq(view.marked_by, "me");
        ck_assert(shared_has_parts(private, &view, parts));

        parts[SHARED_CSR] = NULL; /* dropped; the mark stays with its key */
        ck_assert(!shared_has_parts(private, &view, parts));
        ck_assert_int_eq(shared_stage_parts(private, &view, parts, NULL), 0);
        view = view_of(published, private);
        ck_assert(view.has_key && !view.has_csr && view.n_marks == 1);

        parts[SHARED_KEY] = "larger"; /* another key: nothing of the first one stays */
        ck_assert_int_eq(shared_stage_parts(private, &view, parts, NULL), 0);
        view = view_of(published, private);
        ck_assert(view.has_key && view.n_marks == 0);

        ck_assert_int_eq(shared_write_back(published, set, 4, "ff"), 0);
        view = view_of(published, private);
        ck_assert_uint_eq(view.generation, 4);
        ck_assert(!view.has_key); /* it was for the first generation */
        ck_assert_int_eq(shared_copy_read(published, private, &view, &copy), 0);
        ck_assert(copy.is_read && copy.generation == 4 && !copy.staged[SHARED_KEY]);
        ck_assert_str_eq(copy.published[SHARED_KEY], "k");
        ck_assert_str_eq(copy.published[SHARED_CERTIFICATE], "c");
        ck_assert_ptr_null(copy.published[SHARED_CA]);
}
END_TEST

START_TEST(test_refused) {
        static const char *const generations[] = { "0", "-1", "x", "18446744073709551616", "1 " };
        static const char *const marks[] = { "x", "1", "0 a", "x a", "-1 a", "1000001 a" };
        struct shared_view view;

        for (size_t i = 0; i < ELEMENTSOF(generations); i++) {
                _cleanup_(json_decrefp) json_t *published = secret(), *private = secret(), *good = secret();

                ck_assert_int_eq(kube_object_annotate(published, SHARED_GENERATION, generations[i]), 0);
                ck_assert_int_eq(shared_read(published, private, &view, NULL), -EPROTO);
                ck_assert_int_eq(
                        kube_secret_set(private, "staged-for", generations[i], strlen(generations[i])), 0);
                ck_assert_int_eq(shared_read(good, private, &view, NULL), -EPROTO);
        }
        for (size_t i = 0; i < ELEMENTSOF(marks); i++) {
                _cleanup_(json_decrefp) json_t *published = secret(), *private = secret();
                const struct shared_view empty = { 0 };

                ck_assert_int_eq(shared_stage_key(private, &empty, "key"), 0);
                ck_assert_int_eq(kube_secret_set(private, "mark", marks[i], strlen(marks[i])), 0);
                ck_assert_int_eq(shared_read(published, private, &view, NULL), -EPROTO);
        }
        { /* A mark without a key counts as nothing, like all that is staged without one. */
                _cleanup_(json_decrefp) json_t *published = secret(), *private = secret();

                ck_assert_int_eq(kube_secret_set(private, "staged-for", "1", 1), 0);
                ck_assert_int_eq(kube_secret_set(private, "staged.csr", "x", 1), 0);
                ck_assert_int_eq(kube_secret_set(private, "mark", "2 me", 4), 0);
                view = view_of(published, private);
                ck_assert(!view.has_key && !view.has_csr && view.n_marks == 0 && !*view.marked_by);
        }
        {
                _cleanup_(json_decrefp) json_t *lease = kube_lease_new("s", "n"), *good = secret();

                ck_assert_int_eq(shared_read(lease, good, &view, NULL), -EPROTO);
                ck_assert_int_eq(shared_read(good, lease, &view, NULL), -EPROTO);
        }
}
END_TEST

START_TEST(test_a_generation) {
        _cleanup_(json_decrefp) json_t *published = secret(), *private = secret();
        _cleanup_(freep) char *key = NULL;
        struct shared_view view = view_of(published, private);

        ck_assert_int_eq(kube_object_annotate(published, "theirs", "kept"), 0);
        ck_assert(view.generation == 0 && !view.has_key && view.n_marks == 0);
        ck_assert_int_eq(shared_stage(private, &view, SHARED_CSR, "csr"), -ENOKEY);
        ck_assert_int_eq(shared_mark(private, &view, "a"), -ENOKEY);
        ck_assert_int_eq(shared_publish(published, private, &view, "f"), -ENODATA);

        ck_assert_int_eq(shared_stage_key(private, &view, "key 1"), 0);
        view = view_of(published, private);
        ck_assert(view.has_key && !view.has_csr);
        ck_assert_int_eq(shared_stage_key(private, &view, "another"), -EEXIST);
        ck_assert_int_eq(shared_get(private, SHARED_KEY, &key), 0);
        ck_assert_str_eq(key, "key 1");
        ck_assert_int_eq(shared_stage(private, &view, SHARED_CSR, "csr"), 0);
        ck_assert_int_eq(shared_mark(private, &view, "a"), 0);
        view = view_of(published, private);
        ck_assert_int_eq(shared_mark(private, &view, "b c"), 0);
        view = view_of(published, private);
        ck_assert(view.has_csr && view.n_marks == 2);
        ck_assert_str_eq(view.marked_by, "b c");
        ck_assert_int_eq(shared_publish(published, private, &view, "f"), -ENODATA);
        ck_assert_int_eq(shared_stage(private, &view, SHARED_CERTIFICATE, "crt 1"), 0);
        view = view_of(published, private);
        ck_assert_int_eq(shared_publish(published, private, &view, "f1"), 0);
        ck_assert(kube_secret_has(published, "tls.key", "key 1") &&
                  kube_secret_has(published, "tls.crt", "crt 1"));
        ck_assert(kube_secret_has(published, "ca.crt", NULL));
        ck_assert_str_eq(kube_object_annotation(published, SHARED_FINGERPRINT), "f1");
        ck_assert_str_eq(kube_object_annotation(published, "theirs"), "kept");

        /* What was staged is void now, the mark too. */
        view = view_of(published, private);
        ck_assert(view.generation == 1 && !view.has_key && !view.has_certificate && view.n_marks == 0);
        ck_assert_int_eq(shared_stage_key(private, &view, "key 2"), 0);
        view = view_of(published, private);
        ck_assert(view.has_key && !view.has_csr && !view.has_certificate && view.n_marks == 0);
}
END_TEST

/* A lease that SELF has, from 0 on. */
static struct kube_lease held(const char *self, usec_t duration_usec) {
        struct kube_lease lease = { .duration_usec = duration_usec };

        snprintf(lease.holder, sizeof(lease.holder), "%s", self);
        return lease;
}

START_TEST(test_next) {
        const struct kube_lease nobody = { 0 }, mine = held("me", 100), other = held("you", 100);
        const struct shared_view nothing = { 0 }, key = { .has_key = true },
                                 own = { .has_key = true, .marked_by = "me", .n_marks = 1 },
                                 theirs = { .has_key = true, .marked_by = "you", .n_marks = 1 },
                                 whole = { .has_key = true, .has_certificate = true };
        const struct {
                const struct shared_view *view;
                const struct kube_lease *lease;
                bool is_due, is_marked, has_reply;
                usec_t now;
                enum shared_step step;
        } rows[] = {
                { &nothing, &nobody, false, false, false, 1, SHARED_IDLE },
                { &nothing, &other, false, false, false, 1, SHARED_IDLE },
                { &nothing, &mine, false, false, false, 1, SHARED_RELEASE },
                { &nothing, &mine, false, false, false, 100, SHARED_IDLE },
                { &nothing, &nobody, true, false, false, 1, SHARED_TAKE },
                { &nothing, &other, true, false, false, 99, SHARED_WAIT },
                { &whole, &other, true, true, true, 99, SHARED_WAIT },
                { &nothing, &other, true, false, false, 100, SHARED_TAKE },
                { &nothing, &mine, true, false, false, 1, SHARED_STAGE },
                { &nothing, &mine, true, false, false, 90, SHARED_STAGE },
                { &nothing, &mine, true, false, false, 91, SHARED_TAKE },
                { &own, &mine, true, true, false, 91, SHARED_TAKE },
                { &nothing, &mine, true, false, false, 100, SHARED_TAKE },
                { &key, &mine, true, false, false, 1, SHARED_MARK },
                { &own, &mine, true, true, false, 1, SHARED_SIGN },
                { &own, &mine, true, false, false, 1,
                  SHARED_MARK }, /* of an earlier attempt: it is counted anew */
                { &theirs, &mine, true, true, false, 1, SHARED_MARK },
                { &own, &mine, true, true, true, 1, SHARED_KEEP },
                { &whole, &mine, true, true, true, 1, SHARED_PUBLISH },
                { &whole, &mine, true, false, false, 1, SHARED_PUBLISH },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                const struct shared_situation situation = {
                        .view = rows[i].view,
                        .lease = rows[i].lease,
                        .self = "me",
                        .is_due = rows[i].is_due,
                        .is_marked = rows[i].is_marked,
                        .has_reply = rows[i].has_reply,
                        .now = rows[i].now,
                        .call_usec = 10,
                };

                ck_assert_msg(shared_next(&situation) == rows[i].step, "%zu: %s", i,
                              shared_step_names[shared_next(&situation)]);
        }
        for (size_t i = 0; i < SHARED_STEP_MAX; i++)
                ck_assert(!strempty(shared_step_names[i]));
        for (size_t i = 0; i < SHARED_PART_MAX; i++)
                ck_assert(kube_is_key(shared_part_names[i]));
}
END_TEST

TEST_MAIN("kube-shared", test_parts, test_refused, test_a_generation, test_next)
