/* What end-to-end tests of exports share. */

#include "tests/e2e/exports-fixture.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "daemon/observe/messages.h"

struct fixture *prepare(const char *const *options, const char *certificates) {
        struct fixture *fixture = fixture_new(options);

        fixture_configure(fixture, certificates);
        fixture_edit(fixture, "@", fixture->directory);
        fixture_token(fixture, "client-1", "token");
        return fixture;
}

void make_directory(const struct fixture *fixture, const char *name, mode_t mode) {
        _cleanup_(freep) char *path = scratch_path(fixture->directory, name);

        ck_assert_int_eq(mkdir(path, mode), 0);
        ck_assert_int_eq(chmod(path, mode), 0);
}

bool mentions(const json_t *line, const char *name, const char *text) {
        return strstr(member(line, name), text);
}

void await_export(struct fixture *fixture, const char *message_id, const char *path, const char *text) {
        json_t *line = fixture_await(fixture, message_id);

        ck_assert_msg(mentions(line, "export", path) && mentions(line, "message", path), "'%s', not of %s",
                      member(line, "message"), path);
        ck_assert_msg(mentions(line, "message", text), "no '%s' in '%s'", text, member(line, "message"));
        ck_assert_str_eq(member(line, "certificate"), "orders");
        /* The same again is counted, for debugging. */
        if (streq(message_id, MESSAGE_EXPORTED))
                ck_assert_str_eq(member(line, "level"), "info");
        else
                ck_assert(streq(member(line, "level"), "error") || streq(member(line, "level"), "debug"));
        ck_assert_int_eq(streq(message_id, MESSAGE_EXPORTED), streq(member(line, "error"), ""));
        json_decref(line);
}

void await_exports(struct fixture *fixture, unsigned n) {
        while (n-- > 0)
                fixture_expect(fixture, MESSAGE_EXPORTED);
}

void await_message(struct fixture *fixture, const char *message_id) {
        fixture_expect(fixture, message_id);
}

unsigned logged(struct fixture *fixture, const char *message_id) {
        unsigned n = 0;

        for (const char *p = process_output(fixture->rekeyd, PROCESS_STDERR); (p = strstr(p, message_id));
             p++)
                n++;
        return n;
}

void assert_told(const struct fixture *fixture, const char *expected) {
        _cleanup_(freep) char *told = scratch_read(fixture->directory, "told");

        ck_assert_str_eq(told ? told : "", expected);
}

void assert_told_once_each(const struct fixture *fixture, unsigned n) {
        _cleanup_(freep) char *told = scratch_read(fixture->directory, "told");
        const char *p = told;

        ck_assert_ptr_nonnull(told);
        for (unsigned i = 1; i <= n || *p; i++) {
                char *end;

                ck_assert_msg(strtoul(p, &end, 10) == i && *end == '\n', "%s", told);
                p = end + 1;
        }
}

void assert_mode(const struct fixture *fixture, const char *name, uid_t uid, gid_t gid, mode_t mode) {
        _cleanup_(freep) char *path = scratch_path(fixture->directory, name);
        struct stat st;

        ck_assert_int_eq(lstat(path, &st), 0);
        ck_assert_uint_eq(st.st_uid, uid);
        ck_assert_uint_eq(st.st_gid, gid);
        ck_assert_uint_eq(st.st_mode, S_IFREG | mode);
}

char *shell(const char *format, ...) {
        _cleanup_(freep) char *command = NULL;
        char *text = NULL;
        size_t size = 0;
        va_list args;
        FILE *pipe, *out = open_memstream(&text, &size);

        va_start(args, format);
        ck_assert_int_ge(vasprintf(&command, format, args), 0);
        va_end(args);
        fflush(NULL);
        pipe = popen(command, "r");
        ck_assert(pipe && out);
        for (int c; (c = getc(pipe)) != EOF;)
                putc(c, out);
        fclose(out);
        ck_assert_msg(pclose(pipe) == 0, "%s failed: %s", command, text);
        return text;
}

/* Appends those PEM blocks of TEXT, from the N-th to the last, that are not there yet. */
static void append(char *all, size_t size, const char *text, size_t begin, size_t end) {
        static const char end_line[] = "-----END CERTIFICATE-----\n";

        for (size_t i = 0; *text; i++) {
                const char *next = strstr(text, end_line);

                ck_assert_ptr_nonnull(next);
                next += strlen(end_line);
                _cleanup_(freep) char *block = strndup(text, (size_t)(next - text));
                if (i >= begin && i < end && !strstr(all, block)) {
                        ck_assert_uint_lt(strlen(all) + strlen(block), size);
                        strcat(all, block);
                }
                text = next;
        }
}

char *expected_pem(const struct fixture *fixture, const char *parts) {
        _cleanup_(freep) char *key = scratch_read(fixture->directory, "orders/tls.key"),
                              *own = scratch_read(fixture->directory, "orders/tls.crt"),
                              *ca = scratch_read(fixture->directory, "orders/ca.crt");
        size_t size = 65536;
        char *all = calloc(1, size);

        ck_assert(key && own && ca && all);
        for (; *parts; parts++)
                if (*parts == 'k')
                        strcat(all, key);
                else if (*parts == 'a')
                        append(all, size, ca, 0, SIZE_MAX);
                else
                        append(all, size, own, *parts == 'l' ? 0 : 1, *parts == 'l' ? 1 : SIZE_MAX);
        return all;
}
