/*
 * Inspects a certificate's directory without disturbing it: for a member of the read group, for an operator
 * while rekeyd is down, by rekeyd itself on behalf of one. Everything goes through one descriptor of the
 * directory and the functions that the store reads with, so both see the same; but without its lock, so the
 * store may swap at any moment. Each generation is read through its own directory, of which nothing changes
 * once it is there: an inspection can only be out of date, which the link shows afterwards, and is then
 * repeated.
 *
 * It never writes, and never waits: not for a lock, not for the other end of a FIFO. What does not belong
 * there becomes a sentence.
 */

#include "lib/report/inspect.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "lib/store/directory.h"
#include "lib/store/store-private.h"
#include "lib/util/user.h"

#define TRIES_MAX 20

void inspection_clear(struct inspection *inspection) {
        for (size_t i = 0; i < inspection->n_generations; i++)
                error_clear(&inspection->generations[i].problem);
        for (size_t i = 0; i < inspection->n_exports; i++)
                error_clear(&inspection->exports[i].problem);
        set_clear(&inspection->set);
        cert_list_clear(&inspection->chain);
        cert_list_clear(&inspection->ca);
        connection_clear(&inspection->connection);
        free(inspection->generations);
        free(inspection->exports);
        error_clear(&inspection->rights);
        error_clear(&inspection->problem);
        *inspection = (struct inspection) { 0 };
}

/* What is inspected. The store was never opened: only reading functions may be used with it. */
struct view {
        struct store store;
        bool has_options;   /* the store has: they are those of a certificate */
        int current_result; /* of reading `..data` */
        const struct export *exports;
        size_t n_exports;
        const struct state *state; /* for exports; NULL: not known */
};

/* --- The current set --- */

/* The certificates in tls.crt after the leaf, which some files repeat. */
static void take_intermediates(struct cert_list *certs) {
        const struct cert *leaf = certs->items[0];
        size_t n = 0;

        for (size_t i = 1; i < certs->n; i++) {
                struct cert *cert = certs->items[i];

                certs->items[i] = NULL;
                if (cert_equal(cert, leaf))
                        cert_free(cert);
                else
                        certs->items[++n] = cert;
        }
        cert_free(certs->items[0]);
        memmove(certs->items, certs->items + 1, n * sizeof(*certs->items));
        certs->n = n;
}

/* What follows from the set. Its certificates were parsed before; that they cannot be now is want of memory.
 */
static int describe_set(const struct view *view, struct inspection *inspection) {
        const struct set *set = &inspection->set;
        int r;

        hex_format(inspection->fingerprint, set->fingerprint, sizeof(set->fingerprint));
        cert_key_text(set->leaf, inspection->key);
        if (cert_list_parse(set->certificate_pem, strlen(set->certificate_pem), &inspection->chain, NULL) < 0)
                return -ENOMEM;
        take_intermediates(&inspection->chain);
        if (set->ca_pem && cert_list_parse(set->ca_pem, strlen(set->ca_pem), &inspection->ca, NULL) < 0)
                return -ENOMEM;
        if (!set->connection_json)
                return 0;

        r = connection_parse(set->connection_json, strlen(set->connection_json), &inspection->connection,
                             &inspection->problem);
        if (r < 0 && r != -ENOMEM) {
                error_prefix(&inspection->problem, "%s in %s cannot be used", STORE_CONNECTION,
                             view->store.path);
                return 0;
        }
        return r;
}

static int look_at_current(const struct view *view, struct inspection *inspection) {
        int r;

        if (!view->store.has_current)
                return 0;
        r = store_inspect_generation(&view->store, view->store.current, &inspection->set,
                                     &inspection->problem);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        inspection->has_set = true;
        return describe_set(view, inspection);
}

/* --- All generations --- */

static void describe_generation(const struct set *set, struct inspected_generation *ret) {
        hex_format(ret->fingerprint, set->fingerprint, sizeof(set->fingerprint));
        ret->not_before = set->not_before;
        ret->not_after = set->effective_expiry;
}

/* Generations do not change, but the store removes old ones, file after file: one that changed a moment ago
 * is on its way out. */
static bool is_leaving(const struct view *view, uint64_t number) {
        char name[NUMBERED_NAME_MAX];
        struct stat st;

        if (!view->store.has_current || number >= view->store.current)
                return false;
        if (fstatat(view->store.fd, store_numbered_name(name, GENERATION_PREFIX, number), &st,
                    AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT;
        return usec_add((usec_t)st.st_mtim.tv_sec * USEC_PER_SEC, 2 * USEC_PER_SEC) >
               now_usec(CLOCK_REALTIME);
}

/* 1; 0 for one that is about to be gone; -ENOMEM. */
static int look_at_generation(const struct view *view, const struct inspection *inspection, uint64_t number,
                              struct inspected_generation *ret) {
        _cleanup_(set_clear) struct set set = { 0 };
        int r;

        ret->number = number;
        ret->is_current = view->store.has_current && number == view->store.current;
        if (ret->is_current && inspection->has_set) {
                describe_generation(&inspection->set, ret);
                return 1;
        }
        r = store_inspect_generation(&view->store, number, &set, &ret->problem);
        if (r == 0)
                describe_generation(&set, ret);
        if (r < 0 && r != -ENOMEM && is_leaving(view, number)) {
                error_clear(&ret->problem);
                return 0;
        }
        return r == -ENOMEM ? r : 1;
}

static int look_at_generations(const struct view *view, struct inspection *inspection) {
        _cleanup_(generations_clear) struct generations generations = { 0 };
        int r;

        r = store_list_generations(&view->store, &generations);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                if (inspection->problem.code == 0)
                        error_set_errno(&inspection->problem, r, "cannot list directory %s",
                                        view->store.path);
                return 0;
        }
        inspection->generations = calloc(INSPECT_GENERATIONS_MAX, sizeof(*inspection->generations));
        if (!inspection->generations)
                return -ENOMEM;
        for (size_t i = generations.n; i > 0 && inspection->n_generations < INSPECT_GENERATIONS_MAX; i--) {
                r = look_at_generation(view, inspection, generations.numbers[i - 1],
                                       &inspection->generations[inspection->n_generations]);
                if (r < 0)
                        return r;
                inspection->n_generations += (size_t)r;
        }
        return 0;
}

/* Why no generation is current; with none at all there is nothing to explain. */
static void explain_no_current(const struct view *view, struct inspection *inspection) {
        const char *path = view->store.path;
        int r = view->current_result;

        if (r == -EBADMSG)
                error_set(&inspection->problem, r,
                          "no set is current in %s: %s is not a link to a generation in the same directory, "
                          "such as %s000001",
                          path, STORE_CURRENT, GENERATION_PREFIX);
        else if (r == -ENOENT && inspection->n_generations > 0)
                error_set(&inspection->problem, r,
                          "no set is current in %s, although there are generations: the link %s is missing",
                          path, STORE_CURRENT);
        else if (r < 0 && r != -ENOENT)
                error_set_errno(&inspection->problem, r, "cannot read link %s/%s", path, STORE_CURRENT);
}

/* --- Beside the generations --- */

static bool has_file(int dir_fd, const char *name) {
        struct stat st;

        return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

static void look_at_stage(const struct view *view, struct inspection *inspection) {
        _cleanup_(fd_closep) int stage_fd = -1;
        char name[NUMBERED_NAME_MAX];

        stage_fd = dir_open_at(view->store.fd,
                               store_numbered_name(name, STAGE_PREFIX, store_next(&view->store)));
        if (stage_fd < 0)
                return;
        inspection->staged.key = has_file(stage_fd, STORE_KEY);
        inspection->staged.csr = has_file(stage_fd, STAGE_CSR);
        inspection->staged.token = has_file(stage_fd, STAGE_TOKEN);
        inspection->staged.certificate = has_file(stage_fd, STORE_CERTIFICATE);
}

/* The names that readers use: what is none of our links is not used, and may be what was to be adopted. */
static void look_at_public_names(const struct view *view, struct inspection *inspection) {
        bool is_plain = false;

        if (inspection->problem.code < 0)
                return;
        for (const char *const *name = store_public_names; *name; name++) {
                int r = store_is_plain(&view->store, *name, &inspection->problem);

                if (r < 0)
                        return;
                is_plain = is_plain || r > 0;
        }
        if (!is_plain)
                return;
        if (inspection->has_set)
                error_set(&inspection->problem, -EEXIST,
                          "files of another origin are among the links in %s and are not used",
                          view->store.path);
        else
                error_set(&inspection->problem, -ENOENT, "no set in %s yet: the files there were not adopted",
                          view->store.path);
}

/* --- Exports --- */

/* The caller may be another user than rekeyd: an owner that is not configured is the present one. */
static struct export with_present_owner(const struct export *export) {
        struct export present = *export;
        struct stat st;

        if (fstatat(AT_FDCWD, export->path, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return present;
        if (present.access.uid == (uid_t)-1)
                present.access.uid = st.st_uid;
        if (present.access.gid == (gid_t)-1)
                present.access.gid = st.st_gid;
        return present;
}

/* These say nothing of the file. */
static bool is_unknowable(int r) {
        return r == -EACCES || r == -ENOKEY || r == -EMFILE || r == -ENFILE || r == -EIO;
}

/* As it is to be now, with the CAs that are still to be in it. */
static int compare_export(const struct view *view, const struct export *export, const struct set *current,
                          struct error *error) {
        _cleanup_(freep) char *old_ca_pem = NULL;
        struct set set = *current; /* borrowed */
        usec_t end;
        int r = 0;

        if (view->state && export->ca_overlap_usec > 0)
                r = state_old_ca_pem(view->state, now_usec(CLOCK_REALTIME), export->ca_overlap_usec,
                                     &old_ca_pem, &end);
        set.old_ca_pem = old_ca_pem;
        return r < 0 ? r : export_compare(export, &set, error);
}

static int look_at_exports(const struct view *view, struct inspection *inspection) {
        if (view->n_exports == 0)
                return 0;
        inspection->exports = calloc(view->n_exports, sizeof(*inspection->exports));
        if (!inspection->exports)
                return -ENOMEM;
        inspection->n_exports = view->n_exports;

        for (size_t i = 0; i < view->n_exports; i++) {
                struct inspected_export *seen = &inspection->exports[i];
                struct export export;
                int r;

                if (view->exports[i].secret)
                        continue; /* no file; only who can call the API server knows */
                export = with_present_owner(&view->exports[i]);
                if (!inspection->has_set) {
                        error_set(&seen->problem, -ENODATA, "there is no set to compare it with");
                        continue;
                }
                r = compare_export(view, &export, &inspection->set, &seen->problem);
                if (r == -ENOMEM)
                        return r;
                seen->is_known = !is_unknowable(r);
                seen->is_current = r > 0;
        }
        return 0;
}

/* --- The whole inspection --- */

/* What cannot be found out is no problem of theirs. */
static int look_at_rights(const struct view *view, struct inspection *inspection) {
        return view->has_options && store_examine_rights(&view->store, &inspection->rights) == -ENOMEM
                       ? -ENOMEM
                       : 0;
}

static int look(struct view *view, struct inspection *ret) {
        int r;

        view->current_result = store_read_current(&view->store, &view->store.current);
        view->store.has_current = view->current_result == 0;
        store_read_adopted(&view->store);
        if (view->current_result == -ENOMEM)
                return -ENOMEM;

        r = look_at_current(view, ret);
        if (r == 0)
                r = look_at_generations(view, ret);
        if (r == 0)
                r = look_at_rights(view, ret);
        if (r < 0)
                return r;
        if (ret->problem.code == 0)
                explain_no_current(view, ret);
        look_at_stage(view, ret);
        look_at_public_names(view, ret);
        return look_at_exports(view, ret);
}

/* `..data` is another link than when the inspection began. */
static bool has_moved(const struct view *view) {
        uint64_t current = 0;
        int r = store_read_current(&view->store, &current);

        return r != view->current_result || (r == 0 && current != view->store.current);
}

/* A key may also be in the text of tls.crt, where one file with both was imported. */
static void forget_texts(struct set *set) {
        char **texts[] = { &set->certificate_pem, &set->ca_pem, &set->connection_json };

        set->key = key_free(set->key);
        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                *texts[i] = free_secret(*texts[i]);
}

static int look_until_it_holds(struct view *view, struct inspection *ret) {
        int r;

        for (unsigned tries = 1;; tries++) {
                r = look(view, ret);
                forget_texts(&ret->set);
                if (r < 0)
                        return r;
                if (!has_moved(view))
                        return 0;
                if (tries == TRIES_MAX)
                        break;
                inspection_clear(ret);
        }

        /* What was read is one generation still; if it was read. */
        if (!ret->has_set)
                error_set(&ret->problem, -EAGAIN, "the sets in %s are replaced faster than they can be read",
                          view->store.path);
        return 0;
}

/* What rekeyd says of such a directory goes before all else that may be said of it. */
static void look_at_directory(int fd, const char *path, struct inspection *inspection) {
        struct stat st;

        inspection->is_refused =
                fstat(fd, &st) == 0 && directory_check_mode(st.st_mode, path, &inspection->problem) < 0;
}

/* CERTIFICATE may be NULL. */
static int inspect(const char *directory, const struct config_certificate *certificate,
                   const struct state *state, struct inspection *ret) {
        _cleanup_(inspection_clear) struct inspection inspection = { 0 };
        _cleanup_(freep) char *path = strdup(directory);
        _cleanup_(fd_closep) int fd = -1;
        struct view view = { .store = { .path = path, .fd = -1 }, .state = state };
        int r;

        if (!path)
                return -ENOMEM;
        if (certificate) {
                view.has_options = true;
                view.store.options.key_access = certificate->key_access;
                view.store.options.public_access = certificate->public_access;
                view.exports = certificate->exports;
                view.n_exports = certificate->n_exports;
        }
        fd = dir_open_at(AT_FDCWD, path);
        if (fd >= 0) {
                view.store.fd = fd;
                r = look_until_it_holds(&view, &inspection);
                look_at_directory(fd, path, &inspection);
        } else {
                if (fd == -ELOOP || fd == -ENOTDIR)
                        error_set(&inspection.problem, fd,
                                  "%s is not used: it is a link or a file where a real directory is needed",
                                  path);
                else if (fd != -ENOENT)
                        error_set_errno(&inspection.problem, fd, "cannot open directory %s", path);
                r = look_at_exports(&view, &inspection);
        }
        if (r < 0) {
                /* All or nothing: but this is worth a sentence as well. */
                inspection_clear(&inspection);
                error_set_errno(&inspection.problem, r, "cannot inspect %s", path);
        }
        error_name_user(&inspection.problem);

        *ret = inspection;
        inspection = (struct inspection) { 0 };
        return 0;
}

int inspect_certificate(const struct config_certificate *certificate, const struct state *state,
                        struct inspection *ret) {
        return inspect(certificate->directory, certificate, state, ret);
}

int inspect_directory(const char *directory, struct inspection *ret) {
        return inspect(directory, NULL, NULL, ret);
}
