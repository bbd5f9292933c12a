/*
 * Exports and those who read them: busy processes that look at every file in the directory while it is
 * replaced, and two real servers that load a copy and are told to load it again. To show that the busy ones
 * would notice, they also watch a file that is written as most scripts do it.
 */

#include <dirent.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "daemon/observe/messages.h"
#include "lib/util/files.h"
#include "tests/e2e/exports-fixture.h"
#include "tests/support/parallel.h"
#include "tests/support/x509.h"
#include "tests/test.h"

#define EXPORT(name) "{path: '@/out/" name "', owner: 65534, group: 1, mode: 0640}"

#define N_CERTIFICATES 10
#define N_RENEWALS     50u
#define N_SWAPS        (getenv("REKEYD_TEST_WRAPPER") ? 10u : 200u)
#define READS_MIN      (getenv("REKEYD_TEST_WRAPPER") ? 1u : 50u)

/* --- Busy readers --- */

/* Shared by the readers and the test. */
struct tally {
        atomic_ulong reads, mixtures, missing; /* of contents */
        atomic_ulong inspections, wider;       /* at owner, group and mode */
};

/* Read from start to end: the key, its leaf, and whoever signed that. */
static bool is_whole(const char *text) {
        BIO *bio = BIO_new_mem_buf(text, -1);
        EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
        X509 *leaf = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        X509 *issuer = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        bool whole = key && leaf && issuer && X509_check_private_key(leaf, key) == 1 &&
                     X509_verify(leaf, X509_get0_pubkey(issuer)) == 1;

        X509_free(issuer);
        X509_free(leaf);
        EVP_PKEY_free(key);
        BIO_free(bio);
        return whole;
}

/* Group and others never get more than they have in the end, and nobody gets it who is not meant. */
static bool is_narrow(const struct stat *st) {
        return (st->st_mode & 07777 & ~0640u) == 0 && (st->st_uid == geteuid() || st->st_uid == NOBODY) &&
               (!(st->st_mode & S_IRWXG) || st->st_gid == DAEMON);
}

static void look_once(const char *directory, struct tally *tally) {
        DIR *dir = opendir(directory);
        struct dirent *entry;
        struct stat st;

        while (dir && (entry = readdir(dir))) {
                if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
                        continue;
                atomic_fetch_add(&tally->inspections, 1);
                if (!is_narrow(&st))
                        atomic_fetch_add(&tally->wider, 1);
        }
        if (dir)
                closedir(dir);
}

/* Whoever has a file open goes on reading what was in it, whatever its name leads to meanwhile. */
static bool stays_whole(int fd) {
        _cleanup_(freep) char *text = NULL, *again = NULL;

        return fd_read_all(fd, 1 << 20, &text, NULL) == 0 && is_whole(text) && lseek(fd, 0, SEEK_SET) == 0 &&
               fd_read_all(fd, 1 << 20, &again, NULL) == 0 && streq(text, again);
}

static void read_once(const char *directory, const char *const *names, struct tally *tally) {
        for (; *names; names++) {
                _cleanup_(freep) char *path = scratch_path(directory, *names);
                _cleanup_(fd_closep) int fd = file_open_at(AT_FDCWD, path, FILE_NOFOLLOW);

                atomic_fetch_add(&tally->reads, 1);
                if (fd < 0)
                        atomic_fetch_add(&tally->missing, 1);
                else if (!stays_whole(fd))
                        atomic_fetch_add(&tally->mixtures, 1);
        }
}

struct readers {
        struct tally *tally;
        pid_t pids[2];
};

static struct readers start_readers(const char *directory, const char *const *names) {
        struct readers readers = { .tally = parallel_share(sizeof(*readers.tally)) };

        fflush(NULL);
        for (size_t i = 0; i < ELEMENTSOF(readers.pids); i++) {
                readers.pids[i] = fork();
                ck_assert_int_ge(readers.pids[i], 0);
                if (readers.pids[i] == 0)
                        (void)!nice(19); /* the machine is to renew as well */
                while (readers.pids[i] == 0)
                        if (i == 0)
                                read_once(directory, names, readers.tally);
                        else
                                look_once(directory, readers.tally);
        }
        return readers;
}

static void stop_readers(const struct readers *readers) {
        for (size_t i = 0; i < ELEMENTSOF(readers->pids); i++) {
                int status;

                ck_assert_int_eq(kill(readers->pids[i], SIGKILL), 0);
                ck_assert_int_eq(waitpid(readers->pids[i], &status, 0), readers->pids[i]);
                /* Not by a fault of its own before that. */
                ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        }
}

static void assert_nothing_amiss(struct readers *readers, const char *what, unsigned n) {
        struct tally *tally = readers->tally;

        stop_readers(readers);
        test_report(
                "exports: %lu reads, %lu mixtures, %lu missing files, %lu looks, %lu too wide during %u %s",
                tally->reads, tally->mixtures, tally->missing, tally->inspections, tally->wider, n, what);
        ck_assert_uint_eq(tally->mixtures, 0);
        ck_assert_uint_eq(tally->missing, 0);
        ck_assert_uint_eq(tally->wider, 0);
        ck_assert_uint_ge(tally->reads, READS_MIN);
        ck_assert_uint_ge(tally->inspections, READS_MIN);
        munmap(tally, sizeof(*tally));
}

/* --- What they see --- */

/* A pair that lives a day longer than the one before, as somebody would lay it down who renews by hand. */
static void lay_down_pair(const struct fixture *fixture, unsigned i) {
        const usec_t now = now_usec(CLOCK_REALTIME);
        _cleanup_(x509_cert_clear) struct x509_cert root = x509_make(
                &(struct x509_options) { .ca = true, .key = x509_key(3), .not_before = now - USEC_PER_DAY });
        _cleanup_(x509_cert_clear) struct x509_cert issuer =
                x509_make(&(struct x509_options) { .ca = true,
                                                   .issuer = &root,
                                                   .key = x509_key(2),
                                                   .subject = "CN=intermediate",
                                                   .not_before = now - USEC_PER_DAY });
        _cleanup_(x509_cert_clear) struct x509_cert leaf =
                x509_make(&(struct x509_options) { .issuer = &issuer,
                                                   .key = x509_key(i % 2),
                                                   .subject = "O=Org,CN=orders",
                                                   .not_before = now - USEC_PER_DAY,
                                                   .not_after = now + (1000 + i) * USEC_PER_DAY });
        _cleanup_(freep) char *certificate = X509_JOIN(&leaf, &issuer), *key = x509_key_pem(leaf.key);
        static const char *const names[] = { "tls.key", "tls.crt" };
        _cleanup_(freep) char *directory = scratch_path(fixture->directory, "orders");

        scratch_write(fixture->directory, "tls.key", key, 0600);
        scratch_write(fixture->directory, "tls.crt", certificate, 0644);
        for (size_t k = 0; k < ELEMENTSOF(names); k++) {
                _cleanup_(freep) char *from = scratch_path(fixture->directory, names[k]),
                                      *to = scratch_path(directory, names[k]);

                ck_assert_int_eq(rename(from, to), 0);
        }
}

START_TEST(readers_never_see_a_mixture) {
        _cleanup_(fixture_freep) struct fixture *fixture = fixture_new(NULL);
        _cleanup_(freep) char *out = scratch_path(fixture->directory, "out");
        struct readers readers;

        make_directory(fixture, "out", 0755);
        make_directory(fixture, "orders", 0755);
        fixture_configure(fixture, "  orders:\n"
                                   "    connector: dev\n"
                                   "    directory: '@/orders'\n"
                                   "    exports: [" EXPORT("a.pem") "]\n");
        fixture_edit(fixture, "@", fixture->directory);
        lay_down_pair(fixture, 0);
        fixture_start(fixture, NULL);
        await_message(fixture, MESSAGE_EXPORTED);

        readers = start_readers(out, (const char *[]) { "a.pem", NULL });
        for (unsigned i = 1; i <= N_SWAPS; i++) {
                lay_down_pair(fixture, i);
                await_message(fixture, MESSAGE_EXPORTED);
        }
        assert_nothing_amiss(&readers, "swaps", N_SWAPS);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

/* Several certificates, each of which is due at a tenth of its lifetime. */
START_TEST(nobody_may_read_more_than_asked_during_renewals) {
        _cleanup_(fixture_freep) struct fixture *fixture =
                fixture_new((const char *[]) { "--lifetime", lifetime(40), "--root", NULL });
        _cleanup_(freep) char *out = scratch_path(fixture->directory, "out"), *yaml = NULL;
        static const char *const names[N_CERTIFICATES + 1] = {
                "c0.pem", "c1.pem", "c2.pem", "c3.pem", "c4.pem",
                "c5.pem", "c6.pem", "c7.pem", "c8.pem", "c9.pem",
        };
        struct readers readers;
        size_t size = 0;
        FILE *text = open_memstream(&yaml, &size);

        make_directory(fixture, "out", 0755);
        for (unsigned i = 0; i < N_CERTIFICATES; i++) {
                char id[16];

                snprintf(id, sizeof(id), "c%u", i);
                fixture_token(fixture, id, id);
                fprintf(text,
                        "  %s:\n"
                        "    connector: dev\n"
                        "    directory: '@/certificate-%s'\n"
                        "    token_file: '@/%s'\n"
                        "    renew_before: 99%%%%\n"
                        "    exports: [" EXPORT("%s.pem") "]\n",
                        id, id, id, id);
        }
        fclose(text);
        fixture_configure(fixture, yaml);
        fixture_edit(fixture, "@", fixture->directory);
        fixture_start(fixture, NULL);
        for (size_t i = 0; names[i]; i++) {
                _cleanup_(freep) char *path = scratch_path(out, names[i]);

                while (access(path, F_OK) < 0)
                        await_message(fixture, MESSAGE_EXPORTED);
        }

        readers = start_readers(out, names);
        for (unsigned i = 0; i < N_RENEWALS; i++) {
                await_message(fixture, MESSAGE_RENEWED);
                await_message(fixture, MESSAGE_EXPORTED);
        }
        assert_nothing_amiss(&readers, "renewals", N_RENEWALS);
        ck_assert_int_eq(fixture_stop(fixture), 0);
}
END_TEST

START_TEST(the_same_readers_catch_a_plain_write) {
        _cleanup_(scratch_freep) char *scratch = scratch_new();
        _cleanup_(x509_cert_clear) struct x509_cert root =
                x509_make(&(struct x509_options) { .ca = true, .key = x509_key(1) });
        _cleanup_(x509_cert_clear) struct x509_cert leaf =
                x509_make(&(struct x509_options) { .issuer = &root, .key = x509_key(0) });
        _cleanup_(freep) char *key = x509_key_pem(leaf.key), *certificates = X509_JOIN(&leaf, &root),
                              *text = NULL, *path = scratch_path(scratch, "a.pem");
        usec_t deadline = usec_add(now_usec(CLOCK_MONOTONIC), patience_usec());
        struct readers readers;

        ck_assert_int_ge(asprintf(&text, "%s%s", key, certificates), 0);
        ck_assert(is_whole(text));
        scratch_write(scratch, "a.pem", text, 0600);
        readers = start_readers(scratch, (const char *[]) { "a.pem", NULL });
        while ((atomic_load(&readers.tally->mixtures) == 0 || atomic_load(&readers.tally->wider) == 0) &&
               now_usec(CLOCK_MONOTONIC) < deadline) {
                ck_assert_int_eq(unlink(path), 0);
                scratch_write(scratch, "a.pem", text, 0600);
        }
        stop_readers(&readers);
        test_report("exports: the same readers saw %lu mixtures and %lu too wide of a plain write",
                    readers.tally->mixtures, readers.tally->wider);
        ck_assert_uint_gt(readers.tally->mixtures, 0);
        ck_assert_uint_gt(readers.tally->wider, 0);
        munmap(readers.tally, sizeof(*readers.tally));
}
END_TEST

/* --- Servers --- */

static const struct server {
        const char *name;
        const char *program;
        const char *arguments[8]; /* '@' as everywhere */
        const char *configuration;
        const char *exports;
        const char *signal;
        const char *certificates; /* the export that ends with what is served */
} servers[] = {
        {
                .name = "haproxy",
                .program = "/usr/sbin/haproxy",
                .arguments = { "-W", "-p", "@/server.pid", "-f", "@/server.conf" },
                .configuration = "defaults\n"
                                 "  mode http\n"
                                 "  timeout connect 10s\n"
                                 "  timeout client 10s\n"
                                 "  timeout server 10s\n"
                                 "frontend orders\n"
                                 "  bind unix@@/server.sock ssl crt @/out/both.pem\n"
                                 "  http-request return status 200\n",
                .exports = "      - {path: '@/out/both.pem'}\n",
                .signal = "USR2",
                .certificates = "out/both.pem",
        },
        {
                .name = "nginx",
                .program = "/usr/sbin/nginx",
                .arguments = { "-e", "stderr", "-c", "@/server.conf" },
                .configuration = "daemon off;\n"
                                 "pid @/server.pid;\n"
                                 "events {}\n"
                                 "http {\n"
                                 "  access_log off;\n"
                                 "  client_body_temp_path @/b; proxy_temp_path @/p; fastcgi_temp_path @/f;\n"
                                 "  uwsgi_temp_path @/u; scgi_temp_path @/s;\n"
                                 "  server {\n"
                                 "    listen unix:@/server.sock ssl;\n"
                                 "    ssl_certificate @/out/a.crt;\n"
                                 "    ssl_certificate_key @/out/a.key;\n"
                                 "  }\n"
                                 "}\n",
                .exports = "      - {path: '@/out/a.crt', contents: [leaf, chain]}\n"
                           "      - {path: '@/out/a.key', contents: [key]}\n",
                .signal = "HUP",
                .certificates = "out/a.crt",
        },
};

/* TEXT with the directory for each '@', but one '@' for "@@" followed by the directory: "unix@@/x". */
static char *expand(const struct fixture *fixture, const char *text) {
        char *all = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&all, &size);

        for (; *text; text++)
                if (text[0] == '@' && text[1] != '@')
                        fputs(fixture->directory, out);
                else
                        fputc(*text, out);
        fclose(out);
        return all;
}

static struct process *start_server(const struct fixture *fixture, const struct server *server) {
        _cleanup_(freep) char *configuration = expand(fixture, server->configuration);
        const char *argv[ELEMENTSOF(server->arguments) + 2] = { server->program };
        char *expanded[ELEMENTSOF(server->arguments)] = { 0 };
        struct process *process;

        scratch_write(fixture->directory, "server.conf", configuration, 0644);
        for (size_t i = 0; server->arguments[i]; i++)
                argv[i + 1] = expanded[i] = expand(fixture, server->arguments[i]);
        process = process_start(argv, false);
        for (size_t i = 0; i < ELEMENTSOF(expanded); i++)
                free(expanded[i]);
        return process;
}

/* The certificates that the server presents; "" while it does not answer. */
static char *served(const struct fixture *fixture) {
        _cleanup_(freep) char *command = NULL;
        char *text = NULL;
        size_t size = 0;
        FILE *pipe, *out = open_memstream(&text, &size);

        ck_assert_int_ge(asprintf(&command,
                                  "openssl s_client -showcerts -unix %s/server.sock </dev/null 2>/dev/null |"
                                  " sed -n '/^-----BEGIN C/,/^-----END C/p'",
                                  fixture->directory),
                         0);
        fflush(NULL);
        pipe = popen(command, "r");
        ck_assert(pipe && out);
        for (int c; (c = getc(pipe)) != EOF;)
                putc(c, out);
        pclose(pipe);
        fclose(out);
        return text;
}

static bool ends_with(const char *text, const char *end) {
        size_t n = strlen(text), m = strlen(end);

        return n >= m && streq(text + n - m, end);
}

/* Waits until the server presents what the export holds now: both leaf and chain. */
static void await_served(const struct fixture *fixture, const struct server *server,
                         struct process *process) {
        usec_t deadline = usec_add(now_usec(CLOCK_MONOTONIC), patience_usec());
        _cleanup_(freep) char *export = scratch_read(fixture->directory, server->certificates);

        ck_assert_ptr_nonnull(export);
        for (;;) {
                _cleanup_(freep) char *now = served(fixture);

                if (*now && ends_with(export, now) && strstr(now + 1, "-----BEGIN"))
                        return;
                ck_assert_msg(now_usec(CLOCK_MONOTONIC) < deadline, "%s still serves\n%s\n%s", server->name,
                              now, process_last_words(process, PROCESS_STDERR));
        }
}

START_TEST(a_real_server_loads_it_after_each_renewal) {
        const struct server *server = &servers[_i];
        _cleanup_(fixture_freep) struct fixture *fixture = NULL;
        _cleanup_(freep) char *yaml = NULL;
        struct process *process;

        if (access(server->program, X_OK) < 0) {
                test_skip("a_real_server_loads_it_after_each_renewal: %s is not installed", server->name);
                return;
        }
        ck_assert_int_ge(asprintf(&yaml, EXPORTING "    exports:\n%s", server->exports), 0);
        fixture = prepare((const char *[]) { "--lifetime", "1h", "--root", NULL }, yaml);
        make_directory(fixture, "out", 0755);
        ck_assert_int_eq(fixture_run(fixture, "--once"), 2);

        process = start_server(fixture, server);
        await_served(fixture, server, process);
        _cleanup_(freep) char *notify = NULL;
        ck_assert_int_ge(asprintf(&notify, "    notify: [{signal: %s, pid_file: %s/server.pid}]\n    exports",
                                  server->signal, fixture->directory),
                         0);
        fixture_edit(fixture, "    exports", notify);
        fixture_start(fixture, NULL);
        await_message(fixture, MESSAGE_CURRENT);
        fixture_edit(fixture, "bits: 2048", "bits: 3072");
        process_signal(fixture->rekeyd, SIGHUP);
        await_message(fixture, MESSAGE_RENEWED);
        await_message(fixture, MESSAGE_NOTIFIED);
        await_served(fixture, server, process);

        ck_assert_int_eq(fixture_stop(fixture), 0);
        process_signal(process, SIGTERM);
        (void)process_wait(process);
        process_free(process);
}
END_TEST

int main(void) {
        Suite *suite = suite_create("exports-readers");
        TCase *server_cases = tcase_create("servers");

        x509_key(3);
        if (geteuid() == 0) {
                TEST_CASE(suite, readers_never_see_a_mixture);
                if (getenv("REKEYD_TEST_WRAPPER"))
                        test_skip("nobody_may_read_more_than_asked_during_renewals: %s, too slow for so many",
                                  test_is_instrumented());
                else
                        TEST_CASE(suite, nobody_may_read_more_than_asked_during_renewals);
        } else
                test_skip("readers: only root can give files away");
        TEST_CASE(suite, the_same_readers_catch_a_plain_write);
        tcase_set_timeout(server_cases, 0);
        tcase_add_loop_test(server_cases, a_real_server_loads_it_after_each_renewal, 0,
                            (int)ELEMENTSOF(servers));
        suite_add_tcase(suite, server_cases);
        return test_run(suite);
}
