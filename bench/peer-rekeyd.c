/* rekeyd. Its staged keys are used by the first renewal. */

#include <check.h>
#include <signal.h>
#include <stdio.h>

#include "bench/peers.h"
#include "daemon/observe/messages.h"

static void configure(const struct peer_site *site, bool is_due) {
        char defaults[64];

        snprintf(defaults, sizeof(defaults), "key: {bits: 2048}, renew_before: %us",
                 is_due ? PEER_DUE_SEC : PEER_NOT_DUE_SEC);
        fleet_run_by(&site->fleet, site->fixture, defaults, "");
}

static void start(struct peer_site *site, bool is_due) {
        _cleanup_(freep) char *config = scratch_path(site->fixture->directory, "rekeyd.yaml");

        configure(site, is_due);
        peer_run(site, (const char *const[]) { fixture_program("REKEYD"), "--config", config, NULL });
}

static void stop(struct peer_site *site) {
        process_signal(site->process, SIGTERM);
        ck_assert_int_eq(peer_finish(site), 0);
}

static void prepare(struct peer_site *site) {
        char *line;

        start(site, false);
        line = process_await(site->process, PROCESS_STDERR, MESSAGE_READY);
        ck_assert_ptr_nonnull(line);
        free(line);
        stop(site);
}

static bool list(struct peer_site *site) {
        _cleanup_(freep) char *config = scratch_path(site->fixture->directory, "rekeyd.yaml"),
                              *socket = scratch_path(site->fixture->directory, "control.sock");
        const char *argv[] = { getenv("REKEYD_TEST_REKEYCTL"), "--config", config, "status", NULL };

        return access(socket, F_OK) == 0 && peer_count(argv, " current ") == site->fleet.n;
}

static char *certificate(const struct peer_site *site, unsigned i) {
        return fleet_path(&site->fleet, i, "tls.crt");
}

const struct peer peer_rekeyd = {
        .name = "rekeyd",
        .is_daemon = true,
        .prepare = prepare,
        .start = start,
        .stop = stop,
        .list = list,
        .certificate = certificate,
};
