/* The journal: what is damaged, too much or cannot be read first; then there and back. Clocks have a test of
 * their own. */

#include "lib/journal.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "lib/util/files.h"
#include "tests/support/scratch.h"
#include "tests/test.h"

#define HOUR USEC_PER_HOUR
/* 2026-11-20T17:57:22Z */
#define DATE (UINT64_C(1795197442) * USEC_PER_SEC)

#define TOKEN       "000000000000fd02c3000000000000110000000000000025e7a1bd4a1c2f9d00"
#define FINGERPRINT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const struct journal_instant today = {
        .boot_id = { 0xb0, 0x07, 1 },
        .realtime = DATE,
        .boottime = 5 * HOUR,
};

/* More than 63 bits, and a file from before 1970. */
static const struct file_identity token = {
        .device = 0xfd02,
        .inode = UINT64_C(0xc300000000000011),
        .size = 37,
        .modified_nsec = -INT64_C(0x185e42b5e3d06300),
};

static char *directory;
static int dir_fd;

static void setup(void) {
        directory = scratch_new();
        dir_fd = dir_open_at(AT_FDCWD, directory);
        ck_assert_int_ge(dir_fd, 0);
}

static void teardown(void) {
        dir_fd = fd_close(dir_fd);
        directory = scratch_free(directory);
}

static void write_bytes(const char *name, const char *data, size_t size) {
        int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(write(fd, data, size), (ssize_t)size);
        fd_close(fd);
}

static void check_listing(const char *expected) {
        _cleanup_(freep) char *list = scratch_list(directory);

        ck_assert_str_eq(list, expected);
}

/* Something of everything. */
static void fill(struct journal *journal) {
        struct journal_owed *owed;

        *journal = (struct journal) {
                .failures = 3,
                .failure = FAILURE_BAD_REPLY,
                .next_attempt_usec = DATE + 90 * USEC_PER_SEC,
                .token = token,
                .generation = 42,
                .fingerprint = FINGERPRINT,
        };
        ck_assert_int_eq(journal_record_issuance(journal, 4 * HOUR + 1), 0);
        ck_assert_int_eq(journal_record_issuance(journal, 4 * HOUR + 30 * USEC_PER_MINUTE), 0);
        ck_assert_int_eq(journal_owe(journal, "command /usr/libexec/orders-reload", 42, &owed), 0);
        owed->failures = 2;
        owed->next_attempt_usec = DATE + 20 * USEC_PER_SEC;
        ck_assert_int_eq(journal_owe(journal, "SIGHUP \xe2\x86\x92 \"/run/x y\\z.pid\"", 41, NULL), 0);
}

/* All of everything: the largest file there can be. */
static void fill_to_the_limits(struct journal *journal) {
        char key[JOURNAL_KEY_MAX + 1];

        *journal = (struct journal) {
                .failures = UINT32_MAX,
                .failure = FAILURE_MAX - 1,
                .next_attempt_usec = USEC_INFINITY,
                .token = { UINT64_MAX, UINT64_MAX, UINT64_MAX, INT64_MIN },
                .generation = INT64_MAX,
                .fingerprint = FINGERPRINT,
        };
        for (unsigned i = 0; i < SCHEDULE_BUDGET_MAX; i++)
                ck_assert_int_eq(journal_record_issuance(journal, UINT64_C(250000000000000000) + i), 0);
        for (unsigned i = 0; i < JOURNAL_OWED_MAX; i++) {
                struct journal_owed *owed;

                snprintf(key, sizeof(key), "%03u", i);
                memset(key + 3, '"', sizeof(key) - 4);
                key[sizeof(key) - 1] = '\0';
                ck_assert_int_eq(journal_owe(journal, key, INT64_MAX, &owed), 0);
                owed->failures = UINT32_MAX;
                owed->next_attempt_usec = USEC_INFINITY;
        }
}

static char *format(const struct journal *journal) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        char *json = NULL;
        int r = journal_format(journal, &today, &json, &error);

        ck_assert_msg(r == 0, "%s", error_text(&error));
        return json;
}

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
        struct journal journal = { .failures = 77 };
        struct journal_instant saved = { .realtime = 78 };
        int code = strstr(expected, "this rekeyd reads") ? -EPROTONOSUPPORT : -EINVAL;

        ck_assert_int_eq(journal_parse(text, strlen(text), &journal, &saved, &error), code);
        ck_assert_msg(strstr(error_text(&error), expected), "%s: %s", to, error_text(&error));
        ck_assert_int_eq(journal_parse(text, strlen(text), &journal, &saved, NULL), code);
        ck_assert_uint_eq(journal.failures, 77);
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
                { TOKEN, "0", "member token is not 64 hexadecimal digits" },
                { TOKEN, TOKEN "0", "member token is not 64" },
                { TOKEN, "x" TOKEN, "member token is not 64" },
                { "\"" TOKEN "\"", "null", "member token is not 64" },
                { "\"" TOKEN "\"", "[1, 2, 3, 4]", "member token is not 64" },
                { "\"generation\": 42", "\"generation\": null", "member generation is not a number" },
                { FINGERPRINT, "ab", "the fingerprint is not 64 hexadecimal digits" },
                { FINGERPRINT, FINGERPRINT "0", "fingerprint is not 64 hexadecimal digits" },
                { "\"" FINGERPRINT "\"", "null", "member fingerprint is not" },
                { "command /usr/libexec/orders-reload", "",
                  "entry 1 of owed: member dependent is not a text of 1 to 512" },
                { "\"command /usr/libexec/orders-reload\"", "1",
                  "entry 1 of owed: member dependent is missing" },
                { "SIGHUP \xe2\x86\x92 \\\"/run/x y\\\\z.pid\\\"", "command /usr/libexec/orders-reload",
                  "entry 2 of owed: member dependent is missing, or as in another entry" },
                { "\"generation\": 41", "\"generation\": -41", "entry 2 of owed: member generation" },
                { "\"failures\": 2", "\"failures\": []", "entry 1 of owed: member failures" },
                { "1795197462000000", "1e9", "entry 1 of owed: member next_attempt_usec" },
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
        };
        _cleanup_(journal_clear) struct journal journal = { 0 };
        _cleanup_(freep) char *json = NULL;

        fill(&journal);
        json = format(&journal);
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
        _cleanup_(freep) char *json = format(&(struct journal) { 0 });

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
        _cleanup_(freep) char *json = format(&(struct journal) { 0 }),
                              *later = replace(json, "{", "{ \"later\": { \"x\": [1, 2.5, null] },");
        _cleanup_(journal_clear) struct journal journal = { 0 };
        struct journal_instant saved;

        ck_assert_int_eq(journal_parse(later, strlen(later), &journal, &saved, NULL), 0);
        ck_assert(journal_is_empty(&journal));
        ck_assert_mem_eq(saved.boot_id, today.boot_id, sizeof(saved.boot_id));
        ck_assert_uint_eq(saved.boottime, 5 * HOUR);
        ck_assert_uint_eq(saved.realtime, DATE);
}
END_TEST

START_TEST(test_keys) {
        static const char *const refused[] = { "", "a\nb", "\x1f", "\xff", "a\xc3", "\xed\xa0\x80" };
        _cleanup_(journal_clear) struct journal journal = { 0 };
        char key[JOURNAL_KEY_MAX + 2];
        struct journal_owed *owed = NULL;

        for (size_t i = 0; i < ELEMENTSOF(refused); i++)
                ck_assert_msg(journal_owe(&journal, refused[i], 1, &owed) == -EINVAL, "case %zu", i);
        memset(key, 'k', sizeof(key));
        key[JOURNAL_KEY_MAX + 1] = '\0';
        ck_assert_int_eq(journal_owe(&journal, key, 1, &owed), -EINVAL);
        ck_assert_ptr_null(owed);
        ck_assert(journal_is_empty(&journal));

        key[JOURNAL_KEY_MAX] = '\0';
        ck_assert_int_eq(journal_owe(&journal, key, 1, &owed), 0);
        ck_assert_str_eq(owed->key, key);

        for (unsigned i = 1; i < JOURNAL_OWED_MAX; i++) {
                snprintf(key, sizeof(key), "%u", i);
                ck_assert_int_eq(journal_owe(&journal, key, i, NULL), 0);
        }
        ck_assert_int_eq(journal_owe(&journal, "one more", 1, NULL), -ENOSPC);
        ck_assert_int_eq(journal_owe(&journal, "99", 100, NULL), 0); /* there already */
        ck_assert_uint_eq(journal.n_owed, JOURNAL_OWED_MAX);
}
END_TEST

START_TEST(test_format_refuses_what_cannot_be_read) {
        static usec_t many[SCHEDULE_BUDGET_MAX + 1], late[] = { 2, 1 };
        static struct journal_owed items[JOURNAL_OWED_MAX + 1],
                bad_key[] = { { .key = (char *)"a\n" } },
                bad_generation[] = { { .key = (char *)"a", .generation = UINT64_MAX } };
        const struct journal cases[] = {
                { .failure = FAILURE_MAX },
                { .generation = (uint64_t)INT64_MAX + 1 },
                { .fingerprint = "xy" },
                { .issuances = many, .n_issuances = ELEMENTSOF(many) },
                { .issuances = late, .n_issuances = ELEMENTSOF(late) },
                { .owed = items, .n_owed = ELEMENTSOF(items) },
                { .owed = bad_key, .n_owed = 1 },
                { .owed = bad_generation, .n_owed = 1 },
        };

        for (size_t i = 0; i < ELEMENTSOF(items); i++)
                items[i].key = (char *)"same";
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                char *json = NULL;

                ck_assert_msg(journal_format(&cases[i], &today, &json, &error) == -EINVAL, "case %zu", i);
                ck_assert_ptr_null(json);
                ck_assert_int_eq(error.code, -EINVAL);
                ck_assert_int_eq(journal_save(dir_fd, "orders", &cases[i], &today, NULL), -EINVAL);
        }
        check_listing("");
}
END_TEST

START_TEST(test_names) {
        static const char *const refused[] = {
                "",         ".",
                "..",       ".hidden",
                "-x",       "_x",
                "a/b",      "../x",
                "a b",      "a\n",
                "\xc3\xa4", "a1234567890123456789012345678901234567890123456789012345678901234", /* 65 */
        };
        static const char longest[] = "a123456789012345678901234567890123456789012345678901234567890.-_";
        _cleanup_(journal_clear) struct journal journal = { .failures = 1 };

        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                char *warning = NULL;

                ck_assert_int_eq(journal_save(dir_fd, refused[i], &journal, &today, &error), -EINVAL);
                ck_assert_msg(strstr(error_text(&error), "the name of this certificate"), "%s",
                              error_text(&error));
                ck_assert_int_eq(journal_load(dir_fd, refused[i], &today, &journal, &warning, NULL), -EINVAL);
                ck_assert_int_eq(journal_remove(dir_fd, refused[i], NULL), -EINVAL);
        }
        check_listing("");

        ck_assert_uint_eq(strlen(longest), 64);
        ck_assert_int_eq(journal_save(dir_fd, longest, &journal, &today, NULL), 0);
        ck_assert_int_eq(journal_remove(dir_fd, longest, NULL), 0);
        check_listing("");
}
END_TEST

/* --- Files that cannot be used --- */

/* Loads "orders", which must be set aside, and returns the warning. */
static char *load_damaged(void) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct journal journal = { .failures = 77, .n_owed = 78 };
        char *warning = NULL;
        int r = journal_load(dir_fd, "orders", &today, &journal, &warning, &error);

        ck_assert_msg(r == 0, "%s", error_text(&error));
        ck_assert(journal_is_empty(&journal));
        ck_assert_ptr_nonnull(warning);
        return warning;
}

START_TEST(test_damaged_is_set_aside) {
        static const struct {
                const char *json, *warning;
        } cases[] = {
                { "", "it is empty" },
                { "hello", "it is not JSON at line 1" },
                { "{\"version\":1}", "member saved.boot_id" },
                { "{\"version\":2}", "it has version 2, and this rekeyd reads version 1" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(freep) char *warning = NULL, *aside = NULL;

                write_bytes("orders.json", cases[i].json, strlen(cases[i].json));
                warning = load_damaged();
                ck_assert_msg(strstr(warning, cases[i].warning), "%s", warning);
                ck_assert_msg(strstr(warning, "orders.json in the state directory"), "%s", warning);
                ck_assert_msg(strstr(warning, "it was renamed to orders.json.damaged"), "%s", warning);

                /* in place of the one before it */
                check_listing("orders.json.damaged");
                aside = scratch_read(directory, "orders.json.damaged");
                ck_assert_str_eq(aside, cases[i].json);
        }

        ck_assert_int_eq(journal_remove(dir_fd, "orders", NULL), 0);
        check_listing("");
}
END_TEST

START_TEST(test_too_large_is_set_aside) {
        _cleanup_(journal_clear) struct journal journal = { 0 }, back = { 0 };
        _cleanup_(freep) char *json = NULL, *warning = NULL, *large = calloc(1, JOURNAL_SIZE_MAX + 1);

        fill(&journal);
        json = format(&journal);
        memset(large, ' ', JOURNAL_SIZE_MAX + 1);
        memcpy(large, json, strlen(json));

        write_bytes("orders.json", large, JOURNAL_SIZE_MAX);
        ck_assert_int_eq(journal_load(dir_fd, "orders", &today, &back, &warning, NULL), 0);
        ck_assert_ptr_null(warning);
        ck_assert_uint_eq(back.failures, 3);

        write_bytes("orders.json", large, JOURNAL_SIZE_MAX + 1);
        warning = load_damaged();
        ck_assert_msg(strstr(warning, "it is larger than 262144 bytes"), "%s", warning);
        check_listing("orders.json.damaged");
}
END_TEST

START_TEST(test_cannot_be_set_aside) {
        _cleanup_(journal_clear) struct journal journal = { .failures = 1 }, back = { 0 };
        _cleanup_(freep) char *warning = NULL, *none = NULL;

        /* A directory has the name. The journal is lost all the same, and the next save goes on. */
        ck_assert_int_eq(mkdirat(dir_fd, "orders.json.damaged", 0700), 0);
        write_bytes("orders.json", "x", 1);
        warning = load_damaged();
        ck_assert_msg(strstr(warning, "it could not be renamed to orders.json.damaged: Is a directory"), "%s",
                      warning);
        ck_assert_int_eq(journal_save(dir_fd, "orders", &journal, &today, NULL), 0);
        ck_assert_int_eq(journal_load(dir_fd, "orders", &today, &back, &none, NULL), 0);
        ck_assert_ptr_null(none);
        ck_assert_uint_eq(back.failures, 1);
}
END_TEST

static void check_unreadable(int code, const char *text) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct journal journal = { .failures = 77 };
        char *warning = (char *)1;

        ck_assert_int_eq(journal_load(dir_fd, "orders", &today, &journal, &warning, &error), code);
        ck_assert_msg(strstr(error_text(&error), text), "%s", error_text(&error));
        ck_assert_msg(strstr(error_text(&error), "cannot read orders.json in the state directory"), "%s",
                      error_text(&error));
        ck_assert_uint_eq(journal.failures, 77);
        ck_assert_ptr_eq(warning, (char *)1);
        ck_assert_int_eq(faccessat(dir_fd, "orders.json", F_OK, AT_SYMLINK_NOFOLLOW), 0);
}

START_TEST(test_unreadable_is_an_error) {
        ck_assert_int_eq(mkdirat(dir_fd, "orders.json", 0700), 0);
        check_unreadable(-EISDIR, "it is not a regular file");
        ck_assert_int_eq(unlinkat(dir_fd, "orders.json", AT_REMOVEDIR), 0);

        ck_assert_int_eq(symlinkat("/etc/passwd", dir_fd, "orders.json"), 0);
        check_unreadable(-ELOOP, "it is not a regular file");
        ck_assert_int_eq(unlinkat(dir_fd, "orders.json", 0), 0);

        ck_assert_int_eq(mkfifoat(dir_fd, "orders.json", 0600), 0);
        check_unreadable(-EINVAL, "it is not a regular file");
        ck_assert_int_eq(unlinkat(dir_fd, "orders.json", 0), 0);

        write_bytes("orders.json", "{}", 2);
        ck_assert_int_eq(fchmodat(dir_fd, "orders.json", 0, 0), 0);
        if (geteuid() != 0)
                check_unreadable(-EACCES, "Permission denied");
        else {
                ck_assert_int_eq(seteuid(65534), 0);
                check_unreadable(-EACCES, "Permission denied");
                ck_assert_int_eq(seteuid(0), 0);
        }
}
END_TEST

START_TEST(test_truncated_at_every_byte) {
        _cleanup_(journal_clear) struct journal journal = { 0 };
        _cleanup_(freep) char *json = NULL;
        size_t size;

        fill(&journal);
        ck_assert_int_eq(journal_save(dir_fd, "orders", &journal, &today, NULL), 0);
        json = scratch_read(directory, "orders.json");
        size = strlen(json);

        /* All but the last byte, a line break, is needed. */
        for (size_t i = 0; i < size - 1; i++) {
                _cleanup_(freep) char *warning = NULL;

                write_bytes("orders.json", json, i);
                warning = load_damaged();
                ck_assert_int_eq(faccessat(dir_fd, "orders.json", F_OK, 0), -1);
        }
        check_listing("orders.json.damaged");

        for (size_t i = size - 1; i <= size; i++) {
                _cleanup_(journal_clear) struct journal back = { 0 };
                _cleanup_(freep) char *warning = NULL, *again = NULL;

                write_bytes("orders.json", json, i);
                ck_assert_int_eq(journal_load(dir_fd, "orders", &today, &back, &warning, NULL), 0);
                ck_assert_ptr_null(warning);
                again = format(&back);
                ck_assert_str_eq(again, json);
        }
        test_report("truncated at each of %zu bytes", size);
}
END_TEST

/* xorshift64*: the same numbers in every run */
static uint64_t draw(uint64_t *state, uint64_t below) {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        return (*state * UINT64_C(0x2545f4914f6cdd1d) >> 11) % below;
}

START_TEST(test_flipped_bytes) {
        _cleanup_(journal_clear) struct journal journal = { 0 };
        _cleanup_(freep) char *json = NULL, *copy = NULL;
        uint64_t state = 42;
        size_t size, n_read = 0;

        fill(&journal);
        json = format(&journal);
        size = strlen(json);
        copy = malloc(size);

        for (unsigned i = 0; i < 20000; i++) {
                _cleanup_(journal_clear) struct journal back = { 0 }, loaded = { 0 };
                _cleanup_(freep) char *warning = NULL;
                struct journal_instant saved;
                int r;

                memcpy(copy, json, size);
                for (uint64_t flips = 1 + draw(&state, 4); flips > 0; flips--)
                        copy[draw(&state, size)] ^=
                                (char)(i % 2 ? 1 << draw(&state, 8) : 1 + (int)draw(&state, 255));

                r = journal_parse(copy, size, &back, &saved, NULL);
                if (r == 0) {
                        n_read++;
                        ck_assert_int_eq(journal_check(&back, NULL), 0);
                        journal_sanitise(&back, &saved, &today);
                        ck_assert_int_eq(journal_check(&back, NULL), 0);
                        ck_assert_uint_le(schedule_budget_wait(back.issuances, back.n_issuances, 1, 5 * HOUR),
                                          HOUR);
                        ck_assert_uint_le(back.next_attempt_usec, DATE + USEC_PER_DAY);
                } else
                        ck_assert(r == -EINVAL || r == -EPROTONOSUPPORT);

                if (i % 20 != 0)
                        continue;
                write_bytes("orders.json", copy, size);
                ck_assert_int_eq(journal_load(dir_fd, "orders", &today, &loaded, &warning, NULL), 0);
                ck_assert(!warning == (r == 0));
                ck_assert_int_eq(faccessat(dir_fd, "orders.json", F_OK, 0), r == 0 ? 0 : -1);
                if (r < 0)
                        ck_assert(journal_is_empty(&loaded));
        }
        test_report("20000 damaged journals: %zu could still be read, within all limits", n_read);
        ck_assert_uint_gt(n_read, 100);
        ck_assert_uint_lt(n_read, 19000);
}
END_TEST

/* --- Saving that fails --- */

static const struct journal old = { .failures = 7 };

/* The save over the old one ended with R, which is CODE, and left it as it was in the directory FD. */
static void check_old(int fd, int r, int code, const struct error *error) {
        _cleanup_(journal_clear) struct journal back = { 0 };
        _cleanup_(freep) char *warning = NULL;

        ck_assert_int_eq(r, code);
        ck_assert_msg(strstr(error_text(error), "cannot write orders.json in the state directory: "), "%s",
                      error_text(error));
        ck_assert_int_eq(faccessat(fd, ".orders.json.rekeyd", F_OK, 0), -1);

        ck_assert_int_eq(journal_load(fd, "orders", &today, &back, &warning, NULL), 0);
        ck_assert_ptr_null(warning);
        ck_assert_uint_eq(back.failures, 7);
        ck_assert_uint_eq(back.n_owed, 0);
}

START_TEST(test_file_too_large_for_the_process) {
        _cleanup_(journal_clear) struct journal large = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct rlimit saved, limit;
        int r;

        fill_to_the_limits(&large);
        ck_assert_int_eq(journal_save(dir_fd, "orders", &old, &today, NULL), 0);

        /* Check writes to a file as well: nothing is asserted under the limit. */
        ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &saved), 0);
        limit = (struct rlimit) { 4096, saved.rlim_max };
        signal(SIGXFSZ, SIG_IGN);
        (void)setrlimit(RLIMIT_FSIZE, &limit);
        r = journal_save(dir_fd, "orders", &large, &today, &error);
        (void)setrlimit(RLIMIT_FSIZE, &saved);

        check_old(dir_fd, r, -EFBIG, &error);
        check_listing("orders.json");
}
END_TEST

START_TEST(test_directory_not_writable) {
        const struct journal new = { .failures = 8 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        uid_t uid = geteuid();
        int r;

        ck_assert_int_eq(journal_save(dir_fd, "orders", &old, &today, NULL), 0);
        ck_assert_int_eq(fchmod(dir_fd, 0555), 0);
        ck_assert_int_eq(fchmodat(dir_fd, "orders.json", 0644, 0), 0);
        if (uid == 0)
                ck_assert_int_eq(seteuid(65534), 0);
        r = journal_save(dir_fd, "orders", &new, &today, &error);
        check_old(dir_fd, r, -EACCES, &error);
        ck_assert_int_eq(journal_remove(dir_fd, "orders", NULL), -EACCES);
        ck_assert_int_eq(seteuid(uid), 0);
        ck_assert_int_eq(fchmod(dir_fd, 0700), 0);
        check_listing("orders.json");
}
END_TEST

START_TEST(test_full_disk) {
        _cleanup_(journal_clear) struct journal large = { 0 };
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *path = scratch_path(directory, "small");
        _cleanup_(fd_closep) int fd = -1;
        int r;

        fill_to_the_limits(&large);
        ck_assert_int_eq(mkdir(path, 0700), 0);
        if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
            mount("none", "/", "", MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", path, "tmpfs", 0, "size=16k") < 0) {
                test_skip("test_full_disk: only root can mount a small one");
                return;
        }

        fd = dir_open_at(AT_FDCWD, path);
        ck_assert_int_eq(journal_save(fd, "orders", &old, &today, NULL), 0);
        r = journal_save(fd, "orders", &large, &today, &error);
        check_old(fd, r, -ENOSPC, &error);
        fd = fd_close(fd);
        ck_assert_int_eq(umount(path), 0);
}
END_TEST

/* --- There and back --- */

START_TEST(test_no_file) {
        struct journal journal = { .failures = 77 };
        char *warning = (char *)1;

        ck_assert_int_eq(journal_load(dir_fd, "orders", &today, &journal, &warning, NULL), 0);
        ck_assert(journal_is_empty(&journal));
        ck_assert_ptr_null(warning);
        ck_assert_int_eq(journal_remove(dir_fd, "orders", NULL), 0);
        check_listing("");
}
END_TEST

START_TEST(test_there_and_back) {
        _cleanup_(journal_clear) struct journal journal = { 0 }, back = { 0 };
        _cleanup_(freep) char *warning = NULL, *json = NULL, *again = NULL;
        const struct journal_owed *owed;
        struct stat st;

        fill(&journal);
        umask(0);
        ck_assert_int_eq(journal_save(dir_fd, "orders", &journal, &today, NULL), 0);
        check_listing("orders.json");
        ck_assert_int_eq(fstatat(dir_fd, "orders.json", &st, 0), 0);
        ck_assert_int_eq(st.st_mode & 07777, 0600);

        ck_assert_int_eq(journal_load(dir_fd, "orders", &today, &back, &warning, NULL), 0);
        ck_assert_ptr_null(warning);
        ck_assert_uint_eq(back.failures, 3);
        ck_assert_int_eq(back.failure, FAILURE_BAD_REPLY);
        ck_assert_uint_eq(back.next_attempt_usec, DATE + 90 * USEC_PER_SEC);
        ck_assert(file_identity_equal(&back.token, &token));
        ck_assert_uint_eq(back.generation, 42);
        ck_assert_str_eq(back.fingerprint, FINGERPRINT);
        ck_assert_uint_eq(back.n_issuances, 2);
        ck_assert_uint_eq(back.issuances[0], 4 * HOUR + 1);
        ck_assert_uint_eq(back.issuances[1], 4 * HOUR + 30 * USEC_PER_MINUTE);
        ck_assert_uint_eq(back.n_owed, 2);
        owed = journal_find_owed(&back, "command /usr/libexec/orders-reload");
        ck_assert_ptr_nonnull(owed);
        ck_assert_uint_eq(owed->generation, 42);
        ck_assert_uint_eq(owed->failures, 2);
        ck_assert_uint_eq(owed->next_attempt_usec, DATE + 20 * USEC_PER_SEC);
        owed = journal_find_owed(&back, "SIGHUP \xe2\x86\x92 \"/run/x y\\z.pid\"");
        ck_assert_ptr_nonnull(owed);
        ck_assert_uint_eq(owed->generation, 41);

        json = scratch_read(directory, "orders.json");
        again = format(&back);
        ck_assert_str_eq(again, json);

        /* A save replaces; a removal removes. */
        journal_clear(&back);
        ck_assert(journal_is_empty(&back));
        ck_assert_int_eq(journal_save(dir_fd, "orders", &back, &today, NULL), 0);
        ck_assert_int_eq(journal_load(dir_fd, "orders", &today, &back, &warning, NULL), 0);
        ck_assert(journal_is_empty(&back));
        ck_assert_int_eq(journal_remove(dir_fd, "orders", NULL), 0);
        check_listing("");
}
END_TEST

START_TEST(test_all_limits_fit_the_file) {
        _cleanup_(journal_clear) struct journal journal = { 0 }, back = { 0 };
        _cleanup_(freep) char *json = NULL, *again = NULL;
        struct journal_instant saved;

        fill_to_the_limits(&journal);
        ck_assert_uint_eq(journal.n_issuances, SCHEDULE_BUDGET_MAX);
        json = format(&journal);
        test_report("the largest journal has %zu of %u bytes", strlen(json), JOURNAL_SIZE_MAX);
        ck_assert_uint_le(strlen(json), JOURNAL_SIZE_MAX);
        ck_assert_int_eq(journal_parse(json, strlen(json), &back, &saved, NULL), 0);
        again = format(&back);
        ck_assert_str_eq(again, json);
        ck_assert(file_identity_equal(&back.token, &journal.token));

        /* "never" comes back as a time that no clock can mean */
        journal_sanitise(&back, &saved, &today);
        ck_assert_uint_eq(back.next_attempt_usec, 0);
        ck_assert_uint_eq(back.owed[99].next_attempt_usec, 0);
}
END_TEST

START_TEST(test_every_class_of_failure) {
        for (enum failure failure = FAILURE_NONE; failure < FAILURE_MAX; failure++) {
                const struct journal journal = { .failure = failure };
                _cleanup_(freep) char *json = format(&journal);
                struct journal_instant saved;
                struct journal back;

                ck_assert_int_eq(journal_parse(json, strlen(json), &back, &saved, NULL), 0);
                ck_assert_int_eq(back.failure, failure);
        }
}
END_TEST

START_TEST(test_is_empty) {
        static usec_t issuance;
        static struct journal_owed owed;
        static const struct journal cases[] = {
                { .failures = 1 },
                { .failure = FAILURE_LOCAL },
                { .next_attempt_usec = 1 },
                { .issuances = &issuance, .n_issuances = 1 },
                { .token = { .device = 1 } },
                { .token = { .inode = 1 } },
                { .token = { .size = 1 } },
                { .token = { .modified_nsec = -1 } },
                { .generation = 1 },
                { .fingerprint = FINGERPRINT },
                { .owed = &owed, .n_owed = 1 },
        };

        ck_assert(journal_is_empty(&(struct journal) { 0 }));
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ck_assert_msg(!journal_is_empty(&cases[i]), "case %zu", i);
}
END_TEST

START_TEST(test_owe_and_settle) {
        _cleanup_(journal_clear) struct journal journal = { 0 };
        struct journal_owed *owed;

        journal_settle(&journal, "a");
        ck_assert_ptr_null(journal_find_owed(&journal, "a"));
        ck_assert_int_eq(journal_owe(&journal, "a", 1, NULL), 0);
        ck_assert_int_eq(journal_owe(&journal, "b", 1, &owed), 0);
        owed->failures = 5;
        owed->next_attempt_usec = DATE;
        ck_assert_int_eq(journal_owe(&journal, "c", 1, NULL), 0);

        /* A newer generation begins anew. */
        ck_assert_int_eq(journal_owe(&journal, "b", 2, NULL), 0);
        owed = journal_find_owed(&journal, "b");
        ck_assert_uint_eq(owed->generation, 2);
        ck_assert_uint_eq(owed->failures, 0);
        ck_assert_uint_eq(owed->next_attempt_usec, 0);
        ck_assert_uint_eq(journal.n_owed, 3);

        journal_settle(&journal, "a");
        ck_assert_ptr_null(journal_find_owed(&journal, "a"));
        ck_assert_str_eq(journal.owed[0].key, "b");
        ck_assert_str_eq(journal.owed[1].key, "c");
        journal_settle(&journal, "c");
        journal_settle(&journal, "b");
        journal_settle(&journal, "b");
        ck_assert(journal_is_empty(&journal));
}
END_TEST

#define JOURNAL_TEST(test)                                          \
        do {                                                        \
                TCase *tcase_ = tcase_create(#test);                \
                tcase_set_timeout(tcase_, 0);                       \
                tcase_add_checked_fixture(tcase_, setup, teardown); \
                tcase_add_test(tcase_, test);                       \
                suite_add_tcase(suite, tcase_);                     \
        } while (0)

int main(void) {
        Suite *suite = suite_create("journal");

        TEST_CASE(suite, test_refused);
        TEST_CASE(suite, test_counts);
        TEST_CASE(suite, test_members_of_the_future_are_passed_over);
        TEST_CASE(suite, test_keys);
        JOURNAL_TEST(test_format_refuses_what_cannot_be_read);
        JOURNAL_TEST(test_names);
        JOURNAL_TEST(test_damaged_is_set_aside);
        JOURNAL_TEST(test_too_large_is_set_aside);
        JOURNAL_TEST(test_cannot_be_set_aside);
        JOURNAL_TEST(test_unreadable_is_an_error);
        JOURNAL_TEST(test_truncated_at_every_byte);
        JOURNAL_TEST(test_flipped_bytes);
        JOURNAL_TEST(test_file_too_large_for_the_process);
        JOURNAL_TEST(test_directory_not_writable);
        JOURNAL_TEST(test_full_disk);
        JOURNAL_TEST(test_no_file);
        JOURNAL_TEST(test_there_and_back);
        TEST_CASE(suite, test_all_limits_fit_the_file);
        TEST_CASE(suite, test_every_class_of_failure);
        TEST_CASE(suite, test_is_empty);
        TEST_CASE(suite, test_owe_and_settle);
        return test_run(suite);
}
