/* The back-end of files: what is written on condition, by whom else, and with which rights. */

#include "ca/place/files.h"

#include <stdio.h>
#include <sys/stat.h>

#include "tests/support/scratch.h"
#include "tests/test.h"

struct scene {
        char *directory;
        struct backend *backend;
};

static void scene_end(struct scene *scene) {
        backend_free(scene->backend);
        scratch_free(scene->directory);
}

static struct backend *open_place(const struct scene *scene, const char *a, const char *b) {
        _cleanup_(freep) char *spec = NULL;
        struct backend *backend;

        ck_assert_int_ge(asprintf(&spec, "files:%s/%s%s%s%s", scene->directory, a, b ? "," : "",
                                  b ? scene->directory : "", b ? b : ""),
                         0);
        ck_assert_int_eq(files_parse(spec, b ? 2 : 1, 0600, &backend, NULL), 0);
        return backend;
}

static void scene_begin(struct scene *scene) {
        scene->directory = scratch_new();
        scratch_write(scene->directory, "ca.key", "key 1\n", 0600);
        scratch_write(scene->directory, "ca.crt", "crt 1\n", 0644);
        scene->backend = open_place(scene, "ca.key", "/ca.crt");
}

static void assert_file(const struct scene *scene, const char *name, const char *text) {
        _cleanup_(freep) char *now = scratch_read(scene->directory, name);

        ck_assert_str_eq(now, text);
}

static unsigned mode_of(const struct scene *scene, const char *name) {
        _cleanup_(freep) char *path = scratch_path(scene->directory, name);
        struct stat st;

        ck_assert_int_eq(stat(path, &st), 0);
        return st.st_mode & 07777;
}

static void read_version(struct scene *scene, char ret[VERSION_MAX]) {
        _cleanup_(contents_clear) struct contents contents = { 0 };

        ck_assert_int_eq(scene->backend->ops->read(scene->backend, &contents, ret, NULL), 0);
}

static int write_texts(struct scene *scene, const char *a, const char *b, const char *expected) {
        _cleanup_(contents_clear) struct contents contents = { 0 };

        ck_assert_int_eq(contents_make(a, b, &contents), 0);
        return scene->backend->ops->write(scene->backend, &contents, expected, NULL);
}

static void assert_refused(const char *spec, size_t n, const char *text) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        struct backend *backend;

        ck_assert_int_eq(files_parse(spec, n, 0600, &backend, &error), -EINVAL);
        ck_assert_msg(strstr(error_text(&error), text), "%s", error_text(&error));
}

START_TEST(a_spec_that_is_none) {
        assert_refused("secret:a/b", 1, "must begin with files:");
        assert_refused("files:ca.key,/b", 2, "absolute");
        assert_refused("files:/a/", 1, "absolute");
        assert_refused("files:/a/b", 2, "two paths");
        assert_refused("files:/a/b,/a/c", 1, "one path");
        assert_refused("files:/a/b,/a/c,/a/d", 2, "two paths");
        assert_refused("files:/a/b,/c/d", 2, "same directory");
}
END_TEST

START_TEST(what_is_there_is_replaced_with_its_rights) {
        _cleanup_(scene_end) struct scene scene;
        _cleanup_(freep) char *names = NULL;
        char before[VERSION_MAX], after[VERSION_MAX];

        scene_begin(&scene);
        read_version(&scene, before);
        ck_assert_int_eq(write_texts(&scene, "key 2\n", "crt 2\n", before), 0);
        read_version(&scene, after);
        ck_assert_str_ne(before, after);
        assert_file(&scene, "ca.key", "key 2\n");
        assert_file(&scene, "ca.crt", "crt 2\n");
        ck_assert_uint_eq(mode_of(&scene, "ca.key"), 0600);
        ck_assert_uint_eq(mode_of(&scene, "ca.crt"), 0644);
        names = scratch_list(scene.directory);
        ck_assert_str_eq(names, "ca.crt ca.key");
}
END_TEST

START_TEST(another_version_is_left_alone) {
        _cleanup_(scene_end) struct scene scene;
        _cleanup_(freep) char *names = NULL;
        char version[VERSION_MAX];

        scene_begin(&scene);
        read_version(&scene, version);
        scratch_write(scene.directory, "ca.crt", "crt of another\n", 0644);
        ck_assert_int_eq(write_texts(&scene, "key 2\n", "crt 2\n", version), -ESTALE);
        ck_assert_int_eq(write_texts(&scene, "key 2\n", "crt 2\n", ""), -ESTALE);
        assert_file(&scene, "ca.key", "key 1\n");
        assert_file(&scene, "ca.crt", "crt of another\n");
        names = scratch_list(scene.directory);
        ck_assert_str_eq(names, "ca.crt ca.key");
}
END_TEST

START_TEST(what_is_not_there_is_created_for_its_owner) {
        _cleanup_(scene_end) struct scene scene;
        char version[VERSION_MAX];

        scene_begin(&scene);
        backend_free(scene.backend);
        scene.backend = open_place(&scene, "state.json", NULL);
        ck_assert_int_eq(scene.backend->ops->read(scene.backend, &(struct contents) { 0 }, version, NULL),
                         -ENOENT);
        ck_assert_int_eq(write_texts(&scene, "{}\n", NULL, "0123"), -ESTALE);
        ck_assert_int_eq(write_texts(&scene, "{}\n", NULL, ""), 0);
        ck_assert_uint_eq(mode_of(&scene, "state.json"), 0600);
}
END_TEST

static int tidy(struct scene *scene, const char *known) {
        const struct contents contents = { { (char *)known, (char *)"crt\n" } };

        return scene->backend->ops->tidy(scene->backend, (const struct contents *const[]) { &contents }, 1,
                                         NULL);
}

/* What a kill has left, whole or half, goes; what another writer had there stays. */
START_TEST(litter_is_told_from_what_was_displaced) {
        _cleanup_(scene_end) struct scene scene;
        _cleanup_(freep) char *names = NULL;

        scene_begin(&scene);
        scratch_write(scene.directory, ".ca.key.rekeyca", "key of another\n", 0600);
        ck_assert_int_eq(tidy(&scene, "key 2\n"), -ESTALE);
        scratch_write(scene.directory, ".ca.key.rekeyca", "key 2\n", 0600);
        ck_assert_int_eq(tidy(&scene, "key 2\n"), 0);
        scratch_write(scene.directory, ".ca.key.rekeyca", "ke", 0600);
        ck_assert_int_eq(tidy(&scene, "key 2\n"), 0);
        names = scratch_list(scene.directory);
        ck_assert_str_eq(names, "ca.crt ca.key");
}
END_TEST

/* A kill while the key is a link, as pair.h has it. */
static void leave_links(const struct scene *scene, const char *before) {
        _cleanup_(freep) char *room = scratch_path(scene->directory, ".ca.key.rekeyca.d"),
                              *name = scratch_path(scene->directory, "ca.key"),
                              *old = scratch_path(room, "before"), *new = scratch_path(room, "after"),
                              *now = scratch_path(room, "now");

        ck_assert(mkdir(room, 0755) == 0 && mkdir(old, 0755) == 0 && mkdir(new, 0755) == 0);
        scratch_write(old, "ca.key", before, 0600);
        scratch_write(new, "ca.key", "key 2\n", 0600);
        ck_assert(symlink("after", now) == 0 && unlink(name) == 0 &&
                  symlink(".ca.key.rekeyca.d/now/ca.key", name) == 0);
}

START_TEST(links_that_a_kill_has_left_become_files) {
        _cleanup_(scene_end) struct scene scene;
        _cleanup_(freep) char *names = NULL, *writer = NULL;

        scene_begin(&scene);
        leave_links(&scene, "key 1\n");
        ck_assert_int_eq(scene.backend->ops->find_writer(scene.backend, &writer, NULL), 0);
        ck_assert_ptr_null(writer);
        ck_assert_int_eq(tidy(&scene, "key 1\n"), 0);
        assert_file(&scene, "ca.key", "key 2\n");
        names = scratch_list(scene.directory);
        ck_assert_str_eq(names, "ca.crt ca.key");
}
END_TEST

/* Another writer wrote through the link before it was led elsewhere. */
START_TEST(what_was_written_through_a_link_is_kept) {
        _cleanup_(scene_end) struct scene scene;

        scene_begin(&scene);
        leave_links(&scene, "key of another\n");
        ck_assert_int_eq(tidy(&scene, "key 1\n"), -ESTALE);
        assert_file(&scene, "ca.key", "key 2\n");
        assert_file(&scene, ".ca.key.rekeyca.d/before/ca.key", "key of another\n");
}
END_TEST

START_TEST(a_link_has_another_writer) {
        _cleanup_(scene_end) struct scene scene;
        _cleanup_(freep) char *path = NULL, *writer = NULL, *none = NULL;

        scene_begin(&scene);
        ck_assert_int_eq(scene.backend->ops->find_writer(scene.backend, &none, NULL), 0);
        ck_assert_ptr_null(none);
        path = scratch_path(scene.directory, "ca.crt");
        unlink(path);
        ck_assert_int_eq(symlink("..data/ca.crt", path), 0);
        ck_assert_int_eq(scene.backend->ops->find_writer(scene.backend, &writer, NULL), 0);
        ck_assert_ptr_nonnull(strstr(writer, "symbolic link to ..data/ca.crt"));
}
END_TEST

START_TEST(one_operator_at_a_time) {
        _cleanup_(scene_end) struct scene scene;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        _cleanup_(backend_freep) struct backend *other = NULL;

        scene_begin(&scene);
        backend_free(scene.backend);
        scene.backend = open_place(&scene, "state.json", NULL);
        other = open_place(&scene, "state.json", NULL);
        ck_assert_int_eq(scene.backend->ops->lock(scene.backend, NULL), 0);
        ck_assert_int_eq(other->ops->lock(other, &error), -EBUSY);
        ck_assert_ptr_nonnull(strstr(error_text(&error), "as process "));
        scene.backend = backend_free(scene.backend);
        ck_assert_int_eq(other->ops->lock(other, NULL), 0);
}
END_TEST

TEST_MAIN("ca-files", a_spec_that_is_none, what_is_there_is_replaced_with_its_rights,
          another_version_is_left_alone, what_is_not_there_is_created_for_its_owner,
          litter_is_told_from_what_was_displaced, links_that_a_kill_has_left_become_files,
          what_was_written_through_a_link_is_kept, a_link_has_another_writer, one_operator_at_a_time)
