/*
 * Exports. Some dependents want key and certificate in one file, in another format, at another place or for
 * other eyes than the store's directory can give. An export is such a copy: derived from a set, never read
 * back as one, and written again whenever it is not what it should be. That is the whole recovery after a
 * crash: there is no state besides the file itself.
 *
 * An export is a copy of a key, so it is held to what the store is held to: no user who must not have the key
 * can read it at any moment, and no other user can replace it. The passphrase of a PKCS#12 file protects
 * nothing here, since it lies beside it; the format demands one.
 */

#include "lib/export/export.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/export/export-pkcs12.h"
#include "lib/export/export-secret.h"
#include "lib/export/export-target.h"
#include "lib/util/utf8.h"

const char *const export_format_names[EXPORT_FORMAT_MAX] = {
        [EXPORT_PEM] = "pem",
        [EXPORT_DER] = "der",
        [EXPORT_PKCS12] = "pkcs12",
};

const char *const export_part_names[EXPORT_PART_MAX] = {
        [EXPORT_KEY] = "key",
        [EXPORT_LEAF] = "leaf",
        [EXPORT_CHAIN] = "chain",
        [EXPORT_CA] = "ca",
};

/* What export_check() tries to find room for: more than a usual set is in any format. */
#define ROOM_SIZE (16u * 1024)

/* --- What the options say together --- */

static int validate_contents(const struct export *export, struct error *error) {
        enum export_part contents[EXPORT_PART_MAX];
        bool has[EXPORT_PART_MAX] = { 0 };
        size_t n;

        if (export->n_contents > EXPORT_PART_MAX)
                return error_set(error, -EINVAL,
                                 "'contents' must name each of key, leaf, chain and ca once at most");
        if (export->format == EXPORT_DER && (export->n_contents != 1 || (export->contents[0] != EXPORT_KEY &&
                                                                         export->contents[0] != EXPORT_LEAF)))
                return error_set(error, -EINVAL,
                                 "'contents' must be [key] or [leaf] with format der, which has one part");

        n = export_contents(export, contents);
        for (size_t i = 0; i < n; i++) {
                if (has[contents[i]])
                        return error_set(error, -EINVAL, "'contents' must not name %s twice",
                                         export_part_names[contents[i]]);
                has[contents[i]] = true;
        }
        if (export->format == EXPORT_PKCS12 && !(has[EXPORT_KEY] && has[EXPORT_LEAF]))
                return error_set(error, -EINVAL,
                                 "'contents' must have both key and leaf with format pkcs12; for a part of "
                                 "them, use format pem");
        if (export->ca_overlap_usec > 0 && !has[EXPORT_CA])
                return error_set(error, -EINVAL, "'ca_overlap' has no effect: 'contents' has no ca");
        return 0;
}

static int validate_mode(const struct export *export, struct error *error) {
        mode_t mode = export_access(export).mode;

        if (mode & ~0666u)
                return error_set(error, -EINVAL,
                                 "'mode' must be without execute and special bits, such as 0640, not %04o",
                                 mode);
        if (!(mode & S_IRUSR))
                return error_set(error, -EINVAL, "'mode' must let the owner read, such as 0600, not %04o",
                                 mode);
        if (mode & S_IRWXO && export_has_key(export))
                return error_set(error, -EINVAL,
                                 "'mode' must not give other users access to the key, such as 0640, not "
                                 "%04o; use 'group' for readers",
                                 mode);
        return 0;
}

/* PKCS#12 keeps it as a BMPString, which has the first 65536 characters of Unicode only. */
static bool has_bmp_name(const struct export *export) {
        const char *name = export->friendly_name ? export->friendly_name : "";
        size_t size;

        for (; *name; name += size) {
                size = utf8_size(name, UTF8_STRING);
                if (size == 0 || size > 3)
                        return false;
        }
        return true;
}

static int validate_pkcs12_options(const struct export *export, struct error *error) {
        const char *stray = export->passphrase_file ? "passphrase_file"
                            : export->friendly_name ? "friendly_name"
                            : export->legacy        ? "legacy"
                                                    : NULL;

        if (export->format == EXPORT_PKCS12 && !export->passphrase_file)
                return error_set(error, -EINVAL,
                                 "'passphrase_file' is missing: format pkcs12 requires a passphrase");
        if (export->format == EXPORT_PKCS12 && !has_bmp_name(export))
                return error_set(
                        error, -EINVAL,
                        "'friendly_name' must be of characters up to U+FFFF: PKCS#12 has no others, such "
                        "as emoji");
        if (export->format != EXPORT_PKCS12 && stray)
                return error_set(error, -EINVAL, "'%s' is for format pkcs12 only, not for %s", stray,
                                 export_format_names[export->format]);
        return 0;
}

int export_validate(const struct export *export, struct error *error) {
        const char *name = export->path ? strrchr(export->path, '/') : NULL;
        int r;

        if (export->secret || export->layout != EXPORT_LAYOUT_NONE)
                return export_secret_validate(export, error);
        if (!name || export->path[0] != '/' || !name[1] || streq(name, "/.") || streq(name, "/.."))
                return error_set(error, -EINVAL,
                                 "'path' must be the absolute path of a file, one that begins with '/'");
        r = validate_contents(export, error);
        if (r == 0)
                r = validate_pkcs12_options(export, error);
        if (r == 0)
                r = validate_mode(export, error);
        return r;
}

/* --- The passphrase --- */

/* Of a file that an editor on Windows has written: the mark before the text is no part of it. */
static void drop_byte_order_mark(struct export_bytes *bytes) {
        const size_t mark = utf8_mark_size(bytes->data, bytes->size);

        bytes->size -= mark;
        memmove(bytes->data, bytes->data + mark, bytes->size);
        explicit_bzero(bytes->data + bytes->size, mark);
}

/* Cuts BYTES after its first line. */
static int take_first_line(struct export_bytes *bytes, const char *path, struct error *error) {
        const char *newline = memchr(bytes->data, '\n', bytes->size);
        size_t length = newline ? (size_t)(newline - bytes->data) : bytes->size;

        if (newline && length > 0 && bytes->data[length - 1] == '\r')
                length--;

        if (length == 0)
                return error_set(error, -EINVAL,
                                 "%s %s: its first line is the passphrase of the PKCS#12 file",
                                 bytes->size == 0 ? "nothing in passphrase file"
                                                  : "there is no text in the first line of passphrase file",
                                 path);
        for (size_t i = 0; i < length; i++)
                if ((unsigned char)bytes->data[i] < ' ' || bytes->data[i] == 0x7f)
                        return error_set(error, -EINVAL,
                                         "the first line of passphrase file %s has a control character at "
                                         "byte %zu%s; a passphrase is printable text",
                                         path, i + 1,
                                         bytes->data[i] == '\r' ? " (a line end from Windows)" : "");
        explicit_bzero(bytes->data + length, bytes->size - length);
        bytes->size = length;
        return 0;
}

/* RET, a string as well, is the first line. RET_MODE may be NULL. */
static int read_passphrase(const struct export *export, struct export_bytes *ret, mode_t *ret_mode,
                           struct error *error) {
        _cleanup_(export_bytes_clear) struct export_bytes bytes = { 0 };
        const char *path = export->passphrase_file;
        _cleanup_(fd_closep) int fd = -1;
        struct stat st;
        int r;

        fd = file_open_at(AT_FDCWD, path, FILE_FOLLOW);
        r = fd < 0 ? fd : fstat(fd, &st) < 0 ? -errno : 0;
        if (r == 0)
                r = fd_read_all(fd, EXPORT_PASSPHRASE_MAX, &bytes.data, &bytes.size);
        if (r == -EFBIG)
                return error_set(error, r,
                                 "passphrase file %s is larger than %u bytes, which no passphrase needs",
                                 path, EXPORT_PASSPHRASE_MAX);
        if (r < 0)
                return error_set_errno(error, r, "cannot read passphrase file %s", path);
        drop_byte_order_mark(&bytes);
        r = take_first_line(&bytes, path, error);
        if (r < 0)
                return r;

        *ret = bytes;
        bytes = (struct export_bytes) { 0 };
        if (ret_mode)
                *ret_mode = st.st_mode & 07777;
        return 0;
}

/* Java's keytool takes no other characters. */
static bool is_ascii(const struct export_bytes *bytes) {
        for (size_t i = 0; i < bytes->size; i++)
                if ((unsigned char)bytes->data[i] > 0x7f)
                        return false;
        return true;
}

static int passphrase_warning(const struct export *export, const struct export_bytes *passphrase, mode_t mode,
                              char **ret, struct error *error) {
        const char *path = export->passphrase_file;
        int n = 0;

        if (mode & S_IROTH)
                n = asprintf(ret, "passphrase file %s has mode %04o and is world-readable; chmod o-r", path,
                             mode);
        else if (!is_ascii(passphrase))
                n = asprintf(ret,
                             "the passphrase in %s has characters beyond ASCII, with which Java cannot open "
                             "the file; use ASCII if a Java program reads it",
                             path);
        return n < 0 ? error_set(error, -ENOMEM, "out of memory") : 0;
}

/* --- Check, compare, write --- */

static int has_all_parts(const struct export *export, const struct set *set, struct error *error) {
        _cleanup_(export_certs_clear) struct export_certs certs = { 0 };
        _cleanup_(export_bytes_clear) struct export_bytes bytes = { 0 };

        if (export->format == EXPORT_PKCS12) /* costs thousands of hashes to encode */
                return export_certs_load(export, set, &certs, error);
        return export_encode(export, set, &bytes, error);
}

/* Only looks where SET is NULL and IS_PASSIVE. */
static int could_be_written(const struct export *export, const struct set *set, bool is_passive,
                            char **ret_warning, struct error *error) {
        _cleanup_(export_target_clear) struct export_target target = { .dir_fd = -1 };
        _cleanup_(export_bytes_clear) struct export_bytes passphrase = { 0 };
        mode_t mode;
        int r;

        r = export_validate(export, error);
        if (r < 0)
                return r;
        r = export_target_open(export, &target, error);
        if (r < 0)
                return r;
        r = is_passive ? export_target_foresee(export, &target, error)
                       : export_target_try(export, &target, ROOM_SIZE, error);
        if (r == 0 && set)
                r = has_all_parts(export, set, error);
        if (r < 0 || export->format != EXPORT_PKCS12)
                return r;
        r = read_passphrase(export, &passphrase, &mode, error);
        if (r < 0)
                return r;
        return passphrase_warning(export, &passphrase, mode, ret_warning, error);
}

static int check(const struct export *export, const struct set *set, bool is_passive, char **ret_warning,
                 struct error *error) {
        _cleanup_(freep) char *warning = NULL;
        int r;

        r = could_be_written(export, set, is_passive, &warning, error);
        if (r < 0) {
                error_prefix(error, "cannot write export %s", export->path);
                return r;
        }
        *ret_warning = take_ptr(warning);
        return 0;
}

int export_check(const struct export *export, const struct set *set, char **ret_warning,
                 struct error *error) {
        return check(export, set, false, ret_warning, error);
}

int export_foresee(const struct export *export, char **ret_warning, struct error *error) {
        return check(export, NULL, true, ret_warning, error);
}

static int build(const struct export *export, const struct set *set, struct export_bytes *ret,
                 struct error *error) {
        _cleanup_(export_bytes_clear) struct export_bytes passphrase = { 0 };
        int r;

        if (export->format != EXPORT_PKCS12)
                return export_encode(export, set, ret, error);
        r = read_passphrase(export, &passphrase, NULL, error);
        if (r < 0)
                return r;
        return export_pkcs12_encode(export, set, passphrase.data, ret, error);
}

static bool same_bytes(const struct export_bytes *a, const struct export_bytes *b) {
        return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

int export_compare(const struct export *export, const struct set *set, struct error *error) {
        _cleanup_(export_target_clear) struct export_target target = { .dir_fd = -1 };
        _cleanup_(export_bytes_clear) struct export_bytes file = { 0 }, other = { 0 };
        int r;

        r = export_validate(export, error);
        if (r == 0)
                r = export_target_open(export, &target, error);
        if (r < 0)
                return r;
        r = export_target_read(export, &target, &file);
        if (r == -ESTALE)
                return error_set(error, r, "its owner, group or mode differs from the configuration");
        if (r < 0)
                return error_set_errno(error, r, "it cannot be read");
        if (!set->key && export_has_key(export))
                return error_set(error, -ENOKEY, "the private key to compare it with cannot be read");

        if (export->format == EXPORT_PKCS12) {
                r = read_passphrase(export, &other, NULL, error);
                return r < 0 ? r : export_pkcs12_equal(export, set, other.data, &file);
        }
        r = export_encode(export, set, &other, error);
        return r < 0 ? r : same_bytes(&file, &other);
}

bool export_is_current(const struct export *export, const struct set *set) {
        return export_compare(export, set, NULL) > 0;
}

static int write_export(const struct export *export, const struct set *set, struct error *error) {
        _cleanup_(export_target_clear) struct export_target target = { .dir_fd = -1 };
        _cleanup_(export_bytes_clear) struct export_bytes bytes = { 0 };
        int r;

        r = export_validate(export, error);
        if (r < 0)
                return r;
        r = export_target_open(export, &target, error);
        if (r < 0)
                return r;
        r = build(export, set, &bytes, error);
        if (r < 0)
                return r;
        return export_target_write(export, &target, &bytes, error);
}

int export_write(const struct export *export, const struct set *set, struct error *error) {
        int r;

        r = write_export(export, set, error);
        if (r < 0)
                error_prefix(error, "cannot write export %s", export->path);
        return r;
}
