/* Log lines, read back from the pipe that stands for stderr. */

#include "lib/util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>

#include "lib/util/time.h"
#include "lib/util/utf8.h"
#include "tests/test.h"

static char captured[16384];

/* Puts a pipe in the place of stderr, logs one line through LOG, and puts stderr back. */
#define CAPTURE(log)                                                       \
        ({                                                                 \
                int pipe_[2], saved_ = dup(STDERR_FILENO);                 \
                ssize_t n_;                                                \
                ck_assert_int_eq(pipe2(pipe_, O_CLOEXEC | O_NONBLOCK), 0); \
                dup2(pipe_[1], STDERR_FILENO);                             \
                log;                                                       \
                dup2(saved_, STDERR_FILENO);                               \
                close(saved_);                                             \
                close(pipe_[1]);                                           \
                n_ = read(pipe_[0], captured, sizeof(captured) - 1);       \
                close(pipe_[0]);                                           \
                captured[n_ > 0 ? n_ : 0] = '\0';                          \
                captured;                                                  \
        })

START_TEST(nothing_forges_a_line) {
        log_configure(LOG_FORMAT_TEXT, LOG_INFO);
        ck_assert_str_eq(CAPTURE(log_info("a\nerror: b\r\t\x1b[2J\x7f")),
                         "a\\x0aerror: b\\x0d\\x09\\x1b[2J\\x7f\n");
        /* U+009B steers terminals as ESC [ does; a byte that is not UTF-8 may be one on an old terminal. */
        ck_assert_str_eq(CAPTURE(log_info("a\xc2\x9b"
                                          "b\x9b"
                                          "c\xff")),
                         "a\\xc2\\x9bb\\x9bc\\xff\n");
        ck_assert_str_eq(CAPTURE(log_info("M\xc3\xbcller \xe2\x82\xac \xf0\x9f\x94\x91")),
                         "M\xc3\xbcller \xe2\x82\xac \xf0\x9f\x94\x91\n");
        /* From right to left, of no width, a new line, a tag. */
        ck_assert_str_eq(CAPTURE(log_info("a\xe2\x80\xae"
                                          "b\xe2\x80\x8b"
                                          "c\xe2\x80\xa8\xf3\xa0\x81\x81")),
                         "a\\xe2\\x80\\xaeb\\xe2\\x80\\x8bc\\xe2\\x80\\xa8\\xf3\\xa0\\x81\\x81\n");
        /* Longer than needed, a surrogate, beyond Unicode, cut off. */
        ck_assert_str_eq(CAPTURE(log_info("\xc0\xaf \xe0\x80\xaf \xed\xa0\x80 \xf4\x90\x80\x80 \xe2\x82")),
                         "\\xc0\\xaf \\xe0\\x80\\xaf \\xed\\xa0\\x80 \\xf4\\x90\\x80\\x80 \\xe2\\x82\n");
}
END_TEST

START_TEST(json_stays_json) {
        static const char *const nasty[] = {
                "plain",        "q\"b\\",       "\n\r\t\b\f\x01\x7f", "\xff\xfe",      "\xc0\xaf",
                "\xed\xa0\x80", "\xe2\x82",     "\xf4\x90\x80\x80",   "M\xc3\xbcller", "\xc2\x9b",
                "\xe2\x80\xae", "\xe2\x81\xa6", "\xf3\xa0\x81\x81",
        };

        log_configure(LOG_FORMAT_JSON, LOG_INFO);
        for (size_t i = 0; i < ELEMENTSOF(nasty); i++) {
                const struct log_field fields[] = { { "REKEYD_NOT_AFTER", nasty[i] },
                                                    { "REKEYD_ABSENT", NULL },
                                                    { "OTHER", "x" } };
                const char *line = CAPTURE(log_fields(LOG_WARNING, "0123456789abcdef0123456789abcdef", fields,
                                                      ELEMENTSOF(fields), "%s", nasty[i]));
                json_t *json;

                ck_assert_msg(strchr(line, '\n') == line + strlen(line) - 1, "more than a line: %s", line);
                json = json_loads(line, 0, NULL);
                ck_assert_msg(json != NULL, "not JSON: %s", line);
                ck_assert_str_eq(json_string_value(json_object_get(json, "level")), "warning");
                ck_assert_str_eq(json_string_value(json_object_get(json, "message_id")),
                                 "0123456789abcdef0123456789abcdef");
                ck_assert_ptr_null(json_object_get(json, "absent"));
                ck_assert_str_eq(json_string_value(json_object_get(json, "other")), "x");
                ck_assert_str_eq(json_string_value(json_object_get(json, "message")),
                                 json_string_value(json_object_get(json, "not_after")));
                for (const char *p = line; *p; p += utf8_size(p, UTF8_STRING))
                        ck_assert(*p == '\n' || !utf8_is_unsafe(p));
                if (i < 3 || i > 7)
                        ck_assert_str_eq(json_string_value(json_object_get(json, "message")), nasty[i]);
                json_decref(json);
        }
}
END_TEST

START_TEST(levels) {
        log_configure(LOG_FORMAT_AUTO, LOG_WARNING);
        ck_assert(log_enabled(LOG_ERR) && log_enabled(LOG_WARNING) && !log_enabled(LOG_INFO));
        ck_assert_str_eq(CAPTURE(log_info("quiet")), "");
        ck_assert_str_eq(CAPTURE(log_warning("loud %d", 1)), "warning: loud 1\n");
        ck_assert_str_eq(CAPTURE(log_error("loud")), "error: loud\n");
        log_configure(LOG_FORMAT_AUTO, LOG_DEBUG);
        ck_assert_str_eq(CAPTURE(log_debug("fine")), "fine\n");
}
END_TEST

START_TEST(keeps_errno) {
        log_configure(LOG_FORMAT_TEXT, LOG_INFO);
        CAPTURE({
                errno = EXDEV;
                log_info("x");
                log_debug("y");
                ck_assert_int_eq(errno, EXDEV);
        });
}
END_TEST

START_TEST(every_format_has_a_name) {
        for (size_t i = 0; i < LOG_FORMAT_MAX; i++)
                ck_assert_ptr_nonnull(log_format_names[i]);
}
END_TEST

/* --- Readers that do not read --- */

enum { READER, WRITER };

static void open_pipe(int fds[2]) {
        ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
}

static void open_socket(int fds[2]) {
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

static void open_fifo(int fds[2]) {
        char path[] = "/tmp/test-log-XXXXXX";

        ck_assert_ptr_nonnull(mkdtemp(path));
        ck_assert_int_eq(rmdir(path), 0);
        ck_assert_int_eq(mkfifo(path, 0600), 0);
        fds[READER] = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        fds[WRITER] = open(path, O_WRONLY | O_CLOEXEC);
        ck_assert_int_eq(unlink(path), 0);
}

static void open_terminal(int fds[2]) {
        struct termios raw;

        fds[READER] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        ck_assert_int_ge(fds[READER], 0);
        ck_assert_int_eq(grantpt(fds[READER]), 0);
        ck_assert_int_eq(unlockpt(fds[READER]), 0);
        fds[WRITER] = open(ptsname(fds[READER]), O_RDWR | O_NOCTTY | O_CLOEXEC);
        ck_assert_int_eq(tcgetattr(fds[WRITER], &raw), 0);
        cfmakeraw(&raw);
        ck_assert_int_eq(tcsetattr(fds[WRITER], TCSANOW, &raw), 0);
}

static void become_stderr(int fd) {
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
        ck_assert_int_eq(close(fd), 0);
}

static void limit_descriptors(rlim_t n) {
        struct rlimit limit;

        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = n;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* What there is to read now goes behind the SIZE bytes of TEXT. */
static size_t read_more(int fd, char *text, size_t size, size_t max) {
        ssize_t n;

        ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
        while ((n = read(fd, text + size, max - 1 - size)) > 0)
                size += (size_t)n;
        text[size] = '\0';
        return size;
}

/* Lines 0 to N - 1 in TEXT, whole and in their order. Returns what follows. */
static const char *check_numbered(const char *text, unsigned *ret_n) {
        unsigned n = 0;
        int size;

        for (unsigned number; sscanf(text, "line %u of many, to fill what there is\n%n", &number, &size) == 1;
             n++) {
                ck_assert_uint_eq(number, n);
                text += size;
        }
        *ret_n = n;
        return text;
}

#define MANY 32000u

static void log_many(void) {
        for (unsigned i = 0; i < MANY; i++)
                log_info("line %u of many, to fill what there is", i);
}

START_TEST(nothing_waits_for_a_reader) {
        static const struct {
                void (*open)(int fds[2]);
                bool is_last; /* no descriptor is left, so that it cannot be opened anew */
        } kinds[] = { { open_pipe, false },     { open_fifo, false }, { open_socket, false },
                      { open_terminal, false }, { open_pipe, true },  { open_terminal, true } };
        static char text[8 << 20];
        const bool is_slow = getenv("REKEYD_TEST_WRAPPER"); /* under valgrind two kinds will do */

        alarm(is_slow ? 500 : 60); /* it would wait for ever */
        log_configure(LOG_FORMAT_TEXT, LOG_INFO);
        for (size_t i = 0; i < ELEMENTSOF(kinds); i += is_slow ? 3 : 1) {
                const uint64_t dropped = log_dropped();
                unsigned n, n_dropped;
                const char *rest;
                size_t size = 0, before;
                int fds[2], flags;

                kinds[i].open(fds);
                become_stderr(fds[WRITER]);
                flags = fcntl(STDERR_FILENO, F_GETFL);
                limit_descriptors(kinds[i].is_last ? 3 : 1024);
                log_many();
                limit_descriptors(1024);
                ck_assert_msg(log_dropped() > dropped, "kind %zu", i);
                ck_assert_int_eq(fcntl(STDERR_FILENO, F_GETFL), flags);
                ck_assert_int_eq(flags & O_NONBLOCK, 0);

                /* The report comes by itself. */
                do {
                        before = size;
                        size = read_more(fds[READER], text, size, sizeof(text));
                        log_flush(LOG_PLACE_STDERR);
                } while (size > before);
                log_info("last");
                size = read_more(fds[READER], text, size, sizeof(text));

                rest = check_numbered(text, &n);
                ck_assert_int_eq(sscanf(rest,
                                        "warning: log: %u lines were dropped: standard error was not read\n",
                                        &n_dropped),
                                 1);
                ck_assert_uint_eq(n + n_dropped, MANY);
                ck_assert_uint_eq(log_dropped() - dropped, n_dropped);
                ck_assert_str_eq(strchr(rest, '\n'), "\nlast\n");
                close(fds[READER]);
        }
        alarm(0);
}
END_TEST

/* A disk that is full, a reader that has gone: until another file takes its place. */
START_TEST(what_cannot_be_written_is_counted) {
        static const char *const reasons[] = { "No space left on device", "Broken pipe" };

        signal(SIGPIPE, SIG_IGN);
        log_configure(LOG_FORMAT_TEXT, LOG_INFO);
        for (size_t i = 0; i < ELEMENTSOF(reasons); i++) {
                char text[256], wanted[128];
                int fds[2], full = open("/dev/full", O_WRONLY | O_CLOEXEC);

                open_pipe(fds);
                close(fds[READER]);
                become_stderr(i == 0 ? full : fds[WRITER]);
                log_info("one");
                log_info("two");
                open_pipe(fds);
                become_stderr(fds[WRITER]);
                log_info("three");
                log_info("four");
                (void)read_more(fds[READER], text, 0, sizeof(text));
                snprintf(wanted, sizeof(wanted), "warning: log: 2 lines were dropped: %s\nthree\nfour\n",
                         reasons[i]);
                ck_assert_str_eq(text, wanted);
                close(fds[READER]);
        }
}
END_TEST

START_TEST(nothing_follows_a_line_that_is_cut_off) {
        char text[256], longer[6000] = "";
        int fds[2];

        signal(SIGPIPE, SIG_IGN);
        log_configure(LOG_FORMAT_TEXT, LOG_INFO);
        memset(longer, 'x', sizeof(longer) - 1);
        open_pipe(fds);
        ck_assert_int_eq(fcntl(fds[WRITER], F_SETPIPE_SZ, 4096), 4096);
        become_stderr(fds[WRITER]);
        log_info("%s", longer); /* a part of it fits */
        close(fds[READER]);
        open_pipe(fds);
        log_flush(LOG_PLACE_STDERR);
        become_stderr(fds[WRITER]);
        log_info("next");
        (void)read_more(fds[READER], text, 0, sizeof(text));
        ck_assert_str_eq(text, "\nwarning: log: 1 line was dropped: Broken pipe\nnext\n");
        close(fds[READER]);
}
END_TEST

/* At the end a reader gets all, if it reads; one that does not keeps nobody. */
START_TEST(the_end_waits_for_those_who_read) {
        static char text[8 << 20];
        unsigned n = 0;
        size_t size = 0;
        ssize_t got;
        pid_t child;
        usec_t begin;
        int fds[2], status;

        log_configure(LOG_FORMAT_TEXT, LOG_INFO);
        open_pipe(fds);
        child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0) {
                become_stderr(fds[WRITER]);
                close(fds[READER]);
                for (unsigned i = 0; i < 10000; i++)
                        log_info("line %u of many, to fill what there is", i);
                kill(getpid(), SIGSTOP); /* nobody has read so far */
                log_finish();
                raise(SIGKILL);
        }
        close(fds[WRITER]);
        ck_assert_int_eq(waitpid(child, &status, WUNTRACED), child);
        ck_assert(WIFSTOPPED(status));
        ck_assert_int_eq(kill(child, SIGCONT), 0);
        while ((got = read(fds[READER], text + size, sizeof(text) - 1 - size)) > 0)
                size += (size_t)got;
        ck_assert_str_eq(check_numbered(text, &n), "");
        ck_assert_uint_eq(n, 10000);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        close(fds[READER]);

        open_pipe(fds);
        become_stderr(fds[WRITER]);
        log_many();
        begin = now_usec(CLOCK_MONOTONIC);
        log_finish();
        ck_assert_uint_lt(now_usec(CLOCK_MONOTONIC) - begin, 20 * USEC_PER_SEC);
        close(fds[READER]);
}
END_TEST

START_TEST(a_plain_line) {
        log_configure(LOG_FORMAT_JSON, LOG_ERR);
        ck_assert_str_eq(CAPTURE(log_plain("file:1:2: a\x1b[2J")), "file:1:2: a\\x1b[2J\n");
}
END_TEST

TEST_MAIN("log", nothing_waits_for_a_reader, what_cannot_be_written_is_counted,
          nothing_follows_a_line_that_is_cut_off, the_end_waits_for_those_who_read, a_plain_line,
          nothing_forges_a_line, json_stays_json, levels, keeps_errno, every_format_has_a_name)
