/* Leases: whose it is, by this machine's clock alone. */

#include "lib/kube/kube-lease.h"

#include "tests/test.h"

#define SEC USEC_PER_SEC

static json_t *lease(const char *holder, int sec, const char *version) {
        json_t *made = kube_lease_new("s", "n");

        json_object_set_new(json_object_get(made, "metadata"), "resourceVersion", json_string(version));
        if (holder)
                json_object_set_new(json_object_get(made, "spec"), "holderIdentity", json_string(holder));
        json_object_set_new(json_object_get(made, "spec"), "leaseDurationSeconds", json_integer(sec));
        json_object_set_new(json_object_get(made, "spec"), "renewTime",
                            json_string("1970-01-01T00:00:00.000000Z"));
        return made;
}

static void see(struct kube_lease *seen, const char *holder, int sec, const char *version, usec_t now) {
        _cleanup_(json_decrefp) json_t *object = lease(holder, sec, version);

        ck_assert_int_eq(kube_lease_see(seen, object, now, NULL), 0);
}

START_TEST(test_refused) {
        static const struct {
                const char *holder;
                int sec;
                const char *version;
        } rows[] = { { "a", -1, "1" }, { "a", 1000000, "1" }, { "a", 10, "" } };
        _cleanup_(json_decrefp) json_t *secret = json_pack("{s:s}", "kind", "Secret");
        struct kube_lease seen = { 0 };
        char long_name[300];
        json_t *object;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_(json_decrefp) json_t *bad = lease(rows[i].holder, rows[i].sec, rows[i].version);

                ck_assert_int_eq(kube_lease_see(&seen, bad, 1, NULL), -EPROTO);
        }
        ck_assert_int_eq(kube_lease_see(&seen, secret, 1, NULL), -EPROTO);
        memset(long_name, 'a', sizeof(long_name));
        long_name[sizeof(long_name) - 1] = '\0';
        object = lease(long_name, 1, "1");
        ck_assert_int_eq(kube_lease_see(&seen, object, 1, NULL), -EPROTO);
        json_decref(object);
        ck_assert_str_eq(seen.version, "");
}
END_TEST

START_TEST(test_expiry) {
        struct kube_lease seen = { 0 };

        see(&seen, NULL, 0, "1", 100 * SEC);
        ck_assert(kube_lease_is_free(&seen, "me", 100 * SEC) && !kube_lease_is_held(&seen, "me", 100 * SEC));

        /* Whatever renewTime says: from the first look on. */
        see(&seen, "other", 60, "2", 200 * SEC);
        ck_assert(!kube_lease_is_free(&seen, "me", 259 * SEC) && kube_lease_is_free(&seen, "me", 260 * SEC));
        see(&seen, "other", 60, "2", 250 * SEC);
        ck_assert(kube_lease_is_free(&seen, "me", 260 * SEC));
        see(&seen, "other", 60, "3", 255 * SEC);
        ck_assert(!kube_lease_is_free(&seen, "me", 314 * SEC) && kube_lease_is_free(&seen, "me", 315 * SEC));

        see(&seen, "me", 60, "4", 400 * SEC);
        ck_assert(kube_lease_is_held(&seen, "me", 459 * SEC) && !kube_lease_is_held(&seen, "me", 460 * SEC));
        ck_assert(kube_lease_is_free(&seen, "me", 500 * SEC) && !kube_lease_is_held(&seen, "you", 401 * SEC));
        ck_assert_uint_eq(kube_lease_end(&seen), 460 * SEC);

        see(&seen, "", 1, "5", 500 * SEC);
        ck_assert(kube_lease_is_free(&seen, "you", 500 * SEC));
        ck_assert_uint_eq(kube_lease_end(&seen), 0);
}
END_TEST

static const char *text(const json_t *object, const char *name) {
        return json_string_value(json_object_get(json_object_get(object, "spec"), name));
}

START_TEST(test_taken) {
        _cleanup_(json_decrefp) json_t *object = lease("other", 60, "2"), *bare = json_object();
        const usec_t now = UINT64_C(1795975613000001);

        ck_assert_int_eq(kube_lease_take(object, "me", 40 * SEC, now), 0);
        ck_assert_str_eq(text(object, "holderIdentity"), "me");
        ck_assert_str_eq(text(object, "renewTime"), "2026-11-29T18:06:53.000001Z");
        ck_assert_str_eq(text(object, "acquireTime"), "2026-11-29T18:06:53.000001Z");
        ck_assert_int_eq(
                json_integer_value(json_object_get(json_object_get(object, "spec"), "leaseTransitions")), 1);
        ck_assert_int_eq(
                json_integer_value(json_object_get(json_object_get(object, "spec"), "leaseDurationSeconds")),
                40);

        ck_assert_int_eq(kube_lease_take(object, "me", 40 * SEC, now + 5 * SEC), 0);
        ck_assert_str_eq(text(object, "renewTime"), "2026-11-29T18:06:58.000001Z");
        ck_assert_str_eq(text(object, "acquireTime"), "2026-11-29T18:06:53.000001Z");
        ck_assert_int_eq(
                json_integer_value(json_object_get(json_object_get(object, "spec"), "leaseTransitions")), 1);

        ck_assert_int_eq(kube_lease_release(object, now + 6 * SEC), 0);
        ck_assert_str_eq(text(object, "holderIdentity"), "");
        ck_assert_int_eq(
                json_integer_value(json_object_get(json_object_get(object, "spec"), "leaseDurationSeconds")),
                1);
        ck_assert_int_eq(kube_lease_take(bare, "me", SEC, now), 0);
        ck_assert_str_eq(text(bare, "holderIdentity"), "me");
}
END_TEST

TEST_MAIN("kube-lease", test_refused, test_expiry, test_taken)
