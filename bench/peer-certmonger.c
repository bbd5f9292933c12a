/*
 * certmonger, with a helper in shell that calls the Connector. All of its files are in the scratch directory,
 * and it listens on a private socket only, so neither a message bus nor a certmonger of this machine has to
 * do with it.
 *
 * It renews with the key that is there, which is its default; so it generates none.
 */

#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>

#include "bench/peers.h"

/* How often it may ask, while a thousand pairs are read for the first time. */
#define SETTLE_POLL_USEC USEC_PER_SEC
#define SETTLE_MAX_USEC  (600 * USEC_PER_SEC)

static char *path_of(const struct peer_site *site, const char *name) {
        char *path;

        ck_assert_int_gt(
                asprintf(&path, "%s/certmonger-%s/%s", site->fleet.directory, site->fleet.name, name), 0);
        return path;
}

static void point(const struct peer_site *site, const char *variable, const char *folder) {
        _cleanup_(freep) char *path = path_of(site, folder);

        setenv(variable, path, 1);
}

static void export(const struct peer_site *site) {
        _cleanup_(freep) char *address = NULL, *socket = path_of(site, "socket");

        point(site, "CERTMONGER_REQUESTS_DIR", "requests");
        point(site, "CERTMONGER_CAS_DIR", "cas");
        point(site, "CERTMONGER_TMPDIR", "temporary");
        point(site, "CERTMONGER_CONFIG_DIR", "config");
        point(site, "CERTMONGER_LOCAL_CA_DIR", "local");
        ck_assert_int_gt(asprintf(&address, "unix:path=%s", socket), 0);
        setenv("CERTMONGER_PVT_ADDRESS", address, 1);
}

static void make_folders(const struct peer_site *site) {
        static const char *const names[] = { "", "requests", "cas", "temporary", "config", "local" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_(freep) char *path = path_of(site, names[i]);

                ck_assert_int_eq(mkdir(path, 0700), 0);
        }
}

static void add_ca(const struct peer_site *site) {
        _cleanup_(freep) char *folder = path_of(site, "cas"), *helper = peer_program("certmonger-helper"),
                              *text = NULL;

        ck_assert_int_gt(asprintf(&text,
                                  "id=connector\n"
                                  "ca_is_default=0\n"
                                  "ca_type=EXTERNAL\n"
                                  "ca_external_helper=%s %s %s %s/plain-%s\n",
                                  helper, site->fixture->certificate_url, site->fixture->trust,
                                  site->fleet.directory, site->fleet.name),
                         0);
        scratch_write(folder, "connector", text, 0600);
}

/* A request as `getcert start-tracking` leaves it, which would take seconds for each. */
static void add_request(const struct peer_site *site, unsigned i) {
        _cleanup_(freep) char *folder = path_of(site, "requests"), *key = peer_plain_path(site, i, "tls.key"),
                              *leaf = peer_plain_path(site, i, "tls.crt"), *text = NULL;
        char name[16];

        snprintf(name, sizeof(name), "%05u", i);
        ck_assert_int_gt(asprintf(&text,
                                  "id=%s\n"
                                  "key_type=RSA\n"
                                  "key_gen_type=RSA\n"
                                  "key_size=2048\n"
                                  "key_gen_size=2048\n"
                                  "key_storage_type=FILE\n"
                                  "key_storage_location=%s\n"
                                  "cert_storage_type=FILE\n"
                                  "cert_storage_location=%s\n"
                                  "state=NEWLY_ADDED\n"
                                  "autorenew=1\n"
                                  "monitor=1\n"
                                  "ca_name=connector\n",
                                  name, key, leaf),
                         0);
        scratch_write(folder, name, text, 0600);
}

static void configure(const struct peer_site *site, bool is_due) {
        _cleanup_(freep) char *folder = path_of(site, "config"), *text = NULL;
        const unsigned ttl = is_due ? PEER_DUE_SEC : PEER_NOT_DUE_SEC;

        ck_assert_int_gt(
                asprintf(&text, "[defaults]\nnotify_ttls = %u\nenroll_ttls = %u\n", PEER_NOT_DUE_SEC, ttl),
                0);
        scratch_write(folder, "certmonger.conf", text, 0600);
}

/* Has it ask itself again whether a certificate is due: it does that once for each of its times. */
static void forget_checks(const struct peer_site *site) {
        _cleanup_(freep) char *folder = path_of(site, "requests");
        DIR *dir = opendir(folder);

        ck_assert_ptr_nonnull(dir);
        for (struct dirent *entry; (entry = readdir(dir));) {
                _cleanup_(freep) char *text =
                        entry->d_name[0] == '.' ? NULL : scratch_read(folder, entry->d_name);
                char *found = text ? strstr(text, "\nlast_need_enroll_check=") : NULL;

                if (found) {
                        memcpy(found + strlen("\nlast_need_enroll_check="), "1970", strlen("1970"));
                        scratch_write(folder, entry->d_name, text, 0600);
                }
        }
        closedir(dir);
}

static void start(struct peer_site *site, bool is_due) {
        _cleanup_(freep) char *socket = path_of(site, "socket"), *pid_file = path_of(site, "pid");
        const char *argv[] = { "certmonger", "-n", "-L", "-P", socket, "-p", pid_file, NULL };

        export(site);
        configure(site, is_due);
        if (is_due)
                forget_checks(site);
        (void)unlink(socket);
        peer_run(site, argv);
}

static void stop(struct peer_site *site) {
        process_signal(site->process, SIGTERM);
        (void)peer_finish(site);
}

static bool list(struct peer_site *site) {
        static const char *const argv[] = { "getcert", "list", NULL };
        _cleanup_(freep) char *socket = path_of(site, "socket");

        return access(socket, F_OK) == 0 && peer_count(argv, "status: MONITORING") == site->fleet.n;
}

static void prepare(struct peer_site *site) {
        const usec_t begin = now_usec(CLOCK_MONOTONIC);

        peer_make_plain(site);
        make_folders(site);
        add_ca(site);
        for (unsigned i = 0; i < site->fleet.n; i++)
                add_request(site, i);
        start(site, false);
        while (!list(site)) {
                if (now_usec(CLOCK_MONOTONIC) - begin > SETTLE_MAX_USEC)
                        peer_give_up(site, "certmonger never knows all certificates");
                usleep(SETTLE_POLL_USEC);
        }
        stop(site);
}

static char *certificate(const struct peer_site *site, unsigned i) {
        return peer_plain_path(site, i, "tls.crt");
}

const struct peer peer_certmonger = {
        .name = "certmonger",
        .is_daemon = true,
        .prepare = prepare,
        .start = start,
        .stop = stop,
        .list = list,
        .certificate = certificate,
};
