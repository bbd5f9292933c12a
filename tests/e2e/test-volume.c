/*
 * Volumes as kubelet makes them for a pod with `fsGroup`: rekeyd runs as a user without rights whose
 * supplementary group that is. At every mount all that it has made may be written to by that group.
 */

#include <sys/stat.h>

#include "tests/support/fixture.h"
#include "tests/support/kubelet.h"
#include "tests/test.h"

#define US       4242u
#define FS_GROUP 2000u

/* As a container has it: group root, as images without a user in /etc/passwd get it, and that of the pod. */
static const char as_us[] = "/usr/bin/setpriv --reuid=4242 --regid=0 --groups=2000";

static bool can_run(const char *test) {
        _cleanup_(freep) char *probe = NULL;

        if (geteuid() != 0 || getenv("REKEYD_TEST_WRAPPER")) {
                test_skip("%s: %s", test, geteuid() != 0 ? "needs root" : test_is_instrumented());
                return false;
        }
        ck_assert_int_ge(asprintf(&probe, "%s test -x %s 2>/dev/null", as_us, fixture_program("REKEYD")), 0);
        if (system(probe) == 0)
                return true;
        test_skip("%s: user 4242 cannot run the rekeyd that was built here", test);
        return false;
}

static void start(struct fixture *fixture) {
        setenv("REKEYD_TEST_WRAPPER", as_us, 1);
        fixture_start(fixture, NULL);
        unsetenv("REKEYD_TEST_WRAPPER");
}

static void assert_rights(struct fixture *fixture, const char *name, uid_t uid, gid_t gid, mode_t mode) {
        _cleanup_(freep) char *path = scratch_path(fixture->directory, name);
        struct stat st;

        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_msg(st.st_uid == uid && st.st_gid == gid && (st.st_mode & 07777u) == mode,
                      "%s is %u:%u %04o", name, st.st_uid, st.st_gid, st.st_mode & 07777u);
}

/* A file of a ConfigMap or a Secret: root's, and the group may read it. */
static void give(struct fixture *fixture, const char *name) {
        _cleanup_(freep) char *path = scratch_path(fixture->directory, name);

        ck_assert_int_eq(chown(path, 0, FS_GROUP), 0);
        ck_assert_int_eq(chmod(path, 0640), 0);
}

static void edit(struct fixture *fixture, const char *from, const char *to) {
        fixture_edit(fixture, from, to);
        give(fixture, "rekeyd.yaml");
}

static struct fixture *prepare(const char *certificates) {
        struct fixture *fixture = fixture_new(FIXTURE_LASTING("1h"));
        _cleanup_(freep) char *connector = NULL;

        fixture->state = "state-volume/state";
        connector = scratch_path(fixture->directory, "connector");
        ck_assert_int_eq(chmod(fixture->directory, 0755), 0);
        ck_assert_int_eq(chmod(connector, 0711), 0); /* it has `trust` */
        give(fixture, "connector/server-ca.crt");
        fixture_prepare(fixture, certificates);
        give(fixture, "rekeyd.yaml");
        give(fixture, "token");
        return fixture;
}

static void make_volume(struct fixture *fixture, const char *name) {
        _cleanup_(freep) char *path = scratch_path(fixture->directory, name);

        kubelet_make_volume(path, FS_GROUP);
}

static void make_empty_dir(struct fixture *fixture, const char *name) {
        _cleanup_(freep) char *path = scratch_path(fixture->directory, name);

        kubelet_make_empty_dir(path, FS_GROUP);
}

static void mount_again(struct fixture *fixture, const char *name) {
        _cleanup_(freep) char *path = scratch_path(fixture->directory, name);

        kubelet_mount(path, FS_GROUP);
}

#define VOLUMES                            \
        "  orders:\n"                      \
        "    connector: dev\n"             \
        "    directory: %s/certs/orders\n" \
        "    token_file: %s/token\n"       \
        "    group: 2000\n"                \
        "    mode: 0640\n"                 \
        "    exports:\n"                   \
        "      - {path: '%s/out/orders.pem', group: 2000, mode: 0640}\n"

static void assert_generation(struct fixture *fixture, unsigned generation) {
        static const char *const public[] = { "tls.crt", "ca.crt", "connection.json" };
        char name[128];

        snprintf(name, sizeof(name), "certs/orders/..gen-%06u", generation);
        assert_rights(fixture, name, US, FS_GROUP, 0755);
        snprintf(name, sizeof(name), "certs/orders/..gen-%06u/tls.key", generation);
        assert_rights(fixture, name, US, FS_GROUP, 0640);
        for (size_t i = 0; i < ELEMENTSOF(public); i++) {
                snprintf(name, sizeof(name), "certs/orders/..gen-%06u/%s", generation, public[i]);
                assert_rights(fixture, name, US, FS_GROUP, 0644);
        }
}

static const char *const volumes[] = { "certs", "state-volume", "out" };

/* All is as rekeyd has made it, and the roots of the volumes as kubelet has. */
static void assert_closed(struct fixture *fixture, unsigned n_generations) {
        assert_rights(fixture, "certs/orders", US, FS_GROUP, 02755);
        assert_rights(fixture, "state-volume/state", US, FS_GROUP, 02755);
        assert_rights(fixture, "state-volume/state/orders.json", US, FS_GROUP, 0600);
        assert_rights(fixture, "state-volume/state/orders.history", US, FS_GROUP, 0600);
        assert_rights(fixture, "out/orders.pem", US, FS_GROUP, 0640);
        for (size_t i = 0; i < ELEMENTSOF(volumes); i++)
                assert_rights(fixture, volumes[i], 0, FS_GROUP, 02775);
        for (unsigned i = 1; i <= n_generations; i++)
                assert_generation(fixture, i);
}

static void mount_all(struct fixture *fixture) {
        for (size_t i = 0; i < ELEMENTSOF(volumes); i++)
                mount_again(fixture, volumes[i]);
        assert_rights(fixture, "certs/orders", US, FS_GROUP, 02775);
        assert_rights(fixture, "certs/orders/tls.key", US, FS_GROUP, 0660);
        assert_rights(fixture, "state-volume/state/orders.json", US, FS_GROUP, 0660);
}

START_TEST(what_a_mount_opens_is_closed_again) {
        _cleanup_(fixture_freep) struct fixture *fixture = NULL;

        if (!can_run("what_a_mount_opens_is_closed_again"))
                return;
        fixture = prepare(VOLUMES);
        for (size_t i = 0; i < ELEMENTSOF(volumes); i++)
                make_volume(fixture, volumes[i]);
        start(fixture);
        fixture_expect(fixture, MESSAGE_ENROLLED);
        fixture_expect(fixture, MESSAGE_EXPORTED);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        assert_closed(fixture, 1);

        /* Two more pods; the first renews, so that the second finds an older generation as well. */
        edit(fixture, "bits: 2048", "bits: 3072");
        for (unsigned i = 1; i <= 2; i++) {
                mount_all(fixture);
                start(fixture);
                fixture_expect_text(fixture, "its group may no longer write to 2 of its files");
                fixture_expect_message(fixture, MESSAGE_RIGHTS, "tls.key is now 0640");
                fixture_expect(fixture, MESSAGE_EXPORTED); /* it was 0660 */
                fixture_expect(fixture, i == 1 ? MESSAGE_RENEWED : MESSAGE_CURRENT);
                if (i == 1)
                        fixture_expect(fixture, MESSAGE_EXPORTED);
                ck_assert_int_eq(fixture_stop(fixture), 0);
                assert_closed(fixture, 2);
        }

        /* Nothing was mounted meanwhile, so nothing is put right, and nothing is said. */
        start(fixture);
        fixture_expect(fixture, MESSAGE_CURRENT);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert(!strstr(process_output(fixture->rekeyd, PROCESS_STDERR), MESSAGE_RIGHTS));
        ck_assert(!strstr(process_output(fixture->rekeyd, PROCESS_STDERR), "may no longer write"));
}
END_TEST

/* The directories are the roots of the volumes, which rekeyd cannot change. */
START_TEST(the_root_of_a_volume_is_used_as_it_is) {
        _cleanup_(fixture_freep) struct fixture *fixture = NULL;

        if (!can_run("the_root_of_a_volume_is_used_as_it_is"))
                return;
        fixture = prepare("  orders: {connector: dev, directory: %s/certs, token_file: %s/token}\n");
        edit(fixture, "state-volume/state", "state-volume");
        make_volume(fixture, "certs");
        make_volume(fixture, "state-volume");
        for (unsigned i = 0; i < 3; i++) {
                start(fixture);
                if (i > 0)
                        fixture_expect_message(fixture, MESSAGE_RIGHTS, "tls.key is now 0600");
                fixture_expect(fixture, i == 0 ? MESSAGE_ENROLLED : MESSAGE_CURRENT);
                ck_assert_int_eq(fixture_stop(fixture), 0);
                assert_rights(fixture, "certs/tls.key", US, FS_GROUP, 0600);
                assert_rights(fixture, "state-volume/orders.json", US, FS_GROUP, 0600);
                assert_rights(fixture, "certs", 0, FS_GROUP, 02775);
                mount_again(fixture, "certs");
                mount_again(fixture, "state-volume");
        }
}
END_TEST

/* kubelet restarts, and mounts again under a running pod. */
START_TEST(a_mount_under_a_running_rekeyd_is_noticed) {
        _cleanup_(fixture_freep) struct fixture *fixture = NULL;

        if (!can_run("a_mount_under_a_running_rekeyd_is_noticed"))
                return;
        fixture = prepare("  orders: {connector: dev, directory: %s/certs/orders, token_file: %s/token}\n");
        make_volume(fixture, "certs");
        make_volume(fixture, "state-volume");
        start(fixture);
        fixture_expect(fixture, MESSAGE_ENROLLED);
        fixture_expect(fixture, MESSAGE_CURRENT);
        for (unsigned i = 0; i < 3; i++) {
                mount_again(fixture, "certs");
                fixture_expect_message(fixture, MESSAGE_RIGHTS, "tls.key is now 0600");
        }
        ck_assert_int_eq(fixture_stop(fixture), 0);
        assert_rights(fixture, "certs/orders", US, FS_GROUP, 02755);
        assert_rights(fixture, "certs/orders/tls.key", US, FS_GROUP, 0600);
}
END_TEST

/* For whoever is not in the group, or where every user may write, all is as before. */
START_TEST(strangers_are_refused) {
        _cleanup_(fixture_freep) struct fixture *fixture = NULL;
        _cleanup_(freep) char *certs = NULL;

        if (!can_run("strangers_are_refused"))
                return;
        fixture = prepare("  orders: {connector: dev, directory: %s/certs, token_file: %s/token}\n"
                          "  stock: {connector: dev, directory: %s/empty, token_file: %s/token}\n");
        certs = scratch_path(fixture->directory, "certs");
        make_volume(fixture, "state-volume");
        kubelet_make_volume(certs, FS_GROUP + 1);
        make_empty_dir(fixture, "empty");
        start(fixture);
        fixture_expect_failure(fixture, "local", "group 2001 is not one of rekeyd's");
        fixture_expect_failure(fixture, "local", "its mode 2777 lets other users write to it");
        ck_assert_int_eq(fixture_stop(fixture), 0);
        ck_assert_uint_eq(fixture_calls(fixture, "sign"), 0);
}
END_TEST

/* As everybody may write to it, only what rekeyd makes in it is its own. */
START_TEST(an_empty_dir_holds_a_subdirectory) {
        _cleanup_(fixture_freep) struct fixture *fixture = NULL;

        if (!can_run("an_empty_dir_holds_a_subdirectory"))
                return;
        fixture = prepare("  orders: {connector: dev, directory: %s/certs/orders, token_file: %s/token}\n");
        edit(fixture, "defaults:", "control: {socket: RUN/control/socket}\ndefaults:");
        edit(fixture, "RUN", fixture->directory);
        edit(fixture, "/control/socket", "/run/control/socket");
        make_empty_dir(fixture, "certs");
        make_empty_dir(fixture, "state-volume");
        make_empty_dir(fixture, "run");
        start(fixture);
        fixture_expect(fixture, MESSAGE_ENROLLED);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        assert_rights(fixture, "certs/orders", US, FS_GROUP, 02755);

        /* The container starts again, and the volumes were mounted again. */
        mount_again(fixture, "certs");
        mount_again(fixture, "state-volume");
        mount_again(fixture, "run");
        start(fixture);
        fixture_expect_text(fixture, "its group may no longer write to its directory");
        fixture_expect(fixture, MESSAGE_RIGHTS);
        ck_assert_int_eq(fixture_stop(fixture), 0);
        assert_rights(fixture, "certs/orders", US, FS_GROUP, 02755);
        assert_rights(fixture, "run/control", US, FS_GROUP, 02755);
}
END_TEST

TEST_MAIN("volume", what_a_mount_opens_is_closed_again, the_root_of_a_volume_is_used_as_it_is,
          a_mount_under_a_running_rekeyd_is_noticed, strangers_are_refused, an_empty_dir_holds_a_subdirectory)
