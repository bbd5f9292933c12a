/*
 * Finds the configuration's files, reads them all, and hands out either one complete struct or every
 * complaint there is. Nothing in between: a daemon keeps what it has until a new configuration is right as a
 * whole. Since the configuration names commands to run, a file that another user could have written is
 * refused.
 */

#include "lib/config/config.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "lib/config/config-internal.h"
#include "lib/util/text-stream.h"

static_assert(CONFIG_DEPTH_MAX == YAML_DEPTH_MAX, "the reader of YAML enforces it");

struct config *config_ref(struct config *config) {
        assert(config->n_refs > 0 && config->n_refs < UINT_MAX);
        config->n_refs++;
        return config;
}

struct config *config_free(struct config *config) {
        if (config && --config->n_refs == 0) {
                /* A copy: the struct itself is outside the arena, the arena inside the struct. */
                struct arena memory = config->memory;

                free(config);
                arena_clear(&memory);
        }
        return NULL;
}

void config_errors_clear(struct config_errors *errors) {
        for (size_t i = 0; i < errors->n; i++)
                free(errors->items[i]);
        free(errors->items);
        *errors = (struct config_errors) { 0 };
}

/* 0 where FD may be trusted, else after a complaint. */
static int check_owner(struct yaml_run *run, struct yaml_place place, int fd) {
        struct stat st;

        if (fstat(fd, &st) < 0) {
                yaml_complain(run, place, "cannot be examined: %s", strerrordesc_np(errno));
                return -EINVAL;
        }
        if (st.st_uid != 0 && st.st_uid != geteuid()) {
                yaml_complain(run, place,
                              "is owned by user %u, who could make rekeyd run any command; change its owner "
                              "to root or to rekeyd's user (chown root)",
                              st.st_uid);
                return -EINVAL;
        }
        if (st.st_mode & S_IWOTH) {
                yaml_complain(run, place,
                              "is world-writable, so any user could make rekeyd run any command; remove that "
                              "permission (chmod o-w)");
                return -EINVAL;
        }
        return 0;
}

/* One configuration in the making. */
struct loading {
        struct config *config;
        struct yaml_run *run;
        size_t room; /* bytes that all files together may still have */
};

static void loading_clear(struct loading *loading) {
        yaml_run_free(loading->run);
        config_free(loading->config);
}

static int loading_begin(struct loading *loading) {
        loading->config = calloc(1, sizeof(*loading->config));
        if (loading->config)
                loading->config->n_refs = 1;
        loading->run = loading->config ? yaml_run_new(&loading->config->memory) : NULL;
        loading->room = CONFIG_SIZE_MAX;
        return loading->run ? 0 : -ENOMEM;
}

static int read_text(struct loading *loading, unsigned file, const char *text, size_t size) {
        if (size > loading->room) {
                yaml_complain(loading->run, (struct yaml_place) { .file = file },
                              "makes the configuration larger than the limit of %u MiB",
                              CONFIG_SIZE_MAX >> 20);
                return 0;
        }
        loading->room -= size;
        return yaml_run_read(loading->run, file, text, size);
}

static int read_file(struct loading *loading, int dir_fd, const char *name, const char *path,
                     bool main_file) {
        _cleanup_(fd_closep) int fd = -1;
        _cleanup_(freep) char *text = NULL;
        struct yaml_place place = { 0 };
        size_t size;
        int r;

        r = yaml_run_file(loading->run, path, &place.file);
        if (r < 0)
                return r;

        /* Links are followed: in a container the file is one, into a mounted volume. */
        fd = file_open_at(dir_fd, name, FILE_FOLLOW);
        if (fd < 0) {
                yaml_complain(loading->run, place, "the configuration cannot be read: %s%s",
                              error_code_text(fd),
                              main_file && fd == -ENOENT ? "; create it, or use --config" : "");
                return 0;
        }
        if (check_owner(loading->run, place, fd) < 0)
                return 0;
        r = fd_read_all(fd, loading->room, &text, &size);
        if (r == -ENOMEM)
                return r;
        if (r == -EFBIG)
                return read_text(loading, place.file, "", loading->room + 1);
        if (r < 0) {
                yaml_complain(loading->run, place, "the configuration cannot be read: %s",
                              strerrordesc_np(-r));
                return 0;
        }
        return read_text(loading, place.file, text, size);
}

static int is_drop_in(const struct dirent *entry) {
        /* Names with a dot in front are an editor's or a volume's own. */
        const char *suffix = strrchr(entry->d_name, '.');

        return entry->d_name[0] != '.' && suffix &&
               (strcasecmp(suffix, ".yaml") == 0 || strcasecmp(suffix, ".yml") == 0);
}

/* What a package manager or an editor leaves, and what is written for people, is meant to stay unread. */
static bool is_no_mistake(const char *name) {
        static const char *const ends[] = { "~",         ".bak",      ".orig",      ".old",      ".save",
                                            ".disabled", ".off",      ".swp",       ".md",       ".txt",
                                            ".sample",   ".example",  ".dist",      ".rej",      ".tmp",
                                            ".dpkg-new", ".dpkg-old", ".dpkg-dist", ".ucf-dist", ".rpmnew",
                                            ".rpmsave" };

        if (name[0] == '.' || has_prefix(name, "README"))
                return true;
        for (size_t i = 0; i < ELEMENTSOF(ends); i++)
                if (has_suffix(name, ends[i]))
                        return true;
        return false;
}

/* Drop-ins, and files that may be meant to be some: nobody who writes such a file finds out otherwise that it
 * does nothing. */
static int is_of_interest(const struct dirent *entry) {
        return is_drop_in(entry) || (entry->d_type != DT_DIR && !is_no_mistake(entry->d_name));
}

static int compare_names(const struct dirent **a, const struct dirent **b) {
        return strcmp((*a)->d_name,
                      (*b)->d_name); /* bytes, so that the order does not depend on the locale */
}

static int complain_of_folder(struct loading *loading, const char *folder, int code) {
        struct yaml_place place = { 0 };
        int r;

        if (code == ENOMEM)
                return -ENOMEM;
        r = yaml_run_file(loading->run, folder, &place.file);
        if (r == 0)
                yaml_complain(loading->run, place, "the directory of drop-ins cannot be read: %s",
                              strerrordesc_np(code));
        return r;
}

static int check_folder(struct loading *loading, const char *folder, int fd) {
        struct yaml_place place = { 0 };
        struct statvfs fs;
        struct stat st;
        int r;

        if (fstat(fd, &st) == 0 && (st.st_uid == 0 || st.st_uid == geteuid()) && !(st.st_mode & S_IWOTH))
                return 0;
        if (fstatvfs(fd, &fs) == 0 && fs.f_flag & ST_RDONLY)
                return 0; /* as the volume of a ConfigMap, whose mode is 0777 */
        r = yaml_run_file(loading->run, folder, &place.file);
        if (r == 0)
                (void)check_owner(loading->run, place, fd);
        return r;
}

static int add_unread(struct config *config, const char *path) {
        char *copy = arena_strndup(&config->memory, path, strlen(path));

        if (!copy)
                return -ENOMEM;
        config->unread[config->n_unread++] = copy;
        return 0;
}

static int make_room_for_unread(struct config *config, struct dirent *const *entries, int n) {
        size_t n_unread = 0;

        for (int i = 0; i < n; i++)
                n_unread += is_drop_in(entries[i]) ? 0 : 1;
        if (n_unread == 0)
                return 0;
        config->unread = arena_alloc_array(&config->memory, n_unread, sizeof(*config->unread));
        return config->unread ? 0 : -ENOMEM;
}

static int take_entry(struct loading *loading, const char *folder, int dir_fd, const struct dirent *entry) {
        _cleanup_(freep) char *path = NULL;

        if (asprintf(&path, "%s/%s", folder, entry->d_name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        return is_drop_in(entry) ? read_file(loading, dir_fd, entry->d_name, path, false)
                                 : add_unread(loading->config, path);
}

static int read_drop_ins(struct loading *loading, const char *path) {
        const char *slash = strrchr(path, '/');
        _cleanup_(freep) char *folder = NULL;
        _cleanup_(fd_closep) int dir_fd = -1;
        struct dirent **entries = NULL;
        int n, r = 0;

        if (asprintf(&folder, "%.*sconf.d", slash ? (int)(slash - path + 1) : 0, path) < 0) {
                folder = NULL;
                return -ENOMEM;
        }
        dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0 && errno == ENOENT)
                return 0;
        n = dir_fd < 0 ? -1 : scandirat(dir_fd, ".", &entries, is_of_interest, compare_names);
        if (n < 0)
                return complain_of_folder(loading, folder, errno);
        r = check_folder(loading, folder, dir_fd);
        if (r == 0)
                r = make_room_for_unread(loading->config, entries, n);
        for (int i = 0; i < n; i++) {
                if (r == 0)
                        r = take_entry(loading, folder, dir_fd, entries[i]);
                free(entries[i]);
        }
        free(entries);
        return r;
}

/* Everything is read: fill, check, and hand out one or the other. */
static int loading_end(struct loading *loading, struct config **ret, struct config_errors *errors) {
        struct config_errors found = { 0 };
        int r;

        r = yaml_run_apply(loading->run, &config_table, loading->config);
        if (r < 0)
                return r;
        config_check(loading->run, loading->config);
        r = yaml_run_errors(loading->run, &found.items, &found.n);
        if (r < 0)
                return r;
        if (found.n > 0) {
                *errors = found;
                return -EINVAL;
        }
        config_errors_clear(&found);
        *ret = take_ptr(loading->config);
        return 0;
}

/* One more document, as if it were a file of that name. */
struct extra {
        const char *name, *text;
};

static int read_extra(struct loading *loading, const struct extra *extra) {
        unsigned file;
        int r;

        if (!extra)
                return 0;
        r = yaml_run_file(loading->run, extra->name, &file);
        return r < 0 ? r : read_text(loading, file, extra->text, strlen(extra->text));
}

static int load(const char *path, const struct extra *extra, struct config **ret,
                struct config_errors *errors) {
        _cleanup_(loading_clear) struct loading loading = { 0 };
        int r;

        r = loading_begin(&loading);
        if (r < 0)
                return r;
        r = read_file(&loading, AT_FDCWD, path, path, true);
        if (r < 0)
                return r;
        r = read_drop_ins(&loading, path);
        if (r == 0)
                r = read_extra(&loading, extra);
        if (r < 0)
                return r;
        return loading_end(&loading, ret, errors);
}

int config_load_with(const char *path, const char *name, const char *text, struct config **ret,
                     struct config_errors *errors) {
        const struct extra extra = { .name = name, .text = text };

        return load(path, &extra, ret, errors);
}

int config_load(const char *path, struct config **ret, struct config_errors *errors) {
        int r;

        r = load(path, NULL, ret, errors);
        /* Reading takes five times what stays. malloc() would keep it for the next time, on a worker thread
         * in an arena of its own: 18 MB with 10,000 certificates. */
        malloc_trim(0);
        return r;
}

int config_parse(const char *name, const char *text, size_t size, struct config **ret,
                 struct config_errors *errors) {
        _cleanup_(loading_clear) struct loading loading = { 0 };
        unsigned file;
        int r;

        r = loading_begin(&loading);
        if (r < 0)
                return r;
        r = yaml_run_file(loading.run, name, &file);
        if (r < 0)
                return r;
        r = read_text(&loading, file, text, size);
        if (r < 0)
                return r;
        return loading_end(&loading, ret, errors);
}

int config_format(const struct config *config, char **ret_yaml) {
        char *text = NULL;
        size_t size = 0;
        FILE *out;
        int failed;

        out = text_stream_open(&text, &size);
        if (!out)
                return -ENOMEM;
        yaml_emit(&config_table, config, out);
        failed = ferror(out);
        if (fclose(out) != 0 || failed) {
                free(text);
                return -ENOMEM;
        }
        *ret_yaml = text;
        return 0;
}
