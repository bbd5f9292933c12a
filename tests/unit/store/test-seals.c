/* What is sealed is taken for the very same bytes, and for nothing else; whatever is wrong with the file, the
 * set is examined. */

#include "lib/store/seals.h"

#include <stdio.h>
#include <sys/stat.h>

#include "lib/util/files.h"
#include "tests/unit/store/store-checks.h"

#define NAME "orders"

/* A store with one set, and a state directory. */
struct place {
        char *store_path, *state_path;
        struct test_set set;
        struct store *store;
        int state_fd;
};

static void place_clear(struct place *place) {
        fd_close(place->state_fd);
        store_close(place->store);
        test_set_clear(&place->set);
        scratch_free(place->store_path);
        scratch_free(place->state_path);
}

static struct place place_new(void) {
        struct place place = { scratch_new(), scratch_new(), test_set_make(0), NULL, -1 };

        place.store = test_store_open(place.store_path);
        test_set_commit(place.store, &place.set);
        place.state_fd = dir_open_at(AT_FDCWD, place.state_path);
        ck_assert_int_ge(place.state_fd, 0);
        return place;
}

static struct seals *open_seals(const struct place *place) {
        struct seals *seals = NULL;

        ck_assert_int_eq(seals_new(place->state_fd, &seals), 0);
        return seals;
}

/* Whether the set of STORE has a seal; in any case it is the one that is found without. */
static bool is_sealed(const struct store *store, struct seals *seals, const char *name) {
        _cleanup_(set_clear) struct set set = { 0 }, full = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        ck_assert_int_eq(store_load(store, &full, NULL), 0);
        ck_assert_msg(store_load_sealed(store, seals, name, &set, &error) == 0, "%s", error_text(&error));
        ck_assert_uint_eq(set.generation, full.generation);
        ck_assert_ptr_eq(set.issuers, full.issuers);
        ck_assert_uint_eq(set.not_before, full.not_before);
        ck_assert_uint_eq(set.effective_expiry, full.effective_expiry);
        ck_assert_mem_eq(set.spki, full.spki, sizeof(set.spki));
        ck_assert_mem_eq(set.fingerprint, full.fingerprint, sizeof(set.fingerprint));
        ck_assert_uint_eq(set.rsa_bits, full.rsa_bits);
        ck_assert_uint_eq(set.rsa_bits, key_bits(full.key));
        ck_assert_int_eq(set.is_self_signed, full.is_self_signed);
        ck_assert_int_eq(set.allows_client_auth, full.allows_client_auth);
        ck_assert(!full.is_sealed);
        ck_assert_int_eq(!set.key, set.is_sealed);
        ck_assert_int_eq(!set.leaf, set.is_sealed);
        return set.is_sealed;
}

/* The same, after another start. */
static bool is_sealed_anew(const struct place *place) {
        _cleanup_(seals_freep) struct seals *seals = open_seals(place);

        return is_sealed(place->store, seals, NAME);
}

static void seal(const struct place *place) {
        ck_assert(!is_sealed_anew(place));
        ck_assert(is_sealed_anew(place));
}

START_TEST(what_was_found_once_is_known) {
        _cleanup_(place_clear) struct place place = place_new();
        _cleanup_(seals_freep) struct seals *seals = open_seals(&place);
        struct stat st;

        ck_assert(!is_sealed(place.store, seals, NAME));
        ck_assert(is_sealed(place.store, seals, NAME)); /* before it is written */
        seals_rest(seals);
        ck_assert(is_sealed(place.store, seals, NAME)); /* from the file */
        ck_assert_int_eq(fstatat(place.state_fd, SEALS_FILE, &st, 0), 0);
        ck_assert_uint_eq(st.st_mode & 07777u, 0600);
        seals = seals_free(seals);
        ck_assert(is_sealed_anew(&place));
        ck_assert(is_sealed_anew(&place)); /* and no less for being asked */
}
END_TEST

/* At rest, which is when a renewal has a set of its own. */
START_TEST(a_later_set_is_known_too) {
        _cleanup_(place_clear) struct place place = place_new();
        _cleanup_(test_set_clear) struct test_set newer = test_set_make(1);
        _cleanup_(seals_freep) struct seals *seals = open_seals(&place);

        seals_rest(seals);
        ck_assert(!is_sealed(place.store, seals, NAME));
        test_set_commit(place.store, &newer);
        ck_assert(!is_sealed(place.store, seals, NAME));
        ck_assert(is_sealed(place.store, seals, NAME));
        seals = seals_free(seals);
        ck_assert(is_sealed_anew(&place));
}
END_TEST

/* Another byte in any of its files; blanks at the end leave the set as it is for everybody else. */
START_TEST(other_bytes_are_not_known) {
        static const char *const names[] = { STORE_KEY, STORE_CERTIFICATE, STORE_CA, STORE_CONNECTION };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_(place_clear) struct place place = place_new();
                _cleanup_(freep) char *path = NULL, *text = NULL, *longer = NULL;

                ck_assert_int_ge(asprintf(&path, "..gen-000001/%s", names[i]), 0);
                text = scratch_read(place.store_path, path);
                seal(&place);
                ck_assert_int_ge(asprintf(&longer, "%s\n", text ? text : "{}"), 0);
                scratch_write(place.store_path, path, longer, 0600);
                ck_assert_msg(!is_sealed_anew(&place), "%s", names[i]);
                if (!text)
                        continue;
                scratch_write(place.store_path, path, text, 0600);
                ck_assert_msg(is_sealed_anew(&place), "%s", names[i]);
        }
}
END_TEST

START_TEST(damage_is_found) {
        static const char *const names[] = { STORE_KEY, STORE_CERTIFICATE, STORE_CA };
        _cleanup_(freep) char *other_key = x509_key_pem(x509_key(1));

        for (size_t i = 0; i <= ELEMENTSOF(names); i++) {
                _cleanup_(place_clear) struct place place = place_new();
                _cleanup_(seals_freep) struct seals *seals = NULL;
                _cleanup_(set_clear) struct set set = { 0 }, full = { 0 };
                _cleanup_(freep) char *path = NULL, *text = NULL;
                int expected;

                seal(&place);
                if (i < ELEMENTSOF(names)) {
                        ck_assert_int_ge(asprintf(&path, "..gen-000001/%s", names[i]), 0);
                        text = scratch_read(place.store_path, path);
                        text[strlen(text) / 2] ^= 1;
                        scratch_write(place.store_path, path, text, 0600);
                } else
                        scratch_write(place.store_path, "..gen-000001/" STORE_KEY, other_key, 0600);
                seals = open_seals(&place);
                expected = store_load(place.store, &full, NULL);
                ck_assert_int_eq(store_load_sealed(place.store, seals, NAME, &set, NULL), expected);
                ck_assert_uint_eq(seals_found(seals), 0);
                if (i == 0) /* of the private half of a key not every byte is checked */
                        continue;
                ck_assert_int_lt(expected, 0);
                ck_assert_uint_eq(seals_count(seals), 1);
        }
}
END_TEST

START_TEST(another_name_or_directory_is_not_known) {
        _cleanup_(place_clear) struct place place = place_new(), other = place_new();
        _cleanup_(seals_freep) struct seals *seals = NULL;

        seal(&place);
        seals = open_seals(&place);
        ck_assert(!is_sealed(place.store, seals, "invoices"));
        ck_assert(!is_sealed(other.store, seals, NAME)); /* the same bytes */
        ck_assert(is_sealed(place.store, seals, NAME));
}
END_TEST

/* As in a text beside the certificates, which is scrubbed: what it is examined for is not sealed. */
START_TEST(what_is_to_be_scrubbed_is_not_sealed) {
        _cleanup_(place_clear) struct place place = place_new();
        _cleanup_(freep) char *text = scratch_read(place.store_path, "tls.crt"), *more = NULL;

        ck_assert_int_ge(
                asprintf(&more, "%s-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n", text),
                0);
        scratch_write(place.store_path, "..gen-000001/tls.crt", more, 0644);
        ck_assert(!is_sealed_anew(&place));
        ck_assert(!is_sealed_anew(&place));
}
END_TEST

static char *read_file(const struct place *place, size_t *ret_size) {
        char *data;

        ck_assert_int_eq(file_read_at(place->state_fd, SEALS_FILE, FILE_NOFOLLOW, 65536, &data, ret_size), 0);
        return data;
}

static void write_file(const struct place *place, const char *data, size_t size) {
        ck_assert_int_eq(file_replace_at(place->state_fd, SEALS_FILE, data, size, FILE_ACCESS(0600)), 0);
}

/* Whatever bit is another, and wherever it is cut off. What is written then is whole again. */
START_TEST(a_damaged_file_is_dropped) {
        _cleanup_(place_clear) struct place place = place_new();
        _cleanup_(freep) char *data = NULL;
        size_t size;

        seal(&place);
        data = read_file(&place, &size);
        for (size_t i = 0; i < size; i += 7) {
                data[i] ^= 0x10;
                write_file(&place, data, size);
                ck_assert_msg(!is_sealed_anew(&place), "byte %zu", i);
                ck_assert_msg(is_sealed_anew(&place), "byte %zu", i);
                data[i] ^= 0x10;
        }
        for (size_t n = 0; n < size; n += 13) {
                write_file(&place, data, n);
                ck_assert_msg(!is_sealed_anew(&place), "%zu bytes", n);
                ck_assert_msg(is_sealed_anew(&place), "%zu bytes", n);
        }
        write_file(&place, data, size);
        ck_assert(is_sealed_anew(&place));
}
END_TEST

/* The first of two records is whole, and what follows it was cut off by a kill. */
START_TEST(what_is_whole_before_damage_counts) {
        _cleanup_(place_clear) struct place place = place_new();
        _cleanup_(freep) char *data = NULL, *longer = NULL;
        size_t size;

        seal(&place);
        data = read_file(&place, &size);
        longer = malloc(2 * size);
        memcpy(longer, data, size);
        memcpy(longer + size, data, size);
        write_file(&place, longer, 2 * size - 1);
        ck_assert(is_sealed_anew(&place));
        free(data);
        data = read_file(&place, &size);
        ck_assert_mem_eq(data, longer, size);
}
END_TEST

static void give_to_others(const struct place *place, size_t i) {
        _cleanup_(freep) char *path = scratch_path(place->state_path, SEALS_FILE),
                              *other = scratch_path(place->state_path, "other");

        switch (i) {
        case 0:
                ck_assert_int_eq(chmod(path, 0620), 0);
                return;
        case 1:
                ck_assert_int_eq(chmod(path, 0602), 0);
                return;
        case 2:
                ck_assert_int_eq(link(path, other), 0);
                return;
        case 3:
                ck_assert_int_eq(rename(path, other), 0);
                ck_assert_int_eq(symlink(other, path), 0);
                return;
        default:
                if (geteuid() == 0)
                        ck_assert_int_eq(chown(path, 1, (gid_t)-1), 0);
                else
                        ck_assert_int_eq(chmod(path, 0640), 0);
        }
}

/* Who could have written the file could have said anything of the set. */
START_TEST(what_others_could_have_written_is_dropped) {
        for (size_t i = 0; i < 5; i++) {
                _cleanup_(place_clear) struct place place = place_new();
                struct stat st;

                seal(&place);
                give_to_others(&place, i);
                ck_assert_msg(!is_sealed_anew(&place), "%zu", i);
                ck_assert_int_eq(fstatat(place.state_fd, SEALS_FILE, &st, AT_SYMLINK_NOFOLLOW), 0);
                ck_assert(S_ISREG(st.st_mode));
                ck_assert_uint_eq(st.st_mode & 07777u, 0600);
                ck_assert_uint_eq(st.st_uid, geteuid());
                ck_assert_msg(is_sealed_anew(&place), "%zu", i);
        }
}
END_TEST

/* Nothing can be written there, and nothing else is in the way. */
START_TEST(a_directory_in_its_place_is_no_error) {
        _cleanup_(place_clear) struct place place = place_new();
        _cleanup_(seals_freep) struct seals *seals = NULL;

        ck_assert_int_eq(mkdirat(place.state_fd, SEALS_FILE, 0700), 0);
        seals = open_seals(&place);
        ck_assert(!is_sealed(place.store, seals, NAME));
        ck_assert(!is_sealed(place.store, seals, NAME));
        seals_rest(seals);
        ck_assert(!is_sealed(place.store, seals, NAME));
}
END_TEST

/* Facts that are found under many seals: NUMBER makes them different. */
static struct set numbered(uint32_t number, uint8_t ret_seal[SEAL_SIZE]) {
        struct set set = { .not_before = 1, .effective_expiry = number + 1 };

        memset(ret_seal, 0, SEAL_SIZE);
        memcpy(ret_seal, &number, sizeof(number));
        memcpy(set.fingerprint, &number, sizeof(number));
        return set;
}

static bool knows(struct seals *seals, uint32_t number) {
        struct set set = { 0 };
        uint8_t bytes[SEAL_SIZE];
        struct set expected = numbered(number, bytes);

        if (!seals_find(seals, bytes, &set))
                return false;
        ck_assert_uint_eq(set.effective_expiry, expected.effective_expiry);
        ck_assert_mem_eq(set.fingerprint, expected.fingerprint, FINGERPRINT_SIZE);
        return true;
}

#define MANY 3000u

/* What no set has needed is dropped when there is much of it, and the rest stays. */
START_TEST(what_is_not_needed_goes) {
        _cleanup_(place_clear) struct place place = place_new();
        struct seals *seals = open_seals(&place);
        struct stat before, after;

        for (uint32_t i = 0; i < MANY; i++) {
                uint8_t bytes[SEAL_SIZE];
                const struct set set = numbered(i, bytes);

                seals_add(seals, bytes, &set);
        }
        ck_assert_uint_eq(seals_count(seals), MANY);
        for (uint32_t i = 0; i < MANY; i++)
                ck_assert(knows(seals, i));
        seals_rest(seals);
        seals_free(seals);
        ck_assert_int_eq(fstatat(place.state_fd, SEALS_FILE, &before, 0), 0);

        seals = open_seals(&place);
        ck_assert_uint_eq(seals_count(seals), MANY);
        for (uint32_t i = 0; i < MANY; i += 3)
                ck_assert(knows(seals, i));
        seals_rest(seals);
        for (uint32_t i = 0; i < MANY; i++)
                ck_assert_int_eq(knows(seals, i), i % 3 == 0);
        ck_assert_int_eq(fstatat(place.state_fd, SEALS_FILE, &after, 0), 0);
        ck_assert_int_eq(after.st_size, before.st_size / 3);
        seals_free(seals);

        seals = open_seals(&place);
        for (uint32_t i = 0; i < MANY; i++)
                ck_assert_int_eq(knows(seals, i), i % 3 == 0);
        seals_free(seals);
        assert_list(place.state_path, SEALS_FILE);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("seals");

        x509_key(1);
        x509_key(7);
        TEST_CASE(suite, what_was_found_once_is_known);
        TEST_CASE(suite, a_later_set_is_known_too);
        TEST_CASE(suite, other_bytes_are_not_known);
        TEST_CASE(suite, damage_is_found);
        TEST_CASE(suite, another_name_or_directory_is_not_known);
        TEST_CASE(suite, what_is_to_be_scrubbed_is_not_sealed);
        TEST_CASE(suite, a_damaged_file_is_dropped);
        TEST_CASE(suite, what_is_whole_before_damage_counts);
        TEST_CASE(suite, what_others_could_have_written_is_dropped);
        TEST_CASE(suite, a_directory_in_its_place_is_no_error);
        TEST_CASE(suite, what_is_not_needed_goes);
        return test_run(suite);
}
