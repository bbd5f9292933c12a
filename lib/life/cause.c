/* The one table of advice: each cause with its name and its mend. rekeyctl prints them, and rekeyd where a
 * failure needs the unit of the service changed. */

#include "lib/life/cause.h"

#include <unistd.h>

#define DOCTOR "rekeyctl doctor %s"
#define UNIT   "systemctl edit rekeyd"

static const struct mend mends[CAUSE_MAX] = {
        [CAUSE_DNS] = { "correct the host name in the URL, or the DNS of this machine", DOCTOR },
        [CAUSE_NO_LISTENER] = { "correct the host and port in the URL, or ask the operators of the Connector "
                                "whether it runs",
                                DOCTOR },
        [CAUSE_UNREACHABLE] = { "correct the routes of this machine, or open its firewall", DOCTOR },
        [CAUSE_TIMEOUT] = { "find out whether a firewall drops the connection, or raise `timeout`", DOCTOR },
        [CAUSE_PROXY] = { "correct the proxy in the environment of the service", UNIT },
        [CAUSE_TLS] = { "correct the host and port in the URL", DOCTOR },
        [CAUSE_UNTRUSTED] = { "set `trust` to a file with the CA that has issued the server's certificate",
                              DOCTOR },
        [CAUSE_SERVER_EXPIRED] = { "ask the operators of the Connector to renew the certificate of their "
                                   "server",
                                   DOCTOR },
        [CAUSE_SERVER_NAME] = { "correct the host name in the URL to one that the server's certificate has",
                                DOCTOR },
        [CAUSE_CLOCK] = { "set the clock of this machine", "timedatectl set-ntp true" },
        [CAUSE_TRUST_FILE] = { "correct `trust`, or let the service read its file", "rekeyctl check-config" },
        [CAUSE_URL] = { "correct the URL of the Connector in the configuration", "rekeyctl reload" },
        [CAUSE_TOKEN] = { "get a new one-time token from the Director", NULL },
        [CAUSE_DISK_FULL] = { "make room on the file system", DOCTOR },
        [CAUSE_READ_ONLY] = { "let the service write there", UNIT },
        [CAUSE_RIGHTS] = { "give the service the right that it lacks", DOCTOR },
};

const char *const cause_names[CAUSE_MAX] = {
        [CAUSE_NONE] = "none",
        [CAUSE_DNS] = "dns",
        [CAUSE_NO_LISTENER] = "no-listener",
        [CAUSE_UNREACHABLE] = "unreachable",
        [CAUSE_TIMEOUT] = "timeout",
        [CAUSE_PROXY] = "proxy",
        [CAUSE_TLS] = "tls",
        [CAUSE_UNTRUSTED] = "untrusted",
        [CAUSE_SERVER_EXPIRED] = "server-expired",
        [CAUSE_SERVER_NAME] = "server-name",
        [CAUSE_CLOCK] = "clock",
        [CAUSE_TRUST_FILE] = "trust-file",
        [CAUSE_URL] = "url",
        [CAUSE_TOKEN] = "token",
        [CAUSE_DISK_FULL] = "disk-full",
        [CAUSE_READ_ONLY] = "read-only",
        [CAUSE_RIGHTS] = "rights",
};

enum cause cause_by_name(const char *name) {
        for (enum cause cause = CAUSE_NONE; cause < CAUSE_MAX; cause++)
                if (streq_null(cause_names[cause], name))
                        return cause;
        return CAUSE_NONE;
}

enum cause cause_of_errno(int code) {
        switch (code) {
        case -ENOSPC:
        case -EDQUOT:
                return CAUSE_DISK_FULL;
        case -EROFS:
                return CAUSE_READ_ONLY;
        case -EACCES:
        case -EPERM:
                return CAUSE_RIGHTS;
        default:
                return CAUSE_NONE;
        }
}

const struct mend *cause_mend(enum cause cause) {
        return &mends[cause < CAUSE_MAX ? cause : CAUSE_NONE];
}

/* Cuts PATH down to what there is of it: a unit whose ReadWritePaths= are not there does not start. */
static void cut_to_existing(char *path) {
        for (char *slash; access(path, F_OK) < 0 && (slash = strrchr(path, '/'));)
                slash[slash == path ? 1 : 0] = '\0';
}

void cause_explain(enum cause cause, const char *path, struct error *error) {
        _cleanup_(error_clear) struct error before = ERROR_INIT;
        _cleanup_(freep) char *existing = NULL;

        if (cause != CAUSE_READ_ONLY)
                return;
        existing = strdup(path);
        if (!existing)
                return;
        cut_to_existing(existing);
        error_move(&before, error);
        error_set(error, before.code,
                  "%s; the service may write only to ReadWritePaths= of its unit; fix: " UNIT
                  ", with ReadWritePaths=%s under [Service], then systemctl restart rekeyd",
                  error_text(&before), existing);
}
