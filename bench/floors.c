/*
 * What no rekeyd could do without: the memory of its libraries, reading the files of all sets, and one
 * signature. They are rows beside those that contain them, measured in the same run.
 */

#include <check.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "bench/bench.h"
#include "bench/rows.h"
#include "lib/store/store.h"
#include "tests/support/probe.h"
#include "tests/support/quick-keys/quick-key.h"

#define N_SIGNATURES 20u

static double cpu_sec(void) {
        return (double)now_usec(CLOCK_THREAD_CPUTIME_ID) / USEC_PER_SEC;
}

static void measure_libraries(void) {
        const char *path = getenv("REKEYD_BENCH_LIBRARIES");
        const char *argv[] = { path, NULL };
        struct process *process;

        ck_assert_msg(path, "REKEYD_BENCH_LIBRARIES does not name bench-libraries");
        process = process_start(argv, false);
        free(process_await(process, PROCESS_STDOUT, "set up"));
        rows_note(ROW_LIBRARIES, probe_kib(process_pid(process), "RssAnon"));
        process_free(process);
}

static void read_file(int dir_fd, const char *name) {
        static char data[65536];
        int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(fstat(fd, &st), 0);
        ck_assert_int_ge((int)read(fd, data, sizeof(data)), 0);
        close(fd);
}

/* The fewest system calls by which all of a set is read and watched. */
static void read_set(int inotify_fd, const char *directory) {
        static const char *const names[] = { STORE_KEY, STORE_CERTIFICATE, STORE_CA, STORE_CONNECTION };
        int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), generation_fd;
        char current[256], path[PATH_MAX];
        ssize_t n;

        ck_assert_int_ge(fd, 0);
        n = readlinkat(fd, STORE_CURRENT, current, sizeof(current) - 1);
        ck_assert_int_gt((int)n, 0);
        current[n] = '\0';
        generation_fd = openat(fd, current, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ck_assert_int_ge(generation_fd, 0);
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                read_file(generation_fd, names[i]);
        close(generation_fd);
        close(fd);
        snprintf(path, sizeof(path), "%s/" STORE_CURRENT, directory);
        ck_assert_int_ge(inotify_add_watch(inotify_fd, directory, IN_CREATE | IN_MOVED_TO), 0);
        ck_assert_int_ge(inotify_add_watch(inotify_fd, path, IN_MODIFY), 0);
}

static void measure_reading(const struct fleet_options *fleet) {
        const double begin = cpu_sec();
        int fd = inotify_init1(IN_CLOEXEC);

        ck_assert_int_ge(fd, 0);
        for (unsigned i = 0; i < fleet->n; i++) {
                _cleanup_(freep) char *directory = fleet_path(fleet, i, "");

                directory[strlen(directory) - 1] = '\0';
                read_set(fd, directory);
        }
        rows_note(ROW_READING, cpu_sec() - begin);
        close(fd);
}

static void measure_signature(void) {
        EVP_PKEY *key = quick_key(4096);
        double begin = 0;

        for (unsigned i = 0; i <= N_SIGNATURES; i++) {
                EVP_MD_CTX *context = EVP_MD_CTX_new();
                unsigned char signature[512];
                size_t size = sizeof(signature);

                ck_assert_int_eq(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key), 1);
                ck_assert_int_eq(EVP_DigestSign(context, signature, &size, (const unsigned char *)"", 0), 1);
                EVP_MD_CTX_free(context);
                if (i == 0)
                        begin = cpu_sec(); /* the first one of a key prepares the others */
        }
        rows_note(ROW_SIGNATURE, 1000 * (cpu_sec() - begin) / N_SIGNATURES);
        EVP_PKEY_free(key);
}

void measure_floors(const struct bench *bench) {
        measure_libraries();
        measure_reading(&bench->many);
        measure_signature();
}
