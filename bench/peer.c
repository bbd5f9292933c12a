/* What the drivers of several programs share. */

#include <check.h>
#include <stdio.h>
#include <sys/stat.h>

#include "bench/peers.h"

#define PATIENCE_USEC (1200 * USEC_PER_SEC)

/* A line that nobody prints. */
#define NEVER "\001"

void peer_run(struct peer_site *site, const char *const *argv) {
        _cleanup_(freep) char *wrapper = NULL;

        if (site->trace) {
                ck_assert_int_gt(asprintf(&wrapper,
                                          "strace -D -f -qq -o %s -e "
                                          "trace=fsync,fdatasync,syncfs,sync,sync_file_range -e signal=none",
                                          site->trace),
                                 0);
                setenv("REKEYD_TEST_WRAPPER", wrapper, 1);
        }
        process_free(site->process);
        site->process = process_start(argv, true);
        unsetenv("REKEYD_TEST_WRAPPER");
}

int peer_finish(struct peer_site *site) {
        int status;

        free(process_poll(site->process, PROCESS_STDOUT, NEVER, PATIENCE_USEC));
        status = process_wait(site->process);
        site->process = process_free(site->process);
        return status;
}

void peer_give_up(const struct peer_site *site, const char *what) {
        if (site->process)
                fprintf(stderr, "%s%s\n", process_output(site->process, PROCESS_STDOUT),
                        process_output(site->process, PROCESS_STDERR));
        ck_abort_msg("%s; what it said is above", what); /* Check has no room for it */
}

unsigned peer_count(const char *const *argv, const char *wanted) {
        _cleanup_(process_freep) struct process *process = process_start(argv, false);
        unsigned n = 0;

        free(process_poll(process, PROCESS_STDOUT, NEVER, PATIENCE_USEC));
        for (const char *found = process_output(process, PROCESS_STDOUT); (found = strstr(found, wanted));
             found++)
                n++;
        return process_wait(process) == 0 ? n : 0;
}

/* --- Pairs in plain files --- */

char *peer_plain_path(const struct peer_site *site, unsigned i, const char *file) {
        char *path;

        ck_assert_int_gt(asprintf(&path, "%s/plain-%s/%s-%05u%s%s", site->fleet.directory, site->fleet.name,
                                  site->fleet.name, i, *file ? "/" : "", file),
                         0);
        return path;
}

static void copy(const struct peer_site *site, unsigned i, const char *from, const char *to, unsigned mode) {
        _cleanup_(freep) char *source = fleet_path(&site->fleet, i, from),
                              *text = scratch_read("/", source + 1), *folder = peer_plain_path(site, i, "");

        ck_assert_ptr_nonnull(text);
        scratch_write(folder, to, text, mode);
}

void peer_make_plain(const struct peer_site *site) {
        _cleanup_(freep) char *top = NULL;

        ck_assert_int_gt(asprintf(&top, "%s/plain-%s", site->fleet.directory, site->fleet.name), 0);
        ck_assert_int_eq(mkdir(top, 0755), 0);
        for (unsigned i = 0; i < site->fleet.n; i++) {
                _cleanup_(freep) char *folder = peer_plain_path(site, i, "");

                ck_assert_int_eq(mkdir(folder, 0755), 0);
                copy(site, i, "tls.key", "tls.key", 0600);
                copy(site, i, "tls.crt", "tls.crt", 0644);
                copy(site, i, "..stage-000002/tls.key", "next.key", 0600);
        }
}

/* --- Programs in shell --- */

char *peer_program(const char *name) {
        const char *directory = getenv("REKEYD_BENCH");

        ck_assert_msg(directory != NULL, "REKEYD_BENCH is not set");
        return scratch_path(directory, name);
}

void peer_export(const struct peer_site *site) {
        _cleanup_(freep) char *top = NULL;

        ck_assert_int_gt(asprintf(&top, "%s/plain-%s", site->fleet.directory, site->fleet.name), 0);
        setenv("PEERS_URL", site->fixture->certificate_url, 1);
        setenv("PEERS_TRUST", site->fixture->trust, 1);
        setenv("PEERS_DIRECTORY", top, 1);
}
