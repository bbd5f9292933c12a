/* A script that cron would run, with openssl and curl. Nothing of it lasts, so it has no memory and no start;
 * its list is a run with nothing to do. */

#include <check.h>

#include "bench/peers.h"

static void run(struct peer_site *site, unsigned within_sec) {
        _cleanup_(freep) char *program = peer_program("openssl-and-curl"), *command = NULL;

        peer_export(site);
        ck_assert_int_gt(asprintf(&command, "exec '%s' %u \"$PEERS_DIRECTORY\"/*", program, within_sec), 0);
        peer_run(site, (const char *const[]) { "/bin/sh", "-c", command, NULL });
}

static void prepare(struct peer_site *site) {
        peer_make_plain(site);
}

static void start(struct peer_site *site, bool is_due) {
        run(site, is_due ? PEER_DUE_SEC : PEER_NOT_DUE_SEC);
        ck_assert_int_eq(peer_finish(site), 0);
}

static void stop(struct peer_site *site) {
        (void)site;
}

static bool list(struct peer_site *site) {
        start(site, false);
        return true;
}

static char *certificate(const struct peer_site *site, unsigned i) {
        return peer_plain_path(site, i, "tls.crt");
}

const struct peer peer_script = {
        .name = "script",
        .prepare = prepare,
        .start = start,
        .stop = stop,
        .list = list,
        .certificate = certificate,
};
