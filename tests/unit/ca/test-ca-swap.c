/*
 * The renames of a swap, each of which the test stands before and after: what another writer does in between,
 * what a kill leaves there, and which rights the files beside have at that moment.
 */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "ca/place/swap.h"
#include "lib/util/files.h"
#include "tests/support/scratch.h"
#include "tests/test.h"
#include "tests/unit/ca/rotations.h"

/* The linker leads the calls here (--wrap). */
int __real_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);
int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags);

static struct {
        unsigned n_calls, strange_at, exit_before, exit_after; /* calls count from 1; 0: never */
        const char *stranger;                                  /* what another writer has in the file then */
        const char *strange_name; /* another file than the one of the call; NULL */
        bool replaces;            /* it makes a new file */
        bool keeps_pair;          /* before and after each call there is a pair */
        bool is_unsupported;
        unsigned widest; /* mode of the files beside that were renamed */
} wrap;

/* The number at the end of both texts. */
static void check_pair(int dir_fd) {
        char *key = NULL, *crt = NULL;

        ck_assert_int_eq(file_read_at(dir_fd, "ca.key", FILE_FOLLOW, 100, &key, NULL), 0);
        ck_assert_int_eq(file_read_at(dir_fd, "ca.crt", FILE_FOLLOW, 100, &crt, NULL), 0);
        ck_assert_str_eq(strpbrk(key, "12"), strpbrk(crt, "12"));
        free(key);
        free(crt);
}

static void be_a_stranger(int dir_fd, const char *name) {
        int fd;

        if (wrap.replaces)
                ck_assert_int_eq(unlinkat(dir_fd, name, 0), 0);
        fd = openat(dir_fd, name, O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0600);
        ck_assert_int_eq(write(fd, wrap.stranger, strlen(wrap.stranger)), (ssize_t)strlen(wrap.stranger));
        close(fd);
}

int __wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags) {
        struct stat st;
        int r;

        wrap.n_calls++;
        if (fstatat(from_fd, from, &st, 0) == 0 && strstr(to, "key"))
                wrap.widest |= st.st_mode & 07777;
        if (wrap.n_calls == wrap.exit_before)
                _exit(7);
        if (wrap.keeps_pair)
                check_pair(to_fd);
        if (wrap.n_calls == wrap.strange_at)
                be_a_stranger(to_fd, wrap.strange_name ? wrap.strange_name : to);
        if (wrap.is_unsupported && flags != 0) {
                errno = EINVAL;
                return -1;
        }
        r = __real_renameat2(from_fd, from, to_fd, to, flags);
        if (wrap.keeps_pair)
                check_pair(to_fd);
        if (wrap.n_calls == wrap.exit_after)
                _exit(7);
        return r;
}

struct scene {
        char *directory;
        int dir_fd;
};

static void scene_begin(struct scene *scene) {
        memset(&wrap, 0, sizeof(wrap));
        wrap.stranger = "of another\n";
        scene->directory = scratch_new();
        scene->dir_fd = open(scene->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        scratch_write(scene->directory, "ca.key", "key 1\n", 0600);
        scratch_write(scene->directory, "ca.crt", "crt 1\n", 0644);
}

static void scene_end(struct scene *scene) {
        close(scene->dir_fd);
        scratch_free(scene->directory);
}

static const struct contents before = { { (char *)"key 1\n", (char *)"crt 1\n" } };
static const struct contents after = { { (char *)"key 2\n", (char *)"crt 2\n" } };

static int swap(struct scene *scene) {
        static const char *const names[] = { "ca.key", "ca.crt" };
        char version[VERSION_MAX];

        ck_assert_int_eq(swap_version(&before, version), 0);
        return swap_files(
                &(struct swap) {
                        .dir_fd = scene->dir_fd, .names = names, .n = 2, .mode = 0600, .contents = &after },
                version);
}

static void assert_is(const struct scene *scene, const char *key, const char *crt) {
        _cleanup_(freep) char *a = scratch_read(scene->directory, "ca.key"),
                              *b = scratch_read(scene->directory, "ca.crt"),
                              *names = scratch_list(scene->directory);

        ck_assert_str_eq(a, key);
        ck_assert_str_eq(b, crt);
        ck_assert_str_eq(names, "ca.crt ca.key");
}

START_TEST(a_writer_in_the_gap_gets_its_file_back) {
        for (unsigned at = 1; at <= 2; at++) {
                _cleanup_(scene_end) struct scene scene;

                scene_begin(&scene);
                wrap.strange_at = at;
                ck_assert_int_eq(swap(&scene), -ESTALE);
                assert_is(&scene, at == 1 ? "of another\n" : "key 1\n", at == 2 ? "of another\n" : "crt 1\n");
        }
}
END_TEST

START_TEST(a_key_is_never_readable_for_others) {
        _cleanup_(scene_end) struct scene scene;

        scene_begin(&scene);
        ck_assert_int_eq(swap(&scene), 0);
        assert_is(&scene, "key 2\n", "crt 2\n");
        ck_assert_uint_eq(wrap.widest, 0600);
}
END_TEST

/* Each name becomes a link and a file again, and all that a reader gets changes between the two. */
START_TEST(key_and_certificate_change_at_once) {
        _cleanup_(scene_end) struct scene scene;

        scene_begin(&scene);
        wrap.keeps_pair = true;
        ck_assert_int_eq(swap(&scene), 0);
        assert_is(&scene, "key 2\n", "crt 2\n");
        ck_assert_uint_eq(wrap.n_calls, 4);
}
END_TEST

/* The key is a link already: it is written through, or replaced. */
START_TEST(a_writer_meets_a_link) {
        for (unsigned i = 0; i < 2; i++) {
                _cleanup_(scene_end) struct scene scene;

                scene_begin(&scene);
                wrap.strange_at = 2;
                wrap.strange_name = "ca.key";
                wrap.replaces = i == 1;
                ck_assert_int_eq(swap(&scene), -ESTALE);
                assert_is(&scene, "of another\n", "crt 1\n");
        }
}
END_TEST

/* What another writer does after the change is done to the new pair, and stays. */
START_TEST(a_writer_comes_after_the_change) {
        for (unsigned i = 0; i < 2; i++) {
                _cleanup_(scene_end) struct scene scene;

                scene_begin(&scene);
                wrap.strange_at = 3;
                wrap.replaces = i == 1;
                ck_assert_int_eq(swap(&scene), 0);
                assert_is(&scene, "of another\n", "crt 2\n");
        }
}
END_TEST

START_TEST(a_file_system_without_the_exchange) {
        _cleanup_(scene_end) struct scene scene;

        scene_begin(&scene);
        wrap.is_unsupported = true;
        ck_assert_int_eq(swap(&scene), 0);
        assert_is(&scene, "key 2\n", "crt 2\n");
}
END_TEST

/* --- A rotation that is killed at each rename, in a process of its own --- */

/* The process ends where WRAP has it; true where it did. */
static bool apply_killed(struct world *world, unsigned at, bool is_before) {
        int status;
        pid_t pid = fork();

        ck_assert_int_ge(pid, 0);
        if (pid == 0) {
                wrap.n_calls = 0;
                *(is_before ? &wrap.exit_before : &wrap.exit_after) = at;
                _exit(world_apply(world, PHASE_RETIRED, NULL) == 0 ? 0 : 1);
        }
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 7));
        return WEXITSTATUS(status) == 7;
}

static bool check_end(struct world *world, enum reason reason) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(freep) char *names = NULL, *key = NULL;

        ck_assert_msg(world_apply(world, PHASE_RETIRED, &error) == 0, "%s", error_text(&error));
        names = scratch_list(world->directory);
        key = world_find_key(world);
        ck_assert_ptr_null(key);
        ck_assert_str_eq(names, "ca.crt ca.key state.json trust-0.pem trust-1.pem");
        return world_find_fault(world, reason, true) == NULL;
}

START_TEST(no_rename_is_a_dead_end) {
        unsigned n_kills = 0;

        for (enum reason reason = 0; reason < REASON_MAX; reason++)
                for (unsigned i = reason % test_step(5);;
                     i += test_step(5)) { /* an odd step: before, after */
                        _cleanup_(world_end) struct world world;
                        bool was_killed;

                        memset(&wrap, 0, sizeof(wrap));
                        world_begin(&world);
                        ck_assert_int_eq(world_plan(&world, reason, NULL), 0);
                        was_killed = apply_killed(&world, i / 2 + 1, i % 2 == 0);
                        ck_assert(check_end(&world, reason));
                        n_kills += was_killed;
                        if (!was_killed)
                                break;
                }
        test_report("rekeyca: killed at %u renames", n_kills);
        ck_assert_uint_gt(n_kills, 40 / test_step(5));
}
END_TEST

int main(void) {
        Suite *suite = suite_create("ca-swap");

        if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0)
                setenv("TMPDIR", "/dev/shm", 1); /* no power is cut here */
        x509_key(4);
        TEST_CASE(suite, a_writer_in_the_gap_gets_its_file_back);
        TEST_CASE(suite, a_key_is_never_readable_for_others);
        TEST_CASE(suite, key_and_certificate_change_at_once);
        TEST_CASE(suite, a_writer_meets_a_link);
        TEST_CASE(suite, a_writer_comes_after_the_change);
        TEST_CASE(suite, a_file_system_without_the_exchange);
        TEST_CASE(suite, no_rename_is_a_dead_end);
        return test_run(suite);
}
