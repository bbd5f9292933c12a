/*
 * A first enrolment that fails, for one cause after the other: rekeyctl names what went wrong, what makes it
 * go away, and what has become of the token. None of these causes uses the token up: in the end it enrols.
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "tests/operator/operator-fixture.h"
#include "tests/support/mounts.h"
#include "tests/test.h"

#define CERTIFICATES           \
        "  orders:\n"          \
        "    connector: dev\n" \
        "    directory: %s/orders/set\n"

#define GOOD "the one-time token was not used"

static const struct {
        const char *before, *after; /* in the configuration; %T, %R, %D: URL, trust and directory of the
                                       fixture; %S: a silent port */
        const char *cause, *advice;
        const char *foreseen; /* by `reload` and `check-config`; NULL: only the network tells */
} rows[] = {
        { "%T", "%Tx", "no endpoint at this URL",
          "correct the URL of the Connector in the configuration: rekeyctl reload; then: rekeyctl enrol "
          "orders",
          NULL },
        { "%T", "https://no.such.invalid/connector/graphql", "the name no.such.invalid cannot be looked up",
          "or the DNS of this machine: rekeyctl doctor orders; then: rekeyctl enrol orders", NULL },
        { "%T", "https://127.0.0.1:1/connector/graphql",
          "connection refused: no program listens at that port",
          "correct the host and port in the URL, or ask the operators of the Connector", NULL },
        { "%T", "%A", "the server does not speak TLS at that port", "correct the host and port in the URL",
          NULL },
        { "%T", "%I", "it is for other host names", "to one that the server's certificate has", NULL },
        { "enrol_url: '%T'", "timeout: 1s, enrol_url: 'https://127.0.0.1:%S/connector/graphql'",
          "the connection was made, but what listens at that port does not answer",
          "find out whether a firewall drops the connection, or raise `timeout`", NULL },
        { "trust: %R", "trust: %D/none.pem", "none.pem: No such file or directory",
          "let the service read its file: rekeyctl check-config; then: rekeyctl enrol orders",
          "connector dev: cannot read `trust`," },
        { "trust: %R", "trust: %D/other.pem", "its CA is not among the trusted CA certificates",
          "set `trust` to a file with the CA that has issued", NULL },
        { "directory: %D/orders", "directory: %D/read-only", "Read-only file system",
          "the file system itself is read-only; fix: mount -o remount,rw %D/read-only; the one-time token "
          "was "
          "not used; there is no certificate yet; then: rekeyctl enrol orders",
          "orders: cannot write to" },
        { "directory: %D/orders", "directory: %D/full", "No space left on device",
          "make room on the file system: rekeyctl doctor orders; then: rekeyctl enrol orders",
          "orders: only 0 KiB are free on the file system" },
};

/* A port where connections are made by the kernel, and nobody speaks. */
static unsigned silent_port(void) {
        static struct sockaddr_in address = { .sin_family = AF_INET };
        socklen_t size = sizeof(address);
        int fd;

        if (address.sin_port != 0)
                return ntohs(address.sin_port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        ck_assert_int_eq(listen(fd, 16), 0);
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
        return ntohs(address.sin_port);
}

/* Owned. */
static char *expand(const struct fixture *fixture, const char *text) {
        char *expanded = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&expanded, &size);

        for (; *text; text++) {
                if (*text != '%') {
                        fputc(*text, out);
                        continue;
                }
                switch (*++text) {
                case 'T':
                        fputs(fixture->token_url, out);
                        break;
                case 'I': /* a name of the host that its certificate lacks */
                        fprintf(out, "https://ip6.localhost%s", strrchr(fixture->token_url, ':'));
                        break;
                case 'A':
                        fprintf(out, "https%s/connector/graphql", fixture->admin_url + strlen("http"));
                        break;
                case 'S':
                        fprintf(out, "%u", silent_port());
                        break;
                case 'R':
                        fputs(fixture->trust, out);
                        break;
                default:
                        fputs(fixture->directory, out);
                }
        }
        fclose(out);
        return expanded;
}

static void mount_at(const char *directory, const char *name, unsigned long flags, const char *options) {
        _cleanup_(freep) char *path = scratch_path(directory, name);

        ck_assert_int_eq(mkdir(path, 0755), 0);
        ck_assert_int_eq(mount("tmpfs", path, "tmpfs", flags, options), 0);
}

/* Of two pages only directories are left room for. */
static void mount_bad_places(const char *directory) {
        _cleanup_(freep) char *full = scratch_path(directory, "full/filler");
        static const char page[4096] = { 'x' };
        FILE *filler;

        mount_at(directory, "read-only", MS_RDONLY, "size=64k");
        mount_at(directory, "full", 0, "size=8k,mode=755");
        filler = fopen(full, "w");
        ck_assert_ptr_nonnull(filler);
        while (fwrite(page, sizeof(page), 1, filler) == 1 && fflush(filler) == 0)
                ;
        fclose(filler);
}

/* Before a token is under way. */
static void check_foreseen(struct operator_fixture *console, const char *problem) {
        _cleanup_(freep) char *check = operator_run(console, "check-config", problem ? 1 : 0);
        _cleanup_(freep) char *reload = operator_run(console, "reload", 0);

        ck_assert_msg(strstr(check, problem ? problem : "can use all files"), "%s", check);
        ck_assert_msg(!problem || strstr(reload, problem), "%s: %s", problem, reload);
        ck_assert_msg(strstr(reload, "configuration reloaded"), "%s", reload);
}

static void check_row(struct operator_fixture *console, size_t i) {
        struct fixture *fixture = console->fixture;
        _cleanup_(freep) char *yaml = scratch_read(fixture->directory, "rekeyd.yaml");
        _cleanup_(freep) char *before = expand(fixture, rows[i].before),
                              *after = expand(fixture, rows[i].after),
                              *advice = expand(fixture, rows[i].advice);
        _cleanup_(freep) char *text = NULL, *status = NULL;

        fixture_edit(fixture, before, after);
        check_foreseen(console, rows[i].foreseen);
        text = operator_run(console, "enrol orders -", 1);
        ck_assert_msg(strstr(text, rows[i].cause), "%s: %s", rows[i].cause, text);
        ck_assert_msg(strstr(text, advice), "%s: %s", advice, text);
        ck_assert_msg(strstr(text, GOOD), "%s: %s", rows[i].cause, text);
        ck_assert_ptr_null(strstr(text, "error:"));

        status = operator_run(console, "status orders", 0);
        ck_assert_msg(strstr(status, rows[i].cause), "%s: %s", rows[i].cause, status);
        scratch_write(fixture->directory, "rekeyd.yaml", yaml, 0600);
}

START_TEST(each_cause_is_named_and_fixed) {
        const bool has_places = mounts_enter("places where nothing can be written");
        struct operator_fixture console;
        _cleanup_(freep) char *trust = NULL;

        operator_init(&console, CERTIFICATES);
        trust = scratch_read(console.fixture->directory, "connector/ca.crt");
        scratch_write(console.fixture->directory, "other.pem", trust ? trust : "", 0644);
        if (has_places)
                mount_bad_places(console.fixture->directory);
        operator_mint_token(&console);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (has_places || !has_prefix(rows[i].before, "directory"))
                        check_row(&console, i);

        free(operator_run(&console, "reload", 0));
        operator_check(&console, "enrol orders -", 0, "orders: enrolled: generation 1 ");
        scratch_write(console.fixture->directory, "token", "a-wrong-token\n", 0600);
        operator_check(&console, "enrol orders --force -", 1,
                       "get a new one-time token from the Director, then: rekeyctl enrol orders");
        ck_assert_int_eq(fixture_stop(console.fixture), 0);
        operator_clear(&console);
}
END_TEST

TEST_MAIN("first-enrolment", each_cause_is_named_and_fixed)
