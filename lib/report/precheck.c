/*
 * Each check is one row: for a Connector or for a certificate, with a look at the files of the certificate or
 * without. What it finds is a sentence; one that is a problem has its fix in it. Where a file may still come,
 * as a pair to import may, that is no problem.
 */

#include "lib/report/precheck.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "lib/config/urls.h"
#include "lib/life/cause.h"
#include "lib/store/store.h"
#include "lib/util/user.h"
#include "lib/util/utf8.h"
#include "lib/x509/pem-text.h"

#define TRUST_SIZE_MAX (16u * 1024 * 1024)
#define SPACE_MIN      (1024u * 1024) /* a generation takes some 20 KiB, and two are kept at least */
#define FILES_MIN      64u

const char *const precheck_names[PRECHECK_MAX] = {
        [PRECHECK_DROP_IN] = "drop-in",       [PRECHECK_TRUST] = "trust",
        [PRECHECK_DIRECTORY] = "directory",   [PRECHECK_SPACE] = "space",
        [PRECHECK_RIGHTS] = "rights",         [PRECHECK_IMPORT] = "import",
        [PRECHECK_EXPORT] = "export",         [PRECHECK_DEPENDENT] = "dependent",
        [PRECHECK_KUBERNETES] = "kubernetes",
};

/* One check at work. */
struct checker {
        struct prechecks *results;
        enum precheck_depth depth;
        enum precheck_kind kind;
        const struct config_connector *connector;     /* NULL: the check is about the configuration */
        const struct config_certificate *certificate; /* NULL: the check is about the Connector */
        bool is_out_of_memory;
};

void prechecks_clear(struct prechecks *prechecks) {
        for (size_t i = 0; i < prechecks->n; i++)
                free(prechecks->items[i].text);
        free(prechecks->items);
        *prechecks = (struct prechecks) { 0 };
}

static struct precheck *make_room(struct prechecks *results) {
        if (results->n == results->n_allocated) {
                const size_t n = 2 * results->n_allocated + 8;
                struct precheck *grown = reallocarray(results->items, n, sizeof(*grown));

                if (!grown)
                        return NULL;
                results->items = grown;
                results->n_allocated = n;
        }
        return &results->items[results->n];
}

int prechecks_add(struct prechecks *prechecks, const struct precheck *result) {
        struct precheck *room = result->text ? make_room(prechecks) : NULL;

        if (!room) {
                free(result->text);
                return -ENOMEM;
        }
        *room = *result;
        prechecks->n++;
        prechecks->n_problems += result->is_problem;
        return 0;
}

static void note(struct checker *checker, bool is_problem, const char *format, ...) _printf_(3, 4);
static void note(struct checker *checker, bool is_problem, const char *format, ...) {
        struct precheck result = {
                .kind = checker->kind,
                .connector = checker->connector ? checker->connector->name : NULL,
                .certificate = checker->certificate ? checker->certificate->name : NULL,
                .is_problem = is_problem,
        };
        va_list args;

        if (!is_problem && checker->depth == PRECHECK_QUICK)
                return; /* thousands of them, for nobody */
        va_start(args, format);
        if (vasprintf(&result.text, format, args) < 0)
                result.text = NULL;
        va_end(args);
        if (prechecks_add(checker->results, &result) < 0)
                checker->is_out_of_memory = true;
}

#define note_good(checker, ...)    note(checker, false, __VA_ARGS__)
#define note_problem(checker, ...) note(checker, true, __VA_ARGS__)

/* As this process: "Permission denied, as user 'rekeyd'". R is -errno. */
static void note_unreadable(struct checker *checker, int r, const char *what, const char *path,
                            const char *fix) {
        _cleanup_(error_clear) struct error error = ERROR_INIT;

        error_set_errno(&error, r, "cannot read %s %s", what, path);
        error_name_user(&error);
        note_problem(checker, "%s%s%s", error_text(&error), *fix ? "; fix: " : "", fix);
}

/* --- Connectors --- */

/* OpenSSL passes over a block that is indented, takes what is glued to the end of another for damage, and
 * does not mind a byte order mark. Other files are restored when they are read; this one libcurl reads. */
static bool is_out_of_order(const char *text, size_t size) {
        const size_t mark = utf8_mark_size(text, size);
        _cleanup_(freep) char *copy = malloc(size + 1);
        size_t copy_size;

        if (!copy)
                return false;
        text += mark;
        copy_size = size -= mark;
        memcpy(copy, text, size);
        copy[size] = '\0';
        return pem_text_restore(&copy, &copy_size) == 0 &&
               (copy_size != size || memcmp(copy, text, size) != 0);
}

static void check_trust(struct checker *checker) {
        const char *path = checker->connector->trust;
        _cleanup_(freep) char *text = NULL;
        size_t size;
        int r;

        if (!path)
                return;
        r = file_read_at(AT_FDCWD, path, FILE_FOLLOW, TRUST_SIZE_MAX, &text, &size);
        if (r < 0)
                note_unreadable(checker, r, "`trust`,", path,
                                r == -EACCES ? "let the service read it, as with chmod o+r"
                                             : "correct `trust`");
        else if (!memmem(text, size, "CERTIFICATE-----", strlen("CERTIFICATE-----")))
                note_problem(checker,
                             "the file of `trust`, %s, has no certificate in PEM: %s; fix: set `trust` to a "
                             "file with the CA of the Connector's server",
                             path, pem_text_kind(text, size, PEM_CERTIFICATE));
        else if (is_out_of_order(text, size))
                note_problem(checker,
                             "the file of `trust`, %s, has a certificate that does not begin or end on a "
                             "line of its own, so OpenSSL cannot read all of it; fix: write each certificate "
                             "on lines of its own, as with sed 's/^.*-----BEGIN/-----BEGIN/; "
                             "s/-----\\(-----BEGIN\\)/-----\\n\\1/g'",
                             path);
        else
                note_good(checker, "%s can be read", path);
}

/* --- The directory --- */

/* Cut to the deepest directory that is there; "/" in the end. */
static char *find_existing(const char *path) {
        char *existing = strdup(path);

        for (char *slash;
             existing && access(existing, F_OK) < 0 && errno == ENOENT && (slash = strrchr(existing, '/'));) {
                if (slash == existing) {
                        slash[1] = '\0';
                        break;
                }
                *slash = '\0';
        }
        return existing;
}

static void check_directory(struct checker *checker) {
        const char *path = checker->certificate->directory;
        _cleanup_(freep) char *existing = find_existing(path), *fix = NULL;
        _cleanup_(error_clear) struct error error = ERROR_INIT;
        int r;

        if (!existing) {
                checker->is_out_of_memory = true;
                return;
        }
        r = faccessat(AT_FDCWD, existing, W_OK | X_OK, AT_EACCESS) < 0 ? -errno : 0;
        if (r == 0) {
                note_good(checker, "%s can be %s", path, streq(path, existing) ? "written to" : "created");
                return;
        }
        error_set_errno(&error, r, "cannot write to %s%s%s", existing,
                        streq(path, existing) ? "" : ", where it should create ",
                        streq(path, existing) ? "" : path);
        error_name_user(&error);
        fix = r == -EROFS ? cause_fix_directory(path) : NULL;
        note_problem(checker, "%s; %s", error_text(&error),
                     fix ? fix : "fix: give the directory to rekeyd's user, or create it for that user");
}

static void check_space(struct checker *checker) {
        const char *path = checker->certificate->directory;
        _cleanup_(freep) char *existing = find_existing(path);
        struct statvfs disk;
        uint64_t left;

        if (!existing || statvfs(existing, &disk) < 0)
                return; /* the check of the directory has it */
        left = (uint64_t)disk.f_bavail * disk.f_frsize;
        if (disk.f_flag & ST_RDONLY)
                return;
        if (left < SPACE_MIN)
                note_problem(checker,
                             "only %" PRIu64 " KiB are free on the file system of %s; fix: make room",
                             left / 1024, path);
        else if (disk.f_files > 0 && disk.f_favail < FILES_MIN)
                note_problem(checker,
                             "only %ju files can still be created on the file system of %s; fix: "
                             "remove files",
                             (uintmax_t)disk.f_favail, path);
        else
                note_good(checker, "%" PRIu64 " MiB are free on the file system of %s", left / SPACE_MIN,
                          path);
}

/* --- Rights --- */

static void check_owner_and_group(struct checker *checker, const struct file_access *access) {
        char name[USER_NAME_MAX];
        _cleanup_(freep) char *fix = NULL;

        if (!user_may_set_owner(access->uid)) {
                fix = cause_fix_owner();
                note_problem(checker, "the service may not give files to user %s, whom `owner` names; %s",
                             user_name(access->uid, name), fix ? fix : "out of memory");
        } else if (!user_may_set_group(access->gid)) {
                fix = cause_fix_group(access->gid);
                note_problem(checker, "the service is not in group %s, which `group` names; %s",
                             group_name(access->gid, name), fix ? fix : "out of memory");
        } else if (access->uid != (uid_t)-1 || access->gid != (gid_t)-1)
                note_good(checker, "owner and group can be set");
}

static void check_rights(struct checker *checker) {
        check_owner_and_group(checker, &checker->certificate->key_access);
}

/* --- Import --- */

/* There is a set already: nothing is to be imported any more. */
static bool has_set(const struct config_certificate *certificate) {
        _cleanup_(freep) char *path = NULL;

        if (asprintf(&path, "%s/" STORE_CURRENT, certificate->directory) < 0) {
                path = NULL;
                return false;
        }
        return access(path, F_OK) == 0;
}

/* Beside an adopted set lies the URL that came with it, if rekeyd has had one. */
static bool knows_url(const struct config_certificate *certificate) {
        _cleanup_(freep) char *path = NULL;

        if (certificate->connector->url)
                return true;
        if (asprintf(&path, "%s/" STORE_CONNECTION, certificate->directory) < 0) {
                path = NULL;
                return true;
        }
        return access(path, F_OK) == 0;
}

static void check_file_to_import(struct checker *checker, const char *path) {
        int r = path && faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) < 0 ? -errno : 0;

        if (r < 0 && r != -ENOENT)
                note_unreadable(
                        checker, r, "the file to import,", path,
                        "move the pair to where the service may read it; it has no access to /home and "
                        "/root");
}

static void check_import(struct checker *checker) {
        const struct config_certificate *certificate = checker->certificate;
        const size_t before = checker->results->n_problems;

        if (!certificate->import.key || has_set(certificate))
                return;
        check_file_to_import(checker, certificate->import.key);
        if (!streq_null(certificate->import.key, certificate->import.certificate))
                check_file_to_import(checker, certificate->import.certificate);
        check_file_to_import(checker, certificate->import.ca);
        if (!knows_url(certificate))
                note_problem(
                        checker,
                        "what is imported cannot be renewed: the Connector's certificate-secured URL is not "
                        "known; fix: set `url` of connector %s",
                        checker->connector->name);
        if (checker->results->n_problems == before)
                note_good(checker, "the pair can be adopted and renewed");
}

/* --- Exports --- */

static void check_exports(struct checker *checker) {
        const struct config_certificate *certificate = checker->certificate;

        for (size_t i = 0; i < certificate->n_exports; i++) {
                const struct export *export = &certificate->exports[i];
                _cleanup_(error_clear) struct error error = ERROR_INIT;
                _cleanup_(freep) char *warning = NULL;

                if (export->secret)
                        continue; /* only the API server knows */
                if (export_foresee(export, &warning, &error) < 0)
                        note_problem(checker, "%s%s", error_text(&error),
                                     strstr(error_text(&error), "; fix: ") ? ""
                                     : strstr(error_text(&error), "passphrase file")
                                             ? "; fix: create that file for the service, or correct "
                                               "`passphrase_file`"
                                             : "; fix: correct `exports`, or give the service the right that "
                                               "it lacks");
                else if (warning)
                        note_problem(checker, "%s", warning);
                else
                        note_good(checker, "%s can be written", export->path);
        }
}

/* --- Dependents --- */

static void check_command(struct checker *checker, const char *path) {
        struct stat st;
        int r = faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;

        if (r == 0 && stat(path, &st) == 0 && !S_ISREG(st.st_mode))
                r = -EACCES;
        if (r < 0)
                note_problem(checker, "the command %s cannot be run: %s; fix: correct `command`%s", path,
                             error_code_text(r), r == -EACCES ? ", or chmod +x" : "");
        else
                note_good(checker, "the command %s can be run", path);
}

static void check_dependents(struct checker *checker) {
        const struct config_certificate *certificate = checker->certificate;

        for (size_t i = 0; i < certificate->n_notify; i++) {
                const struct config_notify *notify = &certificate->notify[i];

                if (notify->kind == NOTIFY_COMMAND)
                        check_command(checker, notify->command[0]);
                else if (notify->kind == NOTIFY_UNIT && access("/run/dbus/system_bus_socket", F_OK) < 0)
                        note_problem(checker,
                                     "unit %s cannot be notified: there is no system bus at "
                                     "/run/dbus/system_bus_socket; fix: install and start dbus",
                                     notify->unit);
        }
}

/* --- All of them --- */

static const struct {
        enum precheck_kind kind;
        void (*check)(struct checker *checker);
        bool is_of_connector, is_quick;
} rows[] = {
        { PRECHECK_TRUST, check_trust, true, true },
        { PRECHECK_DIRECTORY, check_directory, false, false },
        { PRECHECK_SPACE, check_space, false, false },
        { PRECHECK_RIGHTS, check_rights, false, true },
        { PRECHECK_IMPORT, check_import, false, true },
        { PRECHECK_EXPORT, check_exports, false, false },
        { PRECHECK_DEPENDENT, check_dependents, false, true },
};

static bool check_all(struct checker *checker) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                checker->kind = rows[i].kind;
                if (rows[i].is_of_connector == !checker->certificate &&
                    (rows[i].is_quick || checker->depth == PRECHECK_ALL))
                        rows[i].check(checker);
        }
        return !checker->is_out_of_memory;
}

static const struct config_certificate *find_certificate(const struct config *config, const char *name) {
        for (size_t i = 0; i < config->n_certificates; i++)
                if (streq(config->certificates[i].name, name))
                        return &config->certificates[i];
        return NULL;
}

static int check_connectors(const struct config *config, const struct config_connector *only,
                            enum precheck_depth depth, struct prechecks *results) {
        for (size_t i = 0; i < config->n_connectors; i++) {
                struct checker checker = { .results = results,
                                           .depth = depth,
                                           .connector = &config->connectors[i] };

                if (only && only != checker.connector)
                        continue;
                if (!check_all(&checker))
                        return -ENOMEM;
        }
        return 0;
}

static int check_drop_ins(const struct config *config, enum precheck_depth depth, struct prechecks *results) {
        struct checker checker = { .results = results, .depth = depth, .kind = PRECHECK_DROP_IN };

        for (size_t i = 0; i < config->n_unread; i++)
                note_problem(&checker, PRECHECK_UNREAD, config->unread[i]);
        return checker.is_out_of_memory ? -ENOMEM : 0;
}

int precheck_run(const struct config *config, const char *name, enum precheck_depth depth,
                 struct prechecks *ret) {
        const struct config_certificate *only = name ? find_certificate(config, name) : NULL;
        _cleanup_(prechecks_clear) struct prechecks results = { 0 };

        if (name && !only)
                return -ENOENT;
        if (!only && check_drop_ins(config, depth, &results) < 0)
                return -ENOMEM;
        if (check_connectors(config, only ? only->connector : NULL, depth, &results) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < config->n_certificates; i++) {
                const struct config_certificate *certificate = &config->certificates[i];
                struct checker checker = {
                        .results = &results,
                        .depth = depth,
                        .connector = certificate->connector,
                        .certificate = certificate,
                };

                if ((!only || only == certificate) && !check_all(&checker))
                        return -ENOMEM;
        }
        *ret = results;
        results = (struct prechecks) { 0 };
        return 0;
}
