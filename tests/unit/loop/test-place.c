/* What may happen to a path: whoever watches a set there hears of it, and sees what is there then. */

#include "daemon/loop/path-watch.h"
#include "daemon/loop/place.h"
#include "daemon/loop/set-watch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/test.h"

static char *scratch;
static sd_event *event;
static struct set_watch *watch;
static unsigned calls;

static void on_call(_unused_ void *userdata) {
        calls++;
        if (watch)
                (void)set_watch_follow(watch); /* as each inspection does */
}

static void set_up(void) {
        scratch = scratch_new();
        calls = 0;
        ck_assert_int_ge(sd_event_new(&event), 0);
}

static void tear_down(void) {
        watch = set_watch_free(watch);
        event = sd_event_unref(event);
        scratch = scratch_free(scratch);
}

static void await_call(const char *what) {
        usec_t deadline = usec_add(now_usec(CLOCK_MONOTONIC), patience_usec());

        while (calls == 0) {
                ck_assert_msg(now_usec(CLOCK_MONOTONIC) < deadline, "never noticed: %s", what);
                ck_assert_int_ge(sd_event_run(event, USEC_PER_SEC), 0);
        }
        calls = 0;
}

/* All that is pending, mounts included. */
static void drain(void) {
        while (sd_event_run(event, 150 * USEC_PER_MSEC) > 0)
                ;
        calls = 0;
}

/* --- By hand, as an operator would --- */

static _printf_(1, 2) void shell(const char *format, ...) {
        _cleanup_(freep) char *command = NULL, *whole = NULL;
        va_list arguments;

        va_start(arguments, format);
        ck_assert_int_ge(vasprintf(&command, format, arguments), 0);
        va_end(arguments);
        ck_assert_int_ge(asprintf(&whole, "set -e; cd %s; %s", scratch, command), 0);
        ck_assert_msg(system(whole) == 0, "%s", command);
}

/* A set in the directory $D. */
#define MAKE(d) "mkdir -p " d "/..gen-1; ln -s ..gen-1 " d "/..data; echo key > " d "/..gen-1/tls.key; "

static const struct {
        const char *what, *before, *then;
} disturbances[] = {
        { "it is made", "mkdir -p a", MAKE("a/b/orders") },
        { "it is made with all that is above it", "true", MAKE("a/b/orders") },
        { "it is moved into its place with its parent", MAKE("x/orders") "mkdir -p a", "mv x a/b" },
        { "it is removed", MAKE("a/b/orders"), "rm -r a/b/orders" },
        { "it is removed and made again", MAKE("a/b/orders"), "rm -r a/b/orders; " MAKE("a/b/orders") },
        { "it is moved away", MAKE("a/b/orders"), "mv a/b/orders a/b/old" },
        { "another is in its place", MAKE("a/b/orders"), "mv a/b/orders a/b/old; " MAKE("a/b/orders") },
        { "its parent is moved away", MAKE("a/b/orders"), "mv a/b a/old" },
        { "another parent is in its place", MAKE("a/b/orders"), "mv a/b a/old; " MAKE("a/b/orders") },
        { "another grandparent is in its place", MAKE("a/b/orders"), "mv a old; " MAKE("a/b/orders") },
        { "a file is where its parent was", MAKE("a/b/orders"), "mv a/b old; touch a/b" },
        { "a link above it leads elsewhere", MAKE("x/b/orders") MAKE("y/b/orders") "ln -s x a",
          "ln -s y new; mv -T new a" },
        { "a link above it is replaced by a directory", MAKE("x/b/orders") "ln -s x a",
          "rm a; " MAKE("a/b/orders") },
        { "what a link leads to is moved", MAKE("x/b/orders") "ln -s x a", "mv x y" },
        { "what a link leads to is another", MAKE("x/b/orders") "ln -s x a", "mv x y; " MAKE("x/b/orders") },
        { "a file system is mounted over it", MAKE("a/b/orders"), "mount -t tmpfs none a/b/orders" },
        { "a file system is mounted above it", MAKE("a/b/orders"), "mount -t tmpfs none a" },
        { "a file system goes away", MAKE("a/b/orders") "mount -t tmpfs none a/b/orders; " MAKE("a/b/orders"),
          "umount a/b/orders" },
        { "a file system above it goes away", MAKE("a/b/orders") "mount -t tmpfs none a; " MAKE("a/b/orders"),
          "umount a" },
        { "a file system goes away lazily", MAKE("a/b/orders") "mount -t tmpfs none a; " MAKE("a/b/orders"),
          "umount -l a" },
};

/* In a namespace of this process's own. */
static bool may_mount(void) {
        return (unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
               mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static bool is_about_mounts(size_t i) {
        return strstr(disturbances[i].before, "mount") || strstr(disturbances[i].then, "mount");
}

START_TEST(whatever_happens_to_the_path) {
        const char *what = disturbances[_i].what;
        _cleanup_(freep) char *directory = scratch_path(scratch, "a/b/orders");

        if (is_about_mounts((size_t)_i) && !may_mount()) {
                test_skip("%s: nothing may be mounted here", what);
                return;
        }
        shell("%s", disturbances[_i].before);
        ck_assert_int_eq(set_watch_new(event, directory, on_call, NULL, &watch), 0);
        ck_assert_int_eq(set_watch_follow(watch), 0);
        drain();
        shell("%s", disturbances[_i].then);
        await_call(what);
        drain();
        ck_assert_int_eq(set_watch_problem(watch), 0);

        /* And what is there now, or comes then, is watched. */
        shell("[ -d a/b ] || { rm -f a/b; [ -d a ] || rm -f a; }; [ -e a/b/orders/..data ] || { " MAKE(
                "a/b/orders") "}");
        drain();
        shell("echo another > a/b/orders/..data/tls.key");
        await_call("the key was changed after all");
}
END_TEST

/* What goes on beside a place is no event. */
START_TEST(silence) {
        _cleanup_(freep) char *directory = scratch_path(scratch, "a/b/orders");

        ck_assert_int_eq(set_watch_new(event, directory, on_call, NULL, &watch), 0);
        ck_assert_int_eq(set_watch_follow(watch), 0);
        shell(MAKE("a/b/orders"));
        await_call("it is made");
        drain();
        shell("touch a/b/noise a/noise noise; rm a/noise; mkdir a/b/other; mv a/b/other a/b/more");
        ck_assert_int_eq(sd_event_run(event, 100 * USEC_PER_MSEC), 0);
}
END_TEST

/* --- What cannot be watched --- */

static bool set_limit(const char *name, const char *value) {
        int fd = open(name, O_WRONLY | O_CLOEXEC);
        bool is_set = fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);

        if (fd >= 0)
                (void)close(fd);
        return is_set;
}

static const struct {
        const char *file, *low;
        int problem;
} limits[] = {
        { "/proc/sys/user/max_inotify_watches", "0", -ENOSPC },
        { "/proc/sys/user/max_inotify_watches", "1", -ENOSPC },
        { "/proc/sys/user/max_inotify_watches", NULL, -ENOSPC }, /* all but the generation's */
        { "/proc/sys/user/max_inotify_instances", "0", -EMFILE },
};

START_TEST(a_limit_of_the_kernel) {
        _cleanup_(freep) char *directory = scratch_path(scratch, "orders"),
                              *token = scratch_path(scratch, "token");
        _cleanup_(path_watch_freep) struct path_watch *token_watch = NULL;
        const char *low = limits[_i].low;
        unsigned n = 1;
        char number[16];

        for (const char *p = directory; *p; p++)
                n += *p == '/' ? 1 : 0;
        snprintf(number, sizeof(number), "%u", n);
        shell(MAKE("orders"));
        if (unshare(CLONE_NEWUSER) < 0 || !set_limit(limits[_i].file, low ? low : number)) {
                test_skip("%s cannot be set here", limits[_i].file);
                return;
        }
        ck_assert_int_eq(set_watch_new(event, directory, on_call, NULL, &watch), 0);
        ck_assert_int_eq(set_watch_follow(watch), 0);
        ck_assert_int_eq(path_watch_new(event, token, PATH_COMES, on_call, NULL, &token_watch), 0);
        ck_assert_int_eq(set_watch_problem(watch), limits[_i].problem);
        ck_assert_int_eq(path_watch_problem(token_watch), low ? limits[_i].problem : 0);
        ck_assert_str_eq(place_problem_text(limits[_i].problem),
                         limits[_i].problem == -EMFILE ? "the limit fs.inotify.max_user_instances is reached"
                                                       : "the limit fs.inotify.max_user_watches is reached");
        token_watch = path_watch_free(token_watch);

        /* From time to time it is reported as changed, for as long as it is not watched. */
        ck_assert_int_eq(sd_event_run(event, 100 * USEC_PER_MSEC), 0);
        place_set_poll(event, 50 * USEC_PER_MSEC);
        for (unsigned i = 0; i < 2; i++)
                await_call("the time has come");
        ck_assert_int_eq(set_watch_problem(watch), limits[_i].problem);

        ck_assert(set_limit(limits[_i].file, "1000"));
        while (set_watch_problem(watch) < 0)
                await_call("the limit was raised");
        drain();
        ck_assert_int_eq(sd_event_run(event, 100 * USEC_PER_MSEC), 0);
        shell("echo another > orders/..data/tls.key");
        await_call("the key was changed after all");
}
END_TEST

START_TEST(a_tidy_path) {
        static const struct {
                const char *path, *tidy;
        } paths[] = {
                { "/", "/" },
                { "//", "/" },
                { "/.", "/" },
                { "/a", "/a" },
                { "/a/", "/a" },
                { "//a//b", "/a/b" },
                { "/./a/./b/.", "/a/b" },
                { "/a/../b", "/a/../b" },
                { "/.a/b.", "/.a/b." },
        };

        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                _cleanup_(freep) char *path = strdup(paths[i].path);

                place_tidy(path);
                ck_assert_str_eq(path, paths[i].tidy);
        }
}
END_TEST

int main(void) {
        Suite *suite = suite_create("place");
        TCase *tcase = tcase_create("paths");

        tcase_set_timeout(tcase, 0);
        tcase_add_checked_fixture(tcase, set_up, tear_down);
        tcase_add_loop_test(tcase, whatever_happens_to_the_path, 0, (int)ELEMENTSOF(disturbances));
        tcase_add_loop_test(tcase, a_limit_of_the_kernel, 0, (int)ELEMENTSOF(limits));
        suite_add_tcase(suite, tcase);
        TEST_CASE_IN(suite, silence, set_up, tear_down);
        TEST_CASE_IN(suite, a_tidy_path, set_up, tear_down);
        return test_run(suite);
}
