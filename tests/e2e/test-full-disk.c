/*
 * A disk that fills up, before a renewal and in the middle of one: the last byte goes, or the last inode, or
 * the file system turns read-only. The certificates, the state of rekeyd, or both lie on a tmpfs of a few
 * hundred kilobytes that this test mounts in a mount namespace of its own.
 *
 * What must hold in every row: the Connector is not asked for anything that could not be stored, as far as
 * this can be known; what readers see does not change by a byte; when there is room again the renewal goes on
 * by itself, with the key that was staged; and afterwards nothing is left over.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "daemon/observe/messages.h"
#include "lib/store/store.h"
#include "tests/support/fixture.h"
#include "tests/support/snapshot.h"
#include "tests/test.h"

#define DISK_OPTIONS "size=512k,nr_inodes=64"
#define FILLERS_MAX  64

enum shortage { BYTES, INODES, READ_ONLY };

static const char *const shortages[] = {
        [BYTES] = "the last byte is gone",
        [INODES] = "the last inode is gone",
        [READ_ONLY] = "read-only",
};

/* Where the disk is mounted, below the scratch directory, and what lies on it. */
#define DISK "disk"

struct row {
        const char *held; /* the operation during which it happens; NULL: before the renewal */
        enum shortage shortage;
        bool certificates, state;                                    /* what lies on that disk */
        const char *step;                                            /* that fails; NULL: none has to */
        unsigned configurations, service_configurations, signatures; /* until there is a new set */
        bool in_brief;                                               /* under valgrind as well */
};

static const struct row rows[] = {
        { NULL, BYTES, true, false, "key", 1, 1, 1, false },
        { NULL, BYTES, true, true, "key", 1, 1, 1, false },
        { NULL, BYTES, false, true, "configuration", 1, 1, 1, false },
        { NULL, INODES, true, false, "key", 1, 1, 1, false },
        { NULL, INODES, true, true, "key", 1, 1, 1, false },
        { NULL, READ_ONLY, true, false, "key", 1, 1, 1, false },
        { NULL, READ_ONLY, true, true, "key", 1, 1, 1, false },

        /* The configuration is there and cannot be kept. */
        { "configuration", BYTES, true, false, "csr", 2, 2, 1, false },
        { "configuration", INODES, true, false, "csr", 2, 2, 1, false },
        { "configuration", READ_ONLY, true, true, "csr", 2, 2, 1, false },

        /* The state file knows of the signature already. */
        { "configuration", BYTES, false, true, NULL, 1, 1, 1, false },

        /* The certificate is there and cannot be kept: the one case that costs a signature. */
        { "sign", BYTES, true, false, "gate", 2, 2, 2, false },
        { "sign", BYTES, true, true, "gate", 2, 2, 2, true },
        { "sign", INODES, true, false, "gate", 2, 2, 2, false },
        { "sign", READ_ONLY, true, false, "gate", 2, 2, 2, false },

        /* Everything is on disk already; the swap needs next to nothing. */
        { "probe", BYTES, true, false, NULL, 1, 1, 1, false },
        { "probe", INODES, true, false, NULL, 1, 1, 1, false },
        /* The second proof, which in connector-service is the call for the configuration. */
        { "probe", READ_ONLY, true, false, "commit", 1, 2, 1, false },
};

struct disk {
        char *path;
};

static bool disk_may_be_mounted(void) {
        if (geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
            mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0)
                return true;
        test_skip("full-disk: mounting a tmpfs needs root and a mount namespace: %s", strerrordesc_np(errno));
        return false;
}

static struct disk disk_mount(const char *directory) {
        struct disk disk = { .path = scratch_path(directory, DISK) };

        ck_assert_int_eq(mkdir(disk.path, 0755), 0);
        ck_assert_msg(mount("tmpfs", disk.path, "tmpfs", 0, DISK_OPTIONS ",mode=0755") == 0,
                      "cannot mount: %s", strerrordesc_np(errno));
        return disk;
}

static void disk_unmount(struct disk *disk) {
        if (disk->path)
                (void)umount2(disk->path, MNT_DETACH);
        free(take_ptr(disk->path));
}

static char *filler_path(const struct disk *disk, unsigned i) {
        char name[24];

        snprintf(name, sizeof(name), "filler-%u", i);
        return scratch_path(disk->path, name);
}

static void fill_bytes(const struct disk *disk) {
        _cleanup_(freep) char *path = filler_path(disk, 0);
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        char zeros[4096] = { 0 };

        ck_assert_int_ge(fd, 0);
        while (write(fd, zeros, sizeof(zeros)) > 0)
                ;
        ck_assert_int_eq(errno, ENOSPC);
        close(fd);
}

static void fill_inodes(const struct disk *disk) {
        for (unsigned i = 0;; i++) {
                _cleanup_(freep) char *path = filler_path(disk, i);
                int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

                if (fd < 0)
                        break;
                ck_assert_uint_lt(i, FILLERS_MAX);
                close(fd);
        }
        ck_assert_int_eq(errno, ENOSPC);
}

/* It is busy while something is being written. */
static void remount(const struct disk *disk, unsigned long flags) {
        const usec_t deadline = now_usec(CLOCK_MONOTONIC) + patience_usec();
        int r;

        do
                r = mount("tmpfs", disk->path, "tmpfs", MS_REMOUNT | flags, DISK_OPTIONS);
        while (r < 0 && errno == EBUSY && now_usec(CLOCK_MONOTONIC) < deadline);
        ck_assert_msg(r == 0, "cannot remount: %s", strerrordesc_np(errno));
}

static void disk_fill(const struct disk *disk, enum shortage shortage) {
        if (shortage == BYTES)
                fill_bytes(disk);
        else if (shortage == INODES)
                fill_inodes(disk);
        else
                remount(disk, MS_RDONLY);
}

static void disk_free(const struct disk *disk, enum shortage shortage) {
        if (shortage == READ_ONLY) {
                remount(disk, 0);
                return;
        }
        for (unsigned i = 0; i < FILLERS_MAX; i++) {
                _cleanup_(freep) char *path = filler_path(disk, i);

                (void)unlink(path);
        }
}

static void configure(struct fixture *fixture, const struct row *row, const char *more) {
        _cleanup_(freep) char *yaml = NULL;

        ck_assert_int_ge(asprintf(&yaml,
                                  "  orders:\n"
                                  "    connector: dev\n"
                                  "    directory: %%s/%s\n"
                                  "    token_file: %%s/token\n%s",
                                  row->certificates ? DISK "/orders" : "orders", more),
                         0);
        fixture->state = row->state ? DISK "/state" : NULL;
        fixture_configure(fixture, yaml);
}

/* A certificate on that disk, and rekeyd at rest. */
static void prepare(struct fixture *fixture, const struct row *row) {
        configure(fixture, row, "");
        fixture_token(fixture, "client-1", "token");
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_ENROLLED);
        fixture_expect(fixture, MESSAGE_CURRENT);
}

/* What makes it due at once. */
static void make_due(struct fixture *fixture, const struct row *row) {
        configure(fixture, row, LARGER_KEY);
        process_signal(fixture->rekeyd, SIGHUP);
}

static void await_failure(struct fixture *fixture, const struct row *row, const char *what) {
        json_t *line = fixture_await(fixture, MESSAGE_FAILED);

        ck_assert_msg(streq(member(line, "failure"), "local") && streq(member(line, "step"), row->step),
                      "%s: %s at %s: %s", what, member(line, "failure"), member(line, "step"),
                      member(line, "error"));
        ck_assert_msg(streq(member(line, "message_id"), MESSAGE_FAILED_LOCAL), "%s", what);
        test_report("full disk: %-60s %s", what, member(line, "error"));
        json_decref(line);
}

static void run_row(const struct row *row) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(FIXTURE_LASTING(lifetime(60)));
        _cleanup_(disk_unmount) struct disk disk = disk_mount(fixture->directory);
        _cleanup_(snapshot_clear) struct snapshot before = { 0 }, during = { 0 }, after = { 0 };
        _cleanup_(freep) char *what = NULL, *staged = NULL, *list = NULL,
                              *directory = scratch_path(fixture->directory,
                                                        row->certificates ? DISK "/orders" : "orders");
        const unsigned expected =
                streq(fixture->protocol, "compass") ? row->configurations : row->service_configurations;
        unsigned configurations, signatures;

        ck_assert_int_ge(asprintf(&what, "%s%s%s, %s%s: %s", row->certificates ? "certificates" : "",
                                  row->certificates && row->state ? " and " : "", row->state ? "state" : "",
                                  row->held ? "during " : "before", row->held ? row->held : "",
                                  shortages[row->shortage]),
                         0);
        prepare(fixture, row);
        before = snapshot_take(directory);
        configurations = fixture_calls(fixture, "configuration");
        signatures = fixture_calls(fixture, "sign");

        if (row->held) {
                _cleanup_(freep) char *hold = NULL;

                ck_assert_int_ge(asprintf(&hold, "{\"fault\":\"hold\",\"at\":\"%s\",\"count\":1}", row->held),
                                 0);
                fixture_fault(fixture, hold);
                make_due(fixture, row);
                fixture_expect_held(fixture);
                staged = staged_key(directory);
                ck_assert_ptr_nonnull(staged);
                disk_fill(&disk, row->shortage);
                fixture_release(fixture);
        } else {
                disk_fill(&disk, row->shortage);
                make_due(fixture, row);
        }

        if (row->step) {
                await_failure(fixture, row, what);
                during = snapshot_take(directory);
                ck_assert_msg(!snapshot_difference(&before, &during), "%s: %s changed", what,
                              snapshot_difference(&before, &during));
                ck_assert_msg(!snapshot_mismatch(&during, NULL), "%s: %s", what,
                              snapshot_mismatch(&during, NULL));
                if (!row->held) {
                        /* And it stays like this at the next attempt. */
                        await_failure(fixture, row, what);
                        ck_assert_uint_eq(fixture_calls(fixture, "configuration"), configurations);
                        ck_assert_uint_eq(fixture_calls(fixture, "sign"), signatures);
                }
                disk_free(&disk, row->shortage);
        }
        fixture_expect(fixture, MESSAGE_RENEWED);
        ck_assert_int_eq(fixture_stop(fixture), 0);

        after = snapshot_take(directory);
        ck_assert_msg(!snapshot_mismatch(&after, NULL), "%s: %s", what, snapshot_mismatch(&after, NULL));
        ck_assert_str_ne(after.generation, before.generation);
        if (staged)
                ck_assert_msg(streq(staged, after.files[0]), "%s: a second key was made", what);
        ck_assert_msg(fixture_calls(fixture, "configuration") - configurations == expected &&
                              fixture_calls(fixture, "sign") - signatures == row->signatures,
                      "%s: %u configurations and %u signatures", what,
                      fixture_calls(fixture, "configuration") - configurations,
                      fixture_calls(fixture, "sign") - signatures);
        list = scratch_list(directory);
        ck_assert_msg(!strstr(list, "stage") && !strstr(list, ".rekeyd"), "%s: litter: %s", what, list);
}

/* The key of the next renewal cannot be staged before its time: nobody hears of it, and with room again the
 * renewal makes its own. */
START_TEST(a_key_ahead_of_its_time_may_find_no_room) {
        static const struct row row = { .certificates = true };
        _cleanup_(fixture_freep) struct fixture *fixture = NULL;
        _cleanup_(disk_unmount) struct disk disk = { 0 };

        if (!disk_may_be_mounted())
                return;
        fixture = fixture_new(FIXTURE_LASTING(lifetime(200)));
        disk = disk_mount(fixture->directory);
        configure(fixture, &row, "    renew_before: 99%%\n    key: {ahead: 1h}\n");
        fixture_token(fixture, "client-1", "token");
        fixture_start(fixture, NULL);
        fixture_expect(fixture, MESSAGE_ENROLLED);
        fixture_expect(fixture, MESSAGE_CURRENT);
        disk_fill(&disk, BYTES);
        fixture_expect_text(fixture, "no key is staged ahead");
        disk_free(&disk, BYTES);
        fixture_expect(fixture, MESSAGE_RENEWED);
        ck_assert_ptr_null(strstr(process_output(fixture->rekeyd, PROCESS_STDERR), MESSAGE_FAILED));
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* Nearly all of a row is waiting for back-offs, so those of one test run at once, each in a process. Under
 * valgrind, where Check must not fork and keys take minutes, there is time for one. */
static void run_rows(enum shortage shortage) {
        bool in_turn = getenv("REKEYD_TEST_WRAPPER");
        pid_t pids[ELEMENTSOF(rows)] = { 0 };
        int status;

        if (!disk_may_be_mounted())
                return;
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                if (rows[i].shortage != shortage || (in_turn && !rows[i].in_brief))
                        continue;
                if (in_turn) {
                        run_row(&rows[i]);
                        continue;
                }
                pids[i] = fork();
                ck_assert_int_ge(pids[i], 0);
                if (pids[i] == 0) {
                        run_row(&rows[i]);
                        _exit(EXIT_SUCCESS);
                }
        }
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (pids[i] > 0) {
                        ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
                        ck_assert_msg(status == 0, "row %zu failed", i);
                }
}

START_TEST(not_a_byte_left) {
        run_rows(BYTES);
}
END_TEST

START_TEST(not_an_inode_left) {
        run_rows(INODES);
}
END_TEST

START_TEST(turned_read_only) {
        run_rows(READ_ONLY);
}
END_TEST

TEST_MAIN("full-disk", not_a_byte_left, not_an_inode_left, turned_read_only,
          a_key_ahead_of_its_time_may_find_no_room)
